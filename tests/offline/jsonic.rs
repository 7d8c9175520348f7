//! Settings are read as the npm package `jsonic` 1.0.1 reads them.
//!
//! `data/jsonic.json` is a list of `[text, answer]`; the answers are what the package gave (as JSON text, null
//! where it threw).

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use kubectl_cocalc::{json::parse, pipeline::settings::jsonic};
use proptest::prelude::*;

#[test]
fn a_setting_is_read_as_jsonic_reads_it() {
    let cases = parse(include_str!("../data/jsonic.json")).unwrap();
    for case in cases.as_list().unwrap() {
        let case = case.as_list().unwrap();
        let text = case[0].as_str().unwrap();
        assert_eq!(
            jsonic(text).map(|json| json.stringify()).as_deref(),
            case[1].as_str(),
            "{text:?}"
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in r#"([{}\[\],:'"a\\ 1-]|mem|true|null|\PC){0,40}"#) {
        jsonic(&text);
    }

    #[test]
    fn strict_json_is_read_as_json(text in r#"\{"[a-z]":(-?[1-9][0-9]{0,5}(\.[0-9]{1,3})?|true|null|"[a-z ]*"|\[\]|\{\})\}"#) {
        prop_assert_eq!(jsonic(&text), parse(&text).ok());
    }
}
