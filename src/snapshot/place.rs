//! Where something stands in the sources, and what readers say about it.
//!
//! Every refusal of a source names the place and the next step, and nothing that a file holds reaches the
//! terminal raw: names and excerpts go through [`printable`].

use std::{fmt, io, sync::Arc};

/// A place in a source. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name as given, `standard input`, or another name of the source.
    pub file: Arc<str>,
    /// The line; 0 if the place is the source as a whole.
    pub line: u32,
    /// The column; 0 if only the line is known.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&excerpt(&self.file, 300))?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        Ok(())
    }
}

/// Why a source was refused. Its text is one line, safe for a terminal.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file or folder cannot be read at all.
    #[error("{file}: cannot be read: {error}; check the name and its permissions", file = excerpt(file, 300))]
    Io {
        /// The file's name as given.
        file: String,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// All sources together are larger than this reader takes.
    #[error("{file}: the sources together are larger than {limit} bytes; give fewer projects at once", file = excerpt(file, 300))]
    TooLarge {
        /// The source in which the limit was passed.
        file: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// Standard input is named twice.
    #[error("standard input (-) is named twice; it can be read only once, save it to a file first")]
    StdinTwice,
    /// The text is neither JSON nor YAML, or passes a limit.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong and what to do.
        message: String,
    },
    /// The text can be read, but does not say what it should.
    #[error("{place}: {message}")]
    Content {
        /// Where.
        place: Place,
        /// What is wrong and what to do.
        message: String,
    },
    /// Something stands twice where it may stand once.
    #[error("{second}: {what}, first at {first}; leave one of the two out")]
    Twice {
        /// What, for example `project 1111… is given twice`.
        what: String,
        /// Where it stands first.
        first: Place,
        /// Where it stands again.
        second: Place,
    },
}

/// What a [`Note`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoteKind {
    /// Manifests that are none of the tool's business were passed over.
    PassedOver,
    /// An unquoted YAML word that kubectl reads as another value.
    YamlWord,
    /// A key stands twice in the text of a template or of a patch; the last one counts.
    DuplicateKey,
    /// Columns that hold their JSON as text.
    JsonText,
    /// A source holds nothing.
    Empty,
    /// Software environments that CoCalc does not offer.
    Software,
}

/// Something a reader should know about the sources although they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it is about.
    pub kind: NoteKind,
    /// One line, place included, safe for a terminal.
    pub message: String,
}

impl Note {
    /// Whether the source means something else than it seems to, or to others.
    pub fn is_warning(&self) -> bool {
        matches!(self.kind, NoteKind::YamlWord | NoteKind::DuplicateKey)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The text with control characters, and those that hide or turn around what follows, written as escapes.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let hides = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if c.is_control() || hides {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// [`printable`], cut to `max` characters.
pub(crate) fn excerpt(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((cut, _)) => format!("{}…", printable(&text[..cut])),
        None => printable(text),
    }
}

/// The word of `known` that was probably meant by `word`.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    // Nobody mistypes a word this long, and the distance costs the square of the length.
    if word.len() > 40 {
        return None;
    }
    known
        .iter()
        .map(|candidate| (distance(&word.to_lowercase(), candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, c) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, d) in b.iter().enumerate() {
            let above = row[j + 1];
            let here = (diagonal + usize::from(c != *d)).min(left + 1).min(above + 1);
            row[j] = left;
            left = here;
            diagonal = above;
        }
        if let Some(last) = row.last_mut() {
            *last = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_holds_reaches_the_terminal_escaped_and_cut() {
        assert_eq!(
            printable("a\u{1b}[31m\u{9b}\u{202e}ä"),
            "a\\u{1b}[31m\\u{9b}\\u{202e}ä"
        );
        assert_eq!(excerpt("äöü", 2), "äö…");
        assert_eq!(excerpt("äöü", 3), "äöü");
    }

    #[test]
    fn a_misspelt_key_finds_its_neighbour_and_nonsense_finds_none() {
        let known = ["projects", "site_licenses", "server_settings", "now"];
        assert_eq!(nearest("project", &known), Some("projects"));
        assert_eq!(nearest("site_licences", &known), Some("site_licenses"));
        assert_eq!(nearest("Server_Settings", &known), Some("server_settings"));
        assert_eq!(nearest("banana", &known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "ab"), 2);
    }
}
