//! The way to the API server: kubeconfig, credentials, proxies, timeouts, and every failure in kubectl's words; held
//! against a real API server, the real kubectl, and a server that answers badly.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failure here is a failed test"
)]

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{
    api_server::{ApiServer, NAMESPACE, common},
    fault_server::{Answer, FaultServer, answer, json as json_answer},
    kubectl,
    shared::until,
};
use futures_util::StreamExt as _;
use kubectl_cocalc::cluster::{Cluster, Environment, Log, Options, RequestError, Validation, Verdict};
use serde_json::{Value, json};

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment {
        variables: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.into()))
            .collect(),
        service_account: "/nonexistent".into(),
    }
}

fn admin(server: &ApiServer) -> Options {
    Options {
        kubeconfig: Some(server.kubeconfig().to_owned()),
        namespace: Some(NAMESPACE.to_owned()),
        ..Options::default()
    }
}

fn connect(options: &Options) -> Cluster {
    Cluster::connect_in(options, &environment(&[])).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(options: &Options, variables: &[(&str, &str)]) -> String {
    match Cluster::connect_in(options, &environment(variables)) {
        Ok(_) => panic!("it connected"),
        Err(error) => error.to_string(),
    }
}

fn get(options: &Options, path: &str) -> Result<Value, RequestError> {
    let cluster = connect(options);
    cluster
        .run(cluster.session().get(path, &[]))
        .map(|reply| reply.value)
}

fn at(url: String) -> Options {
    Options {
        server: Some(url),
        ..Options::default()
    }
}

/// What the real kubectl says on stderr.
fn kubectl_says(args: &str) -> String {
    let child = Command::new(kubectl())
        .args(args.split(' '))
        .env_clear()
        .env("HOME", std::env::temp_dir())
        .env("KUBECONFIG", "/nonexistent")
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stderr).unwrap().trim_end().to_owned()
}

// The kubeconfig.

const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
clusters:
- {name: c, cluster: {server: "http://127.0.0.1:1"}}
users:
- {name: u, user: {token: hidden}}
contexts:
- {name: x, context: {cluster: c, user: u, namespace: lab}}
- {name: nouser, context: {cluster: c, user: zz}}
- {name: nocluster, context: {cluster: zz, user: u}}
current-context: x
"#;

#[test]
fn the_kubeconfig_is_judged_as_kubectl_judges_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file("good", KUBECONFIG);
    let gone = file(
        "gone",
        &KUBECONFIG.replace("current-context: x", "current-context: gone"),
    );
    let missing = folder.path().join("missing").to_str().unwrap().to_owned();
    let good_ca = file("ca", "no PEM at all");
    for flags in [
        &["--kubeconfig", &missing][..],
        &["--kubeconfig", &gone],
        &["--kubeconfig", &good, "--context", "gone"],
        &["--kubeconfig", &good, "--cluster", "gone"],
        &["--kubeconfig", &good, "--user", "gone"],
        &[
            "--kubeconfig",
            &good,
            "--client-certificate",
            "/nope.crt",
            "--client-key",
            "/nope.key",
        ],
        &["--kubeconfig", &good, "--as-group", "g"],
        &["--kubeconfig", &good, "--as-uid", "1"],
        &[
            "--kubeconfig",
            &good,
            "-s",
            "https://127.0.0.1:1",
            "--certificate-authority",
            &good_ca,
        ],
    ] {
        let mut options = Options::default();
        for pair in flags.chunks(2) {
            let value = pair[1].to_owned();
            match pair[0] {
                "--kubeconfig" => options.kubeconfig = Some(value.into()),
                "--context" => options.context = Some(value),
                "--cluster" => options.cluster = Some(value),
                "--user" => options.user = Some(value),
                "--client-certificate" => options.client_certificate = Some(value.into()),
                "--client-key" => options.client_key = Some(value.into()),
                "--as-group" => options.impersonate_groups.push(value),
                "--as-uid" => options.impersonate_uid = Some(value),
                "-s" => options.server = Some(value),
                "--certificate-authority" => options.certificate_authority = Some(value.into()),
                other => panic!("{other}"),
            }
        }
        let args: Vec<&str> = flags.iter().copied().chain(["get", "--raw", "/api"]).collect();
        assert_eq!(refused(&options, &[]), kubectl_says(&args.join(" ")), "{flags:?}");
    }
}

#[test]
fn nulls_line_breaks_in_base64_and_entries_that_are_not_used_are_read_as_kubectl_reads_them() {
    let server = common();
    let text = std::fs::read_to_string(server.kubeconfig()).unwrap();
    let good: Value = serde_yaml::from_str(&text).unwrap();
    let path = server.folder().join("odd");
    // What both say of a kubeconfig; nothing means that the server answered.
    let both = |kubeconfig: &str| {
        std::fs::write(&path, kubeconfig).unwrap();
        let options = Options {
            kubeconfig: Some(path.clone()),
            ..Options::default()
        };
        let ours = match Cluster::connect_in(&options, &environment(&[])) {
            Ok(cluster) => cluster.run(cluster.session().get("/api", &[])).err(),
            Err(error) => Some(error),
        };
        (
            ours.map(|error| error.to_string()).unwrap_or_default(),
            kubectl_says(&format!("--kubeconfig {} get --raw /api", path.display())),
        )
    };
    let with = |change: &dyn Fn(&mut Value)| {
        let mut kubeconfig = good.clone();
        change(&mut kubeconfig);
        kubeconfig
    };
    let fine = (String::new(), String::new());

    let lines = |pointer: &'static str, every: usize, end: &'static str| {
        with(&move |kubeconfig| {
            let data = kubeconfig.pointer_mut(pointer).unwrap();
            let lines: Vec<String> = data
                .as_str()
                .unwrap()
                .as_bytes()
                .chunks(every)
                .map(|line| String::from_utf8(line.to_vec()).unwrap())
                .collect();
            *data = json!(lines.join(end) + end);
        })
    };
    for data in [
        "/clusters/0/cluster/certificate-authority-data",
        "/users/0/user/client-certificate-data",
        "/users/0/user/client-key-data",
    ] {
        for (every, end) in [(64, "\n"), (76, "\r\n"), (100_000, "\n")] {
            let kubeconfig = lines(data, every, end);
            assert_eq!(both(&kubeconfig.to_string()), fine, "{data} {every}");
            let yaml = serde_yaml::to_string(&kubeconfig).unwrap();
            assert_eq!(both(&yaml), fine, "{yaml}");
        }
        // Blanks are not skipped.
        let (ours, kubectls) = both(&lines(data, 64, " ").to_string());
        assert!(kubectls.contains("illegal base64 data"), "{kubectls}");
        let (kind, field) = data.rsplit_once("/0/").unwrap();
        let name = good.pointer(&format!("{kind}/0/name")).unwrap();
        let (kind, field) = field.split_once('/').unwrap();
        assert_eq!(
            ours,
            format!(
                "error: error loading config file \"{}\": {kind} {name}: {field} is not valid base64",
                path.display()
            )
        );
    }

    let null_fields = with(&|kubeconfig| {
        let cluster = kubeconfig["clusters"][0]["cluster"].as_object_mut().unwrap();
        for field in [
            "tls-server-name",
            "proxy-url",
            "insecure-skip-tls-verify",
            "extensions",
        ] {
            cluster.insert(field.to_owned(), Value::Null);
        }
        let user = kubeconfig["users"][0]["user"].as_object_mut().unwrap();
        for field in [
            "token",
            "tokenFile",
            "exec",
            "as",
            "as-groups",
            "as-user-extra",
            "auth-provider",
        ] {
            user.insert(field.to_owned(), Value::Null);
        }
        let context = kubeconfig["contexts"][0]["context"].as_object_mut().unwrap();
        context.insert("namespace".to_owned(), Value::Null);
        kubeconfig["preferences"] = Value::Null;
    });
    assert_eq!(both(&null_fields.to_string()), fine);
    let null_entries = with(&|kubeconfig| {
        for (list, kind) in [
            ("clusters", "cluster"),
            ("users", "user"),
            ("contexts", "context"),
        ] {
            let list = kubeconfig[list].as_array_mut().unwrap();
            list.push(json!({"name": "null", kind: null}));
            list.push(json!({"name": "none"}));
            list.push(Value::Null);
        }
        let users = kubeconfig["users"].as_array_mut().unwrap();
        users.push(json!({"name": "old", "user": {"auth-provider": {"name": "gcp", "config": null}}}));
        users.push(json!({"name": "exec", "user": {"exec": {"command": null, "env": null, "args": null}}}));
    });
    assert_eq!(both(&null_entries.to_string()), fine);

    // kubectl refuses the whole file for these; none of them is used.
    let wrong_entries = with(&|kubeconfig| {
        let users = kubeconfig["users"].as_array_mut().unwrap();
        users.push(json!({"name": "text", "user": "hidden"}));
        users.push(json!({"name": "number", "user": {"token": 7}}));
        users.push(json!({"name": "mode", "user": {"exec": {"interactiveMode": 1}}}));
        let clusters = kubeconfig["clusters"].as_array_mut().unwrap();
        clusters.push(json!({"name": "base64", "cluster": {"certificate-authority-data": "?"}}));
    });
    assert_eq!(both(&wrong_entries.to_string()).0, "");
    // When it is used, file and entry are named, and no value.
    for (user, why) in [
        ("text", "it is not a map"),
        ("number", "invalid type: integer `7`, expected a string"),
    ] {
        let used = with(&|kubeconfig| {
            kubeconfig.clone_from(&wrong_entries);
            kubeconfig["contexts"][0]["context"]["user"] = json!(user);
        });
        assert_eq!(
            both(&used.to_string()).0,
            format!(
                "error: error loading config file \"{}\": user \"{user}\": {why}",
                path.display()
            )
        );
    }
}

