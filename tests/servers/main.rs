//! Everything that needs an API server, a PostgreSQL, or a tool that was built with Go.

#[path = "../support/mod.rs"]
mod support;

mod calibrate;
mod check_pods;
mod cluster_connection;
mod cluster_sources;
mod completion;
mod database;
mod debug;
mod dry_run;
mod dry_run_concerns;
mod dry_run_corpus;
mod help;
mod krew;
mod lab;
mod picture;
mod snapshot_command;
mod transcripts;
mod yaml_kubectl;
