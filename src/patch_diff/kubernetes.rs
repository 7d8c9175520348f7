//! What of a live pod belongs to Kubernetes.
//!
//! The API server, its admission plugins, the scheduler and the kubelet write into a pod what no template ever
//! held. An edit of a live pod must not carry that into a patch. Which of it can be known from its form is here;
//! what only the comparison with the rendered template shows is for the rebase.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// Members of `metadata` that only the API server writes.
pub(super) const METADATA: [&str; 9] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
    "namespace",
];

/// Members of `spec` that admission and scheduler write where the template has none.
pub(super) const SPEC: [&str; 4] = ["nodeName", "priority", "preemptionPolicy", "serviceAccount"];

/// The annotation in which LimitRanger says what it has set.
const LIMIT_RANGER: &str = "kubernetes.io/limit-ranger";

/// Whether this is a pod as the API server gives it: it has `status` or `metadata.uid`.
pub fn is_live(pod: &Value) -> bool {
    let is_pod = pod.get("kind").is_none_or(|kind| kind == "Pod");
    is_pod && (pod.get("status").is_some() || pod.pointer("/metadata/uid").is_some())
}

/// Whether a volume or a mount is the service account's token, which admission injects.
pub(super) fn is_token(list: &str, element: &Value) -> bool {
    let text = |name: &str| element.get(name).and_then(Value::as_str).unwrap_or_default();
    match list {
        "volumes" => is_token_volume(text("name")),
        "volumeMounts" => {
            is_token_volume(text("name"))
                || text("mountPath") == "/var/run/secrets/kubernetes.io/serviceaccount"
        }
        _ => false,
    }
}

/// `default-token-…` before Kubernetes 1.24.
fn is_token_volume(name: &str) -> bool {
    name.starts_with("kube-api-access-") || name.starts_with("default-token-")
}

/// Whether a toleration is one that the admission plugin DefaultTolerationSeconds adds, as it adds it.
fn is_default_toleration(toleration: &Value) -> bool {
    let text = |name: &str| toleration.get(name).and_then(Value::as_str).unwrap_or_default();
    matches!(
        text("key"),
        "node.kubernetes.io/not-ready" | "node.kubernetes.io/unreachable"
    ) && text("operator") == "Exists"
        && text("effect") == "NoExecute"
        && toleration.get("tolerationSeconds").and_then(Value::as_f64) == Some(300.0)
}

/// A live pod less what belongs to Kubernetes, as far as its form shows: `status`, the API server's metadata, the
/// scheduler's and admission's fields, the service account's token, default tolerations, what LimitRanger says
/// that it has set. With the `rendered` pod, also less all that the rendered pod has not and that is a default of
/// the API; what the rendered pod has is never left out, except in `status` and `metadata`.
///
/// Whether a service account's name or pull secrets were injected cannot be seen without the rendered pod.
pub fn without_kubernetes(live: &Value, rendered: Option<&Value>) -> Value {
    let Value::Object(live) = live else {
        return live.clone();
    };
    let mut pod = live.clone();
    pod.remove("status");
    let limit_ranger = pod
        .get("metadata")
        .and_then(|metadata| metadata.get("annotations")?.get(LIMIT_RANGER)?.as_str())
        .map(limit_ranger_defaults)
        .unwrap_or_default();
    if let Some(Value::Object(metadata)) = pod.get_mut("metadata") {
        for name in METADATA {
            metadata.remove(name);
        }
        let emptied = match metadata.get_mut("annotations") {
            Some(Value::Object(annotations)) => {
                annotations.remove(LIMIT_RANGER).is_some() && annotations.is_empty()
            }
            _ => false,
        };
        if emptied {
            metadata.remove("annotations");
        }
    }
    if let Some(Value::Object(spec)) = pod.get_mut("spec") {
        let rendered = rendered.and_then(|rendered| rendered.get("spec"));
        spec_without_kubernetes(spec, rendered, &limit_ranger);
    }
    if let Some(rendered) = rendered {
        metadata_without_others(&mut pod, rendered);
        without_app_armor(&mut pod, rendered);
        let host_network = rendered.pointer("/spec/hostNetwork") == Some(&Value::Bool(true));
        without_defaults("", &mut pod, rendered, host_network);
    }
    Value::Object(pod)
}

