//! Who takes part in what the rules refuse: the operations without which it is gone.
//!
//! Who wrote the place is often the victim: whoever mounts a volume that another operation removed, or the template
//! whose request lost its limit. So the rules are asked again about the pod with fewer operations.

use std::{
    collections::{BTreeSet, HashMap},
    rc::Rc,
};

use serde_json::Value;

use crate::{
    json_patch::PathPart,
    pipeline::{
        Rendered,
        provenance::{Writer, keys},
        search::{Op, Search},
    },
};

use super::{PodFinding, Severity, check_pod};

/// How many operations are applied and values looked at, all questions together. Small pods and patches never come near;
/// for the others who wrote the place has to do, so that time stays linear.
const WORK: usize = 500_000;

/// Who is to blame for findings of one rendered pod.
pub struct Blamer<'a> {
    rendered: &'a Rendered,
    trials: Trials<'a>,
}

impl<'a> Blamer<'a> {
    /// Findings of this pod.
    pub fn new(rendered: &'a Rendered) -> Self {
        let make = |out: &BTreeSet<Op>| rendered.without(out).pod.to_value().ok();
        Self {
            rendered,
            trials: Trials::new(rendered, Box::new(make)),
        }
    }

    /// The operations without which an error is gone, the later first, and of a collision whoever else wrote the
    /// other place. Where no operation takes part, and of what is no error: the writer of the deepest place on the
    /// finding's path that is there, of a collision the writers of both places. Nobody twice.
    pub fn blame(&mut self, finding: &PodFinding) -> Vec<Writer> {
        let mut writers = writers(
            self.rendered,
            std::iter::once(&finding.path).chain(&finding.others),
        );
        if finding.finding.severity != Severity::Error {
            return writers;
        }
        let Some(parties) = self.trials.parties(&BTreeSet::new(), finding) else {
            return writers;
        };
        let is_operation = |writer: &Writer| matches!(writer, Writer::Operation { .. });
        if parties.is_empty() {
            writers.retain(|writer| !is_operation(writer));
            return writers;
        }
        let operations = parties.into_iter().rev();
        let operations = operations.map(|(patch, operation)| Writer::Operation { patch, operation });
        let rest = writers.into_iter().filter(|writer| !is_operation(writer));
        operations.chain(rest.filter(|_| finding.collides())).collect()
    }
}

impl PodFinding {
    /// Whether two places have what only one may have; then both are named, whoever wrote them.
    pub(crate) fn collides(&self) -> bool {
        self.finding.rule.starts_with("pod-duplicate-")
    }
}

/// Who wrote what stands at these places, or removed it, or wrote the deepest place above that is there; the later
/// first, nobody twice.
pub fn writers<'p>(rendered: &Rendered, paths: impl Iterator<Item = &'p Vec<PathPart>>) -> Vec<Writer> {
    let mut steps: Vec<_> = paths.filter_map(|path| step_of(rendered, path)).collect();
    steps.sort_unstable_by(|a, b| b.cmp(a));
    steps.dedup();
    steps.into_iter().map(|step| rendered.writer(step)).collect()
}

fn step_of(rendered: &Rendered, path: &[PathPart]) -> Option<crate::json_patch::Stamp> {
    let keys = keys(path);
    // A removed field is blamed on whoever removed it.
    if let Some(step) = rendered.removed_by(path) {
        return Some(step);
    }
    (0..=keys.len())
        .rev()
        .find_map(|end| rendered.pod.writer_of(keys.get(..end)?))
}

/// A pod with fewer operations, and what the rules say of it.
struct Trial {
    pod: Value,
    findings: Vec<PodFinding>,
}

/// The pod without these operations; `None` if it cannot be sent.
type Make<'a> = Box<dyn Fn(&BTreeSet<Op>) -> Option<Value> + 'a>;

/// What the rules said of pods with fewer operations.
pub(crate) struct Trials<'a> {
    rendered: &'a Rendered,
    make: Make<'a>,
    made: HashMap<BTreeSet<Op>, Option<Rc<Trial>>>,
    work: usize,
}

impl<'a> Trials<'a> {
    pub(crate) fn new(rendered: &'a Rendered, make: Make<'a>) -> Self {
        Self {
            rendered,
            make,
            made: HashMap::new(),
            work: 0,
        }
    }

    /// The operations without each of which an error of the pod without `out` is gone; where several are enough by
    /// themselves, a smallest set with which it is there; none if it is there without any patch. `None` if that cannot
    /// be found out, or costs too much.
    pub(crate) fn parties(&mut self, out: &BTreeSet<Op>, finding: &PodFinding) -> Option<BTreeSet<Op>> {
        let rendered = self.rendered;
        let mut all = out.clone();
        all.extend(rendered.operations());
        if all.len() == out.len() {
            return Some(BTreeSet::new());
        }
        let here = self.trial(out)?;
        if !here.findings.contains(finding) {
            return None;
        }
        let size = all.len() + count(&here.pod);
        let halvings = all.len().checked_ilog2().unwrap_or(0) as usize;
        if self.work + (halvings + 2) * size > WORK {
            return None;
        }
        if self.is_there(&here.pod, finding, &all)? {
            return Some(BTreeSet::new());
        }
        // The pods that an earlier finding needed are known.
        let each = if self.made.len() > all.len() {
            here.findings.len()
        } else {
            size
        };
        if self.work + all.len() * each <= WORK {
            let mut parties = BTreeSet::new();
            for op in rendered.operations().filter(|op| !out.contains(op)) {
                if self.is_party(&here.pod, finding, out, op)? {
                    parties.insert(op);
                }
            }
            if !parties.is_empty() {
                return Some(parties);
            }
        }
        let mut search = Search::new(rendered, out);
        while let Some(question) = search.question() {
            search.answer(self.is_there(&here.pod, finding, &question)?);
        }
        Some(search.found())
    }

