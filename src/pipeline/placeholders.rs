//! The five placeholders: which there are, where their values come from, and how they meet the template.
//!
//! CoCalc replaces `{NAME}` in the template's *text*, at every occurrence, key after key, and then reads the
//! text as JSON. Nothing is escaped: image, tag and UUID need no escape, and the two values that would are
//! base64 for that reason.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::json::Json;

use super::template::{Hole, Step};

/// One of the five placeholders, in the order in which they are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Placeholder {
    /// Name of the docker image, registry included, without a tag.
    ProjectImage,
    /// Tag of the docker image.
    ProjectTag,
    /// UUID of the project.
    ProjectId,
    /// base64 of the JSON of column `projects.env`; the project reads it from `COCALC_EXTRA_ENV`.
    ExtraEnv,
    /// base64 of the JSON of the project's configuration; the project reads it from `COCALC_PROJECT_CONFIG`.
    ProjectConfig,
}

impl Placeholder {
    /// All five, in the order in which they are replaced.
    pub const ALL: [Self; 5] = [
        Self::ProjectImage,
        Self::ProjectTag,
        Self::ProjectId,
        Self::ExtraEnv,
        Self::ProjectConfig,
    ];

    /// Its name without braces.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProjectImage => "PROJECT_IMAGE",
            Self::ProjectTag => "PROJECT_TAG",
            Self::ProjectId => "project_id",
            Self::ExtraEnv => "extra_env",
            Self::ProjectConfig => "project_config",
        }
    }

    /// Its text in a template, braces included.
    pub fn text(self) -> &'static str {
        match self {
            Self::ProjectImage => "{PROJECT_IMAGE}",
            Self::ProjectTag => "{PROJECT_TAG}",
            Self::ProjectId => "{project_id}",
            Self::ExtraEnv => "{extra_env}",
            Self::ProjectConfig => "{project_config}",
        }
    }

    /// The placeholder of this name, without braces.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    /// Its bit in a set of placeholders.
    pub(super) fn bit(self) -> Step {
        1 << (self as u8)
    }
}

/// The values of the placeholders, as they go into the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values([Option<String>; 5]);

impl Values {
    /// The value of this placeholder, if there is one.
    pub fn get(&self, placeholder: Placeholder) -> Option<&str> {
        self.0[placeholder as usize].as_deref()
    }

    /// Gives it a value, in the place of the one it had.
    pub fn set(&mut self, placeholder: Placeholder, value: impl Into<String>) {
        self.0[placeholder as usize] = Some(value.into());
    }

    /// Gives it a value unless it has one.
    pub fn set_default(&mut self, placeholder: Placeholder, value: impl FnOnce() -> Option<String>) {
        let slot = &mut self.0[placeholder as usize];
        if slot.is_none() {
            *slot = value();
        }
    }

    /// The placeholders that have a value, in the order in which they are replaced.
    pub fn iter(&self) -> impl Iterator<Item = (Placeholder, &str)> {
        Placeholder::ALL
            .into_iter()
            .filter_map(|p| self.get(p).map(|value| (p, value)))
    }
}

/// `{extra_env}`: base64 (standard alphabet, padded) of the UTF-8 JSON of column `env`; NULL counts as `{}`.
pub fn extra_env(env: &Json) -> String {
    let text = if env.is_null() {
        "{}".to_owned()
    } else {
        env.stringify()
    };
    STANDARD.encode(text)
}

/// `{project_config}`: base64 of `{"quota": …, …}`. What stands beside the quota is not public
/// ([`crate::snapshot::Assumptions::project_config`]).
pub fn project_config(quota: &Json, beside: &serde_json::Map<String, Value>) -> String {
    let mut members = vec![("quota".to_owned(), quota.clone())];
    members.extend(
        beside
            .iter()
            .map(|(name, value)| (name.clone(), Json::from(value))),
    );
    STANDARD.encode(Json::map(members).stringify())
}