/// Removes the annotations of network plugins, operators and OpenShift (`cni.projectcalico.org/podIP`): all under a
/// domain that is not CoCalc's and that the rendered pod does not use. The scheduler's labels too, and a generated name.
fn metadata_without_others(pod: &mut Map<String, Value>, rendered: &Value) {
    let Some(Value::Object(metadata)) = pod.get_mut("metadata") else {
        return;
    };
    let rendered = |name: &str| rendered.get("metadata").and_then(|metadata| metadata.get(name));
    let prefix = |name: &str| name.split_once('/').map(|(prefix, _)| prefix.to_owned());
    let used: HashSet<String> = ["labels", "annotations"]
        .into_iter()
        .filter_map(|map| rendered(map)?.as_object())
        .flat_map(|map| map.keys().filter_map(|name| prefix(name)))
        .collect();
    let ours = |map: &str, name: &str| rendered(map).is_some_and(|map| map.get(name).is_some());
    retain_members(metadata, "annotations", |name| {
        ours("annotations", name)
            || prefix(name).is_none_or(|prefix| used.contains(&prefix) || prefix.contains("cocalc"))
    });
    retain_members(metadata, "labels", |name| {
        ours("labels", name) || !name.starts_with("topology.kubernetes.io/")
    });
    if rendered("name").is_none() && rendered("generateName").is_some() {
        metadata.remove("name");
    }
}

/// Removes the AppArmor profiles that the API server writes beside their old annotations, where there are none yet.
fn without_app_armor(pod: &mut Map<String, Value>, rendered: &Value) {
    const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
    let annotations = rendered
        .pointer("/metadata/annotations")
        .and_then(Value::as_object);
    let annotated: HashSet<&str> = annotations
        .into_iter()
        .flat_map(|annotations| {
            annotations
                .keys()
                .filter_map(|name| name.strip_prefix(ANNOTATION))
        })
        .collect();
    if annotated.is_empty() {
        return;
    }
    let name_of = |container: &Value| {
        let name = container.get("name").and_then(Value::as_str);
        name.unwrap_or_default().to_owned()
    };
    for list in ["initContainers", "containers"] {
        let own = rendered.get("spec").and_then(|spec| spec.get(list)?.as_array());
        let own = own.into_iter().flatten();
        let own: HashSet<String> = own
            .filter(|container| container.pointer("/securityContext/appArmorProfile").is_some())
            .map(name_of)
            .collect();
        let containers = pod.get_mut("spec").and_then(|spec| spec.get_mut(list));
        for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
            let name = name_of(container);
            if annotated.contains(&*name)
                && !own.contains(&name)
                && let Some(Value::Object(context)) = container.get_mut("securityContext")
            {
                context.remove("appArmorProfile");
            }
        }
    }
}

