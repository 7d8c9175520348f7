//! `patch-diff` as its users run it: what it shows, what it makes, exit codes.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use crate::support::{LAB, Run, Sandbox};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

const LABEL: &str = r#"[{"op":"add","path":"/metadata/labels/mylabel","value":"x"}]"#;

/// The example's pod as `render` gives it.
fn rendered() -> Value {
    Sandbox::new()
        .run(&["render", "--example", "-o", "json"])
        .code(0)
        .json()
}

/// The pod as an API server gives it back once it runs.
fn live(mut pod: Value) -> Value {
    pod["metadata"]["uid"] = json!("0f9c3d1e-5a9b-4c57-9c63-0d1b1b8a2f11");
    pod["metadata"]["namespace"] = json!("cocalc");
    pod["metadata"]["creationTimestamp"] = json!("2026-11-24T12:00:00Z");
    pod["spec"]["nodeName"] = json!("node-1");
    pod["spec"]["serviceAccountName"] = json!("default");
    pod["spec"]["serviceAccount"] = json!("default");
    pod["spec"]["dnsPolicy"] = json!("ClusterFirst");
    pod["spec"]["volumes"].as_array_mut().unwrap().insert(
        0,
        json!({"name": "kube-api-access-abcde", "projected": {"sources": []}}),
    );
    pod["spec"]["containers"][0]["volumeMounts"].as_array_mut().unwrap().insert(
        0,
        json!({"name": "kube-api-access-abcde", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true}),
    );
    pod["status"] = json!({"phase": "Running"});
    pod
}

#[test]
fn the_diff_names_place_and_operation_behind_the_hunk() {
    let run = Sandbox::new().run(&["patch-diff", "--example"]).code(1);
    assert!(run.stdout.starts_with(&format!(
        "--- project-{LAB}  without license patches\n+++ project-{LAB}  with 2 licenses\n"
    )));
    run.prints(" @@ metadata.labels <- f3d76abf op 1\n")
        .prints(" @@ containers[0]=project volumeMounts <- 5e0a9e17 op 1\n")
        .prints("+    mylabel: test123\n")
        .says("f3d76abf   \"patch1\"          1 operation    CoCalc applies   RFC 6902 accepts");
}

