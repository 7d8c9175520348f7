//! `dry-run`: whether the API server would accept a project's pod, and whose fault it is if not.

use std::{cell::RefCell, io::Write as _, num::NonZeroUsize};

use futures_util::{StreamExt as _, stream};
use serde_json::Value;

use crate::{
    check::{self, Finding, Told},
    cluster::{Cluster, Session, Validation},
    dry_run::{
        Memory, Outcome, Question, ask,
        concerns::{Concern, Concerns},
        report, text,
    },
    output::{YAML_DOCUMENT_SEPARATOR, escape, explain::Explained, json as json_output, ui::Ui, yaml},
    pipeline::{Rendered, STAND_IN, Site, Subject},
    snapshot::OnPatchError,
};

use super::{
    CommandError, Exit,
    connection::ConnectionArgs,
    render::{failure_text, indented},
    report::{FailOn, Report},
    select::ProjectArgs,
    sources::{SourceArgs, WhatIfArgs, site},
};

/// Ask the API server whether it would accept a project's pod, and say whose fault it is if not
///
/// Computes the pod that CoCalc will create and sends it with dryRun=All: nothing is created. A refusal is printed
/// in kubectl's words, then translated back to the license operation, placeholder, quota value or template field
/// that caused it. That is proved by leaving it out and asking again, and so is what else is wrong behind it.
///
/// Exit codes: 0 accepted; 1 refused, or CoCalc itself could not make the pod; 2 wrong usage or input, or the
/// server could not be asked.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  # Would the project start?
  kubectl cocalc dry-run -f site.yaml 11111111-1111-4111-8111-111111111111

  # Would it start with one more license?
  kubectl cocalc dry-run -f site.yaml --add-license 0b5e91c2 11111111-1111-4111-8111-111111111111

  # All projects, refusals only, one report a line
  kubectl cocalc dry-run -f site.yaml --all -q --report jsonl")]
pub(super) struct Args {
    #[command(flatten)]
    projects: ProjectArgs,

