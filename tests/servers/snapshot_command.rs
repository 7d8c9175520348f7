//! `snapshot` as its users run it: what is read from the file gives the answers that the sources gave, nothing secret
//! is left in a redacted one, and what the SQL statement prints is such a file.
//!
//! Random sites come from a seed that a failure prints; `SNAPSHOT_SEED` gives it, `SNAPSHOT_CASES` their number.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::support::{LAB, PLUGIN, Sandbox, postgres::Postgres};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

const A: &str = "0a000000-0000-4000-8000-000000000001";
const B: &str = "0b000000-0000-4000-8000-000000000002";
const GONE: &str = "0c000000-0000-4000-8000-000000000003";
const NOW: &str = "2026-11-24T12:00:00Z";

fn project(n: u32) -> String {
    format!("{n:08x}-1111-4111-8111-111111111111")
}

// --- random sites

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % u64::try_from(n).unwrap()).unwrap()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

const TEXTS: &[&str] = &[
    "",
    "a",
    "on",
    "NO",
    "~",
    "null",
    "true",
    "1_000",
    "017",
    "0x1f",
    "1e3",
    "-0",
    ".inf",
    ".nan",
    "1:30",
    "2023-01-20",
    "=",
    "<<",
    "!x",
    "&a",
    "*a",
    "%",
    "@",
    "`",
    "# no comment",
    "a # b",
    "a: b",
    "- x",
    "? x",
    "{",
    "}",
    "[",
    "'",
    "\"",
    "\\",
    "\t",
    " lead",
    "trail ",
    "two\nlines\n",
    "\nfirst",
    "last\n\n\n",
    "---",
    "...",
    "\n---\nprojects: []\n",
    "a\r\nb",
    "ünï 日本 😀",
    "\u{85}",
    "\u{2028}",
    "\u{202e}gnol",
    "\u{feff}",
    "\u{7f}\u{9b}31m",
    "\u{1b}[2J",
    "\u{e0041}",
    "\u{fffe}",
    "{project_id}",
    "{PROJECT_TAG}",
    "{extra_env}",
    "\\ud800",
    "\\u0000",
    "__proto__",
    "2147483648",
    "toString",
];

const NUMBERS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    2.0,
    4.0,
    0.1,
    1.5,
    -1.0,
    1e-7,
    1e21,
    1e308,
    5e-324,
    9_007_199_254_740_993.0,
    1e17,
];

fn text(random: &mut Random, nul: bool) -> String {
    if nul && random.one_in(20) {
        return "a\0b".to_owned();
    }
    let mut text = (*random.of(TEXTS)).to_owned();
    if random.one_in(4) {
        let more: &&str = random.of(TEXTS);
        text.push_str(more);
    }
    if random.one_in(30) {
        text = text.repeat(200);
    }
    text
}

fn value(random: &mut Random, nul: bool, depth: usize) -> Value {
    match random.below(if depth == 0 { 4 } else { 6 }) {
        0 => Value::Null,
        1 => json!(random.one_in(2)),
        2 => json!(random.of(NUMBERS)),
        3 => json!(text(random, nul)),
        4 => (0..random.below(3))
            .map(|_| value(random, nul, depth - 1))
            .collect(),
        _ => map(random, nul, depth),
    }
}

fn map(random: &mut Random, nul: bool, depth: usize) -> Value {
    let members = (0..random.below(4)).map(|_| {
        let name = text(random, nul);
        (name, value(random, nul, depth.saturating_sub(1)))
    });
    Value::Object(members.collect())
}

fn template(random: &mut Random) -> Value {
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "project-{project_id}", "labels": {"run": "project"}, "annotations": {"x": text(random, true)}},
        "spec": {"containers": [{"name": "project", "image": "{PROJECT_IMAGE}:{PROJECT_TAG}",
            "env": [{"name": "COCALC_EXTRA_ENV", "value": "{extra_env}"}, {"name": "COCALC_PROJECT_CONFIG", "value": "{project_config}"},
                    {"name": "X", "value": text(random, true)}],
            "volumeMounts": [{"name": "software", "mountPath": "/ext", "readOnly": true}]}],
          "volumes": [{"name": "software", "emptyDir": {}}], "priority": random.of(NUMBERS)}});
    match random.below(5) {
        0 => pod,
        1 => json!(pod.to_string()),
        2 => json!(serde_json::to_string_pretty(&pod).unwrap() + "\n"),
        // The last of two equal keys counts, and a number may be too large for a double.
        3 => json!(
            pod.to_string()
                .replacen("\"kind\":", "\"kind\":\"Node\",\"weight\":1e999,\"kind\":", 1)
        ),
        // Escapes that make a placeholder only for those who read the text as JSON first.
        _ => json!(
            pod.to_string()
                .replacen("\"x\":\"", "\"x\":\"\\u007bproject_id}\\ud800-\\u002d", 1)
                .replace("-\\ud800", "")
        ),
    }
}

fn patch(random: &mut Random) -> Value {
    let op = |path: &str, value: Value| json!([{"op": "add", "path": path, "value": value}]).to_string();
    match random.below(8) {
        0 => json!(op("/metadata/labels/a", value(random, true, 2))),
        1 => json!(op(
            "/spec/containers/0/env/-",
            json!({"name": "P", "value": (*random.of(TEXTS))})
        )),
        2 => json!(op("/spec/nowhere/x", json!(1))),
        3 => json!("[{\"op\":\"add\",\"path\":\"/spec/a\",\"value\":1e400,\"value\":0.10}]"),
        4 => json!("not JSON"),
        5 => json!([{"op": "add", "path": "/a", "value": 1}]),
        6 => json!("  [ { \"op\" : \"test\", \"path\" : \"/kind\", \"value\" : \"P\\u006fd\" } ]\n"),
        _ => Value::Null,
    }
}

