//! YAML as kubectl prints it, with room for a comment at each value.
//!
//! The structure, the comments and their columns are written here; each name and each scalar string is written
//! by serde-saphyr, which quotes what any reader of YAML 1.1 would take for something else (`on`, `1_000`,
//! `017`, `1:30`): kubectl's go-yaml is such a reader. serde_yaml's writer leaves many of them bare
//! (dtolnay/serde-yaml#319), so that `env: [{value: "on"}]` came back from kubectl as a boolean.
//!
//! A string of several lines is a literal block (`|`) where that is safe beyond doubt, otherwise it stands in
//! double quotes on one line.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;
use serde_saphyr::SerializerOptions;

use super::escape;

/// The column, counted from 1, in which a comment starts when its line is short enough.
const MARK_COLUMN: usize = 41;
/// The column that no line with a comment behind it passes.
const LAST_COLUMN: usize = 80;
/// Names longer than this many bytes are written as `? name` and `: value`, as go-yaml does. It refuses
/// `name: value` where the name takes more than 1024 bytes, and the longest escape takes 5 bytes for one.
const LONGEST_SIMPLE_KEY: usize = 128;

/// One step of the way from the root of a document to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathPart<'a> {
    /// The member of this name.
    Name(&'a str),
    /// The element at this index, counted from 0.
    Index(usize),
}

/// Who has something to say about the values of a document.
pub trait Marks {
    /// The comment for the value at this path, without `#`; `None` for none.
    ///
    /// Asked for the document itself (an empty path), for each map and list and for each scalar. The comment of
    /// a map or list stands on its first line. Two comments on the same line are joined with `; `. The text may
    /// hold anything: what is no ordinary character is made visible.
    fn mark(&self, path: &[PathPart<'_>]) -> Option<Cow<'_, str>>;
}

struct NoMarks;

impl Marks for NoMarks {
    fn mark(&self, _: &[PathPart<'_>]) -> Option<Cow<'_, str>> {
        None
    }
}

/// The value as one YAML document, which ends with a newline.
pub fn write(value: &Value) -> String {
    write_with_marks(value, &NoMarks)
}

/// [`write()`], with the comments that `marks` gives. They never change what is read back.
///
/// A comment stands at the end of its line, from column 41 or two spaces behind a longer line; where that would
/// pass column 80, on a line of its own above, with the same indentation.
pub fn write_with_marks(value: &Value, marks: &dyn Marks) -> String {
    Writer::new(marks, None).document(value).0
}

/// A line of a YAML document and the value that stands on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The line, without its newline.
    pub text: String,
    /// The innermost value that starts on it, or that it goes on with.
    pub path: Vec<PathPart<'a>>,
}

/// What [`write()`] gives, line by line.
pub fn lines(value: &Value) -> Vec<Line<'_>> {
    let (text, paths) = Writer::new(&NoMarks, Some(Vec::new())).document(value);
    let paths = paths.unwrap_or_default().into_iter();
    text.lines()
        .zip(paths)
        .map(|(text, path)| Line {
            text: text.to_owned(),
            path,
        })
        .collect()
}

/// Where on the current line a value starts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The line holds nothing but indentation and dashes: a container continues on it.
    Start,
    /// The line holds the name and its colon.
    AfterName,
}

struct Writer<'a> {
    /// All finished lines.
    text: String,
    /// The line that is being written, without its comment.
    line: String,
    comment: String,
    path: Vec<PathPart<'a>>,
    marks: &'a dyn Marks,
    /// The innermost value of the current line.
    on_line: Vec<PathPart<'a>>,
    /// The same for each finished line, if it is asked for.
    paths: Option<Vec<Vec<PathPart<'a>>>>,
}

impl<'a> Writer<'a> {
    fn new(marks: &'a dyn Marks, paths: Option<Vec<Vec<PathPart<'a>>>>) -> Self {
        Self {
            text: String::new(),
            line: String::new(),
            comment: String::new(),
            path: Vec::new(),
            marks,
            on_line: Vec::new(),
            paths,
        }
    }

    fn document(mut self, value: &'a Value) -> (String, Option<Vec<Vec<PathPart<'a>>>>) {
        self.ask();
        match value {
            // A document that is one string is never a block: its indentation would have no line to refer to.
            Value::String(s) => self.line.push_str(&scalar(s)),
            other => self.node(other, 0, Place::Start),
        }
        self.end_line();
        (self.text, self.paths)
    }

