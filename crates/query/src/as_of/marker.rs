//! The marker in a join's condition.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// What the marker is called; it never runs.
pub(super) const MARKER: &str = "__as_of";

/// The marker of a left join, in the text.
pub(super) const LEFT_MARKER: &str = "__as_of_left";

/// `__as_of(condition)`: the condition decides which right row is the latest.
pub fn marker() -> ScalarUDF {
    ScalarUDF::from(Marker { signature: Signature::exact(vec![DataType::Boolean], Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Marker {
    signature: Signature,
}

impl ScalarUDFImpl for Marker {
    fn name(&self) -> &str {
        MARKER
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{MARKER} stands in the condition of an as-of join alone")
    }
}