fn license(random: &mut Random, id: &str, nul: bool) -> Value {
    let mut row = json!({"id": id, "title": text(random, nul), "managers": [text(random, nul)]});
    if !random.one_in(8) {
        row["activates"] = json!("2023-01-20T16:37:12.595123Z");
    }
    if random.one_in(4) {
        row["expires"] = json!(*random.of(&[
            "2026-11-24T12:00:00Z",
            "2026-11-24T12:00:00.000001Z",
            "2100-01-01T00:00:00Z"
        ]));
    }
    if random.one_in(2) {
        row["run_limit"] = json!(random.below(4));
    }
    if random.one_in(5) {
        row["upgrades"] = json!({"memory": random.of(NUMBERS), "cores": 1, (text(random, nul)): 1});
    }
    let mut quota = json!({"ram": random.of(&[1.0, 2.5, 0.1, 16.0]), "cpu": random.of(&[1.0, 0.3, 2.0])});
    quota["patch"] = patch(random);
    if random.one_in(4) {
        quota["member"] = json!(true);
    }
    if random.one_in(6) {
        quota[text(random, nul)] = value(random, nul, 2);
    }
    if random.one_in(8) {
        quota["disk"] = json!(TOO_LARGE);
    }
    row["quota"] = if random.one_in(10) { Value::Null } else { quota };
    row
}

fn row_of_project(random: &mut Random, n: u32, nul: bool) -> Value {
    let mut held = Map::new();
    for id in [A, B, GONE, "no uuid", "0A000000-0000-4000-8000-000000000001"] {
        if random.one_in(2) {
            let entry = match random.below(5) {
                0 => json!({"status": "exhausted", "reason": "exhausted"}),
                1 => json!({"status": "active", "quota": {"ram": 4, "patch": patch(random)}}),
                2 if random.one_in(6) => value(random, nul, 1),
                _ => json!({}),
            };
            held.insert(id.to_owned(), entry);
        }
    }
    let users = json!({
        "22222222-2222-4222-8222-222222222222": {"group": "owner", "upgrades": {"memory": 0.1, "cores": 0.7}},
        "22222222-2222-4222-8222-222222222221": {"group": "collaborator", "upgrades": {"memory": 0.3, "cores": 0.1}},
        (text(random, nul)): value(random, nul, 1),
    });
    let mut env = if random.one_in(8) {
        value(random, nul, 2)
    } else {
        map(random, nul, 1)
    };
    // A column that is a text itself is written as JSON.
    if env.is_string() {
        env = json!(env.to_string());
    }
    if let (Some(env), true) = (env.as_object_mut(), random.one_in(6)) {
        env.insert("LARGE".to_owned(), json!(TOO_LARGE));
    }
    json!({
        "project_id": project(n), "title": text(random, nul), "users": users, "site_license": held,
        "settings": if random.one_in(3) { json!({"memory": random.of(NUMBERS), "disableInternet": true}) } else { Value::Null },
        "run_quota": if random.one_in(3) { map(random, nul, 2) } else { Value::Null },
        "env": env,
        "state": if random.one_in(8) { Value::Null } else { json!({"state": random.of(&["running", "opened"])}) },
        "compute_image": if random.one_in(5) { json!(text(random, nul)) } else { json!("u") },
        "deleted": random.one_in(12),
    })
}

/// The text of a site, in which a number may be too large for a double, as jsonb holds it.
fn text_of(site: &Value) -> String {
    site.to_string().replace(&format!("\"{TOO_LARGE}\""), "-1e400")
}

const TOO_LARGE: &str = "@too large@";

fn random_site(random: &mut Random, nul: bool) -> Value {
    let projects: Vec<Value> = (1..=4).map(|n| row_of_project(random, n, nul)).collect();
    let mut site = json!({
        "now": NOW,
        "server_settings": {"kucalc": "onprem", "default_quotas": *random.of(&["{\"mem\":1000,\"cpu\":0.1,\"cpu_oc\":3}", "mem: 5 # on", ""])},
        "template": template(random),
        "software": {"default": "u", "environments": {"u": {"tag": text(random, nul), "title": text(random, nul), "registry": "registry.example/cocalc"}}},
        "site_licenses": [license(random, A, nul), license(random, B, nul)],
        "projects": projects,
        "live_pods": [{"metadata": {"name": format!("project-{}", project(1)), "uid": text(random, nul)}, "x": value(random, nul, 3)}],
    });
    if random.one_in(3) {
        site["license_usage"] = json!({A: random.below(3)});
    }
    if random.one_in(3) {
        site["assumptions"] = json!({"cpu_format": "decimal", "network": null, "project_config": {"on": text(random, nul)},
            "mem_request_adjustment": {"lim": 512, "pct": 12.5}, "project_container": "project", "on_patch_error": "half"});
    }
    if random.one_in(3) {
        site["server_settings"]["max_upgrades"] = json!({"memory": 4000, "cores": random.of(NUMBERS)});
    }
    site
}

fn seeds() -> impl Iterator<Item = u64> {
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let first = variable("SNAPSHOT_SEED").unwrap_or(20_261_124);
    first..first + variable("SNAPSHOT_CASES").unwrap_or(25)
}

fn random(seed: u64) -> Random {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    random.below(2);
    random
}

// --- replay

/// The answers of these commands, with the sources put behind each.
fn answers(sandbox: &Sandbox, commands: &[&[&str]], sources: &[&str]) -> Vec<String> {
    commands
        .iter()
        .map(|command| {
            let run = sandbox.run(&[command, sources].concat());
            // That rows of deleted projects were seen cannot be told by a file without them, and of columns that are
            // texts the place is told.
            let said: Vec<&str> = run
                .stderr
                .lines()
                .filter(|line| {
                    !line.contains("deleted project") && !line.contains("read as the JSON that it holds")
                })
                .collect();
            format!("{command:?} {}\n{}\n{}", run.code, run.stdout, said.join("\n"))
        })
        .collect()
}

