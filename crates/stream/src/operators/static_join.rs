//! A stream joined with a table that does not change: enrichment.

use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use fyke_types::Result;

use super::{Slot, plan};
use crate::{Operator, Output, Route, Tagged};

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
        let batches = plan::run(&self.plan, &self.context)?;
        batches.into_iter().for_each(|batch| out.give(rows.customer, batch));
        Ok(())
    }

    fn route(&self, _: usize) -> Route {
        Route::Here
    }

    fn describe(&self) -> String {
        format!("StaticJoin {}", self.name)
    }
}
