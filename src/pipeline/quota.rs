//! CoCalc's quota function: which CPU, memory, network, … a project gets.
//!
//! A port of CoCalc's public `quota.ts`, to the last bit of a double: the result goes into the Pod, and admins
//! ask why a project got what it got. So the same code runs on plain doubles ([`quota`], fast enough for the
//! license hook, which asks twice per license and project) and on doubles that note how they came about
//! ([`explain`]).
//!
//! In words: defaults and the project's own settings are a floor; upgrades by users and old (v1) licenses add
//! to it, up to the maximum; new (v2) licenses of one hosting class add up among themselves, are capped, and
//! whatever is more wins. The project's settings escape the cap, except for their requests where an overcommit
//! ratio is configured.
//!
//! Units: memory and disk in MB (1 GB in a license is 1000 MB), CPU in cores, time in seconds.

use std::sync::Arc;

use super::{
    coerce::{self, Primitive, flag, num},
    decided::{By, Tracked, Value},
    settings::SiteSettings,
};
use crate::{
    json::{JsString, Json, is_array_index},
    json_patch::{Gate, Operation},
};

pub use super::decided::{Decided, Decider, How, Term, terms_json};

/// How CoCalc reads the `patch` of a license: [`gate_value`](crate::json_patch::gate_value), maybe remembered.
pub type GateOf<'a> = dyn Fn(&Json) -> Arc<Gate> + 'a;

/// What the quota function reads.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// `projects.settings`: the admin's quotas for this project, in the upgrade format, and `disableInternet`.
    pub settings: &'a Json,
    /// `projects.users`: account id → `{group, upgrades?}`.
    pub users: &'a Json,
    /// `projects.site_license`: license id → entry, in the order in which CoCalc reads the column.
    pub site_license: &'a Json,
    /// The server settings in force, if any.
    pub site_settings: Option<&'a SiteSettings>,
    /// `{account_id, purchase_id, quota}`; never given on Kubernetes.
    pub pay_as_you_go: Option<&'a Json>,
    /// How CoCalc reads the `patch` of a license.
    pub gate: &'a GateOf<'a>,
}

/// Why there is no quota: CoCalc throws too, and the project does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// A license is for a dedicated VM of a kind that CoCalc does not know.
    #[error(
        "no VM spec known for machine \"{machine}\" (dedicated_vm of license {license}): use machine \"onprem\""
    )]
    UnknownMachine {
        /// The license.
        license: String,
        /// `dedicated_vm.machine`
        machine: String,
    },
}

/// Why a license adds nothing to the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Another license is of a better hosting class (always running, member hosting, longer idle timeout).
    HostingIncompatible,
    /// Another license is for a dedicated VM, beside which nothing else counts.
    DedicatedVm,
}

impl Reason {
    /// CoCalc's own word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HostingIncompatible => "hosting_incompatible",
            Self::DedicatedVm => "dedicated_vm",
        }
    }
}

/// The answer of the quota function.
#[derive(Clone, Debug, PartialEq)]
pub struct Computed {
    /// The quota.
    pub quota: Quota,
    /// The licenses that add nothing, in the order of the map.
    pub reasons: Vec<(JsString, Reason)>,
    /// The `patch` of every license that CoCalc looks at, in order, invalid ones included. Empty beside a
    /// dedicated VM, where no patch is used.
    pub patches: Vec<LicensePatch>,
}

/// The `patch` of a license as stored: normally a string with a JSON array.
#[derive(Clone, Debug, PartialEq)]
pub struct LicensePatch {
    /// The license's id.
    pub license: JsString,
    /// Anything but `null`.
    pub patch: Json,
}

/// What CoCalc grants a project; stored by CoCalc as `run_quota`.
///
/// Numbers can be `NaN` where a license holds a text instead of a number; JSON prints that as `null`.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// Access to the Internet.
    pub network: bool,
    /// Member hosting.
    pub member_host: bool,
    /// Only ever given by the project's own settings.
    pub privileged: bool,
    /// Never stopped for being idle.
    pub always_running: bool,
    /// MB
    pub memory_request: f64,
    /// Cores
    pub cpu_request: f64,
    /// MB; `NaN` stands for `null`, which a cloud VM gets from `max_upgrades.disk_quota: null`.
    pub disk_quota: f64,
    /// MB
    pub memory_limit: f64,
    /// Cores
    pub cpu_limit: f64,
    /// Seconds
    pub idle_timeout: f64,
    /// `false`, or `{name?, machine}`; then nothing else of any license counts.
    pub dedicated_vm: Json,
    /// `false`, or `{num?, toleration?, nodeLabel?, resource?}`.
    pub gpu: Json,
    /// `{size_gb, speed, name?}` each.
    pub dedicated_disks: Vec<Json>,
    /// Whether the software mount is writable.
    pub ext_rw: bool,
    /// All operations of all valid patches, in order.
    pub patch: Vec<Json>,
    /// As given; `null` beside a dedicated VM.
    pub pay_as_you_go: Option<Json>,
}

impl Quota {
    /// A quota as CoCalc stored it, in `run_quota` or in a running pod's `{project_config}`; `None` if one of its
    /// numbers or flags is missing.
    pub fn from_json(json: &Json) -> Option<Self> {
        let flag = |name| json.get(name)?.as_bool();
        let number = |name| json.get(name)?.as_f64();
        let or_false = |name| json.get(name).cloned().unwrap_or(Json::Bool(false));
        let list = |name| {
            json.get(name)
                .and_then(Json::as_list)
                .unwrap_or_default()
                .to_vec()
        };
        Some(Self {
            network: flag("network")?,
            member_host: flag("member_host")?,
            privileged: flag("privileged")?,
            always_running: flag("always_running")?,
            memory_request: number("memory_request")?,
            cpu_request: number("cpu_request")?,
            disk_quota: number("disk_quota").unwrap_or(f64::NAN),
            memory_limit: number("memory_limit")?,
            cpu_limit: number("cpu_limit")?,
            idle_timeout: number("idle_timeout")?,
            dedicated_vm: or_false("dedicated_vm"),
            gpu: or_false("gpu"),
            dedicated_disks: list("dedicated_disks"),
            ext_rw: flag("ext_rw").unwrap_or(false),
            patch: list("patch"),
            pay_as_you_go: json.get("pay_as_you_go").cloned(),
        })
    }

