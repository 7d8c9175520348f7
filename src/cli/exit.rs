//! How a command ends: the exit codes, and errors by who must act.

use std::{fmt, process::ExitCode};

use crate::{cluster::RequestError, output::ui::OutputError};

/// The exit codes that scripts rely on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    #[default]
    Done = 0,
    /// The answer is no: CoCalc could not make a pod, or a finding is as severe as `--fail-on` says.
    No = 1,
    /// The command line, a file or a row of it is wrong, or there is nothing to answer from.
    Usage = 2,
    /// The user pressed Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The worse of two.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        self.max(other)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ends early.
#[derive(Debug)]
pub struct CommandError {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong, lower case, with the flag, file or field.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
    /// Whether stdout was closed by its reader (`| head`): a quiet success.
    pub broken_pipe: bool,
    /// Whether the message is kubectl's own text, prefix included, and is printed as it is.
    pub plain: bool,
}

impl CommandError {
    /// A wrong command line or input.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.to_string(),
            hint: None,
            broken_pipe: false,
            plain: false,
        }
    }

    /// The same with the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }
}

impl From<OutputError> for CommandError {
    fn from(error: OutputError) -> Self {
        let broken_pipe = matches!(error, OutputError::Closed);
        Self {
            broken_pipe,
            ..Self::usage(error)
        }
    }
}

impl From<RequestError> for CommandError {
    fn from(error: RequestError) -> Self {
        let exit = match &error {
            RequestError::Interrupted => Exit::Interrupted,
            _ => Exit::Usage,
        };
        Self {
            exit,
            plain: true,
            hint: error.hint(),
            ..Self::usage(error)
        }
    }
}

impl From<std::io::Error> for CommandError {
    /// Only the standard output is written with `io::Write`.
    fn from(error: std::io::Error) -> Self {
        OutputError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_cluster_says_is_shown_as_it_is() {
        let error = CommandError::from(RequestError::Failed(
            "Unable to connect to the server: EOF".to_owned(),
        ));
        assert_eq!(error.message, "Unable to connect to the server: EOF");
        assert!(error.plain && error.exit == Exit::Usage);
        let error = CommandError::from(RequestError::Interrupted);
        assert_eq!((&*error.message, error.exit), ("interrupted", Exit::Interrupted));
    }

    #[test]
    fn the_worst_exit_code_wins() {
        assert_eq!(Exit::No.worst(Exit::Done), Exit::No);
        assert_eq!(Exit::No.worst(Exit::Usage), Exit::Usage);
        assert_eq!(Exit::Interrupted.worst(Exit::Usage), Exit::Interrupted);
        assert_eq!([Exit::Done as u8, Exit::No as u8, Exit::Usage as u8], [0, 1, 2]);
        assert_eq!(Exit::Interrupted as u8, 130);
    }
}
