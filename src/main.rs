//! `kubectl cocalc`: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_cocalc::cli::main(std::env::args_os()).into()
}
