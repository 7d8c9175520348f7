//! The objects that a pod names, and what is wrong with them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    cluster::RequestError,
    pipeline::{
        Rendered,
        placeholders::Placeholder,
        provenance::{Writer, keys},
    },
};

use super::{Lookup, Unknown, references::Reference, why};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Claim,
    ConfigMap,
    Secret,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Claim => "PersistentVolumeClaim",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }

    pub(super) fn resource(self) -> &'static str {
        match self {
            Self::Claim => "persistentvolumeclaims",
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Object {
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// What is known of an object.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Exists {
        lost: bool,
        deleted: bool,
        /// Of a ConfigMap.
        keys: BTreeSet<String>,
    },
    Missing,
    Unknown(Unknown),
}

pub(super) async fn look_up<L: Lookup>(lookup: &L, object: &Object) -> Answer {
    let Object {
        kind,
        namespace,
        name,
    } = object;
    if !can_be_a_name(name) {
        return Answer::Missing;
    }
    let path = format!("/api/v1/namespaces/{namespace}/{}/{name}", kind.resource());
    let answer = match kind {
        Kind::Secret => lookup.get_metadata(&path).await,
        _ => lookup.get(&path).await,
    };
    match answer {
        Ok(value) => Answer::Exists {
            lost: value.pointer("/status/phase").and_then(Value::as_str) == Some("Lost"),
            deleted: value
                .pointer("/metadata/deletionTimestamp")
                .is_some_and(|time| !time.is_null()),
            keys: ["data", "binaryData"]
                .iter()
                .filter(|_| *kind == Kind::ConfigMap)
                .filter_map(|member| value.get(member)?.as_object())
                .flat_map(|map| map.keys().cloned())
                .collect(),
        },
        Err(RequestError::Status(status)) if status.code == 404 => Answer::Missing,
        Err(error) => Answer::Unknown(why(
            &error,
            "get",
            kind.resource(),
            Some(namespace),
            format!("{} {name:?}", kind.name()),
        )),
    }
}

/// Whether an object can have this name. The API server takes any text where a pod names a claim, and a text such
/// as `../x` must not become part of a request's path.
fn can_be_a_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let ends = [name.bytes().next(), name.bytes().next_back()];
    name.len() <= 253
        && name.bytes().all(inner)
        && ends
            .into_iter()
            .all(|byte| byte.is_some_and(|byte| byte != b'-' && byte != b'.'))
}

/// Whether CoCalc makes this Secret when it starts the project: its name holds the project's id, and a placeholder
/// of the template put it there.
pub(super) fn made_by_cocalc(reference: &Reference, rendered: &Rendered) -> bool {
    if reference.kind != Kind::Secret || !reference.name.contains(&rendered.project_id) {
        return false;
    }
    let holds_id = |writer: &Writer| matches!(writer, Writer::Placeholders(list) if list.contains(&Placeholder::ProjectId));
    rendered.provenance().iter().any(|entry| {
        !entry.removed
            && rendered.pod.get_str(&keys(&entry.path)) == Some(&*reference.name)
            && (holds_id(&entry.by) || entry.origin.as_ref().is_some_and(holds_id))
    })
}

/// What is wrong with the object that this place names.
pub(super) fn wrong(reference: &Reference, answer: &Answer, namespace: &str) -> Option<String> {
    let Reference { kind, name, .. } = reference;
    let kind = kind.name();
    match answer {
        Answer::Missing if reference.pull_secret => Some(format!(
            "{kind} {name:?} does not exist in namespace {namespace:?}; images are pulled without it"
        )),
        Answer::Missing => Some(format!(
            "{kind} {name:?} does not exist in namespace {namespace:?}; the pod will not start without it"
        )),
        Answer::Exists { deleted: true, .. } if reference.kind == Kind::Claim => {
            Some(format!("{kind} {name:?} is being deleted; no new pod can use it"))
        }
        Answer::Exists { lost: true, .. } => {
            Some(format!("{kind} {name:?} has lost its volume (phase Lost)"))
        }
        Answer::Exists { keys, .. } => {
            let key = reference.key.as_ref().filter(|key| !keys.contains(*key))?;
            Some(format!(
                "{kind} {name:?} has no key {key:?}; the pod will not start without it"
            ))
        }
        Answer::Unknown(_) => None,
    }
}
