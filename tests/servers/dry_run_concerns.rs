//! What keeps an accepted pod from running, against a real API server: every pod here is accepted by it first.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "json!(…) reads better than &json!(…)"
)]

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kubectl_cocalc::{
    cluster::{Cluster, Options, Validation, Verdict},
    dry_run::concerns::{Concern, Concerns},
    pipeline::{
        Known, Site, Subject, View,
        what_if::{PatchText, WhatIf},
    },
    snapshot,
};
use serde_json::{Value, json};

use crate::support::{
    LAB,
    api_server::{ApiServer, NAMESPACE},
    shared::{Shared, until},
};

/// The server of this module, for one test at a time: nodes have no namespace.
struct Turn {
    server: Arc<ApiServer>,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Turn {
    type Target = ApiServer;

    fn deref(&self) -> &ApiServer {
        &self.server
    }
}

/// The server with one node that takes the example's pod, and with all that this pod names.
fn server() -> Turn {
    static SERVER: Shared<ApiServer> = Shared::new(ApiServer::start);
    static TURN: Mutex<()> = Mutex::new(());
    let server = SERVER.get();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Turn { server, _turn: turn };
    server.kubectl(&["delete", "nodes", "--all", "--wait=true"]);
    for kind in ["pvc", "configmap", "secret"] {
        server.kubectl(&["-n", NAMESPACE, "delete", kind, "--all", "--wait=false"]);
        let left = server.kubectl(&["-n", NAMESPACE, "get", kind, "-o", "name"]);
        for name in left.lines() {
            let unprotected = r#"{"metadata":{"finalizers":null}}"#;
            server.kubectl(&["-n", NAMESPACE, "patch", name, "--type=merge", "-p", unprotected]);
        }
    }
    let claim = |name: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
               "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}})
    };
    create(&server, claim("projects-data"));
    create(&server, claim("projects-software"));
    create(&server, claim("storage-extra"));
    create(
        &server,
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "regcred"}, "stringData": {"x": "y"}}),
    );
    node(
        &server,
        "n1",
        &json!({"cocalc-role": "projects"}),
        &json!([READY]),
        &json!({"cpu": "8", "memory": "64Gi", "pods": "110"}),
    );
    server
}

/// The taint that the example's template tolerates.
const READY: &str = "cocalc-projects=ready:NoSchedule";

fn create(server: &ApiServer, object: Value) {
    server.kubectl_with_stdin(&["-n", NAMESPACE, "create", "-f", "-"], &object.to_string());
}

/// A node with exactly these taints, `KEY=VALUE:EFFECT`; admission taints each new one as not ready.
fn node(server: &ApiServer, name: &str, labels: &Value, taints: &Value, allocatable: &Value) {
    create(
        server,
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}),
    );
    server.kubectl(&[
        "patch",
        "node",
        name,
        "--type=merge",
        "-p",
        r#"{"spec":{"taints":null}}"#,
    ]);
    for taint in taints.as_array().expect("taints") {
        server.kubectl(&["taint", "node", name, taint.as_str().expect("a taint")]);
    }
    let status = json!({"status": {"allocatable": allocatable, "capacity": allocatable}}).to_string();
    server.kubectl(&[
        "patch",
        "node",
        name,
        "--subresource=status",
        "--type=merge",
        "-p",
        &status,
    ]);
}

fn site(patch: &Value) -> (snapshot::Snapshot, Site) {
    let snapshot = snapshot::example();
    let what_if = WhatIf {
        patch: Some(PatchText {
            text: patch.to_string(),
            label: "what-if".to_owned(),
            file: None,
            converted: false,
        }),
        ..WhatIf::default()
    };
    let view = View {
        what_if,
        ..View::default()
    };
    let site = Site::new(&snapshot, "2026-11-24T12:00:00Z".parse().expect("a time"), view);
    (snapshot, site)
}

struct Looked {
    concerns: Vec<Concern>,
    notes: Vec<String>,
}

/// What is found about the example's pod with this patch, which the server accepts.
fn look(server: &ApiServer, patch: &Value) -> Looked {
    look_with(server, &Options::default(), &Concerns::new(), patch)
}

