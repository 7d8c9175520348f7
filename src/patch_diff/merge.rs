//! A merge patch as people mean it for a pod.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::{
    check::{Finding, Severity},
    json_patch::Instead,
    output::mask,
    pipeline::what_if::PatchText,
};

use super::{Request, align::Identity, make, text};

/// The document with a merge patch in it: by RFC 7386, but that elements of a list which Kubernetes knows by a name
/// are merged one by one, as kubectl's strategic merge does. Recurses as deep as the patch.
fn merged(document: &Value, patch: &Value) -> Value {
    let mut document = document.clone();
    merge(&mut document, patch, "");
    document
}

/// What a merge patch, given in place of a JSON Patch, would be as one.
pub fn as_operations(document: &Value, patch: &PatchText) -> Option<Finding> {
    let merge = crate::json::parse(&patch.text).ok()?;
    if Instead::of_value(&merge) != Instead::MergePatch {
        return None;
    }
    let after = merged(document, &merge.to_value().ok()?);
    let made = make(&Request {
        before: document,
        after: &after,
        base: None,
        guards: true,
    });
    let operations = mask::anywhere(&Value::from(made.ok()?.operations));
    let operations = text(operations.as_array()?, false);
    Some(Finding::new(
        "merge-patch",
        Severity::Note,
        format!(
            "{} is a merge patch; as a JSON Patch it is {operations}",
            patch.label
        ),
    ))
}

fn merge(target: &mut Value, patch: &Value, name: &str) {
    match (target, patch) {
        (target, Value::Object(patch)) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            let Value::Object(members) = target else { return };
            for (name, value) in patch {
                if value.is_null() {
                    members.remove(name);
                } else {
                    merge(members.entry(name.clone()).or_insert(Value::Null), value, name);
                }
            }
        }
        (Value::Array(target), Value::Array(patch)) if Identity::of_list(name) != Identity::Value => {
            let identity = Identity::of_list(name);
            // As text, since a key holds on to its element.
            let key = |element: &Value| format!("{:?}", identity.key(element));
            let mut places: HashMap<String, usize> = HashMap::new();
            for (at, element) in target.iter().enumerate() {
                places.entry(key(element)).or_insert(at);
            }
            for element in patch {
                match places.get(&key(element)).and_then(|at| target.get_mut(*at)) {
                    Some(old) => merge(old, element, ""),
                    None => target.push(element.clone()),
                }
            }
        }
        (target, patch) => target.clone_from(patch),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_are_merged_by_their_names_and_null_removes() {
        let pod = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"containers": [
            {"name": "project", "image": "x:1", "args": ["a", "b"]}, {"name": "other", "image": "y"}]}});
        let patch = json!({"metadata": {"labels": {"a": null, "team": "bio"}}, "spec": {"containers": [
            {"name": "project", "image": "x:2", "args": ["c"]}, {"name": "new", "image": "z"}]}});
        assert_eq!(
            merged(&pod, &patch),
            json!({"metadata": {"labels": {"b": "2", "team": "bio"}}, "spec": {"containers": [
                {"name": "project", "image": "x:2", "args": ["c"]}, {"name": "other", "image": "y"},
                {"name": "new", "image": "z"}]}})
        );
    }
}
