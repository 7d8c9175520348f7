//! One document of a source: the snapshot form, row by row, or a Kubernetes manifest.
//!
//! Rows of `projects` may be half a million, so they are made while the text is read, and their `jsonb`
//! columns go from text to text. A document is a snapshot if its first key is one of [`SECTIONS`]; anything
//! else must be a manifest.

use std::borrow::Cow;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::de::{DeserializeSeed, Deserializer, Error as DeError, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{
    Assumptions, Column, License, Project, Software, Template,
    manifests::{self, Manifests},
    place::{Place, excerpt},
    source::{Elements, Key, ListOf, MapOf, Members, Scalar, Single, Source, Tree, compact},
};
use crate::json::{self, Json};

/// The keys of a snapshot file.
pub(super) const SECTIONS: &[&str] = &[
    "now",
    "server_settings",
    "template",
    "template_source",
    "software",
    "assumptions",
    "site_licenses",
    "projects",
    "license_usage",
    "live_pods",
];

/// What the documents of one source hold, each with its place.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Whether there was any document that is not null.
    pub(super) any: bool,
    pub(super) now: Vec<(Timestamp, Place)>,
    pub(super) has_settings: bool,
    pub(super) settings: Vec<(String, Json, Place)>,
    pub(super) templates: Vec<(Template, Place)>,
    /// Where the template of this document was taken from, if it says so.
    pub(super) template_source: Option<String>,
    pub(super) software: Vec<(Software, Place)>,
    pub(super) has_assumptions: bool,
    pub(super) assumptions: Vec<(String, Value, Place)>,
    pub(super) licenses: Vec<(License, Place)>,
    pub(super) has_projects: bool,
    pub(super) projects: Vec<Project>,
    /// The line of each of `projects`.
    pub(super) project_lines: Vec<u32>,
    pub(super) usage: Vec<(String, u64, Place)>,
    /// License, and the project at which its count fails.
    pub(super) uncountable: Vec<(String, String, Place)>,
    pub(super) live_pods: Vec<(Value, Place)>,
    pub(super) manifests: Manifests,
    /// Software environments that CoCalc drops, one sentence each.
    pub(super) dropped: Vec<String>,
    /// Whether unquoted words in the text are worth a note: it is a snapshot, which nothing but this tool reads.
    pub(super) words_matter: bool,
}

/// Seed of one document.
pub(super) struct DocumentSeed<'c, 'de> {
    pub(super) source: &'c Source<'de>,
    pub(super) document: &'c mut Document,
    pub(super) start: usize,
}

impl<'de> DeserializeSeed<'de> for DocumentSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl DocumentSeed<'_, '_> {
    fn wrong<E: DeError>(&self, found: &str) -> E {
        let message = format!(
            "this document is {found}; a snapshot file or a manifest is a map (keys {})",
            SECTIONS.join(", ")
        );
        self.source.fail(self.start, message)
    }
}

impl<'de> Visitor<'de> for DocumentSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map")
    }
    fn visit_unit<E: DeError>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_none<E: DeError>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E: DeError>(self, _: bool) -> Result<(), E> {
        Err(self.wrong("a boolean"))
    }
    fn visit_i64<E: DeError>(self, _: i64) -> Result<(), E> {
        Err(self.wrong("a number"))
    }
    fn visit_u64<E: DeError>(self, _: u64) -> Result<(), E> {
        Err(self.wrong("a number"))
    }
    fn visit_i128<E: DeError>(self, _: i128) -> Result<(), E> {
        Err(self.wrong("a number"))
    }
    fn visit_u128<E: DeError>(self, _: u128) -> Result<(), E> {
        Err(self.wrong("a number"))
    }
    fn visit_f64<E: DeError>(self, _: f64) -> Result<(), E> {
        Err(self.wrong("a number"))
    }
    fn visit_str<E: DeError>(self, _: &str) -> Result<(), E> {
        Err(self.wrong("a string"))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.wrong("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { source, document, .. } = self;
        document.any = true;
        let Some((first, at)) = map.next_key_seed(Key(source))? else {
            return Ok(());
        };
        let is_manifest = !SECTIONS.contains(&&*first);
        source.as_kubectl.set(is_manifest);
        if is_manifest {
            return manifests::read(source, document, first, at, &mut map);
        }
        document.words_matter = true;
        let mut seen = Seen::default();
        let mut next = Some((first, at));
        while let Some((key, at)) = next {
            section(source, document, &key, at, &mut seen, &mut map)?;
            next = map.next_key_seed(Key(source))?;
        }
        Ok(())
    }
}

