//! The pure heart: from a snapshot to the Pod that CoCalc will create, step by step as CoCalc takes them.
//!
//! [`Site::render`] reads as the list of steps. It does no I/O and reads no clock. CoCalc's own documentation
//! names the placeholders before the licenses; `{project_config}` holds the quota, though, so licenses and
//! quota, which look at nothing of the pod, come first here.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    json::{self, JsString, Json},
    json_patch::{
        self, Applied, Document, ErrorClass, Gate, Operation, Options, PathPart, Stamp, Unsendable, apply,
        gate,
    },
    snapshot::{Assumptions, Column, License, OnPatchError, Project, Snapshot, Software},
};

pub mod calibrate;
mod coerce;
mod decided;
mod frozen;
pub mod gpu;
pub mod licenses;
pub mod placeholders;
pub mod provenance;
pub mod quota;
pub mod resources;
pub mod search;
pub mod settings;
pub mod template;
pub mod what_if;

use licenses::{
    HookError, HookInput, NumberError, State, Verdict, hook, license_number_errors, quota_number_errors,
};
use placeholders::{Placeholder, Values};
use provenance::{Entry, FIRST_OPERATION, Steps, keys};
use quota::{Computed, Input, QuotaError};
use resources::Misfit;
use settings::{SiteSettings, site_settings};
use template::{FillError, Filled, Prepared};
use what_if::WhatIf;

/// The stand-in for a project where the sources hold none.
pub const STAND_IN: &str = "00000000-0000-4000-8000-000000000000";

/// Everything that is the same for all projects of a site, prepared once.
pub struct Site {
    template: Option<Prepared>,
    settings: Option<SiteSettings>,
    licenses: BTreeMap<String, License>,
    /// Whether the license that is given another patch or quota had a row before.
    candidate_was_known: bool,
    software: Option<Software>,
    assumptions: Assumptions,
    usage: HashMap<String, u64>,
    /// Licenses with a run limit that CoCalc cannot count, and the running project whose entry is no object.
    uncountable: HashMap<String, String>,
    now: Timestamp,
    overrides: Values,
    what_if: WhatIf,
    at: Option<Timestamp>,
    stored: bool,
    /// Patches that many projects share, read once.
    gates: HashMap<JsString, Arc<Gate>>,
    /// What was judged of projects whose columns say the same; only for many projects.
    remembered: Option<Mutex<HashMap<String, Arc<Judged>>>>,
}

/// Verdicts that are remembered, at most, and the longest columns for which one is.
const REMEMBERED: usize = 1024;
const LONGEST_REMEMBERED: usize = 4096;

/// How a site is to be looked at, beside what the sources say.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Values of placeholders given by hand; they win.
    pub overrides: Values,
    /// What to assume about licenses.
    pub what_if: WhatIf,
    /// When licenses are judged, whatever the time is.
    pub at: Option<Timestamp>,
    /// Judge by what is stored in the projects, without the license hook.
    pub stored: bool,
}

/// A project to be rendered.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// Its UUID.
    pub project_id: &'a str,
    /// What is known of it.
    pub known: Known<'a>,
    /// Its live pod, if it runs.
    pub live_pod: Option<&'a Value>,
}

/// What is known of a project.
#[derive(Clone, Copy)]
pub enum Known<'a> {
    /// Its row.
    Row(&'a Project),
    /// That it has no licenses.
    NoLicenses,
    /// Nothing: there is no source of projects. Its quota is unknown.
    Nothing,
}

/// Why no pod can be computed for a project. None of these is CoCalc's verdict on the pod.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// No source gave a template.
    #[error("there is no template to render")]
    NoTemplate,
    /// A column that is no JSON.
    #[error("column {column} cannot be read: {error}")]
    Column {
        /// The column.
        column: &'static str,
        /// What is wrong.
        error: json::Error,
    },
    /// License numbers that are strings; CoCalc would calculate nonsense with them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Numbers(Vec<NumberError>),
    /// CoCalc's count of the projects that run with a license would fail, and so would its license hook.
    #[error(
        "CoCalc cannot count the projects that run with license {license}, and its license hook fails: in project \
         {project} site_license[{license}] is no object; correct that row"
    )]
    Uncountable {
        /// The license.
        license: String,
        /// The running project whose entry is to blame.
        project: String,
    },
    /// A what-if about a license that the project does not hold ([`WhatIf::must_apply`]).
    #[error(
        "it does not hold license {license}, so there is nothing that --for-license could change; \
         --add-license {license} gives it"
    )]
    NotHeld {
        /// The license.
        license: String,
    },
    /// CoCalc's license hook would fail.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// CoCalc's quota function would fail.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// The template cannot be filled.
    #[error(transparent)]
    Fill(#[from] FillError),
    /// A patch that is nested too deep for this tool.
    #[error("the patch of license {license} cannot be judged: {error}")]
    TooDeep {
        /// Its id.
        license: String,
        /// What is wrong.
        error: json::Error,
    },
}

