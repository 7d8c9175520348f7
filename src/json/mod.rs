//! JSON as JavaScript reads and writes it.
//!
//! CoCalc is written in JavaScript: it reads the template and every patch with `JSON.parse` and sends what
//! `JSON.stringify` prints. Both differ from `serde_json` in ways that admins meet: numbers are doubles and integral ones print without a fraction, a number out of range becomes
//! `null`, of two equal keys the last wins, names that look like integers come first, and half of a surrogate
//! pair is a legal string. This room has one value type with those rules ([`Json`]), one reader
//! ([`parse`], [`read()`]) and one writer ([`Json::stringify`]); everything else in the crate builds on them.

mod read;
mod string;
mod value;

pub use read::{
    Build, Duplicate, Error, MAX_DEPTH, Notes, Text, element_places, parse, parse_to_value, parse_with_notes,
    places, read,
};
pub use string::{JsString, is_invisible, must_escape};
pub use value::{
    Json, Map, Unprintable, is_array_index, js_numbers, number_text, value_from_f64, with_js_numbers,
    write_string, write_text,
};
