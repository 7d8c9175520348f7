//! Mistakes that people make with patches, in the manner of public bug reports: each is told with its cure.
//!
//! `tests/data/mistakes/cases.json` holds patches of the built-in example (or of the document `before`), each with
//! what is right to say of it; the folders beside it hold files for `base.yaml`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failure here is a failed test"
)]

use std::{collections::BTreeSet, path::Path};

use kubectl_cocalc::{
    check::meant::{Slip, Wanted, meant},
    json_patch::Kind,
};
use serde_json::{Value, json};

use crate::support::{Run, Sandbox};

fn data(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/mistakes");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn cases() -> Value {
    serde_json::from_str(&data("cases.json")).unwrap()
}

/// `patch-diff` of a case.
fn case(name: &str, more: &[&str]) -> Run {
    let case = cases()[name].clone();
    let patch = case["patch"].to_string();
    let sandbox = Sandbox::new().file("before.json", &case["before"].to_string());
    let source: &[&str] = if case["before"].is_null() {
        &["--example"]
    } else {
        &["--before", "before.json"]
    };
    sandbox.run(&[&["patch-diff", "-p", &patch], source, more].concat())
}

/// `patch-diff` of a file of patches for `base.yaml`.
fn file(name: &str, more: &[&str]) -> Run {
    let sandbox = Sandbox::new()
        .file("base.yaml", &data("base.yaml"))
        .file("doc.json", &data("rfc6902-of-a-malformed-patch/doc.json"))
        .file(name, &data(name));
    let source: &[&str] = if more.contains(&"--before") {
        &[]
    } else {
        &["-f", "base.yaml"]
    };
    sandbox.run(&[&["patch-diff", "--patch-file", name], source, more].concat())
}

#[test]
fn every_case_is_held_by_a_test() {
    let held = [
        "double-dash",
        "dotted-path",
        "dropped-patch-and-the-rfc",
        "foreign-annotation",
        "frozen-by-an-insert",
        "generated-name",
        "kind-left-out",
        "list-given-as-text",
        "mount-inside-its-volume",
        "move-without-from-at-the-root",
        "one-level-too-high",
        "path-of-a-deployment",
        // Who is to blame is held by tests of blame.
        "removed-volume-still-mounted",
        "slash-in-a-key",
        "volume-without-mount",
    ];
    let cases = cases();
    let names: BTreeSet<&str> = cases.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, held.into_iter().collect());
}

#[test]
fn one_dash_appends_and_nothing_follows_it() {
    for run in [
        case("double-dash", &[]),
        file("hint-path-below-the-end-of-a-list/patch.json", &[]),
    ] {
        run.code(1)
            .says("did you mean /spec/volumes/- (one - appends, and nothing follows it)?")
            .does_not_say("as a list first");
    }
}

#[test]
fn a_volume_that_no_container_mounts_is_a_note() {
    case("volume-without-mount", &[])
        .code(1)
        .says("no container mounts the volume \"example\"")
        .says("[volume-without-mount]");
}

#[test]
fn a_slash_within_a_key_is_written_as_an_escape() {
    case("slash-in-a-key", &[])
        .says("did you mean /metadata/labels/nvidia.com~1gpu (a slash within a key is written ~1)?");
    file("hint-slash-in-a-key/patch.json", &[])
        .says("did you mean /metadata/annotations/reloader.example.com~1auto (a slash");
}

#[test]
fn a_dotted_path_is_told_with_its_slashes() {
    case("dotted-path", &[])
        .says("does not start with a slash; CoCalc takes it as the member \"undefined\" of the root")
        .says("did you mean /spec/nodeSelector/gpu (each step of a path starts with a slash)?");
}

#[test]
fn the_path_of_a_deployment_is_told_as_that_of_a_pod() {
    case("path-of-a-deployment", &[]).says("did you mean /spec/tolerations/- (a Pod has no /spec/template)?");
}

