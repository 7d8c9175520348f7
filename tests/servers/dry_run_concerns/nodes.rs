//! Whether a node could hold the pod, and whether the scheduler looks at it at all.

use serde_json::{Value, json};

use crate::support::{
    Sandbox,
    api_server::{ApiServer, NAMESPACE},
};

use super::{Looked, READY, Turn, add, look, look_after_admission, node, server};

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
        "the only node that it selects, n2, has a taint that the pod does not tolerate: maintenance:NoExecute",
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
    let looked = look(&server, &gpu);
    looked.finds(&[(
        "spec.containers[0].resources.limits[nvidia.com/gpu]",
        "the pod requests nvidia.com/gpu: 1, of which the only node offers none",
    )]);
    looked.blames_operation(0);
}

/// The taint of nodes with accelerators, as clouds give it.
const GPU: &str = "nvidia.com/gpu=present:NoSchedule";

/// Beside the example's node another one that has more of everything, and a taint.
fn server_with_tainted_node() -> Turn {
    let server = server();
    node(
        &server,
        "gpu1",
        &json!({"cocalc-role": "projects"}),
        &json!([READY, GPU]),
        &json!({"cpu": "64", "memory": "256Gi", "pods": "110", "nvidia.com/gpu": "4"}),
    );
    server
}

/// Limits of the first container, and requests equal to them.
fn limits(amounts: &[(&str, &str)]) -> Value {
    let kinds = ["limits", "requests"];
    let operations = kinds.iter().flat_map(|kind| {
        let path = move |resource: &str| format!("/spec/containers/0/resources/{kind}/{resource}");
        amounts
            .iter()
            .map(move |(resource, amount)| add(&path(resource), json!(amount)))
    });
    operations.collect()
}

#[test]
fn a_node_that_has_enough_and_is_tainted_is_named_with_its_taint() {
    let server = server_with_tainted_node();
    let gpus = |count: u32| {
        add(
            "/spec/containers/0/resources/limits/nvidia.com~1gpu",
            json!(count),
        )
    };
    let looked = look(&server, &json!([gpus(1)]));
    looked.finds(&[(
        "spec.containers[0].resources.limits[nvidia.com/gpu]",
        "the pod requests nvidia.com/gpu: 1, which only node gpu1 has, and does not tolerate its taint \
         nvidia.com/gpu=present:NoSchedule",
    )]);
    looked.blames_operation(0);
    let tolerates = add(
        "/spec/tolerations/-",
        json!({"key": "nvidia.com/gpu", "operator": "Exists"}),
    );
    look(&server, &json!([gpus(1), tolerates])).finds(&[]);
    // More than there is stays more, tainted or not.
    look(&server, &json!([gpus(5), tolerates])).finds(&[(
        "spec.containers[0].resources.limits[nvidia.com/gpu]",
        "the pod requests nvidia.com/gpu: 5, more than each of the 2 nodes has; the largest has 4",
    )]);
    look(&server, &json!([gpus(5)])).finds(&[(
        "spec.containers[0].resources.limits[nvidia.com/gpu]",
        "the pod requests nvidia.com/gpu: 5, more than each of the 2 nodes has; the largest has 4",
    )]);
    for (resource, amount) in [("cpu", "32"), ("memory", "128Gi")] {
        let looked = look(&server, &limits(&[(resource, amount)]));
        let message = format!(
            "the pod requests {resource}: {amount}, which only node gpu1 has, and does not tolerate its taint \
             nvidia.com/gpu=present:NoSchedule"
        );
        looked.finds(&[(
            &format!("spec.containers[0].resources.requests.{resource}"),
            &message,
        )]);
        looked.blames_operation(1);
    }
}