#[test]
fn a_patch_that_copies_the_document_into_itself_is_refused_and_reported() {
    let patch: Vec<Value> = (0..40)
        .map(|at| json!({"op": "copy", "from": "", "path": format!("/c{at}")}))
        .collect();
    let patch = Value::from(patch).to_string();
    let sandbox = Sandbox::new().file("pod.json", r#"{"kind": "Pod", "metadata": {"name": "p"}}"#);
    let run = sandbox
        .run(&["patch-diff", "--before", "pod.json", "-p", &patch, "-o", "json"])
        .code(1);
    let report = run.says("MiB of text; copy less").json();
    assert_eq!(report["verdict"]["cocalc"], "fails");
    // What is not read to its end is neither accepted nor rejected.
    assert!(report["verdict"].get("rfc6902").is_none());
    assert_eq!(report["after"], report["before"]);
    let run = sandbox
        .run(&["render", "--example", "-p", &patch, "--keep-going", "-o", "json"])
        .code(1);
    assert!(run.json().get("c0").is_none());
}

#[test]
fn each_operation_of_many_has_its_own_findings_and_place() {
    let patch: Vec<Value> = (0..50)
        .map(|at| json!({"op": "add", "path": format!("/labels/é{}", at % 2), "value": at}))
        .collect();
    let sandbox = Sandbox::new()
        .file("before.json", r#"{"labels": {}}"#)
        .file("patch.json", &Value::from(patch).to_string());
    let run = sandbox
        .run(&[
            "patch-diff",
            "--before",
            "before.json",
            "--patch-file",
            "patch.json",
            "-o",
            "json",
        ])
        .code(0);
    let report = run.json();
    let operations = report["patches"][0]["operations"].as_array().unwrap();
    let with: Vec<usize> = (0..50)
        .filter(|at| operations[*at]["findings"] != json!([]))
        .collect();
    assert_eq!(with, (2..50).collect::<Vec<_>>());
}

#[test]
fn exit_codes_are_those_of_kubectl_diff() {
    let run = |args: &[&str]| Sandbox::new().run(&[&["patch-diff"], args].concat());
    run(&["--example"]).code(1);
    run(&["--example", "--exit-zero"]).code(0);
    run(&["--example", "-p", "[]"]).code(0).prints_nothing();
    run(&["--example", "-o", "json"]).code(0);
    run(&["--example", "-o", "patch"]).code(0);
    run(&["--example", "--nope"]).code(2);
    run(&["--example", "--live"])
        .code(2)
        .says("live pods come from the cluster unless -f gives them");
    run(&["--example", "-p", r#"[{"op":"test","path":"/kind","value":"x"}]"#])
        .code(1)
        .says("TEST_OPERATION_FAILED");
    run(&["--example", "-p", r#"[{"op":"add"}]"#])
        .code(1)
        .says("CoCalc drops it: operation 1 has no path");
}

#[test]
fn the_report_has_gate_effects_and_both_verdicts() {
    let patch = r#"[{"op":"replace","path":"/spec/priorityClassName","value":"high"},{"op":"remove","path":"/metadata/labels/nope"}]"#;
    let report = Sandbox::new()
        .run(&["patch-diff", "--example", "-p", patch, "-o", "json"])
        .code(0)
        .json();
    let last = report["patches"].as_array().unwrap().last().unwrap();
    assert_eq!(last["gate"], "passes");
    assert_eq!(last["operations"][0]["effect"], "added");
    assert_eq!(last["operations"][1]["effect"], "nothing");
    assert_eq!(report["verdict"]["cocalc"], "applies");
    assert_eq!(report["verdict"]["rfc6902"], "rejects");
    assert_eq!(report["after"]["spec"]["priorityClassName"], "high");
    assert_eq!(report["before"]["spec"]["priorityClassName"], Value::Null);
}

#[test]
fn a_failing_patch_prints_its_report_all_the_same() {
    let patch =
        r#"[{"op":"add","path":"/metadata/labels/a","value":"b"},{"op":"add","path":"/spec/x/y","value":1}]"#;
    let report = Sandbox::new()
        .run(&["patch-diff", "--example", "-p", patch, "-o", "json"])
        .code(1)
        .json();
    assert_eq!(report["verdict"]["cocalc"], "fails");
    assert_eq!(report["verdict"]["error"]["class"], "TypeError");
    assert_eq!(report["verdict"]["error"]["operation"], 1);
    assert_eq!(
        report["after"]["metadata"]["labels"]["a"], "b",
        "the half-patched document"
    );
}

#[test]
fn the_documents_recipe_gives_its_two_changes() {
    let before = live(rendered());
    let mut after = before.clone();
    after["metadata"]["labels"]["mylabel2"] = json!("test123");
    after["spec"]["serviceAccountName"] = json!("default2");
    let sandbox = Sandbox::new()
        .file("p1.json", &before.to_string())
        .file("p2.json", &after.to_string());
    let patch = sandbox
        .run(&[
            "patch-diff",
            "--example",
            "--before",
            "p1.json",
            "--after",
            "p2.json",
            "-o",
            "license",
        ])
        .code(0);
    let operations: Value = serde_json::from_str(&patch.stdout).unwrap();
    assert_eq!(
        operations,
        json!([
            {"op": "add", "path": "/metadata/labels/mylabel2", "value": "test123"},
            {"op": "add", "path": "/spec/serviceAccountName", "value": "default2"},
        ]),
        "{}",
        patch.stderr
    );
    assert_eq!(
        patch.stdout.lines().count(),
        1,
        "one line for the license's field"
    );
}

#[test]
fn an_edit_of_a_live_pod_is_rebased_onto_the_template() {
    let before = live(rendered());
    let mut after = before.clone();
    after["spec"]["containers"][0]["volumeMounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "home", "mountPath": "/global"}));
    let sandbox = Sandbox::new()
        .file("p1.json", &before.to_string())
        .file("p2.json", &after.to_string());
    let run = sandbox
        .run(&[
            "patch-diff",
            "--example",
            "--before",
            "p1.json",
            "--after",
            "p2.json",
            "-o",
            "patch",
        ])
        .code(0);
    let operations: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        operations.as_array().unwrap().last().unwrap()["path"],
        "/spec/containers/0/volumeMounts/-"
    );
    assert_eq!(
        operations[0],
        json!({"op": "test", "path": "/spec/containers/0/name", "value": "project"})
    );
    let patched = sandbox
        .run(&["render", "--example", "-p", run.stdout.trim(), "-o", "json"])
        .code(0)
        .json();
    assert_eq!(
        patched["spec"]["containers"][0]["volumeMounts"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()["mountPath"],
        "/global"
    );
    let bare = sandbox
        .run(&[
            "patch-diff",
            "--example",
            "--before",
            "p1.json",
            "--after",
            "p2.json",
            "-o",
            "patch",
            "--no-guards",
        ])
        .code(0);
    assert!(!bare.stdout.contains("\"test\""), "{}", bare.stdout);
    sandbox
        .run(&[
            "patch-diff",
            "--example",
            "22222222-2222-4222-8222-222222222222",
            "--before",
            "p1.json",
            "--after",
            "p2.json",
        ])
        .code(2)
        .says("is the pod of project");
}

#[test]
fn no_edit_gives_an_empty_patch_and_says_so() {
    let pod = live(rendered()).to_string();
    Sandbox::new()
        .file("a.json", &pod)
        .file("b.json", &pod)
        .run(&[
            "patch-diff",
            "--example",
            "--before",
            "a.json",
            "--after",
            "b.json",
            "-o",
            "license",
        ])
        .code(0)
        .prints("[]\n")
        .says("no difference");
}

#[test]
fn the_live_pod_less_what_kubernetes_added_equals_the_rendered_one() {
    let sandbox = Sandbox::new().file("live.json", &{
        let mut pod = live(rendered());
        pod["metadata"]["labels"]["extra"] = json!("by hand");
        pod.to_string()
    });
    let run = sandbox
        .run(&["patch-diff", "--example", "-f", "live.json", "--live"])
        .code(1);
    let changed: Vec<&str> = run
        .stdout
        .lines()
        .skip(2)
        .filter(|line| line.starts_with(['+', '-']))
        .collect();
    assert_eq!(changed, ["-    extra: by hand"], "{}", run.stdout);
    let back = sandbox
        .run(&[
            "patch-diff",
            "--example",
            "-f",
            "live.json",
            "--live",
            "-o",
            "license",
        ])
        .code(0);
    assert_eq!(
        back.stdout,
        "[{\"op\":\"add\",\"path\":\"/metadata/labels/extra\",\"value\":\"by hand\"}]\n"
    );
}

#[test]
fn any_document_can_be_patched_without_a_source() {
    let sandbox = Sandbox::new().file("a.yaml", "a: 1\nlist: [x]\n");
    sandbox
        .run(&[
            "patch-diff",
            "--before",
            "a.yaml",
            "-p",
            r#"[{"op":"add","path":"/list/-","value":"z"}]"#,
        ])
        .code(1)
        .prints("+- z\n")
        .says("RFC 6902 accepts");
    sandbox
        .run(&["patch-diff", "--before", "a.yaml"])
        .code(2)
        .says("--before goes with --after or with a patch");
}

#[test]
fn the_next_template_tells_which_operations_break_or_meet_another_element() {
    let template: Value = serde_json::from_str(include_str!("../data/example-template.json")).unwrap();
    let mut moved = template.clone();
    moved["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .rotate_right(1);
    let mut bare = template.clone();
    bare["spec"].as_object_mut().unwrap().remove("volumes");
    let sandbox = Sandbox::new()
        .file("moved.json", &moved.to_string())
        .file("bare.json", &bare.to_string());
    sandbox
        .run(&["patch-diff", "--example", "--new-template", "moved.json"])
        .code(1)
        .says(
            "license \"storage extra\" 5e0a9e17, operation 1 of 2: /spec/containers/0 was \"project\", and is \"datastore\" \
             in the new template; \"project\" is at /spec/containers/1 there: write that, and to be sure put \
             {\"op\":\"test\",\"path\":\"/spec/containers/1/name\",\"value\":\"project\"} before it \
             [new-template-other-element]",
        )
        .says(
            "warning: the quota, with its requests and limits, moves into container \"datastore\": it is the one at index 0",
        )
        .does_not_say("it is \"datastore\" now");
    sandbox
        .run(&[
            "patch-diff",
            "--example",
            "--new-template",
            "moved.json",
            "--fail-on",
            "error",
        ])
        .code(0);
    sandbox
        .run(&[
            "patch-diff",
            "--example",
            "--new-template",
            "bare.json",
            "--fail-on",
            "error",
        ])
        .code(1);
}

#[test]
fn the_editor_is_the_one_kubectl_would_take() {
    let sandbox = Sandbox::new();
    let script = sandbox.path().join("edit.sh");
    std::fs::write(
        &script,
        "#!/bin/sh\nsed -i 's/mylabel: test123/mylabel: edited/' \"$1\"\n",
    )
    .unwrap();
    let mut command = std::process::Command::new("env");
    command
        .arg(format!("KUBE_EDITOR=sh {}", script.display()))
        .arg("EDITOR=false")
        .arg(crate::support::PLUGIN);
    command.args(["patch-diff", "--example", "--edit", "-o", "license"]);
    let run = sandbox.run_command(command, "").code(0);
    assert_eq!(
        run.stdout, "[{\"op\":\"replace\",\"path\":\"/metadata/labels/mylabel\",\"value\":\"edited\"}]\n",
        "{}",
        run.stderr
    );
    let mut command = std::process::Command::new("env");
    command.args([
        "EDITOR=true",
        crate::support::PLUGIN,
        "patch-diff",
        "--example",
        "--edit",
    ]);
    sandbox.run_command(command, "").code(0).says("Edit cancelled");
}

#[test]
fn an_external_diff_gets_two_folders_and_its_bad_arguments_are_told() {
    let sandbox = Sandbox::new();
    let mut command = std::process::Command::new("env");
    command.args([
        "KUBECTL_EXTERNAL_DIFF=diff -u -N --label=x,y",
        crate::support::PLUGIN,
        "patch-diff",
        "--example",
    ]);
    sandbox
        .run_command(command, "")
        .code(1)
        .prints(&format!("/v1.Pod..project-{LAB}"))
        .says("the argument \"--label=x,y\" is dropped");
    let mut command = std::process::Command::new("env");
    command.args([
        "KUBECTL_EXTERNAL_DIFF=no-such-program",
        crate::support::PLUGIN,
        "patch-diff",
        "--example",
    ]);
    sandbox
        .run_command(command, "")
        .code(2)
        .says("cannot run \"no-such-program\"");
}

#[test]
fn secrets_are_masked_unless_they_are_asked_for() {
    let patch =
        r#"[{"op":"add","path":"/spec/containers/0/env/-","value":{"name":"API_TOKEN","value":"hunter2"}}]"#;
    let run = |args: &[&str]| Sandbox::new().run(&[&["patch-diff", "--example", "-p", patch], args].concat());
    let masked = run(&[]).code(1);
    assert!(
        !masked.stdout.contains("hunter2") && masked.stdout.contains("*** (after)"),
        "{}",
        masked.stdout
    );
    let report = run(&["-o", "json"]).code(0);
    assert!(!report.stdout.contains("hunter2"), "{}", report.stdout);
    run(&["--show-secrets"]).code(1).prints("hunter2");
    run(&["-o", "license"]).code(0).prints("hunter2");
}

#[test]
fn flags_that_exclude_each_other_name_both() {
    let run = |args: &[&str]| {
        Sandbox::new()
            .run(&[&["patch-diff", "--example"], args].concat())
            .code(2)
    };
    run(&["--live", "--edit"]).says("--live").says("--edit");
    run(&["--live", "--after", "x"]).says("--live").says("--after");
    run(&["--edit", "--after", "x"]).says("--edit").says("--after");
    run(&["-p", LABEL, "--patch-file", "x"]).says("--patch");
}

#[test]
fn colours_are_only_where_they_are_wanted() {
    let plain = Sandbox::new().run(&["patch-diff", "--example"]).code(1);
    assert!(!plain.stdout.contains('\u{1b}'));
    let coloured = Sandbox::new()
        .run(&["patch-diff", "--example", "--color", "always"])
        .code(1);
    assert!(
        coloured
            .stdout
            .contains("\u{1b}[32m+    mylabel: test123\u{1b}[0m"),
        "{}",
        coloured.stdout
    );
}

#[test]
fn a_patch_that_needs_another_licenses_patch_first_is_told() {
    let mut after = rendered();
    let mounts = after["spec"]["containers"][0]["volumeMounts"]
        .as_array_mut()
        .unwrap();
    mounts.last_mut().unwrap()["readOnly"] = json!(true);
    let sandbox = Sandbox::new().file("after.json", &after.to_string());
    sandbox
        .run(&[
            "patch-diff",
            "--example",
            "--after",
            "after.json",
            "-o",
            "license",
        ])
        .code(0)
        .says("[order-matters]");
    let mut label = rendered();
    label["metadata"]["labels"]["own"] = json!("1");
    Sandbox::new()
        .file("after.json", &label.to_string())
        .run(&[
            "patch-diff",
            "--example",
            "--after",
            "after.json",
            "-o",
            "license",
        ])
        .code(0)
        .does_not_say("[order-matters]");
}

#[test]
fn what_api_server_and_plugins_write_into_a_running_pod_is_no_difference() {
    let field = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/field");
    for input in [
        "live-server-defaults-probe",
        "live-server-defaults-volumes",
        "live-annotations-of-the-network-plugin",
    ] {
        let file = |name: &str| field.join(input).join(name).display().to_string();
        let (template, live) = (file("template.json"), file("live.json"));
        let args = ["patch-diff", "-f", &template, "-f", &live, "--live", LAB];
        Sandbox::new().run(&args).code(0);
        let calibrated = Sandbox::new()
            .run(&[&args[..], &["--calibrate"]].concat())
            .code(0);
        assert!(!calibrated.stdout.contains("annotation"), "{}", calibrated.stdout);
    }

    let live = |metadata: Value, spec: Value| {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("project-{LAB}"), "uid": "u",
                         "labels": {"run": "project", "project_id": LAB}},
            "spec": {"containers": [{"name": "project", "image": "x"}]},
            "status": {"phase": "Running"},
        });
        merge(&mut pod["metadata"], metadata);
        merge(&mut pod["spec"], spec);
        pod.to_string()
    };
    let template = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "project-{project_id}", "labels": {"run": "project", "project_id": "{project_id}"},
                     "annotations": {"ours.example/a": "1"}},
        "spec": {"containers": [{"name": "project", "image": "x"}]},
    });
    let differs = |metadata: Value, spec: Value| {
        let metadata = match metadata {
            Value::Null => json!({"annotations": {"ours.example/a": "1"}}),
            metadata => metadata,
        };
        let sandbox = Sandbox::new()
            .file("template.json", &template.to_string())
            .file("live.json", &live(metadata, spec));
        let run = sandbox.run(&[
            "patch-diff",
            "-f",
            "template.json",
            "-f",
            "live.json",
            "--live",
            LAB,
        ]);
        run.code == 1
    };
    let ours = |more: Value| {
        let mut annotations = json!({"ours.example/a": "1"});
        merge(&mut annotations, more);
        json!({"annotations": annotations})
    };
    assert!(!differs(
        ours(json!({"k8s.v1.cni.cncf.io/network-status": "[]", "openshift.io/scc": "restricted"})),
        json!({})
    ));
    // Somebody else's under our domain, or under none, is one.
    assert!(differs(ours(json!({"ours.example/b": "1"})), json!({})));
    assert!(differs(ours(json!({"owner": "someone"})), json!({})));
    assert!(differs(
        json!({"annotations": {"openshift.io/scc": "x"}}),
        json!({})
    ));
    let token = json!({
        "containers": [{"name": "project", "image": "x", "volumeMounts": [
            {"name": "default-token-abcde", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true}]}],
        "volumes": [{"name": "default-token-abcde", "secret": {"secretName": "default-token-abcde", "defaultMode": 420}}],
    });
    assert!(!differs(Value::Null, token));
    // A text under the name of a field with a default is a value of its own in a map of data.
    assert!(differs(Value::Null, json!({"nodeSelector": {"protocol": "TCP"}})));
    assert!(differs(
        Value::Null,
        json!({"containers": [{"name": "project", "image": "x", "ports": [
        {"containerPort": 80, "hostPort": 80}]}]})
    ));
}

/// A JSON merge patch that removes nothing.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

#[test]
fn the_patch_of_a_license_is_made_for_its_place() {
    let mut after = rendered();
    after["metadata"]["labels"]["mylabel"] = json!("changed");
    let sandbox = Sandbox::new().file("after.json", &after.to_string());
    let run = sandbox
        .run(&[
            "patch-diff",
            "--example",
            "--after",
            "after.json",
            "--for-license",
            "f3d76abf",
            "-o",
            "license",
        ])
        .code(0);
    assert_eq!(
        run.stdout,
        "[{\"op\":\"add\",\"path\":\"/metadata/labels/mylabel\",\"value\":\"changed\"}]\n"
    );
}

#[test]
fn a_patch_is_reviewed_with_a_template_alone() {
    let good = "[{\"op\":\"add\",\"path\":\"/metadata/labels/team\",\"value\":\"bio\"}]";
    let bad = "[{\"op\":\"add\",\"path\":\"/metadata/labels/team\",\"value\":\"bio\"},\n {\"op\":\"add\",\"path\":\"/spec/nodeSelecter\",\"value\":{}},\n {\"op\":\"remove\",\"path\":\"/kindd\"}]";
    let sandbox = Sandbox::new()
        .file("template.json", include_str!("../data/example-template.json"))
        .file("good.json", good)
        .file("bad.json", bad);
    let review = |patch: &str, severity: &str| {
        sandbox.run(&[
            "patch-diff",
            "-f",
            "template.json",
            "--patch-file",
            patch,
            "--fail-on",
            severity,
        ])
    };
    review("good.json", "warning")
        .code(0)
        .says("note: licenses were not looked at");
    review("bad.json", "error")
        .code(1)
        .says("spec.nodeSelecter")
        .says("(license \"bad.json\" ffffffff, operation 2)")
        .says("bad.json:3:2: warning: bad.json, operation 3 of 3: ");
}

#[test]
fn the_rules_are_printed_as_a_table() {
    Sandbox::new()
        .run(&["patch-diff", "--rules"])
        .code(0)
        .prints("RULE")
        .prints("operation-without-effect")
        .prints("pod-unknown-field");
}

#[test]
fn a_dropped_patch_from_a_file_names_line_and_column() {
    let sandbox = Sandbox::new()
        .file(
            "op.json",
            "[{\"op\":\"add\",\"path\":\"/a\",\"value\":1},\n  {\"op\":\"add\"}]",
        )
        .file("comma.json", "[\n {\"op\":\"remove\",\"path\":\"/a\"},\n]");
    sandbox
        .run(&["patch-diff", "--example", "--patch-file", "op.json"])
        .code(1)
        .says("op.json:2:3: error: CoCalc drops");
    sandbox
        .run(&["patch-diff", "--example", "--patch-file", "comma.json"])
        .code(1)
        .says("comma.json:3:1: error: CoCalc drops");
}

#[test]
fn no_secret_leaves_in_base64_in_a_made_patch_or_in_a_message() {
    let operations = json!([
        {"op": "add", "path": "/spec/containers/0/env/-", "value": {"name": "MY_KEY", "value": "hush-key"}},
        {"op": "replace", "path": "/spec/containers/0/env/0/value", "value": "hush-replaced"},
        {"op": "test", "path": "/spec/containers/0/env/0/value", "value": "hush-tested"},
    ]);
    let license = "0a000000-0000-4000-8000-000000000001";
    let project = "00000001-1111-4111-8111-111111111111";
    let site = json!({
        "template": {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "project-{project_id}", "annotations": {"copy": "x={extra_env}"}},
            "spec": {"containers": [{"name": "project", "image": "a", "env": [
                {"name": "API_TOKEN", "value": "hush-template"}, {"name": "OTHER", "value": "{extra_env}"},
                {"name": "COCALC_PROJECT_CONFIG", "value": "{project_config}"}]}]}},
        "site_licenses": [{"id": license, "activates": "2023-01-01", "quota": {"ram": 4, "patch": operations.to_string()}}],
        "projects": [{"project_id": project, "env": {"A_SECRET": "hush-project"}, "site_license": {license: {}}}],
    });
    let sandbox = Sandbox::new().file("site.json", &site.to_string());
    for output in ["diff", "json"] {
        let run = sandbox
            .run(&["patch-diff", "-f", "site.json", "-o", output])
            .code(1);
        let mut all = format!("{}{}", run.stdout, run.stderr);
        for digits in run
            .stdout
            .split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c)))
        {
            if let Ok(bytes) = STANDARD.decode(digits) {
                all.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        assert!(
            all.contains("memory_limit"),
            "the quota in {{project_config}} stays: {all}"
        );
        assert!(!all.contains("hush"), "{output}: {all}");
    }
}

