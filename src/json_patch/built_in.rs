//! JavaScript's built-in objects, as far as a patch can reach them.
//!
//! `/metadata/labels/toString` is a place that fast-json-patch finds: a property read in JavaScript finds
//! inherited names too. What stands there is a function, which `JSON.stringify` leaves out. This table lists
//! the names of V8's built-ins (node 20) with the arity of each function, because `length` and `name` of a
//! function can be read, copied and tested.

use super::document::Value;
use crate::json::JsString;

/// A constructor and its prototype.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Object,
    Function,
    Array,
    String,
    Number,
    Boolean,
}

/// A function of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum BuiltIn {
    /// `Object`, `Array`, …
    Constructor(Class),
    /// `Object.prototype.toString`, …: the function at this index of [`methods`].
    Method(Class, u8),
    /// `Object.keys`, …: the function at this index of [`statics`].
    Static(Class, u8),
}

type Row = (&'static str, u8);

const OBJECT_METHODS: &[Row] = &[
    ("__defineGetter__", 2),
    ("__defineSetter__", 2),
    ("hasOwnProperty", 1),
    ("__lookupGetter__", 1),
    ("__lookupSetter__", 1),
    ("isPrototypeOf", 1),
    ("propertyIsEnumerable", 1),
    ("toString", 0),
    ("valueOf", 0),
    ("toLocaleString", 0),
];
const FUNCTION_METHODS: &[Row] = &[("apply", 2), ("bind", 1), ("call", 1), ("toString", 0)];
#[rustfmt::skip]
const ARRAY_METHODS: &[Row] = &[
    ("at", 1), ("concat", 1), ("copyWithin", 2), ("fill", 1), ("find", 1), ("findIndex", 1), ("findLast", 1),
    ("findLastIndex", 1), ("lastIndexOf", 1), ("pop", 0), ("push", 1), ("reverse", 0), ("shift", 0),
    ("unshift", 1), ("slice", 2), ("sort", 1), ("splice", 2), ("includes", 1), ("indexOf", 1), ("join", 1),
    ("keys", 0), ("entries", 0), ("values", 0), ("forEach", 1), ("filter", 1), ("flat", 0), ("flatMap", 1),
    ("map", 1), ("every", 1), ("some", 1), ("reduce", 1), ("reduceRight", 1), ("toLocaleString", 0),
    ("toString", 0), ("toReversed", 0), ("toSorted", 1), ("toSpliced", 2), ("with", 2),
];
#[rustfmt::skip]
const STRING_METHODS: &[Row] = &[
    ("anchor", 1), ("at", 1), ("big", 0), ("blink", 0), ("bold", 0), ("charAt", 1), ("charCodeAt", 1),
    ("codePointAt", 1), ("concat", 1), ("endsWith", 1), ("fontcolor", 1), ("fontsize", 1), ("fixed", 0),
    ("includes", 1), ("indexOf", 1), ("isWellFormed", 0), ("italics", 0), ("lastIndexOf", 1), ("link", 1),
    ("localeCompare", 1), ("match", 1), ("matchAll", 1), ("normalize", 0), ("padEnd", 1), ("padStart", 1),
    ("repeat", 1), ("replace", 2), ("replaceAll", 2), ("search", 1), ("slice", 2), ("small", 0), ("split", 2),
    ("strike", 0), ("sub", 0), ("substr", 2), ("substring", 2), ("sup", 0), ("startsWith", 1),
    ("toString", 0), ("toWellFormed", 0), ("trim", 0), ("trimStart", 0), ("trimLeft", 0), ("trimEnd", 0),
    ("trimRight", 0), ("toLocaleLowerCase", 0), ("toLocaleUpperCase", 0), ("toLowerCase", 0),
    ("toUpperCase", 0), ("valueOf", 0),
];
const NUMBER_METHODS: &[Row] = &[
    ("toExponential", 1),
    ("toFixed", 1),
    ("toPrecision", 1),
    ("toString", 1),
    ("valueOf", 0),
    ("toLocaleString", 0),
];
const BOOLEAN_METHODS: &[Row] = &[("toString", 0), ("valueOf", 0)];

#[rustfmt::skip]
const OBJECT_STATICS: &[Row] = &[
    ("assign", 2), ("getOwnPropertyDescriptor", 2), ("getOwnPropertyDescriptors", 1),
    ("getOwnPropertyNames", 1), ("getOwnPropertySymbols", 1), ("hasOwn", 2), ("is", 2),
    ("preventExtensions", 1), ("seal", 1), ("create", 2), ("defineProperties", 2), ("defineProperty", 3),
    ("freeze", 1), ("getPrototypeOf", 1), ("setPrototypeOf", 2), ("isExtensible", 1), ("isFrozen", 1),
    ("isSealed", 1), ("keys", 1), ("entries", 1), ("fromEntries", 1), ("values", 1),
];
const ARRAY_STATICS: &[Row] = &[("isArray", 1), ("from", 1), ("of", 0)];
const STRING_STATICS: &[Row] = &[("fromCharCode", 1), ("fromCodePoint", 1), ("raw", 1)];
const NUMBER_STATICS: &[Row] = &[
    ("isFinite", 1),
    ("isInteger", 1),
    ("isNaN", 1),
    ("isSafeInteger", 1),
    ("parseFloat", 1),
    ("parseInt", 2),
];
const NUMBER_CONSTANTS: &[(&str, f64)] = &[
    ("MAX_VALUE", f64::MAX),
    ("MIN_VALUE", 5e-324),
    ("NaN", f64::NAN),
    ("NEGATIVE_INFINITY", f64::NEG_INFINITY),
    ("POSITIVE_INFINITY", f64::INFINITY),
    ("MAX_SAFE_INTEGER", 9_007_199_254_740_991.0),
    ("MIN_SAFE_INTEGER", -9_007_199_254_740_991.0),
    ("EPSILON", f64::EPSILON),
];

fn methods(class: Class) -> &'static [Row] {
    match class {
        Class::Object => OBJECT_METHODS,
        Class::Function => FUNCTION_METHODS,
        Class::Array => ARRAY_METHODS,
        Class::String => STRING_METHODS,
        Class::Number => NUMBER_METHODS,
        Class::Boolean => BOOLEAN_METHODS,
    }
}

