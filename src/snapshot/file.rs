//! Files, folders and standard input: from bytes to one merged [`Snapshot`].
//!
//! A text is cut at its document markers first, which YAML allows without looking at anything else: a line
//! that begins with `---` or `...` ends a document wherever it stands, and JSON cannot hold such a line.
//! Each document is JSON if it begins with `{` or `[`, else YAML.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::de::DeserializeSeed;
use serde_json::Value;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

use super::{
    Assumptions, Project, Snapshot, Template,
    manifests::{ConfigMap, TEMPLATE_CONFIGMAP},
    place::{Note, NoteKind, Place, ReadError, excerpt},
    rows::{Document, DocumentSeed},
    source::{INFINITE, Source, TOO_LARGE, Tree},
};
use crate::json::{self, Json, Unprintable};

/// How many bytes all sources together may have: four times the largest installation that was planned for.
const MAX_BYTES: u64 = 2 << 30;

/// How deep lists and maps may be nested in JSON: serde_json's own limit.
const MAX_JSON_DEPTH: usize = 128;

/// How deep they may be nested in YAML, whose reader needs more of the stack for each level. A Pod is about ten
/// deep.
const MAX_YAML_DEPTH: usize = 64;

/// What standard input is called in messages.
const STDIN: &str = "standard input";

/// One value of `-f`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file; or a folder, of which the files `*.json`, `*.yaml` and `*.yml` are read in the order of their
    /// names, without subfolders.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

/// How sources are to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Name of the ConfigMap that holds the template, and the data key in it (`--template-configmap`).
    /// Default: `project-pod`, or a lone ConfigMap of any name.
    pub template_configmap: Option<(String, Option<String>)>,
}

/// Reads all sources into one snapshot. Lists are joined.
///
/// # Errors
/// If a source cannot be read, is no JSON or YAML, holds unknown or repeated keys or values of another type
/// than the column's; and if a row stands twice, or a scalar twice with different values.
pub fn read_inputs(
    inputs: &[Input],
    stdin: &mut dyn Read,
    options: &ReadOptions,
) -> Result<(Snapshot, Vec<Note>), ReadError> {
    let mut merge = Merge::default();
    let mut left = MAX_BYTES;
    let mut stdin = Some(stdin);
    for input in inputs {
        match input {
            Input::Stdin => {
                let stdin = stdin.take().ok_or(ReadError::StdinTwice)?;
                let bytes = read_bytes(stdin, STDIN, 0, &mut left)?;
                merge.read_bytes(STDIN, bytes)?;
            }
            Input::File(path) => {
                for file in expand(path)? {
                    let name = file.display().to_string();
                    let (mut handle, size) = open(&file, &name)?;
                    let bytes = read_bytes(&mut handle, &name, size, &mut left)?;
                    merge.read_bytes(&name, bytes)?;
                }
            }
        }
    }
    merge.finish(options)
}

/// The whole text of one source, for example of a patch.
///
/// # Errors
/// If it cannot be read, is no UTF-8, or is larger than this reader takes.
pub fn read_input_text(input: &Input, stdin: &mut dyn Read) -> Result<String, ReadError> {
    let mut left = MAX_BYTES;
    match input {
        Input::Stdin => utf8(STDIN, read_bytes(stdin, STDIN, 0, &mut left)?),
        Input::File(path) => {
            let name = path.display().to_string();
            let (mut file, size) = open(path, &name)?;
            utf8(&name, read_bytes(&mut file, &name, size, &mut left)?)
        }
    }
}

fn open(path: &Path, name: &str) -> Result<(File, u64), ReadError> {
    let io = |error| ReadError::Io {
        file: name.to_owned(),
        error,
    };
    let file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    Ok((file, size))
}

/// Reads one text that is at hand already.
pub(super) fn read_text(name: &str, text: &str) -> Result<(Snapshot, Vec<Note>), ReadError> {
    read_texts(&[(name.to_owned(), text.to_owned())], &ReadOptions::default())
}

/// Reads texts that are at hand already, each with what to call it in messages.
pub(super) fn read_texts(
    texts: &[(String, String)],
    options: &ReadOptions,
) -> Result<(Snapshot, Vec<Note>), ReadError> {
    let mut merge = Merge::default();
    for (name, text) in texts {
        merge.read_text(name, text)?;
    }
    merge.finish(options)
}

