//! The cluster as a source: the ConfigMaps, the live pods, and what happens without the right to read them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

use std::{path::Path, process::Command, sync::LazyLock};

use crate::support::{
    LAB, PLUGIN, Run, Sandbox,
    api_server::{ApiServer, common},
    shared::until,
};
use serde_json::{Value, json};

/// The namespace of CoCalc, in the server that other modules use too.
const NAMESPACE: &str = "sources";

const PROJECT_POD: &str = include_str!("../data/configmap-project-pod.json");
const SOFTWARE: &str = r#"{"default":"u","environments":{"u":{"title":"U","tag":"20230110-1143"}}}"#;
const OTHER: &str = "22222222-2222-4222-8222-222222222222";

/// An API server with what CoCalc's chart puts there, and the pods of two running projects.
struct Site {
    server: &'static ApiServer,
    folder: Sandbox,
}

impl Site {
    fn start() -> Self {
        let server = common();
        server.make_namespace(NAMESPACE);
        let mut template: Value = serde_json::from_str(PROJECT_POD).expect("JSON");
        template["metadata"] = json!({"name": "project-pod", "namespace": NAMESPACE});
        server.kubectl_with_stdin(&["create", "-f", "-"], &template.to_string());
        let image = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "project-image", "namespace": NAMESPACE},
            "data": {"software.json": SOFTWARE, "registry": "registry.example/cocalc/project\n"},
        });
        server.kubectl_with_stdin(&["create", "-f", "-"], &image.to_string());
        let folder = Sandbox::new();
        let site = Self { server, folder };
        let example = site
            .folder
            .run(&["snapshot", "--example", "-o", "json"])
            .code(0)
            .json();
        for id in [LAB, OTHER] {
            let mut example = example.clone();
            example["projects"][0]["project_id"] = id.into();
            let rendered = site
                .folder
                .run_with_stdin(&["render", "-f", "-", "-o", "json"], &example.to_string())
                .code(0);
            site.server
                .kubectl_with_stdin(&["-n", NAMESPACE, "create", "-f", "-"], &rendered.stdout);
        }
        site
    }

    fn run(&self, args: &[&str]) -> Run {
        self.run_as(self.server.kubeconfig(), args)
    }

    fn run_as(&self, kubeconfig: &Path, args: &[&str]) -> Run {
        let mut command = Command::new(PLUGIN);
        command
            .args(args)
            .args(["-n", NAMESPACE, "--kubeconfig"])
            .arg(kubeconfig);
        self.folder.run_command(command, "")
    }
}

static SITE: LazyLock<Site> = LazyLock::new(Site::start);

fn site() -> &'static Site {
    &SITE
}

#[test]
fn a_running_project_is_rendered_with_nothing_but_the_cluster() {
    let run = site()
        .run(&["render", LAB, "-o", "json"])
        .code(0)
        .says("licenses were not looked at");
    let pod = run.json();
    assert_eq!(pod["metadata"]["name"], format!("project-{LAB}"));
    assert_eq!(
        pod["spec"]["containers"][0]["image"],
        "registry.example/cocalc/project:20230110-1143"
    );
    assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"]["cpu"], "4");
}

#[test]
fn a_template_given_as_a_file_contacts_no_cluster() {
    let folder = Sandbox::new().file("project-pod.json", PROJECT_POD);
    // No kubeconfig is there at all.
    folder
        .run(&["render", "-f", "project-pod.json", "-o", "name"])
        .code(0);
    folder.run(&["patch-diff", "--example"]).code(1);
    folder.run(&["quota", "--example"]).code(0);
}

#[test]
fn offline_forbids_the_cluster_and_excludes_what_needs_it() {
    site()
        .run(&["render", LAB, "--offline"])
        .code(2)
        .says("there is no template to render")
        .says("--offline");
    site()
        .run(&["patch-diff", "--live", "--offline", LAB])
        .code(2)
        .says("--offline");
    site()
        .run(&["dry-run", "--offline", LAB])
        .code(2)
        .says("--offline");
}

#[test]
fn the_template_can_come_from_another_configmap_and_one_key_of_it() {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "next", "namespace": NAMESPACE},
        "data": {
            "a.json": r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"project-{project_id}"},"spec":{"containers":[{"name":"a","image":"i"}]}}"#,
            "b.json": r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"project-{project_id}"},"spec":{"containers":[{"name":"b","image":"i"}]}}"#,
        },
    });
    site()
        .server
        .kubectl_with_stdin(&["create", "-f", "-"], &map.to_string());
    let run = site()
        .run(&["render", LAB, "--template-configmap", "next/b.json", "-o", "json"])
        .code(0);
    assert_eq!(run.json()["spec"]["containers"][0]["name"], "b");
    site()
        .run(&["render", LAB, "--template-configmap", "next"])
        .code(2)
        .says("--template-configmap next/KEY");
    site()
        .run(&["render", LAB, "--template-configmap", "absent"])
        .code(2)
        .says("Error from server (NotFound): configmaps \"absent\" not found");
}

