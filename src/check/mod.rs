//! What an admin should know about a rendered pod although CoCalc says nothing of it.
//!
//! One rule a function; each finding has a severity, the id of its rule, and a sentence.

pub mod meant;
pub mod operations;
pub mod pod;
mod review;
pub mod rules;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use crate::{
    json::{JsString, Json},
    json_patch::{Gate, Key, Reason as DropReason},
    output::escape,
    pipeline::{
        Judged, Known, Rendered, STAND_IN, Site, Subject, licenses::State, quota::Reason, template::Prepared,
    },
};

pub use review::{InFile, Located, Place, blame_text, review};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Note,
    /// Something happens that hardly anyone wants.
    Warning,
    /// CoCalc fails, or the patch under review does nothing at all.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Something to tell about a project's pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// Id of the rule.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// A sentence without the project's name: the same for all projects that it is true of.
    pub message: String,
    /// The license that it is about, if it is about one.
    pub license: Option<String>,
}

impl Finding {
    pub(crate) fn new(rule: &'static str, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            rule,
            severity,
            message: message.into(),
            license: None,
        }
    }

    /// The same about this license.
    #[must_use]
    pub(crate) fn about(mut self, license: &str) -> Self {
        self.license = Some(license.to_owned());
        self
    }
}

/// A sentence about a place, `field: message`; of the pod as a whole the sentence alone.
pub fn at_place(field: &str, message: &str) -> String {
    if field.is_empty() {
        message.to_owned()
    } else {
        format!("{field}: {message}")
    }
}

/// A license in a message: title in quotes and the first 8 characters of its id.
pub fn license_name(title: &str, id: &str) -> String {
    let short = escape::line(id.get(..8).unwrap_or(id));
    if title.is_empty() {
        format!("license {short}")
    } else {
        format!("license {title:?} {short}")
    }
}

/// Everything to tell about a rendered project.
pub fn findings(site: &Site, subject: Subject<'_>, rendered: &Rendered) -> Vec<Finding> {
    Told::default().findings(site, subject, rendered)
}

/// What was told about licenses, for projects that share the verdict.
#[derive(Default)]
pub struct Told {
    /// By the address of the verdict, which stays where it is as long as it is held here.
    by_verdict: HashMap<*const Judged, (Arc<Judged>, Vec<Finding>)>,
}

/// For how many verdicts [`Told`] remembers what was told, at most.
const REMEMBERED: usize = 1024;

impl Told {
    /// [`findings`] of one project after the other, all of the same site.
    pub fn findings(&mut self, site: &Site, subject: Subject<'_>, rendered: &Rendered) -> Vec<Finding> {
        let mut findings = Vec::new();
        licenses_not_looked_at(subject, rendered, &mut findings);
        if let Some(judged) = &rendered.judged {
            findings.extend(self.of_licenses(site, judged));
        }
        other_findings(site, subject, rendered, &mut findings);
        findings
    }

    fn of_licenses(&mut self, site: &Site, judged: &Arc<Judged>) -> Vec<Finding> {
        // Nobody else holds it, so no other project has it.
        if Arc::strong_count(judged) == 1 {
            return license_findings(site, judged);
        }
        if let Some((_, findings)) = self.by_verdict.get(&Arc::as_ptr(judged)) {
            return findings.clone();
        }
        if self.by_verdict.len() == REMEMBERED {
            self.by_verdict.clear();
        }
        let findings = license_findings(site, judged);
        self.by_verdict
            .insert(Arc::as_ptr(judged), (judged.clone(), findings.clone()));
        findings
    }
}

fn other_findings(site: &Site, subject: Subject<'_>, rendered: &Rendered, findings: &mut Vec<Finding>) {
    if rendered.judged.is_none() {
        let dropped = rendered.patches.iter().filter_map(|patch| match &*patch.gate {
            Gate::Dropped(reason) => Some(patch_dropped(site, &patch.license, reason)),
            _ => None,
        });
        findings.extend(dropped);
    }
    findings.extend(operations::without_effect(rendered));
    not_a_pod(rendered, findings);
    quota_without_a_place(rendered, findings);
    placeholders(subject, rendered, findings);
}

