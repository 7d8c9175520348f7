//! Whole processes: `render` of one pod with a patch, beside node with fast-json-patch, `kubectl patch
//! --local` and `kubectl kustomize` doing their part of it, in turn. `cargo bench --bench start_up`; env ROUNDS (default 40).

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used
)]

use std::{fs, process::Command};

mod support;

fn main() {
    let rounds = support::number("ROUNDS", 40);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a temporary file");
        path
    };
    let template = fs::read_to_string(support::project_file("tests/data/example-template.json"))
        .expect("tests/data/example-template.json");
    let pod = file("pod.json", &template);
    let patch = file(
        "patch.json",
        r#"[{"op":"add","path":"/metadata/labels/mylabel","value":"test123"},
            {"op":"add","path":"/spec/containers/0/volumeMounts/-","value":{"mountPath":"/global","name":"home"}}]"#,
    );
    let rival = support::project_file("benches/rivals/patch.js");
    let (peers, kubectl) = (support::peers(), support::kubectl());

    let mut commands = [
        ("kubectl cocalc render", Command::new(support::PLUGIN)),
        ("node, fast-json-patch", Command::new("node")),
        ("kubectl patch --local", Command::new(&kubectl)),
        ("kubectl kustomize", Command::new(&kubectl)),
    ];
    commands[0]
        .1
        .arg("render")
        .arg("-f")
        .arg(&pod)
        .arg("--patch-file")
        .arg(&patch)
        .args(["-o", "json"]);
    commands[1].1.arg(&rival).arg(&peers).arg(&pod).arg(&patch);
    commands[2]
        .1
        .args(["patch", "--local", "-o", "json", "--type", "json", "-f"])
        .arg(&pod);
    commands[2]
        .1
        .arg("--patch-file")
        .arg(&patch)
        .env("KUBECONFIG", "/dev/null");

    file(
        "kustomization.yaml",
        "resources: [pod.json]\npatches: [{path: patch.json, target: {kind: Pod}}]\n",
    );
    commands[3].1.arg("kustomize").arg(folder.path());

    let mut walls = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        for (times, (_, command)) in walls.iter_mut().zip(&mut commands) {
            times.push(support::run(command).wall.as_secs_f64() * 1000.0);
        }
    }
    let medians = walls.map(support::median);
    println!("one pod, one patch, whole process; median of {rounds} rounds in turn");
    for ((name, _), ms) in commands.iter().zip(medians) {
        println!("  {name:24} {ms:8.2} ms   {:6.1} x", ms / medians[0]);
    }
}
