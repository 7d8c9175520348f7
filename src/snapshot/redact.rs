//! A snapshot that can be given away: every text that is not known to be needed is replaced by a stand-in of its form.
//!
//! One walk goes over template, patches, pods, rows and settings alike. What stays is structure, numbers, quantities,
//! times, placeholders, ids of projects and licenses, and the words of Kubernetes and CoCalc (`words.rs`). Everything
//! else is replaced word by word (`stand_in.rs`), and the same word by the same stand-in wherever it is: a `test` of a
//! patch still meets the value it met, a mount its volume, a path of an operation its member, a live pod the rendered
//! one. So a redacted snapshot gives the verdicts of the original. JSON within a text and in base64 is walked too.
//!
//! Which words stay depends on the place (`Place`): `name` is Kubernetes' word for a member, but may be the password
//! in a variable.

mod stand_in;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{Column, NetworkPlace, Project, ProjectContainer, Snapshot, is_uuid, project_id_of};
use crate::{
    json::{self, JsString, Json, is_invisible},
    output::mask::is_secret,
    pipeline::placeholders::{Placeholder, misspelt},
};
use stand_in::StandIns;
use words::{SECRETS, Words};

/// What was replaced: how many texts of which kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    counts: BTreeMap<Kind, usize>,
}

/// What a replaced text was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Variable,
    EMail,
    Address,
    Id,
    Host,
    Path,
    Name,
    Text,
    ManagedFields,
}

impl Kind {
    fn of(text: &str, place: Place) -> Self {
        let has = |c: char| text.contains(c);
        let is_plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
        let is_email = || {
            text.split(|c: char| c.is_whitespace() || "<>,;\"".contains(c))
                .filter_map(|word| word.split_once('@'))
                .any(|(user, host)| !user.is_empty() && host.contains('.') && !user.contains(['/', ':']))
        };
        if place == Place::Secret {
            Self::Variable
        } else if is_uuid(text) {
            Self::Id
        } else if is_email() {
            Self::EMail
        } else if stand_in::address(text).is_some() {
            Self::Address
        } else if is_plain && text.starts_with('/') {
            Self::Path
        } else if is_plain && (has('.') || has('/') || has(':')) && !has('=') {
            Self::Host
        } else if is_plain && text.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c)) {
            Self::Name
        } else {
            Self::Text
        }
    }

    /// In the singular and in the plural.
    fn words(self) -> [&'static str; 2] {
        match self {
            Self::Variable => [
                "value of an environment variable",
                "values of environment variables",
            ],
            Self::EMail => ["e-mail address", "e-mail addresses"],
            Self::Address => ["IP address", "IP addresses"],
            Self::Id => ["UUID", "UUIDs"],
            Self::Host => ["host, image or URL", "hosts, images and URLs"],
            Self::Path => ["path", "paths"],
            Self::Name => ["name", "names"],
            Self::Text => ["other text", "other texts"],
            Self::ManagedFields => [
                "list of managedFields left out",
                "lists of managedFields left out",
            ],
        }
    }
}

/// `3 e-mail addresses, 1 IP address, 12 names`
impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.counts.is_empty() {
            return f.write_str("nothing");
        }
        for (i, (kind, count)) in self.counts.iter().enumerate() {
            let [one, many] = kind.words();
            let separator = if i == 0 { "" } else { ", " };
            write!(f, "{separator}{count} {}", if *count == 1 { one } else { many })?;
        }
        Ok(())
    }
}

/// Where a text is, which decides what of it stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The name of a member, or a text that is made of such names, such as the path of an operation.
    Name,
    /// A text like any other.
    Text,
    /// The same where a number in a text is a number: quantities of resources, columns of licenses and projects.
    Quantity,
    /// The value of a variable: nothing stays but what tells nothing.
    Secret,
}

