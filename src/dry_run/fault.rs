//! The API server's refusal as single faults, each with what is known of its kind.
//!
//! What the server checks, in its order: decoding, mutating admission (ServiceAccount, Priority, RuntimeClass),
//! validation with all field errors at once, LimitRange, PodSecurity, policies and webhooks, ResourceQuota, and
//! whether the pod exists. Each layer hides the next.

use crate::cluster::Status;

use super::path::without_indices;

/// The layer of the API server that refused, as reports name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// The request is no pod.
    Decode,
    /// An admission plugin that knows pods: ServiceAccount, Priority, RuntimeClass, LimitRange, ResourceQuota.
    Admission,
    /// A field has no valid value.
    Validation,
    /// PodSecurity, a ValidatingAdmissionPolicy or a webhook.
    Policy,
}

impl Layer {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Admission => "admission",
            Self::Validation => "validation",
            Self::Policy => "policy",
        }
    }
}

/// What kind of fault it is, with what its message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A field that no pod has; its path.
    Unknown,
    /// A value of a wrong type: the path of names in Go's structs (`spec.containers.env.value`), and the type it has.
    WrongType {
        /// Names, without the struct in front.
        names: Vec<String>,
        /// `number`, `string`, `bool`, `object`, `array`; `number 1.5` counts as `number`.
        found: String,
    },
    /// A text that is no quantity.
    Quantity,
    /// Anything else that could not be decoded.
    Undecodable,
    /// The pod's namespace is another one.
    Namespace,
    /// The service account is missing.
    ServiceAccount,
    /// The priority class is missing, or the priority is not the class's.
    Priority,
    /// The runtime class is missing, or the pod contradicts it.
    RuntimeClass,
    /// A field without a valid value.
    Field,
    /// A LimitRange is broken.
    LimitRange(Range),
    /// A Pod Security Standard is broken.
    PodSecurity,
    /// A ValidatingAdmissionPolicy or a webhook denied.
    Policy,
    /// A ResourceQuota is used up, or would be.
    Quota {
        /// The resources that are too much: name, requested, limited.
        resources: Vec<(String, String, String)>,
    },
    /// A ResourceQuota asks for something that the pod does not say: resources, containers.
    QuotaNeeds {
        /// `limits.memory`
        resources: Vec<String>,
        /// Names.
        containers: Vec<String>,
    },
    /// None of these.
    Other,
}

/// What a LimitRange says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// `memory`
    pub resource: String,
    /// `limits` or `requests`.
    pub list: &'static str,
    /// Whether it is of the pod as a whole.
    pub of_pod: bool,
    /// The bound, a quantity.
    pub bound: String,
    /// What the pod has; empty if it has nothing.
    pub given: String,
    /// Whether the bound is a maximum.
    pub maximum: bool,
    /// Whether the ratio of limit to request is meant.
    pub ratio: bool,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its layer, for reports.
    pub layer: Layer,
    /// Where it stands in the server's order; a fault of a larger rank may be hidden behind it.
    pub rank: u32,
    /// HTTP status code.
    pub code: u16,
    /// The server's `reason`.
    pub reason: String,
    /// The server's words.
    pub message: String,
    /// The field that the server names.
    pub field: Option<String>,
    /// Its kind.
    pub kind: Kind,
    /// The same for the same fault of another pod or at another index.
    pub key: String,
    /// Which policy denies. All that one policy says is one problem, although each violation has its own authors.
    pub policy: Option<String>,
    /// The one violation of the policy that this is.
    pub violation: Option<String>,
}

impl Fault {
    /// Whether two places have what only one may have.
    pub fn is_collision(&self) -> bool {
        self.message.starts_with("Duplicate value") || self.message.ends_with("must be unique")
    }
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The pod is at fault.
    Faults(Vec<Fault>),
    /// A pod of this name is there already, so that all else is passed.
    Exists,
    /// The server could not be asked: rights, a missing namespace, a webhook that fails.
    Unasked,
}

/// Reads a refusal.
pub fn read(status: &Status) -> Refusal {
    let message = status.message.as_str();
    match status.code {
        409 if status.reason == "AlreadyExists" => return Refusal::Exists,
        401 | 404 | 408 | 409 | 429 => return Refusal::Unasked,
        code if !(400..500).contains(&code) => return Refusal::Unasked,
        // A refusal of a pod names it; without rights no pod was looked at.
        403 if message.starts_with("pods is forbidden: ")
            || message.contains("because it is being terminated") =>
        {
            return Refusal::Unasked;
        }
        _ if message.contains("does not support dry run") || message.contains("failed calling webhook") => {
            return Refusal::Unasked;
        }
        _ => {}
    }
    Refusal::Faults(match status.code {
        400 if !message.contains("denied the request") => decoding(status),
        422 => validation(status),
        _ => forbidden(status),
    })
}

