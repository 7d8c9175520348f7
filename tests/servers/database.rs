//! The database as a source, with a real PostgreSQL: what is read, what the server sees of it, and how it fails.
//!
//! Env SEED repeats a run on random rows.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use crate::support::{LAB, PLUGIN, Run, Sandbox, postgres::Postgres};
use serde_json::Value;

const DOCUMENTED: &str = "f3d76abf-38a5-4e4e-884d-2e70f1afddb9";

/// Template and images, and no projects: the rest comes from the database.
fn sandbox() -> Sandbox {
    let template = include_str!("../data/example-template.json");
    let site = serde_json::json!({
        "now": "2026-11-24T12:00:00Z",
        "template": template,
        "software": {"default": "u", "environments": {"u": {"tag": "t", "registry": "r.example/p"}}},
    });
    Sandbox::new().file("site.json", &site.to_string())
}

fn run(sandbox: &Sandbox, args: &[&str], env: &[(&str, &str)]) -> Run {
    let mut words = vec!["env".to_owned()];
    words.extend(env.iter().map(|(name, value)| format!("{name}={value}")));
    words.push(PLUGIN.to_owned());
    words.extend(args.iter().map(|arg| (*arg).to_owned()));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    sandbox.run_command(command, "")
}

fn project_id(i: usize) -> String {
    format!("{i:08x}-1111-4111-8111-111111111111")
}

fn license_id(i: usize) -> String {
    format!("{i:08x}-0000-4000-8000-000000000000")
}

/// `count` projects without licenses.
fn fill(database: &Postgres, count: usize) {
    database.psql(&format!(
        "INSERT INTO projects (project_id, title, users, state, env) \
         SELECT (lpad(to_hex(i), 8, '0') || '-1111-4111-8111-111111111111')::uuid, 'p' || i, '{{}}', \
                '{{\"state\": \"opened\"}}', jsonb_build_object('N', repeat('x', 200)) \
         FROM generate_series(0, {count} - 1) AS i"
    ));
}

/// A generator of its own, so that a seed gives the same rows everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

#[test]
fn the_database_gives_the_pod_of_the_documentation() {
    let database = Postgres::with_example();
    let sandbox = sandbox();
    let url = database.url();
    let pod = sandbox
        .run(&["render", "-f", "site.json", "--database", &url, LAB, "-o", "json"])
        .code(0)
        .silently()
        .json();
    assert_eq!(pod["metadata"]["labels"]["mylabel"], "test123");
    // The one project needs no name, and the environment stands for the flag.
    let same = run(
        &sandbox,
        &["render", "-f", "site.json", "-o", "json"],
        &[("COCALC_DATABASE_URL", &url)],
    );
    assert_eq!(same.code(0).json(), pod);
    // It is no flag: it stands back behind the example and behind files with projects.
    run(
        &sandbox,
        &["render", "--example"],
        &[("COCALC_DATABASE_URL", "postgres://nowhere.invalid/x")],
    )
    .code(0);
    let diff = sandbox
        .run(&["patch-diff", "-f", "site.json", "--database", &url, LAB])
        .code(1);
    diff.prints("+    mylabel: test123");
    sandbox
        .run(&["quota", "--example", "--database", &url])
        .code(2)
        .says("cannot be used with");
    sandbox
        .run(&["quota", "--database", &url, &project_id(7)])
        .code(2)
        .says("no project 00000007");
}

#[test]
fn files_win_over_the_database_row_by_row() {
    let database = Postgres::with_example();
    fill(&database, 3);
    let sandbox = sandbox().file(
        "mine.yaml",
        &format!(
            "projects: [{{project_id: {}, title: mine, settings: {{memory: 3000}}}}]",
            project_id(1)
        ),
    );
    let url = database.url();
    let all = sandbox
        .run(&[
            "quota",
            "-f",
            "mine.yaml",
            "--database",
            &url,
            "--all",
            "-o",
            "jsonl",
        ])
        .code(0);
    let ids: Vec<Value> = all
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let named: Vec<&str> = ids
        .iter()
        .map(|report| report["project_id"].as_str().unwrap())
        .collect();
    assert_eq!(
        named,
        [project_id(1), project_id(0), project_id(2), LAB.to_owned()]
    );
    assert_eq!(ids[0]["quota"]["memory_limit"], 3000);
}

