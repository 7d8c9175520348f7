//! Making a patch: the one that a careful person would write, for the document that CoCalc will patch.
//!
//! The recipe that admins know compares a live pod with its edited copy, index by index. That patch is for the
//! wrong document, since the live pod holds what the API server injected; it rewrites half a list where one
//! element was inserted; and where a list has grown meanwhile it changes the wrong element. Here the edit is
//! first carried over to the rendered template, lists are compared by what their elements are, and each index
//! that the patch relies on is tested before it is used.
//!
//! No patch leaves this room before it has been applied in three readings: CoCalc's, that of RFC 6902, and that
//! of fast-json-patch's validation ([`prove`]).

mod align;
mod differences;
mod kubernetes;
mod license_edit;
mod merge;
mod new_template;
mod operations;
mod proof;
mod rebase;
mod touched;

use std::borrow::Cow;

use serde_json::Value;

pub(crate) use differences::decoded;
pub use differences::{Difference, as_rendered, differences};
pub use kubernetes::{is_live, without_kubernetes};
pub use license_edit::LicenseEdit;
pub use merge::as_operations;
pub use new_template::{OtherElement, counterpart, other_elements, other_project_container};
pub use proof::{ProofError, Reading, prove};
pub use touched::Touched;

use crate::{
    check::Severity,
    json::{MAX_DEPTH, js_numbers},
    json_patch::Document,
    output,
};

/// What a patch is wanted for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The document before the edit. If it is a live pod ([`is_live`]), only the edit counts; otherwise the patch
    /// turns it into `after` exactly.
    pub before: &'a Value,
    /// The document after the edit.
    pub after: &'a Value,
    /// The document that CoCalc will patch, where `before` is a live pod: the rendered template with the patches
    /// of the project's other licenses. Not used otherwise.
    pub base: Option<&'a Value>,
    /// Whether each index that the patch relies on is tested first.
    pub guards: bool,
}

/// A patch that has been proved.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// The operations; [`text`] prints them.
    pub operations: Vec<Value>,
    /// What an admin should know about them.
    pub notes: Vec<Note>,
    /// What the patch makes of `base`, with JavaScript's numbers.
    pub wanted: Value,
    /// The document that the patch is for, with JavaScript's numbers.
    pub base: Value,
}

/// Something to tell about a patch that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Id of the rule.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// A sentence.
    pub message: String,
    /// JSON pointer of the place: in the edited document, for a guard in the patched one.
    pub path: String,
}

impl Note {
    fn new(rule: &'static str, severity: Severity, path: &str, message: String) -> Self {
        Self {
            rule,
            severity,
            message,
            path: path.to_owned(),
        }
    }
}

/// Why there is no patch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MakeError {
    /// A document is nested too deeply.
    #[error("the {which} document is nested deeper than {MAX_DEPTH} levels; CoCalc's pods have about 15")]
    TooDeep {
        /// `before`, `after` or `base`.
        which: &'static str,
    },
    /// The patch is right but too large to be applied.
    #[error("the patch would be too much to apply: {reason}; make it in smaller steps")]
    TooLarge {
        /// What exceeds which limit.
        reason: String,
    },
    /// The patch does not do what it should, which is a mistake in this crate.
    #[error(
        "internal error: the patch that was made does not give the wanted document ({0}); please report it with both documents"
    )]
    Proof(ProofError),
}

/// Makes the patch for an edit.
///
/// # Errors
/// If a document is too deep or a patch too large, or if the patch fails its proof; a wrong patch is never given.
pub fn make(request: &Request<'_>) -> Result<Made, MakeError> {
    let edit = edit(request, None)?;
    Ok(Made {
        operations: edit.operations,
        notes: edit.notes,
        wanted: edit.wanted.into_owned(),
        base: edit.base.into_owned(),
    })
}

/// The operations that [`make`] gives, without copies of the documents. `read` is [`Document::from_value`] of `before`,
/// if it is at hand.
///
/// # Errors
/// As [`make`].
pub fn make_operations(request: &Request<'_>, read: Option<&Document>) -> Result<Vec<Value>, MakeError> {
    edit(request, read).map(|edit| edit.operations)
}

