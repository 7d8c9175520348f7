//! The built-in example (`--example`): something to try every command with, without a cluster or a database.

use super::{Snapshot, file};

/// The example's file, also a sample of the snapshot file's form.
pub(super) const EXAMPLE: &str = include_str!("example.yaml");

/// The built-in example: one project that holds four licenses, and the licenses of CoCalc's documentation.
pub fn example() -> Snapshot {
    // The text is part of the program, and a test reads it; a failure cannot depend on input.
    file::read_text("built-in example", EXAMPLE)
        .map_or_else(|_| Snapshot::default(), |(snapshot, _)| snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    #[test]
    fn the_example_is_read_without_a_note_and_has_one_project() {
        let (snapshot, notes) = file::read_text("example.yaml", EXAMPLE).unwrap();
        assert_eq!(notes, []);
        assert_eq!(snapshot.projects.len(), 1);
        let held = snapshot.projects[0].site_license.value().unwrap();
        for id in held.as_map().unwrap().keys() {
            assert!(
                snapshot.site_licenses.contains_key(id.as_str().unwrap()),
                "{id:?}"
            );
        }
        let patch1 = &snapshot.site_licenses["f3d76abf-38a5-4e4e-884d-2e70f1afddb9"];
        assert_eq!(patch1.activates.unwrap().to_string(), "2023-01-20T16:37:12.595Z");
        for license in snapshot.site_licenses.values() {
            if let Some(patch) = license.quota.get("patch") {
                assert!(
                    parse(patch.as_str().unwrap()).unwrap().as_list().is_some(),
                    "{}",
                    license.title
                );
            }
        }
        let template = parse(&snapshot.template.unwrap().text).unwrap();
        assert_eq!(template.get("kind").unwrap().as_str(), Some("Pod"));
        assert_eq!(example().projects.len(), 1);
    }
}
