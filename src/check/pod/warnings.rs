//! What the API server accepts and warns of: names, annotations and fractions from which no error follows, and which
//! do not do what was meant.
//!
//! These rules fire where the server warns and nowhere else (`Rule::server_warns` in the table has them, a test holds
//! them against a real one), but for fractions of a byte in places that the server forgets.

use std::collections::{HashMap, HashSet};

use super::{
    Report,
    at::At,
    names,
    ports::ports,
    quantity::{Quantity, in_units},
    virtual_paths::virtual_paths,
};

pub(super) fn warnings(pod: &At<'_>, report: &mut Report) {
    let spec = pod.get("spec");
    host_name(pod, report);
    same_owner(pod, report);
    old_annotations(pod, report);
    virtual_paths(&spec, report);
    fractions(&spec, report);
    pull_secrets(&spec, report);
    host_aliases(&spec, report);
    node_labels(&spec, report);
    null_selectors(&spec, report);
    all_containers(&spec).for_each(|container| same_variable(&container, report));
    ports(&spec, report);
}

/// In the order in which the API server goes through them.
pub(super) fn all_containers<'v>(spec: &At<'v>) -> impl Iterator<Item = At<'v>> + use<'v> {
    spec.get("initContainers")
        .items()
        .chain(spec.get("containers").items())
}

/// The name is the host name in the pod. Of `generateName` the API server takes 58 characters and adds five.
fn host_name(pod: &At<'_>, report: &mut Report) {
    let meta = pod.get("metadata");
    let (name, generate) = (meta.get("name"), meta.get("generateName"));
    let is_good = if name.text().is_empty() {
        !generate.text().bytes().take(58).any(|byte| byte == b'.')
    } else {
        names::dns_subdomain(name.text()).is_some() || names::dns_label(name.text()).is_none()
    };
    if !is_good {
        report.warning(
            "pod-host-name",
            &name,
            "it is the host name in the pod, which has no dots and is cut after 63 characters",
        );
    }
}

/// The API server leaves out an owner that is there already.
fn same_owner(pod: &At<'_>, report: &mut Report) {
    let owners = pod.at(&["metadata", "ownerReferences"]);
    let mut seen = HashSet::new();
    for owner in owners.items() {
        if !seen.insert(owner.value().to_string()) {
            report.warning_at(
                "pod-duplicate-owner",
                &owner,
                owners.field(),
                "the same owner is named twice",
            );
        }
    }
}

/// Annotations that a field has replaced.
const OLD_ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "spec.priorityClassName",
    ),
    (
        "security.alpha.kubernetes.io/sysctls",
        "spec.securityContext.sysctls",
    ),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "spec.securityContext.sysctls",
    ),
];

fn old_annotations(pod: &At<'_>, report: &mut Report) {
    let annotations: HashMap<&str, At<'_>> = pod.at(&["metadata", "annotations"]).entries().collect();
    if annotations.is_empty() {
        return;
    }
    let spec = pod.get("spec");
    let mut ignored = |key: &str, field: &str| {
        if let Some(at) = annotations.get(key) {
            report.warning(
                "pod-old-annotation",
                at,
                format!("Kubernetes ignores this annotation; use {field}"),
            );
        }
    };
    for (key, field) in OLD_ANNOTATIONS {
        ignored(key, field);
    }
    let is_set = |at: &At<'_>, name| at.get("securityContext").get(name).is_set();
    if !is_set(&spec, "seccompProfile") {
        ignored(
            "seccomp.security.alpha.kubernetes.io/pod",
            "spec.securityContext.seccompProfile",
        );
    }
    for container in all_containers(&spec).filter(|container| !is_set(container, "seccompProfile")) {
        let key = format!(
            "container.seccomp.security.alpha.kubernetes.io/{}",
            container.get("name").text()
        );
        ignored(&key, "securityContext.seccompProfile of the container");
    }
    let of_pod = spec.at(&["securityContext", "appArmorProfile"]);
    let of_pod = of_pod.is_set().then(|| {
        let file = of_pod.get("localhostProfile");
        (of_pod.get("type").text(), file.value().as_str())
    });
    for container in all_containers(&spec).filter(|container| !is_set(container, "appArmorProfile")) {
        let key = format!("{APP_ARMOR}{}", container.get("name").text());
        let Some(at) = annotations.get(&*key) else {
            continue;
        };
        let own = app_armor(at.text());
        if own.is_none() || own != of_pod {
            report.warning(
                "pod-old-annotation",
                at,
                "this annotation is deprecated since Kubernetes 1.30; use securityContext.appArmorProfile of the container",
            );
        }
    }
}

