//! `quota`: the computed quota, each value and how it is calculated.

use std::{collections::HashMap, io::Write as _, sync::Arc};

use serde_json::{Map, Value, json};

use crate::{
    check::{self, Finding},
    json::{JsString, Json},
    json_patch::Gate,
    output::{YAML_DOCUMENT_SEPARATOR, json as json_output, table::Table, ui::Ui, yaml},
    pipeline::{
        Judged, Known, ProjectError, Site, Subject, placeholders,
        quota::{Decided, Reason},
    },
};

use super::{
    CommandError, Exit,
    database::Need,
    report::Report,
    select::ProjectArgs,
    sources::{SourceArgs, WhatIfArgs, site, site_now},
};

/// Show the quota that CoCalc computes for a project, and how it calculates each value
///
/// Judges the project's licenses as CoCalc's license hook does at the next start, and computes the quota from
/// them, from the users' upgrades, the project's settings and the site's settings. Amounts of memory and disk
/// are in MB, CPU in cores, times in seconds.
///
/// WHY is the calculation as CoCalc does it, from the first step to the last. The quotas of licenses of one hosting
/// class are added to each other and capped; upgrades of users and old licenses are added to the default. The larger
/// result counts, and the smaller one follows after "above".
///
/// With a what-if, NOW is the quota of the next start without it.
///
/// Exit codes: 0 done; 1 CoCalc would drop the patch that is assumed; 2 wrong usage or input, or no source of
/// projects.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  # The quota of the built-in example's project
  kubectl cocalc quota --example

  # As of another day, and with one license more
  kubectl cocalc quota -f site.yaml --at 2027-01-01 --add-license 77aa10b4 \\
    11111111-1111-4111-8111-111111111111

  # All projects, one JSON object a line
  kubectl cocalc quota -f site.yaml --all -o jsonl")]
pub(super) struct Args {
    #[command(flatten)]
    projects: ProjectArgs,

    /// Output format: table, json, jsonl, yaml
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "table",
        hide_possible_values = true
    )]
    output: Format,

    #[command(flatten)]
    sources: SourceArgs,

    #[command(flatten)]
    what_if: WhatIfArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
    Jsonl,
    Yaml,
}

struct Answer {
    project_id: String,
    text: String,
    findings: Vec<Finding>,
    candidate_dropped: bool,
    error: Option<String>,
}

pub(super) fn quota(ui: &Ui, args: &Args) -> Result<Exit, CommandError> {
    let ids = args.projects.ids()?;
    let need = Need {
        projects: &args.projects,
        ids: &ids,
        streams: true,
        run_quota: args.output == Format::Table,
    };
    let sources = args.sources.read_for(ui, &args.what_if, Some(need))?;
    let site = site(ui, &sources, &args.sources, &args.what_if)?;
    let is_what_if = site.what_if_words().is_some();
    let now = is_what_if.then(|| site_now(&sources, &args.sources, args.what_if.stored));
    let now = now.transpose()?;
    let selection = args.projects.select(ui, &sources, &ids)?;
    let (many, width) = (selection.many, ui.stdout_width());
    let mut report = Report::new(ui, many);
    let mut out = ui.stdout();
    let (mut exit, mut printed) = (Exit::Done, 0_usize);
    let (open, between, close) = match (args.output, many) {
        (Format::Json, true) => ("[\n", ",\n", "\n]\n"),
        (Format::Yaml, true) => ("", YAML_DOCUMENT_SEPARATOR, ""),
        (Format::Table, true) => ("", "\n", ""),
        _ => ("", "", ""),
    };
    out.write_all(open.as_bytes())?;
    selection.answers(
        ui,
        &site,
        Shared::default,
        |site, shared, subject| {
            let sites = (site, now.as_ref());
            answer(sites, subject, args.output, (many, width), shared)
        },
        |error| Answer {
            error: Some(error.to_string()),
            ..Answer::of(&error.project_id)
        },
        |answer| {
            report.add(&answer.project_id, answer.findings);
            if let Some(error) = answer.error {
                report.error(&answer.project_id, error);
                exit = exit.worst(Exit::Usage);
                return Ok(());
            }
            if answer.candidate_dropped {
                exit = exit.worst(Exit::No);
            }
            if printed > 0 {
                out.write_all(between.as_bytes())?;
            }
            printed += 1;
            out.write_all(answer.text.as_bytes())?;
            Ok(())
        },
    )?;
    out.write_all(close.as_bytes())?;
    out.finish()?;
    report.finish();
    Ok(exit)
}

