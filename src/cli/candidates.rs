//! Values that a command line could go on with: read from the sources that it names, from the kubeconfig, or asked of
//! the cluster. Nothing here tells of a failure: then there are no candidates.

use std::{collections::BTreeSet, ffi::OsString, path::PathBuf};

use clap::{ArgMatches, Command, FromArgMatches as _};
use serde_json::Value;

use super::{
    connection::ConnectionArgs,
    database,
    sources::{SourceArgs, input},
};
use crate::{
    cluster::{Cluster, Entry, Kubeconfig, Options},
    json,
    json::must_escape,
    pipeline::placeholders::Placeholder,
    snapshot::{
        self, Input, ReadOptions, Snapshot,
        postgres::{self, Database},
    },
};

/// A word that can be typed, and what it means.
pub(super) struct Candidate {
    pub(super) value: String,
    /// May be empty.
    pub(super) about: String,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Projects,
    Licenses,
    Contexts,
    Clusters,
    Users,
    Namespaces,
}

/// The candidates that begin with `word`, or more, for a line that begins with the words `before`.
pub(super) fn live(root: &Command, before: &[OsString], what: What, word: &str) -> Vec<Candidate> {
    let Some(typed) = Typed::parse(root, before) else {
        return Vec::new();
    };
    let found = match what {
        What::Projects => projects(&typed, word),
        What::Licenses => match (typed.snapshot(), typed.database(false)) {
            (Some(snapshot), None) => licenses(&snapshot),
            (snapshot, Some(mut database)) => {
                let read = database.read(postgres::Wanted::None);
                let read = read.map(|read| read.snapshot).unwrap_or_default();
                licenses(&snapshot.unwrap_or_default().overlay(read))
            }
            (None, None) => Vec::new(),
        },
        What::Contexts => contexts(&typed.connection),
        What::Clusters => named(&typed.connection, |kubeconfig| kubeconfig.clusters),
        What::Users => named(&typed.connection, |kubeconfig| kubeconfig.users),
        What::Namespaces => namespaces(&typed.connection),
    };
    // A name that cannot be shown as it is cannot be typed either.
    let mut found: Vec<Candidate> = found
        .into_iter()
        .filter(|candidate| !candidate.value.is_empty() && !candidate.value.contains(must_escape))
        .collect();
    found.sort_by(|a, b| a.value.cmp(&b.value));
    found
}

/// `NAME=` for each placeholder.
pub(super) fn placeholders() -> Vec<Candidate> {
    let name = |placeholder: Placeholder| Candidate {
        value: format!("{}=", placeholder.name()),
        about: String::new(),
    };
    Placeholder::ALL.into_iter().map(name).collect()
}

/// What the words before the unfinished one say of sources.
struct Typed {
    sources: SourceArgs,
    connection: Options,
}

impl Typed {
    fn parse(root: &Command, before: &[OsString]) -> Option<Self> {
        // A flag that waits for its value, the last of the words, would spoil those before it.
        let matches = match before.split_last() {
            Some((last, whole)) if last.to_string_lossy().starts_with('-') => {
                let all = Self::matches(root, before);
                all.filter(|matches| ConnectionArgs::from_arg_matches(matches).is_ok())
                    .or_else(|| Self::matches(root, whole))
            }
            _ => Self::matches(root, before),
        }?;
        // Not every command has every source; clap panics when it is asked for an unknown one in another way.
        let given = |id: &str| matches.try_get_one::<bool>(id).ok().flatten() == Some(&true);
        let files = matches.try_get_many::<PathBuf>("filename").ok().flatten();
        Some(Self {
            // Standard input is the terminal in which somebody types.
            connection: ConnectionArgs::from_arg_matches(&matches)
                .ok()?
                .options(true)
                .ok()?,
            sources: SourceArgs {
                filename: files.into_iter().flatten().cloned().collect(),
                example: given("example"),
                offline: given("offline"),
                database: matches.try_get_one::<String>("database").ok().flatten().cloned(),
                ..SourceArgs::default()
            },
        })
    }

    fn matches(root: &Command, words: &[OsString]) -> Option<ArgMatches> {
        let line = std::iter::once(OsString::from("kubectl-cocalc")).chain(words.iter().cloned());
        let root = root.clone().ignore_errors(true);
        // kubectl's own flags can stand before the command.
        let root = root.subcommand_required(false).arg_required_else_help(false);
        let matches = root.try_get_matches_from(line).ok()?;
        match matches.subcommand() {
            Some((_, matches)) => Some(matches.clone()),
            None => Some(matches),
        }
    }

    /// The database, if the line names one or the environment does.
    fn database(&self, projects_from_files: bool) -> Option<Database> {
        let without = self.sources.example || self.sources.offline;
        let url = database::url(self.sources.database.as_deref(), without, projects_from_files)?;
        Database::connect(Some(&url)).ok()
    }

