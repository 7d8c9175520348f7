//! `dry-run` against a real API server: verdicts, blame, kubectl's words, and that nothing is ever written.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{io::Read as _, sync::Once};

use crate::support::{
    LAB, Run, Sandbox,
    api_server::{ApiServer, NAMESPACE, common},
    shared::until,
};
use serde_json::{Value, json};

/// The common server, with a namespace that has a limit.
fn server() -> &'static ApiServer {
    static LIMITED: Once = Once::new();
    let server = common();
    LIMITED.call_once(|| {
        server.make_namespace("limited");
        server.kubectl_with_stdin(
            &["-n", "limited", "create", "-f", "-"],
            r#"{"apiVersion":"v1","kind":"LimitRange","metadata":{"name":"lr"},
                "spec":{"limits":[{"type":"Container","max":{"memory":"8Gi"}}]}}"#,
        );
        until("the limit is in force", || {
            let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":
                [{"name":"c","image":"i","resources":{"limits":{"memory":"9Gi"}}}]}}"#;
            let create = ["-n", "limited", "create", "--dry-run=server", "-f", "-"];
            !server.try_kubectl(&create, pod).status.success()
        });
    });
    server
}

fn run_in(namespace: &str, sandbox: &Sandbox, args: &[&str]) -> Run {
    let kubeconfig = server().kubeconfig().to_str().unwrap();
    let mut all = vec!["dry-run", "--kubeconfig", kubeconfig, "-n", namespace];
    all.extend(args);
    sandbox.run(&all)
}

fn run(args: &[&str]) -> Run {
    run_in(NAMESPACE, &Sandbox::new(), args)
}

fn report(args: &[&str]) -> Value {
    let mut all = vec!["--example", "--report", "json"];
    all.extend(args);
    run(&all).json()
}

#[test]
fn an_accepted_pod_is_told_in_kubectls_words() {
    run(&["--example", "--no-lookup"])
        .code(0)
        .prints(&format!("pod/project-{LAB} created (server dry run)\n"));
}

#[test]
fn what_will_keep_an_accepted_pod_from_running_is_a_concern_unless_it_is_left_out() {
    let claim = "spec.volumes[0].persistentVolumeClaim.claimName";
    run(&["--example"])
        .code(0)
        .prints(&format!(
            "pod/project-{LAB} accepted (server dry run), but it may not run\n"
        ))
        .says(&format!("warning: {claim}"))
        .says(
            "the pod will not start without it (license \"storage extra\" 5e0a9e17, operation 2) [concern]\n",
        );
    let concerned = run(&["--example", "--fail-on", "warning", "--report", "json"])
        .code(1)
        .json();
    assert_eq!(concerned["accepted"], true);
    assert_eq!(concerned["concerns"][0]["blame"][0]["by"], "template");
    run(&["--example", "--no-lookup", "--fail-on", "warning"])
        .code(1)
        .does_not_say(claim);
}

#[test]
fn the_picture_of_two_licenses_and_a_quota_value_is_drawn() {
    let run = run_in(
        "limited",
        &Sandbox::new(),
        &[
            "--example",
            "--add-license",
            "0b5e91c2-64d7-4a1f-b2c3-8e9f0a1b2c3d",
        ],
    )
    .code(1)
    .prints_nothing()
    .says(&format!(
        "The Pod \"project-{LAB}\" is invalid: \n* spec.volumes[7].name: Duplicate value: \"storage-extra\"\n"
    ))
    .says("\nhidden behind it, once the above is mended:\nError from server (Forbidden): pods ")
    .says("maximum memory usage per Container is 8Gi, but limit is 16000Mi")
    .says("\n3 problems, 2 causes, 4 requests\n")
    .says("\n1  license \"storage extra\" 5e0a9e17-3b8c-4d21-a6f0-91c27d84b35e\n   operation 1 of 2  add ")
    .says("\"/extra\" is taken by volumeMounts[6]:\n")
    .says("license \"storage extra read-only\" 0b5e91c2,\n")
    .says(
        "\n2  quota memory_limit = 16000 MB\n     licenses storage extra read-only 0b5e91c2 1000 + storage extra 5e0a9e17\n",
    )
    .says("16000Mi > 8Gi")
    .says("hint  lower max_upgrades.memory to what 8Gi allows, or raise the LimitRange");
    let words = run.stderr.find("3 problems").unwrap();
    let mut told = run.stderr[words..]
        .lines()
        .filter(|line| !line.starts_with("warning: "));
    let wide = told.find(|line| line.chars().count() > 80);
    assert_eq!(wide, None);
}

