//! kubectl's connection flags, and the environment in which they are read.

use std::{
    collections::{BTreeSet, HashMap},
    ffi::OsString,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use secrecy::SecretString;

/// How to reach the cluster, beside what the kubeconfig says. What is `None`, empty or false is left to the
/// kubeconfig.
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
    /// `--server`
    pub server: Option<String>,
    /// `--tls-server-name`
    pub tls_server_name: Option<String>,
    /// `--insecure-skip-tls-verify`
    pub insecure_skip_tls_verify: bool,
    /// `--certificate-authority`
    pub certificate_authority: Option<PathBuf>,
    /// `--client-certificate`
    pub client_certificate: Option<PathBuf>,
    /// `--client-key`
    pub client_key: Option<PathBuf>,
    /// `--token`
    pub token: Option<SecretString>,
    /// `--as`
    pub impersonate: Option<String>,
    /// `--as-uid`
    pub impersonate_uid: Option<String>,
    /// `--as-group`
    pub impersonate_groups: Vec<String>,
    /// `--as-user-extra`, key and value
    pub impersonate_user_extra: Vec<(String, String)>,
    /// `--request-timeout`: the time for one answer, its body and further tries included. `None`: 60 seconds.
    pub request_timeout: Option<Duration>,
    /// `--disable-compression`
    pub disable_compression: bool,
    /// Whether a credential plugin may read standard input: it is a terminal, and nothing else reads it.
    pub interactive: bool,
    /// Where to write what credential plugins say and what `-v` asks for. `None`: what a plugin says becomes part
    /// of the error if it fails.
    pub log: Option<Log>,
    /// Collects what the API server warns of.
    pub warnings: Warnings,
}

/// What API servers warned of, each text once, for all who hold a clone.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<BTreeSet<String>>>);

impl Warnings {
    /// How many different ones there were.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Adds one.
    pub fn add(&self, text: &str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(text.to_owned());
    }
}

/// Lines for stderr.
#[derive(Clone)]
pub struct Log {
    /// `-v`: 6 shows each request, 8 bodies too, 9 more of them, 10 all.
    pub level: u32,
    /// Writes one text, escaped for the terminal.
    pub write: Arc<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for Log {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Log")
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

/// What the connection depends on beside the flags.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Environment variables: `KUBECONFIG`, `HOME`, `HTTPS_PROXY`, `NO_PROXY`, …
    pub variables: HashMap<String, OsString>,
    /// Where a pod finds the token, the certificate and the namespace of its service account.
    pub service_account: PathBuf,
}

impl Environment {
    /// That of this process.
    pub fn current() -> Self {
        Self {
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .collect(),
            service_account: PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount"),
        }
    }

    /// A variable that is set and not empty.
    pub(super) fn os(&self, name: &str) -> Option<&OsString> {
        self.variables.get(name).filter(|value| !value.is_empty())
    }

    /// The same as text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.os(name)?.to_str()
    }
}

/// `--request-timeout` as kubectl reads it: whole seconds, or a duration of Go such as `1m30s`. Zero means none
/// given.
///
/// # Errors
/// kubectl's words for everything else.
pub fn parse_timeout(text: &str) -> Result<Option<Duration>, String> {
    let wrong = || {
        "Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by a \
         corresponding time unit (e.g. 1s | 2m | 3h)"
            .to_owned()
    };
    let duration = match text.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(u64::from(seconds)),
        Err(_) => go_duration(text).ok_or_else(wrong)?,
    };
    Ok(Some(duration).filter(|duration| !duration.is_zero()))
}

/// Go's `time.ParseDuration`, without negative ones.
fn go_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("μs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_kubectl_reads_them() {
        let seconds = |seconds: f64| Ok(Some(Duration::from_secs_f64(seconds)));
        assert_eq!(parse_timeout("5"), seconds(5.0));
        assert_eq!(parse_timeout("1m30s"), seconds(90.0));
        assert_eq!(parse_timeout("1.5h"), seconds(5400.0));
        assert_eq!(parse_timeout("250ms"), seconds(0.25));
        for none in ["0", "0s", "0h0m", "+0"] {
            assert_eq!(parse_timeout(none), Ok(None), "{none}");
        }
        let wrong = [
            "",
            "abc",
            "-1",
            "-1s",
            "1.5",
            "5 s",
            "1x",
            "s",
            "1.2.3s",
            "1s ",
            "inf",
            "99999999999999999999h",
        ];
        for wrong in wrong {
            assert!(
                parse_timeout(wrong)
                    .unwrap_err()
                    .starts_with("Invalid timeout value"),
                "{wrong}"
            );
        }
    }
}
