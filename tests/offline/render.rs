//! `render` as its users run it: sources, selection, outputs, what-if, exit codes.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use crate::support::{LAB, Sandbox};
use serde_json::{Value, json};

const TEMPLATE: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"project-{project_id}","labels":{"run":"project","network":"x"}},
"spec":{"containers":[{"name":"project","image":"{PROJECT_IMAGE}:{PROJECT_TAG}","args":["a"],"volumeMounts":[{"name":"software","mountPath":"/ext","readOnly":true}]}],"volumes":[{"name":"software","emptyDir":{}}]}}"#;

const A: &str = "0a000000-0000-4000-8000-000000000001";
const B: &str = "0b000000-0000-4000-8000-000000000002";

fn uuid(n: u32) -> String {
    format!("{n:08x}-1111-4111-8111-111111111111")
}

/// A site with these licenses and one project that holds them all.
fn site(licenses: &Value) -> String {
    let held: serde_json::Map<String, Value> = licenses
        .as_array()
        .unwrap()
        .iter()
        .map(|license| (license["id"].as_str().unwrap().to_owned(), json!({})))
        .collect();
    json!({
        "now": "2026-11-24T12:00:00Z",
        "server_settings": {"default_quotas": {"internet": true, "mem": 1000, "cpu": 1}},
        "template": TEMPLATE,
        "software": {"default": "u", "environments": {"u": {"tag": "t1", "registry": "r.example/p"}}},
        "site_licenses": licenses,
        "projects": [{"project_id": uuid(1), "title": "one", "site_license": held}],
    })
    .to_string()
}

fn license(id: &str, title: &str, quota: &Value) -> Value {
    json!({"id": id, "title": title, "activates": "2023-01-01T00:00:00Z", "quota": quota})
}

fn patch(operations: &Value) -> Value {
    json!({"patch": operations.to_string()})
}

fn render(site: &str, args: &[&str]) -> crate::support::Run {
    let sandbox = Sandbox::new().file("site.json", site);
    sandbox.run(&[&["render", "-f", "site.json"], args].concat())
}

#[test]
fn the_example_renders_without_a_cluster_and_without_a_kubeconfig() {
    let pod = Sandbox::new()
        .run(&["render", "--example", "-o", "json"])
        .code(0)
        .json();
    assert_eq!(pod["metadata"]["name"], format!("project-{LAB}"));
    assert_eq!(pod["metadata"]["labels"]["mylabel"], "test123");
    assert_eq!(
        pod["spec"]["containers"][0]["image"],
        "registry.example/cocalc/project:20230110-1143"
    );
    assert_eq!(
        pod["spec"]["containers"][0]["resources"]["limits"]["memory"],
        "16000Mi"
    );
}

#[test]
fn a_configmap_is_piped_in_from_kubectl() {
    let config_map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "project-pod", "namespace": "cocalc"},
        "data": {"project.json": TEMPLATE},
    });
    let mut site: Value = serde_json::from_str(&site(&json!([]))).unwrap();
    site.as_object_mut().unwrap().remove("template");
    let run = Sandbox::new()
        .file("site.yaml", &site.to_string())
        .run_with_stdin(
            &["render", "-f", "-", "-f", "site.yaml", &uuid(1), "--explain"],
            &config_map.to_string(),
        )
        .code(0)
        .prints("# template     ConfigMap cocalc/project-pod; its fields carry no mark");
    assert!(run.stdout.contains("image: r.example/p:t1"), "{}", run.stdout);
}

#[test]
fn two_sources_cannot_both_read_standard_input() {
    Sandbox::new()
        .run(&["render", "-f", "-", "--patch-file", "-"])
        .code(2)
        .says("--filename - and --patch-file - cannot both read standard input");
    Sandbox::new()
        .run(&["render", "-f", "-", "-f", "-"])
        .code(2)
        .says("standard input");
}

#[test]
fn without_a_template_it_says_where_to_get_one() {
    Sandbox::new()
        .run(&["render"])
        .code(2)
        .says("error: Missing or incomplete configuration info")
        .says("hint: the template comes from the cluster unless -f or --example gives one")
        .prints_nothing();
    Sandbox::new()
        .run(&["render", "--offline"])
        .code(2)
        .says("error: there is no template to render")
        .says("hint: --offline forbids to ask the cluster")
        .prints_nothing();
}

