//! The cluster as a source: it gives what the other sources did not.

use crate::{
    cluster::Cluster,
    output::ui::Ui,
    snapshot::{self, LivePods, Snapshot, Wanted, project_id_of},
};

use super::{
    CommandError,
    connection::ConnectionArgs,
    select::ProjectArgs,
    sources::{SourceArgs, Sources},
};

/// What a command wants of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To render. A template from elsewhere will do, and then nothing is contacted.
    Render,
    /// To compare with live pods.
    Live,
    /// To ask the API server about pods.
    DryRun,
    /// To keep whatever there is.
    Snapshot,
}

impl Sources {
    /// Reads from the cluster what `purpose` needs and no other source gave, and keeps the connection.
    pub(super) fn add_cluster(
        &mut self,
        ui: &Ui,
        connection: &ConnectionArgs,
        args: &SourceArgs,
        projects: &ProjectArgs,
        ids: &[String],
        purpose: Purpose,
    ) -> Result<(), CommandError> {
        if args.offline {
            return Ok(());
        }
        let template = self.snapshot.template.is_none();
        let live = matches!(purpose, Purpose::Live | Purpose::Snapshot);
        let missing = missing_pods(&self.snapshot, ids, live);
        let live_pods = if projects.all || projects.with_license.is_some() {
            let given = !self.snapshot.live_pods.is_empty();
            if (live && !given) || !self.snapshot.has_projects {
                LivePods::All
            } else {
                LivePods::None
            }
        } else {
            LivePods::Of(&missing)
        };
        let contacts = match purpose {
            Purpose::Render | Purpose::Snapshot => template,
            Purpose::Live => template || !matches!(live_pods, LivePods::None | LivePods::Of([])),
            Purpose::DryRun => true,
        };
        if !contacts {
            return Ok(());
        }
        let wanted = Wanted {
            template,
            software: self.snapshot.software.is_none() && (template || purpose != Purpose::Live),
            live_pods,
        };
        let cluster = match connect(ui, connection, self.stdin_used, &wanted) {
            // What the files hold is worth keeping without a cluster, too.
            Err(error) if purpose == Purpose::Snapshot && !args.filename.is_empty() => {
                ui.warning(&format!(
                    "no cluster is read, so the snapshot has no template: {}",
                    error
                        .message
                        .trim_start_matches("error: ")
                        .lines()
                        .next()
                        .unwrap_or_default()
                ));
                return Ok(());
            }
            other => other?,
        };
        let session = cluster.session();
        let (read, notes) = cluster
            .run(snapshot::read_cluster(session, &wanted, &args.read_options()))
            .map_err(|error| explain(error, &wanted, session.namespace()))?;
        super::sources::tell(ui, &notes);
        self.snapshot = std::mem::take(&mut self.snapshot).overlay(read);
        self.cluster = Some(cluster);
        Ok(())
    }
}

fn connect(
    ui: &Ui,
    connection: &ConnectionArgs,
    stdin_used: bool,
    wanted: &Wanted<'_>,
) -> Result<Cluster, CommandError> {
    connection
        .connect(ui, stdin_used)
        .map_err(|error| without_cluster(error, wanted))
}

/// Whose live pods are to be asked for: of the projects that no row is known of, or, with `live`, of all.
fn missing_pods(snapshot: &Snapshot, ids: &[String], live: bool) -> Vec<String> {
    let known = |id: &str| snapshot.projects.iter().any(|row| &*row.project_id == id);
    let runs = |id: &str| {
        snapshot
            .live_pods
            .iter()
            .any(|pod| project_id_of(pod) == Some(id))
    };
    match (ids, &snapshot.projects[..]) {
        ([], [only]) if live => Some(only.project_id.to_string())
            .filter(|id| !runs(id))
            .into_iter()
            .collect(),
        _ => {
            let missing = ids.iter().filter(|id| !runs(id) && (live || !known(id)));
            missing.cloned().collect()
        }
    }
}

/// The next step of somebody who did not think of a cluster at all.
fn without_cluster(error: CommandError, wanted: &Wanted<'_>) -> CommandError {
    match error.hint {
        None if wanted.template => {
            error.hint("the template comes from the cluster unless -f or --example gives one")
        }
        None if !matches!(wanted.live_pods, LivePods::None) => {
            error.hint("live pods come from the cluster unless -f gives them")
        }
        _ => error,
    }
}

fn explain(error: snapshot::ClusterReadError, wanted: &Wanted<'_>, namespace: &str) -> CommandError {
    use crate::cluster::RequestError;
    match error {
        snapshot::ClusterReadError::Content(error) => CommandError::usage(error),
        snapshot::ClusterReadError::Request(error) => {
            let missing = matches!(&error, RequestError::Status(status) if status.code == 404);
            let error = CommandError::from(error);
            if missing && wanted.template {
                return error.hint(format!(
                    "namespace {namespace} was looked at; -n names the one in which CoCalc runs its projects, \
                     --template-configmap another ConfigMap, and -f a file with the template"
                ));
            }
            without_cluster(error, wanted)
        }
    }
}
