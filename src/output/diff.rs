//! The unified diff of two documents as YAML, with who wrote each change behind the second `@@` of a hunk, where
//! `patch` takes no notice of it.

use std::{fmt::Write as _, time::Duration};

use anstyle::{AnsiColor, Style};
use indexmap::IndexSet;
use serde_json::Value;
use similar::{Algorithm, ChangeTag, TextDiff};

use super::{
    escape,
    yaml::{self, Line, PathPart},
};

/// Lines of context around a change, as `diff -u` has.
const CONTEXT: usize = 3;
/// How long the search for the smallest difference may take; then a larger one must do.
const PATIENCE: Duration = Duration::from_millis(500);

/// Which of the two documents a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The document before: the line is gone.
    Before,
    /// The document after: the line is new.
    After,
}

/// The two documents and what to call them.
pub struct Documents<'a> {
    /// The document before.
    pub before: &'a Value,
    /// What stands behind `---`.
    pub before_label: &'a str,
    /// The document after.
    pub after: &'a Value,
    /// What stands behind `+++`.
    pub after_label: &'a str,
}

/// The unified diff; empty if there is no difference.
///
/// `writers` names who is behind a changed line, as far as that is known.
pub fn unified(
    documents: &Documents<'_>,
    writers: &dyn Fn(Side, &[PathPart<'_>]) -> Vec<String>,
    color: bool,
) -> String {
    let (old, new) = (yaml::lines(documents.before), yaml::lines(documents.after));
    let texts = |lines: &[Line<'_>]| -> Vec<String> { lines.iter().map(|line| line.text.clone()).collect() };
    let (old_texts, new_texts) = (texts(&old), texts(&new));
    let old_slices: Vec<&str> = old_texts.iter().map(String::as_str).collect();
    let new_slices: Vec<&str> = new_texts.iter().map(String::as_str).collect();
    let diff = TextDiff::configure()
        .algorithm(Algorithm::Patience)
        .timeout(PATIENCE)
        .diff_slices(&old_slices, &new_slices);
    let groups = diff.grouped_ops(CONTEXT);
    if groups.is_empty() {
        return String::new();
    }
    let mut text = String::new();
    let paint = Paint { color };
    paint.line(
        &mut text,
        bold(),
        &format!("--- {}", escape::line(documents.before_label)),
    );
    paint.line(
        &mut text,
        bold(),
        &format!("+++ {}", escape::line(documents.after_label)),
    );
    for group in groups {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        let old_range = range(first.old_range().start, last.old_range().end);
        let new_range = range(first.new_range().start, last.new_range().end);
        let changes = || group.iter().flat_map(|op| diff.iter_changes(op));
        let place = |change: &similar::Change<&str>| match change.tag() {
            ChangeTag::Delete => Some((Side::Before, documents.before, old.get(change.old_index()?)?)),
            ChangeTag::Insert => Some((Side::After, documents.after, new.get(change.new_index()?)?)),
            ChangeTag::Equal => None,
        };
        let mut heading = changes()
            .find_map(|change| place(&change))
            .map_or_else(String::new, |(_, root, line)| heading(root, line));
        let names: IndexSet<String> = changes()
            .filter_map(|change| place(&change))
            .flat_map(|(side, _, line)| writers(side, &line.path))
            .collect();
        for (at, name) in names.iter().enumerate() {
            let before = if at == 0 { " <- " } else { ", " };
            let _ = write!(heading, "{before}{name}");
        }
        let header = format!(
            "@@ -{old_range} +{new_range} @@ {}",
            escape::line(heading.trim_start())
        );
        paint.line(&mut text, cyan(), header.trim_end());
        for change in changes() {
            let (sign, style) = match change.tag() {
                ChangeTag::Delete => ('-', red()),
                ChangeTag::Insert => ('+', green()),
                ChangeTag::Equal => (' ', Style::new()),
            };
            paint.line(&mut text, style, &format!("{sign}{}", change.value()));
        }
    }
    text
}

fn range(start: usize, end: usize) -> String {
    match end - start {
        1 => format!("{}", start + 1),
        0 => format!("{start},0"),
        length => format!("{},{length}", start + 1),
    }
}

/// Where a change stands, for readers: `metadata.labels`, `containers[0]=project volumeMounts`.
fn heading(root: &Value, line: &Line<'_>) -> String {
    let mut path = &line.path[..line.path.len().saturating_sub(1)];
    // The line starts an element of a list: what changed is the list.
    if line.text.trim_start().starts_with("- ") && matches!(path.last(), Some(PathPart::Index(_))) {
        path = &path[..path.len() - 1];
    }
    if let [PathPart::Name("spec"), rest @ ..] = path
        && !rest.is_empty()
    {
        path = rest;
    }
    let mut text = String::new();
    let mut value = if line.path.first() == path.first() {
        Some(root)
    } else {
        root.get("spec")
    };
    for part in path {
        match part {
            PathPart::Name(name) => {
                value = value.and_then(|value| value.get(name));
                if !text.is_empty() {
                    text.push(if text.contains('=') { ' ' } else { '.' });
                }
                text.push_str(name);
            }
            PathPart::Index(index) => {
                value = value.and_then(|value| value.get(index));
                let _ = write!(text, "[{index}]");
                if let Some(name) = value.and_then(|value| value.get("name")).and_then(Value::as_str) {
                    let _ = write!(text, "={name}");
                }
            }
        }
    }
    text
}

struct Paint {
    color: bool,
}

impl Paint {
    fn line(&self, text: &mut String, style: Style, line: &str) {
        if self.color && style != Style::new() {
            let _ = writeln!(text, "{style}{line}{style:#}");
        } else {
            let _ = writeln!(text, "{line}");
        }
    }
}

fn bold() -> Style {
    Style::new().bold()
}

fn cyan() -> Style {
    AnsiColor::Cyan.on_default()
}

fn red() -> Style {
    AnsiColor::Red.on_default()
}

fn green() -> Style {
    AnsiColor::Green.on_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn diff(before: &Value, after: &Value) -> String {
        let documents = Documents {
            before,
            before_label: "a",
            after,
            after_label: "b",
        };
        unified(
            &documents,
            &|side, path| match side {
                Side::After if !path.is_empty() => vec!["op 1".to_owned()],
                _ => Vec::new(),
            },
            false,
        )
    }

    #[test]
    fn equal_documents_have_no_diff() {
        assert_eq!(diff(&json!({"a": [1]}), &json!({"a": [1]})), "");
    }

    #[test]
    fn a_hunk_says_where_it_is_and_who_wrote_it() {
        let before = json!({"spec": {"containers": [{"name": "project", "volumeMounts": [{"mountPath": "/tmp", "name": "tmp"}]}]}});
        let mut after = before.clone();
        after["spec"]["containers"][0]["volumeMounts"]
            .as_array_mut()
            .unwrap()
            .push(json!({"mountPath": "/data/lab", "name": "lab"}));
        assert_eq!(
            diff(&before, &after),
            "\
--- a
+++ b
@@ -4,3 +4,5 @@ containers[0]=project volumeMounts <- op 1
     volumeMounts:
     - mountPath: /tmp
       name: tmp
+    - mountPath: /data/lab
+      name: lab
"
        );
    }

    #[test]
    fn the_other_elements_of_a_list_do_not_change_when_one_comes_first() {
        let list = |names: &[&str]| json!({"l": names.iter().map(|n| json!({"name": n, "x": 1})).collect::<Vec<_>>()});
        let text = diff(&list(&["b", "c", "d"]), &list(&["a", "b", "c", "d"]));
        assert_eq!(text.lines().filter(|l| l.starts_with('+')).count(), 3, "{text}");
        assert_eq!(text.lines().filter(|l| l.starts_with('-')).count(), 1, "{text}");
    }

    #[test]
    fn an_emptied_document_counts_its_lines_from_zero() {
        assert!(diff(&json!({"a": 1}), &json!({})).contains("@@ -1 +1 @@"));
    }
}
