//! Gaps between consecutive events of a group, in seconds. What needs each gap keeps all event times of the group
//! (8 bytes an event) and sorts them at the end: only so the answer is the same for any order of arrival and any
//! split. The mean telescopes, and keeps three numbers.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float64Array, Int64Array};
use datafusion::arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::common::Result;
use fyke_types::Micros;

use super::function::AggregateFunction;
use super::grouped::{Aggregation, GroupState, Grouped, Groups, Rows};
use super::lists::{as_lists, as_numbers, list_of, lists, span};
use super::variation::Moments;
use crate::doc::FunctionDoc;
use crate::parameter::Parameter;

const MICROS_A_SECOND: f64 = 1e6;

pub(crate) static GAP_MEAN: AggregateFunction = AggregateFunction {
    doc: FunctionDoc {
        name: "gap_mean",
        signature: "gap_mean(time) -> double",
        summary: "Mean gap between consecutive events, in seconds; null for fewer than two events.",
    },
    parameters: &[Parameter::Time],
    required: 1,
    returns: DataType::Float64,
    counts: false,
    state: |_| vec![("count", DataType::Int64), ("first", DataType::Int64), ("last", DataType::Int64)],
    create: |_| Grouped::boxed(MeanGap),
};

pub(crate) static GAP_VAR: AggregateFunction = of_all_gaps(
    FunctionDoc {
        name: "gap_var",
        signature: "gap_var(time) -> double",
        summary: "Sample variance of the gaps between consecutive events, in seconds squared; null for fewer than \
                  two gaps (three events). Keeps 8 bytes an event.",
    },
    |_| Grouped::boxed(Gaps(|times| moments(times).variance())),
);

pub(crate) static GAP_CV: AggregateFunction = of_all_gaps(
    FunctionDoc {
        name: "gap_cv",
        signature: "gap_cv(time) -> double",
        summary: "Coefficient of variation of the gaps (sample standard deviation over mean): near 0 for a clock, \
                  about 1 for chance; null for fewer than two gaps (three events) and for a mean of 0. Keeps 8 bytes \
                  an event.",
    },
    |_| Grouped::boxed(Gaps(|times| moments(times).variation())),
);

pub(crate) static GAP_MIN: AggregateFunction = of_all_gaps(
    FunctionDoc {
        name: "gap_min",
        signature: "gap_min(time) -> double",
        summary: "Shortest gap between consecutive events, in seconds; null for fewer than two events. Keeps 8 bytes \
                  an event.",
    },
    |_| Grouped::boxed(Gaps(|times| gaps(times).min_by(f64::total_cmp))),
);

pub(crate) static GAP_MAX: AggregateFunction = of_all_gaps(
    FunctionDoc {
        name: "gap_max",
        signature: "gap_max(time) -> double",
        summary: "Longest gap between consecutive events, in seconds; null for fewer than two events. Keeps 8 bytes \
                  an event.",
    },
    |_| Grouped::boxed(Gaps(|times| gaps(times).max_by(f64::total_cmp))),
);

type Create = fn(&datafusion::logical_expr::function::AccumulatorArgs) -> Result<Box<dyn super::function::Keeping>>;

const fn of_all_gaps(doc: FunctionDoc, create: Create) -> AggregateFunction {
    AggregateFunction {
        doc,
        parameters: &[Parameter::Time],
        required: 1,
        returns: DataType::Float64,
        counts: false,
        state: |_| vec![("times", list_of(DataType::Int64))],
        create,
    }
}

/// Gaps of sorted times, in seconds.
fn gaps(sorted: &[Micros]) -> impl Iterator<Item = f64> {
    sorted.iter().zip(sorted.iter().skip(1)).map(|(a, b)| b.abs_diff(*a) as f64 / MICROS_A_SECOND)
}

/// Added in the order of time, so the same bits for any order of arrival.
fn moments(sorted: &[Micros]) -> Moments {
    let mut moments = Moments::default();
    gaps(sorted).for_each(|gap| moments.add(gap));
    moments
}

/// The times of a group, in any order.
#[derive(Default)]
struct Times(Vec<Micros>);

