//! `dry-run`, held against a corpus of pods and license sets with known faults, on a real API server.
//!
//! tests/data/dry-run holds the cases: what a project has, what the server refuses in its pod, and whose fault
//! that is. An expectation is no opinion: the first test proves each of them by asking the server again, with
//! the pod rendered without the guilty operations, with a guilty one alone, and without each innocent one. The
//! others hold the plugin's answers against them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failure here is a failed test, and its numbers are worth reading"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use kubectl_cocalc::{
    json_patch::strict,
    output::json::compact,
    pipeline::{Known, Site, Subject, View},
    snapshot::{Input, ReadOptions, read_inputs},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::support::{
    Run, Sandbox,
    api_server::ApiServer,
    shared::{Shared, until},
};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

// ---------------------------------------------------------------------------------------------- the cases

/// A project, and what is to be said of its pod.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// A sentence.
    name: String,
    #[serde(default = "plain")]
    namespace: String,
    /// JSON Patch for the example's template.
    #[serde(default)]
    template: Vec<Value>,
    /// Laid over the example's server settings.
    #[serde(default)]
    settings: Map<String, Value>,
    /// Image and tag, if they are others than the example's.
    image: Option<(String, String)>,
    /// Whether a pod of this name is there already.
    #[serde(default)]
    running: bool,
    #[serde(default)]
    licenses: Vec<License>,
    /// Every problem, hidden ones included.
    #[serde(default)]
    refusals: Vec<Refusal>,
    /// Fields that the server names although nothing is wrong with them.
    #[serde(default)]
    consequences: Vec<String>,
    /// Fields in which the server says the same again, because it has copied the value there.
    #[serde(default)]
    echoes: Vec<String>,
    /// Parts of the server's warnings.
    #[serde(default)]
    warnings: Vec<String>,
    /// Whether kubectl refuses the pod by itself, before it asks the server.
    #[serde(default)]
    kubectl_refuses: bool,
    /// Where CoCalc itself cannot make the pod.
    cocalc_error: Option<CocalcError>,
    /// Part of the server's words where it gives no verdict.
    error: Option<String>,
    #[serde(skip)]
    number: usize,
}

fn plain() -> String {
    "plain".to_owned()
}

/// A license; its id is made so that CoCalc takes them in the order of the case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct License {
    /// One word.
    title: String,
    /// Laid over `{cpu: 1, ram: 1}`.
    #[serde(default)]
    quota: Map<String, Value>,
    /// Operations, or any text.
    #[serde(default)]
    patch: Value,
    /// Laid over the row.
    #[serde(default)]
    row: Map<String, Value>,
}

/// One problem.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    layer: Layer,
    /// Default: what the layer usually answers with.
    code: Option<u64>,
    field: Option<String>,
    /// Part of the server's words.
    says: Option<String>,
    /// `TITLE OPERATION`, counted from 0; `quota FIELD`; `placeholder NAME`; `template POINTER`; `injected`;
    /// `cluster`.
    blame: Vec<String>,
    /// Who may be named beside.
    #[serde(default)]
    may_blame: Vec<String>,
    /// Operations that go with the guilty ones: what they are about is gone.
    #[serde(default)]
    drags: Vec<String>,
    /// JSON Patch for the pod that mends what no license did.
    #[serde(default)]
    mend: Vec<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Layer {
    Decode,
    Admission,
    Validation,
    Policy,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CocalcError {
    license: String,
    operation: usize,
    class: String,
}

/// A license of a case, by its index, and one of its operations.
type Operation = (usize, usize);

impl Refusal {
    fn code(&self) -> u64 {
        self.code.unwrap_or(match self.layer {
            Layer::Decode => 400,
            Layer::Admission | Layer::Policy => 403,
            Layer::Validation => 422,
        })
    }

    /// Whether the server says this. Leaving operations out moves the elements of lists.
    fn is(&self, problem: &Problem, exactly: bool) -> bool {
        let same_field = |wanted: &String| {
            problem.field.as_ref().is_some_and(|field| {
                if exactly {
                    field == wanted
                } else {
                    without_indices(field) == without_indices(wanted)
                }
            })
        };
        self.code() == problem.code
            && self.field.as_ref().is_none_or(same_field)
            && self
                .says
                .as_ref()
                .is_none_or(|says| problem.message.contains(says))
    }
}

fn without_indices(field: &str) -> String {
    let mut plain = String::new();
    for (index, part) in field.split('[').enumerate() {
        match part.split_once(']') {
            Some((inside, rest)) if index > 0 && inside.bytes().all(|byte| byte.is_ascii_digit()) => {
                plain.push_str(rest);
            }
            _ if index > 0 => {
                plain.push('[');
                plain.push_str(part);
            }
            _ => plain.push_str(part),
        }
    }
    plain
}

impl Case {
    fn license(&self, title: &str) -> Option<usize> {
        self.licenses.iter().position(|license| license.title == title)
    }

    /// The license operation that an entry of `blame` names.
    fn operation(&self, blame: &str) -> Option<Operation> {
        let (title, operation) = blame.rsplit_once(' ')?;
        Some((self.license(title)?, operation.parse().ok()?))
    }

    /// Every operation that CoCalc applies.
    fn operations(&self) -> Vec<Operation> {
        let of = |(index, license): (usize, &License)| {
            let count = license.patch.as_array().map_or(0, Vec::len);
            (0..count).map(move |operation| (index, operation))
        };
        self.licenses.iter().enumerate().flat_map(of).collect()
    }

    fn guilty(&self, refusal: &Refusal) -> BTreeSet<Operation> {
        refusal
            .blame
            .iter()
            .filter_map(|blame| self.operation(blame))
            .collect()
    }

    fn all_guilty(&self) -> BTreeSet<Operation> {
        self.refusals
            .iter()
            .flat_map(|refusal| self.guilty(refusal))
            .collect()
    }

    fn project_id(&self, variant: usize) -> String {
        format!("{:08x}-0000-4000-8000-{variant:012x}", self.number + 1)
    }

    fn license_id(&self, variant: usize, license: usize) -> String {
        format!("{:08x}-0000-4000-8{variant:03x}-{license:012x}", self.number + 1)
    }

    /// A wrong expectation is found before the server is asked.
    fn check(&self) {
        let name = &self.name;
        for refusal in &self.refusals {
            for blame in refusal
                .blame
                .iter()
                .chain(&refusal.may_blame)
                .chain(&refusal.drags)
            {
                let word = blame.split(' ').next().unwrap_or_default();
                let known = match word {
                    "quota" | "placeholder" | "template" | "injected" | "cluster" => true,
                    _ => self
                        .operation(blame)
                        .is_some_and(|operation| self.operations().contains(&operation)),
                };
                assert!(known, "{name}: there is no {blame:?}");
            }
        }
        let titles: BTreeSet<&str> = self.licenses.iter().map(|license| &*license.title).collect();
        assert_eq!(titles.len(), self.licenses.len(), "{name}: equal titles");
    }
}

fn cases() -> Vec<Case> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(data().join("dry-run"))
        .expect("the corpus")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| !path.ends_with("namespaces.yaml"))
        .collect();
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a file");
        let more: Vec<Case> =
            serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        cases.extend(more);
    }
    for (number, case) in cases.iter_mut().enumerate() {
        case.number = number;
    }
    let names: BTreeSet<&str> = cases.iter().map(|case| &*case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases have the same name");
    cases.iter().for_each(Case::check);
    cases
}

