//! Who is to blame for a place: provenance, as entries of blame.

use std::collections::BTreeSet;

use super::{Answer, Blame, Inquiry, Made, Op, Party, Suspect, used_up};
use crate::{
    check::pod::check_pod,
    dry_run::{
        Server,
        fault::{Fault, Kind},
        path::{Path, relocate},
        places::places,
    },
    json_patch::{PathPart, Stamp},
    pipeline::provenance::{FIRST_OPERATION, Writer, keys},
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
        let findings = check_pod(&bare.sent);
        let case = self.case(bare, same, &places(same, &bare.sent, &findings), &findings, 1);
        let mut blame = self.blame_suspects(bare, &case.suspects, same);
        for blame in &mut blame {
            blame.at = blame
                .at
                .as_ref()
                .map(|path| relocate(&bare.base, &made.base, path));
        }
        blame
    }

    /// The writers of all suspected places, in their order, each once.
    pub(super) fn blame_suspects(&self, made: &Made, suspects: &[Suspect], fault: &Fault) -> Vec<Blame> {
        let mut all: Vec<Blame> = Vec::new();
        let mut add = |blame: Blame| {
            if !all.iter().any(|other| other.party == blame.party) {
                all.push(blame);
            }
        };
        if used_up(fault) {
            return vec![Blame {
                party: Party::Cluster,
                at: None,
                in_value: None,
            }];
        }
        for suspect in suspects {
            let Some(step) = suspect.step else {
                add(Blame {
                    party: Party::Injected,
                    at: Some(suspect.path.clone()),
                    in_value: None,
                });
                continue;
            };
            for step in std::iter::once(step).chain(suspect.origin) {
                add(self.blame(made, step, &suspect.path));
            }
        }
        if all.is_empty() && !matches!(fault.kind, Kind::Policy | Kind::PodSecurity) {
            let party = match fault.kind {
                Kind::ServiceAccount | Kind::Quota { .. } => Party::Cluster,
                _ => Party::Writer(Writer::Template),
            };
            let at = matches!(party, Party::Writer(_)).then(Path::new);
            all.push(Blame {
                party,
                at,
                in_value: None,
            });
        }
        all
    }

    pub(super) fn blame(&self, made: &Made, step: Stamp, path: &[PathPart]) -> Blame {
        let in_value = (step >= FIRST_OPERATION)
            .then(|| {
                let names = keys(path);
                let writer = |end: usize| names.get(..end).and_then(|path| made.partial.pod.writer_of(path));
                let root = (0..=path.len()).find(|end| writer(*end) == Some(step))?;
                Some(path.get(root..)?.to_vec())
            })
            .flatten();
        Blame {
            party: Party::Writer(self.question.rendered.writer(step)),
            at: Some(path.to_vec()),
            in_value,
        }
    }

    /// The same for operations that were proved guilty, the later first.
    pub(super) fn blame_operations(
        &self,
        made: &Made,
        operations: &BTreeSet<Op>,
        suspects: &[Suspect],
    ) -> Vec<Blame> {
        let of = |op: &Op| {
            let step = |step: &Stamp| self.operation(*step) == Some(*op);
            let suspect = suspects
                .iter()
                .find(|suspect| suspect.step.as_ref().is_some_and(step))
                .or_else(|| {
                    suspects
                        .iter()
                        .find(|suspect| suspect.origin.as_ref().is_some_and(step))
                });
            let found = suspect.and_then(|suspect| {
                let step = [suspect.step, suspect.origin].into_iter().flatten().find(step)?;
                Some(self.blame(made, step, &suspect.path))
            });
            found.unwrap_or(Blame {
                party: Party::Writer(Writer::Operation {
                    patch: op.0,
                    operation: op.1,
                }),
                at: None,
                in_value: None,
            })
        };
        let mut blame: Vec<Blame> = operations.iter().rev().map(of).collect();
        // A value that an operation moved or copied has a maker too.
        for suspect in suspects {
            let by = suspect.step.and_then(|step| self.operation(step));
            if let (Some(by), Some(origin)) = (by, suspect.origin)
                && operations.contains(&by)
            {
                let origin = self.blame(made, origin, &suspect.path);
                if !blame.iter().any(|other| other.party == origin.party) {
                    blame.push(origin);
                }
            }
        }
        blame
    }
}
