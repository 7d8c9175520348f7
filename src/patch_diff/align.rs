//! Which element of one list is which element of another.
//!
//! Comparing lists index by index rewrites everything behind an inserted element. Here elements are matched by
//! what makes them themselves: a container by its name, a mount by its path, all else by its value, and what is
//! left in the same gap by its position. Everything is near linear in the lengths.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

/// Up to this many pairs, elements of one gap are paired by how similar they are; beyond, in order.
const MAX_SIMILARITIES: usize = 4096;

/// What makes an element of a list itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// A string member.
    Member(&'static str),
    /// `containerPort` and `protocol`, TCP where it is absent.
    Port,
    /// The value.
    Value,
}

impl Identity {
    /// The identity of the elements of the list that is the member `name` of a map.
    pub(super) fn of_list(name: &str) -> Self {
        match name {
            "containers"
            | "initContainers"
            | "ephemeralContainers"
            | "volumes"
            | "env"
            | "imagePullSecrets" => Self::Member("name"),
            "volumeMounts" => Self::Member("mountPath"),
            "ports" => Self::Port,
            _ => Self::Value,
        }
    }

    /// The identity of this element, unique among all elements of its list; elements that lack what
    /// makes them themselves are their value.
    pub(super) fn key(self, element: &Value) -> Key<'_> {
        match self {
            Self::Member(name) => element.get(name).and_then(Value::as_str).map(Key::Id),
            Self::Port => element
                .get("containerPort")
                .filter(|port| port.is_number() || port.is_string())
                .map(|port| {
                    let protocol = element.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
                    Key::Port(port.to_string(), protocol)
                }),
            Self::Value => None,
        }
        .unwrap_or_else(|| Key::Value(element.to_string()))
    }
}

/// What an element is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key<'a> {
    Id(&'a str),
    /// Number or name, and protocol.
    Port(String, &'a str),
    /// The whole value as JSON.
    Value(String),
}

/// An element of the old list and the element of the new one that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) old: usize,
    pub(super) new: usize,
    /// Whether it belongs to the longest run that keeps its order; all others have moved.
    pub(super) stays: bool,
    /// Whether nothing but the place speaks for the pair: the identities differ.
    pub(super) by_place: bool,
}

/// How two lists belong together. Indices are in range; each stands in exactly one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Alignment {
    /// Ascending by `new`.
    pub(super) pairs: Vec<Pair>,
    /// Indices of the old list, ascending.
    pub(super) removed: Vec<usize>,
    /// Indices of the new list, ascending.
    pub(super) added: Vec<usize>,
}

impl Alignment {
    /// Whether no element of the one list is in the other.
    pub(super) fn nothing_in_common(&self) -> bool {
        self.pairs.iter().all(|pair| pair.by_place)
    }

    /// For each element of the old list, its pair.
    pub(super) fn by_old(&self, length: usize) -> Vec<Option<Pair>> {
        let mut by_old = vec![None; length];
        for pair in &self.pairs {
            if let Some(place) = by_old.get_mut(pair.old) {
                *place = Some(*pair);
            }
        }
        by_old
    }

    /// For each element of the new list, its pair.
    pub(super) fn by_new(&self, length: usize) -> Vec<Option<Pair>> {
        let mut by_new = vec![None; length];
        for pair in &self.pairs {
            if let Some(place) = by_new.get_mut(pair.new) {
                *place = Some(*pair);
            }
        }
        by_new
    }
}

/// Matches the elements of two lists.
pub(super) fn align(identity: Identity, old: &[Value], new: &[Value]) -> Alignment {
    let mut matching = Matching::new(identity, old, new);
    matching.equal_ends();
    matching.unique();
    matching.twins_between_anchors();
    matching.twins_anywhere();
    matching.finish()
}

struct Matching<'a> {
    old: &'a [Value],
    new: &'a [Value],
    old_keys: Vec<u32>,
    new_keys: Vec<u32>,
    /// For each new element the old one that it is.
    old_of: Vec<Option<usize>>,
    taken: Vec<bool>,
}

