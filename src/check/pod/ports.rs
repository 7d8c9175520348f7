//! Ports that several containers declare. A port that is declared is a remark for readers, so all of it is accepted.

use std::collections::HashMap;

use super::{Report, Severity, at::At, warnings::all_containers};

/// A port as far as it can be in another one's way.
#[derive(Clone)]
struct Declared<'v> {
    at: At<'v>,
    host_ip: &'v str,
    host_port: i64,
}

/// All that declare the same port and protocol.
#[derive(Default)]
struct Same<'v> {
    first: Option<Declared<'v>>,
    /// Without a port of the node.
    inside: Option<Declared<'v>>,
    by_host: HashMap<(&'v str, i64), Declared<'v>>,
    /// By the node's port, with and without an address of the node.
    by_host_port: HashMap<(i64, bool), Declared<'v>>,
}

impl<'v> Same<'v> {
    /// The port that is in this one's way, and how.
    fn clash(&self, port: &Declared<'v>) -> Option<(&Declared<'v>, &'static str)> {
        if let Some(other) = self.by_host.get(&(port.host_ip, port.host_port)) {
            return Some((other, "the same port is declared by"));
        }
        let inside = if port.host_port == 0 {
            &self.first
        } else {
            &self.inside
        };
        if let Some(other) = inside {
            return Some((other, "the same port has a hostPort once and once none: see"));
        }
        self.by_host_port
            .get(&(port.host_port, !port.host_ip.is_empty()))
            .map(|other| {
                (
                    other,
                    "the same hostPort is for all addresses of the node too: see",
                )
            })
    }

    fn add(&mut self, port: Declared<'v>) {
        if port.host_port == 0 {
            self.inside.get_or_insert_with(|| port.clone());
        }
        self.by_host
            .entry((port.host_ip, port.host_port))
            .or_insert_with(|| port.clone());
        // To be found by those that are otherwise.
        self.by_host_port
            .entry((port.host_port, port.host_ip.is_empty()))
            .or_insert_with(|| port.clone());
        self.first.get_or_insert(port);
    }
}

pub(super) fn ports(spec: &At<'_>, report: &mut Report) {
    let on_node = spec.get("hostNetwork").is_true();
    let mut all: HashMap<(i64, &str), Same<'_>> = HashMap::new();
    let mut names: HashMap<&str, At<'_>> = HashMap::new();
    for container in all_containers(spec) {
        for port in container.get("ports").items() {
            let (name, number) = (port.get("name"), port.get("containerPort"));
            let own = number.int().unwrap_or(0);
            let protocol = match port.get("protocol").text() {
                "" => "TCP",
                other => other,
            };
            let declared = Declared {
                at: port.clone(),
                host_ip: port.get("hostIP").text(),
                // On the node's network a port is the node's.
                host_port: match port.get("hostPort").int().unwrap_or(0) {
                    0 if on_node => own,
                    other => other,
                },
            };
            let mut warn = |rule, at: &At<'_>, message, others| {
                report.push((rule, Severity::Warning), at, port.field(), message, others);
            };
            if !declared.host_ip.is_empty() && declared.host_port == 0 {
                let message = "hostIP means nothing without a hostPort".to_owned();
                warn(
                    "pod-host-ip-without-port",
                    &port.get("hostIP"),
                    message,
                    Vec::new(),
                );
            }
            let same = all.entry((own, protocol)).or_default();
            if let Some((other, how)) = same.clash(&declared) {
                let others = vec![other.at.get("containerPort").path()];
                let message = format!("{how} {}", other.at.field());
                warn("pod-duplicate-port", &number, message, others);
            }
            same.add(declared);
            if name.text().is_empty() {
                continue;
            }
            match names.get(name.text()) {
                Some(first) => {
                    let message = format!(
                        "{} has the name {:?} too, and whoever looks a port up by its name finds that one",
                        first.field(),
                        name.text()
                    );
                    warn(
                        "pod-duplicate-port-name",
                        &name,
                        message,
                        vec![first.get("name").path()],
                    );
                }
                None => drop(names.insert(name.text(), port.clone())),
            }
        }
    }
}