    /// The object that CoCalc's quota function returns, its members in CoCalc's order.
    pub fn to_json(&self) -> Json {
        let mut members: Vec<(&str, Json)> = vec![
            ("network", Json::Bool(self.network)),
            ("member_host", Json::Bool(self.member_host)),
            ("privileged", Json::Bool(self.privileged)),
            ("memory_request", Json::Number(self.memory_request)),
            ("cpu_request", Json::Number(self.cpu_request)),
            ("disk_quota", Json::Number(self.disk_quota)),
            ("memory_limit", Json::Number(self.memory_limit)),
            ("cpu_limit", Json::Number(self.cpu_limit)),
            ("idle_timeout", Json::Number(self.idle_timeout)),
            ("always_running", Json::Bool(self.always_running)),
            ("dedicated_vm", self.dedicated_vm.clone()),
        ];
        let gpu = ("gpu", self.gpu.clone());
        let disks = ("dedicated_disks", Json::list(self.dedicated_disks.clone()));
        let pay_as_you_go = self.pay_as_you_go.clone().map(|value| ("pay_as_you_go", value));
        if self.dedicated_vm.truthy() {
            members.push(disks);
            members.extend(pay_as_you_go);
            members.push(gpu);
        } else {
            members.extend([gpu, disks]);
            if self.ext_rw {
                members.push(("ext_rw", Json::Bool(true)));
            }
            if !self.patch.is_empty() {
                members.push(("patch", Json::list(self.patch.clone())));
            }
            members.extend(pay_as_you_go);
        }
        Json::map(members)
    }
}

/// Computes a project's quota.
///
/// # Errors
/// If a license is for a dedicated VM of an unknown kind.
pub fn quota(input: &Input<'_>) -> Result<Computed, QuotaError> {
    let held = Held::new(read_entries(input.site_license));
    let core = Rules::<f64>::new(input).decide(&held)?;
    Ok(core.finish(&held.entries, input))
}

/// Computes a project's quota and the calculation behind each of its values.
///
/// # Errors
/// As [`quota`].
pub fn explain(input: &Input<'_>) -> Result<Decided, QuotaError> {
    let held = Held::new(read_entries(input.site_license));
    let core = Rules::<Tracked<'_>>::new(input).decide(&held)?;
    let fields = core.decided(&held.entries, input);
    Ok(Decided::new(core.finish(&held.entries, input), fields))
}

/// The operations of a license's `patch` that CoCalc uses; none if it is no string with a valid JSON Patch.
fn operations(gate: &Gate) -> &[Operation] {
    match gate {
        Gate::Passes(operations) => operations,
        Gate::Dropped(_) | Gate::TooDeep(_) => &[],
    }
}

fn operations_json(gate: &Gate) -> Vec<Json> {
    operations(gate)
        .iter()
        .map(|operation| operation.json().clone())
        .collect()
}

/// A member that is there and not null. [`Json::get`] makes a key and a hash first; these maps are small.
pub(super) fn member<'a>(json: &'a Json, name: &str) -> Option<&'a Json> {
    let (_, value) = json.as_map()?.iter().find(|(key, _)| **key == *name)?;
    (!value.is_null()).then_some(value)
}

// The ten components of a quota. The first four are flags, held as 0 and 1, so that `min` is AND, `max` is OR.
const NETWORK: usize = 0;
const MEMBER_HOST: usize = 1;
const ALWAYS_RUNNING: usize = 2;
const PRIVILEGED: usize = 3;
const FLAGS: usize = 4;
const MEMORY_REQUEST: usize = 4;
const CPU_REQUEST: usize = 5;
const DISK_QUOTA: usize = 6;
const MEMORY_LIMIT: usize = 7;
const CPU_LIMIT: usize = 8;
const IDLE_TIMEOUT: usize = 9;
const COMPONENTS: usize = 10;

type Amounts = [f64; COMPONENTS];

const ZERO: Amounts = [0.0; COMPONENTS];

/// The components' names in a quota.
const NAMES: [&str; COMPONENTS] = [
    "network",
    "member_host",
    "always_running",
    "privileged",
    "memory_request",
    "cpu_request",
    "disk_quota",
    "memory_limit",
    "cpu_limit",
    "idle_timeout",
];

/// The components' names in the upgrade format.
pub(super) const UPGRADES: [&str; COMPONENTS] = [
    "network",
    "member_host",
    "always_running",
    "privileged",
    "memory_request",
    "cpu_shares",
    "disk_quota",
    "memory",
    "cores",
    "mintime",
];

/// CoCalc's built-in base quota.
const BUILTIN_BASE: Amounts = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3000.0, 1000.0, 1.0, 1800.0];

/// CoCalc's built-in maxima; `cpu_shares` 2048 are 2 cores.
const BUILTIN_MAXIMA: Amounts = [
    1.0,
    1.0,
    1.0,
    0.0,
    8000.0,
    2.0,
    20000.0,
    16000.0,
    3.0,
    7_776_000.0,
];

/// `idle_timeout` of a license, and its seconds.
const TIMEOUTS: [(&str, f64); 3] = [("short", 1800.0), ("medium", 7200.0), ("day", 86400.0)];

/// Reads the upgrade format over `amounts`; a null is a 0. Returns which components were given.
fn overlay(amounts: &mut Amounts, upgrades: &Json) -> [bool; COMPONENTS] {
    let mut given = [false; COMPONENTS];
    for (name, value) in upgrades.as_map().into_iter().flatten() {
        let Some(k) = name
            .as_str()
            .and_then(|name| UPGRADES.iter().position(|key| *key == name))
        else {
            continue;
        };
        given[k] = true;
        amounts[k] = match k {
            CPU_REQUEST => num(Some(value)) / 1024.0,
            _ if k < FLAGS => f64::from(u8::from(flag(Some(value)))),
            _ => num(Some(value)),
        };
    }
    given
}

