//! A search for the operations that take part in a problem.

use std::collections::BTreeSet;

use super::Rendered;

/// An operation: index of its patch and of the operation in it.
pub type Op = (usize, usize);

/// With more operations than this the support of an operation is not looked for.
const MOST: usize = 256;

/// Finds a smallest set of operations with which alone a problem is there, one question at a time: is it there
/// without these operations? The problem must be there with all operations and gone without any.
///
/// The shortest beginning of the patches that has the problem ends with an operation that takes part; then the
/// shortest beginning that has it together with that one, and so on, each in as many questions as halving takes.
/// Whoever asks may be the API server or the offline rules.
pub struct Search<'a> {
    rendered: &'a Rendered,
    /// What is left out anyway.
    out: &'a BTreeSet<Op>,
    in_play: Vec<Op>,
    found: BTreeSet<Op>,
    phase: Phase,
}

#[derive(Clone, Copy)]
enum Phase {
    /// The beginning of length `good` lacks the problem, that of length `bad` has it.
    Halving {
        good: usize,
        bad: usize,
    },
    /// Whether those found suffice; if not, the next one is before `end`.
    Checking {
        end: usize,
    },
    Done,
}

impl<'a> Search<'a> {
    /// A search among the operations that are not left out.
    pub fn new(rendered: &'a Rendered, out: &'a BTreeSet<Op>) -> Self {
        let in_play: Vec<Op> = rendered.operations().filter(|op| !out.contains(op)).collect();
        let phase = match in_play.len() {
            0 => Phase::Done,
            bad => Phase::Halving { good: 0, bad },
        };
        Self {
            rendered,
            out,
            in_play,
            found: BTreeSet::new(),
            phase,
        }
    }

    /// All that is to be left out for the next question; `None` if the search is over.
    pub fn question(&mut self) -> Option<BTreeSet<Op>> {
        loop {
            match self.phase {
                Phase::Halving { good, bad } if bad - good > 1 => {
                    let beginning = self.in_play.iter().take(usize::midpoint(good, bad));
                    let kept = beginning.chain(&self.found).copied().collect();
                    return Some(self.all_but(&kept));
                }
                Phase::Halving { bad, .. } => {
                    self.found.extend(self.in_play.get(bad - 1));
                    self.phase = match bad - 1 {
                        0 => Phase::Done,
                        end => Phase::Checking { end },
                    };
                }
                Phase::Checking { .. } => {
                    let kept = self.rendered.with_support(self.out, &self.found);
                    return Some(self.all_but(&kept));
                }
                Phase::Done => return None,
            }
        }
    }

    /// The answer to the last question: whether the problem is there.
    pub fn answer(&mut self, there: bool) {
        self.phase = match self.phase {
            Phase::Halving { good, bad } => {
                let middle = usize::midpoint(good, bad);
                if there {
                    Phase::Halving { good, bad: middle }
                } else {
                    Phase::Halving { good: middle, bad }
                }
            }
            Phase::Checking { end } if !there => Phase::Halving { good: 0, bad: end },
            Phase::Checking { .. } | Phase::Done => Phase::Done,
        };
    }

    /// The operations that were found.
    pub fn found(self) -> BTreeSet<Op> {
        self.found
    }

    fn all_but(&self, kept: &BTreeSet<Op>) -> BTreeSet<Op> {
        let others = self.in_play.iter().filter(|op| !kept.contains(op));
        others.chain(self.out).copied().collect()
    }
}

impl Rendered {
    /// These operations and the fewest others without which CoCalc cannot apply them.
    pub fn with_support(&self, out: &BTreeSet<Op>, wanted: &BTreeSet<Op>) -> BTreeSet<Op> {
        let last = wanted.last().copied();
        let in_play: Vec<Op> = self.operations().filter(|op| !out.contains(op)).collect();
        let applies = |kept: &BTreeSet<Op>| {
            let others = in_play.iter().filter(|op| !kept.contains(op));
            let left_out = self.without(&others.chain(out).copied().collect()).left_out;
            wanted.is_disjoint(&left_out)
        };
        if applies(wanted) {
            return wanted.clone();
        }
        let mut kept: BTreeSet<Op> = in_play.iter().copied().filter(|op| Some(*op) <= last).collect();
        if kept.len() > MOST {
            return kept;
        }
        for op in in_play.iter().rev().filter(|op| !wanted.contains(op)) {
            if kept.remove(op) && !applies(&kept) {
                kept.insert(*op);
            }
        }
        kept
    }
}
