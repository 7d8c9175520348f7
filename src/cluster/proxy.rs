//! Which proxy leads to the API server.
//!
//! kube compares `NO_PROXY` with the proxy's own host and fails on a trailing comma, so the proxy is worked out here,
//! by the rules of client-go: `proxy-url` of the kubeconfig wins and knows no exception; else the environment, read as
//! golang.org/x/net/http/httpproxy reads it.

use std::net::IpAddr;

use http::Uri;

use super::Environment;

/// The proxy for an API server; `explicit` is the kubeconfig's `proxy-url`.
pub(super) fn proxy_for(
    server: &Uri,
    explicit: Option<&str>,
    environment: &Environment,
) -> Result<Option<Uri>, String> {
    if let Some(text) = explicit {
        let wrong = |why: &str| {
            format!(
                "invalid 'proxy-url' {:?}: {why}",
                super::log::without_password(text)
            )
        };
        let uri: Uri = text.parse().map_err(|_| wrong("it is no URL"))?;
        return match uri.scheme_str() {
            Some("http" | "https" | "socks5") if uri.host().is_some_and(|host| !host.is_empty()) => {
                Ok(Some(uri))
            }
            Some(scheme @ ("http" | "https" | "socks5")) => Err(wrong(&format!("{scheme} needs a host"))),
            scheme => Err(wrong(&format!(
                "unsupported scheme {:?}, must be http, https, or socks5",
                scheme.unwrap_or("")
            ))),
        };
    }
    let variables = if server.scheme_str() == Some("http") {
        ["HTTP_PROXY", "http_proxy"]
    } else {
        ["HTTPS_PROXY", "https_proxy"]
    };
    let Some(proxy) = variables
        .iter()
        .find_map(|name| environment.text(name))
        .and_then(from_environment)
    else {
        return Ok(None);
    };
    let host = server.host().unwrap_or("");
    let port = server
        .port_u16()
        .unwrap_or(if server.scheme_str() == Some("http") {
            80
        } else {
            443
        });
    let exceptions = ["NO_PROXY", "no_proxy"]
        .iter()
        .find_map(|name| environment.text(name))
        .unwrap_or("");
    Ok(Some(proxy).filter(|_| !is_excepted(host, port, exceptions)))
}

/// A proxy without a scheme is an HTTP proxy; one that cannot be read is none, as for Go.
fn from_environment(text: &str) -> Option<Uri> {
    let text = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    // hyper resolves names at the proxy for socks5 too, which is all that socks5h asks for.
    let text = match text.strip_prefix("socks5h://") {
        Some(rest) => format!("socks5://{rest}"),
        None => text,
    };
    text.parse().ok()
}

/// Whether `NO_PROXY` or Go's own rule (this machine is reached directly) excepts a host.
fn is_excepted(host: &str, port: u16, exceptions: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    exceptions
        .split(',')
        .map(|entry| entry.trim().to_lowercase())
        .any(|entry| matches(&entry, &host, address, port))
}

fn matches(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/')
        && let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>())
    {
        return address.is_some_and(|address| is_in(address, network, bits));
    }
    let (name, only_port) = split_port(entry);
    if only_port.is_some_and(|only| only != port.to_string()) || name.is_empty() {
        return false;
    }
    if let Ok(excepted) = name.parse::<IpAddr>() {
        return address.is_some_and(|address| address.to_canonical() == excepted.to_canonical());
    }
    let name = name
        .strip_prefix('*')
        .filter(|rest| rest.starts_with('.'))
        .unwrap_or(name);
    match name.strip_prefix('.') {
        Some(_) => host.ends_with(name),
        None => {
            host == name
                || host
                    .strip_suffix(name)
                    .is_some_and(|before| before.ends_with('.'))
        }
    }
}

/// `host:port`, `[v6]:port`, or no port.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    if let Some(rest) = entry.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, after)) => (host, after.strip_prefix(':')),
            None => (entry, None),
        };
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (entry, None),
    }
}

