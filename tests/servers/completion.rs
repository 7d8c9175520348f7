//! Completion: through the real kubectl's own `__complete`, and with the script for bash.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failure here is a failed test"
)]

use std::{net::TcpListener, path::Path, process::Command};

use crate::support::{
    LAB, PLUGIN, Run, Sandbox,
    api_server::{NAMESPACE, common},
};

/// What kubectl adds on stderr, whatever the plugin does.
const ENDED: &str = "Completion ended with directive: ";

/// A sandbox in which the command that the help of `completion` gives was run.
fn installed() -> Sandbox {
    let sandbox = Sandbox::new().file(".local/bin/.keep", "");
    let install = "kubectl cocalc completion kubectl > ~/.local/bin/kubectl_complete-cocalc && \\\n    \
                   chmod +x ~/.local/bin/kubectl_complete-cocalc";
    sandbox.run(&["completion", "--help"]).code(0).prints(install);
    shell(&sandbox, install, "").code(0).silently();
    sandbox
}

/// Runs a line of bash with kubectl, the plugin and ~/.local/bin on PATH, and kubectl's environment in `env`.
fn shell(sandbox: &Sandbox, line: &str, env: &str) -> Run {
    let kubectl = crate::support::kubectl();
    let folder = |path: &Path| path.parent().unwrap().display().to_string();
    let path = format!(
        "{}:{}:{}/.local/bin:/usr/bin:/bin",
        folder(&kubectl),
        folder(Path::new(PLUGIN)),
        sandbox.path().display()
    );
    let mut command = Command::new("bash");
    command.args(["-c", &format!("export PATH={path} {env}; {line}")]);
    sandbox.run_command(command, "")
}

/// The candidates that kubectl shows for these words, and its directive. On a busy machine the plugin runs out of
/// patience now and then, and has no candidates: then it is asked again.
fn complete_with(sandbox: &Sandbox, words: &[&str], env: &str) -> (Vec<String>, String) {
    let nothing = (vec![], ":4".to_owned());
    let tries = std::iter::repeat_with(|| complete_once(sandbox, words, env)).take(10);
    let mut found = tries.skip_while(|found| *found == nothing);
    found.next().unwrap_or(nothing.clone())
}

fn complete_once(sandbox: &Sandbox, words: &[&str], env: &str) -> (Vec<String>, String) {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let run = shell(
        sandbox,
        &format!("kubectl __complete cocalc {}", quoted.join(" ")),
        env,
    )
    .code(0);
    // Nothing but kubectl's own lines: a message in the middle of a typed line is a nuisance.
    for line in run.stderr.lines() {
        assert!(line.starts_with("[Debug] ") || line.starts_with(ENDED), "{line}");
    }
    let mut lines: Vec<String> = run.stdout.lines().map(str::to_owned).collect();
    let directive = lines.pop().unwrap();
    (lines, directive)
}

fn complete(sandbox: &Sandbox, words: &[&str]) -> (Vec<String>, String) {
    complete_with(sandbox, words, "")
}

#[test]
fn kubectl_completes_commands_and_flags_with_what_they_do() {
    let sandbox = installed();
    let (commands, directive) = complete(&sandbox, &[""]);
    assert_eq!(directive, ":4");
    for command in [
        "render\tShow the Pod that CoCalc will create for a project",
        "version\tPrint the version",
    ] {
        assert!(commands.iter().any(|found| found == command), "{commands:?}");
    }
    assert!(
        !commands.iter().any(|found| found.starts_with("man")),
        "{commands:?}"
    );
    assert_eq!(complete(&sandbox, &["ren"]).0.len(), 1);
    let (flags, _) = complete(&sandbox, &["render", "--ex"]);
    assert_eq!(flags.len(), 2, "{flags:?}");
    for flag in [
        "--example\tUse the built-in example",
        "--explain\tSay for every field",
    ] {
        assert!(flags.iter().any(|found| found.starts_with(flag)), "{flags:?}");
    }
}

