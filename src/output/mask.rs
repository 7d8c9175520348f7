//! Values of environment variables that look like secrets, masked in diffs and reports.
//!
//! As kubectl does with Secrets: the same value on both sides is `***`, two different ones are `*** (before)` and
//! `*** (after)`, so that a change still shows.

use serde_json::Value;

/// The variable in which the template hands `projects.env` to the project, in base64.
const EXTRA_ENV: &str = "COCALC_EXTRA_ENV";

/// Whether a variable of this name is masked.
fn is_secret(name: &str) -> bool {
    let name = name.to_uppercase();
    name == EXTRA_ENV
        || ["TOKEN", "SECRET", "PASSWORD", "KEY"]
            .iter()
            .any(|word| name.contains(word))
}

/// Masks the values of secret environment variables in two versions of a pod.
pub fn pods(before: &Value, after: &Value) -> (Value, Value) {
    let (mut masked_before, mut masked_after) = (before.clone(), after.clone());
    each_secret(&mut masked_before, &mut |name, value| {
        *value = Value::from(if same(after, name, value) {
            "***"
        } else {
            "*** (before)"
        });
    });
    each_secret(&mut masked_after, &mut |name, value| {
        *value = Value::from(if same(before, name, value) {
            "***"
        } else {
            "*** (after)"
        });
    });
    (masked_before, masked_after)
}

/// Masks the values of secret environment variables wherever they stand in a value, such as an operation's.
pub fn anywhere(value: &Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(walk),
            Value::Object(map) => {
                let secret = map.get("name").and_then(Value::as_str).is_some_and(is_secret);
                if let Some(text) = map.get_mut("value").filter(|value| secret && value.is_string()) {
                    *text = Value::from("***");
                }
                map.values_mut().for_each(walk);
            }
            _ => {}
        }
    }
    let mut value = value.clone();
    walk(&mut value);
    value
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

fn same(other: &Value, name: &str, value: &Value) -> bool {
    let mut found = false;
    let mut all = true;
    each_variable(other, &mut |other_name, other_value| {
        if other_name == name {
            found = true;
            all &= other_value == value;
        }
    });
    found && all
}

const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

fn each_variable(pod: &Value, visit: &mut dyn FnMut(&str, &Value)) {
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
    fn the_value_of_an_operation_is_masked_too() {
        let operation =
            json!({"op": "add", "path": "/spec/containers/0/env/-", "value": {"name": "KEY", "value": "k"}});
        assert_eq!(anywhere(&operation)["value"]["value"], "***");
    }
}
