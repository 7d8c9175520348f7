//! One operation of a patch, read once and applied many times.

use std::borrow::Cow;

use super::{built_in, document::Slot};
use crate::json::{JsString, Json, number_text};

/// One operation of a patch as it was parsed, ready to be applied many times and on many threads.
///
/// Anything can be an operation, as for fast-json-patch; what is wrong with it shows when it is applied.
#[derive(Clone, Debug)]
pub struct Operation {
    json: Option<Json>,
    pub(super) is_object: bool,
    /// `operation.op` as the key of the library's table of functions; `None`: it cannot be made a key.
    pub(super) op: Option<Op>,
    /// `operation.op` where it is compared with `===`, that is, where it is a string.
    pub(super) strict_op: Op,
    pub(super) path: Pointer,
    pub(super) from: Pointer,
    pub(super) value: Option<Slot>,
    /// Whether the value has a member `hasOwnProperty` anywhere, on which `test` trips.
    pub(super) has_own: bool,
    /// Keys that stand twice in one object of its text.
    pub(super) twice: Vec<Twice>,
}

/// A key that stands twice in one object; the last one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twice {
    /// The key.
    pub name: String,
    /// The line of the patch's text on which it stands again, from 1.
    pub line: usize,
    /// Its column there, in characters from 1.
    pub column: usize,
}

/// What an operation asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Remove,
    Replace,
    Move,
    Copy,
    Test,
    /// `_get`, by which the library reads.
    Get,
    /// The name of something that every JavaScript object inherits.
    Inherited(String),
    Unknown,
}

impl Op {
    fn named(name: &str) -> Self {
        match name {
            "add" => Self::Add,
            "remove" => Self::Remove,
            "replace" => Self::Replace,
            "move" => Self::Move,
            "copy" => Self::Copy,
            "test" => Self::Test,
            "_get" => Self::Get,
            other if built_in::is_inherited_by_objects(other) => Self::Inherited(other.to_owned()),
            _ => Self::Unknown,
        }
    }
}

/// `path` or `from`.
#[derive(Clone, Debug)]
pub(super) struct Pointer {
    pub(super) kind: PointerKind,
    /// Whether it is a string at all.
    pub(super) is_text: bool,
    /// Whether it is empty or starts with a slash.
    pub(super) has_slash: bool,
    /// Whether JavaScript's `pointer == ''` holds; `None` where the comparison throws.
    pub(super) loosely_empty: Option<bool>,
}

#[derive(Clone, Debug)]
pub(super) enum PointerKind {
    /// `""`
    Root,
    /// At least one token.
    Tokens(Vec<Token>),
    /// Something that has no `split`.
    NotText,
}

/// One reference token of a pointer, unescaped.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) name: JsString,
    pub(super) kind: TokenKind,
    /// Whether the library's guard against prototype pollution refuses it.
    pub(super) banned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// The text had no slash, so there is no token; a member `undefined` is addressed.
    Missing,
    /// `-`
    Dash,
    /// Nothing but digits, or nothing at all, after the wrap to 32 bits.
    Digits(i32),
    Word,
}

impl Operation {
    /// Reads one element of a patch.
    pub fn new(json: &Json) -> Self {
        Self::read(Some(json))
    }

    /// The element of a patch that is not there.
    pub(super) fn undefined() -> Self {
        Self::read(None)
    }

    fn read(json: Option<&Json>) -> Self {
        let member = |name: &str| json.and_then(|json| json.get(name));
        let (op, value) = (member("op"), member("value"));
        Self {
            json: json.cloned(),
            is_object: matches!(json, Some(Json::Map(_))),
            op: match op {
                None => Some(Op::Unknown),
                Some(op) => to_text(op).map(|key| key.as_str().map_or(Op::Unknown, Op::named)),
            },
            strict_op: op.and_then(Json::as_str).map_or(Op::Unknown, Op::named),
            path: Pointer::new(member("path")),
            from: Pointer::new(member("from")),
            value: value.map(Slot::prepared),
            has_own: value.is_some_and(has_own_anywhere),
            twice: Vec::new(),
        }
    }

    /// Keys that stand twice in one object of its text, as far as it was read from a text.
    pub fn twice(&self) -> &[Twice] {
        &self.twice
    }

    /// Makes documents that this operation puts its value into print faster.
    pub(super) fn keep_texts(&mut self) {
        if let Some(value) = &mut self.value {
            value.keep_texts();
        }
    }

    /// `op` as text: the string itself, JSON for anything else, empty where it is missing.
    pub fn op(&self) -> Cow<'_, str> {
        self.shown("op").unwrap_or_default()
    }

    /// `path` as text: the string itself, JSON for anything else, empty where it is missing.
    pub fn path(&self) -> Cow<'_, str> {
        self.shown("path").unwrap_or_default()
    }

    /// `from` as text: the string itself, JSON for anything else, `None` where it is missing.
    pub fn from(&self) -> Option<Cow<'_, str>> {
        self.shown("from")
    }

    fn shown(&self, name: &str) -> Option<Cow<'_, str>> {
        let value = self.json.as_ref()?.get(name)?;
        Some(match value {
            Json::String(JsString::Text(text)) => Cow::Borrowed(text),
            Json::String(units) => Cow::Owned(units.to_string_lossy()),
            other => Cow::Owned(other.stringify()),
        })
    }

    /// The operation as it was parsed.
    pub fn json(&self) -> &Json {
        self.json.as_ref().unwrap_or(&Json::Null)
    }

    /// Whether it is JavaScript's `null` or `undefined`, of which not even `path` can be read; its name.
    pub(super) fn nothing(&self) -> Option<&'static str> {
        match &self.json {
            None => Some("undefined"),
            Some(Json::Null) => Some("null"),
            Some(_) => None,
        }
    }
}