/// A project's licenses and quota.
#[derive(Clone, Debug)]
pub struct Judged {
    /// `projects.site_license` as the license hook leaves it.
    pub site_license: Json,
    /// The hook's verdict on each license, in CoCalc's order of `site_license`; empty with `--stored`.
    pub verdicts: Vec<Verdict>,
    /// The quota.
    pub computed: Computed,
    settings: Json,
    users: Json,
    /// For each of the patches of `computed` what CoCalc makes of it.
    gates: Vec<Arc<Gate>>,
    /// `{project_config}`, once it was needed.
    project_config: OnceLock<String>,
}

impl Judged {
    /// The project's licenses in CoCalc's order: id, entry of `site_license`, and the hook's verdict if it was asked.
    pub fn licenses(&self) -> impl Iterator<Item = (&JsString, &Json, Option<&Verdict>)> {
        let members = self.site_license.members().into_iter().enumerate();
        members.map(|(at, (id, entry))| (id, entry, self.verdicts.get(at)))
    }
}

/// What became of one license's patch.
#[derive(Clone, Debug)]
pub struct Patch {
    /// Id of the license.
    pub license: String,
    /// Its title; empty if unknown.
    pub title: String,
    /// The text, read and checked as CoCalc does it.
    pub gate: Arc<Gate>,
    /// What each operation did; empty if the gate dropped the patch.
    pub effects: Vec<json_patch::Effect>,
}

impl Patch {
    /// Its operations; none if the gate dropped it.
    pub fn operations(&self) -> &[Operation] {
        match &*self.gate {
            Gate::Passes(operations) => operations,
            _ => &[],
        }
    }
}

/// Why CoCalc could not make the pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Index of the patch in [`Rendered::patches`]; `None` if the result as a whole cannot be sent.
    pub patch: Option<usize>,
    /// Index of the operation in its patch, from 0.
    pub operation: usize,
    /// `TypeError`, `RangeError` or `PatchError`.
    pub class: ErrorClass,
    /// fast-json-patch's code, where the error is its own.
    pub name: Option<&'static str>,
    /// What went wrong.
    pub message: String,
}

/// A project's pod, and everything that is known about how it came to be.
pub struct Rendered {
    /// UUID of the project.
    pub project_id: String,
    /// Title of the project; empty if unknown.
    pub title: String,
    /// The pod before license patches.
    pub unpatched: Document,
    /// The pod that CoCalc sends; after a failure the half-done one, and the one before the patches where they are
    /// more than this tool applies.
    pub pod: Document,
    /// The patches in CoCalc's order.
    pub patches: Vec<Patch>,
    /// Why CoCalc could not make the pod.
    pub failure: Option<Failure>,
    /// Licenses and quota; `None` if nothing is known of them.
    pub judged: Option<Arc<Judged>>,
    /// What of the quota the template had no place for.
    pub misfits: Vec<Misfit>,
    /// Placeholders that stay as they stand.
    pub left: Vec<Placeholder>,
    /// Placeholders whose value was more than part of a string.
    pub unescaped: Vec<Placeholder>,
    /// Fields that a patch took away: path and step.
    removals: Vec<json_patch::Removal>,
    steps: Steps,
    /// The pod as it is sent, once it was asked for.
    sent: OnceLock<Result<Value, Unsendable>>,
}

/// A pod as it is when some operations are left out. Its steps are those of the [`Rendered`] that it comes from.
pub struct Partial {
    /// The pod.
    pub pod: Document,
    /// Fields that a patch took away: path and step.
    pub removals: Vec<json_patch::Removal>,
    /// What was left out: patch and operation. Besides what was asked for, the operations that CoCalc had not
    /// reached, and those that can only be applied after one that was left out.
    pub left_out: BTreeSet<(usize, usize)>,
}