/// The license "Admin" of the example, which its project does not hold.
const NOT_HELD: &str = "ad313a55-0c1b-4f5e-9d5e-2b7a6c1d4e8f";

#[test]
fn a_what_if_about_a_license_that_the_project_does_not_hold_is_an_error_for_one_project() {
    let sandbox = Sandbox::new();
    let what_if = ["--example", "--for-license", NOT_HELD, "-p", LABEL];
    for command in ["render", "patch-diff", "quota"] {
        let run = |more: &[&str]| sandbox.run(&[&[command], &what_if[..], more].concat());
        run(&[])
            .code(2)
            .prints_nothing()
            .says(&format!(
                "project {LAB}: it does not hold license {NOT_HELD}, so there is nothing that --for-license could change"
            ))
            .says(&format!("--add-license {NOT_HELD} gives it"));
        // Of many projects those that hold it are asked about.
        let all = run(&["--all"]);
        assert_ne!(all.code, 2, "{}", all.stderr);
        let added = run(&["--add-license", NOT_HELD]);
        assert_ne!(added.code, 2, "{}", added.stderr);
    }
    // Whose patch is made need not be held yet.
    let sandbox = sandbox.file("after.json", &rendered().to_string());
    sandbox
        .run(&[
            "patch-diff",
            "--example",
            "--after",
            "after.json",
            "--for-license",
            NOT_HELD,
        ])
        .code(0);
}