/// The template that one source holds, in any of the forms that [`read_inputs`] takes.
///
/// # Errors
/// As [`read_inputs`], and if the source holds no template.
pub fn template_from_manifests(
    input: &Input,
    stdin: &mut dyn Read,
    options: &ReadOptions,
) -> Result<(Template, Vec<Note>), ReadError> {
    let (snapshot, notes) = read_inputs(std::slice::from_ref(input), stdin, options)?;
    let template = snapshot.template.ok_or_else(|| ReadError::Content {
        place: whole(&match input {
            Input::File(path) => path.display().to_string(),
            Input::Stdin => STDIN.to_owned(),
        }),
        message: "there is no template in it; give a snapshot with `template`, a ConfigMap project-pod, or a Pod without status"
            .to_owned(),
    })?;
    Ok((template, notes))
}

fn whole(name: &str) -> Place {
    Place {
        file: name.into(),
        line: 0,
        column: 0,
    }
}

fn expand(path: &Path) -> Result<Vec<PathBuf>, ReadError> {
    let io = |error| ReadError::Io {
        file: path.display().to_string(),
        error,
    };
    if !fs::metadata(path).map_err(io)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(io)? {
        let file = entry.map_err(io)?.path();
        let known = file
            .extension()
            .is_some_and(|ext| ext == "json" || ext == "yaml" || ext == "yml");
        if known && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(ReadError::Content {
            place: whole(&path.display().to_string()),
            message: "the folder holds no file *.json, *.yaml or *.yml; subfolders are not read, name them"
                .to_owned(),
        });
    }
    files.sort();
    Ok(files)
}

/// Reads to the end, or to the limit that all sources share. `size` is a hint.
fn read_bytes(from: &mut dyn Read, name: &str, size: u64, left: &mut u64) -> Result<Vec<u8>, ReadError> {
    // One more byte than the file has, or reading to its end would double the buffer.
    let capacity = size.min(*left).saturating_add(1);
    let mut bytes = Vec::with_capacity(usize::try_from(capacity).unwrap_or(0));
    from.take(left.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| ReadError::Io {
            file: name.to_owned(),
            error: match error.kind() {
                io::ErrorKind::IsADirectory => io::Error::other("it is a folder"),
                _ => error,
            },
        })?;
    match left.checked_sub(bytes.len() as u64) {
        Some(rest) => {
            *left = rest;
            Ok(bytes)
        }
        None => Err(ReadError::TooLarge {
            file: name.to_owned(),
            limit: MAX_BYTES,
        }),
    }
}

/// The bytes as text, or where they stop being UTF-8.
fn utf8(name: &str, bytes: Vec<u8>) -> Result<String, ReadError> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let before = String::from_utf8_lossy(bytes.get(..valid).unwrap_or_default());
        let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        ReadError::Syntax {
            place: Source::new(name.into(), &before).place(valid),
            message: if utf16 {
                "the text is UTF-16; save it as UTF-8".to_owned()
            } else {
                format!(
                    "the byte {:#04x} is not UTF-8; save the text as UTF-8",
                    bytes.get(valid).copied().unwrap_or_default()
                )
            },
        }
    })
}

/// The documents of a text: from where to where.
fn documents(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut start = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let mut found = Vec::new();
    let mut line = start;
    loop {
        let rest = bytes.get(line..).unwrap_or_default();
        let marker = (rest.starts_with(b"---") || rest.starts_with(b"..."))
            && rest.get(3).is_none_or(u8::is_ascii_whitespace);
        if marker {
            found.push((start, line));
            start = line + 3;
        }
        // Only lines that begin like a marker are of interest.
        let next = rest
            .iter()
            .enumerate()
            .skip(if marker { 3 } else { 0 })
            .find(|(i, byte)| **byte == b'\n' && matches!(rest.get(i + 1), Some(b'-' | b'.')))
            .map(|(i, _)| line + i + 1);
        match next {
            Some(next) => line = next,
            None => break,
        }
    }
    found.push((start, text.len()));
    found
}

/// Whether there is nothing in a document but blanks, comments and YAML directives.
fn is_blank(document: &str) -> bool {
    document
        .lines()
        .map(str::trim_start)
        .all(|line| line.is_empty() || line.starts_with('#') || line.starts_with('%'))
}

