//! Whether the API server would accept a project's pod, and whose fault it is if not.
//!
//! [`ask`] sends the pod with `dryRun=All` and translates a refusal back: [`fault`] reads the server's words,
//! `places.rs` says where in the pod each fault may stand, provenance says who wrote that, and asking again without
//! the operations in question proves it (`inquiry.rs`). After a refusal something harmless is put in the place of the
//! values at fault (`neutral.rs`), or the guilty operations are left out, and the server is asked again, since each
//! of its layers hides the next. [`report`] and [`text`] tell the outcome.

use std::future::Future;

use serde_json::Value;

use crate::{
    cluster::{Reply, RequestError, Session, Validation, Verdict},
    snapshot::FieldValidation,
};

pub mod concerns;
mod existing;
pub mod fault;
pub mod findings;
mod inquiry;
mod neutral;
pub mod path;
mod places;
pub mod report;
pub mod summary;
pub mod text;

pub(crate) use places::places;

pub use existing::Existing;
pub use inquiry::{Blame, Memory, Outcome, Party, Problem, Question, Round, Unfinished, ask};

/// Whoever can be asked about a pod; the one request of this room.
pub trait Server {
    /// What the server says of a pod, which is not created.
    fn dry_run_pod(
        &self,
        pod: &Value,
        validation: Validation,
    ) -> impl Future<Output = Result<Reply<Verdict>, RequestError>>;
}

impl Server for Session {
    async fn dry_run_pod(&self, pod: &Value, validation: Validation) -> Result<Reply<Verdict>, RequestError> {
        Self::dry_run_pod(self, pod, validation).await
    }
}

impl From<FieldValidation> for Validation {
    fn from(assumed: FieldValidation) -> Self {
        match assumed {
            FieldValidation::Strict => Self::Strict,
            FieldValidation::Warn => Self::Warn,
            FieldValidation::Ignore => Self::Ignore,
        }
    }
}