/// In front of the container's name.
pub(super) const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Type and file of the profile that an annotation stands for.
fn app_armor(annotation: &str) -> Option<(&str, Option<&str>)> {
    match annotation {
        "unconfined" => Some(("Unconfined", None)),
        "runtime/default" => Some(("RuntimeDefault", None)),
        other => {
            let file = other.strip_prefix("localhost/")?;
            let is_good = !file.is_empty() && file.trim() == file && file.len() <= 4095;
            is_good.then_some(("Localhost", Some(file)))
        }
    }
}

/// Memory and storage come in whole bytes; `512m` is half a byte, where 512 megabytes were meant.
fn fractions(spec: &At<'_>, report: &mut Report) {
    fraction(&spec.get("overhead"), &["memory", "ephemeral-storage"], report);
    let containers = all_containers(spec);
    for owner in containers.chain(std::iter::once(spec.clone())) {
        for kind in ["limits", "requests"] {
            let amounts = owner.get("resources").get(kind);
            fraction(&amounts, &["memory", "ephemeral-storage"], report);
        }
    }
    for volume in spec.get("volumes").items() {
        fraction(&volume.get("emptyDir"), &["sizeLimit"], report);
        let claim = volume.at(&["ephemeral", "volumeClaimTemplate", "spec", "resources"]);
        for kind in ["limits", "requests"] {
            fraction(&claim.get(kind), &["storage"], report);
        }
    }
}

/// With less than this, a limit lets no container start.
const LEAST_MEMORY: &str = "1Mi";

fn fraction(amounts: &At<'_>, names: &[&'static str], report: &mut Report) {
    for name in names {
        let at = match *name {
            "sizeLimit" => amounts.get(name),
            name => amounts.key(name),
        };
        let Some(amount) = report.quantity(&at).filter(|amount| !amount.is_integer()) else {
            continue;
        };
        let text = at.value().as_str().unwrap_or_default().trim();
        let bytes = in_units(amount);
        let message = match text.strip_suffix('m') {
            Some(number) => {
                let is_limit = *name == "memory" && amounts.field().ends_with("limits");
                let starts = !is_limit || Quantity::parse(LEAST_MEMORY).is_none_or(|least| amount >= least);
                let so = if starts {
                    ""
                } else {
                    ", and no container starts with so little memory"
                };
                format!("{text} is {bytes} bytes: m means thousandths{so}; write {number}M or {number}Mi")
            }
            None => format!(
                "it is {bytes} bytes, which must be whole; write {}",
                in_units(amount.rounded_up())
            ),
        };
        report.warning("pod-fractional-bytes", &at, message);
    }
}

fn pull_secrets(spec: &At<'_>, report: &mut Report) {
    let mut seen: HashMap<&str, At<'_>> = HashMap::new();
    for secret in spec.get("imagePullSecrets").items() {
        let name = secret.get("name");
        let text = name.text();
        if text.is_empty() {
            report.warning(
                "pod-pull-secret",
                &name,
                "a pull secret without a name does nothing",
            );
        } else if let Some(first) = seen.get(text) {
            report.warning_with(
                "pod-pull-secret",
                &name,
                format!("{} names the Secret {text:?} already", first.field()),
                vec![first.get("name").path()],
            );
        } else {
            seen.insert(text, secret);
        }
    }
}

fn host_aliases(spec: &At<'_>, report: &mut Report) {
    let mut seen: HashMap<&str, At<'_>> = HashMap::new();
    for alias in spec.get("hostAliases").items() {
        let ip = alias.get("ip");
        if let Some(first) = seen.get(ip.text()) {
            report.warning_with(
                "pod-duplicate-host-alias",
                &ip,
                format!("{} has this address already; list all names there", first.field()),
                vec![first.get("ip").path()],
            );
        } else {
            seen.insert(ip.text(), alias);
        }
    }
}

