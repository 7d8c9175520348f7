//! Who decided each value of a quota.
//!
//! "Why does this project have 4 GB?" is answered by a chain: the default was 1000, license `big` made it 16000,
//! `max_upgrades.memory` capped it at 4000. The chain is not reconstructed afterwards, it grows with the value:
//! the quota function is written for any [`Value`], and a [`Tracked`] one is a double that carries its chain.
//! What has no influence on the result is taken out of the chain again at the step that makes it so.

use crate::json::{JsString, Json};

use super::{
    coerce::{self, max, min},
    quota::Computed,
};

/// Who decides, without copies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum By<'a> {
    License(&'a JsString),
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

/// A number of the quota function, with or without memory.
pub(super) trait Value<'a>: Clone {
    /// A value that somebody gives.
    fn start(value: f64, by: By<'a>) -> Self;
    /// A sum without terms.
    fn zero() -> Self;
    fn get(&self) -> f64;
    /// The next partial sum.
    fn set(&mut self, value: f64, by: By<'a>);
    /// `max(self, other)`
    fn raise(&mut self, other: Self);
    /// `min(self, max)`
    fn limit(&mut self, max: f64, by: By<'a>);
    /// `min(self, room)` of a sum, `room` being what is left up to the maximum.
    fn cap(&mut self, room: f64, max: f64, by: By<'a>);
    /// `self + other`, for flags `self OR other`.
    fn joined(self, other: &Self, flag: bool) -> Self;
    /// `self / ratio`
    fn divided(&self, ratio: f64, by: By<'a>) -> Self;
    /// `min(max(self, share), max)`, `share` being the request that overcommit derives from the limit.
    fn overcommit(&mut self, share: Self, max: f64, by: By<'a>);
    /// Rounding.
    fn map_last(&mut self, round: fn(f64) -> f64);
    /// `max(self, minimum)`
    fn floor_at(&mut self, minimum: f64, by: By<'a>);
    /// `value`, whatever it was before.
    fn overrule(&mut self, value: f64, by: By<'a>);
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
    fn set(&mut self, value: f64, _: By<'a>) {
        *self = value;
    }
    fn raise(&mut self, other: Self) {
        *self = max(*self, other);
    }
    fn limit(&mut self, max: f64, _: By<'a>) {
        *self = min(*self, max);
    }
    fn cap(&mut self, room: f64, _: f64, _: By<'a>) {
        *self = min(*self, room);
    }
    fn joined(self, other: &Self, flag: bool) -> Self {
        if flag { max(self, *other) } else { self + other }
    }
    fn divided(&self, ratio: f64, _: By<'a>) -> Self {
        self / ratio
    }
    fn overcommit(&mut self, share: Self, maximum: f64, _: By<'a>) {
        *self = min(max(*self, share), maximum);
    }
    fn map_last(&mut self, round: fn(f64) -> f64) {
        *self = round(*self);
    }
    fn floor_at(&mut self, minimum: f64, _: By<'a>) {
        *self = max(*self, minimum);
    }
    fn overrule(&mut self, value: f64, _: By<'a>) {
        *self = value;
    }
}

/// A double with the chain of those who decided it. The last link holds the value; a sum may have no link yet.
#[derive(Clone, Debug)]
pub(super) struct Tracked<'a> {
    value: f64,
    chain: Vec<(By<'a>, f64)>,
    /// Index of the link that divided by a ratio: the links before it hold undivided values.
    ratio: Option<(usize, f64)>,
    /// The maximum that cut this value, and what it was before.
    cut: Option<Cut<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Cut<'a> {
    by: By<'a>,
    max: f64,
    before: f64,
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

impl<'a> Tracked<'a> {
    fn push(&mut self, value: f64, by: By<'a>) {
        self.value = value;
        self.chain.push((by, value));
    }

    /// Goes back to where the chain began; without overcommit a request begins as CoCalc's 0.
    fn restart(&mut self) {
        let first = self.chain.first().copied().filter(|_| self.ratio.is_none());
        let (by, value) = first.unwrap_or((By::Builtin, 0.0));
        *self = Self::start(value, by);
    }

    /// Takes out the links that are not needed for `f(self)`: all after the first that leads there too.
    fn prune(&mut self, f: impl Fn(f64) -> f64) {
        let target = f(self.value);
        let comparable = |i: usize, value: f64| match self.ratio {
            Some((at, ratio)) if i < at => value / ratio,
            _ => value,
        };
        let enough = self
            .chain
            .iter()
            .enumerate()
            .position(|(i, (_, value))| same(f(comparable(i, *value)), target));
        let Some(enough) = enough else { return };
        let share = self
            .chain
            .get(enough)
            .map(|(_, value)| comparable(enough, *value));
        let divider = self
            .ratio
            .filter(|(at, _)| enough < *at)
            .and_then(|(at, ratio)| Some((self.chain.get(at)?.0, ratio)));
        self.chain.truncate(enough + 1);
        if let (Some((by, ratio)), Some(share)) = (divider, share) {
            self.ratio = Some((self.chain.len(), ratio));
            self.chain.push((by, share));
        }
    }

    /// The other value was cut down to exactly this one: a higher maximum would have raised it.
    fn note_cut(&mut self, other: Option<Cut<'a>>) {
        if let Some(cut) = other
            && cut.max == self.value
            && self.chain.last().is_some_and(|(last, _)| *last != cut.by)
        {
            self.chain.push((cut.by, cut.max));
            self.cut = other;
        }
    }

    /// The chain as it is shown.
    pub(super) fn links(&self, flag: bool) -> Vec<Link> {
        let shown = |value: f64| {
            if flag {
                Json::Bool(value != 0.0)
            } else {
                Json::Number(value)
            }
        };
        self.chain
            .iter()
            .map(|(by, value)| Link {
                by: Decider::from(*by),
                value: shown(*value),
            })
            .collect()
    }
}

impl<'a> Value<'a> for Tracked<'a> {
    fn start(value: f64, by: By<'a>) -> Self {
        Self {
            value,
            chain: vec![(by, value)],
            ratio: None,
            cut: None,
        }
    }

    fn zero() -> Self {
        Self {
            value: 0.0,
            chain: Vec::new(),
            ratio: None,
            cut: None,
        }
    }

    fn get(&self) -> f64 {
        self.value
    }

    fn set(&mut self, value: f64, by: By<'a>) {
        if !same(value, self.value) {
            self.push(value, by);
        }
    }

    fn raise(&mut self, other: Self) {
        let value = max(self.value, other.value);
        if same(value, self.value) {
            if other.value == self.value {
                self.note_cut(other.cut);
            }
            return;
        }
        self.restart();
        self.cut = other.cut;
        self.chain.extend(other.chain.iter().copied());
        self.value = value;
        if other.chain.is_empty() {
            self.push(value, By::Builtin);
        }
    }

    fn limit(&mut self, max: f64, by: By<'a>) {
        let value = min(self.value, max);
        if same(value, self.value) {
            return;
        }
        let before = self.value;
        if self.ratio.is_some() && same(min(0.0, max), value) {
            // Without overcommit the request would be CoCalc's 0, cut as well.
            *self = Self::start(0.0, By::Builtin);
        } else {
            self.prune(|value| min(value, max));
        }
        self.cut = Some(Cut { by, max, before });
        self.push(value, by);
    }

    fn cap(&mut self, room: f64, max: f64, by: By<'a>) {
        let value = min(self.value, room);
        if same(value, self.value) {
            return;
        }
        self.cut = Some(Cut {
            by,
            max,
            before: self.value,
        });
        if same(min(0.0, room), value) {
            self.chain.clear();
            self.value = value;
        } else {
            self.prune(|value| min(value, room));
            self.push(value, by);
        }
    }

    fn joined(mut self, other: &Self, flag: bool) -> Self {
        let base = self.value;
        let join = |value: f64| if flag { max(base, value) } else { base + value };
        for (by, value) in &other.chain {
            self.set(join(*value), *by);
        }
        self.value = join(other.value);
        let cut = other.cut.map(|cut| Cut {
            before: join(cut.before),
            ..cut
        });
        if other.chain.is_empty() {
            self.note_cut(cut);
        } else {
            self.cut = cut;
        }
        self
    }

    fn divided(&self, ratio: f64, by: By<'a>) -> Self {
        let mut share = self.clone();
        share.ratio = Some((share.chain.len(), ratio));
        share.cut = None;
        share.push(self.value / ratio, by);
        share
    }

    fn overcommit(&mut self, share: Self, maximum: f64, by: By<'a>) {
        let value = min(max(self.value, share.value), maximum);
        if same(min(self.value, maximum), value) {
            self.limit(maximum, by);
            if share.value > maximum {
                self.note_cut(Some(Cut {
                    by,
                    max: maximum,
                    before: share.value,
                }));
            }
        } else {
            *self = share;
            self.limit(maximum, by);
            self.value = value;
        }
    }

    fn map_last(&mut self, round: fn(f64) -> f64) {
        let value = round(self.value);
        let maximum = self.chain.pop_if(|(by, _)| matches!(by, By::Maximum(..)));
        self.prune(round);
        // A cut that rounding would have made anyway is none.
        let idle = self.cut.is_some_and(|cut| same(round(cut.before), value)) && !self.chain.is_empty();
        self.chain.extend(maximum.filter(|_| !idle));
        self.value = value;
        if let Some((_, last)) = self.chain.last_mut() {
            *last = value;
        }
    }

    fn floor_at(&mut self, minimum: f64, by: By<'a>) {
        let value = max(self.value, minimum);
        let maximum = self
            .chain
            .last()
            .copied()
            .filter(|(by, _)| matches!(by, By::Maximum(..)));
        if let Some((maximum, _)) = maximum {
            if same(value, minimum) {
                // Whatever was cut to the maximum, this minimum, which the maximum caps too, would be left.
                self.restart();
                self.set(value, by);
                self.chain.push((maximum, value));
            }
            return;
        }
        if self.ratio.is_some() && !same(value, self.value) {
            // The limit and its ratio came to less: they had no say.
            *self = Self::start(0.0, By::Builtin);
        }
        // Even where the minimum raises nothing it may make the last links superfluous.
        self.prune(|value| max(value, minimum));
        self.value = value;
        if self.chain.last().is_none_or(|(_, last)| !same(*last, value)) {
            self.push(value, by);
        }
    }

    fn overrule(&mut self, value: f64, by: By<'a>) {
        if !same(value, self.value) {
            self.restart();
            self.push(value, by);
        }
    }
}

/// One of those who decided a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Who.
    pub by: Decider,
    /// What the value was after that. Of the lists `dedicated_disks` and `patch` each link has its own part.
    pub value: Json,
}

/// Who decides a value of a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decider {
    /// A license, by its id.
    License(JsString),
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
            Self::License(_) => "license",
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
            Self::License(id) | Self::User(id) => Some(id.clone()),
            Self::Setting(name) => Some(format!("settings.{name}").into()),
            Self::Default(name) | Self::Overcommit(name) => Some(format!("default_quotas.{name}").into()),
            Self::Maximum { name, .. } => Some(format!("max_upgrades.{name}").into()),
            Self::Builtin | Self::Minimum | Self::PayAsYouGo => None,
        }
    }
}

/// A quota and, for every value in it, who decided it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// The quota function's answer.
    pub computed: Computed,
    fields: Vec<(&'static str, Vec<Link>)>,
}

impl Decided {
    pub(super) fn new(computed: Computed, fields: Vec<(&'static str, Vec<Link>)>) -> Self {
        Self { computed, fields }
    }

    /// All fields of the quota with their chains, first to last.
    pub fn fields(&self) -> &[(&'static str, Vec<Link>)] {
        &self.fields
    }

    /// The chain of a field of the quota, first to last; empty if the quota has no such field.
    pub fn chain(&self, field: &str) -> &[Link] {
        self.fields
            .iter()
            .find(|(name, _)| *name == field)
            .map_or(&[], |(_, chain)| chain)
    }

    /// `{field: [{"by", "id"?, "value"}, …]}`
    pub fn to_json(&self) -> Json {
        let link = |link: &Link| {
            let mut members = vec![("by", Json::string(link.by.kind()))];
            members.extend(link.by.id().map(|id| ("id", Json::String(id))));
            members.push(("value", link.value.clone()));
            Json::map(members)
        };
        Json::map(
            self.fields
                .iter()
                .map(|(name, chain)| (*name, Json::list(chain.iter().map(link).collect()))),
        )
    }

    /// The chain of a field for readers: `default 1000 + license big 77aa10b4 16000, capped by
    /// max_upgrades.memory 4000`. `title` gives a license's title, if it has one.
    pub fn why(&self, field: &str, title: &dyn Fn(&JsString) -> Option<String>) -> String {
        let mut text = String::new();
        let chain = self.chain(field);
        for (i, link) in chain.iter().enumerate() {
            let value = shown(field, &link.value);
            let plus = if i > 0 { " + " } else { "" };
            let comma = if i > 0 { ", " } else { "" };
            // Users add up, and so do licenses: what is known of each but the last is a sum that nobody asked for.
            let same = |other: Option<&Link>| other.is_some_and(|other| other.by.kind() == link.by.kind());
            let goes_on = same(chain.get(i + 1)) && matches!(link.value, Json::Number(_));
            let adds = same(i.checked_sub(1).and_then(|before| chain.get(before)));
            text.push_str(&match &link.by {
                Decider::License(id) => {
                    let title = title(id).filter(|title| !title.is_empty());
                    let title = title.map_or_else(String::new, |title| format!("{title} "));
                    match (goes_on, adds) {
                        (true, _) => format!("{plus}license {title}{}", short(id)),
                        (false, true) => format!("{plus}license {title}{} = {value}", short(id)),
                        (false, false) => format!("{plus}license {title}{} {value}", short(id)),
                    }
                }
                Decider::User(id) if goes_on => format!("{plus}user {}", short(id)),
                Decider::User(id) => format!("{plus}user {} = {value}", short(id)),
                Decider::Setting("disableInternet") => {
                    format!("{comma}switched off by settings.disableInternet")
                }
                Decider::Setting(name) if i > 0 => format!(", raised by settings.{name} to {value}"),
                Decider::Setting(name) => format!("settings.{name} {value}"),
                Decider::Default(_) => format!("{plus}default {value}"),
                Decider::Builtin => format!("{plus}built-in {value}"),
                Decider::Maximum { name, built_in } => {
                    let built_in = if *built_in { " (built-in)" } else { "" };
                    format!("{comma}capped by max_upgrades.{name} {value}{built_in}")
                }
                Decider::Overcommit(name) => format!("{comma}divided by default_quotas.{name}: {value}"),
                Decider::Minimum => format!("{comma}raised to the minimum {value}"),
                Decider::PayAsYouGo => format!("{plus}pay as you go {value}"),
            });
        }
        text
    }
}

/// The first 8 characters, which is how outputs show ids.
fn short(id: &JsString) -> String {
    id.to_string_lossy().chars().take(8).collect()
}

fn shown(field: &str, value: &Json) -> String {
    match value {
        Json::Number(number) => coerce::number_string(*number),
        Json::List(list) if field == "patch" => {
            format!(
                "{} operation{}",
                list.len(),
                if list.len() == 1 { "" } else { "s" }
            )
        }
        other => other.stringify(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::{
        json::{Json, parse},
        json_patch::gate_value,
        pipeline::{
            quota::{Input, explain},
            settings::SiteSettings,
        },
    };

    #[test]
    fn the_chain_reads_as_a_sentence() {
        let site_settings = SiteSettings {
            default_quotas: parse(r#"{"mem": 1000, "mem_oc": 5}"#).unwrap(),
            max_upgrades: parse(r#"{"memory": 4000}"#).unwrap(),
        };
        let id = "77aa10b4-02c7-4c0e-9b1e-5d0f6f2f7a10";
        let site_license = parse(&format!(r#"{{"{id}": {{"quota": {{"ram": 16}}}}}}"#)).unwrap();
        let decided = explain(&Input {
            settings: &Json::Null,
            users: &Json::Null,
            site_license: &site_license,
            site_settings: Some(&site_settings),
            pay_as_you_go: None,
            gate: &|patch| Arc::new(gate_value(patch)),
        })
        .unwrap();
        let why = |field| decided.why(field, &|_| Some("big".to_owned()));
        assert_eq!(
            why("memory_limit"),
            "default 1000 + license big 77aa10b4 16000, capped by max_upgrades.memory 4000"
        );
        assert_eq!(
            why("memory_request"),
            "default 1000 + license big 77aa10b4 16000, capped by max_upgrades.memory 4000, \
             divided by default_quotas.mem_oc: 800"
        );
        assert_eq!(why("cpu_request"), "built-in 0, raised to the minimum 0.02");
        assert_eq!(
            decided.to_json().get("memory_limit").unwrap().stringify(),
            format!(
                r#"[{{"by":"default","id":"default_quotas.mem","value":1000}},{{"by":"license","id":"{id}","value":16000}},{{"by":"maximum","id":"max_upgrades.memory","value":4000}}]"#
            )
        );
    }
}
