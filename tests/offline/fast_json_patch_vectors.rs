//! Outcomes of fast-json-patch 3.1.1 for hand-picked edge cases, recorded with node 20.
//!
//! `tests/data/fast-json-patch-vectors.json` says for each what the real library did, without and with
//! validation, and whether CoCalc's own check would have dropped the patch before.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

use kubectl_cocalc::{
    json::{self, Json},
    json_patch::{Applied, Document, ErrorClass, Gate, Options, apply_json, gate},
};
use serde_json::Value;

struct Vector {
    name: String,
    document: String,
    patch: String,
    record: Value,
}

fn vectors() -> Vec<Vector> {
    let text = include_str!("../data/fast-json-patch-vectors.json");
    // Documents and patches through JavaScript's reader: the recording keeps the order of members.
    let ordered = json::parse(text).unwrap();
    let ordered = ordered.get("vectors").and_then(Json::as_list).unwrap();
    let records: Value = serde_json::from_str(text).unwrap();
    let records = records["vectors"].as_array().unwrap();
    ordered
        .iter()
        .zip(records)
        .filter(|(_, record)| record["kind"] == "apply")
        .map(|(ordered, record)| {
            let text = |value: &str, text: &str| match ordered.get(text) {
                Some(text) => text.as_str().unwrap().to_owned(),
                None => ordered.get(value).unwrap().stringify(),
            };
            Vector {
                name: record["name"].as_str().unwrap().to_owned(),
                document: text("doc", "docText"),
                patch: text("patch", "patchText"),
                record: record.clone(),
            }
        })
        .collect()
}

/// Applies the vector's patch; `None` if the patch is no JSON at all.
fn applied(vector: &Vector, validate: bool) -> Option<(Document, Applied)> {
    let mut document = Document::from_json(&json::parse(&vector.document).unwrap(), 0);
    let patch = json::parse(&vector.patch).ok()?;
    let applied = apply_json(&mut document, &patch, 1, Options { validate });
    Some((document, applied))
}

fn check_all(check: impl Fn(&Vector) -> Result<(), String>) {
    let vectors = vectors();
    assert_eq!(vectors.len(), 153);
    let failures: Vec<String> = vectors
        .iter()
        .filter_map(|vector| check(vector).err().map(|why| format!("{}: {why}", vector.name)))
        .collect();
    assert!(
        failures.is_empty(),
        "{} differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: &T, library: &T) -> Result<(), String> {
    if ours == library {
        Ok(())
    } else {
        Err(format!("{what}: ours is {ours:?}, the library's {library:?}"))
    }
}

#[test]
fn without_validation_every_recorded_result_and_error_is_the_same() {
    check_all(|vector| {
        let expect = &vector.record["expect"];
        let Some((document, applied)) = applied(vector, false) else {
            return same(
                "error",
                &"SyntaxError",
                &expect["error"]["class"].as_str().unwrap_or_default(),
            );
        };
        let printed = document.stringify();
        if expect["ok"] == true {
            if expect["resultUnprintable"] == true {
                let failure = applied
                    .failure
                    .ok_or("what cannot be printed should be refused")?;
                return same("limit", &failure.limit.is_some(), &true);
            }
            same("failure", &applied.failure, &None)?;
            return same(
                "result",
                &printed.as_deref(),
                &expect["resultText"]
                    .as_str()
                    .filter(|_| expect["resultUndefined"] != true),
            );
        }
        let failure = applied.failure.ok_or("should fail")?;
        let error = &expect["error"];
        same("class", &failure.class.name(), &error["class"].as_str().unwrap())?;
        let code = error["name"]
            .as_str()
            .filter(|_| failure.class == ErrorClass::PatchError);
        same("name", &failure.name, &code)?;
        same(
            "message",
            &failure.message.as_str(),
            &error["message"].as_str().unwrap(),
        )?;
        if let Some(index) = error["index"].as_u64() {
            same("index", &(failure.operation as u64), &index)?;
        }
        let printed: Option<Value> = printed.map(|text| serde_json::from_str(&text).unwrap());
        same(
            "the caller's document",
            &printed.as_ref(),
            &expect.get("docAfter"),
        )
    });
}

#[test]
fn with_validation_every_recorded_verdict_is_the_same() {
    check_all(|vector| {
        let expected = vector.record["validate"].as_str().unwrap();
        let Some((document, applied)) = applied(vector, true) else {
            return same("verdict", &"SyntaxError", &expected);
        };
        if expected == "ok, same result" {
            let expect = &vector.record["expect"];
            if expect["resultUnprintable"] == true {
                return same("refused", &applied.failure.is_some(), &true);
            }
            same("failure", &applied.failure, &None)?;
            return same(
                "result",
                &document.stringify().as_deref(),
                &expect["resultText"].as_str(),
            );
        }
        let failure = applied.failure.ok_or("should fail")?;
        same(
            "verdict",
            &failure.name.unwrap_or(failure.class.name()),
            &expected,
        )
    });
}

#[test]
fn the_gate_drops_exactly_what_cocalc_drops() {
    check_all(|vector| {
        let syntax_error = vector.record["validate"] == "SyntaxError";
        let dropped = vector.record["gate"] == "dropped" || syntax_error;
        same(
            "dropped",
            &!matches!(gate(&vector.patch), Gate::Passes(_)),
            &dropped,
        )
    });
}
