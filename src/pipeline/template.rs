//! The template: read once, filled for each project.
//!
//! What CoCalc does is a replacement in the text, before it is read as JSON. Where every placeholder stands
//! unescaped in a string value and no value holds a character that JSON would escape, filling the holes of the
//! template once read gives the same document, and that is what makes 100,000 projects cheap. Everywhere else
//! the text is replaced and read for that project. A property test holds the two against each other.

use std::{fmt, ops::Range};

use serde_json::Value;

use crate::{
    json::{self, JsString, Notes},
    json_patch::{Document, Place, Stamp},
    snapshot,
};

pub use crate::json_patch::PathPart as Part;

use super::{
    placeholders::{Piece, Placeholder, Values, misspelt, occurrences, pieces, words_in_braces},
    provenance::{TEMPLATE, keys},
};

/// Number of a step; see [`super::provenance`].
pub type Step = Stamp;

/// A string of the template that holds at least one placeholder.
#[derive(Clone, Debug, PartialEq)]
pub struct Hole {
    /// Where it stands.
    pub path: Vec<Part>,
    /// The string, placeholders included.
    pub text: String,
}

/// A template, ready to be filled.
#[derive(Clone, Debug)]
pub struct Prepared {
    text: String,
    source: String,
    /// The template read as it stands, where its holes can be filled in the document.
    read: Option<Read>,
    notes: Notes,
    /// Which placeholders the text holds.
    used: Step,
    misspelt: Vec<(String, Placeholder)>,
}

#[derive(Clone, Debug)]
struct Read {
    document: Document,
    holes: Vec<Hole>,
    /// Where each hole is.
    places: Vec<Option<Place>>,
    /// For each hole what it is made of; `None` where braces of its own could make a new placeholder.
    pieces: Vec<Option<Vec<Piece>>>,
}

/// A template that could not be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// A placeholder has no value.
    #[error("{0}")]
    Missing(Missing),
    /// The template's text is no JSON, whatever the values.
    #[error("the template of {source_name} is not JSON: {error}; CoCalc could not read it either")]
    NotJson {
        /// Where the template comes from.
        source_name: String,
        /// What is wrong, in the text with the values filled in.
        error: json::Error,
    },
    /// The template is nested deeper than this tool goes.
    #[error("the template of {source_name} cannot be judged: {error}; CoCalc's own have about 15")]
    TooDeep {
        /// Where the template comes from.
        source_name: String,
        /// Where.
        error: json::Error,
    },
    /// A value makes JSON of something that is none.
    #[error(
        "the value of {} breaks the JSON of the template of {source_name}: {error}; it is put into the text \
         as it is, without any escape, so it must not hold '\"', '\\' or control characters",
        list(.placeholders)
    )]
    Broken {
        /// Where the template comes from.
        source_name: String,
        /// The placeholders whose values need an escape; if none does, all that were replaced.
        placeholders: Vec<Placeholder>,
        /// What is wrong, in the text with the values filled in.
        error: json::Error,
    },
}

/// A placeholder that the template holds and that has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The first one without a value.
    pub placeholder: Placeholder,
    /// JSON pointers of the fields that hold it; empty if the template cannot be read before it is filled.
    pub fields: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.placeholder.name();
        write!(f, "the placeholder {{{name}}} has no value")?;
        if let Some((first, rest)) = self.fields.split_first() {
            write!(f, " (needed for {first}")?;
            rest.iter().take(4).try_for_each(|field| write!(f, ", {field}"))?;
            if rest.len() > 4 {
                write!(f, " and {} more", rest.len() - 4)?;
            }
            f.write_str(")")?;
        }
        write!(f, "; give it with --set {name}=VALUE")?;
        f.write_str(match self.placeholder {
            Placeholder::ProjectImage | Placeholder::ProjectTag => {
                ", with --image NAME:TAG, with `software` in a snapshot file or with the project's live pod in -f"
            }
            Placeholder::ProjectId => " or name a project",
            Placeholder::ExtraEnv | Placeholder::ProjectConfig => {
                ", with the project's row in a snapshot file or with its live pod in -f"
            }
        })
    }
}

