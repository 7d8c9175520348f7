//! Made patches: right under every reading, no longer than written by hand, harmless in a template that has grown.
//!
//! The edits of `tests/data/patch-making/plain.json` are made to the example template, those of `live.json` to live
//! pods (`change`), where `patch` is what a careful person would write for the rendered template. Random edits
//! come on top: `MADE_CASES` (default 1,500) and `MADE_SEED` choose them. The real fast-json-patch checks every patch;
//! it needs `node` on the PATH and `npm ci` in `tests/peers`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "all of this is a test"
)]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use kubectl_cocalc::{
    json::Json,
    json_patch::{Document, Options, apply_json, strict},
    patch_diff::{
        Made, MakeError, ProofError, Reading, Request, is_live, make, prove, text, without_kubernetes,
    },
};
use serde_json::{Value, json};

// Documents

fn data(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn template() -> Value {
    data("example-template.json")
}

fn making(name: &str) -> Value {
    data(&format!("patch-making/{name}.json"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap()
}

// Making

fn made(before: &Value, after: &Value, base: Option<&Value>) -> Made {
    let request = Request {
        before,
        after,
        base,
        guards: true,
    };
    make(&request).unwrap_or_else(|error| panic!("{error}\n{before}\n{after}"))
}

fn without_guards(before: &Value, after: &Value, base: Option<&Value>) -> Made {
    make(&Request {
        before,
        after,
        base,
        guards: false,
    })
    .unwrap()
}

/// The operations that are no tests.
fn changes(operations: &[Value]) -> Vec<Value> {
    operations
        .iter()
        .filter(|operation| operation["op"] != "test")
        .cloned()
        .collect()
}

fn rules(made: &Made) -> Vec<&'static str> {
    made.notes.iter().map(|note| note.rule).collect()
}

/// An edit of the corpus: what is given, and what a careful person would write.
struct Case {
    name: String,
    before: Value,
    after: Value,
    base: Option<Value>,
    wanted: Value,
    operations: usize,
}

fn corpus() -> Vec<Case> {
    let template = template();
    let mut cases: Vec<Case> = list(&making("plain"))
        .iter()
        .map(|case| {
            let name = case["edit"].as_str().unwrap();
            let patch = list(&case["patch"]);
            let after = strict(&template, patch).unwrap_or_else(|error| panic!("{name}: {error}"));
            Case {
                name: format!("plain: {name}"),
                before: template.clone(),
                wanted: after.clone(),
                after,
                base: None,
                operations: patch.len(),
            }
        })
        .collect();
    cases.extend(list(&making("live")).iter().map(|case| {
        let (live, name) = (case["live"].as_str().unwrap(), case["edit"].as_str().unwrap());
        let base = making(if live == "live-example" {
            "rendered-example"
        } else {
            "rendered-lean"
        });
        let before = making(live);
        let patch = list(&case["patch"]);
        let name = format!("{live}: {name}");
        Case {
            after: strict(&before, list(&case["change"])).unwrap_or_else(|error| panic!("{name}: {error}")),
            wanted: strict(&base, patch).unwrap_or_else(|error| panic!("{name}: {error}")),
            before,
            base: Some(base),
            operations: patch.len(),
            name,
        }
    }));
    cases
}

// The library itself

struct Library {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Library {
    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/made_patches.js");
        let mut child = Command::new("node")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is needed on the PATH");
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            _child: child,
        }
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.input, "{request}").expect("fast-json-patch is needed: npm ci in tests/peers");
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("fast-json-patch is needed: npm ci in tests/peers")
    }

    /// The patch as it is printed gives the wanted document, without and with validation.
    fn agrees(&mut self, name: &str, made: &Made) {
        let printed: Value = serde_json::from_str(&text(&made.operations, false)).unwrap();
        let pretty: Value = serde_json::from_str(&text(&made.operations, true)).unwrap();
        assert_eq!(printed, pretty);
        let answer = self.ask(&json!({"base": made.base, "patch": printed, "wanted": made.wanted}));
        assert_eq!(
            answer,
            json!(["ok", "ok"]),
            "{name}\n{}\n{}",
            made.base,
            text(&made.operations, true)
        );
        let patch: json_patch::Patch = serde_json::from_value(printed).unwrap();
        let mut result = made.base.clone();
        json_patch::patch(&mut result, &patch).unwrap();
        assert_eq!(result, made.wanted, "{name}");
    }
}

