//! Why the database could not be read, in one sentence, and what would help.

use std::{fmt, time::Duration};

/// Why the database could not be read.
pub struct DatabaseError {
    message: String,
    hint: Option<String>,
}

impl DatabaseError {
    /// What would help, where that is known.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub(super) fn url(message: impl fmt::Display) -> Self {
        Self {
            message: format!("the database's URL cannot be used: {message}"),
            hint: None,
        }
    }

    pub(super) fn runtime(error: &std::io::Error) -> Self {
        Self {
            message: format!("cannot prepare a connection: {error}"),
            hint: None,
        }
    }

    /// Nothing came for so long.
    pub(super) fn silent(name: &str, what: &str, limit: Duration) -> Self {
        Self {
            message: format!(
                "database {name}: {what}: no answer for {} seconds",
                limit.as_secs()
            ),
            hint: None,
        }
    }

    /// A value that does not fit its column.
    pub(super) fn content(name: &str, message: &str) -> Self {
        Self {
            message: format!("database {name}: {message}"),
            hint: None,
        }
    }

    /// What sqlx or the server says, while `what` was done.
    pub(super) fn new(name: &str, user: &str, what: &str, error: &sqlx::Error) -> Self {
        let (text, hint) = match error {
            sqlx::Error::Database(error) => {
                let code = error.code();
                let hint = hint(code.as_deref().unwrap_or_default(), user);
                (error.message().to_owned(), hint)
            }
            sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                ("the server closed the connection".to_owned(), None)
            }
            sqlx::Error::Io(error) => (error.to_string(), None),
            sqlx::Error::Tls(error) => {
                let hint = "sslrootcert=FILE names the authority of the server's certificate; with verify-full and \
                            verify-ca the certificate must name the host";
                (format!("TLS: {error}"), Some(hint.to_owned()))
            }
            other => (other.to_string(), None),
        };
        Self {
            message: format!("database {name}: {what}: {text}"),
            hint,
        }
    }
}

/// The columns of `projects` that are read.
const PROJECTS: &str =
    "project_id, title, settings, users, site_license, run_quota, env, state, compute_image, deleted";
/// The columns of `site_licenses` that are read.
const LICENSES: &str = "id, title, activates, expires, run_limit, upgrades, quota, last_used, managers";

/// What helps against an error of the server, by its SQLSTATE.
fn hint(code: &str, user: &str) -> Option<String> {
    Some(match code {
        "28P01" => "the password is taken from the URL, PGPASSWORD, or ~/.pgpass (mode 0600)".to_owned(),
        "28000" => {
            "pg_hba.conf on the server says who may connect from where, and with which sslmode".to_owned()
        }
        "3D000" => "name the database in the URL: postgres://USER@HOST/DATABASE".to_owned(),
        // Whole tables would be too much: other rows of server_settings hold passwords.
        "42501" => {
            let user = format!("\"{}\"", user.replace('"', "\"\""));
            format!(
                "an administrator of the database can allow what is read, and no more: GRANT SELECT ({PROJECTS}) ON \
                 projects TO {user}; GRANT SELECT ({LICENSES}) ON site_licenses TO {user}; of server_settings, where passwords are, a \
                 view of three rows is enough (the README has the statements)"
            )
        }
        "42P01" | "42703" => "is this CoCalc's database, and is its schema up to date?".to_owned(),
        "57014" => "the server is busy, or its tables are locked; try again later".to_owned(),
        _ => return None,
    })
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseError")
            .field("message", &self.message)
            .field("hint", &self.hint)
            .finish()
    }
}

impl std::error::Error for DatabaseError {}

/// A row of `projects` that cannot be judged; the others can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// UUID of the project.
    pub project_id: String,
    /// The column at fault.
    pub column: &'static str,
    /// What it holds instead of a map: `a list`, `a string`, …
    pub found: &'static str,
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "column {} of table projects holds {}, where a map is expected; correct that row",
            self.column, self.found
        )
    }
}

impl std::error::Error for RowError {}
