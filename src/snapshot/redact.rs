//! A snapshot that can be given away: values of environment variables, users and titles replaced by stand-ins.
//!
//! Equal values get equal stand-ins, wherever they stand, so that a redacted snapshot answers as the original does: a
//! `test` of a patch still meets the value it met, a live pod still equals the rendered one. Stand-ins are numbered in
//! the order in which a value is met, and not made from the value by a hash, which could be guessed.
//!
//! A value of a variable is found in column `env`, below `env` of any container, in an operation of a patch whose path
//! leads there, in a `{extra_env}` or `{project_config}` in base64, and in JSON that stands in a string, such as
//! kubectl's annotation of the last applied configuration. Ids of projects, images and placeholders within a value
//! stay, since they say nothing that is not said elsewhere.

use std::collections::{BTreeSet, HashMap, HashSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{Column, Project, Snapshot, is_uuid, project_id_of};
use crate::{
    json::{self, JsString, Json},
    output::mask::is_secret,
    pipeline::placeholders::Placeholder,
};

/// What a stand-in of a text begins with.
const STAND_IN: &str = "redacted-";

/// The snapshot with stand-ins for values of environment variables, ids of users, and titles of projects and licenses.
#[must_use]
pub fn redact(mut snapshot: Snapshot) -> Snapshot {
    let mut redactor = Redactor {
        users: users(&snapshot),
        projects: snapshot
            .projects
            .iter()
            .map(|project| project.project_id.to_string())
            .chain(
                snapshot
                    .live_pods
                    .iter()
                    .filter_map(project_id_of)
                    .map(str::to_owned),
            )
            .filter(|id| is_uuid(id))
            .collect(),
        kept: kept(&snapshot),
        tags: snapshot
            .software
            .iter()
            .flat_map(|software| software.environments.values())
            .map(|environment| environment.tag.clone())
            .collect(),
        values: HashMap::new(),
    };
    if let Some(template) = &mut snapshot.template {
        template.text = redactor.template(&template.text);
    }
    if let Some(assumptions) = &mut snapshot.assumptions {
        for (_, value) in &mut assumptions.project_config {
            *value = redactor.value(value);
        }
    }
    for (i, license) in snapshot.site_licenses.values_mut().enumerate() {
        if !license.title.is_empty() {
            license.title = format!("license {}", i + 1);
        }
        license.quota = redactor.quota(&license.quota);
        for manager in &mut license.managers {
            *manager = redactor.user(manager);
        }
    }
    for (i, project) in snapshot.projects.iter_mut().enumerate() {
        if !project.title.is_empty() {
            project.title = format!("project {}", i + 1).into();
        }
        redactor.project(project);
    }
    for pod in &mut snapshot.live_pods {
        *pod = redactor.value(pod);
    }
    snapshot
}

struct Redactor {
    /// Stand-ins of users.
    users: HashMap<String, String>,
    /// Ids of projects, which stay within a value.
    projects: HashSet<String>,
    /// Placeholders and images, which stay too; the longest first.
    kept: Vec<String>,
    /// Tags of images, which stay as a whole value.
    tags: HashSet<String>,
    /// Numbers of the stand-ins of values.
    values: HashMap<String, usize>,
}

/// Stand-ins of all users, numbered in the order of a jsonb column: of two users the same one comes first.
fn users(snapshot: &Snapshot) -> HashMap<String, String> {
    let mut found: BTreeSet<(usize, String)> = BTreeSet::new();
    let mut add = |id: &str| found.insert((id.len(), id.to_owned()));
    for manager in snapshot
        .site_licenses
        .values()
        .flat_map(|license| &license.managers)
    {
        add(manager);
    }
    for project in &snapshot.projects {
        if let Ok(users) = project.users.value() {
            for (id, _) in users.members() {
                add(&id.to_string_lossy());
            }
        }
        if let Ok(quota) = project.run_quota.value() {
            account_ids(&quota, &mut |id| {
                add(id);
            });
        }
    }
    let numbered = found.into_iter().zip(1_u64..);
    numbered
        .map(|((_, id), number)| (id, format!("aaaaaaaa-0000-4000-8000-{number:012x}")))
        .collect()
}

fn account_ids(json: &Json, found: &mut dyn FnMut(&str)) {
    match json {
        Json::List(list) => list.iter().for_each(|element| account_ids(element, found)),
        Json::Map(map) => {
            if let Some(id) = json.get("account_id").and_then(Json::as_str) {
                found(id);
            }
            map.values().for_each(|value| account_ids(value, found));
        }
        _ => {}
    }
}

/// Placeholders and images.
fn kept(snapshot: &Snapshot) -> Vec<String> {
    let mut kept: Vec<String> = Placeholder::ALL.iter().map(|p| p.text().to_owned()).collect();
    let environments = snapshot
        .software
        .iter()
        .flat_map(|software| software.environments.values());
    for environment in environments {
        // A short word could stand within any value.
        if let Some(registry) = environment
            .registry
            .as_ref()
            .filter(|registry| registry.len() >= 8)
        {
            kept.push(format!("{registry}:{}", environment.tag));
            kept.push(registry.clone());
        }
    }
    kept.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    kept.dedup();
    kept
}

impl Redactor {
    fn project(&mut self, project: &mut Project) {
        self.column(&mut project.settings, Self::json);
        self.column(&mut project.users, Self::users_column);
        self.column(&mut project.site_license, |redactor, json| match json {
            Json::Map(_) => map_members(json, |_, entry| Some(redactor.entry(entry))),
            other => redactor.json(other),
        });
        self.column(&mut project.run_quota, Self::quota);
        self.column(&mut project.env, Self::all);
    }

    /// What a project holds of a license.
    fn entry(&mut self, entry: &Json) -> Json {
        match entry {
            Json::Map(_) => map_members(entry, |name, value| {
                Some(match value {
                    Json::Map(_) if *name == "quota" => self.quota(value),
                    value => self.member(name, value),
                })
            }),
            other => self.json(other),
        }
    }

    fn column(&mut self, column: &mut Column, redacted: impl FnOnce(&mut Self, &Json) -> Json) {
        // What is no JSON was refused when it was read; it must not slip through here.
        let json = column.value().unwrap_or_default();
        if !json.is_null() {
            *column = Column::from_text(redacted(self, &json).stringify());
        }
    }

    /// Column `users`: of each user the group and the upgrades, which is all that anything depends on. There may be
    /// keys of SSH beside them.
    fn users_column(&mut self, json: &Json) -> Json {
        let Json::Map(users) = json else {
            return self.all(json);
        };
        Json::map(users.iter().map(|(id, user)| {
            let kept = map_members(user, |name, value| {
                (*name == "group" || *name == "upgrades").then(|| value.clone())
            });
            (JsString::from(self.user(&id.to_string_lossy())), kept)
        }))
    }

    fn user(&mut self, id: &str) -> String {
        self.users.get(id).cloned().unwrap_or_else(|| self.text(id))
    }

    /// A license's quota, or a project's: everything stays but what its patch does to environment variables.
    fn quota(&mut self, quota: &Json) -> Json {
        match quota {
            Json::Map(_) => map_members(quota, |name, value| {
                Some(match value {
                    Json::String(text) if *name == "patch" => Json::string(&self.patch(text)),
                    value => self.member(name, value),
                })
            }),
            other => self.json(other),
        }
    }

    /// The text of a patch. One that is no JSON, which CoCalc drops, may hold anything anywhere: nothing of it stays.
    fn patch(&mut self, text: &JsString) -> String {
        let text = text.to_string_lossy();
        if text.trim().is_empty() {
            return text;
        }
        self.json_text(&text)
            .unwrap_or_else(|| format!("redacted: {} characters that are no JSON", text.chars().count()))
    }

    /// The template's text, of which every string stays that holds nothing but placeholders.
    fn template(&mut self, text: &str) -> String {
        match self.json_text(text) {
            Some(redacted) => redacted,
            None => self.values_in_text(text),
        }
    }

    /// JSON text as it is, if there is nothing to replace in it, else written anew. `None` if it is no JSON.
    fn json_text(&mut self, text: &str) -> Option<String> {
        let (json, notes) = json::parse_with_notes(text).ok()?;
        let redacted = self.json(&json);
        // A value that another one of the same name takes the place of would stay in the text.
        Some(if redacted == json && notes.duplicates.is_empty() {
            text.to_owned()
        } else {
            redacted.stringify()
        })
    }

    /// A text that becomes JSON only when its placeholders are filled: every string behind `"value":`.
    fn values_in_text(&mut self, text: &str) -> String {
        let mut redacted = String::with_capacity(text.len());
        let mut rest = text;
        let mut is_value = false;
        while let Some(open) = rest.find('"') {
            let (before, string) = rest.split_at(open);
            redacted.push_str(before);
            is_value &= before.trim() == ":";
            let Some(end) = end_of_string(string) else {
                // Nothing closes it: all of the rest may be a value.
                redacted.push_str("\"redacted");
                return redacted;
            };
            let (string, tail) = string.split_at(end);
            match json::parse(string) {
                Ok(Json::String(value)) if is_value => {
                    json::write_text(&self.variable("", &value.to_string_lossy()), &mut redacted);
                }
                _ => redacted.push_str(string),
            }
            is_value = string == "\"value\"";
            rest = tail;
        }
        redacted.push_str(rest);
        redacted
    }

    fn value(&mut self, value: &Value) -> Value {
        match self.json(&Json::from(value)).to_value() {
            Ok(redacted) if redacted == json::with_js_numbers(value) => value.clone(),
            Ok(redacted) => redacted,
            Err(_) => Value::Null,
        }
    }

    /// Any value, with stand-ins where it holds what must not be given away.
    fn json(&mut self, json: &Json) -> Json {
        match json {
            // A half surrogate pair stands in no JSON and no base64.
            Json::String(text) => text
                .as_str()
                .map_or_else(|| json.clone(), |text| Json::string(&self.string(text))),
            Json::List(list) => Json::list(list.iter().map(|element| self.json(element)).collect()),
            Json::Map(map) => {
                let tail = json
                    .get("op")
                    .and(json.get("path"))
                    .and_then(Json::as_str)
                    .and_then(below_env);
                let secret = json
                    .get("name")
                    .and_then(Json::as_str)
                    .filter(|name| is_secret(name));
                Json::map(map.iter().map(|(name, value)| {
                    let new = match (name.as_str(), tail, secret) {
                        (Some("value"), Some(()), _) => self.env(value),
                        (Some("value"), None, Some(secret)) => self.leaf(secret, value),
                        _ => self.member(name, value),
                    };
                    let user = name.as_str().and_then(|name| self.users.get(name));
                    (
                        user.map_or_else(|| name.clone(), |user| user.as_str().into()),
                        new,
                    )
                }))
            }
            scalar => scalar.clone(),
        }
    }

    /// A member of any map. A label may be called `env`, but is a string.
    fn member(&mut self, name: &JsString, value: &Json) -> Json {
        match value {
            Json::List(_) | Json::Map(_) if *name == "env" => self.env(value),
            _ => self.json(value),
        }
    }

    /// What stands at or below `env`: a list of variables, one of them, the value of one, or a map from name to value.
    fn env(&mut self, value: &Json) -> Json {
        match value {
            Json::List(list) => Json::list(list.iter().map(|element| self.env(element)).collect()),
            Json::Map(map) => {
                let is_variable = value.get("name").is_some();
                let of = value.get("name").and_then(Json::as_str).unwrap_or_default();
                Json::map(map.iter().map(|(name, value)| {
                    let new = match name.as_str() {
                        Some("name") if is_variable => value.clone(),
                        Some("valueFrom") => self.json(value),
                        _ if is_variable => self.leaf(of, value),
                        _ => self.leaf(&name.to_string_lossy(), value),
                    };
                    (name.clone(), new)
                }))
            }
            leaf => self.leaf("", leaf),
        }
    }

    /// The value of a variable.
    fn leaf(&mut self, name: &str, value: &Json) -> Json {
        match value {
            Json::String(text) => Json::string(&self.variable(name, &text.to_string_lossy())),
            other => self.all(other),
        }
    }

    /// Every text and number in a value.
    fn all(&mut self, json: &Json) -> Json {
        match json {
            Json::String(text) => Json::string(&self.text(&text.to_string_lossy())),
            #[expect(clippy::cast_precision_loss, reason = "there are no 2^53 different values")]
            Json::Number(number) => Json::Number(self.number(&json::number_text(*number)) as f64),
            Json::List(list) => Json::list(list.iter().map(|element| self.all(element)).collect()),
            Json::Map(map) => Json::map(map.iter().map(|(name, value)| (name.clone(), self.all(value)))),
            other => other.clone(),
        }
    }

    /// The value of the variable of this name, as text. In base64 of JSON the names stay: it may be an `{extra_env}` or
    /// `{project_config}`.
    fn variable(&mut self, name: &str, value: &str) -> String {
        match decoded(value) {
            Some(json) if name == "COCALC_EXTRA_ENV" => STANDARD.encode(self.all(&json).stringify()),
            Some(json) => self.encoded(&json),
            None => self.text(value),
        }
    }

    /// A `{project_config}`, of which the quota stays, or an `{extra_env}`.
    fn encoded(&mut self, json: &Json) -> String {
        let redacted = match json.get("quota") {
            Some(Json::Map(_)) => map_members(json, |name, value| {
                Some(if *name == "quota" {
                    self.quota(value)
                } else {
                    self.member(name, value)
                })
            }),
            _ => self.all(json),
        };
        STANDARD.encode(redacted.stringify())
    }

    /// A string that is the value of no variable, but may hold such in JSON or base64.
    fn string(&mut self, text: &str) -> String {
        if let Some(user) = self.users.get(text) {
            return user.clone();
        }
        if text.trim_start().starts_with(['{', '['])
            && let Some(redacted) = self.json_text(text)
        {
            return redacted;
        }
        let mut redacted = String::new();
        let mut rest = text;
        // Base64 of what begins with `{"`.
        while let Some(at) = rest.find("eyJ") {
            let (before, tail) = rest.split_at(at);
            redacted.push_str(before);
            let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
            let end = tail.find(|c| !is_digit(c)).unwrap_or(tail.len());
            let (digits, tail) = tail.split_at(end);
            match decoded(digits) {
                Some(json) => redacted.push_str(&self.encoded(&json)),
                None => redacted.push_str(digits),
            }
            rest = tail;
        }
        redacted.push_str(rest);
        redacted
    }

    /// A stand-in for a text, in which stays what may.
    fn text(&mut self, text: &str) -> String {
        if let Some(user) = self.users.get(text) {
            return user.clone();
        }
        if self.tags.contains(text) {
            return text.to_owned();
        }
        let mut redacted = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (at, length) = self.next_kept(rest).unwrap_or((rest.len(), 0));
            let (piece, tail) = rest.split_at(at);
            let (stays, tail) = tail.split_at(length);
            // Between two parts that stay, as in `IMAGE:TAG`.
            let separates = piece.len() < text.len()
                && piece.len() <= 3
                && piece.chars().all(|c| " :/@=,._-".contains(c));
            if separates {
                redacted.push_str(piece);
            } else {
                redacted.push_str(&format!("{STAND_IN}{}", self.number(piece)));
            }
            redacted.push_str(stays);
            rest = tail;
        }
        redacted
    }

    /// Where the next part that stays begins, and its length.
    fn next_kept(&self, text: &str) -> Option<(usize, usize)> {
        /// Length of a UUID, and where its first dash stands.
        const UUID: (usize, usize) = (36, 8);
        let id = text
            .match_indices('-')
            .filter_map(|(dash, _)| dash.checked_sub(UUID.1))
            .find(|at| {
                text.get(*at..at + UUID.0)
                    .is_some_and(|id| self.projects.contains(id))
            })
            .map(|at| (at, UUID.0));
        let kept = self.kept.iter();
        kept.filter_map(|kept| Some((text.find(kept.as_str())?, kept.len())))
            .chain(id)
            .min_by_key(|(at, length)| (*at, std::cmp::Reverse(*length)))
    }

    fn number(&mut self, value: &str) -> usize {
        let next = self.values.len() + 1;
        *self.values.entry(value.to_owned()).or_insert(next)
    }
}

