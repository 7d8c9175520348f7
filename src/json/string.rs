//! JavaScript strings: UTF-16 in principle, UTF-8 whenever they can be.

use std::sync::Arc;

/// A JavaScript string.
///
/// `JSON.parse("\"\\ud800\"")` is a string that no Rust `str` can hold, so a string that is not well-formed is
/// kept as its UTF-16 code units. The two variants never hold the same string, hence the derived equality.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JsString {
    /// A well-formed string.
    Text(Arc<str>),
    /// A string with at least one lone surrogate.
    Units(Arc<[u16]>),
}

impl JsString {
    /// The string made of these UTF-16 code units.
    pub fn from_units(units: &[u16]) -> Self {
        match String::from_utf16(units) {
            Ok(text) => Self::Text(text.into()),
            Err(_) => Self::Units(units.into()),
        }
    }

    /// The same string, which shares nothing with this one.
    pub fn separate(&self) -> Self {
        match self {
            Self::Text(text) => Self::Text((**text).into()),
            Self::Units(units) => Self::Units((**units).into()),
        }
    }

    /// The string as UTF-8, or `None` if it holds a lone surrogate.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Units(_) => None,
        }
    }

    /// The string as UTF-8, each lone surrogate replaced by U+FFFD; for messages only.
    pub fn to_string_lossy(&self) -> String {
        match self {
            Self::Text(text) => text.to_string(),
            Self::Units(units) => String::from_utf16_lossy(units),
        }
    }

    /// Its UTF-16 code units.
    pub fn units(&self) -> Vec<u16> {
        match self {
            Self::Text(text) => text.encode_utf16().collect(),
            Self::Units(units) => units.to_vec(),
        }
    }

    /// JavaScript's `length`: the number of UTF-16 code units.
    pub fn length(&self) -> usize {
        match self {
            Self::Text(text) if text.is_ascii() => text.len(),
            Self::Text(text) => text.encode_utf16().count(),
            Self::Units(units) => units.len(),
        }
    }

    /// JavaScript's `s[index]`: one code unit as a string, possibly a lone surrogate.
    pub fn char_at(&self, index: usize) -> Option<Self> {
        let unit = match self {
            Self::Text(text) => text.encode_utf16().nth(index)?,
            Self::Units(units) => *units.get(index)?,
        };
        Some(Self::from_units(&[unit]))
    }
}

impl From<&str> for JsString {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for JsString {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl PartialEq<str> for JsString {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl PartialEq<&str> for JsString {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == Some(*other)
    }
}

/// Whether a character takes part in the order of the text or has no width, and so can hide something from a
/// reader. Variation selectors are not counted: they stand in ordinary emoji and hide nothing. U+FFFE and U+FFFF
/// are: they are no characters, and go-yaml refuses a text that holds them, be it in a comment.
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e00ff}')
}

/// Whether a character never leaves the tool raw: a control character or an invisible one.
pub fn must_escape(c: char) -> bool {
    c.is_control() || is_invisible(c)
}
