//! Everything there is to tell about one start.

use serde_json::{Map, Value, json};

use super::{
    Blame, Difference, Explanation, Line, Owner, Owners, Replay, Start, Verdict, differences, explain,
    replay::replay,
};
use crate::{
    check,
    json::{Json, with_js_numbers},
    json_patch::{Key, Options, PathPart},
    output::{explain::Explained, mask},
    pipeline::{
        Known, Rendered, Site, Subject, calibrate,
        provenance::{field_path, pointer},
    },
    snapshot::{self, Assumptions, CpuFormat, Snapshot},
};

/// What stands for a secret that is not the same on both sides.
const PODS: [&str; 2] = ["*** (before)", "*** (after)"];
const OURS: [&str; 2] = ["*** (ours)", "*** (logged)"];

/// Holds starts against what the sources say.
pub struct Judge<'a> {
    site: &'a Site,
    snapshot: &'a Snapshot,
    owners: Owners,
    show_secrets: bool,
}

/// An error of the log, explained.
pub struct ErrorTold {
    /// The line.
    pub line: Line,
    /// What it means.
    pub explanation: Explanation,
    /// For the operation at which patching stops, and then for each fault, who is to blame: as in the provenance.
    pub stopped_by: Vec<Value>,
    /// Who is to blame for each fault.
    pub blame: Vec<Vec<Value>>,
}

/// An assumption that the log speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// `memory_suffix: M`
    pub setting: String,
    /// The fields that would be as the log has them.
    pub fields: Vec<String>,
}

/// A start, judged.
pub struct Judged {
    /// The start as the log has it.
    pub start: Start,
    /// The pod before, secrets masked.
    pub before: Option<Value>,
    /// The pod after, secrets masked.
    pub after: Option<Value>,
    /// Our application of the patch set, or why there is none.
    pub replay: Result<Replay, Verdict>,
    /// For each operation the license that it is from.
    pub owners: Vec<Option<Owner>>,
    /// Where the pod that the sources give differs from the logged one before patches, secrets masked; or why no pod
    /// can be computed. `None` if the sources hold no template.
    pub template: Option<Result<Vec<Difference>, String>>,
    /// The assumptions under which the pod that the sources give would be more like the logged one.
    pub assumptions: Vec<Spoken>,
    /// The errors that follow.
    pub errors: Vec<ErrorTold>,
}

impl<'a> Judge<'a> {
    /// Prepares what all starts share.
    pub fn new(site: &'a Site, snapshot: &'a Snapshot, show_secrets: bool) -> Self {
        Self {
            site,
            snapshot,
            owners: Owners::new(snapshot),
            show_secrets,
        }
    }

    /// Whether any source knows licenses.
    pub fn knows_licenses(&self) -> bool {
        !self.owners.is_empty() || self.snapshot.has_projects || !self.snapshot.site_licenses.is_empty()
    }

