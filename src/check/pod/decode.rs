//! What the API server's decoder says: unknown fields, and values of a wrong type.
//!
//! The types of k8s-openapi are the schema. They are decoded by a decoder of our own that follows Go's rules
//! where they differ from serde's (`null` is allowed everywhere, whole numbers have 32 or 64 bits, the case of a
//! name matters) and that never stops: it notes what is wrong, goes on with an empty value, and so finds
//! everything in one pass.

use k8s_openapi::api::core::v1::Pod;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor, value::StrDeserializer},
};
use serde_json::Value;

use super::{Report, at::At, quantity};

/// Notes all that the API server's strict decoder refuses.
pub(super) fn decode(pod: &At<'_>, report: &mut Report) {
    if !pod.value().is_object() {
        report.error(
            "pod-wrong-type",
            pod,
            format!("a pod is a map, and this is {}", kind(pod.value())),
        );
        return;
    }
    // The decoder answers every question, so there is nothing that could fail.
    let _ = Pod::deserialize(Decoder {
        at: pod.clone(),
        report,
        is_root: true,
    });
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// An error that no visitor of these types can cause.
#[derive(Debug)]
struct Unexpected;

impl std::fmt::Display for Unexpected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the schema asked for something that JSON does not have")
    }
}

impl std::error::Error for Unexpected {}

impl serde::de::Error for Unexpected {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self
    }
}

struct Decoder<'v, 'r> {
    at: At<'v>,
    report: &'r mut Report,
    is_root: bool,
}

impl<'v> Decoder<'v, '_> {
    /// The value; what is `null` or of another kind is nothing, the latter noted.
    fn expect<T>(&mut self, wanted: &str, found: Option<T>) -> Option<T> {
        if found.is_none() && self.at.is_set() {
            self.report.error(
                "pod-wrong-type",
                &self.at,
                format!("this must be {wanted}, and it is {}", kind(self.at.value())),
            );
        }
        found
    }

    fn integer(&mut self, bits: u32) -> i64 {
        let value = self.at.value();
        if !value.is_null() && !value.is_number() {
            self.expect::<i64>("a whole number", None);
            return 0;
        }
        let Value::Number(number) = value else { return 0 };
        // Doubles without a fraction are printed without one up to 10^21.
        let whole = number.as_i64().or_else(|| {
            let double = number.as_f64()?;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "checked: integral and within 64 bits"
            )]
            (double.fract() == 0.0 && double.abs() < 9_223_372_036_854_775_808.0).then_some(double as i64)
        });
        let fits = whole.filter(|whole| bits == 64 || i32::try_from(*whole).is_ok());
        if fits.is_none() {
            self.report.error(
                "pod-wrong-type",
                &self.at,
                format!("this must be a whole number of {bits} bits, and it is {number}"),
            );
        }
        fits.unwrap_or(0)
    }

    fn check_quantity(&mut self) {
        let text = match self.at.value() {
            Value::Null => return,
            Value::Number(_) => return,
            Value::String(text) => text.as_str(),
            other => {
                self.report.error(
                    "pod-quantity",
                    &self.at,
                    format!("{} is no quantity: {}", kind(other), quantity::SYNTAX),
                );
                return;
            }
        };
        if quantity::Quantity::parse(text).is_none() {
            self.report.error(
                "pod-quantity",
                &self.at,
                format!("{text:?} is no quantity: {}", quantity::SYNTAX),
            );
        }
    }

    fn check_time(&mut self) {
        let Some(text) = self.expect("a time", self.at.value().as_str()) else {
            return;
        };
        // Go reads RFC 3339 and nothing else.
        let shape = text.as_bytes().get(10) == Some(&b'T');
        if !shape || text.parse::<jiff::Timestamp>().is_err() {
            self.report.error(
                "pod-wrong-type",
                &self.at,
                format!("{text:?} is no time; write it as 2026-11-24T12:00:00Z"),
            );
        }
    }
}

macro_rules! refuse {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'v>>(self, _: V) -> Result<V::Value, Unexpected> {
            Err(Unexpected)
        }
    )*};
}

impl<'v> Deserializer<'v> for Decoder<'v, '_> {
    type Error = Unexpected;

