//! Findings on stderr: one line each for one project, one line a cause for many.

use std::collections::HashMap;

use crate::{
    check::{Finding, Severity},
    output::ui::Ui,
};

/// Causes beyond this many are only counted: 100,000 projects may each have one of their own.
const MOST_CAUSES: usize = 1000;

/// Collects findings, prints them, and knows the worst.
pub(super) struct Report<'a> {
    ui: &'a Ui,
    many: bool,
    causes: HashMap<Finding, Projects>,
    order: Vec<Finding>,
    left_out: usize,
    worst: Option<Severity>,
}

#[derive(Default)]
struct Projects {
    count: usize,
    first: Vec<String>,
}

impl Projects {
    fn add(&mut self, project_id: &str) {
        self.count += 1;
        if self.first.len() < 3 {
            self.first.push(project_id.to_owned());
        }
    }
}

impl<'a> Report<'a> {
    pub(super) fn new(ui: &'a Ui, many: bool) -> Self {
        Self {
            ui,
            many,
            causes: HashMap::new(),
            order: Vec::new(),
            left_out: 0,
            worst: None,
        }
    }

    /// Prints findings that are true of all projects.
    pub(super) fn for_all(&mut self, findings: &[Finding]) {
        for finding in findings {
            self.worst = self.worst.max(Some(finding.severity));
            self.print(finding, "");
        }
    }

    /// Takes the findings of a project.
    pub(super) fn add(&mut self, project_id: &str, findings: Vec<Finding>) {
        for finding in findings {
            self.worst = self.worst.max(Some(finding.severity));
            if !self.many {
                self.print(&finding, "");
                continue;
            }
            if let Some(projects) = self.causes.get_mut(&finding) {
                projects.add(project_id);
            } else if self.causes.len() == MOST_CAUSES {
                self.left_out += 1;
            } else {
                self.order.push(finding.clone());
                self.causes.entry(finding).or_default().add(project_id);
            }
        }
    }

    /// Prints what many projects have in common, and says how bad the worst finding was.
    pub(super) fn finish(self) -> Option<Severity> {
        for finding in &self.order {
            let Some(projects) = self.causes.get(finding) else {
                continue;
            };
            let s = if projects.count == 1 { "" } else { "s" };
            let more = if projects.count > projects.first.len() {
                ", …"
            } else {
                ""
            };
            let suffix = format!(
                " ({} project{s}: {}{more})",
                projects.count,
                projects.first.join(", ")
            );
            self.print(finding, &suffix);
        }
        if self.left_out > 0 {
            self.ui.note(&format!(
                "{} more findings of other causes are not shown",
                self.left_out
            ));
        }
        self.worst
    }

    fn print(&self, finding: &Finding, suffix: &str) {
        let text = format!("{} [{}]{suffix}", finding.message, finding.rule);
        match finding.severity {
            Severity::Note => self.ui.note(&text),
            Severity::Warning => self.ui.warning(&text),
            Severity::Error => self.ui.error(&text, None),
        }
    }
}