// A template that has grown

const GROWN: &str = "grown since";

fn is_grown(value: &Value) -> bool {
    value == GROWN || value.get("name").is_some_and(|name| name == GROWN)
}

/// Another element at the front of the list at `target`, or of every list; counts the lists.
fn grow(value: &mut Value, target: Option<usize>, seen: &mut usize) {
    match value {
        Value::Array(elements) => {
            let number = *seen;
            *seen += 1;
            for element in elements.iter_mut() {
                grow(element, target, seen);
            }
            if target.is_none_or(|target| target == number) {
                let element = match elements.first() {
                    Some(Value::String(_)) => json!(GROWN),
                    Some(Value::Object(first)) => {
                        let mut element = first.clone();
                        element.insert("name".to_owned(), json!(GROWN));
                        for identity in ["mountPath", "key"] {
                            if element.contains_key(identity) {
                                element.insert(identity.to_owned(), json!(GROWN));
                            }
                        }
                        if element.contains_key("containerPort") {
                            element.insert("containerPort".to_owned(), json!(9));
                        }
                        Value::Object(element)
                    }
                    _ => json!({"name": GROWN}),
                };
                elements.insert(0, element);
            }
        }
        Value::Object(map) => map.values_mut().for_each(|value| grow(value, target, seen)),
        _ => {}
    }
}

fn without_grown(value: &mut Value) {
    match value {
        Value::Array(elements) => {
            elements.retain(|element| !is_grown(element));
            elements.iter_mut().for_each(without_grown);
        }
        Value::Object(map) => map.values_mut().for_each(without_grown),
        _ => {}
    }
}

/// How often the patch did the right thing and how often it stopped at a test.
fn harmless_where_lists_grew(name: &str, made: &Made) -> (usize, usize) {
    let mut lists = 0;
    grow(&mut made.base.clone(), Some(usize::MAX), &mut lists);
    let (mut right, mut stopped) = (0, 0);
    for target in (0..lists).map(Some).chain([None]) {
        let mut grown = made.base.clone();
        grow(&mut grown, target, &mut 0);
        let mut document = Document::from_json(&Json::from(&grown), 0);
        let patch = Json::from(&Value::Array(made.operations.clone()));
        match apply_json(&mut document, &patch, 1, Options::default()).failure {
            Some(failure) => {
                assert_eq!(failure.name, Some("TEST_OPERATION_FAILED"), "{name}: {failure}");
                stopped += 1;
            }
            None => {
                let mut result = document.to_value().unwrap();
                without_grown(&mut result);
                assert_eq!(
                    result,
                    made.wanted,
                    "{name}, list {target:?}\n{}",
                    text(&made.operations, true)
                );
                right += 1;
            }
        }
    }
    (right, stopped)
}

// The corpus

