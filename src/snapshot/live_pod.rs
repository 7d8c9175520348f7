//! Pods that run now.

use serde_json::Value;

/// The project whose pod this is: its label `project_id`, else what follows `project-` in its name.
pub fn project_id_of(pod: &Value) -> Option<&str> {
    let label = pod.pointer("/metadata/labels/project_id").and_then(Value::as_str);
    let name = || {
        pod.pointer("/metadata/name")
            .and_then(Value::as_str)?
            .strip_prefix("project-")
    };
    label.or_else(name)
}
