//! What could not be read, with everything needed to find and replay it.

use std::sync::Arc;

use arrow::array::{BinaryBuilder, RecordBatch, StringBuilder, UInt64Builder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::Result;

/// A line (or record) that makes no row: where it stood, why, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The line's number in its input, from 1. A [`crate::Decoder`] counts from its block's start; the reader adds the rest.
    pub line: u64,
    /// The byte at which the line starts in its (decompressed) input. Same rule as `line`.
    pub offset: u64,
    /// Why: names the column, and what was expected.
    pub reason: String,
    /// The line without its newline.
    pub raw: Vec<u8>,
}

/// The columns of a dead-letter table: `input`, `customer`, `line`, `offset`, `reason`, `raw`.
pub fn dead_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("input", DataType::Utf8, false),
        Field::new("customer", DataType::Utf8, false),
        Field::new("line", DataType::UInt64, false),
        Field::new("offset", DataType::UInt64, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("raw", DataType::Binary, false),
    ]))
}

/// Dead letters of one input as a batch of [`dead_schema`].
///
/// # Errors
/// When Arrow refuses the arrays, which would be a defect.
pub fn dead_letters_to_batch(input: &str, customer: &str, letters: &[DeadLetter]) -> Result<RecordBatch> {
    let (mut inputs, mut customers, mut reasons) = (StringBuilder::new(), StringBuilder::new(), StringBuilder::new());
    let (mut lines, mut offsets, mut raws) = (UInt64Builder::new(), UInt64Builder::new(), BinaryBuilder::new());
    for letter in letters {
        inputs.append_value(input);
        customers.append_value(customer);
        lines.append_value(letter.line);
        offsets.append_value(letter.offset);
        reasons.append_value(&letter.reason);
        raws.append_value(&letter.raw);
    }
    Ok(RecordBatch::try_new(
        dead_schema(),
        vec![
            Arc::new(inputs.finish()),
            Arc::new(customers.finish()),
            Arc::new(lines.finish()),
            Arc::new(offsets.finish()),
            Arc::new(reasons.finish()),
            Arc::new(raws.finish()),
        ],
    )?)
}