#[test]
fn kubectl_completes_words_files_and_shells() {
    let sandbox = installed();
    for words in [&["render", "-o", ""][..], &["render", "--output="]] {
        let (formats, directive) = complete(&sandbox, words);
        assert_eq!(formats, ["yaml", "json", "jsonl", "kyaml", "name"], "{words:?}");
        assert_eq!(directive, ":4");
    }
    assert_eq!(
        complete(&sandbox, &["render", "-f", ""]),
        (vec![], ":0".to_owned())
    );
    let (shells, _) = complete(&sandbox, &["completion", ""]);
    assert_eq!(shells.len(), 5, "{shells:?}");
}

#[test]
fn kubectl_completes_projects_and_licenses_of_the_typed_files_by_their_titles() {
    let second = "22222222-2222-4222-8222-222222222222";
    let site = format!(
        "site_licenses:\n- {{id: f3d76abf-38a5-4e4e-884d-2e70f1afddb9, title: patch1}}\n\
         projects:\n- {{project_id: {LAB}, title: \"Lab\\tof \\e[31mred\\n:2\", users: {{}}}}\n\
         - {{project_id: {second}, title: Course, users: {{}}, \
              site_license: {{0b5e91c2-64d7-4a1f-b2c3-8e9f0a1b2c3d: {{}}}}}}\n\
         - {{project_id: 33333333-3333-4333-8333-333333333333, title: gone, users: {{}}, deleted: true}}\n"
    );
    let sandbox = installed().file("site.yaml", &site);
    let (projects, directive) = complete(&sandbox, &["render", "-f", "site.yaml", ""]);
    let lab = format!("{LAB}\tLab\\tof ^[[31mred\\n:2");
    assert_eq!(projects, [lab.clone(), format!("{second}\tCourse")]);
    assert_eq!(directive, ":4");
    let (projects, _) = complete(&sandbox, &["quota", "--filename=site.yaml", second, ""]);
    assert_eq!(projects, [lab]);
    let (licenses, _) = complete(&sandbox, &["quota", "-fsite.yaml", "--add-license", ""]);
    assert_eq!(
        licenses,
        [
            "0b5e91c2-64d7-4a1f-b2c3-8e9f0a1b2c3d\theld by projects, without a row",
            "f3d76abf-38a5-4e4e-884d-2e70f1afddb9\tpatch1"
        ]
    );
    // A flag that excludes PROJECT, or an unfinished one before it, spoils nothing.
    let (projects, _) = complete(
        &sandbox,
        &["render", "-f", "site.yaml", "-o", "json", "--explain", "2"],
    );
    assert_eq!(projects, [format!("{second}\tCourse")]);
}

#[test]
fn completion_is_silent_when_there_is_nothing_to_read_or_to_ask() {
    let sandbox = installed().file("broken.yaml", "projects: [\n");
    let nothing = (vec![], ":4".to_owned());
    for words in [
        &["render", "-f", "broken.yaml", ""][..],
        &["render", "-f", "no-such-file.yaml", ""],
        &["render", "-f", "-", ""],
        // No kubeconfig, hence no cluster.
        &["render", ""],
        &["no-such-command", ""],
        &["render", "--no-such-flag", "--example", "zzz"],
    ] {
        assert_eq!(complete(&sandbox, words), nothing, "{words:?}");
    }
}

fn kubeconfig(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: one\n\
         clusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]\n\
         contexts: [{{name: one, context: {{cluster: c, user: u, namespace: cocalc}}}}]\n\
         users: [{{name: u, user: {{}}}}]\n"
    )
}

#[test]
fn kubectl_completes_contexts_clusters_and_users_of_the_kubeconfig() {
    let sandbox = installed()
        .file("one.yaml", &kubeconfig("https://one.example"))
        .file(
            "two.yaml",
            &kubeconfig("https://two.example").replace("name: one", "name: two"),
        );
    let env = "KUBECONFIG=one.yaml:no-such-file:two.yaml";
    for words in [&["render", "--context", ""][..], &["--context="]] {
        let (contexts, directive) = complete_with(&sandbox, words, env);
        assert_eq!(
            contexts,
            ["one\tc, namespace cocalc", "two\tc, namespace cocalc"],
            "{words:?}"
        );
        assert_eq!(directive, ":4");
    }
    assert_eq!(
        complete_with(&sandbox, &["render", "--cluster", ""], env).0,
        ["c"]
    );
    assert_eq!(complete_with(&sandbox, &["render", "--user", ""], env).0, ["u"]);
    let words = ["render", "--kubeconfig", "two.yaml", "--context", ""];
    let (contexts, _) = complete(&sandbox, &words);
    assert_eq!(contexts, ["two\tc, namespace cocalc"]);
    let words = ["render", "--kubeconfig", "no-such-file", "--context", ""];
    assert_eq!(complete(&sandbox, &words).0, Vec::<String>::new());
}