fn fault(status: &Status, layer: Layer, rank: u32, kind: Kind) -> Fault {
    Fault {
        layer,
        rank,
        code: status.code,
        reason: status.reason.clone(),
        message: status.message.clone(),
        field: None,
        kind,
        key: status.message.clone(),
        policy: None,
        violation: None,
    }
}

/// A policy's denial. Its reasons may differ from pod to pod.
fn denial(status: &Status, policy: &str, key: &str, message: &str) -> Fault {
    Fault {
        message: message.to_owned(),
        key: key.to_owned(),
        policy: Some(policy.to_owned()),
        ..fault(status, Layer::Policy, 50, Kind::Policy)
    }
}

fn decoding(status: &Status) -> Vec<Fault> {
    let message = &status.message;
    if message.contains("does not match the namespace sent on the request") {
        return vec![Fault {
            field: Some("metadata.namespace".to_owned()),
            ..fault(status, Layer::Decode, 2, Kind::Namespace)
        }];
    }
    if let Some((_, strict)) = message.split_once("strict decoding error: ") {
        let faults: Vec<Fault> = strict_errors(strict)
            .into_iter()
            .map(|text| {
                let field = text.split('"').nth(1).map(str::to_owned);
                let key = match &field {
                    Some(field) => format!("unknown field {}", without_indices(field)),
                    None => text.clone(),
                };
                Fault {
                    message: text,
                    field,
                    key,
                    ..fault(status, Layer::Decode, 1, Kind::Unknown)
                }
            })
            .collect();
        if !faults.is_empty() {
            return faults;
        }
    }
    let kind = if let Some((_, wrong)) = message.split_once("json: cannot unmarshal ") {
        let found = wrong.split(' ').next().unwrap_or_default().to_owned();
        let names = wrong
            .split_once("Go struct field ")
            .and_then(|(_, field)| field.split(' ').next())
            .map(|field| field.split('.').skip(1).map(str::to_owned).collect())
            .unwrap_or_default();
        Kind::WrongType { names, found }
    } else if message.contains("quantit") {
        Kind::Quantity
    } else {
        Kind::Undecodable
    };
    vec![fault(status, Layer::Decode, 0, kind)]
}

/// `unknown field "a", unknown field "b"`: names may hold commas, so the quotes count.
fn strict_errors(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('"') {
        let (lead, quoted) = rest.split_at(start);
        let quoted = &quoted[1..];
        let Some(end) = quoted.find('"') else { break };
        let (name, after) = quoted.split_at(end);
        errors.push(format!("{}{name:?}", lead.trim_start_matches(", ")));
        rest = &after[1..];
    }
    errors
}

fn validation(status: &Status) -> Vec<Fault> {
    let causes = status
        .details
        .as_ref()
        .map_or(&[][..], |details| details.causes.as_slice());
    let mut faults: Vec<Fault> = causes
        .iter()
        .map(|cause| {
            let policy = cause.field.is_empty() && cause.message.contains("ValidatingAdmissionPolicy");
            if policy {
                return denial(status, policy_of(&cause.message), &cause.message, &cause.message);
            }
            Fault {
                message: cause.message.clone(),
                field: Some(cause.field.clone()).filter(|field| !field.is_empty()),
                key: format!("{} {}", without_indices(&cause.field), cause.message),
                ..fault(status, Layer::Validation, 20, Kind::Field)
            }
        })
        .collect();
    // The server repeats itself where two checks find the same.
    let mut seen = Vec::new();
    faults.retain(|fault| {
        let new = !seen.contains(fault);
        seen.push(fault.clone());
        new
    });
    if faults.is_empty() {
        faults = forbidden(status);
    }
    faults
}

/// The policy and its binding.
fn policy_of(message: &str) -> &str {
    message.split(" denied request").next().unwrap_or(message)
}

