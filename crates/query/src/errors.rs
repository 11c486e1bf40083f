//! DataFusion's errors as ours, with the place in the person's text where it is known.

use datafusion::common::DataFusionError;
use fyke_types::{Error, Place};

/// A planning error: usually the person's.
pub fn planning_error(error: DataFusionError, file: &str, fallback: Option<&Place>) -> Error {
    let place = error
        .diagnostic()
        .and_then(|diagnostic| diagnostic.span)
        .map(|span| Place { file: file.to_owned(), line: span.start.line, column: span.start.column })
        .filter(|place| place.line > 0)
        .or_else(|| fallback.cloned());
    let ours = match ours(error) {
        Ok(ours) => ours,
        Err(other) => match other.strip_backtrace().split_once("\n  hint: ") {
            Some((message, hint)) => Error::usage(plain(message)).hint(hint.to_owned()),
            None => Error::usage(plain(&other.strip_backtrace())),
        },
    };
    match place {
        Some(place) => ours.at(place),
        None => ours,
    }
}

/// An error while rows were computed.
pub fn running_error(error: DataFusionError) -> Error {
    match ours(error) {
        Ok(ours) => ours,
        Err(other) => Error::data("the query failed on the data").detail(other.strip_backtrace()),
    }
}

/// Our own error, if DataFusion carried one.
fn ours(error: DataFusionError) -> Result<Error, DataFusionError> {
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => Ok(*ours),
            Err(inner) => Err(DataFusionError::External(inner)),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => ours(*inner),
        DataFusionError::Shared(inner) => match inner.as_ref() {
            DataFusionError::External(e) => match e.downcast_ref::<Error>() {
                Some(ours) => Ok(ours.clone()),
                None => Err(DataFusionError::Shared(inner)),
            },
            _ => Err(DataFusionError::Shared(inner)),
        },
        other => Err(other),
    }
}

/// Without the engine's own prefixes, which tell a person nothing.
fn plain(message: &str) -> String {
    let mut text = message;
    for prefix in ["Error during planning: ", "Execution error: ", "Schema error: ", "SQL error: ", "External error: "]
    {
        text = text.strip_prefix(prefix).unwrap_or(text);
    }
    text.to_owned()
}

/// An error of ours inside DataFusion's type.
pub fn carried(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
