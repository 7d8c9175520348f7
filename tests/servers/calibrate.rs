//! `patch-diff --live --calibrate` on pods that a real API server holds: made under some assumptions, created with
//! kubectl, so that defaults and admission are in them, and read back.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

use std::sync::atomic::{AtomicUsize, Ordering};

use kubectl_cocalc::{
    pipeline::{
        Known, Site, Subject, View,
        calibrate::{Calibration, calibrate},
    },
    snapshot::{self, Input, ReadOptions, Snapshot},
};
use serde_json::{Value, json};

use crate::support::{Run, Sandbox, api_server::common};

const IDS: [&str; 7] = [
    "11111111-1111-4111-8111-000000000001",
    "11111111-1111-4111-8111-000000000002",
    "11111111-1111-4111-8111-000000000003",
    "11111111-1111-4111-8111-000000000004",
    "11111111-1111-4111-8111-000000000005",
    "11111111-1111-4111-8111-000000000006",
    "11111111-1111-4111-8111-000000000007",
];
const BROKEN: &str = "11111111-1111-4111-8111-000000000008";

/// A site on whose projects each assumption shows: plain, large, writable software, GPU, dedicated VM, no network, and
/// a request above the limit. The template is the built-in example's.
fn site(assumptions: &Value, with_broken: bool) -> Value {
    let license = |n: u8, quota: Value| {
        json!({"id": format!("aaaaaaaa-0000-4000-8000-00000000000{n}"), "title": format!("l{n}"),
               "activates": "2023-01-20T16:37:12Z", "quota": quota})
    };
    let licenses = [
        license(1, json!({"ram": 16, "cpu": 4})),
        license(2, json!({"ram": 2, "ext_rw": true})),
        license(
            3,
            json!({"ram": 3, "gpu": {"num": 1, "nodeLabel": "gpu=a100", "toleration": "gpu=yes"}}),
        ),
        license(4, json!({"dedicated_vm": {"name": "vm1", "machine": "onprem"}})),
        // The second operation fails with validation only, the third one always.
        license(
            5,
            json!({"ram": 1, "patch": r#"[{"op":"add","path":"/metadata/labels/a","value":"1"},{"op":"replace","path":"/metadata/labels/b","value":"1"},{"op":"add","path":"/spec/none/x","value":1}]"#}),
        ),
    ];
    let project = |id: &str, settings: Value, license: Option<u8>| {
        let held: serde_json::Map<String, Value> = license
            .map(|n| (format!("aaaaaaaa-0000-4000-8000-00000000000{n}"), json!({})))
            .into_iter()
            .collect();
        json!({"project_id": id, "title": "t", "users": {}, "settings": settings, "site_license": held,
               "state": {"state": "running"}, "env": {"A": "1"}})
    };
    let mut projects = vec![
        project(IDS[0], Value::Null, None),
        project(IDS[1], Value::Null, Some(1)),
        project(IDS[2], Value::Null, Some(2)),
        project(IDS[3], Value::Null, Some(3)),
        project(IDS[4], Value::Null, Some(4)),
        project(IDS[5], json!({"disableInternet": true}), None),
        project(IDS[6], json!({"memory_request": 3000}), None),
    ];
    if with_broken {
        projects.push(project(BROKEN, Value::Null, Some(5)));
    }
    json!({
        "now": "2026-11-24T12:00:00Z",
        "server_settings": {
            "kucalc": "onprem",
            "default_quotas": {"internet": true, "idle_timeout": 3600, "mem": 1000, "cpu": 1, "mem_oc": 5, "cpu_oc": 10},
            "max_upgrades": {"memory": 16000, "cores": 4},
        },
        "template": snapshot::example().template.expect("the example's template").text,
        "software": {"default": "u", "environments": {"u": {"title": "U", "tag": "v1", "registry": "registry.example/p"}}},
        "assumptions": assumptions,
        "site_licenses": licenses,
        "projects": projects,
    })
}

fn read(site: &Value, live: &[Value]) -> Snapshot {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("site.json");
    std::fs::write(&file, site.to_string()).expect("a file");
    let (mut snapshot, _) = snapshot::read_inputs(
        &[Input::File(file)],
        &mut std::io::empty(),
        &ReadOptions::default(),
    )
    .expect("a site");
    snapshot.live_pods = live.to_vec();
    snapshot
}

fn subjects(snapshot: &Snapshot) -> Vec<Subject<'_>> {
    let live = |id: &str| {
        snapshot
            .live_pods
            .iter()
            .find(|pod| snapshot::project_id_of(pod) == Some(id))
    };
    snapshot
        .projects
        .iter()
        .map(|row| Subject {
            project_id: &row.project_id,
            known: Known::Row(row),
            live_pod: live(&row.project_id),
        })
        .collect()
}

fn site_of(snapshot: &Snapshot) -> Site {
    Site::new(
        snapshot,
        "2026-11-24T12:00:00Z".parse().expect("a time"),
        View::default(),
    )
}

/// The pods of a site as the API server stores them.
fn live_pods(site: &Value) -> Vec<Value> {
    live_pods_of(std::slice::from_ref(site)).remove(0)
}

/// The same of several sites, each in a namespace of its own.
fn live_pods_of(sites: &[Value]) -> Vec<Vec<Value>> {
    static NAMESPACES: AtomicUsize = AtomicUsize::new(0);
    let mut items = Vec::new();
    let mut namespaces = Vec::new();
    for site in sites {
        let namespace = format!("site-{}", NAMESPACES.fetch_add(1, Ordering::Relaxed));
        items.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}));
        items.push(json!({"apiVersion": "v1", "kind": "ServiceAccount",
                          "metadata": {"name": "default", "namespace": namespace}}));
        let snapshot = read(site, &[]);
        let rendering = site_of(&snapshot);
        for subject in subjects(&snapshot) {
            let mut pod = rendering
                .render(subject)
                .expect("a pod")
                .pod
                .to_value()
                .expect("a pod");
            pod["metadata"]["namespace"] = json!(namespace);
            items.push(pod);
        }
        namespaces.push((namespace, snapshot.projects.len()));
    }
    let server = common();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    server.kubectl_with_stdin(&["create", "-f", "-"], &list);
    let got = server.kubectl(&["get", "pods", "--all-namespaces", "-o", "json"]);
    let got: Value = serde_json::from_str(&got).expect("JSON");
    let got = got["items"].as_array().expect("items");
    let of = |(namespace, count): (String, usize)| {
        let own = got.iter().filter(|pod| pod["metadata"]["namespace"] == namespace);
        let pods: Vec<Value> = own.cloned().collect();
        assert_eq!(pods.len(), count);
        pods
    };
    namespaces.into_iter().map(of).collect()
}

