//! Accepted is not yet running: what the API server does not check when a pod is created.
//!
//! The API server takes a pod that names a claim which does not exist, or that no node can hold; the pod then
//! waits, and CoCalc removes it after some minutes. So the objects that the pod names are asked for, and the nodes
//! are looked at as the scheduler's filters do: node name, selector, required affinity, topology keys, taints, requests.
//! What depends on other pods (what is in use on a node, spreading, affinity between pods) is left out, so that a
//! concern is never a matter of a moment's load.
//!
//! [`Concerns::of`] asks; `node_concerns` is the pure part.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    check::{Finding, Severity, at_place, blame_text},
    cluster::{RequestError, Session},
    json_patch::PathPart,
    output::escape,
    pipeline::{Rendered, Site, provenance::Writer},
};

mod blame;
mod nodes;
mod objects;
mod references;
mod requests;
mod selection;
mod taints;
mod topology;

use blame::Blaming;
use nodes::{Node, node_concerns};
use objects::{Answer, Object, RESOURCE_GROUP, look_up, made_by_cocalc, resource_version, wrong};
use references::{Reference, references};

/// The requests that concerns need; all are GETs.
pub trait Lookup {
    /// An object, by a path such as `/api/v1/namespaces/cocalc/configmaps/lab`.
    fn get(&self, path: &str) -> impl Future<Output = Result<Value, RequestError>>;

    /// All elements of a list, by a path such as `/api/v1/nodes`.
    fn list(&self, path: &str) -> impl Future<Output = Result<Vec<Value>, RequestError>>;

    /// An object's metadata alone.
    fn get_metadata(&self, path: &str) -> impl Future<Output = Result<Value, RequestError>>;
}

impl Lookup for Session {
    async fn get(&self, path: &str) -> Result<Value, RequestError> {
        Ok(Self::get(self, path, &[]).await?.value)
    }

    async fn list(&self, path: &str) -> Result<Vec<Value>, RequestError> {
        Ok(Self::list(self, path, &[]).await?.value)
    }

    async fn get_metadata(&self, path: &str) -> Result<Value, RequestError> {
        Ok(Self::get_metadata(self, path).await?.value)
    }
}

/// Something that will keep an accepted pod from running. Its severity is [`Concern::SEVERITY`].
#[derive(Clone, Debug, PartialEq)]
pub struct Concern {
    /// A sentence without the field's name.
    pub message: String,
    /// The field of the pod as the API server writes it.
    pub field: String,
    /// Who wrote it; nobody, if the cluster is to blame or admission wrote it.
    pub writers: Vec<Writer>,
    /// The same as entries of a report's `blame`.
    pub blame: Vec<Value>,
}

impl Concern {
    /// How much a concern matters.
    pub const SEVERITY: Severity = Severity::Warning;

    /// The entry of a report's `concerns`.
    pub fn to_json(&self) -> Value {
        json!({"message": self.message, "field": self.field, "blame": self.blame})
    }

    /// As a finding whose sentence names the place and who is to blame.
    pub fn told(&self, rendered: &Rendered) -> Finding {
        let who = blame_text(rendered, &self.writers);
        let message = format!("{}{who}", at_place(&self.field, &self.message));
        Finding::new("concern", Self::SEVERITY, message)
    }
}

/// What was asked already. One for all projects of a run: each object is asked for once, the nodes too.
#[derive(Default)]
pub struct Concerns {
    objects: Mutex<HashMap<Object, Arc<OnceCell<Answer>>>>,
    nodes: OnceCell<Result<Vec<Node>, Unknown>>,
    resource_version: OnceCell<Result<Option<String>, Unknown>>,
    told: Mutex<BTreeSet<Unknown>>,
}

/// Why something is not known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unknown {
    /// The right is missing: verb and resource, and the namespace if it has one.
    Right {
        namespace: Option<String>,
        verb: &'static str,
        resource: &'static str,
    },
    /// It could not be asked for.
    Failed { what: String, error: String },
}

