//! The one reader of JSON text, with the rules of `JSON.parse`.

use std::{ops::Range, sync::Arc};

use serde_json::Value;

use super::{JsString, Json, Map};

/// How deep lists and maps may be nested in a text. `JSON.parse` has no limit of its own; a Pod is about ten
/// deep, and every walk in this crate may recurse as deep as this.
pub const MAX_DEPTH: usize = 500;

/// Why a text is no JSON. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at line {line} column {column}")]
pub struct Error {
    /// What is wrong, lower case, without the place.
    pub message: String,
    /// The line of the first character that is wrong.
    pub line: usize,
    /// The column of the first character that is wrong.
    pub column: usize,
    /// Its offset in bytes.
    pub offset: usize,
    /// Whether the text is refused only for this reader's own limit on depth: `JSON.parse` would take it.
    pub too_deep: bool,
}

/// What `JSON.parse` takes without a word and a reader may want to hear of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Members whose name stands twice in the same object; the last one is the one that counts.
    pub duplicates: Vec<Duplicate>,
}

/// A member whose name stands twice in the same object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The name.
    pub name: String,
    /// Where it stands again, in bytes.
    pub offset: usize,
}

/// A string as it is read: nothing is copied that has no escape.
#[derive(Clone, Debug)]
pub enum Text<'t> {
    /// As it stands in the text.
    Plain(&'t str),
    /// Without its escapes.
    Decoded(JsString),
}

impl Text<'_> {
    /// The string; `None` if it holds half of a surrogate pair.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Plain(text) => Some(text),
            Self::Decoded(text) => text.as_str(),
        }
    }
}

impl From<Text<'_>> for JsString {
    fn from(text: Text<'_>) -> Self {
        match text {
            Text::Plain(text) => text.into(),
            Text::Decoded(text) => text,
        }
    }
}

/// What the reader makes of a text. [`Json`] is one answer; a document with provenance is another.
pub trait Build {
    /// A finished value.
    type Value;
    /// The members of an object that is being read.
    type Members: Default;

    /// A scalar and where its text stands.
    fn scalar(&mut self, value: Json, span: Range<usize>) -> Self::Value;
    /// A string and where its text stands, quotes included.
    fn string(&mut self, text: Text<'_>, span: Range<usize>) -> Self::Value {
        self.scalar(Json::String(text.into()), span)
    }
    /// A list, from its bracket to its bracket.
    fn list(&mut self, elements: Vec<Self::Value>, span: Range<usize>) -> Self::Value;
    /// A member. Returns whether the name was there already; then this value takes the old one's place.
    fn member(
        &mut self,
        members: &mut Self::Members,
        name: Text<'_>,
        name_span: Range<usize>,
        value: Self::Value,
    ) -> bool;
    /// A map, from its brace to its brace.
    fn map(&mut self, members: Self::Members, span: Range<usize>) -> Self::Value;
}

struct Plain;

impl Build for Plain {
    type Value = Json;
    type Members = Map;

    fn scalar(&mut self, value: Json, _: Range<usize>) -> Json {
        value
    }
    fn list(&mut self, elements: Vec<Json>, _: Range<usize>) -> Json {
        Json::list(elements)
    }
    fn member(&mut self, members: &mut Map, name: Text<'_>, _: Range<usize>, value: Json) -> bool {
        members.insert(name.into(), value).is_some()
    }
    fn map(&mut self, members: Map, _: Range<usize>) -> Json {
        Json::Map(Arc::new(members))
    }
}

/// Reads a text as `JSON.parse` does.
///
/// # Errors
/// Where `JSON.parse` would throw, and where the text is nested deeper than [`MAX_DEPTH`].
pub fn parse(text: &str) -> Result<Json, Error> {
    parse_with_notes(text).map(|(json, _)| json)
}

/// [`parse`], and what it passed over in silence.
///
/// # Errors
/// As [`parse`].
pub fn parse_with_notes(text: &str) -> Result<(Json, Notes), Error> {
    read(text, &mut Plain)
}

