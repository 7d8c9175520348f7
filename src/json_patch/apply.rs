//! `applyPatch(document, patch)` of fast-json-patch 3.1.1, run by a JavaScript engine in sloppy mode.
//!
//! CoCalc patches the pod with that library, and the library checks almost nothing: it takes patches that
//! RFC 6902 forbids, and what it makes of them follows from JavaScript's property reads and `Array.splice`.
//! Whoever says "this patch fails" where CoCalc starts the pod is wrong, so the rules here are the library's,
//! down to the class of every error. A differential test holds them against the library itself.

use std::{cell::Cell, collections::HashSet};

use super::{
    built_in::{self, BuiltIn, Class, Property},
    document::{Document, PathPart, Slot, Stamp, Step, Unsendable, Value, child, edit, name_weight},
    operation::{Op, Operation, Pointer, PointerKind, Token, TokenKind},
};
use crate::json::{self, JsString, Json};

/// How many elements a list may have. JavaScript goes to 2^32 - 1, and prints the holes.
pub const MAX_ELEMENTS: usize = 1_000_000;
/// How many bytes of text, about, a document may grow to.
pub const MAX_TEXT: u64 = 64 << 20;
/// How deep lists and maps may be nested in a patched document.
pub const MAX_NESTING: usize = 2 * json::MAX_DEPTH;
/// How many elements may be copied or moved up in one call of [`apply`], about one second of work.
const MAX_WORK: u64 = 100_000_000;

/// How `applyPatch` is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The third argument, `validateOperation`; the library's default is off.
    pub validate: bool,
}

/// What an application did. The document is changed in place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// One for each operation.
    pub effects: Vec<Effect>,
    /// The fields that vanished, in the order in which they did.
    pub removals: Vec<Removal>,
    /// The error, if there was one.
    pub failure: Option<Failure>,
}

/// What really happened to the printed document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// A field is there that was not.
    Added,
    /// A field has another value, or the same put again.
    Replaced,
    /// A field is gone.
    Removed,
    /// A field went from one place to another.
    Moved,
    /// A value was copied to a place.
    Copied,
    /// A test passed.
    Tested,
    /// Nothing.
    Nothing,
    /// The operation failed. A failing `move` may have removed its source.
    Failed,
    /// An earlier operation failed.
    NotReached,
}

impl Effect {
    /// Its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
            Self::Moved => "moved",
            Self::Copied => "copied",
            Self::Tested => "tested",
            Self::Nothing => "nothing",
            Self::Failed => "failed",
            Self::NotReached => "not reached",
        }
    }
}

/// A field that vanished: by `remove`, as the source of a `move`, cut off by a list's `length`, or because a
/// value was missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Where it stood, at that time.
    pub path: Vec<PathPart>,
    /// The stamp of the operation.
    pub stamp: Stamp,
}

/// Why an application stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Index of the operation, from 0.
    pub operation: usize,
    /// The class of the error that CoCalc gets.
    pub class: ErrorClass,
    /// The stable code of a [`ErrorClass::PatchError`], `TEST_OPERATION_FAILED` for example.
    pub name: Option<&'static str>,
    /// The library's or V8's message, without the operation and the document that the library appends.
    pub message: String,
    /// Set where this crate refuses what the library would do.
    pub limit: Option<Limit>,
}

/// The class of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The engine's.
    TypeError,
    /// The engine's.
    RangeError,
    /// The library's own (`JsonPatchError`).
    PatchError,
}

impl ErrorClass {
    /// Its name in JavaScript.
    pub fn name(self) -> &'static str {
        match self {
            Self::TypeError => "TypeError",
            Self::RangeError => "RangeError",
            Self::PatchError => "PatchError",
        }
    }
}

/// What the library would do and this crate does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// A list of more than [`MAX_ELEMENTS`] elements.
    Elements,
    /// A document of more than about [`MAX_TEXT`] bytes.
    Text,
    /// A document nested deeper than [`MAX_NESTING`].
    Nesting,
    /// A document that contains itself; `JSON.stringify` would throw.
    Circular,
    /// More copying than a second's worth in one application.
    Work,
    /// A change to the JavaScript engine itself, after which nothing can be said of CoCalc.
    BuiltIn,
}

/// An error before its operation is known; boxed because it is rare.
#[derive(Debug)]
struct Fail(Box<Failure>);

type Result<T> = std::result::Result<T, Fail>;

fn fail(class: ErrorClass, name: Option<&'static str>, message: String, limit: Option<Limit>) -> Fail {
    Fail(Box::new(Failure {
        operation: 0,
        class,
        name,
        message,
        limit,
    }))
}

fn type_error(message: impl Into<String>) -> Fail {
    fail(ErrorClass::TypeError, None, message.into(), None)
}

fn patch_error(name: &'static str, message: &str) -> Fail {
    fail(ErrorClass::PatchError, Some(name), message.to_owned(), None)
}

fn refuse(limit: Limit, message: String) -> Fail {
    let class = match limit {
        Limit::Circular | Limit::BuiltIn => ErrorClass::TypeError,
        Limit::Elements | Limit::Text | Limit::Nesting | Limit::Work => ErrorClass::RangeError,
    };
    fail(class, None, message, Some(limit))
}

fn cannot_read(nothing: &str, name: &JsString) -> Fail {
    type_error(format!(
        "Cannot read properties of {nothing} (reading '{}')",
        name.to_string_lossy()
    ))
}

fn poisoned() -> Fail {
    type_error(
        "'caller', 'callee', and 'arguments' properties may not be accessed on strict mode functions or the \
         arguments objects for calls to them",
    )
}

fn changes_engine(what: &str) -> Fail {
    refuse(
        Limit::BuiltIn,
        format!(
            "the operation reaches JavaScript's own {what}, after which nothing can be said of CoCalc's process; \
             correct its path"
        ),
    )
}

fn test_failed() -> Fail {
    patch_error("TEST_OPERATION_FAILED", "Test operation failed")
}

impl Failure {
    /// That operations which the library applied without an error left nothing to send: the last one at the root
    /// path made the whole document `undefined`.
    pub fn of_nothing_left(document: &Document, operations: &[(&Operation, Stamp)]) -> Option<Self> {
        let error = document.is_undefined().then_some(Unsendable::Undefined)?;
        let at_root = |(operation, _): &(&Operation, Stamp)| {
            matches!(operation.path.kind, PointerKind::Root) && operation.strict_op != Op::Test
        };
        Some(Self {
            operation: operations.iter().rposition(at_root)?,
            class: ErrorClass::TypeError,
            name: None,
            message: error.to_string(),
            limit: None,
        })
    }
}