#[test]
fn every_edit_of_the_corpus_gives_the_wanted_document_with_no_more_operations_than_by_hand() {
    let cases = corpus();
    assert!(cases.len() >= 260, "{}", cases.len());
    let mut failures = Vec::new();
    let (mut ours, mut by_hand) = (0, 0);
    for case in &cases {
        let made = made(&case.before, &case.after, case.base.as_ref());
        let operations = changes(&made.operations).len();
        (ours, by_hand) = (ours + operations, by_hand + case.operations);
        if made.wanted != case.wanted {
            failures.push(format!(
                "{}: another document\n{}",
                case.name,
                text(&made.operations, true)
            ));
        } else if operations > case.operations {
            failures.push(format!(
                "{}: {operations} operations, {} by hand\n{}",
                case.name,
                case.operations,
                text(&made.operations, true)
            ));
        }
    }
    println!("{} edits, {ours} operations, {by_hand} by hand", cases.len());
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn every_patch_of_the_corpus_gives_the_wanted_document_in_the_real_library() {
    let mut library = Library::start();
    for case in corpus() {
        library.agrees(&case.name, &made(&case.before, &case.after, case.base.as_ref()));
        library.agrees(
            &case.name,
            &without_guards(&case.before, &case.after, case.base.as_ref()),
        );
    }
}

#[test]
fn every_patch_of_the_corpus_is_harmless_in_a_template_whose_lists_have_grown() {
    let (mut right, mut stopped) = (0, 0);
    for case in corpus() {
        let (a, b) =
            harmless_where_lists_grew(&case.name, &made(&case.before, &case.after, case.base.as_ref()));
        (right, stopped) = (right + a, stopped + b);
    }
    println!("{right} times the right thing, {stopped} times stopped at a test");
    assert!(right > 1000 && stopped > 100, "{right} {stopped}");
}

#[test]
fn making_the_patch_again_from_its_result_gives_nothing() {
    for case in corpus() {
        let first = made(&case.before, &case.after, case.base.as_ref());
        let again = made(&first.wanted, &first.wanted, None);
        assert_eq!(again.operations, Vec::<Value>::new(), "{}", case.name);
        assert_eq!(rules(&again), ["no-edit"]);
    }
}
// Random edits

/// splitmix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[rustfmt::skip]
const NAMES: [&str; 30] = [
    "name", "mountPath", "value", "key", "a", "b", "", "-", "0", "01", "a/b", "m~n", "~1", "__proto__", "constructor",
    "prototype", "hasOwnProperty", "length", "toString", "env", "volumeMounts", "ports", "containerPort", "protocol",
    "labels", "args", "limits", "volumes", "é😀", "containers",
];

fn random_value(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 6 } else { 10 }) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(random.below(3)),
        3 => json!([0.5, -0.0, 1e21, 9_007_199_254_740_992.0, 2.0][random.below(5)]),
        4 | 5 => json!(random.pick(&["", "x", "y", "TCP", "/tmp", "é"])),
        6 | 7 => Value::Array(
            (0..random.below(5))
                .map(|_| random_value(random, depth - 1))
                .collect(),
        ),
        _ => Value::Object(
            (0..random.below(4))
                .map(|_| (random.pick(&NAMES).to_owned(), random_value(random, depth - 1)))
                .collect(),
        ),
    }
}

/// Changes something somewhere.
fn change(random: &mut Random, value: &mut Value) {
    match value {
        Value::Array(elements) => match random.below(9) {
            0 if !elements.is_empty() => drop(elements.remove(random.below(elements.len()))),
            1 => elements.insert(random.below(elements.len() + 1), random_value(random, 2)),
            2 if elements.len() > 1 => {
                let element = elements.remove(random.below(elements.len()));
                elements.insert(random.below(elements.len() + 1), element);
            }
            3 if !elements.is_empty() => {
                let twin = elements[random.below(elements.len())].clone();
                elements.insert(random.below(elements.len() + 1), twin);
            }
            4 => elements.push(random_value(random, 2)),
            _ if !elements.is_empty() => {
                let at = random.below(elements.len());
                change(random, &mut elements[at]);
            }
            _ => elements.push(random_value(random, 2)),
        },
        Value::Object(map) => {
            let names: Vec<String> = map.keys().cloned().collect();
            match random.below(12) {
                0 => drop(map.insert(random.pick(&NAMES).to_owned(), random_value(random, 2))),
                1 if !names.is_empty() => drop(map.remove(&names[random.below(names.len())])),
                2 if !names.is_empty() => {
                    let value = map.remove(&names[random.below(names.len())]).unwrap();
                    map.insert(random.pick(&NAMES).to_owned(), value);
                }
                _ if !names.is_empty() => {
                    let name = &names[random.below(names.len())];
                    change(random, map.get_mut(name).unwrap());
                }
                _ => drop(map.insert("new".to_owned(), random_value(random, 2))),
            }
        }
        _ => *value = random_value(random, 1),
    }
}

