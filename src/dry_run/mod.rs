//! The API server's verdict on a pod, and what it does not check.

pub mod concerns;
