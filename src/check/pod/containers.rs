//! Containers: environment, mounts, ports, resources, probes, security contexts.

use std::collections::{HashMap, HashSet};

use crate::check::meant::nearest;

use super::{
    Report,
    at::At,
    names,
    quantity::Quantity,
    volumes::{Volumes, field_reference, resource_reference},
};

/// What is the same for all containers of a pod.
pub(super) struct Surroundings<'v, 'a> {
    pub(super) spec: &'a At<'v>,
    pub(super) volumes: &'a Volumes<'v>,
}

impl Surroundings<'_, '_> {
    /// `spec.hostUsers`, which is true by default.
    fn host_users(&self) -> bool {
        !self.spec.get("hostUsers").is_false()
    }

    fn restart_policy(&self) -> &str {
        match self.spec.get("restartPolicy").text() {
            "" => "Always",
            other => other,
        }
    }

    fn grace_period(&self) -> i64 {
        let seconds = self.spec.get("terminationGracePeriodSeconds").int().unwrap_or(30);
        if seconds < 0 { 1 } else { seconds }
    }

    fn claims(&self) -> HashSet<&str> {
        self.spec
            .get("resourceClaims")
            .items()
            .map(|claim| claim.get("name").text())
            .filter(|name| !name.is_empty())
            .collect()
    }
}

const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

pub(super) fn containers(around: &Surroundings<'_, '_>, report: &mut Report) {
    let list = around.spec.get("containers");
    let mut names_taken: HashMap<&str, At<'_>> = HashMap::new();
    if list.len() == 0 {
        report.error("pod-required", &list, "a pod needs at least one container");
    }
    for container in list.items() {
        common(&container, around, report);
        unique_name(&container, &mut names_taken, report);
        let lifecycle_at = container.get("lifecycle");
        lifecycle(&lifecycle_at, around, report);
        probes(&container, around, report);
        restart_rules(&container, report);
    }
    host_ports(list.items(), report);
    for container in around.spec.get("initContainers").items() {
        common(&container, around, report);
        unique_name(&container, &mut names_taken, report);
        let sidecar = container.get("restartPolicy").text() == "Always";
        for name in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            let field = container.get(name);
            if field.is_set() && !sidecar {
                report.error(
                    "pod-forbidden",
                    &field,
                    "an init container may have it only with restartPolicy: Always",
                );
            }
        }
        if sidecar {
            lifecycle(&container.get("lifecycle"), around, report);
            probes(&container, around, report);
        } else {
            for policy in container.get("resizePolicy").items() {
                let restart = policy.get("restartPolicy");
                if restart.text() == "RestartContainer" {
                    report.error(
                        "pod-invalid",
                        &restart,
                        "an init container is never restarted to be resized",
                    );
                }
            }
        }
        restart_rules(&container, report);
        host_ports(std::iter::once(container), report);
    }
    let ephemeral = around.spec.get("ephemeralContainers");
    if ephemeral.len() > 0 {
        report.error(
            "pod-forbidden",
            &ephemeral,
            "they cannot be set when a pod is made",
        );
    }
}

fn unique_name<'v>(container: &At<'v>, taken: &mut HashMap<&'v str, At<'v>>, report: &mut Report) {
    let name = container.get("name");
    if name.text().is_empty() {
        return;
    }
    if let Some(first) = taken.get(name.text()) {
        report.error_with(
            "pod-duplicate-name",
            &name,
            format!(
                "the container name {:?} is taken by {}",
                name.text(),
                first.field()
            ),
            vec![first.get("name").path()],
        );
    } else {
        taken.insert(name.text(), container.clone());
    }
}