impl<'a> Matching<'a> {
    fn new(identity: Identity, old: &'a [Value], new: &'a [Value]) -> Self {
        let mut numbers: HashMap<Key<'a>, u32> = HashMap::with_capacity(old.len().max(new.len()));
        let mut number = |element: &'a Value| {
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            *numbers.entry(identity.key(element)).or_insert(next)
        };
        Self {
            old_keys: old.iter().map(&mut number).collect(),
            new_keys: new.iter().map(&mut number).collect(),
            old_of: vec![None; new.len()],
            taken: vec![false; old.len()],
            old,
            new,
        }
    }

    fn put_together(&mut self, old: usize, new: usize) {
        if let (Some(place), Some(taken)) = (self.old_of.get_mut(new), self.taken.get_mut(old)) {
            *place = Some(old);
            *taken = true;
        }
    }

    /// Equal elements at both ends; of twins, the ones that most people mean.
    fn equal_ends(&mut self) {
        let equal = |(old, new): &(&Value, &Value)| old == new;
        let front = self.old.iter().zip(self.new).take_while(equal).count();
        let rest = self.old.len().min(self.new.len()) - front;
        let back = self
            .old
            .iter()
            .rev()
            .zip(self.new.iter().rev())
            .take(rest)
            .take_while(equal)
            .count();
        for at in 0..front {
            self.put_together(at, at);
        }
        for at in 1..=back {
            self.put_together(self.old.len() - at, self.new.len() - at);
        }
    }

    /// The places of each key among the elements that are in no pair yet.
    fn places(&self) -> HashMap<u32, (Vec<usize>, Vec<usize>)> {
        let mut places: HashMap<u32, (Vec<usize>, Vec<usize>)> = HashMap::new();
        for (at, key) in self.old_keys.iter().enumerate() {
            if self.taken.get(at) == Some(&false) {
                places.entry(*key).or_default().0.push(at);
            }
        }
        for (at, key) in self.new_keys.iter().enumerate() {
            if self.old_of.get(at) == Some(&None) {
                places.entry(*key).or_default().1.push(at);
            }
        }
        places
    }

    /// Identities that are left once in each list.
    fn unique(&mut self) {
        for (old, new) in self.places().into_values() {
            if let ([old], [new]) = (old.as_slice(), new.as_slice()) {
                self.put_together(*old, *new);
            }
        }
    }

    /// Twins that stand between the same two neighbours, as many as keep their order.
    fn twins_between_anchors(&mut self) {
        if !self.taken.contains(&false) || !self.old_of.contains(&None) {
            return;
        }
        let left = self.left(&self.anchors());
        for (old, new) in left.into_values() {
            if old.len().saturating_mul(new.len()) > MAX_SIMILARITIES {
                continue;
            }
            let pairs = best_run(&old, &new, |old, new| {
                let same = self.old_keys.get(old) == self.new_keys.get(new);
                same.then(|| usize::from(self.old.get(old) == self.new.get(new)))
            });
            for (old, new) in pairs {
                self.put_together(old, new);
            }
        }
    }

    fn twins_anywhere(&mut self) {
        let places: BTreeMap<_, _> = self.places().into_iter().collect();
        for (old, new) in places.into_values() {
            self.twins(&old, &new);
        }
    }

    /// Elements of one identity: equal ones first, the rest in order.
    fn twins(&mut self, old: &[usize], new: &[usize]) {
        let mut by_value: HashMap<String, Vec<usize>> = HashMap::new();
        for at in old.iter().rev() {
            if let Some(value) = self.old.get(*at) {
                by_value.entry(value.to_string()).or_default().push(*at);
            }
        }
        for at in new {
            let value = self.new.get(*at).map(Value::to_string).unwrap_or_default();
            if let Some(equal) = by_value.get_mut(&value).and_then(Vec::pop) {
                self.put_together(equal, *at);
            }
        }
        let old: Vec<usize> = old
            .iter()
            .copied()
            .filter(|at| self.taken.get(*at) == Some(&false))
            .collect();
        let new: Vec<usize> = new
            .iter()
            .copied()
            .filter(|at| self.old_of.get(*at) == Some(&None))
            .collect();
        for (old, new) in old.into_iter().zip(new) {
            self.put_together(old, new);
        }
    }

    /// For each new element whether it stays: whether it belongs to the longest run whose old indices ascend.
    fn anchors(&self) -> Vec<bool> {
        let pairs = self.old_of.iter().enumerate();
        let (new, old): (Vec<usize>, Vec<usize>) =
            pairs.filter_map(|(new, old)| Some((new, (*old)?))).unzip();
        let mut anchors = vec![false; self.new.len()];
        for at in longest_ascending(&old) {
            if let Some(anchor) = new.get(at).and_then(|new| anchors.get_mut(*new)) {
                *anchor = true;
            }
        }
        anchors
    }

    /// The old and new elements that are in no pair yet, by the number of anchors before them.
    fn left(&self, anchors: &[bool]) -> BTreeMap<usize, (Vec<usize>, Vec<usize>)> {
        let mut left: BTreeMap<usize, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        let mut is_anchor = vec![false; self.old.len()];
        let mut gap = 0;
        for (at, (old, stays)) in self.old_of.iter().zip(anchors).enumerate() {
            match old {
                None => left.entry(gap).or_default().1.push(at),
                Some(old) if *stays => {
                    gap += 1;
                    if let Some(is_anchor) = is_anchor.get_mut(*old) {
                        *is_anchor = true;
                    }
                }
                Some(_) => {}
            }
        }
        gap = 0;
        for (at, (taken, is_anchor)) in self.taken.iter().zip(is_anchor).enumerate() {
            gap += usize::from(is_anchor);
            if !taken {
                left.entry(gap).or_default().0.push(at);
            }
        }
        left
    }

    /// Pairs what is left by place, and sorts it all.
    fn finish(mut self) -> Alignment {
        let anchors = self.anchors();
        let left = self.left(&anchors);
        let mut by_place = HashSet::new();
        for (old, new) in left.into_values() {
            for (old, new) in self.in_one_gap(&old, &new) {
                self.put_together(old, new);
                by_place.insert(new);
            }
        }
        let mut alignment = Alignment::default();
        for (new, old) in self.old_of.iter().enumerate() {
            match old {
                Some(old) => alignment.pairs.push(Pair {
                    old: *old,
                    new,
                    stays: anchors.get(new) == Some(&true) || by_place.contains(&new),
                    by_place: by_place.contains(&new),
                }),
                None => alignment.added.push(new),
            }
        }
        alignment.removed = (0..self.old.len())
            .filter(|at| self.taken.get(*at) == Some(&false))
            .collect();
        alignment
    }

    /// Pairs elements of one gap, in order, so that the similarities add up to the most.
    fn in_one_gap(&self, old: &[usize], new: &[usize]) -> Vec<(usize, usize)> {
        if old.len() == new.len() || old.len().saturating_mul(new.len()) > MAX_SIMILARITIES {
            return old.iter().copied().zip(new.iter().copied()).collect();
        }
        best_run(old, new, |old, new| {
            let elements = self.old.get(old).zip(self.new.get(new));
            elements.map(|(old, new)| similarity(old, new))
        })
    }
}

