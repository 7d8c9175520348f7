//! `render`: the Pod that CoCalc will create.

use std::{borrow::Cow, io::Write as _};

use serde_json::Value;

use crate::{
    check::{self, InFile, Located, Severity, Told},
    json_patch::Unsendable,
    output::{YAML_DOCUMENT_SEPARATOR, explain::Explained, json as json_output, kyaml, ui::Ui, yaml},
    pipeline::{Failure, Rendered, Site, Subject},
    snapshot::OnPatchError,
};

use super::{
    CommandError, Exit,
    cluster::Purpose,
    connection::ConnectionArgs,
    database::Need,
    leave,
    report::{FailOn, Placed, Report},
    select::ProjectArgs,
    sources::{SourceArgs, WhatIfArgs, no_template, site},
};

/// Show the Pod that CoCalc will create for a project
///
/// Fills the template, judges the project's licenses as CoCalc's license hook does, computes the quota, puts it
/// into the pod and applies the licenses' JSON Patches with fast-json-patch's semantics, in CoCalc's order.
/// What files (-f), --example and --database do not give comes from the cluster; with a template from a file no
/// cluster is contacted.
///
/// Exit codes: 0 done; 1 CoCalc itself could not make the pod, or a finding is as severe as --fail-on says;
/// 2 wrong usage or input.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  # The pod of the built-in example, with who wrote each field
  kubectl cocalc render --example --explain

  # A project, with the template of the cluster and the rest from a file
  kubectl get configmap project-pod -o yaml | \\
    kubectl cocalc render -f - -f site.yaml 11111111-1111-4111-8111-111111111111

  # What would one more license with this patch do?
  kubectl cocalc render --example -p \\
    '[{\"op\":\"add\",\"path\":\"/metadata/labels/a\",\"value\":\"b\"}]'

  # All projects, one JSON object a line
  kubectl cocalc render -f project-pod.yaml -f site.yaml --all -o jsonl")]
pub(super) struct Args {
    #[command(flatten)]
    projects: ProjectArgs,

    /// Output format: yaml, json, jsonl, kyaml, name
    ///
    /// Several projects give YAML documents separated by ---, a v1 List in json, or one object a line in jsonl,
    /// which is written as it is computed.
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "yaml",
        hide_possible_values = true
    )]
    output: Format,

    /// Say for every field who wrote it: comments in yaml, a provenance list in json and jsonl
    #[arg(long)]
    explain: bool,

    /// Print the half-done pod when a patch fails
    #[arg(long)]
    keep_going: bool,

    /// Exit with 1 if there is a finding of this severity or a worse one: error, warning, note
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
    Jsonl,
    Kyaml,
    Name,
}

/// One project's answer.
struct Answer {
    project_id: String,
    /// What goes to stdout, if there is a pod.
    text: Vec<u8>,
    findings: Vec<Placed>,
    /// Why there is no pod, or that a patch failed.
    errors: Vec<String>,
    exit: Exit,
    patch_failed: bool,
}

pub(super) fn render(ui: &Ui, connection: &ConnectionArgs, args: &Args) -> Result<Exit, CommandError> {
    if args.explain && matches!(args.output, Format::Kyaml | Format::Name) {
        return Err(CommandError::usage("--explain goes with -o yaml, json or jsonl"));
    }
    let ids = args.projects.ids()?;
    let need = Need {
        projects: &args.projects,
        ids: &ids,
        streams: true,
        run_quota: false,
    };
    let mut sources = args.sources.read_for(ui, &args.what_if, Some(need))?;
    sources.add_cluster(
        ui,
        connection,
        &args.sources,
        &args.projects,
        &ids,
        Purpose::Render,
    )?;
    let site = site(ui, &sources, &args.sources, &args.what_if)?;
    let Some(template) = site.template() else {
        return Err(no_template());
    };
    let selection = args.projects.select(ui, &sources, &ids)?;
    let many = selection.many;
    let in_file = InFile::of(&site);
    let mut report = Report::new(ui, many);
    report.for_all(&check::template_findings(template));
    let mut out = ui.stdout();
    let (mut exit, mut patch_failed, mut printed) = (Exit::Done, false, 0_usize);
    let (open, between, close) = frame(args, many);
    out.write_all(open)?;
    selection.answers(
        ui,
        &site,
        Told::default,
        |site, told, subject| answer(site, subject, args, many, told, &in_file),
        |error| Answer {
            errors: vec![error.to_string()],
            exit: Exit::Usage,
            ..Answer::of(&error.project_id)
        },
        |answer| {
            for error in answer.errors {
                report.error(&answer.project_id, error);
            }
            for (place, finding) in answer.findings {
                report.add_at(&answer.project_id, place.as_deref(), finding);
            }
            exit = exit.worst(answer.exit);
            patch_failed |= answer.patch_failed;
            if !answer.text.is_empty() {
                if printed > 0 {
                    out.write_all(between)?;
                }
                printed += 1;
                out.write_all(&answer.text)?;
            }
            Ok(())
        },
    )?;
    out.write_all(close)?;
    out.finish()?;
    let worst = report.finish();
    if let Some(fail_on) = args.fail_on {
        let found = worst.is_some_and(|worst| worst >= fail_on.into());
        exit = if exit == Exit::Usage {
            exit
        } else if found || patch_failed {
            Exit::No
        } else {
            Exit::Done
        };
    }
    leave((site, sources));
    Ok(exit)
}