fn common(container: &At<'_>, around: &Surroundings<'_, '_>, report: &mut Report) {
    let name = container.get("name");
    if report.required(&name) {
        report.syntax("pod-name", &name, names::dns_label(name.text()));
    }
    let image = container.get("image");
    if report.required(&image) && image.text().trim() != image.text() {
        report.error("pod-invalid", &image, "it starts or ends with a blank");
    }
    report.one_of_or_empty(
        &container.get("terminationMessagePolicy"),
        &["File", "FallbackToLogsOnError"],
    );
    report.one_of_or_empty(&container.get("imagePullPolicy"), &PULL_POLICIES);
    ports(&container.get("ports"), report);
    environment(container, around, report);
    mounts(container, around, report);
    devices(container, around, report);
    resources(&container.get("resources"), false, around, report);
    resize_policy(&container.get("resizePolicy"), around, report);
    security_context(&container.get("securityContext"), around.host_users(), report);
}

fn ports(list: &At<'_>, report: &mut Report) {
    let mut taken: HashMap<&str, At<'_>> = HashMap::new();
    for port in list.items() {
        let name = port.get("name");
        if !name.text().is_empty() {
            if let Some(wrong) = names::port_name(name.text()) {
                report.syntax("pod-name", &name, Some(wrong));
            } else if let Some(first) = taken.get(name.text()) {
                report.error_with(
                    "pod-duplicate-name",
                    &name,
                    format!("the port name {:?} is taken by {}", name.text(), first.field()),
                    vec![first.get("name").path()],
                );
            } else {
                taken.insert(name.text(), port.clone());
            }
        }
        let number = port.get("containerPort");
        match number.int().unwrap_or(0) {
            0 => report.error("pod-required", &number, "a port is needed"),
            _ => report.range(&number, 1, 65535),
        }
        let host = port.get("hostPort");
        if host.int().unwrap_or(0) != 0 {
            report.range(&host, 1, 65535);
        }
        report.one_of_or_empty(&port.get("protocol"), &["SCTP", "TCP", "UDP"]);
    }
}

fn host_ports<'v>(containers: impl Iterator<Item = At<'v>>, report: &mut Report) {
    let mut taken: HashMap<(i64, &str, &str), At<'v>> = HashMap::new();
    for (index, container) in containers.enumerate() {
        for (at, port) in container.get("ports").items().enumerate() {
            let host = port.get("hostPort");
            let Some(number) = host.int().filter(|number| *number != 0) else {
                continue;
            };
            let protocol = match port.get("protocol").text() {
                "" => "TCP",
                other => other,
            };
            let key = (number, protocol, port.get("hostIP").text());
            if let Some(first) = taken.get(&key) {
                // Each init container is looked at by itself, as if it were the first.
                let field = host.field();
                let list = field.split('[').next().unwrap_or_default();
                report.error_full(
                    "pod-duplicate-name",
                    &host,
                    format!("{list}[{index}].ports[{at}].hostPort"),
                    format!("the port {number} of the node is taken by {}", first.field()),
                    vec![first.path()],
                );
            } else {
                taken.insert(key, host);
            }
        }
    }
}

fn environment(container: &At<'_>, around: &Surroundings<'_, '_>, report: &mut Report) {
    for variable in container.get("env").items() {
        let name = variable.get("name");
        if report.required(&name) {
            if let Some(wrong) = names::env_name(name.text()) {
                report.syntax("pod-env-name", &name, Some(wrong));
            } else if !names::is_plain_env_name(name.text()) {
                report.warning(
                    "pod-env-name-unusual",
                    &name,
                    format!(
                        "{:?} is refused before Kubernetes 1.32, and no shell can read it",
                        name.text()
                    ),
                );
            }
        }
        let value = variable.get("value");
        if value.text().chars().any(|c| c == '\0' || c == '\u{1b}') {
            report.warning(
                "pod-env-control-character",
                &value,
                "it holds a NUL or an escape character; the container may not start",
            );
        }
        let from = variable.get("valueFrom");
        if from.is_set() {
            value_from(&variable, &from, around, report);
        }
    }
    let list = container.get("envFrom");
    for source in list.items() {
        let prefix = source.get("prefix");
        report.syntax("pod-env-name", &prefix, names::env_name(prefix.text()));
        let mut kinds = 0;
        for kind in ["configMapRef", "secretRef"] {
            let from = source.get(kind);
            if from.is_set() {
                kinds += 1;
                let name = from.get("name");
                if report.required(&name) {
                    let text = name.text();
                    let text = text.strip_suffix('-').unwrap_or(text);
                    report.syntax("pod-name", &name, names::dns_subdomain(text));
                }
            }
        }
        if kinds != 1 {
            report.error_at(
                "pod-one-of",
                &source,
                list.field(),
                "it needs either configMapRef or secretRef",
            );
        }
    }
}