/// Applies operations, each with its stamp, in place, as `applyPatch(document, operations)` does.
///
/// Stamps must grow, and be larger than those in the document. After a failure the document is what CoCalc's
/// caller holds in its hands then: with all operations before the failing one, and maybe with half of that.
///
/// Lists of more than [`MAX_ELEMENTS`], documents of more than about [`MAX_TEXT`] bytes, nested deeper than
/// [`MAX_NESTING`] or containing themselves are refused with a failure that has a [`Limit`]; so is work of more
/// than about a second.
pub fn apply(document: &mut Document, operations: &[(&Operation, Stamp)], options: Options) -> Applied {
    let mut engine = Engine {
        root: std::mem::replace(&mut document.root, Slot::undefined()),
        work: 0,
        around: Surroundings::default(),
        applied: Applied::default(),
        validate: options.validate,
        caller: None,
    };
    for (index, (operation, stamp)) in operations.iter().enumerate() {
        match engine.operation(operation, *stamp) {
            Ok(effect) => engine.applied.effects.push(effect),
            Err(Fail(mut failure)) => {
                failure.operation = index;
                engine.applied.failure = Some(*failure);
                engine.applied.effects.push(Effect::Failed);
                engine
                    .applied
                    .effects
                    .resize(operations.len(), Effect::NotReached);
                engine.back_to_caller();
                break;
            }
        }
    }
    document.root = engine.root;
    engine.applied
}

/// Applies a whole patch, whatever it is, as `applyPatch(document, patch)` does: a map or a number passes in
/// silence, `null` and most strings are errors. Operations get the stamps `first`, `first + 1`, and so on.
pub fn apply_json(document: &mut Document, patch: &Json, first: Stamp, options: Options) -> Applied {
    let failed = |Fail(failure)| Applied {
        failure: Some(*failure),
        ..Applied::default()
    };
    if options.validate && patch.as_list().is_none() {
        return failed(patch_error(
            "SEQUENCE_NOT_AN_ARRAY",
            "Patch sequence must be an array",
        ));
    }
    let operations: Vec<Operation> = match patch {
        Json::Null => return failed(cannot_read("null", &"length".into())),
        Json::Bool(_) | Json::Number(_) => Vec::new(),
        Json::List(list) => list.iter().map(Operation::new).collect(),
        Json::String(text) => text
            .units()
            .iter()
            .map(|unit| Operation::new(&Json::String(JsString::from_units(&[*unit]))))
            .collect(),
        Json::Map(map) => {
            let length = match patch
                .get("length")
                .map(|length| number_of(Slot::prepared(length).value()))
            {
                None => 0.0,
                Some(Ok(length)) => length,
                Some(Err(error)) => return failed(error),
            };
            let is_number = matches!(patch.get("length"), Some(Json::Number(_)));
            if is_number && (length.fract() != 0.0 || !(0.0..4_294_967_296.0).contains(&length)) {
                return failed(invalid_length());
            }
            // The first element that is missing fails, so no more than one can be needed.
            (0..=map.len())
                .take_while(|index| (*index as f64) < length)
                .map(|index| {
                    let element = patch.get(&index.to_string());
                    element.map_or_else(Operation::undefined, Operation::new)
                })
                .collect()
        }
    };
    let stamped: Vec<(&Operation, Stamp)> = operations.iter().zip(first..).collect();
    apply(document, &stamped, options)
}

/// What a walk needs besides the document.
#[derive(Default)]
struct Surroundings {
    /// The places of the engine that this patch has changed.
    touched: HashSet<(BuiltIn, JsString)>,
    /// What was read of long strings, whose characters have to be counted, in units of [`MAX_WORK`].
    read: Cell<u64>,
}

struct Engine {
    root: Slot,
    work: u64,
    around: Surroundings,
    applied: Applied,
    validate: bool,
    caller: Option<Caller>,
}

/// The caller's own document, once an operation at the root has put another in its place.
struct Caller {
    root: Slot,
    /// Where the present document is a part of it: what moved or copied to the root is not cloned.
    shared: Option<Vec<Step>>,
}

/// Something that was reached: a place of the tree, or a value that has none.
enum Cursor<'d> {
    In(&'d Slot),
    Out(Value),
}

impl Cursor<'_> {
    fn value(&self) -> &Value {
        match self {
            Self::In(slot) => slot.value(),
            Self::Out(value) => value,
        }
    }
}

/// The parent of what an operation addresses.
struct Place<'d> {
    parent: Cursor<'d>,
    steps: Vec<Step>,
    made: Stamp,
}

/// What stands at the end of a pointer.
struct Found {
    value: Value,
    /// Who made it.
    made: Option<Stamp>,
    /// Where it is, if it is in the tree.
    steps: Option<Vec<Step>>,
}

/// A token as the key of a list.
enum ListKey {
    Number(i64),
    Word,
}

/// The kinds of parents, without a loan of the document.
enum Parent {
    Nothing(&'static str),
    Scalar(Value),
    Function(BuiltIn),
    Map,
    List { length: usize, guarded: bool },
}

/// What happened where a value was to be put.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    Invisible,
    Added,
    Replaced,
    Removed,
}

impl From<Put> for Effect {
    fn from(put: Put) -> Self {
        match put {
            Put::Invisible => Self::Nothing,
            Put::Added => Self::Added,
            Put::Replaced => Self::Replaced,
            Put::Removed => Self::Removed,
        }
    }
}

/// What validation looks at while it walks along `path`.
struct Check<'a> {
    op: Option<&'a Op>,
    strict_op: &'a Op,
    from: Option<&'a Pointer>,
    /// Whether the document is seen as its clone through JSON text.
    as_clone: bool,
}

