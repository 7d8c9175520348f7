//! From one document to another in few operations, each index guarded.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{
    Note,
    align::{Alignment, Identity, Key, align, similarity},
};
use crate::check::Severity;

/// A list of so many elements times edits is replaced as a whole: applying its operations one by one costs this
/// many steps.
const MAX_STEPS: usize = 30_000_000;

/// Members whose keys belong to the admins, the template and the next template alike. They are replaced as a
/// whole only where nothing of the old ones stays.
const FREE_FORM: [&str; 7] = [
    "labels",
    "annotations",
    "nodeSelector",
    "limits",
    "requests",
    "matchLabels",
    "data",
];

/// The operations from `before` to `after`, numbers being JavaScript's in both.
pub(super) fn operations(before: &Value, after: &Value, guards: bool, notes: &mut Vec<Note>) -> Vec<Value> {
    let mut writer = Writer {
        guards,
        written: Vec::new(),
        frames: Vec::new(),
        flushed: 0,
        path: String::new(),
        notes: Vec::new(),
    };
    if before != after {
        writer.value("", before, after, Place::Fixed);
    }
    notes.append(&mut writer.notes);
    writer
        .written
        .into_iter()
        .map(|written| written.operation)
        .collect()
}

/// Whether a map may be replaced as a whole where that is shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// No: the root and what is right below it, containers.
    Fixed,
    /// Yes, within reason.
    Free,
}

struct Written {
    operation: Value,
    is_guard: bool,
    length: usize,
}

/// The tests that an element needs before the first operation below it.
struct Frame {
    tests: Vec<Value>,
    /// Whether one of them compares the whole element, so that nothing inside needs a test.
    whole: bool,
}

#[derive(Clone, Copy)]
struct Mark {
    written: usize,
    flushed: usize,
    notes: usize,
}

struct Writer {
    guards: bool,
    written: Vec<Written>,
    frames: Vec<Frame>,
    /// How many of the frames, from the outermost, are written.
    flushed: usize,
    path: String,
    notes: Vec<Note>,
}

impl Writer {
    // Paths

    /// Does something one token further down.
    fn below<T>(&mut self, token: &str, act: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        push_token(&mut self.path, token);
        let result = act(self);
        self.path.truncate(length);
        result
    }

    fn at(&self, token: &str) -> String {
        let mut path = self.path.clone();
        push_token(&mut path, token);
        path
    }

    // Writing

    fn mark(&self) -> Mark {
        Mark {
            written: self.written.len(),
            flushed: self.flushed,
            notes: self.notes.len(),
        }
    }

    fn back_to(&mut self, mark: Mark) {
        self.written.truncate(mark.written);
        self.notes.truncate(mark.notes);
        self.flushed = mark.flushed;
    }

    /// Number and text length of the operations since then, tests left out.
    fn since(&self, mark: Mark) -> (usize, usize) {
        let written = self.written.get(mark.written..).unwrap_or_default();
        let operations = written.iter().filter(|written| !written.is_guard);
        operations.fold((0, 0), |(number, length), written| {
            (number + 1, length + written.length)
        })
    }

    fn push(&mut self, operation: Value, is_guard: bool) {
        let length = if is_guard { 0 } else { operation.to_string().len() };
        self.written.push(Written {
            operation,
            is_guard,
            length,
        });
    }

    fn flush(&mut self) {
        let mut covered = false;
        for (at, frame) in self.frames.iter().enumerate() {
            if at >= self.flushed && !covered {
                for test in &frame.tests {
                    self.written.push(Written {
                        operation: test.clone(),
                        is_guard: true,
                        length: 0,
                    });
                }
            }
            covered |= frame.whole;
        }
        self.flushed = self.frames.len();
    }

    fn write(&mut self, operation: Value) {
        self.flush();
        self.push(operation, false);
    }

    fn covered(&self) -> bool {
        self.frames.iter().any(|frame| frame.whole)
    }

    /// Tests of elements of the list at the present path, right before an operation on it.
    fn write_tests(&mut self, tests: Vec<Value>) {
        self.flush();
        if !self.covered() {
            for test in tests {
                self.push(test, true);
            }
        }
    }