fn value_from(variable: &At<'_>, from: &At<'_>, around: &Surroundings<'_, '_>, report: &mut Report) {
    let mut kinds = 0;
    let field = from.get("fieldRef");
    if field.is_set() {
        kinds += 1;
        let known = [
            "metadata.name",
            "metadata.namespace",
            "metadata.uid",
            "spec.nodeName",
            "spec.serviceAccountName",
            "status.hostIP",
            "status.hostIPs",
            "status.podIP",
            "status.podIPs",
        ];
        field_reference(&field, &known, &field.field(), report);
    }
    let resource = from.get("resourceFieldRef");
    if resource.is_set() {
        kinds += 1;
        resource_reference(&resource, false, &resource.field(), report);
    }
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        let reference = from.get(kind);
        if reference.is_set() {
            kinds += 1;
            let (name, key) = (reference.get("name"), reference.get("key"));
            report.syntax("pod-name", &name, names::dns_subdomain(name.text()));
            if report.required(&key) {
                report.syntax("pod-invalid", &key, names::config_key(key.text()));
            }
        }
    }
    let file = from.get("fileKeyRef");
    if file.is_set() {
        kinds += 1;
        file_key(&file, around, report);
    }
    let wrong = if kinds == 0 {
        "it names no source of the value"
    } else if !variable.get("value").text().is_empty() {
        "value and valueFrom exclude each other"
    } else if kinds > 1 {
        "a value has one source"
    } else {
        return;
    };
    report.error("pod-one-of", from, wrong);
}

fn file_key(file: &At<'_>, around: &Surroundings<'_, '_>, report: &mut Report) {
    let (key, volume, path) = (file.get("key"), file.get("volumeName"), file.get("path"));
    if report.required(&key) {
        report.syntax("pod-env-name", &key, names::env_name(key.text()));
    }
    if report.required(&volume) {
        report.syntax("pod-name", &volume, names::dns_label(volume.text()));
    }
    if report.required(&path) {
        report.syntax("pod-path", &path, names::no_backsteps(path.text()));
    }
    match around.volumes.get(volume.text()) {
        None => report.error("pod-mount-without-volume", &volume, "the pod has no such volume"),
        Some(found) if !found.get("emptyDir").is_set() => {
            report.error("pod-invalid", &volume, "the volume must be an emptyDir");
        }
        Some(_) => {}
    }
}

/// What is wrong with the divisor of a `resourceFieldRef`.
pub(super) fn key_reference_divisor(
    resource: &str,
    divisor: &At<'_>,
    report: &mut Report,
) -> Option<&'static str> {
    let value = report
        .quantity(divisor)
        .filter(|value| *value != Quantity::ZERO)?;
    let binary = divisor.text().ends_with('i');
    let is = |texts: &[&str]| {
        let mut texts = texts.iter().filter(|text| text.ends_with('i') == binary);
        texts.any(|text| Quantity::parse(text) == Some(value))
    };
    match resource {
        "limits.cpu" | "requests.cpu" => (!is(&["1m", "1"])).then_some("the divisor of cpu is 1m or 1"),
        "limits.memory" | "requests.memory" | "limits.ephemeral-storage" | "requests.ephemeral-storage" => {
            let known = [
                "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei",
            ];
            (!is(&known)).then_some("the divisor is 1, 1k, 1Ki, 1M, 1Mi and so on")
        }
        _ => None,
    }
}