fn spec_without_kubernetes(
    spec: &mut Map<String, Value>,
    rendered: Option<&Value>,
    limit_ranger: &[Default],
) {
    let in_rendered = |name: &str| rendered.and_then(|rendered| rendered.get(name));
    for name in SPEC {
        if in_rendered(name).is_none() {
            spec.remove(name);
        }
    }
    if rendered.is_some()
        && in_rendered("imagePullSecrets").is_none_or(|list| list == &Value::Array(Vec::new()))
    {
        spec.remove("imagePullSecrets");
    }
    let held = |list: &str, element: &Value| {
        in_rendered(list)
            .and_then(Value::as_array)
            .is_some_and(|list| list.contains(element))
    };
    if let Some(Value::Object(resources)) = spec.get_mut("resources")
        && let Some(rendered) = in_rendered("resources")
    {
        // Of the whole pod; what is left out is computed from the containers.
        let rendered = rendered.get("requests");
        retain_members(resources, "requests", |resource| {
            rendered.is_some_and(|requests| requests.get(resource).is_some())
        });
    }
    retain(spec, "volumes", |volume| {
        !is_token("volumes", volume) || held("volumes", volume)
    });
    retain(spec, "tolerations", |toleration| {
        !is_default_toleration(toleration) || held("tolerations", toleration)
    });
    for list in ["containers", "initContainers"] {
        let Some(Value::Array(containers)) = spec.get_mut(list) else {
            continue;
        };
        for container in containers {
            let Value::Object(container) = container else {
                continue;
            };
            let twin = in_rendered(list).and_then(Value::as_array).and_then(|list| {
                list.iter()
                    .find(|other| other.get("name") == container.get("name"))
            });
            let mounts = twin
                .and_then(|twin| twin.get("volumeMounts"))
                .and_then(Value::as_array);
            retain(container, "volumeMounts", |mount| {
                !is_token("volumeMounts", mount) || mounts.is_some_and(|mounts| mounts.contains(mount))
            });
            let name = container
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            let Some(Value::Object(resources)) = container.get_mut("resources") else {
                continue;
            };
            if let Some(twin) = twin {
                without_copied_requests(resources, twin);
            }
            for default in limit_ranger.iter().filter(|default| default.container == name) {
                let at =
                    twin.and_then(|twin| twin.get("resources")?.get(default.kind)?.get(&default.resource));
                if at.is_some() {
                    continue;
                }
                let emptied = match resources.get_mut(default.kind) {
                    Some(Value::Object(kind)) => kind.remove(&default.resource).is_some() && kind.is_empty(),
                    _ => false,
                };
                if emptied {
                    resources.remove(default.kind);
                }
            }
        }
    }
}

/// Removes requests that the API server copied from the limits of the same resource, where the rendered container has
/// only the limit.
fn without_copied_requests(resources: &mut Map<String, Value>, rendered: &Value) {
    let rendered = |kind: &str, resource: &str| {
        rendered
            .get("resources")
            .and_then(|resources| resources.get(kind)?.get(resource))
    };
    let limits = resources.get("limits").cloned().unwrap_or_default();
    let Some(Value::Object(requests)) = resources.get_mut("requests") else {
        return;
    };
    requests.retain(|resource, request| {
        limits.get(resource) != Some(request)
            || rendered("requests", resource).is_some()
            || rendered("limits", resource).is_none()
    });
    if requests.is_empty() {
        resources.remove("requests");
    }
}

/// Removes members of a map; a map that is emptied by that was injected as a whole.
fn retain_members(map: &mut Map<String, Value>, name: &str, mut keep: impl FnMut(&str) -> bool) {
    let Some(Value::Object(members)) = map.get_mut(name) else {
        return;
    };
    let before = members.len();
    members.retain(|name, _| keep(name));
    if members.is_empty() && before > 0 {
        map.remove(name);
    }
}

/// Removes elements of a list; a list that is emptied by that was injected as a whole.
fn retain(map: &mut Map<String, Value>, name: &str, keep: impl FnMut(&Value) -> bool) {
    let Some(Value::Array(list)) = map.get_mut(name) else {
        return;
    };
    let before = list.len();
    list.retain(keep);
    if list.is_empty() && before > 0 {
        map.remove(name);
    }
}

/// One value that LimitRanger has set.
#[derive(Debug, PartialEq, Eq)]
struct Default {
    container: String,
    /// `requests` or `limits`.
    kind: &'static str,
    resource: String,
}

