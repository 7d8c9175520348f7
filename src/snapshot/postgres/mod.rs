//! CoCalc's PostgreSQL as a source: settings, licenses, projects, and how many run with each license.
//!
//! Everything is read in one transaction, `REPEATABLE READ READ ONLY`: a consistent picture, nothing written, and
//! no lock but `ACCESS SHARE`, which stands in the way of a change of the schema alone. The number of statements
//! does not depend on the number of projects: all projects are the rows of one `SELECT`, taken as they arrive.
//!
//! Every value is asked for as text. So `jsonb` keeps its own order and its numbers as PostgreSQL prints them,
//! and a column whose type differs between installations is read all the same. Timestamps without a zone are UTC,
//! as in CoCalc.
//!
//! Of `server_settings` only the rows that the quota needs are read; others hold passwords.

use std::{collections::BTreeMap, future::Future, ops::ControlFlow, time::Duration};

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _, postgres::PgRow};
use tokio::{runtime::Runtime, time::timeout};

use super::{Column, License, Project, Snapshot, parse_timestamp};
use crate::json::{self, Json};

mod error;
mod options;

pub use error::{DatabaseError, RowError};

/// The server gives up a short statement after this time.
const STATEMENT_TIMEOUT: &str = "30s";

/// The longest silence before this side gives up; longer than the server's own limit, which tells more.
const SILENCE: Duration = Duration::from_secs(40);

/// The longest silence between two projects.
const SILENCE_BETWEEN_ROWS: Duration = Duration::from_secs(30);

/// Rows that are read where no project is named: one more than messages name.
pub const FEW: usize = 11;

/// A connection in its one transaction, ended when it is dropped.
pub struct Database {
    connection: Option<PgConnection>,
    runtime: Runtime,
    name: String,
    user: String,
}

/// Which rows of `projects` go into the snapshot.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// None: they are taken with [`Database::each_project`].
    None,
    /// Those that are not deleted, [`FEW`] at most: enough to see whether there is only one.
    Few,
    /// These, deleted or not.
    Ids(&'a [String]),
    /// All, deleted or not.
    All,
}

/// What [`Database::read`] gives.
#[derive(Debug, Default)]
pub struct Read {
    /// Settings, licenses, usage counts and the projects that were wanted.
    pub snapshot: Snapshot,
    /// Projects that were wanted and cannot be judged.
    pub unreadable: Vec<RowError>,
    /// What is odd about rows of `site_licenses`, one sentence each.
    pub notes: Vec<String>,
}

/// Which projects [`Database::each_project`] takes. Deleted ones never.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those that have this license.
    pub license: Option<String>,
    /// Whether the quota of the last start is needed; it is as long as the rest.
    pub run_quota: bool,
}

/// The license rows. Text where the type may vary; `activates` and `expires` may be infinite.
const LICENSES: &str = "SELECT id::text, title::text, activates::text, expires::text, run_limit::text, \
                        upgrades::text, quota::text, last_used::text, to_json(managers)::text \
                        FROM site_licenses";

/// CoCalc's own count, for all licenses at once: `state.state` is `running`, and the entry less its key `status`
/// is not `{}`. At an entry that is neither map nor list its count fails; here the first such project is named.
const USAGE: &str = "SELECT k.key, \
  (count(*) FILTER (WHERE CASE WHEN jsonb_typeof(k.value) IN ('object', 'array') \
                          THEN (k.value - 'status') <> '{}'::jsonb ELSE false END))::text, \
  min(p.project_id::text) FILTER (WHERE jsonb_typeof(k.value) NOT IN ('object', 'array')) \
  FROM projects p CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(p.site_license) \
       WHEN 'object' THEN p.site_license ELSE '{}'::jsonb END) AS k \
  WHERE p.state->>'state' = 'running' GROUP BY k.key";

