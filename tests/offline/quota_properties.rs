//! What holds for every input of the quota function and the license hook, however odd.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{collections::BTreeMap, sync::Arc};

use kubectl_cocalc::{
    json::{JsString, Json, Map},
    json_patch::gate_value,
    pipeline::{
        gpu::gpu_info,
        licenses::{HookInput, State, hook, license_number_errors},
        quota::{Decider, Input, Link, explain, quota},
        settings::SiteSettings,
    },
    snapshot::License,
};
use proptest::prelude::*;

const NAMES: &[&str] = &[
    "quota",
    "status",
    "cpu",
    "ram",
    "disk",
    "dedicated_cpu",
    "dedicated_ram",
    "member",
    "always_running",
    "idle_timeout",
    "boost",
    "ext_rw",
    "gpu",
    "num",
    "patch",
    "dedicated_vm",
    "machine",
    "dedicated_disk",
    "memory",
    "cores",
    "network",
    "mintime",
    "cpu_shares",
    "memory_request",
    "disk_quota",
    "privileged",
    "member_host",
    "upgrades",
    "disableInternet",
    "mem",
    "mem_oc",
    "cpu_oc",
    "internet",
    "nodeLabel",
    "toleration",
    "resource",
    "7",
];

const TEXTS: &[&str] = &[
    "",
    "4",
    "2e3",
    "x",
    "0x1",
    "-1",
    "day",
    "medium",
    "expired",
    "active",
    "onprem",
    "n2-standard-4",
    "onprem2",
    "a=b,c",
    "[]",
    "[{\"op\":\"add\",\"path\":\"/a\"}]",
    "[{\"op\":\"ADD\",\"path\":\"/a\"}]",
    "[[[[",
];

/// Any JSON, made of the words that the quota code knows.
fn any_json() -> impl Strategy<Value = Json> {
    let scalar = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        (-3_i32..9000).prop_map(|n| Json::Number(f64::from(n) / 4.0)),
        prop::sample::select(vec![0.0, -0.0, 1e-7, 1e21, f64::INFINITY]).prop_map(Json::Number),
        prop::sample::select(TEXTS).prop_map(Json::string),
    ];
    scalar.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::list),
            prop::collection::vec((prop::sample::select(NAMES), inner), 0..8).prop_map(Json::map),
        ]
    })
}

fn id(n: usize) -> String {
    format!("0{n:x}000000-0000-4000-8000-000000000000")
}

/// A map with ids as names, sometimes something else.
fn by_id(value: impl Strategy<Value = Json> + 'static) -> impl Strategy<Value = Json> {
    let ids = prop_oneof![9 => (0..6_usize).prop_map(id), 1 => Just("12".to_owned())];
    prop_oneof![
        12 => prop::collection::vec((ids, value), 0..6).prop_map(Json::map),
        1 => any_json(),
    ]
}

/// An entry with a quota made of anything.
fn any_entry() -> impl Strategy<Value = Json> {
    prop_oneof![
        any_json(),
        any_json().prop_map(|quota| Json::map([("quota", quota)])),
        prop::collection::vec((prop::sample::select(NAMES), any_json()), 0..6)
            .prop_map(|members| Json::map([("quota", Json::map(members))])),
    ]
}

#[derive(Clone, Debug)]
struct Case {
    settings: Json,
    users: Json,
    site_license: Json,
    site_settings: Option<SiteSettings>,
    pay_as_you_go: Option<Json>,
}

impl Case {
    fn input(&self) -> Input<'_> {
        Input {
            settings: &self.settings,
            users: &self.users,
            site_license: &self.site_license,
            site_settings: self.site_settings.as_ref(),
            pay_as_you_go: self.pay_as_you_go.as_ref(),
            gate: &|patch| Arc::new(gate_value(patch)),
        }
    }
}

fn any_case() -> impl Strategy<Value = Case> {
    let site = (any_json(), any_json()).prop_map(|(default_quotas, max_upgrades)| SiteSettings {
        default_quotas,
        max_upgrades,
    });
    let user = any_json().prop_map(|upgrades| Json::map([("upgrades", upgrades)]));
    (
        any_json(),
        by_id(user),
        by_id(any_entry()),
        prop::option::of(site),
        prop::option::weighted(0.1, any_json()),
    )
        .prop_map(
            |(settings, users, site_license, site_settings, pay_as_you_go)| Case {
                settings,
                users,
                site_license,
                site_settings,
                pay_as_you_go,
            },
        )
}