#[test]
fn without_a_project_several_are_named_and_not_all() {
    let database = Postgres::start();
    let sandbox = sandbox();
    fill(&database, 3);
    let url = database.url();
    sandbox
        .run(&["quota", "--database", &url])
        .code(2)
        .says("the sources hold 3 projects");
    fill_more(&database);
    sandbox
        .run(&["quota", "--database", &url])
        .code(2)
        .says("more than 10 projects")
        .does_not_say(&project_id(11));
}

fn fill_more(database: &Postgres) {
    database.psql("DELETE FROM projects");
    fill(database, 50);
}

#[test]
fn usage_patch_order_and_orphans_agree_with_sql_on_random_rows() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(1, |since| since.as_secs())
        });
    println!("SEED={seed}");
    let random = &mut Random(seed);
    let database = Postgres::start();
    let mut sql = String::new();
    for i in 0..12 {
        // Some licenses have no row.
        if i % 4 == 3 {
            continue;
        }
        let patch =
            format!(r#"[{{"op":"add","path":"/metadata/labels/l{i}","value":"1"}}]"#).replace('"', "\\\"");
        writeln!(
            sql,
            "INSERT INTO site_licenses (id, title, activates, run_limit, quota) VALUES ('{}', 't{i}', '2020-01-01', \
             1000, '{{\"patch\": \"{patch}\"}}');",
            license_id(i)
        )
        .unwrap();
    }
    for i in 0..400 {
        let mut held = Vec::new();
        for _ in 0..random.below(5) {
            let entry = random.one(&[
                "{}",
                r#"{"status": "active"}"#,
                r#"{"status": "exhausted", "reason": "exhausted"}"#,
                r#"{"quota": {"cpu": 1}, "status": "active"}"#,
                r#"{"quota": {"patch": "[{\"op\":\"add\",\"path\":\"/metadata/labels/o\",\"value\":\"1\"}]"}}"#,
                "[]",
                r#"["status"]"#,
            ]);
            held.push(format!("\"{}\": {entry}", license_id(random.below(12))));
        }
        let state = random.one(&[
            r#"'{"state": "running"}'"#,
            r#"'{"state": "opened"}'"#,
            "NULL",
            r#"'["state"]'"#,
            r#"'"running"'"#,
        ]);
        writeln!(
            sql,
            "INSERT INTO projects (project_id, site_license, state) VALUES ('{}', '{{{}}}', {state});",
            project_id(i),
            held.join(", ")
        )
        .unwrap();
    }
    database.psql(&sql);
    let mut source = kubectl_cocalc::snapshot::postgres::Database::connect(Some(&database.url())).unwrap();
    let read = source
        .read(kubectl_cocalc::snapshot::postgres::Wanted::None)
        .unwrap();
    let usage = read.snapshot.license_usage;
    for i in 0..12 {
        let id = license_id(i);
        let counted = database.psql(&format!(
            "SELECT count(*) FROM projects WHERE state->>'state' = 'running' \
             AND ((site_license -> '{id}') - 'status') <> '{{}}'::jsonb"
        ));
        assert_eq!(
            usage.get(&id).copied().unwrap_or(0).to_string(),
            counted.trim(),
            "{id}"
        );
    }
    let all = sandbox()
        .run(&["quota", "--database", &database.url(), "--all", "-o", "jsonl"])
        .code(0);
    assert_eq!(all.stdout.lines().count(), 400);
    let rows = database.psql(
        "SELECT p.project_id, k.key, l.id IS NULL, k.value->'quota'->>'patch' FROM projects p \
         CROSS JOIN LATERAL jsonb_each(p.site_license) AS k LEFT JOIN site_licenses l ON l.id::text = k.key \
         ORDER BY p.project_id, length(k.key), k.key COLLATE \"C\"",
    );
    let mut orphans = 0;
    for line in all.stdout.lines() {
        let report: Value = serde_json::from_str(line).unwrap();
        let id = report["project_id"].as_str().unwrap();
        // What the patches put there, in the order of the operations.
        let patched: Vec<&str> = report["quota"]["patch"]
            .as_array()
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .map(|operation| operation["path"].as_str().unwrap())
            .collect();
        let mut expected = Vec::new();
        for row in rows.lines().filter(|row| row.starts_with(id)) {
            let mut cells = row.splitn(4, '|').skip(1);
            let (key, orphan, stored) = (
                cells.next().unwrap(),
                cells.next().unwrap(),
                cells.next().unwrap(),
            );
            if orphan == "t" {
                orphans += 1;
                if !stored.is_empty() {
                    expected.push("/metadata/labels/o".to_owned());
                }
            } else {
                let number = usize::from_str_radix(&key[..8], 16).unwrap();
                expected.push(format!("/metadata/labels/l{number}"));
            }
        }
        assert_eq!(patched, expected, "{id}");
    }
    assert!(orphans > 0);
}

