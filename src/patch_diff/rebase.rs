//! The edit of a live pod, carried over to the document that CoCalc will patch.
//!
//! Three documents meet: the base (the rendered template with the patches of the other licenses), the live pod
//! and its edit. Only what differs between the last two was meant; it is repeated in the base, where indices,
//! defaults and injected elements are others. What belongs to Kubernetes is left out, each time with a note.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value};

use super::{
    Note,
    align::{Identity, Key, Pair, align, longest_ascending, similarity},
    kubernetes::{METADATA, SPEC, is_token},
    operations::push_token,
};
use crate::check::Severity;

/// The base with the edit in it.
pub(super) fn rebase(base: &Value, before: &Value, after: &Value, notes: &mut Vec<Note>) -> Value {
    let mut rebase = Rebase {
        path: String::new(),
        notes,
    };
    rebase.value("", base, before, after)
}

struct Rebase<'a> {
    /// Where we are in the edited pod.
    path: String,
    notes: &'a mut Vec<Note>,
}

/// An element of the rebased list and its place in the edited one.
struct Entry {
    value: Value,
    after: Option<usize>,
}

impl Rebase<'_> {
    fn note(&mut self, rule: &'static str, message: String) {
        self.notes
            .push(Note::new(rule, Severity::Note, &self.path, message));
    }

    fn below<T>(&mut self, token: &str, act: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        push_token(&mut self.path, token);
        let result = act(self);
        self.path.truncate(length);
        result
    }

    fn value(&mut self, name: &str, base: &Value, before: &Value, after: &Value) -> Value {
        if before == after {
            return base.clone();
        }
        match (base, before, after) {
            (Value::Object(base), Value::Object(before), Value::Object(after)) => {
                Value::Object(self.map(base, before, after))
            }
            (Value::Array(base), Value::Array(before), Value::Array(after)) => {
                Value::Array(self.list(name, base, before, after))
            }
            _ => after.clone(),
        }
    }

    fn map(
        &mut self,
        base: &Map<String, Value>,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
    ) -> Map<String, Value> {
        let mut result = base.clone();
        let only_after = after.keys().filter(|name| !before.contains_key(*name));
        for name in before.keys().chain(only_after) {
            let (base, before, after) = (base.get(name), before.get(name), after.get(name));
            if before == after {
                continue;
            }
            let member = self.below(name, |rebase| {
                if rebase.is_kubernetes(base.is_some()) {
                    if after.is_some() {
                        rebase.note(
                            "belongs-to-kubernetes",
                            format!("{} belongs to Kubernetes; its edit is left out", rebase.path),
                        );
                    }
                    base.cloned()
                } else {
                    rebase.member(name, base, before, after)
                }
            });
            match member {
                Some(value) => result.insert(name.clone(), value),
                None => result.remove(name),
            };
        }
        result
    }

    /// Whether the member at the present path belongs to Kubernetes whatever its value.
    fn is_kubernetes(&self, in_base: bool) -> bool {
        match self.path.strip_prefix('/').and_then(|path| path.split_once('/')) {
            None => self.path == "/status",
            Some(("metadata", name)) => METADATA.contains(&name),
            Some(("spec", name)) => SPEC.contains(&name) && !in_base,
            Some(_) => false,
        }
    }

    /// A member that differs between live pod and edit.
    fn member(
        &mut self,
        name: &str,
        base: Option<&Value>,
        before: Option<&Value>,
        after: Option<&Value>,
    ) -> Option<Value> {
        match (base, before, after) {
            (None, None, after) => after.cloned(),
            (Some(base), None, Some(after)) => {
                let nothing = empty_like(after);
                Some(self.value(name, base, &nothing, after))
            }
            (base, before, None) => {
                // An empty list of the template is absent in the live pod, or filled by admission.
                if base.is_some() && (!base.is_some_and(is_empty) || base == before) {
                    return None;
                }
                self.note(
                    "not-in-template",
                    format!(
                        "{} is not in the template, so nothing removes it; what put it into the live pod will do so \
                         again",
                        self.path
                    ),
                );
                base.cloned()
            }
            (Some(base), Some(before), Some(after)) => Some(self.value(name, base, before, after)),
            (None, Some(before), Some(after)) => {
                let nothing = empty_like(after);
                let value = self.value(name, &nothing, before, after);
                // Nothing of it is the admin's, unless it was no such thing before.
                (!is_empty(&value) || empty_like(before) != nothing).then_some(value)
            }
        }
    }

    fn list(&mut self, name: &str, base: &[Value], before: &[Value], after: &[Value]) -> Vec<Value> {
        let identity = Identity::of_list(name);
        let live = without_tokens(name, identity, base, before);
        let edited = without_tokens(name, identity, base, after);
        self.note_edited_tokens(&live, &edited);
        let (before, after, after_places) = (live.kept, edited.kept, edited.places);
        let edit = align(identity, &before, &after);
        let base_of = base_of_live(identity, base, &before);
        let mut live_of = vec![None; base.len()];
        for (live, at) in base_of.iter().enumerate() {
            if let Some(place) = at.and_then(|at| live_of.get_mut(at)) {
                *place = Some(live);
            }
        }
        let by_old = edit.by_old(before.len());

        // What the base has.
        let mut entries = Vec::with_capacity(base.len());
        for (element, live) in base.iter().zip(live_of) {
            let Some(live) = live else {
                entries.push(Entry {
                    value: element.clone(),
                    after: None,
                });
                continue;
            };
            let Some(pair) = by_old.get(live).copied().flatten() else {
                continue;
            };
            let (Some(old), Some(new)) = (before.get(live), after.get(pair.new)) else {
                continue;
            };
            let place = after_places.get(pair.new).copied().unwrap_or_default();
            let value = if old == new {
                element.clone()
            } else if pair.by_place && similarity(old, new) == 0 {
                new.clone()
            } else {
                self.below(&place.to_string(), |rebase| {
                    let mut value = rebase.value("", element, old, new);
                    if matches!(name, "containers" | "initContainers") {
                        rebase.keep_defaulted_requests(element, new, &mut value);
                    }
                    value
                })
            };
            entries.push(Entry {
                value,
                after: Some(pair.new),
            });
        }

        // What it has not.
        let mut inserted = Vec::new();
        let by_new = edit.by_new(after.len());
        for (at, (element, pair)) in after.iter().zip(&by_new).enumerate() {
            match pair {
                Some(pair) if base_of.get(pair.old).copied().flatten().is_some() => {}
                Some(pair) if before.get(pair.old) == Some(element) => {}
                Some(_) => {
                    let place = after_places.get(at).copied().unwrap_or_default();
                    self.below(&place.to_string(), |rebase| {
                        rebase.note(
                            "injected-element-edited",
                            format!(
                                "{} is not in the template; since it is edited, the patch adds it whole",
                                rebase.path
                            ),
                        );
                    });
                    inserted.push((at, element.clone()));
                }
                None => inserted.push((at, element.clone())),
            }
        }
        self.note_lost_removals(name, &before, &edit.removed, &base_of);
        if name == "imagePullSecrets"
            && base.is_empty()
            && !inserted.is_empty()
            && inserted.len() < after.len()
        {
            self.note(
                "injected-kept",
                "the service account's pull secrets are added only to a pod without any; the patch lists them too, so \
                 that the pod keeps them"
                    .to_owned(),
            );
            return after;
        }
        self.already_there(identity, &mut entries, &mut inserted);
        let order_matters = order_matters(name, &[base, &before, &after]);
        let entries = self.take_moved(entries, order_matters, &edit.pairs, &base_of, &mut inserted);
        placed(entries, after.len(), inserted)
    }

    /// Tokens that are edited or gone get a note.
    fn note_edited_tokens(&mut self, live: &Kept, edited: &Kept) {
        if edited.tokens.len() < live.tokens.len() {
            self.note(
                "belongs-to-kubernetes",
                format!(
                    "the service account's token in {} is injected by admission, so removing it is left out; \
                     automountServiceAccountToken: false does without it",
                    self.path
                ),
            );
        }
        let known: HashSet<String> = live.tokens.iter().map(|(_, token)| token.to_string()).collect();
        for (at, token) in &edited.tokens {
            if !known.contains(&token.to_string()) {
                self.below(&at.to_string(), |rebase| {
                    rebase.note(
                        "belongs-to-kubernetes",
                        format!(
                            "{} is the service account's token, which admission injects; its edit is left out",
                            rebase.path
                        ),
                    );
                });
            }
        }
    }

    fn note_lost_removals(
        &mut self,
        name: &str,
        before: &[Value],
        removed: &[usize],
        base_of: &[Option<usize>],
    ) {
        let lost = removed
            .iter()
            .filter(|at| base_of.get(**at).copied().flatten().is_none());
        let elements: Vec<String> = lost
            .filter_map(|at| before.get(*at))
            .take(3)
            .map(|element| {
                let id = match Identity::of_list(name) {
                    Identity::Member(id) => element.get(id),
                    _ => element.get("key"),
                };
                id.and_then(Value::as_str)
                    .map_or_else(|| "an element".to_owned(), str::to_owned)
            })
            .collect();
        if !elements.is_empty() {
            self.note(
                "not-in-template",
                format!(
                    "{} of {} is not in the template, so nothing removes it; what put it into the live pod will do so \
                     again",
                    elements.join(", "),
                    self.path
                ),
            );
        }
    }

    /// New elements that the base has got meanwhile, from another license for example, are merged with those.
    fn already_there(
        &mut self,
        identity: Identity,
        entries: &mut [Entry],
        inserted: &mut Vec<(usize, Value)>,
    ) {
        if inserted.is_empty() {
            return;
        }
        let mut free: HashMap<Key<'_>, usize> = HashMap::new();
        for (at, entry) in entries.iter().enumerate().rev() {
            if entry.after.is_none() {
                free.insert(identity.key(&entry.value), at);
            }
        }
        let places: Vec<Option<usize>> = inserted
            .iter()
            .map(|(_, element)| free.remove(&identity.key(element)))
            .collect();
        let mut places = places.into_iter();
        inserted.retain(|(at, element)| {
            let place = places.next().flatten();
            let Some(entry) = place.and_then(|at| entries.get_mut(at)) else {
                return true;
            };
            entry.value = self.value("", &entry.value, &empty_like(element), element);
            entry.after = Some(*at);
            false
        });
    }

    /// Takes out the elements that the edit has moved, to be placed again, where order means something.
    fn take_moved(
        &mut self,
        entries: Vec<Entry>,
        order_matters: bool,
        pairs: &[Pair],
        base_of: &[Option<usize>],
        inserted: &mut Vec<(usize, Value)>,
    ) -> Vec<Entry> {
        // Only the order of what the base has counts.
        let common: Vec<_> = pairs
            .iter()
            .filter(|pair| base_of.get(pair.old).copied().flatten().is_some())
            .collect();
        let old: Vec<usize> = common.iter().map(|pair| pair.old).collect();
        let stays = longest_ascending(&old);
        if stays.len() == common.len() {
            return entries;
        }
        if !order_matters {
            self.note(
                "order-without-meaning",
                format!(
                    "the order of {} means nothing to Kubernetes; its change is left out",
                    self.path
                ),
            );
            return entries;
        }
        let stays: HashSet<usize> = stays
            .into_iter()
            .filter_map(|at| common.get(at))
            .map(|pair| pair.new)
            .collect();
        let common: HashSet<usize> = common.into_iter().map(|pair| pair.new).collect();
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            match entry.after {
                Some(after) if common.contains(&after) && !stays.contains(&after) => {
                    inserted.push((after, entry.value));
                }
                _ => kept.push(entry),
            }
        }
        kept
    }

    /// Where the template has no request, the API server makes it as large as the limit, or LimitRange gives one
    /// where there is no limit either. If the edit changes the limit, the request that the admin saw is written too.
    fn keep_defaulted_requests(&mut self, base: &Value, after: &Value, value: &mut Value) {
        let limits = |of: &Value| {
            of.pointer("/resources/limits")
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default()
        };
        let (base_limits, limits) = (limits(base), limits(value));
        let names: BTreeSet<&String> = base_limits.keys().chain(limits.keys()).collect();
        for resource in names {
            let limit = limits.get(resource);
            if limit == base_limits.get(resource) {
                continue;
            }
            let request = |of: &Value| of.get("resources")?.get("requests")?.get(resource).cloned();
            let Some(seen) = request(after).filter(|seen| Some(seen) != limit) else {
                continue;
            };
            if request(value).is_some() {
                continue;
            }
            let Some(Value::Object(resources)) = value.get_mut("resources") else {
                continue;
            };
            let requests = resources
                .entry("requests")
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(requests) = requests {
                requests.insert(resource.clone(), seen.clone());
                self.note(
                    "injected-kept",
                    format!(
                        "{}/resources/requests has {resource} {seen}, which the template lacks; since it follows the \
                         limit, which is edited, the patch writes it too",
                        self.path
                    ),
                );
            }
        }
    }
}

