//! The API server: how to reach it, and the two requests that this tool can make of it.
//!
//! * [`Options`]: kubectl's connection flags, laid over the kubeconfig.
//! * [`Cluster`]: a connection with the runtime that drives it; built only when a request will be made.
//! * [`Session`]: what can be asked. There are two kinds of request, GET and POST of a pod with `dryRun=All`; no
//!   other can be expressed.
//! * [`Status`] and [`RequestError`]: the server's refusals and everything that can go wrong on the way, in
//!   kubectl's words.

mod client;
mod error;
mod options;
mod status;

pub use client::{Cluster, Reply, Session, Validation, Verdict};
pub use error::RequestError;
pub use options::{Environment, Log, Options, Warnings, parse_timeout};
pub use status::{Cause, Details, Status};
