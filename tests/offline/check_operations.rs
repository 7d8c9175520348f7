//! The rules about operations: each fires on one patch and keeps quiet on another, and what it says of CoCalc is
//! what fast-json-patch itself does.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use kubectl_cocalc::{
    check::{
        operations::{OperationFinding, PatchToCheck, check_operations},
        rules::{Subject, rules},
    },
    json,
    json_patch::{Document, Gate, Options, apply, gate},
};
use serde_json::Value;

/// Licenses in the order of their ids.
const LICENSES: [&str; 2] = [
    "11111111-0000-4000-8000-000000000001",
    "22222222-0000-4000-8000-000000000002",
];

const POD: &str = r#"{
    "metadata": {"name": "project-1", "labels": {"run": "project"}},
    "spec": {
        "containers": [{"name": "project", "args": ["a", "b", "c"]}, {"name": "datastore"}],
        "tolerations": [{"key": "t"}], "priority": 1, "nodeSelector": null, "initContainers": []
    },
    "l": ["x", 2, {"b": {}}], "big": 9007199254740992, "own": {"hasOwnProperty": 1}
}"#;

/// What becomes of the document.
enum Claim {
    /// The value at this pointer, as JSON; nothing if empty.
    At(&'static str, &'static str),
    /// CoCalc gets an error of this class.
    Fails(&'static str),
    /// It prints as before.
    Unchanged,
}
use Claim::{At, Fails, Unchanged};

struct Case {
    rule: &'static str,
    /// The operations that fire it; a patch of another license before it, if there are two.
    fires: &'static [&'static str],
    claim: Claim,
    /// A patch that does not.
    quiet: &'static [&'static str],
}