fn look_with(server: &ApiServer, options: &Options, concerns: &Concerns, patch: &Value) -> Looked {
    let connect = |options: &Options| {
        let kubeconfig = options
            .kubeconfig
            .clone()
            .or_else(|| Some(server.kubeconfig().to_owned()));
        Cluster::connect(&Options {
            kubeconfig,
            namespace: Some(NAMESPACE.to_owned()),
            ..options.clone()
        })
        .expect("a connection")
    };
    let (snapshot, site) = site(patch);
    let subject = Subject {
        project_id: LAB,
        known: Known::Row(&snapshot.projects[0]),
        live_pod: None,
    };
    let rendered = site.render(subject).expect("a pod");
    assert_eq!(rendered.failure, None, "{patch}");
    let pod = rendered.pod.to_value().expect("a pod");
    let admin = connect(&Options::default());
    let reply = admin
        .run(admin.session().dry_run_pod(&pod, Validation::Strict))
        .expect("an answer");
    let Verdict::Accepted(answer) = reply.value else {
        panic!("{patch}: {:?}", reply.value);
    };
    let cluster = connect(options);
    let ask = |pod: &Value| {
        cluster.run(async {
            concerns
                .of(cluster.session(), NAMESPACE, &site, &rendered, pod)
                .await
        })
    };
    let (of_sent, notes) = ask(&pod);
    // The answer holds what admission wrote; none of it is anything to be told here.
    let (of_answer, more_notes) = ask(&answer);
    assert_eq!(of_sent, of_answer, "{patch}");
    assert_eq!(more_notes, [""; 0], "a note is told once");
    Looked {
        concerns: of_sent,
        notes,
    }
}

impl Looked {
    #[track_caller]
    fn finds(&self, expected: &[(&str, &str)]) {
        let found: Vec<(&str, &str)> = self
            .concerns
            .iter()
            .map(|concern| (&*concern.field, &*concern.message))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(self.notes, [""; 0]);
    }

    /// The only concern is the deed of this operation of the what-if.
    #[track_caller]
    fn blames_operation(&self, operation: u64) {
        assert_eq!(self.concerns.len(), 1);
        let blame = &self.concerns[0].blame[0];
        assert_eq!(
            (&blame["by"], &blame["title"], &blame["operation"]),
            (&json!("license"), &json!("what-if"), &json!(operation))
        );
    }
}

fn add(path: &str, value: Value) -> Value {
    json!({"op": "add", "path": path, "value": value})
}

/// A patch that mounts one more volume, at index 7 of the example with its storage license.
fn volume(source: Value) -> Value {
    let mut volume = source;
    volume["name"] = json!("more");
    json!([
        add("/spec/volumes/-", volume),
        add(
            "/spec/containers/0/volumeMounts/-",
            json!({"name": "more", "mountPath": "/more"})
        ),
    ])
}

#[test]
fn a_pod_whose_claims_wait_for_their_first_consumer_is_no_concern() {
    let server = server();
    let phases = server.kubectl(&[
        "-n",
        NAMESPACE,
        "get",
        "pvc",
        "-o",
        "jsonpath={.items[*].status.phase}",
    ]);
    assert_eq!(phases, "Pending Pending Pending");
    // The Secret project-UUID, which CoCalc makes, is not there either.
    let secrets = server.kubectl(&["-n", NAMESPACE, "get", "secrets", "-o", "name"]);
    assert_eq!(secrets, "secret/regcred\n");
    look(&server, &json!([])).finds(&[]);
}

#[test]
fn a_missing_claim_is_a_concern_and_its_operation_is_to_blame() {
    let server = server();
    let looked = look(
        &server,
        &volume(json!({"persistentVolumeClaim": {"claimName": "genomes"}})),
    );
    looked.finds(&[(
        "spec.volumes[7].persistentVolumeClaim.claimName",
        "PersistentVolumeClaim \"genomes\" does not exist in namespace \"cocalc\"; the pod will not start without it",
    )]);
    looked.blames_operation(0);
    assert_eq!(looked.concerns[0].blame[0]["path"], "/spec/volumes/-");
    server.kubectl(&["-n", NAMESPACE, "delete", "pvc", "projects-data", "--wait=false"]);
    server.kubectl(&[
        "-n",
        NAMESPACE,
        "patch",
        "pvc",
        "projects-data",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ]);
    let looked = look(&server, &json!([]));
    assert_eq!(
        looked.concerns[0].blame,
        [json!({"by": "template", "path": "/spec/volumes/0/persistentVolumeClaim/claimName"})]
    );
}