#[test]
fn blame_names_operation_place_and_the_rest_in_its_value() {
    let patch = r#"[{"op":"add","path":"/metadata/labels/a","value":"b"},
        {"op":"add","path":"/spec/volumes/0","value":{"name":"nfs","nfs":{"server":"s","path":"relative"}}}]"#;
    let report = report(&["-p", patch]);
    let refusal = &report["refusals"][0];
    assert_eq!(report["accepted"], false);
    assert_eq!(refusal["field"], "spec.volumes[0].nfs.path");
    let blame = &refusal["blame"][0];
    assert_eq!(
        json!([blame["operation"], blame["path"], blame["at"], blame["in_value"]]),
        json!([1, "/spec/volumes/0", "/spec/volumes/0/nfs/path", "/nfs/path"])
    );
    assert_eq!(report["refusals"].as_array().unwrap().len(), 1);
    assert_eq!(report["requests"], 2);
}

#[test]
fn what_a_standard_forbids_of_template_and_license_is_told_of_each() {
    let server = server();
    server.kubectl(&["create", "namespace", "strict"]);
    server.kubectl(&["-n", "strict", "create", "serviceaccount", "default"]);
    server.kubectl(&[
        "label",
        "namespace",
        "strict",
        "pod-security.kubernetes.io/enforce=restricted",
    ]);
    let patch = r#"[{"op":"add","path":"/spec/containers/-","value":
        {"name":"dind","image":"docker:dind","securityContext":{"privileged":true}}}]"#;
    let run = run_in("strict", &Sandbox::new(), &["--example", "-p", patch])
        .code(1)
        .says("violates PodSecurity \"restricted:latest\"")
        .says("1 problem, 1 cause, 3 requests\n")
        .says("license \"what-if\"")
        .says("together with the template:");
    let words = run.stderr.find("1 problem").unwrap();
    assert!(
        run.stderr[words..].contains("privileged (container \"dind\" must not set"),
        "{}",
        run.stderr
    );
    let args = ["--example", "-p", patch, "--report", "json"];
    let report = run_in("strict", &Sandbox::new(), &args).json();
    let blame = report["refusals"][0]["blame"].as_array().unwrap();
    let parties: Vec<&Value> = blame.iter().map(|party| &party["by"]).collect();
    assert_eq!(parties, ["license", "template"], "{report}");
    let says = |party: usize, text: &str| blame[party]["violations"].to_string().contains(text);
    assert!(says(0, "dind") && !says(0, "project"), "{report}");
    assert!(says(1, "project") && !says(1, "dind"), "{report}");
}

#[test]
fn a_policy_that_denies_the_bare_template_is_blamed_on_it() {
    let server = server();
    server.kubectl(&["create", "namespace", "bare"]);
    server.kubectl(&["-n", "bare", "create", "serviceaccount", "default"]);
    server.kubectl(&[
        "label",
        "namespace",
        "bare",
        "pod-security.kubernetes.io/enforce=restricted",
    ]);
    let args = ["--example", "--report", "json"];
    let report = run_in("bare", &Sandbox::new(), &args).code(1).json();
    let blame = report["refusals"][0]["blame"].as_array().unwrap();
    assert_eq!(
        (blame.len(), &blame[0]["by"]),
        (1, &json!("template")),
        "{report}"
    );
}