fn begins_like_json(document: &str) -> bool {
    document.trim_start().starts_with(['{', '['])
}

/// Options under which a large snapshot passes and a small text cannot become a large one. What a text may
/// cost in all is counted in [`Source`]; here stand depth and what aliases may repeat.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: None,
            flow_nesting_limit: MAX_YAML_DEPTH,
            max_depth: MAX_YAML_DEPTH,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
            max_aliases: 10_000,
            max_anchors: 10_000,
            max_merge_keys: 1_000,
            max_recorded_anchor_events: 100_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 200_000,
            max_replay_stack_depth: 32,
        },
        // Visitors refuse repeated keys themselves, with the key's name and place.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // `on` and `017` stay strings, to be noted as words that kubectl reads otherwise.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        emit_comments: false,
        with_snippet: false,
    }
}

fn json_error(source: &Source<'_>, start: usize, end: usize, error: &serde_json::Error) -> ReadError {
    if let Some(failure) = source.take_failure() {
        return failure;
    }
    let document = source.text.get(start..end).unwrap_or_default();
    let mut offset = start;
    if error.line() > 1 {
        offset += document
            .match_indices('\n')
            .nth(error.line() - 2)
            .map_or(document.len(), |(newline, _)| newline + 1);
    }
    let offset = (offset + error.column().saturating_sub(1)).min(end);
    let text = error.to_string();
    let message = text
        .rsplit_once(" at line ")
        .map_or(&*text, |(message, _)| message);
    ReadError::Syntax {
        place: source.place(offset),
        message: json_message(message),
    }
}

fn json_message(message: &str) -> String {
    let message = excerpt(message, 300);
    match &*message {
        "recursion limit exceeded" => {
            format!("lists and maps are nested deeper than {MAX_JSON_DEPTH} levels")
        }
        "number out of range" => {
            "a number too large for a double; write it smaller or as a string".to_owned()
        }
        _ if message.starts_with("EOF") => format!("{message}; is the file cut off?"),
        _ => format!("{message}; this is no valid JSON"),
    }
}

fn yaml_error(source: &Source<'_>, start: usize, error: &serde_saphyr::Error) -> ReadError {
    if let Some(failure) = source.take_failure() {
        return failure;
    }
    let mut place = source.place(start);
    let mut text = error.without_snippet().to_string();
    if let Some(location) = error.location() {
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        if location.line() > 1 {
            place.line = place.line.saturating_add(number(location.line() - 1));
            place.column = number(location.column());
        } else {
            place.column = place
                .column
                .saturating_add(number(location.column()).saturating_sub(1));
        }
        let suffix = format!(" at line {}, column {}", location.line(), location.column());
        text = text.replace(&suffix, "");
    }
    ReadError::Syntax {
        place,
        message: yaml_message(error, &text),
    }
}

fn yaml_message(error: &serde_saphyr::Error, text: &str) -> String {
    use serde_saphyr::{Error, budget::BudgetBreach};
    let aliases = "aliases (*name) repeat more than this reader takes; write out what they stand for";
    let depth = format!("lists and maps are nested deeper than {MAX_YAML_DEPTH} levels");
    match error {
        Error::Budget { breach, .. } => match breach {
            BudgetBreach::Depth { .. } => depth,
            _ => aliases.to_owned(),
        },
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => aliases.to_owned(),
        // A breach while an alias is repeated comes wrapped, as text.
        _ if text.contains("budget breached") => aliases.to_owned(),
        _ if text.contains("recursion limit") => depth,
        Error::NullIntoString { .. } => "a key is null; put it in quotes".to_owned(),
        Error::NonFiniteFloat { .. } => {
            "a number too large for a double, or none at all; write it smaller or as a string".to_owned()
        }
        _ => format!("{}; this is no valid YAML", excerpt(text.trim(), 300)),
    }
}

/// Reads one YAML document with the seed that `seed` makes.
fn yaml<'de, S: DeserializeSeed<'de>>(
    source: &Source<'de>,
    start: usize,
    end: usize,
    seed: S,
) -> Result<S::Value, ReadError> {
    source.yaml.set(true);
    let mut options = yaml_options();
    if source.infinite.get() {
        options.non_finite_float_policy = NonFiniteFloatPolicy::PassThrough;
    }
    let document = source.text.get(start..end).unwrap_or_default();
    serde_saphyr::with_deserializer_from_str_with_options(document, options, |deserializer| {
        seed.deserialize(deserializer)
    })
    .map_err(|error| yaml_error(source, start, &error))
}