/// What `patch-diff --edit` gives with an editor that runs this `sed` script.
fn with_editor(sandbox: &Sandbox, sed: &str, args: &[&str]) -> Run {
    let script = sandbox.path().join("edit.sh");
    let text = format!("#!/bin/sh\ncp \"$1\" buffer.yaml\nsed -i '{sed}' \"$1\"\n");
    std::fs::write(&script, text).unwrap();
    let mut command = std::process::Command::new("env");
    command
        .arg(format!("KUBE_EDITOR=sh {}", script.display()))
        .arg(crate::support::PLUGIN)
        .args(["patch-diff", "--edit"])
        .args(args);
    sandbox.run_command(command, "")
}

/// Both patches of the example's project, in the order in which CoCalc applies them.
const STORAGE: &str = "5e0a9e17";
const PATCH1: &str = "f3d76abf";

#[test]
fn the_edit_of_a_license_starts_from_its_present_patch_and_gives_its_whole_new_text() {
    let sandbox = Sandbox::new();
    let edit = |license, sed: &str| {
        with_editor(
            &sandbox,
            sed,
            &["--example", "--for-license", license, "-o", "license"],
        )
    };
    // The last in the order.
    let run = edit(PATCH1, "s/mylabel: test123/mylabel: other/").code(0);
    assert_eq!(
        run.stdout,
        "[{\"op\":\"add\",\"path\":\"/metadata/labels/mylabel\",\"value\":\"other\"}]\n"
    );
    let buffer = std::fs::read_to_string(sandbox.path().join("buffer.yaml")).unwrap();
    assert!(buffer.contains("    mylabel: test123\n"), "{buffer}");
    assert!(
        buffer.contains("# The patch of license \"patch1\" f3d76abf is in the pod; what you save gives its whole new text.\n# Its present text:\n#   [{\"op\":\"add\""),
        "{buffer}"
    );
    // One with another behind it: what that one does is in the pod, and not in the text.
    let run = edit(STORAGE, "s/mountPath: \\/extra/mountPath: \\/more/").code(0);
    let made: Value = serde_json::from_str(&run.stdout).unwrap();
    let buffer = std::fs::read_to_string(sandbox.path().join("buffer.yaml")).unwrap();
    assert!(
        buffer.contains("mylabel: test123") && buffer.contains("mountPath: /extra"),
        "{buffer}"
    );
    assert!(!run.stdout.contains("mylabel"), "{}", run.stdout);
    let sandbox = sandbox.file("new.json", &made.to_string());
    let pod = sandbox
        .run(&[
            "render",
            "--example",
            "--for-license",
            STORAGE,
            "--patch-file",
            "new.json",
            "-o",
            "json",
        ])
        .code(0)
        .json();
    let mut wanted = rendered();
    for mount in wanted["spec"]["containers"][0]["volumeMounts"]
        .as_array_mut()
        .unwrap()
    {
        if mount["mountPath"] == "/extra" {
            mount["mountPath"] = json!("/more");
        }
    }
    assert_eq!(pod["spec"]["volumes"], wanted["spec"]["volumes"]);
    assert_eq!(
        pod["spec"]["containers"][0]["volumeMounts"],
        wanted["spec"]["containers"][0]["volumeMounts"]
    );
    assert_eq!(pod["metadata"]["labels"], wanted["metadata"]["labels"]);
}