/// The `quota` in a `{project_config}`, where it can be read.
pub fn quota_of_project_config(text: &str) -> Option<Json> {
    let json = crate::json::parse(std::str::from_utf8(&STANDARD.decode(text).ok()?).ok()?).ok()?;
    json.get_non_null("quota").cloned()
}

/// The values that a running project's pod shows: each string of the template that holds a placeholder is
/// matched with the same string of the live pod.
///
/// List elements are found by their `name` (mounts by their `mountPath`), since admission puts elements of its
/// own into the lists; where a template's element has neither, by its index.
pub fn recover(template: &Value, holes: &[Hole], live: &Value) -> Values {
    let mut values = Values::default();
    let mut texts: Vec<(&str, &str)> = holes
        .iter()
        .filter_map(|hole| {
            Some((
                hole.text.as_str(),
                counterpart(template, live, &hole.path)?.as_str()?,
            ))
        })
        .collect();
    // A string with one placeholder says for certain what it is; those with two come last and use it.
    texts.sort_by_key(|(pattern, _)| pieces(pattern).len());
    for (pattern, text) in texts {
        for (placeholder, value) in matched(pattern, text, &values).unwrap_or_default() {
            values.set_default(placeholder, || Some(value));
        }
    }
    values
}

fn counterpart<'a>(template: &Value, live: &'a Value, path: &[super::template::Part]) -> Option<&'a Value> {
    use super::template::Part;
    let (mut theirs, mut ours) = (live, template);
    for part in path {
        (ours, theirs) = match part {
            Part::Name(name) => (ours.get(&**name)?, theirs.get(&**name)?),
            Part::Index(index) => {
                let element = ours.get(*index)?;
                let identity = ["mountPath", "name"].into_iter().find_map(|key| {
                    element
                        .get(key)
                        .filter(|v| v.is_string())
                        .map(|value| (key, value))
                });
                let other = match identity {
                    Some((key, value)) if !Placeholder::ALL.iter().any(|p| contains(value, p.text())) => {
                        theirs.as_array()?.iter().find(|e| e.get(key) == Some(value))?
                    }
                    _ => theirs.get(*index)?,
                };
                (element, other)
            }
        };
    }
    Some(theirs)
}

fn contains(value: &Value, text: &str) -> bool {
    value.as_str().is_some_and(|s| s.contains(text))
}

/// A part of a string of the template.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// What stands there as it is.
    Text(String),
    /// A placeholder.
    Hole(Placeholder),
}

/// The placeholders in a text and where they stand, from its start to its end.
pub(super) fn occurrences(text: &str) -> impl Iterator<Item = (usize, Placeholder)> {
    text.match_indices('{').filter_map(|(at, _)| {
        let rest = text.get(at..)?;
        let here = |p: &Placeholder| rest.starts_with(p.text());
        Some((at, Placeholder::ALL.into_iter().find(here)?))
    })
}

/// The parts of a string of the template.
pub(super) fn pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut done = 0;
    let text = |from: usize, to: usize, pieces: &mut Vec<Piece>| {
        if from < to {
            pieces.push(Piece::Text(pattern[from..to].to_owned()));
        }
    };
    for (at, placeholder) in occurrences(pattern) {
        text(done, at, &mut pieces);
        pieces.push(Piece::Hole(placeholder));
        done = at + placeholder.text().len();
    }
    text(done, pattern.len(), &mut pieces);
    pieces
}

