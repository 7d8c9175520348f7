//! Console transcripts: README.md and tests/transcripts/*.md are documentation and test alike. The commands go
//! through the real kubectl, which finds the plugin on PATH, and those of README.md ask a real API server and a real
//! PostgreSQL, which hold the site of tests/data/lab.
#![cfg(unix)]

mod support;

use std::path::Path;

use support::{
    api_server::{ApiServer, NAMESPACE},
    postgres::Postgres,
};

/// The real kubectl with the plugin on its PATH.
fn cases() -> trycmd::TestCases {
    let plugin = Path::new(support::PLUGIN).parent().unwrap();
    let mut path = std::ffi::OsString::from(plugin);
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("kubectl", support::kubectl())
        .env("PATH", path.to_str().unwrap());
    cases
}

#[test]
fn the_transcripts_of_the_readme_show_what_the_commands_print() {
    let server = ApiServer::start();
    server.kubectl(&["-n", NAMESPACE, "create", "-f", "tests/data/lab/cluster.yaml"]);
    server.kubectl(&[
        "patch",
        "node",
        "node-1",
        "--subresource=status",
        "-p",
        r#"{"status": {"allocatable": {"cpu": "16", "memory": "64Gi", "pods": "110"}}}"#,
    ]);
    server.kubectl(&["taint", "node", "node-1", "node.kubernetes.io/not-ready-"]);
    server.kubectl(&["config", "set-context", "--current", "--namespace", NAMESPACE]);
    let database = Postgres::start();
    database.psql(include_str!("data/lab/database.sql"));
    let cases = cases();
    cases
        .env("KUBECONFIG", server.kubeconfig().to_str().unwrap())
        .env("COCALC_DATABASE_URL", &database.url())
        .case("README.md");
}

#[test]
fn other_transcripts_show_what_the_commands_print() {
    cases()
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .case("tests/transcripts/*.md");
}
