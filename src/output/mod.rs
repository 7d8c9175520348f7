//! Everything that leaves the tool: one file a format, and [`ui`], the only owner of stdout and stderr.
//!
//! What is printed was written by others: titles of licenses, texts of patches, values from a cluster. So two
//! promises hold in every format. What is printed as YAML, KYAML or JSON reads back as the same values, every
//! string and every name included; `tests/yaml_kubectl.rs` asks the real kubectl. And no control character
//! ever leaves raw ([`escape`]): a terminal would act on it, and go-yaml, which reads for kubectl, refuses it.

pub mod diff;
pub mod escape;
pub mod explain;
pub mod json;
pub mod kyaml;
pub mod mask;
pub mod table;
pub mod ui;
pub mod yaml;

/// The `---` line that separates YAML documents, as kubectl prints it.
pub const YAML_DOCUMENT_SEPARATOR: &str = "---\n";

/// A number as JavaScript prints it; an integral one without fraction. Where `serde_json` holds an integer, its
/// digits are kept: a value from the API server may be an `int64` that no double is.
fn number(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(double) if number.is_f64() => crate::json::number_text(double),
        _ => number.to_string(),
    }
}
