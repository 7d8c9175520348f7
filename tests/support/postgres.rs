//! A real PostgreSQL for tests: one throw-away server that the tests of a process share, a database for each.
//!
//! The server listens on a Unix socket in a short folder and, with TLS, on the loopback address. It ends with the
//! last test that uses it, and with the test process, however that ends. It never runs as root.

use std::{
    fs::{self, File},
    io::Write as _,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// The schema of CoCalc's tables as far as the plugin reads them, and some columns that it does not read.
pub(crate) const SCHEMA: &str = "
CREATE TABLE server_settings (name text PRIMARY KEY, value text, readonly boolean);
CREATE TABLE site_licenses (
  id uuid PRIMARY KEY, title text, description text, info jsonb, expires timestamp, activates timestamp,
  created timestamp, last_used timestamp, managers text[], restricted boolean, upgrades jsonb, quota jsonb,
  run_limit integer, apply_limit integer, voucher_code text, subscription_id integer);
CREATE TABLE projects (
  project_id uuid PRIMARY KEY, name varchar(100), title text, description text, users jsonb, deleted boolean,
  settings jsonb, site_license jsonb, run_quota jsonb, pay_as_you_go_quotas jsonb, state jsonb, status jsonb,
  action_request jsonb, compute_image text, env jsonb, addons jsonb, course jsonb, last_edited timestamp,
  last_started timestamp, created timestamp, secret_token varchar(256));
";

/// The rows of the built-in example: the license is the one of CoCalc's documentation.
pub(crate) const EXAMPLE_ROWS: &str = r#"
INSERT INTO server_settings (name, value) VALUES
  ('kucalc', 'onprem'),
  ('default_quotas', '{"internet":true,"idle_timeout":3600,"mem":1000,"cpu":1,"mem_oc":5,"cpu_oc":10}'),
  ('max_upgrades', '{"memory":16000,"cores":4}');
INSERT INTO site_licenses (id, title, activates, created, run_limit, quota) VALUES
  ('f3d76abf-38a5-4e4e-884d-2e70f1afddb9', 'patch1', '2023-01-20 16:37:12', '2023-01-20 16:37:12.595', 1,
   '{"cpu": 1, "ram": 1, "patch": "[{\"op\":\"add\",\"path\":\"/metadata/labels/mylabel\",\"value\":\"test123\"}]"}');
INSERT INTO projects (project_id, title, users, site_license, state, compute_image) VALUES
  ('11111111-1111-4111-8111-111111111111', 'Lab', '{}', '{"f3d76abf-38a5-4e4e-884d-2e70f1afddb9": {}}',
   '{"state": "opened", "time": "2026-11-24T12:00:00.000Z"}', NULL);
"#;

/// A database of its own, with CoCalc's tables and no rows.
pub(crate) struct Postgres {
    server: Arc<Server>,
    name: String,
}

struct Server {
    child: Child,
    bin: Option<PathBuf>,
    port: u16,
    folder: tempfile::TempDir,
}

/// What a connection of the plugin sent, from the server's log.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    /// The user of the connection.
    pub user: String,
    /// The name that the application gave itself.
    pub application: String,
    /// `LOG`, `ERROR`, …
    pub level: String,
    /// `execute sqlx_s_1: SELECT …`, `statement: BEGIN …`, or an error.
    pub text: String,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Postgres {
    /// Makes a database in the server of this process, which is started if there is none.
    pub(crate) fn start() -> Self {
        let server = {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            shared.upgrade().unwrap_or_else(|| {
                let server = Arc::new(Server::start());
                *shared = Arc::downgrade(&server);
                server
            })
        };
        let name = format!("cocalc{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        server.psql("postgres", &format!("CREATE DATABASE {name}"));
        let database = Self { server, name };
        database.psql(SCHEMA);
        database
    }

    /// The same with the rows of the built-in example.
    pub(crate) fn with_example() -> Self {
        let database = Self::start();
        database.psql(EXAMPLE_ROWS);
        database
    }

    /// The name of the database; other names made of it are free for roles.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// URL of the administrator over the Unix socket, without a password.
    pub(crate) fn url(&self) -> String {
        self.socket_url("postgres")
    }

    /// URL of any role over the Unix socket, which asks all but the administrator for a password.
    pub(crate) fn socket_url(&self, user: &str) -> String {
        let host = self.socket_folder().display().to_string().replace('/', "%2F");
        format!(
            "postgres:///{}?host={host}&port={}&user={user}",
            self.name,
            self.port()
        )
    }

    /// URL over TCP: `user` may be `name:password`, `host` is `localhost`, which the certificate names, or
    /// `127.0.0.1`, which it does not.
    pub(crate) fn tcp_url(&self, user: &str, host: &str, parameters: &str) -> String {
        format!(
            "postgresql://{user}@{host}:{}/{}?{parameters}",
            self.port(),
            self.name
        )
    }

    /// The port of the server, which is also in the name of its socket.
    pub(crate) fn port(&self) -> u16 {
        self.server.port
    }

    /// The folder of the Unix socket.
    pub(crate) fn socket_folder(&self) -> PathBuf {
        self.server.folder.path().join("socket")
    }

    /// The certificate of the authority that signed the server's.
    pub(crate) fn ca(&self) -> PathBuf {
        self.server.folder.path().join("ca.crt")
    }

    /// Runs SQL as the administrator; it must succeed. Gives the rows, unaligned, columns joined by `|`.
    pub(crate) fn psql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql)
    }

    /// A psql as the administrator, for what [`Postgres::psql`] cannot do.
    pub(crate) fn psql_command(&self) -> Command {
        self.server.psql_command(&self.name)
    }

    /// What the server logged for connections to this database, the test's own psql left out.
    pub(crate) fn log(&self) -> Vec<Logged> {
        let text = fs::read(self.server.log()).expect("the server's log");
        let text = String::from_utf8_lossy(&text);
        let mut logged: Vec<Logged> = Vec::new();
        let mut ours = false;
        for line in text.lines() {
            if let Some(more) = line.strip_prefix('\t') {
                if let (true, Some(last)) = (ours, logged.last_mut()) {
                    last.text.push('\n');
                    last.text.push_str(more);
                }
                continue;
            }
            // The prefix: `<database|user|application>LEVEL:  text`.
            let Some((prefix, rest)) = line.strip_prefix('<').and_then(|line| line.split_once('>')) else {
                continue;
            };
            let mut fields = prefix.split('|');
            let mut field = || fields.next().unwrap_or_default().to_owned();
            let (database, user, application) = (field(), field(), field());
            ours = database == self.name && application != "psql";
            if ours {
                let (level, text) = rest.split_once(':').unwrap_or(("", rest));
                logged.push(Logged {
                    user,
                    application,
                    level: level.to_owned(),
                    text: text.trim_start().to_owned(),
                });
            }
        }
        logged
    }
}

