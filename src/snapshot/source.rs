//! One text while it is being read: places, budgets, and the values that serde hands over.
//!
//! JSON comes from serde_json and YAML from serde-saphyr through the same visitors. Neither tells a visitor
//! where it stands, but both lend the strings of the text itself, so the place of a key or string is its
//! address within the text. Errors of ours are put aside with that place; the library's error merely ends the
//! reading.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashSet},
    fmt,
    sync::Arc,
};

use serde::de::{DeserializeSeed, Deserializer, Error as DeError, MapAccess, SeqAccess, Visitor};

use super::{
    place::{Place, ReadError, excerpt, nearest},
    yaml_words::kubectl_reads,
};
use crate::json::{Json, Map, number_text, write_text};

/// How many values aliases may add to a text, and how many bytes of strings.
///
/// Without aliases a text holds fewer values than bytes, and no more than 1.5 times its bytes of strings
/// (YAML's `\L` stands for three bytes), so only aliases can pass these limits.
const ALIAS_VALUES: usize = 200_000;
const ALIAS_BYTES: usize = 16 << 20;

/// What is said of such a number; its end differs.
pub(super) const TOO_LARGE: &str = "a number too large for a double";

/// Words of three bytes that stand for infinite numbers while JSON is read: characters that no text can mean.
pub(super) const INFINITE: [(&str, f64); 2] = [("\u{fdd0}", f64::INFINITY), ("\u{fdd1}", f64::NEG_INFINITY)];

/// An unquoted word that kubectl reads otherwise than YAML 1.2.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) place: Place,
    pub(super) text: String,
    pub(super) kubectl: Json,
    /// Whether it was read as kubectl reads it.
    pub(super) as_kubectl: bool,
}

/// How many words are kept for notes; the rest is counted.
const MAX_WORDS: usize = 20;

/// One text while it is being read.
pub(super) struct Source<'de> {
    pub(super) name: Arc<str>,
    pub(super) text: &'de str,
    /// Whether YAML is being read, where a word can stand without quotes.
    pub(super) yaml: Cell<bool>,
    /// Whether unquoted words are read as kubectl reads them: a manifest is being read.
    pub(super) as_kubectl: Cell<bool>,
    last: Cell<usize>,
    mark: Cell<Option<usize>>,
    cursor: Cell<(usize, u32)>,
    /// The last place: offset, line and column.
    placed: Cell<(usize, u32, u32)>,
    failure: RefCell<Option<ReadError>>,
    values: Cell<usize>,
    bytes: Cell<usize>,
    words: RefCell<Vec<Word>>,
    more_words: Cell<usize>,
    scratch: RefCell<String>,
    /// Columns that hold their JSON as text: the first place of each, and the number of rows.
    texts: RefCell<BTreeMap<String, (Place, usize)>>,
    /// Whether a number too large for a double is taken, as infinite, where jsonb can hold one.
    pub(super) infinite: Cell<bool>,
    /// Whether a column of type jsonb is being read as a tree.
    column: Cell<bool>,
}

impl<'de> Source<'de> {
    pub(super) fn new(name: Arc<str>, text: &'de str) -> Self {
        Self {
            name,
            text,
            yaml: Cell::new(false),
            as_kubectl: Cell::new(false),
            last: Cell::new(0),
            mark: Cell::new(None),
            cursor: Cell::new((0, 1)),
            placed: Cell::new((0, 1, 1)),
            failure: RefCell::new(None),
            values: Cell::new(text.len().saturating_add(ALIAS_VALUES)),
            bytes: Cell::new(text.len().saturating_mul(3) / 2 + ALIAS_BYTES),
            words: RefCell::new(Vec::new()),
            more_words: Cell::new(0),
            scratch: RefCell::new(String::new()),
            texts: RefCell::default(),
            infinite: Cell::new(false),
            column: Cell::new(false),
        }
    }

    /// The place of this byte of the text. Places that are asked for in the order of the text cost no more than one
    /// reading of it, however many they are.
    pub(super) fn place(&self, offset: usize) -> Place {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let (at, mut line, mut column) = Some(self.placed.get())
            .filter(|(at, ..)| *at <= offset)
            .unwrap_or((0, 1, 1));
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let between = self.text.get(at..offset).unwrap_or_default();
        let mut of_line = between;
        if let Some(newline) = between.rfind('\n') {
            line = number(newlines(between)).saturating_add(line);
            column = 1;
            of_line = between.get(newline + 1..).unwrap_or_default();
        }
        column = number(of_line.chars().count()).saturating_add(column);
        self.placed.set((offset, line, column));
        Place {
            file: self.name.clone(),
            line,
            column,
        }
    }

