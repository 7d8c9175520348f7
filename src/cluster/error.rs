//! What can go wrong between the tool and the API server, in kubectl's words.

use std::time::Duration;

use super::Status;

/// Why a request has no useful answer. The text is the whole of what is shown, kubectl's prefix included.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The server answered, and the answer is no.
    #[error("{}", .0.kubectl_text())]
    Status(Box<Status>),
    /// Everything on the way there: kubeconfig, credentials, connection, TLS, an answer that is none.
    #[error("{0}")]
    Failed(String),
    /// The server did not answer in time.
    #[error(
        "Unable to connect to the server: net/http: request canceled (Client.Timeout exceeded while awaiting headers)"
    )]
    NoAnswer(Duration),
    /// The server's answer did not end, or a log did not go on, in time.
    #[error("error: net/http: request canceled (Client.Timeout or context cancellation while reading body)")]
    NoEnd(Duration),
    /// The user pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl RequestError {
    /// The next step, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Status(status) => {
                if let Some(right) = status.missing_right() {
                    return Some(right.role_hint());
                }
                status.webhook_without_dry_run().map(|name| {
                    format!(
                        "this says nothing of the pod: webhook {name:?} does not declare sideEffects: None or \
                         NoneOnDryRun, so the API server asks it only when a pod is really created"
                    )
                })
            }
            Self::NoAnswer(after) | Self::NoEnd(after) => Some(format!(
                "nothing came for {after:?}; --request-timeout sets how long to wait"
            )),
            Self::Failed(_) | Self::Interrupted => None,
        }
    }

    /// The HTTP status code, if the server answered.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(status.code),
            _ => None,
        }
    }
}
