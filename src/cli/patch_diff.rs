//! `patch-diff`: what patches change in a pod, or the patch that an edit needs.

use std::{
    collections::{BTreeMap, HashSet},
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use crate::{
    check::{
        self, Finding, Located, Place, Severity,
        operations::{PatchToCheck, WITHOUT_EFFECT, check_operations},
        pod::{PodFinding, check_change, check_pod},
        rules::rules,
    },
    json::{JsString, Json},
    json_patch::{
        Document, Effect, Gate, Operation, Options, PathPart, Stamp, Unsendable, apply, strict,
        strict_in_place, strict_text,
    },
    output::{
        diff::{self, Documents, Side},
        explain::Explained,
        json as json_output, mask,
        table::Table,
        ui::Ui,
        yaml,
    },
    patch_diff::{self, LicenseEdit, Made, Request, Touched},
    pipeline::{
        Patch, Rendered, Site, Subject,
        calibrate::Speaker,
        placeholders::{self, Placeholder},
        provenance,
        what_if::{EXTRA_LICENSE, PatchText, WhatIf},
    },
    snapshot::{self, OnPatchError, ReadOptions},
};

use super::{
    CommandError, Exit, calibrate,
    cluster::Purpose,
    connection::ConnectionArgs,
    database::Need,
    editor::{self, Edited},
    external_diff::ExternalDiff,
    leave,
    render::failure_text,
    report::{FailOn, Report},
    select::ProjectArgs,
    sources::{SourceArgs, Sources, WhatIfArgs, input, no_template, site_now, site_with},
};

/// Show what patches change in a project's pod, or make the patch that an edit needs
///
/// Compares two versions of a project's pod. By default the pod without license patches with the pod with them, the
/// candidate of --patch included. With -o patch or -o license it prints the JSON Patch that makes the one into the
/// other: for the document that CoCalc will patch, with lists matched by what their elements are, each index tested
/// before it is used, and proved by three readings before it is printed.
///
/// Exit codes with -o diff: 0 no difference, 1 differences or a patch that fails, 2 an error. With other outputs 0
/// unless there is an error or a patch fails.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  # What do the license patches change in the example's pod?
  kubectl cocalc patch-diff --example

  # What would this patch change? What is wrong with it?
  kubectl cocalc patch-diff --example --patch-file label.json

  # The patch for an edit of a live pod, as the text of a license's field
  kubectl get pod project-11111111-1111-4111-8111-111111111111 -o json > p1.json
  cp p1.json p2.json; vi p2.json
  kubectl cocalc patch-diff --example --before p1.json --after p2.json \\
    -o license

  # The same with an editor on the rendered pod
  kubectl cocalc patch-diff --example --edit -o license

  # Will the patches still work with the next template?
  kubectl cocalc patch-diff -f project-pod.yaml -f site.yaml --all \\
    --new-template project-pod-next.yaml

  # Which assumptions about CoCalc make the rendered pod equal the running one?
  kubectl get pod project-11111111-1111-4111-8111-111111111111 -o json | \\
    kubectl cocalc patch-diff -f site.yaml -f - --live --calibrate")]
pub(super) struct Args {
    #[command(flatten)]
    projects: ProjectArgs,

    /// Output format: diff, patch, license, json
    ///
    /// diff: a unified diff of the YAML; KUBECTL_EXTERNAL_DIFF is honoured. patch: the JSON Patch that makes before
    /// into after. license: the same on one line, for the license's JSON Patch field. json: a report.
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "diff",
        hide_possible_values = true
    )]
    output: Format,

    /// Compare with this file instead: the version before
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["live", "edit", "new_template"])]
    before: Option<PathBuf>,

    /// Compare with this file instead: the version after
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["live", "edit", "new_template"])]
    after: Option<PathBuf>,

    /// Compare the live pod with the rendered one: what a restart would change
    #[arg(long, conflicts_with_all = ["edit", "new_template"])]
    live: bool,

    /// Print the assumptions that make the rendered pods equal to the live ones
    ///
    /// How CoCalc turns a quota into a pod is not public; what is assumed of it stands in `assumptions` of a snapshot
    /// file. With --live, this finds the values that the live pods speak for, and prints them as such a file, each
    /// with what speaks for it. What no assumption explains is told on stderr; then the exit code is 1. cpu_format
    /// is not among them, since the API server writes 0.02 as 20m.
    #[arg(long, requires = "live", conflicts_with_all = ["output", "no_guards", "fail_on"])]
    calibrate: bool,

    /// Compare the rendered pod with what your editor makes of it
    ///
    /// With --for-license the pod holds that license's patch, and what is made is the license's whole new patch.
    #[arg(long)]
    edit: bool,

    /// Compare the pod under the present template with the pod under this one; with --edit, edit the latter
    #[arg(long, value_name = "FILE|-")]
    new_template: Option<PathBuf>,

    /// Print the table of findings that there are, and do nothing else
    #[arg(long)]
    rules: bool,

    /// Leave out the tests that guard list indices
    #[arg(long)]
    no_guards: bool,

    /// Exit with 0 for differences too
    #[arg(long)]
    exit_zero: bool,

    /// Show values of environment variables that look like secrets
    #[arg(long)]
    show_secrets: bool,

    /// Exit with 1 exactly if there is a finding of this severity or a worse one, or a patch fails
    #[arg(long, value_name = "SEVERITY", hide_possible_values = true)]
    fail_on: Option<FailOn>,

    #[command(flatten)]
    sources: SourceArgs,

    #[command(flatten)]
    what_if: WhatIfArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Diff,
    Patch,
    License,
    Json,
}

/// Two versions of a pod and what is known about the way from one to the other.
struct Comparison {
    project_id: Option<String>,
    before: Value,
    before_label: String,
    after: Value,
    after_label: String,
    /// What was rendered: the writers of the fields of `after`, or of `before`.
    rendered: Option<(Side, Rendered)>,
    /// Patches that make `before` into `after`.
    patches: Vec<PatchReport>,
    findings: Vec<Finding>,
    /// What is wrong with the pod after, each with the entry of the report.
    pod_findings: Vec<(Finding, Value)>,
    /// What is true under the present template already: findings, and the pointers of those about the pod.
    known: HashSet<(Finding, String)>,
    /// Whether the patches fail in the same way under the present template.
    fails_already: bool,
    /// Where the candidate's file breaks CoCalc's check.
    dropped_at: Option<String>,
    /// The text of a failure of the patches.
    failure: Option<(String, Value)>,
    /// Whether RFC 6902 accepts the patches.
    rfc6902: Option<Result<(), String>>,
    /// The operations of a patch that makes `before` into `after`.
    made: Option<Result<Vec<Value>, String>>,
}

struct PatchReport {
    license: String,
    label: String,
    title: String,
    dropped: Option<String>,
    operations: Vec<(Operation, Effect)>,
    /// What there is to tell about operations, by their index.
    findings: Vec<(usize, Finding)>,
    /// Where the operations stand in the file that the patch came from.
    places: Vec<String>,
    rfc6902: Option<Result<(), String>>,
    fails: bool,
}

pub(super) fn patch_diff(ui: &Ui, connection: &ConnectionArgs, args: &Args) -> Result<Exit, CommandError> {
    if args.rules {
        return print_rules(ui);
    }
    let ids = args.projects.ids()?;
    if args.calibrate {
        return calibrated(ui, connection, args, &ids);
    }
    let compared = match (&args.before, &args.after) {
        (Some(before), after) => Compared {
            comparisons: vec![files(ui, connection, args, before, after.as_deref(), &ids)?],
            ..Compared::default()
        },
        (None, _) => projects(ui, connection, args, &ids)?,
    };
    print(ui, args, compared)
}

