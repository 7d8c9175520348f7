//! The assumptions that make the rendered pods equal to live ones.
//!
//! How CoCalc turns a quota into a pod is not public, and each thing that had to be assumed is a field of
//! [`Assumptions`]. A running project shows what is true: here the projects are rendered again under other
//! assumptions, and those are kept under which the fewest scalars differ; of several equally good sets, the one
//! with the fewest changes. What can be tried is finite: the values that a field can have, or what the live pods
//! hold in the places that the field is about.
//!
//! `cpu_format` cannot be calibrated: the API server stores `0.02` as `20m`.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value, json};

use crate::{
    check::pod::quantity::Quantity,
    json_patch::PathPart,
    patch_diff::{Difference, decoded, differences, without_kubernetes},
    snapshot::{
        Assumptions, DedicatedVm, GpuPlacement, LimitBelowRequest, MemRequestAdjustment, MemorySuffix,
        Network, NetworkPlace, OnPatchError, ProjectContainer,
    },
};

use super::{Judged, ProjectError, Rendered, Site, Subject, provenance::field_path, quota::Quota};

/// Projects that are looked at in one search; others join if what was found does not fit them.
const AT_ONCE: usize = 32;
/// How often others may join.
const ROUNDS: usize = 4;
/// Projects on which pairs of changes are tried, since there are many pairs.
const FOR_PAIRS: usize = 4;
/// A pod that CoCalc would not have made weighs as much as this many scalars.
const IMPOSSIBLE: usize = 1000;
/// Changes that are tried at once; a pod with thousands of labels must not cost hours.
const MOST_CANDIDATES: usize = 1000;
/// Differences that are remembered as explained by nothing.
const MOST_HOPELESS: usize = 256;
/// Other explanations that are named for a change.
const OTHERS: usize = 3;

/// One field of [`Assumptions`] with a value.
#[derive(Clone, Debug, PartialEq)]
enum Setting {
    MemorySuffix(MemorySuffix),
    LimitBelowRequest(LimitBelowRequest),
    MemRequestAdjustment(MemRequestAdjustment),
    ProjectContainer(ProjectContainer),
    SoftwareMount(String),
    Network(Option<Network>),
    Gpu(GpuPlacement),
    DedicatedVm(DedicatedVm),
    ProjectConfig(Map<String, Value>),
    ValidateOperation(bool),
    OnPatchError(OnPatchError),
}