    /// The line of this byte, for places that are asked for in the order of the text. An alias stands for an
    /// earlier place; it counts as the line that was asked for last.
    pub(super) fn line(&self, offset: usize) -> u32 {
        let (at, line) = self.cursor.get();
        if offset <= at {
            return line;
        }
        let count = self.text.as_bytes().get(at..offset).map_or(0, count_newlines);
        let line = line.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        self.cursor.set((offset, line));
        line
    }

    /// Where the last key or string was seen.
    pub(super) fn last(&self) -> usize {
        self.last.get()
    }

    /// Sets where reading is about to begin.
    pub(super) fn start_at(&self, offset: usize) {
        self.last.set(offset);
    }

    /// From now on the first key or string is the place of the next row.
    pub(super) fn start_row(&self) {
        self.mark.set(None);
    }

    /// The place of the row.
    pub(super) fn row(&self) -> usize {
        self.mark.get().unwrap_or(self.last.get())
    }

    /// Forgets the failed attempt to read this text in another form.
    pub(super) fn start_again(&self, at: usize, spent: (usize, usize)) {
        self.failure.take();
        self.take_words();
        self.take_texts();
        self.values.set(spent.0);
        self.bytes.set(spent.1);
        self.last.set(at);
    }

    /// What is left of the budgets, for [`Source::start_again`].
    pub(super) fn budgets(&self) -> (usize, usize) {
        (self.values.get(), self.bytes.get())
    }

    fn see(&self, lent: &'de str) -> usize {
        let offset = (lent.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        if offset <= self.text.len() && !lent.is_empty() {
            self.last.set(offset);
            if self.mark.get().is_none() {
                self.mark.set(Some(offset));
            }
        }
        self.last.get()
    }

    /// Puts an error of ours aside and ends the reading.
    pub(super) fn fail<E: DeError>(&self, offset: usize, message: impl Into<String>) -> E {
        self.fail_with(ReadError::Content {
            place: self.place(offset),
            message: message.into(),
        })
    }

    pub(super) fn fail_with<E: DeError>(&self, error: ReadError) -> E {
        self.failure.borrow_mut().get_or_insert(error);
        E::custom("refused")
    }

    pub(super) fn take_failure(&self) -> Option<ReadError> {
        self.failure.borrow_mut().take()
    }

    /// The words seen since the last call, and how many more there were.
    pub(super) fn take_words(&self) -> (Vec<Word>, usize) {
        (self.words.take(), self.more_words.take())
    }

    /// Notes that the column of a row holds its JSON as text.
    pub(super) fn note_text(&self, column: &str, at: usize) {
        let mut texts = self.texts.borrow_mut();
        match texts.get_mut(column) {
            Some((_, rows)) => *rows += 1,
            None => {
                texts.insert(column.to_owned(), (self.place(at), 1));
            }
        }
    }

    /// What was noted so since the last call.
    pub(super) fn take_texts(&self) -> BTreeMap<String, (Place, usize)> {
        self.texts.take()
    }

    fn spend<E: DeError>(&self, bytes: usize) -> Result<(), E> {
        match (
            self.values.get().checked_sub(1),
            self.bytes.get().checked_sub(bytes),
        ) {
            (Some(values), Some(bytes)) => {
                self.values.set(values);
                self.bytes.set(bytes);
                Ok(())
            }
            _ => Err(self.fail_with(ReadError::Syntax {
                place: self.place(self.last.get()),
                message: "aliases (*name) make this text many times larger; write out what they stand for"
                    .to_owned(),
            })),
        }
    }

    /// Notes the word if it stands without quotes and kubectl reads it otherwise. Gives what it is to be read as, if
    /// that is not a string.
    fn word(&self, lent: &'de str, offset: usize) -> Option<Json> {
        if !self.yaml.get() || lent.len() > 64 {
            return None;
        }
        let kubectl = kubectl_reads(lent)?;
        let before = self.text.get(..offset).unwrap_or_default();
        let tagged = before
            .trim_end_matches([' ', '\t'])
            .rsplit([' ', '\t', '\n', '[', '{', ','])
            .next()
            .is_some_and(|token| token.starts_with('!'));
        if before.ends_with(['"', '\'']) || tagged {
            return None;
        }
        let as_kubectl = self.as_kubectl.get();
        let mut words = self.words.borrow_mut();
        if words.len() == MAX_WORDS {
            self.more_words.set(self.more_words.get() + 1);
        } else {
            words.push(Word {
                place: self.place(offset),
                text: lent.to_owned(),
                kubectl: kubectl.clone(),
                as_kubectl,
            });
        }
        as_kubectl.then_some(kubectl)
    }

    /// A tree that is a column of type jsonb, in which a number may be too large for a double.
    pub(super) fn column<T>(&self, read: impl FnOnce() -> T) -> T {
        self.column.set(true);
        let read = read();
        self.column.set(false);
        read
    }

    /// The infinite number that this string stands for.
    fn infinite_word(&self, text: &str) -> Option<f64> {
        if !self.infinite.get() || self.yaml.get() {
            return None;
        }
        INFINITE
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, number)| *number)
    }

    /// The number, unless it is none that may stand here.
    fn finite<E: DeError>(&self, number: f64, in_column: bool) -> Result<f64, E> {
        if number.is_finite() || (number.is_infinite() && in_column && self.infinite.get()) {
            Ok(number)
        } else {
            Err(self.fail_with(ReadError::Syntax {
                place: self.place(self.last.get()),
                message: TOO_LARGE.to_owned(),
            }))
        }
    }

    /// The sentence for a key that is none of `known`.
    pub(super) fn unknown<E: DeError>(&self, at: usize, key: &str, of: &str, known: &[&str]) -> E {
        let next = match nearest(key, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("known are {}", known.join(", ")),
        };
        self.fail(at, format!("unknown key `{}` in {of}; {next}", excerpt(key, 60)))
    }

    /// The sentence for a key that stands twice in a map.
    pub(super) fn twice<E: DeError>(&self, at: usize, key: &str) -> E {
        self.fail(
            at,
            format!(
                "the key `{}` stands twice in this map; leave one of the two out",
                excerpt(key, 60)
            ),
        )
    }
}

