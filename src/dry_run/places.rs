//! Where in the pod a fault stands: a first guess at the guilty, to be proved by asking.

use serde_json::Value;

use crate::{
    check::Severity,
    check::pod::{PodFinding, quantity_equal, quantity_is_above},
    json_patch::PathPart,
};

use super::{
    fault::{Fault, Kind, Range},
    path::{Path, get, names, resolve},
};

/// A place that may be at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Where the value stands, or would stand.
    pub path: Path,
    /// Places that take part: of a collision the earlier one, of a request its limit.
    pub others: Vec<Path>,
}

impl From<Path> for Place {
    fn from(path: Path) -> Self {
        Self {
            path,
            others: Vec::new(),
        }
    }
}

/// The places that a fault may mean in this pod; `findings` is what the offline rules say of it.
pub(crate) fn places(fault: &Fault, pod: &Value, findings: &[PodFinding]) -> Vec<Place> {
    match &fault.kind {
        Kind::Field | Kind::Namespace => of_field(fault, pod, findings),
        Kind::Unknown => fault
            .field
            .iter()
            .flat_map(|field| resolve(field, pod))
            .map(Place::from)
            .collect(),
        Kind::WrongType { names, found } => wrong_type(names, found, pod, findings),
        Kind::Quantity => of_rules(findings, &["pod-quantity"]),
        Kind::Undecodable if fault.message.contains("parsing time") => {
            let mut times: Vec<Place> = errors(findings)
                .filter(|found| found.finding.message.contains("is no time"))
                .map(place_of)
                .collect();
            times.sort_by(|a, b| a.path.cmp(&b.path));
            times
        }
        Kind::Undecodable => of_rules(findings, &["pod-wrong-type", "pod-quantity", "pod-kind"]),
        Kind::ServiceAccount => first_that_is_there(pod, &["spec.serviceAccountName", "spec.serviceAccount"]),
        Kind::RuntimeClass => first_that_is_there(pod, &["spec.runtimeClassName"])
            .into_iter()
            .chain(first_that_is_there(pod, &["spec.overhead"]))
            .collect(),
        Kind::Priority => fault
            .field
            .iter()
            .flat_map(|field| resolve(field, pod))
            .map(Place::from)
            .collect(),
        Kind::LimitRange(range) => of_limit_range(range, pod),
        Kind::Quota { resources } => resources
            .iter()
            .filter(|(_, requested, limited)| limited.is_empty() || quantity_is_above(requested, limited))
            .flat_map(|(resource, ..)| of_resource(resource, pod))
            .collect(),
        Kind::QuotaNeeds {
            resources,
            containers,
        } => {
            let mut places = Vec::new();
            for resource in resources {
                let (list, resource) = resource.split_once('.').unwrap_or(("requests", resource));
                for container in all_containers(pod) {
                    let name = get(pod, &container).and_then(|value| value.get("name"));
                    let meant = name
                        .and_then(Value::as_str)
                        .is_some_and(|name| containers.iter().any(|other| other == name));
                    let path = below(&container, &["resources", list, resource]);
                    if (meant || containers.is_empty()) && get(pod, &path).is_none() {
                        places.push(path.into());
                    }
                }
            }
            places
        }
        Kind::PodSecurity => of_pod_security(fault.violation.as_deref().unwrap_or(&fault.message), pod),
        Kind::Policy | Kind::Other => Vec::new(),
    }
}

/// `["a", "b"]` below a path.
pub(super) fn below(path: &[PathPart], names: &[&str]) -> Path {
    let names = names.iter().map(|name| PathPart::Name((*name).into()));
    path.iter().cloned().chain(names).collect()
}

fn of_rules(findings: &[PodFinding], rules: &[&str]) -> Vec<Place> {
    let mut places: Vec<Place> = errors(findings)
        .filter(|found| rules.contains(&found.finding.rule))
        .map(place_of)
        .collect();
    // The decoder stops at the first in the order of the request, whose names are sorted.
    places.sort_by(|a, b| a.path.cmp(&b.path));
    places
}

fn errors(findings: &[PodFinding]) -> impl Iterator<Item = &PodFinding> {
    findings
        .iter()
        .filter(|found| found.finding.severity == Severity::Error)
}

fn place_of(found: &PodFinding) -> Place {
    Place {
        path: found.path.clone(),
        others: found.others.clone(),
    }
}