#[test]
fn a_template_alone_is_rendered_for_a_stand_in() {
    let run = Sandbox::new()
        .file("pod.json", TEMPLATE)
        .run(&["render", "-f", "pod.json", "-o", "json"])
        .code(0)
        .says("licenses were not looked at")
        .says("{PROJECT_IMAGE}, {PROJECT_TAG}, {project_id} stay as they are");
    assert_eq!(
        run.json()["spec"]["containers"][0]["image"],
        "{PROJECT_IMAGE}:{PROJECT_TAG}"
    );
    assert_eq!(
        run.json()["spec"]["containers"][0]["resources"],
        Value::Null,
        "resources stay as they were"
    );
}

#[test]
fn a_project_that_no_source_knows_is_an_error_unless_it_is_said_to_have_no_licenses() {
    let site = site(&json!([]));
    render(&site, &[&uuid(9)])
        .code(2)
        .says(&format!("no project {} in the files given with -f", uuid(9)))
        .says("hint: --unknown-project takes it as a project without licenses");
    let pod = render(&site, &[&uuid(9), "--unknown-project", "-o", "json"])
        .code(0)
        .json();
    assert_eq!(pod["metadata"]["name"], format!("project-{}", uuid(9)));
    assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"]["cpu"], "1");
}

#[test]
fn several_projects_need_a_choice() {
    let mut site: Value = serde_json::from_str(&site(&json!([]))).unwrap();
    let rows: Vec<Value> = (0..12)
        .map(|n| json!({"project_id": uuid(n), "title": format!("title {n}")}))
        .collect();
    site["projects"] = rows.into();
    let run = render(&site.to_string(), &[])
        .code(2)
        .says("the sources hold 12 projects; name one, or --all:");
    assert!(
        run.stderr.contains("title 9") && !run.stderr.contains("title 10"),
        "{}",
        run.stderr
    );
    let site = site.to_string();
    let names = render(&site, &["--all", "-o", "name"]).code(0);
    assert_eq!(names.stdout.lines().count(), 12);
    let list = render(&site, &["--all", "-o", "json"]).code(0).json();
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("List"), &json!("v1"))
    );
    assert_eq!(list["items"].as_array().unwrap().len(), 12);
    let lines = render(&site, &["--all", "-o", "jsonl"]).code(0);
    for (n, line) in lines.stdout.lines().enumerate() {
        let pod: Value = serde_json::from_str(line).unwrap();
        assert_eq!(pod, list["items"][n], "the same pod, in the same order");
    }
    let yaml = render(&site, &["--all"]).code(0);
    assert_eq!(yaml.stdout.matches("\n---\n").count(), 11);
}

#[test]
fn the_same_project_named_twice_is_rendered_once() {
    let site = site(&json!([]));
    let run = render(
        &site,
        &[&uuid(1), &format!("pod/project-{}", uuid(1)), "-o", "name"],
    )
    .code(0);
    assert_eq!(run.stdout, format!("pod/project-{}\n", uuid(1)));
}

#[test]
fn projects_with_a_license_are_found_by_the_beginning_of_its_id() {
    let site = site(&json!([license(A, "one", &json!({"ram": 2}))]));
    render(&site, &["--with-license", "0a0000", "-o", "name"])
        .code(0)
        .prints(&uuid(1));
    render(&site, &["--with-license", "0a000", "-o", "name"])
        .code(2)
        .says("at least 6 characters");
    render(&site, &["--with-license", "0c0000", "-o", "name"])
        .code(2)
        .says("no source has a license of this id");
}

#[test]
fn an_ambiguous_beginning_names_two_candidates() {
    let site = site(&json!([
        license(A, "", &json!({})),
        license("0a000000-0000-4000-8000-000000000009", "", &json!({}))
    ]));
    render(&site, &["--drop-license", "0a000000"])
        .code(2)
        .says("is ambiguous")
        .says(A);
}

