//! What is wrong with a pod, told without a cluster.
//!
//! The API server checks a pod in layers, each of which hides the next; here are the two that depend on nothing
//! but the pod: decoding and validation (Kubernetes 1.36). An `error` means that the API server refuses the pod,
//! and is only given where it does; what newer or older servers see differently, and what every server accepts
//! although hardly anyone can want it, are warnings and notes. A test holds the verdict against a real API server
//! over hundreds of pods.
//!
//! The five placeholders count as good values, so that a patch can be judged with a template alone.

mod at;
mod change;
mod containers;
mod decode;
mod names;
mod parties;
mod ports;
pub(crate) mod quantity;
mod scheduling;
pub(crate) mod schema;
mod spec;
mod virtual_paths;
mod volumes;
mod warned;
mod warnings;

use std::{borrow::Cow, collections::HashSet};

use serde_json::Value;

use crate::{json_patch::PathPart, pipeline::placeholders::Placeholder};

use super::{Finding, Severity, rules::server_warns};
use at::At;
pub use change::check_change;
pub use parties::{Blamer, writers};
pub(crate) use parties::{Trials, locate};
use quantity::Quantity;
pub use warned::Warned;

/// Something to tell about a field of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFinding {
    /// The field as the API server writes it, whose indices it sometimes leaves out:
    /// `spec.containers[0].volumeMounts[1].mountPath`.
    pub field: String,
    /// Where the value at fault stands in the pod; where it would stand, if it is missing.
    pub path: Vec<PathPart>,
    /// The other places that take part: of a collision the place that was there first, of a request its limit.
    pub others: Vec<Vec<PathPart>>,
    /// What is wrong.
    pub finding: Finding,
}

/// All that the API server would refuse in decoding or validation, and what it accepts in silence.
///
/// Takes time and memory in proportion to the pod. Recurses as deep as the pod if it holds placeholders.
pub fn check_pod(pod: &Value) -> Vec<PodFinding> {
    let pod = with_stand_ins(pod);
    let at = At::root(&pod);
    let mut report = Report::default();
    decode::decode(&at, &mut report);
    if pod.is_object() {
        let wrong: HashSet<Vec<PathPart>> = report
            .findings
            .iter()
            .filter(|found| found.finding.rule == "pod-wrong-type")
            .map(|found| found.path.clone())
            .collect();
        let decoded = report.findings.len();
        spec::validate(&at, &mut report);
        // Of what could not be read nothing more is told.
        let mut number = 0;
        report.findings.retain(|found| {
            number += 1;
            number <= decoded
                || wrong.is_empty()
                || !(0..=found.path.len()).any(|end| wrong.contains(&found.path[..end]))
        });
        // Nor is there a warning of what is refused.
        let refused: HashSet<Vec<PathPart>> = report
            .findings
            .iter()
            .filter(|found| found.finding.severity == Severity::Error)
            .map(|found| found.path.clone())
            .collect();
        report
            .findings
            .retain(|found| !(server_warns(found.finding.rule) && refused.contains(&found.path)));
    }
    report.findings
}

/// Whether two texts are the same quantity, however written.
pub(crate) fn quantity_equal(a: &str, b: &str) -> bool {
    a == b || Quantity::parse(a).is_some_and(|a| Some(a) == Quantity::parse(b))
}

/// Whether a quantity is larger than another one; false if one of the texts is none.
pub(crate) fn quantity_is_above(a: &str, b: &str) -> bool {
    Quantity::parse(a)
        .zip(Quantity::parse(b))
        .is_some_and(|(a, b)| a > b)
}

/// The pod with something good in the place of each placeholder.
fn with_stand_ins(pod: &Value) -> Cow<'_, Value> {
    if !holds_placeholder(pod) {
        return Cow::Borrowed(pod);
    }
    let mut pod = pod.clone();
    replace_placeholders(&mut pod);
    Cow::Owned(pod)
}

fn holds_placeholder(value: &Value) -> bool {
    match value {
        Value::String(text) => has_placeholder(text),
        Value::Array(list) => list.iter().any(holds_placeholder),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| has_placeholder(key) || holds_placeholder(value)),
        _ => false,
    }
}

fn has_placeholder(text: &str) -> bool {
    text.contains('{') && Placeholder::ALL.iter().any(|p| text.contains(p.text()))
}

fn stand_in(text: &str) -> String {
    Placeholder::ALL
        .iter()
        .fold(text.to_owned(), |text, placeholder| {
            let value = match placeholder {
                Placeholder::ProjectId => crate::pipeline::STAND_IN,
                _ => "0",
            };
            text.replace(placeholder.text(), value)
        })
}