    fn replace(&mut self, value: &Value) {
        self.write(json!({"op": "replace", "path": self.path, "value": value}));
    }

    // Values

    /// What makes one value of another that differs from it.
    fn value(&mut self, name: &str, old: &Value, new: &Value, place: Place) {
        match (old, new) {
            (Value::Object(old_map), Value::Object(new_map)) => self.map(name, old_map, new_map, new, place),
            (Value::Array(old), Value::Array(new_list)) => self.list(name, old, new_list, new),
            _ => self.replace(new),
        }
    }

    fn map(
        &mut self,
        name: &str,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        whole: &Value,
        place: Place,
    ) {
        // fast-json-patch refuses such a token in a path, so that only the parent can be named.
        let banned = |token: &str| token == "__proto__" || (token == "prototype" && name == "constructor");
        let differs = |token: &str| old.get(token) != new.get(token);
        if (banned("__proto__") && differs("__proto__")) || (banned("prototype") && differs("prototype")) {
            self.notes.push(Note::new(
                "key-not-addressable",
                Severity::Note,
                &self.path,
                format!(
                    "{} is replaced as a whole, since CoCalc's library refuses paths with the key {:?}",
                    shown(&self.path),
                    if differs("__proto__") {
                        "__proto__"
                    } else {
                        "prototype"
                    }
                ),
            ));
            return self.replace(whole);
        }
        let mark = self.mark();
        let mut kept = 0;
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for (token, old_value) in old {
            match new.get(token) {
                Some(new_value) if new_value == old_value => kept += 1,
                Some(new_value) => {
                    let inner = if self.path.is_empty() {
                        Place::Fixed
                    } else {
                        Place::Free
                    };
                    self.below(token, |writer| writer.value(token, old_value, new_value, inner));
                }
                None => gone.push((token.as_str(), old_value)),
            }
        }
        for (token, value) in new {
            if !old.contains_key(token) {
                come.push((token.as_str(), value));
            }
        }
        self.renamed(&mut gone, &mut come);
        for (token, _) in gone {
            self.write(json!({"op": "remove", "path": self.at(token)}));
        }
        for (token, value) in come {
            self.write(json!({"op": "add", "path": self.at(token), "value": value}));
        }
        let (number, length) = self.since(mark);
        let changed = old.len().max(new.len()) - kept;
        if place == Place::Free
            && number >= 2
            && (if FREE_FORM.contains(&name) {
                kept == 0
            } else {
                kept <= changed
            })
            && !FREE_FORM
                .iter()
                .any(|name| old.contains_key(*name) && new.contains_key(*name))
            && (self.covered() || !keeps_list(old, new))
            && self.replacement_fits(whole, length)
        {
            self.back_to(mark);
            self.replace(whole);
        }
    }

    /// Whether the operation that replaces the value at the present path has at most this length.
    fn replacement_fits(&self, value: &Value, length: usize) -> bool {
        let frame = r#"{"op":"replace","path":"","value":}"#.len() + self.path.len();
        length
            .checked_sub(frame)
            .is_some_and(|rest| text_fits(value, rest))
    }

    /// A member that has another name now is moved.
    fn renamed(&mut self, gone: &mut Vec<(&str, &Value)>, come: &mut Vec<(&str, &Value)>) {
        let telling = |value: &Value| match value {
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !map.is_empty(),
            _ => false,
        };
        if gone.is_empty() || come.is_empty() {
            return;
        }
        let mut by_value: HashMap<String, Vec<&str>> = HashMap::new();
        for (token, value) in come.iter().rev().filter(|(_, value)| telling(value)) {
            by_value.entry(value.to_string()).or_default().push(token);
        }
        let mut moved = HashMap::new();
        gone.retain(|(token, value)| {
            let target = by_value.get_mut(&value.to_string()).and_then(Vec::pop);
            if let Some(target) = target {
                self.write(json!({"op": "move", "from": self.at(token), "path": self.at(target)}));
                moved.insert(target.to_owned(), ());
            }
            target.is_none()
        });
        come.retain(|(token, _)| !moved.contains_key(*token));
    }

    // Lists

