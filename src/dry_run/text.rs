//! The outcome for readers, in 80 columns.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{
    check::license_name,
    output::{escape, explain::Explained},
    pipeline::{
        Rendered, Site,
        provenance::{QuotaField, Writer, field_path, pointer},
    },
};

use super::{
    Blame, Outcome, Party, Problem, Unfinished,
    fault::{Kind, Layer},
    path::Path,
    report::remark,
};

const WIDTH: usize = 80;
/// Columns before a field.
const INDENT: usize = 5;
/// A wider field has a line of its own.
const WIDEST: usize = 34;

impl Unfinished {
    /// For readers.
    pub fn text(self) -> &'static str {
        match self {
            Self::Budget => {
                "the budget of requests is used up, so there may be more, and what is not proved is a guess; \
                 raise --max-requests"
            }
            Self::NoWay => "what refuses the pod cannot be left out, so there may be more behind it",
        }
    }
}

/// Everything there is to tell of a refused pod: kubectl's words first, then causes.
pub fn refusal(outcome: &Outcome, site: &Site, rendered: &Rendered) -> String {
    let teller = Teller {
        site,
        rendered,
        explained: Explained::new(site, rendered),
    };
    let mut text = String::new();
    for (number, round) in outcome.rounds.iter().enumerate() {
        if number == 1 {
            text.push_str("\nhidden behind it, once the above is mended:\n");
        }
        text.push_str(&round.text);
        text.push('\n');
    }
    let causes = causes(outcome);
    let problems = outcome.problems().count();
    let _ = writeln!(
        text,
        "\n{}, {}, {}",
        counted(problems, "problem"),
        counted(causes.len(), "cause"),
        counted(outcome.requests, "request")
    );
    for (number, cause) in causes.iter().enumerate() {
        text.push('\n');
        teller.cause(number + 1, cause, &mut text);
    }
    if let Some(unfinished) = outcome.unfinished {
        text.push('\n');
        text.push_str(&escape::fold(unfinished.text(), WIDTH, 0));
        text.push('\n');
    }
    text
}

/// Short names of the causes, the same for the same cause of another project.
pub fn cause_names(outcome: &Outcome, rendered: &Rendered) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for problem in outcome.problems() {
        let words = &problem.fault.message;
        let name = match problem.blame.first() {
            None => words.clone(),
            Some(blame) => match &blame.party {
                Party::Injected => "a field that admission wrote".to_owned(),
                Party::Cluster => "the namespace's own limits".to_owned(),
                Party::Writer(Writer::Template) => match &blame.at {
                    Some(at) => format!("template {}", pointer(at)),
                    None => "template".to_owned(),
                },
                Party::Writer(Writer::Placeholders(placeholders)) => {
                    let names: Vec<&str> = placeholders.iter().map(|p| p.text()).collect();
                    format!("placeholder {}", names.join(", "))
                }
                Party::Writer(Writer::Quota(field)) => format!("quota {}", field.name()),
                Party::Writer(Writer::Operation { patch, operation }) => {
                    let of = rendered.patches.get(*patch);
                    let name = of.map_or_else(String::new, |of| license_name(&of.title, &of.license));
                    format!("{name}, operation {}", operation + 1)
                }
            },
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn counted(count: usize, word: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {word}{s}")
}

/// Problems with the same one to blame first: a license, a quota value, a placeholder, the template.
struct Cause<'a> {
    party: Option<Party>,
    problems: Vec<&'a Problem>,
}

fn causes(outcome: &Outcome) -> Vec<Cause<'_>> {
    let mut causes: Vec<Cause<'_>> = Vec::new();
    for problem in outcome.problems() {
        let party = problem.blame.first().map(|blame| match &blame.party {
            // A license is a cause as a whole.
            Party::Writer(Writer::Operation { patch, .. }) => Party::Writer(Writer::Operation {
                patch: *patch,
                operation: 0,
            }),
            other => other.clone(),
        });
        match causes.iter_mut().find(|cause| cause.party == party) {
            Some(cause) => cause.problems.push(problem),
            None => causes.push(Cause {
                party,
                problems: vec![problem],
            }),
        }
    }
    causes
}

struct Teller<'a> {
    site: &'a Site,
    rendered: &'a Rendered,
    explained: Explained<'a>,
}