    fn row(&self, project_id: &str) -> Option<&'a snapshot::Project> {
        self.snapshot
            .projects
            .iter()
            .find(|row| &*row.project_id == project_id)
    }

    /// Judges a start.
    pub fn start(&mut self, start: Start) -> Judged {
        let options = Options {
            validate: self.site.assumptions().validate_operation,
        };
        let replay = replay(&start, options);
        let before = start.before.as_ref().and_then(value);
        let after = start.after.as_ref().and_then(value);
        let owners = self.owners_of(&start.project_id, replay.as_ref().ok());
        let subject = before
            .as_ref()
            .and_then(|before| self.subject(&start.project_id, before));
        let rendered = subject.map(|subject| {
            let subject = subject?;
            let rendered = self.site.render(subject).map_err(|error| error.to_string())?;
            Ok::<_, String>((subject, rendered))
        });
        let mut secrets = Vec::new();
        if !self.show_secrets {
            let sent = replay
                .as_ref()
                .ok()
                .and_then(|replay| replay.document.to_value().ok());
            for pod in [&before, &after, &sent].into_iter().flatten() {
                secrets.extend(mask::secrets(pod));
            }
        }
        let errors = start
            .errors
            .iter()
            .map(|line| {
                let line = masked(line, &secrets);
                let rendered = rendered.as_ref().and_then(|rendered| rendered.as_ref().ok());
                let rendered = rendered.map(|(_, rendered)| rendered);
                self.error(line, replay.as_ref().ok(), &owners, rendered)
            })
            .collect();
        let mut assumptions = Vec::new();
        let template = rendered.zip(before.as_ref()).map(|(rendered, before)| {
            let (subject, rendered) = rendered?;
            let ours = rendered.unpatched.to_value().map_err(|error| error.to_string())?;
            let (ours, logged) = self.masked(&with_js_numbers(&ours), before, OURS);
            let found = differences(&ours, &logged);
            if !found.is_empty() {
                assumptions = self.assumptions(subject, before, &found);
            }
            Ok(found)
        });
        let (before, after) = match (before, after) {
            (Some(before), Some(after)) => {
                let (before, after) = self.masked(&before, &after, PODS);
                (Some(before), Some(after))
            }
            (before, after) => {
                let alone = |pod: Option<Value>| pod.map(|pod| self.masked(&pod, &pod, PODS).0);
                (alone(before), alone(after))
            }
        };
        let replay = replay.map(|mut replay| {
            if let Verdict::Differs { ours, logged } = &mut replay.verdict {
                (*ours, *logged) = self.masked(ours, logged, OURS);
            }
            replay
        });
        Judged {
            start,
            before,
            after,
            replay,
            owners,
            template,
            assumptions,
            errors,
        }
    }

    /// Explains an error of which the log has no start, by the pod that the sources give.
    pub fn lone_error(&mut self, project_id: &str, line: &Line) -> ErrorTold {
        let rendered = self.row(project_id).and_then(|row| {
            let subject = Subject {
                project_id,
                known: Known::Row(row),
                live_pod: None,
            };
            self.site.render(subject).ok()
        });
        let start = rendered.as_ref().and_then(|rendered| {
            let operations = rendered
                .patches
                .iter()
                .flat_map(crate::pipeline::Patch::operations);
            let patch = Json::list(operations.map(|operation| operation.json().clone()).collect());
            let before = Json::from(&rendered.unpatched.to_value().ok()?);
            Some(Start::made(project_id, before, patch))
        });
        let options = Options {
            validate: self.site.assumptions().validate_operation,
        };
        let replay = start.and_then(|start| replay(&start, options).ok());
        let owners = self.owners_of(project_id, replay.as_ref());
        let pod = replay.as_ref().and_then(|replay| replay.document.to_value().ok());
        let secrets = match &pod {
            Some(pod) if !self.show_secrets => mask::secrets(pod),
            _ => Vec::new(),
        };
        self.error(
            masked(line, &secrets),
            replay.as_ref(),
            &owners,
            rendered.as_ref(),
        )
    }

    /// The project as the sources have it. What they lack is taken from the logged pod, as from one that runs.
    fn subject<'s>(&'s self, project_id: &'s str, before: &'s Value) -> Option<Result<Subject<'s>, String>> {
        self.site.template()?;
        if project_id.is_empty() {
            return Some(Err("the pod names no project".to_owned()));
        }
        let known = match self.row(project_id) {
            Some(row) => Known::Row(row),
            None if self.snapshot.has_projects => {
                return Some(Err("the sources do not hold the project".to_owned()));
            }
            None => Known::Nothing,
        };
        Some(Ok(Subject {
            project_id,
            known,
            live_pod: Some(before),
        }))
    }

    /// The assumptions that speak for these differences between our pod before patches and the logged one.
    fn assumptions(&self, subject: Subject<'_>, before: &Value, found: &[Difference]) -> Vec<Spoken> {
        let mut spoken: Vec<Spoken> = Vec::new();
        let mut add = |setting: String, path: &[PathPart]| {
            // What license patches write is no difference of the pods before them.
            let meets = |found: &Difference| path.starts_with(&found.path) || found.path.starts_with(path);
            if !found.iter().any(meets) {
                return;
            }
            let field = field_path(path);
            match spoken.iter_mut().find(|spoken| spoken.setting == setting) {
                Some(spoken) => spoken.fields.push(field),
                None => spoken.push(Spoken {
                    setting,
                    fields: vec![field],
                }),
            }
        };
        for spoken in calibrate::Speaker::default().speaks(self.site, subject) {
            add(spoken.setting, &spoken.difference.path);
        }
        // A live pod cannot speak for it, since the API server stores `0.02` as `20m`; the log can.
        let assumptions = self.site.assumptions();
        let (cpu_format, name) = match assumptions.cpu_format {
            CpuFormat::Milli => (CpuFormat::Decimal, "decimal"),
            CpuFormat::Decimal => (CpuFormat::Milli, "milli"),
        };
        let other = Assumptions {
            cpu_format,
            ..assumptions.clone()
        };
        let judged = self.site.judge(subject).ok().flatten();
        if let Ok(rendered) = self.site.render_under(&other, subject, judged)
            && let Ok(pod) = rendered.unpatched.to_value()
        {
            let left = differences(&with_js_numbers(&pod), before);
            let cpu =
                |path: &[PathPart]| matches!(path.last(), Some(PathPart::Name(name)) if &**name == "cpu");
            for gone in found.iter().filter(|difference| cpu(&difference.path)) {
                if !left.iter().any(|left| left.path == gone.path) {
                    add(format!("cpu_format: {name}"), &gone.path);
                }
            }
        }
        spoken
    }

    fn owners_of(&mut self, project_id: &str, replay: Option<&Replay>) -> Vec<Option<Owner>> {
        let Some(replay) = replay else {
            return Vec::new();
        };
        let site_license = self.row(project_id).and_then(|row| row.site_license.value().ok());
        let mut held = Vec::new();
        if let Some(site_license) = &site_license {
            self.owners.add_stored(site_license, self.snapshot);
            held.extend(site_license.members().iter().map(|(id, _)| id.to_string_lossy()));
        }
        let operations: Vec<Json> = replay
            .operations
            .iter()
            .map(|operation| operation.json().clone())
            .collect();
        self.owners.of(&operations, &held)
    }

    fn error(
        &self,
        line: Line,
        replay: Option<&Replay>,
        owners: &[Option<Owner>],
        rendered: Option<&Rendered>,
    ) -> ErrorTold {
        let explanation = explain(&line.text, replay);
        let stopped_by = explanation
            .operation
            .map(|operation| operation_blame(operation, replay, owners))
            .into_iter()
            .collect();
        let blame = explanation
            .faults
            .iter()
            .map(|fault| {
                let path = fault.path.as_deref().unwrap_or_default();
                let entries = fault.blame.iter().flat_map(|blame| match blame {
                    Blame::Operation(operation) => {
                        let mut entry = operation_blame(*operation, replay, owners);
                        if let Value::Object(map) = &mut entry {
                            map.insert("at".to_owned(), json!(path));
                        }
                        vec![entry]
                    }
                    Blame::Before => self.before_blame(path, rendered),
                });
                entries.collect()
            })
            .collect();
        ErrorTold {
            line,
            explanation,
            stopped_by,
            blame,
        }
    }

    /// Who wrote a field of the pod before patches, by the pod that the sources give.
    fn before_blame(&self, path: &str, rendered: Option<&Rendered>) -> Vec<Value> {
        let unknown = || vec![json!({"by": "project_pod_before", "path": path})];
        let Some(rendered) = rendered else {
            return unknown();
        };
        let names: Vec<String> = path
            .split('/')
            .skip(1)
            .map(|name| name.replace("~1", "/").replace("~0", "~"))
            .collect();
        let mut keys: Vec<Key<'_>> = Vec::new();
        for name in &names {
            let index = name
                .parse()
                .ok()
                .filter(|_| rendered.unpatched.list_len(&keys).is_some());
            keys.push(index.map_or(Key::Name(name), Key::Index));
        }
        let Some(stamp) = rendered.unpatched.writer_of(&keys) else {
            return unknown();
        };
        Explained::new(self.site, rendered).blame_json(&rendered.writer(stamp), path)
    }

    fn masked(&self, before: &Value, after: &Value, differs: [&str; 2]) -> (Value, Value) {
        let (mut before, mut after) = (before.clone(), after.clone());
        if !self.show_secrets {
            mask::versions([&mut before, &mut after], differs);
        }
        (before, after)
    }
}