#[track_caller]
fn assert_same(was: &[String], is: &[String], what: &str) {
    for (was, is) in was.iter().zip(is) {
        assert!(
            was == is,
            "{what}\n--- from the sources\n{was}\n--- from the file\n{is}"
        );
    }
}

const OF_ALL: &[&[&str]] = &[
    &["render", "--all", "-o", "jsonl"],
    &["render", "--all", "--keep-going", "--stored", "--explain"],
    &["quota", "--all", "-o", "jsonl"],
    &["quota", "--all"],
    &["patch-diff", "--all", "--show-secrets"],
    &["licenses", "-o", "json"],
];

#[test]
fn a_snapshot_of_all_projects_gives_every_answer_byte_for_byte() {
    for seed in seeds() {
        let site = random_site(&mut random(seed), true);
        let sandbox = Sandbox::new().file("site.json", &text_of(&site));
        let was = answers(&sandbox, OF_ALL, &["-f", "site.json"]);
        for format in ["yaml", "json"] {
            sandbox
                .run(&[
                    "snapshot",
                    "-f",
                    "site.json",
                    "--all",
                    "-o",
                    format,
                    "--to",
                    "taken",
                ])
                .code(0);
            let mut is = answers(&sandbox, OF_ALL, &["-f", "taken"]);
            // Deleted projects are not in the file, and so not among those that hold a license.
            if site["projects"]
                .as_array()
                .unwrap()
                .iter()
                .any(|row| row["deleted"] == true)
            {
                is[5].clone_from(&was[5]);
            }
            assert_same(
                &was,
                &is,
                &format!("SNAPSHOT_SEED={seed} SNAPSHOT_CASES=1, {format}"),
            );
        }
    }
}

#[test]
fn a_snapshot_of_one_project_gives_its_answers_byte_for_byte() {
    for seed in seeds() {
        let mut random = random(seed);
        let site = random_site(&mut random, true);
        let id = project(u32::try_from(1 + random.below(4)).unwrap());
        let sandbox = Sandbox::new().file("site.json", &text_of(&site));
        let commands: &[&[&str]] = &[
            &["render", &id],
            &["render", &id, "--explain"],
            &["quota", &id],
            &["patch-diff", &id, "-o", "json"],
        ];
        let was = answers(&sandbox, commands, &["-f", "site.json"]);
        for format in ["yaml", "json"] {
            let run = sandbox
                .run(&["snapshot", "-f", "site.json", &id, "-o", format])
                .code(0);
            let taken = Sandbox::new().file("taken", &run.stdout);
            let is = answers(&taken, commands, &["-f", "taken"]);
            assert_same(
                &was,
                &is,
                &format!("SNAPSHOT_SEED={seed} SNAPSHOT_CASES=1, {format}"),
            );
            let again = taken.run(&["snapshot", "-f", "taken", &id, "-o", format]).code(0);
            assert_eq!(
                again.stdout, run.stdout,
                "SNAPSHOT_SEED={seed}: a snapshot of a snapshot"
            );
        }
    }
}

#[test]
fn the_example_survives_both_formats_and_standard_input() {
    let sandbox = Sandbox::new();
    let was = sandbox.run(&["render", "--example", "--explain"]).stdout;
    for format in ["yaml", "json"] {
        let file = sandbox
            .run(&["snapshot", "--example", "-o", format])
            .code(0)
            .silently()
            .stdout;
        let is = sandbox
            .run_with_stdin(&["render", "-f", "-", "--explain"], &file)
            .code(0)
            .stdout;
        assert_eq!(was, is, "{format}");
    }
}

#[test]
fn running_projects_are_counted_although_they_are_not_in_the_file() {
    let site = json!({
        "now": NOW,
        "site_licenses": [{"id": A, "activates": "2023-01-01", "run_limit": 1, "quota": {"ram": 4}}],
        "projects": [
            {"project_id": project(1), "site_license": {A: {}}},
            {"project_id": project(2), "site_license": {A: {"quota": {"ram": 4}}}, "state": {"state": "running"}},
            {"project_id": project(3), "site_license": {B: {}}},
        ],
    });
    let sandbox = Sandbox::new().file("site.json", &text_of(&site));
    sandbox
        .run(&["snapshot", "-f", "site.json", &project(1), "--to", "one.yaml"])
        .code(0)
        .says("1 project, 1 license");
    sandbox
        .run(&["quota", "-f", "one.yaml"])
        .code(0)
        .prints("run limit 1, 1 other project runs with it");
    let two = sandbox
        .run(&["snapshot", "-f", "site.json", &project(2)])
        .code(0)
        .stdout;
    sandbox
        .run_with_stdin(&["quota", "-f", "-"], &two)
        .code(0)
        .prints("active");
    sandbox
        .run(&[
            "snapshot",
            "-f",
            "site.json",
            &project(3),
            "--add-license",
            "0a0000",
        ])
        .code(0)
        .prints(&format!("- activates: \"2023-01-01T00:00:00Z\"\n  id: {A}"));
}