fn upgrades(json: &Json) -> Amounts {
    let mut amounts = ZERO;
    overlay(&mut amounts, json);
    amounts
}

/// An entry of `site_license`, read once.
pub(super) struct Entry<'a> {
    id: &'a JsString,
    /// Integer-like names come first in every JavaScript object that is made of entries.
    index_like: bool,
    /// Taken out before anything else: expired, exhausted or future.
    dropped: bool,
    v2: bool,
    /// Rank of its hosting class, 0 (always running, member, day) to 11 (neither, short).
    rank: usize,
    regular: bool,
    boost: bool,
    amounts: Amounts,
    /// CPU limit and request where one of them is no number: `+` then joins texts.
    texts: Option<Box<[Primitive; 2]>>,
    ext_rw: bool,
    gpu: Option<&'a Json>,
    patch: Option<&'a Json>,
    disk: Option<&'a Json>,
    vm: Option<Box<Vm<'a>>>,
}

/// What a license for a dedicated VM says. Nothing else of it counts.
struct Vm<'a> {
    spec: &'a Json,
    machine: &'a JsString,
    cpu: Option<&'a Json>,
    ram: Option<&'a Json>,
    always_running: Option<&'a Json>,
}

/// The entries of a `site_license` in JavaScript's order.
fn read_entries(site_license: &Json) -> Vec<Entry<'_>> {
    site_license
        .members()
        .into_iter()
        .map(|(id, value)| Entry::new(id, value))
        .collect()
}

impl<'a> Entry<'a> {
    /// Reads an entry and normalises it (steps "drop" to "normalise" of CoCalc's function).
    pub(super) fn new(id: &'a JsString, value: &'a Json) -> Self {
        let status = member(value, "status").and_then(Json::as_str);
        let mut entry = Self {
            id,
            index_like: is_array_index(id),
            dropped: matches!(status, Some("expired" | "exhausted" | "future")),
            v2: false,
            rank: TIMEOUTS.len() * 4 - 1,
            regular: !value.is_null(),
            boost: false,
            amounts: ZERO,
            texts: None,
            ext_rw: false,
            gpu: None,
            patch: None,
            disk: None,
            vm: None,
        };
        match member(value, "quota") {
            Some(quota) => entry.read_quota(quota),
            None => entry.read_upgrades(value),
        }
        entry
    }

    fn read_upgrades(&mut self, value: &Json) {
        let at_least_1 = |name| member(value, name).is_some_and(|value| coerce::to_number(value) >= 1.0);
        if let Some(rank) = rank(at_least_1("always_running"), at_least_1("member_host"), "short") {
            self.rank = rank;
        }
        // An entry counts only if one of the known upgrades is there; `privileged` is none of them.
        let known = |name: &JsString| {
            name.as_str().is_some_and(|name| {
                matches!(name, "ephemeral_state" | "ephemeral_disk")
                    || (name != UPGRADES[PRIVILEGED] && UPGRADES.contains(&name))
            })
        };
        let mut members = value.as_map().into_iter().flatten();
        if members.any(|(name, value)| !value.is_null() && known(name)) {
            self.amounts = upgrades(value);
        }
    }

    fn read_quota(&mut self, quota: &'a Json) {
        self.v2 = true;
        let [mut cpu, mut dedicated_cpu, mut ram, mut dedicated_ram, mut disk] = [None; 5];
        let [mut member_host, mut always_running, mut idle_timeout, mut boost] = [None; 4];
        let mut vm = None;
        for (name, value) in quota.as_map().into_iter().flatten() {
            let slot = match name.as_str() {
                Some("cpu") => &mut cpu,
                Some("dedicated_cpu") => &mut dedicated_cpu,
                Some("ram") => &mut ram,
                Some("dedicated_ram") => &mut dedicated_ram,
                Some("disk") => &mut disk,
                Some("member") => &mut member_host,
                Some("always_running") => &mut always_running,
                Some("idle_timeout") => &mut idle_timeout,
                Some("boost") => &mut boost,
                Some("gpu") => &mut self.gpu,
                Some("patch") => &mut self.patch,
                Some("dedicated_disk") => &mut self.disk,
                Some("dedicated_vm") => &mut vm,
                Some("ext_rw") => {
                    self.ext_rw = *value == Json::Bool(true);
                    continue;
                }
                _ => continue,
            };
            *slot = Some(value).filter(|value| !value.is_null());
        }

        let is = |value: Option<&Json>, flag| value == Some(&Json::Bool(flag));
        // An idle timeout implies member hosting, an unknown one too, which counts as the shortest.
        let implied = idle_timeout.is_some() && !is(member_host, false);
        let timeout = idle_timeout.and_then(Json::as_str).unwrap_or_default();
        let ranked = |timeout| {
            rank(
                is(always_running, true),
                implied || is(member_host, true),
                timeout,
            )
        };
        if let Some(rank) = ranked(timeout).or_else(|| ranked("short")) {
            self.rank = rank;
        }
        self.regular = !is(boost, true);
        self.boost = boost.is_some_and(|boost| *boost != Json::Bool(false));

        let truthy =
            |value: Option<&Json>, implied| f64::from(u8::from(implied || value.is_some_and(Json::truthy)));
        let number = |value: Option<&Json>| match value {
            None => Some(0.0),
            Some(Json::Number(number)) => Some(*number),
            Some(_) => None,
        };
        let sum = |a: Option<&Json>, b: Option<&Json>| match (number(a), number(b)) {
            (Some(a), Some(b)) => Primitive::Number(a + b),
            _ => primitive(a).plus(&primitive(b)),
        };
        let cpu_limit = sum(cpu, dedicated_cpu);
        let cpu_request = primitive(dedicated_cpu);
        self.amounts = [
            1.0,
            truthy(member_host, implied),
            truthy(always_running, false),
            0.0,
            1000.0 * number(dedicated_ram).unwrap_or_else(|| primitive(dedicated_ram).number()),
            cpu_request.number(),
            1000.0 * number(disk).unwrap_or_else(|| primitive(disk).number()),
            1000.0 * sum(ram, dedicated_ram).number(),
            cpu_limit.number(),
            0.0,
        ];
        if number(cpu).is_none() || number(dedicated_cpu).is_none() {
            self.texts = Some(Box::new([cpu_limit, cpu_request]));
        }
        if let Some(spec) = vm
            && let Some(Json::String(machine)) = member(spec, "machine")
        {
            self.vm = Some(Box::new(Vm {
                spec,
                machine,
                cpu,
                ram,
                always_running,
            }));
        }
    }