impl Engine {
    fn operation(&mut self, operation: &Operation, stamp: Stamp) -> Result<Effect> {
        if self.validate {
            check_shape(operation)?;
        }
        self.charge(self.around.read.take())?;
        if let Some(nothing) = operation.nothing() {
            return Err(cannot_read(nothing, &"path".into()));
        }
        let tokens = match &operation.path.kind {
            PointerKind::Root => return self.at_root(operation, stamp),
            PointerKind::Tokens(tokens) => tokens,
            PointerKind::NotText => return Err(type_error("path.split is not a function")),
        };
        let check = self.validate.then_some(Check {
            op: operation.op.as_ref(),
            strict_op: &operation.strict_op,
            from: Some(&operation.from),
            as_clone: false,
        });
        let place = walk(&self.root, tokens, &self.around, check.as_ref())?;
        let Some(last) = tokens.last() else {
            return Ok(Effect::Nothing);
        };
        if let Value::List(list) = place.parent.value() {
            let key = list_key(last, list.elements.len())?;
            if self.validate
                && operation.strict_op == Op::Add
                && matches!(key, ListKey::Number(index) if index > length_of(list.elements.len()))
            {
                return Err(patch_error(
                    "OPERATION_VALUE_OUT_OF_BOUNDS",
                    "The specified index MUST NOT be greater than the number of elements in the array",
                ));
            }
        }
        let Some(op) = &operation.op else {
            return Err(type_error("Cannot convert object to primitive value"));
        };
        match op {
            Op::Add | Op::Replace => {
                let value = operation
                    .value
                    .as_ref()
                    .map_or(&Value::Undefined, Slot::value)
                    .clone();
                let value = Slot::placed(value, stamp, stamp);
                let (steps, parent) = place.release();
                let put = self.put(&steps, &parent, last, value, *op == Op::Replace, stamp)?;
                Ok(put.into())
            }
            Op::Remove => {
                let (steps, parent) = place.release();
                Ok(match self.take(&steps, &parent, last, stamp)? {
                    (_, true) => Effect::Removed,
                    (_, false) => Effect::Nothing,
                })
            }
            Op::Test => {
                let found = read(&place, last, &self.around)?;
                let nothing = Value::Undefined;
                let wanted = operation.value.as_ref().map_or(&nothing, Slot::value);
                if equal(&found.value, wanted, operation.has_own)? {
                    Ok(Effect::Tested)
                } else {
                    Err(test_failed())
                }
            }
            Op::Get => read(&place, last, &self.around).map(|_| Effect::Nothing),
            Op::Move => {
                if operation.path.loosely_empty != Some(true) {
                    read(&place, last, &self.around)?;
                }
                self.move_to(operation, tokens, last, stamp)
            }
            Op::Copy => {
                let found = self.value_at(&operation.from)?;
                self.copy_to(&found, tokens, last, stamp)
            }
            Op::Unknown => Err(cannot_read("undefined", &"call".into())),
            Op::Inherited(name) => match name.as_str() {
                // It answers with a string, which has no `newDocument`.
                "toString" => {
                    self.replace_root(Slot::placed(Value::Undefined, stamp, stamp), None);
                    Ok(Effect::Removed)
                }
                "__proto__" => Err(type_error(match place.parent.value() {
                    Value::List(_) => "arrOps[operation.op].call is not a function",
                    _ => "objOps[operation.op].call is not a function",
                })),
                other => Err(changes_engine(other)),
            },
        }
    }

    fn at_root(&mut self, operation: &Operation, stamp: Stamp) -> Result<Effect> {
        let was_visible = self.root.value().is_visible();
        match operation.strict_op {
            Op::Add | Op::Replace => {
                let value = operation
                    .value
                    .as_ref()
                    .map_or(&Value::Undefined, Slot::value)
                    .clone();
                self.check_size(0, value.weight(), value.depth(), 0)?;
                let effect = self.root_effect(was_visible, value.is_visible(), stamp);
                self.replace_root(Slot::placed(value, stamp, stamp), None);
                Ok(effect)
            }
            Op::Move | Op::Copy => {
                let found = self.value_at(&operation.from)?;
                if found.steps.as_ref().is_some_and(Vec::is_empty) {
                    return Ok(Effect::Nothing);
                }
                let effect = match self.root_effect(was_visible, found.value.is_visible(), stamp) {
                    Effect::Added | Effect::Replaced if operation.strict_op == Op::Move => {
                        if let Some(steps) = &found.steps {
                            let path = self.path_of(steps);
                            self.applied.removals.push(Removal { path, stamp });
                        }
                        Effect::Moved
                    }
                    Effect::Added | Effect::Replaced => Effect::Copied,
                    other => other,
                };
                let slot = Slot::placed(found.value, stamp, found.made.unwrap_or(stamp));
                self.replace_root(slot, found.steps);
                Ok(effect)
            }
            Op::Remove => {
                // It leaves null, be it null already, or a number out of range, which prints as null.
                let effect = match self.root.value() {
                    Value::Null => Effect::Nothing,
                    Value::Number(number) if !number.is_finite() => Effect::Nothing,
                    Value::Undefined | Value::Function(_) => Effect::Added,
                    _ => {
                        self.applied.removals.push(Removal {
                            path: Vec::new(),
                            stamp,
                        });
                        Effect::Removed
                    }
                };
                self.replace_root(Slot::placed(Value::Null, stamp, stamp), None);
                Ok(effect)
            }
            Op::Test => {
                let nothing = Value::Undefined;
                let wanted = operation.value.as_ref().map_or(&nothing, Slot::value);
                if equal(self.root.value(), wanted, operation.has_own)? {
                    Ok(Effect::Tested)
                } else {
                    Err(test_failed())
                }
            }
            Op::Get => Ok(Effect::Nothing),
            Op::Inherited(_) | Op::Unknown if self.validate => Err(op_invalid()),
            Op::Inherited(_) | Op::Unknown => Ok(Effect::Nothing),
        }
    }

    fn root_effect(&mut self, was_visible: bool, is_visible: bool, stamp: Stamp) -> Effect {
        match (was_visible, is_visible) {
            (true, true) => Effect::Replaced,
            (false, true) => Effect::Added,
            (false, false) => Effect::Nothing,
            (true, false) => {
                self.applied.removals.push(Removal {
                    path: Vec::new(),
                    stamp,
                });
                Effect::Removed
            }
        }
    }

    /// `getValueByPointer(document, pointer)`.
    fn value_at(&self, pointer: &Pointer) -> Result<Found> {
        match (pointer.loosely_empty, &pointer.kind) {
            (None, _) => Err(type_error("Cannot convert object to primitive value")),
            (Some(true), _) | (Some(false), PointerKind::Root) => Ok(Found {
                value: self.root.value().clone(),
                made: Some(self.root.made_below(0)),
                steps: Some(Vec::new()),
            }),
            (Some(false), PointerKind::NotText) => Err(type_error("path.split is not a function")),
            (Some(false), PointerKind::Tokens(tokens)) => {
                let place = walk(&self.root, tokens, &self.around, None)?;
                match tokens.last() {
                    Some(last) => read(&place, last, &self.around),
                    None => Err(type_error("path.split is not a function")),
                }
            }
        }
    }

