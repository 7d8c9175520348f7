//! What the API server has warned of itself, so that nobody is told it twice.

use std::collections::HashSet;

use serde_json::Value;

use crate::{check::rules::server_warns, json_patch::PathPart};

/// The places of a server's warnings about a pod.
///
/// A pod that is refused gets hardly any, and older servers give fewer; so each finding is looked up.
#[derive(Debug, Default)]
pub struct Warned {
    places: HashSet<String>,
}

impl Warned {
    /// Reads the texts of the warnings that came with the answer to this pod.
    pub fn new(pod: &Value, warnings: &[String]) -> Self {
        let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
        let index_of = |name: &str| {
            let mut volumes = volumes.into_iter().flatten();
            volumes.position(|volume| volume.get("name").is_some_and(|other| other == name))
        };
        let places = warnings.iter().filter_map(|text| {
            // About files within a volume the server names the volume alone.
            if let Some(rest) = text.strip_prefix("volume \"") {
                let name = rest.split('"').next()?;
                return index_of(name).map(|index| format!("spec.volumes[{index}]"));
            }
            let place = match text.strip_prefix('.') {
                Some(rest) => rest.split(' ').next()?,
                None => text.split_once(": ")?.0,
            };
            Some(place.to_lowercase())
        });
        Self {
            places: places.collect(),
        }
    }

    /// Whether the server has warned of what this rule finds in this field.
    pub fn has(&self, rule: &str, field: &str, path: &[PathPart]) -> bool {
        if self.places.is_empty() || !server_warns(rule) {
            return false;
        }
        let place = match (rule, path) {
            (
                "pod-overlapping-paths" | "pod-projection-without-source",
                [_, _, PathPart::Index(index), ..],
            ) => format!("spec.volumes[{index}]"),
            _ => field.to_lowercase(),
        };
        self.places.contains(&place)
    }
}
