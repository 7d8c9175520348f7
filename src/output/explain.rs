//! Provenance for readers: marks at the ends of YAML lines with a header, and entries in JSON.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    fmt::Write as _,
};

use serde_json::{Map, Value, json};

use crate::{
    json::{JsString, Json},
    json_patch::Gate,
    pipeline::{
        Patch, Rendered, Site,
        licenses::State,
        provenance::{Entry, QuotaField, Writer, field_path, pointer},
        quota::{Decided, Decider, How, Term, terms_json},
    },
    snapshot::OnPatchError,
};

use super::{escape, yaml};

/// What is needed to name writers: the site, a rendered project, and how its quota is calculated.
pub struct Explained<'a> {
    site: &'a Site,
    rendered: &'a Rendered,
    decided: Option<Decided>,
    entries: Vec<Entry>,
    /// Shortest beginnings that tell this project's licenses apart, at least 8 characters.
    short: HashMap<String, String>,
}

impl<'a> Explained<'a> {
    /// Collects the provenance of a rendered project.
    pub fn new(site: &'a Site, rendered: &'a Rendered) -> Self {
        let mut ids: Vec<String> = rendered
            .patches
            .iter()
            .map(|patch| patch.license.clone())
            .collect();
        if let Some(judged) = &rendered.judged {
            ids.extend(
                judged
                    .site_license
                    .members()
                    .iter()
                    .map(|(id, _)| id.to_string_lossy()),
            );
        }
        ids.sort();
        ids.dedup();
        Self {
            site,
            rendered,
            decided: rendered
                .judged
                .as_ref()
                .and_then(|judged| site.explain(judged).ok()),
            entries: rendered.provenance(),
            short: short_names(&ids, site),
        }
    }

