//! No patch is shown before it has been applied.

use std::fmt;

use serde_json::Value;

use crate::{
    json::{Json, with_js_numbers},
    json_patch::{Document, Operation, Options, Stamp, apply, strict},
};

/// A way to read a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reading {
    /// What CoCalc does: fast-json-patch without validation.
    CoCalc,
    /// Strict RFC 6902.
    Rfc6902,
    /// fast-json-patch with validation.
    Validation,
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CoCalc => "as CoCalc applies it",
            Self::Rfc6902 => "by RFC 6902",
            Self::Validation => "with fast-json-patch's validation",
        })
    }
}

/// What a patch does instead of what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// An operation fails.
    #[error("{reading}, operation {} fails: {reason}", operation + 1)]
    Fails {
        /// In which reading.
        reading: Reading,
        /// Its index, from 0; in text it counts from 1.
        operation: usize,
        /// Why.
        reason: String,
    },
    /// The result is another document.
    #[error("{reading}, the result is another document")]
    Differs {
        /// In which reading.
        reading: Reading,
    },
    /// Applying it exceeds a limit of this crate.
    #[error("{reason}")]
    Limit {
        /// Which one.
        reason: String,
    },
}

/// Applies the operations to `base` in each [`Reading`] and compares the result with `wanted`; numbers are
/// JavaScript's. Recurses as deep as the documents.
///
/// # Errors
/// The first reading in which an operation fails or the result is another document.
pub fn prove(base: &Value, operations: &[Value], wanted: &Value) -> Result<(), ProofError> {
    let wanted = with_js_numbers(wanted);
    let document = Document::from_json(&Json::from(base), 0);
    let parsed: Vec<Operation> = operations
        .iter()
        .map(|operation| Operation::new(&Json::from(operation)))
        .collect();
    let stamped: Vec<(&Operation, Stamp)> = parsed.iter().zip(1..).collect();
    for (reading, validate) in [(Reading::CoCalc, false), (Reading::Validation, true)] {
        let mut document = document.clone();
        if let Some(failure) = apply(&mut document, &stamped, Options { validate }).failure {
            return Err(match failure.limit {
                Some(_) => ProofError::Limit {
                    reason: failure.message,
                },
                None => ProofError::Fails {
                    reading,
                    operation: failure.operation,
                    reason: failure.message,
                },
            });
        }
        if document.to_value().ok().as_ref() != Some(&wanted) {
            return Err(ProofError::Differs { reading });
        }
    }
    let reading = Reading::Rfc6902;
    match strict(base, operations) {
        Ok(result) if result == wanted => Ok(()),
        Ok(_) => Err(ProofError::Differs { reading }),
        Err(rejected) => Err(ProofError::Fails {
            reading,
            operation: rejected.operation,
            reason: rejected.reason,
        }),
    }
}