// ------------------------------------------------------------------------------------------ their snapshots

/// Cases that can stand in one snapshot: the same template, the same settings.
struct Group<'a> {
    namespace: &'a str,
    template: Value,
    settings: Value,
    cases: Vec<&'a Case>,
}

fn groups(cases: &[Case]) -> Vec<Group<'_>> {
    let base = std::fs::read_to_string(data().join("example-template.json")).expect("the template");
    let base: Value = serde_json::from_str(&base).expect("JSON");
    let mut groups: Vec<Group<'_>> = Vec::new();
    for case in cases {
        let template = strict(&base, &case.template).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let mut settings = json!({
            "kucalc": "onprem",
            "default_quotas": {"internet": true, "idle_timeout": 3600, "mem": 1000, "cpu": 1, "mem_oc": 5, "cpu_oc": 10},
            "max_upgrades": {"memory": 16000, "cores": 4},
        });
        for (name, value) in &case.settings {
            settings[name] = value.clone();
        }
        let fits = groups.iter_mut().find(|group| {
            group.namespace == case.namespace && group.template == template && group.settings == settings
        });
        match fits {
            Some(group) => group.cases.push(case),
            None => groups.push(Group {
                namespace: &case.namespace,
                template,
                settings,
                cases: vec![case],
            }),
        }
    }
    groups
}

/// A case less some of its operations.
#[derive(Clone)]
struct Variant<'a> {
    case: &'a Case,
    left_out: BTreeSet<Operation>,
    /// Index among the variants of its case.
    number: usize,
}