    /// The project.
    pub fn rendered(&self) -> &'a Rendered {
        self.rendered
    }

    fn short<'b>(&'b self, id: &'b str) -> &'b str {
        self.short.get(id).map_or(id, String::as_str)
    }

    fn title(&self, id: &str) -> &str {
        self.site.license(id).map_or("", |license| &license.title)
    }

    /// The steps that have a say in a value of the quota, first to last.
    pub fn decisive(&self, field: QuotaField) -> Vec<&Term> {
        let decided = self.decided.as_ref();
        decided.map_or_else(Vec::new, |decided| decided.decisive(field.name()))
    }

    /// Who has a say in a value of the quota, without the amounts, which the header gives.
    fn deciders(&self, field: QuotaField) -> String {
        let mut text = String::new();
        for term in self.decisive(field) {
            if term.how == How::Raised {
                // What came before is less than this.
                text.clear();
            }
            text.push_str(match term.how {
                _ if text.is_empty() => ": ",
                How::Capped => ", capped by ",
                How::Divided => ", divided by ",
                _ => " + ",
            });
            text.push_str(&self.decider_text(&term.by));
        }
        text
    }

    /// A value of the quota with its unit, and its calculation.
    pub fn quota_value(&self, field: QuotaField) -> Option<(String, String)> {
        let title = |id: &JsString| Some(self.title(&id.to_string_lossy()).to_owned());
        self.quota_line(field, &title)
    }

    fn quota_line(
        &self,
        field: QuotaField,
        title: &dyn Fn(&JsString) -> Option<String>,
    ) -> Option<(String, String)> {
        let decided = self.decided.as_ref()?;
        let value = decided.calculation(field.name()).last()?.value.stringify();
        let unit = match field {
            QuotaField::CpuRequest | QuotaField::CpuLimit => " cores",
            QuotaField::MemoryRequest | QuotaField::MemoryLimit => " MB",
            _ => "",
        };
        Some((format!("{value}{unit}"), decided.why(field.name(), title)))
    }

    /// Whether this is the license of `--patch` or `--quota`, which exists nowhere else.
    pub fn is_what_if(&self, license: &str) -> bool {
        let what_if = self.site.what_if();
        Some(license) == what_if.candidate_license() && what_if.for_license.is_none()
    }

    fn decider_text(&self, by: &Decider) -> String {
        match by {
            Decider::License(id) | Decider::OldLicense(id) => self.short(&id.to_string_lossy()).to_owned(),
            Decider::User(id) => format!("user upgrade {}", id.to_string_lossy()),
            Decider::Setting(name) => format!("project settings.{name}"),
            Decider::Default(_) => "site default".to_owned(),
            Decider::Builtin => "built-in default".to_owned(),
            Decider::Maximum {
                name,
                built_in: false,
            } => format!("max_upgrades.{name}"),
            Decider::Maximum { name, built_in: true } => format!("built-in maximum of {name}"),
            Decider::Overcommit(name) => (*name).to_owned(),
            Decider::Minimum => "built-in minimum".to_owned(),
            Decider::PayAsYouGo => "pay as you go".to_owned(),
        }
    }

    /// The pod as YAML: a header, then a comment at the end of each line that the template did not write.
    pub fn yaml(&self, pod: &Value) -> String {
        let mut text = self.header();
        text.push_str(&yaml::write_with_marks(pod, &self.marks()));
        text
    }

    /// `{"pod": …, "provenance": […]}`
    pub fn json(&self, pod: &Value) -> Value {
        let entries = self
            .entries
            .iter()
            .flat_map(|entry| self.entry_json(entry))
            .collect();
        json!({"pod": pod, "provenance": Value::Array(entries)})
    }

    fn entry_json(&self, entry: &Entry) -> Vec<Value> {
        let origin = entry.origin.as_ref().map(|origin| {
            let mut origins = self.writer_json(origin);
            if origins.len() == 1 {
                Value::Object(origins.remove(0))
            } else {
                Value::Array(origins.into_iter().map(Value::Object).collect())
            }
        });
        let writers = self.writer_json(&entry.by).into_iter();
        writers
            .map(|mut writer| {
                writer.insert("path".to_owned(), Value::from(pointer(&entry.path)));
                if entry.removed {
                    writer.insert("removed".to_owned(), Value::Bool(true));
                }
                if let Some(origin) = &origin {
                    writer.insert("origin".to_owned(), origin.clone());
                }
                Value::Object(writer)
            })
            .collect()
    }

    /// The entries of `blame` for a writer: as in the provenance, with the path of the operation as written, or of
    /// the field.
    pub fn blame_json(&self, writer: &Writer, pointer: &str) -> Vec<Value> {
        let path = match writer {
            Writer::Operation { patch, operation } => {
                let operations = self
                    .rendered
                    .patches
                    .get(*patch)
                    .map_or(&[][..], |patch| patch.operations());
                operations
                    .get(*operation)
                    .map_or_else(String::new, |operation| operation.path().into_owned())
            }
            _ => pointer.to_owned(),
        };
        let with_path = |mut map: Map<String, Value>| {
            map.insert("path".to_owned(), Value::from(path.clone()));
            Value::Object(map)
        };
        self.writer_json(writer).into_iter().map(with_path).collect()
    }

    fn writer_json(&self, writer: &Writer) -> Vec<Map<String, Value>> {
        let object = |value: Value| match value {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        match writer {
            Writer::Template => vec![object(json!({"by": "template"}))],
            Writer::Placeholders(placeholders) => placeholders
                .iter()
                .map(|placeholder| object(json!({"by": "placeholder", "name": placeholder.name()})))
                .collect(),
            Writer::Quota(field) => {
                let mut map = object(json!({"by": "quota", "field": field.name()}));
                if let Some(decided) = &self.decided {
                    let value = |json: &Json| json.to_value().unwrap_or_default();
                    let source = self.decisive(*field).last().map(|term| value(&term.to_json()));
                    map.extend(source.map(|source| ("source".to_owned(), source)));
                    let calculation = terms_json(decided.calculation(field.name()));
                    map.insert("calculation".to_owned(), value(&calculation));
                }
                vec![map]
            }
            Writer::Operation { patch, operation } => {
                let Some(of) = self.rendered.patches.get(*patch) else {
                    return Vec::new();
                };
                vec![object(json!({
                    "by": "license", "license": of.license, "title": of.title, "operation": operation,
                }))]
            }
        }
    }

    /// A writer in a mark; `None` for the template, whose fields carry none.
    fn mark(&self, writer: &Writer) -> Option<String> {
        Some(match writer {
            Writer::Template => return None,
            Writer::Placeholders(placeholders) => {
                let names: Vec<&str> = placeholders.iter().map(|p| p.text()).collect();
                let s = if names.len() > 1 { "s" } else { "" };
                format!("placeholder{s} {}", names.join(", "))
            }
            Writer::Quota(field) => format!("quota {}{}", field.name(), self.deciders(*field)),
            Writer::Operation { patch, operation } => {
                let of = self.rendered.patches.get(*patch)?;
                let op = of.operations().get(*operation)?.op();
                format!("{}: {op}", self.operation_name(*patch, *operation))
            }
        })
    }

    fn operation_name(&self, patch: usize, operation: usize) -> String {
        let Some(of) = self.rendered.patches.get(patch) else {
            return String::new();
        };
        format!(
            "{} op {} of {}",
            self.short(&of.license),
            operation + 1,
            of.operations().len()
        )
    }

    fn header(&self) -> String {
        let mut lines = Lines::default();
        if let Some(template) = self.site.template() {
            lines.add(
                "template",
                &format!("{}; its fields carry no mark", template.source()),
            );
        }
        let judged = self.rendered.judged.as_ref();
        let mut patches: HashMap<&str, &Patch> = HashMap::new();
        for patch in &self.rendered.patches {
            patches.entry(&patch.license).or_insert(patch);
        }
        let mut without_effect = Vec::new();
        let mut told = HashSet::new();
        for (id, _, verdict) in judged.iter().flat_map(|judged| judged.licenses()) {
            let id = id.to_string_lossy();
            match verdict {
                Some(verdict)
                    if !matches!(verdict.state, State::Active | State::Orphan)
                        && !verdict.stored_in_force =>
                {
                    let name = self.quoted(&id);
                    without_effect.push(format!(
                        "{}{name}: {}, {verdict}",
                        self.short(&id),
                        verdict.state.as_str()
                    ));
                }
                _ => {
                    let patch = patches.get(&*id).copied();
                    lines.add(self.short(&id), &self.license_line(&id, patch));
                    told.insert(id);
                }
            }
        }
        for patch in self
            .rendered
            .patches
            .iter()
            .filter(|patch| !told.contains(&patch.license))
        {
            let line = self.license_line(&patch.license, Some(patch));
            lines.add(self.short(&patch.license), &line);
        }
        for field in QuotaField::ALL {
            let wrote = |entry: &Entry| !entry.removed && entry.by == Writer::Quota(field);
            if self.entries.iter().any(wrote)
                && let Some((value, why)) = self.quota_line(field, &|_| None)
            {
                lines.add("quota", &format!("{} = {value}: {why}", field.name()));
            }
        }
        for entry in self.entries.iter().filter(|entry| entry.removed) {
            if let Writer::Operation { patch, operation } = entry.by {
                let by = self.operation_name(patch, operation);
                lines.add("removed", &format!("{}: {by}", field_path(&entry.path)));
            }
        }
        for line in without_effect {
            lines.add("no effect", &line);
        }
        lines.0
    }

    fn quoted(&self, id: &str) -> String {
        let title = self.title(id);
        if title.is_empty() {
            String::new()
        } else {
            format!(" {title:?}")
        }
    }

    fn license_line(&self, id: &str, patch: Option<&Patch>) -> String {
        let what = match patch.map(|patch| &*patch.gate) {
            None => "no patch".to_owned(),
            Some(Gate::Passes(operations)) if operations.len() == 1 => "1 op".to_owned(),
            Some(Gate::Passes(operations)) => format!("{} ops", operations.len()),
            Some(Gate::Dropped(reason)) => format!("patch dropped: {reason}"),
            Some(Gate::TooDeep(error)) => format!("patch not judged: {error}"),
        };
        if Some(id) == self.site.what_if().candidate_license() && self.site.what_if().for_license.is_none() {
            return format!("what-if license, {what}");
        }
        let orphan = if self.site.license(id).is_none() {
            ", no row: an orphan"
        } else {
            ""
        };
        let unpatched = self.rendered.failure.is_some()
            && self.site.assumptions().on_patch_error == OnPatchError::Unpatched
            && patch.is_some();
        let what = if unpatched {
            format!("{what}, not applied: a patch fails")
        } else {
            what
        };
        format!("license{} {id}, {what}{orphan}", self.quoted(id))
    }

    /// Marks by pointer. What one operation wrote as a whole carries its mark once, at its root, and never above
    /// the place that the operation names.
    fn marks(&self) -> Table {
        let mut of_prefix: HashMap<String, Option<&Writer>> = HashMap::new();
        for entry in self.entries.iter().filter(|entry| !entry.removed) {
            for end in 0..=entry.path.len() {
                of_prefix
                    .entry(pointer(&entry.path[..end]))
                    .and_modify(|writer| *writer = writer.filter(|writer| **writer == entry.by))
                    .or_insert(Some(&entry.by));
            }
        }
        let mut marks = HashMap::new();
        for entry in self.entries.iter().filter(|entry| !entry.removed) {
            let Some(mut mark) = self.mark(&entry.by) else {
                continue;
            };
            let depth = match entry.by {
                Writer::Operation { patch, operation } => self
                    .rendered
                    .patches
                    .get(patch)
                    .and_then(|patch| patch.operations().get(operation))
                    .map_or(usize::MAX, |operation| operation.path().matches('/').count()),
                _ => usize::MAX,
            };
            let root = (depth.min(entry.path.len())..=entry.path.len())
                .map(|end| pointer(&entry.path[..end]))
                .find(|prefix| of_prefix.get(prefix).is_some_and(Option::is_some))
                .unwrap_or_else(|| pointer(&entry.path));
            if let Some(origin) = entry.origin.as_ref().filter(|_| root == pointer(&entry.path)) {
                let origin = self.mark(origin).unwrap_or_else(|| "template".to_owned());
                let _ = write!(mark, " of {origin}");
            }
            marks.entry(root).or_insert(mark);
        }
        Table(marks)
    }
}

