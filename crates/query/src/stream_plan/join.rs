//! Joins: windowed with windowed on the window, a stream with a static table, anything at the end of bounded input.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_expr::PhysicalExpr;
use fyke_stream::ReloadedTable;
use fyke_stream::operators::{Slot, StaticJoin};
use fyke_types::{Error, Result, Span, WindowSpec};

use super::build::{Built, Planner, is_static};
use super::facts::{Fact, of_expression};
use super::{key, leaf};
use crate::errors::running_error;

impl Planner<'_> {
    pub(super) async fn join(&mut self, plan: &LogicalPlan, join: &Join) -> Result<Built> {
        match (is_static(&join.left), is_static(&join.right)) {
            (false, true) => {
                if let Some(swapped) = stream_left(join.join_type) {
                    return self.static_join(join, true, swapped).await;
                }
            }
            (true, false) if stream_right(join.join_type) => {
                return self.static_join(join, false, join.join_type).await;
            }
            _ => {}
        }
        let left = self.build(&join.left).await?;
        let right = self.build(&join.right).await?;
        let keys: Vec<(Fact, Fact)> = join
            .on
            .iter()
            .map(|(l, r)| (of_expression(l, &join.left, &left.facts), of_expression(r, &join.right, &right.facts)))
            .collect();
        let times = keys.iter().position(|(l, r)| closes_together(*l, *r)).map(|at| &join.on[at]);
        if times.is_none() {
            match self.interval_ports(join, &left, &right)? {
                Ok(ports) => return self.interval_join(join, ports, &left, &right),
                Err(reason) if !self.bounded && !self.early => {
                    return Err(Error::unsupported("a join of two live streams without a common window")
                        .detail(format!("and without an interval between their times: {reason}"))
                        .hint("bound each side's time by the other's, as in ON a.k = b.k AND b.time BETWEEN a.time - INTERVAL '1 minute' AND a.time + INTERVAL '1 minute'; or join windowed results ON l.w = r.w (or on start, where both windows have the same fixed width); or run with --once"));
                }
                Err(_) => {}
            }
        }
        let by_customer = times.is_some() && keys.contains(&(Fact::Customer, Fact::Customer));
        let (left_time, right_time) = match times {
            Some((l, r)) => (Some(self.time(l, &join.left, &left)?), Some(self.time(r, &join.right, &right)?)),
            None => (None, None),
        };
        let facts = joined_facts(join, &left, &right);
        let name = format!("{} join", join.join_type);
        let keys = self.keys.get(&left.node).zip(self.keys.get(&right.node));
        let key = keys.map(|(left, right)| key::joined(join, left, right));
        let built = self.step(plan, &name, vec![(left, left_time), (right, right_time)], facts, by_customer).await?;
        self.note_key(built.node, key);
        Ok(built)
    }

    /// The window column behind a join key: the key itself, or the window that its start or end belongs to.
    fn time(&self, key: &Expr, side: &LogicalPlan, built: &Built) -> Result<Arc<dyn PhysicalExpr>> {
        let fact = of_expression(key, side, &built.facts);
        if fact.is_window() {
            return self.expression(key, side.schema());
        }
        // start and end of a fixed window determine each other: a one-row window call on the start gives it back
        let (Fact::Start(spec) | Fact::End(spec)) = fact else {
            return Err(Error::internal("a join key is no window"));
        };
        let (width, offset) = fixed(spec).ok_or_else(|| Error::internal("a join key's window is not fixed"))?;
        let inside = match fact {
            Fact::End(_) => key.clone() - datafusion::prelude::lit(micros_interval(width)),
            _ => key.clone(),
        };
        let Some(tumble) = fyke_functions::windows::window_functions().into_iter().find(|f| f.name() == "tumble")
        else {
            return Err(Error::internal("tumble is not registered"));
        };
        // with the start as its own alignment, whatever the slide
        let call = tumble.call(vec![
            inside,
            datafusion::prelude::lit(micros_interval(width)),
            datafusion::prelude::lit(micros_interval(offset)),
        ]);
        self.expression(&call, side.schema())
    }

    /// `stream_is_left`: the static side is put to the left, where DataFusion builds its table once.
    async fn static_join(&mut self, join: &Join, stream_is_left: bool, join_type: JoinType) -> Result<Built> {
        let (stream, fixed) = if stream_is_left { (&join.left, &join.right) } else { (&join.right, &join.left) };
        let input = self.build(stream).await?;
        let (rows, reloading) = self.fixed_side(fixed).await?;
        let slot = Slot::new(Arc::new(stream.schema().as_arrow().clone()));
        let port = leaf::slot(0, &slot, stream.schema()).map_err(running_error)?;
        let on =
            join.on.iter().map(|(l, r)| if stream_is_left { (r.clone(), l.clone()) } else { (l.clone(), r.clone()) });
        let swapped = Join::try_new(
            Arc::new(rows),
            Arc::new(port),
            on.collect(),
            join.filter.clone(),
            join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )
        .map_err(running_error)?;
        let inner = LogicalPlan::Join(swapped);
        // columns back into the order of the text
        let select: Vec<Expr> = join.schema.columns().into_iter().map(Expr::Column).collect();
        let inner = LogicalPlanBuilder::from(inner).project(select).and_then(|b| b.build()).map_err(running_error)?;
        let physical = self.physical(&inner).await?;
        let facts = match (stream_is_left, join.schema.fields().len() == input.facts.len()) {
            (_, true) => input.facts.clone(),
            (true, false) => {
                let mut facts = input.facts.clone();
                facts.resize(join.schema.fields().len(), Fact::Plain);
                facts
            }
            (false, false) => {
                let before = join.schema.fields().len().saturating_sub(input.facts.len());
                let mut facts = vec![Fact::Plain; before];
                facts.extend(&input.facts);
                facts
            }
        };
        let name = format!("{} join with static rows", join.join_type);
        let mut operator = StaticJoin::new(name, slot, physical, self.context());
        if let Some((table, kept)) = reloading {
            operator = operator.reloading(table, kept, Arc::new(fixed.schema().as_arrow().clone()));
        }
        let node = self.graph.add(Box::new(operator), &[input.node]);
        // several static rows for one of the stream are found when they come
        let before = if stream_is_left || join.schema.fields().len() == input.facts.len() {
            0
        } else {
            join.schema.fields().len().saturating_sub(input.facts.len())
        };
        self.note_key(node, self.keys.get(&input.node).map(|of| key::shifted(of, before)));
        Ok(Built { node, facts })
    }
}

