//! The as-of join as a node of a logical plan.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DFSchemaRef, JoinType, Result, internal_err};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Extension, Join, LogicalPlan, Operator, UserDefinedLogicalNodeCore,
};
use fyke_types::Error;

use super::marker::MARKER;
use crate::errors::carried;

/// An as-of join: columns of both sides, all of which may be null.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct AsOfNode {
    /// Each of its rows comes out once at most.
    pub left: LogicalPlan,
    /// Its rows come out as often as they are the latest.
    pub right: LogicalPlan,
    /// Equal in both rows; nulls are not equal.
    pub on: Vec<(Expr, Expr)>,
    /// The match times, left and right.
    pub times: (Expr, Expr),
    /// The right time lies before the left one, not at it.
    pub strict: bool,
    /// Left rows without a match come out too.
    pub outer: bool,
    schema: DFSchemaRef,
}

impl PartialOrd for AsOfNode {
    fn partial_cmp(&self, _: &Self) -> Option<std::cmp::Ordering> {
        None
    }
}

impl AsOfNode {
    fn new(
        (left, right): (LogicalPlan, LogicalPlan),
        on: Vec<(Expr, Expr)>,
        times: (Expr, Expr),
        (strict, outer): (bool, bool),
    ) -> Result<Self> {
        let joined = left.schema().join(right.schema())?;
        let fields = joined
            .iter()
            .map(|(qualifier, field)| (qualifier.cloned(), Arc::new(Field::clone(field).with_nullable(true))));
        let schema = DFSchema::new_with_metadata(fields.collect(), joined.metadata().clone())?;
        Ok(Self { left, right, on, times, strict, outer, schema: Arc::new(schema) })
    }
}

impl UserDefinedLogicalNodeCore for AsOfNode {
    fn name(&self) -> &str {
        "AsOfJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let on = self.on.iter().flat_map(|(left, right)| [left, right]);
        on.chain([&self.times.0, &self.times.1]).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on: Vec<String> = self.on.iter().map(|(left, right)| format!("{left} = {right}")).collect();
        let (kind, sign) = (if self.outer { "left" } else { "inner" }, if self.strict { ">" } else { ">=" });
        write!(f, "AsOfJoin: {kind}, {} {sign} {}, on {}", self.times.0, self.times.1, on.join(" AND "))
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(right_time), Some(left_time)) = (exprs.pop(), exprs.pop()) else {
            return internal_err!("an as-of join has two match times");
        };
        let on = exprs.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let Ok([left, right]) = <[LogicalPlan; 2]>::try_from(inputs) else {
            return internal_err!("an as-of join has two inputs");
        };
        Self::new((left, right), on, (left_time, right_time), (self.strict, self.outer))
    }
}

/// The as-of join that a plan is.
pub fn as_node(plan: &LogicalPlan) -> Option<&AsOfNode> {
    let LogicalPlan::Extension(Extension { node }) = plan else { return None };
    let node: &dyn std::any::Any = node.as_any();
    node.downcast_ref()
}

/// Joins with a marker in their condition as nodes of their own. Types must be settled.
///
/// # Errors
/// `Usage` where the join can't be read.
pub fn from_markers(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|plan| {
        let LogicalPlan::Join(join) = &plan else { return Ok(Transformed::no(plan)) };
        let condition = join.filter.iter().flat_map(split_conjunction).find_map(condition);
        let Some(condition) = condition else { return Ok(Transformed::no(plan)) };
        let node = node_of(join, condition)?;
        Ok(Transformed::yes(LogicalPlan::Extension(Extension { node: Arc::new(node) })))
    })?;
    Ok(plan.data)
}

/// The condition inside a marker.
fn condition(conjunct: &Expr) -> Option<&Expr> {
    match conjunct {
        Expr::ScalarFunction(call) if call.name() == MARKER => call.args.first(),
        _ => None,
    }
}

fn node_of(join: &Join, condition: &Expr) -> Result<AsOfNode> {
    let sides = (join.left.as_ref().clone(), join.right.as_ref().clone());
    let within = |expression: &Expr, side: &LogicalPlan| {
        let columns = expression.column_refs();
        !columns.is_empty() && columns.iter().all(|column| side.schema().has_column(column))
    };
    // the left side's expression first
    let ordered = |a: &Expr, b: &Expr| -> Option<(Expr, Expr, bool)> {
        if within(a, &join.left) && within(b, &join.right) {
            return Some((a.clone(), b.clone(), false));
        }
        (within(b, &join.left) && within(a, &join.right)).then(|| (b.clone(), a.clone(), true))
    };
    let mut on = join.on.clone();
    for conjunct in join.filter.iter().flat_map(split_conjunction) {
        if self::condition(conjunct).is_some() {
            continue;
        }
        let pair = match conjunct {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => ordered(left, right),
            _ => None,
        };
        let Some((left, right, _)) = pair else {
            return Err(carried(
                Error::usage("ON of an as-of join takes equalities of both sides' columns alone")
                    .detail(conjunct)
                    .hint("filter each side in a subquery, and what comes out in WHERE"),
            ));
        };
        on.push((left, right));
    }
    let (left, right, strict) = match_times(condition, ordered).ok_or_else(|| {
        carried(
            Error::usage("the match condition of an as-of join compares a time of the left side with one of the right")
                .detail(condition)
                .hint(
                    "MATCH_CONDITION (l.time >= r.time): the latest right row at or before the left one; > for before",
                ),
        )
    })?;
    for (time, side) in [(&left, &join.left), (&right, &join.right)] {
        let of = time.get_type(side.schema().as_ref())?;
        if !matches!(of, DataType::Timestamp(_, _)) {
            return Err(carried(
                Error::usage("the match condition of an as-of join compares timestamps")
                    .detail(format!("{time} is {of}"))
                    .hint("a window's end is w['end']"),
            ));
        }
    }
    AsOfNode::new(sides, on, (left, right), (strict, join.join_type == JoinType::Left))
}

/// Left time, right time, and whether the right one lies before it.
fn match_times(
    condition: &Expr,
    ordered: impl Fn(&Expr, &Expr) -> Option<(Expr, Expr, bool)>,
) -> Option<(Expr, Expr, bool)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let (left, right, swapped) = ordered(left, right)?;
    match (op, swapped) {
        (Operator::GtEq, false) | (Operator::LtEq, true) => Some((left, right, false)),
        (Operator::Gt, false) | (Operator::Lt, true) => Some((left, right, true)),
        _ => None,
    }
}