    /// Whether the entry is in the map when licenses are selected; those for disks are taken out before.
    fn remains(&self) -> bool {
        !self.dropped && self.disk.is_none()
    }

    fn selected(&self, group: usize) -> bool {
        self.remains() && self.rank == group && (self.regular || self.boost)
    }

    /// When it is added. Integer-like ids come first in a JavaScript object, boosts were added last.
    fn pass(&self) -> usize {
        match (self.index_like, self.regular) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        }
    }

    /// Whether it adds anything to the sums.
    fn adds(&self) -> bool {
        self.v2 || self.amounts != ZERO
    }

    /// Whether the license has operations that CoCalc would use.
    fn has_operations(&self, gate: &GateOf<'_>) -> bool {
        self.patch
            .is_some_and(|patch| !operations(&gate(patch)).is_empty())
    }
}

/// Licenses in the order in which CoCalc reads them, and what they come to. The license hook asks for the quota after
/// each of them: one more costs a step, not as many steps as there are.
pub(super) struct Held<'a, V> {
    entries: Vec<Entry<'a>>,
    tally: Tally<'a, V>,
}

/// What licenses come to, whatever the rules are.
#[derive(Clone)]
pub(super) struct Tally<'a, V> {
    /// Index of the first entry with a dedicated VM.
    vm: Option<usize>,
    /// Rank of the hosting class that counts.
    group: Option<usize>,
    sums: Sums<'a, V>,
    /// The last `gpu` that is not null, whatever it is.
    gpu: Option<&'a Json>,
    ext_rw: bool,
}

impl<'a, V: Value<'a>> Held<'a, V> {
    pub(super) fn new(entries: Vec<Entry<'a>>) -> Self {
        let mut tally = Tally {
            vm: None,
            group: None,
            sums: Sums::new(&[], None),
            gpu: None,
            ext_rw: false,
        };
        for (i, entry) in entries.iter().enumerate() {
            tally.read(i, entry);
        }
        tally.sums = Sums::new(&entries, tally.group);
        Self { entries, tally }
    }

    /// Adds an entry; the tally without it.
    pub(super) fn push(&mut self, entry: Entry<'a>) -> Tally<'a, V> {
        let before = self.tally.clone();
        self.tally.read(self.entries.len(), &entry);
        let added = before.group == self.tally.group && self.tally.sums.add_last(&entry, before.group);
        self.entries.push(entry);
        if !added {
            self.tally.sums = Sums::new(&self.entries, self.tally.group);
        }
        before
    }

    /// Makes the last entry another one; `before` is the tally without it.
    pub(super) fn replace_last(&mut self, before: Tally<'a, V>, entry: Entry<'a>) {
        self.entries.pop();
        self.tally = before;
        self.push(entry);
    }
}

impl<'a, V> Tally<'a, V> {
    /// Reads everything but what is summed up.
    fn read(&mut self, i: usize, entry: &Entry<'a>) {
        if !entry.remains() {
            return;
        }
        if entry.vm.is_some() {
            self.vm = self.vm.or(Some(i));
        }
        if entry.regular {
            self.group = Some(self.group.map_or(entry.rank, |group| group.min(entry.rank)));
        }
        self.gpu = entry.gpu.or(self.gpu);
        self.ext_rw |= entry.ext_rw;
    }
}

/// Steps 11 and 12 of CoCalc's function: what the licenses of one hosting class add up to.
#[derive(Clone)]
struct Sums<'a, V> {
    old_licenses: [V; COMPONENTS],
    licenses: [V; COMPONENTS],
    /// CPU limit and request once a text was among the summands.
    texts: Option<[Primitive; 2]>,
    /// The first license of the new kind (v2).
    first_v2: Option<&'a JsString>,
    /// The [`Entry::pass`] of the last summand.
    pass: usize,
}

impl<'a, V: Value<'a>> Sums<'a, V> {
    fn new(entries: &[Entry<'a>], group: Option<usize>) -> Self {
        let mut sums = Self {
            old_licenses: std::array::from_fn(|_| V::zero()),
            licenses: std::array::from_fn(|_| V::zero()),
            texts: None,
            first_v2: None,
            pass: 0,
        };
        let Some(group) = group else { return sums };
        let selected = || entries.iter().filter(|entry| entry.selected(group));
        sums.first_v2 = selected().find(|entry| entry.v2).map(|entry| entry.id);
        let passes = entries.iter().fold([false; 3], |mut passes, entry| {
            passes[entry.pass()] = true;
            passes
        });
        for pass in (0..passes.len()).filter(|pass| passes[*pass]) {
            for entry in selected().filter(|entry| entry.pass() == pass) {
                sums.add(entry);
            }
        }
        sums
    }

    /// Adds an entry that comes after all others, or says that it is added before one of them.
    fn add_last(&mut self, entry: &Entry<'a>, group: Option<usize>) -> bool {
        let counts = entry.adds() && group.is_some_and(|group| entry.selected(group));
        let in_turn = !counts || entry.pass() >= self.pass;
        if counts && in_turn {
            self.add(entry);
        }
        in_turn
    }

    fn add(&mut self, entry: &Entry<'a>) {
        if !entry.adds() {
            return;
        }
        self.pass = entry.pass();
        if !entry.v2 {
            add(&mut self.old_licenses, &entry.amounts, By::OldLicense(entry.id));
            return;
        }
        let by = By::License(entry.id);
        self.first_v2 = self.first_v2.or(Some(entry.id));
        if self.texts.is_none() && entry.texts.is_none() {
            add(&mut self.licenses, &entry.amounts, by);
            return;
        }
        let before = self
            .texts
            .take()
            .unwrap_or_else(|| [CPU_LIMIT, CPU_REQUEST].map(|k| Primitive::Number(self.licenses[k].get())));
        let joined = add_texts(&before, entry);
        let mut others = entry.amounts;
        others[CPU_LIMIT] = 0.0;
        others[CPU_REQUEST] = 0.0;
        add(&mut self.licenses, &others, by);
        // Joined texts are no sum.
        self.licenses[CPU_LIMIT] = V::start(joined[0].number(), by);
        self.licenses[CPU_REQUEST] = V::start(joined[1].number(), by);
        self.texts = Some(joined);
    }
}

