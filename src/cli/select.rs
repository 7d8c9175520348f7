//! Which projects: the arguments, and what the sources hold.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::ControlFlow,
};

use clap::Args;
use serde_json::Value;

use crate::{
    json,
    output::{escape, ui::Ui},
    pipeline::{Known, STAND_IN, Site, Subject},
    snapshot::{
        self, Project, Snapshot, is_uuid,
        postgres::{FEW, Filter, RowError},
    },
};

use super::{
    CommandError,
    database::OpenDatabase,
    parallel::{ordered, ordered_from, own_site},
    sources::Sources,
};

/// Fewer characters of a license's id are never taken for it.
pub(super) const SHORTEST_PREFIX: usize = 6;

#[derive(Args, Debug, Default)]
pub(super) struct ProjectArgs {
    /// UUID of a project, project-UUID, pod/project-UUID or a URL that contains /projects/UUID
    ///
    /// Without any: the one project that the sources hold; if they hold none, a stand-in without licenses.
    #[arg(value_name = "PROJECT", conflicts_with_all = ["all", "with_license"])]
    pub(super) project: Vec<String>,

    /// Take all projects that are not deleted
    #[arg(long, conflicts_with = "with_license")]
    pub(super) all: bool,

    /// Take all projects that have this license
    #[arg(long, value_name = "ID")]
    pub(super) with_license: Option<String>,

    /// Take a project that the sources do not hold as one without licenses
    #[arg(long)]
    pub(super) unknown_project: bool,
}

/// The projects that a command works on, in the order in which it answers.
pub(super) struct Selection<'a> {
    /// Those that are in memory: all, unless the command's [`super::database::Need`] says that it streams.
    pub(super) subjects: Vec<Subject<'a>>,
    /// Whether the output is for several: `--all`, `--with-license` or more than one PROJECT.
    pub(super) many: bool,
    rest: Option<Rest<'a>>,
}

/// Those that are still in the database, and come after the ones in memory.
struct Rest<'a> {
    open: OpenDatabase,
    filter: Filter,
    pods: HashMap<String, &'a Value>,
}

/// One project on its way to a worker.
enum Item<'a> {
    Memory(Subject<'a>),
    Row(Box<Project>),
    Unreadable(RowError),
}

impl Selection<'_> {
    /// Calls `work` for each project, on several threads if they are many, and `take` with each answer in order.
    /// `work` gets the site, a state of its thread's own, and the project; `unreadable` makes the answer for a row
    /// of the database that cannot be judged.
    ///
    /// # Errors
    /// The first error of `take`; or that the database failed, when all that it gave before is taken.
    pub(super) fn answers<S, R: Send>(
        self,
        ui: &Ui,
        site: &Site,
        init: impl Fn() -> S + Sync,
        work: impl Fn(&Site, &mut S, Subject<'_>) -> R + Sync,
        unreadable: impl Fn(&RowError) -> R + Sync,
        mut take: impl FnMut(R) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let Self { subjects, rest, .. } = self;
        let Some(Rest { open, filter, pods }) = rest else {
            return ordered(
                &subjects,
                || (own_site(site, &subjects), init()),
                |(own, state), subject| work(own.as_ref().unwrap_or(site), state, *subject),
                take,
            );
        };
        let own: HashSet<&str> = subjects.iter().map(|subject| subject.project_id).collect();
        let mut any = false;
        ordered_from(
            |push| {
                if subjects
                    .iter()
                    .try_for_each(|subject| push(Item::Memory(*subject)))
                    .is_break()
                {
                    return Ok(());
                }
                let mut open = open;
                let each = |row: Result<Project, RowError>| {
                    let id = match &row {
                        Ok(project) => &*project.project_id,
                        Err(error) => &error.project_id,
                    };
                    if own.contains(id) {
                        return ControlFlow::Continue(());
                    }
                    push(match row {
                        Ok(project) => Item::Row(Box::new(project)),
                        Err(error) => Item::Unreadable(error),
                    })
                };
                Ok(open.database.each_project(&filter, each)?)
            },
            || (site.separate(), init()),
            |(site, state), item| match item {
                Item::Memory(subject) => work(site, state, *subject),
                Item::Row(row) => {
                    let subject = Subject {
                        project_id: &row.project_id,
                        known: Known::Row(row),
                        live_pod: pods.get(&*row.project_id).copied(),
                    };
                    work(site, state, subject)
                }
                Item::Unreadable(error) => unreadable(error),
            },
            |answer| {
                any = true;
                take(answer)
            },
        )?;
        if !any {
            ui.note("no project matches");
        }
        Ok(())
    }
}

