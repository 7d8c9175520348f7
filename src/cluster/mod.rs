//! The API server: how to reach it, and the two requests that this tool can make of it.
//!
//! * [`Options`] and [`Environment`]: kubectl's connection flags and the variables beside them; `kubeconfig` lays them
//!   over the kubeconfig, `proxy` finds the proxy, `exec` runs credential plugins, `bearer` keeps their tokens fresh.
//! * [`Cluster`]: a connection with the runtime that drives it; built only when a request will be made.
//! * [`Session`]: what can be asked. There are two kinds of request (`request`), GET and POST of a pod with
//!   `dryRun=All`; no other can be expressed.
//! * [`Status`] and [`RequestError`]: the server's refusals and everything that can go wrong on the way (`failure`), in
//!   kubectl's words.

mod bearer;
mod client;
mod error;
mod exec;
mod failure;
mod interrupt;
mod kubeconfig;
mod log;
mod options;
mod proxy;
mod request;
mod status;

pub use client::{Cluster, Reply, Session, Validation, Verdict};
pub use error::RequestError;
pub(crate) use kubeconfig::{Entry, Kubeconfig};
pub use options::{Environment, Log, Options, Warnings, parse_timeout};
pub use status::{Cause, Details, MissingRight, Status};