/// Some of these members, each with one of its values.
fn some_of(members: &'static [(&'static str, &'static [f64])]) -> impl Strategy<Value = Json> {
    let each: Vec<_> = members
        .iter()
        .map(|(_, values)| prop::option::weighted(0.4, prop::sample::select(*values)))
        .collect();
    each.prop_map(|values| {
        let given = members.iter().zip(values);
        Json::map(given.filter_map(|((name, _), value)| Some((*name, Json::Number(value?)))))
    })
}

const UPGRADES: &[(&str, &[f64])] = &[
    ("network", &[0.0, 1.0]),
    ("member_host", &[0.0, 1.0]),
    ("always_running", &[0.0, 1.0]),
    ("privileged", &[0.0, 1.0]),
    ("memory_request", &[0.0, 100.5, 500.0, 9000.0]),
    ("cpu_shares", &[0.0, 10.0, 256.0, 4096.0]),
    ("disk_quota", &[0.0, 500.0, 7000.0, 99_999.0]),
    ("memory", &[0.0, 400.0, 1000.25, 1500.75, 4000.0, 20_000.0]),
    ("cores", &[0.0, 0.5, 1.0, 2.0, 8.0]),
    ("mintime", &[0.0, 600.0, 7200.0, 9_999_999.0]),
];
const DEFAULTS: &[(&str, &[f64])] = &[
    ("mem", &[400.0, 1000.0, 1000.5, 2000.0, 20_000.0]),
    ("cpu", &[0.5, 1.0, 2.0]),
    ("mem_oc", &[0.5, 1.0, 3.0, 5.0, 10.0]),
    ("cpu_oc", &[1.0, 3.0, 10.0, 50.0]),
    ("idle_timeout", &[60.0, 3600.0]),
    ("disk_quota", &[1000.0, 50_000.0]),
];
const LICENSE: &[(&str, &[f64])] = &[
    ("cpu", &[0.0, 0.5, 1.0, 2.0, 8.0]),
    ("ram", &[0.0, 0.5, 1.0, 1.0004, 4.0, 16.0]),
    ("dedicated_cpu", &[0.5, 1.0]),
    ("dedicated_ram", &[0.25, 2.0]),
    ("disk", &[1.0, 5.0, 50.0]),
];

/// Inputs as installations have them.
fn likely_case() -> impl Strategy<Value = Case> {
    let flag = |name: &'static str| {
        prop::option::weighted(0.3, any::<bool>()).prop_map(move |b| (name, b.map(Json::Bool)))
    };
    let timeout = prop::option::weighted(0.4, prop::sample::select(vec!["short", "medium", "day"]))
        .prop_map(|text| ("idle_timeout", text.map(Json::string)));
    let vm = prop::option::weighted(0.05, Just(Json::map([("machine", Json::string("onprem"))])))
        .prop_map(|vm| ("dedicated_vm", vm));
    let v2 = (
        some_of(LICENSE),
        flag("member"),
        flag("always_running"),
        flag("boost"),
        flag("ext_rw"),
        timeout,
        vm,
    )
        .prop_map(|(numbers, a, b, c, d, e, f)| {
            let mut quota: Map = numbers.as_map().unwrap().clone();
            for (name, value) in [a, b, c, d, e, f] {
                quota.extend(value.map(|value| (JsString::from(name), value)));
            }
            Json::map([("quota", Json::Map(quota.into()))])
        });
    let entry = prop_oneof![4 => v2, 1 => some_of(UPGRADES)];
    let users = prop::collection::vec(some_of(UPGRADES), 0..4).prop_map(|users| {
        let user = |(i, upgrades)| (id(i), Json::map([("upgrades", upgrades)]));
        Json::map(users.into_iter().enumerate().map(user))
    });
    let site_license = prop::collection::vec(entry, 0..5)
        .prop_map(|entries| Json::map(entries.into_iter().enumerate().map(|(i, entry)| (id(i), entry))));
    let site = (some_of(DEFAULTS), some_of(UPGRADES), any::<bool>()).prop_map(
        |(numbers, max_upgrades, internet)| {
            let mut defaults: Map = numbers.as_map().unwrap().clone();
            defaults.insert("internet".into(), Json::Bool(internet));
            SiteSettings {
                default_quotas: Json::Map(defaults.into()),
                max_upgrades,
            }
        },
    );
    let settings = (some_of(UPGRADES), prop::bool::weighted(0.1)).prop_map(|(settings, off)| {
        let mut settings: Map = settings.as_map().unwrap().clone();
        settings.extend(off.then(|| (JsString::from("disableInternet"), Json::Bool(true))));
        Json::Map(settings.into())
    });
    (settings, users, site_license, prop::option::weighted(0.8, site)).prop_map(
        |(settings, users, site_license, site_settings)| Case {
            settings,
            users,
            site_license,
            site_settings,
            pay_as_you_go: None,
        },
    )
}