impl Concerns {
    /// Nothing is asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What will keep this accepted pod from running, and notes on what could not be looked at, each given once in
    /// a run. `pod` is the server's answer, in which admission may have put tolerations, requests and gates; or the pod
    /// that was sent, where there is no answer.
    pub async fn of<L: Lookup>(
        &self,
        lookup: &L,
        namespace: &str,
        site: &Site,
        rendered: &Rendered,
        pod: &Value,
    ) -> (Vec<Concern>, Vec<String>) {
        let mut unknown = BTreeSet::new();
        // A pod that was accepted could be sent.
        let sent = rendered.pod.to_value().unwrap_or_default();
        let blaming = Blaming::new(site, rendered, &sent);
        // Whatever admission adds names what is there, and what the server does not know it drops.
        let references: Vec<Reference> = references(&sent)
            .into_iter()
            .filter(|reference| !made_by_cocalc(reference, rendered))
            .collect();
        let object_of = |reference: &Reference| Object {
            kind: reference.kind,
            namespace: namespace.to_owned(),
            name: reference.name.clone(),
        };
        let objects: BTreeSet<Object> = references.iter().map(object_of).collect();
        let asked = objects
            .iter()
            .map(|object| async move { (object, self.ask(lookup, object).await) });
        let answers: BTreeMap<&Object, Answer> = join_all(asked).await.into_iter().collect();
        let mut found: Vec<Found> = Vec::new();
        let mut same: HashMap<String, usize> = HashMap::new();
        for reference in &references {
            let message = match answers.get(&object_of(reference)) {
                Some(Answer::Unknown(why)) => {
                    unknown.insert(why.clone());
                    continue;
                }
                Some(answer) => wrong(reference, answer, namespace),
                None => continue,
            };
            let Some(message) = message else { continue };
            let index = *same.entry(message.clone()).or_insert(found.len());
            match found.get_mut(index) {
                Some(found) => found.paths.push(reference.path.clone()),
                None => found.push(Found {
                    message,
                    paths: vec![reference.path.clone()],
                }),
            }
        }
        let mut of_scheduling: Vec<Found> = gates(pod).into_iter().collect();
        let nodes = self.nodes.get_or_init(|| async {
            match lookup.list("/api/v1/nodes").await {
                Ok(nodes) => Ok(nodes.iter().map(Node::from_json).collect()),
                Err(error) => Err(why(&error, "list", "nodes", None, "the nodes".to_owned())),
            }
        });
        match nodes.await {
            Ok(nodes) => of_scheduling.extend(node_concerns(pod, nodes)),
            Err(why) => {
                unknown.insert(why.clone());
            }
        }
        let found = found.into_iter().map(|found| blaming.concern(found, &sent));
        let of_scheduling = of_scheduling.into_iter().map(|found| blaming.concern(found, pod));
        (found.chain(of_scheduling).collect(), self.notes(unknown))
    }

    async fn ask<L: Lookup>(&self, lookup: &L, object: &Object) -> Answer {
        let cell = {
            let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
            objects.entry(object.clone()).or_default().clone()
        };
        let answer = cell.get_or_init(|| async {
            if !object.kind.is_for_devices() {
                return look_up(lookup, object, "/api/v1").await;
            }
            match self
                .resource_version
                .get_or_init(|| resource_version(lookup))
                .await
            {
                Ok(Some(version)) => {
                    look_up(lookup, object, &format!("/apis/{RESOURCE_GROUP}/{version}")).await
                }
                Ok(None) => Answer::Unserved,
                Err(why) => Answer::Unknown(why.clone()),
            }
        });
        answer.await.clone()
    }

    /// What was not told before, as notes.
    fn notes(&self, unknown: BTreeSet<Unknown>) -> Vec<String> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rights: BTreeMap<Option<String>, Vec<String>> = BTreeMap::new();
        let mut notes = Vec::new();
        for why in unknown {
            if !told.insert(why.clone()) {
                continue;
            }
            match why {
                Unknown::Right {
                    namespace,
                    verb,
                    resource,
                } => {
                    let right = format!("{verb} {resource}");
                    rights.entry(namespace).or_default().push(right);
                }
                Unknown::Failed { what, error } => {
                    notes.push(format!("{what} could not be looked up: {error}"));
                }
            }
        }
        if !rights.is_empty() {
            let missing: Vec<String> = rights
                .into_iter()
                .map(|(namespace, rights)| {
                    let place = match namespace {
                        Some(namespace) => format!("in namespace {namespace:?}"),
                        None => "at the cluster scope".to_owned(),
                    };
                    format!("{} {place}", rights.join(", "))
                })
                .collect();
            notes.insert(
                0,
                format!(
                    "not looked up, since the right is missing to {}",
                    missing.join(", and to ")
                ),
            );
        }
        notes
    }
}

fn why(
    error: &RequestError,
    verb: &'static str,
    resource: &'static str,
    namespace: Option<&String>,
    what: String,
) -> Unknown {
    match error {
        RequestError::Status(status) if status.code == 403 => Unknown::Right {
            namespace: namespace.cloned(),
            verb,
            resource,
        },
        error => Unknown::Failed {
            what,
            error: error.to_string(),
        },
    }
}

/// A concern before it is known who is to blame.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    /// A sentence.
    message: String,
    /// The places of the pod that it is true of, the one to name first; none if it is the cluster's fault.
    paths: Vec<Vec<PathPart>>,
}

/// Whatever else is true of it, the scheduler does not look at a pod that has a gate.
fn gates(pod: &Value) -> Option<Found> {
    let gates = pod.pointer("/spec/schedulingGates")?.as_array()?;
    let names = gates
        .iter()
        .filter_map(|gate| Some(escape::line(gate.get("name")?.as_str()?).into_owned()))
        .collect::<Vec<_>>();
    let s = if names.len() == 1 { "" } else { "s" };
    let path = |index| {
        vec![
            name("spec"),
            name("schedulingGates"),
            PathPart::Index(index),
            name("name"),
        ]
    };
    (!names.is_empty()).then(|| Found {
        message: format!(
            "the pod waits until somebody removes its scheduling gate{s} {}",
            names.join(", ")
        ),
        paths: (0..gates.len()).map(path).collect(),
    })
}

fn name(name: &str) -> PathPart {
    PathPart::Name(name.into())
}
