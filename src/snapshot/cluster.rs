//! What CoCalc keeps in the cluster: the ConfigMaps `project-pod` and `project-image`, and the live pods.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use super::{
    Note, ReadOptions, Snapshot,
    file::read_texts,
    manifests::{SOFTWARE_CONFIGMAP, TEMPLATE_CONFIGMAP},
    place::ReadError,
};
use crate::cluster::{RequestError, Session, Status};

/// How many live pods are asked for at once.
const AT_ONCE: usize = 8;

/// What is to be read from the cluster.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// The template.
    pub template: bool,
    /// The software environments. A cluster without them is none the worse.
    pub software: bool,
    /// Live pods.
    pub live_pods: LivePods<'a>,
}

/// Whose live pods are to be read.
#[derive(Clone, Copy, Debug, Default)]
pub enum LivePods<'a> {
    /// Nobody's.
    #[default]
    None,
    /// Those of the projects with these UUIDs. A project that does not run has none.
    Of(&'a [String]),
    /// Those of all projects.
    All,
}

/// Why the cluster cannot be a source.
#[derive(Debug, thiserror::Error)]
pub enum ClusterReadError {
    /// A request failed.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A ConfigMap does not hold what it should.
    #[error(transparent)]
    Content(#[from] ReadError),
}

/// Reads what is wanted, all at once, from the session's namespace.
///
/// # Errors
/// If a request fails: also if there is no ConfigMap with the template.
pub async fn read_cluster(
    session: &Session,
    wanted: &Wanted<'_>,
    options: &ReadOptions,
) -> Result<(Snapshot, Vec<Note>), ClusterReadError> {
    let template = async {
        if !wanted.template {
            return Ok(None);
        }
        let name = options
            .template_configmap
            .as_ref()
            .map_or(TEMPLATE_CONFIGMAP, |(name, _)| name);
        config_map(session, name).await.map(Some)
    };
    let software = async {
        if !wanted.software {
            return Ok(None);
        }
        match config_map(session, SOFTWARE_CONFIGMAP).await {
            Ok(found) => Ok(Some(found)),
            // An image given by hand does as well, and a placeholder without a value says so.
            Err(RequestError::Status(status)) if status.code == 404 || status.code == 403 => Ok(None),
            Err(error) => Err(error),
        }
    };
    let live_pods = live_pods(session, wanted.live_pods);
    // The template's error comes first, whichever answer does.
    let (template, software, live_pods) = futures_util::join!(template, software, live_pods);
    let texts: Vec<(String, String)> = [template?, software?].into_iter().flatten().collect();
    let (mut snapshot, notes) = read_texts(&texts, options)?;
    snapshot.live_pods.extend(live_pods?);
    Ok((snapshot, notes))
}

/// A ConfigMap's title and JSON text.
async fn config_map(session: &Session, name: &str) -> Result<(String, String), RequestError> {
    let namespace = session.namespace();
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
    let found = session.get(&path, &[]).await?.value;
    Ok((format!("ConfigMap {namespace}/{name}"), found.to_string()))
}

async fn live_pods(session: &Session, wanted: LivePods<'_>) -> Result<Vec<Value>, RequestError> {
    let pods = format!("/api/v1/namespaces/{}/pods", session.namespace());
    let found = match wanted {
        LivePods::None => Vec::new(),
        LivePods::Of(ids) => {
            let pods = stream::iter(ids).map(|id| live_pod(session, &pods, id));
            let found: Vec<Option<Value>> = pods.buffered(AT_ONCE).try_collect().await?;
            found.into_iter().flatten().collect()
        }
        LivePods::All => {
            session
                .list(&pods, &[("labelSelector", "run=project")])
                .await?
                .value
        }
    };
    Ok(found.into_iter().map(with_kind).collect())
}

async fn live_pod(session: &Session, pods: &str, id: &str) -> Result<Option<Value>, RequestError> {
    match session.get(&format!("{pods}/project-{id}"), &[]).await {
        Ok(reply) => Ok(Some(reply.value)),
        Err(RequestError::Status(status)) if no_such_pod(&status) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Told from a namespace that is missing: the details are about the pod.
fn no_such_pod(status: &Status) -> bool {
    let of_pod = status
        .details
        .as_ref()
        .is_none_or(|details| details.kind == "pods");
    status.code == 404 && of_pod
}

/// The items of a list do not repeat what they are.
fn with_kind(mut pod: Value) -> Value {
    if let Some(pod) = pod.as_object_mut() {
        pod.entry("apiVersion").or_insert_with(|| "v1".into());
        pod.entry("kind").or_insert_with(|| "Pod".into());
    }
    pod
}
