//! Volumes: their names, and what each type of source needs.

use std::collections::{HashMap, HashSet};

use super::{
    Report,
    at::At,
    containers::key_reference_divisor,
    names,
    quantity::Quantity,
    scheduling::{label_selector, labels},
};

/// A type of source: its field, and which of its fields may not be empty.
struct Source {
    name: &'static str,
    /// The name under which the API server tells of its fields, where it is another.
    told_as: Option<&'static str>,
    required: &'static [&'static str],
    /// The version of Kubernetes that mounts it no more, and what to use instead.
    gone: Option<(&'static str, &'static str)>,
}

const fn source(name: &'static str, required: &'static [&'static str]) -> Source {
    Source {
        name,
        told_as: None,
        required,
        gone: None,
    }
}

impl Source {
    const fn gone(self, since: &'static str) -> Self {
        Self {
            gone: Some((since, "a volume of a CSI driver")),
            ..self
        }
    }
}

/// In the order in which the API server looks at them: of two, the later is one too many.
const SOURCES: [Source; 30] = [
    source("emptyDir", &[]),
    source("hostPath", &["path"]),
    Source {
        gone: Some(("1.33", "an emptyDir and an init container that clones")),
        ..source("gitRepo", &["repository"])
    },
    Source {
        told_as: Some("persistentDisk"),
        ..source("gcePersistentDisk", &["pdName"])
    },
    source("awsElasticBlockStore", &["volumeID"]),
    source("secret", &["secretName"]),
    source("nfs", &["server", "path"]),
    source("iscsi", &["targetPortal", "iqn"]),
    source("glusterfs", &["endpoints", "path"]).gone("1.26"),
    source("flocker", &[]).gone("1.25"),
    source("persistentVolumeClaim", &["claimName"]),
    source("rbd", &["monitors", "image"]).gone("1.31"),
    source("cinder", &["volumeID"]),
    source("cephfs", &["monitors"]).gone("1.31"),
    source("quobyte", &["registry", "volume"]).gone("1.25"),
    source("downwardAPI", &[]),
    source("fc", &[]),
    source("flexVolume", &["driver"]),
    source("configMap", &["name"]),
    source("azureFile", &["secretName", "shareName"]),
    source("vsphereVolume", &["volumePath"]),
    source("photonPersistentDisk", &["pdID"]).gone("1.16"),
    source("portworxVolume", &["volumeID"]),
    source("azureDisk", &["diskName", "diskURI"]),
    source("storageos", &["volumeName"]).gone("1.25"),
    source("projected", &[]),
    source("scaleIO", &["gateway", "system", "volumeName"]).gone("1.22"),
    source("csi", &["driver"]),
    source("ephemeral", &["volumeClaimTemplate"]),
    source("image", &["reference"]),
];

/// Which field the API server names when a source of this type is one too many, where it is not the field.
fn one_too_many(name: &str) -> &str {
    match name {
        "cephfs" => "cephFS",
        "downwardAPI" => "downwarAPI",
        other => other,
    }
}

/// Checks all volumes; gives those that mounts can refer to, and the names of all, good or bad.
pub(super) struct Volumes<'v> {
    by_name: HashMap<&'v str, At<'v>>,
}

impl<'v> Volumes<'v> {
    /// The volume of this name, whatever is wrong with it.
    pub(super) fn get(&self, name: &str) -> Option<&At<'v>> {
        self.by_name.get(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'v str> {
        self.by_name.keys().copied()
    }
}

