//! What is wrong with an operation of a patch, beside what CoCalc does with it.
//!
//! fast-json-patch accepts much that RFC 6902 forbids, and then often does something that nobody asked for; in a
//! few cases it is the other way round. Each rule here looks at one operation and at the document as it is right
//! before it, so the patches are replayed, one operation at a time.
//!
//! The document is never walked as a whole: a rule costs what the path of its operation costs.

use std::collections::{HashMap, HashSet};

use crate::{
    json::{JsString, Json},
    json_patch::{
        Document, Effect, Failure, Key, Kind, Operation, Options, Shape, Stamp, apply,
        is_inherited_by_objects,
    },
    output::mask,
    pipeline::Rendered,
};

use super::{
    Finding, Severity, license_name,
    meant::{Wanted, meant},
};

/// How many keys of a map a message lists.
const KEYS_SHOWN: usize = 8;
/// Beyond this many findings no path is suggested: a patch may have 100,000 misspelt ones.
const ADVISED: usize = 1000;
/// How many keys of an operation that stand twice are told.
const TWICE_SHOWN: usize = 8;
/// Integers above are rounded, as JavaScript's doubles are.
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

/// A license's patch and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct PatchToCheck<'a> {
    /// Id of the license.
    pub license: &'a str,
    /// Its operations.
    pub operations: &'a [Operation],
    /// What each did, in the same order. Nothing is looked at after one that failed.
    pub effects: &'a [Effect],
}

/// Something to tell about an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationFinding {
    /// Index of the patch, from 0.
    pub patch: usize,
    /// Index of the operation in its patch, from 0.
    pub operation: usize,
    /// What there is to tell, without license and number.
    pub finding: Finding,
}

/// Looks at every operation of patches that CoCalc applies in this order to `before`.
///
/// `options` and the effects are those of the application. Takes about twice the time of the application.
pub fn check_operations(
    before: &Document,
    patches: &[PatchToCheck<'_>],
    options: Options,
) -> Vec<OperationFinding> {
    let mut first = 0;
    before.for_each_leaf(&mut |_, by, origin| first = first.max(by).max(origin));
    let mut stamp = first.saturating_add(1);
    let mut document = before.clone();
    let mut findings = Vec::new();
    let mut starts = Vec::new();
    for (index, patch) in patches.iter().enumerate() {
        starts.push(stamp);
        let mut guards = Guards::default();
        for (number, (operation, effect)) in patch.operations.iter().zip(patch.effects).enumerate() {
            if *effect == Effect::NotReached {
                return findings;
            }
            let look = Look::new(&document, operation, *effect, findings.len() < ADVISED);
            let mut told = look.tell(&document);
            told.extend(guards.missing(&look, &document, starts.get(index).copied().unwrap_or(stamp)));
            told.extend(depends(&look, patches, &starts, index));
            guards.follow(&look);
            let applied = apply(&mut document, &[(operation, stamp)], options);
            if let Some(failure) = &applied.failure {
                told.push(look.failure(failure, &document));
            }
            findings.extend(told.into_iter().map(|finding| OperationFinding {
                patch: index,
                operation: number,
                finding,
            }));
            if applied.failure.is_some() {
                return findings;
            }
            stamp = stamp.saturating_add(1);
        }
    }
    findings
}

/// The operations of a rendered project that there is something to tell about.
pub fn operation_findings(rendered: &Rendered, options: Options) -> Vec<OperationFinding> {
    let patches: Vec<PatchToCheck<'_>> = rendered
        .patches
        .iter()
        .map(|patch| PatchToCheck {
            license: &patch.license,
            operations: patch.operations(),
            effects: &patch.effects,
        })
        .collect();
    check_operations(&rendered.unpatched, &patches, options)
}

/// Operations that CoCalc accepts and that do nothing, each named in its message.
pub(super) fn without_effect(rendered: &Rendered) -> Vec<Finding> {
    let mut findings = Vec::new();
    for patch in &rendered.patches {
        let operations = patch.operations();
        for (i, (operation, effect)) in operations.iter().zip(&patch.effects).enumerate() {
            if *effect == Effect::Nothing {
                findings.push(
                    Finding::new(
                        WITHOUT_EFFECT,
                        Severity::Warning,
                        format!(
                            "{}: operation {} of {} does nothing: {} {}",
                            license_name(&patch.title, &patch.license),
                            i + 1,
                            operations.len(),
                            operation.op(),
                            operation.path(),
                        ),
                    )
                    .about(&patch.license),
                );
            }
        }
    }
    findings
}

/// An operation that CoCalc accepts and that does nothing.
pub const WITHOUT_EFFECT: &str = "operation-without-effect";
/// How a suggestion begins, which is given once.
const DID_YOU_MEAN: &str = "did you mean ";

/// A path as the library takes it apart.
#[derive(Default)]
struct Pointer {
    /// The text; `None` if it is no string.
    text: Option<String>,
    tokens: Vec<Token>,
}

struct Token {
    /// As it is written.
    raw: String,
    name: String,
}

impl Token {
    /// The index as the library computes it, which has 32 bits.
    fn index(&self) -> Option<i64> {
        if !self.name.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        if self.name.is_empty() {
            return Some(0);
        }
        let number: f64 = self.name.parse().ok().filter(|n: &f64| n.is_finite())?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the remainder is integral and below 2^32"
        )]
        let bits = number.trunc().rem_euclid(4_294_967_296.0) as u32;
        Some(i64::from(bits.cast_signed()))
    }
}