#[test]
fn a_namespace_without_cocalc_is_told_with_the_next_step() {
    let mut command = Command::new(PLUGIN);
    command
        .args(["render", LAB, "-n", "default", "--kubeconfig"])
        .arg(site().server.kubeconfig());
    site()
        .folder
        .run_command(command, "")
        .code(2)
        .says("Error from server (NotFound): configmaps \"project-pod\" not found")
        .says("namespace default")
        .says("-n");
}

#[test]
fn all_running_projects_are_the_ones_where_no_source_of_projects_is_given() {
    let run = site().run(&["render", "--all", "-o", "name"]).code(0);
    assert_eq!(run.stdout, format!("pod/project-{LAB}\npod/project-{OTHER}\n"),);
}

#[test]
fn a_restart_changes_nothing_of_a_pod_that_was_rendered_as_it_runs() {
    let example = site()
        .folder
        .run(&["snapshot", "--example", "-o", "json"])
        .code(0);
    let folder = Sandbox::new().file("site.json", &example.stdout);
    let mut command = Command::new(PLUGIN);
    command
        .args([
            "patch-diff",
            "--live",
            "-f",
            "site.json",
            LAB,
            "-n",
            NAMESPACE,
            "--kubeconfig",
        ])
        .arg(site().server.kubeconfig());
    folder.run_command(command, "").code(0).prints_nothing();
}

#[test]
fn a_snapshot_of_the_cluster_replays_to_the_same_bytes() {
    let taken = site().run(&["snapshot", LAB]).code(0);
    let rendered = site().run(&["render", LAB, "--explain"]).code(0);
    let folder = Sandbox::new().file("taken.yaml", &taken.stdout);
    let replayed = folder
        .run(&["render", "-f", "taken.yaml", LAB, "--explain"])
        .code(0);
    assert_eq!(replayed.stdout, rendered.stdout);
    assert_eq!(replayed.stderr, rendered.stderr);
}

#[test]
fn a_missing_right_is_told_with_the_role_that_grants_it_and_the_readmes_role_grants_all() {
    let site = site();
    let server = site.server;
    server.kubectl(&["-n", NAMESPACE, "create", "serviceaccount", "reader"]);
    let token = server.kubectl(&["-n", NAMESPACE, "create", "token", "reader"]);
    let mut config: Value =
        serde_yaml::from_str(&std::fs::read_to_string(server.kubeconfig()).expect("a kubeconfig"))
            .expect("YAML");
    config["users"][0]["user"] = json!({"token": token.trim()});
    let kubeconfig = site.folder.path().join("reader.kubeconfig");
    std::fs::write(&kubeconfig, config.to_string()).expect("a file");

    site.run_as(&kubeconfig, &["render", LAB])
        .code(2)
        .says("Error from server (Forbidden): configmaps \"project-pod\" is forbidden")
        .says("hint:")
        .says(r#"resources: ["configmaps"], resourceNames: ["project-pod"], verbs: ["get"]"#);

    let readme = include_str!("../../README.md");
    let rules = readme
        .split("```yaml\n")
        .find_map(|block| {
            block
                .starts_with("# rbac.yaml")
                .then(|| block.split("```").next())
        })
        .flatten()
        .expect("README has a block that begins with # rbac.yaml");
    let rules = rules.replace("namespace: cocalc", &format!("namespace: {NAMESPACE}"));
    server.kubectl_with_stdin(&["-n", NAMESPACE, "apply", "-f", "-"], &rules);
    until("the rights are in force", || {
        let reader = format!("--as=system:serviceaccount:{NAMESPACE}:reader");
        [&["get", "configmaps", "-n", NAMESPACE][..], &["list", "nodes"]]
            .iter()
            .all(|right| {
                let asked = [&[&*reader, "auth", "can-i"], *right].concat();
                server.try_kubectl(&asked, "").status.success()
            })
    });
    site.run_as(&kubeconfig, &["render", LAB]).code(0);
    site.run_as(&kubeconfig, &["render", "--all", "-o", "name"])
        .code(0);
    site.run_as(&kubeconfig, &["patch-diff", "--live", LAB]);
    site.run_as(&kubeconfig, &["dry-run", LAB])
        .does_not_say("Forbidden")
        .does_not_say("forbidden");
}
