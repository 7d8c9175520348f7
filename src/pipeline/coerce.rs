//! JavaScript's conversions, as far as CoCalc's quota code uses them.
//!
//! Quotas come from places where a number may be a string (`"2500"`), a flag may be a number (`0.9`) and a
//! license number may be anything at all. What CoCalc makes of them decides what a user gets, so these are
//! `parseFloat`, `parseInt`, `Number`, `String`, `+`, `Math.max`, `Math.min` and `Math.round`, to the letter.

use std::borrow::Cow;

use crate::json::{JsString, Json};

/// What `trim`, `parseFloat` and `Number` take for white space.
pub(crate) fn is_space(c: char) -> bool {
    c == '\u{feff}' || (c.is_whitespace() && c != '\u{85}')
}

/// JavaScript's `trim`.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `parseFloat`: the decimal number at the beginning of the text.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_start_matches(is_space);
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    if bytes[sign..].starts_with(b"Infinity") {
        return Some(if bytes[0] == b'-' {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        });
    }
    let whole = digits(sign);
    let mut end = sign + whole;
    let mut any = whole > 0;
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if any || fraction > 0 {
            end += 1 + fraction;
        }
        any |= fraction > 0;
    }
    if !any {
        return None;
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let exponent = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let count = bytes.get(exponent..).map_or(0, |_| digits(exponent));
        if count > 0 {
            end = exponent + count;
        }
    }
    text[..end].parse().ok()
}

/// `parseInt`: the integer at the beginning of the text, hexadecimal after `0x`.
pub(crate) fn parse_int(text: &str) -> Option<f64> {
    let text = text.trim_start_matches(is_space);
    let (negative, text) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let value = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => radix(hex.chars().map_while(|c| c.to_digit(16)), 16.0)?,
        None => {
            let end = text
                .bytes()
                .position(|b| !b.is_ascii_digit())
                .unwrap_or(text.len());
            text[..end].parse().ok()?
        }
    };
    Some(if negative { -value } else { value })
}

// Beyond 2^53 the last bit may differ from an engine that rounds once; only the comparison with 1 and
// quotas of more than 9 PB could see it.
fn radix(digits: impl Iterator<Item = u32>, base: f64) -> Option<f64> {
    digits.fold(None, |sum, digit| {
        Some(sum.unwrap_or(0.0) * base + f64::from(digit))
    })
}

/// `String(value)`.
pub(crate) fn to_string(value: &Json) -> Cow<'_, JsString> {
    match value {
        Json::String(string) => Cow::Borrowed(string),
        Json::Null => Cow::Owned("null".into()),
        Json::Bool(flag) => Cow::Owned(if *flag { "true" } else { "false" }.into()),
        Json::Number(number) => Cow::Owned(number_string(*number).into()),
        Json::Map(_) => Cow::Owned("[object Object]".into()),
        Json::List(list) => {
            let mut units = Vec::new();
            for (i, element) in list.iter().enumerate() {
                if i > 0 {
                    units.push(u16::from(b','));
                }
                if !element.is_null() {
                    units.extend(to_string(element).units());
                }
            }
            Cow::Owned(JsString::from_units(&units))
        }
    }
}

/// `String(number)`.
pub(crate) fn number_string(number: f64) -> String {
    ryu_js::Buffer::new().format(number).to_owned()
}

/// `Number(value)`.
pub(crate) fn to_number(value: &Json) -> f64 {
    match value {
        Json::Null => 0.0,
        Json::Bool(flag) => f64::from(u8::from(*flag)),
        Json::Number(number) => *number,
        Json::Map(_) => f64::NAN,
        Json::String(_) | Json::List(_) => string_to_number(&to_string(value)),
    }
}

/// `Number(string)`: the whole string must be a number; the empty one is 0.
pub(crate) fn string_to_number(string: &JsString) -> f64 {
    let Some(text) = string.as_str() else {
        return f64::NAN;
    };
    let text = trim(text);
    let digits = |base: u32| {
        let values: Option<Vec<u32>> = text[2..].chars().map(|c| c.to_digit(base)).collect();
        values
            .and_then(|values| radix(values.into_iter(), f64::from(base)))
            .unwrap_or(f64::NAN)
    };
    match text.as_bytes() {
        [] => 0.0,
        [b'0', b'x' | b'X', ..] => digits(16),
        [b'0', b'o' | b'O', ..] => digits(8),
        [b'0', b'b' | b'B', ..] => digits(2),
        _ => match text.strip_prefix(['+', '-']).unwrap_or(text) {
            "Infinity" => parse_float(text).unwrap_or(f64::NAN),
            // Rust reads `inf`, `nan` and the like, JavaScript does not.
            rest if rest.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b)) => {
                text.parse().unwrap_or(f64::NAN)
            }
            _ => f64::NAN,
        },
    }
}

/// A value after `+` has looked at it: a number or a string.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Primitive {
    Number(f64),
    String(JsString),
}

impl Primitive {
    /// JavaScript's `ToPrimitive`, numbers for everything that is no string, list or map.
    pub(crate) fn of(value: &Json) -> Self {
        match value {
            Json::String(_) | Json::List(_) | Json::Map(_) => Self::String(to_string(value).into_owned()),
            scalar => Self::Number(to_number(scalar)),
        }
    }

    /// `Number(self)`.
    pub(crate) fn number(&self) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::String(string) => string_to_number(string),
        }
    }

    /// `self + other`: the sum of two numbers, else both texts joined.
    #[must_use]
    pub(crate) fn plus(&self, other: &Self) -> Self {
        if let (Self::Number(a), Self::Number(b)) = (self, other) {
            return Self::Number(a + b);
        }
        let mut units = self.units();
        units.extend(other.units());
        Self::String(JsString::from_units(&units))
    }

    fn units(&self) -> Vec<u16> {
        match self {
            Self::Number(number) => number_string(*number).encode_utf16().collect(),
            Self::String(string) => string.units(),
        }
    }
}