fn calibrated(site: &Value, live: &[Value]) -> Calibration {
    let snapshot = read(site, live);
    let found = calibrate(&site_of(&snapshot), &subjects(&snapshot));
    assert!(found.errors.is_empty(), "{:?}", found.errors);
    found
}

/// For pods that were made under each of these truths, it must be found from the defaults.
fn finds(truths: &[Value]) {
    let sites: Vec<Value> = truths.iter().map(|truth| site(truth, false)).collect();
    for ((truth, own), live) in truths.iter().zip(&sites).zip(live_pods_of(&sites)) {
        let found = calibrated(&site(&json!({}), false), &live);
        let entries: serde_json::Map<String, Value> = found
            .entries
            .iter()
            .map(|entry| (entry.field.to_owned(), entry.value.clone()))
            .collect();
        assert_eq!(found.unexplained, [], "{truth}, found {entries:?}");
        assert_eq!(&Value::Object(entries), truth);
        // From the truth itself there is nothing to be changed.
        let again = calibrated(own, &live);
        assert!(again.entries.iter().all(|entry| !entry.changed), "{truth}");
        assert_eq!(again.unexplained, [], "{truth}");
    }
}

fn singles() -> Vec<(&'static str, Value)> {
    vec![
        ("memory_suffix", json!("M")),
        ("limit_below_request", json!("lower_request")),
        ("mem_request_adjustment", json!({"lim": 300, "pct": null})),
        ("mem_request_adjustment", json!({"lim": null, "pct": 10})),
        ("mem_request_adjustment", json!({"lim": 300, "pct": 12.5})),
        ("project_container", json!(1)),
        ("project_container", json!(2)),
        ("software_mount", json!("/secrets/secret-token")),
        ("network", Value::Null),
        ("network", json!({"label": "net", "on": "yes", "off": "no"})),
        (
            "network",
            json!({"annotation": "cocalc.example/network", "on": "outside", "off": "none"}),
        ),
        (
            "network",
            json!({"annotation": "cocalc.example/n", "on": "1", "off": "0"}),
        ),
        ("gpu", json!("replace")),
        ("dedicated_vm", json!({"key": "vm.example/name", "weight": 100})),
        ("dedicated_vm", json!({"key": "cocalc-dedicated_vm", "weight": 1})),
        ("dedicated_vm", json!({"key": "vm", "weight": 50})),
        (
            "project_config",
            json!({"datastore": {"enabled": true}, "n": [1, 2.5, "x"]}),
        ),
    ]
}