#[test]
fn a_flag_that_is_given_twice_or_empty_means_what_it_means_for_kubectl() {
    let server = common();
    let good = server.kubeconfig().to_str().unwrap();
    let connects = |args: &[&str]| {
        // An empty --kubeconfig= leaves the variable in force.
        let mut kubectl = Command::new(kubectl());
        kubectl.args(args).args(["get", "--raw", "/api"]);
        let mut ours = Command::new(crate::support::PLUGIN);
        ours.args(["render", "--set", "project_id=x"]).args(args);
        [kubectl, ours].map(|mut command| {
            command.env("KUBECONFIG", good).env("HOME", server.folder());
            let output = command.output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            !error.contains("refused") && !error.contains("no such file") && !error.contains("does not exist")
        })
    };
    for (args, works) in [
        (
            &[
                "--server=",
                "--kubeconfig=",
                "--context=",
                "--user=",
                "--cluster=",
            ][..],
            true,
        ),
        (
            &[
                "--certificate-authority=",
                "--client-key=",
                "--client-certificate=",
                "--token=",
            ],
            true,
        ),
        (&["--kubeconfig", "/no-such-file"], false),
        (&["--kubeconfig", "/no-such-file", "--kubeconfig="], true),
        (&["-s", "https://127.0.0.1:1", "-s", ""], true),
        (&["-s", "", "-s", "https://127.0.0.1:1"], false),
        (&["--context", "none", "--context="], true),
        (&["-n", "a", "-n", "b"], true),
    ] {
        assert_eq!(connects(args), [works, works], "{args:?}");
    }
}

#[test]
fn a_context_without_its_user_or_cluster_is_an_error_and_not_anonymous() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    std::fs::write(&path, KUBECONFIG).unwrap();
    let with_context = |context: &str| Options {
        kubeconfig: Some(path.clone()),
        context: Some(context.to_owned()),
        ..Options::default()
    };
    let error = refused(&with_context("nouser"), &[]);
    assert_eq!(error, "error: user \"zz\" was not found for context \"nouser\"");
    let error = refused(&with_context("nocluster"), &[]);
    assert_eq!(
        error,
        "error: cluster \"zz\" was not found for context \"nocluster\""
    );
    let with_token = Options {
        token: Some("t".into()),
        ..with_context("nouser")
    };
    assert_eq!(connect(&with_token).session().namespace(), "default");
}

#[test]
fn a_list_of_kubeconfigs_is_merged_and_missing_ones_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let second = folder.path().join("second");
    std::fs::write(&second, KUBECONFIG).unwrap();
    let list = format!("/nonexistent::{}:/nonexistent/too", second.display());
    let cluster = Cluster::connect_in(&Options::default(), &environment(&[("KUBECONFIG", &list)])).unwrap();
    assert_eq!(cluster.session().namespace(), "lab");

    // Home is looked at only if the variable is not set.
    let home = folder.path().join(".kube");
    std::fs::create_dir(&home).unwrap();
    std::fs::copy(&second, home.join("config")).unwrap();
    let home = folder.path().to_str().unwrap();
    let cluster = Cluster::connect_in(
        &Options::default(),
        &environment(&[("HOME", home), ("KUBECONFIG", "")]),
    )
    .unwrap();
    assert_eq!(cluster.session().namespace(), "lab");
    let error = refused(
        &Options::default(),
        &[("HOME", home), ("KUBECONFIG", "/nonexistent")],
    );
    assert!(
        error.starts_with("error: Missing or incomplete configuration info."),
        "{error}"
    );
}

#[test]
fn a_kubeconfig_that_cannot_be_read_is_named_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let error_of = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let options = Options {
            kubeconfig: Some(path.clone()),
            ..Options::default()
        };
        let error = refused(&options, &[]);
        assert!(
            error.starts_with(&format!(
                "error: error loading config file \"{}\": ",
                path.display()
            )),
            "{error}"
        );
        assert!(!error.contains("hidden"), "{error}");
        error
    };
    error_of("clusters: [{");
    let used = "contexts: [{name: x, context: {user: u}}]\ncurrent-context: x\n";
    error_of(&format!("{used}users: [{{name: u, user: hidden}}]"));
    let error = error_of(&format!(
        "{used}users: [{{name: u, user: {{token: hidden, exec: {{interactiveMode: Sometimes}}}}}}]"
    ));
    assert!(error.contains("`Sometimes`"), "{error}");
    error_of("users:\n- name: u\n  user:\n    token: \"hidden");
    let options = Options {
        kubeconfig: Some(folder.path().to_owned()),
        ..Options::default()
    };
    assert!(refused(&options, &[]).ends_with("is a directory"));
}

#[test]
fn the_service_account_of_a_pod_is_used_only_if_nothing_is_set() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "t\n").unwrap();
    std::fs::write(folder.path().join("namespace"), "from-pod\n").unwrap();
    std::fs::write(folder.path().join("ca.crt"), FaultServer::ca()).unwrap();
    let inside = |variables: &[(&str, &str)]| {
        let mut environment = environment(variables);
        environment.service_account = folder.path().to_owned();
        environment
            .variables
            .insert("KUBERNETES_SERVICE_HOST".to_owned(), "fd00::1".into());
        environment
            .variables
            .insert("KUBERNETES_SERVICE_PORT".to_owned(), "443".into());
        environment
    };
    let cluster = Cluster::connect_in(&Options::default(), &inside(&[])).unwrap();
    assert_eq!(cluster.session().namespace(), "from-pod");
    let config = folder.path().join("config");
    std::fs::write(&config, KUBECONFIG).unwrap();
    let variables = [("KUBECONFIG", config.to_str().unwrap())];
    let cluster = Cluster::connect_in(&Options::default(), &inside(&variables)).unwrap();
    assert_eq!(cluster.session().namespace(), "lab");
    let other = Options {
        context: Some("gone".to_owned()),
        ..Options::default()
    };
    let Err(error) = Cluster::connect_in(&other, &inside(&[])) else {
        panic!("it connected")
    };
    assert_eq!(error.to_string(), "error: context \"gone\" does not exist");
}

