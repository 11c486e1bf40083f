//! The end of a dataflow: rows wait here for the driver to hand them to a sink.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use fyke_types::Result;

use crate::{Operator, Output, Route, Tagged};

/// Rows on their way to a sink.
#[derive(Debug, Clone, Default)]
pub struct Collected(Arc<Mutex<Vec<RecordBatch>>>);

impl Collected {
    /// Takes what has come since the last call.
    pub fn take(&self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Puts rows into a [`Collected`].
pub struct Collect {
    rows: Collected,
    name: String,
}

impl Collect {
    /// `name` is the sink's, for EXPLAIN.
    pub fn new(rows: Collected, name: impl Into<String>) -> Self {
        Self { rows, name: name.into() }
    }
}

impl Operator for Collect {
    fn on_batch(&mut self, _: usize, rows: Tagged, _: &mut Output) -> Result<()> {
        self.rows.0.lock().unwrap_or_else(PoisonError::into_inner).push(rows.batch);
        Ok(())
    }

    fn route(&self, _: usize) -> Route {
        Route::Here
    }

    fn describe(&self) -> String {
        format!("Sink {}", self.name)
    }
}
