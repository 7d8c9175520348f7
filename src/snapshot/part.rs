//! A part of a snapshot that gives the same answers for its projects as the whole.

use std::collections::{BTreeSet, HashSet};

use super::{Snapshot, counts, project_id_of};
use crate::{json, pipeline::settings::IN_FORCE};

/// What of a snapshot is kept.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Projects by UUID.
    pub projects: HashSet<String>,
    /// Every license, not only those that the projects have.
    pub all_licenses: bool,
    /// Licenses that are kept although no project has them.
    pub licenses: BTreeSet<String>,
}

impl Snapshot {
    /// Keeps the projects named, the licenses they have, the live pods of these projects, and what is the same for
    /// all projects. Running projects are counted before the rest is let go: the part answers as the whole does.
    #[must_use]
    pub fn part(mut self, part: &Part) -> Snapshot {
        let counts = counts(&self);
        self.projects
            .retain(|project| part.projects.contains(&*project.project_id));
        self.live_pods.retain(|pod| {
            project_id_of(pod).is_some_and(|id| part.projects.contains(id.to_lowercase().as_str()))
        });
        if !part.all_licenses {
            let mut kept = part.licenses.clone();
            for project in &self.projects {
                let held = json::parse(project.site_license.text()).unwrap_or_default();
                kept.extend(
                    held.as_map()
                        .into_iter()
                        .flatten()
                        .filter_map(|(id, _)| id.as_str().map(str::to_owned)),
                );
            }
            self.site_licenses.retain(|id, _| kept.contains(id));
        }
        self.license_usage.clear();
        self.uncountable.clear();
        self.license_holders = None;
        self.held_elsewhere.clear();
        for id in self.site_licenses.keys() {
            let Some(of) = counts.get(id) else { continue };
            if let Some(project) = &of.uncountable {
                self.uncountable.insert(id.clone(), project.clone());
            } else if let Some(running) = of.running {
                self.license_usage.insert(id.clone(), running);
            }
        }
        if let Some(settings) = &mut self.server_settings {
            // The others are nothing to a pod, and passwords are among them.
            settings.retain(|name, _| IN_FORCE.contains(&name.as_str()));
        }
        self
    }
}