// A server that answers badly.

/// A `Status` with these fields; `null` leaves one out.
fn status(code: u16, reason: &str, details: &Value) -> (String, &'static str, String) {
    let mut status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "m",
        "code": code, "details": details});
    if !reason.is_empty() {
        status["reason"] = json!(reason);
    }
    (format!("{code} Oops"), "application/json", status.to_string())
}

#[test]
fn a_foreign_answer_is_told_as_kubectl_tells_it() {
    let (html, text, json_type) = ("text/html; charset=utf-8", "text/plain", "application/json");
    let page = "<html><h1>Bad\n gateway \"x\"</h1></html>\n";
    let long = "<p>".repeat(2000);
    let foreign = [
        ("502 Bad Gateway", html, page),
        ("502 Bad Gateway", html, &long),
        ("500 Oops", json_type, r#"{"a":"b"}"#),
        ("500 Oops", "", ""),
        ("400 Oops", text, "no"),
        ("401 Oops", text, "no"),
        ("403 Oops", text, "no, never"),
        ("404 Oops", json_type, r#"{"a":"b"}"#),
        ("405 Oops", text, "no"),
        ("406 Oops", text, "only tea"),
        ("406 Oops", json_type, "{}"),
        ("409 Oops", text, "no"),
        ("415 Oops", text, "only tea"),
        ("418 Oops", text, "no"),
        ("422 Oops", text, "no, never"),
        ("429 Oops", text, "no"),
        ("503 Oops", text, "no"),
        ("504 Oops", text, "no"),
    ];
    let one = json!({"field": "a", "message": "x"});
    let other = json!({"field": "b", "message": "y"});
    let mut cases: Vec<(String, &str, String)> = foreign
        .iter()
        .map(|(status, content_type, body)| ((*status).to_owned(), *content_type, (*body).to_owned()))
        .collect();
    cases.extend([
        status(403, "Forbidden", &Value::Null),
        status(400, "", &Value::Null),
        status(401, "Unauthorized", &json!({})),
        status(422, "Invalid", &Value::Null),
        status(422, "Invalid", &json!({})),
        status(422, "", &json!({"name": "p", "kind": "Pod", "causes": [one]})),
        status(422, "Odd", &json!({"name": "p", "kind": "Pod", "causes": [one]})),
        status(
            422,
            "Conflict",
            &json!({"name": "p", "kind": "Pod", "causes": [one]}),
        ),
        status(
            400,
            "Invalid",
            &json!({"name": "p", "kind": "Pod", "causes": [one]}),
        ),
        status(
            422,
            "Invalid",
            &json!({"name": "é\u{1b}\"", "causes": [one, other, one]}),
        ),
        status(
            422,
            "Invalid",
            &json!({"name": "p", "kind": "Pod", "causes": [one, one]}),
        ),
        status(422, "Invalid", &json!({"kind": "Pod", "causes": []})),
        status(422, "Invalid", &json!({"causes": [{"message": "x"}]})),
    ]);
    let shown = cases.clone();
    let server = FaultServer::start(move |seen, _| {
        let number: usize = seen.line.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        let (status, content_type, body) = &cases[number];
        let header = format!("Content-Type: {content_type}");
        let headers = [&*header];
        let count = usize::from(!content_type.is_empty());
        answer(status, &headers[..count], body)
    });
    let mut different = Vec::new();
    for (number, case) in shown.iter().enumerate() {
        let path = format!("/{number}");
        let ours = get(&at(server.url()), &path).unwrap_err().to_string();
        let theirs = kubectl_says(&format!("-s {} get --raw {path}", server.url()));
        if ours != theirs {
            different.push(format!("{case:?}\n  ours:   {ours}\n  theirs: {theirs}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn a_silent_server_never_hangs_the_tool() {
    let server = FaultServer::start(|seen, _| {
        Answer::ThenSilence(if seen.line.contains("body") {
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"a\":"
                .to_vec()
        } else {
            Vec::new()
        })
    });
    let patient = |timeout| Options {
        request_timeout: Some(timeout),
        ..at(server.url())
    };
    let options = patient(Duration::from_millis(300));
    let error = get(&options, "/x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "Unable to connect to the server: net/http: request canceled (Client.Timeout exceeded while awaiting headers)"
    );
    // kubectl says the same or "context deadline exceeded", and leaves out the rest, as the race of its clocks ends.
    let theirs = kubectl_says(&format!("-s {} --request-timeout=1s get --raw /x", server.url()));
    assert!(
        [": net/http: request canceled", ": context deadline exceeded"]
            .iter()
            .any(|words| theirs.starts_with(&format!("Unable to connect to the server{words}"))),
        "{theirs}"
    );
    assert!(error.hint().unwrap().contains("--request-timeout"));
    // On a busy machine even the beginning of an answer can take longer than that.
    let begun = |attempt: &dyn Fn(&Options) -> RequestError| {
        let timeouts = (0..6).map(|tries| Duration::from_millis(300 << (2 * tries)));
        let errors = timeouts.map(|timeout| attempt(&patient(timeout)));
        let mut errors = errors.skip_while(|error| matches!(error, RequestError::NoAnswer(_)));
        errors.next().expect("an answer that begins")
    };
    let error = begun(&|options| get(options, "/body").unwrap_err());
    assert_eq!(
        error.to_string(),
        "error: net/http: request canceled (Client.Timeout or context cancellation while reading body)"
    );
    // A server that does not even shake hands.
    let options_tls = Options {
        server: Some(format!("https://{}", server.address())),
        ..options.clone()
    };
    let error = get(&options_tls, "/x").unwrap_err();
    assert!(matches!(error, RequestError::NoAnswer(_)), "{error:?}");
    let error = begun(&|options| {
        let cluster = connect(options);
        cluster.run(async {
            let mut log = match cluster.session().stream("/body", &[]).await {
                Ok(log) => log,
                Err(error) => return error,
            };
            assert_eq!(&log.next().await.unwrap().unwrap()[..], b"{\"a\":");
            log.next().await.unwrap().unwrap_err()
        })
    });
    assert!(matches!(error, RequestError::NoEnd(_)), "{error:?}");
}

#[test]
fn ctrl_c_ends_a_request_and_at_other_times_the_process() {
    const CHILD: &str = "COCALC_TEST_CTRL_C";
    if let Some(url) = std::env::var_os(CHILD) {
        let error = get(&at(url.into_string().unwrap()), "/x").unwrap_err();
        println!("{error:?}");
        // Nothing asks the cluster any more. The parent ends it, or lets go of its input.
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(1);
    }
    let server = FaultServer::start(|_, _| Answer::ThenSilence(Vec::new()));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "cluster_connection::ctrl_c_ends_a_request_and_at_other_times_the_process",
            "--nocapture",
        ])
        .stdin(Stdio::piped())
        .env(CHILD, server.url())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take();
    until("the child has asked", || !server.seen().is_empty());
    let pid = child.id().to_string();
    let press = || {
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
    };
    press();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("Interrupted")));
    press();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(input);
}

#[test]
fn a_log_may_take_longer_than_one_answer_and_need_not_be_utf_8() {
    let server = FaultServer::start(|_, _| {
        let mut pieces = vec![b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec()];
        pieces.extend((0..5).map(|i| vec![0xff, b'0' + i, b'\n']));
        Answer::Slowly(Duration::from_secs(1), pieces)
    });
    let options = Options {
        request_timeout: Some(Duration::from_secs(5)),
        ..at(server.url())
    };
    let cluster = connect(&options);
    let bytes = cluster.run(async {
        let parts = cluster
            .session()
            .stream("/log", &[("follow", "true")])
            .await
            .unwrap();
        parts
            .map(|part| part.unwrap().to_vec())
            .collect::<Vec<_>>()
            .await
            .concat()
    });
    assert_eq!(bytes, b"\xff0\n\xff1\n\xff2\n\xff3\n\xff4\n");
    assert!(server.seen()[0].line.starts_with("GET /log?follow=true "));
}

#[test]
fn a_connection_that_breaks_is_told_as_such() {
    let server = FaultServer::start(|seen, _| {
        Answer::Bytes(match seen.line.split(' ').nth(1).unwrap() {
            "/cut" => Vec::new(),
            "/garbage" => b"hello\r\n\r\n".to_vec(),
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\":".to_vec(),
        })
    });
    let error = |path: &str| get(&at(server.url()), path).unwrap_err().to_string();
    assert_eq!(
        error("/cut"),
        kubectl_says(&format!("-s {} get --raw /cut", server.url()))
    );
    assert_eq!(
        error("/truncated"),
        "error: unexpected EOF: the API server's answer ended too early"
    );
    assert!(error("/garbage").ends_with("malformed HTTP response"));
}

#[test]
fn an_address_where_nothing_listens_is_named_as_kubectl_names_it() {
    // No port that a system gives away by itself, so that nothing listens there a moment later.
    for url in ["http://127.0.0.1:1", "https://localhost:1/prefix"] {
        let url = url.to_owned();
        let error = get(&at(url.clone()), "/x").unwrap_err().to_string();
        assert_eq!(error, kubectl_says(&format!("-s {url} --token=t get --raw /x")));
        assert!(
            error.ends_with("was refused - did you specify the right host or port?"),
            "{error}"
        );
    }
    let error = get(&at("https://nosuch.invalid".to_owned()), "/x")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("Unable to connect to the server: dial tcp: lookup nosuch.invalid: "),
        "{error}"
    );
}

#[test]
fn certificates_that_prove_nothing_are_refused_in_kubectls_words() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, FaultServer::ca()).unwrap();
    let ca_text = ca.to_str().unwrap().to_owned();

    let expired = FaultServer::start_expired();
    let url = format!("https://{}", expired.address());
    let options = Options {
        certificate_authority: Some(ca.clone()),
        ..at(url.clone())
    };
    let ours = get(&options, "/x").unwrap_err().to_string();
    let theirs = kubectl_says(&format!(
        "-s {url} --token=t --certificate-authority {ca_text} get --raw /x"
    ));
    // Less the current time.
    let without_time = |text: &str| {
        let (before, rest) = text.split_once("current time ").expect(text);
        let (_, after) = rest.split_once(" is after ").expect(text);
        format!("{before}{after}")
    };
    assert_eq!(without_time(&ours), without_time(&theirs));
    let unchecked = Options {
        insecure_skip_tls_verify: true,
        ..at(url)
    };
    assert!(!get(&unchecked, "/x").unwrap_err().to_string().contains("x509"));

    let server = common();
    let kubeconfig = server.kubeconfig().to_str().unwrap();
    let other_ca = Options {
        certificate_authority: Some(ca),
        ..admin(server)
    };
    let theirs = kubectl_says(&format!(
        "--kubeconfig {kubeconfig} --certificate-authority {ca_text} get --raw /x"
    ));
    let ours = get(&other_ca, "/x").unwrap_err().to_string();
    assert!(
        ours.ends_with("x509: certificate signed by unknown authority"),
        "{ours}"
    );
    assert!(theirs.starts_with(&ours), "{theirs}");
    let other_name = Options {
        tls_server_name: Some("api.lab.example".to_owned()),
        ..admin(server)
    };
    let ours = get(&other_name, "/x").unwrap_err().to_string();
    let theirs = kubectl_says(&format!(
        "--kubeconfig {kubeconfig} --tls-server-name api.lab.example get --raw /x"
    ));
    assert_eq!(ours, theirs);
}

