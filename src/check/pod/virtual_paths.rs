//! Files of a volume of which one would be the other, or a folder of it: the later one hides it, or cannot be made.

use std::collections::HashMap;

use super::{Report, at::At};

/// The paths of a volume so far, part by part, so that time is linear in their length.
#[derive(Default)]
struct Tree<'v> {
    /// From a node, 0 is the root, by the next part of a path to the node there.
    steps: HashMap<(usize, &'v str), usize>,
    nodes: Vec<Node<'v>>,
}

struct Node<'v> {
    /// The first path that leads here.
    first: At<'v>,
    /// The first path that ends here.
    end: Option<At<'v>>,
}

impl<'v> Tree<'v> {
    /// Takes in the path that stands here. Gives the first one that it overlaps with.
    fn add(&mut self, at: &At<'v>) -> Option<At<'v>> {
        let path = at.text().trim_end_matches('/');
        if path.is_empty() {
            return None;
        }
        let (mut here, mut is_new, mut above) = (0, false, None);
        for part in path.split('/') {
            let next = self.nodes.len() + 1;
            here = *self.steps.entry((here, part)).or_insert(next);
            is_new = here == next;
            if is_new {
                let first = at.clone();
                self.nodes.push(Node { first, end: None });
            }
            above = above.or_else(|| self.nodes.get(here - 1)?.end.clone());
        }
        let node = self.nodes.get_mut(here - 1)?;
        node.end.get_or_insert_with(|| at.clone());
        above.or_else(|| (!is_new).then(|| node.first.clone()))
    }
}

pub(super) fn virtual_paths(spec: &At<'_>, report: &mut Report) {
    for volume in spec.get("volumes").items() {
        for kind in ["configMap", "secret", "downwardAPI"] {
            let mut tree = Tree::default();
            for item in volume.get(kind).get("items").items() {
                look(&mut tree, &item.get("path"), report);
            }
        }
        let mut tree = Tree::default();
        for source in volume.at(&["projected", "sources"]).items() {
            if !source.entries().any(|(_, kind)| kind.is_set()) {
                report.warning(
                    "pod-projection-without-source",
                    &source,
                    "this source is empty and projects nothing",
                );
            }
            for path in files(&source) {
                look(&mut tree, &path, report);
            }
        }
    }
}

/// The paths of the files that a source of a projected volume makes.
fn files<'v>(source: &At<'v>) -> Vec<At<'v>> {
    for kind in ["configMap", "secret", "downwardAPI"] {
        let items = source.get(kind).get("items");
        if items.is_set() {
            return items.items().map(|item| item.get("path")).collect();
        }
    }
    for (kind, members) in [
        ("serviceAccountToken", &["path"][..]),
        ("clusterTrustBundle", &["path"]),
        (
            "podCertificate",
            &["certificateChainPath", "keyPath", "credentialBundlePath"],
        ),
    ] {
        let at = source.get(kind);
        if at.is_set() {
            return members.iter().map(|member| at.get(member)).collect();
        }
    }
    Vec::new()
}

fn look<'v>(tree: &mut Tree<'v>, path: &At<'v>, report: &mut Report) {
    if let Some(first) = tree.add(path) {
        report.warning_with(
            "pod-overlapping-paths",
            path,
            format!(
                "{:?} and {:?} of {} are the same file, or one is a folder of the other",
                path.text(),
                first.text(),
                first.field()
            ),
            vec![first.path()],
        );
    }
}
