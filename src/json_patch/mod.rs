//! JSON Patch as CoCalc applies it: fast-json-patch 3.1.1, behind CoCalc's own silent check.
//!
//! A patch is first looked at by the [`gate()`], which turns a malformed one into an empty one without a word.
//! What passes is applied ([`apply()`]) to a [`Document`], which keeps for every value the step that put it at its
//! place and the step that made it. Nothing here follows RFC 6902 where the library does not: what is wrong
//! with a patch that CoCalc accepts is another question.

mod apply;
mod built_in;
mod document;
mod gate;
mod instead;
mod operation;
mod strict;

pub use apply::{
    Applied, Effect, ErrorClass, Failure, Limit, MAX_ELEMENTS, MAX_NESTING, MAX_TEXT, Options, Removal,
    apply, apply_json,
};
pub(crate) use built_in::is_inherited_by_objects;
pub(crate) use document::Place;
pub use document::{Document, Key, Leaf, PathPart, SetError, Shape, Stamp, Unsendable};
pub use gate::{Gate, Kind, Problem, Reason, gate, gate_parsed, gate_value};
pub use instead::Instead;
pub use operation::{Operation, Twice};
pub use strict::{Rejected, strict, strict_in_place, strict_text};