#[test]
fn a_busy_server_is_asked_three_times_and_its_wait_is_honoured() {
    let busy = FaultServer::start(|_, before| match before {
        0 => answer("429 Too Many Requests", &["Retry-After: 1"], ""),
        _ => json_answer("200 OK", &json!({"kind": "Pod"})),
    });
    let lines = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&lines);
    let options = Options {
        log: Some(Log {
            level: 6,
            write: Arc::new(move |line| kept.lock().unwrap().push_str(line)),
        }),
        ..at(busy.url())
    };
    assert_eq!(get(&options, "/x").unwrap()["kind"], "Pod");
    assert!(
        lines
            .lock()
            .unwrap()
            .contains("trying again in 1000 milliseconds")
    );
    assert_eq!(busy.seen().len(), 2);

    let down =
        FaultServer::start(|_, _| answer("503 Service Unavailable", &["Content-Type: text/plain"], "down"));
    let error = get(&at(down.url()), "/api/v1/nodes").unwrap_err().to_string();
    assert_eq!(
        error,
        "Error from server (ServiceUnavailable): the server is currently unable to handle the request (get nodes)"
    );
    assert_eq!(down.seen().len(), 3);

    let patient = FaultServer::start(|_, _| answer("429 Too Many Requests", &["Retry-After: 3600"], ""));
    get(&at(patient.url()), "/x").unwrap_err();
    assert_eq!(patient.seen().len(), 1);

    let wrong = FaultServer::start(|_, _| answer("500 Oops", &[], ""));
    get(&at(wrong.url()), "/x").unwrap_err();
    assert_eq!(wrong.seen().len(), 1);
}

#[test]
fn a_page_to_sign_in_is_not_taken_for_an_answer() {
    let server =
        FaultServer::start(|_, _| answer("200 OK", &["Content-Type: text/html"], "<html>Sign in</html>"));
    let error = get(&at(server.url()), "/api/v1/nodes").unwrap_err().to_string();
    assert!(
        error.starts_with("error: the answer to GET /api/v1/nodes is not JSON but \"text/html\""),
        "{error}"
    );
    assert!(error.contains("<html>Sign in</html>"), "{error}");
}

#[test]
fn an_endless_answer_is_cut_off() {
    let server = FaultServer::start(|_, _| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n".to_vec();
        bytes.resize(70 << 20, b' ');
        Answer::Bytes(bytes)
    });
    let error = get(&at(server.url()), "/x").unwrap_err().to_string();
    assert_eq!(error, "error: the API server's answer is longer than 64 MiB");
}