impl Answer {
    fn of(project_id: &str) -> Self {
        Self {
            project_id: project_id.to_owned(),
            text: String::new(),
            findings: Vec::new(),
            candidate_dropped: false,
            error: None,
        }
    }
}

/// Reports of projects that share a verdict differ in the project's id alone.
#[derive(Default)]
struct Shared {
    /// By the address of the verdict, which stays where it is as long as it is held here.
    by_verdict: HashMap<*const Judged, (Arc<Judged>, Told)>,
}

/// A report with a gap for the project's id, and what goes with it.
struct Told {
    before: String,
    after: String,
    findings: Vec<Finding>,
    candidate_dropped: bool,
}

/// For how many verdicts reports are remembered, at most.
const REMEMBERED: usize = 1024;

impl Shared {
    fn answer(&self, judged: &Arc<Judged>, project_id: &str) -> Option<Answer> {
        let (_, told) = self.by_verdict.get(&Arc::as_ptr(judged))?;
        Some(Answer {
            text: format!("{}{}{}", told.before, Value::from(project_id), told.after),
            findings: told.findings.clone(),
            candidate_dropped: told.candidate_dropped,
            ..Answer::of(project_id)
        })
    }

    fn remember(&mut self, judged: &Arc<Judged>, told: Told) {
        if self.by_verdict.len() == REMEMBERED {
            self.by_verdict.clear();
        }
        self.by_verdict
            .insert(Arc::as_ptr(judged), (judged.clone(), told));
    }
}

fn answer(
    (site, now): (&Site, Option<&Site>),
    subject: Subject<'_>,
    format: Format,
    (many, width): (bool, Option<usize>),
    shared: &mut Shared,
) -> Answer {
    let mut answer = Answer::of(subject.project_id);
    let judged = match site.judge(subject) {
        Ok(Some(judged)) => judged,
        Ok(None) => {
            answer.error = Some(
                "its licenses are unknown, since there is no source of projects; give --database, a snapshot file \
                 with `projects` by -f, or --example"
                    .to_owned(),
            );
            return answer;
        }
        Err(error) => {
            answer.error = Some(error.to_string());
            return answer;
        }
    };
    if let Some(answer) = shared.answer(&judged, subject.project_id) {
        return answer;
    }
    // Somebody else holds it: it is remembered for the next projects of the same kind, as far as the verdict is all that
    // there is to tell.
    let shares = format == Format::Jsonl && Arc::strong_count(&judged) > 1 && now.is_none();
    let present = match now.map(|now| now.judge(subject)).transpose() {
        Ok(present) => present.flatten().map(|present| present.computed.quota.to_json()),
        Err(error) => {
            answer.error = Some(format!("without the what-if: {error}"));
            return answer;
        }
    };
    let text = site
        .explain(&judged)
        .map_err(ProjectError::from)
        .map(|decided| match format {
            Format::Table => table(site, subject, &judged, &decided, present.as_ref(), (many, width)),
            _ => {
                let report = report_json(subject.project_id, &judged, &decided, present.as_ref());
                match format {
                    Format::Jsonl => format!("{}\n", json_output::compact(&report)),
                    Format::Yaml => yaml::write(&report),
                    _ if many => super::render::indented(&json_output::pretty(&report), 1),
                    _ => json_output::pretty(&report),
                }
            }
        });
    match text {
        Ok(text) => answer.text = text,
        Err(error) => answer.error = Some(error.to_string()),
    }
    answer.findings = match format {
        // The table tells all else itself.
        Format::Table => check::patch_findings(site, &judged),
        _ => check::license_findings(site, &judged),
    };
    answer.candidate_dropped = check::candidate_is_dropped(&answer.findings);
    if shares && answer.error.is_none() {
        let id = Value::from(subject.project_id).to_string();
        let member = format!("\"project_id\":{id}");
        // Only its own: an entry of a license may have a member of this name, too.
        let mut places = answer.text.match_indices(&member).map(|(at, _)| at);
        if let (Some(at), None) = (places.next(), places.next()) {
            let (before, rest) = answer.text.split_at(at + member.len() - id.len());
            let told = Told {
                before: before.to_owned(),
                after: rest.strip_prefix(&*id).unwrap_or(rest).to_owned(),
                findings: answer.findings.clone(),
                candidate_dropped: answer.candidate_dropped,
            };
            shared.remember(&judged, told);
        }
    }
    answer
}

