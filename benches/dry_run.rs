//! `dry-run` against a real API server: one project beside `kubectl create --dry-run=server`, and 300 projects
//! beside kubectl with a folder of the same pods and beside raw POSTs over as many connections. In turn, in the
//! same run. `cargo bench --bench dry_run`; env PROJECTS (default 300), ROUNDS (default 5).

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used
)]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

#[path = "../tests/support/mod.rs"]
mod support;

use support::{
    PLUGIN, Sandbox,
    api_server::{ApiServer, NAMESPACE},
    kubectl,
};

const CONNECTIONS: &str = "8";

fn main() {
    let number = |name: &str, default: usize| {
        std::env::var(name).map_or(default, |text| {
            text.parse().unwrap_or_else(|_| panic!("{name}={text}"))
        })
    };
    let (count, rounds) = (number("PROJECTS", 300), number("ROUNDS", 5));
    let sandbox = site(count);
    let server = ApiServer::start();
    let pods = sandbox.path().join("pods");
    let lines = sandbox.path().join("pods.jsonl");
    render_pods(&sandbox, &pods, &lines);
    let one = fs::read_dir(&pods).unwrap().next().unwrap().unwrap().path();
    let id = one.file_stem().unwrap().to_str().unwrap().to_owned();

    let plugin = |rest: &[&str]| {
        let mut command = Command::new(PLUGIN);
        command.args(["dry-run", "-f", "site.json", "--no-lookup", "-n", NAMESPACE]);
        command.arg("--kubeconfig").arg(server.kubeconfig()).args(rest);
        command
    };
    let rival = |what: &Path| {
        let mut command = Command::new(kubectl());
        command
            .args(["create", "--dry-run=server", "-n", NAMESPACE, "-f"])
            .arg(what);
        command.arg("--kubeconfig").arg(server.kubeconfig());
        command
    };
    let raw = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/create_pods.js");
        let mut command = Command::new("node");
        command
            .arg(script)
            .arg(server.kubeconfig())
            .args([NAMESPACE, CONNECTIONS]);
        command.stdin(fs::File::open(&lines).unwrap());
        command
    };
    let time = |mut command: Command| {
        let start = Instant::now();
        let status = command
            .current_dir(sandbox.path())
            .env("HOME", sandbox.path())
            .stdout(Stdio::null())
            .status()
            .expect("it runs");
        assert!(status.success(), "{command:?}");
        start.elapsed()
    };

    let (mut single, mut all) = ([const { Vec::new() }; 2], [const { Vec::new() }; 3]);
    for _ in 0..rounds {
        single[0].push(time(plugin(&[&id])));
        single[1].push(time(rival(&one)));
        all[0].push(time(plugin(&["--all", "-q"])));
        all[1].push(time(rival(&pods)));
        all[2].push(time(raw()));
    }
    let [own, kubectl] = single.map(median);
    println!("one project            {own:>10.1?}");
    println!(
        "kubectl, one pod       {kubectl:>10.1?}   {:.1} times as long",
        ratio(kubectl, own)
    );
    let [own, kubectl, raw] = all.map(median);
    println!("{count} projects           {own:>10.1?}");
    println!(
        "kubectl, a folder      {kubectl:>10.1?}   {:.1} times as long",
        ratio(kubectl, own)
    );
    println!(
        "raw POSTs              {raw:>10.1?}   {:.0} % of their rate",
        100.0 * ratio(raw, own)
    );
}

fn ratio(rival: Duration, own: Duration) -> f64 {
    rival.as_secs_f64() / own.as_secs_f64()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// The built-in example, with as many projects as asked for.
fn site(count: usize) -> Sandbox {
    let sandbox = Sandbox::new();
    let example = sandbox.run(&["snapshot", "--example", "-o", "json"]).code(0);
    let mut site = example.json();
    let project = site["projects"][0].clone();
    let projects = (0..count).map(|i| {
        let mut project = project.clone();
        project["project_id"] = format!("{i:08x}-1111-4111-8111-111111111111").into();
        project
    });
    site["projects"] = projects.collect();
    sandbox.file("site.json", &site.to_string())
}

/// The same pods for the rivals: a file each, and one a line.
fn render_pods(sandbox: &Sandbox, folder: &Path, lines: &Path) {
    let rendered = sandbox
        .run(&["render", "-f", "site.json", "--all", "-o", "jsonl"])
        .code(0);
    fs::create_dir(folder).unwrap();
    for line in rendered.stdout.lines() {
        let pod: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = pod["metadata"]["name"].as_str().unwrap();
        let id = name.strip_prefix("project-").unwrap();
        fs::write(folder.join(format!("{id}.json")), line).unwrap();
    }
    fs::write(lines, &rendered.stdout).unwrap();
}