#[test]
fn a_list_that_grew_too_old_is_begun_again_but_not_for_ever() {
    let gone = json!({"kind": "Status", "status": "Failure", "reason": "Expired", "message": "too old", "code": 410});
    let gone_too = gone.clone();
    let first = || json!({"items": [{"n": 1}], "metadata": {"continue": "token +&"}});
    let once = FaultServer::start(
        move |seen, before| match (seen.line.contains("continue="), before) {
            (false, _) => json_answer("200 OK", &first()),
            (true, 1) => json_answer("410 Gone", &gone),
            (true, _) => json_answer("200 OK", &json!({"items": [{"n": 2}], "metadata": {}})),
        },
    );
    let list = |server: &FaultServer| {
        let cluster = connect(&at(server.url()));
        cluster.run(
            cluster
                .session()
                .list("/api/v1/pods", &[("labelSelector", "run=project")]),
        )
    };
    assert_eq!(list(&once).unwrap().value, [json!({"n": 1}), json!({"n": 2})]);
    let seen = once.seen();
    assert_eq!(seen.len(), 4);
    assert!(
        seen[0]
            .line
            .starts_with("GET /api/v1/pods?labelSelector=run%3Dproject&limit=500 ")
    );
    assert!(
        seen[1].line.contains("&limit=500&continue=token+%2B%26 "),
        "{}",
        seen[1].line
    );

    let always = FaultServer::start(move |seen, _| {
        if seen.line.contains("continue=") {
            json_answer("410 Gone", &gone_too)
        } else {
            json_answer("200 OK", &first())
        }
    });
    assert_eq!(
        list(&always).unwrap_err().to_string(),
        "Error from server (Expired): too old"
    );
    assert_eq!(always.seen().len(), 8);

    let none = FaultServer::start(|_, _| json_answer("200 OK", &json!({"kind": "Pod"})));
    assert_eq!(
        list(&none).unwrap_err().to_string(),
        "error: the answer to /api/v1/pods is no list"
    );
}

#[test]
fn a_server_that_may_not_know_dry_runs_is_never_sent_a_pod() {
    let post = |version: Answer, evidence: bool| {
        let version = Mutex::new(Some(version));
        let server = FaultServer::start(move |seen, _| {
            if seen.line.starts_with("POST") {
                return json_answer("201 Created", &json!({"kind": "Pod"}));
            }
            match version.lock().unwrap().take() {
                Some(Answer::Bytes(mut bytes)) if evidence => {
                    let header = b"\r\nX-Kubernetes-PF-FlowSchema-UID: 1";
                    let end = bytes.windows(2).position(|two| two == b"\r\n").unwrap();
                    bytes.splice(end..end, header.iter().copied());
                    Answer::Bytes(bytes)
                }
                Some(version) => version,
                None => answer("500 asked twice", &[], ""),
            }
        });
        let cluster = connect(&at(server.url()));
        let ask = || {
            cluster.run(
                cluster
                    .session()
                    .dry_run_pod(&json!({"kind": "Pod"}), Validation::Strict),
            )
        };
        let result = ask().and_then(|_| ask()).map(|_| ());
        let posts: Vec<_> = server
            .seen()
            .into_iter()
            .filter(|seen| seen.line.starts_with("POST"))
            .collect();
        assert!(
            posts
                .iter()
                .all(|post| post.line.contains("dryRun=All") && post.body == r#"{"kind":"Pod"}"#)
        );
        (result.map_err(|error| error.to_string()), posts.len())
    };
    let version = |minor: &str| json_answer("200 OK", &json!({"major": "1", "minor": minor}));
    assert_eq!(post(version("18"), false), (Ok(()), 2));
    assert_eq!(post(version("36+"), false), (Ok(()), 2));
    let (error, posts) = post(version("17+"), false);
    assert!(
        error
            .unwrap_err()
            .starts_with("error: the server's version is 1.17, and an API server older than")
    );
    assert_eq!(posts, 0);
    assert_eq!(post(json_answer("200 OK", &json!({})), false).1, 0);
    let forbidden = || answer("403 Forbidden", &["Content-Type: text/plain"], "no");
    assert_eq!(post(forbidden(), false).1, 0);
    assert_eq!(post(forbidden(), true), (Ok(()), 2));
    let (error, posts) = post(answer("401 Unauthorized", &[], ""), false);
    assert!(error.unwrap_err().starts_with("error: You must be logged in"));
    assert_eq!(posts, 0);
}

#[test]
fn a_real_server_that_hides_its_version_proves_its_age_otherwise() {
    // Of its own: it loses rights that other tests need.
    let server = ApiServer::start();
    server.kubectl(&[
        "delete",
        "clusterrolebinding",
        "system:public-info-viewer",
        "system:discovery",
    ]);
    server.kubectl(&[
        "-n",
        NAMESPACE,
        "create",
        "role",
        "r",
        "--verb=create",
        "--resource=pods",
    ]);
    server.kubectl(&[
        "-n",
        NAMESPACE,
        "create",
        "rolebinding",
        "r",
        "--role=r",
        "--user=jane",
    ]);
    let cluster = connect(&Options {
        impersonate: Some("jane".to_owned()),
        ..admin(&server)
    });
    let can = |words: &[&str]| {
        let asked = [&["--as=jane", "auth", "can-i"], words].concat();
        server.try_kubectl(&asked, "").status.success()
    };
    until("Jane may create pods and not see the version", || {
        can(&["create", "pods", "-n", NAMESPACE]) && !can(&["get", "/version"])
    });
    let error = cluster.run(cluster.session().get("/version", &[])).unwrap_err();
    assert!(
        error.to_string().contains("cannot get path \"/version\""),
        "{error}"
    );
    let pod = pod(json!({}));
    let asked = cluster.session().dry_run_pod(&pod, Validation::Strict);
    assert!(matches!(cluster.run(asked).unwrap().value, Verdict::Accepted(_)));
}

#[test]
fn nothing_secret_is_sent_to_a_server_without_tls() {
    let server = FaultServer::start(|_, _| json_answer("200 OK", &json!({})));
    let options = Options {
        token: Some("hidden".into()),
        impersonate: Some("jane".to_owned()),
        ..at(server.url())
    };
    get(&options, "/x").unwrap();
    let seen = server.seen().remove(0);
    assert!(
        !seen.headers.contains("hidden") && seen.headers.contains("impersonate-user: jane"),
        "{seen:?}"
    );
    let agent = format!("user-agent: kubectl-cocalc/{} (", env!("CARGO_PKG_VERSION"));
    assert!(seen.headers.contains(&agent), "{seen:?}");
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    assert!(seen.headers.contains("(linux/amd64)"));
}

// Proxies.

#[test]
fn a_proxy_is_used_as_client_go_uses_it() {
    let server = common();
    let address =
        get(&admin(server), "/api").unwrap()["serverAddressByClientCIDRs"][0]["serverAddress"].clone();
    let address = address.as_str().unwrap().to_owned();
    let port = address.rsplit(':').next().unwrap().to_owned();
    let to = address.clone();
    let proxy = FaultServer::start(move |_, _| Answer::Tunnel(to.clone()));
    let count = |options: &Options, variables: &[(&str, &str)]| {
        let before = proxy.seen().len();
        let cluster = Cluster::connect_in(options, &environment(variables)).unwrap();
        let answer = cluster.run(cluster.session().get("/api", &[]));
        (answer.is_ok(), proxy.seen().len() - before)
    };
    // A name that only the proxy knows; the certificate is for localhost.
    let far = Options {
        server: Some(format!("https://api.lab.example:{port}")),
        tls_server_name: Some("localhost".to_owned()),
        ..admin(server)
    };
    let https_proxy = ("HTTPS_PROXY", &*proxy.url());
    assert_eq!(count(&far, &[https_proxy]), (true, 1));
    assert!(
        proxy
            .seen()
            .pop()
            .unwrap()
            .line
            .starts_with(&format!("CONNECT api.lab.example:{port} "))
    );
    assert_eq!(
        count(&far, &[https_proxy, ("NO_PROXY", "127.0.0.1,other,")]),
        (true, 1)
    );
    assert_eq!(
        count(&far, &[https_proxy, ("NO_PROXY", ".lab.example,")]),
        (false, 0)
    );
    assert_eq!(count(&admin(server), &[https_proxy]), (true, 0));

    // The kubeconfig's own proxy has no exception.
    let kubeconfig = std::fs::read_to_string(server.kubeconfig()).unwrap();
    let with_proxy = kubeconfig.replace(
        "cluster: {server:",
        &format!("cluster: {{proxy-url: {:?}, server:", proxy.url()),
    );
    let path = server.folder().join("with-proxy");
    std::fs::write(&path, with_proxy).unwrap();
    let options = Options {
        kubeconfig: Some(path),
        ..Options::default()
    };
    assert_eq!(count(&options, &[("NO_PROXY", "*")]), (true, 1));
}

#[test]
fn a_proxy_that_fails_is_named_without_its_password() {
    let refusing = FaultServer::start(|_, _| answer("407 Proxy Authentication Required", &[], ""));
    let options = at("https://api.lab.example".to_owned());
    let error = |proxy: String| {
        let cluster = Cluster::connect_in(&options, &environment(&[("HTTPS_PROXY", &proxy)])).unwrap();
        cluster
            .run(cluster.session().get("/x", &[]))
            .unwrap_err()
            .to_string()
    };
    let text = error(format!("http://user:hidden@{}", refusing.address()));
    assert_eq!(
        text,
        format!(
            "Unable to connect to the server: proxyconnect tcp: {}: proxy authorization required",
            refusing.address()
        )
    );
    assert!(refusing.seen()[0].headers.contains("proxy-authorization: basic "));
    let text = error("http://user:hidden@127.0.0.1:1".to_owned());
    assert_eq!(
        text,
        "Unable to connect to the server: proxyconnect tcp: dial tcp 127.0.0.1:1: connection refused"
    );
}

// Credentials.

/// A kubeconfig whose user has a credential plugin, in shell.
fn with_plugin(server: &ApiServer, name: &str, script: &str, more: &Value) -> PathBuf {
    let text = std::fs::read_to_string(server.kubeconfig()).unwrap();
    let (before, rest) = text.split_once("users: [{").unwrap();
    let (_, after) = rest.split_once("}}]").unwrap();
    let mut exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
        "args": ["-c", script], "interactiveMode": "IfAvailable"});
    for (key, value) in more.as_object().unwrap() {
        exec[key] = value.clone();
    }
    let user = json!([{"name": "admin", "user": {"exec": exec}}]);
    let path = server.folder().join(name);
    std::fs::write(&path, format!("{before}users: {user}{after}")).unwrap();
    path
}