#[test]
fn random_edits_give_the_wanted_document_in_every_reading() {
    let (cases, seed) = (setting("MADE_CASES", 1500), setting("MADE_SEED", 20_230_120));
    println!("MADE_CASES={cases} MADE_SEED={seed}");
    let mut library = Library::start();
    let mut pods = [template(), making("rendered-lean"), making("live-mesh")];
    // A plain comparison: nothing is left out.
    pods[2]["status"].take();
    pods[2].as_object_mut().unwrap().remove("status");
    pods[2]["metadata"].as_object_mut().unwrap().remove("uid");
    let mut operations = 0;
    for number in 0..cases {
        let mut random = Random(seed.wrapping_add(number.wrapping_mul(0x2545_f491_4f6c_dd1d)));
        let mut before = match random.below(4) {
            0 => random_value(&mut random, 4),
            other => pods[other - 1].clone(),
        };
        for _ in 0..random.below(4) {
            change(&mut random, &mut before);
        }
        let mut after = before.clone();
        for _ in 0..=random.below(6) {
            change(&mut random, &mut after);
        }
        let name = format!("case {number} of seed {seed}");
        let request = Request {
            before: &before,
            after: &after,
            base: None,
            guards: random.below(5) > 0,
        };
        let made = make(&request).unwrap_or_else(|error| panic!("{name}: {error}\n{before}\n{after}"));
        library.agrees(&name, &made);
        let left_out = made.notes.iter().any(|note| note.rule == "guard-left-out");
        if request.guards && !left_out {
            harmless_where_lists_grew(&name, &made);
        }
        operations += made.operations.len();
    }
    assert!(
        operations as u64 > cases,
        "a generator of trivial cases proves nothing"
    );
}

/// One edit that means the same in a rendered pod and in the live one.
fn meant(random: &mut Random, number: usize) -> impl Fn(&mut Value) + use<> {
    let kind = random.below(14);
    let is_project = random.below(3) > 0;
    let place = random.below(3);
    move |pod: &mut Value| {
        let new = format!("new-{number}");
        let labels = pod["metadata"]["labels"].as_object_mut().unwrap();
        match kind {
            0 => return drop(labels.insert(new, json!("1"))),
            1 => return drop(labels.remove("project_id")),
            2 => return pod["spec"]["hostname"] = json!(new),
            3 => return drop(pod["spec"].as_object_mut().unwrap().remove("restartPolicy")),
            _ => {}
        }
        if kind < 7 {
            let volumes = pod["spec"]["volumes"].as_array_mut().unwrap();
            let home = volumes
                .iter()
                .position(|volume| volume["name"] == "home")
                .unwrap();
            return match place {
                0 => volumes.push(json!({"name": new, "emptyDir": {}})),
                1 => volumes.insert(home + 1, json!({"name": new, "emptyDir": {}})),
                _ => volumes[home]["persistentVolumeClaim"]["claimName"] = json!(new),
            };
        }
        let wanted = if is_project { "project" } else { "datastore" };
        let containers = pod["spec"]["containers"].as_array_mut().unwrap();
        let Some(container) = containers
            .iter_mut()
            .find(|container| container["name"] == wanted)
        else {
            return;
        };
        match kind {
            7 => container["image"] = json!(new),
            8 => container["command"] = json!([new]),
            9 | 10 if is_project => {
                let env = container["env"].as_array_mut().unwrap();
                match place {
                    0 => env.push(json!({"name": new, "value": "1"})),
                    1 => env[0]["value"] = json!(new),
                    _ => drop(env.remove(0)),
                }
            }
            11 | 12 if is_project => {
                let mounts = container["volumeMounts"].as_array_mut().unwrap();
                match place {
                    0 => mounts.push(json!({"name": "home", "mountPath": format!("/{new}")})),
                    1 => mounts.insert(0, json!({"name": "home", "mountPath": format!("/{new}")})),
                    _ => mounts[0]["readOnly"] = json!(true),
                }
            }
            13 if is_project => container["resources"]["limits"]["memory"] = json!("7Gi"),
            _ => container["workingDir"] = json!(new),
        }
    }
}

