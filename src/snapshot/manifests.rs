//! Plain Kubernetes manifests, so that kubectl and `helm template` can be piped in.
//!
//! Taken are the ConfigMaps `project-pod` and `project-image`, live project pods, and a Pod that never met a
//! cluster as the template; `List`s of these too. Everything else is counted.

use std::{borrow::Cow, collections::BTreeMap};

use serde::de::{MapAccess, SeqAccess};

use super::{
    Software, Template,
    place::{Place, ReadError, excerpt, nearest},
    rows::{Document, SECTIONS},
    source::{Elements, Key, ListOf, Source, Tree},
};
use crate::json::{self, Json, Map};

/// The ConfigMap that holds the template, in CoCalc OnPrem's chart.
pub(super) const TEMPLATE_CONFIGMAP: &str = "project-pod";
/// The ConfigMap that holds the software environments.
pub(super) const SOFTWARE_CONFIGMAP: &str = "project-image";

/// What manifests hold beside what goes straight into the [`Document`].
#[derive(Debug, Default)]
pub(super) struct Manifests {
    /// ConfigMaps that may hold the template: which ones do is known when all sources are read.
    pub(super) config_maps: Vec<ConfigMap>,
    /// Number of manifests passed over, by kind.
    pub(super) passed_over: BTreeMap<String, usize>,
}

/// A ConfigMap's name and text values.
#[derive(Debug)]
pub(super) struct ConfigMap {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) data: Vec<(String, String)>,
    /// Whether it has `binaryData`, which CoCalc does not read.
    pub(super) has_binary_data: bool,
    pub(super) place: Place,
}

impl ConfigMap {
    fn title(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("ConfigMap {namespace}/{}", self.name),
            None => format!("ConfigMap {}", self.name),
        }
    }

    /// The template: the value of `key` if one is given, else the only value, else the only value that is a
    /// Pod as JSON.
    pub(super) fn template(&self, key: Option<&str>) -> Result<Template, ReadError> {
        let keys = || {
            let keys: Vec<&str> = self.data.iter().map(|(key, _)| key.as_str()).collect();
            if keys.is_empty() {
                "none".to_owned()
            } else {
                excerpt(&keys.join(", "), 300)
            }
        };
        let error = |message: String| ReadError::Content {
            place: self.place.clone(),
            message: format!("{}: {message}", excerpt(&self.title(), 200)),
        };
        if self.data.is_empty() && self.has_binary_data {
            return Err(error(
                "it has nothing but binaryData, and the template is read from data".to_owned(),
            ));
        }
        let found = match (key, &*self.data) {
            (Some(key), data) => data.iter().find(|(name, _)| name == key).ok_or_else(|| {
                error(format!(
                    "there is no data key `{}`; its keys are: {}",
                    excerpt(key, 60),
                    keys()
                ))
            })?,
            (None, [only]) => only,
            (None, data) => {
                let mut pods = data.iter().filter(|(_, text)| is_pod_text(text));
                match (pods.next(), pods.next()) {
                    (Some(only), None) => only,
                    _ => {
                        return Err(error(format!(
                            "which data key holds the Pod template is unclear, name it with --template-configmap {}/KEY; its keys are: {}",
                            excerpt(&self.name, 100),
                            keys()
                        )));
                    }
                }
            }
        };
        Ok(Template {
            text: found.1.clone(),
            source: self.title(),
        })
    }

    /// Whether it holds exactly what a template is, whatever its name.
    pub(super) fn is_template(&self) -> bool {
        self.template(None)
            .is_ok_and(|template| is_pod_text(&template.text))
    }
}

fn is_pod_text(text: &str) -> bool {
    json::parse(text).is_ok_and(|value| value.get("kind").and_then(Json::as_str) == Some("Pod"))
}

/// The elements of a `List`, each with its place.
struct Items(Vec<(Json, usize)>);

impl<'de> Elements<'de> for Items {
    fn element<A: SeqAccess<'de>>(&mut self, source: &Source<'de>, list: &mut A) -> Result<bool, A::Error> {
        source.start_row();
        let Some(item) = list.next_element_seed(Tree(source))? else {
            return Ok(false);
        };
        self.0.push((item, source.row()));
        Ok(true)
    }
}

