//! Properties that hold for any document and any patch: nothing panics or runs away, and who put a field there
//! is who changes it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "all of this is a test"
)]

use kubectl_cocalc::{
    json::{self, Json},
    json_patch::{
        Applied, Document, Effect, ErrorClass, Key, Leaf, Limit, Operation, Options, PathPart, SetError,
        Stamp, Unsendable, apply, apply_json,
    },
};
use proptest::prelude::*;

const PLAIN: Options = Options { validate: false };

fn document(text: &str) -> Document {
    Document::parse(text, &mut |_| None, 0).unwrap().0
}

fn patched(text: &str, patch: &str) -> (Document, Applied) {
    let mut document = document(text);
    let applied = apply_json(&mut document, &json::parse(patch).unwrap(), 1, PLAIN);
    (document, applied)
}

fn path(text: &str) -> Vec<PathPart> {
    text.split('/')
        .skip(1)
        .map(|token| match token.parse() {
            Ok(index) => PathPart::Index(index),
            Err(_) => PathPart::Name(token.into()),
        })
        .collect()
}

fn leaf(document: &Document, place: &str) -> (Stamp, Stamp) {
    let place = path(place);
    let leaves = document.leaves();
    let leaf = leaves.iter().find(|leaf| leaf.path == place);
    leaf.map(|leaf| (leaf.by, leaf.origin))
        .unwrap_or_else(|| panic!("{place:?} is not in {leaves:?}"))
}

// Documents and patches of a small alphabet, so that paths meet.