#[test]
fn that_cocalc_cannot_count_a_license_survives_without_the_project_at_fault() {
    let site = json!({
        "now": NOW,
        "site_licenses": [{"id": A, "activates": "2023-01-01", "run_limit": 1, "quota": {"ram": 4}}],
        "projects": [
            {"project_id": project(1), "site_license": {A: {}}},
            {"project_id": project(2), "site_license": {A: 5}, "state": {"state": "running"}},
        ],
    });
    let sandbox = Sandbox::new().file("site.json", &text_of(&site));
    let said = format!("in project {} site_license[{A}] is no object", project(2));
    sandbox
        .run(&["quota", "-f", "site.json", &project(1)])
        .code(2)
        .says(&said);
    let one = sandbox
        .run(&["snapshot", "-f", "site.json", &project(1)])
        .code(0)
        .stdout;
    sandbox
        .run_with_stdin(&["quota", "-f", "-"], &one)
        .code(2)
        .says(&said);
}

#[test]
fn what_if_flags_and_placeholders_are_no_part_of_it() {
    let sandbox = Sandbox::new();
    sandbox
        .run(&["snapshot", "--example", "--set", "PROJECT_TAG=x"])
        .code(2)
        .says("--set is no part of a snapshot");
    for flag in [
        "--patch=[]",
        "--drop-license=f3d76abf",
        "--at=2026-01-01",
        "--stored",
    ] {
        sandbox
            .run(&["snapshot", "--example", flag])
            .code(2)
            .says("unexpected argument");
    }
    sandbox
        .run(&["snapshot", "--example", "--add-license", "f0f0f0"])
        .code(2)
        .says("no source has a license of this id");
}

#[test]
fn settings_that_no_pod_depends_on_are_left_out() {
    let site =
        json!({"server_settings": {"kucalc": "onprem", "email_smtp_password": "hunter2"}, "projects": []});
    let run = Sandbox::new()
        .file("site.json", &text_of(&site))
        .run(&["snapshot", "-f", "site.json", "--all"])
        .code(0)
        .prints("kucalc: onprem");
    assert!(!run.stdout.contains("hunter2"), "{}", run.stdout);
}

#[test]
fn a_number_too_large_for_a_double_is_read_in_columns_and_nowhere_else() {
    let site = |env: &str| {
        format!(
            "{{\"projects\": [{{\"project_id\": \"{}\", \"env\": {env}}}]}}",
            project(1)
        )
    };
    let digits = format!("1{}", "0".repeat(400));
    for number in ["1e400", "1E+999", &digits] {
        let sandbox = Sandbox::new().file(
            "site.json",
            &site(&format!("{{\"a\": [{number}, -{number}], \"b\": 1.5}}")),
        );
        for format in ["yaml", "json"] {
            let run = sandbox
                .run(&["snapshot", "-f", "site.json", "-o", format])
                .code(0)
                .prints("-1e999");
            let again = sandbox
                .run_with_stdin(&["snapshot", "-f", "-", "-o", format], &run.stdout)
                .code(0);
            assert_eq!(run.stdout, again.stdout);
        }
    }
    let sandbox = Sandbox::new().file("site.json", "{\"template\": {\"a\": 1e400}}");
    sandbox
        .run(&["snapshot", "-f", "site.json"])
        .code(2)
        .says("site.json:1:24: a number too large for a double");
    let sandbox = Sandbox::new().file("site.yaml", "server_settings: {a: .nan}");
    sandbox
        .run(&["snapshot", "-f", "site.yaml"])
        .code(2)
        .says("or none at all");
}

#[test]
fn what_no_file_can_hold_is_named() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let site = format!(
        r#"{{"projects": [{{"project_id": "{}", "env": {}}}]}}"#,
        project(1),
        deep(100)
    );
    let sandbox = Sandbox::new().file("site.json", &site);
    sandbox
        .run(&["snapshot", "-f", "site.json"])
        .code(2)
        .says(&format!("project {} is nested deeper than 64 levels", project(1)))
        .says("use -o json");
    let file = sandbox
        .run(&["snapshot", "-f", "site.json", "-o", "json"])
        .code(0)
        .stdout;
    sandbox
        .run_with_stdin(&["snapshot", "-f", "-", "-o", "json"], &file)
        .code(0);
    // As deep as YAML is read.
    let site = format!(
        r#"{{"projects": [{{"project_id": "{}", "env": {}}}]}}"#,
        project(1),
        deep(61)
    );
    let sandbox = Sandbox::new().file("site.json", &site);
    let file = sandbox.run(&["snapshot", "-f", "site.json"]).code(0).stdout;
    sandbox.run_with_stdin(&["snapshot", "-f", "-"], &file).code(0);
}

// --- the file