#[test]
fn an_edit_that_changes_nothing_gives_no_text_that_would_erase_a_patch() {
    let sandbox = Sandbox::new();
    for (args, code) in [
        (&["--for-license", PATCH1, "-o", "license"][..], 1),
        (&["--for-license", PATCH1], 1),
        (&["-o", "license"], 1),
        (&[], 0),
    ] {
        with_editor(&sandbox, "", &[&["--example"], args].concat())
            .code(code)
            .prints_nothing()
            .says("Edit cancelled, no changes made.");
    }
}

#[test]
fn a_patch_that_fails_or_is_dropped_or_sleeps_can_be_mended_in_the_editor() {
    let site = |quota: Value, expires: Value| {
        json!({
            "template": serde_json::from_str::<Value>(include_str!("../data/example-template.json")).unwrap(),
            "server_settings": {"kucalc": "onprem"},
            "now": "2026-11-24T12:00:00Z",
            "site_licenses": [{"id": PATCHED, "title": "Lab", "activates": "2026-01-01T00:00:00Z", "expires": expires,
                "quota": quota}],
            "projects": [{"project_id": LAB, "title": "p", "site_license": {PATCHED: {}}, "compute_image": "u"}],
        })
    };
    let edit = |quota: Value, expires: Value, sed: &str| {
        let sandbox = Sandbox::new().file("site.json", &site(quota, expires).to_string());
        let image = ["--image", "registry.example/p:1", "--set", "extra_env="];
        let args = [
            &["-f", "site.json", "--for-license", PATCHED, "-o", "license"][..],
            &image,
        ]
        .concat();
        let run = with_editor(&sandbox, sed, &args);
        (
            run,
            std::fs::read_to_string(sandbox.path().join("buffer.yaml")).unwrap(),
        )
    };
    let add = json!({"op": "add", "path": "/metadata/labels/a", "value": "b"});
    // One that fails: what it does before that is in the pod.
    let failing = json!([add, {"op": "test", "path": "/kind", "value": "Job"}]);
    let (run, buffer) = edit(
        json!({"ram": 1, "patch": failing.to_string()}),
        Value::Null,
        "s/a: b/a: c/",
    );
    assert!(
        buffer.contains("# Its operation 2 fails, and is left out with all behind it: "),
        "{buffer}"
    );
    assert_eq!(
        run.code(0).stdout,
        "[{\"op\":\"add\",\"path\":\"/metadata/labels/a\",\"value\":\"c\"}]\n"
    );
    // One that CoCalc's check drops.
    let dropped = "[{\"op\": \"add\", \"value\": 1}]";
    let (run, buffer) = edit(
        json!({"ram": 1, "patch": dropped}),
        Value::Null,
        "s/run: project/run: project\\n    a: c/",
    );
    assert!(
        buffer.contains("# CoCalc drops it in silence, so nothing of it is here: operation 1 has no path"),
        "{buffer}"
    );
    assert!(buffer.contains(&format!("#   {dropped}\n")), "{buffer}");
    assert_eq!(
        run.code(0).stdout,
        "[{\"op\":\"add\",\"path\":\"/metadata/labels/a\",\"value\":\"c\"}]\n"
    );
    // One that is not applied at this time.
    let good = json!([add]).to_string();
    let (run, buffer) = edit(
        json!({"ram": 1, "patch": good}),
        json!("2026-02-01T00:00:00Z"),
        "s/a: b/a: c/",
    );
    assert!(buffer.contains("    a: b\n"), "{buffer}");
    assert_eq!(
        run.code(0).stdout,
        "[{\"op\":\"add\",\"path\":\"/metadata/labels/a\",\"value\":\"c\"}]\n"
    );
}