    fn move_to(
        &mut self,
        operation: &Operation,
        tokens: &[Token],
        last: &Token,
        stamp: Stamp,
    ) -> Result<Effect> {
        let (taken, removed, circular) = match &operation.from.kind {
            PointerKind::Root => {
                let whole = Slot::placed(self.root.value().clone(), stamp, stamp);
                (whole, false, self.root.value().is_container())
            }
            PointerKind::NotText => return Err(type_error("path.split is not a function")),
            PointerKind::Tokens(from) => {
                let place = walk(&self.root, from, &self.around, None)?;
                let Some(key) = from.last() else {
                    return Ok(Effect::Nothing);
                };
                let parent_made = place.made;
                let (steps, parent) = place.release();
                let (slot, removed) = self.take(&steps, &parent, key, stamp)?;
                let slot = slot.unwrap_or_else(|| Slot::placed(Value::Undefined, stamp, stamp));
                let made = slot.made_below(parent_made);
                (Slot::placed(slot.into_value(), stamp, made), removed, false)
            }
        };
        let exists = taken.value().is_visible();
        let place = walk(&self.root, tokens, &self.around, None)?;
        let (steps, parent) = place.release();
        if circular && will_contain(&parent, last) {
            return Err(refuse(
                Limit::Circular,
                "Converting circular structure to JSON: the whole document would be moved into itself"
                    .to_owned(),
            ));
        }
        let put = self.put(&steps, &parent, last, taken, false, stamp)?;
        Ok(match put {
            Put::Added | Put::Replaced if removed => Effect::Moved,
            Put::Added | Put::Replaced if exists => Effect::Copied,
            Put::Invisible if removed => Effect::Removed,
            other => other.into(),
        })
    }

    fn copy_to(&mut self, found: &Found, tokens: &[Token], last: &Token, stamp: Stamp) -> Result<Effect> {
        let exists = found.value.is_visible();
        let made = if matches!(found.value, Value::Undefined) {
            stamp
        } else {
            found.made.unwrap_or(stamp)
        };
        if found.value.is_container() && !found.value.is_plain() {
            self.charge(found.value.weight() / 8)?;
        }
        let value = Slot::placed(found.value.json_clone(), stamp, made);
        let place = walk(&self.root, tokens, &self.around, None)?;
        let (steps, parent) = place.release();
        let put = self.put(&steps, &parent, last, value, false, stamp)?;
        Ok(match put {
            Put::Added | Put::Replaced if exists => Effect::Copied,
            other => other.into(),
        })
    }

