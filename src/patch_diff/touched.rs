//! The operations that had a hand in each place of a rendered pod.

use std::collections::HashMap;

use crate::{
    json_patch::{Effect, PathPart, Stamp},
    pipeline::{
        Rendered,
        provenance::{Writer, keys, pointer},
        search::Op,
    },
};

/// Where the operations of a rendered pod wrote, and what they took away.
pub struct Touched<'a> {
    rendered: &'a Rendered,
    /// By the pointer that they were written with.
    written: HashMap<String, Vec<Op>>,
    /// By the place at that time.
    removed: HashMap<&'a [PathPart], Stamp>,
    /// How many elements of a list were taken.
    taken: HashMap<&'a [PathPart], usize>,
}

impl<'a> Touched<'a> {
    /// Of this pod.
    pub fn new(rendered: &'a Rendered) -> Self {
        let mut written: HashMap<String, Vec<Op>> = HashMap::new();
        for (at, patch) in rendered.patches.iter().enumerate() {
            for (i, (operation, effect)) in patch.operations().iter().zip(&patch.effects).enumerate() {
                if matches!(effect, Effect::Added | Effect::Replaced) {
                    let path = operation.path().into_owned();
                    written.entry(path).or_default().push((at, i));
                }
            }
        }
        let (mut removed, mut taken) = (HashMap::new(), HashMap::new());
        for removal in rendered.removals() {
            removed.insert(&removal.path[..], removal.stamp);
            if let Some((PathPart::Index(_), list)) = removal.path.split_last() {
                *taken.entry(list).or_insert(0) += 1;
            }
        }
        Self {
            rendered,
            written,
            removed,
            taken,
        }
    }

    /// The operations behind what stands at a place: whoever wrote it, and whoever had written it before.
    pub fn writers(&self, path: &[PathPart]) -> Vec<Op> {
        let by = self.rendered.pod.writer_of(&keys(path));
        let Some(last) = by.and_then(|step| self.operation(step)) else {
            return Vec::new();
        };
        let mut all = self.written.get(&pointer(path)).cloned().unwrap_or_default();
        if !all.contains(&last) {
            all.push(last);
        }
        all
    }

    /// The operation that took away what stood at a place before all patches, or something above it. Of a list of which
    /// several elements were taken it is not known, since each changed what the indices mean.
    pub fn remover(&self, path: &[PathPart]) -> Option<Op> {
        let step = (1..=path.len()).find_map(|end| {
            let place = path.get(..end)?;
            let (last, list) = place.split_last()?;
            let is_element = matches!(last, PathPart::Index(_));
            let is_sure = !is_element || self.taken.get(list) == Some(&1);
            self.removed.get(place).filter(|_| is_sure)
        })?;
        self.operation(*step)
    }

    fn operation(&self, step: Stamp) -> Option<Op> {
        match self.rendered.writer(step) {
            Writer::Operation { patch, operation } => Some((patch, operation)),
            _ => None,
        }
    }
}