impl Pointer {
    fn new(value: Option<&Json>) -> Self {
        let Some(Json::String(text)) = value else {
            return Self::default();
        };
        let text = text.to_string_lossy();
        let tokens = text
            .split('/')
            .skip(1)
            .map(|raw| Token {
                raw: raw.to_owned(),
                name: raw.replace("~1", "/").replace("~0", "~"),
            })
            .collect();
        Self {
            text: Some(text),
            tokens,
        }
    }

    fn shown(&self) -> &str {
        match self.text.as_deref() {
            Some("") => "the root",
            Some(text) => text,
            None => "it",
        }
    }

    /// A member called `undefined` is addressed.
    fn has_no_token(&self) -> bool {
        self.tokens.is_empty() && self.text.as_deref() != Some("")
    }
}

/// Where a pointer leads.
struct Walk {
    /// What stands at the root and after each token, and who put it there.
    steps: Vec<(Stage, Stamp)>,
    /// How many tokens lead to something.
    found: usize,
}

/// A [`Shape`] without its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Nothing,
    Null,
    Text,
    Scalar,
    List(usize),
    Map,
}

fn walk(document: &Document, pointer: &Pointer) -> Walk {
    let mut steps = Vec::new();
    let mut next = 0;
    document.walk(&mut |shape, put| {
        steps.push((
            match shape {
                Shape::Nothing => Stage::Nothing,
                Shape::Null => Stage::Null,
                Shape::Text(_) => Stage::Text,
                Shape::Scalar => Stage::Scalar,
                Shape::List(length) => Stage::List(length),
                Shape::Map => Stage::Map,
            },
            put,
        ));
        let token = pointer.tokens.get(next)?;
        next += 1;
        match shape {
            Shape::List(_) => Some(match token.index() {
                Some(index) => usize::try_from(index).map_or(Key::End, Key::Index),
                None => Key::End,
            }),
            Shape::Map => Some(Key::Name(&token.name)),
            _ => None,
        }
    });
    let found = steps
        .iter()
        .skip(1)
        .take_while(|(stage, _)| *stage != Stage::Nothing)
        .count();
    Walk { steps, found }
}

impl Walk {
    /// What stands in front of this token; nothing if the way ends before.
    fn before(&self, token: usize) -> Stage {
        self.steps.get(token).map_or(Stage::Nothing, |(stage, _)| *stage)
    }

    /// What the pointer leads to.
    fn target(&self, pointer: &Pointer) -> Stage {
        self.before(pointer.tokens.len())
    }

    /// What the last token is looked up in.
    fn parent(&self, pointer: &Pointer) -> Option<Stage> {
        Some(self.before(pointer.tokens.len().checked_sub(1)?))
    }

    /// Who put the deepest thing on the way.
    fn stamp(&self) -> Option<Stamp> {
        self.steps.get(self.found).map(|(_, put)| *put)
    }
}

/// One operation and what it meets.
struct Look<'a> {
    operation: &'a Operation,
    op: String,
    effect: Effect,
    path: Pointer,
    at: Walk,
    from: Pointer,
    source: Option<Walk>,
    /// Whether other paths are suggested.
    advises: bool,
}

impl<'a> Look<'a> {
    fn new(document: &Document, operation: &'a Operation, effect: Effect, advises: bool) -> Self {
        let op = operation.op().into_owned();
        let path = Pointer::new(operation.json().get("path"));
        let at = walk(document, &path);
        let from = Pointer::new(operation.json().get("from"));
        let source = (op == "move" || op == "copy").then(|| walk(document, &from));
        Self {
            operation,
            op,
            effect,
            path,
            at,
            from,
            source,
            advises,
        }
    }

