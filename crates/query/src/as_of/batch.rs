//! As-of joins in batch: both sides as one sorted partition, through which the last right row is carried forward.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::functions::core::expr_fn::{get_field, named_struct};
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, WindowFrame, WindowFunctionDefinition, lit, not, when,
};
use fyke_functions::windows::carry_forward;

use super::{AsOfNode, as_node};

const TIME: &str = "__time";
const TURN: &str = "__turn";
const IS_LEFT: &str = "__is_left";
const LATEST: &str = "__latest";

/// Rewrites all as-of joins of a plan.
///
/// # Errors
/// DataFusion's.
pub fn rewrite_as_of(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|plan| match as_node(&plan) {
        Some(node) => Ok(Transformed::yes(algebra(node)?)),
        None => Ok(Transformed::no(plan)),
    })?;
    Ok(plan.data)
}

fn column(name: impl Into<String>) -> Expr {
    Expr::Column(Column::from_name(name))
}

fn columns(side: &LogicalPlan) -> Vec<Expr> {
    side.schema().columns().into_iter().map(Expr::Column).collect()
}

/// One side with the columns of both: keys, time, turn, side, left columns, right columns.
fn side(node: &AsOfNode, is_left: bool) -> Result<LogicalPlan> {
    let input = if is_left { &node.left } else { &node.right };
    let pick = |(left, right): &(Expr, Expr)| if is_left { left.clone() } else { right.clone() };
    let keys: Vec<Expr> = node.on.iter().map(pick).collect();
    let time = pick(&node.times);
    let mut builder = LogicalPlanBuilder::from(input.clone());
    if !is_left {
        // rows that match nothing
        for present in keys.iter().chain([&time]) {
            builder = builder.filter(present.clone().is_not_null())?;
        }
    }
    let mut select: Vec<Expr> =
        keys.into_iter().enumerate().map(|(at, key)| key.alias(format!("__key_{at}"))).collect();
    select.push(time.alias(TIME));
    // of equal times the right row comes first, unless it must lie before
    select.push(lit(i32::from(is_left != node.strict)).alias(TURN));
    select.push(lit(is_left).alias(IS_LEFT));
    for (own, plan, name) in [(is_left, &node.left, "left"), (!is_left, &node.right, "right")] {
        for (at, value) in columns(plan).into_iter().enumerate() {
            let value = if own { value } else { null_of(&value, plan)? };
            select.push(value.alias(format!("__{name}_{at}")));
        }
    }
    builder.project(select)?.build()
}

fn null_of(expression: &Expr, plan: &LogicalPlan) -> Result<Expr> {
    Ok(Expr::Literal(ScalarValue::try_from(&expression.get_type(plan.schema().as_ref())?)?, None))
}

fn algebra(node: &AsOfNode) -> Result<LogicalPlan> {
    let lefts = node.left.schema().fields().len();
    let rights = node.right.schema().fields().len();
    let both = LogicalPlanBuilder::from(side(node, true)?).union(side(node, false)?)?.build()?;
    let mut select = columns(&both);
    let members = (0..rights).flat_map(|at| [lit(format!("c{at}")), column(format!("__right_{at}"))]).collect();
    select.push(when(not(column(IS_LEFT)), named_struct(members)).end()?.alias(LATEST));
    let both = LogicalPlanBuilder::from(both).project(select)?.build()?;
    let mut order = vec![column(TIME).sort(true, true), column(TURN).sort(true, true)];
    order.extend((0..rights).map(|at| column(format!("__right_{at}")).sort(true, true)));
    let over = Expr::WindowFunction(Box::new(WindowFunction {
        fun: WindowFunctionDefinition::WindowUDF(carry_forward()),
        params: WindowFunctionParams {
            args: vec![column(LATEST)],
            partition_by: (0..node.on.len()).map(|at| column(format!("__key_{at}"))).collect(),
            order_by: order,
            window_frame: WindowFrame::new(Some(true)),
            filter: None,
            null_treatment: None,
            distinct: false,
        },
    }));
    let name = over.schema_name().to_string();
    let mut builder = LogicalPlanBuilder::from(both).window(vec![over])?.filter(column(IS_LEFT))?;
    if !node.outer {
        builder = builder.filter(column(&name).is_not_null())?;
    }
    let values = (0..lefts).map(|at| column(format!("__left_{at}")));
    let values = values.chain((0..rights).map(|at| get_field(column(&name), format!("c{at}"))));
    let schema = datafusion::logical_expr::UserDefinedLogicalNodeCore::schema(node);
    let select = values.zip(schema.iter()).map(|(value, (qualifier, field))| match qualifier {
        Some(qualifier) => value.alias_qualified(Some(qualifier.clone()), field.name()),
        None => value.alias(field.name()),
    });
    builder.project(select.collect::<Vec<_>>())?.build()
}
