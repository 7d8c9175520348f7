//! The file form of a snapshot, written.
//!
//! What is written here, the readers of this crate take back as the same snapshot: the same pods come out of it,
//! byte for byte. Rows are written one by one, since there may be half a million.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::{Column, License, Project, Snapshot, Software, Template};
use crate::{
    json::{self, Json},
    output::{json as json_output, yaml},
};

/// The form of a snapshot file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML, in the layout of kubectl.
    Yaml,
    /// JSON over several lines.
    Json,
}

/// Why a snapshot could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Where it should go takes no more.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A value that no snapshot file can hold.
    #[error("{what} {why}, which no snapshot file can hold")]
    Value {
        /// Which, for example `project 1111…: column env`.
        what: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A value that only a JSON file can hold.
    #[error("{what} {why}, which a snapshot file in YAML cannot hold; use -o json")]
    OnlyJson {
        /// Which.
        what: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// How deep lists and maps may be nested in a file, as its readers take it.
const MAX_JSON_DEPTH: usize = 127;
const MAX_YAML_DEPTH: usize = 64;

/// Writes the snapshot, sections in alphabetic order. What is empty is left out where that means the same.
///
/// # Errors
/// See [`WriteError`]; what was written until then is no snapshot.
pub fn write(snapshot: &Snapshot, format: Format, out: &mut dyn Write) -> Result<(), WriteError> {
    let mut file = File {
        format,
        out,
        sections: 0,
    };
    if let Some(assumptions) = &snapshot.assumptions {
        let value = serde_json::to_value(assumptions).map_err(|_| WriteError::Value {
            what: "`assumptions`".to_owned(),
            why: "hold a number that is none",
        })?;
        file.section("assumptions", &value)?;
    }
    let usage: Map<String, Value> = snapshot
        .license_usage
        .iter()
        .map(|(id, count)| (id.clone(), Value::from(*count)))
        .chain(
            snapshot
                .uncountable
                .iter()
                .map(|(id, project)| (id.clone(), Value::from(project.as_str()))),
        )
        .collect();
    if !usage.is_empty() {
        file.section("license_usage", &Value::Object(usage))?;
    }
    if !snapshot.live_pods.is_empty() {
        file.rows("live_pods", snapshot.live_pods.iter().map(|pod| Ok(pod.clone())))?;
    }
    if let Some(now) = snapshot.now {
        file.section("now", &Value::from(now.to_string()))?;
    }
    if snapshot.has_projects {
        file.rows("projects", snapshot.projects.iter().map(project))?;
    }
    if let Some(settings) = &snapshot.server_settings {
        let mut rows = Map::new();
        for (name, value) in settings {
            let what = || format!("server setting `{name}`");
            rows.insert(name.clone(), plain(value, what)?);
        }
        file.section("server_settings", &Value::Object(rows))?;
    }
    if !snapshot.site_licenses.is_empty() {
        file.rows("site_licenses", snapshot.site_licenses.values().map(license))?;
    }
    if let Some(software) = &snapshot.software {
        file.section("software", &software_value(software))?;
    }
    if let Some(template) = &snapshot.template {
        file.section("template", &template_value(template))?;
        file.section("template_source", &Value::from(template.source.as_str()))?;
    }
    file.end()
}

struct File<'w> {
    format: Format,
    out: &'w mut dyn Write,
    sections: usize,
}

impl File<'_> {
    fn begin(&mut self) -> io::Result<()> {
        let separator: &[u8] = match (self.format, self.sections) {
            (Format::Yaml, _) => b"",
            (Format::Json, 0) => b"{\n",
            (Format::Json, _) => b",\n",
        };
        self.sections += 1;
        self.out.write_all(separator)
    }

    fn section(&mut self, name: &str, value: &Value) -> Result<(), WriteError> {
        self.check(value, 1, || format!("`{name}`"))?;
        self.begin()?;
        match self.format {
            Format::Yaml => {
                let member = Value::Object([(name.to_owned(), value.clone())].into_iter().collect());
                self.out.write_all(yaml::write(&member).as_bytes())?;
            }
            Format::Json => {
                write!(self.out, "    \"{name}\": ")?;
                self.indented(value, 1)?;
            }
        }
        Ok(())
    }

    fn rows(
        &mut self,
        name: &str,
        rows: impl Iterator<Item = Result<Value, WriteError>>,
    ) -> Result<(), WriteError> {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return self.section(name, &Value::Array(Vec::new()));
        }
        self.begin()?;
        match self.format {
            Format::Yaml => writeln!(self.out, "{name}:")?,
            Format::Json => write!(self.out, "    \"{name}\": [")?,
        }
        for (i, row) in rows.enumerate() {
            let row = row?;
            self.check(&row, 2, || row_name(name, &row))?;
            match self.format {
                Format::Yaml => {
                    let element = Value::Array(vec![row]);
                    self.out
                        .write_all(with_infinite(yaml::write(&element)).as_bytes())?;
                }
                Format::Json => {
                    self.out
                        .write_all(if i == 0 { b"\n        " } else { b",\n        " })?;
                    self.indented(&row, 2)?;
                }
            }
        }
        if self.format == Format::Json {
            self.out.write_all(b"\n    ]")?;
        }
        Ok(())
    }

    /// A value whose first line is begun already; its strings hold no raw newline.
    fn indented(&mut self, value: &Value, level: usize) -> io::Result<()> {
        let text = with_infinite(json_output::pretty(value));
        for (i, line) in text.trim_end().lines().enumerate() {
            if i > 0 {
                write!(self.out, "\n{:1$}", "", 4 * level)?;
            }
            self.out.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn check(&self, value: &Value, above: usize, what: impl Fn() -> String) -> Result<(), WriteError> {
        let depth = above + depth(value);
        if depth > MAX_JSON_DEPTH {
            return Err(WriteError::Value {
                what: what(),
                why: "is nested deeper than 127 levels",
            });
        }
        if depth > MAX_YAML_DEPTH && self.format == Format::Yaml {
            return Err(WriteError::OnlyJson {
                what: what(),
                why: "is nested deeper than 64 levels",
            });
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), WriteError> {
        if self.sections == 0 {
            self.begin()?;
            if self.format == Format::Yaml {
                self.out.write_all(b"{}\n")?;
            }
        }
        if self.format == Format::Json {
            self.out.write_all(b"\n}\n")?;
        }
        Ok(())
    }
}

fn row_name(section: &str, row: &Value) -> String {
    let field = |pointer: &str| row.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match section {
        "projects" => format!("project {}", field("/project_id")),
        "site_licenses" => format!("license {}", field("/id")),
        _ => format!("live pod {}", field("/metadata/name")),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// What stands for a number too large for a double until the text is written: no other writer has a word for it. The
/// first character makes every format put it in quotes; the second is none that a text can mean.
const INFINITE: [(&str, &str); 2] = [("\u{2060}\u{fdd0}+", "1e999"), ("\u{2060}\u{fdd0}-", "-1e999")];

/// The text of a row, with its infinite numbers.
fn with_infinite(text: String) -> String {
    if !text.contains('\u{fdd0}') {
        return text;
    }
    INFINITE.iter().fold(text, |text, (word, number)| {
        text.replace(&json_output::compact(&Value::from(*word)), number)
    })
}

/// The value for the file, or what in it no file can hold.
fn plain(json: &Json, what: impl Fn() -> String) -> Result<Value, WriteError> {
    fn is_finite(json: &Json) -> bool {
        match json {
            Json::Number(number) => number.is_finite(),
            Json::List(list) => list.iter().all(is_finite),
            Json::Map(map) => map.values().all(is_finite),
            _ => true,
        }
    }
    fn with_words(json: &Json) -> Json {
        match json {
            Json::Number(number) if number.is_infinite() => {
                let [(plus, _), (minus, _)] = INFINITE;
                Json::string(if *number > 0.0 { plus } else { minus })
            }
            Json::List(list) => Json::list(list.iter().map(with_words).collect()),
            Json::Map(map) => Json::map(map.iter().map(|(name, value)| (name.clone(), with_words(value)))),
            other => other.clone(),
        }
    }
    let value = if is_finite(json) {
        json.to_value()
    } else {
        with_words(json).to_value()
    };
    value.map_err(|_| WriteError::Value {
        what: what(),
        why: "holds half of a surrogate pair",
    })
}

/// A column of type jsonb. One that is a text itself is written as the JSON of that text, since a reader takes a text for
/// JSON that a tool exported as text.
fn jsonb(json: &Json, what: impl Fn() -> String) -> Result<Value, WriteError> {
    let value = plain(json, what)?;
    Ok(match value {
        Value::String(_) => Value::from(value.to_string()),
        value => value,
    })
}

fn project(row: &Project) -> Result<Value, WriteError> {
    let mut columns = Map::new();
    columns.insert("project_id".to_owned(), Value::from(&*row.project_id));
    if !row.title.is_empty() {
        columns.insert("title".to_owned(), Value::from(&*row.title));
    }
    let columns_of_jsonb: [(&str, &Column); 5] = [
        ("settings", &row.settings),
        ("users", &row.users),
        ("site_license", &row.site_license),
        ("run_quota", &row.run_quota),
        ("env", &row.env),
    ];
    for (name, column) in columns_of_jsonb {
        if column.text() == "null" {
            continue;
        }
        let what = || format!("project {}: column {name}", row.project_id);
        let json = json::parse(column.text()).map_err(|_| WriteError::Value {
            what: what(),
            why: "is no JSON",
        })?;
        columns.insert(name.to_owned(), jsonb(&json, what)?);
    }
    if let Some(state) = &row.state {
        columns.insert("state".to_owned(), serde_json::json!({"state": state}));
    }
    if let Some(image) = &row.compute_image {
        columns.insert("compute_image".to_owned(), Value::from(&**image));
    }
    if row.deleted {
        columns.insert("deleted".to_owned(), Value::from(true));
    }
    Ok(Value::Object(columns))
}

fn license(row: &License) -> Result<Value, WriteError> {
    let mut columns = Map::new();
    columns.insert("id".to_owned(), Value::from(row.id.as_str()));
    if !row.title.is_empty() {
        columns.insert("title".to_owned(), Value::from(row.title.as_str()));
    }
    let times = [
        ("activates", row.activates),
        ("expires", row.expires),
        ("last_used", row.last_used),
    ];
    for (name, time) in times {
        if let Some(time) = time {
            columns.insert(name.to_owned(), Value::from(time.to_string()));
        }
    }
    if let Some(limit) = row.run_limit {
        columns.insert("run_limit".to_owned(), json::value_from_f64(limit));
    }
    for (name, value) in [("upgrades", &row.upgrades), ("quota", &row.quota)] {
        if !value.is_null() {
            let what = || format!("license {}: column {name}", row.id);
            columns.insert(name.to_owned(), jsonb(value, what)?);
        }
    }
    if !row.managers.is_empty() {
        columns.insert("managers".to_owned(), Value::from(row.managers.clone()));
    }
    Ok(Value::Object(columns))
}

fn software_value(software: &Software) -> Value {
    let environments: Map<String, Value> = software
        .environments
        .iter()
        .map(|(id, environment)| {
            let mut fields = Map::new();
            fields.insert("tag".to_owned(), Value::from(environment.tag.as_str()));
            if let Some(title) = &environment.title {
                fields.insert("title".to_owned(), Value::from(title.as_str()));
            }
            if let Some(registry) = &environment.registry {
                fields.insert("registry".to_owned(), Value::from(registry.as_str()));
            }
            (id.clone(), Value::Object(fields))
        })
        .collect();
    let mut value = Map::new();
    if let Some(default) = &software.default {
        value.insert("default".to_owned(), Value::from(default.as_str()));
    }
    value.insert("environments".to_owned(), Value::Object(environments));
    Value::Object(value)
}

/// The template as a map where the very same text is read back from it, otherwise its text: placeholders are
/// replaced in the text, where escapes, order and repeated keys can matter.
fn template_value(template: &Template) -> Value {
    let tree = json::parse(&template.text)
        .ok()
        .filter(|tree| tree.as_map().is_some())
        .and_then(|tree| tree.to_value().ok())
        .filter(|value| Json::from(value).stringify() == template.text);
    match tree {
        Some(value) if depth(&value) < MAX_YAML_DEPTH => value,
        _ => Value::from(template.text.as_str()),
    }
}
