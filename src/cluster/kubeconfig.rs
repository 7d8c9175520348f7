//! The kubeconfig with kubectl's flags laid over it, as client-go's `clientcmd` does it.

use std::{io, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Uri;
use kube::{
    Config,
    config::{AuthInfo, Cluster, ExecAuthCluster, ExecInteractiveMode},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, de::DeserializeOwned};

pub(crate) use files::{Entry, Kubeconfig};

use super::{Environment, Options, RequestError, exec::Plugin, log::without_password, proxy::proxy_for};

mod files;

/// Everything that a connection is made of.
#[derive(Debug)]
pub(super) struct Target {
    /// For kube, without the bearer token.
    pub(super) config: Config,
    pub(super) namespace: String,
    pub(super) bearer: Bearer,
}

/// Where the bearer token comes from.
#[derive(Debug)]
pub(super) enum Bearer {
    None,
    Token(SecretString),
    /// The token is used as long as the file cannot be read.
    File(PathBuf, Option<SecretString>),
    Plugin(Box<Plugin>),
}

/// What clientcmd says if there is nothing to go by.
const NOTHING: &str = "Missing or incomplete configuration info.  Please point to an existing, complete config file:\n\n\n  \
                       1. Via the command-line flag --kubeconfig\n  \
                       2. Via the KUBECONFIG environment variable\n  \
                       3. In your home directory as ~/.kube/config";

const CONTEXT_NOT_FOUND: &str = "context was not found for specified context: ";

/// Finds out how to reach the cluster. No credential plugin is run.
pub(super) fn resolve(options: &Options, environment: &Environment) -> Result<Target, RequestError> {
    target(options, environment).map_err(|problems| {
        RequestError::Failed(match &problems.0[..] {
            [one] if one.starts_with(CONTEXT_NOT_FOUND) => format!("Error in configuration: {one}"),
            [one] => format!("error: {one}"),
            many => format!("Error in configuration: \n* {}", many.join("\n* ")),
        })
    })
}

struct Problems(Vec<String>);

impl From<String> for Problems {
    fn from(problem: String) -> Self {
        Self(vec![problem])
    }
}

impl From<&str> for Problems {
    fn from(problem: &str) -> Self {
        problem.to_owned().into()
    }
}

fn target(options: &Options, environment: &Environment) -> Result<Target, Problems> {
    let kubeconfig = Kubeconfig::read(options, environment)?;
    let nothing_chosen = [&options.context, &options.cluster, &options.user, &options.server]
        .iter()
        .all(|flag| flag.is_none());
    let (context, mut cluster, mut user, user_name) =
        if kubeconfig.is_empty() && nothing_chosen && options.kubeconfig.is_none() {
            in_cluster(environment).ok_or(NOTHING)?
        } else {
            select(&kubeconfig, options)?
        };
    override_cluster(&mut cluster, options);
    override_user(&mut user, options);
    let user_name = if user_name.is_empty() {
        "the user"
    } else {
        &user_name
    };

    let mut problems = Vec::new();
    check_user(&mut user, user_name, &mut problems);
    let root_cert = root_certificates(&cluster, &mut problems);
    if cluster.insecure_skip_tls_verify == Some(true) && root_cert.is_some() {
        problems.push("specifying a root certificates file with the insecure flag is not allowed".to_owned());
    }
    let server = cluster.server.as_deref().and_then(filled).ok_or(NOTHING)?;
    let uses_tls = root_cert.is_some() || cluster.insecure_skip_tls_verify == Some(true);
    let uri = server_uri(server, uses_tls || user.client_certificate_data.is_some());
    let uri = uri.unwrap_or_else(|problem| {
        problems.push(problem);
        Uri::default()
    });
    let namespace = options
        .namespace
        .as_deref()
        .and_then(filled)
        .or_else(|| filled(&context.namespace))
        .unwrap_or("default");
    if namespace.contains(['/', '%', '?', '#']) || matches!(namespace, "." | "..") {
        problems.push(format!("invalid namespace {namespace:?}"));
    }
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let proxy = proxy_for(&uri, cluster.proxy_url.as_deref().and_then(filled), environment)?;

    let cluster_for_plugin = match &user.exec {
        Some(exec) if exec.provide_cluster_info => {
            let cluster = ExecAuthCluster::try_from(&cluster).map_err(|error| error.to_string())?;
            Some(cluster)
        }
        _ => None,
    };
    // As kubectl does: nothing that proves who we are goes over a connection that anyone can read.
    if uri.scheme_str() != Some("https") {
        user = impersonation(&user);
    }
    let bearer = bearer(&mut user, cluster_for_plugin, options);

    let mut config = Config::new(uri);
    config.default_namespace = namespace.to_owned();
    config.root_cert = root_cert;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify == Some(true);
    config.disable_compression = options.disable_compression || cluster.disable_compression == Some(true);
    config.tls_server_name = cluster.tls_server_name.filter(|name| !name.is_empty());
    config.proxy_url = proxy;
    config.auth_info = user;
    // Ours counts the tries.
    config.default_retry = false;
    Ok(Target {
        namespace: namespace.to_owned(),
        config,
        bearer,
    })
}

impl Options {
    /// The kubeconfig for whoever only wants the names in it; `None` if it cannot be read.
    pub(crate) fn read_kubeconfig(&self) -> Option<Kubeconfig> {
        Kubeconfig::read(self, &Environment::current()).ok()
    }
}

/// An I/O error as Go writes it.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        _ => error.to_string(),
    }
}

