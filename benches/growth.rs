//! How time and memory grow with each thing that an input can have many of: whole processes for n, 2n and 4n of it.
//! `cargo bench --bench growth`; env ONLY (a word of the row's name), FACTOR (default 1, of all n), ROUNDS (default 1,
//! of which the fastest counts). A `!` marks what grows by more than [`LINEAR`] where the input doubles.

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Map, Value, json};

mod support;

/// Twice, and what a measurement strays by.
const LINEAR: f64 = 2.4;
/// What a process costs that does nothing, in seconds and MiB: it grows with nothing.
const BARE: (f64, f64) = (0.01, 8.0);

/// What is grown, the smallest n, and how a command line is made of a folder and an n.
struct Row {
    name: &'static str,
    smallest: usize,
    command: fn(&Path, usize) -> Command,
}

const ROWS: &[Row] = &[
    Row {
        name: "operations, one line, patch-diff --before --patch-file",
        smallest: 25_000,
        command: |folder, n| {
            let patch = file(folder, "patch.json", &operations(n).to_string());
            let pod = file(folder, "pod.json", TEMPLATE);
            plugin(&[
                "patch-diff",
                "-o",
                "json",
                "--before",
                &pod,
                "--patch-file",
                &patch,
            ])
        },
    },
    Row {
        name: "operations, render -p",
        smallest: 25_000,
        command: |folder, n| {
            let patch = file(folder, "patch.json", &operations(n).to_string());
            let pod = file(folder, "pod.json", TEMPLATE);
            plugin(&["render", "-o", "json", "-f", &pod, "--patch-file", &patch])
        },
    },
    Row {
        name: "licenses of a project, render",
        smallest: 5_000,
        command: |folder, n| {
            of_site(
                folder,
                &Site {
                    licenses: n,
                    held: n,
                    ..SITE
                },
                &["render", "-o", "json"],
            )
        },
    },
    Row {
        name: "licenses of a project, patch-diff -o json",
        smallest: 2_500,
        command: |folder, n| {
            of_site(
                folder,
                &Site {
                    licenses: n,
                    held: n,
                    ..SITE
                },
                &["patch-diff", "-o", "json"],
            )
        },
    },
    Row {
        name: "licenses of a project, quota",
        smallest: 5_000,
        command: |folder, n| {
            of_site(
                folder,
                &Site {
                    licenses: n,
                    held: n,
                    ..SITE
                },
                &["quota"],
            )
        },
    },
    Row {
        name: "elements of an edited list",
        smallest: 10_000,
        command: |folder, n| made(folder, list(n, |at| at % (n / 100) == 0)),
    },
    Row {
        name: "elements of a list edited everywhere",
        smallest: 10_000,
        command: |folder, n| made(folder, list(n, |at| at % 10 == 0)),
    },
    Row {
        name: "twins",
        smallest: 10_000,
        command: |folder, n| {
            let twin = |edited: bool| json!({"key": "a", "value": if edited { "c" } else { "b" }});
            let before: Vec<Value> = (0..n).map(|_| twin(false)).collect();
            let mut after: Vec<Value> = (0..n).map(|at| twin(at % (n / 50) == 7)).collect();
            after.remove(n / 2);
            made(folder, (json!({"list": before}), json!({"list": after})))
        },
    },
    Row {
        name: "env of a container, render",
        smallest: 20_000,
        command: |folder, n| of_site(folder, &Site { variables: n, ..SITE }, &["render", "-o", "json"]),
    },
    Row {
        name: "env of a container, render --explain",
        smallest: 10_000,
        command: |folder, n| of_site(folder, &Site { variables: n, ..SITE }, &["render", "--explain"]),
    },
    Row {
        name: "env of a container, patch-diff",
        smallest: 10_000,
        command: |folder, n| {
            of_site(
                folder,
                &Site { variables: n, ..SITE },
                &["patch-diff", "-o", "json", "--exit-zero"],
            )
        },
    },
    Row {
        name: "projects, render --all",
        smallest: 20_000,
        command: |folder, n| {
            of_site(
                folder,
                &Site { projects: n, ..SITE },
                &["render", "--all", "-o", "jsonl"],
            )
        },
    },
    Row {
        name: "projects, quota --all",
        smallest: 10_000,
        command: |folder, n| of_site(folder, &Site { projects: n, ..SITE }, &["quota", "--all"]),
    },
    Row {
        name: "projects, licenses",
        smallest: 50_000,
        command: |folder, n| of_site(folder, &Site { projects: n, ..SITE }, &["licenses"]),
    },
    Row {
        name: "projects, patch-diff --all",
        smallest: 2_000,
        command: |folder, n| {
            of_site(
                folder,
                &Site { projects: n, ..SITE },
                &["patch-diff", "--all", "--exit-zero"],
            )
        },
    },
    Row {
        name: "projects, snapshot --all --redact",
        smallest: 5_000,
        command: |folder, n| {
            of_site(
                folder,
                &Site { projects: n, ..SITE },
                &["snapshot", "--all", "--offline", "--redact"],
            )
        },
    },
    Row {
        name: "licenses of a site, licenses",
        smallest: 10_000,
        command: |folder, n| of_site(folder, &Site { licenses: n, ..SITE }, &["licenses"]),
    },
    Row {
        name: "licenses of a site, render",
        smallest: 10_000,
        command: |folder, n| of_site(folder, &Site { licenses: n, ..SITE }, &["render", "-o", "name"]),
    },
    Row {
        name: "lines of a log, debug",
        smallest: 100_000,
        command: |folder, n| {
            let line = |at: usize| {
                format!(
                    "2026-11-24 12:00:00,{:03} INFO cocalc.manage: project {at}\n",
                    at % 1000
                )
            };
            log(folder, &(0..n).map(line).collect::<String>())
        },
    },
    Row {
        name: "starts in a log, debug",
        smallest: 500,
        command: |folder, n| {
            let start = |at: usize| {
                let pod = TEMPLATE
                    .replace("{project_id}", &project_id(at))
                    .replace('\n', " ");
                format!(
                    "2026-11-24 12:00:00,000 INFO project_pod_before={pod}\n2026-11-24 12:00:00,001 INFO patch=[]\n\
                     2026-11-24 12:00:00,002 INFO project_pod={pod}\n"
                )
            };
            log(folder, &(0..n).map(start).collect::<String>())
        },
    },
    Row {
        name: "length of a log's line, debug",
        smallest: 3 << 20,
        command: |folder, n| {
            let words = "project_pod={ 11111111-1111-4111-8111-111111111111 patch=[ \"error\" ";
            log(folder, &format!("{}\n", words.repeat(n / words.len())))
        },
    },
    Row {
        name: "length of a value in a log, debug",
        smallest: 3 << 20,
        command: |folder, n| {
            let pod = json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [
                {"name": "project", "args": vec!["x".repeat(100); n / 100]}]}});
            log(folder, &format!("INFO project_pod={pod:#}\n"))
        },
    },
    Row {
        name: "size of a JSON snapshot, quota",
        smallest: 10_000,
        command: |folder, n| {
            of_site(
                folder,
                &Site {
                    projects: n,
                    licenses: n / 10,
                    ..SITE
                },
                &["quota"],
            )
        },
    },
    Row {
        name: "size of a YAML snapshot, quota",
        smallest: 5_000,
        command: |folder, n| {
            let site = Site {
                projects: n,
                licenses: n / 10,
                ..SITE
            }
            .snapshot();
            let text = serde_yaml::to_string(&site).expect("YAML");
            let path = file(folder, "site.yaml", &text);
            plugin(&["quota", "-f", &path, &project_id(0)])
        },
    },
    Row {
        name: "placeholders of a template, render",
        smallest: 10_000,
        command: |folder, n| {
            let site = Site {
                placeholders: n,
                ..SITE
            };
            of_site(folder, &site, &["render", "-o", "json"])
        },
    },
];