/// `--before FILE`, with `--after FILE` or a patch.
fn files(
    ui: &Ui,
    connection: &ConnectionArgs,
    args: &Args,
    before: &Path,
    after: Option<&Path>,
    ids: &[String],
) -> Result<Comparison, CommandError> {
    let before_value = read_value(ui, before)?;
    let Some(after) = after else {
        return patched_file(ui, args, before, before_value);
    };
    let after_value = read_value(ui, after)?;
    let mut comparison = Comparison::new(
        (before_value.clone(), before.display().to_string()),
        (after_value.clone(), after.display().to_string()),
    );
    let live = patch_diff::is_live(&before_value);
    let (mut base, mut for_license) = (None, true);
    if live {
        let own = snapshot::project_id_of(&before_value).map(str::to_lowercase);
        if let (Some(own), [named]) = (&own, ids)
            && own != named
        {
            return Err(CommandError::usage(format!(
                "{} is the pod of project {own}, and project {named} is named",
                before.display()
            )));
        }
        comparison.project_id = own.clone();
        let of = &args.sources;
        if !of.filename.is_empty() || of.example || of.database.is_some() || !ids.is_empty() {
            let named: Vec<String> = ids.iter().cloned().chain(own.clone()).take(1).collect();
            let need = Need::in_memory(&args.projects, &named);
            let mut sources = of.read_for(ui, &args.what_if, Some(need))?;
            if !ids.is_empty() {
                sources.add_cluster(ui, connection, of, &args.projects, ids, Purpose::Render)?;
            }
            // The live pod itself is a source of the placeholders' values.
            sources.snapshot.live_pods.insert(0, before_value.clone());
            let rendered = render_base(ui, args, &sources, own.as_deref())?;
            base = Some(pod_of(&rendered)?);
            comparison.rendered = Some((Side::Before, rendered));
            for_license = args.what_if.for_license.is_some();
        }
    } else if !ids.is_empty() {
        return Err(CommandError::usage(
            "--before with --after compares files; it takes no PROJECT",
        ));
    }
    let made = make(args, &before_value, &after_value, base.as_ref());
    if let Ok(made) = &made {
        if live {
            comparison.before = made.base.clone();
            comparison.after = made.wanted.clone();
            comparison.before_label.push_str("  (rendered)");
            comparison.after_label.push_str("  (the edit, rebased)");
            comparison.judge_pod();
        }
        comparison.add_notes(made);
        let order = comparison.rendered.as_ref().filter(|_| !for_license);
        let order = order.and_then(|(_, rendered)| order_matters(rendered, made));
        comparison.findings.extend(order);
    }
    comparison.made = Some(made.map(|made| made.operations));
    Ok(comparison)
}

/// The base holds the patches of the other licenses, as if the new one came last; the real order is by license id.
fn order_matters(rendered: &Rendered, made: &Made) -> Option<Finding> {
    let others: Vec<&Operation> = rendered.patches.iter().flat_map(Patch::operations).collect();
    if others.is_empty() || made.operations.is_empty() {
        return None;
    }
    let new: Vec<Operation> = made
        .operations
        .iter()
        .map(|operation| Operation::new(&Json::from(operation)))
        .collect();
    let numbered: Vec<(&Operation, Stamp)> = new.iter().chain(others).zip(1..).collect();
    let mut document = rendered.unpatched.clone();
    let applied = apply(&mut document, &numbered, Options { validate: false });
    let same = || {
        document
            .to_value()
            .is_ok_and(|value| crate::json::with_js_numbers(&value) == made.wanted)
    };
    let what = match &applied.failure {
        Some(failure) => format!(
            "the start would fail ({})",
            failure.message.lines().next().unwrap_or_default()
        ),
        None if !same() => "the pod would be another one".to_owned(),
        None => return None,
    };
    Some(Finding::new(
        "order-matters",
        Severity::Warning,
        format!(
            "patches apply in the order of the license ids; if the new license comes before the others, {what}; \
             --for-license ID makes the patch for its place"
        ),
    ))
}

/// `--before FILE` with a patch: what it does to any document.
fn patched_file(ui: &Ui, args: &Args, file: &Path, before: Value) -> Result<Comparison, CommandError> {
    let what_if = args.what_if.resolve(ui, &snapshot::Snapshot::default())?;
    let Some(patch) = &what_if.patch else {
        return Err(CommandError::usage(
            "--before goes with --after or with a patch (--patch, --patch-file)",
        ));
    };
    let original = Document::from_value(&before, 0);
    let mut document = original.clone();
    let gate = crate::json_patch::gate(&patch.text);
    let mut report = PatchReport::new(&patch.label, &patch.label, "", &gate);
    let dropped_at = patch.dropped_at(&gate);
    let operations = match gate {
        Gate::Passes(operations) => operations,
        Gate::Dropped(_) => Vec::new(),
        Gate::TooDeep(error) => return Err(CommandError::usage(format!("{}: {error}", patch.label))),
    };
    let numbered: Vec<(&Operation, Stamp)> = operations.iter().zip(1..).collect();
    let mut applied = apply(&mut document, &numbered, Options { validate: false });
    applied.failure = applied
        .failure
        .or_else(|| crate::json_patch::Failure::of_nothing_left(&document, &numbered));
    // Where this tool refuses to go on: what CoCalc would go on to make may be of any size.
    let refused = applied
        .failure
        .as_ref()
        .is_some_and(|failure| failure.limit.is_some());
    if refused {
        document = original.clone();
    }
    let after = what_is_left(&document)?;
    let label = file.display().to_string();
    let with = format!("{label}  with {}", patch.label);
    let mut comparison = Comparison::new((before, label), (after, with));
    if let Some(failure) = &applied.failure {
        let operation = operations.get(failure.operation);
        let shown = operation.map_or_else(String::new, |op| format!(" ({} {})", op.op(), op.path()));
        let name = failure.name.unwrap_or(failure.class.name());
        let text = format!(
            "{}, operation {} of {}{shown}: {name}: {}",
            patch.label,
            failure.operation + 1,
            operations.len(),
            failure.message
        );
        let report = json!({"class": failure.class.name(), "name": failure.name, "license": patch.label,
                            "operation": failure.operation, "message": failure.message});
        comparison.failure = Some((text, report));
    }
    if !refused {
        let values: Vec<Value> = operations
            .iter()
            .filter_map(|op| op.json().to_value().ok())
            .collect();
        // What CoCalc drops may be a good patch, and the reverse.
        let verdict = match report.dropped {
            Some(_) => strict_text(&comparison.before, &patch.text).map(|_| ()),
            None => strict(&comparison.before, &values)
                .map(|_| ())
                .map_err(|rejected| rejected.to_string()),
        };
        comparison.rfc6902 = Some(verdict.clone());
        report.rfc6902 = Some(verdict);
    }
    report.fails = comparison.failure.is_some();
    comparison.dropped_at = dropped_at;
    let to_check = PatchToCheck {
        license: &patch.label,
        operations: &operations,
        effects: &applied.effects,
    };
    let found = check_operations(&original, &[to_check], Options { validate: false });
    report.findings = found
        .into_iter()
        .map(|found| (found.operation, found.finding))
        .collect();
    if !report.findings.is_empty() {
        report.places = patch.places();
    }
    report.operations = operations.into_iter().zip(applied.effects).collect();
    if comparison.after.get("kind").and_then(Value::as_str) == Some("Pod") {
        comparison.judge_pod();
    }
    comparison
        .findings
        .extend(patch_diff::as_operations(&comparison.before, patch));
    if let Some(reason) = &report.dropped {
        comparison.findings.push(Finding::new(
            "patch-dropped",
            Severity::Error,
            format!(
                "CoCalc drops the whole patch {} in silence: {reason}",
                patch.label
            ),
        ));
    }
    comparison.patches.push(report);
    comparison.made = made_to_print(args, &comparison.before, &comparison.after, Some(&original));
    leave((original, document));
    Ok(comparison)
}