/// Reads `LimitRanger plugin set: cpu, memory request for container c; cpu limit for init container d`.
fn limit_ranger_defaults(annotation: &str) -> Vec<Default> {
    let mut defaults = Vec::new();
    let Some(list) = annotation.strip_prefix("LimitRanger plugin set: ") else {
        return defaults;
    };
    for part in list.split("; ") {
        let Some((what, container)) = part.rsplit_once(" container ") else {
            continue;
        };
        let what = what.trim_end_matches(" init").trim_end_matches(" for");
        let (kind, resources) = match (what.strip_suffix(" request"), what.strip_suffix(" limit")) {
            (Some(resources), _) => ("requests", resources),
            (_, Some(resources)) => ("limits", resources),
            _ => continue,
        };
        defaults.extend(resources.split(", ").map(|resource| Default {
            container: container.to_owned(),
            kind,
            resource: resource.to_owned(),
        }));
    }
    defaults
}

/// Maps whose members are data: an empty text is a value there, and no member has a default.
pub(super) const DATA: [&str; 8] = [
    "labels",
    "annotations",
    "nodeSelector",
    "matchLabels",
    "limits",
    "requests",
    "overhead",
    "volumeAttributes",
];

/// Members that are pointers in Go: for them 0, false and the empty text are a choice, which the API server keeps.
const POINTERS: [&str; 28] = [
    "activeDeadlineSeconds",
    "allowPrivilegeEscalation",
    "automountServiceAccountToken",
    "blockOwnerDeletion",
    "controller",
    "defaultMode",
    "enableServiceLinks",
    "exitCode",
    "expirationSeconds",
    "fsGroup",
    "hostProcess",
    "hostUsers",
    "minDomains",
    "mode",
    "optional",
    "partition",
    "priority",
    "privileged",
    "readOnlyRootFilesystem",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "storageClassName",
    "terminationGracePeriodSeconds",
    "tolerationSeconds",
    "type",
];

/// Whether the API server takes this member as left out: it is null, or Go's zero value of a field that is not a
/// pointer. `parent` is the name of the map that holds it, or of the list that holds the map.
pub(super) fn is_unset(parent: &str, name: &str, value: &Value) -> bool {
    let is_choice = DATA.contains(&parent) || POINTERS.contains(&name);
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth && !is_choice,
        Value::Number(number) => number.as_f64() == Some(0.0) && !is_choice,
        Value::String(text) => text.is_empty() && !is_choice,
        Value::Array(list) => list.is_empty(),
        // Of most others the presence is a choice: `emptyDir: {}`, `labelSelector: {}`.
        Value::Object(map) => {
            map.is_empty()
                && (DATA.contains(&name)
                    || matches!(name, "resources" | "securityContext" | "metadata" | "preference"))
        }
    }
}

/// What of a pod decides about the defaults of its parts.
#[derive(Clone, Copy)]
struct Around<'a> {
    host_network: bool,
    /// `containerPort` beside the member.
    container_port: Option<&'a Value>,
    /// The rendered map that lacks the member.
    rendered: &'a Value,
}