type Selected = (Context, Cluster, AuthInfo, String);

/// What we read of a context.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
    namespace: String,
}

/// The entry of that name.
fn find<T: DeserializeOwned>(entries: &[Entry], name: &str) -> Result<Option<T>, Problems> {
    let entry = entries.iter().find(|entry| entry.name == name);
    entry.map(Entry::read).transpose()
}

fn select(kubeconfig: &Kubeconfig, options: &Options) -> Result<Selected, Problems> {
    let (context_name, context) = match (
        options.context.as_deref().and_then(filled),
        kubeconfig.current_context.as_deref(),
    ) {
        (Some(name), _) => {
            let context = find(&kubeconfig.contexts, name)?;
            (
                name,
                context.ok_or_else(|| format!("context {name:?} does not exist"))?,
            )
        }
        (None, Some(name)) => {
            let context = find(&kubeconfig.contexts, name)?;
            (name, context.ok_or_else(|| format!("{CONTEXT_NOT_FOUND}{name}"))?)
        }
        (None, None) => ("", Context::default()),
    };
    let cluster = match (
        options.cluster.as_deref().and_then(filled),
        filled(&context.cluster),
    ) {
        (Some(name), _) => {
            let cluster = find(&kubeconfig.clusters, name)?;
            cluster.ok_or_else(|| format!("cluster {name:?} does not exist"))?
        }
        (None, Some(name)) => match find(&kubeconfig.clusters, name)? {
            Some(cluster) => cluster,
            None if options.server.is_some() => Cluster::default(),
            None => {
                return Err(format!("cluster {name:?} was not found for context {context_name:?}").into());
            }
        },
        (None, None) => Cluster::default(),
    };
    let flags_say_who = options.token.is_some() || options.client_certificate.is_some();
    let (user_name, user) = match (options.user.as_deref().and_then(filled), filled(&context.user)) {
        (Some(name), _) => {
            let user = find(&kubeconfig.users, name)?;
            let user = user.ok_or_else(|| format!("auth info {name:?} does not exist"))?;
            (name.to_owned(), user)
        }
        (None, Some(name)) => match find(&kubeconfig.users, name)? {
            Some(user) => (name.to_owned(), user),
            None if flags_say_who => (name.to_owned(), AuthInfo::default()),
            // kubectl goes on without credentials here, and shows what an anonymous user may not do.
            None => return Err(format!("user {name:?} was not found for context {context_name:?}").into()),
        },
        (None, None) => (String::new(), AuthInfo::default()),
    };
    Ok((context, cluster, user, user_name))
}

