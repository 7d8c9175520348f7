//! What the tool knows: the one type that sources produce and the pipeline reads.
//!
//! A [`Snapshot`] is plain data: server settings, template, images, license rows, project rows, live pods. It
//! has one file form (see `file.rs`), so what was read from a cluster or a database can be saved, mailed and
//! replayed. Column names are the database's own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::json::{self, Json};

mod assumptions;
mod cluster;
mod counts;
mod example;
mod file;
mod live_pod;
mod manifests;
mod overlay;
mod part;
mod place;
pub mod postgres;
pub mod redact;
mod rows;
mod software;
mod source;
pub mod sql;
pub mod write;
mod yaml_words;

pub use assumptions::{
    Assumptions, CpuFormat, DedicatedVm, FieldValidation, GpuPlacement, LimitBelowRequest,
    MemRequestAdjustment, MemorySuffix, Network, NetworkPlace, OnPatchError, ProjectContainer,
};
pub use cluster::{ClusterReadError, LivePods, Wanted, read_cluster};
pub use counts::{LicenseCounts, counts};
pub use example::example;
pub use file::{
    Input, ReadOptions, parse_document, parse_manifest, parse_value, read_input_text, read_inputs,
    template_from_manifests,
};
pub use live_pod::project_id_of;
pub use part::Part;
pub use place::{Note, NoteKind, Place, ReadError};
pub use rows::{is_uuid, parse_timestamp};

/// Everything the pipeline reads.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When licenses are judged; `None` means the current time, which only the rim may ask for.
    pub now: Option<Timestamp>,
    /// Rows of `server_settings` by name; values as stored (JSON text) or plain. `None` if no source had any.
    pub server_settings: Option<BTreeMap<String, Json>>,
    /// The content of ConfigMap `project-pod`.
    pub template: Option<Template>,
    /// The software environments, from which a project's image comes.
    pub software: Option<Software>,
    /// What is not public about CoCalc's pod builder.
    pub assumptions: Option<Assumptions>,
    /// Rows of `site_licenses` by id (lower case).
    pub site_licenses: BTreeMap<String, License>,
    /// Rows of `projects`, in the order given.
    pub projects: Vec<Project>,
    /// Whether a source of projects was there at all, be it empty.
    pub has_projects: bool,
    /// Number of running projects that use a license, as CoCalc counts. A license that is missing here is
    /// counted over [`Snapshot::projects`].
    pub license_usage: BTreeMap<String, u64>,
    /// Licenses at which CoCalc's count of running projects fails, with the running project whose entry is no
    /// object. What is neither here nor in [`Snapshot::license_usage`] is told from [`Snapshot::projects`].
    pub uncountable: BTreeMap<String, String>,
    /// How many projects, deleted ones aside, hold a license, where the source counted them without giving all of
    /// their rows; licenses that no project holds may be missing. `None`: counted over [`Snapshot::projects`].
    pub license_holders: Option<BTreeMap<String, u64>>,
    /// Whether the source has more projects than those in [`Snapshot::projects`].
    pub has_more_projects: bool,
    /// Ids of licenses that are known only from projects that are not in this snapshot.
    pub held_elsewhere: Vec<String>,
    /// Pods as `kubectl get pod -o json` gives them.
    pub live_pods: Vec<Value>,
}

/// The text of the Pod template, placeholders included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// JSON text as CoCalc reads it.
    pub text: String,
    /// Where it comes from, for messages: `ConfigMap cocalc/project-pod`, a file's name.
    pub source: String,
}

/// The software environments (HELM `global.software`, ConfigMap `project-image`), already cleaned by the rules
/// of CoCalc's `software-envs.ts`: environments without a `tag` are gone, `registry` is filled in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Software {
    /// The id of the default environment.
    pub default: Option<String>,
    /// Environments by id.
    pub environments: BTreeMap<String, Environment>,
}

/// One software environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Its title.
    pub title: Option<String>,
    /// `{PROJECT_TAG}`
    pub tag: String,
    /// `{PROJECT_IMAGE}`: registry and name, without a tag.
    pub registry: Option<String>,
}

/// A row of table `site_licenses`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct License {
    /// UUID, lower case.
    pub id: String,
    /// Title; empty if null.
    pub title: String,
    /// Null means "not yet active".
    pub activates: Option<Timestamp>,
    /// Null means "never".
    pub expires: Option<Timestamp>,
    /// Null means "no limit"; 0 means "always exhausted".
    pub run_limit: Option<f64>,
    /// Column `upgrades` (v1), or null.
    pub upgrades: Json,
    /// Column `quota` (v2), in jsonb order, or null.
    pub quota: Json,
    /// When CoCalc last used it.
    pub last_used: Option<Timestamp>,
    /// Account ids of its managers.
    pub managers: Vec<String>,
}

/// A row of table `projects`. Columns of type `jsonb` stay text until a project is rendered: half a million
/// rows as trees of values would not fit into memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Project {
    /// UUID, lower case.
    pub project_id: Box<str>,
    /// Title; empty if null.
    pub title: Box<str>,
    /// Upgrade format, plus `disableInternet`.
    pub settings: Column,
    /// account id → `{group, upgrades?}`
    pub users: Column,
    /// license id → entry
    pub site_license: Column,
    /// The quota of the last start.
    pub run_quota: Column,
    /// Environment variables: name → string.
    pub env: Column,
    /// `state.state`: `running`, `opened`, …
    pub state: Option<Box<str>>,
    /// Id of the software environment.
    pub compute_image: Option<Box<str>>,
    /// Whether the project is deleted.
    pub deleted: bool,
}

/// A `jsonb` column as compact JSON text; the empty text is SQL's NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column(Box<str>);

impl Column {
    /// A column with this JSON text, which must have been read once already.
    pub fn from_text(text: impl Into<Box<str>>) -> Self {
        let text = text.into();
        if &*text == "null" {
            Self::default()
        } else {
            Self(text)
        }
    }

    /// Its JSON text, `null` if NULL.
    pub fn text(&self) -> &str {
        if self.0.is_empty() { "null" } else { &self.0 }
    }

    /// Whether a member of this name, made of ASCII letters, can be anywhere in its value: told by its text, in which
    /// an escape can hide any name.
    pub fn may_name(&self, name: &str) -> bool {
        self.0.contains(name) || self.0.contains('\\')
    }

    /// Its value in jsonb order.
    ///
    /// # Errors
    /// If the text is no JSON, which no reader of this crate lets through.
    pub fn value(&self) -> Result<Json, json::Error> {
        if self.0.is_empty() {
            Ok(Json::Null)
        } else {
            json::parse(&self.0).map(|json| json.in_jsonb_order())
        }
    }
}
