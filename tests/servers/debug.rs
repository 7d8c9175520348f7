//! `debug`: CoCalc's own record of a start. The logs are made by a peer that patches with fast-json-patch itself, and
//! come from files or through a real API server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failure here is a failed test"
)]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::support::{LAB, Run, Sandbox, api_server::ApiServer};
use kubectl_cocalc::debug::{Item, Reader};
use proptest::prelude::*;
use serde_json::{Value, json};

const OTHER: &str = "44444444-4444-4444-8444-444444444444";

const LAYOUTS: [&str; 10] = [
    "plain", "line", "pretty", "below", "python", "prefixed", "json", "pino", "logfmt", "inspect",
];

/// The example's pod before patches.
fn before() -> Value {
    let run = Sandbox::new()
        .run(&["patch-diff", "--example", "--show-secrets", "-o", "json"])
        .code(0);
    run.json()["before"].clone()
}

/// The patch set of the example's project, in CoCalc's order.
fn patch() -> Value {
    json!([
        {"op": "add", "path": "/spec/containers/0/volumeMounts/-", "value": {"name": "storage-extra", "mountPath": "/extra"}},
        {"op": "add", "path": "/spec/volumes/-",
         "value": {"name": "storage-extra", "persistentVolumeClaim": {"claimName": "storage-extra"}}},
        {"op": "add", "path": "/metadata/labels/mylabel", "value": "test123"},
    ])
}

fn of_project(pod: &Value, id: &str) -> Value {
    serde_json::from_str(&pod.to_string().replace(LAB, id)).unwrap()
}