    /// "; did you mean …?" where another path than this one was meant.
    fn meant(&self, document: &Document, pointer: &Pointer) -> Option<String> {
        let text = pointer.text.as_deref().filter(|_| self.advises)?;
        let reads = self.reads(pointer) || self.is(&["remove", "replace"]);
        let wanted = Wanted {
            kind: self
                .value()
                .filter(|_| self.is(&["add", "replace"]))
                .map(Kind::of),
            must_exist: reads,
        };
        let meant = meant(document, text, wanted).or_else(|| {
            // CoCalc's replace adds as well.
            let puts = Wanted {
                must_exist: false,
                ..wanted
            };
            (self.op == "replace").then(|| meant(document, text, puts))?
        })?;
        Some(format!("; {meant}"))
    }

    fn value(&self) -> Option<&Json> {
        self.operation.json().get("value")
    }

    fn is(&self, ops: &[&str]) -> bool {
        ops.contains(&&*self.op)
    }

    /// Whether it puts something at `path`.
    fn puts(&self) -> bool {
        self.is(&["add", "replace", "move", "copy"])
    }

    /// Everything but what other operations have to do with it.
    fn tell(&self, document: &Document) -> Vec<Finding> {
        let mut told = Vec::new();
        self.texts(document, &mut told);
        self.tokens(&self.path, &self.at, &mut told);
        if let Some(source) = &self.source {
            self.tokens(&self.from, source, &mut told);
        }
        self.missing_value(&mut told);
        self.list_place(document, &mut told);
        self.member_place(document, &mut told);
        self.source(document, &mut told);
        self.root(&mut told);
        told.extend(self.operation.twice().iter().take(TWICE_SHOWN).map(|twice| {
            warn(
                "operation-duplicate-key",
                format!(
                    "the key {:?} stands twice in one object, again at line {} column {}; CoCalc takes the last",
                    twice.name, twice.line, twice.column
                ),
            )
        }));
        self.numbers(&mut told);
        if self.effect == Effect::Nothing {
            let told_already = told.iter().any(|finding| finding.message.contains(DID_YOU_MEAN));
            let meant = if told_already {
                None
            } else {
                self.meant(document, &self.path)
            };
            told.push(warn(
                WITHOUT_EFFECT,
                format!(
                    "it does nothing: {} {}{}",
                    self.op,
                    self.path.shown(),
                    meant.unwrap_or_default()
                ),
            ));
        }
        told
    }

    /// How `path` and `from` are written.
    fn texts(&self, document: &Document, told: &mut Vec<Finding>) {
        let mut pointers = vec![("path", &self.path)];
        if self.source.is_some() {
            pointers.push(("from", &self.from));
        }
        for (name, pointer) in pointers {
            match pointer.text.as_deref() {
                None if name == "path" => told.push(Finding::new(
                    "path-not-text",
                    if self.effect == Effect::Failed {
                        Severity::Error
                    } else {
                        Severity::Warning
                    },
                    "its path is no string; CoCalc takes 0 and false as the member \"undefined\" of the root, and \
                     fails at anything else",
                )),
                None => {}
                Some(text) if text.is_empty() || text.starts_with('/') => {}
                Some(text) => {
                    let taken = match pointer.tokens.is_empty() {
                        true => "the member \"undefined\" of the root".to_owned(),
                        false => format!("/{}", text.split_once('/').map_or("", |(_, rest)| rest)),
                    };
                    told.push(warn(
                        "path-without-slash",
                        format!(
                            "its {name} {text:?} does not start with a slash; CoCalc takes it as {taken}{}",
                            self.meant(document, pointer).unwrap_or_default()
                        ),
                    ));
                }
            }
            let odd = |token: &&Token| {
                let mut rest = &*token.raw;
                while let Some(at) = rest.find('~') {
                    rest = &rest[at + 1..];
                    if !rest.starts_with(['0', '1']) {
                        return true;
                    }
                }
                false
            };
            if let Some(token) = pointer.tokens.iter().find(odd) {
                told.push(warn(
                    "bad-escape",
                    format!(
                        "in its {name}, {:?} has a ~ that is followed by neither 0 nor 1; CoCalc takes it as it \
                         stands; write ~0 for ~",
                        token.raw
                    ),
                ));
            }
            let banned = pointer
                .tokens
                .windows(2)
                .any(|pair| matches!(pair, [a, b] if a.raw == "constructor" && b.name == "prototype"))
                || pointer.tokens.iter().any(|token| token.name == "__proto__");
            if banned {
                told.push(Finding::new(
                    "banned-name",
                    Severity::Error,
                    format!(
                        "its {name} holds __proto__ or constructor/prototype, which CoCalc's library refuses even \
                         as ordinary names"
                    ),
                ));
            }
        }
    }