/// Which keys of a fixed list were there already.
#[derive(Default)]
pub(super) struct Seen(u64);

impl Seen {
    /// The key's number in `known`; refuses unknown and repeated keys.
    fn index<E: DeError>(
        &mut self,
        source: &Source<'_>,
        key: &str,
        at: usize,
        of: &str,
        known: &[&str],
    ) -> Result<(), E> {
        let Some(index) = known.iter().position(|name| *name == key) else {
            return Err(source.unknown(at, key, of, known));
        };
        let bit = 1_u64 << (index % 64);
        if self.0 & bit != 0 {
            return Err(source.twice(at, key));
        }
        self.0 |= bit;
        Ok(())
    }
}

fn section<'de, A: MapAccess<'de>>(
    source: &Source<'de>,
    document: &mut Document,
    key: &str,
    at: usize,
    seen: &mut Seen,
    map: &mut A,
) -> Result<(), A::Error> {
    seen.index(source, key, at, "a snapshot", SECTIONS)?;
    let what = format!("`{key}`");
    match key {
        "now" => {
            if let Some(now) = timestamp(source, at, "now", map)? {
                document.now.push((now, source.place(at)));
            }
        }
        "server_settings" => {
            document.has_settings = true;
            let members = &mut Settings(document);
            map.next_value_seed(MapOf {
                source,
                at,
                what: &what,
                members,
            })?;
        }
        "template" => {
            source.as_kubectl.set(true);
            let tree = map.next_value_seed(Tree(source));
            source.as_kubectl.set(false);
            let text = match tree? {
                Json::Null => return Ok(()),
                Json::String(text) => text.to_string_lossy(),
                tree @ Json::Map(_) => tree.stringify(),
                _ => {
                    return Err(source.fail(
                        at,
                        "`template` must be the Pod as a map, or its JSON text as a string",
                    ));
                }
            };
            let source_name = source.name.to_string();
            document.templates.push((
                Template {
                    text,
                    source: source_name,
                },
                source.place(at),
            ));
        }
        "template_source" => {
            document.template_source = text(source, at, "template_source", map)?.map(Cow::into_owned);
        }
        "software" => {
            let tree = map.next_value_seed(Tree(source))?;
            if !tree.is_null() {
                let place = source.place(at);
                let (software, dropped) =
                    Software::from_json(&tree, None).map_err(|message| source.fail(at, message))?;
                document
                    .dropped
                    .extend(dropped.into_iter().map(|sentence| format!("{place}: {sentence}")));
                document.software.push((software, place));
            }
        }
        "assumptions" => {
            document.has_assumptions = true;
            let members = &mut AssumptionRows(document);
            map.next_value_seed(MapOf {
                source,
                at,
                what: &what,
                members,
            })?;
        }
        "site_licenses" => {
            let elements = &mut LicenseRows(document);
            map.next_value_seed(ListOf {
                source,
                at,
                what: &what,
                elements,
            })?;
        }
        "projects" => {
            document.has_projects = true;
            let elements = &mut ProjectRows(document);
            map.next_value_seed(ListOf {
                source,
                at,
                what: &what,
                elements,
            })?;
        }
        "license_usage" => {
            let members = &mut UsageRows(document);
            map.next_value_seed(MapOf {
                source,
                at,
                what: &what,
                members,
            })?;
        }
        _ => {
            let elements = &mut LivePods(document);
            source.as_kubectl.set(true);
            let read = map.next_value_seed(ListOf {
                source,
                at,
                what: &what,
                elements,
            });
            source.as_kubectl.set(false);
            read?;
        }
    }
    Ok(())
}

