//! Which fields a Pod has, and what each holds.
//!
//! The types of k8s-openapi know it, but only answer while something is decoded into them. So they are decoded
//! once from a document that says "yes" to every field, and what they ask for is written down. What has been asked for
//! already (a container's fields three times, a probe's nine times) is answered with an empty map.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use k8s_openapi::api::core::v1::Pod;
use serde::{
    Deserialize,
    de::{
        DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor,
        value::{BorrowedStrDeserializer, StrDeserializer},
    },
};

use crate::json_patch::Kind;

/// Fields by their names; those of a type are there once.
type Fields = Arc<[(&'static str, Schema)]>;

/// What a place of a Pod may hold.
#[derive(Debug)]
pub(crate) enum Schema {
    /// A map with these fields and no others.
    Struct(Fields),
    /// A list of such elements.
    List(Box<Schema>),
    /// A map from any key to such a value.
    Map(Box<Schema>),
    /// A string.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number of so many bits.
    Int(u32),
    /// A whole number or a string.
    IntOrText,
    /// A quantity.
    Quantity,
    /// A time.
    Time,
    /// Whatever it is.
    Any,
}

impl Schema {
    /// The field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&Schema> {
        let (_, field) = self.fields().iter().find(|(known, _)| *known == name)?;
        Some(field)
    }

    /// All fields; none of what is no struct.
    pub(crate) fn fields(&self) -> &[(&'static str, Schema)] {
        match self {
            Self::Struct(fields) => fields,
            _ => &[],
        }
    }

    /// Whether a value of this kind can stand here.
    pub(crate) fn takes(&self, kind: Kind) -> bool {
        match (self, kind) {
            (_, Kind::Null) | (Self::Any, _) => true,
            (Self::Struct(_) | Self::Map(_), kind) => kind == Kind::Map,
            (Self::List(_), kind) => kind == Kind::List,
            (Self::Text | Self::Time, kind) => kind == Kind::String,
            (Self::Bool, kind) => kind == Kind::Bool,
            (Self::Int(_), kind) => kind == Kind::Number,
            (Self::IntOrText | Self::Quantity, kind) => matches!(kind, Kind::Number | Kind::String),
        }
    }
}

/// The schema of a Pod.
pub(crate) fn pod() -> &'static Schema {
    static POD: LazyLock<Schema> = LazyLock::new(|| {
        let mut schema = Schema::Any;
        // A test sees that the trace reaches the last field.
        let _ = Pod::deserialize(Tracer {
            found: &mut schema,
            known: &mut HashMap::new(),
            is_root: true,
        });
        schema
    });
    &POD
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

/// The structs that were traced, by name and where their list of fields is.
type Known = HashMap<(&'static str, *const &'static str), Fields>;

/// A document that has everything it is asked for, and one of each.
struct Tracer<'s> {
    found: &'s mut Schema,
    known: &'s mut Known,
    is_root: bool,
}

impl<'s> Tracer<'s> {
    fn below(found: &'s mut Schema, known: &'s mut Known) -> Self {
        Self {
            found,
            known,
            is_root: false,
        }
    }
}

macro_rules! refuse {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Unexpected> {
            Err(Unexpected)
        }
    )*};
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Unexpected;

    /// Only `IntOrString` asks so.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        *self.found = Schema::IntOrText;
        visitor.visit_i64(0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        *self.found = Schema::Bool;
        visitor.visit_bool(false)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        *self.found = Schema::Int(32);
        visitor.visit_i64(0)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        *self.found = Schema::Int(64);
        visitor.visit_i64(0)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        *self.found = Schema::Text;
        visitor.visit_str("")
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unexpected> {
        let (schema, value) = match name {
            "Quantity" => (Schema::Quantity, "0"),
            "Time" | "MicroTime" => (Schema::Time, "1970-01-01T00:00:00Z"),
            // `FieldsV1`
            _ => (Schema::Any, ""),
        };
        *self.found = schema;
        visitor.visit_newtype_struct(StrDeserializer::new(value))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        let mut element = Schema::Any;
        let result = visitor.visit_seq(One(Some(Tracer::below(&mut element, self.known))));
        *self.found = Schema::List(Box::new(element));
        result
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        let mut value = Schema::Any;
        let result = visitor.visit_map(One(Some(Tracer::below(&mut value, self.known))));
        *self.found = Schema::Map(Box::new(value));
        result
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unexpected> {
        // k8s-openapi compares these two of a Pod itself.
        let own = |name: &str| self.is_root && matches!(name, "apiVersion" | "kind");
        let key = (name, fields.as_ptr());
        let known = self.known.get(&key).cloned();
        let mut found = Vec::with_capacity(if known.is_some() { 0 } else { fields.len() });
        found.extend(
            fields
                .iter()
                .filter(|name| own(name))
                .map(|name| (*name, Schema::Text)),
        );
        let asked = fields.iter().filter(|name| known.is_none() && !own(name));
        let result = visitor.visit_map(Asked {
            asked: &mut asked.copied(),
            name: "",
            found: &mut found,
            known: self.known,
        });
        let found = known.unwrap_or_else(|| found.into());
        self.known.insert(key, found.clone());
        *self.found = Schema::Struct(found);
        result
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        visitor.visit_unit()
    }

    refuse! {
        deserialize_i8 deserialize_i16 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_f32 deserialize_f64 deserialize_char deserialize_bytes deserialize_byte_buf deserialize_unit
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, _: V) -> Result<V::Value, Unexpected> {
        Err(Unexpected)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Unexpected> {
        Err(Unexpected)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        _: V,
    ) -> Result<V::Value, Unexpected> {
        Err(Unexpected)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Unexpected> {
        Err(Unexpected)
    }
}

/// The one element of a list, or the one member of a map.
struct One<'s>(Option<Tracer<'s>>);

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Unexpected;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unexpected> {
        self.0.take().map(|tracer| seed.deserialize(tracer)).transpose()
    }
}

impl<'de> MapAccess<'de> for One<'_> {
    type Error = Unexpected;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Unexpected> {
        if self.0.is_none() {
            return Ok(None);
        }
        seed.deserialize(BorrowedStrDeserializer::new("")).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unexpected> {
        seed.deserialize(self.0.take().ok_or(Unexpected)?)
    }
}

struct Asked<'s> {
    asked: &'s mut dyn Iterator<Item = &'static str>,
    name: &'static str,
    found: &'s mut Vec<(&'static str, Schema)>,
    known: &'s mut Known,
}