fn mounts(container: &At<'_>, around: &Surroundings<'_, '_>, report: &mut Report) {
    let list = container.get("volumeMounts");
    let devices = container.get("volumeDevices");
    let device_paths: HashSet<&str> = devices.items().map(|d| d.get("devicePath").text()).collect();
    let device_names: HashSet<&str> = devices.items().map(|d| d.get("name").text()).collect();
    let mut taken: HashMap<&str, At<'_>> = HashMap::with_capacity(list.len());
    let mut places: HashMap<String, At<'_>> = HashMap::with_capacity(list.len());
    let told = |name: &str| format!("{}.{name}", list.field());
    for mount in list.items() {
        let (name, path) = (mount.get("name"), mount.get("mountPath"));
        report.required(&name);
        if around.volumes.get(name.text()).is_none() {
            report.error(
                "pod-mount-without-volume",
                &name,
                format!(
                    "the pod has no volume {:?}{}",
                    name.text(),
                    nearest(name.text(), around.volumes.names())
                        .map_or_else(String::new, |other| format!("; did you mean {other:?}?"))
                ),
            );
        }
        report.required(&path);
        let place = plain_path(path.text());
        if let Some(first) = taken.get(path.text()) {
            report.error_with(
                "pod-duplicate-path",
                &path,
                format!("{:?} is taken by {}", path.text(), first.field()),
                vec![first.get("mountPath").path()],
            );
        } else if let Some(first) = places.get(&place) {
            report.warning_with(
                "pod-same-mount-path",
                &path,
                format!(
                    "it is the same place as {:?} of {}",
                    first.get("mountPath").text(),
                    first.field()
                ),
                vec![first.get("mountPath").path()],
            );
        }
        if !path.text().is_empty() && !path.text().starts_with('/') {
            report.warning(
                "pod-relative-mount-path",
                &path,
                format!(
                    "{:?} is relative; where it ends up depends on the container runtime",
                    path.text()
                ),
            );
        }
        if path.text().contains(':') {
            report.warning(
                "pod-colon-in-mount-path",
                &path,
                "container runtimes read ':' as the end of the path",
            );
        }
        taken.insert(path.text(), mount.clone());
        places.insert(place, mount.clone());
        if device_names.contains(name.text()) {
            report.error("pod-invalid", &name, "the volume is among volumeDevices too");
        }
        if !path.text().is_empty() && device_paths.contains(path.text()) {
            report.error("pod-duplicate-path", &path, "the path is that of a volumeDevice");
        }
        for part in ["subPath", "subPathExpr"] {
            let sub = mount.get(part);
            if let Some(wrong) = names::descending_path(sub.text()) {
                report.error_at("pod-path", &sub, told(part), wrong);
            }
        }
        if !mount.get("subPath").text().is_empty() && !mount.get("subPathExpr").text().is_empty() {
            report.error(
                "pod-one-of",
                &mount.get("subPathExpr"),
                "subPath and subPathExpr exclude each other",
            );
        }
        propagation(&mount, container, &told, report);
    }
}

fn propagation(mount: &At<'_>, container: &At<'_>, told: &dyn Fn(&str) -> String, report: &mut Report) {
    let propagation = mount.get("mountPropagation");
    let known = ["Bidirectional", "HostToContainer", "None"];
    if propagation.is_set() {
        let text = propagation.text();
        if !known.contains(&text) {
            report.error_at(
                "pod-unsupported-value",
                &propagation,
                told("mountPropagation"),
                format!("{text:?} is none of {}", known.join(", ")),
            );
        } else if text == "Bidirectional" && !container.at(&["securityContext", "privileged"]).is_true() {
            report.error_at(
                "pod-forbidden",
                &propagation,
                told("mountPropagation"),
                "only a privileged container may have Bidirectional",
            );
        }
    }
    let recursive = mount.get("recursiveReadOnly");
    match recursive.text() {
        "" if !recursive.is_set() => {}
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !mount.get("readOnly").is_true() {
                report.error_at(
                    "pod-forbidden",
                    &recursive,
                    told("recursiveReadOnly"),
                    "it needs readOnly: true",
                );
            }
            if !matches!(propagation.text(), "" | "None") {
                report.error_at(
                    "pod-forbidden",
                    &recursive,
                    told("recursiveReadOnly"),
                    "it excludes mountPropagation",
                );
            }
        }
        other => report.error_at(
            "pod-unsupported-value",
            &recursive,
            told("recursiveReadOnly"),
            format!("{other:?} is none of Disabled, Enabled, IfPossible"),
        ),
    }
}

