//! Who put each field there.
//!
//! A document carries numbers of steps ([`Step`]); this module says what the numbers mean, in the order in
//! which the steps are taken, and turns a document's leaves into entries that a reader, a report or a blame can
//! use. `by` is the step that last put the value at its place, move and copy included; `origin` is who made the
//! value, given only where it is another. Leaving the writer out changes the field, or makes CoCalc fail,
//! unless it wrote what was there already.

use crate::json_patch::{Key, Options, PathPart};

use super::{placeholders::Placeholder, template::Step};

/// The step of whatever stands in the template itself.
pub const TEMPLATE: Step = 0;
// 1 to 31: sets of placeholders, a bit each.
const FIRST_QUOTA: Step = 32;
/// The step of the first operation of the first patch; the others follow in CoCalc's order.
pub const FIRST_OPERATION: Step = 64;

/// A value of the quota that changes the pod, by its name in CoCalc's quota object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaField {
    /// Cores.
    CpuRequest,
    /// Cores.
    CpuLimit,
    /// MB.
    MemoryRequest,
    /// MB.
    MemoryLimit,
    /// Whether the project reaches the internet.
    Network,
    /// Whether `/ext` is writable.
    ExtRw,
    /// GPUs.
    Gpu,
    /// A node of its own.
    DedicatedVm,
}

impl QuotaField {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::CpuRequest,
        Self::CpuLimit,
        Self::MemoryRequest,
        Self::MemoryLimit,
        Self::Network,
        Self::ExtRw,
        Self::Gpu,
        Self::DedicatedVm,
    ];

    /// Its name in CoCalc's quota object.
    pub fn name(self) -> &'static str {
        match self {
            Self::CpuRequest => "cpu_request",
            Self::CpuLimit => "cpu_limit",
            Self::MemoryRequest => "memory_request",
            Self::MemoryLimit => "memory_limit",
            Self::Network => "network",
            Self::ExtRw => "ext_rw",
            Self::Gpu => "gpu",
            Self::DedicatedVm => "dedicated_vm",
        }
    }

    /// Its step.
    pub fn step(self) -> Step {
        FIRST_QUOTA + self as Step
    }
}

/// What a step is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The template itself.
    Template,
    /// One or several placeholders.
    Placeholders(Vec<Placeholder>),
    /// A value of the quota.
    Quota(QuotaField),
    /// An operation of a license's patch: the index of the patch in
    /// [`Rendered::patches`](super::Rendered::patches) and of the operation in that patch.
    Operation {
        /// Index of the patch.
        patch: usize,
        /// Index of the operation in its patch, from 0.
        operation: usize,
    },
}

/// A field of the pod and who wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it stands.
    pub path: Vec<PathPart>,
    /// Who last put it there.
    pub by: Writer,
    /// Who made the value, where that is another.
    pub origin: Option<Writer>,
    /// Whether the field is gone: then `path` is where it stood.
    pub removed: bool,
}

/// Which patch has which steps.
#[derive(Clone, Debug, Default)]
pub struct Steps {
    /// For each patch the step of its first operation.
    pub(super) first_of_patch: Vec<Step>,
    /// How the patches are applied.
    pub(super) options: Options,
    /// Whether a failure leaves the pod without any patch.
    pub(super) unpatched: bool,
}

impl Steps {
    /// What a step is.
    pub fn writer(&self, step: Step) -> Writer {
        if step == TEMPLATE {
            Writer::Template
        } else if step < FIRST_QUOTA {
            Writer::Placeholders(
                Placeholder::ALL
                    .into_iter()
                    .filter(|p| step & p.bit() != 0)
                    .collect(),
            )
        } else if step < FIRST_OPERATION {
            let field = QuotaField::ALL.into_iter().find(|field| field.step() == step);
            field.map_or(Writer::Template, Writer::Quota)
        } else {
            let patch = self
                .first_of_patch
                .partition_point(|first| *first <= step)
                .saturating_sub(1);
            let first = self.first_of_patch.get(patch).copied().unwrap_or(FIRST_OPERATION);
            Writer::Operation {
                patch,
                operation: (step - first) as usize,
            }
        }
    }
}

/// A path as the keys that lead there.
pub fn keys(path: &[PathPart]) -> Vec<Key<'_>> {
    path.iter()
        .map(|part| match part {
            PathPart::Name(name) => Key::Name(name),
            PathPart::Index(index) => Key::Index(*index),
        })
        .collect()
}

/// A path as a JSON pointer (RFC 6901).
pub fn pointer(path: &[PathPart]) -> String {
    let mut pointer = String::new();
    for part in path {
        pointer.push('/');
        match part {
            PathPart::Name(name) => pointer.push_str(&name.replace('~', "~0").replace('/', "~1")),
            PathPart::Index(index) => pointer.push_str(&index.to_string()),
        }
    }
    pointer
}

/// A path as the API server writes it: `spec.containers[0].image`, names that are no words in brackets.
pub fn field_path(path: &[PathPart]) -> String {
    let mut text = String::new();
    for part in path {
        match part {
            PathPart::Index(index) => text.push_str(&format!("[{index}]")),
            PathPart::Name(name) => {
                let plain = name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
                if !plain || name.is_empty() {
                    text.push_str(&format!("[{name}]"));
                } else {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(name);
                }
            }
        }
    }
    text
}
