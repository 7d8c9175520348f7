//! `snapshot --redact`: no text leaves that is not known to be needed, and the verdicts stay the same.
//!
//! Canaries, texts that are found again, are planted in every place that can hold a text; [`MAY_STAY`] lists those that
//! stay and why. The verdicts are held against those of the original over the pods and licenses of `tests/data`.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failure here is a failed test"
)]

use std::{collections::BTreeSet, fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kubectl_cocalc::{
    check::{findings, pod::check_pod},
    json_patch::{PathPart, strict},
    pipeline::{Known, Site, Subject, View},
    snapshot::{Input, ReadOptions, Snapshot, read_inputs, redact::redact},
};
use serde_json::{Map, Value, json};

use crate::support::{LAB, Sandbox};

const LICENSE: &str = "0a000000-0000-4000-8000-000000000001";
const ORPHAN: &str = "0b000000-0000-4000-8000-000000000002";

/// The texts of a site that may stay, each with the reason.
const MAY_STAY: &[(&str, &str)] = &[
    (
        LAB,
        "the id of a project: everything is found by it, and it says nothing",
    ),
    (LICENSE, "the id of a license: the same"),
    (ORPHAN, "the id of a license without a row: the same"),
    ("2023-01-20T16:37:12.123Z", "a time: licenses are judged by it"),
    ("1234Mi", "a quantity: the quota and the API server compare it"),
    (
        "/spec/containers/0/env/0/value",
        "a path made of fields' names: it is what a patch does",
    ),
    ("/home/user", "a path of CoCalc: rules are about it"),
    ("{project_id}", "a placeholder"),
    ("nvidia.com/gpu", "a resource that CoCalc asks for"),
    ("node.kubernetes.io/not-ready", "Kubernetes' own word"),
    ("mountpath", "a misspelt field, which a finding is about"),
    ("COCALC_EXTRA_ENV", "a variable of CoCalc"),
    ("IfNotPresent", "a value that Kubernetes compares"),
];

fn data(name: &str) -> Value {
    let text = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data")
            .join(name),
    )
    .unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Base64 in a text, decoded, and so on; escapes resolved where they hide a letter.
fn with_decoded(text: &str) -> String {
    let mut all = text.to_owned();
    for digits in text.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c))) {
        if digits.len() < 4 {
            continue;
        }
        let decoded = STANDARD.decode(digits).ok();
        if let Some(inner) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) {
            all.push('\n');
            all.push_str(&with_decoded(&inner));
        }
    }
    all
}

/// Texts that are found again, in many forms.
#[derive(Default)]
struct Canaries {
    planted: usize,
}

impl Canaries {
    /// A new one in the next form.
    fn next(&mut self) -> String {
        self.planted += 1;
        let bird = format!("canary{}", self.planted);
        match self.planted % 12 {
            0 => bird,
            1 => format!("{bird}@{bird}.example"),
            2 => format!("Bearer {bird}.eyJhbGciOiJIUzI1NiJ9.{bird}"),
            3 => format!("--password={bird}"),
            4 => format!("{bird}.example:5000/{bird}/image:{bird}-1@sha256:{bird}"),
            5 => format!("/srv/{bird}/data"),
            6 => format!("{{\"note\": \"{bird}\", \"{bird}\": [\"{bird}\"]}}"),
            7 => STANDARD.encode(format!("{{\"a\":\"{bird}\"}}")),
            8 => STANDARD.encode(format!("user:{bird}")),
            9 => format!("{bird} in a sentence, {bird}, with a {LAB}"),
            10 => format!("[{{op: 'add', path: /x, value: {bird}}}]"),
            _ => format!("{}-é-{bird}", bird.to_uppercase()),
        }
    }

    /// One in the place of every text, and, beside every member, one as the name of another.
    fn everywhere(&mut self, value: &Value) -> Value {
        match value {
            Value::String(_) => Value::from(self.next()),
            Value::Array(list) => list.iter().map(|element| self.everywhere(element)).collect(),
            Value::Object(map) => {
                let mut planted: Map<String, Value> = map
                    .iter()
                    .map(|(name, value)| (name.clone(), self.everywhere(value)))
                    .collect();
                planted.insert(self.next(), Value::from(self.next()));
                Value::Object(planted)
            }
            other => other.clone(),
        }
    }
}

