//! The pod that has the name already.

use std::fmt;

use serde_json::Value;

use super::concerns::Lookup;

/// What is known of the pod whose name another one would get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is being deleted.
    Terminating,
    /// Its `status.phase`: `Running`, `Pending`, `Succeeded`, `Failed` or `Unknown`.
    Phase(String),
    /// It could not be looked at.
    NotSeen,
}

impl Existing {
    /// Looks at the pod that has the name of `pod`.
    pub async fn of<L: Lookup>(lookup: &L, namespace: &str, pod: &Value) -> Self {
        let Some(name) = pod.pointer("/metadata/name").and_then(Value::as_str) else {
            return Self::NotSeen;
        };
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        let Ok(found) = lookup.get(&path).await else {
            return Self::NotSeen;
        };
        if found.pointer("/metadata/deletionTimestamp").is_some() {
            return Self::Terminating;
        }
        let phase = found.pointer("/status/phase").and_then(Value::as_str);
        phase.map_or(Self::NotSeen, |phase| Self::Phase(phase.to_owned()))
    }

    /// Whether its containers run.
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Phase(phase) if phase == "Running")
    }

    /// As `kubectl get` calls it.
    pub fn status(&self) -> Option<&str> {
        match self {
            Self::Terminating => Some("Terminating"),
            Self::Phase(phase) => Some(phase),
            Self::NotSeen => None,
        }
    }
}

impl fmt::Display for Existing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phase(phase) if phase == "Running" => f.write_str("it is running now"),
            Self::Terminating => f.write_str("it is being deleted now"),
            Self::Phase(phase) => write!(f, "it exists already and is {phase}"),
            Self::NotSeen => f.write_str("it exists already"),
        }
    }
}
