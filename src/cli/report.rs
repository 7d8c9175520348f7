//! Findings on stderr: one line each for one project, one line a cause for many.

use std::collections::HashMap;

use crate::{
    check::{Finding, Severity},
    output::{escape, ui::Ui},
    pipeline::STAND_IN,
};

/// Causes beyond this many are only counted: 100,000 projects may each have one of their own.
const MOST_CAUSES: usize = 1000;

/// From which severity on a finding makes the exit code 1 (`--fail-on`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FailOn {
    Error,
    Warning,
    Note,
}

impl From<FailOn> for Severity {
    fn from(fail_on: FailOn) -> Self {
        match fail_on {
            FailOn::Error => Self::Error,
            FailOn::Warning => Self::Warning,
            FailOn::Note => Self::Note,
        }
    }
}

/// A finding and, where the patch came from a file, its place there: `FILE:LINE:COL`.
pub(super) type Placed = (Option<String>, Finding);

/// Collects findings, prints them, and knows the worst.
pub(super) struct Report<'a> {
    ui: &'a Ui,
    many: bool,
    causes: HashMap<Cause, Projects>,
    order: Vec<Cause>,
    left_out: usize,
    worst: Option<Severity>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Cause {
    Error(String),
    Finding(Finding),
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

    /// Tells an error of a project; of many projects equal ones once.
    pub(super) fn error(&mut self, project_id: &str, message: String) {
        if self.many {
            self.count(Cause::Error(message), project_id);
        } else {
            let project = if project_id == STAND_IN {
                String::new()
            } else {
                format!("project {project_id}: ")
            };
            self.ui.error(&format!("{project}{message}"), None);
        }
    }

    fn count(&mut self, cause: Cause, project_id: &str) {
        if let Some(projects) = self.causes.get_mut(&cause) {
            projects.add(project_id);
        } else if self.causes.len() == MOST_CAUSES {
            self.left_out += 1;
        } else {
            self.order.push(cause.clone());
            self.causes.entry(cause).or_default().add(project_id);
        }
    }

    /// Prints findings that are true of all projects.
    pub(super) fn for_all(&mut self, findings: &[Finding]) {
        for finding in findings {
            self.worst = self.worst.max(Some(finding.severity));
            self.print(finding, "");
        }
    }

    /// Takes a finding and, where the patch came from a file, its place there: `FILE:LINE:COL`.
    pub(super) fn add_at(&mut self, project_id: &str, place: Option<&str>, finding: Finding) {
        self.worst = self.worst.max(Some(finding.severity));
        match place {
            Some(place) if !self.many => {
                let Finding {
                    rule,
                    severity,
                    message,
                    ..
                } = &finding;
                self.ui
                    .plain(&escape::line(&format!("{place}: {severity}: {message} [{rule}]")));
            }
            _ if self.many => self.count(Cause::Finding(finding), project_id),
            _ => self.print(&finding, ""),
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
            self.count(Cause::Finding(finding), project_id);
        }
    }

    /// Prints what many projects have in common, and says how bad the worst finding was.
    pub(super) fn finish(self) -> Option<Severity> {
        for cause in &self.order {
            let Some(projects) = self.causes.get(cause) else {
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
            match cause {
                Cause::Error(message) => self.ui.error(&format!("{message}{suffix}"), None),
                Cause::Finding(finding) => self.print(finding, &suffix),
            }
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