fn redacted(site: &Value, format: &str) -> (String, String) {
    let run = Sandbox::new()
        .file("site.json", &site.to_string())
        .run(&["snapshot", "-f", "site.json", "--all", "--redact", "-o", format])
        .code(0);
    (run.stdout, run.stderr)
}

#[track_caller]
fn assert_no_canary(text: &str) {
    let all = with_decoded(text).to_lowercase();
    let at = all
        .find("canary")
        .map(|at| all.get(at.saturating_sub(80)..(at + 40).min(all.len())));
    assert_eq!(at, None, "a canary has left");
}

/// A site with a canary in every place that can hold a text.
fn site_full_of_canaries() -> Value {
    let mut birds = Canaries::default();
    let mut pod = birds.everywhere(&data("rich-pod.json"));
    pod["metadata"]["labels"] = json!({"project_id": LAB, "run": birds.next(), (birds.next()): birds.next()});
    pod["metadata"]["uid"] = json!("12345678-1234-4123-8123-canary123456");
    pod["metadata"]["managedFields"] = json!([{"manager": birds.next(), "fieldsV1": {(birds.next()): {}}}]);
    pod["spec"]["nodeName"] = json!(birds.next());
    pod["status"] = birds.everywhere(&json!({
        "message": "m", "reason": "r", "phase": "Running", "hostIP": "h", "podIP": "p", "podIPs": [{"ip": "x"}],
        "conditions": [{"type": "Ready", "message": "m"}],
        "containerStatuses": [{"name": "n", "image": "i", "imageID": "i", "containerID": "c"}],
    }));
    let template = birds.everywhere(&data("rich-pod.json"));
    let operations: Vec<Value> = data("rich-pod.json")["spec"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(field, value)| {
            let path = format!("/spec/{field}/{}~1{}~0x", birds.next().replace('/', "~1"), "x");
            json!({"op": "add", "path": path, "from": birds.next(), "value": birds.everywhere(value), (birds.next()): birds.next()})
        })
        .collect();
    let quota = |birds: &mut Canaries, patch: Value| {
        let mut quota = birds.everywhere(
            &json!({"notes": "n", "cpu": 1, "ram": "4", "user": "u", "idle_timeout": "x",
            "gpu": {"num": 1, "toleration": "a=b", "nodeLabel": "a=b", "resource": "r"},
            "dedicated_vm": {"machine": "m", "name": "n"}, "dedicated_disk": {"name": "n", "speed": "s"}}),
        );
        quota["patch"] = patch;
        quota
    };
    let broken = format!(
        "[{{op: 'add', path: '/spec/x', value: '\\u0063anary {}'}},]",
        birds.next()
    );
    json!({
        "now": "2026-11-24T12:00:00Z",
        "server_settings": {"kucalc": "onprem", "default_quotas": json!({"mem": 1000, "note": birds.next(), (birds.next()): 1}).to_string(),
            "max_upgrades": birds.everywhere(&json!({"memory": 4000, "note": "x"}))},
        "template": template,
        "template_source": birds.next(),
        "software": {"default": "canaryenvironment", "environments": {
            "canaryenvironment": {"tag": birds.next(), "title": birds.next(), "registry": birds.next()},
            (birds.next()): {"tag": birds.next(), "title": birds.next(), "registry": birds.next()}}},
        "assumptions": {"project_container": birds.next(), "software_mount": birds.next(), "network": {"label": birds.next(), "on": birds.next(), "off": birds.next()},
            "dedicated_vm": {"key": birds.next()}, "project_config": birds.everywhere(&json!({"a": "b", "env": {"c": "d"}}))},
        "site_licenses": [
            {"id": LICENSE, "title": birds.next(), "activates": "2023-01-20", "managers": [birds.next()],
             "upgrades": birds.everywhere(&json!({"memory": 1, "note": "x"})), "quota": quota(&mut birds, json!(json!(operations).to_string()))},
            {"id": "0c000000-0000-4000-8000-000000000003", "title": "", "activates": "2023-01-20",
             "quota": quota(&mut birds, json!(broken))},
            {"id": "0d000000-0000-4000-8000-000000000004", "title": "", "activates": "2023-01-20",
             "quota": quota(&mut birds, json!(json!(json!(operations).to_string()).to_string()))},
        ],
        "projects": [{
            "project_id": LAB, "title": birds.next(), "compute_image": "canaryenvironment",
            "state": {"state": birds.next()},
            "settings": birds.everywhere(&json!({"memory": "4000", "note": "x"})),
            "users": {(birds.next()): {"group": birds.next(), "upgrades": birds.everywhere(&json!({"note": "x"})), "ssh_keys": birds.next()}},
            "site_license": {LICENSE: {}, ORPHAN: {"status": "active", "reason": birds.next(), "quota": quota(&mut birds, json!(operations))},
                (birds.next()): {"quota": {"ram": 1}}},
            "run_quota": quota(&mut birds, json!(operations)),
            "env": birds.everywhere(&json!({"TOKEN": "x", "PIN": "y", "DEEP": {"a": ["b"]}})),
        }],
        "live_pods": [pod],
    })
}