struct Settings<'d>(&'d mut Document);

impl<'de> Members<'de> for Settings<'_> {
    fn member<A: MapAccess<'de>>(
        &mut self,
        source: &Source<'de>,
        key: Cow<'de, str>,
        at: usize,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let value = map.next_value_seed(Tree(source))?;
        self.0.settings.push((key.into_owned(), value, source.place(at)));
        Ok(())
    }
}

struct AssumptionRows<'d>(&'d mut Document);

impl<'de> Members<'de> for AssumptionRows<'_> {
    fn member<A: MapAccess<'de>>(
        &mut self,
        source: &Source<'de>,
        key: Cow<'de, str>,
        at: usize,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let value = map
            .next_value_seed(Tree(source))?
            .to_value()
            .map_err(|error| source.fail(at, format!("`assumptions.{}`: {error}", excerpt(&key, 60))))?;
        // Each by itself, so that the place is that of the field at fault.
        let alone = Value::Object([(key.to_string(), value.clone())].into_iter().collect());
        if let Err(error) = serde_json::from_value::<Assumptions>(alone) {
            return Err(source.fail(
                at,
                format!(
                    "`assumptions.{}`: {}",
                    excerpt(&key, 60),
                    excerpt(&error.to_string(), 400)
                ),
            ));
        }
        self.0
            .assumptions
            .push((key.into_owned(), value, source.place(at)));
        Ok(())
    }
}

struct UsageRows<'d>(&'d mut Document);

impl<'de> Members<'de> for UsageRows<'_> {
    fn member<A: MapAccess<'de>>(
        &mut self,
        source: &Source<'de>,
        key: Cow<'de, str>,
        at: usize,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let id = uuid(source, at, "license_usage", &key)?;
        let cell = Single {
            source,
            at,
            column: &key,
            expected: "a number of running projects, or the UUID of the project at which the count fails",
        };
        let number = match map.next_value_seed(&cell)? {
            Scalar::Null => None,
            Scalar::Number(number) => Some(number),
            Scalar::Text(text) => {
                let project = uuid(source, at, "license_usage", &text)?;
                self.0.uncountable.push((id, project, source.place(at)));
                return Ok(());
            }
            Scalar::Bool(_) => return Err(cell.wrong("a boolean")),
        };
        match number {
            None => {}
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked here: integral, not negative, below 2^53"
            )]
            Some(n) if n.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&n) => {
                self.0.usage.push((id, n as u64, source.place(at)));
            }
            Some(n) => {
                return Err(source.fail(
                    at,
                    format!("`{id}` must be a number of running projects, not {n}"),
                ));
            }
        }
        Ok(())
    }
}

struct LivePods<'d>(&'d mut Document);

impl<'de> Elements<'de> for LivePods<'_> {
    fn element<A: SeqAccess<'de>>(&mut self, source: &Source<'de>, list: &mut A) -> Result<bool, A::Error> {
        source.start_row();
        let Some(pod) = list.next_element_seed(Tree(source))? else {
            return Ok(false);
        };
        let at = source.row();
        if pod.as_map().is_none() {
            return Err(source.fail(at, "an entry of `live_pods` must be a Pod (a map)"));
        }
        let pod = pod
            .to_value()
            .map_err(|error| source.fail(at, format!("live pod: {error}")))?;
        self.0.live_pods.push((pod, source.place(at)));
        Ok(true)
    }
}