pub(super) fn volumes<'v>(pod: &At<'v>, report: &mut Report) -> Volumes<'v> {
    let pod_name = pod.at(&["metadata", "name"]).text();
    let list = pod.at(&["spec", "volumes"]);
    let mut by_name: HashMap<&str, At<'v>> = HashMap::with_capacity(list.len());
    let created: HashSet<String> = list
        .items()
        .filter(|volume| volume.get("ephemeral").is_set() && !pod_name.is_empty())
        .map(|volume| format!("{pod_name}-{}", volume.get("name").text()))
        .collect();
    for volume in list.items() {
        let name = volume.get("name");
        if report.required(&name) {
            report.syntax("pod-name", &name, names::dns_label(name.text()));
        }
        if let Some(first) = by_name.get(name.text()).filter(|_| !name.text().is_empty()) {
            report.error_with(
                "pod-duplicate-name",
                &name,
                format!("the volume name {:?} is taken by {}", name.text(), first.field()),
                vec![first.get("name").path()],
            );
        } else {
            by_name.insert(name.text(), volume.clone());
        }
        sources(&volume, report);
        let claim = volume.at(&["persistentVolumeClaim", "claimName"]);
        if created.contains(claim.text()) {
            report.error(
                "pod-invalid",
                &claim,
                "this claim is one that Kubernetes makes for an ephemeral volume of the pod",
            );
        }
        if volume.get("ephemeral").is_set() && !pod_name.is_empty() && !name.text().is_empty() {
            let claim = format!("{pod_name}-{}", name.text());
            if let Some(wrong) = names::dns_subdomain(&claim) {
                report.error(
                    "pod-name",
                    &name,
                    format!("the claim {claim:?} would be made: {wrong}"),
                );
            }
        }
    }
    Volumes { by_name }
}

fn sources(volume: &At<'_>, report: &mut Report) {
    let mut first: Option<&Source> = None;
    for source in &SOURCES {
        let at = volume.get(source.name);
        if !at.is_set() {
            continue;
        }
        if let Some(first) = first {
            report.error_at(
                "pod-one-of",
                &at,
                format!("{}.{}", volume.field(), one_too_many(source.name)),
                format!("a volume has one type, and this one is {} already", first.name),
            );
            continue;
        }
        first = Some(source);
        if let Some((since, instead)) = source.gone {
            report.warning(
                "pod-volume-unsupported",
                &at,
                format!(
                    "Kubernetes mounts no {} volume since {since}: the pod is accepted, and never starts if a container \
                     mounts it; use {instead}",
                    source.name
                ),
            );
        }
        for name in source.required {
            let field = at.get(name);
            if field.is_set() && !field.text().is_empty() || field.len() > 0 {
                continue;
            }
            let told = source.told_as.unwrap_or(source.name);
            report.error_at(
                "pod-required",
                &field,
                format!("{}.{told}.{name}", volume.field()),
                format!("{} needs {name}", source.name),
            );
        }
        details(source.name, &at, volume, report);
    }
    if first.is_none() {
        report.note(
            "pod-volume-without-type",
            volume,
            "this volume has no type; Kubernetes makes an empty directory of it",
        );
    }
}

