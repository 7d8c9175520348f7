//! What is printed as YAML, KYAML or JSON, the real kubectl reads back as the same values; tables look like its
//! own.
//!
//! `kubectl label --local` reads any manifest without a server, keeps every field, known or not, and prints
//! what it has read as JSON. A call takes it some 50 ms, so each test asks it once, with many documents.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests, which clippy.toml does not know"
)]

use std::{borrow::Cow, path::PathBuf, process::Command};

use kubectl_cocalc::output::{
    YAML_DOCUMENT_SEPARATOR, escape, json, kyaml,
    table::Table,
    yaml::{self, Marks, PathPart},
};
use serde_json::{Value, json};

/// `$KUBECTL`, else the one that `tests/run` builds.
fn kubectl() -> PathBuf {
    if let Some(path) = std::env::var_os("KUBECTL").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/testapi/bin/kubectl");
    assert!(
        built.exists(),
        "kubectl is missing: {} does not exist; run `tests/run kubectl` to build it, or name one in $KUBECTL",
        built.display()
    );
    built
}

/// Calls kubectl with a manifest file and gives its stdout.
fn call(manifest: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manifest.yaml");
    std::fs::write(&file, manifest).unwrap();
    let program = kubectl();
    let output = Command::new(&program)
        .args(["label", "--local", "a=b", "-f"])
        .arg(&file)
        .args(arguments)
        // No kubeconfig and no home: nothing of this machine takes part.
        .env("KUBECONFIG", folder.path().join("none"))
        .env("HOME", folder.path())
        .output()
        .unwrap_or_else(|error| panic!("cannot run kubectl ({}): {error}", program.display()));
    assert!(
        output.status.success(),
        "kubectl refused what was printed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The values, each as one manifest of a kind that no schema knows; the label is there already, so that kubectl
/// has nothing to add.
fn manifest(value: &Value) -> Value {
    json!({
        "apiVersion": "test.example/v1", "kind": "Anything",
        "metadata": {"name": "x", "labels": {"a": "b"}},
        "spec": value,
    })
}

/// What kubectl reads in this text of several documents.
fn read_back(documents: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(&call(documents, &["-o", "json"]))
        .into_iter()
        .map(|value| value.unwrap())
        .collect()
}

/// The places where two values differ, as pointers.
fn differences(held: &Value, read: &Value, at: &str, found: &mut Vec<String>) {
    match (held, read) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            for (name, value) in a {
                differences(value, &b[name], &format!("{at}/{name:?}"), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(a, b, &format!("{at}/{i}"), found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{at}: held {a}, kubectl read {b}")),
    }
}

fn assert_same(held: &Value, read: &Value, format: &str, text: &str) {
    let mut found = Vec::new();
    differences(held, read, "", &mut found);
    let text: String = text.chars().take(2000).collect();
    assert!(found.is_empty(), "{format}: {}\nin:\n{text}", found.join("\n"));
}

/// Strings that readers of YAML take for something else, and strings that hold what has a meaning for YAML, for
/// JSON or for a terminal.
fn hostile_strings() -> Vec<String> {
    let mut strings: Vec<String> = [
        "",
        " ",
        "  ",
        "\t",
        "\n",
        "\n\n",
        "\r",
        "\r\n",
        "~",
        "null",
        "Null",
        "NULL",
        "true",
        "True",
        "TRUE",
        "false",
        "on",
        "On",
        "ON",
        "off",
        "Off",
        "yes",
        "Yes",
        "no",
        "NO",
        "y",
        "Y",
        "n",
        "N",
        "t",
        "F",
        "0",
        "-0",
        "1",
        "-1",
        "+1",
        "1_000",
        "_1",
        "1_",
        "017",
        "0o17",
        "08",
        "0x1f",
        "0X1F",
        "-0x1f",
        "0b11",
        "0b",
        "1e3",
        "1E3",
        "1e+21",
        "1e400",
        ".5",
        "5.",
        ".",
        "..",
        "...",
        "-.5",
        "+.5",
        "1.",
        "1.2.3",
        "._",
        ".inf",
        "-.inf",
        "+.Inf",
        ".nan",
        ".NaN",
        "inf",
        "nan",
        "Infinity",
        "0x1p-2",
        "1:30",
        "1:30:00",
        "190:20:30",
        "190:20:30.15",
        "2001-01-01",
        "2001-1-1",
        "2001-12-14t21:59:43.10-05:00",
        "2001-12-14 21:59:43.10 -5",
        "2001-99-99",
        "9007199254740993",
        "18446744073709551616",
        "99999999999999999999999",
        "=",
        "<<",
        "-",
        "--",
        "---",
        "--- a",
        "- a",
        "-a",
        "?",
        "? a",
        "?a",
        ":",
        ": a",
        ":a",
        "a:",
        "a: b",
        "a:b",
        "a :b",
        "a : b",
        "#",
        "# x",
        "a #b",
        "a# b",
        "a\t#b",
        "'",
        "''",
        "\"",
        "\"\"",
        "it's",
        "\"quoted\"",
        "'quoted'",
        "\\",
        "\\n",
        "\\\\",
        "\\u0041",
        "a\\",
        "%",
        "%YAML 1.2",
        "%TAG",
        "@a",
        "`a",
        "&a",
        "*a",
        "!t",
        "!!str x",
        "!",
        "|",
        ">",
        "|-",
        ">+",
        "| a",
        ",",
        ", a",
        "a, b",
        "[",
        "]",
        "[]",
        "[a",
        "{",
        "}",
        "{}",
        "{a: b}",
        "{a",
        "a]",
        "a}",
        " a",
        "a ",
        " a ",
        "\ta",
        "a\t",
        "a\tb",
        "a\nb",
        "a\nb\n",
        "a\nb\n\n",
        "\na",
        "\n a",
        " \na",
        "a\n b",
        " a\nb",
        "a \nb",
        "a\n\nb",
        "a\n \nb",
        "a\n\t\nb",
        "a\n\tb",
        "\ta\nb",
        "a\n# b\n",
        "# a\nb",
        "a: b\nc: d\n",
        "- a\n- b\n",
        "---\na",
        "a\n---\nb\n",
        "a\n...\n",
        "...\n",
        "a\r\nb\r\n",
        "a\rb",
        "\u{85}",
        "a\u{85}b",
        "a\n\u{85}b\n",
        "\u{2028}",
        "a\u{2028}b",
        "a\nb\u{2029}c\n",
        "\n\u{2028}",
        "\n\r",
        "\n\u{a0}",
        "\n\u{3000}a",
        "\u{feff}",
        "\u{feff}a",
        "a\u{feff}",
        "\0",
        "a\0b",
        "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}",
        "\u{b}\u{c}\u{e}\u{1f}",
        "\u{1b}[31m",
        "\u{7f}",
        "\u{80}\u{81}\u{9b}31m\u{9f}",
        "\u{a0}",
        "\u{a0}a",
        "a\u{a0}",
        "\u{ad}",
        "é",
        "e\u{301}",
        "\u{301}",
        "日本語",
        "日本\n語\n",
        "עברית",
        "العربية",
        "\u{202e}abc",
        "a\u{202e}\nb\n",
        "\u{200b}",
        "\u{200d}",
        "\u{2066}a\u{2069}",
        "😀",
        "😀\n😀\n",
        "👨\u{200d}👩\u{200d}👧",
        "❤\u{fe0f}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{fffd}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{10000}",
        "\u{1fffe}",
        "\u{e0001}",
        "\u{10fffd}",
        "\u{10ffff}",
        "<a>&amp;</a>",
        "$(FOO)",
        "${FOO}",
        "{project_id}",
        "{\"a\": [1, 2]}",
        "/a~1b",
        "set -e\n  if true; then\n\techo \"x\"\n  fi\n",
        "key: |\n  text\n",
        "a\n  \n  b\n\n\n",
        "x\n\\\n",
        "\"\n\"",
        "a\\\nb",
        "  \n  a\n",
        "a\n ",
        "a\n\t",
        "\u{3000}",
        "\u{3000}a\nb",
        "a\n\u{3000}b",
    ]
    .map(str::to_owned)
    .to_vec();
    for unit in [
        "x", "x ", "日", "\u{1}", "😀", "\u{202e}", "\"", "\\", "a: b ", "a\n", "y\u{85}",
    ] {
        strings.push(unit.repeat(300));
    }
    strings.push(" ".repeat(300) + "x");
    strings.push(format!("{}\n{}\n", "w ".repeat(200), "v".repeat(200)));
    strings.extend([127, 128, 129, 1023, 1024, 1025, 5000].map(|length| "k".repeat(length)));
    strings
}

/// Every string where it can stand: value of a map, element of a list, first and later, and name.
fn everywhere(strings: &[String]) -> Value {
    let named: serde_json::Map<String, Value> = strings.iter().map(|s| (s.clone(), json!(s))).collect();
    let named_list: serde_json::Map<String, Value> = strings
        .iter()
        .map(|s| (s.clone(), json!([s, {"m": s}])))
        .collect();
    json!({
        "list": strings,
        "lists": strings.iter().map(|s| json!([[s], s])).collect::<Vec<_>>(),
        "maps": strings.iter().map(|s| json!({"name": s, "value": {s: {s: s}}})).collect::<Vec<_>>(),
        "named": named,
        "named_list": named_list,
    })
}

/// A comment at every value, with text that would do harm were it not escaped.
struct Everywhere;

impl Marks for Everywhere {
    fn mark(&self, path: &[PathPart<'_>]) -> Option<Cow<'_, str>> {
        const TEXTS: [&str; 6] = [
            "f3d76abf op 1 of 1: add",
            "two\nlines: a",
            "\u{1b}[31m\r\0\u{85}\u{2028}\u{feff}",
            "'\" # | > : - {}",
            "a comment that is so long that it has no room behind any line and stands above its own",
            "日本",
        ];
        match path.last() {
            Some(PathPart::Index(i)) => Some(TEXTS[i % TEXTS.len()].into()),
            Some(PathPart::Name(name)) => Some(format!("{name} {}", TEXTS[name.len() % TEXTS.len()]).into()),
            None => Some(TEXTS[1].into()),
        }
    }
}

type Format = (&'static str, fn(&Value) -> String);
const FORMATS: [Format; 5] = [
    ("yaml", yaml::write),
    ("yaml with marks", |value| {
        yaml::write_with_marks(value, &Everywhere)
    }),
    ("kyaml", kyaml::write),
    ("json", json::pretty),
    ("jsonl", |value| json::compact(value) + "\n"),
];

/// Asks kubectl once about all these values in all formats, and serde-saphyr, which reads our snapshot files.
fn assert_read_back(values: &[Value]) {
    let values: Vec<Value> = values.iter().map(manifest).collect();
    for yaml in [true, false] {
        let mut stream = String::new();
        let mut expected = Vec::new();
        for (format, write) in FORMATS
            .iter()
            .filter(|(format, _)| format.contains("yaml") == yaml)
        {
            for value in &values {
                let text = write(value);
                let raw = text.chars().find(|c| escape::must_escape(*c) && *c != '\n');
                assert_eq!(raw, None, "{format} let a character through that must be escaped");
                // A stream that starts with a brace is read by kubectl's JSON reader, else by its YAML reader.
                stream.push_str(if yaml { YAML_DOCUMENT_SEPARATOR } else { "" });
                stream.push_str(&text);
                // JSON is left out: as YAML, a name longer than 1024 characters is not read.
                if yaml {
                    let read = serde_saphyr::from_str(&text);
                    assert_same(
                        value,
                        &read.unwrap(),
                        &format!("{format}, read by serde-saphyr"),
                        &text,
                    );
                }
                expected.push((format, value, text));
            }
        }
        let read = read_back(&stream);
        assert_eq!(read.len(), expected.len());
        for ((format, value, text), read) in expected.iter().zip(&read) {
            assert_same(value, read, format, text);
        }
    }
}

#[test]
fn kubectl_reads_back_every_hostile_string_as_value_and_as_name() {
    let strings = hostile_strings();
    assert!(strings.len() > 250);
    let mut values: Vec<Value> = strings
        .iter()
        .map(|s| everywhere(std::slice::from_ref(s)))
        .collect();
    values.push(everywhere(&strings));
    assert_read_back(&values);
}

/// SplitMix64: enough for test data, and the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }

    fn string(&mut self) -> String {
        const PIECES: [&str; 44] = [
            " ", "  ", "\n", "\n\n", "\r", "\t", "a", "b", "0", "1", "_", ".", "-", "+", "e", "x", ":", ": ",
            "#", " #", "'", "\"", "\\", ",", "[", "]", "{", "}", "&", "*", "!", "|", ">", "%", "@", "`", "?",
            "=", "~", "<<", "---", "...", "yes", "null",
        ];
        (0..self.below(8))
            .map(|_| match self.below(4) {
                0 => char::from_u32(u32::try_from(self.below(0x11_0000)).unwrap())
                    .unwrap_or('x')
                    .to_string(),
                1 => char::from(u8::try_from(self.below(256)).unwrap()).to_string(),
                _ => PIECES[self.below(PIECES.len())].to_owned(),
            })
            .collect()
    }
}

#[test]
fn kubectl_reads_back_random_strings() {
    let seed = match std::env::var("SEED") {
        Ok(seed) => seed.parse().expect("SEED is a number"),
        Err(_) => std::process::id().into(),
    };
    println!("SEED={seed} repeats this run");
    let mut random = Random(seed);
    let values: Vec<Value> = (0..40)
        .map(|_| everywhere(&(0..50).map(|_| random.string()).collect::<Vec<_>>()))
        .collect();
    assert_read_back(&values);
}

#[test]
fn a_manifest_means_what_kubectl_makes_of_its_unquoted_words_and_of_the_end_of_its_last_line() {
    let words = [
        "y",
        "Y",
        "n",
        "N",
        "yes",
        "Yes",
        "YES",
        "yEs",
        "no",
        "No",
        "NO",
        "on",
        "On",
        "ON",
        "off",
        "Off",
        "OFF",
        "true",
        "True",
        "TRUE",
        "false",
        "tRUE",
        "~",
        "null",
        "Null",
        "NULL",
        "nil",
        "none",
        "0",
        "-0",
        "00",
        "0400",
        "-017",
        "+017",
        "08",
        "09.5",
        "0_7",
        "007.5",
        "0o17",
        "0O17",
        "0o8",
        "0x1F",
        "-0x1f",
        "0x_1F",
        "0xg",
        "0b11",
        "-0b11",
        "0b12",
        "0b_1",
        "1_000",
        "1__0",
        "_1",
        "1_",
        "1_0.5",
        "1e1_0",
        "1_e3",
        "1.",
        ".5",
        "+.5",
        "-.5",
        "5e3",
        ".5e1",
        "1.0e+3",
        "1e",
        "1e+",
        "+1",
        "++1",
        "--1",
        "1:30",
        "190:20:30",
        "2023-01-20",
        "2023-01-20 16:37:12",
        "12345678901234567890",
        "1e21",
        "0.1",
        "yesterday",
        "20230110-1143",
        "1.2.3",
        "1,000",
    ];
    let mut metadata = String::new();
    for (i, word) in words.iter().enumerate() {
        metadata.push_str(&format!(
            "  v{i}: {word}\n  l{i}: [ {word} , \"{}\", '{word}', !!str {word}]\n  a{i}: &a{i} {word}\n  b{i}: *a{i}\n  \
             t{i}: |-\n    {word}\n",
            word.replace('"', "")
        ));
    }
    for (i, key) in ["y", "N", "on", "Off", "yes", "017", "1_0", "0x1F", "'on'"]
        .iter()
        .enumerate()
    {
        metadata.push_str(&format!("  k{i}: {{{key}: 1}}\n  m{i}:\n    {key}: 1\n"));
    }
    let head = "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, image: x}]}\nmetadata:\n";
    let mut texts = vec![format!("{head}  name: a\n{metadata}")];
    for end in [
        "|\n    end",
        "|+\n    end",
        "|-\n    end",
        ">\n    end",
        "|+\n    end\n\n",
        "|+\n    end\n    ",
        ">+\n    end\n ",
        "|\n    end\n    ",
        "|\n    end\n    # c",
        "|+\n    end\n  # c",
        "|\n",
        "|+\n\n",
        "|",
        "|\n    a\n     ",
        "|+\n    end\n---\n",
    ] {
        texts.push(format!("{head}  name: a\n  t: {end}"));
    }
    for text in &texts {
        let sandbox = crate::support::Sandbox::new().file("pod.yaml", text);
        let ours: Value =
            serde_json::from_str(&sandbox.run(&["render", "-f", "pod.yaml", "-o", "json"]).stdout).unwrap();
        let mut theirs = read_back(text).remove(0);
        let labels = theirs["metadata"].as_object_mut().unwrap().remove("labels");
        assert_eq!(labels, Some(json!({"a": "b"})));
        let mut found = Vec::new();
        differences(&ours, &theirs, "", &mut found);
        assert_eq!(found, [""; 0], "{text}");
    }
}

#[test]
fn kubectl_reads_the_same_numbers_booleans_nulls_and_empties() {
    let numbers: Value = serde_json::from_str(
        "[0, -0.0, 1, -1, 1.0, 0.1, 1.5e3, 1e20, 1e21, 1e+21, 123456789012345680000, 1e-6, 1e-7, 1.5e-10, 1.7976931348623157e308, 5e-324,
          9007199254740991, 9007199254740993, 9223372036854775807, -9223372036854775808, 4294967296]",
    )
    .unwrap();
    let scalars: Vec<f64> = numbers
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_f64().unwrap())
        .collect();
    let value = manifest(&json!({
        "numbers": numbers, "true": true, "false": [false], "null": {"x": null}, "list": [], "map": {},
        "nested": [[], {}, [[]], [{}], {"a": []}, {"a": {}}],
    }));
    let texts: Vec<String> = FORMATS
        .iter()
        .map(|(_, write)| format!("{YAML_DOCUMENT_SEPARATOR}{}", write(&value)))
        .collect();
    for (read, text) in read_back(&texts.concat()).iter().zip(&texts) {
        let read_scalars: Vec<f64> = read["spec"]["numbers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_f64().unwrap())
            .collect();
        assert_eq!(read_scalars, scalars, "{text}");
        // Integers are exact where no double is.
        for exact in [12, 16, 17, 18, 19, 20] {
            assert_eq!(
                read["spec"]["numbers"][exact], value["spec"]["numbers"][exact],
                "{text}"
            );
        }
        let rest = |value: &Value| {
            let mut value = value.clone();
            value["spec"]["numbers"].take();
            value
        };
        assert_same(&rest(&value), &rest(read), "numbers", text);
    }
}

/// A Pod of the kind that CoCalc makes, with scripts, numbers in strings and empties.
fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "project-11111111-1111-4111-8111-111111111111",
            "labels": {"a": "b", "run": "project", "network": "outside", "project_tag": "20230110-1143"},
            "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "note": "a: b # c"},
        },
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "project", "image": "registry.example/cocalc/project:20230110-1143",
                "command": ["/cocalc/init/init.sh", "$(PROJECT)", "-c", "set -e\nif true; then\n  exec x\nfi\n"],
                "env": [
                    {"name": "COCALC_EXTRA_ENV", "value": "e30="}, {"name": "EMPTY", "value": ""},
                    {"name": "ON", "value": "on"}, {"name": "N", "value": "1"}, {"name": "LINES", "value": "a\nb"},
                    {"name": "QUOTES", "value": "\"a\" & <b>"},
                ],
                "resources": {"limits": {"cpu": "1", "memory": "1000Mi"}, "requests": {"cpu": "20m"}},
                "volumeMounts": [{"mountPath": "/home/user", "name": "home", "subPath": "projects/x"}],
            }],
            "nodeSelector": {}, "terminationGracePeriodSeconds": 30,
            "tolerations": [{"key": "cocalc-projects-init", "operator": "Equal", "value": "false"}],
            "volumes": [{"emptyDir": {}, "name": "tmp"}, {"name": "home", "persistentVolumeClaim": {"claimName": "d"}}],
        },
    })
}

