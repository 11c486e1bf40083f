//! Rows kept where a test can look at them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use fyke_types::{Result, Sink};

/// Keeps all batches; clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemorySink(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    batches: Vec<RecordBatch>,
    finished: bool,
}

impl MemorySink {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The batches so far, in the order of writing.
    pub fn batches(&self) -> Vec<RecordBatch> {
        self.kept().batches.clone()
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.kept().batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Whether the writer has finished.
    pub fn is_finished(&self) -> bool {
        self.kept().finished
    }
}

impl Sink for MemorySink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.kept().batches.push(batch.clone());
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.kept().finished = true;
        Ok(())
    }
}
