//! What a connection string says, by libpq's conventions: URLs and `host=… dbname=…`, completed by `PG*`
//! variables and `~/.pgpass`.
//!
//! sqlx passes over parameters that it does not know, so that `ssl_mode=verify-full` would connect without any
//! check. Here all forms are read first, refused where something is not understood, and handed to sqlx as one
//! canonical URL.

use std::{str::FromStr as _, time::Duration};

use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
};

use super::DatabaseError;

/// Parameters that sqlx understands as libpq does.
const KNOWN: &[&str] = &[
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "application_name",
    "options",
];

/// Parameters that change nothing here.
const HARMLESS: &[&str] = &[
    "client_encoding",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "sslcompression",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// How long a connection may take, sign-in included, unless `connect_timeout` or `PGCONNECT_TIMEOUT` says so.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where and how to connect.
pub(super) struct Target {
    pub(super) options: PgConnectOptions,
    pub(super) connect_timeout: Duration,
    /// `DATABASE on HOST:PORT as USER`: what messages call it. It holds no password.
    pub(super) name: String,
}

/// Reads a connection string; `None` or an empty one means the `PG*` variables alone.
pub(super) fn target(text: Option<&str>) -> Result<Target, DatabaseError> {
    let text = text.unwrap_or_default().trim();
    let mut parameters = match text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"))
    {
        Some(rest) => url(rest)?,
        None if text.contains("://") => {
            return Err(DatabaseError::url(
                "it begins with neither postgres:// nor postgresql://",
            ));
        }
        None => keywords(text)?,
    };
    let mut connect_timeout = std::env::var("PGCONNECT_TIMEOUT").ok();
    let mut refused = None;
    parameters.retain(|(name, value)| {
        if name == "connect_timeout" {
            connect_timeout = Some(value.clone());
            return false;
        }
        if !KNOWN.contains(&name.as_str()) && !HARMLESS.contains(&name.as_str()) {
            refused.get_or_insert_with(|| name.clone());
        }
        // libpq's word for the system's authorities, which are always trusted here.
        KNOWN.contains(&name.as_str()) && !(name == "sslrootcert" && value == "system")
    });
    if let Some(name) = refused {
        let near = KNOWN.iter().find(|known| strsim::levenshtein(known, &name) <= 2);
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        return Err(DatabaseError::url(format!(
            "its parameter {name:?} is not supported{near}"
        )));
    }
    let given = |name: &str| parameters.iter().any(|(known, _)| known == name);
    if given("host") && given("hostaddr") {
        return Err(DatabaseError::url(
            "host and hostaddr together are not supported; leave one out",
        ));
    }
    if let Some((_, hosts)) = parameters
        .iter()
        .find(|(name, value)| name == "host" && value.contains(','))
    {
        return Err(DatabaseError::url(format!(
            "it names several hosts ({hosts}); name one"
        )));
    }
    let ssl_mode = parameters
        .iter()
        .rfind(|(name, _)| name == "sslmode")
        .map(|(_, value)| ("its sslmode", value.clone()))
        .or_else(|| std::env::var("PGSSLMODE").ok().map(|mode| ("PGSSLMODE", mode)));
    if let Some((place, mode)) = ssl_mode
        && PgSslMode::from_str(&mode).is_err()
    {
        return Err(DatabaseError::url(format!(
            "{place} is {mode:?}; it can be disable, allow, prefer, require, verify-ca or verify-full"
        )));
    }
    let connect_timeout = match connect_timeout.as_deref().map(str::trim) {
        None | Some("") => CONNECT_TIMEOUT,
        Some(seconds) => match seconds.parse::<u64>() {
            // 0 is libpq's word for "for ever"; a command that hangs helps nobody.
            Ok(0) => CONNECT_TIMEOUT,
            Ok(seconds) => Duration::from_secs(seconds.min(3600)),
            Err(_) => {
                return Err(DatabaseError::url(format!(
                    "connect_timeout is {seconds:?}, no number of seconds"
                )));
            }
        },
    };
    let canonical: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    let canonical = format!("postgres:///?{}", canonical.join("&"));
    // What sqlx says of a value never repeats the URL.
    let mut options =
        PgConnectOptions::from_str(&canonical).map_err(|error| DatabaseError::url(error.to_string()))?;
    let socket = options.get_socket().map(|path| path.display().to_string());
    let socket = socket.or_else(|| {
        options
            .get_host()
            .starts_with('/')
            .then(|| options.get_host().to_owned())
    });
    options = match (&socket, options.get_ssl_mode()) {
        // As libpq does it: there is no TLS on a Unix socket, whatever sslmode says.
        (Some(_), _) => options.ssl_mode(PgSslMode::Disable),
        // Encrypted where the server can; sqlx takes `allow` for `disable`.
        (None, PgSslMode::Allow) => options.ssl_mode(PgSslMode::Prefer),
        (None, _) => options,
    };
    if !given("sslrootcert")
        && std::env::var_os("PGSSLROOTCERT").is_none()
        && let Some(home) = std::env::home_dir()
    {
        let root = home.join(".postgresql/root.crt");
        if root.exists() {
            options = options.ssl_root_cert(root);
        }
    }
    if options.get_application_name().is_none_or(str::is_empty) {
        options = options.application_name("kubectl-cocalc");
    }
    let at = match &socket {
        Some(folder) => format!("{folder}/.s.PGSQL.{}", options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let user = options.get_username();
    let name = format!("{} on {at} as {user}", options.get_database().unwrap_or(user));
    Ok(Target {
        options: options.disable_statement_logging(),
        connect_timeout,
        name,
    })
}

type Parameters = Vec<(String, String)>;

/// What stands behind the scheme: `user:password@host:port/dbname?name=value&…`.
fn url(rest: &str) -> Result<Parameters, DatabaseError> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A password may hold a slash that is not encoded; hosts and user names hold no `@`.
    let (user_info, rest) = rest
        .rsplit_once('@')
        .map_or((None, rest), |(user, rest)| (Some(user), rest));
    let (host, database) = rest.split_once('/').unwrap_or((rest, ""));
    let mut parameters = Vec::new();
    let mut add = |name: &str, value: &str| -> Result<(), DatabaseError> {
        if !value.is_empty() {
            parameters.push((name.to_owned(), decoded(value)?));
        }
        Ok(())
    };
    if let Some(user_info) = user_info {
        let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        add("user", user)?;
        add("password", password)?;
    }
    // `[::1]:5432`, `host:5432`, `host`
    let (host, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
        None => host.rsplit_once(':').unwrap_or((host, "")),
    };
    add("host", host)?;
    add("port", port)?;
    add("dbname", database)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(DatabaseError::url(format!("its parameter {pair:?} has no value")));
        };
        let name = decoded(name)?;
        add(if name == "ssl-mode" { "sslmode" } else { &name }, value)?;
    }
    Ok(parameters)
}