    /// Puts the comment for the value at the current path on the current line.
    fn ask(&mut self) {
        if self.paths.is_some() {
            self.on_line.clone_from(&self.path);
        }
        if let Some(mark) = self.marks.mark(&self.path).filter(|mark| !mark.is_empty()) {
            if !self.comment.is_empty() {
                self.comment.push_str("; ");
            }
            self.comment.push_str(&escape::line(&mark));
        }
    }

    fn end_line(&mut self) {
        if self.comment.is_empty() {
            self.text.push_str(&self.line);
        } else {
            let line_width = escape::width(&self.line);
            let gap = (MARK_COLUMN - 1).saturating_sub(line_width).max(2);
            if line_width + gap + "# ".len() + escape::width(&self.comment) > LAST_COLUMN {
                let indent = self.line.len() - self.line.trim_start_matches(' ').len();
                self.text.push_str(&self.line[..indent]);
                self.text.push_str("# ");
                self.text.push_str(&self.comment);
                self.text.push('\n');
                self.text.push_str(&self.line);
            } else {
                self.text.push_str(&self.line);
                self.text.extend(std::iter::repeat_n(' ', gap));
                self.text.push_str("# ");
                self.text.push_str(&self.comment);
            }
            self.comment.clear();
        }
        self.text.push('\n');
        self.line.clear();
        if let Some(paths) = &mut self.paths {
            paths.push(self.on_line.clone());
        }
    }

    fn start_line(&mut self, indent: usize) {
        self.end_line();
        self.line.extend(std::iter::repeat_n(' ', indent));
    }

    /// Writes a value whose comment has been asked for already. `indent` is that of its members or, for a list
    /// or a scalar after a name, that of the name.
    fn node(&mut self, value: &'a Value, indent: usize, place: Place) {
        let text: Cow<'_, str> = match value {
            Value::Object(map) if !map.is_empty() => return self.map(map, indent, place),
            Value::Array(list) if !list.is_empty() => return self.list(list, indent, place),
            Value::String(s) if is_literal(s) => return self.literal(s, indent, place),
            Value::Object(_) => "{}".into(),
            Value::Array(_) => "[]".into(),
            Value::Null => "null".into(),
            Value::Bool(b) => if *b { "true" } else { "false" }.into(),
            Value::Number(n) => super::number(n).into(),
            Value::String(s) => scalar(s).into(),
        };
        self.space(place);
        self.line.push_str(&text);
    }

    fn space(&mut self, place: Place) {
        if place == Place::AfterName {
            self.line.push(' ');
        }
    }

    fn map(&mut self, map: &'a serde_json::Map<String, Value>, indent: usize, place: Place) {
        let indent = match place {
            Place::Start => indent,
            Place::AfterName => indent + 2,
        };
        for (i, (name, value)) in map.iter().enumerate() {
            if i > 0 || place == Place::AfterName {
                self.start_line(indent);
            }
            self.path.push(PathPart::Name(name));
            self.ask();
            let key = key(name);
            if name.len() > LONGEST_SIMPLE_KEY {
                self.line.push_str("? ");
                self.line.push_str(&key);
                self.start_line(indent);
                self.line.push_str(": ");
                self.node(value, indent + 2, Place::Start);
            } else {
                self.line.push_str(&key);
                self.line.push(':');
                self.node(value, indent, Place::AfterName);
            }
            self.path.pop();
        }
    }

    fn list(&mut self, list: &'a [Value], indent: usize, place: Place) {
        for (i, element) in list.iter().enumerate() {
            if i > 0 || place == Place::AfterName {
                self.start_line(indent);
            }
            self.path.push(PathPart::Index(i));
            self.ask();
            self.line.push_str("- ");
            self.node(element, indent + 2, Place::Start);
            self.path.pop();
        }
    }

    fn literal(&mut self, string: &str, indent: usize, place: Place) {
        self.space(place);
        let body = string.trim_end_matches('\n');
        self.line.push_str(match string.len() - body.len() {
            0 => "|-",
            1 => "|",
            _ => "|+",
        });
        // Behind a name the text is one step deeper than the name; behind a dash `indent` is that already.
        let indent = match place {
            Place::Start => indent,
            Place::AfterName => indent + 2,
        };
        for line in string.strip_suffix('\n').unwrap_or(string).split('\n') {
            self.start_line(if line.is_empty() { 0 } else { indent });
            self.line.push_str(line);
        }
    }
}

