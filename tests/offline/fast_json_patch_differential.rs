//! Random pods and patches, applied by this crate and by fast-json-patch itself.
//!
//! Needs `node` on the PATH and `npm ci` in `tests/peers`. `DIFFERENTIAL_CASES` (default 20,000) and
//! `DIFFERENTIAL_SEED` choose the cases; a case that differs is cut down to the operations that matter and
//! printed with its seed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "all of this is a test"
)]

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use kubectl_cocalc::{
    json::{self, Json},
    json_patch::{Applied, Document, Effect, ErrorClass, Operation, Options, apply, apply_json},
};
use serde_json::Value;

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
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

const NAMES: [&str; 10] = [
    "metadata",
    "name",
    "labels",
    "spec",
    "containers",
    "args",
    "env",
    "a",
    "b",
    "nodeSelector",
];
#[rustfmt::skip]
const ODD_NAMES: [&str; 22] = [
    "", "10", "2", "01", "a/b", "m~n", "~1", "constructor", "toString", "hasOwnProperty", "length", "undefined",
    "__proto__", "prototype", "valueOf", "toJSON", "newDocument", "test", "splice", "join", "\\ud800", "é😀",
];
#[rustfmt::skip]
const LIST_TOKENS: [&str; 44] = [
    "-", "0", "1", "2", "3", "5", "01", "00", "-1", "-2", "-0", "+1", "1e0", "1.9", ".5", "0x1", "0b1", " 1", "1 ",
    "Infinity", "-Infinity", "NaN", "inf", "length", "", "foo", "sidecar", "4294967295", "4294967296", "2147483648",
    "4294967294", "18446744073709551615", "99999999999999999997", "push", "splice", "constructor", "join",
    "toString", "concat", "x", "１", "-9", "1e1000", "1_0",
];
#[rustfmt::skip]
const INHERITED: [&str; 19] = [
    "constructor", "toString", "hasOwnProperty", "valueOf", "__proto__", "prototype", "isArray", "keys", "push",
    "name", "length", "caller", "arguments", "call", "MAX_VALUE", "NaN", "trimLeft", "toFixed", "charAt",
];
#[rustfmt::skip]
const SCALARS: [&str; 22] = [
    "null", "true", "false", "0", "1", "-0", "1.0", "2", "3.5", "1e400", "-1e400", "1e21", "9007199254740993", "-1",
    "\"\"", "\"x\"", "\"3\"", "\" 2 \"", "\"0x2\"", "\"é😀\"", "\"\\ud800\"", "\"a\\u0000b\"",
];