    fn list(&mut self, name: &str, old: &[Value], new: &[Value], whole: &Value) {
        if old.is_empty() {
            return self.append(new.iter());
        }
        let identity = Identity::of_list(name);
        let alignment = align(identity, old, new);
        if alignment.nothing_in_common() && !(new.is_empty() && old.len() == 1) {
            return self.list_without_anything_in_common(name, identity, old, new, whole);
        }
        let moves = alignment.pairs.iter().filter(|pair| !pair.stays).count();
        let edits = moves + alignment.removed.len() + alignment.added.len();
        if edits.saturating_mul(old.len().max(new.len())) > MAX_STEPS {
            self.notes.push(Note::new(
                "list-replaced",
                Severity::Note,
                &self.path,
                format!(
                    "{} is replaced as a whole: {edits} elements of {} are others",
                    shown(&self.path),
                    new.len()
                ),
            ));
            return self.replace(whole);
        }
        let mut guards = Guards::new(identity, old);
        self.edit_elements(name, old, new, &alignment, &mut guards);
        for at in alignment.removed.iter().rev() {
            let tests = self.tests(&mut guards, *at, Some);
            self.write_tests(tests);
            self.write(json!({"op": "remove", "path": self.at(&at.to_string())}));
        }
        if moves > 0 {
            self.move_elements(old.len(), &alignment, &mut guards);
        }
        self.insert_elements(new, &alignment, old.len(), &mut guards);
    }