impl Rendered {
    /// The pod as it is sent to Kubernetes: [`Document::to_value`], made once.
    ///
    /// # Errors
    /// As that.
    pub fn sent(&self) -> Result<&Value, &Unsendable> {
        self.sent.get_or_init(|| self.pod.to_value()).as_ref()
    }

    /// The pod without some operations (patch and operation, from 0), all patches applied anew.
    pub fn without(&self, left_out: &BTreeSet<(usize, usize)>) -> Partial {
        let mut left_out = left_out.clone();
        if let Some(failure) = &self.failure {
            let failed = failure.patch.map(|patch| (patch, failure.operation));
            let all_out = self.steps.unpatched || failed.is_none();
            left_out.extend(
                self.operations()
                    .filter(|operation| all_out || Some(*operation) >= failed),
            );
        }
        loop {
            let numbered: Vec<((usize, usize), &Operation, Stamp)> = self
                .operations()
                .filter(|operation| !left_out.contains(operation))
                .filter_map(|(patch, operation)| {
                    let first = self.steps.first_of_patch.get(patch)?;
                    let of = self.patches.get(patch)?.operations().get(operation)?;
                    let step = first.checked_add(Stamp::try_from(operation).ok()?)?;
                    Some(((patch, operation), of, step))
                })
                .collect();
            let list: Vec<(&Operation, Stamp)> = numbered.iter().map(|(_, of, step)| (*of, *step)).collect();
            let mut pod = self.unpatched.clone();
            let applied = apply(&mut pod, &list, self.steps.options);
            let failed = applied
                .failure
                .and_then(|failure| numbered.get(failure.operation));
            match failed {
                Some((operation, ..)) => left_out.insert(*operation),
                None => {
                    return Partial {
                        pod,
                        removals: applied.removals,
                        left_out,
                    };
                }
            };
        }
    }

    /// All operations in the order in which CoCalc applies them: patch and operation, from 0.
    pub fn operations(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let patches = self.patches.iter().enumerate();
        patches.flat_map(|(patch, of)| (0..of.operations().len()).map(move |operation| (patch, operation)))
    }

    /// Who wrote each field, in the order of the sorted names, then the fields that are gone.
    pub fn provenance(&self) -> Vec<Entry> {
        let leaves = self.pod.leaves().into_iter().map(|leaf| Entry {
            path: leaf.path,
            by: self.steps.writer(leaf.by),
            origin: (leaf.origin != leaf.by).then(|| self.steps.writer(leaf.origin)),
            removed: false,
        });
        let mut entries: Vec<Entry> = leaves.collect();
        let removed = |path: &[PathPart], step| Entry {
            path: path.to_vec(),
            by: self.steps.writer(step),
            origin: None,
            removed: true,
        };
        for removal in &self.removals {
            // Behind a removed element of a list another one has taken its index.
            let element = matches!(removal.path.last(), Some(PathPart::Index(_)));
            if element || !self.pod.exists(&keys(&removal.path)) {
                entries.push(removed(&removal.path, removal.stamp));
            }
        }
        for (path, step) in self.lost_with_what_was_replaced() {
            if !entries
                .iter()
                .any(|entry| entry.removed && path.starts_with(&entry.path))
            {
                entries.push(removed(&path, step));
            }
        }
        entries
    }

    /// Members that are gone because an operation wrote a value without them over the one that had them.
    fn lost_with_what_was_replaced(&self) -> Vec<(Vec<PathPart>, Stamp)> {
        let mut lost: Vec<(Vec<PathPart>, Stamp)> = Vec::new();
        if !self.patches.iter().any(|patch| !patch.operations().is_empty()) {
            return lost;
        }
        for leaf in self.unpatched.leaves() {
            let path = keys(&leaf.path);
            let there = (0..=path.len())
                .rev()
                .find(|end| self.pod.exists(&path[..*end]))
                .unwrap_or(0);
            let (Some(PathPart::Name(_)), Some(step)) =
                (leaf.path.get(there), self.pod.writer_of(&path[..there]))
            else {
                continue;
            };
            let gone = leaf.path[..=there].to_vec();
            if step >= FIRST_OPERATION && !lost.iter().any(|(path, _)| *path == gone) {
                lost.push((gone, step));
            }
        }
        lost
    }

    /// The step that took away the field at this path, or something above it, if one did and nothing stands there again.
    pub fn removed_by(&self, path: &[PathPart]) -> Option<Stamp> {
        if self.pod.exists(&keys(path)) {
            return None;
        }
        let mut removals = self.removals.iter().rev();
        let gone = removals.find(|gone| path.starts_with(&gone.path) && !self.pod.exists(&keys(&gone.path)));
        gone.map(|gone| gone.stamp)
    }

