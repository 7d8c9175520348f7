//! The two server settings that shape a quota, `default_quotas` and `max_upgrades`.
//!
//! CoCalc stores settings as text and reads these two with the npm library `jsonic` 1.x, which takes much
//! more than JSON: names and values without quotes, single quotes, no outer braces. Whatever it cannot read
//! counts as `{}` without a word. So an admin's typo can switch all defaults off, and `{mem:1000 /*x*/}` sets
//! `mem` to a text (which is ignored): to say what is in force, the reader here has the same leniency.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use super::coerce;
use crate::json::{JsString, Json, MAX_DEPTH, Map};

/// Server settings as the quota function takes them. Either may be anything that a setting can hold, a list
/// included; a missing row is the empty map.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteSettings {
    /// What every project gets: `internet` (bool), `idle_timeout` (s), `mem` (MB), `cpu` (cores), and the
    /// overcommit ratios `mem_oc` and `cpu_oc`.
    pub default_quotas: Json,
    /// The most that upgrades and licenses can give, in the upgrade format: `memory` (MB), `cores`,
    /// `cpu_shares` (1/1024 core), `mintime` (s), `network` (0/1), …
    pub max_upgrades: Json,
}

/// The rows of `server_settings` that anything here depends on.
pub const IN_FORCE: [&str; 3] = ["kucalc", "default_quotas", "max_upgrades"];

/// The settings that are in force, given the rows of `server_settings`; `None` if CoCalc ignores them because
/// `kucalc` is something else than `onprem`. Where there is no row `kucalc`, `onprem` is taken for granted.
pub fn site_settings(rows: Option<&BTreeMap<String, Json>>) -> Option<SiteSettings> {
    site_settings_with_default(rows, "onprem")
}

/// [`site_settings`] with another value of `kucalc` where no row has it. CoCalc's own default is `no`.
pub fn site_settings_with_default(
    rows: Option<&BTreeMap<String, Json>>,
    kucalc: &str,
) -> Option<SiteSettings> {
    let row = |name: &str| rows.and_then(|rows| rows.get(name));
    let kucalc = row("kucalc").map_or(Some(kucalc), Json::as_str);
    (kucalc == Some("onprem")).then(|| SiteSettings {
        default_quotas: setting_value(row("default_quotas")),
        max_upgrades: setting_value(row("max_upgrades")),
    })
}

/// The value of a setting that holds an object: text is read as jsonic does, maps and lists are taken as they
/// are, everything else is `{}`.
pub fn setting_value(stored: Option<&Json>) -> Json {
    match stored {
        Some(value @ (Json::Map(_) | Json::List(_))) => Some(value.clone()),
        Some(Json::String(text)) => text.as_str().and_then(jsonic),
        _ => None,
    }
    .unwrap_or_else(empty)
}

fn empty() -> Json {
    Json::Map(Map::new().into())
}

/// Reads a text as the npm package `jsonic` 1.0.1 does, except that a member called `__proto__`, which would
/// become the prototype of the object, is left out. `None` where jsonic throws, and where lists and maps are
/// nested deeper than [`MAX_DEPTH`].
pub fn jsonic(text: &str) -> Option<Json> {
    let text = coerce::trim(text);
    let braced;
    let text = if text.starts_with(['{', '[']) {
        text
    } else {
        braced = format!("{{{text}}}");
        &braced
    };
    let mut reader = Jsonic {
        text,
        at: 0,
        depth: 0,
        too_deep: false,
        seen: HashMap::new(),
        word: 0..0,
    };
    let value = reader.container();
    value.filter(|_| reader.at == text.len() && !reader.too_deep)
}

/// A parser of jsonic's grammar, which is one of ordered choices: where a map or list cannot be read to its
/// end, the text from its brace on is read again as a word. To do this in linear time, what was found at a
/// brace is remembered, and where the last word ended.
struct Jsonic<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    too_deep: bool,
    seen: HashMap<usize, Option<(Json, usize)>>,
    /// The last stretch of text without a bracket or comma.
    word: Range<usize>,
}