/// `--calibrate`
fn calibrated(
    ui: &Ui,
    connection: &ConnectionArgs,
    args: &Args,
    ids: &[String],
) -> Result<Exit, CommandError> {
    let sources = read_with_template(ui, connection, args, ids)?;
    let what_if = args.what_if.resolve(ui, &sources.snapshot)?;
    let site = site_with(&sources, &args.sources, what_if, args.what_if.stored)?;
    let selection = args.projects.select(ui, &sources, ids)?;
    let exit = calibrate::print(ui, &site, &selection.subjects, args.show_secrets)?;
    Ok(if exit == Exit::No && args.exit_zero {
        Exit::Done
    } else {
        exit
    })
}

fn read_with_template(
    ui: &Ui,
    connection: &ConnectionArgs,
    args: &Args,
    ids: &[String],
) -> Result<Sources, CommandError> {
    if args.live && args.sources.offline {
        return Err(CommandError::usage(
            "--live and --offline exclude each other: live pods are in the cluster",
        ));
    }
    let purpose = if args.live { Purpose::Live } else { Purpose::Render };
    let need = Need::in_memory(&args.projects, ids);
    let mut sources = args.sources.read_for(ui, &args.what_if, Some(need))?;
    let files = [&args.after, &args.new_template].into_iter().flatten();
    sources.stdin_used |= files.into_iter().any(|file| file.as_os_str() == "-");
    sources.add_cluster(ui, connection, &args.sources, &args.projects, ids, purpose)?;
    if sources.snapshot.template.is_none() {
        return Err(no_template());
    }
    Ok(sources)
}

/// What there is to print.
#[derive(Default)]
struct Compared {
    many: bool,
    comparisons: Vec<Comparison>,
    /// Projects of many for which there is nothing to compare.
    errors: Vec<(String, CommandError)>,
    of_template: Vec<Finding>,
    /// What became known before anything was compared.
    exit: Exit,
}

fn projects(
    ui: &Ui,
    connection: &ConnectionArgs,
    args: &Args,
    ids: &[String],
) -> Result<Compared, CommandError> {
    if args.new_template.is_some() && !args.edit && matches!(args.output, Format::Patch | Format::License) {
        return Err(CommandError::usage(
            "--new-template with -o patch or -o license goes with --edit: what differs otherwise is the template's own",
        ));
    }
    let sources = read_with_template(ui, connection, args, ids)?;
    let what_if = if args.edit {
        args.what_if.resolve_for_making(ui, &sources.snapshot)?
    } else if args.after.is_some() {
        without_patch_of(args, ui, &sources)?
    } else {
        let mut what_if = args.what_if.resolve(ui, &sources.snapshot)?;
        what_if.must_apply = sources.one_project;
        what_if
    };
    let compares = !(args.edit || args.live || args.after.is_some() || args.new_template.is_some());
    let now = (compares && (what_if.changes_licenses() || args.what_if.at.is_some()))
        .then(|| site_now(&sources, &args.sources, args.what_if.stored))
        .transpose()?;
    let new_site = args
        .new_template
        .as_ref()
        .map(|file| site_of_new_template(ui, args, &sources, file, what_if.clone()))
        .transpose()?;
    let site = site_with(&sources, &args.sources, what_if, args.what_if.stored)?;
    let sites = Sites {
        shown: new_site.as_ref().unwrap_or(&site),
        present: now.as_ref().or(new_site.as_ref().map(|_| &site)),
    };
    let selection = args.projects.select(ui, &sources, ids)?;
    if selection.many && (args.edit || args.after.is_some() || args.output == Format::License) {
        return Err(CommandError::usage(
            "--edit, --after and -o license take one project",
        ));
    }
    let template = sites.shown.template();
    let mut compared = Compared {
        many: selection.many,
        of_template: template.map(check::template_findings).unwrap_or_default(),
        exit: if sources.unreadable.is_empty() {
            Exit::Done
        } else {
            Exit::Usage
        },
        ..Compared::default()
    };
    let mut speaker = Speaker::default();
    for subject in &selection.subjects {
        match project(ui, args, sites, *subject) {
            Ok(Some(mut comparison)) => {
                if args.live {
                    let notes = calibrate::assumption_notes(&mut speaker, &site, *subject, args.show_secrets);
                    comparison.findings.extend(notes);
                }
                compared.comparisons.push(comparison);
            }
            // Whoever writes the text on into a license must not get an empty one.
            Ok(None) if args.what_if.for_license.is_some() || args.output != Format::Diff => {
                compared.exit = Exit::No;
            }
            Ok(None) => {}
            Err(error) if selection.many => {
                compared.errors.push((subject.project_id.to_owned(), error));
            }
            Err(error) => {
                let message = format!("project {}: {}", subject.project_id, error.message);
                return Err(CommandError { message, ..error });
            }
        }
    }
    Ok(compared)
}

/// The site of the pod that is shown, and where it is compared with one of another site: that of the pod as it is created
/// now, or under the present template.
#[derive(Clone, Copy)]
struct Sites<'a> {
    shown: &'a Site,
    present: Option<&'a Site>,
}

/// `None` if an editor was left without a change.
fn project(
    ui: &Ui,
    args: &Args,
    sites: Sites<'_>,
    subject: Subject<'_>,
) -> Result<Option<Comparison>, CommandError> {
    let site = sites.shown;
    let name = format!("project-{}", subject.project_id);
    let rendered = site.render(subject).map_err(CommandError::usage)?;
    if let Some(file) = &args.after {
        let before = pod_of(&rendered)?;
        let after = saved_pod(&rendered, &before, read_value(ui, file)?);
        let made = make(args, &before, &after, None);
        let before = (before, format!("{name}  rendered"));
        let after = (after, file.display().to_string());
        return Ok(Some(edited(args, rendered, before, after, made)));
    }
    if args.edit {
        return edit(ui, args, &name, site, rendered);
    }
    if args.live {
        return live(args, &name, site, subject, rendered).map(Some);
    }
    let present = sites.present.map(|site| site.render(subject)).transpose();
    let present = present.map_err(CommandError::usage)?;
    let after = what_is_left(&rendered.pod)?;
    let before = match &present {
        Some(present) if args.new_template.is_some() => what_is_left(&present.pod)?,
        Some(present) => without_patches_in_config(&rendered, what_is_left(&present.pod)?),
        None => what_is_left(&rendered.unpatched)?,
    };
    let labels = match &present {
        Some(_) if args.new_template.is_some() => ["present template".to_owned(), "new template".to_owned()],
        Some(present) => [
            format!("now, with {}", licenses_text(site, present)),
            format!("what if: with {}", licenses_text(site, &rendered)),
        ],
        None => [
            "without license patches".to_owned(),
            format!("with {}", licenses_text(site, &rendered)),
        ],
    };
    let [before_label, after_label] = labels.map(|label| format!("{name}  {label}"));
    let made = made_to_print(args, &before, &after, None);
    let mut comparison = Comparison::new((before, before_label), (after, after_label));
    comparison.project_id = Some(subject.project_id.to_owned());
    comparison.findings = check::findings(site, subject, &rendered);
    comparison.judge_rendered(site, &rendered);
    comparison.made = made;
    if let (Some(of_present), Some(present), true) = (sites.present, &present, args.new_template.is_some()) {
        comparison.next_template(of_present, present, subject, &rendered)?;
    }
    comparison.rendered = Some((Side::After, rendered));
    Ok(Some(comparison))
}