fn details(name: &str, at: &At<'_>, volume: &At<'_>, report: &mut Report) {
    match name {
        "emptyDir" => empty_dir(at, report),
        "hostPath" => {
            let path = at.get("path");
            report.syntax("pod-path", &path, names::no_backsteps(path.text()));
            report.one_of(
                &at.get("type"),
                &[
                    "",
                    "BlockDevice",
                    "CharDevice",
                    "Directory",
                    "DirectoryOrCreate",
                    "File",
                    "FileOrCreate",
                    "Socket",
                ],
            );
        }
        "gitRepo" => {
            let directory = at.get("directory");
            report.syntax("pod-path", &directory, names::descending_path(directory.text()));
        }
        "gcePersistentDisk" => {
            let partition = at.get("partition");
            if partition.int().is_some_and(|n| !(0..=255).contains(&n)) {
                report.error_at(
                    "pod-out-of-range",
                    &partition,
                    format!("{}.persistentDisk.partition", volume.field()),
                    "it must be between 0 and 255",
                );
            }
        }
        "awsElasticBlockStore" => report.range(&at.get("partition"), 0, 255),
        "secret" | "configMap" => {
            report.mode(&at.get("defaultMode"));
            at.get("items")
                .items()
                .for_each(|item| key_to_path(&item, report));
        }
        "nfs" => {
            let path = at.get("path");
            if !path.text().starts_with('/') {
                report.error("pod-path", &path, "it must be an absolute path");
            }
        }
        "iscsi" => iscsi(at, report),
        "flocker" => {
            let (name, uuid) = (at.get("datasetName"), at.get("datasetUUID"));
            if name.text().is_empty() == uuid.text().is_empty() {
                report.error("pod-one-of", at, "it needs either datasetName or datasetUUID");
            }
            if name.text().contains('/') {
                report.error("pod-name", &name, "it may not contain '/'");
            }
        }
        "persistentVolumeClaim" => {
            let claim = at.get("claimName");
            if !claim.text().is_empty()
                && let Some(wrong) = names::dns_subdomain(claim.text())
            {
                report.warning(
                    "pod-claim-name",
                    &claim,
                    format!(
                        "no claim can have the name {:?}, so the pod is accepted and never starts: {wrong}",
                        claim.text()
                    ),
                );
            }
        }
        "cinder" => {
            let secret = at.get("secretRef");
            if secret.is_set() {
                report.required(&secret.get("name"));
            }
        }
        "quobyte" => {
            let (registry, tenant) = (at.get("registry"), at.get("tenant"));
            if registry.text().is_empty() {
            } else if tenant.text().len() > 64 {
                report.error("pod-required", &tenant, "it may have 64 characters");
            } else if !registry.text().split(',').all(|pair| {
                pair.rsplit_once(':')
                    .is_some_and(|(host, _)| !host.contains(':') || host.starts_with('['))
            }) {
                report.error(
                    "pod-invalid",
                    &registry,
                    "it must be host:port, or several joined by ','",
                );
            }
        }
        "downwardAPI" => {
            report.mode(&at.get("defaultMode"));
            at.get("items")
                .items()
                .for_each(|item| downward_file(&item, at, report));
        }
        "fc" => fc(at, report),
        "flexVolume" => {
            for (key, option) in at.get("options").entries() {
                let namespace = format!(".{}", key.split('/').next().unwrap_or(key).to_lowercase());
                if namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io") {
                    report.error(
                        "pod-invalid",
                        &option,
                        "options of kubernetes.io and k8s.io are reserved",
                    );
                }
            }
        }
        "azureDisk" => azure_disk(at, report),
        "storageos" => {
            let volume_name = at.get("volumeName");
            if !volume_name.text().is_empty() {
                report.syntax("pod-name", &volume_name, names::dns_label(volume_name.text()));
            }
            let namespace = at.get("volumeNamespace");
            if !namespace.text().is_empty() {
                report.syntax("pod-name", &namespace, names::dns_label(namespace.text()));
            }
            let secret = at.get("secretRef");
            if secret.is_set() {
                report.required(&secret.get("name"));
            }
        }
        "projected" => projected(at, report),
        "csi" => csi(at, report),
        "ephemeral" => claim_template(&at.get("volumeClaimTemplate"), report),
        "image" => report.one_of_or_empty(&at.get("pullPolicy"), &["Always", "IfNotPresent", "Never"]),
        _ => {}
    }
}

fn empty_dir(at: &At<'_>, report: &mut Report) {
    let limit = at.get("sizeLimit");
    if report.quantity(&limit).is_some_and(Quantity::is_negative) {
        report.error("pod-out-of-range", &limit, "it may not be negative");
    }
    let medium = at.get("medium");
    let text = medium.text();
    if !matches!(text, "" | "Memory" | "HugePages") && !text.starts_with("HugePages-") {
        report.warning(
            "pod-empty-dir-medium",
            &medium,
            format!("Kubernetes knows no medium {text:?}, and the kubelet refuses the pod; write Memory"),
        );
    }
}

fn key_to_path(item: &At<'_>, report: &mut Report) {
    report.required(&item.get("key"));
    let path = item.get("path");
    report.required(&path);
    report.syntax("pod-path", &path, names::file_path(path.text()));
    report.mode(&item.get("mode"));
}