#[test]
fn no_canary_leaves_from_any_place_that_can_hold_a_text() {
    let site = site_full_of_canaries();
    assert!(site.to_string().matches("canary").count() > 2000);
    for format in ["yaml", "json"] {
        let (file, told) = redacted(&site, format);
        assert_no_canary(&file);
        assert_no_canary(&told);
        assert!(told.contains("replaced by stand-ins: "), "{told}");
        for kind in [
            "values of environment variables",
            "e-mail addresses",
            "paths",
            "names",
            "1 list of managedFields left out",
        ] {
            assert!(told.replace("\n  ", " ").contains(kind), "{kind}: {told}");
        }
    }
}

/// The places where a real snapshot was found to keep what is private.
#[test]
fn what_was_once_left_in_a_redacted_snapshot_is_gone() {
    let secrets = [
        "jane.doe@acme-biotech.org",
        "tok3nABC.def",
        "hunter2",
        "harbor.acme-biotech.org",
        "acme-pull",
        "nfs7.acme-biotech.org",
        "gpu-worker-17",
        "10.77.3.4",
        "10.78.9.1",
        "fd12:3456::7",
        "s3cr3tvalue",
        "Invoice",
        "acme-manager",
        "share-acme",
        "4711",
    ];
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("project-{LAB}"), "uid": "1", "labels": {"run": "project", "project_id": LAB},
            "annotations": {"owner": "jane.doe@acme-biotech.org"}, "managedFields": [{"manager": "acme-manager"}]},
        "spec": {"nodeName": "gpu-worker-17", "imagePullSecrets": [{"name": "acme-pull"}],
            "containers": [{"name": "project", "image": "harbor.acme-biotech.org:5000/team/project:v1",
                "command": ["curl", "-H", "Authorization: Bearer tok3nABC.def"], "args": ["--password=hunter2"],
                "env": [{"name": "A", "val": "s3cr3tvalue"}, {"name": "PIN", "value": "4711"}]}],
            "volumes": [{"name": "n", "nfs": {"server": "nfs7.acme-biotech.org", "path": "/x"}}, {"name": "m", "nfs": {"server": "10.78.9.1", "path": "/x"}},
                {"name": "c", "csi": {"driver": "d", "volumeAttributes": {"share": "share-acme", "auth": "hunter2"}}}]},
        "status": {"hostIP": "10.77.3.4", "podIP": "10.77.3.4", "podIPs": [{"ip": "fd12:3456::7"}]}});
    let site = json!({"now": "2026-11-24T12:00:00Z", "template": {"kind": "Pod", "metadata": pod["metadata"], "spec": pod["spec"]},
        "site_licenses": [{"id": LICENSE, "title": "", "activates": "2023-01-01", "quota": {"cpu": 1, "notes": "Invoice for jane.doe@acme-biotech.org",
            "patch": json!([{"op": "add", "path": "/spec/volumes/-", "value": pod["spec"]["volumes"][0]},
                {"op": "test", "path": "/spec/containers/0/env/1/value", "value": "4711"},
                {"op": "add", "path": "/spec/containers/0/env/1/val", "value": "s3cr3tvalue"}]).to_string()}}],
        "projects": [{"project_id": LAB, "site_license": {LICENSE: {}}}], "live_pods": [pod]});
    let plain = site.to_string();
    let (file, _) = redacted(&site, "json");
    for secret in secrets {
        assert!(plain.contains(secret), "{secret} is there to be redacted");
        assert!(
            !with_decoded(&file).contains(secret),
            "{secret} is left in\n{file}"
        );
    }
    let (mut file, was) = (serde_json::from_str::<Value>(&file).unwrap(), site);
    if let Some(text) = file["template"].as_str() {
        file["template"] = serde_json::from_str(text).unwrap();
    }
    // Each has the form that it had.
    let of = |pointer: &str| file.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
    assert!(
        of("/live_pods/0/status/hostIP")
            .parse::<std::net::Ipv4Addr>()
            .is_ok()
    );
    assert!(
        of("/live_pods/0/status/podIPs/0/ip")
            .parse::<std::net::Ipv6Addr>()
            .is_ok()
    );
    let image = of("/live_pods/0/spec/containers/0/image");
    let shape = |text: &str| text.replace(|c: char| c.is_ascii_alphanumeric(), "x");
    assert_eq!(shape(&image), "xxxxxx.xxxx-xxxxxxx.xxx:xxxx/xxxx/xxxxxxx:xx");
    assert_eq!(
        image,
        of("/template/spec/containers/0/image"),
        "the same everywhere"
    );
    let patch: Value = serde_json::from_str(&of("/site_licenses/0/quota/patch")).unwrap();
    assert_eq!(patch[0]["value"], file["template"]["spec"]["volumes"][0]);
    assert_eq!(
        patch[1]["value"],
        file["template"]["spec"]["containers"][0]["env"][1]["value"]
    );
    for at in [0, 1, 2] {
        assert_eq!(
            patch[at]["path"],
            serde_json::from_str::<Value>(was["site_licenses"][0]["quota"]["patch"].as_str().unwrap())
                .unwrap()[at]["path"]
        );
    }
    assert!(
        file["live_pods"][0]["spec"]["containers"][0]["env"][0]
            .get("val")
            .is_some(),
        "a misspelt member keeps its name"
    );
    assert_eq!(file["live_pods"][0]["metadata"].get("managedFields"), None);
}