#[test]
fn mounts_of_a_refused_volume_are_no_problem_of_their_own() {
    let patch = r#"[{"op":"add","path":"/spec/volumes/-","value":{"name":"n","nfs":{"server":"s","path":"x"}}},
        {"op":"add","path":"/spec/containers/0/volumeMounts/-","value":{"name":"n","mountPath":"/n"}}]"#;
    let report = report(&["-p", patch]);
    let refusals = report["refusals"].as_array().unwrap();
    assert_eq!(refusals.len(), 1, "{report}");
    assert_eq!(refusals[0]["blame"][0]["operation"], 0);
}

#[test]
fn one_operation_among_twenty_is_found_where_the_server_names_no_field() {
    let mut operations: Vec<Value> = (0..20)
        .map(|i| json!({"op": "add", "path": format!("/metadata/labels/l{i}"), "value": "x"}))
        .collect();
    operations[12] =
        json!({"op": "add", "path": "/spec/containers/0/resources/limits/memory", "value": "8 GB"});
    let report = report(&["-p", &Value::from(operations).to_string()]);
    let refusal = &report["refusals"][0];
    assert_eq!(
        (&refusal["layer"], refusal.get("field")),
        (&json!("decode"), None)
    );
    assert_eq!(refusal["blame"][0]["operation"], 12);
}

#[test]
fn an_unknown_field_is_asked_about_as_cocalc_does_and_refused_under_strict_alone() {
    let patch = r#"[{"op":"add","path":"/spec/nodeSelecter","value":{}}]"#;
    let dropped = "error: spec.nodeSelecter: the server drops it: Kubernetes knows no field \"nodeSelecter\" here; did \
                   you mean nodeSelector? (license \"what-if\" ffffffff, operation 1) [pod-unknown-field]\n";
    run(&["--example", "--no-lookup", "-p", patch])
        .code(0)
        .prints(&format!(
            "pod/project-{LAB} accepted (server dry run), but the server drops spec.nodeSelecter\n"
        ))
        .says(dropped)
        .does_not_say("Warning:");
    run(&["--example", "-p", patch, "--fail-on", "error"]).code(1);
    for strict in ["--validate=strict", "--validate=true", "--validate"] {
        run(&["--example", "-p", patch, strict])
            .code(1)
            .says("strict decoding error: unknown field \"spec.nodeSelecter\"\n")
            .says("did you\n                       mean nodeSelector?")
            .does_not_say("drops");
    }
    for ignore in ["--validate=ignore", "--validate=false"] {
        run(&["--example", "-p", patch, ignore])
            .code(0)
            .says("error: spec.nodeSelecter: Kubernetes knows no field")
            .does_not_say("the server drops it");
    }
}

#[test]
fn what_cocalc_asks_the_server_to_do_with_unknown_fields_is_an_assumption() {
    let patch = r#"[{"op":"add","path":"/spec/nodeSelecter","value":{}}]"#;
    let asked = |assumed: &str, more: &[&str]| {
        let sandbox = Sandbox::new().file(
            "site.yaml",
            &format!("assumptions: {{field_validation: {assumed}}}\n"),
        );
        let mut args = vec![
            "--example",
            "-f",
            "site.yaml",
            "--no-lookup",
            "--report",
            "json",
            "-p",
            patch,
        ];
        args.extend(more);
        run_in(NAMESPACE, &sandbox, &args).json()
    };
    assert_eq!(asked("strict", &[])["accepted"], false);
    assert_eq!(asked("strict", &["--validate=warn"])["accepted"], true);
    assert_eq!(
        asked("warn", &[])["warnings"],
        json!(["unknown field \"spec.nodeSelecter\""])
    );
    assert_eq!(asked("ignore", &[])["warnings"], json!([]));
}

