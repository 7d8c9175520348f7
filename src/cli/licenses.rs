//! `licenses`: which licenses there are, who holds them, what they do.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use crate::{
    check::license_name,
    json::{self, Json, number_text},
    json_patch::{Gate, gate_value},
    output::{YAML_DOCUMENT_SEPARATOR, escape, json as json_output, mask, table::Table, ui::Ui, yaml},
    pipeline::licenses::{State, state_by_dates_and_limit},
    snapshot::{License, LicenseCounts, Snapshot, counts, is_uuid},
};

use super::{
    CommandError, Exit,
    select::resolve_license,
    sources::{SourceArgs, WhatIfArgs},
};

/// Show which licenses there are, who holds them and what they do
///
/// STATE is that of the license itself: active, future, expired, exhausted (as many projects run with it as its run
/// limit allows), orphan (it has no row any more, but projects still hold it), uncountable (CoCalc's count of running
/// projects fails). HELD is the number of projects that have it, RUNNING the number of running projects that CoCalc
/// counts against its limit.
///
/// Exit codes: 0 done; 2 wrong usage or input.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:
  # All licenses of the built-in example
  kubectl cocalc licenses --example

  # What can be deleted: held by no project, or not used for 90 days
  kubectl cocalc licenses -f site.yaml --unused=90d

  # Deleted licenses whose quota and patch still are in force in projects
  kubectl cocalc licenses -f site.yaml --orphans

  # One license with its patch, values that look like secrets included
  kubectl cocalc licenses -f site.yaml f3d76abf -o json --show-secrets",
    mut_arg("set", |arg| arg.hide(true)),
    mut_arg("image", |arg| arg.hide(true)),
    mut_arg("template_configmap", |arg| arg.hide(true))
)]
pub(super) struct Args {
    /// UUID of a license, or an unambiguous beginning of at least 6 characters
    #[arg(value_name = "ID")]
    id: Vec<String>,

    /// Only licenses that no project holds; with =AGE also those not used for so long, for example 90d or 36h
    #[arg(
        long,
        value_name = "AGE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        conflicts_with = "orphans"
    )]
    unused: Option<String>,

    /// Only licenses with a patch
    #[arg(long)]
    patched: bool,

    /// Only licenses that live on in projects although their row is gone
    #[arg(long)]
    orphans: bool,

    /// Output format: table, wide, json, yaml, name
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "table",
        hide_possible_values = true
    )]
    output: Format,

    /// Show values of environment variables that look like secrets
    #[arg(long)]
    show_secrets: bool,

    #[command(flatten)]
    sources: SourceArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Wide,
    Json,
    Yaml,
    Name,
}

pub(super) fn licenses(ui: &Ui, args: &Args) -> Result<Exit, CommandError> {
    if !args.sources.set.is_empty() || args.sources.image.is_some() {
        return Err(CommandError::usage(
            "--set and --image are about a project's pod, which licenses does not look at",
        ));
    }
    let age = match args.unused.as_deref() {
        None | Some("") => None,
        Some(text) => Some(age(text).ok_or_else(|| {
            CommandError::usage(format!(
                "--unused={text}: no span of time; write it as 90d, 36h or 1d12h"
            ))
        })?),
    };
    let snapshot = args.sources.read_for(ui, &WhatIfArgs::default(), None)?.snapshot;
    let counted = snapshot.has_projects || snapshot.license_holders.is_some();
    if !counted && (args.unused.is_some() || args.orphans) {
        let flag = if args.orphans { "--orphans" } else { "--unused" };
        return Err(CommandError::usage(format!("{flag} needs a source of projects"))
            .hint("give --database, a snapshot file with `projects` by -f, or --example"));
    }
    let source = args.sources.example || args.sources.database.is_some() || !args.sources.filename.is_empty();
    if !counted && !source {
        return Err(CommandError::usage("there is no source of licenses")
            .hint("give --database, a snapshot file by -f, or --example"));
    }
    let now = snapshot.now.unwrap_or_else(Timestamp::now);
    let named = args
        .id
        .iter()
        .map(|id| resolve_license(&snapshot, id, "license", false))
        .collect::<Result<BTreeSet<_>, _>>()?;
    let mut rows = rows(&snapshot, now);
    rows.retain(|row| {
        (named.is_empty() || named.contains(&row.id))
            && (!args.patched || row.patch.is_there())
            && (!args.orphans || row.license.is_none())
            && (args.unused.is_none() || row.is_unused(age.map(|age| now.saturating_sub(age).unwrap_or(now))))
    });
    let mut out = ui.stdout();
    out.text(&text(&rows, args.output, named.len() == 1, args.show_secrets))?;
    out.finish()?;
    if rows.is_empty() {
        ui.note(if named.is_empty() && snapshot.site_licenses.is_empty() {
            "the sources hold no license"
        } else {
            "no license matches"
        });
    }
    if args.output != Format::Name {
        tell(ui, &rows, !named.is_empty());
    }
    Ok(Exit::Done)
}

/// A license, or what projects hold of one that is gone.
struct Row<'a> {
    id: String,
    license: Option<&'a License>,
    state: &'static str,
    counts: LicenseCounts,
    patch: Patch,
}