/// Ids that projects hold and that begin so, for licenses whose row is gone.
const HELD: &str = "SELECT DISTINCT k.key FROM projects p \
  CROSS JOIN LATERAL jsonb_object_keys(CASE jsonb_typeof(p.site_license) \
       WHEN 'object' THEN p.site_license ELSE '{}'::jsonb END) AS k(key) \
  WHERE EXISTS (SELECT FROM unnest($1::text[]) AS b(beginning) WHERE left(k.key, length(beginning)) = beginning) \
  ORDER BY 1 LIMIT 100";

/// The columns of a project; `run_quota` only where it is needed.
fn projects(run_quota: bool, rest: &str) -> String {
    let run_quota = if run_quota {
        "run_quota::text"
    } else {
        "NULL::text"
    };
    format!(
        "SELECT project_id::text, title::text, settings::text, users::text, site_license::text, env::text, \
         state->>'state', compute_image::text, coalesce(deleted::text, 'false'), {run_quota} FROM projects {rest}"
    )
}

impl Database {
    /// Connects and begins the transaction. `url` is a URL or `host=… dbname=…`; without one, the `PG*` variables
    /// alone say where the database is.
    ///
    /// # Errors
    /// Where the URL is wrong, nobody answers in time, or the server refuses.
    pub fn connect(url: Option<&str>) -> Result<Self, DatabaseError> {
        let options::Target {
            options,
            connect_timeout,
            name,
        } = options::target(url)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| DatabaseError::runtime(&error))?;
        let user = options.get_username().to_owned();
        let connection = runtime
            .block_on(async { timeout(connect_timeout, options.connect()).await })
            .map_err(|_| DatabaseError::silent(&name, "cannot connect", connect_timeout))?
            .map_err(|error| DatabaseError::new(&name, &user, "cannot connect", &error))?;
        let mut database = Self {
            connection: Some(connection),
            runtime,
            name,
            user,
        };
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'"
        );
        database.execute("begin", &begin)?;
        Ok(database)
    }

    /// `DATABASE on HOST:PORT as USER`, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads settings, licenses, usage counts, and the projects that are wanted.
    ///
    /// # Errors
    /// Where a statement fails: a missing table, column or right, a lost connection, a server that takes too long.
    pub fn read(&mut self, wanted: Wanted<'_>) -> Result<Read, DatabaseError> {
        let mut read = Read {
            snapshot: Snapshot {
                has_projects: true,
                has_more_projects: !matches!(wanted, Wanted::All),
                ..Snapshot::default()
            },
            ..Read::default()
        };
        self.settings(&mut read)?;
        self.licenses(&mut read)?;
        self.usage(&mut read)?;
        let mut take = |row: Result<Project, RowError>| {
            match row {
                Ok(project) => read.snapshot.projects.push(project),
                Err(error) => read.unreadable.push(error),
            }
            ControlFlow::Continue(())
        };
        match wanted {
            Wanted::None => {}
            Wanted::Few => {
                let rest = format!("WHERE deleted IS NOT TRUE ORDER BY projects.project_id LIMIT {FEW}");
                self.rows(&projects(true, &rest), None, SILENCE, &mut take)?;
            }
            Wanted::Ids(ids) => {
                let sql = projects(
                    true,
                    "WHERE project_id = ANY($1::text[]::uuid[]) ORDER BY projects.project_id",
                );
                self.rows(&sql, Some(Bound::List(ids)), SILENCE, &mut take)?;
            }
            Wanted::All => {
                self.execute("begin", "SET LOCAL statement_timeout = 0")?;
                let sql = projects(true, "ORDER BY projects.project_id");
                self.rows(&sql, None, SILENCE_BETWEEN_ROWS, &mut take)?;
            }
        }
        Ok(read)
    }

    /// Ids of licenses that projects hold and that begin with one of these texts, 100 at most.
    ///
    /// # Errors
    /// As [`Database::read`].
    pub fn held_licenses(&mut self, beginnings: &[String]) -> Result<Vec<String>, DatabaseError> {
        let mut ids = Vec::new();
        self.query("projects", HELD, Some(Bound::List(beginnings)), |row| {
            ids.extend(text(row, 0)?.map(str::to_owned));
            Ok(())
        })?;
        Ok(ids)
    }

    /// How many deleted projects a filter leaves out.
    ///
    /// # Errors
    /// As [`Database::read`].
    pub fn deleted_projects(&mut self, filter: &Filter) -> Result<u64, DatabaseError> {
        let (condition, bound) = condition(filter);
        let sql = format!("SELECT count(*)::text FROM projects WHERE deleted{condition}");
        let mut count = 0;
        self.query("projects", &sql, bound, |row| {
            count = text(row, 0)?.and_then(|text| text.parse().ok()).unwrap_or(0);
            Ok(())
        })?;
        Ok(count)
    }

    /// Hands over each project that is not deleted, in the order of the ids, as the rows of one `SELECT` arrive;
    /// so memory does not grow with their number, and the server waits where `each` is slow.
    ///
    /// # Errors
    /// As [`Database::read`]. What was handed over before stays so: the caller must not take it for all.
    pub fn each_project(
        &mut self,
        filter: &Filter,
        mut each: impl FnMut(Result<Project, RowError>) -> ControlFlow<()>,
    ) -> Result<(), DatabaseError> {
        // The limit of the short statements would cut off a long list. The primary key gives the order: a sort
        // would write all rows to the server's disk before the first one came. Of the few that have a license it
        // writes little, and reading the table as it lies is quicker.
        let sort = if filter.license.is_some() { "on" } else { "off" };
        let set =
            format!("SET LOCAL statement_timeout = 0; SET LOCAL jit = off; SET LOCAL enable_sort = {sort}");
        self.execute("begin", &set)?;
        let (condition, bound) = condition(filter);
        let rest = format!("WHERE deleted IS NOT TRUE{condition} ORDER BY projects.project_id");
        self.rows(
            &projects(filter.run_quota, &rest),
            bound,
            SILENCE_BETWEEN_ROWS,
            &mut each,
        )
    }

    fn settings(&mut self, read: &mut Read) -> Result<(), DatabaseError> {
        let mut settings = BTreeMap::new();
        let sql = "SELECT name::text, value::text FROM server_settings \
                   WHERE name IN ('kucalc', 'default_quotas', 'max_upgrades')";
        self.query("server_settings", sql, None, |row| {
            if let Some(name) = text(row, 0)? {
                let value = text(row, 1)?.map_or(Json::Null, Json::string);
                settings.insert(name.to_owned(), value);
            }
            Ok(())
        })?;
        read.snapshot.server_settings = Some(settings);
        Ok(())
    }

    fn licenses(&mut self, read: &mut Read) -> Result<(), DatabaseError> {
        let name = self.name.clone();
        let mut wrong = None;
        self.query("site_licenses", LICENSES, None, |row| {
            let id = text(row, 0)?.unwrap_or_default().to_ascii_lowercase();
            let mut fail = |column: &str, found: &str| {
                let found =
                    crate::output::escape::line(&found.chars().take(60).collect::<String>()).into_owned();
                wrong.get_or_insert_with(|| {
                    format!("column {column} of site_licenses {id} holds {found:?}, which cannot be read")
                });
            };
            let mut time = |index: usize, column: &str| -> Result<Option<Timestamp>, sqlx::Error> {
                let Some(text) = text(row, index)? else {
                    return Ok(None);
                };
                let time = database_time(text);
                if time.is_none() {
                    fail(column, text);
                }
                Ok(time)
            };
            let (activates, expires) = (time(2, "activates")?, time(3, "expires")?);
            let last_used = time(7, "last_used")?;
            let mut map = |index: usize, column: &str| -> Result<Json, sqlx::Error> {
                let Some(text) = text(row, index)? else {
                    return Ok(Json::Null);
                };
                let Ok(value) = json::parse(text) else {
                    fail(column, text);
                    return Ok(Json::Null);
                };
                if let Some(found) = not_a_map(text) {
                    read.notes.push(format!(
                        "column {column} of site_licenses {id} holds {found}, where a map is expected"
                    ));
                }
                Ok(value.in_jsonb_order())
            };
            let (upgrades, quota) = (map(5, "upgrades")?, map(6, "quota")?);
            let run_limit = match text(row, 4)? {
                None => None,
                Some(text) => {
                    let limit = text.parse::<f64>().ok();
                    if limit.is_none() {
                        fail("run_limit", text);
                    }
                    limit
                }
            };
            let managers: Option<Vec<Option<String>>> =
                text(row, 8)?.and_then(|text| serde_json::from_str(text).ok());
            read.snapshot.site_licenses.insert(
                id.clone(),
                License {
                    title: text(row, 1)?.unwrap_or_default().to_owned(),
                    activates,
                    expires,
                    run_limit,
                    upgrades,
                    quota,
                    last_used,
                    managers: managers.into_iter().flatten().flatten().collect(),
                    id,
                },
            );
            Ok(())
        })?;
        match wrong {
            Some(message) => Err(DatabaseError::content(&name, &message)),
            None => Ok(()),
        }
    }

    fn usage(&mut self, read: &mut Read) -> Result<(), DatabaseError> {
        let snapshot = &mut read.snapshot;
        // Not counted again over the projects of the snapshot, which are not all that run.
        snapshot.license_usage = snapshot.site_licenses.keys().map(|id| (id.clone(), 0)).collect();
        self.query("projects", USAGE, None, |row| {
            let Some(id) = text(row, 0)? else { return Ok(()) };
            let count = text(row, 1)?.and_then(|text| text.parse().ok()).unwrap_or(0);
            snapshot.license_usage.insert(id.to_owned(), count);
            if let Some(project) = text(row, 2)? {
                snapshot.uncountable.insert(id.to_owned(), project.to_owned());
            }
            Ok(())
        })
    }

    fn rows(
        &mut self,
        sql: &str,
        bound: Option<Bound<'_>>,
        silence: Duration,
        each: &mut dyn FnMut(Result<Project, RowError>) -> ControlFlow<()>,
    ) -> Result<(), DatabaseError> {
        self.stream("projects", sql, bound, silence, |row| Ok(each(project(row)?)))
    }

    /// A short statement.
    fn query(
        &mut self,
        table: &str,
        sql: &str,
        bound: Option<Bound<'_>>,
        mut each: impl FnMut(&PgRow) -> Result<(), sqlx::Error>,
    ) -> Result<(), DatabaseError> {
        self.stream(table, sql, bound, SILENCE, |row| {
            each(row).map(ControlFlow::Continue)
        })
    }

    fn stream(
        &mut self,
        table: &str,
        sql: &str,
        bound: Option<Bound<'_>>,
        silence: Duration,
        mut each: impl FnMut(&PgRow) -> Result<ControlFlow<()>, sqlx::Error>,
    ) -> Result<(), DatabaseError> {
        let what = format!("cannot read table {table}");
        self.with_connection(&what, |connection, within| async move {
            // A statement without a name: a pool between here and the server may hand names of others on.
            let query = sqlx::query(sql).persistent(false);
            let query = match bound {
                None => query,
                Some(Bound::Text(text)) => query.bind(text.to_owned()),
                Some(Bound::List(list)) => query.bind(list.to_vec()),
            };
            let mut rows = query.fetch(connection);
            loop {
                let next = timeout(silence, rows.try_next()).await;
                let Some(row) = next.map_err(|_| within(silence))?? else {
                    return Ok(());
                };
                if each(&row)?.is_break() {
                    return Ok(());
                }
            }
        })
    }

    fn execute(&mut self, what: &str, sql: &str) -> Result<(), DatabaseError> {
        let what = format!("cannot {what} to read");
        self.with_connection(&what, |connection, within| async move {
            let done = timeout(SILENCE, sqlx::raw_sql(sql).execute(connection)).await;
            done.map_err(|_| within(SILENCE))??;
            Ok(())
        })
    }

    /// Runs what uses the connection, and says of an error where it happened.
    fn with_connection<'d, F: Future<Output = Result<(), Failure>>>(
        &'d mut self,
        what: &str,
        work: impl FnOnce(&'d mut PgConnection, fn(Duration) -> Failure) -> F,
    ) -> Result<(), DatabaseError> {
        let (name, user) = (&self.name, &self.user);
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        self.runtime
            .block_on(work(connection, Failure::Silent))
            .map_err(|failure| match failure {
                Failure::Silent(limit) => DatabaseError::silent(name, what, limit),
                Failure::Sqlx(error) => DatabaseError::new(name, user, what, &error),
            })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A farewell, so that the server does not log a connection that was lost.
        if let Some(connection) = self.connection.take() {
            let _ = self
                .runtime
                .block_on(async { timeout(Duration::from_secs(1), connection.close()).await });
        }
    }
}