/// What stands between words besides them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    Plain,
    /// JSON that cannot be read: a backslash and what follows belong together.
    Json,
    /// A JSON pointer: the same of a tilde.
    Pointer,
}

/// The snapshot with stand-ins for all that is not known to be needed, and what was replaced.
#[must_use]
pub fn redact(mut snapshot: Snapshot) -> (Snapshot, Replaced) {
    let mut redactor = Redactor {
        kept_ids: kept_ids(&snapshot),
        words: Words::new(),
        stand_ins: StandIns::default(),
        replaced: Replaced::default(),
    };
    // The order of users is the order in which CoCalc adds up their upgrades.
    for user in users(&snapshot) {
        redactor.text(&user, Place::Text, Syntax::Plain);
    }
    if let Some(settings) = &mut snapshot.server_settings {
        *settings = std::mem::take(settings)
            .into_iter()
            .map(|(name, value)| {
                let name = redactor.leaf(&name, Place::Name);
                (name, redactor.json(&value, Place::Quantity))
            })
            .collect();
    }
    if let Some(template) = &mut snapshot.template {
        template.text = redactor
            .json_text(&template.text, Place::Text)
            .unwrap_or_else(|| redactor.counted(&template.text, Place::Name, Syntax::Json));
        template.source = redactor.leaf(&template.source, Place::Text);
    }
    redactor.software(&mut snapshot);
    redactor.assumptions(&mut snapshot);
    for license in snapshot.site_licenses.values_mut() {
        license.title = redactor.leaf(&license.title, Place::Text);
        license.quota = redactor.json(&license.quota, Place::Quantity);
        license.upgrades = redactor.json(&license.upgrades, Place::Quantity);
        for manager in &mut license.managers {
            *manager = redactor.leaf(manager, Place::Text);
        }
    }
    for project in &mut snapshot.projects {
        redactor.project(project);
    }
    for pod in &mut snapshot.live_pods {
        redactor.live_pod(pod);
    }
    (snapshot, redactor.replaced)
}

struct Redactor {
    /// Ids of projects and licenses, in lower case.
    kept_ids: HashSet<String>,
    words: Words,
    stand_ins: StandIns,
    replaced: Replaced,
}

/// Ids of projects and licenses, which say nothing and by which everything is found.
fn kept_ids(snapshot: &Snapshot) -> HashSet<String> {
    let mut ids: HashSet<String> = snapshot
        .site_licenses
        .keys()
        .chain(snapshot.license_usage.keys())
        .chain(snapshot.uncountable.keys())
        .chain(snapshot.uncountable.values())
        .chain(&snapshot.held_elsewhere)
        .map(|id| id.to_lowercase())
        .collect();
    ids.extend(
        snapshot
            .live_pods
            .iter()
            .filter_map(project_id_of)
            .map(str::to_lowercase),
    );
    for project in &snapshot.projects {
        ids.insert(project.project_id.to_lowercase());
        if let Ok(held) = project.site_license.value() {
            ids.extend(
                held.members()
                    .iter()
                    .map(|(id, _)| id.to_string_lossy().to_lowercase()),
            );
        }
    }
    ids.retain(|id| is_uuid(id));
    ids
}

/// The users of all projects who have an account's id, in the order of a jsonb column.
fn users(snapshot: &Snapshot) -> BTreeSet<String> {
    let mut users = BTreeSet::new();
    for project in &snapshot.projects {
        if let Ok(column) = project.users.value() {
            users.extend(
                column
                    .members()
                    .iter()
                    .filter_map(|(id, _)| id.as_str().map(str::to_owned)),
            );
        }
    }
    users.retain(|id| is_uuid(id));
    users
}