impl ProjectArgs {
    pub(super) fn select<'a>(
        &self,
        ui: &Ui,
        sources: &'a Sources,
        ids: &'a [String],
    ) -> Result<Selection<'a>, CommandError> {
        let snapshot = &sources.snapshot;
        let pods = live_pods(snapshot);
        let of_row = |row: &'a Project| Subject {
            project_id: &row.project_id,
            known: Known::Row(row),
            live_pod: pods.get(&*row.project_id).copied(),
        };
        if self.all && !snapshot.has_projects && sources.cluster.is_some() {
            return Ok(running(ui, snapshot));
        }
        let unreadable: Vec<String> = sources
            .unreadable
            .iter()
            .filter(|error| {
                !snapshot
                    .projects
                    .iter()
                    .any(|row| *row.project_id == *error.project_id)
            })
            .map(|error| format!("project {}: {error}", error.project_id))
            .collect();
        let many = self.all || self.with_license.is_some();
        if !unreadable.is_empty() && !many {
            return Err(CommandError::usage(unreadable.join("\n")));
        }
        for error in &unreadable {
            ui.error(error, None);
        }
        if self.all || self.with_license.is_some() {
            if !snapshot.has_projects {
                return Err(CommandError::usage(format!(
                    "{} needs a source of projects",
                    if self.all { "--all" } else { "--with-license" }
                ))
                .hint("give --database, a snapshot file with `projects` by -f, or --example"));
            }
            let license = self
                .with_license
                .as_deref()
                .map(|id| resolve_license(snapshot, id, "--with-license", false))
                .transpose()?;
            let subjects: Vec<Subject<'a>> = snapshot
                .projects
                .iter()
                .filter(|row| !row.deleted)
                .filter(|row| license.as_deref().is_none_or(|id| holds(row, id)))
                .map(of_row)
                .collect();
            let deleted = snapshot.projects.iter().filter(|row| row.deleted);
            let deleted = deleted
                .filter(|row| license.as_deref().is_none_or(|id| holds(row, id)))
                .count();
            let mut deleted = u64::try_from(deleted).unwrap_or(u64::MAX);
            let mut rest = None;
            if let Some(mut open) = sources.open.take() {
                let filter = Filter {
                    license,
                    run_quota: open.run_quota,
                };
                deleted += open.database.deleted_projects(&filter)?;
                rest = Some(Rest { open, filter, pods });
            }
            if deleted > 0 {
                let s = if deleted == 1 { "" } else { "s" };
                ui.note(&format!(
                    "{deleted} deleted project{s} left out; name one to see it"
                ));
            }
            if subjects.is_empty() && rest.is_none() {
                ui.note("no project matches");
            }
            return Ok(Selection {
                subjects,
                many: true,
                rest,
            });
        }
        if ids.is_empty() {
            return Ok(Selection {
                subjects: vec![self.only(snapshot, &pods)?],
                many: false,
                rest: None,
            });
        }
        let rows: HashMap<&str, &Project> = if ids.len() > 1 {
            snapshot
                .projects
                .iter()
                .map(|row| (&*row.project_id, row))
                .collect()
        } else {
            HashMap::new()
        };
        let find = |id: &str| {
            if ids.len() > 1 {
                rows.get(id).copied()
            } else {
                snapshot.projects.iter().find(|row| &*row.project_id == id)
            }
        };
        let mut subjects = Vec::new();
        for id in ids {
            subjects.push(match find(id) {
                Some(row) => of_row(row),
                None if !snapshot.has_projects || self.unknown_project => Subject {
                    project_id: id,
                    known: if self.unknown_project {
                        Known::NoLicenses
                    } else {
                        Known::Nothing
                    },
                    live_pod: pods.get(id.as_str()).copied(),
                },
                None => {
                    return Err(
                        CommandError::usage(format!("no project {id} in {}", sources.projects_from))
                            .hint("--unknown-project takes it as a project without licenses"),
                    );
                }
            });
        }
        Ok(Selection {
            many: subjects.len() > 1,
            subjects,
            rest: None,
        })
    }

    /// The UUIDs of the PROJECT arguments, each once.
    pub(super) fn ids(&self) -> Result<Vec<String>, CommandError> {
        let mut seen = BTreeSet::new();
        let mut ids = Vec::new();
        for argument in &self.project {
            let id = project_id(argument)?;
            if seen.insert(id.clone()) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    fn only<'a>(
        &self,
        snapshot: &'a Snapshot,
        pods: &HashMap<String, &'a Value>,
    ) -> Result<Subject<'a>, CommandError> {
        match &snapshot.projects[..] {
            [] => {}
            [row] => {
                return Ok(Subject {
                    project_id: &row.project_id,
                    known: Known::Row(row),
                    live_pod: pods.get(&*row.project_id).copied(),
                });
            }
            rows => {
                let more = snapshot.has_more_projects && rows.len() >= FEW;
                let count = if more {
                    format!("more than {}", FEW - 1)
                } else {
                    rows.len().to_string()
                };
                let mut message = format!("the sources hold {count} projects; name one, or --all:");
                for row in rows.iter().take(10) {
                    message.push_str(&format!("\n  {}  {}", row.project_id, escape::line(&row.title)));
                }
                if more {
                    message.push_str("\n  and more");
                } else if rows.len() > 10 {
                    message.push_str(&format!("\n  and {} more", rows.len() - 10));
                }
                return Err(CommandError::usage(message));
            }
        }
        let known = if snapshot.has_projects {
            Known::NoLicenses
        } else {
            Known::Nothing
        };
        match &snapshot.live_pods[..] {
            [] => Ok(Subject {
                project_id: STAND_IN,
                known,
                live_pod: None,
            }),
            [pod] => Ok(match snapshot::project_id_of(pod) {
                Some(id) => Subject {
                    project_id: id,
                    known,
                    live_pod: Some(pod),
                },
                None => Subject {
                    project_id: STAND_IN,
                    known,
                    live_pod: None,
                },
            }),
            all => {
                let ids = all
                    .iter()
                    .filter_map(snapshot::project_id_of)
                    .take(10)
                    .map(escape::line);
                let names: String = ids.map(|id| format!("\n  {id}")).collect();
                Err(CommandError::usage(format!(
                    "the sources hold live pods of {} projects; name one:{names}",
                    all.len()
                )))
            }
        }
    }
}

