//! All that there is to say about a rendered project: the one list that every command tells from.

use serde_json::{Map, Value};

use crate::{
    json_patch::{Options, PathPart},
    output::explain::Explained,
    pipeline::{
        Rendered, Site, Subject,
        provenance::{Writer, pointer},
    },
    snapshot::OnPatchError,
};

use super::{
    Finding, Told, at_place, candidate_is_dropped, license_name, operations,
    pod::{self, Blamer, PodFinding},
};

/// A finding, where it stands, and who wrote that.
#[derive(Clone, Debug)]
pub struct Located {
    /// What there is to tell, without its place.
    pub finding: Finding,
    /// Where.
    pub place: Place,
}

/// What a finding is about.
#[derive(Clone, Debug)]
pub enum Place {
    /// The project's licenses or the template, which the message names.
    Project,
    /// An operation.
    Operation {
        /// Index of its patch among those of the rendered project.
        patch: usize,
        /// Its index in the patch, from 0.
        operation: usize,
    },
    /// A field of the pod.
    Field {
        /// As the API server writes it.
        field: String,
        /// The way to it.
        path: Vec<PathPart>,
        /// Who is to blame.
        writers: Vec<Writer>,
    },
}

impl From<Finding> for Located {
    /// A finding whose message says what it is about.
    fn from(finding: Finding) -> Self {
        let place = Place::Project;
        Self { finding, place }
    }
}

impl Located {
    /// A finding about a field, with who is to blame for it.
    pub fn of_field(found: PodFinding, writers: Vec<Writer>) -> Self {
        let PodFinding {
            field, path, finding, ..
        } = found;
        Self {
            finding,
            place: Place::Field { field, path, writers },
        }
    }

    /// The field that it is about, as the API server writes it; empty if it is about none.
    pub fn field(&self) -> &str {
        match &self.place {
            Place::Field { field, .. } => field,
            _ => "",
        }
    }

    /// The finding as a sentence that names its place and who is to blame.
    pub fn told(&self, rendered: &Rendered) -> Finding {
        let message = match &self.place {
            Place::Project => return self.finding.clone(),
            Place::Operation { .. } => {
                let name = self.operation_name(rendered);
                format!("{name}: {}", self.finding.message)
            }
            Place::Field { field, writers, .. } => {
                let who = blame_text(rendered, writers);
                format!("{}{who}", at_place(field, &self.finding.message))
            }
        };
        Finding {
            message,
            ..self.finding.clone()
        }
    }

    /// The finding as a sentence that names its field: of a document that nobody is known to have written.
    pub fn told_of_nobody(&self) -> Finding {
        Finding {
            message: at_place(self.field(), &self.finding.message),
            ..self.finding.clone()
        }
    }

    /// `license "Lab" f3d76abf, operation 1 of 2`
    fn operation_name(&self, rendered: &Rendered) -> String {
        let Place::Operation { patch, operation } = self.place else {
            return String::new();
        };
        rendered.patches.get(patch).map_or_else(String::new, |patch| {
            let name = license_name(&patch.title, &patch.license);
            format!(
                "{name}, operation {} of {}",
                operation + 1,
                patch.operations().len()
            )
        })
    }

    /// The entry of a report's `findings`:
    /// `{"rule", "severity", "message", "path", "field", "license", "title", "operation", "blame"}`, of which those
    /// behind the message only where they are known. `license` and `operation` are those that are blamed first.
    pub fn to_json(&self, explained: Option<&Explained<'_>>) -> Value {
        let mut entry = self.finding.to_json();
        match &self.place {
            Place::Project => {}
            Place::Operation { patch, operation } => {
                let writer = Writer::Operation {
                    patch: *patch,
                    operation: *operation,
                };
                let mut party =
                    explained.map_or_else(Vec::new, |explained| explained.blame_json(&writer, ""));
                if let Some(Value::Object(mut party)) = party.pop() {
                    party.remove("by");
                    entry.extend(party);
                }
            }
            Place::Field { field, path, writers } => {
                let path = pointer(path);
                let blame: Vec<Value> = explained.map_or_else(Vec::new, |explained| {
                    let writers = writers.iter();
                    writers
                        .flat_map(|writer| explained.blame_json(writer, &path))
                        .collect()
                });
                for name in ["license", "title", "operation"] {
                    let known = blame.first().and_then(|first| first.get(name));
                    entry.extend(known.map(|value| (name.to_owned(), value.clone())));
                }
                entry.insert("path".to_owned(), Value::from(path));
                entry.insert("field".to_owned(), Value::from(field.as_str()));
                entry.insert("blame".to_owned(), Value::from(blame));
            }
        }
        Value::Object(entry)
    }
}

