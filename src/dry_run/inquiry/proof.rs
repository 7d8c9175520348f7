//! Proof: operations are left out and the server is asked again.

use std::collections::BTreeSet;

use super::{Answer, Case, Inquiry, Made, Op, Standing, State, Stop, set_verdict};
use crate::{
    dry_run::{Server, fault::Kind, neutral::neutral},
    pipeline::provenance::pointer,
};

impl<S: Server> Inquiry<'_, S> {
    /// Leaves operations out and asks again, until it is clear for each case who is at fault.
    pub(super) async fn prove(
        &mut self,
        state: &State,
        made: &Made,
        cases: &mut [Case],
        next: &mut State,
    ) -> Result<(), Stop> {
        let guessed: BTreeSet<Op> = cases.iter().flat_map(|case| case.guess.iter().copied()).collect();
        if !guessed.is_empty() {
            let mut trial = state.clone();
            trial.out.extend(&guessed);
            // What is told in the same words has to go with it.
            for case in cases.iter().filter(|case| case.joint && case.guess.is_empty()) {
                self.add_edits(made, case, &mut trial);
            }
            if let Some(answer) = self.ask_state(&trial).await? {
                self.judge_trial(state, made, cases, &guessed, &trial, &answer, next)
                    .await?;
            }
        }
        let open: Vec<usize> = (0..cases.len())
            .filter(|at| cases.get(*at).is_some_and(|case| case.verdict.is_none()))
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        self.without_any_patch(state, made, cases, &open, next).await
    }

    #[expect(clippy::too_many_arguments, reason = "the states of one proof")]
    pub(super) async fn judge_trial(
        &mut self,
        state: &State,
        made: &Made,
        cases: &mut [Case],
        guessed: &BTreeSet<Op>,
        trial: &State,
        answer: &Answer,
        next: &mut State,
    ) -> Result<(), Stop> {
        for at in 0..cases.len() {
            let Some(case) = cases.get(at) else { continue };
            let standing = answer.standing(&case.fault, case.count);
            if standing == Standing::Hidden && case.exact && !case.guess.is_empty() {
                // Its field is gone, and what stands there instead is refused earlier.
                next.out.extend(&case.guess);
                let blame = self.blame_suspects(made, &case.suspects, &case.fault);
                set_verdict(cases, at, blame, false);
                continue;
            }
            if standing != Standing::Gone {
                continue;
            }
            if case.guess.is_empty() {
                if case.joint {
                    let blame = self.blame_suspects(made, &case.suspects, &case.fault);
                    next.edits.clone_from(&trial.edits);
                    set_verdict(cases, at, blame, true);
                } else if guessed.len() == 1 {
                    next.out.extend(guessed);
                    let blame = self.blame_operations(made, guessed, &case.suspects);
                    set_verdict(cases, at, blame, true);
                }
                continue;
            }
            // A guess that did not stand alone may owe its success to another one.
            let mut guess = case.guess.clone();
            let fault = case.fault.clone();
            let count = case.count;
            if !case.exact && guess.len() < guessed.len() {
                let mut alone = state.clone();
                alone.out.extend(&guess);
                let answer = self.ask_state(&alone).await?;
                if answer.is_none_or(|answer| answer.standing(&fault, count) != Standing::Gone) {
                    continue;
                }
            }
            let Some(case) = cases.get(at) else { continue };
            if !case.exact && guess.len() > 1 && !case.collides {
                for op in guess.clone() {
                    let mut without = state.clone();
                    without.out.extend(guess.iter().filter(|other| **other != op));
                    let answer = self.ask_state(&without).await?;
                    if answer.is_some_and(|answer| answer.standing(&fault, count) == Standing::Gone) {
                        guess.remove(&op);
                    }
                    if guess.len() == 1 {
                        break;
                    }
                }
            }
            let Some(case) = cases.get(at) else { continue };
            let is_sum = match &case.fault.kind {
                Kind::LimitRange(range) => range.of_pod || range.ratio,
                Kind::Quota { .. } => true,
                _ => false,
            };
            let mut blamed = guess.clone();
            if is_sum {
                // Of addends that are too much together each is at fault.
                for op in case.guess.difference(&guess).copied().collect::<Vec<Op>>() {
                    let mut without = state.clone();
                    without.out.insert(op);
                    let answer = self.ask_state(&without).await?;
                    if answer.is_some_and(|answer| answer.standing(&fault, count) == Standing::Gone) {
                        blamed.insert(op);
                    }
                }
            }
            let Some(case) = cases.get(at) else { continue };
            let collision = case.fault.message.starts_with("Duplicate value")
                || case.fault.message.ends_with("must be unique");
            let mut blame = if collision {
                self.blame_suspects(made, &case.suspects, &case.fault)
            } else {
                self.blame_operations(made, &blamed, &case.suspects)
            };
            if case.collides && !collision {
                // Of a request and its limit both writers may be needed.
                let others: BTreeSet<Op> = case
                    .suspects
                    .iter()
                    .filter_map(|suspect| self.operation(suspect.step?))
                    .filter(|op| !guess.contains(op))
                    .collect();
                if !others.is_empty() {
                    let mut without = state.clone();
                    without.out.extend(&others);
                    let suspects = case.suspects.clone();
                    let answer = self.ask_state(&without).await?;
                    if answer.is_some_and(|answer| answer.standing(&fault, count) == Standing::Gone) {
                        blame.extend(self.blame_operations(made, &others, &suspects));
                    }
                }
            }
            next.out.extend(&guess);
            set_verdict(cases, at, blame, true);
        }
        Ok(())
    }

    /// What is refused without any patch too is nobody's patch's fault; the rest is searched for.
    pub(super) async fn without_any_patch(
        &mut self,
        state: &State,
        made: &Made,
        cases: &mut [Case],
        open: &[usize],
        next: &mut State,
    ) -> Result<(), Stop> {
        let all: BTreeSet<Op> = self.question.rendered.operations().collect();
        let in_play = all.difference(&made.partial.left_out).count();
        let unpatched = State {
            out: all,
            edits: state.edits.clone(),
        };
        for at in open {
            let Some(case) = cases.get(*at) else { continue };
            let remembered = case.exact
                && case.guess.is_empty()
                && self.memory.borrow().unpatched.contains(&case.fault.key);
            if in_play == 0 || remembered {
                let blame = self.blame_suspects(made, &case.suspects, &case.fault);
                self.add_edits(made, case, next);
                set_verdict(cases, *at, blame, true);
                continue;
            }
            let fault = case.fault.clone();
            let Some(bare) = self.make(&unpatched) else {
                continue;
            };
            let answer = self.ask(&bare).await?;
            match answer.standing(&fault, case.count) {
                Standing::Stays => {
                    let blame = if case.guess.is_empty() {
                        self.blame_suspects(made, &case.suspects, &fault)
                    } else {
                        self.blame_in_unpatched(made, &bare, &answer, &fault)
                    };
                    self.add_edits(made, case, next);
                    set_verdict(cases, *at, blame, true);
                }
                Standing::Gone => {
                    let count = case.count;
                    let guilty = self.search(state, &fault, count).await?;
                    let Some(case) = cases.get(*at) else { continue };
                    let blame = self.blame_operations(made, &guilty, &case.suspects);
                    next.out.extend(guilty.last());
                    set_verdict(cases, *at, blame, true);
                }
                Standing::Hidden => {
                    let blame = self.blame_suspects(made, &case.suspects, &case.fault);
                    next.out.extend(&case.guess);
                    self.add_edits(made, case, next);
                    set_verdict(cases, *at, blame, false);
                }
            }
        }
        Ok(())
    }

    /// Puts something harmless in the place of what no patch wrote. A policy or a quota denies the pod as a whole:
    /// what would please it is not known.
    pub(super) fn add_edits(&mut self, made: &Made, case: &Case, next: &mut State) {
        if case.fault.rank >= 40 {
            return;
        }
        for suspect in case.suspects.iter().take(1) {
            let told = (case.fault.key.clone(), pointer(&suspect.path));
            let attempt = self.attempts.entry(told).or_default();
            let edits = neutral(&case.fault, &suspect.path, &made.base, *attempt);
            *attempt += 1;
            for (path, edit) in edits {
                next.edits.push((path, edit, made.base.clone()));
            }
        }
    }
}
