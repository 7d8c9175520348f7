//! pipeline

mod coerce;
mod decided;
pub mod gpu;
pub mod licenses;
pub mod quota;
pub mod settings;
