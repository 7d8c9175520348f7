//! Which Pod will CoCalc create for a project, and who put each field there?
//!
//! CoCalc OnPrem starts each user's project as a Kubernetes Pod. This crate computes the same Pod from the same
//! inputs, with the writer of every field, and is the library behind `kubectl cocalc`.
//!
//! ```text
//! sources                 snapshot              pipeline (pure, in CoCalc's order)             rim
//! files, standard input ─┐                      licenses   which are in force (the hook)       ┌▶ check
//! PostgreSQL            ─┤                      quota      the exact algorithm                 ├▶ output
//! ConfigMaps, live pods ─┼▶ Snapshot ─▶ Site ─▶ template   placeholders filled in its text  ─▶ Rendered
//! built-in example      ─┘                      resources  quota → requests, limits, /ext …    └▶ dry_run: the API
//!                                               patches    gate, order, fast-json-patch           server's verdict, back to
//!                                                                                                 whoever wrote the field
//! ```
//!
//! * [`snapshot`]: what the tool knows, as plain data, and the readers that make it: files, cluster, PostgreSQL.
//! * [`pipeline`]: from a snapshot to the pod. No I/O, no clock; [`pipeline::Site::render`] is the list of steps.
//! * [`json_patch`]: patches as fast-json-patch applies them, on a document that knows who wrote what.
//! * [`json`]: JSON with JavaScript's rules, on which all of it is built.
//! * [`check`]: what an admin should know about the result although CoCalc says nothing of it.
//! * [`patch_diff`]: the patch that an edit needs, proved before it is given.
//! * [`cluster`]: the API server; GET and the dry run of a pod are the only requests that can be expressed.
//! * [`dry_run`]: asks it, proves who is guilty of a refusal, and says what will keep an accepted pod from running.
//! * [`debug`]: CoCalc's own record of a start, read, replayed and held against ours.
//! * [`output`]: one file a format; `ui` alone owns the terminal.
//! * [`cli`]: the command line; one file a command.
//!
//! ```
//! use kubectl_cocalc::{pipeline::{Known, Site, Subject, View}, snapshot};
//!
//! let example = snapshot::example();
//! let now = "2026-11-24T12:00:00Z".parse()?;
//! let site = Site::new(&example, now, View::default());
//! let project = &example.projects[0];
//! let subject = Subject { project_id: &project.project_id, known: Known::Row(project), live_pod: None };
//! let pod = site.render(subject)?.pod.to_value()?;
//! assert_eq!(pod["metadata"]["labels"]["mylabel"], "test123");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod check;
pub mod cli;
pub mod cluster;
pub mod debug;
pub mod dry_run;
pub mod json;
pub mod json_patch;
pub mod output;
pub mod patch_diff;
pub mod pipeline;
pub mod snapshot;