/// Whether a literal block gives this string back without question: more than one line, nothing but ordinary
/// characters, no blank at the start or end of any line.
fn is_literal(string: &str) -> bool {
    let body = string.trim_end_matches('\n');
    !body.is_empty()
        && !body.starts_with('\n')
        && string.contains('\n')
        && string.split('\n').enumerate().all(|(i, line)| {
            let inner = if i == 0 {
                line
            } else {
                line.trim_start_matches(' ')
            };
            (inner.is_empty() && line.is_empty())
                || (!inner.is_empty()
                    && !inner.starts_with(char::is_whitespace)
                    && !inner.ends_with(char::is_whitespace))
        })
        && !string.chars().any(|c| c != '\n' && escape::must_escape(c))
}

fn options() -> SerializerOptions {
    serde_saphyr::ser_options! { prefer_block_scalars: false }
}

/// A string as a value on one line.
fn scalar(string: &str) -> String {
    if string.chars().any(escape::is_invisible) {
        return double_quoted(string);
    }
    match serde_saphyr::to_string_with_options(&string, options()) {
        Ok(mut text) => {
            text.truncate(text.trim_end_matches('\n').len());
            text
        }
        Err(_) => double_quoted(string),
    }
}

/// A string as the name of a member, without its colon.
fn key(name: &str) -> String {
    if name.chars().any(escape::is_invisible) {
        return double_quoted(name);
    }
    let written = serde_saphyr::to_string_with_options(&BTreeMap::from([(name, ())]), options()).ok();
    written
        .as_deref()
        .and_then(|text| text.trim_end_matches('\n').strip_suffix(": null"))
        // Beyond a length of its own serde-saphyr writes `? name`.
        .map(|key| {
            key.strip_prefix("? ")
                .map_or(key, |key| key.trim_end_matches('\n'))
        })
        .map_or_else(|| double_quoted(name), str::to_owned)
}

