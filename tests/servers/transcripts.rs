//! Console transcripts: README.md and tests/transcripts/*.md are documentation and test alike. The commands go
//! through the real kubectl, which finds the plugin on PATH, and those of README.md ask a real API server and a real
//! PostgreSQL, which hold the site of tests/data/lab.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::path::Path;

use crate::support::lab::Lab;

/// The real kubectl with the plugin on its PATH.
fn cases() -> trycmd::TestCases {
    let plugin = Path::new(crate::support::PLUGIN).parent().unwrap();
    let mut path = std::ffi::OsString::from(plugin);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("kubectl", crate::support::kubectl())
        .env("PATH", path.to_str().unwrap());
    cases
}

#[test]
fn the_transcripts_of_the_readme_show_what_the_commands_print() {
    let lab = Lab::shared();
    let cases = cases();
    for (name, value) in lab.environment() {
        cases.env(name, value);
    }
    cases.case("README.md").run();
    the_first_picture(&lab);
}

/// The first one word by word, since trycmd does not tell a backslash from a slash.
fn the_first_picture(lab: &Lab) {
    let command = format!("```text\n$ kubectl cocalc dry-run {}\n", crate::support::LAB);
    let run = std::process::Command::new(crate::support::PLUGIN)
        .args(["dry-run", crate::support::LAB])
        .envs(lab.environment())
        .output()
        .unwrap();
    let printed = String::from_utf8(run.stderr).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = readme.split_once(&command).unwrap();
    let (shown, after) = rest.split_once("```").unwrap();
    if std::env::var_os("TRYCMD").is_some_and(|value| value == "overwrite") {
        std::fs::write(&file, format!("{before}{command}{printed}```{after}")).unwrap();
        return;
    }
    assert_eq!(shown, printed);
    assert_eq!((run.status.code(), run.stdout.len()), (Some(1), 0));
}

#[test]
fn other_transcripts_show_what_the_commands_print() {
    cases()
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .case("tests/transcripts/*.md");
}
