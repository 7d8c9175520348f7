//! Findings about licenses, templates and placeholders: each fires where it should and nowhere else.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failure here is a failed test"
)]

use crate::support::{LAB, Sandbox};
use kubectl_cocalc::{
    check::{findings, template_findings},
    json,
    pipeline::{
        Known, STAND_IN, Site, Subject, View,
        what_if::{PatchText, WhatIf},
    },
    snapshot::{Input, ReadOptions, read_inputs},
};
use serde_json::{Value, json};

const A: &str = "0a000000-0000-4000-8000-000000000001";
const B: &str = "0b000000-0000-4000-8000-000000000002";
const PATCH: &str = r#"[{"op":"add","path":"/metadata/labels/x","value":"y"}]"#;

const TEMPLATE: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"project-{project_id}","labels":{"run":"project","network":"x"}},
"spec":{"containers":[{"name":"project","image":"{PROJECT_IMAGE}:{PROJECT_TAG}","volumeMounts":[{"name":"s","mountPath":"/ext","readOnly":true}]}]}}"#;

fn license(id: &str, quota: &Value) -> Value {
    json!({"id": id, "title": "t", "activates": "2023-01-01T00:00:00Z", "quota": quota})
}

/// The rules that fire for the one project of a site with this template, these rows and these held licenses.
fn rules(template: &str, rows: &Value, held: &Value, view: View) -> Vec<&'static str> {
    let site = json!({
        "now": "2026-11-24T12:00:00Z",
        "server_settings": {"default_quotas": {"internet": true, "mem": 1000, "cpu": 1}},
        "template": template,
        "software": {"default": "u", "environments": {"u": {"tag": "t1", "registry": "r.example/p"}}},
        "site_licenses": rows,
        "projects": [{"project_id": LAB, "site_license": held}],
    });
    let text = site.to_string();
    let (snapshot, _) = read_inputs(&[Input::Stdin], &mut text.as_bytes(), &ReadOptions::default()).unwrap();
    let site = Site::new(&snapshot, "2026-11-24T12:00:00Z".parse().unwrap(), view);
    let project = &snapshot.projects[0];
    let subject = Subject {
        project_id: LAB,
        known: Known::Row(project),
        live_pod: None,
    };
    let rendered = site.render(subject).unwrap();
    let mut found = findings(&site, subject, &rendered);
    found.extend(site.template().map(template_findings).unwrap_or_default());
    found.into_iter().map(|finding| finding.rule).collect()
}

fn held(rows: &Value, held: &Value) -> Vec<&'static str> {
    rules(TEMPLATE, rows, held, View::default())
}

#[test]
fn a_good_license_gives_no_finding() {
    assert_eq!(
        held(
            &json!([license(A, &json!({"ram": 4, "patch": PATCH}))]),
            &json!({A: {}})
        ),
        [""; 0]
    );
}

#[test]
fn a_license_without_a_row_is_an_orphan_and_a_key_that_is_no_uuid_is_told() {
    let stored = json!({A: {"quota": {"ram": 4}, "status": "active"}});
    assert_eq!(held(&json!([]), &stored), ["license-orphan"]);
    assert_eq!(
        held(&json!([]), &json!({"lab": {"quota": {"ram": 4}}})),
        ["license-not-a-uuid"]
    );
}

#[test]
fn a_boost_that_is_neither_true_nor_false_is_told_not_to_be_judged() {
    let row = license(A, &json!({"ram": 4, "boost": 1}));
    let stored = json!({A: {"quota": {"ram": 2}}});
    assert_eq!(held(&json!([row]), &stored), ["license-not-judged"]);
}

#[test]
fn of_two_hosting_classes_one_adds_nothing() {
    let stored = |other: Value| {
        let view = View {
            stored: true,
            ..View::default()
        };
        let held = json!({A: {"quota": {"ram": 4, "member": true, "patch": PATCH}}, B: {"quota": other}});
        rules(TEMPLATE, &json!([]), &held, view)
    };
    let other = json!({"ram": 4, "always_running": true});
    assert!(stored(other).contains(&"license-incompatible"));
    let same = json!({"ram": 4, "member": true});
    assert!(!stored(same).contains(&"license-incompatible"));
}

#[test]
fn a_patch_is_lost_to_the_stored_status_and_to_a_dedicated_vm() {
    let mut expired = license(A, &json!({"ram": 4, "patch": PATCH}));
    expired["expires"] = json!("2024-01-01T00:00:00Z");
    let stored = View {
        stored: true,
        ..View::default()
    };
    let entry = json!({A: {"quota": {"ram": 4, "patch": PATCH}, "status": "expired"}});
    assert!(rules(TEMPLATE, &json!([expired]), &entry, stored).contains(&"patch-lost-status"));
    let rows = json!([
        license(A, &json!({"ram": 4, "patch": PATCH})),
        license(B, &json!({"dedicated_vm": {"machine": "n2-standard-4"}})),
    ]);
    assert!(held(&rows, &json!({A: {}, B: {}})).contains(&"patch-lost-dedicated-vm"));
    assert!(!held(&rows, &json!({A: {}})).contains(&"patch-lost-dedicated-vm"));
}