#[test]
fn a_field_one_level_too_high_is_told_where_it_belongs_and_that_a_list_is_there() {
    case("one-level-too-high", &[])
        .says("Kubernetes knows no field \"tolerations\" here; did you mean /spec/tolerations")
        .says("(it exists; /spec/tolerations/- appends to it)?");
}

#[test]
fn a_field_in_the_wrong_place_is_told_where_it_belongs() {
    case("mount-inside-its-volume", &[])
        .says("no field \"volumeMounts\" here; did you mean /spec/containers/0/volumeMounts");
    file("hint-field-in-the-wrong-place/patch.json", &[])
        .says("no field \"runAsUser\" here; did you mean /spec/containers/0/securityContext/runAsUser?")
        .says("no field \"privileged\" here; did you mean /spec/containers/0/securityContext/privileged?")
        .says("no field \"image\" here; did you mean /spec/containers/0/image?");
}

#[test]
fn a_list_given_as_text_is_told_as_one() {
    case("list-given-as-text", &[]).says("spec.containers[1].env: this must be a list, and it is a string");
}

#[test]
fn a_document_that_becomes_undefined_is_a_failure_with_a_report() {
    let run = case("move-without-from-at-the-root", &["-o", "json"]).code(1);
    let report = run.json();
    assert_eq!(report["verdict"]["cocalc"], "fails");
    assert_eq!(report["verdict"]["rfc6902"], "rejects");
    assert_eq!(report["verdict"]["error"]["operation"], 0);
    let message = report["verdict"]["error"]["message"].as_str().unwrap();
    assert!(message.contains("the whole document is undefined"), "{message}");
    assert_eq!(report["after"], Value::Null);

    // The same of a project: license and operation are named, in every command that makes the pod.
    let patch = r#"[{"op":"add","path":"/metadata/labels/x","value":"y"},{"op":"add","path":""}]"#;
    let sandbox = Sandbox::new();
    let report = sandbox
        .run(&["patch-diff", "--example", "-p", patch, "-o", "json"])
        .code(1)
        .json();
    assert_eq!(report["verdict"]["cocalc"], "fails");
    assert_eq!(report["verdict"]["error"]["operation"], 1);
    sandbox.run(&["render", "--example", "-p", patch]).code(1).says(
        "license \"what-if\" ffffffff, operation 2 of 2 (add ): TypeError: the whole document is undefined",
    );
}

#[test]
fn what_the_check_drops_is_judged_by_rfc_6902_as_well() {
    let report = case("dropped-patch-and-the-rfc", &["-o", "json"]).code(1).json();
    assert_eq!(report["verdict"]["cocalc"], "dropped");
    assert_eq!(report["verdict"]["rfc6902"], "rejects");
    let reason = report["verdict"]["rfc6902_reason"].as_str().unwrap();
    assert!(reason.contains("missing field `path`"), "{reason}");
    for name in ["patch.json", "patch2.json"] {
        let name = format!("rfc6902-of-a-malformed-patch/{name}");
        for more in [&["--before", "doc.json", "-o", "json"][..], &["-o", "json"]] {
            let report = file(&name, more).code(1).json();
            assert_eq!(report["verdict"]["rfc6902"], "rejects", "{name} {more:?}");
        }
    }
    // The reverse: of an add, the RFC does not look at from.
    let odd = r#"[{"op":"add","path":"/metadata/labels/x","value":"y","from":5}]"#;
    let report = Sandbox::new()
        .run(&["patch-diff", "--example", "-p", odd, "-o", "json"])
        .code(1)
        .json();
    assert_eq!(
        report["verdict"],
        json!({"cocalc": "dropped", "rfc6902": "accepts"})
    );
}

