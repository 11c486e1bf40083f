//! Which columns tell the rows of a query apart: the keys of the aggregate that they come from, where all of them are
//! still there. An output that gives its rows names needs to know.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::{Expr, LogicalPlan};
use std::sync::Arc;

/// The columns of an output's rows, and which of them tell rows apart.
#[derive(Debug, Clone)]
pub(crate) struct RowsOf {
    pub(crate) schema: SchemaRef,
    pub(crate) unique: Option<Vec<usize>>,
}

impl RowsOf {
    /// The rows of a plan.
    pub(crate) fn plan(plan: &LogicalPlan) -> Self {
        Self { schema: Arc::new(plan.schema().as_arrow().clone()), unique: unique(plan) }
    }
}

impl From<&SchemaRef> for RowsOf {
    fn from(schema: &SchemaRef) -> Self {
        Self { schema: Arc::clone(schema), unique: None }
    }
}

/// Indices of the plan's columns that hold all keys of the aggregate below; none where there is no such aggregate, or a
/// key was dropped. Joins, unions and whatever else multiplies rows end the search.
pub(crate) fn unique(plan: &LogicalPlan) -> Option<Vec<usize>> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => {
            let keys = aggregate.group_expr.len();
            let is_plain = !aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)));
            (is_plain && keys > 0).then(|| (0..keys).collect())
        }
        LogicalPlan::Distinct(_) => Some((0..plan.schema().fields().len()).collect()),
        LogicalPlan::Projection(projection) => {
            let below = unique(&projection.input)?;
            let columns = projection.input.schema().columns();
            let at = |wanted: usize| {
                let wanted = columns.get(wanted)?;
                projection.expr.iter().position(|expr| column_of(expr) == Some(wanted))
            };
            below.into_iter().map(at).collect()
        }
        LogicalPlan::SubqueryAlias(alias) => unique(&alias.input),
        LogicalPlan::Filter(filter) => unique(&filter.input),
        LogicalPlan::Sort(sort) => unique(&sort.input),
        LogicalPlan::Limit(limit) => unique(&limit.input),
        _ => None,
    }
}

fn column_of(expr: &Expr) -> Option<&datafusion::common::Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => column_of(&alias.expr),
        _ => None,
    }
}
