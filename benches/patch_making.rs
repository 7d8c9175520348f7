//! What making a patch costs inside a process, its proof included: a pair of pods of 16 kB, and a list of 5,000
//! elements with 500 edits. `cargo bench --bench patch_making`; env ROUNDS (default 30).

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

use std::time::Instant;

use kubectl_cocalc::patch_diff::{Request, make};
use serde_json::{Value, json};

fn main() {
    let rounds = std::env::var("ROUNDS").map_or(30, |rounds| rounds.parse().unwrap());
    let (before, after) = pods();
    measure("pods", &before, &after, rounds);
    for (elements, name) in [(5_000, "list of 5,000"), (10_000, "list of 10,000")] {
        let (before, after) = list(elements);
        measure(name, &before, &after, rounds);
    }
}

fn measure(name: &str, before: &Value, after: &Value, rounds: usize) {
    let request = Request {
        before,
        after,
        base: None,
        guards: true,
    };
    let mut times = Vec::new();
    let mut operations = 0;
    for _ in 0..rounds {
        let start = Instant::now();
        operations = make(&request).unwrap().operations.len();
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{name}: {} bytes, {operations} operations with guards, median {:.2} ms, worst {:.2} ms of {rounds}",
        before.to_string().len(),
        times[rounds / 2],
        times[rounds - 1]
    );
}

/// A pod of about 16 kB and an edit of it in ten places.
fn pods() -> (Value, Value) {
    let variable = |n: usize| json!({"name": format!("VARIABLE_{n}"), "value": "x".repeat(60)});
    let mount = |n: usize| json!({"name": format!("volume-{n}"), "mountPath": format!("/data/volume-{n}")});
    let volume = |n: usize| json!({"name": format!("volume-{n}"), "emptyDir": {}});
    let containers: Vec<Value> = (0..4)
        .map(|n| {
            json!({
                "name": format!("container-{n}"),
                "image": "registry.example/image:1",
                "env": (0..30).map(variable).collect::<Vec<_>>(),
                "volumeMounts": (0..20).map(mount).collect::<Vec<_>>(),
            })
        })
        .collect();
    let before = json!({
        "kind": "Pod",
        "metadata": {"name": "project", "labels": {"run": "project"}},
        "spec": {"containers": containers, "volumes": (0..20).map(volume).collect::<Vec<_>>()},
    });
    let mut after = before.clone();
    after["metadata"]["labels"]["mylabel"] = json!("test123");
    for container in after["spec"]["containers"].as_array_mut().unwrap() {
        container["env"].as_array_mut().unwrap().insert(3, variable(99));
        container["volumeMounts"].as_array_mut().unwrap().remove(7);
    }
    after["spec"]["volumes"].as_array_mut().unwrap().push(volume(99));
    (before, after)
}

/// A list of variables of which every tenth is inserted, removed, moved or edited.
fn list(elements: usize) -> (Value, Value) {
    let variable = |n: usize| json!({"name": format!("V{n}"), "value": n.to_string()});
    let before: Vec<Value> = (0..elements).map(variable).collect();
    let mut after = Vec::new();
    let mut moved = None;
    for (at, element) in before.iter().enumerate() {
        let mut element = element.clone();
        match at % 50 {
            7 => element["value"] = json!("other"),
            17 => element["name"] = json!(format!("R{at}")),
            27 => continue,
            37 => after.push(json!({"name": format!("N{at}")})),
            40 => {
                moved = Some(element);
                continue;
            }
            _ => {}
        }
        after.push(element);
        if at % 50 == 47 {
            after.extend(moved.take());
        }
    }
    (json!({"env": before}), json!({"env": after}))
}
