//! The nodes whose taints a pod tolerates.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json_patch::PathPart;

use super::{
    Found, name,
    nodes::{Node, Taint, list, some_of, text, which},
};

pub(super) fn tolerated(
    spec: &Value,
    pool: &mut Vec<&Node>,
    chosen_by: &[Vec<PathPart>],
    all: usize,
    is_assigned: bool,
    concerns: &mut Vec<Found>,
) {
    let tolerations: Vec<&Value> = list(spec, "/tolerations").collect();
    let open = |node: &Node| -> Vec<Taint> {
        node.taints
            .iter()
            .filter(|taint| match &*taint.effect {
                // A pod that names its node passes the scheduler by; the kubelet looks at the other effect.
                "NoSchedule" => !is_assigned,
                "NoExecute" => true,
                _ => false,
            })
            .filter(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
            .cloned()
            .collect()
    };
    let left: Vec<&Node> = pool
        .iter()
        .copied()
        .filter(|node| open(node).is_empty())
        .collect();
    if left.is_empty() {
        let mut count: BTreeMap<Taint, usize> = BTreeMap::new();
        for taint in pool.iter().flat_map(|node| open(node)) {
            *count.entry(taint).or_default() += 1;
        }
        let mut taints: Vec<(Taint, usize)> = count.into_iter().collect();
        taints.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let several = pool.len() > 1;
        let texts = taints
            .iter()
            .map(|(taint, nodes)| {
                if several && *nodes < pool.len() {
                    format!("{} on {nodes}", taint.text())
                } else {
                    taint.text()
                }
            })
            .collect();
        let s = if several || taints.len() > 1 {
            "taints"
        } else {
            "a taint"
        };
        let mut paths = vec![vec![name("spec"), name("tolerations")]];
        if pool.len() < all {
            paths.extend_from_slice(chosen_by);
        }
        concerns.push(Found {
            message: format!(
                "{} has {s} that the pod does not tolerate: {}",
                which(pool.len(), all),
                some_of(texts)
            ),
            paths,
        });
    } else {
        *pool = left;
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
