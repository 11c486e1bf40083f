//! A leaf of a DataFusion plan that our operators fill with rows.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;

/// Rows put in here are read by the next execution of the plan, once unless it keeps them.
#[derive(Debug, Clone)]
pub struct Slot {
    schema: SchemaRef,
    rows: Arc<Mutex<Vec<RecordBatch>>>,
    /// Whether rows stay for the next execution.
    keeps: bool,
}

impl Slot {
    /// An empty slot for rows of `schema`.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema, rows: Arc::default(), keeps: false }
    }

    /// The same, but rows stay until others are put in.
    pub fn keeping(schema: SchemaRef) -> Self {
        Self { keeps: true, ..Self::new(schema) }
    }

    /// Puts rows in.
    pub fn fill(&self, rows: Vec<RecordBatch>) {
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }
}

impl PartitionStream for Slot {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = if self.keeps { rows.clone() } else { std::mem::take(&mut *rows) };
        match MemoryStream::try_new(rows, Arc::clone(&self.schema), None) {
            Ok(rows) => Box::pin(rows),
            Err(error) => {
                let failed = stream::iter([Err(error)]);
                Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), failed))
            }
        }
    }
}
