//! A connection, and what can be asked over it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use serde_json::Value;
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep, timeout_at},
};

use super::{
    Environment, Log, Options, RequestError, Status, Warnings,
    bearer::Tokens,
    failure::{self, Destination},
    interrupt, kubeconfig,
    request::{Accept, Request},
};

/// Time for one answer, if the user gives none.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// A longer time than this is not told from none; a clock cannot be set for ever ahead.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);
/// Time to reach the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a request is made that the server has no time for.
const TRIES: u32 = 3;
/// The longest wait between two tries; a server that asks for a longer one is not asked again.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 << 20;
/// Elements of one part of a list.
const CHUNK: &str = "500";
/// How often a list is begun again because its rest is too old.
const LIST_RESTARTS: u32 = 3;

/// `fieldValidation` of a request: what becomes of unknown and duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    /// They are refused.
    Strict,
    /// They are dropped with a warning: what the server does unless it is asked otherwise.
    #[default]
    Warn,
    /// They are dropped in silence.
    Ignore,
}

impl Validation {
    pub(super) fn parameter(self) -> Option<&'static str> {
        match self {
            Self::Strict => Some("Strict"),
            Self::Warn => None,
            Self::Ignore => Some("Ignore"),
        }
    }
}

/// An answer with what the server warned of (`Warning: 299`), each once.
#[derive(Clone, Debug)]
pub struct Reply<T> {
    /// The answer.
    pub value: T,
    /// Texts of the warnings.
    pub warnings: Vec<String>,
}

/// What the server says of a pod.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It would be created: the pod as the server would store it.
    Accepted(Value),
    /// It would not.
    Refused(Status),
}

/// A connection to an API server, with the runtime that drives it.
pub struct Cluster {
    runtime: tokio::runtime::Runtime,
    session: Session,
}

/// What can be asked of the API server.
#[derive(Clone)]
pub struct Session {
    connection: Arc<Connection>,
    namespace: String,
}

struct Connection {
    client: Client,
    tokens: Tokens,
    destination: Destination,
    timeout: Duration,
    log: Option<Log>,
    warnings: Warnings,
    /// Whether the server is known to heed `dryRun`.
    dry_run: OnceCell<()>,
    /// Whether an answer had headers of API Priority and Fairness, which is younger than `dryRun`.
    flow_control: AtomicBool,
}

/// What holds for all tries of a request.
struct Begun {
    token: Option<HeaderValue>,
    deadline: Instant,
}

/// An answer, read to its end.
struct Answer {
    code: u16,
    content_type: String,
    warnings: Vec<String>,
    body: Bytes,
}

impl Cluster {
    /// Reads the kubeconfig, signs in where that takes a credential plugin, and makes a client. Nothing is sent to
    /// the API server yet.
    ///
    /// # Errors
    /// If the kubeconfig, or what it names, cannot be used.
    pub fn connect(options: &Options) -> Result<Self, RequestError> {
        Self::connect_in(options, &Environment::current())
    }

    /// The same in another environment.
    ///
    /// # Errors
    /// As [`Cluster::connect`].
    pub fn connect_in(options: &Options, environment: &Environment) -> Result<Self, RequestError> {
        let target = kubeconfig::resolve(options, environment)?;
        let mut config = target.config;
        let (tokens, identity) = Tokens::new(target.bearer)?;
        if let Some((certificate, key)) = identity {
            use secrecy::ExposeSecret as _;
            config.auth_info.client_certificate_data = Some(STANDARD.encode(certificate));
            config.auth_info.client_key_data = Some(STANDARD.encode(key.expose_secret()).into());
        }
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.headers.push((header::USER_AGENT, user_agent()));
        let destination = Destination {
            server: config.cluster_url.clone(),
            proxy: config.proxy_url.clone(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| RequestError::Failed(format!("error: {error}")))?;
        let client = {
            let _entered = runtime.enter();
            Client::try_from(config).map_err(|error| failure::no_client(&error))?
        };
        let connection = Connection {
            client,
            tokens,
            destination,
            timeout: options
                .request_timeout
                .unwrap_or(REQUEST_TIMEOUT)
                .min(LONGEST_TIMEOUT),
            log: options.log.clone(),
            warnings: options.warnings.clone(),
            dry_run: OnceCell::new(),
            flow_control: AtomicBool::new(false),
        };
        let session = Session {
            connection: Arc::new(connection),
            namespace: target.namespace,
        };
        Ok(Self { runtime, session })
    }

    /// What can be asked.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Drives a future to its end. From Ctrl-C on, every request in it ends with [`RequestError::Interrupted`].
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        let _guard = interrupt::Guard::new();
        self.runtime.block_on(future)
    }
}

