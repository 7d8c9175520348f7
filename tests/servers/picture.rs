//! README.md's picture is what a terminal shows of a real run. `PICTURE=overwrite cargo test --test servers picture` draws it
//! anew.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::{path::Path, process::Command};

use crate::support::{LAB, PLUGIN, lab::Lab};

#[test]
fn the_picture_shows_what_the_command_prints() {
    let lab = Lab::shared();
    let run = Command::new(PLUGIN)
        .args(["dry-run", LAB, "--color", "always"])
        .envs(lab.environment())
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stdout.is_empty());
    let screen = format!(
        "$ kubectl cocalc dry-run {LAB}\n{}",
        String::from_utf8(run.stderr).unwrap()
    );
    let svg = anstyle_svg::Term::new().render_svg(&folded(&screen, 96));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/picture/dry-run.svg");
    if std::env::var_os("PICTURE").is_some_and(|value| value == "overwrite") {
        std::fs::write(&file, &svg).unwrap();
    }
    let drawn = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        drawn == svg,
        "{} is not what the command prints; PICTURE=overwrite draws it anew",
        file.display()
    );
}

/// As a terminal breaks lines that are too long for it.
fn folded(text: &str, columns: usize) -> String {
    let mut folded = String::new();
    for line in text.lines() {
        // Lines with colours are short.
        if line.contains('\u{1b}') {
            folded.push_str(line);
        } else {
            for (i, c) in line.chars().enumerate() {
                if i > 0 && i % columns == 0 {
                    folded.push('\n');
                }
                folded.push(c);
            }
        }
        folded.push('\n');
    }
    folded
}
