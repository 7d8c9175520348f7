//! Many projects: how many were accepted, and each cause of refusals once.

use std::{collections::HashMap, fmt};

use crate::output::escape;

use super::text::{Cause, Line, LineKind};

/// How many of a cause's projects, and of the server's sentences about it, are named.
const NAMED: usize = 3;
/// How wide a line is.
const WIDTH: usize = 80;

/// What became of many projects. It is printed as one line.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many are accepted.
    pub accepted: usize,
    /// Of these: those that CoCalc would lose.
    pub lost: usize,
    /// Of these: those that have a field which the server drops.
    pub dropped: usize,
    /// Of these: those that may not run.
    pub not_running: usize,
    /// How many are refused.
    pub refused: usize,
    /// How many CoCalc cannot make.
    pub not_made: usize,
    /// Of how many there is no answer.
    pub not_asked: usize,
    causes: Vec<Shared>,
    index: HashMap<(Cause, String), usize>,
}

/// A cause that several projects share.
#[derive(Debug)]
struct Shared {
    head: String,
    words: Vec<String>,
    count: usize,
    first: Vec<String>,
    /// The last project that was counted.
    last: String,
}

impl Summary {
    /// Takes the causes of a project's refusal, each with its head and the server's words. Gives the heads, each once.
    pub fn add<'c>(&mut self, project_id: &str, causes: &'c [(Cause, String, String)]) -> Vec<&'c str> {
        let mut heads: Vec<&str> = Vec::new();
        for (cause, head, words) in causes {
            if !heads.contains(&head.as_str()) {
                heads.push(head);
            }
            let next = self.causes.len();
            let at = *self.index.entry((cause.clone(), head.clone())).or_insert(next);
            if at == next {
                self.causes.push(Shared {
                    head: head.clone(),
                    words: Vec::new(),
                    count: 0,
                    first: Vec::new(),
                    last: String::new(),
                });
            }
            let Some(shared) = self.causes.get_mut(at) else {
                continue;
            };
            if shared.words.len() < NAMED && !shared.words.contains(words) {
                shared.words.push(words.clone());
            }
            if shared.last != project_id {
                shared.count += 1;
                project_id.clone_into(&mut shared.last);
                if shared.first.len() < NAMED {
                    shared.first.push(project_id.to_owned());
                }
            }
        }
        heads
    }

    /// Each cause with the server's words and its projects.
    pub fn causes(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut add = |kind, text| lines.push(Line { text, kind });
        for shared in &self.causes {
            add(LineKind::Cause, shared.head.clone());
            for words in &shared.words {
                add(LineKind::Plain, escape::fold(&format!("  {words}"), WIDTH, 4));
            }
            let more = if shared.count > shared.first.len() {
                ", …"
            } else {
                ""
            };
            let s = if shared.count == 1 { "" } else { "s" };
            let first = shared.first.join(", ");
            add(
                LineKind::Plain,
                format!("  {} project{s}: {first}{more}", shared.count),
            );
        }
        lines
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            accepted,
            refused,
            not_made,
            not_asked,
            ..
        } = self;
        let all = accepted + refused + not_made + not_asked;
        let s = if all == 1 { "" } else { "s" };
        write!(
            f,
            "{all} project{s}: {accepted} accepted, {refused} refused, {not_made} CoCalc cannot make"
        )?;
        if *not_asked > 0 {
            write!(f, ", {not_asked} not asked")?;
        }
        let but = [
            (self.lost, "CoCalc would lose"),
            (self.dropped, "with fields that the server drops"),
            (self.not_running, "may not run"),
        ];
        for (at, (count, what)) in but.iter().filter(|(count, _)| *count > 0).enumerate() {
            let lead = if at == 0 { "; of the accepted" } else { "," };
            write!(f, "{lead} {count} {what}")?;
        }
        Ok(())
    }
}
