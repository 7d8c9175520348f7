//! A patch as RFC 6902 reads it: the second answer, beside what CoCalc does.
//!
//! The reading is the json-patch crate's, with two of its habits kept away. It compares numbers by how they
//! are stored (`1` and `1.0` differ), so all numbers are brought to one form first. And after a failure it
//! undoes what it has done, which can panic, so it is told not to, and given one operation at a time. One document goes
//! through all of them; nothing is cloned that the patch does not copy.

use std::fmt::Write as _;

use json_patch::{
    AddOperation, CopyOperation, MoveOperation, PatchOperation, RemoveOperation, ReplaceOperation,
    TestOperation, jsonptr::PointerBuf,
};
use serde::Deserialize as _;
use serde_json::Value;

use super::{Kind, MAX_TEXT};
use crate::json::{self, js_numbers};

/// How many keys of a map a reason lists.
const KEYS_SHOWN: usize = 8;

/// Why RFC 6902 forbids a patch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operation {}: {reason}", operation + 1)]
pub struct Rejected {
    /// Index of the operation, from 0; in text it counts from 1.
    pub operation: usize,
    /// What is wrong with it, without its number.
    pub reason: String,
}

/// The patched document, if RFC 6902 allows every operation. Numbers in it are JavaScript's
/// ([`js_numbers`]). Recurses as deep as the document and the values.
///
/// # Errors
/// The first operation that the RFC forbids. Members that it does not know are allowed, as it demands. A document
/// of more than about [`MAX_TEXT`] bytes of text, and more than about a second of copying, are refused.
pub fn strict(document: &Value, operations: &[Value]) -> Result<Value, Rejected> {
    let mut document = js_numbers(document).into_owned();
    strict_in_place(&mut document, operations)?;
    Ok(document)
}

/// [`strict`] of a document whose numbers are JavaScript's already, in place. After a failure it is what the
/// operations before made of it; of a `move` the source may be gone.
///
/// # Errors
/// As [`strict`].
pub fn strict_in_place<'o>(
    document: &mut Value,
    operations: impl IntoIterator<Item = &'o Value>,
) -> Result<(), Rejected> {
    let mut effort = Effort::default();
    for (index, operation) in operations.into_iter().enumerate() {
        let rejected = |reason| Rejected {
            operation: index,
            reason,
        };
        let operation = js_numbers(operation);
        let parsed = plain(&operation)
            .map_or_else(|| PatchOperation::deserialize(&*operation), Ok)
            .map_err(|error| rejected(format!("it is no operation of RFC 6902: {error}")))?;
        effort.spend(document, &parsed).map_err(rejected)?;
        // All but a move that fails leave the document as it was, and can be judged after the fact.
        let mut reason = None;
        if matches!(parsed, PatchOperation::Move(_)) {
            reason = reason_to_fail(document, &parsed);
        }
        if let Err(error) = json_patch::patch_unsafe(document, std::slice::from_ref(&parsed)) {
            let reason = reason.or_else(|| reason_to_fail(document, &parsed));
            return Err(rejected(reason.unwrap_or_else(|| error.kind.to_string())));
        }
    }
    Ok(())
}

/// What is an operation at first sight. The crate's own reading, which finds the words for all else, goes over it twice
/// for the sake of its tag.
fn plain(operation: &Value) -> Option<PatchOperation> {
    let pointer = |name: &str| PointerBuf::parse(operation.get(name)?.as_str()?).ok();
    let value = || operation.get("value").cloned();
    let path = pointer("path")?;
    Some(match operation.get("op")?.as_str()? {
        "add" => PatchOperation::Add(AddOperation {
            path,
            value: value()?,
        }),
        "remove" => PatchOperation::Remove(RemoveOperation { path }),
        "replace" => PatchOperation::Replace(ReplaceOperation {
            path,
            value: value()?,
        }),
        "move" => PatchOperation::Move(MoveOperation {
            from: pointer("from")?,
            path,
        }),
        "copy" => PatchOperation::Copy(CopyOperation {
            from: pointer("from")?,
            path,
        }),
        "test" => PatchOperation::Test(TestOperation {
            path,
            value: value()?,
        }),
        _ => return None,
    })
}

