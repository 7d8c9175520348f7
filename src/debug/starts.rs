//! Which values and errors of a log belong to the same start.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::{Item, Line, Marker, Record, Span, Unreadable, reader::names_an_error};
use crate::{json::Json, snapshot::project_id_of};

/// How many starts wait for their result and for errors at once, and how much text they may have.
const MOST_OPEN: usize = 64;
const MOST_TEXT: usize = 64 << 20;
/// How many errors of one start are kept.
const MOST_ERRORS: usize = 20;

/// A start as the log has it. What is missing was not in the log, or not readable.
#[derive(Clone, Debug)]
pub struct Start {
    /// UUID of the project, lower case; empty if the pod names none.
    pub project_id: String,
    /// When the first of its records was logged.
    pub time: Option<Timestamp>,
    /// Its lines, errors apart.
    pub span: Span,
    /// The pod right before patching.
    pub before: Option<Json>,
    /// The patch set.
    pub patch: Option<Json>,
    /// The result.
    pub after: Option<Json>,
    /// The errors that follow.
    pub errors: Vec<Line>,
    /// How many more errors follow.
    pub more_errors: usize,
    /// Whether bytes that are not UTF-8 were replaced in it.
    pub replaced: bool,
    /// Pod and container, where several logs are in one.
    stream: Option<String>,
    size: usize,
}

/// What a log tells.
#[derive(Clone, Debug)]
pub enum Told {
    /// A start, once nothing more can belong to it.
    Start(Box<Start>),
    /// An error that carries the UUID of a project no start of which is in the log before it.
    Error {
        /// UUID of the project.
        project_id: String,
        /// The line.
        line: Line,
    },
    /// Lines that could not be read.
    Unreadable(Unreadable),
}

/// Puts the items of one log together. Starts come out in the order in which they end.
#[derive(Debug, Default)]
pub struct Collector {
    open: VecDeque<Start>,
    /// A patch set that came before its pod.
    patch: Option<Box<Record>>,
}

impl Collector {
    /// Takes the next item.
    pub fn take(&mut self, item: Item, sink: &mut dyn FnMut(Told)) {
        match item {
            Item::Record(record) => self.record(record, sink),
            Item::Line(line) => self.line(line, sink),
            Item::Unreadable(unreadable) => sink(Told::Unreadable(unreadable)),
        }
    }

    /// Takes the end of the log.
    pub fn finish(self, sink: &mut dyn FnMut(Told)) {
        for start in self.open {
            sink(Told::Start(Box::new(start)));
        }
    }

    fn record(&mut self, record: Box<Record>, sink: &mut dyn FnMut(Told)) {
        match record.marker {
            Marker::Before => {
                let mut start = Start::new(&record);
                // Nothing more belongs to an earlier start of this project.
                if let Some(at) = self.position(|open| open.project_id == start.project_id)
                    && let Some(earlier) = self.open.remove(at)
                {
                    sink(Told::Start(Box::new(earlier)));
                }
                if let Some(patch) = self.patch.take() {
                    start.add(*patch);
                }
                start.add(*record);
                self.push(start, sink);
            }
            Marker::Patch => {
                let waits = |open: &Start| open.patch.is_none() && open.after.is_none();
                let named = self.position(|open| waits(open) && record.uuids.contains(&open.project_id));
                let own = || self.position(|open| waits(open) && open.stream == record.stream);
                match named.or_else(own).or_else(|| self.position(waits)) {
                    Some(at) => self.add(at, *record),
                    None => self.patch = Some(record),
                }
            }
            Marker::After => {
                let id = project_of(&record);
                let waits = |open: &Start| open.after.is_none() && (open.project_id == id || id.is_empty());
                match self.position(waits) {
                    Some(at) => self.add(at, *record),
                    // The log starts behind the pod before, or that was not readable.
                    None => {
                        let mut start = Start::new(&record);
                        if let Some(patch) = self.patch.take() {
                            start.add(*patch);
                        }
                        start.add(*record);
                        self.push(start, sink);
                    }
                }
            }
        }
    }

    /// The newest open start of which this holds.
    fn position(&self, holds: impl Fn(&Start) -> bool) -> Option<usize> {
        self.open.iter().rposition(holds)
    }

    fn add(&mut self, at: usize, record: Record) {
        if let Some(start) = self.open.get_mut(at) {
            start.add(record);
        }
    }

    fn push(&mut self, start: Start, sink: &mut dyn FnMut(Told)) {
        self.open.push_back(start);
        let text = |open: &VecDeque<Start>| open.iter().map(|start| start.size).sum::<usize>();
        while self.open.len() > MOST_OPEN || (self.open.len() > 1 && text(&self.open) > MOST_TEXT) {
            if let Some(oldest) = self.open.pop_front() {
                sink(Told::Start(Box::new(oldest)));
            }
        }
    }

    fn line(&mut self, line: Line, sink: &mut dyn FnMut(Told)) {
        if !names_an_error(&line.text) {
            return;
        }
        let named = self.position(|open| line.uuids.contains(&open.project_id));
        let at = named.or_else(|| {
            // fast-json-patch and the engine name no project; such an error is that of the start being made.
            let newest = self.open.len().checked_sub(1)?;
            let waits = self.open.get(newest).is_some_and(|open| open.after.is_none());
            (waits && line.uuids.is_empty() && is_of_patching(&line.text)).then_some(newest)
        });
        if let Some(start) = at.and_then(|at| self.open.get_mut(at)) {
            if start.errors.len() < MOST_ERRORS {
                start.errors.push(line);
            } else {
                start.more_errors += 1;
            }
            return;
        }
        for project_id in line.uuids.clone() {
            sink(Told::Error {
                project_id,
                line: line.clone(),
            });
        }
    }
}

impl Start {
    /// A start that is in no log.
    pub(super) fn made(project_id: &str, before: Json, patch: Json) -> Self {
        Self {
            project_id: project_id.to_owned(),
            time: None,
            span: Span { first: 0, last: 0 },
            before: Some(before),
            patch: Some(patch),
            after: None,
            errors: Vec::new(),
            more_errors: 0,
            replaced: false,
            stream: None,
            size: 0,
        }
    }

    fn new(record: &Record) -> Self {
        Self {
            project_id: project_of(record),
            time: record.time,
            span: record.span,
            before: None,
            patch: None,
            after: None,
            errors: Vec::new(),
            more_errors: 0,
            replaced: false,
            stream: record.stream.clone(),
            size: 0,
        }
    }

    fn add(&mut self, record: Record) {
        self.span.first = self.span.first.min(record.span.first);
        self.span.last = self.span.last.max(record.span.last);
        self.replaced |= record.replaced;
        self.size += record.size;
        let place = match record.marker {
            Marker::Before => &mut self.before,
            Marker::Patch => &mut self.patch,
            Marker::After => &mut self.after,
        };
        *place = Some(record.value);
    }
}

/// The project that a pod is of, else the only one that its line names.
fn project_of(record: &Record) -> String {
    let of_pod = record.value.to_value().ok();
    let of_pod = of_pod.as_ref().and_then(project_id_of).map(str::to_lowercase);
    let of_line = || match &record.uuids[..] {
        [only] => only.clone(),
        _ => String::new(),
    };
    of_pod.unwrap_or_else(of_line)
}

/// Whether a line has the words of an error that `applyPatch` throws.
fn is_of_patching(text: &str) -> bool {
    ["TypeError", "RangeError", "OPERATION_", "JsonPatchError"]
        .iter()
        .any(|word| text.contains(word))
}