fn primitive(value: Option<&Json>) -> Primitive {
    value.map_or(Primitive::Number(0.0), Primitive::of)
}

/// Rank of a hosting class, 0 (always running, member, day) to 11 (neither, short); `None` if there is no such timeout.
pub(super) fn rank(always_running: bool, member: bool, timeout: &str) -> Option<usize> {
    let longer = TIMEOUTS.iter().rev().position(|(name, _)| *name == timeout)?;
    let worse = |flag: bool, by: usize| if flag { 0 } else { by };
    Some(worse(always_running, 6) + worse(member, 3) + longer)
}

/// Everything that does not depend on licenses: what the site and the project say.
pub(super) struct Rules<'a, V> {
    maxima: Amounts,
    maxima_by: [By<'a>; COMPONENTS],
    /// The base before it is capped.
    base: [V; COMPONENTS],
    cpu_overcommit: Option<f64>,
    memory_overcommit: Option<f64>,
    /// `max_upgrades.disk_quota` unparsed, for cloud VMs.
    raw_disk_quota: Option<&'a Json>,
    settings: Amounts,
    users: [V; COMPONENTS],
    pay_as_you_go: Option<Amounts>,
    disable_internet: bool,
}

impl<'a, V: Value<'a>> Rules<'a, V> {
    pub(super) fn new(input: &Input<'a>) -> Self {
        let site = input.site_settings;
        let mut maxima = BUILTIN_MAXIMA;
        let max_upgrades = site.map(|site| &site.max_upgrades);
        let given = max_upgrades.map_or([false; COMPONENTS], |given| overlay(&mut maxima, given));
        let mut rules = Self {
            maxima,
            maxima_by: std::array::from_fn(|k| By::Maximum(UPGRADES[k], !given[k])),
            base: BUILTIN_BASE.map(|value| V::start(value, By::Builtin)),
            cpu_overcommit: None,
            memory_overcommit: None,
            raw_disk_quota: max_upgrades
                .and_then(|given| given.as_map()?.get(&JsString::from("disk_quota")))
                .filter(|_| given[DISK_QUOTA]),
            settings: settings_amounts(input.settings),
            users: std::array::from_fn(|_| V::zero()),
            pay_as_you_go: input
                .pay_as_you_go
                .filter(|given| !given.is_null())
                .map(|given| member(given, "quota").map_or(ZERO, upgrades)),
            disable_internet: member(input.settings, "disableInternet").is_some_and(Json::truthy),
        };
        if let Some(site) = site {
            rules.read_defaults(&site.default_quotas);
        }
        for (id, user) in input.users.members() {
            if let Some(given) = member(user, "upgrades") {
                add(&mut rules.users, &upgrades(given), By::User(id));
            }
        }
        rules
    }

    /// Step 2 of CoCalc's function: `default_quotas` over the built-in base. Values of another type are ignored.
    fn read_defaults(&mut self, defaults: &Json) {
        let number = |name| member(defaults, name).and_then(Json::as_f64);
        let ratio = |name| number(name).map(|ratio| coerce::max(1.0, ratio));
        self.cpu_overcommit = ratio("cpu_oc");
        self.memory_overcommit = ratio("mem_oc");
        for (k, name) in [(DISK_QUOTA, "disk_quota"), (IDLE_TIMEOUT, "idle_timeout")] {
            if let Some(value) = number(name) {
                self.base[k] = V::start(value, By::Default(name));
            }
        }
        if let Some(internet) = member(defaults, "internet").and_then(Json::as_bool) {
            self.base[NETWORK] = V::start(f64::from(u8::from(internet)), By::Default("internet"));
        }
        if let Some(mem) = number("mem") {
            self.base[MEMORY_LIMIT] = V::start(mem, By::Default("mem"));
            if let Some(ratio) = self.memory_overcommit {
                self.base[MEMORY_REQUEST] = self.base[MEMORY_LIMIT].divided(ratio, By::Overcommit("mem_oc"));
                self.base[MEMORY_REQUEST].rounded(coerce::round);
            }
        }
        if let Some(cpu) = number("cpu") {
            self.base[CPU_LIMIT] = V::start(cpu, By::Default("cpu"));
            if let Some(ratio) = self.cpu_overcommit {
                self.base[CPU_REQUEST] = self.base[CPU_LIMIT].divided(ratio, By::Overcommit("cpu_oc"));
            }
        }
    }

    /// What the rules and the licenses that count give.
    pub(super) fn decide(&self, held: &Held<'a, V>) -> Result<Core<'a, V>, QuotaError> {
        if let Some((i, entry)) = held.tally.vm.and_then(|i| Some((i, held.entries.get(i)?)))
            && let Some(vm) = entry.vm.as_deref()
        {
            return Ok(Core {
                amounts: self.dedicated_vm(entry, vm)?,
                vm: Some(i),
                group: None,
                gpu: None,
                ext_rw: false,
            });
        }
        let tally = &held.tally;
        Ok(Core {
            amounts: self.amounts(&tally.sums, tally.group),
            vm: None,
            group: tally.group,
            gpu: tally.gpu,
            ext_rw: tally.ext_rw,
        })
    }

    /// Step 7: a dedicated VM. No requests, no maxima, no minima.
    fn dedicated_vm(&self, entry: &Entry<'a>, vm: &Vm<'a>) -> Result<[V; COMPONENTS], QuotaError> {
        let by = By::License(entry.id);
        let mut amounts: [V; COMPONENTS] = std::array::from_fn(|_| V::start(0.0, by));
        amounts[NETWORK] = V::start(1.0, by);
        amounts[MEMBER_HOST] = V::start(1.0, by);
        if *vm.machine == "onprem" {
            let or_base = |given: Option<f64>, k: usize| {
                given.map_or_else(|| self.base[k].clone(), |given| V::start(given, by))
            };
            let always_running = vm.always_running.map(|value| f64::from(u8::from(value.truthy())));
            amounts[ALWAYS_RUNNING] = or_base(always_running, ALWAYS_RUNNING);
            amounts[CPU_LIMIT] = or_base(vm.cpu.map(coerce::to_number), CPU_LIMIT);
            amounts[MEMORY_LIMIT] = or_base(vm.ram.map(|ram| 1000.0 * coerce::to_number(ram)), MEMORY_LIMIT);
            amounts[IDLE_TIMEOUT] = V::start(timeout(entry.rank), by);
            return Ok(amounts);
        }
        let Some((cpu, ram)) = vm.machine.as_str().and_then(cloud_machine) else {
            return Err(QuotaError::UnknownMachine {
                license: entry.id.to_string_lossy(),
                machine: vm.machine.to_string_lossy(),
            });
        };
        amounts[ALWAYS_RUNNING] = V::start(1.0, by);
        amounts[CPU_LIMIT] = V::start(cpu, by);
        amounts[MEMORY_LIMIT] = V::start(1000.0 * ram, by);
        amounts[IDLE_TIMEOUT] = self.base[IDLE_TIMEOUT].clone();
        let disk_quota = match self.raw_disk_quota {
            None => BUILTIN_MAXIMA[DISK_QUOTA],
            Some(Json::Null) => f64::NAN,
            Some(raw) => coerce::to_number(raw),
        };
        amounts[DISK_QUOTA] = V::start(disk_quota, self.maxima_by[DISK_QUOTA]);
        Ok(amounts)
    }

    /// Steps 13 to 16 and 18 of CoCalc's function: the ten amounts where there is no dedicated VM.
    fn amounts(&self, sums: &Sums<'a, V>, group: Option<usize>) -> [V; COMPONENTS] {
        let mut licenses = sums.licenses.clone();
        if let Some((group, first)) = group.zip(sums.first_v2) {
            licenses[IDLE_TIMEOUT] = V::start(timeout(group), By::License(first));
        }

        let maximum = |k: usize| V::start(self.maxima[k], self.maxima_by[k]);
        let mut total: [V; COMPONENTS] = std::array::from_fn(|k| {
            let flag = k < FLAGS;
            let mut value = self.base[k].clone();
            if let Some(given) = &self.pay_as_you_go {
                value.raise(V::start(given[k], By::PayAsYouGo));
            }
            value.cap(maximum(k));
            let mut upgrades = self.users[k].clone();
            upgrades.join(sums.old_licenses[k].clone(), flag);
            upgrades.cap(if flag {
                maximum(k)
            } else {
                maximum(k).left_above(&value)
            });
            value.raise(V::start(self.settings[k], setting_by(self.settings[k], k)));
            value.join(upgrades, flag);
            let mut licenses = licenses[k].clone();
            licenses.cap(maximum(k));
            value.raise(licenses);
            value
        });

        // Step 14, overcommit.
        for (request, limit, ratio, name) in [
            (CPU_REQUEST, CPU_LIMIT, self.cpu_overcommit, "cpu_oc"),
            (MEMORY_REQUEST, MEMORY_LIMIT, self.memory_overcommit, "mem_oc"),
        ] {
            if let Some(ratio) = ratio {
                let share = total[limit].divided(ratio, By::Overcommit(name));
                total[request].raise(share);
                total[request].cap(maximum(request));
            }
        }
        // Steps 15 and 16, whole MB and the minima.
        total[MEMORY_LIMIT].rounded(f64::floor);
        total[MEMORY_REQUEST].rounded(f64::floor);
        let member = total[MEMBER_HOST].get() != 0.0;
        for (k, minimum) in [
            (CPU_REQUEST, if member { 0.05 } else { 0.02 }),
            (MEMORY_REQUEST, if member { 300.0 } else { 200.0 }),
            (MEMORY_LIMIT, 1000.0),
        ] {
            let mut minimum = V::start(minimum, By::Minimum);
            minimum.cap(maximum(k));
            total[k].floor_at(minimum);
        }
        if self.disable_internet {
            total[NETWORK].cap(V::start(0.0, By::Setting("disableInternet")));
        }
        total
    }
}

