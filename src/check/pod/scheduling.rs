//! Where the pod may run: labels, selectors, tolerations, affinities, spreading.

use std::collections::HashSet;

use super::{Report, at::At, names};

/// A map of labels, of which the API server tells as a whole.
pub(super) fn labels(at: &At<'_>, report: &mut Report) {
    for (key, value) in at.entries() {
        if let Some(wrong) = names::qualified_name(key) {
            report.error_at(
                "pod-label",
                &value,
                at.field(),
                format!("{key:?} is no key of a label: {wrong}"),
            );
        }
        if let Some(wrong) = names::label_value(value.text()) {
            report.error_at(
                "pod-label",
                &value,
                at.field(),
                format!("{:?} is no value of a label ({key}): {wrong}", value.text()),
            );
        }
        if !value.is_set() {
            report.warning("pod-null", &value, "null becomes an empty text");
        }
    }
}

fn key(at: &At<'_>, report: &mut Report) {
    report.syntax("pod-label", at, names::qualified_name(at.text()));
}

pub(super) fn label_selector(at: &At<'_>, report: &mut Report) {
    labels(&at.get("matchLabels"), report);
    for expression in at.get("matchExpressions").items() {
        let values = expression.get("values");
        match expression.get("operator").text() {
            "In" | "NotIn" if values.len() == 0 => {
                report.error("pod-required", &values, "In and NotIn need values");
            }
            "Exists" | "DoesNotExist" if values.len() > 0 => {
                report.error("pod-forbidden", &values, "Exists and DoesNotExist take no values");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => report.error(
                "pod-unsupported-value",
                &expression.get("operator"),
                format!("{other:?} is none of In, NotIn, Exists, DoesNotExist"),
            ),
        }
        key(&expression.get("key"), report);
        for value in values.items() {
            report.syntax("pod-label", &value, names::label_value(value.text()));
        }
    }
}

pub(super) fn tolerations(at: &At<'_>, report: &mut Report) {
    for toleration in at.items() {
        let (key_at, operator, value, effect) = (
            toleration.get("key"),
            toleration.get("operator"),
            toleration.get("value"),
            toleration.get("effect"),
        );
        if !key_at.text().is_empty() {
            key(&key_at, report);
        } else if operator.text() != "Exists" {
            report.error(
                "pod-invalid",
                &operator,
                "without a key the operator must be Exists, which tolerates everything",
            );
        }
        if toleration.get("tolerationSeconds").is_set() && effect.text() != "NoExecute" {
            report.error(
                "pod-invalid",
                &effect,
                "with tolerationSeconds the effect must be NoExecute",
            );
        }
        match operator.text() {
            "" | "Equal" => {
                if let Some(wrong) = names::label_value(value.text()) {
                    report.error_at("pod-label", &value, operator.field(), wrong);
                }
            }
            "Exists" => {
                if !value.text().is_empty() {
                    report.error_at(
                        "pod-invalid",
                        &value,
                        operator.field(),
                        "with Exists the value must be empty",
                    );
                }
            }
            other => report.error(
                "pod-unsupported-value",
                &operator,
                format!("{other:?} is none of Equal, Exists"),
            ),
        }
        report.one_of_or_empty(&effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    }
}

fn node_term(term: &At<'_>, check_values: bool, report: &mut Report) {
    for requirement in term.get("matchExpressions").items() {
        let values = requirement.get("values");
        match requirement.get("operator").text() {
            "In" | "NotIn" if values.len() == 0 => {
                report.error("pod-required", &values, "In and NotIn need values");
            }
            "Exists" | "DoesNotExist" if values.len() > 0 => {
                report.error("pod-forbidden", &values, "Exists and DoesNotExist take no values");
            }
            "Gt" | "Lt" if values.len() != 1 => {
                report.error("pod-required", &values, "Gt and Lt need one value");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => report.error(
                "pod-unsupported-value",
                &requirement.get("operator"),
                format!("{other:?} is none of In, NotIn, Exists, DoesNotExist, Gt, Lt"),
            ),
        }
        key(&requirement.get("key"), report);
        if check_values {
            for value in values.items() {
                report.syntax("pod-label", &value, names::label_value(value.text()));
            }
        }
    }
    for requirement in term.get("matchFields").items() {
        let values = requirement.get("values");
        match requirement.get("operator").text() {
            "In" | "NotIn" if values.len() != 1 => {
                report.error("pod-required", &values, "a field is compared with one value");
            }
            "In" | "NotIn" => {}
            other => report.error(
                "pod-unsupported-value",
                &requirement.get("operator"),
                format!("{other:?} is none of In, NotIn"),
            ),
        }
        let key = requirement.get("key");
        if key.text() == "metadata.name" {
            for value in values.items() {
                report.syntax("pod-name", &value, names::dns_subdomain(value.text()));
            }
        } else {
            report.error("pod-unsupported-value", &key, "the only field is metadata.name");
        }
    }
}

fn pod_term(term: &At<'_>, report: &mut Report) {
    label_selector(&term.get("labelSelector"), report);
    label_selector(&term.get("namespaceSelector"), report);
    for namespace in term.get("namespaces").items() {
        if let Some(wrong) = names::dns_label(namespace.text()) {
            report.error_at(
                "pod-name",
                &namespace,
                format!("{}.namespace", term.field()),
                wrong,
            );
        }
    }
    match_keys(term, report);
    let topology = term.get("topologyKey");
    if topology.text().is_empty() {
        report.error("pod-required", &topology, "a topology key is needed");
    } else {
        key(&topology, report);
    }
}

fn match_keys(term: &At<'_>, report: &mut Report) {
    let selector = term.get("labelSelector");
    for name in ["matchLabelKeys", "mismatchLabelKeys"] {
        let list = term.get(name);
        if list.len() > 0 && !selector.is_set() {
            report.error("pod-forbidden", &list, "it needs a labelSelector");
        } else {
            list.items().for_each(|item| key(&item, report));
        }
    }
    let mismatch: HashSet<&str> = term
        .get("mismatchLabelKeys")
        .items()
        .map(|item| item.text())
        .collect();
    for item in term.get("matchLabelKeys").items() {
        if mismatch.contains(item.text()) {
            report.error("pod-invalid", &item, "it stands in mismatchLabelKeys too");
        }
    }
}

pub(super) fn affinity(at: &At<'_>, report: &mut Report) {
    let node = at.get("nodeAffinity");
    let required = node.get("requiredDuringSchedulingIgnoredDuringExecution");
    if required.is_set() {
        let terms = required.get("nodeSelectorTerms");
        if terms.len() == 0 {
            report.error("pod-required", &terms, "at least one term is needed");
        }
        terms.items().for_each(|term| node_term(&term, true, report));
    }
    for term in node
        .get("preferredDuringSchedulingIgnoredDuringExecution")
        .items()
    {
        weight(&term, report);
        node_term(&term.get("preference"), false, report);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let pods = at.get(kind);
        for term in pods.get("requiredDuringSchedulingIgnoredDuringExecution").items() {
            pod_term(&term, report);
        }
        for term in pods
            .get("preferredDuringSchedulingIgnoredDuringExecution")
            .items()
        {
            weight(&term, report);
            pod_term(&term.get("podAffinityTerm"), report);
        }
    }
}

fn weight(term: &At<'_>, report: &mut Report) {
    let weight = term.get("weight");
    if !(1..=100).contains(&weight.int().unwrap_or(0)) {
        report.error("pod-out-of-range", &weight, "it must be between 1 and 100");
    }
}

pub(super) fn topology_spread(at: &At<'_>, report: &mut Report) {
    let mut last = std::collections::HashMap::new();
    for (index, constraint) in at.items().enumerate() {
        let pair = (
            constraint.get("topologyKey").text(),
            constraint.get("whenUnsatisfiable").text(),
        );
        if let Some(earlier) = last.insert(pair, index) {
            let earlier: At<'_> = at.index(earlier);
            report.error_at(
                "pod-duplicate-name",
                &constraint,
                format!("{}.{{topologyKey, whenUnsatisfiable}}", earlier.field()),
                "two constraints have the same topologyKey and whenUnsatisfiable",
            );
        }
        let skew = constraint.get("maxSkew");
        if skew.int().unwrap_or(0) <= 0 {
            report.error("pod-out-of-range", &skew, "it must be greater than zero");
        }
        let topology = constraint.get("topologyKey");
        if topology.text().is_empty() {
            report.error("pod-required", &topology, "a topology key is needed");
        }
        let when = constraint.get("whenUnsatisfiable");
        if !matches!(when.text(), "DoNotSchedule" | "ScheduleAnyway") {
            report.error(
                "pod-unsupported-value",
                &when,
                format!("{:?} is none of DoNotSchedule, ScheduleAnyway", when.text()),
            );
        }
        let domains = constraint.get("minDomains");
        if domains.is_set() {
            if domains.int().unwrap_or(1) <= 0 {
                report.error("pod-out-of-range", &domains, "it must be greater than zero");
            }
            if when.text() != "DoNotSchedule" {
                report.error(
                    "pod-invalid",
                    &domains,
                    "it needs whenUnsatisfiable: DoNotSchedule",
                );
            }
        }
        report.one_of(&constraint.get("nodeAffinityPolicy"), &["Honor", "Ignore"]);
        report.one_of(&constraint.get("nodeTaintsPolicy"), &["Honor", "Ignore"]);
        match_keys(&constraint, report);
        label_selector(&constraint.get("labelSelector"), report);
    }
}
