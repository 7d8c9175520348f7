//! No patch is shown before it has been applied.

use std::fmt;

use serde_json::Value;

use crate::{
    json::{Json, js_numbers},
    json_patch::{Document, Operation, Options, Stamp, apply, strict_in_place},
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
    let (base, wanted) = (js_numbers(base), js_numbers(wanted));
    prove_document(&base, &Document::from_value(&base, 0), operations, &wanted)
}

/// [`prove`] of a document that is read already, and whose numbers are JavaScript's.
pub(super) fn prove_document(
    base: &Value,
    document: &Document,
    operations: &[Value],
    wanted: &Value,
) -> Result<(), ProofError> {
    let parsed: Vec<Operation> = operations
        .iter()
        .map(|operation| Operation::new(&Json::from(operation)))
        .collect();
    let stamped: Vec<(&Operation, Stamp)> = parsed.iter().zip(1..).collect();
    let read = |reading, validate| {
        let mut document = document.clone();
        match apply(&mut document, &stamped, Options { validate }).failure {
            Some(failure) if failure.limit.is_some() => Err(ProofError::Limit {
                reason: failure.message,
            }),
            Some(failure) => Err(ProofError::Fails {
                reading,
                operation: failure.operation,
                reason: failure.message,
            }),
            None if document.is_value(wanted) => Ok(()),
            None => Err(ProofError::Differs { reading }),
        }
    };
    // Validation only adds refusals: what passes it, CoCalc applies to the same effect. What does not is read again to
    // say in which reading it fails.
    if let Err(error) = read(Reading::Validation, true) {
        return read(Reading::CoCalc, false).and(Err(error));
    }
    let reading = Reading::Rfc6902;
    let mut result = base.clone();
    match strict_in_place(&mut result, operations) {
        Ok(()) if result == *wanted => Ok(()),
        Ok(()) => Err(ProofError::Differs { reading }),
        Err(rejected) => Err(ProofError::Fails {
            reading,
            operation: rejected.operation,
            reason: rejected.reason,
        }),
    }
}