    /// What patches took away, first to last.
    pub fn removals(&self) -> &[json_patch::Removal] {
        &self.removals
    }

    /// What a step number of the pod's document means.
    pub fn writer(&self, step: Stamp) -> provenance::Writer {
        self.steps.writer(step)
    }
}

impl Site {
    /// Prepares a snapshot. `now` is when licenses are judged, unless the snapshot or the view says so itself.
    pub fn new(snapshot: &Snapshot, now: Timestamp, view: View) -> Self {
        let View {
            overrides,
            what_if,
            at,
            stored,
        } = view;
        let now = at.or(snapshot.now).unwrap_or(now);
        let mut licenses = snapshot.site_licenses.clone();
        let candidate_was_known = what_if
            .for_license
            .as_deref()
            .or(what_if.candidate_license())
            .is_some_and(|id| licenses.contains_key(id));
        what_if.change_rows(&mut licenses, now);
        let (usage, uncountable) = usage(snapshot, &licenses);
        Self {
            template: snapshot.template.as_ref().map(Prepared::new),
            settings: site_settings(snapshot.server_settings.as_ref()),
            usage,
            uncountable,
            gates: gates(&licenses, false),
            licenses,
            remembered: None,
            candidate_was_known,
            software: snapshot.software.clone(),
            assumptions: snapshot.assumptions.clone().unwrap_or_default(),
            now,
            overrides,
            what_if,
            at,
            stored,
        }
    }

    /// The same site for many projects. It shares nothing with this one, so that a thread works with it without
    /// waiting for others, and remembers what is the same for many projects. It costs about as much as
    /// [`Site::new`] without its projects.
    #[must_use]
    pub fn separate(&self) -> Self {
        let licenses: BTreeMap<String, License> = self
            .licenses
            .iter()
            .map(|(id, license)| {
                let separate = License {
                    upgrades: license.upgrades.separate(),
                    quota: license.quota.separate(),
                    ..license.clone()
                };
                (id.clone(), separate)
            })
            .collect();
        Self {
            template: self.template.as_ref().map(Prepared::separate),
            settings: self.settings.as_ref().map(|settings| SiteSettings {
                default_quotas: settings.default_quotas.separate(),
                max_upgrades: settings.max_upgrades.separate(),
            }),
            usage: self.usage.clone(),
            uncountable: self.uncountable.clone(),
            gates: gates(&licenses, true),
            licenses,
            remembered: Some(Mutex::default()),
            candidate_was_known: self.candidate_was_known,
            software: self.software.clone(),
            assumptions: self.assumptions.clone(),
            now: self.now,
            overrides: self.overrides.clone(),
            what_if: WhatIf {
                quota: self.what_if.quota.as_ref().map(Json::separate),
                ..self.what_if.clone()
            },
            at: self.at,
            stored: self.stored,
        }
    }

    /// The template.
    pub fn template(&self) -> Option<&Prepared> {
        self.template.as_ref()
    }

    /// The license row of this id, the candidate included.
    pub fn license(&self, id: &str) -> Option<&License> {
        self.licenses.get(id)
    }

    /// What to assume about licenses.
    pub fn what_if(&self) -> &WhatIf {
        &self.what_if
    }