/// A path without doubled and trailing slashes and single dots.
pub(super) fn plain_path(path: &str) -> String {
    let mut plain = String::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        plain.push('/');
        plain.push_str(part);
    }
    if plain.is_empty() {
        plain.push('/');
    }
    plain
}

fn devices(container: &At<'_>, around: &Surroundings<'_, '_>, report: &mut Report) {
    let list = container.get("volumeDevices");
    if list.len() == 0 {
        return;
    }
    let mount_paths: HashSet<&str> = container
        .get("volumeMounts")
        .items()
        .map(|mount| mount.get("mountPath").text())
        .collect();
    let mount_names: HashSet<&str> = container
        .get("volumeMounts")
        .items()
        .map(|mount| mount.get("name").text())
        .collect();
    if !around.host_users() {
        report.error("pod-forbidden", &list, "it excludes hostUsers: false");
    }
    let (mut seen_names, mut seen_paths) = (HashSet::new(), HashSet::new());
    for device in list.items() {
        let (name, path) = (device.get("name"), device.get("devicePath"));
        if report.required(&name) && !seen_names.insert(name.text()) {
            report.error(
                "pod-duplicate-name",
                &name,
                "the volume is among volumeDevices already",
            );
        }
        if mount_names.contains(name.text()) {
            report.error("pod-invalid", &name, "the volume is among volumeMounts too");
        }
        match around.volumes.get(name.text()) {
            None => report.error(
                "pod-mount-without-volume",
                &name,
                format!("the pod has no volume {:?}", name.text()),
            ),
            Some(volume)
                if !volume.get("persistentVolumeClaim").is_set() && !volume.get("ephemeral").is_set() =>
            {
                report.error(
                    "pod-invalid",
                    &name,
                    "a device must be a persistentVolumeClaim or ephemeral",
                );
            }
            Some(_) => {}
        }
        if report.required(&path) {
            if !seen_paths.insert(path.text()) {
                report.error("pod-duplicate-path", &path, "the path is taken by another device");
            }
            if mount_paths.contains(path.text()) {
                report.error("pod-duplicate-path", &path, "the path is taken by a volumeMount");
            }
            report.syntax("pod-path", &path, names::no_backsteps(path.text()));
        }
    }
}