#[test]
fn json_and_kyaml_of_a_pod_are_byte_for_byte_what_kubectl_prints() {
    let mut pod = pod();
    // A kind that no schema knows: kubectl prints it as it is.
    pod["apiVersion"] = json!("test.example/v1");
    let text = json::pretty(&pod);
    assert_eq!(call(&text, &["-o", "json"]), text);
    assert_eq!(call(&text, &["-o", "kyaml"]), kyaml::write(&pod));
}

#[test]
fn yaml_of_a_pod_differs_from_kubectls_only_in_quotes() {
    let pod = pod();
    let kubectls = call(&json::pretty(&pod), &["-o", "yaml"]);
    let without_quotes = |text: &str| text.replace(['"', '\''], "").replace('\\', "");
    assert_eq!(without_quotes(&yaml::write(&pod)), without_quotes(&kubectls));
}

#[test]
fn kyaml_quotes_the_same_names_as_kubectl() {
    let names = [
        "a",
        "on",
        "y",
        "Yes",
        "NO",
        "off",
        "t",
        "F",
        "null",
        "Null",
        "true",
        "1",
        "01",
        "017",
        "08",
        "1_000",
        "_1",
        "0x1f",
        "0b11",
        "0o7",
        "1e3",
        "1e",
        "e1",
        "1.5",
        "1.2.3",
        "a.b/c",
        "a-",
        "-a",
        "a_",
        "_",
        "inf",
        "Infinity",
        "NaN",
        "0x1p-2",
        "0xg",
        "2001-01-01",
        "2001-1-1",
        "a b",
        "a:b",
        "app.kubernetes.io/name",
        "1a",
        "x/y",
        "",
        "99999999999999999999999",
        "12_",
        "1__0",
        "0x",
        "0x1.8p3",
    ];
    let spec: serde_json::Map<String, Value> = names
        .iter()
        .map(|name| ((*name).to_owned(), json!("v")))
        .collect();
    let value = manifest(&Value::Object(spec));
    assert_eq!(
        call(&json::compact(&value), &["-o", "kyaml"]),
        kyaml::write(&value)
    );
}

