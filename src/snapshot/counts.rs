//! How many projects hold a license, and how many of them run with it.

use std::collections::BTreeMap;

use super::Snapshot;
use crate::{
    json::{self, Json},
    pipeline::counts_as_usage,
};

/// The counts of one license.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LicenseCounts {
    /// Projects that hold it, deleted ones aside. `None`: no source of projects was there.
    pub held: Option<u64>,
    /// Running projects that CoCalc counts against its run limit, deleted ones too. `None`: CoCalc's count fails, or
    /// no source of projects was there.
    pub running: Option<u64>,
    /// The running project at which CoCalc's count fails, since its entry of the license is no object.
    pub uncountable: Option<String>,
}

/// The counts of every license that has a row or that a project holds; the latter may be no UUID. What a source has
/// counted itself ([`Snapshot::license_usage`], [`Snapshot::license_holders`]) is taken as it is, the rest is counted
/// over [`Snapshot::projects`].
pub fn counts(snapshot: &Snapshot) -> BTreeMap<String, LicenseCounts> {
    let counted = snapshot.has_projects.then_some(0);
    let mut counts: BTreeMap<String, LicenseCounts> = BTreeMap::new();
    let new = || LicenseCounts {
        held: counted,
        running: counted,
        uncountable: None,
    };
    for id in snapshot.site_licenses.keys() {
        counts.insert(id.clone(), new());
    }
    for project in &snapshot.projects {
        let text = project.site_license.text();
        // A column that cannot be read is told when its project is rendered.
        let Ok(Json::Map(held)) = json::parse(text) else {
            continue;
        };
        let runs = project.state.as_deref() == Some("running");
        for (id, entry) in held.iter() {
            let of = counts.entry(id.to_string_lossy()).or_insert_with(new);
            if let Some(held) = of.held.as_mut().filter(|_| !project.deleted) {
                *held += 1;
            }
            if !runs {
                continue;
            }
            if !matches!(entry, Json::Map(_) | Json::List(_)) {
                of.uncountable = Some(project.project_id.to_string());
            } else if let Some(running) = of.running.as_mut().filter(|_| counts_as_usage(entry)) {
                *running += 1;
            }
        }
    }
    if let Some(holders) = &snapshot.license_holders {
        for of in counts.values_mut() {
            of.held = Some(0);
        }
        for (id, held) in holders {
            counts.entry(id.clone()).or_insert_with(new).held = Some(*held);
        }
    }
    for (id, running) in &snapshot.license_usage {
        let of = counts.entry(id.clone()).or_insert_with(new);
        (of.running, of.uncountable) = (Some(*running), None);
    }
    for (id, project) in &snapshot.uncountable {
        counts.entry(id.clone()).or_insert_with(new).uncountable = Some(project.clone());
    }
    for of in counts.values_mut().filter(|of| of.uncountable.is_some()) {
        of.running = None;
    }
    counts
}
