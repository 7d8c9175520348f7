//! Snapshot files and manifests, as users give them with `-f`: what is read, what is refused and where.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests may panic, as tests do"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use kubectl_cocalc::snapshot::{
    Input, Note, NoteKind, ReadError, ReadOptions, Snapshot, example, parse_document, parse_manifest,
    parse_timestamp, project_id_of, read_inputs, template_from_manifests,
};
use proptest::prelude::*;
use serde_json::Value;

fn live_pod_of<'a>(snapshot: &'a Snapshot, project_id: &str) -> Option<&'a Value> {
    snapshot
        .live_pods
        .iter()
        .find(|pod| project_id_of(pod) == Some(project_id))
}

const LAB: &str = "11111111-1111-4111-8111-111111111111";
const PATCH1: &str = "f3d76abf-38a5-4e4e-884d-2e70f1afddb9";

fn read(text: &str) -> Result<(Snapshot, Vec<Note>), ReadError> {
    read_bytes(text.as_bytes())
}

fn read_bytes(mut bytes: &[u8]) -> Result<(Snapshot, Vec<Note>), ReadError> {
    read_inputs(&[Input::Stdin], &mut bytes, &ReadOptions::default())
}

/// What reading says, without the name of the source.
fn refusal(text: &str) -> String {
    let error = read(text).expect_err(text).to_string();
    error.strip_prefix("standard input:").unwrap_or(&error).to_owned()
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn read_files(files: &[PathBuf]) -> Result<(Snapshot, Vec<Note>), ReadError> {
    read_files_with(files, &ReadOptions::default())
}

fn read_files_with(files: &[PathBuf], options: &ReadOptions) -> Result<(Snapshot, Vec<Note>), ReadError> {
    let inputs: Vec<Input> = files.iter().cloned().map(Input::File).collect();
    read_inputs(&inputs, &mut std::io::empty(), options)
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

const WHOLE: &str = r#"
now: 2026-11-24T12:00:00Z
server_settings:
  kucalc: onprem
  default_quotas: {internet: true, mem: 1000}
  max_upgrades: '{"memory": 16000}'
template: {apiVersion: v1, kind: Pod, spec: {priority: 30.0}}
software: {default: u, environments: {u: {title: U, tag: "20230110-1143", registry: registry.example/p}}}
assumptions: {cpu_format: decimal, network: null}
site_licenses:
  - {id: F3D76ABF-38a5-4e4e-884d-2e70f1afddb9, title: patch1, activates: 2023-01-20 16:37:12.595, expires: null,
     run_limit: 1, quota: {ram: 1, cpu: 1, patch: '[]'}, managers: [a, b], description: d, info: {x: 1}}
projects:
  - project_id: 11111111-1111-4111-8111-111111111111
    title: "t\u00e4"
    users: {bbbb: {group: owner}, a: {}}
    settings: ~
    site_license: {f3d76abf-38a5-4e4e-884d-2e70f1afddb9: {}}
    env: {A: "1", B: "q\"\n"}
    compute_image: u
    state: {state: running, time: 2026-11-24}
    last_edited: 2026-11-24
    deleted: false
license_usage: {f3d76abf-38a5-4e4e-884d-2e70f1afddb9: 2}
live_pods:
  - {kind: Pod, metadata: {name: project-11111111-1111-4111-8111-111111111111}}
"#;

fn check_whole(snapshot: &Snapshot) {
    assert_eq!(snapshot.now, parse_timestamp("2026-11-24T12:00:00Z"));
    let settings = snapshot.server_settings.as_ref().unwrap();
    assert_eq!(
        settings["default_quotas"].stringify(),
        r#"{"internet":true,"mem":1000}"#
    );
    assert_eq!(
        settings["max_upgrades"].as_str(),
        Some(r#"{"memory": 16000}"#),
        "text stays text"
    );
    let template = snapshot.template.as_ref().unwrap();
    assert_eq!(
        template.text,
        r#"{"apiVersion":"v1","kind":"Pod","spec":{"priority":30}}"#
    );
    assert_eq!(
        snapshot.software.as_ref().unwrap().image(Some("u")),
        Some(("registry.example/p", "20230110-1143"))
    );
    assert_eq!(snapshot.assumptions.as_ref().unwrap().network, None);
    let license = &snapshot.site_licenses[PATCH1];
    assert_eq!(license.id, PATCH1, "in lower case");
    assert_eq!(license.activates, parse_timestamp("2023-01-20T16:37:12.595Z"));
    assert_eq!((license.expires, license.run_limit), (None, Some(1.0)));
    assert_eq!(
        license.quota.stringify(),
        r#"{"cpu":1,"ram":1,"patch":"[]"}"#,
        "in jsonb order"
    );
    assert_eq!(license.managers, ["a", "b"]);
    let project = &snapshot.projects[0];
    assert_eq!((&*project.project_id, &*project.title), (LAB, "tä"));
    assert_eq!(project.users.text(), r#"{"bbbb":{"group":"owner"},"a":{}}"#);
    assert_eq!(
        project.users.value().unwrap().stringify(),
        r#"{"a":{},"bbbb":{"group":"owner"}}"#
    );
    assert_eq!(project.settings.text(), "null");
    assert_eq!(project.env.text(), r#"{"A":"1","B":"q\"\n"}"#);
    assert_eq!(project.state.as_deref(), Some("running"));
    assert!(snapshot.has_projects && !project.deleted);
    assert_eq!(snapshot.license_usage[PATCH1], 2);
    assert!(live_pod_of(snapshot, LAB).is_some());
    assert!(live_pod_of(snapshot, PATCH1).is_none());
}

#[test]
fn every_section_is_read_the_same_from_yaml_and_json() {
    let (snapshot, notes) = read(WHOLE).unwrap();
    assert_eq!(notes, []);
    check_whole(&snapshot);
    let (json, _) = parse_document(WHOLE, "whole").unwrap();
    check_whole(&read(&json.stringify()).unwrap().0);
    check_whole(&read(&WHOLE.replace('\n', "\r\n")).unwrap().0);
    check_whole(&read(&format!("\u{feff}{WHOLE}")).unwrap().0);
    check_whole(&read(&format!("%YAML 1.2\n---{WHOLE}...\n")).unwrap().0);
    check_whole(
        &read(&format!(
            "{}\n{{\"live_pods\":[]}}\n---\nnow: null\n",
            json.stringify()
        ))
        .unwrap()
        .0,
    );
}

#[test]
fn what_a_snapshot_cannot_hold_is_refused_with_its_place() {
    let row = format!("projects:\n- project_id: {LAB}\n");
    for (text, said) in [
        (
            "project: []",
            "1:1: unknown key `project` in a snapshot; did you mean `projects`?",
        ),
        ("projects: 5", "1:1: `projects` must be a list, not a number"),
        (
            "projects: [x]",
            "1:12: a row of `projects` must be a map, not a string",
        ),
        (
            "server_settings: []",
            "1:1: `server_settings` must be a map, not a list",
        ),
        (
            "projects:\n- {title: x}",
            "2:4: a row of `projects` without `project_id`; add the project's UUID",
        ),
        (
            "projects:\n- project_id: abc",
            "2:3: `project_id` holds \"abc\", which is no UUID (like f3d76abf-38a5-4e4e-884d-2e70f1afddb9)",
        ),
        (
            &format!("{row}  title: 5"),
            "3:3: `title` must be a string or null, not a number (put it in quotes)",
        ),
        (
            &format!("{row}  titel: x"),
            "3:3: unknown key `titel` in a row of `projects`; did you mean `title`?",
        ),
        (
            &format!("{row}  users: {{a: 1, a: 2}}"),
            "3:17: the key `a` stands twice in this map; leave one of the two out",
        ),
        (
            &format!("{row}  title: a\n  title: b"),
            "4:3: the key `title` stands twice in this map; leave one of the two out",
        ),
        (
            &format!("{{\"projects\": [\n {{\"project_id\": \"{LAB}\", \"deleted\": \"yes\"}}]}}"),
            "2:58: `deleted` must be a boolean or null, not a string",
        ),
        (
            &format!("site_licenses:\n- id: {PATCH1}\n  run_limit: '5'"),
            "3:3: `run_limit` must be a number or null, not a string",
        ),
        (
            &format!("site_licenses:\n- id: {PATCH1}\n  activates: soon"),
            "3:3: `activates` holds \"soon\", which is no time (like 2023-01-20T16:37:12Z, 2023-01-20 16:37:12.595 or 2023-01-20)",
        ),
        (
            "assumptions:\n  cpu_format: x",
            "2:3: `assumptions.cpu_format`: unknown variant `x`, expected `milli` or `decimal`",
        ),
        (
            "template: 5",
            "1:1: `template` must be the Pod as a map, or its JSON text as a string",
        ),
        (
            "license_usage:\n  x: 1",
            "2:3: `license_usage` holds \"x\", which is no UUID (like f3d76abf-38a5-4e4e-884d-2e70f1afddb9)",
        ),
        (
            "live_pods:\n- a",
            "2:3: an entry of `live_pods` must be a Pod (a map)",
        ),
        (
            "{\"now\": null,\n \"now\": null}",
            "2:3: the key `now` stands twice in this map; leave one of the two out",
        ),
        (
            "now: 2026-11-24\n---\n# c\nfoo: 1\nkind: 5",
            "4:1: unknown key `foo` in a snapshot; known are now, server_settings, template, template_source, software, assumptions, site_licenses, projects, license_usage, live_pods; a manifest has `apiVersion` and `kind`",
        ),
    ] {
        assert_eq!(refusal(text), said, "{text}");
    }
}

#[test]
fn a_text_that_is_no_json_or_yaml_is_refused_with_its_place() {
    for (text, said) in [
        (
            "{\"projects\": [",
            "1:14: EOF while parsing a list; is the file cut off?",
        ),
        (
            "{\"projects\": [1e400]}",
            "1:19: a number too large for a double; write it smaller or as a string",
        ),
        (
            "---\n---\n server_settings: {a: 1e400}",
            "3:23: a number too large for a double, or none at all; write it smaller or as a string",
        ),
        (
            "now: 2026-11-24\n---\na: 'x",
            "3:4: unclosed quote; this is no valid YAML",
        ),
        (
            "--- a: b: c",
            "1:9: mapping values are not allowed in this context; this is no valid YAML",
        ),
        (
            "a: \0",
            "1:4: unexpected character: `\\u{0}'; this is no valid YAML",
        ),
        (
            "x: *b",
            "1:4: alias references unknown anchor; this is no valid YAML",
        ),
        (
            "x: &a [*a]",
            "1:8: recursive references require weak recursion types; this is no valid YAML",
        ),
        ("server_settings: {~: 1}", "1:19: a key is null; put it in quotes"),
        (
            "[1]",
            "1:1: this document is a list; a snapshot file or a manifest is a map (keys now, server_settings, template, template_source, software, assumptions, site_licenses, projects, license_usage, live_pods)",
        ),
    ] {
        assert_eq!(refusal(text), said, "{text}");
    }
    assert_eq!(
        read_bytes(b"now: x\nab: \xff").unwrap_err().to_string(),
        "standard input:2:5: the byte 0xff is not UTF-8; save the text as UTF-8"
    );
    assert_eq!(
        read_bytes(b"\xff\xfea\0").unwrap_err().to_string(),
        "standard input:1:1: the text is UTF-16; save it as UTF-8"
    );
}

#[test]
fn hostile_texts_fail_with_a_place() {
    let bomb: String = std::iter::once("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned())
        .chain((1..12).map(|i| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(","))))
        .collect();
    let text_bomb = format!(
        "server_settings:\n  a: &a \"{}\\n\"\n  b: [{}]\n",
        "x".repeat(100_000),
        vec!["*a"; 9_000].join(",")
    );
    let deep_block: String = (0..300).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    for (text, said) in [
        (bomb, "aliases (*name) repeat more"),
        (text_bomb, "aliases (*name) make this text many times larger"),
        (
            format!("kind: {}", "[".repeat(1_000_000)),
            "deeper than 64 levels",
        ),
        (
            format!("kind:\n- {}", "- ".repeat(1_000_000)),
            "deeper than 64 levels",
        ),
        (deep_block, "deeper than 64 levels"),
        (format!("{{\"kind\": {}", "[".repeat(1_000_000)), "deeper than"),
        (
            format!("{{\"kind\": {}", "{\"a\":".repeat(1_000_000)),
            "deeper than",
        ),
        (format!("a: '{}", "x".repeat(10 << 20)), "unclosed quote"),
        (
            format!("{{\"a\": \"{}", "x".repeat(10 << 20)),
            "EOF while parsing a string",
        ),
        (format!("{}: 1", "k".repeat(1 << 20)), ""),
    ] {
        let error = read(&text).unwrap_err().to_string();
        let head: String = text.chars().take(40).collect();
        assert!(error.contains(said), "{head}: {error}");
        assert!(error.starts_with("standard input:"), "{error}");
        assert!(error.len() < 1_000, "{head}: {} bytes", error.len());
    }
}

#[test]
fn what_a_text_holds_is_never_said_raw() {
    for text in [
        "\"\\e[31m\": 1",
        "projects:\n- project_id: \"\\e[31m\\x9b\"",
        "{\"\\u001b[31m\": 1}",
        "{\"a\\u202e\": 1}",
        "assumptions: {\"\\e\": 1}",
        "kind: \"\\e[0m\"\n---\nnow: \"\\e\"",
        "a: \u{1b}[31m",
        "\u{1b}[31m",
    ] {
        let said = read(text).unwrap_err().to_string();
        assert!(
            !said.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{said:?}"
        );
    }
}

#[test]
fn a_snapshot_cut_anywhere_is_read_or_refused_but_never_breaks_the_reader() {
    let json = parse_document(WHOLE, "whole").unwrap().0.stringify();
    for text in [WHOLE, &json] {
        for end in 0..text.len() {
            match read_bytes(&text.as_bytes()[..end]) {
                Ok((snapshot, _)) => assert!(snapshot.projects.len() <= 1),
                Err(error) => assert!(error.to_string().starts_with("standard input:"), "{error}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn a_changed_snapshot_is_read_or_refused_in_one_safe_line(
        json in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let text = if json { parse_document(WHOLE, "whole").unwrap().0.stringify() } else { WHOLE.to_owned() };
        let mut bytes = text.into_bytes();
        for (index, byte, how) in changes {
            let at = index.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        if let Err(error) = read_bytes(&bytes) {
            let said = error.to_string();
            prop_assert!(said.starts_with("standard input:"), "{said}");
            prop_assert!(!said.chars().any(char::is_control), "{said:?}");
        }
    }
}

#[test]
fn a_file_not_named_json_may_be_yaml_in_flow_style() {
    assert!(read("{now: 2026-11-24, projects: []}").unwrap().0.has_projects);
    let folder = folder(&[("a.json", "{now: 2026-11-24}"), ("b.yaml", "{now: 2026-11-24}")]);
    let a = folder.path().join("a.json");
    assert_eq!(
        read_files(std::slice::from_ref(&a)).unwrap_err().to_string(),
        format!("{}:1:2: key must be a string; this is no valid JSON", a.display())
    );
    assert!(
        read_files(&[folder.path().join("b.yaml")])
            .unwrap()
            .0
            .now
            .is_some()
    );
}

#[test]
fn an_empty_source_is_noted() {
    for text in ["", "null", "# nothing\n", "---\n...\n---\n", "\u{feff}", " \n"] {
        let (_, notes) = read(text).unwrap();
        assert_eq!(notes.len(), 1, "{text:?}");
        assert_eq!(
            (notes[0].kind, &*notes[0].message),
            (NoteKind::Empty, "standard input: holds nothing")
        );
    }
    let (snapshot, notes) = read("projects: []").unwrap();
    assert!(snapshot.has_projects && notes.is_empty());
}

#[test]
fn files_are_joined_and_what_stands_twice_names_both_places() {
    let other = "22222222-2222-4222-8222-222222222222";
    let folder = folder(&[
        (
            "a.yaml",
            &format!("now: 2026-11-24\nprojects:\n- project_id: {LAB}\n"),
        ),
        (
            "b.json",
            &format!(
                "{{\"now\": \"2026-11-24T00:00:00Z\", \"projects\": [{{\"project_id\": \"{other}\"}}]}}"
            ),
        ),
        ("c.txt", "not read"),
        ("later.yml", "assumptions: {memory_suffix: M}"),
    ]);
    let (snapshot, notes) = read_files(&[folder.path().to_owned()]).unwrap();
    assert_eq!(notes, []);
    let ids: Vec<&str> = snapshot
        .projects
        .iter()
        .map(|project| &*project.project_id)
        .collect();
    assert_eq!(ids, [LAB, other], "in the order of the files' names");

    let file = |name: &str| folder.path().join(name);
    let shown = |name: &str| file(name).display().to_string();
    for (second, said) in [
        (
            format!(
                "projects:\n\n- title: again\n  project_id: {}\n",
                LAB.to_uppercase()
            ),
            format!(
                "{}:3: project {LAB} is given twice, first at {}:3; leave one of the two out",
                shown("d"),
                shown("a.yaml")
            ),
        ),
        (
            "now: 2026-11-25".to_owned(),
            format!(
                "{}:1:1: `now` is given twice with different values, first at {}:1:1; leave one of the two out",
                shown("d"),
                shown("a.yaml")
            ),
        ),
    ] {
        fs::write(file("d"), second).unwrap();
        let error = read_files(&[file("a.yaml"), file("d")]).unwrap_err();
        assert_eq!(error.to_string(), said);
    }
    fs::write(file("d"), "assumptions: {cpu_format: decimal}").unwrap();
    let assumptions = read_files(&[file("later.yml"), file("d")])
        .unwrap()
        .0
        .assumptions
        .unwrap();
    assert_eq!(
        format!("{:?} {:?}", assumptions.memory_suffix, assumptions.cpu_format),
        "M Decimal"
    );
    fs::write(file("d"), "assumptions: {memory_suffix: Mi}").unwrap();
    assert!(
        read_files(&[file("later.yml"), file("d")])
            .unwrap_err()
            .to_string()
            .contains("`memory_suffix`")
    );
}

#[test]
fn every_kind_of_row_may_stand_once() {
    for (text, said) in [
        ("server_settings: {a: 1}\n---\nserver_settings: {a: 1}", "3:19: server setting `a` is given twice, first at standard input:1:19; leave one of the two out".to_owned()),
        (
            &*format!("site_licenses:\n- id: {PATCH1}\n- id: {PATCH1}"),
            format!("3:3: license {PATCH1} is given twice, first at standard input:2:3; leave one of the two out"),
        ),
        (
            &*format!("license_usage: {{{PATCH1}: 1}}\n---\nlicense_usage: {{{PATCH1}: 1}}"),
            format!("3:17: the usage of license {PATCH1} is given twice, first at standard input:1:17; leave one of the two out"),
        ),
        (
            "live_pods:\n- {metadata: {name: a}}\n- {metadata: {name: a}}",
            "3:4: live pod /a is given twice, first at standard input:2:4; leave one of the two out".to_owned(),
        ),
        (
            "template: a\n---\ntemplate: b",
            "3:1: the template is given twice with different texts, first at standard input:1:1; leave one of the two out".to_owned(),
        ),
    ] {
        assert_eq!(refusal(text), said, "{text}");
    }
    assert!(read("template: a\n---\ntemplate: a").is_ok());
}

#[test]
fn sources_that_cannot_be_read_are_named() {
    let missing = Path::new("/nonexistent/a.yaml").to_owned();
    let said = read_files(&[missing]).unwrap_err().to_string();
    assert!(
        said.starts_with("/nonexistent/a.yaml: cannot be read: "),
        "{said}"
    );
    let empty = folder(&[("a.txt", "")]);
    let said = read_files(&[empty.path().to_owned()]).unwrap_err().to_string();
    assert!(
        said.ends_with(
            "the folder holds no file *.json, *.yaml or *.yml; subfolders are not read, name them"
        ),
        "{said}"
    );
    let said = read_inputs(
        &[Input::Stdin, Input::Stdin],
        &mut "".as_bytes(),
        &ReadOptions::default(),
    )
    .unwrap_err();
    assert!(
        said.to_string().contains("standard input (-) is named twice"),
        "{said}"
    );
}

#[test]
fn the_configmap_is_read_as_kubectl_prints_it() {
    let template =
        kubectl_cocalc::json::parse(&fs::read_to_string(data("example-template.json")).unwrap()).unwrap();
    for name in [
        "configmap-project-pod.yaml",
        "configmap-project-pod.json",
        "example-template.json",
    ] {
        let (snapshot, notes) = read_files(&[data(name)]).unwrap();
        assert_eq!(notes, [], "{name}");
        let read = snapshot.template.unwrap();
        assert_eq!(
            kubectl_cocalc::json::parse(&read.text).unwrap(),
            template,
            "{name}"
        );
        if name.starts_with("configmap") {
            assert_eq!(read.source, "ConfigMap cocalc/project-pod");
        } else {
            assert!(read.source.ends_with("example-template.json"));
        }
        let input = Input::File(data(name));
        let (alone, _) =
            template_from_manifests(&input, &mut std::io::empty(), &ReadOptions::default()).unwrap();
        assert_eq!(alone, read);
    }
    let said = template_from_manifests(
        &Input::Stdin,
        &mut "now: null".as_bytes(),
        &ReadOptions::default(),
    );
    assert!(
        said.unwrap_err()
            .to_string()
            .starts_with("standard input: there is no template in it")
    );
}

#[test]
fn live_project_pods_are_taken_from_a_list_and_others_counted() {
    let (snapshot, notes) = read_files(&[data("pods.yaml")]).unwrap();
    assert_eq!(snapshot.live_pods.len(), 2);
    assert_eq!(snapshot.template, None);
    assert_eq!(
        live_pod_of(&snapshot, LAB).unwrap()["status"]["podIP"],
        "10.244.0.7"
    );
    let by_name = live_pod_of(&snapshot, "22222222-2222-4222-8222-222222222222").unwrap();
    assert_eq!(by_name["status"]["podIP"], "10.244.0.8");
    assert_eq!(notes.len(), 1);
    assert_eq!(
        notes[0].message,
        "passed over 1 manifest that says nothing about project pods (1 Pod)"
    );
    // `kubectl get --raw` leaves out the kind of a list's items.
    let raw = r#"{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"uid":"u","name":"p","labels":{"run":"project"}}}]}"#;
    assert_eq!(read(raw).unwrap().0.live_pods[0]["kind"], "Pod");
}

#[test]
fn the_data_key_of_the_template_is_found_or_asked_for() {
    let pod = r#"{"kind":"Pod"}"#;
    let config_map = |name: &str, data: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: ns}}\ndata: {data}\n")
    };
    let template = |text: &str| read(text).unwrap().0.template.map(|template| template.text);
    assert_eq!(
        template(&config_map("project-pod", "{k: anything}")).as_deref(),
        Some("anything")
    );
    let two = config_map("project-pod", &format!("{{a: x, b: '{pod}'}}"));
    assert_eq!(template(&two).as_deref(), Some(pod));
    assert_eq!(
        template(&config_map("mine", &format!("{{b: '{pod}'}}"))).as_deref(),
        Some(pod),
        "a lone one"
    );
    let unclear = config_map("project-pod", "{a: x, b: z}");
    assert_eq!(
        refusal(&unclear),
        "1:1: ConfigMap ns/project-pod: which data key holds the Pod template is unclear, name it with --template-configmap project-pod/KEY; its keys are: a, b"
    );
    let folder = folder(&[("a.yaml", &two), ("b.yaml", &config_map("mine", "{x: z}"))]);
    let files = [folder.path().join("a.yaml"), folder.path().join("b.yaml")];
    let named = |name: &str, key: Option<&str>| {
        let options = ReadOptions {
            template_configmap: Some((name.to_owned(), key.map(str::to_owned))),
        };
        read_files_with(&files, &options)
    };
    assert_eq!(
        named("project-pod", Some("a")).unwrap().0.template.unwrap().text,
        "x"
    );
    assert_eq!(named("mine", None).unwrap().0.template.unwrap().text, "z");
    let said = named("mine", Some("z")).unwrap_err().to_string();
    assert!(
        said.ends_with("ConfigMap ns/mine: there is no data key `z`; its keys are: x"),
        "{said}"
    );
    let binary =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: project-pod}\nbinaryData: {pod.json: e30=}\n";
    assert_eq!(
        refusal(binary),
        "1:1: ConfigMap project-pod: it has nothing but binaryData, and the template is read from data"
    );
}

#[test]
fn a_charts_output_gives_template_and_images_and_one_note() {
    let chart = r#"---
# Source: cocalc/charts/hub/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: hub}
---
# Source: cocalc/templates/empty.yaml
---
apiVersion: v1
kind: ConfigMap
metadata: {name: nginx}
data: {nginx.conf: "x", other: "y"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: project-image}
data:
  registry: |
    registry.example/cocalc/project
  software.json: '{"default":"u","environments":{"u":{"tag":"1"},"v":{"tag":2}}}'
---
apiVersion: v1
kind: ConfigMap
metadata: {name: project-pod}
data: {template: '{"kind":"Pod","kind":"Pod"}'}
---
{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"}}
"#;
    let (snapshot, notes) = read(chart).unwrap();
    assert_eq!(snapshot.template.unwrap().source, "ConfigMap project-pod");
    assert_eq!(
        snapshot.software.unwrap().image(None),
        Some(("registry.example/cocalc/project", "1"))
    );
    let notes: Vec<(NoteKind, &str)> = notes.iter().map(|note| (note.kind, &*note.message)).collect();
    assert_eq!(
        notes,
        [
            (
                NoteKind::Software,
                "standard input:14:1: ConfigMap project-image: software environment `v` has no string `tag`, so CoCalc does not offer it (a number needs quotes)"
            ),
            (
                NoteKind::PassedOver,
                "passed over 3 manifests that say nothing about project pods (1 ConfigMap, 1 Deployment, 1 Service)"
            ),
        ]
    );
}

#[test]
fn unquoted_words_are_noted_in_a_snapshot_and_read_as_kubectl_reads_them_where_a_pod_stands() {
    let said = |text: &str| -> Vec<String> {
        read(text)
            .unwrap()
            .1
            .into_iter()
            .map(|note| note.message)
            .collect()
    };
    let template = |text: &str| read(text).unwrap().0.template.unwrap().text;
    let ours = "template:\n  a: yes\n  b: ['on', \"no\", 017, !!str off]\n  c: |-\n    yes\n";
    assert_eq!(
        said(ours),
        [
            "standard input:2:6: the unquoted word `yes` is read as true, as kubectl reads it; put it in quotes if it is a text",
            "standard input:3:19: the unquoted word `017` is read as 15, as kubectl reads it; put it in quotes if it is a text",
        ]
    );
    assert_eq!(template(ours), r#"{"a":true,"b":["on","no",15,"off"],"c":"yes"}"#);
    assert_eq!(
        said("server_settings: {a: yes}"),
        [
            "standard input:1:22: the unquoted word `yes` is a string here, but kubectl reads true; put it in quotes or write what is meant"
        ]
    );
    // A manifest is written for kubectl.
    let manifest = "kind: Pod\nmetadata: {labels: {on: 0400, a: 'on'}}";
    assert_eq!(said(manifest), [""; 0]);
    assert_eq!(
        template(manifest),
        r#"{"kind":"Pod","metadata":{"labels":{"true":256,"a":"on"}}}"#
    );
    let listed =
        "kind: List\nitems:\n- {kind: Pod, spec: {hostNetwork: yes}}\n---\nserver_settings: {a: 0b1_1}\n";
    assert_eq!(template(listed), r#"{"kind":"Pod","spec":{"hostNetwork":true}}"#);
    assert_eq!(said(listed).len(), 1, "the setting alone");
    let live = "live_pods: [{metadata: {name: a}, spec: {hostIPC: off}}]";
    assert_eq!(read(live).unwrap().0.live_pods[0]["spec"]["hostIPC"], false);
    assert_eq!(
        said("kind: Service\nspec: {a: on}").len(),
        1,
        "only the note on what was passed over"
    );
    assert_eq!(said("{\"template\": {\"a\": \"yes\"}}"), [""; 0]);
    let many = format!("template: [{}]", vec!["yes"; 100].join(", "));
    assert!(read(&many).is_err(), "a template is no list");
    let many = format!("template: {{a: [{}]}}", vec!["yes"; 100].join(", "));
    assert_eq!(said(&many).last().unwrap(), "standard input: 80 more such words");
    let (edited, notes) = parse_manifest("a: {yes: no}", "the edited text").unwrap();
    assert_eq!(
        (edited.stringify(), notes),
        (r#"{"a":{"true":false}}"#.to_owned(), Vec::new())
    );
}

#[test]
fn columns_that_hold_their_json_as_text_are_read_as_that_json_with_a_note() {
    let quota = r#"{"cpu":2,"ram":4,"patch":"[]"}"#;
    let plain = format!(
        r#"{{"site_licenses": [{{"id": "{PATCH1}", "quota": {quota}, "upgrades": {{"memory": 1}}}}],
            "projects": [{{"project_id": "{LAB}", "settings": {{"memory": 3000}}, "users": {{"u": {{}}}},
                           "site_license": {{"{PATCH1}": {{}}}}, "run_quota": {{"a": 1}}, "env": {{"A": "b"}},
                           "state": {{"state": "running"}}}}]}}"#
    );
    let mut as_text: Value = serde_json::from_str(&plain).unwrap();
    for rows in ["site_licenses", "projects"] {
        for (name, column) in as_text[rows][0].as_object_mut().unwrap() {
            if column.is_object() && name != "id" {
                *column = format!(" {column}").into();
            }
        }
    }
    let (expected, notes) = read(&plain).unwrap();
    assert_eq!(notes, []);
    for text in [as_text.to_string(), serde_yaml::to_string(&as_text).unwrap()] {
        let (read, notes) = read(&text).unwrap();
        assert_eq!(read.site_licenses, expected.site_licenses, "{text}");
        let values = |snapshot: &Snapshot| {
            let project = &snapshot.projects[0];
            let columns = [
                &project.settings,
                &project.users,
                &project.site_license,
                &project.run_quota,
                &project.env,
            ];
            (
                columns.map(|column| column.value().unwrap()),
                project.state.clone(),
            )
        };
        assert_eq!(values(&read), values(&expected), "{text}");
        let noted: Vec<&str> = notes
            .iter()
            .map(|note| note.message.split('`').nth(1).unwrap())
            .collect();
        assert_eq!(
            noted,
            [
                "env",
                "quota",
                "run_quota",
                "settings",
                "site_license",
                "state",
                "upgrades",
                "users"
            ]
        );
        assert!(
            notes[0]
                .message
                .ends_with("`env` is a text; it is read as the JSON that it holds")
        );
    }

    let rows: Vec<String> = (0..3)
        .map(|i| format!("- {{project_id: 11111111-1111-4111-8111-11111111111{i}, settings: '{{}}'}}\n"))
        .collect();
    let (_, notes) = read(&format!("projects:\n{}", rows.concat())).unwrap();
    assert_eq!(
        notes[0].message,
        "standard input:2:54: `settings` is a text in 3 rows; it is read as the JSON that it holds"
    );
    // SQL's NULL, and the name of a state alone.
    let (read_null, _) = read(&format!(
        "projects: [{{project_id: {LAB}, settings: 'null', state: opened}}]"
    ))
    .unwrap();
    assert_eq!(read_null.projects[0].settings.text(), "null");
    assert_eq!(read_null.projects[0].state.as_deref(), Some("opened"));

    for column in ["settings", "users", "site_license", "run_quota", "env"] {
        for text in ["", "x", "{a: 1}", "{\"a\":", "[1] 2"] {
            let refused = refusal(&format!(
                "projects:\n- {{project_id: {LAB}, {column}: {}}}",
                Value::from(text)
            ));
            assert!(
                refused.starts_with(&format!("2:54: `{column}` holds a text that is not JSON (")),
                "{refused}"
            );
        }
    }
    for column in ["quota", "upgrades"] {
        let refused = refusal(&format!("site_licenses:\n- {{id: {PATCH1}, {column}: \"{{x\"}}"));
        assert!(
            refused.starts_with(&format!("2:46: `{column}` holds a text that is not JSON (")),
            "{refused}"
        );
    }
    let refused = refusal(&format!("projects:\n- {{project_id: {LAB}, state: '{{x'}}"));
    assert!(
        refused.starts_with("2:54: `state` holds a text that is not JSON ("),
        "{refused}"
    );
}

#[test]
fn patches_are_json_by_their_first_character_and_yaml_otherwise() {
    let (json, notes) =
        parse_document(" [{\"op\":\"add\",\"op\":\"test\",\"value\":1e400}]", "p.json").unwrap();
    assert_eq!(json.stringify(), r#"[{"op":"test","value":null}]"#);
    assert_eq!(
        notes[0].message,
        "p.json:1:15: the key `op` stands twice in the same map; the last one counts"
    );
    let (json, notes) = parse_document("- op: add\n  path: /a\n  value: on\n", "p.yaml").unwrap();
    assert_eq!(json.stringify(), r#"[{"op":"add","path":"/a","value":"on"}]"#);
    assert!(
        notes[0]
            .message
            .starts_with("p.yaml:3:10: the unquoted word `on`"),
        "{notes:?}"
    );
    for (text, said) in [
        (
            "[{},\n]",
            "p:2:1: unexpected character ']' where a value should stand",
        ),
        ("", "p:1:1: the text holds nothing; give a JSON or YAML document"),
        (
            "a: 1\n---\nb: 1",
            "p:2:4: a second document begins here; give one document",
        ),
        (
            "- a: 1\n  a: 2",
            "p:2:3: the key `a` stands twice in this map; leave one of the two out",
        ),
        ("- 'x", "p:1:3: unclosed quote; this is no valid YAML"),
    ] {
        assert_eq!(parse_document(text, "p").unwrap_err().to_string(), said, "{text}");
    }
}

#[test]
fn times_are_rfc_3339_or_postgresqls_or_a_date() {
    for text in [
        "2023-01-20T16:37:12.595Z",
        "2023-01-20 16:37:12.595",
        "2023-01-20 16:37:12.595+00",
        "2023-01-20T17:37:12.595+01:00",
        " 2023-01-20T16:37:12.595",
    ] {
        assert_eq!(
            parse_timestamp(text).unwrap().to_string(),
            "2023-01-20T16:37:12.595Z",
            "{text}"
        );
    }
    assert_eq!(
        parse_timestamp("2023-01-20").unwrap().to_string(),
        "2023-01-20T00:00:00Z"
    );
    for text in ["", "infinity", "12:00", "2023-13-01", "1700000000"] {
        assert_eq!(parse_timestamp(text), None, "{text}");
    }
}

#[test]
fn one_source_over_another_wins_as_a_whole_or_row_by_row() {
    let text = format!(
        "server_settings: {{a: 1}}\nsite_licenses:\n- {{id: {PATCH1}, title: mine}}\nprojects:\n- {{project_id: {LAB}, title: mine}}\n- {{project_id: {PATCH1}}}\nlive_pods:\n- {{metadata: {{name: a}}}}\nlicense_usage: {{{PATCH1}: 7}}\n"
    );
    let mut base = example();
    base.live_pods = read("live_pods: [{metadata: {name: a}}, {metadata: {name: b}}]")
        .unwrap()
        .0
        .live_pods;
    base.license_usage = [(PATCH1.to_owned(), 1), (LAB.to_owned(), 2)].into();
    let licenses = base.site_licenses.len();
    let both = read(&text).unwrap().0.overlay(base);
    assert_eq!(
        both.server_settings.as_ref().unwrap().len(),
        1,
        "settings as a whole"
    );
    assert!(both.template.is_some() && both.software.is_some() && both.now.is_some());
    assert_eq!(both.site_licenses.len(), licenses);
    assert_eq!(both.site_licenses[PATCH1].title, "mine");
    let titles: Vec<&str> = both.projects.iter().map(|project| &*project.title).collect();
    assert_eq!(titles, ["mine", ""]);
    assert_eq!(both.live_pods.len(), 2);
    assert_eq!((both.license_usage[PATCH1], both.license_usage[LAB]), (7, 2));
    let nothing = Snapshot::default().overlay(example());
    assert!(nothing.has_projects && nothing.projects.len() == 1);
}