fn forbidden(status: &Status) -> Vec<Fault> {
    let message = &status.message;
    // `pods "NAME" is forbidden: WHY`
    let why = message
        .split_once(" is forbidden: ")
        .map_or(&**message, |(_, why)| why);
    let admission = |rank, kind, field: Option<&str>| {
        vec![Fault {
            field: field.map(str::to_owned),
            key: why.to_owned(),
            ..fault(status, Layer::Admission, rank, kind)
        }]
    };
    if message.contains("ValidatingAdmissionPolicy ") {
        return vec![denial(status, policy_of(why), why, message)];
    }
    if let Some((webhook, _)) = message.split_once(" denied the request") {
        return vec![denial(status, webhook, message, message)];
    }
    if let Some((_, violated)) = why.split_once("violates PodSecurity ") {
        let (standard, violations) = violated.split_once(": ").unwrap_or((violated, ""));
        return pod_security(violations)
            .into_iter()
            .map(|violation| Fault {
                key: format!("PodSecurity {standard} {violation}"),
                policy: Some(format!("PodSecurity {standard}")),
                violation: Some(violation),
                ..fault(status, Layer::Policy, 40, Kind::PodSecurity)
            })
            .collect();
    }
    if why.starts_with("error looking up service account") || why.contains("serviceaccount") {
        return admission(10, Kind::ServiceAccount, None);
    }
    if why.starts_with("no PriorityClass") {
        return admission(11, Kind::Priority, Some("spec.priorityClassName"));
    }
    if why.contains("must not be provided in pod spec; priority admission controller") {
        let field = if why.contains("PreemptionPolicy") || why.contains("string value of Pre") {
            "spec.preemptionPolicy"
        } else {
            "spec.priority"
        };
        return admission(11, Kind::Priority, Some(field));
    }
    if why.contains("RuntimeClass") || why.starts_with("pod rejected: ") {
        return admission(12, Kind::RuntimeClass, None);
    }
    if let Some((_, exceeded)) = why.split_once("exceeded quota: ") {
        let name = exceeded.split(',').next().unwrap_or_default();
        let resources = exceeded_resources(exceeded);
        return vec![Fault {
            key: format!("exceeded quota {name}"),
            ..fault(status, Layer::Admission, 60, Kind::Quota { resources })
        }];
    }
    if let Some((_, needs)) = why.split_once("must specify ") {
        let mut resources = Vec::new();
        let mut containers = Vec::new();
        // `limits.cpu for: a,b; limits.memory for: a`
        for piece in needs.split("; ") {
            let (resource, names) = piece.split_once(" for: ").unwrap_or((piece, ""));
            resources.extend(resource.split(',').map(|text| text.trim().to_owned()));
            containers.extend(
                names
                    .split(',')
                    .filter(|name| !name.is_empty())
                    .map(|name| name.trim().to_owned()),
            );
        }
        return admission(
            60,
            Kind::QuotaNeeds {
                resources,
                containers,
            },
            None,
        );
    }
    let items: Vec<&str> = match why.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
        Some(list) => range_items(list),
        None => vec![why],
    };
    let ranges: Option<Vec<Range>> = items.iter().map(|item| limit_range(item)).collect();
    if let Some(ranges) = ranges {
        let many = items.len() > 1;
        return items
            .iter()
            .zip(ranges)
            .map(|(item, range)| Fault {
                message: if many { (*item).to_owned() } else { message.clone() },
                key: (*item).to_owned(),
                ..fault(status, Layer::Admission, 30, Kind::LimitRange(range))
            })
            .collect();
    }
    admission(15, Kind::Other, None)
}

/// The violations of a Pod Security Standard, each of one container or volume:
/// `hostNetwork=true, privileged (containers "a", "b" must not set securityContext.privileged=true)`.
fn pod_security(violations: &str) -> Vec<String> {
    let mut all = Vec::new();
    for violation in top_level_items(violations) {
        let Some((check, details)) = violation.split_once(" (") else {
            all.push(violation.to_owned());
            continue;
        };
        for detail in details.trim_end_matches(')').split("; ") {
            all.extend(
                of_each(detail)
                    .into_iter()
                    .map(|detail| format!("{check} ({detail})")),
            );
        }
    }
    all
}

/// The items of a list that are separated by `, ` outside of parentheses.
fn top_level_items(list: &str) -> Vec<&str> {
    let (mut items, mut start, mut depth, mut quoted) = (Vec::new(), 0, 0_usize, false);
    for (at, c) in list.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                items.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(list[start..].trim());
    items
}

