//! Accepted is not yet running: what the API server does not check when a pod is created.
//!
//! The API server takes a pod that names a claim which does not exist, or that no node can hold; the pod then
//! waits, and CoCalc removes it after some minutes. So the objects that the pod names are asked for, and the nodes
//! are looked at as the scheduler's filters do: node name, selector, required affinity, taints, requests. What
//! depends on other pods (what is in use on a node, spreading, affinity between pods) is left out, so that a
//! concern is never a matter of a moment's load.
//!
//! [`Concerns::of`] asks; [`node_concerns`] is the pure part.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    check::{Finding, Severity, at_place, blame_text, pod::writers},
    cluster::{RequestError, Session},
    json_patch::PathPart,
    output::explain::Explained,
    pipeline::{
        Rendered, Site,
        placeholders::Placeholder,
        provenance::{Writer, field_path, keys, pointer},
    },
};

mod nodes;

pub use nodes::{Node, NodeConcern, node_concerns};

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
    told: Mutex<BTreeSet<Unknown>>,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Claim,
    ConfigMap,
    Secret,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Claim => "PersistentVolumeClaim",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }

    fn resource(self) -> &'static str {
        match self {
            Self::Claim => "persistentvolumeclaims",
            Self::ConfigMap => "configmaps",
            Self::Secret => "secrets",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Object {
    kind: Kind,
    namespace: String,
    name: String,
}

/// What is known of an object.
#[derive(Clone, Debug)]
enum Answer {
    Exists {
        lost: bool,
        deleted: bool,
        /// Of a ConfigMap.
        keys: BTreeSet<String>,
    },
    Missing,
    Unknown(Unknown),
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

/// A place of the pod that names an object.
#[derive(Debug)]
struct Reference {
    kind: Kind,
    name: String,
    /// Of a ConfigMap, the key that must be there.
    key: Option<String>,
    /// Whether it is for pulling images: the pod starts without it if they are there or free to all.
    pull_secret: bool,
    path: Vec<PathPart>,
}

impl Concerns {
    /// Nothing is asked yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What will keep this accepted pod from running, and notes on what could not be looked at, each given once in
    /// a run. `pod` is the pod that was sent, or the server's answer.
    pub async fn of<L: Lookup>(
        &self,
        lookup: &L,
        namespace: &str,
        site: &Site,
        rendered: &Rendered,
        pod: &Value,
    ) -> (Vec<Concern>, Vec<String>) {
        let mut unknown = BTreeSet::new();
        let blaming = Blaming::new(site, rendered, pod);
        let references: Vec<Reference> = references(pod)
            .into_iter()
            .filter(|reference| !made_by_cocalc(reference, rendered))
            .collect();
        let objects: BTreeSet<Object> = references
            .iter()
            .map(|reference| Object {
                kind: reference.kind,
                namespace: namespace.to_owned(),
                name: reference.name.clone(),
            })
            .collect();
        let asked = objects
            .iter()
            .map(|object| async move { (object, self.ask(lookup, object).await) });
        let answers: BTreeMap<&Object, Answer> = join_all(asked).await.into_iter().collect();
        let by_name = |reference: &Reference| {
            answers
                .iter()
                .find(|(object, _)| object.kind == reference.kind && object.name == reference.name)
                .map(|(_, answer)| answer)
        };
        let mut found: Vec<Found> = Vec::new();
        for reference in &references {
            match by_name(reference) {
                Some(Answer::Unknown(why)) => {
                    unknown.insert(why.clone());
                }
                Some(answer) => {
                    if let Some(message) = wrong(reference, answer, namespace) {
                        Found::add(&mut found, message, reference.path.clone());
                    }
                }
                None => {}
            }
        }
        let nodes = self.nodes.get_or_init(|| async {
            match lookup.list("/api/v1/nodes").await {
                Ok(nodes) => Ok(nodes.iter().map(Node::from_json).collect()),
                Err(error) => Err(why(&error, "list", "nodes", None, "the nodes".to_owned())),
            }
        });
        match nodes.await {
            Ok(nodes) => found.extend(node_concerns(pod, nodes).into_iter().map(|concern| Found {
                message: concern.message,
                paths: concern.paths,
            })),
            Err(why) => {
                unknown.insert(why.clone());
            }
        }
        let concerns = found.into_iter().map(|found| blaming.concern(found)).collect();
        (concerns, self.notes(unknown))
    }

    async fn ask<L: Lookup>(&self, lookup: &L, object: &Object) -> Answer {
        let cell = {
            let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
            objects.entry(object.clone()).or_default().clone()
        };
        cell.get_or_init(|| look_up(lookup, object)).await.clone()
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

async fn look_up<L: Lookup>(lookup: &L, object: &Object) -> Answer {
    let Object {
        kind,
        namespace,
        name,
    } = object;
    if !can_be_a_name(name) {
        return Answer::Missing;
    }
    let path = format!("/api/v1/namespaces/{namespace}/{}/{name}", kind.resource());
    let answer = match kind {
        Kind::Secret => lookup.get_metadata(&path).await,
        _ => lookup.get(&path).await,
    };
    match answer {
        Ok(value) => Answer::Exists {
            lost: value.pointer("/status/phase").and_then(Value::as_str) == Some("Lost"),
            deleted: value
                .pointer("/metadata/deletionTimestamp")
                .is_some_and(|time| !time.is_null()),
            keys: ["data", "binaryData"]
                .iter()
                .filter(|_| *kind == Kind::ConfigMap)
                .filter_map(|member| value.get(member)?.as_object())
                .flat_map(|map| map.keys().cloned())
                .collect(),
        },
        Err(RequestError::Status(status)) if status.code == 404 => Answer::Missing,
        Err(error) => Answer::Unknown(why(
            &error,
            "get",
            kind.resource(),
            Some(namespace),
            format!("{} {name:?}", kind.name()),
        )),
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

/// Whether an object can have this name. The API server takes any text where a pod names a claim, and a text such
/// as `../x` must not become part of a request's path.
fn can_be_a_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let ends = [name.bytes().next(), name.bytes().next_back()];
    name.len() <= 253
        && name.bytes().all(inner)
        && ends
            .into_iter()
            .all(|byte| byte.is_some_and(|byte| byte != b'-' && byte != b'.'))
}

/// Whether CoCalc makes this Secret when it starts the project: its name holds the project's id, and a placeholder
/// of the template put it there.
fn made_by_cocalc(reference: &Reference, rendered: &Rendered) -> bool {
    if reference.kind != Kind::Secret || !reference.name.contains(&rendered.project_id) {
        return false;
    }
    let holds_id = |writer: &Writer| matches!(writer, Writer::Placeholders(list) if list.contains(&Placeholder::ProjectId));
    rendered.provenance().iter().any(|entry| {
        !entry.removed
            && rendered.pod.get_str(&keys(&entry.path)) == Some(&*reference.name)
            && (holds_id(&entry.by) || entry.origin.as_ref().is_some_and(holds_id))
    })
}

/// What is wrong with the object that this place names.
fn wrong(reference: &Reference, answer: &Answer, namespace: &str) -> Option<String> {
    let Reference { kind, name, .. } = reference;
    let kind = kind.name();
    match answer {
        Answer::Missing if reference.pull_secret => Some(format!(
            "{kind} {name:?} does not exist in namespace {namespace:?}; images are pulled without it"
        )),
        Answer::Missing => Some(format!(
            "{kind} {name:?} does not exist in namespace {namespace:?}; the pod will not start without it"
        )),
        Answer::Exists { deleted: true, .. } if reference.kind == Kind::Claim => {
            Some(format!("{kind} {name:?} is being deleted; no new pod can use it"))
        }
        Answer::Exists { lost: true, .. } => {
            Some(format!("{kind} {name:?} has lost its volume (phase Lost)"))
        }
        Answer::Exists { keys, .. } => {
            let key = reference.key.as_ref().filter(|key| !keys.contains(*key))?;
            Some(format!(
                "{kind} {name:?} has no key {key:?}; the pod will not start without it"
            ))
        }
        Answer::Unknown(_) => None,
    }
}

/// A concern before it is known who is to blame: one message, and all places that it is true of.
struct Found {
    message: String,
    paths: Vec<Vec<PathPart>>,
}

impl Found {
    fn add(all: &mut Vec<Self>, message: String, path: Vec<PathPart>) {
        match all.iter_mut().find(|found| found.message == message) {
            Some(found) => found.paths.push(path),
            None => all.push(Self {
                message,
                paths: vec![path],
            }),
        }
    }
}

/// From places of the pod to those who wrote them.
struct Blaming<'a> {
    explained: Explained<'a>,
    rendered: &'a Rendered,
    sent: Value,
    pod: &'a Value,
}

impl<'a> Blaming<'a> {
    fn new(site: &'a Site, rendered: &'a Rendered, pod: &'a Value) -> Self {
        Self {
            explained: Explained::new(site, rendered),
            rendered,
            // A pod that was accepted could be sent.
            sent: rendered.pod.to_value().unwrap_or_default(),
            pod,
        }
    }

    fn concern(&self, found: Found) -> Concern {
        let Found { message, paths } = found;
        let mut blamed: Vec<Value> = Vec::new();
        let mut all_writers: Vec<Writer> = Vec::new();
        for path in &paths {
            let of_path = match self.sent_or_copied(path) {
                Some(path) => {
                    let writers = writers(self.rendered, std::iter::once(&path));
                    let entries = self.entries(&writers, &path);
                    for writer in writers {
                        if !all_writers.contains(&writer) {
                            all_writers.push(writer);
                        }
                    }
                    entries
                }
                None => vec![json!({"by": "injected", "path": pointer(path)})],
            };
            for entry in of_path {
                if !blamed.contains(&entry) {
                    blamed.push(entry);
                }
            }
        }

        if paths.is_empty() {
            blamed.push(json!({"by": "cluster"}));
        }
        // A template fits its cluster, as a rule: what was put into it comes first.
        blamed.sort_by_key(|entry| entry.get("by").is_some_and(|by| by == "template"));
        all_writers.sort_by_key(|writer| *writer == Writer::Template);
        Concern {
            field: paths.first().map_or_else(String::new, |path| field_path(path)),
            message,
            writers: all_writers,
            blame: blamed,
        }
    }

    fn entries(&self, writers: &[Writer], path: &[PathPart]) -> Vec<Value> {
        let pointer = pointer(path);
        writers
            .iter()
            .flat_map(|writer| self.explained.blame_json(writer, &pointer))
            .collect()
    }

    /// The place in the pod that was sent; of a request that the API server copied from its limit, the limit's.
    fn sent_or_copied(&self, path: &[PathPart]) -> Option<Vec<PathPart>> {
        self.place_sent(path).or_else(|| {
            let mut limit = path.to_vec();
            let requests = limit
                .iter_mut()
                .find(|part| matches!(part, PathPart::Name(name) if &**name == "requests"))?;
            *requests = PathPart::Name("limits".into());
            self.place_sent(&limit)
        })
    }

    /// Where in the pod that was sent the place of this path stands; `None` if admission wrote it. Elements of
    /// lists are found by their names, since admission may put others before them.
    fn place_sent(&self, path: &[PathPart]) -> Option<Vec<PathPart>> {
        let mut own = Some(self.pod);
        let mut sent = Some(&self.sent);
        let mut place = Vec::new();
        for part in path {
            let part_sent = match (part, own, sent) {
                (PathPart::Index(index), Some(own), Some(sent)) => {
                    PathPart::Index(same_element(own.get(*index)?, *index, sent.as_array()?)?)
                }
                _ => part.clone(),
            };
            own = own.and_then(|own| child(own, part));
            sent = sent.and_then(|sent| child(sent, &part_sent));
            if own.is_some() && sent.is_none() {
                return None;
            }
            place.push(part_sent);
        }
        Some(place)
    }
}

fn child<'v>(value: &'v Value, part: &PathPart) -> Option<&'v Value> {
    match part {
        PathPart::Name(name) => value.get(&**name),
        PathPart::Index(index) => value.get(*index),
    }
}

/// The index of the element that this one was when it was sent.
fn same_element(element: &Value, index: usize, list: &[Value]) -> Option<usize> {
    match element.get("name") {
        Some(name) => list.iter().position(|other| other.get("name") == Some(name)),
        None => list
            .iter()
            .position(|other| other == element)
            .or((index < list.len()).then_some(index)),
    }
}

/// Collects the places of a pod that name objects.
#[derive(Default)]
struct References {
    all: Vec<Reference>,
}

impl References {
    /// `path` leads to the object's name.
    fn add(
        &mut self,
        kind: Kind,
        name: Option<&Value>,
        keys: Vec<(String, Vec<PathPart>)>,
        path: Vec<PathPart>,
    ) {
        let Some(name) = name.and_then(Value::as_str).filter(|name| !name.is_empty()) else {
            return;
        };
        let reference = |key, path| Reference {
            kind,
            name: name.to_owned(),
            key,
            pull_secret: false,
            path,
        };
        if kind == Kind::ConfigMap {
            self.all
                .extend(keys.into_iter().map(|(key, path)| reference(Some(key), path)));
        }
        self.all.push(reference(None, path));
    }

    /// A source of a volume or of an environment. What is optional may be missing, keys included.
    fn source(&mut self, kind: Kind, name_member: &str, source: &Value, path: &[PathPart]) {
        if source.get("optional") == Some(&Value::Bool(true)) {
            return;
        }
        let items = source.get("items").and_then(Value::as_array);
        let mut keys: Vec<(String, Vec<PathPart>)> = items
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(|(i, item)| {
                let path = [path, &[name("items"), PathPart::Index(i), name("key")]].concat();
                Some((item.get("key")?.as_str()?.to_owned(), path))
            })
            .collect();
        if let Some(key) = source.get("key").and_then(Value::as_str) {
            keys.push((key.to_owned(), [path, &[name("key")]].concat()));
        }
        let path = [path, &[name(name_member)]].concat();
        self.add(kind, source.get(name_member), keys, path);
    }

    fn volume(&mut self, volume: &Value, path: &[PathPart], is_mounted: bool) {
        if let Some(claim) = volume.get("persistentVolumeClaim") {
            let path = [path, &[name("persistentVolumeClaim"), name("claimName")]].concat();
            self.add(Kind::Claim, claim.get("claimName"), Vec::new(), path);
        }
        // The kubelet does not set up a volume that no container mounts; the scheduler wants its claim all the same.
        if !is_mounted {
            return;
        }
        for (member, kind, name_member) in [
            ("configMap", Kind::ConfigMap, "name"),
            ("secret", Kind::Secret, "secretName"),
        ] {
            if let Some(source) = volume.get(member) {
                self.source(kind, name_member, source, &[path, &[name(member)]].concat());
            }
        }
        let projected = volume.pointer("/projected/sources").and_then(Value::as_array);
        for (i, source) in projected.into_iter().flatten().enumerate() {
            let path = [path, &[name("projected"), name("sources"), PathPart::Index(i)]].concat();
            for (member, kind) in [("configMap", Kind::ConfigMap), ("secret", Kind::Secret)] {
                if let Some(source) = source.get(member) {
                    self.source(kind, "name", source, &[&*path, &[name(member)]].concat());
                }
            }
        }
        for (plugin, member, name_member) in SECRETS_OF_VOLUMES {
            let at = |member: &str| volume.get(plugin).and_then(|plugin| plugin.get(member));
            let (secret, mut path) = (at(member), [path, &[name(plugin), name(member)]].concat());
            if name_member.is_empty() {
                self.add(Kind::Secret, secret, Vec::new(), path);
            } else {
                path.push(name(name_member));
                let named = secret.and_then(|secret| secret.get(name_member));
                self.add(Kind::Secret, named, Vec::new(), path);
            }
        }
    }

    fn environment(&mut self, container: &Value, path: &[PathPart]) {
        let list = |member: &str| {
            container
                .get(member)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        };
        for (i, from) in list("envFrom").enumerate() {
            let path = [path, &[name("envFrom"), PathPart::Index(i)]].concat();
            for (member, kind) in [("configMapRef", Kind::ConfigMap), ("secretRef", Kind::Secret)] {
                if let Some(source) = from.get(member) {
                    self.source(kind, "name", source, &[&*path, &[name(member)]].concat());
                }
            }
        }
        for (i, variable) in list("env").enumerate() {
            let path = [path, &[name("env"), PathPart::Index(i), name("valueFrom")]].concat();
            for (member, kind) in [
                ("configMapKeyRef", Kind::ConfigMap),
                ("secretKeyRef", Kind::Secret),
            ] {
                if let Some(source) = variable.get("valueFrom").and_then(|from| from.get(member)) {
                    self.source(kind, "name", source, &[&*path, &[name(member)]].concat());
                }
            }
        }
    }
}

/// Volume plugins with a Secret of their own: plugin, member, and the member of that which holds the name; empty
/// where the member is the name itself.
const SECRETS_OF_VOLUMES: [(&str, &str, &str); 9] = [
    ("csi", "nodePublishSecretRef", "name"),
    ("cephfs", "secretRef", "name"),
    ("rbd", "secretRef", "name"),
    ("iscsi", "secretRef", "name"),
    ("flexVolume", "secretRef", "name"),
    ("scaleIO", "secretRef", "name"),
    ("storageos", "secretRef", "name"),
    ("cinder", "secretRef", "name"),
    ("azureFile", "secretName", ""),
];

fn name(name: &str) -> PathPart {
    PathPart::Name(name.into())
}

/// All places of a pod that name a claim, a ConfigMap or a Secret which must be there.
fn references(pod: &Value) -> Vec<Reference> {
    let mut references = References::default();
    let null = Value::Null;
    let spec = pod.get("spec").unwrap_or(&null);
    let list = |member: &str| spec.get(member).and_then(Value::as_array).into_iter().flatten();
    let containers = ["containers", "initContainers", "ephemeralContainers"];
    let mounted: BTreeSet<&str> = containers
        .iter()
        .flat_map(|kind| list(kind))
        .flat_map(|container| {
            ["volumeMounts", "volumeDevices"]
                .into_iter()
                .filter_map(|member| container.get(member)?.as_array())
        })
        .flatten()
        .filter_map(|mount| mount.get("name")?.as_str())
        .collect();
    for (i, volume) in list("volumes").enumerate() {
        let is_mounted = volume
            .get("name")
            .and_then(Value::as_str)
            .is_some_and(|name| mounted.contains(name));
        let path = [name("spec"), name("volumes"), PathPart::Index(i)];
        references.volume(volume, &path, is_mounted);
    }
    for kind in containers {
        for (i, container) in list(kind).enumerate() {
            references.environment(container, &[name("spec"), name(kind), PathPart::Index(i)]);
        }
    }
    for (i, secret) in list("imagePullSecrets").enumerate() {
        let path = vec![
            name("spec"),
            name("imagePullSecrets"),
            PathPart::Index(i),
            name("name"),
        ];
        let before = references.all.len();
        references.add(Kind::Secret, secret.get("name"), Vec::new(), path);
        for added in references.all.iter_mut().skip(before) {
            added.pull_secret = true;
        }
    }
    references.all
}
