//! The offline verdict on pods, held against a real API server.
//!
//! A pod that the server refuses while decoding or validating must get an `error`, one that it accepts must not,
//! and the fields must have the server's names. The pods are single changes of two accepted ones: every field
//! left out, of a wrong type, empty, too long, out of range, doubled, beside an unknown one; and the list of
//! tests/data/pods.txt, where somebody thought about it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failure here is a failed test, and its numbers are worth reading"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
    sync::LazyLock,
};

use kubectl_cocalc::{
    check::{
        Severity,
        pod::{Blamer, PodFinding, Warned, check_pod},
        rules::{Subject as RuleSubject, rules, server_warns},
    },
    json::Json,
    json_patch::{Document, Key, PathPart},
    patch_diff::{differences, without_kubernetes},
    pipeline::{Known, Site, Subject, View, provenance::Writer},
    snapshot::{Input, ReadOptions, read_inputs},
};
use serde_json::{Value, json};

use crate::support::api_server::{ApiServer, NAMESPACE, common};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What the server says of each pod.
fn ask(server: &ApiServer, pods: &[Value]) -> Vec<Answer> {
    let mut node = Command::new("node")
        .arg(root().join("tests/peers/create_pods.js"))
        .arg(server.kubeconfig())
        .arg(NAMESPACE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    let mut input = node.stdin.take().expect("its input");
    let output = BufReader::new(node.stdout.take().expect("its output"));
    let lines: Vec<String> = pods.iter().map(ToString::to_string).collect();
    let writer = std::thread::spawn(move || {
        for line in lines {
            writeln!(input, "{line}").expect("node reads");
        }
    });
    let answers = output
        .lines()
        .map(|line| Answer::read(&serde_json::from_str(&line.expect("a line")).expect("JSON")))
        .collect();
    writer.join().expect("all written");
    assert!(node.wait().expect("node ends").success());
    answers
}

/// What the server said of a pod.
struct Answer {
    code: u64,
    message: String,
    /// Reason and field of each cause.
    causes: Vec<(String, String)>,
    warnings: Vec<String>,
    /// The pod as it would be stored.
    stored: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
    /// Another layer than decoding and validation has refused it.
    Hidden,
}

impl Answer {
    fn read(json: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let causes = json[2].as_array().expect("causes");
        Self {
            code: json[0].as_u64().expect("a code"),
            message: text(&json[1]),
            causes: causes
                .iter()
                .map(|cause| (text(&cause[0]), text(&cause[1])))
                .collect(),
            warnings: json[3].as_array().expect("warnings").iter().map(text).collect(),
            stored: Some(json[4].clone()).filter(Value::is_object),
        }
    }

    fn verdict(&self) -> Verdict {
        match self.code {
            201 => Verdict::Accepted,
            400 if self.message.contains("namespace of the provided object") => Verdict::Hidden,
            400 | 422 => Verdict::Refused,
            _ => Verdict::Hidden,
        }
    }

    /// The fields it names, as far as it names them.
    fn fields(&self) -> BTreeSet<String> {
        if self.code == 422 {
            return self.causes.iter().map(|(_, field)| field.clone()).collect();
        }
        let unknown = self.message.split("unknown field \"").skip(1);
        unknown
            .filter_map(|rest| rest.split('"').next())
            .map(str::to_owned)
            .collect()
    }

    /// The field of a wrong type, without indices: `spec.containers.env.value`.
    fn wrong_type(&self) -> Option<String> {
        let rest = self.message.split("Go struct field ").nth(1)?;
        let (_, field) = rest.split_whitespace().next()?.split_once('.')?;
        // Go names embedded types too: `spec.volumes.VolumeSource.nfs`.
        let names = field
            .split('.')
            .filter(|name| !name.starts_with(|c: char| c.is_ascii_uppercase()));
        Some(names.collect::<Vec<_>>().join("."))
    }
}

struct Case {
    name: String,
    pod: Value,
}

fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join("tests/data").join(name)).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

/// The built-in example's pod, with a value for each placeholder.
fn example() -> Value {
    let text = std::fs::read_to_string(root().join("tests/data/example-template.json")).expect("a file");
    let text = text
        .replace("{project_id}", crate::support::LAB)
        .replace("{PROJECT_IMAGE}", "registry.example/cocalc/project")
        .replace("{PROJECT_TAG}", "20230110-1143")
        .replace("{extra_env}", "e30=")
        .replace("{project_config}", "e30=");
    serde_json::from_str(&text).expect("JSON")
}

