//! From the bytes of a log to the values behind CoCalc's three markers.
//!
//! What surrounds a marker on its line is not documented, so anything is taken: text before and after it, a value
//! on the marker's line, on the next one or over many, with the prefix of the first line repeated or not, a value
//! inside a string of a JSON line, or one as Python or Node print it. Bytes may come in any pieces and need not be
//! UTF-8. Of the log never more is held than one line and one value, each up to [`MAX_RECORD`].

use std::ops::Range;

use jiff::Timestamp;

use super::{loose, times};
use crate::{
    json::{self, Json},
    snapshot::is_uuid,
};

/// How many bytes a line or a value may have. A Pod cannot be larger than 1.5 MiB in etcd.
pub const MAX_RECORD: usize = 16 << 20;
/// How much of a line that is no record is kept.
const MAX_LINE: usize = 64 << 10;
/// How many strings inside one another are opened.
const MAX_NESTED: usize = 3;
/// How many markers are looked at on one line. Each may cost a pass over the rest of it.
const MAX_MARKERS: usize = 64;

/// What stands before a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Marker {
    /// `project_pod_before=`: the pod right before patching.
    Before,
    /// `patch=`: the patch set.
    Patch,
    /// `project_pod=`: the result.
    After,
}

impl Marker {
    /// The marker as it stands in the log.
    pub fn text(self) -> &'static str {
        match self {
            Self::Before => "project_pod_before=",
            Self::Patch => "patch=",
            Self::After => "project_pod=",
        }
    }
}

/// Where something stands in a log: line numbers, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first line.
    pub first: u64,
    /// The last line.
    pub last: u64,
}

/// A value behind a marker.
#[derive(Clone, Debug)]
pub struct Record {
    /// The marker.
    pub marker: Marker,
    /// The value.
    pub value: Json,
    /// Its lines.
    pub span: Span,
    /// The time on its first line.
    pub time: Option<Timestamp>,
    /// UUIDs on the marker's line before the marker, lower case.
    pub uuids: Vec<String>,
    /// What `kubectl logs --prefix` wrote before the line: pod and container, if it did.
    pub stream: Option<String>,
    /// How many bytes of text it had.
    pub size: usize,
    /// Whether bytes that are not UTF-8 were replaced.
    pub replaced: bool,
}

/// A marker without a readable value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The marker.
    pub marker: Marker,
    /// The lines that were taken for its value.
    pub span: Span,
    /// Why it cannot be read.
    pub why: String,
    /// UUIDs in what was read of it, lower case.
    pub uuids: Vec<String>,
}

/// A line without a marker that names a project or an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: u64,
    /// Its time.
    pub time: Option<Timestamp>,
    /// The line without its time, at most 64 KiB of it.
    pub text: String,
    /// UUIDs in it, lower case, each once.
    pub uuids: Vec<String>,
}

/// What a log holds.
#[derive(Clone, Debug)]
pub enum Item {
    /// A value behind a marker.
    Record(Box<Record>),
    /// A marker without a readable value.
    Unreadable(Unreadable),
    /// A line that may tell of an error.
    Line(Line),
}

/// Reads a log that comes in pieces.
///
/// ```
/// use kubectl_cocalc::debug::{Item, Reader};
///
/// let mut reader = Reader::default();
/// let mut items = Vec::new();
/// reader.feed(b"12:00 patch=[{\"op\":\"remove\",", &mut |item| items.push(item));
/// reader.feed(b"\"path\":\"/spec/x\"}]\n", &mut |item| items.push(item));
/// reader.finish(&mut |item| items.push(item));
/// assert!(matches!(&items[..], [Item::Record(record)] if record.value.as_list().is_some()));
/// ```
#[derive(Debug, Default)]
pub struct Reader {
    /// The line so far.
    line: Vec<u8>,
    /// Whether the line went on beyond the limit.
    overflow: bool,
    number: u64,
    bytes: u64,
    first_time: Option<Timestamp>,
    last_time: Option<Timestamp>,
    markers: u64,
    open: Option<Open>,
}