fn iscsi(at: &At<'_>, report: &mut Report) {
    for name in ["iqn", "initiatorName"] {
        let field = at.get(name);
        let text = field.text();
        if text.is_empty() && !(name == "initiatorName" && field.is_set()) {
            continue;
        }
        if !iscsi_name(text) {
            let told = if name == "iqn" { "iqn" } else { "initiatorname" };
            report.error_at(
                "pod-invalid",
                &field,
                format!("{}.{told}", at.field()),
                "it must be an iSCSI name that starts with iqn, eui or naa",
            );
        }
    }
    report.range(&at.get("lun"), 0, 255);
    let chap = at.get("chapAuthDiscovery").is_true() || at.get("chapAuthSession").is_true();
    if chap && !at.get("secretRef").is_set() {
        report.error("pod-required", &at.get("secretRef"), "CHAP needs a secretRef");
    }
}

fn iscsi_name(text: &str) -> bool {
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(rest) = text.strip_prefix("iqn.") {
        let bytes = rest.as_bytes();
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        return [0, 1, 2, 3, 5, 6].into_iter().all(digit)
            && bytes.get(4) == Some(&b'-')
            && bytes.get(7) == Some(&b'.')
            && bytes.len() > 8;
    }
    match (text.strip_prefix("eui."), text.strip_prefix("naa.")) {
        (Some(rest), _) => rest.len() == 16 && hex(rest),
        (_, Some(rest)) => matches!(rest.len(), 16 | 32) && hex(rest),
        _ => false,
    }
}

fn fc(at: &At<'_>, report: &mut Report) {
    let (wwns, wwids, lun) = (at.get("targetWWNs"), at.get("wwids"), at.get("lun"));
    if wwns.len() == 0 && wwids.len() == 0 {
        report.error("pod-required", &wwns, "it needs either targetWWNs or wwids");
    }
    if wwns.len() > 0 && wwids.len() > 0 {
        report.error("pod-one-of", &wwns, "targetWWNs and wwids exclude each other");
    }
    if wwns.len() > 0 {
        if lun.is_set() {
            report.range(&lun, 0, 255);
        } else {
            report.error("pod-required", &lun, "targetWWNs need a lun");
        }
    }
}

fn azure_disk(at: &At<'_>, report: &mut Report) {
    report.one_of(&at.get("cachingMode"), &["None", "ReadOnly", "ReadWrite"]);
    let kind = at.get("kind");
    report.one_of(&kind, &["Dedicated", "Managed", "Shared"]);
    let uri = at.get("diskURI");
    if uri.text().is_empty() {
        return;
    }
    // Kind defaults to Shared.
    let managed = kind.text() == "Managed";
    let prefix = if managed { "/subscriptions/" } else { "https://" };
    if !uri.text().starts_with(prefix) {
        report.error(
            "pod-unsupported-value",
            &uri,
            format!("for this kind of disk it must start with {prefix}"),
        );
    }
}

fn csi(at: &At<'_>, report: &mut Report) {
    let driver = at.get("driver");
    if !driver.text().is_empty() {
        if driver.text().len() > 63 {
            report.error("pod-name", &driver, "it is longer than 63 characters");
        }
        report.syntax(
            "pod-name",
            &driver,
            names::dns_subdomain(&driver.text().to_lowercase()),
        );
    }
    let secret = at.get("nodePublishSecretRef");
    if secret.is_set() {
        let name = secret.get("name");
        if report.required(&name)
            && let Some(wrong) = names::dns_subdomain(name.text())
        {
            report.error_at("pod-name", &name, format!("{}.name", at.field()), wrong);
        }
    }
}

