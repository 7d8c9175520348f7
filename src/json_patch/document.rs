//! The document that patches work on: JSON as JavaScript holds it in memory, with the origin of every value.
//!
//! It has its own node type because a patched document can hold what no JSON text can: `undefined` members,
//! functions found by inherited names, and lists with named properties. Lists and maps are shared between
//! clones and copied on write, so a clone costs nothing and a patch costs what it touches.

use std::{
    cmp::{Ordering, Reverse},
    collections::HashMap,
    ops::{Deref, Range},
    sync::Arc,
};

use super::built_in::BuiltIn;
use crate::json::{self, Build, JsString, Json, Notes, Text, Unprintable};

/// Index into the pipeline's own table of steps. Later steps have larger stamps.
pub type Stamp = u32;

/// "As the parent": no value was ever made by this stamp.
const INHERITED: Stamp = Stamp::MAX;

/// One step of a path into a [`Document`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// The member of this name.
    Name(&'a str),
    /// The element at this index, from 0.
    Index(usize),
    /// One past the last element, to append to a list.
    End,
}

/// One step of the path of a [`Leaf`] or a removed field.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathPart {
    /// A member's name; half of a surrogate pair in it stands as U+FFFD.
    Name(Arc<str>),
    /// An element's index, from 0.
    Index(usize),
}

impl PathPart {
    pub(super) fn name(name: &JsString) -> Self {
        Self::Name(match name {
            JsString::Text(text) => text.clone(),
            JsString::Units(_) => name.to_string_lossy().into(),
        })
    }
}

/// A scalar, an empty list or an empty map of the document as it is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Where it stands.
    pub path: Vec<PathPart>,
    /// The step that last put it here, moves and copies included.
    pub by: Stamp,
    /// The step that made the value.
    pub origin: Stamp,
}

/// What stands at a place of a [`Document`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape<'d> {
    /// Nothing: no member or element, or `undefined`.
    Nothing,
    /// `null`
    Null,
    /// A string; `None` if it holds half of a surrogate pair.
    Text(Option<&'d str>),
    /// A number or a boolean.
    Scalar,
    /// A list of so many elements.
    List(usize),
    /// A map.
    Map,
}

/// Why a value cannot be put at a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// Something on the way is neither a list nor a map.
    #[error("\"{pointer}\" is neither a list nor a map; remove it from the template or make it one")]
    Scalar {
        /// JSON pointer of what is in the way.
        pointer: String,
    },
    /// Something on the way is a list where a name was to be found, or a map where an index was.
    #[error("\"{pointer}\" is a {found}, and a {wanted} was to be changed; correct it in the template")]
    Kind {
        /// JSON pointer of what is in the way.
        pointer: String,
        /// `list` or `map`.
        found: &'static str,
        /// `list` or `map`.
        wanted: &'static str,
    },
    /// The list has no such element.
    #[error("\"{pointer}\" has {length} elements, and none at index {index}; add it to the template")]
    Index {
        /// JSON pointer of the list.
        pointer: String,
        /// The index, from 0.
        index: usize,
        /// How many elements there are.
        length: usize,
    },
}

/// Why a document cannot be sent to Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// A string or a name holds half of a surrogate pair.
    #[error(transparent)]
    Surrogate(#[from] Unprintable),
    /// An operation at the root left nothing, which `JSON.stringify` prints as nothing.
    #[error(
        "the whole document is undefined, since an operation at the root path \"\" left no value; correct that operation"
    )]
    Undefined,
}

/// The content of a list or a map: shared between clones, copied on write.
///
/// The content of a template is printed many times, so its JSON text can be kept beside it. Whoever wants to
/// change the content gets it from [`Shared::make_mut`] alone, which forgets the text; whoever wants to change
/// something within it has to come by here as well.
#[derive(Debug)]
pub(super) struct Shared<T>(Arc<Content<T>>);

#[derive(Debug)]
struct Content<T> {
    content: T,
    text: Option<Box<[u8]>>,
}

impl<T> Shared<T> {
    fn new(content: T) -> Self {
        Self(Arc::new(Content { content, text: None }))
    }

    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    fn text(&self) -> Option<&[u8]> {
        self.0.text.as_deref()
    }
}

impl<T: Clone> Shared<T> {
    pub(super) fn make_mut(&mut self) -> &mut T {
        let shared = Arc::make_mut(&mut self.0);
        shared.text = None;
        &mut shared.content
    }

    fn keep_text(&mut self, text: Vec<u8>) {
        Arc::make_mut(&mut self.0).text = Some(text.into());
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A copy is made to be changed, so it has no text.
impl<T: Clone> Clone for Content<T> {
    fn clone(&self) -> Self {
        Self {
            content: self.content.clone(),
            text: None,
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.content
    }
}

/// The largest text for which memory is reserved before it is written.
const MOST_RESERVED: usize = 1 << 20;

/// Up to this depth a list or map keeps its text: so no byte of a text is kept more often, however deep it is.
const KEPT_DEPTH: u32 = 8;

/// A value as JavaScript holds it.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    String(JsString),
    List(Shared<List>),
    Map(Shared<Members>),
    Function(BuiltIn),
}

/// A value at its place.
///
/// A leaf was put by the largest `put` on its path and made by the nearest `made`: so a subtree changes its
/// place, and thereby the stamps of all its leaves, in constant time.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) value: Value,
    put: Stamp,
    made: Stamp,
}

/// A list; `undefined` also stands for a hole, since nothing that a patch can do tells them apart.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) elements: Vec<Slot>,
    /// Properties that are no elements (`args.foo`); they are never printed.
    pub(super) properties: Option<Box<Members>>,
    summary: Summary,
}

/// The members of an object, sorted by name.
#[derive(Clone, Debug)]
pub(super) struct Members {
    pub(super) entries: Vec<Entry>,
    next: u32,
    summary: Summary,
}

/// A member; `order` counts in the order in which JavaScript would list them.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: JsString,
    pub(super) slot: Slot,
    order: u32,
}

