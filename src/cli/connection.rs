//! kubectl's own flags: how to reach the cluster.

use std::path::PathBuf;

use clap::Args;

use super::{CommandError, Exit};
use crate::{
    cluster::{Cluster, Options},
    output::ui::Ui,
};

/// Kubernetes options
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Kubernetes options")]
pub(super) struct ConnectionArgs {
    /// The kubeconfig to use
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig to use
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// The namespace in which CoCalc runs its projects [default: the context's, else default]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
}

impl ConnectionArgs {
    /// Reads the kubeconfig and makes a client; nothing is sent yet.
    pub(super) fn connect(&self, _ui: &Ui, _stdin_used: bool) -> Result<Cluster, CommandError> {
        let options = Options {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            namespace: self.namespace.clone(),
            ..Options::default()
        };
        Cluster::connect(&options).map_err(|error| CommandError {
            exit: Exit::Usage,
            message: error.to_string().trim_start_matches("error: ").to_owned(),
            hint: None,
            broken_pipe: false,
        })
    }
}
