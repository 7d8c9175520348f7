//! The verdict for readers: the server's words as kubectl prints them, then each cause with what it caused and what
//! can be done about it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    check::{Located, license_name},
    output::{escape, explain::Explained},
    pipeline::{
        Rendered,
        provenance::{QuotaField, Writer, field_path},
        quota::Decider,
    },
};

use super::{
    Blame, Outcome, Party, Problem, Unfinished,
    fault::{Kind, Range, summed_up},
    findings::explanation,
};

/// How wide a line is, as far as its words allow.
const WIDTH: usize = 80;
/// Up to which width fields make a column.
const WIDEST_FIELD: usize = 32;

/// A line of a text, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The text, clean already.
    pub text: String,
    /// What it is.
    pub kind: LineKind,
}

/// What a line is, for colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// Words of the server, or a detail.
    Plain,
    /// The head of a cause.
    Cause,
    /// What can be done.
    Hint,
}

/// Who is at fault, the same for all projects that have the same cause.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A license's patch: id of the license.
    License(String),
    /// A value of the quota.
    Quota(QuotaField),
    /// Placeholders, by name.
    Placeholders(String),
    /// A field of the template.
    Template(String),
    /// What admission wrote.
    Injected,
    /// The namespace.
    Cluster,
    /// Not known: the requests were used up first.
    Unknown(String),
}

/// Writes about one project.
pub struct Teller<'a> {
    /// The project's pod.
    pub rendered: &'a Rendered,
    /// Names for those who wrote its fields.
    pub explained: &'a Explained<'a>,
    /// The namespace that was asked.
    pub namespace: &'a str,
    /// The budget of requests.
    pub max_requests: usize,
    /// What else is known of the pod.
    pub findings: &'a [Located],
}