impl Session {
    /// The namespace of the flags, else of the context, else `default`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// GET of a path such as `/api/v1/nodes`.
    ///
    /// # Errors
    /// [`RequestError::Status`] if the server refuses, else what went wrong on the way.
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Reply<Value>, RequestError> {
        self.get_as(path, query, Accept::Json).await
    }

    /// GET of an object's metadata alone, as `PartialObjectMetadata`: a Secret's data never leaves the server.
    ///
    /// # Errors
    /// As [`Session::get`].
    pub async fn get_metadata(&self, path: &str) -> Result<Reply<Value>, RequestError> {
        self.get_as(path, &[], Accept::Metadata).await
    }

    /// GET of all elements of a list, in parts of 500. An element has no `kind` and no `apiVersion`, as in every list
    /// of the API server.
    ///
    /// # Errors
    /// As [`Session::get`].
    pub async fn list(&self, path: &str, query: &[(&str, &str)]) -> Result<Reply<Vec<Value>>, RequestError> {
        self.list_as(path, query, Accept::Json).await
    }

    /// The metadata of all elements of a list.
    ///
    /// # Errors
    /// As [`Session::get`].
    pub async fn list_metadata(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Reply<Vec<Value>>, RequestError> {
        self.list_as(path, query, Accept::MetadataList).await
    }

    /// GET of something without a known end, such as a log, as the bytes come; they need not be UTF-8, and a line may
    /// be spread over several. The request's timeout holds for each part and not for the whole.
    ///
    /// # Errors
    /// As [`Session::get`]; the stream ends after its first error.
    pub async fn stream(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<BoxStream<'static, Result<Bytes, RequestError>>, RequestError> {
        let request = Request::Get {
            path,
            query,
            accept: Accept::Any,
        };
        let begun = self.connection.begin()?;
        let response = interrupt::or_interrupted(self.connection.ask(&request, &begun)).await?;
        if !response.status().is_success() {
            let answer = interrupt::or_interrupted(self.connection.read(response, begun.deadline)).await?;
            return Err(answer.refusal(&request));
        }
        let patience = self.connection.timeout;
        let parts = stream::try_unfold(response.into_body(), move |mut body| async move {
            let next =
                interrupt::or_interrupted(next_part(&mut body, Instant::now() + patience, patience)).await?;
            Ok(next.map(|bytes| (bytes, body)))
        });
        Ok(parts.boxed())
    }

    /// POST of a pod with `dryRun=All` into [`Session::namespace`]. Before the first one the server's version is
    /// looked at: a server that does not know `dryRun` would create the pod.
    ///
    /// # Errors
    /// What went wrong on the way; a refusal is an answer.
    pub async fn dry_run_pod(
        &self,
        pod: &Value,
        validation: Validation,
    ) -> Result<Reply<Verdict>, RequestError> {
        self.connection
            .dry_run
            .get_or_try_init(|| self.knows_dry_run())
            .await?;
        // The numbers as CoCalc writes them: the server quotes them.
        let body = crate::output::json::compact(pod).into_bytes();
        let request = Request::DryRunPod {
            namespace: &self.namespace,
            pod: &body,
            validation,
        };
        let answer = self.connection.send(&request).await?;
        let warnings = answer.warnings.clone();
        let value = if StatusCode::from_u16(answer.code).is_ok_and(|code| code.is_success()) {
            Verdict::Accepted(answer.json(&request)?)
        } else {
            Verdict::Refused(answer.status(&request))
        };
        Ok(Reply { value, warnings })
    }

    async fn get_as(
        &self,
        path: &str,
        query: &[(&str, &str)],
        accept: Accept,
    ) -> Result<Reply<Value>, RequestError> {
        let request = Request::Get { path, query, accept };
        let answer = self.connection.send(&request).await?;
        if !(200..300).contains(&answer.code) {
            return Err(answer.refusal(&request));
        }
        let value = answer.json(&request)?;
        Ok(Reply {
            value,
            warnings: answer.warnings,
        })
    }

    async fn list_as(
        &self,
        path: &str,
        query: &[(&str, &str)],
        accept: Accept,
    ) -> Result<Reply<Vec<Value>>, RequestError> {
        let mut restarts = 0;
        let mut items = Vec::new();
        let mut warnings = Vec::new();
        let mut rest = String::new();
        loop {
            let mut query = query.to_vec();
            query.push(("limit", CHUNK));
            if !rest.is_empty() {
                query.push(("continue", &rest));
            }
            let mut part = match self.get_as(path, &query, accept).await {
                Ok(part) => part,
                // The server forgets a list after some minutes, and says so.
                Err(error) if error.code() == Some(410) && !rest.is_empty() && restarts < LIST_RESTARTS => {
                    restarts += 1;
                    items.clear();
                    rest.clear();
                    continue;
                }
                Err(error) => return Err(error),
            };
            match part.value.get_mut("items").map(Value::take) {
                Some(Value::Array(more)) => items.extend(more),
                Some(Value::Null) => {}
                _ => {
                    return Err(RequestError::Failed(format!(
                        "error: the answer to {path} is no list"
                    )));
                }
            }
            for warning in part.warnings {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
            let next = part
                .value
                .pointer("/metadata/continue")
                .and_then(Value::as_str)
                .unwrap_or("");
            if next.is_empty() {
                return Ok(Reply {
                    value: items,
                    warnings,
                });
            }
            next.clone_into(&mut rest);
        }
    }

    /// `dryRun` is on by default since Kubernetes 1.13 and fixed since 1.18; an older server may create the pod. Where
    /// `/version` may not be read, headers that only younger servers send are proof enough; without them nothing is
    /// sent.
    async fn knows_dry_run(&self) -> Result<(), RequestError> {
        let refusal = |why: &str| {
            RequestError::Failed(format!(
                "error: {why}, and an API server older than Kubernetes 1.18 may create a pod that it is asked to try: \
                 nothing was sent"
            ))
        };
        match self.get("/version", &[]).await {
            Ok(version) => match version_of(&version.value) {
                Some(version) if version >= (1, 18) => Ok(()),
                Some((major, minor)) => Err(refusal(&format!("the server's version is {major}.{minor}"))),
                None if self.connection.flow_control.load(Ordering::Relaxed) => Ok(()),
                None => Err(refusal("the server does not tell its version")),
            },
            Err(RequestError::Status(status)) if matches!(status.code, 403 | 404) => {
                if self.connection.flow_control.load(Ordering::Relaxed) {
                    Ok(())
                } else {
                    Err(refusal(&format!(
                        "the server does not tell its version ({})",
                        status.message
                    )))
                }
            }
            Err(error) => Err(error),
        }
    }
}

impl Connection {
    /// Who asks, and until when the answer must be there. A user who has to sign in again does so before the clock
    /// runs.
    fn begin(&self) -> Result<Begun, RequestError> {
        let token = self.tokens.header()?;
        let deadline = Instant::now() + self.timeout;
        Ok(Begun { token, deadline })
    }

    /// Asks, and reads the answer, within the request's timeout.
    async fn send(&self, request: &Request<'_>) -> Result<Answer, RequestError> {
        let begun = self.begin()?;
        interrupt::or_interrupted(async {
            let response = self.ask(request, &begun).await?;
            self.read(response, begun.deadline).await
        })
        .await
    }

    /// Asks, again if the server has no time just now: both kinds of request can be repeated without harm.
    async fn ask(&self, request: &Request<'_>, begun: &Begun) -> Result<Response<Body>, RequestError> {
        if let Some(log) = &self.log {
            log.body("Request", request.body());
        }
        let mut tries = 1;
        loop {
            let response = self.ask_once(request, begun).await?;
            let wait = wait_before_next_try(response.status(), response.headers(), tries);
            match wait.filter(|wait| tries < TRIES && Instant::now() + *wait < begun.deadline) {
                Some(wait) => {
                    drop(response);
                    if let Some(log) = &self.log {
                        log.again(wait);
                    }
                    sleep(wait).await;
                    tries += 1;
                }
                None => return Ok(response),
            }
        }
    }

    async fn ask_once(&self, request: &Request<'_>, begun: &Begun) -> Result<Response<Body>, RequestError> {
        let mut http = request.http()?;
        if let Some(token) = &begun.token {
            http.headers_mut().insert(header::AUTHORIZATION, token.clone());
        }
        let began = Instant::now();
        let answered = timeout_at(begun.deadline, self.client.send(http)).await;
        if let Some(log) = &self.log {
            let server = self.destination.server.to_string();
            let url = format!("{}{}", server.trim_end_matches('/'), request.target()?);
            match &answered {
                Ok(Ok(response)) => log.answered(&request.method(), &url, response.status(), began.elapsed()),
                _ => log.failed(&request.method(), &url, began.elapsed()),
            }
        }
        let response = answered
            .map_err(|_| RequestError::NoAnswer(self.timeout))?
            .map_err(|error| failure::no_answer(&error, &self.destination))?;
        if response.headers().contains_key(FLOW_SCHEMA) {
            self.flow_control.store(true, Ordering::Relaxed);
        }
        Ok(response)
    }

    async fn read(&self, response: Response<Body>, deadline: Instant) -> Result<Answer, RequestError> {
        let (parts, mut body) = response.into_parts();
        let mut whole = Vec::new();
        while let Some(part) = next_part(&mut body, deadline, self.timeout).await? {
            if whole.len() + part.len() > LONGEST_ANSWER {
                return Err(RequestError::Failed(format!(
                    "error: the API server's answer is longer than {} MiB",
                    LONGEST_ANSWER >> 20
                )));
            }
            whole.extend_from_slice(&part);
        }
        if let Some(log) = &self.log {
            log.body("Response", &whole);
        }
        let warnings = warnings(&parts.headers);
        warnings.iter().for_each(|warning| self.warnings.add(warning));
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        Ok(Answer {
            code: parts.status.as_u16(),
            content_type: content_type
                .and_then(|value| value.to_str().ok())
                .unwrap_or("")
                .to_owned(),
            warnings,
            body: whole.into(),
        })
    }
}

impl Answer {
    fn json(&self, request: &Request<'_>) -> Result<Value, RequestError> {
        serde_json::from_slice(&self.body).map_err(|_| {
            let shown: String = String::from_utf8_lossy(&self.body).trim().chars().take(200).collect();
            RequestError::Failed(format!(
                "error: the answer to {} {} is not JSON but {:?}: {shown:?}; is this the address of an API server, and \
                 not of a proxy or a page to sign in?",
                request.method(),
                request.path(),
                self.content_type
            ))
        })
    }

    fn status(&self, request: &Request<'_>) -> Status {
        Status::read(self.code, &self.content_type, &self.body, &asked(request))
    }

    fn refusal(&self, request: &Request<'_>) -> RequestError {
        RequestError::Status(Box::new(self.status(request)))
    }
}

/// A header of API Priority and Fairness, new in Kubernetes 1.18. It is there with a refusal too.
const FLOW_SCHEMA: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");

/// `kubectl-cocalc/0.1.0 (linux/amd64)`, with Go's names, by which admins find us in audit logs.
fn user_agent() -> HeaderValue {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        other => other,
    };
    let text = format!("kubectl-cocalc/{} ({os}/{arch})", env!("CARGO_PKG_VERSION"));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("kubectl-cocalc"))
}

