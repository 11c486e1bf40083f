//! A stateless DataFusion plan, run over each batch by itself: unnest and the like.

use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use fyke_types::Result;

use super::{Slot, plan};
use crate::{Operator, Output, Route, Tagged};

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
        let batches = plan::run_anew(&self.plan, &self.context)?;
        batches.into_iter().for_each(|batch| out.give(rows.customer, batch));
        Ok(())
    }

    fn route(&self, _: usize) -> Route {
        Route::Here
    }

    fn describe(&self) -> String {
        format!("EachBatch {}", self.name)
    }
}
