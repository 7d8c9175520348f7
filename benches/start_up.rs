//! Whole processes for one pod of 16 kB and a patch of 11 operations: `render`, `patch-diff -o json` and `patch-diff
//! -o patch`, beside node with fast-json-patch, `kubectl patch --local` and `kubectl kustomize` doing their part of it,
//! in turn. `cargo bench --bench start_up`; env ROUNDS (default 40).

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used
)]

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

mod support;

fn main() {
    let rounds = support::number("ROUNDS", 40);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a temporary file");
        path
    };
    let pod = file("pod.json", &pod().to_string());
    let patch = file("patch.json", &patch().to_string());
    file(
        "kustomization.yaml",
        "resources: [pod.json]\npatches: [{path: patch.json, target: {kind: Pod}}]\n",
    );
    let kubectl = support::kubectl();
    let ours = |args: &[&str], of: &str| {
        let mut command = Command::new(support::PLUGIN);
        command
            .args(args)
            .arg(of)
            .arg(&pod)
            .arg("--patch-file")
            .arg(&patch);
        command
    };
    let theirs = |program: &Path, args: &[&Path]| {
        let mut command = Command::new(program);
        command.args(args).env("KUBECONFIG", "/dev/null");
        command
    };
    let mut local = theirs(&kubectl, &[]);
    local.args(["patch", "--local", "-o", "json", "--type", "json", "-f"]);
    local.arg(&pod).arg("--patch-file").arg(&patch);
    let node = [
        &support::project_file("benches/rivals/patch.js"),
        &support::peers(),
        &pod,
        &patch,
    ];
    let mut commands = [
        ("render", ours(&["render", "-o", "json"], "-f")),
        (
            "patch-diff -o json",
            ours(&["patch-diff", "-o", "json"], "--before"),
        ),
        (
            "patch-diff -o patch",
            ours(&["patch-diff", "-o", "patch"], "--before"),
        ),
        (
            "node, fast-json-patch",
            theirs(Path::new("node"), &node.map(|path| &**path)),
        ),
        ("kubectl patch --local", local),
        (
            "kubectl kustomize",
            theirs(&kubectl, &[Path::new("kustomize"), folder.path()]),
        ),
    ];

    let mut walls = [const { Vec::new() }; 6];
    for _ in 0..rounds {
        for (times, (_, command)) in walls.iter_mut().zip(&mut commands) {
            times.push(support::run(command).wall.as_secs_f64() * 1000.0);
        }
    }
    let medians = walls.map(support::median);
    println!("one pod, one patch, whole process; median of {rounds} rounds in turn");
    println!(
        "  {:24} {:>11}   as fast as: node   kubectl patch   kubectl kustomize",
        "", ""
    );
    let rivals = [medians[3], medians[4], medians[5]];
    for ((name, _), ms) in commands.iter().zip(medians) {
        let [node, patch, kustomize] = rivals.map(|rival| rival / ms);
        println!("  {name:24} {ms:8.2} ms {node:16.1} x {patch:13.1} x {kustomize:17.1} x");
    }
}

/// A pod of about 16 kB.
fn pod() -> Value {
    let variable = |n: usize| json!({"name": format!("VARIABLE_{n}"), "value": "x".repeat(60)});
    let mount = |n: usize| json!({"name": format!("volume-{n}"), "mountPath": format!("/data/volume-{n}")});
    let volume = |n: usize| json!({"name": format!("volume-{n}"), "emptyDir": {}});
    let container = |n: usize| {
        json!({
            "name": format!("container-{n}"),
            "image": "registry.example/image:1",
            "env": (0..30).map(variable).collect::<Vec<_>>(),
            "volumeMounts": (0..20).map(mount).collect::<Vec<_>>(),
        })
    };
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "project", "labels": {"run": "project"}},
        "spec": {
            "containers": (0..4).map(container).collect::<Vec<_>>(),
            "volumes": (0..20).map(volume).collect::<Vec<_>>(),
        },
    })
}

/// Eleven operations that every rival accepts.
fn patch() -> Value {
    json!([
        {"op": "add", "path": "/metadata/labels/mylabel", "value": "test123"},
        {"op": "test", "path": "/spec/containers/0/name", "value": "container-0"},
        {"op": "add", "path": "/spec/containers/0/volumeMounts/-", "value": {"mountPath": "/global", "name": "volume-1"}},
        {"op": "replace", "path": "/spec/containers/1/image", "value": "registry.example/image:2"},
        {"op": "remove", "path": "/spec/containers/2/env/7"},
        {"op": "add", "path": "/spec/volumes/-", "value": {"name": "lab", "persistentVolumeClaim": {"claimName": "lab"}}},
        {"op": "add", "path": "/spec/containers/0/env/3", "value": {"name": "A", "value": "b"}},
        {"op": "copy", "from": "/spec/containers/0/env/4", "path": "/spec/containers/3/env/-"},
        {"op": "move", "from": "/spec/containers/1/env/4", "path": "/spec/containers/1/env/9"},
        {"op": "add", "path": "/spec/hostNetwork", "value": false},
        {"op": "add", "path": "/metadata/annotations", "value": {"a.example/b": "c"}},
    ])
}
