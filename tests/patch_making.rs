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
    patch_diff::{MakeError, Made, ProofError, Reading, Request, is_live, make, prove, text, without_kubernetes},
};
use serde_json::{Value, json};

// Documents

fn data(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
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
    operations.iter().filter(|operation| operation["op"] != "test").cloned().collect()
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
        let base = making(if live == "live-example" { "rendered-example" } else { "rendered-lean" });
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
        assert_eq!(answer, json!(["ok", "ok"]), "{name}\n{}\n{}", made.base, text(&made.operations, true));
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
                assert_eq!(result, made.wanted, "{name}, list {target:?}\n{}", text(&made.operations, true));
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
            failures.push(format!("{}: another document\n{}", case.name, text(&made.operations, true)));
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
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_patch_of_the_corpus_gives_the_wanted_document_in_the_real_library() {
    let mut library = Library::start();
    for case in corpus() {
        library.agrees(&case.name, &made(&case.before, &case.after, case.base.as_ref()));
        library.agrees(&case.name, &without_guards(&case.before, &case.after, case.base.as_ref()));
    }
}

#[test]
fn every_patch_of_the_corpus_is_harmless_in_a_template_whose_lists_have_grown() {
    let (mut right, mut stopped) = (0, 0);
    for case in corpus() {
        let (a, b) = harmless_where_lists_grew(&case.name, &made(&case.before, &case.after, case.base.as_ref()));
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