impl Redactor {
    fn software(&mut self, snapshot: &mut Snapshot) {
        let Some(software) = &mut snapshot.software else {
            return;
        };
        if let Some(default) = &mut software.default {
            *default = self.leaf(default, Place::Text);
        }
        software.environments = std::mem::take(&mut software.environments)
            .into_iter()
            .map(|(id, mut environment)| {
                // CoCalc puts these into the template's text as they are: a backslash begins an escape there.
                environment.tag = self.counted(&environment.tag, Place::Text, Syntax::Json);
                if let Some(registry) = &mut environment.registry {
                    *registry = self.counted(registry, Place::Text, Syntax::Json);
                }
                if let Some(title) = &mut environment.title {
                    *title = self.leaf(title, Place::Text);
                }
                (self.leaf(&id, Place::Text), environment)
            })
            .collect();
    }

    fn assumptions(&mut self, snapshot: &mut Snapshot) {
        let Some(assumptions) = &mut snapshot.assumptions else {
            return;
        };
        if let ProjectContainer::Name(name) = &mut assumptions.project_container {
            *name = self.leaf(name, Place::Text);
        }
        assumptions.software_mount = self.leaf(&assumptions.software_mount, Place::Text);
        assumptions.dedicated_vm.key = self.leaf(&assumptions.dedicated_vm.key, Place::Name);
        if let Some(network) = &mut assumptions.network {
            let (NetworkPlace::Label(name) | NetworkPlace::Annotation(name)) = &mut network.place;
            *name = self.leaf(name, Place::Name);
            network.on = self.leaf(&network.on, Place::Text);
            network.off = self.leaf(&network.off, Place::Text);
        }
        let beside = Json::from(&Value::Object(std::mem::take(&mut assumptions.project_config)));
        if let Ok(Value::Object(beside)) = self.json(&beside, Place::Quantity).to_value() {
            assumptions.project_config = beside;
        }
    }

