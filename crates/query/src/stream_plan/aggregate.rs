//! `GROUP BY` as a streaming operator.

use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::logical_expr::{Aggregate as AggregatePlan, Expr};
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::GroupsAccumulatorAdapter;
use fyke_functions::distinct_count_accumulator;
use fyke_functions::windows::window_spec;
use fyke_stream::Operator;
use fyke_stream::operators::{
    Assign, AssignAll, EarlyAggregate, Grouping, PaneAggregate, SessionAggregate, WindowAggregate,
};
use fyke_stream::state::{AccumulatorFactory, Aggregate};
use fyke_types::{Error, Result, WindowSpec};

use super::build::{Built, Planner};
use super::facts::{Fact, is_member_of, of_aggregate, of_expression};
use super::key;
use crate::batch::window_call;
use crate::errors::running_error;

impl Planner<'_> {
    pub(super) async fn aggregate(&mut self, plan: &AggregatePlan) -> Result<Built> {
        let input = self.build(&plan.input).await?;
        if plan.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_))) {
            return Err(Error::unsupported("ROLLUP, CUBE and GROUPING SETS in a stream")
                .hint("write one query for each grouping and unite them with UNION ALL"));
        }
        let facts: Vec<Fact> = plan.group_expr.iter().map(|e| of_expression(e, &plan.input, &input.facts)).collect();
        let window_at = self.window_position(plan, &facts)?;
        let by_customer = window_at.is_some() && facts.contains(&Fact::Customer);
        let grouping = self.grouping(plan, window_at, by_customer)?;
        self.per_customer |= by_customer;
        let operator = self.operator(plan, &facts, window_at, grouping)?;
        let node = self.graph.add(operator, &[input.node]);
        self.note_key(node, Some(key::of_groups(plan, &facts, window_at)));
        let window = window_at.map(|at| &plan.group_expr[at]);
        let keep = |(at, fact): (usize, &Fact)| match fact {
            Fact::Customer if !by_customer => Fact::Plain,
            Fact::Customer | Fact::Plain => *fact,
            // a group's time is its window's
            fact if Some(at) == window_at || is_member_of(&plan.group_expr[at], window) => *fact,
            _ => Fact::Plain,
        };
        let mut facts: Vec<Fact> = facts.iter().enumerate().map(keep).collect();
        facts.extend(plan.aggr_expr.iter().map(|e| of_aggregate(e, window, &plan.input, &input.facts)));
        facts.resize(plan.schema.fields().len(), Fact::Plain);
        Ok(Built { node, facts })
    }

    /// Which group expression is the window; without one, only bounded input gives an answer.
    fn window_position(&self, plan: &AggregatePlan, facts: &[Fact]) -> Result<Option<usize>> {
        for (expression, fact) in plan.group_expr.iter().zip(facts) {
            if window_call(expression).is_some() && !fact.is_window() {
                return Err(Error::unsupported(format!("{expression} in a stream"))
                    .detail("its time is neither the table's event time nor a window of it")
                    .hint("name the column as 'event_time' in the table's OPTIONS, and use it unchanged"));
            }
        }
        let call = plan.group_expr.iter().position(|e| window_call(e).is_some());
        if let Some(at) = call.or_else(|| facts.iter().position(|fact| fact.is_window())) {
            return Ok(Some(at));
        }
        if self.bounded || self.early {
            return Ok(None);
        }
        Err(Error::unsupported("an aggregate without a window in a live stream")
            .detail("its groups would never close")
            .hint("add a window such as tumble(time, INTERVAL '1 minute') to GROUP BY, or ask for early results (OPTIONS ('emit' 'update')), or run with --once"))
    }

    fn grouping(&self, plan: &AggregatePlan, window_at: Option<usize>, by_customer: bool) -> Result<Grouping> {
        let schema = Arc::new(plan.schema.as_arrow().clone());
        let key_at: Vec<usize> = (0..plan.group_expr.len()).filter(|at| Some(*at) != window_at).collect();
        let keys = key_at
            .iter()
            .map(|at| self.expression(&plan.group_expr[*at], plan.input.schema()))
            .collect::<Result<Vec<_>>>()?;
        let key_schema = Arc::new(schema.project(&key_at)?);
        let aggregates = plan.aggr_expr.iter().map(|e| self.one_aggregate(e, plan)).collect::<Result<_>>()?;
        let input = Arc::new(plan.input.schema().as_arrow().clone());
        Ok(Grouping { keys, key_schema, aggregates, window_at, schema, input, by_customer })
    }

    fn one_aggregate(&self, expression: &Expr, plan: &AggregatePlan) -> Result<Aggregate> {
        let schema = plan.input.schema();
        let lowered = LoweredAggregateBuilder::new(
            expression,
            schema,
            schema.as_arrow(),
            self.state.execution_props(),
            &Default::default(),
        )
        .build()
        .map_err(running_error)?;
        let mut arguments = lowered.aggregate.expressions();
        let name = lowered.aggregate.name().to_owned();
        let accumulator = accumulator(&lowered.aggregate, schema.as_arrow())?;
        arguments.extend(lowered.order_bys.iter().map(|order| Arc::clone(&order.expr)));
        Ok(Aggregate { name, accumulator, arguments, filter: lowered.filter })
    }

    fn operator(
        &self,
        plan: &AggregatePlan,
        facts: &[Fact],
        window_at: Option<usize>,
        grouping: Grouping,
    ) -> Result<Box<dyn Operator>> {
        let one = |grouping: Grouping, assign: Assign| -> Box<dyn Operator> {
            match self.early {
                true => Box::new(EarlyAggregate::new(grouping, AssignAll::One(assign))),
                false => Box::new(WindowAggregate::new(grouping, assign)),
            }
        };
        let Some(at) = window_at else { return Ok(one(grouping, Assign::Whole)) };
        let expression = &plan.group_expr[at];
        let Some(call) = window_call(expression) else {
            let column = self.expression(expression, plan.input.schema())?;
            debug_assert!(facts[at].is_window(), "only windows are given");
            return Ok(one(grouping, Assign::Given(column)));
        };
        let time = self.expression(&call.args[0], plan.input.schema())?;
        let spec = window_spec(call.name(), &call.args[1..]).map_err(running_error)?;
        Ok(match spec {
            WindowSpec::Tumble { width, offset } => one(grouping, Assign::Tumble { time, width, offset }),
            WindowSpec::Hop { .. } | WindowSpec::Cumulate { .. } if self.early => {
                Box::new(EarlyAggregate::new(grouping, AssignAll::Overlapping { time, spec }))
            }
            WindowSpec::Hop { .. } | WindowSpec::Cumulate { .. } => Box::new(PaneAggregate::new(grouping, time, spec)),
            WindowSpec::Session { gap } => Box::new(SessionAggregate::new(grouping, time, gap)?),
        })
    }
}

/// The best accumulator for an aggregate: our own for distinct counts, DataFusion's vectorised one, or its adapter.
fn accumulator(aggregate: &Arc<AggregateFunctionExpr>, input: &Schema) -> Result<AccumulatorFactory> {
    if aggregate.fun().name() == "count"
        && aggregate.is_distinct()
        && let [argument] = aggregate.expressions().as_slice()
    {
        let of = argument.data_type(input).map_err(running_error)?;
        if distinct_count_accumulator(&of).is_ok() {
            return Ok(Arc::new(move || distinct_count_accumulator(&of)));
        }
    }
    let aggregate = Arc::clone(aggregate);
    if aggregate.groups_accumulator_supported() {
        return Ok(Arc::new(move || aggregate.create_groups_accumulator()));
    }
    Ok(Arc::new(move || {
        let aggregate = Arc::clone(&aggregate);
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || aggregate.create_accumulator())))
    }))
}