#[test]
fn a_claim_that_has_lost_its_volume_or_is_being_deleted_is_a_concern() {
    let server = server();
    let lost = r#"{"status":{"phase":"Lost"}}"#;
    server.kubectl(&[
        "-n",
        NAMESPACE,
        "patch",
        "pvc",
        "storage-extra",
        "--subresource=status",
        "--type=merge",
        "-p",
        lost,
    ]);
    server.kubectl(&[
        "-n",
        NAMESPACE,
        "delete",
        "pvc",
        "projects-software",
        "--wait=false",
    ]);
    let looked = look(&server, &json!([]));
    looked.finds(&[
        (
            "spec.volumes[1].persistentVolumeClaim.claimName",
            "PersistentVolumeClaim \"projects-software\" is being deleted; no new pod can use it",
        ),
        (
            "spec.volumes[6].persistentVolumeClaim.claimName",
            "PersistentVolumeClaim \"storage-extra\" has lost its volume (phase Lost)",
        ),
    ]);
    assert_eq!(
        looked.concerns[1].blame[0]["license"],
        "5e0a9e17-3b8c-4d21-a6f0-91c27d84b35e"
    );
}

#[test]
fn a_claims_name_that_no_claim_can_have_is_never_asked_for() {
    let server = server();
    for name in ["Bad_Claim", "../secrets/regcred"] {
        let looked = look(
            &server,
            &volume(json!({"persistentVolumeClaim": {"claimName": name}})),
        );
        assert_eq!(looked.concerns.len(), 1, "{name}");
        assert!(looked.concerns[0].message.contains("does not exist"), "{name}");
    }
    let asked = server.requests();
    let is_bad = |line: &&Value| {
        line["requestURI"]
            .as_str()
            .is_some_and(|uri| uri.contains("Bad_Claim") || uri.contains(".."))
    };
    assert_eq!(asked.iter().find(is_bad), None);
}

#[test]
fn missing_config_maps_and_secrets_are_concerns_wherever_they_are_named() {
    let server = server();
    for (patch, field, object) in [
        (
            volume(json!({"configMap": {"name": "lab"}})),
            "spec.volumes[7].configMap.name",
            "ConfigMap",
        ),
        (
            volume(json!({"secret": {"secretName": "lab"}})),
            "spec.volumes[7].secret.secretName",
            "Secret",
        ),
        (
            volume(json!({"projected": {"sources": [{"downwardAPI": {}}, {"configMap": {"name": "lab"}}]}})),
            "spec.volumes[7].projected.sources[1].configMap.name",
            "ConfigMap",
        ),
        (
            volume(json!({"projected": {"sources": [{"secret": {"name": "lab"}}]}})),
            "spec.volumes[7].projected.sources[0].secret.name",
            "Secret",
        ),
        (
            volume(json!({"csi": {"driver": "smb.example", "nodePublishSecretRef": {"name": "lab"}}})),
            "spec.volumes[7].csi.nodePublishSecretRef.name",
            "Secret",
        ),
        (
            volume(json!({"azureFile": {"shareName": "s", "secretName": "lab"}})),
            "spec.volumes[7].azureFile.secretName",
            "Secret",
        ),
        (
            json!([add(
                "/spec/containers/0/envFrom",
                json!([{"secretRef": {"name": "lab"}}])
            )]),
            "spec.containers[0].envFrom[0].secretRef.name",
            "Secret",
        ),
        (
            json!([add(
                "/spec/containers/1/envFrom",
                json!([{"configMapRef": {"name": "lab"}}])
            )]),
            "spec.containers[1].envFrom[0].configMapRef.name",
            "ConfigMap",
        ),
        (
            json!([add(
                "/spec/containers/0/env/-",
                json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "lab", "key": "a"}}})
            )]),
            "spec.containers[0].env[5].valueFrom.secretKeyRef.name",
            "Secret",
        ),
        (
            json!([add(
                "/spec/initContainers/-",
                json!({"name": "i", "image": "busybox:1.36",
                       "envFrom": [{"secretRef": {"name": "lab"}}]})
            )]),
            "spec.initContainers[0].envFrom[0].secretRef.name",
            "Secret",
        ),
    ] {
        let looked = look(&server, &patch);
        let message = format!(
            "{object} \"lab\" does not exist in namespace \"cocalc\"; the pod will not start without it"
        );
        looked.finds(&[(field, &message)]);
        looked.blames_operation(0);
    }
}