#[test]
fn patches_apply_in_the_order_of_the_license_ids() {
    let site = site(&json!([
        license(
            B,
            "second",
            &patch(&json!([{"op": "add", "path": "/spec/containers/0/args/-", "value": "B"}]))
        ),
        license(
            A,
            "first",
            &patch(&json!([{"op": "add", "path": "/spec/containers/0/args/-", "value": "A"}]))
        ),
    ]));
    let pod = render(&site, &["-o", "json"]).code(0).json();
    assert_eq!(pod["spec"]["containers"][0]["args"], json!(["a", "A", "B"]));
}

#[test]
fn a_patch_that_fails_names_license_operation_and_error_and_prints_no_pod() {
    let site = site(&json!([license(
        A,
        "Lab",
        &patch(&json!([
            {"op": "add", "path": "/metadata/labels/x", "value": "y"},
            {"op": "add", "path": "/spec/tolerations/-", "value": {}},
        ]))
    )]));
    render(&site, &[])
        .code(1)
        .prints_nothing()
        .says("CoCalc cannot make the pod: license \"Lab\" 0a000000, operation 2 of 2 (add /spec/tolerations/-): TypeError");
    let half = render(&site, &["--keep-going", "-o", "json"]).code(1).json();
    assert_eq!(half["metadata"]["labels"]["x"], "y", "the half-done pod");
}

#[test]
fn the_assumption_about_failing_patches_decides_what_is_sent() {
    let mut value: Value = serde_json::from_str(&site(&json!([license(
        A,
        "Lab",
        &patch(&json!([
            {"op": "add", "path": "/metadata/labels/x", "value": "y"},
            {"op": "test", "path": "/metadata/name", "value": "z"},
        ]))
    )])))
    .unwrap();
    value["assumptions"] = json!({"on_patch_error": "unpatched"});
    let pod = render(&value.to_string(), &["-o", "json"])
        .code(0)
        .says("TEST_OPERATION_FAILED")
        .json();
    assert_eq!(pod["metadata"]["labels"]["x"], Value::Null);
    value["assumptions"] = json!({"on_patch_error": "half"});
    let pod = render(&value.to_string(), &["-o", "json"])
        .code(0)
        .says("half-patched")
        .json();
    assert_eq!(pod["metadata"]["labels"]["x"], "y");
    render(&value.to_string(), &["--fail-on", "error"]).code(1);
}

#[test]
fn a_patch_that_the_gate_drops_is_told_with_the_element_to_blame() {
    let site = site(&json!([license(
        A,
        "Lab",
        &patch(&json!([
            {"op": "add", "path": "/metadata/labels/x", "value": "y"}, {"op": "add"},
        ]))
    )]));
    let run = render(&site, &["-o", "json"])
        .code(0)
        .says("CoCalc drops the whole patch of license \"Lab\" 0a000000 in silence: operation 2 has no path [patch-dropped]");
    assert_eq!(run.json()["metadata"]["labels"]["x"], Value::Null);
}