/// What is known of a subtree without walking it.
#[derive(Clone, Copy, Debug)]
struct Summary {
    /// About how many bytes of JSON text it is.
    weight: u64,
    /// How many containers are nested, at most. It does not shrink when the deepest one is removed.
    depth: u32,
    /// Whether copying it through JSON text changes nothing. It does not become true again.
    plain: bool,
}

impl Summary {
    const EMPTY: Self = Self {
        weight: 2,
        depth: 1,
        plain: true,
    };

    fn gain(&mut self, value: &Value) {
        self.weight = self.weight.saturating_add(value.weight() + 1);
        self.depth = self.depth.max(value.depth() + 1);
        self.plain &= value.is_plain();
    }

    fn lose(&mut self, value: &Value) {
        self.weight = self.weight.saturating_sub(value.weight() + 1);
    }
}

impl Value {
    /// About how many bytes of JSON text it is.
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::Undefined | Self::Null | Self::Function(_) => 4,
            Self::Bool(_) => 5,
            Self::Number(_) => 8,
            Self::String(JsString::Text(text)) => text.len() as u64 + 2,
            Self::String(JsString::Units(units)) => 3 * units.len() as u64 + 2,
            Self::List(list) => list.summary.weight,
            Self::Map(members) => members.summary.weight,
        }
    }

    /// How many lists and maps are nested in it, itself included.
    pub(super) fn depth(&self) -> u32 {
        match self {
            Self::List(list) => list.summary.depth,
            Self::Map(members) => members.summary.depth,
            _ => 0,
        }
    }

    /// Whether copying it through JSON text changes nothing.
    pub(super) fn is_plain(&self) -> bool {
        match self {
            Self::Undefined | Self::Function(_) => false,
            Self::Number(number) => number.is_finite(),
            Self::List(list) => list.summary.plain,
            Self::Map(members) => members.summary.plain,
            Self::Null | Self::Bool(_) | Self::String(_) => true,
        }
    }

    /// Whether `JSON.stringify` prints it as a member.
    pub(super) fn is_visible(&self) -> bool {
        !matches!(self, Self::Undefined | Self::Function(_))
    }

    pub(super) fn is_container(&self) -> bool {
        matches!(self, Self::List(_) | Self::Map(_))
    }

    pub(super) fn truthy(&self) -> bool {
        match self {
            Self::Undefined | Self::Null => false,
            Self::Bool(b) => *b,
            Self::Number(n) => *n != 0.0 && !n.is_nan(),
            Self::String(s) => s.length() != 0,
            Self::List(_) | Self::Map(_) | Self::Function(_) => true,
        }
    }

    fn is_empty_container(&self) -> bool {
        match self {
            Self::List(list) => list.elements.is_empty(),
            Self::Map(members) => !members.entries.iter().any(|entry| entry.slot.value.is_visible()),
            _ => false,
        }
    }

    fn from_json(value: &Json) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => Self::Number(*n),
            Json::String(s) => Self::String(s.clone()),
            Json::List(list) => Self::list(
                list.iter()
                    .map(|element| Slot::inner(Self::from_json(element)))
                    .collect(),
            ),
            Json::Map(map) => Self::map(
                map.iter()
                    .map(|(name, value)| (name.clone(), Slot::inner(Self::from_json(value))))
                    .collect(),
            ),
        }
    }

    /// [`Value::from_json`] of the same value, without making that first.
    fn from_value(value: &serde_json::Value) -> Self {
        use serde_json::Value as Sent;
        match value {
            Sent::Null => Self::Null,
            Sent::Bool(b) => Self::Bool(*b),
            Sent::Number(n) => Self::Number(n.as_f64().unwrap_or(f64::INFINITY)),
            Sent::String(s) => Self::String(s.as_str().into()),
            Sent::Array(list) => Self::list(
                list.iter()
                    .map(|element| Slot::inner(Self::from_value(element)))
                    .collect(),
            ),
            Sent::Object(map) => Self::map(
                map.iter()
                    .map(|(name, value)| (name.as_str().into(), Slot::inner(Self::from_value(value))))
                    .collect(),
            ),
        }
    }

    fn list(elements: Vec<Slot>) -> Self {
        let mut summary = Summary::EMPTY;
        for element in &elements {
            summary.gain(&element.value);
        }
        Self::List(Shared::new(List {
            elements,
            properties: None,
            summary,
        }))
    }

    /// A map of members with different names, in JavaScript's order.
    fn map(members: Vec<(JsString, Slot)>) -> Self {
        Self::Map(Shared::new(Members::new(members)))
    }

    /// What `JSON.parse(JSON.stringify(value))` gives for an object or a list; others pass unchanged, but
    /// `undefined`, which becomes `null`. This is how fast-json-patch copies.
    pub(super) fn json_clone(&self) -> Self {
        match self {
            Self::Undefined => Self::Null,
            Self::List(_) | Self::Map(_) if !self.is_plain() => self.through_text(),
            other => other.clone(),
        }
    }

    fn through_text(&self) -> Self {
        match self {
            Self::Undefined | Self::Function(_) => Self::Null,
            Self::Number(number) if !number.is_finite() => Self::Null,
            Self::List(list) if !list.summary.plain => Self::list(
                list.elements
                    .iter()
                    .map(|element| element.with_value(element.value.through_text()))
                    .collect(),
            ),
            Self::Map(members) if !members.summary.plain => Self::map(
                members
                    .in_order()
                    .into_iter()
                    .filter(|entry| entry.slot.value.is_visible())
                    .map(|entry| {
                        (
                            entry.name.clone(),
                            entry.slot.with_value(entry.slot.value.through_text()),
                        )
                    })
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Self::Undefined | Self::Null | Self::Function(_) => Json::Null,
            Self::Bool(b) => Json::Bool(*b),
            Self::Number(n) => Json::Number(*n),
            Self::String(s) => Json::String(s.clone()),
            Self::List(list) => Json::list(
                list.elements
                    .iter()
                    .map(|element| element.value.to_json())
                    .collect(),
            ),
            Self::Map(members) => Json::map(
                members
                    .in_order()
                    .into_iter()
                    .filter(|entry| entry.slot.value.is_visible())
                    .map(|entry| (entry.name.clone(), entry.slot.value.to_json())),
            ),
        }
    }

    fn to_value(&self) -> Result<serde_json::Value, Unprintable> {
        use serde_json::Value as Sent;
        Ok(match self {
            Self::Undefined | Self::Null | Self::Function(_) => Sent::Null,
            Self::Bool(b) => Sent::Bool(*b),
            Self::Number(n) => json::value_from_f64(*n),
            Self::String(s) => Sent::String(s.as_str().ok_or_else(Unprintable::here)?.to_owned()),
            Self::List(list) => {
                let mut elements = Vec::with_capacity(list.elements.len());
                for (i, element) in list.elements.iter().enumerate() {
                    elements.push(element.value.to_value().map_err(|e| e.below(&i.to_string()))?);
                }
                Sent::Array(elements)
            }
            Self::Map(members) => {
                // One by one: collecting sorts what is sorted.
                let mut map = serde_json::Map::new();
                for entry in members.visible() {
                    let name = entry.text()?;
                    let value = entry.slot.value.to_value().map_err(|e| e.below(name))?;
                    map.insert(name.to_owned(), value);
                }
                Sent::Object(map)
            }
        })
    }

    /// Whether [`Value::to_value`] gives this, without making it.
    fn is_value(&self, sent: &serde_json::Value) -> bool {
        use serde_json::Value as Sent;
        match (self, sent) {
            (Self::Undefined | Self::Null | Self::Function(_), Sent::Null) => true,
            (Self::Bool(b), Sent::Bool(other)) => b == other,
            (Self::Number(n), Sent::Null | Sent::Number(_)) => json::value_from_f64(*n) == *sent,
            (Self::String(s), Sent::String(other)) => *s == **other,
            (Self::List(list), Sent::Array(others)) => {
                list.elements.len() == others.len()
                    && list
                        .elements
                        .iter()
                        .zip(others)
                        .all(|(element, other)| element.value.is_value(other))
            }
            (Self::Map(members), Sent::Object(others)) => {
                members.visible().count() == others.len()
                    && members.visible().all(|entry| {
                        let other = entry.name.as_str().and_then(|name| others.get(name));
                        other.is_some_and(|other| entry.slot.value.is_value(other))
                    })
            }
            _ => false,
        }
    }

    fn write_sorted(&self, out: &mut Vec<u8>) -> Result<(), Unprintable> {
        match self {
            Self::Undefined | Self::Null | Self::Function(_) => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(number) => write_number(*number, out),
            Self::String(string) => write_text(string.as_str().ok_or_else(Unprintable::here)?, out),
            Self::List(list) => {
                if let Some(text) = list.text() {
                    out.extend_from_slice(text);
                    return Ok(());
                }
                out.push(b'[');
                for (i, element) in list.elements.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    element
                        .value
                        .write_sorted(out)
                        .map_err(|e| e.below(&i.to_string()))?;
                }
                out.push(b']');
            }
            Self::Map(members) => {
                if let Some(text) = members.text() {
                    out.extend_from_slice(text);
                    return Ok(());
                }
                let mut separator = b'{';
                for entry in members.visible() {
                    let name = entry.text()?;
                    out.push(separator);
                    separator = b',';
                    write_text(name, out);
                    out.push(b':');
                    entry.slot.value.write_sorted(out).map_err(|e| e.below(name))?;
                }
                if separator == b'{' {
                    out.push(b'{');
                }
                out.push(b'}');
            }
        }
        Ok(())
    }

    /// Keeps the text of every list and map in it, for [`Value::write_sorted`].
    fn keep_texts(&mut self) {
        let depth = self.depth();
        match self {
            Self::List(list) => {
                let elements = list.make_mut().elements.iter_mut();
                elements.for_each(|element| element.value.keep_texts());
            }
            Self::Map(members) => {
                let entries = members.make_mut().entries.iter_mut();
                entries.for_each(|entry| entry.slot.value.keep_texts());
            }
            _ => return,
        }
        let mut text = Vec::new();
        // What cannot be printed has no text; that is told when it is to be printed.
        if depth > KEPT_DEPTH || self.write_sorted(&mut text).is_err() {
            return;
        }
        match self {
            Self::List(list) => list.keep_text(text),
            Self::Map(members) => members.keep_text(text),
            _ => {}
        }
    }

    fn write_in_order(&self, text: &mut String) {
        match self {
            Self::Undefined | Self::Null | Self::Function(_) => text.push_str("null"),
            Self::Bool(b) => text.push_str(if *b { "true" } else { "false" }),
            Self::Number(number) => text.push_str(&json::number_text(*number)),
            Self::String(string) => json::write_string(string, text),
            Self::List(list) => {
                text.push('[');
                for (i, element) in list.elements.iter().enumerate() {
                    if i > 0 {
                        text.push(',');
                    }
                    element.value.write_in_order(text);
                }
                text.push(']');
            }
            Self::Map(members) => {
                let mut separator = '{';
                for entry in members.in_order() {
                    if entry.slot.value.is_visible() {
                        text.push(separator);
                        separator = ',';
                        json::write_string(&entry.name, text);
                        text.push(':');
                        entry.slot.value.write_in_order(text);
                    }
                }
                if separator == '{' {
                    text.push('{');
                }
                text.push('}');
            }
        }
    }
}

