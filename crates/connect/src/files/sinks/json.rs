//! JSON lines to a file or to standard output.

use arrow::array::RecordBatch;
use fyke_types::{Result, Sink};

use super::finished;
use super::output::Output;
use crate::json::batch_to_json_lines;

/// One object a line, by the rules of [`batch_to_json_lines`].
pub(super) struct JsonSink {
    output: Option<Output>,
    buffer: Vec<u8>,
}

impl JsonSink {
    /// A sink that writes to `output`.
    pub(super) fn new(output: Output) -> Self {
        Self { output: Some(output), buffer: Vec::new() }
    }
}

impl Sink for JsonSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.buffer.clear();
        batch_to_json_lines(batch, &mut self.buffer)?;
        self.output.as_mut().ok_or_else(finished)?.write(&self.buffer)
    }

    fn flush(&mut self) -> Result<()> {
        self.output.as_mut().map_or(Ok(()), Output::flush)
    }

    fn finish(&mut self) -> Result<()> {
        self.output.take().map_or(Ok(()), |mut output| output.publish())
    }
}