    /// The function `add`, or with `is_replace` the function `replace`, of the library.
    fn put(
        &mut self,
        steps: &[Step],
        parent: &Parent,
        token: &Token,
        value: Slot,
        is_replace: bool,
        stamp: Stamp,
    ) -> Result<Put> {
        let shown = !steps.iter().any(|step| matches!(step, Step::Property(_)));
        match parent {
            Parent::Nothing(nothing) if is_replace => Err(cannot_read(nothing, &token.name)),
            Parent::Nothing(nothing) => Err(type_error(format!(
                "Cannot set properties of {nothing} (setting '{}')",
                token.name.to_string_lossy()
            ))),
            Parent::Scalar(_) => Ok(Put::Invisible),
            Parent::Function(function) => {
                match function.property(&token.name) {
                    Property::Poison => return Err(poisoned()),
                    Property::Engine(_) => return Err(changes_engine(function.name())),
                    Property::Constant(_) | Property::ReadOnly(_) | Property::Prototype => {}
                    Property::Inherited(_) => {
                        self.around.touched.insert((*function, token.name.clone()));
                    }
                }
                Ok(Put::Invisible)
            }
            Parent::Map => {
                refuse_engine_hook(&token.name, &value)?;
                let old = self.slot_at(steps).and_then(|slot| slot.member(&token.name));
                let had = old.is_some_and(|(_, old)| old.value().is_visible());
                let removed = old.map_or(0, |(_, old)| old.value().weight() + name_weight(&token.name));
                let at = old.map(|(at, _)| at);
                let added = value.value().weight() + name_weight(&token.name);
                self.check_size(removed, added, value.value().depth(), steps.len() + 1)?;
                let has = value.value().is_visible();
                if shown
                    && had
                    && !has
                    && let Some(at) = at
                {
                    let mut path = self.path_of(steps);
                    path.extend(self.slot_at(steps).and_then(|slot| slot.part(Step::Member(at))));
                    self.applied.removals.push(Removal { path, stamp });
                }
                let mut value = Some(value);
                let name = &token.name;
                self.change(steps, |slot| {
                    slot.put_member(name, value.take().unwrap_or_else(Slot::undefined));
                    if had && !has {
                        slot.claim_if_empty(stamp);
                    }
                })?;
                Ok(match (had, has) {
                    _ if !shown => Put::Invisible,
                    (true, true) => Put::Replaced,
                    (false, true) => Put::Added,
                    (true, false) => Put::Removed,
                    (false, false) => Put::Invisible,
                })
            }
            Parent::List { length, guarded } => match list_key(token, *length)? {
                ListKey::Number(index) if !is_replace => {
                    if *guarded {
                        self.check_splice(steps)?;
                    }
                    let at = from_end(index, *length);
                    self.check_elements(length + 1)?;
                    self.check_size(0, value.value().weight(), value.value().depth(), steps.len() + 1)?;
                    self.charge((length - at) as u64 / 8)?;
                    self.insert(steps, at, value)?;
                    Ok(if shown { Put::Added } else { Put::Invisible })
                }
                ListKey::Number(index) => match usize::try_from(index) {
                    Ok(at) => {
                        self.check_elements(at + 1)?;
                        let holes = (at.saturating_sub(*length)) as u64;
                        let old = self
                            .slot_at(steps)
                            .and_then(|slot| child(slot, Step::Element(at)));
                        let removed = old.map_or(0, |old| old.value().weight());
                        let added = value.value().weight() + 5 * holes;
                        self.check_size(removed, added, value.value().depth(), steps.len() + 1)?;
                        self.charge(holes)?;
                        let mut value = Some(value);
                        self.change(steps, |slot| {
                            let value = value.take().unwrap_or_else(Slot::undefined);
                            if let Some(list) = slot.list_mut() {
                                list.put(at, value, stamp);
                            }
                        })?;
                        Ok(match (shown, at < *length) {
                            (false, _) => Put::Invisible,
                            (true, true) => Put::Replaced,
                            (true, false) => Put::Added,
                        })
                    }
                    Err(_) => self.put_property(steps, &index.to_string().into(), value),
                },
                ListKey::Word if token.name == "length" => {
                    if value.value().is_container() {
                        self.charge(value.value().weight() / 8)?;
                    }
                    let wanted = number_of(value.value())?;
                    if wanted.fract() != 0.0 || !(0.0..4_294_967_296.0).contains(&wanted) {
                        return Err(invalid_length());
                    }
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "checked above: integral and below 2^32"
                    )]
                    let wanted = wanted as usize;
                    self.resize(steps, *length, wanted, shown, stamp)
                }
                ListKey::Word => self.put_property(steps, &token.name, value),
            },
        }
    }

    fn insert(&mut self, steps: &[Step], at: usize, value: Slot) -> Result<()> {
        let mut value = Some(value);
        self.change(steps, |slot| {
            let value = value.take().unwrap_or_else(Slot::undefined);
            if let Some(list) = slot.list_mut() {
                list.insert(at, value);
            }
        })
    }

    fn put_property(&mut self, steps: &[Step], name: &JsString, value: Slot) -> Result<Put> {
        refuse_engine_hook(name, &value)?;
        let added = value.value().weight() + name_weight(name);
        self.check_size(0, added, value.value().depth(), steps.len() + 1)?;
        let mut value = Some(value);
        self.change(steps, |slot| {
            let value = value.take().unwrap_or_else(Slot::undefined);
            if let Some(list) = slot.list_mut() {
                list.put_property(name.clone(), value);
            }
        })?;
        Ok(Put::Invisible)
    }

    fn resize(
        &mut self,
        steps: &[Step],
        length: usize,
        wanted: usize,
        shown: bool,
        stamp: Stamp,
    ) -> Result<Put> {
        self.check_elements(wanted)?;
        self.check_size(0, 5 * (wanted.saturating_sub(length)) as u64, 0, steps.len() + 1)?;
        // A removal is a path, and costs that much more than an element.
        self.charge(wanted.saturating_sub(length) as u64 + 256 * length.saturating_sub(wanted) as u64)?;
        if shown && wanted < length {
            let path = self.path_of(steps);
            for index in wanted..length {
                let mut path = path.clone();
                path.push(PathPart::Index(index));
                self.applied.removals.push(Removal { path, stamp });
            }
        }
        self.change(steps, |slot| {
            if let Some(list) = slot.list_mut() {
                list.resize(wanted, stamp);
            }
            if wanted < length {
                slot.claim_if_empty(stamp);
            }
        })?;
        Ok(match wanted.cmp(&length) {
            _ if !shown => Put::Invisible,
            std::cmp::Ordering::Less => Put::Removed,
            std::cmp::Ordering::Equal => Put::Invisible,
            std::cmp::Ordering::Greater => Put::Added,
        })
    }

    /// The function `remove` of the library: what it returned as `removed`, and whether a printed field is
    /// gone.
    fn take(
        &mut self,
        steps: &[Step],
        parent: &Parent,
        token: &Token,
        stamp: Stamp,
    ) -> Result<(Option<Slot>, bool)> {
        let shown = !steps.iter().any(|step| matches!(step, Step::Property(_)));
        match parent {
            Parent::Nothing(nothing) => Err(cannot_read(nothing, &token.name)),
            Parent::Scalar(scalar) => {
                let place = Place {
                    parent: Cursor::Out(scalar.clone()),
                    steps: Vec::new(),
                    made: stamp,
                };
                let found = read(&place, token, &self.around)?;
                Ok((Some(Slot::placed(found.value, stamp, stamp)), false))
            }
            Parent::Function(function) => match function.property(&token.name) {
                _ if self.around.touched.contains(&(*function, token.name.clone())) => {
                    Err(changes_engine(function.name()))
                }
                Property::Poison => Err(poisoned()),
                Property::Prototype | Property::ReadOnly(_) | Property::Engine(_) => {
                    Err(changes_engine(function.name()))
                }
                Property::Constant(value) | Property::Inherited(value) => {
                    Ok((Some(Slot::placed(value, stamp, stamp)), false))
                }
            },
            Parent::Map => {
                let own = self.slot_at(steps).and_then(|slot| slot.member(&token.name));
                let Some((at, old)) = own else {
                    let value = built_in::inherited(Class::Object, &token.name);
                    return Ok((Some(Slot::placed(value, stamp, stamp)), false));
                };
                let visible = shown && old.value().is_visible();
                if visible {
                    let mut path = self.path_of(steps);
                    path.extend(self.slot_at(steps).and_then(|slot| slot.part(Step::Member(at))));
                    self.applied.removals.push(Removal { path, stamp });
                }
                let mut taken = None;
                self.change(steps, |slot| {
                    taken = slot.remove_member(at);
                    slot.claim_if_empty(stamp);
                })?;
                Ok((taken, visible))
            }
            Parent::List { length, guarded } => {
                let start = match list_key(token, *length)? {
                    ListKey::Number(index) => index,
                    ListKey::Word => to_integer(number_from_text(&token.name)),
                };
                if *guarded {
                    self.check_splice(steps)?;
                }
                let at = from_end(start, *length);
                if at >= *length {
                    return Ok((None, false));
                }
                if shown {
                    let mut path = self.path_of(steps);
                    path.push(PathPart::Index(at));
                    self.applied.removals.push(Removal { path, stamp });
                }
                self.charge((length - at) as u64 / 8)?;
                let mut taken = None;
                self.change(steps, |slot| {
                    taken = slot.list_mut().and_then(|list| list.remove(at));
                    slot.claim_if_empty(stamp);
                })?;
                Ok((taken, shown))
            }
        }
    }

    /// A list's own properties can stand in the way of its methods.
    fn check_splice(&self, steps: &[Step]) -> Result<()> {
        let Some(Value::List(list)) = self.slot_at(steps).map(Slot::value) else {
            return Ok(());
        };
        if list.property(&"splice".into()).is_some() {
            return Err(type_error("arr.splice is not a function"));
        }
        match list.property(&"constructor".into()).map(|(_, slot)| slot.value()) {
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => Err(type_error(
                "object.constructor[Symbol.species] is not a constructor",
            )),
            _ => Ok(()),
        }
    }

    fn slot_at(&self, steps: &[Step]) -> Option<&Slot> {
        steps.iter().try_fold(&self.root, |slot, step| child(slot, *step))
    }

    fn path_of(&self, steps: &[Step]) -> Vec<PathPart> {
        let mut slot = &self.root;
        let mut path = Vec::with_capacity(steps.len() + 1);
        for step in steps {
            path.extend(slot.part(*step));
            match child(slot, *step) {
                Some(next) => slot = next,
                None => break,
            }
        }
        path
    }

    fn change(&mut self, steps: &[Step], mut change: impl FnMut(&mut Slot)) -> Result<()> {
        let mut copied = 0;
        let shared_end = self.slot_at(steps).map_or(0, Slot::shared_len);
        edit(
            &mut self.root,
            steps,
            &mut |elements| copied += elements as u64,
            &mut change,
        );
        self.charge(copied + shared_end as u64)
    }

    fn charge(&mut self, work: u64) -> Result<()> {
        self.work = self.work.saturating_add(work);
        if self.work > MAX_WORK {
            return Err(refuse(
                Limit::Work,
                "the operations copy and shift more elements than this tool is ready to; make the patch smaller"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn check_elements(&self, length: usize) -> Result<()> {
        if length <= MAX_ELEMENTS {
            return Ok(());
        }
        Err(refuse(
            Limit::Elements,
            format!(
                "Invalid array length: the list would have {length} elements, nearly all of them null; lower the index"
            ),
        ))
    }

    fn check_size(&self, removed: u64, added: u64, depth: u32, parents: usize) -> Result<()> {
        let before = self.root.value().weight();
        let after = if parents == 0 {
            added
        } else {
            before.saturating_sub(removed).saturating_add(added)
        };
        if added > removed && after > MAX_TEXT {
            return Err(refuse(
                Limit::Text,
                format!(
                    "Invalid string length: the document would have about {} MiB of text; copy less",
                    after >> 20
                ),
            ));
        }
        if parents + depth as usize > MAX_NESTING {
            return Err(refuse(
                Limit::Nesting,
                format!(
                    "Maximum call stack size exceeded: the document would be nested {} levels deep; nest less",
                    parents + depth as usize
                ),
            ));
        }
        Ok(())
    }

    fn replace_root(&mut self, new: Slot, shared: Option<Vec<Step>>) {
        let shared = shared.filter(|_| new.value().is_container());
        let old = std::mem::replace(&mut self.root, new);
        self.caller = Some(match self.caller.take() {
            None => Caller { root: old, shared },
            Some(Caller {
                mut root,
                shared: before,
            }) => {
                let shared = match (&before, shared) {
                    (Some(before), Some(steps)) => Some([before.as_slice(), &steps].concat()),
                    _ => None,
                };
                if let Some(before) = &before {
                    edit(&mut root, before, &mut |_| (), &mut |slot| slot.follow(&old));
                }
                Caller { root, shared }
            }
        });
    }

    /// After a failure, the document is the object that the caller passed in.
    fn back_to_caller(&mut self) {
        if let Some(Caller { mut root, shared }) = self.caller.take() {
            if let Some(shared) = &shared {
                edit(&mut root, shared, &mut |_| (), &mut |slot| {
                    slot.follow(&self.root);
                });
            }
            self.root = root;
        }
    }
}

impl Place<'_> {
    fn release(self) -> (Vec<Step>, Parent) {
        let parent = match self.parent.value() {
            Value::Undefined => Parent::Nothing("undefined"),
            Value::Null => Parent::Nothing("null"),
            scalar @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => Parent::Scalar(scalar.clone()),
            Value::Function(function) => Parent::Function(*function),
            Value::Map(_) => Parent::Map,
            Value::List(list) => Parent::List {
                length: list.elements.len(),
                guarded: list.properties.is_some(),
            },
        };
        (self.steps, parent)
    }
}

/// Whether the parent holds the value itself after `add`, and not just a number made of it.
fn will_contain(parent: &Parent, token: &Token) -> bool {
    match parent {
        Parent::Map => true,
        Parent::List { .. } => token.name != "length",
        Parent::Nothing(_) | Parent::Scalar(_) | Parent::Function(_) => false,
    }
}

/// A function under one of these names would be called by the engine.
fn refuse_engine_hook(name: &JsString, value: &Slot) -> Result<()> {
    const HOOKS: [&str; 6] = [
        "toJSON",
        "toString",
        "valueOf",
        "join",
        "splice",
        "hasOwnProperty",
    ];
    match (value.value(), name.as_str()) {
        (Value::Function(function), Some(name)) if HOOKS.contains(&name) => {
            Err(changes_engine(function.name()))
        }
        _ => Ok(()),
    }
}

fn length_of(elements: usize) -> i64 {
    i64::try_from(elements).unwrap_or(i64::MAX)
}

/// Where `splice(index, …)` starts.
fn from_end(index: i64, length: usize) -> usize {
    let length = length_of(length);
    let at = if index < 0 {
        length.saturating_add(index).max(0)
    } else {
        index.min(length)
    };
    usize::try_from(at).unwrap_or(0)
}

fn list_key(token: &Token, length: usize) -> Result<ListKey> {
    match token.kind {
        TokenKind::Missing => Err(cannot_read("undefined", &"length".into())),
        TokenKind::Dash => Ok(ListKey::Number(length_of(length))),
        TokenKind::Digits(index) => Ok(ListKey::Number(i64::from(index))),
        TokenKind::Word => Ok(ListKey::Word),
    }
}

/// Walks along all tokens but the last.
fn walk<'d>(
    root: &'d Slot,
    tokens: &[Token],
    around: &Surroundings,
    check: Option<&Check<'_>>,
) -> Result<Place<'d>> {
    let as_clone = check.is_some_and(|check| check.as_clone);
    let mut place = Place {
        parent: Cursor::In(root),
        steps: Vec::with_capacity(tokens.len()),
        made: root.made_below(0),
    };
    let mut checked = false;
    for (at, token) in tokens.iter().enumerate() {
        if token.banned {
            return Err(type_error(
                "JSON-Patch: modifying `__proto__` or `constructor/prototype` prop is banned for security \
                 reasons, if this was on purpose, please set `banPrototypeModifications` flag false and pass it \
                 to this function. More info in fast-json-patch README",
            ));
        }
        let is_last = at + 1 == tokens.len();
        if let (Some(check), false) = (check, checked) {
            let exists = {
                let (found, _) = property(&place.parent, &token.name, around, as_clone)?;
                !matches!(found.value(), Value::Undefined)
            };
            if !exists || is_last {
                checked = true;
                check_place(check, root, around, exists, is_last)?;
            }
        }
        let mut key = None;
        if let Value::List(list) = place.parent.value() {
            if check.is_some() && token.kind == TokenKind::Word {
                return Err(patch_error(
                    "OPERATION_PATH_ILLEGAL_ARRAY_INDEX",
                    "Expected an unsigned base-10 integer value, making the new referenced value the array \
                     element with the zero-based index",
                ));
            }
            if let ListKey::Number(index) = list_key(token, list.elements.len())? {
                key = Some(index);
            }
        }
        if is_last {
            break;
        }
        let (next, step) = match key {
            Some(index) => element(&place.parent, index, as_clone),
            None => property(&place.parent, &token.name, around, as_clone)?,
        };
        if let Cursor::In(slot) = &next {
            place.made = slot.made_below(place.made);
        }
        place.steps.extend(step);
        place.parent = next;
        if check.is_some() && !place.parent.value().is_container() {
            return Err(patch_error(
                "OPERATION_PATH_UNRESOLVABLE",
                "Cannot perform operation at the desired path",
            ));
        }
    }
    Ok(place)
}

