//! The whole help as files, and its examples as they are printed.
//!
//! `HELP=overwrite cargo test --test servers help` writes `tests/data/help` anew.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failure here is a failed test"
)]

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use crate::support::{
    PLUGIN, Run, Sandbox,
    api_server::{ApiServer, NAMESPACE},
};

/// Examples that need more than this test has, by their first words and what they need. A new command that asks a
/// database or a person belongs here.
const NEEDS_MORE: &[(&str, &str)] = &[
    (
        "kubectl logs -l group=manage --prefix --tail=-1 > manage.log",
        "a kubelet",
    ),
    (
        "kubectl cocalc debug -n cocalc --since 1h -f site.yaml",
        "a kubelet",
    ),
    ("kubectl cocalc snapshot --all --sql |", "a database"),
];

/// Examples that answer something other than "done", by their first words.
const ANSWERS: &[(&str, i32)] = &[
    // It differs.
    ("kubectl cocalc patch-diff --example", 1),
    ("kubectl cocalc patch-diff --example --patch-file label.json", 1),
    (
        "kubectl cocalc patch-diff -f project-pod.yaml -f site.yaml --all",
        1,
    ),
];

/// The names of all commands, from the help itself, and `""` for the plugin's own help.
fn commands() -> Vec<String> {
    let help = Sandbox::new().run(&["--help"]).code(0).silently();
    let list = help.stdout.split("\nCommands:\n").nth(1).unwrap();
    let names = list.lines().take_while(|line| !line.is_empty());
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_owned());
    let names: Vec<String> = names.filter(|name| name != "help").collect();
    assert!(names.len() >= 5, "{names:?}");
    std::iter::once(String::new()).chain(names).collect()
}

fn help(command: &str, flag: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().chain([flag]).collect();
    Sandbox::new().run(&words).code(0).silently().stdout.clone()
}

#[test]
fn the_help_is_as_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/help");
    let overwrite = std::env::var_os("HELP").is_some_and(|value| value == "overwrite");
    let mut expected = BTreeSet::new();
    let mut differs = Vec::new();
    for command in commands() {
        let name = if command.is_empty() {
            "kubectl-cocalc"
        } else {
            &command
        };
        for (flag, file) in [
            ("--help", format!("{name}.txt")),
            ("-h", format!("{name}.short.txt")),
        ] {
            let text = help(&command, flag);
            if overwrite {
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(&file), &text).unwrap();
            }
            if fs::read_to_string(folder.join(&file)).ok().as_deref() != Some(&text) {
                differs.push(format!("--- {file} should be\n{text}"));
            }
            expected.insert(file);
        }
    }
    assert!(
        differs.is_empty(),
        "{}\nHELP=overwrite cargo test --test servers help writes them",
        differs.join("\n")
    );
    let files = fs::read_dir(&folder).unwrap();
    let files: BTreeSet<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, expected, "files without a command");
}

#[test]
fn every_help_is_kubectl_s_in_form() {
    for command in commands() {
        let (long, short) = (help(&command, "--help"), help(&command, "-h"));
        let usage = format!("Usage: kubectl cocalc {command}");
        for text in [&long, &short] {
            assert!(text.contains(usage.trim_end()), "{command}: {text}");
            assert!(!text.contains("Usage: kubectl-cocalc"), "{command}: {text}");
            assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        }
        // On a narrow terminal a longer line is folded, and an example no longer one.
        let (_, shown) = long.split_once("\nExamples:\n").unwrap_or_default();
        for line in shown.lines() {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
        let first = long.lines().next().unwrap();
        assert!(!first.ends_with('.'), "{command}: {first}");
        if !["", "version"].contains(&command.as_str()) {
            assert!(!examples(&long).is_empty(), "{command} has no examples");
        }
        // Of kubectl's own flags the short help has the common ones only.
        for flag in ["--client-certificate", "--tls-server-name", "--as-group"] {
            assert!(!short.contains(flag), "{command} -h lists {flag}");
        }
        assert_eq!(
            help(&command, "--help"),
            Sandbox::new()
                .run(&["help", &command][..if command.is_empty() { 1 } else { 2 }])
                .stdout,
            "{command}"
        );
    }
}

/// The examples of a help text: each the lines between a comment and the next one.
fn examples(help: &str) -> Vec<String> {
    let Some((_, text)) = help.split_once("\nExamples:\n") else {
        return Vec::new();
    };
    let mut examples: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if line.trim_start().starts_with("# ") {
            examples.push(String::new());
        } else if let Some(example) = examples.last_mut() {
            example.push_str(line.strip_prefix("  ").unwrap_or(line));
            example.push('\n');
        }
    }
    examples
}