/// A list without the service account's token.
#[derive(Default)]
struct Kept {
    kept: Vec<Value>,
    /// Where they stand in the whole list.
    places: Vec<usize>,
    tokens: Vec<(usize, Value)>,
}

fn without_tokens(name: &str, identity: Identity, base: &[Value], list: &[Value]) -> Kept {
    let mut kept = Kept::default();
    let mut in_base: Option<HashSet<Key<'_>>> = None;
    for (at, element) in list.iter().enumerate() {
        let is_injected = is_token(name, element) && {
            let in_base =
                in_base.get_or_insert_with(|| base.iter().map(|element| identity.key(element)).collect());
            !in_base.contains(&identity.key(element))
        };
        if is_injected {
            kept.tokens.push((at, element.clone()));
        } else {
            kept.kept.push(element.clone());
            kept.places.push(at);
        }
    }
    kept
}

/// Whether the order of this list means something to Kubernetes.
fn order_matters(name: &str, lists: &[&[Value]]) -> bool {
    match name {
        "volumes" | "volumeMounts" | "tolerations" | "ports" => false,
        "env" => lists.iter().any(|list| list.iter().any(refers_to_variable)),
        _ => true,
    }
}

/// For each element of the live list the element of the base that it came from.
fn base_of_live(identity: Identity, base: &[Value], live: &[Value]) -> Vec<Option<usize>> {
    let mut base_of = vec![None; live.len()];
    for pair in align(identity, base, live).pairs {
        let (Some(old), Some(new)) = (base.get(pair.old), live.get(pair.new)) else {
            continue;
        };
        // An element without an identity of its own may have got defaults.
        if (!pair.by_place || (identity == Identity::Value && is_part(old, new)))
            && let Some(place) = base_of.get_mut(pair.new)
        {
            *place = Some(pair.old);
        }
    }
    base_of
}