    fn append<'v>(&mut self, values: impl Iterator<Item = &'v Value>) {
        for value in values {
            self.write(json!({"op": "add", "path": self.at("-"), "value": value}));
        }
    }

    /// One replacement of the list, or one operation inside the only element if that does it.
    fn list_without_anything_in_common(
        &mut self,
        name: &str,
        identity: Identity,
        old: &[Value],
        new: &[Value],
        whole: &Value,
    ) {
        if let ([old_element], [new_element]) = (old, new)
            && similarity(old_element, new_element) > 0
        {
            let mark = self.mark();
            let alignment = align(identity, old, new);
            self.edit_elements(name, old, new, &alignment, &mut Guards::new(identity, old));
            if self.since(mark).0 == 1 {
                return;
            }
            self.back_to(mark);
        }
        self.replace(whole);
    }

    fn edit_elements(
        &mut self,
        name: &str,
        old: &[Value],
        new: &[Value],
        alignment: &Alignment,
        guards: &mut Guards<'_>,
    ) {
        let place = match name {
            "containers" | "initContainers" | "ephemeralContainers" => Place::Fixed,
            _ => Place::Free,
        };
        for pair in alignment.by_old(old.len()).into_iter().flatten() {
            let (Some(old_element), Some(new_element)) = (old.get(pair.old), new.get(pair.new)) else {
                continue;
            };
            if old_element == new_element {
                continue;
            }
            let tests = self.tests(guards, pair.old, Some);
            let whole = guards.covers(pair.old);
            self.frames.push(Frame { tests, whole });
            self.below(&pair.old.to_string(), |writer| {
                let mark = writer.mark();
                writer.value("", old_element, new_element, place);
                let (number, length) = writer.since(mark);
                let keeps_list = match (old_element, new_element) {
                    (Value::Object(old), Value::Object(new)) => keeps_list(old, new),
                    _ => false,
                };
                // Another element in the same place: replacing it is what removing and adding comes to.
                if pair.by_place
                    && number >= 2
                    && (writer.covered() || !keeps_list)
                    && (number > 2 || writer.replacement_fits(new_element, length.saturating_mul(2)))
                {
                    writer.back_to(mark);
                    writer.replace(new_element);
                }
            });
            self.frames.pop();
            self.flushed = self.flushed.min(self.frames.len());
        }
    }

    fn move_elements(&mut self, old_length: usize, alignment: &Alignment, guards: &mut Guards<'_>) {
        let mut gone = vec![false; old_length];
        for at in &alignment.removed {
            if let Some(gone) = gone.get_mut(*at) {
                *gone = true;
            }
        }
        let mut current: Vec<usize> = (0..old_length)
            .filter(|at| gone.get(*at) == Some(&false))
            .collect();
        let mut previous = None;
        for pair in &alignment.pairs {
            if !pair.stays {
                let place = |current: &[usize], wanted: usize| current.iter().position(|at| *at == wanted);
                let Some(from) = place(&current, pair.old) else {
                    continue;
                };
                let mut tests = self.tests(guards, pair.old, positions(&current, old_length));
                let mut after = current.clone();
                after.remove(from);
                let to = previous
                    .and_then(|previous| place(&after, previous))
                    .map_or(0, |at| at + 1);
                let target = match after.get(to) {
                    Some(pushed_back) => {
                        tests.extend(self.tests(guards, *pushed_back, positions(&current, old_length)));
                        to.to_string()
                    }
                    None => "-".to_owned(),
                };
                self.write_tests(tests);
                self.write(json!({
                    "op": "move", "from": self.at(&from.to_string()), "path": self.at(&target)
                }));
                after.insert(to.min(after.len()), pair.old);
                current = after;
            }
            previous = Some(pair.old);
        }
    }

    fn insert_elements(
        &mut self,
        new: &[Value],
        alignment: &Alignment,
        old_length: usize,
        guards: &mut Guards<'_>,
    ) {
        let new_of: Vec<Option<usize>> = alignment
            .by_old(old_length)
            .into_iter()
            .map(|pair| pair.map(|pair| pair.new))
            .collect();
        let old_of: Vec<Option<usize>> = alignment
            .by_new(new.len())
            .into_iter()
            .map(|pair| pair.map(|pair| pair.old))
            .collect();
        // For each place the next element that is there already.
        let mut next = vec![None; new.len()];
        let mut following = None;
        for (at, old) in old_of.iter().enumerate().rev() {
            following = old.or(following);
            if let Some(next) = next.get_mut(at) {
                *next = following;
            }
        }
        for at in &alignment.added {
            let Some(value) = new.get(*at) else { continue };
            match next.get(*at).copied().flatten() {
                None => self.append(std::iter::once(value)),
                Some(pushed_back) => {
                    // All before this place is final; what was moved has been tested before.
                    let position = |old: usize| {
                        if old == pushed_back {
                            Some(*at)
                        } else {
                            new_of.get(old).copied().flatten()
                        }
                    };
                    let tests = self.tests(guards, pushed_back, position);
                    self.write_tests(tests);
                    self.write(json!({"op": "add", "path": self.at(&at.to_string()), "value": value}));
                }
            }
        }
    }

    // Tests

    /// The tests that this element of the list at the present path still needs; `position` says where an element
    /// of the old list stands now.
    fn tests(
        &mut self,
        guards: &mut Guards<'_>,
        old: usize,
        position: impl Fn(usize) -> Option<usize>,
    ) -> Vec<Value> {
        if !self.guards {
            return Vec::new();
        }
        let mut tests = Vec::new();
        for element in guards.take(old) {
            let (Some(at), Some(value)) = (position(element), guards.old.get(element)) else {
                continue;
            };
            let place = self.at(&at.to_string());
            let (path, value) = match guards.member(element) {
                Some(member) => (format!("{place}/{member}"), value.get(member).unwrap_or(value)),
                None => (place, value),
            };
            if has_own_property(value) {
                self.notes.push(Note::new(
                    "guard-left-out",
                    Severity::Warning,
                    &path,
                    format!(
                        "there is no test of {path} before an operation that relies on that index: CoCalc's library \
                         cannot compare a value with a member hasOwnProperty"
                    ),
                ));
                guards.leave_out(element);
                continue;
            }
            tests.push(json!({"op": "test", "path": path, "value": value}));
        }
        tests
    }
}

/// Which elements of a list are tested already, and by what.
struct Guards<'a> {
    old: &'a [Value],
    identity: Identity,
    keys: Vec<u32>,
    /// For each identity its places, and how many of them are tested.
    twins: Vec<(Vec<usize>, usize)>,
    tested: Vec<bool>,
    /// Those of which the test cannot be evaluated.
    left_out: Vec<bool>,
}