/// `{project_config}` repeats the patches, in base64: where nothing else of it differs, that is no difference.
fn without_patches_in_config(rendered: &Rendered, before: Value) -> Value {
    let quota_of = |pod: &Value| {
        let texts =
            environment(pod).filter_map(|value| placeholders::quota_of_project_config(value.as_str()?));
        let without_patch = |quota: Json| {
            let mut members = quota.as_map().cloned().unwrap_or_default();
            members.shift_remove(&JsString::from("patch"));
            Json::Map(members.into())
        };
        texts.map(without_patch).collect::<Vec<_>>()
    };
    let after = rendered.pod.to_value().unwrap_or_default();
    if quota_of(&before) == quota_of(&after) {
        with_project_config_of(rendered, before)
    } else {
        before
    }
}

/// The values of the containers' environment variables.
fn environment(pod: &Value) -> impl Iterator<Item = &Value> {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let variables = containers
        .into_iter()
        .flatten()
        .filter_map(|container| container.get("env")?.as_array());
    variables.flatten().filter_map(|variable| variable.get("value"))
}

/// `2 licenses, 1 what-if`: those whose patches CoCalc applies.
fn licenses_text(site: &Site, rendered: &Rendered) -> String {
    let what_if = site.what_if();
    let candidate = what_if
        .candidate_license()
        .filter(|_| what_if.for_license.is_none());
    let is_candidate = |patch: &&Patch| Some(&*patch.license) == candidate;
    let licenses = rendered
        .patches
        .iter()
        .filter(|patch| !is_candidate(patch))
        .count();
    let s = if licenses == 1 { "" } else { "s" };
    let has_candidate = rendered.patches.iter().any(|patch| is_candidate(&patch));
    let extra = if has_candidate { ", 1 what-if" } else { "" };
    format!("{licenses} license{s}{extra}")
}

/// The pod that runs, and the one that the next start makes.
fn live(
    args: &Args,
    name: &str,
    site: &Site,
    subject: Subject<'_>,
    rendered: Rendered,
) -> Result<Comparison, CommandError> {
    let Some(live) = subject.live_pod else {
        return Err(CommandError::usage("it has no live pod in the sources")
            .hint("it does not run; patch-diff without --live shows what its patches change"));
    };
    let pod = if site.assumptions().on_patch_error == OnPatchError::Abort {
        pod_of(&rendered)?
    } else {
        what_is_left(&rendered.pod)?
    };
    let live = patch_diff::without_kubernetes(live, Some(&pod));
    let live = patch_diff::as_rendered(&live, &pod);
    let mut comparison = Comparison::new(
        (live.clone(), format!("{name}  live")),
        (pod.clone(), format!("{name}  rendered")),
    );
    comparison.project_id = Some(subject.project_id.to_owned());
    comparison.findings = check::findings(site, subject, &rendered);
    comparison.rendered = Some((Side::After, rendered));
    comparison.made = made_to_print(args, &pod, &live, None);
    Ok(comparison)
}

/// What somebody made of a pod, as it is compared with it.
fn saved_pod(rendered: &Rendered, before: &Value, after: Value) -> Value {
    let after = if patch_diff::is_live(&after) {
        patch_diff::without_kubernetes(&after, Some(before))
    } else {
        after
    };
    with_project_config_of(rendered, after)
}

/// The rendered pod and what somebody made of it.
fn edited(
    args: &Args,
    rendered: Rendered,
    before: (Value, String),
    after: (Value, String),
    made: Result<Made, String>,
) -> Comparison {
    let mut comparison = Comparison::new(before, after);
    if let Ok(made) = &made {
        comparison.add_notes(made);
        comparison.freeze_notes(&rendered, made);
        if args.what_if.for_license.is_none() {
            comparison.findings.extend(order_matters(&rendered, made));
        }
    }
    comparison.project_id = Some(rendered.project_id.clone());
    comparison.judge_pod();
    comparison.made = Some(made.map(|made| made.operations));
    comparison.rendered = Some((Side::Before, rendered));
    comparison
}

/// `{project_config}` holds the quota, and the quota the license patches: it differs with every patch, and nobody
/// edits it. So an edited pod keeps the one of the pod that the patch is for.
fn with_project_config_of(rendered: &Rendered, mut after: Value) -> Value {
    let own = rendered
        .provenance()
        .into_iter()
        .find_map(|entry| match &entry.by {
            provenance::Writer::Placeholders(list) if list == &[Placeholder::ProjectConfig] => rendered
                .pod
                .get_str(&provenance::keys(&entry.path))
                .map(str::to_owned),
            _ => None,
        });
    let Some(own) = own else { return after };
    let containers = after
        .pointer_mut("/spec/containers")
        .and_then(Value::as_array_mut);
    let variables = containers
        .into_iter()
        .flatten()
        .filter_map(|c| c.get_mut("env")?.as_array_mut())
        .flatten();
    for value in variables.filter_map(|variable| variable.get_mut("value")) {
        if value
            .as_str()
            .and_then(placeholders::quota_of_project_config)
            .is_some()
        {
            *value = Value::from(own.clone());
        }
    }
    after
}

/// The editor, again and again until what was saved can be read and applied; `None` if nothing was changed.
fn edit(
    ui: &Ui,
    args: &Args,
    name: &str,
    site: &Site,
    rendered: Rendered,
) -> Result<Option<Comparison>, CommandError> {
    let license = site.what_if().for_license.as_deref();
    let id = license.unwrap_or(EXTRA_LICENSE);
    let text = patch_text_of(site, &rendered, id);
    let gate = text.as_deref().map(|text| site.gate(&Json::string(text)));
    let own = match gate.as_deref() {
        Some(Gate::Passes(operations)) => &operations[..],
        _ => &[],
    };
    let options = Options {
        validate: site.assumptions().validate_operation,
    };
    let edit = LicenseEdit::new(&rendered, id, own, options).map_err(|error| {
        let message = format!("project {}: {error}", rendered.project_id);
        CommandError {
            exit: Exit::No,
            ..CommandError::usage(message)
        }
    })?;
    let before = edit.pod();
    let mut header =
        "# Edit the pod that CoCalc will create; an empty or unchanged file ends it. Lines with # at their\n\
                      # start are left out.\n"
            .to_owned();
    if let Some(license) = license {
        header.push_str(&present_text(
            site,
            license,
            text.as_deref(),
            gate.as_deref(),
            &edit,
        ));
    }
    let mut text = format!("{header}{}", yaml::write(before));
    loop {
        let saved = match editor::edit(&text)? {
            Edited::Saved(saved) => saved,
            Edited::Unchanged => {
                ui.plain("Edit cancelled, no changes made.");
                return Ok(None);
            }
        };
        let problem = match snapshot::parse_manifest(&saved, "the edited text") {
            Err(error) => error.to_string(),
            Ok((json, _)) => match json.to_value() {
                Err(error) => error.to_string(),
                Ok(after) if !after.is_object() => "the edited text is no map".to_owned(),
                Ok(after) => {
                    let after = saved_pod(&rendered, before, after);
                    match edit.make(&after, !args.no_guards) {
                        Err(error) => error,
                        Ok(made) => {
                            let before = (before.clone(), format!("{name}  rendered"));
                            let after = (after, format!("{name}  edited"));
                            return Ok(Some(edited(args, rendered, before, after, Ok(made))));
                        }
                    }
                }
            },
        };
        let body: String = saved
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect();
        text = format!(
            "{header}# error: {}\n{body}",
            crate::output::escape::line(&problem)
        );
        if !std::io::stdin().is_terminal() && args.edit && text == saved {
            return Err(CommandError::usage(problem));
        }
    }
}

