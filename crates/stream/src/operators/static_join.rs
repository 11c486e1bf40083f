//! A stream joined with a table that does not change: enrichment.

use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::TryStreamExt;
use fyke_types::Result;

use super::Slot;
use crate::{Operator, Output, Tagged, engine_error};

/// The plan joins the static table (its build side, which DataFusion loads once and keeps) with the slot.
pub struct StaticJoin {
    name: String,
    slot: Slot,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
}

impl StaticJoin {
    /// `plan` must keep its build side between executions, and emit nothing for build rows without a match.
    pub fn new(name: impl Into<String>, slot: Slot, plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Self {
        Self { name: name.into(), slot, plan, context }
    }
}

impl Operator for StaticJoin {
    fn on_batch(&mut self, _: usize, rows: Tagged, out: &mut Output) -> Result<()> {
        self.slot.fill(vec![rows.batch]);
        // not reset: the build side's hash table serves every batch
        let stream = execute_stream(Arc::clone(&self.plan), Arc::clone(&self.context)).map_err(engine_error)?;
        let batches: Vec<_> = futures::executor::block_on(stream.try_collect()).map_err(engine_error)?;
        batches.into_iter().for_each(|batch| out.give(rows.customer, batch));
        Ok(())
    }

    fn describe(&self) -> String {
        format!("StaticJoin {}", self.name)
    }
}