enum Failure {
    Silent(Duration),
    Sqlx(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlx(error)
    }
}

/// The one parameter of a statement.
#[derive(Clone, Copy)]
enum Bound<'a> {
    Text(&'a str),
    List(&'a [String]),
}

fn condition(filter: &Filter) -> (&'static str, Option<Bound<'_>>) {
    match &filter.license {
        Some(license) => (
            " AND (site_license -> $1::text) IS NOT NULL",
            Some(Bound::Text(license)),
        ),
        None => ("", None),
    }
}

/// A column as text; `None` is NULL.
fn text(row: &PgRow, index: usize) -> Result<Option<&str>, sqlx::Error> {
    row.try_get(index)
}

fn project(row: &PgRow) -> Result<Result<Project, RowError>, sqlx::Error> {
    let project_id = text(row, 0)?.unwrap_or_default();
    let mut wrong = None;
    let mut map = |index: usize, column: &'static str| -> Result<Column, sqlx::Error> {
        let Some(text) = text(row, index)? else {
            return Ok(Column::default());
        };
        if let Some(found) = not_a_map(text) {
            wrong.get_or_insert_with(|| RowError {
                project_id: project_id.to_owned(),
                column,
                found,
            });
        }
        Ok(Column::from_text(text))
    };
    let project = Project {
        project_id: project_id.into(),
        title: text(row, 1)?.unwrap_or_default().into(),
        settings: map(2, "settings")?,
        users: map(3, "users")?,
        site_license: map(4, "site_license")?,
        env: map(5, "env")?,
        state: text(row, 6)?.map(Into::into),
        compute_image: text(row, 7)?.map(Into::into),
        deleted: text(row, 8)?.is_some_and(|text| text == "true"),
        // Shown only where it is a map.
        run_quota: text(row, 9)?.map(Column::from_text).unwrap_or_default(),
    };
    Ok(match wrong {
        Some(error) => Err(error),
        None => Ok(project),
    })
}