#[test]
fn whether_a_pod_is_accepted_without_its_misspelt_field_is_asked() {
    let mounts = "/spec/containers/0/volumeMounts/-";
    for (path, value, misspelt, refused) in [
        (
            mounts,
            json!({"name": "home", "mountpath": "/x"}),
            "mountpath",
            true,
        ),
        (
            "/spec/containers/-",
            json!({"name": "x", "imag": "i"}),
            "imag",
            true,
        ),
        (
            "/spec/volumes/-",
            json!({"name": "x", "persistentVolumeClaim": {"claimname": "c"}}),
            "claimname",
            true,
        ),
        (mounts, json!({"nam": "home", "mountPath": "/x"}), "nam", true),
        (
            "/spec/volumes/-",
            json!({"name": "x", "hostPath": {"pth": "/x"}}),
            "pth",
            true,
        ),
        (
            mounts,
            json!({"name": "home", "mountPath": "/x", "readonly": true}),
            "readonly",
            false,
        ),
        ("/spec/nodeSelecter", json!({"a": "b"}), "nodeSelecter", false),
    ] {
        let patch = json!([{"op": "add", "path": path, "value": value}]).to_string();
        let report = report(&["--no-lookup", "-p", &patch]);
        assert_eq!(report["accepted"], !refused, "{misspelt}: {report}");
        for refusal in report["refusals"].as_array().unwrap() {
            assert_eq!(refusal["layer"], "validation", "{misspelt}: {report}");
            assert_eq!(refusal["blame"][0]["by"], "license", "{misspelt}: {report}");
        }
        let findings = report["findings"].as_array().unwrap();
        let mut dropped = findings
            .iter()
            .filter(|found| found["rule"] == "pod-unknown-field");
        let found = dropped.next().unwrap();
        assert_eq!(dropped.next(), None, "{misspelt}");
        assert_eq!(
            json!([found["severity"], found["operation"], found["title"]]),
            json!(["error", 0, "what-if"])
        );
        let message = found["message"].as_str().unwrap();
        let said = format!("the server drops it: Kubernetes knows no field {misspelt:?} here; did you mean ");
        assert!(message.starts_with(&said), "{message}");
    }
}

#[test]
fn a_pod_that_cocalc_would_lose_is_not_reported_as_fine() {
    for (patch, field) in [
        (
            r#"[{"op":"replace","path":"/metadata/name","value":"x"}]"#,
            "metadata.name",
        ),
        (
            r#"[{"op":"remove","path":"/metadata/labels/run"}]"#,
            "metadata.labels.run",
        ),
        (
            r#"[{"op":"replace","path":"/metadata/labels/project_id","value":"x"}]"#,
            "metadata.labels.project_id",
        ),
        (
            r#"[{"op":"remove","path":"/metadata/name"},
                {"op":"add","path":"/metadata/generateName","value":"project-"}]"#,
            "metadata.name",
        ),
    ] {
        let lost =
            format!("pod/project-{LAB} accepted (server dry run), but CoCalc would lose it: {field}\n");
        for also in [&["--no-lookup"][..], &["--no-lookup", "-q"]] {
            let args = [&["--example", "-p", patch][..], also].concat();
            run(&args)
                .code(0)
                .prints(&lost)
                .says(&format!("error: {field}: it was "))
                .says(
                    ", and would lose the pod (license \"what-if\" ffffffff, operation 1) [project-identity]",
                );
        }
        run(&["--example", "-p", patch, "--fail-on", "error"]).code(1);
        run(&["--example", "--all", "--no-lookup", "-p", patch])
            .code(0)
            .prints(&lost)
            .says("1 accepted, 0 refused, 0 CoCalc cannot make; of the accepted 1 CoCalc would lose\n");
        let report = report(&["-p", patch]);
        let findings = report["findings"].as_array().unwrap();
        assert!(
            findings.iter().any(|found| found["rule"] == "project-identity"
                && found["path"] == format!("/{}", field.replace('.', "/"))),
            "{report}"
        );
    }
}