impl<'de> MapAccess<'de> for Asked<'_> {
    type Error = Unexpected;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Unexpected> {
        let Some(name) = self.asked.next() else {
            return Ok(None);
        };
        self.name = name;
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unexpected> {
        let mut field = Schema::Any;
        let result = seed.deserialize(Tracer::below(&mut field, self.known));
        self.found.push((self.name, field));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Option<&'static Schema> {
        path.split('.').try_fold(pod(), |schema, name| match schema {
            Schema::List(element) => element.field(name),
            other => other.field(name),
        })
    }

    #[test]
    fn the_schema_of_a_pod_reaches_the_last_field() {
        for (path, kind) in [
            ("apiVersion", "Text"),
            ("metadata.creationTimestamp", "Time"),
            ("metadata.generation", "Int(64)"),
            ("metadata.managedFields.fieldsV1", "Any"),
            ("spec.hostNetwork", "Bool"),
            ("spec.containers.livenessProbe.httpGet.port", "IntOrText"),
            ("spec.containers.ports.containerPort", "Int(32)"),
            ("spec.volumes.emptyDir.sizeLimit", "Quantity"),
            ("spec.volumes.vsphereVolume.volumePath", "Text"),
            ("status.startTime", "Time"),
        ] {
            assert_eq!(
                at(path).map(|found| format!("{found:?}")).as_deref(),
                Some(kind),
                "{path}"
            );
        }
        assert!(
            matches!(at("spec.nodeSelector"), Some(Schema::Map(value)) if matches!(**value, Schema::Text))
        );
        assert!(at("spec.container").is_none());
    }
}