/// As many pairs as can be made without changing the order on either side; of those with equally many, the one
/// whose scores add up to the most. `score` is `None` where two cannot be a pair. Takes the product of both lengths.
fn best_run(
    old: &[usize],
    new: &[usize],
    score: impl Fn(usize, usize) -> Option<usize>,
) -> Vec<(usize, usize)> {
    // `best[i][j]` is for what is left from `i` and `j` on.
    let width = new.len() + 1;
    let mut best = vec![(0_usize, 0_usize); (old.len() + 1) * width];
    let cell =
        |best: &[(usize, usize)], i: usize, j: usize| best.get(i * width + j).copied().unwrap_or_default();
    for (i, old) in old.iter().enumerate().rev() {
        for (j, new) in new.iter().enumerate().rev() {
            let mut value = cell(&best, i + 1, j).max(cell(&best, i, j + 1));
            if let Some(score) = score(*old, *new) {
                let after = cell(&best, i + 1, j + 1);
                value = value.max((after.0 + 1, after.1 + score));
            }
            if let Some(place) = best.get_mut(i * width + j) {
                *place = value;
            }
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while let (Some(old), Some(new)) = (old.get(i), new.get(j)) {
        let here = cell(&best, i, j);
        if here == cell(&best, i + 1, j) {
            i += 1;
        } else if here == cell(&best, i, j + 1) {
            j += 1;
        } else {
            pairs.push((*old, *new));
            i += 1;
            j += 1;
        }
    }
    pairs
}

/// How much two elements have in common: the number of equal members.
pub(super) fn similarity(old: &Value, new: &Value) -> usize {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => old
            .iter()
            .filter(|(name, value)| new.get(*name) == Some(value))
            .count(),
        _ => 0,
    }
}

/// Indices into `numbers`, which are different from each other, of a longest run that ascends.
pub(super) fn longest_ascending(numbers: &[usize]) -> Vec<usize> {
    if numbers.is_sorted() {
        return (0..numbers.len()).collect();
    }
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(numbers.len());
    for (at, number) in numbers.iter().enumerate() {
        let length = ends.partition_point(|end| numbers.get(*end) < Some(number));
        before.push(length.checked_sub(1).and_then(|last| ends.get(last)).copied());
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut run = Vec::with_capacity(ends.len());
    let mut next = ends.last().copied();
    while let Some(at) = next {
        run.push(at);
        next = before.get(at).copied().flatten();
    }
    run.reverse();
    run
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(text: &str) -> Vec<Value> {
        text.chars().map(|c| json!(c.to_string())).collect()
    }

    /// Moved, removed and added elements of two words.
    fn counts(old: &str, new: &str) -> (usize, usize, usize) {
        let alignment = align(Identity::Value, &list(old), &list(new));
        let moved = alignment.pairs.iter().filter(|pair| !pair.stays).count();
        (moved, alignment.removed.len(), alignment.added.len())
    }

    #[test]
    fn a_word_is_matched_with_as_few_changes_as_there_are() {
        assert_eq!(counts("abc", "abc"), (0, 0, 0));
        assert_eq!(counts("abc", "axbc"), (0, 0, 1));
        assert_eq!(counts("abc", "ac"), (0, 1, 0));
        assert_eq!(counts("abcd", "dabc"), (1, 0, 0));
        assert_eq!(counts("abcd", "dcba"), (3, 0, 0));
        assert_eq!(counts("aab", "ab"), (0, 1, 0));
        assert_eq!(counts("aba", "ba"), (0, 1, 0));
        assert_eq!(counts("abab", "baba"), (1, 0, 0));
    }

    #[test]
    fn elements_of_one_gap_are_paired_by_similarity() {
        let old = [
            json!({"name": "a", "value": "1"}),
            json!({"name": "b", "value": "2"}),
        ];
        let new = [json!({"name": "c", "value": "2"})];
        let alignment = align(Identity::Member("name"), &old, &new);
        assert_eq!(alignment.removed, [0]);
        assert_eq!(
            alignment.pairs,
            [Pair {
                old: 1,
                new: 0,
                stays: true,
                by_place: true
            }]
        );
    }

    #[test]
    fn a_port_without_a_protocol_is_a_tcp_port() {
        let same = |a: Value, b: Value| Identity::Port.key(&a) == Identity::Port.key(&b);
        let port = json!({"containerPort": 53});
        assert!(same(
            port.clone(),
            json!({"containerPort": 53, "protocol": "TCP"})
        ));
        assert!(!same(port, json!({"containerPort": 53, "protocol": "UDP"})));
    }
}