#[cfg(unix)]
#[test]
fn the_file_is_private_and_takes_the_place_of_an_older_one() {
    use std::os::unix::fs::PermissionsExt as _;

    let sandbox = Sandbox::new().file("a.yaml", "older");
    fs::set_permissions(sandbox.path().join("a.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::symlink("a.yaml", sandbox.path().join("link.yaml")).unwrap();
    for file in ["a.yaml", "link.yaml", "new.yaml"] {
        let run = sandbox
            .run(&["snapshot", "--example", "--to", file])
            .code(0)
            .prints_nothing()
            .says(&format!(
                "{file} is written, readable by you alone: 1 project, 4 licenses"
            ))
            .says("--redact");
        drop(run);
        let metadata = fs::metadata(sandbox.path().join(file)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{file}");
        sandbox.run(&["render", "-f", file]).code(0).prints(LAB);
    }
    assert!(
        sandbox.path().join("link.yaml").is_symlink(),
        "the link stays one"
    );
    let left: Vec<_> = fs::read_dir(sandbox.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[cfg(unix)]
#[test]
fn a_failure_leaves_the_file_that_was_there() {
    let sandbox = Sandbox::new().file("a.yaml", "older").file("folder/x", "");
    std::os::unix::fs::symlink("nowhere", sandbox.path().join("dangling")).unwrap();
    for (file, said) in [
        ("folder", "it is a folder"),
        ("dangling", "it is a link to nothing"),
        ("missing/a.yaml", "cannot be written"),
        ("/dev/null", "it is no ordinary file"),
    ] {
        sandbox
            .run(&["snapshot", "--example", "--to", file])
            .code(2)
            .says(said)
            .prints_nothing();
    }
    sandbox
        .run(&["snapshot", "--example", "--to", "a.yaml", &project(7)])
        .code(2)
        .says("no project");
    // A limit on the size of files stands for a full disk.
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "trap '' XFSZ; ulimit -f 4; exec \"$0\" snapshot --example --to a.yaml",
        PLUGIN,
    ]);
    sandbox
        .run_command(command, "")
        .code(2)
        .says("a.yaml: cannot be written")
        .says("what was there before is unchanged");
    assert_eq!(
        fs::read_to_string(sandbox.path().join("a.yaml")).unwrap(),
        "older"
    );
    let left = fs::read_dir(sandbox.path()).unwrap().count();
    assert_eq!(left, 3, "nothing half-written is left");
}

#[test]
fn a_dash_is_standard_output() {
    Sandbox::new()
        .run(&["snapshot", "--example", "--to", "-"])
        .code(0)
        .prints("projects:")
        .silently();
}

// --- redaction

/// Base64 in a text, decoded, and so on.
fn with_decoded(text: &str) -> String {
    let mut all = text.to_owned();
    for digits in text.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c))) {
        if digits.len() < 4 {
            continue;
        }
        if let Some(inner) = STANDARD
            .decode(digits)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
        {
            all.push('\n');
            all.push_str(&with_decoded(&inner));
        }
    }
    all
}

const USER: &str = "99999999-2222-4222-8222-22222222222f";
const MANAGER: &str = "10000000-2222-4222-8222-22222222222a";

/// A site full of secrets, each of which holds the word `hush`, `USER` or `MANAGER`.
fn secretive_site() -> Value {
    let encoded = |value: Value| STANDARD.encode(value.to_string());
    let operations = json!([
        {"op": "test", "path": "/spec/containers/0/env/4/value", "value": "hush-template"},
        {"op": "add", "path": "/spec/containers/0/env/-", "value": {"name": "A", "value": "hush-added"}},
        {"op": "replace", "path": "/spec/containers/0/env/4/value", "value": "hush-replaced"},
        {"op": "add", "path": "/spec/containers/-", "value": {"name": "side", "image": "x", "env": [{"name": "B", "value": "hush-side"}]}},
        {"op": "add", "path": "/spec/containers/0/envFrom", "value": [{"secretRef": {"name": "visible-secret"}}]},
        {"op": "add", "path": "/metadata/labels/env", "value": "visible-label"},
    ]);
    let stored = json!([{"op": "replace", "path": "/spec/containers/0/env/4/value", "value": "hush-stored"}]);
    let env = json!({"TOKEN": "hush-project", "URL": format!("https://hush@host/{}", project(1)), "PIN": "hush;!?", "EMPTY": ""});
    let config = json!({"quota": {"memory_limit": 4000, "patch": operations}, "env": {"C": "hush-config"}});
    let pod_env = json!([
        {"name": "COCALC_PROJECT_ID", "value": project(1)},
        {"name": "COCALC_EXTRA_ENV", "value": encoded(env.clone())},
        {"name": "COCALC_PROJECT_CONFIG", "value": encoded(config)},
        {"name": "IMAGE", "value": "registry.example/cocalc:v1"},
        {"name": "HARD", "value": "hush-template"},
    ]);
    let spec =
        json!({"containers": [{"name": "project", "image": "registry.example/cocalc:v1", "env": pod_env}]});
    let template = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "project-{project_id}", "labels": {"run": "project"}, "annotations": {"copy": "{extra_env}"}},
        "spec": {"containers": [{"name": "project", "image": "{PROJECT_IMAGE}:{PROJECT_TAG}", "env": [
            {"name": "COCALC_PROJECT_ID", "value": "{project_id}"},
            {"name": "COCALC_EXTRA_ENV", "value": "{extra_env}"},
            {"name": "COCALC_PROJECT_CONFIG", "value": "{project_config}"},
            {"name": "IMAGE", "value": "{PROJECT_IMAGE}:{PROJECT_TAG}"},
            {"name": "HARD", "value": "hush-template"}]}]}});
    json!({
        "now": NOW,
        "template": serde_json::to_string_pretty(&template).unwrap(),
        "software": {"environments": {"u": {"tag": "v1", "registry": "registry.example/cocalc"}}},
        "site_licenses": [
            {"id": A, "title": "hush lab", "activates": "2023-01-01", "managers": [MANAGER], "quota": {"ram": 4, "patch": operations.to_string()}},
            {"id": B, "title": "", "activates": "2023-01-01", "quota": {"ram": 1, "patch": "[{op: 'add', value: 'hush-broken'}]"}},
        ],
        "projects": [{
            "project_id": project(1), "title": "hush title", "compute_image": "u", "env": env,
            "users": {USER: {"group": "owner", "ssh_keys": {"x": {"title": "hush key"}}}, MANAGER: {"group": "collaborator", "upgrades": {"cores": 1}}},
            "site_license": {A: {}, B: {}, GONE: {"status": "active", "quota": {"ram": 1, "patch": stored.to_string()}}},
            "run_quota": {"patch": operations, "pay_as_you_go": {"account_id": USER}},
        }],
        "live_pods": [{"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("project-{}", project(1)), "uid": "1", "labels": {"run": "project"}, "annotations": {
                "copy": encoded(env), "owner": USER,
                "kubectl.kubernetes.io/last-applied-configuration": json!({"spec": spec}).to_string()}},
            "spec": spec}],
    })
}