const PATCHED: &str = "aaaaaaaa-0c1b-4f5e-9d5e-2b7a6c1d4e8f";

#[test]
fn what_ifs_are_compared_with_the_pod_as_it_is_created_now() {
    let sandbox = Sandbox::new();
    let run = |args: &[&str]| sandbox.run(&[&["patch-diff", "--example"], args].concat());
    let dropped = run(&["--drop-license", PATCH1]).code(1);
    assert_eq!(
        dropped.stdout,
        format!(
            "--- project-{LAB}  now, with 2 licenses\n+++ project-{LAB}  what if: with 1 license\n@@ -4,7 +4,6 @@ \
             metadata.labels\n   annotations:\n     cocalc.example/network: outside\n   labels:\n-    mylabel: test123\n     \
             network: outside\n     project_id: {LAB}\n     project_tag: 20230110-1143\n"
        )
    );
    let patched = run(&["-p", LABEL]).code(1);
    patched
        .prints(&format!(
            "+++ project-{LAB}  what if: with 2 licenses, 1 what-if\n"
        ))
        .prints("-    mylabel: test123\n+    mylabel: x\n");
    // The quota shows in what CoCalc tells the project of it, too.
    run(&["--quota", r#"{"always_running": true}"#])
        .code(1)
        .prints("=COCALC_PROJECT_CONFIG\n");
    run(&["--for-license", PATCH1, "-p", LABEL])
        .code(1)
        .prints("what if: with 2 licenses\n")
        .prints("-    mylabel: test123\n+    mylabel: x\n");
    // Before any license starts.
    run(&["--at", "2020-01-01T00:00:00Z"]).code(1);
    run(&[]).code(1).prints("without license patches\n");
}

#[test]
fn an_odd_project_among_all_is_told_and_the_others_are_answered() {
    let template: Value = serde_json::from_str(include_str!("../data/example-template.json")).unwrap();
    let id = |n: usize| format!("{n}{n}{n}{n}{n}{n}{n}{n}-1111-4111-8111-111111111111");
    let license = |n: usize, patch: &Value| {
        json!({"id": format!("aaaaaaa{n}-0c1b-4f5e-9d5e-2b7a6c1d4e8f"), "title": format!("l{n}"),
               "activates": "2026-01-01T00:00:00Z", "quota": patch})
    };
    let project = |n: usize| {
        json!({"project_id": id(n), "title": "p", "compute_image": "u",
               "site_license": {format!("aaaaaaa{n}-0c1b-4f5e-9d5e-2b7a6c1d4e8f"): {}}})
    };
    let label = json!([{"op": "add", "path": "/metadata/labels/a", "value": "b"}]).to_string();
    let root = json!([{"op": "remove", "path": ""}]).to_string();
    let fails = json!([{"op": "test", "path": "/kind", "value": "Job"}]).to_string();
    let site = json!({
        "now": "2026-11-24T12:00:00Z", "template": template, "server_settings": {"kucalc": "onprem"},
        "site_licenses": [license(1, &json!({"patch": label})), license(2, &json!({"ram": "many"})),
                          license(3, &json!({"patch": root})), license(4, &json!({"patch": fails}))],
        "projects": [project(1), project(2), project(3), project(4), project(5)],
        "live_pods": [live(json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "project",
            "volumeMounts": []}], "volumes": []}, "metadata": {"name": format!("project-{}", id(1)),
            "labels": {"run": "project", "project_id": id(1)}}}))],
    });
    let moved = {
        let mut moved = template.clone();
        moved["spec"]["terminationGracePeriodSeconds"] = json!(7);
        moved.to_string()
    };
    let sandbox = Sandbox::new()
        .file("site.json", &site.to_string())
        .file("moved.json", &moved);
    let image = [
        "--image",
        "registry.example/p:1",
        "--set",
        "extra_env=",
        "-f",
        "site.json",
        "--all",
    ];
    let run = |args: &[&str]| sandbox.run(&[&["patch-diff"], &image[..], args].concat());
    for args in [
        &[][..],
        &["-o", "json"],
        &["-o", "patch"],
        &["--new-template", "moved.json"],
    ] {
        let run = run(args);
        assert_eq!(run.code, 2, "{args:?}: {}", run.stderr);
        run.says(&format!("(1 project: {})", id(2)))
            .says(&format!("(1 project: {})", id(4)));
    }
    run(&[]).prints("+    a: b\n").says("Test operation failed");
    let reports = run(&["-o", "json"]).json();
    let told: Vec<&Value> = reports
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["project_id"])
        .collect();
    assert_eq!(told, [&id(1), &id(3), &id(4), &id(5)]);
    // None of them runs.
    run(&["--live"])
        .code(2)
        .prints(&format!("--- project-{}  live\n", id(1)))
        .says(&format!(
            "it has no live pod in the sources (3 projects: {}, {}, {})",
            id(3),
            id(4),
            id(5)
        ));
}

