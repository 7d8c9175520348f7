//! The outcome as JSON.

use serde_json::{Map, Value, json};

use crate::{
    output::explain::Explained,
    pipeline::{Failure, Rendered, provenance::pointer},
};

use super::{
    Blame, Outcome, Party,
    concerns::Concern,
    fault::{Fault, Kind},
};

/// The report of a project that was asked about.
pub fn report(project_id: &str, outcome: &Outcome, explained: &Explained<'_>, concerns: &[Concern]) -> Value {
    let refusals = outcome
        .problems()
        .map(|problem| {
            let fault = &problem.fault;
            let mut entry = object(json!({
                "layer": fault.layer.name(),
                "code": fault.code,
                "reason": fault.reason,
                "message": fault.message,
                "proved": problem.proved,
                "blame": problem.blame.iter().flat_map(|blame| blame_json(blame, explained)).collect::<Vec<_>>(),
            }));
            if let Some(field) = &fault.field {
                entry.insert("field".to_owned(), Value::from(field.as_str()));
            }
            if let Some(remark) = remark(fault) {
                entry.insert("remark".to_owned(), Value::from(remark));
            }
            Value::Object(entry)
        })
        .collect::<Vec<_>>();
    let mut report = object(json!({
        "project_id": project_id,
        "accepted": outcome.accepted,
        "requests": outcome.requests,
        "refusals": refusals,
        "warnings": outcome.warnings,
    }));
    if !concerns.is_empty() {
        let concerns = concerns.iter().map(Concern::to_json).collect();
        report.insert("concerns".to_owned(), Value::Array(concerns));
    }
    if let Some(error) = &outcome.error {
        report.insert("error".to_owned(), Value::from(error.to_string()));
    }
    if let Some(unfinished) = outcome.unfinished {
        report.insert("unfinished".to_owned(), Value::from(unfinished.text()));
    }
    Value::Object(report)
}

/// The report of a project whose pod CoCalc cannot make.
pub fn cocalc_report(project_id: &str, rendered: &Rendered, failure: &Failure) -> Value {
    let patch = failure.patch.and_then(|patch| rendered.patches.get(patch));
    let error = json!({
        "license": patch.map(|patch| patch.license.as_str()),
        "title": patch.map(|patch| patch.title.as_str()),
        "operation": patch.map(|_| failure.operation),
        "class": failure.class.name(),
        "name": failure.name,
        "message": failure.message,
    });
    json!({
        "project_id": project_id, "accepted": false, "requests": 0, "refusals": [], "warnings": [],
        "cocalc_error": error,
    })
}

/// The report of a project that could not be asked about at all.
pub fn error_report(project_id: &str, error: &str) -> Value {
    json!({
        "project_id": project_id, "accepted": null, "requests": 0, "refusals": [], "warnings": [], "error": error,
    })
}

/// What to add to a fault that CoCalc itself would never see.
pub fn remark(fault: &Fault) -> Option<&'static str> {
    (fault.kind == Kind::Unknown)
        .then_some("CoCalc's own request is accepted, and the field is dropped without a word")
}

fn blame_json(blame: &Blame, explained: &Explained<'_>) -> Vec<Value> {
    let at = blame.at.as_deref().map(pointer);
    let writer = match &blame.party {
        Party::Cluster => return vec![json!({"by": "cluster"})],
        Party::Injected => return vec![json!({"by": "injected", "path": at.unwrap_or_default()})],
        Party::Writer(writer) => writer,
    };
    let mut entries = explained.blame_json(writer, at.as_deref().unwrap_or_default());
    for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
        if entry.get("by") != Some(&Value::from("license")) {
            continue;
        }
        if let Some(at) = &at {
            entry.insert("at".to_owned(), Value::from(at.as_str()));
        }
        if let Some(rest) = &blame.in_value {
            entry.insert("in_value".to_owned(), Value::from(pointer(rest)));
        }
    }
    entries
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The report of a project whose patched pod is nothing that can be sent.
pub fn unsendable_report(project_id: &str, error: &str) -> Value {
    json!({
        "project_id": project_id, "accepted": false, "requests": 0, "refusals": [], "warnings": [],
        "cocalc_error": {"license": null, "title": null, "operation": null, "class": "TypeError", "name": null,
                         "message": error},
    })
}