    /// Tokens that mean something only to JavaScript.
    fn tokens(&self, pointer: &Pointer, walk: &Walk, told: &mut Vec<Finding>) {
        let last = pointer.tokens.len().saturating_sub(1);
        for (index, token) in pointer.tokens.iter().enumerate() {
            match walk.before(index) {
                Stage::List(length) => {
                    let name = &*token.name;
                    let number = token.index();
                    if name.is_empty() {
                        told.push(warn(
                            "empty-index",
                            "nothing stands after the slash where an index is needed; CoCalc takes it as 0",
                        ));
                    } else if let Some(number) = number {
                        if name.len() > 10 || name.parse::<i64>().is_ok_and(|n| n != number) {
                            told.push(warn(
                                "index-wraps",
                                format!(
                                    "the index {name} has more than 31 bits; CoCalc takes it as {number}"
                                ),
                            ));
                        } else if name.len() > 1 && name.starts_with('0') {
                            told.push(warn(
                                "leading-zero",
                                format!("the index {name} has a leading zero; CoCalc takes it as {number}"),
                            ));
                        }
                    } else if name == "length" {
                        told.push(warn(
                            "list-length",
                            format!(
                                "\"length\" is a property of JavaScript's lists (here {length}), no element; \
                                 writing it cuts or stretches the list"
                            ),
                        ));
                    } else if is_inherited_by_objects(name) && index < last {
                        told.push(inherited(name));
                    }
                }
                Stage::Map => {
                    let is_there = walk.found > index;
                    if !is_there
                        && is_inherited_by_objects(&token.name)
                        && (index < last || self.reads(pointer))
                    {
                        told.push(inherited(&token.name));
                    }
                }
                Stage::Text | Stage::Scalar => {
                    told.push(warn(
                        "below-scalar",
                        format!(
                            "{} is no map and no list; CoCalc writes nothing below it, and reads single characters \
                             and \"length\" of a string",
                            prefix(pointer, index)
                        ),
                    ));
                    return;
                }
                Stage::Nothing | Stage::Null => return,
            }
        }
    }

    /// Whether the pointer is only read.
    fn reads(&self, pointer: &Pointer) -> bool {
        self.op == "test" || std::ptr::eq(pointer, &self.from)
    }

    fn missing_value(&self, told: &mut Vec<Finding>) {
        if self.value().is_some() {
            return;
        }
        if self.is(&["add", "replace"]) {
            let then = match self.effect {
                Effect::Removed => "deletes what stands there",
                _ => "puts nothing there, which is null in a list",
            };
            told.push(warn("value-missing", format!("it has no value; CoCalc {then}")));
        } else if self.op == "test" {
            told.push(warn(
                "value-missing",
                "it has no value; CoCalc's test passes only where nothing stands",
            ));
        }
    }

    /// The last token, where it is looked up in a list.
    fn list_place(&self, document: &Document, told: &mut Vec<Finding>) {
        let (Some(Stage::List(length)), Some(token)) = (self.at.parent(&self.path), self.path.tokens.last())
        else {
            return;
        };
        let list = prefix(&self.path, self.path.tokens.len() - 1);
        let name = &*token.name;
        let Some(index) = token.index() else {
            if name == "-" {
                if self.op == "replace" {
                    told.push(warn(
                        "replace-at-end",
                        format!("there is nothing to replace at the end of {list}; CoCalc appends"),
                    ));
                }
            } else if name != "length" {
                let meant = self.meant(document, &self.path).unwrap_or_default();
                let negative = name
                    .strip_prefix('-')
                    .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
                let what = if negative { "a negative index" } else { "no index" };
                if self.op == "remove" {
                    let taken = removed_by_name(name, length);
                    told.push(warn(
                        "remove-by-name",
                        format!("{name:?} is {what} of {list}; CoCalc removes element {taken}{meant}"),
                    ));
                } else if self.puts() {
                    told.push(warn(
                        "list-element-by-name",
                        format!(
                            "{name:?} is {what} of {list}; what CoCalc puts there is never printed{meant}"
                        ),
                    ));
                }
            }
            return;
        };
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        if self.is(&["add", "move", "copy"]) && index > length {
            told.push(warn(
                "index-past-end",
                format!("{list} has {length} elements; CoCalc appends in place of leaving a gap; write /-"),
            ));
        } else if self.op == "replace" && index == length {
            told.push(warn(
                "replace-at-end",
                format!(
                    "{list} has {length} elements, so there is nothing to replace at {index}; CoCalc appends"
                ),
            ));
        } else if self.op == "replace" && index > length {
            told.push(warn(
                "replace-past-end",
                format!(
                    "{list} has {length} elements; CoCalc fills the gap of {} with null",
                    index - length
                ),
            ));
        }
    }

