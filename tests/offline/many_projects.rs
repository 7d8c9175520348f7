//! Many projects are rendered by sites that remember; each pod must be the one that a single render gives.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use kubectl_cocalc::{
    check::{Told, findings},
    pipeline::{Known, Site, Subject, View},
    snapshot::{self, Input, ReadOptions},
};
use serde_json::{Value, json};

fn license_id(i: usize) -> String {
    format!("{i:08x}-0000-4000-8000-000000000000")
}

/// Projects that share verdicts, and some that nearly do.
fn site() -> Value {
    let licenses: Vec<Value> = (0..12)
        .map(|i| {
            let mut quota = json!({"cpu": 1 + i % 3, "ram": 1 + i % 5, "member": i % 2 == 0, "ext_rw": i == 3});
            if i % 3 == 0 {
                let patch = json!([
                    {"op": "add", "path": format!("/metadata/labels/l{i}"), "value": "é\u{7f}"},
                    {"op": "add", "path": "/spec/volumes/-", "value": {"name": format!("v{i}"), "emptyDir": {}}},
                    {"op": "remove", "path": "/spec/containers/0/ports/0"},
                    {"op": "copy", "from": "/spec/volumes/0", "path": "/spec/volumes/-"},
                ]);
                quota["patch"] = Value::from(if i == 9 { "[{}]".to_owned() } else { patch.to_string() });
            }
            json!({"id": license_id(i), "title": format!("t{i}"), "activates": "2023-01-01T00:00:00Z",
                   "run_limit": if i == 5 { json!(2) } else { Value::Null }, "quota": quota})
        })
        .collect();
    let projects: Vec<Value> = (0..700)
        .map(|i| {
            let held: serde_json::Map<String, Value> =
                (0..i % 4).map(|k| (license_id((i * 5 + k * 3) % 13), json!({"status": "active"}))).collect();
            let users = if i % 9 == 0 {
                json!({format!("u{}", i % 3): {"group": "owner", "upgrades": {"memory": 100 * (i % 4)}}})
            } else {
                json!({format!("u{i}"): {"group": "owner"}})
            };
            json!({"project_id": format!("{i:08x}-1111-4111-8111-111111111111"), "users": users, "site_license": held,
                   "settings": if i % 7 == 0 { json!({"memory": 1500}) } else { Value::Null },
                   "env": {"N": format!("{i}")}, "state": {"state": if i % 5 == 0 { "running" } else { "opened" }}})
        })
        .collect();
    json!({
        "now": "2026-11-24T12:00:00Z",
        "server_settings": {"default_quotas": {"internet": true, "mem": 1000, "cpu": 1, "mem_oc": 5, "cpu_oc": 10}},
        "template": include_str!("../data/example-template.json"),
        "software": {"default": "u", "environments": {"u": {"tag": "t", "registry": "r.example/p"}}},
        "site_licenses": licenses,
        "projects": projects,
    })
}

#[test]
fn a_site_that_remembers_gives_the_same_pods_and_findings_as_one_that_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.json");
    std::fs::write(&file, site().to_string()).unwrap();
    let (snapshot, _) = snapshot::read_inputs(
        &[Input::File(file)],
        &mut std::io::empty(),
        &ReadOptions::default(),
    )
    .unwrap();
    let now = "2026-11-24T12:00:00Z".parse().unwrap();
    let plain = Site::new(&snapshot, now, View::default());
    let remembering = plain.separate();
    let mut told = Told::default();
    let mut failures = 0;
    for project in &snapshot.projects {
        let subject = Subject {
            project_id: &project.project_id,
            known: Known::Row(project),
            live_pod: None,
        };
        let (one, other) = (
            plain.render(subject).unwrap(),
            remembering.render(subject).unwrap(),
        );
        let text = |rendered: &kubectl_cocalc::pipeline::Rendered| {
            let mut text = Vec::new();
            rendered.pod.write_json(&mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(text(&one), text(&other), "{}", project.project_id);
        let value: Value = serde_json::from_str(&text(&one)).unwrap();
        assert_eq!(
            value,
            one.pod.to_value().unwrap(),
            "the quick writer and the value agree"
        );
        assert_eq!(one.failure, other.failure);
        assert_eq!(one.provenance(), other.provenance(), "{}", project.project_id);
        assert_eq!(
            findings(&plain, subject, &one),
            told.findings(&remembering, subject, &other)
        );
        failures += usize::from(one.failure.is_some());
    }
    assert_eq!(failures, 0);
}

#[test]
fn all_projects_at_once_are_each_project_alone() {
    let sandbox = crate::support::Sandbox::new().file("site.json", &site().to_string());
    let all = sandbox
        .run(&["render", "-f", "site.json", "--all", "-o", "jsonl"])
        .code(0);
    let lines: Vec<&str> = all.stdout.lines().collect();
    assert_eq!(lines.len(), 700);
    for i in [0, 1, 2, 128, 129, 300, 511, 699] {
        let id = format!("{i:08x}-1111-4111-8111-111111111111");
        let one = sandbox
            .run(&["render", "-f", "site.json", &id, "-o", "jsonl"])
            .code(0);
        assert_eq!(one.stdout.trim_end(), lines[i], "{id}");
    }
}
