//! What went wrong on the way to the API server, in kubectl's words.
//!
//! kube's own messages show Rust values, sometimes with whole command lines in them. Here the chain of causes is
//! walked and the one that says most is told as Go's libraries tell it.

use std::{error::Error, io};

use http::Uri;
use jiff::Timestamp;
use kube::client::AuthError;
use rustls::CertificateError;

use super::{RequestError, kubeconfig::reason, log::without_password};

/// Where a request was going.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) server: Uri,
    pub(super) proxy: Option<Uri>,
}

impl Destination {
    /// Host and port as in the URL.
    fn host(&self) -> String {
        let authority = self.server.authority().map_or("", |authority| authority.as_str());
        authority.rsplit('@').next().unwrap_or(authority).to_owned()
    }

    fn describe(&self, error: &(dyn Error + 'static)) -> String {
        let causes = causes(error);
        if let Some(text) = causes.iter().find_map(|cause| credentials(*cause)) {
            return unable(&format!("getting credentials: {text}"));
        }
        let tls = causes
            .iter()
            .find_map(|cause| cause.downcast_ref::<rustls::Error>());
        if let Some(tls) = tls {
            return unable(&self.tls(tls));
        }
        let messages: Vec<String> = causes.iter().map(ToString::to_string).collect();
        let has = |text: &str| messages.iter().any(|message| message.contains(text));
        let io = causes
            .iter()
            .rev()
            .find_map(|cause| cause.downcast_ref::<io::Error>());
        let through = match &self.proxy {
            Some(proxy) => {
                let host = proxy.authority().map_or("", |authority| authority.as_str());
                (
                    format!(
                        "proxyconnect tcp: dial tcp {}",
                        host.rsplit('@').next().unwrap_or(host)
                    ),
                    true,
                )
            }
            None => (format!("dial tcp {}", self.host()), false),
        };
        if let Some(tunnel) = messages
            .iter()
            .find_map(|message| message.strip_prefix("tunnel error: "))
            && !tunnel.starts_with("failed to create")
        {
            return unable(&format!("{}: {tunnel}", through.0.replace("dial tcp ", "")));
        }
        if has("dns error") {
            let host = match &self.proxy {
                Some(proxy) => proxy.host(),
                None => self.server.host(),
            };
            let why = io.map_or("no such host".to_owned(), lookup);
            return unable(&format!("dial tcp: lookup {}: {why}", host.unwrap_or("")));
        }
        match io.map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) if !through.1 => {
                return format!(
                    "The connection to the server {} was refused - did you specify the right host or port?",
                    self.host()
                );
            }
            Some(io::ErrorKind::ConnectionReset) => {
                return unable(&format!(
                    "read tcp {}: read: connection reset by peer",
                    self.host()
                ));
            }
            Some(io::ErrorKind::UnexpectedEof) => return unable("EOF"),
            Some(_) => {
                if let Some(error) = io {
                    return unable(&format!("{}: {}", through.0, reason(error)));
                }
            }
            None => {}
        }
        if has("connection closed before message completed") || has("connection error: not connected") {
            return unable("EOF");
        }
        if has("invalid HTTP") {
            return unable("net/http: HTTP/1.x transport connection broken: malformed HTTP response");
        }
        let last = messages.last().map_or("unknown error", String::as_str);
        unable(&without_password(last))
    }

    fn tls(&self, error: &rustls::Error) -> String {
        let name = self.server.host().unwrap_or("");
        let x509 = |text: &str| format!("tls: failed to verify certificate: x509: {text}");
        match error {
            rustls::Error::InvalidCertificate(error) => match error {
                CertificateError::UnknownIssuer => x509("certificate signed by unknown authority"),
                CertificateError::NotValidForName => x509(&format!("certificate is not valid for {name}")),
                CertificateError::NotValidForNameContext { expected, presented } => {
                    let wanted = expected.to_str();
                    let is_address = wanted.parse::<std::net::IpAddr>().is_ok();
                    let valid: Vec<String> = presented
                        .iter()
                        .filter(|name| name.starts_with("IpAddress") == is_address)
                        .map(|name| plain_name(name))
                        .collect();
                    match (&valid[..], is_address) {
                        ([], true) => x509(&format!(
                            "cannot validate certificate for {wanted} because it doesn't contain any IP SANs"
                        )),
                        ([], false) => x509(&format!(
                            "certificate is not valid for any names, but wanted to match {wanted}"
                        )),
                        _ => x509(&format!(
                            "certificate is valid for {}, not {wanted}",
                            valid.join(", ")
                        )),
                    }
                }
                CertificateError::Expired | CertificateError::NotValidYet => {
                    x509("certificate has expired or is not yet valid")
                }
                CertificateError::ExpiredContext { time, not_after } => x509(&format!(
                    "certificate has expired or is not yet valid: current time {} is after {}",
                    moment(time.as_secs()),
                    moment(not_after.as_secs())
                )),
                CertificateError::NotValidYetContext { time, not_before } => x509(&format!(
                    "certificate has expired or is not yet valid: current time {} is before {}",
                    moment(time.as_secs()),
                    moment(not_before.as_secs())
                )),
                other => x509(&other.to_string()),
            },
            rustls::Error::InvalidMessage(_) => {
                "tls: first record does not look like a TLS handshake".to_owned()
            }
            rustls::Error::AlertReceived(alert) => format!("remote error: tls: {alert:?}"),
            other => format!("tls: {other}"),
        }
    }
}