/// `containers "a", "b" must …` as `container "a" must …` and `container "b" must …`; `hostNetwork=true, hostPID=true`
/// as its items.
fn of_each(detail: &str) -> Vec<String> {
    for (many, one) in [("containers ", "container "), ("volumes ", "volume ")] {
        let Some((before, rest)) = detail.split_once(many) else {
            continue;
        };
        let (mut names, mut rest) = (Vec::new(), rest);
        while let Some((name, after)) = rest.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
            names.push(name);
            rest = after;
            match after.strip_prefix(", ").filter(|next| next.starts_with('"')) {
                Some(next) => rest = next,
                None => break,
            }
        }
        return names
            .into_iter()
            .map(|name| format!("{before}{one}\"{name}\"{rest}"))
            .collect();
    }
    if detail.split(", ").any(|item| item.contains(' ')) {
        return vec![detail.to_owned()];
    }
    detail.split(", ").map(str::to_owned).collect()
}

/// The items of a list that are separated by `, `; items hold such separators themselves, and each new one begins
/// with one of three words.
fn range_items(list: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut start = 0;
    for (at, _) in list.match_indices(", ") {
        let after = &list[at + 2..];
        let begins = after.starts_with("maximum ")
            || after.starts_with("minimum ")
            || after.split(' ').nth(1) == Some("max");
        if begins {
            items.push(&list[start..at]);
            start = at + 2;
        }
    }
    items.push(&list[start..]);
    items
}

/// `maximum memory usage per Container is 8Gi, but limit is 16000Mi`
fn limit_range(item: &str) -> Option<Range> {
    let words: Vec<&str> = item.split(' ').collect();
    let (resource, maximum, ratio) = match words.as_slice() {
        ["maximum", resource, "usage", "per", ..] => (*resource, true, false),
        ["minimum", resource, "usage", "per", ..] => (*resource, false, false),
        [resource, "max", "limit", "to", "request", "ratio", "per", ..] => (*resource, true, true),
        _ => return None,
    };
    let (_, after) = item.split_once(" per ")?;
    let of_pod = after.starts_with("Pod ");
    let (_, bound) = after.split_once(" is ")?;
    let bound = bound.split([',', '.']).next().unwrap_or_default();
    let bound = if ratio {
        String::new()
    } else {
        bound.trim().to_owned()
    };
    let given = item
        .rsplit_once(" is ")
        .map_or("", |(_, given)| given)
        .trim_end_matches('.');
    let (list, given) = if item.contains("No limit is specified") {
        ("limits", "")
    } else if item.contains("No request is specified") {
        ("requests", "")
    } else if item.contains("but request is ") {
        ("requests", given)
    } else {
        ("limits", given)
    };
    Some(Range {
        resource: resource.to_owned(),
        list,
        of_pod,
        bound,
        given: given.to_owned(),
        maximum,
        ratio,
    })
}

/// `rq, requested: limits.memory=16Gi,pods=1, used: limits.memory=0,pods=5, limited: limits.memory=10Gi,pods=5`
fn exceeded_resources(text: &str) -> Vec<(String, String, String)> {
    let section = |name: &str| -> Vec<(String, String)> {
        let Some((_, rest)) = text.split_once(name) else {
            return Vec::new();
        };
        let rest = rest.split(", ").next().unwrap_or(rest);
        rest.split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect()
    };
    let limited = section("limited: ");
    section("requested: ")
        .into_iter()
        .map(|(name, requested)| {
            let limit = limited.iter().find(|(other, _)| *other == name);
            let limit = limit.map_or(String::new(), |(_, value)| value.clone());
            (name, requested, limit)
        })
        .collect()
}