    fn project(&mut self, project: &mut Project) {
        project.title = self.leaf(&project.title, Place::Text).into();
        for text in [&mut project.state, &mut project.compute_image]
            .into_iter()
            .flatten()
        {
            *text = self.leaf(text, Place::Text).into();
        }
        for column in [
            &mut project.settings,
            &mut project.site_license,
            &mut project.run_quota,
        ] {
            self.column(column, |redactor, json| redactor.json(json, Place::Quantity));
        }
        self.column(&mut project.users, Self::users_column);
        self.column(&mut project.env, |redactor, json| {
            redactor.json(json, Place::Secret)
        });
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
            return self.json(json, Place::Quantity);
        };
        Json::map(users.iter().map(|(id, user)| {
            let needed = match user {
                Json::Map(user) => Json::map(
                    user.iter()
                        .filter(|(name, _)| **name == "group" || **name == "upgrades")
                        .map(|(name, value)| (name.clone(), value.clone())),
                ),
                other => other.clone(),
            };
            (self.string(id, Place::Text), self.json(&needed, Place::Quantity))
        }))
    }

    fn live_pod(&mut self, pod: &mut Value) {
        let metadata = pod.get_mut("metadata").and_then(Value::as_object_mut);
        if metadata.is_some_and(|metadata| metadata.remove("managedFields").is_some()) {
            self.count(Kind::ManagedFields);
        }
        match self.json(&Json::from(&*pod), Place::Text).to_value() {
            // Numbers beyond 2^53 stay as they are where nothing was replaced.
            Ok(redacted) if redacted == json::with_js_numbers(pod) => {}
            Ok(redacted) => *pod = redacted,
            Err(_) => *pod = Value::Null,
        }
    }

    /// Any value.
    fn json(&mut self, json: &Json, place: Place) -> Json {
        match json {
            Json::String(text) => Json::String(self.string(text, place)),
            Json::Number(number) if place == Place::Secret => {
                self.count(Kind::Variable);
                Json::Number(self.stand_ins.number(*number).into())
            }
            Json::List(list) => Json::list(list.iter().map(|element| self.json(element, place)).collect()),
            Json::Map(map) => {
                let text = |name: &str| json.get(name).and_then(Json::as_str);
                // An operation's value belongs to where it goes.
                let goes_to = json.get("op").and(text("path"));
                let is_variable = text("name").is_some_and(is_secret);
                Json::map(map.iter().map(|(name, value)| {
                    let new = match (name.as_str(), goes_to) {
                        (Some("path" | "from"), Some(_)) => self.pointer(value),
                        (Some("value"), Some(path)) => self.value_at(path, value),
                        (Some("value"), None) if is_variable => self.json(value, Place::Secret),
                        (Some(name), _) => self.member(name, value, place),
                        (None, _) => self.json(value, place),
                    };
                    let name_place = if place == Place::Secret {
                        Place::Text
                    } else {
                        Place::Name
                    };
                    (self.string(name, name_place), new)
                }))
            }
            scalar => scalar.clone(),
        }
    }

    /// The value of a member of this name.
    fn member(&mut self, name: &str, value: &Json, place: Place) -> Json {
        match (name, value) {
            _ if place == Place::Secret => self.json(value, place),
            // A label may have this name, but is a string.
            ("env", Json::List(_) | Json::Map(_)) => self.env(value, false),
            ("patch", Json::String(text)) if place == Place::Quantity => {
                Json::String(self.in_pieces(text, Self::patch))
            }
            ("patch", _) if place == Place::Quantity => self.json(value, Place::Text),
            ("nodeLabel" | "toleration", Json::String(text)) => {
                Json::string(&self.pairs(&text.to_string_lossy()))
            }
            (_, Json::String(_)) if holds_a_name(name) => self.json(value, Place::Name),
            _ if holds_quantities(name) => self.json(value, Place::Quantity),
            _ => self.json(value, place),
        }
    }

    /// The text of a license's patch. One that CoCalc cannot read may be an attempt that findings are about.
    fn patch(&mut self, text: &str) -> String {
        self.json_text(text, Place::Text)
            .unwrap_or_else(|| self.counted(text, Place::Name, Syntax::Json))
    }

    /// Labels or taints of a license's `gpu`: `key=value,key=value`.
    fn pairs(&mut self, text: &str) -> String {
        let pair = |pair: &str| match pair.split_once('=') {
            Some((key, value)) => {
                let key = self.leaf(key, Place::Name);
                format!("{key}={}", self.leaf(value, Place::Text))
            }
            None => self.leaf(pair, Place::Name),
        };
        text.split(',').map(pair).collect::<Vec<_>>().join(",")
    }

    /// What is at or below `env`: a list of variables, one of them, or a map from name to value.
    fn env(&mut self, value: &Json, is_variable: bool) -> Json {
        match value {
            Json::List(list) => Json::list(list.iter().map(|element| self.env(element, true)).collect()),
            Json::Map(map) if is_variable => {
                let name_of = value.get("name").and_then(Json::as_str).unwrap_or_default();
                Json::map(map.iter().map(|(name, value)| {
                    let new = match (name.as_str(), value) {
                        (Some("name" | "valueFrom"), _) => self.json(value, Place::Text),
                        (_, Json::String(text)) => Json::String(self.variable(name_of, text)),
                        _ => self.json(value, Place::Secret),
                    };
                    (self.string(name, Place::Name), new)
                }))
            }
            other => self.json(other, Place::Secret),
        }
    }

    /// The value of the variable of this name. In the first of CoCalc's own everything in base64 is a variable.
    fn variable(&mut self, name: &str, text: &JsString) -> JsString {
        match text.as_str().and_then(decoded) {
            Some(variables) if name == "COCALC_EXTRA_ENV" => {
                let redacted = self.json(&variables, Place::Secret);
                STANDARD.encode(redacted.stringify()).into()
            }
            _ => self.string(text, Place::Secret),
        }
    }

    /// The value of an operation with this path.
    fn value_at(&mut self, path: &str, value: &Json) -> Json {
        let segments: Vec<&str> = path.split('/').collect();
        let is_map = |name: &&str| ["labels", "annotations", "nodeSelector", "matchLabels"].contains(name);
        let last = segments.last().copied().unwrap_or_default();
        let above = segments.len().checked_sub(2).and_then(|at| segments.get(at));
        let env = segments
            .iter()
            .position(|segment| *segment == "env")
            .filter(|at| {
                !at.checked_sub(1)
                    .and_then(|at| segments.get(at))
                    .is_some_and(is_map)
            });
        match env.map(|at| segments.get(at + 1..).unwrap_or_default()) {
            Some([]) => return self.env(value, false),
            Some([_]) => return self.env(value, true),
            Some([_, "name" | "valueFrom", ..]) => {}
            Some(_) => return self.json(value, Place::Secret),
            None => {}
        }
        if above.is_some_and(|above| holds_quantities(above)) {
            return self.json(value, Place::Quantity);
        }
        if above.is_some_and(is_map) {
            return self.json(value, Place::Text);
        }
        self.member(last, value, Place::Text)
    }

    fn pointer(&mut self, value: &Json) -> Json {
        match value {
            Json::String(text) => Json::String(self.in_pieces(text, |redactor, text| {
                redactor.counted(text, Place::Name, Syntax::Pointer)
            })),
            other => self.json(other, Place::Text),
        }
    }

    fn string(&mut self, text: &JsString, place: Place) -> JsString {
        self.in_pieces(text, |redactor, text| redactor.leaf(text, place))
    }

    /// A string by its parts that are text: between them stand halves of surrogate pairs.
    fn in_pieces(
        &mut self,
        text: &JsString,
        mut redacted: impl FnMut(&mut Self, &str) -> String,
    ) -> JsString {
        if let Some(text) = text.as_str() {
            return redacted(self, text).into();
        }
        let mut units = Vec::new();
        let mut piece = String::new();
        for c in char::decode_utf16(text.units()) {
            match c {
                Ok(c) => piece.push(c),
                Err(half) => {
                    units.extend(redacted(self, &std::mem::take(&mut piece)).encode_utf16());
                    units.push(half.unpaired_surrogate());
                }
            }
        }
        units.extend(redacted(self, &piece).encode_utf16());
        JsString::from_units(&units)
    }

    /// A whole text, which may hold JSON.
    fn leaf(&mut self, text: &str, place: Place) -> String {
        let is_json = text.trim_start().starts_with(['{', '[', '"']);
        if is_json && let Some(redacted) = self.json_text(text, place) {
            return redacted;
        }
        match place {
            Place::Secret => self.counted(text, place, Syntax::Plain),
            _ if is_json && text.contains(['"', '\'']) => self.counted(text, Place::Name, Syntax::Json),
            // The path of an operation whose `op` or `path` is misspelt.
            _ if ["/spec", "/metadata", "/status"]
                .iter()
                .any(|start| text.starts_with(start)) =>
            {
                self.counted(text, Place::Name, Syntax::Pointer)
            }
            _ => self.counted(text, place, Syntax::Plain),
        }
    }

    /// JSON text as it is, if there is nothing to replace in it, else written anew. `None` if it is no JSON.
    fn json_text(&mut self, text: &str, place: Place) -> Option<String> {
        let (json, notes) = json::parse_with_notes(text).ok()?;
        let place = if place == Place::Name { Place::Text } else { place };
        let redacted = self.json(&json, place);
        // A value that another one of the same name takes the place of would stay in the text.
        Some(if redacted == json && notes.duplicates.is_empty() {
            text.to_owned()
        } else {
            redacted.stringify()
        })
    }

    /// What is in a base64 text: the quota of a `{project_config}` and what is beside it, else variables.
    fn encoded(&mut self, json: &Json) -> String {
        let redacted = match json.get("quota") {
            Some(Json::Map(_)) => self.json(json, Place::Quantity),
            _ => self.json(json, Place::Secret),
        };
        STANDARD.encode(redacted.stringify())
    }

    fn count(&mut self, kind: Kind) {
        *self.replaced.counts.entry(kind).or_default() += 1;
    }

    /// [`Self::text`], counted if anything is replaced.
    fn counted(&mut self, text: &str, place: Place, syntax: Syntax) -> String {
        let redacted = self.text(text, place, syntax);
        if redacted != text {
            self.count(Kind::of(text, place));
        }
        redacted
    }

    /// A text, word by word. Takes time in proportion to its length.
    fn text(&mut self, text: &str, place: Place, syntax: Syntax) -> String {
        if self.stays(text, place) {
            return text.to_owned();
        }
        // Kubernetes' own labels are made of its words.
        let place = match place {
            Place::Text | Place::Quantity
                if [
                    "kubernetes.io/",
                    "k8s.io/",
                    "nvidia.com/",
                    "amd.com/",
                    "hugepages-",
                ]
                .iter()
                .any(|own| text.contains(own)) =>
            {
                Place::Name
            }
            place => place,
        };
        let mut redacted = String::with_capacity(text.len());
        let mut ids = ids_in(text);
        let mut at = 0;
        while let Some(first) = text.get(at..).and_then(|rest| rest.chars().next()) {
            while ids.front().is_some_and(|id| *id < at) {
                ids.pop_front();
            }
            let next_id = ids.front().copied();
            let end = next_id.filter(|id| *id > at).unwrap_or(text.len());
            let rest = text.get(at..end).unwrap_or_default();
            let before = text.get(..at).and_then(|before| before.chars().next_back());
            let length = if next_id == Some(at) {
                let id = text.get(at..at + UUID).unwrap_or_default();
                if self.kept_ids.contains(&id.to_lowercase()) {
                    redacted.push_str(id);
                } else {
                    redacted.push_str(&self.stand_ins.id(id));
                }
                id.len()
            } else if let Some(word) = placeholder_at(rest) {
                redacted.push_str(word);
                word.len()
            } else if let Some((run, json)) = encoded_at(rest, before) {
                redacted.push_str(&self.encoded(&json));
                run.len()
            } else if let Some(address) = address_at(rest, before) {
                redacted.push_str(&self.stand_ins.address(address));
                let tail = rest.get(address.len()..).unwrap_or_default();
                let mask = mask_of_a_network(tail);
                redacted.push_str(mask);
                address.len() + mask.len()
            } else if is_word(first) {
                let word = rest.split(|c| !is_word(c)).next().unwrap_or_default();
                // In a path an element's index is a word of its own.
                let is_index = syntax == Syntax::Pointer
                    && before == Some('/')
                    && !text
                        .get(at + word.len()..)
                        .is_some_and(|tail| tail.starts_with(|c| c != '/'));
                let number_stays = is_index || (place == Place::Name && word.len() == text.len());
                self.word(word, place, number_stays, &mut redacted);
                word.len()
            } else {
                let pair = pair_at(rest, syntax);
                redacted.push_str(if hides_a_letter(pair) { "\\u0078" } else { pair });
                pair.len()
            };
            at += length.max(1);
        }
        redacted
    }

    fn word(&mut self, word: &str, place: Place, number_stays: bool, redacted: &mut String) {
        let is_number = word.bytes().all(|b| b.is_ascii_digit());
        let stays = match place {
            Place::Secret => false,
            _ if is_number => number_stays,
            _ if is_amount(word) => true,
            Place::Name => self.words.is_name(word),
            Place::Text | Place::Quantity => self.words.is_anywhere(word),
        };
        if stays {
            redacted.push_str(word);
            return;
        }
        // What masks the values of a variable must be in its name as before.
        let secrets = if place == Place::Secret {
            &[][..]
        } else {
            &SECRETS[..]
        };
        let mut done = 0;
        for (at, _) in word.char_indices() {
            let secret = secrets
                .iter()
                .filter_map(|secret| {
                    word.get(at..at + secret.len())
                        .filter(|it| it.eq_ignore_ascii_case(secret))
                })
                .next();
            if at >= done
                && let Some(secret) = secret
            {
                self.part_of_word(word.get(done..at), redacted);
                redacted.push_str(secret);
                done = at + secret.len();
            }
        }
        self.part_of_word(word.get(done..), redacted);
    }

    fn part_of_word(&mut self, part: Option<&str>, redacted: &mut String) {
        if let Some(part) = part.filter(|part| !part.is_empty()) {
            redacted.push_str(&self.stand_ins.word(part, &self.words));
        }
    }

    /// Whether the whole text stays. Of names only their words are looked at, since a path is made of several.
    fn stays(&self, text: &str, place: Place) -> bool {
        if text.is_empty() || place == Place::Name {
            return text.is_empty();
        }
        if ["true", "false", "null"].contains(&text) || text.parse::<jiff::Timestamp>().is_ok() {
            return true;
        }
        match place {
            Place::Secret => self.words.is_variable(text),
            Place::Quantity => is_numeric(text) || self.words.is_value(text),
            Place::Name | Place::Text => self.words.is_value(text) || is_amount(text),
        }
    }
}