fn any_json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null"),
        Just("true"),
        Just("1"),
        Just("0.5"),
        Just("1e999"),
        Just("\"a\""),
        Just("\"3\""),
        Just("\"\\ud800\""),
    ]
    .prop_map(str::to_owned);
    scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(","))),
            prop::collection::vec(("[abc]", inner), 0..4).prop_map(|map| {
                let members: Vec<String> = map
                    .iter()
                    .map(|(name, value)| format!("\"{name}\":{value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn any_pod() -> impl Strategy<Value = String> {
    (any_json(), any_json(), any_json())
        .prop_map(|(a, b, c)| format!("{{\"a\":{{\"a\":{a},\"b\":[{b},1]}},\"b\":[{a},{c}],\"c\":{c}}}"))
}

fn any_pointer() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => prop::collection::vec("[abc]|[0-3]|-", 1..4).prop_map(|tokens| format!("/{}", tokens.join("/"))),
        1 => Just(String::new()),
    ]
}

fn any_operation() -> impl Strategy<Value = String> {
    let op = prop_oneof![
        Just("add"),
        Just("replace"),
        Just("remove"),
        Just("move"),
        Just("copy"),
        Just("test")
    ];
    (
        op,
        any_pointer(),
        any_pointer(),
        prop::option::weighted(0.9, any_json()),
    )
        .prop_map(|(op, path, from, value)| {
            let value = value.map_or(String::new(), |value| format!(",\"value\":{value}"));
            format!("{{\"op\":\"{op}\",\"path\":\"{path}\",\"from\":\"{from}\"{value}}}")
        })
}

fn value_at(document: &Document, leaf: &Leaf) -> Option<Json> {
    let keys: Vec<Key<'_>> = leaf
        .path
        .iter()
        .map(|part| match part {
            PathPart::Name(name) => Key::Name(name),
            PathPart::Index(index) => Key::Index(*index),
        })
        .collect();
    document.get(&keys)
}

/// The same shape with strings that are all different, and nothing empty.
fn distinct(json: &Json, count: &mut usize) -> Json {
    match json {
        Json::List(list) if !list.is_empty() => {
            Json::list(list.iter().map(|json| distinct(json, count)).collect())
        }
        Json::Map(map) if !map.is_empty() => Json::map(
            map.iter()
                .map(|(name, json)| (name.clone(), distinct(json, count))),
        ),
        _ => {
            *count += 1;
            Json::string(&format!("value {count}"))
        }
    }
}

/// Whether a place held the value before an operation and holds it, put again, after it.
fn again_there(before: &Document, after: &Document, value: &Option<Json>) -> bool {
    let old = before.leaves();
    after.leaves().iter().any(|leaf| {
        let was = old.iter().find(|other| other.path == leaf.path);
        was.is_some_and(|was| {
            was.by != leaf.by && value_at(before, was) == *value && value_at(after, leaf) == *value
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn leaving_out_the_operation_that_put_a_field_there_changes_the_field_or_fails(
        pod in any_pod(),
        patch in prop::collection::vec(any_operation(), 1..7),
    ) {
        let mut count = 0;
        let pod = distinct(&json::parse(&pod).unwrap(), &mut count);
        let operations: Vec<Operation> = patch
            .iter()
            .map(|text| {
                let json = json::parse(text).unwrap();
                let members = json.members().into_iter().map(|(name, member)| {
                    let member = if *name == "value" { distinct(member, &mut count) } else { member.clone() };
                    (name.clone(), member)
                });
                Operation::new(&Json::map(members))
            })
            .collect();
        let mut stamped: Vec<(&Operation, Stamp)> = operations.iter().zip(1..).collect();
        let mut whole = Document::from_json(&pod, 0);
        // What comes after a failure is cut off, so that most cases say something.
        if let Some(failure) = apply(&mut whole, &stamped, PLAIN).failure {
            stamped.truncate(failure.operation);
            whole = Document::from_json(&pod, 0);
            prop_assert_eq!(apply(&mut whole, &stamped, PLAIN).failure, None);
        }
        for leaf in whole.leaves() {
            prop_assert!(leaf.origin <= leaf.by, "{:?}", leaf);
            let value = value_at(&whole, &leaf);
            if leaf.by == 0 || value.is_none() || value == Some(Json::Null) {
                continue;
            }
            let at = leaf.by as usize - 1;
            let mut before = Document::from_json(&pod, 0);
            let _ = apply(&mut before, &stamped[..at], PLAIN);
            let mut after = before.clone();
            let _ = apply(&mut after, &stamped[at..=at], PLAIN);
            let mut without = before.clone();
            if apply(&mut without, &stamped[at + 1..], PLAIN).failure.is_some() {
                continue;
            }
            // A copy may write again what stands there; a value of its own cannot.
            let again = leaf.by != leaf.origin && again_there(&before, &after, &value);
            prop_assert!(
                value_at(&without, &leaf) != value || again,
                "{:?} of {:?} in {}", leaf, patch, whole.stringify().unwrap_or_default()
            );
        }
    }

    #[test]
    fn a_patch_that_touches_nothing_leaves_all_stamps(pod in any_pod(), tests in prop::collection::vec(any_pointer(), 0..4)) {
        let mut whole = document(&pod);
        let before = whole.leaves();
        let tests: Vec<String> = tests.iter().map(|path| format!("{{\"op\":\"test\",\"path\":\"{path}\"}}")).collect();
        let _ = apply_json(&mut whole, &json::parse(&format!("[{}]", tests.join(","))).unwrap(), 1, PLAIN);
        prop_assert_eq!(before, whole.leaves());
    }

    #[test]
    fn arbitrary_patches_do_not_panic(
        pod in any_json(),
        patch in prop::collection::vec(
            (any_json(), "[a-z_]{0,8}|(/([a-z]{0,3}|length|constructor|[0-9]{1,12}|-|~[01]?)){0,5}", any_json(), any_json()),
            0..12,
        ),
        validate: bool,
    ) {
        for op in ["add", "replace", "remove", "move", "copy", "test", "_get", "toString"] {
            let operations: Vec<String> = patch
                .iter()
                .map(|(other, path, from, value)| {
                    format!("{{\"op\":\"{op}\",\"path\":\"{path}\",\"from\":{from},\"value\":{value},\"x\":{other}}}")
                })
                .collect();
            let mut document = document(&pod);
            let patch = json::parse(&format!("[{}]", operations.join(","))).unwrap();
            let applied = apply_json(&mut document, &patch, 1, Options { validate });
            prop_assert_eq!(applied.effects.len(), operations.len());
            let _ = (document.stringify(), document.to_value(), document.leaves());
        }
    }

    #[test]
    fn what_is_read_is_printed_as_json_stringify_does(text in any_json()) {
        let json = json::parse(&text).unwrap();
        prop_assert_eq!(document(&text).stringify(), Some(json.stringify()));
        prop_assert_eq!(Document::from_json(&json, 0).stringify(), Some(json.stringify()));
        let mut written = Vec::new();
        match (document(&text).to_value(), document(&text).write_json(&mut written)) {
            (Ok(value), Ok(())) => {
                prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&written).unwrap(), value);
            }
            (ours, other) => prop_assert_eq!(ours.map(|_| ()), other),
        }
    }
}

// Provenance.

#[test]
fn a_moved_subtree_is_put_by_the_move_and_made_by_who_made_it() {
    let (document, applied) = patched(
        r#"{"a":{"x":{"y":1}},"b":{}}"#,
        r#"[{"op":"add","path":"/a/x/z","value":2},{"op":"move","from":"/a/x","path":"/b/x"}]"#,
    );
    assert_eq!(applied.effects, [Effect::Added, Effect::Moved]);
    assert_eq!(leaf(&document, "/b/x/y"), (2, 0));
    assert_eq!(leaf(&document, "/b/x/z"), (2, 1));
    // The move left the map empty.
    assert_eq!(leaf(&document, "/a"), (2, 2));
    assert_eq!(applied.removals.len(), 1);
    assert_eq!(
        (applied.removals[0].path.clone(), applied.removals[0].stamp),
        (path("/a/x"), 2)
    );
}

#[test]
fn a_copy_keeps_the_origin_and_leaves_the_source_alone() {
    let (document, _) = patched(
        r#"{"l":[{"n":1}]}"#,
        r#"[{"op":"copy","from":"/l/0","path":"/l/-"},{"op":"replace","path":"/l/1/n","value":2}]"#,
    );
    assert_eq!(document.stringify().unwrap(), r#"{"l":[{"n":1},{"n":2}]}"#);
    assert_eq!(leaf(&document, "/l/0/n"), (0, 0));
    assert_eq!(leaf(&document, "/l/1/n"), (2, 2));
}

#[test]
fn elements_keep_their_stamps_when_the_list_shifts() {
    let (document, _) = patched(
        r#"{"l":["a","b"]}"#,
        r#"[{"op":"add","path":"/l/0","value":"x"},{"op":"remove","path":"/l/1"}]"#,
    );
    assert_eq!(leaf(&document, "/l/0"), (1, 1));
    assert_eq!(leaf(&document, "/l/1"), (0, 0));
}

#[test]
fn holes_are_made_by_the_operation_that_skipped_them() {
    let (document, applied) = patched(
        r#"{"l":["a"]}"#,
        r#"[{"op":"replace","path":"/l/3","value":"x"}]"#,
    );
    assert_eq!(applied.effects, [Effect::Added]);
    assert_eq!(document.stringify().unwrap(), r#"{"l":["a",null,null,"x"]}"#);
    assert_eq!(leaf(&document, "/l/2"), (1, 1));
}

#[test]
fn a_placeholder_stamps_its_value_or_the_whole_value_of_its_name() {
    let text = r#"{"name":"HOLE","HOLE":{"x":[1,2]},"rest":{}}"#;
    let mut stamp = |span: std::ops::Range<usize>| text[span].contains("HOLE").then_some(5);
    let (document, _) = Document::parse(text, &mut stamp, 1).unwrap();
    assert_eq!(leaf(&document, "/name"), (5, 5));
    assert_eq!(leaf(&document, "/HOLE/x/1"), (5, 5));
    assert_eq!(leaf(&document, "/rest"), (1, 1));
}

// Effects.

#[test]
fn effects_say_what_happened_and_not_what_was_asked_for() {
    let pod = r#"{"name":"p","labels":{"a":1},"args":["x","y"]}"#;
    for (operation, effect) in [
        (r#"{"op":"replace","path":"/new","value":1}"#, Effect::Added),
        (r#"{"op":"add","path":"/labels/a","value":1}"#, Effect::Replaced),
        (r#"{"op":"add","path":"/labels/a"}"#, Effect::Removed),
        (r#"{"op":"add","path":"/labels/b"}"#, Effect::Nothing),
        (r#"{"op":"remove","path":"/nope"}"#, Effect::Nothing),
        (r#"{"op":"remove","path":"/args/foo"}"#, Effect::Removed),
        (r#"{"op":"add","path":"/args/foo","value":1}"#, Effect::Nothing),
        (r#"{"op":"add","path":"/args/length","value":1}"#, Effect::Removed),
        (r#"{"op":"add","path":"/args/length","value":3}"#, Effect::Added),
        (r#"{"op":"add","path":"/name/x","value":1}"#, Effect::Nothing),
        (
            r#"{"op":"add","path":"/labels/constructor/x","value":1}"#,
            Effect::Nothing,
        ),
        (
            r#"{"op":"move","from":"/nope","path":"/labels"}"#,
            Effect::Removed,
        ),
        (
            r#"{"op":"copy","from":"/nope","path":"/labels"}"#,
            Effect::Replaced,
        ),
        (
            r#"{"op":"copy","from":"/name/0","path":"/labels/b"}"#,
            Effect::Copied,
        ),
        (
            r#"{"op":"move","from":"/labels","path":"/args/-"}"#,
            Effect::Moved,
        ),
        (r#"{"op":"test","path":"/name","value":"p"}"#, Effect::Tested),
        (r#"{"op":"remove","path":""}"#, Effect::Removed),
        (r#"{"op":"test","path":"/name","value":"q"}"#, Effect::Failed),
    ] {
        let (_, applied) = patched(pod, &format!("[{operation}]"));
        assert_eq!(applied.effects, [effect], "{operation}");
    }
}

#[test]
fn removing_the_root_leaves_null_and_removing_it_again_does_nothing() {
    let (document, applied) = patched("{}", r#"[{"op":"remove","path":""},{"op":"remove","path":""}]"#);
    assert_eq!(document.stringify().unwrap(), "null");
    assert_eq!(applied.effects, [Effect::Removed, Effect::Nothing]);
    assert_eq!(applied.removals.len(), 1);
    let (_, applied) = patched("1e400", r#"[{"op":"remove","path":""}]"#);
    assert_eq!(applied.effects, [Effect::Nothing]);
}

#[test]
fn after_a_failure_the_rest_is_not_reached_and_the_document_is_half_patched() {
    let (document, applied) = patched(
        r#"{"a":{"b":{}},"c":1}"#,
        r#"[{"op":"remove","path":"/c"},{"op":"move","from":"/a","path":"/a/b"},{"op":"add","path":"/d","value":1}]"#,
    );
    assert_eq!(
        applied.effects,
        [Effect::Removed, Effect::Failed, Effect::NotReached]
    );
    assert_eq!(document.stringify().unwrap(), "{}");
    assert_eq!(applied.removals.len(), 2);
    assert_eq!(applied.failure.unwrap().operation, 1);
}

#[test]
fn after_a_failure_behind_a_new_root_the_caller_still_has_the_old_one() {
    let (document, _) = patched(
        r#"{"a":{"b":{}},"c":1}"#,
        r#"[{"op":"copy","from":"/a","path":""},{"op":"add","path":"/x","value":1},{"op":"test","path":"/y","value":1}]"#,
    );
    assert_eq!(document.stringify().unwrap(), r#"{"a":{"b":{},"x":1},"c":1}"#);
}

// Limits.

#[test]
fn what_would_take_cocalc_down_is_refused_without_doing_it() {
    for (patch, limit, class) in [
        (
            r#"[{"op":"replace","path":"/l/99999999999999999999","value":1}]"#,
            Limit::Elements,
            ErrorClass::RangeError,
        ),
        (
            r#"[{"op":"add","path":"/l/length","value":4000000000}]"#,
            Limit::Elements,
            ErrorClass::RangeError,
        ),
        (
            r#"[{"op":"move","from":"","path":"/l/0"}]"#,
            Limit::Circular,
            ErrorClass::TypeError,
        ),
        (
            r#"[{"op":"add","path":"/l/constructor/isArray","value":1}]"#,
            Limit::BuiltIn,
            ErrorClass::TypeError,
        ),
    ] {
        let (document, applied) = patched(r#"{"l":[]}"#, patch);
        let failure = applied.failure.unwrap();
        assert_eq!((failure.limit, failure.class), (Some(limit), class), "{patch}");
        assert_eq!(document.stringify().unwrap(), r#"{"l":[]}"#);
    }
}

#[test]
fn a_document_that_doubles_with_every_copy_is_refused_at_64_mib() {
    let copies = vec![r#"{"op":"copy","from":"","path":"/l/-"}"#; 10_000].join(",");
    let (_, applied) = patched(r#"{"l":["some text"]}"#, &format!("[{copies}]"));
    let failure = applied.failure.unwrap();
    assert_eq!(failure.limit, Some(Limit::Text));
    assert!((20..30).contains(&failure.operation), "{failure:?}");
}

#[test]
fn nesting_is_refused_at_a_thousand_levels() {
    let nest = vec![r#"{"op":"copy","from":"/a","path":"/b"},{"op":"add","path":"/a","value":{}},{"op":"move","from":"/b","path":"/a/x"}"#; 2000].join(",");
    let (document, applied) = patched(r#"{"a":1}"#, &format!("[{nest}]"));
    let failure = applied.failure.unwrap();
    assert_eq!(failure.limit, Some(Limit::Nesting));
    assert!((2_900..3_000).contains(&failure.operation), "{failure:?}");
    // The source of the failing move is gone already.
    assert_eq!(document.stringify().unwrap(), r#"{"a":{}}"#);
}

#[test]
fn a_document_as_deep_as_allowed_can_be_printed_copied_and_dropped() {
    let nest = r#"{"op":"move","from":"/a","path":"/b"},{"op":"add","path":"/a","value":[]},{"op":"move","from":"/b","path":"/a/0"}"#;
    let patch = format!(
        "[{},{}]",
        vec![nest; 990].join(","),
        r#"{"op":"copy","from":"/a","path":"/c"}"#
    );
    let (document, applied) = patched(r#"{"a":1e400}"#, &patch);
    assert_eq!(applied.failure, None);
    let text = document.stringify().unwrap();
    let mut written = Vec::new();
    document.write_json(&mut written).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), text);
    assert_eq!(document.to_value().unwrap().to_string(), text);
    assert_eq!(document.get(&[]).unwrap().stringify(), text);
    assert!(document.leaves().iter().all(|leaf| leaf.path.len() == 991));
}

#[test]
fn ten_thousand_operations_on_large_lists_end_at_the_limit_of_work() {
    let mut operations = vec![r#"{"op":"replace","path":"/l/900000","value":1}"#.to_owned()];
    for _ in 0..5_000 {
        operations.push(r#"{"op":"add","path":"/l/0","value":1}"#.to_owned());
        operations.push(r#"{"op":"copy","from":"/l","path":"/m"}"#.to_owned());
    }
    let (_, applied) = patched(r#"{"l":[]}"#, &format!("[{}]", operations.join(",")));
    assert_eq!(applied.failure.unwrap().limit, Some(Limit::Work));
}

// Documents.

#[test]
fn setting_a_field_makes_missing_maps_and_says_what_is_in_the_way() {
    let mut document = document(r#"{"a":1,"l":[],"n":null}"#);
    let name = Key::Name;
    document
        .set_string(&[name("m"), name("x"), Key::End], "v", 3)
        .unwrap();
    document
        .set(&[name("l"), Key::End], &Json::Bool(true), 4)
        .unwrap();
    document.set(&[name("l"), Key::Index(0)], &Json::Null, 5).unwrap();
    assert_eq!(
        document.stringify().unwrap(),
        r#"{"a":1,"l":[null],"n":null,"m":{"x":["v"]}}"#
    );
    assert_eq!(leaf(&document, "/m/x/0"), (3, 3));
    assert_eq!(leaf(&document, "/l/0"), (5, 5));
    for (path, pointer) in [
        (vec![name("a"), name("b")], "/a"),
        (vec![name("n"), name("b")], "/n"),
    ] {
        let error = document.set(&path, &Json::Null, 6).unwrap_err();
        assert_eq!(
            error,
            SetError::Scalar {
                pointer: pointer.to_owned()
            }
        );
    }
    let error = document
        .set(&[name("l"), Key::Index(1)], &Json::Null, 6)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        r#""/l" has 1 elements, and none at index 1; add it to the template"#
    );
    assert!(document.set(&[name("l"), name("b")], &Json::Null, 6).is_err());
    assert!(document.remove(&[name("l"), Key::Index(0)], 7));
    assert!(!document.remove(&[name("l"), Key::Index(0)], 8));
    assert_eq!(leaf(&document, "/l"), (7, 7));
    assert_eq!(document.list_len(&[name("l")]), Some(0));
    assert_eq!(document.member_names(&[]).unwrap(), ["a", "l", "m", "n"]);
    assert_eq!(
        document.get_str(&[name("m"), name("x"), Key::Index(0)]),
        Some("v")
    );
}

#[test]
fn a_clone_is_not_changed_by_its_original() {
    let mut original = document(r#"{"a":{"b":[1]}}"#);
    let clone = original.clone();
    original
        .set(&[Key::Name("a"), Key::Name("b"), Key::End], &Json::Null, 1)
        .unwrap();
    assert_eq!(clone.stringify().unwrap(), r#"{"a":{"b":[1]}}"#);
}

#[test]
fn documents_and_operations_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Document>();
    shared::<Operation>();
}

#[test]
fn what_kubernetes_cannot_store_is_refused_by_name() {
    let (lone, _) = patched(r#"{"a":[{"b":"\ud800"}]}"#, "[]");
    assert!(lone.to_value().unwrap_err().to_string().contains("\"/a/0/b\""));
    assert_eq!(lone.write_json(&mut Vec::new()), lone.to_value().map(|_| ()));
    let (nothing, _) = patched("{}", r#"[{"op":"add","path":""}]"#);
    assert_eq!(nothing.to_value(), Err(Unsendable::Undefined));
    assert_eq!(nothing.stringify(), None);
}

#[test]
fn compact_json_is_sorted_by_bytes_and_has_javascripts_numbers() {
    let mut text = Vec::new();
    document(r#"{"é":1e21,"b":-0,"10":1.50,"a":"\u0001\n\"é","B":9007199254740993,"m":{}}"#)
        .write_json(&mut text)
        .unwrap();
    assert_eq!(
        String::from_utf8(text).unwrap(),
        r#"{"10":1.5,"B":9007199254740992,"a":"\u0001\n\"é","b":0,"m":{},"é":1e+21}"#
    );
}

#[test]
fn every_character_is_escaped_wherever_it_stands_in_a_string() {
    for c in (0..0x3000).filter_map(char::from_u32) {
        for before in 0..9 {
            let text = format!("{}{c}{}", "x".repeat(before), "y".repeat(9 - before));
            let mut written = Vec::new();
            Document::from_json(&Json::string(&text), 0)
                .write_json(&mut written)
                .unwrap();
            let written = String::from_utf8(written).unwrap();
            let raw = written.chars().find(|c| json::must_escape(*c));
            assert_eq!(raw, None, "what must not leave raw is escaped too");
            assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
            if !json::must_escape(c) {
                assert_eq!(written, Json::string(&text).stringify());
            }
        }
    }
}
