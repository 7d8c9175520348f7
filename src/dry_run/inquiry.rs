//! Asking about one project until all that is wrong is known, or the budget of requests is used up.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BTreeSet, HashMap, HashSet},
    rc::Rc,
};

use serde_json::Value;

use crate::{
    check::Severity,
    check::pod::{PodFinding, Trials, check_pod, locate, quantity_is_above},
    cluster::{Reply, RequestError, Status, Validation, Verdict},
    json_patch::{PathPart, Stamp},
    pipeline::{
        Partial, Rendered, Site,
        provenance::{Writer, keys, pointer},
        search::Op,
    },
};

use super::{
    Server,
    fault::{Fault, Kind, Refusal, read},
    neutral::Edit,
    path::{Path, before_removal, get, relocate, remove},
    places::{Place, places},
};

mod blame;
mod pod;
mod proof;

use pod::{mounts, set, volume_names};

/// What is asked about one project.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The site.
    pub site: &'a Site,
    /// The project's pod.
    pub rendered: &'a Rendered,
    /// What becomes of unknown fields.
    pub validation: Validation,
    /// How many requests may be made.
    pub max_requests: usize,
    /// Whether a pod that exists already is to be answered with the pod as the server would store it.
    pub want_pod: bool,
}

/// Who is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Party {
    /// Whoever wrote the field.
    Writer(Writer),
    /// Admission: the request did not hold the field.
    Injected,
    /// The namespace: its limits are used up.
    Cluster,
}

/// A party's part in a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame {
    /// Who.
    pub party: Party,
    /// The place in the pod that was sent first, where one is known.
    pub at: Option<Path>,
    /// What of that place lies below the value that the operation wrote; `None` where it wrote none.
    pub in_value: Option<Path>,
    /// Of what a Pod Security Standard forbids: the party's own violations, in the server's words.
    pub violations: Vec<String>,
}

/// Something that the server refuses, and who is at fault.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The server's words.
    pub fault: Fault,
    /// Whoever is at fault: every operation without which the problem is gone, the later first; then, of a collision,
    /// whoever else wrote the other place, and of what a policy denies without any patch too, the template. Empty
    /// where the budget ended before anything was known.
    pub blame: Vec<Blame>,
    /// Whether asking again proved it.
    pub proved: bool,
    /// What stands at the place of the first blame, as sent.
    pub value: Option<Value>,
}

/// One refusal with the problems that were new in it.
#[derive(Clone, Debug)]
pub struct Round {
    /// kubectl's words.
    pub text: String,
    /// The new problems.
    pub problems: Vec<Problem>,
}

/// Why it is not known whether there is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// All requests were made.
    Budget,
    /// What refuses cannot be left out.
    NoWay,
}

/// What is known of a project in the end.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Whether the pod was accepted; `None` if the server could not be asked.
    pub accepted: Option<bool>,
    /// The pod as the server would store it, if it was accepted and asked for.
    pub pod: Option<Value>,
    /// Whether there is a pod of this name already.
    pub exists: bool,
    /// The refusals, first to last; the first is the answer to the pod as it is.
    pub rounds: Vec<Round>,
    /// The server's warnings.
    pub warnings: Vec<String>,
    /// How many requests were made.
    pub requests: usize,
    /// Why it is not known whether there is more.
    pub unfinished: Option<Unfinished>,
    /// Why the server could not be asked.
    pub error: Option<RequestError>,
}

impl Outcome {
    /// All problems, first to last.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.rounds.iter().flat_map(|round| &round.problems)
    }
}

/// Causes that were proved for projects before this one, to be tried first.
#[derive(Debug, Default)]
pub struct Memory {
    /// By a fault's key: license and operation.
    operations: HashMap<String, Vec<(String, usize)>>,
    /// Keys of faults that are there without any patch too, with who wrote the field.
    unpatched: HashSet<String>,
}