#[test]
fn a_missing_pull_secret_is_said_to_be_one() {
    let server = server();
    let looked = look(
        &server,
        &json!([add("/spec/imagePullSecrets/-", json!({"name": "lab-registry"}))]),
    );
    looked.finds(&[(
        "spec.imagePullSecrets[1].name",
        "Secret \"lab-registry\" does not exist in namespace \"cocalc\"; images are pulled without it",
    )]);
    looked.blames_operation(0);
}

#[test]
fn what_is_optional_or_mounted_by_no_container_may_be_missing() {
    let server = server();
    for patch in [
        volume(json!({"configMap": {"name": "lab", "optional": true}})),
        volume(json!({"projected": {"sources": [{"secret": {"name": "lab", "optional": true}}]}})),
        json!([add(
            "/spec/containers/0/envFrom",
            json!([{"secretRef": {"name": "lab", "optional": true}}])
        )]),
        json!([add(
            "/spec/volumes/-",
            json!({"name": "more", "configMap": {"name": "lab"}})
        )]),
    ] {
        look(&server, &patch).finds(&[]);
    }
    // The scheduler waits for a claim even then.
    let claim = json!([add(
        "/spec/volumes/-",
        json!({"name": "more", "persistentVolumeClaim": {"claimName": "lab"}})
    )]);
    assert_eq!(look(&server, &claim).concerns.len(), 1);
}

#[test]
fn a_key_that_a_config_map_lacks_is_a_concern() {
    let server = server();
    create(
        &server,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "lab"}, "data": {"a": "1"}, "binaryData": {"b": "MQ=="}}),
    );
    let items = |keys: &[&str]| {
        let items: Vec<Value> = keys.iter().map(|key| json!({"key": key, "path": key})).collect();
        volume(json!({"configMap": {"name": "lab", "items": items}}))
    };
    look(&server, &items(&["a", "b"])).finds(&[]);
    let looked = look(&server, &items(&["a", "c"]));
    looked.finds(&[(
        "spec.volumes[7].configMap.items[1].key",
        "ConfigMap \"lab\" has no key \"c\"; the pod will not start without it",
    )]);
    looked.blames_operation(0);
    let variable = json!([add(
        "/spec/containers/0/env/-",
        json!({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "lab", "key": "c"}}})
    )]);
    look(&server, &variable).finds(&[(
        "spec.containers[0].env[5].valueFrom.configMapKeyRef.key",
        "ConfigMap \"lab\" has no key \"c\"; the pod will not start without it",
    )]);
}

#[test]
fn a_cluster_without_nodes_is_a_concern_of_the_cluster() {
    let server = server();
    server.kubectl(&["delete", "nodes", "--all"]);
    let looked = look(&server, &json!([]));
    looked.finds(&[("", "the cluster has no node")]);
    assert_eq!(looked.concerns[0].blame, [json!({"by": "cluster"})]);
}

#[test]
fn a_node_selector_that_no_node_carries_is_a_concern() {
    let server = server();
    let looked = look(
        &server,
        &json!([add("/spec/nodeSelector/gpu-type", json!("a100"))]),
    );
    looked.finds(&[(
        "spec.nodeSelector.gpu-type",
        "no node carries the label gpu-type=a100",
    )]);
    looked.blames_operation(0);
    let looked = look(
        &server,
        &json!([add("/spec/nodeSelector/cocalc-role", json!("gpu"))]),
    );
    looked.finds(&[(
        "spec.nodeSelector.cocalc-role",
        "no node carries the label cocalc-role=gpu; there is cocalc-role=projects",
    )]);
    node(
        &server,
        "n2",
        &json!({"gpu-type": "a100"}),
        &json!([]),
        &json!({"cpu": "8", "memory": "64Gi"}),
    );
    let looked = look(
        &server,
        &json!([add("/spec/nodeSelector/gpu-type", json!("a100"))]),
    );
    looked.finds(&[(
        "spec.nodeSelector.cocalc-role",
        "no node carries all these labels: cocalc-role=projects, gpu-type=a100",
    )]);
    looked.blames_operation(0);
    assert_eq!(looked.concerns[0].blame[1]["by"], "template");
}