#[test]
fn what_may_stay_stays() {
    let site = json!({"now": "2026-11-24T12:00:00Z",
        "template": {"kind": "Pod", "metadata": {"name": "project-{project_id}"}, "spec": {
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
            "containers": [{"name": "project", "image": "x", "imagePullPolicy": "IfNotPresent", "env": [{"name": "COCALC_EXTRA_ENV", "value": "{extra_env}"}],
                "resources": {"limits": {"memory": "1234Mi", "nvidia.com/gpu": 1}}, "volumeMounts": [{"name": "home", "mountpath": "/home/user"}]}]}},
        "site_licenses": [{"id": LICENSE, "title": "", "activates": "2023-01-20T16:37:12.123Z", "quota": {
            "patch": "[{\"op\":\"remove\",\"path\":\"/spec/containers/0/env/0/value\"}]"}}],
        "projects": [{"project_id": LAB, "site_license": {LICENSE: {}, ORPHAN: {}}}]});
    let (file, _) = redacted(&site, "json");
    for (text, reason) in MAY_STAY {
        assert!(file.contains(text), "{text}: {reason}\n{file}");
    }
}

// --- verdicts

fn read(site: &Value) -> Snapshot {
    let text = site.to_string();
    let (snapshot, _) = read_inputs(&[Input::Stdin], &mut text.as_bytes(), &ReadOptions::default()).unwrap();
    snapshot
}

/// A path without the names that are replaced: of each member only whether it is the same field.
fn place(path: &[PathPart], of: &Value) -> Vec<String> {
    let fields = of.to_string();
    path.iter()
        .map(|part| match part {
            PathPart::Index(index) => index.to_string(),
            PathPart::Name(name) if fields.contains(&format!("\"{name}\"")) => name.to_string(),
            PathPart::Name(_) => "*".to_owned(),
        })
        .collect()
}

/// Rule and severity of a finding, its place, and the other places that take part.
type Found = (String, String, Vec<String>, Vec<Vec<String>>);

