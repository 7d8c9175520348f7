//! `patch-diff`: what patches change in a pod, or the patch that an edit needs.

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use crate::{
    check::{
        self, Finding, Severity,
        operations::{PatchToCheck, check_operations, operation_findings},
        pod::{Blamer, PodFinding, check_change, check_pod},
        rules::rules,
    },
    json::Json,
    json_patch::{
        Document, Effect, Gate, Operation, Options, Stamp, Unsendable, apply, strict, strict_in_place,
        strict_text,
    },
    output::{
        diff::{self, Documents, Side},
        explain::Explained,
        json as json_output, mask,
        table::Table,
        ui::Ui,
        yaml,
    },
    patch_diff::{self, Made, Request},
    pipeline::{
        Patch, Rendered, Site, Subject,
        calibrate::Speaker,
        placeholders::{self, Placeholder},
        provenance,
        what_if::PatchText,
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
    render::failure_text,
    report::{FailOn, Report},
    select::ProjectArgs,
    sources::{SourceArgs, Sources, WhatIfArgs, input, no_template, site_with},
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
    #[arg(long, conflicts_with = "new_template")]
    edit: bool,

    /// Compare the pod under the present template with the pod under this one
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
    /// What is wrong with the pod after, and who is to blame.
    pod_findings: Vec<(PodFinding, Vec<Value>)>,
    /// Where the candidate's file breaks CoCalc's check.
    dropped_at: Option<String>,
    /// The text of a failure of the patches.
    failure: Option<(String, Value)>,
    /// Whether RFC 6902 accepts the patches.
    rfc6902: Option<Result<(), String>>,
    made: Option<Result<Made, String>>,
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
    let mut incomplete = false;
    let mut of_template = Vec::new();
    let comparisons = match (&args.before, &args.after) {
        (Some(before), after) => vec![files(ui, connection, args, before, after.as_deref(), &ids)?],
        (None, _) => projects(ui, connection, args, &ids, &mut incomplete, &mut of_template)?,
    };
    let exit = print(ui, args, &of_template, comparisons)?;
    Ok(if incomplete { exit.worst(Exit::Usage) } else { exit })
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
    comparison.made = Some(made);
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
    comparison.dropped_at = patch.dropped_at();
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
    comparison.made = made_to_print(args, &comparison.before, &comparison.after);
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

fn projects(
    ui: &Ui,
    connection: &ConnectionArgs,
    args: &Args,
    ids: &[String],
    incomplete: &mut bool,
    of_template: &mut Vec<Finding>,
) -> Result<Vec<Comparison>, CommandError> {
    let sources = read_with_template(ui, connection, args, ids)?;
    *incomplete = !sources.unreadable.is_empty();
    let makes = args.edit || args.after.is_some();
    let what_if = if makes {
        without_patch_of(args, ui, &sources)?
    } else {
        args.what_if.resolve(ui, &sources.snapshot)?
    };
    let site = site_with(&sources, &args.sources, what_if, args.what_if.stored)?;
    let selection = args.projects.select(ui, &sources, ids)?;
    if selection.many && (makes || args.output == Format::License) {
        return Err(CommandError::usage(
            "--edit, --after and -o license take one project",
        ));
    }
    let new_site = match &args.new_template {
        Some(file) => Some(site_of_new_template(ui, args, &sources, file)?),
        None => None,
    };
    let shown = new_site.as_ref().unwrap_or(&site);
    of_template.extend(
        shown
            .template()
            .map(check::template_findings)
            .into_iter()
            .flatten(),
    );
    let mut comparisons = Vec::new();
    let mut speaker = Speaker::default();
    for subject in &selection.subjects {
        let rendered = site
            .render(*subject)
            .map_err(|error| CommandError::usage(format!("project {}: {error}", subject.project_id)))?;
        let mut comparison = project(ui, args, &site, new_site.as_ref(), *subject, rendered)?;
        if args.live {
            let notes = calibrate::assumption_notes(&mut speaker, &site, *subject, args.show_secrets);
            comparison.findings.extend(notes);
        }
        comparisons.push(comparison);
    }
    Ok(comparisons)
}

fn project(
    ui: &Ui,
    args: &Args,
    site: &Site,
    new_site: Option<&Site>,
    subject: Subject<'_>,
    rendered: Rendered,
) -> Result<Comparison, CommandError> {
    let name = format!("project-{}", subject.project_id);
    if let Some(file) = &args.after {
        let after = read_value(ui, file)?;
        return edited(args, &name, rendered, after, file.display().to_string());
    }
    if args.edit {
        return edit(ui, args, &name, rendered);
    }
    if args.live {
        let Some(live) = subject.live_pod else {
            return Err(CommandError::usage(format!(
                "project {} has no live pod in the sources",
                subject.project_id
            ))
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
        comparison.made = made_to_print(args, &pod, &live);
        return Ok(comparison);
    }
    if let Some(new_site) = new_site {
        return next_template(args, &name, new_site, subject, &rendered);
    }
    let before = what_is_left(&rendered.unpatched)?;
    let after = what_is_left(&rendered.pod)?;
    let candidate = site
        .what_if()
        .candidate_license()
        .filter(|_| site.what_if().for_license.is_none());
    let licenses = rendered
        .patches
        .iter()
        .filter(|patch| Some(&*patch.license) != candidate)
        .count();
    let s = if licenses == 1 { "" } else { "s" };
    let what_if = if candidate.is_some() { ", 1 what-if" } else { "" };
    let made = made_to_print(args, &before, &after);
    let mut comparison = Comparison::new(
        (before, format!("{name}  without license patches")),
        (after, format!("{name}  with {licenses} license{s}{what_if}")),
    );
    comparison.project_id = Some(subject.project_id.to_owned());
    comparison.findings = check::findings(site, subject, &rendered);
    comparison.judge_patches(site, &rendered);
    comparison.made = made;
    comparison.judge_rendered(site, &rendered);
    comparison.rendered = Some((Side::After, rendered));
    Ok(comparison)
}

/// The rendered pod and what somebody made of it.
fn edited(
    args: &Args,
    name: &str,
    rendered: Rendered,
    after: Value,
    label: String,
) -> Result<Comparison, CommandError> {
    let before = pod_of(&rendered)?;
    let after = if patch_diff::is_live(&after) {
        patch_diff::without_kubernetes(&after, Some(&before))
    } else {
        after
    };
    let after = with_project_config_of(&rendered, after);
    let made = make(args, &before, &after, None);
    let mut comparison = Comparison::new((before, format!("{name}  rendered")), (after, label));
    if let Ok(made) = &made {
        comparison.add_notes(made);
        comparison.freeze_notes(&rendered, made);
        if args.what_if.for_license.is_none() {
            comparison.findings.extend(order_matters(&rendered, made));
        }
    }
    comparison.project_id = Some(rendered.project_id.clone());
    comparison.judge_pod();
    comparison.made = Some(made);
    comparison.rendered = Some((Side::Before, rendered));
    Ok(comparison)
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

/// The editor, again and again until what was saved can be read and applied.
fn edit(ui: &Ui, args: &Args, name: &str, rendered: Rendered) -> Result<Comparison, CommandError> {
    let before = pod_of(&rendered)?;
    let clean = yaml::write(&before);
    let header = "# Edit the pod that CoCalc will create; an empty or unchanged file ends it. Lines with # at their\n\
                  # start are left out.\n";
    let mut text = format!("{header}{clean}");
    loop {
        let saved = match editor::edit(&text)? {
            Edited::Saved(saved) => saved,
            Edited::Unchanged => {
                ui.plain("Edit cancelled, no changes made.");
                return edited(args, name, rendered, before, format!("{name}  edited"));
            }
        };
        let problem = match snapshot::parse_manifest(&saved, "the edited text") {
            Err(error) => error.to_string(),
            Ok((json, _)) => match json.to_value() {
                Err(error) => error.to_string(),
                Ok(after) if !after.is_object() => "the edited text is no map".to_owned(),
                Ok(after) => match make(args, &before, &after, None) {
                    Err(error) => error,
                    Ok(_) => return edited(args, name, rendered, after, format!("{name}  edited")),
                },
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

/// The pod under another template: which operations fail only there, or meet another element.
fn next_template(
    args: &Args,
    name: &str,
    new_site: &Site,
    subject: Subject<'_>,
    rendered: &Rendered,
) -> Result<Comparison, CommandError> {
    let next = new_site.render(subject).map_err(|error| {
        CommandError::usage(format!(
            "project {} under the new template: {error}",
            subject.project_id
        ))
    })?;
    let before = what_is_left(&rendered.pod)?;
    let after = what_is_left(&next.pod)?;
    let mut comparison = Comparison::new(
        (before.clone(), format!("{name}  present template")),
        (after.clone(), format!("{name}  new template")),
    );
    comparison.project_id = Some(subject.project_id.to_owned());
    comparison.findings = check::findings(new_site, subject, &next);
    if let (Some(failure), None) = (&next.failure, &rendered.failure) {
        let text = failure_text(&next, failure);
        comparison.findings.push(Finding::new(
            "new-template-fails",
            Severity::Error,
            format!("works with the present template and fails with the new one: {text}"),
        ));
    }
    let old = what_is_left(&rendered.unpatched)?;
    let new = what_is_left(&next.unpatched)?;
    for patch in &rendered.patches {
        for (i, operation) in patch.operations().iter().enumerate() {
            for met in patch_diff::other_elements(&old, &new, &operation.path()) {
                comparison.findings.push(Finding::new(
                    "new-template-other-element",
                    Severity::Warning,
                    format!(
                        "{}, operation {} of {} ({} {}): {} was {}, and is {} in the new template",
                        check::license_name(&patch.title, &patch.license),
                        i + 1,
                        patch.operations().len(),
                        operation.op(),
                        operation.path(),
                        met.pointer,
                        met.old,
                        met.new,
                    ),
                ));
            }
        }
    }
    comparison.judge_patches(new_site, &next);
    comparison.judge_rendered(new_site, &next);
    comparison.made = made_to_print(args, &before, &after);
    comparison.rendered = Some((Side::After, next));
    Ok(comparison)
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
            dropped_at: None,
            failure: None,
            rfc6902: None,
            made: None,
        }
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
                let own = dropped_text(site, rendered, &patch.license)
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
        let options = Options {
            validate: site.assumptions().validate_operation,
        };
        for found in operation_findings(rendered, options) {
            if let Some(report) = self.patches.get_mut(found.patch) {
                report.findings.push((found.operation, found.finding));
            }
        }
        if let Some(candidate) = &site.what_if().patch
            && let Ok(pod) = rendered.pod.to_value()
        {
            self.findings.extend(patch_diff::as_operations(&pod, candidate));
        }
        self.dropped_at = site.what_if().patch.as_ref().and_then(PatchText::dropped_at);
        if let Some(candidate) = &site.what_if().patch
            && let Some(report) = self
                .patches
                .iter_mut()
                .find(|p| Some(&*p.license) == site.what_if().candidate_license())
            && !report.findings.is_empty()
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
        self.pod_findings = found.map(|found| (found, Vec::new())).collect();
    }

    /// The same where the pod after is a rendered one, with who is to blame.
    fn judge_rendered(&mut self, site: &Site, rendered: &Rendered) {
        self.judge_pod();
        if self.pod_findings.is_empty() {
            return;
        }
        let explained = Explained::new(site, rendered);
        let mut blamer = Blamer::new(rendered);
        for (found, guilty) in &mut self.pod_findings {
            let path = provenance::pointer(&found.path);
            let writers = blamer.blame(found);
            *guilty = writers
                .iter()
                .flat_map(|writer| explained.blame_json(writer, &path))
                .collect();
        }
    }

    fn writer(&self, side: Side, path: &[yaml::PathPart<'_>]) -> Option<String> {
        let (of, rendered) = self.rendered.as_ref()?;
        if *of != side {
            return None;
        }
        let keys: Vec<crate::json_patch::Key<'_>> = path
            .iter()
            .map(|part| match part {
                yaml::PathPart::Name(name) => crate::json_patch::Key::Name(name),
                yaml::PathPart::Index(index) => crate::json_patch::Key::Index(*index),
            })
            .collect();
        match rendered.writer(rendered.pod.writer_of(&keys)?) {
            provenance::Writer::Operation { patch, operation } => {
                let patch = rendered.patches.get(patch)?;
                Some(format!("{} op {}", short(patch), operation + 1))
            }
            _ => None,
        }
    }

    fn report(&self, show_secrets: bool) -> Value {
        let (before, after) = self.shown(show_secrets);
        let operations = |patch: &PatchReport| -> Vec<Value> {
            // Both are in the order of the operations.
            let mut rest = patch.findings.iter().peekable();
            let operation = |(i, (operation, effect)): (usize, &(Operation, Effect))| {
                let own = std::iter::from_fn(|| rest.next_if(|(at, _)| *at == i));
                let findings: Vec<Value> = own.map(|(_, finding)| Value::Object(finding.to_json())).collect();
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
        let about_pod = self.pod_findings.iter().map(|(found, blame)| {
            let mut map = found.finding.to_json();
            map.insert("path".to_owned(), json!(provenance::pointer(&found.path)));
            map.insert("field".to_owned(), json!(found.field));
            map.insert("blame".to_owned(), Value::from(blame.clone()));
            Value::Object(map)
        });
        let others = self
            .findings
            .iter()
            .map(|finding| Value::Object(finding.to_json()));
        let findings: Vec<Value> = about_pod.chain(others).collect();
        let patch = match &self.made {
            Some(Ok(made)) if show_secrets => Value::from(made.operations.clone()),
            Some(Ok(made)) => mask::anywhere(&Value::from(made.operations.clone())),
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

    fn shown(&self, show_secrets: bool) -> (Value, Value) {
        if show_secrets {
            (self.before.clone(), self.after.clone())
        } else {
            mask::pods(&self.before, &self.after)
        }
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
    if patch.license == crate::pipeline::what_if::EXTRA_LICENSE {
        patch.title.clone()
    } else {
        patch.license.get(..8).unwrap_or(&patch.license).to_owned()
    }
}

fn print(
    ui: &Ui,
    args: &Args,
    of_template: &[Finding],
    comparisons: Vec<Comparison>,
) -> Result<Exit, CommandError> {
    let many = comparisons.len() > 1;
    let mut report = Report::new(ui, many);
    report.for_all(of_template);
    let mut out = ui.stdout();
    let (mut differs, mut fails, mut dropped) = (false, false, false);
    for comparison in &comparisons {
        differs |= comparison.before != comparison.after;
        fails |= comparison.failure.is_some();
        dropped |= comparison
            .findings
            .iter()
            .any(|f| f.rule == "patch-dropped" && f.severity == Severity::Error);
    }
    match args.output {
        Format::Diff => match ExternalDiff::from_env(ui) {
            Some(external) => {
                let pairs: Vec<(Value, Value)> =
                    comparisons.iter().map(|c| c.shown(args.show_secrets)).collect();
                differs = external.show(&pairs)?;
            }
            None => out.write_all(diffs(ui, args, &comparisons).as_bytes())?,
        },
        Format::Patch | Format::License => {
            for comparison in &comparisons {
                match &comparison.made {
                    Some(Ok(made)) => {
                        let mut text = patch_diff::text(&made.operations, args.output == Format::Patch);
                        if !text.ends_with('\n') {
                            text.push('\n');
                        }
                        if made.operations.is_empty() {
                            ui.note("there is no difference that a patch would make");
                        }
                        out.write_all(text.as_bytes())?;
                    }
                    Some(Err(error)) => return Err(CommandError::usage(error)),
                    None => {}
                }
            }
        }
        Format::Json => {
            let reports: Vec<Value> = comparisons.iter().map(|c| c.report(args.show_secrets)).collect();
            let value = match <[Value; 1]>::try_from(reports) {
                Ok([only]) => only,
                Err(all) => Value::from(all),
            };
            out.write_all(json_output::pretty(&value).as_bytes())?;
        }
    }
    out.finish()?;
    for comparison in comparisons {
        if !many && args.output != Format::Json && !comparison.patches.is_empty() {
            ui.plain(patch_lines(&comparison.patches).trim_end());
        }
        if let Some((text, _)) = &comparison.failure {
            let project = comparison
                .project_id
                .as_deref()
                .map_or_else(String::new, |id| format!("project {id}: "));
            ui.error(&format!("{project}CoCalc cannot make the pod: {text}"), None);
        }
        let id = comparison.project_id.as_deref().unwrap_or_default();
        for patch in &comparison.patches {
            let count = patch.operations.len();
            for (i, finding) in &patch.findings {
                let message = format!(
                    "{}, operation {} of {count}: {}",
                    patch.name(),
                    i + 1,
                    finding.message
                );
                let finding = Finding {
                    message,
                    ..finding.clone()
                };
                report.add_at(id, patch.places.get(*i).map(String::as_str), finding);
            }
        }
        for (found, blame) in &comparison.pod_findings {
            let who = blamed(blame);
            let message = format!("{}{who}", check::at_place(&found.field, &found.finding.message));
            report.add_at(
                id,
                None,
                Finding {
                    message,
                    ..found.finding.clone()
                },
            );
        }
        for finding in comparison.findings {
            match finding.rule {
                // What an operation does is told above in more words.
                "operation-without-effect" => {}
                "patch-dropped" if finding.severity == Severity::Error => {
                    report.add_at(id, comparison.dropped_at.as_deref(), finding);
                }
                _ => report.add(id, vec![finding]),
            }
        }
    }
    let worst = report.finish();
    Ok(match args.fail_on {
        Some(fail_on) if fails || worst.is_some_and(|worst| worst >= fail_on.into()) => Exit::No,
        Some(_) => Exit::Done,
        None if fails || dropped => Exit::No,
        None if args.output == Format::Diff && differs && !args.exit_zero => Exit::No,
        None => Exit::Done,
    })
}

/// ` (license "Lab" f3d76abf, operation 1)`, or nothing if nobody is to blame.
fn blamed(blame: &[Value]) -> String {
    let name = |entry: &Value| {
        let text = |member: &str| entry.get(member).and_then(Value::as_str).unwrap_or_default();
        match text("by") {
            "license" => {
                let operation = entry.get("operation").and_then(Value::as_u64).unwrap_or_default() + 1;
                format!(
                    "{}, operation {operation}",
                    check::license_name(text("title"), text("license"))
                )
            }
            "quota" => format!("quota {}", text("field")),
            "placeholder" => format!("placeholder {{{}}}", text("name")),
            other => other.to_owned(),
        }
    };
    let names: Vec<String> = blame.iter().map(name).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(" ({})", names.join("; "))
    }
}

/// The text of a license's patch that CoCalc's check drops; of a patch that is stored as JSON, its JSON.
fn dropped_text(site: &Site, rendered: &Rendered, license: &str) -> Option<String> {
    if let Some(candidate) = &site.what_if().patch
        && site.what_if().candidate_license() == Some(license)
    {
        return Some(candidate.text.clone());
    }
    let judged = rendered.judged.as_ref()?;
    let found = &judged.computed.patches;
    let patch = &found.iter().find(|found| found.license == license)?.patch;
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
fn diffs(ui: &Ui, args: &Args, comparisons: &[Comparison]) -> String {
    let one = |comparison: &Comparison| {
        let (before, after) = comparison.shown(args.show_secrets);
        let documents = Documents {
            before: &before,
            before_label: &comparison.before_label,
            after: &after,
            after_label: &comparison.after_label,
        };
        diff::unified(
            &documents,
            &|side, path| comparison.writer(side, path),
            ui.color_stdout(),
        )
    };
    if let [only] = comparisons {
        return one(only);
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

/// The patch of a comparison whose patch is only printed.
fn made_to_print(args: &Args, before: &Value, after: &Value) -> Option<Result<Made, String>> {
    (args.output != Format::Diff).then(|| make(args, before, after, None))
}

fn make(args: &Args, before: &Value, after: &Value, base: Option<&Value>) -> Result<Made, String> {
    let request = Request {
        before,
        after,
        base,
        guards: !args.no_guards,
    };
    patch_diff::make(&request).map_err(|error| error.to_string())
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
fn without_patch_of(
    args: &Args,
    ui: &Ui,
    sources: &Sources,
) -> Result<crate::pipeline::what_if::WhatIf, CommandError> {
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

fn site_of_new_template(ui: &Ui, args: &Args, sources: &Sources, file: &Path) -> Result<Site, CommandError> {
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
    let what_if = args.what_if.resolve(ui, &sources.snapshot)?;
    site_with(&sources, &args.sources, what_if, args.what_if.stored)
}
