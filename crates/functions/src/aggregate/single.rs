//! One group as an `Accumulator`, for plans without keys: the groups accumulator with a single group. No second
//! implementation, so both ways give the same bits.

use std::fmt;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo};

use super::function::Keeping;

/// Group 0 of a groups accumulator.
pub(crate) struct SingleGroup(Box<dyn Keeping>);

impl SingleGroup {
    pub(crate) fn new(mut inner: Box<dyn Keeping>) -> Self {
        inner.ensure(1);
        Self(inner)
    }
}

impl fmt::Debug for SingleGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SingleGroup")
    }
}

fn zeros(arrays: &[ArrayRef]) -> Vec<usize> {
    vec![0; arrays.first().map_or(0, |array| array.len())]
}

impl Accumulator for SingleGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values, &zeros(values), None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states, &zeros(states), 1)
    }

    /// Keeps the state: windows that grow with the row ask again.
    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.0.values()?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = self.0.state(EmitTo::All)?;
        self.0.ensure(1);
        state.iter().map(|array| ScalarValue::try_from_array(array, 0)).collect()
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.size()
    }
}
