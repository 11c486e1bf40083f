//! The four functions as the planner sees them: types, checked arguments, and `tumble`'s values.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use fyke_types::{WindowSpec, tumble, window};

use super::{WINDOW_FUNCTIONS, is_time, row_times, spec_of};

/// The window functions, to be registered in a session.
pub fn window_functions() -> Vec<ScalarUDF> {
    WINDOW_FUNCTIONS.iter().map(|name| ScalarUDF::from(WindowFunction::new(name))).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowFunction {
    name: &'static str,
    signature: Signature,
}

impl WindowFunction {
    fn new(name: &'static str) -> Self {
        Self { name, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for WindowFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(window::window_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let Some(time) = args.arg_fields.first() else { return plan_err!("{} takes a time and a width", self.name) };
        if !is_time(time.data_type()) {
            return plan_err!("{} takes a timestamp or a window first, not {}", self.name, time.data_type());
        }
        let literals: Vec<_> = args.scalar_arguments.iter().skip(1).map(|value| value.cloned()).collect();
        spec_of(self.name, &literals)?;
        Ok(Arc::new(Field::new(self.name, window::window_type(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let literals: Vec<_> = args.args[1..]
            .iter()
            .map(|argument| match argument {
                ColumnarValue::Scalar(value) => Some(value.clone()),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        let WindowSpec::Tumble { width, offset } = spec_of(self.name, &literals)? else {
            return exec_err!("{} belongs into GROUP BY (or, hop and cumulate, once into a select list)", self.name);
        };
        let (times, nulls) = row_times(&args.args[0].to_array(rows)?)?;
        let (starts, ends) = times.into_iter().map(|t| tumble(t, width, offset)).unzip();
        Ok(ColumnarValue::Array(Arc::new(window::windows(starts, ends, nulls))))
    }
}