/// Reads one or several JSON values that stand one behind the other.
fn json_values(
    source: &Source<'_>,
    start: usize,
    end: usize,
    document: &mut Document,
) -> Result<(), ReadError> {
    source.yaml.set(false);
    let text = source.text.get(start..end).unwrap_or_default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    loop {
        DocumentSeed {
            source,
            document,
            start: source.last(),
        }
        .deserialize(&mut deserializer)
        .map_err(|error| json_error(source, start, end, &error))?;
        if deserializer.end().is_ok() {
            return Ok(());
        }
    }
}

/// The sources read so far.
#[derive(Default)]
struct Merge {
    snapshot: Snapshot,
    notes: Vec<Note>,
    files: Vec<Arc<str>>,
    now: Option<Place>,
    template: Option<Place>,
    software: Option<Place>,
    settings: HashMap<String, Place>,
    assumptions: BTreeMap<String, (Value, Place)>,
    has_assumptions: bool,
    licenses: HashMap<String, Place>,
    /// File and line by UUID.
    projects: HashMap<u128, (u32, u32)>,
    usage: HashMap<String, Place>,
    live_pods: HashMap<String, Place>,
    config_maps: Vec<ConfigMap>,
    passed_over: BTreeMap<String, usize>,
}

impl Merge {
    fn read_bytes(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), ReadError> {
        let text = utf8(name, bytes)?;
        self.read_text(name, &text)
    }

    fn read_text(&mut self, name: &str, text: &str) -> Result<(), ReadError> {
        // kubectl's reader ends the last line, which counts behind `|+`.
        let ended = match text.rfind('\n') {
            Some(last)
                if last + 1 < text.len() && text.get(last..).is_some_and(|line| line.trim().is_empty()) =>
            {
                Cow::Owned(format!("{text}\n"))
            }
            _ => Cow::Borrowed(text),
        };
        let text = &*ended;
        let source = Source::new(name.into(), text);
        self.files.push(source.name.clone());
        let mut any = false;
        for (start, end) in documents(text) {
            let chunk = text.get(start..end).unwrap_or_default();
            if is_blank(chunk) {
                continue;
            }
            let begin = start + (chunk.len() - chunk.trim_start().len());
            source.start_at(begin);
            let budgets = source.budgets();
            let document = if begins_like_json(chunk) {
                read_json(&source, begin, end)
            } else {
                read_yaml(&source, start, end, begin)
            };
            let document = match document {
                Err(ReadError::Syntax { place, message }) if message.starts_with(TOO_LARGE) => {
                    // jsonb holds such numbers, anyone can write them into a column, and CoCalc goes on with
                    // `Infinity`.
                    let read = if begins_like_json(chunk) {
                        with_infinite_words(text, begin, end).and_then(|text| {
                            let source = Source::new(name.into(), &text);
                            source.infinite.set(true);
                            source.start_at(begin);
                            read_json(&source, begin, end).ok()
                        })
                    } else {
                        source.start_again(begin, budgets);
                        source.infinite.set(true);
                        let read = read_yaml(&source, start, end, begin).ok();
                        source.infinite.set(false);
                        read
                    };
                    read.ok_or(ReadError::Syntax { place, message })?
                }
                document => document?,
            };
            any |= document.any;
            let (words, more) = source.take_words();
            if document.words_matter {
                self.note_words(words, more, name);
            }
            for (column, (place, rows)) in source.take_texts() {
                let of = if rows == 1 {
                    "a text".to_owned()
                } else {
                    format!("a text in {rows} rows")
                };
                self.note(
                    NoteKind::JsonText,
                    format!("{place}: `{column}` is {of}; it is read as the JSON that it holds"),
                );
            }
            self.add(document)?;
        }
        if !any {
            self.note(NoteKind::Empty, format!("{}: holds nothing", whole(name)));
        }
        Ok(())
    }

    fn note(&mut self, kind: NoteKind, message: String) {
        self.notes.push(Note { kind, message });
    }