fn claim_template(at: &At<'_>, report: &mut Report) {
    if !at.is_set() {
        return;
    }
    let metadata = at.get("metadata");
    labels(&metadata.get("labels"), report);
    for (name, field) in metadata.entries() {
        if !matches!(name, "labels" | "annotations") && field.is_set() && field.text() != "" {
            report.error(
                "pod-forbidden",
                &metadata.get(name),
                "only labels and annotations can be set here",
            );
        }
    }
    let spec = at.get("spec");
    let modes = spec.get("accessModes");
    if modes.len() == 0 {
        report.error("pod-required", &modes, "at least one access mode is needed");
    }
    let known = [
        "ReadOnlyMany",
        "ReadWriteMany",
        "ReadWriteOnce",
        "ReadWriteOncePod",
    ];
    let mut exclusive = false;
    let mut others = false;
    for mode in modes.items() {
        if !known.contains(&mode.text()) {
            report.error_at(
                "pod-unsupported-value",
                &mode,
                modes.field(),
                format!("{:?} is none of {}", mode.text(), known.join(", ")),
            );
        } else if mode.text() == "ReadWriteOncePod" {
            exclusive = true;
        } else {
            others = true;
        }
    }
    if exclusive && others {
        report.error(
            "pod-forbidden",
            &modes,
            "ReadWriteOncePod excludes other access modes",
        );
    }
    let storage = spec.at(&["resources", "requests"]).key("storage");
    let field = format!("{}.resources[storage]", spec.field());
    if !storage.is_set() {
        report.error_at("pod-required", &storage, field, "a size is needed");
    } else if report
        .quantity(&storage)
        .is_some_and(|size| size <= Quantity::ZERO)
    {
        report.error_at(
            "pod-out-of-range",
            &storage,
            field,
            "it must be greater than zero",
        );
    }
    let class = spec.get("storageClassName");
    if !class.text().is_empty() {
        report.syntax("pod-name", &class, names::dns_subdomain(class.text()));
    }
    report.one_of(&spec.get("volumeMode"), &["Block", "Filesystem"]);
    label_selector(&spec.get("selector"), report);
}

/// `place` is where the API server says that the file is.
fn downward_file(file: &At<'_>, place: &At<'_>, report: &mut Report) {
    let told = |name: &str| format!("{}.{name}", place.field());
    let path = file.get("path");
    if path.text().is_empty() {
        report.error_at("pod-required", &path, told("path"), "a path is needed");
    }
    if let Some(wrong) = names::file_path(path.text()) {
        report.error_at("pod-path", &path, told("path"), wrong);
    }
    let (field, resource) = (file.get("fieldRef"), file.get("resourceFieldRef"));
    if field.is_set() {
        let expressions = [
            "metadata.annotations",
            "metadata.labels",
            "metadata.name",
            "metadata.namespace",
            "metadata.uid",
        ];
        field_reference(&field, &expressions, &told("fieldRef"), report);
        if resource.is_set() {
            report.error_at(
                "pod-one-of",
                file,
                place.field(),
                "fieldRef and resourceFieldRef exclude each other",
            );
        }
    } else if resource.is_set() {
        resource_reference(&resource, true, &told("resourceFieldRef"), report);
    } else {
        report.error_at(
            "pod-required",
            file,
            place.field(),
            "it needs either fieldRef or resourceFieldRef",
        );
    }
    let mode = file.get("mode");
    if mode.int().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        report.error_at("pod-out-of-range", &mode, told("mode"), super::MODE);
    }
}