#[test]
fn dry_run_finds_what_patch_diff_finds() {
    let mut told = 0;
    for patch in [
        r#"[{"op":"add","path":"/spec/containers/0/volumeMounts/-","value":{"name":"home","mountpath":"/x"}}]"#,
        r#"[{"op":"replace","path":"/metadata/labels/run","value":"other"}]"#,
        r#"[{"op":"replace","path":"/spec/containers/0/resources/limits/memory","value":"2GB"}]"#,
        r#"[{"op":"add","path":"/spec/volumes/-","value":{"name":"home","emptyDir":{}}}]"#,
        r#"[{"op":"add"}]"#,
        r#"{"metadata":{"labels":{"a":"b"}}}"#,
        r#"[{"op":"test","path":"/spec/x","value":1}]"#,
        r#"[{"op":"remove","path":"/spec/nothing"}]"#,
    ] {
        let asked = report(&["-p", patch]);
        let sandbox = Sandbox::new();
        let compared = sandbox
            .run(&["patch-diff", "--example", "-o", "json", "-p", patch])
            .json();
        let rules = |findings: &Value| -> Vec<String> {
            let findings = findings.as_array().cloned().unwrap_or_default();
            let name = |found: &Value| format!("{} {}", found["rule"], found["severity"]);
            findings.iter().map(name).collect()
        };
        let mut of_patch_diff = rules(&compared["findings"]);
        for patch in compared["patches"].as_array().unwrap() {
            for operation in patch["operations"].as_array().into_iter().flatten() {
                of_patch_diff.extend(rules(&operation["findings"]));
            }
        }
        let of_dry_run = rules(&asked["findings"]);
        for rule in of_patch_diff {
            told += 1;
            assert!(
                of_dry_run.contains(&rule),
                "{patch}: {rule} is not in {of_dry_run:?}"
            );
        }
    }
    assert!(told > 16, "{told}");
}

#[test]
fn a_quantity_is_explained_where_the_server_only_says_that_it_is_none() {
    let patch = r#"[{"op":"replace","path":"/spec/containers/0/resources/limits/memory","value":"2GB"}]"#;
    let run = run(&["--example", "-p", patch])
        .code(1)
        .says("none; did you mean 2G?\n")
        .does_not_say("[pod-quantity]");
    assert_eq!(run.stderr.matches("is no quantity").count(), 1);
}

#[test]
fn findings_of_a_patch_file_name_line_and_column() {
    let sandbox = Sandbox::new().file(
        "patch.json",
        "[\n  {\"op\": \"add\", \"path\": \"/spec/containers/0/tty\", \"value\": true}\n]\n",
    );
    run_in(
        NAMESPACE,
        &sandbox,
        &["--example", "--patch-file", "patch.json"],
    )
    .says("patch.json:2:3: warning: license \"patch.json\" ffffffff, operation 1 of 1: /spec/containers/0 is whatever");
}

#[test]
fn layer_after_layer_is_told_in_one_run() {
    let patch = r#"[{"op":"add","path":"/spec/serviceAccountName","value":"nope"},
        {"op":"add","path":"/spec/priorityClassName","value":"nope"},
        {"op":"add","path":"/spec/bogus","value":1},
        {"op":"replace","path":"/spec/restartPolicy","value":"never"}]"#;
    let report = report(&["-p", patch, "--validate=strict"]);
    let guilty: Vec<&Value> = report["refusals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refusal| &refusal["blame"][0]["operation"])
        .collect();
    assert_eq!(guilty, [2, 0, 1, 3], "{report}");
}

#[test]
fn when_the_budget_ends_it_is_said() {
    let patch = r#"[{"op":"add","path":"/spec/serviceAccountName","value":"nope"}]"#;
    run(&["--example", "-p", patch, "--max-requests", "1"])
        .code(1)
        .says("1 problem, 1 cause, 1 request\n")
        .says("--max-requests 4 looks further");
}

#[test]
fn a_limit_below_the_quotas_request_is_blamed_on_the_operation_that_lowered_it() {
    let patch = r#"[{"op":"replace","path":"/spec/containers/0/resources/limits/memory","value":"1Mi"}]"#;
    let report = report(&["-p", patch]);
    assert_eq!(
        report["refusals"][0]["field"],
        "spec.containers[0].resources.requests"
    );
    let blame = report["refusals"][0]["blame"].as_array().unwrap();
    assert_eq!(
        (blame.len(), &blame[0]["by"], &blame[0]["operation"]),
        (1, &json!("license"), &json!(0))
    );
}