/// A value that is not complete.
#[derive(Debug)]
struct Open {
    marker: Marker,
    first: u64,
    time: Option<Timestamp>,
    uuids: Vec<String>,
    stream: Option<String>,
    replaced: bool,
    /// What stood before the marker: other lines may start with the same.
    prefix: String,
    raw: Variant,
    /// The same without the prefix, once a line had it.
    stripped: Option<Variant>,
    /// The lines behind the first, where each starts in `raw`.
    starts: Vec<usize>,
    /// When to look next whether what there is can still become a value.
    check_at: usize,
}

#[derive(Clone, Debug, Default)]
struct Variant {
    text: String,
    scanner: Scanner,
    failed: bool,
}

/// Finds the end of a value: where its outermost bracket closes outside of strings.
#[derive(Clone, Debug, Default)]
pub(super) struct Scanner {
    depth: usize,
    quote: Option<u8>,
    escape: bool,
}

impl Scanner {
    pub(super) fn push(&mut self, text: &str) -> Option<usize> {
        for (i, byte) in text.bytes().enumerate() {
            if let Some(quote) = self.quote {
                if self.escape {
                    self.escape = false;
                } else if byte == b'\\' {
                    self.escape = true;
                } else if byte == quote {
                    self.quote = None;
                }
                continue;
            }
            match byte {
                b'"' | b'\'' => self.quote = Some(byte),
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(i + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// What became of a line that was added to an open value.
enum Added {
    /// The value is complete; where it ends in the line.
    Complete(Json, usize),
    /// It goes on.
    GoesOn,
    /// It can be no value.
    Broken(String),
}

impl Reader {
    /// Takes the next piece of the log.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut dyn FnMut(Item)) {
        self.bytes += chunk.len() as u64;
        let mut rest = chunk;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            self.hold(rest.get(..at).unwrap_or_default());
            self.end_line(sink);
            rest = rest.get(at + 1..).unwrap_or_default();
        }
        self.hold(rest);
    }

    fn hold(&mut self, piece: &[u8]) {
        let room = MAX_RECORD.saturating_sub(self.line.len());
        self.line
            .extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        self.overflow |= piece.len() > room;
    }

    /// Takes the end of the log.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Item)) {
        if !self.line.is_empty() {
            self.end_line(sink);
        }
        if let Some(open) = self.open.take() {
            let why = "cut off: the log ends inside the value".to_owned();
            self.give_up(&open, &why, sink);
        }
    }

    /// How many lines were read.
    pub fn lines(&self) -> u64 {
        self.number
    }

    /// How many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many markers were met, readable or not.
    pub fn markers(&self) -> u64 {
        self.markers
    }

    /// The first and the last time that was met.
    pub fn times(&self) -> Option<(Timestamp, Timestamp)> {
        self.first_time.zip(self.last_time)
    }

    fn end_line(&mut self, sink: &mut dyn FnMut(Item)) {
        let bytes = std::mem::take(&mut self.line);
        let overflow = std::mem::take(&mut self.overflow);
        self.number += 1;
        let text = String::from_utf8_lossy(&bytes);
        let replaced = matches!(text, std::borrow::Cow::Owned(_));
        let text = text.strip_suffix('\r').unwrap_or(&text);
        let found = times::find(text);
        let time = found.as_ref().map(|found| found.time);
        let time = time.or_else(|| times::in_json_line(text));
        if let Some(time) = time {
            self.first_time = Some(self.first_time.map_or(time, |first| first.min(time)));
            self.last_time = Some(self.last_time.map_or(time, |last| last.max(time)));
        }
        // A second time is the service's own, behind the one that the server writes.
        let body = |found: Option<times::Found>| match found {
            Some(found) if found.start == 0 => {
                let rest = text.get(found.end..).unwrap_or_default();
                rest.strip_prefix(' ').unwrap_or(rest)
            }
            _ => text,
        };
        let context = Context {
            number: self.number,
            time,
            replaced,
            overflow,
            nested: 0,
        };
        self.body(body(found), &context, sink);
        if overflow && let Some(open) = self.open.take() {
            self.unreadable(&open, self.number, too_long(), sink);
        }
        // The next line needs the room again, but not that of the longest one.
        if bytes.capacity() <= 1 << 16 {
            self.line = bytes;
            self.line.clear();
        }
    }

    /// Looks at a line, or at what is left of it.
    fn body(&mut self, body: &str, context: &Context, sink: &mut dyn FnMut(Item)) {
        let Some(mut open) = self.open.take() else {
            self.fresh(body, context, sink);
            return;
        };
        open.replaced |= context.replaced;
        match open.add_line(body) {
            Added::Complete(value, end) => {
                self.record(open, value, context.number, sink);
                let rest = body.get(end..).unwrap_or_default();
                if find_marker(rest).is_some() {
                    self.fresh(rest, context, sink);
                }
            }
            _ if starts_a_value(body) => {
                let why = format!("cut off: another record starts on line {}", context.number);
                open.take_back();
                self.give_up(&open, &why, sink);
                self.fresh(body, context, sink);
            }
            Added::GoesOn => self.open = Some(open),
            Added::Broken(why) => self.give_up(&open, &why, sink),
        }
    }

    /// A line that belongs to no open value.
    fn fresh(&mut self, body: &str, context: &Context, sink: &mut dyn FnMut(Item)) {
        let mut rest = body;
        let mut met = false;
        for _ in 0..MAX_MARKERS {
            let Some((marker, range)) = find_marker(rest) else {
                break;
            };
            let prefix = rest.get(..range.start).unwrap_or_default();
            let value = rest.get(range.end..).unwrap_or_default();
            let open = || Open::new(marker, prefix, body, context);
            match self.value(&open, value, context, sink) {
                Next::NoValue if marker == Marker::Patch => rest = value,
                Next::NoValue => {
                    met = true;
                    self.markers += 1;
                    let why = "no value follows the marker".to_owned();
                    self.unreadable(&open(), context.number, why, sink);
                    rest = value;
                }
                Next::After(end) => {
                    met = true;
                    rest = value.get(end..).unwrap_or_default();
                }
                Next::Waits => return,
            }
        }
        if !met {
            self.plain(body, context, sink);
        }
    }

    /// The value at the start of `text`.
    fn value(
        &mut self,
        open: &dyn Fn() -> Open,
        text: &str,
        context: &Context,
        sink: &mut dyn FnMut(Item),
    ) -> Next {
        let blank = text.len() - text.trim_start().len();
        let start = text.trim_start();
        let mut first = start.chars();
        match first.next() {
            None if context.nested == 0 || !text.is_empty() => {
                self.markers += 1;
                self.open = Some(open());
                Next::Waits
            }
            Some('{' | '[') if is_escaped(start) => {
                self.markers += 1;
                match escaped_string(start) {
                    Some((inner, end)) if context.nested < MAX_NESTED => {
                        self.markers -= 1;
                        self.nested(&open(), &inner, context, sink);
                        Next::After(blank + end)
                    }
                    _ => {
                        let why = if context.overflow {
                            too_long()
                        } else {
                            "cut off: the string that holds the value has no end on its line".to_owned()
                        };
                        self.unreadable(&open(), context.number, why, sink);
                        Next::After(text.len())
                    }
                }
            }
            Some('{' | '[') => {
                self.markers += 1;
                let mut open = open();
                match open.add(start) {
                    Added::Complete(value, end) => {
                        self.record(open, value, context.number, sink);
                        Next::After(blank + end)
                    }
                    Added::GoesOn => {
                        self.open = Some(open);
                        Next::Waits
                    }
                    Added::Broken(why) => {
                        let why = if context.overflow { too_long() } else { why };
                        self.unreadable(&open, context.number, why, sink);
                        Next::After(text.len())
                    }
                }
            }
            Some(quote @ ('"' | '\'')) => {
                let Some((inner, rest)) = loose::string(first.as_str(), quote) else {
                    return Next::NoValue;
                };
                if !inner.trim_start().starts_with(['{', '[']) || context.nested == MAX_NESTED {
                    return Next::NoValue;
                }
                self.nested(&open(), &inner, context, sink);
                Next::After(text.len() - rest.len())
            }
            Some(_) => {
                let word = ["null", "None", "undefined"].into_iter().find(|word| {
                    start
                        .strip_prefix(word)
                        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
                });
                let Some(word) = word else {
                    return Next::NoValue;
                };
                self.markers += 1;
                self.record(open(), Json::Null, context.number, sink);
                Next::After(blank + word.len())
            }
            None => Next::NoValue,
        }
    }

    /// What a string inside a line holds: the value behind the marker, and maybe more.
    fn nested(&mut self, open: &Open, inner: &str, context: &Context, sink: &mut dyn FnMut(Item)) {
        let context = Context {
            nested: context.nested + 1,
            ..*context
        };
        // The line's own prefix goes along, with its UUIDs.
        let text = format!("{}{}{inner}", open.prefix, open.marker.text());
        for line in text.split('\n') {
            self.body(line, &context, sink);
        }
        if let Some(open) = self.open.take() {
            let why = "cut off: the string that holds the value ends inside it".to_owned();
            self.unreadable(&open, context.number, why, sink);
        }
    }

    fn plain(&mut self, body: &str, context: &Context, sink: &mut dyn FnMut(Item)) {
        let mut end = body.len().min(MAX_LINE);
        while !body.is_char_boundary(end) {
            end -= 1;
        }
        let text = body.get(..end).unwrap_or_default();
        let uuids = uuids(text);
        if uuids.is_empty() && !names_an_error(text) {
            return;
        }
        sink(Item::Line(Line {
            number: context.number,
            time: context.time,
            text: text.trim_end().to_owned(),
            uuids,
        }));
    }

    fn record(&mut self, open: Open, value: Json, last: u64, sink: &mut dyn FnMut(Item)) {
        sink(Item::Record(Box::new(Record {
            marker: open.marker,
            value,
            span: Span {
                first: open.first,
                last,
            },
            time: open.time,
            size: open.raw.text.len(),
            uuids: open.uuids,
            stream: open.stream,
            replaced: open.replaced,
        })));
    }

    fn unreadable(&mut self, open: &Open, last: u64, why: String, sink: &mut dyn FnMut(Item)) {
        let mut names = open.uuids.clone();
        names.extend(uuids(&open.raw.text));
        names.dedup();
        sink(Item::Unreadable(Unreadable {
            marker: open.marker,
            span: Span {
                first: open.first,
                last,
            },
            why,
            uuids: names,
        }));
    }

    /// Says that a value cannot be read, and looks again at the lines behind its end: they are the log's own.
    fn give_up(&mut self, open: &Open, why: &str, sink: &mut dyn FnMut(Item)) {
        let best = open.stripped.as_ref().unwrap_or(&open.raw);
        let good = match json::parse(&best.text) {
            Err(error) if !is_incomplete(&error, &best.text) => error.line - 1,
            _ => open.starts.len() + 1,
        };
        self.unreadable(
            open,
            open.first + good.saturating_sub(1) as u64,
            why.to_owned(),
            sink,
        );
        for (i, start) in open.starts.iter().enumerate().skip(good.max(1) - 1) {
            let end = open.starts.get(i + 1).copied().unwrap_or(open.raw.text.len());
            let line = open.raw.text.get(*start..end).unwrap_or_default();
            let context = Context {
                number: open.first + 1 + i as u64,
                time: times::find(line).map(|found| found.time).or(open.time),
                replaced: open.replaced,
                overflow: false,
                nested: 0,
            };
            self.plain(line.trim_end_matches('\n'), &context, sink);
        }
    }
}

/// Where a line stands.
struct Context {
    number: u64,
    time: Option<Timestamp>,
    replaced: bool,
    /// Whether the line went on beyond the limit.
    overflow: bool,
    /// How many strings around it were opened.
    nested: usize,
}

/// What to do behind a marker.
enum Next {
    /// There is no value.
    NoValue,
    /// Go on there.
    After(usize),
    /// The value goes on in the next line.
    Waits,
}

impl Open {
    fn new(marker: Marker, prefix: &str, body: &str, context: &Context) -> Self {
        let before = body.find(marker.text()).and_then(|end| body.get(..end));
        Self {
            marker,
            first: context.number,
            time: context.time,
            uuids: uuids(before.unwrap_or(prefix)),
            stream: body
                .strip_prefix("[pod/")
                .and_then(|rest| Some(rest.split_once(']')?.0.to_owned())),
            replaced: context.replaced,
            prefix: prefix.to_owned(),
            raw: Variant::default(),
            stripped: None,
            starts: Vec::new(),
            check_at: 2,
        }
    }

    /// Adds another line.
    fn add_line(&mut self, line: &str) -> Added {
        for variant in [Some(&mut self.raw), self.stripped.as_mut()]
            .into_iter()
            .flatten()
        {
            variant.text.push('\n');
        }
        self.starts.push(self.raw.text.len());
        self.add(line)
    }

    /// Adds a line, or the rest of the marker's own.
    fn add(&mut self, line: &str) -> Added {
        let cut = common_prefix(&self.prefix, line);
        if cut > 0 && self.stripped.is_none() && !self.starts.is_empty() {
            self.stripped = Some(self.raw.clone());
        }
        if self.raw.text.len() + line.len() > MAX_RECORD {
            return Added::Broken(too_long());
        }
        let mut why = None;
        if let Some(found) = self.raw.add(line, &mut why) {
            return Added::Complete(found.0, found.1);
        }
        if let Some(stripped) = &mut self.stripped
            && let Some((value, end)) = stripped.add(line.get(cut..).unwrap_or_default(), &mut why)
        {
            return Added::Complete(value, cut + end);
        }
        let failed = |variant: &Variant| variant.failed;
        if failed(&self.raw) && self.stripped.as_ref().is_none_or(failed) {
            return Added::Broken(why.unwrap_or_else(|| "it is no JSON".to_owned()));
        }
        if self.starts.len() >= self.check_at {
            self.check_at = self.starts.len() * 2;
            return self.check();
        }
        Added::GoesOn
    }

    /// Takes the last line out again.
    fn take_back(&mut self) {
        if let Some(start) = self.starts.pop() {
            self.raw.text.truncate(start.saturating_sub(1));
            self.stripped = None;
        }
    }

    /// Whether what there is can still become a value; else another line of the log has been taken for it.
    fn check(&mut self) -> Added {
        let mut why = None;
        for variant in [Some(&mut self.raw), self.stripped.as_mut()]
            .into_iter()
            .flatten()
        {
            if variant.failed || variant.text.trim().is_empty() {
                continue;
            }
            match json::parse(&variant.text) {
                Err(error) if !is_incomplete(&error, &variant.text) && !may_be_loose(&variant.text) => {
                    variant.failed = true;
                    why = Some(format!("cut off, or no JSON: {}", error.message));
                }
                _ => {}
            }
        }
        match why {
            Some(why) if self.raw.failed && self.stripped.as_ref().is_none_or(|v| v.failed) => {
                Added::Broken(why)
            }
            _ => Added::GoesOn,
        }
    }
}

impl Variant {
    /// Adds a text; the value and where it ends in the text, if it is complete.
    fn add(&mut self, text: &str, why: &mut Option<String>) -> Option<(Json, usize)> {
        if self.failed {
            self.text.push_str(text);
            return None;
        }
        let Some(end) = self.scanner.push(text) else {
            self.text.push_str(text);
            if self.scanner.depth == 0 && !text.trim().is_empty() {
                self.failed = true;
                why.get_or_insert_with(|| "no value follows the marker".to_owned());
            } else if self.scanner.quote == Some(b'"') {
                // No string of JSON goes over the end of a line.
                self.failed = true;
                why.get_or_insert_with(|| "cut off: a string has no end on its line".to_owned());
            }
            return None;
        };
        self.text.push_str(text.get(..end).unwrap_or_default());
        match parse(self.text.trim()) {
            Ok(value) => Some((value, end)),
            Err(error) => {
                self.text.push_str(text.get(end..).unwrap_or_default());
                self.failed = true;
                why.get_or_insert_with(|| format!("no JSON: {}", error.message));
                None
            }
        }
    }
}

fn too_long() -> String {
    format!("it is longer than {} MiB", MAX_RECORD >> 20)
}

/// JSON, else what Python or Node print, else JSON with times between its pieces.
fn parse(text: &str) -> Result<Json, json::Error> {
    json::parse(text).or_else(|error| {
        let pieces = || json::parse(&times::without(text)?).ok();
        loose::parse(text).or_else(pieces).ok_or(error)
    })
}

/// Whether a text may become JSON when it goes on.
fn is_incomplete(error: &json::Error, text: &str) -> bool {
    error.offset >= text.trim_end().len()
}

/// Whether a text's strings or names are as Python or Node print them.
fn may_be_loose(text: &str) -> bool {
    let inside = text.trim_start_matches(['{', '[', ' ', '\n', '\t']);
    !inside.starts_with(['"', '{', '[', '}', ']'])
}

/// The next marker that stands as a word of its own, and its bytes. One pass: a line may be nothing but markers.
fn find_marker(text: &str) -> Option<(Marker, Range<usize>)> {
    text.match_indices('=').find_map(|(at, _)| {
        let end = at + 1;
        let before = text.get(..end)?;
        let marker = [Marker::Before, Marker::After, Marker::Patch]
            .into_iter()
            .find(|marker| before.ends_with(marker.text()))?;
        let start = end - marker.text().len();
        let word = !text
            .get(..start)
            .and_then(|before| before.chars().next_back())
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        (word || is_behind_escape(text, start)).then_some((marker, start..end))
    })
}

/// Whether the letter before the marker belongs to an escape such as `\n`.
fn is_behind_escape(text: &str, at: usize) -> bool {
    text.get(..at).is_some_and(|before| {
        ["\\n", "\\t", "\\r"]
            .iter()
            .any(|escape| before.ends_with(escape))
    })
}

/// Whether a line holds a marker with a value behind it: then it is no part of another value.
fn starts_a_value(text: &str) -> bool {
    let mut rest = text;
    for _ in 0..MAX_MARKERS {
        let Some((marker, range)) = find_marker(rest) else {
            break;
        };
        rest = rest.get(range.end..).unwrap_or_default();
        let value = rest.trim_start();
        if value.starts_with(['{', '[']) || (marker != Marker::Patch && value.is_empty()) {
            return true;
        }
    }
    false
}

/// Whether a value stands inside a string: its first quote or newline is written as an escape.
fn is_escaped(text: &str) -> bool {
    text.trim_start_matches(['{', '[', ' ']).starts_with('\\')
}

/// What a string holds from here to its end, and where it ends.
pub(super) fn escaped_string(text: &str) -> Option<(String, usize)> {
    let mut escape = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escape;
        escape = byte == b'\\' && !escape;
        ends
    })?;
    let inner = text.get(..end)?;
    let string = match json::parse(&format!("\"{inner}\"")) {
        Ok(json) => json.as_str()?.to_owned(),
        Err(_) => loose::string(text, '"')?.0,
    };
    Some((string, end + 1))
}

