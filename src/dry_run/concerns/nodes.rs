//! Whether any node could hold a pod: the scheduler's filters that look at nothing but the pod and the node.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::{check::pod::quantity::Quantity, json_patch::PathPart, output::escape};

use super::name;

/// Of how many nodes, labels or taints a message names each.
const NAMED: usize = 3;

/// What of a node decides whether it could hold a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    name: String,
    labels: BTreeMap<String, String>,
    taints: Vec<Taint>,
    /// Resource → quantity as the node writes it.
    allocatable: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Taint {
    key: String,
    value: String,
    effect: String,
}

impl Node {
    /// Reads a Node as the API server gives it. That it is cordoned is a taint, as the scheduler sees it.
    pub fn from_json(node: &Value) -> Self {
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

    fn allocatable(&self, resource: &str) -> Quantity {
        self.allocatable
            .get(resource)
            .and_then(|text| Quantity::parse(text))
            .unwrap_or(Quantity::ZERO)
    }
}

impl Taint {
    fn text(&self) -> String {
        let value = if self.value.is_empty() {
            String::new()
        } else {
            format!("={}", self.value)
        };
        format!("{}{value}:{}", self.key, self.effect)
    }
}

/// Why no node could hold a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeConcern {
    /// A sentence.
    pub message: String,
    /// The places of the pod that are at fault, the one to name first; none if it is the cluster's.
    pub paths: Vec<Vec<PathPart>>,
}

/// What keeps a pod from every node: each of the scheduler's filters is asked of the nodes that the ones before
/// left over, and of all nodes where they left none, so that one look tells all.
pub fn node_concerns(pod: &Value, nodes: &[Node]) -> Vec<NodeConcern> {
    let null = Value::Null;
    let spec = pod.get("spec").unwrap_or(&null);
    if nodes.is_empty() {
        return vec![NodeConcern {
            message: "the cluster has no node".to_owned(),
            paths: Vec::new(),
        }];
    }
    let mut concerns = Vec::new();
    let mut pool: Vec<&Node> = nodes.iter().collect();
    let node_name = spec
        .get("nodeName")
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty());
    let mut chosen_by: Vec<Vec<PathPart>> = Vec::new();
    if let Some(wanted) = node_name {
        let path = vec![name("spec"), name("nodeName")];
        pool.retain(|node| node.name == wanted);
        if pool.is_empty() {
            return vec![NodeConcern {
                message: format!("the cluster has no node {wanted:?}"),
                paths: vec![path],
            }];
        }
        chosen_by.push(path);
    }
    selected(spec, &mut pool, &mut chosen_by, &mut concerns);
    tolerated(
        spec,
        &mut pool,
        &chosen_by,
        nodes.len(),
        node_name.is_some(),
        &mut concerns,
    );
    large_enough(spec, &pool, nodes.len(), &mut concerns);
    concerns
}

/// `the node` or `each of the 3 nodes`, with what made the choice.
fn which(pool: usize, all: usize) -> String {
    match (pool, pool == all) {
        (1, true) => "the only node".to_owned(),
        (1, false) => "the only node that it selects".to_owned(),
        (count, true) => format!("each of the {count} nodes"),
        (count, false) => format!("each of the {count} nodes that it selects"),
    }
}

fn object<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    value
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn selected(
    spec: &Value,
    pool: &mut Vec<&Node>,
    chosen_by: &mut Vec<Vec<PathPart>>,
    concerns: &mut Vec<NodeConcern>,
) {
    let before = concerns.len();
    let carries = |node: &Node, key: &str, value: &Value| {
        let value = value.as_str().unwrap_or_default();
        node.labels.get(key).is_some_and(|label| label == value)
    };
    let path_of = |key: &str| vec![name("spec"), name("nodeSelector"), name(key)];
    let pairs: Vec<(&String, &Value)> = object(spec, "/nodeSelector").collect();
    for (key, value) in &pairs {
        if !pool.iter().any(|node| carries(node, key, value)) {
            let others: BTreeSet<&str> = pool
                .iter()
                .filter_map(|node| node.labels.get(*key))
                .map(String::as_str)
                .collect();
            concerns.push(NodeConcern {
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
        .iter()
        .copied()
        .filter(|node| pairs.iter().all(|(key, value)| carries(node, key, value)))
        .collect();
    if by_selector.is_empty() && concerns.len() == before {
        let labels: Vec<String> = pairs
            .iter()
            .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
            .collect();
        concerns.push(NodeConcern {
            message: format!("no node carries all these labels: {}", labels.join(", ")),
            paths: pairs.iter().map(|(key, _)| path_of(key)).collect(),
        });
    }
    let narrowing = pairs
        .iter()
        .filter(|(key, value)| !pool.iter().all(|node| carries(node, key, value)))
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
        .iter()
        .copied()
        .filter(|node| terms.is_empty() || terms.iter().any(|term| term_matches(term, node)))
        .collect();
    if by_affinity.is_empty() {
        concerns.push(NodeConcern {
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
        concerns.push(NodeConcern {
            message: "no node meets both the node selector and the required node affinity".to_owned(),
            paths,
        });
    }
    if !both.is_empty() {
        chosen_by.extend(narrowing);
        if by_affinity.len() < pool.len() {
            chosen_by.push(affinity_path());
        }
        *pool = both;
    }
}

/// Texts in a message, the first few of them.
fn some_of(texts: Vec<String>) -> String {
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

fn tolerated(
    spec: &Value,
    pool: &mut Vec<&Node>,
    chosen_by: &[Vec<PathPart>],
    all: usize,
    is_assigned: bool,
    concerns: &mut Vec<NodeConcern>,
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
        concerns.push(NodeConcern {
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

fn large_enough(spec: &Value, pool: &[&Node], all: usize, concerns: &mut Vec<NodeConcern>) {
    let requests = Requests::of(spec);
    let before = concerns.len();
    for (resource, wanted) in &requests.sum {
        if pool.iter().any(|node| node.allocatable(resource) >= *wanted) {
            continue;
        }
        let largest = pool.iter().max_by_key(|node| node.allocatable(resource));
        let offered = largest
            .filter(|node| node.allocatable(resource) > Quantity::ZERO)
            .and_then(|node| node.allocatable.get(resource));
        let wanted = quantity_text(resource, *wanted);
        let which = which(pool.len(), all);
        let message = match (offered, pool.len()) {
            (None, _) => format!("the pod requests {resource}: {wanted}, of which {which} offers none"),
            (Some(offered), 1) => format!("the pod requests {resource}: {wanted}; {which} has {offered}"),
            (Some(offered), _) => {
                format!(
                    "the pod requests {resource}: {wanted}, more than {which} has; the largest has {offered}"
                )
            }
        };
        concerns.push(NodeConcern {
            message,
            paths: requests.paths(resource),
        });
    }
    let fits = |node: &&Node| {
        requests
            .sum
            .iter()
            .all(|(resource, wanted)| node.allocatable(resource) >= *wanted)
    };
    if concerns.len() == before && !pool.iter().any(fits) {
        let texts: Vec<String> = requests
            .sum
            .iter()
            .map(|(resource, wanted)| format!("{resource}: {}", quantity_text(resource, *wanted)))
            .collect();
        concerns.push(NodeConcern {
            message: format!(
                "no node has all that the pod requests at once: {}",
                texts.join(", ")
            ),
            paths: requests
                .sum
                .keys()
                .flat_map(|resource| requests.paths(resource))
                .collect(),
        });
    }
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

    #[test]
    fn requirements_are_those_of_kubernetes() {
        let own = node("n", &json!({"zone": "a", "cores": "16"}), &json!([]), &json!({}));
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
