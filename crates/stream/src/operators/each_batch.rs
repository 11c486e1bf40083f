//! A stateless DataFusion plan, run over each batch by itself: unnest and the like.

use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect};
use fyke_types::Result;

use super::Slot;
use crate::{Operator, Output, Tagged, engine_error};

/// Runs `plan` over each batch.
pub struct EachBatch {
    name: String,
    slot: Slot,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
}

impl EachBatch {
    /// `plan` reads `slot`, treats row by row, and gives the operator's rows.
    pub fn new(name: impl Into<String>, slot: Slot, plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Self {
        Self { name: name.into(), slot, plan, context }
    }
}

impl Operator for EachBatch {
    fn on_batch(&mut self, _: usize, rows: Tagged, out: &mut Output) -> Result<()> {
        self.slot.fill(vec![rows.batch]);
        let plan = reset_plan_states(Arc::clone(&self.plan)).map_err(engine_error)?;
        let batches = futures::executor::block_on(collect(plan, Arc::clone(&self.context))).map_err(engine_error)?;
        batches.into_iter().for_each(|batch| out.give(rows.customer, batch));
        Ok(())
    }

    fn describe(&self) -> String {
        format!("EachBatch {}", self.name)
    }
}