/// Columns of table `site_licenses`.
const LICENSE_COLUMNS: &[&str] = &[
    "id",
    "title",
    "activates",
    "expires",
    "run_limit",
    "upgrades",
    "quota",
    "last_used",
    "managers",
    // The rest is accepted, since `SELECT *` gives it, and not kept.
    "description",
    "info",
    "created",
    "restricted",
    "apply_limit",
    "voucher_code",
    "subscription_id",
];

struct LicenseRows<'d>(&'d mut Document);

impl<'de> Elements<'de> for LicenseRows<'_> {
    fn element<A: SeqAccess<'de>>(&mut self, source: &Source<'de>, list: &mut A) -> Result<bool, A::Error> {
        source.start_row();
        let mut row = LicenseRow::default();
        let seed = MapOf {
            source,
            at: source.last(),
            what: "a row of `site_licenses`",
            members: &mut row,
        };
        if list.next_element_seed(seed)?.is_none() {
            return Ok(false);
        }
        let at = source.row();
        if row.license.id.is_empty() {
            return Err(source.fail(
                at,
                "a row of `site_licenses` without `id`; add the license's UUID",
            ));
        }
        self.0.licenses.push((row.license, source.place(at)));
        Ok(true)
    }
}

#[derive(Default)]
struct LicenseRow {
    seen: Seen,
    license: License,
}

impl<'de> Members<'de> for LicenseRow {
    fn member<A: MapAccess<'de>>(
        &mut self,
        source: &Source<'de>,
        key: Cow<'de, str>,
        at: usize,
        map: &mut A,
    ) -> Result<(), A::Error> {
        self.seen
            .index(source, &key, at, "a row of `site_licenses`", LICENSE_COLUMNS)?;
        let license = &mut self.license;
        match &*key {
            "id" => license.id = required_uuid(source, at, "id", map)?,
            "title" => license.title = text(source, at, "title", map)?.unwrap_or_default().into_owned(),
            "activates" => license.activates = timestamp(source, at, "activates", map)?,
            "expires" => license.expires = timestamp(source, at, "expires", map)?,
            "last_used" => license.last_used = timestamp(source, at, "last_used", map)?,
            "run_limit" => {
                license.run_limit = Single {
                    source,
                    at,
                    column: "run_limit",
                    expected: "a number or null",
                }
                .number(map)?;
            }
            "upgrades" | "quota" => {
                let tree = match source.column(|| map.next_value_seed(Tree(source)))? {
                    Json::String(text) => held(source, at, &key, &text.to_string_lossy())?,
                    tree => tree,
                };
                let column = if key == "quota" {
                    &mut license.quota
                } else {
                    &mut license.upgrades
                };
                *column = tree.in_jsonb_order();
            }
            "managers" => {
                let list = map.next_value_seed(Tree(source))?;
                let ids: Option<Vec<String>> = match &list {
                    Json::Null => Some(Vec::new()),
                    list => list
                        .as_list()
                        .and_then(|ids| ids.iter().map(|id| id.as_str().map(str::to_owned)).collect()),
                };
                license.managers =
                    ids.ok_or_else(|| source.fail(at, "`managers` must be a list of account ids or null"))?;
            }
            _ => drop(compact(source, map)?),
        }
        Ok(())
    }
}

/// Columns of table `projects`.
const PROJECT_COLUMNS: &[&str] = &[
    "project_id",
    "title",
    "settings",
    "users",
    "site_license",
    "run_quota",
    "env",
    "state",
    "compute_image",
    "deleted",
    // The rest is accepted, since `SELECT *` gives it, and not kept.
    "name",
    "description",
    "pay_as_you_go_quotas",
    "status",
    "action_request",
    "addons",
    "course",
    "last_edited",
    "last_started",
    "created",
    "secret_token",
    "resources",
    "preemptible",
    "disk_size",
];

struct ProjectRows<'d>(&'d mut Document);