/// What the operations have cost so far. A `copy` copies, so that a few of them could make a document of any size,
/// and elements of a list are shifted; all else costs what the text of the patch does.
#[derive(Default)]
struct Effort {
    /// In bytes of text, about.
    work: u64,
    /// About how much text the document is, at most; known once something is copied.
    text: Option<u64>,
}

/// About one second's worth.
const MAX_WORK: u64 = 1 << 30;

impl Effort {
    fn spend(&mut self, document: &Value, operation: &PatchOperation) -> Result<(), String> {
        match operation {
            PatchOperation::Copy(copy) => {
                let Some(source) = document.pointer(copy.from.as_str()) else {
                    return Ok(());
                };
                let added = weight(source);
                self.work += 4 * added;
                let mut after = self.text.unwrap_or(MAX_TEXT).saturating_add(added);
                if after > MAX_TEXT {
                    // What was removed meanwhile is not counted.
                    let whole = weight(document);
                    self.work += whole;
                    after = whole.saturating_add(added);
                }
                self.text = Some(after);
                if after > MAX_TEXT {
                    return Err(format!(
                        "the document would have about {} MiB of text, more than this tool makes; copy less",
                        after >> 20
                    ));
                }
                self.shift(document, copy.path.as_str());
            }
            PatchOperation::Add(add) => self.shift(document, add.path.as_str()),
            PatchOperation::Remove(remove) => self.shift(document, remove.path.as_str()),
            PatchOperation::Move(shift) => {
                self.shift(document, shift.from.as_str());
                self.shift(document, shift.path.as_str());
            }
            PatchOperation::Replace(_) | PatchOperation::Test(_) => {}
        }
        if self.work > MAX_WORK {
            return Err(
                "the operations copy and shift more than this tool is ready to; make the patch smaller"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The elements behind a place in a list.
    fn shift(&mut self, document: &Value, path: &str) {
        let Some((parent, token)) = path.rsplit_once('/') else {
            return;
        };
        if let (Some(at), Some(Value::Array(list))) = (index(token), document.pointer(parent)) {
            self.work += list.len().saturating_sub(at) as u64;
        }
    }
}

/// About how many bytes of JSON text it is.
fn weight(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() as u64 + 2,
        Value::Array(list) => 2 + list.iter().map(|element| weight(element) + 1).sum::<u64>(),
        Value::Object(map) => {
            let member = |(name, value): (&String, &Value)| name.len() as u64 + 4 + weight(value);
            2 + map.iter().map(member).sum::<u64>()
        }
    }
}

/// The patched document, if RFC 6902 allows a patch of this text, whatever CoCalc's check thinks of it.
///
/// # Errors
/// Why not: what the text is instead of a patch, or the first operation that the RFC forbids.
pub fn strict_text(document: &Value, patch: &str) -> Result<Value, String> {
    let patch = json::parse(patch).map_err(|error| format!("the patch is no JSON: {error}"))?;
    match patch.to_value() {
        Ok(Value::Array(operations)) => {
            strict(document, &operations).map_err(|rejected| rejected.to_string())
        }
        Ok(other) => Err(format!(
            "the patch is {}, not a list of operations",
            Kind::of_value(&other)
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// Why the operation fails at this document, where that can be told at no great cost.
fn reason_to_fail(document: &Value, operation: &PatchOperation) -> Option<String> {
    match operation {
        PatchOperation::Add(add) => no_place(document, add.path.as_str()),
        PatchOperation::Remove(remove) => nothing_there(document, remove.path.as_str()),
        PatchOperation::Replace(replace) => nothing_there(document, replace.path.as_str()),
        PatchOperation::Test(test) => nothing_there(document, test.path.as_str()).or_else(|| {
            (document.pointer(test.path.as_str())? != &test.value)
                .then(|| format!("the value at {} is another one", shown(test.path.as_str())))
        }),
        PatchOperation::Copy(copy) => {
            nothing_there(document, copy.from.as_str()).or_else(|| no_place(document, copy.path.as_str()))
        }
        PatchOperation::Move(shift) => {
            let (from, path) = (shift.from.as_str(), shift.path.as_str());
            if path.strip_prefix(from).is_some_and(|rest| rest.starts_with('/')) {
                return Some(format!("{} cannot be moved into itself", shown(from)));
            }
            // The target is looked up in the document without the source; only what holds either way is told.
            nothing_there(document, from)
        }
    }
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "the root" } else { path }
}

/// Why there is no value at this path.
fn nothing_there(document: &Value, path: &str) -> Option<String> {
    let mut value = document;
    let mut at = 0;
    for token in path.split('/').skip(1) {
        match step(value, token) {
            Some(next) => {
                value = next;
                at += 1 + token.len();
            }
            None => return Some(missing(value, path.get(..at).unwrap_or_default(), token)),
        }
    }
    None
}

/// Why nothing can be added at this path.
fn no_place(document: &Value, path: &str) -> Option<String> {
    let (parent, token) = path.rsplit_once('/')?;
    if let Some(reason) = nothing_there(document, parent) {
        return Some(reason);
    }
    match document.pointer(parent)? {
        Value::Object(_) => None,
        Value::Array(list) if token == "-" || index(token).is_some_and(|index| index <= list.len()) => None,
        other => Some(missing(other, parent, token)),
    }
}

fn step<'a>(value: &'a Value, token: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(token.replace("~1", "/").replace("~0", "~").as_str()),
        Value::Array(list) => list.get(index(token)?),
        _ => None,
    }
}

/// An index as the RFC writes it: digits without a leading zero.
fn index(token: &str) -> Option<usize> {
    let well_formed =
        token.bytes().all(|byte| byte.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    well_formed.then(|| token.parse().ok())?
}

fn missing(parent: &Value, parent_path: &str, token: &str) -> String {
    let parent_path = shown(parent_path);
    match parent {
        Value::Object(map) => {
            let mut reason = format!("{parent_path} has no member {token:?}; it ");
            if map.is_empty() {
                reason.push_str("is an empty map");
                return reason;
            }
            reason.push_str("has ");
            for (at, name) in map.keys().take(KEYS_SHOWN).enumerate() {
                reason.push_str(if at > 0 { ", " } else { "" });
                reason.push_str(name);
            }
            if map.len() > KEYS_SHOWN {
                let _ = write!(reason, " and {} more", map.len() - KEYS_SHOWN);
            }
            reason
        }
        Value::Array(list) => {
            let elements = match list.len() {
                0 => "an empty list".to_owned(),
                1 => "a list of 1 element".to_owned(),
                length => format!("a list of {length} elements"),
            };
            if index(token).is_some() {
                format!("{parent_path} is {elements}; there is no index {token}")
            } else {
                format!("{parent_path} is {elements}; {token:?} is no index")
            }
        }
        Value::Null => format!("{parent_path} is null, so there is nothing below it"),
        Value::Bool(_) => format!("{parent_path} is a boolean, so there is nothing below it"),
        Value::Number(_) => format!("{parent_path} is a number, so there is nothing below it"),
        Value::String(_) => format!("{parent_path} is a string, so there is nothing below it"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reason(document: &Value, operation: Value) -> String {
        strict(document, &[operation]).unwrap_err().reason
    }

    #[test]
    fn a_reason_names_the_deepest_parent_that_is_there() {
        let pod = json!({"metadata": {"labels": {"a": "1"}, "name": "p"}, "args": ["x"], "none": {}});
        for (operation, expected) in [
            (
                json!({"op": "add", "path": "/metadata/annotations/x", "value": 1}),
                "/metadata has no member \"annotations\"; it has labels, name",
            ),
            (
                json!({"op": "add", "path": "/args/9", "value": 1}),
                "/args is a list of 1 element; there is no index 9",
            ),
            (
                json!({"op": "add", "path": "/args/01", "value": 1}),
                "/args is a list of 1 element; \"01\" is no index",
            ),
            (
                json!({"op": "remove", "path": "/args/project"}),
                "/args is a list of 1 element; \"project\" is no index",
            ),
            (
                json!({"op": "replace", "path": "/metadata/name/x", "value": 1}),
                "/metadata/name is a string, so there is nothing below it",
            ),
            (
                json!({"op": "remove", "path": "/none/x"}),
                "/none has no member \"x\"; it is an empty map",
            ),
            (
                json!({"op": "copy", "from": "/nope", "path": "/a"}),
                "the root has no member \"nope\"; it has args, metadata, none",
            ),
            (
                json!({"op": "move", "from": "/metadata", "path": "/metadata/labels/x"}),
                "/metadata cannot be moved into itself",
            ),
            (
                json!({"op": "test", "path": "/args/0", "value": "y"}),
                "the value at /args/0 is another one",
            ),
        ] {
            assert_eq!(reason(&pod, operation), expected);
        }
    }

    #[test]
    fn what_is_no_operation_is_said_with_its_number() {
        let patch = [
            json!({"op": "remove", "path": "/a"}),
            json!({"op": "add", "path": "/a"}),
        ];
        let rejected = strict(&json!({"a": 1}), &patch).unwrap_err();
        assert_eq!(rejected.operation, 1);
        assert!(
            rejected
                .to_string()
                .starts_with("operation 2: it is no operation of RFC 6902: missing field `value`")
        );
        let rejected = strict(&json!({}), &[json!({"op": "add", "path": "a", "value": 1})]).unwrap_err();
        assert!(rejected.reason.contains("slash"), "{rejected}");
    }

    #[test]
    fn a_text_that_is_no_patch_is_rejected_as_what_it_is() {
        let document = json!({"foo": 1});
        for (text, expected) in [
            ("[", "the patch is no JSON: "),
            ("{}", "the patch is a map, not a list of operations"),
            (
                r#"[{"op":"merge","path":"/foo","value":2}]"#,
                "operation 1: it is no operation",
            ),
            (
                r#"[{"op":"add","value":2}]"#,
                "operation 1: it is no operation of RFC 6902: missing field `path`",
            ),
        ] {
            let reason = strict_text(&document, text).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
        // CoCalc drops it for its from, which the RFC does not look at.
        let patch = r#"[{"op":"add","path":"/bar","value":2,"from":5}]"#;
        assert_eq!(strict_text(&document, patch), Ok(json!({"foo": 1, "bar": 2})));
    }

    #[test]
    fn numbers_are_equal_where_their_values_are() {
        let patch = [
            json!({"op": "test", "path": "/a", "value": 1}),
            json!({"op": "test", "path": "/b", "value": 0}),
            json!({"op": "replace", "path": "/b", "value": 2.0}),
        ];
        assert_eq!(
            strict(&json!({"a": 1.0, "b": -0.0}), &patch),
            Ok(json!({"a": 1, "b": 2}))
        );
    }

    #[test]
    fn a_failure_after_a_move_onto_an_ancestor_is_an_error_and_no_panic() {
        let patch = [
            json!({"op": "move", "from": "/a/b", "path": "/a"}),
            json!({"op": "remove", "path": "/nope"}),
        ];
        assert_eq!(strict(&json!({"a": {"b": 1}}), &patch).unwrap_err().operation, 1);
    }

    #[test]
    fn a_document_that_is_copied_into_itself_ends_at_the_limit_of_text() {
        let copy = |at| json!({"op": "copy", "from": "", "path": format!("/c{at}")});
        let patch: Vec<Value> = (0..40).map(copy).collect();
        let rejected = strict(&json!({"text": "x".repeat(1 << 20)}), &patch).unwrap_err();
        assert_eq!(rejected.operation, 5);
        assert!(rejected.reason.contains("64 MiB of text"), "{rejected}");
    }

    #[test]
    fn copies_that_replace_each_other_end_at_no_limit_of_text() {
        let copy = json!({"op": "copy", "from": "/text", "path": "/copy"});
        let document = json!({"text": "x".repeat(1 << 20)});
        assert!(strict(&document, &vec![copy; 100]).is_ok());
    }

    #[test]
    fn nothing_is_changed_for_the_caller() {
        let document = json!({"l": [1, 2]});
        let patch = [json!({"op": "move", "from": "/l/0", "path": "/l/5"})];
        assert!(strict(&document, &patch).is_err());
        assert_eq!(document, json!({"l": [1, 2]}));
    }
}
