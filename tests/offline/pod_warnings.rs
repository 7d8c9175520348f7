//! What the API server accepts with a warning is told without a server, by `patch-diff`, with whose it is and a cure.
//!
//! That it is told of the same places as by the server is a test of its own, tests/servers/check_pods.rs.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]
#![allow(
    clippy::needless_pass_by_value,
    reason = "json!(…) reads better than &json!(…)"
)]

use kubectl_cocalc::{
    check::pod::{Warned, check_pod},
    check::rules::server_warns,
};
use serde_json::{Value, json};

use crate::support::Sandbox;

fn field(name: &str) -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/field");
    folder.join(name).display().to_string()
}

#[test]
fn a_warning_names_the_operation_and_what_to_write_instead() {
    for (input, lines) in [
        (
            "offline-memory-in-thousandths",
            &[
                "warning: spec.containers[0].resources.limits[memory]: 512m is 0.512 bytes: m means thousandths, and \
                 no container starts with so little memory; write 512M or 512Mi (license \"patch.json\" ffffffff, \
                 operation 1) [pod-fractional-bytes]",
                "warning: spec.containers[0].resources.requests[memory]: 128m is 0.128 bytes: m means thousandths; \
                 write 128M or 128Mi (license \"patch.json\" ffffffff, operation 2) [pod-fractional-bytes]",
            ][..],
        ),
        (
            "offline-volume-types-that-are-gone",
            &[
                "warning: spec.volumes[1].glusterfs: Kubernetes mounts no glusterfs volume since 1.26: the pod is \
               accepted, and never starts if a container mounts it; use a volume of a CSI driver (license \
               \"patch.json\" ffffffff, operation 1) [pod-volume-unsupported]",
            ],
        ),
    ] {
        let patch = field(&format!("{input}/patch.json"));
        let base = field("base.yaml");
        let run = Sandbox::new()
            .run(&["patch-diff", "-f", &base, "--patch-file", &patch])
            .code(1);
        lines.iter().fold(run, |run, line| run.says(line));
    }
}

/// A pod with one container, and this in its spec and in its container.
fn pod(spec: Value, container: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "project"},
        "spec": {"containers": [{"name": "project", "image": "x"}]},
    });
    let merge = |into: &mut Value, from: Value| {
        let from = from.as_object().cloned().unwrap_or_default();
        into.as_object_mut().unwrap().extend(from);
    };
    merge(&mut pod["spec"], spec);
    merge(&mut pod["spec"]["containers"][0], container);
    pod
}

/// The warnings about a pod, `field: message`.
fn told(pod: &Value) -> Vec<String> {
    check_pod(pod)
        .iter()
        .filter(|found| server_warns(found.finding.rule))
        .map(|found| format!("{}: {}", found.field, found.finding.message))
        .collect()
}

#[test]
fn a_fraction_of_a_byte_is_told_with_its_size_wherever_memory_or_storage_is_given() {
    let limits =
        |resource: &str, amount: Value| pod(json!({}), json!({"resources": {"limits": {resource: amount}}}));
    for (pod, expected) in [
        (limits("memory", json!("1500000000m")), ""),
        (limits("cpu", json!("512m")), ""),
        (
            limits("memory", json!("2000000001m")),
            "spec.containers[0].resources.limits[memory]: 2000000001m is 2000000.001 bytes: m means thousandths; \
             write 2000000001M or 2000000001Mi",
        ),
        (
            limits("memory", json!("0.1Gi")),
            "spec.containers[0].resources.limits[memory]: it is 107374182.4 bytes, which must be whole; write 107374183",
        ),
        (
            limits("ephemeral-storage", json!(1.5)),
            "spec.containers[0].resources.limits[ephemeral-storage]: it is 1.5 bytes, which must be whole; write 2",
        ),
        (
            pod(json!({"resources": {"limits": {"memory": "512m"}}}), json!({})),
            "spec.resources.limits[memory]: 512m is 0.512 bytes: m means thousandths, and no container starts with so \
             little memory; write 512M or 512Mi",
        ),
        (
            pod(
                json!({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "512m"}}]}),
                json!({}),
            ),
            "spec.volumes[0].emptyDir.sizeLimit: 512m is 0.512 bytes: m means thousandths; write 512M or 512Mi",
        ),
        (
            pod(json!({"overhead": {"memory": "100m", "cpu": "100m"}}), json!({})),
            "spec.overhead[memory]: 100m is 0.1 bytes: m means thousandths; write 100M or 100Mi",
        ),
    ] {
        assert_eq!(told(&pod).join("\n"), expected, "{pod}");
    }
}