/// The requests and limits of a container, or of the pod as a whole.
pub(super) fn resources(at: &At<'_>, of_pod: bool, around: &Surroundings<'_, '_>, report: &mut Report) {
    let (limits, requests) = (at.get("limits"), at.get("requests"));
    let mut huge = false;
    let mut basic = false;
    for (name, value) in limits.entries().chain(requests.entries()) {
        huge |= is_huge_page(name);
        basic |= matches!(name, "cpu" | "memory");
        if let Some(wrong) = resource_name(name, of_pod) {
            report.error(
                "pod-resource-name",
                &value,
                format!(
                    "{name:?} is no resource of a {}: {wrong}",
                    if of_pod { "pod" } else { "container" }
                ),
            );
        }
        let Some(quantity) = amount(&value, report) else {
            continue;
        };
        if quantity.is_negative() {
            report.error("pod-out-of-range", &value, "it may not be negative");
        }
        if is_extended(name) && !quantity.is_integer() {
            report.error("pod-quantity", &value, format!("{name} comes in whole pieces"));
        }
        if is_huge_page(name)
            && let Some(size) = name.strip_prefix("hugepages-").and_then(Quantity::parse)
            && !quantity.is_multiple_of(size)
        {
            report.error(
                "pod-quantity",
                &value,
                format!("it must be a multiple of the page size of {name}"),
            );
        }
    }
    for (name, request) in requests.entries() {
        let Some(wanted) = amount(&request, report) else {
            continue;
        };
        let limit = limits.key(name);
        let fixed = is_extended(name) || is_huge_page(name);
        if limits.value().get(name).is_none() {
            if fixed {
                report.error_at(
                    "pod-required",
                    &limit,
                    limits.field(),
                    format!("{name} cannot be overcommitted: it needs a limit equal to its request"),
                );
            }
            continue;
        }
        let Some(most) = amount(&limit, report) else {
            continue;
        };
        if fixed && wanted != most || wanted > most {
            let must = if fixed { "equal" } else { "not exceed" };
            report.error_full(
                "pod-request-above-limit",
                &request,
                requests.field(),
                format!(
                    "the request of {} {name} must {must} the limit of {}",
                    shown(&request),
                    shown(&limit)
                ),
                vec![limit.path()],
            );
        }
    }
    if huge && !basic {
        report.error("pod-forbidden", at, "hugepages need cpu or memory too");
    }
    claims(&at.get("claims"), of_pod, around, report);
}

/// The amount of a resource that is named; `null` is none of it.
fn amount(at: &At<'_>, report: &Report) -> Option<Quantity> {
    if at.is_set() {
        report.quantity(at)
    } else {
        Some(Quantity::ZERO)
    }
}