    /// The keys of the first tokens, as far as they lead anywhere.
    fn keys(&self, count: usize) -> Vec<Key<'_>> {
        self.path
            .tokens
            .iter()
            .take(count)
            .enumerate()
            .map(|(index, token)| match (self.at.before(index), token.index()) {
                (Stage::List(_), Some(number)) => usize::try_from(number).map_or(Key::End, Key::Index),
                (Stage::List(_), None) => Key::End,
                _ => Key::Name(&token.name),
            })
            .collect()
    }

    /// The last token, where it is looked up in a map.
    fn member_place(&self, document: &Document, told: &mut Vec<Finding>) {
        if self.at.parent(&self.path) != Some(Stage::Map) {
            return;
        }
        let target = self.at.target(&self.path);
        if self.op == "replace" && target == Stage::Nothing && self.value().is_some() {
            told.push(Finding::new(
                "replace-missing",
                Severity::Note,
                format!(
                    "{} is not there to be replaced; CoCalc adds it, other tools fail; write add",
                    self.path.shown()
                ),
            ));
        }
        if !self.is(&["add", "copy", "move"]) || (self.op == "add" && self.value().is_none()) {
            return;
        }
        let lost = match target {
            Stage::Nothing => return,
            Stage::List(length) if length > 0 => format!("a list of {length}"),
            Stage::Map => {
                let count = document
                    .member_names(&self.keys(self.path.tokens.len()))
                    .map_or(0, |names| names.len());
                if count == 0 {
                    return;
                }
                format!("a map of {count}")
            }
            Stage::List(_) | Stage::Null => return,
            Stage::Text | Stage::Scalar => {
                told.push(Finding::new(
                    "add-overwrites",
                    Severity::Note,
                    format!(
                        "{} is there already and is overwritten; write replace if that is meant",
                        self.path.shown()
                    ),
                ));
                return;
            }
        };
        told.push(warn(
            "add-overwrites",
            format!(
                "{} is there already, {lost}, and is overwritten as a whole; write replace if that is meant",
                self.path.shown()
            ),
        ));
    }

    /// Where a move or copy takes its value from.
    fn source(&self, document: &Document, told: &mut Vec<Finding>) {
        let Some(source) = &self.source else { return };
        let verb = if self.op == "move" {
            "deletes what stands at its path"
        } else {
            "puts null at its path"
        };
        if self.from.text.is_none() {
            told.push(warn("from-missing", format!("it has no from; CoCalc {verb}")));
            return;
        }
        // What has no token or was told of as a token is told already.
        let parent = source.parent(&self.from);
        let nothing = source.target(&self.from) == Stage::Nothing;
        let odd = self.from.has_no_token() || matches!(parent, Some(Stage::Text | Stage::Scalar));
        if nothing && !odd && self.effect != Effect::Failed {
            let length = self
                .from
                .tokens
                .last()
                .is_some_and(|token| token.name == "length");
            if !(length && matches!(parent, Some(Stage::List(_)))) {
                told.push(warn(
                    "from-nothing",
                    format!(
                        "nothing stands at its from, {}; CoCalc {verb}{}",
                        self.from.shown(),
                        self.meant(document, &self.from).unwrap_or_default()
                    ),
                ));
            }
        }
        let inside = self.path.tokens.len() > self.from.tokens.len()
            && self
                .from
                .tokens
                .iter()
                .zip(&self.path.tokens)
                .all(|(a, b)| a.name == b.name);
        if self.op == "move" && inside && !nothing {
            let then = match parent {
                None => "would make a document that contains itself",
                Some(Stage::List(_)) => "puts it into the element that takes its place",
                _ => "fails, after it has removed the value",
            };
            told.push(Finding::new(
                "move-into-itself",
                if self.effect == Effect::Failed {
                    Severity::Error
                } else {
                    Severity::Warning
                },
                format!("{} cannot be moved into itself; CoCalc {then}", self.from.shown()),
            ));
        }
    }

    fn root(&self, told: &mut Vec<Finding>) {
        if self.op == "remove" && self.path.text.as_deref() == Some("") {
            told.push(warn(
                "root-removed",
                "it removes the whole document; CoCalc goes on with null",
            ));
        }
    }

    /// Numbers and strings that do not survive.
    fn numbers(&self, told: &mut Vec<Finding>) {
        if !self.is(&["add", "replace", "test"]) {
            return;
        }
        let Some(value) = self.value() else { return };
        let mut odd = Odd::default();
        odd.look(value);
        if odd.infinite {
            told.push(warn(
                "number-out-of-range",
                "its value holds a number beyond what a double can hold; CoCalc sends null",
            ));
        }
        if odd.rounded {
            told.push(Finding::new(
                "number-rounded",
                Severity::Note,
                "its value holds a whole number above 9007199254740991, which CoCalc rounds and compares rounded",
            ));
        }
        if odd.surrogate {
            told.push(warn(
                "lone-surrogate",
                "its value holds half of a surrogate pair (\\uD800 to \\uDFFF), which Kubernetes cannot store",
            ));
        }
    }

    /// Whether its path leads into a variable whose value no message shows.
    fn is_secret(&self, document: &Document) -> bool {
        let above = self.path.tokens.len().saturating_sub(1);
        let variable = document.get(&self.keys(above));
        let name = variable
            .as_ref()
            .and_then(|variable| variable.get("name")?.as_str());
        name.is_some_and(mask::is_secret)
    }

    /// What to say of an operation that failed.
    fn failure(&self, failure: &Failure, document: &Document) -> Finding {
        let error = |rule, message| Finding::new(rule, Severity::Error, message);
        let message = &failure.message;
        if failure.name == Some("TEST_OPERATION_FAILED") {
            let there = match self.at.target(&self.path) {
                Stage::Nothing => format!(
                    "nothing stands there{}",
                    self.meant(document, &self.path).unwrap_or_default()
                ),
                _ => document.get(&self.keys(self.path.tokens.len())).map_or_else(
                    || "it is another one".to_owned(),
                    |value| {
                        if self.is_secret(document) {
                            "it is another one".to_owned()
                        } else {
                            format!("it is {}", short(&value))
                        }
                    },
                ),
            };
            return error(
                "test-fails",
                format!(
                    "the value at {} is not the one tested for: {there}",
                    self.path.shown()
                ),
            );
        }
        if self.op == "test" && message.contains("hasOwnProperty") {
            return error(
                "test-has-own-property",
                "CoCalc's library cannot compare a value that has a member hasOwnProperty; test something else"
                    .to_owned(),
            );
        }
        if self.op == "move" && self.would_be_there_later(document) {
            return error(
                "move-target-not-yet-there",
                format!(
                    "{} is only there once the value is gone from {}, and CoCalc looks first; write remove and add",
                    self.path.shown(),
                    self.from.shown()
                ),
            );
        }
        let missing = self.path.tokens.len() > self.at.found + 1;
        let broken = self.at.before(self.at.found);
        if self.path.text.is_some()
            && (missing || broken == Stage::Null && self.at.found < self.path.tokens.len())
        {
            let appends = self.path.tokens.last().is_some_and(|token| token.name == "-")
                && self.path.tokens.len() == self.at.found + 2;
            // A path is not called missing and misspelt at once, nor is there to be added what nobody meant.
            let meant = self.meant(document, &self.path);
            let there = what_is_there(self, document);
            if let Some(meant) = meant {
                return error(
                    "missing-parent",
                    format!("{} cannot be reached: {there}{meant}", self.path.shown()),
                );
            }
            if appends && self.puts() {
                let list = prefix(&self.path, self.path.tokens.len() - 1);
                return error(
                    "append-without-list",
                    format!("there is no list {list} to append to: {there}; add {list} as a list first"),
                );
            }
            return error(
                "missing-parent",
                format!("{} cannot be reached: {there}", self.path.shown()),
            );
        }
        if let Some(source) = &self.source
            && self.from.tokens.len() > source.found + 1
        {
            return error(
                "missing-parent",
                format!(
                    "its from, {}, cannot be reached{}",
                    self.from.shown(),
                    self.meant(document, &self.from).unwrap_or_default()
                ),
            );
        }
        error("operation-fails", format!("CoCalc fails at it: {message}"))
    }

    /// Whether the target's parent would be there if the source were removed first.
    fn would_be_there_later(&self, document: &Document) -> bool {
        let Some(source) = &self.source else { return false };
        if source.target(&self.from) == Stage::Nothing || self.from.tokens.is_empty() {
            return false;
        }
        let keys: Vec<Key<'_>> = self
            .from
            .tokens
            .iter()
            .enumerate()
            .map(|(index, token)| match (source.before(index), token.index()) {
                (Stage::List(_), Some(number)) => usize::try_from(number).map_or(Key::End, Key::Index),
                _ => Key::Name(&token.name),
            })
            .collect();
        let mut later = document.clone();
        if !later.remove(&keys, Stamp::MAX - 1) {
            return false;
        }
        matches!(
            walk(&later, &self.path).parent(&self.path),
            Some(Stage::Map | Stage::List(_))
        )
    }
}

