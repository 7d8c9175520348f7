//! Database and cluster together: what was read from both can be saved, and answers the same without them.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::process::Command;

use crate::support::{LAB, PLUGIN, Run, Sandbox, lab::Lab};

const PROJECTS: [&str; 4] = [
    LAB,
    "33333333-3333-4333-8333-333333333333",
    "44444444-4444-4444-8444-444444444444",
    "55555555-5555-4555-8555-555555555555",
];

/// Runs the plugin with both sources, or, with a file, with the cluster alone.
fn run(sandbox: &Sandbox, args: &[&str], database: bool) -> Run {
    let mut command = Command::new(PLUGIN);
    command.args(args);
    let environment = Lab::shared().environment();
    let with = environment
        .iter()
        .filter(|(name, _)| database || *name == "KUBECONFIG");
    sandbox.run_with_environment(&command, with.cloned())
}

fn same(ours: &Run, theirs: &Run) {
    assert_eq!(ours.stdout, theirs.stdout);
    assert_eq!(ours.stderr, theirs.stderr);
    assert_eq!(ours.code, theirs.code);
}

#[test]
fn a_snapshot_of_both_replays_to_the_same_render_quota_and_verdict_byte_for_byte() {
    for id in PROJECTS {
        let taken = run(&Sandbox::new(), &["snapshot", id], true).code(0);
        let sandbox = Sandbox::new().file("taken.yaml", &taken.stdout);
        for command in [
            &["render", "--explain"][..],
            &["quota"],
            &["quota", "-o", "json"],
            &["patch-diff"],
            &["patch-diff", "-o", "json"],
            &["licenses"],
        ] {
            let live = if command == ["licenses"] {
                // The file holds the project's own licenses.
                continue;
            } else {
                run(&sandbox, &[command, &[id]].concat(), true)
            };
            // No cluster, no database: the sandbox's environment has neither.
            let replayed = sandbox.run(&[command, &["-f", "taken.yaml", id]].concat());
            same(&replayed, &live);
        }
        let live = run(&sandbox, &["dry-run", id], true);
        let replayed = run(&sandbox, &["dry-run", "-f", "taken.yaml", id], false);
        same(&replayed, &live);
    }
}

#[test]
fn the_statement_for_psql_carries_all_of_the_database_through_a_pipe() {
    let sandbox = Sandbox::new();
    let url = &Lab::shared().environment()[1].1;
    let mut shell = Command::new("bash");
    shell.args([
        "-o",
        "pipefail",
        "-c",
        &format!("{PLUGIN} snapshot --all --sql | psql -XAtq '{url}' > db.json"),
    ]);
    sandbox.run_command(shell, "").code(0).silently();
    for command in [
        &["quota", "--all"][..],
        &["render", "--all", "-o", "jsonl"],
        &["licenses"],
    ] {
        let from_database = run(&sandbox, command, true);
        let from_file = run(&sandbox, &[command, &["-f", "db.json"]].concat(), false);
        same(&from_file, &from_database);
    }
    let from_database = run(&sandbox, &["dry-run", "--all"], true).code(1);
    let from_file = run(&sandbox, &["dry-run", "--all", "-f", "db.json"], false);
    same(&from_file, &from_database);
}

#[test]
fn the_environments_database_is_not_used_with_the_example_offline_or_files_of_projects() {
    let sandbox = Sandbox::new();
    run(&sandbox, &["quota", "--example", LAB], true)
        .code(0)
        .prints("storage extra");
    run(&sandbox, &["quota", "--offline", LAB], true)
        .code(2)
        .prints_nothing();
    run(&sandbox, &["quota", LAB], true).code(0).prints("Lab NFS ro");
}

#[test]
fn projects_and_licenses_of_the_database_are_completed_with_their_titles() {
    let complete = |words: &[&str]| {
        let words = [&["__complete"], words].concat();
        run(&Sandbox::new(), &words, true).code(0).silently()
    };
    complete(&["render", "3"]).prints("33333333-3333-4333-8333-333333333333\tCourse\n");
    complete(&["dry-run", "project-5555"]).prints("project-55555555-5555-4555-8555-555555555555\tVision\n");
    complete(&["render", "--drop-license", "0b"])
        .prints("0b5e91c2-64d7-4a1f-b2c3-8e9f0a1b2c3d\tLab NFS ro\n");
    let none = complete(&["render", "zz"]);
    assert!(!none.stdout.contains('\t'), "{}", none.stdout);
}
