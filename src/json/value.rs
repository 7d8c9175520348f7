//! The value type: a JSON value with JavaScript's numbers, strings and order of members.

use std::{borrow::Cow, cmp::Ordering, sync::Arc};

use indexmap::IndexMap;
use serde_json::{Number, Value};

use super::JsString;

/// The members of a JavaScript object in the order in which they were added.
///
/// [`Json::members`] gives them in JavaScript's order, where names like `8080` come first.
pub type Map = IndexMap<JsString, Json>;

/// A JSON value as JavaScript holds it. Cheap to clone: lists and maps are shared.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Json {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A double. Infinite where the text was out of range (`1e400`); it prints as `null`.
    Number(f64),
    /// A string, lone surrogates included.
    String(JsString),
    /// An array.
    List(Arc<Vec<Json>>),
    /// An object. Equality does not look at the order of members.
    Map(Arc<Map>),
}

/// Why a [`Json`] has no `serde_json::Value`: the string at this JSON pointer holds a lone surrogate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the string at \"{pointer}\" holds half of a surrogate pair (an incomplete \\uD800-\\uDFFF escape), which Kubernetes cannot store"
)]
pub struct Unprintable {
    /// JSON pointer (RFC 6901) of the string, or of the member whose name it is.
    pub pointer: String,
}

impl Json {
    /// A string value.
    pub fn string(text: &str) -> Self {
        Self::String(text.into())
    }

    /// A list value.
    pub fn list(elements: Vec<Json>) -> Self {
        Self::List(Arc::new(elements))
    }

    /// A map value with these members, in this order; of two equal names the last wins.
    pub fn map<K: Into<JsString>>(members: impl IntoIterator<Item = (K, Json)>) -> Self {
        Self::Map(Arc::new(
            members.into_iter().map(|(k, v)| (k.into(), v)).collect(),
        ))
    }

    /// The member of this name, if this is a map that has it.
    pub fn get(&self, name: &str) -> Option<&Json> {
        /// Up to here comparing all names is faster than making a key and its hash.
        const FEW: usize = 8;
        match self {
            Self::Map(map) if map.len() <= FEW => {
                map.iter().find(|(key, _)| **key == *name).map(|(_, value)| value)
            }
            Self::Map(map) => map.get(&JsString::from(name)),
            _ => None,
        }
    }