impl Teller<'_> {
    fn cause(&self, number: usize, cause: &Cause<'_>, text: &mut String) {
        let _ = writeln!(text, "{number}  {}", self.title(cause));
        let widths = cause
            .problems
            .iter()
            .map(|problem| escape::width(&shown_field(problem)));
        let column = widths.filter(|width| *width <= WIDEST).max().unwrap_or(0);
        let mut operations: Vec<usize> = Vec::new();
        for problem in &cause.problems {
            if let Some(operation) = operation_of(problem.blame.first())
                && !operations.contains(&operation.1)
            {
                operations.push(operation.1);
            }
        }
        operations.sort_unstable();
        if operations.is_empty() {
            for problem in &cause.problems {
                self.problem(problem, column, text);
            }
        }
        for operation in operations {
            if let Some(Party::Writer(Writer::Operation { patch, .. })) = &cause.party {
                let _ = writeln!(text, "   {}", self.operation(*patch, operation));
            }
            let of_it = |problem: &&&Problem| {
                operation_of(problem.blame.first()).map(|(_, op)| op) == Some(operation)
            };
            for problem in cause.problems.iter().filter(of_it) {
                self.problem(problem, column, text);
            }
        }
        for hint in self.hints(cause) {
            let mut lines = hint.lines();
            if let Some(first) = lines.next() {
                let _ = writeln!(text, "   hint  {first}");
            }
            for line in lines {
                let _ = writeln!(text, "         {line}");
            }
        }
    }

    fn title(&self, cause: &Cause<'_>) -> String {
        match &cause.party {
            None => "a policy of the cluster, whatever the licenses".to_owned(),
            Some(Party::Cluster) => {
                "the namespace, whose own limits are used up or whose objects are missing".to_owned()
            }
            Some(Party::Injected) => "the cluster's admission, which wrote the field".to_owned(),
            Some(Party::Writer(writer)) => self.writer(writer),
        }
    }

    fn writer(&self, writer: &Writer) -> String {
        match writer {
            Writer::Template => match self.site.template() {
                Some(template) => format!("template {}", escape::line(template.source())),
                None => "template".to_owned(),
            },
            Writer::Placeholders(placeholders) => {
                let s = if placeholders.len() > 1 { "s" } else { "" };
                let names: Vec<&str> = placeholders.iter().map(|p| p.text()).collect();
                format!("placeholder{s} {}", names.join(", "))
            }
            Writer::Quota(field) => self.quota(*field),
            Writer::Operation { patch, .. } => match self.rendered.patches.get(*patch) {
                Some(patch) if self.is_what_if(&patch.license) => {
                    format!("what-if license {:?}", patch.title)
                }
                Some(patch) if patch.title.is_empty() => format!("license {}", escape::line(&patch.license)),
                Some(patch) => format!("license {:?} {}", patch.title, escape::line(&patch.license)),
                None => "license".to_owned(),
            },
        }
    }

    fn quota(&self, field: QuotaField) -> String {
        let value = self
            .explained
            .decided_value(field)
            .map_or_else(String::new, |value| format!(" = {value}"));
        let unit = match field {
            QuotaField::MemoryLimit | QuotaField::MemoryRequest => " MB",
            _ => "",
        };
        let mut text = format!("quota {}{value}{unit}", field.name());
        if let Some(why) = self.explained.why(field) {
            for line in escape::fold(&escape::line(&why), WIDTH - 5, 0).lines() {
                text.push_str("\n     ");
                text.push_str(line);
            }
        }
        text
    }

    /// Whether it is the license that the flags made up.
    fn is_what_if(&self, license: &str) -> bool {
        let what_if = self.site.what_if();
        what_if.for_license.is_none() && what_if.candidate_license() == Some(license)
    }

    /// `operation 1 of 2  add /spec/volumes/-`
    fn operation(&self, patch: usize, operation: usize) -> String {
        let operations = self
            .rendered
            .patches
            .get(patch)
            .map_or(&[][..], |patch| patch.operations());
        let what = operations.get(operation).map_or_else(String::new, |of| {
            let (op, path) = (of.op(), of.path());
            format!("  {} {}", escape::line(&op), escape::line(&path))
        });
        format!("operation {} of {}{what}", operation + 1, operations.len())
    }

    /// The field, and what is wrong with it; other writers below.
    fn problem(&self, problem: &Problem, column: usize, text: &mut String) {
        let fault = &problem.fault;
        let mut said = self.said(problem);
        for blame in problem.blame.iter().skip(1) {
            said.push('\n');
            said.push_str(&self.other(blame));
        }
        if !problem.proved {
            said.push_str("\nnot proved");
        }
        if let Some(remark) = remark(fault) {
            said.push('\n');
            said.push_str(remark);
        }
        let shown = shown_field(problem);
        let (mut line, column) = if shown.is_empty() {
            (" ".repeat(INDENT), INDENT)
        } else if escape::width(&shown) > WIDEST {
            let _ = writeln!(text, "{:INDENT$}{shown}", "");
            (" ".repeat(INDENT + 2), INDENT + 2)
        } else {
            (format!("{:INDENT$}{shown:<column$}  ", ""), INDENT + column + 2)
        };
        for piece in said.lines() {
            for part in escape::fold(piece, WIDTH.saturating_sub(column).max(20), 0).lines() {
                line.push_str(part);
                text.push_str(line.trim_end());
                text.push('\n');
                line = " ".repeat(column);
            }
        }
    }

    fn said(&self, problem: &Problem) -> String {
        let fault = &problem.fault;
        let collision =
            fault.message.starts_with("Duplicate value") || fault.message.ends_with("must be unique");
        let value = problem
            .value
            .as_ref()
            .filter(|value| !value.is_object() && !value.is_array());
        if collision
            && let (Some(value), Some(other)) = (value, problem.blame.get(1))
            && let Some(at) = &other.at
        {
            return escape::line(&format!("{value} is taken by {}:", short_field(&parent(at)))).into_owned();
        }
        if let (Kind::LimitRange(range), Some(Value::String(value))) = (&fault.kind, value)
            && !range.bound.is_empty()
        {
            let than = if range.maximum { ">" } else { "<" };
            return escape::line(&format!("{value} {than} {}", range.bound)).into_owned();
        }
        // kubectl's words stand above; here the part that is about the fault.
        let words = fault
            .message
            .split_once(" is forbidden: ")
            .map_or(&*fault.message, |(_, why)| why);
        let words = words
            .split_once("cannot be handled as a Pod: ")
            .map_or(words, |(_, why)| why);
        let mut said = escape::line(words).into_owned();
        if fault.field.is_none()
            && fault.layer == Layer::Decode
            && let Some(value) = value
        {
            said = format!("{}: {said}", escape::line(&value.to_string()));
        }
        said
    }

    fn other(&self, blame: &Blame) -> String {
        let by = match &blame.party {
            Party::Cluster => "the namespace".to_owned(),
            Party::Injected => "admission, which wrote the field".to_owned(),
            Party::Writer(Writer::Operation { patch, operation }) => {
                let of = self.rendered.patches.get(*patch);
                let name = of.map_or_else(String::new, |of| license_name(&of.title, &of.license));
                format!("{name}, operation {}", operation + 1)
            }
            Party::Writer(writer) => self.writer(writer).lines().next().unwrap_or_default().to_owned(),
        };
        escape::line(&by).into_owned()
    }

    fn hints(&self, cause: &Cause<'_>) -> Vec<String> {
        let mut hints = Vec::new();
        let project = &self.rendered.project_id;
        let license = |patch: usize| {
            let license = self.rendered.patches.get(patch)?.license.as_str();
            (!self.is_what_if(license)).then_some(license)
        };
        match &cause.party {
            Some(Party::Writer(Writer::Operation { patch, .. })) => {
                let partner = cause
                    .problems
                    .iter()
                    .flat_map(|problem| problem.blame.iter().skip(1))
                    .filter_map(|blame| operation_of(Some(blame)))
                    .find(|(other, _)| other != patch);
                let command = |id: &str| {
                    let short: String = id.chars().take(8).collect();
                    format!(
                        "kubectl cocalc dry-run {project} \\\n  --drop-license {}",
                        escape::line(&short)
                    )
                };
                if let Some(id) = partner.and_then(|(partner, _)| license(partner)) {
                    hints.push(format!(
                        "the project has both licenses; without one of them this is gone:\n{}",
                        command(id)
                    ));
                } else if let Some(id) = license(*patch) {
                    hints.push(format!("without the license:\n{}", command(id)));
                }
            }
            Some(Party::Writer(Writer::Quota(field))) => {
                let ranges = cause
                    .problems
                    .iter()
                    .find_map(|problem| match &problem.fault.kind {
                        Kind::LimitRange(range) => Some(range),
                        _ => None,
                    });
                if ranges.is_some() {
                    let maximum = self.explained.maximum(*field);
                    hints.push(match maximum {
                        Some(name) => format!("lower {name}, or raise the LimitRange"),
                        None => "lower the licenses' quota or the site's defaults, or raise the LimitRange"
                            .to_owned(),
                    });
                }
            }
            Some(Party::Writer(Writer::Placeholders(placeholders))) => {
                let names: Vec<&str> = placeholders.iter().map(|p| p.name()).collect();
                if let Some(name) = names.first() {
                    hints.push(format!(
                        "to try another value: kubectl cocalc dry-run {project} --set {name}=VALUE"
                    ));
                }
            }
            _ => {}
        }
        hints
    }
}

/// The field at fault: where it stands in the pod, else as the server says.
fn shown_field(problem: &Problem) -> String {
    let first = problem.blame.first();
    let at = first
        .and_then(|blame| blame.at.as_ref())
        .filter(|at| !at.is_empty());
    let shown = match (at, &problem.fault.field) {
        (Some(at), _) => short_field(at),
        (None, Some(field)) => field.clone(),
        (None, None) => String::new(),
    };
    escape::line(&shown).into_owned()
}

fn operation_of(blame: Option<&Blame>) -> Option<(usize, usize)> {
    match blame?.party {
        Party::Writer(Writer::Operation { patch, operation }) => Some((patch, operation)),
        _ => None,
    }
}

fn parent(path: &Path) -> Path {
    path.split_last()
        .map_or_else(Vec::new, |(_, parent)| parent.to_vec())
}

/// A field without what all fields of a project's container begin with.
fn short_field(path: &Path) -> String {
    let field = field_path(path);
    let field = field.strip_prefix("spec.").unwrap_or(&field);
    field.strip_prefix("containers[0].").unwrap_or(field).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_in_the_singular_too() {
        assert_eq!(counted(1, "cause"), "1 cause");
        assert_eq!(counted(2, "cause"), "2 causes");
    }
}
