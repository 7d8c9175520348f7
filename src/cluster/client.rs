//! A connection, and the two requests.

use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

use super::{Options, RequestError, Status};

/// `fieldValidation` of a request: what becomes of unknown and duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    /// They are refused.
    #[default]
    Strict,
    /// They are dropped with a warning.
    Warn,
    /// They are dropped in silence.
    Ignore,
}

impl Validation {
    fn parameter(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Warn => "Warn",
            Self::Ignore => "Ignore",
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
    client: Client,
    namespace: String,
}

impl Cluster {
    /// Reads the kubeconfig and makes a client. Nothing is sent yet.
    ///
    /// # Errors
    /// If the kubeconfig, or what it names, cannot be used.
    pub fn connect(options: &Options) -> Result<Self, RequestError> {
        let failed = |error: &dyn std::fmt::Display| RequestError::Failed(format!("error: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(&error))?;
        let session = runtime.block_on(async {
            let selected = KubeConfigOptions {
                context: options.context.clone(),
                cluster: options.cluster.clone(),
                user: options.user.clone(),
            };
            let mut config = match &options.kubeconfig {
                Some(path) => {
                    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| failed(&error))?;
                    Config::from_custom_kubeconfig(kubeconfig, &selected).await
                }
                None => Config::from_kubeconfig(&selected).await,
            }
            .map_err(|error| failed(&error))?;
            config.default_retry = false;
            let namespace = options
                .namespace
                .clone()
                .unwrap_or_else(|| config.default_namespace.clone());
            let client = Client::try_from(config).map_err(|error| failed(&error))?;
            Ok(Session { client, namespace })
        })?;
        Ok(Self { runtime, session })
    }

    /// What can be asked.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Drives a future to its end.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
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
        let query: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = Request::get(format!("{path}?{}", query.join("&")))
            .body(Body::empty())
            .map_err(|error| RequestError::Failed(error.to_string()))?;
        let (code, warnings, body) = self.send(request).await?;
        if (200..300).contains(&code) {
            let value =
                serde_json::from_slice(&body).map_err(|error| RequestError::Failed(error.to_string()))?;
            Ok(Reply { value, warnings })
        } else {
            Err(RequestError::Status(Box::new(status(code, &body)?)))
        }
    }

    /// GET of a list, all its elements.
    ///
    /// # Errors
    /// As [`Session::get`].
    pub async fn list(&self, path: &str, query: &[(&str, &str)]) -> Result<Reply<Vec<Value>>, RequestError> {
        let Reply { value, warnings } = self.get(path, query).await?;
        let items = match value {
            Value::Object(mut list) => list.remove("items"),
            _ => None,
        };
        match items {
            Some(Value::Array(value)) => Ok(Reply { value, warnings }),
            _ => Err(RequestError::Failed(format!(
                "error: the answer to {path} is no list"
            ))),
        }
    }

    /// GET of an object's metadata alone: the server leaves all else out, as of a Secret its data.
    ///
    /// # Errors
    /// As [`Session::get`].
    pub async fn get_metadata(&self, path: &str) -> Result<Reply<Value>, RequestError> {
        let request = Request::get(path)
            .header(
                "accept",
                "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            )
            .body(Body::empty())
            .map_err(|error| RequestError::Failed(error.to_string()))?;
        let (code, warnings, body) = self.send(request).await?;
        if (200..300).contains(&code) {
            let value =
                serde_json::from_slice(&body).map_err(|error| RequestError::Failed(error.to_string()))?;
            Ok(Reply { value, warnings })
        } else {
            Err(RequestError::Status(Box::new(status(code, &body)?)))
        }
    }

    /// POST of a pod with `dryRun=All` into [`Session::namespace`].
    ///
    /// # Errors
    /// What went wrong on the way; a refusal is an answer.
    pub async fn dry_run_pod(
        &self,
        pod: &Value,
        validation: Validation,
    ) -> Result<Reply<Verdict>, RequestError> {
        let path = format!(
            "/api/v1/namespaces/{}/pods?dryRun=All&fieldManager=kubectl-cocalc&fieldValidation={}",
            self.namespace,
            validation.parameter()
        );
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from(pod.to_string().into_bytes()))
            .map_err(|error| RequestError::Failed(error.to_string()))?;
        let (code, warnings, body) = self.send(request).await?;
        let value = if code == 201 {
            Verdict::Accepted(
                serde_json::from_slice(&body).map_err(|error| RequestError::Failed(error.to_string()))?,
            )
        } else {
            Verdict::Refused(status(code, &body)?)
        };
        Ok(Reply { value, warnings })
    }

    async fn send(&self, request: Request<Body>) -> Result<(u16, Vec<String>, Bytes), RequestError> {
        let failed = |error: &dyn std::fmt::Display| RequestError::Failed(format!("error: {error}"));
        let response: Response<Body> = self.client.send(request).await.map_err(|error| failed(&error))?;
        let code = response.status().as_u16();
        let warnings = response
            .headers()
            .get_all("warning")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .map(str::to_owned)
            .collect();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| failed(&error))?;
        Ok((code, warnings, body.to_bytes()))
    }
}

fn status(code: u16, body: &[u8]) -> Result<Status, RequestError> {
    let mut status: Status = serde_json::from_slice(body)
        .map_err(|error| RequestError::Failed(format!("error: the answer is no Status: {error}")))?;
    status.code = code;
    Ok(status)
}
