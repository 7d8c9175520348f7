//! `dry-run`: whether the API server would accept the Pod, and whose fault it is if not.

use std::{cell::RefCell, io::Write as _};

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use crate::{
    check::{self, Finding, InFile, Located, Severity, Told},
    cluster::{RequestError, Session, Validation},
    dry_run::{
        self, Existing, Memory, Outcome, Question,
        concerns::Concerns,
        findings::{dropped, is_refused, lost, other_warnings},
        report::{cocalc_error, report, unasked},
        summary::Summary,
        text::{Cause, Line, LineKind, Teller},
    },
    output::{
        YAML_DOCUMENT_SEPARATOR, escape,
        explain::Explained,
        json as json_output,
        ui::{Output, Progress, Ui},
        yaml,
    },
    patch_diff::as_operations,
    pipeline::{Rendered, STAND_IN, Site, Subject},
    snapshot::OnPatchError,
};

use super::{
    CommandError, Exit,
    cluster::Purpose,
    connection::ConnectionArgs,
    database::Need,
    render::failure_text,
    report::{FailOn, Placed, Report},
    select::ProjectArgs,
    sources::{SourceArgs, WhatIfArgs, no_template, site},
};

/// Ask the API server whether it would accept a project's Pod, and whose fault it is if not
///
/// Renders the Pod as CoCalc will send it and sends it with dryRun=All: the API server checks everything and stores
/// nothing. A refusal is shown in kubectl's words, then traced back to the license and operation, the placeholder, the
/// value of the quota or the field of the template that caused it. Guilt is proved by asking again without the
/// operation in question; since each layer of the server hides the next, one run goes on until all that is wrong is
/// known. The server is asked as CoCalc asks it: it drops a field that no Pod has. An accepted pod that lost a field,
/// that CoCalc would lose, or that may not run (a missing claim, no node that fits; found by GET requests) is told as
/// such.
///
/// Exit codes: 0 accepted; 1 refused, CoCalc itself cannot make the pod, or --fail-on; 2 wrong usage or input, or the
/// server could not be asked.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  # Why does this project not start?
  kubectl cocalc dry-run 11111111-1111-4111-8111-111111111111

  # Would it start with one more license that has this patch?
  kubectl cocalc dry-run --patch-file label.json \\
    11111111-1111-4111-8111-111111111111

  # Would it start without one of its licenses?
  kubectl cocalc dry-run -f site.yaml --drop-license 5e0a9e17 \\
    11111111-1111-4111-8111-111111111111

  # Which projects would not start, as a report for a script?
  kubectl cocalc dry-run --all -q --report jsonl")]
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

    /// What the server does with unknown fields: strict (refuse), warn, ignore; by default what CoCalc gets
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = false,
          default_missing_value = "strict", hide_possible_values = true)]
    validate: Option<Validate>,

    /// Ask at most so many times about one project
    #[arg(long, value_name = "COUNT", default_value = "16", value_parser = at_least_one)]
    max_requests: usize,

    /// Ask about so many projects at once
    #[arg(long, value_name = "COUNT", default_value = "8", value_parser = at_least_one)]
    concurrency: usize,

    /// Do not look for what would keep an accepted pod from running
    #[arg(long)]
    no_lookup: bool,

    /// Leave out the pods that are accepted and fine
    #[arg(short, long)]
    quiet: bool,

    /// Exit with 1 if there is a finding or concern of this severity or a worse one: error, warning, note
    #[arg(long, value_name = "SEVERITY", hide_possible_values = true)]
    fail_on: Option<FailOn>,

    #[command(flatten)]
    sources: SourceArgs,

    #[command(flatten)]
    what_if: WhatIfArgs,
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

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("it is no number".to_owned()),
    }
}

/// What is known of one project.
enum Answer {
    /// It cannot be rendered.
    Error(String),
    /// CoCalc itself cannot make the pod.
    NotMade {
        error: Value,
        text: String,
        findings: Vec<Placed>,
        /// The same for `--report`.
        entries: Vec<Value>,
    },
    /// The server was asked.
    Asked(Box<Asked>),
}

#[derive(Default)]
struct Asked {
    /// That a patch fails, where the pod is sent nevertheless.
    sent_all_the_same: Option<String>,
    outcome: Outcome,
    existing: Option<Existing>,
    /// What will keep it from running, told with who is to blame.
    concerns: Vec<Placed>,
    notes: Vec<String>,
    findings: Vec<Placed>,
    /// The server's warnings that are no findings.
    warnings: Vec<String>,
    /// The findings that the server's refusal tells already.
    refused: Vec<Finding>,
    /// The fields by which CoCalc would have found the pod, if it would lose it.
    lost: Vec<String>,
    /// The fields that the server drops.
    dropped: Vec<String>,
    /// For `--report`.
    report: Option<Value>,
    /// The whole story, for one project.
    lines: Vec<Line>,
    /// For many: each cause in one line, with the words of the server.
    causes: Vec<(Cause, String, String)>,
}