fn statics(class: Class) -> &'static [Row] {
    match class {
        Class::Object => OBJECT_STATICS,
        Class::Function | Class::Boolean => &[],
        Class::Array => ARRAY_STATICS,
        Class::String => STRING_STATICS,
        Class::Number => NUMBER_STATICS,
    }
}

fn position(rows: &[Row], name: &str) -> Option<u8> {
    rows.iter()
        .position(|(row, _)| *row == name)
        .and_then(|at| u8::try_from(at).ok())
}

fn on_prototype(class: Class, name: &str) -> Option<BuiltIn> {
    if name == "constructor" {
        return Some(BuiltIn::Constructor(class));
    }
    position(methods(class), name).map(|at| BuiltIn::Method(class, at))
}

/// What a value of this class inherits under this name: a function, or `undefined`.
pub(super) fn inherited(class: Class, name: &JsString) -> Value {
    let Some(name) = name.as_str() else {
        return Value::Undefined;
    };
    on_prototype(class, name)
        .or_else(|| on_prototype(Class::Object, name))
        .map_or(Value::Undefined, Value::Function)
}

/// Whether every plain object inherits something under this name, `__proto__` included.
pub(crate) fn is_inherited_by_objects(name: &str) -> bool {
    name == "__proto__" || on_prototype(Class::Object, name).is_some()
}

/// A property of a function, as far as it is built in.
#[derive(Clone, Debug)]
pub(super) enum Property {
    /// Its own and fixed: assigning is silently ignored, deleting too.
    Constant(Value),
    /// Its own; assigning is silently ignored, deleting works.
    ReadOnly(Value),
    /// Its own, and part of the engine that the library stands on.
    Engine(Value),
    /// `prototype`: through it a patch reaches everything there is.
    Prototype,
    /// `caller` and `arguments`, which throw.
    Poison,
    /// Not its own: inherited, or `undefined`.
    Inherited(Value),
}

impl BuiltIn {
    fn row(self) -> Row {
        let found = match self {
            Self::Constructor(class) => {
                return match class {
                    Class::Object => ("Object", 1),
                    Class::Function => ("Function", 1),
                    Class::Array => ("Array", 1),
                    Class::String => ("String", 1),
                    Class::Number => ("Number", 1),
                    Class::Boolean => ("Boolean", 1),
                };
            }
            Self::Method(class, at) => methods(class).get(usize::from(at)),
            Self::Static(class, at) => statics(class).get(usize::from(at)),
        };
        match found.copied().unwrap_or(("", 0)) {
            // Two names of the same functions.
            ("trimLeft", arity) => ("trimStart", arity),
            ("trimRight", arity) => ("trimEnd", arity),
            row => row,
        }
    }

    /// The function's `name`.
    pub(super) fn name(self) -> &'static str {
        self.row().0
    }

    /// The property of this name.
    pub(super) fn property(self, name: &JsString) -> Property {
        let Some(text) = name.as_str() else {
            return Property::Inherited(Value::Undefined);
        };
        match text {
            "name" => return Property::ReadOnly(Value::String(self.name().into())),
            "length" => return Property::ReadOnly(Value::Number(f64::from(self.row().1))),
            "caller" | "arguments" => return Property::Poison,
            _ => {}
        }
        if let Self::Constructor(class) = self {
            if text == "prototype" {
                return Property::Prototype;
            }
            if let Some(at) = position(statics(class), text) {
                return Property::Engine(Value::Function(Self::Static(class, at)));
            }
            if class == Class::Number
                && let Some((_, value)) = NUMBER_CONSTANTS.iter().find(|(constant, _)| *constant == text)
            {
                return Property::Constant(Value::Number(*value));
            }
        }
        Property::Inherited(inherited(Class::Function, name))
    }
}
