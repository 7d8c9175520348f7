//! `licenses` as its users run it: states, counts, filters, outputs, and what it says before a row is deleted.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use crate::support::{Run, Sandbox};
use serde_json::{Value, json};

const ACTIVE: &str = "0a000000-0000-4000-8000-000000000001";
const EXPIRED: &str = "0b000000-0000-4000-8000-000000000002";
const FUTURE: &str = "0c000000-0000-4000-8000-000000000003";
const EXHAUSTED: &str = "0d000000-0000-4000-8000-000000000004";
const GONE: &str = "0e000000-0000-4000-8000-000000000005";
const UNDATED: &str = "0f000000-0000-4000-8000-000000000006";

fn project(n: u32) -> String {
    format!("{n:08x}-1111-4111-8111-111111111111")
}

fn patch(count: usize) -> Value {
    let operation = json!({"op": "add", "path": "/metadata/labels/a", "value": "b"});
    json!(Value::Array(vec![operation; count]).to_string())
}

fn site() -> Value {
    json!({
        "now": "2026-11-24T12:00:00Z",
        "site_licenses": [
            {"id": ACTIVE, "title": "Lab", "activates": "2023-01-01", "run_limit": 5, "last_used": "2026-11-20T08:00:00Z",
             "managers": ["aaaaaaaa-1111-4111-8111-111111111111"], "quota": {"ram": 4, "patch": patch(2)}},
            {"id": EXPIRED, "title": "Course", "activates": "2023-01-01", "expires": "2026-11-24T12:00:00Z", "last_used": "2026-01-10",
             "quota": {"patch": "[{\"op\":\"add\"}]"}},
            {"id": FUTURE, "title": "Next", "activates": "2026-11-24T12:00:01Z", "quota": {"patch": "[]"}},
            {"id": EXHAUSTED, "title": "One", "activates": "2026-10-01", "run_limit": 1, "quota": {"ram": 1}},
            {"id": UNDATED, "title": "", "run_limit": 3},
        ],
        "projects": [
            {"project_id": project(1), "site_license": {ACTIVE: {}, EXHAUSTED: {"status": "active", "quota": {"ram": 1}}}, "state": {"state": "running"}},
            {"project_id": project(2), "site_license": {ACTIVE: {"status": "active"}, GONE: {"quota": {"patch": patch(1)}}}, "state": {"state": "running"}},
            {"project_id": project(3), "site_license": {EXPIRED: {}, EXHAUSTED: {}}, "deleted": true},
            {"project_id": project(4), "site_license": {GONE: {"quota": {"patch": patch(3)}}, "no uuid": {}}},
        ],
    })
}

fn licenses(site: &Value, args: &[&str]) -> Run {
    let sandbox = Sandbox::new().file("site.json", &site.to_string());
    sandbox.run(&[&["licenses", "-f", "site.json"], args].concat())
}

fn names(args: &[&str]) -> Vec<String> {
    let run = licenses(&site(), &[args, &["-o", "name"]].concat()).code(0);
    let ids = run.stdout.lines();
    ids.map(|id| id.strip_prefix("license/").unwrap().to_owned())
        .collect()
}

#[test]
fn every_license_has_a_state_and_its_counts() {
    let run = licenses(&site(), &[]).code(0);
    let expected = "\
ID                                     TITLE    STATE        PATCH                              HELD   RUNNING/LIMIT   LAST USED
0a000000-0000-4000-8000-000000000001   Lab      active       2 operations                       2      0/5             2026-11-20
0b000000-0000-4000-8000-000000000002   Course   expired      dropped: operation 1 has no path   0      0/-             2026-01-10
0c000000-0000-4000-8000-000000000003   Next     future                                          0      0/-             never
0d000000-0000-4000-8000-000000000004   One      exhausted                                       1      1/1             never
0e000000-0000-4000-8000-000000000005            orphan       2 different ones                   2      1/-             -
0f000000-0000-4000-8000-000000000006            future                                          0      0/3             never
no uuid                                         not a UUID                                      1      0/-             -
";
    assert_eq!(run.stdout, expected, "{}", run.stdout);
}

#[test]
fn the_wide_table_adds_managers_and_the_end() {
    licenses(&site(), &["-o", "wide"])
        .code(0)
        .prints("LAST USED    MANAGERS                               EXPIRES")
        .prints("2026-11-20   aaaaaaaa-1111-4111-8111-111111111111   never")
        .prints("2026-11-24\n");
}

#[test]
fn unused_are_those_that_no_project_holds_and_with_a_span_also_the_idle_ones() {
    assert_eq!(names(&["--unused"]), [EXPIRED, FUTURE, UNDATED]);
    assert_eq!(names(&["--unused=90d"]), [EXPIRED, FUTURE, UNDATED]);
    // `One` was never used, but is active for 54 days only.
    assert_eq!(names(&["--unused=30d"]), [EXPIRED, FUTURE, EXHAUSTED, UNDATED]);
    assert_eq!(
        names(&["--unused=3d12h"]),
        [ACTIVE, EXPIRED, FUTURE, EXHAUSTED, UNDATED]
    );
    licenses(&site(), &["--unused=soon"])
        .code(2)
        .says("--unused=soon: no span of time; write it as 90d, 36h or 1d12h");
}

#[test]
fn patched_and_orphans_select_and_can_be_joined() {
    assert_eq!(names(&["--patched"]), [ACTIVE, EXPIRED, GONE]);
    assert_eq!(names(&["--orphans"]), [GONE, "no uuid"]);
    assert_eq!(names(&["--orphans", "--patched"]), [GONE]);
    assert_eq!(names(&["--unused", "--patched"]), [EXPIRED]);
    licenses(&site(), &["--unused", "--orphans"])
        .code(2)
        .says("cannot be used with");
}