    /// The member of this name unless it is missing or `null` (JavaScript's `!= null`).
    pub fn get_non_null(&self, name: &str) -> Option<&Json> {
        self.get(name).filter(|value| !value.is_null())
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(n) => Some(*n),
            _ => None,
        }
    }

    /// The text, if it is a well-formed string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(s) => s.as_str(),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub fn as_list(&self) -> Option<&[Json]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The members in insertion order, if it is a map.
    pub fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// JavaScript's truth: everything but `false`, `0`, `NaN`, `""` and `null`.
    pub fn truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(b) => *b,
            Self::Number(n) => *n != 0.0 && !n.is_nan(),
            Self::String(s) => s.length() != 0,
            Self::List(_) | Self::Map(_) => true,
        }
    }

    /// The members in JavaScript's order: integer-like names ascending, then the order given.
    /// Empty if this is no map.
    pub fn members(&self) -> Vec<(&JsString, &Json)> {
        let Self::Map(map) = self else { return Vec::new() };
        let mut members: Vec<(&JsString, &Json)> = map.iter().collect();
        if members.iter().any(|(name, _)| array_index(name).is_some()) {
            members.sort_by_key(|(name, _)| array_index(name).map_or((1, 0), |index| (0, index)));
        }
        members
    }

    /// What PostgreSQL's `jsonb` makes of it: in every object the names sorted by their length in bytes, then
    /// bytewise.
    pub fn in_jsonb_order(&self) -> Self {
        if self.is_in_jsonb_order() {
            return self.clone();
        }
        match self {
            Self::List(list) => Self::list(list.iter().map(Self::in_jsonb_order).collect()),
            Self::Map(map) => {
                let mut members: Vec<(JsString, Json)> = map
                    .iter()
                    .map(|(name, value)| (name.clone(), value.in_jsonb_order()))
                    .collect();
                members.sort_by(|(a, _), (b, _)| jsonb_order(a, b));
                Self::map(members)
            }
            scalar => scalar.clone(),
        }
    }

    fn is_in_jsonb_order(&self) -> bool {
        match self {
            Self::List(list) => list.iter().all(Self::is_in_jsonb_order),
            Self::Map(map) => {
                map.keys().is_sorted_by(|a, b| jsonb_order(a, b).is_le())
                    && map.values().all(Self::is_in_jsonb_order)
            }
            _ => true,
        }
    }

    /// The same value, which shares nothing with this one: for another thread, that counts references of its own.
    pub fn separate(&self) -> Self {
        match self {
            Self::String(text) => Self::String(text.separate()),
            Self::List(list) => Self::list(list.iter().map(Self::separate).collect()),
            Self::Map(map) => Self::map(
                map.iter()
                    .map(|(name, value)| (name.separate(), value.separate())),
            ),
            scalar => scalar.clone(),
        }
    }

    /// `JSON.stringify(value)`: compact, in JavaScript's order, lone surrogates escaped, what is infinite `null`.
    pub fn stringify(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    /// Appends what [`Json::stringify`] gives.
    pub fn write(&self, text: &mut String) {
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(b) => text.push_str(if *b { "true" } else { "false" }),
            Self::Number(n) => text.push_str(&number_text(*n)),
            Self::String(s) => write_string(s, text),
            Self::List(list) => {
                text.push('[');
                for (i, element) in list.iter().enumerate() {
                    if i > 0 {
                        text.push(',');
                    }
                    element.write(text);
                }
                text.push(']');
            }
            Self::Map(_) => {
                text.push('{');
                for (i, (name, value)) in self.members().into_iter().enumerate() {
                    if i > 0 {
                        text.push(',');
                    }
                    write_string(name, text);
                    text.push(':');
                    value.write(text);
                }
                text.push('}');
            }
        }
    }

    /// The same as a `serde_json::Value`: integral numbers as integers, infinite ones `null`.
    ///
    /// # Errors
    /// If a string or a name holds a lone surrogate.
    pub fn to_value(&self) -> Result<Value, Unprintable> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(*b),
            Self::Number(n) => value_from_f64(*n),
            Self::String(s) => Value::String(s.as_str().ok_or_else(Unprintable::here)?.to_owned()),
            Self::List(list) => Value::Array(
                list.iter()
                    .enumerate()
                    .map(|(i, element)| element.to_value().map_err(|e| e.below(&i.to_string())))
                    .collect::<Result<_, _>>()?,
            ),
            Self::Map(map) => Value::Object(
                map.iter()
                    .map(|(name, value)| {
                        let key = name
                            .as_str()
                            .ok_or_else(|| Unprintable::here().below(&name.to_string_lossy()))?;
                        Ok((key.to_owned(), value.to_value().map_err(|e| e.below(key))?))
                    })
                    .collect::<Result<_, _>>()?,
            ),
        })
    }
}

impl Unprintable {
    /// The string at the root.
    pub fn here() -> Self {
        Self {
            pointer: String::new(),
        }
    }

    /// The same, seen from the parent that has it as member or element `token`.
    #[must_use]
    pub fn below(mut self, token: &str) -> Self {
        self.pointer
            .insert_str(0, &token.replace('~', "~0").replace('/', "~1"));
        self.pointer.insert(0, '/');
        self
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Number(n) => Self::Number(n.as_f64().unwrap_or(f64::INFINITY)),
            Value::String(s) => Self::string(s),
            Value::Array(list) => Self::list(list.iter().map(Self::from).collect()),
            Value::Object(map) => Self::map(map.iter().map(|(k, v)| (k.as_str(), Self::from(v)))),
        }
    }
}

/// PostgreSQL's order of names: by length in bytes, then bytewise.
fn jsonb_order(a: &JsString, b: &JsString) -> Ordering {
    let order = |a: &str, b: &str| a.len().cmp(&b.len()).then_with(|| a.cmp(b));
    match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) => order(a, b),
        _ => order(&a.to_string_lossy(), &b.to_string_lossy()),
    }
}

