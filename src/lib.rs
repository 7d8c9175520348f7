//! Which Pod will CoCalc create for a project, and who put each field there?

pub mod check;
pub mod cli;
pub mod json;
pub mod json_patch;
pub mod output;
pub mod patch_diff;
pub mod pipeline;
pub mod snapshot;
