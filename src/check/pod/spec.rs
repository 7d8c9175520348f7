//! The pod's metadata and what concerns the pod as a whole.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv6Addr,
};

use super::{
    Report,
    at::At,
    containers::{Surroundings, containers, profile, resources},
    names::{self, Address},
    quantity::Quantity,
    scheduling::{affinity, labels, tolerations, topology_spread},
    volumes::volumes,
    warnings::{APP_ARMOR, all_containers, warnings},
};

/// All annotations together may have so many bytes.
const ANNOTATIONS: usize = 256 * 1024;

pub(super) fn validate(pod: &At<'_>, report: &mut Report) {
    identity(pod, report);
    metadata(pod, report);
    let spec = pod.get("spec");
    let volumes = volumes(pod, report);
    let around = Surroundings {
        spec: &spec,
        volumes: &volumes,
    };
    containers(&around, report);
    pod_resources(&around, report);
    claims(&spec, report);
    labels(&spec.get("nodeSelector"), report);
    tolerations(&spec.get("tolerations"), report);
    affinity(&spec.get("affinity"), report);
    topology_spread(&spec.get("topologySpreadConstraints"), report);
    security_context(&spec, report);
    host_namespaces(&spec, report);
    dns(&spec, report);
    scalars(&spec, report);
    gates(&spec, report);
    operating_system(&spec, report);
    annotations_about_containers(pod, report);
    warnings(pod, report);
}

fn identity(pod: &At<'_>, report: &mut Report) {
    for (name, wanted) in [("apiVersion", "v1"), ("kind", "Pod")] {
        let field = pod.get(name);
        if !field.text().is_empty() && field.text() != wanted {
            report.error(
                "pod-kind",
                &field,
                format!("a pod has {name} {wanted}, and this is {:?}", field.text()),
            );
        }
        if field.is_set() && !field.value().is_string() {
            report.error("pod-kind", &field, format!("{name} must be a string"));
        } else if field.text().is_empty() {
            report.note(
                "pod-kind-missing",
                &field,
                format!("without {name} the API server takes it as {wanted}"),
            );
        }
    }
}

fn metadata(pod: &At<'_>, report: &mut Report) {
    let meta = pod.get("metadata");
    let (name, generate) = (meta.get("name"), meta.get("generateName"));
    if !name.text().is_empty() {
        report.syntax("pod-name", &name, names::dns_subdomain(name.text()));
    } else if generate.text().is_empty() {
        report.error("pod-required", &name, "a pod needs a name");
    }
    if !generate.text().is_empty() {
        let text = generate.text();
        let text = text.strip_suffix('-').unwrap_or(text);
        report.syntax("pod-name", &generate, names::dns_subdomain(text));
    }
    labels(&meta.get("labels"), report);
    let annotations = meta.get("annotations");
    let mut size = 0;
    for (key, value) in annotations.entries() {
        size += key.len() + value.text().len();
        if let Some(wrong) = names::qualified_name(&key.to_lowercase()) {
            report.error_at(
                "pod-annotation",
                &value,
                annotations.field(),
                format!("{key:?} is no key of an annotation: {wrong}"),
            );
        }
    }
    if size > ANNOTATIONS {
        report.error(
            "pod-annotation",
            &annotations,
            format!("all annotations together have {size} bytes, and {ANNOTATIONS} are the most"),
        );
    }
    let cost = annotations.key("controller.kubernetes.io/pod-deletion-cost");
    let plain =
        |text: &str| text == "0" || !text.trim_start_matches('-').starts_with('0') && !text.starts_with('+');
    if cost.is_set() && (cost.text().parse::<i32>().is_err() || !plain(cost.text())) {
        report.error("pod-annotation", &cost, "it must be a whole number of 32 bits");
    }
    owners(&meta.get("ownerReferences"), report);
    let finalizers = meta.get("finalizers");
    let standard = ["kubernetes", "orphan", "foregroundDeletion"];
    for finalizer in finalizers.items() {
        if let Some(wrong) = names::qualified_name(finalizer.text()) {
            report.error_at("pod-name", &finalizer, finalizers.field(), wrong);
        }
        if !finalizer.text().contains('/') && !standard.contains(&finalizer.text()) {
            report.error("pod-name", &finalizer, "it needs a domain: example.com/name");
        }
    }
    let has = |name: &str| finalizers.items().any(|finalizer| finalizer.text() == name);
    if has("orphan") && has("foregroundDeletion") {
        report.error(
            "pod-one-of",
            &finalizers,
            "orphan and foregroundDeletion exclude each other",
        );
    }
    for name in ["uid", "resourceVersion", "creationTimestamp"] {
        let field = meta.get(name);
        if field.is_set() && !field.text().is_empty() {
            report.note(
                "pod-server-field",
                &field,
                "the API server sets this itself; what is here is dropped",
            );
        }
    }
    let status = pod.get("status");
    if status.len() > 0 {
        report.note(
            "pod-server-field",
            &status,
            "the API server sets this itself; what is here is dropped",
        );
    }
}

