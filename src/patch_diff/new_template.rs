//! What a new template makes of patches that were written for the present one.

use std::fmt;

use serde_json::{Value, json};

use crate::{
    check::{Finding, Severity, pod::locate},
    json_patch::PathPart,
    pipeline::provenance,
    snapshot::ProjectContainer,
};

/// A list index that means another element in a new document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherElement {
    /// JSON pointer of the element in the old document.
    pub pointer: String,
    /// The member that identifies it: `name`, or `mountPath` of a mount.
    pub identity: &'static str,
    /// Its value in the old document.
    pub old: String,
    /// What stands there in the new one; `None` if nothing does. Empty if it has no such member.
    pub new: Option<String>,
    /// Where the old element is in the new document.
    pub now_at: Option<usize>,
}

impl fmt::Display for OtherElement {
    /// What was meant, what is met, and the path and the guard for what was meant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pointer,
            identity,
            old,
            new,
            now_at,
        } = self;
        write!(f, "{pointer} was {old:?}, and is ")?;
        match new.as_deref() {
            None => f.write_str("missing")?,
            Some("") => write!(f, "something without {identity}")?,
            Some(new) => write!(f, "{new:?}")?,
        }
        f.write_str(" in the new template")?;
        let (Some(now_at), Some((list, _))) = (now_at, pointer.rsplit_once('/')) else {
            return write!(f, ", which has no {old:?} there");
        };
        let guard = json!({"op": "test", "path": format!("{list}/{now_at}/{identity}"), "value": old});
        write!(
            f,
            "; {old:?} is at {list}/{now_at} there: write that, and to be sure put {guard} before it"
        )
    }
}

/// Where the element at a pointer of the old pod is in the new one: as the API server writes it, and as a pointer.
pub fn counterpart(old: &Value, new: &Value, pointer: &str) -> Option<(String, String)> {
    let tokens = pointer.split('/').skip(1);
    let mut path = Vec::new();
    let mut at = Some(old);
    for token in tokens {
        let name = token.replace("~1", "/").replace("~0", "~");
        let index = name.parse().ok().filter(|_| at.is_some_and(Value::is_array));
        at = at.and_then(|value| match index {
            Some(index) => value.get::<usize>(index),
            None => value.get(&name),
        });
        path.push(index.map_or_else(|| PathPart::Name(name.as_str().into()), PathPart::Index));
    }
    let path = locate(old, new, &path)?;
    Some((provenance::field_path(&path), provenance::pointer(&path)))
}

/// The list indices in a pointer that mean elements of another identity (`name`, or `mountPath` of a mount) in a new
/// document.
pub fn other_elements(old: &Value, new: &Value, pointer: &str) -> Vec<OtherElement> {
    let mut found = Vec::new();
    for (at, _) in pointer.match_indices('/').skip(1).chain([(pointer.len(), "")]) {
        let prefix = &pointer[..at];
        let (Some((list, _)), Some(was)) = (prefix.rsplit_once('/'), old.pointer(prefix)) else {
            continue;
        };
        if !old.pointer(list).is_some_and(Value::is_array) {
            continue;
        }
        let identity = ["mountPath", "name"]
            .into_iter()
            .find_map(|name| Some((name, was.get(name)?.as_str()?)));
        let Some((identity, was)) = identity else { continue };
        let of = |value: &Value| value.get(identity).and_then(Value::as_str).map(str::to_owned);
        let now = new.pointer(prefix).map(|now| of(now).unwrap_or_default());
        if now.as_deref() == Some(was) {
            continue;
        }
        let elements = new.pointer(list).and_then(Value::as_array);
        found.push(OtherElement {
            pointer: prefix.to_owned(),
            identity,
            old: was.to_owned(),
            new: now,
            now_at: elements
                .and_then(|all| all.iter().position(|element| of(element).as_deref() == Some(was))),
        });
    }
    found
}

/// With another container at the index of the project's, all that is meant for the one goes into the other.
pub fn other_project_container(which: &ProjectContainer, old: &Value, new: &Value) -> Option<Finding> {
    let ProjectContainer::Index(index) = which else {
        return None;
    };
    let name = |pod: &Value| {
        let name = pod.pointer(&format!("/spec/containers/{index}/name"))?;
        Some(name.as_str()?.to_owned())
    };
    let (was, is) = (name(old)?, name(new)?);
    (was != is).then(|| {
        Finding::new(
            "new-template-project-container",
            Severity::Warning,
            format!(
                "the quota, with its requests and limits, moves into container {is:?}: it is the one at index {index} in \
                 the new template, where {was:?} was; if CoCalc finds the project's container by its name, set \
                 assumptions.project_container to {was:?}"
            ),
        )
    })
}