impl Pointer {
    fn new(json: Option<&Json>) -> Self {
        let kind = match json {
            None | Some(Json::Null | Json::Bool(false)) => PointerKind::Tokens(vec![Token::missing()]),
            Some(Json::Number(number)) if *number == 0.0 => PointerKind::Tokens(vec![Token::missing()]),
            Some(Json::String(text)) if text.length() == 0 => PointerKind::Root,
            Some(Json::String(text)) => PointerKind::Tokens(tokens(text)),
            Some(_) => PointerKind::NotText,
        };
        Self {
            kind,
            is_text: matches!(json, Some(Json::String(_))),
            has_slash: match json {
                Some(Json::String(JsString::Text(text))) => text.is_empty() || text.starts_with('/'),
                Some(Json::String(JsString::Units(units))) => units.first() == Some(&u16::from(b'/')),
                _ => false,
            },
            loosely_empty: match json {
                None | Some(Json::Null | Json::Bool(true)) => Some(false),
                Some(Json::Bool(false)) => Some(true),
                Some(Json::Number(number)) => Some(*number == 0.0),
                Some(other) => to_text(other).map(|text| text.length() == 0),
            },
        }
    }
}

impl Token {
    fn missing() -> Self {
        Self {
            name: "undefined".into(),
            kind: TokenKind::Missing,
            banned: false,
        }
    }

    fn new(raw: JsString, after_constructor: bool) -> Self {
        let name = unescape(raw);
        let kind = match name.as_str() {
            Some("-") => TokenKind::Dash,
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                TokenKind::Digits(wrap(text.parse().unwrap_or(0.0)))
            }
            _ => TokenKind::Word,
        };
        let banned = name == "__proto__" || (after_constructor && name == "prototype");
        Self { name, kind, banned }
    }
}

/// The tokens of a text that is not empty. The first piece is dropped, whatever it is.
fn tokens(text: &JsString) -> Vec<Token> {
    let pieces: Vec<JsString> = match text {
        JsString::Text(text) => text.split('/').map(JsString::from).collect(),
        JsString::Units(units) => units
            .split(|unit| *unit == u16::from(b'/'))
            .map(JsString::from_units)
            .collect(),
    };
    if pieces.len() < 2 {
        return vec![Token::missing()];
    }
    let mut after_constructor = false;
    let mut tokens = Vec::with_capacity(pieces.len() - 1);
    for (at, piece) in pieces.into_iter().enumerate() {
        let is_constructor = piece == "constructor";
        if at > 0 {
            tokens.push(Token::new(piece, after_constructor));
        }
        after_constructor = is_constructor;
    }
    tokens
}

/// `~1` to `/`, then `~0` to `~`; any other `~` stays.
fn unescape(raw: JsString) -> JsString {
    match raw {
        JsString::Text(text) if text.contains('~') => text.replace("~1", "/").replace("~0", "~").into(),
        JsString::Units(units) => {
            let replace = |units: &[u16], digit: u8, by: u8| {
                let mut replaced = Vec::with_capacity(units.len());
                let mut rest = units;
                while let Some((first, after)) = rest.split_first() {
                    let escape = *first == u16::from(b'~') && after.first() == Some(&u16::from(digit));
                    replaced.push(if escape { u16::from(by) } else { *first });
                    rest = after.get(usize::from(escape)..).unwrap_or_default();
                }
                replaced
            };
            JsString::from_units(&replace(&replace(&units, b'1', b'/'), b'0', b'~'))
        }
        plain => plain,
    }
}

/// JavaScript's `~~number`.
fn wrap(number: f64) -> i32 {
    if !number.is_finite() {
        return 0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the remainder is integral and below 2^32"
    )]
    let bits = number.trunc().rem_euclid(4_294_967_296.0) as u32;
    bits.cast_signed()
}

/// JavaScript's `String(value)`; `None` where it throws, because the value has its own `toString`.
pub(super) fn to_text(value: &Json) -> Option<JsString> {
    Some(match value {
        Json::Null => "null".into(),
        Json::Bool(true) => "true".into(),
        Json::Bool(false) => "false".into(),
        Json::Number(number) if *number == f64::INFINITY => "Infinity".into(),
        Json::Number(number) if *number == f64::NEG_INFINITY => "-Infinity".into(),
        Json::Number(number) => number_text(*number).into(),
        Json::String(text) => text.clone(),
        Json::List(list) => {
            let mut units = Vec::new();
            for (at, element) in list.iter().enumerate() {
                if at > 0 {
                    units.push(u16::from(b','));
                }
                if !element.is_null() {
                    units.extend(to_text(element)?.units());
                }
            }
            JsString::from_units(&units)
        }
        Json::Map(_) if value.get("toString").is_some() => return None,
        Json::Map(_) => "[object Object]".into(),
    })
}

fn has_own_anywhere(value: &Json) -> bool {
    match value {
        Json::List(list) => list.iter().any(has_own_anywhere),
        Json::Map(map) => value.get("hasOwnProperty").is_some() || map.values().any(has_own_anywhere),
        _ => false,
    }
}
