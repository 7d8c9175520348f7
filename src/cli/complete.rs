//! `__complete`: what can be typed next, in the form that kubectl asks its plugins for.
//!
//! kubectl runs the executable `kubectl_complete-cocalc` with the words after `kubectl cocalc`, the last of which is
//! not finished and may be empty. One candidate a line is answered, its description behind a tab, and last `:N`,
//! cobra's directive to the shell (kubectl: `pkg/cmd/plugin/plugin_completion.go`). `completion kubectl` prints that
//! executable. Subcommands and flags come from clap's own definition of the command line, values from
//! [`super::candidates`].
//!
//! A person waits with a finger on the TAB key: the answer comes within [`PATIENCE`], and whatever goes wrong there is
//! an answer without candidates, never a message.

use std::{ffi::OsString, sync::mpsc, time::Duration};

use clap::{Arg, ArgAction, Command, ValueHint};

use super::{
    CommandError, Exit,
    candidates::{self, Candidate},
};
use crate::output::{escape, ui::Ui};

/// The word that asks for candidates. It is no subcommand of clap's: what follows it are words that somebody is still
/// typing, and not flags of this command.
pub(super) const WORD: &str = "__complete";

/// After this time there are no candidates.
const PATIENCE: Duration = Duration::from_millis(900);

/// More candidates than these help nobody; the next character makes them fewer.
const MOST: usize = 1000;

/// What the shell is to do beside showing the candidates: cobra's `ShellCompDirective`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Directive {
    /// Offer files if there are no candidates.
    Files = 0,
    /// Offer no files.
    NoFiles = 4,
    /// Offer no files, and put no blank behind the candidate.
    NoFilesNoSpace = 6,
}

/// Prints the candidates for the last of `words`.
pub(super) fn complete(ui: &Ui, mut root: Command, words: &[OsString]) -> Result<Exit, CommandError> {
    let words = words.to_vec();
    let (sender, receiver) = mpsc::channel();
    // Left behind when it takes too long; it ends with the process.
    std::thread::spawn(move || {
        root.build();
        let _ = sender.send(answer(&root, &words));
    });
    let (found, directive) = receiver
        .recv_timeout(PATIENCE)
        .unwrap_or((Vec::new(), Directive::NoFiles));
    let mut out = ui.stdout();
    for candidate in found.iter().take(MOST) {
        out.text(&candidate.value)?;
        if !candidate.about.is_empty() {
            out.text("\t")?;
            out.text(&escape::line(&candidate.about))?;
        }
        out.text("\n")?;
    }
    out.text(&format!(":{}\n", directive as u8))?;
    out.finish()?;
    Ok(Exit::Done)
}

fn answer(root: &Command, words: &[OsString]) -> (Vec<Candidate>, Directive) {
    let Some((last, before)) = words.split_last() else {
        return (Vec::new(), Directive::NoFiles);
    };
    // No candidate begins with what is no UTF-8; a file may.
    let Some(last) = last.to_str() else {
        return (Vec::new(), Directive::Files);
    };
    let cursor = Cursor::after(root, before);
    let (candidates, directive) = match cursor.next(last) {
        Next::Flags => (cursor.flags(last), Directive::NoFiles),
        Next::Subcommands => (cursor.subcommands(), Directive::NoFiles),
        Next::Nothing => (Vec::new(), Directive::NoFiles),
        Next::Value(arg) => {
            let last = value_of(last);
            let (candidates, directive) = values(root, arg, last, before);
            let given = cursor.given.iter().filter(|(id, _)| *id == arg.get_id().as_str());
            let given: Vec<&str> = given.map(|(_, value)| value.as_str()).collect();
            let candidates = candidates
                .into_iter()
                .filter(|c| c.value.starts_with(last) && !given.contains(&c.value.as_str()))
                .collect();
            return (candidates, directive);
        }
    };
    let candidates = candidates.into_iter().filter(|c| c.value.starts_with(last));
    (candidates.collect(), directive)
}

/// The part of a word that is a flag's value: kubectl's scripts for the shells put `--flag=` before it.
fn value_of(word: &str) -> &str {
    match word.split_once('=') {
        Some((flag, value)) if flag.starts_with('-') => value,
        _ => word,
    }
}