const TEMPLATE: &str = include_str!("../tests/data/example-template.json");

fn main() {
    let only = std::env::var("ONLY").unwrap_or_default();
    let (factor, rounds) = (support::number("FACTOR", 1), support::number("ROUNDS", 1));
    println!(
        "{:56} {:>9} {:>27} {:>27}",
        "", "n", "CPU s for n, 2n, 4n", "peak MiB for n, 2n, 4n"
    );
    for row in ROWS.iter().filter(|row| row.name.contains(&only)) {
        let n = row.smallest * factor;
        let costs = [n, 2 * n, 4 * n].map(|n| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let mut command = (row.command)(folder.path(), n);
            let costs = (0..rounds).map(|_| support::watch(&mut command));
            costs
                .min_by(|a, b| a.cpu_s.total_cmp(&b.cpu_s))
                .expect("at least one round")
        });
        let times = costs.map(|cost| cost.cpu_s);
        let peaks = costs.map(|cost| cost.peak_mib);
        println!(
            "{:56} {n:9} {} {}",
            row.name,
            series(times, BARE.0, 2),
            series(peaks, BARE.1, 0)
        );
    }
}

/// `0.10   0.21   0.80 !`
fn series(values: [f64; 3], bare: f64, places: usize) -> String {
    let grows = |less: f64, more: f64| (more - bare).max(0.0) / (less - bare).max(bare) > LINEAR;
    let mark = if grows(values[0], values[1]) || grows(values[1], values[2]) {
        "!"
    } else {
        " "
    };
    let [a, b, c] = values;
    format!("{a:8.places$} {b:8.places$} {c:8.places$} {mark}")
}

fn plugin(args: &[&str]) -> Command {
    let mut command = Command::new(support::PLUGIN);
    command.args(args);
    command
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path: PathBuf = folder.join(name);
    fs::write(&path, text).expect("a temporary file");
    path.display().to_string()
}

fn log(folder: &Path, text: &str) -> Command {
    let path = file(folder, "manage.log", text);
    plugin(&["debug", "--offline", "--log", &path, "-o", "json"])
}

