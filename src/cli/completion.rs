//! `completion`: code that makes a shell, or kubectl, complete this command line.

use super::{CommandError, Exit};
use crate::output::ui::Ui;

/// Print what makes a shell complete commands, flags and values
///
/// For `kubectl cocalc <TAB>`, kubectl (1.26 or newer, with its own completion set up) runs an executable
/// kubectl_complete-cocalc that it finds on PATH; `completion kubectl` prints it, a shell script of two lines. It
/// completes projects and licenses by what the line says so far, contexts from the kubeconfig and namespaces from the
/// cluster too. krew cannot install it, hence the command below.
///
/// The scripts for bash, zsh, fish and powershell complete the program kubectl-cocalc when it is run without kubectl:
/// commands, flags and fixed values.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  # Complete `kubectl cocalc <TAB>` in every shell (~/.local/bin is on PATH)
  kubectl cocalc completion kubectl > ~/.local/bin/kubectl_complete-cocalc && \\
    chmod +x ~/.local/bin/kubectl_complete-cocalc

  # Complete `kubectl-cocalc <TAB>` in this bash
  source <(kubectl cocalc completion bash)")]
pub(super) struct Args {
    /// For which shell: bash, zsh, fish, powershell; or kubectl
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
    /// kubectl's own completion, for `kubectl cocalc <TAB>`
    Kubectl,
}

const NAME: &str = "kubectl-cocalc";
const BASH_NAME: &str = "kubectl_cocalc";

/// The plugin is on PATH, else kubectl would not have asked; run directly it saves the start of a second kubectl.
const KUBECTL_COMPLETE: &str = "#!/bin/sh\nexec kubectl-cocalc __complete \"$@\"\n";

pub(super) fn completion(ui: &Ui, root: &clap::Command, args: &Args) -> Result<Exit, CommandError> {
    let shell = match args.shell {
        Shell::Bash => Some(clap_complete::Shell::Bash),
        Shell::Zsh => Some(clap_complete::Shell::Zsh),
        Shell::Fish => Some(clap_complete::Shell::Fish),
        Shell::Powershell => Some(clap_complete::Shell::PowerShell),
        Shell::Kubectl => None,
    };
    let mut out = ui.stdout();
    match shell {
        Some(shell) => {
            // The generators would offer hidden commands too.
            let shown = root.get_subcommands().filter(|command| !command.is_hide_set());
            let mut root = clap::Command::new(NAME)
                .version(env!("CARGO_PKG_VERSION"))
                .args(root.get_arguments())
                .subcommands(shown.cloned());
            // Into memory first: the generators panic when what they write to fails.
            let mut script = Vec::new();
            // clap_complete's script for bash never finds a subcommand of a program with a dash in its name: it writes
            // the dash in two ways.
            let name = if args.shell == Shell::Bash {
                BASH_NAME
            } else {
                NAME
            };
            clap_complete::generate(shell, &mut root, name, &mut script);
            let script = String::from_utf8_lossy(&script);
            out.text(&script.replace(&format!(" {BASH_NAME}\n"), &format!(" {NAME}\n")))?;
        }
        None => out.text(KUBECTL_COMPLETE)?,
    }
    out.finish()?;
    Ok(Exit::Done)
}