impl Slot {
    /// A value that this step made and put.
    pub(super) fn new(value: Value, stamp: Stamp) -> Self {
        Self {
            value,
            put: stamp,
            made: stamp,
        }
    }

    /// A value whose stamps are those of its parent.
    fn inner(value: Value) -> Self {
        Self {
            value,
            put: 0,
            made: INHERITED,
        }
    }

    /// A value of an operation, ready to be put by any step.
    pub(super) fn prepared(value: &Json) -> Self {
        Self::inner(Value::from_json(value))
    }

    pub(super) fn keep_texts(&mut self) {
        self.value.keep_texts();
    }

    pub(super) fn undefined() -> Self {
        Self::inner(Value::Undefined)
    }

    fn with_value(&self, value: Value) -> Self {
        Self { value, ..*self }
    }

    /// The same value put elsewhere by `put`; `made` is who made it.
    pub(super) fn placed(value: Value, put: Stamp, made: Stamp) -> Self {
        Self { value, put, made }
    }

    /// Who made it, given who made its parent.
    pub(super) fn made_below(&self, parent: Stamp) -> Stamp {
        if self.made == INHERITED { parent } else { self.made }
    }

    /// After a removal: an empty list or map is there because of the step that emptied it.
    pub(super) fn claim_if_empty(&mut self, stamp: Stamp) {
        if self.value.is_empty_container() {
            self.put = stamp;
            self.made = stamp;
        }
    }