/// Members whose text is a name of something that is a member elsewhere.
fn holds_a_name(member: &str) -> bool {
    [
        "op",
        "kind",
        "apiVersion",
        "key",
        "topologyKey",
        "fieldPath",
        "resource",
        "resourceName",
        "conditionType",
    ]
    .contains(&member)
}

/// Members below which a number in a text is a number.
fn holds_quantities(member: &str) -> bool {
    [
        "limits",
        "requests",
        "overhead",
        "capacity",
        "allocatable",
        "allocatedResources",
        "hard",
        "sizeLimit",
        "divisor",
        "cpu",
        "memory",
        "storage",
        "ephemeral-storage",
    ]
    .contains(&member)
}

/// Length of a UUID.
const UUID: usize = 36;

/// Whether it is an escape that may be any letter, and neither half of a surrogate pair nor a control character.
fn hides_a_letter(pair: &str) -> bool {
    pair.strip_prefix("\\u")
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .and_then(char::from_u32)
        .is_some_and(is_word)
}

/// Where UUIDs begin in a text, none within another.
fn ids_in(text: &str) -> std::collections::VecDeque<usize> {
    let mut found = std::collections::VecDeque::new();
    let mut end = 0;
    for (dash, _) in text.match_indices('-') {
        let Some(at) = dash.checked_sub(8).filter(|at| *at >= end) else {
            continue;
        };
        if text
            .get(at..at + UUID)
            .is_some_and(|id| is_uuid(&id.to_lowercase()))
        {
            found.push_back(at);
            end = at + UUID;
        }
    }
    found
}