#[test]
fn completion_waits_for_no_server_that_is_silent() {
    // It takes connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let sandbox = installed().file("silent.yaml", &kubeconfig(&server));
    let found = complete_once(&sandbox, &["render", ""], "KUBECONFIG=silent.yaml");
    assert_eq!(found, (vec![], ":4".to_owned()));
}

#[test]
fn kubectl_completes_the_projects_that_run_where_no_file_holds_any() {
    let server = common();
    let pod = |name: &str, label: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{run: {label}}}}}\n\
             spec: {{containers: [{{name: c, image: registry.example/i}}]}}\n---\n"
        )
    };
    let pods = pod(&format!("project-{LAB}"), "project") + &pod("manage-1", "manage");
    server.kubectl_with_stdin(&["-n", "default", "create", "serviceaccount", "default"], "");
    server.kubectl_with_stdin(&["-n", "default", "create", "-f", "-"], &pods);
    let sandbox = installed();
    let env = format!("KUBECONFIG={}", server.kubeconfig().display());
    let (projects, _) = complete_with(&sandbox, &["render", ""], &env);
    assert_eq!(projects, [format!("{LAB}\tPending")]);
    let (projects, _) = complete_with(&sandbox, &["render", "pod/"], &env);
    assert_eq!(projects, [format!("pod/project-{LAB}\tPending")]);
    // Where kubectl's own flags lead.
    let (projects, _) = complete_with(&sandbox, &["render", "-n", "kube-system", ""], &env);
    assert_eq!(projects, Vec::<String>::new());
    let (projects, _) = complete_with(&sandbox, &["render", "--offline", ""], &env);
    assert_eq!(projects, Vec::<String>::new());
    for words in [
        &["render", "-n", "coc"][..],
        &["render", "--namespace=coc"],
        &["-n", "coc"],
    ] {
        assert_eq!(complete_with(&sandbox, words, &env).0, [NAMESPACE], "{words:?}");
    }
    // A file with projects is asked instead of the cluster.
    let sandbox = sandbox.file("none.yaml", "projects: []\n");
    let (projects, _) = complete_with(&sandbox, &["render", "-f", "none.yaml", ""], &env);
    assert_eq!(projects, Vec::<String>::new());
}

#[test]
fn bash_completes_the_plugin_run_directly() {
    let sandbox = installed();
    for (words, candidates) in [
        ("kubectl-cocalc ren", "render\n"),
        ("kubectl-cocalc render --expl", "--explain\n"),
        ("kubectl-cocalc render -o ky", "kyaml\n"),
        ("kubectl-cocalc patch-diff --no-g", "--no-guards\n"),
        ("kubectl-cocalc completion pow", "powershell\n"),
    ] {
        // As bash calls the function that is set for this program.
        let line = format!(
            "source <(kubectl cocalc completion bash)\n\
             COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             set -- $(complete -p kubectl-cocalc)\n\
             while [ \"$1\" != -F ]; do shift; done\n\
             \"$2\" kubectl-cocalc \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"\n\
             echo \"${{COMPREPLY[@]}}\""
        );
        let run = shell(&sandbox, &line, "").code(0).silently();
        assert_eq!(run.stdout, candidates, "{words}");
    }
}

#[test]
fn each_shell_has_its_script() {
    for (shell, mark) in [
        ("zsh", "#compdef kubectl-cocalc\n"),
        ("fish", "complete -c kubectl-cocalc "),
        (
            "powershell",
            "Register-ArgumentCompleter -Native -CommandName 'kubectl-cocalc'",
        ),
    ] {
        let run = Sandbox::new().run(&["completion", shell]).code(0).silently();
        let run = run.prints(mark).prints("patch-diff").prints("keep-going");
        assert!(
            !run.stdout.contains("man pages"),
            "{shell}: the hidden command is in it"
        );
    }
    Sandbox::new().run(&["completion", "tcsh"]).code(2).says("tcsh");
}