fn owners(list: &At<'_>, report: &mut Report) {
    let mut controller: Option<At<'_>> = None;
    for owner in list.items() {
        for name in ["apiVersion", "kind", "name", "uid"] {
            let field = owner.get(name);
            // A group and a version, or a version alone.
            let no_version = name == "apiVersion"
                && (field.text().matches('/').count() > 1 || field.text().ends_with('/'));
            if field.text().is_empty() || no_version {
                report.error_at(
                    "pod-required",
                    &field,
                    format!("{}.{name}", list.field()),
                    format!("an owner needs {name}"),
                );
            }
        }
        if owner.get("apiVersion").text() == "v1" && owner.get("kind").text() == "Event" {
            report.error_at("pod-invalid", &owner, list.field(), "an Event owns nothing");
        }
        if owner.get("controller").is_true() {
            // The API server leaves out what is there twice.
            if controller
                .as_ref()
                .is_some_and(|first| first.value() != owner.value())
            {
                report.error_at("pod-invalid", &owner, list.field(), "a pod has one controller");
            }
            controller.get_or_insert(owner);
        }
    }
}

fn pod_resources(around: &Surroundings<'_, '_>, report: &mut Report) {
    let at = around.spec.get("resources");
    if !at.is_set() {
        return;
    }
    resources(&at, true, around, report);
    for (name, limit) in at.get("limits").entries() {
        let Some(most) = report.quantity(&limit) else {
            continue;
        };
        for (index, container) in around.spec.get("containers").items().enumerate() {
            let of_container = container.at(&["resources", "limits"]).key(name);
            if report.quantity(&of_container).is_some_and(|value| value > most) {
                report.error_at(
                    "pod-request-above-limit",
                    &of_container,
                    format!("spec.resources.containers[{index}][{name}].limits"),
                    format!("it exceeds the limit of the pod as a whole, {}", limit.value()),
                );
            }
        }
    }
    for (name, request) in at.get("requests").entries() {
        let Some(least) = report.quantity(&request) else {
            continue;
        };
        let sidecars = around
            .spec
            .get("initContainers")
            .items()
            .filter(|c| c.get("restartPolicy").text() == "Always");
        let sum = around
            .spec
            .get("containers")
            .items()
            .chain(sidecars)
            .filter_map(|container| {
                let resources = container.get("resources");
                let own = resources.get("requests").key(name);
                let own = if own.is_set() {
                    own
                } else {
                    resources.get("limits").key(name)
                };
                report.quantity(&own)
            })
            .fold(Quantity::ZERO, Quantity::plus);
        if sum > least {
            report.error(
                "pod-request-above-limit",
                &request,
                "the containers together request more",
            );
        }
    }
}

fn claims(spec: &At<'_>, report: &mut Report) {
    let mut seen = HashSet::new();
    for claim in spec.get("resourceClaims").items() {
        let name = claim.get("name");
        if report.required(&name) {
            if seen.insert(name.text()) {
                report.syntax("pod-name", &name, names::dns_label(name.text()));
            } else {
                report.error("pod-duplicate-name", &name, "the name is taken by another claim");
            }
        }
        let (direct, template) = (
            claim.get("resourceClaimName"),
            claim.get("resourceClaimTemplateName"),
        );
        if direct.is_set() == template.is_set() {
            report.error(
                "pod-one-of",
                &claim,
                "it needs either resourceClaimName or resourceClaimTemplateName",
            );
        }
        for field in [direct, template] {
            if field.is_set() {
                report.syntax("pod-name", &field, names::dns_subdomain(field.text()));
            }
        }
    }
}