#[test]
fn a_what_if_patch_that_the_gate_drops_is_an_error() {
    let site = site(&json!([]));
    render(&site, &["-p", r#"[{"op":"merge","path":"/x"}]"#, "-o", "name"])
        .code(1)
        .says("error: ")
        .says("operation 1");
    render(
        &site,
        &["-p", r#"[{"op":"add","path":"/x","value":1},]"#, "-o", "name"],
    )
    .code(1)
    .says("is no JSON");
}

#[test]
fn what_if_a_license_had_another_patch() {
    let site = site(&json!([
        license(
            A,
            "first",
            &patch(&json!([{"op": "add", "path": "/spec/containers/0/args/-", "value": "A"}]))
        ),
        license(
            B,
            "second",
            &patch(&json!([{"op": "add", "path": "/spec/containers/0/args/-", "value": "B"}]))
        ),
    ]));
    let args = |args: &[&str]| {
        render(&site, &[&["-o", "json"], args].concat()).code(0).json()["spec"]["containers"][0]["args"]
            .clone()
    };
    let new = r#"[{"op":"add","path":"/spec/containers/0/args/-","value":"N"}]"#;
    assert_eq!(
        args(&["-p", new]),
        json!(["a", "A", "B", "N"]),
        "an extra license comes last"
    );
    assert_eq!(
        args(&["-p", new, "--for-license", "0a0000"]),
        json!(["a", "N", "B"]),
        "at its place"
    );
    assert_eq!(args(&["--drop-license", "0a0000"]), json!(["a", "B"]));
    render(&site, &["--drop-license", A, "--add-license", A])
        .code(2)
        .says("cannot be both dropped and added");
    let fresh = "05000000-0000-4000-8000-000000000005";
    assert_eq!(
        args(&["-p", new, "--for-license", fresh]),
        json!(["a", "N", "A", "B"]),
        "a new license by id"
    );
    render(&site, &["--add-license", fresh])
        .code(2)
        .says("no source has a license of this id");
    render(&site, &["--for-license", A])
        .code(2)
        .says("--for-license goes with --patch");
}

#[test]
fn a_yaml_patch_is_read_and_said_to_be_none_for_the_field() {
    let site = site(&json!([]));
    let run = render(
        &site,
        &[
            "-p",
            "- op: add\n  path: /metadata/labels/a\n  value: b\n",
            "-o",
            "json",
        ],
    )
    .code(0)
    .says("[yaml-patch]");
    assert_eq!(run.json()["metadata"]["labels"]["a"], "b");
}

#[test]
fn a_patch_file_names_itself_in_the_explanation() {
    Sandbox::new()
        .file("site.json", &site(&json!([])))
        .file(
            "label.json",
            r#"[{"op":"add","path":"/metadata/labels/a","value":"b"}]"#,
        )
        .run(&[
            "render",
            "-f",
            "site.json",
            "--patch-file",
            "label.json",
            "--explain",
        ])
        .code(0)
        .prints("    a: b                                # label.json op 1 of 1: add");
    Sandbox::new()
        .run(&["render", "--example", "--patch-file", "gone.json"])
        .code(2)
        .says("gone.json");
}

#[test]
fn licenses_that_do_nothing_say_why() {
    let mut expired = license(A, "old", &json!({"ram": 4}));
    expired["expires"] = json!("2024-01-01T00:00:00Z");
    let mut future = license(B, "young", &json!({"ram": 4}));
    future["activates"] = json!("2027-01-01T00:00:00Z");
    let mut zero = license("0c000000-0000-4000-8000-000000000003", "zero", &json!({"ram": 4}));
    zero["run_limit"] = json!(0);
    let mut used = license("0d000000-0000-4000-8000-000000000004", "used", &json!({"ram": 4}));
    used["run_limit"] = json!(1);
    let nothing = license(
        "0e000000-0000-4000-8000-000000000005",
        "nothing",
        &json!({"ram": 1, "cpu": 1}),
    );
    let mut value: Value =
        serde_json::from_str(&site(&json!([expired, future, zero, used, nothing]))).unwrap();
    value["license_usage"] = json!({"0d000000-0000-4000-8000-000000000004": 1});
    value["projects"][0]["site_license"]["0f000000-0000-4000-8000-000000000006"] =
        json!({"quota": {"ram": 2}});
    let site = value.to_string();
    render(&site, &["-o", "name"])
        .code(0)
        .says("license \"old\" 0a000000 is expired: expired 2024-01-01T00:00:00Z [license-expired]")
        .says("license \"young\" 0b000000 is future: activates 2027-01-01T00:00:00Z [license-not-yet-active]")
        .says("license \"zero\" 0c000000 is exhausted: run limit 0: CoCalc treats it as used up [license-run-limit-zero]")
        .says("license \"used\" 0d000000 is exhausted: run limit 1, 1 other project runs with it [license-exhausted]")
        .says("license \"nothing\" 0e000000 is ineffective: changes nothing in the quota [license-ineffective]")
        .says("license 0f000000 is an orphan: no such license; the quota stored in the project stays in force");
    render(&site, &["-o", "name", "--at", "2023-06-01"])
        .code(0)
        .does_not_say("[license-expired]");
    render(&site, &["-o", "name", "--fail-on", "warning"]).code(1);
    render(&site, &["-o", "name", "--fail-on", "error"]).code(0);
}

#[test]
fn a_running_project_does_not_exhaust_its_own_license() {
    let mut limited = license(A, "one", &json!({"ram": 4}));
    limited["run_limit"] = json!(1);
    let mut value: Value = serde_json::from_str(&site(&json!([limited]))).unwrap();
    value["projects"][0]["site_license"][A] = json!({"quota": {"ram": 4}, "status": "active"});
    value["projects"][0]["state"] = json!({"state": "running"});
    render(&value.to_string(), &["-o", "name"])
        .code(0)
        .does_not_say("exhausted");
    value["projects"].as_array_mut().unwrap().push(json!({
        "project_id": uuid(2), "state": {"state": "running"},
        // CoCalc's own slip: an entry without a quota counts as usage too.
        "site_license": {A: {"status": "exhausted", "reason": "exhausted"}},
    }));
    render(&value.to_string(), &[&uuid(1), "-o", "name"])
        .code(0)
        .says("1 other project runs with it");
}

#[test]
fn all_patches_are_lost_to_a_dedicated_vm_and_a_disks_own_to_the_disk() {
    let label = json!([{"op": "add", "path": "/metadata/labels/x", "value": "y"}]).to_string();
    let site = site(&json!([license(
        A,
        "vm",
        &json!({"dedicated_vm": {"name": "vm1", "machine": "onprem"}, "cpu": 2, "ram": 4, "patch": label})
    ),]));
    let pod = render(&site, &["-o", "json"])
        .code(0)
        .says("the patch of license \"vm\" 0a000000 is lost: a dedicated VM is active")
        .json();
    assert_eq!(pod["spec"]["tolerations"][0]["key"], "cocalc-dedicated_vm");
    let terms = "/spec/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution/0";
    assert_eq!(pod.pointer(&format!("{terms}/weight")), Some(&json!(100)));
    let site = self::site(&json!([license(
        A,
        "disk",
        &json!({"dedicated_disk": {"size_gb": 1, "speed": "ssd"}, "patch": label})
    ),]));
    render(&site, &["-o", "name"])
        .code(0)
        .says("[patch-lost-dedicated-disk]");
}

#[test]
fn license_numbers_that_are_texts_are_refused() {
    let site = site(&json!([license(A, "x", &json!({"ram": "4"}))]));
    render(&site, &["-o", "name"])
        .code(2)
        .prints_nothing()
        .says(&format!(
            "project {}: license {A}: quota.ram is \"4\", not a number",
            uuid(1)
        ));
}

#[test]
fn of_many_projects_only_the_bad_one_is_left_out() {
    let mut value: Value =
        serde_json::from_str(&site(&json!([license(A, "x", &json!({"ram": "4"}))]))).unwrap();
    value["projects"]
        .as_array_mut()
        .unwrap()
        .push(json!({"project_id": uuid(2)}));
    let run = render(&value.to_string(), &["--all", "-o", "name"])
        .code(2)
        .says(&uuid(1));
    assert_eq!(run.stdout, format!("pod/project-{}\n", uuid(2)));
}

#[test]
fn stored_entries_are_taken_as_they_are_with_stored() {
    let mut value: Value =
        serde_json::from_str(&site(&json!([license(A, "x", &json!({"ram": 4}))]))).unwrap();
    value["projects"][0]["site_license"][A] = json!({"quota": {"ram": 2}, "status": "active"});
    let site = value.to_string();
    let memory = |args: &[&str]| {
        render(&site, &[&["-o", "json"], args].concat()).code(0).json()["spec"]["containers"][0]["resources"]
            ["limits"]["memory"]
            .clone()
    };
    assert_eq!(
        memory(&[]),
        "4000Mi",
        "the hook copies the license's present quota"
    );
    assert_eq!(memory(&["--stored"]), "2000Mi");
}

#[test]
fn values_come_from_set_then_from_the_database_then_from_the_live_pod() {
    let live = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("project-{}", uuid(7)), "uid": "u", "labels": {"run": "project"}},
        "spec": {"containers": [
            {"name": "injected", "image": "sidecar:1"},
            {"name": "project", "image": "registry:5000/lab/image:v9"},
        ]},
        "status": {"phase": "Running"},
    });
    let sandbox = Sandbox::new()
        .file("template.json", TEMPLATE)
        .file("live.json", &live.to_string());
    let image = |args: &[&str]| {
        let run = sandbox.run(
            &[
                &["render", "-f", "template.json", "-f", "live.json", "-o", "json"],
                args,
            ]
            .concat(),
        );
        run.code(0).json()["spec"]["containers"][0]["image"].clone()
    };
    assert_eq!(
        image(&[]),
        "registry:5000/lab/image:v9",
        "found by the container's name"
    );
    assert_eq!(image(&["--set", "PROJECT_TAG=v2"]), "registry:5000/lab/image:v2");
    assert_eq!(
        image(&["--image", "other.example:5000/x:1"]),
        "other.example:5000/x:1"
    );
}