#[test]
fn of_several_tainted_nodes_only_those_are_named_that_have_all_that_is_requested() {
    let server = server_with_tainted_node();
    node(
        &server,
        "gpu2",
        &json!({"cocalc-role": "projects"}),
        &json!([READY, GPU, "maintenance:NoExecute"]),
        &json!({"cpu": "16", "memory": "64Gi", "pods": "110", "nvidia.com/gpu": "8"}),
    );
    let gpu = |count: u32| {
        add(
            "/spec/containers/0/resources/limits/nvidia.com~1gpu",
            json!(count),
        )
    };
    let message = |looked: &Looked| looked.concerns[0].message.clone();
    let looked = look(&server, &json!([gpu(1)]));
    assert_eq!(
        message(&looked),
        "the pod requests nvidia.com/gpu: 1, which only nodes gpu1, gpu2 have, and does not tolerate their taints \
         nvidia.com/gpu=present:NoSchedule, maintenance:NoExecute on 1"
    );
    let mut with_cpu = limits(&[("cpu", "32")]);
    with_cpu.as_array_mut().expect("operations").push(gpu(1));
    let looked = look(&server, &with_cpu);
    assert_eq!(
        message(&looked),
        "the pod requests cpu: 32, nvidia.com/gpu: 1, which only node gpu1 has, and does not tolerate its taint \
         nvidia.com/gpu=present:NoSchedule"
    );
    // Each by itself is somewhere, all of it nowhere: a toleration is no cure.
    with_cpu.as_array_mut().expect("operations").push(gpu(8));
    let looked = look(&server, &with_cpu);
    assert_eq!(looked.concerns.len(), 1);
    assert!(
        message(&looked).starts_with("no node has all that the pod requests at once: cpu: 32"),
        "{}",
        message(&looked)
    );
    // Without its taints, each of these has something.
    node(
        &server,
        "n2",
        &json!({"cocalc-role": "projects"}),
        &json!([READY]),
        &json!({"cpu": "32", "memory": "16Gi", "pods": "110"}),
    );
    let looked = look(&server, &limits(&[("cpu", "16"), ("memory", "32Gi")]));
    assert_eq!(looked.concerns.len(), 1);
    let message = message(&looked);
    assert!(
        message.contains("cpu: 16") && message.contains("memory: 32Gi"),
        "{message}"
    );
    assert!(
        message.ends_with(
            ", which only nodes gpu1, gpu2 have at once, and does not tolerate their taints \
             nvidia.com/gpu=present:NoSchedule, maintenance:NoExecute on 1"
        ),
        "{message}"
    );
}

#[test]
fn what_admission_tolerates_is_tolerated() {
    let server = server_with_tainted_node();
    let gpu = json!([add(
        "/spec/containers/0/resources/limits/nvidia.com~1gpu",
        json!(1)
    )]);
    let tolerated = |pod: &mut Value| {
        let tolerations = pod["spec"]["tolerations"].as_array_mut().expect("tolerations");
        tolerations.push(json!({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}));
    };
    look_after_admission(&server, &gpu, &tolerated).finds(&[]);
    let gated = |pod: &mut Value| pod["spec"]["schedulingGates"] = json!([{"name": "queue.example/wait"}]);
    let looked = look_after_admission(&server, &json!([]), &gated);
    looked.finds(&[(
        "spec.schedulingGates[0].name",
        "the pod waits until somebody removes its scheduling gate queue.example/wait",
    )]);
    assert_eq!(
        looked.concerns[0].blame,
        [json!({"by": "injected", "path": "/spec/schedulingGates/0/name"})]
    );
}

/// What the plugin says of a miniature from the field.
fn dry_run_of(server: &ApiServer, input: &str) -> crate::support::Run {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/field");
    let file = |name: &str| folder.join(name).display().to_string();
    let (base, patch) = (file("base.yaml"), file(&format!("{input}/patch.json")));
    let kubeconfig = server.kubeconfig().display().to_string();
    Sandbox::new().run(&[
        "dry-run",
        "-f",
        &base,
        "--patch-file",
        &patch,
        "--kubeconfig",
        &kubeconfig,
        "-n",
        NAMESPACE,
    ])
}

const TAINTED: &str = "concern-where-the-node-that-fits-is-tainted";

/// The nodes of that miniature, and no other.
fn create_nodes(server: &ApiServer) {
    server.kubectl(&["delete", "nodes", "--all"]);
    let folder = env!("CARGO_MANIFEST_DIR");
    let nodes = format!("{folder}/tests/data/field/{TAINTED}/nodes.yaml");
    server.kubectl(&["create", "-f", &nodes]);
    // Admission taints each new one.
    server.kubectl(&["taint", "nodes", "--all", "node.kubernetes.io/not-ready-"]);
}

#[test]
fn a_toleration_that_the_api_server_adds_is_one() {
    let server = ApiServer::start_with(&["--enable-admission-plugins=ExtendedResourceToleration"]);
    create_nodes(&server);
    dry_run_of(&server, TAINTED).code(0).does_not_say("[concern]");
}

#[test]
fn the_nodes_of_the_field_are_told_by_the_plugin() {
    let server = server();
    create_nodes(&server);
    let run = dry_run_of(&server, TAINTED).code(0);
    let told = run.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        told.contains(
            "the pod requests nvidia.com/gpu: 1, which only node gpu1 has, and does not tolerate its taint \
             nvidia.com/gpu=present:NoSchedule"
        ),
        "{told}"
    );
}

