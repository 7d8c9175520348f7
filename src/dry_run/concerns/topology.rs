//! The nodes that carry the labels by which a pod wants to be near to other pods, or spread among them.
//!
//! Where those pods are is a matter of the moment and left out. But a node without the label is no place for a pod with
//! a spread constraint that must hold, nor for one with a required affinity to pods, even if it is the first of them. A
//! required anti-affinity is different: on a node without the label there is nothing to keep away from.

use serde_json::Value;

use crate::json_patch::PathPart;

use super::{
    Found, name,
    nodes::{Node, Pool, list, some_of, text},
};

/// A label that the node must have, whatever its value.
struct Topology<'v> {
    key: &'v str,
    needed_by: &'static str,
    path: Vec<PathPart>,
}

fn of_pod(spec: &Value) -> Vec<Topology<'_>> {
    const AFFINITY: [&str; 4] = [
        "spec",
        "affinity",
        "podAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution",
    ];
    let place = |names: &[&str], index: usize| {
        let mut path: Vec<PathPart> = names.iter().copied().map(name).collect();
        path.extend([PathPart::Index(index), name("topologyKey")]);
        path
    };
    let constraints = list(spec, "/topologySpreadConstraints").enumerate();
    let spread = constraints
        .filter(|(_, constraint)| text(constraint, "whenUnsatisfiable") == "DoNotSchedule")
        .map(|(index, constraint)| Topology {
            key: text(constraint, "topologyKey"),
            needed_by: "the spread constraint",
            path: place(&["spec", "topologySpreadConstraints"], index),
        });
    let terms = list(
        spec,
        "/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution",
    );
    let near = terms.enumerate().map(|(index, term)| Topology {
        key: text(term, "topologyKey"),
        needed_by: "the required pod affinity",
        path: place(&AFFINITY, index),
    });
    spread.chain(near).collect()
}

pub(super) fn topologies(spec: &Value, pool: &mut Pool<'_>, concerns: &mut Vec<Found>) {
    let topologies = of_pod(spec);
    if topologies.is_empty() {
        return;
    }
    let that = if pool.is_all() { "" } else { " that it selects" };
    let carries = |node: &Node, topology: &Topology<'_>| node.labels.contains_key(topology.key);
    let mut carried: Vec<Topology<'_>> = Vec::new();
    for topology in topologies {
        if pool.nodes.iter().any(|node| carries(node, &topology)) {
            carried.push(topology);
            continue;
        }
        let Topology { key, needed_by, path } = topology;
        let mut paths = vec![path];
        if !pool.is_all() {
            paths.extend_from_slice(&pool.chosen_by);
        }
        concerns.push(Found {
            message: format!(
                "no node{that} carries the label {key}, without which {needed_by} takes no node"
            ),
            paths,
        });
    }
    let all: Vec<&Node> = pool
        .nodes
        .iter()
        .copied()
        .filter(|node| carried.iter().all(|topology| carries(node, topology)))
        .collect();
    let narrowing = carried
        .iter()
        .filter(|topology| !pool.nodes.iter().all(|node| carries(node, topology)));
    let paths: Vec<Vec<PathPart>> = narrowing.map(|topology| topology.path.clone()).collect();
    if all.is_empty() {
        let mut keys: Vec<String> = carried.iter().map(|topology| topology.key.to_owned()).collect();
        keys.dedup();
        concerns.push(Found {
            message: format!(
                "no node{that} carries all the labels that spread constraints and pod affinity need: {}",
                some_of(keys)
            ),
            paths,
        });
    } else {
        pool.chosen_by.extend(paths);
        pool.nodes = all;
    }
}
