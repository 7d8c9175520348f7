//! Where things come from: the flags, and the snapshot that they give together.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
};

use clap::Args;
use jiff::Timestamp;

use crate::{
    cluster::Cluster,
    json::Json,
    json_patch::Instead,
    output::ui::Ui,
    pipeline::{
        Site, View,
        placeholders::{Placeholder, Values},
        what_if::{PatchText, WhatIf},
    },
    snapshot::{self, Input, Note, ReadOptions, Snapshot, postgres::RowError},
};

use super::{
    CommandError,
    database::{self, FromDatabase, Need, OpenDatabase},
    select::resolve_license,
};

/// Sources
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Where things come from")]
pub(super) struct SourceArgs {
    /// Read a snapshot file, a manifest, a folder of these, or - for standard input (can be repeated)
    ///
    /// A snapshot file holds server_settings, template, software, site_licenses, projects, in YAML or JSON. A
    /// manifest is a ConfigMap project-pod or project-image, a Pod (with metadata.uid or status a live pod, else
    /// the template), or a List of these, as kubectl prints them; other manifests are passed over.
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", value_delimiter = ',')]
    pub(super) filename: Vec<PathBuf>,

    /// Read settings, licenses and projects from CoCalc's PostgreSQL, in a read-only transaction
    ///
    /// A URL, postgres://USER@HOST/DATABASE?sslmode=verify-full, or host=… dbname=… user=…; what it leaves out
    /// comes from the PG* variables. Other users of this machine can see a password in the URL: PGPASSWORD or
    /// ~/.pgpass keep it. COCALC_DATABASE_URL stands for the flag, unless -f gives projects or --example is given.
    #[arg(long, value_name = "URL", conflicts_with = "example")]
    pub(super) database: Option<String>,

    /// Use the built-in example: template, settings, licenses and one project
    #[arg(long)]
    pub(super) example: bool,

    /// Contact no cluster and no database: files and --example are all there is
    #[arg(long, conflicts_with = "database")]
    pub(super) offline: bool,

    /// Take the template from this ConfigMap instead of project-pod, or from one key of it
    #[arg(long, value_name = "NAME[/KEY]")]
    pub(super) template_configmap: Option<String>,

    /// Give a placeholder its value, for example PROJECT_TAG=v2 (can be repeated)
    ///
    /// The five are PROJECT_IMAGE, PROJECT_TAG, project_id, extra_env and project_config. The value goes into
    /// the template's text as it is: for extra_env and project_config that is the final base64.
    #[arg(long, value_name = "PLACEHOLDER=VALUE")]
    pub(super) set: Vec<String>,

    /// Give the image: PROJECT_IMAGE and PROJECT_TAG together
    #[arg(long, value_name = "NAME:TAG")]
    pub(super) image: Option<String>,
}

/// What if
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "What if")]
pub(super) struct WhatIfArgs {
    /// Assume one more license with this JSON Patch, after all others
    #[arg(
        short,
        long,
        value_name = "TEXT",
        conflicts_with = "patch_file",
        allow_hyphen_values = true
    )]
    pub(super) patch: Option<String>,

    /// The same with the patch from a file, or - for standard input
    #[arg(long, value_name = "FILE|-")]
    pub(super) patch_file: Option<PathBuf>,

    /// Assume that the same license has this quota, for example '{"cpu": 2, "ram": 4}'
    #[arg(long, value_name = "JSON")]
    pub(super) quota: Option<String>,

    /// Take patch and quota as the new ones of this license, at its place in the order
    #[arg(long, value_name = "ID")]
    pub(super) for_license: Option<String>,

    /// Assume that the project has this license too (can be repeated)
    #[arg(long, value_name = "ID")]
    pub(super) add_license: Vec<String>,

    /// Assume that the project does not have this license (can be repeated)
    #[arg(long, value_name = "ID")]
    pub(super) drop_license: Vec<String>,

    /// Judge licenses as of this time, for example 2026-12-01T08:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<String>,

    /// Judge by what is stored in the project, without CoCalc's license hook
    #[arg(long, conflicts_with = "at")]
    pub(super) stored: bool,
}