impl<'de> Elements<'de> for ProjectRows<'_> {
    fn element<A: SeqAccess<'de>>(&mut self, source: &Source<'de>, list: &mut A) -> Result<bool, A::Error> {
        source.start_row();
        let mut row = ProjectRow::default();
        let seed = MapOf {
            source,
            at: source.last(),
            what: "a row of `projects`",
            members: &mut row,
        };
        if list.next_element_seed(seed)?.is_none() {
            return Ok(false);
        }
        let at = source.row();
        if row.project.project_id.is_empty() {
            return Err(source.fail(
                at,
                "a row of `projects` without `project_id`; add the project's UUID",
            ));
        }
        self.0.projects.push(row.project);
        self.0.project_lines.push(source.line(at));
        Ok(true)
    }
}

#[derive(Default)]
struct ProjectRow {
    seen: Seen,
    project: Project,
}

impl<'de> Members<'de> for ProjectRow {
    fn member<A: MapAccess<'de>>(
        &mut self,
        source: &Source<'de>,
        key: Cow<'de, str>,
        at: usize,
        map: &mut A,
    ) -> Result<(), A::Error> {
        self.seen
            .index(source, &key, at, "a row of `projects`", PROJECT_COLUMNS)?;
        let project = &mut self.project;
        match &*key {
            "project_id" => project.project_id = required_uuid(source, at, "project_id", map)?.into(),
            "title" => project.title = text(source, at, "title", map)?.unwrap_or_default().into(),
            "settings" => project.settings = jsonb(source, at, &key, map)?,
            "users" => project.users = jsonb(source, at, &key, map)?,
            "site_license" => project.site_license = jsonb(source, at, &key, map)?,
            "run_quota" => project.run_quota = jsonb(source, at, &key, map)?,
            "env" => project.env = jsonb(source, at, &key, map)?,
            "compute_image" => {
                project.compute_image = text(source, at, "compute_image", map)?.map(Into::into);
            }
            "deleted" => {
                project.deleted = Single {
                    source,
                    at,
                    column: "deleted",
                    expected: "a boolean or null",
                }
                .boolean(map)?
                .unwrap_or_default();
            }
            "state" => project.state = map.next_value_seed(State { source, at })?,
            _ => drop(compact(source, map)?),
        }
        Ok(())
    }
}

/// A column of type jsonb. Tools that know no jsonb export it as text, which is read as the JSON that it holds.
fn jsonb<'de, A: MapAccess<'de>>(
    source: &Source<'de>,
    at: usize,
    column: &str,
    map: &mut A,
) -> Result<Column, A::Error> {
    let text = compact(source, map)?;
    if !text.starts_with('"') {
        return Ok(Column::from_text(text));
    }
    let text = json::parse(&text)
        .ok()
        .and_then(|text| text.as_str().map(str::to_owned));
    let text = text.unwrap_or_default();
    held(source, at, column, &text)?;
    Ok(Column::from_text(text.trim()))
}

/// The JSON that the text of a column holds.
fn held<E: DeError>(source: &Source<'_>, at: usize, column: &str, text: &str) -> Result<Json, E> {
    let json = json::parse(text).map_err(|error| {
        source.fail(
            at,
            format!(
                "`{column}` holds a text that is not JSON ({}); write the value itself, or its JSON as text",
                excerpt(&error.message, 200)
            ),
        )
    })?;
    source.note_text(column, at);
    Ok(json)
}

/// Column `state` is `{state: running, time: …}`; its name alone, as a query for `state->>'state'` gives it,
/// will do.
struct State<'c, 'de> {
    source: &'c Source<'de>,
    at: usize,
}

impl<'de> State<'_, 'de> {
    fn cell(&self) -> Single<'_, 'de> {
        Single {
            source: self.source,
            at: self.at,
            column: "state",
            expected: "a map with `state`, a string or null",
        }
    }
}

