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
    ResourceClaim,
    ResourceClaimTemplate,
}

/// The API group of claims to devices, which older clusters do not have, or switch off.
pub(super) const RESOURCE_GROUP: &str = "resource.k8s.io";

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Claim => "PersistentVolumeClaim",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::ResourceClaim => "ResourceClaim",
            Self::ResourceClaimTemplate => "ResourceClaimTemplate",
        }
    }

    pub(super) fn resource(self) -> &'static str {
        match self {
            Self::Claim => "persistentvolumeclaims",
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
            Self::ResourceClaim => "resourceclaims",
            Self::ResourceClaimTemplate => "resourceclaimtemplates",
        }
    }

    /// Whether it is of [`RESOURCE_GROUP`]; the others are of the core.
    pub(super) fn is_for_devices(self) -> bool {
        matches!(self, Self::ResourceClaim | Self::ResourceClaimTemplate)
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
    /// The cluster does not serve its API group.
    Unserved,
    Unknown(Unknown),
}

/// The version of [`RESOURCE_GROUP`] to ask in; `None` if the cluster does not serve it.
///
/// Everybody may ask for groups, while a group that is not served looks like a missing right to whoever has not all.
pub(super) async fn resource_version<L: Lookup>(lookup: &L) -> Result<Option<String>, Unknown> {
    let group = match lookup.get("/apis/resource.k8s.io").await {
        Ok(group) => group,
        Err(RequestError::Status(status)) if status.code == 404 => return Ok(None),
        Err(error) => {
            let what = format!("API group {RESOURCE_GROUP}");
            return Err(why(&error, "get", "/apis/resource.k8s.io", None, what));
        }
    };
    let version = group.pointer("/preferredVersion/version").and_then(Value::as_str);
    Ok(version
        .filter(|version| can_be_a_name(version))
        .map(str::to_owned))
}

/// `api` is what the path of an object starts with: `/api/v1`.
pub(super) async fn look_up<L: Lookup>(lookup: &L, object: &Object, api: &str) -> Answer {
    let Object {
        kind,
        namespace,
        name,
    } = object;
    if !can_be_a_name(name) {
        return Answer::Missing;
    }
    let path = format!("{api}/namespaces/{namespace}/{}/{name}", kind.resource());
    let answer = match kind {
        Kind::Secret => lookup.get_metadata(&path).await,
        _ => lookup.get(&path).await,
    };
    match answer {
        Ok(value) => Answer::Exists {
            lost: *kind == Kind::Claim
                && value.pointer("/status/phase").and_then(Value::as_str) == Some("Lost"),
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
        Answer::Unserved => Some(format!(
            "there is no {kind} {name:?}: the cluster does not serve {RESOURCE_GROUP}, so no pod gets devices by claims"
        )),
        Answer::Exists { deleted: true, .. }
            if matches!(reference.kind, Kind::Claim | Kind::ResourceClaim) =>
        {
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