#[test]
fn the_running_pods_own_quota_is_taken_where_licenses_are_unknown() {
    use base64::Engine as _;
    let quota = json!({"quota": {
        "network": false, "member_host": false, "privileged": false, "memory_request": 300, "cpu_request": 0.05,
        "disk_quota": 3000, "memory_limit": 2000, "cpu_limit": 2, "idle_timeout": 1800, "always_running": false,
        "dedicated_vm": false, "gpu": false, "dedicated_disks": [],
    }});
    let text = base64::engine::general_purpose::STANDARD.encode(quota.to_string());
    let template = TEMPLATE.replace(
        "\"args\"",
        "\"env\":[{\"name\":\"C\",\"value\":\"{project_config}\"}],\"args\"",
    );
    let live = json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": format!("project-{}", uuid(7)), "uid": "u", "labels": {"run": "project"}},
        "spec": {"containers": [{"name": "project", "image": "a:1", "env": [{"name": "C", "value": text}]}]},
    });
    let pod = Sandbox::new()
        .file("template.json", &template)
        .file("live.json", &live.to_string())
        .run(&["render", "-f", "template.json", "-f", "live.json", "-o", "json"])
        .code(0)
        .says("licenses were not looked at")
        .json();
    assert_eq!(
        pod["spec"]["containers"][0]["resources"]["limits"],
        json!({"cpu": "2", "memory": "2000Mi"})
    );
    assert_eq!(pod["metadata"]["labels"]["network"], "none");
}

