//! All windows of a row as a list.

use std::sync::Arc;

use datafusion::arrow::array::ListArray;
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use fyke_types::window;

use super::{row_times, spec_of};

/// `__hop_windows(t, …)`, `__cumulate_windows(t, …)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct WindowList {
    /// The window function's name.
    window: String,
    name: String,
    signature: Signature,
}

impl WindowList {
    /// The list function of a window function.
    pub fn new(window: &str) -> Self {
        Self {
            window: window.to_owned(),
            name: format!("__{window}_windows"),
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }
}

fn item() -> FieldRef {
    Arc::new(Field::new("item", window::window_type(), true))
}

impl ScalarUDFImpl for WindowList {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(item()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let literals: Vec<_> = args.args[1..]
            .iter()
            .map(|argument| match argument {
                ColumnarValue::Scalar(value) => Some(value.clone()),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        let spec = spec_of(&self.window, &literals)?;
        let (times, nulls) = row_times(&args.args[0].to_array(args.number_rows)?)?;
        let (mut starts, mut ends, mut offsets) = (Vec::new(), Vec::new(), Vec::with_capacity(times.len() + 1));
        offsets.push(0i32);
        for (row, time) in times.into_iter().enumerate() {
            // a row without time belongs to no window
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                spec.each_window(time, |start, end| {
                    starts.push(start);
                    ends.push(end);
                });
            }
            offsets.push(i32::try_from(starts.len()).map_err(|_| exec_datafusion_err!("too many windows in a batch"))?);
        }
        let items = Arc::new(window::windows(starts, ends, None));
        let lists = ListArray::try_new(item(), OffsetBuffer::new(offsets.into()), items, None)?;
        Ok(ColumnarValue::Array(Arc::new(lists)))
    }
}
