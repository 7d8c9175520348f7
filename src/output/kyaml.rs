//! KYAML as kubectl prints it with `-o kyaml` (since 1.34): YAML's flow style with one layout, every string in
//! double quotes, names bare where no reader can take them for anything else.
//!
//! The layout follows `sigs.k8s.io/yaml/kyaml` 1.6.0. Three names are quoted here that kubectl leaves bare,
//! since quotes are never wrong: those with letters beyond ASCII, dates that no calendar has, and numbers that
//! no double holds.

use std::fmt::Write as _;

use serde_json::Value;

use super::escape::must_escape;

/// A longer name is marked as one with `? `: go-yaml refuses it otherwise, and so refuses what kubectl prints.
const LONGEST_SIMPLE_KEY: usize = 1000;

/// The value as one KYAML document: a line `---`, the value, a newline.
pub fn write(value: &Value) -> String {
    let mut text = String::from("---\n");
    node(value, 0, &mut text);
    text.push('\n');
    text
}

fn indent(level: usize, text: &mut String) {
    for _ in 0..level {
        text.push_str("  ");
    }
}

fn node(value: &Value, level: usize, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(b) => text.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => text.push_str(&super::number(n)),
        Value::String(s) => string(s, level + 1, s.contains('\n'), text),
        Value::Array(list) if list.is_empty() => text.push_str("[]"),
        Value::Array(list) => self::list(list, level, text),
        Value::Object(map) if map.is_empty() => text.push_str("{}"),
        Value::Object(map) => {
            text.push_str("{\n");
            for (name, member) in map {
                indent(level + 1, text);
                key(name, level + 1, text);
                text.push(' ');
                node(member, level + 1, text);
                text.push_str(",\n");
            }
            indent(level, text);
            text.push('}');
        }
    }
}

/// A name and its colon, on a line of this level.
fn key(name: &str, level: usize, text: &mut String) {
    let start = text.len();
    if needs_quotes(name) {
        string(name, level, false, text);
    } else {
        text.push_str(name);
    }
    if text.len() - start > LONGEST_SIMPLE_KEY {
        text.insert_str(start, "? ");
        text.push('\n');
        indent(level, text);
    }
    text.push(':');
}

fn list(list: &[Value], level: usize, text: &mut String) {
    // Brackets are put together where the list holds nothing but maps and lists.
    let cuddled = list
        .iter()
        .all(|element| element.is_object() || element.is_array());
    text.push('[');
    if !cuddled {
        text.push('\n');
    }
    for (i, element) in list.iter().enumerate() {
        if cuddled {
            if i > 0 {
                text.push_str(", ");
            }
            node(element, level, text);
        } else {
            indent(level + 1, text);
            node(element, level + 1, text);
            text.push_str(",\n");
        }
    }
    if !cuddled {
        indent(level, text);
    }
    text.push(']');
}

/// A string in double quotes. `folded`: each of its lines on a line of its own, the line break escaped; `level`
/// is the indentation of those lines.
fn string(string: &str, level: usize, folded: bool, text: &mut String) {
    text.push('"');
    if folded {
        text.push_str("\\\n");
    }
    let mut at_line_start = folded;
    for c in string.chars() {
        if at_line_start {
            indent(level, text);
            // Blanks at the start of a folded line are dropped by readers unless they are escaped; the other
            // lines get one more blank, so that all stand in the same column. kubectl puts the backslash before
            // every kind of space; before one that is written as an escape (CR, U+2028) that breaks the escape.
            text.push(if c == ' ' { '\\' } else { ' ' });
            at_line_start = false;
        }
        match c {
            '\n' if folded => {
                text.push_str("\\n\\\n");
                at_line_start = true;
            }
            // In a value kubectl leaves a tab as it is; an escape is the same string and safe for a terminal.
            c => push_escaped(c, text),
        }
    }
    if folded {
        if !at_line_start {
            text.push_str("\\\n");
        }
        indent(level, text);
    }
    text.push('"');
}

fn push_escaped(c: char, text: &mut String) {
    match c {
        '"' => text.push_str("\\\""),
        '\\' => text.push_str("\\\\"),
        '\0' => text.push_str("\\0"),
        '\u{7}' => text.push_str("\\a"),
        '\u{8}' => text.push_str("\\b"),
        '\t' => text.push_str("\\t"),
        '\n' => text.push_str("\\n"),
        '\u{b}' => text.push_str("\\v"),
        '\u{c}' => text.push_str("\\f"),
        '\r' => text.push_str("\\r"),
        '\u{1b}' => text.push_str("\\e"),
        '\u{85}' => text.push_str("\\N"),
        '\u{a0}' => text.push_str("\\_"),
        '\u{2028}' => text.push_str("\\L"),
        '\u{2029}' => text.push_str("\\P"),
        c if is_printable(c) => text.push(c),
        // Writing to a String cannot fail.
        c => {
            let code = u32::from(c);
            let _ = match code {
                0..=0x7f => write!(text, "\\x{code:02x}"),
                0x80..=0xffff => write!(text, "\\u{code:04x}"),
                _ => write!(text, "\\U{code:08x}"),
            };
        }
    }
}

