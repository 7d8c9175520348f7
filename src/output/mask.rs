//! Values of environment variables that look like secrets, masked in diffs and reports.
//!
//! As kubectl does with Secrets: the same value on both sides is `***`, two different ones are `*** (before)` and
//! `*** (after)`, so that a change still shows. The template may put `{extra_env}` and `{project_config}` anywhere, so
//! their base64 is looked for in every string: of the first nothing is shown, of the second the quota, whose patch may
//! hold secrets of its own.

use std::collections::{HashMap, HashSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

/// The variable in which the template hands `projects.env` to the project, in base64.
const EXTRA_ENV: &str = "COCALC_EXTRA_ENV";

/// Whether a variable of this name is masked.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_uppercase();
    name == EXTRA_ENV
        || ["TOKEN", "SECRET", "PASSWORD", "KEY"]
            .iter()
            .any(|word| name.contains(word))
}

/// Masks the values of secret environment variables in two versions of a pod.
pub fn pods(before: &Value, after: &Value) -> (Value, Value) {
    versions(before, after, ["*** (before)", "*** (after)"])
}

/// [`pods`] with other texts for a secret that is not the same in the two versions.
pub fn versions(before: &Value, after: &Value, differs: [&str; 2]) -> (Value, Value) {
    let one = |pod: &Value, other: &Value, differs: &str| {
        let mut masked = pod.clone();
        let variables = variables(other);
        each_secret(&mut masked, &mut |name, value| {
            let same = variables.get(name).is_some_and(|other| *other == Some(&*value));
            *value = Value::from(if same { "***" } else { differs });
        });
        let mut there = None;
        each_string(&mut masked, &mut |text| {
            if let Some(shown) = without_encoded(text, &mut |run| {
                let there = there.get_or_insert_with(|| environments(other));
                if there.contains(run) { "***" } else { differs }
            }) {
                *text = shown;
            }
        });
        masked
    };
    (one(before, after, differs[0]), one(after, before, differs[1]))
}

/// Masks the values of secret environment variables wherever they stand in a value, such as an operation's.
pub fn anywhere(value: &Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(walk),
            Value::Object(map) => {
                let text = |name: &str| map.get(name).and_then(Value::as_str);
                // Which variable an index means is not known here.
                let of_variable = map.contains_key("op")
                    && text("path").is_some_and(|path| path.contains("/env/") && path.ends_with("/value"));
                let secret = of_variable || text("name").is_some_and(is_secret);
                if let Some(text) = map.get_mut("value").filter(|value| secret && value.is_string()) {
                    *text = Value::from("***");
                }
                map.values_mut().for_each(walk);
            }
            Value::String(text) => {
                if let Some(shown) = without_encoded(text, &mut |_| "***") {
                    *text = shown;
                }
            }
            _ => {}
        }
    }
    let mut value = value.clone();
    walk(&mut value);
    value
}

/// [`anywhere`] in a license's quota too, whose patch is JSON in a text: that stays as it is where nothing is masked.
pub fn quota(quota: &Value) -> Value {
    let mut masked = anywhere(quota);
    if let Some(Value::String(patch)) = masked.get_mut("patch")
        && let Some(shown) = crate::json::parse(patch)
            .ok()
            .and_then(|operations| operations.to_value().ok())
            .map(|operations| (anywhere(&operations), operations))
            .and_then(|(shown, operations)| (shown != operations).then_some(shown))
    {
        *patch = super::json::compact(&shown);
    }
    masked
}

/// The values of secret environment variables of a pod that are long enough to be found in a text.
pub fn secrets(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    each_variable(pod, &mut |name, value| {
        if let Some(value) = value.as_str().filter(|value| is_secret(name) && value.len() >= 4) {
            found.push(value.to_owned());
        }
    });
    found
}

/// The text with what stands for the variables of a project, or the patch of its quota, masked in base64. `None` if
/// there is no such base64 in it. `mark` gives what stands in the place of the variables.
fn without_encoded<'m>(text: &str, mark: &mut dyn FnMut(&str) -> &'m str) -> Option<String> {
    next_encoded(text)?;
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, run, tail)) = next_encoded(rest) {
        shown.push_str(before);
        match decoded(run) {
            Some(config) if config.get("quota").is_some_and(Value::is_object) => {
                let masked = anywhere(&config);
                if masked == config {
                    shown.push_str(run);
                } else {
                    shown.push_str(&STANDARD.encode(super::json::compact(&masked)));
                }
            }
            Some(_) => shown.push_str(mark(run)),
            None => shown.push_str(run),
        }
        rest = tail;
    }
    shown.push_str(rest);
    (shown != text).then_some(shown)
}

/// The next base64 of what begins with `{"`, what stands before it and what behind.
fn next_encoded(text: &str) -> Option<(&str, &str, &str)> {
    let (before, tail) = text.split_at(text.find("eyJ")?);
    let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let (run, tail) = tail.split_at(tail.find(|c| !is_digit(c)).unwrap_or(tail.len()));
    Some((before, run, tail))
}