/// A `fieldRef`, told of under the field `told`.
pub(super) fn field_reference(at: &At<'_>, expressions: &[&str], told: &str, report: &mut Report) {
    let version = at.get("apiVersion");
    let path = at.get("fieldPath");
    let field = format!("{told}.fieldPath");
    let text = path.text();
    if text.is_empty() {
        report.error_at("pod-required", &path, field, "a field is needed");
    } else if !matches!(version.text(), "" | "v1") {
        report.error_at("pod-invalid", &path, field, "the only apiVersion is v1");
    } else if let Some((map, key)) = subscript(text) {
        match map {
            "metadata.annotations" | "metadata.labels" => {
                let key = if map == "metadata.labels" {
                    key.to_owned()
                } else {
                    key.to_lowercase()
                };
                if let Some(wrong) = names::qualified_name(&key) {
                    report.error_at("pod-invalid", &path, told.to_owned(), wrong);
                }
            }
            _ => report.error_at("pod-invalid", &path, field, format!("{map} has no keys")),
        }
    } else {
        let text = if text == "spec.host" {
            "spec.nodeName"
        } else {
            text
        };
        if !expressions.contains(&text) {
            report.error_at(
                "pod-unsupported-value",
                &path,
                field,
                format!("{text:?} is none of {}", expressions.join(", ")),
            );
        }
    }
}

/// `metadata.labels['key']` in its two parts.
fn subscript(text: &str) -> Option<(&str, &str)> {
    let (map, key) = text.strip_suffix("']")?.split_once("['")?;
    (!map.is_empty()).then_some((map, key))
}

/// A `resourceFieldRef`, told of under the field `told`.
pub(super) fn resource_reference(at: &At<'_>, in_volume: bool, told: &str, report: &mut Report) {
    let resource = at.get("resource");
    let text = resource.text();
    let known = [
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    ];
    if in_volume && at.get("containerName").text().is_empty() {
        report.error_at(
            "pod-required",
            &at.get("containerName"),
            format!("{told}.containerName"),
            "the container must be named",
        );
    } else if text.is_empty() {
        report.error_at(
            "pod-required",
            &resource,
            format!("{told}.resource"),
            "a resource is needed",
        );
    } else if !known.contains(&text)
        && !text.starts_with("limits.hugepages-")
        && !text.starts_with("requests.hugepages-")
    {
        report.error_at(
            "pod-unsupported-value",
            &resource,
            format!("{told}.resource"),
            format!("{text:?} is none of {}", known.join(", ")),
        );
    }
    let divisor = at.get("divisor");
    if let Some(wrong) = key_reference_divisor(text, &divisor, report) {
        report.error_at("pod-invalid", &divisor, format!("{told}.divisor"), wrong);
    }
}

fn projected(at: &At<'_>, report: &mut Report) {
    report.mode(&at.get("defaultMode"));
    let mut paths = HashSet::new();
    let mut taken = |path: &At<'_>, report: &mut Report| {
        if !path.text().is_empty() && !paths.insert(path.text().to_owned()) {
            report.error_at(
                "pod-duplicate-path",
                path,
                at.field(),
                format!("two files would have the path {:?}", path.text()),
            );
        }
    };
    for source in at.get("sources").items() {
        let mut kinds = 0;
        for kind in ["secret", "configMap"] {
            let from = source.get(kind);
            if from.is_set() {
                kinds += 1;
                report.required(&from.get("name"));
                for item in from.get("items").items() {
                    key_to_path(&item, report);
                    taken(&item.get("path"), report);
                }
            }
        }
        let downward = source.get("downwardAPI");
        if downward.is_set() {
            kinds += 1;
            for item in downward.get("items").items() {
                downward_file(&item, &downward, report);
                taken(&item.get("path"), report);
            }
        }
        let token = source.get("serviceAccountToken");
        if token.is_set() {
            kinds += 1;
            report.range(&token.get("expirationSeconds"), 600, 1 << 32);
            let path = token.get("path");
            let field = format!("{}.path", at.field());
            if path.text().is_empty() {
                report.error_at("pod-required", &path, field, "a path is needed");
            } else if let Some(wrong) = names::file_path(path.text()) {
                report.error_at("pod-path", &path, field, wrong);
            }
        }
        // Clusters without these features drop the source.
        kinds += u8::from(source.get("clusterTrustBundle").is_set());
        kinds += u8::from(source.get("podCertificate").is_set());
        if kinds > 1 && !source.get("clusterTrustBundle").is_set() && !source.get("podCertificate").is_set() {
            report.error("pod-one-of", &source, "a source has one type");
        }
    }
}