/// What CoCalc makes of a license's patch.
enum Patch {
    None,
    Operations(usize),
    Dropped(String),
    TooDeep(String),
    /// Projects hold so many different ones.
    Several(usize),
}

impl Patch {
    fn of(patch: &Json) -> Self {
        match gate_value(patch) {
            Gate::Passes(operations) if operations.is_empty() => Self::None,
            Gate::Passes(operations) => Self::Operations(operations.len()),
            Gate::Dropped(reason) => Self::Dropped(reason.to_string()),
            Gate::TooDeep(error) => Self::TooDeep(error.to_string()),
        }
    }

    fn is_there(&self) -> bool {
        !matches!(self, Self::None)
    }

    fn cell(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Operations(1) => "1 operation".to_owned(),
            Self::Operations(count) => format!("{count} operations"),
            Self::Dropped(reason) => format!("dropped: {reason}"),
            Self::TooDeep(error) => format!("not judged: {error}"),
            Self::Several(count) => format!("{count} different ones"),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Operations(count) => json!({"gate": "passes", "operations": count}),
            Self::Dropped(reason) => json!({"gate": "dropped", "reason": reason}),
            Self::TooDeep(error) => json!({"gate": "not judged", "reason": error}),
            Self::Several(count) => json!({"different": count}),
        }
    }
}

fn rows(snapshot: &Snapshot, now: Timestamp) -> Vec<Row<'_>> {
    let mut counts = counts(snapshot);
    let mut rows: Vec<Row<'_>> = snapshot
        .site_licenses
        .values()
        .map(|license| {
            let counts = counts.remove(&license.id).unwrap_or_default();
            let state = if counts.uncountable.is_some() && license.run_limit.is_some() {
                "uncountable"
            } else {
                state_by_dates_and_limit(license, counts.running, now).as_str()
            };
            Row {
                id: license.id.clone(),
                license: Some(license),
                state,
                counts,
                patch: license.quota.get_non_null("patch").map_or(Patch::None, Patch::of),
            }
        })
        .collect();
    counts.retain(|_, of| of.held.unwrap_or_default() > 0 || of.running.unwrap_or_default() > 0);
    let mut patches = stored_patches(snapshot, &counts);
    rows.extend(counts.into_iter().map(|(id, counts)| {
        let stored = patches.remove(&id).unwrap_or_default();
        Row {
            state: if is_uuid(&id) {
                State::Orphan
            } else {
                State::NotAUuid
            }
            .as_str(),
            license: None,
            counts,
            patch: match (stored.first(), stored.len()) {
                (Some(only), 1) => json::parse(only).map_or(Patch::None, |patch| Patch::of(&patch)),
                (None, _) => Patch::None,
                (_, count) => Patch::Several(count),
            },
            id,
        }
    }));
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    rows
}

/// The different patches, as JSON, that projects hold of licenses without a row.
fn stored_patches(
    snapshot: &Snapshot,
    orphans: &BTreeMap<String, LicenseCounts>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut patches: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    if orphans.is_empty() {
        return patches;
    }
    for project in &snapshot.projects {
        // The text is searched before it is read: most projects hold no patch.
        if !project.site_license.may_name("patch") {
            continue;
        }
        let Ok(held) = project.site_license.value() else {
            continue;
        };
        for (id, entry) in held.members() {
            let id = id.to_string_lossy();
            let patch = entry.get("quota").and_then(|quota| quota.get_non_null("patch"));
            if let (Some(patch), true) = (patch, orphans.contains_key(&id)) {
                patches.entry(id).or_default().insert(patch.stringify());
            }
        }
    }
    patches
}

impl Row<'_> {
    /// Whether no project holds it, or it was last used (else: became active) before `since`.
    fn is_unused(&self, since: Option<Timestamp>) -> bool {
        let Some(license) = self.license else { return false };
        let old = |since| {
            license
                .last_used
                .or(license.activates)
                .is_none_or(|used| used < since)
        };
        self.counts.held == Some(0) || since.is_some_and(old)
    }

    fn cells(&self, wide: bool) -> Vec<String> {
        let count = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let limit = self
            .license
            .and_then(|license| license.run_limit)
            .map_or_else(|| "-".to_owned(), number_text);
        let date = |time: Option<Timestamp>| {
            time.map_or_else(
                || "never".to_owned(),
                |time| time.to_zoned(TimeZone::UTC).date().to_string(),
            )
        };
        let of_row = |cell: &dyn Fn(&License) -> String| self.license.map_or_else(|| "-".to_owned(), cell);
        let mut cells = vec![
            self.id.clone(),
            self.license
                .map_or_else(String::new, |license| license.title.clone()),
            self.state.to_owned(),
            self.patch.cell(),
            count(self.counts.held),
            format!("{}/{limit}", count(self.counts.running)),
            of_row(&|license| date(license.last_used)),
        ];
        if wide {
            cells.push(of_row(&|license| license.managers.join(",")));
            cells.push(of_row(&|license| date(license.expires)));
        }
        cells
    }

    fn to_json(&self, show_secrets: bool) -> Value {
        // Half a surrogate pair can stand in no column of a database.
        let value = |json: &Json| json.to_value().unwrap_or_default();
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let mut report = json!({
            "id": self.id,
            "state": self.state,
            "held": self.counts.held,
            "running": self.counts.running,
            "patch": self.patch.to_json(),
        });
        if let (Some(license), Some(fields)) = (self.license, report.as_object_mut()) {
            let of_row = json!({
                "title": license.title,
                "run_limit": license.run_limit.map(json::value_from_f64),
                "activates": time(license.activates),
                "expires": time(license.expires),
                "last_used": time(license.last_used),
                "managers": license.managers,
                "quota": if show_secrets {
                    value(&license.quota)
                } else {
                    mask::quota(&value(&license.quota))
                },
                "upgrades": value(&license.upgrades),
            });
            fields.extend(of_row.as_object().cloned().unwrap_or_default());
        }
        report
    }
}