#[test]
fn a_license_or_patch_is_not_made_of_the_templates_own_change() {
    let sandbox = Sandbox::new().file("same.json", include_str!("../data/example-template.json"));
    for output in ["patch", "license"] {
        sandbox
            .run(&[
                "patch-diff",
                "--example",
                "--new-template",
                "same.json",
                "-o",
                output,
            ])
            .code(2)
            .prints_nothing()
            .says("--new-template with -o patch or -o license goes with --edit");
    }
    let args = [
        "--example",
        "--new-template",
        "same.json",
        "--for-license",
        PATCH1,
        "-o",
        "license",
    ];
    let run = with_editor(&sandbox, "s/mylabel: test123/mylabel: new/", &args).code(0);
    assert_eq!(
        run.stdout,
        "[{\"op\":\"add\",\"path\":\"/metadata/labels/mylabel\",\"value\":\"new\"}]\n"
    );
}

#[test]
fn what_is_wrong_under_the_present_template_too_is_not_counted_for_the_new_one() {
    let template: Value = serde_json::from_str(include_str!("../data/example-template.json")).unwrap();
    let mut first = template.clone();
    first["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"name": "sidecar", "image": "s", "volumeMounts": []}));
    let mut bare = template.clone();
    bare["metadata"]["labels"].as_object_mut().unwrap().remove("run");
    let sandbox = Sandbox::new()
        .file("same.json", &template.to_string())
        .file("first.json", &first.to_string())
        .file("bare.json", &bare.to_string())
        .file("named.yaml", "assumptions: {project_container: project}\n");
    let run = |new: &str, patch: &str| {
        let args = [
            "patch-diff",
            "--example",
            "-f",
            "named.yaml",
            "--new-template",
            new,
            "-p",
            patch,
            "--fail-on",
            "error",
        ];
        sandbox.run(&args)
    };
    let unknown = r#"[{"op":"add","path":"/spec/containers/1/nam","value":"x"}]"#;
    run("same.json", unknown)
        .code(0)
        .says("not shown: the same as under the present template")
        .does_not_say("pod-unknown-field");
    let failing = r#"[{"op":"test","path":"/spec/hostNetwork","value":true}]"#;
    run("same.json", failing)
        .code(0)
        .says("CoCalc cannot make the pod, under the present template too: ");
    let new = r#"[{"op":"test","path":"/metadata/labels/run","value":"project"}]"#;
    run("bare.json", new)
        .code(1)
        .says("works with the present template and fails with the new one");
    // The same fault at another index.
    let faulty = |mut template: Value, at: usize| {
        template["spec"]["containers"][at]["imagePullPolicy"] = json!("never");
        template.to_string()
    };
    let sandbox = sandbox
        .file("faulty.json", &faulty(template, 0))
        .file("moved.json", &faulty(first, 1));
    let args = [
        "patch-diff",
        "--example",
        "-f",
        "faulty.json",
        "--new-template",
        "moved.json",
    ];
    let run = sandbox.run(&args);
    assert!(!run.stderr.contains("pod-unsupported-value"), "{}", run.stderr);
    let report = sandbox.run(&[&args[..], &["-o", "json"]].concat()).json();
    let findings = report["findings"].as_array().unwrap();
    let policy = findings
        .iter()
        .find(|found| found["rule"] == "pod-unsupported-value");
    assert_eq!(
        (&policy.unwrap()["present"], &policy.unwrap()["path"]),
        (&json!(true), &json!("/spec/containers/1/imagePullPolicy"))
    );
}

#[test]
fn a_hunk_names_every_operation_behind_it() {
    let patch = r#"[{"op":"add","path":"/metadata/labels/a","value":"1"},
        {"op":"replace","path":"/metadata/labels/a","value":"2"},
        {"op":"remove","path":"/metadata/annotations"},
        {"op":"add","path":"/metadata/labels/b","value":"3"}]"#;
    Sandbox::new()
        .run(&["patch-diff", "--example", "-p", patch])
        .code(1)
        .prints(" <- what-if op 3, what-if op 1, what-if op 2, what-if op 4\n");
}

#[test]
fn what_went_with_something_above_it_is_blamed_on_whoever_removed_that() {
    for patch in [
        r#"[{"op":"remove","path":"/metadata/labels"}]"#,
        r#"[{"op":"move","from":"/metadata/labels","path":"/metadata/annotations"}]"#,
    ] {
        Sandbox::new()
            .run(&["patch-diff", "--example", "-p", patch])
            .code(1)
            .says("error: metadata.labels.run: it was \"project\" and is gone: ")
            .says("would lose the pod (license \"what-if\" ffffffff, operation 1) [project-identity]");
    }
}