fn report_json(project_id: &str, judged: &Judged, decided: &Decided, present: Option<&Json>) -> Value {
    // A half surrogate pair can stand only in ids and names that nobody has; they are left out.
    let value = |json: &Json| json.to_value().unwrap_or_default();
    let mut report = json!({
        "project_id": project_id,
        "quota": value(&judged.computed.quota.to_json()),
        "reasons": reasons(judged),
        "site_license": value(&judged.site_license),
        "decided_by": value(&decided.to_json()),
    });
    if let (Some(present), Some(report)) = (present, report.as_object_mut()) {
        report.insert("now".to_owned(), value(present));
    }
    report
}

/// Why licenses add nothing: the quota function's reasons, and where it has none the hook's.
fn reasons(judged: &Judged) -> Map<String, Value> {
    let members = judged.site_license.members().into_iter();
    let hook = members.filter_map(|(id, entry)| Some((id, entry.get("reason")?.as_str()?)));
    let computed = judged.computed.reasons.iter();
    // Of two the last one counts.
    hook.chain(computed.map(|(id, reason)| (id, reason.as_str())))
        .map(|(id, reason)| (id.to_string_lossy(), Value::from(reason)))
        .collect()
}

/// The values of the quota in the order of the table, with their units.
const ROWS: [(&str, &str); 14] = [
    ("network", ""),
    ("member_host", ""),
    ("always_running", ""),
    ("privileged", ""),
    ("cpu_request", " cores"),
    ("cpu_limit", " cores"),
    ("memory_request", " MB"),
    ("memory_limit", " MB"),
    ("disk_quota", " MB"),
    ("idle_timeout", " s"),
    ("ext_rw", ""),
    ("gpu", ""),
    ("dedicated_vm", ""),
    ("dedicated_disks", ""),
];