fn text(rows: &[Row<'_>], format: Format, single: bool, show_secrets: bool) -> String {
    let reports = || rows.iter().map(|row| row.to_json(show_secrets));
    match format {
        Format::Name => rows
            .iter()
            .map(|row| format!("license/{}\n", escape::line(&row.id)))
            .collect(),
        Format::Json => match reports().next() {
            Some(only) if single => json_output::pretty(&only),
            _ => json_output::pretty(&reports().collect()),
        },
        Format::Yaml => {
            let documents: Vec<String> = reports().map(|report| yaml::write(&report)).collect();
            documents.join(YAML_DOCUMENT_SEPARATOR)
        }
        Format::Table | Format::Wide => {
            let wide = format == Format::Wide;
            let mut headings = vec![
                "id",
                "title",
                "state",
                "patch",
                "held",
                "running/limit",
                "last used",
            ];
            if wide {
                headings.extend(["managers", "expires"]);
            }
            let mut table = Table::new(headings);
            for row in rows {
                table.row(row.cells(wide));
            }
            if rows.is_empty() {
                String::new()
            } else {
                table.to_string()
            }
        }
    }
}

/// What an admin should know before deleting anything.
fn tell(ui: &Ui, rows: &[Row<'_>], named: bool) {
    let projects = |count: u64| format!("{count} project{}", if count == 1 { "" } else { "s" });
    let held: Vec<(&Row<'_>, u64)> = rows
        .iter()
        .filter_map(|row| Some((row, row.counts.held.filter(|held| *held > 0)?)))
        .collect();
    let (with_row, orphans): (Vec<_>, Vec<_>) = held.into_iter().partition(|(row, _)| row.license.is_some());
    if named {
        for (row, held) in &with_row {
            let title = row.license.map_or("", |license| &license.title);
            let (it, s) = if *held == 1 { ("it", "s") } else { ("them", "") };
            ui.note(&format!(
                "{}: {} hold{s} it; deleting its row leaves the quota and patch stored there in force, so take it \
                 from {it} first",
                license_name(title, &row.id),
                projects(*held),
            ));
        }
    } else if !with_row.is_empty() {
        ui.note(&format!(
            "projects hold {} of these licenses; deleting the row of one leaves the quota and patch stored in its \
             projects in force, so take it from them first",
            with_row.len()
        ));
    }
    for (row, held) in &orphans {
        ui.note(&format!(
            "{} has no row: what {} hold{} of its quota and patch stays in force until it is taken from there",
            license_name("", &row.id),
            projects(*held),
            if *held == 1 { "s" } else { "" }
        ));
    }
    for row in rows {
        if let Some(project) = &row.counts.uncountable {
            ui.warning(&format!(
                "CoCalc cannot count the projects that run with {}: in project {} its entry in site_license is no \
                 object{}",
                license_name(row.license.map_or("", |license| &license.title), &row.id),
                escape::line(project),
                if row.state == "uncountable" {
                    "; no project that holds it can start"
                } else {
                    ""
                }
            ));
        }
    }
}

/// A span of time as Go writes it, with days and weeks: `90d`, `36h`, `1d12h`.
fn age(text: &str) -> Option<SignedDuration> {
    let mut total = SignedDuration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest.get(..digits)?.parse().ok()?;
        let tail = rest.get(digits..)?;
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let seconds = match tail.get(..unit)? {
            "w" => 7 * 24 * 3600,
            "d" => 24 * 3600,
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => return None,
        };
        total = total.checked_add(SignedDuration::from_secs(number.checked_mul(seconds)?))?;
        rest = tail.get(unit..)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_time_is_read_as_go_writes_it_and_in_days() {
        let hours = |text| age(text).map(|span| span.as_hours());
        assert_eq!(hours("90d"), Some(90 * 24));
        assert_eq!(hours("1d12h"), Some(36));
        assert_eq!(hours("2w"), Some(14 * 24));
        assert_eq!(age("1h30m5s"), Some(SignedDuration::from_secs(5405)));
        for text in [
            "d",
            "90",
            "-1d",
            "1.5d",
            "9 d",
            "90days",
            "99999999999999999999d",
            "9999999999999999w",
        ] {
            assert_eq!(age(text), None, "{text}");
        }
    }
}