/// Component-wise sum, flags by OR.
fn add<'a, V: Value<'a>>(sum: &mut [V; COMPONENTS], amounts: &Amounts, by: By<'a>) {
    for (k, (sum, amount)) in sum.iter_mut().zip(amounts).enumerate() {
        sum.add(*amount, k < FLAGS, by);
    }
}

fn add_texts(before: &[Primitive; 2], entry: &Entry<'_>) -> [Primitive; 2] {
    let numbers = || [CPU_LIMIT, CPU_REQUEST].map(|k| Primitive::Number(entry.amounts[k]));
    let [limit, request] = entry.texts.as_deref().cloned().unwrap_or_else(numbers);
    [before[0].plus(&limit), before[1].plus(&request)]
}

/// `projects.settings` as amounts. A `disk_quota` that is a text counts up to its first non-digit.
fn settings_amounts(settings: &Json) -> Amounts {
    let mut amounts = upgrades(settings);
    if let Some(Json::String(text)) = member(settings, "disk_quota") {
        amounts[DISK_QUOTA] = text.as_str().and_then(coerce::parse_int).unwrap_or(0.0);
    }
    amounts
}

/// A setting that is 0 counts as much as none.
fn setting_by(amount: f64, k: usize) -> By<'static> {
    if amount == 0.0 {
        By::Builtin
    } else {
        By::Setting(UPGRADES[k])
    }
}

fn timeout(rank: usize) -> f64 {
    TIMEOUTS[TIMEOUTS.len() - 1 - rank % TIMEOUTS.len()].1
}