/// The next part of a body; `None` at its end.
async fn next_part(
    body: &mut Body,
    deadline: Instant,
    patience: Duration,
) -> Result<Option<Bytes>, RequestError> {
    loop {
        let frame = timeout_at(deadline, body.frame())
            .await
            .map_err(|_| RequestError::NoEnd(patience))?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(failure::broken_body(&error)),
            // What is no data is a trailer.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// How long to wait, if asking again makes sense.
fn wait_before_next_try(status: StatusCode, headers: &HeaderMap, tries: u32) -> Option<Duration> {
    if !matches!(status.as_u16(), 429 | 503 | 504) {
        return None;
    }
    let asked_for = headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let wait = asked_for.unwrap_or(Duration::from_millis(500) * tries);
    Some(wait).filter(|wait| *wait <= LONGEST_WAIT)
}

/// The texts of `Warning: 299 - "text"`, each once.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let mut texts = Vec::new();
    for value in headers.get_all(header::WARNING) {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut rest = &*text;
        while let Some((text, after)) = next_warning(rest) {
            if !texts.contains(&text) {
                texts.push(text);
            }
            rest = after;
        }
    }
    texts
}

/// `299 agent "text" "date", …`: the text, and what follows it.
fn next_warning(header: &str) -> Option<(String, &str)> {
    let rest = header.trim_start_matches([' ', ',']).strip_prefix("299 ")?;
    let (_agent, rest) = rest.split_once('"')?;
    let mut text = String::new();
    let mut chars = rest.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => {
                let after = rest.get(at + 1..)?;
                let date = after.strip_prefix(" \"").and_then(|date| date.split_once('"'));
                return Some((text, date.map_or(after, |(_, after)| after)));
            }
            (_, '\\') => text.push(chars.next()?.1),
            (_, other) => text.push(other),
        }
    }
}