impl<'de> DeserializeSeed<'de> for State<'_, 'de> {
    type Value = Option<Box<str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for State<'_, 'de> {
    type Value = Option<Box<str>>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map with `state`")
    }
    fn visit_unit<E: DeError>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_none<E: DeError>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E: DeError>(self, state: &str) -> Result<Self::Value, E> {
        if !state.trim_start().starts_with('{') {
            return Ok(Some(state.into()));
        }
        let state = held(self.source, self.at, "state", state)?;
        match state.get_non_null("state") {
            None => Ok(None),
            Some(Json::String(state)) => Ok(Some(state.to_string_lossy().into())),
            Some(_) => Err(self.cell().wrong("a map with another `state`")),
        }
    }
    fn visit_bool<E: DeError>(self, _: bool) -> Result<Self::Value, E> {
        Err(self.cell().wrong("a boolean"))
    }
    fn visit_i64<E: DeError>(self, _: i64) -> Result<Self::Value, E> {
        Err(self.cell().wrong("a number"))
    }
    fn visit_u64<E: DeError>(self, _: u64) -> Result<Self::Value, E> {
        Err(self.cell().wrong("a number"))
    }
    fn visit_f64<E: DeError>(self, _: f64) -> Result<Self::Value, E> {
        Err(self.cell().wrong("a number"))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.cell().wrong("a list"))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut state = None;
        let mut given = false;
        while let Some((key, at)) = map.next_key_seed(Key(self.source))? {
            if key == "state" {
                if given {
                    return Err(self.source.twice(at, "state"));
                }
                given = true;
                state = text(self.source, at, "state", &mut map)?.map(Into::into);
            } else {
                compact(self.source, &mut map)?;
            }
        }
        Ok(state)
    }
}

fn text<'de, A: MapAccess<'de>>(
    source: &Source<'de>,
    at: usize,
    column: &str,
    map: &mut A,
) -> Result<Option<Cow<'de, str>>, A::Error> {
    Single {
        source,
        at,
        column,
        expected: "a string or null",
    }
    .text(map)
}

fn required_uuid<'de, A: MapAccess<'de>>(
    source: &Source<'de>,
    at: usize,
    column: &str,
    map: &mut A,
) -> Result<String, A::Error> {
    let cell = Single {
        source,
        at,
        column,
        expected: "a UUID",
    };
    match cell.text(map)? {
        Some(text) => uuid(source, at, column, &text),
        None => Err(source.fail(at, format!("`{column}` must be a UUID, not null"))),
    }
}

/// The UUID in lower case.
fn uuid<E: DeError>(source: &Source<'_>, at: usize, column: &str, text: &str) -> Result<String, E> {
    if is_uuid(text) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(source.fail(
            at,
            format!(
                "`{column}` holds \"{}\", which is no UUID (like f3d76abf-38a5-4e4e-884d-2e70f1afddb9)",
                excerpt(text, 60)
            ),
        ))
    }
}

/// Whether the text is a UUID in its usual form, 8-4-4-4-12 hexadecimal digits in either case.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn timestamp<'de, A: MapAccess<'de>>(
    source: &Source<'de>,
    at: usize,
    column: &str,
    map: &mut A,
) -> Result<Option<Timestamp>, A::Error> {
    let cell = Single {
        source,
        at,
        column,
        expected: "a time like 2023-01-20T16:37:12Z, or null",
    };
    let Some(text) = cell.text(map)? else {
        return Ok(None);
    };
    match parse_timestamp(&text) {
        Some(time) => Ok(Some(time)),
        None => Err(source.fail(
            at,
            format!(
                "`{column}` holds \"{}\", which is no time (like 2023-01-20T16:37:12Z, 2023-01-20 16:37:12.595 or 2023-01-20)",
                excerpt(&text, 60)
            ),
        )),
    }
}

/// Reads a time: RFC 3339, PostgreSQL's `2023-01-20 16:37:12.595` with or without a zone, or a date alone.
/// Without a zone it is UTC, as in CoCalc's database.
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let civil: DateTime = text.parse().ok()?;
    TimeZone::UTC.to_timestamp(civil).ok()
}