/// Patches of licenses that never reach the pod, and why.
pub fn patch_findings(site: &Site, judged: &Judged) -> Vec<Finding> {
    let mut findings = lost_patches(site, judged);
    findings.extend(dropped_patches(site, judged));
    candidate_not_applied(site, judged, &mut findings);
    findings
}

/// What there is to tell about a project's licenses, whatever the template.
pub fn license_findings(site: &Site, judged: &Judged) -> Vec<Finding> {
    let mut findings = Vec::new();
    license_states(site, judged, &mut findings);
    findings.extend(patch_findings(site, judged));
    findings
}

fn licenses_not_looked_at(subject: Subject<'_>, rendered: &Rendered, findings: &mut Vec<Finding>) {
    if matches!(subject.known, Known::Nothing) {
        // Whoever reviews a patch with a template alone knows; `--fail-on warning` must be able to pass.
        let severity = if subject.project_id == STAND_IN {
            Severity::Note
        } else {
            Severity::Warning
        };
        let quota = match (&rendered.judged, subject.live_pod) {
            (Some(_), _) => "; the quota is that of the what-if licenses alone",
            (None, Some(_)) => "",
            (None, None) => "; resources stay as the template has them",
        };
        findings.push(Finding::new(
            "licenses-not-looked-at",
            severity,
            format!("licenses were not looked at: there is no source of projects{quota}"),
        ));
    }
}

