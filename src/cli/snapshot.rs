//! `snapshot`: everything the tool read, as one file that can replace the cluster and the database.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use crate::{
    output::ui::Ui,
    snapshot::{
        Part, Snapshot, is_uuid,
        redact::redact,
        sql::{self, Projects},
        write::{Format as FileFormat, WriteError, write},
    },
};

use super::{
    CommandError, Exit,
    cluster::Purpose,
    connection::ConnectionArgs,
    database::Need,
    select::{ProjectArgs, resolve_license},
    sources::{SourceArgs, WhatIfArgs},
};

/// Write everything that was read as one file, which can take the place of cluster and database
///
/// The file holds the projects named, the licenses they have (with --all every license), the settings, the template,
/// the software environments, the projects' live pods, how many running projects use each license, and the time.
/// With it (-f FILE) every command gives the answer that it gave from the sources, byte for byte.
///
/// Exit codes: 0 done; 2 wrong usage or input, or FILE cannot be written.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:
  # A project, and later the same answer without cluster and database
  kubectl cocalc snapshot -f site.yaml --to lab.yaml \\
    11111111-1111-4111-8111-111111111111
  kubectl cocalc render -f lab.yaml

  # To be attached to a support request
  kubectl cocalc snapshot --example --redact --to lab.yaml

  # The database's part without a port-forward and without a password
  kubectl cocalc snapshot --all --sql | \\
    kubectl exec -i POSTGRES-POD -- psql -XAtq DB > db.json
  kubectl cocalc quota -f db.json --all",
    mut_arg("set", |arg| arg.hide(true)),
    mut_arg("image", |arg| arg.hide(true))
)]
pub(super) struct Args {
    #[command(flatten)]
    projects: ProjectArgs,

    /// Output format: yaml, json
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "yaml",
        hide_possible_values = true
    )]
    output: Format,

    /// Put this license into the file too (can be repeated)
    #[arg(long, value_name = "ID")]
    add_license: Vec<String>,

    /// Write to this file, whole or not at all, readable by you alone
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,

    /// Replace every text that is not known to be needed, so that the file can be given away
    ///
    /// Each word is replaced by a stand-in of the same form, the same word by the same one everywhere: in the template,
    /// patches, licenses, settings, projects and live pods, and in JSON and base64 within texts. A host stays a host, an
    /// IP address an IP address. Left unchanged are structure, names of fields, numbers, quantities, times, ids of
    /// projects and licenses, and the words and paths of Kubernetes and CoCalc, so the verdicts are the same.
    /// managedFields are left out. What was replaced is counted on standard error.
    #[arg(long)]
    redact: bool,

    /// Contact nothing; print the SQL statement whose rows, as psql -XAtq prints them, are the file
    #[arg(
        long,
        conflicts_with_all = ["filename", "example", "redact", "output", "template_configmap", "unknown_project"]
    )]
    sql: bool,

    #[command(flatten)]
    sources: SourceArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Yaml,
    Json,
}

impl From<Format> for FileFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Yaml => Self::Yaml,
            Format::Json => Self::Json,
        }
    }
}

pub(super) fn snapshot(ui: &Ui, connection: &ConnectionArgs, args: &Args) -> Result<Exit, CommandError> {
    if !args.sources.set.is_empty() || args.sources.image.is_some() {
        let flag = if args.sources.image.is_some() {
            "--image"
        } else {
            "--set"
        };
        return Err(CommandError::usage(format!("{flag} is no part of a snapshot"))
            .hint("give it to the command that reads the file"));
    }
    if args.sql {
        let statement = statement(args)?;
        return put(ui, args.to.as_deref(), &|out| {
            Ok(out.write_all(statement.as_bytes())?)
        });
    }
    let (taken, replaced) = match take(ui, connection, args)? {
        taken if args.redact => {
            let (redacted, replaced) = redact(taken);
            (redacted, Some(replaced))
        }
        taken => (taken, None),
    };
    let secrets = !args.redact && has_secrets(&taken);
    let format = args.output.into();
    put(ui, args.to.as_deref(), &|out| write(&taken, format, out))?;
    if let Some(file) = to_file(args.to.as_deref()) {
        let s = |count: usize| if count == 1 { "" } else { "s" };
        let (projects, licenses) = (taken.projects.len(), taken.site_licenses.len());
        ui.note(&format!(
            "{} is written, readable by you alone: {projects} project{}, {licenses} license{}{}",
            file.display(),
            s(projects),
            s(licenses),
            if secrets {
                "; it holds values of environment variables, --redact replaces them"
            } else {
                ""
            }
        ));
    }
    if let Some(replaced) = replaced {
        ui.note(&format!("replaced by stand-ins: {replaced}"));
    }
    Ok(Exit::Done)
}

