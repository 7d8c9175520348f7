//! CoCalc's silent pre-check of a license's patch.
//!
//! Before any operation is applied, CoCalc reads each license's patch with `JSON.parse` and looks at it with
//! `test_valid_jsonpatch` (`packages/util/misc.ts`; `loadPatch` in `packages/util/upgrades/quota.ts`). What
//! does not pass counts as an empty patch, without a word to anybody: the project starts unpatched. So this
//! must be known before anything is said about single operations.

use std::fmt;

use super::{Instead, Operation, operation::Twice};
use crate::json::{self, Duplicate, Json};

/// What CoCalc does with a license's patch.
#[derive(Clone, Debug)]
pub enum Gate {
    /// The operations reach `applyPatch`, in this order.
    Passes(Vec<Operation>),
    /// The whole patch counts as empty, silently.
    Dropped(Reason),
    /// CoCalc would read it, but it is nested deeper than this tool reads.
    TooDeep(json::Error),
}

/// Why CoCalc drops a patch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// `JSON.parse` fails.
    #[error("the patch is no JSON: {0}{1}")]
    NotJson(json::Error, Instead),
    /// The license's quota has something under `patch` that is not a string.
    #[error("the patch is {0}, not a text; store it as a string of JSON")]
    NotText(Kind),
    /// The patch is not a list.
    #[error("the patch is {0}, not a list of operations{1}")]
    NotAList(Kind, Instead),
    /// One operation is wrong, which makes all of the patch empty.
    #[error("operation {} {problem}", index + 1)]
    Operation {
        /// Its index, from 0; in text it counts from 1.
        index: usize,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What CoCalc dislikes about an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is not an object.
    NotAnObject(Kind),
    /// It has no `op`.
    NoOp,
    /// Its `op` is not one of the six; the value as text, strings in quotes.
    UnknownOp(String),
    /// `path` is missing or null.
    NoPath,
    /// `from` is there and neither a string nor null.
    FromNotText(Kind),
}

/// A kind of JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// A list.
    List,
    /// A map.
    Map,
}

impl Kind {
    /// The kind of this value.
    pub fn of(value: &Json) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(_) => Self::Bool,
            Json::Number(_) => Self::Number,
            Json::String(_) => Self::String,
            Json::List(_) => Self::List,
            Json::Map(_) => Self::Map,
        }
    }

    /// The kind of this value.
    pub fn of_value(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Map,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::List => "a list",
            Self::Map => "a map",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject(kind) => {
                write!(
                    f,
                    "is {kind}, not a map with op and path{}",
                    Instead::of_operation(*kind)
                )
            }
            Self::NoOp => f.write_str("has no op"),
            Self::UnknownOp(op) => {
                write!(
                    f,
                    "has the op {op}, not one of add, remove, replace, move, copy, test"
                )
            }
            Self::NoPath => f.write_str("has no path"),
            Self::FromNotText(kind) => write!(f, "has {kind} as from, not a string"),
        }
    }
}

impl Gate {
    /// Makes documents that are patched with it print faster; for a patch of many documents.
    pub fn keep_texts(&mut self) {
        if let Self::Passes(operations) = self {
            operations.iter_mut().for_each(Operation::keep_texts);
        }
    }
}

/// Whether a patch's text passes.
pub fn gate(text: &str) -> Gate {
    match json::parse_with_notes(text) {
        Ok((patch, notes)) => {
            let mut gate = gate_parsed(&patch);
            if let Gate::Passes(operations) = &mut gate
                && !notes.duplicates.is_empty()
            {
                note_duplicates(text, notes.duplicates, operations);
            }
            gate
        }
        Err(error) if error.too_deep => Gate::TooDeep(error),
        Err(error) => Gate::Dropped(Reason::NotJson(error, Instead::of_text(text))),
    }
}

/// Notes with each operation the keys that stand twice in it.
fn note_duplicates(text: &str, mut duplicates: Vec<Duplicate>, operations: &mut [Operation]) {
    duplicates.sort_unstable_by_key(|duplicate| duplicate.offset);
    let places = json::places(text, duplicates.iter().map(|duplicate| duplicate.offset));
    let starts = json::element_places(text);
    for (duplicate, (line, column)) in duplicates.into_iter().zip(places) {
        let before = starts.partition_point(|start| *start <= (line, column));
        if let Some(operation) = before.checked_sub(1).and_then(|at| operations.get_mut(at)) {
            operation.twice.push(Twice {
                name: duplicate.name,
                line,
                column,
            });
        }
    }
}