/// A folder with every file that the examples name, and a `vi` that adds a label. The project of the example runs in
/// the cluster, whose ConfigMap `project-pod` is there too.
fn desk(server: &ApiServer) -> Sandbox {
    let template = include_str!("../data/configmap-project-pod.yaml");
    let (site, _) = include_str!("../../src/snapshot/example.yaml")
        .split_once("\ntemplate:")
        .unwrap();
    let vi = "#!/bin/sh\ncase $1 in\n*.json) sed -i 's/\"project_tag\":/\"edited\": \"yes\", &/' \"$1\" ;;\n\
              *) sed -i 's/^\\( *\\)project_tag:/\\1edited: \"yes\"\\n&/' \"$1\" ;;\nesac\n";
    let sandbox = Sandbox::new()
        .file("project-pod.yaml", template)
        .file("project-pod-next.yaml", &template.replace("/ext", "/software"))
        .file(
            "label.json",
            r#"[{"op": "add", "path": "/metadata/labels/a", "value": "b"}]"#,
        )
        .file("site.yaml", site)
        .file(".local/bin/.keep", "")
        .file("bin/vi", vi);
    fs::set_permissions(sandbox.path().join("bin/vi"), fs::Permissions::from_mode(0o755)).unwrap();
    let pod = sandbox
        .run(&["render", "--example", "-o", "jsonl"])
        .code(0)
        .stdout
        .clone();
    let label = r#"[{"op":"add","path":"/metadata/labels/a","value":"b"}]"#;
    let patched = pod.replacen(r#""labels":{"#, r#""labels":{"a":"b","#, 1);
    let log = format!("project_pod_before={pod}patch={label}\nproject_pod={patched}");
    let sandbox = sandbox.file("manage.log", &log);
    server.kubectl(&["config", "set-context", "--current", "--namespace", NAMESPACE]);
    server.kubectl_with_stdin(&["create", "-f", "-"], template);
    server.kubectl_with_stdin(&["create", "-f", "-"], &pod);
    sandbox
}

fn run(sandbox: &Sandbox, server: &ApiServer, example: &str) -> Run {
    let kubectl = crate::support::kubectl();
    let folder = |path: &Path| path.parent().unwrap().display().to_string();
    let path = format!(
        "{}/bin:{}:{}:/usr/bin:/bin",
        sandbox.path().display(),
        folder(&kubectl),
        folder(Path::new(PLUGIN))
    );
    let mut command = Command::new("env");
    command
        .arg(format!("PATH={path}"))
        .arg(format!("KUBECONFIG={}", server.kubeconfig().display()))
        .args(["bash", "-o", "pipefail", "-c", example]);
    sandbox.run_command(command, "")
}

#[test]
fn every_example_of_every_help_works_as_printed() {
    let server = ApiServer::start();
    let sandbox = desk(&server);
    let mut used = BTreeSet::new();
    let mut ran = 0;
    for command in commands() {
        for example in examples(&help(&command, "--help")) {
            let first = example.lines().next().unwrap().trim_end_matches(" \\");
            if NEEDS_MORE.iter().any(|(words, _)| first == *words) {
                used.insert(first.to_owned());
                continue;
            }
            let answer = ANSWERS.iter().find(|(words, _)| first == *words);
            used.extend(answer.map(|(words, _)| (*words).to_owned()));
            let code = answer.map_or(0, |(_, code)| *code);
            run(&sandbox, &server, &example).code(code).does_not_say("error:");
            ran += 1;
        }
    }
    assert!(ran >= 12, "{ran}");
    let listed: BTreeSet<String> = NEEDS_MORE
        .iter()
        .map(|(words, _)| *words)
        .chain(ANSWERS.iter().map(|(words, _)| *words))
        .map(str::to_owned)
        .collect();
    assert_eq!(used, listed, "examples that are no longer printed");
    // What the examples are there for: an edit in vi becomes a patch.
    let made = "kubectl cocalc patch-diff --example --before p1.json --after p2.json -o license";
    run(&sandbox, &server, made)
        .code(0)
        .prints("/metadata/labels/edited");
    assert!(sandbox.path().join("p1.json").exists());
}

#[test]
fn every_command_has_a_man_page() {
    let sandbox = Sandbox::new().file("man/.keep", "");
    sandbox.run(&["man", "man"]).code(0).silently().prints_nothing();
    let mut pages = BTreeSet::from([".keep".to_owned()]);
    for command in commands() {
        let name = if command.is_empty() {
            String::new()
        } else {
            format!("-{command}")
        };
        let page = format!("kubectl-cocalc{name}.1");
        let text = fs::read_to_string(sandbox.path().join("man").join(&page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}: {text}");
        pages.insert(page);
    }
    let written = fs::read_dir(sandbox.path().join("man")).unwrap();
    let written: BTreeSet<String> = written
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(written, pages);
    sandbox
        .run(&["man", "no-such-folder"])
        .code(2)
        .says("cannot write man pages to no-such-folder");
}