#[test]
fn an_edit_of_a_live_pod_gives_what_the_same_edit_of_the_template_gives() {
    let (cases, seed) = (setting("MADE_CASES", 1500), setting("MADE_SEED", 20_230_120));
    println!("MADE_CASES={cases} MADE_SEED={seed}");
    let mut library = Library::start();
    let pairs = [
        (making("rendered-example"), making("live-example")),
        (making("rendered-lean"), making("live-lean")),
        (making("rendered-lean"), making("live-mesh")),
    ];
    for number in 0..cases {
        let mut random = Random(seed.wrapping_add(number.wrapping_mul(0x2545_f491_4f6c_dd1d)));
        let (base, live) = &pairs[random.below(3)];
        let (mut wanted, mut after) = (base.clone(), live.clone());
        for edit in 0..=random.below(4) {
            let edit = meant(&mut random, edit);
            edit(&mut wanted);
            edit(&mut after);
        }
        let name = format!("case {number} of seed {seed}");
        let made = made(live, &after, Some(base));
        assert_eq!(made.wanted, wanted, "{name}\n{}", text(&made.operations, true));
        assert_eq!(&made.base, base);
        if number % 10 == 0 {
            harmless_where_lists_grew(&name, &made);
            library.agrees(&name, &made);
        }
    }
}

// What the documentation says

#[test]
fn the_documentations_recipe_gives_the_two_changes_printed_there() {
    let live = making("live-example");
    let mut after = live.clone();
    after["metadata"]["labels"]["mylabel"] = json!("test123");
    after["spec"]["serviceAccountName"] = json!("default2");
    let without_template = made(&live, &after, None);
    assert_eq!(
        without_template.operations,
        [
            json!({"op": "add", "path": "/metadata/labels/mylabel", "value": "test123"}),
            json!({"op": "replace", "path": "/spec/serviceAccountName", "value": "default2"}),
        ]
    );
    assert_eq!(rules(&without_template), ["live-indices"]);
    // The template has no service account; `add` puts it there.
    let for_template = made(&live, &after, Some(&making("rendered-example")));
    assert_eq!(for_template.operations[1]["op"], "add");
    assert_eq!(rules(&for_template), Vec::<&str>::new());
}

#[test]
fn a_mount_in_the_middle_of_ten_takes_one_operation_and_a_guard_where_compare_takes_eighteen() {
    let mount = |number: usize| json!({"name": format!("v{number}"), "mountPath": format!("/m/{number}")});
    let before = json!({"volumeMounts": (0..10).map(mount).collect::<Vec<_>>()});
    let mut after = before.clone();
    after["volumeMounts"].as_array_mut().unwrap().insert(1, mount(10));
    let made = made(&before, &after, None);
    assert_eq!(
        made.operations,
        [
            json!({"op": "test", "path": "/volumeMounts/1/mountPath", "value": "/m/1"}),
            json!({"op": "add", "path": "/volumeMounts/1", "value": mount(10)}),
        ]
    );
    let compare = Library::start().ask(&json!({"compare": [before, after]}));
    assert!(list(&compare).len() >= 18, "{compare}");
}

// Guards