impl Setting {
    fn field(&self) -> &'static str {
        match self {
            Self::MemorySuffix(_) => "memory_suffix",
            Self::LimitBelowRequest(_) => "limit_below_request",
            Self::MemRequestAdjustment(_) => "mem_request_adjustment",
            Self::ProjectContainer(_) => "project_container",
            Self::SoftwareMount(_) => "software_mount",
            Self::Network(_) => "network",
            Self::Gpu(_) => "gpu",
            Self::DedicatedVm(_) => "dedicated_vm",
            Self::ProjectConfig(_) => "project_config",
            Self::ValidateOperation(_) => "validate_operation",
            Self::OnPatchError(_) => "on_patch_error",
        }
    }

    /// Its value as the snapshot file has it.
    fn value(&self) -> Value {
        match self {
            Self::MemorySuffix(MemorySuffix::Mi) => json!("Mi"),
            Self::MemorySuffix(MemorySuffix::M) => json!("M"),
            Self::LimitBelowRequest(LimitBelowRequest::RaiseLimit) => json!("raise_limit"),
            Self::LimitBelowRequest(LimitBelowRequest::LowerRequest) => json!("lower_request"),
            Self::LimitBelowRequest(LimitBelowRequest::Keep) => json!("keep"),
            Self::MemRequestAdjustment(adjustment) => {
                json!({"lim": adjustment.lim.map(number), "pct": adjustment.pct.map(number)})
            }
            Self::ProjectContainer(ProjectContainer::Index(index)) => json!(index),
            Self::ProjectContainer(ProjectContainer::Name(name)) => json!(name),
            Self::SoftwareMount(path) => json!(path),
            Self::Network(None) => Value::Null,
            Self::Network(Some(Network { place, on, off })) => match place {
                NetworkPlace::Label(name) => json!({"label": name, "on": on, "off": off}),
                NetworkPlace::Annotation(name) => json!({"annotation": name, "on": on, "off": off}),
            },
            Self::Gpu(GpuPlacement::Merge) => json!("merge"),
            Self::Gpu(GpuPlacement::Replace) => json!("replace"),
            Self::DedicatedVm(DedicatedVm { key, weight }) => json!({"key": key, "weight": weight}),
            Self::ProjectConfig(map) => Value::Object(map.clone()),
            Self::ValidateOperation(validate) => json!(validate),
            Self::OnPatchError(OnPatchError::Abort) => json!("abort"),
            Self::OnPatchError(OnPatchError::Unpatched) => json!("unpatched"),
            Self::OnPatchError(OnPatchError::Half) => json!("half"),
        }
    }

    fn put_into(&self, assumptions: &mut Assumptions) {
        match self.clone() {
            Self::MemorySuffix(suffix) => assumptions.memory_suffix = suffix,
            Self::LimitBelowRequest(what) => assumptions.limit_below_request = what,
            Self::MemRequestAdjustment(adjustment) => assumptions.mem_request_adjustment = adjustment,
            Self::ProjectContainer(which) => assumptions.project_container = which,
            Self::SoftwareMount(path) => assumptions.software_mount = path,
            Self::Network(network) => assumptions.network = network,
            Self::Gpu(gpu) => assumptions.gpu = gpu,
            Self::DedicatedVm(vm) => assumptions.dedicated_vm = vm,
            Self::ProjectConfig(map) => assumptions.project_config = map,
            Self::ValidateOperation(validate) => assumptions.validate_operation = validate,
            Self::OnPatchError(what) => assumptions.on_patch_error = what,
        }
    }

    /// `memory_suffix: M`, on one line.
    fn text(&self) -> String {
        let value = self.value();
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Object(map) => {
                let members: Vec<String> = map
                    .iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| match value {
                        Value::String(text) => format!("{name}: {text}"),
                        other => format!("{name}: {other}"),
                    })
                    .collect();
                format!("{{{}}}", members.join(", "))
            }
            other => other.to_string(),
        };
        format!("{}: {text}", self.field())
    }
}

/// An integral number without a fraction.
fn number(number: f64) -> Value {
    serde_json::from_str(&crate::json::number_text(number)).unwrap_or(Value::Null)
}

/// All fields that can be calibrated, with their values.
fn settings(assumptions: &Assumptions) -> Vec<Setting> {
    vec![
        Setting::MemorySuffix(assumptions.memory_suffix),
        Setting::LimitBelowRequest(assumptions.limit_below_request),
        Setting::MemRequestAdjustment(assumptions.mem_request_adjustment),
        Setting::ProjectContainer(assumptions.project_container.clone()),
        Setting::SoftwareMount(assumptions.software_mount.clone()),
        Setting::Network(assumptions.network.clone()),
        Setting::Gpu(assumptions.gpu),
        Setting::DedicatedVm(assumptions.dedicated_vm.clone()),
        Setting::ProjectConfig(assumptions.project_config.clone()),
        Setting::ValidateOperation(assumptions.validate_operation),
        Setting::OnPatchError(assumptions.on_patch_error),
    ]
}

/// What was found.
#[derive(Debug, Default)]
pub struct Calibration {
    /// The assumptions to write down: what differs from the defaults or was changed.
    pub entries: Vec<Calibrated>,
    /// What no assumption explains, by project; only projects where something is left.
    pub unexplained: Vec<(String, Vec<Unexplained>)>,
    /// Projects that cannot be rendered at all.
    pub errors: Vec<(String, ProjectError)>,
    /// How many projects were compared.
    pub compared: usize,
}

