//! Runs a DataFusion plan to its end in the caller's thread.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::TryStreamExt;
use fyke_types::Result;

use crate::engine_error;

/// All rows of a plan that keeps what it has built between executions.
pub(super) fn run(plan: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
    let stream = execute_stream(Arc::clone(plan), Arc::clone(context)).map_err(engine_error)?;
    // inside a task of tokio its budget would run out in the middle, and nobody would give it a new one
    let rows = tokio::task::coop::unconstrained(stream.try_collect());
    futures::executor::block_on(rows).map_err(engine_error)
}

/// All rows of a plan that starts anew.
pub(super) fn run_anew(plan: &Arc<dyn ExecutionPlan>, context: &Arc<TaskContext>) -> Result<Vec<RecordBatch>> {
    run(&reset_plan_states(Arc::clone(plan)).map_err(engine_error)?, context)
}