/// Asks about a project. Nothing is created.
pub async fn ask<S: Server>(server: &S, question: Question<'_>, memory: &RefCell<Memory>) -> Outcome {
    let mut inquiry = Inquiry {
        server,
        question,
        memory,
        asked: HashMap::new(),
        outcome: Outcome::default(),
        known: HashSet::new(),
        attempts: HashMap::new(),
    };
    match inquiry.run().await {
        Ok(()) => {}
        Err(Stop::Budget) => inquiry.outcome.unfinished = Some(Unfinished::Budget),
        Err(Stop::Error(error)) => {
            // What was proved before stays true, but whoever cannot be asked has no verdict.
            inquiry.outcome.accepted = None;
            inquiry.outcome.error = Some(*error);
        }
    }
    inquiry.outcome
}

/// Why no answer can be had.
pub(super) enum Stop {
    Budget,
    Error(Box<RequestError>),
}

/// What is left out and what is changed.
#[derive(Clone, Default, PartialEq)]
pub(super) struct State {
    pub(super) out: BTreeSet<Op>,
    edits: Vec<Change>,
}

/// A change of the pod that is sent.
#[derive(Clone, PartialEq)]
struct Change {
    path: Path,
    edit: Edit,
    /// The pod in which the path was found.
    from: Rc<Value>,
    /// Whose value it is a part of; without the operation there is nothing to change.
    of: Option<Op>,
    /// Whether the field is unknown: another one may have been meant.
    is_unknown_field: bool,
}

/// The pod of a [`State`].
pub(super) struct Made {
    /// Before changes.
    base: Rc<Value>,
    /// As it is sent.
    sent: Value,
    pub(super) partial: Partial,
    /// What was removed, with paths in `base`.
    removed: BTreeSet<Path>,
    /// The names of the volumes that were there before.
    gone: HashSet<String>,
}

/// What the server said.
pub(super) enum Answer {
    Accepted { pod: Option<Value>, exists: bool },
    Refused { status: Status, faults: Vec<Fault> },
}

/// What became of a fault in another answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Stays,
    Gone,
    /// An earlier layer refuses.
    Hidden,
}

impl Answer {
    /// Whether the policy denies, in whatever words.
    fn is_denied_by(&self, fault: &Fault) -> bool {
        let Self::Refused { faults, .. } = self else {
            return false;
        };
        fault.policy.is_some()
            && fault.violation.is_none()
            && faults.iter().any(|other| other.policy == fault.policy)
    }

    pub(super) fn standing(&self, fault: &Fault, before: usize) -> Standing {
        let Self::Refused { faults, .. } = self else {
            return Standing::Gone;
        };
        let count = faults.iter().filter(|other| other.key == fault.key).count();
        if count >= before.max(1) {
            Standing::Stays
        } else if count > 0 {
            Standing::Gone
        } else if faults.iter().map(|other| other.rank).min() < Some(fault.rank) {
            Standing::Hidden
        } else {
            Standing::Gone
        }
    }
}

/// Who may be at fault for a place.
#[derive(Clone, Debug)]
struct Suspect {
    /// In the pod before changes.
    path: Path,
    /// `None`: admission wrote it.
    step: Option<Stamp>,
    /// Who made the value, where an operation moved or copied it.
    origin: Option<Stamp>,
}

/// A fault with its suspects.
struct Case {
    fault: Fault,
    suspects: Vec<Suspect>,
    /// How often the same fault is told.
    count: usize,
    /// Whether the server tells several places in the same words, each of which is a case of its own.
    joint: bool,
    /// The operations that take part, or may do so.
    operations: BTreeSet<Op>,
    /// Whether the rules, or the kind of fault, leave no doubt about them.
    known: bool,
    /// The operations to leave out first.
    guess: BTreeSet<Op>,
    /// Whether a change may have made it.
    of_a_change: bool,
    verdict: Option<(Vec<Blame>, bool)>,
}

