//! Interval joins: which bounds follow from a join's condition, and how long rows wait therefore.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::JoinType;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::scalar::ScalarValue;
use fyke_stream::operators::{IntervalJoin, JoinPort, JoinShape, Shifted};
use fyke_types::{Micros, Result};

use super::build::{Built, Planner};
use super::facts::{Fact, of_expression};
use super::join::joined_facts;
use crate::errors::running_error;

const DAY: Micros = 86_400_000_000;

/// An expression and what is added to it: between so much and so much, since months differ.
struct Term<'a> {
    base: &'a Expr,
    least: Micros,
    most: Micros,
}

/// `smaller` ≤ `greater`, or < where it is strict.
struct Bound<'a> {
    smaller: Term<'a>,
    greater: Term<'a>,
    strict: bool,
}

type BothKeys = (Vec<Arc<dyn PhysicalExpr>>, Vec<Arc<dyn PhysicalExpr>>);

/// A side of a join.
#[derive(Clone, Copy)]
struct Side<'a> {
    plan: &'a LogicalPlan,
    built: &'a Built,
}

impl Side<'_> {
    fn holds(&self, expression: &Expr) -> bool {
        let columns = expression.column_refs();
        !columns.is_empty() && columns.iter().all(|column| self.plan.schema().has_column(column))
    }

    fn fact(&self, expression: &Expr) -> Fact {
        of_expression(expression, self.plan, &self.built.facts)
    }
}