/// What a JSON text is, where it is neither a map nor null.
fn not_a_map(text: &str) -> Option<&'static str> {
    Some(match text.trim_start().as_bytes().first() {
        Some(b'{' | b'n') | None => return None,
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(_) => "a number",
    })
}

/// A time as PostgreSQL prints it. Infinite ones, and those outside of the years 1 to 9999, are as late or as early
/// as can be said: nothing but their order matters.
fn database_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text == "-infinity" || text.ends_with(" BC") {
        return Some(Timestamp::MIN);
    }
    let year = text.split('-').next().unwrap_or_default();
    if text == "infinity" || (year.len() > 4 && year.bytes().all(|byte| byte.is_ascii_digit())) {
        return Some(Timestamp::MAX);
    }
    parse_timestamp(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_postgresql_prints_them() {
        let time = |text| database_time(text);
        assert_eq!(
            time("2023-01-20 16:37:12.595"),
            "2023-01-20T16:37:12.595Z".parse().ok()
        );
        assert_eq!(
            time("2023-01-20 16:37:12+00"),
            "2023-01-20T16:37:12Z".parse().ok()
        );
        assert_eq!(time("infinity"), Some(Timestamp::MAX));
        assert_eq!(time("294276-12-31 23:59:59"), Some(Timestamp::MAX));
        assert_eq!(time("-infinity"), Some(Timestamp::MIN));
        assert_eq!(time("4713-01-01 00:00:00 BC"), Some(Timestamp::MIN));
        assert_eq!(time("soon"), None);
    }
}