/// An entry of `assumptions`.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibrated {
    /// Its name.
    pub field: &'static str,
    /// Its value as the snapshot file has it.
    pub value: Value,
    /// Whether it was changed; otherwise it stands as it was given.
    pub changed: bool,
    /// What would differ with the value that it had before: the project and the difference.
    pub speaks: Vec<(String, Difference)>,
    /// How many projects speak for it.
    pub projects: usize,
    /// Other values, of this entry or of another one, that would explain as much.
    pub as_well: Vec<String>,
}

/// What no assumption explains.
#[derive(Clone, Debug, PartialEq)]
pub enum Unexplained {
    /// A difference.
    Difference(Difference),
    /// The pod runs, and CoCalc could not have made it: what fails.
    Impossible(String),
}

/// A difference that another assumption would remove.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// `memory_suffix: M`
    pub setting: String,
    /// What differs without it.
    pub difference: Difference,
}

/// A project with its live pod, judged once.
struct Project<'a> {
    site: &'a Site,
    subject: Subject<'a>,
    judged: Option<Arc<Judged>>,
    live: &'a Value,
}

/// How a project fares under some assumptions.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    differences: Vec<Difference>,
    impossible: Option<String>,
}

impl Outcome {
    fn score(&self) -> usize {
        let weights: usize = self.differences.iter().map(Difference::weight).sum();
        weights + if self.impossible.is_some() { IMPOSSIBLE } else { 0 }
    }
}

impl<'a> Project<'a> {
    fn new(site: &'a Site, subject: Subject<'a>) -> Result<Option<Self>, ProjectError> {
        let Some(live) = subject.live_pod else {
            return Ok(None);
        };
        let project = Self {
            site,
            subject,
            judged: site.judge(subject)?,
            live,
        };
        project.render(site.assumptions())?;
        Ok(Some(project))
    }

    fn render(&self, assumptions: &Assumptions) -> Result<Rendered, ProjectError> {
        self.site
            .render_under(assumptions, self.subject, self.judged.clone())
    }

    fn outcome(&self, assumptions: &Assumptions) -> Outcome {
        let rendered = match self.render(assumptions) {
            Ok(rendered) => rendered,
            Err(error) => {
                return Outcome {
                    differences: Vec::new(),
                    impossible: Some(error.to_string()),
                };
            }
        };
        let fails = rendered
            .failure
            .as_ref()
            .filter(|_| assumptions.on_patch_error == OnPatchError::Abort);
        let pod = if fails.is_some() {
            &rendered.unpatched
        } else {
            &rendered.pod
        };
        let mut impossible = fails.map(|failure| failure.message.clone());
        let pod = match pod.to_value() {
            Ok(pod) => pod,
            Err(error) => {
                impossible = Some(error.to_string());
                Value::Null
            }
        };
        Outcome {
            differences: differences(&without_kubernetes(self.live, Some(&pod)), &pod),
            impossible,
        }
    }

    /// The quota that the pod was made with, as far as it is known.
    fn quota(&self) -> Option<Quota> {
        match &self.judged {
            Some(judged) => Some(judged.computed.quota.clone()),
            None => {
                let config = self.live_project_config()?;
                Quota::from_json(crate::json::Json::from(&config).get_non_null("quota")?)
            }
        }
    }

    fn live_project_config(&self) -> Option<Value> {
        list(self.live, "/spec/containers")
            .flat_map(|container| list(container, "/env"))
            .filter_map(|variable| decoded(variable.get("value")?))
            .find(|config| config.get("quota").is_some())
    }

    /// The live twin of the container that users work in.
    fn live_container(&self, rendered: &Value, assumptions: &Assumptions) -> Option<&Value> {
        let name = match &assumptions.project_container {
            ProjectContainer::Index(index) => {
                rendered.pointer("/spec/containers")?.get(index)?.get("name")?
            }
            ProjectContainer::Name(name) => &json!(name),
        };
        list(self.live, "/spec/containers").find(|container| container.get("name") == Some(name))
    }
}

fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn score(projects: &[&Project<'_>], assumptions: &Assumptions) -> usize {
    projects
        .iter()
        .map(|project| project.outcome(assumptions).score())
        .sum()
}

/// Finds the assumptions under which the projects' rendered pods are most like their live pods; projects without a
/// live pod are left out.
///
/// Takes some hundred renderings of each of at most some hundred projects, and a few of every other one.
pub fn calibrate(site: &Site, subjects: &[Subject<'_>]) -> Calibration {
    let mut result = Calibration::default();
    let mut projects = Vec::new();
    for subject in subjects {
        match Project::new(site, *subject) {
            Ok(Some(project)) => projects.push(project),
            Ok(None) => {}
            Err(error) => result.errors.push((subject.project_id.to_owned(), error)),
        }
    }
    result.compared = projects.len();
    let start = site.assumptions();
    let mut sample: Vec<usize> = Vec::new();
    let mut found = start.clone();
    for _ in 0..ROUNDS {
        let join: Vec<usize> = (0..projects.len())
            .filter(|index| !sample.contains(index))
            .filter(|index| projects[*index].outcome(&found).score() > 0)
            .take(AT_ONCE)
            .collect();
        if join.is_empty() {
            break;
        }
        sample.extend(join);
        // Projects that agree already must go on to do so.
        if sample.len() < AT_ONCE {
            let agreeing = (0..projects.len()).filter(|index| !sample.contains(index));
            let agreeing: Vec<usize> = agreeing.take(AT_ONCE - sample.len()).collect();
            sample.extend(agreeing);
        }
        let chosen: Vec<&Project<'_>> = sample.iter().filter_map(|index| projects.get(*index)).collect();
        found = search(&chosen, start);
    }
    let chosen: Vec<&Project<'_>> = sample.iter().filter_map(|index| projects.get(*index)).collect();
    result.entries = entries(&chosen, start, &found);
    for project in &projects {
        let Outcome {
            differences,
            impossible,
        } = project.outcome(&found);
        let left: Vec<Unexplained> = impossible
            .into_iter()
            .map(Unexplained::Impossible)
            .chain(differences.into_iter().map(Unexplained::Difference))
            .collect();
        if !left.is_empty() {
            result
                .unexplained
                .push((project.subject.project_id.to_owned(), left));
        }
    }
    result
}

/// Names the assumptions that differences speak about, for one project after the other.
#[derive(Default)]
pub struct Speaker {
    /// What explained differences of earlier projects: most have the same cause.
    known: Vec<Setting>,
    /// What nothing explained.
    hopeless: Vec<Difference>,
}

impl Speaker {
    /// The differences between a project's live and rendered pod that another value of a single assumption would
    /// remove, each with the value that removes most.
    pub fn speaks(&mut self, site: &Site, subject: Subject<'_>) -> Vec<Spoken> {
        let Ok(Some(project)) = Project::new(site, subject) else {
            return Vec::new();
        };
        let start = site.assumptions();
        let before = project.outcome(start);
        if before.score() == 0 {
            return Vec::new();
        }
        let mut better = better(&project, start, &before, &self.known);
        let unexplained = |better: &[Better]| -> Vec<Difference> {
            let stays = |difference: &&Difference| {
                better
                    .iter()
                    .all(|(_, _, outcome)| outcome.differences.contains(difference))
            };
            before.differences.iter().filter(stays).cloned().collect()
        };
        if unexplained(&better)
            .iter()
            .any(|difference| !self.hopeless.contains(difference))
        {
            better = self::better(&project, start, &before, &candidates(&[&project], start));
            let room = MOST_HOPELESS.saturating_sub(self.hopeless.len());
            self.hopeless.extend(unexplained(&better).into_iter().take(room));
        }
        // A field has one value: where two would each remove something, the better one is named.
        let mut fields = BTreeSet::new();
        better.retain(|(_, setting, _)| fields.insert(setting.field()));
        let mut spoken = Vec::new();
        for difference in before.differences {
            let removes = |(_, _, outcome): &&Better| !outcome.differences.contains(&difference);
            let Some((_, setting, _)) = better.iter().find(removes) else {
                continue;
            };
            if !self.known.contains(setting) && self.known.len() < AT_ONCE {
                self.known.push(setting.clone());
            }
            spoken.push(Spoken {
                setting: setting.text(),
                difference,
            });
        }
        spoken
    }
}

type Better = (usize, Setting, Outcome);

/// The settings under which there is less of a difference, the best one first.
fn better(project: &Project<'_>, start: &Assumptions, before: &Outcome, tried: &[Setting]) -> Vec<Better> {
    let mut better: Vec<Better> = tried
        .iter()
        .map(|setting| {
            let outcome = project.outcome(&with(start, setting));
            (outcome.score(), setting.clone(), outcome)
        })
        .filter(|(score, _, _)| *score < before.score())
        .collect();
    better.sort_by_key(|(score, _, _)| *score);
    better
}

fn with(assumptions: &Assumptions, setting: &Setting) -> Assumptions {
    let mut changed = assumptions.clone();
    setting.put_into(&mut changed);
    changed
}

fn changes(start: &Assumptions, now: &Assumptions) -> usize {
    let pairs = settings(start).into_iter().zip(settings(now));
    pairs.filter(|(start, now)| start != now).count()
}

/// Takes the best change again and again, a pair of changes where no single one helps; then takes back what is not
/// needed.
fn search(projects: &[&Project<'_>], start: &Assumptions) -> Assumptions {
    let mut now = start.clone();
    let mut best = score(projects, &now);
    while best > 0 {
        let singles = candidates(projects, &now);
        let single = best_of(
            projects,
            start,
            best,
            singles.iter().map(|setting| with(&now, setting)).collect(),
        );
        let next = single.or_else(|| best_pair(projects, start, &now, best, &singles));
        let Some((score, next)) = next else { break };
        (best, now) = (score, next);
    }
    // A step that was right when it was taken may have become needless.
    loop {
        let needless = settings(start)
            .into_iter()
            .zip(settings(&now))
            .filter(|(start, own)| start != own)
            .map(|(start, _)| with(&now, &start))
            .find(|without| score(projects, without) <= best);
        match needless {
            Some(without) => now = without,
            None => return now,
        }
    }
}

/// The best of these if it is better than what there is; of equal ones the one with fewer changes, then the first.
fn best_of(
    projects: &[&Project<'_>],
    start: &Assumptions,
    now: usize,
    tried: Vec<Assumptions>,
) -> Option<(usize, Assumptions)> {
    tried
        .into_iter()
        .map(|assumptions| (score(projects, &assumptions), assumptions))
        .filter(|(score, _)| *score < now)
        .min_by_key(|(score, assumptions)| (*score, changes(start, assumptions)))
}

fn best_pair(
    projects: &[&Project<'_>],
    start: &Assumptions,
    now: &Assumptions,
    best: usize,
    singles: &[Setting],
) -> Option<(usize, Assumptions)> {
    let differing: Vec<&Project<'_>> = projects
        .iter()
        .copied()
        .filter(|project| project.outcome(now).score() > 0)
        .take(FOR_PAIRS)
        .collect();
    let outcomes = |assumptions: &Assumptions| -> Vec<Outcome> {
        differing
            .iter()
            .map(|project| project.outcome(assumptions))
            .collect()
    };
    let alone = outcomes(now);
    let before: usize = alone.iter().map(Outcome::score).sum();
    // What does nothing at all by itself does nothing beside another one either, but for validation, which shows
    // only where a failing patch is no end.
    let singles: Vec<&Setting> = singles
        .iter()
        .filter(|setting| {
            matches!(setting, Setting::ValidateOperation(_) | Setting::OnPatchError(_))
                || outcomes(&with(now, setting)) != alone
        })
        .collect();
    let mut better = Vec::new();
    for (i, one) in singles.iter().enumerate() {
        let first = with(now, one);
        for other in singles
            .iter()
            .skip(i + 1)
            .filter(|other| other.field() != one.field())
        {
            let both = with(&first, other);
            if score(&differing, &both) < before {
                better.push(both);
            }
        }
    }
    best_of(projects, start, best, better)
}

/// What to write down, with what speaks for it.
fn entries(projects: &[&Project<'_>], start: &Assumptions, found: &Assumptions) -> Vec<Calibrated> {
    let best = score(projects, found);
    let all = settings(start)
        .into_iter()
        .zip(settings(found))
        .zip(settings(&Assumptions::default()));
    let mut entries = Vec::new();
    for ((before, now), default) in all {
        let changed = before != now;
        if !changed && now == default {
            continue;
        }
        let mut entry = Calibrated {
            field: now.field(),
            value: now.value(),
            changed,
            speaks: Vec::new(),
            projects: 0,
            as_well: Vec::new(),
        };
        if changed {
            let without = with(found, &before);
            for project in projects {
                let with_it = project.outcome(found).differences;
                let without_it = project.outcome(&without);
                let back: Vec<Difference> = without_it
                    .differences
                    .into_iter()
                    .filter(|difference| !with_it.contains(difference))
                    .collect();
                entry.projects += usize::from(!back.is_empty());
                let id = project.subject.project_id;
                entry
                    .speaks
                    .extend(back.into_iter().map(|difference| (id.to_owned(), difference)));
            }
            let others: BTreeSet<String> = candidates(projects, &without)
                .into_iter()
                .filter(|other| *other != now && score(projects, &with(&without, other)) <= best)
                .map(|other| other.text())
                .collect();
            entry.as_well = others.into_iter().take(OTHERS).collect();
        }
        entries.push(entry);
    }
    entries
}

/// Every change of a single field that is worth trying: each value of a field that has few, and what the live pods
/// hold for those that have many.
fn candidates(projects: &[&Project<'_>], now: &Assumptions) -> Vec<Setting> {
    let mut all = vec![
        Setting::MemorySuffix(MemorySuffix::Mi),
        Setting::MemorySuffix(MemorySuffix::M),
        Setting::LimitBelowRequest(LimitBelowRequest::RaiseLimit),
        Setting::LimitBelowRequest(LimitBelowRequest::LowerRequest),
        Setting::LimitBelowRequest(LimitBelowRequest::Keep),
        Setting::MemRequestAdjustment(MemRequestAdjustment::default()),
        Setting::Network(None),
        Setting::Network(Some(Network::default())),
        Setting::Gpu(GpuPlacement::Merge),
        Setting::Gpu(GpuPlacement::Replace),
        Setting::DedicatedVm(DedicatedVm::default()),
        Setting::ProjectConfig(Map::new()),
        Setting::ValidateOperation(false),
        Setting::ValidateOperation(true),
        Setting::OnPatchError(OnPatchError::Abort),
        Setting::OnPatchError(OnPatchError::Unpatched),
        Setting::OnPatchError(OnPatchError::Half),
    ];
    let mut common: Option<Map<String, Value>> = None;
    // Whatever somebody wrote into the pods is no place of the network as long as the present one holds.
    let other_network = projects.iter().any(|project| !network_holds(project, now));
    for project in projects {
        let Some(rendered) = project
            .render(now)
            .ok()
            .and_then(|rendered| rendered.pod.to_value().ok())
        else {
            continue;
        };
        for index in 0..list(&rendered, "/spec/containers").count() {
            all.push(Setting::ProjectContainer(ProjectContainer::Index(index)));
        }
        if let Some(container) = project.live_container(&rendered, now) {
            let mounts =
                list(container, "/volumeMounts").filter_map(|mount| mount.get("mountPath")?.as_str());
            all.extend(mounts.map(|path| Setting::SoftwareMount(path.to_owned())));
            all.extend(adjustments(project, container, now).map(Setting::MemRequestAdjustment));
        }
        if other_network {
            all.extend(networks(project, now));
        }
        all.extend(
            dedicated_vms(project.live, now)
                .into_iter()
                .map(Setting::DedicatedVm),
        );
        if let Some(Value::Object(mut config)) = project.live_project_config() {
            config.remove("quota");
            match &mut common {
                Some(common) => common.retain(|name, value| config.get(name) == Some(value)),
                None => common = Some(config.clone()),
            }
            all.push(Setting::ProjectConfig(config));
        }
    }
    all.extend(common.map(Setting::ProjectConfig));
    let own = settings(now);
    let mut unique: Vec<Setting> = Vec::new();
    for setting in all {
        if unique.len() < MOST_CANDIDATES && !own.contains(&setting) && !unique.contains(&setting) {
            unique.push(setting);
        }
    }
    unique
}

/// What makes the memory request of the live container, if it is lower than the quota's.
fn adjustments(
    project: &Project<'_>,
    container: &Value,
    now: &Assumptions,
) -> impl Iterator<Item = MemRequestAdjustment> + use<> {
    let unit = match now.memory_suffix {
        MemorySuffix::Mi => 1_048_576.0,
        MemorySuffix::M => 1_000_000.0,
    };
    let request = container
        .pointer("/resources/requests/memory")
        .and_then(Value::as_str)
        .and_then(Quantity::parse)
        // Nano-units of bytes; a double holds every memory that a node can have.
        .map(|quantity| quantity.nano() as f64 / 1e9 / unit);
    let quota = project.quota();
    let present = now.mem_request_adjustment;
    let found = request
        .zip(quota)
        .filter(|(request, quota)| *request < quota.memory_request);
    found.into_iter().flat_map(move |(request, quota)| {
        let lim = Some(request);
        let pct = percent(request, quota.memory_limit);
        [
            MemRequestAdjustment { lim, pct: None },
            MemRequestAdjustment {
                lim,
                pct: present.pct,
            },
            MemRequestAdjustment { lim: None, pct },
            MemRequestAdjustment {
                lim: present.lim,
                pct,
            },
        ]
    })
}

/// The plainest percentage of a limit that gives this request once it is rounded down.
fn percent(request: f64, limit: f64) -> Option<f64> {
    [5.0, 1.0, 0.1, 0.01].into_iter().find_map(|step| {
        let least = (request / limit * 100.0 / step - 1e-9).ceil();
        // Tenths and hundredths as they would be written, and not as a product of doubles.
        let percent = if step < 1.0 {
            least / (1.0 / step).round()
        } else {
            least * step
        };
        (percent.is_finite() && (limit * percent / 100.0).floor() == request).then_some(percent)
    })
}

/// Whether the live pod has what is assumed of the network.
fn network_holds(project: &Project<'_>, now: &Assumptions) -> bool {
    let place = match now.network.as_ref().map(|network| &network.place) {
        None => return false,
        Some(NetworkPlace::Label(name)) => ("labels", name),
        Some(NetworkPlace::Annotation(name)) => ("annotations", name),
    };
    let value = |pod: &Value| pod.get("metadata")?.get(place.0)?.get(place.1).cloned();
    let rendered = project
        .render(now)
        .ok()
        .and_then(|rendered| rendered.pod.to_value().ok());
    rendered.is_some_and(|pod| value(&pod) == value(project.live))
}

/// Labels and annotations that the live pod has otherwise than without a network setting.
fn networks(project: &Project<'_>, now: &Assumptions) -> Vec<Setting> {
    let without = with(now, &Setting::Network(None));
    let rendered = project
        .render(&without)
        .ok()
        .and_then(|rendered| rendered.pod.to_value().ok())
        .unwrap_or_default();
    let live = without_kubernetes(project.live, Some(&rendered));
    let present = now.network.clone().unwrap_or_default();
    let mut found = Vec::new();
    for (kind, place) in [
        ("labels", NetworkPlace::Label as fn(String) -> NetworkPlace),
        ("annotations", NetworkPlace::Annotation),
    ] {
        let map = live
            .pointer(&format!("/metadata/{kind}"))
            .and_then(Value::as_object);
        for (name, value) in map.into_iter().flatten() {
            let same = rendered
                .pointer(&format!("/metadata/{kind}"))
                .and_then(|map| map.get(name))
                == Some(value);
            let Some(text) = value.as_str().filter(|_| !same).map(str::to_owned) else {
                continue;
            };
            for (on, off) in [
                (present.on.clone(), present.off.clone()),
                (text.clone(), present.off.clone()),
                (present.on.clone(), text),
            ] {
                found.push(Setting::Network(Some(Network {
                    place: place(name.clone()),
                    on,
                    off,
                })));
            }
        }
    }
    found
}

/// Keys of tolerations and weights of preferred node affinities.
fn dedicated_vms(live: &Value, now: &Assumptions) -> Vec<DedicatedVm> {
    let present = &now.dedicated_vm;
    let keys = list(live, "/spec/tolerations")
        .filter(|toleration| {
            toleration
                .get("effect")
                .is_some_and(|effect| effect == "NoSchedule")
        })
        .filter_map(|toleration| toleration.get("key")?.as_str());
    let mut found: Vec<DedicatedVm> = keys
        .map(|key| DedicatedVm {
            key: key.to_owned(),
            weight: present.weight,
        })
        .collect();
    let terms = "/spec/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution";
    for term in list(live, terms) {
        let Some(weight) = term
            .get("weight")
            .and_then(Value::as_u64)
            .and_then(|w| u8::try_from(w).ok())
        else {
            continue;
        };
        found.push(DedicatedVm {
            key: present.key.clone(),
            weight,
        });
        let keys = list(term, "/preference/matchExpressions").filter_map(|e| e.get("key")?.as_str());
        found.extend(keys.map(|key| DedicatedVm {
            key: key.to_owned(),
            weight,
        }));
    }
    found
}

/// `spec.containers[0].env[3].value.quota.cpu_limit`: where a difference is.
pub fn place(difference: &Difference) -> String {
    field_path(&difference.path)
}

/// Whether a difference is one of an environment variable, whose value may be a secret.
pub fn may_be_secret(difference: &Difference) -> bool {
    difference
        .path
        .iter()
        .any(|part| matches!(part, PathPart::Name(name) if &**name == "env"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_but_cpu_format_can_be_calibrated_and_is_written_as_it_is_read() {
        let text = json!({
            "memory_suffix": "M", "limit_below_request": "keep", "mem_request_adjustment": {"lim": 500, "pct": 12.5},
            "project_container": "project", "software_mount": "/sw", "network": {"annotation": "a", "on": "y", "off": "n"},
            "gpu": "replace", "dedicated_vm": {"key": "k", "weight": 7}, "project_config": {"a": [1]},
            "validate_operation": true, "on_patch_error": "half",
        });
        let read: Assumptions = serde_json::from_value(text.clone()).unwrap();
        let written: Map<String, Value> = settings(&read)
            .into_iter()
            .map(|setting| (setting.field().to_owned(), setting.value()))
            .collect();
        assert_eq!(Value::Object(written), text);
        for setting in settings(&read) {
            let changed = with(&Assumptions::default(), &setting);
            assert_eq!(changes(&Assumptions::default(), &changed), 1, "{setting:?}");
        }
    }

    #[test]
    fn a_percentage_is_as_plain_as_it_can_be() {
        for (request, limit, plain) in [
            (200.0, 1000.0, Some(20.0)),
            (20.0, 100.0, Some(20.0)),
            (333.0, 3000.0, Some(11.1)),
            (125.0, 1000.0, Some(12.5)),
            (0.5, 1000.0, None),
        ] {
            assert_eq!(percent(request, limit), plain, "{request} of {limit}");
        }
    }
}
