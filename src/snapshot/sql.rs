//! The statement that makes a snapshot file within the database, for whoever cannot reach it but by `psql`.
//!
//! Its rows, one below another as `psql -XAtq` prints them, are one JSON document in the form that the readers take,
//! with one project or license a row. A single document, and not one for each row, since then the reader notices when
//! the end is missing. Numbers stand in it as jsonb prints them, times as RFC 3339 in UTC.

use std::collections::BTreeSet;

use crate::pipeline::settings::IN_FORCE;

/// Which projects. Ids must be UUIDs, as [`super::is_uuid`] has it: they go into the statement as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Projects {
    /// All that are not deleted.
    All,
    /// All of these that have this license.
    WithLicense(String),
    /// These, deleted or not.
    Named(Vec<String>),
}

/// The statement: one `SELECT`, which any server from PostgreSQL 10 on takes and which writes nothing. With the
/// projects come the licenses they have, with all projects all licenses; and those of `licenses`. What is no UUID
/// among the ids is left out.
pub fn statement(projects: &Projects, licenses: &BTreeSet<String>) -> String {
    let which = match projects {
        Projects::All => "deleted IS NOT TRUE".to_owned(),
        Projects::WithLicense(id) => {
            let [id] = &uuids([id.as_str()])[..] else {
                return String::new();
            };
            format!("deleted IS NOT TRUE AND site_license -> {id} IS NOT NULL")
        }
        Projects::Named(ids) => {
            let ids = uuids(ids.iter().map(String::as_str));
            format!("project_id IN ({})", ids.join(", "))
        }
    };
    let held = match projects {
        Projects::All => String::new(),
        _ => {
            let mut named = uuids(licenses.iter().map(String::as_str));
            named.insert(0, "NULL".to_owned());
            format!(
                "\n  WHERE id::text IN ({})\n     OR id::text IN (SELECT held.key FROM chosen CROSS JOIN LATERAL {HELD} AS held)",
                named.join(", ")
            )
        }
    };
    let settings: Vec<String> = IN_FORCE.iter().map(|name| format!("'{name}'")).collect();
    let time = |column: &str| {
        // What lies beyond the years that a file can name is as good as never, or as always.
        format!(
            "CASE WHEN {column} >= '9999-12-30' THEN NULL WHEN {column} < '0001-01-01' THEN '0001-01-01T00:00:00Z' \
             ELSE to_char({column}, {RFC_3339}) END"
        )
    };
    // A text in a column of type jsonb is written as JSON: else a reader takes it for JSON that is exported as text.
    let jsonb = |column: &str| {
        format!("CASE jsonb_typeof({column}) WHEN 'string' THEN to_jsonb({column}::text) ELSE {column} END")
    };
    let (upgrades, quota) = (jsonb("upgrades"), jsonb("quota"));
    let (settings_column, users, site_license) = (jsonb("settings"), jsonb("users"), jsonb("site_license"));
    let (run_quota, env) = (jsonb("run_quota"), jsonb("env"));
    let (activates, expires, last_used) = (time("activates"), time("expires"), time("last_used"));
    let settings = settings.join(", ");
    format!(
        r#"-- A snapshot file for kubectl cocalc: psql -XAtq DB < THIS > db.json
WITH chosen AS (
  SELECT project_id, title, deleted, settings, users, site_license, run_quota, state, compute_image, env
  FROM projects
  WHERE {which}
), licenses AS (
  SELECT id, title, activates, expires, last_used, run_limit, upgrades, quota, managers
  FROM site_licenses{held}
), running AS (
  -- As CoCalc counts, whose count fails where an entry is no object.
  SELECT held.key AS id,
         count(*) FILTER (WHERE CASE jsonb_typeof(held.value)
           WHEN 'object' THEN held.value - 'status' <> '{{}}'::jsonb WHEN 'array' THEN true ELSE false END) AS projects,
         min(projects.project_id::text) FILTER (WHERE jsonb_typeof(held.value) NOT IN ('object', 'array')) AS fails_at
  FROM projects CROSS JOIN LATERAL {HELD} AS held
  WHERE state ->> 'state' = 'running'
  GROUP BY held.key
), rows AS (
  SELECT 21 AS part, row_number() OVER (ORDER BY name) AS n,
         to_json(name)::text || ': ' || coalesce(to_json(value)::text, 'null') AS line
  FROM server_settings WHERE name IN ({settings})
  UNION ALL
  SELECT 31, row_number() OVER (ORDER BY id), json_build_object('id', id, 'title', title,
           'activates', {activates},
           'expires', {expires},
           'last_used', {last_used},
           'run_limit', run_limit, 'upgrades', {upgrades}, 'quota', {quota},
           'managers', array_remove(managers, NULL))::text
  FROM licenses
  UNION ALL
  SELECT 41, row_number() OVER (ORDER BY licenses.id), to_json(licenses.id)::text || ': '
           || coalesce(to_json(running.fails_at)::text, running.projects::text, '0')
  FROM licenses LEFT JOIN running ON running.id = licenses.id::text
  UNION ALL
  SELECT 51, row_number() OVER (ORDER BY project_id), json_build_object('project_id', project_id, 'title', title,
           'deleted', deleted, 'settings', {settings_column}, 'users', {users}, 'site_license', {site_license},
           'run_quota', {run_quota}, 'state', state ->> 'state', 'compute_image', compute_image, 'env', {env})::text
  FROM chosen
)
SELECT line
FROM (
  SELECT part, n, CASE n WHEN 1 THEN line ELSE ',' || line END AS line FROM rows
  UNION ALL
  VALUES (10, 0, '{{"now": "' || to_char(now() AT TIME ZONE 'UTC', {RFC_3339}) || '",'),
         (20, 0, '"server_settings": {{'), (22, 0, '}},'),
         (30, 0, '"site_licenses": ['), (32, 0, '],'),
         (40, 0, '"license_usage": {{'), (42, 0, '}},'),
         (50, 0, '"projects": ['), (52, 0, ']}}')
) AS file
ORDER BY part, n;
"#
    )
}

/// The licenses that a project holds, as rows.
const HELD: &str =
    "jsonb_each(CASE jsonb_typeof(site_license) WHEN 'object' THEN site_license ELSE '{}'::jsonb END)";

/// PostgreSQL's pattern for a time.
const RFC_3339: &str = r#"'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"#;

/// The ids as literals.
fn uuids<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    ids.into_iter()
        .filter(|id| super::is_uuid(id))
        .map(|id| format!("'{}'", id.to_ascii_lowercase()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "f3d76abf-38a5-4e4e-884d-2e70f1afddb9";

    #[test]
    fn nothing_but_a_uuid_gets_into_the_statement() {
        let named = Projects::Named(vec![ID.to_uppercase(), "x'; DROP TABLE projects; --".to_owned()]);
        let text = statement(&named, &["'".to_owned()].into());
        assert!(text.contains(&format!("project_id IN ('{ID}')")), "{text}");
        assert!(!text.contains("DROP"), "{text}");
        assert_eq!(
            statement(&Projects::WithLicense("' OR '".to_owned()), &BTreeSet::new()),
            ""
        );
    }

    #[test]
    fn it_is_one_statement() {
        for projects in [
            Projects::All,
            Projects::WithLicense(ID.to_owned()),
            Projects::Named(vec![ID.to_owned()]),
        ] {
            let text = statement(&projects, &BTreeSet::new());
            assert_eq!(text.matches(';').count(), 1, "{text}");
            assert!(text.ends_with(";\n"), "{text}");
        }
    }
}
