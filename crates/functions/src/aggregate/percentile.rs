//! `approx_percentile`: a percentile by DDSketch.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float64Array, Int32Array, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int32Type, UInt64Type};
use datafusion::common::Result;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::arguments::constant;
use super::function::{AggregateFunction, Keeping};
use super::grouped::{Aggregation, GroupState, Grouped, Groups, Rows};
use super::lists::{as_lists, as_numbers, as_pairs, list_of, lists, pair_type, pairs, span};
use super::sketch::{Scale, Sketch};
use crate::doc::FunctionDoc;
use crate::parameter::{Parameter, refuse};

pub(crate) static APPROX_PERCENTILE: AggregateFunction = AggregateFunction {
    doc: FunctionDoc {
        name: "approx_percentile",
        signature: "approx_percentile(x, q [, accuracy]) -> double",
        summary: "The q-th quantile (0 to 1, a constant) of the values, within a relative error of 1 % or the given \
                  accuracy (0.0001 to 0.5), by DDSketch: the same however the rows are split. NaN is ignored; null \
                  for no values.",
    },
    parameters: &[Parameter::Number, Parameter::Number, Parameter::Number],
    required: 2,
    returns: DataType::Float64,
    counts: false,
    state: |_| vec![("buckets", list_of(pair_type(KEY, DataType::Int32)))],
    create,
};

const KEY: &str = "key";
const ACCURACY: f64 = 0.01;
const ACCURACIES: std::ops::RangeInclusive<f64> = 0.0001..=0.5;

fn create(args: &AccumulatorArgs) -> Result<Box<dyn Keeping>> {
    let q = constant(args, 1, "the quantile of approx_percentile")?.unwrap_or(f64::NAN);
    if !(0.0..=1.0).contains(&q) {
        return Err(refuse(format!("the quantile of approx_percentile is {q}"), "it goes from 0 to 1; 0.95 is p95"));
    }
    let accuracy = constant(args, 2, "the accuracy of approx_percentile")?.unwrap_or(ACCURACY);
    if !ACCURACIES.contains(&accuracy) {
        return Err(refuse(
            format!("the accuracy of approx_percentile is {accuracy}"),
            "it is a relative error from 0.0001 to 0.5; 0.01 is the default",
        ));
    }
    Grouped::boxed(Percentile { q, scale: Scale::new(accuracy) })
}

#[derive(Clone)]
struct Percentile {
    q: f64,
    scale: Scale,
}

impl GroupState for Sketch {
    fn heap(&self) -> usize {
        Sketch::heap(self)
    }
}

impl Aggregation for Percentile {
    type Group = Sketch;

    fn update(&self, values: &[ArrayRef], rows: &Rows<'_>, groups: &mut Groups<Sketch>) -> Result<()> {
        let column = as_numbers::<Float64Type>(values, 0)?;
        for (row, group) in rows.iter(column.nulls()) {
            groups.change(group, |sketch| sketch.add(self.scale, column.value(row)));
        }
        Ok(())
    }

    fn merge(&self, states: &[ArrayRef], rows: &Rows<'_>, groups: &mut Groups<Sketch>) -> Result<()> {
        let lists = as_lists(states, 0)?;
        let (keys, counts) = as_pairs(lists.values())?;
        let keys = as_numbers::<Int32Type>(std::slice::from_ref(keys), 0)?;
        let counts = as_numbers::<UInt64Type>(std::slice::from_ref(counts), 0)?;
        for (row, group) in rows.iter(lists.nulls()) {
            groups.change(group, |sketch| {
                span(lists, row).for_each(|item| sketch.add_bucket(keys.value(item), counts.value(item)));
            });
        }
        Ok(())
    }

    fn values(&self, groups: &mut [Sketch]) -> Result<ArrayRef> {
        let quantile = |sketch: &mut Sketch| sketch.quantile(self.scale, self.q);
        Ok(Arc::new(groups.iter_mut().map(quantile).collect::<Float64Array>()))
    }

    fn states(&self, groups: &mut [Sketch]) -> Result<Vec<ArrayRef>> {
        let all = || groups.iter().flat_map(|sketch| sketch.buckets());
        let keys = all().map(|bucket| bucket.0).collect::<Vec<_>>();
        let counts = all().map(|bucket| bucket.1).collect::<Vec<_>>();
        let items = pairs(KEY, Arc::new(Int32Array::from(keys)), Arc::new(UInt64Array::from(counts)))?;
        Ok(vec![lists(groups.iter().map(|sketch| sketch.buckets().len()), items)?])
    }
}