fn value(json: &Json) -> Option<Value> {
    json.to_value().ok().map(|value| with_js_numbers(&value))
}

fn masked(line: &Line, secrets: &[String]) -> Line {
    let mut line = line.clone();
    for secret in secrets {
        line.text = line.text.replace(secret.as_str(), "***");
    }
    line
}

fn operation_blame(operation: usize, replay: Option<&Replay>, owners: &[Option<Owner>]) -> Value {
    let path = replay
        .and_then(|replay| replay.operations.get(operation))
        .map(|operation| operation.path().into_owned());
    match owners.get(operation) {
        Some(Some(owner)) => json!({
            "by": "license", "license": owner.license, "title": owner.title, "operation": owner.operation, "path": path,
        }),
        _ => json!({"by": "patch", "operation": operation, "path": path}),
    }
}

/// `license "Lab" f3d76abf, operation 1`, for an entry of a blame.
pub fn blame_text(entry: &Value) -> String {
    let text = |member: &str| entry.get(member).and_then(Value::as_str).unwrap_or_default();
    let operation = entry.get("operation").and_then(Value::as_u64).unwrap_or_default() + 1;
    match text("by") {
        "license" => format!(
            "{}, operation {operation} ({})",
            check::license_name(text("title"), text("license")),
            text("path")
        ),
        "patch" => format!("operation {operation} of the patch set ({})", text("path")),
        "quota" => format!("quota {}", text("field")),
        "placeholder" => format!("placeholder {{{}}}", text("name")),
        "project_pod_before" => "the pod before patches".to_owned(),
        other => other.to_owned(),
    }
}

