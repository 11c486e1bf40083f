//! The types that a function takes, and what they are cast to. One rule for scalar and aggregate functions.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use fyke_types::window::TIME;

/// What one argument may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// Text of any layout; arrives as `Utf8`.
    Text,
    /// A timestamp or date; arrives as microseconds without zone.
    Time,
    /// Any number; arrives as `Float64`.
    Number,
    /// A whole number; arrives as `Int64`.
    Integer,
    /// Any type, as it is.
    Any,
}

impl Parameter {
    /// The type that `given` is cast to, or none where it does not fit.
    fn target(self, given: &DataType) -> Option<DataType> {
        let given = match given {
            DataType::Dictionary(_, value) => value.as_ref(),
            other => other,
        };
        let is_null = *given == DataType::Null;
        match self {
            Self::Any => Some(given.clone()),
            Self::Text => (is_null || is_text(given)).then_some(DataType::Utf8),
            Self::Time => (is_null || is_time(given)).then_some(TIME),
            Self::Number => (is_null || given.is_numeric()).then_some(DataType::Float64),
            Self::Integer => (is_null || given.is_integer()).then_some(DataType::Int64),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Time => "a timestamp",
            Self::Number => "a number",
            Self::Integer => "a whole number",
            Self::Any => "any value",
        }
    }
}

fn is_text(given: &DataType) -> bool {
    matches!(given, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_time(given: &DataType) -> bool {
    matches!(given, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64)
}

/// The types that the arguments of `signature` are cast to; the first `required` parameters must be given.
///
/// # Errors
/// `Usage` for a wrong number or type of arguments.
pub(crate) fn coerce(
    signature: &str,
    parameters: &[Parameter],
    required: usize,
    given: &[DataType],
) -> Result<Vec<DataType>> {
    if given.len() < required || given.len() > parameters.len() {
        return Err(refuse(
            format!("{signature} was given {} arguments", given.len()),
            format!("it takes {}", count_words(required, parameters.len())),
        ));
    }
    let cast = |(parameter, (place, given)): (&Parameter, (usize, &DataType))| {
        parameter.target(given).ok_or_else(|| {
            refuse(
                format!("argument {} of {signature} is {given}", place + 1),
                format!("it takes {}; use CAST", parameter.words()),
            )
        })
    };
    parameters.iter().zip(given.iter().enumerate()).map(cast).collect()
}

fn count_words(least: usize, most: usize) -> String {
    if least == most { format!("{least}") } else { format!("{least} to {most}") }
}

/// A person's mistake, in the shape that DataFusion carries.
pub(crate) fn refuse(message: impl Into<String>, hint: impl Into<String>) -> DataFusionError {
    DataFusionError::External(Box::new(fyke_types::Error::usage(message).hint(hint)))
}

/// A defect of ours, in the shape that DataFusion carries.
pub(crate) fn defect(message: impl Into<String>) -> DataFusionError {
    DataFusionError::External(Box::new(fyke_types::Error::internal(message)))
}