/// Every place of the document.
fn places(value: &Value, pointer: &str, all: &mut Vec<String>) {
    all.push(pointer.to_owned());
    match value {
        Value::Array(list) => {
            for (index, element) in list.iter().enumerate() {
                places(element, &format!("{pointer}/{index}"), all);
            }
        }
        Value::Object(map) => {
            for (name, member) in map {
                let name = name.replace('~', "~0").replace('/', "~1");
                places(member, &format!("{pointer}/{name}"), all);
            }
        }
        _ => {}
    }
}

/// All single changes of a pod that need no thought.
fn changes(base: &str, pod: &Value) -> Vec<Case> {
    let mut all = Vec::new();
    places(pod, "", &mut all);
    let mut cases = Vec::new();
    let mut change = |what: &str, pointer: &str, edit: &dyn Fn(&mut Value)| {
        let mut changed = pod.clone();
        edit(changed.pointer_mut(pointer).expect("a place"));
        cases.push(Case {
            name: format!("{base}: {what} {pointer}"),
            pod: changed,
        });
    };
    for pointer in all.iter().filter(|pointer| !pointer.is_empty()) {
        let put = |value: Value| move |place: &mut Value| *place = value.clone();
        change("null at", pointer, &put(Value::Null));
        match pod.pointer(pointer).expect("a place") {
            Value::String(text) => {
                change("number at", pointer, &put(json!(7)));
                change("empty", pointer, &put(json!("")));
                change("odd text at", pointer, &put(json!("Bad Value!")));
                change("long text at", pointer, &put(json!("a".repeat(300))));
                change("slashes at", pointer, &put(json!("/a/../b")));
                change("upper case at", pointer, &put(json!(text.to_uppercase())));
                change("list at", pointer, &put(json!([])));
            }
            Value::Number(_) => {
                change("text at", pointer, &put(json!("x")));
                change("text of a number at", pointer, &put(json!("12")));
                change("negative", pointer, &put(json!(-1)));
                change("zero", pointer, &put(json!(0)));
                change("fraction at", pointer, &put(json!(1.5)));
                change("large", pointer, &put(json!(70_000)));
                change("larger than 32 bits", pointer, &put(json!(5_000_000_000_i64)));
                change("1e30 at", pointer, &put(json!(1e30)));
            }
            Value::Bool(truth) => {
                change("text at", pointer, &put(json!("true")));
                change("other truth at", pointer, &put(json!(!truth)));
            }
            Value::Array(_) => {
                change("map at", pointer, &put(json!({})));
                change("empty list at", pointer, &put(json!([])));
                change("text at", pointer, &put(json!("x")));
                change("null in", pointer, &|list: &mut Value| {
                    list.as_array_mut().expect("a list").push(Value::Null);
                });
                change("first again in", pointer, &|list: &mut Value| {
                    let list = list.as_array_mut().expect("a list");
                    list.extend(list.first().cloned());
                });
            }
            Value::Object(_) => {
                change("list at", pointer, &put(json!([])));
                change("empty map at", pointer, &put(json!({})));
                change("text at", pointer, &put(json!("x")));
                change("unknown field in", pointer, &|map: &mut Value| {
                    map["zzUnknown"] = json!("x");
                });
            }
            Value::Null => {}
        }
        let (parent, name) = pointer.rsplit_once('/').expect("not the root");
        let name = name.replace("~1", "/").replace("~0", "~");
        change(
            &format!("without {name} in"),
            parent,
            &|parent: &mut Value| match parent {
                Value::Array(list) => drop(list.remove(name.parse().expect("an index"))),
                parent => drop(parent.as_object_mut().expect("a map").remove(&name)),
            },
        );
        if pod.pointer(parent).is_some_and(Value::is_object) {
            change(
                &format!("upper case name {name} in"),
                parent,
                &|parent: &mut Value| {
                    let map = parent.as_object_mut().expect("a map");
                    let value = map.remove(&name).expect("a member");
                    map.insert(name.to_uppercase(), value);
                },
            );
        }
    }
    cases
}