/// Whether the API server gives this member this value where it is left out. `parent` as for [`is_unset`]. Source:
/// `SetDefaults_*` of Kubernetes; a test asks the real API server.
fn is_default(parent: &str, name: &str, value: &Value, around: Around<'_>) -> bool {
    if DATA.contains(&parent) {
        return false;
    }
    let text = value.as_str();
    let number = value.as_f64();
    let probe = matches!(parent, "livenessProbe" | "readinessProbe" | "startupProbe");
    match (parent, name) {
        ("", "apiVersion") | ("fieldRef", "apiVersion") => text == Some("v1"),
        ("", "kind") => text == Some("Pod"),
        ("spec", "dnsPolicy") => text == Some("ClusterFirst"),
        ("spec", "restartPolicy") => text == Some("Always"),
        ("spec", "schedulerName") => text == Some("default-scheduler"),
        ("spec", "serviceAccountName") => text == Some("default"),
        ("spec", "terminationGracePeriodSeconds") => number == Some(30.0),
        ("spec", "enableServiceLinks") => value == &Value::Bool(true),
        // Of the claim template of an `ephemeral` volume.
        ("spec", "volumeMode") => text == Some("Filesystem"),
        (_, "terminationMessagePath") => text == Some("/dev/termination-log"),
        (_, "terminationMessagePolicy") => text == Some("File"),
        (_, "imagePullPolicy") | ("image", "pullPolicy") => matches!(text, Some("Always" | "IfNotPresent")),
        (_, "protocol") => text == Some("TCP"),
        (_, "scheme") => text == Some("HTTP"),
        ("httpGet", "path") => text == Some("/"),
        ("grpc", "service") | ("hostPath", "type") => text == Some(""),
        ("resourceFieldRef", "divisor") => text == Some("0"),
        ("fileKeyRef", "optional") | ("azureDisk", "readOnly") => value == &Value::Bool(false),
        (_, "defaultMode") => number == Some(420.0),
        ("serviceAccountToken", "expirationSeconds") => number == Some(3600.0),
        (_, "timeoutSeconds" | "successThreshold") => probe && number == Some(1.0),
        (_, "periodSeconds") => probe && number == Some(10.0),
        (_, "failureThreshold") => probe && number == Some(3.0),
        ("ports", "hostPort") => around.host_network && around.container_port == Some(value),
        ("volumes", "emptyDir") => {
            let has_source = |rendered: &Map<String, Value>| {
                rendered
                    .iter()
                    .any(|(name, value)| name != "name" && !value.is_null())
            };
            value.as_object().is_some_and(Map::is_empty)
                && !around.rendered.as_object().is_some_and(has_source)
        }
        ("iscsi", "iscsiInterface") => text == Some("default"),
        ("azureDisk", "cachingMode") => text == Some("ReadWrite"),
        ("azureDisk", "fsType") => text == Some("ext4"),
        ("azureDisk", "kind") => text == Some("Shared"),
        ("rbd", "keyring") => text == Some("/etc/ceph/keyring"),
        ("rbd", "pool") => text == Some("rbd"),
        ("rbd", "user") => text == Some("admin"),
        ("scaleIO", "storageMode") => text == Some("ThinProvisioned"),
        ("scaleIO", "fsType") => text == Some("xfs"),
        _ => false,
    }
}

/// Removes what the API server writes where the rendered pod leaves a member out; elements of lists are matched by
/// their identity.
fn without_defaults(parent: &str, live: &mut Map<String, Value>, rendered: &Value, host_network: bool) {
    let container_port = live.get("containerPort").cloned();
    live.retain(|name, value| {
        let left_out = rendered
            .get(name)
            .is_none_or(|value| is_unset(parent, name, value));
        let around = Around {
            host_network,
            container_port: container_port.as_ref(),
            rendered,
        };
        !(left_out && (is_unset(parent, name, value) || is_default(parent, name, value, around)))
    });
    for (name, value) in live.iter_mut() {
        let rendered = rendered.get(name).unwrap_or(&Value::Null);
        match value {
            Value::Object(value) => without_defaults(name, value, rendered, host_network),
            Value::Array(list) => {
                let others = rendered.as_array().map(Vec::as_slice).unwrap_or_default();
                let alignment = super::align::align(super::align::Identity::of_list(name), others, list);
                let pairs = alignment.by_new(list.len());
                for (element, pair) in list.iter_mut().zip(pairs) {
                    let twin = pair.and_then(|pair| others.get(pair.old)).unwrap_or(&Value::Null);
                    if let Value::Object(element) = element {
                        without_defaults(name, element, twin, host_network);
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_limit_ranger_has_set_is_read_from_its_annotation() {
        let default = |container: &str, kind, resource: &str| Default {
            container: container.to_owned(),
            kind,
            resource: resource.to_owned(),
        };
        assert_eq!(
            limit_ranger_defaults(
                "LimitRanger plugin set: cpu, memory request for container c; memory limit for init container d"
            ),
            [
                default("c", "requests", "cpu"),
                default("c", "requests", "memory"),
                default("d", "limits", "memory")
            ]
        );
        assert_eq!(limit_ranger_defaults("something else"), []);
    }
}