fn decoded(run: &str) -> Option<Value> {
    let bytes = STANDARD.decode(run).ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

/// Every base64 of variables in a pod.
fn environments(pod: &Value) -> HashSet<&str> {
    fn walk<'p>(value: &'p Value, found: &mut HashSet<&'p str>) {
        match value {
            Value::String(text) => {
                let mut rest = text.as_str();
                while let Some((_, run, tail)) = next_encoded(rest) {
                    found.insert(run);
                    rest = tail;
                }
            }
            Value::Array(list) => list.iter().for_each(|element| walk(element, found)),
            Value::Object(map) => map.values().for_each(|member| walk(member, found)),
            _ => {}
        }
    }
    let mut found = HashSet::new();
    walk(pod, &mut found);
    found
}

fn each_string(value: &mut Value, visit: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(list) => list.iter_mut().for_each(|element| each_string(element, visit)),
        Value::Object(map) => map.values_mut().for_each(|member| each_string(member, visit)),
        _ => {}
    }
}

/// The value of each variable of a pod; `None` for a name that has several.
fn variables(pod: &Value) -> HashMap<&str, Option<&Value>> {
    let mut found = HashMap::new();
    each_variable(pod, &mut |name, value| {
        let entry = found.entry(name).or_insert(Some(value));
        if *entry != Some(value) {
            *entry = None;
        }
    });
    found
}

const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

fn each_variable<'p>(pod: &'p Value, visit: &mut dyn FnMut(&'p str, &'p Value)) {
    for list in CONTAINERS {
        let containers = pod.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
        for variable in containers
            .into_iter()
            .flatten()
            .filter_map(|c| c.get("env")?.as_array())
            .flatten()
        {
            if let (Some(name), Some(value)) = (
                variable.get("name").and_then(Value::as_str),
                variable.get("value"),
            ) {
                visit(name, value);
            }
        }
    }
}

fn each_secret(pod: &mut Value, visit: &mut dyn FnMut(&str, &mut Value)) {
    for list in CONTAINERS {
        let containers = pod
            .pointer_mut(&format!("/spec/{list}"))
            .and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let env = container.get_mut("env").and_then(Value::as_array_mut);
            for variable in env.into_iter().flatten() {
                let name = variable
                    .get("name")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned();
                if let Some(value) = variable
                    .get_mut("value")
                    .filter(|value| value.is_string() && is_secret(&name))
                {
                    visit(&name, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_that_changes_is_told_from_one_that_does_not() {
        let pod = |token: &str| {
            json!({"spec": {"containers": [{"env": [
                {"name": "API_TOKEN", "value": token}, {"name": "MY_password", "value": "p"}, {"name": "HOME", "value": "/h"},
            ]}]}})
        };
        let (before, after) = pods(&pod("a"), &pod("b"));
        let value = |pod: &Value, i: usize| pod["spec"]["containers"][0]["env"][i]["value"].clone();
        assert_eq!(
            [value(&before, 0), value(&after, 0)],
            ["*** (before)", "*** (after)"]
        );
        assert_eq!([value(&before, 1), value(&after, 1)], ["***", "***"]);
        assert_eq!(value(&after, 2), "/h");
    }

    #[test]
    fn the_variables_of_a_project_are_masked_wherever_the_template_puts_them() {
        let patch = json!([{"op": "add", "path": "/spec/containers/0/env/-", "value": {"name": "A_KEY", "value": "k"}}]);
        let encoded = |value: Value| STANDARD.encode(value.to_string());
        let pod = |course: &str| {
            json!({"metadata": {"annotations": {
                "copy": format!("x={};", encoded(json!({"COURSE": course}))),
                "same": encoded(json!({"A": "b"})),
                "config": encoded(json!({"quota": {"memory_limit": 4000, "patch": patch}})),
                "other": "eyJ", "empty": "e30=",
            }}})
        };
        let (before, after) = pods(&pod("a"), &pod("b"));
        let of = |pod: &Value, name: &str| pod["metadata"]["annotations"][name].as_str().unwrap().to_owned();
        assert_eq!(
            [of(&before, "copy"), of(&after, "copy")],
            ["x=*** (before);", "x=*** (after);"]
        );
        assert_eq!([of(&before, "same"), of(&after, "same")], ["***", "***"]);
        assert_eq!([of(&before, "other"), of(&before, "empty")], ["eyJ", "e30="]);
        let config = decoded(&of(&after, "config")).unwrap();
        assert_eq!(config["quota"]["memory_limit"], 4000);
        assert_eq!(config["quota"]["patch"][0]["value"]["value"], "***");
    }

    #[test]
    fn the_value_of_an_operation_is_masked_too() {
        let operation = json!({"op": "replace", "path": "/spec/containers/0/env/0/value", "value": "k"});
        assert_eq!(anywhere(&operation)["value"], "***");
        let operation =
            json!({"op": "add", "path": "/spec/containers/0/env/-", "value": {"name": "KEY", "value": "k"}});
        assert_eq!(anywhere(&operation)["value"]["value"], "***");
    }
}
