//! The places of a pod that name objects which must be there.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::json_patch::PathPart;

use super::{name, objects::Kind};

/// A place of the pod that names an object.
#[derive(Debug)]
pub(super) struct Reference {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// Of a ConfigMap, the key that must be there.
    pub(super) key: Option<String>,
    /// Whether it is for pulling images: the pod starts without it if they are there or free to all.
    pub(super) pull_secret: bool,
    pub(super) path: Vec<PathPart>,
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

/// All places of a pod that name an object which must be there.
pub(super) fn references(pod: &Value) -> Vec<Reference> {
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
    for (i, claim) in list("resourceClaims").enumerate() {
        for (member, kind) in [
            ("resourceClaimName", Kind::ResourceClaim),
            ("resourceClaimTemplateName", Kind::ResourceClaimTemplate),
        ] {
            let path = vec![
                name("spec"),
                name("resourceClaims"),
                PathPart::Index(i),
                name(member),
            ];
            references.add(kind, claim.get(member), Vec::new(), path);
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