/// Cores and GB of a cloud VM that CoCalc knows.
fn cloud_machine(machine: &str) -> Option<(f64, f64)> {
    let (gb_per_core, cores) = if let Some(cores) = machine.strip_prefix("n2-standard-") {
        (4.0, cores)
    } else {
        (8.0, machine.strip_prefix("n2-highmem-")?)
    };
    let cores = match cores {
        "2" => 2.0,
        "4" => 4.0,
        "8" => 8.0,
        "16" => 16.0,
        _ => return None,
    };
    Some((cores, gb_per_core * cores - 2.0))
}

/// What was decided, before lists are copied and patches read.
pub(super) struct Core<'a, V> {
    amounts: [V; COMPONENTS],
    /// Index of the entry with the dedicated VM.
    vm: Option<usize>,
    /// Rank of the hosting class that counts.
    group: Option<usize>,
    /// The last `gpu` that is not null, whatever it is; none beside a dedicated VM.
    gpu: Option<&'a Json>,
    ext_rw: bool,
}

impl<'a, V> Core<'a, V> {
    /// Why this entry adds nothing, if so.
    fn reason(&self, entry: &Entry<'_>, i: usize) -> Option<Reason> {
        match (self.vm, self.group) {
            _ if !entry.remains() => None,
            (Some(vm), _) => (vm != i).then_some(Reason::DedicatedVm),
            (None, Some(group)) if entry.selected(group) => None,
            (None, _) => Some(Reason::HostingIncompatible),
        }
    }

    /// Why the last entry adds nothing, if so.
    pub(super) fn reason_of_last(&self, held: &Held<'a, V>) -> Option<Reason> {
        let (last, others) = held.entries.split_last()?;
        self.reason(last, others.len())
    }

    fn vm(&self, entries: &[Entry<'a>]) -> Option<(&'a JsString, &'a Json)> {
        let entry = entries.get(self.vm?)?;
        Some((entry.id, entry.vm.as_deref()?.spec))
    }

    /// The entries whose `ext_rw`, `gpu` and `patch` CoCalc looks at; none beside a dedicated VM.
    fn extras<'e>(
        &self,
        entries: &'e [Entry<'a>],
    ) -> impl DoubleEndedIterator<Item = &'e Entry<'a>> + use<'e, 'a, V> {
        let entries = if self.vm.is_some() { &[] } else { entries };
        entries.iter().filter(|entry| entry.remains())
    }

    fn patches<'e>(
        &self,
        entries: &'e [Entry<'a>],
    ) -> impl Iterator<Item = (&'a JsString, &'a Json)> + use<'e, 'a, V> {
        self.extras(entries)
            .filter_map(|entry| Some((entry.id, entry.patch?)))
    }
}

/// The disks of all licenses that were not dropped.
fn dedicated_disks<'e, 'a>(
    entries: &'e [Entry<'a>],
) -> impl Iterator<Item = (&'a JsString, &'a Json)> + use<'e, 'a> {
    entries
        .iter()
        .filter(|entry| !entry.dropped)
        .filter_map(|entry| Some((entry.id, entry.disk?)))
}

/// The GPU of a quota: `false` unless it is an object.
fn gpu_or_false(gpu: Option<&Json>) -> Json {
    gpu.filter(|gpu| matches!(gpu, Json::Map(_) | Json::List(_)))
        .cloned()
        .unwrap_or(Json::Bool(false))
}

impl Core<'_, f64> {
    /// Whether the last license leaves the quota deeply equal. `self` is the quota without it.
    pub(super) fn unchanged_by(&self, with: &Self, held: &Held<'_, f64>, gate: &GateOf<'_>) -> bool {
        let Some(last) = held.entries.last() else {
            return true;
        };
        let same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
        self.amounts.iter().zip(&with.amounts).all(same)
            && self.vm == with.vm
            && (last.dropped || last.disk.is_none())
            && gpu_or_false(self.gpu) == gpu_or_false(with.gpu)
            && self.ext_rw == with.ext_rw
            // Patches come last: reading one takes longer than all the rest.
            && (with.vm.is_some() || !last.remains() || !last.has_operations(gate))
    }
}

impl<'a, V: Value<'a>> Core<'a, V> {
    fn finish(&self, entries: &[Entry<'a>], input: &Input<'_>) -> Computed {
        let amount = |k: usize| self.amounts[k].get();
        let is = |k: usize| amount(k) != 0.0;
        let vm = self.vm(entries);
        let patches: Vec<LicensePatch> = self
            .patches(entries)
            .map(|(license, patch)| LicensePatch {
                license: license.clone(),
                patch: patch.clone(),
            })
            .collect();
        let quota = Quota {
            network: is(NETWORK),
            member_host: is(MEMBER_HOST),
            privileged: is(PRIVILEGED),
            always_running: is(ALWAYS_RUNNING),
            memory_request: amount(MEMORY_REQUEST),
            cpu_request: amount(CPU_REQUEST),
            disk_quota: amount(DISK_QUOTA),
            memory_limit: amount(MEMORY_LIMIT),
            cpu_limit: amount(CPU_LIMIT),
            idle_timeout: amount(IDLE_TIMEOUT),
            dedicated_vm: vm.map_or(Json::Bool(false), |(_, spec)| spec.clone()),
            gpu: gpu_or_false(self.gpu),
            dedicated_disks: dedicated_disks(entries).map(|(_, disk)| disk.clone()).collect(),
            ext_rw: self.ext_rw,
            patch: patches
                .iter()
                .flat_map(|patch| operations_json(&(input.gate)(&patch.patch)))
                .collect(),
            pay_as_you_go: match vm {
                Some(_) => Some(Json::Null),
                None => input.pay_as_you_go.filter(|given| !given.is_null()).cloned(),
            },
        };
        let reasons = entries
            .iter()
            .enumerate()
            .filter_map(|(i, entry)| Some((entry.id.clone(), self.reason(entry, i)?)))
            .collect();
        Computed {
            quota,
            reasons,
            patches,
        }
    }
}

