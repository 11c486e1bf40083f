//! `coefficient_of_variation`: count, mean and sum of squared deviations, merged pairwise
//! (T. F. Chan, G. H. Golub, R. J. LeVeque: "Updating formulae and a pairwise algorithm for computing sample
//! variances", 1979). Equal up to rounding for any split; exact merging would need exact sums.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float64Array, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Float64Type, UInt64Type};
use datafusion::common::Result;

use super::function::AggregateFunction;
use super::grouped::{Aggregation, GroupState, Grouped, Groups, Rows};
use super::lists::as_numbers;
use crate::doc::FunctionDoc;
use crate::parameter::Parameter;

pub(crate) static COEFFICIENT_OF_VARIATION: AggregateFunction = AggregateFunction {
    doc: FunctionDoc {
        name: "coefficient_of_variation",
        signature: "coefficient_of_variation(x) -> double",
        summary: "Sample standard deviation divided by the mean; null for fewer than two values and for a mean of 0.",
    },
    parameters: &[Parameter::Number],
    required: 1,
    returns: DataType::Float64,
    counts: false,
    state: |_| vec![("count", DataType::UInt64), ("mean", DataType::Float64), ("m2", DataType::Float64)],
    create: |_| Grouped::boxed(Variation),
};

#[derive(Clone)]
struct Variation;

/// Count, mean, and sum of squared deviations from the mean.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Moments {
    count: u64,
    mean: f64,
    m2: f64,
}

impl GroupState for Moments {}

impl Moments {
    pub(crate) fn add(&mut self, value: f64) {
        self.merge(Self { count: 1, mean: value, m2: 0.0 });
    }

    fn merge(&mut self, other: Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let delta = other.mean - self.mean;
        self.count += other.count;
        self.mean += delta * b / (a + b);
        self.m2 += other.m2 + delta * delta * a * b / (a + b);
    }

    /// Sample variance; none for fewer than two values.
    pub(crate) fn variance(&self) -> Option<f64> {
        (self.count >= 2).then(|| self.m2 / (self.count - 1) as f64)
    }

    /// Sample standard deviation over the mean; none for fewer than two values and for a mean of 0.
    pub(crate) fn variation(&self) -> Option<f64> {
        let deviation = self.variance()?.sqrt();
        (self.mean != 0.0).then(|| deviation / self.mean)
    }
}

impl Aggregation for Variation {
    type Group = Moments;

    fn update(&self, values: &[ArrayRef], rows: &Rows<'_>, groups: &mut Groups<Moments>) -> Result<()> {
        let column = as_numbers::<Float64Type>(values, 0)?;
        for (row, group) in rows.iter(column.nulls()) {
            groups.change(group, |moments| moments.add(column.value(row)));
        }
        Ok(())
    }

    fn merge(&self, states: &[ArrayRef], rows: &Rows<'_>, groups: &mut Groups<Moments>) -> Result<()> {
        let counts = as_numbers::<UInt64Type>(states, 0)?;
        let (means, m2s) = (as_numbers::<Float64Type>(states, 1)?, as_numbers::<Float64Type>(states, 2)?);
        for (row, group) in rows.iter(counts.nulls()) {
            let other = Moments { count: counts.value(row), mean: means.value(row), m2: m2s.value(row) };
            groups.change(group, |moments| moments.merge(other));
        }
        Ok(())
    }

    fn values(&self, groups: &mut [Moments]) -> Result<ArrayRef> {
        Ok(Arc::new(groups.iter().map(Moments::variation).collect::<Float64Array>()))
    }

    fn states(&self, groups: &mut [Moments]) -> Result<Vec<ArrayRef>> {
        let column = |of: fn(&Moments) -> f64| Arc::new(groups.iter().map(|m| Some(of(m))).collect::<Float64Array>());
        Ok(vec![
            Arc::new(groups.iter().map(|moments| Some(moments.count)).collect::<UInt64Array>()),
            column(|moments| moments.mean),
            column(|moments| moments.m2),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variation_of_known_values() {
        let mut moments = Moments::default();
        [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter().for_each(|value| moments.add(value));
        // squared deviations from 5 sum to 32
        assert!((moments.variance().unwrap() - 32.0 / 7.0).abs() < 1e-12);
        assert!((moments.variation().unwrap() - (32.0f64 / 7.0).sqrt() / 5.0).abs() < 1e-12);
    }

    #[test]
    fn one_value_and_a_mean_of_zero_have_none() {
        let mut moments = Moments::default();
        moments.add(1.0);
        assert_eq!(moments.variation(), None);
        moments.add(-1.0);
        assert_eq!((moments.variance(), moments.variation()), (Some(2.0), None));
    }
}
