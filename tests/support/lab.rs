//! The site of README.md: a real API server with what CoCalc's chart puts there, and a real PostgreSQL.

use std::sync::Arc;

use super::{
    api_server::{ApiServer, NAMESPACE},
    postgres::Postgres,
    shared::Shared,
};

/// The site of tests/data/lab, which nobody changes.
pub(crate) struct Lab {
    server: ApiServer,
    database: Postgres,
}

impl Lab {
    /// The one that all tests share.
    pub(crate) fn shared() -> Arc<Self> {
        static LAB: Shared<Lab> = Shared::new(Lab::start);
        LAB.get()
    }

    /// Starts both servers.
    fn start() -> Self {
        let server = ApiServer::start();
        server.kubectl(&["-n", NAMESPACE, "create", "-f", "tests/data/lab/cluster.yaml"]);
        // No kubelet tells what the node has.
        let status = r#"{"status": {"allocatable": {"cpu": "16", "memory": "64Gi", "pods": "110"}}}"#;
        server.kubectl(&["patch", "node", "node-1", "--subresource=status", "-p", status]);
        server.kubectl(&["taint", "node", "node-1", "node.kubernetes.io/not-ready-"]);
        server.kubectl(&["config", "set-context", "--current", "--namespace", NAMESPACE]);
        let database = Postgres::start();
        database.psql(include_str!("../data/lab/database.sql"));
        Self { server, database }
    }

    /// The environment in which the plugin finds both.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("KUBECONFIG", self.server.kubeconfig().display().to_string()),
            ("COCALC_DATABASE_URL", self.database.url()),
        ]
    }
}