/// What the sources hold.
pub(super) struct Sources {
    pub(super) snapshot: Snapshot,
    /// What to call the source of projects in messages.
    pub(super) projects_from: String,
    /// When licenses are judged, if `--at` says so.
    pub(super) at: Option<Timestamp>,
    /// Whether the command is about one project.
    pub(super) one_project: bool,
    /// Projects of the database that were asked for and cannot be judged.
    pub(super) unreadable: Vec<RowError>,
    /// The database, where the projects of `--all` are still in it.
    pub(super) open: Cell<Option<OpenDatabase>>,
    /// Whether standard input is, or will be, read for something: then no credential plugin may ask on it.
    pub(super) stdin_used: bool,
    /// The connection, once the cluster was a source.
    pub(super) cluster: Option<Cluster>,
}

impl Sources {
    /// A snapshot that holds all there is.
    pub(super) fn of(snapshot: Snapshot, projects_from: String) -> Self {
        Self {
            snapshot,
            projects_from,
            at: None,
            one_project: false,
            unreadable: Vec::new(),
            open: Cell::new(None),
            stdin_used: false,
            cluster: None,
        }
    }
}

impl SourceArgs {
    /// Reads what the flags name, and of a database the projects that the command needs; all of them if that is
    /// not said.
    pub(super) fn read_for(
        &self,
        ui: &Ui,
        what_if: &WhatIfArgs,
        need: Option<Need<'_>>,
    ) -> Result<Sources, CommandError> {
        let stdin_flags = [
            (
                self.filename.iter().filter(|f| f.as_os_str() == "-").count(),
                "--filename -",
            ),
            (
                usize::from(
                    what_if
                        .patch_file
                        .as_deref()
                        .is_some_and(|f| f.as_os_str() == "-"),
                ),
                "--patch-file -",
            ),
        ];
        if stdin_flags.iter().map(|(count, _)| count).sum::<usize>() > 1 {
            let names: Vec<&str> = stdin_flags
                .iter()
                .flat_map(|(count, name)| std::iter::repeat_n(*name, *count))
                .collect();
            let message = format!("{} cannot both read standard input", names.join(" and "));
            return Err(CommandError::usage(message));
        }
        let options = self.read_options();
        let inputs: Vec<Input> = self.filename.iter().map(|file| input(file)).collect();
        let (files, notes) = snapshot::read_inputs(&inputs, &mut std::io::stdin().lock(), &options)
            .map_err(CommandError::usage)?;
        tell(ui, &notes);
        if let (Some(name), None, true) = (&self.template_configmap, &files.template, self.offline) {
            return Err(CommandError::usage(format!(
                "--template-configmap {name}: no ConfigMap of this name is in the files, and --offline forbids to \
                 ask the cluster"
            )));
        }
        let from_files = files.has_projects;
        let mut sources = Sources::of(Snapshot::default(), String::new());
        sources.stdin_used = stdin_flags.iter().any(|(count, _)| *count > 0);
        sources.one_project = need.is_some_and(|need| {
            !need.projects.all && need.projects.with_license.is_none() && need.ids.len() <= 1
        });
        let mut projects_from = Vec::new();
        if from_files {
            projects_from.push("the files given with -f".to_owned());
        }
        let snapshot = if let Some(url) =
            database::url(self.database.as_deref(), self.example || self.offline, from_files)
        {
            let FromDatabase {
                snapshot,
                unreadable,
                open,
                name,
            } = database::read(ui, &url, need, what_if, &files)?;
            projects_from.push(format!("database {name}"));
            sources.unreadable = unreadable;
            sources.open = Cell::new(open);
            files.overlay(snapshot)
        } else if self.example {
            projects_from.push("the example".to_owned());
            files.overlay(snapshot::example())
        } else {
            files
        };
        if let Some(at) = &what_if.at {
            sources.at = Some(snapshot::parse_timestamp(at).ok_or_else(|| {
                CommandError::usage(format!("--at {at:?} is no time"))
                    .hint("write it as 2026-12-01T08:00:00Z")
            })?);
        }
        Ok(Sources {
            snapshot,
            projects_from: projects_from.join(" and "),
            ..sources
        })
    }

    pub(super) fn read_options(&self) -> ReadOptions {
        ReadOptions {
            template_configmap: self.template_configmap.as_deref().map(configmap_key),
        }
    }
}