impl Server {
    fn start() -> Self {
        // Its port was free when it was chosen, and can be taken when it opens it.
        let server = (0..3).find_map(|_| Self::try_start());
        server.expect("postgres starts")
    }

    fn try_start() -> Option<Self> {
        let bin = bin();
        // Paths of Unix sockets hold about 100 characters, and TMPDIR may be long.
        let folder = tempfile::Builder::new()
            .prefix("pg")
            .tempdir_in("/tmp")
            .expect("a temporary folder");
        let path = folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("permissions");
        let owner = owner(path);
        let own = |path: &Path| {
            if let Some((uid, gid)) = owner {
                chown(path, Some(uid), Some(gid)).expect("chown");
            }
        };
        let (data, socket) = (path.join("data"), path.join("socket"));
        for folder in [&data, &socket] {
            fs::create_dir(folder).expect("a folder");
            own(folder);
        }
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("permissions");
        let unprivileged = |program: &str| {
            let mut command = Command::new(tool(bin.as_deref(), program));
            command
                .current_dir(&data)
                .env("LC_ALL", "C")
                .env_remove("PGDATA")
                .env_remove("PGOPTIONS")
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            if let Some((uid, gid)) = owner {
                command.gid(gid).uid(uid);
            }
            command
        };
        let mut initdb = unprivileged("initdb");
        initdb
            .args([
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
                "--auth=trust",
            ])
            .args(["--no-sync", "--no-instructions", "--pgdata"])
            .arg(&data);
        succeed(&mut initdb);
        certificates(path);
        let key = path.join("server.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("permissions");
        own(&key);
        let hba = "local all postgres trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(data.join("pg_hba.conf"), hba).expect("pg_hba.conf");

        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let log = File::create(path.join("log")).expect("a log file");
        // The shell ends the server when the test process lets go of the pipe, be it by dying.
        let mut shell = unprivileged("sh");
        shell
            .args([
                "-c",
                r#""$@" </dev/null & pid=$!; cat >/dev/null; kill -QUIT $pid; wait $pid"#,
                "sh",
            ])
            .arg(tool(bin.as_deref(), "postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-k"])
            .arg(&socket);
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            "fsync=off".to_owned(),
            "synchronous_commit=off".to_owned(),
            "full_page_writes=off".to_owned(),
            "autovacuum=off".to_owned(),
            "max_connections=60".to_owned(),
            "shared_buffers=64MB".to_owned(),
            "log_statement=all".to_owned(),
            "log_line_prefix=<%d|%u|%a>".to_owned(),
            "lc_messages=C".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", path.join("server.crt").display()),
            format!("ssl_key_file={}", key.display()),
        ] {
            shell.arg("-c").arg(setting);
        }
        let child = shell
            .stdin(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("postgres starts");
        let server = Self {
            child,
            bin,
            port,
            folder,
        };
        server.is_ready().then_some(server)
    }

    /// False if its port is taken.
    fn is_ready(&self) -> bool {
        // Far beyond what any machine needs.
        let end = Instant::now() + Duration::from_secs(300);
        loop {
            let mut psql = self.psql_command("postgres");
            let asked = psql
                .args(["-c", "SELECT 1"])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            if asked.status().is_ok_and(|status| status.success()) {
                return true;
            }
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            if log.contains("FATAL:  could not create any TCP/IP sockets") {
                return false;
            }
            assert!(Instant::now() < end, "postgres does not start: {log}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn psql_command(&self, database: &str) -> Command {
        let mut command = Command::new(tool(self.bin.as_deref(), "psql"));
        command
            .env_remove("PGOPTIONS")
            .env("PGAPPNAME", "psql")
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"])
            .arg(self.folder.path().join("socket"))
            .args(["-p", &self.port.to_string(), "-d", database]);
        command
    }

    fn psql(&self, database: &str, sql: &str) -> String {
        let mut child = self
            .psql_command(database)
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql runs");
        let mut input = child.stdin.take().expect("a pipe");
        let sql = sql.to_owned();
        let shown: String = sql.chars().take(300).collect();
        let writer = thread::spawn(move || {
            let _ = input.write_all(sql.as_bytes());
        });
        let output = child.wait_with_output().expect("psql ends");
        writer.join().expect("the writer of the standard input");
        assert!(
            output.status.success(),
            "psql: {shown}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The folder of PostgreSQL's programs; `None` where they are on PATH.
fn bin() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("postgres").exists())
        .collect();
    versions.sort();
    let on_path = Command::new("postgres")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if on_path.is_ok() {
        return None;
    }
    let newest = versions.pop();
    assert!(
        newest.is_some(),
        "PostgreSQL's server is not installed (package postgresql)"
    );
    newest
}

fn tool(bin: Option<&Path>, program: &str) -> PathBuf {
    match bin {
        Some(bin) if bin.join(program).exists() => bin.join(program),
        _ => PathBuf::from(program),
    }
}

/// Whom the server runs as, where the tests run as root: `postgres`, else `nobody`.
fn owner(folder: &Path) -> Option<(u32, u32)> {
    if fs::metadata(folder).expect("the folder").uid() != 0 {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let ids = |name: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let found = ids("postgres").or_else(|| ids("nobody"));
    assert!(found.is_some(), "there is no user postgres or nobody");
    found
}

/// An authority, and a certificate for `localhost` alone.
fn certificates(folder: &Path) {
    let openssl = |args: &[&str]| {
        let mut command = Command::new("openssl");
        succeed(command.current_dir(folder).args(args).stdout(Stdio::null()));
    };
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    let mut authority = vec!["req", "-x509", "-days", "2", "-subj", "/CN=authority"];
    authority.extend(key);
    authority.extend(["-keyout", "ca.key", "-out", "ca.crt"]);
    openssl(&authority);
    let mut request = vec!["req", "-subj", "/CN=localhost"];
    request.extend(key);
    request.extend(["-keyout", "server.key", "-out", "server.csr"]);
    openssl(&request);
    fs::write(
        folder.join("ext"),
        "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n",
    )
    .expect("a file");
    openssl(&[
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        "server.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-extfile",
        "ext",
        "-out",
        "server.crt",
    ]);
}

fn succeed(command: &mut Command) {
    let shown = format!("{command:?}");
    let output = command
        .stderr(Stdio::piped())
        .output()
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    assert!(
        output.status.success(),
        "{shown}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