/// Matches a text with a pattern. Where that is possible in several ways, a value takes as much as it can:
/// in `{PROJECT_IMAGE}:{PROJECT_TAG}` the last colon separates, since a tag has none.
fn matched(pattern: &str, text: &str, known: &Values) -> Option<Vec<(Placeholder, String)>> {
    fn go(
        pieces: &[Piece],
        text: &str,
        known: &Values,
        found: &mut Vec<(Placeholder, String)>,
        budget: &mut usize,
    ) -> bool {
        *budget = budget.saturating_sub(1);
        let (first, rest) = match pieces.split_first() {
            None => return text.is_empty(),
            Some(_) if *budget == 0 => return false,
            Some(split) => split,
        };
        let fixed = match first {
            Piece::Text(literal) => Some(literal.clone()),
            Piece::Hole(p) => known
                .get(*p)
                .map(str::to_owned)
                .or_else(|| found.iter().find(|(q, _)| q == p).map(|(_, value)| value.clone())),
        };
        match (fixed, first) {
            (Some(fixed), _) => text
                .strip_prefix(&fixed)
                .is_some_and(|tail| go(rest, tail, known, found, budget)),
            (None, Piece::Hole(p)) => {
                let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
                for end in ends.collect::<Vec<_>>().into_iter().rev() {
                    found.push((*p, text[..end].to_owned()));
                    if go(rest, &text[end..], known, found, budget) {
                        return true;
                    }
                    found.pop();
                }
                false
            }
            (None, Piece::Text(_)) => false,
        }
    }
    let mut found = Vec::new();
    // The text comes from a cluster: a bound on the tries keeps a hostile one from costing time.
    go(&pieces(pattern), text, known, &mut found, &mut 100_000).then_some(found)
}

/// The placeholder that this name in braces is a misspelling of, if it looks like one.
pub fn misspelt(name: &str) -> Option<Placeholder> {
    let plain = |text: &str| text.to_lowercase().replace('_', "");
    Placeholder::ALL.into_iter().find(|p| {
        p.name() != name
            && (plain(p.name()) == plain(name)
                || (name.len() >= 6
                    && strsim::levenshtein(&p.name().to_lowercase(), &name.to_lowercase()) <= 2))
    })
}

/// The words in braces in a text, `{[A-Za-z_]+}`.
pub fn words_in_braces(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|tail| {
        let (word, _) = tail.split_once('}')?;
        let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
        is_word.then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_with_a_port_is_split_at_its_last_colon() {
        let found = matched(
            "{PROJECT_IMAGE}:{PROJECT_TAG}",
            "registry:5000/a/b:v1",
            &Values::default(),
        )
        .unwrap();
        assert_eq!(
            found,
            [
                (Placeholder::ProjectImage, "registry:5000/a/b".to_owned()),
                (Placeholder::ProjectTag, "v1".to_owned())
            ]
        );
    }

    #[test]
    fn a_known_value_helps_to_split() {
        let mut known = Values::default();
        known.set(Placeholder::ProjectTag, "a:b");
        let found = matched("{PROJECT_IMAGE}:{PROJECT_TAG}", "x:a:b", &known).unwrap();
        assert_eq!(found, [(Placeholder::ProjectImage, "x".to_owned())]);
        assert!(matched("{PROJECT_IMAGE}-{PROJECT_TAG}", "x:a:b", &known).is_none());
    }

    #[test]
    fn misspellings_are_told_from_other_words() {
        assert_eq!(misspelt("PROJECT_ID"), Some(Placeholder::ProjectId));
        assert_eq!(misspelt("projectid"), Some(Placeholder::ProjectId));
        assert_eq!(misspelt("PROJET_IMAGE"), Some(Placeholder::ProjectImage));
        assert_eq!(misspelt("extra_envs"), Some(Placeholder::ExtraEnv));
        assert_eq!(misspelt("HOME"), None);
        assert_eq!(misspelt("project_id"), None);
        assert_eq!(
            words_in_braces("${A} {b_c} {d e} {} {f").collect::<Vec<_>>(),
            ["A", "b_c"]
        );
    }

    #[test]
    fn an_empty_environment_is_the_base64_of_an_empty_object() {
        assert_eq!(extra_env(&Json::Null), "e30=");
        assert_eq!(
            extra_env(&crate::json::parse(r#"{"b":"1","8":"2"}"#).unwrap()),
            "eyI4IjoiMiIsImIiOiIxIn0="
        );
    }
}