fn credential(status: &Value) -> String {
    let credential = json!({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1",
        "status": status});
    format!("echo '{credential}'")
}

#[test]
fn a_credential_plugin_runs_once_and_its_token_is_used() {
    let server = common();
    let token = server.kubectl(&["-n", NAMESPACE, "create", "token", "default"]);
    let runs = server.folder().join("runs");
    let print = credential(&json!({"token": token.trim()}));
    // Our standard input is not the plugin's to read.
    let script = format!(
        "echo \"$KUBERNETES_EXEC_INFO\" >> {}; [ $(readlink /proc/$$/fd/0) = /dev/null ] || exit 9; echo 'signing in' >&2; {print}",
        runs.display()
    );
    let path = with_plugin(
        server,
        "plugin",
        &script,
        &json!({"provideClusterInfo": true, "env": []}),
    );
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let options = Options {
        kubeconfig: Some(path),
        log: Some(Log {
            level: 6,
            write: Arc::new(move |line| kept.lock().unwrap().push(line.to_owned())),
        }),
        ..Options::default()
    };
    let cluster = connect(&options);
    for _ in 0..2 {
        let error = cluster
            .run(cluster.session().get("/api/v1/nodes", &[]))
            .unwrap_err();
        let user = format!("system:serviceaccount:{NAMESPACE}:default");
        assert!(
            error.to_string().contains(&format!("User {user:?} cannot list")),
            "{error}"
        );
    }
    let info: Vec<Value> = std::fs::read_to_string(runs)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(info.len(), 1, "{info:?}");
    assert_eq!(info[0]["spec"]["interactive"], false);
    assert!(info[0]["spec"]["cluster"]["certificate-authority-data"].is_string());
    let lines = lines.lock().unwrap().join("\n");
    assert!(lines.starts_with("signing in\nGET https://"), "{lines}");
    assert!(
        lines.contains("/api/v1/nodes 403 Forbidden in ") && !lines.contains(token.trim()),
        "{lines}"
    );
}

#[test]
fn an_expired_token_is_asked_for_again_and_a_certificate_works() {
    let server = common();
    let runs = server.folder().join("expired-runs");
    let token = server.kubectl(&["-n", NAMESPACE, "create", "token", "default"]);
    let print = credential(&json!({"token": token.trim(), "expirationTimestamp": "2020-01-01T00:00:00Z"}));
    let script = format!("echo x >> {}; {print}", runs.display());
    let options = Options {
        kubeconfig: Some(with_plugin(server, "expired", &script, &json!({}))),
        ..Options::default()
    };
    let cluster = connect(&options);
    cluster.run(cluster.session().get("/version", &[])).unwrap();
    assert_eq!(std::fs::read_to_string(&runs).unwrap().lines().count(), 2);

    let text = std::fs::read_to_string(server.kubeconfig()).unwrap();
    let decoded = |key: &str| {
        use base64::Engine as _;
        let data = text.split_once(key).unwrap().1.trim_start_matches(": ");
        let data = data.split([',', '}']).next().unwrap();
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(data).unwrap()).unwrap()
    };
    let print = credential(
        &json!({"clientCertificateData": decoded("client-certificate-data"),
        "clientKeyData": decoded("client-key-data")}),
    )
    .replace("echo '", "printf '%s' '");
    let options = Options {
        kubeconfig: Some(with_plugin(server, "certificate", &print, &json!({}))),
        ..Options::default()
    };
    get(&options, "/api/v1/nodes").unwrap();
}

#[test]
fn a_failing_plugin_is_told_as_kubectl_tells_it() {
    let server = common();
    let broken = |name: &str, script: &str, more: Value| {
        let path = with_plugin(server, name, script, &more);
        let options = Options {
            kubeconfig: Some(path.clone()),
            ..Options::default()
        };
        (
            refused(&options, &[]),
            kubectl_says(&format!("--kubeconfig {} get --raw /api", path.to_str().unwrap())),
        )
    };
    for (name, script, more) in [
        (
            "exit",
            "echo 'the ticket is dead' >&2; echo hidden; exit 3",
            json!({}),
        ),
        (
            "missing",
            "",
            json!({"command": "nosuchplugin", "installHint": "get it at lab.example"}),
        ),
        ("nothing", &*credential(&json!({})), json!({})),
        ("nomode", "", json!({"interactiveMode": null})),
        ("noversion", "", json!({"apiVersion": ""})),
        (
            "version",
            &*credential(&json!({"token": "hidden"})).replace("/v1", "/v1beta1"),
            json!({}),
        ),
    ] {
        let (ours, theirs) = broken(name, script, more);
        assert_eq!(ours, theirs);
        assert!(!ours.contains("hidden"));
    }
    // What kube does itself.
    let text = std::fs::read_to_string(server.kubeconfig()).unwrap();
    let (before, rest) = text.split_once("users: [{").unwrap();
    let (_, after) = rest.split_once("}}]").unwrap();
    for (provider, why) in [
        ("oidc", "invalid ID token"),
        ("azure", "kubelogin"),
        ("other", "not supported"),
    ] {
        let user = json!([{"name": "admin", "user": {"auth-provider": {"name": provider,
            "config": {"id-token": "hidden", "idp-issuer-url": "https://id.lab.example"}}}}]);
        let path = server.folder().join(provider);
        std::fs::write(&path, format!("{before}users: {user}{after}")).unwrap();
        let options = Options {
            kubeconfig: Some(path),
            ..Options::default()
        };
        let error = Cluster::connect_in(&options, &environment(&[]))
            .and_then(|cluster| cluster.run(cluster.session().get("/api", &[])))
            .unwrap_err()
            .to_string();
        assert!(error.contains(why) && !error.contains("hidden"), "{error}");
    }
    let (ours, _) = broken("always", "exit 1", json!({"interactiveMode": "Always"}));
    assert!(
        ours.contains("exec plugin cannot support interactive mode"),
        "{ours}"
    );
    let (ours, _) = broken("words", "echo hidden", json!({}));
    assert!(
        ours.contains("decoding stdout") && !ours.contains("hidden"),
        "{ours}"
    );
}

