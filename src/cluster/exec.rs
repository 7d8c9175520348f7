//! Credential plugins (`users[].user.exec` of the kubeconfig), as client-go runs them.
//!
//! kube runs a plugin three times for one client, lets it read our standard input and shows its failure as a Rust
//! value. Here it runs once, again only when what it gave has expired.

use std::{
    io::{self, BufRead as _, BufReader, Read as _},
    process::{Command, ExitStatus, Stdio},
};

use jiff::Timestamp;
use kube::config::{ExecAuthCluster, ExecConfig, ExecInteractiveMode};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::{Log, RequestError};

/// A plugin's answer is a token or two certificates; nothing longer is read.
const LONGEST_ANSWER: u64 = 1 << 20;

/// A plugin and what it is told.
#[derive(Clone, Debug)]
pub(super) struct Plugin {
    pub(super) config: ExecConfig,
    /// Only with `provideClusterInfo`.
    pub(super) cluster: Option<ExecAuthCluster>,
    /// Whether it may ask the user.
    pub(super) interactive: bool,
    pub(super) log: Option<Log>,
}

/// What a plugin gave.
#[derive(Debug, Default)]
pub(super) struct Credential {
    pub(super) token: Option<SecretString>,
    /// Certificate chain and key, both PEM.
    pub(super) identity: Option<(String, SecretString)>,
    pub(super) expires: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    api_version: Option<String>,
    status: Option<ExecCredentialStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredentialStatus {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

impl Plugin {
    /// Runs the plugin and waits for its end, however long the user takes to sign in.
    pub(super) fn run(&self) -> Result<Credential, RequestError> {
        let interactive = match self.config.interactive_mode {
            Some(ExecInteractiveMode::Never) => false,
            Some(ExecInteractiveMode::Always) if !self.interactive => {
                return Err(failed(
                    "exec plugin cannot support interactive mode: standard input is not a terminal, or is used",
                ));
            }
            _ => self.interactive,
        };
        let name = self.config.command.as_deref().unwrap_or_default();
        let mut command = Command::new(name);
        command.args(self.config.args.iter().flatten());
        for variable in self.config.env.iter().flatten() {
            if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
                command.env(name, value);
            }
        }
        let mut spec = json!({"interactive": interactive});
        if let Some(cluster) = &self.cluster {
            spec["cluster"] = serde_json::to_value(cluster).map_err(failed)?;
        }
        let version = self.config.api_version.as_deref().unwrap_or_default();
        let info = json!({"apiVersion": version, "kind": "ExecCredential", "spec": spec});
        command.env("KUBERNETES_EXEC_INFO", info.to_string());
        command.stdout(Stdio::piped());
        if interactive {
            command.stdin(Stdio::inherit()).stderr(Stdio::inherit());
        } else {
            command.stdin(Stdio::null()).stderr(Stdio::piped());
        }
        let mut child = command.spawn().map_err(|error| self.not_started(name, &error))?;

        // Relayed at once: it may be the address at which the user has to sign in.
        let log = self.log.clone();
        let relay = child
            .stderr
            .take()
            .map(|stderr| std::thread::spawn(move || relay(stderr, log.as_ref())));
        let mut answer = Vec::new();
        let read = match child.stdout.take() {
            Some(stdout) => stdout.take(LONGEST_ANSWER).read_to_end(&mut answer),
            None => Ok(0),
        };
        let status = child.wait().map_err(|error| failed(format!("exec: {error}")))?;
        let said = relay.and_then(|thread| thread.join().ok()).unwrap_or_default();
        if !status.success() {
            let RequestError::Failed(text) = failed(format!("exec: executable {name} {}", ended(status)))
            else {
                return Err(RequestError::Interrupted);
            };
            return Err(RequestError::Failed(format!("{said}{text}")));
        }
        read.map_err(|error| failed(format!("exec: {error}")))?;
        credential(&answer, version).map_err(failed)
    }

    fn not_started(&self, name: &str, error: &io::Error) -> RequestError {
        if error.kind() != io::ErrorKind::NotFound {
            return failed(format!("exec: {name}: {error}"));
        }
        let hint = self.config.install_hint.as_deref().unwrap_or_default().trim();
        let text = format!(
            "exec: executable {name} not found\n\n\
             It looks like you are trying to use a client-go credential plugin that is not installed.\n\n\
             To learn more about this feature, consult the documentation available at:\n      \
             https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins\n\n\
             {hint}"
        );
        failed(text.trim_end())
    }
}

/// Passes a plugin's words on line by line; those that nobody takes come back.
fn relay(stderr: impl io::Read, log: Option<&Log>) -> String {
    let mut lines = BufReader::new(stderr);
    let mut line = Vec::new();
    let mut kept = String::new();
    while let Ok(1..) = lines.read_until(b'\n', &mut line) {
        let text = String::from_utf8_lossy(&line);
        match log {
            Some(log) => log.line(text.trim_end_matches(['\n', '\r'])),
            None if kept.len() < 1 << 16 => kept.push_str(&text),
            None => {}
        }
        line.clear();
    }
    if !kept.is_empty() && !kept.ends_with('\n') {
        kept.push('\n');
    }
    kept
}

fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("failed with exit code {code}"),
        None => "was ended by a signal".to_owned(),
    }
}