fn made(folder: &Path, (before, after): (Value, Value)) -> Command {
    let before = file(folder, "before.json", &before.to_string());
    let after = file(folder, "after.json", &after.to_string());
    plugin(&[
        "patch-diff",
        "-o",
        "patch",
        "--before",
        &before,
        "--after",
        &after,
    ])
}

/// Operations that set labels, on one line.
fn operations(n: usize) -> Value {
    let operation = |at: usize| json!({"op": "add", "path": format!("/metadata/labels/l{}", at % 500), "value": format!("v{at}")});
    (0..n).map(operation).collect()
}

/// A list of variables, and the same with elements inserted, removed and edited where `edit` says so.
fn list(n: usize, edit: impl Fn(usize) -> bool) -> (Value, Value) {
    let variable = |at: usize, value: &str| json!({"name": format!("V{at}"), "value": value.repeat(20)});
    let before: Vec<Value> = (0..n).map(|at| variable(at, "some text ")).collect();
    let mut after = Vec::new();
    for (at, element) in before.iter().enumerate() {
        match (edit(at), after.len() % 3) {
            (false, _) => after.push(element.clone()),
            (true, 0) => after.push(variable(at, "other ")),
            (true, 1) => after.extend([variable(n + at, "new "), element.clone()]),
            (true, _) => {}
        }
    }
    let pod =
        |env: Vec<Value>| json!({"kind": "Pod", "spec": {"containers": [{"name": "project", "env": env}]}});
    (pod(before), pod(after))
}

/// How many there are of each thing in a snapshot.
struct Site {
    projects: usize,
    licenses: usize,
    /// Licenses that the first project holds; all others hold one.
    held: usize,
    variables: usize,
    placeholders: usize,
}

const SITE: Site = Site {
    projects: 1,
    licenses: 10,
    held: 1,
    variables: 0,
    placeholders: 0,
};

/// The command with a snapshot; without `--all` for its first project.
fn of_site(folder: &Path, site: &Site, args: &[&str]) -> Command {
    let path = file(folder, "site.json", &site.snapshot().to_string());
    let mut command = plugin(args);
    command.args(["-f", &path]);
    if !args.contains(&"--all") && args[0] != "licenses" {
        command.arg(project_id(0));
    }
    command
}

fn project_id(at: usize) -> String {
    format!("{at:08x}-1111-4111-8111-111111111111")
}

fn license_id(at: usize) -> String {
    format!("{at:08x}-0000-4000-8000-000000000000")
}

impl Site {
    fn snapshot(&self) -> Value {
        let mut template: Value = serde_json::from_str(TEMPLATE).expect("the template");
        let env = template["spec"]["containers"][0]["env"]
            .as_array_mut()
            .expect("env");
        env.extend(
            (0..self.variables).map(|at| json!({"name": format!("API_KEY_{at}"), "value": format!("k{at}")})),
        );
        let labels: Map<String, Value> = (0..self.placeholders)
            .map(|at| (format!("p{at}"), json!("{project_id}")))
            .collect();
        template["metadata"]["annotations"] = Value::Object(labels);
        let license = |at: usize| {
            let patch = json!([
                {"op": "add", "path": format!("/metadata/labels/lab{at}"), "value": format!("v{at}")},
                {"op": "add", "path": "/spec/volumes/-", "value": {"name": format!("lab{at}"), "emptyDir": {}}},
            ]);
            json!({"id": license_id(at), "title": format!("license {at}"), "activates": "2023-01-01T00:00:00Z",
                   "run_limit": 1_000_000,
                   "quota": {"cpu": 1, "ram": 1 + at % 8, "member": at.is_multiple_of(2), "patch": patch.to_string()}})
        };
        let project = |at: usize| {
            let held: Map<String, Value> = (0..if at == 0 { self.held } else { 1 })
                .map(|k| (license_id((at + k) % self.licenses), json!({"status": "active"})))
                .collect();
            json!({"project_id": project_id(at), "title": format!("Project {at}"),
                   "users": {format!("{at:08x}-2222-4222-8222-222222222222"): {"group": "owner"}},
                   "site_license": held, "env": {"TERM": "xterm"}, "compute_image": "u",
                   "state": {"state": if at.is_multiple_of(10) { "running" } else { "opened" }}})
        };
        json!({
            "now": "2026-11-24T12:00:00Z",
            "server_settings": {"kucalc": "onprem", "default_quotas": {"internet": true, "mem": 1000, "cpu": 1},
                                "max_upgrades": {"memory": 16000, "cores": 4}},
            "template": template.to_string(),
            "software": {"default": "u", "environments": {"u": {
                "title": "U", "tag": "20230110-1143", "registry": "registry.example/cocalc/project"}}},
            "site_licenses": (0..self.licenses).map(license).collect::<Vec<_>>(),
            "projects": (0..self.projects).map(project).collect::<Vec<_>>(),
        })
    }
}