#[test]
fn nothing_secret_is_left_in_a_redacted_snapshot() {
    let sandbox = Sandbox::new().file("site.json", &secretive_site().to_string());
    let plain = sandbox.run(&["snapshot", "-f", "site.json"]).code(0).stdout;
    for secret in ["hush-project", "hush-config", "hush-side", USER, MANAGER] {
        assert!(
            with_decoded(&plain).contains(secret),
            "{secret} is there to be redacted"
        );
    }
    for format in ["yaml", "json"] {
        let file = sandbox
            .run(&["snapshot", "-f", "site.json", "--redact", "-o", format])
            .code(0)
            .stdout;
        let all = with_decoded(&file);
        for secret in ["hush", USER, MANAGER] {
            let at = all
                .find(secret)
                .map(|at| &all[at.saturating_sub(60)..(at + 60).min(all.len())]);
            assert_eq!(at, None, "{format}: {secret} is left");
        }
        for kept in [
            A,
            B,
            GONE,
            &project(1),
            "/spec/containers/0/env/4/value",
            "/metadata/labels/env",
            "secretRef",
            "TOKEN",
        ] {
            assert!(all.contains(kept), "{format}: {kept} is gone");
        }
        assert!(!all.contains("visible"), "{format}: a name is left");
    }
}

