//! What an error in the log means, and which operation is to blame.

use serde_json::Value;

use super::{
    Replay,
    reader::{Scanner, escaped_string},
};
use crate::{
    check::{Severity, pod::check_pod},
    json,
    json_patch::{ErrorClass, Failure, Key, PathPart},
    pipeline::provenance::{keys, pointer},
};

/// How much of a line is shown.
const SHOWN: usize = 500;
/// How many places in a line are tried as the start of a Status.
const MOST_TRIES: usize = 16;

/// Who wrote what an error complains of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blame {
    /// This operation of the patch set, from 0.
    Operation(usize),
    /// Nobody's patch: it was in the pod before.
    Before,
}

/// A field that the API server refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field as the server writes it.
    pub field: String,
    /// The server's words behind it; may be empty.
    pub message: String,
    /// The pointer of the value in the pod that was sent, where it is known.
    pub path: Option<String>,
    /// Who wrote it; of a collision the later one first. Empty if the pod is not known.
    pub blame: Vec<Blame>,
}

/// What an error means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The error in few words, without what the logger put around it.
    pub message: String,
    /// Who refuses: `fast-json-patch`, `API server`; empty if that is not known.
    pub from: &'static str,
    /// What it means, in a sentence each.
    pub sentences: Vec<String>,
    /// The operation at which patching stops, from 0.
    pub operation: Option<usize>,
    /// The fields that the API server refuses.
    pub faults: Vec<Fault>,
}

/// Explains a line of the log by what is known of the start it belongs to.
pub fn explain(text: &str, replay: Option<&Replay>) -> Explanation {
    if let Some(status) = status(text) {
        return refusal(&status, replay);
    }
    if let Some(name) = patch_error(text) {
        return patching(text, name, replay);
    }
    let refused = [
        " is invalid: ",
        " is forbidden: ",
        "admission webhook ",
        "strict decoding error",
    ];
    if refused.iter().any(|words| text.contains(words)) {
        let status = Status {
            message: text.trim().to_owned(),
            causes: Vec::new(),
        };
        return refusal(&status, replay);
    }
    Explanation {
        message: shown(text),
        ..Explanation::default()
    }
}

fn shown(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} …", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The name of an error that `applyPatch` throws.
fn patch_error(text: &str) -> Option<&str> {
    let codes = ["TEST_OPERATION_FAILED", "SEQUENCE_NOT_AN_ARRAY", "OPERATION_"];
    if let Some(at) = codes.iter().filter_map(|code| text.find(code)).min() {
        let name = text.get(at..)?;
        let end = name
            .find(|c: char| !(c.is_ascii_uppercase() || c == '_'))
            .unwrap_or(name.len());
        return name.get(..end);
    }
    ["TypeError", "RangeError"]
        .into_iter()
        .find(|name| text.contains(name))
}

fn patching(text: &str, name: &str, replay: Option<&Replay>) -> Explanation {
    let mut explanation = Explanation {
        message: shown(text),
        from: "fast-json-patch",
        ..Explanation::default()
    };
    let Some(replay) = replay else {
        explanation.sentences.push(meaning(name).to_owned());
        return explanation;
    };
    let is = |failure: &&Failure| failure.name.unwrap_or(failure.class.name()) == name;
    if let Some(failure) = replay.failure.as_ref().filter(is) {
        explanation.operation = Some(failure.operation);
        explanation
            .sentences
            .push(format!("our application stops there too: {}", failure.message));
    } else if let Some(failure) = replay.other_failure.as_ref().filter(is) {
        explanation.operation = Some(failure.operation);
        let value = if failure.class == ErrorClass::PatchError {
            "true"
        } else {
            "false"
        };
        explanation.sentences.push(format!(
            "our application stops there with assumptions.validate_operation: {value}: {}",
            failure.message
        ));
    } else {
        explanation.sentences.push(meaning(name).to_owned());
        explanation
            .sentences
            .push("our application of the patch set does not fail so".to_owned());
    }
    explanation
}

/// What an error of `applyPatch` means where it is not known which operation it is of.
fn meaning(name: &str) -> &'static str {
    match name {
        "TEST_OPERATION_FAILED" => "a test operation met another value than it names",
        "OPERATION_PATH_UNRESOLVABLE" => "an operation names a field that is not there",
        "OPERATION_FROM_UNRESOLVABLE" => "a move or copy names a source that is not there",
        "OPERATION_PATH_CANNOT_ADD" => "an operation adds below a parent that is not there",
        "OPERATION_VALUE_OUT_OF_BOUNDS" => "an operation adds behind the end of a list",
        "OPERATION_PATH_ILLEGAL_ARRAY_INDEX" => "a path has something else than an index where a list is",
        "TypeError" => "fast-json-patch throws it where the parent that an operation names is not there",
        "RangeError" => "fast-json-patch throws it where a list would grow without limit",
        _ => "an operation of a patch is malformed",
    }
}

/// The part of a `Status` that tells what is wrong.
struct Status {
    message: String,
    /// Field and message.
    causes: Vec<(String, String)>,
}

