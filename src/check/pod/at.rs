//! A place in a pod: a value and the way to it.
//!
//! The API server treats a missing field, `null` and an empty text alike almost everywhere, and so does this
//! cursor: asking it for what is not there, or is of another type, gives nothing. What is of a wrong type is
//! told by decoding, once.

use std::{cell::OnceCell, fmt::Write as _, rc::Rc};

use serde_json::Value;

use crate::json_patch::PathPart;

static NULL: Value = Value::Null;

/// One step of the way.
#[derive(Clone, Copy, Debug)]
enum Part<'v> {
    /// A field of a type: `.name`.
    Field(&'v str),
    /// A key of a map: `[key]`.
    Key(&'v str),
    /// An element: `[0]`.
    Index(usize),
}

#[derive(Debug)]
struct Trail<'v> {
    up: Option<Rc<Trail<'v>>>,
    part: Part<'v>,
}

/// A value of the pod and where it stands. Cheap to clone, and most go no further: the way is only put down where there
/// is something below.
#[derive(Clone, Debug)]
pub(super) struct At<'v> {
    value: &'v Value,
    part: Option<Part<'v>>,
    up: Option<Rc<Trail<'v>>>,
    /// The way here, once somebody went on from here.
    trail: OnceCell<Rc<Trail<'v>>>,
}

impl<'v> At<'v> {
    pub(super) fn root(value: &'v Value) -> Self {
        Self {
            value,
            part: None,
            up: None,
            trail: OnceCell::new(),
        }
    }

    pub(super) fn value(&self) -> &'v Value {
        self.value
    }

    fn below(&self, value: &'v Value, part: Part<'v>) -> Self {
        let trail = |part| {
            let new = || {
                Rc::new(Trail {
                    up: self.up.clone(),
                    part,
                })
            };
            self.trail.get_or_init(new).clone()
        };
        Self {
            value,
            part: Some(part),
            up: self.part.map(trail),
            trail: OnceCell::new(),
        }
    }

    /// The field of this name, whether it is there or not.
    pub(super) fn get(&self, name: &'v str) -> Self {
        self.below(self.value.get(name).unwrap_or(&NULL), Part::Field(name))
    }

    /// The field at the end of these names.
    pub(super) fn at(&self, names: &[&'v str]) -> Self {
        names.iter().fold(self.clone(), |at, name| at.get(name))
    }

    /// The value of this key of a map.
    pub(super) fn key(&self, key: &'v str) -> Self {
        self.below(self.value.get(key).unwrap_or(&NULL), Part::Key(key))
    }

    /// The element at this index.
    pub(super) fn index(&self, index: usize) -> Self {
        self.below(self.value.get(index).unwrap_or(&NULL), Part::Index(index))
    }

    /// The elements of a list; none of anything else.
    pub(super) fn items(&self) -> impl Iterator<Item = At<'v>> + use<'v> {
        let list = self.value.as_array().map_or(&[][..], Vec::as_slice);
        let this = self.clone();
        list.iter()
            .enumerate()
            .map(move |(index, value)| this.below(value, Part::Index(index)))
    }

    /// The keys and values of a map; none of anything else.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'v str, At<'v>)> + use<'v> {
        let this = self.clone();
        self.value
            .as_object()
            .into_iter()
            .flatten()
            .map(move |(key, value)| (key.as_str(), this.below(value, Part::Key(key))))
    }

    /// Whether there is something other than `null`.
    pub(super) fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// The text; empty if there is none.
    pub(super) fn text(&self) -> &'v str {
        self.value.as_str().unwrap_or_default()
    }

    /// The whole number, if it is one.
    pub(super) fn int(&self) -> Option<i64> {
        self.value.as_i64()
    }

    /// Whether it is `true`.
    pub(super) fn is_true(&self) -> bool {
        self.value == &Value::Bool(true)
    }

    /// Whether it is `false`.
    pub(super) fn is_false(&self) -> bool {
        self.value == &Value::Bool(false)
    }

    /// How many elements or members there are.
    pub(super) fn len(&self) -> usize {
        match self.value {
            Value::Array(list) => list.len(),
            Value::Object(map) => map.len(),
            _ => 0,
        }
    }

    fn parts(&self) -> Vec<Part<'v>> {
        let mut parts: Vec<Part<'v>> = self.part.into_iter().collect();
        let mut up = self.up.as_ref();
        while let Some(step) = up {
            parts.push(step.part);
            up = step.up.as_ref();
        }
        parts.reverse();
        parts
    }

    /// The way here.
    pub(super) fn path(&self) -> Vec<PathPart> {
        self.parts()
            .into_iter()
            .map(|part| match part {
                Part::Field(name) | Part::Key(name) => PathPart::Name(name.into()),
                Part::Index(index) => PathPart::Index(index),
            })
            .collect()
    }

    /// The way here as the API server writes it: `spec.containers[0].resources.limits[cpu]`.
    pub(super) fn field(&self) -> String {
        let mut text = String::new();
        for part in self.parts() {
            match part {
                Part::Field(name) if text.is_empty() => text.push_str(name),
                Part::Field(name) => {
                    text.push('.');
                    text.push_str(name);
                }
                Part::Key(key) => {
                    let _ = write!(text, "[{key}]");
                }
                Part::Index(index) => {
                    let _ = write!(text, "[{index}]");
                }
            }
        }
        text
    }
}