/// The same map with other values; `None` leaves a member out. What is no map stays.
fn map_members(json: &Json, mut new: impl FnMut(&JsString, &Json) -> Option<Json>) -> Json {
    match json {
        Json::Map(map) => Json::map(
            map.iter()
                .filter_map(|(name, value)| Some((name.clone(), new(name, value)?))),
        ),
        other => other.clone(),
    }
}

/// Whether an operation with this path writes values of variables: what is below `env`. A label may have this name.
fn below_env(path: &str) -> Option<()> {
    let segments: Vec<&str> = path.split('/').collect();
    let at = segments.iter().position(|segment| *segment == "env")?;
    let above = at.checked_sub(1).and_then(|above| segments.get(above));
    if above.is_some_and(|above| ["labels", "annotations", "nodeSelector", "matchLabels"].contains(above)) {
        return None;
    }
    // `/env`, `/env/0`, `/env/0/value`, and not `/env/0/name`.
    segments
        .get(at + 2)
        .is_none_or(|field| *field == "value")
        .then_some(())
}

/// The map that is in this base64.
fn decoded(text: &str) -> Option<Json> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    json::parse(std::str::from_utf8(&bytes).ok()?)
        .ok()
        .filter(|json| json.as_map().is_some())
}

/// The length of the string in JSON that begins here, its quotes included.
fn end_of_string(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}