/// A line of tests/data/pods.txt: `POINTER=JSON` and `-POINTER`, joined by ` ; `.
fn edited(base: &Value, line: &str) -> Value {
    let mut document = Document::from_json(&Json::from(base), 0);
    for (index, part) in line.split(" ; ").enumerate() {
        let part = part.trim();
        let stamp = u32::try_from(index).expect("few") + 1;
        let (pointer, value) = match part.strip_prefix('-') {
            Some(pointer) => (pointer, None),
            None => part
                .split_once('=')
                .map(|(pointer, value)| (pointer, Some(value)))
                .unwrap_or_else(|| panic!("{part}")),
        };
        let names: Vec<String> = pointer
            .split('/')
            .skip(1)
            .map(|token| token.replace("~1", "/").replace("~0", "~"))
            .collect();
        let keys: Vec<Key<'_>> = names
            .iter()
            .map(|name| match name.parse() {
                Ok(index) => Key::Index(index),
                Err(_) if name == "+" => Key::End,
                Err(_) => Key::Name(name),
            })
            .collect();
        match value {
            None => assert!(document.remove(&keys, stamp), "{line}"),
            Some(value) => {
                let value: Value =
                    serde_json::from_str(value).unwrap_or_else(|error| panic!("{line}: {error}"));
                document
                    .set(&keys, &Json::from(&value), stamp)
                    .unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }
    document.to_value().expect("a value")
}

fn corpus() -> Vec<Case> {
    let (example, rich) = (example(), read("rich-pod.json"));
    let mut cases = vec![
        Case {
            name: "the example".into(),
            pod: example.clone(),
        },
        Case {
            name: "the rich pod".into(),
            pod: rich.clone(),
        },
    ];
    cases.extend(changes("example", &example));
    cases.extend(changes("rich", &rich));
    let lines = std::fs::read_to_string(root().join("tests/data/pods.txt")).expect("a file");
    for line in lines.lines().filter(|line| line.starts_with(['/', '-'])) {
        cases.push(Case {
            name: line.to_owned(),
            pod: edited(&example, line),
        });
    }
    for patch in read("example-patches.json").as_array().expect("a list") {
        let operations = patch["patch"].as_array().expect("operations");
        cases.push(Case {
            name: patch["name"].as_str().expect("a name").to_owned(),
            pod: kubectl_cocalc::json_patch::strict(&example, operations).expect("a good patch"),
        });
    }
    cases
}

fn errors(findings: &[PodFinding]) -> impl Iterator<Item = &PodFinding> {
    findings
        .iter()
        .filter(|found| found.finding.severity == Severity::Error)
}

/// A mount that is not found because something else is wrong with its volume is nobody's fault.
fn is_consequence(pod: &Value, reason: &str, field: &str) -> bool {
    if reason != "FieldValueNotFound"
        || !(field.contains(".volumeMounts[") || field.contains(".volumeDevices["))
    {
        return false;
    }
    let pointer = format!("/{}", field.replace(['.', '['], "/").replace(']', ""));
    let name = pod.pointer(&pointer);
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    volumes.is_some_and(|volumes| volumes.iter().any(|volume| volume.get("name") == name))
}

fn without_indices(field: &str) -> String {
    let mut plain = String::new();
    let mut inside = false;
    for c in field.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            c if !inside => plain.push(c),
            _ => {}
        }
    }
    plain
}

/// The corpus, and what a real API server says of each pod.
static ANSWERS: LazyLock<(Vec<Case>, Vec<Answer>)> = LazyLock::new(|| {
    let cases = corpus();
    let pods: Vec<Value> = cases.iter().map(|case| case.pod.clone()).collect();
    let answers = ask(common(), &pods);
    assert_eq!(answers.len(), cases.len());
    (cases, answers)
});

/// What the API server drops for reasons of its own: fields behind feature gates, the same owner twice.
fn is_dropped_by_this_server(case: &Case) -> bool {
    [
        "stopSignal",
        "schedulingGroup",
        "first again in /metadata/ownerReferences",
        r#""uid":"u"},{"apiVersion":"v1","kind":"Pod","name":"x","uid":"u"}"#,
    ]
    .iter()
    .any(|part| case.name.contains(part))
}

