//! `quota --all` and `render --all` from PostgreSQL, beside psql that merely copies the same rows out.
//! `cargo bench --bench database`; env PROJECTS (default 100,000), LICENSES (40), ROUNDS (3).

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench prints, and a failure here is a failed bench"
)]

use std::process::Command;

mod support;

#[cfg(unix)]
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/support/postgres.rs"]
mod postgres;

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
fn main() {
    let projects = support::number("PROJECTS", 100_000);
    let licenses = support::number("LICENSES", 40).max(1);
    let rounds = support::number("ROUNDS", 3);
    let database = postgres::Postgres::start();
    fill(&database, projects, licenses);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let site = folder.path().join("site.json");
    let template = std::fs::read_to_string(support::project_file("tests/data/example-template.json"));
    let files = serde_json::json!({
        "now": "2026-11-24T12:00:00Z",
        "template": template.expect("the template"),
        "software": {"default": "u", "environments": {"u": {"tag": "t", "registry": "r.example/p"}}},
    });
    std::fs::write(&site, files.to_string()).expect("a file");
    let url = database.url();
    println!("{projects} projects, {licenses} licenses; median of {rounds} rounds in turn");

    let copy = "COPY (SELECT project_id, title, settings, users, site_license, env, state->>'state', compute_image, \
                deleted FROM projects WHERE deleted IS NOT TRUE ORDER BY project_id) TO STDOUT";
    let mut results = [Vec::new(), Vec::new(), Vec::new()];
    let mut peaks = [0.0_f64; 3];
    for _ in 0..rounds {
        let mut psql = database.psql_command();
        psql.args(["-c", copy]);
        let mut commands = vec![psql];
        for command in ["quota", "render"] {
            let mut plugin = Command::new(support::PLUGIN);
            plugin
                .args([command, "--all", "-o", "jsonl", "--database", &url, "-f"])
                .arg(&site);
            commands.push(plugin);
        }
        for (i, command) in commands.iter_mut().enumerate() {
            let cost = support::run(command);
            results[i].push(cost.wall.as_secs_f64());
            peaks[i] = peaks[i].max(cost.peak_mib);
        }
    }
    let [copied, quota, render] = results.map(support::median);
    for (name, seconds, peak) in [
        ("psql, rows copied out", copied, peaks[0]),
        ("kubectl cocalc quota --all", quota, peaks[1]),
        ("kubectl cocalc render --all", render, peaks[2]),
    ] {
        println!(
            "  {name:28} {seconds:6.2} s wall, peak {peak:4.0} MiB, {:5.2} x psql",
            seconds / copied
        );
    }
}

/// A license every third of which carries a patch, and projects with one to three of them.
#[cfg(unix)]
fn fill(database: &postgres::Postgres, projects: usize, licenses: usize) {
    database.psql(&format!(
        r#"
INSERT INTO server_settings (name, value) VALUES ('kucalc', 'onprem'),
  ('default_quotas', '{{"internet":true,"idle_timeout":3600,"mem":1000,"cpu":1,"mem_oc":5,"cpu_oc":10}}'),
  ('max_upgrades', '{{"memory":16000,"cores":4}}');
INSERT INTO site_licenses (id, title, activates, run_limit, quota)
SELECT (lpad(to_hex(i), 8, '0') || '-0000-4000-8000-000000000000')::uuid, 'license ' || i, '2023-01-01', 1000000,
  jsonb_build_object('cpu', 1 + i % 3, 'ram', 1 + i % 8, 'member', i % 2 = 0) || CASE WHEN i % 3 = 0 THEN
    jsonb_build_object('patch', '[{{"op":"add","path":"/metadata/labels/lab' || i || '","value":"v"}},'
      || '{{"op":"add","path":"/spec/containers/0/volumeMounts/-","value":{{"name":"lab' || i || '","mountPath":"/data/lab'
      || i || '"}}}},{{"op":"add","path":"/spec/volumes/-","value":{{"name":"lab' || i
      || '","persistentVolumeClaim":{{"claimName":"lab' || i || '"}}}}}}]')
    ELSE '{{}}' END
FROM generate_series(0, {licenses} - 1) AS i;
INSERT INTO projects (project_id, title, users, site_license, env, compute_image, state)
SELECT md5(i::text)::uuid, 'Project number ' || i,
  jsonb_build_object(md5('a' || i / 3)::uuid, '{{"group": "owner"}}'::jsonb,
                     md5('b' || i / 5)::uuid, '{{"group": "collaborator"}}'::jsonb),
  (SELECT jsonb_object_agg(lpad(to_hex((i * 7 + k * 11) % {licenses}), 8, '0') || '-0000-4000-8000-000000000000',
                           '{{"status": "active"}}'::jsonb) FROM generate_series(0, i % 3) AS k),
  jsonb_build_object('COURSE', 'math' || i % 100, 'TERM', 'xterm'), 'u',
  jsonb_build_object('state', CASE WHEN i % 10 = 0 THEN 'running' ELSE 'opened' END)
FROM generate_series(0, {projects} - 1) AS i;
VACUUM ANALYZE projects;
"#
    ));
}