#[test]
fn each_assumption_is_found_in_running_pods() {
    let truths: Vec<Value> = singles()
        .iter()
        .map(|(field, value)| json!({*field: value}))
        .collect();
    finds(&truths);
}

#[test]
fn pairs_of_assumptions_are_found_in_running_pods() {
    let singles = singles();
    // Every fifth pair of different fields: each assumption comes several times.
    let pairs = (0..singles.len()).flat_map(|i| (i + 1..singles.len()).map(move |j| (i, j)));
    let truths: Vec<Value> = pairs
        .filter(|(i, j)| singles[*i].0 != singles[*j].0)
        .step_by(5)
        .map(|(i, j)| {
            let ((one, first), (other, second)) = (&singles[i], &singles[j]);
            json!({*one: first, *other: second})
        })
        .collect();
    assert!(truths.len() > 20);
    finds(&truths);
}

#[test]
fn many_assumptions_at_once_are_found() {
    finds(&[json!({
        "memory_suffix": "M", "mem_request_adjustment": {"lim": 500, "pct": 15}, "project_container": 1,
        "network": {"label": "net", "on": "yes", "off": "no"}, "gpu": "replace",
        "dedicated_vm": {"key": "vm", "weight": 50}, "project_config": {"a": 1},
    })]);
}

#[test]
fn nothing_is_changed_where_the_defaults_are_true() {
    finds(&[json!({})]);
}

#[test]
fn what_cocalc_does_with_a_failing_patch_is_found_from_a_pod_that_runs_all_the_same() {
    for truth in [
        json!({"on_patch_error": "unpatched"}),
        json!({"on_patch_error": "half"}),
        json!({"on_patch_error": "half", "validate_operation": true}),
    ] {
        let live = live_pods(&site(&truth, true));
        let found = calibrated(&site(&json!({}), true), &live);
        let entries: serde_json::Map<String, Value> = found
            .entries
            .iter()
            .map(|entry| (entry.field.to_owned(), entry.value.clone()))
            .collect();
        assert_eq!(Value::Object(entries), truth);
        assert_eq!(found.unexplained, []);
    }
}

#[test]
fn the_format_of_cpu_cannot_be_seen_in_a_live_pod() {
    let live = live_pods(&site(&json!({"cpu_format": "decimal"}), false));
    let found = calibrated(&site(&json!({}), false), &live);
    assert_eq!((found.entries, found.unexplained), (vec![], vec![]));
    let request = &live[0]["spec"]["containers"][0]["resources"]["requests"]["cpu"];
    assert_eq!(request, "100m");
}

#[test]
fn another_explanation_that_is_as_good_is_named() {
    let live = live_pods(&site(
        &json!({"mem_request_adjustment": {"lim": 100, "pct": null}}),
        false,
    ));
    let plain: Vec<Value> = live
        .into_iter()
        .filter(|pod| snapshot::project_id_of(pod) == Some(IDS[0]))
        .collect();
    let found = calibrated(&site(&json!({}), false), &plain);
    let entry = &found.entries[0];
    assert_eq!(
        (entry.field, &entry.value),
        ("mem_request_adjustment", &json!({"lim": 100, "pct": null}))
    );
    assert!(
        entry
            .as_well
            .contains(&"mem_request_adjustment: {pct: 10}".to_owned()),
        "{:?}",
        entry.as_well
    );
}

fn run(site: &Value, live: &[Value], args: &[&str]) -> Run {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": live});
    let sandbox = Sandbox::new()
        .file("site.json", &site.to_string())
        .file("live.json", &list.to_string());
    let sources = ["patch-diff", "-f", "site.json", "-f", "live.json", "--live"];
    sandbox.run(&[&sources, args].concat())
}