fn is_in(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address.to_canonical(), network.to_canonical()) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            bits <= 32 && (u32::from(address) ^ u32::from(network)).leading_zeros() >= bits
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            bits <= 128 && (u128::from(address) ^ u128::from(network)).leading_zeros() >= bits
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment {
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.into()))
                .collect(),
            service_account: "/none".into(),
        }
    }

    #[test]
    fn no_proxy_is_read_as_go_reads_it() {
        for (exceptions, server, excepted) in [
            ("", "https://api.lab.example", false),
            (",", "https://api.lab.example", false),
            ("*", "https://api.lab.example", true),
            ("lab.example", "https://api.lab.example", true),
            ("lab.example", "https://lab.example", true),
            ("lab.example", "https://collab.example", false),
            (".lab.example", "https://api.lab.example", true),
            (".lab.example", "https://lab.example", false),
            ("*.lab.example", "https://api.lab.example", true),
            ("*.lab.example", "https://lab.example", false),
            ("LAB.example , other", "https://API.lab.EXAMPLE", true),
            ("lab.example:6443", "https://lab.example:6443", true),
            ("lab.example:6443", "https://lab.example", false),
            ("lab.example:443", "https://lab.example", true),
            (":6443", "https://lab.example:6443", false),
            ("other,,10.0.0.0/8,", "https://10.1.2.3:6443", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("10.0.0.0/33", "https://10.1.2.3", false),
            ("10.1.2.3", "https://10.1.2.3:6443", true),
            ("10.1.2.3:443", "https://10.1.2.3:6443", false),
            ("fd00::/8", "https://[fd00::1]:6443", true),
            ("[fd00::1]:6443", "https://[fd00::1]:6443", true),
            ("fd00::1", "https://[fd00::1]:6443", true),
            ("fd00::2", "https://[fd00::1]:6443", false),
            ("", "https://localhost:6443", true),
            ("", "https://127.0.0.7", true),
            ("", "https://[::1]", true),
            // The proxy's own host is no reason to go round it.
            ("proxy.example", "https://api.lab.example", false),
        ] {
            let environment = environment(&[
                ("HTTPS_PROXY", "http://proxy.example:3128"),
                ("NO_PROXY", exceptions),
            ]);
            let proxy = proxy_for(&server.parse().unwrap(), None, &environment).unwrap();
            assert_eq!(
                proxy.is_none(),
                excepted,
                "NO_PROXY={exceptions} {server}: {proxy:?}"
            );
        }
    }

    #[test]
    fn the_kubeconfigs_proxy_wins_over_every_exception() {
        let environment = environment(&[("HTTPS_PROXY", "http://other:1"), ("NO_PROXY", "*")]);
        let server: Uri = "https://127.0.0.1:6443".parse().unwrap();
        let proxy = proxy_for(&server, Some("socks5://p:1080"), &environment)
            .unwrap()
            .unwrap();
        assert_eq!(proxy.to_string(), "socks5://p:1080/");
        let error = proxy_for(&server, Some("ftp://u:hidden@p"), &environment).unwrap_err();
        assert!(
            error.contains("unsupported scheme \"ftp\"") && !error.contains("hidden"),
            "{error}"
        );
    }

    #[test]
    fn the_variable_fits_the_servers_scheme_and_capitals_win() {
        let environment = environment(&[
            ("HTTP_PROXY", ""),
            ("http_proxy", "plain:1"),
            ("HTTPS_PROXY", "tls:2"),
            ("https_proxy", "other:3"),
        ]);
        let proxy = |server: &str| {
            proxy_for(&server.parse().unwrap(), None, &environment)
                .unwrap()
                .unwrap()
        };
        assert_eq!(proxy("http://h.example").to_string(), "http://plain:1/");
        assert_eq!(proxy("https://h.example").to_string(), "http://tls:2/");
    }
}
