//! `version`: which version this is.

use super::{CommandError, Exit};
use crate::output::ui::Ui;

/// Print the version
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Print it as json or yaml
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Json,
    Yaml,
}

pub(super) fn version(ui: &Ui, args: &Args) -> Result<Exit, CommandError> {
    let version = serde_json::json!({
        "version": concat!("v", env!("CARGO_PKG_VERSION")),
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    });
    let text = match args.output {
        None => format!("kubectl-cocalc v{}\n", env!("CARGO_PKG_VERSION")),
        Some(Format::Json) => crate::output::json::pretty(&version),
        Some(Format::Yaml) => crate::output::yaml::write(&version),
    };
    let mut out = ui.stdout();
    out.text(&text)?;
    out.finish()?;
    Ok(Exit::Done)
}