#[test]
fn an_entry_that_is_no_object_makes_its_license_uncountable() {
    let database = Postgres::with_example();
    fill(&database, 1);
    database.psql(&format!(
        "UPDATE projects SET state = '{{\"state\": \"running\"}}', site_license = '{{\"{DOCUMENTED}\": 1}}' \
         WHERE project_id = '{}'",
        project_id(0)
    ));
    let asked = std::panic::catch_unwind(|| {
        database.psql(&format!(
            "SELECT count(*) FROM projects WHERE ((site_license -> '{DOCUMENTED}') - 'status') <> '{{}}'::jsonb"
        ))
    });
    assert!(asked.is_err(), "CoCalc's own count fails too");
    sandbox()
        .run(&["quota", "--database", &database.url(), LAB])
        .code(2)
        .says("cannot count the projects that run with license f3d76abf")
        .says(&project_id(0));
}

#[test]
fn odd_values_are_read_as_they_are_meant_or_reported_with_project_and_column() {
    let database = Postgres::with_example();
    fill(&database, 6);
    database.psql(&format!(
        "UPDATE projects SET settings = '[1]' WHERE project_id = '{}';
         UPDATE projects SET users = '\"x\"' WHERE project_id = '{}';
         UPDATE projects SET users = NULL, state = NULL, title = NULL, env = NULL WHERE project_id = '{}';
         UPDATE projects SET settings = 'null', deleted = true WHERE project_id = '{}';
         INSERT INTO site_licenses (id, activates, expires, quota) VALUES
           ('{}', '-infinity', 'infinity', '{{\"ram\": 2}}'), ('{}', 'infinity', NULL, '{{\"ram\": 3}}'),
           ('{}', '2020-01-01', '0044-03-15 BC', '{{\"ram\": 4}}'), ('{}', NULL, NULL, '[]');
         UPDATE projects SET site_license = '{{\"{}\": {{}}, \"{}\": {{}}, \"{}\": {{}}}}' WHERE project_id = '{}'",
        project_id(0),
        project_id(1),
        project_id(2),
        project_id(3),
        license_id(1),
        license_id(2),
        license_id(3),
        license_id(4),
        license_id(1),
        license_id(2),
        license_id(3),
        project_id(4),
    ));
    let sandbox = sandbox();
    let all = sandbox
        .run(&["quota", "--database", &database.url(), "--all", "-o", "jsonl"])
        .code(2)
        .says("column settings of table projects holds a list, where a map is expected")
        .says("column users of table projects holds a string")
        .says(&project_id(0))
        .says(&project_id(1))
        .says("1 deleted project left out")
        .says("column quota of site_licenses 00000004");
    assert_eq!(all.stdout.lines().count(), 4);
    let report = sandbox
        .run(&[
            "quota",
            "--database",
            &database.url(),
            &project_id(4),
            "-o",
            "json",
        ])
        .code(0)
        .json();
    let status = |i| {
        report["site_license"][license_id(i)]["status"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!([status(1), status(2), status(3)], ["active", "future", "expired"]);
    sandbox
        .run(&["quota", "--database", &database.url(), &project_id(0)])
        .code(2)
        .says("column settings")
        .prints_nothing();
}

#[test]
fn licenses_are_named_by_their_beginning_orphans_too() {
    let database = Postgres::with_example();
    fill(&database, 2);
    let orphan = "abcdef01-0000-4000-8000-000000000000";
    database.psql(&format!(
        "UPDATE projects SET site_license = '{{\"{orphan}\": {{\"quota\": {{\"ram\": 3}}}}}}' WHERE project_id = '{}'",
        project_id(1)
    ));
    let sandbox = sandbox();
    let url = database.url();
    for (beginning, project) in [("abcdef", project_id(1)), ("f3d76a", LAB.to_owned())] {
        let found = sandbox
            .run(&[
                "quota",
                "--database",
                &url,
                "--with-license",
                beginning,
                "-o",
                "jsonl",
            ])
            .code(0);
        assert_eq!(found.stdout.lines().count(), 1);
        found.prints(&project);
    }
    let without = sandbox
        .run(&[
            "quota",
            "--database",
            &url,
            &project_id(1),
            "--drop-license",
            "abcdef",
            "-o",
            "json",
        ])
        .code(0)
        .json();
    assert_eq!(without["site_license"], serde_json::json!({}));
    sandbox
        .run(&[
            "quota",
            "--database",
            &url,
            &project_id(0),
            "--add-license",
            "f3d76a",
            "-o",
            "json",
        ])
        .code(0)
        .prints(DOCUMENTED);
    sandbox
        .run(&["quota", "--database", &url, "--with-license", "123456"])
        .code(2)
        .says("no source has a license of this id");
}

#[test]
fn the_server_sees_one_read_only_transaction_and_as_many_statements_for_many_projects_as_for_few() {
    let mut counts = Vec::new();
    for count in [3, 3000] {
        let database = Postgres::with_example();
        fill(&database, count);
        let all = sandbox()
            .run(&[
                "render",
                "-f",
                "site.json",
                "--database",
                &database.url(),
                "--all",
                "-o",
                "jsonl",
            ])
            .code(0);
        assert_eq!(all.stdout.lines().count(), count + 1);
        let log = database.log();
        assert!(
            log.iter()
                .all(|logged| logged.application == "kubectl-cocalc" && logged.level == "LOG")
        );
        let first = &log.first().unwrap().text;
        assert!(
            first.contains("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
            "{first}"
        );
        for logged in &log[1..] {
            let sql = logged.text.split_once(": ").unwrap().1;
            assert!(
                sql.starts_with("SELECT ") || sql.starts_with("SET LOCAL "),
                "{sql}"
            );
        }
        counts.push(log.len());
        // The order comes from the primary key, so that the first row comes at once.
        let select = log
            .iter()
            .rfind(|logged| logged.text.contains("FROM projects WHERE deleted IS NOT TRUE"));
        let select = select.unwrap().text.split_once(": ").unwrap().1.to_owned();
        let plan = database.psql(&format!(
            "ANALYZE projects; SET enable_sort = off; EXPLAIN {select}"
        ));
        assert!(
            plan.contains("Index Scan using projects_pkey") && !plan.contains("Sort"),
            "{plan}"
        );
    }
    assert_eq!(counts[0], counts[1]);
    assert!(counts[0] <= 8, "{counts:?}");
}

#[test]
fn a_writer_in_between_never_shows_a_mixed_picture() {
    let database = Postgres::start();
    fill(&database, 2000);
    let license = license_id(1);
    let change = |ram: u32| {
        format!(
            "BEGIN; INSERT INTO site_licenses (id, activates, quota) VALUES ('{license}', '2020-01-01', '{{\"ram\": {ram}}}') \
             ON CONFLICT (id) DO UPDATE SET quota = excluded.quota; \
             UPDATE projects SET site_license = '{{\"{license}\": {{}}}}', settings = '{{\"disk_quota\": {ram}000}}'; COMMIT;"
        )
    };
    database.psql(&change(5));
    let done = AtomicBool::new(false);
    let sandbox = sandbox();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut ram = 5;
            while !done.load(Ordering::Relaxed) {
                ram = if ram == 5 { 7 } else { 5 };
                database.psql(&change(ram));
            }
        });
        for _ in 0..4 {
            let all = sandbox
                .run(&["quota", "--database", &database.url(), "--all", "-o", "jsonl"])
                .code(0);
            let mut seen = std::collections::BTreeSet::new();
            for line in all.stdout.lines() {
                let quota = &serde_json::from_str::<Value>(line).unwrap()["quota"];
                seen.insert((quota["memory_limit"].as_u64(), quota["disk_quota"].as_u64()));
            }
            assert_eq!(all.stdout.lines().count(), 2000);
            assert_eq!(seen.len(), 1, "{seen:?}");
            let (memory, disk) = *seen.first().unwrap();
            assert_eq!(memory, disk);
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_connection_that_is_killed_in_the_middle_is_an_error_and_no_short_list() {
    let database = Postgres::start();
    fill(&database, 60_000);
    let sandbox = sandbox();
    let mut child = Command::new(PLUGIN)
        .args(["quota", "--all", "-o", "jsonl", "--database", &database.url()])
        .current_dir(sandbox.path())
        .env("HOME", sandbox.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.contains(&project_id(0)), "{line}");
    // The pipe is full, and so the server waits in the middle of its rows.
    let killed = database.psql(&format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = '{}' AND application_name = 'kubectl-cocalc'",
        database.name()
    ));
    assert_eq!(killed, "1\n");
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("error: database "), "{stderr}");
    assert!(rest.lines().count() < 59_999);
}

#[test]
fn tls_is_as_strict_as_sslmode_says() {
    let database = Postgres::with_example();
    let role = format!("r{}", database.name());
    database.psql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'geheim7'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    ));
    let sandbox = sandbox();
    let ca = database.ca().display().to_string();
    let user = format!("{role}:geheim7");
    let quota = |host: &str, parameters: &str| {
        let url = database.tcp_url(&user, host, parameters);
        sandbox.run(&["quota", "--database", &url, LAB])
    };
    for mode in ["disable", "allow", "prefer", "require"] {
        quota("127.0.0.1", &format!("sslmode={mode}")).code(0);
    }
    quota("localhost", &format!("sslmode=verify-ca&sslrootcert={ca}")).code(0);
    quota("localhost", &format!("sslmode=verify-full&sslrootcert={ca}")).code(0);
    for (host, parameters, why) in [
        (
            "127.0.0.1",
            format!("sslmode=verify-full&sslrootcert={ca}"),
            "not valid for",
        ),
        ("localhost", "sslmode=verify-full".to_owned(), "UnknownIssuer"),
        ("localhost", "sslmode=verify-ca".to_owned(), "UnknownIssuer"),
        (
            "localhost",
            "sslmod=verify-full".to_owned(),
            "did you mean sslmode?",
        ),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={ca}.missing"),
            "No such file",
        ),
    ] {
        quota(host, &parameters).code(2).says(why).does_not_say("geheim7");
    }
    // Whether a connection is encrypted, only the server can say.
    database.psql("CREATE VIEW encrypted AS SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
    database.psql(&format!(
        "ALTER TABLE server_settings RENAME TO settings_; GRANT SELECT ON encrypted, settings_ TO {role}; \
         CREATE VIEW server_settings AS SELECT 'max_upgrades'::text AS name, \
         CASE WHEN (SELECT ssl FROM encrypted) THEN '{{\"memory\": 1111}}' ELSE '{{\"memory\": 1222}}' END AS value; \
         GRANT SELECT ON server_settings TO {role}; \
         UPDATE projects SET site_license = NULL, users = '{{\"u\": {{\"upgrades\": {{\"memory\": 5000}}}}}}'"
    ));
    for (mode, limit) in [("disable", 1222), ("prefer", 1111), ("require", 1111)] {
        let url = database.tcp_url(&user, "127.0.0.1", &format!("sslmode={mode}"));
        let report = sandbox
            .run(&["quota", "--database", &url, LAB, "-o", "json"])
            .code(0)
            .json();
        assert_eq!(report["quota"]["memory_limit"], limit, "{mode}");
    }
    // On a Unix socket sslmode means nothing, as for libpq.
    sandbox
        .run(&[
            "quota",
            "--database",
            &format!("{}&sslmode=verify-full", database.url()),
            LAB,
        ])
        .code(0);
}

