//! From logical plans to a graph of operators.
//!
//! Order matters: equal subqueries are shared *before* columns are pruned, and no rule that moves filters or splits
//! aggregates runs at all, since upstream's rules do not know that windows close.

mod aggregate;
mod as_of;
mod build;
mod facts;
mod interval;
mod join;
mod key;
mod leaf;
mod rules;
mod share;

pub use build::SourceFrom;
pub(crate) use build::plan_stream;
pub use build::{PlanTo, StreamJob, StreamSource};

use datafusion::logical_expr::LogicalPlan;

/// Whether a node reads a stream table.
pub fn reads_stream(node: &LogicalPlan) -> bool {
    build::stream_table(node).is_some()
}