pub(super) fn dry_run(ui: &Ui, connection: &ConnectionArgs, args: &Args) -> Result<Exit, CommandError> {
    if args.sources.offline {
        return Err(CommandError::usage(
            "dry-run and --offline exclude each other: dry-run asks the API server",
        )
        .hint("patch-diff checks a pod offline"));
    }
    let ids = args.projects.ids()?;
    let need = Need::in_memory(&args.projects, &ids);
    let mut sources = args.sources.read_for(ui, &args.what_if, Some(need))?;
    let of = &args.sources;
    sources.add_cluster(ui, connection, of, &args.projects, &ids, Purpose::DryRun)?;
    let site = site(ui, &sources, of, &args.what_if)?;
    let Some(template) = site.template() else {
        return Err(no_template());
    };
    let selection = args.projects.select(ui, &sources, &ids)?;
    if selection
        .subjects
        .iter()
        .any(|subject| subject.project_id == STAND_IN)
    {
        return Err(
            CommandError::usage("there is no project to ask about: the sources hold none")
                .hint("name one, or give a source of projects: --database, -f, or --example"),
        );
    }
    let Some(cluster) = &sources.cluster else {
        return Err(CommandError::usage("there is no cluster to ask"));
    };
    let session = cluster.session();
    let mut run = Run {
        ui,
        args,
        many: selection.many,
        report: Report::new(ui, selection.many),
        out: ui.stdout(),
        printed: 0,
        exit: if sources.unreadable.is_empty() {
            Exit::Done
        } else {
            Exit::Usage
        },
        refused: false,
        worst: None,
        warnings: Vec::new(),
        summary: Summary::default(),
    };
    let of_template = check::template_findings(template);
    run.open()?;
    let progress = selection.many.then(|| ui.progress(selection.subjects.len()));
    let result = cluster.run(all(&mut run, progress, session, &site, &selection.subjects));
    run.close()?;
    result?;
    run.finish(&of_template)
}

/// Asks about all projects, several at once, and takes the answers in order.
async fn all(
    run: &mut Run<'_>,
    mut progress: Option<Progress>,
    session: &Session,
    site: &Site,
    subjects: &[Subject<'_>],
) -> Result<(), CommandError> {
    let (args, many) = (run.args, run.many);
    let memory = RefCell::new(Memory::default());
    let told = RefCell::new(Told::default());
    let concerns = Concerns::new();
    let context = Context {
        args,
        many,
        session,
        site,
        memory: &memory,
        told: &told,
        concerns: &concerns,
        in_file: InFile::of(site),
    };
    let answers = stream::iter(subjects).map(|subject| {
        let context = &context;
        async move { (*subject, context.answer(*subject).await) }
    });
    let mut answers = answers.buffered(args.concurrency);
    while let Some((subject, answer)) = answers.next().await {
        if let Answer::Asked(asked) = &answer
            && let Some(RequestError::Interrupted) = asked.outcome.error
        {
            return Err(RequestError::Interrupted.into());
        }
        if let Some(progress) = &mut progress {
            progress.clear();
        }
        run.take(subject, answer)?;
        if progress.is_some() && run.ui.stdout_width().is_some() {
            // Else the line of the progress would stand before it.
            run.out.flush()?;
        }
        if let Some(progress) = &mut progress {
            progress.advance();
        }
    }
    Ok(())
}

struct Context<'a> {
    args: &'a Args,
    many: bool,
    session: &'a Session,
    site: &'a Site,
    memory: &'a RefCell<Memory>,
    told: &'a RefCell<Told>,
    concerns: &'a Concerns,
    in_file: InFile,
}

