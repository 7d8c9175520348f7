//! What Pod will CoCalc create for a project, and who put each field there?
//!
//! (crate documentation is completed with the pipeline)

pub mod json;
pub mod json_patch;
pub mod output;
pub mod pipeline;
pub mod snapshot;
