//! One source over another: `-f` wins over the example or the database, those over the cluster.

use std::collections::HashSet;

use super::{Snapshot, file::pod_name};

impl Snapshot {
    /// What both hold, `self` winning: settings, template, software, assumptions and `now` as a whole;
    /// licenses, usage counts, projects and live pods row by row. The rows of `self` come first.
    #[must_use]
    pub fn overlay(mut self, base: Snapshot) -> Snapshot {
        self.now = self.now.or(base.now);
        self.server_settings = self.server_settings.or(base.server_settings);
        self.template = self.template.or(base.template);
        self.software = self.software.or(base.software);
        self.assumptions = self.assumptions.or(base.assumptions);
        for (id, license) in base.site_licenses {
            self.site_licenses.entry(id).or_insert(license);
        }
        for (id, project) in base.uncountable {
            // A count that is given by hand says what CoCalc's own cannot.
            if !self.license_usage.contains_key(&id) {
                self.uncountable.entry(id).or_insert(project);
            }
        }
        self.has_more_projects |= base.has_more_projects;
        for (id, count) in base.license_usage {
            if !self.uncountable.contains_key(&id) {
                self.license_usage.entry(id).or_insert(count);
            }
        }
        self.held_elsewhere.extend(base.held_elsewhere);
        self.license_holders = self.license_holders.or(base.license_holders);
        if self.projects.is_empty() {
            self.projects = base.projects;
        } else if !base.projects.is_empty() {
            let added: Vec<_> = {
                let own: HashSet<&str> = self.projects.iter().map(|project| &*project.project_id).collect();
                base.projects
                    .into_iter()
                    .filter(|project| !own.contains(&*project.project_id))
                    .collect()
            };
            self.projects.extend(added);
        }
        self.has_projects |= base.has_projects;
        let own: HashSet<String> = self.live_pods.iter().filter_map(pod_name).collect();
        self.live_pods.extend(
            base.live_pods
                .into_iter()
                .filter(|pod| pod_name(pod).is_none_or(|name| !own.contains(&name))),
        );
        self
    }
}