/// Why there was no answer at all.
pub(super) fn no_answer(error: &kube::Error, destination: &Destination) -> RequestError {
    RequestError::Failed(destination.describe(error))
}

/// Why an answer ended early.
pub(super) fn broken_body(error: &(dyn Error + 'static)) -> RequestError {
    let causes = causes(error);
    let io = causes
        .iter()
        .rev()
        .find_map(|cause| cause.downcast_ref::<io::Error>());
    let why = match io.map(io::Error::kind) {
        None | Some(io::ErrorKind::UnexpectedEof) => "unexpected EOF".to_owned(),
        Some(_) => io.map_or_else(String::new, reason),
    };
    RequestError::Failed(format!("error: {why}: the API server's answer ended too early"))
}

/// Why no client could be made.
pub(super) fn no_client(error: &kube::Error) -> RequestError {
    let text = match causes(error).iter().find_map(|cause| credentials(*cause)) {
        Some(text) => format!("error: {text}"),
        None => match error {
            kube::Error::RustlsTls(error) => format!("error: tls: {error}"),
            kube::Error::HttpError(_) => {
                "error: a value of the --as flags cannot be sent as a header".to_owned()
            }
            kube::Error::ProxyProtocolUnsupported { .. } => {
                "error: the proxy's scheme must be http, https, or socks5".to_owned()
            }
            other => format!("error: {}", without_password(&other.to_string())),
        },
    };
    RequestError::Failed(text)
}

/// What kube's own providers of credentials say, without the output of commands.
fn credentials(error: &(dyn Error + 'static)) -> Option<String> {
    Some(match error.downcast_ref::<AuthError>()? {
        AuthError::AuthExecRun { out, .. } => {
            let said = String::from_utf8_lossy(&out.stderr);
            format!("the command of the auth provider failed: {}", said.trim())
        }
        AuthError::AuthExec(text) => text.clone(),
        other => other.to_string(),
    })
}

/// The error and all that caused it, into I/O errors too.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut causes = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        causes.push(error);
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    causes
}

fn unable(why: &str) -> String {
    format!("Unable to connect to the server: {why}")
}

/// The resolver's message, without what it adds.
fn lookup(error: &io::Error) -> String {
    let text = error.to_string();
    let why = text
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&text);
    match why {
        "Name or service not known" | "No address associated with hostname" => "no such host".to_owned(),
        "Temporary failure in name resolution" => "server misbehaving".to_owned(),
        other => other.to_owned(),
    }
}

/// rustls writes a name as `DnsName("localhost")` or `IpAddress(127.0.0.1)`.
fn plain_name(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"').to_owned()
}

fn moment(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| "an unknown time".to_owned(), |time| time.to_string())
}