impl Group<'_> {
    /// The snapshot file of these projects.
    fn snapshot(&self, variants: &[Variant<'_>]) -> Value {
        let mut environments = Map::new();
        let standard = (
            "registry.example/cocalc/project".to_owned(),
            "20230110-1143".to_owned(),
        );
        let (mut licenses, mut projects) = (Vec::new(), Vec::new());
        for variant in variants {
            let case = variant.case;
            let (registry, tag) = case.image.as_ref().unwrap_or(&standard);
            let image = format!("i{}", case.image.as_ref().map_or(0, |_| case.number + 1));
            environments.insert(
                image.clone(),
                json!({"title": "T", "tag": tag, "registry": registry}),
            );
            let mut held = Map::new();
            for (index, license) in case.licenses.iter().enumerate() {
                let id = case.license_id(variant.number, index);
                let mut quota = json!({"cpu": 1, "ram": 1});
                for (name, value) in &license.quota {
                    quota[name] = value.clone();
                }
                match &license.patch {
                    Value::Null => {}
                    Value::Array(operations) => {
                        let kept = operations
                            .iter()
                            .enumerate()
                            .filter(|(operation, _)| !variant.left_out.contains(&(index, *operation)));
                        let kept: Vec<&Value> = kept.map(|(_, operation)| operation).collect();
                        quota["patch"] = json!(json!(kept).to_string());
                    }
                    text => quota["patch"] = text.clone(),
                }
                let mut row = json!({
                    "id": id, "title": license.title, "activates": "2023-01-20T16:37:12Z", "quota": quota,
                });
                for (name, value) in &license.row {
                    row[name] = value.clone();
                }
                licenses.push(row);
                held.insert(id, json!({}));
            }
            projects.push(json!({
                "project_id": case.project_id(variant.number), "title": case.name, "compute_image": image,
                "site_license": held,
            }));
        }
        json!({
            "now": "2026-11-24T12:00:00Z", "server_settings": self.settings, "template": self.template,
            "software": {"environments": environments}, "site_licenses": licenses, "projects": projects,
        })
    }

    /// Their pods, where CoCalc can make one.
    fn render(&self, variants: &[Variant<'_>]) -> Vec<Rendered> {
        let text = self.snapshot(variants).to_string();
        let options = ReadOptions::default();
        let (snapshot, _) = read_inputs(&[Input::Stdin], &mut text.as_bytes(), &options).expect("a snapshot");

        let now = "2026-11-24T12:00:00Z".parse().expect("a time");
        let site = Site::new(&snapshot, now, View::default());
        let render = |variant: &Variant<'_>| {
            let project_id = variant.case.project_id(variant.number);
            let project = snapshot
                .projects
                .iter()
                .find(|row| *row.project_id == *project_id);
            let project = project.expect("the project");
            let subject = Subject {
                project_id: &project.project_id,
                known: Known::Row(project),
                live_pod: None,
            };
            let rendered = site
                .render(subject)
                .unwrap_or_else(|error| panic!("{}: {error}", variant.case.name));
            match rendered.failure {
                None => Rendered::Pod(rendered.pod.to_value().expect("a pod that can be sent")),
                Some(failure) => Rendered::Fails(
                    failure
                        .patch
                        .map_or("", |patch| &*rendered.patches[patch].title)
                        .to_owned(),
                    failure.operation,
                    failure.class.name().to_owned(),
                ),
            }
        };
        variants.iter().map(render).collect()
    }
}

enum Rendered {
    Pod(Value),
    /// Title of the license, operation, class of the error.
    Fails(String, usize, String),
}

// --------------------------------------------------------------------------------------------- the server

/// What the server said of a pod.
#[derive(Clone, Debug)]
struct Answer {
    code: u64,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

/// One thing that it does not like.
#[derive(Clone, Debug)]
struct Problem {
    code: u64,
    field: Option<String>,
    message: String,
}

impl Answer {
    fn read(json: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let code = json[0].as_u64().expect("a code");
        let message = text(&json[1]);
        let problem = |field: &str, message: &str| Problem {
            code,
            field: (!field.is_empty()).then(|| field.to_owned()),
            message: message.to_owned(),
        };
        let unknown = || message.split("unknown field \"").skip(1);
        let causes = json[2].as_array().expect("causes");
        let problems = match code {
            // Of a pod that is there already the store complains, when all else is over.
            201 | 409 => Vec::new(),
            400 if message.contains("unknown field") => unknown()
                .filter_map(|rest| rest.split('"').next())
                .map(|field| problem(field, "unknown field"))
                .collect(),
            422 if !causes.is_empty() => causes
                .iter()
                .map(|cause| problem(&text(&cause[1]), &text(&cause[2])))
                .collect(),
            _ => vec![problem("", &message)],
        };
        Self {
            code,
            problems,
            warnings: json[3].as_array().expect("warnings").iter().map(text).collect(),
        }
    }

