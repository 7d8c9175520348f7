//! The inquiry of `dry-run`, asked of a server that a real one cannot be made to be.

use std::cell::{Cell, RefCell};

use kubectl_cocalc::{
    cluster::{Reply, RequestError, Status, Validation, Verdict},
    dry_run::{Memory, Party, Question, Server, ask},
    pipeline::{Known, Site, Subject, View, provenance::Writer},
    snapshot::{Input, ReadOptions, read_inputs},
};
use serde_json::{Value, json};

use crate::support::LAB;

/// A webhook that denies every pod, and counts aloud.
struct Counting(Cell<u32>);

impl Server for Counting {
    async fn dry_run_pod(&self, _: &Value, _: Validation) -> Result<Reply<Verdict>, RequestError> {
        self.0.set(self.0.get() + 1);
        let message = format!(
            "admission webhook \"count.example\" denied the request: {} today",
            self.0.get()
        );
        Ok(Reply {
            value: Verdict::Refused(Status {
                code: 403,
                reason: "Forbidden".to_owned(),
                message,
                details: None,
            }),
            warnings: Vec::new(),
        })
    }
}

#[test]
fn a_webhook_whose_words_change_from_request_to_request_is_no_reason_to_blame_a_patch() {
    let patch: Vec<Value> = (0..20)
        .map(|i| json!({"op": "add", "path": format!("/metadata/labels/l{i}"), "value": "x"}))
        .collect();
    let license = "0a000000-0000-4000-8000-000000000001";
    let site = json!({
        "now": "2026-11-24T12:00:00Z",
        "template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {}}, "spec": {}},
        "software": {"default": "u", "environments": {"u": {"tag": "t1", "registry": "r.example/p"}}},
        "site_licenses": [{"id": license, "activates": "2023-01-01T00:00:00Z",
            "quota": {"ram": 1, "patch": Value::from(patch).to_string()}}],
        "projects": [{"project_id": LAB, "site_license": {license: {}}}],
    });
    let (snapshot, _) = read_inputs(
        &[Input::Stdin],
        &mut site.to_string().as_bytes(),
        &ReadOptions::default(),
    )
    .unwrap();
    let site = Site::new(
        &snapshot,
        "2026-11-24T12:00:00Z".parse().unwrap(),
        View::default(),
    );
    let project = &snapshot.projects[0];
    let rendered = site
        .render(Subject {
            project_id: &project.project_id,
            known: Known::Row(project),
            live_pod: None,
        })
        .unwrap();
    let question = Question {
        site: &site,
        rendered: &rendered,
        validation: Validation::Strict,
        max_requests: 16,
        want_pod: false,
    };
    let memory = RefCell::new(Memory::default());
    let server = Counting(Cell::new(0));
    let outcome = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(ask(&server, question, &memory));
    let problems: Vec<_> = outcome.problems().collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let parties: Vec<&Party> = problems[0].blame.iter().map(|blame| &blame.party).collect();
    assert_eq!(parties, [&Party::Writer(Writer::Template)]);
    assert_eq!(outcome.requests, 3);
}
