//! The promise of a log format: bytes in, batches and dead letters out; pure, so it can be fuzzed.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::{DeadLetter, Result};

/// What a block of whole lines became. `lines = batch.num_rows() + dead.len() + blank lines`.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The rows, in the order of the lines, with the projected columns alone.
    pub batch: RecordBatch,
    /// The lines that made no row.
    pub dead: Vec<DeadLetter>,
    /// Lines in the block, blank ones and comments included.
    pub lines: u64,
    /// Blank lines and comments of the format: neither rows nor dead letters.
    pub skipped: u64,
}

/// A log format with its settings: shared by all inputs of a table.
pub trait Format: Send + Sync + std::fmt::Debug {
    /// All columns, before projection.
    fn schema(&self) -> SchemaRef;

    /// A decoder that builds only the columns of `projection` (indices into `schema`, in that order), but
    /// refuses a line for a wrong type in *any* declared column: whether a row is valid does not depend on the query.
    ///
    /// # Errors
    /// When an index is out of range.
    fn decoder(&self, projection: Option<&[usize]>) -> Result<Box<dyn Decoder>>;

    /// How a line begins that says how the lines behind it are to be read (`#Fields:`), if there are such lines. Whoever
    /// cuts an input into blocks puts the last one before each block, so that a block can be read by itself.
    fn directive(&self) -> Option<&'static [u8]> {
        None
    }

    /// Whether each row's column `customer` is the customer of its input, whatever its line says.
    fn customer_is_input(&self) -> bool {
        false
    }
}

/// Whether `line` is a directive of a format whose [`Format::directive`] is `directive`: a text that begins so, with or
/// without byte-order mark.
pub fn is_directive(directive: Option<&[u8]>, line: &[u8]) -> bool {
    let Some(directive) = directive else { return false };
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    line.starts_with(directive) && std::str::from_utf8(line).is_ok()
}

/// Decodes blocks of one table; may remember the shape of lines, never their contents.
pub trait Decoder: Send {
    /// Decodes `block`, which holds whole lines (the last one perhaps without its newline). `customer` is what the
    /// input is called by default and fills a `customer` column that the line itself does not give.
    ///
    /// # Errors
    /// Only for defects: bad lines become dead letters.
    fn decode(&mut self, block: &[u8], customer: &str) -> Result<Decoded>;
}