/// A character that is part of a word.
fn is_word(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric()
    } else {
        !(c.is_whitespace() || c.is_control() || is_invisible(c))
    }
}

/// A placeholder that the text begins with, or a word in braces that is taken for a misspelt one.
fn placeholder_at(text: &str) -> Option<&str> {
    /// Longer than any name that is taken for a misspelt one.
    const LONGEST: usize = 24;
    let end = text.bytes().take(LONGEST).position(|b| b == b'}')?;
    let name = text.get(..end)?.strip_prefix('{')?;
    (Placeholder::from_name(name).is_some() || misspelt(name).is_some())
        .then(|| text.get(..=end))
        .flatten()
}

/// The base64 of a map that the text begins with.
fn encoded_at(text: &str, before: Option<char>) -> Option<(&str, Json)> {
    let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    // Each run of digits is tried once.
    if !text.starts_with("eyJ") || before.is_some_and(is_digit) {
        return None;
    }
    let digits = text.split(|c| !is_digit(c)).next()?;
    let tail = text.get(digits.len()..)?;
    let padding = tail.bytes().take(2).take_while(|b| *b == b'=').count();
    let run = text.get(..digits.len() + padding)?;
    Some((run, decoded(run)?))
}

/// The map that is in this base64.
fn decoded(text: &str) -> Option<Json> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    json::parse(std::str::from_utf8(&bytes).ok()?)
        .ok()
        .filter(|json| json.as_map().is_some())
}