/// What manage-action logs of a start, in this layout.
fn log_with(layout: &str, before: &Value, patch: &Value, validate: bool) -> String {
    let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/manage_action.js");
    let mut child = Command::new("node")
        .arg(peer)
        .arg(layout)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    let input = json!({"before": before, "patch": patch, "validate": validate}).to_string();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn log(layout: &str, before: &Value, patch: &Value) -> String {
    log_with(layout, before, patch, false)
}

fn debug(log: &str, args: &[&str]) -> Run {
    let all: Vec<&str> = ["debug", "--log", "manage.log"]
        .into_iter()
        .chain(args.iter().copied())
        .collect();
    Sandbox::new().file("manage.log", log).run(&all)
}

/// Standard output with its folded lines put together.
fn unfolded(run: &Run) -> String {
    run.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn report(log: &str, args: &[&str]) -> Value {
    let all: Vec<&str> = ["-o", "json"].into_iter().chain(args.iter().copied()).collect();
    debug(log, &all).json()
}

#[test]
fn a_start_is_read_whatever_surrounds_its_records() {
    let (before, patch) = (before(), patch());
    for layout in LAYOUTS {
        let log = log(layout, &before, &patch);
        let run = debug(&log, &["--example", "--show-secrets", "-o", "json"]);
        let report = run.code(0).silently().json();
        assert_eq!(report["starts"].as_array().unwrap().len(), 1, "{layout}");
        let start = &report["starts"][0];
        assert_eq!(start["project_id"], LAB, "{layout}");
        assert_eq!(start["before"], before, "{layout}");
        assert_eq!(
            start["after"]["metadata"]["labels"]["mylabel"], "test123",
            "{layout}"
        );
        assert_eq!(start["replay"], json!({"result": "same"}), "{layout}");
        assert_eq!(
            start["template"],
            json!({"same": true, "differences": [], "assumptions": []}),
            "{layout}"
        );
        let owners: Vec<(&str, u64)> = start["operations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|op| (op["title"].as_str().unwrap(), op["operation"].as_u64().unwrap()))
            .collect();
        let expected = [("storage extra", 0), ("storage extra", 1), ("patch1", 0)];
        assert_eq!(owners, expected, "{layout}");
        let time = start["time"].as_str();
        assert_eq!(
            time.map(|time| &time[..10]),
            (layout != "plain").then_some("2026-11-24"),
            "{layout}"
        );
    }
}

#[test]
fn records_as_python_prints_them_are_read() {
    for (name, log) in [
        ("repr", include_str!("../data/debug/python-repr.log")),
        ("pprint", include_str!("../data/debug/python-pprint.log")),
        ("json", include_str!("../data/debug/python-json-logger.log")),
    ] {
        let report = report(log, &[]);
        let start = &report["starts"][0];
        assert_eq!(start["replay"]["result"], "same", "{name}");
        assert_eq!(start["time"], "2026-11-24T12:00:00.125Z", "{name}");
        let note = &start["before"]["spec"]["containers"][0]["env"][0]["value"];
        assert_eq!(note, "it's \"quoted\"\tand\nbroken ünï", "{name}");
        assert_eq!(start["before"]["spec"]["priority"], Value::Null, "{name}");
    }
}

#[test]
fn the_text_tells_of_a_start_in_one_block_of_80_columns() {
    let log = log("line", &before(), &patch());
    let run = debug(&log, &["--example"]).code(0).silently();
    assert!(
        run.stdout.lines().all(|line| line.chars().count() <= 80),
        "{}",
        run.stdout
    );
    run.prints(&format!("project {LAB}  2026-11-24T12:00:01.25Z\n  in manage.log, lines 2 to 4\n"))
        .prints(
            "  license \"storage extra\" 5e0a9e17\n    1  add /spec/containers/0/volumeMounts/-: added\n    \
             2  add /spec/volumes/-: added\n  license \"patch1\" f3d76abf\n    3  add /metadata/labels/mylabel: added\n",
        )
        .prints("@@ -4,6 +4,7 @@ metadata.labels <- op 3\n")
        .prints("+    mylabel: test123\n")
        .prints("  replay    our application of the patch set gives the same pod\n")
        .prints("  template  the pod that the sources give before patches is the same\n");
}

#[test]
fn licenses_that_no_source_knows_are_no_error() {
    let log = log(
        "line",
        &before(),
        &json!([{"op": "remove", "path": "/metadata/annotations"}]),
    );
    debug(&log, &[])
        .code(0)
        .silently()
        .prints("licenses are not known; give them with -f\n    1  remove /metadata/annotations: removed\n");
    debug(&log, &["--example"])
        .code(0)
        .prints("of no license that the sources know\n    1  remove /metadata/annotations: removed\n");
}

#[test]
fn interleaved_starts_are_told_apart() {
    let first = log("python", &before(), &patch());
    let other_patch = json!([{"op": "add", "path": "/metadata/labels/team", "value": "bio"}]);
    let second = log("python", &of_project(&before(), OTHER), &other_patch);
    // The second start begins inside the first; its patch set comes before the first one's.
    let (a, b): (Vec<&str>, Vec<&str>) = (first.lines().collect(), second.lines().collect());
    let mixed = [a[0], a[1], b[0], b[1], b[2], a[2], a[3], b[3]].join("\n");
    let all = report(&mixed, &[]);
    let starts = all["starts"].as_array().unwrap();
    assert_eq!(starts.len(), 2);
    for start in starts {
        assert_eq!(start["replay"]["result"], "same", "{start}");
        let count = if start["project_id"] == LAB { 3 } else { 1 };
        assert_eq!(start["operations"].as_array().unwrap().len(), count);
    }
    // Only the named one is told.
    let one = report(&mixed, &[OTHER]);
    assert_eq!(one["starts"].as_array().unwrap().len(), 1);
    assert_eq!(one["starts"][0]["project_id"], OTHER);
    // A project of a license.
    let one = report(&mixed, &["--example", "--with-license", "f3d76abf"]);
    assert_eq!(one["starts"].as_array().unwrap().len(), 1);
    assert_eq!(one["starts"][0]["project_id"], LAB);
}

#[test]
fn logs_of_two_pods_in_one_file_are_told_apart() {
    let lines = |pod: &str, id: &str, patch: &Value| -> Vec<String> {
        let log = log("line", &of_project(&before(), id), patch).replace(&format!("action {id} "), "");
        log.lines()
            .map(|line| format!("[pod/{pod}/manage] {line}"))
            .collect()
    };
    let a = lines("manage-action-a", LAB, &patch());
    let b = lines("manage-action-b", OTHER, &json!([]));
    // The first patch set comes behind both pods, and none names its project.
    let mixed = [&a[1], &b[1], &a[2], &b[2], &a[3], &b[3]].map(String::as_str);
    let report = report(&mixed.join("\n"), &[]);
    for start in report["starts"].as_array().unwrap() {
        let count = if start["project_id"] == LAB { 3 } else { 0 };
        assert_eq!(start["operations"].as_array().unwrap().len(), count, "{report}");
        assert_eq!(start["replay"]["result"], "same");
    }
}

#[test]
fn two_starts_of_a_project_are_two() {
    let log = log("line", &before(), &patch());
    let report = report(&format!("{log}{log}"), &[]);
    let lines: Vec<&Value> = report["starts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["lines"])
        .collect();
    assert_eq!(lines, [&json!([2, 4]), &json!([6, 8])]);
}

#[test]
fn what_is_cut_off_is_said_with_its_lines_and_the_rest_is_read() {
    let whole = log("line", &before(), &patch());
    let lines: Vec<&str> = whole.lines().collect();
    // The log was rotated inside a line; what follows is another start.
    let cut = format!("{}\n{}\n{whole}", lines[0], &lines[1][..lines[1].len() / 2]);
    let run = debug(&cut, &["-o", "json"])
        .code(0)
        .says("warning: manage.log, line 2: cannot read project_pod_before=: cut off");
    assert_eq!(run.json()["unreadable"][0]["lines"], json!([2, 2]));
    assert_eq!(run.json()["starts"][0]["replay"]["result"], "same");

    // The end of the log, in a value over many lines.
    let whole = log("pretty", &before(), &patch());
    let lines: Vec<&str> = whole.lines().collect();
    let cut = lines[..40].join("\n");
    debug(&cut, &[LAB])
        .code(1)
        .says("warning: manage.log, lines 2 to 40: cannot read project_pod_before=: cut off: the log ends");

    // Inside the value another line of the log comes, and then an error that must not be lost.
    let cut = format!(
        "{}\n2026-11-24T12:00:05Z ERROR project {LAB}: TypeError: x\n{}",
        lines[..20].join("\n"),
        lines[1..].join("\n")
    );
    let run = debug(&cut, &["-o", "json"]).says("lines 2 to 20: cannot read project_pod_before=");
    assert_eq!(run.json()["errors"][0]["line"], 21, "{}", run.stdout);
    assert_eq!(run.json()["starts"][0]["replay"]["result"], "same");
}

#[test]
fn a_start_without_its_pod_before_is_told_as_far_as_it_goes() {
    let whole = log("line", &before(), &patch());
    let tail: String = whole.lines().skip(2).map(|line| format!("{line}\n")).collect();
    let report = report(&tail, &["--example"]);
    let start = &report["starts"][0];
    assert_eq!(
        start["replay"],
        json!({"result": "incomplete", "why": "the log has no project_pod_before"})
    );
    assert_eq!(start["after"]["metadata"]["labels"]["mylabel"], "test123");
}

#[test]
fn an_error_of_the_library_is_blamed_on_the_operation_that_fails() {
    let mut failing = patch();
    failing.as_array_mut().unwrap().insert(
        2,
        json!({"op": "add", "path": "/spec/affinity/podAffinity", "value": {}}),
    );
    let log = log("line", &before(), &failing);
    assert!(log.contains("ERROR TypeError"), "{log}");
    let run = debug(&log, &["--example"]).code(0);
    run.prints("3  add /spec/affinity/podAffinity: failed")
        .prints("  replay    ours fails too, and the log has no result: operation 3: TypeError:")
        .prints("by operation 3 of the patch set (/spec/affinity/podAffinity)")
        .prints("our application stops there too:");
    let report = report(&log, &["--example"]);
    let error = &report["starts"][0]["errors"][0];
    assert_eq!(
        error["blame"],
        json!([{"by": "patch", "operation": 2, "path": "/spec/affinity/podAffinity"}])
    );
    assert_eq!(error["from"], "fast-json-patch");
}

#[test]
fn a_cocalc_that_validates_operations_shows_in_its_error() {
    let patch = json!([{"op": "replace", "path": "/metadata/labels/none", "value": "x"}]);
    let log = log_with("line", &before(), &patch, true);
    let run = debug(&log, &[])
        .code(0)
        .prints("  replay    ours succeeds; the log has no result");
    let told = "our application stops there with assumptions.validate_operation: true: Cannot perform";
    assert!(unfolded(&run).contains(told), "{}", run.stdout);
}

#[test]
fn an_assumption_that_the_log_speaks_for_is_named() {
    let failing = json!([{"op": "add", "path": "/metadata/labels/a", "value": "b"},
                         {"op": "add", "path": "/no/such", "value": 1}]);
    let log = log("line", &before(), &failing);
    let sent = |pod: &Value| format!("{log}2026-11-24T12:00:09Z project_pod={pod}\n");
    let result = |pod: &Value| report(&sent(pod), &[])["starts"][0]["replay"].clone();
    let unpatched = result(&before());
    assert_eq!(
        (&unpatched["result"], &unpatched["assumption"]),
        (&json!("same_if"), &json!("on_patch_error"))
    );
    assert_eq!(unpatched["value"], "unpatched");
    let mut half = before();
    half["metadata"]["labels"]["a"] = json!("b");
    assert_eq!(result(&half)["value"], "half");
}

#[test]
fn another_result_than_ours_is_shown_and_to_be_sent_in() {
    let log = log("line", &before(), &patch());
    // The label stands so only in the result.
    let tampered = log.replace("\"mylabel\":\"test123\"", "\"mylabel\":\"test124\"");
    assert_ne!(tampered, log);
    debug(&tampered, &["--example"])
        .code(1)
        .prints(
            "  replay    our application of the patch set gives another pod:\n--- ours\n+++ project_pod\n",
        )
        .prints("please send this");
    let run = debug(&tampered, &["--example", "-o", "json"]).code(1);
    assert_eq!(
        run.json()["starts"][0]["replay"]["differences"],
        json!([{"path": "/metadata/labels/mylabel", "ours": "test123", "logged": "test124"}])
    );
}

#[test]
fn another_pod_before_patches_than_ours_is_shown() {
    let mut other = before();
    other["spec"]["containers"][0]["resources"]["limits"]["memory"] = json!("4000M");
    let log = log("line", &other, &patch());
    let run = debug(&log, &["--example"]).code(0);
    let told = "the pod that the sources give before patches has 1 difference: \
                spec.containers[0].resources.limits.memory: ours \"16000Mi\", logged \"4000M\"";
    assert!(unfolded(&run).contains(told), "{}", run.stdout);
}

#[test]
fn the_assumption_that_speaks_for_a_difference_is_named() {
    let mut other = before();
    let resources = &mut other["spec"]["containers"][0]["resources"];
    let text = resources.to_string().replace("Mi\"", "M\"");
    *resources = serde_json::from_str(&text).unwrap();
    let milli = resources["requests"]["cpu"]
        .as_str()
        .unwrap()
        .trim_end_matches('m')
        .to_owned();
    let cores: f64 = milli.parse::<f64>().unwrap() / 1000.0;
    resources["requests"]["cpu"] = json!(cores.to_string());
    let log = log("line", &other, &patch());
    let run = debug(&log, &["--example"]).code(0);
    for told in [
        "assumptions.memory_suffix: M would give what the log has in spec.containers[0].resources.",
        "assumptions.cpu_format: decimal would give what the log has in spec.containers[0].resources.requests.cpu",
    ] {
        assert!(unfolded(&run).contains(told), "{}", run.stdout);
    }
    let set = "assumptions: {memory_suffix: M, cpu_format: decimal}\n";
    let sandbox = Sandbox::new().file("manage.log", &log).file("site.yaml", set);
    let run = sandbox.run(&["debug", "--log", "manage.log", "--example", "-f", "site.yaml"]);
    run.code(0)
        .prints("the pod that the sources give before patches is the same");
}

#[test]
fn secrets_are_masked_unless_they_are_asked_for() {
    let mut pod = before();
    let env = pod["spec"]["containers"][0]["env"].as_array_mut().unwrap();
    env.push(json!({"name": "API_TOKEN", "value": "hunter2-hunter2"}));
    let patch = json!([
        {"op": "add", "path": "/spec/containers/0/env/-", "value": {"name": "MY_PASSWORD", "value": "correct-horse"}},
        {"op": "add", "path": "/spec/volumes/-", "value": {"name": "tmp", "emptyDir": {}}},
    ]);
    let log = format!(
        "{}2026-11-24T12:00:09Z ERROR project {LAB}: is invalid: spec.containers[0].env: hunter2-hunter2 correct-horse\n",
        log("line", &pod, &patch)
    );
    for output in ["text", "json", "jsonl"] {
        let run = debug(&log, &["--example", "-o", output]).code(0);
        let all = format!("{}{}", run.stdout, run.stderr);
        assert!(
            !all.contains("hunter2") && !all.contains("correct-horse"),
            "{all}"
        );
        assert!(all.contains("***"));
        debug(&log, &["--example", "--show-secrets", "-o", output])
            .prints("hunter2-hunter2")
            .prints("correct-horse");
    }
}

#[test]
fn what_a_terminal_acts_on_never_leaves_raw() {
    let patch = json!([{"op": "add", "path": "/metadata/labels/a\u{1b}[31m\u{9b}", "value": "\u{202e}x"}]);
    let log = format!(
        "{}2026-11-24T12:00:09Z ERROR {LAB} \u{1b}[31mred\u{9b} failed\n",
        log("line", &before(), &patch)
    );
    for output in ["text", "json", "jsonl"] {
        let run = debug(&log, &["-o", output]).code(0);
        let raw = |c: char| matches!(c, '\u{1b}' | '\u{9b}' | '\u{202e}');
        assert!(!run.stdout.contains(raw) && !run.stderr.contains(raw), "{output}");
    }
}

#[test]
fn without_the_helm_value_errors_are_told_and_how_to_set_it() {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422,
        "message": format!("Pod \"project-{LAB}\" is invalid: spec.volumes[6].name: Duplicate value: \"storage-extra\""),
        "details": {"causes": [{"reason": "FieldValueDuplicate", "field": "spec.volumes[6].name",
                                "message": "Duplicate value: \"storage-extra\""}]},
    });
    for log in [
        format!("2026-11-24T12:00:00Z ERROR start of {LAB} failed: HTTP response body: {status}\n"),
        format!(
            "{}\n",
            json!({"level": "error", "time": "2026-11-24T12:00:00Z", "project": LAB, "msg": format!("HttpError {status}")})
        ),
        format!(
            "2026-11-24T12:00:00Z ERROR {}\n",
            status["message"].as_str().unwrap()
        ),
    ] {
        let noise = "2026-11-24T11:00:00Z INFO listening\n".repeat(3);
        let run = debug(&format!("{noise}{log}"), &[LAB, "--example"]).code(0).says(
            "note: the logs hold no record of a pod; to have them, set manage.dbg_project_patching: \"1\"",
        );
        let told = "spec.volumes[6].name by license \"storage extra\" 5e0a9e17, operation 2";
        assert!(unfolded(&run).contains(told), "{}", run.stdout);
        run.prints(&format!(
            "project {LAB}  an error without a record of its start\n"
        ))
        .prints("  error     line 4, 2026-11-24T12:00:00Z\n");
    }
}

#[test]
fn a_limit_range_is_blamed_on_the_quota_that_the_template_took() {
    let log = format!(
        "{}2026-11-24T12:00:09Z ERROR pods \"project-{LAB}\" is forbidden: maximum memory usage per Container is 8Gi, but \
         limit is 16000Mi\n",
        log("line", &before(), &patch())
    );
    let report = report(&log, &["--example"]);
    let fault = &report["starts"][0]["errors"][0]["faults"][0];
    assert_eq!(fault["field"], "spec.containers[0].resources.limits.memory");
    assert_eq!(
        (&fault["blame"][0]["by"], &fault["blame"][0]["field"]),
        (&json!("quota"), &json!("memory_limit"))
    );
}

#[test]
fn if_nothing_matches_it_says_what_it_has_read() {
    let log = log("line", &before(), &patch());
    debug(&log, &[OTHER])
        .code(1)
        .prints_nothing()
        .says(&format!(
            "error: the logs hold no start of project {OTHER} and no error that names it; read were:"
        ))
        .says("manage.log: 4 lines, 2026-11-24T12:00:00.25Z to 2026-11-24T12:00:03.25Z");
    debug("2026-11-24T12:00:00Z INFO listening\n", &[])
        .code(1)
        .says("manage.log: 1 line, 2026-11-24T12:00:00Z to 2026-11-24T12:00:00Z")
        .says("hint: set manage.dbg_project_patching: \"1\"");
    debug("", &[]).code(1).says("manage.log: 0 lines");
}

#[test]
fn the_command_line_is_checked() {
    debug("", &["nonsense"]).code(2).says("names no project");
    debug("", &["--since", "1h"]).code(2).says("--log");
    debug("", &["--tail", "5"]).code(2).says("--log");
    debug("", &["--all", LAB]).code(2);
    debug("", &["--with-license", "f3d76abf"])
        .code(2)
        .says("needs a source of projects");
    let run = Sandbox::new().run_with_stdin(&["debug", "--log", "-", "-f", "-"], "");
    run.code(2).says("standard input");
    Sandbox::new()
        .run(&["debug", "--log", "missing"])
        .code(2)
        .says("--log missing: ");
    let log = log("line", &before(), &patch());
    let run = Sandbox::new().run_with_stdin(&["debug", "--log", "-"], &log);
    run.code(0).prints("in standard input, lines 2 to 4");
}

#[test]
fn jsonl_is_one_entry_a_line_with_its_kind() {
    let log = log("line", &before(), &patch());
    let run = debug(&format!("project_pod={{\"cut\n{log}"), &["-o", "jsonl"]).code(0);
    let kinds: Vec<String> = run
        .stdout
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["kind"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(kinds, ["unreadable", "start", "log"]);
}

#[test]
fn long_lines_and_bytes_that_are_no_text_are_no_hindrance() {
    let mut pod = before();
    pod["metadata"]["annotations"]["note"] = json!("x".repeat(5 << 20));
    let mut bytes = vec![b'y'; 5 << 20];
    bytes.extend_from_slice(b"\n\xff\xfe\x80 nonsense\n");
    bytes.extend_from_slice(
        log("line", &pod, &patch())
            .replace("\"test123\"", "\"test123?\"")
            .as_bytes(),
    );
    let at = bytes
        .windows(9)
        .rposition(|window| window == b"test123?\"")
        .unwrap();
    bytes[at + 7] = 0xff;
    let first = bytes
        .windows(9)
        .position(|window| window == b"test123?\"")
        .unwrap();
    bytes[first + 7] = 0xff;
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path().join("manage.log"), &bytes).unwrap();
    let run = sandbox.run(&["debug", "--log", "manage.log"]).code(0);
    run.prints("lines 4 to 6")
        .prints("bytes that are not UTF-8 are shown as U+FFFD")
        .prints("our application of the patch set gives the same pod");
}

#[test]
fn a_record_without_end_does_not_fill_the_memory() {
    let mut reader = Reader::default();
    let mut items = Vec::new();
    let chunk = vec![b'['; 1 << 20];
    reader.feed(b"x project_pod=", &mut |item| items.push(item));
    for _ in 0..40 {
        reader.feed(&chunk, &mut |item| items.push(item));
    }
    reader.feed(b"\npatch=[]\n", &mut |item| items.push(item));
    reader.finish(&mut |item| items.push(item));
    let [Item::Unreadable(unreadable), Item::Record(record)] = &items[..] else {
        panic!("{} items", items.len());
    };
    assert_eq!(unreadable.why, "it is longer than 16 MiB");
    assert_eq!(record.span.first, 2);
}

#[test]
fn a_line_of_nothing_but_markers_is_read_to_its_end() {
    for piece in [
        "patch=x ",
        "patch='",
        "patch=\"{",
        "project_pod={\\",
        "project_pod_before=[] ",
        "a=b ",
        "{\"a\":",
    ] {
        let mut line = piece.repeat((4 << 20) / piece.len());
        line.push('\n');
        read(line.as_bytes(), &[]);
    }
    // Lines that each might be the next one of a value.
    let mut log = "project_pod={\n".to_owned();
    log.push_str(&"\"a\": {},\n".repeat(200_000));
    read(log.as_bytes(), &[]);
}

fn read(bytes: &[u8], cuts: &[usize]) -> Vec<String> {
    let mut reader = Reader::default();
    let mut items = Vec::new();
    let mut at = 0;
    for cut in cuts {
        let next = (at + cut).min(bytes.len());
        reader.feed(&bytes[at..next], &mut |item| items.push(format!("{item:?}")));
        at = next;
    }
    reader.feed(&bytes[at..], &mut |item| items.push(format!("{item:?}")));
    reader.finish(&mut |item| items.push(format!("{item:?}")));
    items
}

/// Text that is full of what the reader looks for.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"project_pod_before=".to_vec()),
        Just(b"patch=".to_vec()),
        Just(b"project_pod=".to_vec()),
        Just(b"{\\\"a\\\": [\\n".to_vec()),
        Just(b"{\"a\": {'b': None, ".to_vec()),
        Just(b"[{\"op\":\"add\"}]".to_vec()),
        Just(b"2026-11-24T12:00:00Z ".to_vec()),
        Just(LAB.as_bytes().to_vec()),
        Just(b"TypeError: \xff".to_vec()),
        "[\\[\\]{}\"'\\\\\n,:a1-]{1,6}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read_and_their_pieces_do_not_matter(
        bytes in hostile(),
        cuts in proptest::collection::vec(0_usize..50, 0..20),
    ) {
        prop_assert_eq!(read(&bytes, &[]), read(&bytes, &cuts));
    }

    #[test]
    fn a_record_is_found_behind_any_line(before in hostile()) {
        let mut bytes = before;
        bytes.extend_from_slice(b"\n}]\"'\n project_pod={\"kind\":\"Pod\",\"x\":[1,2,{}]}\n");
        let items = read(&bytes, &[]);
        prop_assert!(items.last().is_some_and(|item| item.starts_with("Record") && item.contains("Pod")), "{items:?}");
    }
}