#[test]
fn a_placeholder_without_a_value_names_fields_and_ways() {
    Sandbox::new()
        .file("template.json", TEMPLATE)
        .run(&["render", "-f", "template.json", &uuid(3)])
        .code(2)
        .says("the placeholder {PROJECT_IMAGE} has no value (needed for /spec/containers/0/image)")
        .says("--image NAME:TAG");
}

#[test]
fn wrong_values_of_placeholder_flags_are_refused() {
    let run = |args: &[&str]| {
        Sandbox::new()
            .run(&[&["render", "--example"], args].concat())
            .code(2)
    };
    run(&["--set", "HOME=x"])
        .says("the five are PROJECT_IMAGE, PROJECT_TAG, project_id, extra_env, project_config");
    run(&["--set", "PROJECT_TAG"]).says("is not PLACEHOLDER=VALUE");
    run(&["--image", "registry:5000/x"]).says("is not NAME:TAG");
    run(&["--image", "a:1", "--set", "PROJECT_TAG=2"])
        .says("{PROJECT_TAG} is given twice with different values");
    run(&["--set", "PROJECT_TAG=a\"b"]).says("the value of {PROJECT_TAG} breaks the JSON");
}

#[test]
fn a_misspelt_placeholder_is_told() {
    Sandbox::new()
        .file("t.json", &TEMPLATE.replace("\"a\"", "\"{PROJECT_ID}\""))
        .run(&["render", "-f", "t.json"])
        .code(0)
        .says(
            "{PROJECT_ID} in the template is no placeholder and stays as it is; did you mean {project_id}?",
        );
}

