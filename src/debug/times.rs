//! Times at the start of log lines.

use jiff::{Timestamp, civil::DateTime};

/// How far into a line a time is looked for: behind it stands the message.
const LOOKED_AT: usize = 160;

/// A time in a line and the bytes that it takes.
pub(super) struct Found {
    pub(super) time: Timestamp,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The time that a line starts with, or that stands near its start: RFC 3339, or `YYYY-MM-DD HH:MM:SS` with or
/// without a fraction. A time without a zone is taken as UTC, as containers have it.
pub(super) fn find(line: &str) -> Option<Found> {
    let mut end = line.len().min(LOOKED_AT);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    let near = line.get(..end)?;
    (0..near.len().saturating_sub(18)).find_map(|start| at(near, start))
}

/// The time in a member of a line that is a JSON object: RFC 3339 near its end, or seconds or milliseconds since 1970
/// under `time`, `ts` or `timestamp`.
pub(super) fn in_json_line(line: &str) -> Option<Timestamp> {
    if !line.starts_with('{') {
        return None;
    }
    let mut start = line.len().saturating_sub(LOOKED_AT);
    while !line.is_char_boundary(start) {
        start += 1;
    }
    let parts = [line.get(..line.len().min(LOOKED_AT)), line.get(start..)];
    parts.into_iter().flatten().find_map(|part| {
        let number = ["\"time\":", "\"ts\":", "\"timestamp\":"]
            .into_iter()
            .find_map(|name| {
                let (_, value) = part.split_once(name)?;
                since_1970(value.trim_start())
            });
        number.or_else(|| find(part).map(|found| found.time))
    })
}

/// Milliseconds, or seconds with or without a fraction.
fn since_1970(text: &str) -> Option<Timestamp> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (whole, rest) = text.split_at_checked(end)?;
    let number: i64 = whole.parse().ok()?;
    if whole.len() >= 12 {
        return Timestamp::from_millisecond(number).ok();
    }
    let fraction = rest.strip_prefix('.').unwrap_or_default();
    let digits: String = fraction
        .chars()
        .take_while(char::is_ascii_digit)
        .chain("000".chars())
        .take(3)
        .collect();
    Timestamp::from_millisecond(number.checked_mul(1000)?.checked_add(digits.parse().ok()?)?).ok()
}

/// The time at this offset.
pub(super) fn at(line: &str, start: usize) -> Option<Found> {
    let bytes = line.as_bytes();
    if start > 0 && bytes.get(start - 1).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    const SHAPE: &[u8] = b"dddd-dd-dd?dd:dd:dd";
    let matches = SHAPE.iter().enumerate().all(|(i, shape)| {
        bytes.get(start + i).is_some_and(|byte| match shape {
            b'd' => byte.is_ascii_digit(),
            b'?' => matches!(byte, b'T' | b't' | b' '),
            other => byte == other,
        })
    });
    if !matches {
        return None;
    }
    let mut end = start + SHAPE.len();
    let mut text = format!("{}T{}", line.get(start..start + 10)?, line.get(start + 11..end)?);
    if let Some(b'.' | b',') = bytes.get(end) {
        let digits = bytes
            .get(end + 1..)?
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        if digits > 0 {
            text.push('.');
            text.push_str(line.get(end + 1..end + 1 + digits.min(9))?);
            end += 1 + digits;
        }
    }
    let civil: DateTime = text.parse().ok()?;
    let utc = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    let zone = bytes.get(end..).unwrap_or_default();
    let (offset, length) = match zone {
        [b'Z' | b'z', ..] => (0, 1),
        [sign @ (b'+' | b'-'), a, b, b':', c, d, ..] if [a, b, c, d].iter().all(|x| x.is_ascii_digit()) => {
            let number = |tens: u8, ones: u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
            let seconds = number(*a, *b) * 3600 + number(*c, *d) * 60;
            (if *sign == b'+' { seconds } else { -seconds }, 6)
        }
        _ => (0, 0),
    };
    let time = utc.checked_sub(jiff::SignedDuration::from_secs(offset)).ok()?;
    Some(Found {
        time,
        start,
        end: end + length,
    })
}

/// The text without each RFC 3339 time that is followed by a blank: older kubelets put one between the pieces of a long
/// line that the container runtime had split.
pub(super) fn without(text: &str) -> Option<String> {
    let mut kept = String::new();
    let mut done = 0;
    for (i, _) in text.match_indices('-') {
        let Some(start) = i.checked_sub(4).filter(|start| *start >= done) else {
            continue;
        };
        if let Some(found) = at(text, start)
            && text.as_bytes().get(found.end) == Some(&b' ')
            && text.as_bytes().get(found.end - 1) == Some(&b'Z')
        {
            kept.push_str(text.get(done..start)?);
            done = found.end + 1;
        }
    }
    if done == 0 {
        return None;
    }
    kept.push_str(text.get(done..)?);
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_forms_that_loggers_write() {
        for (line, time) in [
            ("2026-11-24T12:00:00Z x", "2026-11-24T12:00:00Z"),
            (
                "2026-11-24T12:00:00.123456789Z x",
                "2026-11-24T12:00:00.123456789Z",
            ),
            ("2026-11-24T12:00:00+01:00 x", "2026-11-24T11:00:00Z"),
            ("2026-11-24 12:00:00,250 INFO", "2026-11-24T12:00:00.25Z"),
            ("[2026-11-24 12:00:00] x", "2026-11-24T12:00:00Z"),
            ("[pod/a/b] 2026-11-24T12:00:00Z x", "2026-11-24T12:00:00Z"),
        ] {
            let found = find(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(found.time, time.parse().unwrap(), "{line}");
        }
        for line in [
            "",
            "2026-13-24T12:00:00Z",
            "2026-11-24",
            "12026-11-24T12:00:00Z",
            "ünïcode 日本",
        ] {
            assert!(find(line).is_none(), "{line}");
        }
    }

    #[test]
    fn a_json_line_has_its_time_in_a_member() {
        for line in [
            "{\"level\":30,\"time\":1795435200250,\"msg\":\"x\"}",
            "{\"ts\":1795435200.25,\"msg\":\"x\"}",
            "{\"msg\":\"x\",\"timestamp\":\"2026-11-23T12:00:00.25Z\"}",
        ] {
            let time = in_json_line(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(time.to_string(), "2026-11-23T12:00:00.25Z", "{line}");
        }
        assert_eq!(in_json_line("time: 1"), None);
    }

    #[test]
    fn times_between_pieces_of_a_line_are_taken_out() {
        let text = "{\"a\":2026-11-24T12:00:00.5Z  1}";
        assert_eq!(without(text).as_deref(), Some("{\"a\": 1}"));
        assert_eq!(without("{\"a\": \"2026-11-24\"}"), None);
    }
}