impl Judged {
    /// Whether our application gives another pod than the log has.
    pub fn differs(&self) -> bool {
        matches!(&self.replay, Ok(replay) if matches!(replay.verdict, Verdict::Differs { .. }))
    }

    /// The report of a start, without where it was read.
    pub fn report(&self) -> Map<String, Value> {
        let effects = |replay: &Replay| -> Vec<Value> {
            let all = replay.operations.iter().zip(&replay.effects).enumerate();
            all.map(|(i, (operation, effect))| {
                let mut map = Map::new();
                map.insert("op".to_owned(), json!(operation.op()));
                map.insert("path".to_owned(), json!(operation.path()));
                map.insert("effect".to_owned(), json!(effect.as_str()));
                if let Some(Some(owner)) = self.owners.get(i) {
                    map.insert("license".to_owned(), json!(owner.license));
                    map.insert("title".to_owned(), json!(owner.title));
                    map.insert("operation".to_owned(), json!(owner.operation));
                    if !owner.or.is_empty() {
                        map.insert("or".to_owned(), json!(owner.or));
                    }
                }
                Value::Object(map)
            })
            .collect()
        };
        let template = match &self.template {
            None => Value::Null,
            Some(Ok(found)) => {
                let spoken = |spoken: &Spoken| json!({"setting": spoken.setting, "fields": spoken.fields});
                let assumptions: Vec<Value> = self.assumptions.iter().map(spoken).collect();
                json!({"same": found.is_empty(), "differences": differences_json(found), "assumptions": assumptions})
            }
            Some(Err(error)) => json!({"error": error}),
        };
        let errors: Vec<Value> = self
            .errors
            .iter()
            .map(|told| Value::Object(told.report()))
            .collect();
        let mut map = Map::new();
        map.insert("project_id".to_owned(), json!(self.start.project_id));
        map.insert(
            "time".to_owned(),
            json!(self.start.time.map(|time| time.to_string())),
        );
        map.insert(
            "lines".to_owned(),
            json!([self.start.span.first, self.start.span.last]),
        );
        map.insert("before".to_owned(), self.before.clone().unwrap_or_default());
        map.insert("after".to_owned(), self.after.clone().unwrap_or_default());
        map.insert(
            "operations".to_owned(),
            Value::from(self.replay.as_ref().map(effects).unwrap_or_default()),
        );
        map.insert("replay".to_owned(), self.replay_report());
        map.insert("template".to_owned(), template);
        map.insert("errors".to_owned(), Value::from(errors));
        if self.start.more_errors > 0 {
            map.insert("more_errors".to_owned(), json!(self.start.more_errors));
        }
        if self.start.replaced {
            map.insert("not_utf8".to_owned(), json!(true));
        }
        map
    }