fn without(json: &Json, name: &JsString) -> Json {
    let members = json.as_map().into_iter().flatten();
    Json::map(
        members
            .filter(|(key, _)| *key != name)
            .map(|(key, value)| (key.clone(), value.clone())),
    )
}

fn with_member(json: &Json, name: &str, value: f64) -> Json {
    let mut members = json.as_map().unwrap().clone();
    members.insert(name.into(), Json::Number(value));
    Json::Map(members.into())
}

/// The case without this decider.
fn removed(case: &Case, by: &Decider) -> Case {
    let mut case = case.clone();
    match by {
        Decider::License(id) => case.site_license = without(&case.site_license, id),
        Decider::User(id) => case.users = without(&case.users, id),
        Decider::Setting(name) => case.settings = without(&case.settings, &JsString::from(*name)),
        _ => {}
    }
    case
}

/// The case with only those licenses, users, settings and overcommit ratios that are among `deciders`.
fn only(case: &Case, deciders: &[Link]) -> Case {
    let keep = |json: &Json, by: &dyn Fn(&JsString) -> Decider| {
        let members = json.as_map().unwrap().iter();
        let named = |name: &JsString| deciders.iter().any(|link| link.by == by(name));
        Json::map(
            members
                .filter(|(name, _)| named(name))
                .map(|(name, value)| (name.clone(), value.clone())),
        )
    };
    let setting = |name: &JsString| {
        let known = UPGRADES.iter().find(|(known, _)| *name == *known);
        known.map_or(Decider::Builtin, |(known, _)| Decider::Setting(known))
    };
    let site_settings = case.site_settings.clone().map(|mut site| {
        for ratio in ["mem_oc", "cpu_oc"] {
            if !deciders.iter().any(|link| link.by == Decider::Overcommit(ratio)) {
                site.default_quotas = without(&site.default_quotas, &ratio.into());
            }
        }
        site
    });
    Case {
        site_settings,
        site_license: keep(&case.site_license, &|id| Decider::License(id.clone())),
        users: keep(&case.users, &|id| Decider::User(id.clone())),
        settings: keep(&case.settings, &setting),
        ..case.clone()
    }
}

fn value(case: &Case, field: &str) -> Json {
    quota(&case.input())
        .unwrap()
        .quota
        .to_json()
        .get(field)
        .cloned()
        .unwrap_or_default()
}

/// Whether a change of this rule of the site changes the field.
fn rule_matters(case: &Case, by: &Decider, field: &str, result: &Json) -> bool {
    let Some(site) = &case.site_settings else {
        return true;
    };
    let with = |site: SiteSettings| {
        let changed = Case {
            site_settings: Some(site),
            ..case.clone()
        };
        value(&changed, field) != *result
    };
    match by {
        Decider::Maximum { name, .. } => with(SiteSettings {
            max_upgrades: with_member(&site.max_upgrades, name, 1e9),
            ..site.clone()
        }),
        Decider::Overcommit(name) => [1.0, 2.0, 7.0, 1e6].into_iter().any(|ratio| {
            with(SiteSettings {
                default_quotas: with_member(&site.default_quotas, name, ratio),
                ..site.clone()
            })
        }),
        _ => true,
    }
}

