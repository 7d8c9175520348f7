//! Worked examples of CoCalc's quota and license code, with the answers that the real code gave: 125 of all of it,
//! and 279 of the license hook alone.

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

fn examples(text: &str) -> Vec<Json> {
    parse(text).unwrap().as_list().unwrap().to_vec()
}

fn text<'a>(json: &'a Json, name: &str) -> Option<&'a str> {
    json.get(name)?.as_str()
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
        now: text(input, "now")
            .unwrap_or("2026-11-24T12:00:00Z")
            .parse()
            .unwrap(),
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

/// Compares the answers to examples as texts, as they are once CoCalc has `stored` them.
fn assert_agreement(examples: &[Json], stored: impl Fn(Json) -> Json) {
    let mut failing = Vec::new();
    for example in examples {
        let name = text(example, "name").unwrap();
        let got = stored(answer(example.get("input").unwrap())).stringify();
        let want = stored(expected(example)).stringify();
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

#[test]
fn every_worked_example_has_cocalcs_answer() {
    let examples = examples(include_str!("../data/quota-examples.json"));
    assert_eq!(examples.len(), 125);
    // A quota goes into the Pod as it is returned, the order of its members included.
    assert_agreement(&examples, |answer| answer);
}

/// The examples of the license hook whose names begin with this rule.
fn hook_agrees(rule: &str, count: usize) {
    let all = examples(include_str!("../data/hook-examples.json"));
    let of_rule: Vec<Json> = all
        .into_iter()
        .filter(|example| text(example, "name").unwrap().starts_with(rule))
        .collect();
    assert_eq!(of_rule.len(), count, "{rule}");
    assert_agreement(&of_rule, |answer| answer.in_jsonb_order());
}

#[test]
fn a_license_of_upgrades_is_ranked_last_whatever_its_upgrades_say() {
    hook_agrees(
        "a license of upgrades is ranked last, whatever its upgrades say, ",
        38,
    );
}

#[test]
fn an_idle_timeout_does_not_stand_for_member_hosting_when_licenses_are_ordered() {
    hook_agrees(
        "an idle timeout does not stand for member hosting when licenses are ordered, ",
        38,
    );
}

#[test]
fn an_unknown_idle_timeout_comes_first_when_licenses_are_ordered() {
    hook_agrees(
        "an unknown idle timeout comes first when licenses are ordered, ",
        38,
    );
}

#[test]
fn a_boost_that_is_neither_true_nor_false_is_never_judged() {
    hook_agrees("a boost that is neither true nor false is never judged, ", 38);
}

#[test]
fn a_license_without_effect_is_remembered_and_counts_as_one_of_the_lowest_hosting_class() {
    hook_agrees(
        "a license without effect is remembered and counts as one of the lowest hosting class, ",
        27,
    );
}

#[test]
fn where_several_rules_of_the_order_meet_the_hook_agrees_too() {
    hook_agrees("several rules of the order meet, ", 40);
}

#[test]
fn licenses_that_are_judged_one_after_the_other_agree_with_cocalc() {
    hook_agrees("licenses that are judged one after the other, ", 60);
}