/// The license whose new patch is made, for the head of the edited text.
fn present_text(
    site: &Site,
    license: &str,
    text: Option<&str>,
    gate: Option<&Gate>,
    edit: &LicenseEdit<'_>,
) -> String {
    let name = check::license_name(site.license(license).map_or("", |row| &row.title), license);
    let Some(text) = text else {
        return format!("#\n# What you change becomes the patch of {name}, which has none yet.\n");
    };
    let mut head =
        format!("#\n# The patch of {name} is in the pod; what you save gives its whole new text.\n");
    if let Some((operation, why)) = edit.broken() {
        let why = crate::output::escape::line(why).into_owned();
        head.push_str(&format!(
            "# Its operation {} fails, and is left out with all behind it: {why}\n",
            operation + 1
        ));
    }
    if let Some(Gate::Dropped(reason)) = gate {
        head.push_str(&format!(
            "# CoCalc drops it in silence, so nothing of it is here: {reason}\n"
        ));
    }
    head.push_str("# Its present text:\n");
    for line in text.lines() {
        head.push_str(&format!("#   {}\n", crate::output::escape::line(line)));
    }
    head
}

impl Comparison {
    fn new(before: (Value, String), after: (Value, String)) -> Self {
        Self {
            project_id: None,
            before: before.0,
            before_label: before.1,
            after: after.0,
            after_label: after.1,
            rendered: None,
            patches: Vec::new(),
            findings: Vec::new(),
            pod_findings: Vec::new(),
            known: HashSet::new(),
            fails_already: false,
            dropped_at: None,
            failure: None,
            rfc6902: None,
            made: None,
        }
    }

    /// Under another template: which operations fail only there, or meet another element, and what is wrong with both.
    fn next_template(
        &mut self,
        site: &Site,
        present: &Rendered,
        subject: Subject<'_>,
        next: &Rendered,
    ) -> Result<(), CommandError> {
        // As this comparison would tell them of the present template.
        let mut known = Self::new((Value::Null, String::new()), (Value::Null, String::new()));
        known.judge_rendered(site, present);
        known.findings = check::findings(site, subject, present);
        let [from, to] = [&present.pod, &next.pod].map(|pod| pod.to_value().unwrap_or_default());
        self.known = known
            .told()
            .into_iter()
            .map(|(_, finding, place)| (finding, place.to_owned()))
            .collect();
        for (finding, entry) in &known.pod_findings {
            // The same element may stand at another index.
            let place = entry.get("path").and_then(Value::as_str).unwrap_or_default();
            if let Some((field, place)) = patch_diff::counterpart(&from, &to, place) {
                let message = entry.get("field").and_then(Value::as_str).unwrap_or_default();
                let finding = Finding {
                    message: finding.message.replacen(message, &field, 1),
                    ..finding.clone()
                };
                self.known.insert((finding, place));
            }
        }
        match (&present.failure, &next.failure) {
            (None, Some(failure)) => self.findings.push(Finding::new(
                "new-template-fails",
                Severity::Error,
                format!(
                    "works with the present template and fails with the new one: {}",
                    failure_text(next, failure)
                ),
            )),
            (Some(old), Some(new)) => {
                self.fails_already = failure_text(present, old) == failure_text(next, new);
            }
            _ => {}
        }
        let [old, new] = [what_is_left(&present.unpatched)?, what_is_left(&next.unpatched)?];
        self.findings.extend(patch_diff::other_project_container(
            &site.assumptions().project_container,
            &old,
            &new,
        ));
        for (patch, report) in next.patches.iter().zip(&mut self.patches) {
            for (i, operation) in patch.operations().iter().enumerate() {
                let met = patch_diff::other_elements(&old, &new, &operation.path());
                if met.is_empty() {
                    continue;
                }
                // It names the element that happens to be there.
                let is_advice =
                    |(of, finding): &(usize, Finding)| *of == i && finding.rule == "index-without-guard";
                report.findings.retain(|found| !is_advice(found));
                let told = met.iter().map(|met| {
                    Finding::new("new-template-other-element", Severity::Warning, met.to_string())
                });
                report.findings.extend(told.map(|finding| (i, finding)));
            }
            // The report of an operation takes them in this order.
            report.findings.sort_by_key(|(operation, _)| *operation);
        }
        Ok(())
    }

    fn add_notes(&mut self, made: &Made) {
        self.findings.extend(made.notes.iter().map(|note| {
            let place = if note.path.is_empty() {
                String::new()
            } else {
                format!("{}: ", note.path)
            };
            Finding::new(note.rule, note.severity, format!("{place}{}", note.message))
        }));
    }

    /// Values that a placeholder or the quota makes, where an operation of the made patch writes them.
    fn freeze_notes(&mut self, rendered: &Rendered, made: &Made) {
        let frozen = rendered.overwritten(&made.operations);
        self.findings
            .extend(frozen.into_iter().filter_map(|(pointer, writer)| {
                let what = match writer {
                    provenance::Writer::Placeholders(list) => {
                        list.iter().map(|p| p.text()).collect::<Vec<_>>().join(", ")
                    }
                    provenance::Writer::Quota(field) => format!("the quota's {}", field.name()),
                    _ => return None,
                };
                let message = format!("{pointer} comes from {what}; the patch freezes it");
                Some(Finding::new("frozen-value", Severity::Warning, message))
            }));
    }

    fn judge_patches(&mut self, site: &Site, rendered: &Rendered) {
        // RFC 6902's document; after a license that it forbids, what CoCalc goes on with.
        let mut document = rendered.unpatched.to_value().unwrap_or_default();
        let (mut cocalcs, mut applied) = (rendered.unpatched.clone(), 0);
        let mut verdict = Ok(());
        for (at, patch) in rendered.patches.iter().enumerate() {
            let mut report = PatchReport::of(site, patch);
            let values: Vec<Value> = patch
                .operations()
                .iter()
                .filter_map(|op| op.json().to_value().ok())
                .collect();
            if report.dropped.is_some() {
                let own = patch_text_of(site, rendered, &patch.license)
                    .map_or(Ok(()), |text| strict_text(&document, &text).map(|_| ()));
                verdict = verdict.and(own.clone());
                report.rfc6902 = Some(own);
                self.patches.push(report);
                continue;
            }
            let own = strict_in_place(&mut document, &values).map_err(|rejected| rejected.to_string());
            if own.is_err() {
                let behind = rendered.patches.iter().take(at + 1).skip(applied);
                let numbered: Vec<(&Operation, Stamp)> =
                    behind.flat_map(Patch::operations).zip(1..).collect();
                apply(&mut cocalcs, &numbered, Options { validate: false });
                applied = at + 1;
                document = cocalcs.to_value().unwrap_or_default();
            }
            verdict = verdict.and(own.clone());
            report.rfc6902 = Some(own);
            self.patches.push(report);
        }
        // The hook finds a license ineffective whose patch is dropped, and then the quota function never sees it.
        if let (Some(candidate), Some(id)) = (&site.what_if().patch, site.what_if().candidate_license())
            && !rendered.patches.iter().any(|patch| patch.license == id)
            && let gate @ Gate::Dropped(_) = &*site.gate(&Json::string(&candidate.text))
        {
            let mut report = PatchReport::new(id, &candidate.label, "", gate);
            let own = strict_text(&document, &candidate.text).map(|_| ());
            verdict = verdict.and(own.clone());
            report.rfc6902 = Some(own);
            self.patches.push(report);
        }
        if let Some(candidate) = &site.what_if().patch
            && let Ok(pod) = rendered.pod.to_value()
        {
            self.findings.extend(patch_diff::as_operations(&pod, candidate));
        }
        self.dropped_at = site.candidate_dropped_at();
        if let Some(candidate) = &site.what_if().patch
            && let Some(report) = self
                .patches
                .iter_mut()
                .find(|p| Some(&*p.license) == site.what_if().candidate_license())
        {
            report.places = candidate.places();
        }
        if let Some(failure) = &rendered.failure {
            if let Some(report) = failure.patch.and_then(|patch| self.patches.get_mut(patch)) {
                report.fails = true;
            }
            let license = failure
                .patch
                .and_then(|patch| rendered.patches.get(patch))
                .map(|patch| patch.license.clone());
            let report = json!({"class": failure.class.name(), "name": failure.name, "license": license,
                                "operation": failure.operation, "message": failure.message});
            self.failure = Some((failure_text(rendered, failure), report));
        }
        self.rfc6902 = Some(verdict);
    }

