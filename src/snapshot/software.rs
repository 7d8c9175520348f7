//! Which image a project gets: the software environments, cleaned as CoCalc cleans them.
//!
//! The rules are those of CoCalc's `sanitize-software-envs.ts`: an environment without a string `tag` does not
//! exist, its `registry` falls back to the common one, `default` must exist or becomes the first id, and the
//! platform's own default id is added as a copy of the default.

use super::{Environment, Software, place::excerpt};
use crate::json::Json;

/// The platform's default id, which CoCalc adds where it is missing.
const PLATFORM_DEFAULT: &str = "ubuntu2404";

impl Software {
    /// Reads `software.json` (`{default, environments: {id: {title, tag, registry?}}}`); `registry` is the text
    /// of the file of that name beside it. Also gives a sentence for each environment that is dropped.
    ///
    /// # Errors
    /// A sentence, if the shape is another.
    pub fn from_json(json: &Json, registry: Option<&str>) -> Result<(Self, Vec<String>), String> {
        if json.as_map().is_none() {
            return Err("`software` must be a map with `default` and `environments`".to_owned());
        }
        let rows = match json.get_non_null("environments") {
            None => Vec::new(),
            Some(rows @ Json::Map(_)) => rows.members(),
            Some(_) => {
                return Err("`software.environments` must be a map: id to {title, tag, registry}".to_owned());
            }
        };
        let mut software = Self::default();
        let mut dropped = Vec::new();
        let mut first = None;
        for (id, row) in rows {
            let id = id.to_string_lossy();
            let Some(tag) = row.get("tag").and_then(Json::as_str) else {
                dropped.push(format!(
                    "software environment `{}` has no string `tag`, so CoCalc does not offer it (a number needs quotes)",
                    excerpt(&id, 60)
                ));
                continue;
            };
            let environment = Environment {
                title: row.get("title").and_then(Json::as_str).map(str::to_owned),
                tag: tag.to_owned(),
                registry: row
                    .get("registry")
                    .and_then(Json::as_str)
                    .or(registry)
                    .map(str::to_owned),
            };
            first.get_or_insert_with(|| id.clone());
            software.environments.insert(id, environment);
        }
        software.default = json
            .get("default")
            .and_then(Json::as_str)
            .filter(|id| software.environments.contains_key(*id))
            .map(str::to_owned)
            .or(first);
        if let Some(default) = software
            .default
            .as_ref()
            .and_then(|id| software.environments.get(id))
            .cloned()
        {
            software
                .environments
                .entry(PLATFORM_DEFAULT.to_owned())
                .or_insert(default);
        }
        Ok((software, dropped))
    }

    /// Image (registry and name, without a tag) and tag of a project whose column `compute_image` holds this
    /// id. Null and `default` (CoCalc's own fallback id) mean the default environment. `None` if no environment
    /// has the id, or no registry is known: CoCalc has no documented fallback there.
    pub fn image(&self, compute_image: Option<&str>) -> Option<(&str, &str)> {
        let environment = match compute_image.unwrap_or("default") {
            "default" => self
                .environments
                .get("default")
                .or_else(|| self.environments.get(self.default.as_deref()?))?,
            id => self.environments.get(id)?,
        };
        Some((environment.registry.as_deref()?, &environment.tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    #[test]
    fn environments_are_cleaned_by_cocalcs_rules() {
        let json = parse(
            r#"{"default":"gone","groups":[],"environments":{
                "b":{"title":"B","tag":"1"},"a":{"tag":"2","registry":"own.example/x"},"n":{"tag":20230110}}}"#,
        )
        .unwrap();
        let (software, dropped) = Software::from_json(&json, Some("registry.example/p")).unwrap();
        assert_eq!(
            software.default.as_deref(),
            Some("b"),
            "the first id, since `gone` does not exist"
        );
        assert_eq!(software.image(None), Some(("registry.example/p", "1")));
        assert_eq!(software.image(Some("default")), software.image(None));
        assert_eq!(software.image(Some("ubuntu2404")), software.image(None));
        assert_eq!(software.image(Some("a")), Some(("own.example/x", "2")));
        assert_eq!(software.image(Some("n")), None);
        assert_eq!(dropped.len(), 1);
        assert!(dropped[0].contains("`n`"), "{dropped:?}");
    }

    #[test]
    fn without_a_registry_there_is_no_image() {
        let json = parse(r#"{"environments":{"a":{"tag":"1"}}}"#).unwrap();
        assert_eq!(Software::from_json(&json, None).unwrap().0.image(None), None);
        assert!(Software::from_json(&parse("[]").unwrap(), None).is_err());
        assert!(Software::from_json(&parse(r#"{"environments":[]}"#).unwrap(), None).is_err());
        let empty = Software::from_json(&parse("{}").unwrap(), None).unwrap().0;
        assert_eq!((empty.image(None), empty.default.as_deref()), (None, None));
    }
}