#[test]
fn a_scheduling_gate_is_a_concern() {
    let server = server();
    let run = dry_run_of(&server, "concern-scheduling-gate").code(0);
    assert!(
        run.stderr
            .contains("removes its scheduling gate example.com/wait"),
        "{}",
        run.stderr
    );
    let gates = json!([{"name": "example.com/wait"}, {"name": "example.com/quota"}]);
    let looked = look(&server, &json!([add("/spec/schedulingGates", gates)]));
    looked.finds(&[(
        "spec.schedulingGates[0].name",
        "the pod waits until somebody removes its scheduling gates example.com/wait, example.com/quota",
    )]);
    looked.blames_operation(0);
    look(&server, &json!([add("/spec/schedulingGates", json!([]))])).finds(&[]);
}

/// A spread constraint; each patch of these puts them in as a list.
fn spread(key: &str, when: &str) -> Value {
    json!({"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": when,
           "labelSelector": {"matchLabels": {"run": "project"}}})
}

fn spread_by(constraints: &[Value]) -> Value {
    json!([add("/spec/topologySpreadConstraints", json!(constraints))])
}

/// Near to, or far from, other projects.
fn affinity(kind: &str, is_required: bool, key: &str) -> Value {
    let term = json!({"topologyKey": key, "labelSelector": {"matchLabels": {"run": "project"}}});
    let terms = if is_required {
        json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]})
    } else {
        json!({"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]})
    };
    json!([add("/spec/affinity", json!({kind: terms}))])
}

#[test]
fn a_topology_key_that_no_node_carries_is_a_concern_where_the_scheduler_insists_on_it() {
    let server = server();
    let looked = look(&server, &spread_by(&[spread("rack", "DoNotSchedule")]));
    looked.finds(&[(
        "spec.topologySpreadConstraints[0].topologyKey",
        "no node carries the label rack, without which the spread constraint takes no node",
    )]);
    looked.blames_operation(0);
    let looked = look(&server, &affinity("podAffinity", true, "rack"));
    looked.finds(&[(
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey",
        "no node carries the label rack, without which the required pod affinity takes no node",
    )]);
    looked.blames_operation(0);
    // A node without the label is as good as any other, or better.
    look(&server, &spread_by(&[spread("rack", "ScheduleAnyway")])).finds(&[]);
    look(&server, &affinity("podAffinity", false, "rack")).finds(&[]);
    look(&server, &affinity("podAntiAffinity", true, "rack")).finds(&[]);
    look(&server, &affinity("podAntiAffinity", false, "rack")).finds(&[]);
    // The label is there, whatever its value.
    look(&server, &spread_by(&[spread("cocalc-role", "DoNotSchedule")])).finds(&[]);
    look(&server, &affinity("podAffinity", true, "cocalc-role")).finds(&[]);
}

#[test]
fn a_topology_key_counts_on_the_nodes_that_the_pod_could_choose() {
    let server = server();
    let labelled = |name: &str, labels: Value, taints: Value| {
        node(
            &server,
            name,
            &labels,
            &taints,
            &json!({"cpu": "8", "memory": "64Gi", "pods": "110"}),
        );
    };
    labelled("other", json!({"rack": "a"}), json!([]));
    let looked = look(&server, &spread_by(&[spread("rack", "DoNotSchedule")]));
    looked.finds(&[(
        "spec.topologySpreadConstraints[0].topologyKey",
        "no node that it selects carries the label rack, without which the spread constraint takes no node",
    )]);
    looked.blames_operation(0);
    assert_eq!(looked.concerns[0].blame[1]["by"], "template");
    labelled(
        "n2",
        json!({"cocalc-role": "projects", "rack": "a"}),
        json!([READY, "gpu:NoSchedule"]),
    );
    look(&server, &spread_by(&[spread("rack", "DoNotSchedule")])).finds(&[(
        "spec.tolerations",
        "the only node that it selects, n2, has a taint that the pod does not tolerate: gpu:NoSchedule",
    )]);
    labelled(
        "n3",
        json!({"cocalc-role": "projects", "zone": "z"}),
        json!([READY]),
    );
    let both = [spread("rack", "DoNotSchedule"), spread("zone", "DoNotSchedule")];
    look(&server, &spread_by(&both)).finds(&[(
        "spec.topologySpreadConstraints[0].topologyKey",
        "no node that it selects carries all the labels that spread constraints and pod affinity need: rack, zone",
    )]);
    // A pod that names its node does not meet the scheduler.
    let assigned = json!([
        add(
            "/spec/topologySpreadConstraints",
            json!([spread("rack", "DoNotSchedule")])
        ),
        add("/spec/nodeName", json!("n3")),
    ]);
    look(&server, &assigned).finds(&[]);
}