/// How much of a line is the prefix of the first line again, digits apart; it ends where a word does.
fn common_prefix(prefix: &str, line: &str) -> usize {
    let mut end = 0;
    for ((i, a), b) in prefix.char_indices().zip(line.chars()) {
        if a != b && !(a.is_ascii_digit() && b.is_ascii_digit()) {
            break;
        }
        if matches!(a, ' ' | ']' | ':' | '|' | '\t') {
            end = i + a.len_utf8();
        }
    }
    if prefix.trim().is_empty() { 0 } else { end }
}

/// The UUIDs in a text, lower case, each once.
pub(super) fn uuids(text: &str) -> Vec<String> {
    const LENGTH: usize = 36;
    let bytes = text.as_bytes();
    let mut found: Vec<String> = Vec::new();
    let mut at = 8;
    while let Some(next) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|b| *b == b'-'))
    {
        let start = at + next - 8;
        at += next + 1;
        let Some(candidate) = text.get(start..start + LENGTH) else {
            continue;
        };
        let candidate = candidate.to_lowercase();
        if is_uuid(&candidate) && !found.contains(&candidate) {
            found.push(candidate);
        }
    }
    found
}

/// Whether a text has a word for something that went wrong.
pub(super) fn names_an_error(text: &str) -> bool {
    const WORDS: [&str; 13] = [
        "rror",
        "RROR",
        "xception",
        "OPERATION_",
        "ailed",
        "ailure",
        "FAIL",
        "raceback",
        "nvalid",
        "orbidden",
        "efused",
        "enied",
        "annot ",
    ];
    WORDS.iter().any(|word| text.contains(word))
}