#[test]
fn what_the_api_server_accepts_is_not_called_refused() {
    case("kind-left-out", &[])
        .says("note: kind: without kind the API server takes it as Pod")
        .does_not_say("refuses");
    case("generated-name", &[])
        .says("metadata.name: it was \"project-11111111-1111-4111-8111-111111111111\" and is gone")
        .says("would lose the pod")
        .does_not_say("refuses");
    // What it does refuse is told all the same.
    for (patch, problem) in [
        (
            r#"[{"op":"remove","path":"/metadata/name"}]"#,
            "has neither metadata.name nor metadata.generateName",
        ),
        (
            r#"[{"op":"replace","path":"/kind","value":"Job"}]"#,
            "is of kind \"Job\"",
        ),
        (r#"[{"op":"replace","path":"","value":[]}]"#, "is no map"),
    ] {
        Sandbox::new()
            .run(&["patch-diff", "--example", "-p", patch])
            .says(&format!(
                "the result {problem}; the API server refuses it [not-a-pod]"
            ));
    }
}

/// `patch-diff --after` of the example's pod, edited.
fn after(edit: impl Fn(&mut Value)) -> Run {
    let mut pod = Sandbox::new().run(&["render", "--example", "-o", "json"]).json();
    edit(&mut pod);
    Sandbox::new()
        .file("after.json", &pod.to_string())
        .run(&["patch-diff", "--example", "--after", "after.json", "-o", "patch"])
        .code(0)
}

#[test]
fn a_value_is_frozen_only_where_an_operation_writes_it() {
    let front = |pod: &mut Value| {
        let env = pod["spec"]["containers"][0]["env"].as_array_mut().unwrap();
        env.insert(0, json!({"name": "OMP_NUM_THREADS", "value": "2"}));
    };
    after(front).does_not_say("frozen-value");
    let limit =
        |pod: &mut Value| pod["spec"]["containers"][0]["resources"]["limits"]["memory"] = json!("9Gi");
    after(limit)
        .says("/spec/containers/0/resources/limits/memory comes from the quota's memory_limit")
        .says("[frozen-value]");
    // Behind the inserted variable the next one is written, at its new index.
    let both = |pod: &mut Value| {
        front(pod);
        pod["spec"]["containers"][0]["env"][1]["value"] = json!("other");
    };
    let run = after(both);
    assert_eq!(run.stderr.matches("[frozen-value]").count(), 1, "{}", run.stderr);
}

#[test]
fn an_annotation_that_somebody_wrote_into_the_live_pod_speaks_for_no_assumption() {
    let mut pod = Sandbox::new().run(&["render", "--example", "-o", "json"]).json();
    pod["metadata"]["uid"] = json!("0f9c3d1e-5a9b-4c57-9c63-0d1b1b8a2f11");
    pod["status"] = json!({"phase": "Running"});
    pod["metadata"]["annotations"]["owner"] = json!("someone");
    Sandbox::new()
        .file("live.json", &pod.to_string())
        .run(&["patch-diff", "--example", "-f", "live.json", "--live"])
        .code(1)
        .does_not_say("[assumption]");
}

#[test]
fn what_is_given_in_place_of_a_patch_is_told_as_what_it_is() {
    let other = |name: &str| file(&format!("hint-for-other-kinds-of-patch/{name}"), &[]).code(1);
    other("merge.json")
        .says("it is a merge patch")
        .says(r#"as a JSON Patch it is [{"op":"add","path":"/metadata/labels/team","value":"bio"}]"#);
    other("kustomization.yaml").says("it is a kustomization");
    other("quoted.txt").says("quotes stand around it; leave them out");
    let given = |patch: &str| {
        Sandbox::new()
            .run(&["patch-diff", "--example", "-p", patch])
            .code(1)
    };
    given("patch.json").says("it looks like the name of a file, which --patch-file reads");
    given(r#""[{\"op\":\"remove\",\"path\":\"/spec/hostname\"}]""#)
        .says("it is encoded twice")
        .does_not_say("put it into [ ]");
    given(r#"{"op":"remove","path":"/spec/hostname"}"#).says("put it into [ ]");
    given(r#"{"cpu":2,"ram":4}"#).says("it is the quota of a license");
}

#[test]
fn a_key_that_stands_twice_in_an_operation_is_a_warning_with_its_place() {
    let name = "same-key-twice-in-an-operation/patch.json";
    let run = file(name, &[]);
    for (key, column) in [("path", 39), ("mountPath", 122)] {
        assert!(
            run.stderr.contains(&format!(
                "{name}:1:2: warning: patch.json, operation 1 of 1: the key {key:?} stands twice in one object, \
                 again at line 1 column {column}; CoCalc takes the last [operation-duplicate-key]"
            )),
            "{}",
            run.stderr
        );
    }
}

const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"run":"project"}},"spec":{
    "securityContext":{"fsGroup":1},"nodeSelector":{"disk":"ssd"},"tolerations":[{"key":"a"}],
    "initContainers":[{"name":"init","image":"i:1"}],
    "containers":[{"name":"project","image":"x:1","env":[{"name":"A","value":"1"}],
                   "resources":{"limits":{"cpu":"1"}},
                   "volumeMounts":[{"name":"home","mountPath":"/home/user"}]},
                  {"name":"datastore","image":"y:1"}],
    "volumes":[{"name":"home","nfs":{"server":"s","path":"/p"}},{"name":"lab"}]}}"#;

/// What is meant with a path at which a value of this kind is put; must stand there already without one.
fn meant_with(path: &str, kind: Option<Kind>) -> Option<(String, Vec<Slip>)> {
    let pod: Value = serde_json::from_str(POD).unwrap();
    let wanted = Wanted {
        kind,
        must_exist: kind.is_none(),
    };
    meant(&pod, path, wanted).map(|meant| (meant.pointer(), meant.slips))
}

#[test]
fn the_nearest_path_that_is_allowed_is_the_one_that_was_meant() {
    let (text, list, map, number) = (
        Some(Kind::String),
        Some(Kind::List),
        Some(Kind::Map),
        Some(Kind::Number),
    );
    for (path, kind, expected) in [
        // A slash within a key, wherever keys are.
        (
            "/metadata/labels/example.com/team",
            text,
            "/metadata/labels/example.com~1team",
        ),
        (
            "/spec/nodeSelector/node.kubernetes.io/pool",
            text,
            "/spec/nodeSelector/node.kubernetes.io~1pool",
        ),
        (
            "/spec/containers/0/resources/limits/nvidia.com/gpu",
            text,
            "/spec/containers/0/resources/limits/nvidia.com~1gpu",
        ),
        (
            "/metadata/annotations/a/b/c",
            text,
            "/metadata/annotations/a~1b~1c",
        ),
        // Dots and brackets for slashes.
        ("spec.nodeSelector.gpu", text, "/spec/nodeSelector/gpu"),
        (".spec.containers[0].image", text, "/spec/containers/0/image"),
        ("$.spec.containers[1].image", None, "/spec/containers/1/image"),
        ("/spec/containers[0]/image", text, "/spec/containers/0/image"),
        (
            "metadata.labels.example.com/team",
            text,
            "/metadata/labels/example.com~1team",
        ),
        (
            "metadata.labels['example.com/team']",
            text,
            "/metadata/labels/example.com~1team",
        ),
        ("spec/hostname", text, "/spec/hostname"),
        // The path of something that holds a Pod.
        ("/spec/template/spec/tolerations/-", map, "/spec/tolerations/-"),
        (
            "/spec/template/metadata/labels/team",
            text,
            "/metadata/labels/team",
        ),
        (
            "/spec/jobTemplate/spec/template/spec/hostname",
            text,
            "/spec/hostname",
        ),
        (
            "spec.template.spec.nodeSelector.gpu",
            text,
            "/spec/nodeSelector/gpu",
        ),
        // One level too high or too low, or in another place.
        ("/tolerations", list, "/spec/tolerations"),
        ("/tolerations/-", map, "/spec/tolerations/-"),
        ("/labels/team", text, "/metadata/labels/team"),
        ("/spec/labels/team", text, "/metadata/labels/team"),
        ("/spec/spec/hostname", text, "/spec/hostname"),
        ("/spec/image", text, "/spec/containers/0/image"),
        ("/spec/containers/image", text, "/spec/containers/0/image"),
        ("/spec/limits", map, "/spec/containers/0/resources/limits"),
        ("/spec/containers/1/nodeSelector", map, "/spec/nodeSelector"),
        (
            "/spec/containers/1/privileged",
            Some(Kind::Bool),
            "/spec/containers/1/securityContext/privileged",
        ),
        (
            "/spec/volumes/0/volumeMounts",
            list,
            "/spec/containers/0/volumeMounts",
        ),
        ("/spec/fsGroup", number, "/spec/securityContext/fsGroup"),
        (
            "/spec/volumes/1/claimName",
            text,
            "/spec/volumes/1/persistentVolumeClaim/claimName",
        ),
        // The end of a list.
        ("/spec/volumes/-/-", map, "/spec/volumes/-"),
        ("/spec/containers/-1/image", text, "/spec/containers/1/image"),
        ("/spec/containers/-1", None, "/spec/containers/1"),
        (
            "/spec/containers/datastore/image",
            text,
            "/spec/containers/1/image",
        ),
        // Spelling and case.
        ("/spec/nodeselector/gpu", text, "/spec/nodeSelector/gpu"),
        ("/spec/container/0/image", text, "/spec/containers/0/image"),
        (
            "/spec/containers/0/volumeMount/-",
            map,
            "/spec/containers/0/volumeMounts/-",
        ),
        (
            "/spec/containers/0/volume_mounts/-",
            map,
            "/spec/containers/0/volumeMounts/-",
        ),
        ("/metadata/label/team", text, "/metadata/labels/team"),
        ("/spec/tolaration/-", map, "/spec/tolerations/-"),
        ("/metadata/labels/rnu", None, "/metadata/labels/run"),
    ] {
        let found = meant_with(path, kind).map(|(pointer, _)| pointer);
        assert_eq!(found.as_deref(), Some(expected), "{path}");
    }
}

#[test]
fn nothing_is_suggested_where_the_path_is_good_or_nothing_is_near() {
    for (path, kind) in [
        ("/spec/hostname", Some(Kind::String)),
        ("/spec/affinity/nodeAffinity", Some(Kind::Map)),
        ("/metadata/labels/anything", Some(Kind::String)),
        ("/spec/nonsense", Some(Kind::String)),
        // A ceph volume's field that a claim's class has: nothing here has it.
        ("/spec/volumes/0/rbd/imageformat", Some(Kind::String)),
        // Equally near in many places.
        ("/spec/volumes/1/path", Some(Kind::String)),
        // A volume of one type is not made one of another.
        ("/spec/volumes/0/claimName", Some(Kind::String)),
        // A number is no list of ports.
        ("/spec/containers/0/port", Some(Kind::Number)),
        ("/metadata/name/x", Some(Kind::String)),
        ("", Some(Kind::Map)),
        ("/", Some(Kind::String)),
        ("undefined", Some(Kind::String)),
        ("/metadata/labels/zzz", None),
    ] {
        assert_eq!(meant_with(path, kind), None, "{path}");
    }
}

#[test]
fn the_slips_of_a_path_are_data() {
    let slips = |path| meant_with(path, Some(Kind::String)).unwrap().1;
    assert_eq!(slips("/metadata/labels/a.b/c"), [Slip::EscapedSlash]);
    assert_eq!(
        slips("spec.template.spec.hostname"),
        [
            Slip::Slashes,
            Slip::Slashes,
            Slip::NotOfAPod("/spec/template".into())
        ]
    );
    assert_eq!(
        slips("/spec/container/datastore/image"),
        [Slip::Spelling, Slip::ElementName]
    );
}

#[test]
fn of_a_document_that_is_no_pod_what_stands_in_it_counts() {
    let document = json!({"foo": {"bar": [{"name": "a"}, {"name": "b"}]}});
    let found = |path: &str| {
        let wanted = Wanted {
            kind: Some(Kind::String),
            must_exist: false,
        };
        meant(&document, path, wanted).map(|meant| meant.pointer())
    };
    assert_eq!(found("/fooo/x").as_deref(), Some("/foo/x"));
    assert_eq!(found("/foo/bar/b/x").as_deref(), Some("/foo/bar/1/x"));
    assert_eq!(found("foo/x").as_deref(), Some("/foo/x"));
    assert_eq!(found("/tolerations"), None);
    assert_eq!(found("/foo/x"), None);
}

#[test]
fn an_orphan_without_a_quota_is_not_said_to_be_of_another_hosting_class() {
    let site = r#"
server_settings: {kucalc: onprem}
template: {apiVersion: v1, kind: Pod, metadata: {name: "project-{project_id}"},
           spec: {containers: [{name: project, image: "x:1", resources: {}}]}}
site_licenses:
- {id: f3d76abf-38a5-4e4e-884d-2e70f1afddb0, title: member, activates: 2023-01-20, quota: {cpu: 1, member: true}}
projects:
- project_id: 11111111-1111-4111-8111-111111111111
  users: {}
  site_license: {f3d76abf-38a5-4e4e-884d-2e70f1afddb0: {}, 88876abf-38a5-4e4e-884d-2e70f1afddb0: {}}
"#;
    Sandbox::new()
        .file("site.yaml", site)
        .run(&["patch-diff", "-f", "site.yaml"])
        .says("license 88876abf is an orphan")
        .does_not_say("hosting class");
}

#[test]
fn a_number_with_its_unit_is_told_what_it_counts() {
    for (quota, cure) in [
        (r#"{"ram":"16 GB"}"#, "it counts GB: write 16, without quotes"),
        (r#"{"ram":"16"}"#, "write it without quotes"),
        (r#"{"cpu":"2 cores"}"#, "it counts cores: write 2, without quotes"),
        (
            r#"{"ram":"512 MB"}"#,
            "it counts GB: write the number alone, without quotes",
        ),
    ] {
        Sandbox::new()
            .run(&["render", "--example", "--quota", quota])
            .code(2)
            .says(&format!("not a number; {cure}"));
    }
    let patch = r#"[{"op":"replace","path":"/spec/containers/0/resources/limits/memory","value":"16 GB"}]"#;
    Sandbox::new()
        .run(&["patch-diff", "--example", "-p", patch])
        .says("\"16 GB\" is no quantity")
        .says("did you mean 16G?");
}

#[test]
fn a_finding_about_the_whole_pod_has_no_empty_place() {
    Sandbox::new()
        .run(&[
            "patch-diff",
            "--example",
            "-p",
            r#"[{"op":"replace","path":"","value":[]}]"#,
        ])
        .says("error: a pod is a map, and this is a list")
        .does_not_say("error: :");
}

#[test]
fn a_config_map_of_binary_data_says_so() {
    let manifest = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"project-pod"},"binaryData":{"project-pod.json":"e30="}}"#;
    Sandbox::new()
        .file("cm.json", manifest)
        .run(&["render", "-f", "cm.json"])
        .code(2)
        .says("it has nothing but binaryData, and the template is read from data");
}

#[test]
fn a_key_that_stands_twice_in_the_template_is_told_once() {
    let template = r#"{"kind":"Pod","kind":"Pod","apiVersion":"v1","metadata":{"name":"p","name":"p"},
        "spec":{"containers":[{"name":"c","name":"c","image":"x"}]}}"#;
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "project-pod"},
                          "data": {"project-pod.json": template}});
    for command in ["render", "patch-diff"] {
        let run = Sandbox::new()
            .file("cm.json", &manifest.to_string())
            .run(&[command, "-f", "cm.json"]);
        for key in ["kind", "name"] {
            let told = format!(
                "the key {key:?} twice in one object; CoCalc takes the last [template-duplicate-key]"
            );
            assert_eq!(run.stderr.matches(&told).count(), 1, "{command}: {}", run.stderr);
        }
        assert_eq!(
            run.stderr.matches("twice").count(),
            2,
            "{command}: {}",
            run.stderr
        );
    }
}