/// All that the cluster knows of: the projects that run.
fn running<'a>(ui: &Ui, snapshot: &'a Snapshot) -> Selection<'a> {
    let pods: BTreeMap<&str, &Value> = snapshot
        .live_pods
        .iter()
        .filter_map(|pod| Some((snapshot::project_id_of(pod)?, pod)))
        .filter(|(id, _)| is_uuid(id))
        .collect();
    if pods.is_empty() {
        ui.note("no project runs in the namespace");
    }
    let subjects = pods.into_iter().map(|(project_id, pod)| Subject {
        project_id,
        known: Known::Nothing,
        live_pod: Some(pod),
    });
    Selection {
        subjects: subjects.collect(),
        many: true,
        rest: None,
    }
}

fn live_pods(snapshot: &Snapshot) -> HashMap<String, &Value> {
    snapshot
        .live_pods
        .iter()
        .filter_map(|pod| Some((snapshot::project_id_of(pod)?.to_lowercase(), pod)))
        .collect()
}

pub(super) fn holds(row: &Project, license: &str) -> bool {
    // The text is searched before it is read: most projects do not hold the license.
    row.site_license.text().contains(license)
        && json::parse(row.site_license.text()).is_ok_and(|json| json.get(license).is_some())
}

/// The UUID in a PROJECT argument, lower case.
pub(super) fn project_id(argument: &str) -> Result<String, CommandError> {
    let tail = match argument.split_once("/projects/") {
        Some((_, tail)) => tail.split(['/', '?', '#']).next().unwrap_or_default(),
        None => {
            let name = argument
                .strip_prefix("pod/")
                .or_else(|| argument.strip_prefix("pods/"))
                .unwrap_or(argument);
            name.strip_prefix("project-").unwrap_or(name)
        }
    };
    let id = tail.to_lowercase();
    if is_uuid(&id) {
        Ok(id)
    } else {
        Err(CommandError::usage(format!("{argument:?} names no project"))
            .hint("give its UUID, project-UUID, pod/project-UUID or a URL that contains /projects/UUID"))
    }
}