    fn accepts(&self) -> bool {
        matches!(self.code, 201 | 409)
    }
}

/// Asks about many pods of one namespace.
fn ask(server: &ApiServer, namespace: &str, pods: &[&Value]) -> Vec<Answer> {
    let mut node = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/create_pods.js"))
        .arg(server.kubeconfig())
        .arg(namespace)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    let mut input = node.stdin.take().expect("its input");
    let output = BufReader::new(node.stdout.take().expect("its output"));
    let lines: Vec<String> = pods.iter().map(|pod| compact(pod)).collect();
    let writer = std::thread::spawn(move || {
        for line in lines {
            writeln!(input, "{line}").expect("node reads");
        }
    });
    let answers: Vec<Answer> = output
        .lines()
        .map(|line| Answer::read(&serde_json::from_str(&line.expect("a line")).expect("JSON")))
        .collect();
    writer.join().expect("all written");
    assert!(node.wait().expect("node ends").success());
    assert_eq!(answers.len(), pods.len());
    answers
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(cases);
/// Of its own: the policies of the corpus have no namespace.
static SERVER: Shared<ApiServer> = Shared::new(start);

/// A server with the namespaces of the corpus, and the pods of the projects that run.
fn start() -> ApiServer {
    let server = ApiServer::start();
    let manifests = std::fs::read_to_string(data().join("dry-run/namespaces.yaml")).expect("the namespaces");
    server.kubectl_with_stdin(&["create", "-f", "-"], &manifests);
    for (namespace, name, hard, used) in [
        (
            "budget",
            "budget",
            json!({"limits.memory": "10Gi"}),
            json!({"limits.memory": "0"}),
        ),
        (
            "must-specify",
            "budget",
            json!({"limits.memory": "10Gi"}),
            json!({"limits.memory": "0"}),
        ),
        ("used-up", "pods", json!({"pods": "5"}), json!({"pods": "5"})),
    ] {
        let status = json!({"status": {"hard": hard, "used": used}}).to_string();
        server.kubectl(&[
            "-n",
            namespace,
            "patch",
            "resourcequota",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ]);
    }
    for group in groups(&CASES) {
        let running = |case: &&Case| case.running;
        let variants: Vec<Variant<'_>> = group.cases.iter().copied().filter(running).map(whole).collect();
        for rendered in group.render(&variants) {
            if let Rendered::Pod(mut pod) = rendered {
                // What is to be refused now was accepted when it started.
                pod["spec"] = json!({"containers": [{"name": "project", "image": "i"}]});
                pod["metadata"] = json!({"name": pod["metadata"]["name"]});
                server.kubectl_with_stdin(&["-n", group.namespace, "create", "-f", "-"], &pod.to_string());
            }
        }
    }
    // Policies, limits and quotas are in force as soon as the server has seen them.
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"owner": "nobody"}},
        "spec": {"nodeName": "n", "hostAliases": [{"ip": "10.0.0.1"}], "dnsConfig": {},
            "containers": [{"name": "c", "image": "i:latest", "resources": {"limits": {"memory": "64Gi"}, "requests": {"memory": "1Mi"}}}]}});
    for namespace in [
        "limited",
        "budget",
        "must-specify",
        "used-up",
        "restricted",
        "closed",
        "policy",
        "worded",
    ] {
        until(&format!("{namespace} refuses something"), || {
            !ask(&server, namespace, &[&pod])[0].accepts()
        });
    }
    let images = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    until("a policy warns", || {
        !ask(&server, "policy", &[&images])[0].warnings.is_empty()
    });
    server
}

fn whole(case: &Case) -> Variant<'_> {
    Variant {
        case,
        left_out: BTreeSet::new(),
        number: 0,
    }
}

// ---------------------------------------------------------------------------------------------- the proofs

/// A question to the server, and what its answer has to be.
struct Question<'a> {
    variant: Variant<'a>,
    /// Refusals whose mend is applied.
    mended: BTreeSet<usize>,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// The case as it is.
    Whole,
    /// All guilty operations left out, all else mended.
    Clean,
    /// This problem alone.
    Alone(usize),
    /// This problem without one of the guilty, or with one of the guilty alone: one of both must change it.
    Toggle(usize, Operation),
    /// This problem with two of three guilty ones.
    Pair(usize, Operation, Operation),
    /// Without an innocent operation.
    Innocent(Operation),
}

/// The questions that prove a case.
fn questions(case: &Case) -> Vec<Question<'_>> {
    let mut questions: Vec<Question<'_>> = Vec::new();
    let mut put = |what, mut left_out: BTreeSet<Operation>, mended: BTreeSet<usize>| {
        for refusal in &case.refusals {
            let own = case.guilty(refusal);
            if !own.is_empty() && own.is_subset(&left_out) {
                left_out.extend(refusal.drags.iter().filter_map(|dragged| case.operation(dragged)));
            }
        }
        let number = questions.len();
        questions.push(Question {
            variant: Variant {
                case,
                left_out,
                number,
            },
            mended,
            what,
        });
    };
    let guilty = case.all_guilty();
    let all: BTreeSet<usize> = (0..case.refusals.len()).collect();
    put(What::Whole, BTreeSet::new(), BTreeSet::new());
    if case.refusals.is_empty() {
        return questions;
    }
    put(What::Clean, guilty.clone(), all.clone());
    for (index, refusal) in case.refusals.iter().enumerate() {
        let own = case.guilty(refusal);
        let others: BTreeSet<Operation> = guilty.difference(&own).copied().collect();
        let mut but_this = all.clone();
        but_this.remove(&index);
        put(What::Alone(index), others.clone(), but_this.clone());
        for operation in &own {
            let mut without = others.clone();
            without.insert(*operation);
            put(What::Toggle(index, *operation), without, but_this.clone());
            let mut lone = guilty.clone();
            lone.remove(operation);
            put(What::Toggle(index, *operation), lone.clone(), all.clone());
            for other in own.iter().filter(|other| own.len() > 2 && *other != operation) {
                let mut pair = lone.clone();
                pair.remove(other);
                put(What::Pair(index, *operation, *other), pair, all.clone());
            }
        }
    }
    let may: BTreeSet<Operation> = case
        .refusals
        .iter()
        .flat_map(|refusal| refusal.may_blame.iter().filter_map(|blame| case.operation(blame)))
        .collect();
    let innocent = |operation: &Operation| !guilty.contains(operation) && !may.contains(operation);
    let innocent: Vec<Operation> = case.operations().into_iter().filter(innocent).collect();
    // Of many, some.
    for operation in innocent.iter().step_by(innocent.len().div_ceil(8).max(1)) {
        put(
            What::Innocent(*operation),
            BTreeSet::from([*operation]),
            BTreeSet::new(),
        );
    }
    questions
}

