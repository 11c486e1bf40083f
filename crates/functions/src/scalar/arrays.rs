//! Maps over columns: null in, null out. The loops that all scalar functions share.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, StringArray, StringBuilder,
};
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::common::Result;

use crate::parameter::defect;

/// Argument `index` as text.
pub(crate) fn text(args: &[ArrayRef], index: usize) -> Result<&StringArray> {
    args.get(index).and_then(|array| array.as_string_opt()).ok_or_else(|| wrong(index, "text"))
}

/// Argument `index` as whole numbers.
pub(crate) fn integers(args: &[ArrayRef], index: usize) -> Result<&PrimitiveArray<Int64Type>> {
    args.get(index).and_then(|array| array.as_primitive_opt()).ok_or_else(|| wrong(index, "Int64"))
}

/// Argument `index` as event times.
pub(crate) fn times(args: &[ArrayRef], index: usize) -> Result<&PrimitiveArray<TimestampMicrosecondType>> {
    args.get(index).and_then(|array| array.as_primitive_opt()).ok_or_else(|| wrong(index, "microseconds"))
}

fn wrong(index: usize, expected: &str) -> datafusion::common::DataFusionError {
    defect(format!("argument {} was not cast to {expected}", index + 1))
}

/// A number for each text.
pub(crate) fn text_to_number<T: ArrowPrimitiveType>(
    args: &[ArrayRef],
    map: impl Fn(&str) -> Option<T::Native>,
) -> Result<ArrayRef> {
    let column = text(args, 0)?;
    Ok(Arc::new(column.iter().map(|value| value.and_then(&map)).collect::<PrimitiveArray<T>>()))
}

/// True or false for each text.
pub(crate) fn text_to_flag(args: &[ArrayRef], map: impl Fn(&str) -> Option<bool>) -> Result<ArrayRef> {
    let column = text(args, 0)?;
    Ok(Arc::new(column.iter().map(|value| value.and_then(&map)).collect::<BooleanArray>()))
}

/// A piece of each text, or a constant.
pub(crate) fn text_to_text(args: &[ArrayRef], map: impl Fn(&str) -> Option<&str>) -> Result<ArrayRef> {
    let column = text(args, 0)?;
    let mut out = StringBuilder::with_capacity(column.len(), column.len() * 8);
    for value in column {
        out.append_option(value.and_then(&map));
    }
    Ok(Arc::new(out.finish()))
}