fn list(placeholders: &[Placeholder]) -> String {
    placeholders
        .iter()
        .map(|p| p.text())
        .collect::<Vec<_>>()
        .join(", ")
}

/// A filled template.
#[derive(Clone, Debug)]
pub struct Filled {
    /// The pod before quota and patches; each string that a placeholder changed carries that step.
    pub document: Document,
    /// Placeholders whose value was put into the text as more than part of a string: it holds a quote or a
    /// backslash, and the text was JSON all the same.
    pub unescaped: Vec<Placeholder>,
    /// Placeholders that have no value and stay as they stand (only if that was allowed).
    pub left: Vec<Placeholder>,
}

impl Prepared {
    /// Reads a template for the first time. A text that is no JSON is told when it is filled.
    pub fn new(template: &snapshot::Template) -> Self {
        let text = template.text.clone();
        let (in_text, used) =
            occurrences(&text).fold((0_usize, 0), |(count, used), (_, p)| (count + 1, used | p.bit()));
        let mut in_values = 0;
        let parsed = Document::parse(
            &text,
            &mut |span: Range<usize>| {
                let count = occurrences(&text[span.clone()]).count();
                if count > 0 && !is_name(&text, &span) {
                    in_values += count;
                }
                None
            },
            TEMPLATE,
        );
        let mut notes = Notes::default();
        let read = parsed.ok().and_then(|(document, found)| {
            notes = found;
            let mut holes = Vec::new();
            document.for_each_text(&mut |path, text| {
                if occurrences(text).next().is_some() {
                    holes.push(Hole {
                        path: path.to_vec(),
                        text: text.to_owned(),
                    });
                }
            });
            // As many in the decoded strings as in the raw text: none stands in a name, behind an escape, or
            // in a member that a later one of the same name replaces.
            let in_holes: usize = holes.iter().map(|hole| occurrences(&hole.text).count()).sum();
            (in_values == in_text && in_holes == in_text).then(|| {
                let pieces = holes
                    .iter()
                    .map(|hole| {
                        let pieces = pieces(&hole.text);
                        let braces =
                            |piece: &Piece| matches!(piece, Piece::Text(text) if text.contains(['{', '}']));
                        (!pieces.iter().any(braces)).then_some(pieces)
                    })
                    .collect();
                Read {
                    places: holes
                        .iter()
                        .map(|hole| document.place(&keys(&hole.path)))
                        .collect(),
                    document,
                    holes,
                    pieces,
                }
            })
        });
        let mut misspelt: Vec<(String, Placeholder)> = words_in_braces(&text)
            .filter_map(|word| misspelt(word).map(|meant| (word.to_owned(), meant)))
            .collect();
        misspelt.sort();
        misspelt.dedup();
        Self {
            text,
            source: template.source.clone(),
            read,
            notes,
            used,
            misspelt,
        }
    }

    /// The same template for many projects: read again, so that it shares nothing with this one, and made ready
    /// to be printed often.
    #[must_use]
    pub fn separate(&self) -> Self {
        let mut separate = Self::new(&snapshot::Template {
            text: self.text.clone(),
            source: self.source.clone(),
        });
        if let Some(read) = &mut separate.read {
            read.document.keep_texts();
        }
        separate
    }

    /// Where the template comes from, for messages.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the template holds this placeholder.
    pub fn uses(&self, placeholder: Placeholder) -> bool {
        self.used & placeholder.bit() != 0
    }

    /// Names that stand twice in one object of the template.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Words in braces that are none of the five but look like one, with the one that was probably meant.
    pub fn misspelt(&self) -> &[(String, Placeholder)] {
        &self.misspelt
    }

    /// The values that the live pod of this template shows; see [`super::placeholders::recover`].
    pub fn recover(&self, live: &Value) -> Values {
        match &self.read {
            Some(read) => match read.document.to_value() {
                Ok(template) => super::placeholders::recover(&template, &read.holes, live),
                Err(_) => Values::default(),
            },
            None => Values::default(),
        }
    }

