//! In what two pods differ once both have gone through the API server.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use crate::{check::pod::quantity::Quantity, json_patch::PathPart};

use super::{
    align::{Identity, align},
    kubernetes::{DATA, METADATA, is_unset},
};

/// A place in which a live and a rendered pod differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where: in the rendered pod, or in the live one where only that has it.
    pub path: Vec<PathPart>,
    /// What the live pod has, if anything.
    pub live: Option<Value>,
    /// What the rendered pod has, if anything. Neither is given for a list whose elements are in another order.
    pub rendered: Option<Value>,
}

impl Difference {
    /// How many scalars are concerned.
    pub fn weight(&self) -> usize {
        let leaves = |value: &Option<Value>| value.as_ref().map_or(1, leaves);
        leaves(&self.live).max(leaves(&self.rendered))
    }
}

fn leaves(value: &Value) -> usize {
    let sum = match value {
        Value::Array(list) => list.iter().map(leaves).sum(),
        Value::Object(map) => map.values().map(leaves).sum(),
        _ => 1,
    };
    sum.max(1)
}

/// All differences between a live pod, less what belongs to Kubernetes, and a rendered one.
///
/// Quantities are compared as numbers and the JSON in `{extra_env}` and `{project_config}` as values; what the API
/// server does not keep, such as an empty list or `readOnly: false`, is no difference. Lists are matched by what
/// their elements are.
pub fn differences(live: &Value, rendered: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(Some(live), Some(rendered), &mut Vec::new(), &mut found);
    found
}

/// The live pod with the rendered pod's writing where that is no difference: `1024Mi` for `1Gi`, the empty list that
/// the API server left out, the same JSON in base64.
pub fn as_rendered(live: &Value, rendered: &Value) -> Value {
    let mut live = live.clone();
    adopt(&mut live, rendered, &mut Vec::new());
    live
}

fn adopt(live: &mut Value, rendered: &Value, path: &mut Vec<PathPart>) {
    match (live, rendered) {
        (Value::Object(live), Value::Object(rendered)) => {
            for (name, rendered) in rendered {
                path.push(PathPart::Name(name.as_str().into()));
                match live.get_mut(name) {
                    Some(live) => adopt(live, rendered, path),
                    None if is_not_kept(path, rendered) => {
                        live.insert(name.clone(), rendered.clone());
                    }
                    None => {}
                }
                path.pop();
            }
        }
        (Value::Array(live), Value::Array(rendered)) => {
            let alignment = align(Identity::of_list(last_name(path)), rendered, live);
            for pair in &alignment.pairs {
                if let (Some(live), Some(rendered)) = (live.get_mut(pair.new), rendered.get(pair.old)) {
                    path.push(PathPart::Index(pair.old));
                    adopt(live, rendered, path);
                    path.pop();
                }
            }
        }
        (live, rendered) => {
            let mut found = Vec::new();
            compare(Some(live), Some(rendered), path, &mut found);
            if found.is_empty() {
                live.clone_from(rendered);
            }
        }
    }
}

fn compare(
    live: Option<&Value>,
    rendered: Option<&Value>,
    path: &mut Vec<PathPart>,
    found: &mut Vec<Difference>,
) {
    let live = live.filter(|value| !value.is_null());
    if live == rendered {
        return;
    }
    match (live, rendered) {
        (Some(Value::Object(live)), Some(Value::Object(rendered))) => maps(live, rendered, path, found),
        (Some(Value::Array(live)), Some(Value::Array(rendered))) => lists(live, rendered, path, found),
        (None, Some(value)) if is_not_kept(path, value) => {}
        (Some(live), Some(rendered))
            if is_same_quantity(path, live, rendered) || is_read_as(path, live, rendered) => {}
        (live, rendered) => {
            if let (Some(one), Some(other)) = (live.and_then(decoded), rendered.and_then(decoded))
                && is_value_of_env(path)
            {
                compare(Some(&one), Some(&other), path, found);
                return;
            }
            found.push(Difference {
                path: path.clone(),
                live: live.cloned(),
                rendered: rendered.cloned(),
            });
        }
    }
}