/// The API server's `Status` in a line, as it is or inside a string.
fn status(text: &str) -> Option<Status> {
    if !text.contains("Status") {
        return None;
    }
    text.match_indices('{').take(MOST_TRIES).find_map(|(at, _)| {
        let rest = text.get(at..)?;
        let plain = || {
            let end = Scanner::default().push(rest)?;
            json::parse(rest.get(..end)?).ok()
        };
        let escaped = || {
            let inner = escaped_string(rest)?.0;
            let end = Scanner::default().push(&inner)?;
            json::parse(inner.get(..end)?).ok()
        };
        let json = plain().or_else(escaped)?;
        if json.get("kind")?.as_str()? != "Status" {
            return None;
        }
        let string = |json: &json::Json, name: &str| {
            json.get(name)
                .and_then(json::Json::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let causes = json
            .get("details")
            .and_then(|details| details.get("causes")?.as_list())
            .unwrap_or_default();
        Some(Status {
            message: string(&json, "message"),
            causes: causes
                .iter()
                .map(|cause| (string(cause, "field"), string(cause, "message")))
                .filter(|(field, _)| !field.is_empty())
                .collect(),
        })
    })
}

fn refusal(status: &Status, replay: Option<&Replay>) -> Explanation {
    let mut explanation = Explanation {
        message: shown(&status.message),
        from: "API server",
        ..Explanation::default()
    };
    let named = if status.causes.is_empty() {
        fields(&status.message)
    } else {
        status.causes.clone()
    };
    let sent = replay.and_then(|replay| replay.document.to_value().ok());
    let known = sent.as_ref().map(check_pod).unwrap_or_default();
    for (field, message) in named {
        let found = known
            .iter()
            .filter(|found| found.finding.severity == Severity::Error)
            .find(|found| found.field == field);
        let (path, places) = match found {
            Some(found) => {
                let others = found.others.iter().cloned();
                (
                    Some(found.path.clone()),
                    std::iter::once(found.path.clone()).chain(others).collect(),
                )
            }
            None => {
                let path = sent.as_ref().and_then(|sent| path_of(&field, sent));
                (path.clone(), path.into_iter().collect::<Vec<_>>())
            }
        };
        let mut blame: Vec<Blame> = Vec::new();
        for writer in places.iter().filter_map(|path| writer(replay?, path)) {
            if !blame.contains(&writer) {
                blame.push(writer);
            }
        }
        // Of a collision the later one comes first.
        blame.sort_by_key(|blame| match blame {
            Blame::Operation(operation) => usize::MAX - operation,
            Blame::Before => usize::MAX,
        });
        explanation.faults.push(Fault {
            field,
            message,
            path: path.as_deref().map(pointer),
            blame,
        });
    }
    explanation
}

/// The operation that wrote the value at a path, or its nearest parent, or that removed it.
fn writer(replay: &Replay, path: &[PathPart]) -> Option<Blame> {
    let keys: Vec<Key<'_>> = keys(path);
    let document = &replay.document;
    // A field that is gone is the deed of whoever removed it.
    let removed = replay.removals.iter().rev().find(|gone| gone.path == path);
    let removed = removed.filter(|_| !document.exists(&keys)).map(|gone| gone.stamp);
    let nearest = || {
        (0..=keys.len())
            .rev()
            .find_map(|end| document.writer_of(keys.get(..end)?))
    };
    let stamp = removed.or_else(nearest)?;
    Some(match usize::try_from(stamp).unwrap_or_default().checked_sub(1) {
        Some(operation) => Blame::Operation(operation),
        None => Blame::Before,
    })
}

/// The path of a field that the server names, as far as it exists in the pod.
pub fn path_of(field: &str, pod: &Value) -> Option<Vec<PathPart>> {
    let mut path = Vec::new();
    let mut value = pod;
    let mut rest = field;
    while !rest.is_empty() {
        let (name, after) = if let Some(inside) = rest.strip_prefix('[') {
            inside.split_once(']')?
        } else {
            let rest = rest.strip_prefix('.').unwrap_or(rest);
            rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()))
        };
        let next = match value {
            Value::Array(list) => {
                let index: usize = name.parse().ok()?;
                path.push(PathPart::Index(index));
                list.get(index)
            }
            // The name of a label may hold dots; the server puts such into brackets, or not.
            Value::Object(map) => {
                let whole = rest.trim_start_matches('.');
                if map.contains_key(whole) {
                    path.push(PathPart::Name(whole.into()));
                    return Some(path);
                }
                path.push(PathPart::Name(name.into()));
                map.get(name)
            }
            _ => None,
        };
        match next {
            Some(next) => value = next,
            // The rest is missing in the pod: its parent is what was written.
            None => return Some(path),
        }
        rest = after;
    }
    Some(path)
}

/// The fields that a message names, each with the words behind it.
fn fields(message: &str) -> Vec<(String, String)> {
    let mut starts: Vec<(usize, usize)> = Vec::new();
    for root in ["spec.", "metadata."] {
        for (at, _) in message.match_indices(root) {
            let before = message.get(..at).and_then(|before| before.chars().next_back());
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let mut depth = 0_usize;
            let length = message
                .get(at..)
                .unwrap_or_default()
                .find(|c: char| {
                    depth = match c {
                        '[' => depth + 1,
                        ']' => depth.saturating_sub(1),
                        _ => depth,
                    };
                    depth == 0 && !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '[' | ']' | '/'))
                })
                .unwrap_or(message.len() - at);
            starts.push((at, at + length));
        }
    }
    starts.sort_unstable();
    // `fieldPath: metadata.name` inside a value that is quoted is none of its own.
    let mut found: Vec<(String, String)> = Vec::new();
    for (i, (at, end)) in starts.iter().enumerate() {
        let next = starts.get(i + 1).map_or(message.len(), |(next, _)| *next);
        let words = message.get(*end..next).unwrap_or_default();
        let words = words.strip_prefix(':').unwrap_or_default();
        let words = words.trim().trim_end_matches([']', ',']).trim();
        let field = message.get(*at..*end).unwrap_or_default().trim_end_matches('.');
        if !found.iter().any(|(known, said)| known == field && said == words) {
            found.push((field.to_owned(), words.to_owned()));
        }
    }
    found
}