#[test]
fn a_fault_of_the_quota_is_said_to_be_one_with_its_calculation_that_names_every_license() {
    let run = run_in("limited", &Sandbox::new(), &["--example", "--report", "json"]).code(1);
    let blame = run.json()["refusals"][0]["blame"].clone();
    let quota = Sandbox::new()
        .run(&["quota", "--example", "-o", "json"])
        .code(0)
        .json();
    let calculation = quota["decided_by"]["memory_limit"].clone();
    assert_eq!(
        blame,
        json!([{"by": "quota", "field": "memory_limit", "path": "/spec/containers/0/resources/limits/memory",
                "at": "/spec/containers/0/resources/limits/memory",
                "source": {"by": "maximum", "id": "max_upgrades.memory", "how": "capped", "amount": 16000, "value": 16000},
                "calculation": calculation}])
    );
    let licenses = calculation
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["by"] == "license");
    assert_eq!(licenses.count(), 3);
    run_in("limited", &Sandbox::new(), &["--example", "--all"])
        .code(1)
        .says(
            "quota memory_limit = 16000 MB\n  16000Mi > 8Gi (licenses storage extra 5e0a9e17 1000 + big 77aa10b4 16000 +\n    \
             patch1 f3d76abf 1000 = 18000, capped by max_upgrades.memory 16000; above\n    default 1000)\n",
        );
}