#[test]
fn the_password_comes_from_where_libpq_takes_it_and_is_never_told() {
    let database = Postgres::with_example();
    let role = format!("r{}", database.name());
    database.psql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'geheim7'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    ));
    let url = database.tcp_url(&role, "127.0.0.1", "");
    let (port, name) = (database.port().to_string(), database.name().to_owned());
    let sandbox = sandbox();
    let args = ["quota", "--database", &url, LAB];
    run(&sandbox, &args, &[("PGPASSWORD", "geheim7")]).code(0);
    run(&sandbox, &args, &[])
        .code(2)
        .says("password authentication failed")
        .says("~/.pgpass");
    run(&sandbox, &args, &[("PGPASSWORD", "geheim8")])
        .code(2)
        .does_not_say("geheim");
    let wrong = database.tcp_url(&format!("{role}:geheim8"), "127.0.0.1", "");
    run(&sandbox, &["quota", "--database", &wrong, LAB], &[])
        .code(2)
        .says("cannot connect: password authentication failed")
        .does_not_say("geheim");
    // The PG* variables alone, and the other form.
    let variables = [
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", &port),
        ("PGDATABASE", &name),
        ("PGUSER", &role),
        ("PGPASSWORD", "geheim7"),
    ];
    run(&sandbox, &["quota", "--database", "", LAB], &variables).code(0);
    run(
        &sandbox,
        &["quota", "--database", "", LAB],
        &[&variables[..], &[("PGSSLMODE", "verify-ful")]].concat(),
    )
    .code(2)
    .says("PGSSLMODE is \"verify-ful\"");
    let keywords = format!("host=127.0.0.1 port={port} dbname='{name}' user={role} password=geheim7");
    run(&sandbox, &["quota", "--database", &keywords, LAB], &[]).code(0);
    // ~/.pgpass, and a file of another name.
    let line = format!("127.0.0.1:*:{name}:{role}:geheim7\n");
    let sandbox = sandbox.file(".pgpass", &line).file("other", &line);
    let mode = |file: &str, mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(sandbox.path().join(file), permissions).unwrap();
    };
    mode(".pgpass", 0o600);
    run(&sandbox, &args, &[]).code(0);
    mode(".pgpass", 0o644);
    run(&sandbox, &args, &[])
        .code(2)
        .says("mode 0600")
        .does_not_say("geheim");
    mode("other", 0o600);
    let other = sandbox.path().join("other").display().to_string();
    run(&sandbox, &args, &[("PGPASSFILE", &other)]).code(0);
}

