//! The syntax of names, labels, paths and addresses, as `apimachinery`'s validation has it.
//!
//! Each function gives what is wrong, or `None`. They are hand-written scanners: nothing here depends on how long
//! a text is but its length.

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn label_shape(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|b| is_lower(*b))
        && bytes.last().is_some_and(|b| is_lower(*b))
        && bytes.iter().all(|b| is_lower(*b) || *b == b'-')
}

/// An RFC 1123 label: names of volumes, containers and hosts.
pub(super) fn dns_label(text: &str) -> Option<&'static str> {
    if text.len() > 63 {
        Some("it is longer than 63 characters")
    } else if !label_shape(text) {
        Some("only lower-case letters, digits and '-' are allowed, with a letter or digit at both ends")
    } else {
        None
    }
}

/// An RFC 1123 subdomain: names of objects.
pub(super) fn dns_subdomain(text: &str) -> Option<&'static str> {
    if text.len() > 253 {
        Some("it is longer than 253 characters")
    } else if !text.split('.').all(label_shape) {
        Some(
            "only lower-case letters, digits, '-' and '.' are allowed, with a letter or digit at both ends of each part",
        )
    } else {
        None
    }
}

/// The same where underscores are allowed too, inside and in front: search domains.
pub(super) fn dns_subdomain_with_underscore(text: &str) -> Option<&'static str> {
    let good = |part: &str| {
        let part = part.strip_prefix('_').unwrap_or(part);
        let bytes = part.as_bytes();
        bytes.first().is_some_and(|b| is_lower(*b))
            && bytes.last().is_some_and(|b| is_lower(*b))
            && bytes.iter().all(|b| is_lower(*b) || matches!(b, b'-' | b'_'))
    };
    if text.len() > 253 {
        Some("it is longer than 253 characters")
    } else if !text.split('.').all(good) {
        Some("only lower-case letters, digits, '-', '_' and '.' are allowed")
    } else {
        None
    }
}

fn name_shape(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// A qualified name: keys of labels and annotations, names of resources.
pub(super) fn qualified_name(text: &str) -> Option<&'static str> {
    let name = match text.split_once('/') {
        Some((prefix, name)) => {
            if prefix.is_empty() {
                return Some("the part before '/' is empty");
            }
            if dns_subdomain(prefix).is_some() {
                return Some("the part before '/' is no DNS subdomain");
            }
            name
        }
        None => text,
    };
    if name.contains('/') {
        Some("there is more than one '/'")
    } else if name.is_empty() {
        Some("the name is empty")
    } else if name.len() > 63 {
        Some("the name is longer than 63 characters")
    } else if !name_shape(name) {
        Some("the name may have letters, digits, '-', '_' and '.', with a letter or digit at both ends")
    } else {
        None
    }
}

/// The value of a label.
pub(super) fn label_value(text: &str) -> Option<&'static str> {
    if text.len() > 63 {
        Some("it is longer than 63 characters")
    } else if !text.is_empty() && !name_shape(text) {
        Some(
            "a label's value may have letters, digits, '-', '_' and '.', with a letter or digit at both ends",
        )
    } else {
        None
    }
}

/// The name of a port.
pub(super) fn port_name(text: &str) -> Option<&'static str> {
    if text.len() > 15 {
        Some("it is longer than 15 characters")
    } else if text.is_empty() || !text.bytes().all(|b| is_lower(b) || b == b'-') {
        Some("only lower-case letters, digits and '-' are allowed")
    } else if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        Some("it has no letter")
    } else if text.contains("--") || text.starts_with('-') || text.ends_with('-') {
        Some("a '-' must stand between letters or digits")
    } else {
        None
    }
}

/// The name of an environment variable since Kubernetes 1.34.
pub(super) fn env_name(text: &str) -> Option<&'static str> {
    let good = |b: u8| (b' '..=b'~').contains(&b) && b != b'=';
    (!text.bytes().all(good)).then_some("only printable ASCII characters other than '=' are allowed")
}

/// Whether it is a name that older servers, and every shell, accept.
pub(super) fn is_plain_env_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|b| !b.is_ascii_digit())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// A key of a ConfigMap or Secret.
pub(super) fn config_key(text: &str) -> Option<&'static str> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.len() > 253 {
        Some("it is longer than 253 characters")
    } else if !text.bytes().all(good) {
        Some("only letters, digits, '-', '_' and '.' are allowed")
    } else if text == "." || text.starts_with("..") {
        Some("it may not be '.' nor start with '..'")
    } else {
        None
    }
}

/// The name of an HTTP header.
pub(super) fn header_name(text: &str) -> Option<&'static str> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (text.is_empty() || !text.bytes().all(good)).then_some("only letters, digits and '-' are allowed")
}

/// A sysctl, with dots or slashes.
pub(super) fn sysctl(text: &str) -> Option<&'static str> {
    let part = |text: &str| {
        let bytes = text.as_bytes();
        bytes.first().is_some_and(|b| is_lower(*b))
            && bytes.last().is_some_and(|b| is_lower(*b))
            && bytes.iter().all(|b| is_lower(*b) || matches!(b, b'-' | b'_'))
    };
    (text.len() > 253 || !text.split(['.', '/']).all(part))
        .then_some("a sysctl is made of lower-case words, joined by '.' or '/'")
}

/// A path that has no `..` in it.
pub(super) fn no_backsteps(text: &str) -> Option<&'static str> {
    text.split('/')
        .any(|part| part == "..")
        .then_some("it may not contain '..'")
}

/// A relative path that stays below where it starts.
pub(super) fn descending_path(text: &str) -> Option<&'static str> {
    if text.starts_with('/') {
        Some("it must be a relative path")
    } else {
        no_backsteps(text)
    }
}

/// The same for a file of a volume, whose names starting with `..` belong to the kubelet.
pub(super) fn file_path(text: &str) -> Option<&'static str> {
    descending_path(text).or_else(|| text.starts_with("..").then_some("it may not start with '..'"))
}

/// How the API server takes an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Good,
    /// Refused since Kubernetes 1.36.
    OldForm,
    Bad,
}

/// An IP address.
pub(super) fn address(text: &str) -> Address {
    use std::net::{Ipv4Addr, Ipv6Addr};
    if let Ok(v6) = text.parse::<Ipv6Addr>() {
        return if v6.to_ipv4_mapped().is_some() {
            Address::OldForm
        } else {
            Address::Good
        };
    }
    if text.parse::<Ipv4Addr>().is_ok() {
        return Address::Good;
    }
    let parts: Vec<&str> = text.split('.').take(5).collect();
    let number = |part: &&str| {
        part.len() <= 64
            && part.bytes().all(|b| b.is_ascii_digit())
            && part
                .parse::<u64>()
                .or_else(|_| part.trim_start_matches('0').parse())
                .is_ok_and(|n| n <= 255)
    };
    if parts.len() == 4 && parts.iter().all(number) {
        Address::OldForm
    } else {
        Address::Bad
    }
}
