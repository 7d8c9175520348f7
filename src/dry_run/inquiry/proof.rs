//! Proof: something harmless is put in the place of a fault, or operations are left out, and the server is asked again.

use std::collections::BTreeSet;

use super::{Answer, Case, Change, Inquiry, Made, Standing, State, Stop};
use crate::{
    cluster::Verdict,
    dry_run::{
        Server,
        fault::{Fault, Kind, Refusal, read},
        neutral::neutral,
    },
    pipeline::{
        provenance::pointer,
        search::{Op, Search},
    },
};

/// What may make a fault go away.
enum Cure {
    Changes(Vec<Change>),
    Out(BTreeSet<Op>),
}

impl State {
    fn cured(&mut self, cure: &Cure) {
        match cure {
            Cure::Changes(changes) => {
                let new = changes.iter().filter(|change| !self.edits.contains(change));
                let new: Vec<Change> = new.cloned().collect();
                self.edits.extend(new);
            }
            Cure::Out(operations) => self.out.extend(operations),
        }
    }

    fn without(&self, operations: impl IntoIterator<Item = Op>) -> Self {
        let mut state = self.clone();
        state.out.extend(operations);
        state
    }
}

impl<S: Server> Inquiry<'_, S> {
    /// Asks again until it is clear for each case who is at fault.
    pub(super) async fn prove(
        &mut self,
        state: &State,
        made: &Made,
        cases: &mut [Case],
        next: &mut State,
    ) -> Result<(), Stop> {
        // A part of an operation's value first; the operation as a whole where that is no help.
        for may_change in [true, false] {
            let cures: Vec<Option<Cure>> = cases
                .iter()
                .map(|case| self.cure(made, case, may_change))
                .collect();
            let mut trial = next.clone();
            for cure in cures.iter().flatten() {
                trial.cured(cure);
            }
            if trial == *next {
                continue;
            }
            if let Some(answer) = self.ask_state(&trial).await? {
                self.judge_trial(state, made, cases, &cures, &trial, &answer, next)
                    .await?;
            }
            let changed = |(case, cure): (&Case, &Option<Cure>)| {
                case.verdict.is_none()
                    && !case.operations.is_empty()
                    && matches!(cure, Some(Cure::Changes(_)))
            };
            if !cases.iter().zip(&cures).any(changed) {
                break;
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

    /// What to try first.
    fn cure(&mut self, made: &Made, case: &Case, may_change: bool) -> Option<Cure> {
        if case.verdict.is_some() {
            return None;
        }
        if case.operations.is_empty() {
            // What is told in the same words has to go with the others.
            return case.joint.then(|| Cure::Changes(self.changes(made, case)));
        }
        let changes = if may_change {
            self.part_at_fault(made, case)
        } else {
            None
        };
        Some(changes.map_or_else(|| Cure::Out(case.guess.clone()), Cure::Changes))
    }

    /// Changes within the value of the operation at fault, so that all else that is wrong with it is told too.
    fn part_at_fault(&self, made: &Made, case: &Case) -> Option<Vec<Change>> {
        let suspect = case.suspects.first()?;
        let of = self.operation(suspect.step?)?;
        let several = case.guess.len() > 1 || (case.count > 1 && case.suspects.len() > 1);
        if !case.known
            || case.of_a_change
            || several
            || case.fault.rank >= 40
            || !case.operations.contains(&of)
        {
            return None;
        }
        let below = self.in_value(made, suspect.step?, &suspect.path)?.len();
        let value = suspect.path.len().checked_sub(below)?;
        let edits = neutral(&case.fault, &suspect.path, &made.base, 0);
        let is_part = |path: &Vec<_>| path.len() > value && path.get(..value) == suspect.path.get(..value);
        if edits.is_empty() || !edits.iter().all(|(path, _)| is_part(path)) {
            return None;
        }
        let change = |(path, edit)| Change {
            path,
            edit,
            from: made.base.clone(),
            of: Some(of),
            is_unknown_field: case.fault.kind == Kind::Unknown,
        };
        Some(edits.into_iter().map(change).collect())
    }

    #[expect(clippy::too_many_arguments, reason = "the states of one proof")]
    async fn judge_trial(
        &mut self,
        state: &State,
        made: &Made,
        cases: &mut [Case],
        cures: &[Option<Cure>],
        trial: &State,
        answer: &Answer,
        next: &mut State,
    ) -> Result<(), Stop> {
        let left_out: BTreeSet<Op> = trial.out.difference(&state.out).copied().collect();
        for (case, cure) in cases.iter_mut().zip(cures) {
            let standing = answer.standing(&case.fault, case.count);
            let blame = match (standing, cure) {
                // With another one it went.
                (Standing::Gone, None) if case.verdict.is_none() && left_out.len() == 1 => {
                    next.out.extend(&left_out);
                    self.blame_operations(made, &left_out, case)
                }
                (Standing::Gone, Some(cure)) if case.operations.is_empty() => {
                    next.cured(cure);
                    self.blame_suspects(made, &case.suspects, &case.fault)
                }
                (Standing::Gone, Some(cure)) if case.known => {
                    next.cured(cure);
                    self.blame_operations(made, &case.operations, case)
                }
                (Standing::Gone, Some(_)) => {
                    let Some(parties) = self.parties(state, case, trial).await? else {
                        continue;
                    };
                    next.out.extend(parties.last());
                    self.blame_operations(made, &parties, case)
                }
                (Standing::Hidden, Some(Cure::Out(guess))) if case.known => {
                    // Its field is gone, and what stands there instead is refused earlier.
                    next.out.extend(guess);
                    case.verdict = Some((self.blame_operations(made, &case.operations, case), false));
                    continue;
                }
                _ => continue,
            };
            case.verdict = Some((blame, true));
        }
        Ok(())
    }

    /// Which of the operations that may take part do so: without each of them the fault is gone. `None` if it is not
    /// gone without all of them.
    async fn parties(
        &mut self,
        state: &State,
        case: &Case,
        trial: &State,
    ) -> Result<Option<BTreeSet<Op>>, Stop> {
        let guess = &case.guess;
        let alone = state.without(guess.iter().copied());
        if alone != *trial && !self.is_gone(&alone, case).await? {
            return Ok(None);
        }
        if guess.len() == 1 {
            let rendered = self.question.rendered;
            let kept = rendered.with_support(&state.out, guess);
            let others = rendered.operations().filter(|op| !kept.contains(op));
            let lonely = state.without(others);
            // Where the places say all there is to say, or nobody else is there.
            let complete = !matches!(case.fault.kind, Kind::Field | Kind::RuntimeClass | Kind::Other);
            if complete || lonely == *state || !self.is_gone(&lonely, case).await? {
                return Ok(Some(guess.clone()));
            }
            return Ok(Some(self.search(state, &case.fault, case.count).await?));
        }
        let mut parties = BTreeSet::new();
        for op in guess {
            if self.is_gone(&state.without([*op]), case).await? {
                parties.insert(*op);
            }
        }
        if parties.is_empty() {
            // Each is enough by itself.
            parties.clone_from(guess);
            for op in guess {
                let rest = parties.iter().copied().filter(|other| other != op);
                if parties.len() > 1 && self.is_gone(&state.without(rest), case).await? {
                    parties.remove(op);
                }
            }
        }
        Ok(Some(parties))
    }

    async fn is_gone(&mut self, state: &State, case: &Case) -> Result<bool, Stop> {
        let answer = self.ask_state(state).await?;
        Ok(answer.is_some_and(|answer| answer.standing(&case.fault, case.count) == Standing::Gone))
    }

    /// What is refused without any patch too is not caused by a patch; the rest is searched for.
    async fn without_any_patch(
        &mut self,
        state: &State,
        made: &Made,
        cases: &mut [Case],
        open: &[usize],
        next: &mut State,
    ) -> Result<(), Stop> {
        let all: BTreeSet<Op> = self.question.rendered.operations().collect();
        let in_play = all.difference(&made.partial.left_out).count();
        let unpatched = state.without(all);
        for at in open {
            let Some(case) = cases.get_mut(*at) else { continue };
            let remembered = case.known
                && case.operations.is_empty()
                && self.memory.borrow().unpatched.contains(&case.fault.key);
            if in_play == 0 || remembered {
                let blame = self.blame_suspects(made, &case.suspects, &case.fault);
                next.edits.extend(self.changes(made, case));
                case.verdict = Some((blame, true));
                continue;
            }
            let Some(bare) = self.make(&unpatched) else {
                continue;
            };
            let answer = self.ask(&bare).await?;
            let mut standing = answer.standing(&case.fault, case.count);
            if standing == Standing::Gone
                && answer.is_denied_by(&case.fault)
                && !self.is_repeated(made, &case.fault).await?
            {
                standing = Standing::Stays;
            }
            let (blame, proved) = match standing {
                Standing::Stays => {
                    next.edits.extend(self.changes(made, case));
                    let blame = if case.operations.is_empty() {
                        self.blame_suspects(made, &case.suspects, &case.fault)
                    } else {
                        self.blame_in_unpatched(made, &bare, &answer, &case.fault)
                    };
                    (blame, true)
                }
                Standing::Gone => {
                    let parties = self.search(state, &case.fault, case.count).await?;
                    next.out.extend(parties.last());
                    (self.blame_operations(made, &parties, case), true)
                }
                Standing::Hidden => {
                    next.out.extend(&case.guess);
                    next.edits.extend(self.changes(made, case));
                    (self.blame_suspects(made, &case.suspects, &case.fault), false)
                }
            };
            case.verdict = Some((blame, proved));
        }
        Ok(())
    }

    /// Whether the server says the same of the same pod once more. A webhook may tell the time.
    async fn is_repeated(&mut self, made: &Made, fault: &Fault) -> Result<bool, Stop> {
        let Verdict::Refused(status) = self.post(&made.sent).await?.value else {
            return Ok(false);
        };
        Ok(match read(&status) {
            Refusal::Faults(faults) => faults.iter().any(|other| other.key == fault.key),
            _ => false,
        })
    }

    /// A smallest set of operations with which alone the fault is there.
    async fn search(&mut self, state: &State, fault: &Fault, count: usize) -> Result<BTreeSet<Op>, Stop> {
        let mut search = Search::new(self.question.rendered, &state.out);
        while let Some(out) = search.question() {
            let answer = self.ask_state(&state.without(out)).await?;
            search.answer(answer.is_some_and(|answer| answer.standing(fault, count) == Standing::Stays));
        }
        Ok(search.found())
    }

    /// Something harmless for the place of what no patch wrote. A policy or a quota denies the pod as a whole: what
    /// would please it is not known.
    fn changes(&mut self, made: &Made, case: &Case) -> Vec<Change> {
        let Some(suspect) = case.suspects.first().filter(|_| case.fault.rank < 40) else {
            return Vec::new();
        };
        let told = (case.fault.key.clone(), pointer(&suspect.path));
        let attempt = self.attempts.entry(told).or_default();
        let edits = neutral(&case.fault, &suspect.path, &made.base, *attempt);
        *attempt += 1;
        let change = |(path, edit)| Change {
            path,
            edit,
            from: made.base.clone(),
            of: None,
            is_unknown_field: case.fault.kind == Kind::Unknown,
        };
        edits.into_iter().map(change).collect()
    }
}