/// What of the sources goes into the file.
fn take(ui: &Ui, connection: &ConnectionArgs, args: &Args) -> Result<Snapshot, CommandError> {
    let ids = args.projects.ids()?;
    let need = Need::in_memory(&args.projects, &ids);
    let mut sources = args.sources.read_for(ui, &WhatIfArgs::default(), Some(need))?;
    let (of, selected) = (&args.sources, &args.projects);
    sources.add_cluster(ui, connection, of, selected, &ids, Purpose::Snapshot)?;
    let projects: HashSet<String> = args
        .projects
        .select(ui, &sources, &ids)?
        .subjects
        .iter()
        .map(|subject| subject.project_id.to_owned())
        .collect();
    if !sources.unreadable.is_empty() {
        return Err(CommandError::usage(
            "a snapshot without these projects would not replay; correct the rows, or name other projects",
        ));
    }
    let mut snapshot = sources.snapshot;
    let mut licenses = BTreeSet::new();
    for given in &args.add_license {
        let id = resolve_license(&snapshot, given, "--add-license", false)?;
        if !snapshot.site_licenses.contains_key(&id) {
            return Err(CommandError::usage(format!(
                "--add-license {id}: no source has a license of this id"
            )));
        }
        licenses.insert(id);
    }
    snapshot.now.get_or_insert_with(Timestamp::now);
    let part = snapshot.part(&Part {
        projects,
        all_licenses: args.projects.all,
        licenses,
    });
    Ok(part)
}

fn has_secrets(snapshot: &Snapshot) -> bool {
    let env = |project: &crate::snapshot::Project| !matches!(project.env.text(), "null" | "{}");
    snapshot.projects.iter().any(env) || !snapshot.live_pods.is_empty()
}

fn statement(args: &Args) -> Result<String, CommandError> {
    let whole = |id: &str, flag: &str| {
        let id = id.to_lowercase();
        if is_uuid(&id) {
            Ok(id)
        } else {
            Err(CommandError::usage(format!(
                "{flag} {id:?}: --sql contacts nothing, so it takes no beginning of an id; give the whole UUID"
            )))
        }
    };
    let ids = args.projects.ids()?;
    let projects = match &args.projects.with_license {
        _ if args.projects.all => Projects::All,
        Some(id) => Projects::WithLicense(whole(id, "--with-license")?),
        None if ids.is_empty() => {
            return Err(CommandError::usage(
                "--sql contacts nothing, so it does not know which projects there are; name projects, --with-license \
                 or --all",
            ));
        }
        None => Projects::Named(ids),
    };
    let licenses = args.add_license.iter().map(|id| whole(id, "--add-license"));
    Ok(sql::statement(&projects, &licenses.collect::<Result<_, _>>()?))
}

type Writing<'a> = &'a dyn Fn(&mut dyn io::Write) -> Result<(), WriteError>;

/// Writes to the file, else to stdout.
fn put(ui: &Ui, to: Option<&Path>, writing: Writing<'_>) -> Result<Exit, CommandError> {
    match to_file(to) {
        Some(file) => replace(file, writing)?,
        None => {
            let mut out = ui.stdout();
            writing(&mut out).map_err(|error| match error {
                WriteError::Io(error) => error.into(),
                value => CommandError::usage(value),
            })?;
            out.finish()?;
        }
    }
    Ok(Exit::Done)
}

/// `-` is stdout, as everywhere.
fn to_file(to: Option<&Path>) -> Option<&Path> {
    to.filter(|file| file.as_os_str() != "-")
}

/// Puts a new file, readable by its owner alone, in the place of the one that is there. It is written beside it
/// first, so that at no time there is half a file of this name, and nothing is lost if writing fails.
fn replace(file: &Path, writing: Writing<'_>) -> Result<(), CommandError> {
    let refused =
        |why: &dyn std::fmt::Display| CommandError::usage(format!("--to {}: {why}", file.display()));
    // A link stays a link: what it points to is replaced.
    let target = match fs::symlink_metadata(file) {
        Ok(_) => fs::canonicalize(file).map_err(|_| refused(&"it is a link to nothing"))?,
        Err(_) => file.to_owned(),
    };
    match fs::metadata(&target) {
        Ok(metadata) if metadata.is_dir() => return Err(refused(&"it is a folder; name a file in it")),
        Ok(metadata) if !metadata.is_file() => {
            return Err(refused(&"it is no ordinary file").hint("without --to the result goes to stdout"));
        }
        _ => {}
    }
    if target.file_name().is_none() {
        return Err(refused(&"it names no file"));
    }
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let failed = |error: io::Error| {
        refused(&format!("cannot be written ({error})")).hint("what was there before is unchanged")
    };
    let mut beside = tempfile::Builder::new()
        .prefix(".snapshot-")
        .suffix(".tmp")
        .tempfile_in(folder)
        .map_err(failed)?;
    let mut out = BufWriter::with_capacity(64 * 1024, beside.as_file_mut());
    writing(&mut out).map_err(|error| match error {
        WriteError::Io(error) => failed(error),
        value => CommandError::usage(value),
    })?;
    out.flush().map_err(failed)?;
    drop(out);
    beside.as_file().sync_all().map_err(failed)?;
    beside.persist(&target).map_err(|error| failed(error.error))?;
    Ok(())
}