#[test]
fn tokens_certificates_and_impersonation_say_who_asks() {
    let server = common();
    let text = std::fs::read_to_string(server.kubeconfig()).unwrap();
    let (before, rest) = text.split_once("users: [{").unwrap();
    let (_, after) = rest.split_once("}}]").unwrap();
    let plain = server.folder().join("plain");
    std::fs::write(
        &plain,
        format!("{before}users: [{{name: admin, user: {{}}}}]{after}"),
    )
    .unwrap();
    let nobody = Options {
        kubeconfig: Some(plain),
        ..Options::default()
    };
    let who = |options: &Options| match get(options, "/api/v1/nodes") {
        Ok(_) => "admin".to_owned(),
        Err(error) => {
            let text = error.to_string();
            text.split_once("User ").map_or(text.clone(), |(_, rest)| {
                rest.split('"').nth(1).unwrap().to_owned()
            })
        }
    };
    assert_eq!(who(&admin(server)), "admin");
    assert_eq!(who(&nobody), "system:anonymous");
    let token = server.kubectl(&["-n", NAMESPACE, "create", "token", "default"]);
    let account = format!("system:serviceaccount:{NAMESPACE}:default");
    let with_token = Options {
        token: Some(token.trim().into()),
        ..nobody.clone()
    };
    assert_eq!(who(&with_token), account);
    let wrong = Options {
        token: Some("hidden".into()),
        ..nobody.clone()
    };
    assert_eq!(
        who(&wrong),
        "error: You must be logged in to the server (Unauthorized)"
    );
    // A file's newline is not part of the token.
    let file = server.folder().join("token");
    std::fs::write(&file, &token).unwrap();
    let from_file = server.folder().join("from-file");
    std::fs::write(
        &from_file,
        format!("{before}users: [{{name: admin, user: {{tokenFile: token}}}}]{after}"),
    )
    .unwrap();
    let from_file = Options {
        kubeconfig: Some(from_file),
        ..Options::default()
    };
    assert_eq!(who(&from_file), account);
    // The file goes before the token, which is used where the file cannot be read.
    let both = |token: &str, file: &str| {
        let path = server.folder().join("both");
        let user = json!({"token": token, "tokenFile": file});
        std::fs::write(
            &path,
            format!("{before}users: [{{name: admin, user: {user}}}]{after}"),
        )
        .unwrap();
        let kubectls = kubectl_says(&format!("--kubeconfig {} get nodes", path.display()));
        assert!(kubectls.contains(&account), "{kubectls}");
        who(&Options {
            kubeconfig: Some(path),
            ..Options::default()
        })
    };
    assert_eq!(both("hidden", "token"), account);
    assert_eq!(both(token.trim(), "no-such-file"), account);

    let jane = Options {
        impersonate: Some("jane".to_owned()),
        impersonate_uid: Some("7".to_owned()),
        impersonate_groups: vec!["a".to_owned(), "b".to_owned()],
        impersonate_user_extra: vec![
            ("team/x".to_owned(), "one".to_owned()),
            ("team/x".to_owned(), "two".to_owned()),
        ],
        ..admin(server)
    };
    assert_eq!(who(&jane), "jane");
    let of_jane = || {
        let mut entries = server.requests().into_iter();
        entries.rfind(|entry| entry["impersonatedUser"]["username"] == "jane")
    };
    until("the audit log has Jane's request", || of_jane().is_some());
    let entry = of_jane().unwrap();
    assert_eq!(entry["impersonatedUser"]["uid"], "7");
    assert_eq!(
        entry["impersonatedUser"]["extra"]["team/x"],
        json!(["one", "two"])
    );
    assert!(entry["impersonatedUser"]["groups"].to_string().contains("\"b\""));
    let agent = format!("kubectl-cocalc/{} (", env!("CARGO_PKG_VERSION"));
    assert!(
        entry["userAgent"].as_str().unwrap().starts_with(&agent),
        "{entry}"
    );
}

// The real API server.

/// A pod that is accepted, with these changes (a merge patch) in it.
#[allow(clippy::needless_pass_by_value, reason = "json! makes a value")]
fn pod(changes: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"run": "project"}},
        "spec": {"containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/x"}]}],
                 "volumes": [{"name": "v", "emptyDir": {}}]}});
    json_patch::merge(&mut pod, &changes);
    pod
}