#[test]
fn a_license_is_named_by_its_beginning_and_as_o_name_prints_it() {
    assert_eq!(names(&["0a0000", "license/0d000000"]), [ACTIVE, EXHAUSTED]);
    assert_eq!(names(&["0e0000"]), [GONE], "an orphan too");
    licenses(&site(), &["0a"]).code(2).says("at least 6 characters");
    licenses(&site(), &["0a0001"])
        .code(2)
        .says("no source has a license of this id");
    let mut site = site();
    site["site_licenses"][1]["id"] = json!("0a000000-0000-4000-8000-000000000002");
    licenses(&site, &["0a0000"]).code(2).says("is ambiguous");
}

#[test]
fn it_says_what_deleting_a_row_leaves_behind() {
    licenses(&site(), &["0a0000"])
        .code(0)
        .says("license \"Lab\" 0a000000: 2 projects hold it; deleting its row leaves the quota and patch stored there in force");
    licenses(&site(), &[])
        .code(0)
        .says("projects hold 2 of these licenses");
    licenses(&site(), &["0e0000"])
        .code(0)
        .says("license 0e000000 has no row: what 2 projects hold of its quota and patch stays in force");
    licenses(&site(), &["--unused"]).code(0).silently();
    licenses(&site(), &["-o", "name"]).code(0).silently();
}

#[test]
fn reports_hold_the_row_and_the_counts() {
    let one = licenses(&site(), &["0a0000", "-o", "json"]).code(0).json();
    assert_eq!(one["title"], "Lab");
    assert_eq!(one["held"], 2);
    assert_eq!(one["running"], 0);
    assert_eq!(one["run_limit"], 5);
    assert_eq!(one["patch"], json!({"gate": "passes", "operations": 2}));
    assert_eq!(one["quota"]["patch"], patch(2));
    assert_eq!(one["expires"], Value::Null);
    let all = licenses(&site(), &["-o", "json"]).code(0).json();
    let states: Vec<&str> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["state"].as_str().unwrap())
        .collect();
    assert_eq!(
        states,
        [
            "active",
            "expired",
            "future",
            "exhausted",
            "orphan",
            "future",
            "not a UUID"
        ]
    );
    let yaml = licenses(&site(), &["-o", "yaml"]).code(0).stdout;
    assert_eq!(yaml.split("---\n").count(), 7);
}

#[test]
fn a_count_that_fails_is_told_with_the_project_to_blame() {
    let mut site = site();
    site["projects"][0]["site_license"][EXHAUSTED] = json!("broken");
    let run = licenses(&site, &["0d0000"])
        .code(0)
        .prints("uncountable")
        .prints("-/1")
        .says("CoCalc cannot count the projects that run with license \"One\" 0d000000")
        .says(&project(1));
    drop(run);
    // Without a limit nobody counts.
    site["site_licenses"][3]["run_limit"] = Value::Null;
    licenses(&site, &["0d0000"])
        .code(0)
        .prints("active")
        .prints("-/-");
}

#[test]
fn counts_that_a_source_gives_win_over_its_rows() {
    let mut site = site();
    site["license_usage"] = json!({ACTIVE: 5, EXHAUSTED: project(9)});
    licenses(&site, &["0a0000"])
        .code(0)
        .prints("exhausted")
        .prints("5/5");
    licenses(&site, &["0d0000"])
        .code(0)
        .prints("uncountable")
        .says(&project(9));
}

#[test]
fn without_projects_nothing_is_said_of_who_holds_a_license() {
    let mut site = site();
    site.as_object_mut().unwrap().remove("projects");
    licenses(&site, &["0a0000"])
        .code(0)
        .prints("-      -/5")
        .silently();
    licenses(&site, &["--unused"])
        .code(2)
        .says("--unused needs a source of projects");
    licenses(&site, &["--orphans"])
        .code(2)
        .says("--orphans needs a source of projects");
    let run = licenses(&json!({"projects": []}), &[])
        .code(0)
        .prints_nothing()
        .says("the sources hold no license");
    drop(run);
}

#[test]
fn titles_and_patches_of_others_cannot_write_to_the_terminal() {
    let mut site = site();
    site["site_licenses"][0]["title"] = json!("\u{1b}[2J\nerror: all is lost");
    site["site_licenses"][0]["managers"] = json!(["\u{9b}31m"]);
    site["projects"][3]["site_license"]["\u{1b}]0;x"] = json!({});
    for output in ["table", "wide", "json", "yaml", "name"] {
        let run = licenses(&site, &["-o", output]).code(0);
        let raw = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
        assert!(!raw(&run.stdout) && !raw(&run.stderr), "{output}");
        assert!(
            !run.stderr.lines().any(|line| line.starts_with("error")),
            "{output}"
        );
    }
}

#[test]
fn the_example_has_what_the_documentation_shows() {
    Sandbox::new()
        .run(&["licenses", "--example", "--unused", "--patched", "-o", "name"])
        .code(0)
        .prints("license/ad313a55-0c1b-4f5e-9d5e-2b7a6c1d4e8f\n");
}

#[test]
fn without_any_source_it_says_where_licenses_come_from() {
    Sandbox::new()
        .run(&["licenses"])
        .code(2)
        .says("error: there is no source of licenses")
        .says("--database")
        .prints_nothing();
}