/// Where the operations of a what-if patch stand in the file that it came from.
#[derive(Default)]
pub struct InFile {
    license: Option<String>,
    operations: Vec<String>,
    dropped: Option<String>,
}

impl InFile {
    /// Of the site's what-if patch, if it came from a file.
    pub fn of(site: &Site) -> Self {
        let what_if = site.what_if();
        what_if.patch.as_ref().map_or_else(Self::default, |patch| Self {
            license: what_if.candidate_license().map(str::to_owned),
            operations: patch.places(),
            dropped: site.candidate_dropped_at(),
        })
    }

    /// `FILE:LINE:COL` of the operation that a finding is about, or of what CoCalc's check does not like.
    pub fn place(&self, found: &Located, rendered: &Rendered) -> Option<&str> {
        match found.place {
            Place::Operation { patch, operation } => {
                let license = &rendered.patches.get(patch)?.license;
                let operations = self.operations.get(operation);
                operations.filter(|_| self.license.as_ref() == Some(license))
            }
            Place::Project if candidate_is_dropped([&found.finding]) => self.dropped.as_ref(),
            _ => None,
        }
        .map(String::as_str)
    }
}

impl Told {
    /// All that there is to say about a project: [`Told::findings`], then [`review`].
    pub fn all(&mut self, site: &Site, subject: Subject<'_>, rendered: &Rendered) -> Vec<Located> {
        let mut all = self.findings(site, subject, rendered);
        // That an operation does nothing is told of it in more words.
        all.retain(|finding| finding.rule != operations::WITHOUT_EFFECT);
        let all = all.into_iter().map(Located::from);
        all.chain(review(site, rendered)).collect()
    }
}

/// What a careful reader sees in operations and pod, of every severity: what is told of an operation, then what the
/// API server would say of the pod, then what the patches changed. Of a pod that CoCalc cannot make, the operations
/// alone.
pub fn review(site: &Site, rendered: &Rendered) -> Vec<Located> {
    let options = Options {
        validate: site.assumptions().validate_operation,
    };
    let mut all: Vec<Located> = operations::operation_findings(rendered, options)
        .into_iter()
        .map(|found| Located {
            finding: found.finding,
            place: Place::Operation {
                patch: found.patch,
                operation: found.operation,
            },
        })
        .collect();
    if rendered.failure.is_some() && site.assumptions().on_patch_error == OnPatchError::Abort {
        return all;
    }
    if let (Ok(before), Ok(after)) = (rendered.unpatched.to_value(), rendered.sent()) {
        let mut blamer = Blamer::new(rendered);
        let found = pod::check_pod(after)
            .into_iter()
            .chain(pod::check_change(&before, after));
        all.extend(found.map(|found| {
            let writers = blamer.blame(&found);
            Located::of_field(found, writers)
        }));
    }
    all
}

/// ` (license "Lab" f3d76abf, operation 1; quota memory_limit)`: those who are to blame, behind a sentence.
pub fn blame_text(rendered: &Rendered, writers: &[Writer]) -> String {
    let names = |writer: &Writer| -> Vec<String> {
        match writer {
            Writer::Template => vec!["template".to_owned()],
            Writer::Quota(field) => vec![format!("quota {}", field.name())],
            Writer::Placeholders(list) => {
                let names = list.iter().map(|placeholder| placeholder.text());
                names.map(|name| format!("placeholder {name}")).collect()
            }
            Writer::Operation { patch, operation } => {
                let patch = rendered.patches.get(*patch);
                let name = patch.map(|patch| license_name(&patch.title, &patch.license));
                name.map(|name| format!("{name}, operation {}", operation + 1))
                    .into_iter()
                    .collect()
            }
        }
    };
    let names: Vec<String> = writers.iter().flat_map(names).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(" ({})", names.join("; "))
    }
}

impl Finding {
    /// `{"rule", "severity", "message"}` and, where it is about a license, `license`.
    pub fn to_json(&self) -> Map<String, Value> {
        let members = [
            ("rule", Some(Value::from(self.rule))),
            ("severity", Some(Value::from(self.severity.to_string()))),
            ("message", Some(Value::from(self.message.as_str()))),
            ("license", self.license.as_deref().map(Value::from)),
        ];
        members
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }
}