    /// Print the pod as the server would store it: yaml, json, name
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        hide_possible_values = true,
        conflicts_with = "report"
    )]
    output: Option<Format>,

    /// Print a report instead: json, jsonl
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    report: Option<ReportFormat>,

    /// What becomes of unknown fields: strict (or true), warn, ignore (or false)
    #[arg(long, value_name = "MODE", default_value = "strict", hide_possible_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "strict")]
    validate: Validate,

    /// How many requests may be made for each project
    #[arg(long, value_name = "COUNT", default_value = "16")]
    max_requests: NonZeroUsize,

    /// How many projects are asked about at once
    #[arg(long, value_name = "COUNT", default_value = "8")]
    concurrency: NonZeroUsize,

    /// Leave out the accepted
    #[arg(short, long)]
    quiet: bool,

    /// Do not look for what keeps an accepted pod from running
    #[arg(long)]
    no_lookup: bool,

    /// Exit with 1 if there is a finding or concern of this severity or a worse one: error, warning, note
    #[arg(long, value_name = "SEVERITY", hide_possible_values = true)]
    fail_on: Option<FailOn>,

    #[command(flatten)]
    sources: SourceArgs,

    #[command(flatten)]
    what_if: WhatIfArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Yaml,
    Json,
    Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ReportFormat {
    Json,
    Jsonl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Validate {
    #[value(alias = "true")]
    Strict,
    Warn,
    #[value(alias = "false")]
    Ignore,
}

impl From<Validate> for Validation {
    fn from(validate: Validate) -> Self {
        match validate {
            Validate::Strict => Self::Strict,
            Validate::Warn => Self::Warn,
            Validate::Ignore => Self::Ignore,
        }
    }
}

/// How one project ended.
enum Ending {
    Accepted,
    Refused,
    /// CoCalc cannot make the pod.
    Unmade,
    Unasked,
}

/// One project's answer.
struct Answer {
    project_id: String,
    ending: Ending,
    /// For stdout.
    result: Option<Value>,
    line: String,
    findings: Vec<Finding>,
    warnings: Vec<String>,
    /// What could not be looked at.
    notes: Vec<String>,
    /// For stderr: what went wrong before or instead of asking.
    errors: Vec<String>,
    refusal: String,
    causes: Vec<String>,
}

pub(super) fn dry_run(ui: &Ui, args: &Args) -> Result<Exit, CommandError> {
    let ids = args.projects.ids()?;
    let sources = args.sources.read(ui, &args.what_if)?;
    let site = site(ui, &sources, &args.sources, &args.what_if)?;
    let Some(template) = site.template() else {
        return Err(CommandError::usage("there is no template to render").hint(
            "kubectl get configmap project-pod -o yaml | kubectl cocalc dry-run -f - …, or --example for the built-in one",
        ));
    };
    let selection = args.projects.select(ui, &sources, &ids)?;
    if selection
        .subjects
        .iter()
        .any(|subject| subject.project_id == STAND_IN)
    {
        return Err(CommandError::usage(
            "dry-run needs a project: the stand-in's placeholders have no values",
        )
        .hint("name a PROJECT, and give a file with `projects` by -f, or --unknown-project"));
    }
    let many = selection.many;
    let mut told = Report::new(ui, many);
    told.for_all(&check::template_findings(template));
    let stdin_used = args.sources.filename.iter().any(|file| file.as_os_str() == "-")
        || args
            .what_if
            .patch_file
            .as_deref()
            .is_some_and(|file| file.as_os_str() == "-");
    let cluster = args.connection.connect(ui, stdin_used)?;
    run(ui, args, &site, &cluster, &selection.subjects, many, told)
}

fn run(
    ui: &Ui,
    args: &Args,
    site: &Site,
    cluster: &Cluster,
    subjects: &[Subject<'_>],
    many: bool,
    mut told: Report<'_>,
) -> Result<Exit, CommandError> {
    let (open, between, close) = frame(args, many);
    let mut out = ui.stdout();
    out.write_all(open)?;
    let memory = RefCell::new(Memory::default());
    let licenses_told = RefCell::new(Told::default());
    let lookup = Concerns::new();
    let session = cluster.session();
    let mut tally = Tally::default();
    let finished: Result<(), CommandError> = cluster.run(async {
        let mut answers = stream::iter(subjects)
            .map(|subject| {
                let concerns = (!args.no_lookup).then_some(&lookup);
                project(args, site, session, *subject, &memory, &licenses_told, concerns)
            })
            .buffered(args.concurrency.get());
        while let Some(answer) = answers.next().await {
            if many {
                ui.progress("");
            }
            for error in &answer.errors {
                told.error(&answer.project_id, error.clone());
            }
            told.add(&answer.project_id, answer.findings.clone());
            for warning in &answer.warnings {
                if many {
                    let finding = Finding::new("dry-run", check::Severity::Warning, warning.as_str());
                    told.add(&answer.project_id, vec![finding]);
                } else {
                    ui.warning(warning);
                }
            }
            for note in &answer.notes {
                ui.note(note);
            }
            tally.add(&answer);
            if !many && !answer.refusal.is_empty() {
                ui.plain(&answer.refusal);
            }
            if let Some(result) = &answer.result {
                if tally.printed > 0 {
                    out.write_all(between)?;
                }
                tally.printed += 1;
                out.text(&shown(args, many, result))?;
            } else if !answer.line.is_empty() {
                out.text(&answer.line)?;
            }
            if many {
                ui.progress(&format!("{} of {} projects", tally.count(), subjects.len()));
            }
        }
        if many {
            ui.progress("");
        }
        Ok(())
    });
    finished?;
    out.write_all(close)?;
    out.finish()?;
    let worst = told.finish();
    if many {
        tally.tell(ui);
    }
    let mut exit = tally.exit();
    if let Some(fail_on) = args.fail_on {
        let found = worst.is_some_and(|worst| worst >= fail_on.into())
            || (tally.warned && check::Severity::Warning >= fail_on.into());
        if found {
            exit = exit.worst(Exit::No);
        }
    }
    Ok(exit)
}

/// What became of all projects.
#[derive(Default)]
struct Tally {
    accepted: usize,
    refused: usize,
    unmade: usize,
    unasked: usize,
    printed: usize,
    warned: bool,
    dropped: bool,
    /// Causes in the order in which they were found: kubectl's words with who is at fault, how many projects, the
    /// first three.
    causes: Vec<(String, String, usize, Vec<String>)>,
}

impl Tally {
    fn count(&self) -> usize {
        self.accepted + self.refused + self.unmade + self.unasked
    }

    fn add(&mut self, answer: &Answer) {
        match answer.ending {
            Ending::Accepted => self.accepted += 1,
            Ending::Refused => self.refused += 1,
            Ending::Unmade => self.unmade += 1,
            Ending::Unasked => self.unasked += 1,
        }
        self.warned |= !answer.warnings.is_empty();
        self.dropped |= check::candidate_is_dropped(&answer.findings);
        for cause in &answer.causes {
            let at = match self.causes.iter().position(|(name, ..)| name == cause) {
                Some(at) => at,
                None => {
                    self.causes
                        .push((cause.clone(), answer.refusal.clone(), 0, Vec::new()));
                    self.causes.len() - 1
                }
            };
            if let Some((_, _, count, first)) = self.causes.get_mut(at) {
                *count += 1;
                if first.len() < 3 {
                    first.push(answer.project_id.clone());
                }
            }
        }
    }

    fn exit(&self) -> Exit {
        if self.unasked > 0 {
            Exit::Usage
        } else if self.refused + self.unmade > 0 || self.dropped {
            Exit::No
        } else {
            Exit::Done
        }
    }

    /// Each cause once, with the refusal of the first project that has it, then the sum.
    fn tell(&self, ui: &Ui) {
        let mut told: Vec<&str> = Vec::new();
        for (cause, refusal, count, first) in &self.causes {
            if !told.contains(&refusal.as_str()) {
                ui.plain(refusal);
                told.push(refusal);
            }
            let s = if *count == 1 { "" } else { "s" };
            let more = if *count > first.len() { ", …" } else { "" };
            ui.plain(&format!(
                "{cause}: {count} project{s}: {}{more}\n",
                first.join(", ")
            ));
        }
        let s = if self.count() == 1 { "" } else { "s" };
        let mut sum = format!("{} project{s}: {} accepted", self.count(), self.accepted);
        if self.refused > 0 {
            sum.push_str(&format!(", {} refused", self.refused));
        }
        if self.unmade > 0 {
            sum.push_str(&format!(", {} CoCalc cannot make", self.unmade));
        }
        if self.unasked > 0 {
            sum.push_str(&format!(", {} could not be asked about", self.unasked));
        }
        ui.plain(&sum);
    }
}

async fn project(
    args: &Args,
    site: &Site,
    session: &Session,
    subject: Subject<'_>,
    memory: &RefCell<Memory>,
    licenses_told: &RefCell<Told>,
    lookup: Option<&Concerns>,
) -> Answer {
    let mut answer = Answer {
        project_id: subject.project_id.to_owned(),
        ending: Ending::Unasked,
        result: None,
        line: String::new(),
        findings: Vec::new(),
        warnings: Vec::new(),
        notes: Vec::new(),
        errors: Vec::new(),
        refusal: String::new(),
        causes: Vec::new(),
    };
    let rendered = match site.render(subject) {
        Ok(rendered) => rendered,
        Err(error) => {
            let error = error.to_string();
            if args.report.is_some() {
                answer.result = Some(report::error_report(subject.project_id, &error));
            }
            answer.errors.push(error);
            return answer;
        }
    };
    answer.findings = licenses_told.borrow_mut().findings(site, subject, &rendered);
    if let Some(failure) = &rendered.failure {
        let told = failure_text(&rendered, failure);
        if site.assumptions().on_patch_error == OnPatchError::Abort {
            answer.ending = Ending::Unmade;
            answer.errors.push(format!("CoCalc cannot make the pod: {told}"));
            if args.report.is_some() {
                answer.result = Some(report::cocalc_report(subject.project_id, &rendered, failure));
            }
            return answer;
        }
        answer.errors.push(format!(
            "a patch fails, and the pod is sent all the same (assumptions.on_patch_error): {told}"
        ));
    }
    if let Err(error) = rendered.pod.to_value() {
        let error = format!("the patched pod cannot be sent: {error}");
        answer.ending = Ending::Unmade;
        if args.report.is_some() {
            answer.result = Some(report::unsendable_report(subject.project_id, &error));
        }
        answer.errors.push(error);
        return answer;
    }
    let question = Question {
        site,
        rendered: &rendered,
        validation: args.validate.into(),
        max_requests: args.max_requests.get(),
        want_pod: matches!(args.output, Some(Format::Yaml | Format::Json)),
    };
    let outcome = ask(session, question, memory).await;
    let mut concerns = Vec::new();
    if let (Some(lookup), Some(true), Ok(pod)) = (lookup, outcome.accepted, rendered.pod.to_value()) {
        (concerns, answer.notes) = lookup
            .of(session, session.namespace(), site, &rendered, &pod)
            .await;
    }
    tell(args, site, &rendered, &outcome, &concerns, &mut answer);
    answer
}

fn tell(
    args: &Args,
    site: &Site,
    rendered: &Rendered,
    outcome: &Outcome,
    concerns: &[Concern],
    answer: &mut Answer,
) {
    let name = rendered
        .pod
        .to_value()
        .ok()
        .and_then(|pod| Some(pod.pointer("/metadata/name")?.as_str()?.to_owned()))
        .unwrap_or_else(|| format!("project-{}", rendered.project_id));
    answer.warnings.clone_from(&outcome.warnings);
    let told = concerns
        .iter()
        .map(|concern| format!("{}: {}", concern.field, concern.message));
    answer.warnings.extend(told);
    answer.ending = match outcome.accepted {
        Some(true) => Ending::Accepted,
        Some(false) => Ending::Refused,
        None => Ending::Unasked,
    };
    if let Some(error) = &outcome.error {
        let error = error.to_string();
        answer
            .errors
            .push(error.strip_prefix("error: ").unwrap_or(&error).to_owned());
    }
    if outcome.accepted == Some(false) || !outcome.rounds.is_empty() {
        answer.refusal = text::refusal(outcome, site, rendered);
        answer.causes = text::cause_names(outcome, rendered);
    }
    let accepted = outcome.accepted == Some(true);
    if args.report.is_some() {
        if !(args.quiet && accepted) {
            let explained = Explained::new(site, rendered);
            answer.result = Some(report::report(
                &rendered.project_id,
                outcome,
                &explained,
                concerns,
            ));
        }
        return;
    }
    if !accepted || (args.quiet && args.output.is_none()) {
        return;
    }
    match args.output {
        Some(Format::Yaml | Format::Json) => answer.result.clone_from(&outcome.pod),
        Some(Format::Name) => answer.line = format!("pod/{}\n", escape::line(&name)),
        None if outcome.running => {
            answer.line = format!(
                "pod/{} accepted (server dry run; it is running now)\n",
                escape::line(&name)
            );
        }
        None => answer.line = format!("pod/{} created (server dry run)\n", escape::line(&name)),
    }
}

fn shown(args: &Args, many: bool, value: &Value) -> String {
    match (args.output, args.report) {
        (_, Some(ReportFormat::Jsonl)) => format!("{}\n", json_output::compact(value)),
        (_, Some(ReportFormat::Json)) if many => indented(&json_output::pretty(value), 1),
        (Some(Format::Json), _) if many => indented(&json_output::pretty(value), 2),
        (Some(Format::Yaml), _) => yaml::write(value),
        _ => json_output::pretty(value),
    }
}

/// What stands before, between and after the results.
fn frame(args: &Args, many: bool) -> (&'static [u8], &'static [u8], &'static [u8]) {
    match (args.output, args.report) {
        (Some(Format::Yaml), _) if many => (b"", YAML_DOCUMENT_SEPARATOR.as_bytes(), b""),
        (_, Some(ReportFormat::Json)) if many => (b"[\n", b",\n", b"\n]\n"),
        (Some(Format::Json), _) if many => (
            b"{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n",
            b",\n",
            b"\n    ],\n    \"kind\": \"List\",\n    \"metadata\": {\n        \"resourceVersion\": \"\"\n    }\n}\n",
        ),
        _ => (b"", b"", b""),
    }
}