fn shown(at: &At<'_>) -> String {
    match at.value() {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn claims(list: &At<'_>, of_pod: bool, around: &Surroundings<'_, '_>, report: &mut Report) {
    if of_pod {
        if list.is_set() {
            report.error("pod-forbidden", list, "claims belong to containers");
        }
        return;
    }
    if list.len() == 0 {
        return;
    }
    let known = around.claims();
    let mut seen = HashSet::new();
    let mut with_request = HashSet::new();
    for claim in list.items() {
        let (name, request) = (claim.get("name").text(), claim.get("request"));
        if name.is_empty() {
            report.error("pod-required", &claim, "the claim must be named");
            continue;
        }
        let key = (name, request.text());
        let overlap =
            seen.contains(&(name, "")) || (request.text().is_empty() && with_request.contains(name));
        if overlap || !seen.insert(key) {
            report.error("pod-duplicate-name", &claim, "the claim is named twice");
        }
        if !request.text().is_empty() {
            with_request.insert(name);
            report.syntax("pod-name", &request, names::dns_label(request.text()));
        }
        if !known.contains(name) {
            report.error("pod-invalid", &claim, "spec.resourceClaims has no such claim");
        }
    }
}

fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

fn resource_name(name: &str, of_pod: bool) -> Option<&'static str> {
    if let Some(wrong) = names::qualified_name(name) {
        return Some(wrong);
    }
    if of_pod {
        return (!matches!(name, "cpu" | "memory") && !is_huge_page(name))
            .then_some("a pod as a whole has cpu, memory and hugepages");
    }
    if name.contains('/') {
        if name.contains("kubernetes.io/") {
            return None;
        }
        let quota = format!("requests.{name}");
        return (name.starts_with("requests.") || names::qualified_name(&quota).is_some())
            .then_some("it does not follow the form of extended resources");
    }
    (!matches!(name, "cpu" | "memory" | "ephemeral-storage") && !is_huge_page(name))
        .then_some("without a domain there are cpu, memory, ephemeral-storage and hugepages-SIZE")
}

fn resize_policy(list: &At<'_>, around: &Surroundings<'_, '_>, report: &mut Report) {
    let mut seen = HashSet::new();
    for policy in list.items() {
        let (resource, restart) = (policy.get("resourceName"), policy.get("restartPolicy"));
        if !seen.insert(resource.text()) {
            report.error("pod-duplicate-name", &policy, "the resource has a policy already");
        }
        for (at, known) in [
            (&resource, ["cpu", "memory"]),
            (&restart, ["NotRequired", "RestartContainer"]),
        ] {
            if !known.contains(&at.text()) {
                report.error_at(
                    "pod-unsupported-value",
                    at,
                    list.field(),
                    format!("{:?} is none of {}", at.text(), known.join(", ")),
                );
            }
        }
        if around.restart_policy() == "Never" && restart.text() != "NotRequired" {
            report.error_at(
                "pod-invalid",
                &restart,
                list.field(),
                "it must be NotRequired where the pod's restartPolicy is Never",
            );
        }
    }
}

fn restart_rules(container: &At<'_>, report: &mut Report) {
    let (policy, rules) = (
        container.get("restartPolicy"),
        container.get("restartPolicyRules"),
    );
    report.one_of(&policy, &["Always", "Never", "OnFailure"]);
    if !policy.is_set() && rules.len() > 0 {
        report.error("pod-required", &policy, "restartPolicyRules need a restartPolicy");
    }
    if rules.len() > 20 {
        report.error("pod-out-of-range", &rules, "20 rules are the most");
    }
    for rule in rules.items() {
        let action = rule.get("action");
        if !matches!(action.text(), "Restart" | "RestartAllContainers") {
            report.error(
                "pod-unsupported-value",
                &action,
                format!("{:?} is none of Restart, RestartAllContainers", action.text()),
            );
        }
        let codes = rule.get("exitCodes");
        if !codes.is_set() {
            report.error("pod-required", &codes, "a rule needs exit codes");
            continue;
        }
        let operator = codes.get("operator");
        if !matches!(operator.text(), "In" | "NotIn") {
            report.error(
                "pod-unsupported-value",
                &operator,
                format!("{:?} is none of In, NotIn", operator.text()),
            );
        }
        if codes.get("values").len() > 255 {
            report.error(
                "pod-out-of-range",
                &codes.get("values"),
                "255 exit codes are the most",
            );
        }
    }
}

fn lifecycle(at: &At<'_>, around: &Surroundings<'_, '_>, report: &mut Report) {
    for name in ["postStart", "preStop"] {
        let hook = at.get(name);
        if hook.is_set() {
            handler(&hook, &["exec", "httpGet", "tcpSocket", "sleep"], around, report);
        }
    }
}

fn probes(container: &At<'_>, around: &Surroundings<'_, '_>, report: &mut Report) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let probe = container.get(name);
        if !probe.is_set() {
            continue;
        }
        handler(&probe, &["exec", "httpGet", "tcpSocket", "grpc"], around, report);
        for number in [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ] {
            let number = probe.get(number);
            if number.int().is_some_and(|n| n < 0) {
                report.error("pod-out-of-range", &number, "it may not be negative");
            }
        }
        let success = probe.get("successThreshold");
        let grace = probe.get("terminationGracePeriodSeconds");
        if name != "readinessProbe" && !matches!(success.int(), None | Some(0 | 1)) {
            report.error(
                "pod-out-of-range",
                &success,
                "it must be 1 for this kind of probe",
            );
        }
        if grace.int().is_some_and(|n| n <= 0) {
            report.error("pod-out-of-range", &grace, "it must be greater than zero");
        }
        if name == "readinessProbe" && grace.is_set() {
            report.error("pod-forbidden", &grace, "a readinessProbe ends no container");
        }
    }
}