fn warn(rule: &'static str, message: impl Into<String>) -> Finding {
    Finding::new(rule, Severity::Warning, message)
}

fn inherited(name: &str) -> Finding {
    warn(
        "inherited-name",
        format!(
            "{name:?} is not there, but every JavaScript object inherits it; CoCalc changes nothing of the pod"
        ),
    )
}

/// The pointer of the first tokens.
fn prefix(pointer: &Pointer, count: usize) -> String {
    if count == 0 {
        return "the root".to_owned();
    }
    let mut text = String::new();
    for token in pointer.tokens.iter().take(count) {
        text.push('/');
        text.push_str(&token.raw);
    }
    text
}

/// Which element `remove` takes for a token that is no index: `Array.splice(token, 1)`.
fn removed_by_name(name: &str, length: usize) -> usize {
    let number = match name.strip_prefix("0x").or_else(|| name.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).map_or(f64::NAN, f64::from),
        None if name.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) => {
            name.parse().unwrap_or(f64::NAN)
        }
        None => f64::NAN,
    };
    let length = length as f64;
    let start = if number.is_nan() { 0.0 } else { number.trunc() };
    let start = if start < 0.0 {
        (length + start).max(0.0)
    } else {
        start
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and a cast of a float saturates"
    )]
    let start = start as usize;
    start
}