fn security_context(spec: &At<'_>, report: &mut Report) {
    let at = spec.get("securityContext");
    for name in ["fsGroup", "runAsUser", "runAsGroup"] {
        report.range(&at.get(name), 0, i64::from(i32::MAX));
    }
    for group in at.get("supplementalGroups").items() {
        report.range(&group, 0, i64::from(i32::MAX));
    }
    let mut seen = HashSet::new();
    for sysctl in at.get("sysctls").items() {
        let name = sysctl.get("name");
        let text = name.text();
        if !report.required(&name) {
        } else if let Some(wrong) = names::sysctl(text) {
            report.syntax("pod-name", &name, Some(wrong));
        } else if !seen.insert(text) {
            report.error("pod-duplicate-name", &name, "the sysctl is set already");
        }
        let dotted = text.replace('/', ".");
        let ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."];
        let of_ipc = dotted == "kernel.sem" || ipc.iter().any(|prefix| dotted.starts_with(prefix));
        if spec.get("hostNetwork").is_true() && dotted.starts_with("net.")
            || spec.get("hostIPC").is_true() && of_ipc
        {
            report.error(
                "pod-invalid",
                &name,
                "it belongs to a namespace that the pod shares with its node",
            );
        }
    }
    report.one_of(&at.get("fsGroupChangePolicy"), &["Always", "OnRootMismatch"]);
    report.one_of(&at.get("supplementalGroupsPolicy"), &["Merge", "Strict"]);
    report.one_of(&at.get("seLinuxChangePolicy"), &["MountOption", "Recursive"]);
    profile(&at.get("seccompProfile"), true, report);
    profile(&at.get("appArmorProfile"), false, report);
}

fn host_namespaces(spec: &At<'_>, report: &mut Report) {
    let share = spec.get("shareProcessNamespace");
    if share.is_true() && spec.get("hostPID").is_true() {
        report.error_at(
            "pod-invalid",
            &share,
            "spec.securityContext.shareProcessNamespace".to_owned(),
            "it excludes hostPID",
        );
    }
    if spec.get("hostUsers").is_false() {
        for (name, told) in [
            ("hostNetwork", "spec.hostNetwork"),
            ("hostPID", "spec.HostPID"),
            ("hostIPC", "spec.HostIPC"),
        ] {
            let field = spec.get(name);
            if field.is_true() {
                report.error_at(
                    "pod-forbidden",
                    &field,
                    told.to_owned(),
                    "it excludes hostUsers: false",
                );
            }
        }
    }
    if spec.get("hostNetwork").is_true() {
        for container in spec.get("containers").items() {
            for port in container.get("ports").items() {
                let (host, own) = (port.get("hostPort"), port.get("containerPort"));
                let number = host.int().unwrap_or(0);
                if number != 0 && Some(number) != own.int() {
                    report.error(
                        "pod-invalid",
                        &host,
                        "with hostNetwork it must equal containerPort",
                    );
                }
            }
        }
    }
}

fn dns(spec: &At<'_>, report: &mut Report) {
    let policy = spec.get("dnsPolicy");
    report.one_of_or_empty(
        &policy,
        &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
    );
    let config = spec.get("dnsConfig");
    let servers = config.get("nameservers");
    if policy.text() == "None" && servers.len() == 0 {
        let at = if config.is_set() { &servers } else { &config };
        report.error("pod-required", at, "dnsPolicy None needs at least one nameserver");
        return;
    }
    if servers.len() > 3 {
        report.error("pod-out-of-range", &servers, "three nameservers are the most");
    }
    servers.items().for_each(|server| address(&server, report));
    let searches = config.get("searches");
    if searches.len() > 32 {
        report.error("pod-out-of-range", &searches, "32 search domains are the most");
    }
    let length: usize = searches.items().map(|search| search.text().len() + 1).sum();
    if length > 2049 {
        report.error(
            "pod-out-of-range",
            &searches,
            "all search domains together may have 2048 characters",
        );
    }
    for search in searches.items() {
        let text = search.text();
        if text != "." {
            let text = text.strip_suffix('.').unwrap_or(text);
            report.syntax("pod-name", &search, names::dns_subdomain_with_underscore(text));
        }
    }
    for option in config.get("options").items() {
        if option.get("name").text().is_empty() {
            report.error("pod-required", &option, "an option needs a name");
        }
    }
    for alias in spec.get("hostAliases").items() {
        address(&alias.get("ip"), report);
        for name in alias.get("hostnames").items() {
            report.syntax("pod-name", &name, names::dns_subdomain(name.text()));
        }
    }
}