/// What a pod knows about its own cluster.
fn in_cluster(environment: &Environment) -> Option<Selected> {
    let host = environment.text("KUBERNETES_SERVICE_HOST")?;
    let port = environment.text("KUBERNETES_SERVICE_PORT")?;
    let folder = &environment.service_account;
    let file = |name: &str| folder.join(name).to_str().map(str::to_owned);
    if !folder.join("token").is_file() {
        return None;
    }
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let namespace = std::fs::read_to_string(folder.join("namespace")).unwrap_or_default();
    let context = Context {
        namespace: namespace.trim().to_owned(),
        ..Context::default()
    };
    let cluster = Cluster {
        server: Some(format!("https://{host}:{port}")),
        certificate_authority: file("ca.crt"),
        ..Cluster::default()
    };
    let user = AuthInfo {
        token_file: file("token"),
        ..AuthInfo::default()
    };
    Some((context, cluster, user, "the service account".to_owned()))
}

fn override_cluster(cluster: &mut Cluster, options: &Options) {
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    if options.insecure_skip_tls_verify || options.certificate_authority.is_some() {
        cluster.insecure_skip_tls_verify = Some(options.insecure_skip_tls_verify);
        cluster.certificate_authority = options.certificate_authority.as_ref().map(path);
        cluster.certificate_authority_data = None;
    }
    if options.server.is_some() || options.tls_server_name.is_some() {
        // Another server has another name.
        cluster.tls_server_name.clone_from(&options.tls_server_name);
    }
    if let Some(server) = &options.server {
        cluster.server = Some(server.clone());
    }
}

fn override_user(user: &mut AuthInfo, options: &Options) {
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    if let Some(certificate) = &options.client_certificate {
        user.client_certificate = Some(path(certificate));
        user.client_certificate_data = None;
    }
    if let Some(key) = &options.client_key {
        user.client_key = Some(path(key));
        user.client_key_data = None;
    }
    if let Some(token) = &options.token {
        user.token = Some(token.clone());
        (user.token_file, user.exec, user.auth_provider) = (None, None, None);
        (user.username, user.password) = (None, None);
    }
    if options.impersonate.is_some() {
        user.impersonate.clone_from(&options.impersonate);
    }
    if options.impersonate_uid.is_some() {
        user.impersonate_uid.clone_from(&options.impersonate_uid);
    }
    if !options.impersonate_groups.is_empty() {
        user.impersonate_groups = Some(options.impersonate_groups.clone());
    }
    for (key, value) in &options.impersonate_user_extra {
        let extra = user.impersonate_user_extra.get_or_insert_default();
        extra.entry(key.clone()).or_default().push(value.clone());
    }
}

/// Checks what a user is said to be, and reads certificate and key into their `-data` fields.
fn check_user(user: &mut AuthInfo, name: &str, problems: &mut Vec<String>) {
    for text in [
        &mut user.client_certificate,
        &mut user.client_key,
        &mut user.token_file,
    ] {
        *text = text.take().filter(|text| !text.is_empty());
    }
    user.client_certificate_data = user
        .client_certificate_data
        .take()
        .filter(|text| !text.is_empty());
    let secret = |secret: &mut Option<SecretString>| {
        *secret = secret.take().filter(|secret| !secret.expose_secret().is_empty());
    };
    secret(&mut user.client_key_data);
    secret(&mut user.token);
    user.impersonate = user.impersonate.take().filter(|text| !text.is_empty());

    if user.client_certificate_data.is_none()
        && let Some(file) = &user.client_certificate
    {
        match std::fs::read(file) {
            Ok(bytes) => user.client_certificate_data = Some(STANDARD.encode(bytes)),
            Err(error) => problems.push(unreadable("client-cert", file, name, &error)),
        }
    }
    if user.client_key_data.is_none()
        && let Some(file) = &user.client_key
    {
        match std::fs::read(file) {
            Ok(bytes) => user.client_key_data = Some(STANDARD.encode(bytes).into()),
            Err(error) => problems.push(unreadable("client-key", file, name, &error)),
        }
    }
    let has_certificate = user.client_certificate_data.is_some() || user.client_certificate.is_some();
    let has_key = user.client_key_data.is_some() || user.client_key.is_some();
    if has_certificate != has_key {
        let missing = if has_key {
            "client-certificate-data or client-certificate"
        } else {
            "client-key-data or client-key"
        };
        problems.push(format!(
            "{missing} must be specified for {name} to use the clientCert authentication method."
        ));
    }
    (user.client_certificate, user.client_key) = (None, None);

    if let Some(exec) = &user.exec {
        let method = "to use exec authentication plugin";
        if exec.command.as_deref().is_none_or(str::is_empty) {
            problems.push(format!("command must be specified for {name} {method}"));
        }
        let version = exec.api_version.as_deref().unwrap_or_default();
        if version.is_empty() {
            problems.push(format!("apiVersion must be specified for {name} {method}"));
        } else if exec.interactive_mode.is_none() && version == "client.authentication.k8s.io/v1" {
            problems.push(format!("interactiveMode must be specified for {name} {method}"));
        } else if exec.interactive_mode == Some(ExecInteractiveMode::Always) && user.auth_provider.is_some() {
            problems.push(format!(
                "authProvider cannot be provided in combination with an exec plugin for {name}"
            ));
        }
    }
    let more = user.impersonate_uid.as_deref().is_some_and(|uid| !uid.is_empty())
        || user
            .impersonate_groups
            .as_ref()
            .is_some_and(|groups| !groups.is_empty())
        || user
            .impersonate_user_extra
            .as_ref()
            .is_some_and(|extra| !extra.is_empty());
    if more && user.impersonate.is_none() {
        problems.push(format!(
            "requesting uid, groups or user-extra for {name} without impersonating a user"
        ));
    }
}