/// Only `--offline` leads here: the cluster either gives a template or an error of its own.
pub(super) fn no_template() -> CommandError {
    CommandError::usage("there is no template to render").hint(
        "--offline forbids to ask the cluster; give the template with -f, or --example for the built-in one",
    )
}

/// What was noticed while reading.
pub(super) fn tell(ui: &Ui, notes: &[Note]) {
    for note in notes {
        if note.is_warning() {
            ui.warning(&note.message);
        } else {
            ui.note(&note.message);
        }
    }
}

pub(super) fn input(file: &Path) -> Input {
    if file.as_os_str() == "-" {
        Input::Stdin
    } else {
        Input::File(file.to_owned())
    }
}

fn configmap_key(text: &str) -> (String, Option<String>) {
    match text.split_once('/') {
        Some((name, key)) => (name.to_owned(), Some(key.to_owned())),
        None => (text.to_owned(), None),
    }
}

/// Everything that is the same for all projects, from the sources and the flags.
pub(super) fn site(
    ui: &Ui,
    sources: &Sources,
    source_args: &SourceArgs,
    what_if_args: &WhatIfArgs,
) -> Result<Site, CommandError> {
    let mut what_if = what_if_args.resolve(ui, &sources.snapshot)?;
    what_if.must_apply = sources.one_project;
    site_with(sources, source_args, what_if, what_if_args.stored)
}

/// The same without any what-if: what is true now.
pub(super) fn site_now(sources: &Sources, args: &SourceArgs, stored: bool) -> Result<Site, CommandError> {
    let view = View {
        overrides: overrides(args)?,
        stored,
        ..View::default()
    };
    Ok(Site::new(&sources.snapshot, Timestamp::now(), view))
}

/// The same with what-ifs that are resolved already.
pub(super) fn site_with(
    sources: &Sources,
    source_args: &SourceArgs,
    what_if: WhatIf,
    stored: bool,
) -> Result<Site, CommandError> {
    let view = View {
        overrides: overrides(source_args)?,
        what_if,
        at: sources.at,
        stored,
    };
    Ok(Site::new(&sources.snapshot, Timestamp::now(), view))
}

fn overrides(args: &SourceArgs) -> Result<Values, CommandError> {
    let mut values = Values::default();
    if let Some(image) = &args.image {
        // The tag is behind the last colon, unless that belongs to the registry's port.
        let split = image
            .rsplit_once(':')
            .filter(|(name, tag)| !name.is_empty() && !tag.is_empty() && !tag.contains('/'));
        let Some((name, tag)) = split else {
            return Err(CommandError::usage(format!("--image {image:?} is not NAME:TAG")));
        };
        values.set(Placeholder::ProjectImage, name);
        values.set(Placeholder::ProjectTag, tag);
    }
    for set in &args.set {
        let Some((name, value)) = set.split_once('=') else {
            return Err(CommandError::usage(format!(
                "--set {set:?} is not PLACEHOLDER=VALUE"
            )));
        };
        let name = name.trim_start_matches('{').trim_end_matches('}');
        let Some(placeholder) = Placeholder::from_name(name) else {
            let names: Vec<&str> = Placeholder::ALL.iter().map(|p| p.name()).collect();
            return Err(CommandError::usage(format!(
                "--set knows no placeholder {name:?}; the five are {}",
                names.join(", ")
            )));
        };
        if values.get(placeholder).is_some_and(|old| old != value) {
            return Err(CommandError::usage(format!(
                "{} is given twice with different values",
                placeholder.text()
            )));
        }
        values.set(placeholder, value);
    }
    Ok(values)
}

impl WhatIfArgs {
    /// What the flags assume, with license ids in full.
    pub(super) fn resolve(&self, ui: &Ui, snapshot: &Snapshot) -> Result<WhatIf, CommandError> {
        if self.for_license.is_some()
            && self.patch.is_none()
            && self.patch_file.is_none()
            && self.quota.is_none()
        {
            return Err(CommandError::usage(
                "--for-license goes with --patch, --patch-file or --quota",
            ));
        }
        self.resolve_for_making(ui, snapshot)
    }