    fn note_words(&mut self, words: Vec<super::source::Word>, more: usize, name: &str) {
        self.notes.extend(word_notes(words, more, name));
    }

    fn add(&mut self, document: Document) -> Result<(), ReadError> {
        let snapshot = &mut self.snapshot;
        for (now, place) in document.now {
            once(
                &mut self.now,
                place,
                snapshot.now.is_some_and(|given| given != now),
                "`now` is given twice with different values",
            )?;
            snapshot.now = Some(now);
        }
        for (mut template, place) in document.templates {
            if let Some(source) = &document.template_source {
                template.source.clone_from(source);
            }
            set_template(&mut self.template, snapshot, template, place)?;
        }
        for (software, place) in document.software {
            let differs = snapshot.software.as_ref().is_some_and(|given| *given != software);
            once(
                &mut self.software,
                place,
                differs,
                "`software` is given twice with different values",
            )?;
            snapshot.software.get_or_insert(software);
        }
        if document.has_settings {
            let settings = snapshot.server_settings.get_or_insert_default();
            for (name, value, place) in document.settings {
                row(&mut self.settings, &name, place, || {
                    format!("server setting `{}` is given twice", excerpt(&name, 60))
                })?;
                settings.insert(name, value);
            }
        }
        self.has_assumptions |= document.has_assumptions;
        for (name, value, place) in document.assumptions {
            match self.assumptions.get(&name) {
                Some((given, first)) if *given != value => {
                    return Err(ReadError::Twice {
                        what: format!(
                            "assumption `{}` is given twice with different values",
                            excerpt(&name, 60)
                        ),
                        first: first.clone(),
                        second: place,
                    });
                }
                Some(_) => {}
                None => {
                    self.assumptions.insert(name, (value, place));
                }
            }
        }
        for (license, place) in document.licenses {
            row(&mut self.licenses, &license.id, place, || {
                format!("license {} is given twice", license.id)
            })?;
            snapshot.site_licenses.insert(license.id.clone(), license);
        }
        for (id, count, place) in document.usage {
            row(&mut self.usage, &id, place, || {
                format!("the usage of license {id} is given twice")
            })?;
            snapshot.license_usage.insert(id, count);
        }
        for (id, project, place) in document.uncountable {
            row(&mut self.usage, &id, place, || {
                format!("the usage of license {id} is given twice")
            })?;
            snapshot.uncountable.insert(id, project);
        }
        for (pod, place) in document.live_pods {
            if let Some(name) = pod_name(&pod) {
                row(&mut self.live_pods, &name, place, || {
                    format!("live pod {} is given twice", excerpt(&name, 120))
                })?;
            }
            snapshot.live_pods.push(pod);
        }
        snapshot.has_projects |= document.has_projects;
        self.add_projects(document.projects, &document.project_lines)?;
        self.config_maps.extend(document.manifests.config_maps);
        for (kind, count) in document.manifests.passed_over {
            *self.passed_over.entry(kind).or_default() += count;
        }
        for message in document.dropped {
            self.note(NoteKind::Software, message);
        }
        Ok(())
    }

