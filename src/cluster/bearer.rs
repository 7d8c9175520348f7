//! The bearer token of a connection, renewed when it is too old.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::HeaderValue;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    RequestError,
    exec::Credential,
    kubeconfig::{Bearer, reason},
};

/// Kubernetes renews the token file of a pod while the pod runs.
const REREAD: Duration = Duration::from_secs(60);

/// Gives the token for each request.
#[derive(Debug)]
pub(super) struct Tokens {
    source: Bearer,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<SecretString>,
    expires: Option<Timestamp>,
    read: Option<Instant>,
}

impl Tokens {
    /// Runs the credential plugin, if there is one, and gives its client certificate too.
    pub(super) fn new(source: Bearer) -> Result<(Self, Option<(String, SecretString)>), RequestError> {
        let mut identity = None;
        let mut state = State::default();
        match &source {
            Bearer::None => {}
            Bearer::Token(token) => state.token = Some(token.clone()),
            Bearer::File(path, None) => state.read_file(path)?,
            // client-go prefers the file and falls back on the token.
            Bearer::File(path, token) => {
                state.token.clone_from(token);
                let _ = state.read_file(path);
            }
            Bearer::Plugin(plugin) => identity = state.take(plugin.run()?),
        }
        let state = Mutex::new(state);
        Ok((Self { source, state }, identity))
    }

    /// `Bearer …`, marked as not to be shown. A plugin that is run here holds everything up, since all other
    /// requests need what it gives.
    pub(super) fn header(&self) -> Result<Option<HeaderValue>, RequestError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.source {
            Bearer::None | Bearer::Token(_) => {}
            Bearer::File(path, _) => {
                if state.read.is_none_or(|read| read.elapsed() > REREAD) {
                    // The last token is better than none.
                    let _ = state.read_file(path);
                }
            }
            Bearer::Plugin(plugin) => {
                // A new certificate would need a new connection; plugins that give one make it last.
                if state.expires.is_some_and(|expires| expires <= Timestamp::now()) && state.token.is_some() {
                    state.take(plugin.run()?);
                }
            }
        }
        let Some(token) = &state.token else {
            return Ok(None);
        };
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).map_err(|_| {
            RequestError::Failed(
                "error: the token holds characters that cannot be sent in a header".to_owned(),
            )
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl State {
    fn read_file(&mut self, path: &Path) -> Result<(), RequestError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let path = path.display();
            let why = reason(&error);
            RequestError::Failed(format!(
                "Unable to connect to the server: failed to read token file \"{path}\": open {path}: {why}"
            ))
        })?;
        self.token = Some(text.trim().into());
        self.read = Some(Instant::now());
        Ok(())
    }

    fn take(&mut self, credential: Credential) -> Option<(String, SecretString)> {
        self.token = credential.token;
        self.expires = credential.expires;
        credential.identity
    }
}
