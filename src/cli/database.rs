//! `--database`: when it is used, and what it gives to the sources.

use crate::{
    output::ui::Ui,
    snapshot::{
        Snapshot,
        postgres::{Database, DatabaseError, Read, RowError, Wanted},
    },
};

use super::{
    CommandError,
    select::{ProjectArgs, SHORTEST_PREFIX},
    sources::WhatIfArgs,
};

/// The environment variable that stands for the flag.
const VARIABLE: &str = "COCALC_DATABASE_URL";

/// Which projects a command is going to ask for, so that no others are read.
#[derive(Clone, Copy)]
pub(super) struct Need<'a> {
    pub(super) projects: &'a ProjectArgs,
    /// The UUIDs of its PROJECT arguments.
    pub(super) ids: &'a [String],
    /// Whether it takes the projects of `--all` one by one, with [`super::select::Selection::answers`].
    pub(super) streams: bool,
    /// Whether it shows the quota of the last start.
    pub(super) run_quota: bool,
}

impl<'a> Need<'a> {
    /// A command that holds all its projects in memory.
    pub(super) fn in_memory(projects: &'a ProjectArgs, ids: &'a [String]) -> Self {
        Self {
            projects,
            ids,
            streams: false,
            run_quota: true,
        }
    }
}

/// What the database gave.
pub(super) struct FromDatabase {
    pub(super) snapshot: Snapshot,
    pub(super) unreadable: Vec<RowError>,
    /// The open transaction, where the projects are still to be read.
    pub(super) open: Option<OpenDatabase>,
    /// `DATABASE on HOST:PORT as USER`
    pub(super) name: String,
}

/// A transaction in which the projects of `--all` are read as they are needed.
pub(super) struct OpenDatabase {
    pub(super) database: Database,
    pub(super) run_quota: bool,
}

impl From<DatabaseError> for CommandError {
    fn from(error: DatabaseError) -> Self {
        let command = Self::usage(&error);
        match error.hint() {
            Some(hint) => command.hint(hint),
            None => command,
        }
    }
}

/// The database that is to be read: the flag's, or the environment's where no other source of projects is named.
/// `without`: `--example` or `--offline` is given.
pub(super) fn url(flag: Option<&str>, without: bool, projects_from_files: bool) -> Option<String> {
    let variable = || {
        std::env::var(VARIABLE)
            .ok()
            .filter(|_| !without && !projects_from_files)
            .filter(|url| !url.trim().is_empty())
    };
    flag.map(str::to_owned).or_else(variable)
}

/// Reads what the command needs, all in one transaction. `files` wins over it later; here it tells which licenses
/// are known already.
pub(super) fn read(
    ui: &Ui,
    url: &str,
    need: Option<Need<'_>>,
    what_if: &WhatIfArgs,
    files: &Snapshot,
) -> Result<FromDatabase, CommandError> {
    let mut database = Database::connect(Some(url))?;
    let many = |need: &Need<'_>| need.projects.all || need.projects.with_license.is_some();
    let streams = need.as_ref().is_some_and(|need| need.streams && many(need));
    let wanted = match &need {
        None => Wanted::All,
        Some(_) if streams => Wanted::None,
        Some(need) if many(need) => Wanted::All,
        Some(need) if need.ids.is_empty() => Wanted::Few,
        Some(need) => Wanted::Ids(need.ids),
    };
    let Read {
        mut snapshot,
        unreadable,
        notes,
    } = database.read(wanted)?;
    for note in &notes {
        ui.warning(note);
    }
    // A license whose row is gone lives on in projects, and can be named all the same.
    let with = need
        .as_ref()
        .and_then(|need| need.projects.with_license.as_deref());
    let named = what_if.drop_license.iter().map(String::as_str);
    let named = named.chain(what_if.for_license.as_deref()).chain(with);
    let unknown: Vec<String> = named
        .map(str::to_lowercase)
        .filter(|id| id.len() >= SHORTEST_PREFIX)
        .filter(|id| {
            let mut known = snapshot.site_licenses.keys().chain(files.site_licenses.keys());
            !known.any(|known| known.starts_with(id.as_str()))
        })
        .collect();
    if !unknown.is_empty() {
        snapshot.held_elsewhere = database.held_licenses(&unknown)?;
    }
    Ok(FromDatabase {
        snapshot,
        unreadable,
        name: database.name().to_owned(),
        open: streams.then(|| OpenDatabase {
            database,
            run_quota: need.is_some_and(|need| need.run_quota),
        }),
    })
}
