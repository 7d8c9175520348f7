//! The nodes whose taints a pod tolerates.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Found, name,
    nodes::{Node, Pool, Taint, list, some_of, text},
};

/// Where tolerations stand, or would stand.
pub(super) const TOLERATIONS: [&str; 2] = ["spec", "tolerations"];

pub(super) struct Tolerations<'v> {
    list: Vec<&'v Value>,
    /// A pod that names its node passes the scheduler by; the kubelet looks at one effect alone.
    is_assigned: bool,
}

impl<'v> Tolerations<'v> {
    pub(super) fn of(spec: &'v Value, is_assigned: bool) -> Self {
        Self {
            list: list(spec, "/tolerations").collect(),
            is_assigned,
        }
    }

    /// The taints of a node that keep the pod away.
    fn open<'n>(&self, node: &'n Node) -> impl Iterator<Item = &'n Taint> {
        node.taints
            .iter()
            .filter(|taint| match &*taint.effect {
                "NoSchedule" => !self.is_assigned,
                "NoExecute" => true,
                _ => false,
            })
            .filter(|taint| !self.list.iter().any(|toleration| tolerates(toleration, taint)))
    }

    /// The nodes of the pool whose taints are tolerated; all of them with a concern, if it is none.
    pub(super) fn filter<'n>(&self, pool: &Pool<'n>, concerns: &mut Vec<Found>) -> Vec<&'n Node> {
        let nodes = pool.nodes.iter().copied();
        let left: Vec<&Node> = nodes.filter(|node| self.open(node).next().is_none()).collect();
        if !left.is_empty() {
            return left;
        }
        let taints = self.texts(&pool.nodes);
        let s = match (pool.nodes.len(), taints.len()) {
            (1, 1) => "a taint",
            _ => "taints",
        };
        let mut paths = vec![TOLERATIONS.map(name).to_vec()];
        if !pool.is_all() {
            paths.extend_from_slice(&pool.chosen_by);
        }
        concerns.push(Found {
            message: format!(
                "{} has {s} that the pod does not tolerate: {}",
                pool.which(),
                some_of(taints)
            ),
            paths,
        });
        pool.nodes.clone()
    }

    /// The taints that keep the pod away from these nodes, the most frequent first, with the number of nodes where
    /// not each of them has it.
    pub(super) fn texts(&self, nodes: &[&Node]) -> Vec<String> {
        let mut count: BTreeMap<&Taint, usize> = BTreeMap::new();
        for taint in nodes.iter().flat_map(|node| self.open(node)) {
            *count.entry(taint).or_default() += 1;
        }
        let mut taints: Vec<(&Taint, usize)> = count.into_iter().collect();
        taints.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let text = |(taint, count): (&Taint, usize)| {
            if count < nodes.len() {
                format!("{} on {count}", taint.text())
            } else {
                taint.text()
            }
        };
        taints.into_iter().map(text).collect()
    }
}

fn tolerates(toleration: &Value, taint: &Taint) -> bool {
    let (key, effect) = (text(toleration, "key"), text(toleration, "effect"));
    if !(effect.is_empty() || effect == taint.effect) || !(key.is_empty() || key == taint.key) {
        return false;
    }
    match text(toleration, "operator") {
        "" | "Equal" => text(toleration, "value") == taint.value,
        "Exists" => true,
        // Newer servers know more of them; what is not understood is no reason for a concern.
        _ => key == taint.key,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_toleration_without_key_or_effect_takes_all() {
        let taint = Taint {
            key: "gpu".to_owned(),
            value: "yes".to_owned(),
            effect: "NoSchedule".to_owned(),
        };
        for (toleration, yes) in [
            (json!({"operator": "Exists"}), true),
            (
                json!({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}),
                false,
            ),
            (json!({"key": "gpu", "value": "yes"}), true),
            (json!({"key": "gpu", "operator": "Equal", "value": "no"}), false),
            (json!({"key": "other", "operator": "Exists"}), false),
        ] {
            assert_eq!(tolerates(&toleration, &taint), yes, "{toleration}");
        }
    }
}
