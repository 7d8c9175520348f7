//! Whether any node could hold a pod: the scheduler's filters that look at nothing but the pod and the node.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{check::pod::quantity::Quantity, json_patch::PathPart, output::escape};

use super::{
    Found, name, requests::large_enough, selection::selected, taints::Tolerations, topology::topologies,
};

/// Of how many nodes, labels or taints a message names each.
const NAMED: usize = 3;

/// What of a node decides whether it could hold a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) taints: Vec<Taint>,
    /// Resource → quantity as the node writes it.
    pub(super) allocatable: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Taint {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) effect: String,
}

impl Node {
    /// Reads a Node as the API server gives it. That it is cordoned is a taint, as the scheduler sees it.
    pub(super) fn from_json(node: &Value) -> Self {
        let texts = |pointer: &str| -> BTreeMap<String, String> {
            let map = node.pointer(pointer).and_then(Value::as_object);
            map.into_iter()
                .flatten()
                .filter_map(|(key, value)| {
                    let text = match value {
                        Value::String(text) => text.clone(),
                        Value::Number(number) => number.to_string(),
                        _ => return None,
                    };
                    Some((key.clone(), text))
                })
                .collect()
        };
        let member = |value: &Value, name: &str| {
            value
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let list = node.pointer("/spec/taints").and_then(Value::as_array);
        let mut taints: Vec<Taint> = list
            .into_iter()
            .flatten()
            .map(|taint| Taint {
                key: member(taint, "key"),
                value: member(taint, "value"),
                effect: member(taint, "effect"),
            })
            .collect();
        let cordon = Taint {
            key: "node.kubernetes.io/unschedulable".to_owned(),
            value: String::new(),
            effect: "NoSchedule".to_owned(),
        };
        if node.pointer("/spec/unschedulable") == Some(&Value::Bool(true))
            && !taints
                .iter()
                .any(|taint| taint.key == cordon.key && taint.effect == cordon.effect)
        {
            taints.push(cordon);
        }
        Self {
            name: node
                .pointer("/metadata/name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            labels: texts("/metadata/labels"),
            taints,
            allocatable: texts("/status/allocatable"),
        }
    }

    pub(super) fn allocatable(&self, resource: &str) -> Quantity {
        self.allocatable
            .get(resource)
            .and_then(|text| Quantity::parse(text))
            .unwrap_or(Quantity::ZERO)
    }
}

impl Taint {
    pub(super) fn text(&self) -> String {
        let value = if self.value.is_empty() {
            String::new()
        } else {
            format!("={}", self.value)
        };
        format!("{}{value}:{}", self.key, self.effect)
    }
}

/// The nodes that the filters so far have left over.
pub(super) struct Pool<'n> {
    pub(super) nodes: Vec<&'n Node>,
    /// How many the cluster has.
    all: usize,
    /// The places of the pod that have made the choice.
    pub(super) chosen_by: Vec<Vec<PathPart>>,
}

impl Pool<'_> {
    /// Whether the pod could choose every node.
    pub(super) fn is_all(&self) -> bool {
        self.nodes.len() == self.all
    }

    /// `the only node` or `each of the 3 nodes`, and whether the pod has chosen them.
    pub(super) fn which(&self) -> String {
        match (&*self.nodes, self.is_all()) {
            ([_], true) => "the only node".to_owned(),
            ([node], false) => format!("the only node that it selects, {},", node.name),
            (nodes, true) => format!("each of the {} nodes", nodes.len()),
            (nodes, false) => format!("each of the {} nodes that it selects", nodes.len()),
        }
    }
}

