//! Something harmless in the place of what no patch wrote, so that the server tells what it finds behind it.

use serde_json::{Value, json};

use crate::{check::pod::quantity_is_above, json_patch::PathPart};

use super::{
    fault::{Fault, Kind},
    path::{Path, get},
    places::{below, text_of},
};

/// A change of the pod that is sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Edit {
    /// The value is taken away.
    Remove,
    /// Another value stands in its place.
    Set(Value),
}

/// Lists whose elements nothing else depends on, so that a faulty one can go as a whole.
const LOOSE: [&str; 9] = [
    "volumeMounts",
    "volumeDevices",
    "ports",
    "env",
    "envFrom",
    "tolerations",
    "imagePullSecrets",
    "hostAliases",
    "topologySpreadConstraints",
];

/// Changes that make a fault go away, with paths in `base`. Each attempt takes away more; none means that there is
/// no way.
pub(super) fn neutral(fault: &Fault, path: &[PathPart], base: &Value, attempt: usize) -> Vec<(Path, Edit)> {
    if attempt == 0 {
        if fault.kind == Kind::Unknown && get(base, path).is_some() {
            return vec![(path.to_vec(), Edit::Remove)];
        }
        if let Kind::LimitRange(range) = &fault.kind
            && !range.ratio
            && !range.bound.is_empty()
        {
            return within_bounds(path, &range.bound, range.maximum, base);
        }
        if let Some(edit) = special(path) {
            return vec![edit];
        }
    }
    let Some(end) = path.len().checked_sub(attempt) else {
        return Vec::new();
    };
    let Some(path) = path.get(..end) else {
        return Vec::new();
    };
    if path.len() < 2 {
        return Vec::new();
    }
    if get(base, path).is_some() {
        vec![(path.to_vec(), Edit::Remove)]
    } else {
        // What is missing cannot be taken away; what lacks it can.
        neutral(fault, path, base, attempt + 1)
    }
}

fn special(path: &[PathPart]) -> Option<(Path, Edit)> {
    let name = |at: usize| match path.get(at) {
        Some(PathPart::Name(name)) => Some(&**name),
        _ => None,
    };
    for (at, part) in path.iter().enumerate() {
        if matches!(part, PathPart::Index(_))
            && at > 0
            && name(at - 1).is_some_and(|list| LOOSE.contains(&list))
        {
            return Some((path.get(..=at)?.to_vec(), Edit::Remove));
        }
    }
    let index = match path.get(2) {
        Some(PathPart::Index(index)) => *index,
        _ => 0,
    };
    match (name(0), name(1)) {
        (Some("spec"), Some("volumes")) if path.len() > 3 => {
            // Its mounts need it, and without a source it is an empty folder.
            let member = path.get(..4)?;
            if name(3) == Some("name") {
                return Some((member.to_vec(), Edit::Set(json!(format!("stand-in-{index}")))));
            }
            Some((member.to_vec(), Edit::Remove))
        }
        (Some("spec"), Some("containers" | "initContainers")) if path.len() == 4 => match name(3) {
            Some("name") => Some((path.to_vec(), Edit::Set(json!(format!("stand-in-{index}"))))),
            Some("image") => Some((path.to_vec(), Edit::Set(json!("stand-in")))),
            _ => None,
        },
        (Some("spec"), Some("containers")) if path.len() == 2 => Some((
            path.to_vec(),
            Edit::Set(json!([{"name": "stand-in", "image": "stand-in"}])),
        )),
        (Some("metadata"), Some("name")) => Some((path.to_vec(), Edit::Set(json!("project-stand-in")))),
        (Some("kind"), None) => Some((path.to_vec(), Edit::Set(json!("Pod")))),
        (Some("apiVersion"), None) => Some((path.to_vec(), Edit::Set(json!("v1")))),
        _ => None,
    }
}

/// The bound itself, and a request that is not above its limit.
fn within_bounds(path: &[PathPart], bound: &str, maximum: bool, base: &Value) -> Vec<(Path, Edit)> {
    let mut edits = vec![(path.to_vec(), Edit::Set(json!(bound)))];
    let [up @ .., PathPart::Name(list), PathPart::Name(resource)] = path else {
        return edits;
    };
    let other = match (&**list, maximum) {
        ("limits", true) => below(up, &["requests", resource]),
        ("requests", false) => below(up, &["limits", resource]),
        _ => return edits,
    };
    if let Some(value) = get(base, &other).map(text_of) {
        let out_of_bounds = if maximum {
            quantity_is_above(&value, bound)
        } else {
            quantity_is_above(bound, &value)
        };
        if out_of_bounds {
            edits.push((other, Edit::Set(json!(bound))));
        }
    }
    edits
}