    /// The pod with the values filled in.
    ///
    /// `allow_missing`: a placeholder without a value stays as it stands (the stand-in project).
    ///
    /// # Errors
    /// [`FillError`].
    pub fn fill(&self, values: &Values, allow_missing: bool) -> Result<Filled, FillError> {
        let mut left = Vec::new();
        for placeholder in Placeholder::ALL {
            if values.get(placeholder).is_none() && self.uses(placeholder) {
                if !allow_missing {
                    return Err(FillError::Missing(self.missing(placeholder)));
                }
                left.push(placeholder);
            }
        }
        let unescaped: Vec<Placeholder> = values
            .iter()
            .filter(|(p, value)| needs_escape(value) && self.uses(*p))
            .map(|(placeholder, _)| placeholder)
            .collect();
        let document = match &self.read {
            Some(read) if unescaped.is_empty() => read.fill(values),
            _ => self.replace(values, &unescaped)?,
        };
        Ok(Filled {
            document,
            unescaped,
            left,
        })
    }

    fn missing(&self, placeholder: Placeholder) -> Missing {
        let fields = self.read.iter().flat_map(|read| &read.holes);
        Missing {
            placeholder,
            fields: fields
                .filter(|hole| hole.text.contains(placeholder.text()))
                .map(|hole| super::provenance::pointer(&hole.path))
                .collect(),
        }
    }

    fn replace(&self, values: &Values, unescaped: &[Placeholder]) -> Result<Document, FillError> {
        let replaced = Replaced::new(&self.text, values);
        let mut stamp = |span: Range<usize>| Some(replaced.by(span)).filter(|step| *step != TEMPLATE);
        match Document::parse(&replaced.text, &mut stamp, TEMPLATE) {
            Ok((document, _)) => Ok(document),
            Err(error) => {
                let source_name = self.source.clone();
                if error.too_deep {
                    return Err(FillError::TooDeep { source_name, error });
                }
                let without_values = json::parse(&self.text);
                Err(if unescaped.is_empty() && without_values.is_err() {
                    FillError::NotJson { source_name, error }
                } else {
                    let used = || values.iter().map(|(p, _)| p).filter(|p| self.uses(*p)).collect();
                    let placeholders = if unescaped.is_empty() {
                        used()
                    } else {
                        unescaped.to_vec()
                    };
                    FillError::Broken {
                        source_name,
                        placeholders,
                        error,
                    }
                })
            }
        }
    }
}

impl Read {
    fn fill(&self, values: &Values) -> Document {
        let brace = |byte| byte == b'{' || byte == b'}';
        let plain = !values.iter().any(|(_, value)| any_byte(value, brace));
        let mut document = self.document.clone();
        let mut text = String::new();
        let mut strings = Vec::with_capacity(self.holes.len());
        for ((hole, place), pieces) in self.holes.iter().zip(&self.places).zip(&self.pieces) {
            let by = match pieces {
                Some(pieces) if plain => join(pieces, values, &mut text),
                _ => replace_in_turn(&hole.text, values, &mut text),
            };
            // The hole was found in this very document, so it has a place.
            if by != TEMPLATE
                && let Some(place) = place
            {
                strings.push((place, JsString::from(text.as_str()), by));
            }
        }
        document.set_strings(&strings);
        document
    }
}

/// The string and who had a hand in it, where no value and no brace can make a new placeholder.
fn join(pieces: &[Piece], values: &Values, text: &mut String) -> Step {
    text.clear();
    let mut by = TEMPLATE;
    for piece in pieces {
        match piece {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Hole(placeholder) => match values.get(*placeholder) {
                Some(value) => {
                    text.push_str(value);
                    by |= placeholder.bit();
                }
                None => text.push_str(placeholder.text()),
            },
        }
    }
    by
}