/// The full id of a license that is named by its beginning.
pub(super) fn resolve_license(
    snapshot: &Snapshot,
    given: &str,
    flag: &str,
    may_be_new: bool,
) -> Result<String, CommandError> {
    // As `licenses -o name` prints it.
    let id = given.strip_prefix("license/").unwrap_or(given).to_lowercase();
    if snapshot.site_licenses.contains_key(&id) || (may_be_new && is_uuid(&id)) {
        return Ok(id);
    }
    if id.len() < SHORTEST_PREFIX {
        return Err(CommandError::usage(format!(
            "{flag} {given:?}: at least {SHORTEST_PREFIX} characters of a license's id are needed"
        )));
    }
    let begins = |known: &&String| known.starts_with(&id);
    let mut found: BTreeSet<String> = snapshot.site_licenses.keys().filter(begins).cloned().collect();
    if found.is_empty() {
        found.extend(snapshot.held_elsewhere.iter().filter(begins).cloned());
    }
    if found.is_empty() {
        // Orphans live on only in projects.
        for row in snapshot
            .projects
            .iter()
            .filter(|row| row.site_license.text().contains(&id))
        {
            if let Ok(json) = json::parse(row.site_license.text()) {
                let names = json.as_map().into_iter().flat_map(|map| map.keys());
                found.extend(
                    names
                        .filter_map(|n| n.as_str())
                        .filter(|n| n.starts_with(&id))
                        .map(str::to_owned),
                );
            }
            if found.len() > 10 {
                break;
            }
        }
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (Some(first), Some(second)) => Err(CommandError::usage(format!(
            "{flag} {given:?} is ambiguous: {first} and {second} begin with it"
        ))),
        (None, _) => {
            let near = snapshot
                .site_licenses
                .keys()
                .map(|known| {
                    (
                        strsim::levenshtein(&known[..id.len().min(known.len())], &id),
                        known,
                    )
                })
                .min()
                .filter(|(distance, _)| *distance <= 2);
            let error = CommandError::usage(format!("{flag} {given:?}: no source has a license of this id"));
            Err(match near {
                Some((_, known)) => error.hint(format!("did you mean {known}?")),
                None => error,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_named_in_four_ways() {
        let id = "11111111-1111-4111-8111-111111111111";
        for argument in [
            id.to_owned(),
            format!("project-{id}"),
            format!("pod/project-{id}"),
            format!("https://cocalc.example/projects/{id}/files/a.txt?x=1"),
            format!("https://cocalc.example/base/projects/{id}"),
            id.to_uppercase(),
        ] {
            assert_eq!(project_id(&argument).unwrap(), id, "{argument}");
        }
        for argument in [
            "",
            "lab",
            "project-",
            "11111111-1111-4111-8111-11111111111",
            "pod/x",
        ] {
            assert!(project_id(argument).is_err(), "{argument}");
        }
    }
}
