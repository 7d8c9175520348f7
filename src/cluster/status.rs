//! A refusal as the API server writes it.

use serde::Deserialize;

/// `metav1.Status`, as far as a refusal fills it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// `Invalid`, `Forbidden`, `BadRequest`, …; empty if the server gives none.
    pub reason: String,
    /// The server's words.
    pub message: String,
    /// What the refusal is about.
    pub details: Option<Details>,
}

/// What a refusal is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Kind or resource.
    pub kind: String,
    /// One entry for each fault, for reason `Invalid`.
    pub causes: Vec<Cause>,
    /// Seconds to wait before the next try.
    pub retry_after_seconds: Option<u64>,
}

/// One fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueDuplicate`, …
    pub reason: String,
    /// The server's words, without the field.
    pub message: String,
    /// `spec.volumes[1].name`; empty where none is named.
    pub field: String,
}

impl Status {
    /// What kubectl prints for it on stderr: one text without a final newline.
    pub fn kubectl_text(&self) -> String {
        if self.reason == "Unauthorized" {
            return format!("error: You must be logged in to the server ({})", self.message);
        }
        if self.reason == "Invalid" && self.code == 422 {
            let (kind, name, causes) = match &self.details {
                Some(details) => (&*details.kind, &*details.name, &details.causes[..]),
                None => ("", "", &[][..]),
            };
            let mut lines: Vec<String> = Vec::new();
            for cause in causes {
                let line = format!("{}: {}", cause.field, cause.message);
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
            return match &lines[..] {
                [] => format!("The {kind} {name:?} is invalid"),
                [one] => format!("The {kind} {name:?} is invalid: {one}"),
                many => format!("The {kind} {name:?} is invalid: \n* {}", many.join("\n* ")),
            };
        }
        if self.reason.is_empty() {
            format!("Error from server: {}", self.message)
        } else {
            format!("Error from server ({}): {}", self.reason, self.message)
        }
    }
}