    fn replay_report(&self) -> Value {
        let verdict = match &self.replay {
            Ok(replay) => &replay.verdict,
            Err(verdict) => verdict,
        };
        let mut map = Map::new();
        let result = match verdict {
            Verdict::Same => "same",
            Verdict::SameIf { assumption, value } => {
                map.insert("assumption".to_owned(), json!(assumption));
                map.insert("value".to_owned(), json!(value));
                "same_if"
            }
            Verdict::Differs { ours, logged } => {
                let found = differences(ours, logged);
                map.insert("differences".to_owned(), differences_json(&found));
                "differs"
            }
            Verdict::BothFail => "fails",
            Verdict::NoResult => "no_result",
            Verdict::Incomplete(why) => {
                map.insert("why".to_owned(), json!(why));
                "incomplete"
            }
        };
        map.insert("result".to_owned(), json!(result));
        if let Some(failure) = self
            .replay
            .as_ref()
            .ok()
            .and_then(|replay| replay.failure.as_ref())
        {
            let error = json!({"class": failure.class.name(), "name": failure.name,
                               "operation": failure.operation, "message": failure.message});
            map.insert("error".to_owned(), error);
        }
        Value::Object(map)
    }
}

impl ErrorTold {
    /// The report of an error.
    pub fn report(&self) -> Map<String, Value> {
        let faults: Vec<Value> = self
            .explanation
            .faults
            .iter()
            .zip(&self.blame)
            .map(|(fault, blame)| json!({"field": fault.field, "message": fault.message, "blame": blame}))
            .collect();
        let mut map = Map::new();
        map.insert("line".to_owned(), json!(self.line.number));
        map.insert(
            "time".to_owned(),
            json!(self.line.time.map(|time| time.to_string())),
        );
        map.insert("message".to_owned(), json!(self.explanation.message));
        map.insert(
            "from".to_owned(),
            json!(Some(self.explanation.from).filter(|from| !from.is_empty())),
        );
        map.insert("explanation".to_owned(), json!(self.explanation.sentences));
        map.insert("blame".to_owned(), json!(self.stopped_by));
        map.insert("faults".to_owned(), Value::from(faults));
        map
    }
}

fn differences_json(found: &[Difference]) -> Value {
    let one = |difference: &Difference| {
        let mut map = Map::new();
        map.insert("path".to_owned(), json!(pointer(&difference.path)));
        for (name, value) in [("ours", &difference.ours), ("logged", &difference.logged)] {
            if let Some(value) = value {
                map.insert(name.to_owned(), value.clone());
            }
        }
        Value::Object(map)
    };
    found.iter().map(one).collect()
}