#[test]
fn a_twin_is_guarded_by_its_whole_value_and_by_its_earlier_twins() {
    let before = json!({"env": [
        {"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "A", "value": "3"}
    ]});
    let mut after = before.clone();
    after["env"].as_array_mut().unwrap().remove(2);
    assert_eq!(
        made(&before, &after, None).operations,
        [
            json!({"op": "test", "path": "/env/0", "value": {"name": "A", "value": "1"}}),
            json!({"op": "test", "path": "/env/2", "value": {"name": "A", "value": "3"}}),
            json!({"op": "remove", "path": "/env/2"}),
        ]
    );
    let arguments = |list: &[&str]| json!({"args": list});
    assert_eq!(
        made(&arguments(&["-v", "-v", "x"]), &arguments(&["-v", "x"]), None).operations,
        [
            json!({"op": "test", "path": "/args/0", "value": "-v"}),
            json!({"op": "test", "path": "/args/1", "value": "-v"}),
            json!({"op": "remove", "path": "/args/1"}),
        ]
    );
}

#[test]
fn an_element_is_guarded_once() {
    let before = template();
    let mut after = before.clone();
    let containers = after["spec"]["containers"].as_array_mut().unwrap();
    containers[0]["image"] = json!("a");
    containers[0]["workingDir"] = json!("/");
    containers[0]["env"][1]["value"] = json!("b");
    containers.insert(0, json!({"name": "first"}));
    let made = made(&before, &after, None);
    let guards: Vec<&str> = made
        .operations
        .iter()
        .filter(|operation| operation["op"] == "test")
        .map(|operation| operation["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        guards,
        ["/spec/containers/0/name", "/spec/containers/0/env/1/name"]
    );
}

#[test]
fn an_element_that_is_tested_whole_needs_no_tests_inside() {
    let terms = |zone: &str| json!({"terms": [{"weight": 1, "values": ["x", zone]}, {"weight": 2}]});
    assert_eq!(
        made(&terms("a"), &terms("b"), None).operations,
        [
            json!({"op": "test", "path": "/terms/0", "value": {"weight": 1, "values": ["x", "a"]}}),
            json!({"op": "replace", "path": "/terms/0/values/1", "value": "b"}),
        ]
    );
}

#[test]
fn without_guards_there_is_no_test_and_all_else_is_the_same() {
    for case in corpus() {
        let with = made(&case.before, &case.after, case.base.as_ref());
        let without = without_guards(&case.before, &case.after, case.base.as_ref());
        assert_eq!(without.operations, changes(&with.operations), "{}", case.name);
    }
}

#[test]
fn a_guard_that_the_library_cannot_evaluate_is_left_out_with_a_note() {
    let element = |n: usize| json!({"hasOwnProperty": 1, "n": n});
    let before = json!({"l": [element(1), element(2)]});
    let after = json!({"l": [element(2)]});
    let made = made(&before, &after, None);
    assert_eq!(made.operations, [json!({"op": "remove", "path": "/l/0"})]);
    assert_eq!(rules(&made), ["guard-left-out"]);
}

// Odd documents

#[test]
fn the_parent_of_a_key_that_cannot_be_addressed_is_replaced() {
    let mut proto = serde_json::Map::new();
    proto.insert("__proto__".to_owned(), json!("x"));
    let labels = |labels: Value| json!({"metadata": {"labels": labels, "name": "p"}});
    let first = made(
        &labels(json!({"a": "1"})),
        &labels(Value::Object(proto.clone())),
        None,
    );
    assert_eq!(
        first.operations,
        [json!({"op": "replace", "path": "/metadata/labels", "value": proto})]
    );
    assert_eq!(rules(&first), ["key-not-addressable"]);
    let constructor = |value: &str| json!({"m": {"constructor": {"prototype": value, "a": 1}}});
    let second = made(&constructor("x"), &constructor("y"), None);
    assert_eq!(second.operations[0]["path"], "/m/constructor");
    let mut library = Library::start();
    library.agrees("__proto__", &first);
    library.agrees("constructor/prototype", &second);
}

#[test]
fn roots_of_any_kind_can_become_one_another() {
    let roots = [
        json!(null),
        json!(1),
        json!("x"),
        json!([]),
        json!([1, 2]),
        json!({}),
        json!({"a": 1}),
    ];
    let mut library = Library::start();
    for before in &roots {
        for after in &roots {
            library.agrees("roots", &made(before, after, None));
        }
    }
}

#[test]
fn numbers_that_javascript_cannot_tell_apart_are_no_edit() {
    let before = json!({"a": 1.0, "b": -0.0, "c": 9_007_199_254_740_993_u64});
    let after = json!({"a": 1, "b": 0, "c": 9_007_199_254_740_992_u64});
    assert_eq!(made(&before, &after, None).operations, Vec::<Value>::new());
}

#[test]
fn lists_that_have_nothing_in_common_are_replaced_and_empty_ones_never_are() {
    let args = |list: &[&str]| json!({"args": list});
    let operations = |before: &[&str], after: &[&str]| made(&args(before), &args(after), None).operations;
    assert_eq!(
        operations(&["a", "b"], &["c", "d", "e"]),
        [json!({"op": "replace", "path": "/args", "value": ["c", "d", "e"]})]
    );
    assert_eq!(
        operations(&["a", "b"], &[]),
        [json!({"op": "replace", "path": "/args", "value": []})]
    );
    assert_eq!(
        operations(&[], &["a", "b"]),
        [
            json!({"op": "add", "path": "/args/-", "value": "a"}),
            json!({"op": "add", "path": "/args/-", "value": "b"}),
        ]
    );
}

#[test]
fn moves_are_no_more_than_what_does_not_stay() {
    let mut random = Random(7);
    for _ in 0..300 {
        let length = random.below(9);
        let mut order: Vec<usize> = (0..length).collect();
        for at in (1..length).rev() {
            order.swap(at, random.below(at + 1));
        }
        let mut longest = vec![1; length];
        for at in 0..length {
            for earlier in 0..at {
                if order[earlier] < order[at] {
                    longest[at] = longest[at].max(longest[earlier] + 1);
                }
            }
        }
        let stays = longest.into_iter().max().unwrap_or(0);
        let list = |order: &mut dyn Iterator<Item = usize>| json!({"volumes": order.map(|n| json!({"name": n.to_string()})).collect::<Vec<_>>()});
        let made = made(&list(&mut (0..length)), &list(&mut order.iter().copied()), None);
        assert_eq!(changes(&made.operations).len(), length - stays, "{order:?}");
    }
}

#[test]
fn five_hundred_edits_of_five_thousand_elements_take_five_hundred_operations() {
    let element = |n: usize| json!({"name": format!("V{n}"), "value": n.to_string()});
    let before: Vec<Value> = (0..5000).map(element).collect();
    let mut after = Vec::new();
    let mut moved = None;
    for (at, element) in before.iter().enumerate() {
        let mut element = element.clone();
        match at % 50 {
            7 => element["value"] = json!("other"),
            17 => element["name"] = json!(format!("R{at}")),
            27 => continue,
            37 => after.push(json!({"name": format!("N{at}")})),
            40 => {
                moved = Some(element);
                continue;
            }
            _ => {}
        }
        after.push(element);
        if at % 50 == 47 {
            after.extend(moved.take());
        }
    }
    let made = made(&json!({"env": before}), &json!({"env": after}), None);
    assert_eq!(changes(&made.operations).len(), 500);
}

#[test]
fn a_list_of_which_most_is_elsewhere_is_replaced_as_a_whole() {
    let list = |numbers: &mut dyn Iterator<Item = usize>| json!({"args": numbers.map(|n| n.to_string()).collect::<Vec<_>>()});
    let made = made(&list(&mut (0..6000)), &list(&mut (0..6000).rev()), None);
    assert_eq!(made.operations.len(), 1);
    assert_eq!(rules(&made), ["list-replaced"]);
}

#[test]
fn a_document_that_is_too_deep_is_refused() {
    let mut deep = json!(1);
    for _ in 0..600 {
        deep = json!([deep]);
    }
    let request = Request {
        before: &json!({}),
        after: &deep,
        base: None,
        guards: true,
    };
    assert_eq!(make(&request), Err(MakeError::TooDeep { which: "after" }));
}

// Live pods

#[test]
fn a_live_pod_is_one_with_status_or_uid() {
    assert!(is_live(&making("live-example")));
    assert!(is_live(&json!({"kind": "Pod", "metadata": {"uid": "x"}})));
    assert!(!is_live(&making("rendered-example")));
    assert!(!is_live(&json!({"kind": "Deployment", "status": {}})));
    assert!(!is_live(&json!([])));
}

#[test]
fn a_live_pod_less_what_belongs_to_kubernetes_is_the_rendered_one() {
    for (live, rendered) in [
        ("live-example", "rendered-example"),
        ("live-lean", "rendered-lean"),
    ] {
        let rendered = making(rendered);
        let mut less = without_kubernetes(&making(live), Some(&rendered));
        for empty in ["initContainers", "imagePullSecrets", "tolerations"] {
            if rendered["spec"][empty] == json!([]) {
                // The API server drops empty lists.
                assert_eq!(less["spec"].get(empty), None);
                less["spec"][empty] = json!([]);
            }
        }
        assert_eq!(less, rendered);
    }
}

#[test]
fn what_another_license_added_since_the_pod_started_stays() {
    let mut base = making("rendered-example");
    let volumes = base["spec"]["volumes"].as_array_mut().unwrap();
    volumes.insert(0, json!({"name": "other", "emptyDir": {}}));
    let env = base["spec"]["containers"][0]["env"].as_array_mut().unwrap();
    env.push(json!({"name": "SINCE", "value": "1"}));
    let live = making("live-example");
    let mut after = live.clone();
    let volumes = after["spec"]["volumes"].as_array_mut().unwrap();
    volumes.insert(1, json!({"name": "mine", "emptyDir": {}}));
    let env = after["spec"]["containers"][0]["env"].as_array_mut().unwrap();
    env.push(json!({"name": "SINCE", "value": "2"}));
    let made = made(&live, &after, Some(&base));
    assert_eq!(
        changes(&made.operations),
        [
            json!({"op": "replace", "path": "/spec/containers/0/env/5/value", "value": "2"}),
            json!({"op": "add", "path": "/spec/volumes/2", "value": {"name": "mine", "emptyDir": {}}}),
        ]
    );
}

#[test]
#[rustfmt::skip]
fn what_is_left_out_of_a_live_comparison_is_said() {
    for (edit, rule, words) in [
        ("live-example: node name edited", "belongs-to-kubernetes", "/spec/nodeName"),
        ("live-lean: the token removed", "belongs-to-kubernetes", "automountServiceAccountToken: false"),
        ("live-lean: the token edited", "belongs-to-kubernetes", "/spec/volumes/2"),
        ("live-lean: a pull secret beside the injected one", "injected-kept", "pull secrets"),
        ("live-lean: a defaulted limit edited", "injected-kept", "memory \"256Mi\""),
        ("live-example: a default toleration edited", "injected-element-edited", "/spec/tolerations/1"),
        ("live-example: default tolerations removed", "not-in-template", "node.kubernetes.io/not-ready"),
        ("live-example: mounts reordered", "order-without-meaning", "/spec/containers/0/volumeMounts"),
    ] {
        let case = corpus().into_iter().find(|case| case.name == edit).unwrap();
        let made = made(&case.before, &case.after, case.base.as_ref());
        let note = made.notes.iter().find(|note| note.rule == rule);
        let note = note.unwrap_or_else(|| panic!("{edit}: {:?}", made.notes));
        assert!(note.message.contains(words), "{edit}: {}", note.message);
    }
}

// The proof

#[test]
fn a_wrong_patch_does_not_pass_the_proof() {
    let base = json!({"args": ["a", "b"], "labels": {}});
    let wanted = json!({"args": ["a", "b", "c"], "labels": {}});
    let proof = |operation: Value| prove(&base, &[operation], &wanted);
    let add = json!({"op": "add", "path": "/args/-", "value": "c"});
    assert_eq!(proof(add.clone()), Ok(()));
    assert_eq!(
        prove(&base, &[add], &base),
        Err(ProofError::Differs {
            reading: Reading::CoCalc
        })
    );
    let failing_reading = |path: &str| match proof(json!({"op": "add", "path": path, "value": "c"})) {
        Err(ProofError::Fails { reading, .. }) => reading,
        other => panic!("{path}: {other:?}"),
    };
    // CoCalc appends; nobody else does.
    assert_eq!(failing_reading("/args/9"), Reading::Validation);
    // Only the RFC minds a leading zero.
    assert_eq!(failing_reading("/args/02"), Reading::Rfc6902);
    assert_eq!(failing_reading("/nope/x"), Reading::CoCalc);
    let error = proof(json!({"op": "add", "path": "/nope/x", "value": 1}))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("as CoCalc applies it, operation 1 fails: "),
        "{error}"
    );
}

// The text

#[test]
fn a_patch_is_printed_in_the_order_of_the_rfc() {
    let operations = [
        json!({"op": "move", "from": "/a", "path": "/b"}),
        json!({"op": "add", "path": "/c", "value": {"y": 1e21, "x": 2.0}}),
    ];
    assert_eq!(
        text(&operations, true),
        r#"[
  {"op": "move", "path": "/b", "from": "/a"},
  {"op": "add", "path": "/c", "value": {"x":2,"y":1e+21}}
]
"#
    );
    assert_eq!(
        text(&operations, false),
        r#"[{"op":"move","path":"/b","from":"/a"},{"op":"add","path":"/c","value":{"x":2,"y":1e+21}}]"#
    );
    assert_eq!(text(&[], true), "[]\n");
    assert_eq!(text(&[], false), "[]");
}