/// `Math.max(a, b)`: `NaN` if either is.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// `Math.min(a, b)`: `NaN` if either is.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}

/// `Math.round(x)`: halves upwards.
pub(crate) fn round(x: f64) -> f64 {
    let floor = x.floor();
    if x - floor >= 0.5 { floor + 1.0 } else { floor }
}

/// How CoCalc's quota code reads a number: 0 if missing or `null`, a number as it is, otherwise the number at
/// the beginning of its text, 0 if there is none.
pub(crate) fn num(value: Option<&Json>) -> f64 {
    match value {
        None | Some(Json::Null | Json::Bool(_) | Json::Map(_)) => 0.0,
        Some(Json::Number(number)) => *number,
        Some(other) => to_string(other).as_str().and_then(parse_float).unwrap_or(0.0),
    }
}

/// How CoCalc's quota code reads a flag: a boolean as it is, otherwise whether the integer at the beginning of
/// its text is at least 1. So 0.9 is false and `1e-7`, whose text begins with 1, is true.
pub(crate) fn flag(value: Option<&Json>) -> bool {
    match value {
        None | Some(Json::Null | Json::Map(_)) => false,
        Some(Json::Bool(flag)) => *flag,
        Some(Json::Number(number)) => {
            *number >= 1.0 && number.is_finite() || (*number > 0.0 && *number < 1e-6)
        }
        Some(other) => to_string(other)
            .as_str()
            .and_then(parse_int)
            .is_some_and(|int| int >= 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    #[test]
    fn parse_float_reads_the_number_at_the_beginning() {
        for (text, expected) in [
            ("2500.9", Some(2500.9)),
            ("  7200x", Some(7200.0)),
            ("2e3", Some(2000.0)),
            ("2e", Some(2.0)),
            ("2e+", Some(2.0)),
            ("-.5e-1", Some(-0.05)),
            ("5.", Some(5.0)),
            (".", None),
            ("-", None),
            ("", None),
            ("e5", None),
            ("0x10", Some(0.0)),
            ("-Infinityx", Some(f64::NEG_INFINITY)),
            ("inf", None),
            ("1e999", Some(f64::INFINITY)),
            ("\u{feff}1", Some(1.0)),
            ("\u{85}1", None),
        ] {
            assert_eq!(parse_float(text), expected, "{text:?}");
        }
    }

    #[test]
    fn parse_int_stops_at_what_is_no_digit_and_knows_hexadecimal() {
        for (text, expected) in [
            ("2e3", Some(2.0)),
            ("0x1f", Some(31.0)),
            ("-0X2", Some(-2.0)),
            ("0x", None),
            ("+7.9", Some(7.0)),
            ("yes", None),
            ("", None),
        ] {
            assert_eq!(parse_int(text), expected, "{text:?}");
        }
    }

    #[test]
    fn number_reads_whole_texts_only() {
        for (json, expected) in [
            (r#""""#, 0.0),
            (r#"" 4 ""#, 4.0),
            (r#""0x1F""#, 31.0),
            (r#""0b11""#, 3.0),
            (r#"[4]"#, 4.0),
            (r#"[]"#, 0.0),
            ("true", 1.0),
            ("null", 0.0),
            (r#""-Infinity""#, f64::NEG_INFINITY),
            (r#""5.""#, 5.0),
        ] {
            assert_eq!(to_number(&parse(json).unwrap()), expected, "{json}");
        }
        for json in [
            r#""4x""#,
            r#""inf""#,
            r#""0x""#,
            "{}",
            "[1,2]",
            r#""+-4""#,
            r#""nan""#,
            r#""-0x1""#,
        ] {
            assert!(to_number(&parse(json).unwrap()).is_nan(), "{json}");
        }
    }

    #[test]
    fn flags_and_numbers_are_read_as_cocalc_does() {
        for (json, expected) in [
            ("0.9", false),
            ("2", true),
            (r#""1""#, true),
            (r#""yes""#, false),
            (r#""true""#, false),
            ("1e-7", true),
            ("-1e21", false),
            ("1e400", false),
            (r#""0x1""#, true),
            ("[1]", true),
        ] {
            assert_eq!(flag(Some(&parse(json).unwrap())), expected, "{json}");
        }
        for (json, expected) in [
            ("null", 0.0),
            ("true", 0.0),
            (r#""2500x""#, 2500.0),
            (r#"["7"]"#, 7.0),
        ] {
            assert_eq!(num(Some(&parse(json).unwrap())), expected, "{json}");
        }
    }

    #[test]
    fn plus_joins_texts_and_adds_numbers() {
        let plus =
            |a: &str, b: &str| Primitive::of(&parse(a).unwrap()).plus(&Primitive::of(&parse(b).unwrap()));
        assert_eq!(plus(r#""4""#, "0"), Primitive::String("40".into()));
        assert_eq!(plus("true", "0.5"), Primitive::Number(1.5));
        assert_eq!(plus("0", "[4]"), Primitive::String("04".into()));
        assert_eq!(plus("0", "{}").number().to_string(), "NaN");
    }

    #[test]
    fn rounding_takes_halves_upwards() {
        assert_eq!(round(2.5), 3.0);
        assert_eq!(round(-2.5), -2.0);
        assert_eq!(round(0.499_999_999_999_999_94), 0.0);
        assert!(max(f64::NAN, 1.0).is_nan() && min(1.0, f64::NAN).is_nan());
    }
}
