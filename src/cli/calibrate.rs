//! `patch-diff --live --calibrate`: the assumptions that live pods speak for.

use serde_json::{Value, json};

use crate::{
    check::{Finding, Severity},
    output::{escape, json as json_output, ui::Ui, yaml},
    patch_diff::Difference,
    pipeline::{
        Site, Subject,
        calibrate::{Calibrated, Calibration, Speaker, Spoken, Unexplained, calibrate, may_be_secret, place},
    },
};

use super::{CommandError, Exit, report::Report};

/// How many differences are given as the reason of an entry.
const REASONS: usize = 3;
/// How much of a value a message shows, in characters.
const SHOWN: usize = 60;

/// Prints the assumptions on stdout, and on stderr what they leave.
pub(super) fn print(
    ui: &Ui,
    site: &Site,
    subjects: &[Subject<'_>],
    show_secrets: bool,
) -> Result<Exit, CommandError> {
    let mut found = calibrate(site, subjects);
    let without = subjects
        .iter()
        .filter(|subject| subject.live_pod.is_none())
        .count();
    if found.compared == 0 && found.errors.is_empty() {
        return Err(CommandError::usage("no project has a live pod in the sources")
            .hint("name a project that runs, or --all"));
    }
    if without > 0 {
        let s = if without == 1 { " has" } else { "s have" };
        ui.note(&format!("{without} project{s} no live pod in the sources"));
    }
    let mut out = ui.stdout();
    out.text(&text(&found, show_secrets))?;
    out.finish()?;
    let errors = std::mem::take(&mut found.errors);
    let exit = match (errors.is_empty(), found.unexplained.is_empty()) {
        (false, _) => Exit::Usage,
        (true, false) => Exit::No,
        (true, true) => Exit::Done,
    };
    let mut report = Report::new(ui, subjects.len() > 1);
    for (project_id, error) in errors {
        report.error(&project_id, error.to_string());
    }
    for (project_id, left) in found.unexplained {
        let findings = left.iter().map(|left| unexplained(left, show_secrets)).collect();
        report.add(&project_id, findings);
    }
    report.finish();
    Ok(exit)
}

/// A note for each difference of a live pod that another assumption would remove.
pub(super) fn assumption_notes(
    speaker: &mut Speaker,
    site: &Site,
    subject: Subject<'_>,
    show_secrets: bool,
) -> Vec<Finding> {
    let note = |spoken: &Spoken| {
        let at = place(&spoken.difference);
        let effect = match shown(&spoken.difference, spoken.difference.live.as_ref(), show_secrets) {
            Some(live) => format!("would give {live} in {at}, as the live pod has"),
            None if spoken.difference.live.is_some() || spoken.difference.rendered.is_none() => {
                format!("would give what the live pod has in {at}")
            }
            None => format!("would leave {at} as it is in the live pod, without a value"),
        };
        let message = format!("assumptions.{} {effect}", cut(&spoken.setting));
        Finding::new("assumption", Severity::Note, message)
    };
    speaker.speaks(site, subject).iter().map(note).collect()
}

fn unexplained(left: &Unexplained, show_secrets: bool) -> Finding {
    let message = match left {
        Unexplained::Impossible(error) => {
            format!("the pod runs, but CoCalc could not have made it from what the sources hold: {error}")
        }
        Unexplained::Difference(difference) => {
            format!("{}; no assumption explains it", told(difference, show_secrets))
        }
    };
    Finding::new("unexplained-difference", Severity::Warning, message)
}

/// `spec.x: 16G in the live pod, 16000Mi in the rendered one`
fn told(difference: &Difference, show_secrets: bool) -> String {
    let at = place(difference);
    let at = if at.is_empty() { "the pod".to_owned() } else { at };
    let value = |value: &Option<Value>| match (value, shown(difference, value.as_ref(), show_secrets)) {
        (None, _) => "nothing".to_owned(),
        (Some(_), Some(text)) => text,
        (Some(_), None) => "another value".to_owned(),
    };
    if difference.live.is_none() && difference.rendered.is_none() {
        return format!("{at}: the elements stand in another order");
    }
    format!(
        "{at}: {} in the live pod, {} in the rendered one",
        value(&difference.live),
        value(&difference.rendered)
    )
}

/// A value in a message, unless it may be secret.
fn shown(difference: &Difference, value: Option<&Value>, show_secrets: bool) -> Option<String> {
    if may_be_secret(difference) && !show_secrets {
        return None;
    }
    Some(cut(&match value? {
        Value::String(text) if !text.is_empty() => text.clone(),
        other => json_output::compact(other),
    }))
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let kept: String = text.chars().take(SHOWN).collect();
    format!("{kept}…")
}

/// The snapshot file.
fn text(found: &Calibration, show_secrets: bool) -> String {
    let s = if found.compared == 1 { "" } else { "s" };
    let mut text = format!(
        "# What {} running project{s} say{} of CoCalc's closed part; read it with -f in place of other assumptions.\n",
        found.compared,
        if found.compared == 1 { "s" } else { "" }
    );
    if found.entries.is_empty() {
        text.push_str("assumptions: {}\n");
        return text;
    }
    text.push_str("assumptions:\n");
    for entry in &found.entries {
        for comment in comments(entry, show_secrets) {
            text.push_str(&format!("  # {}\n", escape::line(&comment)));
        }
        for line in yaml::write(&json!({ entry.field: entry.value })).lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}

/// What speaks for an entry.
fn comments(entry: &Calibrated, show_secrets: bool) -> Vec<String> {
    if !entry.changed {
        return vec!["as it was given".to_owned()];
    }
    let mut reasons: Vec<String> = Vec::new();
    for (_, difference) in &entry.speaks {
        let reason = format!("else {}", told(difference, show_secrets));
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let more = reasons.len().saturating_sub(REASONS);
    let mut lines: Vec<String> = reasons.into_iter().take(REASONS).collect();
    if more > 0 || entry.projects > 1 {
        let s = if entry.projects == 1 { "" } else { "s" };
        let more = if more > 0 {
            format!("and {more} more, ")
        } else {
            String::new()
        };
        lines.push(format!("{more}in {} project{s}", entry.projects));
    }
    if entry.speaks.is_empty() {
        lines.push("else CoCalc could not have made the pod".to_owned());
    }
    if !entry.as_well.is_empty() {
        let others: Vec<String> = entry.as_well.iter().map(|other| cut(other)).collect();
        lines.push(format!("would explain as much: {}", others.join("; ")));
    }
    lines
}