/// Reads the document whose first key is `first`, which is none of a snapshot's.
pub(super) fn read<'de, A: MapAccess<'de>>(
    source: &Source<'de>,
    document: &mut Document,
    first: Cow<'de, str>,
    at: usize,
    map: &mut A,
) -> Result<(), A::Error> {
    let mut members = Map::new();
    let mut items = Items(Vec::new());
    let mut seen_items = false;
    let first_key = first.clone();
    let mut next = Some((first, at));
    while let Some((key, key_at)) = next {
        let again = if key == "items" {
            map.next_value_seed(ListOf {
                source,
                at: key_at,
                what: "`items`",
                elements: &mut items,
            })?;
            std::mem::replace(&mut seen_items, true)
        } else {
            let value = map.next_value_seed(Tree(source))?;
            members.insert((&*key).into(), value).is_some()
        };
        if again {
            return Err(source.twice(key_at, &key));
        }
        next = map.next_key_seed(Key(source))?;
    }
    let tree = Json::Map(std::sync::Arc::new(members));
    let Some(kind) = tree.get("kind").and_then(Json::as_str) else {
        let next = match nearest(&first_key, SECTIONS) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!(
                "known are {}; a manifest has `apiVersion` and `kind`",
                SECTIONS.join(", ")
            ),
        };
        let key = excerpt(&first_key, 60);
        return Err(source.fail(at, format!("unknown key `{key}` in a snapshot; {next}")));
    };
    let result = if seen_items && kind.ends_with("List") {
        let kind = kind.to_owned();
        items
            .0
            .into_iter()
            .try_for_each(|(item, at)| take(source, document, &item, kind.strip_suffix("List"), at, 0))
    } else {
        take(source, document, &tree, None, at, 0)
    };
    result.map_err(|error| source.fail_with(error))
}

/// Takes what this manifest gives. `kind` is that of the list it stands in: items of a `PodList` need not
/// repeat it.
fn take(
    source: &Source<'_>,
    document: &mut Document,
    manifest: &Json,
    kind: Option<&str>,
    at: usize,
    depth: usize,
) -> Result<(), ReadError> {
    let kind = manifest
        .get("kind")
        .and_then(Json::as_str)
        .or(kind.filter(|kind| !kind.is_empty()))
        .unwrap_or("unknown");
    if kind.ends_with("List")
        && depth < 8
        && let Some(items) = manifest.get("items").and_then(Json::as_list)
    {
        return items
            .iter()
            .try_for_each(|item| take(source, document, item, kind.strip_suffix("List"), at, depth + 1));
    }
    let metadata = manifest.get("metadata");
    let meta = |field: &str| {
        metadata
            .and_then(|metadata| metadata.get(field))
            .and_then(Json::as_str)
            .map(str::to_owned)
    };
    match kind {
        "Pod" => {
            let live = metadata.is_some_and(|metadata| metadata.get_non_null("uid").is_some())
                || manifest.get_non_null("status").is_some();
            let of_project = metadata
                .and_then(|metadata| metadata.get("labels"))
                .and_then(|labels| labels.get("run"))
                .and_then(Json::as_str)
                == Some("project");
            if !live {
                document.templates.push((
                    Template {
                        text: manifest.stringify(),
                        source: source.name.to_string(),
                    },
                    source.place(at),
                ));
            } else if of_project {
                let mut pod = manifest.to_value().map_err(|error| ReadError::Content {
                    place: source.place(at),
                    message: format!("live pod: {error}"),
                })?;
                if let Some(pod) = pod.as_object_mut() {
                    pod.entry("apiVersion").or_insert_with(|| "v1".into());
                    pod.entry("kind").or_insert_with(|| "Pod".into());
                }
                document.live_pods.push((pod, source.place(at)));
            } else {
                *document.manifests.passed_over.entry(kind.to_owned()).or_default() += 1;
            }
        }
        "ConfigMap" => {
            let data: Vec<(String, String)> = manifest
                .get("data")
                .map(Json::members)
                .unwrap_or_default()
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_string_lossy(), value.as_str()?.to_owned())))
                .collect();
            let name = meta("name").unwrap_or_default();
            let config_map = ConfigMap {
                namespace: meta("namespace"),
                name,
                data,
                place: source.place(at),
                has_binary_data: manifest
                    .get("binaryData")
                    .is_some_and(|data| !data.members().is_empty()),
            };
            if config_map.name == SOFTWARE_CONFIGMAP {
                take_software(document, &config_map);
            } else {
                document.manifests.config_maps.push(config_map);
            }
        }
        other => {
            *document
                .manifests
                .passed_over
                .entry(excerpt(other, 60))
                .or_default() += 1;
        }
    }
    Ok(())
}

/// ConfigMap `project-image`: keys `software.json` and `registry`, after the files of the software
/// environments' directory. Its form is not published, so what does not fit is passed over.
fn take_software(document: &mut Document, config_map: &ConfigMap) {
    let value = |key: &str| {
        config_map
            .data
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, text)| text.as_str())
    };
    let registry = value("registry").map(str::trim).filter(|text| !text.is_empty());
    let software = value("software.json")
        .or_else(|| value("software"))
        .and_then(|text| json::parse(text).ok())
        .and_then(|json| Software::from_json(&json, registry).ok());
    match software {
        Some((software, dropped)) => {
            let place = &config_map.place;
            let title = excerpt(&config_map.title(), 200);
            document.dropped.extend(
                dropped
                    .into_iter()
                    .map(|sentence| format!("{place}: {title}: {sentence}")),
            );
            document.software.push((software, place.clone()));
        }
        None => document.dropped.push(format!(
            "{}: {}: no readable software.json in it; name the image with --image",
            config_map.place,
            excerpt(&config_map.title(), 200)
        )),
    }
}
