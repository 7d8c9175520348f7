//! The calculation behind each value of a quota.
//!
//! "Why does this project have 16 GB?" is answered by the calculation itself: licenses `Lab` 1000 and `big` 16000
//! are 17000, capped by `max_upgrades.memory` 16000, which is above the default 1000. It is not reconstructed
//! afterwards: the quota function is written for any [`Value`], and a [`Tracked`] one is a double that notes each
//! step. Everything that explains a quota, as text or as data, is made of these steps.
//!
//! Each step has the other operand (`amount`) and the result (`value`), so that whoever follows them from the first
//! to the last arrives at the value, to the last bit of a double. Of a comparison the winner's steps go on and the
//! loser is the operand, wherever they stood in CoCalc's code. What changes nothing is left out, except for losers:
//! that a license gives less than the default is what an admin wants to know.

use std::fmt::Write as _;

use crate::json::{JsString, Json};

use super::{
    coerce::{self, max, min},
    quota::Computed,
};

/// Who decides, without copies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum By<'a> {
    License(&'a JsString),
    /// A license of the old kind (v1), which adds to the default.
    OldLicense(&'a JsString),
    User(&'a JsString),
    Setting(&'static str),
    Default(&'static str),
    Builtin,
    /// The member of `max_upgrades`, and whether the built-in value is in force because it is missing.
    Maximum(&'static str, bool),
    Overcommit(&'static str),
    Minimum,
    PayAsYouGo,
}

/// A number of the quota function, with or without memory. Flags are 0 and 1.
pub(super) trait Value<'a>: Clone {
    /// A value that somebody gives.
    fn start(value: f64, by: By<'a>) -> Self;
    /// A sum without summands.
    fn zero() -> Self;
    fn get(&self) -> f64;
    /// `self + amount`, for flags `self OR amount`.
    fn add(&mut self, amount: f64, flag: bool, by: By<'a>);
    /// `self + sum`, for flags `self OR sum`.
    fn join(&mut self, sum: Self, flag: bool);
    /// `max(0, self - base)`
    fn left_above(self, base: &Self) -> Self;
    /// `max(self, other)`
    fn raise(&mut self, other: Self);
    /// `min(self, bound)`
    fn cap(&mut self, bound: Self);
    /// `max(self, minimum)`, where the minimum is of no interest unless it is needed.
    fn floor_at(&mut self, minimum: Self);
    /// `self / ratio`
    fn divided(&self, ratio: f64, by: By<'a>) -> Self;
    fn rounded(&mut self, round: fn(f64) -> f64);
}

fn sum(a: f64, b: f64, flag: bool) -> f64 {
    if flag { max(a, b) } else { a + b }
}

impl<'a> Value<'a> for f64 {
    fn start(value: f64, _: By<'a>) -> Self {
        value
    }
    fn zero() -> Self {
        0.0
    }
    fn get(&self) -> f64 {
        *self
    }
    fn add(&mut self, amount: f64, flag: bool, _: By<'a>) {
        *self = sum(*self, amount, flag);
    }
    fn join(&mut self, other: Self, flag: bool) {
        *self = sum(*self, other, flag);
    }
    fn left_above(self, base: &Self) -> Self {
        max(0.0, self - base)
    }
    fn raise(&mut self, other: Self) {
        *self = max(*self, other);
    }
    fn cap(&mut self, bound: Self) {
        *self = min(*self, bound);
    }
    fn floor_at(&mut self, minimum: Self) {
        *self = max(*self, minimum);
    }
    fn divided(&self, ratio: f64, _: By<'a>) -> Self {
        self / ratio
    }
    fn rounded(&mut self, round: fn(f64) -> f64) {
        *self = round(*self);
    }
}

/// A double with the steps that led to it. A sum that has no summands yet has no steps.
#[derive(Clone, Debug)]
pub(super) struct Tracked<'a> {
    value: f64,
    steps: Vec<Step<'a>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Step<'a> {
    by: By<'a>,
    how: How,
    amount: f64,
    value: f64,
    with: Vec<Step<'a>>,
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

impl<'a> Tracked<'a> {
    fn push(&mut self, how: How, by: By<'a>, amount: f64, value: f64) {
        self.value = value;
        self.steps.push(Step {
            by,
            how,
            amount,
            value,
            with: Vec::new(),
        });
    }

    /// A step whose operand is the result of a calculation.
    fn step(&mut self, how: How, operand: Self, value: f64) {
        if self.steps.is_empty() {
            self.push(How::Base, By::Builtin, self.value, self.value);
        }
        self.push(how, operand.by(), operand.value, value);
        if let (Some(last), true) = (self.steps.last_mut(), operand.steps.len() > 1) {
            last.with = operand.steps;
        }
    }

    /// Whether it has an operand that counts and that the other does not have. The share of the default limit is of no
    /// interest beside that of a limit which is compared with the default itself.
    fn says_more_than(&self, other: &Self) -> bool {
        let is_known = |step: &Step<'a>| {
            let same = |known: &Step<'a>| known.by == step.by && same(known.amount, step.amount);
            matches!(step.by, By::Default(_) | By::Overcommit(_)) && other.steps.iter().any(same)
        };
        let mut steps = self.steps.iter().filter(|step| step.how != How::Rounded);
        steps.any(|step| step.amount != 0.0 && !is_known(step))
    }

    /// Who had the last word.
    fn by(&self) -> By<'a> {
        let decisive = self.steps.iter().rev().find(|step| step.how.decides());
        decisive.map_or(By::Builtin, |step| step.by)
    }

    /// The steps for readers.
    pub(super) fn terms(&self, flag: bool) -> Vec<Term> {
        terms(&self.steps, flag)
    }
}

fn terms(steps: &[Step<'_>], flag: bool) -> Vec<Term> {
    let shown = |value: f64| {
        if flag {
            Json::Bool(value != 0.0)
        } else {
            Json::Number(value)
        }
    };
    steps
        .iter()
        .map(|step| Term {
            by: Decider::from(step.by),
            how: step.how,
            amount: shown(step.amount),
            value: shown(step.value),
            with: terms(&step.with, flag),
        })
        .collect()
}

impl<'a> Value<'a> for Tracked<'a> {
    fn start(value: f64, by: By<'a>) -> Self {
        let mut start = Self::zero();
        start.push(How::Base, by, value, value);
        start
    }

    fn zero() -> Self {
        Self {
            value: 0.0,
            steps: Vec::new(),
        }
    }

    fn get(&self) -> f64 {
        self.value
    }

    fn add(&mut self, amount: f64, flag: bool, by: By<'a>) {
        if amount != 0.0 {
            let how = if self.steps.is_empty() {
                How::Base
            } else {
                How::Added
            };
            self.push(how, by, amount, sum(self.value, amount, flag));
        }
    }

    fn join(&mut self, other: Self, flag: bool) {
        let value = sum(self.value, other.value, flag);
        // One summand after the other reads best. It says the same unless the cap of the other sum means less
        // than a cap of the whole, or doubles add up to something else in this order.
        let mut flat = self.clone();
        for step in &other.steps {
            match step.how {
                How::Base | How::Added => flat.add(step.amount, flag, step.by),
                _ => {
                    let whole = step.with.first().unwrap_or(step);
                    flat.cap(Self::start(whole.amount, whole.by));
                }
            }
        }
        if same(flat.value, value) {
            *self = flat;
        } else {
            self.step(How::Added, other, value);
        }
    }

    fn left_above(mut self, base: &Self) -> Self {
        let value = max(0.0, self.value - base.value);
        if !same(value, self.value) {
            self.push(How::Added, base.by(), -base.value, value);
        }
        self
    }

    fn raise(&mut self, mut other: Self) {
        let value = max(self.value, other.value);
        // Of equals the one that says more goes on.
        let equal = same(self.value, other.value);
        let less = !self.says_more_than(&other) && other.says_more_than(self);
        if !same(value, self.value) || (equal && less) {
            std::mem::swap(self, &mut other);
        }
        if other.says_more_than(self) {
            self.step(How::Compared, other, value);
        }
    }

    fn cap(&mut self, bound: Self) {
        let value = min(self.value, bound.value);
        if !same(value, self.value) {
            self.step(How::Capped, bound, value);
        }
    }

    fn floor_at(&mut self, minimum: Self) {
        let value = max(self.value, minimum.value);
        if !same(value, self.value) {
            self.step(How::Raised, minimum, value);
        }
    }

    fn divided(&self, ratio: f64, by: By<'a>) -> Self {
        let mut share = self.clone();
        share.push(How::Divided, by, ratio, self.value / ratio);
        share
    }

    fn rounded(&mut self, round: fn(f64) -> f64) {
        let value = round(self.value);
        if !same(value, self.value) {
            self.push(How::Rounded, By::Builtin, value, value);
        }
    }
}

/// A step of a calculation.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Who gives the amount. Where `with` says how it comes about: who had the last word there.
    pub by: Decider,
    /// What is done with the amount.
    pub how: How,
    /// The other operand. Of the lists `dedicated_disks` and `patch`: how many elements are added.
    pub amount: Json,
    /// The value after this step. Of the lists `dedicated_disks` and `patch`: what this step adds.
    pub value: Json,
    /// The calculation of the amount, if it takes more than one step.
    pub with: Vec<Term>,
}

/// What a step of a calculation does with its amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The value begins with it.
    Base,
    /// It is added; for flags OR.
    Added,
    /// The value is at most that much; for flags AND.
    Capped,
    /// The larger of both counts, and it was not the amount. Of a `gpu` the later license counts.
    Compared,
    /// The value is divided by it.
    Divided,
    /// The value is at least that much.
    Raised,
    /// The value is rounded to it.
    Rounded,
}

impl How {
    /// The word in JSON output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Added => "added",
            Self::Capped => "capped",
            Self::Compared => "compared",
            Self::Divided => "divided",
            Self::Raised => "raised",
            Self::Rounded => "rounded",
        }
    }

    /// Whether who gives the amount has a say in the result.
    fn decides(self) -> bool {
        !matches!(self, Self::Compared | Self::Rounded)
    }

    fn sums(self) -> bool {
        matches!(self, Self::Base | Self::Added)
    }
}

/// Who decides a value of a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decider {
    /// A license, by its id.
    License(JsString),
    /// A license of the old kind (v1), by its id.
    OldLicense(JsString),
    /// A collaborator's upgrades, by account id.
    User(JsString),
    /// A member of the project's `settings`.
    Setting(&'static str),
    /// A member of server setting `default_quotas`.
    Default(&'static str),
    /// CoCalc's built-in base quota.
    Builtin,
    /// A member of server setting `max_upgrades`.
    Maximum {
        /// Its name.
        name: &'static str,
        /// Whether it is not set, so that CoCalc's built-in maximum is in force.
        built_in: bool,
    },
    /// An overcommit ratio of `default_quotas`.
    Overcommit(&'static str),
    /// CoCalc's built-in minimum.
    Minimum,
    /// Pay as you go.
    PayAsYouGo,
}

impl From<By<'_>> for Decider {
    fn from(by: By<'_>) -> Self {
        match by {
            By::License(id) => Self::License(id.clone()),
            By::OldLicense(id) => Self::OldLicense(id.clone()),
            By::User(id) => Self::User(id.clone()),
            By::Setting(name) => Self::Setting(name),
            By::Default(name) => Self::Default(name),
            By::Builtin => Self::Builtin,
            By::Maximum(name, built_in) => Self::Maximum { name, built_in },
            By::Overcommit(name) => Self::Overcommit(name),
            By::Minimum => Self::Minimum,
            By::PayAsYouGo => Self::PayAsYouGo,
        }
    }
}

impl Decider {
    /// Its kind, as JSON output has it in `by`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::License(_) | Self::OldLicense(_) => "license",
            Self::User(_) => "user",
            Self::Setting(_) => "setting",
            Self::Default(_) => "default",
            Self::Builtin => "builtin",
            Self::Maximum { .. } => "maximum",
            Self::Overcommit(_) => "overcommit",
            Self::Minimum => "minimum",
            Self::PayAsYouGo => "pay_as_you_go",
        }
    }

    /// Which one, as JSON output has it in `id`: a license's or account's id, or the setting with its member,
    /// for example `max_upgrades.memory`.
    pub fn id(&self) -> Option<JsString> {
        match self {
            Self::License(id) | Self::OldLicense(id) | Self::User(id) => Some(id.clone()),
            Self::Setting(name) => Some(format!("settings.{name}").into()),
            Self::Default(name) | Self::Overcommit(name) => Some(format!("default_quotas.{name}").into()),
            Self::Maximum { name, .. } => Some(format!("max_upgrades.{name}").into()),
            Self::Builtin | Self::Minimum | Self::PayAsYouGo => None,
        }
    }
}

impl Term {
    pub(super) fn base(by: Decider, value: Json) -> Self {
        Self {
            by,
            how: How::Base,
            amount: value.clone(),
            value,
            with: Vec::new(),
        }
    }

    /// `{"by", "id"?, "how", "amount", "value", "with"?}`
    pub fn to_json(&self) -> Json {
        let mut members = vec![("by", Json::string(self.by.kind()))];
        // Of several, `with` says which.
        let id = self.by.id().filter(|_| self.with.is_empty());
        members.extend(id.map(|id| ("id", Json::String(id))));
        members.push(("how", Json::string(self.how.as_str())));
        members.push(("amount", self.amount.clone()));
        members.push(("value", self.value.clone()));
        if !self.with.is_empty() {
            members.push(("with", terms_json(&self.with)));
        }
        Json::map(members)
    }
}

/// A calculation as JSON: a list of [`Term::to_json`].
pub fn terms_json(terms: &[Term]) -> Json {
    Json::list(terms.iter().map(Term::to_json).collect())
}

/// A quota and, for every value in it, how it is calculated.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// The quota function's answer.
    pub computed: Computed,
    fields: Vec<(&'static str, Vec<Term>)>,
}

impl Decided {
    pub(super) fn new(computed: Computed, fields: Vec<(&'static str, Vec<Term>)>) -> Self {
        Self { computed, fields }
    }

    /// All fields of the quota with their calculations.
    pub fn fields(&self) -> &[(&'static str, Vec<Term>)] {
        &self.fields
    }

    /// The calculation of a field of the quota, first to last; empty if the quota has no such field.
    pub fn calculation(&self, field: &str) -> &[Term] {
        self.fields
            .iter()
            .find(|(name, _)| *name == field)
            .map_or(&[], |(_, terms)| terms)
    }

    /// The steps that have a say in the value of a field, first to last: not those that lost a comparison.
    pub fn decisive(&self, field: &str) -> Vec<&Term> {
        fn collect<'t>(terms: &'t [Term], found: &mut Vec<&'t Term>) {
            for term in terms.iter().filter(|term| term.how.decides()) {
                if term.how == How::Added && !term.with.is_empty() {
                    collect(&term.with, found);
                } else {
                    found.push(term);
                }
            }
        }
        let mut found = Vec::new();
        collect(self.calculation(field), &mut found);
        found
    }

    /// `{field: [`[`Term::to_json`]`, …]}`
    pub fn to_json(&self) -> Json {
        Json::map(self.fields.iter().map(|(name, terms)| (*name, terms_json(terms))))
    }

    /// The calculation of a field for readers: `licenses Lab f3d76abf 1000 + big 77aa10b4 16000 = 17000, capped by
    /// max_upgrades.memory 16000; above default 1000`. `title` gives a license's title, if it has one.
    ///
    /// Each step applies to everything before it. What something is above of ends at the next semicolon; any other
    /// operand that is more than a sum stands in parentheses.
    pub fn why(&self, field: &str, title: &dyn Fn(&JsString) -> Option<String>) -> String {
        let mut text = String::new();
        Writer { field, title }.calculation(&mut text, self.calculation(field));
        text
    }
}

/// Writes calculations for readers.
struct Writer<'a> {
    field: &'a str,
    title: &'a dyn Fn(&JsString) -> Option<String>,
}

impl Writer<'_> {
    fn calculation(&self, text: &mut String, terms: &[Term]) {
        let mut separator = ", ";
        for (i, term) in terms.iter().enumerate() {
            let previous = i.checked_sub(1).and_then(|i| terms.get(i));
            let next = terms.get(i + 1).filter(|next| next.how == How::Added);
            match term.how {
                How::Base => self.summand(text, term, None, next, &term.amount),
                How::Added => {
                    let (sign, amount) = match (previous, &term.amount) {
                        (Some(previous), _) if !previous.how.sums() => ("; plus ", term.amount.clone()),
                        (_, Json::Number(amount)) if *amount < 0.0 && term.with.is_empty() => {
                            (" - ", Json::Number(-amount))
                        }
                        _ => (" + ", term.amount.clone()),
                    };
                    text.push_str(sign);
                    self.summand(
                        text,
                        term,
                        previous.filter(|before| before.how.sums()),
                        next,
                        &amount,
                    );
                    if next.is_none() && !matches!(term.value, Json::List(_)) {
                        let _ = write!(text, " = {}", shown(&term.value));
                    }
                }
                How::Capped => match term.by {
                    Decider::Setting(name) => {
                        let _ = write!(text, "{separator}switched off by settings.{name}");
                    }
                    _ => self.operation(text, separator, "capped by", term),
                },
                How::Compared => {
                    let words = match self.field {
                        "gpu" => "instead of",
                        _ if term.amount == term.value => "equal to",
                        _ => "above",
                    };
                    separator = "; ";
                    self.operation(text, separator, words, term);
                }
                How::Divided => {
                    self.operation(text, separator, "divided by", term);
                    let _ = write!(text, " = {}", shown(&term.value));
                }
                How::Raised => self.operation(text, separator, "raised to", term),
                How::Rounded => {
                    let _ = write!(text, "{separator}rounded to {}", shown(&term.value));
                }
            }
        }
    }

    fn operation(&self, text: &mut String, separator: &str, words: &str, term: &Term) {
        let _ = write!(text, "{separator}{words} ");
        self.summand(text, term, None, None, &term.amount);
    }

    /// A summand. Neighbors of one kind share the words for it.
    fn summand(
        &self,
        text: &mut String,
        term: &Term,
        previous: Option<&Term>,
        next: Option<&Term>,
        amount: &Json,
    ) {
        let kind = |term: &Term| (std::mem::discriminant(&term.by), term.with.is_empty());
        let joins = |other: Option<&Term>| other.is_some_and(|other| kind(other) == kind(term));
        if term.with.is_empty() && !joins(previous) {
            text.push_str(match (&term.by, joins(next)) {
                (Decider::License(_), false) => "license ",
                (Decider::License(_), true) => "licenses ",
                (Decider::OldLicense(_), false) => "old license ",
                (Decider::OldLicense(_), true) => "old licenses ",
                (Decider::User(_), false) => "upgrade of user ",
                (Decider::User(_), true) => "upgrades of users ",
                _ => "",
            });
        }
        self.operand(text, term, amount);
    }

    fn operand(&self, text: &mut String, term: &Term, amount: &Json) {
        if term.with.is_empty() {
            return self.named(text, &term.by, amount);
        }
        let sums = term.with.iter().all(|inner| inner.how.sums());
        let one_clause = term.with.is_sorted_by_key(|inner| !inner.how.sums())
            && term.with.iter().all(|inner| inner.how != How::Compared);
        let bare = match term.how {
            How::Compared => one_clause,
            How::Added => false,
            _ => sums,
        };
        text.push_str(if bare { "" } else { "(" });
        self.calculation(text, &term.with);
        text.push_str(if bare { "" } else { ")" });
    }

    fn named(&self, text: &mut String, by: &Decider, amount: &Json) {
        match by {
            Decider::License(id) | Decider::OldLicense(id) => {
                if let Some(title) = (self.title)(id).filter(|title| !title.is_empty()) {
                    let _ = write!(text, "{title} ");
                }
                text.push_str(&short(id));
            }
            Decider::User(id) => text.push_str(&short(id)),
            Decider::Default(_) => text.push_str("default"),
            Decider::Builtin => text.push_str("built-in"),
            Decider::Minimum => text.push_str("the minimum"),
            Decider::PayAsYouGo => text.push_str("pay as you go"),
            Decider::Setting(_) | Decider::Maximum { .. } | Decider::Overcommit(_) => {
                text.push_str(&by.id().map_or_else(String::new, |id| id.to_string_lossy()));
            }
        }
        let _ = write!(text, " {}", shown(amount));
        if let Decider::Maximum { built_in: true, .. } = by {
            text.push_str(" (built-in)");
        }
    }
}

fn shown(value: &Json) -> String {
    match value {
        Json::Number(number) => coerce::number_string(*number),
        other => other.stringify(),
    }
}

/// The first 8 characters, which is how outputs show ids.
fn short(id: &JsString) -> String {
    id.to_string_lossy().chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        json::parse,
        json_patch::gate_value,
        pipeline::{
            quota::{Input, explain},
            settings::SiteSettings,
        },
    };

    const LAB: &str = "f3d76abf-38a5-4e4e-884d-2e70f1afddb9";
    const BIG: &str = "77aa10b4-02c7-4c0e-9b1e-5d0f6f2f7a10";

    fn decided(
        default_quotas: &str,
        max_upgrades: &str,
        settings: &str,
        users: &str,
        licenses: &str,
    ) -> Decided {
        let [settings, users, licenses] = [settings, users, licenses].map(|text| parse(text).unwrap());
        explain(&Input {
            settings: &settings,
            users: &users,
            site_license: &licenses,
            site_settings: Some(&SiteSettings {
                default_quotas: parse(default_quotas).unwrap(),
                max_upgrades: parse(max_upgrades).unwrap(),
            }),
            pay_as_you_go: None,
            gate: &|patch| Arc::new(gate_value(patch)),
        })
        .unwrap()
    }

    fn why(decided: &Decided, field: &str) -> String {
        decided.why(field, &|id| {
            Some(if *id == LAB { "Lab NFS" } else { "big" }.to_owned())
        })
    }

    #[test]
    fn quota_licenses_are_added_to_each_other_capped_and_compared_with_the_default() {
        let licenses =
            format!(r#"{{"{LAB}": {{"quota": {{"ram": 1}}}}, "{BIG}": {{"quota": {{"ram": 16}}}}}}"#);
        let decided = decided(
            r#"{"mem": 1000, "mem_oc": 5}"#,
            r#"{"memory": 16000}"#,
            "{}",
            "{}",
            &licenses,
        );
        assert_eq!(
            why(&decided, "memory_limit"),
            "licenses Lab NFS f3d76abf 1000 + big 77aa10b4 16000 = 17000, capped by max_upgrades.memory 16000; \
             above default 1000"
        );
        assert_eq!(
            why(&decided, "memory_request"),
            "licenses Lab NFS f3d76abf 1000 + big 77aa10b4 16000 = 17000, capped by max_upgrades.memory 16000; \
             above default 1000; divided by default_quotas.mem_oc 5 = 3200"
        );
        assert_eq!(
            why(&decided, "cpu_request"),
            "built-in 0, raised to the minimum 0.02"
        );
        assert_eq!(
            decided.to_json().get("memory_limit").unwrap(),
            &parse(&format!(
                r#"[{{"by": "license", "id": "{LAB}", "how": "base", "amount": 1000, "value": 1000}},
                    {{"by": "license", "id": "{BIG}", "how": "added", "amount": 16000, "value": 17000}},
                    {{"by": "maximum", "id": "max_upgrades.memory", "how": "capped", "amount": 16000, "value": 16000}},
                    {{"by": "default", "id": "default_quotas.mem", "how": "compared", "amount": 1000, "value": 16000}}]"#
            ))
            .unwrap()
        );
    }

    #[test]
    fn upgrades_of_users_and_old_licenses_are_added_to_the_default() {
        let users =
            r#"{"22222222-a": {"upgrades": {"memory": 500}}, "33333333-a": {"upgrades": {"memory": 250}}}"#;
        let licenses = format!(r#"{{"{LAB}": {{"memory": 100}}, "{BIG}": {{"quota": {{"ram": 1}}}}}}"#);
        let decided = decided(r#"{"mem": 1000}"#, "{}", "{}", users, &licenses);
        assert_eq!(
            why(&decided, "memory_limit"),
            "default 1000 + upgrades of users 22222222 500 + 33333333 250 + old license Lab NFS f3d76abf 100 = 1850; \
             above license big 77aa10b4 1000"
        );
        assert_eq!(
            decided.to_json().get("memory_limit").unwrap().as_list().unwrap()[4],
            parse(&format!(
                r#"{{"by": "license", "id": "{BIG}", "how": "compared", "amount": 1000, "value": 1850}}"#
            ))
            .unwrap()
        );
    }

    #[test]
    fn what_a_cap_swallows_is_told_and_a_loser_that_is_a_calculation_stands_in_with() {
        let users = r#"{"22222222-a": {"upgrades": {"memory": 20000}}}"#;
        let licenses = format!(r#"{{"{BIG}": {{"quota": {{"ram": 30}}}}}}"#);
        let capped = decided(r#"{"mem": 1000}"#, "{}", "{}", users, &licenses);
        assert_eq!(
            why(&capped, "memory_limit"),
            "default 1000 + upgrade of user 22222222 20000 = 21000, capped by max_upgrades.memory 16000 (built-in); \
             equal to license big 77aa10b4 30000, capped by max_upgrades.memory 16000 (built-in)"
        );
        let last = &capped.calculation("memory_limit")[3];
        assert_eq!((last.how, last.with.len()), (How::Compared, 2));
        let above = decided(r#"{"mem": 1000}"#, "{}", r#"{"memory": 16000}"#, users, "{}");
        assert_eq!(
            why(&above, "memory_limit"),
            "settings.memory 16000; above default 1000; plus (upgrade of user 22222222 20000, capped by \
             max_upgrades.memory 16000 (built-in) - default 1000 = 15000) = 31000"
        );
    }

    #[test]
    fn what_doubles_add_up_to_in_another_order_stands_in_parentheses() {
        let users =
            r#"{"22222222-a": {"upgrades": {"cores": -1}}, "33333333-a": {"upgrades": {"cores": 1e-7}}}"#;
        assert_eq!(
            why(&decided("{}", "{}", "{}", users, "{}"), "cpu_limit"),
            "built-in 1 + (upgrades of users 22222222 -1 + 33333333 1e-7 = -0.9999999) = 9.999999994736442e-8"
        );
        let users =
            r#"{"22222222-a": {"upgrades": {"cores": 1}}, "33333333-a": {"upgrades": {"cores": -0.5}}}"#;
        assert_eq!(
            why(&decided("{}", "{}", "{}", users, "{}"), "cpu_limit"),
            "built-in 1 + upgrades of users 22222222 1 - 33333333 0.5 = 1.5"
        );
    }

    #[test]
    fn flags_minima_and_rounding_are_told_where_they_change_something() {
        let licenses = format!(r#"{{"{LAB}": {{"quota": {{"ram": 3.3333}}}}, "{BIG}": {{"quota": {{}}}}}}"#);
        let decided = decided(
            r#"{"internet": true, "cpu": 4}"#,
            r#"{"cores": 0.01, "cpu_shares": 10.24}"#,
            r#"{"disableInternet": true}"#,
            "{}",
            &licenses,
        );
        assert_eq!(
            why(&decided, "network"),
            "default true; equal to licenses Lab NFS f3d76abf true + big 77aa10b4 true = true; switched off by \
             settings.disableInternet"
        );
        assert_eq!(
            why(&decided, "memory_limit"),
            "license Lab NFS f3d76abf 3333.2999999999997; above built-in 1000; rounded to 3333"
        );
        assert_eq!(
            why(&decided, "cpu_request"),
            "built-in 0, raised to (the minimum 0.02, capped by max_upgrades.cpu_shares 0.01)"
        );
        assert_eq!(
            why(&decided, "cpu_limit"),
            "default 4, capped by max_upgrades.cores 0.01"
        );
    }
}