/// One placeholder after the other, as over the whole text: a value may hold the name of a later one.
fn replace_in_turn(hole: &str, values: &Values, text: &mut String) -> Step {
    hole.clone_into(text);
    let mut by = TEMPLATE;
    for (placeholder, value) in values.iter() {
        if text.contains(placeholder.text()) {
            *text = text.replace(placeholder.text(), value);
            by |= placeholder.bit();
        }
    }
    by
}

fn needs_escape(value: &str) -> bool {
    any_byte(value, |b| b < 0x20 || b == b'"' || b == b'\\')
}

/// Whether such a byte is in the text, looked at without a way out of the loop: many bytes in one step.
fn any_byte(text: &str, is_such: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(false, |any, byte| any | is_such(byte))
}

/// Whether the string at this place of a JSON text is the name of a member.
fn is_name(text: &str, span: &Range<usize>) -> bool {
    text[span.end..]
        .trim_start_matches([' ', '\t', '\n', '\r'])
        .starts_with(':')
}

/// A text in which the placeholders were replaced, and which of them had a hand in each byte.
struct Replaced {
    text: String,
    by: Vec<u8>,
}

impl Replaced {
    fn new(text: &str, values: &Values) -> Self {
        let mut result = Self {
            text: text.to_owned(),
            by: vec![0; text.len()],
        };
        for (placeholder, value) in values.iter() {
            result.replace(placeholder, value);
        }
        result
    }

    fn replace(&mut self, placeholder: Placeholder, value: &str) {
        let name = placeholder.text();
        #[expect(clippy::cast_possible_truncation, reason = "five placeholders, five bits")]
        let bit = placeholder.bit() as u8;
        let mut text = String::with_capacity(self.text.len());
        let mut by: Vec<u8> = Vec::with_capacity(self.text.len());
        let mut done = 0;
        let mut carried = 0;
        for (at, _) in self.text.match_indices(name) {
            text.push_str(&self.text[done..at]);
            push_marks(&mut by, &self.by[done..at], &mut carried);
            let inherited = self.by[at..at + name.len()]
                .iter()
                .fold(bit, |all, one| all | one);
            text.push_str(value);
            if value.is_empty() {
                // No byte is left that could carry the mark: its neighbours do.
                if let Some(last) = by.last_mut() {
                    *last |= inherited;
                }
                carried |= inherited;
            } else {
                push_marks(&mut by, &vec![inherited; value.len()], &mut carried);
            }
            done = at + name.len();
        }
        text.push_str(&self.text[done..]);
        push_marks(&mut by, &self.by[done..], &mut carried);
        *self = Self { text, by };
    }

    fn by(&self, span: Range<usize>) -> Step {
        self.by
            .get(span)
            .unwrap_or_default()
            .iter()
            .fold(0, |all, one| all | Step::from(*one))
    }
}