fn maps(
    live: &Map<String, Value>,
    rendered: &Map<String, Value>,
    path: &mut Vec<PathPart>,
    found: &mut Vec<Difference>,
) {
    let only_live = live.keys().filter(|name| !rendered.contains_key(*name));
    for name in rendered.keys().chain(only_live) {
        path.push(PathPart::Name(name.as_str().into()));
        compare(live.get(name), rendered.get(name), path, found);
        path.pop();
    }
}

fn lists(live: &[Value], rendered: &[Value], path: &mut Vec<PathPart>, found: &mut Vec<Difference>) {
    let alignment = align(Identity::of_list(last_name(path)), rendered, live);
    let moved = alignment.pairs.iter().any(|pair| !pair.stays);
    if moved {
        found.push(Difference {
            path: path.clone(),
            live: None,
            rendered: None,
        });
    }
    for pair in &alignment.pairs {
        path.push(PathPart::Index(pair.old));
        compare(live.get(pair.new), rendered.get(pair.old), path, found);
        path.pop();
    }
    for index in &alignment.removed {
        path.push(PathPart::Index(*index));
        compare(None, rendered.get(*index), path, found);
        path.pop();
    }
    for index in &alignment.added {
        path.push(PathPart::Index(*index));
        compare(live.get(*index), None, path, found);
        path.pop();
    }
}

fn last_name(path: &[PathPart]) -> &str {
    match path.last() {
        Some(PathPart::Name(name)) => name,
        _ => "",
    }
}

/// Whether the API server makes none of this, or a value of its own: what [`is_unset`] says, and what nobody but the
/// server sets.
fn is_not_kept(path: &[PathPart], value: &Value) -> bool {
    let (parent, name) = names(path);
    (is_unset(parent, name, value) && !(value.is_null() && is_element(path)))
        || (path.len() == 1 && name == "status")
        || (path.len() == 2 && parent == "metadata" && METADATA.contains(&name))
}

/// Whether the API server reads the one as the other: `null` in a list or in a map of data as Go's zero value, a
/// negative grace period as one second.
fn is_read_as(path: &[PathPart], live: &Value, rendered: &Value) -> bool {
    let is_element = is_element(path);
    match (live, rendered) {
        (Value::String(text), Value::Null) => is_element && (text.is_empty() || text == "0"),
        (Value::Number(number), Value::Null) => is_element && number.as_f64() == Some(0.0),
        (Value::Object(map), Value::Null) => is_element && map.is_empty(),
        (Value::Number(live), Value::Number(rendered)) => {
            last_name(path) == "terminationGracePeriodSeconds"
                && live.as_f64() == Some(1.0)
                && rendered.as_f64().is_some_and(|seconds| seconds < 0.0)
        }
        _ => false,
    }
}

/// Whether this is an element of a list or of a map of data, where `null` is kept as Go's zero value.
fn is_element(path: &[PathPart]) -> bool {
    matches!(path.last(), Some(PathPart::Index(_))) || DATA.contains(&names(path).0)
}

/// The name of a member, and of the map that holds it or of the list that holds the map.
fn names(path: &[PathPart]) -> (&str, &str) {
    match path {
        [PathPart::Name(name)] => ("", name),
        [.., PathPart::Name(parent), PathPart::Name(name)]
        | [
            ..,
            PathPart::Name(parent),
            PathPart::Index(_),
            PathPart::Name(name),
        ] => (parent, name),
        _ => ("", ""),
    }
}

fn is_value_of_env(path: &[PathPart]) -> bool {
    matches!(path, [.., PathPart::Name(list), PathPart::Index(_), PathPart::Name(name)]
        if &**list == "env" && &**name == "value")
}