/// A double as JavaScript prints it in JSON: shortest form, no fraction where it has none, `null` if not finite.
pub fn number_text(number: f64) -> String {
    if number.is_finite() {
        let mut buffer = ryu_js::Buffer::new();
        buffer.format_finite(number).to_owned()
    } else {
        "null".to_owned()
    }
}

/// A double as a `serde_json::Value`: an integer where it is one that `i64` or `u64` holds, `null` if not finite.
pub fn value_from_f64(number: f64) -> Value {
    // 2^53: up to here every integral double is the integer that was meant; beyond, the double itself is kept,
    // and the writers print it as JavaScript does.
    if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked above: integral and within 2^53"
        )]
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// The same value with JavaScript's numbers: doubles, integral ones as integers, so that `1`, `1.0` and `1e0` are
/// equal under `==`, and so are `0` and `-0`. Recurses as deep as the value.
pub fn with_js_numbers(value: &Value) -> Value {
    match value {
        Value::Number(number) => js_number(number),
        Value::Array(list) => Value::Array(list.iter().map(with_js_numbers).collect()),
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(name, value)| (name.clone(), with_js_numbers(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// [`with_js_numbers`], copied only where a number is another one: of documents that CoCalc made none is.
pub fn js_numbers(value: &Value) -> Cow<'_, Value> {
    fn holds(value: &Value) -> bool {
        match value {
            Value::Number(number) => js_number(number) == *value,
            Value::Array(list) => list.iter().all(holds),
            Value::Object(map) => map.values().all(holds),
            _ => true,
        }
    }
    if holds(value) {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(with_js_numbers(value))
    }
}

fn js_number(number: &Number) -> Value {
    value_from_f64(number.as_f64().unwrap_or(f64::INFINITY))
}

/// Appends the string as `JSON.stringify` writes it.
pub fn write_string(string: &JsString, text: &mut String) {
    match string {
        JsString::Text(s) => write_text(s, text),
        JsString::Units(units) => {
            text.push('"');
            for result in char::decode_utf16(units.iter().copied()) {
                match result {
                    Ok(c) if c < ' ' || c == '"' || c == '\\' => {
                        let mut byte = [0; 4];
                        c.encode_utf8(&mut byte);
                        write_escape(byte[0], text);
                    }
                    Ok(c) => text.push(c),
                    Err(lone) => text.push_str(&format!("\\u{:04x}", lone.unpaired_surrogate())),
                }
            }
            text.push('"');
        }
    }
}

/// Appends a well-formed string as `JSON.stringify` writes it.
pub fn write_text(string: &str, text: &mut String) {
    let special = |b: u8| b < b' ' || b == b'"' || b == b'\\';
    text.push('"');
    // Without a way out of the loop many bytes are looked at in one step, and hardly any text has an escape.
    if !string.bytes().fold(false, |any, b| any | special(b)) {
        text.push_str(string);
        text.push('"');
        return;
    }
    let mut rest = string;
    while let Some(at) = rest.bytes().position(special) {
        text.push_str(&rest[..at]);
        write_escape(rest.as_bytes()[at], text);
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
    text.push('"');
}

fn write_escape(byte: u8, text: &mut String) {
    match byte {
        b'"' => text.push_str("\\\""),
        b'\\' => text.push_str("\\\\"),
        b'\n' => text.push_str("\\n"),
        b'\r' => text.push_str("\\r"),
        b'\t' => text.push_str("\\t"),
        8 => text.push_str("\\b"),
        12 => text.push_str("\\f"),
        other => text.push_str(&format!("\\u{other:04x}")),
    }
}

/// Whether JavaScript sorts this name first: the decimal form of an integer below 2^32 - 1.
pub fn is_array_index(name: &JsString) -> bool {
    array_index(name).is_some()
}

fn array_index(name: &JsString) -> Option<u32> {
    let text = name.as_str()?;
    let first = *text.as_bytes().first()?;
    if !first.is_ascii_digit() || text.len() > 10 || (first == b'0' && text.len() > 1) {
        return None;
    }
    text.parse::<u32>().ok().filter(|index| *index != u32::MAX)
}