/// Whether the `patch` of a license's quota passes; anything but a string is dropped.
pub fn gate_value(value: &Json) -> Gate {
    match value {
        // A database holds no lone surrogates; in a file's string they are outside of what is looked at here.
        Json::String(text) => gate(&text.to_string_lossy()),
        other => Gate::Dropped(Reason::NotText(Kind::of(other))),
    }
}

/// Whether a patch that is read already passes.
pub fn gate_parsed(patch: &Json) -> Gate {
    let Some(list) = patch.as_list() else {
        return Gate::Dropped(Reason::NotAList(Kind::of(patch), Instead::of_value(patch)));
    };
    for (index, operation) in list.iter().enumerate() {
        if let Some(problem) = problem_of(operation) {
            return Gate::Dropped(Reason::Operation { index, problem });
        }
    }
    Gate::Passes(list.iter().map(Operation::new).collect())
}

fn problem_of(operation: &Json) -> Option<Problem> {
    if operation.as_map().is_none() {
        return Some(Problem::NotAnObject(Kind::of(operation)));
    }
    match operation.get("op") {
        None => return Some(Problem::NoOp),
        Some(op) => match op.as_str() {
            Some("add" | "remove" | "replace" | "move" | "copy" | "test") => {}
            _ => return Some(Problem::UnknownOp(op.stringify())),
        },
    }
    if operation.get_non_null("path").is_none() {
        return Some(Problem::NoPath);
    }
    match operation.get_non_null("from") {
        None | Some(Json::String(_)) => None,
        Some(other) => Some(Problem::FromNotText(Kind::of(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        match gate(text) {
            Gate::Dropped(reason) => reason.to_string(),
            other => panic!("{text} should be dropped: {other:?}"),
        }
    }

    #[test]
    fn what_cocalc_drops_is_named_with_its_reason() {
        for (text, expected) in [
            (
                "",
                "the patch is no JSON: unexpected end of the text where a value should stand at line 1 column 1",
            ),
            ("{}", "the patch is a map, not a list of operations"),
            ("7", "the patch is a number, not a list of operations"),
            (
                r#"{"op":"remove","path":"/a"}"#,
                "the patch is a map, not a list of operations (it is one operation: put it into [ ])",
            ),
            (
                "[[]]",
                "operation 1 is a list, not a map with op and path (there is a pair of [ ] too many)",
            ),
            (r#"[{"path":"/a"}]"#, "operation 1 has no op"),
            (
                r#"[{"op":"remove","path":""},{"op":"merge","path":"/a"}]"#,
                "operation 2 has the op \"merge\", not one of add, remove, replace, move, copy, test",
            ),
            (
                r#"[{"op":"Add","path":"/a"}]"#,
                "operation 1 has the op \"Add\", not one of add, remove, replace, move, copy, test",
            ),
            (r#"[{"op":"add","value":1}]"#, "operation 1 has no path"),
            (r#"[{"op":"add","path":null}]"#, "operation 1 has no path"),
            (
                r#"[{"op":"copy","path":"/a","from":1}]"#,
                "operation 1 has a number as from, not a string",
            ),
        ] {
            assert_eq!(reason(text), expected);
        }
    }

    #[test]
    fn only_a_syntax_error_has_a_line() {
        let text = "[\n  {\"op\": \"remove\",, }\n]";
        assert!(reason(text).ends_with("at line 2 column 19"), "{}", reason(text));
    }

    #[test]
    fn what_the_check_does_not_look_at_passes() {
        for text in [
            "[]",
            r#"[{"op":"add","path":"no slash"}]"#,
            r#"[{"op":"add","path":5}]"#,
            r#"[{"op":"move","path":["/a"]}]"#,
            r#"[{"op":"copy","path":"/a","from":null,"more":1}]"#,
        ] {
            let operations = text.matches("op\"").count();
            assert!(
                matches!(gate(text), Gate::Passes(list) if list.len() == operations),
                "{text}"
            );
        }
    }

    #[test]
    fn a_patch_that_is_no_string_is_dropped() {
        let stored = json::parse(r#"[{"op":"remove","path":"/a"}]"#).unwrap();
        assert!(matches!(
            gate_value(&stored),
            Gate::Dropped(Reason::NotText(Kind::List))
        ));
        assert!(matches!(gate_value(&Json::string("[]")), Gate::Passes(list) if list.is_empty()));
    }

    #[test]
    fn a_text_that_is_only_too_deep_for_us_is_not_called_dropped() {
        let text = format!("[{}{}]", "[".repeat(600), "]".repeat(600));
        assert!(matches!(gate(&text), Gate::TooDeep(_)));
    }
}
