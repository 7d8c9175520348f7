//! The nodes that are large enough for what a pod requests.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{check::pod::quantity::Quantity, json_patch::PathPart};

use super::{
    Found, name,
    nodes::{Node, Pool, list, object, some_of, text},
    taints::Tolerations,
};

/// What a pod asks of a node, and the containers that ask for some of it.
#[derive(Default)]
struct Requests {
    sum: BTreeMap<String, Quantity>,
    /// Resource → quantity and place.
    parts: BTreeMap<String, Vec<(Quantity, Vec<PathPart>)>>,
}

/// A container's requests; where there is only a limit, that is the request.
fn of_container(container: &Value, path: &[PathPart]) -> Vec<(String, Quantity, Vec<PathPart>)> {
    let mut found: BTreeMap<&String, (Quantity, Vec<PathPart>)> = BTreeMap::new();
    for kind in ["limits", "requests"] {
        for (resource, value) in object(container, &format!("/resources/{kind}")) {
            let parsed = match value {
                Value::String(text) => Quantity::parse(text),
                Value::Number(number) => Quantity::parse(&number.to_string()),
                _ => None,
            };
            if let Some(quantity) = parsed {
                let path = [path, &[name("resources"), name(kind), name(resource)]].concat();
                found.insert(resource, (quantity, path));
            }
        }
    }
    found
        .into_iter()
        .map(|(resource, (quantity, path))| (resource.clone(), quantity, path))
        .collect()
}

impl Requests {
    /// Kubernetes' own rule: the containers and the init containers that keep running together; or the largest
    /// moment while init containers run one after the other, if that is more; and the overhead.
    fn of(spec: &Value) -> Self {
        let mut this = Self::default();
        let mut sidecars: BTreeMap<String, Quantity> = BTreeMap::new();
        let mut most: BTreeMap<String, Quantity> = BTreeMap::new();
        let plus = |map: &mut BTreeMap<String, Quantity>, resource: &str, quantity: Quantity| {
            let own = map.entry(resource.to_owned()).or_insert(Quantity::ZERO);
            *own = own.plus(quantity);
        };
        for (i, container) in list(spec, "/containers").enumerate() {
            let path = [name("spec"), name("containers"), PathPart::Index(i)];
            for (resource, quantity, path) in of_container(container, &path) {
                plus(&mut this.sum, &resource, quantity);
                this.parts.entry(resource).or_default().push((quantity, path));
            }
        }
        for (i, container) in list(spec, "/initContainers").enumerate() {
            let path = [name("spec"), name("initContainers"), PathPart::Index(i)];
            let stays = text(container, "restartPolicy") == "Always";
            for (resource, quantity, path) in of_container(container, &path) {
                let before = sidecars.get(&resource).copied().unwrap_or(Quantity::ZERO);
                let moment = before.plus(quantity);
                if stays {
                    plus(&mut this.sum, &resource, quantity);
                    sidecars.insert(resource.clone(), moment);
                }
                let most = most.entry(resource.clone()).or_insert(Quantity::ZERO);
                *most = moment.max(*most);
                this.parts.entry(resource).or_default().push((quantity, path));
            }
        }
        for (resource, most) in most {
            let sum = this.sum.entry(resource).or_insert(Quantity::ZERO);
            *sum = most.max(*sum);
        }
        // What is requested for the pod as a whole stands for what its containers request.
        for (resource, quantity, path) in of_container(spec, &[name("spec")]) {
            this.sum.insert(resource.clone(), quantity);
            this.parts.insert(resource, vec![(quantity, path)]);
        }
        for (resource, value) in object(spec, "/overhead") {
            if let Some(quantity) = value.as_str().and_then(Quantity::parse) {
                plus(&mut this.sum, resource, quantity);
                let path = vec![name("spec"), name("overhead"), name(resource)];
                this.parts
                    .entry(resource.clone())
                    .or_default()
                    .push((quantity, path));
            }
        }
        this.sum.retain(|_, quantity| *quantity > Quantity::ZERO);
        this
    }

    /// The places that ask for a resource, the one that asks for most first.
    fn paths(&self, resource: &str) -> Vec<Vec<PathPart>> {
        let mut parts: Vec<&(Quantity, Vec<PathPart>)> = self
            .parts
            .get(resource)
            .into_iter()
            .flatten()
            .filter(|(quantity, _)| *quantity > Quantity::ZERO)
            .collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.0));
        parts.into_iter().map(|(_, path)| path.clone()).collect()
    }
}

