//! Small changes of a pod.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

use crate::{
    dry_run::path::{Path, get, get_mut},
    json_patch::PathPart,
};

pub(super) fn set(pod: &mut Value, path: &[PathPart], value: &Value) {
    if let Some(place) = get_mut(pod, path) {
        *place = value.clone();
        return;
    }
    let Some((PathPart::Name(name), parent)) = path.split_last() else {
        return;
    };
    if let Some(Value::Object(map)) = get_mut(pod, parent) {
        map.insert(name.to_string(), value.clone());
    }
}

pub(super) fn volume_names(pod: &Value, removed: &BTreeSet<Path>) -> HashSet<String> {
    let spec = [PathPart::Name("spec".into()), PathPart::Name("volumes".into())];
    let volumes = get(pod, &spec).and_then(Value::as_array);
    volumes
        .into_iter()
        .flatten()
        .enumerate()
        .filter(|(index, _)| {
            let mut path = spec.to_vec();
            path.push(PathPart::Index(*index));
            !removed.contains(&path)
        })
        .filter_map(|(_, volume)| volume.get("name")?.as_str().map(str::to_owned))
        .collect()
}

/// The mounts of all containers with the names of their volumes.
pub(super) fn mounts(pod: &Value) -> Vec<(Path, String)> {
    let mut mounts = Vec::new();
    for list in ["containers", "initContainers"] {
        let containers = pod
            .get("spec")
            .and_then(|spec| spec.get(list))
            .and_then(Value::as_array);
        for (container, value) in containers.into_iter().flatten().enumerate() {
            for kind in ["volumeMounts", "volumeDevices"] {
                let of = value.get(kind).and_then(Value::as_array);
                for (mount, value) in of.into_iter().flatten().enumerate() {
                    if let Some(name) = value.get("name").and_then(Value::as_str) {
                        let path = vec![
                            PathPart::Name("spec".into()),
                            PathPart::Name(list.into()),
                            PathPart::Index(container),
                            PathPart::Name(kind.into()),
                            PathPart::Index(mount),
                        ];
                        mounts.push((path, name.to_owned()));
                    }
                }
            }
        }
    }
    mounts
}
