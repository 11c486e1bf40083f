//! JSON lines with a declared or an inferred schema.
//!
//! Two ways through a line that agree bit for bit: `shape` expects the keys of the lines before and scans only values;
//! `value` + `row` are exact for any JSON. What the first does not expect, the second decides.

mod column;
mod decoder;
mod infer;
mod learn;
mod row;
mod shape;
mod store;
pub(crate) mod value;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use fyke_types::{Decoder, Error, Format, Result, Settings};

pub use infer::infer_json;

use column::Columns;
use decoder::JsonDecoder;

/// How times are written in JSON: setting `time_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeFormat {
    /// Strings such as `2026-03-02T08:00:00.385Z`; a space for the `T`, any offset; no zone is UTC. The default.
    #[default]
    Rfc3339,
    /// Numbers: seconds since 1970, with or without a fraction.
    EpochSeconds,
    /// Numbers: milliseconds since 1970.
    EpochMillis,
}

impl TimeFormat {
    /// Takes the setting `time_format`: `rfc3339` (default), `epoch_s` or `epoch_ms`.
    ///
    /// # Errors
    /// `Usage` for another text.
    pub fn from_settings(settings: &mut Settings) -> Result<Self> {
        match settings.text("time_format").as_deref() {
            None | Some("rfc3339") => Ok(Self::Rfc3339),
            Some("epoch_s") => Ok(Self::EpochSeconds),
            Some("epoch_ms") => Ok(Self::EpochMillis),
            Some(other) => Err(Error::usage(format!("setting 'time_format' is '{other}'"))
                .hint("it takes 'rfc3339', 'epoch_s' or 'epoch_ms'")),
        }
    }
}

/// JSON lines of one declared schema.
#[derive(Debug, Clone)]
pub struct JsonFormat {
    schema: SchemaRef,
    columns: Arc<Columns>,
    fast: bool,
}

impl JsonFormat {
    /// Lines of objects with the columns of `schema`: a column is the key of its name, or where the line lacks that key
    /// and the name holds dots, the path that it spells. Missing keys are null, unknown ones are ignored; a string
    /// column `customer` that a line lacks is filled with the decoder's argument.
    ///
    /// # Errors
    /// `Usage` for a column whose type no JSON value can have.
    pub fn new(schema: SchemaRef, time_format: TimeFormat) -> Result<Self> {
        let columns = Arc::new(Columns::new(&schema, time_format)?);
        Ok(Self { schema, columns, fast: true })
    }

    /// The same format by the general parser alone, line by line: what the fast way is tested against.
    #[must_use]
    pub fn without_shapes(mut self) -> Self {
        self.fast = false;
        self
    }
}

impl Format for JsonFormat {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn decoder(&self, projection: Option<&[usize]>) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(JsonDecoder::new(&self.schema, Arc::clone(&self.columns), projection, self.fast)?))
    }
}