#[test]
fn a_pod_that_cocalc_cannot_make_is_not_asked_about() {
    let report = report(&["-p", r#"[{"op":"test","path":"/kind","value":"Job"}]"#]);
    assert_eq!(
        json!([
            report["requests"],
            report["accepted"],
            report["cocalc_error"]["operation"]
        ]),
        json!([0, false, 0])
    );
}

#[test]
fn a_patch_under_review_that_cocalc_drops_is_an_error_although_the_pod_is_accepted() {
    run(&["--example", "--no-lookup", "-p", r#"[{"op":"add"}]"#])
        .code(1)
        .prints(&format!("pod/project-{LAB} created (server dry run)\n"))
        .says("error: CoCalc drops the whole patch of license \"what-if\"");
}

#[test]
fn a_pod_that_is_sent_although_a_patch_fails_is_asked_about() {
    let sandbox = Sandbox::new().file("site.yaml", "assumptions: {on_patch_error: unpatched}\n");
    let failing = r#"[{"op":"test","path":"/kind","value":"Job"}]"#;
    run_in(
        NAMESPACE,
        &sandbox,
        &["--example", "-f", "site.yaml", "-p", failing, "--no-lookup"],
    )
    .code(0)
    .prints(&format!("pod/project-{LAB} created (server dry run)\n"))
    .says("a patch fails, and the pod is sent without patches (assumptions.on_patch_error)");
}

#[test]
fn who_cannot_be_asked_gives_no_verdict() {
    let run = run_in(
        "no-such-namespace",
        &Sandbox::new(),
        &["--example", "--report", "json"],
    )
    .code(2);
    let report = run.json();
    assert_eq!(report["accepted"], Value::Null);
    assert!(
        report["error"]
            .as_str()
            .unwrap()
            .contains("namespaces \"no-such-namespace\" not found")
    );
}

#[test]
fn of_a_pod_that_exists_already_it_is_said_what_it_does() {
    let server = server();
    server.make_namespace("running");
    let sandbox = Sandbox::new();
    let pod = sandbox.run(&["render", "--example", "-o", "json"]).code(0).stdout;
    server.kubectl_with_stdin(&["-n", "running", "create", "-f", "-"], &pod);
    let says = |words: &str, status: Value| {
        run_in("running", &sandbox, &["--example", "--no-lookup"])
            .code(0)
            .prints(&format!("pod/project-{LAB} accepted (server dry run; {words})\n"));
        let args = ["--example", "--no-lookup", "--report", "json"];
        let report = run_in("running", &sandbox, &args).json();
        assert_eq!(
            json!([report["running"], report["status"]]),
            json!([status == "Running", status])
        );
    };
    says("it exists already and is Pending", json!("Pending"));
    let name = format!("project-{LAB}");
    let phase = r#"{"status":{"phase":"Running"}}"#;
    server.kubectl(&[
        "-n",
        "running",
        "patch",
        "pod",
        &name,
        "--subresource=status",
        "--type=merge",
        "-p",
        phase,
    ]);
    says("it is running now", json!("Running"));
    let shown = run_in("running", &sandbox, &["--example", "-o", "json"])
        .code(0)
        .json();
    assert_eq!(shown["metadata"]["name"], format!("project-{LAB}"));
}

#[test]
fn the_first_lines_of_a_refusal_are_what_kubectl_prints_for_the_same_pod() {
    for patch in [
        r#"[{"op":"add","path":"/spec/nodeSelecter","value":{}}]"#,
        r#"[{"op":"replace","path":"/spec/containers/0/resources/limits/memory","value":"8 GB"}]"#,
        r#"[{"op":"add","path":"/spec/serviceAccountName","value":"nope"}]"#,
        r#"[{"op":"replace","path":"/spec/restartPolicy","value":"never"},
            {"op":"add","path":"/spec/volumes/-","value":{"name":"home","emptyDir":{}}}]"#,
    ] {
        let sandbox = Sandbox::new();
        let pod = sandbox
            .run(&["render", "--example", "-o", "json", "-p", patch])
            .code(0)
            .stdout;
        let create = ["-n", NAMESPACE, "create", "--dry-run=server", "-f", "-"];
        let kubectl = String::from_utf8(server().try_kubectl(&create, &pod).stderr).unwrap();
        let kubectl = kubectl.replace("error when creating \"STDIN\": ", "");
        let refused = run(&["--example", "-p", patch, "--validate"]).code(1);
        let words: Vec<&str> = refused
            .stderr
            .lines()
            .skip_while(|line| line.starts_with("warning: "))
            .take(kubectl.lines().count())
            .collect();
        assert_eq!(words, kubectl.lines().collect::<Vec<_>>());
        assert_eq!(
            pod,
            sandbox
                .run(&["render", "--example", "-o", "json", "-p", patch])
                .stdout
        );
    }
}

#[test]
fn a_used_up_namespace_is_nobodys_fault() {
    let server = server();
    server.make_namespace("full");
    server.kubectl(&["-n", "full", "create", "quota", "rq", "--hard=pods=5"]);
    server.kubectl(&[
        "-n",
        "full",
        "patch",
        "resourcequota",
        "rq",
        "--subresource=status",
        "--type=merge",
        "-p",
        r#"{"status":{"hard":{"pods":"5"},"used":{"pods":"5"}}}"#,
    ]);
    until("the quota is in force", || {
        let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},
            "spec":{"containers":[{"name":"c","image":"i"}]}}"#;
        let refused = server.try_kubectl(&["-n", "full", "create", "--dry-run=server", "-f", "-"], pod);
        String::from_utf8_lossy(&refused.stderr).contains("exceeded quota")
    });
    let run = run_in("full", &Sandbox::new(), &["--example", "--report", "json"]).code(1);
    assert_eq!(run.json()["refusals"][0]["blame"], json!([{"by": "cluster"}]));
}

#[test]
fn two_operations_that_only_together_break_are_both_blamed() {
    let server = server();
    server.make_namespace("policed");
    server.kubectl_with_stdin(
        &["create", "-f", "-"],
        r#"{"apiVersion":"v1","kind":"List","items":[
            {"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicy","metadata":{"name":"not-both"},
             "spec":{"failurePolicy":"Fail",
               "matchConstraints":{"resourceRules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["pods"]}]},
               "validations":[{"expression":"!('a' in object.metadata.labels && 'b' in object.metadata.labels)","message":"not both"}]}},
            {"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicyBinding","metadata":{"name":"not-both"},
             "spec":{"policyName":"not-both","validationActions":["Deny"],
               "matchResources":{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"policed"}}}}}]}"#,
    );
    let patch = r#"[{"op":"add","path":"/metadata/labels/a","value":"1"},
        {"op":"add","path":"/metadata/labels/c","value":"1"},
        {"op":"add","path":"/metadata/labels/b","value":"1"}]"#;
    until("the policy is in force", || {
        let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"a":"1","b":"1"}},
            "spec":{"containers":[{"name":"c","image":"i"}]}}"#;
        let create = ["-n", "policed", "create", "--dry-run=server", "-f", "-"];
        !server.try_kubectl(&create, pod).status.success()
    });
    let args = ["--example", "-p", patch, "--report", "json"];
    let report = run_in("policed", &Sandbox::new(), &args).json();
    let blame = report["refusals"][0]["blame"].as_array().unwrap();
    let guilty: Vec<&Value> = blame.iter().map(|blame| &blame["operation"]).collect();
    assert_eq!(guilty, [2, 0], "{report}");
    assert_eq!(report["refusals"][0]["layer"], "policy");
}