/// The IP address that the text begins with.
fn address_at(text: &str, before: Option<char>) -> Option<&str> {
    /// The longest: eight groups of four digits, or a mapped one.
    const LONGEST: usize = 45;
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
    if !text.starts_with(is_part) || before.is_some_and(|c| is_word(c) || c == '.' || c == ':') {
        return None;
    }
    let run = text.split(|c| !is_part(c)).next()?.trim_end_matches(['.', ':']);
    // An address of version 4 may have a port behind it.
    let v4 = run.split(':').next()?.trim_end_matches('.');
    [run, v4]
        .into_iter()
        .find(|run| run.len() <= LONGEST && stand_in::address(run).is_some())
        .filter(|run| {
            !text
                .get(run.len()..)
                .is_some_and(|tail| tail.starts_with(is_word))
        })
}

/// The size of a network, `/24`, with which a text begins.
fn mask_of_a_network(text: &str) -> &str {
    let Some(tail) = text.strip_prefix('/') else {
        return "";
    };
    let digits = tail
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    let end = tail.get(digits.len()..).and_then(|tail| tail.chars().next());
    if (1..=3).contains(&digits.len()) && !end.is_some_and(is_word) {
        text.get(..digits.len() + 1).unwrap_or_default()
    } else {
        ""
    }
}

