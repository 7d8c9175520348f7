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

/// What the user may not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRight {
    /// Who asked.
    pub user: String,
    /// `get`, `list`, `create`, `impersonate`, …
    pub verb: String,
    /// `pods`, `pods/log`, …; a path such as `/version` where `group` is `None`.
    pub resource: String,
    /// API group; empty for the core group; `None` for a path.
    pub group: Option<String>,
    /// `None` at the cluster's scope.
    pub namespace: Option<String>,
    /// The object's name, if one was asked for.
    pub name: Option<String>,
}

impl Status {
    /// Reads an answer that is no success. `asked` is what client-go adds to its own words: `get nodes x`.
    pub(super) fn read(code: u16, content_type: &str, body: &[u8], asked: &str) -> Self {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(default)]
            kind: String,
            #[serde(default)]
            status: String,
        }
        if serde_json::from_slice::<Kind>(body).is_ok_and(|is| is.kind == "Status" && is.status != "Success")
            && let Ok(status) = serde_json::from_slice::<Self>(body)
        {
            return Self { code, ..status };
        }
        Self::without_words(code, content_type, body, asked)
    }

    /// client-go's `NewGenericServerResponse`: an answer from something that is no API server, or from one in need.
    fn without_words(code: u16, content_type: &str, body: &[u8], asked: &str) -> Self {
        /// As much of a foreign answer as is shown.
        const SHOWN: usize = 2048;
        let said = if content_type.is_empty() || content_type.starts_with("text/") {
            let shown = body.get(..SHOWN).unwrap_or(body);
            String::from_utf8_lossy(shown).trim().to_owned()
        } else {
            "unknown".to_owned()
        };
        let (reason, message) = match code {
            400 => ("BadRequest", "the server rejected our request for an unknown reason".to_owned()),
            401 => ("Unauthorized", "the server has asked for the client to provide credentials".to_owned()),
            403 => ("Forbidden", said.clone()),
            404 => ("NotFound", "the server could not find the requested resource".to_owned()),
            405 => ("MethodNotAllowed", "the server does not allow this method on the requested resource".to_owned()),
            406 if said.is_empty() || said == "unknown" => (
                "NotAcceptable",
                "the server was unable to respond with a content type that the client supports".to_owned(),
            ),
            406 => ("NotAcceptable", said.clone()),
            409 if asked.starts_with("post") => ("AlreadyExists", "the server reported a conflict".to_owned()),
            409 => ("Conflict", "the server reported a conflict".to_owned()),
            415 => ("UnsupportedMediaType", said.clone()),
            422 => ("Invalid", "the server rejected our request due to an error in our request".to_owned()),
            429 => (
                "TooManyRequests",
                "the server has received too many requests and has asked us to try again later".to_owned(),
            ),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request".to_owned()),
            504 => (
                "Timeout",
                "the server was unable to return a response in the time allotted, but may still be processing the \
                 request"
                    .to_owned(),
            ),
            500.. => (
                "InternalError",
                format!("an error on the server ({}) has prevented the request from succeeding", go_quoted(&said)),
            ),
            _ => (
                "",
                format!("the server responded with the status code {code} but did not return more information"),
            ),
        };
        let message = if asked.is_empty() {
            message
        } else {
            format!("{message} ({asked})")
        };
        let cause = Cause {
            reason: "UnexpectedServerResponse".to_owned(),
            message: said,
            field: String::new(),
        };
        Self {
            code,
            reason: reason.to_owned(),
            message,
            details: Some(Details {
                causes: vec![cause],
                ..Details::default()
            }),
        }
    }

    /// What kubectl prints for it on stderr: one text without a final newline.
    pub fn kubectl_text(&self) -> String {
        if self.reason == "Invalid" {
            return self.invalid_text();
        }
        if self.reason == "Unauthorized" {
            return format!("error: You must be logged in to the server ({})", self.message);
        }
        if self.reason.is_empty() {
            format!("Error from server: {}", self.message)
        } else {
            format!("Error from server ({}): {}", self.reason, self.message)
        }
    }

    fn invalid_text(&self) -> String {
        let with_message = |text: &str| {
            if self.message.is_empty() {
                text.to_owned()
            } else {
                format!("{text}: {}", self.message)
            }
        };
        let Some(details) = &self.details else {
            return with_message("The request is invalid");
        };
        let intro = if !details.kind.is_empty() || !details.name.is_empty() {
            format!("The {} {} is invalid", details.kind, go_quoted(&details.name))
        } else if details.causes.is_empty() {
            with_message("The request is invalid")
        } else {
            "The request is invalid".to_owned()
        };
        let mut lines: Vec<String> = Vec::new();
        for cause in &details.causes {
            let line = format!("{}: {}", cause.field, cause.message);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        match &lines[..] {
            [] => intro,
            [one] => format!("{intro}: {one}"),
            many => format!("{intro}: \n* {}", many.join("\n* ")),
        }
    }

    /// What the user may not do, if that is what the refusal says.
    pub fn missing_right(&self) -> Option<MissingRight> {
        if self.code != 403 {
            return None;
        }
        let (user, rest) = quoted_after(&self.message, "User ")?;
        let (verb, rest) = rest.strip_prefix(" cannot ")?.split_once(' ')?;
        let (verb, name) = (
            verb.to_owned(),
            self.details.as_ref().map(|details| details.name.clone()),
        );
        if let Some((path, _)) = quoted_after(rest, "path ") {
            return Some(MissingRight {
                user,
                verb,
                resource: path,
                group: None,
                namespace: None,
                name: None,
            });
        }
        let (resource, rest) = quoted_after(rest, "resource ")?;
        let (group, rest) = quoted_after(rest, " in API group ")?;
        let namespace = quoted_after(rest, " in the namespace ").map(|(namespace, _)| namespace);
        Some(MissingRight {
            user,
            verb,
            resource,
            group: Some(group),
            namespace,
            name: name.filter(|name| !name.is_empty()),
        })
    }

    /// The webhook that cannot be asked for a dry run, if that is what the refusal says.
    pub fn webhook_without_dry_run(&self) -> Option<String> {
        let (name, rest) = quoted_after(&self.message, "admission webhook ")?;
        rest.starts_with(" does not support dry run").then_some(name)
    }
}