#[test]
fn assumptions_change_how_the_quota_meets_the_pod() {
    let gpu = json!({"num": 2, "toleration": "gpu=yes", "nodeLabel": "kind=a100"});
    let mut value: Value = serde_json::from_str(&site(&json!([license(
        A,
        "x",
        &json!({"cpu": 1.5, "ram": 2, "ext_rw": true, "gpu": gpu})
    )])))
    .unwrap();
    let pod = render(&value.to_string(), &["-o", "json"]).code(0).json();
    let container = &pod["spec"]["containers"][0];
    assert_eq!(
        container["resources"]["limits"],
        json!({"cpu": "1500m", "memory": "2000Mi", "nvidia.com/gpu": 2})
    );
    assert_eq!(container["volumeMounts"][0]["readOnly"], false);
    assert_eq!(pod["metadata"]["labels"]["network"], "outside");
    assert_eq!(pod["spec"]["nodeSelector"], json!({"kind": "a100"}));
    assert_eq!(pod["spec"]["tolerations"][0]["value"], "yes");
    value["assumptions"] = json!({
        "memory_suffix": "M", "cpu_format": "decimal", "project_container": "project",
        "network": {"annotation": "net", "on": "1", "off": "0"}, "software_mount": "/other",
        "mem_request_adjustment": {"lim": 100, "pct": null},
    });
    let run = render(&value.to_string(), &["-o", "json"])
        .code(0)
        .says("set assumptions.software_mount");
    let pod = run.json();
    let resources = &pod["spec"]["containers"][0]["resources"];
    assert_eq!(
        resources["limits"],
        json!({"cpu": "1.5", "memory": "2000M", "nvidia.com/gpu": 2})
    );
    assert_eq!(resources["requests"]["memory"], "100M");
    assert_eq!(pod["metadata"]["annotations"]["net"], "1");
    value["assumptions"] = json!({"project_container": "gone"});
    render(&value.to_string(), &["-o", "name"])
        .code(0)
        .says("the template has no container \"gone\"");
    value["assumptions"] = json!({"memory_sufix": "M"});
    render(&value.to_string(), &["-o", "name"])
        .code(2)
        .says("memory_sufix");
}

#[test]
fn the_explanation_shows_the_calculation_of_a_quota_value_with_all_its_licenses() {
    let site = site(&json!([
        license(A, "Lab", &json!({"ram": 3})),
        license(B, "big", &json!({"ram": 16})),
    ]));
    render(&site, &["--explain"])
        .code(0)
        .prints(
            "\n# quota        memory_limit = 16000 MB: licenses 0a000000 3000 + 0b000000 16000\n#              = 19000, \
             capped by max_upgrades.memory 16000 (built-in); above\n#              default 1000\n",
        )
        .prints("# quota memory_limit: 0a000000 + 0b000000, capped by built-in maximum of memory\n")
        .prints("# quota cpu_request: built-in minimum\n");
}

#[test]
fn the_explanation_in_json_names_every_writer() {
    let site = site(&json!([license(
        A,
        "Lab",
        &json!({"ram": 3, "patch": json!([
        {"op": "remove", "path": "/spec/containers/0/args"},
        {"op": "copy", "from": "/metadata/name", "path": "/metadata/labels/copy"},
        {"op": "add", "path": "/metadata/labels/mine", "value": "1"},
    ]).to_string()})
    )]));
    let report = render(&site, &["--explain", "-o", "json"]).code(0).json();
    let of = |path: &str| -> Vec<Value> {
        let list = report["provenance"].as_array().unwrap();
        list.iter()
            .filter(|entry| entry["path"] == path)
            .cloned()
            .collect()
    };
    assert_eq!(of("/kind"), [json!({"path": "/kind", "by": "template"})]);
    let image = of("/spec/containers/0/image");
    assert_eq!(image.len(), 2, "two placeholders, two entries");
    assert_eq!(image[0]["name"], "PROJECT_IMAGE");
    assert_eq!(image[1]["name"], "PROJECT_TAG");
    let memory = &of("/spec/containers/0/resources/limits/memory")[0];
    assert_eq!(
        (&memory["by"], &memory["field"]),
        (&json!("quota"), &json!("memory_limit"))
    );
    assert_eq!(
        memory["source"],
        json!({"by": "license", "id": A, "how": "base", "amount": 3000, "value": 3000})
    );
    assert_eq!(
        memory["calculation"],
        json!([memory["source"], {"by": "default", "id": "default_quotas.mem", "how": "compared", "amount": 1000, "value": 3000}])
    );
    assert_eq!(
        of("/metadata/labels/mine"),
        [
            json!({"path": "/metadata/labels/mine", "by": "license", "license": A, "title": "Lab", "operation": 2})
        ]
    );
    let copy = &of("/metadata/labels/copy")[0];
    assert_eq!(copy["operation"], 1);
    assert_eq!(copy["origin"], json!({"by": "placeholder", "name": "project_id"}));
    assert_eq!(of("/spec/containers/0/args")[0]["removed"], true);
    assert_eq!(report["pod"]["metadata"]["labels"]["mine"], "1");
}