#[test]
fn each_failure_is_one_clear_error_with_what_would_help() {
    let database = Postgres::with_example();
    let sandbox = sandbox();
    let quota = |url: &str| {
        sandbox
            .run(&["quota", "--database", url, LAB])
            .code(2)
            .prints_nothing()
    };
    let lines = |run: &Run| {
        run.stderr
            .lines()
            .filter(|line| line.starts_with("error:"))
            .count()
    };

    let role = format!("r{}", database.name());
    database.psql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT SELECT ON projects TO {role}"
    ));
    let refused = quota(&database.tcp_url(&format!("{role}:p"), "127.0.0.1", ""))
        .says("cannot read table server_settings: permission denied for table server_settings")
        .says(&format!("ON projects TO \"{role}\""));
    assert_eq!(lines(&refused), 1);
    // What is advised is what the README's role has, and no whole table.
    let readme = std::fs::read_to_string("README.md").unwrap();
    let advised: Vec<&str> = refused
        .stderr
        .split("GRANT SELECT (")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .collect();
    assert_eq!(advised.len(), 2, "{}", refused.stderr);
    for columns in advised {
        assert!(readme.contains(&format!("GRANT SELECT ({columns})")), "{columns}");
    }

    let other = database.url().replace(database.name(), "nothing_here");
    quota(&other).says("database \"nothing_here\" does not exist");
    // No port that a system gives away by itself.
    quota("postgres://u@127.0.0.1:1/d").says("cannot connect: Connection refused");
    quota("postgres://u@/d?host=/nowhere/at/all").says("No such file or directory");
    // A server that accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    quota(&format!("postgres://u@127.0.0.1:{port}/d?connect_timeout=1")).says("no answer for 1 seconds");

    database.psql("ALTER TABLE projects DROP COLUMN env");
    quota(&database.url())
        .says("column \"env\" does not exist")
        .says("CoCalc's database");
    database.psql("DROP TABLE site_licenses");
    quota(&database.url()).says("cannot read table site_licenses: relation \"site_licenses\" does not exist");
}

