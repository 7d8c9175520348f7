//! The license hook: which licenses of a project are in force at its next start.
//!
//! Before a project starts, CoCalc judges every license it holds by dates, run limit and effect, and stores the
//! verdict and a copy of the license's quota in `projects.site_license`. The quota function reads that copy
//! alone. So an admin's question "why does this license do nothing?" is answered here (CoCalc's
//! `site-license/hook.ts`), oddities included: run limit 0 means "used up", a license without an activation date
//! is not active yet, and the copies of a deleted license and of a boost that is neither `true` nor `false` stay
//! in force.

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::Timestamp;

use super::{
    coerce,
    quota::{Entry, GateOf, Held, Input, QuotaError, Reason, Rules, UPGRADES, member, rank},
    settings::SiteSettings,
};
use crate::{
    json::{JsString, Json, Map, number_text},
    snapshot::License,
};

/// What the hook reads.
pub struct HookInput<'a> {
    /// `projects.settings`
    pub settings: &'a Json,
    /// `projects.users`
    pub users: &'a Json,
    /// `projects.site_license` as stored.
    pub site_license: &'a Json,
    /// Table `site_licenses` by id.
    pub licenses: &'a BTreeMap<String, License>,
    /// How many other running projects use a license.
    pub usage: &'a dyn Fn(&str) -> u64,
    /// When the licenses are judged.
    pub now: Timestamp,
    /// The server settings in force, if any.
    pub site_settings: Option<&'a SiteSettings>,
    /// How CoCalc reads the `patch` of a license.
    pub gate: &'a GateOf<'a>,
}

/// Why the hook fails; CoCalc's does too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// The quota function fails.
    #[error(transparent)]
    Quota(#[from] QuotaError),
}

/// What the hook does.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// What it would store as `projects.site_license`, in the stored map's order.
    pub site_license: Json,
    /// One verdict for each entry of it, in that order.
    pub verdicts: Vec<Verdict>,
}

/// What became of a license of a project.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Its id.
    pub license: JsString,
    /// What became of it.
    pub state: State,
    /// Why an ineffective license is ineffective, if CoCalc says so.
    pub reason: Option<Reason>,
    /// Other running projects that use it; counted only if it has a run limit.
    pub usage: Option<u64>,
    /// The license's run limit.
    pub run_limit: Option<f64>,
    /// When it becomes active.
    pub activates: Option<Timestamp>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Whether the project holds a copy of a quota that stays in force; only for what is not judged.
    pub stored_in_force: bool,
}

/// What became of a license.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is in force.
    Active,
    /// It is valid and changes nothing.
    Ineffective,
    /// As many projects as allowed use it.
    Exhausted,
    /// It has ended.
    Expired,
    /// It has not begun.
    Future,
    /// Its `boost` is neither `true` nor `false`, so that CoCalc never judges it; what is stored in the project
    /// stays.
    Unjudged,
    /// There is no such license any more; what is stored in the project stays.
    Orphan,
    /// The key is no UUID; CoCalc passes over it and what is stored stays.
    NotAUuid,
}

impl State {
    /// The state in one word. The first five are CoCalc's own.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ineffective => "ineffective",
            Self::Exhausted => "exhausted",
            Self::Expired => "expired",
            Self::Future => "future",
            Self::Unjudged => "not judged",
            Self::Orphan => "orphan",
            Self::NotAUuid => "not a UUID",
        }
    }
}

