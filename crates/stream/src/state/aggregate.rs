//! An aggregate as the stream runs it: a way to make accumulators, its arguments, its filter.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::logical_expr::GroupsAccumulator;
use datafusion::physical_expr::PhysicalExpr;
use fyke_types::{Error, Micros, Result, window};

use crate::engine_error;

/// Makes an empty accumulator.
pub type AccumulatorFactory = Arc<dyn Fn() -> datafusion::common::Result<Box<dyn GroupsAccumulator>> + Send + Sync>;

/// One aggregate of a `GROUP BY`.
#[derive(Clone)]
pub struct Aggregate {
    /// For EXPLAIN.
    pub name: String,
    /// Makes an accumulator for one store.
    pub accumulator: AccumulatorFactory,
    /// Arguments, then the expressions of its own ORDER BY.
    pub arguments: Vec<Arc<dyn PhysicalExpr>>,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
}

/// The values of an expression.
///
/// # Errors
/// When it fails on the data.
pub fn evaluate(expression: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    expression.evaluate(batch).and_then(|value| value.into_array(batch.num_rows())).map_err(engine_error)
}

/// A filter's values; null is false.
///
/// # Errors
/// When it fails on the data or is no boolean.
pub fn evaluate_filter(expression: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let values = evaluate(expression, batch)?;
    values.as_boolean_opt().cloned().ok_or_else(|| Error::internal(format!("filter {expression} is no boolean")))
}

/// Row times in microseconds: of a timestamp itself, of a window its end − 1.
///
/// # Errors
/// When the expression fails or is neither.
pub fn evaluate_time(
    expression: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
) -> Result<(Vec<Micros>, Option<NullBuffer>)> {
    window::row_times(&evaluate(expression, batch)?)
}
