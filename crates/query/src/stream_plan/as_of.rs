//! As-of joins: how long a left row waits, and which right rows may still be matched.

use std::sync::Arc;

use datafusion::arrow::datatypes::TimeUnit;
use datafusion::logical_expr::{Expr, LogicalPlan};
use fyke_stream::operators::{AsOfJoin, AsOfShape, JoinPort, Shifted};
use fyke_types::{Error, Micros, Result};

use super::build::{Built, Planner, is_static};
use super::facts::{Fact, of_expression};
use super::interval::{time_and_shift, time_unit};
use crate::as_of::AsOfNode;

/// A match time: an expression and what is added to it.
struct MatchTime<'a> {
    base: &'a Expr,
    by: Micros,
    /// How far it may lie behind the mark of its side.
    behind: Option<Micros>,
}

impl Planner<'_> {
    pub(super) async fn as_of(&mut self, plan: &LogicalPlan, node: &AsOfNode) -> Result<Built> {
        if is_static(&node.left) {
            return Err(Error::unsupported("an as-of join of a static table with a stream")
                .detail("its rows have no event time by which they could wait")
                .hint("put the stream to the left, or read the table as a stream"));
        }
        let right_is_static = is_static(&node.right);
        let left = self.build(&node.left).await?;
        let right = self.build(&node.right).await?;
        let left_time = match_time(&node.times.0, &node.left, &left)?;
        let mut right_time = match_time(&node.times.1, &node.right, &right)?;
        if right_is_static {
            // all of it is there before a mark moves
            right_time.behind = Some(0);
        }
        let Some(reach) = right_time.behind else {
            return Err(Error::unsupported(format!("an as-of join on {} in a stream", node.times.1))
                .detail("no watermark says when its rows up to some time are all there")
                .hint("match on the right side's event time, or on the start or end of its window"));
        };
        if left_time.behind.is_none() && !self.bounded {
            return Err(Error::unsupported(format!("an as-of join on {} in a live stream", node.times.0))
                .detail("no watermark bounds it from below, so right rows would be kept for ever")
                .hint("match on the left side's event time, its window's end or the last event time of its session; or run with --once"));
        }
        let strict = Micros::from(node.strict);
        let times = |name: &str, times: Vec<Shifted>| match times.is_empty() {
            true => Err(Error::unsupported(format!("an as-of join whose {name} side has no event time"))
                .hint("select its event time, or its window, too")),
            false => Ok(times),
        };
        let left_times = times("left", self.row_times(&node.left, &left)?)?;
        let right_times =
            if right_is_static { Vec::new() } else { times("right", self.row_times(&node.right, &right)?)? };
        let until = |planner: &Self, side: &LogicalPlan, time: &MatchTime<'_>, by| -> Result<Vec<Shifted>> {
            Ok(vec![Shifted { time: planner.expression(time.base, side.schema())?, by }])
        };
        let by = left_time.by.saturating_sub(strict).saturating_add(reach);
        let (left_keys, right_keys) = self.join_keys(&node.on, &node.left, &node.right)?;
        let left_until = until(self, &node.left, &left_time, by)?;
        let right_until = until(self, &node.right, &right_time, right_time.by)?;
        let by_customer = node.on.iter().any(|(l, r)| {
            let facts = (of_expression(l, &node.left, &left.facts), of_expression(r, &node.right, &right.facts));
            facts == (Fact::Customer, Fact::Customer)
        });
        let shape = AsOfShape {
            left: JoinPort { keys: left_keys, times: left_times, until: left_until },
            right: JoinPort { keys: right_keys, times: right_times, until: right_until },
            reach,
            left_behind: left_time.behind.map(|behind| behind.saturating_add(strict)),
            key_types: self.key_types(&node.on, &node.left)?,
            outer: node.outer,
            right_schema: Arc::new(node.right.schema().as_arrow().clone()),
            schema: Arc::new(plan.schema().as_arrow().clone()),
            by_customer,
        };
        let operator = AsOfJoin::new(shape)?;
        self.per_customer |= by_customer;
        let inner = self.graph.add(Box::new(operator), &[left.node, right.node]);
        // what comes out is as old as its left row; the right row is of any age
        let keep = |fact: &Fact| if *fact == Fact::Customer && !by_customer { Fact::Plain } else { *fact };
        let mut facts: Vec<Fact> = left.facts.iter().map(keep).collect();
        facts.resize(plan.schema().fields().len(), Fact::Plain);
        Ok(Built { node: inner, facts })
    }
}

fn match_time<'a>(time: &'a Expr, side: &LogicalPlan, built: &Built) -> Result<MatchTime<'a>> {
    let exact = time_and_shift(time).filter(|(base, _)| time_unit(base, side) == Some(TimeUnit::Microsecond));
    let Some((base, by)) = exact else {
        return Err(Error::unsupported(format!("an as-of join on {time} in a stream"))
            .detail("its match time is no column of microseconds with a fixed interval added")
            .hint("compute the time in a subquery"));
    };
    let behind = of_expression(base, side, &built.facts).behind().map(|behind| behind.saturating_sub(by));
    Ok(MatchTime { base, by, behind })
}
