//! Who wrote what keeps a pod from running.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::{
    check::pod::writers,
    json_patch::PathPart,
    output::explain::Explained,
    pipeline::{
        Rendered, Site,
        provenance::{Writer, field_path, pointer},
    },
};

use super::{Concern, Found, name, taints::TOLERATIONS};

/// From places of the pod to those who wrote them.
pub(super) struct Blaming<'a> {
    explained: Explained<'a>,
    rendered: &'a Rendered,
    sent: &'a Value,
}

impl<'a> Blaming<'a> {
    pub(super) fn new(site: &'a Site, rendered: &'a Rendered, sent: &'a Value) -> Self {
        Self {
            explained: Explained::new(site, rendered),
            rendered,
            sent,
        }
    }

    /// `pod` is what the paths lead into: the pod that was sent, or what admission made of it.
    pub(super) fn concern(&self, found: Found, pod: &Value) -> Concern {
        let Found { message, paths } = found;
        let mut blamed: Vec<Value> = Vec::new();
        let mut seen: HashSet<String> = HashSet::new();
        let mut field = None;
        let mut all_writers: Vec<Writer> = Vec::new();
        for path in &paths {
            let sent = self.sent_or_copied(path, pod);
            field.get_or_insert_with(|| field_path(sent.as_ref().unwrap_or(path)));
            let of_path = match sent {
                Some(path) => {
                    let writers = writers(self.rendered, std::iter::once(&path));
                    let entries = self.entries(&writers, &path);
                    for writer in writers {
                        if !all_writers.contains(&writer) {
                            all_writers.push(writer);
                        }
                    }
                    entries
                }
                None => vec![json!({"by": "injected", "path": pointer(path)})],
            };
            for entry in of_path {
                if seen.insert(entry.to_string()) {
                    blamed.push(entry);
                }
            }
        }
        if paths.is_empty() {
            blamed.push(json!({"by": "cluster"}));
        }
        // A template fits its cluster, as a rule: what was put into it comes first.
        blamed.sort_by_key(|entry| entry.get("by").is_some_and(|by| by == "template"));
        all_writers.sort_by_key(|writer| *writer == Writer::Template);
        Concern {
            field: field.unwrap_or_default(),
            message,
            writers: all_writers,
            blame: blamed,
        }
    }

    fn entries(&self, writers: &[Writer], path: &[PathPart]) -> Vec<Value> {
        let pointer = pointer(path);
        writers
            .iter()
            .flat_map(|writer| self.explained.blame_json(writer, &pointer))
            .collect()
    }

    /// The place in the pod that was sent; of a request that the API server copied from its limit, the limit's. That a
    /// toleration is missing is true of both, although admission adds others.
    fn sent_or_copied(&self, path: &[PathPart], pod: &Value) -> Option<Vec<PathPart>> {
        if path == TOLERATIONS.map(name) {
            return Some(path.to_vec());
        }
        self.place_sent(path, pod).or_else(|| {
            let mut limit = path.to_vec();
            let requests = limit
                .iter_mut()
                .find(|part| matches!(part, PathPart::Name(name) if &**name == "requests"))?;
            *requests = PathPart::Name("limits".into());
            self.place_sent(&limit, pod)
        })
    }

    /// Where in the pod that was sent the place of this path stands; `None` if admission wrote it. Elements of
    /// lists are found by their names, since admission may put others before them.
    fn place_sent(&self, path: &[PathPart], pod: &Value) -> Option<Vec<PathPart>> {
        let mut own = Some(pod);
        let mut sent = Some(self.sent);
        let mut place = Vec::new();
        for part in path {
            let part_sent = match (part, own, sent) {
                (PathPart::Index(index), Some(own), Some(sent)) => {
                    PathPart::Index(same_element(own.get(*index)?, *index, sent.as_array()?)?)
                }
                _ => part.clone(),
            };
            own = own.and_then(|own| child(own, part));
            sent = sent.and_then(|sent| child(sent, &part_sent));
            if own.is_some() && sent.is_none() {
                return None;
            }
            place.push(part_sent);
        }
        Some(place)
    }
}

fn child<'v>(value: &'v Value, part: &PathPart) -> Option<&'v Value> {
    match part {
        PathPart::Name(name) => value.get(&**name),
        PathPart::Index(index) => value.get(*index),
    }
}

/// The index of the element that this one was when it was sent.
fn same_element(element: &Value, index: usize, list: &[Value]) -> Option<usize> {
    let name = element.get("name");
    let is_same = |other: &Value| match name {
        Some(name) => other.get("name") == Some(name),
        None => other == element,
    };
    if list.get(index).is_some_and(is_same) {
        return Some(index);
    }
    let found = list.iter().position(is_same);
    found.or((name.is_none() && index < list.len()).then_some(index))
}