/// A kubelet that serves logs from a folder, ended with the test.
struct Kubelet {
    child: Child,
    port: u16,
    requests: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Kubelet {
    fn start(server: &ApiServer, logs: &Path) -> Self {
        let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/kubelet.js");
        let mut child = Command::new("node")
            .arg(peer)
            .arg(server.folder().join("server.crt"))
            .arg(server.folder().join("server.key"))
            .arg(logs)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let requests: std::sync::Arc<std::sync::Mutex<Vec<String>>> = std::sync::Arc::default();
        let all = requests.clone();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                all.lock().unwrap().push(line);
            }
        });
        Self {
            child,
            port: line.trim().parse().unwrap(),
            requests,
        }
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn logs_come_through_the_api_server() {
    let server = ApiServer::start();
    let logs = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(&server, logs.path());
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
    server.kubectl_with_stdin(&["create", "-f", "-"], &node.to_string());
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
    }});
    server.kubectl(&[
        "patch",
        "node",
        "n1",
        "--subresource=status",
        "-p",
        &status.to_string(),
    ]);
    let in_namespace = ["-n", crate::support::api_server::NAMESPACE];
    for (name, group) in [
        ("manage-action-7c9-x", "manage"),
        ("manage-action-7c9-y", "manage"),
        ("manage-state-1", "manage"),
        ("manage-action-imposter", "hub"),
    ] {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"group": group}},
            "spec": {"nodeName": "n1", "containers": [{"name": "manage", "image": "manage"}]}});
        server.kubectl_with_stdin(
            &[&in_namespace[..], &["create", "-f", "-"]].concat(),
            &pod.to_string(),
        );
    }
    let restarted = json!({"status": {"containerStatuses": [{"name": "manage", "restartCount": 1, "ready": true,
        "image": "manage", "imageID": "x", "state": {"running": {}}}]}});
    let patch_status = [
        "patch",
        "pod",
        "manage-action-7c9-x",
        "--subresource=status",
        "-p",
    ];
    server.kubectl(&[&in_namespace[..], &patch_status, &[&restarted.to_string()]].concat());

    // The container that ended: a start that the API server refused, in kubectl's own words.
    let mut twice = patch();
    twice
        .as_array_mut()
        .unwrap()
        .push(json!({"op": "copy", "from": "/spec/volumes/6", "path": "/spec/volumes/-"}));
    let refused = log("pretty", &before(), &twice);
    let start = refused.find("project_pod={").unwrap() + "project_pod=".len();
    let sent = &refused[start..];
    let answer = server.try_kubectl(
        &[&in_namespace[..], &["create", "--dry-run=server", "-f", "-"]].concat(),
        sent,
    );
    let words = String::from_utf8(answer.stderr).unwrap();
    assert!(words.contains("Duplicate value"), "{words}");
    std::fs::write(
        logs.path().join("manage-action-7c9-x.manage.previous.log"),
        format!(
            "{refused}2026-11-24T12:00:09Z ERROR {}\n",
            words.trim().replace('\n', " ")
        ),
    )
    .unwrap();
    // The one that runs: noise that is no text, a line of 5 MB, and a start that went well.
    let mut pod = before();
    pod["metadata"]["annotations"]["note"] = json!("x".repeat(5 << 20));
    let mut bytes = b"\xff\xfe\x80 nonsense\n".to_vec();
    bytes.extend_from_slice(log("line", &pod, &patch()).as_bytes());
    std::fs::write(logs.path().join("manage-action-7c9-x.manage.log"), &bytes).unwrap();
    std::fs::write(logs.path().join("manage-action-7c9-y.manage.log"), "listening\n").unwrap();

    let kubeconfig = server.kubeconfig().to_str().unwrap();
    let flags = [
        "debug",
        "--kubeconfig",
        kubeconfig,
        "-n",
        crate::support::api_server::NAMESPACE,
    ];
    let run = |more: &[&str]| Sandbox::new().run(&[&flags[..], more].concat());
    let report = run(&["--example", "-o", "json"]).code(0).json();
    let starts = report["starts"].as_array().unwrap();
    assert_eq!(starts.len(), 2, "{:?}", report["logs"]);
    let (first, second) = (&starts[0], &starts[1]);
    assert_eq!(
        (&first["pod"], &first["container"]),
        (&json!("manage-action-7c9-x"), &json!("manage"))
    );
    assert_eq!(
        [&first["previous"], &second["previous"]],
        [&json!(true), &json!(false)]
    );
    // The time is the API server's, which is exact, and not the service's own.
    assert!(first["time"].as_str().unwrap().ends_with(".123456789Z"));
    for start in starts {
        assert_eq!(start["replay"]["result"], "same");
    }
    let faults = first["errors"][0]["faults"].as_array().unwrap();
    let fault = faults
        .iter()
        .find(|fault| fault["field"] == "spec.volumes[7].name")
        .unwrap();
    assert_eq!(
        fault["blame"],
        json!([{"by": "patch", "operation": 3, "path": "/spec/volumes/-", "at": "/spec/volumes/7/name"},
               {"by": "license", "license": "5e0a9e17-3b8c-4d21-a6f0-91c27d84b35e", "title": "storage extra",
                "operation": 1, "path": "/spec/volumes/-", "at": "/spec/volumes/7/name"}])
    );
    let names: Vec<&str> = report["logs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|log| log["log"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "manage-action-7c9-x/manage (previous)",
            "manage-action-7c9-x/manage",
            "manage-action-7c9-y/manage"
        ]
    );

    // What to read is asked of the server.
    run(&["--since", "2h", "--tail", "1", OTHER])
        .code(1)
        .says("manage-action-7c9-y/manage: 1 line, 2026-11-24T")
        .says(&format!("no start of project {OTHER}"));
    // What the kubelet prints of a request comes on its own way.
    crate::support::shared::until("the kubelet has been asked", || {
        let asked = kubelet.requests.lock().unwrap();
        asked.iter().any(|url| {
            url.starts_with("/containerLogs/cocalc/manage-action-7c9-x/manage?")
                && [
                    "previous=true",
                    "sinceSeconds=7200",
                    "tailLines=1",
                    "timestamps=true",
                ]
                .iter()
                .all(|parameter| url.contains(parameter))
        })
    });

    // A log that cannot be read is said, and the others are told.
    std::fs::remove_file(logs.path().join("manage-action-7c9-y.manage.log")).unwrap();
    run(&[LAB]).code(0).says("note: manage-action-7c9-y/manage: ");
    drop(kubelet);
    run(&[LAB])
        .code(2)
        .says("manage-action-7c9-x/manage: ")
        .says("the pods manage-action-… are there, and none of their logs can be read")
        .does_not_say("no pod named");
    let mut elsewhere = flags;
    elsewhere[4] = "default";
    Sandbox::new()
        .run(&elsewhere)
        .code(1)
        .says("no pod named manage-action-");

    // Nothing but GET was sent by the plugin.
    let verbs: Vec<Value> = server
        .requests()
        .iter()
        .map(|event| event["verb"].clone())
        .collect();
    assert!(!verbs.is_empty());
    assert!(
        verbs
            .iter()
            .all(|verb| ["get", "list"].contains(&verb.as_str().unwrap())),
        "{verbs:?}"
    );
}