/// A string in double quotes, with every character that must not leave raw as an escape. serde-saphyr knows
/// the control characters, but leaves bidirectional overrides and their like as they are.
fn double_quoted(string: &str) -> String {
    let mut text = String::with_capacity(string.len() + 8);
    text.push('"');
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            c if !escape::must_escape(c) => text.push(c),
            // YAML knows no surrogate pairs.
            c if u32::from(c) > 0xffff => text.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => escape::push_json_escape(c, &mut text),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Table(Vec<(&'static str, &'static str)>);

    impl Marks for Table {
        fn mark(&self, path: &[PathPart<'_>]) -> Option<Cow<'_, str>> {
            let path: String = path
                .iter()
                .map(|part| match part {
                    PathPart::Name(name) => format!("/{name}"),
                    PathPart::Index(index) => format!("/{index}"),
                })
                .collect();
            self.0
                .iter()
                .find(|(at, _)| *at == path)
                .map(|(_, mark)| (*mark).into())
        }
    }

    #[test]
    fn lists_stand_below_their_name_and_empties_stay_on_the_line() {
        let value = json!({
            "spec": {"args": ["a", ["b", []], [[{}]]], "volumes": [{"emptyDir": {}, "name": "x"}]},
            "metadata": {},
        });
        let expected = "\
metadata: {}
spec:
  args:
  - a
  - - b
    - []
  - - - {}
  volumes:
  - emptyDir: {}
    name: x
";
        assert_eq!(write(&value), expected);
    }

    #[test]
    fn a_document_may_be_a_scalar_or_empty() {
        for (value, text) in [
            (json!({}), "{}\n"),
            (json!([]), "[]\n"),
            (json!(null), "null\n"),
            (json!("a\nb"), "\"a\\nb\"\n"),
            (json!("on"), "\"on\"\n"),
            (json!(3), "3\n"),
        ] {
            assert_eq!(write(&value), text);
        }
    }

    #[test]
    fn strings_of_several_lines_are_blocks_where_that_is_safe() {
        let value = json!({
            "clip": "set -e\n  indented\n\nexit # 0\n",
            "keep": ["a\n\n\n"],
            "strip": "a\nb",
            "unsafe": ["\na\n", " a\nb", "a \nb", "a\tb\nc\t", "\n", "a\r\nb", "a\n   \nb"],
        });
        let expected = "\
clip: |
  set -e
    indented

  exit # 0
keep:
- |+
  a


strip: |-
  a
  b
unsafe:
- \"\\na\\n\"
- \" a\\nb\"
- \"a \\nb\"
- \"a\\tb\\nc\\t\"
- \"\\n\"
- \"a\\r\\nb\"
- \"a\\n   \\nb\"
";
        assert_eq!(write(&value), expected);
    }

    #[test]
    fn a_name_that_is_too_long_for_a_simple_key_is_an_explicit_one() {
        let name = "n".repeat(129);
        let value = json!({"a": {name.clone(): {"b": [1, 2], "c": 3}}, name.clone(): [1]});
        let expected = format!("a:\n  ? {name}\n  : b:\n    - 1\n    - 2\n    c: 3\n? {name}\n: - 1\n");
        assert_eq!(write(&value), expected);
        let name = "\u{1}".repeat(500);
        assert_eq!(
            write(&json!({ name.clone(): 1 })),
            format!("? \"{}\"\n: 1\n", "\\x01".repeat(500))
        );
    }

    #[test]
    fn marks_stand_in_column_41_or_behind_the_line_or_above_it() {
        let value = json!({
            "short": 1,
            "a-name-of-some-length": "a value of some length",
            "list": [{"first": 1, "second": 2}, {"x": "z"}],
            "long": "a value that is so long that no comment has room behind it",
            "map": {"inner": "block\nof text\n"},
        });
        let marks = Table(vec![
            ("/short", "placeholder {PROJECT_TAG}"),
            ("/a-name-of-some-length", "f3d76abf op 1 of 1: add"),
            ("/list/0", "whole element"),
            ("/list/1/x", "one member"),
            ("/long", "license\nwith \u{1b}[31m newline"),
            ("/map", "whole map"),
            ("/map/inner", "block"),
        ]);
        let expected = "\
a-name-of-some-length: a value of some length  # f3d76abf op 1 of 1: add
list:
- first: 1                              # whole element
  second: 2
- x: z                                  # one member
# license\\nwith ^[[31m newline
long: a value that is so long that no comment has room behind it
map:                                    # whole map
  inner: |                              # block
    block
    of text
short: 1                                # placeholder {PROJECT_TAG}
";
        assert_eq!(write_with_marks(&value, &marks), expected);
        for line in expected.lines().filter(|line| line.contains("  #")) {
            assert!(line.find('#') == Some(MARK_COLUMN - 1) || line.contains("length  #"));
        }
    }

    #[test]
    fn a_line_of_exactly_80_columns_keeps_its_comment() {
        let value = json!({"k": "v"});
        let fits = "c".repeat(LAST_COLUMN - MARK_COLUMN - 1);
        let marked = |mark: &str| {
            struct One(String);
            impl Marks for One {
                fn mark(&self, path: &[PathPart<'_>]) -> Option<Cow<'_, str>> {
                    (path.len() == 1).then_some(Cow::Borrowed(&self.0))
                }
            }
            write_with_marks(&value, &One(mark.to_owned()))
        };
        assert_eq!(marked(&fits).trim_end().len(), LAST_COLUMN);
        assert_eq!(marked(&format!("{fits}c")), format!("# {fits}c\nk: v\n"));
    }

    #[test]
    fn two_marks_on_one_line_are_both_there() {
        let marks = Table(vec![("/a", "outer"), ("/a/0", "inner"), ("", "document")]);
        let value = json!({"a": [{"b": 1}]});
        let expected = format!(
            "a:{}# document; outer\n- b: 1{}# inner\n",
            " ".repeat(38),
            " ".repeat(34)
        );
        assert_eq!(write_with_marks(&value, &marks), expected);
    }

    #[test]
    fn no_character_that_must_be_escaped_leaves_raw() {
        let all: String = ('\0'..='\u{3ffff}').chain('\u{e0000}'..='\u{e0fff}').collect();
        let mut value = json!({ all.clone(): [all.clone()] });
        for c in (0..0x3000)
            .chain(0xf000..0x1_0100)
            .chain(0xe_0000..0xe_0100)
            .filter_map(char::from_u32)
        {
            value[format!("k{c}")] = json!([c.to_string(), format!("a{c}b"), format!("a\n{c}b")]);
        }
        assert!(!write(&value).chars().any(|c| escape::must_escape(c) && c != '\n'));
    }
}
