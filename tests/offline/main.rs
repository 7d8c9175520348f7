//! Everything that needs no server: files, node with the real fast-json-patch, and the plugin itself.

#[path = "../support/mod.rs"]
mod support;

mod check_licenses;
mod check_operations;
mod dry_run;
mod fast_json_patch_differential;
mod fast_json_patch_vectors;
mod json_patch_properties;
mod jsonic;
mod licenses;
mod many_projects;
mod mistakes;
mod patch_diff;
mod patch_making;
mod pod_warnings;
mod quota;
mod quota_examples;
mod quota_properties;
mod redaction;
mod render;
mod snapshot_files;