#[test]
fn wrong_usage_ends_with_two_and_points_to_the_help() {
    let run = |args: &[&str]| Sandbox::new().run(args).code(2).prints_nothing();
    run(&["render", "--nope"])
        .says("unexpected argument '--nope'")
        .says("See 'kubectl cocalc render --help'");
    run(&["render", "-o", "xml"]).says("[possible values: yaml, json, jsonl, kyaml, name]");
    run(&["render", "--example", "x"]).says("\"x\" names no project");
    run(&["render", "-p", "[]", "--patch-file", "x"])
        .says("--patch <TEXT>")
        .says("--patch-file");
    run(&["render", "--stored", "--at", "2026-01-01"])
        .says("--stored")
        .says("--at");
    run(&["render", "--all", LAB]).says("--all");
    run(&["render", "--all", "--with-license", "abcdef"]).says("--with-license");
    run(&["render", "--example", "--at", "tomorrow"]).says("--at \"tomorrow\" is no time");
    run(&["render", "--example", "--explain", "-o", "kyaml"]).says("--explain goes with");
    run(&["render", "--all", "--offline"]).says("no template");
    run(&["nope"]).says("unrecognized subcommand 'nope'");
    run(&[]);
}

#[test]
fn control_characters_never_leave_raw_in_any_format() {
    let site = site(&json!([license(
        A,
        "evil \u{1b}[31m\u{9b}2J\u{7f}",
        &json!({"ram": 2, "patch": json!([
        {"op": "add", "path": "/metadata/labels/e\u{1b}[2J", "value": "\u{9b}1m\u{7f}\u{0}\u{202e}"},
        {"op": "remove", "path": "/metadata/labels/\u{1b}]0;x\u{7}"},
    ]).to_string()})
    )]));
    for format in ["yaml", "json", "jsonl", "kyaml", "name"] {
        let run = render(&site, &["-o", format]).code(0);
        for stream in [&run.stdout, &run.stderr] {
            let raw = stream.chars().find(|c| c.is_control() && !matches!(c, '\n'));
            assert_eq!(raw, None, "{format}: {stream:?}");
        }
    }
    for format in ["yaml", "json", "jsonl"] {
        let run = render(&site, &["-o", format, "--explain"]).code(0);
        assert!(
            !run.stdout.chars().any(|c| c.is_control() && c != '\n'),
            "{format}: {:?}",
            run.stdout
        );
    }
}

#[test]
fn half_a_surrogate_pair_in_the_pod_is_refused_by_name() {
    let operations = r#"[{"op":"add","path":"/metadata/labels/x","value":"\ud800"}]"#;
    let site = site(&json!([license(A, "Lab", &json!({"patch": operations}))]));
    render(&site, &[])
        .code(1)
        .prints_nothing()
        .says("/metadata/labels/x")
        .says("surrogate");
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let mut value: Value = serde_json::from_str(&site(&json!([]))).unwrap();
    let rows: Vec<Value> = (0..5000).map(|n| json!({"project_id": uuid(n)})).collect();
    value["projects"] = rows.into();
    let sandbox = Sandbox::new().file("site.json", &value.to_string());
    let mut shell = std::process::Command::new("bash");
    shell.args([
        "-c",
        "set -o pipefail; \"$0\" render -f site.json --all -o jsonl | head -n 1",
        crate::support::PLUGIN,
    ]);
    let run = sandbox.run_command(shell, "").code(0).silently();
    assert_eq!(run.stdout.lines().count(), 1);
}

#[test]
fn version_prints_the_version_of_the_crate() {
    let version = env!("CARGO_PKG_VERSION");
    Sandbox::new()
        .run(&["version"])
        .code(0)
        .prints(&format!("kubectl-cocalc v{version}\n"));
    let json = Sandbox::new().run(&["version", "-o", "json"]).code(0).json();
    assert_eq!(json["version"], format!("v{version}"));
    Sandbox::new().run(&["--version"]).code(0).prints(version);
}