/// What stands between words, taken together where it belongs together.
fn pair_at(text: &str, syntax: Syntax) -> &str {
    let mut chars = text.chars();
    let first = chars.next().unwrap_or_default();
    let with_next = first.len_utf8() + chars.next().map_or(0, char::len_utf8);
    let is_escape =
        |text: &str| text.starts_with("\\u") && text.bytes().skip(2).all(|b| b.is_ascii_hexdigit());
    let length = match (syntax, first) {
        (Syntax::Json, '\\') if text.get(..6).is_some_and(is_escape) => 6,
        (Syntax::Json, '\\') | (Syntax::Pointer, '~') => with_next,
        _ => first.len_utf8(),
    };
    text.get(..length).unwrap_or_default()
}

/// A number with a unit of memory or CPU, or what is taken for one: `200Mi`, `20m`, `16 GB`.
fn is_amount(text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    (1..=9).contains(&(text.len() - unit.len()))
        && [
            "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "K", "B", "KB", "kB",
            "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB",
        ]
        .contains(&unit.trim_start())
}

/// A text that is a number, with a unit or what is taken for one: `4000`, `0x10`, `1e3`, `16 GB`.
fn is_numeric(text: &str) -> bool {
    let text = text.trim();
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    if text.len() > 24 || !text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '_');
    let is_exponent = |unit: &str| {
        unit.strip_prefix(['e', 'E'])
            .map(|tail| tail.strip_prefix(['+', '-']).unwrap_or(tail))
            .is_some_and(|tail| !tail.is_empty() && tail.bytes().all(|b| b.is_ascii_digit()))
    };
    let is_radix =
        |(digits, radix): (&str, u32)| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    let radix = text.strip_prefix('0').and_then(|unit| {
        let digits = unit.get(1..)?;
        match unit.as_bytes().first()? {
            b'x' | b'X' => Some((digits, 16)),
            b'o' | b'O' => Some((digits, 8)),
            b'b' | b'B' => Some((digits, 2)),
            _ => None,
        }
    });
    let letters = unit.trim_start();
    is_exponent(unit)
        || radix.is_some_and(is_radix)
        || (letters.len() <= 3 && letters.bytes().all(|b| b.is_ascii_alphabetic()))
}