/// What keeps a pod from every node: each of the scheduler's filters is asked of the nodes that the ones before
/// left over, and of all nodes where they left none, so that one look tells all. Taints come last, so that a node that
/// would do but for its taint is known.
pub(super) fn node_concerns(pod: &Value, nodes: &[Node]) -> Vec<Found> {
    let null = Value::Null;
    let spec = pod.get("spec").unwrap_or(&null);
    if nodes.is_empty() {
        return vec![Found {
            message: "the cluster has no node".to_owned(),
            paths: Vec::new(),
        }];
    }
    let mut concerns = Vec::new();
    let mut pool = Pool {
        nodes: nodes.iter().collect(),
        all: nodes.len(),
        chosen_by: Vec::new(),
    };
    let node_name = spec
        .get("nodeName")
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty());
    if let Some(wanted) = node_name {
        let path = vec![name("spec"), name("nodeName")];
        pool.nodes.retain(|node| node.name == wanted);
        if pool.nodes.is_empty() {
            return vec![Found {
                message: format!("the cluster has no node {wanted:?}"),
                paths: vec![path],
            }];
        }
        pool.chosen_by.push(path);
    }
    selected(spec, &mut pool, &mut concerns);
    if node_name.is_none() {
        // The kubelet, which takes a pod that names its node, does not look at other pods.
        topologies(spec, &mut pool, &mut concerns);
    }
    let tolerations = Tolerations::of(spec, node_name.is_some());
    let open = tolerations.filter(&pool, &mut concerns);
    large_enough(spec, &pool, &open, &tolerations, &mut concerns);
    concerns
}

pub(super) fn object<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    value
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

pub(super) fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

pub(super) fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// Texts in a message, the first few of them.
pub(super) fn some_of(texts: Vec<String>) -> String {
    let more = texts.len().saturating_sub(NAMED);
    let mut shown: Vec<String> = texts
        .into_iter()
        .take(NAMED)
        .map(|text| escape::line(&text).into_owned())
        .collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, labels: &Value, taints: &Value, allocatable: &Value) -> Node {
        Node::from_json(&json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": taints},
            "status": {"allocatable": allocatable},
        }))
    }

    fn large(name: &str) -> Node {
        node(
            name,
            &json!({}),
            &json!([]),
            &json!({"cpu": "16", "memory": "64Gi", "pods": "110"}),
        )
    }

    fn messages(spec: &Value, nodes: &[Node]) -> Vec<String> {
        node_concerns(&json!({"spec": spec}), nodes)
            .into_iter()
            .map(|concern| concern.message)
            .collect()
    }

    #[test]
    fn a_pod_that_names_its_node_passes_the_scheduler_by() {
        let mut tainted = large("a");
        tainted.taints.push(Taint {
            key: "x".to_owned(),
            value: String::new(),
            effect: "NoSchedule".to_owned(),
        });
        assert_eq!(
            messages(&json!({"nodeName": "a"}), std::slice::from_ref(&tainted)),
            [""; 0]
        );
        assert_eq!(
            messages(&json!({"nodeName": "b"}), &[tainted]),
            ["the cluster has no node \"b\""]
        );
    }

    #[test]
    fn what_no_node_has_at_once_is_told_as_one() {
        let nodes = [
            node(
                "a",
                &json!({}),
                &json!([]),
                &json!({"cpu": "16", "memory": "4Gi"}),
            ),
            node(
                "b",
                &json!({}),
                &json!([]),
                &json!({"cpu": "2", "memory": "64Gi"}),
            ),
        ];
        let spec = json!({"containers": [{"resources": {"requests": {"cpu": "8", "memory": "32Gi"}}}]});
        assert_eq!(
            messages(&spec, &nodes),
            ["no node has all that the pod requests at once: cpu: 8, memory: 32Gi"]
        );
    }

    #[test]
    fn a_cordoned_node_is_a_tainted_one() {
        let cordoned = Node::from_json(&json!({"metadata": {"name": "a"}, "spec": {"unschedulable": true}}));
        assert_eq!(
            messages(&json!({}), std::slice::from_ref(&cordoned)),
            [
                "the only node has a taint that the pod does not tolerate: node.kubernetes.io/unschedulable:NoSchedule"
            ]
        );
        let spec = json!({"tolerations": [{"operator": "Exists"}]});
        assert_eq!(messages(&spec, &[cordoned]), [""; 0]);
    }
}