    /// What the API server would say of the pod after, and what the change means for CoCalc.
    fn judge_pod(&mut self) {
        let found = check_pod(&self.after)
            .into_iter()
            .chain(check_change(&self.before, &self.after));
        let told = |found: PodFinding| {
            let found = Located::of_field(found, Vec::new());
            (found.told_of_nobody(), found.to_json(None))
        };
        self.pod_findings = found.map(told).collect();
    }

    /// The verdicts on the patches of a rendered pod, and all that there is to say about it.
    fn judge_rendered(&mut self, site: &Site, rendered: &Rendered) {
        self.judge_patches(site, rendered);
        let mut explained = None;
        for found in check::review(site, rendered) {
            match found.place {
                Place::Operation { patch, operation } => {
                    if let Some(report) = self.patches.get_mut(patch) {
                        report.findings.push((operation, found.finding));
                    }
                }
                _ => {
                    let explained = explained.get_or_insert_with(|| Explained::new(site, rendered));
                    let entry = found.to_json(Some(explained));
                    self.pod_findings.push((found.told(rendered), entry));
                }
            }
        }
    }

    fn report(&mut self, show_secrets: bool) -> Value {
        let (before, after) = self.take_shown(show_secrets);
        let operations = |patch: &PatchReport| -> Vec<Value> {
            // Both are in the order of the operations.
            let mut rest = patch.findings.iter().peekable();
            let operation = |(i, (operation, effect)): (usize, &(Operation, Effect))| {
                let own = std::iter::from_fn(|| rest.next_if(|(at, _)| *at == i));
                let entry =
                    |finding: &Finding| self.entry(&patch.told(i, finding), Value::Object(finding.to_json()));
                let findings: Vec<Value> = own.map(|(_, finding)| entry(finding)).collect();
                json!({"op": operation.op(), "path": operation.path(), "effect": effect.as_str(), "findings": findings})
            };
            patch.operations.iter().enumerate().map(operation).collect()
        };
        let patches: Vec<Value> = self
            .patches
            .iter()
            .map(|patch| {
                let mut map = Map::new();
                map.insert("license".to_owned(), json!(patch.license));
                map.insert("title".to_owned(), json!(patch.title));
                match &patch.dropped {
                    Some(reason) => {
                        map.insert("gate".to_owned(), json!("dropped"));
                        map.insert("reason".to_owned(), json!(reason));
                    }
                    None => {
                        map.insert("gate".to_owned(), json!("passes"));
                        map.insert("operations".to_owned(), Value::from(operations(patch)));
                    }
                }
                Value::Object(map)
            })
            .collect();
        let dropped = self
            .findings
            .iter()
            .any(|f| f.rule == "patch-dropped" && f.severity == Severity::Error);
        let mut verdict = Map::new();
        let cocalc = if self.failure.is_some() {
            "fails"
        } else if dropped {
            "dropped"
        } else {
            "applies"
        };
        verdict.insert("cocalc".to_owned(), json!(cocalc));
        if let Some((_, error)) = &self.failure {
            verdict.insert("error".to_owned(), error.clone());
        }
        if let Some(rfc6902) = &self.rfc6902 {
            verdict.insert(
                "rfc6902".to_owned(),
                json!(if rfc6902.is_ok() { "accepts" } else { "rejects" }),
            );
            if let Err(reason) = rfc6902 {
                verdict.insert("rfc6902_reason".to_owned(), json!(reason));
            }
        }
        let pod = self.pod_findings.iter();
        let pod = pod.map(|(finding, entry)| (finding, entry.clone()));
        let others = self.findings.iter();
        let others = others.map(|finding| (finding, Value::Object(finding.to_json())));
        let findings: Vec<Value> = pod
            .chain(others)
            .map(|(finding, entry)| self.entry(finding, entry))
            .collect();
        let patch = match &self.made {
            Some(Ok(operations)) if show_secrets => Value::from(operations.clone()),
            Some(Ok(operations)) => mask::anywhere(&Value::from(operations.clone())),
            _ => Value::Null,
        };
        let mut report = Map::new();
        if let Some(id) = &self.project_id {
            report.insert("project_id".to_owned(), json!(id));
        }
        report.insert("before".to_owned(), before);
        report.insert("after".to_owned(), after);
        report.insert("patches".to_owned(), Value::from(patches));
        report.insert("findings".to_owned(), Value::from(findings));
        report.insert("verdict".to_owned(), Value::Object(verdict));
        report.insert("patch".to_owned(), patch);
        Value::Object(report)
    }

    /// All findings as sentences, with their places in the patch's file, and in the pod.
    fn told(&self) -> Vec<(Option<&str>, Finding, &str)> {
        let operations = self.patches.iter().flat_map(|patch| {
            let place = |i: &usize| patch.places.get(*i).map(String::as_str);
            let findings = patch.findings.iter();
            findings.map(move |(i, finding)| (place(i), patch.told(*i, finding), ""))
        });
        let pod = self.pod_findings.iter().map(|(finding, entry)| {
            let path = entry.get("path").and_then(Value::as_str);
            (None, finding.clone(), path.unwrap_or_default())
        });
        let others = self
            .findings
            .iter()
            // What an operation does is told in more words.
            .filter(|finding| finding.rule != WITHOUT_EFFECT)
            .map(|finding| {
                let dropped = check::candidate_is_dropped([finding]);
                let place = self.dropped_at.as_deref().filter(|_| dropped);
                (place, finding.clone(), "")
            });
        operations.chain(pod).chain(others).collect()
    }

    /// The entry of a finding, which says whether it is one under the present template too.
    fn entry(&self, finding: &Finding, mut entry: Value) -> Value {
        let path = entry.get("path").and_then(Value::as_str);
        let finding = (finding.clone(), path.unwrap_or_default().to_owned());
        if self.known.contains(&finding)
            && let Some(entry) = entry.as_object_mut()
        {
            entry.insert("present".to_owned(), Value::Bool(true));
        }
        entry
    }

    /// The two versions as they are shown, taken out: to copy them would take longer than all else that is done for
    /// a report.
    fn take_shown(&mut self, show_secrets: bool) -> (Value, Value) {
        let (mut before, mut after) = (std::mem::take(&mut self.before), std::mem::take(&mut self.after));
        if !show_secrets {
            mask::pods(&mut before, &mut after);
        }
        (before, after)
    }
}