/// Violations that say the same of several containers or volumes, in one as the server says them.
pub fn summed_up(violations: &[String]) -> Vec<String> {
    let mut all: Vec<(&str, &str, Vec<&str>, &str)> = Vec::new();
    for violation in violations {
        let split = ["container ", "volume "].into_iter().find_map(|kind| {
            let (before, rest) = violation.split_once(&format!("{kind}\""))?;
            let (name, rest) = rest.split_once('"')?;
            Some((before, kind, name, rest))
        });
        let (before, kind, name, rest) = split.unwrap_or((violation, "", "", ""));
        let same = all
            .iter_mut()
            .find(|(b, k, _, r)| (*b, *k, *r) == (before, kind, rest));
        match same {
            Some((_, _, names, _)) => names.push(name),
            None => all.push((before, kind, vec![name], rest)),
        }
    }
    all.into_iter()
        .map(|(before, kind, names, rest)| match &names[..] {
            _ if kind.is_empty() => before.to_owned(),
            [name] => format!("{before}{kind}\"{name}\"{rest}"),
            _ => format!("{before}{}s \"{}\"{rest}", kind.trim_end(), names.join("\", \"")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, reason: &str, message: &str) -> Status {
        Status {
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            details: None,
        }
    }

    fn faults(status: &Status) -> Vec<Fault> {
        match read(status) {
            Refusal::Faults(faults) => faults,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unknown_fields_are_told_one_by_one() {
        let found = faults(&status(
            400,
            "BadRequest",
            r#"Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "metadata.lables", unknown field "spec.volumes[0].x, y""#,
        ));
        let fields: Vec<&str> = found.iter().filter_map(|fault| fault.field.as_deref()).collect();
        assert_eq!(fields, ["metadata.lables", "spec.volumes[0].x, y"]);
        assert_eq!(found[0].message, r#"unknown field "metadata.lables""#);
    }

    #[test]
    fn what_a_limit_range_says_is_read() {
        let found = faults(&status(
            403,
            "Forbidden",
            "pods \"p\" is forbidden: [maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Container is 8Gi, but limit is 16000Mi]",
        ));
        assert_eq!(found.len(), 2);
        let Kind::LimitRange(range) = &found[1].kind else {
            panic!("{found:?}");
        };
        assert_eq!(
            (&*range.resource, range.list, &*range.bound, &*range.given),
            ("memory", "limits", "8Gi", "16000Mi")
        );
    }

    #[test]
    fn what_a_resource_quota_says_is_read() {
        let found = faults(&status(
            403,
            "Forbidden",
            "pods \"big\" is forbidden: exceeded quota: rq, requested: limits.memory=16Gi,pods=1, used: limits.memory=0,pods=5, limited: limits.memory=10Gi,pods=5",
        ));
        let quota = Kind::Quota {
            resources: vec![
                ("limits.memory".to_owned(), "16Gi".to_owned(), "10Gi".to_owned()),
                ("pods".to_owned(), "1".to_owned(), "5".to_owned()),
            ],
        };
        assert_eq!(found[0].kind, quota);
    }

    #[test]
    fn missing_rights_and_failing_webhooks_are_no_verdict() {
        for (code, message) in [
            (
                403,
                "pods is forbidden: User \"viewer\" cannot create resource \"pods\"",
            ),
            (404, "namespaces \"nons\" not found"),
            (500, "Internal error occurred: failed calling webhook \"x\""),
            (400, "admission webhook \"x\" does not support dry run"),
        ] {
            assert_eq!(read(&status(code, "", message)), Refusal::Unasked, "{message}");
        }
        assert_eq!(read(&status(409, "AlreadyExists", "")), Refusal::Exists);
    }

    #[test]
    fn a_pod_security_standard_is_violated_by_one_container_or_volume_at_a_time() {
        let message = "pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\": host namespaces \
            (hostNetwork=true, hostPID=true), hostPort (container \"a\" uses hostPorts 80, 81), unrestricted capabilities \
            (containers \"a\", \"b, (c)\" must set securityContext.capabilities.drop=[\"ALL\"]; container \"a\" must not \
            include \"NET_ADMIN\" in securityContext.capabilities.add), restricted volume types (volumes \"x\", \"y\" use \
            restricted volume type \"hostPath\"), seccompProfile (pod or container \"a\" must set \
            securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";
        let faults = faults(&status(403, "Forbidden", message));
        let violations: Vec<&str> = faults
            .iter()
            .filter_map(|fault| fault.violation.as_deref())
            .collect();
        assert_eq!(
            violations,
            [
                "host namespaces (hostNetwork=true)",
                "host namespaces (hostPID=true)",
                "hostPort (container \"a\" uses hostPorts 80, 81)",
                "unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"])",
                "unrestricted capabilities (container \"b, (c)\" must set securityContext.capabilities.drop=[\"ALL\"])",
                "unrestricted capabilities (container \"a\" must not include \"NET_ADMIN\" in \
                 securityContext.capabilities.add)",
                "restricted volume types (volume \"x\" use restricted volume type \"hostPath\")",
                "restricted volume types (volume \"y\" use restricted volume type \"hostPath\")",
                "seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \
                 \"RuntimeDefault\" or \"Localhost\")",
            ]
        );
        let all: Vec<String> = violations.iter().map(|text| (*text).to_owned()).collect();
        let of_both = "unrestricted capabilities (containers \"a\", \"b, (c)\" must set securityContext.capabilities.drop=[\"ALL\"])";
        assert!(summed_up(&all).contains(&of_both.to_owned()));
        assert_eq!(summed_up(&all).len(), all.len() - 2);
        assert!(
            faults
                .iter()
                .all(|fault| fault.policy.as_deref() == Some("PodSecurity \"restricted:latest\""))
        );
    }
}