/// What the server says to a question; `None` where CoCalc cannot make that pod.
struct Asked<'a> {
    question: Question<'a>,
    answer: Option<Answer>,
    /// License, operation and class of the error with which CoCalc fails.
    fails: Option<(String, usize, String)>,
}

/// Asks all questions about all cases, and gives the answers by the case's number.
fn ask_everything<'a>(server: &ApiServer, cases: &'a [Case]) -> BTreeMap<usize, Vec<Asked<'a>>> {
    let mut asked: BTreeMap<usize, Vec<Asked<'a>>> = BTreeMap::new();
    let mut pods: BTreeMap<&str, Vec<(usize, usize, Value)>> = BTreeMap::new();
    for group in groups(cases) {
        let all: Vec<Question<'a>> = group.cases.iter().flat_map(|case| questions(case)).collect();
        let variants: Vec<Variant<'_>> = all.iter().map(|question| question.variant.clone()).collect();
        let rendered = variants.chunks(40).flat_map(|some| group.render(some));
        for (question, rendered) in all.into_iter().zip(rendered) {
            let case = question.variant.case;
            let of_case = asked.entry(case.number).or_default();
            let mut fails = None;
            match rendered {
                Rendered::Fails(license, operation, class) => fails = Some((license, operation, class)),
                Rendered::Pod(mut pod) => {
                    for refusal in &question.mended {
                        let mend = &case.refusals[*refusal].mend;
                        // Not every variant has what is to be mended.
                        pod = strict(&pod, mend).unwrap_or(pod);
                    }
                    let place = (case.number, of_case.len(), pod);
                    pods.entry(group.namespace).or_default().push(place);
                }
            }
            of_case.push(Asked {
                question,
                answer: None,
                fails,
            });
        }
    }
    for (namespace, pods) in pods {
        let bare: Vec<&Value> = pods.iter().map(|(_, _, pod)| pod).collect();
        for ((case, question, _), answer) in pods.iter().zip(ask(server, namespace, &bare)) {
            asked.get_mut(case).expect("its answers")[*question].answer = Some(answer);
        }
    }
    asked
}

/// Which of the case's refusals the server states; what is not expected is an error.
fn stated(case: &Case, answer: &Answer, exactly: bool) -> Result<BTreeSet<usize>, String> {
    let mut found = BTreeSet::new();
    for problem in &answer.problems {
        let of_problem = |(index, refusal): (usize, &Refusal)| refusal.is(problem, exactly).then_some(index);
        let known: Vec<usize> = case.refusals.iter().enumerate().filter_map(of_problem).collect();
        found.extend(&known);
        let consequence = problem.field.as_ref().is_some_and(|field| {
            let same = |other: &String| without_indices(other) == without_indices(field);
            case.consequences.iter().chain(&case.echoes).any(same)
        });
        if known.is_empty() && !consequence {
            return Err(format!("not expected: {problem:?}"));
        }
    }
    Ok(found)
}

