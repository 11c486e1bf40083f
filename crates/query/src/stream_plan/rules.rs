//! The optimiser rules that keep windows right.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{JoinType, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan};
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Optimizer, OptimizerRule};

/// Before sharing: rules that change the shape of the plan.
pub fn shape(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let plan = run(
        vec![
            Arc::new(SimplifyExpressions::new()),
            Arc::new(ReplaceDistinctWithAggregate::new()),
            Arc::new(DecorrelatePredicateSubquery::new()),
            Arc::new(ExtractEquijoinPredicate::new()),
            Arc::new(EliminateCrossJoin::new()),
            Arc::new(EliminateOuterJoin::new()),
        ],
        plan,
        state,
    )?;
    let plan = plan.transform_down(into_inner_join)?.data;
    run(vec![Arc::new(ExtractEquijoinPredicate::new())], plan, state)
}

/// A filter over an inner join is part of the join's condition, so that bounds in WHERE are bounds of the join; what
/// asks for one side alone filters that side, and goes no further down.
fn into_inner_join(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Filter(filter) = &plan else { return Ok(Transformed::no(plan)) };
    let (mut below, mut conjuncts) = (filter.input.as_ref(), split_conjunction(&filter.predicate));
    while let LogicalPlan::Filter(filter) = below {
        conjuncts.extend(split_conjunction(&filter.predicate));
        below = filter.input.as_ref();
    }
    let LogicalPlan::Join(join) = below else { return Ok(Transformed::no(plan)) };
    if join.join_type != JoinType::Inner {
        return Ok(Transformed::no(plan));
    }
    let mut join = join.clone();
    let (mut left, mut right, mut both) = (Vec::new(), Vec::new(), Vec::new());
    let of_both = join.filter.take();
    for conjunct in conjuncts.into_iter().chain(of_both.iter().flat_map(split_conjunction)) {
        let columns = conjunct.column_refs();
        let within = |side: &LogicalPlan| columns.iter().all(|column| side.schema().has_column(column));
        match (within(&join.left), within(&join.right)) {
            (true, false) => left.push(conjunct.clone()),
            (false, true) => right.push(conjunct.clone()),
            _ => both.push(conjunct.clone()),
        }
    }
    let filtered = |side: Arc<LogicalPlan>, conjuncts: Vec<Expr>| -> Result<Arc<LogicalPlan>> {
        Ok(match conjunction(conjuncts) {
            Some(predicate) => Arc::new(LogicalPlan::Filter(Filter::try_new(predicate, side)?)),
            None => side,
        })
    };
    join.left = filtered(join.left, left)?;
    join.right = filtered(join.right, right)?;
    join.filter = conjunction(both);
    Ok(Transformed::yes(LogicalPlan::Join(join)))
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
