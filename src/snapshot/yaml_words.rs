//! Unquoted YAML words that kubectl reads as another value than this crate.
//!
//! kubectl reads YAML 1.1 (sigs.k8s.io/yaml, a fork of go-yaml 2): `on` is true there, `017` is 15 and `1_000`
//! is 1000. Here all of them are strings, as YAML 1.2 has it for words. A template or patch that holds one
//! means different things in the two tools, and the difference shows only in the cluster.

/// What kubectl makes of this unquoted word, if that is no string and this crate reads a string.
pub(super) fn kubectl_reads(word: &str) -> Option<String> {
    // go-yaml's table of words; `true` and `false` themselves are booleans here too.
    match word {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Some("true".to_owned()),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Some("false".to_owned()),
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
        return Some(format!("{sign}{number}"));
    }
    let float = lower
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-'))
        .then(|| plain.parse::<f64>().ok())
        .flatten()?;
    Some(crate::json::number_text(float))
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
            assert_eq!(kubectl_reads(word).as_deref(), value, "{word}");
        }
    }
}