/// [`parse_with_notes`] and [`Json::to_value`] in one; `None` where the latter has none.
///
/// # Errors
/// As [`parse`].
pub fn parse_to_value(text: &str) -> Result<(Option<Value>, Notes), Error> {
    /// Whether all strings so far are well-formed.
    struct Values(bool);
    impl Values {
        fn text(&mut self, text: &Text<'_>) -> String {
            self.0 &= text.as_str().is_some();
            text.as_str().unwrap_or_default().to_owned()
        }
    }
    impl Build for Values {
        type Value = Value;
        type Members = serde_json::Map<String, Value>;
        fn scalar(&mut self, value: Json, _: Range<usize>) -> Value {
            match value {
                Json::Bool(b) => Value::Bool(b),
                Json::Number(n) => super::value_from_f64(n),
                // A string is no scalar here.
                Json::Null | Json::String(_) | Json::List(_) | Json::Map(_) => Value::Null,
            }
        }
        fn string(&mut self, text: Text<'_>, _: Range<usize>) -> Value {
            Value::String(self.text(&text))
        }
        fn list(&mut self, elements: Vec<Value>, _: Range<usize>) -> Value {
            Value::Array(elements)
        }
        fn member(
            &mut self,
            members: &mut Self::Members,
            name: Text<'_>,
            _: Range<usize>,
            value: Value,
        ) -> bool {
            members.insert(self.text(&name), value).is_some()
        }
        fn map(&mut self, members: Self::Members, _: Range<usize>) -> Value {
            Value::Object(members)
        }
    }
    let mut values = Values(true);
    let (value, notes) = read(text, &mut values)?;
    Ok((values.0.then_some(value), notes))
}

/// Reads a text into whatever `build` makes of it.
///
/// # Errors
/// As [`parse`].
pub fn read<B: Build>(text: &str, build: &mut B) -> Result<(B::Value, Notes), Error> {
    let mut reader = Reader {
        text,
        bytes: text.as_bytes(),
        at: 0,
        depth: 0,
        notes: Notes::default(),
    };
    reader.space();
    let value = reader.value(build)?;
    reader.space();
    if reader.at < reader.bytes.len() {
        return Err(reader.unexpected("after the end of the value"));
    }
    Ok((value, reader.notes))
}

/// Where the elements of a text's outermost list start: lines and columns, both from 1. Empty if the text is no
/// list.
pub fn element_places(text: &str) -> Vec<(usize, usize)> {
    struct Starts;
    impl Build for Starts {
        /// Where the value starts, and where its elements do.
        type Value = (usize, Vec<usize>);
        type Members = ();
        fn scalar(&mut self, _: Json, span: Range<usize>) -> Self::Value {
            (span.start, Vec::new())
        }
        fn list(&mut self, elements: Vec<Self::Value>, span: Range<usize>) -> Self::Value {
            (span.start, elements.into_iter().map(|(start, _)| start).collect())
        }
        fn string(&mut self, _: Text<'_>, span: Range<usize>) -> Self::Value {
            (span.start, Vec::new())
        }
        fn member(&mut self, (): &mut (), _: Text<'_>, _: Range<usize>, _: Self::Value) -> bool {
            false
        }
        fn map(&mut self, (): (), span: Range<usize>) -> Self::Value {
            (span.start, Vec::new())
        }
    }
    let Ok(((_, starts), _)) = read(text, &mut Starts) else {
        return Vec::new();
    };
    // Counted on from the element before: from the line's start it would be quadratic in a text of one line.
    let (mut line, mut column, mut done) = (1, 1, 0);
    let mut places = Vec::with_capacity(starts.len());
    for start in starts {
        let between = text.get(done..start).unwrap_or_default();
        match between.rsplit_once('\n') {
            Some((lines, rest)) => {
                line += 1 + lines.matches('\n').count();
                column = 1 + rest.chars().count();
            }
            None => column += between.chars().count(),
        }
        done = start;
        places.push((line, column));
    }
    places
}

/// The lines and columns of offsets that grow, all from 1.
pub fn places(text: &str, offsets: impl IntoIterator<Item = usize>) -> Vec<(usize, usize)> {
    let (mut line, mut column, mut done) = (1, 1, 0);
    let place = |offset: usize| {
        for c in text.get(done..offset).unwrap_or_default().chars() {
            (line, column) = if c == '\n' {
                (line + 1, 1)
            } else {
                (line, column + 1)
            };
        }
        done = done.max(offset);
        (line, column)
    };
    offsets.into_iter().map(place).collect()
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    notes: Notes,
}