pub(super) struct Inquiry<'a, S> {
    server: &'a S,
    pub(super) question: Question<'a>,
    memory: &'a RefCell<Memory>,
    asked: HashMap<String, Rc<Answer>>,
    outcome: Outcome,
    /// Faults that were told: key and place.
    known: HashSet<(String, String)>,
    /// How often something harmless was put in the place of a fault.
    attempts: HashMap<(String, String), usize>,
}

impl<S: Server> Inquiry<'_, S> {
    async fn run(&mut self) -> Result<(), Stop> {
        let mut state = State::default();
        let Some(mut made) = self.make(&state) else {
            return Ok(());
        };
        let original = made.base.clone();
        let mut answer = self.ask(&made).await?;
        self.outcome.accepted = Some(matches!(*answer, Answer::Accepted { .. }));
        loop {
            match &*answer {
                Answer::Accepted { pod, exists } => {
                    if self.outcome.accepted == Some(true) {
                        self.outcome.exists = *exists;
                        self.outcome.pod.clone_from(pod);
                        if *exists && self.question.want_pod {
                            self.outcome.pod = self.pod_under_another_name(&made).await?;
                        }
                    }
                    return Ok(());
                }
                Answer::Refused { status, faults } => {
                    let text = status.kubectl_text();
                    let (problems, next) = self.attribute(&state, &made, faults, &original).await?;
                    if !problems.is_empty() {
                        self.outcome.rounds.push(Round { text, problems });
                    }
                    let Some(next) = next.filter(|next| *next != state) else {
                        // Behind the last layer nothing is hidden.
                        if self.outcome.unfinished.is_none() && faults.iter().any(|fault| fault.rank < 60) {
                            self.outcome.unfinished = Some(Unfinished::NoWay);
                        }
                        return Ok(());
                    };
                    state = next;
                }
            }
            let Some(next) = self.make(&state) else {
                return Ok(());
            };
            made = next;
            answer = self.ask(&made).await?;
        }
    }

    /// The pod with what a state leaves out and changes; `None` if it cannot be sent.
    pub(super) fn make(&self, state: &State) -> Option<Made> {
        self.make_without(state, None)
    }

    /// The same without the mounts of these volumes; by default of those that the state takes away: a mount goes with
    /// its volume, else it would be a fault that nobody made.
    fn make_without(&self, state: &State, gone: Option<&HashSet<String>>) -> Option<Made> {
        let rendered = self.question.rendered;
        let partial = rendered.without(&state.out);
        let base = partial.pod.to_value().ok()?;
        let mut sent = base.clone();
        let mut removed = BTreeSet::new();
        for change in &state.edits {
            if change.of.is_some_and(|op| partial.left_out.contains(&op)) {
                continue;
            }
            let Some(path) = locate(&change.from, &base, &change.path) else {
                continue;
            };
            match &change.edit {
                Edit::Remove => {
                    if get(&base, &path).is_some() {
                        removed.insert(path);
                    }
                }
                Edit::Set(value) => set(&mut sent, &path, value),
            }
        }
        let gone = match gone {
            Some(gone) => gone.clone(),
            None => {
                let volumes = volume_names(&sent, &removed);
                let before = rendered.pod.to_value().ok()?;
                let before = volume_names(&before, &BTreeSet::new());
                before.difference(&volumes).cloned().collect()
            }
        };
        for (path, name) in mounts(&sent) {
            if gone.contains(&name) {
                removed.insert(path);
            }
        }
        for path in removed.iter().rev() {
            remove(&mut sent, path);
        }
        Some(Made {
            base: Rc::new(base),
            sent,
            partial,
            removed,
            gone,
        })
    }

    pub(super) async fn ask(&mut self, made: &Made) -> Result<Rc<Answer>, Stop> {
        let text = made.sent.to_string();
        if let Some(answer) = self.asked.get(&text) {
            return Ok(answer.clone());
        }
        let Reply { value, warnings } = self.post(&made.sent).await?;
        let first = self.asked.is_empty();
        let answer = match value {
            Verdict::Accepted(pod) => Answer::Accepted {
                pod: Some(pod),
                exists: false,
            },
            Verdict::Refused(status) => match read(&status) {
                Refusal::Exists => Answer::Accepted {
                    pod: None,
                    exists: true,
                },
                Refusal::Unasked => {
                    return Err(Stop::Error(Box::new(RequestError::Status(Box::new(status)))));
                }
                Refusal::Faults(faults) => Answer::Refused { status, faults },
            },
        };
        if first {
            self.outcome.warnings = warnings;
        }
        let answer = Rc::new(answer);
        self.asked.insert(text, answer.clone());
        Ok(answer)
    }

    async fn post(&mut self, pod: &Value) -> Result<Reply<Verdict>, Stop> {
        if self.outcome.requests >= self.question.max_requests {
            return Err(Stop::Budget);
        }
        self.outcome.requests += 1;
        self.server
            .dry_run_pod(pod, self.question.validation)
            .await
            .map_err(|error| Stop::Error(Box::new(error)))
    }

    /// The server's answer to a pod that runs already: the name alone is in the way.
    async fn pod_under_another_name(&mut self, made: &Made) -> Result<Option<Value>, Stop> {
        let path = [PathPart::Name("metadata".into()), PathPart::Name("name".into())];
        let mut pod = made.sent.clone();
        let Some(name) = get(&pod, &path).and_then(Value::as_str).map(str::to_owned) else {
            return Ok(None);
        };
        set(&mut pod, &path, &Value::from(format!("{name}-dry-run")));
        match self.post(&pod).await?.value {
            Verdict::Accepted(mut pod) => {
                set(&mut pod, &path, &Value::from(name));
                Ok(Some(pod))
            }
            Verdict::Refused(status) => Err(Stop::Error(Box::new(RequestError::Status(Box::new(status))))),
        }
    }

    /// Finds out who is at fault for what an answer says. Gives the new problems, and what to ask next if there is
    /// a way behind this answer.
    async fn attribute(
        &mut self,
        state: &State,
        made: &Made,
        faults: &[Fault],
        original: &Rc<Value>,
    ) -> Result<(Vec<Problem>, Option<State>), Stop> {
        let mut cases = self.cases(state, made, faults);
        let mut next = state.clone();
        let result = self.prove(state, made, &mut cases, &mut next).await;
        let spent = matches!(result, Err(Stop::Budget));
        if let Err(Stop::Error(error)) = result {
            return Err(Stop::Error(error));
        }
        let mut problems: Vec<Problem> = Vec::new();
        for mut case in cases {
            let (mut blame, proved) = match case.verdict.take() {
                Some(verdict) => verdict,
                None if case.suspects.is_empty() && case.fault.policy.is_some() => (Vec::new(), false),
                None => (self.blame_suspects(made, &case.suspects, &case.fault), false),
            };
            let place = case
                .suspects
                .first()
                .map(|suspect| relocate(&made.base, original, &suspect.path));
            for blame in &mut blame {
                blame.at = blame.at.as_ref().map(|path| relocate(&made.base, original, path));
                blame.violations.extend(case.fault.violation.clone());
            }
            if proved {
                self.remember(&case.fault, &blame);
            }
            let told = (
                case.fault.key.clone(),
                place.as_deref().map(pointer).unwrap_or_default(),
            );
            if !self.known.insert(told) && case.verdict_is_old(&blame) {
                continue;
            }
            if case.of_a_change {
                continue;
            }
            if !self.merge(&case.fault, &blame, proved, &mut problems) {
                let at = blame
                    .first()
                    .and_then(|blame| blame.at.as_ref())
                    .or(place.as_ref());
                problems.push(Problem {
                    value: at.and_then(|path| get(original, path)).cloned(),
                    fault: case.fault,
                    blame,
                    proved,
                });
            }
        }
        if spent {
            self.outcome.unfinished = Some(Unfinished::Budget);
            return Ok((problems, None));
        }
        Ok((problems, Some(next)))
    }

    /// A policy that denies for another reason too is the same problem.
    fn merge(&mut self, fault: &Fault, blame: &[Blame], proved: bool, new: &mut [Problem]) -> bool {
        let mut all = self
            .outcome
            .rounds
            .iter_mut()
            .flat_map(|round| &mut round.problems)
            .chain(new);
        let Some(problem) =
            all.find(|problem| fault.policy.is_some() && problem.fault.policy == fault.policy)
        else {
            return false;
        };
        problem.proved &= proved;
        for blame in blame {
            let same = problem.blame.iter_mut().find(|other| other.party == blame.party);
            match same {
                Some(same) => {
                    let new = blame
                        .violations
                        .iter()
                        .filter(|text| !same.violations.contains(text));
                    let new: Vec<String> = new.cloned().collect();
                    same.violations.extend(new);
                }
                None => problem.blame.push(blame.clone()),
            }
        }
        // Operations, the later first, and then who is no operation.
        problem.blame.sort_by_key(|blame| match blame.party {
            Party::Writer(Writer::Operation { patch, operation }) => Some(Reverse((patch, operation))),
            _ => None,
        });
        problem
            .blame
            .sort_by_key(|blame| !matches!(blame.party, Party::Writer(Writer::Operation { .. })));
        true
    }

    fn remember(&self, fault: &Fault, blame: &[Blame]) {
        let operations: Vec<(String, usize)> = blame
            .iter()
            .filter_map(|blame| match blame.party {
                Party::Writer(Writer::Operation { patch, operation }) => {
                    let license = &self.question.rendered.patches.get(patch)?.license;
                    Some((license.clone(), operation))
                }
                _ => None,
            })
            .collect();
        let mut memory = self.memory.borrow_mut();
        if operations.is_empty() {
            memory.unpatched.insert(fault.key.clone());
        } else {
            memory.operations.insert(fault.key.clone(), operations);
        }
    }

    fn remembered(&self, fault: &Fault) -> BTreeSet<Op> {
        let memory = self.memory.borrow();
        let Some(operations) = memory.operations.get(&fault.key) else {
            return BTreeSet::new();
        };
        let patches = &self.question.rendered.patches;
        operations
            .iter()
            .filter_map(|(license, operation)| {
                let patch = patches.iter().position(|patch| patch.license == *license)?;
                (*operation < patches.get(patch)?.operations().len()).then_some((patch, *operation))
            })
            .collect()
    }

    fn cases(&self, state: &State, made: &Made, faults: &[Fault]) -> Vec<Case> {
        let findings = check_pod(&made.sent);
        let edits = &state.edits;
        let mut trials = Trials::new(
            self.question.rendered,
            Box::new(move |out| {
                let edits = edits.clone();
                let state = State {
                    out: out.clone(),
                    edits,
                };
                self.make_without(&state, Some(&made.gone)).map(|made| made.sent)
            }),
        );
        let volume_refused = faults.iter().any(|fault| {
            fault
                .field
                .as_deref()
                .is_some_and(|field| field.starts_with("spec.volumes["))
        });
        let volumes = volume_names(&made.sent, &BTreeSet::new());
        let is_consequence = |fault: &Fault| {
            let is_mount = fault.field.as_deref().is_some_and(|field| {
                (field.contains(".volumeMounts[") || field.contains(".volumeDevices["))
                    && field.ends_with("].name")
            });
            let name = fault
                .message
                .strip_prefix("Not found: ")
                .map(|name| name.trim_matches('"').to_owned());
            volume_refused && is_mount && name.is_some_and(|name| volumes.contains(&name))
        };
        let mut cases = Vec::new();
        for fault in faults.iter().filter(|fault| !is_consequence(fault)) {
            let found = places(fault, &made.sent, &findings);
            let count = faults.iter().filter(|other| other.key == fault.key).count();
            // The decoder stops at its first fault, and equal faults are told once: others of the same words hide
            // behind it.
            let each = match fault.kind {
                Kind::WrongType { .. } | Kind::Quantity | Kind::Undecodable => true,
                Kind::Field => found.iter().all(|place| {
                    place.others.is_empty() && findings.iter().any(|found| found.path == place.path)
                }),
                _ => false,
            };
            if each && found.len() > 1 {
                cases.extend(found.into_iter().map(|place| Case {
                    joint: true,
                    ..self.case(state, made, fault, &[place], &findings, &mut trials, 1)
                }));
            } else {
                cases.push(self.case(state, made, fault, &found, &findings, &mut trials, count));
            }
        }
        cases
    }

    #[expect(clippy::too_many_arguments, reason = "what is known of one fault")]
    fn case(
        &self,
        state: &State,
        made: &Made,
        fault: &Fault,
        found: &[Place],
        findings: &[PodFinding],
        trials: &mut Trials<'_>,
        count: usize,
    ) -> Case {
        let suspects = self.suspects(made, fault, found);
        let written: BTreeSet<Op> = suspects
            .iter()
            .flat_map(|suspect| [suspect.step, suspect.origin])
            .filter_map(|step| self.operation(step?))
            .collect();
        let rule_of = |place: &Place| {
            let mut errors = findings
                .iter()
                .filter(|found| found.finding.severity == Severity::Error);
            errors.find(|found| found.path == place.path)
        };
        let ruled: Option<Vec<&PodFinding>> = found.iter().map(rule_of).collect();
        // Of each place the operations without which the rules have nothing against it.
        let parties: Option<Vec<BTreeSet<Op>>> = ruled.filter(|ruled| !ruled.is_empty()).and_then(|ruled| {
            ruled
                .iter()
                .map(|finding| trials.parties(&state.out, finding))
                .collect()
        });
        let known_by_kind = matches!(fault.kind, Kind::Unknown | Kind::Priority | Kind::ServiceAccount)
            || matches!(&fault.kind, Kind::LimitRange(range) if !range.of_pod && !range.ratio);
        let mut known = true;
        let (operations, guess) = match parties {
            Some(parties) => {
                let mut guess: BTreeSet<Op> = parties
                    .iter()
                    .filter_map(|parties| parties.last())
                    .copied()
                    .collect();
                let operations: BTreeSet<Op> = parties.into_iter().flatten().collect();
                if !operations.is_empty() {
                    // Whoever only moved the value would have nothing to move.
                    guess.extend(written.difference(&operations));
                }
                (operations, guess)
            }
            None => {
                known = known_by_kind;
                let mut guess = written;
                if guess.is_empty() {
                    guess = self.remembered(fault);
                    guess.retain(|op| !made.partial.left_out.contains(op));
                }
                (guess.clone(), guess)
            }
        };
        let mut case = Case {
            fault: fault.clone(),
            suspects,
            count,
            joint: false,
            operations,
            known,
            guess,
            of_a_change: false,
            verdict: None,
        };
        case.of_a_change = case.is_of_a_change(state, &made.base);
        case
    }

    fn suspects(&self, made: &Made, fault: &Fault, found: &[Place]) -> Vec<Suspect> {
        let mut suspects: Vec<Suspect> = Vec::new();
        let leaves = made.partial.pod.leaves();
        let all = found
            .iter()
            .flat_map(|place| std::iter::once(&place.path).chain(&place.others));
        for path in all {
            if is_injected(path, &made.sent, fault) {
                let path = path.clone();
                let (step, origin) = (None, None);
                suspects.push(Suspect { path, step, origin });
                continue;
            }
            let path = before_removal(path, &made.removed);
            let step = step_of(&made.partial, &path);
            let mut leaves = leaves.iter().filter(|leaf| Some(leaf.by) == step);
            let moved = leaves.find(|leaf| leaf.path.starts_with(&path));
            let origin = moved
                .map(|leaf| leaf.origin)
                .filter(|origin| Some(*origin) != step);
            suspects.push(Suspect { path, step, origin });
        }
        if found.iter().any(|place| !place.others.is_empty()) {
            suspects.sort_by_key(|suspect| Reverse(suspect.step));
        }
        suspects
    }

    fn operation(&self, step: Stamp) -> Option<Op> {
        match self.question.rendered.writer(step) {
            Writer::Operation { patch, operation } => Some((patch, operation)),
            _ => None,
        }
    }

    pub(super) async fn ask_state(&mut self, state: &State) -> Result<Option<Rc<Answer>>, Stop> {
        match self.make(state) {
            Some(made) => Ok(Some(self.ask(&made).await?)),
            None => Ok(None),
        }
    }
}