fn newlines(text: &str) -> usize {
    count_newlines(text.as_bytes())
}

fn count_newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// A key and where it stands.
pub(super) struct Key<'c, 'de>(pub(super) &'c Source<'de>);

impl<'de> DeserializeSeed<'de> for Key<'_, 'de> {
    type Value = (Cow<'de, str>, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_, 'de> {
    type Value = (Cow<'de, str>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_borrowed_str<E: DeError>(self, key: &'de str) -> Result<Self::Value, E> {
        self.0.spend(key.len())?;
        Ok((Cow::Borrowed(key), self.0.see(key)))
    }
    fn visit_str<E: DeError>(self, key: &str) -> Result<Self::Value, E> {
        self.0.spend(key.len())?;
        Ok((Cow::Owned(key.to_owned()), self.0.last()))
    }
}

/// What stands where one scalar should stand.
#[derive(Debug, PartialEq)]
pub(super) enum Scalar<'de> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'de, str>),
}

/// The value of a column that is one scalar.
pub(super) struct Single<'c, 'de> {
    pub(super) source: &'c Source<'de>,
    /// Where its key stands.
    pub(super) at: usize,
    pub(super) column: &'c str,
    /// For the message: `a string or null`.
    pub(super) expected: &'static str,
}

impl<'de> Single<'_, 'de> {
    pub(super) fn wrong<E: DeError>(&self, found: &str) -> E {
        self.source.fail(
            self.at,
            format!(
                "`{}` must be {}, not {found}",
                excerpt(self.column, 60),
                self.expected
            ),
        )
    }

    pub(super) fn text<A: MapAccess<'de>>(self, map: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
        match map.next_value_seed(&self)? {
            Scalar::Null => Ok(None),
            Scalar::Text(text) => Ok(Some(text)),
            Scalar::Bool(_) => Err(self.wrong("a boolean (put it in quotes)")),
            Scalar::Number(_) => Err(self.wrong("a number (put it in quotes)")),
        }
    }

    pub(super) fn number<A: MapAccess<'de>>(self, map: &mut A) -> Result<Option<f64>, A::Error> {
        match map.next_value_seed(&self)? {
            Scalar::Null => Ok(None),
            Scalar::Number(number) => Ok(Some(number)),
            Scalar::Bool(_) => Err(self.wrong("a boolean")),
            Scalar::Text(_) => Err(self.wrong("a string")),
        }
    }

    pub(super) fn boolean<A: MapAccess<'de>>(self, map: &mut A) -> Result<Option<bool>, A::Error> {
        match map.next_value_seed(&self)? {
            Scalar::Null => Ok(None),
            Scalar::Bool(boolean) => Ok(Some(boolean)),
            Scalar::Number(_) => Err(self.wrong("a number")),
            Scalar::Text(_) => Err(self.wrong("a string")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &Single<'_, 'de> {
    type Value = Scalar<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Single<'_, 'de> {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }
    fn visit_unit<E: DeError>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }
    fn visit_none<E: DeError>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }
    fn visit_bool<E: DeError>(self, value: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool(value))
    }
    fn visit_i64<E: DeError>(self, value: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(value as f64))
    }
    fn visit_u64<E: DeError>(self, value: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(value as f64))
    }
    fn visit_i128<E: DeError>(self, value: i128) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(value as f64))
    }
    fn visit_u128<E: DeError>(self, value: u128) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(value as f64))
    }
    fn visit_f64<E: DeError>(self, value: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(self.source.finite(value, false)?))
    }
    fn visit_borrowed_str<E: DeError>(self, value: &'de str) -> Result<Scalar<'de>, E> {
        if let Some(number) = self.source.infinite_word(value) {
            return self.visit_f64(number);
        }
        self.source.spend(value.len())?;
        self.source.see(value);
        Ok(Scalar::Text(Cow::Borrowed(value)))
    }
    fn visit_str<E: DeError>(self, value: &str) -> Result<Scalar<'de>, E> {
        self.source.spend(value.len())?;
        Ok(Scalar::Text(Cow::Owned(value.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Scalar<'de>, A::Error> {
        Err(self.wrong("a list"))
    }
    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Scalar<'de>, A::Error> {
        Err(self.wrong("a map"))
    }
}

/// Any value, as a tree; for what is small or must be one (template, settings, quota, live pods).
#[derive(Clone, Copy)]
pub(super) struct Tree<'c, 'de>(pub(super) &'c Source<'de>);

impl<'de> DeserializeSeed<'de> for Tree<'_, 'de> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Tree<'_, 'de> {
    /// The members of a map, added to those that are there.
    pub(super) fn members<A: MapAccess<'de>>(self, map: &mut A, members: &mut Map) -> Result<(), A::Error> {
        while let Some((key, at)) = map.next_key_seed(Key(self.0))? {
            let word = match key {
                Cow::Borrowed(key) => self.0.word(key, at),
                Cow::Owned(_) => None,
            };
            let key = word.map_or(key, |word| Cow::Owned(word.stringify()));
            let value = map.next_value_seed(self)?;
            if members.insert((&*key).into(), value).is_some() {
                return Err(self.0.twice(at, &key));
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Tree<'_, 'de> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E: DeError>(self) -> Result<Json, E> {
        self.0.spend(0)?;
        Ok(Json::Null)
    }
    fn visit_none<E: DeError>(self) -> Result<Json, E> {
        self.visit_unit()
    }
    fn visit_bool<E: DeError>(self, value: bool) -> Result<Json, E> {
        self.0.spend(0)?;
        Ok(Json::Bool(value))
    }
    fn visit_i64<E: DeError>(self, value: i64) -> Result<Json, E> {
        self.visit_f64(value as f64)
    }
    fn visit_u64<E: DeError>(self, value: u64) -> Result<Json, E> {
        self.visit_f64(value as f64)
    }
    fn visit_i128<E: DeError>(self, value: i128) -> Result<Json, E> {
        self.visit_f64(value as f64)
    }
    fn visit_u128<E: DeError>(self, value: u128) -> Result<Json, E> {
        self.visit_f64(value as f64)
    }
    fn visit_f64<E: DeError>(self, value: f64) -> Result<Json, E> {
        self.0.spend(0)?;
        Ok(Json::Number(self.0.finite(value, self.0.column.get())?))
    }
    fn visit_borrowed_str<E: DeError>(self, value: &'de str) -> Result<Json, E> {
        if let Some(number) = self.0.infinite_word(value) {
            return self.visit_f64(number);
        }
        let at = self.0.see(value);
        match self.0.word(value, at) {
            Some(word) => Ok(word),
            None => self.visit_str(value),
        }
    }
    fn visit_str<E: DeError>(self, value: &str) -> Result<Json, E> {
        self.0.spend(value.len())?;
        Ok(Json::string(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        self.0.spend(0)?;
        let mut elements = Vec::new();
        while let Some(element) = list.next_element_seed(self)? {
            elements.push(element);
        }
        Ok(Json::list(elements))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        self.0.spend(0)?;
        let mut members = Map::new();
        self.members(&mut map, &mut members)?;
        Ok(Json::Map(Arc::new(members)))
    }
}

/// Reads a `jsonb` column straight into compact JSON text, without a tree in between.
pub(super) fn compact<'de, A: MapAccess<'de>>(
    source: &Source<'de>,
    map: &mut A,
) -> Result<Box<str>, A::Error> {
    let mut scratch = source.scratch.take();
    scratch.clear();
    let result = map.next_value_seed(Compact {
        source,
        text: &mut scratch,
    });
    let text = Box::from(&*scratch);
    source.scratch.replace(scratch);
    result.map(|()| text)
}

struct Compact<'c, 'de> {
    source: &'c Source<'de>,
    text: &'c mut String,
}

impl Compact<'_, '_> {
    fn push<E: DeError>(self, scalar: &str) -> Result<(), E> {
        self.source.spend(0)?;
        self.text.push_str(scalar);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Compact<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Compact<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E: DeError>(self) -> Result<(), E> {
        self.push("null")
    }
    fn visit_none<E: DeError>(self) -> Result<(), E> {
        self.push("null")
    }
    fn visit_bool<E: DeError>(self, value: bool) -> Result<(), E> {
        self.push(if value { "true" } else { "false" })
    }
    fn visit_i64<E: DeError>(self, value: i64) -> Result<(), E> {
        self.push(&value.to_string())
    }
    fn visit_u64<E: DeError>(self, value: u64) -> Result<(), E> {
        self.push(&value.to_string())
    }
    fn visit_i128<E: DeError>(self, value: i128) -> Result<(), E> {
        self.visit_f64(value as f64)
    }
    fn visit_u128<E: DeError>(self, value: u128) -> Result<(), E> {
        self.visit_f64(value as f64)
    }
    fn visit_f64<E: DeError>(self, value: f64) -> Result<(), E> {
        let value = self.source.finite(value, true)?;
        if value.is_infinite() {
            return self.push(if value > 0.0 { "1e999" } else { "-1e999" });
        }
        self.push(&number_text(value))
    }
    fn visit_borrowed_str<E: DeError>(self, value: &'de str) -> Result<(), E> {
        if let Some(number) = self.source.infinite_word(value) {
            return self.visit_f64(number);
        }
        self.source.see(value);
        self.visit_str(value)
    }
    fn visit_str<E: DeError>(self, value: &str) -> Result<(), E> {
        self.source.spend(value.len())?;
        write_text(value, self.text);
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.source.spend(0)?;
        let Self { source, text } = self;
        text.push('[');
        let mut first = true;
        loop {
            let end = text.len();
            if !first {
                text.push(',');
            }
            first = false;
            if list.next_element_seed(Compact { source, text })?.is_none() {
                text.truncate(end);
                break;
            }
        }
        text.push(']');
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.source.spend(0)?;
        let Self { source, text } = self;
        text.push('{');
        let mut keys = Keys::default();
        while let Some((key, at)) = map.next_key_seed(Key(source))? {
            if !keys.is_empty() {
                text.push(',');
            }
            write_text(&key, text);
            text.push(':');
            if let Some(key) = keys.insert(key) {
                return Err(source.twice(at, &key));
            }
            map.next_value_seed(Compact { source, text })?;
        }
        text.push('}');
        Ok(())
    }
}

/// The keys of one map: a list while they are few, which is nearly always, a set from there on.
#[derive(Default)]
struct Keys<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Keys<'de> {
    fn is_empty(&self) -> bool {
        self.few.is_empty() && self.many.is_empty()
    }

    /// Gives the key back if it is there already.
    fn insert(&mut self, key: Cow<'de, str>) -> Option<Cow<'de, str>> {
        if !self.many.is_empty() {
            return if self.many.contains(&key) {
                Some(key)
            } else {
                self.many.insert(key);
                None
            };
        }
        if self.few.contains(&key) {
            return Some(key);
        }
        self.few.push(key);
        if self.few.len() == 16 {
            self.many = self.few.drain(..).collect();
        }
        None
    }
}

/// A map whose members are handled one by one.
pub(super) trait Members<'de> {
    /// Reads the value of this member. A member that is not the map's own must be refused.
    fn member<A: MapAccess<'de>>(
        &mut self,
        source: &Source<'de>,
        key: Cow<'de, str>,
        at: usize,
        map: &mut A,
    ) -> Result<(), A::Error>;
}

/// A list whose elements are handled one by one.
pub(super) trait Elements<'de> {
    /// Reads the next element; false at the end.
    fn element<A: SeqAccess<'de>>(&mut self, source: &Source<'de>, list: &mut A) -> Result<bool, A::Error>;
}

/// Seed of a map for [`Members`]; null is an empty one.
pub(super) struct MapOf<'c, 'de, M> {
    pub(super) source: &'c Source<'de>,
    pub(super) at: usize,
    pub(super) what: &'c str,
    pub(super) members: &'c mut M,
}

/// Seed of a list for [`Elements`]; null is an empty one.
pub(super) struct ListOf<'c, 'de, L> {
    pub(super) source: &'c Source<'de>,
    pub(super) at: usize,
    pub(super) what: &'c str,
    pub(super) elements: &'c mut L,
}

macro_rules! refuse_scalars {
    ($expected:literal) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str($expected)
        }
        fn visit_unit<E: DeError>(self) -> Result<(), E> {
            Ok(())
        }
        fn visit_none<E: DeError>(self) -> Result<(), E> {
            Ok(())
        }
        fn visit_bool<E: DeError>(self, _: bool) -> Result<(), E> {
            Err(self.wrong("a boolean"))
        }
        fn visit_i64<E: DeError>(self, _: i64) -> Result<(), E> {
            Err(self.wrong("a number"))
        }
        fn visit_u64<E: DeError>(self, _: u64) -> Result<(), E> {
            Err(self.wrong("a number"))
        }
        fn visit_i128<E: DeError>(self, _: i128) -> Result<(), E> {
            Err(self.wrong("a number"))
        }
        fn visit_u128<E: DeError>(self, _: u128) -> Result<(), E> {
            Err(self.wrong("a number"))
        }
        fn visit_f64<E: DeError>(self, _: f64) -> Result<(), E> {
            Err(self.wrong("a number"))
        }
        fn visit_borrowed_str<E: DeError>(mut self, text: &'de str) -> Result<(), E> {
            self.at = self.source.see(text);
            Err(self.wrong("a string"))
        }
        fn visit_str<E: DeError>(self, _: &str) -> Result<(), E> {
            Err(self.wrong("a string"))
        }
    };
}

