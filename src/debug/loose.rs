//! Values as Python's `repr` and Node's `util.inspect` print them, turned into JSON.

use crate::json::{self, Json, write_text};

/// Reads a value with strings in single or double quotes, bare names as keys, `True`, `None`, `undefined` and commas
/// before a closing bracket. What inspect has left out (`[Object]`, `... 3 more items`) is an error.
pub(super) fn parse(text: &str) -> Option<Json> {
    json::parse(&to_json(text)?).ok()
}

fn to_json(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    // A comma is written when what follows shows that it is needed.
    let mut comma = false;
    while let Some(c) = rest.chars().next() {
        let tail = rest.get(c.len_utf8()..)?;
        if comma && !c.is_whitespace() {
            if !matches!(c, '}' | ']') {
                out.push(',');
            }
            comma = false;
        }
        match c {
            ',' => {
                comma = true;
                rest = tail;
            }
            '\'' | '"' => {
                let (string, after) = string(tail, c)?;
                write_text(&string, &mut out);
                rest = after;
            }
            c if c.is_alphabetic() || c == '_' || c == '$' => {
                let end = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                    .unwrap_or(rest.len());
                let (word, after) = rest.split_at_checked(end)?;
                if after.trim_start().starts_with(':') {
                    write_text(word, &mut out);
                } else {
                    out.push_str(match word {
                        "True" | "true" => "true",
                        "False" | "false" => "false",
                        "None" | "null" | "undefined" => "null",
                        _ => return None,
                    });
                }
                rest = after;
            }
            other => {
                out.push(other);
                // The exponent of a number is no name.
                let digits = if other.is_ascii_digit() {
                    tail.find(|c: char| !matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-'))
                        .unwrap_or(tail.len())
                } else {
                    0
                };
                let (number, after) = tail.split_at_checked(digits)?;
                out.push_str(number);
                rest = after;
            }
        }
    }
    Some(out)
}

/// A string up to its closing quote, and what follows it.
pub(super) fn string(text: &str, quote: char) -> Option<(String, &str)> {
    let mut decoded = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        if c == quote {
            return Some((decoded, text.get(i + quote.len_utf8()..)?));
        }
        if c != '\\' {
            decoded.push(c);
            continue;
        }
        let (_, escape) = chars.next()?;
        let digits = match escape {
            'n' => {
                decoded.push('\n');
                continue;
            }
            't' => {
                decoded.push('\t');
                continue;
            }
            'r' => {
                decoded.push('\r');
                continue;
            }
            'b' => {
                decoded.push('\u{8}');
                continue;
            }
            'f' => {
                decoded.push('\u{c}');
                continue;
            }
            'x' => 2,
            'u' => 4,
            'U' => 8,
            other => {
                decoded.push(other);
                continue;
            }
        };
        let mut code = 0_u32;
        for _ in 0..digits {
            let (_, digit) = chars.next()?;
            code = code.checked_mul(16)?.checked_add(digit.to_digit(16)?)?;
        }
        decoded.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_and_inspect_print_values_that_are_read() {
        let json = parse(r#"{'a': True, 'b': [None, 1.5e3, -2], "it's": 'say "hi"\n\x41', }"#).unwrap();
        assert_eq!(
            json.stringify(),
            r#"{"a":true,"b":[null,1500,-2],"it's":"say \"hi\"\nA"}"#
        );
        let json = parse("{ apiVersion: 'v1', spec: { a: undefined, list: [ 1, 2 ] } }").unwrap();
        assert_eq!(
            json.stringify(),
            r#"{"apiVersion":"v1","spec":{"a":null,"list":[1,2]}}"#
        );
    }

    #[test]
    fn what_inspect_leaves_out_is_no_value() {
        for text in [
            "{ spec: [Object] }",
            "[ 1, ... 3 more items ]",
            "{'a': 'no end",
            "{a: Infinity}",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
