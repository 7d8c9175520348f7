//! Which license each operation of a logged patch set is from.
//!
//! CoCalc logs one list: the patches of all licenses one behind another. Whose an operation is shows when the known
//! patches are laid over the list.

use std::collections::HashMap;

use serde_json::Value;

use crate::{
    json::{Json, with_js_numbers},
    json_patch::Gate,
    snapshot::Snapshot,
};

/// The license that an operation is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Id of the license.
    pub license: String,
    /// Its title; empty if it has none.
    pub title: String,
    /// Which operation of its patch this is, from 0.
    pub operation: usize,
    /// How many operations its patch has.
    pub of: usize,
    /// Other licenses with the same patch, of which the project has as many or as few.
    pub or: Vec<String>,
}

/// The patches of all licenses that the sources know.
pub struct Owners {
    patches: Vec<Known>,
    /// Patches by their first operation.
    by_first: HashMap<String, Vec<usize>>,
}

struct Known {
    license: String,
    title: String,
    operations: Vec<String>,
}

impl Owners {
    /// Reads the patches of all license rows, and those that projects have stored of licenses without a row.
    pub fn new(snapshot: &Snapshot) -> Self {
        let mut owners = Self {
            patches: Vec::new(),
            by_first: HashMap::new(),
        };
        for (id, row) in &snapshot.site_licenses {
            if let Some(patch) = row.quota.get_non_null("patch") {
                owners.add(id, &row.title, patch);
            }
        }
        owners
    }

    /// Whether no license with a patch is known.
    pub fn is_empty(&self) -> bool {
        self.patches.is_empty()
    }

    /// Adds the patches that a project has stored in `site_license`: CoCalc may have used them.
    pub fn add_stored(&mut self, site_license: &Json, snapshot: &Snapshot) {
        for (id, stored) in site_license.members() {
            let id = id.to_string_lossy();
            if let Some(patch) = stored
                .get_non_null("quota")
                .and_then(|quota| quota.get_non_null("patch"))
            {
                let title = snapshot.site_licenses.get(&id).map_or("", |row| &row.title);
                self.add(&id, title, patch);
            }
        }
    }

    fn add(&mut self, license: &str, title: &str, patch: &Json) {
        let Gate::Passes(operations) = crate::json_patch::gate_value(patch) else {
            return;
        };
        let operations: Vec<String> = operations.iter().map(|op| canonical(op.json())).collect();
        let Some(first) = operations.first().cloned() else {
            return;
        };
        let known = self.by_first.entry(first).or_default();
        let same = |at: &usize| {
            self.patches
                .get(*at)
                .is_some_and(|known| known.license == license && known.operations == operations)
        };
        if known.iter().any(same) {
            return;
        }
        known.push(self.patches.len());
        self.patches.push(Known {
            license: license.to_owned(),
            title: title.to_owned(),
            operations,
        });
    }

    /// For each operation of a patch set the license that it is from, if that is known.
    ///
    /// At each place the longest patch wins that fits, those of `held` (the licenses of the project) first.
    pub fn of(&self, operations: &[Json], held: &[String]) -> Vec<Option<Owner>> {
        let texts: Vec<String> = operations.iter().map(canonical).collect();
        let mut found = Vec::with_capacity(texts.len());
        while let Some(first) = texts.get(found.len()) {
            let rest = texts.get(found.len()..).unwrap_or_default();
            let rank = |known: &Known| (held.contains(&known.license), known.operations.len());
            let mut fitting: Vec<&Known> = self
                .by_first
                .get(first)
                .into_iter()
                .flatten()
                .filter_map(|at| self.patches.get(*at))
                .filter(|known| rest.starts_with(&known.operations))
                .collect();
            let best = fitting.iter().map(|known| rank(known)).max();
            fitting.retain(|known| Some(rank(known)) == best);
            let Some((known, others)) = fitting.split_first() else {
                found.push(None);
                continue;
            };
            let of = known.operations.len();
            found.extend((0..of).map(|operation| {
                Some(Owner {
                    license: known.license.clone(),
                    title: known.title.clone(),
                    operation,
                    of,
                    or: others.iter().map(|other| other.license.clone()).collect(),
                })
            }));
        }
        found
    }
}

/// A text that two operations share exactly if JavaScript cannot tell them apart but by the order of their names.
fn canonical(json: &Json) -> String {
    json.to_value().map_or_else(
        |_| json.stringify(),
        |value: Value| with_js_numbers(&value).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{json, snapshot};

    fn operations(text: &str) -> Vec<Json> {
        json::parse(text).unwrap().as_list().unwrap().to_vec()
    }

    #[test]
    fn patches_are_found_in_the_list_and_what_is_of_none_stays_open() {
        let example = snapshot::example();
        let owners = Owners::new(&example);
        let set = operations(
            r#"[{"path":"/a","op":"remove"},
                {"value":{"mountPath":"/extra","name":"storage-extra"},"op":"add","path":"/spec/containers/0/volumeMounts/-"},
                {"op":"add","path":"/spec/volumes/-","value":{"name":"storage-extra","persistentVolumeClaim":{"claimName":"storage-extra"}}},
                {"op":"add","path":"/metadata/labels/mylabel","value":"test123"}]"#,
        );
        let found: Vec<Option<(String, usize)>> = owners
            .of(&set, &[])
            .into_iter()
            .map(|owner| owner.map(|owner| (owner.title, owner.operation)))
            .collect();
        let named = |title: &str, operation| Some((title.to_owned(), operation));
        assert_eq!(
            found,
            [
                None,
                named("storage extra", 0),
                named("storage extra", 1),
                named("patch1", 0)
            ]
        );
    }

    #[test]
    fn of_two_licenses_with_the_same_patch_the_projects_own_is_named() {
        let patch = Json::string(r#"[{"op":"remove","path":"/a"}]"#);
        let mut owners = Owners {
            patches: Vec::new(),
            by_first: HashMap::new(),
        };
        owners.add("a", "", &patch);
        owners.add("b", "", &patch);
        let set = operations(r#"[{"op":"remove","path":"/a"}]"#);
        let first = |held: &[String]| owners.of(&set, held).remove(0).unwrap();
        assert_eq!(
            (first(&[]).license, first(&[]).or),
            ("a".to_owned(), vec!["b".to_owned()])
        );
        let held = ["b".to_owned()];
        assert_eq!((first(&held).license, first(&held).or), ("b".to_owned(), vec![]));
    }
}