impl GroupState for Times {
    fn heap(&self) -> usize {
        self.0.capacity() * size_of::<Micros>()
    }
}

/// A number of a group's sorted times.
#[derive(Clone)]
struct Gaps(fn(&[Micros]) -> Option<f64>);

impl Aggregation for Gaps {
    type Group = Times;

    fn update(&self, values: &[ArrayRef], rows: &Rows<'_>, groups: &mut Groups<Times>) -> Result<()> {
        let column = as_numbers::<TimestampMicrosecondType>(values, 0)?;
        for (row, group) in rows.iter(column.nulls()) {
            groups.change(group, |times| times.0.push(column.value(row)));
        }
        Ok(())
    }

    fn merge(&self, states: &[ArrayRef], rows: &Rows<'_>, groups: &mut Groups<Times>) -> Result<()> {
        let lists = as_lists(states, 0)?;
        let items = as_numbers::<Int64Type>(std::slice::from_ref(lists.values()), 0)?.values();
        for (row, group) in rows.iter(lists.nulls()) {
            let more = items.get(span(lists, row)).unwrap_or_default();
            groups.change(group, |times| times.0.extend_from_slice(more));
        }
        Ok(())
    }

    fn values(&self, groups: &mut [Times]) -> Result<ArrayRef> {
        let number = |times: &mut Times| {
            times.0.sort_unstable();
            self.0(&times.0)
        };
        Ok(Arc::new(groups.iter_mut().map(number).collect::<Float64Array>()))
    }

    fn states(&self, groups: &mut [Times]) -> Result<Vec<ArrayRef>> {
        let mut items = Vec::with_capacity(groups.iter().map(|times| times.0.len()).sum());
        for times in groups.iter_mut() {
            times.0.sort_unstable();
            items.extend_from_slice(&times.0);
        }
        Ok(vec![lists(groups.iter().map(|times| times.0.len()), Arc::new(Int64Array::from(items)))?])
    }
}

#[derive(Clone)]
struct MeanGap;

/// Number of events, the first and the last; the times of no events mean nothing.
#[derive(Default)]
struct Extent {
    count: i64,
    first: Micros,
    last: Micros,
}

impl GroupState for Extent {}

impl Extent {
    fn merge(&mut self, other: Extent) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    fn mean(&self) -> Option<f64> {
        (self.count >= 2).then(|| self.last.abs_diff(self.first) as f64 / (self.count - 1) as f64 / MICROS_A_SECOND)
    }
}

impl Aggregation for MeanGap {
    type Group = Extent;

    fn update(&self, values: &[ArrayRef], rows: &Rows<'_>, groups: &mut Groups<Extent>) -> Result<()> {
        let column = as_numbers::<TimestampMicrosecondType>(values, 0)?;
        for (row, group) in rows.iter(column.nulls()) {
            let time = column.value(row);
            groups.change(group, |extent| extent.merge(Extent { count: 1, first: time, last: time }));
        }
        Ok(())
    }

    fn merge(&self, states: &[ArrayRef], rows: &Rows<'_>, groups: &mut Groups<Extent>) -> Result<()> {
        let column = |index| as_numbers::<Int64Type>(states, index);
        let (counts, firsts, lasts) = (column(0)?, column(1)?, column(2)?);
        for (row, group) in rows.iter(counts.nulls()) {
            let other = Extent { count: counts.value(row), first: firsts.value(row), last: lasts.value(row) };
            groups.change(group, |extent| extent.merge(other));
        }
        Ok(())
    }

    fn values(&self, groups: &mut [Extent]) -> Result<ArrayRef> {
        Ok(Arc::new(groups.iter().map(Extent::mean).collect::<Float64Array>()))
    }

    fn states(&self, groups: &mut [Extent]) -> Result<Vec<ArrayRef>> {
        let column = |of: fn(&Extent) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from(groups.iter().map(of).collect::<Vec<_>>()))
        };
        Ok(vec![column(|extent| extent.count), column(|extent| extent.first), column(|extent| extent.last)])
    }
}
