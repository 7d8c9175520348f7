//! `man`: the man pages, for the release archive.

use std::path::PathBuf;

use super::{CommandError, Exit};

/// Write the man pages, one a command
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// An existing folder to write them to
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

pub(super) fn man(root: clap::Command, args: &Args) -> Result<Exit, CommandError> {
    clap_mangen::generate_to(root, &args.folder).map_err(|error| {
        CommandError::usage(format!(
            "cannot write man pages to {}: {error}",
            args.folder.display()
        ))
    })?;
    Ok(Exit::Done)
}
