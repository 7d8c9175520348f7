//! `quota` as its users run it.

use crate::support::Sandbox;
use serde_json::{Value, json};

#[test]
fn the_json_report_holds_quota_reasons_licenses_and_the_calculation() {
    let report = Sandbox::new()
        .run(&["quota", "--example", "-o", "json"])
        .code(0)
        .json();
    assert_eq!(report["project_id"], crate::support::LAB);
    assert_eq!(report["quota"]["memory_limit"], 16000);
    assert_eq!(report["quota"]["cpu_limit"], 4);
    let license = |id: &str, how: &str, amount: u32, value: u32| json!({"by": "license", "id": id, "how": how, "amount": amount, "value": value});
    assert_eq!(
        report["decided_by"]["memory_limit"],
        json!([
            license("5e0a9e17-3b8c-4d21-a6f0-91c27d84b35e", "base", 1000, 1000),
            license("77aa10b4-02c7-4c0e-9b1e-5d0f6f2f7a10", "added", 16000, 17000),
            license("f3d76abf-38a5-4e4e-884d-2e70f1afddb9", "added", 1000, 18000),
            {"by": "maximum", "id": "max_upgrades.memory", "how": "capped", "amount": 16000, "value": 16000},
            {"by": "default", "id": "default_quotas.mem", "how": "compared", "amount": 1000, "value": 16000},
        ])
    );
    let exhausted = "e0000000-5a1d-4c3b-8f2e-7d6c5b4a3f21";
    assert_eq!(report["reasons"][exhausted], "exhausted");
    assert_eq!(
        report["site_license"][exhausted],
        json!({"status": "exhausted", "reason": "exhausted"})
    );
}

#[test]
fn the_table_shows_values_with_units_and_their_calculation_and_the_licenses_below() {
    Sandbox::new()
        .run(&["quota", "--example"])
        .code(0)
        .prints("VALUE")
        .prints(
            "memory_limit      16000 MB     licenses storage extra 5e0a9e17 1000 + big 77aa10b4 16000 + patch1 f3d76abf \
             1000 = 18000, capped by max_upgrades.memory 16000; above default 1000\n",
        )
        .prints("LICENSE")
        .prints("run limit 0: CoCalc treats it as used up");
}

#[test]
fn what_runs_now_is_shown_only_where_it_differs() {
    let run_quota = json!({"network": true, "memory_limit": 2000, "cpu_limit": 1});
    let site = json!({
        "server_settings": {"default_quotas": {"internet": true, "mem": 1000, "cpu": 1}},
        "projects": [{"project_id": crate::support::LAB, "run_quota": run_quota}],
    });
    let run = Sandbox::new()
        .file("s.yaml", &site.to_string())
        .run(&["quota", "-f", "s.yaml"])
        .code(0);
    let line = |name: &str| {
        run.stdout
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    assert!(line("VALUE").contains("NOW"), "{}", run.stdout);
    assert!(line("memory_limit").contains("1000 MB") && line("memory_limit").contains("2000 MB"));
    assert!(
        !line("cpu_limit").contains("1 cores      1 cores"),
        "{}",
        run.stdout
    );
    let without = json!({"projects": [{"project_id": crate::support::LAB}]}).to_string();
    let run = Sandbox::new()
        .file("s.yaml", &without)
        .run(&["quota", "-f", "s.yaml"])
        .code(0);
    assert!(!run.stdout.contains("NOW"), "{}", run.stdout);
}

#[test]
fn without_a_source_of_projects_there_is_no_quota() {
    Sandbox::new()
        .file(
            "pod.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: []}\n",
        )
        .run(&["quota", "-f", "pod.yaml", crate::support::LAB])
        .code(2)
        .prints_nothing()
        .says("its licenses are unknown, since there is no source of projects");
}

#[test]
fn it_needs_no_template() {
    let site = json!({"projects": [{"project_id": crate::support::LAB}]}).to_string();
    Sandbox::new()
        .file("s.json", &site)
        .run(&["quota", "-f", "s.json", "-o", "json"])
        .code(0)
        .silently();
}

#[test]
fn what_if_flags_work_as_in_render() {
    let memory = |args: &[&str]| -> Value {
        let run = Sandbox::new().run(&[&["quota", "--example", "-o", "json"], args].concat());
        run.code(0).json()["quota"]["memory_limit"].clone()
    };
    assert_eq!(
        memory(&["--drop-license", "77aa10b4", "--drop-license", "5e0a9e"]),
        1000
    );
    assert_eq!(
        memory(&["--quota", r#"{"ram": 7}"#, "--for-license", "77aa10b4"]),
        9000
    );
    assert_eq!(
        memory(&["--drop-license", "77aa10b4", "--quota", r#"{"ram": 2}"#]),
        4000
    );
    assert_eq!(memory(&["--at", "2022-01-01"]), 1000);
    Sandbox::new()
        .run(&["quota", "--example", "--quota", "[]"])
        .code(2)
        .says("--quota is no JSON object");
    Sandbox::new()
        .run(&["quota", "--example", "--quota", "{ram: 1}"])
        .code(2)
        .says("--quota is no JSON");
}

#[test]
fn a_what_if_stands_beside_what_is_true_now() {
    let sandbox = Sandbox::new();
    let run = |args: &[&str]| sandbox.run(&[&["quota", "--example"], args].concat());
    let table = run(&["--drop-license", "77aa10b4", "--drop-license", "5e0a9e"]).code(0);
    let cells = |name: &str| -> Vec<String> {
        let line = table.stdout.lines().find(|line| line.starts_with(name)).unwrap();
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        cells.take(3).map(str::to_owned).collect()
    };
    assert_eq!(cells("VALUE"), ["VALUE", "NOW", "WHAT IF"]);
    assert_eq!(cells("memory_limit"), ["memory_limit", "16000 MB", "1000 MB"]);
    assert_eq!(cells("disk_quota"), ["disk_quota", "3000 MB", "3000 MB"]);
    let now = run(&["-o", "json"]).json()["quota"].clone();
    for (args, quota) in [
        (&["--add-license", "77aa10b4"][..], 16000),
        (&["--at", "2022-01-01"], 1000),
        (&["--quota", r#"{"ram": 1}"#, "--for-license", "77aa10b4"], 3000),
    ] {
        let report = run(&[&["-o", "json"], args].concat()).json();
        assert_eq!(report["now"], now, "{args:?}");
        assert_eq!(report["quota"]["memory_limit"], quota, "{args:?}");
        let line = run(&[&["-o", "jsonl", "--all"], args].concat()).json();
        assert_eq!(line, report, "{args:?}");
    }
    assert_eq!(run(&["-o", "json"]).json().get("now"), None);
}

#[test]
fn many_projects_give_a_list_or_lines() {
    let rows: Vec<Value> = (0..3)
        .map(|n| json!({"project_id": format!("{n:08x}-1111-4111-8111-111111111111"), "title": format!("t{n}")}))
        .collect();
    let sandbox = Sandbox::new().file("s.json", &json!({"projects": rows}).to_string());
    let list = sandbox
        .run(&["quota", "-f", "s.json", "--all", "-o", "json"])
        .code(0)
        .json();
    let lines = sandbox
        .run(&["quota", "-f", "s.json", "--all", "-o", "jsonl"])
        .code(0);
    let lines: Vec<Value> = lines
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(list, Value::from(lines));
    sandbox
        .run(&["quota", "-f", "s.json", "--all"])
        .code(0)
        .prints("project 00000002-1111-4111-8111-111111111111  t2");
}
