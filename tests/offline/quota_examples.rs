//! 125 worked examples of CoCalc's quota and license code, with the answers that the real code gave.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a panic is how a test fails"
)]

use std::{collections::BTreeMap, sync::Arc};

use kubectl_cocalc::{
    json::{Json, parse},
    json_patch::{Gate, gate_parsed, gate_value},
    pipeline::{
        gpu::{Toleration, gpu_info},
        licenses::{HookInput, hook},
        quota::{Computed, Input, QuotaError, quota},
        settings::{SiteSettings, setting_value, site_settings_with_default},
    },
    snapshot::License,
};

fn examples() -> Vec<Json> {
    let text = include_str!("../data/quota-examples.json");
    parse(text).unwrap().as_list().unwrap().to_vec()
}

fn settings_of(input: &Json) -> Option<SiteSettings> {
    let settings = input.get_non_null("site_settings")?;
    let member = |name| settings.get(name).cloned().unwrap_or_default();
    Some(SiteSettings {
        default_quotas: member("default_quotas"),
        max_upgrades: member("max_upgrades"),
    })
}

fn compute(project: &Json, settings: Option<&SiteSettings>) -> Result<Computed, QuotaError> {
    let null = Json::Null;
    let member = |name| project.get(name).unwrap_or(&null);
    quota(&Input {
        settings: member("settings"),
        users: member("users"),
        site_license: member("site_license"),
        site_settings: settings,
        pay_as_you_go: project.get("pay_as_you_go"),
        gate: &|patch| Arc::new(gate_value(patch)),
    })
}

fn reasons(computed: &Computed) -> Json {
    let reason = |(id, reason): &(_, kubectl_cocalc::pipeline::quota::Reason)| {
        (Clone::clone(id), Json::string(reason.as_str()))
    };
    Json::map::<kubectl_cocalc::json::JsString>(computed.reasons.iter().map(reason))
}

fn licenses(input: &Json) -> BTreeMap<String, License> {
    let rows = input.get("licenses").map_or_else(Vec::new, Json::members);
    rows.into_iter()
        .map(|(id, row)| {
            let id = id.as_str().unwrap().to_owned();
            let time = |name| {
                row.get(name)
                    .and_then(Json::as_str)
                    .map(|text| text.parse().unwrap())
            };
            let json = |name| row.get(name).map(Json::in_jsonb_order).unwrap_or_default();
            let license = License {
                id: id.clone(),
                activates: time("activates"),
                expires: time("expires"),
                run_limit: row.get("run_limit").and_then(Json::as_f64),
                upgrades: json("upgrades"),
                quota: json("quota"),
                ..License::default()
            };
            (id, license)
        })
        .collect()
}

fn run_hook(input: &Json) -> Json {
    let settings = settings_of(input);
    let project = input.get("project").unwrap().in_jsonb_order();
    let null = Json::Null;
    let member = |name| project.get(name).unwrap_or(&null);
    let usage = |id: &str| {
        let usage = input.get("usage").and_then(|usage| usage.get(id));
        usage.and_then(Json::as_f64).map_or(0, |n| n as u64)
    };
    let judged = hook(&HookInput {
        settings: member("settings"),
        users: member("users"),
        site_license: member("site_license"),
        licenses: &licenses(input),
        usage: &usage,
        now: "2026-11-24T12:00:00Z".parse().unwrap(),
        site_settings: settings.as_ref(),
        gate: &|patch| Arc::new(gate_value(patch)),
    })
    .unwrap();
    let after = quota(&Input {
        settings: member("settings"),
        users: member("users"),
        site_license: &judged.site_license,
        site_settings: settings.as_ref(),
        pay_as_you_go: None,
        gate: &|patch| Arc::new(gate_value(patch)),
    })
    .unwrap();
    Json::map([
        ("site_license", judged.site_license),
        ("quota", after.quota.to_json()),
    ])
}

