//! Equal subqueries become one: a view used twice is computed once.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use super::{leaf, rules};

/// Plans whose common subqueries stand apart.
pub struct Shared {
    /// The plans, in their order.
    pub plans: Vec<LogicalPlan>,
    /// The subqueries that they read, by number; a body may read others.
    pub bodies: Vec<LogicalPlan>,
}

/// Takes out what occurs twice, then prunes columns, each body by the union of what its readers need.
pub fn share(mut plans: Vec<LogicalPlan>, state: &SessionState) -> Result<Shared> {
    let main = plans.len();
    // bodies are appended, so that what they have in common is found too
    while let Some(next) = share_once(&mut plans, main)? {
        plans = next;
    }
    let bodies = plans.split_off(main);
    prune(plans, bodies, state)
}

fn share_once(plans: &mut Vec<LogicalPlan>, main: usize) -> Result<Option<Vec<LogicalPlan>>> {
    let mut count: HashMap<LogicalPlan, usize> = HashMap::new();
    for plan in plans.iter() {
        plan.apply(|node| {
            if is_heavy(node) {
                *count.entry(node.clone()).or_default() += 1;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    let mut numbers: HashMap<LogicalPlan, usize> = HashMap::new();
    let mut bodies: Vec<LogicalPlan> = Vec::new();
    let first = plans.len() - main;
    let mut changed = Vec::with_capacity(plans.len());
    for plan in std::mem::take(plans) {
        let plan = plan.transform_down(|node| {
            if count.get(&node).copied().unwrap_or(0) < 2 {
                return Ok(Transformed::no(node));
            }
            let number = *numbers.entry(node.clone()).or_insert_with(|| {
                bodies.push(node.clone());
                first + bodies.len() - 1
            });
            let schema = Arc::new(renamed(&node));
            let scan = leaf::shared(number, &schema)?;
            // the columns keep the names and qualifiers that the plan above knows
            let select =
                scan.schema().columns().into_iter().zip(node.schema().iter()).map(|(column, (qualifier, field))| {
                    let column = Expr::Column(column);
                    match qualifier {
                        Some(qualifier) => column.alias_qualified(Some(qualifier.clone()), field.name()),
                        None => column.alias(field.name()),
                    }
                });
            let plan = LogicalPlanBuilder::from(scan).project(select.collect::<Vec<_>>())?.build()?;
            Ok(Transformed::new(plan, true, TreeNodeRecursion::Jump))
        })?;
        changed.push(plan.data);
    }
    let found = !bodies.is_empty();
    changed.extend(bodies);
    if found {
        return Ok(Some(changed));
    }
    *plans = changed;
    Ok(None)
}

/// Names by position: a subquery may have two columns of one name under different qualifiers.
fn renamed(plan: &LogicalPlan) -> datafusion::arrow::datatypes::Schema {
    let fields = plan.schema().fields().iter().enumerate();
    let fields = fields.map(|(at, field)| field.as_ref().clone().with_name(format!("__{at}_{}", field.name())));
    datafusion::arrow::datatypes::Schema::new(fields.collect::<Vec<_>>())
}

/// Whether computing it twice would cost state.
fn is_heavy(plan: &LogicalPlan) -> bool {
    if matches!(plan, LogicalPlan::SubqueryAlias(_)) {
        // its input is shared instead, whatever the alias
        return false;
    }
    use LogicalPlan::{Aggregate, Extension, Join, Window};
    plan.exists(|node| Ok(matches!(node, Aggregate(_) | Extension(_) | Join(_) | Window(_)))).unwrap_or(false)
}

fn prune(plans: Vec<LogicalPlan>, bodies: Vec<LogicalPlan>, state: &SessionState) -> Result<Shared> {
    let mut needed: Vec<Vec<bool>> = bodies.iter().map(|body| vec![false; body.schema().fields().len()]).collect();
    let plans = plans.into_iter().map(|plan| rules::prune(plan, state)).collect::<Result<Vec<_>>>()?;
    for plan in &plans {
        note_needs(plan, &mut needed)?;
    }
    // a body is read by plans and by bodies found before it alone: its readers' needs are known when its turn comes
    let mut pruned: Vec<LogicalPlan> = Vec::with_capacity(bodies.len());
    for (number, body) in bodies.into_iter().enumerate() {
        let columns = body.schema().columns().into_iter().enumerate();
        let mut select: Vec<Expr> =
            columns.filter(|(at, _)| needed[number][*at]).map(|(_, c)| Expr::Column(c)).collect();
        if select.is_empty() {
            // only the number of rows is needed: any column will do
            needed[number][0] = true;
            select.extend(body.schema().columns().into_iter().take(1).map(Expr::Column));
        }
        let body = rules::prune(LogicalPlanBuilder::from(body).project(select)?.build()?, state)?;
        note_needs(&body, &mut needed)?;
        pruned.push(body);
    }
    let narrow = |plan: LogicalPlan| narrow(plan, &needed);
    Ok(Shared {
        plans: plans.into_iter().map(narrow).collect::<Result<_>>()?,
        bodies: pruned.into_iter().map(narrow).collect::<Result<_>>()?,
    })
}

fn note_needs(plan: &LogicalPlan, needed: &mut [Vec<bool>]) -> Result<()> {
    plan.apply(|node| {
        if let Some((body, projection)) = leaf::as_shared(node) {
            match projection {
                Some(columns) => columns.iter().for_each(|at| needed[body][*at] = true),
                None => needed[body].fill(true),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Scans of bodies read the columns that are left.
fn narrow(plan: LogicalPlan, needed: &[Vec<bool>]) -> Result<LogicalPlan> {
    Ok(plan
        .transform_up(|node| {
            let Some((body, projection)) = leaf::as_shared(&node) else { return Ok(Transformed::no(node)) };
            let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
            let kept: Vec<usize> = (0..needed[body].len()).filter(|at| needed[body][*at]).collect();
            let schema: SchemaRef = Arc::new(scan.source.schema().project(&kept)?);
            let narrowed = leaf::shared(body, &schema)?;
            let wanted = projection.unwrap_or_else(|| (0..needed[body].len()).collect());
            let wanted = wanted.iter().filter_map(|at| kept.iter().position(|kept| kept == at));
            let columns = narrowed.schema().columns();
            let select = wanted.map(|at| Expr::Column(columns[at].clone())).collect::<Vec<_>>();
            Ok(Transformed::yes(LogicalPlanBuilder::from(narrowed).project(select)?.build()?))
        })?
        .data)
}