impl Teller<'_> {
    /// Everything about a refused pod.
    pub fn refused(&self, outcome: &Outcome) -> Vec<Line> {
        let mut lines = Lines::default();
        for (i, round) in outcome.rounds.iter().enumerate() {
            if i == 1 {
                lines.plain("");
                lines.plain("hidden behind it, once the above is mended:");
            }
            for line in escape::terminal(&round.text).lines() {
                lines.plain(line);
            }
        }
        let causes = self.causes(outcome);
        lines.plain("");
        lines.plain(&format!(
            "{}, {}, {}",
            counted(outcome.problems().count(), "problem"),
            counted(causes.len(), "cause"),
            counted(outcome.requests, "request")
        ));
        let several = causes.len() > 1;
        for (number, (_, problems)) in causes.iter().enumerate() {
            lines.plain("");
            self.cause(&mut lines, several.then_some(number + 1), problems);
        }
        let unfinished = match outcome.unfinished {
            Some(Unfinished::Budget) => Some(format!(
                "the budget of requests is used up; --max-requests {} looks further",
                self.max_requests.saturating_mul(4)
            )),
            Some(Unfinished::NoWay) => {
                Some("what the server checks after this is not known: mend it and ask again".to_owned())
            }
            None => None,
        };
        if let Some(text) = unfinished {
            lines.plain("");
            lines.hint(&text, 0);
        }
        lines.0
    }

    /// A problem in one line: the field and the server's words, and how a value of the quota comes about.
    pub fn words(&self, problem: &Problem) -> String {
        let mut text = match &problem.fault.field {
            Some(field) => format!("{field}: {}", words(problem)),
            None => words(problem),
        };
        if let Some(Party::Writer(Writer::Quota(field))) = problem.blame.first().map(|blame| &blame.party)
            && let Some((_, why)) = self.explained.quota_value(*field)
        {
            text.push_str(&format!(" ({why})"));
        }
        escape::line(&text).into_owned()
    }

    /// The problems by their causes, in the order in which they were found.
    pub fn causes<'o>(&self, outcome: &'o Outcome) -> Vec<(Cause, Vec<&'o Problem>)> {
        let mut causes: Vec<(Cause, Vec<&Problem>)> = Vec::new();
        for problem in outcome.problems() {
            let cause = self.cause_of(problem);
            match causes.iter_mut().find(|(other, _)| *other == cause) {
                Some((_, problems)) => problems.push(problem),
                None => causes.push((cause, vec![problem])),
            }
        }
        causes
    }

    fn cause_of(&self, problem: &Problem) -> Cause {
        let Some(first) = problem.blame.first() else {
            return Cause::Unknown(problem.fault.key.clone());
        };
        match &first.party {
            Party::Injected => Cause::Injected,
            Party::Cluster => Cause::Cluster,
            Party::Writer(Writer::Quota(field)) => Cause::Quota(*field),
            Party::Writer(Writer::Placeholders(list)) => {
                let names: Vec<&str> = list.iter().map(|placeholder| placeholder.text()).collect();
                Cause::Placeholders(names.join(", "))
            }
            Party::Writer(Writer::Template) => {
                Cause::Template(first.at.as_deref().map(field_path).unwrap_or_default())
            }
            Party::Writer(Writer::Operation { patch, .. }) => Cause::License(
                self.rendered
                    .patches
                    .get(*patch)
                    .map_or_else(String::new, |patch| patch.license.clone()),
            ),
        }
    }

    /// A cause in one line, without the project: `license "Lab NFS" f3d76abf, operation 2 of 2 (add /spec/volumes/-)`.
    pub fn short(&self, problem: &Problem) -> String {
        let Some(first) = problem.blame.first() else {
            return "not known who: the requests were used up first".to_owned();
        };
        match &first.party {
            Party::Writer(Writer::Operation { patch, operation }) => {
                let Some(of) = self.rendered.patches.get(*patch) else {
                    return String::new();
                };
                let operations = of.operations();
                let shown = operations
                    .get(*operation)
                    .map_or_else(String::new, |op| format!(" ({} {})", op.op(), op.path()));
                format!(
                    "{}, operation {} of {}{}",
                    license_name(&of.title, &of.license),
                    operation + 1,
                    operations.len(),
                    escape::line(&shown)
                )
            }
            Party::Writer(Writer::Quota(field)) => self.quota_head(*field),
            _ => self.party_name(first),
        }
    }

    fn cause(&self, lines: &mut Lines, number: Option<usize>, problems: &[&Problem]) {
        let Some(first) = problems.first() else { return };
        let number = number.map_or_else(String::new, |number| format!("{number:<3}"));
        let margin = number.len().max(2);
        let pad = problems
            .iter()
            .map(|problem| escape::width(&field_of(problem)))
            .filter(|width| *width <= WIDEST_FIELD)
            .max()
            .unwrap_or(0);
        let head = match first.blame.first() {
            None => "not known who: the requests were used up first".to_owned(),
            Some(blame) => match &blame.party {
                Party::Writer(Writer::Operation { patch, .. }) => self.license_head(*patch),
                Party::Writer(Writer::Quota(field)) => self.quota_head(*field),
                Party::Writer(Writer::Template) if blame.at.as_ref().is_some_and(Vec::is_empty) => {
                    "the template: the pod is rejected without patches, too".to_owned()
                }
                _ => self.party_name(blame),
            },
        };
        lines.folded(LineKind::Cause, &number, &head, number.len());
        let is_license = matches!(
            first.blame.first().map(|blame| &blame.party),
            Some(Party::Writer(Writer::Operation { .. }))
        );
        if let Some(Party::Writer(Writer::Quota(field))) = first.blame.first().map(|blame| &blame.party)
            && let Some((_, why)) = self.explained.quota_value(*field)
        {
            let lead = " ".repeat(margin + 2);
            lines.folded(LineKind::Plain, &lead, &escape::line(&why), margin + 2);
        }
        if is_license {
            self.operations(lines, margin, pad, problems);
        } else {
            for problem in problems {
                self.problem(lines, margin + 2, pad, problem);
            }
        }
        let mut told: Vec<String> = Vec::new();
        for problem in problems {
            for hint in self.hints(problem) {
                if !told.contains(&hint) {
                    lines.hint(&hint, margin);
                    told.push(hint);
                }
            }
        }
    }

    fn operations(&self, lines: &mut Lines, margin: usize, pad: usize, problems: &[&Problem]) {
        let mut by_operation: BTreeMap<Vec<(usize, usize)>, Vec<&Problem>> = BTreeMap::new();
        for problem in problems {
            let own = self.own_operations(problem);
            by_operation.entry(own).or_default().push(problem);
        }
        for (operations, problems) in by_operation {
            for (patch, operation) in operations {
                if let Some(of) = self.rendered.patches.get(patch)
                    && let Some(op) = of.operations().get(operation)
                {
                    let text = format!(
                        "operation {} of {}  {} {}",
                        operation + 1,
                        of.operations().len(),
                        op.op(),
                        op.path()
                    );
                    lines.folded(
                        LineKind::Plain,
                        &" ".repeat(margin),
                        &escape::line(&text),
                        margin + 2,
                    );
                }
            }
            for problem in problems {
                self.problem(lines, margin + 2, pad, problem);
            }
        }
    }

    /// The operations of the license that is blamed first.
    fn own_operations(&self, problem: &Problem) -> Vec<(usize, usize)> {
        let mut own = Vec::new();
        for blame in &problem.blame {
            if let Party::Writer(Writer::Operation { patch, operation }) = blame.party
                && own.first().is_none_or(|(first, _)| *first == patch)
                && (!is_collision(problem) || own.is_empty())
            {
                own.push((patch, operation));
            }
        }
        own.sort_unstable();
        own
    }

    /// `FIELD  what is wrong with it`, and who else is involved.
    fn problem(&self, lines: &mut Lines, indent: usize, pad: usize, problem: &Problem) {
        let field = field_of(problem);
        let mut text = match (is_collision(problem), problem.blame.get(1)) {
            (true, Some(other)) => {
                let place = other.at.as_deref().map(element).unwrap_or_default();
                let value = problem.value.as_ref().map_or_else(String::new, shown);
                format!(
                    "{value} is taken by {}:\n{}",
                    escape::line(&place),
                    self.party_name(other)
                )
            }
            _ => {
                let operations = self.own_operations(problem);
                let is_own = |(index, blame): &(usize, &Blame)| match blame.party {
                    Party::Writer(Writer::Operation { patch, operation }) => {
                        operations.contains(&(patch, operation))
                    }
                    _ => *index == 0,
                };
                let (own, others): (Vec<_>, Vec<_>) = problem.blame.iter().enumerate().partition(is_own);
                let with: Vec<String> = others
                    .iter()
                    .map(|(_, other)| format!("\ntogether with {}", self.party_with_violations(other)))
                    .collect();
                let violations: Vec<String> = own
                    .iter()
                    .flat_map(|(_, blame)| blame.violations.clone())
                    .collect();
                // Each party's own, where the server's words are about several.
                let words = if with.is_empty() || violations.is_empty() {
                    words(problem)
                } else {
                    summed_up(&violations).join(", ")
                };
                format!("{}{}", escape::line(&words), with.concat())
            }
        };
        if let Some(explanation) = explanation(self.findings, problem) {
            text.push_str(&format!("\n{}", escape::line(explanation)));
        }
        if !problem.proved && !problem.blame.is_empty() {
            text.push_str("\n(by the field that the server names; not proved by asking without it)");
        }
        let lead = if field.is_empty() {
            " ".repeat(indent)
        } else {
            let blanks = pad.saturating_sub(escape::width(&field)) + 2;
            format!("{:indent$}{field}{:blanks$}", "", "")
        };
        let hang = escape::width(&lead);
        // A field so long that nothing fits behind it has a line of its own.
        if hang > WIDTH / 2 && !field.is_empty() {
            lines.plain(lead.trim_end());
            for part in text.split('\n') {
                lines.folded(LineKind::Plain, &" ".repeat(indent + 2), part, indent + 2);
            }
            return;
        }
        for (i, part) in text.split('\n').enumerate() {
            let lead = if i == 0 { lead.clone() } else { " ".repeat(hang) };
            lines.folded(LineKind::Plain, &lead, part, hang);
        }
    }

    fn license_head(&self, patch: usize) -> String {
        self.rendered.patches.get(patch).map_or_else(String::new, |of| {
            let id = escape::line(&of.license);
            if of.title.is_empty() {
                format!("license {id}")
            } else {
                format!("license {:?} {id}", of.title)
            }
        })
    }

    fn quota_head(&self, field: QuotaField) -> String {
        match self.explained.quota_value(field) {
            Some((value, _)) => format!("quota {} = {value}", field.name()),
            None => format!("quota {}", field.name()),
        }
    }

    /// Who it is and, where a Pod Security Standard has something against several, what against this one.
    fn party_with_violations(&self, blame: &Blame) -> String {
        let name = match &blame.party {
            Party::Writer(Writer::Template) if !blame.violations.is_empty() => "the template".to_owned(),
            _ => self.party_name(blame),
        };
        if blame.violations.is_empty() {
            return name;
        }
        format!(
            "{name}: {}",
            escape::line(&summed_up(&blame.violations).join(", "))
        )
    }

    /// Who it is, in the middle of a sentence.
    fn party_name(&self, blame: &Blame) -> String {
        let at = blame.at.as_deref().map(field_path).unwrap_or_default();
        match &blame.party {
            Party::Cluster => "the namespace's own limits or objects, whoever's pod it is".to_owned(),
            Party::Injected => format!("what the server's admission wrote at {}", escape::line(&at)),
            Party::Writer(Writer::Template) if at.is_empty() => "the template".to_owned(),
            Party::Writer(Writer::Template) => format!("the template, {}", escape::line(&at)),
            Party::Writer(Writer::Placeholders(list)) => {
                let names: Vec<&str> = list.iter().map(|placeholder| placeholder.text()).collect();
                let s = if names.len() == 1 { "" } else { "s" };
                format!("placeholder{s} {} at {}", names.join(", "), escape::line(&at))
            }
            Party::Writer(Writer::Quota(field)) => self.quota_head(*field),
            Party::Writer(Writer::Operation { patch, operation }) => {
                self.rendered.patches.get(*patch).map_or_else(String::new, |of| {
                    format!(
                        "{}, operation {}",
                        license_name(&of.title, &of.license),
                        operation + 1
                    )
                })
            }
        }
    }

    fn hints(&self, problem: &Problem) -> Vec<String> {
        let id = &self.rendered.project_id;
        let licenses: Vec<&str> = self.blamed_licenses(problem);
        let short = |id: &str| id.get(..8).unwrap_or(id).to_owned();
        let mut hints = Vec::new();
        match (&problem.fault.kind, problem.blame.first().map(|blame| &blame.party)) {
            (_, Some(Party::Writer(Writer::Operation { .. }))) => match &licenses[..] {
                [_, other, ..] if is_collision(problem) => hints.push(format!(
                    "the project has both licenses; without one of them this is gone:\nkubectl cocalc dry-run {id} \
                     \\\n  --drop-license {}",
                    short(other)
                )),
                [only, ..] if self.is_what_if(only) => {}
                [only, ..] => hints.push(format!(
                    "mend the license's patch in an editor, with what it does to this pod:\nkubectl cocalc patch-diff \
                     {id} \\\n  --for-license {} --edit -o license",
                    short(only)
                )),
                [] => {}
            },
            (Kind::LimitRange(range), Some(Party::Writer(Writer::Quota(field)))) => {
                hints.extend(self.limit_hint(range, *field));
            }
            (Kind::Quota { .. }, Some(Party::Cluster)) => hints.push(format!(
                "stop projects, or raise the ResourceQuota of namespace {}",
                self.namespace
            )),
            (Kind::ServiceAccount, _) => {
                if let Some(name) = quoted(&problem.fault.message, "serviceaccount ") {
                    hints.push(format!(
                        "kubectl create serviceaccount {} -n {}",
                        escape::line(&name),
                        self.namespace
                    ));
                }
            }
            (Kind::Unknown, Some(Party::Writer(Writer::Template))) => {
                hints.push("correct ConfigMap project-pod through the chart's values".to_owned());
            }
            _ => {}
        }
        hints
    }

    fn is_what_if(&self, license: &str) -> bool {
        self.explained.is_what_if(license)
    }

    fn blamed_licenses(&self, problem: &Problem) -> Vec<&str> {
        let mut licenses: Vec<&str> = Vec::new();
        for blame in &problem.blame {
            if let Party::Writer(Writer::Operation { patch, .. }) = blame.party
                && let Some(of) = self.rendered.patches.get(patch)
                && !licenses.contains(&&*of.license)
            {
                licenses.push(&of.license);
            }
        }
        licenses
    }

    /// Where the number comes from, and how large it may be.
    fn limit_hint(&self, range: &Range, field: QuotaField) -> Option<String> {
        let bound = escape::line(&range.bound).into_owned();
        let decisive = self.explained.decisive(field);
        let what = match &decisive.last()?.by {
            Decider::Maximum {
                name,
                built_in: false,
            } => format!("max_upgrades.{name}"),
            Decider::Default(_) | Decider::Overcommit(_) => format!("default_quotas for {}", field.name()),
            Decider::License(_) | Decider::OldLicense(_) => {
                let licenses = decisive.iter().filter_map(|term| match &term.by {
                    Decider::License(id) | Decider::OldLicense(id) => Some(short_id(&id.to_string_lossy())),
                    _ => None,
                });
                match &licenses.collect::<Vec<_>>()[..] {
                    [only] => format!("the quota of license {only}"),
                    several => format!("the quota of one of the licenses {}", several.join(", ")),
                }
            }
            Decider::User(_) | Decider::Setting(_) => format!("the project's own {}", field.name()),
            _ => return Some("change the LimitRange".to_owned()),
        };
        let verb = if range.maximum {
            ("lower", "raise")
        } else {
            ("raise", "lower")
        };
        Some(format!(
            "{} {what} to what {bound} allows, or {} the LimitRange",
            verb.0, verb.1
        ))
    }
}