    /// Takes over the other's value, and its stamps where they are its own.
    pub(super) fn follow(&mut self, other: &Self) {
        self.value = other.value.clone();
        if self.value.is_empty_container() {
            self.put = other.put;
            self.made = other.made;
        }
    }
}

impl List {
    pub(super) fn insert(&mut self, at: usize, slot: Slot) {
        self.summary.gain(&slot.value);
        self.elements.insert(at.min(self.elements.len()), slot);
    }

    pub(super) fn remove(&mut self, at: usize) -> Option<Slot> {
        if at >= self.elements.len() {
            return None;
        }
        let slot = self.elements.remove(at);
        self.summary.lose(&slot.value);
        Some(slot)
    }

    /// Puts an element in its place; behind the end, `stamp` fills the gap with holes.
    pub(super) fn put(&mut self, at: usize, slot: Slot, stamp: Stamp) {
        if at > self.elements.len() {
            self.resize(at, stamp);
        }
        self.summary.gain(&slot.value);
        match self.elements.get_mut(at) {
            Some(place) => {
                self.summary.lose(&place.value);
                *place = slot;
            }
            None => self.elements.push(slot),
        }
    }

    /// JavaScript's `list.length = length`.
    pub(super) fn resize(&mut self, length: usize, stamp: Stamp) {
        for gone in self.elements.get(length..).unwrap_or_default() {
            self.summary.lose(&gone.value);
        }
        let holes = length.saturating_sub(self.elements.len()) as u64;
        self.elements.resize(length, Slot::new(Value::Undefined, stamp));
        if holes > 0 {
            self.summary.weight = self.summary.weight.saturating_add(5 * holes);
            self.summary.plain = false;
        }
    }

    pub(super) fn property(&self, name: &JsString) -> Option<(usize, &Slot)> {
        let properties = self.properties.as_ref()?;
        let at = properties.find(name).ok()?;
        properties.entries.get(at).map(|entry| (at, &entry.slot))
    }

    pub(super) fn put_property(&mut self, name: JsString, slot: Slot) {
        let properties = self
            .properties
            .get_or_insert_with(|| Box::new(Members::new(Vec::new())));
        let before = properties.summary.weight;
        properties.put(name, slot);
        let after = properties.summary;
        self.summary.weight = (self.summary.weight + after.weight).saturating_sub(before);
        self.summary.depth = self.summary.depth.max(after.depth);
        self.summary.plain = false;
    }
}

impl Members {
    fn new(members: Vec<(JsString, Slot)>) -> Self {
        let mut summary = Summary::EMPTY;
        let mut next = 0;
        let mut entries: Vec<Entry> = members
            .into_iter()
            .map(|(name, slot)| {
                summary.gain(&slot.value);
                summary.weight = summary.weight.saturating_add(name_weight(&name));
                next += 1;
                Entry {
                    name,
                    slot,
                    order: next - 1,
                }
            })
            .collect();
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Self {
            entries,
            next,
            summary,
        }
    }

    /// Where this name is, or where it would be.
    pub(super) fn find(&self, name: &JsString) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.name.cmp(name))
    }

    fn find_str(&self, name: &str) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| match &entry.name {
            JsString::Text(text) => (**text).cmp(name),
            JsString::Units(_) => Ordering::Greater,
        })
    }

    pub(super) fn put(&mut self, name: JsString, slot: Slot) {
        self.summary.gain(&slot.value);
        match self.find(&name) {
            Ok(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    self.summary.lose(&entry.slot.value);
                    entry.slot = slot;
                }
            }
            Err(at) => {
                self.summary.weight = self.summary.weight.saturating_add(name_weight(&name));
                let order = self.next;
                self.next = self.next.saturating_add(1);
                self.entries.insert(at, Entry { name, slot, order });
            }
        }
    }

    pub(super) fn remove(&mut self, at: usize) -> Option<Slot> {
        if at >= self.entries.len() {
            return None;
        }
        let entry = self.entries.remove(at);
        self.summary.lose(&entry.slot.value);
        self.summary.weight = self.summary.weight.saturating_sub(name_weight(&entry.name));
        Some(entry.slot)
    }

    /// In JavaScript's order: integer-like names ascending, then as they were added.
    pub(super) fn in_order(&self) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|entry| {
            let index = entry.name.as_str().filter(|_| json::is_array_index(&entry.name));
            (
                Reverse(index.is_some()),
                index.and_then(|index| index.parse::<u32>().ok()),
                entry.order,
            )
        });
        entries
    }

    fn visible(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.slot.value.is_visible())
    }
}

impl Entry {
    fn text(&self) -> Result<&str, Unprintable> {
        self.name
            .as_str()
            .ok_or_else(|| Unprintable::here().below(&self.name.to_string_lossy()))
    }
}

/// About how many bytes of JSON text a name is, with its quotes and colon.
pub(super) fn name_weight(name: &JsString) -> u64 {
    3 + match name {
        JsString::Text(text) => text.len() as u64,
        JsString::Units(units) => 3 * units.len() as u64,
    }
}

/// One resolved step into the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Member(usize),
    Element(usize),
    Property(usize),
}

