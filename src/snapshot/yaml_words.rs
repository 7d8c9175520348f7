//! Unquoted YAML words that kubectl reads as another value than this crate.
//!
//! kubectl reads YAML 1.1 (sigs.k8s.io/yaml, a fork of go-yaml 2): `on` is true there, `017` is 15 and `1_000`
//! is 1000. In YAML 1.2 all of them are strings. A manifest means what kubectl makes of it, since manifests are written
//! for kubectl; elsewhere they are strings, and said to be read otherwise by kubectl.

use crate::json::Json;

/// What kubectl makes of this unquoted word, a boolean or a number, if YAML 1.2 reads a string.
pub(super) fn kubectl_reads(word: &str) -> Option<Json> {
    // go-yaml's table of words; `true` and `false` themselves are booleans here too.
    match word {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Some(Json::Bool(true)),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Some(Json::Bool(false)),
        _ => {}
    }
    if !word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') || word.len() > 64 {
        return None;
    }
    // go-yaml takes the underscores out wherever they stand, then asks Go's ParseInt with base 0.
    let plain: String = word.chars().filter(|c| *c != '_').collect();
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, &*lower)
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    if let Ok(number) = u64::from_str_radix(digits, base) {
        let number = number as f64;
        return Some(Json::Number(if sign.is_empty() { number } else { -number }));
    }
    let float = lower
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-'))
        .then(|| plain.parse::<f64>().ok())
        .flatten()?;
    Some(Json::Number(float))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_reads_booleans_octals_and_grouped_digits() {
        for (word, value) in [
            ("on", Some("true")),
            ("NO", Some("false")),
            ("017", Some("15")),
            ("-017", Some("-15")),
            ("08", Some("8")),
            ("1_000", Some("1000")),
            ("0x_1f", Some("31")),
            ("1_0.5", Some("10.5")),
            ("oN", None),
            ("yesterday", None),
            ("2023-01-20", None),
            ("1:30", None),
            ("20230110-1143", None),
            ("--1", None),
            ("-", None),
        ] {
            assert_eq!(
                kubectl_reads(word).map(|json| json.stringify()).as_deref(),
                value,
                "{word}"
            );
        }
    }
}
