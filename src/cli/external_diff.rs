//! `KUBECTL_EXTERNAL_DIFF`, by kubectl's rules: split at spaces, arguments of other characters than
//! `[a-zA-Z0-9=-]` dropped (kubectl does that in silence), two folders with a file for each object, exit code 1
//! for a difference.

use std::{fs, process::Command};

use serde_json::Value;

use crate::output::{ui::Ui, yaml};

use super::CommandError;

/// The program and its arguments, if the variable names one.
pub(super) struct ExternalDiff {
    program: String,
    arguments: Vec<String>,
}

impl ExternalDiff {
    pub(super) fn from_env(ui: &Ui) -> Option<Self> {
        let text = std::env::var("KUBECTL_EXTERNAL_DIFF").ok()?;
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        let program = words.next()?.to_owned();
        let (arguments, dropped): (Vec<&str>, Vec<&str>) = words.partition(|word| {
            word.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'=' || b == b'-')
        });
        for word in dropped {
            ui.warning(&format!(
                "KUBECTL_EXTERNAL_DIFF: the argument {word:?} is dropped, as kubectl drops it (only a-z, A-Z, 0-9, = and - may stand in one)"
            ));
        }
        Some(Self {
            program,
            arguments: arguments.into_iter().map(str::to_owned).collect(),
        })
    }

    /// Shows the documents; returns whether they differ.
    pub(super) fn show(&self, objects: &[(Value, Value)]) -> Result<bool, CommandError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            CommandError::usage(format!("KUBECTL_EXTERNAL_DIFF: {what}: {error}"))
        };
        let folder = |prefix: &str| {
            tempfile::Builder::new()
                .prefix(prefix)
                .tempdir()
                .map_err(|error| failed("cannot make a folder", &error))
        };
        let (before, after) = (folder("LIVE-")?, folder("MERGED-")?);
        for (old, new) in objects {
            for (folder, value) in [(&before, old), (&after, new)] {
                let file = folder.path().join(file_name(new));
                fs::write(&file, yaml::write(value))
                    .map_err(|error| failed("cannot write a file", &error))?;
            }
        }
        let status = Command::new(&self.program)
            .args(&self.arguments)
            .arg(before.path())
            .arg(after.path())
            .status()
            .map_err(|error| failed(&format!("cannot run {:?}", self.program), &error))?;
        match status.code() {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(failed(&format!("{:?} failed", self.program), &status)),
        }
    }
}

/// `v1.Pod.NAMESPACE.NAME`, with nothing in it that could leave the folder.
fn file_name(pod: &Value) -> String {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let name = format!(
        "v1.Pod.{}.{}",
        text("/metadata/namespace"),
        text("/metadata/name")
    );
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
            c
        } else {
            '_'
        }
    };
    name.chars().map(safe).take(200).collect()
}