fn replace_placeholders(value: &mut Value) {
    match value {
        Value::String(text) if has_placeholder(text) => *text = stand_in(text),
        Value::Array(list) => list.iter_mut().for_each(replace_placeholders),
        // Names stay: they are part of the path, and no field of a pod is named by a placeholder.
        Value::Object(map) => map.values_mut().for_each(replace_placeholders),
        _ => {}
    }
}

/// What is wrong with a mode of a file.
const MODE: &str = "a mode is between 0 and 0777, that is 511: JSON has no octal numbers";

/// Collects findings; each method is one question to a field.
#[derive(Default)]
struct Report {
    findings: Vec<PodFinding>,
}

impl Report {
    fn push(
        &mut self,
        (rule, severity): (&'static str, Severity),
        at: &At<'_>,
        field: String,
        message: String,
        others: Vec<Vec<PathPart>>,
    ) {
        self.findings.push(PodFinding {
            field,
            path: at.path(),
            others,
            finding: Finding::new(rule, severity, message),
        });
    }

    fn error(&mut self, rule: &'static str, at: &At<'_>, message: impl Into<String>) {
        self.push(
            (rule, Severity::Error),
            at,
            at.field(),
            message.into(),
            Vec::new(),
        );
    }

    /// An error that the API server tells of another field.
    fn error_at(&mut self, rule: &'static str, at: &At<'_>, field: String, message: impl Into<String>) {
        self.push((rule, Severity::Error), at, field, message.into(), Vec::new());
    }

    /// An error in which other places take part.
    fn error_with(&mut self, rule: &'static str, at: &At<'_>, message: String, others: Vec<Vec<PathPart>>) {
        self.push((rule, Severity::Error), at, at.field(), message, others);
    }

    fn error_full(
        &mut self,
        rule: &'static str,
        at: &At<'_>,
        field: String,
        message: String,
        others: Vec<Vec<PathPart>>,
    ) {
        self.push((rule, Severity::Error), at, field, message, others);
    }

    fn warning(&mut self, rule: &'static str, at: &At<'_>, message: impl Into<String>) {
        self.push(
            (rule, Severity::Warning),
            at,
            at.field(),
            message.into(),
            Vec::new(),
        );
    }

    fn warning_with(&mut self, rule: &'static str, at: &At<'_>, message: String, others: Vec<Vec<PathPart>>) {
        self.push((rule, Severity::Warning), at, at.field(), message, others);
    }

    /// A warning that the API server gives of another field.
    fn warning_at(&mut self, rule: &'static str, at: &At<'_>, field: String, message: &str) {
        let message = message.to_owned();
        self.push((rule, Severity::Warning), at, field, message, Vec::new());
    }

    fn note(&mut self, rule: &'static str, at: &At<'_>, message: impl Into<String>) {
        self.push((rule, Severity::Note), at, at.field(), message.into(), Vec::new());
    }

    /// Whether the text is there; an error if it is empty or missing.
    fn required(&mut self, at: &At<'_>) -> bool {
        // What is of another type has been told.
        let missing = at.text().is_empty() && (!at.is_set() || at.value().is_string());
        if missing {
            self.error("pod-required", at, "it is required");
        }
        !at.text().is_empty()
    }

    /// An error if something is wrong with the text.
    fn syntax(&mut self, rule: &'static str, at: &At<'_>, wrong: Option<&'static str>) {
        if let Some(wrong) = wrong {
            self.error(rule, at, format!("{:?}: {wrong}", at.text()));
        }
    }

    /// An error if there is a text that is none of these.
    fn one_of(&mut self, at: &At<'_>, known: &[&str]) {
        if let Some(text) = at.value().as_str()
            && !known.contains(&text)
        {
            let named: Vec<&str> = known.iter().copied().filter(|text| !text.is_empty()).collect();
            self.error(
                "pod-unsupported-value",
                at,
                format!("{text:?} is none of {}", named.join(", ")),
            );
        }
    }

    /// The same where an empty text gets a default.
    fn one_of_or_empty(&mut self, at: &At<'_>, known: &[&str]) {
        if !at.text().is_empty() {
            self.one_of(at, known);
        }
    }

    /// An error if there is a number outside of these.
    fn range(&mut self, at: &At<'_>, least: i64, most: i64) {
        if at.int().is_some_and(|n| n < least || n > most) {
            self.error(
                "pod-out-of-range",
                at,
                format!("{} is not between {least} and {most}", at.value()),
            );
        }
    }

    /// An error if there is a number that is no mode of a file.
    fn mode(&mut self, at: &At<'_>) {
        if at.int().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
            self.error("pod-out-of-range", at, format!("{}: {MODE}", at.value()));
        }
    }

    /// The quantity, if it is a good one.
    fn quantity(&self, at: &At<'_>) -> Option<Quantity> {
        match at.value() {
            Value::String(text) => Quantity::parse(text),
            Value::Number(number) => Quantity::parse(&crate::json::number_text(number.as_f64()?)),
            _ => None,
        }
    }
}