impl Case {
    /// Whether it stands where something was changed, so that the change may have made it.
    fn is_of_a_change(&self, state: &State, base: &Value) -> bool {
        let Some(suspect) = self.suspects.first() else {
            return false;
        };
        let place = without_list(&suspect.path);
        state.edits.iter().any(|change| {
            let Some(edited) = locate(&change.from, base, &change.path) else {
                return false;
            };
            let edited = without_list(&edited);
            if change.is_unknown_field
                && self.fault.message.starts_with("Required value")
                && edited.split_last().map(|(_, parent)| parent)
                    == place.split_last().map(|(_, parent)| parent)
            {
                return true;
            }
            let same_author = change.of.is_some() || self.operations.is_empty();
            same_author && (place.starts_with(&edited) || edited.starts_with(&place))
        })
    }

    /// Whether it is the same thing once more: a field that no patch wrote and that is still refused.
    fn verdict_is_old(&self, blame: &[Blame]) -> bool {
        self.operations.is_empty()
            && !blame
                .iter()
                .any(|blame| matches!(blame.party, Party::Writer(Writer::Operation { .. })))
    }
}

/// Of a container's resources, request and limit as one.
fn without_list(path: &[PathPart]) -> Path {
    let is_list = |part: &PathPart| {
        *part == PathPart::Name("requests".into()) || *part == PathPart::Name("limits".into())
    };
    path.iter().filter(|part| !is_list(part)).cloned().collect()
}