impl Context<'_> {
    async fn answer(&self, subject: Subject<'_>) -> Answer {
        let rendered = match self.site.render(subject) {
            Ok(rendered) => rendered,
            Err(error) => return Answer::Error(error.to_string()),
        };
        let mut all = self.told.borrow_mut().all(self.site, subject, &rendered);
        if let (Some(candidate), Ok(pod)) = (&self.site.what_if().patch, rendered.pod.to_value()) {
            all.extend(as_operations(&pod, candidate).map(Located::from));
        }
        let not_made = |text: String, error: Value, all: Vec<Located>| {
            let findings = all.iter().map(|found| self.placed(found, &rendered)).collect();
            let entries = if self.args.report.is_some() {
                let explained = Explained::new(self.site, &rendered);
                all.iter().map(|found| found.to_json(Some(&explained))).collect()
            } else {
                Vec::new()
            };
            Answer::NotMade {
                error,
                text,
                findings,
                entries,
            }
        };
        let mut sent_all_the_same = None;
        if let Some(failure) = &rendered.failure {
            let text = failure_text(&rendered, failure);
            let how = match self.site.assumptions().on_patch_error {
                OnPatchError::Abort => {
                    return not_made(text, cocalc_error(&rendered).unwrap_or_default(), all);
                }
                OnPatchError::Unpatched => "without patches",
                OnPatchError::Half => "half-patched",
            };
            sent_all_the_same = Some(format!(
                "a patch fails, and the pod is sent {how} (assumptions.on_patch_error): {text}"
            ));
        }
        let pod = match rendered.pod.to_value() {
            Ok(pod) => pod,
            Err(error) => {
                let text = format!("the patched pod cannot be sent: {error}");
                return not_made(text, json!({"message": error.to_string()}), all);
            }
        };
        let mut asked = self.ask(&rendered, &pod, all).await;
        asked.sent_all_the_same = sent_all_the_same;
        Answer::Asked(Box::new(asked))
    }

    fn placed(&self, found: &Located, rendered: &Rendered) -> Placed {
        let place = self.in_file.place(found, rendered).map(str::to_owned);
        (place, found.told(rendered))
    }

    async fn ask(&self, rendered: &Rendered, pod: &Value, all: Vec<Located>) -> Asked {
        let args = self.args;
        let assumed = self.site.assumptions().field_validation;
        let validation = args.validate.map_or_else(|| assumed.into(), Validation::from);
        let question = Question {
            site: self.site,
            rendered,
            validation,
            max_requests: args.max_requests,
            want_pod: matches!(args.output, Some(Format::Yaml | Format::Json)),
        };
        let outcome = dry_run::ask(self.session, question, self.memory).await;
        let namespace = self.session.namespace();
        let mut asked = Asked::default();
        if outcome.exists {
            asked.existing = Some(Existing::of(self.session, namespace, pod).await);
        }
        let mut concerns = Vec::new();
        if outcome.accepted == Some(true) && !args.no_lookup {
            (concerns, asked.notes) = self
                .concerns
                .of(
                    self.session,
                    namespace,
                    self.site,
                    rendered,
                    outcome.pod.as_ref().unwrap_or(pod),
                )
                .await;
        }
        let all = dry_run::findings::findings(all, rendered, validation, &outcome);
        let (refused, others): (Vec<&Located>, Vec<&Located>) =
            all.iter().partition(|found| is_refused(&outcome, found));
        asked.refused = refused.iter().map(|found| found.told(rendered)).collect();
        asked.findings = others.iter().map(|found| self.placed(found, rendered)).collect();
        asked.concerns = concerns
            .iter()
            .map(|concern| (None, concern.told(rendered)))
            .collect();
        let others = other_warnings(&all, pod, &outcome);
        asked.warnings = others.into_iter().map(str::to_owned).collect();
        asked.lost = lost(&all).map(|found| found.field().to_owned()).collect();
        let dropped = outcome.warnings.iter().filter_map(|text| dropped(text));
        asked.dropped = dropped.map(str::to_owned).collect();
        if args.report.is_some() {
            let explained = Explained::new(self.site, rendered);
            asked.report = Some(report(&dry_run::report::Told {
                rendered,
                explained: &explained,
                outcome: &outcome,
                existing: asked.existing.as_ref(),
                concerns: &concerns,
                findings: &all,
            }));
        } else if outcome.accepted == Some(false) {
            let explained = Explained::new(self.site, rendered);
            let teller = Teller {
                rendered,
                explained: &explained,
                namespace,
                max_requests: args.max_requests,
                findings: &all,
            };
            if self.many {
                let causes = teller.causes(&outcome);
                let told = causes.into_iter().flat_map(|(cause, problems)| {
                    problems.into_iter().map(move |problem| (cause.clone(), problem))
                });
                asked.causes = told
                    .map(|(cause, problem)| (cause, teller.short(problem), teller.words(problem)))
                    .collect();
            } else {
                asked.lines = teller.refused(&outcome);
            }
        }
        asked.outcome = outcome;
        asked
    }
}