impl MissingRight {
    /// The rule that would grant it, and where to put it.
    pub fn role_hint(&self) -> String {
        let Self {
            user, verb, resource, ..
        } = self;
        let list = |items: &[&str]| serde_json::json!(items).to_string();
        let Some(group) = &self.group else {
            return format!(
                "a ClusterRole with this rule, bound to {user:?}, grants it: {{nonResourceURLs: {}, verbs: {}}}",
                list(&[resource]),
                list(&[verb])
            );
        };
        let names = match &self.name {
            Some(name) if matches!(&**verb, "get" | "impersonate") => {
                format!(", resourceNames: {}", list(&[name]))
            }
            _ => String::new(),
        };
        let place = match &self.namespace {
            Some(namespace) => format!("a Role in namespace {namespace:?}"),
            None => "a ClusterRole".to_owned(),
        };
        format!(
            "{place} with this rule, bound to {user:?}, grants it: {{apiGroups: {}, resources: {}{names}, verbs: {}}}",
            list(&[group]),
            list(&[resource]),
            list(&[verb])
        )
    }
}

/// The text in quotes behind `before`, and what follows it.
fn quoted_after<'a>(text: &'a str, before: &str) -> Option<(String, &'a str)> {
    let (_, rest) = text.split_once(&format!("{before}\""))?;
    let mut value = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, rest.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// Go's `%q`.
fn go_quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c < ' ' || c == '\u{7f}' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if ('\u{80}'..='\u{a0}').contains(&c) => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(message: &str, name: &str) -> Status {
        Status {
            code: 403,
            reason: "Forbidden".to_owned(),
            message: message.to_owned(),
            details: Some(Details {
                name: name.to_owned(),
                ..Details::default()
            }),
        }
    }

    #[test]
    fn a_missing_right_is_told_with_the_rule_that_grants_it() {
        let hint = |message: &str, name: &str| forbidden(message, name).missing_right().unwrap().role_hint();
        assert_eq!(
            hint(
                r#"pods is forbidden: User "viewer" cannot create resource "pods" in API group "" in the namespace "lab""#,
                ""
            ),
            r#"a Role in namespace "lab" with this rule, bound to "viewer", grants it: {apiGroups: [""], resources: ["pods"], verbs: ["create"]}"#
        );
        assert_eq!(
            hint(
                r#"pods "p" is forbidden: User "a\"b" cannot get resource "pods/log" in API group "" in the namespace "lab": RBAC: role "x" not found"#,
                "p"
            ),
            r#"a Role in namespace "lab" with this rule, bound to "a\"b", grants it: {apiGroups: [""], resources: ["pods/log"], resourceNames: ["p"], verbs: ["get"]}"#
        );
        assert_eq!(
            hint(
                r#"nodes is forbidden: User "v" cannot list resource "nodes" in API group "" at the cluster scope"#,
                ""
            ),
            r#"a ClusterRole with this rule, bound to "v", grants it: {apiGroups: [""], resources: ["nodes"], verbs: ["list"]}"#
        );
        assert_eq!(
            hint(
                r#"forbidden: User "system:anonymous" cannot get path "/version""#,
                ""
            ),
            r#"a ClusterRole with this rule, bound to "system:anonymous", grants it: {nonResourceURLs: ["/version"], verbs: ["get"]}"#
        );
        let quota = forbidden(
            r#"pods "p" is forbidden: exceeded quota: rq, requested: pods=1"#,
            "p",
        );
        assert_eq!(quota.missing_right(), None);
    }

    #[test]
    fn a_webhook_without_dry_run_is_recognised() {
        let status = Status {
            code: 400,
            reason: "BadRequest".to_owned(),
            message: r#"admission webhook "mutate.lab.example" does not support dry run"#.to_owned(),
            details: None,
        };
        assert_eq!(
            status.webhook_without_dry_run().as_deref(),
            Some("mutate.lab.example")
        );
    }

    #[test]
    fn names_are_quoted_as_go_quotes_them() {
        assert_eq!(go_quoted("é\u{1b}\n\"\\\u{85}"), r#""é\x1b\n\"\\\u0085""#);
    }
}