#[test]
fn a_table_is_laid_out_as_kubectl_lays_out_its_own() {
    let contexts = [
        ["a-long-name", "c", "user", "never"],
        ["x", "a-long-cluster-name", "", "2026"],
        ["y", "", "u", ""],
    ];
    let entries = contexts.map(|[name, cluster, user, namespace]| {
        json!({"name": name, "context": {"cluster": cluster, "user": user, "namespace": namespace}})
    });
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    let text = json::pretty(&json!({"apiVersion": "v1", "kind": "Config", "contexts": entries}));
    std::fs::write(&config, text).unwrap();
    let output = Command::new(kubectl())
        .args(["config", "get-contexts"])
        .env("KUBECONFIG", &config)
        .env("HOME", folder.path())
        .output()
        .unwrap();

    let mut table = Table::new(["current", "name", "cluster", "authinfo", "namespace"]);
    for [name, cluster, user, namespace] in contexts {
        table.row(["", name, cluster, user, namespace]);
    }
    // kubectl fills the last column's missing cells with blanks.
    let kubectls = String::from_utf8(output.stdout).unwrap();
    let trimmed: String = kubectls
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect();
    assert_eq!(table.to_string(), trimmed);
}

/// The template holds one copy of every hostile string, a license's patch puts a second one beside it.
#[test]
fn kubectl_reads_back_a_rendered_pod_with_every_hostile_string() {
    let strings = everywhere(&hostile_strings());
    let template = manifest(&strings).to_string();
    let patch = json!([{"op": "add", "path": "/spec/patched", "value": strings}]).to_string();
    let site = json!({
        "now": "2026-11-24T12:00:00Z",
        "template": template,
        "site_licenses": [{"id": "0a000000-0000-4000-8000-000000000001", "title": "\u{1b}[31m", "quota": {"patch": patch},
                           "activates": "2023-01-01T00:00:00Z"}],
        "projects": [{"project_id": "11111111-1111-4111-8111-111111111111",
                      "site_license": {"0a000000-0000-4000-8000-000000000001": {}}}],
        "assumptions": {"network": null},
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("site.json"), site.to_string()).unwrap();
    let render = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_kubectl-cocalc"))
            // One of the strings is a placeholder; it stays itself.
            .args(["render", "-f", "site.json", "--set", "project_id={project_id}"])
            .args(args)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let mut wanted = manifest(&strings);
    wanted["spec"]["patched"] = strings;
    let documents = [
        ("yaml", render(&["-o", "yaml"])),
        ("yaml --explain", render(&["-o", "yaml", "--explain"])),
        ("kyaml", render(&["-o", "kyaml"])),
    ];
    let stream: Vec<String> = documents.iter().map(|(_, text)| format!("---\n{text}")).collect();
    let read = read_back(&stream.concat());
    assert_eq!(read.len(), documents.len());
    for ((format, text), read) in documents.iter().zip(&read) {
        assert_same(&wanted, read, format, text);
    }
    for format in ["json", "jsonl"] {
        let text = render(&["-o", format]);
        assert_same(&wanted, &read_back(&text)[0], format, &text);
    }
}