    /// What is assumed about licenses, in words; `None` if the project is looked at as it is now.
    pub fn what_if_words(&self) -> Option<String> {
        let mut words = self.what_if.words();
        words.extend(self.at.map(|at| format!("at {at}")));
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// What is assumed of CoCalc's closed part.
    pub fn assumptions(&self) -> &Assumptions {
        &self.assumptions
    }

    /// The Pod that CoCalc will create for a project.
    ///
    /// # Errors
    /// Where nothing can be said about the pod. That CoCalc itself fails is no error but
    /// [`Rendered::failure`].
    pub fn render(&self, subject: Subject<'_>) -> Result<Rendered, ProjectError> {
        if self.template.is_none() {
            return Err(ProjectError::NoTemplate);
        }
        let judged = self.judge(subject)?;
        self.render_under(&self.assumptions, subject, judged)
    }

    /// [`Site::render`] under other assumptions than the site's, with what [`Site::judge`] gives, which depends on
    /// none of them.
    ///
    /// # Errors
    /// As [`Site::render`].
    pub fn render_under(
        &self,
        assumptions: &Assumptions,
        subject: Subject<'_>,
        judged: Option<Arc<Judged>>,
    ) -> Result<Rendered, ProjectError> {
        let template = self.template.as_ref().ok_or(ProjectError::NoTemplate)?;
        let values = self.values(assumptions, subject, template, judged.as_deref())?;
        let Filled {
            mut document,
            unescaped,
            left,
        } = template.fill(&values, subject.project_id == STAND_IN)?;
        let misfits = put_quota(assumptions, &mut document, &values, judged.as_deref());
        let mut rendered = Rendered {
            project_id: subject.project_id.to_owned(),
            title: match subject.known {
                Known::Row(row) => row.title.to_string(),
                _ => String::new(),
            },
            unpatched: document.clone(),
            pod: document,
            patches: self.patches(judged.as_deref())?,
            failure: None,
            judged,
            misfits,
            left,
            unescaped,
            removals: Vec::new(),
            steps: Steps::default(),
            sent: OnceLock::new(),
        };
        rendered.apply_patches(assumptions);
        Ok(rendered)
    }

    /// A project's licenses as the hook judges them, and its quota. `None` if nothing is known of the project.
    ///
    /// # Errors
    /// Where CoCalc's own code would fail or calculate nonsense, and where a column cannot be read.
    pub fn judge(&self, subject: Subject<'_>) -> Result<Option<Arc<Judged>>, ProjectError> {
        let Some((remembered, key)) = self.remembered.as_ref().zip(key_of(subject)) else {
            return Ok(self.judge_anew(subject)?.map(Arc::new));
        };
        let remembered = || remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(judged) = remembered().get(&key) {
            return Ok(Some(judged.clone()));
        }
        let judged = self.judge_anew(subject)?.map(Arc::new);
        if let Some(judged) = &judged {
            let mut remembered = remembered();
            if remembered.len() == REMEMBERED {
                remembered.clear();
            }
            remembered.insert(key, judged.clone());
        }
        Ok(judged)
    }

    fn judge_anew(&self, subject: Subject<'_>) -> Result<Option<Judged>, ProjectError> {
        let row = match subject.known {
            Known::Row(row) => Some(row),
            Known::NoLicenses => None,
            Known::Nothing if self.settings_matter() => None,
            Known::Nothing => return Ok(None),
        };
        let column = |name: &'static str, of: fn(&Project) -> &Column| match row {
            Some(row) => of(row)
                .value()
                .map_err(|error| ProjectError::Column { column: name, error }),
            None => Ok(Json::Null),
        };
        let settings = column("settings", |row| &row.settings)?;
        // Nothing but the upgrades that users give is looked at, and hardly any gives one.
        let users = match row {
            Some(row) if !row.users.may_name("upgrades") => Json::Null,
            _ => column("users", |row| &row.users)?,
        };
        let own = column("site_license", |row| &row.site_license)?;
        // Where nothing is known of a project, neither is that it lacks the license.
        let was_known = self.candidate_was_known && !matches!(subject.known, Known::Nothing);
        let before = self
            .what_if
            .change_project(&own, &self.licenses, was_known, self.stored);
        if self.what_if.must_apply
            && was_known
            && let Some(id) = self.what_if.for_license.as_deref()
            && before.get(id).is_none()
        {
            return Err(ProjectError::NotHeld {
                license: id.to_owned(),
            });
        }
        let (site_license, verdicts) = if self.stored {
            (before, Vec::new())
        } else {
            if let Some((license, project)) = self
                .uncountable
                .iter()
                .find(|(license, _)| before.get(license).is_some())
            {
                return Err(ProjectError::Uncountable {
                    license: license.clone(),
                    project: project.clone(),
                });
            }
            let runs = row.is_some_and(|row| row.state.as_deref() == Some("running"));
            let judged = hook(&HookInput {
                settings: &settings,
                users: &users,
                site_license: &before,
                licenses: &self.licenses,
                usage: &|id| {
                    let all = self.usage.get(id).copied().unwrap_or(0);
                    // CoCalc stops a project before it starts it again.
                    let itself = runs && own.get(id).is_some_and(counts_as_usage);
                    all.saturating_sub(u64::from(itself))
                },
                now: self.now,
                site_settings: self.settings.as_ref(),
                gate: &|patch| self.gate(patch),
            })?;
            (judged.site_license, judged.verdicts)
        };
        self.refuse_bad_numbers(&site_license, &verdicts)?;
        self.refuse_deep_patches(&site_license, &verdicts)?;
        let computed = quota::quota(&Input {
            settings: &settings,
            users: &users,
            site_license: &site_license,
            site_settings: self.settings.as_ref(),
            pay_as_you_go: None,
            gate: &|patch| self.gate(patch),
        })?;
        Ok(Some(Judged {
            site_license,
            verdicts,
            gates: computed
                .patches
                .iter()
                .map(|found| self.gate(&found.patch))
                .collect(),
            computed,
            settings,
            users,
            project_config: OnceLock::new(),
        }))
    }