struct Table(HashMap<String, String>);

impl yaml::Marks for Table {
    fn mark(&self, path: &[yaml::PathPart<'_>]) -> Option<Cow<'_, str>> {
        let mut pointer = String::new();
        for part in path {
            pointer.push('/');
            match part {
                yaml::PathPart::Name(name) => pointer.push_str(&name.replace('~', "~0").replace('/', "~1")),
                yaml::PathPart::Index(index) => pointer.push_str(&index.to_string()),
            }
        }
        self.0.get(&pointer).map(|mark| Cow::Borrowed(mark.as_str()))
    }
}

/// The header: `# WORD         TEXT`, folded at 80 columns.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, word: &str, text: &str) {
        const INDENT: usize = 15;
        let mut line = format!("# {:<1$} ", escape::line(word), INDENT - 3);
        let mut empty = true;
        for piece in escape::line(text).split(' ') {
            if !empty && escape::width(&line) + 1 + escape::width(piece) > 80 {
                self.0.push_str(line.trim_end());
                self.0.push('\n');
                line = format!("#{:1$}", "", INDENT - 1);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(piece);
            empty = false;
        }
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }
}

/// `ids` ascend.
fn short_names(ids: &[String], site: &Site) -> HashMap<String, String> {
    let candidate = site
        .what_if()
        .candidate_license()
        .filter(|_| site.what_if().for_license.is_none());
    // Sorted, so that no other one begins more alike than a neighbor.
    let alike = |a: &str, b: Option<&String>| {
        let same = |(a, b): &(u8, u8)| a == b;
        b.map_or(0, |b| a.bytes().zip(b.bytes()).take_while(same).count())
    };
    let before = std::iter::once(None).chain(ids.iter().map(Some));
    let after = ids.iter().skip(1).map(Some).chain([None]);
    ids.iter()
        .zip(before.zip(after))
        .map(|(id, (before, after))| {
            if Some(id.as_str()) == candidate {
                return (
                    id.clone(),
                    site.license(id).map_or("what-if", |row| &row.title).to_owned(),
                );
            }
            let shared = alike(id, before).max(alike(id, after));
            let short = (8.max(shared + 1)..id.len()).find_map(|length| id.get(..length));
            (id.clone(), short.unwrap_or(id).to_owned())
        })
        .collect()
}
