//! Pods that run now.

use serde_json::Value;

use super::Snapshot;

/// The live pod of a project: the one whose label `project_id` says so, else the one of that name
/// (`project-UUID`).
pub fn live_pod_of<'a>(snapshot: &'a Snapshot, project_id: &str) -> Option<&'a Value> {
    let label =
        |pod: &Value| pod.pointer("/metadata/labels/project_id").and_then(Value::as_str) == Some(project_id);
    let name = |pod: &Value| {
        pod.pointer("/metadata/name")
            .and_then(Value::as_str)
            .and_then(|name| name.strip_prefix("project-"))
            == Some(project_id)
    };
    snapshot
        .live_pods
        .iter()
        .find(|pod| label(pod))
        .or_else(|| snapshot.live_pods.iter().find(|pod| name(pod)))
}
