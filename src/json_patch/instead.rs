//! What was given in place of a patch.
//!
//! A text that CoCalc's check drops whole is mostly something else that people know by the name of a patch. Each is
//! told as what it is, with the way to the patch that was meant.

use std::fmt;

use super::Kind;
use crate::json::{self, Json};

/// What a text or a value is that is no list of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Instead {
    /// One operation.
    Operation,
    /// A piece of a pod (RFC 7386, or kubectl's strategic form of it).
    MergePatch,
    /// A whole pod.
    Pod,
    /// A kustomization, or an entry of its `patches`.
    Kustomization,
    /// The quota of a license.
    Quota,
    /// A license.
    License,
    /// A patch within a JSON string.
    DoublyEncoded,
    /// A patch within quotes of a shell or a word processor.
    Quoted,
    /// The name of a file.
    FileName,
    /// YAML, which a license's field does not take.
    Yaml,
    /// A list within a list.
    ListInList,
    /// Nothing that is known.
    Unknown,
}

/// Members of the quota of a license.
const QUOTA: [&str; 13] = [
    "cpu",
    "ram",
    "disk",
    "dedicated_cpu",
    "dedicated_ram",
    "dedicated_vm",
    "dedicated_disk",
    "member",
    "always_running",
    "idle_timeout",
    "boost",
    "patch",
    "ext_rw",
];

/// Fields of a pod and of its spec that nothing else here has.
const POD: [&str; 8] = [
    "metadata",
    "spec",
    "containers",
    "initContainers",
    "volumes",
    "tolerations",
    "nodeSelector",
    "securityContext",
];

impl Instead {
    /// What a text is that `JSON.parse` does not read.
    pub fn of_text(text: &str) -> Self {
        let text = text.trim();
        let quoted = [
            ('\'', '\''),
            ('`', '`'),
            ('"', '"'),
            ('“', '”'),
            ('‘', '’'),
            ('„', '“'),
        ]
        .into_iter()
        .find_map(|(open, close)| text.strip_prefix(open)?.strip_suffix(close));
        if quoted.is_some_and(|inner| is_list(inner.trim())) {
            Self::Quoted
        } else if is_file_name(text) {
            Self::FileName
        } else if text.starts_with("- ") || text.starts_with("---") {
            Self::Yaml
        } else {
            Self::Unknown
        }
    }

    /// What a value is that is no list.
    pub fn of_value(value: &Json) -> Self {
        match value {
            Json::String(text) => match text.as_str() {
                Some(text) if is_list(text) => Self::DoublyEncoded,
                Some(text) => Self::of_text(text),
                None => Self::Unknown,
            },
            Json::Map(_) => {
                let has = |name: &str| value.get_non_null(name).is_some();
                let kind = value.get("kind").and_then(Json::as_str);
                if has("op") {
                    Self::Operation
                } else if kind == Some("Kustomization")
                    || ["patches", "patchesJson6902", "patchesStrategicMerge"]
                        .iter()
                        .any(|name| has(name))
                    || has("target") && has("patch")
                {
                    Self::Kustomization
                } else if kind == Some("Pod") && has("spec") {
                    Self::Pod
                } else if has("quota") {
                    Self::License
                } else if POD.iter().any(|name| has(name)) {
                    Self::MergePatch
                } else if QUOTA.iter().any(|name| has(name)) {
                    Self::Quota
                } else {
                    Self::Unknown
                }
            }
            _ => Self::Unknown,
        }
    }

    /// What an operation is that is no map.
    pub(super) fn of_operation(kind: Kind) -> Self {
        match kind {
            Kind::List => Self::ListInList,
            Kind::String => Self::DoublyEncoded,
            _ => Self::Unknown,
        }
    }
}

/// ` (it is one operation: put it into [ ])`; nothing of what is unknown.
impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Operation => "it is one operation: put it into [ ]",
            Self::MergePatch => {
                "it is a merge patch, a piece of a pod; a license takes a JSON Patch, a list of operations"
            }
            Self::Pod => {
                "it is a whole pod; patch-diff --after FILE -o license makes the patch that leads to it"
            }
            Self::Kustomization => {
                "it is a kustomization; what stands at patch within its patches is meant, if it is a list of operations"
            }
            Self::Quota => {
                "it is the quota of a license, which --quota takes; a patch stands at its member patch"
            }
            Self::License => "it is a license; the text at patch in its quota is meant",
            Self::DoublyEncoded => {
                "it is encoded twice: JSON within a JSON string; write it without the outer quotes and their \\"
            }
            Self::Quoted => "quotes stand around it; leave them out",
            Self::FileName => "it looks like the name of a file, which --patch-file reads",
            Self::Yaml => {
                "it is YAML, and the field takes JSON: patch-diff --patch-file FILE reads it, and -o license prints JSON"
            }
            Self::ListInList => "there is a pair of [ ] too many",
            Self::Unknown => return Ok(()),
        };
        write!(f, " ({what})")
    }
}

fn is_list(text: &str) -> bool {
    text.trim_start().starts_with('[') && json::parse(text).is_ok_and(|json| json.as_list().is_some())
}

fn is_file_name(text: &str) -> bool {
    let name = text.strip_prefix('@').unwrap_or(text);
    let plain = !name.contains(['\n', '{', '[', '"', ':']) && name.len() < 4096;
    let known = [".json", ".yaml", ".yml", ".patch", ".jsonpatch"];
    plain && !name.is_empty() && (text.starts_with('@') || known.iter().any(|end| name.ends_with(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_call_a_patch_is_told_as_what_it_is() {
        for (text, expected) in [
            (r#"{"op":"remove","path":"/a"}"#, Instead::Operation),
            (r#"{"metadata":{"labels":{"team":"bio"}}}"#, Instead::MergePatch),
            (r#"{"spec":{"tolerations":[]}}"#, Instead::MergePatch),
            (r#"{"kind":"Pod","metadata":{},"spec":{}}"#, Instead::Pod),
            (
                r#"{"patches":[{"target":{"kind":"Pod"},"patch":"- op: add"}]}"#,
                Instead::Kustomization,
            ),
            (
                r#"{"target":{"kind":"Pod"},"patch":"- op: add"}"#,
                Instead::Kustomization,
            ),
            (r#"{"cpu":1,"ram":2}"#, Instead::Quota),
            (r#"{"title":"Lab","quota":{"patch":"[]"}}"#, Instead::License),
            (
                r#""[{\"op\":\"remove\",\"path\":\"/a\"}]""#,
                Instead::DoublyEncoded,
            ),
            (r#""patch.json""#, Instead::FileName),
            ("{}", Instead::Unknown),
            ("7", Instead::Unknown),
        ] {
            assert_eq!(Instead::of_value(&json::parse(text).unwrap()), expected, "{text}");
        }
        for (text, expected) in [
            (r#"'[{"op":"remove","path":"/a"}]'"#, Instead::Quoted),
            (r#"“[{"op":"remove","path":"/a"}]”"#, Instead::Quoted),
            ("@patch.json", Instead::FileName),
            ("patches/gpu.yaml", Instead::FileName),
            ("- op: remove\n  path: /a", Instead::Yaml),
            ("[{'op': 'remove'}]", Instead::Unknown),
        ] {
            assert_eq!(Instead::of_text(text), expected, "{text}");
        }
    }
}
