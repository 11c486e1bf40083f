//! Which columns tell the rows of a query apart: the keys of the aggregate that they come from, where all of them are
//! still there. An output that gives its rows names needs to know.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{Expr, LogicalPlan};

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
        // one row may become several there
        LogicalPlan::Projection(projection) if projection.expr.iter().any(multiplies) => None,
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

/// Windows that a row falls into several of, in a select list.
const SEVERAL: [&str; 2] = ["hop", "cumulate"];

fn multiplies(expr: &Expr) -> bool {
    let is_such = |expr: &Expr| match expr {
        Expr::Unnest(_) => true,
        Expr::ScalarFunction(call) => SEVERAL.contains(&call.func.name()),
        _ => false,
    };
    expr.exists(|expr| Ok(is_such(expr))).unwrap_or(true)
}

fn column_of(expr: &Expr) -> Option<&datafusion::common::Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => column_of(&alias.expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;

    async fn unique_of(query: &str) -> Option<Vec<usize>> {
        let context = Context::builder().build();
        let rows = "(SELECT tumble(t, INTERVAL '1 minute') AS w, k, count(*) AS n \
                    FROM (VALUES (TIMESTAMP '2026-01-01', 'a')) AS v (t, k) GROUP BY w, k) AS a";
        let frame = context.sql(&query.replace("ROWS", rows)).await.unwrap();
        unique(frame.plan())
    }

    #[tokio::test]
    async fn keys_of_an_aggregate_tell_its_rows_apart_while_all_are_there() {
        assert_eq!(unique_of("SELECT n, k AS client, w FROM ROWS WHERE n > 0").await, Some(vec![2, 1]));
        assert_eq!(unique_of("SELECT n, w FROM ROWS").await, None, "a key was dropped");
    }

    #[tokio::test]
    async fn rows_that_were_multiplied_have_no_key() {
        let hop = "SELECT w, k, hop(w, INTERVAL '10 minutes', INTERVAL '1 minute') AS h FROM ROWS";
        assert_eq!(unique_of(hop).await, None);
    }
}