/// What is no Pod cannot be created, nor what has no name; without `kind` the API server takes it as a Pod, and
/// from `generateName` it makes a name.
fn not_a_pod(rendered: &Rendered, findings: &mut Vec<Finding>) {
    let stands = |path: &[Key<'_>]| rendered.pod.get(path).is_some_and(|value| !value.is_null());
    let text = |path: &[Key<'_>]| rendered.pod.get_str(path).filter(|text| !text.is_empty());
    let named = ["name", "generateName"].map(|name| [Key::Name("metadata"), Key::Name(name)]);
    let kind = [Key::Name("kind")];
    let problem = match text(&kind) {
        Some("Pod") | None if rendered.pod.member_names(&[]).is_none() => "is no map".to_owned(),
        None if stands(&kind) && rendered.pod.get_str(&kind).is_none() => {
            "has a kind that is no string".to_owned()
        }
        Some("Pod") | None if named.iter().any(|path| text(path).is_some()) => return,
        Some("Pod") | None => "has neither metadata.name nor metadata.generateName".to_owned(),
        Some(kind) => format!("is of kind {kind:?}"),
    };
    findings.push(Finding::new(
        "not-a-pod",
        Severity::Error,
        format!("the result {problem}; the API server refuses it"),
    ));
}

/// Whether CoCalc would drop the patch that is under review.
pub fn candidate_is_dropped<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> bool {
    findings
        .into_iter()
        .any(|finding| finding.rule == "patch-dropped" && finding.severity == Severity::Error)
}

/// The patch under review, where its license does not bring it into the pod.
fn candidate_not_applied(site: &Site, judged: &Judged, findings: &mut Vec<Finding>) {
    let (Some(patch), Some(id)) = (&site.what_if().patch, site.what_if().candidate_license()) else {
        return;
    };
    if judged.computed.patches.iter().any(|found| found.license == *id) {
        return;
    }
    let gate = site.gate(&Json::string(&patch.text));
    if let Gate::Dropped(reason) = &*gate {
        findings.push(patch_dropped(site, id, reason));
        return;
    }
    if matches!(&*gate, Gate::Passes(operations) if operations.is_empty()) {
        return;
    }
    let verdict = judged.verdicts.iter().find(|verdict| verdict.license == *id);
    let why = match verdict {
        None if judged.site_license.get(id).is_none() => {
            "the project does not hold its license; --add-license gives it".to_owned()
        }
        Some(verdict) if verdict.state != State::Active => {
            format!("its license is {}: {verdict}", verdict.state.as_str())
        }
        _ if judged.computed.quota.dedicated_vm.truthy() => "a dedicated VM is active".to_owned(),
        _ => "CoCalc takes no patch from its license".to_owned(),
    };
    findings.push(
        Finding::new(
            "candidate-not-applied",
            Severity::Warning,
            format!("the patch {} is not applied: {why}", escape::line(&patch.label)),
        )
        .about(id),
    );
}

/// Licenses that do nothing, or not what their holder expects.
fn license_states(site: &Site, judged: &Judged, findings: &mut Vec<Finding>) {
    let title = |id: &str| site.license(id).map_or("", |license| &license.title);
    for verdict in &judged.verdicts {
        let id = verdict.license.to_string_lossy();
        let name = license_name(title(&id), &id);
        let row_patch = site.license(&id).and_then(|row| row.quota.get_non_null("patch"));
        if verdict.state == State::Ineffective
            && row_patch.is_some_and(|patch| matches!(&*site.gate(patch), Gate::Dropped(_)))
        {
            // That its patch is dropped is told instead.
            continue;
        }
        let (rule, severity) = match verdict.state {
            State::Active => continue,
            State::Exhausted if verdict.run_limit == Some(0.0) => {
                ("license-run-limit-zero", Severity::Warning)
            }
            State::Exhausted => ("license-exhausted", Severity::Warning),
            State::Expired => ("license-expired", Severity::Warning),
            State::Future => ("license-not-yet-active", Severity::Warning),
            State::Unjudged => ("license-not-judged", Severity::Warning),
            State::Orphan => ("license-orphan", Severity::Warning),
            State::NotAUuid => ("license-not-a-uuid", Severity::Warning),
            State::Ineffective => ("license-ineffective", Severity::Warning),
        };
        findings.push(
            Finding::new(
                rule,
                severity,
                match verdict.state {
                    State::NotAUuid => format!("{name}: {verdict}"),
                    State::Orphan => format!("{name} is an orphan: {verdict}"),
                    state => format!("{name} is {}: {verdict}", state.as_str()),
                },
            )
            .about(&id),
        );
    }
    let told: HashSet<&JsString> = judged
        .verdicts
        .iter()
        .filter(|v| v.state != State::Active && !v.stored_in_force)
        .map(|v| &v.license)
        .collect();
    let patched = patched(judged);
    for (license, reason) in &judged.computed.reasons {
        if told.contains(license) {
            continue;
        }
        let id = license.to_string_lossy();
        // What the project holds no quota of, such as an orphan, has no hosting class.
        let has_quota = judged
            .site_license
            .get(&id)
            .is_some_and(|entry| entry.get_non_null("quota").is_some());
        if !has_quota {
            continue;
        }
        let name = license_name(title(&id), &id);
        if matches!(reason, Reason::HostingIncompatible) {
            let but = if patched.contains(license) {
                "; its patch is applied all the same"
            } else {
                ""
            };
            findings.push(Finding::new(
                "license-incompatible",
                Severity::Warning,
                format!(
                    "{name} adds nothing to the quota: its hosting class (always running, member, idle timeout) \
                     differs from the one that won{but}"
                ),
            ).about(&id));
        }
    }
}

fn has_patch(quota: &Json) -> bool {
    match quota.get("patch") {
        Some(Json::String(text)) => !matches!(text.as_str().map(str::trim), Some("" | "[]")),
        Some(Json::List(_) | Json::Map(_)) => true,
        _ => false,
    }
}

/// The licenses whose patch CoCalc looks at.
fn patched(judged: &Judged) -> HashSet<&JsString> {
    judged
        .computed
        .patches
        .iter()
        .map(|patch| &patch.license)
        .collect()
}

/// All patches are lost to a dedicated VM; that of a dedicated disk's license to the disk.
fn lost_patches(site: &Site, judged: &Judged) -> Vec<Finding> {
    let mut findings = Vec::new();
    let dedicated_vm = judged.computed.quota.dedicated_vm.truthy();
    let patched = patched(judged);
    for (id, entry) in judged.site_license.members() {
        let status = entry.get("status").and_then(Json::as_str);
        let row = id.as_str().and_then(|id| site.license(id));
        // The hook stores no quota for an ineffective license, although its row may have a patch.
        let quota = match (entry.get_non_null("quota"), row) {
            (Some(quota), _) => quota,
            (None, Some(row)) if status == Some("ineffective") => &row.quota,
            _ => continue,
        };
        if patched.contains(id) || !has_patch(quota) {
            continue;
        }
        let id = id.to_string_lossy();
        let name = license_name(row.map_or("", |license| &license.title), &id);
        let (rule, why) = if matches!(status, Some("expired" | "exhausted" | "future")) {
            (
                "patch-lost-status",
                format!("its stored status is {:?}", status.unwrap_or_default()),
            )
        } else if quota.get_non_null("dedicated_disk").is_some() {
            (
                "patch-lost-dedicated-disk",
                "CoCalc takes nothing but the disk from a dedicated disk's license".to_owned(),
            )
        } else if dedicated_vm {
            (
                "patch-lost-dedicated-vm",
                "a dedicated VM is active, and then CoCalc applies no patch at all".to_owned(),
            )
        } else {
            continue;
        };
        findings.push(
            Finding::new(
                rule,
                Severity::Warning,
                format!("the patch of {name} is lost: {why}"),
            )
            .about(&id),
        );
    }
    findings
}

/// CoCalc's check drops a malformed patch without a word; the license is often ineffective then.
fn dropped_patches(site: &Site, judged: &Judged) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ineffective = judged
        .verdicts
        .iter()
        .filter(|verdict| verdict.state == State::Ineffective);
    let rows = ineffective.filter_map(|verdict| {
        let row = site.license(verdict.license.as_str()?)?;
        Some((
            verdict.license.to_string_lossy(),
            row.quota.get_non_null("patch")?,
        ))
    });
    let used = judged
        .computed
        .patches
        .iter()
        .map(|found| (found.license.to_string_lossy(), &found.patch));
    let candidate = site
        .what_if()
        .candidate_license()
        .filter(|_| site.what_if().patch.is_some());
    for (id, patch) in used.chain(rows) {
        // The patch under review is told on its own where the quota function does not see it.
        if Some(&*id) == candidate && !judged.computed.patches.iter().any(|found| found.license == *id) {
            continue;
        }
        if let Gate::Dropped(reason) = &*site.gate(patch) {
            findings.push(patch_dropped(site, &id, reason));
        }
    }
    findings
}

fn patch_dropped(site: &Site, id: &str, reason: &DropReason) -> Finding {
    let candidate = site.what_if().patch.is_some() && site.what_if().candidate_license() == Some(id);
    let severity = if candidate {
        Severity::Error
    } else {
        Severity::Warning
    };
    let name = license_name(site.license(id).map_or("", |license| &license.title), id);
    let message = format!("CoCalc drops the whole patch of {name} in silence: {reason}");
    Finding::new("patch-dropped", severity, message).about(id)
}

fn quota_without_a_place(rendered: &Rendered, findings: &mut Vec<Finding>) {
    for misfit in &rendered.misfits {
        findings.push(Finding::new(
            "quota-without-a-place",
            Severity::Warning,
            misfit.to_string(),
        ));
    }
}

fn placeholders(subject: Subject<'_>, rendered: &Rendered, findings: &mut Vec<Finding>) {
    for placeholder in &rendered.unescaped {
        findings.push(Finding::new(
            "placeholder-unescaped",
            Severity::Warning,
            format!(
                "the value of {} holds a quote, a backslash or a control character; it is put into the \
                 template's text as it is, and changes more than a string",
                placeholder.text()
            ),
        ));
    }
    if subject.project_id == STAND_IN && !rendered.left.is_empty() {
        let names: Vec<&str> = rendered.left.iter().map(|p| p.text()).collect();
        findings.push(Finding::new(
            "placeholder-left",
            Severity::Note,
            format!("no project is named: {} stay as they are", names.join(", ")),
        ));
    }
}

/// What there is to tell about the template, whatever the project.
pub fn template_findings(template: &Prepared) -> Vec<Finding> {
    let misspelt = template.misspelt().iter().map(|(word, meant)| {
        Finding::new(
            "placeholder-misspelt",
            Severity::Warning,
            format!(
                "{{{word}}} in the template is no placeholder and stays as it is; did you mean {}?",
                meant.text()
            ),
        )
    });
    let mut names = HashSet::new();
    let duplicates = &template.notes().duplicates;
    let duplicates = duplicates
        .iter()
        .filter(|duplicate| names.insert(&duplicate.name));
    let duplicates = duplicates.map(|duplicate| {
        Finding::new(
            "template-duplicate-key",
            Severity::Warning,
            format!(
                "the template has the key {:?} twice in one object; CoCalc takes the last",
                duplicate.name
            ),
        )
    });
    misspelt.chain(duplicates).collect()
}
