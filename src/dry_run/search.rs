//! Searching for the operations without which a refusal is gone, where the server names no field.

use std::collections::BTreeSet;

use super::{
    Server,
    fault::Fault,
    inquiry::{Inquiry, Op, Standing, State, Stop},
};

/// With more operations than this the support of an operation is not looked for.
const MOST: usize = 256;

impl<S: Server> Inquiry<'_, S> {
    /// A smallest set of operations with which alone the fault is there. All of `state`'s have it, none have not.
    ///
    /// The shortest beginning of the patches that is refused ends with a guilty operation; then the shortest
    /// beginning that is refused together with it, and so on, each in as many requests as halving takes.
    pub(super) async fn search(
        &mut self,
        state: &State,
        fault: &Fault,
        count: usize,
    ) -> Result<BTreeSet<Op>, Stop> {
        let rendered = self.question.rendered;
        let in_play: Vec<Op> = rendered
            .operations()
            .filter(|op| !state.out.contains(op))
            .collect();
        let mut guilty: BTreeSet<Op> = BTreeSet::new();
        let mut end = in_play.len();
        while end > 0 {
            let (mut good, mut bad) = (0, end);
            while bad - good > 1 {
                let middle = usize::midpoint(good, bad);
                let mut kept: BTreeSet<Op> = in_play.iter().take(middle).copied().collect();
                kept.extend(&guilty);
                if self.is_refused(state, &in_play, &kept, fault, count).await? {
                    bad = middle;
                } else {
                    good = middle;
                }
            }
            end = bad - 1;
            guilty.extend(in_play.get(end));
            if end == 0 {
                break;
            }
            let kept = self.with_support(state, &in_play, &guilty);
            if self.is_refused(state, &in_play, &kept, fault, count).await? {
                break;
            }
        }
        Ok(guilty)
    }

    async fn is_refused(
        &mut self,
        state: &State,
        in_play: &[Op],
        kept: &BTreeSet<Op>,
        fault: &Fault,
        count: usize,
    ) -> Result<bool, Stop> {
        let mut state = state.clone();
        state.out.extend(in_play.iter().filter(|op| !kept.contains(op)));
        let answer = self.ask_state(&state).await?;
        Ok(answer.is_some_and(|answer| answer.standing(fault, count) == Standing::Stays))
    }

    /// The guilty and the fewest others without which they cannot be applied.
    fn with_support(&self, state: &State, in_play: &[Op], guilty: &BTreeSet<Op>) -> BTreeSet<Op> {
        let last = guilty.last().copied();
        let mut kept: BTreeSet<Op> = in_play.iter().copied().filter(|op| Some(*op) <= last).collect();
        if kept.len() > MOST {
            return kept;
        }
        let applies = |kept: &BTreeSet<Op>| {
            let mut out = state.out.clone();
            out.extend(in_play.iter().filter(|op| !kept.contains(op)));
            let left_out = self.question.rendered.without(&out).left_out;
            guilty.is_disjoint(&left_out)
        };
        if applies(guilty) {
            return guilty.clone();
        }
        for op in in_play.iter().rev().filter(|op| !guilty.contains(op)) {
            if kept.remove(op) && !applies(&kept) {
                kept.insert(*op);
            }
        }
        kept
    }
}