    fn add_projects(&mut self, projects: Vec<Project>, lines: &[u32]) -> Result<(), ReadError> {
        let file = u32::try_from(self.files.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.projects.reserve(projects.len());
        for (project, line) in projects.iter().zip(lines) {
            let Some(id) = uuid_number(&project.project_id) else {
                continue;
            };
            if let Some((first_file, first_line)) = self.projects.insert(id, (file, *line)) {
                let place = |file: u32, line: u32| Place {
                    file: usize::try_from(file)
                        .ok()
                        .and_then(|index| self.files.get(index).cloned())
                        .unwrap_or_default(),
                    line,
                    column: 0,
                };
                return Err(ReadError::Twice {
                    what: format!("project {} is given twice", project.project_id),
                    first: place(first_file, first_line),
                    second: place(file, *line),
                });
            }
        }
        if self.snapshot.projects.is_empty() {
            self.snapshot.projects = projects;
        } else {
            self.snapshot.projects.extend(projects);
        }
        Ok(())
    }

    fn finish(mut self, options: &ReadOptions) -> Result<(Snapshot, Vec<Note>), ReadError> {
        self.choose_template(options)?;
        if self.has_assumptions {
            let fields = self
                .assumptions
                .iter()
                .map(|(name, (value, _))| (name.clone(), value.clone()));
            let assumptions = serde_json::from_value::<Assumptions>(Value::Object(fields.collect()));
            // Each field was read by itself already.
            self.snapshot.assumptions = Some(assumptions.map_err(|error| {
                ReadError::Content {
                    place: self
                        .assumptions
                        .values()
                        .next()
                        .map_or_else(|| whole("assumptions"), |(_, place)| place.clone()),
                    message: format!("`assumptions`: {}", excerpt(&error.to_string(), 300)),
                }
            })?);
        }
        let count: usize = self.passed_over.values().sum();
        if count > 0 {
            let kinds: Vec<String> = self
                .passed_over
                .iter()
                .take(12)
                .map(|(kind, count)| format!("{count} {kind}"))
                .collect();
            let more = if self.passed_over.len() > 12 { ", …" } else { "" };
            let (noun, are) = if count == 1 {
                ("manifest", "says")
            } else {
                ("manifests", "say")
            };
            self.note(
                NoteKind::PassedOver,
                format!(
                    "passed over {count} {noun} that {are} nothing about project pods ({}{more})",
                    kinds.join(", ")
                ),
            );
        }
        Ok((self.snapshot, self.notes))
    }

    fn choose_template(&mut self, options: &ReadOptions) -> Result<(), ReadError> {
        let (wanted, key) = match &options.template_configmap {
            Some((name, key)) => (name.as_str(), key.as_deref()),
            None => (TEMPLATE_CONFIGMAP, None),
        };
        let (named, others): (Vec<ConfigMap>, Vec<ConfigMap>) = std::mem::take(&mut self.config_maps)
            .into_iter()
            .partition(|config_map| config_map.name == wanted);
        for config_map in &named {
            let template = config_map.template(key)?;
            set_template(
                &mut self.template,
                &mut self.snapshot,
                template,
                config_map.place.clone(),
            )?;
        }
        let may_be_lone = options.template_configmap.is_none() && self.snapshot.template.is_none();
        if let ([lone], true) = (&*others, may_be_lone) {
            // One ConfigMap among the many manifests of a chart is the template only if it looks like one.
            if self.passed_over.is_empty() || lone.is_template() {
                let template = lone.template(None)?;
                return set_template(
                    &mut self.template,
                    &mut self.snapshot,
                    template,
                    lone.place.clone(),
                );
            }
        }
        if !others.is_empty() {
            *self.passed_over.entry("ConfigMap".to_owned()).or_default() += others.len();
        }
        Ok(())
    }
}

fn read_json(source: &Source<'_>, start: usize, end: usize) -> Result<Document, ReadError> {
    let budgets = source.budgets();
    let mut document = Document::default();
    let Err(error) = json_values(source, start, end, &mut document) else {
        return Ok(document);
    };
    drop(document);
    let named_json = Path::new(&*source.name)
        .extension()
        .is_some_and(|ext| ext.eq_ignore_ascii_case("json"));
    // Whoever has a larger text made it with a program, and wants to hear at once that it is cut off.
    let large = end - start > 16 << 20;
    if named_json || large || !matches!(error, ReadError::Syntax { .. }) {
        return Err(error);
    }
    // It may be YAML in flow style: `{now: 2026-11-24}`.
    source.start_again(start, budgets);
    let mut document = Document::default();
    let seed = DocumentSeed {
        source,
        document: &mut document,
        start,
    };
    match yaml(source, start, end, seed) {
        Ok(()) => Ok(document),
        Err(yaml_error @ (ReadError::Content { .. } | ReadError::Twice { .. })) => Err(yaml_error),
        // The reader that came further is more likely the one that was meant.
        Err(yaml_error) => Err(if reached(&yaml_error) > reached(&error) {
            yaml_error
        } else {
            error
        }),
    }
}

/// The text with words of the same length in the place of numbers too large for a double, which serde_json refuses.
/// `None` if it holds such a word already.
fn with_infinite_words(text: &str, start: usize, end: usize) -> Option<String> {
    let is_taken = |word: &str| {
        let escape = word
            .chars()
            .map(|c| format!("\\u{:04x}", u32::from(c)))
            .collect::<String>();
        text.contains(word) || text.to_ascii_lowercase().contains(&escape)
    };
    if INFINITE.iter().any(|(word, _)| is_taken(word)) {
        return None;
    }
    let mut words = String::with_capacity(text.len());
    let mut in_string = false;
    let mut rest = text.get(start..end)?;
    words.push_str(text.get(..start)?);
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        let mut word = None;
        match c {
            '"' => in_string = !in_string,
            // No escape is shorter, and none holds a quote but as its second character.
            '\\' if in_string => length = rest.char_indices().nth(2).map_or(rest.len(), |(at, _)| at),
            '-' | '0'..='9' if !in_string => {
                let in_number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
                length = rest.find(|c| !in_number(c)).unwrap_or(rest.len());
                let number: Option<f64> = rest.get(..length).and_then(|number| number.parse().ok());
                word = number.filter(|number| number.is_infinite()).and_then(|number| {
                    INFINITE
                        .iter()
                        .find(|(_, infinite)| *infinite == number)
                        .map(|(word, _)| *word)
                });
            }
            _ => {}
        }
        let (taken, tail) = rest.split_at_checked(length)?;
        match word {
            Some(word) => words.push_str(&format!(
                "{:1$}",
                format!("\"{word}\""),
                length - (word.len() - 1)
            )),
            None => words.push_str(taken),
        }
        rest = tail;
    }
    words.push_str(text.get(end..)?);
    (words.len() == text.len()).then_some(words)
}