fn unreadable(what: &str, file: &str, of: &str, error: &io::Error) -> String {
    format!(
        "unable to read {what} {file} for {of} due to open {file}: {}",
        reason(error)
    )
}

/// The certificates that the API server's must be signed by; `None`: the system's.
fn root_certificates(cluster: &Cluster, problems: &mut Vec<String>) -> Option<Vec<Vec<u8>>> {
    let data = cluster.certificate_authority_data.as_deref().and_then(filled);
    let pem = match (data, cluster.certificate_authority.as_deref().and_then(filled)) {
        // An entry is refused where this is not base64.
        (Some(data), _) => STANDARD.decode(data).unwrap_or_default(),
        (None, Some(file)) => match std::fs::read(file) {
            Ok(pem) => pem,
            Err(error) => {
                problems.push(unreadable("certificate-authority", file, "the cluster", &error));
                return None;
            }
        },
        (None, None) => return None,
    };
    let certificates: Result<Vec<Vec<u8>>, _> = CertificateDer::pem_slice_iter(&pem)
        .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
        .collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Some(certificates),
        _ => {
            problems.push("unable to load root certificates: unable to parse bytes as PEM block".to_owned());
            None
        }
    }
}

/// `host:port` alone is `https` if anything about TLS is known, else `http`, as for client-go.
fn server_uri(server: &str, tls: bool) -> Result<Uri, String> {
    let text = match server.split_once("://") {
        Some(_) => server.to_owned(),
        None => format!("{}://{server}", if tls { "https" } else { "http" }),
    };
    let shown = without_password(&text);
    let uri: Uri = text
        .parse()
        .map_err(|error| format!("invalid server address {shown:?}: {error}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(uri),
        _ => Err(format!(
            "invalid server address {shown:?}: it must be https://HOST:PORT"
        )),
    }
}

fn bearer(user: &mut AuthInfo, cluster: Option<ExecAuthCluster>, options: &Options) -> Bearer {
    let (token, file, exec) = (user.token.take(), user.token_file.take(), user.exec.take());
    if user.auth_provider.is_some() || (user.username.is_some() && user.password.is_some()) {
        return Bearer::None;
    }
    match (token, file, exec) {
        (token, Some(file), _) => Bearer::File(file.into(), token),
        (Some(token), None, _) => Bearer::Token(token),
        (None, None, Some(config)) => Bearer::Plugin(Box::new(Plugin {
            config,
            cluster,
            interactive: options.interactive,
            log: options.log.clone(),
        })),
        (None, None, None) => Bearer::None,
    }
}

fn impersonation(user: &AuthInfo) -> AuthInfo {
    AuthInfo {
        impersonate: user.impersonate.clone(),
        impersonate_uid: user.impersonate_uid.clone(),
        impersonate_groups: user.impersonate_groups.clone(),
        impersonate_user_extra: user.impersonate_user_extra.clone(),
        ..AuthInfo::default()
    }
}

fn filled(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
