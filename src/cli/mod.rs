//! The command line: what can be typed, and one file a command.

use std::ffi::OsString;

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};

use crate::output::ui::{ColorChoice, Ui};

mod calibrate;
mod candidates;
mod cluster;
mod complete;
mod completion;
mod connection;
mod database;
mod debug;
mod dry_run;
mod editor;
mod exit;
mod external_diff;
mod licenses;
mod man;
mod parallel;
mod patch_diff;
mod quota;
mod render;
mod report;
mod select;
mod snapshot;
mod sources;
mod version;

pub use exit::{CommandError, Exit};

/// See, before anyone presses Start, which Pod CoCalc OnPrem will create for a project
///
/// CoCalc starts a project as a Pod: it fills a template, computes a quota from the project's licenses, and
/// applies the JSON Patches that some licenses carry. This plugin computes the same Pod from the cluster, CoCalc's
/// database or files, says who put each field there, and asks the API server whether it would accept it. It never
/// changes anything in a cluster or a database.
#[derive(Parser, Debug)]
#[command(
    name = "kubectl-cocalc",
    bin_name = "kubectl cocalc",
    version,
    arg_required_else_help = true,
    // As in kubectl the last one counts: an alias gives one, the command line another.
    args_override_self = true,
    after_help = "Use \"kubectl cocalc COMMAND --help\" for more about a command, with examples."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// When to use colour: auto, always, never
    ///
    /// `auto` means on a terminal, unless NO_COLOR is set or TERM is `dumb`.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    color: Color,

    #[command(flatten)]
    connection: connection::ConnectionArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand, Debug)]
enum Command {
    Render(Box<render::Args>),
    PatchDiff(Box<patch_diff::Args>),
    DryRun(Box<dry_run::Args>),
    Quota(Box<quota::Args>),
    Debug(Box<debug::Args>),
    Licenses(Box<licenses::Args>),
    Snapshot(Box<snapshot::Args>),
    Completion(completion::Args),
    Version(version::Args),
    #[command(hide = true)]
    Man(man::Args),
}

/// Parses a command line, runs it, and says how it ended. All output goes through one [`Ui`].
pub fn main(args: impl IntoIterator<Item = OsString>) -> Exit {
    let args: Vec<OsString> = args.into_iter().collect();
    if args.get(1).is_some_and(|arg| arg == complete::WORD) {
        let words = args.get(2..).unwrap_or_default();
        // Whoever asks for candidates is typing: no message helps.
        return complete::complete(&Ui::new(ColorChoice::Never), Cli::command(), words).unwrap_or(Exit::No);
    }
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &args),
    };
    let ui = Ui::new(match cli.color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    });
    let result = cli.connection.check().and_then(|()| match &cli.command {
        Command::Render(args) => render::render(&ui, &cli.connection, args),
        Command::PatchDiff(args) => patch_diff::patch_diff(&ui, &cli.connection, args),
        Command::DryRun(args) => dry_run::dry_run(&ui, &cli.connection, args),
        Command::Quota(args) => quota::quota(&ui, args),
        Command::Debug(args) => debug::debug(&ui, &cli.connection, args),
        Command::Licenses(args) => licenses::licenses(&ui, args),
        Command::Snapshot(args) => snapshot::snapshot(&ui, &cli.connection, args),
        Command::Completion(args) => completion::completion(&ui, &Cli::command(), args),
        Command::Version(args) => version::version(&ui, args),
        Command::Man(args) => man::man(Cli::command(), args),
    });
    match result {
        Ok(exit) => cli.connection.verdict(&ui, exit),
        Err(error) if error.broken_pipe => Exit::Done,
        Err(error) if error.plain => {
            ui.plain(&error.message);
            if let Some(hint) = &error.hint {
                ui.hint(hint);
            }
            error.exit
        }
        Err(error) => {
            ui.error(&error.message, error.hint.as_deref());
            error.exit
        }
    }
}

/// Leaves a large value to the end of the process, which frees it in no time.
fn leave<T>(value: T) {
    std::mem::forget(value);
}

/// kubectl's manner: the message, then where to look.
fn usage(error: &clap::Error, args: &[OsString]) -> Exit {
    let ui = Ui::new(ColorChoice::Auto);
    let text = error.render();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = if ui.color_stdout() {
                text.ansi().to_string()
            } else {
                text.to_string()
            };
            let mut out = ui.stdout();
            // Help that nobody reads to its end is no failure.
            let _ = out.text(&text).and_then(|()| out.finish());
            Exit::Done
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            ui.plain(&text.to_string());
            Exit::Usage
        }
        _ => {
            let text = text.to_string();
            let message = text.strip_prefix("error: ").unwrap_or(&text);
            // What clap says after the message (its tip, the usage) is left to the help.
            let message = message.split("\n\n").next().unwrap_or(message);
            ui.error(message.trim_end(), None);
            let command = Cli::command();
            let named = args.iter().skip(1).find_map(|arg| command.find_subcommand(arg));
            let named = named.map_or_else(String::new, |command| format!(" {}", command.get_name()));
            ui.plain(&format!(
                "See 'kubectl cocalc{named} --help' for help and examples"
            ));
            Exit::Usage
        }
    }
}