fn values(root: &Command, arg: &Arg, word: &str, before: &[OsString]) -> (Vec<Candidate>, Directive) {
    let words = arg.get_possible_values();
    if !words.is_empty() {
        let shown = words.iter().filter(|value| !value.is_hide_set());
        let candidates = shown.map(|value| Candidate {
            value: value.get_name().to_owned(),
            about: value.get_help().map(ToString::to_string).unwrap_or_default(),
        });
        return (candidates.collect(), Directive::NoFiles);
    }
    let live = |what| (candidates::live(root, before, what, word), Directive::NoFiles);
    let name = arg
        .get_value_names()
        .and_then(<[_]>::first)
        .map(clap::builder::Str::as_str);
    match (arg.get_long(), name) {
        (Some("context"), _) => live(candidates::What::Contexts),
        (Some("cluster"), _) => live(candidates::What::Clusters),
        (Some("user"), _) => live(candidates::What::Users),
        (Some("namespace"), _) => live(candidates::What::Namespaces),
        (Some("set"), _) => (candidates::placeholders(), Directive::NoFilesNoSpace),
        (None, Some("PROJECT")) => live(candidates::What::Projects),
        (_, Some("ID")) => live(candidates::What::Licenses),
        _ => match arg.get_value_hint() {
            ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath => (Vec::new(), Directive::Files),
            _ => (Vec::new(), Directive::NoFiles),
        },
    }
}

/// Where the words before the last one lead.
struct Cursor<'a> {
    command: &'a Command,
    /// A flag that still waits for its value.
    pending: Option<&'a Arg>,
    /// Values by their argument's id; a flag without value has an empty one.
    given: Vec<(&'a str, String)>,
    positionals: usize,
    /// Whether `--` was typed.
    only_positionals: bool,
}

enum Next<'a> {
    Flags,
    Subcommands,
    Value(&'a Arg),
    Nothing,
}

impl<'a> Cursor<'a> {
    fn after(root: &'a Command, words: &[OsString]) -> Self {
        let mut cursor = Self {
            command: root,
            pending: None,
            given: Vec::new(),
            positionals: 0,
            only_positionals: false,
        };
        for word in words {
            cursor.take(&word.to_string_lossy());
        }
        cursor
    }

    fn take(&mut self, word: &str) {
        if let Some(arg) = self.pending.take() {
            self.given.push((arg.get_id().as_str(), word.to_owned()));
        } else if word == "--" && !self.only_positionals {
            self.only_positionals = true;
        } else if self.is_flag(word) {
            self.take_flags(word);
        } else if let Some(command) = self.subcommand(word) {
            self.command = command;
        } else {
            if let Some(arg) = self.positional() {
                self.given.push((arg.get_id().as_str(), word.to_owned()));
            }
            self.positionals += 1;
        }
    }