fn read_yaml(source: &Source<'_>, start: usize, end: usize, begin: usize) -> Result<Document, ReadError> {
    let mut document = Document::default();
    let seed = DocumentSeed {
        source,
        document: &mut document,
        start: begin,
    };
    yaml(source, start, end, seed)?;
    Ok(document)
}

fn reached(error: &ReadError) -> (u32, u32) {
    match error {
        ReadError::Syntax { place, .. } => (place.line, place.column),
        _ => (0, 0),
    }
}

fn set_template(
    place_of: &mut Option<Place>,
    snapshot: &mut Snapshot,
    template: Template,
    place: Place,
) -> Result<(), ReadError> {
    let differs = snapshot
        .template
        .as_ref()
        .is_some_and(|given| given.text != template.text);
    once(
        place_of,
        place,
        differs,
        "the template is given twice with different texts",
    )?;
    snapshot.template.get_or_insert(template);
    Ok(())
}

fn once(given: &mut Option<Place>, place: Place, differs: bool, what: &str) -> Result<(), ReadError> {
    match given {
        Some(first) if differs => Err(ReadError::Twice {
            what: what.to_owned(),
            first: first.clone(),
            second: place,
        }),
        Some(_) => Ok(()),
        None => {
            *given = Some(place);
            Ok(())
        }
    }
}

fn row(
    given: &mut HashMap<String, Place>,
    key: &str,
    place: Place,
    what: impl FnOnce() -> String,
) -> Result<(), ReadError> {
    match given.get(key) {
        Some(first) => Err(ReadError::Twice {
            what: what(),
            first: first.clone(),
            second: place,
        }),
        None => {
            given.insert(key.to_owned(), place);
            Ok(())
        }
    }
}

fn uuid_number(id: &str) -> Option<u128> {
    let digits: String = id.chars().filter(|c| *c != '-').collect();
    u128::from_str_radix(&digits, 16).ok()
}

/// `namespace/name` of a Pod.
pub(super) fn pod_name(pod: &Value) -> Option<String> {
    let field = |name| pod.get("metadata")?.get(name)?.as_str();
    Some(format!(
        "{}/{}",
        field("namespace").unwrap_or_default(),
        field("name")?
    ))
}

fn word_notes(words: Vec<super::source::Word>, more: usize, name: &str) -> Vec<Note> {
    let mut notes: Vec<Note> = words
        .into_iter()
        .map(|word| Note {
            kind: NoteKind::YamlWord,
            message: {
                let (place, text) = (&word.place, excerpt(&word.text, 64));
                let kubectl = word.kubectl.stringify();
                if word.as_kubectl {
                    format!("{place}: the unquoted word `{text}` is read as {kubectl}, as kubectl reads it; put it in quotes if it is a text")
                } else {
                    format!("{place}: the unquoted word `{text}` is a string here, but kubectl reads {kubectl}; put it in quotes or write what is meant")
                }
            },
        })
        .collect();
    if more > 0 {
        notes.push(Note {
            kind: NoteKind::YamlWord,
            message: format!("{}: {more} more such words", whole(name)),
        });
    }
    notes
}

