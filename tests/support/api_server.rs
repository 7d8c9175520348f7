//! A real API server: kube-apiserver with etcd in one process, as tests/run built it. Who shares one is said in
//! [`super::shared`].

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use super::{kubectl, shared::until};

/// The namespace that is made in each.
pub(crate) const NAMESPACE: &str = "cocalc";

/// The API server of all modules that make nothing outside of namespaces, and nothing in [`NAMESPACE`] that others see.
pub(crate) fn common() -> &'static ApiServer {
    // Never dropped: it ends when its input does, and that does with this process.
    static COMMON: LazyLock<ApiServer> = LazyLock::new(ApiServer::start);
    &COMMON
}

/// An API server, ended when it is dropped.
pub(crate) struct ApiServer {
    child: Child,
    kubeconfig: PathBuf,
    audit_log: PathBuf,
    folder: tempfile::TempDir,
}

/// Every request with its user agent; nothing is left out, so that the log proves what was never asked.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\n\
                            rules: [{level: Metadata}]\n";

impl ApiServer {
    /// Starts one. It takes a few seconds and 300 MB.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more flags of kube-apiserver.
    pub(crate) fn start_with(flags: &[&str]) -> Self {
        // Its ports were free when it chose them, and can be taken when it opens them.
        let server = (0..3).find_map(|_| Self::try_start(flags));
        let server = server.expect("the API server starts");
        // It makes its own namespaces a moment after it is ready.
        until("the server has made its namespaces", || {
            let args = ["get", "namespace", "default", "kube-system"];
            server.try_kubectl(&args, "").status.success()
        });
        server.make_namespace(NAMESPACE);
        server
    }

    fn try_start(flags: &[&str]) -> Option<Self> {
        // A server in a static is never dropped: what it leaves is removed with the next run of tests/run.
        let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = tempfile::Builder::new().prefix("api-server-").tempdir_in(tmp);
        let folder = folder.expect("a temporary folder");
        let testapi = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testapi");
        let program = testapi.join(match std::env::var_os("KUBEBUILDER_ASSETS") {
            Some(_) => "from-assets",
            None => "bin/testapi",
        });
        let policy = folder.path().join("audit-policy.yaml");
        std::fs::write(&policy, AUDIT_POLICY).expect("the audit policy");
        // tests/run reads these logs when all tests are through.
        let audit = tmp.join("audit");
        std::fs::create_dir_all(&audit).expect("a folder for audit logs");
        let started = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        let audit_log = audit.join(format!("{}-{started}.log", std::process::id()));
        let mut child = Command::new(&program)
            .arg(folder.path())
            .arg(
                "--enable-admission-plugins=NamespaceLifecycle,ServiceAccount,LimitRanger,ResourceQuota,PodSecurity,\
                 Priority,DefaultTolerationSeconds,RuntimeClass",
            )
            .arg(format!("--audit-policy-file={}", policy.display()))
            .arg(format!("--audit-log-path={}", audit_log.display()))
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; `tests/run kubectl` builds it", program.display()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output"))
            .read_line(&mut line)
            .expect("a line");
        let Some(kubeconfig) = line.split_whitespace().nth(2).map(PathBuf::from) else {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        };
        Some(Self {
            child,
            kubeconfig,
            audit_log,
            folder,
        })
    }

    /// Makes a namespace with the service account that pods need.
    pub(crate) fn make_namespace(&self, name: &str) {
        self.kubectl(&["create", "namespace", name]);
        self.kubectl(&["-n", name, "create", "serviceaccount", "default"]);
    }

    /// The administrator's kubeconfig; its context names no namespace.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A folder that lives as long as the server; `ca.crt` is in it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Every request of the plugin that was answered, as an object of `audit.k8s.io/v1`. Requests of kubectl, and those
    /// that the server makes of itself whenever it likes, are not among them. One without a user agent is nobody else's.
    ///
    /// The last may come a moment after its answer: whoever counts them waits with [`until`].
    pub(crate) fn requests(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&self.audit_log).expect("the audit log");
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .filter(|event: &serde_json::Value| {
                let agent = event["userAgent"].as_str().unwrap_or_default();
                agent.is_empty() || agent.starts_with("kubectl-cocalc/")
            })
            .collect()
    }

    /// Runs the real kubectl as administrator; it must succeed. Gives its standard output.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        self.kubectl_with_stdin(args, "")
    }

    /// The same with a standard input: `kubectl(&["create", "-f", "-"])`.
    pub(crate) fn kubectl_with_stdin(&self, args: &[&str], stdin: &str) -> String {
        let output = self.try_kubectl(args, stdin);
        assert!(
            output.status.success(),
            "kubectl {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs the real kubectl as administrator, however it ends.
    pub(crate) fn try_kubectl(&self, args: &[&str], stdin: &str) -> std::process::Output {
        use std::io::Write as _;
        let mut child = Command::new(kubectl())
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl runs");
        let mut input = child.stdin.take().expect("a pipe");
        let stdin = stdin.to_owned();
        let writer = std::thread::spawn(move || {
            let _ = input.write_all(stdin.as_bytes());
        });
        let output = child.wait_with_output().expect("kubectl ends");
        writer.join().expect("the writer of the standard input");
        output
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // It ends when its input does.
        drop(self.child.stdin.take());
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