/// The same with resources.
#[allow(clippy::needless_pass_by_value, reason = "json! makes a value")]
fn pod_with_resources(resources: Value) -> Value {
    pod(json!({"spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}}))
}

#[test]
fn refusals_are_told_as_the_real_kubectl_tells_them() {
    let server = common();
    let namespace = "refusals";
    server.make_namespace(namespace);
    server.kubectl(&["-n", namespace, "create", "serviceaccount", "viewer"]);
    let limits = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "lr"},
        "spec": {"limits": [{"type": "Container", "max": {"memory": "2Gi"}}]}});
    server.kubectl_with_stdin(&["-n", namespace, "create", "-f", "-"], &limits.to_string());
    server.kubectl_with_stdin(
        &["-n", namespace, "create", "-f", "-"],
        &pod(json!({"metadata": {"name": "running"}})).to_string(),
    );
    let options = Options {
        namespace: Some(namespace.to_owned()),
        ..admin(server)
    };
    let cluster = connect(&options);
    let spec = |spec: Value| pod(json!({"spec": spec}));
    let cases = [
        (
            "missing service account",
            spec(json!({"serviceAccountName": "nope"})),
        ),
        ("unknown field", spec(json!({"nodeSelecter": {}}))),
        (
            "duplicate volume",
            spec(json!({"volumes": [{"name": "v"}, {"name": "v"}]})),
        ),
        ("mount without volume", spec(json!({"volumes": []}))),
        (
            "quantity",
            pod_with_resources(json!({"limits": {"memory": "1 GB"}})),
        ),
        (
            "request above limit",
            pod_with_resources(json!({"limits": {"memory": "1Gi"}, "requests": {"memory": "2Gi"}})),
        ),
        ("wrong type", spec(json!({"terminationGracePeriodSeconds": "x"}))),
        (
            "several",
            pod(
                json!({"metadata": {"name": "Project_1", "labels": {"a": "not valid!", "b": "not valid!"}},
                "spec": {"restartPolicy": "always"}}),
            ),
        ),
        ("no name", pod(json!({"metadata": {"name": null}}))),
        ("no containers", spec(json!({"containers": []}))),
        ("priority class", spec(json!({"priorityClassName": "nope"}))),
        ("runtime class", spec(json!({"runtimeClassName": "gvisor"}))),
        (
            "limit range",
            pod_with_resources(json!({"limits": {"memory": "16Gi"}})),
        ),
        ("exists", pod(json!({"metadata": {"name": "running"}}))),
        ("odd name", pod(json!({"metadata": {"name": "a\"b\u{e9}\u{1b}"}}))),
    ];
    for (what, pod) in &cases {
        let reply = cluster
            .run(cluster.session().dry_run_pod(pod, Validation::Strict))
            .unwrap();
        let Verdict::Refused(status) = reply.value else {
            panic!("{what} is accepted");
        };
        let output = server.try_kubectl(
            &[
                "-n",
                namespace,
                "create",
                "--dry-run=server",
                "--validate=strict",
                "-f",
                "-",
            ],
            &pod.to_string(),
        );
        let theirs = String::from_utf8(output.stderr).unwrap();
        let theirs = theirs.trim_end().replace("error when creating \"STDIN\": ", "");
        assert_eq!(status.kubectl_text(), theirs, "{what}");
    }
    let accepted = cluster
        .run(cluster.session().dry_run_pod(&pod(json!({})), Validation::Strict))
        .unwrap();
    assert!(matches!(accepted.value, Verdict::Accepted(_)));
    let unknown = pod(json!({"spec": {"nodeSelecter": {}}}));
    let warned = cluster
        .run(cluster.session().dry_run_pod(&unknown, Validation::Warn))
        .unwrap();
    assert_eq!(warned.warnings, ["unknown field \"spec.nodeSelecter\""]);

    // Reading.
    for (path, args) in [
        (
            format!("/api/v1/namespaces/{namespace}/configmaps/nope"),
            vec!["get", "configmap", "nope"],
        ),
        (
            "/apis/none.example/v1/things".to_owned(),
            vec!["get", "--raw", "/apis/none.example/v1/things"],
        ),
        (
            format!("/api/v1/namespaces/{namespace}/pods/nope/log"),
            vec!["get", "--raw", "/api/v1/namespaces/refusals/pods/nope/log"],
        ),
    ] {
        let ours = get(&options, &path).unwrap_err().to_string();
        let all: Vec<&str> = ["-n", namespace].into_iter().chain(args).collect();
        let theirs = String::from_utf8(server.try_kubectl(&all, "").stderr).unwrap();
        // client-go knows what it asked for only where its own words stand in for the server's.
        let ours = ours.split(" (get things").next().unwrap();
        assert_eq!(
            ours,
            theirs.trim_end().replace("error: error from", "Error from"),
            "{path}"
        );
    }

    // Rights.
    let viewer = format!("system:serviceaccount:{namespace}:viewer");
    let options = Options {
        impersonate: Some(viewer.clone()),
        ..options
    };
    let cluster = connect(&options);
    let reply = cluster
        .run(cluster.session().dry_run_pod(&pod(json!({})), Validation::Strict))
        .unwrap();
    let Verdict::Refused(status) = reply.value else {
        panic!("accepted");
    };
    let output = server.try_kubectl(
        &[
            "-n",
            namespace,
            "--as",
            &viewer,
            "create",
            "--dry-run=server",
            "--validate=false",
            "-f",
            "-",
        ],
        &pod(json!({})).to_string(),
    );
    let theirs = String::from_utf8(output.stderr)
        .unwrap()
        .replace("error when creating \"STDIN\": ", "");
    assert_eq!(status.kubectl_text(), theirs.trim_end());
    let right = status.missing_right().unwrap();
    assert_eq!(
        (&*right.verb, &*right.resource, right.namespace.as_deref()),
        ("create", "pods", Some(namespace))
    );
    let error = get(
        &options,
        &format!("/api/v1/namespaces/{namespace}/configmaps/project-pod"),
    )
    .unwrap_err();
    assert_eq!(
        error.hint().unwrap(),
        format!(
            "a Role in namespace \"{namespace}\" with this rule, bound to {viewer:?}, grants it: {{apiGroups: [\"\"], \
             resources: [\"configmaps\"], resourceNames: [\"project-pod\"], verbs: [\"get\"]}}"
        )
    );

    // Nothing of all that was more than read or tried.
    for entry in server.requests() {
        let uri = entry["requestURI"].as_str().unwrap();
        let verb = entry["verb"].as_str().unwrap();
        assert!(
            matches!(verb, "get" | "list") || (verb == "create" && uri.contains("dryRun=All")),
            "{entry}"
        );
    }
}

#[test]
fn a_pods_own_namespace_is_judged_by_the_server_and_the_sessions_by_its_form() {
    let server = common();
    let cluster = connect(&admin(server));
    let other = pod(json!({"metadata": {"namespace": "other"}}));
    let answer = cluster
        .run(cluster.session().dry_run_pod(&other, Validation::Strict))
        .unwrap();
    let Verdict::Refused(status) = answer.value else {
        panic!("it is accepted");
    };
    assert_eq!(status.code, 400);
    assert!(
        status
            .message
            .contains("does not match the namespace sent on the request")
    );
    let invalid = Options {
        namespace: Some("a/b".to_owned()),
        ..admin(server)
    };
    assert_eq!(refused(&invalid, &[]), "error: invalid namespace \"a/b\"");
}

#[test]
fn a_long_list_comes_in_parts_and_is_whole() {
    let server = common();
    server.kubectl(&["create", "namespace", "many"]);
    let items: Vec<Value> = (0..1201)
        .map(|i| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c{i:04}")}}))
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    server.kubectl_with_stdin(
        &["-n", "many", "create", "--validate=false", "-f", "-"],
        &list.to_string(),
    );
    let cluster = connect(&admin(server));
    let path = "/api/v1/namespaces/many/configmaps";
    let reply = cluster.run(cluster.session().list(path, &[])).unwrap();
    let names: Vec<&str> = reply
        .value
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 1201);
    assert!(names.is_sorted());
    let asked = || {
        let requests = server.requests();
        let uris = requests.iter().filter_map(|entry| entry["requestURI"].as_str());
        uris.filter(|uri| uri.starts_with(path)).count()
    };
    until("the audit log has all parts", || asked() >= 3);
    assert_eq!(asked(), 3);
}

#[test]
fn a_secrets_data_never_leaves_the_server() {
    let server = common();
    let lines = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&lines);
    server.kubectl(&[
        "-n",
        NAMESPACE,
        "create",
        "secret",
        "generic",
        "s",
        "--from-literal=key=hidden",
    ]);
    let options = Options {
        log: Some(Log {
            level: 10,
            write: Arc::new(move |line| kept.lock().unwrap().push_str(line)),
        }),
        ..admin(server)
    };
    let cluster = connect(&options);
    let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets");
    let one = cluster
        .run(cluster.session().get_metadata(&format!("{path}/s")))
        .unwrap()
        .value;
    assert_eq!(one["kind"], "PartialObjectMetadata");
    assert_eq!(one["metadata"]["name"], "s");
    assert_eq!(one.get("data"), None);
    let all = cluster
        .run(cluster.session().list_metadata(&path, &[]))
        .unwrap()
        .value;
    let secret = all.iter().find(|item| item["metadata"]["name"] == "s").unwrap();
    assert_eq!(secret.get("data"), None);

    // Even asked for, it is not shown.
    let whole = cluster
        .run(cluster.session().get(&format!("{path}/s"), &[]))
        .unwrap()
        .value;
    assert_eq!(whole["data"]["key"], "aGlkZGVu");
    assert!(!lines.lock().unwrap().contains("aGlkZGVu"));
}