/// Reads a plugin's answer. No message repeats any of it.
fn credential(answer: &[u8], version: &str) -> Result<Credential, String> {
    let text = std::str::from_utf8(answer).map_err(|_| "decoding stdout: it is not UTF-8")?;
    // YAML is allowed too, but most plugins print JSON, and YAML's readers do not take all of it.
    let credential: ExecCredential = serde_json::from_str(text)
        .ok()
        .or_else(|| serde_saphyr::from_str(text).ok())
        .ok_or("decoding stdout: the exec plugin printed no ExecCredential")?;
    let given = credential.api_version.unwrap_or_default();
    if given != version {
        return Err(format!(
            "exec plugin is configured to use API version {version}, plugin returned version {given}"
        ));
    }
    let status = credential
        .status
        .ok_or("exec plugin didn't return a status field")?;
    let expires = status
        .expiration_timestamp
        .map(|time| time.parse())
        .transpose()
        .map_err(|_| "exec plugin returned an expirationTimestamp that is no time")?;
    let identity = match (status.client_certificate_data, status.client_key_data) {
        (Some(certificate), Some(key)) => Some((certificate, key.into())),
        (None, None) => None,
        _ => return Err("exec plugin returned only certificate or key, not both".to_owned()),
    };
    if status.token.is_none() && identity.is_none() {
        return Err("exec plugin didn't return a token or cert/key pair".to_owned());
    }
    Ok(Credential {
        token: status.token.map(SecretString::from),
        identity,
        expires,
    })
}

fn failed(why: impl std::fmt::Display) -> RequestError {
    RequestError::Failed(format!(
        "Unable to connect to the server: getting credentials: {why}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "client.authentication.k8s.io/v1";

    #[test]
    fn an_answer_that_is_none_is_refused_in_client_gos_words() {
        let wrong = |answer: &str| credential(answer.as_bytes(), V1).unwrap_err();
        assert!(wrong("hidden").contains("decoding stdout"));
        assert!(!wrong("hidden").contains("hidden"));
        assert!(wrong("{}").ends_with("plugin returned version "));
        let answer = |status: &str| format!(r#"{{"apiVersion": "{V1}", "status": {status}}}"#);
        assert_eq!(wrong(&answer("null")), "exec plugin didn't return a status field");
        assert_eq!(
            wrong(&answer("{}")),
            "exec plugin didn't return a token or cert/key pair"
        );
        assert_eq!(
            wrong(&answer(r#"{"clientKeyData": "x"}"#)),
            "exec plugin returned only certificate or key, not both"
        );
        assert!(wrong(&answer(r#"{"token": "x", "expirationTimestamp": "soon"}"#)).contains("no time"));
    }

    #[test]
    fn json_and_yaml_are_read() {
        let yaml = format!(
            "apiVersion: {V1}\nstatus:\n  token: t\n  expirationTimestamp: \"2030-01-01T00:00:00Z\"\n"
        );
        let read = credential(yaml.as_bytes(), V1).unwrap();
        assert!(read.token.is_some() && read.expires.is_some());
    }
}