/// Labels of nodes that Kubernetes has given up, and what to write instead.
const OLD_NODE_LABELS: [(&str, &str); 8] = [
    ("app.kubernetes.io/created-by", ""),
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    (
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
    ),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/region",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/zone",
    ),
    (
        "node-role.kubernetes.io/master",
        "node-role.kubernetes.io/control-plane",
    ),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "taints and tolerations",
    ),
];

fn node_label(key: &str, at: &At<'_>, report: &mut Report) {
    let Some((_, instead)) = OLD_NODE_LABELS.iter().find(|(old, _)| *old == key) else {
        return;
    };
    let instead = match *instead {
        "" => String::new(),
        instead => format!("; use {instead}"),
    };
    report.warning(
        "pod-old-node-label",
        at,
        format!("{key} is deprecated, and nodes may lack it{instead}"),
    );
}

/// The API server looks at neither the topology keys of affinities between pods nor at runtime classes.
fn node_labels(spec: &At<'_>, report: &mut Report) {
    for (key, at) in spec.get("nodeSelector").entries() {
        node_label(key, &at, report);
    }
    let affinity = spec.at(&["affinity", "nodeAffinity"]);
    let required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution");
    for term in required.get("nodeSelectorTerms").items() {
        for requirement in term.get("matchExpressions").items() {
            let key = requirement.get("key");
            node_label(key.text(), &key, report);
        }
    }
    let preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution");
    for term in preferred.items() {
        for requirement in term.at(&["preference", "matchExpressions"]).items() {
            let key = requirement.get("key");
            node_label(key.text(), &key, report);
            // What is required may hold no such value.
            for value in requirement.get("values").items() {
                if let Some(wrong) = names::label_value(value.text()) {
                    report.warning(
                        "pod-label-of-no-node",
                        &value,
                        format!("no node has the label value {:?}: {wrong}", value.text()),
                    );
                }
            }
        }
    }
    for constraint in spec.get("topologySpreadConstraints").items() {
        let key = constraint.get("topologyKey");
        node_label(key.text(), &key, report);
    }
}

fn null_selectors(spec: &At<'_>, report: &mut Report) {
    let mut look = |of: &At<'_>, so: &str| {
        let selector = of.get("labelSelector");
        if !selector.is_set() {
            report.warning(
                "pod-null-selector",
                &selector,
                format!("without a selector it matches no pod, {so}; {{}} matches all pods"),
            );
        }
    };
    for constraint in spec.get("topologySpreadConstraints").items() {
        look(&constraint, "and spreads nothing");
    }
    for (kind, so) in [
        ("podAffinity", "so that the pod is never scheduled"),
        ("podAntiAffinity", "and has no effect"),
    ] {
        let terms = spec.get("affinity").get(kind);
        let required = terms.get("requiredDuringSchedulingIgnoredDuringExecution");
        required.items().for_each(|term| look(&term, so));
        let preferred = terms.get("preferredDuringSchedulingIgnoredDuringExecution");
        for term in preferred.items() {
            look(&term.get("podAffinityTerm"), "and has no effect");
        }
    }
}

/// A later variable may extend an earlier one: `PATH=$(PATH):/opt/bin`.
fn same_variable(container: &At<'_>, report: &mut Report) {
    let env = container.get("env");
    let mut seen: HashMap<&str, At<'_>> = HashMap::with_capacity(env.len());
    for variable in env.items() {
        let name = variable.get("name");
        let Some(first) = seen.insert(name.text(), variable.clone()) else {
            continue;
        };
        let (value, old) = (variable.get("value").text(), format!("$({})", name.text()));
        let extends = value != old && value.contains(&old) && !variable.get("valueFrom").is_set();
        if !extends {
            report.push(
                ("pod-duplicate-env", super::Severity::Warning),
                &name,
                variable.field(),
                format!("{} is set by {} too; this one counts", name.text(), first.field()),
                vec![first.get("name").path()],
            );
        }
    }
}