/// A pod as it is stored, without what differs in each answer.
fn lasting(stored: &Value) -> Value {
    const TOKEN: &str = "kube-api-access-";
    let mut text = stored.to_string();
    while let Some(at) = text.find(TOKEN) {
        text.replace_range(at..at + TOKEN.len() + 5, "token");
    }
    let mut stored: Value = serde_json::from_str(&text).expect("JSON");
    stored.as_object_mut().expect("a pod").remove("status");
    let metadata = stored["metadata"].as_object_mut().expect("metadata");
    for name in ["uid", "creationTimestamp", "managedFields"] {
        metadata.remove(name);
    }
    stored
}

fn fields(live: &Value, sent: &Value) -> Vec<String> {
    let live = without_kubernetes(live, Some(sent));
    differences(&live, sent)
        .iter()
        .map(|difference| {
            format!(
                "{:?} {:?} {:?}",
                difference.path, difference.live, difference.rendered
            )
        })
        .collect()
}

#[test]
fn a_pod_as_the_api_server_stores_it_is_no_difference_to_the_pod_that_was_sent() {
    let (cases, answers) = &*ANSWERS;
    let mut found = Vec::new();
    let mut stored_pods = 0;
    for (case, answer) in cases.iter().zip(answers) {
        let Some(stored) = answer
            .stored
            .as_ref()
            .filter(|_| !is_dropped_by_this_server(case))
        else {
            continue;
        };
        stored_pods += 1;
        let fields = fields(stored, &case.pod);
        if !fields.is_empty() {
            found.push(format!("{}: {fields:?}", case.name));
        }
    }
    println!("{stored_pods} pods stored");
    assert!(stored_pods > 1000);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_pod_that_the_api_server_would_store_otherwise_is_a_difference() {
    let (cases, answers) = &*ANSWERS;
    let mut missed = Vec::new();
    let mut different = 0;
    let stored = |index: usize| answers[index].stored.as_ref().expect("it is accepted");
    let bases = [stored(0), stored(1)];
    for (case, answer) in cases.iter().zip(answers) {
        let base = bases[usize::from(case.name.starts_with("rich: "))];
        let Some(stored) = answer
            .stored
            .as_ref()
            .filter(|_| !is_dropped_by_this_server(case))
        else {
            continue;
        };
        if lasting(stored) == lasting(base) {
            continue;
        }
        different += 1;
        if fields(base, &case.pod).is_empty() {
            missed.push(case.name.clone());
        }
    }
    println!("{different} pods stored otherwise");
    assert!(different > 1000);
    // A live annotation under a domain that the template does not use is somebody else's, and a service account gives
    // its pull secrets to a pod without any; the server alone gives versions.
    let is_taken_for_injected = |name: &String| {
        name.starts_with("example: ") && name.contains("annotations")
            || ["imagePullSecrets", "resourceVersion"]
                .iter()
                .any(|part| name.contains(part))
    };
    missed.retain(|name| !is_taken_for_injected(name));
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn the_api_server_and_the_offline_check_agree_on_every_pod() {
    let (cases, answers) = &*ANSWERS;

    let mut counts = BTreeMap::new();
    let (mut missed, mut false_alarms, mut other_fields) = (Vec::new(), Vec::new(), Vec::new());
    let (mut fields, mut fields_found) = (0, 0);
    let mut accepted_with = BTreeSet::new();
    for (case, answer) in cases.iter().zip(answers) {
        let verdict = answer.verdict();
        *counts.entry(format!("{verdict:?}")).or_insert(0_usize) += 1;
        let findings = check_pod(&case.pod);
        let ours: BTreeSet<&str> = errors(&findings).map(|found| &*found.field).collect();
        if verdict == Verdict::Accepted {
            accepted_with.extend(findings.iter().map(|found| found.finding.rule));
        }
        match verdict {
            Verdict::Hidden => {}
            Verdict::Accepted if ours.is_empty() => {}
            Verdict::Accepted => {
                let messages: Vec<_> = errors(&findings)
                    .map(|f| format!("{}: {}", f.field, f.finding.message))
                    .collect();
                false_alarms.push(format!("{}\n    ours: {messages:?}", case.name));
            }
            Verdict::Refused if ours.is_empty() => {
                missed.push(format!("{}\n    server: {}", case.name, answer.message));
            }
            Verdict::Refused => {
                let named = answer.fields();
                let wanted: Vec<&String> = named
                    .iter()
                    .filter(|field| !field.is_empty())
                    .filter(|field| {
                        !answer
                            .causes
                            .iter()
                            .any(|(reason, of)| of == *field && is_consequence(&case.pod, reason, of))
                    })
                    .collect();
                fields += wanted.len();
                for field in wanted {
                    if ours.contains(&**field) {
                        fields_found += 1;
                    } else {
                        other_fields.push(format!("{}\n    server: {field}\n    ours: {ours:?}", case.name));
                    }
                }
                if let Some(field) = answer.wrong_type() {
                    fields += 1;
                    if ours.iter().any(|ours| without_indices(ours) == field) {
                        fields_found += 1;
                    } else {
                        other_fields.push(format!("{}\n    server: {field}\n    ours: {ours:?}", case.name));
                    }
                }
            }
        }
    }
    let refused = counts.get("Refused").copied().unwrap_or(0);
    let show = |what: &str, list: &[String]| {
        for line in list.iter().take(400) {
            println!("{what}: {line}");
        }
    };
    show("missed", &missed);
    show("false alarm", &false_alarms);
    show("other field", &other_fields);
    println!(
        "{} pods: {counts:?}; found {} of {refused} refused, {} false alarms, {fields_found} of {fields} fields",
        cases.len(),
        refused - missed.len(),
        false_alarms.len(),
    );
    assert!(
        refused >= 200 && counts["Accepted"] >= 100,
        "the corpus is too small"
    );
    // What is only warned of is accepted, but for what depends on the server's version and its priority classes.
    for rule in rules() {
        let milder = rule.subject == RuleSubject::Pod && rule.severity != Severity::Error;
        if milder && !matches!(rule.id, "pod-old-address" | "pod-priority") {
            assert!(accepted_with.contains(rule.id), "no accepted pod has {}", rule.id);
        }
    }
    assert!(false_alarms.is_empty(), "{} false alarms", false_alarms.len());
    assert!(
        (refused - missed.len()) * 100 >= refused * 95,
        "{} missed",
        missed.len()
    );
    assert!(
        fields_found * 100 >= fields * 95,
        "{} other fields",
        other_fields.len()
    );
}

/// The places of a server's warnings about a pod, as findings name them.
fn warned_places(pod: &Value, warnings: &[String]) -> BTreeSet<String> {
    let volumes = pod["spec"]["volumes"].as_array().map_or(&[][..], Vec::as_slice);
    let place = |text: &String| {
        if let Some(rest) = text.strip_prefix("volume \"") {
            let name = rest.split('"').next().expect("a name");
            let index = volumes.iter().position(|volume| volume["name"] == name);
            return format!("spec.volumes[{}]", index.expect("the volume"));
        }
        if text.starts_with(".metadata.ownerReferences ") {
            return "metadata.ownerReferences".to_owned();
        }
        let place = text.split(": ").next().expect("a place");
        let place = place.replace(".storageOS", ".storageos");
        // What is requested is the limit, where nothing else is said.
        let pointer = format!("/{}", place.replace(['.', '['], "/").replace(']', ""));
        if pod.pointer(&pointer).is_none() && place.contains(".requests[") {
            return place.replace(".requests[", ".limits[");
        }
        place
    };
    warnings.iter().map(place).collect()
}

/// Where a fraction of a byte is as wrong, and the server says nothing.
fn is_forgotten_by_the_server(field: &str) -> bool {
    field.ends_with(".emptyDir.sizeLimit") || field.starts_with("spec.resources.")
}

#[test]
fn the_api_server_and_the_offline_rules_warn_of_the_same_places() {
    let (cases, answers) = &*ANSWERS;
    let (mut missed, mut false_alarms, mut told_twice) = (Vec::new(), Vec::new(), Vec::new());
    let mut warned_with = BTreeSet::new();
    let (mut pods, mut places) = (0, 0);
    for (case, answer) in cases.iter().zip(answers) {
        if answer.verdict() != Verdict::Accepted {
            continue;
        }
        let wanted = warned_places(&case.pod, &answer.warnings);
        let warned = Warned::new(&case.pod, &answer.warnings);
        let mut ours = BTreeSet::new();
        for found in check_pod(&case.pod) {
            let rule = found.finding.rule;
            if !server_warns(rule) || is_forgotten_by_the_server(&found.field) {
                assert!(
                    !warned.has(rule, &found.field, &found.path),
                    "{}: {}",
                    case.name,
                    found.field
                );
                continue;
            }
            assert_eq!(found.finding.severity, Severity::Warning, "{rule}");
            warned_with.insert(rule);
            let is_of_files = matches!(rule, "pod-overlapping-paths" | "pod-projection-without-source");
            let volume = found.field.split_inclusive(']').next().filter(|_| is_of_files);
            if !warned.has(rule, &found.field, &found.path) {
                told_twice.push(format!("{}: {}", case.name, found.field));
            }
            ours.insert(volume.unwrap_or(&found.field).to_owned());
        }
        pods += usize::from(!wanted.is_empty());
        places += wanted.len();
        missed.extend(
            wanted
                .difference(&ours)
                .map(|place| format!("{}: {place}", case.name)),
        );
        false_alarms.extend(
            ours.difference(&wanted)
                .map(|place| format!("{}: {place}", case.name)),
        );
    }
    println!("{pods} pods accepted with warnings of {places} places");
    assert!(pods > 100);
    assert!(missed.is_empty(), "missed:\n{}", missed.join("\n"));
    assert!(
        false_alarms.is_empty(),
        "false alarms:\n{}",
        false_alarms.join("\n")
    );
    assert!(told_twice.is_empty(), "told twice:\n{}", told_twice.join("\n"));
    let of_table = rules()
        .iter()
        .filter(|rule| rule.server_warns)
        .map(|rule| rule.id);
    assert_eq!(warned_with, of_table.collect());
    // A pod that gets no answer, or the one of an older server, is told all of it.
    let found = &check_pod(&edited(&example(), "/spec/imagePullSecrets=[{}]"))[0];
    assert!(server_warns(found.finding.rule));
    assert!(!Warned::default().has(found.finding.rule, &found.field, &found.path));
}

#[test]
fn every_rule_about_pods_fires_on_a_pod_of_the_corpus_and_none_on_the_example() {
    let cases = corpus();
    let fired: BTreeSet<&str> = cases
        .iter()
        .flat_map(|case| check_pod(&case.pod))
        .map(|found| found.finding.rule)
        .collect();
    let table: BTreeSet<&str> = rules()
        .iter()
        .filter(|rule| rule.subject == RuleSubject::Pod)
        .map(|rule| rule.id)
        .collect();
    assert_eq!(fired, table);
    assert_eq!(check_pod(&example()), []);
}

#[test]
fn placeholders_count_as_good_values() {
    let text = std::fs::read_to_string(root().join("tests/data/example-template.json")).expect("a file");
    let template: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(check_pod(&template), []);
    let mut other = template;
    other["metadata"]["labels"]["x"] = json!("{project}");
    assert_eq!(check_pod(&other).len(), 1);
}

#[test]
fn a_misspelt_field_names_the_one_that_was_meant_and_a_collision_both_places() {
    let with = |line: &str| check_pod(&edited(&example(), line));
    let found = with("/spec/containers/0/imagePulPolicy=\"Always\"");
    assert!(
        found[0].finding.message.contains("did you mean imagePullPolicy?"),
        "{found:?}"
    );
    let found = with(r#"/spec/volumes/+={"name":"home","emptyDir":{}}"#);
    assert_eq!(found[0].field, "spec.volumes[6].name");
    assert_eq!(
        found[0].others,
        [["spec".into(), "volumes".into()]
            .map(PathPart::Name)
            .into_iter()
            .chain([PathPart::Index(0), PathPart::Name("name".into())])
            .collect::<Vec<_>>()]
    );
}

#[test]
fn a_finding_is_blamed_on_whoever_wrote_the_field() {
    let license = |id: &str, patch: Value| json!({"id": id, "title": id, "activates": "2023-01-01T00:00:00Z", "quota": {"ram": 1, "patch": patch.to_string()}});
    let volume = json!([{"op": "add", "path": "/spec/volumes/-", "value": {"name": "lab", "nfs": {"server": "a", "path": "/b"}}}]);
    let ids = [
        "0a000000-0000-4000-8000-000000000001",
        "0b000000-0000-4000-8000-000000000002",
    ];
    let removal = json!([
        {"op": "add", "path": "/spec/volumes/-", "value": {"name": "lab", "nfs": {"server": "a", "path": "/b"}}},
        {"op": "remove", "path": "/spec/containers/1/image"},
    ]);
    let site = json!({
        "now": "2026-11-24T12:00:00Z",
        "template": std::fs::read_to_string(root().join("tests/data/example-template.json")).expect("a file"),
        "software": {"default": "u", "environments": {"u": {"tag": "t1", "registry": "r.example/p"}}},
        "site_licenses": [license(ids[0], volume), license(ids[1], removal)],
        "projects": [{"project_id": crate::support::LAB, "site_license": {ids[0]: {}, ids[1]: {}}}],
    });
    let (snapshot, _) = read_inputs(
        &[Input::Stdin],
        &mut site.to_string().as_bytes(),
        &ReadOptions::default(),
    )
    .expect("a snapshot");
    let now = "2026-11-24T12:00:00Z".parse().expect("a time");
    let site = Site::new(&snapshot, now, View::default());
    let project = &snapshot.projects[0];
    let rendered = site
        .render(Subject {
            project_id: &project.project_id,
            known: Known::Row(project),
            live_pod: None,
        })
        .expect("a pod");
    let pod = rendered.pod.to_value().expect("a value");
    let findings = check_pod(&pod);
    let of = |rule: &str| {
        let found = findings
            .iter()
            .find(|found| found.finding.rule == rule)
            .expect("a finding");
        (found.field.clone(), Blamer::new(&rendered).blame(found))
    };
    let operation = |patch, operation| Writer::Operation { patch, operation };
    assert_eq!(
        of("pod-duplicate-name"),
        (
            "spec.volumes[7].name".to_owned(),
            vec![operation(1, 0), operation(0, 0)]
        )
    );
    assert_eq!(
        of("pod-required"),
        ("spec.containers[1].image".to_owned(), vec![operation(1, 1)])
    );
}

/// The errors in the pod of a project that has these patches, each with whom it is blamed on: `PATCH OPERATION`.
fn errors_and_blame(patches: &[Value]) -> Vec<(String, Vec<String>)> {
    let id = |index: usize| format!("0a000000-0000-4000-8000-{index:012}");
    let licenses: Vec<Value> = patches
        .iter()
        .enumerate()
        .map(|(index, patch)| {
            json!({"id": id(index), "activates": "2023-01-01T00:00:00Z", "quota": {"ram": 1, "patch": patch.to_string()}})
        })
        .collect();
    let held: serde_json::Map<String, Value> =
        (0..patches.len()).map(|index| (id(index), json!({}))).collect();
    let site = json!({
        "now": "2026-11-24T12:00:00Z",
        "template": std::fs::read_to_string(root().join("tests/data/example-template.json")).expect("a file"),
        "software": {"default": "u", "environments": {"u": {"tag": "t1", "registry": "r.example/p"}}},
        "site_licenses": licenses,
        "projects": [{"project_id": crate::support::LAB, "site_license": held}],
    });
    let (snapshot, _) = read_inputs(
        &[Input::Stdin],
        &mut site.to_string().as_bytes(),
        &ReadOptions::default(),
    )
    .expect("a snapshot");
    let site = Site::new(
        &snapshot,
        "2026-11-24T12:00:00Z".parse().expect("a time"),
        View::default(),
    );
    let project = &snapshot.projects[0];
    let rendered = site
        .render(Subject {
            project_id: &project.project_id,
            known: Known::Row(project),
            live_pod: None,
        })
        .expect("a pod");
    let mut blamer = Blamer::new(&rendered);
    check_pod(&rendered.pod.to_value().expect("a value"))
        .into_iter()
        .filter(|found| found.finding.severity == Severity::Error)
        .map(|found| {
            let writers = blamer.blame(&found);
            let names = writers.iter().map(|writer| match writer {
                Writer::Operation { patch, operation } => format!("{patch} {operation}"),
                other => format!("{other:?}"),
            });
            (found.field, names.collect())
        })
        .collect()
}

#[test]
fn a_volume_that_is_removed_while_mounted_is_blamed_on_whoever_removed_it() {
    let innocent = json!([{"op": "add", "path": "/metadata/labels/a", "value": "b"}]);
    let removal = json!([{"op": "remove", "path": "/spec/volumes/0"}]);
    assert_eq!(
        errors_and_blame(&[innocent, removal]),
        [(
            "spec.containers[0].volumeMounts[0].name".to_owned(),
            vec!["1 0".to_owned()]
        )]
    );
    let mount = json!([
        {"op": "add", "path": "/spec/volumes/-", "value": {"name": "lab", "emptyDir": {}}},
        {"op": "add", "path": "/spec/containers/0/volumeMounts/-", "value": {"name": "lab", "mountPath": "/lab"}},
    ]);
    assert_eq!(
        errors_and_blame(&[mount, json!([{"op": "remove", "path": "/spec/volumes/6"}])]),
        [(
            "spec.containers[0].volumeMounts[6].name".to_owned(),
            vec!["1 0".to_owned(), "0 1".to_owned()]
        )]
    );
}

#[test]
fn a_limit_that_a_license_forgets_beside_its_request_is_the_licenses_fault_and_not_the_quotas() {
    let request =
        json!([{"op": "add", "path": "/spec/containers/0/resources/requests/nvidia.com~1gpu", "value": "1"}]);
    assert_eq!(
        errors_and_blame(&[request]),
        [(
            "spec.containers[0].resources.limits".to_owned(),
            vec!["0 0".to_owned()]
        )]
    );
}

#[test]
fn all_operations_without_which_an_error_is_gone_are_blamed_the_later_first() {
    let network = json!([
        {"op": "add", "path": "/metadata/labels/a", "value": "b"},
        {"op": "add", "path": "/spec/hostNetwork", "value": true},
    ]);
    let port = json!([{"op": "add", "path": "/spec/containers/0/ports/-", "value": {"containerPort": 81, "hostPort": 8081}}]);
    assert_eq!(
        errors_and_blame(&[network, port]),
        [(
            "spec.containers[0].ports[3].hostPort".to_owned(),
            vec!["1 0".to_owned(), "0 1".to_owned()]
        )]
    );
}

#[test]
fn a_value_that_a_license_moved_is_blamed_on_the_license_alone() {
    let moved = json!([{"op": "move", "from": "/spec/containers/0/imagePullPolicy", "path": "/spec/imagePullPolicy"}]);
    assert_eq!(
        errors_and_blame(&[moved]),
        [("spec.imagePullPolicy".to_owned(), vec!["0 0".to_owned()])]
    );
}

#[test]
fn whoever_only_shifts_or_repeats_what_is_wrong_already_is_not_blamed() {
    let shift = json!([{"op": "add", "path": "/spec/volumes/0", "value": {"name": "first", "emptyDir": {}}}]);
    let bad = json!([{"op": "add", "path": "/metadata/labels/course", "value": "Bio 101"}]);
    let again = json!([{"op": "replace", "path": "/metadata/labels/course", "value": "Bio 101"}]);
    let label = |who: &[&str]| {
        let who = who.iter().map(|who| (*who).to_owned()).collect();
        [("metadata.labels".to_owned(), who)]
    };
    assert_eq!(errors_and_blame(&[shift, bad.clone()]), label(&["1 0"]));
    assert_eq!(errors_and_blame(&[bad, again]), label(&["0 0"]));
}

#[test]
fn of_more_operations_than_can_be_tried_the_writer_is_blamed() {
    let mut operations: Vec<Value> = (0..100_000)
        .map(|i| json!({"op": "add", "path": format!("/metadata/labels/l{}", i % 10), "value": "x"}))
        .collect();
    operations.push(json!({"op": "add", "path": "/metadata/labels/course", "value": "Bio 101"}));
    assert_eq!(
        errors_and_blame(&[Value::from(operations)]),
        [("metadata.labels".to_owned(), vec!["0 100000".to_owned()])]
    );
}

#[test]
fn a_hostile_pod_is_judged_to_its_end() {
    let list: Vec<Value> = (0..20_000)
        .map(|_| json!({"name": "x", "mountPath": "/x"}))
        .collect();
    let pod = json!({"metadata": {"name": "x".repeat(1_000_000)}, "spec": {
        "containers": [{"name": "c", "image": "i", "volumeMounts": list, "env": list, "ports": list}],
        "volumes": list, "tolerations": list, "topologySpreadConstraints": list,
    }});
    assert!(check_pod(&pod).len() > 20_000);
    for odd in [
        json!(null),
        json!([]),
        json!("x"),
        json!({}),
        json!({"spec": 1, "metadata": []}),
    ] {
        assert!(
            check_pod(&odd)
                .iter()
                .any(|found| found.finding.severity == Severity::Error),
            "{odd}"
        );
    }
}