#[test]
fn every_type_of_volume_that_is_gone_is_told_and_no_other() {
    let gone = [
        "cephfs",
        "flocker",
        "gitRepo",
        "glusterfs",
        "photonPersistentDisk",
        "quobyte",
        "rbd",
        "scaleIO",
        "storageos",
    ];
    let stays = [
        "nfs",
        "cinder",
        "flexVolume",
        "azureFile",
        "portworxVolume",
        "vsphereVolume",
        "iscsi",
    ];
    for kind in gone.iter().chain(&stays) {
        let pod = pod(
            json!({"volumes": [{"name": "v", *kind: {"datasetName": "d"}}]}),
            json!({}),
        );
        let told: Vec<String> = told(&pod);
        assert_eq!(told.len(), usize::from(gone.contains(kind)), "{told:?}");
        for text in told {
            assert!(
                text.starts_with(&format!("spec.volumes[0].{kind}: Kubernetes mounts no {kind}")),
                "{text}"
            );
        }
    }
}

#[test]
fn what_a_missing_selector_does_depends_on_whose_it_is() {
    let term = json!({"topologyKey": "zone"});
    let required = |kind: &str| {
        let terms = json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]});
        pod(json!({"affinity": {kind: terms}}), json!({}))
    };
    for (pod, expected) in [
        (required("podAffinity"), "so that the pod is never scheduled"),
        (required("podAntiAffinity"), "and has no effect"),
        (
            pod(
                json!({"topologySpreadConstraints": [
                    {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}),
                json!({}),
            ),
            "and spreads nothing",
        ),
    ] {
        let told = told(&pod);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].ends_with(&format!(
                "labelSelector: without a selector it matches no pod, {expected}; {{}} matches all pods"
            )),
            "{told:?}"
        );
    }
}

#[test]
fn what_the_server_has_warned_of_is_known_by_its_place() {
    let pod = pod(
        json!({
            "imagePullSecrets": [{"name": "a"}, {"name": "a"}, {"name": ""}],
            "volumes": [
                {"name": "w", "emptyDir": {}},
                {"name": "v", "configMap": {"name": "c", "items": [{"key": "a", "path": "p"}, {"key": "b", "path": "p/q"}]}},
            ],
        }),
        json!({"env": [{"name": "A"}, {"name": "A"}]}),
    );
    let of = |warnings: &[&str]| {
        let warnings: Vec<String> = warnings.iter().map(|text| (*text).to_owned()).collect();
        let warned = Warned::new(&pod, &warnings);
        let found = check_pod(&pod);
        let known = found
            .into_iter()
            .filter(|found| warned.has(found.finding.rule, &found.field, &found.path));
        known.map(|found| found.field).collect::<Vec<_>>()
    };
    assert_eq!(of(&[]), [""; 0]);
    assert_eq!(of(&["unknown field \"spec.x\"", "a policy says: no"]), [""; 0]);
    assert_eq!(
        of(&["spec.imagePullSecrets[1].name: duplicate name \"a\""]),
        ["spec.imagePullSecrets[1].name"]
    );
    assert_eq!(
        of(&["volume \"v\" (ConfigMap \"c\"): overlapping paths: \"p/q\" with \"p\""]),
        ["spec.volumes[1].configMap.items[1].path"]
    );
    assert_eq!(
        of(&["spec.containers[0].env[1]: hides previous definition of \"A\""]),
        ["spec.containers[0].env[1]"]
    );
}

#[test]
fn many_ports_variables_and_paths_are_compared_in_one_pass() {
    let many = 20_000;
    let ports: Vec<Value> = (0..many)
        .map(|_| json!({"containerPort": 80, "name": "http"}))
        .collect();
    let variables: Vec<Value> = (0..many).map(|_| json!({"name": "A", "value": "$(A)"})).collect();
    let deep = |i: usize| format!("{}{i}", "a/".repeat(20));
    let items: Vec<Value> = (0..many)
        .map(|i| json!({"key": "k", "path": deep(i % 1000)}))
        .collect();
    let pod = pod(
        json!({"volumes": [{"name": "v", "configMap": {"name": "c", "items": items}}], "imagePullSecrets": ports}),
        json!({"ports": ports, "env": variables}),
    );
    let told = told(&pod);
    // Names of ports in one container are refused, and no warning besides.
    let of = |part: &str| told.iter().filter(|text| text.contains(part)).count();
    assert_eq!(
        (of(".ports["), of(".env["), of(".items[")),
        (many - 1, many - 1, many - 1000)
    );
}