const fn case(
    rule: &'static str,
    fires: &'static [&'static str],
    claim: Claim,
    quiet: &'static [&'static str],
) -> Case {
    Case {
        rule,
        fires,
        claim,
        quiet,
    }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("operation-without-effect", &[r#"[{"op":"remove","path":"/metadata/labels/none"}]"#], Unchanged,
         &[r#"[{"op":"remove","path":"/metadata/labels/run"}]"#]),
    case("operation-without-effect", &[r#"[{"op":"remove","path":"/spec/tolerations/7"}]"#], Unchanged,
         &[r#"[{"op":"remove","path":"/spec/tolerations/0"}]"#]),
    case("operation-fails", &[r#"[{"op":"replace","path":"/l/length","value":-1}]"#], Fails("RangeError"),
         &[r#"[{"op":"replace","path":"/l/length","value":1}]"#]),
    case("missing-parent", &[r#"[{"op":"add","path":"/metadata/annotations/note","value":"x"}]"#], Fails("TypeError"),
         &[r#"[{"op":"add","path":"/metadata/labels/note","value":"x"}]"#]),
    case("missing-parent", &[r#"[{"op":"add","path":"/spec/nodeSelector/disk","value":"ssd"}]"#], Fails("TypeError"),
         &[r#"[{"op":"add","path":"/spec/nodeSelector","value":{"disk":"ssd"}}]"#]),
    case("missing-parent", &[r#"[{"op":"copy","from":"/none/x","path":"/y"}]"#], Fails("TypeError"),
         &[r#"[{"op":"copy","from":"/metadata/name","path":"/y"}]"#]),
    case("append-without-list", &[r#"[{"op":"add","path":"/spec/hostAliases/-","value":{}}]"#], Fails("TypeError"),
         &[r#"[{"op":"add","path":"/spec/tolerations/-","value":{}}]"#]),
    case("test-fails", &[r#"[{"op":"test","path":"/metadata/name","value":"other"}]"#], Fails("PatchError"),
         &[r#"[{"op":"test","path":"/metadata/name","value":"project-1"}]"#]),
    case("banned-name", &[r#"[{"op":"add","path":"/metadata/__proto__/x","value":1}]"#], Fails("TypeError"),
         &[r#"[{"op":"add","path":"/metadata/labels/prototype","value":1}]"#]),
    case("banned-name", &[r#"[{"op":"add","path":"/metadata/constructor/prototype","value":1}]"#], Fails("TypeError"),
         &[r#"[{"op":"add","path":"/metadata/labels/proto","value":1}]"#]),
    case("test-has-own-property", &[r#"[{"op":"test","path":"/own","value":{"hasOwnProperty":1}}]"#], Fails("TypeError"),
         &[r#"[{"op":"test","path":"/own/hasOwnProperty","value":1}]"#]),
    case("move-target-not-yet-there", &[r#"[{"op":"move","from":"/l/0","path":"/l/1/b/c"}]"#], Fails("TypeError"),
         &[r#"[{"op":"move","from":"/l/0","path":"/l/2/b/c"}]"#, r#"[{"op":"move","from":"/l/0","path":"/x"}]"#]),
    case("path-not-text", &[r#"[{"op":"remove","path":5}]"#], Fails("TypeError"),
         &[r#"[{"op":"remove","path":"/spec"}]"#]),
    case("path-not-text", &[r#"[{"op":"add","path":0,"value":1}]"#], At("/undefined", "1"),
         &[r#"[{"op":"add","path":"/0","value":1}]"#]),
    case("path-without-slash", &[r#"[{"op":"add","path":"metadata/name","value":"x"}]"#], At("/name", r#""x""#),
         &[r#"[{"op":"add","path":"/metadata/name","value":"x"}]"#]),
    case("path-without-slash", &[r#"[{"op":"add","path":"foo","value":1}]"#], At("/undefined", "1"),
         &[r#"[{"op":"replace","path":"","value":{}}]"#]),
    case("path-without-slash", &[r##"[{"op":"replace","path":"#/metadata/name","value":"x"}]"##], At("/metadata/name", r#""x""#),
         &[r##"[{"op":"add","path":"/#","value":"x"}]"##]),
    case("path-without-slash", &[r#"[{"op":"copy","from":"spec/priority","path":"/x"}]"#], At("/x", "null"),
         &[r#"[{"op":"copy","from":"/spec/priority","path":"/x"}]"#]),
    case("bad-escape", &[r#"[{"op":"add","path":"/metadata/labels/a~b","value":"x"}]"#], At("/metadata/labels/a~0b", r#""x""#),
         &[r#"[{"op":"add","path":"/metadata/labels/a~0b~1c","value":"x"}]"#]),
    case("empty-index", &[r#"[{"op":"add","path":"/spec/tolerations/","value":9}]"#], At("/spec/tolerations/0", "9"),
         &[r#"[{"op":"add","path":"/metadata/labels/","value":"x"}]"#]),
    case("operation-duplicate-key", &[r#"[{"op":"add","path":"/x","value":{"a":1,"a":2}}]"#], At("/x/a", "2"),
         &[r#"[{"op":"add","path":"/x","value":{"a":1,"b":{"a":2}}}]"#]),
    case("leading-zero", &[r#"[{"op":"remove","path":"/l/01"}]"#], At("/l/1/b", "{}"),
         &[r#"[{"op":"remove","path":"/l/0"}]"#, r#"[{"op":"add","path":"/metadata/labels/01","value":"x"}]"#]),
    case("index-wraps", &[r#"[{"op":"replace","path":"/l/4294967296","value":9}]"#], At("/l/0", "9"),
         &[r#"[{"op":"replace","path":"/l/2","value":9}]"#]),
    case("index-wraps", &[r#"[{"op":"add","path":"/l/4294967295","value":9}]"#], At("/l/2", "9"),
         &[r#"[{"op":"add","path":"/l/1","value":9}]"#]),
    case("list-length", &[r#"[{"op":"replace","path":"/l/length","value":1}]"#], At("/l", r#"["x"]"#),
         &[r#"[{"op":"add","path":"/metadata/labels/length","value":"1"}]"#]),
    case("list-length", &[r#"[{"op":"test","path":"/l/length","value":3}]"#], Unchanged,
         &[r#"[{"op":"test","path":"/l/0","value":"x"}]"#]),
    case("inherited-name", &[r#"[{"op":"add","path":"/metadata/labels/toString/x","value":1}]"#], Unchanged,
         &[r#"[{"op":"add","path":"/metadata/labels/toString","value":"x"}]"#]),
    case("below-scalar", &[r#"[{"op":"add","path":"/metadata/name/x","value":1}]"#], Unchanged,
         &[r#"[{"op":"add","path":"/metadata/x","value":1}]"#]),
    case("below-scalar", &[r#"[{"op":"copy","from":"/metadata/name/0","path":"/x"}]"#], At("/x", r#""p""#),
         &[r#"[{"op":"copy","from":"/metadata/name","path":"/x"}]"#]),
    case("below-scalar", &[r#"[{"op":"remove","path":"/spec/priority/x"}]"#], Unchanged,
         &[r#"[{"op":"remove","path":"/spec/priority"}]"#]),
    case("remove-by-name", &[r#"[{"op":"remove","path":"/spec/containers/datastore"}]"#], At("/spec/containers/0/name", r#""datastore""#),
         &[r#"[{"op":"remove","path":"/metadata/labels/run"}]"#]),
    case("remove-by-name", &[r#"[{"op":"remove","path":"/l/-1"}]"#], At("/l", r#"["x",2]"#),
         &[r#"[{"op":"remove","path":"/l/2"}]"#]),
    case("list-element-by-name", &[r#"[{"op":"replace","path":"/spec/containers/project","value":{}}]"#], Unchanged,
         &[r#"[{"op":"replace","path":"/spec/containers/0","value":{}}]"#]),
    case("list-element-by-name", &[r#"[{"op":"add","path":"/l/-1","value":9}]"#], Unchanged,
         &[r#"[{"op":"add","path":"/l/-","value":9}]"#]),
    case("index-past-end", &[r#"[{"op":"add","path":"/l/9","value":9}]"#], At("/l/3", "9"),
         &[r#"[{"op":"add","path":"/l/3","value":9}]"#]),
    case("replace-at-end", &[r#"[{"op":"replace","path":"/l/-","value":9}]"#], At("/l/3", "9"),
         &[r#"[{"op":"add","path":"/l/-","value":9}]"#]),
    case("replace-at-end", &[r#"[{"op":"replace","path":"/l/3","value":9}]"#], At("/l/3", "9"),
         &[r#"[{"op":"replace","path":"/l/2","value":9}]"#]),
    case("replace-past-end", &[r#"[{"op":"replace","path":"/l/5","value":9}]"#], At("/l", r#"["x",2,{"b":{}},null,null,9]"#),
         &[r#"[{"op":"replace","path":"/l/0","value":9}]"#]),
    case("replace-missing", &[r#"[{"op":"replace","path":"/spec/priorityClassName","value":"x"}]"#], At("/spec/priorityClassName", r#""x""#),
         &[r#"[{"op":"replace","path":"/spec/priority","value":2}]"#]),
    case("value-missing", &[r#"[{"op":"add","path":"/metadata/labels"}]"#], At("/metadata/labels", ""),
         &[r#"[{"op":"add","path":"/metadata/labels","value":null}]"#]),
    case("value-missing", &[r#"[{"op":"replace","path":"/l/0"}]"#], At("/l/0", "null"),
         &[r#"[{"op":"remove","path":"/l/0"}]"#]),
    case("value-missing", &[r#"[{"op":"test","path":"/none"}]"#], Unchanged,
         &[r#"[{"op":"test","path":"/spec/nodeSelector","value":null}]"#]),
    case("from-missing", &[r#"[{"op":"move","path":"/metadata/labels"}]"#], At("/metadata/labels", ""),
         &[r#"[{"op":"move","from":"/metadata/labels","path":"/metadata/other"}]"#]),
    case("from-missing", &[r#"[{"op":"copy","from":null,"path":"/metadata/labels"}]"#], At("/metadata/labels", "null"),
         &[r#"[{"op":"copy","from":"/metadata/labels","path":"/metadata/other"}]"#]),
    case("from-nothing", &[r#"[{"op":"move","from":"/metadata/none","path":"/metadata/labels"}]"#], At("/metadata/labels", ""),
         &[r#"[{"op":"move","from":"/metadata/name","path":"/metadata/labels"}]"#]),
    case("from-nothing", &[r#"[{"op":"copy","from":"/l/9","path":"/metadata/labels"}]"#], At("/metadata/labels", "null"),
         &[r#"[{"op":"copy","from":"/l/0","path":"/metadata/labels"}]"#]),
    case("move-into-itself", &[r#"[{"op":"move","from":"/spec/containers/0","path":"/spec/containers/0/inner"}]"#],
         At("/spec/containers/0/inner/name", r#""project""#),
         &[r#"[{"op":"move","from":"/spec/containers/0","path":"/spec/containers/1"}]"#]),
    case("move-into-itself", &[r#"[{"op":"move","from":"/spec","path":"/spec/containers/0/inner"}]"#], Fails("TypeError"),
         &[r#"[{"op":"copy","from":"/spec","path":"/spec/inner"}]"#]),
    case("root-removed", &[r#"[{"op":"remove","path":""}]"#], At("", "null"),
         &[r#"[{"op":"remove","path":"/spec"}]"#]),
    case("number-out-of-range", &[r#"[{"op":"add","path":"/x","value":[1e400]}]"#], At("/x", "[null]"),
         &[r#"[{"op":"add","path":"/x","value":[1e300]}]"#]),
    case("number-rounded", &[r#"[{"op":"test","path":"/big","value":9007199254740993}]"#], Unchanged,
         &[r#"[{"op":"test","path":"/spec/priority","value":1.0}]"#]),
    case("lone-surrogate", &[r#"[{"op":"add","path":"/metadata/labels/x","value":"\ud800"}]"#], At("/metadata/labels/run", r#""project""#),
         &[r#"[{"op":"add","path":"/metadata/labels/x","value":"\ud83d\ude00"}]"#]),
    case("add-overwrites", &[r#"[{"op":"add","path":"/spec/tolerations","value":[]}]"#], At("/spec/tolerations", "[]"),
         &[r#"[{"op":"add","path":"/spec/initContainers","value":[1]}]"#]),
    case("add-overwrites", &[r#"[{"op":"copy","from":"/spec/priority","path":"/metadata/labels"}]"#], At("/metadata/labels", "1"),
         &[r#"[{"op":"replace","path":"/metadata/labels","value":{}}]"#]),
    case("index-without-guard", &[r#"[{"op":"add","path":"/spec/containers/0/image","value":"x"}]"#],
         At("/spec/containers/0/image", r#""x""#),
         &[r#"[{"op":"test","path":"/spec/containers/0/name","value":"project"},{"op":"add","path":"/spec/containers/0/image","value":"x"}]"#,
           r#"[{"op":"add","path":"/spec/volumes","value":[{}]},{"op":"add","path":"/spec/volumes/0/name","value":"x"}]"#,
           r#"[{"op":"test","path":"/spec/containers","value":[{"name":"project","args":["a","b","c"]},{"name":"datastore"}]},{"op":"remove","path":"/spec/containers/1"}]"#]),
    case("index-without-guard",
         &[r#"[{"op":"test","path":"/spec/containers/1/name","value":"datastore"},{"op":"remove","path":"/spec/containers/0"},{"op":"remove","path":"/spec/containers/0"}]"#],
         At("/spec/containers", "[]"),
         &[r#"[{"op":"add","path":"/spec/tolerations/-","value":{}}]"#]),
    case("depends-on-other-license",
         &[r#"[{"op":"add","path":"/spec/affinity","value":{}}]"#, r#"[{"op":"add","path":"/spec/affinity/nodeAffinity","value":{}}]"#],
         At("/spec/affinity/nodeAffinity", "{}"),
         &[r#"[{"op":"add","path":"/spec/affinity","value":{}},{"op":"add","path":"/spec/affinity/nodeAffinity","value":{}}]"#]),
    case("undoes-other-license",
         &[r#"[{"op":"add","path":"/spec/affinity","value":{"a":1}}]"#, r#"[{"op":"add","path":"/spec/affinity","value":{"b":1}}]"#],
         At("/spec/affinity", r#"{"b":1}"#),
         &[r#"[{"op":"add","path":"/spec/affinity","value":{"a":1}},{"op":"replace","path":"/spec/affinity","value":{"b":1}}]"#]),
];

fn findings(document: &str, patches: &[&str]) -> Vec<OperationFinding> {
    let document = Document::from_json(&json::parse(document).expect("JSON"), 0);
    let parsed: Vec<_> = patches
        .iter()
        .map(|patch| match gate(patch) {
            Gate::Passes(operations) => operations,
            other => panic!("{patch}: {other:?}"),
        })
        .collect();
    let stamped: Vec<_> = parsed.iter().flatten().zip(1..).collect();
    let mut after = document.clone();
    let applied = apply(&mut after, &stamped, Options::default());
    let mut effects = &*applied.effects;
    let mut to_check = Vec::new();
    for (operations, license) in parsed.iter().zip(LICENSES) {
        let (own, rest) = effects.split_at(operations.len());
        effects = rest;
        to_check.push(PatchToCheck {
            license,
            operations,
            effects: own,
        });
    }
    check_operations(&document, &to_check, Options::default())
}

fn rules_of(found: &[OperationFinding]) -> Vec<&'static str> {
    found.iter().map(|found| found.finding.rule).collect()
}

#[test]
fn each_rule_fires_on_its_patch_and_keeps_quiet_on_the_others() {
    for case in CASES {
        let found = findings(POD, case.fires);
        let last = case.fires.len() - 1;
        let fired = found
            .iter()
            .any(|f| f.finding.rule == case.rule && f.patch == last);
        assert!(
            fired,
            "{} does not fire on {:?}: {found:#?}",
            case.rule, case.fires
        );
        for quiet in case.quiet {
            let found = findings(POD, &[quiet]);
            assert!(
                !rules_of(&found).contains(&case.rule),
                "{} fires on {quiet}: {found:#?}",
                case.rule
            );
        }
    }
}

#[test]
fn every_rule_about_operations_has_a_case() {
    let table: BTreeSet<_> = rules()
        .iter()
        .filter(|rule| rule.subject == Subject::Operation)
        .map(|rule| rule.id)
        .collect();
    let cases: BTreeSet<_> = CASES.iter().map(|case| case.rule).collect();
    assert_eq!(table, cases);
}

#[test]
fn severities_are_those_of_the_table() {
    for rule in rules().iter().filter(|rule| rule.subject == Subject::Operation) {
        let as_in_table = CASES
            .iter()
            .filter(|case| case.rule == rule.id)
            .flat_map(|case| findings(POD, case.fires))
            .any(|found| found.finding.rule == rule.id && found.finding.severity == rule.severity);
        assert!(as_in_table, "{rule:?}");
    }
}

#[test]
fn a_good_patch_gives_no_finding() {
    let good = r#"[{"op":"test","path":"/spec/containers/0/name","value":"project"},
        {"op":"add","path":"/spec/containers/0/args/-","value":"d"},
        {"op":"add","path":"/metadata/labels/mylabel","value":"test123"},
        {"op":"replace","path":"/spec/priority","value":2},{"op":"remove","path":"/l"}]"#;
    assert_eq!(rules_of(&findings(POD, &[good])), [""; 0]);
}

#[test]
fn what_a_rule_says_of_cocalc_is_what_fast_json_patch_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let mut node = Command::new("node")
        .arg(folder.join("fast_json_patch.js"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs; `tests/run node` makes it ready");
    let mut input = node.stdin.take().expect("its input");
    for case in CASES {
        // The lists of all licenses are joined.
        let inner: Vec<&str> = case
            .fires
            .iter()
            .map(|patch| &patch[1..patch.len() - 1])
            .collect();
        let patch = format!("[{}]", inner.join(","));
        writeln!(input, "{}", serde_json::json!([POD, patch, [false]])).expect("node reads");
    }
    drop(input);
    let before: Value = serde_json::from_str(POD).expect("JSON");
    let output = BufReader::new(node.stdout.take().expect("its output"));
    let mut count = 0;
    for (line, case) in output.lines().zip(CASES) {
        count += 1;
        let line = line.expect("a line");
        let outcomes: Value = serde_json::from_str(&line).expect("JSON");
        let outcome = &outcomes[0];
        let what = format!("{} {:?}: {outcome}", case.rule, case.fires);
        match &case.claim {
            Fails(class) => assert_eq!(outcome["error"]["class"], *class, "{what}"),
            Unchanged | At(..) => {
                let text = outcome["result"]["text"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{what}"));
                // Half of a surrogate pair is the only thing that serde_json does not read.
                let text = text.replace("\\ud800", "?");
                let after: Value = serde_json::from_str(&text).expect("JSON");
                match &case.claim {
                    At(pointer, "") => assert_eq!(after.pointer(pointer), None, "{what}"),
                    At(pointer, wanted) => {
                        let wanted: Value = serde_json::from_str(wanted).expect("JSON");
                        assert_eq!(after.pointer(pointer), Some(&wanted), "{what}");
                    }
                    _ => assert_eq!(after, before, "{what}"),
                }
            }
        }
    }
    assert!(node.wait().expect("node ends").success());
    assert_eq!(count, CASES.len());
}

#[test]
fn a_message_names_the_deepest_parent_with_its_keys_and_the_nearest_candidate() {
    let message = |patch: &str| {
        let found = findings(POD, &[patch]);
        let errors = found.into_iter().map(|found| found.finding);
        errors
            .filter(|finding| finding.severity == kubectl_cocalc::check::Severity::Error)
            .map(|finding| finding.message)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let found = message(r#"[{"op":"add","path":"/spec/container/0/image","value":"x"}]"#);
    assert!(
        found.contains("/spec has containers, initContainers, nodeSelector, priority, tolerations"),
        "{found}"
    );
    assert!(
        found.contains("did you mean /spec/containers/0/image?"),
        "{found}"
    );
    let found = message(r#"[{"op":"add","path":"/spec/containers/datastore/env/-","value":{"name":"X"}}]"#);
    assert!(found.contains("did you mean /spec/containers/1/env/-"), "{found}");
    let found = message(r#"[{"op":"add","path":"/spec/hostAliases/-","value":"x"}]"#);
    assert!(found.contains("add /spec/hostAliases as a list first"), "{found}");
}

#[test]
fn a_guard_is_void_after_its_list_has_shifted() {
    let patch = r#"[{"op":"test","path":"/spec/containers/1/name","value":"datastore"},
        {"op":"add","path":"/spec/containers/0","value":{"name":"first"}},
        {"op":"add","path":"/spec/containers/1/image","value":"x"}]"#;
    let found = findings(POD, &[patch]);
    let guard = found
        .iter()
        .find(|f| f.finding.rule == "index-without-guard")
        .expect("a finding");
    assert_eq!(guard.operation, 2);
    assert!(
        guard.finding.message.contains(r#""value":"project""#),
        "{}",
        guard.finding.message
    );
}

#[test]
fn nothing_is_told_of_operations_after_one_that_fails() {
    let patch = r#"[{"op":"test","path":"/metadata/name","value":"other"},{"op":"remove","path":"none"}]"#;
    let found = findings(POD, &[patch, r#"[{"op":"remove","path":"none"}]"#]);
    assert_eq!(rules_of(&found), ["test-fails"]);
}

#[test]
fn a_patch_of_thousands_of_operations_is_judged_to_its_end() {
    let operations: Vec<String> = (0..8000)
        .map(|n| match n % 4 {
            0 => format!(r#"{{"op":"add","path":"/metadata/labels/l{n}","value":"x"}}"#),
            1 => r#"{"op":"add","path":"/l/-","value":{"name":"x"}}"#.to_owned(),
            2 => r#"{"op":"replace","path":"/l/0","value":1}"#.to_owned(),
            _ => r#"{"op":"remove","path":"/l/name"}"#.to_owned(),
        })
        .collect();
    let patch = format!("[{}]", operations.join(","));
    assert!(findings(POD, &[&patch]).len() >= 4000);
}
