//! What if: one more license, another patch for a license, a license added or dropped.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    json::{self, JsString, Json, Map},
    json_patch::{Gate, Reason},
    output::escape,
    snapshot::License,
};

/// Id of the extra license: greater than any UUID version 4, so that its patch comes after all others.
pub const EXTRA_LICENSE: &str = "ffffffff-ffff-4fff-bfff-ffffffffffff";

/// What is to be assumed about a project's licenses.
#[derive(Clone, Debug, Default)]
pub struct WhatIf {
    /// A patch as the text that a license's field would hold.
    pub patch: Option<PatchText>,
    /// A license quota.
    pub quota: Option<Json>,
    /// Full id of the license whose new patch and quota they are; `None`: an extra license after all others.
    pub for_license: Option<String>,
    /// Full ids of licenses to add to each project.
    pub add: Vec<String>,
    /// Full ids of licenses to take from each project.
    pub drop: Vec<String>,
    /// Whether it is an error that a project does not hold `for_license`; else such a project stays as it is.
    pub must_apply: bool,
}

/// A candidate patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchText {
    /// The text as the license's field would hold it.
    pub text: String,
    /// What to call it in messages: the file's name, or `what-if`.
    pub label: String,
    /// The file that it came from, as given.
    pub file: Option<String>,
    /// Whether it was converted from YAML, so that places in it are not those of the file.
    pub converted: bool,
}

impl PatchText {
    /// Where its operations stand in its file: `FILE:LINE:COL`, of YAML the file alone. None without a file.
    pub fn places(&self) -> Vec<String> {
        let Some(file) = &self.file else {
            return Vec::new();
        };
        if self.converted {
            let operations = json::parse(&self.text).ok();
            let count = operations
                .and_then(|json| Some(json.as_list()?.len()))
                .unwrap_or(0);
            return vec![file.clone(); count];
        }
        json::element_places(&self.text)
            .into_iter()
            .map(|(line, column)| format!("{file}:{line}:{column}"))
            .collect()
    }

    /// Where in its file it breaks CoCalc's check, if it does; `gate` is what that makes of its text.
    pub fn dropped_at(&self, gate: &Gate) -> Option<String> {
        let file = self.file.as_ref()?;
        match gate {
            Gate::Dropped(Reason::NotJson(error, _)) if !self.converted => {
                Some(format!("{file}:{}:{}", error.line, error.column))
            }
            Gate::Dropped(Reason::Operation { index, .. }) => self.places().get(*index).cloned(),
            Gate::Dropped(_) => Some(file.clone()),
            _ => None,
        }
    }
}

impl WhatIf {
    /// Whether a patch or a quota is given.
    pub fn has_candidate(&self) -> bool {
        self.patch.is_some() || self.quota.is_some()
    }

    /// Whether any license is changed, added or dropped.
    pub fn changes_licenses(&self) -> bool {
        self.has_candidate() || !self.add.is_empty() || !self.drop.is_empty()
    }

    /// Id of the license that carries the candidate patch or quota.
    pub fn candidate_license(&self) -> Option<&str> {
        self.has_candidate()
            .then(|| self.for_license.as_deref().unwrap_or(EXTRA_LICENSE))
    }

    /// What is assumed, in words: `label.json`, `license 77aa10b4 added`.
    pub(super) fn words(&self) -> Vec<String> {
        let short = |id: &str| escape::line(id.get(..8).unwrap_or(id)).into_owned();
        let of = match &self.for_license {
            Some(id) => format!(" for license {}", short(id)),
            None => String::new(),
        };
        let candidate = match (&self.patch, &self.quota) {
            (Some(patch), None) => Some(format!("{}{of}", patch.label)),
            (Some(patch), Some(_)) => Some(format!("{} and a quota{of}", patch.label)),
            (None, Some(_)) => Some(format!("a quota{of}")),
            (None, None) => None,
        };
        let added = self.add.iter().map(|id| format!("license {} added", short(id)));
        let dropped = self
            .drop
            .iter()
            .map(|id| format!("license {} dropped", short(id)));
        candidate.into_iter().chain(added).chain(dropped).collect()
    }

    fn candidate_quota(&self, old: &Json) -> Json {
        let mut quota = match (&self.quota, old) {
            (Some(quota), _) => quota.clone(),
            (None, Json::Map(_)) => old.clone(),
            (None, _) => Json::map(Vec::<(&str, Json)>::new()),
        };
        if let (Some(patch), Json::Map(map)) = (&self.patch, &mut quota) {
            let mut members = Map::clone(map);
            members.insert("patch".into(), Json::string(&patch.text));
            quota = Json::Map(members.into());
        }
        quota
    }

    /// The license rows with the candidate among them. `now` is when a new license starts to be active.
    pub(super) fn change_rows(&self, rows: &mut BTreeMap<String, License>, now: Timestamp) {
        let Some(id) = self.candidate_license() else {
            return;
        };
        let row = rows.entry(id.to_owned()).or_insert_with(|| License {
            id: id.to_owned(),
            title: self
                .patch
                .as_ref()
                .map_or("what-if", |patch| &patch.label)
                .to_owned(),
            activates: Some(now),
            ..License::default()
        });
        row.quota = self.candidate_quota(&row.quota);
    }

    /// A project's `site_license` with these licenses in it: as added but not yet judged, or, with `stored`, as
    /// the hook would have stored them.
    ///
    /// `was_known`: whether a row of this id was there before the candidate.
    pub(super) fn change_project(
        &self,
        site_license: &Json,
        rows: &BTreeMap<String, License>,
        was_known: bool,
        stored: bool,
    ) -> Json {
        if !self.changes_licenses() {
            return site_license.clone();
        }
        let mut members = site_license.as_map().cloned().unwrap_or_default();
        for id in &self.drop {
            members.shift_remove(&JsString::from(id.as_str()));
        }
        let entry = |id: &str| match rows.get(id) {
            Some(row) if stored => {
                Json::map([("quota", row.quota.clone()), ("status", Json::string("active"))])
            }
            _ => Json::map(Vec::<(&str, Json)>::new()),
        };
        let before = members.len();
        for id in &self.add {
            members.entry(id.as_str().into()).or_insert_with(|| entry(id));
        }
        if let Some(id) = self.candidate_license() {
            let name = JsString::from(id);
            match members.get_mut(&name) {
                Some(held) if stored => {
                    let mut changed = held.as_map().cloned().unwrap_or_default();
                    let old = changed.get(&JsString::from("quota")).cloned().unwrap_or_default();
                    changed.insert("quota".into(), self.candidate_quota(&old));
                    *held = Json::Map(changed.into());
                }
                Some(_) => {}
                // A license that exists and that the project does not hold stays away from it.
                None if was_known => {}
                None => {
                    members.insert(name, entry(id));
                }
            }
        }
        if members.len() == before {
            return Json::Map(members.into());
        }
        // Back into jsonb's order; only at the top, below it is unchanged.
        members.sort_by(|a, _, b, _| {
            let (a, b) = (a.to_string_lossy(), b.to_string_lossy());
            a.len().cmp(&b.len()).then_with(|| a.cmp(&b))
        });
        if let Some((extra, value)) = members.shift_remove_entry(&JsString::from(EXTRA_LICENSE)) {
            members.insert(extra, value);
        }
        Json::Map(members.into())
    }
}