#[test]
fn a_required_affinity_that_no_node_meets_is_a_concern() {
    let server = server();
    let affinity = |key: &str, values: &[&str]| {
        json!([add(
            "/spec/affinity",
            json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchExpressions": [{"key": key, "operator": "In", "values": values}]}]}}})
        )])
    };
    let field = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    look(&server, &affinity("cocalc-role", &["x", "projects"])).finds(&[]);
    let looked = look(&server, &affinity("zone", &["a", "b"]));
    looked.finds(&[(field, "no node meets the required node affinity: zone In a|b")]);
    looked.blames_operation(0);
    node(
        &server,
        "n2",
        &json!({"zone": "a"}),
        &json!([]),
        &json!({"cpu": "8", "memory": "64Gi"}),
    );
    look(&server, &affinity("zone", &["a"])).finds(&[(
        field,
        "no node meets both the node selector and the required node affinity",
    )]);
}

#[test]
fn taints_that_nothing_tolerates_are_a_concern() {
    let server = server();
    server.kubectl(&["taint", "node", "n1", "gpu=yes:NoSchedule"]);
    look(&server, &json!([])).finds(&[(
        "spec.tolerations",
        "the only node has a taint that the pod does not tolerate: gpu=yes:NoSchedule",
    )]);
    look(
        &server,
        &json!([add(
            "/spec/tolerations/-",
            json!({"key": "gpu", "operator": "Exists"})
        )]),
    )
    .finds(&[]);
    node(
        &server,
        "n2",
        &json!({"cocalc-role": "projects", "pool": "b"}),
        &json!(["maintenance:NoExecute"]),
        &json!({"cpu": "8", "memory": "64Gi"}),
    );
    look(&server, &json!([])).finds(&[(
        "spec.tolerations",
        "each of the 2 nodes has taints that the pod does not tolerate: gpu=yes:NoSchedule on 1, maintenance:NoExecute on 1",
    )]);
    // The node is chosen by the patch, so the patch comes first among the guilty.
    let looked = look(&server, &json!([add("/spec/nodeSelector/pool", json!("b"))]));
    looked.finds(&[(
        "spec.tolerations",
        "the only node that it selects has a taint that the pod does not tolerate: maintenance:NoExecute",
    )]);
    looked.blames_operation(0);
}

#[test]
fn a_cordoned_node_takes_no_pod_and_a_taint_that_only_discourages_is_none() {
    let server = server();
    server.kubectl(&["taint", "node", "n1", "slow:PreferNoSchedule"]);
    look(&server, &json!([])).finds(&[]);
    server.kubectl(&["cordon", "n1"]);
    look(&server, &json!([])).finds(&[(
        "spec.tolerations",
        "the only node has a taint that the pod does not tolerate: node.kubernetes.io/unschedulable:NoSchedule",
    )]);
}

#[test]
fn a_request_above_every_nodes_allocatable_is_a_concern() {
    let server = server();
    let request = |resource: &str, text: &str| {
        json!([
            add(
                &format!("/spec/containers/0/resources/limits/{resource}"),
                json!(text)
            ),
            add(
                &format!("/spec/containers/0/resources/requests/{resource}"),
                json!(text)
            )
        ])
    };
    let looked = look(&server, &request("cpu", "9"));
    assert_eq!(
        looked.concerns[0].field,
        "spec.containers[0].resources.requests.cpu"
    );
    assert_eq!(
        looked.concerns[0].message,
        "the pod requests cpu: 9; the only node has 8"
    );
    looked.blames_operation(1);
    look(&server, &request("cpu", "8")).finds(&[]);
    node(
        &server,
        "n2",
        &json!({"cocalc-role": "projects"}),
        &json!([READY]),
        &json!({"cpu": "4", "memory": "128Gi"}),
    );
    look(&server, &request("memory", "200Gi")).finds(&[(
        "spec.containers[0].resources.requests.memory",
        "the pod requests memory: 200Gi, more than each of the 2 nodes has; the largest has 128Gi",
    )]);
}

#[test]
fn a_gpu_that_no_node_offers_is_a_concern() {
    let server = server();
    let gpu = json!([add(
        "/spec/containers/0/resources/limits/nvidia.com~1gpu",
        json!(1)
    )]);
    let looked = look_sent(&server, &gpu);
    looked.finds(&[(
        "spec.containers[0].resources.limits[nvidia.com/gpu]",
        "the pod requests nvidia.com/gpu: 1, of which the only node offers none",
    )]);
    looked.blames_operation(0);
}