fn push_marks(by: &mut Vec<u8>, marks: &[u8], carried: &mut u8) {
    let start = by.len();
    by.extend_from_slice(marks);
    if let Some(first) = by.get_mut(start) {
        *first |= std::mem::take(carried);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prepared(text: &str) -> Prepared {
        Prepared::new(&snapshot::Template {
            text: text.to_owned(),
            source: "the test".to_owned(),
        })
    }

    fn values(list: &[(Placeholder, &str)]) -> Values {
        let mut values = Values::default();
        for (placeholder, value) in list {
            values.set(*placeholder, *value);
        }
        values
    }

    fn filled(text: &str, list: &[(Placeholder, &str)]) -> Result<String, FillError> {
        let filled = prepared(text).fill(&values(list), false)?;
        Ok(filled.document.stringify().unwrap())
    }

    #[test]
    fn every_occurrence_is_replaced_in_strings_names_and_bare_text() {
        use Placeholder::{ProjectId, ProjectImage, ProjectTag};
        let text = r#"{"{project_id}":["{PROJECT_IMAGE}:{PROJECT_TAG}{PROJECT_TAG}"],"n":{PROJECT_TAG}}"#;
        assert_eq!(
            filled(text, &[(ProjectId, "u"), (ProjectImage, "i"), (ProjectTag, "7")]).unwrap(),
            r#"{"u":["i:77"],"n":7}"#
        );
    }

    #[test]
    fn a_placeholder_behind_an_escape_is_no_placeholder() {
        let text = r#"{"a":"\u007bproject_id}","b":"{project_id}"}"#;
        assert_eq!(
            filled(text, &[(Placeholder::ProjectId, "u")]).unwrap(),
            r#"{"a":"{project_id}","b":"u"}"#
        );
    }

    #[test]
    fn a_value_may_hold_the_name_of_a_later_placeholder() {
        use Placeholder::{ProjectImage, ProjectTag};
        let list = [(ProjectImage, "x{PROJECT_TAG}"), (ProjectTag, "{PROJECT_IMAGE}")];
        assert_eq!(
            filled(r#"["{PROJECT_IMAGE}"]"#, &list).unwrap(),
            r#"["x{PROJECT_IMAGE}"]"#
        );
    }

    #[test]
    fn a_value_that_breaks_the_json_is_an_error_that_names_it() {
        let error = filled(r#"["{PROJECT_TAG}"]"#, &[(Placeholder::ProjectTag, "a\"b")]).unwrap_err();
        let FillError::Broken { placeholders, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(placeholders, &[Placeholder::ProjectTag]);
        assert!(
            error
                .to_string()
                .starts_with("the value of {PROJECT_TAG} breaks the JSON"),
            "{error}"
        );
    }

    #[test]
    fn a_value_that_stays_json_although_it_needs_an_escape_is_told() {
        let mut list = Values::default();
        list.set(Placeholder::ProjectTag, r#"a","b"#);
        let filled = prepared(r#"["{PROJECT_TAG}"]"#).fill(&list, false).unwrap();
        assert_eq!(filled.document.stringify().unwrap(), r#"["a","b"]"#);
        assert_eq!(filled.unescaped, [Placeholder::ProjectTag]);
    }

    #[test]
    fn a_missing_value_names_the_fields_that_hold_it() {
        let error = filled(r#"{"metadata":{"labels":{"a/b":"{PROJECT_TAG}"}}}"#, &[]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("{PROJECT_TAG} has no value (needed for /metadata/labels/a~1b)"),
            "{text}"
        );
        assert!(text.contains("--set PROJECT_TAG=VALUE"), "{text}");
    }

    #[test]
    fn a_template_that_is_no_json_says_where() {
        let error = filled("{\n  \"a\": 1,\n}", &[]).unwrap_err();
        assert!(matches!(error, FillError::NotJson { .. }));
        assert!(error.to_string().contains("line 3 column 1"), "{error}");
    }

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("{PROJECT_IMAGE}".to_owned()),
            Just("{PROJECT_TAG}".to_owned()),
            Just("{project_id}".to_owned()),
            Just("{extra_env}".to_owned()),
            Just("{project_config}".to_owned()),
            Just("{".to_owned()),
            Just("}".to_owned()),
            Just("PROJECT_TAG}".to_owned()),
            "[a-z:é]{0,3}",
        ]
    }

    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(piece(), 0..4).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn filling_the_document_is_replacing_the_text(
            strings in prop::collection::vec((text(), "[a-c]"), 0..6),
            given in prop::collection::vec(prop::option::of(text()), 5),
        ) {
            let members: Vec<String> =
                strings.iter().map(|(value, name)| format!("{name:?}:[{value:?},1]")).collect();
            let template = prepared(&format!("{{{}}}", members.join(",")));
            let mut values = Values::default();
            for (placeholder, value) in Placeholder::ALL.into_iter().zip(given) {
                if let Some(value) = value {
                    values.set(placeholder, value);
                }
            }
            let quick = template.fill(&values, true).unwrap().document;
            let slow = template.replace(&values, &[]).unwrap();
            prop_assert_eq!(quick.stringify(), slow.stringify());
            let marks = |document: &Document| -> Vec<(Vec<Part>, Step)> {
                document.leaves().into_iter().map(|leaf| (leaf.path, leaf.by)).collect()
            };
            prop_assert_eq!(marks(&quick), marks(&slow));
        }
    }
}
