//! JSON as kubectl prints it.
//!
//! kubectl's encoder is Go's: names sorted, `<`, `>` and `&` as escapes. Only the characters that kubectl lets
//! through to the terminal (U+007F to U+009F, bidirectional overrides, what has no width) are escaped here and
//! raw there; a JSON reader sees the same string. Numbers are JavaScript's, since CoCalc is.

use serde_json::Value;

use super::escape::{must_escape, push_json_escape};

/// The value over several lines, four spaces a level, with a newline at the end.
pub fn pretty(value: &Value) -> String {
    let mut text = String::new();
    write(value, Some(0), &mut text);
    text.push('\n');
    text
}

/// The value on one line, without a newline at the end.
pub fn compact(value: &Value) -> String {
    let mut text = String::new();
    write(value, None, &mut text);
    text
}

/// `level` is the depth of the value for [`pretty`], `None` for [`compact`].
fn write(value: &Value, level: Option<usize>, text: &mut String) {
    let inner = level.map(|level| level + 1);
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(b) => text.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => text.push_str(&super::number(n)),
        Value::String(s) => write_string(s, text),
        Value::Array(list) => {
            text.push('[');
            for (i, element) in list.iter().enumerate() {
                separate(i, inner, text);
                write(element, inner, text);
            }
            close(list.is_empty(), level, text);
            text.push(']');
        }
        Value::Object(map) => {
            text.push('{');
            for (i, (name, member)) in map.iter().enumerate() {
                separate(i, inner, text);
                write_string(name, text);
                text.push_str(if level.is_some() { ": " } else { ":" });
                write(member, inner, text);
            }
            close(map.is_empty(), level, text);
            text.push('}');
        }
    }
}

fn separate(i: usize, inner: Option<usize>, text: &mut String) {
    if i > 0 {
        text.push(',');
    }
    if let Some(inner) = inner {
        new_line(inner, text);
    }
}

fn close(empty: bool, level: Option<usize>, text: &mut String) {
    if let (false, Some(level)) = (empty, level) {
        new_line(level, text);
    }
}

fn new_line(level: usize, text: &mut String) {
    const LEVELS: &str = "\n                                                                ";
    let indent = 4 * level;
    match LEVELS.get(..=indent) {
        Some(line) => text.push_str(line),
        None => {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent));
        }
    }
}

fn write_string(string: &str, text: &mut String) {
    text.push('"');
    // Nearly every string is plain, and is looked at many bytes in one step.
    let is_plain = |b: u8| (b' '..0x7f).contains(&b) && !matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&');
    if string.bytes().fold(true, |all, b| all & is_plain(b)) {
        text.push_str(string);
        text.push('"');
        return;
    }
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '<' | '>' | '&' => push_json_escape(c, text),
            other if must_escape(other) => push_json_escape(other, text),
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pretty_is_kubectls_layout() {
        let value = json!({"b": [1, {"x": []}], "a": {}, "c": null});
        let expected = "{\n    \"a\": {},\n    \"b\": [\n        1,\n        {\n            \"x\": []\n        \
                        }\n    ],\n    \"c\": null\n}\n";
        assert_eq!(pretty(&value), expected);
    }

    #[test]
    fn compact_is_one_line_whatever_the_strings_hold() {
        let value = json!({"b": ["x\ny\u{2028}\u{85}", true], "a": 1});
        assert_eq!(compact(&value), r#"{"a":1,"b":["x\ny\u2028\u0085",true]}"#);
    }

    #[test]
    fn numbers_are_javascripts() {
        let value: Value =
            serde_json::from_str("[1.0, 1e21, 0.1, 1e-7, -0.0, 1e20, 9223372036854775807]").unwrap();
        assert_eq!(
            compact(&value),
            "[1,1e+21,0.1,1e-7,0,100000000000000000000,9223372036854775807]"
        );
    }

    #[test]
    fn every_character_is_read_back_and_none_that_must_be_escaped_is_raw() {
        let all: String = ('\0'..='\u{3ffff}').chain('\u{e0000}'..='\u{e0fff}').collect();
        let value = json!({ all.clone(): all });
        for text in [compact(&value), pretty(&value)] {
            assert!(!text.trim_end().chars().any(|c| must_escape(c) && c != '\n'));
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }
}
