//! The nodes that a pod selects.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::json_patch::PathPart;

use super::{
    Found, name,
    nodes::{Node, Pool, list, object, some_of, text},
};

pub(super) fn selected(spec: &Value, pool: &mut Pool<'_>, concerns: &mut Vec<Found>) {
    let before = concerns.len();
    let carries = |node: &Node, key: &str, value: &Value| {
        let value = value.as_str().unwrap_or_default();
        node.labels.get(key).is_some_and(|label| label == value)
    };
    let path_of = |key: &str| vec![name("spec"), name("nodeSelector"), name(key)];
    let pairs: Vec<(&String, &Value)> = object(spec, "/nodeSelector").collect();
    for (key, value) in &pairs {
        if !pool.nodes.iter().any(|node| carries(node, key, value)) {
            let others: BTreeSet<&str> = pool
                .nodes
                .iter()
                .filter_map(|node| node.labels.get(*key))
                .map(String::as_str)
                .collect();
            concerns.push(Found {
                message: format!(
                    "no node carries the label {key}={}{}",
                    value.as_str().unwrap_or_default(),
                    match &*some_of(others.into_iter().map(str::to_owned).collect()) {
                        "" => String::new(),
                        others => format!("; there is {key}={others}"),
                    }
                ),
                paths: vec![path_of(key)],
            });
        }
    }
    let by_selector: Vec<&Node> = pool
        .nodes
        .iter()
        .copied()
        .filter(|node| pairs.iter().all(|(key, value)| carries(node, key, value)))
        .collect();
    if by_selector.is_empty() && concerns.len() == before {
        let labels: Vec<String> = pairs
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect();
        concerns.push(Found {
            message: format!("no node carries all these labels: {}", labels.join(", ")),
            paths: pairs.iter().map(|(key, _)| path_of(key)).collect(),
        });
    }
    let narrowing = pairs
        .iter()
        .filter(|(key, value)| !pool.nodes.iter().all(|node| carries(node, key, value)))
        .map(|(key, _)| path_of(key));
    let narrowing: Vec<Vec<PathPart>> = narrowing.collect();

    let terms_at = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let affinity_path = || {
        [
            "spec",
            "affinity",
            "nodeAffinity",
            "requiredDuringSchedulingIgnoredDuringExecution",
            "nodeSelectorTerms",
        ]
        .map(name)
        .to_vec()
    };
    let terms: Vec<&Value> = list(spec, terms_at).collect();
    let by_affinity: Vec<&Node> = pool
        .nodes
        .iter()
        .copied()
        .filter(|node| terms.is_empty() || terms.iter().any(|term| term_matches(term, node)))
        .collect();
    if by_affinity.is_empty() {
        concerns.push(Found {
            message: format!(
                "no node meets the required node affinity: {}",
                some_of(terms.iter().map(|term| term_text(term)).collect())
            ),
            paths: vec![affinity_path()],
        });
    }
    let both: Vec<&Node> = by_selector
        .iter()
        .copied()
        .filter(|node| by_affinity.iter().any(|other| std::ptr::eq(*node, *other)))
        .collect();
    if both.is_empty() && !by_selector.is_empty() && !by_affinity.is_empty() {
        let mut paths = vec![affinity_path()];
        paths.extend(narrowing.iter().cloned());
        concerns.push(Found {
            message: "no node meets both the node selector and the required node affinity".to_owned(),
            paths,
        });
    }
    if !both.is_empty() {
        pool.chosen_by.extend(narrowing);
        if by_affinity.len() < pool.nodes.len() {
            pool.chosen_by.push(affinity_path());
        }
        pool.nodes = both;
    }
}

/// Whether a term of a node selector takes a node; one without requirements takes none.
fn term_matches(term: &Value, node: &Node) -> bool {
    let mut any = false;
    let labels = list(term, "/matchExpressions").all(|requirement| {
        any = true;
        requirement_met(
            requirement,
            node.labels.get(text(requirement, "key")).map(String::as_str),
        )
    });
    let fields = list(term, "/matchFields").all(|requirement| {
        any = true;
        requirement_met(requirement, Some(&node.name))
    });
    any && labels && fields
}

fn requirement_met(requirement: &Value, own: Option<&str>) -> bool {
    let given = || list(requirement, "/values").filter_map(Value::as_str);
    let number = |text: &str| text.parse::<i64>().ok();
    let compare = |is: fn(&i64, &i64) -> bool| {
        own.and_then(number)
            .zip(given().next().and_then(number))
            .is_some_and(|(own, given)| is(&own, &given))
    };
    match text(requirement, "operator") {
        "In" => own.is_some_and(|own| given().any(|value| value == own)),
        "NotIn" => own.is_none_or(|own| given().all(|value| value != own)),
        "Exists" => own.is_some(),
        "DoesNotExist" => own.is_none(),
        "Gt" => compare(i64::gt),
        "Lt" => compare(i64::lt),
        _ => false,
    }
}

fn term_text(term: &Value) -> String {
    let requirements = list(term, "/matchExpressions").chain(list(term, "/matchFields"));
    let texts: Vec<String> = requirements
        .map(|requirement| {
            let values: Vec<&str> = list(requirement, "/values").filter_map(Value::as_str).collect();
            let values = if values.is_empty() {
                String::new()
            } else {
                format!(" {}", values.join("|"))
            };
            format!(
                "{} {}{values}",
                text(requirement, "key"),
                text(requirement, "operator")
            )
        })
        .collect();
    texts.join(" and ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requirements_are_those_of_kubernetes() {
        let own =
            Node::from_json(&json!({"metadata": {"name": "n", "labels": {"zone": "a", "cores": "16"}}}));
        let expression = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        for (term, matches) in [
            (expression("zone", "In", &["b", "a"]), true),
            (expression("zone", "NotIn", &["b"]), true),
            (expression("rack", "NotIn", &["b"]), true),
            (expression("zone", "Exists", &[]), true),
            (expression("rack", "Exists", &[]), false),
            (expression("zone", "DoesNotExist", &[]), false),
            (expression("cores", "Gt", &["8"]), true),
            (expression("cores", "Lt", &["16"]), false),
            (expression("zone", "Gt", &["8"]), false),
            (
                json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}),
                true,
            ),
            (json!({}), false),
        ] {
            assert_eq!(term_matches(&term, &own), matches, "{term}");
        }
    }
}