#[test]
fn the_patch_under_review_is_told_where_it_is_not_applied() {
    let view = |id: &str| View {
        what_if: WhatIf {
            patch: Some(PatchText {
                text: PATCH.into(),
                label: "what-if".into(),
                file: None,
                converted: false,
            }),
            for_license: Some(id.into()),
            ..WhatIf::default()
        },
        ..View::default()
    };
    let rows = json!([license(A, &json!({"ram": 4})), license(B, &json!({"ram": 4}))]);
    assert_eq!(
        rules(TEMPLATE, &rows, &json!({A: {}}), view(B)),
        ["candidate-not-applied"]
    );
    assert_eq!(rules(TEMPLATE, &rows, &json!({A: {}}), view(A)), [""; 0]);
}

#[test]
fn a_result_that_is_no_pod_is_an_error() {
    let patch = r#"[{"op":"replace","path":"/kind","value":"Job"}]"#;
    let rows = json!([license(A, &json!({"ram": 4, "patch": patch}))]);
    assert!(held(&rows, &json!({A: {}})).contains(&"not-a-pod"));
}

#[test]
fn what_is_odd_about_a_template_is_told() {
    let with = |template: &str| rules(template, &json!([]), &json!({}), View::default());
    assert_eq!(with(TEMPLATE), [""; 0]);
    assert_eq!(
        with(&TEMPLATE.replace(r#""run":"project""#, r#""run":"{PROJECT_TAGS}""#)),
        ["placeholder-misspelt"]
    );
    assert_eq!(
        with(&TEMPLATE.replace(r#""run":"project""#, r#""run":"a","run":"project""#)),
        ["template-duplicate-key"]
    );
    let unknown = with(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"project-{project_id}"},"spec":{"containers":[]}}"#,
    );
    assert!(unknown.contains(&"quota-without-a-place"), "{unknown:?}");
    let mut view = View::default();
    view.overrides.set(
        kubectl_cocalc::pipeline::placeholders::Placeholder::ProjectTag,
        "a\\\"b".to_owned(),
    );
    assert_eq!(
        rules(TEMPLATE, &json!([]), &json!({}), view),
        ["placeholder-unescaped"]
    );
}

#[test]
fn without_a_source_of_projects_licenses_are_not_looked_at_and_placeholders_stay() {
    let text = json!({"template": TEMPLATE}).to_string();
    let (snapshot, _) = read_inputs(&[Input::Stdin], &mut text.as_bytes(), &ReadOptions::default()).unwrap();
    let site = Site::new(
        &snapshot,
        "2026-11-24T12:00:00Z".parse().unwrap(),
        View::default(),
    );
    let subject = Subject {
        project_id: STAND_IN,
        known: Known::Nothing,
        live_pod: None,
    };
    let rendered = site.render(subject).unwrap();
    let found: Vec<_> = findings(&site, subject, &rendered)
        .into_iter()
        .map(|f| f.rule)
        .collect();
    assert_eq!(found, ["licenses-not-looked-at", "placeholder-left"]);
}

/// The rules in the report of `patch-diff -o json`.
fn reported(sandbox: &Sandbox, args: &[&str]) -> Vec<String> {
    let run = sandbox.run(&[&["patch-diff", "-o", "json"], args].concat());
    let report = json::parse(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.stderr));
    let report = report.to_value().unwrap();
    let found = report["findings"].as_array().unwrap();
    found
        .iter()
        .map(|f| f["rule"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn an_edit_of_a_computed_value_freezes_it_and_a_new_template_can_break_a_patch() {
    let sandbox = Sandbox::new();
    let pod = sandbox.run(&["render", "--example", "-o", "json", LAB]).stdout;
    let mut edited: Value = serde_json::from_str(&pod).unwrap();
    let tag = edited["metadata"]["labels"]["project_tag"]
        .as_str()
        .unwrap()
        .to_owned();
    edited["metadata"]["labels"]["mine"] = json!("x");
    let sandbox = sandbox.file("label.json", &edited.to_string());
    assert!(
        !reported(&sandbox, &["--example", "--after", "label.json", LAB]).contains(&"frozen-value".into())
    );
    edited["metadata"]["labels"]["project_tag"] = json!(format!("{tag}-other"));
    let sandbox = sandbox.file("tag.json", &edited.to_string());
    assert!(reported(&sandbox, &["--example", "--after", "tag.json", LAB]).contains(&"frozen-value".into()));

    let patch = r#"[{"op":"add","path":"/spec/tolerations/-","value":{"operator":"Exists"}}]"#;
    let template = std::fs::read_to_string("tests/data/example-template.json").unwrap();
    let without = template.replace("\"tolerations\"", "\"tolerationz\"");
    let sandbox = sandbox.file("same.json", &template).file("other.json", &without);
    let args = |file| ["--example", "--new-template", file, "-p", patch, LAB];
    assert!(!reported(&sandbox, &args("same.json")).contains(&"new-template-fails".into()));
    assert!(reported(&sandbox, &args("other.json")).contains(&"new-template-fails".into()));
}