impl<'a> Core<'a, Tracked<'a>> {
    /// The calculation of every member of [`Quota::to_json`].
    fn decided(&self, entries: &[Entry<'a>], input: &Input<'_>) -> Vec<(&'static str, Vec<Term>)> {
        let mut fields: Vec<(&'static str, Vec<Term>)> = NAMES
            .into_iter()
            .zip(&self.amounts)
            .enumerate()
            .map(|(k, (name, amount))| (name, amount.terms(k < FLAGS)))
            .collect();
        let by = |license: &JsString| Decider::License(license.clone());
        let given = |given: Option<(&JsString, &Json)>, otherwise: Json| match given {
            Some((license, value)) => Term::base(by(license), value.clone()),
            None => Term::base(Decider::Builtin, otherwise),
        };
        fields.push(("dedicated_vm", vec![given(self.vm(entries), Json::Bool(false))]));

        // A later license takes an earlier one's GPU away, even if it says no more than `true` or `false`.
        let mut gpus = self
            .extras(entries)
            .rev()
            .filter_map(|entry| Some((entry.id, entry.gpu?)));
        let mut gpu = vec![given(gpus.next(), Json::Bool(false))];
        gpu[0].value = gpu_or_false(Some(&gpu[0].amount));
        let lost: Vec<Term> = gpus
            .map(|(license, lost)| Term {
                how: How::Compared,
                value: gpu[0].value.clone(),
                ..Term::base(by(license), lost.clone())
            })
            .collect();
        gpu.extend(lost);
        fields.push(("gpu", gpu));

        let disks = dedicated_disks(entries).map(|(license, disk)| (license, vec![disk.clone()]));
        let mut disks = parts(disks);
        if disks.is_empty() {
            disks.push(Term::base(Decider::Builtin, Json::list(Vec::new())));
        }
        fields.push(("dedicated_disks", disks));

        let mut ext_rw = Tracked::zero();
        for entry in self.extras(entries).filter(|entry| entry.ext_rw) {
            ext_rw.add(1.0, true, By::License(entry.id));
        }
        let ext_rw = ext_rw.terms(true);
        if !ext_rw.is_empty() {
            fields.push(("ext_rw", ext_rw));
        }
        let patches = self.patches(entries);
        let patch = parts(patches.map(|(license, patch)| (license, operations_json(&(input.gate)(patch)))));
        if !patch.is_empty() {
            fields.push(("patch", patch));
        }
        match (
            self.vm(entries),
            input.pay_as_you_go.filter(|given| !given.is_null()),
        ) {
            (Some((license, _)), _) => {
                fields.push(("pay_as_you_go", vec![Term::base(by(license), Json::Null)]));
            }
            (None, Some(given)) => {
                let given = Term::base(Decider::PayAsYouGo, given.clone());
                fields.push(("pay_as_you_go", vec![given]));
            }
            (None, None) => {}
        }
        fields
    }
}

/// A list that licenses add to, without those that add nothing.
fn parts<'a>(parts: impl Iterator<Item = (&'a JsString, Vec<Json>)>) -> Vec<Term> {
    parts
        .filter(|(_, part)| !part.is_empty())
        .enumerate()
        .map(|(i, (license, part))| Term {
            how: if i == 0 { How::Base } else { How::Added },
            #[expect(clippy::cast_precision_loss, reason = "no license has 2^53 operations")]
            amount: Json::Number(part.len() as f64),
            ..Term::base(Decider::License(license.clone()), Json::list(part))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{json::parse, json_patch::gate_value};

    /// Entries of each hosting class and kind, among them those whose order counts: texts, boosts, integer-like ids.
    const QUOTAS: &[&str] = &[
        "{}",
        r#"{"status": "expired", "quota": {"ram": 1}}"#,
        r#"{"memory": 0.1, "cores": 0.2}"#,
        r#"{"memory": -0.0}"#,
        r#"{"member_host": 1, "network": 1}"#,
        r#"{"quota": {"ram": 0.1, "cpu": 0.7}}"#,
        r#"{"quota": {"ram": 1e7, "cpu": 0.1, "boost": true}}"#,
        r#"{"quota": {"ram": 0.3, "cpu": "2"}}"#,
        r#"{"quota": {"cpu": "1", "boost": true, "gpu": {"num": 1}}}"#,
        r#"{"quota": {"ram": 2, "member": true, "gpu": true}}"#,
        r#"{"quota": {"ram": 3, "member": true, "ext_rw": true, "boost": true}}"#,
        r#"{"quota": {"idle_timeout": "day", "cpu": 1}}"#,
        r#"{"quota": {"idle_timeout": "day", "cpu": 1, "boost": 7}}"#,
        r#"{"quota": {"dedicated_disk": {"size_gb": 1}, "ram": 4}}"#,
        r#"{"quota": {"dedicated_vm": {"machine": "onprem"}, "ram": 4}}"#,
    ];

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        #[test]
        fn licenses_that_are_added_one_by_one_come_to_the_same(
            given in prop::collection::vec((0..QUOTAS.len(), prop::bool::weighted(0.2)), 0..9),
        ) {
            let named = |(at, (which, index_like)): (usize, &(usize, bool))| {
                let id = if *index_like { at.to_string() } else { format!("l{at}") };
                (JsString::from(&*id), parse(QUOTAS[*which]).unwrap())
            };
            let given: Vec<(JsString, Json)> = given.iter().enumerate().map(named).collect();
            let input = Input {
                settings: &Json::Null,
                users: &Json::Null,
                site_license: &Json::Null,
                site_settings: None,
                pay_as_you_go: None,
                gate: &|patch| Arc::new(gate_value(patch)),
            };
            let rules = Rules::<f64>::new(&input);
            let other = parse(QUOTAS[5]).unwrap();
            let mut one_by_one = Held::new(Vec::new());
            for (at, (id, value)) in given.iter().enumerate() {
                let before = one_by_one.push(Entry::new(id, &other));
                one_by_one.replace_last(before, Entry::new(id, value));
                let entries = given[..=at].iter().map(|(id, value)| Entry::new(id, value));
                let at_once = Held::new(entries.collect());
                let finished = |held: &Held<'_, f64>| {
                    let core = rules.decide(held).unwrap();
                    format!("{:?}", core.finish(&held.entries, &input))
                };
                prop_assert_eq!(finished(&one_by_one), finished(&at_once));
            }
        }
    }
}
