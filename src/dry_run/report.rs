//! What `--report` prints: one object a project.

use serde_json::{Map, Value, json};

use crate::{
    check::Located,
    output::explain::Explained,
    pipeline::{Rendered, provenance::pointer},
};

use super::{Blame, Existing, Outcome, Party, Problem, concerns::Concern};

/// What is known of one project.
pub struct Told<'a> {
    /// The project's pod.
    pub rendered: &'a Rendered,
    /// Names for those who wrote its fields.
    pub explained: &'a Explained<'a>,
    /// The server's verdict.
    pub outcome: &'a Outcome,
    /// The pod that has its name already.
    pub existing: Option<&'a Existing>,
    /// What will keep it from running, although it is accepted.
    pub concerns: &'a [Concern],
    /// What else is known of it.
    pub findings: &'a [Located],
}

impl Told<'_> {
    fn findings(&self) -> Value {
        self.findings
            .iter()
            .map(|found| found.to_json(Some(self.explained)))
            .collect()
    }
}

/// `{"project_id", "accepted", "requests", "refusals", "findings", "warnings", …}`
pub fn report(told: &Told<'_>) -> Value {
    let Told {
        rendered, outcome, ..
    } = told;
    let refusals: Vec<Value> = outcome
        .problems()
        .map(|problem| refusal(told.explained, problem))
        .collect();
    let mut report = Map::new();
    report.insert("project_id".to_owned(), Value::from(rendered.project_id.as_str()));
    report.insert("accepted".to_owned(), json!(outcome.accepted));
    report.insert("requests".to_owned(), json!(outcome.requests));
    report.insert("refusals".to_owned(), Value::Array(refusals));
    report.insert("findings".to_owned(), told.findings());
    report.insert("warnings".to_owned(), json!(outcome.warnings));
    if outcome.accepted == Some(true) {
        let running = told.existing.is_some_and(Existing::is_running);
        report.insert("running".to_owned(), Value::Bool(running));
        if let Some(status) = told.existing.and_then(Existing::status) {
            report.insert("status".to_owned(), Value::from(status));
        }
        let concerns = told.concerns.iter().map(Concern::to_json).collect();
        report.insert("concerns".to_owned(), Value::Array(concerns));
    }
    if outcome.accepted == Some(false) {
        report.insert("complete".to_owned(), Value::Bool(outcome.unfinished.is_none()));
    }
    if let Some(error) = &outcome.error {
        report.insert("error".to_owned(), Value::from(error.to_string()));
    }
    Value::Object(report)
}

/// The report of a pod that CoCalc cannot make, or of a project that has none at all: nothing was asked. `findings` are
/// entries of the report's.
pub fn unasked(project_id: &str, findings: &[Value], key: &str, error: &Value) -> Value {
    let accepted = if key == "error" {
        Value::Null
    } else {
        Value::Bool(false)
    };
    json!({"project_id": project_id, "accepted": accepted, "requests": 0, "refusals": [],
           "findings": findings, "warnings": [], key: error})
}

/// `cocalc_error`: the operation that CoCalc cannot apply.
pub fn cocalc_error(rendered: &Rendered) -> Option<Value> {
    let failure = rendered.failure.as_ref()?;
    let patch = failure.patch.and_then(|patch| rendered.patches.get(patch));
    Some(json!({
        "license": patch.map(|patch| &patch.license), "title": patch.map(|patch| &patch.title),
        "operation": patch.map(|_| failure.operation), "class": failure.class.name(), "name": failure.name,
        "message": failure.message,
    }))
}

fn refusal(explained: &Explained<'_>, problem: &Problem) -> Value {
    let fault = &problem.fault;
    let mut entry = Map::new();
    entry.insert("layer".to_owned(), Value::from(fault.layer.name()));
    entry.insert("code".to_owned(), json!(fault.code));
    entry.insert("reason".to_owned(), Value::from(fault.reason.as_str()));
    entry.insert("message".to_owned(), Value::from(fault.message.as_str()));
    if let Some(field) = &fault.field {
        entry.insert("field".to_owned(), Value::from(field.as_str()));
    }
    entry.insert("proved".to_owned(), Value::Bool(problem.proved));
    let blame = problem
        .blame
        .iter()
        .flat_map(|blame| party(explained, blame))
        .collect();
    entry.insert("blame".to_owned(), Value::Array(blame));
    Value::Object(entry)
}

fn party(explained: &Explained<'_>, blame: &Blame) -> Vec<Value> {
    let at = blame.at.as_deref().map(pointer);
    let mut entries = match &blame.party {
        Party::Writer(writer) => explained.blame_json(writer, at.as_deref().unwrap_or_default()),
        Party::Injected => vec![json!({"by": "injected", "path": at})],
        Party::Cluster => vec![json!({"by": "cluster"})],
    };
    for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
        if let (Some(at), Party::Writer(_)) = (&at, &blame.party) {
            entry.insert("at".to_owned(), Value::from(at.as_str()));
        }
        if !blame.violations.is_empty() {
            entry.insert("violations".to_owned(), json!(blame.violations));
        }
        if let Some(in_value) = &blame.in_value {
            entry.insert("in_value".to_owned(), Value::from(pointer(in_value)));
        }
    }
    entries
}