/// `parent[token]` for the last token.
fn read(place: &Place<'_>, token: &Token, around: &Surroundings) -> Result<Found> {
    let key = match place.parent.value() {
        Value::List(list) => list_key(token, list.elements.len())?,
        _ => ListKey::Word,
    };
    let (found, step) = match key {
        ListKey::Number(index) => element(&place.parent, index, false),
        ListKey::Word => property(&place.parent, &token.name, around, false)?,
    };
    Ok(Found {
        value: found.value().clone(),
        made: match &found {
            Cursor::In(slot) => Some(slot.made_below(place.made)),
            Cursor::Out(_) => None,
        },
        steps: match (found, step) {
            (Cursor::In(_), Some(step)) => {
                let mut steps = place.steps.clone();
                steps.push(step);
                Some(steps)
            }
            _ => None,
        },
    })
}

/// `list[index]`; a negative index is the name of a property.
fn element<'d>(list: &Cursor<'d>, index: i64, as_clone: bool) -> (Cursor<'d>, Option<Step>) {
    let Cursor::In(slot) = list else {
        return (Cursor::Out(Value::Undefined), None);
    };
    let Value::List(list) = slot.value() else {
        return (Cursor::Out(Value::Undefined), None);
    };
    let found = match usize::try_from(index) {
        Ok(at) => list.elements.get(at).map(|slot| (Step::Element(at), slot)),
        Err(_) if as_clone => None,
        Err(_) => list
            .property(&index.to_string().into())
            .map(|(at, slot)| (Step::Property(at), slot)),
    };
    match found {
        Some((_, slot)) if as_clone && !slot.value().is_visible() => (Cursor::Out(Value::Null), None),
        Some((step, slot)) => (Cursor::In(slot), Some(step)),
        None => (Cursor::Out(Value::Undefined), None),
    }
}