fn quota_from_db(input: &Json) -> Json {
    let rows: BTreeMap<String, Json> = input
        .get("server_settings")
        .unwrap()
        .members()
        .into_iter()
        .map(|(name, value)| (name.as_str().unwrap().to_owned(), value.clone()))
        .collect();
    // CoCalc's own default for an installation that says nothing about `kucalc`.
    let settings = site_settings_with_default(Some(&rows), "no");
    let project = input.get("project").unwrap().in_jsonb_order();
    let computed = compute(&project, settings.as_ref()).unwrap();
    let mut members = vec![
        ("quota", computed.quota.to_json()),
        ("reasons", reasons(&computed)),
    ];
    members.extend(settings.map(|settings| {
        let settings = Json::map([
            ("default_quotas", settings.default_quotas),
            ("max_upgrades", settings.max_upgrades),
        ]);
        ("site_settings", settings)
    }));
    Json::map(members)
}

fn run_gpu_info(input: &Json) -> Json {
    let gpu = input.get("quota").and_then(|quota| quota.get("gpu")).unwrap();
    let info = gpu_info(gpu);
    let mut members = Vec::new();
    if !info.limits.is_empty() {
        members.push(("resources", Json::map([("limits", Json::map(info.limits))])));
    }
    members.extend(info.node_selector.map(|labels| {
        let labels = labels.into_iter().map(|(key, value)| (key, Json::string(&value)));
        ("nodeSelector", Json::map(labels))
    }));
    members.extend(info.tolerations.map(|tolerations| {
        (
            "tolerations",
            Json::list(tolerations.iter().map(Toleration::to_json).collect()),
        )
    }));
    Json::map(members)
}

fn answer(input: &Json) -> Json {
    match input.get("fn").and_then(Json::as_str) {
        None => match compute(input, settings_of(input).as_ref()) {
            Ok(computed) => computed.quota.to_json(),
            Err(error) => {
                // CoCalc's own words; ours go on with the license and what to do.
                let words = error.to_string();
                Json::map([("error", Json::string(words.split(" (").next().unwrap()))])
            }
        },
        Some("quota_with_reasons") => {
            let computed = compute(input, settings_of(input).as_ref()).unwrap();
            Json::map([
                ("quota", computed.quota.to_json()),
                ("reasons", reasons(&computed)),
            ])
        }
        Some("quota_from_db") => quota_from_db(input),
        Some("hook") => run_hook(input),
        Some("gpu_info") => run_gpu_info(input),
        Some("valid_patch") => Json::Bool(matches!(
            gate_parsed(input.get("value").unwrap()),
            Gate::Passes(_)
        )),
        Some("setting_value") => setting_value(input.get("value")),
        Some(other) => panic!("unknown kind of example: {other}"),
    }
}

/// The expected answer. The values that a JSON text cannot hold are printed `null`, as CoCalc would; what the
/// hook wrote is part of what is in the database after it.
fn expected(example: &Json) -> Json {
    fn plain(value: &Json) -> Json {
        match value {
            Json::Map(_) if value.get("$js").is_some() => Json::Null,
            Json::Map(map) => Json::map(
                map.iter()
                    .filter(|(name, _)| **name != *"written")
                    .map(|(name, value)| (name.clone(), plain(value))),
            ),
            Json::List(list) => Json::list(list.iter().map(plain).collect()),
            other => other.clone(),
        }
    }
    plain(example.get("expected").unwrap())
}

#[test]
fn every_worked_example_has_cocalcs_answer() {
    let examples = examples();
    assert_eq!(examples.len(), 125);
    let mut failing = Vec::new();
    for example in &examples {
        let name = example.get("name").and_then(Json::as_str).unwrap();
        // As text: it goes into the Pod as such, the order of its members included.
        let (got, want) = (
            answer(example.get("input").unwrap()).stringify(),
            expected(example).stringify(),
        );
        if got != want {
            failing.push(format!("{name}\n  got  {got}\n  want {want}"));
        }
    }
    assert!(
        failing.is_empty(),
        "{} of {}:\n{}",
        failing.len(),
        examples.len(),
        failing.join("\n")
    );
}