/// What the deepest thing on the way is.
fn what_is_there(look: &Look<'_>, document: &Document) -> String {
    let found = look.at.found;
    let place = prefix(&look.path, found);
    match look.at.before(found) {
        Stage::List(0) => format!("{place} is an empty list"),
        Stage::List(length) => format!("{place} is a list of {length}"),
        Stage::Map => {
            let names = document.member_names(&look.keys(found)).unwrap_or_default();
            let shown: Vec<&str> = names.iter().take(KEYS_SHOWN).copied().collect();
            let more = match names.len().saturating_sub(KEYS_SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            if shown.is_empty() {
                format!("{place} is an empty map")
            } else {
                format!("{place} has {}{more}", shown.join(", "))
            }
        }
        Stage::Null => format!("{place} is null"),
        Stage::Text => format!("{place} is a string"),
        Stage::Scalar => format!("{place} is a number or a boolean"),
        Stage::Nothing => "the document is undefined".to_owned(),
    }
}

fn short(value: &Json) -> String {
    match value {
        Json::List(list) => format!("a list of {}", list.len()),
        Json::Map(map) => format!("a map of {}", map.len()),
        other => {
            let text = other.stringify();
            match text.char_indices().nth(60) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        }
    }
}

#[derive(Default)]
struct Odd {
    infinite: bool,
    rounded: bool,
    surrogate: bool,
}

impl Odd {
    /// Recurses as deep as the value.
    fn look(&mut self, value: &Json) {
        match value {
            Json::Number(number) => {
                self.infinite |= number.is_infinite();
                self.rounded |= number.is_finite() && number.abs() > MAX_SAFE && number.fract() == 0.0;
            }
            Json::String(text) => self.text(text),
            Json::List(list) => list.iter().for_each(|element| self.look(element)),
            Json::Map(map) => {
                for (name, member) in map.iter() {
                    self.text(name);
                    self.look(member);
                }
            }
            Json::Null | Json::Bool(_) => {}
        }
    }

    fn text(&mut self, text: &JsString) {
        self.surrogate |= text.as_str().is_none();
    }
}

/// Which elements of lists earlier operations of the same patch have tested.
///
/// An operation that inserts into a list or removes from it makes all tests of its elements void.
#[derive(Default)]
struct Guards {
    /// How often each list was shifted.
    shifts: HashMap<String, u32>,
    /// Tested elements, with the shifts of their list at that time.
    tested: HashMap<String, u32>,
    /// Maps and lists that were tested as a whole.
    whole: HashSet<String>,
}

impl Guards {
    fn shift_of(&self, list: &str) -> u32 {
        self.shifts.get(list).copied().unwrap_or(0)
    }

    /// The elements that a pointer goes through: the list and the element, by their pointers.
    fn elements<'p>(pointer: &'p Pointer, walk: &'p Walk, last_too: bool) -> Vec<(String, String, usize)> {
        let mut elements = Vec::new();
        let mut text = String::new();
        for (index, token) in pointer.tokens.iter().enumerate() {
            let list = text.clone();
            text.push('/');
            text.push_str(&token.raw);
            let is_last = index + 1 == pointer.tokens.len();
            if matches!(walk.before(index), Stage::List(_))
                && token.index().is_some()
                && (last_too || !is_last)
            {
                elements.push((list, text.clone(), index));
            }
            if matches!(walk.before(index), Stage::Nothing) {
                break;
            }
        }
        elements
    }

    /// A finding if an index is relied on that no earlier operation has tested. What this patch itself has put
    /// there needs no test.
    fn missing(&self, look: &Look<'_>, document: &Document, first: Stamp) -> Option<Finding> {
        if look.op == "test" {
            return None;
        }
        let inserts = look.is(&["add", "move", "copy"]);
        let mut relied = Self::elements(&look.path, &look.at, !inserts)
            .into_iter()
            .map(|element| (element, &look.at))
            .collect::<Vec<_>>();
        if let Some(source) = &look.source {
            relied.extend(
                Self::elements(&look.from, source, true)
                    .into_iter()
                    .map(|element| (element, source)),
            );
        }
        let mut above = false;
        let ((_, element, _), _) = relied.into_iter().find(|((list, element, index), walk)| {
            above |= self.whole.contains(list);
            let own = walk.steps.get(*index).is_some_and(|(_, put)| *put >= first);
            let there = walk.found > *index;
            let tested = self.tested.get(element).copied() == Some(self.shift_of(list));
            there && !own && !above && !tested
        })?;
        let name = element_name(document, &element);
        let advice = match &name {
            Some(name) => format!(
                "it is {name:?} now; to be sure put {} before it",
                Json::map([
                    ("op", Json::string("test")),
                    ("path", Json::string(&format!("{element}/name"))),
                    ("value", Json::string(name)),
                ])
                .stringify()
            ),
            None => "put a test of it before".to_owned(),
        };
        Some(Finding::new(
            "index-without-guard",
            Severity::Warning,
            format!("{element} is whatever stands at that index: {advice}"),
        ))
    }

    fn follow(&mut self, look: &Look<'_>) {
        if look.op == "test" {
            for (list, element, _) in Self::elements(&look.path, &look.at, true) {
                self.tested.insert(element, self.shift_of(&list));
            }
            if let Some(text) = &look.path.text {
                self.whole.insert(text.clone());
            }
            return;
        }
        let mut shifted = Vec::new();
        if look.is(&["add", "remove", "move", "copy"]) {
            shifted.push((&look.path, &look.at));
        }
        if look.op == "move"
            && let Some(source) = &look.source
        {
            shifted.push((&look.from, source));
        }
        for (pointer, walk) in shifted {
            let Some((last, parents)) = pointer.tokens.split_last() else {
                continue;
            };
            if matches!(walk.parent(pointer), Some(Stage::List(_))) && last.name != "-" {
                let list: String = parents.iter().map(|token| format!("/{}", token.raw)).collect();
                self.whole.remove(&list);
                *self.shifts.entry(list).or_insert(0) += 1;
            }
        }
    }
}

