//! krew-manifest.yaml, the release archive, and the real krew that installs one by the other.
//!
//! The rules are krew's own (`internal/index/validation`, `cmd/validate-krew-manifest`) and those that its index asks
//! for beyond them. They are written down here once more since krew's reader passes over what it does not know.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failure here is a failed test"
)]

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::support::{PLUGIN, Run, Sandbox};
use serde_yaml::{Mapping, Value};

const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");
/// Of the empty text: what stands in the manifest until there is a release.
const NO_RELEASE: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Every platform that krew knows, with windows/arm64 and linux/ppc64le of its newer versions.
const KNOWN: [(&str, &str); 11] = [
    ("windows", "386"),
    ("windows", "amd64"),
    ("windows", "arm64"),
    ("linux", "386"),
    ("linux", "amd64"),
    ("linux", "arm"),
    ("linux", "arm64"),
    ("linux", "ppc64le"),
    ("darwin", "386"),
    ("darwin", "amd64"),
    ("darwin", "arm64"),
];
const USUAL: [&str; 5] = [
    "darwin-amd64",
    "darwin-arm64",
    "linux-amd64",
    "linux-arm64",
    "windows-amd64",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Runs a script of tests/release; it must succeed.
fn release(script: &str, args: &[&str]) -> String {
    let output = Command::new(root().join("tests/release").join(script))
        .args(args)
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The keys of a mapping that are not among `known`, as faults.
fn unknown(place: &str, mapping: &Mapping, known: &[&str], faults: &mut Vec<String>) {
    for key in mapping.keys() {
        if !key.as_str().is_some_and(|key| known.contains(&key)) {
            faults.push(format!("{place} has an unknown key {key:?}"));
        }
    }
}

/// What is wrong with a manifest whose file has this name.
fn faults(file: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let manifest: Value = match serde_yaml::from_str(text) {
        Ok(manifest) => manifest,
        Err(error) => return vec![format!("no YAML: {error}")],
    };
    let empty = Mapping::new();
    let mapping = |value: &Value| value.as_mapping().cloned().unwrap_or_else(|| empty.clone());
    let text_of = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    unknown(
        "the manifest",
        &mapping(&manifest),
        &["apiVersion", "kind", "metadata", "spec"],
        &mut faults,
    );
    unknown(
        "metadata",
        &mapping(&manifest["metadata"]),
        &["name"],
        &mut faults,
    );
    let spec = &manifest["spec"];
    let keys = [
        "version",
        "homepage",
        "shortDescription",
        "description",
        "caveats",
        "platforms",
    ];
    unknown("spec", &mapping(spec), &keys, &mut faults);
    let mut expect = |holds: bool, fault: String| {
        if !holds {
            faults.push(fault);
        }
    };
    expect(
        text_of(&manifest, "apiVersion") == "krew.googlecontainertools.github.com/v1alpha2"
            && text_of(&manifest, "kind") == "Plugin",
        "apiVersion or kind is not krew's".to_owned(),
    );
    let name = text_of(&manifest["metadata"], "name");
    expect(
        file.strip_suffix(".yaml") == Some(&name),
        format!("the file {file} is not named by the plugin, {name}.yaml"),
    );
    expect(
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
        format!("{name:?} is no lower-case name"),
    );
    expect(
        text_of(spec, "version") == VERSION,
        "version is not Cargo.toml's".to_owned(),
    );
    expect(
        text_of(spec, "homepage") == REPOSITORY,
        "homepage is not package.repository".to_owned(),
    );
    let short = text_of(spec, "shortDescription");
    expect(
        (1..=60).contains(&short.chars().count()) && !short.contains('\n') && !short.ends_with('.'),
        "shortDescription is no short line without a full stop".to_owned(),
    );
    for key in ["description", "caveats"] {
        let text = text_of(spec, key);
        expect(
            !text.is_empty() && text.lines().all(|line| line.chars().count() <= 80),
            format!("{key} is missing or has lines of more than 80 columns"),
        );
    }
    let platforms = spec["platforms"].as_sequence().cloned().unwrap_or_default();
    expect(!platforms.is_empty(), "there are no platforms".to_owned());
    let mut matched = BTreeSet::new();
    for (i, platform) in platforms.iter().enumerate() {
        let place = format!("platform {i}");
        let mut own = Vec::new();
        unknown(
            &place,
            &mapping(platform),
            &["selector", "uri", "sha256", "bin"],
            &mut own,
        );
        unknown(
            &place,
            &mapping(&platform["selector"]),
            &["matchLabels"],
            &mut own,
        );
        let labels = mapping(&platform["selector"]["matchLabels"]);
        unknown(&place, &labels, &["os", "arch"], &mut own);
        let selected: Vec<_> = KNOWN
            .iter()
            .filter(|(os, arch)| {
                let wants = |key: &str, value: &str| {
                    labels.get(key).is_none_or(|label| label.as_str() == Some(value))
                };
                !labels.is_empty() && wants("os", os) && wants("arch", arch)
            })
            .collect();
        let mut expect = |holds: bool, fault: String| {
            if !holds {
                own.push(format!("{place}: {fault}"));
            }
        };
        expect(!selected.is_empty(), "it selects no known platform".to_owned());
        for pair in &selected {
            expect(matched.insert(**pair), format!("{pair:?} is selected twice"));
        }
        if let [(os, arch)] = selected[..] {
            let uri = format!(
                "{REPOSITORY}/releases/download/{VERSION}/kubectl-cocalc-{VERSION}-{os}-{arch}.tar.gz"
            );
            expect(
                text_of(platform, "uri") == uri && uri.starts_with("https://"),
                format!("uri is not {uri}"),
            );
            let bin = if *os == "windows" {
                "kubectl-cocalc.exe"
            } else {
                "kubectl-cocalc"
            };
            expect(text_of(platform, "bin") == bin, format!("bin is not {bin}"));
        }
        let hash = text_of(platform, "sha256");
        let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        expect(
            hash.len() == 64 && hash.chars().all(hexadecimal),
            "sha256 is no hash in lower case".to_owned(),
        );
        expect(
            hash.chars().any(|c| c != '0'),
            "sha256 is a placeholder".to_owned(),
        );
        expect(
            hash != NO_RELEASE || text.starts_with("# For krew. Nothing is released yet"),
            "sha256 is that of no release".to_owned(),
        );
        faults.append(&mut own);
    }
    faults
}

#[test]
fn the_manifest_keeps_every_rule_of_krew_and_its_index() {
    let text = read("krew-manifest.yaml");
    assert_eq!(faults("cocalc.yaml", &text), Vec::<String>::new());
    let manifest: Value = serde_yaml::from_str(&text).unwrap();
    let platforms = manifest["spec"]["platforms"].as_sequence().unwrap().iter();
    let label = |platform: &Value, key: &str| {
        platform["selector"]["matchLabels"][key]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let named: BTreeSet<String> = platforms
        .map(|platform| format!("{}-{}", label(platform, "os"), label(platform, "arch")))
        .collect();
    assert_eq!(named, USUAL.map(str::to_owned).into());
}

#[test]
fn the_manifest_is_what_its_template_gives() {
    let without_hashes = |text: &str| -> String {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.map(|line| match line.split_once("sha256: ") {
            Some((before, _)) => format!("{before}sha256:\n"),
            None => format!("{line}\n"),
        });
        lines.collect()
    };
    let made = release("manifest", &["--unreleased"]);
    let committed = read("krew-manifest.yaml");
    assert_eq!(without_hashes(&committed), without_hashes(&made));
    // Before the first release it is exactly that.
    if committed.contains(NO_RELEASE) {
        assert_eq!(committed, made);
    }
}

#[test]
fn the_version_is_that_of_the_program() {
    Sandbox::new()
        .run(&["version"])
        .code(0)
        .prints(&format!("kubectl-cocalc {VERSION}\n"));
}

/// krew's own check of a manifest.
fn validate(folder: &Path, file: &str, text: &str, args: &[&str], path: &str) -> std::process::Output {
    let manifest = folder.join(file);
    fs::write(&manifest, text).unwrap();
    let program = krew("validate-krew-manifest");
    Command::new(&program)
        .arg("-manifest")
        .arg(manifest)
        .args(args)
        .env("PATH", path)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; `tests/run kubectl` builds it", program.display()))
}

fn krew(name: &str) -> PathBuf {
    root().join("tests/release/krew/bin").join(name)
}

#[test]
fn a_broken_manifest_is_refused_here_and_by_krew() {
    let text = read("krew-manifest.yaml");
    let second = |what: &str, with: &str| text.replacen(what, with, 1);
    // The change, what is said here, and whether krew's own check refuses it too.
    let cases = [
        ("cocalc.yml", text.clone(), "is not named by the plugin", true),
        (
            "krew-manifest.yaml",
            text.clone(),
            "is not named by the plugin",
            true,
        ),
        (
            "cocalc.yaml",
            second("v1alpha2", "v1alpha1"),
            "is not krew's",
            true,
        ),
        (
            "cocalc.yaml",
            second("kind: Plugin", "kind: Plugins"),
            "is not krew's",
            true,
        ),
        (
            "cocalc.yaml",
            second(" version: v", " version: "),
            "version is not",
            true,
        ),
        (
            "cocalc.yaml",
            second(" version: v", " version: v9"),
            "version is not",
            false,
        ),
        (
            "cocalc.yaml",
            second("  homepage:", "  homePage:"),
            "unknown key",
            false,
        ),
        (
            "cocalc.yaml",
            second("  shortDescription: ", "  shortDescription: \"a\\nb\" # "),
            "no short line",
            true,
        ),
        (
            "cocalc.yaml",
            second(
                "  description: |\n",
                "  description: |\n    1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 1234567890 1234567890\n",
            ),
            "80 columns",
            false,
        ),
        (
            "cocalc.yaml",
            second("os: linux", "os: plan9"),
            "selects no known platform",
            true,
        ),
        (
            "cocalc.yaml",
            second("arch: arm64", "arch: amd64"),
            "is selected twice",
            true,
        ),
        (
            "cocalc.yaml",
            second("        os: linux\n        arch: amd64\n", "        os: linux\n"),
            "is selected twice",
            true,
        ),
        (
            "cocalc.yaml",
            second("arch: arm64", "arch: arm64\n        libc: musl"),
            "unknown key",
            true,
        ),
        (
            "cocalc.yaml",
            second("sha256: \"", "sha256: \"A"),
            "no hash",
            true,
        ),
        (
            "cocalc.yaml",
            second("sha256: \"e3", "sha256: \"E3"),
            "no hash",
            true,
        ),
        (
            "cocalc.yaml",
            second("uri: https", "uri: http"),
            "uri is not",
            false,
        ),
        (
            "cocalc.yaml",
            second("-linux-amd64.tar.gz", "-linux-arm64.tar.gz"),
            "uri is not",
            false,
        ),
        (
            "cocalc.yaml",
            second("    bin: kubectl-cocalc\n", ""),
            "bin is not",
            true,
        ),
        (
            "cocalc.yaml",
            second("    bin: kubectl-cocalc.exe\n", "    bin: kubectl-cocalc\n"),
            "bin is not",
            false,
        ),
        (
            "cocalc.yaml",
            second("    bin:", "    files: []\n    bin:"),
            "unknown key",
            true,
        ),
        (
            "cocalc.yaml",
            text.replace("# For krew. Nothing is released yet", "# For krew"),
            "that of no release",
            false,
        ),
        (
            "cocalc.yaml",
            text.replace(NO_RELEASE, &"0".repeat(64)),
            "is a placeholder",
            false,
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (file, broken, fault, krew_refuses) in cases {
        let found = faults(file, &broken);
        assert!(
            found.iter().any(|found| found.contains(fault)),
            "{fault}: {found:?}\n{broken}"
        );
        let output = validate(folder.path(), file, &broken, &["-skip-install"], "");
        assert_eq!(
            output.status.success(),
            !krew_refuses,
            "{fault}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn krew_finds_nothing_wrong_with_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let text = read("krew-manifest.yaml");
    let output = validate(folder.path(), "cocalc.yaml", &text, &["-skip-install"], "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The host's triple, and krew's name of this platform.
fn host() -> (&'static str, String) {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let os = if os == "macos" { "darwin" } else { os };
    let triple = match (os, arch) {
        ("linux", "x86_64") => "x86_64-unknown-linux-gnu",
        ("linux", "aarch64") => "aarch64-unknown-linux-gnu",
        ("darwin", "x86_64") => "x86_64-apple-darwin",
        ("darwin", "aarch64") => "aarch64-apple-darwin",
        other => panic!("the manifest has no platform {other:?}"),
    };
    let arch = if arch == "x86_64" { "amd64" } else { "arm64" };
    (triple, format!("{os}-{arch}"))
}

#[test]
fn the_same_binary_gives_the_same_archive_wherever_and_whenever() {
    // Any program stands for the plugin here: what is asked is how it is packed.
    let sandbox = Sandbox::new()
        .file("a/program", "#!/bin/sh\n")
        .file("b/c/program", "#!/bin/sh\n");
    fs::set_permissions(
        sandbox.path().join("a/program"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    let pack = |program: &str, to: &str| {
        let (program, to) = (sandbox.path().join(program), sandbox.path().join(to));
        let (program, to) = (program.to_str().unwrap(), to.to_str().unwrap());
        let args = ["--binary", program, "--man-by", PLUGIN, "--to", to];
        let made = release(
            "archive",
            &[&args[..], &["--target", "x86_64-pc-windows-gnu"]].concat(),
        );
        let name = format!("kubectl-cocalc-{VERSION}-windows-amd64.tar.gz\n");
        assert!(made.ends_with(&name), "{made}");
        (fs::read(made.trim_end()).unwrap(), made.trim_end().to_owned())
    };
    let ((first, archive), (second, _)) = (pack("a/program", "one"), pack("b/c/program", "two"));
    assert!(first == second);
    // gzip without a name and a time.
    assert_eq!(first[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    let list = Command::new("tar")
        .args(["--list", "--verbose", "--numeric-owner", "--utc", "-zf", &archive])
        .output()
        .unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let mut names = Vec::new();
    for line in list.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [mode, owner, _, "2023-11-14", "22:13", name] = fields[..] else {
            panic!("{line}")
        };
        let expected = match name {
            "kubectl-cocalc.exe" => "-rwxr-xr-x",
            name if name.ends_with('/') => "drwxr-xr-x",
            _ => "-rw-r--r--",
        };
        assert_eq!((mode, owner), (expected, "0/0"), "{line}");
        assert!(!name.starts_with('/') && !name.contains(".."), "{line}");
        names.push(name);
    }
    assert!(names.is_sorted(), "{names:?}");
    for name in [
        "LICENSE",
        "kubectl-cocalc.exe",
        "man/kubectl-cocalc.1",
        "man/kubectl-cocalc-render.1",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
}

/// The archive of the tested binary, packed once.
fn packed() -> &'static Path {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let (target, platform) = host();
        let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("krew");
        let to = to.to_str().unwrap();
        let archive = release("archive", &["--binary", PLUGIN, "--target", target, "--to", to]);
        let name = format!("kubectl-cocalc-{VERSION}-{platform}.tar.gz\n");
        assert!(archive.ends_with(&name), "{archive}");
        archive.trim_end().into()
    })
}

/// A sandbox whose `bin` has the real kubectl and krew, an archive of the tested binary, and its manifest.
struct Krew {
    sandbox: Sandbox,
    archive: String,
    manifest: String,
}

impl Krew {
    fn new() -> Self {
        let sandbox = Sandbox::new().file("archives/.keep", "");
        let archives = sandbox.path().join("archives");
        let packed = packed();
        let archive = archives.join(packed.file_name().unwrap());
        fs::copy(packed, &archive).unwrap();
        let archives = archives.to_str().unwrap();
        let manifest = release("manifest", &[archives, "--partial"]);
        let sandbox = sandbox.file("krew-manifest.yaml", &manifest);
        let bin = sandbox.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(crate::support::kubectl(), bin.join("kubectl")).unwrap();
        symlink(krew("krew"), bin.join("kubectl-krew")).unwrap();
        Self {
            sandbox,
            archive: archive.display().to_string(),
            manifest,
        }
    }

    /// Where kubectl, krew and what krew installs are found; without the tested binary's own folder.
    fn path(&self) -> String {
        let folder = self.sandbox.path().display();
        format!("{folder}/krew/bin:{folder}/bin:/usr/bin:/bin")
    }

    fn kubectl(&self, args: &[&str]) -> Run {
        let mut command = Command::new("env");
        command
            .arg(format!("PATH={}", self.path()))
            .arg(format!("KREW_ROOT={}/krew", self.sandbox.path().display()))
            .args(["KREW_NO_UPGRADE_CHECK=1", "kubectl"])
            .args(args);
        self.sandbox.run_command(command, "")
    }
}

#[test]
fn krew_installs_the_archive_and_kubectl_runs_the_plugin() {
    let krew = Krew::new();
    assert_eq!(faults("cocalc.yaml", &krew.manifest), Vec::<String>::new());
    let manifest = format!("--manifest={}/krew-manifest.yaml", krew.sandbox.path().display());
    let archive = format!("--archive={}", krew.archive);
    krew.kubectl(&["cocalc", "version"])
        .code(1)
        .says("unknown command");
    krew.kubectl(&["cocalc", "version"])
        .code(1)
        .says("unknown command");
    krew.kubectl(&["krew", "install", &manifest, &archive])
        .code(0)
        .says("Installed plugin: cocalc")
        .says("kubectl cocalc render --example --explain");
    // Each command of the caveats.
    krew.kubectl(&["cocalc", "render", "--example"])
        .code(0)
        .prints("kind: Pod\n");
    krew.kubectl(&["cocalc", "render", "--example", "--explain"])
        .code(0)
        .prints("# f3d76abf op 1 of 1: add");
    krew.kubectl(&["cocalc", "completion", "--help"])
        .code(0)
        .prints("Usage: kubectl cocalc completion");
    krew.kubectl(&["cocalc", "version"]).code(0).prints(VERSION);
    let listed = krew.kubectl(&["plugin", "list"]).code(0).silently();
    let plugins: Vec<&str> = listed
        .stdout
        .lines()
        .filter(|line| line.starts_with('/'))
        .collect();
    assert!(
        plugins
            .iter()
            .any(|plugin| plugin.ends_with("/krew/bin/kubectl-cocalc")),
        "{plugins:?}"
    );
}

#[test]
fn krew_refuses_an_archive_that_is_not_the_manifest_s() {
    let krew = Krew::new();
    let mut file = fs::OpenOptions::new().append(true).open(&krew.archive).unwrap();
    file.write_all(b"x").unwrap();
    drop(file);
    let manifest = format!("--manifest={}/krew-manifest.yaml", krew.sandbox.path().display());
    let archive = format!("--archive={}", krew.archive);
    krew.kubectl(&["krew", "install", &manifest, &archive])
        .code(1)
        .says("checksum does not match");
}

#[test]
fn krew_s_own_check_installs_the_archive_and_finds_the_license() {
    let krew = Krew::new();
    let archive = fs::read(&krew.archive).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap()).lines();
            while request.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                archive.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&archive).unwrap();
        }
    });
    let manifest = krew
        .manifest
        .replace(&format!("uri: {REPOSITORY}"), &format!("uri: {url}"));
    assert_ne!(manifest, krew.manifest);
    let output = validate(krew.sandbox.path(), "cocalc.yaml", &manifest, &[], &krew.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("all 1 spec.platforms installed fine"), "{said}");
}

#[test]
fn a_release_without_all_archives_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(root().join("tests/release/manifest"))
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("linux-amd64.tar.gz"), "{said}");
}

#[test]
fn the_release_workflow_builds_each_platform_of_the_manifest_with_pinned_actions() {
    let text = read(".github/workflows/release.yml");
    let workflow: Value = serde_yaml::from_str(&text).unwrap();
    let mut targets = BTreeSet::new();
    let mut actions = 0;
    for (_, job) in workflow["jobs"].as_mapping().unwrap() {
        for step in job["steps"].as_sequence().unwrap() {
            if let Some(action) = step["uses"].as_str() {
                let (_, commit) = action.split_once('@').unwrap();
                assert!(
                    commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit()),
                    "{action}"
                );
                actions += 1;
            }
            let words: Vec<&str> = step["run"]
                .as_str()
                .unwrap_or_default()
                .split_whitespace()
                .collect();
            for pair in words.windows(2).filter(|pair| pair[0] == "--target") {
                targets.insert(pair[1].to_owned());
            }
        }
    }
    assert!(actions > 0);
    // The script itself says which platform a target is.
    let sandbox = Sandbox::new().file("program", "");
    let (program, to) = (sandbox.path().join("program"), sandbox.path().join("to"));
    let (program, to) = (program.to_str().unwrap(), to.to_str().unwrap());
    for target in &targets {
        let args = [
            "--binary", program, "--man-by", PLUGIN, "--to", to, "--target", target,
        ];
        release("archive", &args);
    }
    let made = fs::read_dir(to).unwrap();
    let made: BTreeSet<String> = made
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected = USUAL.map(|platform| format!("kubectl-cocalc-{VERSION}-{platform}.tar.gz"));
    assert_eq!(made, expected.into());
    // With all of them the manifest is complete.
    let manifest = release("manifest", &[to]);
    assert_eq!(faults("cocalc.yaml", &manifest), Vec::<String>::new());
    assert_eq!(manifest.matches("sha256: ").count(), 5);
}