/// What stands before, between and after the pods.
fn frame(args: &Args, many: bool) -> (&'static [u8], &'static [u8], &'static [u8]) {
    match (args.output, many) {
        (Format::Yaml, true) => (b"", YAML_DOCUMENT_SEPARATOR.as_bytes(), b""),
        (Format::Json, true) if args.explain => (b"[\n", b",\n", b"\n]\n"),
        (Format::Json, true) => (
            b"{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n",
            b",\n",
            b"\n    ],\n    \"kind\": \"List\",\n    \"metadata\": {\n        \"resourceVersion\": \"\"\n    }\n}\n",
        ),
        _ => (b"", b"", b""),
    }
}

impl Answer {
    fn of(project_id: &str) -> Self {
        Self {
            project_id: project_id.to_owned(),
            text: Vec::new(),
            findings: Vec::new(),
            errors: Vec::new(),
            exit: Exit::Done,
            patch_failed: false,
        }
    }
}

fn answer(
    site: &Site,
    subject: Subject<'_>,
    args: &Args,
    many: bool,
    told: &mut Told,
    in_file: &InFile,
) -> Answer {
    let mut answer = Answer::of(subject.project_id);
    let rendered = match site.render(subject) {
        Ok(rendered) => rendered,
        Err(error) => {
            answer.errors.push(error.to_string());
            answer.exit = Exit::Usage;
            return answer;
        }
    };
    let findings = told.findings(site, subject, &rendered);
    if check::candidate_is_dropped(&findings) {
        answer.exit = Exit::No;
    }
    let mut findings: Vec<Located> = findings.into_iter().map(Located::from).collect();
    // For many projects at once it would cost more than rendering them.
    if !many || args.fail_on.is_some() {
        // That an operation does nothing is told of every project.
        let review = check::review(site, &rendered).into_iter();
        let review = review.filter(|found| found.finding.rule != check::operations::WITHOUT_EFFECT);
        findings.extend(review.filter(|found| found.finding.severity > Severity::Note));
    }
    let placed = |found: &Located| {
        let place = in_file.place(found, &rendered).map(str::to_owned);
        (place, found.told(&rendered))
    };
    answer.findings = findings.iter().map(placed).collect();
    let mut print = true;
    if let Some(failure) = &rendered.failure {
        answer.patch_failed = true;
        let told = failure_text(&rendered, failure);
        match site.assumptions().on_patch_error {
            OnPatchError::Abort => {
                answer.errors.push(format!("CoCalc cannot make the pod: {told}"));
                answer.exit = Exit::No;
                print = args.keep_going;
            }
            OnPatchError::Unpatched => answer.errors.push(format!(
                "a patch fails, and the pod is sent without patches (assumptions.on_patch_error): {told}"
            )),
            OnPatchError::Half => answer.errors.push(format!(
                "a patch fails, and the pod is sent half-patched (assumptions.on_patch_error): {told}"
            )),
        }
    }
    if print && let Err(error) = text(site, &rendered, args, many, &mut answer.text) {
        answer.text.clear();
        answer
            .errors
            .push(format!("the patched pod cannot be sent: {error}"));
        answer.patch_failed = true;
        answer.exit = Exit::No;
    }
    answer
}

/// `license "Lab" f3d76abf, operation 1 of 2 (add /spec/x): TypeError: …`
pub(super) fn failure_text(rendered: &Rendered, failure: &Failure) -> String {
    let mut text = String::new();
    if let Some(patch) = failure.patch.and_then(|patch| rendered.patches.get(patch)) {
        let operations = patch.operations();
        text.push_str(&check::license_name(&patch.title, &patch.license));
        text.push_str(&format!(
            ", operation {} of {}",
            failure.operation + 1,
            operations.len()
        ));
        if let Some(operation) = operations.get(failure.operation) {
            text.push_str(&format!(" ({} {})", operation.op(), operation.path()));
        }
        text.push_str(": ");
    }
    let name = failure
        .name
        .map_or_else(|| failure.class.name().to_owned(), str::to_owned);
    text.push_str(&format!("{name}: {}", failure.message));
    text
}

fn text(
    site: &Site,
    rendered: &Rendered,
    args: &Args,
    many: bool,
    out: &mut Vec<u8>,
) -> Result<(), Unsendable> {
    if args.output == Format::Jsonl && !args.explain {
        rendered.pod.write_json(out)?;
        out.push(b'\n');
        return Ok(());
    }
    let pod = rendered.sent().map_err(Clone::clone)?;
    let text = match args.output {
        Format::Yaml if args.explain => Explained::new(site, rendered).yaml(pod),
        Format::Yaml => yaml::write(pod),
        Format::Kyaml => kyaml::write(pod),
        Format::Name => match name(pod) {
            Some(name) => format!("pod/{name}\n"),
            None => String::new(),
        },
        Format::Json | Format::Jsonl => {
            let value = if args.explain {
                Cow::Owned(Explained::new(site, rendered).json(pod))
            } else {
                Cow::Borrowed(pod)
            };
            match args.output {
                Format::Jsonl => format!("{}\n", json_output::compact(&value)),
                _ if many => indented(&json_output::pretty(&value), if args.explain { 1 } else { 2 }),
                _ => json_output::pretty(&value),
            }
        }
    };
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// The pod's name; what has none is told by a finding.
fn name(pod: &Value) -> Option<String> {
    let name = pod
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty())?;
    Some(crate::output::escape::line(name).into_owned())
}

/// A JSON text as an element of a list that is itself indented; strings hold no raw newline.
pub(super) fn indented(text: &str, levels: usize) -> String {
    let indent = " ".repeat(4 * levels);
    let lines: Vec<String> = text
        .trim_end()
        .lines()
        .map(|line| format!("{indent}{line}"))
        .collect();
    lines.join("\n")
}