impl Planner<'_> {
    /// The rows of a static side as a leaf; where they may change, the table that says so and the slot that keeps them.
    async fn fixed_side(&mut self, fixed: &LogicalPlan) -> Result<(LogicalPlan, Option<(Arc<ReloadedTable>, Slot)>)> {
        if let Some(table) = self.reloads.table(self.static_sides, fixed, &self.step_state)? {
            self.static_sides += 1;
            let kept = Slot::keeping(Arc::new(fixed.schema().as_arrow().clone()));
            let leaf = leaf::slot(1, &kept, fixed.schema()).map_err(running_error)?;
            return Ok((leaf, Some((table, kept))));
        }
        let rows = self.collect_static(fixed).await?;
        Ok((leaf::rows(rows, fixed.schema()).map_err(running_error)?, None))
    }
}

/// The join type with sides swapped, where the stream stands left and its rows alone decide what comes out.
fn stream_left(join_type: JoinType) -> Option<JoinType> {
    match join_type {
        JoinType::Inner => Some(JoinType::Inner),
        JoinType::Left => Some(JoinType::Right),
        JoinType::LeftSemi => Some(JoinType::RightSemi),
        JoinType::LeftAnti => Some(JoinType::RightAnti),
        JoinType::LeftMark => Some(JoinType::RightMark),
        _ => None,
    }
}

fn stream_right(join_type: JoinType) -> bool {
    use JoinType::{Inner, Right, RightAnti, RightMark, RightSemi};
    matches!(join_type, Inner | Right | RightSemi | RightAnti | RightMark)
}

/// Whether rows that are equal in these keys close together.
fn closes_together(left: Fact, right: Fact) -> bool {
    match (left, right) {
        (Fact::Window(_), Fact::Window(_)) => true,
        (Fact::Start(l), Fact::Start(r)) | (Fact::End(l), Fact::End(r)) => fixed(l).is_some() && fixed(l) == fixed(r),
        _ => false,
    }
}

/// Width and offset of windows whose start determines their end by alignment.
fn fixed(spec: WindowSpec) -> Option<(i64, i64)> {
    match spec {
        WindowSpec::Tumble { width: Span::Micros(width), offset } => Some((width, offset)),
        _ => None,
    }
}

fn micros_interval(micros: i64) -> datafusion::scalar::ScalarValue {
    datafusion::scalar::ScalarValue::new_interval_mdn(0, 0, micros.saturating_mul(1_000))
}

pub(super) fn joined_facts(join: &Join, left: &Built, right: &Built) -> Vec<Fact> {
    use JoinType::{LeftAnti, LeftMark, LeftSemi, RightAnti, RightMark, RightSemi};
    let mut facts = match join.join_type {
        LeftSemi | LeftAnti | LeftMark => left.facts.clone(),
        RightSemi | RightAnti | RightMark => right.facts.clone(),
        _ => left.facts.iter().chain(&right.facts).copied().collect(),
    };
    facts.resize(join.schema.fields().len(), Fact::Plain);
    facts
}
