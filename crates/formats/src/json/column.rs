//! A declared schema, compiled: what each column accepts, and where a line holds it.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use fyke_types::{Error, Result};

use super::TimeFormat;
use super::value::{Object, Value, get};

/// What a column accepts.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Bool,
    Int { min: i64, max: i64 },
    UInt { max: u64 },
    Double,
    Single,
    Text,
    Time(TimeUnit, TimeFormat),
    Date,
    Struct(Vec<Column>),
    List(Box<Column>),
}

/// A column, or a field inside one.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub name: String,
    /// The name's parts if it holds dots: the path by which it is read where no such key exists.
    pub path: Vec<String>,
    pub field: Field,
    pub kind: Kind,
    pub nullable: bool,
}

/// Where a line holds a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Found<'v, 'a> {
    /// Under its own name.
    Key(&'v Value<'a>),
    /// Under its path.
    Path(&'v Value<'a>),
    /// Nowhere, or below a null.
    Missing,
    /// Its path leads through a value that is no object: the key, the value.
    Blocked(&'v str, &'v Value<'a>),
}

impl Column {
    fn new(field: &Field, time_format: TimeFormat) -> Result<Self> {
        let name = field.name().clone();
        let path = if name.contains('.') { name.split('.').map(str::to_owned).collect() } else { Vec::new() };
        let kind = Kind::new(field, time_format)?;
        Ok(Self { name, path, field: field.clone(), kind, nullable: field.is_nullable() })
    }

    /// Where `object`, a whole line, holds this column.
    pub fn find<'v, 'a>(&'v self, object: &'v Object<'a>) -> Found<'v, 'a> {
        if let Some(value) = get(object, &self.name) {
            return Found::Key(value);
        }
        let Some((last, parents)) = self.path.split_last() else { return Found::Missing };
        let mut inside = object;
        for key in parents {
            match get(inside, key) {
                Some(Value::Object(object)) => inside = object,
                Some(Value::Null) | None => return Found::Missing,
                Some(other) => return Found::Blocked(key, other),
            }
        }
        get(inside, last).map_or(Found::Missing, Found::Path)
    }
}

impl Kind {
    fn new(field: &Field, time_format: TimeFormat) -> Result<Self> {
        let signed = |min, max| Self::Int { min, max };
        Ok(match field.data_type() {
            DataType::Boolean => Self::Bool,
            DataType::Int8 => signed(i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => signed(i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => signed(i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => signed(i64::MIN, i64::MAX),
            DataType::UInt8 => Self::UInt { max: u8::MAX.into() },
            DataType::UInt16 => Self::UInt { max: u16::MAX.into() },
            DataType::UInt32 => Self::UInt { max: u32::MAX.into() },
            DataType::UInt64 => Self::UInt { max: u64::MAX },
            DataType::Float32 => Self::Single,
            DataType::Float64 => Self::Double,
            DataType::Utf8 => Self::Text,
            DataType::Timestamp(unit, _) => Self::Time(*unit, time_format),
            DataType::Date32 => Self::Date,
            DataType::Struct(fields) => {
                Self::Struct(fields.iter().map(|field| Column::new(field, time_format)).collect::<Result<_>>()?)
            }
            DataType::List(item) => Self::List(Box::new(Column::new(item, time_format)?)),
            other => {
                let message =
                    format!("column '{}' is declared as {other}, which JSON can't be read into", field.name());
                return Err(Error::usage(message).hint(
                    "use BOOLEAN, an integer type, REAL, DOUBLE, VARCHAR, TIMESTAMP, DATE, STRUCT or an array of these",
                ));
            }
        })
    }

    /// What it accepts, for messages.
    pub fn expected(&self) -> String {
        match self {
            Self::Bool => "true or false".into(),
            Self::Int { min, max } => format!("an integer from {min} to {max}"),
            Self::UInt { max } => format!("an integer from 0 to {max}"),
            Self::Double | Self::Single => "a number".into(),
            Self::Text => "a string".into(),
            Self::Time(_, TimeFormat::Rfc3339) => "a time such as \"2026-03-02T08:00:00Z\"".into(),
            Self::Time(_, TimeFormat::EpochSeconds) => "a number of seconds since 1970".into(),
            Self::Time(_, TimeFormat::EpochMillis) => "a number of milliseconds since 1970".into(),
            Self::Date => "a date such as \"2026-03-02\"".into(),
            Self::Struct(_) => "an object".into(),
            Self::List(_) => "an array".into(),
        }
    }
}

/// All columns of a table.
#[derive(Debug)]
pub(super) struct Columns {
    pub all: Vec<Column>,
    /// The string column `customer`, which is filled where a line lacks it.
    pub customer: Option<usize>,
}

impl Columns {
    pub fn new(schema: &Schema, time_format: TimeFormat) -> Result<Self> {
        let all: Vec<_> = schema.fields().iter().map(|field| Column::new(field, time_format)).collect::<Result<_>>()?;
        let customer = all.iter().position(|column| column.name == "customer" && matches!(column.kind, Kind::Text));
        Ok(Self { all, customer })
    }
}