fn of_field(fault: &Fault, pod: &Value, findings: &[PodFinding]) -> Vec<Place> {
    let Some(field) = &fault.field else {
        return Vec::new();
    };
    let named: Vec<&PodFinding> = errors(findings).filter(|found| found.field == *field).collect();
    let quoted = quoted(&fault.message);
    let with_value: Vec<&PodFinding> = named
        .iter()
        .copied()
        .filter(|found| {
            quoted
                .as_deref()
                .is_some_and(|text| shows(pod, &found.path, text))
        })
        .collect();
    let chosen = if with_value.is_empty() { named } else { with_value };
    let mut places: Vec<Place> = chosen.into_iter().map(place_of).collect();
    if places.is_empty()
        && let Some((_, resource)) = fault.message.split_once("must be less than or equal to ")
    {
        // One of the two is not in the request: a LimitRange's default.
        let resource = resource.split(' ').next().unwrap_or_default();
        for path in resolve(field, pod) {
            if let Some((PathPart::Name(list), up)) = path.split_last()
                && **list == *"requests"
            {
                places.push(Place {
                    path: below(up, &["requests", resource]),
                    others: vec![below(up, &["limits", resource])],
                });
            }
        }
    }
    if places.is_empty() {
        places = resolve(field, pod)
            .into_iter()
            .flat_map(|path| narrowed(pod, path, quoted.as_deref()))
            .map(|path| limit_of_request(pod, &path).unwrap_or(path))
            .map(Place::from)
            .collect();
    }
    if fault.is_collision() {
        for place in &mut places {
            if place.others.is_empty() {
                place.others.extend(earlier_equal(pod, &place.path));
            }
        }
    }
    places
}

/// The value or key that a message quotes first: `Invalid value: "x": must …`.
fn quoted(message: &str) -> Option<String> {
    let (_, rest) = message
        .split_once("value: ")
        .or_else(|| message.split_once("Not found: "))?;
    let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
    match stream.next()?.ok()? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Whether a place, or the key that leads to it, shows this text.
fn shows(pod: &Value, path: &[PathPart], text: &str) -> bool {
    let key = matches!(path.last(), Some(PathPart::Name(name)) if **name == *text);
    key || get(pod, path).is_some_and(|value| is_text(value, text))
}

fn is_text(value: &Value, text: &str) -> bool {
    match value {
        Value::String(value) => value == text,
        Value::Number(number) => number.to_string() == text,
        _ => false,
    }
}

/// Where the server names a map or list as a whole: the members in it that show the quoted text.
fn narrowed(pod: &Value, path: Path, quoted: Option<&str>) -> Vec<Path> {
    let (Some(text), Some(value)) = (quoted, get(pod, &path)) else {
        return vec![path];
    };
    let inside: Vec<Path> = match value {
        Value::Object(map) => map
            .iter()
            .filter(|(name, value)| *name == text || is_text(value, text))
            .map(|(name, _)| below(&path, &[name]))
            .collect(),
        Value::Array(list) => {
            let elements = list.iter().enumerate();
            elements
                .filter(|(_, element)| is_text(element, text))
                .map(|(index, _)| {
                    let mut path = path.clone();
                    path.push(PathPart::Index(index));
                    path
                })
                .collect()
        }
        _ => Vec::new(),
    };
    if inside.is_empty() { vec![path] } else { inside }
}

/// Where a request is missing, the server takes the limit.
fn limit_of_request(pod: &Value, path: &[PathPart]) -> Option<Path> {
    let at = path
        .iter()
        .position(|part| *part == PathPart::Name("requests".into()))?;
    let mut limit = path.to_vec();
    *limit.get_mut(at)? = PathPart::Name("limits".into());
    (get(pod, path).is_none() && get(pod, &limit).is_some()).then_some(limit)
}

/// The same field of an earlier element of the list that has the same value.
fn earlier_equal(pod: &Value, path: &[PathPart]) -> Option<Path> {
    let at = path.iter().rposition(|part| matches!(part, PathPart::Index(_)))?;
    let PathPart::Index(index) = path.get(at)? else {
        return None;
    };
    let value = get(pod, path)?;
    (0..*index).find_map(|earlier| {
        let mut other = path.to_vec();
        *other.get_mut(at)? = PathPart::Index(earlier);
        (get(pod, &other) == Some(value)).then_some(other)
    })
}

fn wrong_type(wanted: &[String], found: &str, pod: &Value, findings: &[PodFinding]) -> Vec<Place> {
    let starts = |path: &[PathPart]| {
        let names = names(path);
        wanted.len() <= names.len() && wanted.iter().zip(&names).all(|(wanted, name)| wanted == name)
    };
    let mut places: Vec<Place> = of_rules(findings, &["pod-wrong-type", "pod-quantity"]);
    places.retain(|place| starts(&place.path));
    let kinds: Vec<Place> = places
        .iter()
        .filter(|place| get(pod, &place.path).is_some_and(|value| is_kind(value, found)))
        .cloned()
        .collect();
    if !kinds.is_empty() {
        return kinds;
    }
    if places.is_empty() {
        places = resolve(&wanted.join("."), pod)
            .into_iter()
            .filter(|path| get(pod, path).is_some_and(|value| is_kind(value, found)))
            .map(Place::from)
            .collect();
    }
    places
}

fn is_kind(value: &Value, kind: &str) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) => kind == "bool",
        Value::Number(_) => kind == "number",
        Value::String(_) => kind == "string",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
    }
}

fn first_that_is_there(pod: &Value, fields: &[&str]) -> Vec<Place> {
    let all: Vec<Path> = fields.iter().flat_map(|field| resolve(field, pod)).collect();
    let there = all.iter().find(|path| get(pod, path).is_some());
    there
        .or(all.first())
        .cloned()
        .map(Place::from)
        .into_iter()
        .collect()
}

