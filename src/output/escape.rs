//! Makes visible what a terminal would act on or hide.
//!
//! kubectl writes ESC as `^[` and CR as `\r` before text from a cluster reaches a terminal (its issue
//! kubernetes#101695). That stops colours and cursor movement, but not the one-byte forms of the same sequences
//! (U+0080 to U+009F), nor the characters that make a text look like another one: bidirectional overrides and
//! characters without width. All of them are made visible here. The result is for reading and is not meant to
//! be read back.

use std::{borrow::Cow, fmt::Write as _};

pub use crate::json::{is_invisible, must_escape};

/// Text of several lines for a terminal: newlines and tabs stay, every other character that
/// [`must_escape`] names is made visible.
///
/// ESC is `^[`, NUL `^@` and so on, DEL `^?`, CR `\r`, others `\u202e`.
pub fn terminal(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && c != '\t')
}

/// Text that must stay on one line, such as a table's cell or a value within a message: as [`terminal`], and
/// newlines become `\n`, tabs `\t`.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| true)
}

fn escaped(text: &str, counts: impl Fn(char) -> bool) -> Cow<'_, str> {
    let bad = |c: char| must_escape(c) && counts(c);
    let Some(first) = text.find(bad) else {
        return Cow::Borrowed(text);
    };
    let mut visible = String::with_capacity(text.len() + 16);
    visible.push_str(&text[..first]);
    for c in text[first..].chars() {
        if bad(c) {
            push_visible(c, &mut visible);
        } else {
            visible.push(c);
        }
    }
    Cow::Owned(visible)
}

/// Folds a text at blanks so that no line is wider than `width` columns, as far as its words allow; lines that go on
/// start with `indent` blanks. Newlines stay.
pub fn fold(text: &str, width: usize, indent: usize) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut column = 0;
    for (i, word) in text.split_inclusive([' ', '\n']).enumerate() {
        let shown = self::width(word.trim_end_matches([' ', '\n']));
        if i > 0 && column > indent && column + shown > width {
            folded.truncate(folded.trim_end_matches(' ').len());
            folded.push('\n');
            folded.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        }
        folded.push_str(word);
        column = if word.ends_with('\n') {
            0
        } else {
            column + self::width(word)
        };
    }
    folded
}

fn push_visible(c: char, text: &mut String) {
    match c {
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        '\u{7f}' => text.push_str("^?"),
        '\0'..='\u{1f}' => {
            text.push('^');
            // Caret notation: the control character's code with bit 6 set.
            text.push(char::from(b'@' + u8::try_from(u32::from(c)).unwrap_or_default()));
        }
        other => {
            let code = u32::from(other);
            // Writing to a String cannot fail.
            let _ = if code > 0xffff {
                write!(text, "\\U{code:08x}")
            } else {
                write!(text, "\\u{code:04x}")
            };
        }
    }
}

/// Appends a character as JSON escapes it, `\u` and four digits for each UTF-16 code unit; YAML's double quotes
/// take the same except for surrogate pairs.
pub(super) fn push_json_escape(c: char, text: &mut String) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        let _ = write!(text, "\\u{unit:04x}");
    }
}

/// How many columns a terminal needs for a text, roughly: two for East Asian wide characters and emoji, none
/// for combining marks. Only alignment depends on it.
pub fn width(text: &str) -> usize {
    if text.is_ascii() {
        return text.len();
    }
    text.chars()
        .map(|c| match c {
            '\u{300}'..='\u{36f}' | '\u{fe00}'..='\u{fe0f}' | '\u{20d0}'..='\u{20ff}' => 0,
            '\u{1100}'..='\u{115e}'
            | '\u{2e80}'..='\u{303e}'
            | '\u{3041}'..='\u{a4cf}'
            | '\u{a960}'..='\u{a97c}'
            | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}'
            | '\u{fe30}'..='\u{fe6f}'
            | '\u{ff00}'..='\u{ff60}'
            | '\u{ffe0}'..='\u{ffe6}'
            | '\u{1f300}'..='\u{1f64f}'
            | '\u{1f680}'..='\u{1f6ff}'
            | '\u{1f900}'..='\u{1faff}'
            | '\u{20000}'..='\u{3fffd}' => 2,
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_or_hides_becomes_visible() {
        for (text, visible) in [
            ("plain ünï 日本 😀", "plain ünï 日本 😀"),
            ("\u{1b}[31mred\u{1b}[0m", "^[[31mred^[[0m"),
            ("a\rb", "a\\rb"),
            ("\0\u{7}\u{8}\u{7f}", "^@^G^H^?"),
            ("\u{9b}31m", "\\u009b31m"),
            ("\u{85}\u{2028}", "\\u0085\\u2028"),
            ("ad\u{202e}nimda", "ad\\u202enimda"),
            ("zero\u{200b}width\u{feff}", "zero\\u200bwidth\\ufeff"),
            ("\u{e0041}", "\\U000e0041"),
        ] {
            assert_eq!(terminal(text), visible);
            assert_eq!(line(text), visible);
        }
    }

    #[test]
    fn newlines_and_tabs_stay_in_text_and_are_shown_in_a_line() {
        assert_eq!(terminal("a\n\tb\r\n"), "a\n\tb\\r\n");
        assert_eq!(line("a\n\tb\r\n"), "a\\n\\tb\\r\\n");
    }

    #[test]
    fn clean_text_is_not_copied() {
        assert!(matches!(terminal("clean\n"), Cow::Borrowed(_)));
        assert!(matches!(line("clean"), Cow::Borrowed(_)));
    }

    #[test]
    fn no_character_that_must_be_escaped_survives() {
        let all: String = ('\0'..='\u{3ffff}').chain('\u{e0000}'..='\u{e0fff}').collect();
        assert!(!line(&all).chars().any(must_escape));
        assert!(
            !terminal(&all)
                .chars()
                .any(|c| must_escape(c) && c != '\n' && c != '\t')
        );
    }

    #[test]
    fn wide_characters_take_two_columns_and_combining_marks_none() {
        assert_eq!(
            [width("abc"), width("日本"), width("e\u{301}"), width("😀!")],
            [3, 4, 1, 3]
        );
    }
}