impl Planner<'_> {
    /// How long the rows of each side wait for each other, or why that has no end.
    pub(super) fn interval_ports(
        &self,
        join: &Join,
        left: &Built,
        right: &Built,
    ) -> Result<std::result::Result<[JoinPort; 2], String>> {
        if matches!(join.join_type, JoinType::LeftMark | JoinType::RightMark) || join.null_aware {
            return Ok(Err(format!("a {} join is none of intervals", join.join_type)));
        }
        let left = Side { plan: &join.left, built: left };
        let right = Side { plan: &join.right, built: right };
        let bounds = bounds_of(join);
        let (left_keys, right_keys) = self.join_keys(&join.on, &join.left, &join.right)?;
        let ports = [
            self.interval_port("left", left, right, &bounds, left_keys)?,
            self.interval_port("right", right, left, &bounds, right_keys)?,
        ];
        Ok(match ports {
            [Ok(left), Ok(right)] => Ok([left, right]),
            [Err(reason), _] | [_, Err(reason)] => Err(reason),
        })
    }

    fn interval_port(
        &self,
        name: &str,
        own: Side<'_>,
        other: Side<'_>,
        bounds: &[Bound<'_>],
        keys: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<std::result::Result<JoinPort, String>> {
        let times = self.row_times(own.plan, own.built)?;
        if times.is_empty() {
            return Ok(Err(format!("the {name} side has no event time")));
        }
        let mut until = Vec::new();
        for Bound { smaller, greater, strict } in bounds {
            // the other side's time is at most something of ours
            let Some(behind) = other.fact(smaller.base).behind().filter(|_| other.holds(smaller.base)) else {
                continue;
            };
            let Some(unit) = time_unit(greater.base, own.plan).filter(|_| own.holds(greater.base)) else { continue };
            let exact = *strict && unit == TimeUnit::Microsecond && smaller.least == smaller.most;
            let reach = greater.most.saturating_sub(smaller.least).saturating_sub(Micros::from(exact));
            until.push(Shifted {
                time: self.expression(greater.base, own.plan.schema())?,
                by: reach.saturating_add(behind),
            });
        }
        if until.is_empty() {
            let other = if name == "left" { "right" } else { "left" };
            return Ok(Err(format!(
                "the {other} side's event time has no upper bound by the {name} side's columns, so {name} rows would be kept for ever"
            )));
        }
        Ok(Ok(JoinPort { keys, times, until }))
    }

    /// The columns that say a row's time.
    pub(super) fn row_times(&self, plan: &LogicalPlan, built: &Built) -> Result<Vec<Shifted>> {
        let columns = plan.schema().columns();
        let known =
            columns.into_iter().zip(&built.facts).filter_map(|(column, fact)| Some((column, fact.to_row_time()?)));
        known
            .map(|(column, by)| Ok(Shifted { time: self.expression(&Expr::Column(column), plan.schema())?, by }))
            .collect()
    }

    /// Types of a join's keys.
    pub(super) fn key_types(&self, on: &[(Expr, Expr)], left: &LogicalPlan) -> Result<Vec<DataType>> {
        on.iter().map(|(key, _)| key.get_type(left.schema().as_ref()).map_err(running_error)).collect()
    }

    /// The keys of both sides, of the left side's types, so that equal keys meet on one worker.
    pub(super) fn join_keys(&self, on: &[(Expr, Expr)], left: &LogicalPlan, right: &LogicalPlan) -> Result<BothKeys> {
        let types = self.key_types(on, left)?;
        let lefts = on.iter().map(|(key, _)| self.expression(key, left.schema()));
        let rights = on.iter().zip(types).map(|((_, key), of)| {
            let key = key.clone().cast_to(&of, right.schema().as_ref()).map_err(running_error)?;
            self.expression(&key, right.schema())
        });
        Ok((lefts.collect::<Result<_>>()?, rights.collect::<Result<_>>()?))
    }

    pub(super) fn interval_join(
        &mut self,
        join: &Join,
        ports: [JoinPort; 2],
        left: &Built,
        right: &Built,
    ) -> Result<Built> {
        let customers = (Fact::Customer, Fact::Customer);
        let by_customer = join.on.iter().any(|(l, r)| {
            (of_expression(l, &join.left, &left.facts), of_expression(r, &join.right, &right.facts)) == customers
        });
        let pair = join.left.schema().join(join.right.schema()).map_err(running_error)?;
        let condition = join.filter.as_ref().map(|filter| self.expression(filter, &pair)).transpose()?;
        let nulls_match = join.null_equality == datafusion::common::NullEquality::NullEqualsNull;
        let shape = JoinShape {
            join_type: join.join_type,
            ports,
            key_types: self.key_types(&join.on, &join.left)?,
            nulls_match,
            condition,
            pair: Arc::new(with_nulls(pair.as_arrow())),
            schema: Arc::new(join.schema.as_arrow().clone()),
            by_customer,
        };
        let operator = IntervalJoin::new(shape)?;
        self.per_customer |= by_customer;
        let node = self.graph.add(Box::new(operator), &[left.node, right.node]);
        Ok(Built { node, facts: interval_facts(join, left, right, by_customer) })
    }
}

/// A pair's columns before it is known whether it matches.
fn with_nulls(schema: &datafusion::arrow::datatypes::Schema) -> datafusion::arrow::datatypes::Schema {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    datafusion::arrow::datatypes::Schema::new(fields.collect::<Vec<_>>())
}

/// A pair keeps both times. Columns of a side that may be missing close no window and name no customer.
fn interval_facts(join: &Join, left: &Built, right: &Built, by_customer: bool) -> Vec<Fact> {
    let lefts = left.facts.len();
    let may_be_missing = |at: usize| match join.join_type {
        JoinType::Left => at >= lefts,
        JoinType::Right => at < lefts,
        JoinType::Full => true,
        _ => false,
    };
    let keep = |(at, fact): (usize, Fact)| match fact {
        Fact::Customer if !by_customer => Fact::Plain,
        Fact::EventTime => Fact::EventTime,
        _ if may_be_missing(at) => Fact::Plain,
        fact => fact,
    };
    joined_facts(join, left, right).into_iter().enumerate().map(keep).collect()
}

/// The unit of a timestamp.
pub(super) fn time_unit(expression: &Expr, plan: &LogicalPlan) -> Option<TimeUnit> {
    match expression.get_type(plan.schema().as_ref()) {
        Ok(DataType::Timestamp(unit, _)) => Some(unit),
        _ => None,
    }
}

/// All that a join's condition says of one expression being at most another.
fn bounds_of(join: &Join) -> Vec<Bound<'_>> {
    let mut bounds = Vec::new();
    for (left, right) in &join.on {
        bounds.extend(bound(left, right, false));
        bounds.extend(bound(right, left, false));
    }
    for conjunct in join.filter.iter().flat_map(split_conjunction) {
        match conjunct {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::LtEq | Operator::Lt => bounds.extend(bound(left, right, *op == Operator::Lt)),
                Operator::GtEq | Operator::Gt => bounds.extend(bound(right, left, *op == Operator::Gt)),
                Operator::Eq => {
                    bounds.extend(bound(left, right, false));
                    bounds.extend(bound(right, left, false));
                }
                _ => {}
            },
            Expr::Between(between) if !between.negated => {
                bounds.extend(bound(&between.low, &between.expr, false));
                bounds.extend(bound(&between.expr, &between.high, false));
            }
            _ => {}
        }
    }
    bounds
}

