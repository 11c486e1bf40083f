//! Sessions in batch: one pass over a partition sorted by time.

use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{Field, FieldRef};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, Signature, Volatility, WindowUDFImpl};
use datafusion::physical_expr::expressions::Literal;
use fyke_types::{Micros, WindowSpec, window};

use super::{row_times, spec_of};

/// `__session_over(t, gap) OVER (PARTITION BY keys ORDER BY t)`: each row's session.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct SessionOver {
    signature: Signature,
}

impl SessionOver {
    /// The function.
    pub fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl WindowUDFImpl for SessionOver {
    fn name(&self) -> &str {
        "__session_over"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let gap = args.input_exprs().get(1).and_then(|e| e.downcast_ref::<Literal>()).map(|l| l.value().clone());
        let WindowSpec::Session { gap } = spec_of("session", &[gap])? else {
            return exec_err!("session takes a gap");
        };
        Ok(Box::new(SessionEvaluator { gap }))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), window::window_type(), true)))
    }
}

#[derive(Debug)]
struct SessionEvaluator {
    gap: Micros,
}

impl PartitionEvaluator for SessionEvaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let (times, nulls) = row_times(&values[0])?;
        let (mut starts, mut ends) = (vec![0; rows], vec![0; rows]);
        let mut first = 0;
        while first < rows {
            let mut next = first + 1;
            // rows without time sort together and get a null window anyway
            while next < rows && times[next].saturating_sub(times[next - 1]) <= self.gap {
                next += 1;
            }
            let end = times[next - 1].saturating_add(self.gap);
            starts[first..next].fill(times[first]);
            ends[first..next].fill(end);
            first = next;
        }
        Ok(Arc::new(window::windows(starts, ends, nulls)))
    }
}