/// What an expectation lacks of a proof.
fn unproved(case: &Case, asked: &[Asked<'_>]) -> Vec<String> {
    let mut lacks = Vec::new();
    let whole = asked[0].answer.as_ref();
    if let Some(error) = &case.cocalc_error {
        let wanted = (error.license.clone(), error.operation, error.class.clone());
        if asked[0].fails.as_ref() != Some(&wanted) {
            lacks.push(format!("CoCalc fails with {:?}", asked[0].fails));
        }
        return lacks;
    }
    let Some(whole) = whole else {
        return vec!["CoCalc cannot make it".to_owned()];
    };
    if let Some(error) = &case.error {
        if whole.accepts()
            || !whole
                .problems
                .iter()
                .all(|problem| problem.message.contains(error))
        {
            lacks.push(format!("the server gives a verdict: {whole:?}"));
        }
        return lacks;
    }
    for warning in &case.warnings {
        if !whole.warnings.iter().any(|given| given.contains(warning)) {
            lacks.push(format!("no warning {warning:?} in {:?}", whole.warnings));
        }
    }
    if case.running && case.refusals.is_empty() && whole.code != 409 {
        lacks.push("its pod does not run".to_owned());
    }
    let at_first = match stated(case, whole, true) {
        Ok(stated) => stated,
        Err(error) => return vec![error],
    };
    if at_first.is_empty() != case.refusals.is_empty() || whole.accepts() != case.refusals.is_empty() {
        lacks.push(format!("the verdict is another one: {whole:?}"));
        return lacks;
    }
    // What neither an operation nor a mend takes away.
    let stays = |index: &usize| {
        let refusal = &case.refusals[*index];
        case.guilty(refusal).is_empty() && refusal.mend.is_empty()
    };
    let mut changed: BTreeMap<(usize, Operation), bool> = BTreeMap::new();
    let mut harmless: BTreeSet<(usize, Operation)> = BTreeSet::new();
    let mut pairs: Vec<(usize, Operation, Operation)> = Vec::new();
    for Asked { question, answer, .. } in &asked[1..] {
        let stated = answer.as_ref().map(|answer| stated(case, answer, false));
        let stated = match stated {
            None => None,
            Some(Ok(stated)) => Some(stated),
            // Another operation needs the innocent one; that is no help.
            Some(Err(_)) if matches!(question.what, What::Innocent(_)) => None,
            Some(Err(error)) => {
                lacks.push(format!("{} {error}", describe(case, question)));
                continue;
            }
        };
        let complaint = match (question.what, &stated) {
            (What::Whole, _) => None,
            (What::Clean | What::Alone(_), None) => Some("CoCalc cannot make it".to_owned()),
            (What::Clean, Some(stated)) => {
                (!stated.iter().all(stays)).then(|| format!("still refused: {answer:?}"))
            }
            (What::Alone(index), Some(stated)) => {
                let own = case.guilty(&case.refusals[index]);
                let belongs = |other: &usize| {
                    let other_guilty = case.guilty(&case.refusals[*other]);
                    stays(other) || (!other_guilty.is_empty() && other_guilty.is_subset(&own))
                };
                let rest_belongs = stated.iter().all(|other| *other == index || belongs(other));
                (!stated.contains(&index) || !rest_belongs).then(|| format!("the server says {answer:?}"))
            }
            (What::Toggle(index, operation), stated) => {
                let without = question.variant.left_out.contains(&operation);
                let says = stated.as_ref().map(|stated| stated.contains(&index));
                let proves = says == Some(!without);
                if !without && !proves {
                    harmless.insert((index, operation));
                }
                *changed.entry((index, operation)).or_default() |= proves;
                None
            }
            (What::Pair(index, operation, other), stated) => {
                if stated.as_ref().is_some_and(|stated| stated.contains(&index)) {
                    pairs.push((index, operation, other));
                }
                None
            }
            (What::Innocent(_), None) => None,
            (What::Innocent(_), Some(stated)) => {
                (*stated != at_first).then(|| format!("it changes the verdict: {answer:?}"))
            }
        };
        if let Some(complaint) = complaint {
            lacks.push(format!("{} {complaint}", describe(case, question)));
        }
    }
    for (index, operation, other) in pairs {
        if harmless.contains(&(index, other)) {
            changed.insert((index, operation), true);
        }
    }
    for ((index, (license, operation)), changed) in changed {
        if !changed {
            let title = &case.licenses[license].title;
            lacks.push(format!("refusal {index}: {title} {operation} has no part in it"));
        }
    }
    lacks
}

fn describe(case: &Case, question: &Question<'_>) -> String {
    match question.what {
        What::Whole => "as it is:".to_owned(),
        What::Clean => "without the guilty:".to_owned(),
        What::Alone(index) => format!("refusal {index} alone:"),
        What::Toggle(index, _) | What::Pair(index, ..) => {
            format!("refusal {index} with fewer of its guilty:")
        }
        What::Innocent((license, operation)) => {
            format!("without {} {operation}:", case.licenses[license].title)
        }
    }
}

#[test]
fn the_server_itself_proves_every_expectation() {
    let asked = ask_everything(&SERVER.get(), &CASES);
    let (mut questions, mut complaints) = (0, Vec::new());
    for case in &*CASES {
        questions += asked[&case.number].len();
        let lacks = unproved(case, &asked[&case.number]);
        if !lacks.is_empty() {
            complaints.push(format!("{}\n    {}", case.name, lacks.join("\n    ")));
        }
    }
    let refused = CASES.iter().filter(|case| !case.refusals.is_empty()).count();
    let refusals: usize = CASES.iter().map(|case| case.refusals.len()).sum();
    for complaint in &complaints {
        println!("{complaint}");
    }
    println!(
        "{} cases, {refused} of them refused for {refusals} reasons; {questions} questions",
        CASES.len()
    );
    assert!(complaints.is_empty(), "{} cases are not proved", complaints.len());
    assert!(CASES.len() >= 120, "the corpus is too small");
}

// ---------------------------------------------------------------------------------------- dry-run's answers

/// Runs these jobs, a few at once; their order does not matter.
fn at_once<T: Sync>(jobs: &[T], run: impl Fn(&T) -> Vec<String> + Sync) -> Vec<String> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let all = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let complaints = run(job);
                    all.lock().expect("no job fails with it").extend(complaints);
                }
            });
        }
    });
    all.into_inner().expect("all are through")
}