    /// Whether the error is gone without the operation, and not only because others cannot be applied then.
    fn is_party(&mut self, pod: &Value, finding: &PodFinding, out: &BTreeSet<Op>, op: Op) -> Option<bool> {
        let mut without = out.clone();
        without.insert(op);
        if self.is_there(pod, finding, &without)? {
            return Some(false);
        }
        let mut dragged = self.rendered.without(&without).left_out;
        dragged.remove(&op);
        Some(dragged.len() == out.len() || self.is_there(pod, finding, &dragged)?)
    }

    fn is_there(&mut self, pod: &Value, finding: &PodFinding, out: &BTreeSet<Op>) -> Option<bool> {
        let trial = self.trial(out)?;
        self.work += trial.findings.len();
        let Some(path) = locate(pod, &trial.pod, &finding.path) else {
            return Some(false);
        };
        // Another bad value at the same place is another error.
        let (was, is) = (scalar(pod, &finding.path), scalar(&trial.pod, &path));
        let same = |other: &PodFinding| other.finding.rule == finding.finding.rule && other.path == path;
        Some(was == is && trial.findings.iter().any(same))
    }

    fn trial(&mut self, out: &BTreeSet<Op>) -> Option<Rc<Trial>> {
        if let Some(made) = self.made.get(out) {
            return made.clone();
        }
        if self.work > WORK {
            return None;
        }
        let made = (self.make)(out).map(|pod| {
            let findings = check_pod(&pod);
            Rc::new(Trial { pod, findings })
        });
        let size = made.as_ref().map_or(0, |trial| count(&trial.pod));
        self.work += size + self.rendered.operations().count();
        self.made.insert(out.clone(), made.clone());
        made
    }
}

fn scalar<'v>(pod: &'v Value, path: &[PathPart]) -> Option<&'v Value> {
    let value = path.iter().try_fold(pod, |value, part| match part {
        PathPart::Name(name) => value.get(&**name),
        PathPart::Index(index) => value.get(*index),
    })?;
    (!value.is_array() && !value.is_object()).then_some(value)
}

/// How many values there are in a value.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

/// The place in `to` of what stands at a place of `from`, where the two differ by elements that came or went; `None`
/// if it went itself.
pub(crate) fn locate(from: &Value, to: &Value, path: &[PathPart]) -> Option<Vec<PathPart>> {
    let (mut from, mut to) = (Some(from), Some(to));
    let mut new = Vec::with_capacity(path.len());
    for part in path {
        let part = match part {
            PathPart::Name(name) => {
                from = from.and_then(|value| value.get(&**name));
                to = to.and_then(|value| value.get(&**name));
                part.clone()
            }
            PathPart::Index(index) => {
                let (old, new) = (from.and_then(Value::as_array), to.and_then(Value::as_array));
                let at = match (old, new) {
                    (Some(old), Some(new)) => counterpart(old, *index, new)?,
                    _ => *index,
                };
                from = from.and_then(|value| value.get(*index));
                to = to.and_then(|value| value.get(at));
                PathPart::Index(at)
            }
        };
        new.push(part);
    }
    Some(new)
}

/// Where an element of a list stands in another version of the list.
fn counterpart(from: &[Value], index: usize, to: &[Value]) -> Option<usize> {
    let Some(old) = from.get(index) else {
        return Some(index);
    };
    // Of equal elements the first is the first.
    let nth = |same: &dyn Fn(&Value) -> bool| {
        let before = from.iter().take(index).filter(|other| same(other)).count();
        let mut all = to.iter().enumerate().filter(|(_, new)| same(new));
        all.nth(before).map(|(at, _)| at)
    };
    if let Some(at) = nth(&|other| other == old) {
        return Some(at);
    }
    let identity = ["mountPath", "name", "key", "containerPort"]
        .into_iter()
        .find(|name| old.get(name).is_some());
    let same = |other: &Value| identity.is_some_and(|name| other.get(name) == old.get(name));
    if from.iter().filter(|other| same(other)).count() == 1 {
        return nth(&same).or_else(|| (from.len() == to.len()).then_some(index));
    }
    (from.len() == to.len()).then_some(index)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_element_is_found_again_where_others_went() {
        let before = json!({"v": [{"name": "x"}, {"name": "a", "b": 1}, {"name": "c"}]});
        let after = json!({"v": [{"name": "a", "b": 2}, {"name": "c"}]});
        let path = |index| vec![PathPart::Name("v".into()), PathPart::Index(index)];
        assert_eq!(locate(&before, &after, &path(1)), Some(path(0)));
        assert_eq!(locate(&before, &after, &path(2)), Some(path(1)));
        assert_eq!(locate(&before, &after, &path(0)), None);
    }
}