/// [`Made`] with documents that may be the request's.
struct Edit<'a> {
    operations: Vec<Value>,
    notes: Vec<Note>,
    wanted: Cow<'a, Value>,
    base: Cow<'a, Value>,
}

fn edit<'a>(request: &Request<'a>, read: Option<&Document>) -> Result<Edit<'a>, MakeError> {
    let documents = [
        ("before", Some(request.before)),
        ("after", Some(request.after)),
        ("base", request.base),
    ];
    for (which, document) in documents {
        if document.is_some_and(is_too_deep) {
            return Err(MakeError::TooDeep { which });
        }
    }
    let (before, after) = (js_numbers(request.before), js_numbers(request.after));
    let mut notes = Vec::new();
    let is_live = is_live(&before);
    let (base, wanted) = if is_live {
        let base = match request.base {
            Some(base) => js_numbers(base),
            None => {
                notes.push(Note::new(
                    "live-indices",
                    Severity::Warning,
                    "",
                    "the patch is made for the live pod, less what belongs to Kubernetes; the template may have other \
                     indices: name a template with -f, or the project"
                        .to_owned(),
                ));
                Cow::Owned(without_kubernetes(&before, None))
            }
        };
        let wanted = rebase::rebase(&base, &before, &after, &mut notes);
        (base, Cow::Owned(wanted))
    } else {
        (before.clone(), after.clone())
    };
    let operations = operations::operations(&base, &wanted, request.guards, &mut notes);
    let read = read.filter(|_| !is_live).cloned();
    let document = read.unwrap_or_else(|| Document::from_value(&base, 0));
    proof::prove_document(&base, &document, &operations, &wanted).map_err(|error| match error {
        ProofError::Limit { reason } => MakeError::TooLarge { reason },
        error => MakeError::Proof(error),
    })?;
    if operations.is_empty() {
        let reason = if *before == *after {
            "the two documents are equal"
        } else if is_live && notes.is_empty() {
            "what differs belongs to Kubernetes, or is in the template already"
        } else {
            "nothing of the edit is left for a patch"
        };
        notes.push(Note::new(
            "no-edit",
            Severity::Note,
            "",
            format!("the patch is empty: {reason}"),
        ));
    }
    Ok(Edit {
        operations,
        notes,
        wanted,
        base,
    })
}

/// A patch as JSON, members of each operation in the order of RFC 6902 (`op`, `path`, `from`, `value`) and numbers
/// as JavaScript prints them: over several lines with a newline at the end (`-o patch`), or on one line without
/// (`-o license`).
pub fn text(operations: &[Value], pretty: bool) -> String {
    let (space, separator, end) = if pretty {
        (" ", ",\n  ", "\n]\n")
    } else {
        ("", ",", "]")
    };
    if operations.is_empty() {
        return if pretty { "[]\n" } else { "[]" }.to_owned();
    }
    let mut text = if pretty { "[\n  " } else { "[" }.to_owned();
    for (at, operation) in operations.iter().enumerate() {
        text.push_str(if at > 0 { separator } else { "" });
        text.push('{');
        let members = ["op", "path", "from", "value"]
            .iter()
            .filter_map(|name| Some((*name, operation.get(name)?)));
        for (at, (name, value)) in members.enumerate() {
            if at > 0 {
                text.push(',');
                text.push_str(space);
            }
            text.push_str(&format!("\"{name}\":{space}{}", output::json::compact(value)));
        }
        text.push('}');
    }
    text.push_str(end);
    text
}

/// Whether a value is nested deeper than [`MAX_DEPTH`]; does not recurse.
fn is_too_deep(value: &Value) -> bool {
    let mut level: Vec<&Value> = vec![value];
    for _ in 0..=MAX_DEPTH {
        let mut next = Vec::new();
        for value in level {
            match value {
                Value::Array(list) => next.extend(list),
                Value::Object(map) => next.extend(map.values()),
                _ => {}
            }
        }
        if next.is_empty() {
            return false;
        }
        level = next;
    }
    true
}