/// README's block of SQL that begins with `-- role.sql`.
fn role_sql() -> &'static str {
    let (_, block) = include_str!("../../README.md")
        .split_once("```sql\n-- role.sql\n")
        .unwrap();
    block.split_once("```").unwrap().0
}

#[test]
fn the_role_of_the_readme_reads_what_every_command_needs_and_nothing_else() {
    let database = Postgres::with_example();
    fill(&database, 3);
    database.psql("INSERT INTO server_settings (name, value) VALUES ('email_smtp_password', 'geheim7')");
    database.psql(role_sql());
    let sandbox = sandbox();
    let url = database.socket_url("cocalc_reader");
    let password = [("PGPASSWORD", "change me")];
    let owner = database.url();
    for (args, code) in [
        (&["render", "-f", "site.json", LAB][..], 0),
        (&["render", "-f", "site.json", "--all", "-o", "jsonl"], 0),
        (&["quota", LAB], 0),
        (&["quota", "--all", "-o", "jsonl"], 0),
        (&["quota", "--with-license", DOCUMENTED], 0),
        (&["quota", LAB, "--add-license", DOCUMENTED], 0),
        (&["patch-diff", "-f", "site.json", LAB], 1),
        (&["licenses"], 0),
        (&["snapshot", "-f", "site.json", LAB], 0),
    ] {
        let with = |url: &str| run(&sandbox, &[args, &["--database", url]].concat(), &password).code(code);
        // As much as the owner of the tables sees.
        assert_eq!(with(&url).stdout, with(&owner).stdout, "{args:?}");
    }
    for sql in [
        "SELECT secret_token FROM projects",
        "SELECT voucher_code FROM site_licenses",
        "SELECT value FROM public.server_settings",
        "UPDATE projects SET title = ''",
        "UPDATE server_settings SET value = ''",
        "DELETE FROM site_licenses",
    ] {
        let output = database
            .psql_command()
            .env("PGPASSWORD", "change me")
            .args(["-U", "cocalc_reader", "-c", sql])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("permission denied"), "{sql}: {stderr}");
    }
}