/// Go's `unicode.IsPrint`, less what must be escaped: letters, marks, numbers, punctuation, symbols and the
/// blank.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_graphic() || c == ' ';
    }
    // `str::escape_debug` escapes what is not printable, and marks only at the start of a string.
    !must_escape(c) && String::from_iter(['a', c]).escape_debug().nth(1) == Some(c)
}

/// Whether a name could be read as anything but this string when it stands bare.
fn needs_quotes(name: &str) -> bool {
    let bytes = name.as_bytes();
    let last = bytes.len().saturating_sub(1);
    bytes.is_empty()
        || is_ambiguous(name)
        || !bytes.iter().enumerate().all(|(i, b)| {
            b.is_ascii_alphanumeric() || *b == b'_' || (0 < i && i < last && matches!(b, b'-' | b'.' | b'/'))
        })
}

/// Whether a name made of letters, digits, `_`, `-`, `.` and `/` is null, a boolean, a number or a date to some
/// reader of YAML 1.1 or 1.2.
fn is_ambiguous(name: &str) -> bool {
    const WORDS: [&str; 14] = [
        "null", "true", "t", "y", "yes", "on", "false", "f", "n", "no", "off", "inf", "infinity", "nan",
    ];
    if WORDS.iter().any(|word| name.eq_ignore_ascii_case(word)) {
        return true;
    }
    let plain = name.replace('_', "");
    is_integer(&plain) || is_hex_float(&plain) || is_date(name) || {
        plain.starts_with(|c: char| c.is_ascii_digit() || c == '.') && plain.parse::<f64>().is_ok()
    }
}

fn is_integer(text: &str) -> bool {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', b'o' | b'O', ..] => (&text[2..], 8),
        [b'0', b'b' | b'B', ..] => (&text[2..], 2),
        _ => (text, 10),
    };
    !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix))
}

/// `0x1.8p3`, which Go's `strconv.ParseFloat` takes.
fn is_hex_float(text: &str) -> bool {
    let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) else {
        return false;
    };
    let Some((mantissa, exponent)) = digits.split_once(['p', 'P']) else {
        return false;
    };
    let exponent = exponent.strip_prefix('-').unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_hex = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
    whole.len() + fraction.len() > 0
        && all_hex(whole)
        && all_hex(fraction)
        && !exponent.is_empty()
        && exponent.bytes().all(|b| b.is_ascii_digit())
}

/// `2001-1-31`.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &str, lengths: &[usize]| {
        lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    matches!(parts[..], [year, month, day]
        if digits(year, &[4]) && digits(month, &[1, 2]) && digits(day, &[1, 2]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn maps_in_lists_share_their_brackets_and_scalars_stand_on_lines() {
        let value = json!({
            "args": ["a", {}, []], "empty": {}, "list": [{"a": 1}, {"b": [true]}], "none": [], "nested": [["x"]],
        });
        let expected = r#"---
{
  args: [
    "a",
    {},
    [],
  ],
  empty: {},
  list: [{
    a: 1,
  }, {
    b: [
      true,
    ],
  }],
  nested: [[
    "x",
  ]],
  none: [],
}
"#;
        assert_eq!(write(&value), expected);
    }

    #[test]
    fn names_are_quoted_where_a_reader_could_take_them_for_something_else() {
        for name in [
            "",
            "no",
            "On",
            "y",
            "T",
            "~",
            "null",
            "1",
            "1_0",
            "0x1f",
            "017",
            "1e3",
            "2001-01-01",
            "-a",
            "a-",
            ".a",
            "a b",
            "a:b",
            "ü",
            "Inf",
            "0x1p-2",
            "1e400",
        ] {
            assert!(needs_quotes(name), "{name}");
        }
        for name in [
            "apiVersion",
            "kubernetes.io/hostname",
            "a-b",
            "_a",
            "1a",
            "yess",
            "a_",
            "0xg",
            "1.2.3",
        ] {
            assert!(!needs_quotes(name), "{name}");
        }
    }

    #[test]
    fn strings_of_several_lines_are_folded() {
        let value = json!({"a": "x\n  y\n\nz", "b": "end\n"});
        let expected = "---\n{\n  a: \"\\\n     x\\n\\\n    \\  y\\n\\\n     \\n\\\n     z\\\n    \",\n  b: \"\\\n     end\\n\\\n    \",\n}\n";
        assert_eq!(write(&value), expected);
    }

    #[test]
    fn no_character_that_must_be_escaped_leaves_raw() {
        let all: String = ('\0'..='\u{3ffff}').chain('\u{e0000}'..='\u{e0fff}').collect();
        let value = json!({ all.clone(): [all] });
        assert!(!write(&value).chars().any(|c| must_escape(c) && c != '\n'));
    }
}
