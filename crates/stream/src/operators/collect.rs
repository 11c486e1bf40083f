//! The end of a dataflow: rows wait here for the driver to hand them to a sink.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::RecordBatch;
use fyke_types::Result;

use crate::{EarlyRows, Operator, Output, Route, Tagged};

/// Rows on their way to a sink.
#[derive(Debug, Clone, Default)]
pub struct Collected(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    rows: Vec<RecordBatch>,
    early: EarlyRows,
}

impl Collected {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, rows: RecordBatch) {
        self.waiting().rows.push(rows);
    }

    /// Update mode: the place of early rows.
    pub(super) fn with_early(&self, put: impl FnOnce(&mut EarlyRows)) {
        put(&mut self.waiting().early);
    }

    /// Takes what has come since the last call.
    pub fn take(&self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.waiting().rows)
    }

    /// Takes what update mode has given early since the last call.
    pub fn take_early(&self) -> EarlyRows {
        std::mem::take(&mut self.waiting().early)
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
        self.rows.put(rows.batch);
        Ok(())
    }

    fn route(&self, _: usize) -> Route {
        Route::Here
    }

    fn describe(&self) -> String {
        format!("Sink {}", self.name)
    }
}