#[test]
fn the_stand_in_is_no_project_to_ask_about() {
    let sandbox = Sandbox::new().file(
        "template.json",
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{}}"#,
    );
    run_in(NAMESPACE, &sandbox, &["-f", "template.json"])
        .code(2)
        .says("there is no project to ask about");
}

#[test]
fn all_projects_end_with_their_sum() {
    run(&["--example", "--all"]).code(0).says("1 accepted");
}

#[test]
fn nothing_but_get_and_dry_runs_of_pods_reaches_the_server() {
    run(&["--example"]).code(0);
    until("the audit log has the requests", || {
        !server().requests().is_empty()
    });
    for event in server().requests() {
        let dry_run = event["requestURI"].as_str().unwrap().contains("dryRun=All");
        let allowed = match event["verb"].as_str().unwrap() {
            "get" | "list" => true,
            "create" => event["objectRef"]["resource"] == "pods" && dry_run,
            _ => false,
        };
        assert!(allowed, "{event}");
    }
}

/// A server that takes connections and says nothing.
#[cfg(unix)]
fn silent() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_with_130_and_one_word() {
    use std::process::{Command, Stdio};
    let (listener, url) = silent();
    let child = Command::new(crate::support::PLUGIN)
        .args(["dry-run", "--example", "--server", &url])
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    // It has asked.
    assert_ne!(connection.read(&mut [0; 16]).unwrap(), 0);
    let killed = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let output = child.wait_with_output().unwrap();
    drop(connection);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.ends_with("interrupted\n"), "{stderr}");
    assert!(output.stdout.is_empty());
}

#[cfg(unix)]
#[test]
fn a_silent_server_is_given_up_in_time() {
    let (_listener, url) = silent();
    Sandbox::new()
        .run(&[
            "dry-run",
            "--example",
            "--server",
            &url,
            "--request-timeout",
            "1s",
        ])
        .code(2)
        .prints_nothing()
        .says("Client.Timeout exceeded while awaiting headers");
}

#[cfg(unix)]
#[test]
fn a_credential_plugin_does_not_eat_the_patch_on_standard_input() {
    let credential = json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
                            "status": {"token": "not-a-token"}});
    let plugin = format!("cat >/dev/null; echo '{credential}'");
    let admin = std::fs::read_to_string(server().kubeconfig()).unwrap();
    let mut config: Value = serde_yaml::from_str(&admin).unwrap();
    config["users"][0]["user"] = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
        "args": ["-c", plugin], "interactiveMode": "IfAvailable"}});
    let sandbox = Sandbox::new().file("kubeconfig", &config.to_string());
    let args = [
        "dry-run",
        "--example",
        "--kubeconfig",
        "kubeconfig",
        "-n",
        NAMESPACE,
        "--patch-file",
        "-",
    ];
    sandbox
        .run_with_stdin(&args, r#"[{"op": "add"}]"#)
        .code(2)
        .says("error: You must be logged in to the server")
        .says("CoCalc drops the whole patch");
}