impl Asked {
    /// kubectl's word, unless there is such a pod already or something is not fine.
    fn accepted_text(&self, but: Option<&str>) -> String {
        let but = but.unwrap_or_default();
        match &self.existing {
            Some(existing) => format!("accepted (server dry run; {existing}){but}"),
            None if but.is_empty() => "created (server dry run)".to_owned(),
            None => format!("accepted (server dry run){but}"),
        }
    }

    /// What is not fine with an accepted pod.
    fn but(&self) -> Option<String> {
        let mut all = Vec::new();
        if !self.lost.is_empty() {
            all.push(format!("CoCalc would lose it: {}", self.lost.join(", ")));
        }
        if !self.dropped.is_empty() {
            all.push(format!("the server drops {}", self.dropped.join(", ")));
        }
        if !self.concerns.is_empty() {
            all.push("it may not run".to_owned());
        }
        (!all.is_empty()).then(|| escape::line(&format!(", but {}", all.join("; "))).into_owned())
    }
}

struct Run<'a> {
    ui: &'a Ui,
    args: &'a Args,
    many: bool,
    report: Report<'a>,
    out: Output,
    printed: usize,
    exit: Exit,
    /// Whether the server refuses a pod, or CoCalc cannot make it.
    refused: bool,
    /// The worst concern.
    worst: Option<Severity>,
    /// Warnings of the server, each told once.
    warnings: Vec<String>,
    summary: Summary,
}

