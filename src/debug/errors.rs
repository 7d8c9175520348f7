//! What an error in the log means, and which operation is to blame.

use super::{
    Replay,
    reader::{Scanner, escaped_string},
};
use crate::{
    check::pod::check_pod,
    cluster::{Cause, Details, Status},
    dry_run::{
        fault::{self, Refusal},
        places,
    },
    json,
    json_patch::{ErrorClass, Failure, Key, PathPart},
    pipeline::provenance::{field_path, keys, pointer},
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
    if let Some(status) = status_in_words(text) {
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

/// A refusal of which the log has the words alone.
fn status_in_words(text: &str) -> Option<Status> {
    let has = |words: &str| text.contains(words);
    let mut status = Status {
        message: text.trim().to_owned(),
        ..Status::default()
    };
    if has(" is invalid: ") {
        status.code = 422;
        let causes = fields(text).into_iter().map(|(field, message)| Cause {
            field,
            message,
            ..Cause::default()
        });
        status.details = Some(Details {
            causes: causes.collect(),
            ..Details::default()
        });
    } else if has("strict decoding error") || has("cannot unmarshal") {
        status.code = 400;
    } else if has(" is forbidden: ") || (has("admission webhook ") && has(" denied the request")) {
        status.code = 403;
    } else {
        return None;
    }
    Some(status)
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
        let mut status: Status = serde_json::from_str(&json.stringify()).ok()?;
        if status.code == 0 {
            status.code = match &*status.reason {
                "Invalid" => 422,
                "BadRequest" => 400,
                _ => 403,
            };
        }
        Some(status)
    })
}

fn refusal(status: &Status, replay: Option<&Replay>) -> Explanation {
    let mut explanation = Explanation {
        message: shown(&status.message),
        from: "API server",
        ..Explanation::default()
    };
    let faults = match fault::read(status) {
        Refusal::Faults(faults) => faults,
        Refusal::Exists => {
            explanation
                .sentences
                .push("a pod of this name was there already".to_owned());
            return explanation;
        }
        Refusal::Unasked => return explanation,
    };
    let sent = replay.and_then(|replay| replay.document.to_value().ok());
    let known = sent.as_ref().map(check_pod).unwrap_or_default();
    for fault in faults {
        let found = sent
            .as_ref()
            .map(|sent| places(&fault, sent, &known))
            .unwrap_or_default();
        let mut blame: Vec<Blame> = Vec::new();
        let all = found
            .iter()
            .flat_map(|place| std::iter::once(&place.path).chain(&place.others));
        for writer in all.filter_map(|path| writer(replay?, path)) {
            if !blame.contains(&writer) {
                blame.push(writer);
            }
        }
        // Of a collision the later one comes first.
        blame.sort_by_key(|blame| match blame {
            Blame::Operation(operation) => usize::MAX - operation,
            Blame::Before => usize::MAX,
        });
        let path = found.first().map(|place| &*place.path);
        let Some(field) = fault.field.or_else(|| path.map(field_path)) else {
            continue;
        };
        explanation.faults.push(Fault {
            field,
            message: fault.violation.unwrap_or(fault.message),
            path: path.map(pointer),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_refusal_are_found_in_its_words() {
        let named = |message: &str| -> Vec<(String, String)> { fields(message) };
        let pair = |field: &str, words: &str| (field.to_owned(), words.to_owned());
        assert_eq!(
            named(
                "Pod \"project-x\" is invalid: [spec.volumes[7].name: Duplicate value: \"lab\", \
                 spec.containers[0].resources.requests[memory]: Invalid value: \"2Gi\": must be less]"
            ),
            [
                pair("spec.volumes[7].name", "Duplicate value: \"lab\""),
                pair(
                    "spec.containers[0].resources.requests[memory]",
                    "Invalid value: \"2Gi\": must be less"
                ),
            ]
        );
        assert_eq!(
            named("strict decoding error: unknown field \"spec.nodeSelecter\""),
            [pair("spec.nodeSelecter", "")]
        );
        assert_eq!(
            named(
                "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string"
            ),
            [pair("spec.containers.env.value", "")]
        );
        assert_eq!(named("exceeded quota: pods, requested: pods=1"), []);
    }

    #[test]
    fn what_is_no_known_error_is_shown_as_it_is_and_cut() {
        let told = explain(&format!("  cannot connect {}", "x".repeat(1000)), None);
        assert!(told.message.starts_with("cannot connect xxx") && told.message.ends_with(" …"));
        assert_eq!((told.from, told.faults.len()), ("", 0));
    }
}