    /// Only `IntOrString` asks so.
    fn deserialize_any<V: Visitor<'v>>(mut self, visitor: V) -> Result<V::Value, Unexpected> {
        match self.at.value() {
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Null => visitor.visit_i64(0),
            Value::Number(_) => visitor.visit_i64(self.integer(32)),
            _ => {
                self.expect::<i64>("a whole number or a string", None);
                visitor.visit_i64(0)
            }
        }
    }

    fn deserialize_bool<V: Visitor<'v>>(mut self, visitor: V) -> Result<V::Value, Unexpected> {
        let value = self.expect("true or false", self.at.value().as_bool());
        visitor.visit_bool(value.unwrap_or_default())
    }

    fn deserialize_i32<V: Visitor<'v>>(mut self, visitor: V) -> Result<V::Value, Unexpected> {
        visitor.visit_i64(self.integer(32))
    }

    fn deserialize_i64<V: Visitor<'v>>(mut self, visitor: V) -> Result<V::Value, Unexpected> {
        visitor.visit_i64(self.integer(64))
    }

    fn deserialize_str<V: Visitor<'v>>(mut self, visitor: V) -> Result<V::Value, Unexpected> {
        let value = self.expect("a string", self.at.value().as_str());
        visitor.visit_borrowed_str(value.unwrap_or_default())
    }

    fn deserialize_string<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        if self.at.is_set() {
            visitor.visit_some(self)
        } else {
            visitor.visit_none()
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'v>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unexpected> {
        match name {
            "Quantity" => {
                self.check_quantity();
                visitor.visit_newtype_struct(StrDeserializer::new("0"))
            }
            "Time" | "MicroTime" => {
                self.check_time();
                visitor.visit_newtype_struct(StrDeserializer::new("1970-01-01T00:00:00Z"))
            }
            // `FieldsV1` is whatever it is.
            _ => visitor.visit_newtype_struct(StrDeserializer::new("")),
        }
    }

    fn deserialize_seq<V: Visitor<'v>>(mut self, visitor: V) -> Result<V::Value, Unexpected> {
        self.expect("a list", self.at.value().as_array());
        let length = self.at.value().as_array().map_or(0, Vec::len);
        visitor.visit_seq(Elements {
            at: self.at,
            report: self.report,
            next: 0,
            length,
        })
    }

    fn deserialize_map<V: Visitor<'v>>(mut self, visitor: V) -> Result<V::Value, Unexpected> {
        self.expect("a map", self.at.value().as_object());
        let entries: Vec<_> = self.at.entries().collect();
        visitor.visit_map(Entries {
            entries: entries.into_iter(),
            value: None,
            report: self.report,
        })
    }

    fn deserialize_struct<V: Visitor<'v>>(
        mut self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unexpected> {
        self.expect("a map", self.at.value().as_object());
        let mut known = Vec::new();
        for (name, _) in self.at.entries() {
            let at = self.at.get(name);
            if fields.contains(&name) {
                // k8s-openapi compares these two itself; a pod may leave them out.
                if !(self.is_root && matches!(name, "apiVersion" | "kind")) {
                    known.push((name, at));
                }
            } else {
                let nearest = fields
                    .iter()
                    .map(|field| {
                        (
                            strsim::jaro_winkler(&name.to_lowercase(), &field.to_lowercase()),
                            field,
                        )
                    })
                    .max_by(|a, b| a.0.total_cmp(&b.0))
                    .filter(|(similar, _)| *similar > 0.8);
                let meant = nearest.map_or_else(String::new, |(_, field)| format!("; did you mean {field}?"));
                self.report.error(
                    "pod-unknown-field",
                    &at,
                    format!("Kubernetes knows no field {name:?} here{meant}"),
                );
            }
        }
        visitor.visit_map(Entries {
            entries: known.into_iter(),
            value: None,
            report: self.report,
        })
    }

    fn deserialize_identifier<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        visitor.visit_unit()
    }

    refuse! {
        deserialize_i8 deserialize_i16 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_f32 deserialize_f64 deserialize_char deserialize_bytes deserialize_byte_buf deserialize_unit
    }

    fn deserialize_unit_struct<V: Visitor<'v>>(self, _: &'static str, _: V) -> Result<V::Value, Unexpected> {
        Err(Unexpected)
    }

    fn deserialize_tuple<V: Visitor<'v>>(self, _: usize, _: V) -> Result<V::Value, Unexpected> {
        Err(Unexpected)
    }

    fn deserialize_tuple_struct<V: Visitor<'v>>(
        self,
        _: &'static str,
        _: usize,
        _: V,
    ) -> Result<V::Value, Unexpected> {
        Err(Unexpected)
    }

    fn deserialize_enum<V: Visitor<'v>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Unexpected> {
        Err(Unexpected)
    }
}

struct Elements<'v, 'r> {
    at: At<'v>,
    report: &'r mut Report,
    next: usize,
    length: usize,
}

impl<'v> SeqAccess<'v> for Elements<'v, '_> {
    type Error = Unexpected;

    fn next_element_seed<T: DeserializeSeed<'v>>(&mut self, seed: T) -> Result<Option<T::Value>, Unexpected> {
        if self.next == self.length {
            return Ok(None);
        }
        let at = self.at.index(self.next);
        self.next += 1;
        seed.deserialize(Decoder {
            at,
            report: self.report,
            is_root: false,
        })
        .map(Some)
    }
}

struct Entries<'v, 'r> {
    entries: std::vec::IntoIter<(&'v str, At<'v>)>,
    value: Option<At<'v>>,
    report: &'r mut Report,
}

impl<'v> MapAccess<'v> for Entries<'v, '_> {
    type Error = Unexpected;

    fn next_key_seed<K: DeserializeSeed<'v>>(&mut self, seed: K) -> Result<Option<K::Value>, Unexpected> {
        let Some((name, at)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(at);
        seed.deserialize(serde::de::value::BorrowedStrDeserializer::new(name))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'v>>(&mut self, seed: V) -> Result<V::Value, Unexpected> {
        let at = self.value.take().ok_or(Unexpected)?;
        seed.deserialize(Decoder {
            at,
            report: self.report,
            is_root: false,
        })
    }
}