/// [`Document::set_strings`], from the `depth`th step of the places on.
fn set_strings(slot: &mut Slot, strings: &[(&Place, JsString, Stamp)], depth: usize) {
    for group in strings.chunk_by(|(a, ..), (b, ..)| a.0.get(depth) == b.0.get(depth)) {
        let Some((place, string, stamp)) = group.first() else {
            continue;
        };
        match (&mut slot.value, place.0.get(depth)) {
            (_, None) => *slot = Slot::new(Value::String(string.clone()), *stamp),
            (Value::Map(members), Some(Step::Member(at))) => {
                let members = members.make_mut();
                if let Some(entry) = members.entries.get_mut(*at) {
                    members.summary.lose(&entry.slot.value);
                    set_strings(&mut entry.slot, group, depth + 1);
                    members.summary.gain(&entry.slot.value);
                }
            }
            (Value::List(list), Some(Step::Element(at))) => {
                let list = list.make_mut();
                if let Some(element) = list.elements.get_mut(*at) {
                    list.summary.lose(&element.value);
                    set_strings(element, group, depth + 1);
                    list.summary.gain(&element.value);
                }
            }
            _ => {}
        }
    }
}

/// A place of a [`Document`], found once for many clones.
#[derive(Clone, Debug)]
pub(crate) struct Place(Vec<Step>);

pub(super) fn child(slot: &Slot, step: Step) -> Option<&Slot> {
    match (&slot.value, step) {
        (Value::Map(members), Step::Member(at)) => members.entries.get(at).map(|entry| &entry.slot),
        (Value::List(list), Step::Element(at)) => list.elements.get(at),
        (Value::List(list), Step::Property(at)) => {
            let properties = list.properties.as_ref()?;
            properties.entries.get(at).map(|entry| &entry.slot)
        }
        _ => None,
    }
}

/// Changes what stands at the end of `steps`, copying shared containers on the way and keeping their
/// summaries. `shared` hears how many elements each copy has.
pub(super) fn edit<R>(
    slot: &mut Slot,
    steps: &[Step],
    shared: &mut dyn FnMut(usize),
    change: &mut dyn FnMut(&mut Slot) -> R,
) -> Option<R> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(change(slot));
    };
    match (&mut slot.value, *step) {
        (Value::Map(members), Step::Member(at)) => {
            if members.is_shared() {
                shared(members.entries.len());
            }
            let members = members.make_mut();
            let child = &mut members.entries.get_mut(at)?.slot;
            members.summary.lose(&child.value);
            let result = edit(child, rest, shared, change);
            members.summary.gain(&child.value);
            result
        }
        (Value::List(list), Step::Element(at)) => {
            if list.is_shared() {
                shared(list.elements.len());
            }
            let list = list.make_mut();
            let child = list.elements.get_mut(at)?;
            list.summary.lose(&child.value);
            let result = edit(child, rest, shared, change);
            list.summary.gain(&child.value);
            result
        }
        (Value::List(list), Step::Property(at)) => {
            if list.is_shared() {
                shared(list.elements.len());
            }
            let list = list.make_mut();
            let properties = list.properties.as_mut()?;
            let child = &mut properties.entries.get_mut(at)?.slot;
            let before = properties.summary.weight;
            properties.summary.lose(&child.value);
            let result = edit(child, rest, shared, change);
            properties.summary.gain(&child.value);
            list.summary.weight = (list.summary.weight + properties.summary.weight).saturating_sub(before);
            list.summary.depth = list.summary.depth.max(properties.summary.depth);
            result
        }
        _ => None,
    }
}

/// A JSON document with, for every value, the step that put it there and the step that made it.
///
/// Clones share everything until one of them changes. The order of members is JavaScript's and shows in
/// [`Document::stringify`] and [`Document::get`]; all else is sorted by name.
#[derive(Clone, Debug)]
pub struct Document {
    pub(super) root: Slot,
}

struct Stamping<'a> {
    stamp: &'a mut dyn FnMut(Range<usize>) -> Option<Stamp>,
}

/// The members of an object that is being read; an index of their names only where there are many.
#[derive(Default)]
struct Reading {
    members: Vec<(JsString, Slot)>,
    index: HashMap<JsString, usize>,
}

/// Up to here comparing all names is faster than an index.
const FEW: usize = 16;

impl Stamping<'_> {
    fn slot(&mut self, value: Value, span: Range<usize>) -> Slot {
        match (self.stamp)(span) {
            Some(stamp) => Slot::new(value, stamp),
            None => Slot::inner(value),
        }
    }
}

impl Build for Stamping<'_> {
    type Value = Slot;
    type Members = Reading;

    fn scalar(&mut self, value: Json, span: Range<usize>) -> Slot {
        self.slot(Value::from_json(&value), span)
    }

    fn list(&mut self, elements: Vec<Slot>, span: Range<usize>) -> Slot {
        if elements.is_empty() {
            self.slot(Value::list(elements), span)
        } else {
            Slot::inner(Value::list(elements))
        }
    }

    fn member(&mut self, reading: &mut Reading, name: Text<'_>, span: Range<usize>, mut value: Slot) -> bool {
        let name = JsString::from(name);
        if let Some(stamp) = (self.stamp)(span) {
            value.put = value.put.max(stamp);
            value.made = value.made_below(stamp);
        }
        let found = if reading.members.len() <= FEW {
            reading.members.iter().position(|(other, _)| *other == name)
        } else {
            if reading.index.is_empty() {
                let names = reading.members.iter().enumerate();
                reading.index = names.map(|(at, (name, _))| (name.clone(), at)).collect();
            }
            reading.index.get(&name).copied()
        };
        match found.and_then(|at| reading.members.get_mut(at)) {
            Some((_, place)) => {
                *place = value;
                true
            }
            None => {
                if !reading.index.is_empty() {
                    reading.index.insert(name.clone(), reading.members.len());
                }
                reading.members.push((name, value));
                false
            }
        }
    }

    fn map(&mut self, reading: Reading, span: Range<usize>) -> Slot {
        if reading.members.is_empty() {
            self.slot(Value::map(Vec::new()), span)
        } else {
            Slot::inner(Value::map(reading.members))
        }
    }
}

impl Document {
    /// Reads a text as `JSON.parse` does, each value stamped `base`.
    ///
    /// `stamp` is asked for every scalar and every empty list or map (with the place of its text in bytes,
    /// quotes included) and for every member's name; what it answers, which must not be smaller than `base`,
    /// stamps the value instead, and for a name the member's whole value.
    ///
    /// # Errors
    /// As [`json::parse`].
    pub fn parse(
        text: &str,
        stamp: &mut dyn FnMut(Range<usize>) -> Option<Stamp>,
        base: Stamp,
    ) -> Result<(Self, Notes), json::Error> {
        let (mut root, notes) = json::read(text, &mut Stamping { stamp })?;
        root.put = root.put.max(base);
        root.made = root.made_below(base);
        Ok((Self { root }, notes))
    }