#[test]
fn a_live_pod_that_the_api_server_has_filled_in_does_not_differ_from_the_rendered_one() {
    let site = site(&json!({}), false);
    let run = run(&site, &live_pods(&site), &["--all"]).code(0);
    assert_eq!(run.stdout, "");
}

#[test]
fn what_is_printed_is_read_back_and_makes_the_pods_equal() {
    let truth = json!({"memory_suffix": "M", "network": {"label": "on", "on": "yes", "off": "no"},
                       "project_config": {"a": "#: x"}});
    let live = live_pods(&site(&truth, false));
    let printed = run(&site(&json!({}), false), &live, &["--calibrate", "--all"])
        .code(0)
        .prints("assumptions:\n")
        .prints("  memory_suffix: M\n")
        .prints(".resources.limits.memory: 1G in the live pod, 1000Mi in the rendered one\n")
        .silently();
    let mut without = site(&json!({}), false);
    without.as_object_mut().expect("a map").remove("assumptions");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": live});
    let sandbox = Sandbox::new()
        .file("site.json", &without.to_string())
        .file("live.json", &list.to_string())
        .file("assumptions.yaml", &printed.stdout);
    let sources = [
        "patch-diff",
        "-f",
        "site.json",
        "-f",
        "live.json",
        "-f",
        "assumptions.yaml",
        "--live",
        "--all",
    ];
    let run = sandbox.run(&sources).code(0);
    assert_eq!(run.stdout, "");
    let again = sandbox.run(&[&sources[..], &["--calibrate"]].concat()).code(0);
    assert_eq!(
        again.stdout.matches("  # as it was given\n").count(),
        3,
        "{}",
        again.stdout
    );
}

#[test]
fn what_no_assumption_explains_is_told_and_the_exit_code_is_one() {
    let mut live = live_pods(&site(&json!({"memory_suffix": "M"}), false));
    live[0]["metadata"]["labels"]["team"] = json!("bio");
    live[1]["spec"]["containers"][0]["env"][0]["value"] = json!("geheim");
    let args = ["--calibrate", "--all"];
    run(&site(&json!({}), false), &live, &args)
        .code(1)
        .prints("  memory_suffix: M\n")
        .says("warning: metadata.labels.team: bio in the live pod, nothing in the rendered one; no assumption explains it \
               [unexplained-difference] (1 project: 11111111-1111-4111-8111-000000000001)")
        .says("spec.containers[0].env[0].value: another value in the live pod")
        .does_not_say("geheim");
    run(
        &site(&json!({}), false),
        &live,
        &[&args[..], &["--show-secrets"]].concat(),
    )
    .code(1)
    .says("geheim");
    run(
        &site(&json!({}), false),
        &live,
        &[&args[..], &["--exit-zero"]].concat(),
    )
    .code(0);
}

#[test]
fn each_difference_that_an_assumption_would_remove_is_named_with_it() {
    let live = live_pods(&site(&json!({"memory_suffix": "M"}), false));
    run(&site(&json!({}), false), &live, &[IDS[1]])
        .code(1)
        .says("note: assumptions.memory_suffix: M would give 16G in spec.containers[0].resources.limits.memory, as the \
               live pod has [assumption]\n")
        .says("would give 3200M in spec.containers[0].resources.requests.memory, as the live pod has [assumption]\n");
    let live = live_pods(&site(
        &json!({"network": {"label": "net", "on": "yes", "off": "no"}}),
        false,
    ));
    run(&site(&json!({}), false), &live, &[IDS[5]]).says(
        "note: assumptions.network: {label: net, off: no, on: outside} would give no in metadata.labels.net",
    );
    // Here the label is as assumed, and the other one may be anybody's.
    run(&site(&json!({}), false), &live, &[IDS[1]])
        .code(1)
        .does_not_say("[assumption]");
}

#[test]
fn calibrate_needs_live_and_a_live_pod() {
    let site = site(&json!({}), false);
    run(&site, &[], &["--calibrate", "--all"])
        .code(2)
        .says("live pods come from the cluster unless -f gives them");
    Sandbox::new()
        .run(&["patch-diff", "--example", "--calibrate"])
        .code(2)
        .says("--live");
    run(&site, &[], &["--calibrate", "-o", "json"])
        .code(2)
        .says("cannot be used with");
}
