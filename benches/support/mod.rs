//! What the benches share: processes that are timed, medians, and where the rivals are.

#![allow(dead_code, reason = "each bench uses its own part")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The plugin, built by the same `cargo bench`.
pub(crate) const PLUGIN: &str = env!("CARGO_BIN_EXE_kubectl-cocalc");

/// What one run of a process cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Wall time.
    pub wall: Duration,
    /// User and system time of the process, in seconds; resolution 10 ms.
    pub cpu_s: f64,
    /// Peak resident memory in MiB, 0 if it was over before it could be read.
    pub peak_mib: f64,
}

/// Runs a command to its end, its output thrown away, and says what it cost. Its memory is looked at only where it
/// takes so long that looking costs nothing.
pub(crate) fn run(command: &mut Command) -> Cost {
    let cost = watched(command, Duration::from_millis(200));
    assert!(cost.1.success(), "{command:?}: {}", cost.1);
    cost.0
}

/// [`run`] with an eye on the memory from the start; the exit code may say that there is something to tell.
pub(crate) fn watch(command: &mut Command) -> Cost {
    let cost = watched(command, Duration::ZERO);
    assert!(matches!(cost.1.code(), Some(0 | 1)), "{command:?}: {}", cost.1);
    cost.0
}

fn watched(command: &mut Command, from: Duration) -> (Cost, ExitStatus) {
    let shown = format!("{command:?}");
    let before = children_cpu_s();
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    let status = format!("/proc/{}/status", child.id());
    let mut peak_mib = 0.0_f64;
    let exit = loop {
        if let Some(exit) = child.try_wait().expect("the process can be waited for") {
            break exit;
        }
        if start.elapsed() >= from {
            peak_mib = peak_mib.max(peak_of(&status).unwrap_or(0.0));
            thread::sleep(Duration::from_millis(1));
        } else {
            thread::sleep(Duration::from_micros(100));
        }
    };
    let cost = Cost {
        wall: start.elapsed(),
        cpu_s: children_cpu_s() - before,
        peak_mib,
    };
    (cost, exit)
}

fn peak_of(status: &str) -> Option<f64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}

/// CPU time of all children that have ended: fields 16 and 17 of /proc/self/stat, in ticks of 10 ms.
fn children_cpu_s() -> f64 {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else {
        return 0.0;
    };
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let field = |i: usize| {
        after_name
            .split_whitespace()
            .nth(i)
            .and_then(|f| f.parse::<f64>().ok())
    };
    (field(13).unwrap_or(0.0) + field(14).unwrap_or(0.0)) / 100.0
}

/// The middle of the values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A file of the project.
pub(crate) fn project_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The node peer's folder with fast-json-patch in it.
pub(crate) fn peers() -> PathBuf {
    let peers = project_file("tests/peers");
    assert!(
        peers.join("node_modules/fast-json-patch").exists(),
        "fast-json-patch is not installed: run `npm ci` in tests/peers, or tests/run"
    );
    peers
}

/// The kubectl that is measured: env KUBECTL, else the one that tests/run built, else the one on PATH.
pub(crate) fn kubectl() -> PathBuf {
    let built = project_file("tests/testapi/bin/kubectl");
    std::env::var_os("KUBECTL").map(PathBuf::from).unwrap_or_else(|| {
        if built.exists() {
            built
        } else {
            PathBuf::from("kubectl")
        }
    })
}

/// A number from the environment.
pub(crate) fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is no number"))
    })
}
