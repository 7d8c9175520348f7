//! kubectl's connection flags.

use std::path::PathBuf;

/// How to reach the cluster, beside what the kubeconfig says.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--kubeconfig`
    pub kubeconfig: Option<PathBuf>,
    /// `--context`
    pub context: Option<String>,
    /// `--cluster`
    pub cluster: Option<String>,
    /// `--user`
    pub user: Option<String>,
    /// `--namespace`
    pub namespace: Option<String>,
}