fn verdict(pod: &Value, fields: &Value) -> Vec<Found> {
    check_pod(pod)
        .iter()
        .map(|found| {
            (
                found.finding.rule.to_owned(),
                format!("{:?}", found.finding.severity),
                place(&found.path, fields),
                found.others.iter().map(|path| place(path, fields)).collect(),
            )
        })
        .collect()
}

/// Names that stay: those of a small pod without any of its own.
fn own_names() -> Value {
    json!([
        "metadata",
        "spec",
        "name",
        "containers",
        "volumes",
        "volumeMounts",
        "mountPath",
        "env",
        "labels",
        "annotations",
        "resources",
        "limits",
        "requests",
        "value",
        "status",
        "initContainers",
        "image",
        "ports"
    ])
}

fn example_pod() -> Value {
    let text = data("example-template.json").to_string();
    let text = text
        .replace("{project_id}", LAB)
        .replace("{PROJECT_IMAGE}", "registry.example/cocalc/project")
        .replace("{PROJECT_TAG}", "20230110-1143")
        .replace("{extra_env}", "e30=")
        .replace("{project_config}", "e30=");
    serde_json::from_str(&text).unwrap()
}

/// Pods with something wrong: the lines of pods.txt, and every text of two pods changed in several ways.
fn pods() -> Vec<(String, Value)> {
    let (example, rich) = (example_pod(), data("rich-pod.json"));
    let mut pods = vec![
        ("example".to_owned(), example.clone()),
        ("rich".to_owned(), rich.clone()),
    ];
    let lines =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pods.txt")).unwrap();
    for line in lines.lines().filter(|line| line.starts_with(['/', '-'])) {
        let mut pod = example.clone();
        let edits = line.split(" ; ").map(str::trim);
        let edited = edits.into_iter().try_for_each(|edit| {
            let operation = match edit.strip_prefix('-') {
                Some(path) => json!({"op": "remove", "path": path}),
                None => {
                    let (path, value) = edit.split_once('=').unwrap();
                    let value: Value = serde_json::from_str(value).unwrap();
                    let op = if pod.pointer(path).is_some() {
                        "replace"
                    } else {
                        "add"
                    };
                    json!({"op": op, "path": path.replace("/+", "/-"), "value": value})
                }
            };
            strict(&pod, &[operation]).map(|edited| pod = edited)
        });
        if edited.is_ok() {
            pods.push((line.to_owned(), pod));
        }
    }
    for (base, pod) in [("example", &example), ("rich", &rich)] {
        let mut places = Vec::new();
        texts(pod, "", &mut places);
        for at in places {
            let was = pod.pointer(&at).and_then(Value::as_str).unwrap();
            let odd = [
                "".to_owned(),
                "Bad Value!".to_owned(),
                "a".repeat(300),
                "/a/../b".to_owned(),
                was.to_uppercase(),
                format!("{was}-acme"),
                "010.1.2.3".to_owned(),
                "10.1.2.999".to_owned(),
                "12".to_owned(),
            ];
            for text in odd {
                let mut changed = pod.clone();
                *changed.pointer_mut(&at).unwrap() = json!(text);
                pods.push((format!("{base} {at}={text}"), changed));
            }
            let (parent, name) = at.rsplit_once('/').unwrap();
            if let Some(Value::Object(map)) = pod.clone().pointer_mut(parent) {
                let name = name.replace("~1", "/").replace("~0", "~");
                let value = map.remove(&name).unwrap();
                map.insert(name.to_lowercase() + "x", value);
                let mut changed = pod.clone();
                *changed.pointer_mut(parent).unwrap() = Value::Object(map.clone());
                pods.push((format!("{base} {at} misspelt"), changed));
            }
        }
    }
    pods
}

