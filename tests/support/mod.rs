//! A sandbox for the plugin: a folder and an environment of its own, and failures that show the whole command.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub(crate) mod api_server;
pub(crate) mod fault_server;
#[cfg(unix)]
pub(crate) mod lab;
#[cfg(unix)]
pub(crate) mod postgres;
pub(crate) mod shared;

/// The built plugin.
pub(crate) const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-cocalc");

/// The project of the built-in example.
pub(crate) const LAB: &str = "11111111-1111-4111-8111-111111111111";

/// A folder with files in it, in which the plugin is run.
pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
}

/// What a run gave.
pub(crate) struct Run {
    shown: String,
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// Writes a file, and gives the sandbox back.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the plugin with these arguments.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.run_with_stdin(args, "")
    }

    /// The same with a standard input.
    pub(crate) fn run_with_stdin(&self, args: &[&str], stdin: &str) -> Run {
        let mut command = Command::new(PLUGIN);
        command.args(args);
        self.run_command(command, stdin)
    }

    /// Runs any command in the sandbox, with these variables in its environment.
    pub(crate) fn run_with_environment(
        &self,
        command: &Command,
        environment: impl Iterator<Item = (&'static str, String)>,
    ) -> Run {
        let mut with = Command::new("env");
        with.args(environment.map(|(name, value)| format!("{name}={value}")));
        with.arg(command.get_program()).args(command.get_args());
        self.run_command(with, "")
    }

    /// Runs any command in the sandbox.
    pub(crate) fn run_command(&self, mut command: Command, stdin: &str) -> Run {
        let home = self.folder.path();
        command
            .current_dir(home)
            .env_clear()
            .env("HOME", home)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KUBECONFIG", home.join("no-such-kubeconfig"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let shown = format!("{command:?}");
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
        let mut input = child.stdin.take().expect("a pipe");
        let stdin = stdin.to_owned();
        let writer = std::thread::spawn(move || {
            let _ = input.write_all(stdin.as_bytes());
        });
        let output = child.wait_with_output().expect("the end of the process");
        writer.join().expect("the writer of the standard input");
        Run {
            shown,
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8 on stderr"),
        }
    }
}

impl Run {
    fn context(&self) -> String {
        format!(
            "{}\nexit code {}\n--- stdout\n{}\n--- stderr\n{}",
            self.shown, self.code, self.stdout, self.stderr
        )
    }

    /// The run must have ended with this code.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.context());
        self
    }

    /// Standard output must hold this text.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text),
            "stdout lacks {text:?}\n{}",
            self.context()
        );
        self
    }

    /// Standard error must hold this text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "stderr lacks {text:?}\n{}",
            self.context()
        );
        self
    }

    /// Standard error must not hold this text.
    #[track_caller]
    pub(crate) fn does_not_say(self, text: &str) -> Self {
        assert!(
            !self.stderr.contains(text),
            "stderr has {text:?}\n{}",
            self.context()
        );
        self
    }

    /// Nothing must stand on standard error.
    #[track_caller]
    pub(crate) fn silently(self) -> Self {
        assert!(self.stderr.is_empty(), "stderr is not empty\n{}", self.context());
        self
    }

    /// Nothing must stand on standard output.
    #[track_caller]
    pub(crate) fn prints_nothing(self) -> Self {
        assert!(self.stdout.is_empty(), "stdout is not empty\n{}", self.context());
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{}", self.context()))
    }
}

/// The real kubectl: env KUBECTL, else the one in env KUBEBUILDER_ASSETS, else the one that tests/run built.
pub(crate) fn kubectl() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testapi/bin/kubectl");
    let assets = std::env::var_os("KUBEBUILDER_ASSETS");
    match (std::env::var_os("KUBECTL"), assets) {
        (Some(path), _) => path.into(),
        (None, Some(folder)) => Path::new(&folder).join("kubectl"),
        (None, None) => {
            assert!(
                built.exists(),
                "kubectl is missing: run `tests/run kubectl`, or set KUBECTL"
            );
            built
        }
    }
}