impl fmt::Display for Verdict {
    /// The reason in one sentence, with its numbers; empty for an active license.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = if self.stored_in_force {
            "the quota stored in the project stays in force until the license is removed from the project"
        } else {
            "the project holds no quota of it"
        };
        match self.state {
            State::Active => Ok(()),
            State::Ineffective => match self.reason {
                None => write!(f, "changes nothing in the quota"),
                Some(Reason::HostingIncompatible) => write!(
                    f,
                    "hosting_incompatible: only licenses of the best hosting class (always running, member, idle timeout) count"
                ),
                Some(Reason::DedicatedVm) => {
                    write!(f, "dedicated_vm: beside a dedicated VM no other license counts")
                }
            },
            State::Exhausted => {
                let limit = self.run_limit.unwrap_or_default();
                if limit <= 0.0 {
                    return write!(f, "run limit {}: CoCalc treats it as used up", number_text(limit));
                }
                match self.usage.unwrap_or_default() {
                    1 => write!(
                        f,
                        "run limit {}, 1 other project runs with it",
                        number_text(limit)
                    ),
                    n => write!(
                        f,
                        "run limit {}, {n} other projects run with it",
                        number_text(limit)
                    ),
                }
            }
            State::Expired => match self.expires {
                Some(expires) => write!(f, "expired {expires}"),
                None => write!(f, "expired"),
            },
            State::Future => match self.activates {
                Some(activates) => write!(f, "activates {activates}"),
                None => write!(f, "no activation date: CoCalc treats it as not yet active"),
            },
            State::Unjudged => write!(
                f,
                "quota.boost is neither true nor false, and CoCalc never judges such a license; {left}"
            ),
            State::Orphan => write!(f, "no such license; {left}"),
            State::NotAUuid => write!(f, "not a UUID, CoCalc passes over it; {left}"),
        }
    }
}

/// Judges the licenses of a project as CoCalc does when it starts.
///
/// # Errors
/// If the quota function fails, as it does for a dedicated VM of an unknown kind.
pub fn hook(input: &HookInput<'_>) -> Result<Judged, HookError> {
    let Json::Map(stored) = input.site_license else {
        return Ok(Judged {
            site_license: input.site_license.clone(),
            verdicts: Vec::new(),
        });
    };
    let mut verdicts = Vec::with_capacity(stored.len());
    let mut rows = Vec::new();
    for (at, (id, value)) in input.site_license.members().into_iter().enumerate() {
        let uuid = id.as_str().filter(|id| is_uuid(id));
        let row = uuid.and_then(|id| input.licenses.get(id));
        rows.extend(row.map(|license| Candidate {
            at,
            id,
            license,
            entry: entry_of(license),
        }));
        verdicts.push(Verdict {
            license: id.clone(),
            // Until it is judged.
            state: match (uuid, row) {
                (None, _) => State::NotAUuid,
                (Some(_), None) => State::Orphan,
                (Some(_), Some(_)) => State::Unjudged,
            },
            reason: None,
            usage: None,
            run_limit: None,
            activates: None,
            expires: None,
            stored_in_force: grants_something(value),
        });
    }

    let rules = Rules::<f64>::new(&Input {
        settings: input.settings,
        users: input.users,
        site_license: input.site_license,
        site_settings: input.site_settings,
        pay_as_you_go: None,
        gate: input.gate,
    });
    let mut judged = stored.as_ref().clone();
    let effectless = status(State::Ineffective, None);
    let mut held = Held::new(Vec::new());
    let mut without = rules.decide(&held)?;
    for candidate in in_order(rows.iter().collect()) {
        let Some(verdict) = verdicts.get_mut(candidate.at) else {
            continue;
        };
        verdict.stored_in_force = false;
        verdict.state = state_by_itself(candidate.license, input, verdict);
        let stored_entry = if verdict.state == State::Active {
            let tally = held.push(Entry::new(candidate.id, &candidate.entry));
            let with = rules.decide(&held)?;
            if without.unchanged_by(&with, &held, input.gate) {
                verdict.state = State::Ineffective;
                verdict.reason = with.reason_of_last(&held);
                // It stays in the map without its quota, and what has none is of the lowest hosting class. It gives
                // nothing itself, but boosts of that class count from now on, if there was no class yet.
                held.replace_last(tally, Entry::new(candidate.id, &effectless));
                without = rules.decide(&held)?;
                status(verdict.state, verdict.reason.map(Reason::as_str))
            } else {
                without = with;
                with_status(&candidate.entry)
            }
        } else {
            status(verdict.state, Some(verdict.state.as_str()))
        };
        judged.insert(candidate.id.clone(), stored_entry);
    }
    Ok(Judged {
        site_license: Json::Map(Arc::new(judged)),
        verdicts,
    })
}