    fn take_flags(&mut self, word: &str) {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            self.take_flag(self.long(name), value);
            return;
        }
        // `-abVALUE`: a and b without value, or the rest is the value.
        let mut rest = word.trim_start_matches('-').chars();
        while let Some(short) = rest.next() {
            let arg = self.short(short);
            if arg.is_some_and(takes_value) {
                let value = rest.as_str();
                let value = value.strip_prefix('=').unwrap_or(value);
                self.take_flag(arg, (!value.is_empty()).then_some(value));
                return;
            }
            self.take_flag(arg, None);
        }
    }

    fn take_flag(&mut self, arg: Option<&'a Arg>, value: Option<&str>) {
        let Some(arg) = arg else { return };
        // `--unused[=90d]`: such a value never stands in a word of its own.
        let needs_value = takes_value(arg) && arg.get_num_args().is_none_or(|count| count.min_values() > 0);
        if needs_value && value.is_none() {
            self.pending = Some(arg);
        } else {
            self.given
                .push((arg.get_id().as_str(), value.unwrap_or_default().to_owned()));
        }
    }

    fn is_flag(&self, word: &str) -> bool {
        !self.only_positionals && word.len() > 1 && word.starts_with('-')
    }

    fn long(&self, name: &str) -> Option<&'a Arg> {
        let names = |arg: &&Arg| {
            arg.get_long_and_visible_aliases()
                .is_some_and(|longs| longs.contains(&name))
        };
        self.command.get_arguments().find(names)
    }

    fn short(&self, name: char) -> Option<&'a Arg> {
        let names = |arg: &&Arg| {
            arg.get_short_and_visible_aliases()
                .is_some_and(|shorts| shorts.contains(&name))
        };
        self.command.get_arguments().find(names)
    }

    fn subcommand(&self, word: &str) -> Option<&'a Command> {
        if self.positionals > 0 || self.only_positionals {
            return None;
        }
        self.command.find_subcommand(word)
    }

    /// The argument that the next word without a dash belongs to.
    fn positional(&self) -> Option<&'a Arg> {
        let at = self.command.get_positionals().nth(self.positionals);
        let last = || self.command.get_positionals().last();
        at.or_else(|| last().filter(|arg| matches!(arg.get_action(), ArgAction::Append)))
    }

    fn next(&self, last: &str) -> Next<'a> {
        if let Some(arg) = self.pending {
            return Next::Value(arg);
        }
        if !self.only_positionals && last.starts_with('-') {
            return match last.split_once('=') {
                None => Next::Flags,
                Some((flag, _)) => {
                    let arg = match flag.strip_prefix("--") {
                        Some(long) => self.long(long),
                        None => flag.chars().nth(1).and_then(|short| self.short(short)),
                    };
                    arg.filter(|arg| takes_value(arg))
                        .map_or(Next::Nothing, Next::Value)
                }
            };
        }
        if self.positionals == 0 && !self.only_positionals && self.command.has_subcommands() {
            return Next::Subcommands;
        }
        self.positional().map_or(Next::Nothing, Next::Value)
    }

    fn subcommands(&self) -> Vec<Candidate> {
        let shown = self
            .command
            .get_subcommands()
            .filter(|command| !command.is_hide_set());
        shown
            .map(|command| Candidate {
                value: command.get_name().to_owned(),
                about: command.get_about().map(ToString::to_string).unwrap_or_default(),
            })
            .collect()
    }

    /// The flags that can still be given: not those that were given already or exclude one of these.
    fn flags(&self, last: &str) -> Vec<Candidate> {
        let given = |arg: &Arg| self.given.iter().any(|(id, _)| *id == arg.get_id().as_str());
        let excluded: Vec<&str> = self
            .command
            .get_arguments()
            .filter(|arg| given(arg))
            .flat_map(|arg| self.command.get_arg_conflicts_with(arg))
            .map(|arg| arg.get_id().as_str())
            .collect();
        let open = |arg: &&Arg| {
            let again = matches!(arg.get_action(), ArgAction::Append | ArgAction::Count);
            let conflicts = self.command.get_arg_conflicts_with(arg);
            !arg.is_hide_set()
                && (again || !given(arg))
                && !excluded.contains(&arg.get_id().as_str())
                && !conflicts.into_iter().any(given)
        };
        let mut flags = Vec::new();
        for arg in self.command.get_arguments().filter(open) {
            let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
            // Short names only where nothing longer was begun.
            let short = arg
                .get_short()
                .filter(|_| last == "-")
                .map(|short| format!("-{short}"));
            let long = arg.get_long().map(|long| format!("--{long}"));
            for value in long.into_iter().chain(short) {
                let about = about.clone();
                flags.push(Candidate { value, about });
            }
        }
        flags
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// The candidates for the last word, and the directive.
    fn candidates(words: &[&str]) -> (Vec<String>, Directive) {
        let mut root = super::super::Cli::command();
        root.build();
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let (found, directive) = answer(&root, &words);
        (found.into_iter().map(|c| c.value).collect(), directive)
    }

    fn has(words: &[&str], value: &str) -> bool {
        candidates(words).0.iter().any(|found| found == value)
    }

    #[test]
    fn flags_that_were_given_or_are_excluded_are_not_offered_again() {
        assert!(has(&["render", "--"], "--explain"));
        assert!(!has(&["render", "--explain", "--"], "--explain"));
        assert!(has(&["render", "--set", "PROJECT_TAG=v2", "--"], "--set"));
        assert!(has(&["render", "--"], "--patch-file"));
        assert!(!has(&["render", "-p", "[]", "--"], "--patch-file"));
        assert!(!has(&["render", "--patch-file", "p.json", "--"], "--patch"));
        assert!(!has(&["render", "--all", "--"], "--with-license"));
    }

    #[test]
    fn a_flag_s_value_is_found_in_each_way_of_writing_it() {
        for words in [
            &["render", "-o", "k"][..],
            &["render", "--output", "k"],
            &["render", "--output=k"],
            &["render", "-o=k"],
            &["render", "--example", "--explain", "-o", "k"],
            &["--color", "never", "render", "-o", "k"],
        ] {
            assert_eq!(
                candidates(words),
                (vec!["kyaml".to_owned()], Directive::NoFiles),
                "{words:?}"
            );
        }
    }

    #[test]
    fn where_a_file_is_wanted_the_shell_offers_files() {
        for words in [
            &["render", "-f", ""][..],
            &["render", "--filename=s"],
            &["render", "--patch-file", "x"],
            &["patch-diff", "--before", ""],
        ] {
            assert_eq!(candidates(words), (vec![], Directive::Files), "{words:?}");
        }
    }

    #[test]
    fn a_value_that_nobody_can_guess_has_no_candidates_and_no_files() {
        for words in [
            &["render", "-p", ""][..],
            &["render", "--at", ""],
            &["version", ""],
        ] {
            assert_eq!(candidates(words), (vec![], Directive::NoFiles), "{words:?}");
        }
    }

    #[test]
    fn behind_two_dashes_there_are_no_flags_and_no_subcommands() {
        assert_eq!(candidates(&["render", "--", "--"]).0, Vec::<String>::new());
        assert_eq!(candidates(&["--", "ren"]).0, Vec::<String>::new());
    }

    #[test]
    fn placeholders_are_completed_up_to_their_value() {
        let (found, directive) = candidates(&["render", "--set", "PROJECT_"]);
        assert_eq!(found, ["PROJECT_IMAGE=", "PROJECT_TAG="]);
        assert_eq!(directive, Directive::NoFilesNoSpace);
    }

    #[test]
    fn projects_and_licenses_of_the_typed_sources_are_offered_with_their_titles() {
        let lab = "11111111-1111-4111-8111-111111111111";
        assert_eq!(candidates(&["render", "--example", "1"]).0, [lab]);
        assert_eq!(
            candidates(&["render", "--example", "project-"]).0,
            [format!("project-{lab}")]
        );
        assert_eq!(
            candidates(&["render", "--example", "pod/p"]).0,
            [format!("pod/project-{lab}")]
        );
        // A project is named once.
        assert_eq!(
            candidates(&["render", "--example", lab, "1"]).0,
            Vec::<String>::new()
        );
        let license = "f3d76abf-38a5-4e4e-884d-2e70f1afddb9";
        for flag in [
            "--add-license",
            "--drop-license",
            "--for-license",
            "--with-license",
        ] {
            assert_eq!(candidates(&["render", "--example", flag, "f3"]).0, [license]);
            assert_eq!(
                candidates(&["quota", "--example", &format!("{flag}=f3")]).0,
                [license]
            );
        }
    }

    #[test]
    fn no_line_however_odd_makes_it_panic() {
        let words = [
            "",
            "-",
            "--",
            "---",
            "-=",
            "--=",
            "=",
            "-f",
            "-fx",
            "-of",
            "-xyz",
            "--no-such",
            "--no-such=",
            "render",
            "debug",
            "licenses",
            "-n",
            "--context",
            "help",
            "patch-diff",
            "__complete",
            "--help",
            "-h",
            "--version",
            "--color",
            "ä",
            "-ä",
            "\u{0}",
        ];
        for first in words {
            for second in words {
                for third in ["", "-", "--a", "--color=", "1"] {
                    candidates(&["--kubeconfig=/no-such-file", first, second, third]);
                }
            }
        }
        candidates(&[]);
    }
}
