//! The last value so far, in batch: one pass over a sorted partition.

use datafusion::arrow::array::{Array, ArrayRef, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::Result;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, Signature, Volatility, WindowUDFImpl};

/// `__carry_forward(value) OVER (PARTITION BY keys ORDER BY t)`: the value of the latest row up to this one that has any.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct CarryForward {
    signature: Signature,
}

impl CarryForward {
    /// The function.
    pub fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl WindowUDFImpl for CarryForward {
    fn name(&self) -> &str {
        "__carry_forward"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(CarryEvaluator))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let value = args.get_input_field(0);
        let value = value.ok_or_else(|| datafusion::common::plan_datafusion_err!("{} takes a value", self.name()))?;
        Ok(value.as_ref().clone().with_name(args.name()).with_nullable(true).into())
    }
}

#[derive(Debug)]
struct CarryEvaluator;

impl PartitionEvaluator for CarryEvaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let values = &values[0];
        let latest: UInt32Array = (0..rows as u32)
            .scan(None, |latest, row| {
                if values.is_valid(row as usize) {
                    *latest = Some(row);
                }
                Some(*latest)
            })
            .collect();
        Ok(take(values, &latest, None)?)
    }
}
