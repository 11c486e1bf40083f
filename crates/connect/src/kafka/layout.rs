//! Which columns of a table come from a record's value, and which from the record itself.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use fyke_types::window::TIME;
use fyke_types::{Error, Result};

/// A column of the record itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    /// A JSON object of texts; of a name that stands several times, a list.
    Headers,
}

/// Name, type where the table declares none, and the types that may be declared.
const OWN: [(Own, &str, DataType, &[DataType]); 6] = [
    (Own::Topic, "topic", DataType::Utf8, &[DataType::Utf8]),
    (Own::Partition, "partition", DataType::Int32, &[DataType::Int32, DataType::Int64]),
    (Own::Offset, "offset", DataType::Int64, &[DataType::Int64]),
    (Own::Timestamp, "timestamp", TIME, &[TIME]),
    (Own::Key, "key", DataType::Utf8, &[DataType::Utf8, DataType::Binary]),
    (Own::Headers, "headers", DataType::Utf8, &[DataType::Utf8]),
];

/// Where a column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Index among the columns that values are decoded into.
    Value(usize),
    /// The record.
    Record(Own),
}

/// The columns of a table, in order.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) schema: SchemaRef,
    pub(super) from: Vec<From>,
}

impl Layout {
    /// Splits declared columns: gives those of the value, for the format.
    pub(super) fn value_columns(declared: &SchemaRef, prefix: &str) -> SchemaRef {
        let of_value = |field: &&FieldRef| own(field.name(), prefix).is_none();
        Arc::new(Schema::new(declared.fields().iter().filter(of_value).cloned().collect::<Vec<_>>()))
    }

    /// The columns as they are declared. `value`: the format's columns.
    ///
    /// # Errors
    /// `Usage` where a record's own column is declared with another type.
    pub(super) fn declared(name: &str, declared: &SchemaRef, value: &SchemaRef, prefix: &str) -> Result<Self> {
        let (mut fields, mut from) = (Vec::new(), Vec::new());
        for field in declared.fields() {
            match own(field.name(), prefix) {
                Some((own, types)) => {
                    if !types.contains(field.data_type()) {
                        return Err(wrong_type(name, field, types));
                    }
                    // whether a record has a key is the producer's business
                    fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
                    from.push(From::Record(own));
                }
                None => {
                    let index = value.index_of(field.name()).map_err(|error| {
                        Error::internal(format!("the format lacks '{}'", field.name())).detail(error)
                    })?;
                    fields.push(Arc::clone(&value.fields()[index]));
                    from.push(From::Value(index));
                }
            }
        }
        Ok(Self { schema: Arc::new(Schema::new(fields)), from })
    }

    /// The format's columns, and behind them the record's own.
    ///
    /// # Errors
    /// `Usage` where both have a column of one name.
    pub(super) fn found(name: &str, value: &SchemaRef, prefix: &str) -> Result<Self> {
        let mut fields: Vec<FieldRef> = value.fields().to_vec();
        let mut from: Vec<From> = (0..fields.len()).map(From::Value).collect();
        for (own, column, data_type, _) in OWN {
            let column = format!("{prefix}{column}");
            if value.field_with_name(&column).is_ok() {
                return Err(Error::usage(format!("'{column}' of {name} is both in the values and a record's own"))
                    .hint("give the record's own columns other names: 'record_prefix' 'kafka_'"));
            }
            fields.push(Arc::new(Field::new(column, data_type, true)));
            from.push(From::Record(own));
        }
        Ok(Self { schema: Arc::new(Schema::new(fields)), from })
    }

    /// Whether keys must be UTF-8.
    pub(super) fn has_text_key(&self) -> bool {
        self.key_type() == Some(&DataType::Utf8)
    }

    fn key_type(&self) -> Option<&DataType> {
        let at = self.from.iter().position(|from| *from == From::Record(Own::Key))?;
        Some(self.schema.field(at).data_type())
    }
}

fn own(column: &str, prefix: &str) -> Option<(Own, &'static [DataType])> {
    let column = column.strip_prefix(prefix)?;
    OWN.into_iter().find(|(_, name, _, _)| *name == column).map(|(own, _, _, types)| (own, types))
}

fn wrong_type(name: &str, field: &Field, types: &[DataType]) -> Error {
    let types: Vec<String> = types.iter().map(ToString::to_string).collect();
    Error::usage(format!("column '{}' of {name} is {}", field.name(), field.data_type())).hint(format!(
        "a record's own '{}' is {}; if the column is in the values, set 'record_prefix' 'kafka_'",
        field.name(),
        types.join(" or ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
        let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
        Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
    }

    #[test]
    fn declared_columns_stay_in_their_order() {
        let declared = schema(&[("key", DataType::Binary), ("host", DataType::Utf8), ("offset", DataType::Int64)]);
        let value = Layout::value_columns(&declared, "");
        assert_eq!(value.fields().len(), 1);
        let layout = Layout::declared("table t", &declared, &value, "").expect("fits");
        assert_eq!(layout.from, [From::Record(Own::Key), From::Value(0), From::Record(Own::Offset)]);
        assert!(!layout.has_text_key());
    }

    #[test]
    fn a_prefix_leaves_the_plain_names_to_the_values() {
        let declared = schema(&[("timestamp", DataType::Int64), ("kafka_timestamp", TIME)]);
        let value = Layout::value_columns(&declared, "kafka_");
        let layout = Layout::declared("table t", &declared, &value, "kafka_").expect("fits");
        assert_eq!(layout.from, [From::Value(0), From::Record(Own::Timestamp)]);
        let error = Layout::declared("table t", &declared, &Layout::value_columns(&declared, ""), "");
        let error = error.expect_err("a timestamp is no number").to_string();
        assert!(error.contains("record_prefix"), "{error}");
        let value = schema(&[("timestamp", DataType::Utf8)]);
        assert!(Layout::found("table t", &value, "").is_err());
        assert_eq!(Layout::found("table t", &value, "kafka_").expect("fits").from.len(), 7);
    }
}
