//! Places in a pod: the API server's field paths, and the same place in two versions of a pod.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{check::pod::locate, json_patch::PathPart};

/// The way to a place.
pub type Path = Vec<PathPart>;

/// A piece of a field path of the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Name(String),
    Bracket(String),
}

/// The places that a field path means in this pod. There are several where the server leaves out an index
/// (`spec.containers[0].volumeMounts.subPath`), and a place need not exist.
pub fn resolve(field: &str, pod: &Value) -> Vec<Path> {
    let mut found: Vec<(Path, Option<&Value>)> = vec![(Vec::new(), Some(pod))];
    for piece in pieces(field) {
        let mut next = Vec::new();
        for (path, value) in found {
            match (&piece, value) {
                (Piece::Bracket(text), Some(Value::Array(list))) => {
                    if let Ok(index) = text.parse::<usize>() {
                        next.push((below(&path, PathPart::Index(index)), list.get(index)));
                    }
                }
                (Piece::Bracket(text), None) if text.parse::<usize>().is_ok() => {
                    let index = text.parse().unwrap_or_default();
                    next.push((below(&path, PathPart::Index(index)), None));
                }
                (Piece::Name(name), Some(Value::Array(list))) => {
                    for (index, element) in list.iter().enumerate() {
                        let path = below(&below(&path, PathPart::Index(index)), name_part(name));
                        next.push((path, element.get(name)));
                    }
                }
                (Piece::Name(name) | Piece::Bracket(name), value) => {
                    let member = value.and_then(|value| value.get(name));
                    next.push((below(&path, name_part(name)), member));
                }
            }
        }
        found = next;
    }
    found.into_iter().map(|(path, _)| path).collect()
}

fn name_part(name: &str) -> PathPart {
    PathPart::Name(name.into())
}

fn below(path: &[PathPart], part: PathPart) -> Path {
    let mut path = path.to_vec();
    path.push(part);
    path
}

fn pieces(field: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = field;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (text, after) = inner.split_once(']').unwrap_or((inner, ""));
            pieces.push(Piece::Bracket(text.to_owned()));
            rest = after.strip_prefix('.').unwrap_or(after);
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if !name.is_empty() {
                pieces.push(Piece::Name(name.to_owned()));
            }
            rest = after.strip_prefix('.').unwrap_or(after);
        }
    }
    pieces
}

/// A field path without its indices: equal for the same field of another element.
pub fn without_indices(field: &str) -> String {
    let mut text = String::new();
    for piece in pieces(field) {
        match piece {
            Piece::Bracket(key) if key.bytes().all(|byte| byte.is_ascii_digit()) => text.push_str("[]"),
            Piece::Bracket(key) => {
                text.push('[');
                text.push_str(&key);
                text.push(']');
            }
            Piece::Name(name) => {
                text.push('.');
                text.push_str(&name);
            }
        }
    }
    text
}

/// The names of a path, without its indices.
pub fn names(path: &[PathPart]) -> Vec<&str> {
    path.iter()
        .filter_map(|part| match part {
            PathPart::Name(name) => Some(&**name),
            PathPart::Index(_) => None,
        })
        .collect()
}

/// What stands at a place.
pub fn get<'v>(value: &'v Value, path: &[PathPart]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, part| match part {
        PathPart::Name(name) => value.get(&**name),
        PathPart::Index(index) => value.get(*index),
    })
}

/// What stands at a place, to be changed.
pub fn get_mut<'v>(value: &'v mut Value, path: &[PathPart]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, part| match part {
        PathPart::Name(name) => value.get_mut(&**name),
        PathPart::Index(index) => value.get_mut(*index),
    })
}

/// Takes away what stands at a place; elements behind it move up.
pub fn remove(value: &mut Value, path: &[PathPart]) {
    let Some((last, parent)) = path.split_last() else {
        return;
    };
    match (get_mut(value, parent), last) {
        (Some(Value::Object(map)), PathPart::Name(name)) => {
            map.remove(&**name);
        }
        (Some(Value::Array(list)), PathPart::Index(index)) if *index < list.len() => {
            list.remove(*index);
        }
        _ => {}
    }
}

/// The place in `to` of what stands at a place of `from`; the same place if it went.
pub fn relocate(from: &Value, to: &Value, path: &[PathPart]) -> Path {
    locate(from, to, path).unwrap_or_else(|| path.to_vec())
}

/// The place, before elements were removed, of what stands at a place after that.
pub fn before_removal(path: &[PathPart], removed: &BTreeSet<Path>) -> Path {
    let mut before: Path = Vec::with_capacity(path.len());
    for part in path {
        let PathPart::Index(index) = part else {
            before.push(part.clone());
            continue;
        };
        let mut left = *index;
        let mut at = 0;
        loop {
            let here = below(&before, PathPart::Index(at));
            if !removed.contains(&here) {
                if left == 0 {
                    before = here;
                    break;
                }
                left -= 1;
            }
            at += 1;
        }
    }
    before
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline::provenance::pointer;

    fn pointers(field: &str, pod: &Value) -> Vec<String> {
        resolve(field, pod).iter().map(|path| pointer(path)).collect()
    }

    #[test]
    fn field_paths_lead_to_places_also_where_the_server_leaves_out_an_index() {
        let pod = json!({"metadata": {"labels": {"7": "x"}}, "spec": {"containers": [
            {"volumeMounts": [{"subPath": "a"}, {"subPath": "b"}], "resources": {"limits": {"nvidia.com/gpu": 1}}},
        ]}});
        assert_eq!(
            pointers("spec.containers[0].volumeMounts.subPath", &pod),
            [
                "/spec/containers/0/volumeMounts/0/subPath",
                "/spec/containers/0/volumeMounts/1/subPath"
            ]
        );
        assert_eq!(
            pointers("spec.containers[0].resources.limits[nvidia.com/gpu]", &pod),
            ["/spec/containers/0/resources/limits/nvidia.com~1gpu"]
        );
        assert_eq!(pointers("metadata.labels[7]", &pod), ["/metadata/labels/7"]);
        assert_eq!(pointers("spec.volumes[3].name", &pod), ["/spec/volumes/3/name"]);
    }

    #[test]
    fn indices_count_what_was_removed_again() {
        let path = |index| vec![PathPart::Name("v".into()), PathPart::Index(index)];
        let removed = BTreeSet::from([path(0), path(2)]);
        assert_eq!(before_removal(&path(0), &removed), path(1));
        assert_eq!(before_removal(&path(1), &removed), path(3));
    }
}
