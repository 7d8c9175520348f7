//! `render --all -o jsonl` over a generated snapshot, beside one warm node process that replaces placeholders,
//! parses, patches and prints the same projects. `cargo bench --bench all_projects`; env PROJECTS (default
//! 100,000), LICENSES (40), ROUNDS (3).

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used
)]

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    process::Command,
};

use serde_json::{Value, json};

mod support;

fn main() {
    let projects = support::number("PROJECTS", 100_000);
    let licenses = support::number("LICENSES", 40);
    let rounds = support::number("ROUNDS", 3);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let snapshot = folder.path().join("snapshot.json");
    generate(&snapshot, projects, licenses).expect("the snapshot can be written");
    #[expect(clippy::cast_precision_loss, reason = "sizes of files")]
    let size_mib = snapshot.metadata().expect("the snapshot").len() as f64 / f64::from(1 << 20);
    println!(
        "{projects} projects, {licenses} licenses, {size_mib:.0} MiB of JSON; median of {rounds} rounds in turn"
    );

    let (mut ours, mut walls, mut theirs, mut peak) = (Vec::new(), Vec::new(), Vec::new(), 0.0_f64);
    for _ in 0..rounds {
        let mut plugin = Command::new(support::PLUGIN);
        plugin
            .arg("render")
            .arg("-f")
            .arg(&snapshot)
            .args(["--all", "-o", "jsonl"]);
        let cost = support::run(&mut plugin);
        ours.push(projects as f64 / cost.cpu_s);
        walls.push(projects as f64 / cost.wall.as_secs_f64());
        peak = peak.max(cost.peak_mib);
        let rival = Command::new("node")
            .arg(support::project_file("benches/rivals/all.js"))
            .arg(support::peers())
            .arg(&snapshot)
            .output()
            .expect("node runs");
        let report: Value = serde_json::from_slice(&rival.stdout).expect("the rival's report");
        theirs.push(projects as f64 / report["seconds"].as_f64().expect("seconds"));
    }
    let (ours, walls, theirs) = (
        support::median(ours),
        support::median(walls),
        support::median(theirs),
    );
    println!(
        "  kubectl cocalc render --all   {ours:8.0} projects/s of CPU, reading the snapshot, licenses and quota included"
    );
    println!("                                {walls:8.0} projects/s of wall time, peak {peak:.0} MiB");
    println!("  node, placeholders and patch  {theirs:8.0} projects/s of CPU");
    println!("  per core                      {:8.1} x", ours / theirs);
}

/// A license every third of which carries a patch, and projects with one to three of them.
fn generate(path: &Path, projects: usize, licenses: usize) -> std::io::Result<()> {
    let template = std::fs::read_to_string(support::project_file("tests/data/example-template.json"))?;
    let license_id = |i: usize| {
        format!(
            "{:08x}-0000-4000-8000-000000000000",
            i * 0x0123_4567 % 0xffff_ffff
        )
    };
    let rows: Vec<Value> = (0..licenses)
        .map(|i| {
            let mut quota = json!({"cpu": 1 + i % 3, "ram": 1 + i % 8, "member": i % 2 == 0});
            if i % 3 == 0 {
                let patch = json!([
                    {"op": "add", "path": format!("/metadata/labels/lab{i}"), "value": format!("v{i}")},
                    {"op": "add", "path": "/spec/containers/0/volumeMounts/-",
                     "value": {"name": format!("lab{i}"), "mountPath": format!("/data/lab{i}")}},
                    {"op": "add", "path": "/spec/volumes/-",
                     "value": {"name": format!("lab{i}"), "persistentVolumeClaim": {"claimName": format!("lab{i}")}}},
                ]);
                quota["patch"] = Value::from(patch.to_string());
            }
            json!({"id": license_id(i), "title": format!("license {i}"), "activates": "2023-01-01T00:00:00Z",
                   "run_limit": 1_000_000, "quota": quota})
        })
        .collect();
    let mut out = BufWriter::new(File::create(path)?);
    let head = json!({
        "now": "2026-11-24T12:00:00Z",
        "server_settings": {
            "kucalc": "onprem",
            "default_quotas": {"internet": true, "idle_timeout": 3600, "mem": 1000, "cpu": 1, "mem_oc": 5, "cpu_oc": 10},
            "max_upgrades": {"memory": 16000, "cores": 4},
        },
        "template": template,
        "software": {"default": "u", "environments": {"u": {
            "title": "U", "tag": "20230110-1143", "registry": "registry.example/cocalc/project"}}},
        "site_licenses": rows,
    });
    let head = head.to_string();
    write!(out, "{},\"projects\":[", &head[..head.len() - 1])?;
    for i in 0..projects {
        let held: serde_json::Map<String, Value> = (0..=i % 3)
            .map(|k| {
                (
                    license_id((i * 7 + k * 11) % licenses.max(1)),
                    json!({"status": "active"}),
                )
            })
            .collect();
        let row = json!({
            "project_id": format!("{i:08x}-1111-4111-8111-111111111111"), "title": format!("Project number {i}"),
            "users": {format!("{:08x}-2222-4222-8222-222222222222", i / 3): {"group": "owner"},
                      format!("{:08x}-3333-4333-8333-333333333333", i / 5): {"group": "collaborator"}},
            "settings": null, "site_license": held, "env": {"COURSE": format!("math{}", i % 100), "TERM": "xterm"},
            "compute_image": "u", "state": {"state": if i % 10 == 0 { "running" } else { "opened" }},
        });
        write!(out, "{}{row}", if i == 0 { "" } else { ",\n" })?;
    }
    writeln!(out, "]}}")?;
    out.flush()
}