fn address(at: &At<'_>, report: &mut Report) {
    match names::address(at.text()) {
        Address::Good => {
            // The one form of RFC 5952.
            let canonical = at.text().parse::<Ipv6Addr>().ok().map(|ip| ip.to_string());
            if let Some(canonical) = canonical.filter(|canonical| canonical != at.text()) {
                report.warning(
                    "pod-address-form",
                    at,
                    format!("IPv6 addresses are compared as texts; write {canonical}"),
                );
            }
        }
        Address::OldForm => report.warning(
            "pod-old-address",
            at,
            format!(
                "Kubernetes 1.36 and newer refuse {:?}: leading zeros and IPv4 inside IPv6 are ambiguous",
                at.text()
            ),
        ),
        Address::Bad => report.error("pod-address", at, format!("{:?} is no IP address", at.text())),
    }
}

fn scalars(spec: &At<'_>, report: &mut Report) {
    report.one_of_or_empty(&spec.get("restartPolicy"), &["Always", "OnFailure", "Never"]);
    for name in ["hostname", "subdomain"] {
        let field = spec.get(name);
        if !field.text().is_empty() {
            report.syntax("pod-name", &field, names::dns_label(field.text()));
        }
    }
    for name in ["serviceAccountName", "nodeName", "priorityClassName"] {
        let field = spec.get(name);
        if !field.text().is_empty() {
            report.syntax("pod-name", &field, names::dns_subdomain(field.text()));
        }
    }
    let runtime = spec.get("runtimeClassName");
    if runtime.is_set() {
        report.syntax("pod-name", &runtime, names::dns_subdomain(runtime.text()));
    }
    let alone = spec.get("hostnameOverride");
    if alone.is_set() {
        report.syntax("pod-name", &alone, names::dns_subdomain(alone.text()));
        if alone.text().len() > 64 {
            report.error("pod-out-of-range", &alone, "it is longer than 64 characters");
        }
        for name in ["setHostnameAsFQDN", "hostNetwork"] {
            if spec.get(name).is_true() {
                report.error("pod-forbidden", &alone, format!("it excludes {name}"));
            }
        }
    }
    report.range(&spec.get("activeDeadlineSeconds"), 1, i64::from(i32::MAX));
    report.one_of(&spec.get("preemptionPolicy"), &["Never", "PreemptLowerPriority"]);
    let grace = spec.get("terminationGracePeriodSeconds");
    if grace.int().is_some_and(|seconds| seconds < 0) {
        report.warning(
            "pod-negative-grace",
            &grace,
            "a negative number counts as 1 second",
        );
    }
    let priority = spec.get("priority");
    if priority.is_set() {
        report.warning(
            "pod-priority",
            &priority,
            "the API server computes it and refuses another number; name a priorityClassName instead",
        );
    }
    for (name, value) in spec.get("overhead").entries() {
        if report.quantity(&value).is_some_and(Quantity::is_negative) {
            report.error(
                "pod-out-of-range",
                &value,
                format!("the overhead of {name} may not be negative"),
            );
        }
    }
}

fn gates(spec: &At<'_>, report: &mut Report) {
    for gate in spec.get("readinessGates").items() {
        let kind = gate.get("conditionType");
        report.syntax("pod-name", &kind, names::qualified_name(kind.text()));
    }
    let gates = spec.get("schedulingGates");
    let mut seen = HashMap::new();
    for gate in gates.items() {
        let name = gate.get("name");
        if let Some(wrong) = names::qualified_name(name.text()) {
            report.error_at("pod-name", &name, gate.field(), wrong);
        }
        if let Some(first) = seen.insert(name.text(), gate.field()) {
            report.error_at(
                "pod-duplicate-name",
                &name,
                gate.field(),
                format!("the name is taken by {first}"),
            );
        }
    }
    let node = spec.get("nodeName");
    if gates.len() > 0 && !node.text().is_empty() {
        report.error("pod-forbidden", &node, "it excludes schedulingGates");
    }
}

