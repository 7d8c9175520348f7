//! The editor, as `kubectl edit` finds and runs it: `KUBE_EDITOR`, `EDITOR`, `vi`; a value with quotes or
//! backslashes goes to the shell.

use std::{io::Write as _, process::Command};

use super::CommandError;

/// What became of an edit.
pub(super) enum Edited {
    /// The text was saved with changes.
    Saved(String),
    /// The text is empty or as it was.
    Unchanged,
}

/// Opens the text in the editor.
pub(super) fn edit(text: &str) -> Result<Edited, CommandError> {
    let failed = |error: &dyn std::fmt::Display| CommandError::usage(format!("--edit: {error}"));
    let mut file = tempfile::Builder::new()
        .prefix("kubectl-cocalc-edit-")
        .suffix(".yaml")
        .tempfile()
        .map_err(|error| failed(&error))?;
    file.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    let editor = ["KUBE_EDITOR", "EDITOR"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()))
        .unwrap_or_else(|| "vi".to_owned());
    let mut command = if editor.contains(['"', '\'', '\\']) {
        let shell = std::env::var("SHELL").unwrap_or_else(|_| "sh".to_owned());
        let mut command = Command::new(shell);
        command.arg("-c").arg(format!("{editor} \"$0\"")).arg(file.path());
        command
    } else {
        let mut words = editor.split(' ').filter(|word| !word.is_empty());
        let mut command = Command::new(words.next().unwrap_or("vi"));
        command.args(words).arg(file.path());
        command
    };
    let status = command
        .status()
        .map_err(|error| failed(&format!("cannot run the editor {editor:?}: {error}")))?;
    let saved = std::fs::read_to_string(file.path()).map_err(|error| failed(&error))?;
    if !status.success() {
        let kept = file.into_temp_path().keep().map_err(|error| failed(&error))?;
        return Err(failed(&format!(
            "the editor {editor:?} failed ({status}); your text is in {}",
            kept.display()
        )));
    }
    Ok(if saved.trim().is_empty() || saved == text {
        Edited::Unchanged
    } else {
        Edited::Saved(saved)
    })
}
