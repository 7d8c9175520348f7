//! stub
use std::collections::BTreeSet;
/// x
pub enum Projects {
    /// a
    All,
    /// b
    WithLicense(String),
    /// c
    Named(Vec<String>),
}
/// x
pub fn statement(_: &Projects, _: &BTreeSet<String>) -> String {
    String::new()
}