/// Whether both are the same quantity; the API server writes `1024Mi` as `1Gi` and rounds up to thousandths.
fn is_same_quantity(path: &[PathPart], live: &Value, rendered: &Value) -> bool {
    let is_quantity = last_name(path) == "sizeLimit"
        || path.iter().any(
            |part| matches!(part, PathPart::Name(name) if &**name == "resources" || &**name == "overhead"),
        );
    let milli = |value: &Value| {
        let text: Cow<'_, str> = match value {
            Value::String(text) => text.into(),
            Value::Number(number) => number.to_string().into(),
            _ => return None,
        };
        let nano = Quantity::parse(&text)?.nano();
        Some(nano.div_euclid(1_000_000) + i128::from(nano.rem_euclid(1_000_000) != 0))
    };
    is_quantity && milli(live).is_some_and(|live| milli(rendered) == Some(live))
}

/// The JSON object that a text holds in base64, if it does.
pub(crate) fn decoded(value: &Value) -> Option<Value> {
    let bytes = STANDARD.decode(value.as_str()?).ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline::provenance::field_path;

    fn fields(live: &Value, rendered: &Value) -> Vec<String> {
        differences(live, rendered)
            .iter()
            .map(|difference| field_path(&difference.path))
            .collect()
    }

    #[test]
    fn quantities_are_numbers_and_only_where_quantities_stand() {
        let pod = |memory: &str, cpu: Value| json!({"resources": {"limits": {"memory": memory, "cpu": cpu}}});
        assert_eq!(
            fields(&pod("1Gi", json!("20m")), &pod("1024Mi", json!(0.02))),
            [""; 0]
        );
        assert_eq!(
            fields(&pod("16G", json!("1")), &pod("16000Mi", json!(1))),
            ["resources.limits.memory"]
        );
        assert_eq!(
            fields(&json!({"labels": {"v": "1.0"}}), &json!({"labels": {"v": "1"}})),
            ["labels.v"]
        );
    }

    #[test]
    fn what_the_api_server_does_not_keep_is_no_difference() {
        let rendered = json!({"initContainers": [], "x": null, "volumeMounts": [{"mountPath": "/a", "readOnly": false}],
                              "annotations": {}, "automountServiceAccountToken": false});
        let live = json!({"volumeMounts": [{"mountPath": "/a"}]});
        assert_eq!(fields(&live, &rendered), ["automountServiceAccountToken"]);
    }

    #[test]
    fn what_is_no_difference_is_written_as_it_is_rendered() {
        let rendered = json!({"resources": {"limits": {"memory": "1024Mi", "cpu": "1"}}, "initContainers": [],
                              "env": [{"name": "A", "value": STANDARD.encode(r#"{"b":1,"a":2}"#)}]});
        let live = json!({"resources": {"limits": {"memory": "1Gi", "cpu": "2"}},
                          "env": [{"name": "A", "value": STANDARD.encode(r#"{"a":2,"b":1}"#)}]});
        let mut wanted = rendered.clone();
        wanted["resources"]["limits"]["cpu"] = json!("2");
        assert_eq!(as_rendered(&live, &rendered), wanted);
    }

    #[test]
    fn texts_in_base64_are_compared_as_values() {
        let env = |text: &str| json!({"env": [{"name": "A", "value": STANDARD.encode(text)}]});
        assert_eq!(
            fields(&env(r#"{"a":1,"b":2}"#), &env(r#"{"b":2, "a":1}"#)),
            [""; 0]
        );
        assert_eq!(
            fields(&env(r#"{"a":1,"b":2}"#), &env(r#"{"b":3}"#)),
            ["env[0].value.b", "env[0].value.a"]
        );
    }

    #[test]
    fn elements_are_matched_by_what_they_are() {
        let live = json!({"containers": [{"name": "mesh"}, {"name": "a", "image": "x"}]});
        let rendered = json!({"containers": [{"name": "a", "image": "y"}]});
        assert_eq!(fields(&live, &rendered), ["containers[0].image", "containers[0]"]);
        let turned = json!({"tolerations": [{"key": "b"}, {"key": "a"}]});
        let straight = json!({"tolerations": [{"key": "a"}, {"key": "b"}]});
        assert_eq!(fields(&turned, &straight), ["tolerations"]);
    }
}
