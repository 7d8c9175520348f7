//! What the API server's decoder says: unknown fields, and values of a wrong type.
//!
//! Go's rules are followed where they differ from serde's: `null` is allowed everywhere, whole numbers have 32 or
//! 64 bits, the case of a name matters. Nothing stops it: what is wrong is noted, and everything is found in one
//! pass.

use serde_json::Value;

use super::{
    Report,
    at::At,
    quantity,
    schema::{self, Schema},
};
use crate::{
    check::meant::{Slip, Wanted, meant},
    json_patch::Kind,
};

/// Notes all that the API server's strict decoder refuses. Recurses as deep as a Pod's schema.
pub(super) fn decode(pod: &At<'_>, report: &mut Report) {
    if !pod.value().is_object() {
        report.error(
            "pod-wrong-type",
            pod,
            format!("a pod is a map, and this is {}", Kind::of_value(pod.value())),
        );
        return;
    }
    Decoder {
        pod: pod.value(),
        report,
    }
    .value(schema::pod(), pod);
}

struct Decoder<'v, 'r> {
    pod: &'v Value,
    report: &'r mut Report,
}

impl Decoder<'_, '_> {
    fn value(&mut self, schema: &Schema, at: &At<'_>) {
        if !at.is_set() {
            return;
        }
        match schema {
            Schema::Struct(_) => self.fields(schema, at),
            Schema::List(element) => {
                self.expect("a list", at, at.value().is_array());
                at.items().for_each(|at| self.value(element, &at));
            }
            Schema::Map(value) => {
                self.expect("a map", at, at.value().is_object());
                at.entries().for_each(|(_, at)| self.value(value, &at));
            }
            Schema::Text => self.expect("a string", at, at.value().is_string()),
            Schema::Bool => self.expect("true or false", at, at.value().is_boolean()),
            Schema::Int(bits) => self.integer("a whole number", *bits, at),
            Schema::IntOrText if at.value().is_string() => {}
            Schema::IntOrText => self.integer("a whole number or a string", 32, at),
            Schema::Quantity => self.quantity(at),
            Schema::Time => self.time(at),
            Schema::Any => {}
        }
    }

    fn fields(&mut self, schema: &Schema, at: &At<'_>) {
        self.expect("a map", at, at.value().is_object());
        let is_root = std::ptr::eq(at.value(), self.pod);
        let mut known = Vec::new();
        for (name, _) in at.entries() {
            match schema.field(name) {
                // A pod may leave these out, and what else is wrong with them is told elsewhere.
                Some(_) if is_root && matches!(name, "apiVersion" | "kind") => {}
                Some(field) => known.push((field, at.get(name))),
                None => self.unknown_field(name, &at.get(name)),
            }
        }
        for (field, at) in known {
            self.value(field, &at);
        }
    }

    fn unknown_field(&mut self, name: &str, at: &At<'_>) {
        let meant = if self.report.findings.len() < ADVISED {
            let wanted = Wanted {
                kind: Some(Kind::of_value(at.value())),
                must_exist: false,
            };
            meant(
                self.pod,
                &crate::pipeline::provenance::pointer(&at.path()),
                wanted,
            )
        } else {
            None
        };
        let advice = meant.map_or_else(String::new, |meant| match (&*meant.slips, meant.tokens.last()) {
            ([Slip::Spelling], Some(name)) => format!("; did you mean {name}?"),
            _ => format!("; {meant}"),
        });
        self.report.error(
            "pod-unknown-field",
            at,
            format!("Kubernetes knows no field {name:?} here{advice}"),
        );
    }

    fn expect(&mut self, wanted: &str, at: &At<'_>, found: bool) {
        if !found {
            self.report.error(
                "pod-wrong-type",
                at,
                format!("this must be {wanted}, and it is {}", Kind::of_value(at.value())),
            );
        }
    }

    fn integer(&mut self, wanted: &str, bits: u32, at: &At<'_>) {
        let Value::Number(number) = at.value() else {
            return self.expect(wanted, at, false);
        };
        // Doubles without a fraction are printed without one up to 10^21.
        let whole = number.as_i64().or_else(|| {
            let double = number.as_f64()?;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "checked: integral and within 64 bits"
            )]
            (double.fract() == 0.0 && double.abs() < 9_223_372_036_854_775_808.0).then_some(double as i64)
        });
        if !whole.is_some_and(|whole| bits == 64 || i32::try_from(whole).is_ok()) {
            self.report.error(
                "pod-wrong-type",
                at,
                format!("this must be a whole number of {bits} bits, and it is {number}"),
            );
        }
    }

    fn quantity(&mut self, at: &At<'_>) {
        let found = match at.value() {
            Value::Number(_) => return,
            Value::String(text) if quantity::Quantity::parse(text).is_some() => return,
            Value::String(text) => format!("{text:?}"),
            other => Kind::of_value(other).to_string(),
        };
        let meant = at.value().as_str().and_then(quantity::meant);
        let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
        self.report.error(
            "pod-quantity",
            at,
            format!("{found} is no quantity: {}{meant}", quantity::SYNTAX),
        );
    }

    fn time(&mut self, at: &At<'_>) {
        let Some(text) = at.value().as_str() else {
            return self.expect("a time", at, false);
        };
        // Go reads RFC 3339 and nothing else.
        let shape = text.as_bytes().get(10) == Some(&b'T');
        if !shape || text.parse::<jiff::Timestamp>().is_err() {
            self.report.error(
                "pod-wrong-type",
                at,
                format!("{text:?} is no time; write it as 2026-11-24T12:00:00Z"),
            );
        }
    }
}

/// Beyond this many findings no advice is given: a pod may hold 100,000 misspelt names.
const ADVISED: usize = 1000;