impl<'a> Guards<'a> {
    fn new(identity: Identity, old: &'a [Value]) -> Self {
        let mut numbers: HashMap<Key<'a>, u32> = HashMap::with_capacity(old.len());
        let mut keys = Vec::with_capacity(old.len());
        let mut twins: Vec<(Vec<usize>, usize)> = Vec::new();
        for (at, element) in old.iter().enumerate() {
            let next = u32::try_from(twins.len()).unwrap_or(u32::MAX);
            let key = *numbers.entry(identity.key(element)).or_insert(next);
            keys.push(key);
            match twins.get_mut(key as usize) {
                Some((places, _)) => places.push(at),
                None => twins.push((vec![at], 0)),
            }
        }
        Self {
            old,
            identity,
            keys,
            twins,
            tested: vec![false; old.len()],
            left_out: vec![false; old.len()],
        }
    }

    /// The member by which this element is tested, if that is enough: a string that no other element has there.
    fn member(&self, at: usize) -> Option<&'static str> {
        let Identity::Member(name) = self.identity else {
            return None;
        };
        let (places, _) = self.twins.get(*self.keys.get(at)? as usize)?;
        (places.len() == 1 && self.old.get(at)?.get(name)?.is_string()).then_some(name)
    }

    /// Whether the element's test compares all of it.
    fn covers(&self, at: usize) -> bool {
        self.member(at).is_none() && self.left_out.get(at) == Some(&false)
    }

    fn leave_out(&mut self, at: usize) {
        if let Some(left_out) = self.left_out.get_mut(at) {
            *left_out = true;
        }
    }

    /// This element and its earlier twins, less what is tested already.
    fn take(&mut self, at: usize) -> Vec<usize> {
        let twins = self
            .keys
            .get(at)
            .and_then(|key| self.twins.get_mut(*key as usize));
        let Some((places, done)) = twins else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        while let Some(place) = places.get(*done).copied().filter(|place| *place <= at) {
            *done += 1;
            if let Some(tested) = self.tested.get_mut(place)
                && !*tested
            {
                *tested = true;
                taken.push(place);
            }
        }
        taken
    }
}

/// Where each element of the old list stands in the present one.
fn positions(current: &[usize], old_length: usize) -> impl Fn(usize) -> Option<usize> {
    let mut positions = vec![None; old_length];
    for (at, old) in current.iter().enumerate() {
        if let Some(place) = positions.get_mut(*old) {
            *place = Some(at);
        }
    }
    move |old| positions.get(old).copied().flatten()
}

/// Whether a list that has elements is on both sides: replacing what holds it would overwrite what the list has
/// grown to in another template.
fn keeps_list(old: &Map<String, Value>, new: &Map<String, Value>) -> bool {
    old.iter().any(|(name, old)| match (old, new.get(name)) {
        (Value::Array(list), Some(Value::Array(_))) => !list.is_empty(),
        (Value::Object(old), Some(Value::Object(new))) => keeps_list(old, new),
        _ => false,
    })
}

/// Whether the value's compact text has at most so many bytes, without writing it.
fn text_fits(value: &Value, most: usize) -> bool {
    fn rest(value: &Value, left: usize) -> Option<usize> {
        match value {
            Value::Array(list) => {
                let mut left = left.checked_sub(2 + list.len().saturating_sub(1))?;
                for element in list {
                    left = rest(element, left)?;
                }
                Some(left)
            }
            Value::Object(map) => {
                let mut left = left.checked_sub(2 + map.len().saturating_sub(1))?;
                for (name, value) in map {
                    left = rest(value, left.checked_sub(name.len() + 3)?)?;
                }
                Some(left)
            }
            Value::String(text) => left.checked_sub(text.len() + 2),
            other => left.checked_sub(other.to_string().len()),
        }
    }
    rest(value, most).is_some()
}

fn has_own_property(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().any(has_own_property),
        Value::Object(map) => map.contains_key("hasOwnProperty") || map.values().any(has_own_property),
        _ => false,
    }
}

/// Appends a token to a JSON pointer.
pub(super) fn push_token(path: &mut String, token: &str) {
    path.push('/');
    path.push_str(&token.replace('~', "~0").replace('/', "~1"));
}

/// A pointer in a message.
pub(super) fn shown(path: &str) -> &str {
    if path.is_empty() {
        "the whole document"
    } else {
        path
    }
}