/// The containers of all kinds.
fn all_containers(pod: &Value) -> Vec<Path> {
    ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| {
            let path = below(&[], &["spec", list]);
            let count = get(pod, &path).and_then(Value::as_array).map_or(0, Vec::len);
            (0..count).map(move |index| {
                let mut path = path.clone();
                path.push(PathPart::Index(index));
                path
            })
        })
        .collect()
}

fn of_limit_range(range: &Range, pod: &Value) -> Vec<Place> {
    let at = |container: &Path, list: &str| below(container, &["resources", list, &range.resource]);
    let containers = all_containers(pod);
    if range.of_pod || range.ratio {
        let lists: &[&str] = if range.ratio {
            &["limits", "requests"]
        } else {
            &[range.list]
        };
        return containers
            .iter()
            .flat_map(|container| lists.iter().map(|list| at(container, list)))
            .filter(|path| get(pod, path).is_some())
            .map(Place::from)
            .collect();
    }
    let all: Vec<Path> = containers
        .iter()
        .map(|container| at(container, range.list))
        .collect();
    let given: Vec<Place> = all
        .iter()
        .filter(|path| match get(pod, path) {
            Some(value) => quantity_equal(&text_of(value), &range.given),
            None => range.given.is_empty(),
        })
        .cloned()
        .map(Place::from)
        .collect();
    // Without a request the limit is the request.
    if given.is_empty() && range.list == "requests" {
        let limits = Range {
            list: "limits",
            ..range.clone()
        };
        return of_limit_range(&limits, pod);
    }
    given
}

/// A quantity as text.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `limits.memory`, `requests.cpu`, `cpu`, `requests.nvidia.com/gpu`, `count/pods`, `pods`.
fn of_resource(resource: &str, pod: &Value) -> Vec<Place> {
    let (lists, name): (&[&str], &str) = match resource.split_once('.') {
        Some(("limits", name)) => (&["limits"], name),
        Some(("requests", name)) => (&["requests", "limits"], name),
        _ => (&["requests", "limits"], resource),
    };
    let containers = all_containers(pod);
    for list in lists {
        let found: Vec<Place> = containers
            .iter()
            .map(|container| below(container, &["resources", list, name]))
            .filter(|path| get(pod, path).is_some())
            .map(Place::from)
            .collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// `…, privileged (container "x" must not set securityContext.privileged=true), …`
fn of_pod_security(message: &str, pod: &Value) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let mut add = |path: Path| {
        let place = Place::from(path);
        if !places.contains(&place) {
            places.push(place);
        }
    };
    for host in ["hostNetwork", "hostPID", "hostIPC"] {
        if message.contains(&format!("{host}=true")) {
            add(below(&[], &["spec", host]));
        }
    }
    for group in message.split('(').skip(1) {
        let group = group.split(')').next().unwrap_or_default();
        let named: Vec<&str> = group.split('"').skip(1).step_by(2).collect();
        let field = group
            .split_whitespace()
            .find_map(|word| word.strip_prefix("securityContext."))
            .map(|field| field.split(['=', '[', ' ', ',']).next().unwrap_or_default());
        if group.contains("volume") {
            for (index, volume) in list_at(pod, &["spec", "volumes"]).iter().enumerate() {
                if volume
                    .get("name")
                    .and_then(Value::as_str)
                    .is_some_and(|name| named.contains(&name))
                {
                    let mut path = below(&[], &["spec", "volumes"]);
                    path.push(PathPart::Index(index));
                    let source = volume
                        .as_object()
                        .and_then(|map| map.keys().find(|key| *key != "name"));
                    add(match source {
                        Some(source) => below(&path, &[source]),
                        None => path,
                    });
                }
            }
            continue;
        }
        for container in all_containers(pod) {
            let value = get(pod, &container);
            let name = value.and_then(|value| value.get("name")).and_then(Value::as_str);
            if !name.is_some_and(|name| named.contains(&name)) {
                continue;
            }
            if group.contains("hostPort") {
                let ports = list_at(value.unwrap_or(&Value::Null), &["ports"]);
                for (index, port) in ports.iter().enumerate() {
                    if port.get("hostPort").is_some() {
                        let mut path = below(&container, &["ports"]);
                        path.push(PathPart::Index(index));
                        add(below(&path, &["hostPort"]));
                    }
                }
            } else if let Some(field) = field {
                let names: Vec<&str> = std::iter::once("securityContext")
                    .chain(field.split('.'))
                    .collect();
                add(below(&container, &names));
            } else if let Some((setting, _)) = group.rsplit(' ').next().unwrap_or_default().split_once('=') {
                add(below(&container, &["securityContext", setting]));
            }
        }
        if group.starts_with("pod ")
            && let Some(field) = field
        {
            let names: Vec<&str> = ["spec", "securityContext"]
                .into_iter()
                .chain(field.split('.'))
                .collect();
            add(below(&[], &names));
        }
    }
    places
}

fn list_at<'v>(value: &'v Value, names: &[&str]) -> &'v [Value] {
    get(value, &below(&[], names))
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