fn handler(at: &At<'_>, kinds: &[&'static str], around: &Surroundings<'_, '_>, report: &mut Report) {
    let mut first = None;
    for kind in kinds {
        let action = at.get(kind);
        if !action.is_set() {
            continue;
        }
        if let Some(first) = first {
            report.error(
                "pod-one-of",
                &action,
                format!("there is one action, and it is {first} already"),
            );
            continue;
        }
        first = Some(*kind);
        match *kind {
            "exec" => {
                if action.get("command").len() == 0 {
                    report.error("pod-required", &action.get("command"), "a command is needed");
                }
            }
            "httpGet" => {
                port(&action.get("port"), report);
                report.one_of_or_empty(&action.get("scheme"), &["HTTP", "HTTPS"]);
                let headers = action.get("httpHeaders");
                for header in headers.items() {
                    let name = header.get("name");
                    if let Some(wrong) = names::header_name(name.text()) {
                        report.error_at("pod-name", &name, headers.field(), wrong);
                    }
                }
            }
            "tcpSocket" | "grpc" => port(&action.get("port"), report),
            _ => {
                let most = around.grace_period();
                let seconds = action.get("seconds").int().unwrap_or(0);
                if !(0..=most).contains(&seconds) {
                    report.error(
                        "pod-out-of-range",
                        &action,
                        format!("it must be between 0 and terminationGracePeriodSeconds, {most}"),
                    );
                }
            }
        }
    }
    if first.is_none() {
        report.error(
            "pod-required",
            at,
            format!("it needs one of {}", kinds.join(", ")),
        );
    }
}

fn port(at: &At<'_>, report: &mut Report) {
    match at.value().as_str() {
        Some(name) => report.syntax("pod-name", at, names::port_name(name)),
        None => {
            if !(1..=65535).contains(&at.int().unwrap_or(0)) {
                report.error("pod-out-of-range", at, "a port is between 1 and 65535");
            }
        }
    }
}

fn security_context(at: &At<'_>, host_users: bool, report: &mut Report) {
    for name in ["runAsUser", "runAsGroup"] {
        report.range(&at.get(name), 0, i64::from(i32::MAX));
    }
    let mount = at.get("procMount");
    report.one_of(&mount, &["Default", "Unmasked"]);
    if mount.text() == "Unmasked" && host_users {
        report.error("pod-invalid", &mount, "Unmasked needs hostUsers: false");
    }
    profile(&at.get("seccompProfile"), true, report);
    profile(&at.get("appArmorProfile"), false, report);
    let escalation = at.get("allowPrivilegeEscalation");
    if escalation.is_false() {
        let admin = at
            .at(&["capabilities", "add"])
            .items()
            .any(|capability| capability.text() == "CAP_SYS_ADMIN");
        if at.get("privileged").is_true() || admin {
            report.error_at(
                "pod-invalid",
                &escalation,
                at.field(),
                "allowPrivilegeEscalation: false excludes privileged and CAP_SYS_ADMIN",
            );
        }
    }
}

/// A `seccompProfile` or an `appArmorProfile`.
pub(super) fn profile(at: &At<'_>, seccomp: bool, report: &mut Report) {
    if !at.is_set() {
        return;
    }
    let (kind, file) = (at.get("type"), at.get("localhostProfile"));
    match kind.text() {
        "Localhost" if !file.is_set() => {
            report.error("pod-required", &file, "type Localhost needs it");
        }
        "Localhost" if seccomp => report.syntax("pod-path", &file, names::descending_path(file.text())),
        "Localhost" => {
            if file.text().is_empty() {
                report.error("pod-required", &file, "type Localhost needs it");
            } else if file.text().trim() != file.text() {
                report.error("pod-invalid", &file, "it starts or ends with a blank");
            }
            if file.text().len() > 4095 {
                report.error("pod-out-of-range", &file, "it is longer than 4095 characters");
            }
        }
        "" => {
            report.error("pod-required", &kind, "the type is needed");
            if seccomp && file.is_set() {
                report.error("pod-invalid", &file, "only type Localhost takes it");
            }
        }
        known => {
            report.one_of(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]);
            let known = matches!(known, "RuntimeDefault" | "Unconfined");
            if file.is_set() && (seccomp || known) {
                report.error("pod-invalid", &file, "only type Localhost takes it");
            }
        }
    }
}
