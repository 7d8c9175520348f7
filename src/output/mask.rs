//! Values of environment variables that look like secrets, masked in diffs and reports.
//!
//! As kubectl does with Secrets: the same value on both sides is `***`, two different ones are `*** (before)` and
//! `*** (after)`, so that a change still shows. The template may put `{extra_env}` and `{project_config}` anywhere, so
//! their base64 is looked for in every string: of the first nothing is shown, of the second the quota, whose patch may
//! hold secrets of its own.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

/// The variable in which the template hands `projects.env` to the project, in base64.
const EXTRA_ENV: &str = "COCALC_EXTRA_ENV";

/// Whether a variable of this name is masked.
pub(crate) fn is_secret(name: &str) -> bool {
    // Of other letters some are these as capitals: `ſ` is an S.
    let capitals = if name.is_ascii() {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(name.to_uppercase())
    };
    let bytes = capitals.as_bytes();
    capitals.eq_ignore_ascii_case(EXTRA_ENV)
        || bytes.iter().enumerate().any(|(at, first)| {
            let word = match first.to_ascii_uppercase() {
                b'T' => "TOKEN",
                b'S' => "SECRET",
                b'P' => "PASSWORD",
                b'K' => "KEY",
                _ => return false,
            };
            let found = bytes.get(at..at + word.len());
            found.is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()))
        })
}

/// Masks the values of secret environment variables in two versions of a pod.
pub fn pods(before: &mut Value, after: &mut Value) {
    versions([before, after], ["*** (before)", "*** (after)"]);
}

/// [`pods`] with other texts for a secret that is not the same in the two versions.
pub fn versions([before, after]: [&mut Value; 2], differs: [&str; 2]) {
    let (of_before, of_after) = (Secrets::of(before), Secrets::of(after));
    of_after.hide_others_in(before, differs[0]);
    of_before.hide_others_in(after, differs[1]);
}

/// What is secret in a version of a pod.
struct Secrets {
    /// The value of each variable; `None` for a name that has several.
    variables: HashMap<String, Option<Value>>,
    /// Every base64 of variables.
    encoded: HashSet<String>,
}

impl Secrets {
    fn of(pod: &Value) -> Self {
        let mut variables = HashMap::new();
        each_variable(pod, &mut |name, value| {
            if is_secret(name) {
                let entry = variables
                    .entry(name.to_owned())
                    .or_insert_with(|| Some(value.clone()));
                if entry.as_ref() != Some(value) {
                    *entry = None;
                }
            }
        });
        let mut encoded = HashSet::new();
        collect_encoded(pod, &mut encoded);
        Self { variables, encoded }
    }

    /// Masks the other version: what is the same here as `***`, all else as `differs`.
    fn hide_others_in(&self, pod: &mut Value, differs: &str) {
        each_secret(pod, &mut |name, value| {
            let same = self.variables.get(name).and_then(Option::as_ref) == Some(&*value);
            *value = Value::from(if same { "***" } else { differs });
        });
        each_string(pod, &mut |text| {
            let mark = &mut |run: &str| {
                if self.encoded.contains(run) {
                    "***"
                } else {
                    differs
                }
            };
            if let Some(shown) = without_encoded(text, mark) {
                *text = shown;
            }
        });
    }
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
    // Hardly any string has a `J`. Without a way out of the loop many bytes are looked at in one step.
    if !text.bytes().fold(false, |any, byte| any | (byte == b'J')) {
        return None;
    }
    let mut rare = text.match_indices('J').map(|(at, _)| at);
    let start = rare.find_map(|at| {
        at.checked_sub(2)
            .filter(|start| text.get(*start..at) == Some("ey"))
    })?;
    let (before, tail) = text.split_at(start);
    let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let (run, tail) = tail.split_at(tail.find(|c| !is_digit(c)).unwrap_or(tail.len()));
    Some((before, run, tail))
}

fn decoded(run: &str) -> Option<Value> {
    let bytes = STANDARD.decode(run).ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

fn collect_encoded(value: &Value, found: &mut HashSet<String>) {
    match value {
        Value::String(text) => {
            let mut rest = text.as_str();
            while let Some((_, run, tail)) = next_encoded(rest) {
                found.insert(run.to_owned());
                rest = tail;
            }
        }
        Value::Array(list) => list.iter().for_each(|element| collect_encoded(element, found)),
        Value::Object(map) => map.values().for_each(|member| collect_encoded(member, found)),
        _ => {}
    }
}

fn each_string(value: &mut Value, visit: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(list) => list.iter_mut().for_each(|element| each_string(element, visit)),
        Value::Object(map) => map.values_mut().for_each(|member| each_string(member, visit)),
        _ => {}
    }
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
        let (mut before, mut after) = (pod("a"), pod("b"));
        pods(&mut before, &mut after);
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
        let (mut before, mut after) = (pod("a"), pod("b"));
        pods(&mut before, &mut after);
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
    fn a_secret_is_known_by_a_word_in_its_name_in_any_case() {
        for name in [
            "API_TOKEN",
            "mysecret1",
            "MyPassWord",
            "key",
            "cocalc_extra_env",
            "pa\u{17f}\u{17f}word",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["HOME", "TOKE", "KE", "", "\u{212a}EY", "COCALC_EXTRA_ENVS"] {
            assert!(!is_secret(name), "{name}");
        }
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