struct Candidate<'a> {
    at: usize,
    id: &'a JsString,
    license: &'a License,
    /// What the project would get of the license.
    entry: Json,
}

/// The order in which the hook judges: dedicated VMs, dedicated disks, regular licenses by hosting class, boosts
/// by hosting class. CoCalc deletes from the list while it walks it, so of two neighbours that are both for a
/// VM (or both for a disk) the second is passed over and judged with the regular ones. It picks the regular ones
/// and the boosts by `=== false` and `=== true`: a license whose `boost` is anything else is in neither.
fn in_order<'e, 'a>(mut rest: Vec<&'e Candidate<'a>>) -> Vec<&'e Candidate<'a>> {
    let mut order = Vec::with_capacity(rest.len());
    let is_vm = |candidate: &Candidate<'_>| {
        member(&candidate.license.quota, "dedicated_vm").is_some_and(|vm| *vm != Json::Bool(false))
    };
    let is_disk = |candidate: &Candidate<'_>| member(&candidate.license.quota, "dedicated_disk").is_some();
    for first in [&is_vm as &dyn Fn(&Candidate<'_>) -> bool, &is_disk] {
        let mut skip = false;
        rest.retain(|candidate| {
            let taken = !skip && first(candidate);
            skip = taken;
            if taken {
                order.push(*candidate);
            }
            !taken
        });
    }
    let mut ranked: Vec<(bool, Option<usize>, &Candidate<'_>)> = rest
        .into_iter()
        .filter_map(|candidate| {
            let quota = &candidate.license.quota;
            let boost = member(quota, "boost").map_or(Some(false), Json::as_bool)?;
            Some((boost, class_of_row(quota), candidate))
        })
        .collect();
    ranked.sort_by_key(|(boost, class, _)| (*boost, *class));
    order.extend(ranked.into_iter().map(|(_, _, candidate)| candidate));
    order
}

/// The hosting class by which the hook orders licenses. It looks it up as the row of the table says it, so that an
/// idle timeout does not make it member hosting, as it does in the quota function, `upgrades` say nothing, and a
/// timeout that CoCalc does not know makes a class that is not in its list: `None`, which comes first.
fn class_of_row(quota: &Json) -> Option<usize> {
    let is_true = |name| member(quota, name) == Some(&Json::Bool(true));
    let timeout = member(quota, "idle_timeout").map(coerce::to_string);
    let timeout = timeout.as_ref().map_or(Some("short"), |text| text.as_str())?;
    rank(is_true("always_running"), is_true("member"), timeout)
}

/// The state by dates and run limit alone.
fn state_by_itself(license: &License, input: &HookInput<'_>, verdict: &mut Verdict) -> State {
    verdict.activates = license.activates;
    verdict.expires = license.expires;
    verdict.run_limit = license.run_limit;
    verdict.usage = license.run_limit.map(|_| (input.usage)(&license.id));
    state_by_dates_and_limit(license, verdict.usage, input.now)
}

/// What a license is for a project that it could be given to: active, future, expired, or exhausted if `running` other
/// projects, none if that is unknown, are as many as its run limit.
pub fn state_by_dates_and_limit(license: &License, running: Option<u64>, now: Timestamp) -> State {
    if license.expires.is_some_and(|expires| expires <= now) {
        return State::Expired;
    }
    if license.activates.is_none_or(|activates| activates > now) {
        return State::Future;
    }
    #[expect(clippy::cast_precision_loss, reason = "no installation runs 2^53 projects")]
    let running = running.unwrap_or_default() as f64;
    if license.run_limit.is_some_and(|limit| running >= limit) {
        return State::Exhausted;
    }
    State::Active
}

/// What a project gets of a license: the members of `upgrades`, and `quota`, without what is false.
fn entry_of(license: &License) -> Json {
    let mut entry: Map = license
        .upgrades
        .as_map()
        .into_iter()
        .flatten()
        .filter(|(_, value)| value.truthy())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if license.quota.truthy() {
        entry.insert("quota".into(), license.quota.clone());
    }
    Json::Map(Arc::new(entry))
}

/// The entry of an active license, its members in the order of a jsonb column.
fn with_status(entry: &Json) -> Json {
    let mut entry = entry.as_map().cloned().unwrap_or_default();
    entry.insert("status".into(), Json::string(State::Active.as_str()));
    entry.sort_by(|a, _, b, _| {
        let key = |name: &JsString| {
            let name = name.to_string_lossy();
            (name.len(), name)
        };
        key(a).cmp(&key(b))
    });
    Json::Map(Arc::new(entry))
}

fn status(state: State, reason: Option<&str>) -> Json {
    let reason = reason.map(|reason| ("reason", Json::string(reason)));
    let status = ("status", Json::string(state.as_str()));
    Json::map(reason.into_iter().chain([status]))
}

/// Whether an entry that the hook does not touch is more than a status.
fn grants_something(value: &Json) -> bool {
    let dropped = matches!(
        member(value, "status").and_then(Json::as_str),
        Some("expired" | "exhausted" | "future")
    );
    !dropped
        && (member(value, "quota").is_some()
            || value
                .as_map()
                .into_iter()
                .flatten()
                .any(|(name, value)| !value.is_null() && UPGRADES.iter().any(|known| *name == *known)))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// A number of a license that is none. JavaScript would join texts (`"4"` is 40 GB of memory) or make `NaN` of
/// it, which is never what was meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("license {license}: quota.{field} is {found}, not a number; {}", self.cure())]
pub struct NumberError {
    /// The license's id.
    pub license: String,
    /// The member of its `quota`.
    pub field: &'static str,
    /// What stands there, as JSON.
    pub found: String,
}

impl NumberError {
    /// What to write instead.
    fn cure(&self) -> String {
        let unit = match self.field {
            "cpu" | "dedicated_cpu" => "cores",
            _ => "GB",
        };
        let text = self.found.trim_matches('"').trim();
        let end = text
            .find(|c: char| !matches!(c, '0'..='9' | '.'))
            .unwrap_or(text.len());
        let (number, rest) = text.split_at(end);
        let is_number = number.parse::<f64>().is_ok();
        match (rest.trim().to_lowercase().as_str(), unit) {
            ("", _) if is_number => "write it without quotes".to_owned(),
            ("g" | "gb" | "gi" | "gib", "GB") | ("core" | "cores" | "cpu" | "cpus", "cores") if is_number => {
                format!("it counts {unit}: write {number}, without quotes")
            }
            _ => format!("it counts {unit}: write the number alone, without quotes"),
        }
    }
}

/// The numbers that are none in the entries of a `site_license` which the quota function would use.
pub fn license_number_errors(site_license: &Json) -> Vec<NumberError> {
    site_license
        .members()
        .into_iter()
        .filter(|(_, entry)| {
            !matches!(
                member(entry, "status").and_then(Json::as_str),
                Some("expired" | "exhausted" | "future")
            )
        })
        .flat_map(|(id, entry)| {
            member(entry, "quota").map_or_else(Vec::new, |quota| quota_number_errors(id, quota))
        })
        .collect()
}

/// The numbers that are none in the `quota` of a license.
pub fn quota_number_errors(license: &JsString, quota: &Json) -> Vec<NumberError> {
    ["cpu", "dedicated_cpu", "ram", "dedicated_ram", "disk"]
        .into_iter()
        .filter_map(|field| {
            let found = member(quota, field)?;
            matches!(found, Json::String(_) | Json::List(_) | Json::Map(_)).then(|| NumberError {
                license: license.to_string_lossy(),
                field,
                found: found.stringify().chars().take(60).collect(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{json::parse, json_patch::gate_value};

    const A: &str = "0a000000-0000-4000-8000-00000000000a";
    const B: &str = "0b000000-0000-4000-8000-00000000000b";

    fn license(id: &str, run_limit: Option<f64>, quota: &str) -> (String, License) {
        let license = License {
            id: id.to_owned(),
            activates: Some(Timestamp::UNIX_EPOCH),
            run_limit,
            quota: parse(quota).unwrap(),
            ..License::default()
        };
        (id.to_owned(), license)
    }

    fn judge(site_license: &Json, rows: impl Into<BTreeMap<String, License>>, usage: u64) -> Judged {
        hook(&HookInput {
            settings: &Json::Null,
            users: &Json::Null,
            site_license,
            licenses: &rows.into(),
            usage: &|_| usage,
            now: "2026-11-24T12:00:00Z".parse().unwrap(),
            site_settings: None,
            gate: &|patch| Arc::new(gate_value(patch)),
        })
        .unwrap()
    }

    fn holding(ids: &[&str]) -> Json {
        Json::map(ids.iter().map(|id| (*id, Json::Map(Map::new().into()))))
    }

    #[test]
    fn a_verdict_says_its_numbers() {
        let sentence = |limit, usage| {
            judge(&holding(&[A]), [license(A, Some(limit), r#"{"ram": 4}"#)], usage).verdicts[0].to_string()
        };
        assert_eq!(sentence(1.0, 1), "run limit 1, 1 other project runs with it");
        assert_eq!(sentence(2.0, 3), "run limit 2, 3 other projects run with it");
        assert_eq!(sentence(0.0, 0), "run limit 0: CoCalc treats it as used up");
        assert_eq!(sentence(3.0, 2), "");
    }

    #[test]
    fn a_better_hosting_class_is_judged_first_and_leaves_the_other_without_effect() {
        let rows = [
            license(A, None, r#"{"ram": 16}"#),
            license(B, None, r#"{"ram": 2, "member": true}"#),
        ];
        let judged = judge(&holding(&[A, B]), rows, 0);
        let states: Vec<State> = judged.verdicts.iter().map(|verdict| verdict.state).collect();
        assert_eq!(states, [State::Ineffective, State::Active]);
        assert_eq!(judged.verdicts[0].reason, Some(Reason::HostingIncompatible));
    }

    #[test]
    fn a_boost_without_effect_makes_the_class_to_which_boosts_before_and_after_it_belong() {
        const C: &str = "0c000000-0000-4000-8000-00000000000c";
        let patch = r#"{"boost": true, "ram": 4, "patch": "[{\"op\": \"remove\", \"path\": \"/a\"}]"}"#;
        let rows = [
            license(A, None, patch),
            license(B, None, r#"{"boost": true}"#),
            license(C, None, r#"{"boost": true}"#),
        ];
        let judged = judge(&holding(&[A, B, C]), rows, 0);
        let states = judged
            .verdicts
            .iter()
            .map(|verdict| (verdict.state, verdict.reason));
        assert_eq!(
            states.collect::<Vec<_>>(),
            [
                (State::Active, None),
                (State::Ineffective, Some(Reason::HostingIncompatible)),
                (State::Ineffective, None),
            ]
        );
    }

    #[test]
    fn what_has_no_license_row_stays_as_it_is_stored() {
        let stored = parse(&format!(r#"{{"{A}": {{"quota": {{"ram": 4}}}}, "x": {{}}}}"#)).unwrap();
        let judged = judge(&stored, [], 0);
        assert_eq!(judged.site_license, stored);
        assert_eq!(judged.verdicts[0].state, State::Orphan);
        assert!(judged.verdicts[0].stored_in_force);
        assert_eq!(judged.verdicts[1].state, State::NotAUuid);
        assert!(!judged.verdicts[1].stored_in_force);
    }

    #[test]
    fn license_numbers_that_are_texts_are_named() {
        let site_license = parse(
            r#"{"a": {"quota": {"ram": "4", "cpu": 1}}, "b": {"status": "expired", "quota": {"ram": "4"}}}"#,
        )
        .unwrap();
        let errors = license_number_errors(&site_license);
        assert_eq!(errors.len(), 1);
        assert_eq!(
            errors[0].to_string(),
            "license a: quota.ram is \"4\", not a number; write it without quotes"
        );
    }
}