/// Major and minor version of `/version`; the minor may have a tail, as in `27+`.
fn version_of(version: &Value) -> Option<(u32, u32)> {
    let number = |key: &str| {
        let text = version.get(key)?.as_str()?;
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text.get(..digits)?.parse::<u32>().ok()
    };
    if let (Some(major), Some(minor)) = (number("major"), number("minor")) {
        return Some((major, minor));
    }
    let text = version.get("gitVersion")?.as_str()?.strip_prefix('v')?;
    let mut numbers = text.split(['.', '-', '+']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// What client-go adds to its own words: `get pods project-1`.
fn asked(request: &Request<'_>) -> String {
    let path = request.path();
    let mut segments = path.trim_start_matches('/').split('/');
    let group = match segments.next() {
        Some("api") => {
            segments.next();
            None
        }
        Some("apis") => {
            let group = segments.next();
            segments.next();
            group
        }
        _ => return String::new(),
    };
    let mut segments = segments.peekable();
    let mut resource = segments.next();
    if resource == Some("namespaces") {
        let name = segments.next();
        match segments.next() {
            Some(inner) => resource = Some(inner),
            None => return suffix(request, resource, group, name),
        }
    }
    let name = segments.next();
    suffix(request, resource, group, name)
}

fn suffix(request: &Request<'_>, resource: Option<&str>, group: Option<&str>, name: Option<&str>) -> String {
    let Some(resource) = resource else {
        return String::new();
    };
    let mut text = format!("{} {resource}", request.method().as_str().to_lowercase());
    if let Some(group) = group {
        text.push('.');
        text.push_str(group);
    }
    if let Some(name) = name {
        text.push(' ');
        text.push_str(name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn warnings_are_read_each_once() {
        let mut headers = HeaderMap::new();
        for value in [
            r#"299 - "unknown field \"spec.x\"""#,
            r#"299 - "unknown field \"spec.x\"""#,
            r#"299 agent "one" "Wed, 25 Nov 2026 00:00:00 GMT", 299 - "two""#,
            r#"199 - "not ours""#,
            "299 broken",
        ] {
            headers.append(header::WARNING, HeaderValue::from_static(value));
        }
        assert_eq!(warnings(&headers), ["unknown field \"spec.x\"", "one", "two"]);
    }

    #[test]
    fn versions_are_read_with_their_tails() {
        assert_eq!(version_of(&json!({"major": "1", "minor": "17+"})), Some((1, 17)));
        assert_eq!(
            version_of(&json!({"major": "", "minor": "", "gitVersion": "v1.28.3-gke.7"})),
            Some((1, 28))
        );
        assert_eq!(version_of(&json!({"gitVersion": "unknown"})), None);
    }

    #[test]
    fn a_server_that_asks_for_a_long_wait_is_not_asked_again() {
        let wait = |code: u16, after: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(after) = after {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(after));
            }
            wait_before_next_try(StatusCode::from_u16(code).unwrap(), &headers, 1)
        };
        assert_eq!(wait(429, Some("10")), Some(Duration::from_secs(10)));
        assert_eq!(wait(429, Some("11")), None);
        assert_eq!(wait(503, None), Some(Duration::from_millis(500)));
        assert_eq!(wait(500, Some("1")), None);
        assert_eq!(wait(409, None), None);
    }

    #[test]
    fn words_of_client_go_name_what_was_asked_for() {
        let asked = |path: &str| {
            asked(&Request::Get {
                path,
                query: &[],
                accept: Accept::Json,
            })
        };
        assert_eq!(asked("/api/v1/namespaces/lab/pods/p/log"), "get pods p");
        assert_eq!(asked("/api/v1/namespaces/lab"), "get namespaces lab");
        assert_eq!(asked("/api/v1/nodes"), "get nodes");
        assert_eq!(
            asked("/apis/apps/v1/namespaces/lab/deployments"),
            "get deployments.apps"
        );
        assert_eq!(asked("/version"), "");
    }
}