fn table(
    site: &Site,
    subject: Subject<'_>,
    judged: &Judged,
    decided: &Decided,
    present: Option<&Json>,
    (many, width): (bool, Option<usize>),
) -> String {
    let next = judged.computed.quota.to_json();
    let now = present.cloned().or_else(|| running(site, subject));
    let rows: Vec<(&str, &str)> = ROWS
        .into_iter()
        .filter(|(name, _)| {
            next.get(name).is_some() || now.as_ref().is_some_and(|now| now.get(name).is_some())
        })
        .collect();
    let shown = |quota: &Json, name: &str, unit: &str| match quota.get(name) {
        None if name == "ext_rw" => "false".to_owned(),
        None => "-".to_owned(),
        Some(Json::Number(number)) => format!("{}{unit}", crate::json::number_text(*number)),
        Some(other) => other.stringify(),
    };
    let differs = |name: &str, unit: &str| {
        now.as_ref()
            .map(|now| shown(now, name, unit))
            .filter(|text| *text != shown(&next, name, unit))
    };
    let show_now = present.is_some() || rows.iter().any(|(name, unit)| differs(name, unit).is_some());
    let title = |id: &JsString| {
        id.as_str()
            .and_then(|id| site.license(id))
            .map(|license| license.title.clone())
    };
    let mut values = match (present, show_now) {
        (Some(_), _) => Table::new(["value", "now", "what if", "why"]),
        (None, true) => Table::new(["value", "next start", "now", "why"]),
        (None, false) => Table::new(["value", "next start", "why"]),
    };
    for (name, unit) in rows {
        let mut cells = vec![name.to_owned(), shown(&next, name, unit)];
        if let Some(present) = present {
            cells.insert(1, shown(present, name, unit));
        } else if show_now {
            cells.push(differs(name, unit).unwrap_or_default());
        }
        cells.push(decided.why(name, &title));
        values.row(cells);
    }
    let mut licenses = Table::new(["license", "title", "state", "patch", "reason"]);
    let reasons: HashMap<&JsString, Reason> = judged
        .computed
        .reasons
        .iter()
        .map(|(id, reason)| (id, *reason))
        .collect();
    let patches: HashMap<&JsString, &Json> = judged
        .computed
        .patches
        .iter()
        .map(|found| (&found.license, &found.patch))
        .collect();
    for (id, entry, verdict) in judged.licenses() {
        let stored = |member| entry.get(member).and_then(Json::as_str);
        let (state, reason) = match verdict {
            Some(verdict) => (verdict.state.as_str(), verdict.to_string()),
            None => (
                stored("status").unwrap_or("stored"),
                stored("reason").unwrap_or_default().to_owned(),
            ),
        };
        let reason = match reasons.get(id) {
            Some(why) if reason.is_empty() => why.as_str().to_owned(),
            _ => reason,
        };
        licenses.row([
            id.to_string_lossy(),
            title(id).unwrap_or_default(),
            state.to_owned(),
            patch_cell(site, id, patches.get(id).copied()),
            reason,
        ]);
    }
    let mut text = String::new();
    if many {
        let title = match subject.known {
            Known::Row(row) => crate::output::escape::line(&row.title).into_owned(),
            _ => String::new(),
        };
        text.push_str(format!("project {}  {title}", subject.project_id).trim_end());
        text.push('\n');
    }
    text.push_str(&values.within(width));
    if !licenses.is_empty() {
        text.push('\n');
        text.push_str(&licenses.within(width));
    }
    text
}

fn patch_cell(site: &Site, id: &JsString, used: Option<&Json>) -> String {
    // An ineffective license has none in the project; its row may.
    let row = || site.license(id.as_str()?)?.quota.get_non_null("patch");
    let Some(patch) = used.or_else(row) else {
        return String::new();
    };
    match &*site.gate(patch) {
        Gate::Passes(operations) if used.is_none() && operations.is_empty() => String::new(),
        Gate::Passes(operations) => {
            let s = if operations.len() == 1 { "" } else { "s" };
            let lost = if used.is_none() { ", not applied" } else { "" };
            format!("{} operation{s}{lost}", operations.len())
        }
        Gate::Dropped(reason) => format!("dropped: {reason}"),
        Gate::TooDeep(error) => format!("not judged: {error}"),
    }
}

/// The quota of the last start: `run_quota`, else what the live pod was given.
fn running(site: &Site, subject: Subject<'_>) -> Option<Json> {
    if let Known::Row(row) = subject.known
        && let Ok(quota @ Json::Map(_)) = row.run_quota.value()
    {
        return Some(quota);
    }
    let recovered = site.template()?.recover(subject.live_pod?);
    recovered
        .get(placeholders::Placeholder::ProjectConfig)
        .and_then(placeholders::quota_of_project_config)
}
