//! What both executions refuse, with the reason and the remedy: text that would give wrong or different rows.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use fyke_types::{Error, Result};

use crate::batch::window_call;
use crate::errors::running_error;

/// Checks a plan after type coercion.
///
/// # Errors
/// `Usage` with the remedy.
pub fn check_windows(plan: &LogicalPlan) -> Result<()> {
    let mut refused = Ok(());
    plan.apply_with_subqueries(|node| {
        refused = check_node(node);
        Ok(if refused.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })
    .map_err(running_error)?;
    refused
}

fn check_node(node: &LogicalPlan) -> Result<()> {
    match node {
        LogicalPlan::Aggregate(aggregate) => {
            let windows = aggregate.group_expr.iter().filter(|e| window_call(e).is_some()).count();
            if windows > 1 {
                return Err(Error::usage("two windows in one GROUP BY")
                    .hint("aggregate by the finer window in a view, and that view by the coarser one"));
            }
            let grouping_set = aggregate.group_expr.iter().find(|e| matches!(e, Expr::GroupingSet(_)));
            if let Some(set) = grouping_set
                && contains_window(set)
            {
                return Err(Error::usage("ROLLUP, CUBE and GROUPING SETS cannot hold a window")
                    .hint("write one query for each grouping and unite them with UNION ALL"));
            }
            for expression in &aggregate.aggr_expr {
                check_order(expression)?;
                if contains_window(expression) {
                    return Err(
                        Error::usage("a window function stands inside an aggregate").hint("put it into GROUP BY")
                    );
                }
            }
            for expression in aggregate.group_expr.iter().filter(|e| window_call(e).is_none()) {
                if contains_window(expression) {
                    return Err(Error::usage(format!("a window is hidden inside the expression {expression}"))
                        .hint("group by the window itself, and use its members above"));
                }
            }
            Ok(())
        }
        LogicalPlan::Projection(projection) => {
            let above_aggregate = match projection.input.as_ref() {
                LogicalPlan::Aggregate(_) => true,
                LogicalPlan::Filter(having) => matches!(having.input.as_ref(), LogicalPlan::Aggregate(_)),
                _ => false,
            };
            for expression in &projection.expr {
                let session = named_call(expression, "session");
                if above_aggregate && contains_window(expression) {
                    return Err(Error::usage("a selected window function is no item of GROUP BY")
                        .detail(expression)
                        .hint("GROUP BY takes a column's name before an alias: give the window another name, or repeat the call in GROUP BY"));
                }
                if session {
                    return Err(Error::usage("session stands outside GROUP BY")
                        .hint("a session exists only over a group's rows"));
                }
                if window_call(expression).is_none()
                    && (named_call(expression, "hop") || named_call(expression, "cumulate"))
                {
                    return Err(Error::usage("hop and cumulate multiply rows and stand alone in a select list")
                        .hint("select the window in a subquery, and use its members above"));
                }
            }
            Ok(())
        }
        other => {
            for expression in other.expressions() {
                for name in ["hop", "cumulate", "session"] {
                    if named_call(&expression, name) {
                        return Err(Error::usage(format!("{name} stands outside GROUP BY and a select list"))
                            .hint("compute the window in a subquery"));
                    }
                }
            }
            Ok(())
        }
    }
}

fn check_order(expression: &Expr) -> Result<()> {
    const ORDERED: [&str; 5] = ["first_value", "last_value", "nth_value", "array_agg", "string_agg"];
    let mut refused = Ok(());
    expression
        .apply(|e| {
            if let Expr::AggregateFunction(call) = e
                && ORDERED.contains(&call.func.name())
                && call.params.order_by.is_empty()
            {
                refused = Err(Error::usage(format!("{} depends on the order of rows", call.func.name()))
                    .hint(format!("{}(… ORDER BY …)", call.func.name())));
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .map_err(running_error)?;
    refused
}

fn contains_window(expression: &Expr) -> bool {
    expression.exists(|e| Ok(window_call(e).is_some() && !matches!(e, Expr::Alias(_)))).unwrap_or(false)
}

fn named_call(expression: &Expr, name: &str) -> bool {
    expression.exists(|e| Ok(matches!(e, Expr::ScalarFunction(call) if call.name() == name))).unwrap_or(false)
}

/// Refuses functions whose value is not determined by their arguments: a replay would give other rows.
///
/// # Errors
/// `Unsupported`, naming the function.
pub fn check_deterministic(plan: &LogicalPlan) -> Result<()> {
    let mut refused = Ok(());
    plan.apply_with_subqueries(|node| {
        for expression in node.expressions() {
            expression.apply(|e| {
                if let Expr::ScalarFunction(call) = e
                    && call.func.signature().volatility != Volatility::Immutable
                {
                    refused = Err(Error::unsupported(format!("{}() in a stream", call.name()))
                        .detail("a replay would give other rows")
                        .hint("use the row's event time, or a window's start and end"));
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(if refused.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })
    .map_err(running_error)?;
    refused
}
