//! The batch rewrite: window calls become plain algebra that DataFusion runs. Batch is the stream's oracle.
//!
//! `tumble` stays a function, `hop` and `cumulate` become a list to unnest, `session` a window function over its
//! partition. The same rewrite of `hop` and `cumulate` in a select list serves both executions.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, plan_err};
use datafusion::logical_expr::expr::{ScalarFunction, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, WindowFrame, WindowFunctionDefinition,
};
use fyke_functions::windows::{WINDOW_FUNCTIONS, session_over, window_list};

const WINDOW: &str = "__window";

/// The window call that an expression is, under its alias.
pub fn window_call(expression: &Expr) -> Option<&ScalarFunction> {
    match expression {
        Expr::ScalarFunction(call) if WINDOW_FUNCTIONS.contains(&call.name()) => Some(call),
        Expr::Alias(alias) => window_call(&alias.expr),
        _ => None,
    }
}

/// Rewrites all window calls in `GROUP BY`.
pub fn rewrite_group_by(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(rewrite_aggregate)?.data)
}

/// Rewrites `hop` and `cumulate` in select lists.
pub fn rewrite_select_lists(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(rewrite_projection)?.data)
}

fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
}

fn rewrite_aggregate(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
    let Some(at) = aggregate.group_expr.iter().position(|e| window_call(e).is_some()) else {
        return Ok(Transformed::no(plan));
    };
    let Some(call) = window_call(&aggregate.group_expr[at]).cloned() else { return Ok(Transformed::no(plan)) };
    let input = aggregate.input.as_ref().clone();
    let Some(time) = call.args.first().cloned() else { return plan_err!("{} takes a time", call.name()) };
    // rows without time belong to no window; the values under nulls are meaningless
    let input = LogicalPlanBuilder::from(input).filter(time.is_not_null())?.build()?;
    let (input, key) = match call.name() {
        "tumble" => (input, Expr::ScalarFunction(call)),
        "session" => session(input, aggregate, at, &call)?,
        _ => {
            let list = window_list(call.name()).call(call.args.clone());
            let mut select = columns(&input);
            select.push(list.alias(WINDOW));
            let input = LogicalPlanBuilder::from(input).project(select)?.unnest_column(WINDOW)?.build()?;
            (input, Expr::Column(Column::from_name(WINDOW)))
        }
    };
    // what stands above refers to the key by its old name
    let name = aggregate.schema.field(at).name().clone();
    let mut group_by = aggregate.group_expr.clone();
    group_by[at] = if key.schema_name().to_string() == name { key } else { key.alias(name) };
    let rewritten = Aggregate::try_new(Arc::new(input), group_by, aggregate.aggr_expr.clone())?;
    Ok(Transformed::yes(LogicalPlan::Aggregate(rewritten)))
}

fn session(input: LogicalPlan, aggregate: &Aggregate, at: usize, call: &ScalarFunction) -> Result<(LogicalPlan, Expr)> {
    let others = aggregate.group_expr.iter().enumerate().filter(|(other, _)| *other != at);
    let over = Expr::WindowFunction(Box::new(WindowFunction {
        fun: WindowFunctionDefinition::WindowUDF(session_over()),
        params: WindowFunctionParams {
            args: call.args.clone(),
            partition_by: others.map(|(_, key)| key.clone().unalias()).collect(),
            order_by: call.args.first().map(|time| time.clone().sort(true, false)).into_iter().collect(),
            window_frame: WindowFrame::new(Some(true)),
            filter: None,
            null_treatment: None,
            distinct: false,
        },
    }));
    let mut select = columns(&input);
    let name = over.schema_name().to_string();
    let input = LogicalPlanBuilder::from(input).window(vec![over])?.build()?;
    select.push(Expr::Column(Column::from_name(name)).alias(WINDOW));
    let input = LogicalPlanBuilder::from(input).project(select)?.build()?;
    Ok((input, Expr::Column(Column::from_name(WINDOW))))
}

fn rewrite_projection(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Projection(projection) = &plan else { return Ok(Transformed::no(plan)) };
    let multiplies = |e: &Expr| window_call(e).is_some_and(|call| matches!(call.name(), "hop" | "cumulate"));
    let at: Vec<usize> = (0..projection.expr.len()).filter(|at| multiplies(&projection.expr[*at])).collect();
    let [at] = at[..] else {
        if at.is_empty() {
            return Ok(Transformed::no(plan));
        }
        return plan_err!("only one hop or cumulate may stand in a select list");
    };
    let Some(call) = window_call(&projection.expr[at]) else { return Ok(Transformed::no(plan)) };
    let (qualifier, field) = projection.schema.qualified_field(at);
    let name = field.name().clone();
    let mut select = projection.expr.clone();
    select[at] = match qualifier {
        Some(qualifier) => {
            window_list(call.name()).call(call.args.clone()).alias_qualified(Some(qualifier.clone()), &name)
        }
        None => window_list(call.name()).call(call.args.clone()).alias(&name),
    };
    let column = Column::new(qualifier.cloned(), name);
    let input = projection.input.as_ref().clone();
    let plan = LogicalPlanBuilder::from(input).project(select)?.unnest_column(column)?.build()?;
    Ok(Transformed::yes(plan))
}