/// The same case without overcommit ratios.
fn without_ratios(case: &Case) -> Case {
    let mut case = case.clone();
    if let Some(settings) = &mut case.site_settings
        && let Some(map) = settings.default_quotas.as_map()
    {
        let kept = map
            .iter()
            .filter(|(name, _)| **name != "cpu_oc" && **name != "mem_oc");
        settings.default_quotas = Json::map(kept.map(|(name, value)| (name.clone(), value.clone())));
    }
    case
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn the_quota_of_any_input_is_the_same_twice_and_explained_the_same(case in any_case()) {
        let text = |input: &Input<'_>| quota(input).map(|computed| {
            (computed.quota.to_json().stringify(), computed.reasons)
        });
        let first = text(&case.input());
        prop_assert_eq!(&first, &text(&case.input()));
        let explained = explain(&case.input()).map(|decided| {
            (decided.computed.quota.to_json().stringify(), decided.computed.reasons)
        });
        prop_assert_eq!(first, explained);
        license_number_errors(&case.site_license);
    }

    #[test]
    fn the_last_decider_has_the_value_of_the_quota(case in any_case()) {
        if let Ok(decided) = explain(&case.input()) {
            let quota = decided.computed.quota.to_json();
            let names: Vec<_> = quota.members().into_iter().map(|(name, _)| name.to_string_lossy()).collect();
            prop_assert_eq!(names.len(), decided.fields().len());
            for name in names {
                let chain = decided.chain(&name);
                let last = if name == "patch" || name == "dedicated_disks" {
                    Json::list(chain.iter().flat_map(|link| link.value.as_list().unwrap().to_vec()).collect())
                } else {
                    chain.last().unwrap().value.clone()
                };
                prop_assert_eq!(last.stringify(), quota.get(&name).unwrap().stringify(), "{}", name);
            }
        }
    }

    #[test]
    fn whoever_is_named_has_decided(case in likely_case()) {
        let decided = explain(&case.input()).unwrap();
        for (field, chain) in decided.fields() {
            if ["gpu", "dedicated_vm", "dedicated_disks", "patch", "pay_as_you_go"].contains(field) {
                continue;
            }
            let result = value(&case, field);
            for (i, link) in chain.iter().enumerate().skip(1) {
                let matters = match link.by {
                    Decider::License(_) | Decider::User(_) | Decider::Setting(_) => {
                        value(&removed(&case, &link.by), field) != result
                    }
                    // Where `disableInternet` would do the same as the maximum, both have decided.
                    _ => {
                        let case = removed(&case, &Decider::Setting("disableInternet"));
                        rule_matters(&case, &link.by, field, &result)
                    }
                };
                // A request can have two causes: what is named, and the share of a limit that the same user raised.
                let bare = without_ratios(&case);
                let decides = matters
                    || value(&only(&case, &chain[..i]), field) != result
                    || value(&only(&bare, &chain[..i]), field) != value(&bare, field);
                prop_assert!(decides, "{}: {:?} in {:?}", field, link.by, chain);
            }
        }
    }

    #[test]
    fn the_hook_judges_any_input_the_same_twice(
        case in any_case(),
        rows in prop::collection::vec((any_json(), any_json(), 0..5_u8, prop::option::of(-1_i8..3)), 6),
    ) {
        let licenses: BTreeMap<String, License> = rows.into_iter().enumerate().map(|(i, (upgrades, quota, dates, run_limit))| {
            let license = License {
                id: id(i),
                activates: (dates > 0).then(|| "2020-01-01T00:00:00Z".parse().unwrap()),
                expires: (dates == 1).then(|| "2021-01-01T00:00:00Z".parse().unwrap()),
                run_limit: run_limit.map(f64::from),
                upgrades,
                quota,
                ..License::default()
            };
            (id(i), license)
        }).collect();
        let input = HookInput {
            settings: &case.settings,
            users: &case.users,
            site_license: &case.site_license,
            licenses: &licenses,
            usage: &|_| 1,
            now: "2026-11-24T12:00:00Z".parse().unwrap(),
            site_settings: case.site_settings.as_ref(),
            gate: &|patch| Arc::new(gate_value(patch)),
        };
        let judged = hook(&input);
        prop_assert_eq!(&judged, &hook(&input));
        if let Ok(judged) = judged {
            let names = |json: &Json| json.as_map().map(|map| map.keys().cloned().collect::<Vec<_>>());
            prop_assert_eq!(names(&judged.site_license), names(&case.site_license));
            for verdict in &judged.verdicts {
                prop_assert_eq!(verdict.to_string().is_empty(), verdict.state == State::Active);
                let entry = judged.site_license.as_map().unwrap().get(&verdict.license);
                if matches!(verdict.state, State::Unjudged | State::Orphan | State::NotAUuid) {
                    prop_assert_eq!(entry, case.site_license.as_map().unwrap().get(&verdict.license));
                } else {
                    prop_assert_eq!(entry.unwrap().get("status").unwrap(), &Json::string(verdict.state.as_str()));
                }
            }
        }
    }

    #[test]
    fn any_gpu_gives_limits_only_for_a_number_above_0(gpu in any_json()) {
        let info = gpu_info(&gpu);
        prop_assert!(info.limits.len() <= 1);
        prop_assert!(!info.limits.is_empty() || info.tolerations.is_none());
    }
}