fn operating_system(spec: &At<'_>, report: &mut Report) {
    let os = spec.get("os");
    if !os.is_set() {
        return;
    }
    let name = os.get("name");
    let context = spec.get("securityContext");
    match name.text() {
        "" => report.error("pod-required", &name, "the operating system must be named"),
        "linux" => {
            let of_containers = all_containers(spec).map(|c| c.at(&["securityContext", "windowsOptions"]));
            for options in std::iter::once(context.get("windowsOptions")).chain(of_containers) {
                if options.is_set() {
                    report.error(
                        "pod-forbidden",
                        &options,
                        "a Linux pod has no options for Windows",
                    );
                }
            }
        }
        "windows" => {
            let of_pod = [
                "appArmorProfile",
                "seLinuxOptions",
                "seccompProfile",
                "fsGroup",
                "fsGroupChangePolicy",
                "sysctls",
                "runAsUser",
                "runAsGroup",
                "supplementalGroups",
                "supplementalGroupsPolicy",
                "seLinuxChangePolicy",
            ]
            .map(|name| context.get(name));
            let of_spec = ["hostUsers", "shareProcessNamespace", "resources"].map(|name| spec.get(name));
            let of_containers = all_containers(spec).flat_map(|container| {
                [
                    "appArmorProfile",
                    "seLinuxOptions",
                    "seccompProfile",
                    "capabilities",
                    "readOnlyRootFilesystem",
                    "privileged",
                    "allowPrivilegeEscalation",
                    "procMount",
                    "runAsUser",
                    "runAsGroup",
                ]
                .map(|name| container.get("securityContext").get(name))
            });
            for field in of_pod.into_iter().chain(of_spec).chain(of_containers) {
                if field.is_set() {
                    report.error("pod-forbidden", &field, "a Windows pod does not have it");
                }
            }
            for name in ["hostPID", "hostIPC"] {
                if spec.get(name).is_true() {
                    report.error("pod-forbidden", &spec.get(name), "a Windows pod does not have it");
                }
            }
        }
        other => report.error_at(
            "pod-unsupported-value",
            &name,
            os.field(),
            format!("{other:?} is none of linux, windows"),
        ),
    }
}

fn annotations_about_containers(pod: &At<'_>, report: &mut Report) {
    const SECCOMP: [&str; 2] = [
        "seccomp.security.alpha.kubernetes.io/pod",
        "container.seccomp.security.alpha.kubernetes.io/",
    ];
    let spec = pod.get("spec");
    let annotations = pod.at(&["metadata", "annotations"]);
    for (key, value) in annotations.entries() {
        let text = value.text();
        if let Some(container) = key.strip_prefix(APP_ARMOR) {
            if !all_containers(&spec).any(|c| c.get("name").text() == container) {
                report.error(
                    "pod-annotation",
                    &value,
                    format!("the pod has no container {container:?}"),
                );
            }
            if !matches!(text, "" | "runtime/default" | "unconfined") && !text.starts_with("localhost/") {
                report.error(
                    "pod-annotation",
                    &value,
                    format!("{text:?} is no AppArmor profile"),
                );
            }
        } else if key == SECCOMP[0] || key.starts_with(SECCOMP[1]) {
            let wrong = match text.strip_prefix("localhost/") {
                Some(path) => names::descending_path(path),
                None if matches!(text, "runtime/default" | "docker/default" | "unconfined") => None,
                None => Some("it is no seccomp profile"),
            };
            if let Some(wrong) = wrong {
                report.error_at(
                    "pod-annotation",
                    &value,
                    format!("{}.{key}", annotations.field()),
                    wrong,
                );
            }
        }
    }
    let mirror = annotations.key("kubernetes.io/config.mirror");
    if mirror.is_set() && spec.get("nodeName").text().is_empty() {
        report.error("pod-annotation", &mirror, "a mirror pod needs spec.nodeName");
    }
}