/// What no node has that the pod could choose; what only nodes have whose taints it does not tolerate, `open` being the
/// others; what no node has at once.
pub(super) fn large_enough(
    spec: &Value,
    pool: &Pool<'_>,
    open: &[&Node],
    tolerations: &Tolerations<'_>,
    concerns: &mut Vec<Found>,
) {
    let requests = Requests::of(spec);
    let mut within: Vec<&String> = Vec::new();
    let has = |node: &Node, resource: &String| {
        let wanted = requests.sum.get(resource).copied().unwrap_or(Quantity::ZERO);
        node.allocatable(resource) >= wanted
    };
    for (resource, wanted) in &requests.sum {
        if pool.nodes.iter().any(|node| has(node, resource)) {
            within.push(resource);
            continue;
        }
        let largest = pool.nodes.iter().max_by_key(|node| node.allocatable(resource));
        let offered = largest
            .filter(|node| node.allocatable(resource) > Quantity::ZERO)
            .and_then(|node| node.allocatable.get(resource));
        let wanted = quantity_text(resource, *wanted);
        let which = pool.which();
        let message = match (offered, pool.nodes.len()) {
            (None, _) => format!("the pod requests {resource}: {wanted}, of which {which} offers none"),
            (Some(offered), 1) => format!("the pod requests {resource}: {wanted}; {which} has {offered}"),
            (Some(offered), _) => {
                format!(
                    "the pod requests {resource}: {wanted}, more than {which} has; the largest has {offered}"
                )
            }
        };
        concerns.push(Found {
            message,
            paths: requests.paths(resource),
        });
    }
    let fits = |node: &&&Node| within.iter().all(|resource| has(node, resource));
    if open.iter().any(|node| fits(&node)) {
        return;
    }
    let mut asked: Vec<&String> = within
        .iter()
        .copied()
        .filter(|resource| !open.iter().any(|node| has(node, resource)))
        .collect();
    let at_once = if asked.is_empty() { " at once" } else { "" };
    let tainted: Vec<&Node> = pool.nodes.iter().filter(fits).copied().collect();
    if asked.is_empty() || tainted.is_empty() {
        asked = within;
    }
    let texts = asked.iter().map(|resource| {
        let sum = requests.sum.get(*resource).copied().unwrap_or(Quantity::ZERO);
        format!("{resource}: {}", quantity_text(resource, sum))
    });
    let texts = texts.collect::<Vec<_>>().join(", ");
    let that = if pool.is_all() { "" } else { " that it selects" };
    let message = match &*tainted {
        [] => format!("no node{that} has all that the pod requests at once: {texts}"),
        nodes => {
            let (s, have, its) = match nodes {
                [_] => ("", "has", "its"),
                _ => ("s", "have", "their"),
            };
            let taints = tolerations.texts(nodes);
            let taint = if taints.len() == 1 { "taint" } else { "taints" };
            format!(
                "the pod requests {texts}, which{of} only node{s} {} {have}{at_once}, and does not tolerate {its} {taint} {}",
                some_of(nodes.iter().map(|node| node.name.clone()).collect()),
                some_of(taints),
                of = if pool.is_all() {
                    ""
                } else {
                    " of the nodes that it selects"
                },
            )
        }
    };
    concerns.push(Found {
        message,
        paths: asked
            .iter()
            .flat_map(|resource| requests.paths(resource))
            .collect(),
    });
}

/// A sum as a quantity.
fn quantity_text(resource: &str, quantity: Quantity) -> String {
    const NANO: i128 = 1_000_000_000;
    let nano = quantity.nano();
    if nano % NANO != 0 {
        return if nano % (NANO / 1000) == 0 {
            format!("{}m", nano / (NANO / 1000))
        } else {
            format!("{nano}n")
        };
    }
    let mut units = nano / NANO;
    let bytes = ["memory", "ephemeral-storage"].contains(&resource) || resource.starts_with("hugepages-");
    let mut suffix = "";
    for larger in ["Ki", "Mi", "Gi", "Ti", "Pi"].iter().filter(|_| bytes) {
        if units == 0 || units % 1024 != 0 {
            break;
        }
        units /= 1024;
        suffix = larger;
    }
    format!("{units}{suffix}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline::provenance::field_path;

    #[test]
    fn init_containers_count_with_their_largest_moment_and_sidecars_always() {
        let asks = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        let stays = |cpu: &str| json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}});
        for (containers, init, overhead, sum) in [
            (vec![asks("1"), asks("500m")], vec![], None, "1500m"),
            (vec![asks("1")], vec![asks("3"), asks("2")], None, "3"),
            (vec![asks("1")], vec![stays("2")], None, "3"),
            // The second one runs beside the sidecar before it, and not beside the one behind it.
            (
                vec![asks("1")],
                vec![stays("2"), asks("4"), stays("1")],
                None,
                "6",
            ),
            (vec![asks("1")], vec![asks("3")], Some("250m"), "3250m"),
        ] {
            let mut spec = json!({"containers": containers, "initContainers": init});
            if let Some(overhead) = overhead {
                spec["overhead"] = json!({"cpu": overhead});
            }
            let requests = Requests::of(&spec);
            assert_eq!(quantity_text("cpu", requests.sum["cpu"]), sum, "{spec}");
        }
    }

    #[test]
    fn a_limit_without_a_request_is_the_request_and_the_pods_own_request_stands_for_all() {
        let spec = json!({"containers": [{"resources": {"limits": {"nvidia.com/gpu": 2, "cpu": "1"},
                                                        "requests": {"cpu": "20m"}}}],
                          "resources": {"requests": {"cpu": "3"}}});
        let requests = Requests::of(&spec);
        assert_eq!(
            quantity_text("nvidia.com/gpu", requests.sum["nvidia.com/gpu"]),
            "2"
        );
        assert_eq!(quantity_text("cpu", requests.sum["cpu"]), "3");
        assert_eq!(
            field_path(&requests.paths("cpu")[0]),
            "spec.resources.requests.cpu"
        );
    }
}