fn element_name(document: &Document, element: &str) -> Option<String> {
    let pointer = Pointer::new(Some(&Json::string(element)));
    let walk = walk(document, &pointer);
    let mut keys: Vec<Key<'_>> = pointer
        .tokens
        .iter()
        .enumerate()
        .map(|(index, token)| match (walk.before(index), token.index()) {
            (Stage::List(_), Some(number)) => usize::try_from(number).map_or(Key::End, Key::Index),
            _ => Key::Name(&token.name),
        })
        .collect();
    keys.push(Key::Name("name"));
    document.get_str(&keys).map(str::to_owned)
}

/// Whether it relies on, or undoes, what another license has put there.
fn depends(look: &Look<'_>, patches: &[PatchToCheck<'_>], starts: &[Stamp], patch: usize) -> Option<Finding> {
    let of_path = (&look.path, &look.at);
    let of_from = look.source.as_ref().map(|source| (&look.from, source));
    for (pointer, walk) in std::iter::once(of_path).chain(of_from) {
        let Some(stamp) = walk.stamp() else { continue };
        let other = starts.partition_point(|start| *start <= stamp).checked_sub(1);
        let Some(other) = other.filter(|other| *other != patch) else {
            continue;
        };
        let operation = stamp - starts.get(other).copied().unwrap_or(stamp) + 1;
        let license = license_name("", patches.get(other).map_or("", |patch| patch.license));
        let place = prefix(pointer, walk.found);
        let ends_here = walk.found == pointer.tokens.len();
        let undoes = ends_here
            && std::ptr::eq(pointer, &look.path)
            && matches!(
                look.effect,
                Effect::Removed | Effect::Replaced | Effect::Moved | Effect::Copied
            );
        return Some(if undoes {
            warn(
                "undoes-other-license",
                format!("{place} was put there by operation {operation} of {license}, whose work it undoes"),
            )
        } else {
            Finding::new(
                "depends-on-other-license",
                Severity::Note,
                format!(
                    "{place} was put there by operation {operation} of {license}: without that license, or if its \
                     id came later, this fails or does something else"
                ),
            )
        });
    }
    None
}
