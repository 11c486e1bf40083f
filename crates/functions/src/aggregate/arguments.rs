//! Constants among an aggregate's arguments.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::physical_expr::expressions::Literal;

use crate::parameter::refuse;

/// Argument `index` as a constant number; none where it was not given.
///
/// # Errors
/// `Usage` where it is no constant, or null.
pub(crate) fn constant(args: &AccumulatorArgs, index: usize, what: &str) -> Result<Option<f64>> {
    let Some(expression) = args.exprs.get(index) else { return Ok(None) };
    let literal = expression.downcast_ref::<Literal>().map(|literal| literal.value().cast_to(&DataType::Float64));
    match literal.transpose()? {
        Some(ScalarValue::Float64(Some(number))) => Ok(Some(number)),
        _ => Err(refuse(format!("{what} is no constant number"), "write it as a literal such as 0.95")),
    }
}