/// Puts new elements behind their nearest earlier neighbour, else before the next; what has no neighbour behind
/// it goes to the end.
fn placed(entries: Vec<Entry>, length: usize, mut inserted: Vec<(usize, Value)>) -> Vec<Value> {
    inserted.sort_by_key(|(at, _)| *at);
    let mut entry_of = vec![None; length];
    for (at, entry) in entries.iter().enumerate() {
        if let Some(place) = entry.after.and_then(|after| entry_of.get_mut(after)) {
            *place = Some(at);
        }
    }
    let last_known = entry_of.iter().rposition(Option::is_some);
    let first_known = entry_of.iter().flatten().copied().next();
    let mut behind: Vec<Vec<Value>> = vec![Vec::new(); entries.len()];
    let (mut in_front, mut at_end) = (Vec::new(), Vec::new());
    let mut known = entry_of
        .iter()
        .enumerate()
        .filter_map(|(at, entry)| Some((at, (*entry)?)))
        .peekable();
    let mut previous = None;
    for (at, element) in inserted {
        while let Some((_, entry)) = known.next_if(|(known, _)| *known < at) {
            previous = Some(entry);
        }
        if last_known.is_none_or(|last| last < at) {
            at_end.push(element);
        } else if let Some(list) = previous.and_then(|previous| behind.get_mut(previous)) {
            list.push(element);
        } else {
            in_front.push(element);
        }
    }
    let mut result = Vec::with_capacity(entries.len());
    for (at, (entry, behind)) in entries.into_iter().zip(behind).enumerate() {
        if Some(at) == first_known {
            result.append(&mut in_front);
        }
        result.push(entry.value);
        result.extend(behind);
    }
    result.append(&mut in_front);
    result.append(&mut at_end);
    result
}

/// Whether all of `part` is in `whole`, which may have more members.
fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => part
            .iter()
            .all(|(name, part)| whole.get(name).is_some_and(|whole| is_part(part, whole))),
        (Value::Array(part), Value::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(part, whole)| is_part(part, whole))
        }
        _ => part == whole,
    }
}

fn refers_to_variable(env: &Value) -> bool {
    env.get("value")
        .and_then(Value::as_str)
        .is_some_and(|value| value.contains("$("))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn empty_like(value: &Value) -> Value {
    match value {
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Object(_) => Value::Object(Map::new()),
        _ => Value::Null,
    }
}