/// Whether the namespace has too little left for a pod that by itself would be allowed.
fn used_up(fault: &Fault) -> bool {
    let Kind::Quota { resources } = &fault.kind else {
        return false;
    };
    resources
        .iter()
        .all(|(_, requested, limited)| !limited.is_empty() && !quantity_is_above(requested, limited))
}

/// Whether admission wrote it: an element that the request did not hold.
fn is_injected(path: &[PathPart], sent: &Value, fault: &Fault) -> bool {
    // Of a request and its limit a LimitRange's default may be one.
    if fault.message.contains("must be less than or equal to ") && get(sent, path).is_none() {
        return true;
    }
    (0..path.len()).any(|end| {
        let (Some(parent), Some(PathPart::Index(index))) = (path.get(..end), path.get(end)) else {
            return false;
        };
        let length = get(sent, parent).and_then(Value::as_array).map_or(0, Vec::len);
        *index >= length
    })
}

/// Who wrote or removed what is, or would be, at this place.
fn step_of(partial: &Partial, path: &[PathPart]) -> Option<Stamp> {
    let names = keys(path);
    if !partial.pod.exists(&names)
        && let Some(removal) = partial.removals.iter().rev().find(|removal| removal.path == path)
    {
        return Some(removal.stamp);
    }
    (0..=names.len())
        .rev()
        .find_map(|end| partial.pod.writer_of(names.get(..end)?))
}