fn short_id(id: &str) -> String {
    id.get(..8).unwrap_or(id).to_owned()
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn is_collision(problem: &Problem) -> bool {
    problem.blame.len() > 1 && problem.fault.is_collision()
}

/// The field at fault by its last two pieces; empty where none is known.
fn field_of(problem: &Problem) -> String {
    let at = problem.blame.first().and_then(|blame| blame.at.as_deref());
    let field = match (&problem.fault.field, at) {
        (Some(field), _) => field.clone(),
        (None, Some(at)) if !at.is_empty() => field_path(at),
        _ => String::new(),
    };
    last_pieces(&escape::line(&field))
}

/// The server's words without what stands before them already.
fn words(problem: &Problem) -> String {
    let message = &problem.fault.message;
    let given = match &problem.fault.kind {
        Kind::LimitRange(range) if !range.given.is_empty() => {
            let sign = if range.maximum { ">" } else { "<" };
            return format!("{} {sign} {}", range.given, range.bound);
        }
        Kind::Unknown => return "unknown field".to_owned(),
        _ => message.split_once(" is forbidden: ").map(|(_, why)| why),
    };
    let text = given.unwrap_or(message);
    text.split_once("cannot be handled as a Pod: ")
        .map_or(text, |(_, why)| why)
        .to_owned()
}

/// `volumeMounts[7].mountPath` of `spec.containers[0].volumeMounts[7].mountPath`.
fn last_pieces(field: &str) -> String {
    let starts: Vec<usize> = field.match_indices('.').map(|(at, _)| at + 1).collect();
    match starts.len().checked_sub(2).and_then(|i| starts.get(i)) {
        // A name in brackets may hold dots.
        Some(start) if !field.contains('/') => field.get(*start..).unwrap_or(field).to_owned(),
        _ => field.to_owned(),
    }
}

/// The list element that holds a place: `volumeMounts[6]`.
fn element(path: &[crate::json_patch::PathPart]) -> String {
    use crate::json_patch::PathPart;
    let end = path
        .iter()
        .rposition(|part| matches!(part, PathPart::Index(_)))
        .map_or(path.len(), |at| at + 1);
    let whole = field_path(path.get(..end).unwrap_or(path));
    whole.rsplit('.').next().unwrap_or(&whole).to_owned()
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    let text = escape::line(&text);
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.into_owned(),
    }
}

