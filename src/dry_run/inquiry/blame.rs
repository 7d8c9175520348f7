//! Who is to blame for a place: provenance, as entries of blame.

use std::collections::BTreeSet;

use super::{Answer, Blame, Case, Inquiry, Made, Party, Suspect, used_up};
use crate::{
    check::pod::check_pod,
    dry_run::{
        Server,
        fault::{Fault, Kind},
        path::{Path, relocate},
        places::places,
    },
    json_patch::{PathPart, Stamp},
    pipeline::{
        provenance::{FIRST_OPERATION, Writer, keys},
        search::Op,
    },
};

impl<S: Server> Inquiry<'_, S> {
    /// Who wrote the field at fault where it is refused without any patch too.
    pub(super) fn blame_in_unpatched(
        &self,
        made: &Made,
        bare: &Made,
        answer: &Answer,
        fault: &Fault,
    ) -> Vec<Blame> {
        let same = match answer {
            Answer::Refused { faults, .. } => faults.iter().find(|other| other.key == fault.key),
            Answer::Accepted { .. } => None,
        };
        let same = same.unwrap_or(fault);
        let found = places(same, &bare.sent, &check_pod(&bare.sent));
        let mut blame = self.blame_suspects(bare, &self.suspects(bare, same, &found), same);
        for blame in &mut blame {
            blame.at = blame
                .at
                .as_ref()
                .map(|path| relocate(&bare.base, &made.base, path));
        }
        blame
    }

    /// The writers of all suspected places, in their order, each once; the template where no place is known.
    pub(super) fn blame_suspects(&self, made: &Made, suspects: &[Suspect], fault: &Fault) -> Vec<Blame> {
        let mut all: Vec<Blame> = Vec::new();
        let mut add = |blame: Blame| {
            if !all.iter().any(|other| other.party == blame.party) {
                all.push(blame);
            }
        };
        if used_up(fault) {
            return vec![Blame::of(Party::Cluster, None)];
        }
        for suspect in suspects {
            add(match suspect.step {
                Some(step) => self.blame(made, step, &suspect.path),
                None => Blame::of(Party::Injected, Some(suspect.path.clone())),
            });
        }
        if all.is_empty() {
            all.push(match fault.kind {
                Kind::ServiceAccount | Kind::Quota { .. } => Blame::of(Party::Cluster, None),
                _ => Blame::of(Party::Writer(Writer::Template), Some(Path::new())),
            });
        }
        all
    }

    pub(super) fn blame(&self, made: &Made, step: Stamp, path: &[PathPart]) -> Blame {
        Blame {
            in_value: self.in_value(made, step, path),
            ..Blame::of(
                Party::Writer(self.question.rendered.writer(step)),
                Some(path.to_vec()),
            )
        }
    }

    /// What of a path lies below the value that an operation wrote.
    pub(super) fn in_value(&self, made: &Made, step: Stamp, path: &[PathPart]) -> Option<Path> {
        if step < FIRST_OPERATION {
            return None;
        }
        let names = keys(path);
        let writer = |end: usize| names.get(..end).and_then(|path| made.partial.pod.writer_of(path));
        let root = (0..=path.len()).find(|end| writer(*end) == Some(step))?;
        Some(path.get(root..)?.to_vec())
    }

    /// The same for operations that were proved to take part, the later first. What they miss is at the first place.
    pub(super) fn blame_operations(&self, made: &Made, operations: &BTreeSet<Op>, case: &Case) -> Vec<Blame> {
        let suspects = &case.suspects;
        let of = |(patch, operation): &Op| {
            let wrote = |suspect: &&Suspect| {
                suspect.step.and_then(|step| self.operation(step)) == Some((*patch, *operation))
            };
            let found = suspects.iter().find(wrote);
            let found = found.and_then(|suspect| Some(self.blame(made, suspect.step?, &suspect.path)));
            found.unwrap_or_else(|| {
                Blame::of(
                    Party::Writer(Writer::Operation {
                        patch: *patch,
                        operation: *operation,
                    }),
                    suspects.first().map(|suspect| suspect.path.clone()),
                )
            })
        };
        let mut blame: Vec<Blame> = operations.iter().rev().map(of).collect();
        if case.fault.is_collision() {
            let others = self.blame_suspects(made, suspects, &case.fault);
            let is_operation = |blame: &Blame| matches!(blame.party, Party::Writer(Writer::Operation { .. }));
            blame.extend(others.into_iter().filter(|blame| !is_operation(blame)));
        }
        blame
    }
}

impl Blame {
    fn of(party: Party, at: Option<Path>) -> Self {
        Self {
            party,
            at,
            in_value: None,
            violations: Vec::new(),
        }
    }
}
