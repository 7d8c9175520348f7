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

mod nodes;
mod objects;

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
    for kind in [
        "pvc",
        "configmap",
        "secret",
        "resourceclaim",
        "resourceclaimtemplate",
    ] {
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
    let mut looked = look_at(server, options, concerns, patch, |sent, answer| {
        vec![sent, answer]
    });
    // The answer holds what admission wrote; none of it is anything to be told here.
    let of_answer = looked.pop().expect("two looks");
    let of_sent = looked.pop().expect("two looks");
    assert_eq!(of_sent.concerns, of_answer.concerns, "{patch}");
    assert_eq!(of_answer.notes, [""; 0], "a note is told once");
    of_sent
}

/// What is found where admission does this to the pod.
fn look_after_admission(server: &ApiServer, patch: &Value, admission: &dyn Fn(&mut Value)) -> Looked {
    let admitted = |_, mut answer| {
        admission(&mut answer);
        vec![answer]
    };
    let looked = look_at(server, &Options::default(), &Concerns::new(), patch, admitted);
    looked.into_iter().next().expect("a look")
}

/// What is found about each of the pods that `pods` makes of the pod that was sent and the server's answer.
fn look_at(
    server: &ApiServer,
    options: &Options,
    concerns: &Concerns,
    patch: &Value,
    pods: impl FnOnce(Value, Value) -> Vec<Value>,
) -> Vec<Looked> {
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
    let look = |pod: Value| {
        let (concerns, notes) = cluster.run(async {
            concerns
                .of(cluster.session(), NAMESPACE, &site, &rendered, &pod)
                .await
        });
        Looked { concerns, notes }
    };
    pods(pod, answer).into_iter().map(look).collect()
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
    let mut patch = volume(json!({"configMap": {"name": "lab"}}));
    let claims = json!([{"name": "gpu", "resourceClaimName": "lab-gpu"}]);
    let operations = patch.as_array_mut().expect("operations");
    operations.push(add("/spec/resourceClaims", claims));
    let looked = look_with(&server, &viewer, &Concerns::new(), &patch);
    assert_eq!(looked.concerns, []);
    assert_eq!(
        looked.notes,
        [
            "not looked up, since the right is missing to list nodes at the cluster scope, and to get configmaps, \
          get persistentvolumeclaims, get resourceclaims, get secrets in namespace \"cocalc\""
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