impl<'a> Reader<'a> {
    fn error_at(&self, offset: usize, message: impl Into<String>) -> Error {
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Error {
            message: message.into(),
            line: before.bytes().filter(|b| *b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            offset,
            too_deep: false,
        }
    }

    fn unexpected(&self, place: &str) -> Error {
        let found = match self.text[self.at..].chars().next() {
            None => "unexpected end of the text".to_owned(),
            Some(c) => format!("unexpected character {c:?}"),
        };
        self.error_at(self.at, format!("{found} {place}"))
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn value<B: Build>(&mut self, build: &mut B) -> Result<B::Value, Error> {
        let start = self.at;
        let scalar = match self.bytes.get(self.at) {
            Some(b'{' | b'[') => return self.container(build),
            Some(b'"') => {
                let text = self.string()?;
                return Ok(build.string(text, start..self.at));
            }
            Some(b'-' | b'0'..=b'9') => Json::Number(self.number()?),
            Some(b't') if self.word("true") => Json::Bool(true),
            Some(b'f') if self.word("false") => Json::Bool(false),
            Some(b'n') if self.word("null") => Json::Null,
            _ => return Err(self.unexpected("where a value should stand")),
        };
        Ok(build.scalar(scalar, start..self.at))
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.bytes[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn container<B: Build>(&mut self, build: &mut B) -> Result<B::Value, Error> {
        if self.depth == MAX_DEPTH {
            let message = format!("lists and maps are nested deeper than {MAX_DEPTH} levels");
            return Err(Error {
                too_deep: true,
                ..self.error_at(self.at, message)
            });
        }
        self.depth += 1;
        let value = if self.bytes[self.at] == b'{' {
            self.map(build)
        } else {
            self.list(build)
        };
        self.depth -= 1;
        value
    }

    fn list<B: Build>(&mut self, build: &mut B) -> Result<B::Value, Error> {
        let start = self.at;
        self.at += 1;
        self.space();
        let mut elements = Vec::new();
        if !self.take(b']') {
            loop {
                self.space();
                elements.push(self.value(build)?);
                self.space();
                if self.take(b']') {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.unexpected("where ',' or ']' should stand"));
                }
            }
        }
        Ok(build.list(elements, start..self.at))
    }

    fn map<B: Build>(&mut self, build: &mut B) -> Result<B::Value, Error> {
        let start = self.at;
        self.at += 1;
        self.space();
        let mut members = B::Members::default();
        if !self.take(b'}') {
            loop {
                self.space();
                if self.bytes.get(self.at) != Some(&b'"') {
                    return Err(self.unexpected("where the name of a member in double quotes should stand"));
                }
                let name_start = self.at;
                let name = self.string()?;
                let name_span = name_start..self.at;
                self.space();
                if !self.take(b':') {
                    return Err(self.unexpected("where ':' should stand"));
                }
                self.space();
                let value = self.value(build)?;
                if build.member(&mut members, name.clone(), name_span, value) {
                    self.notes.duplicates.push(Duplicate {
                        name: JsString::from(name).to_string_lossy(),
                        offset: name_start,
                    });
                }
                self.space();
                if self.take(b'}') {
                    break;
                }
                if !self.take(b',') {
                    return Err(self.unexpected("where ',' or '}' should stand"));
                }
            }
        }
        Ok(build.map(members, start..self.at))
    }

    fn number(&mut self) -> Result<f64, Error> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') && self.digits() == 0 {
            return Err(self.unexpected("in a number"));
        }
        if self.take(b'.') && self.digits() == 0 {
            return Err(self.unexpected("in the fraction of a number"));
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.unexpected("in the exponent of a number"));
            }
        }
        self.text[start..self.at]
            .parse()
            .map_err(|_| self.error_at(start, "unreadable number"))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.at - start
    }

    fn string(&mut self) -> Result<Text<'a>, Error> {
        let start = self.at;
        self.at += 1;
        let mut run = self.at;
        // Only a string with an escape needs a buffer.
        let mut decoded: Option<Decoded> = None;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    let text: &'a str = self.text;
                    let tail = &text[run..self.at];
                    self.at += 1;
                    return Ok(match decoded {
                        None => Text::Plain(tail),
                        Some(mut decoded) => {
                            decoded.push_str(tail);
                            Text::Decoded(decoded.finish())
                        }
                    });
                }
                Some(b'\\') => {
                    let decoded = decoded.get_or_insert_default();
                    decoded.push_str(&self.text[run..self.at]);
                    self.at += 1;
                    self.escape(decoded)?;
                    run = self.at;
                }
                Some(0..=0x1f) => return Err(self.unexpected("in a string; it must be written as an escape")),
                Some(_) => self.at += 1,
                None => return Err(self.error_at(start, "a string that has no end")),
            }
        }
    }

    fn escape(&mut self, decoded: &mut Decoded) -> Result<(), Error> {
        let simple = match self.bytes.get(self.at) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 1..self.at + 5);
                let unit = digits
                    .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
                    .and_then(|digits| std::str::from_utf8(digits).ok())
                    .and_then(|digits| u16::from_str_radix(digits, 16).ok())
                    .ok_or_else(|| self.error_at(self.at - 1, "an escape \\u without four hex digits"))?;
                self.at += 5;
                decoded.push_unit(unit);
                return Ok(());
            }
            _ => return Err(self.unexpected("after '\\' in a string")),
        };
        self.at += 1;
        decoded.push(simple);
        Ok(())
    }
}

