//! What is known of a project beside the server's verdict: the findings that every command has, held against what the
//! server said.

use std::collections::HashSet;

use serde_json::Value;

use crate::{
    check::{
        Finding, Located, Place, Severity,
        pod::{self, Warned},
    },
    cluster::Validation,
    json_patch::PathPart,
    pipeline::Rendered,
};

use super::{Outcome, Problem, path::resolve};

/// The rule of fields that no pod has.
const UNKNOWN_FIELD: &str = "pod-unknown-field";

/// The rules whose words explain what the server states.
const EXPLAINS: [&str; 2] = [UNKNOWN_FIELD, "pod-quantity"];

/// The findings of a project as the server's answer shows them: what it dropped is said to be dropped, and a field that
/// it knows is none that nobody knows.
pub fn findings(
    mut all: Vec<Located>,
    rendered: &Rendered,
    validation: Validation,
    outcome: &Outcome,
) -> Vec<Located> {
    let first = outcome.rounds.first();
    let is_decoded = first.map_or(outcome.accepted == Some(true), |round| {
        round.problems.iter().all(|problem| problem.fault.rank > 0)
    });
    if validation != Validation::Warn || !is_decoded {
        return all;
    }
    let all_dropped: HashSet<&str> = outcome.warnings.iter().filter_map(|text| dropped(text)).collect();
    let is_known =
        |found: &Located| found.finding.rule == UNKNOWN_FIELD && !all_dropped.contains(found.field());
    all.retain(|found| !is_known(found));
    let mut told = HashSet::new();
    for found in all.iter_mut().filter(|found| found.finding.rule == UNKNOWN_FIELD) {
        told.insert(found.field().to_owned());
        found.finding.message = format!("the server drops it: {}", found.finding.message);
    }
    let others = outcome.warnings.iter().filter_map(|text| dropped(text));
    let sent = rendered.pod.to_value().unwrap_or_default();
    for field in others.filter(|field| !told.contains(*field)) {
        let path = resolve(field, &sent).into_iter().next().unwrap_or_default();
        let writers = pod::writers(rendered, std::iter::once(&path));
        all.push(Located {
            finding: Finding::new(
                UNKNOWN_FIELD,
                Severity::Error,
                "the server drops it: it knows no such field",
            ),
            place: Place::Field {
                field: field.to_owned(),
                path,
                writers,
            },
        });
    }
    all
}

/// The field that a warning says is dropped: `unknown field "spec.nodeSelecter"`.
pub fn dropped(warning: &str) -> Option<&str> {
    warning.strip_prefix("unknown field \"")?.strip_suffix('"')
}

/// The server's warnings that no finding tells already, with author and cure.
pub fn other_warnings<'o>(findings: &[Located], sent: &Value, outcome: &'o Outcome) -> Vec<&'o str> {
    let is_told = |warning: &String| {
        let warned = Warned::new(sent, std::slice::from_ref(warning));
        findings.iter().any(|found| match &found.place {
            Place::Field { field, path, .. } => warned.has(found.finding.rule, field, path),
            _ => false,
        })
    };
    let others = outcome.warnings.iter().filter(|text| dropped(text).is_none());
    others.filter(|text| !is_told(text)).map(String::as_str).collect()
}

/// Why CoCalc would lose the pod although the server accepts it: it finds a project's pod by its name and labels.
pub fn lost(findings: &[Located]) -> impl Iterator<Item = &Located> {
    findings
        .iter()
        .filter(|found| found.finding.rule == "project-identity")
}

/// What the rules say of the very place that a problem is about, where it helps.
pub(super) fn explanation<'f>(findings: &'f [Located], problem: &Problem) -> Option<&'f str> {
    let found = findings
        .iter()
        .find(|found| EXPLAINS.contains(&found.finding.rule) && is_about(found, problem));
    found.map(|found| &*found.finding.message)
}

/// Whether the server's refusal tells it already.
pub fn is_refused(outcome: &Outcome, found: &Located) -> bool {
    found.finding.severity == Severity::Error && outcome.problems().any(|problem| is_about(found, problem))
}

fn is_about(found: &Located, problem: &Problem) -> bool {
    let Place::Field { field, path, .. } = &found.place else {
        return false;
    };
    let at = |other: &Option<Vec<PathPart>>| other.as_ref() == Some(path);
    problem.fault.field.as_ref() == Some(field) || problem.blame.iter().any(|blame| at(&blame.at))
}