impl Run<'_> {
    fn open(&mut self) -> Result<(), CommandError> {
        if self.many {
            match (self.args.report, self.args.output) {
                (Some(ReportFormat::Json), _) => self.out.text("[\n")?,
                (_, Some(Format::Json)) => self
                    .out
                    .text("{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n")?,
                _ => {}
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), CommandError> {
        if self.many {
            match (self.args.report, self.args.output) {
                (Some(ReportFormat::Json), _) => self.out.text("\n]\n")?,
                (_, Some(Format::Json)) => self.out.text(
                    "\n    ],\n    \"kind\": \"List\",\n    \"metadata\": {\n        \"resourceVersion\": \"\"\n    }\n}\n",
                )?,
                _ => {}
            }
        }
        self.out.flush()?;
        Ok(())
    }

    fn take(&mut self, subject: Subject<'_>, answer: Answer) -> Result<(), CommandError> {
        let id = subject.project_id;
        match answer {
            Answer::Error(error) => {
                self.summary.not_asked += 1;
                self.exit = self.exit.worst(Exit::Usage);
                if self.args.report.is_some() {
                    return self.print_report(&unasked(id, &[], "error", &Value::from(error)));
                }
                self.report.error(id, error);
            }
            Answer::NotMade {
                error,
                text,
                findings,
                entries,
            } => {
                self.summary.not_made += 1;
                self.refused = true;
                self.exit = self.exit.worst(Exit::No);
                self.tell(id, findings);
                if self.args.report.is_some() {
                    return self.print_report(&unasked(id, &entries, "cocalc_error", &error));
                }
                if self.many && self.args.output.is_none() {
                    self.out
                        .text(&format!("pod/project-{id} cannot be made by CoCalc\n"))?;
                }
                self.report
                    .error(id, format!("CoCalc cannot make the pod: {text}"));
            }
            Answer::Asked(asked) => self.take_asked(id, &asked)?,
        }
        Ok(())
    }

    /// The verdict first: a refusal begins with kubectl's words. Findings follow.
    fn take_asked(&mut self, id: &str, asked: &Asked) -> Result<(), CommandError> {
        self.verdict(id, asked)?;
        if let Some(error) = &asked.sent_all_the_same {
            self.report.error(id, error.clone());
        }
        if check::candidate_is_dropped(asked.findings.iter().map(|(_, finding)| finding)) {
            self.refused = true;
            self.exit = self.exit.worst(Exit::No);
        }
        self.tell(id, asked.findings.clone());
        self.tell(id, asked.concerns.clone());
        self.worst = self
            .worst
            .max(asked.refused.iter().map(|found| found.severity).max());
        Ok(())
    }

    /// Prints findings, unless the report holds them, and keeps the worst.
    fn tell(&mut self, id: &str, findings: Vec<Placed>) {
        for (place, finding) in findings {
            self.worst = self.worst.max(Some(finding.severity));
            if self.args.report.is_none() {
                self.report.add_at(id, place.as_deref(), finding);
            }
        }
    }

    fn verdict(&mut self, id: &str, asked: &Asked) -> Result<(), CommandError> {
        let outcome = &asked.outcome;
        match (outcome.accepted, &outcome.error) {
            (_, Some(_)) | (None, None) => {
                self.summary.not_asked += 1;
                self.exit = self.exit.worst(Exit::Usage);
            }
            (Some(true), None) => {
                self.summary.accepted += 1;
                self.summary.lost += usize::from(!asked.lost.is_empty());
                self.summary.dropped += usize::from(!asked.dropped.is_empty());
                self.summary.not_running += usize::from(!asked.concerns.is_empty());
            }
            (Some(false), None) => {
                self.summary.refused += 1;
                self.refused = true;
                self.exit = self.exit.worst(Exit::No);
            }
        }
        if let Some(report) = &asked.report {
            let is_fine = outcome.accepted == Some(true) && asked.but().is_none();
            if !(self.args.quiet && is_fine) {
                self.print_report(report)?;
            }
            return Ok(());
        }
        for warning in &asked.warnings {
            if !self.warnings.contains(warning) {
                self.ui.server_warning(warning);
                self.warnings.push(warning.clone());
            }
        }
        for note in &asked.notes {
            self.ui.note(note);
        }
        if let Some(error) = &outcome.error {
            if self.many {
                self.report.error(id, error.to_string());
            } else {
                self.ui.plain(&error.to_string());
                if let Some(hint) = error.hint() {
                    self.ui.hint(&hint);
                }
            }
            return Ok(());
        }
        if outcome.accepted == Some(true) {
            return self.accepted(id, asked);
        }
        if self.many {
            let heads = self.summary.add(id, &asked.causes);
            if self.args.output.is_none() {
                let heads = heads.join("; ");
                self.out
                    .text(&format!("pod/project-{id} refused (server dry run): {heads}\n"))?;
            }
        } else {
            print_lines(self.ui, &asked.lines);
        }
        Ok(())
    }

    fn accepted(&mut self, id: &str, asked: &Asked) -> Result<(), CommandError> {
        match (self.args.output, &asked.outcome.pod) {
            (None, _) => {
                let but = asked.but();
                if but.is_some() || !self.args.quiet {
                    let verdict = asked.accepted_text(but.as_deref());
                    self.out.text(&format!("pod/project-{id} {verdict}\n"))?;
                }
            }
            (Some(Format::Name), _) => self.out.text(&format!("pod/project-{id}\n"))?,
            (Some(format), Some(pod)) => {
                let pod = without_managed_fields(pod);
                let between = match format {
                    Format::Json => ",\n",
                    _ => YAML_DOCUMENT_SEPARATOR,
                };
                if self.printed > 0 {
                    self.out.text(between)?;
                }
                let text = match format {
                    Format::Json if self.many => {
                        let text = json_output::pretty(&pod);
                        let indented: Vec<String> = text
                            .trim_end()
                            .lines()
                            .map(|line| format!("        {line}"))
                            .collect();
                        indented.join("\n")
                    }
                    Format::Json => json_output::pretty(&pod),
                    _ => yaml::write(&pod),
                };
                self.out.text(&text)?;
                self.printed += 1;
            }
            (Some(_), None) => {}
        }
        Ok(())
    }

    fn print_report(&mut self, report: &Value) -> Result<(), CommandError> {
        match self.args.report {
            Some(ReportFormat::Jsonl) => {
                self.out.text(&json_output::compact(report))?;
                self.out.text("\n")?;
            }
            _ => {
                if self.printed > 0 {
                    self.out.text(",\n")?;
                }
                let text = json_output::pretty(report);
                self.out.text(if self.many { text.trim_end() } else { &text })?;
            }
        }
        self.printed += 1;
        Ok(())
    }

    fn finish(mut self, of_template: &[Finding]) -> Result<Exit, CommandError> {
        self.out.finish()?;
        self.report.for_all(of_template);
        print_lines(self.ui, &self.summary.causes());
        let worst = self.report.finish().max(self.worst);
        if self.many && self.args.report.is_none() {
            self.ui.plain(&self.summary.to_string());
        }
        let Some(fail_on) = self.args.fail_on else {
            return Ok(self.exit);
        };
        let found = worst.is_some_and(|worst| worst >= fail_on.into());
        Ok(if self.exit == Exit::Usage {
            self.exit
        } else if found || self.refused {
            Exit::No
        } else {
            Exit::Done
        })
    }
}

fn print_lines(ui: &Ui, lines: &[Line]) {
    for line in lines {
        match line.kind {
            LineKind::Plain => ui.clean_line(&line.text),
            LineKind::Cause => ui.head_line(&line.text),
            LineKind::Hint => ui.hint_line(&line.text),
        }
    }
}

/// As kubectl prints it.
fn without_managed_fields(pod: &Value) -> Value {
    let mut pod = pod.clone();
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    pod
}
