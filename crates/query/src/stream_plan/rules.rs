//! The optimiser rules that keep windows right.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Optimizer, OptimizerRule};

/// Before sharing: rules that change the shape of the plan.
pub fn shape(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    run(
        vec![
            Arc::new(SimplifyExpressions::new()),
            Arc::new(ReplaceDistinctWithAggregate::new()),
            Arc::new(DecorrelatePredicateSubquery::new()),
            Arc::new(ExtractEquijoinPredicate::new()),
            Arc::new(EliminateCrossJoin::new()),
        ],
        plan,
        state,
    )
}

/// After sharing: columns that nobody needs go.
pub fn prune(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    run(vec![Arc::new(OptimizeProjections::new())], plan, state)
}

fn run(
    rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
    plan: LogicalPlan,
    state: &SessionState,
) -> Result<LogicalPlan> {
    Optimizer::with_rules(rules).optimize(plan, state, |_, _| {})
}