/// `host=db.example dbname='my db' password=it\'s`
fn keywords(text: &str) -> Result<Parameters, DatabaseError> {
    let mut parameters = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
            name.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if name.is_empty() && chars.peek().is_none() {
            return Ok(parameters);
        }
        if name.is_empty() || chars.next_if_eq(&'=').is_none() {
            // The word may be part of a password: it is not repeated.
            return Err(DatabaseError::url(
                "it is neither a URL (postgres://USER@HOST/DATABASE) nor a list of name=value",
            ));
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match chars.next_if(|c| quoted || !c.is_whitespace()) {
                None if quoted => return Err(DatabaseError::url("a quoted value in it has no end")),
                None => break,
                Some('\'') if quoted => break,
                Some('\\') => value.extend(chars.next()),
                Some(c) => value.push(c),
            }
        }
        if !value.is_empty() {
            parameters.push((name, value));
        }
    }
}

fn decoded(text: &str) -> Result<String, DatabaseError> {
    let wrong = || DatabaseError::url("it has a % that begins no escape; write %25 for the character itself");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(wrong());
        };
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| wrong())?);
    }
    String::from_utf8(bytes).map_err(|_| DatabaseError::url("an escape in it is not UTF-8"))
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> PgConnectOptions {
        target(Some(text)).unwrap().options
    }

    #[test]
    fn urls_and_keywords_say_the_same() {
        for text in [
            "postgres://smc:p%40ss@db.example:5433/cocalc?sslmode=verify-full",
            "postgresql://db.example:5433/cocalc?user=smc&password=p%40ss&sslmode=verify-full",
            "host=db.example port = 5433 dbname='cocalc' user=smc password='p@ss' sslmode=verify-full",
        ] {
            let options = of(text);
            assert_eq!(options.get_host(), "db.example");
            assert_eq!(options.get_port(), 5433);
            assert_eq!(options.get_database(), Some("cocalc"));
            assert_eq!(options.get_username(), "smc");
            assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull));
            assert!(options.to_url_lossy().as_str().contains("p%40ss"), "{text}");
        }
        assert_eq!(of("postgres://u@[::1]:6/d").get_host(), "::1");
        let plus = of("postgres://u@/d?host=%2Ftmp%2Fa+b");
        assert_eq!(plus.get_socket().unwrap().to_str(), Some("/tmp/a+b"));
        let odd = of(r"user=a password=it\'s\ 1");
        assert!(odd.to_url_lossy().as_str().contains("it%27s%201"));
    }

    #[test]
    fn what_is_not_understood_is_refused_and_no_password_is_repeated() {
        for text in [
            "postgres://u:hunter2@h/d?ssl_mode=verify-full",
            "postgres://u:hunter2@h/d?sslmode=verify-ful",
            "postgres://u:hunter2@h/d?sslcrl=x",
            "postgres://u:hunter2@a,b/d",
            "postgres://u:hunter2@h/d?host=x&hostaddr=127.0.0.1",
            "postgres://u:hunter2%@h/d",
            "postgres://u:hunter2@h:port/d",
            "mysql://u:hunter2@h/d",
            "hunter2",
            "password='hunter2",
            "postgres://u:hunter2@h/d?connect_timeout=soon",
        ] {
            let error = target(Some(text)).map(|_| ()).unwrap_err();
            let told = format!("{error} {:?} {error:?}", error.hint());
            assert!(!told.contains("hunter2"), "{told}");
        }
        let name = target(Some("postgres://u:hunter2@h:1/d")).unwrap().name;
        assert_eq!(name, "d on h:1 as u");
    }
}