fn bound<'a>(smaller: &'a Expr, greater: &'a Expr, strict: bool) -> Option<Bound<'a>> {
    Some(Bound { smaller: term(smaller)?, greater: term(greater)?, strict })
}

/// An expression without the intervals that are added to it; none where the sum is out of range.
fn term(expression: &Expr) -> Option<Term<'_>> {
    let plain = Term { base: expression, least: 0, most: 0 };
    let add = |term: Term<'_>, (least, most): (Micros, Micros)| -> Option<(Micros, Micros)> {
        Some((term.least.checked_add(least)?, term.most.checked_add(most)?))
    };
    match expression {
        Expr::Alias(alias) => term(&alias.expr),
        // to micro- or nanoseconds: nothing is lost
        Expr::Cast(cast) if is_fine(cast.field.data_type()) => term(&cast.expr),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (of, by) = match (op, interval(left), interval(right)) {
                (Operator::Plus, None, Some(by)) => (left, by),
                (Operator::Plus, Some(by), None) => (right, by),
                (Operator::Minus, None, Some((least, most))) => (left, (most.checked_neg()?, least.checked_neg()?)),
                _ => return Some(plain),
            };
            let inner = term(of)?;
            let base = inner.base;
            let (least, most) = add(inner, by)?;
            Some(Term { base, least, most })
        }
        _ => Some(plain),
    }
}

fn is_fine(of: &DataType) -> bool {
    matches!(of, DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, _))
}

/// How long an interval is: at least and at most.
fn interval(expression: &Expr) -> Option<(Micros, Micros)> {
    let Expr::Literal(value, _) = expression else { return None };
    let of = |months: i32, days: i64, nanos: i64| -> Option<(Micros, Micros)> {
        let rest = days.checked_mul(DAY)?.checked_add(nanos.div_euclid(1_000))?;
        let (short, long) = (i64::from(months) * 28 * DAY, i64::from(months) * 31 * DAY);
        let part = Micros::from(nanos.rem_euclid(1_000) != 0);
        Some((rest.checked_add(short.min(long))?, rest.checked_add(short.max(long))?.checked_add(part)?))
    };
    match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) => of(v.months, v.days.into(), v.nanoseconds),
        ScalarValue::IntervalDayTime(Some(v)) => of(0, v.days.into(), i64::from(v.milliseconds) * 1_000_000),
        ScalarValue::IntervalYearMonth(Some(months)) => of(*months, 0, 0),
        ScalarValue::DurationSecond(Some(v)) => of(0, 0, v.checked_mul(1_000_000_000)?),
        ScalarValue::DurationMillisecond(Some(v)) => of(0, 0, v.checked_mul(1_000_000)?),
        ScalarValue::DurationMicrosecond(Some(v)) => of(0, 0, v.checked_mul(1_000)?),
        ScalarValue::DurationNanosecond(Some(v)) => of(0, 0, *v),
        _ => None,
    }
}

/// An expression without what is added to it, which must be the same for all rows.
pub(super) fn time_and_shift(expression: &Expr) -> Option<(&Expr, Micros)> {
    let Term { base, least, most } = term(expression)?;
    (least == most).then_some((base, least))
}