// Every rule returns `None` with `at` unchanged where it does not match.
impl<'a> Jsonic<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !accept(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn space(&mut self) {
        self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
    }

    fn container(&mut self) -> Option<Json> {
        let start = self.at;
        if let Some(seen) = self.seen.get(&start) {
            let (value, end) = seen.clone()?;
            self.at = end;
            return Some(value);
        }
        if self.depth == MAX_DEPTH {
            self.too_deep = true;
        }
        if self.too_deep {
            return None;
        }
        self.depth += 1;
        let value = if self.take("{") {
            self.members()
        } else if self.take("[") {
            self.elements()
        } else {
            None
        };
        self.depth -= 1;
        let found = value.map(|value| (value, self.at));
        if found.is_none() {
            self.at = start;
        }
        self.seen.insert(start, found.clone());
        found.map(|(value, _)| value)
    }

    fn members(&mut self) -> Option<Json> {
        self.space();
        let mut members = Map::new();
        let mut add = |(name, value): (JsString, Json)| {
            if name != "__proto__" {
                members.insert(name, value);
            }
        };
        self.take(",");
        if let Some(pair) = self.pair() {
            add(pair);
        }
        while let Some(pair) = self.after_comma(Self::pair) {
            add(pair);
        }
        self.close("}").then(|| Json::Map(members.into()))
    }

    fn elements(&mut self) -> Option<Json> {
        self.space();
        let mut elements = Vec::new();
        self.take(",");
        elements.extend(self.value());
        while let Some(element) = self.after_comma(Self::value) {
            elements.push(element);
        }
        self.close("]").then(|| Json::list(elements))
    }

    fn after_comma<T>(&mut self, rule: impl Fn(&mut Self) -> Option<T>) -> Option<T> {
        let start = self.at;
        let found = if self.take(",") {
            self.space();
            rule(self)
        } else {
            None
        };
        if found.is_none() {
            self.at = start;
        }
        found
    }

    fn close(&mut self, bracket: &str) -> bool {
        self.take(",");
        self.space();
        let closed = self.take(bracket);
        self.space();
        closed
    }

    fn pair(&mut self) -> Option<(JsString, Json)> {
        let start = self.at;
        let pair = self.name().and_then(|name| {
            self.space();
            if !self.take(":") {
                return None;
            }
            self.space();
            Some((name, self.value()?))
        });
        if pair.is_none() {
            self.at = start;
        }
        pair
    }

    fn name(&mut self) -> Option<JsString> {
        self.quoted('"').or_else(|| self.quoted('\'')).or_else(|| {
            let word = self.take_while(|c| c.is_ascii_alphanumeric() || "_$-".contains(c));
            (!word.is_empty()).then(|| word.into())
        })
    }

    fn value(&mut self) -> Option<Json> {
        if let Some(string) = self.quoted('"').or_else(|| self.quoted('\'')) {
            return Some(Json::String(string));
        }
        if self.rest().starts_with(['{', '['])
            && let Some(container) = self.container()
        {
            return Some(container);
        }
        if self.too_deep {
            return None;
        }
        for (word, value) in [
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("null", Json::Null),
        ] {
            if self.take(word) {
                self.space();
                return Some(value);
            }
        }
        self.number().or_else(|| {
            let word = self.word();
            (!word.is_empty()).then(|| Json::string(coerce::trim(word)))
        })
    }

    /// What an unquoted text runs to.
    fn word(&mut self) -> &'a str {
        let start = self.at;
        if !self.word.contains(&start) {
            self.take_while(|c| !matches!(c, ',' | '}' | ']'));
            self.word = start..self.at;
        }
        self.at = self.word.end;
        &self.text[start..self.at]
    }

    /// A number; with anything else after it, white space aside, a text without that white space.
    fn number(&mut self) -> Option<Json> {
        let bytes = self.rest().as_bytes();
        let digits = |from: usize| {
            bytes
                .get(from..)
                .map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit()).count())
        };
        let sign = usize::from(bytes.first() == Some(&b'-'));
        let mut end = match bytes.get(sign) {
            Some(b'0') => sign + 1,
            Some(b'1'..=b'9') => sign + digits(sign),
            _ => return None,
        };
        if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
        }
        if let Some(b'e' | b'E') = bytes.get(end) {
            let exponent = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if digits(exponent) > 0 {
                end = exponent + digits(exponent);
            }
        }
        let number = &self.rest()[..end];
        self.at += end;
        self.space();
        let suffix = self.word();
        Some(if suffix.is_empty() {
            Json::Number(number.parse().ok()?)
        } else {
            Json::string(coerce::trim(&format!("{number}{suffix}")))
        })
    }

    fn quoted(&mut self, quote: char) -> Option<JsString> {
        let start = self.at;
        let string = self.quoted_units(quote);
        if string.is_none() {
            self.at = start;
        }
        string.map(|units| JsString::from_units(&units))
    }

    fn quoted_units(&mut self, quote: char) -> Option<Vec<u16>> {
        let mut units = Vec::new();
        let mut chars = self.rest().char_indices();
        if chars.next()?.1 != quote {
            return None;
        }
        while let Some((offset, c)) = chars.next() {
            match c {
                _ if c == quote => {
                    self.at += offset + 1;
                    self.space();
                    return Some(units);
                }
                '\\' => units.push(match chars.next()?.1 {
                    'b' => 8,
                    'f' => 12,
                    'n' => 10,
                    'r' => 13,
                    't' => 9,
                    'u' => {
                        let mut unit = 0;
                        for _ in 0..4 {
                            unit = unit * 16 + chars.next()?.1.to_digit(16)?;
                        }
                        u16::try_from(unit).ok()?
                    }
                    '\\' => 92,
                    '/' => 47,
                    escaped if escaped == quote => u16::try_from(u32::from(quote)).ok()?,
                    _ => return None,
                }),
                '\0'..='\x1f' => return None,
                _ => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows<const N: usize>(rows: [(&str, &str); N]) -> BTreeMap<String, Json> {
        rows.map(|(name, value)| (name.to_owned(), Json::string(value)))
            .into()
    }

    #[test]
    fn without_a_row_kucalc_the_installation_is_onprem() {
        let rows = rows([("max_upgrades", "memory: 4000")]);
        let settings = site_settings(Some(&rows)).unwrap();
        assert_eq!(settings.max_upgrades.stringify(), r#"{"memory":4000}"#);
        assert_eq!(settings.default_quotas.stringify(), "{}");
        assert_eq!(site_settings_with_default(Some(&rows), "no"), None);
    }

    #[test]
    fn another_kucalc_switches_both_settings_off() {
        for kucalc in ["yes", "no", ""] {
            assert_eq!(
                site_settings(Some(&rows([("kucalc", kucalc)]))),
                None,
                "{kucalc:?}"
            );
        }
        assert!(site_settings(Some(&rows([("kucalc", "onprem")]))).is_some());
    }

    #[test]
    fn values_may_be_plain_instead_of_text() {
        let plain = Json::map([("mem", Json::Number(5.0))]);
        assert_eq!(setting_value(Some(&plain)), plain);
        assert_eq!(setting_value(Some(&Json::Number(5.0))), empty());
        assert_eq!(setting_value(Some(&Json::Null)), empty());
    }

    #[test]
    fn unclosed_braces_cost_neither_time_nor_stack() {
        assert_eq!(jsonic(&"{a:".repeat(100_000)), None);
        assert_eq!(jsonic(&"[".repeat(1_000_000)), None);
        let nested = |n: usize| format!("{}{}", "{a:1,b:".repeat(n), "}".repeat(n - 1));
        assert_eq!(jsonic(&nested(400)), None);
    }
}
