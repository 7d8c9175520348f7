//! The edit of a pod as the new text of one of its licenses.
//!
//! A license's patch is for the pod as it is when its turn comes: after the patches of the licenses before it, before
//! those of the licenses after it. Who edits sees the pod that all of them make.

use serde_json::Value;

use crate::{
    json::{Json, with_js_numbers},
    json_patch::{Document, Operation, Options, Stamp, apply},
    pipeline::{Patch, Rendered},
};

use super::{Made, Request, make, rebase::rebase};

/// The pod as the patches of the licenses make it, step by step.
pub struct LicenseEdit<'a> {
    /// Before the license's turn.
    before: Value,
    /// After it.
    with: Value,
    /// In the end: what is edited.
    pod: Value,
    /// In the end, but without the license.
    without: Value,
    /// What the licenses behind it do.
    later: Vec<&'a Operation>,
    /// The license's own operations that cannot be applied: the index of the first, and why.
    broken: Option<(usize, String)>,
    options: Options,
}

impl<'a> LicenseEdit<'a> {
    /// Of a rendered pod. `own` is the license's present patch, whether CoCalc applies it at this time or not.
    ///
    /// # Errors
    /// If the patch of another license cannot be applied, or a pod cannot be sent: the sentence says why.
    pub fn new(
        rendered: &'a Rendered,
        license: &str,
        own: &[Operation],
        options: Options,
    ) -> Result<Self, String> {
        let operations = |patches: &'a [Patch]| -> Vec<&'a Operation> {
            patches.iter().flat_map(Patch::operations).collect()
        };
        // CoCalc applies patches in the order of the licenses' ids.
        let first = rendered
            .patches
            .partition_point(|patch| patch.license.as_str() < license);
        let (earlier, rest) = rendered.patches.split_at(first);
        let has_own = rest.first().is_some_and(|patch| patch.license == license);
        let (earlier, later) = (operations(earlier), operations(&rest[usize::from(has_own)..]));
        let own: Vec<&Operation> = own.iter().collect();
        let value = |document: &Document| document.to_value().map_err(|error| error.to_string());
        let others = |document: &mut Document, operations: &[&Operation]| {
            applied(document, operations, options).map_or(Ok(()), |(_, message)| {
                Err(format!("the patch of another license fails: {message}"))
            })
        };
        let mut start = rendered.unpatched.clone();
        others(&mut start, &earlier)?;
        let mut document = start.clone();
        let broken = applied(&mut document, &own, options);
        if let Some((operation, _)) = &broken {
            document = start.clone();
            applied(&mut document, &own[..*operation], options);
        }
        let (before, with) = (value(&start)?, value(&document)?);
        others(&mut document, &later)?;
        let pod = value(&document)?;
        // Where the others need the license, there is none without it.
        let without = match applied(&mut start, &later, options) {
            Some(_) => Value::Null,
            None => value(&start)?,
        };
        Ok(Self {
            before,
            with,
            pod,
            without,
            later,
            broken,
            options,
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
    /// As [`make`], and if no patch at the license's place gives what was saved: the sentence says why.
    pub fn make(&self, saved: &Value, guards: bool) -> Result<Made, String> {
        let from = |before, after: &Value| {
            make(&Request {
                before,
                after,
                base: None,
                guards,
            })
            .map_err(|error| error.to_string())
        };
        if self.later.is_empty() {
            return from(&self.before, saved);
        }
        let mut notes = Vec::new();
        let [with, pod, wanted] = [&self.with, &self.pod, saved].map(with_js_numbers);
        let mut made = from(&self.before, &rebase(&with, &pod, &wanted, &mut notes))?;
        let mut proved = self.proved(&made, &wanted);
        if proved.is_err() && !self.without.is_null() {
            // As if the license came last.
            let last = from(&self.without, saved)?;
            if self.proved(&last, &wanted).is_ok() {
                (made, proved) = (last, Ok(()));
                notes.clear();
            }
        }
        proved?;
        made.notes.extend(notes);
        Ok(made)
    }

    /// Whether the patch at its place, and then the patches behind it, make what is wanted.
    fn proved(&self, made: &Made, wanted: &Value) -> Result<(), String> {
        let own: Vec<Operation> = made
            .operations
            .iter()
            .map(|operation| Operation::new(&Json::from(operation)))
            .collect();
        let all: Vec<&Operation> = own.iter().chain(self.later.iter().copied()).collect();
        let mut document = Document::from_value(&self.before, 0);
        let why = match applied(&mut document, &all, self.options) {
            Some((_, message)) => message,
            None if document
                .to_value()
                .is_ok_and(|pod| with_js_numbers(&pod) == *wanted) =>
            {
                return Ok(());
            }
            None => "they make something else of the pod".to_owned(),
        };
        Err(format!(
            "no patch of this license gives what was saved, because of the licenses behind it, whose patches come after: \
             {why}"
        ))
    }
}

/// Applies operations; the index of the one that fails, and why.
fn applied(document: &mut Document, operations: &[&Operation], options: Options) -> Option<(usize, String)> {
    let numbered: Vec<(&Operation, Stamp)> = operations.iter().copied().zip(1..).collect();
    let failure = apply(document, &numbered, options).failure?;
    Some((failure.operation, failure.message))
}