    /// What the files and the example hold; `None` if they hold neither projects nor licenses.
    fn snapshot(&self) -> Option<Snapshot> {
        // Standard input belongs to the shell.
        let files = self
            .sources
            .filename
            .iter()
            .filter(|file| file.as_os_str() != "-");
        let inputs: Vec<Input> = files.map(|file| input(file)).collect();
        let (files, _) =
            snapshot::read_inputs(&inputs, &mut std::io::empty(), &ReadOptions::default()).ok()?;
        let snapshot = if self.sources.example {
            files.overlay(snapshot::example())
        } else {
            files
        };
        (snapshot.has_projects || !snapshot.site_licenses.is_empty()).then_some(snapshot)
    }
}

/// Projects that are not deleted, by their titles; without a source of projects, those that run.
fn projects(typed: &Typed, word: &str) -> Vec<Candidate> {
    let prefix = ["pod/project-", "project-"]
        .into_iter()
        .find(|prefix| word.starts_with(prefix) || (!word.is_empty() && prefix.starts_with(word)))
        .unwrap_or_default();
    let candidate = |id: &str, about: &str| Candidate {
        value: format!("{prefix}{id}"),
        about: about.to_owned(),
    };
    let snapshot = typed.snapshot().filter(|snapshot| snapshot.has_projects);
    if let Some(mut database) = typed.database(snapshot.is_some()) {
        let id = word.strip_prefix(prefix).unwrap_or_default();
        let found = database.projects_beginning(id).unwrap_or_default();
        let mut found: Vec<Candidate> = found.iter().map(|(id, title)| candidate(id, title)).collect();
        let rows = snapshot.iter().flat_map(|snapshot| &snapshot.projects);
        found.extend(rows.map(|row| candidate(&row.project_id, &row.title)));
        return found;
    }
    match snapshot {
        Some(snapshot) => {
            let rows = snapshot.projects.iter().filter(|row| !row.deleted);
            rows.map(|row| candidate(&row.project_id, &row.title)).collect()
        }
        None if typed.sources.offline => Vec::new(),
        None => {
            let pods = |namespace: &str| format!("/api/v1/namespaces/{namespace}/pods");
            let list = list(&typed.connection, pods, &[("labelSelector", "run=project")]);
            let pods = list.iter().filter_map(|pod| {
                let phase = pod.pointer("/status/phase").and_then(Value::as_str);
                Some(candidate(
                    snapshot::project_id_of(pod)?,
                    phase.unwrap_or_default(),
                ))
            });
            pods.collect()
        }
    }
}

/// Licenses by their titles, and those that live on only in projects.
fn licenses(snapshot: &Snapshot) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = snapshot
        .site_licenses
        .values()
        .map(|license| Candidate {
            value: license.id.clone(),
            about: license.title.clone(),
        })
        .collect();
    let mut orphans = BTreeSet::new();
    for row in &snapshot.projects {
        if let Ok(held) = json::parse(row.site_license.text()) {
            let ids = held.as_map().into_iter().flat_map(|map| map.keys());
            let ids = ids.filter_map(|id| id.as_str());
            orphans.extend(
                ids.filter(|id| !snapshot.site_licenses.contains_key(*id))
                    .map(str::to_owned),
            );
        }
    }
    found.extend(orphans.into_iter().map(|value| Candidate {
        value,
        about: "held by projects, without a row".to_owned(),
    }));
    found
}

fn contexts(connection: &Options) -> Vec<Candidate> {
    let contexts = connection.read_kubeconfig().map(|kubeconfig| kubeconfig.contexts);
    let candidate = |context: Entry| {
        let cluster = context.text("cluster").unwrap_or_default();
        let about = match context.text("namespace") {
            Some(namespace) => format!("{cluster}, namespace {namespace}"),
            None => cluster.to_owned(),
        };
        Candidate {
            value: context.name,
            about,
        }
    };
    contexts.into_iter().flatten().map(candidate).collect()
}

fn named(connection: &Options, entries: impl Fn(Kubeconfig) -> Vec<Entry>) -> Vec<Candidate> {
    let entries = connection.read_kubeconfig().map(entries).unwrap_or_default();
    let candidate = |entry: Entry| Candidate {
        value: entry.name,
        about: String::new(),
    };
    entries.into_iter().map(candidate).collect()
}

fn namespaces(connection: &Options) -> Vec<Candidate> {
    let list = list(connection, |_| "/api/v1/namespaces".to_owned(), &[]);
    let names = list.iter().filter_map(|namespace| {
        Some(Candidate {
            value: namespace.pointer("/metadata/name")?.as_str()?.to_owned(),
            about: String::new(),
        })
    });
    names.collect()
}

/// The items of a list that the API server holds.
fn list(connection: &Options, path: impl Fn(&str) -> String, query: &[(&str, &str)]) -> Vec<Value> {
    let Ok(cluster) = Cluster::connect(connection) else {
        return Vec::new();
    };
    let path = path(cluster.session().namespace());
    let Ok(mut reply) = cluster.run(cluster.session().get(&path, query)) else {
        return Vec::new();
    };
    match reply.value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}
