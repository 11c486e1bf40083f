//! A schema from a sample of JSON lines.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use fyke_types::{Error, Result};

use crate::text::lines::{Content, Utf8Block};
use crate::text::time::{DayCache, rfc3339};

use super::value::{Object, Value, parse};

/// What the values of a key have been so far.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Nothing,
    Bool,
    Int,
    Float,
    Time,
    Text,
    Array(Box<Seen>),
    Object(Vec<(String, Seen)>),
}

/// The columns that a sample of JSON lines has, in the order of their first appearance: integers widen to doubles, and
/// what else differs to strings; nested objects are structs; strings that all look like RFC 3339 are timestamps (µs).
/// All columns may be null. Lines that are no objects are left out: they will be dead letters.
///
/// # Errors
/// `Data` when no line is an object.
pub fn infer_json(sample: &[u8]) -> Result<SchemaRef> {
    let utf8 = Utf8Block::new(sample);
    let mut all = Seen::Nothing;
    for line in utf8.lines() {
        let Content::Text(text) = utf8.content(&line) else { continue };
        if let Ok(Value::Object(object)) = parse(text) {
            all = all.and(Seen::object(&object));
        }
    }
    match all {
        Seen::Object(fields) if !fields.is_empty() => Ok(Arc::new(Schema::new(to_fields(fields)))),
        _ => Err(Error::data("no line of the sample is a JSON object with a key")
            .hint("declare the columns, or name the format that the lines are in")),
    }
}

impl Seen {
    fn of(value: &Value<'_>) -> Self {
        match value {
            Value::Null => Self::Nothing,
            Value::Bool(_) => Self::Bool,
            Value::Number { text, integral: true } if text.parse::<i64>().is_ok() => Self::Int,
            Value::Number { .. } => Self::Float,
            Value::Text(text) if rfc3339(text.as_bytes(), &mut DayCache::default()).is_some() => Self::Time,
            Value::Text(_) => Self::Text,
            Value::Array(values) => {
                Self::Array(Box::new(values.iter().fold(Self::Nothing, |all, value| all.and(Self::of(value)))))
            }
            Value::Object(object) => Self::object(object),
        }
    }

    fn object(object: &Object<'_>) -> Self {
        let mut fields: Vec<(String, Self)> = Vec::with_capacity(object.len());
        for (key, value) in object {
            let seen = Self::of(value);
            match fields.iter_mut().find(|(name, _)| name == key) {
                // the last of duplicate keys wins
                Some((_, earlier)) => *earlier = seen,
                None => fields.push((key.to_string(), seen)),
            }
        }
        Self::Object(fields)
    }

    /// The narrowest that holds both.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, one) | (one, Self::Nothing) => one,
            (one, other) if one == other => one,
            (Self::Int | Self::Float, Self::Int | Self::Float) => Self::Float,
            (Self::Array(one), Self::Array(other)) => Self::Array(Box::new(one.and(*other))),
            (Self::Object(mut fields), Self::Object(others)) => {
                for (name, seen) in others {
                    match fields.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, known)) => *known = std::mem::replace(known, Self::Nothing).and(seen),
                        None => fields.push((name, seen)),
                    }
                }
                Self::Object(fields)
            }
            _ => Self::Text,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, None),
            // what was always null may turn out to be anything: text is the most likely
            Self::Nothing | Self::Text => DataType::Utf8,
            Self::Array(item) => DataType::List(Arc::new(Field::new_list_field(item.data_type(), true))),
            Self::Object(fields) => DataType::Struct(to_fields(fields)),
        }
    }
}

fn to_fields(fields: Vec<(String, Seen)>) -> Fields {
    fields.into_iter().map(|(name, seen)| Field::new(name, seen.data_type(), true)).collect()
}
