//! The files of a kubeconfig, merged. An entry is judged when it is used: what is wrong with another one, or with a
//! field that is `null`, never makes a file unusable.

use std::{
    collections::HashSet,
    io,
    path::{MAIN_SEPARATOR, Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Environment, Options, Problems, reason};

/// What the files hold. Of two entries of the same name the first is meant.
#[derive(Default)]
pub(crate) struct Kubeconfig {
    pub(super) current_context: Option<String>,
    pub(crate) contexts: Vec<Entry>,
    pub(crate) clusters: Vec<Entry>,
    pub(crate) users: Vec<Entry>,
}

/// One of `contexts`, `clusters` or `users`.
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Without members that are `null`, which client-go takes as left out.
    value: Map<String, Value>,
    kind: &'static str,
    file: PathBuf,
}

/// Fields that name a file, relative to the folder of the kubeconfig.
const PATHS: [&str; 4] = [
    "certificate-authority",
    "client-certificate",
    "client-key",
    "tokenFile",
];

/// Fields in base64.
const BASE64: [&str; 3] = [
    "certificate-authority-data",
    "client-certificate-data",
    "client-key-data",
];

impl Kubeconfig {
    /// The files that flags and environment name; missing ones of a list are skipped.
    pub(super) fn read(options: &Options, environment: &Environment) -> Result<Self, Problems> {
        let mut merged = Self::default();
        if let Some(path) = &options.kubeconfig {
            if !merged.add(path)? {
                return Err(format!("stat {}: no such file or directory", path.display()).into());
            }
            return Ok(merged);
        }
        let paths: Vec<PathBuf> = match environment.os("KUBECONFIG") {
            Some(list) => std::env::split_paths(list)
                .filter(|path| !path.as_os_str().is_empty())
                .collect(),
            None => ["HOME", "USERPROFILE"]
                .iter()
                .find_map(|name| environment.os(name))
                .map(|home| Path::new(home).join(".kube").join("config"))
                .into_iter()
                .collect(),
        };
        for path in paths {
            merged.add(&path)?;
        }
        Ok(merged)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.contexts.is_empty() && self.clusters.is_empty() && self.users.is_empty()
    }

    /// Adds what a file holds; `false` if there is no such file.
    fn add(&mut self, path: &Path) -> Result<bool, Problems> {
        let wrong = |why: String| format!("error loading config file \"{}\": {why}", path.display());
        let text = match std::fs::read(path) {
            Ok(bytes) => text(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => Err(format!("read {}: {}", path.display(), reason(&error))),
        };
        // Of several documents client-go reads the first.
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text.map_err(wrong)?).map_err(|error| {
            wrong(format!(
                "yaml: {}",
                without_values(&error.without_snippet().to_string())
            ))
        })?;
        let mut fields = match documents.into_iter().next() {
            None | Some(Value::Null) => return Ok(true),
            Some(Value::Object(fields)) => fields,
            Some(_) => return Err(wrong("it is not a map".to_owned()).into()),
        };
        if let Some(Value::String(name)) = fields.remove("current-context")
            && self.current_context.is_none()
            && !name.is_empty()
        {
            self.current_context = Some(name);
        }
        for (list, kind, entries) in [
            ("contexts", "context", &mut self.contexts),
            ("clusters", "cluster", &mut self.clusters),
            ("users", "user", &mut self.users),
        ] {
            let named = match fields.remove(list) {
                None | Some(Value::Null) => continue,
                Some(Value::Array(named)) => named,
                Some(_) => return Err(wrong(format!("{list} is not a list")).into()),
            };
            let mut names: HashSet<String> = entries.iter().map(|entry| entry.name.clone()).collect();
            let read = named
                .into_iter()
                .filter_map(|named| Entry::new(named, kind, path));
            entries.extend(read.filter(|entry| names.insert(entry.name.clone())));
        }
        Ok(true)
    }
}

impl Entry {
    /// `None` for what has no name, so that nothing can refer to it.
    fn new(mut named: Value, kind: &'static str, file: &Path) -> Option<Self> {
        let name = named.get("name")?.as_str()?.to_owned();
        let mut value = named.get_mut(kind).map(Value::take).unwrap_or_default();
        drop_nulls(&mut value);
        let value = match value {
            Value::Object(value) => value,
            Value::Null => Map::new(),
            // Kept as something that no entry can be read from.
            other => Map::from_iter([(String::new(), other)]),
        };
        Some(Self {
            name,
            value,
            kind,
            file: file.to_owned(),
        })
    }

    /// A field that is a text.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.value
            .get(field)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    /// The entry as kube has it, with absolute paths, and base64 in one line.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Problems> {
        let wrong = |why: &str| {
            let (file, kind, name) = (self.file.display(), self.kind, &self.name);
            Problems::from(format!(
                "error loading config file \"{file}\": {kind} {name:?}: {why}"
            ))
        };
        if self.value.contains_key("") {
            return Err(wrong("it is not a map"));
        }
        let mut value = self.value.clone();
        for field in BASE64 {
            let Some(Value::String(text)) = value.get_mut(field) else {
                continue;
            };
            text.retain(|c| !matches!(c, '\r' | '\n'));
            if STANDARD.decode(&*text).is_err() {
                return Err(wrong(&format!("{field} is not valid base64")));
            }
        }
        let folder = self.file.parent().unwrap_or(Path::new(""));
        let absolute = |text: &mut Value| {
            if let Value::String(text) = text
                && !text.is_empty()
                && let Some(path) = folder.join(&*text).to_str()
            {
                *text = path.to_owned();
            }
        };
        for field in PATHS {
            value.get_mut(field).map(absolute);
        }
        // A command without a folder is looked for on PATH.
        let command = value.get_mut("exec").and_then(|exec| exec.get_mut("command"));
        command
            .filter(|command| command.as_str().is_some_and(|text| text.contains(MAIN_SEPARATOR)))
            .map(absolute);
        serde_json::from_value(Value::Object(value))
            .map_err(|error| wrong(&without_values(&error.to_string())))
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(drop_nulls);
        }
        _ => {}
    }
}

/// UTF-8, or what a byte order mark says: PowerShell's `>` writes UTF-16.
fn text(bytes: Vec<u8>) -> Result<String, String> {
    let utf_16 = |unit: fn([u8; 2]) -> u16| {
        let (units, _) = bytes.as_chunks::<2>();
        let units: Vec<u16> = units.iter().skip(1).map(|pair| unit(*pair)).collect();
        String::from_utf16(&units).map_err(|_| "it is not valid UTF-16".to_owned())
    };
    match bytes.as_slice() {
        [0xFF, 0xFE, ..] => utf_16(u16::from_le_bytes),
        [0xFE, 0xFF, ..] => utf_16(u16::from_be_bytes),
        _ => {
            let text = String::from_utf8(bytes).map_err(|_| "it is not valid UTF-8".to_owned())?;
            Ok(match text.strip_prefix('\u{feff}') {
                Some(rest) => rest.to_owned(),
                None => text,
            })
        }
    }
}

/// A reader's message without the values that it quotes: one of them may be a token.
fn without_values(message: &str) -> String {
    let mut parts = message.split('"');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (i, part) in parts.enumerate() {
        text.push('"');
        text.push_str(if i % 2 == 0 { "…" } else { part });
    }
    text
}