fn texts(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(pointer.to_owned()),
        Value::Array(list) => {
            for (index, element) in list.iter().enumerate() {
                texts(element, &format!("{pointer}/{index}"), found);
            }
        }
        Value::Object(map) => {
            for (name, member) in map {
                let name = name.replace('~', "~0").replace('/', "~1");
                texts(member, &format!("{pointer}/{name}"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_pod_has_the_same_findings_at_the_same_places_when_it_is_redacted() {
    let pods = pods();
    let mut wrong = Vec::new();
    let mut found = 0;
    let fields = own_names();
    let snapshot = Snapshot {
        live_pods: pods.iter().map(|(_, pod)| pod.clone()).collect(),
        ..Snapshot::default()
    };
    let together = redact(snapshot).0.live_pods;
    for (at, ((name, pod), together)) in pods.iter().zip(&together).enumerate() {
        let was = verdict(pod, &fields);
        let is = verdict(together, &fields);
        let mut ways = vec![("together", is)];
        // Among other pods a word has another stand-in than alone.
        if at % 10 == 0 {
            let alone = redact(Snapshot {
                live_pods: vec![pod.clone()],
                ..Snapshot::default()
            });
            ways.push(("alone", verdict(&alone.0.live_pods[0], &fields)));
        }
        found += was.len();
        for (how, is) in ways {
            if was != is {
                wrong.push(format!("{name} ({how})\n  {was:?}\n  {is:?}"));
            }
        }
    }
    assert!(found > 500, "{found}");
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        pods.len(),
        wrong.join("\n")
    );
}

/// Sites out of the corpus of the dry run: one project for each case.
fn sites() -> Vec<(String, Value)> {
    let mut sites = Vec::new();
    let template = data("example-template.json");
    for file in [
        "admission",
        "decode",
        "good",
        "hard",
        "policy",
        "several",
        "validation",
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/dry-run/{file}.yaml"));
        let cases: Value = serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        for case in cases.as_array().unwrap() {
            let operations = case["template"].as_array().cloned().unwrap_or_default();
            let template = strict(&template, &operations).unwrap();
            let (mut held, mut licenses) = (Map::new(), Vec::new());
            for (at, license) in case["licenses"].as_array().into_iter().flatten().enumerate() {
                let id = format!("{at:08x}-0000-4000-8000-000000000009");
                let mut quota = json!({"cpu": 1, "ram": 1});
                quota
                    .as_object_mut()
                    .unwrap()
                    .extend(license["quota"].as_object().cloned().unwrap_or_default());
                match &license["patch"] {
                    Value::Null => {}
                    Value::Array(_) => quota["patch"] = json!(license["patch"].to_string()),
                    text => quota["patch"] = text.clone(),
                }
                let mut row = json!({"id": id, "title": license["title"], "activates": "2023-01-20T16:37:12Z", "quota": quota});
                row.as_object_mut()
                    .unwrap()
                    .extend(license["row"].as_object().cloned().unwrap_or_default());
                licenses.push(row);
                held.insert(id, json!({}));
            }
            let (registry, tag) = match &case["image"] {
                Value::Null => (json!("registry.acme.org/cocalc/project"), json!("20230110-1143")),
                image => (image[0].clone(), image[1].clone()),
            };
            let site = json!({"now": "2026-11-24T12:00:00Z", "template": template, "site_licenses": licenses,
                "server_settings": {"default_quotas": {"internet": true, "mem": 1000, "cpu": 1}, "max_upgrades": {"memory": 16000, "cores": 4}},
                "software": {"environments": {"u": {"tag": tag, "registry": registry}}},
                "projects": [{"project_id": LAB, "title": case["name"], "site_license": held, "env": {"COURSE": "bio101", "A_TOKEN": "x y"}}]});
            sites.push((case["name"].as_str().unwrap().to_owned(), site));
        }
    }
    for patch in data("example-patches.json").as_array().unwrap() {
        let mut site = sites[0].1.clone();
        site["template"] = template.clone();
        site["site_licenses"] = json!([{"id": LICENSE, "title": "t", "activates": "2023-01-01", "quota": {"cpu": 1, "patch": patch["patch"].to_string()}}]);
        site["projects"][0]["site_license"] = json!({LICENSE: {}});
        sites.push((patch["name"].as_str().unwrap().to_owned(), site));
    }
    sites
}

/// What is rendered, what is found, and where it fails.
fn judged(snapshot: &Snapshot) -> (Option<Value>, Vec<String>) {
    let now = "2026-11-24T12:00:00Z".parse().unwrap();
    let site = Site::new(snapshot, now, View::default());
    let subject = Subject {
        project_id: LAB,
        known: Known::Row(&snapshot.projects[0]),
        live_pod: None,
    };
    let rendered = match site.render(subject) {
        Ok(rendered) => rendered,
        Err(error) => {
            return (
                None,
                vec![
                    format!("{error:?}")
                        .split(['(', '{', ' '])
                        .next()
                        .unwrap()
                        .to_owned(),
                ],
            );
        }
    };
    let mut told: Vec<String> = findings(&site, subject, &rendered)
        .iter()
        .map(|finding| format!("{} {:?}", finding.rule, finding.severity))
        .collect();
    if let Some(failure) = &rendered.failure {
        told.push(format!(
            "{:?} {} {}",
            failure.patch,
            failure.operation,
            failure.class.name()
        ));
    }
    let pod = rendered.pod.to_value().ok();
    if let Some(pod) = &pod {
        told.extend(
            verdict(pod, &own_names())
                .iter()
                .map(|found| format!("{found:?}")),
        );
    }
    (pod, told)
}

/// Base64 of JSON as the value that it holds: the order of members may be another.
fn decoded(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with("eyJ") => STANDARD
            .decode(text)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .map_or_else(|| value.clone(), |inner: Value| decoded(&inner)),
        Value::Array(list) => list.iter().map(decoded).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| (name.clone(), decoded(value)))
            .collect(),
        other => other.clone(),
    }
}

#[test]
fn the_pod_of_a_redacted_site_is_the_redacted_pod_and_has_the_same_findings() {
    let mut wrong = Vec::new();
    let sites = sites();
    for (name, site) in &sites {
        let mut snapshot = read(site);
        let (pod, was) = judged(&snapshot);
        // What was rendered goes through the same redaction as a live pod.
        snapshot.live_pods = pod.into_iter().collect();
        let (redacted, replaced) = redact(snapshot);
        assert_ne!(replaced.to_string(), "nothing");
        let (pod, is) = judged(&redacted);
        if was != is {
            wrong.push(format!("{name}\n  {was:?}\n  {is:?}"));
        }
        let live = redacted.live_pods.first();
        if pod.as_ref().map(decoded) != live.map(decoded) {
            wrong.push(format!("{name}\n  {}\n  {}", json!(pod), json!(live)));
        }
    }
    assert!(sites.len() > 100, "{}", sites.len());
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        sites.len(),
        wrong.join("\n")
    );
}

/// What a command tells but for the texts that are replaced.
fn told(sandbox: &Sandbox, file: &str) -> Vec<String> {
    let mut told = Vec::new();
    let rules = |text: &str| -> BTreeSet<String> {
        text.split('[')
            .skip(1)
            .filter_map(|tail| tail.split_once(']'))
            .map(|(rule, _)| rule.to_owned())
            .filter(|rule| rule.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
            .collect()
    };
    for command in [
        &["render"][..],
        &["patch-diff"],
        &["patch-diff", "-o", "json"],
        &["quota", "-o", "json"],
        &["licenses"],
    ] {
        let run = sandbox.run(&[command, &["-f", file]].concat());
        told.push(format!("{command:?} {} {:?}", run.code, rules(&run.stderr)));
        if command[0] == "quota" && run.code == 0 {
            let mut quota = run.json()["quota"].take();
            if let Some(quota) = quota.as_object_mut() {
                quota.remove("patch");
            }
            let numbers = |value: &Value| value.is_number() || value.is_boolean();
            let numbers: Map<String, Value> = quota
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(_, value)| numbers(value))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            told.push(json!(numbers).to_string());
        }
    }
    told
}

#[test]
fn commands_end_alike_and_name_the_same_rules_on_a_redacted_site() {
    let mut wrong = Vec::new();
    for (name, site) in sites().iter().step_by(4) {
        let sandbox = Sandbox::new().file("site.json", &site.to_string());
        sandbox
            .run(&["snapshot", "-f", "site.json", "--redact", "--to", "red.yaml"])
            .code(0)
            .says("replaced by stand-ins: ");
        let (was, is) = (told(&sandbox, "site.json"), told(&sandbox, "red.yaml"));
        if was != is {
            wrong.push(format!("{name}\n  {was:#?}\n  {is:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The number of lines that a restart would take away and of those that it would bring, and the rules of the findings.
fn live_difference(sandbox: &Sandbox, file: &str) -> (i32, [usize; 2], Vec<String>) {
    let run = sandbox.run(&["patch-diff", "--live", "-f", file]);
    let lines = |sign: &str| run.stdout.lines().filter(|line| line.starts_with(sign)).count();
    let rules = run
        .stderr
        .lines()
        .filter_map(|line| line.strip_suffix(']')?.rsplit_once('['));
    let mut rules: Vec<String> = rules.map(|(_, rule)| rule.to_owned()).collect();
    rules.sort();
    (run.code, [lines("-"), lines("+")], rules)
}

/// What admission says that it did, and the names that it gives, are words of Kubernetes.
#[test]
fn a_running_pod_differs_from_the_rendered_one_in_as_many_lines_when_it_is_redacted() {
    for name in ["live-example", "live-lean", "live-mesh"] {
        let mut pod = data(&format!("patch-making/{name}.json"));
        pod["metadata"]["labels"]["project_id"] = json!(LAB);
        let site = json!({"now": "2026-11-24T12:00:00Z", "template": data("example-template.json"),
            "server_settings": {"default_quotas": {"mem": 1000, "cpu": 1, "internet": true}},
            "software": {"environments": {"u": {"tag": "20230110-1143", "registry": "registry.acme.org/cocalc/project"}}},
            "projects": [{"project_id": LAB, "env": {"COURSE": "bio"}}], "live_pods": [pod]});
        let sandbox = Sandbox::new().file("site.json", &site.to_string());
        sandbox
            .run(&["snapshot", "-f", "site.json", "--redact", "--to", "red.yaml"])
            .code(0);
        let (was, is) = (
            live_difference(&sandbox, "site.json"),
            live_difference(&sandbox, "red.yaml"),
        );
        assert_eq!(was, is, "{name}");
        assert_eq!(was.0, 1, "{name} differs");
    }
}

#[test]
fn redaction_takes_time_in_proportion_to_hostile_texts() {
    // Each of these was, or could be, read again and again from every place: it would not end within the test's life.
    let size = 300_000;
    for text in [
        "{",
        "eyJ/",
        "eyJ=",
        "key",
        "1.",
        "a:",
        "--------1",
        "\\u",
        "~",
        "{\"",
        "'[{",
        "é-",
        "00000000-",
    ] {
        let snapshot = Snapshot {
            live_pods: vec![json!({"metadata": {"annotations": {"a": text.repeat(size)}}})],
            ..Snapshot::default()
        };
        let (redacted, _) = redact(snapshot);
        assert!(redacted.live_pods[0].is_object());
    }
}

#[test]
fn licenses_masks_what_patch_diff_masks() {
    let patch = json!([{"op": "add", "path": "/spec/containers/0/env/-", "value": {"name": "API_TOKEN", "value": "hush"}},
        {"op": "add", "path": "/metadata/labels/a", "value": "shown"}]);
    let site = json!({"now": "2026-11-24T12:00:00Z", "site_licenses": [
        {"id": LICENSE, "title": "t", "activates": "2023-01-01", "quota": {"ram": 1, "patch": patch.to_string()}}]});
    let sandbox = Sandbox::new().file("site.json", &site.to_string());
    for format in ["json", "yaml"] {
        let masked = sandbox
            .run(&["licenses", "-f", "site.json", LICENSE, "-o", format])
            .code(0);
        assert!(!masked.stdout.contains("hush"), "{}", masked.stdout);
        assert!(
            masked.stdout.contains("***") && masked.stdout.contains("shown"),
            "{}",
            masked.stdout
        );
        let whole = sandbox
            .run(&[
                "licenses",
                "-f",
                "site.json",
                LICENSE,
                "-o",
                format,
                "--show-secrets",
            ])
            .code(0);
        assert!(whole.stdout.contains("hush"), "{}", whole.stdout);
    }
    let whole = sandbox
        .run(&[
            "licenses",
            "-f",
            "site.json",
            LICENSE,
            "-o",
            "json",
            "--show-secrets",
        ])
        .json();
    assert_eq!(whole["quota"]["patch"], json!(patch.to_string()));
}
