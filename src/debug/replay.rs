//! The logged patch set applied to the logged pod, and the result held against the logged one.

use serde_json::Value;

use super::Start;
use crate::{
    json::{Json, with_js_numbers},
    json_patch::{Applied, Document, Effect, Failure, Operation, Options, PathPart, Removal, Stamp, apply},
};

/// What our application of the patch set to the pod gave.
pub struct Replay {
    /// The operations of all licenses, in the order of the log.
    pub operations: Vec<Operation>,
    /// What each did.
    pub effects: Vec<Effect>,
    /// The fields that vanished.
    pub removals: Vec<Removal>,
    /// Why our application stopped.
    pub failure: Option<Failure>,
    /// Why it would stop with the other choice of `validate_operation`, where it does not with ours.
    pub other_failure: Option<Failure>,
    /// The pod after patching, half-done after a failure. Operation `i` has the stamp `i + 1`, all else 0.
    pub document: Document,
    /// Whether the log agrees.
    pub verdict: Verdict,
}

/// Whether our application and the log agree.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// They give the same pod.
    Same,
    /// They give the same pod if another value of an assumption is taken.
    SameIf {
        /// Name of the assumption.
        assumption: &'static str,
        /// The value that the log speaks for.
        value: &'static str,
    },
    /// They give different pods.
    Differs {
        /// What ours gives; after a failure the half-done pod.
        ours: Value,
        /// What the log has.
        logged: Value,
    },
    /// Ours fails, and the log has no result.
    BothFail,
    /// Ours succeeds, and the log has no result: it is cut off, or CoCalc failed.
    NoResult,
    /// There is nothing to apply, or nothing to apply it to.
    Incomplete(&'static str),
}

/// Applies the patch set of a start to its pod.
///
/// # Errors
/// [`Verdict::Incomplete`] if one of the two is not in the log or not usable.
pub fn replay(start: &Start, options: Options) -> Result<Replay, Verdict> {
    let before = start
        .before
        .as_ref()
        .ok_or(Verdict::Incomplete("the log has no project_pod_before"))?;
    let patch = start
        .patch
        .as_ref()
        .ok_or(Verdict::Incomplete("the log has no patch"))?;
    let operations = operations(patch).ok_or(Verdict::Incomplete(
        "what the log has as the patch set is no list",
    ))?;
    let (document, applied) = run(before, &operations, options);
    let Applied {
        effects,
        removals,
        failure,
    } = applied;
    let other = Options {
        validate: !options.validate,
    };
    let (_, other_applied) = run(before, &operations, other);
    let other_failure = other_applied.failure.filter(|_| failure.is_none());
    let verdict = verdict(start, &document, failure.as_ref(), &operations, options);
    Ok(Replay {
        operations,
        effects,
        removals,
        failure,
        other_failure,
        document,
        verdict,
    })
}

fn run(before: &Json, operations: &[Operation], options: Options) -> (Document, Applied) {
    let mut document = Document::from_json(before, 0);
    let numbered: Vec<(&Operation, Stamp)> = operations.iter().zip(1..).collect();
    let applied = apply(&mut document, &numbered, options);
    (document, applied)
}

/// The operations of a patch set; a list of lists is one list for each license.
fn operations(patch: &Json) -> Option<Vec<Operation>> {
    if patch.is_null() {
        return Some(Vec::new());
    }
    let list = patch.as_list()?;
    let lists: Option<Vec<&[Json]>> = list.iter().map(Json::as_list).collect();
    let all: Vec<&Json> = match lists {
        Some(lists) => lists.into_iter().flatten().collect(),
        None => list.iter().collect(),
    };
    Some(all.into_iter().map(Operation::new).collect())
}

fn verdict(
    start: &Start,
    document: &Document,
    failure: Option<&Failure>,
    operations: &[Operation],
    options: Options,
) -> Verdict {
    let Some(logged) = start.after.as_ref() else {
        return if failure.is_some() {
            Verdict::BothFail
        } else {
            Verdict::NoResult
        };
    };
    let value = |json: &Json| json.to_value().map(|value| with_js_numbers(&value));
    let (Ok(logged), Ok(ours)) = (value(logged), document.to_value()) else {
        return Verdict::Incomplete("a string holds half of a surrogate pair");
    };
    let ours = with_js_numbers(&ours);
    let same_if = |assumption, value| Verdict::SameIf { assumption, value };
    if failure.is_none() {
        return if ours == logged {
            Verdict::Same
        } else {
            Verdict::Differs { ours, logged }
        };
    }
    // The log has a result although ours fails.
    if let Some(before) = &start.before {
        if options.validate {
            let (document, applied) = run(before, operations, Options { validate: false });
            let plain = document.to_value().map(|value| with_js_numbers(&value));
            if applied.failure.is_none() && plain.is_ok_and(|plain| plain == logged) {
                return same_if("validate_operation", "false");
            }
        }
        if value(before).is_ok_and(|before| before == logged) {
            return same_if("on_patch_error", "unpatched");
        }
    }
    if ours == logged {
        return same_if("on_patch_error", "half");
    }
    Verdict::Differs { ours, logged }
}

/// A place at which two values differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where.
    pub path: Vec<PathPart>,
    /// What ours has there.
    pub ours: Option<Value>,
    /// What the log has there.
    pub logged: Option<Value>,
}

/// Where two values differ, as deep as they have the same shape. Exact, other than for a live pod: the log has what
/// CoCalc sends, before the API server changes its writing.
pub fn differences(ours: &Value, logged: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(Some(ours), Some(logged), &mut Vec::new(), &mut found);
    found
}

fn compare(
    ours: Option<&Value>,
    logged: Option<&Value>,
    path: &mut Vec<PathPart>,
    found: &mut Vec<Difference>,
) {
    match (ours, logged) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                path.push(PathPart::Name(name.as_str().into()));
                compare(a.get(name), b.get(name), path, found);
                path.pop();
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for index in 0..a.len().max(b.len()) {
                path.push(PathPart::Index(index));
                compare(a.get(index), b.get(index), path, found);
                path.pop();
            }
        }
        _ if ours == logged => {}
        _ => found.push(Difference {
            path: path.clone(),
            ours: ours.cloned(),
            logged: logged.cloned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_name_the_deepest_places() {
        let found = differences(
            &json!({"a": [1, {"b": 2}], "c": 1, "d": {}}),
            &json!({"a": [1, {"b": 3}, 4], "d": {}, "e/f": null}),
        );
        let paths: Vec<String> = found
            .iter()
            .map(|difference| crate::pipeline::provenance::pointer(&difference.path))
            .collect();
        assert_eq!(paths, ["/a/1/b", "/a/2", "/c", "/e~1f"]);
        assert_eq!(
            (found[1].ours.clone(), found[1].logged.clone()),
            (None, Some(json!(4)))
        );
        assert_eq!(found[3].logged, Some(Value::Null));
    }
}