fn value(random: &mut Random, depth: usize) -> String {
    match random.below(if depth == 0 { 5 } else { 9 }) {
        0..=4 => random.pick(&SCALARS).to_owned(),
        5 | 6 => {
            let elements: Vec<String> = (0..random.below(5)).map(|_| value(random, depth - 1)).collect();
            format!("[{}]", elements.join(","))
        }
        _ => {
            let members: Vec<String> = (0..random.below(5))
                .map(|_| {
                    let name = if random.one_in(4) {
                        random.pick(&ODD_NAMES)
                    } else {
                        random.pick(&NAMES)
                    };
                    format!("\"{name}\":{}", value(random, depth - 1))
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

fn document(random: &mut Random) -> String {
    match random.below(12) {
        0 => value(random, 3),
        1 => random.pick(&SCALARS).to_owned(),
        _ => {
            let containers: Vec<String> = ["project", "sidecar", "backup"]
                .into_iter()
                .take(random.below(4))
                .map(|name| {
                    format!(
                        "{{\"name\":\"{name}\",\"args\":[\"a\",\"b\",\"c\"],\"env\":{}}}",
                        value(random, 2)
                    )
                })
                .collect();
            let odd = random.pick(&ODD_NAMES);
            format!(
                "{{\"metadata\":{{\"name\":\"p\",\"labels\":{}}},\"spec\":{{\"containers\":[{}],\"nodeSelector\":{}}},\
                 \"a\":{},\"{odd}\":{}}}",
                value(random, 2),
                containers.join(","),
                value(random, 1),
                value(random, 2),
                value(random, 2),
            )
        }
    }
}

fn escape(token: &str, random: &mut Random) -> String {
    // A bare tilde now and then.
    if random.one_in(6) {
        token.to_owned()
    } else {
        token.replace('~', "~0").replace('/', "~1")
    }
}

/// A pointer that mostly follows the document.
fn pointer(random: &mut Random, document: &Json) -> String {
    if random.one_in(40) {
        return random
            .pick(&[
                "",
                "/",
                "foo",
                "metadata/name",
                "#/metadata/name",
                "//x",
                "constructor/prototype",
            ])
            .to_owned();
    }
    let mut text = String::new();
    let mut at = Some(document);
    let end = 1 + random.below(5);
    for _ in 0..end {
        let token = match at {
            _ if random.one_in(25) => random.pick(&INHERITED).to_owned(),
            Some(Json::Map(map)) if !map.is_empty() && !random.one_in(6) => {
                let (name, _) = map.get_index(random.below(map.len())).unwrap();
                name.to_string_lossy()
            }
            Some(Json::List(list)) if !list.is_empty() && !random.one_in(3) => {
                random.below(list.len()).to_string()
            }
            Some(Json::List(_)) => random.pick(&LIST_TOKENS).to_owned(),
            Some(Json::Map(_)) if random.one_in(3) => random.pick(&ODD_NAMES).replace("\\ud800", "x"),
            Some(Json::String(_)) => random.pick(&["0", "1", "length", "x", "charAt"]).to_owned(),
            _ => random.pick(&NAMES).to_owned(),
        };
        at = match at {
            Some(Json::List(list)) => token.parse::<usize>().ok().and_then(|index| list.get(index)),
            Some(map) => map.get(&token),
            None => None,
        };
        write!(text, "/{}", escape(&token, random)).unwrap();
        if at.is_none() && !random.one_in(10) {
            break;
        }
    }
    text
}

fn quoted(text: &str) -> String {
    Json::string(text).stringify()
}

fn operation(random: &mut Random, document: &Json, earlier: &[String]) -> String {
    let any_pointer = |random: &mut Random| {
        if earlier.is_empty() || !random.one_in(4) {
            pointer(random, document)
        } else {
            let mut again = earlier[random.below(earlier.len())].clone();
            if random.one_in(2) {
                let token = if random.one_in(2) {
                    random.pick(&LIST_TOKENS)
                } else {
                    random.pick(&NAMES)
                };
                write!(again, "/{token}").unwrap();
            }
            again
        }
    };
    let op = random.pick(&["add", "replace", "remove", "move", "copy", "test"]);
    let path = any_pointer(random);
    let mut members = Vec::new();
    match random.below(120) {
        0 => {}
        1 => members.push("\"op\":\"_get\"".to_owned()),
        2 => members.push(format!(
            "\"op\":{}",
            random.pick(&[
                "\"merge\"",
                "null",
                "[\"add\"]",
                "7",
                "\"toString\"",
                "\"__proto__\"",
                "{\"toString\":1}"
            ])
        )),
        _ => members.push(format!("\"op\":\"{op}\"")),
    }
    match random.below(120) {
        0 => {}
        1 => members.push(format!(
            "\"path\":{}",
            random.pick(&["null", "5", "0", "false", "true", "[]", "[\"/a\"]", "{}"])
        )),
        _ => members.push(format!("\"path\":{}", quoted(&path))),
    }
    if matches!(op, "move" | "copy") || random.one_in(30) {
        match random.below(25) {
            0 => {}
            1 => members.push(format!(
                "\"from\":{}",
                random.pick(&[
                    "null",
                    "5",
                    "0",
                    "false",
                    "[]",
                    "[[]]",
                    "[null]",
                    "{}",
                    "{\"toString\":1}"
                ])
            )),
            2 => members.push(format!("\"from\":{}", quoted(&path))),
            _ => {
                let from = any_pointer(random);
                members.push(format!("\"from\":{}", quoted(&from)));
            }
        }
    }
    if matches!(op, "add" | "replace" | "test") || random.one_in(30) {
        if op == "test" && !random.one_in(5) {
            // What is there, so that tests also pass.
            let found = path.split('/').skip(1).try_fold(document, |at, token| match at {
                Json::List(list) => list.get(token.parse::<usize>().ok()?),
                map => map.get(token),
            });
            members.extend(found.map(|found| format!("\"value\":{}", found.stringify())));
        } else if !random.one_in(12) {
            members.push(format!("\"value\":{}", value(random, 2)));
        }
    }
    if random.one_in(40) {
        members.push(format!(
            "\"{}\":1",
            random.pick(&["test", "newDocument", "toString", "note"])
        ));
    }
    format!("{{{}}}", members.join(","))
}

struct Case {
    document: String,
    operations: Vec<String>,
}

impl Case {
    fn new(random: &mut Random) -> Self {
        let document = document(random);
        let parsed = json::parse(&document).unwrap();
        let mut operations: Vec<String> = Vec::new();
        let mut earlier = Vec::new();
        for _ in 0..1 + random.below(5) {
            let operation = if random.one_in(400) {
                random.pick(&SCALARS).to_owned()
            } else {
                operation(random, &parsed, &earlier)
            };
            let read = json::parse(&operation).unwrap();
            earlier.extend(read.get("path").and_then(Json::as_str).map(str::to_owned));
            earlier.extend(read.get("from").and_then(Json::as_str).map(str::to_owned));
            operations.push(operation);
        }
        Self { document, operations }
    }

    fn patch(&self) -> String {
        format!("[{}]", self.operations.join(","))
    }

    fn apply(&self, validate: bool) -> (Document, Applied) {
        let (mut document, _) = Document::parse(&self.document, &mut |_| None, 0).unwrap();
        let patch = json::parse(&self.patch()).unwrap();
        let applied = apply_json(&mut document, &patch, 1, Options { validate });
        (document, applied)
    }
}

struct Library {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Library {
    fn start() -> Self {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
        assert!(
            peers.join("node_modules/fast-json-patch").exists(),
            "fast-json-patch is not installed; run `npm ci` in {}",
            peers.display()
        );
        let mut process = Command::new("node")
            .arg(peers.join("fast_json_patch.js"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("`node` does not start ({error}); install Node.js 20"));
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            input,
            output,
        }
    }

    fn ask(&mut self, case: &Case, ways: &[bool]) -> Vec<Value> {
        let question = serde_json::to_string(&(&case.document, case.patch(), ways)).unwrap();
        self.input.write_all(format!("{question}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer:?} to {question}"))
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Default, Debug)]
struct Tally {
    succeeded: usize,
    failed: usize,
    refused: usize,
}

fn difference(library: &mut Library, case: &Case, tally: &mut Tally) -> Option<String> {
    let ways = [false, true];
    let ours: Vec<(bool, Document, Applied)> = ways
        .into_iter()
        .map(|validate| {
            let (document, applied) = case.apply(validate);
            (validate, document, applied)
        })
        // What this crate refuses may take the library minutes.
        .filter(|(_, _, applied)| {
            let limited = applied
                .failure
                .as_ref()
                .is_some_and(|failure| failure.limit.is_some());
            tally.refused += usize::from(limited);
            !limited
        })
        .collect();
    if ours.is_empty() {
        return None;
    }
    let asked: Vec<bool> = ours.iter().map(|(validate, ..)| *validate).collect();
    let answers = library.ask(case, &asked);
    for ((validate, document, applied), answer) in ours.iter().zip(answers) {
        let text = document.stringify();
        let (outcome, printed) = match &applied.failure {
            None => (Value::Null, &answer["result"]),
            Some(failure) => {
                let mut error = serde_json::json!({
                    "class": failure.class.name(),
                    "name": failure.name.unwrap_or(failure.class.name()),
                    "message": failure.message,
                });
                // Codes of the library's validator always carry index 0.
                if failure.class == ErrorClass::PatchError {
                    error["index"] = answer["error"]["index"].clone();
                    if failure.name == Some("TEST_OPERATION_FAILED") {
                        error["index"] = failure.operation.into();
                    }
                }
                (error, &answer["caller"])
            }
        };
        if outcome != answer["error"] || text.as_deref() != printed["text"].as_str() {
            return Some(format!(
                "validate: {validate}\nours:    {outcome} {}\nlibrary: {answer}",
                text.unwrap_or_default()
            ));
        }
        tally.succeeded += usize::from(applied.failure.is_none());
        tally.failed += usize::from(applied.failure.is_some());
        if let Some(why) = unsound(case, *validate, document, applied) {
            return Some(format!("validate: {validate}\n{why}"));
        }
    }
    None
}

/// Whether the sorted forms, the effects and the leaves belong to the document that was printed.
fn unsound(case: &Case, validate: bool, document: &Document, applied: &Applied) -> Option<String> {
    if applied.effects.len() != case.operations.len() {
        return Some(format!("{} effects", applied.effects.len()));
    }
    if let (Some(text), Ok(value)) = (document.stringify(), document.to_value()) {
        let mut written = Vec::new();
        document.write_json(&mut written).unwrap();
        let again: Value = serde_json::from_slice(&written).unwrap();
        if again != json::parse(&text).unwrap().to_value().unwrap() || again != value {
            return Some(format!("write_json gives {again}, to_value {value}"));
        }
        fn count(value: &Value) -> usize {
            match value {
                Value::Array(list) if !list.is_empty() => list.iter().map(count).sum(),
                Value::Object(map) if !map.is_empty() => map.values().map(count).sum(),
                _ => 1,
            }
        }
        if document.leaves().len() != count(&value) {
            return Some(format!("leaves are {:?}", document.leaves()));
        }
    }
    if applied.failure.is_some() {
        return None;
    }
    let (mut stepwise, _) = Document::parse(&case.document, &mut |_| None, 0).unwrap();
    for ((index, operation), effect) in case.operations.iter().enumerate().zip(&applied.effects) {
        let before = stepwise
            .clone()
            .stringify()
            .map(|text| json::parse(&text).unwrap());
        let operation = Operation::new(&json::parse(operation).unwrap());
        let step = apply(
            &mut stepwise,
            &[(&operation, 1 + index as u32)],
            Options { validate },
        );
        if step.effects != [*effect] {
            // A built-in that an earlier operation has changed.
            return None;
        }
        let after = stepwise.stringify().map(|text| json::parse(&text).unwrap());
        let fits = match effect {
            Effect::Nothing | Effect::Tested => before == after,
            Effect::Added | Effect::Removed => before != after,
            _ => true,
        };
        if !fits {
            return Some(format!(
                "effect {effect:?} of operation {index}: {before:?} to {after:?}"
            ));
        }
    }
    None
}

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} must be a number, and is {text:?}")),
        Err(_) => default,
    }
}

#[test]
fn random_patches_have_the_same_outcome_in_the_library() {
    let cases = setting("DIFFERENTIAL_CASES", 20_000);
    let seed = setting("DIFFERENTIAL_SEED", 20_230_120);
    println!("DIFFERENTIAL_SEED={seed} DIFFERENTIAL_CASES={cases}");
    let mut library = Library::start();
    let mut tally = Tally::default();
    for number in 0..cases {
        let mut random = Random(seed.wrapping_add(number.wrapping_mul(0x2545_f491_4f6c_dd1d)));
        let mut case = Case::new(&mut random);
        let Some(mut why) = difference(&mut library, &case, &mut tally) else {
            continue;
        };
        let mut at = 0;
        while at < case.operations.len() {
            let mut shorter = Case {
                document: case.document.clone(),
                operations: case.operations.clone(),
            };
            shorter.operations.remove(at);
            match difference(&mut library, &shorter, &mut tally) {
                Some(still) => (case, why) = (shorter, still),
                None => at += 1,
            }
        }
        panic!(
            "case {number} of seed {seed}\n{}\n{}\n{why}",
            case.document,
            case.patch()
        );
    }
    println!("{tally:?}");
    // A generator that only makes trivial cases would prove nothing.
    assert!(tally.succeeded * 5 > cases as usize && tally.failed * 5 > cases as usize);
    assert!(tally.refused * 10 < cases as usize, "{tally:?}");
}