    /// The same where `--for-license` says whose patch is being made.
    pub(super) fn resolve_for_making(&self, ui: &Ui, snapshot: &Snapshot) -> Result<WhatIf, CommandError> {
        what_if(ui, self, snapshot)
    }
}

fn what_if(ui: &Ui, args: &WhatIfArgs, snapshot: &Snapshot) -> Result<WhatIf, CommandError> {
    let patch = match (&args.patch, &args.patch_file) {
        (Some(text), _) => Some(patch_text(ui, text, "what-if", "--patch")?),
        (None, Some(file)) => {
            let label = file
                .file_name()
                .map_or_else(|| "what-if".to_owned(), |n| n.to_string_lossy().into_owned());
            let text = snapshot::read_input_text(&input(file), &mut std::io::stdin().lock())
                .map_err(CommandError::usage)?;
            let (label, place) = if file.as_os_str() == "-" {
                ("what-if".to_owned(), "standard input".to_owned())
            } else {
                (label, file.display().to_string())
            };
            Some(PatchText {
                file: Some(place.clone()),
                ..patch_text(ui, &text, &label, &place)?
            })
        }
        (None, None) => None,
    };
    let quota = args
        .quota
        .as_deref()
        .map(|text| {
            let json = crate::json::parse(text)
                .map_err(|error| CommandError::usage(format!("--quota is no JSON: {error}")))?;
            if json.as_map().is_none() {
                return Err(CommandError::usage(
                    "--quota is no JSON object, for example '{\"cpu\": 2, \"ram\": 4}'",
                ));
            }
            Ok(json)
        })
        .transpose()?;
    let for_license = args
        .for_license
        .as_deref()
        .map(|id| resolve_license(snapshot, id, "--for-license", true))
        .transpose()?;
    let all = |ids: &[String], flag: &'static str| -> Result<Vec<String>, CommandError> {
        ids.iter()
            .map(|id| resolve_license(snapshot, id, flag, false))
            .collect()
    };
    let add = all(&args.add_license, "--add-license")?;
    let drop = all(&args.drop_license, "--drop-license")?;
    for id in &add {
        if !snapshot.site_licenses.contains_key(id) {
            return Err(CommandError::usage(format!(
                "--add-license {id}: no source has a license of this id"
            )));
        }
    }
    if let Some(id) = drop
        .iter()
        .find(|id| add.contains(id) || for_license.as_deref() == Some(id))
    {
        return Err(CommandError::usage(format!(
            "license {id} cannot be both dropped and added or changed"
        )));
    }
    for id in &drop {
        let held = |row: &snapshot::Project| row.site_license.text().contains(id.as_str());
        let all_known = snapshot.has_projects && !snapshot.has_more_projects;
        if all_known && !snapshot.projects.iter().any(held) {
            ui.note(&format!("--drop-license {id}: no project holds it"));
        }
    }
    if let (Some(id), Some(quota), None) = (&for_license, &quota, &patch)
        && quota.get("patch").is_none()
        && snapshot
            .site_licenses
            .get(id)
            .is_some_and(|row| row.quota.get_non_null("patch").is_some())
    {
        ui.note(&format!(
            "--quota is the whole quota of license {id}: without its present patch, unless --patch gives one"
        ));
    }
    Ok(WhatIf {
        patch,
        quota,
        for_license,
        add,
        drop,
        must_apply: false,
    })
}

/// The text that the license's field would hold: JSON is judged as it is; YAML is converted.
fn patch_text(ui: &Ui, text: &str, label: &str, place: &str) -> Result<PatchText, CommandError> {
    let start = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    // What YAML would read as one string is judged as the text that it is.
    let one_string = matches!(Instead::of_text(start), Instead::Quoted | Instead::FileName);
    let converted = !start.starts_with(['[', '{', '"']) && !one_string;
    let text = if !converted {
        text.to_owned()
    } else {
        let (json, notes): (Json, _) = snapshot::parse_document(text, place).map_err(CommandError::usage)?;
        for note in &notes {
            ui.warning(&note.message);
        }
        ui.note(&format!(
            "{place}: YAML, read as the JSON that a license's field takes [yaml-patch]"
        ));
        json.stringify()
    };
    Ok(PatchText {
        text,
        label: label.to_owned(),
        file: None,
        converted,
    })
}
