//! A leaf of a DataFusion plan that our operators fill with rows.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;

/// Rows put in here are read by the next execution of the plan, once.
#[derive(Debug, Clone)]
pub struct Slot {
    schema: SchemaRef,
    rows: Arc<Mutex<Vec<RecordBatch>>>,
}

impl Slot {
    /// An empty slot for rows of `schema`.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema, rows: Arc::default() }
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
        let rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        match MemoryStream::try_new(rows, Arc::clone(&self.schema), None) {
            Ok(rows) => Box::pin(rows),
            Err(error) => {
                let failed = stream::iter([Err(error)]);
                Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), failed))
            }
        }
    }
}