impl PatchReport {
    fn new(license: &str, label: &str, title: &str, gate: &Gate) -> Self {
        let dropped = match gate {
            Gate::Dropped(reason) => Some(reason.to_string()),
            _ => None,
        };
        Self {
            license: license.to_owned(),
            label: label.to_owned(),
            title: title.to_owned(),
            dropped,
            operations: Vec::new(),
            findings: Vec::new(),
            places: Vec::new(),
            rfc6902: None,
            fails: false,
        }
    }

    fn of(site: &Site, patch: &Patch) -> Self {
        let candidate = site.what_if().candidate_license() == Some(&*patch.license)
            && site.what_if().for_license.is_none();
        let label = if candidate {
            patch.title.clone()
        } else {
            short(patch)
        };
        let title = if candidate { "" } else { &patch.title };
        let mut report = Self::new(&patch.license, &label, title, &patch.gate);
        report.operations = patch
            .operations()
            .iter()
            .cloned()
            .zip(patch.effects.iter().copied())
            .collect();
        report
    }

    /// A finding about an operation as a sentence that names it.
    fn told(&self, operation: usize, finding: &Finding) -> Finding {
        let count = self.operations.len();
        let message = format!(
            "{}, operation {} of {count}: {}",
            self.name(),
            operation + 1,
            finding.message
        );
        Finding {
            message,
            ..finding.clone()
        }
    }

    /// `license "Lab" f3d76abf`, or the what-if's label.
    fn name(&self) -> String {
        if self.label == self.title || self.title.is_empty() {
            self.label.clone()
        } else {
            check::license_name(&self.title, &self.license)
        }
    }

    fn operations_text(&self) -> String {
        let count = self.operations.len();
        format!("{count} operation{}", if count == 1 { "" } else { "s" })
    }

    fn cocalc_text(&self) -> String {
        match &self.dropped {
            Some(reason) => format!("CoCalc drops it: {reason}"),
            None if self.fails => "CoCalc fails".to_owned(),
            None => "CoCalc applies".to_owned(),
        }
    }

    fn rfc6902_text(&self) -> String {
        match &self.rfc6902 {
            Some(Ok(())) => "RFC 6902 accepts".to_owned(),
            Some(Err(reason)) => format!("RFC 6902 rejects: {reason}"),
            None => String::new(),
        }
    }
}

/// A line for each patch: `f3d76abf   "Lab NFS"   2 operations   CoCalc applies   RFC 6902 accepts`.
fn patch_lines(patches: &[PatchReport]) -> String {
    let mut table = Table::new([""; 0]).without_headings();
    for patch in patches {
        let title = if patch.title.is_empty() {
            String::new()
        } else {
            format!("{:?}", patch.title)
        };
        let operations = if patch.dropped.is_some() {
            String::new()
        } else {
            patch.operations_text()
        };
        table.row([
            patch.label.clone(),
            title,
            operations,
            patch.cocalc_text(),
            patch.rfc6902_text(),
        ]);
    }
    table.to_string()
}

/// The name of a patch in a hunk: the license's first 8 characters, or the what-if's label.
fn short(patch: &Patch) -> String {
    if patch.license == EXTRA_LICENSE {
        patch.title.clone()
    } else {
        patch.license.get(..8).unwrap_or(&patch.license).to_owned()
    }
}

fn print(ui: &Ui, args: &Args, compared: Compared) -> Result<Exit, CommandError> {
    let Compared {
        many,
        mut comparisons,
        errors,
        of_template,
        mut exit,
    } = compared;
    let mut report = Report::new(ui, many);
    report.for_all(&of_template);
    let mut out = ui.stdout();
    let (mut differs, mut fails, mut dropped) = (false, false, false);
    for comparison in &comparisons {
        differs |= comparison.before != comparison.after;
        fails |= comparison.failure.is_some() && !comparison.fails_already;
        dropped |= check::candidate_is_dropped(&comparison.findings);
    }
    let unmade = |comparison: &Comparison| match &comparison.made {
        Some(Err(error)) => Some(error.clone()),
        _ => None,
    };
    match args.output {
        Format::Diff => match ExternalDiff::from_env(ui) {
            Some(external) => {
                let shown = comparisons.iter_mut().map(|c| c.take_shown(args.show_secrets));
                let pairs: Vec<(Value, Value)> = shown.collect();
                differs = external.show(&pairs)?;
            }
            None => out.write_all(diffs(ui, args, many, &mut comparisons).as_bytes())?,
        },
        Format::Patch | Format::License => {
            for comparison in &comparisons {
                if let Some(error) = unmade(comparison) {
                    if !many {
                        return Err(CommandError::usage(error));
                    }
                    exit = exit.worst(Exit::Usage);
                    report.error(comparison.project_id.as_deref().unwrap_or_default(), error);
                }
                let Some(Ok(operations)) = &comparison.made else {
                    continue;
                };
                let mut text = patch_diff::text(operations, args.output == Format::Patch);
                if !text.ends_with('\n') {
                    text.push('\n');
                }
                if operations.is_empty() {
                    ui.note("there is no difference that a patch would make");
                }
                out.write_all(text.as_bytes())?;
            }
        }
        Format::Json => {
            let reports = comparisons.iter_mut().map(|c| c.report(args.show_secrets));
            let mut reports: Vec<Value> = reports.collect();
            let value = match reports.pop() {
                Some(only) if !many => only,
                last => {
                    reports.extend(last);
                    Value::from(reports)
                }
            };
            out.write_all(json_output::pretty(&value).as_bytes())?;
            leave(value);
        }
    }
    out.finish()?;
    for (id, error) in errors {
        exit = exit.worst(error.exit);
        report.error(&id, error.message);
    }
    let mut known = 0;
    for comparison in &comparisons {
        if !many && args.output != Format::Json && !comparison.patches.is_empty() {
            ui.plain(patch_lines(&comparison.patches).trim_end());
        }
        let id = comparison.project_id.as_deref().unwrap_or_default();
        if let Some((text, _)) = &comparison.failure {
            let already = if comparison.fails_already {
                ", under the present template too"
            } else {
                ""
            };
            report.error(id, format!("CoCalc cannot make the pod{already}: {text}"));
        }
        for (place, finding, path) in comparison.told() {
            let finding = (finding, path.to_owned());
            if comparison.known.contains(&finding) {
                known += 1;
            } else {
                report.add_at(id, place, finding.0);
            }
        }
    }
    if known > 0 {
        let s = if known == 1 { "" } else { "s" };
        ui.note(&format!(
            "{known} finding{s} not shown: the same as under the present template"
        ));
    }
    leave(comparisons);
    let worst = report.finish();
    Ok(exit.worst(match args.fail_on {
        Some(fail_on) if fails || worst.is_some_and(|worst| worst >= fail_on.into()) => Exit::No,
        Some(_) => Exit::Done,
        None if fails || dropped => Exit::No,
        None if args.output == Format::Diff && differs && !args.exit_zero => Exit::No,
        None => Exit::Done,
    }))
}

/// The text of a license's patch, as the what-if, the project or the license's row has it; of a patch that is stored as
/// JSON, its JSON.
fn patch_text_of(site: &Site, rendered: &Rendered, license: &str) -> Option<String> {
    if let Some(candidate) = &site.what_if().patch
        && site.what_if().candidate_license() == Some(license)
    {
        return Some(candidate.text.clone());
    }
    let judged = rendered.judged.as_ref();
    let found = judged.and_then(|judged| {
        let mut patches = judged.computed.patches.iter();
        Some(&patches.find(|found| found.license == license)?.patch)
    });
    let patch = found.or_else(|| site.license(license)?.quota.get_non_null("patch"))?;
    Some(match patch {
        Json::String(text) => text.to_string_lossy(),
        other => other.stringify(),
    })
}