/// The text in quotes behind a word.
fn quoted(message: &str, word: &str) -> Option<String> {
    let (_, rest) = message.split_once(&format!("{word}\""))?;
    rest.split_once('"').map(|(name, _)| name.to_owned())
}

#[derive(Default)]
struct Lines(Vec<Line>);

impl Lines {
    fn plain(&mut self, text: &str) {
        self.0.push(Line {
            text: text.to_owned(),
            kind: LineKind::Plain,
        });
    }

    fn folded(&mut self, kind: LineKind, lead: &str, text: &str, hang: usize) {
        let folded = escape::fold(text, WIDTH.saturating_sub(hang), 0);
        for (i, line) in folded.lines().enumerate() {
            let lead = if i == 0 { lead.to_owned() } else { " ".repeat(hang) };
            self.0.push(Line {
                text: format!("{lead}{line}"),
                kind,
            });
        }
    }

    /// `hint  TEXT`; commands of several lines stay as they are.
    fn hint(&mut self, text: &str, margin: usize) {
        for (i, line) in text.split('\n').enumerate() {
            let lead = if i == 0 { "hint  " } else { "      " };
            let lead = format!("{:margin$}{lead}", "");
            let kind = if i == 0 { LineKind::Hint } else { LineKind::Plain };
            self.folded(kind, &lead, line, margin + 6);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_shown_by_its_last_two_pieces() {
        assert_eq!(
            last_pieces("spec.containers[0].volumeMounts[7].mountPath"),
            "volumeMounts[7].mountPath"
        );
        assert_eq!(last_pieces("spec.volumes[7].name"), "volumes[7].name");
        assert_eq!(last_pieces("metadata.labels"), "metadata.labels");
        assert_eq!(last_pieces("spec"), "spec");
    }

    #[test]
    fn a_line_is_folded_behind_its_lead() {
        let mut lines = Lines::default();
        lines.folded(LineKind::Plain, "  field  ", &"word ".repeat(20), 9);
        assert!(lines.0.iter().all(|line| line.text.len() <= WIDTH));
        assert!(lines.0[1].text.starts_with("         word"));
    }
}