/// A string with escapes while it is put together: UTF-8 until a surrogate comes, UTF-16 from there on.
#[derive(Default)]
struct Decoded {
    text: String,
    units: Option<Vec<u16>>,
}

impl Decoded {
    fn push_str(&mut self, text: &str) {
        match &mut self.units {
            Some(units) => units.extend(text.encode_utf16()),
            None => self.text.push_str(text),
        }
    }

    fn push(&mut self, c: char) {
        self.push_str(c.encode_utf8(&mut [0; 4]));
    }

    fn push_unit(&mut self, unit: u16) {
        match (char::from_u32(u32::from(unit)), &mut self.units) {
            (Some(c), None) => self.text.push(c),
            (_, Some(units)) => units.push(unit),
            (None, None) => {
                let mut units: Vec<u16> = self.text.encode_utf16().collect();
                units.push(unit);
                self.units = Some(units);
            }
        }
    }

    fn finish(self) -> JsString {
        match self.units {
            Some(units) => JsString::from_units(&units),
            None => JsString::from(self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_strings_and_order_are_javascripts() {
        for (text, printed) in [
            ("30.0", "30"),
            ("1e3", "1000"),
            ("-0", "0"),
            ("9007199254740993", "9007199254740992"),
            ("1e400", "null"),
            ("1e21", "1e+21"),
            ("123456789012345680000", "123456789012345680000"),
            (r#""\ud83d\ude00\u0041""#, "\"😀A\""),
            (r#""a\ud800""#, r#""a\ud800""#),
            (r#""\/\b\u001f""#, r#""/\b\u001f""#),
            (
                r#"{"b":1,"10":2,"a":1,"2":3,"01":4,"b":5}"#,
                r#"{"2":3,"10":2,"b":5,"a":1,"01":4}"#,
            ),
            (" [ 1 , [ ] , { } ] ", "[1,[],{}]"),
        ] {
            assert_eq!(parse(text).unwrap().stringify(), printed, "{text}");
        }
    }

    #[test]
    fn what_json_parse_refuses_is_refused_with_its_place() {
        for (text, line, column) in [
            ("", 1, 1),
            ("[1,]", 1, 4),
            ("{a:1}", 1, 2),
            ("{\"a\":1,}", 1, 8),
            ("01", 1, 2),
            ("+1", 1, 1),
            (".5", 1, 1),
            ("1.", 1, 3),
            ("\n\n  'x'", 3, 3),
            ("\"é\ttab\"", 1, 3),
            ("\"open", 1, 1),
            ("nul", 1, 1),
            ("1 2", 1, 3),
            ("\"\\u12g4\"", 1, 2),
            ("\u{feff}1", 1, 1),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
            assert!(!error.too_deep);
        }
    }

    #[test]
    fn depth_is_limited_and_says_so() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        assert!(parse(&nested(MAX_DEPTH + 1)).unwrap_err().too_deep);
        assert!(parse(&"[".repeat(1_000_000)).unwrap_err().too_deep);
    }

    #[test]
    fn elements_are_placed_by_line_and_character() {
        let text = "[{\"é\": 1}, 2,\n  [3],4\n,\n\n\"x\", null]";
        assert_eq!(
            element_places(text),
            [(1, 2), (1, 12), (2, 3), (2, 7), (5, 1), (5, 6)]
        );
        assert_eq!(element_places("{}"), []);
        assert_eq!(element_places("["), []);
    }

    #[test]
    fn a_value_is_read_without_a_tree_between_as_it_is_with_one() {
        for text in [
            r#"{"b":[1,2.5,1e400,-0,9007199254740993],"a":{"a":null,"":true},"b":"é"}"#,
            r#"["\ud83d\ude00", false, {}]"#,
            r#"{"a":"\ud800"}"#,
            r#"{"\ud800":1}"#,
        ] {
            let (value, notes) = parse_to_value(text).unwrap();
            let (json, with_tree) = parse_with_notes(text).unwrap();
            assert_eq!(value, json.to_value().ok(), "{text}");
            assert_eq!(notes, with_tree, "{text}");
        }
        assert_eq!(parse_to_value("[1,]"), Err(parse("[1,]").unwrap_err()));
    }

    #[test]
    fn places_are_counted_in_characters() {
        assert_eq!(
            places("é\nab", [0, 2, 3, 4, 5]),
            [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]
        );
    }

    #[test]
    fn a_name_that_stands_twice_is_noted() {
        let (_, notes) = parse_with_notes(r#"{"a":1,"b":{"a":2},"a":3}"#).unwrap();
        assert_eq!(
            notes.duplicates,
            [Duplicate {
                name: "a".into(),
                offset: 19
            }]
        );
    }
}