fn dry_run(sandbox: &Sandbox, namespace: &str, more: &[&str]) -> Run {
    let server = SERVER.get();
    let kubeconfig = server.kubeconfig().display().to_string();
    // As kubectl asks, and as the questions behind the expectations were.
    let mut args = vec!["dry-run", "-f", "site.json", "--no-lookup", "--validate=strict"];
    args.extend(["--kubeconfig", &kubeconfig, "-n", namespace]);
    args.extend(more);
    sandbox.run(&args)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// An entry of `blame`, as the corpus writes it.
fn blamed(case: &Case, entry: &Value) -> Result<String, String> {
    let named = |name: &str| text(&entry[name]).to_owned();
    match text(&entry["by"]) {
        "license" => {
            let operation = entry["operation"].as_u64().ok_or("no operation")?;
            let title = named("title");
            let index = case
                .license(&title)
                .ok_or_else(|| format!("no license {title:?}"))?;
            if entry["license"] != case.license_id(0, index) {
                return Err(format!("{title} has another id: {entry}"));
            }
            let operations = case.licenses[index]
                .patch
                .as_array()
                .map_or(&[][..], Vec::as_slice);
            let of = usize::try_from(operation)
                .ok()
                .and_then(|operation| operations.get(operation));
            if of.is_none_or(|of| of["path"] != entry["path"]) {
                return Err(format!("the operation has another path: {entry}"));
            }
            Ok(format!("{title} {operation}"))
        }
        "quota" => Ok(format!("quota {}", named("field"))),
        "placeholder" => Ok(format!("placeholder {}", named("name"))),
        "template" => Ok(format!("template {}", named("path"))),
        by @ ("injected" | "cluster") => Ok(by.to_owned()),
        _ => Err(format!("nobody is {entry}")),
    }
}

/// `template` means any field of it.
fn means(expected: &str, actual: &str) -> bool {
    expected == actual || (!expected.contains(' ') && actual.split(' ').next() == Some(expected))
}

/// What is wrong with dry-run's report on a case.
fn wrong(case: &Case, report: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    let requests = report["requests"].as_u64();
    if let Some(error) = &case.cocalc_error {
        let given = &report["cocalc_error"];
        let license = case
            .license(&error.license)
            .map(|index| case.license_id(0, index));
        let right = given["license"].as_str() == license.as_deref()
            && given["title"] == *error.license
            && given["operation"] == error.operation
            && given["class"] == *error.class
            && requests == Some(0)
            && report["refusals"] == json!([])
            && report["accepted"] == false;
        if !right {
            complaints.push(format!("CoCalc fails, but it says {report}"));
        }
        return complaints;
    }
    if let Some(error) = &case.error {
        if !text(&report["error"]).contains(error) || !report["accepted"].is_null() {
            complaints.push(format!("the server gives no verdict, but it says {report}"));
        }
        return complaints;
    }
    if report["accepted"] != case.refusals.is_empty() {
        complaints.push(format!("accepted is {}", report["accepted"]));
    }
    if !requests.is_some_and(|requests| (1..=16).contains(&requests)) {
        complaints.push(format!("requests: {}", report["requests"]));
    }
    for warning in &case.warnings {
        let given = report["warnings"].as_array().map_or(&[][..], Vec::as_slice);
        if !given.iter().any(|given| text(given).contains(warning)) {
            complaints.push(format!("no warning {warning:?} in {}", report["warnings"]));
        }
    }
    let mut named: Vec<Vec<String>> = vec![Vec::new(); case.refusals.len()];
    let mut found: Vec<bool> = vec![false; case.refusals.len()];
    let everybody = || {
        case.refusals
            .iter()
            .flat_map(|refusal| refusal.blame.iter().chain(&refusal.may_blame))
    };
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for given in report["refusals"].as_array().map_or(&[][..], Vec::as_slice) {
        let problem = Problem {
            code: given["code"].as_u64().unwrap_or_default(),
            field: given["field"].as_str().map(str::to_owned),
            message: text(&given["message"]).to_owned(),
        };
        let blame: Result<Vec<String>, String> = given["blame"]
            .as_array()
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .map(|entry| blamed(case, entry))
            .collect();
        let blame = match blame {
            Ok(blame) => blame,
            Err(error) => {
                complaints.push(error);
                continue;
            }
        };
        if !seen.insert(given.to_string()) {
            complaints.push(format!("told twice: {given}"));
        }
        // What the server hides at first it names in a pod with fewer operations.
        let which = |exactly| {
            let mut all = case.refusals.iter().enumerate();
            let better = all.clone().find(|(_, refusal)| {
                refusal.is(&problem, exactly) && blame.iter().any(|blame| refusal.blame.contains(blame))
            });
            better.or_else(|| all.find(|(_, refusal)| refusal.is(&problem, exactly)))
        };
        let Some((index, refusal)) = which(true).or_else(|| which(false)) else {
            let echo = problem
                .field
                .as_ref()
                .is_some_and(|field| case.echoes.contains(field));
            let known = |blame: &String| everybody().any(|other| means(other, blame));
            if !echo || !blame.iter().all(known) {
                complaints.push(format!("false alarm: {given}"));
            }
            continue;
        };
        found[index] = true;
        let reason = match refusal.code() {
            400 => "BadRequest",
            403 => "Forbidden",
            _ => "Invalid",
        };
        let layer = format!("{:?}", refusal.layer).to_lowercase();
        if given["layer"] != *layer || given["reason"] != *reason {
            complaints.push(format!(
                "layer {}, reason {}: {given}",
                given["layer"], given["reason"]
            ));
        }
        let operations: Vec<Operation> = blame.iter().filter_map(|blame| case.operation(blame)).collect();
        let first = |blame: &String| case.operation(blame).is_some();
        if !operations.is_sorted_by(|a, b| a > b) || !blame.is_sorted_by_key(|blame| !first(blame)) {
            complaints.push(format!("blame {blame:?}: operations first, and the later first"));
        }
        named[index].extend(blame);
    }
    for ((refusal, named), found) in case.refusals.iter().zip(&named).zip(found) {
        let what = refusal.field.as_ref().or(refusal.says.as_ref());
        let what = what.map_or("the refusal", |what| &**what);
        if !found {
            complaints.push(format!("missed: {what}, {:?}", refusal.blame));
            continue;
        }
        for wanted in &refusal.blame {
            if !named.iter().any(|given| means(wanted, given)) {
                complaints.push(format!("{what}: does not blame {wanted}, but {named:?}"));
            }
        }
        for given in named {
            let allowed = refusal.blame.iter().chain(&refusal.may_blame);
            if !allowed.clone().any(|wanted| means(wanted, given)) {
                complaints.push(format!("{what}: blames {given} instead of {:?}", refusal.blame));
            }
        }
    }
    complaints
}

#[test]
fn dry_run_finds_every_fault_in_one_run_and_blames_who_is_guilty() {
    let groups = groups(&CASES);
    let requests = std::sync::atomic::AtomicU64::new(0);
    let complaints = at_once(&groups, |group| {
        let variants: Vec<Variant<'_>> = group.cases.iter().copied().map(whole).collect();
        let site = group.snapshot(&variants).to_string();
        let sandbox = Sandbox::new().file("site.json", &site);
        let run = dry_run(&sandbox, group.namespace, &["--all", "--report", "json"]);
        let good = |case: &&Case| case.refusals.is_empty() && case.cocalc_error.is_none();
        let wanted = if group.cases.iter().any(|case| case.error.is_some()) {
            2
        } else {
            i32::from(!group.cases.iter().all(good))
        };
        let reports = run.json();
        let reports = reports.as_array().expect("an array of reports");
        let mut complaints = Vec::new();
        if run.code != wanted {
            let first = &group.cases[0].name;
            complaints.push(format!(
                "the group of {first:?}: exit code {}, not {wanted}\n{}",
                run.code, run.stderr
            ));
        }
        for case in &group.cases {
            let of_case = reports
                .iter()
                .find(|report| report["project_id"] == case.project_id(0));
            let wrong = of_case.map_or_else(|| vec!["no report".to_owned()], |report| wrong(case, report));
            if !wrong.is_empty() {
                complaints.push(format!("{}\n    {}", case.name, wrong.join("\n    ")));
            }
            let asked = of_case
                .and_then(|report| report["requests"].as_u64())
                .unwrap_or_default();
            requests.fetch_add(asked, std::sync::atomic::Ordering::Relaxed);
        }
        complaints
    });
    for complaint in &complaints {
        println!("{complaint}");
    }
    println!("{} cases, {} requests", CASES.len(), requests.into_inner());
    assert!(
        complaints.is_empty(),
        "{} cases are answered wrongly",
        complaints.len()
    );
}

#[test]
fn the_first_lines_are_what_kubectl_prints_for_the_same_pod() {
    let mut jobs = Vec::new();
    for group in groups(&CASES) {
        let refused: Vec<&Case> = group
            .cases
            .iter()
            .copied()
            .filter(|case| !case.refusals.is_empty() && !case.kubectl_refuses)
            .collect();
        let variants: Vec<Variant<'_>> = refused.iter().copied().map(whole).collect();
        for (variant, rendered) in variants.iter().zip(group.render(&variants)) {
            if let Rendered::Pod(pod) = rendered {
                let site = group.snapshot(std::slice::from_ref(variant)).to_string();
                jobs.push((variant.case, group.namespace, pod, site));
            }
        }
    }
    let server = SERVER.get();
    let complaints = at_once(&jobs, |(case, namespace, pod, site)| {
        // Only these need it, and kubectl reads the whole schema for it.
        let strict = case.refusals.iter().any(|refusal| refusal.layer == Layer::Decode);
        let validate = if strict {
            "--validate=strict"
        } else {
            "--validate=false"
        };
        let args = ["-n", namespace, "create", "--dry-run=server", validate, "-f", "-"];
        let kubectl = server.try_kubectl(&args, &compact(pod));
        let kubectl = String::from_utf8(kubectl.stderr).expect("UTF-8");
        let kubectl = kubectl.replace("error when creating \"STDIN\": ", "");
        let not_a_warning = |line: &&str| !line.to_lowercase().starts_with("warning: ");
        // The server takes labels and resources in any order.
        let mut wanted: Vec<&str> = kubectl.lines().filter(not_a_warning).collect();
        wanted.sort_unstable();
        let sandbox = Sandbox::new().file("site.json", site);
        let run = dry_run(&sandbox, namespace, &["--max-requests", "1"]).code(1);
        let given = run.stderr.lines().filter(not_a_warning);
        let mut given: Vec<&str> = given.take(wanted.len()).collect();
        given.sort_unstable();
        if given == wanted && !wanted.is_empty() {
            Vec::new()
        } else {
            vec![format!(
                "{}\n--- kubectl\n{kubectl}--- dry-run\n{}",
                case.name, run.stderr
            )]
        }
    });
    for complaint in &complaints {
        println!("{complaint}");
    }
    println!("{} refusals", jobs.len());
    assert!(
        complaints.is_empty(),
        "{} of {} differ",
        complaints.len(),
        jobs.len()
    );
}
