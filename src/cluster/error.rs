//! What can go wrong between the tool and the API server, in kubectl's words.

use super::Status;

/// Why a request has no useful answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The server answered, and the answer is no.
    #[error("{}", .0.kubectl_text())]
    Status(Box<Status>),
    /// Everything on the way there: kubeconfig, credentials, connection, TLS, an answer that is none.
    #[error("{0}")]
    Failed(String),
    /// The user pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl RequestError {
    /// The next step, where one is known.
    pub fn hint(&self) -> Option<String> {
        None
    }
}
