//! What holds for every input of the quota function and the license hook, however odd.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{collections::BTreeMap, sync::Arc};

use kubectl_cocalc::{
    json::{JsString, Json, Map},
    json_patch::gate_value,
    pipeline::{
        gpu::gpu_info,
        licenses::{HookInput, State, hook, license_number_errors},
        quota::{Decided, Input, explain, quota, terms_json},
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
    (
        "memory",
        &[-500.0, 0.0, 400.0, 1000.25, 1500.75, 4000.0, 20_000.0],
    ),
    ("cores", &[-1.0, 1e-7, 0.0, 0.1, 0.2, 0.7, 1.0, 2.0, 8.0]),
    ("mintime", &[0.0, 600.0, 7200.0, 9_999_999.0]),
];
const DEFAULTS: &[(&str, &[f64])] = &[
    ("mem", &[400.0, 1000.0, 1000.5, 2000.0, 20_000.0]),
    ("cpu", &[-1.0, 0.1, 0.5, 1.0, 2.0]),
    ("mem_oc", &[0.5, 1.0, 3.0, 5.0, 10.0]),
    ("cpu_oc", &[1.0, 3.0, 10.0, 50.0]),
    ("idle_timeout", &[60.0, 3600.0]),
    ("disk_quota", &[1000.0, 50_000.0]),
];
const LICENSE: &[(&str, &[f64])] = &[
    ("cpu", &[0.0, 0.1, 0.2, 0.7, 1.0, 2.0, 8.0]),
    ("ram", &[-1.0, 0.0, 0.5, 1.0, 1.0004, 4.0, 16.0]),
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
    let machine = prop::sample::select(vec!["onprem", "onprem", "n2-standard-4"]);
    let vm = prop::option::weighted(0.05, machine).prop_map(|machine| {
        (
            "dedicated_vm",
            machine.map(|machine| Json::map([("machine", Json::string(machine))])),
        )
    });
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
    let pay_as_you_go = some_of(UPGRADES).prop_map(|given| Json::map([("quota", given)]));
    let optional = (
        prop::option::weighted(0.8, site),
        prop::option::weighted(0.1, pay_as_you_go),
    );
    (settings, users, site_license, optional).prop_map(
        |(settings, users, site_license, (site_settings, pay_as_you_go))| Case {
            settings,
            users,
            site_license,
            site_settings,
            pay_as_you_go,
        },
    )
}

/// A number, or a flag as 0 or 1.
fn number(json: &Json) -> f64 {
    match json {
        Json::Bool(flag) => f64::from(u8::from(*flag)),
        other => other.as_f64().unwrap(),
    }
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

/// JavaScript's `Math.max` and `Math.min`, and `+` or OR.
fn compute(how: &str, a: f64, b: f64, flag: bool) -> f64 {
    match how {
        "added" if !flag => a + b,
        "divided" => a / b,
        "rounded" => b,
        _ if a.is_nan() || b.is_nan() => f64::NAN,
        "capped" => a.min(b),
        how => {
            assert!(matches!(how, "added" | "compared" | "raised"), "{how}");
            a.max(b)
        }
    }
}

/// What the steps of a calculation come to.
fn result_of_steps(steps: &Json) -> f64 {
    let mut running = f64::NAN;
    for (i, step) in steps.as_list().unwrap().iter().enumerate() {
        let how = step.get("how").and_then(Json::as_str).unwrap();
        let amount = step.get("amount").unwrap();
        let flag = matches!(amount, Json::Bool(_));
        let amount = number(amount);
        if let Some(with) = step.get("with") {
            assert!(same(result_of_steps(with), amount), "{with:?}");
            assert!(with.as_list().unwrap().len() > 1, "{with:?}");
        }
        assert_eq!(how == "base", i == 0, "{steps:?}");
        if how == "rounded" {
            assert!(
                amount.fract() == 0.0 && (amount - running).abs() < 1.0,
                "{steps:?}"
            );
        }
        running = if i == 0 {
            amount
        } else {
            compute(how, running, amount, flag)
        };
        assert!(same(running, number(step.get("value").unwrap())), "{steps:?}");
    }
    running
}

/// A calculation as it is printed, read from the left to the right.
struct Reader<'a> {
    rest: &'a str,
    flag: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Up to the next delimiter.
    fn phrase(&mut self) -> &'a str {
        let delimiters = [" + ", " - ", " = ", ", ", "; ", ")"];
        let end = delimiters
            .iter()
            .filter_map(|delimiter| self.rest.find(delimiter))
            .min();
        let (phrase, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        phrase
    }

    /// `license 77aa10b4 4000`, or a calculation in parentheses.
    fn named(&mut self) -> f64 {
        if self.take("(") {
            let value = self.calculation(false);
            assert!(self.take(")"), "{}", self.rest);
            return value;
        }
        match self.phrase().rsplit(' ').next().unwrap() {
            "true" => 1.0,
            "false" => 0.0,
            number => number.parse().unwrap(),
        }
    }

    fn added(&mut self, mut sum: f64) -> f64 {
        let mut terms = 0;
        loop {
            if self.take(" + ") {
                sum = compute("added", sum, self.named(), self.flag);
            } else if self.take(" - ") {
                sum -= self.named();
            } else {
                break;
            }
            terms += 1;
        }
        assert!(terms == 0 || self.rest.starts_with(" = "), "{}", self.rest);
        self.result(sum);
        sum
    }

    fn result(&mut self, value: f64) {
        if self.take(" = ") {
            assert!(same(self.named(), value), "{value}{}", self.rest);
        }
    }

    /// To the end, or as the operand of a comparison to the next semicolon.
    fn calculation(&mut self, operand: bool) -> f64 {
        let first = self.named();
        let mut value = self.added(first);
        while self.take(", ") || (!operand && self.take("; ")) {
            value = if self.take("plus ") {
                let first = compute("added", value, self.named(), self.flag);
                self.added(first)
            } else if self.take("switched off by settings.disableInternet") {
                0.0
            } else if self.take("rounded to ") {
                self.named()
            } else if self.take("divided by ") {
                let quotient = value / self.named();
                assert!(self.rest.starts_with(" = "), "{}", self.rest);
                self.result(quotient);
                quotient
            } else if self.take("raised to ") {
                let minimum = self.named();
                compute("raised", value, minimum, self.flag)
            } else if self.take("capped by ") {
                let first = self.named();
                let bound = self.added(first);
                compute("capped", value, bound, self.flag)
            } else {
                let equal = self.take("equal to ");
                assert!(equal || self.take("above "), "{}", self.rest);
                let other = self.calculation(true);
                assert!(value.is_nan() || (value == other) == equal, "{value} {other}");
                compute("compared", value, other, self.flag)
            };
        }
        value
    }
}

fn result_of_text(text: &str, flag: bool) -> f64 {
    let text = text.replace(" (built-in)", "");
    let mut reader = Reader { rest: &text, flag };
    let value = reader.calculation(false);
    assert_eq!(reader.rest, "", "{text}");
    value
}

/// Evaluates what is printed about all numbers and flags of a quota.
fn assert_printed_arithmetic(decided: &Decided) {
    let quota = decided.computed.quota.to_json();
    for (name, value) in quota.members() {
        let name = name.as_str().unwrap();
        let is_flag = matches!(value, Json::Bool(_)) && !matches!(name, "dedicated_vm" | "gpu");
        if !is_flag && !matches!(value, Json::Number(_)) {
            continue;
        }
        let steps = terms_json(decided.calculation(name));
        let text = decided.why(name, &|_| None);
        let of_steps = result_of_steps(&steps);
        assert!(same(of_steps, number(value)), "{name}: {of_steps} of {steps:?}");
        let of_text = result_of_text(&text, is_flag);
        assert!(same(of_text, number(value)), "{name}: {of_text} of {text}");
    }
}

/// All amounts in a calculation that this license or user gives.
fn amounts_of(steps: &Json, id: &JsString) -> Vec<f64> {
    let steps = steps.as_list().unwrap().iter();
    steps
        .flat_map(|step| {
            let with = step
                .get("with")
                .map_or_else(Vec::new, |with| amounts_of(with, id));
            let its = matches!(step.get("id"), Some(Json::String(by)) if by == id);
            with.into_iter()
                .chain(its.then(|| number(step.get("amount").unwrap())))
        })
        .collect()
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
    fn every_member_of_the_quota_has_a_calculation_that_ends_with_its_value(case in any_case()) {
        if let Ok(decided) = explain(&case.input()) {
            let quota = decided.computed.quota.to_json();
            prop_assert_eq!(quota.members().len(), decided.fields().len());
            for (name, value) in quota.members() {
                let name = name.as_str().unwrap();
                let terms = decided.calculation(name);
                let last = if name == "patch" || name == "dedicated_disks" {
                    Json::list(terms.iter().flat_map(|term| term.value.as_list().unwrap().to_vec()).collect())
                } else {
                    terms.last().unwrap().value.clone()
                };
                prop_assert_eq!(last.stringify(), value.stringify(), "{}", name);
            }
        }
    }

    #[test]
    fn the_printed_arithmetic_gives_the_value(case in likely_case()) {
        assert_printed_arithmetic(&explain(&case.input()).unwrap());
    }

    #[test]
    fn the_printed_arithmetic_gives_the_value_for_odd_inputs_too(case in any_case()) {
        if let Ok(decided) = explain(&case.input()) {
            assert_printed_arithmetic(&decided);
        }
    }

    #[test]
    fn every_license_and_user_that_counts_is_named_with_its_own_amount(case in likely_case()) {
        let decided = explain(&case.input()).unwrap();
        let steps = decided.to_json();
        let steps = steps.get("memory_limit").unwrap();
        let reasons = &decided.computed.reasons;
        let vm = decided.computed.quota.dedicated_vm.truthy();
        let given = |json: &Json, name| json.get(name).and_then(Json::as_f64).unwrap_or(0.0);
        let licenses = case.site_license.members().into_iter();
        let selected = licenses.filter(|(id, _)| !vm && !reasons.iter().any(|(other, _)| other == *id));
        let of_licenses = selected.map(|(id, entry)| match entry.get("quota") {
            Some(quota) => (id, 1000.0 * (given(quota, "ram") + given(quota, "dedicated_ram"))),
            None => (id, given(entry, "memory")),
        });
        let users = case.users.members().into_iter().filter(|_| !vm);
        let of_users = users.map(|(id, user)| (id, given(user.get("upgrades").unwrap(), "memory")));
        // A user and a license can have the same id here.
        for (id, amount) in of_licenses.chain(of_users).filter(|(_, amount)| *amount != 0.0) {
            prop_assert!(amounts_of(steps, id).contains(&amount), "{:?} {} in {}", id, amount, steps.stringify());
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