/// Only the pod as it was sent: the API server copies the limit into the requests, and the answer's field is that.
fn look_sent(server: &ApiServer, patch: &Value) -> Looked {
    let (snapshot, site) = site(patch);
    let subject = Subject {
        project_id: LAB,
        known: Known::Row(&snapshot.projects[0]),
        live_pod: None,
    };
    let rendered = site.render(subject).expect("a pod");
    let pod = rendered.pod.to_value().expect("a pod");
    let cluster = Cluster::connect(&Options {
        kubeconfig: Some(server.kubeconfig().to_owned()),
        namespace: Some(NAMESPACE.to_owned()),
        ..Options::default()
    })
    .expect("a connection");
    let reply = cluster
        .run(cluster.session().dry_run_pod(&pod, Validation::Strict))
        .expect("an answer");
    let Verdict::Accepted(answer) = reply.value else {
        panic!("{:?}", reply.value);
    };
    let look = |pod: &Value| {
        let concerns = Concerns::new();
        let (concerns, notes) = cluster.run(async {
            concerns
                .of(cluster.session(), NAMESPACE, &site, &rendered, pod)
                .await
        });
        Looked { concerns, notes }
    };
    let of_answer = look(&answer);
    assert_eq!(
        of_answer.concerns[0].field,
        "spec.containers[0].resources.requests[nvidia.com/gpu]"
    );
    let of_sent = look(&pod);
    assert_eq!(of_answer.concerns[0].blame, of_sent.concerns[0].blame);
    of_sent
}

#[test]
fn missing_rights_are_one_note() {
    let server = server();
    let kubeconfig = std::fs::read_to_string(server.kubeconfig()).expect("a kubeconfig");
    let mut kubeconfig: serde_yaml::Value = serde_yaml::from_str(&kubeconfig).expect("YAML");
    kubeconfig["users"][0]["user"]["as"] = "viewer".into();
    let path = server.folder().join("viewer.kubeconfig");
    std::fs::write(&path, serde_yaml::to_string(&kubeconfig).expect("YAML")).expect("a file");
    let viewer = Options {
        kubeconfig: Some(path),
        ..Options::default()
    };
    let patch = volume(json!({"configMap": {"name": "lab"}}));
    let looked = look_with(&server, &viewer, &Concerns::new(), &patch);
    assert_eq!(looked.concerns, []);
    assert_eq!(
        looked.notes,
        [
            "not looked up, since the right is missing to list nodes at the cluster scope, and to get configmaps, \
          get persistentvolumeclaims, get secrets in namespace \"cocalc\""
        ]
    );
}

#[test]
fn each_object_is_asked_for_once_in_a_run_and_of_secrets_only_the_metadata() {
    let server = server();
    let looked_up = || {
        let requests = server.requests().into_iter();
        let mut paths: Vec<String> = requests
            .filter(|line| line["verb"] != "create")
            .map(|line| line["requestURI"].as_str().expect("a URI").to_owned())
            .map(|uri| uri.split('?').next().expect("a path").to_owned())
            .filter(|path| path.contains("/cocalc/") || path.contains("/nodes"))
            .collect();
        paths.sort();
        paths
    };
    let concerns = Concerns::new();
    let before = looked_up();
    for _ in 0..3 {
        look_with(&server, &Options::default(), &concerns, &json!([]));
    }
    until("the audit log has them", || looked_up().len() >= before.len() + 5);
    let mut asked = looked_up();
    for path in before {
        let at = asked.iter().position(|other| *other == path);
        asked.remove(at.expect("what was there before"));
    }
    assert_eq!(
        asked,
        [
            "/api/v1/namespaces/cocalc/persistentvolumeclaims/projects-data",
            "/api/v1/namespaces/cocalc/persistentvolumeclaims/projects-software",
            "/api/v1/namespaces/cocalc/persistentvolumeclaims/storage-extra",
            "/api/v1/namespaces/cocalc/secrets/regcred",
            "/api/v1/nodes",
        ]
    );
    let cluster = Cluster::connect(&Options {
        kubeconfig: Some(server.kubeconfig().to_owned()),
        ..Options::default()
    })
    .expect("a connection");
    let path = "/api/v1/namespaces/cocalc/secrets/regcred";
    let secret = cluster
        .run(cluster.session().get_metadata(path))
        .expect("an answer")
        .value;
    assert_eq!(secret["kind"], "PartialObjectMetadata");
    assert_eq!(secret.get("data"), None);
}