    /// A document of this value, made and put by one step. Recurses as deep as the value.
    pub fn from_json(value: &Json, stamp: Stamp) -> Self {
        Self {
            root: Slot::new(Value::from_json(value), stamp),
        }
    }

    /// [`Document::from_json`] of a value that holds no more than JSON text does.
    pub fn from_value(value: &serde_json::Value, stamp: Stamp) -> Self {
        Self {
            root: Slot::new(Value::from_value(value), stamp),
        }
    }

    /// Whether [`Document::to_value`] gives this value; nothing is copied to find out.
    pub fn is_value(&self, value: &serde_json::Value) -> bool {
        self.root.value.is_visible() && self.root.value.is_value(value)
    }

    /// Prints faster from now on: every list and map keeps its text until it is changed.
    pub fn keep_texts(&mut self) {
        self.root.value.keep_texts();
    }

    fn find(&self, path: &[Key<'_>]) -> Option<&Slot> {
        let mut slot = &self.root;
        for key in path {
            slot = match (&slot.value, *key) {
                (Value::Map(members), Key::Name(name)) => {
                    &members.entries.get(members.find_str(name).ok()?)?.slot
                }
                (Value::List(list), Key::Index(index)) => list.elements.get(index)?,
                _ => return None,
            };
        }
        Some(slot)
    }

    /// The value at this path; `None` if there is none or it is `undefined`.
    pub fn get(&self, path: &[Key<'_>]) -> Option<Json> {
        self.find(path)
            .filter(|slot| slot.value.is_visible())
            .map(|slot| slot.value.to_json())
    }

    /// The text of the string at this path, without copying anything around it.
    pub fn get_str(&self, path: &[Key<'_>]) -> Option<&str> {
        match &self.find(path)?.value {
            Value::String(string) => string.as_str(),
            _ => None,
        }
    }

    /// Goes down from the root in one pass: `visit` gets what stands there and the step that last put it or one of
    /// its parents, and answers with the key to go on with, or `None` to stop. Where a key leads to nothing,
    /// `visit` is told so once more, with the step of what it stands below, and its answer is not asked for.
    pub fn walk<'d, 'k>(&'d self, visit: &mut dyn FnMut(Shape<'d>, Stamp) -> Option<Key<'k>>) {
        let mut slot = &self.root;
        let mut put = slot.put;
        loop {
            let shape = match &slot.value {
                Value::Undefined | Value::Function(_) => Shape::Nothing,
                Value::Null => Shape::Null,
                Value::String(text) => Shape::Text(text.as_str()),
                Value::Bool(_) | Value::Number(_) => Shape::Scalar,
                Value::List(list) => Shape::List(list.elements.len()),
                Value::Map(_) => Shape::Map,
            };
            let Some(key) = visit(shape, put) else { return };
            let next = match (&slot.value, key) {
                (Value::Map(members), Key::Name(name)) => members
                    .find_str(name)
                    .ok()
                    .and_then(|at| members.entries.get(at))
                    .map(|entry| &entry.slot),
                (Value::List(list), Key::Index(index)) => list.elements.get(index),
                _ => None,
            };
            match next {
                Some(next) => {
                    slot = next;
                    put = put.max(slot.put);
                }
                None => {
                    visit(Shape::Nothing, put);
                    return;
                }
            }
        }
    }

    /// The step that last put something at this path, or put one of its parents there; `None` if nothing is there.
    pub fn writer_of(&self, path: &[Key<'_>]) -> Option<Stamp> {
        let mut put = self.root.put;
        for end in 1..=path.len() {
            put = put.max(self.find(path.get(..end)?)?.put);
        }
        Some(put)
    }

    /// Whether something stands at this path that is printed.
    pub fn exists(&self, path: &[Key<'_>]) -> bool {
        self.find(path).is_some_and(|slot| slot.value.is_visible())
    }

    /// How many elements the list at this path has; `None` if there is no list.
    pub fn list_len(&self, path: &[Key<'_>]) -> Option<usize> {
        match &self.find(path)?.value {
            Value::List(list) => Some(list.elements.len()),
            _ => None,
        }
    }

    /// The names of the printed members of the map at this path, sorted; `None` if there is no map. Names that
    /// hold half of a surrogate pair are left out.
    pub fn member_names(&self, path: &[Key<'_>]) -> Option<Vec<&str>> {
        match &self.find(path)?.value {
            Value::Map(members) => Some(
                members
                    .visible()
                    .filter_map(|entry| entry.name.as_str())
                    .collect(),
            ),
            _ => None,
        }
    }

    /// Assigns the value at this path. Missing maps on the way are made, and a missing list for [`Key::End`].
    ///
    /// # Errors
    /// If something on the way is a scalar or of another kind, or a list has no such index. Nothing is changed
    /// then.
    pub fn set(&mut self, path: &[Key<'_>], value: &Json, stamp: Stamp) -> Result<(), SetError> {
        self.put(path, Value::from_json(value), stamp)
    }

    /// [`Document::set`] with a string.
    ///
    /// # Errors
    /// As [`Document::set`].
    pub fn set_string(&mut self, path: &[Key<'_>], text: &str, stamp: Stamp) -> Result<(), SetError> {
        self.put(path, Value::String(text.into()), stamp)
    }

    /// Where this path leads in this very document, to be used with its clones.
    pub(crate) fn place(&self, path: &[Key<'_>]) -> Option<Place> {
        let mut slot = &self.root;
        let mut steps = Vec::with_capacity(path.len());
        for key in path {
            let step = match (&slot.value, *key) {
                (Value::Map(members), Key::Name(name)) => Step::Member(members.find_str(name).ok()?),
                (Value::List(_), Key::Index(index)) => Step::Element(index),
                _ => return None,
            };
            slot = child(slot, step)?;
            steps.push(step);
        }
        Some(Place(steps))
    }

    /// Puts strings at places of the document whose clone this is, in the order of [`Document::leaves`]: so each
    /// list or map on the way is visited once.
    pub(crate) fn set_strings(&mut self, strings: &[(&Place, JsString, Stamp)]) {
        set_strings(&mut self.root, strings, 0);
    }

    fn put(&mut self, path: &[Key<'_>], value: Value, stamp: Stamp) -> Result<(), SetError> {
        let mut steps = Vec::with_capacity(path.len());
        let mut slot = &self.root;
        let mut rest = path;
        // The part of the path that is there.
        while let Some((key, after)) = rest.split_first() {
            let pointer = || pointer_text(path.get(..path.len() - rest.len()).unwrap_or_default());
            let step = match (&slot.value, *key) {
                (Value::Map(members), Key::Name(name)) => members.find_str(name).ok().map(Step::Member),
                (Value::List(list), Key::Index(index)) if index < list.elements.len() => {
                    Some(Step::Element(index))
                }
                (Value::List(list), Key::Index(index)) => {
                    return Err(SetError::Index {
                        pointer: pointer(),
                        index,
                        length: list.elements.len(),
                    });
                }
                (Value::List(_), Key::End) => None,
                (Value::Undefined | Value::Function(_), Key::Name(_) | Key::End) => break,
                (Value::Undefined | Value::Function(_), Key::Index(index)) => {
                    return Err(SetError::Index {
                        pointer: pointer(),
                        index,
                        length: 0,
                    });
                }
                (Value::List(_), Key::Name(_)) => {
                    return Err(SetError::Kind {
                        pointer: pointer(),
                        found: "list",
                        wanted: "map",
                    });
                }
                (Value::Map(_), Key::Index(_) | Key::End) => {
                    return Err(SetError::Kind {
                        pointer: pointer(),
                        found: "map",
                        wanted: "list",
                    });
                }
                (_, _) => return Err(SetError::Scalar { pointer: pointer() }),
            };
            let Some(next) = step.and_then(|step| child(slot, step).map(|slot| (step, slot))) else {
                break;
            };
            steps.push(next.0);
            slot = next.1;
            rest = after;
        }
        // The part that is missing, from its end: the value wrapped into maps and lists of its own.
        let mut value = value;
        for (at, key) in rest.iter().enumerate().skip(1).rev() {
            value = match key {
                Key::Name(name) => Value::map(vec![((*name).into(), Slot::inner(value))]),
                Key::End => Value::list(vec![Slot::inner(value)]),
                Key::Index(index) => {
                    return Err(SetError::Index {
                        pointer: pointer_text(path.get(..path.len() - rest.len() + at).unwrap_or_default()),
                        index: *index,
                        length: 0,
                    });
                }
            };
        }
        let first = rest.first().copied();
        let mut value = Some(value);
        edit(&mut self.root, &steps, &mut |_| (), &mut |slot| {
            let new = Slot::new(value.take().unwrap_or(Value::Undefined), stamp);
            match (first, &mut slot.value) {
                (None, _) => *slot = new,
                (Some(Key::Name(name)), Value::Map(members)) => members.make_mut().put(name.into(), new),
                (Some(_), Value::List(list)) => {
                    let list = list.make_mut();
                    list.insert(list.elements.len(), new);
                }
                (Some(Key::Name(name)), _) => {
                    *slot = Slot::new(Value::map(vec![(name.into(), Slot::inner(new.value))]), stamp);
                }
                (Some(_), _) => *slot = Slot::new(Value::list(vec![Slot::inner(new.value)]), stamp),
            }
        });
        Ok(())
    }

    /// Removes what stands at this path; elements behind it move up. Returns whether something printed was
    /// removed. A list or map that becomes empty is put by `stamp`.
    pub fn remove(&mut self, path: &[Key<'_>], stamp: Stamp) -> bool {
        let Some((last, parents)) = path.split_last() else {
            return false;
        };
        let mut steps = Vec::with_capacity(path.len());
        let mut slot = &self.root;
        for key in parents.iter().chain([last]) {
            let step = match (&slot.value, *key) {
                (Value::Map(members), Key::Name(name)) => members.find_str(name).ok().map(Step::Member),
                (Value::List(_), Key::Index(index)) => Some(Step::Element(index)),
                _ => None,
            };
            let Some((step, next)) = step.and_then(|step| child(slot, step).map(|slot| (step, slot))) else {
                return false;
            };
            steps.push(step);
            slot = next;
        }
        let Some(last) = steps.pop() else { return false };
        edit(&mut self.root, &steps, &mut |_| (), &mut |parent| {
            let visible = match (&mut parent.value, last) {
                (Value::Map(members), Step::Member(at)) => members
                    .make_mut()
                    .remove(at)
                    .is_some_and(|gone| gone.value.is_visible()),
                (Value::List(list), Step::Element(at)) => list.make_mut().remove(at).is_some(),
                _ => false,
            };
            parent.claim_if_empty(stamp);
            visible
        })
        .unwrap_or(false)
    }

    /// Every scalar, empty list and empty map as printed, in the order of sorted names.
    ///
    /// Each leaf has its own path: for documents that are not under a limit on depth, prefer
    /// [`Document::for_each_leaf`].
    pub fn leaves(&self) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        self.for_each_leaf(&mut |path, by, origin| {
            leaves.push(Leaf {
                path: path.to_vec(),
                by,
                origin,
            });
        });
        leaves
    }

    /// Calls `visit` with path, `by` and `origin` of every [`Leaf`], in the order of sorted names, in constant
    /// memory.
    pub fn for_each_leaf(&self, visit: &mut dyn FnMut(&[PathPart], Stamp, Stamp)) {
        self.visit_leaves(&mut |path, _, by, origin| visit(path, by, origin));
    }

    /// Calls `visit` with path and text of every string but those with half of a surrogate pair, in the order of
    /// sorted names.
    pub fn for_each_text(&self, visit: &mut dyn FnMut(&[PathPart], &str)) {
        self.visit_leaves(&mut |path, value, _, _| {
            if let Value::String(JsString::Text(text)) = value {
                visit(path, text);
            }
        });
    }

    fn visit_leaves(&self, visit: &mut VisitLeaf<'_>) {
        if self.root.value.is_visible() {
            visit_leaves(&self.root, self.root.put, self.root.made, &mut Vec::new(), visit);
        }
    }

    /// [`Document::for_each_leaf`] of what stands at this path alone.
    pub fn for_each_leaf_below(&self, path: &[Key<'_>], visit: &mut dyn FnMut(&[PathPart], Stamp, Stamp)) {
        let mut parts = Vec::with_capacity(path.len());
        let (mut put, mut made) = (self.root.put, self.root.made);
        for (at, key) in path.iter().enumerate() {
            let Some(slot) = self.find(path.get(..=at).unwrap_or(path)) else {
                return;
            };
            (put, made) = (put.max(slot.put), slot.made_below(made));
            parts.push(match key {
                Key::Name(name) => PathPart::Name((*name).into()),
                Key::Index(index) => PathPart::Index(*index),
                Key::End => return,
            });
        }
        if let Some(slot) = self.find(path).filter(|slot| slot.value.is_visible()) {
            visit_leaves(slot, put, made, &mut parts, &mut |path, _, by, origin| {
                visit(path, by, origin);
            });
        }
    }

    /// Whether nothing is left of the document, not even `null`.
    pub fn is_undefined(&self) -> bool {
        !self.root.value.is_visible()
    }

    /// The document as it is sent to Kubernetes: names sorted, `undefined` members left out, `undefined`
    /// elements `null`.
    ///
    /// # Errors
    /// If a string or a name holds half of a surrogate pair, or the root is `undefined`.
    pub fn to_value(&self) -> Result<serde_json::Value, Unsendable> {
        if self.is_undefined() {
            return Err(Unsendable::Undefined);
        }
        Ok(self.root.value.to_value()?)
    }

    /// Appends what [`Document::to_value`] gives as compact JSON text, names sorted by their bytes, numbers as
    /// JavaScript prints them.
    ///
    /// # Errors
    /// As [`Document::to_value`]; `out` then holds an unfinished text.
    pub fn write_json(&self, out: &mut Vec<u8>) -> Result<(), Unsendable> {
        if self.is_undefined() {
            return Err(Unsendable::Undefined);
        }
        // The weight is about the length of the text, so `out` seldom has to grow again.
        let weight = usize::try_from(self.root.value.weight()).unwrap_or(usize::MAX);
        out.reserve(weight.min(MOST_RESERVED) + weight.min(MOST_RESERVED) / 16);
        Ok(self.root.value.write_sorted(out)?)
    }

    /// Exactly `JSON.stringify(document)`, in JavaScript's order of members; `None` where that is `undefined`.
    pub fn stringify(&self) -> Option<String> {
        (!self.is_undefined()).then(|| {
            let mut text = String::new();
            self.root.value.write_in_order(&mut text);
            text
        })
    }
}

/// Hears of a leaf: its path, its value, who put it and who made it.
type VisitLeaf<'a> = dyn FnMut(&[PathPart], &Value, Stamp, Stamp) + 'a;

fn visit_leaves(slot: &Slot, put: Stamp, made: Stamp, path: &mut Vec<PathPart>, visit: &mut VisitLeaf<'_>) {
    let mut below = |slot: &Slot, part: PathPart, path: &mut Vec<PathPart>| {
        path.push(part);
        visit_leaves(slot, put.max(slot.put), slot.made_below(made), path, visit);
        path.pop();
    };
    match &slot.value {
        value if value.is_empty_container() => visit(path, value, put, made),
        Value::List(list) => {
            for (index, element) in list.elements.iter().enumerate() {
                below(element, PathPart::Index(index), path);
            }
        }
        Value::Map(members) => {
            for entry in members.visible() {
                below(&entry.slot, PathPart::name(&entry.name), path);
            }
        }
        value => visit(path, value, put, made),
    }
}

fn pointer_text(path: &[Key<'_>]) -> String {
    let mut text = String::new();
    for key in path {
        text.push('/');
        match key {
            Key::Name(name) => text.push_str(&name.replace('~', "~0").replace('/', "~1")),
            Key::Index(index) => text.push_str(&index.to_string()),
            Key::End => text.push('-'),
        }
    }
    text
}

fn write_number(number: f64, out: &mut Vec<u8>) {
    // 2^53: beyond, not every integer is a double, and JavaScript's shortest form is another.
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked above: integral and below 2^53; abs() is not negative"
        )]
        let mut rest = number.abs() as u64;
        let mut digits = [0; 16];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0.0 {
            out.push(b'-');
        }
        out.extend_from_slice(&digits[at..]);
    } else {
        out.extend_from_slice(json::number_text(number).as_bytes());
    }
}

/// Whether a byte of a string is written as an escape.
const ESCAPED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// A text with characters that are not ASCII: what must not leave raw is escaped.
fn write_unusual_text(text: &str, out: &mut Vec<u8>) {
    let mut escaped = String::new();
    json::write_text(text, &mut escaped);
    for c in escaped.chars() {
        if json::must_escape(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    // Without a way out of the loop many bytes are looked at in one step, and hardly any text has an escape.
    let special = |byte: &u8| *byte < b' ' || *byte > b'~' || *byte == b'"' || *byte == b'\\';
    if !bytes.iter().fold(false, |any, byte| any | special(byte)) {
        out.reserve(bytes.len() + 2);
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    if bytes.iter().any(|byte| *byte > b'~') {
        write_unusual_text(text, out);
        return;
    }
    out.push(b'"');
    let mut run = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if ESCAPED[usize::from(*byte)] {
            out.extend_from_slice(&bytes[run..at]);
            run = at + 1;
            let short = match byte {
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                8 => b'b',
                12 => b'f',
                b'"' | b'\\' => *byte,
                _ => {
                    let high = HEX[usize::from(byte >> 4)];
                    let low = HEX[usize::from(byte & 15)];
                    out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                    continue;
                }
            };
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&bytes[run..]);
    out.push(b'"');
}