/// JavaScript's `value[name]`.
fn property<'d>(
    parent: &Cursor<'d>,
    name: &JsString,
    around: &Surroundings,
    as_clone: bool,
) -> Result<(Cursor<'d>, Option<Step>)> {
    let index = || {
        name.as_str()
            .filter(|_| json::is_array_index(name))?
            .parse::<usize>()
            .ok()
    };
    let class = match parent.value() {
        Value::Undefined => return Err(cannot_read("undefined", name)),
        Value::Null => return Err(cannot_read("null", name)),
        Value::Map(_) => {
            if let Cursor::In(slot) = parent
                && let Some((at, member)) = slot.member(name)
                && (member.value().is_visible() || !as_clone)
            {
                return Ok((Cursor::In(member), Some(Step::Member(at))));
            }
            Class::Object
        }
        Value::List(list) => {
            if let Some(at) = index() {
                return Ok(element(parent, length_of(at), as_clone));
            }
            if *name == "length" {
                let length = Value::Number(list.elements.len() as f64);
                return Ok((Cursor::Out(length), None));
            }
            if let Cursor::In(slot) = parent
                && let Value::List(list) = slot.value()
                && let Some((at, found)) = list.property(name).filter(|_| !as_clone)
            {
                return Ok((Cursor::In(found), Some(Step::Property(at))));
            }
            Class::Array
        }
        Value::String(text) => {
            around.read.set(around.read.get() + parent.value().weight() / 64);
            if *name == "length" {
                return Ok((Cursor::Out(Value::Number(text.length() as f64)), None));
            }
            if let Some(character) = index().and_then(|at| text.char_at(at)) {
                return Ok((Cursor::Out(Value::String(character)), None));
            }
            Class::String
        }
        Value::Number(_) => Class::Number,
        Value::Bool(_) => Class::Boolean,
        Value::Function(function) => {
            if around.touched.contains(&(*function, name.clone())) {
                return Err(changes_engine(function.name()));
            }
            return match function.property(name) {
                Property::Poison => Err(poisoned()),
                Property::Prototype => Err(changes_engine(function.name())),
                Property::Constant(value)
                | Property::ReadOnly(value)
                | Property::Engine(value)
                | Property::Inherited(value) => Ok((Cursor::Out(value), None)),
            };
        }
    };
    Ok((Cursor::Out(built_in::inherited(class, name)), None))
}

fn op_invalid() -> Fail {
    patch_error(
        "OPERATION_OP_INVALID",
        "Operation `op` property is not one of operations defined in RFC-6902",
    )
}

/// The library's `validator(operation)`, before it looks at the document.
fn check_shape(operation: &Operation) -> Result<()> {
    if !operation.is_object {
        return Err(patch_error(
            "OPERATION_NOT_AN_OBJECT",
            "Operation is not an object",
        ));
    }
    match operation.op {
        None => return Err(type_error("Cannot convert object to primitive value")),
        Some(Op::Unknown) => return Err(op_invalid()),
        Some(_) => {}
    }
    if !operation.path.is_text {
        return Err(patch_error(
            "OPERATION_PATH_INVALID",
            "Operation `path` property is not a string",
        ));
    }
    if !operation.path.has_slash {
        return Err(patch_error(
            "OPERATION_PATH_INVALID",
            "Operation `path` property must start with \"/\"",
        ));
    }
    let op = &operation.strict_op;
    if matches!(op, Op::Move | Op::Copy) && !operation.from.is_text {
        return Err(patch_error(
            "OPERATION_FROM_REQUIRED",
            "Operation `from` property is not present (applicable in `move` and `copy` operations)",
        ));
    }
    if matches!(op, Op::Add | Op::Replace | Op::Test) && operation.value.is_none() {
        return Err(patch_error(
            "OPERATION_VALUE_REQUIRED",
            "Operation `value` property is not present (applicable in `add`, `replace` and `test` operations)",
        ));
    }
    Ok(())
}