    /// The calculation behind each value of a quota.
    ///
    /// # Errors
    /// As the quota itself.
    pub fn explain(&self, judged: &Judged) -> Result<quota::Decided, QuotaError> {
        quota::explain(&Input {
            settings: &judged.settings,
            users: &judged.users,
            site_license: &judged.site_license,
            site_settings: self.settings.as_ref(),
            pay_as_you_go: None,
            gate: &|patch| self.gate(patch),
        })
    }

    /// Whether there is something to calculate with for a project of which nothing is known.
    fn settings_matter(&self) -> bool {
        self.what_if.quota.is_some() || !self.what_if.add.is_empty()
    }

    /// A patch that is too deep for this tool, and not for CoCalc: the hook would find its license ineffective.
    fn refuse_deep_patches(&self, site_license: &Json, verdicts: &[Verdict]) -> Result<(), ProjectError> {
        let valid = |verdict: &&Verdict| matches!(verdict.state, State::Active | State::Ineffective);
        let rows = verdicts.iter().filter(valid).filter_map(|verdict| {
            let row = self.licenses.get(verdict.license.as_str()?)?;
            Some((&verdict.license, row.quota.get_non_null("patch")?))
        });
        let stored = site_license.members();
        let stored = stored
            .iter()
            .filter_map(|(id, entry)| Some((*id, entry.get("quota")?.get_non_null("patch")?)));
        for (id, patch) in rows.chain(stored) {
            if let Gate::TooDeep(error) = &*self.gate(patch) {
                return Err(ProjectError::TooDeep {
                    license: id.to_string_lossy(),
                    error: error.clone(),
                });
            }
        }
        Ok(())
    }

