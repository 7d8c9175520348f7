//! The edit of a pod as the new text of one of its licenses.
//!
//! A license's patch is for the pod as it is when its turn comes: after the patches of the licenses before it, before
//! those of the licenses after it. Who edits sees the pod that all of them make.

use serde_json::Value;

use crate::{
    check::Severity,
    json::{js_numbers, with_js_numbers},
    json_patch::{Document, Operation, Options, Stamp, apply},
    pipeline::{Patch, Rendered},
};

use super::{Made, MakeError, Note, Request, make, rebase::rebase};

/// The pod as the patches of the licenses make it, step by step.
pub struct LicenseEdit<'a> {
    /// Before the license's turn.
    before: Value,
    /// After it.
    with: Value,
    /// In the end: what is edited.
    pod: Value,
    /// What the licenses behind it do.
    later: Vec<&'a Operation>,
    /// The license's own operations that cannot be applied: the index of the first, and why.
    broken: Option<(usize, String)>,
}

impl<'a> LicenseEdit<'a> {
    /// Of a rendered pod, whether the license has a patch in it or not.
    ///
    /// # Errors
    /// If the patch of another license cannot be applied, or a pod cannot be sent: the sentence says why.
    pub fn new(rendered: &'a Rendered, license: &str) -> Result<Self, String> {
        // CoCalc applies patches in the order of the licenses' ids.
        let is_before = |patch: &&Patch| patch.license.as_str() < license;
        let first = rendered.patches.iter().take_while(is_before).count();
        let (earlier, rest) = rendered.patches.split_at(first);
        let has_own = rest.first().is_some_and(|patch| patch.license == license);
        let (own, later) = rest.split_at(usize::from(has_own));
        let operations = |patches: &'a [Patch]| patches.iter().flat_map(Patch::operations).collect();
        let (earlier, own, later): (Vec<_>, Vec<_>, Vec<_>) =
            (operations(earlier), operations(own), operations(later));
        let mut document = rendered.unpatched.clone();
        let value = |document: &Document| document.to_value().map_err(|error| error.to_string());
        let of_others = |failure: Option<(usize, String)>| {
            let said = |(_, message)| format!("the patch of another license fails: {message}");
            failure.map_or(Ok(()), |failure| Err(said(failure)))
        };
        of_others(applied(&mut document, &earlier))?;
        let before = value(&document)?;
        let broken = applied(&mut document, &own);
        if let Some((operation, _)) = &broken {
            document = rendered.unpatched.clone();
            let before = own.iter().take(*operation);
            applied(
                &mut document,
                &earlier.iter().chain(before).copied().collect::<Vec<_>>(),
            );
        }
        let with = value(&document)?;
        of_others(applied(&mut document, &later))?;
        let pod = value(&document)?;
        Ok(Self {
            before,
            with,
            pod,
            later,
            broken,
        })
    }

    /// The pod to be edited, the license's operations in it.
    pub fn pod(&self) -> &Value {
        &self.pod
    }

    /// The first of the license's operations that cannot be applied, from 0, and why; it and those behind it are not in
    /// the pod.
    pub fn broken(&self) -> Option<(usize, &str)> {
        self.broken
            .as_ref()
            .map(|(operation, why)| (*operation, why.as_str()))
    }

    /// The license's whole new patch: with it, the licenses together make what was saved.
    ///
    /// # Errors
    /// As [`make`].
    pub fn make(&self, saved: &Value, guards: bool) -> Result<Made, MakeError> {
        let mut notes = Vec::new();
        let target = if self.later.is_empty() {
            saved.clone()
        } else {
            let [with, pod, saved] = [&self.with, &self.pod, saved].map(js_numbers);
            rebase(&with, &pod, &saved, &mut notes)
        };
        let mut made = make(&Request {
            before: &self.before,
            after: &target,
            base: None,
            guards,
        })?;
        let mut document = Document::from_value(&made.wanted, 0);
        let failure = applied(&mut document, &self.later);
        let pod = document.to_value().map(|pod| with_js_numbers(&pod));
        let what = match failure {
            Some((_, message)) => format!("then the patch of a license behind it fails: {message}"),
            None if !pod.is_ok_and(|pod| pod == with_js_numbers(saved)) => {
                "the licenses behind it make something else of the pod than what was saved".to_owned()
            }
            None => {
                made.notes.extend(notes);
                return Ok(made);
            }
        };
        notes.push(Note {
            rule: "order-matters",
            severity: Severity::Warning,
            message: format!("patches apply in the order of the license ids; {what}"),
            path: String::new(),
        });
        made.notes.extend(notes);
        Ok(made)
    }
}

/// Applies operations; the index of the one that fails, and why.
fn applied(document: &mut Document, operations: &[&Operation]) -> Option<(usize, String)> {
    let numbered: Vec<(&Operation, Stamp)> = operations.iter().copied().zip(1..).collect();
    let failure = apply(document, &numbered, Options { validate: false }).failure?;
    Some((failure.operation, failure.message))
}