#[test]
fn a_redacted_snapshot_gives_the_same_pod_but_for_the_values() {
    let sandbox = Sandbox::new().file("site.json", &secretive_site().to_string());
    sandbox
        .run(&["snapshot", "-f", "site.json", "--redact", "--to", "red.yaml"])
        .code(0);
    let pod = |file: &str| sandbox.run(&["render", "-f", file, "-o", "json"]).code(0).json();
    let (was, is) = (pod("site.json"), pod("red.yaml"));
    let env = |pod: &Value, i: usize| {
        pod["spec"]["containers"][0]["env"][i]["value"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let decoded = |text: &str| -> Value { serde_json::from_slice(&STANDARD.decode(text).unwrap()).unwrap() };
    // The test operation of the patch met its value.
    assert_eq!(env(&is, 4).len(), env(&was, 4).len(), "{is}");
    assert_ne!(env(&was, 4), env(&is, 4));
    assert_eq!(
        json!(env(&is, 3)),
        is["spec"]["containers"][0]["image"],
        "an image is the same in a value"
    );
    let extra = decoded(&env(&is, 1));
    assert!(
        extra.as_object().unwrap().values().any(|value| value == ""),
        "{extra}"
    );
    assert!(env(&was, 1).len() == env(&is, 1).len(), "{extra}");
    assert!(extra.to_string().contains(&project(1)), "{extra}");
    // Everything else has the form that it had.
    fn form(value: &Value) -> Value {
        match value {
            Value::String(text) if text.starts_with("eyJ") => json!("base64"),
            Value::String(text) => json!(text.replace(|c: char| c.is_alphanumeric(), "x")),
            Value::Array(list) => list.iter().map(form).collect(),
            Value::Object(map) => map
                .iter()
                .map(|(name, value)| (name.replace(|c: char| c.is_alphanumeric(), "x"), form(value)))
                .collect(),
            other => other.clone(),
        }
    }
    assert_eq!(form(&was), form(&is));
    let quota = |file: &str| sandbox.run(&["quota", "-f", file, "-o", "json"]).code(0).json();
    let (was, is) = (quota("site.json"), quota("red.yaml"));
    assert_eq!(was["quota"]["memory_limit"], is["quota"]["memory_limit"]);
    assert_eq!(was["reasons"], is["reasons"]);
    // The broken patch is dropped as it was.
    let licenses = sandbox
        .run(&["licenses", "-f", "red.yaml", B, "-o", "json"])
        .code(0)
        .json();
    assert_eq!(licenses["patch"]["gate"], "dropped");
}

#[test]
fn stand_ins_are_equal_where_the_values_are_and_in_every_run() {
    let sandbox = Sandbox::new().file("site.json", &secretive_site().to_string());
    let run = || {
        sandbox
            .run(&["snapshot", "-f", "site.json", "--redact", "-o", "json"])
            .code(0)
    };
    let first = run();
    assert_eq!(first.stdout, run().stdout);
    let file = first.json();
    let live = &file["live_pods"][0]["spec"]["containers"][0]["env"];
    let decoded: Value =
        serde_json::from_slice(&STANDARD.decode(live[1]["value"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(decoded, file["projects"][0]["env"]);
    assert_eq!(live[0]["value"], json!(project(1)));
    let managers = &file["site_licenses"][0]["managers"];
    let users: Vec<&String> = file["projects"][0]["users"].as_object().unwrap().keys().collect();
    assert_eq!(managers[0].as_str().unwrap(), users[0]);
    assert_eq!(
        file["live_pods"][0]["metadata"]["annotations"]["owner"],
        json!(users[1])
    );
}

#[test]
fn hostile_sites_are_redacted_without_a_trace() {
    for seed in seeds() {
        let mut site = random_site(&mut random(seed), true);
        let mut planted = 0;
        plant(&mut site, &mut planted);
        let sandbox = Sandbox::new().file("site.json", &text_of(&site));
        let run = sandbox
            .run(&["snapshot", "-f", "site.json", "--all", "--redact", "-o", "json"])
            .code(0);
        assert!(planted > 0);
        assert!(
            !with_decoded(&run.stdout).contains("hush"),
            "SNAPSHOT_SEED={seed}\n{}",
            run.stdout
        );
        // Neither the quotas nor what is said of licenses and patches depends on what was replaced.
        let sandbox = sandbox.file("red.json", &run.stdout);
        let quotas = |file: &str| -> Vec<Value> {
            let run = sandbox.run(&["quota", "-f", file, "--all", "-o", "jsonl"]);
            let quota = |line: &str| {
                let mut quota = serde_json::from_str::<Value>(line).unwrap()["quota"].take();
                quota.as_object_mut().unwrap().remove("patch");
                quota
            };
            run.stdout.lines().map(quota).collect()
        };
        assert_eq!(quotas("site.json"), quotas("red.json"), "SNAPSHOT_SEED={seed}");
        let render = |file: &str| sandbox.run(&["render", "-f", file, "--all", "-o", "jsonl"]);
        let (was, is) = (render("site.json"), render("red.json"));
        let what = format!("SNAPSHOT_SEED={seed}\n{}\n{}", was.stderr, is.stderr);
        assert_eq!(was.code, is.code, "{what}");
        let licenses = |file: &str| -> Vec<Value> {
            let run = sandbox.run(&["licenses", "-f", file, "-o", "json"]).code(0);
            let rows = run.json().as_array().unwrap().clone();
            let told = |row: Value| {
                json!([
                    row["id"],
                    row["state"],
                    row["patch"]["gate"],
                    row["patch"]["operations"]
                ])
            };
            rows.into_iter()
                .filter(|row| row["id"] == A || row["id"] == B)
                .map(told)
                .collect()
        };
        assert_eq!(
            licenses("site.json"),
            licenses("red.json"),
            "SNAPSHOT_SEED={seed}"
        );
    }
}

#[test]
fn a_live_pod_alone_gives_its_placeholders_from_the_file_too() {
    let mut site = secretive_site();
    for section in ["projects", "site_licenses", "software"] {
        site.as_object_mut().unwrap().remove(section);
    }
    let id = project(1);
    let sandbox = Sandbox::new().file("site.json", &site.to_string());
    let commands: &[&[&str]] = &[
        &["render"],
        &["render", &id, "--explain"],
        &["patch-diff", &id, "--show-secrets"],
    ];
    let was = answers(&sandbox, commands, &["-f", "site.json"]);
    sandbox
        .run(&["snapshot", "-f", "site.json", &id, "--to", "taken"])
        .code(0);
    assert_same(&was, &answers(&sandbox, commands, &["-f", "taken"]), "a live pod");
    assert!(was[0].contains("registry.example/cocalc:v1"), "{}", was[0]);
}

/// Puts a secret into every string of every column `env`.
fn plant(site: &mut Value, planted: &mut usize) {
    fn into(value: &mut Value, planted: &mut usize) {
        match value {
            Value::String(text) => {
                *planted += 1;
                *text = format!("{text}hush{planted}");
            }
            Value::Array(list) => list.iter_mut().for_each(|value| into(value, planted)),
            Value::Object(map) => map.values_mut().for_each(|value| into(value, planted)),
            _ => {}
        }
    }
    for row in site["projects"].as_array_mut().unwrap() {
        into(&mut row["env"], planted);
        if row["env"].is_string() {
            row["env"] = json!(row["env"].to_string());
        }
    }
    *planted += 1;
}

// --- SQL

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    }
}

fn jsonb(value: &Value) -> String {
    if value.is_null() {
        "NULL".to_owned()
    } else {
        format!("{}::jsonb", literal(&json!(text_of(value))))
    }
}

/// Puts the rows of a site into the tables.
fn insert(database: &Postgres, site: &Value) {
    let mut sql = String::new();
    for (name, value) in site["server_settings"].as_object().unwrap() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        sql.push_str(&format!(
            "INSERT INTO server_settings VALUES ({}, {}, false);\n",
            literal(&json!(name)),
            literal(&json!(text))
        ));
    }
    for row in site["site_licenses"].as_array().unwrap() {
        sql.push_str(&format!(
            "INSERT INTO site_licenses (id, title, activates, expires, run_limit, upgrades, quota, managers) VALUES ({}, {}, {}, {}, {}, {}, {}, ARRAY[{}, NULL]);\n",
            literal(&row["id"]), literal(&row["title"]), literal(&row["activates"]), literal(&row["expires"]),
            literal(&row["run_limit"]), jsonb(&row["upgrades"]), jsonb(&row["quota"]), literal(&row["managers"][0])
        ));
    }
    for row in site["projects"].as_array().unwrap() {
        sql.push_str(&format!(
            "INSERT INTO projects (project_id, title, users, site_license, settings, run_quota, env, state, compute_image, deleted) VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}, {});\n",
            literal(&row["project_id"]), literal(&row["title"]), jsonb(&row["users"]), jsonb(&row["site_license"]), jsonb(&row["settings"]),
            jsonb(&row["run_quota"]), jsonb(&row["env"]), jsonb(&row["state"]), literal(&row["compute_image"]), row["deleted"]
        ));
    }
    database.psql(&sql);
}

/// What psql prints when the statement comes from a pipe.
fn piped(database: &Postgres, statement: &str) -> String {
    let mut child = database
        .psql_command()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), statement.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{statement}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_the_statement_prints_gives_the_answers_of_the_rows() {
    let database = Postgres::start();
    for seed in seeds().take(12) {
        let site = random_site(&mut random(seed), false);
        database.psql("TRUNCATE server_settings, site_licenses, projects");
        insert(&database, &site);
        let mut rest = site.clone();
        for table in [
            "now",
            "server_settings",
            "site_licenses",
            "projects",
            "license_usage",
        ] {
            rest.as_object_mut().unwrap().remove(table);
        }
        let mut rows = site;
        rows.as_object_mut().unwrap().remove("license_usage");
        // CoCalc's settings are text.
        for value in rows["server_settings"].as_object_mut().unwrap().values_mut() {
            *value = json!(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        let sandbox = Sandbox::new()
            .file("rows.json", &text_of(&rows))
            .file("rest.json", &rest.to_string());
        let statement = sandbox
            .run(&["snapshot", "--all", "--sql"])
            .code(0)
            .silently()
            .stdout;
        let sandbox = sandbox.file("db.json", &piped(&database, &statement));
        let commands: &[&[&str]] = &[
            &["render", "--all", "-o", "jsonl", "--at", NOW],
            &["quota", "--all", "-o", "jsonl", "--at", NOW],
            &["patch-diff", "--all", "--at", NOW],
        ];
        // The template's origin is in no message of these.
        let was = answers(&sandbox, commands, &["-f", "rows.json"]);
        let is = answers(&sandbox, commands, &["-f", "db.json", "-f", "rest.json"]);
        let clean = |answers: Vec<String>| -> Vec<String> {
            answers
                .iter()
                .map(|answer| answer.replace("rest.json", "rows.json"))
                .collect()
        };
        assert_same(
            &clean(was),
            &clean(is),
            &format!("SNAPSHOT_SEED={seed} SNAPSHOT_CASES=1"),
        );
    }
}

#[test]
fn the_statement_takes_projects_by_id_and_by_license_and_brings_their_licenses() {
    let database = Postgres::start();
    insert(
        &database,
        &json!({
            "server_settings": {"kucalc": "onprem", "secret": "hunter2"},
            "site_licenses": [{"id": A, "managers": [null]}, {"id": B, "managers": [null]}],
            "projects": [
                {"project_id": project(1), "site_license": {A: {}}, "deleted": null},
                {"project_id": project(2), "site_license": {B: {}}, "deleted": false},
                {"project_id": project(3), "site_license": [1], "deleted": true},
                {"project_id": project(4), "site_license": {A: {}}, "deleted": true},
            ],
        }),
    );
    let taken = |args: &[&str]| -> (Vec<String>, Vec<String>) {
        let statement = Sandbox::new()
            .run(&[&["snapshot", "--sql"], args].concat())
            .code(0)
            .stdout;
        let text = piped(&database, &statement);
        assert!(!text.contains("hunter2"));
        let file: Value = serde_json::from_str(&text).unwrap();
        let ids = |table: &str, column: &str| -> Vec<String> {
            let rows = file[table].as_array().unwrap().iter();
            rows.map(|row| row[column].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(
            file["license_usage"].as_object().unwrap().len(),
            ids("site_licenses", "id").len()
        );
        (ids("projects", "project_id"), ids("site_licenses", "id"))
    };
    let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert_eq!(taken(&["--all"]), (vec![project(1), project(2)], owned(&[A, B])));
    assert_eq!(taken(&["--with-license", A]), (vec![project(1)], owned(&[A])));
    assert_eq!(taken(&[&project(3)]), (vec![project(3)], owned(&[])));
    assert_eq!(
        taken(&[&project(4), &project(2)]),
        (vec![project(2), project(4)], owned(&[A, B]))
    );
    assert_eq!(
        taken(&[&project(1), "--add-license", B]),
        (vec![project(1)], owned(&[A, B]))
    );
    assert_eq!(taken(&[&project(9)]), (vec![], owned(&[])));
}

#[test]
fn times_beyond_all_calendars_keep_their_meaning() {
    let database = Postgres::start();
    database.psql(&format!(
        "INSERT INTO site_licenses (id, activates, expires, last_used) VALUES
         ('{A}', '-infinity', 'infinity', '2026-11-24 12:00:00.5'), ('{B}', 'infinity', '-infinity', NULL), ('{GONE}', '0044-03-15 BC', '12000-01-01', NULL)"
    ));
    let sandbox = Sandbox::new();
    let statement = sandbox.run(&["snapshot", "--all", "--sql"]).code(0).stdout;
    let states = sandbox
        .run_with_stdin(
            &["licenses", "-f", "-", "-o", "json"],
            &piped(&database, &statement),
        )
        .code(0)
        .json();
    let state = |i: usize| states[i]["state"].as_str().unwrap().to_owned();
    assert_eq!([state(0), state(1), state(2)], ["active", "expired", "active"]);
    assert_eq!(states[0]["last_used"], "2026-11-24T12:00:00.5Z");
}

#[test]
fn the_statement_writes_nothing() {
    let database = Postgres::with_example();
    let statement = Sandbox::new().run(&["snapshot", "--all", "--sql"]).code(0).stdout;
    let text = database.psql(&format!("BEGIN READ ONLY; {statement} COMMIT;"));
    let file: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(file["projects"][0]["project_id"], LAB);
    let longest = text.lines().count();
    assert!(
        longest >= 12,
        "a row for each project, license and setting: {text}"
    );
}

#[test]
fn a_file_that_is_cut_off_is_noticed() {
    let database = Postgres::with_example();
    let sandbox = Sandbox::new();
    let statement = sandbox.run(&["snapshot", "--all", "--sql"]).code(0).stdout;
    let text = piped(&database, &statement);
    let lines: Vec<&str> = text.lines().collect();
    for end in 1..lines.len() {
        sandbox
            .run_with_stdin(&["licenses", "-f", "-"], &lines[..end].join("\n"))
            .code(2);
    }
}

#[test]
fn the_statement_needs_to_be_told_which_projects() {
    let sandbox = Sandbox::new();
    sandbox
        .run(&["snapshot", "--sql"])
        .code(2)
        .says("name projects, --with-license or --all");
    sandbox
        .run(&["snapshot", "--sql", "--with-license", "f3d76abf"])
        .code(2)
        .says("give the whole UUID");
    sandbox
        .run(&["snapshot", "--sql", "x' OR '1'='1"])
        .code(2)
        .says("names no project");
    for flag in ["--example", "--redact", "-ojson", "-f=x.yaml"] {
        sandbox
            .run(&["snapshot", "--sql", "--all", flag])
            .code(2)
            .says("cannot be used with");
    }
}
