//! Bytes in, batches out: one pure, fuzzed parser per log format.
//!
//! Absent from here: files, compression, threads, clocks. A format sees blocks of whole lines, and each line becomes a
//! row, a dead letter with its reason, or is skipped as blank; see [`fyke_types::Format`].

mod access;
pub mod invariants;
mod json;
mod requests;
mod table;
mod text;
mod vendors;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use fyke_types::{Error, Result};

pub use json::{JsonFormat, TimeFormat, infer_json};
pub use requests::guess::{Guess, guess};
pub use table::{format, format_names};
pub use text::syslog::{SyslogMessage, parse_syslog};

/// The columns `given` of a schema, in that order.
fn project(schema: &SchemaRef, given: &[usize]) -> Result<SchemaRef> {
    let projected = schema.project(given);
    projected.map(Arc::new).map_err(|error| Error::internal("a projection is out of range").detail(error))
}