/// The library's `validator(operation, …, existingPathFragment)`, which it calls where the path ends or where
/// the document has no more of it.
fn check_place(
    check: &Check<'_>,
    root: &Slot,
    around: &Surroundings,
    exists: bool,
    is_last: bool,
) -> Result<()> {
    if !root.value().truthy() {
        return Ok(());
    }
    if check.op == Some(&Op::Add) {
        if exists || is_last {
            return Ok(());
        }
        return Err(patch_error(
            "OPERATION_PATH_CANNOT_ADD",
            "Cannot perform an `add` operation at the desired path",
        ));
    }
    match check.strict_op {
        Op::Replace | Op::Remove | Op::Get if !exists => Err(patch_error(
            "OPERATION_PATH_UNRESOLVABLE",
            "Cannot perform the operation at a path that does not exist",
        )),
        Op::Move | Op::Copy => match check.from {
            Some(Pointer {
                kind: PointerKind::Tokens(tokens),
                has_slash: true,
                ..
            }) => check_from(root, tokens, around),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Whether the source exists, as the library finds out: by reading it, with validation, from a clone.
fn check_from(root: &Slot, tokens: &[Token], around: &Surroundings) -> Result<()> {
    let check = Check {
        op: Some(&Op::Get),
        strict_op: &Op::Get,
        from: None,
        as_clone: true,
    };
    match walk(root, tokens, around, Some(&check)) {
        Err(Fail(failure)) if failure.name == Some("OPERATION_PATH_UNRESOLVABLE") => Err(patch_error(
            "OPERATION_FROM_UNRESOLVABLE",
            "Cannot perform the operation from a path that does not exist",
        )),
        // Any other verdict of the library's own is thrown away.
        Err(Fail(failure)) if failure.class == ErrorClass::PatchError => Ok(()),
        Err(fail) => Err(fail),
        Ok(_) => Ok(()),
    }
}

/// The library's `_areEquals(document, value)`. `has_own`: the value has a member `hasOwnProperty` somewhere,
/// so that the order of comparison decides between a failed test and a TypeError.
fn equal(document: &Value, value: &Value, has_own: bool) -> Result<bool> {
    Ok(match (document, value) {
        (Value::Undefined, Value::Undefined) | (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => a == b || (a.is_nan() && b.is_nan()),
        (Value::String(a), Value::String(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            if a.elements.len() != b.elements.len() {
                return Ok(false);
            }
            for (a, b) in a.elements.iter().zip(&b.elements).rev() {
                if !equal(a.value(), b.value(), has_own)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(a), Value::Map(b)) => {
            if a.entries.len() != b.entries.len() {
                return Ok(false);
            }
            if !has_own {
                // Both are sorted.
                let mut pairs = a.entries.iter().zip(&b.entries);
                if !pairs.clone().all(|(a, b)| a.name == b.name) {
                    return Ok(false);
                }
                return pairs.try_fold(true, |same, (a, b)| {
                    Ok(same && equal(a.slot.value(), b.slot.value(), false)?)
                });
            }
            if !a.entries.is_empty() && b.find(&"hasOwnProperty".into()).is_ok() {
                return Err(type_error("b.hasOwnProperty is not a function"));
            }
            let pairs: Option<Vec<(&Slot, &Slot)>> = a
                .in_order()
                .into_iter()
                .map(|entry| {
                    let other = b.entries.get(b.find(&entry.name).ok()?)?;
                    Some((&entry.slot, &other.slot))
                })
                .collect();
            let Some(pairs) = pairs else { return Ok(false) };
            for (a, b) in pairs.into_iter().rev() {
                if !equal(a.value(), b.value(), true)? {
                    return Ok(false);
                }
            }
            true
        }
        _ => false,
    })
}

fn invalid_length() -> Fail {
    fail(
        ErrorClass::RangeError,
        None,
        "Invalid array length".to_owned(),
        None,
    )
}

/// JavaScript's `Number(value)`; not a number where it is none.
fn number_of(value: &Value) -> Result<f64> {
    Ok(match value {
        Value::Undefined | Value::Function(_) => f64::NAN,
        Value::Null | Value::Bool(false) => 0.0,
        Value::Bool(true) => 1.0,
        Value::Number(number) => *number,
        Value::String(text) => number_from_text(text),
        Value::List(_) | Value::Map(_) => text_of(value)?.map_or(f64::NAN, |text| number_from_text(&text)),
    })
}

/// JavaScript's `String(value)`; `None` for a text that is no number anyway.
fn text_of(value: &Value) -> Result<Option<JsString>> {
    let no_primitive = || type_error("Cannot convert object to primitive value");
    Ok(match value {
        Value::Undefined | Value::Null => Some("".into()),
        Value::Bool(_) | Value::Function(_) => None,
        Value::Number(number) if number.is_finite() => Some(json::number_text(*number).into()),
        Value::Number(_) => None,
        Value::String(text) => Some(text.clone()),
        Value::Map(members) => {
            if members.find(&"toString".into()).is_ok() {
                return Err(no_primitive());
            }
            None
        }
        Value::List(list) => {
            if list.property(&"toString".into()).is_some() {
                return Err(no_primitive());
            }
            if list.property(&"join".into()).is_some() {
                return Ok(None);
            }
            let mut text = Some("".into());
            for element in &list.elements {
                text = text_of(element.value())?;
            }
            text.filter(|_| list.elements.len() < 2)
        }
    })
}

/// JavaScript's `Number(text)`.
fn number_from_text(text: &JsString) -> f64 {
    let Some(text) = text.as_str() else {
        return f64::NAN;
    };
    let text = text.trim_matches(|c: char| (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}');
    let radix = match text.get(..2) {
        Some("0x" | "0X") => Some(16),
        Some("0o" | "0O") => Some(8),
        Some("0b" | "0B") => Some(2),
        _ => None,
    };
    if let (Some(radix), Some(digits)) = (radix, text.get(2..)) {
        let mut number = if digits.is_empty() { f64::NAN } else { 0.0 };
        for c in digits.chars() {
            number = number * f64::from(radix) + c.to_digit(radix).map_or(f64::NAN, f64::from);
        }
        return number;
    }
    match text {
        "" => 0.0,
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        // Rust also reads words such as `inf`.
        text if text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) =>
        {
            text.parse().unwrap_or(f64::NAN)
        }
        _ => f64::NAN,
    }
}

/// JavaScript's integer of a number: cut off, and 0 for what is not a number.
fn to_integer(number: f64) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates, and every list is shorter"
    )]
    let integer = number as i64;
    integer
}

impl Slot {
    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    fn into_value(self) -> Value {
        self.value
    }

    fn member(&self, name: &JsString) -> Option<(usize, &Self)> {
        let Value::Map(members) = &self.value else {
            return None;
        };
        let at = members.find(name).ok()?;
        members.entries.get(at).map(|entry| (at, &entry.slot))
    }

    fn part(&self, step: Step) -> Option<PathPart> {
        match (&self.value, step) {
            (Value::Map(members), Step::Member(at)) => {
                members.entries.get(at).map(|entry| PathPart::name(&entry.name))
            }
            (Value::List(_), Step::Element(at)) => Some(PathPart::Index(at)),
            (Value::List(list), Step::Property(at)) => {
                let properties = list.properties.as_ref()?;
                properties
                    .entries
                    .get(at)
                    .map(|entry| PathPart::name(&entry.name))
            }
            _ => None,
        }
    }

    fn put_member(&mut self, name: &JsString, slot: Self) {
        if let Value::Map(members) = &mut self.value {
            members.make_mut().put(name.clone(), slot);
        }
    }

    fn remove_member(&mut self, at: usize) -> Option<Self> {
        match &mut self.value {
            Value::Map(members) => members.make_mut().remove(at),
            _ => None,
        }
    }

    fn list_mut(&mut self) -> Option<&mut super::document::List> {
        match &mut self.value {
            Value::List(list) => Some(list.make_mut()),
            _ => None,
        }
    }

    /// How many elements a change would have to copy first.
    fn shared_len(&self) -> usize {
        match &self.value {
            Value::List(list) if list.is_shared() => list.elements.len(),
            Value::Map(members) if members.is_shared() => members.entries.len(),
            _ => 0,
        }
    }
}