    /// With a text for a number the quota function calculates nonsense, and the hook may find a license
    /// ineffective for it: so the rows are looked at, not only what the hook stores.
    fn refuse_bad_numbers(&self, site_license: &Json, verdicts: &[Verdict]) -> Result<(), ProjectError> {
        let mut errors = license_number_errors(site_license);
        for verdict in verdicts
            .iter()
            .filter(|verdict| verdict.state == State::Ineffective)
        {
            if let Some(row) = verdict.license.as_str().and_then(|id| self.licenses.get(id)) {
                errors.extend(quota_number_errors(&verdict.license, &row.quota));
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(ProjectError::Numbers(errors))
        }
    }

    fn values(
        &self,
        assumptions: &Assumptions,
        subject: Subject<'_>,
        template: &Prepared,
        judged: Option<&Judged>,
    ) -> Result<Values, ProjectError> {
        let mut values = self.overrides.clone();
        if subject.project_id != STAND_IN {
            values.set_default(Placeholder::ProjectId, || Some(subject.project_id.to_owned()));
        }
        let row = match subject.known {
            Known::Row(row) => Some(row),
            _ => None,
        };
        if !matches!(subject.known, Known::Nothing) {
            let image = row.and_then(|row| row.compute_image.as_deref());
            if let Some((name, tag)) = self.software.as_ref().and_then(|software| software.image(image)) {
                values.set_default(Placeholder::ProjectImage, || Some(name.to_owned()));
                values.set_default(Placeholder::ProjectTag, || Some(tag.to_owned()));
            }
        }
        if template.uses(Placeholder::ExtraEnv)
            && let Some(row) = row
        {
            let env = row
                .env
                .value()
                .map_err(|error| ProjectError::Column { column: "env", error })?;
            values.set_default(Placeholder::ExtraEnv, || Some(placeholders::extra_env(&env)));
        }
        if template.uses(Placeholder::ProjectConfig)
            && let Some(judged) = judged
            && subject.project_id != STAND_IN
        {
            values.set_default(Placeholder::ProjectConfig, || {
                Some(self.project_config(assumptions, judged))
            });
        }
        if let Some(live) = subject.live_pod {
            let recovered = template.recover(live);
            for (placeholder, value) in recovered.iter() {
                values.set_default(placeholder, || Some(value.to_owned()));
            }
        }
        if matches!(subject.known, Known::NoLicenses) && subject.project_id != STAND_IN {
            values.set_default(Placeholder::ExtraEnv, || {
                Some(placeholders::extra_env(&Json::Null))
            });
        }
        Ok(values)
    }

    fn project_config(&self, assumptions: &Assumptions, judged: &Judged) -> String {
        let config = || {
            let quota = judged.computed.quota.to_json();
            placeholders::project_config(&quota, &assumptions.project_config)
        };
        if std::ptr::eq(assumptions, &self.assumptions) {
            judged.project_config.get_or_init(config).clone()
        } else {
            config()
        }
    }

    fn patches(&self, judged: Option<&Judged>) -> Result<Vec<Patch>, ProjectError> {
        let mut patches = Vec::new();
        match judged {
            Some(judged) => {
                for (found, gate) in judged.computed.patches.iter().zip(&judged.gates) {
                    patches.push(self.patch(&found.license.to_string_lossy(), gate.clone()));
                }
            }
            None => {
                if let (Some(patch), Some(id)) = (&self.what_if.patch, self.what_if.candidate_license()) {
                    patches.push(self.patch(id, self.gate(&Json::string(&patch.text))));
                }
            }
        }
        for patch in &patches {
            if let Gate::TooDeep(error) = &*patch.gate {
                return Err(ProjectError::TooDeep {
                    license: patch.license.clone(),
                    error: error.clone(),
                });
            }
        }
        Ok(patches)
    }

    /// A license's `patch` as CoCalc reads and checks it.
    pub fn gate(&self, patch: &Json) -> Arc<Gate> {
        match patch {
            Json::String(text) => self
                .gates
                .get(text)
                .cloned()
                .unwrap_or_else(|| Arc::new(gate_of(text))),
            other => Arc::new(json_patch::gate_value(other)),
        }
    }

    /// Where the what-if patch breaks CoCalc's check in its file, if it does.
    pub fn candidate_dropped_at(&self) -> Option<String> {
        let patch = self.what_if.patch.as_ref()?;
        patch.dropped_at(&self.gate(&Json::string(&patch.text)))
    }

    fn patch(&self, id: &str, gate: Arc<Gate>) -> Patch {
        Patch {
            license: id.to_owned(),
            title: self
                .licenses
                .get(id)
                .map_or_else(String::new, |row| row.title.clone()),
            gate,
            effects: Vec::new(),
        }
    }
}

fn put_quota(
    assumptions: &Assumptions,
    document: &mut Document,
    values: &Values,
    judged: Option<&Judged>,
) -> Vec<Misfit> {
    if let Some(judged) = judged {
        return resources::put_into_pod(document, &judged.computed.quota, assumptions);
    }
    // Nothing is known of the licenses: what the running pod was given is the best there is.
    let running = values
        .get(Placeholder::ProjectConfig)
        .and_then(placeholders::quota_of_project_config)
        .and_then(|quota| quota::Quota::from_json(&quota));
    match running {
        Some(quota) => resources::put_into_pod(document, &quota, assumptions),
        None => Vec::new(),
    }
}

impl Rendered {
    fn apply_patches(&mut self, assumptions: &Assumptions) {
        let mut numbered: Vec<(&Operation, Stamp)> = Vec::new();
        let mut step = FIRST_OPERATION;
        for patch in &self.patches {
            self.steps.first_of_patch.push(step);
            for operation in patch.operations() {
                numbered.push((operation, step));
                step += 1;
            }
        }
        let options = Options {
            validate: assumptions.validate_operation,
        };
        let Applied {
            effects,
            removals,
            failure,
        } = apply(&mut self.pod, &numbered, options);
        self.removals = removals;
        let failure = failure.or_else(|| json_patch::Failure::of_nothing_left(&self.pod, &numbered));
        // Where this tool refuses to go on: what CoCalc would go on to make may be of any size.
        let refused = failure.as_ref().is_some_and(|failure| failure.limit.is_some());
        self.failure = failure.map(|failure| {
            let step = numbered.get(failure.operation).map(|(_, step)| *step);
            let (patch, operation) = match step.map(|step| self.steps.writer(step)) {
                Some(provenance::Writer::Operation { patch, operation }) => (Some(patch), operation),
                _ => (None, failure.operation),
            };
            let json_patch::Failure {
                class, name, message, ..
            } = failure;
            Failure {
                patch,
                operation,
                class,
                name,
                message,
            }
        });
        let mut effects = effects.into_iter();
        for patch in &mut self.patches {
            let count = patch.operations().len();
            patch.effects = effects.by_ref().take(count).collect();
        }
        self.steps.options = options;
        self.steps.unpatched = refused || assumptions.on_patch_error == OnPatchError::Unpatched;
        if self.failure.is_some() && self.steps.unpatched {
            self.pod = self.unpatched.clone();
        }
    }
}

/// The patches of the license rows, each read once; `many`: they are for many projects.
fn gates(licenses: &BTreeMap<String, License>, many: bool) -> HashMap<JsString, Arc<Gate>> {
    let mut gates = HashMap::new();
    for license in licenses.values() {
        if let Some(Json::String(text)) = license.quota.get("patch") {
            let mut gate = gate_of(text);
            if many {
                gate.keep_texts();
            }
            gates.insert(text.clone(), Arc::new(gate));
        }
    }
    gates
}

fn gate_of(text: &JsString) -> Gate {
    match text.as_str() {
        Some(text) => gate(text),
        // JSON.parse takes a lone surrogate only inside a string, and there it is as good as any other
        // character; no name and no pointer of a Pod holds one.
        None => gate(&text.to_string_lossy()),
    }
}

/// All that a verdict depends on, but for the site: columns with the same text are judged alike. `None` where the
/// columns are too long to be remembered, or there are none.
fn key_of(subject: Subject<'_>) -> Option<String> {
    let Known::Row(row) = subject.known else {
        return None;
    };
    let users = if row.users.may_name("upgrades") {
        row.users.text()
    } else {
        ""
    };
    let runs = if row.state.as_deref() == Some("running") {
        "running"
    } else {
        ""
    };
    let columns = [row.site_license.text(), row.settings.text(), users, runs];
    let length: usize = columns.iter().map(|text| text.len()).sum();
    // No text of JSON holds a NUL, so different columns have different keys.
    (length <= LONGEST_REMEMBERED).then(|| columns.join("\0"))
}

/// CoCalc's own condition: the entry less its key `status` is not `{}`. An entry `{status, reason}` counts too,
/// and so does a list; at anything else CoCalc's count fails.
pub(crate) fn counts_as_usage(entry: &Json) -> bool {
    match entry {
        Json::Map(map) => map.keys().any(|name| *name != "status"),
        Json::List(_) => true,
        _ => false,
    }
}

/// Running projects per license, for licenses with a run limit that `license_usage` does not give; and the licenses
/// at which CoCalc's own count fails, with the project to blame. [`crate::snapshot::counts`] counts all licenses alike.
fn usage(
    snapshot: &Snapshot,
    licenses: &BTreeMap<String, License>,
) -> (HashMap<String, u64>, HashMap<String, String>) {
    let limited = |id: &String| {
        licenses
            .get(id)
            .is_some_and(|license| license.run_limit.is_some())
    };
    let mut uncountable: HashMap<String, String> = snapshot
        .uncountable
        .iter()
        .filter(|(id, _)| limited(id))
        .map(|(id, project)| (id.clone(), project.clone()))
        .collect();
    let mut usage: HashMap<String, u64> = snapshot
        .license_usage
        .iter()
        .map(|(id, count)| (id.clone(), *count))
        .collect();
    let counted: Vec<&str> = licenses
        .values()
        .filter(|license| license.run_limit.is_some())
        .filter(|license| !usage.contains_key(&license.id) && !uncountable.contains_key(&license.id))
        .map(|license| license.id.as_str())
        .collect();
    if counted.is_empty() {
        return (usage, uncountable);
    }
    for project in snapshot
        .projects
        .iter()
        .filter(|project| project.state.as_deref() == Some("running"))
    {
        // A column that cannot be read is told when its project is rendered.
        let Ok(site_license) = json::parse(project.site_license.text()) else {
            continue;
        };
        for (id, entry) in site_license.as_map().into_iter().flatten() {
            let Some(id) = id.as_str().filter(|id| counted.binary_search(id).is_ok()) else {
                continue;
            };
            if !matches!(entry, Json::Map(_) | Json::List(_)) {
                uncountable.insert(id.to_owned(), project.project_id.to_string());
            } else if counts_as_usage(entry) {
                *usage.entry(id.to_owned()).or_default() += 1;
            }
        }
    }
    (usage, uncountable)
}
