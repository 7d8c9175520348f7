//! The two requests that there are.

use http::{Method, header};
use kube::client::Body;

use super::{RequestError, Validation};

/// What may be sent. There is no third kind, so nothing that this tool does can change a cluster; a test holds the
/// API server's audit log against that.
#[derive(Clone, Copy, Debug)]
pub(super) enum Request<'a> {
    /// Reads an object, a list or a log.
    Get {
        path: &'a str,
        query: &'a [(&'a str, &'a str)],
        accept: Accept,
    },
    /// Asks whether a pod would be created: `dryRun=All`, always.
    DryRunPod {
        namespace: &'a str,
        pod: &'a [u8],
        validation: Validation,
    },
}

/// The form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accept {
    Json,
    /// `metadata` alone: what else an object holds, such as a Secret's data, stays in the server.
    Metadata,
    MetadataList,
    Any,
}

impl Accept {
    fn header(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Metadata => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            Self::MetadataList => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Self::Any => "*/*",
        }
    }
}

impl Request<'_> {
    pub(super) fn method(&self) -> Method {
        match self {
            Self::Get { .. } => Method::GET,
            Self::DryRunPod { .. } => Method::POST,
        }
    }

    pub(super) fn body(&self) -> &[u8] {
        match self {
            Self::Get { .. } => &[],
            Self::DryRunPod { pod, .. } => pod,
        }
    }

    /// Path without the query.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Get { path, .. } => (*path).to_owned(),
            Self::DryRunPod { namespace, .. } => format!("/api/v1/namespaces/{namespace}/pods"),
        }
    }

    /// Path and query.
    pub(super) fn target(&self) -> Result<String, RequestError> {
        let path = self.path();
        let segments = path.strip_prefix('/').map(|rest| rest.split('/'));
        let is_sound = segments.is_some_and(|mut segments| {
            segments.all(|segment| {
                !matches!(segment, "" | "." | "..")
                    && segment
                        .bytes()
                        .all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'%'))
            })
        });
        if !is_sound {
            return Err(RequestError::Failed(format!(
                "error: invalid path {path:?}: a name in it is none"
            )));
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        match self {
            Self::Get { query: pairs, .. } => {
                query.extend_pairs(*pairs);
            }
            Self::DryRunPod { validation, .. } => {
                query
                    .append_pair("dryRun", "All")
                    .append_pair("fieldManager", "kubectl-cocalc");
                if let Some(parameter) = validation.parameter() {
                    query.append_pair("fieldValidation", parameter);
                }
            }
        }
        let query = query.finish();
        Ok(if query.is_empty() {
            path
        } else {
            format!("{path}?{query}")
        })
    }

    /// The one place where a request for the API server is made.
    pub(super) fn http(&self) -> Result<http::Request<Body>, RequestError> {
        let accept = match self {
            Self::Get { accept, .. } => *accept,
            Self::DryRunPod { .. } => Accept::Json,
        };
        let mut request = http::Request::builder()
            .method(self.method())
            .uri(self.target()?)
            .header(header::ACCEPT, accept.header());
        if matches!(self, Self::DryRunPod { .. }) {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request
            .body(Body::from(self.body().to_vec()))
            .map_err(|error| RequestError::Failed(format!("error: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_is_always_a_dry_run() {
        let request = Request::DryRunPod {
            namespace: "lab",
            pod: b"{}",
            validation: Validation::Ignore,
        };
        let http = request.http().unwrap();
        assert_eq!(http.method(), Method::POST);
        assert_eq!(
            http.uri(),
            "/api/v1/namespaces/lab/pods?dryRun=All&fieldManager=kubectl-cocalc&fieldValidation=Ignore"
        );
    }

    #[test]
    fn a_name_cannot_become_a_path_or_a_query() {
        let get = |path: &str| {
            let query = [("labelSelector", "run=project,a!=b c")];
            Request::Get {
                path,
                query: &query,
                accept: Accept::Json,
            }
            .target()
        };
        assert_eq!(
            get("/api/v1/namespaces/lab/pods").unwrap(),
            "/api/v1/namespaces/lab/pods?labelSelector=run%3Dproject%2Ca%21%3Db+c"
        );
        for path in [
            "api",
            "/api/../v1",
            "/api//v1",
            "/api/a?b",
            "/api/a#b",
            "/api/a b",
            "/api/a%2fb",
            "/api/é",
            "/",
        ] {
            assert!(get(path).is_err(), "{path}");
        }
    }
}