/// How many repeated keys of one text are named.
const MAX_DUPLICATES: usize = 10;

/// Reads one document for a patch: JSON as `JSON.parse` does if the first character that is not blank is `[`
/// or `{`, else YAML. `name` is what messages call the text.
///
/// # Errors
/// If the text is neither, holds nothing, holds more than one document, or repeats a key (YAML only; in JSON
/// the last one counts, with a note).
pub fn parse_document(text: &str, name: &str) -> Result<(Json, Vec<Note>), ReadError> {
    parse(text, name, false)
}

/// The same for a manifest, or what was made from one: an unquoted word means what kubectl makes of it.
///
/// # Errors
/// As [`parse_document`].
pub fn parse_manifest(text: &str, name: &str) -> Result<(Json, Vec<Note>), ReadError> {
    parse(text, name, true)
}

fn parse(text: &str, name: &str, as_kubectl: bool) -> Result<(Json, Vec<Note>), ReadError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source::new(name.into(), text);
    if begins_like_json(text) {
        return json_document(&source, json::parse_with_notes(text));
    }
    let mut filled = documents(text)
        .into_iter()
        .filter(|(start, end)| !is_blank(text.get(*start..*end).unwrap_or_default()));
    let Some((start, end)) = filled.next() else {
        return Err(ReadError::Content {
            place: source.place(0),
            message: "the text holds nothing; give a JSON or YAML document".to_owned(),
        });
    };
    if let Some((second, _)) = filled.next() {
        return Err(ReadError::Content {
            place: source.place(second),
            message: "a second document begins here; give one document".to_owned(),
        });
    }
    source.as_kubectl.set(as_kubectl);
    let json = yaml(&source, start, end, Tree(&source))?;
    let (words, more) = source.take_words();
    let notes = if as_kubectl {
        Vec::new()
    } else {
        word_notes(words, more, name)
    };
    Ok((json, notes))
}

/// [`parse_manifest`] and [`Json::to_value`] in one, of JSON without the tree between.
///
/// # Errors
/// As [`parse_manifest`]; within, as [`Json::to_value`].
pub fn parse_value(text: &str, name: &str) -> Result<(Result<Value, Unprintable>, Vec<Note>), ReadError> {
    let plain = text.strip_prefix('\u{feff}').unwrap_or(text);
    if begins_like_json(plain) {
        let source = Source::new(name.into(), plain);
        let (value, notes) = json_document(&source, json::parse_to_value(plain))?;
        if let Some(value) = value {
            return Ok((Ok(value), notes));
        }
    }
    let (json, notes) = parse_manifest(text, name)?;
    Ok((json.to_value(), notes))
}

fn json_document<T>(
    source: &Source<'_>,
    read: Result<(T, json::Notes), json::Error>,
) -> Result<(T, Vec<Note>), ReadError> {
    let (value, duplicates) = read.map_err(|error| ReadError::Syntax {
        place: source.place(error.offset),
        message: excerpt(&error.message, 300),
    })?;
    let notes = duplicates
        .duplicates
        .iter()
        .take(MAX_DUPLICATES)
        .map(|duplicate| Note {
            kind: NoteKind::DuplicateKey,
            message: format!(
                "{}: the key `{}` stands twice in the same map; the last one counts",
                source.place(duplicate.offset),
                excerpt(&duplicate.name, 60)
            ),
        })
        .collect();
    Ok((value, notes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_its_document_markers_only() {
        let cut = |text: &str| -> Vec<String> {
            documents(text)
                .into_iter()
                .map(|(a, b)| text[a..b].to_owned())
                .collect()
        };
        assert_eq!(cut("a: 1\n---\nb: 2\n"), ["a: 1\n", "\nb: 2\n"]);
        assert_eq!(
            cut("--- {a: 1}\n...\n---\r\nb\n---"),
            ["", " {a: 1}\n", "\n", "\r\nb\n", ""]
        );
        assert_eq!(cut("- a\n----\n- b\n--- c"), ["- a\n----\n- b\n", " c"]);
        assert_eq!(cut("\u{feff}---\nx"), ["", "\nx"]);
        assert_eq!(cut(""), [""]);
    }
}