impl<M> MapOf<'_, '_, M> {
    fn wrong<E: DeError>(&self, found: &str) -> E {
        self.source
            .fail(self.at, format!("{} must be a map, not {found}", self.what))
    }
}

impl<L> ListOf<'_, '_, L> {
    fn wrong<E: DeError>(&self, found: &str) -> E {
        self.source
            .fail(self.at, format!("{} must be a list, not {found}", self.what))
    }
}

impl<'de, M: Members<'de>> DeserializeSeed<'de> for MapOf<'_, 'de, M> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, M: Members<'de>> Visitor<'de> for MapOf<'_, 'de, M> {
    type Value = ();

    refuse_scalars!("a map");

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.wrong("a list"))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.source.spend(0)?;
        while let Some((key, at)) = map.next_key_seed(Key(self.source))? {
            self.members.member(self.source, key, at, &mut map)?;
        }
        Ok(())
    }
}

impl<'de, L: Elements<'de>> DeserializeSeed<'de> for ListOf<'_, 'de, L> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, L: Elements<'de>> Visitor<'de> for ListOf<'_, 'de, L> {
    type Value = ();

    refuse_scalars!("a list");

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.wrong("a map"))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.source.spend(0)?;
        while self.elements.element(self.source, &mut list)? {}
        Ok(())
    }
}