/// The table of rules.
fn print_rules(ui: &Ui) -> Result<Exit, CommandError> {
    let mut table = Table::new(["rule", "severity", "about", "what it finds", "for example"]);
    for rule in rules() {
        let about = format!("{:?}", rule.subject).to_lowercase();
        table.row([
            rule.id,
            &rule.severity.to_string(),
            &about,
            rule.explanation,
            rule.example,
        ]);
    }
    let mut out = ui.stdout();
    out.text(&table.to_string())?;
    out.finish()?;
    Ok(Exit::Done)
}

/// One diff, or of many projects each different one once, with the number of projects that have it.
fn diffs(ui: &Ui, args: &Args, many: bool, comparisons: &mut [Comparison]) -> String {
    let one = |comparison: &mut Comparison| {
        let (before, after) = comparison.take_shown(args.show_secrets);
        let documents = Documents {
            before: &before,
            before_label: &comparison.before_label,
            after: &after,
            after_label: &comparison.after_label,
        };
        let after = comparison.rendered.as_ref().filter(|(of, _)| *of == Side::After);
        let touched = after.map(|(_, rendered)| (rendered, Touched::new(rendered)));
        let writers = |side: Side, path: &[yaml::PathPart<'_>]| -> Vec<String> {
            let Some((rendered, touched)) = &touched else {
                return Vec::new();
            };
            let path: Vec<PathPart> = path
                .iter()
                .map(|part| match part {
                    yaml::PathPart::Name(name) => PathPart::Name((*name).into()),
                    yaml::PathPart::Index(index) => PathPart::Index(*index),
                })
                .collect();
            let operations = match side {
                Side::After => touched.writers(&path),
                Side::Before => touched.remover(&path).into_iter().collect(),
            };
            let name = |(patch, operation): (usize, usize)| {
                let patch = rendered.patches.get(patch)?;
                Some(format!("{} op {}", short(patch), operation + 1))
            };
            operations.into_iter().filter_map(name).collect()
        };
        diff::unified(&documents, &writers, ui.color_stdout())
    };
    if !many {
        return comparisons.iter_mut().map(one).collect();
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut order: Vec<(String, String)> = Vec::new();
    for comparison in comparisons {
        let text = one(comparison);
        let key = comparison
            .project_id
            .as_deref()
            .map_or_else(|| text.clone(), |id| text.replace(id, "UUID"));
        *seen.entry(key.clone()).or_insert_with(|| {
            order.push((key, text));
            0
        }) += 1;
    }
    let mut result = String::new();
    for (key, text) in order.iter().filter(|(_, text)| !text.is_empty()) {
        match seen.get(key) {
            Some(1) | None => {}
            Some(count) => result.push_str(&format!("# the same in {count} projects\n")),
        }
        result.push_str(text);
    }
    result
}

/// The patch of a comparison whose patch is only printed. `read` is the document before, if it is at hand.
fn made_to_print(
    args: &Args,
    before: &Value,
    after: &Value,
    read: Option<&Document>,
) -> Option<Result<Vec<Value>, String>> {
    (args.output != Format::Diff).then(|| {
        let request = request(args, before, after, None);
        patch_diff::make_operations(&request, read).map_err(|error| error.to_string())
    })
}

fn make(args: &Args, before: &Value, after: &Value, base: Option<&Value>) -> Result<Made, String> {
    patch_diff::make(&request(args, before, after, base)).map_err(|error| error.to_string())
}

fn request<'v>(args: &Args, before: &'v Value, after: &'v Value, base: Option<&'v Value>) -> Request<'v> {
    Request {
        before,
        after,
        base,
        guards: !args.no_guards,
    }
}

fn read_value(ui: &Ui, file: &Path) -> Result<Value, CommandError> {
    let text =
        snapshot::read_input_text(&input(file), &mut std::io::stdin().lock()).map_err(CommandError::usage)?;
    let name = if file.as_os_str() == "-" {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    };
    let (value, notes) = snapshot::parse_value(&text, &name).map_err(CommandError::usage)?;
    for note in notes.iter().filter(|note| note.is_warning()) {
        ui.warning(&note.message);
    }
    value.map_err(|error| CommandError::usage(format!("{name}: {error}")))
}

/// The document as a report shows it; `null` where operations left nothing, which is told as a failure.
fn what_is_left(document: &Document) -> Result<Value, CommandError> {
    match document.to_value() {
        Err(Unsendable::Undefined) => Ok(Value::Null),
        other => other.map_err(CommandError::usage),
    }
}

fn pod_of(rendered: &Rendered) -> Result<Value, CommandError> {
    if let Some(failure) = &rendered.failure {
        return Err(CommandError {
            exit: Exit::No,
            ..CommandError::usage(format!(
                "project {}: CoCalc cannot make the pod that the patch is for: {}",
                rendered.project_id,
                failure_text(rendered, failure)
            ))
        });
    }
    rendered.pod.to_value().map_err(CommandError::usage)
}

/// What is assumed about licenses when a patch is made: with `--for-license` that license's present patch is left
/// out, since the new one takes its place.
fn without_patch_of(args: &Args, ui: &Ui, sources: &Sources) -> Result<WhatIf, CommandError> {
    let mut what_if = args.what_if.resolve_for_making(ui, &sources.snapshot)?;
    if what_if.for_license.is_some() && what_if.patch.is_none() {
        what_if.patch = Some(PatchText {
            text: "[]".to_owned(),
            label: "what-if".to_owned(),
            file: None,
            converted: false,
        });
    }
    Ok(what_if)
}

/// The pod that CoCalc will patch for a live pod's edit.
fn render_base(ui: &Ui, args: &Args, sources: &Sources, id: Option<&str>) -> Result<Rendered, CommandError> {
    let what_if = without_patch_of(args, ui, sources)?;
    let site = site_with(sources, &args.sources, what_if, args.what_if.stored)?;
    if site.template().is_none() {
        return Err(CommandError::usage(
            "the sources hold no template to make the patch for",
        ));
    }
    let ids: Vec<String> = id.map(str::to_owned).into_iter().collect();
    let known = sources
        .snapshot
        .projects
        .iter()
        .any(|row| Some(&*row.project_id) == id);
    let subject = if known || id.is_none() {
        args.projects.select(ui, sources, &ids)?.subjects.first().copied()
    } else {
        ids.first().map(|id| Subject {
            project_id: id,
            known: crate::pipeline::Known::Nothing,
            live_pod: sources.snapshot.live_pods.first(),
        })
    };
    let Some(subject) = subject else {
        return Err(CommandError::usage("no project matches"));
    };
    site.render(subject)
        .map_err(|error| CommandError::usage(format!("project {}: {error}", subject.project_id)))
}

fn site_of_new_template(
    ui: &Ui,
    args: &Args,
    sources: &Sources,
    file: &Path,
    what_if: WhatIf,
) -> Result<Site, CommandError> {
    let (template, notes) = snapshot::template_from_manifests(
        &input(file),
        &mut std::io::stdin().lock(),
        &ReadOptions::default(),
    )
    .map_err(CommandError::usage)?;
    for note in notes.iter().filter(|note| note.is_warning()) {
        ui.warning(&note.message);
    }
    let mut snapshot = sources.snapshot.clone();
    snapshot.template = Some(template);
    let sources = Sources::of(snapshot, sources.projects_from.clone());
    site_with(&sources, &args.sources, what_if, args.what_if.stored)
}
