//! Lists as state: one list for each group. Building them with checked offsets, and reading them back.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, ListArray, PrimitiveArray, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{DataFusionError, Result};

use crate::parameter::defect;

/// The type of a list of `item`.
pub(crate) fn list_of(item: DataType) -> DataType {
    DataType::List(item_field(item))
}

fn item_field(item: DataType) -> FieldRef {
    Arc::new(Field::new_list_field(item, true))
}

/// The type of pairs of a first member and a count.
pub(crate) fn pair_type(name: &str, first: DataType) -> DataType {
    DataType::Struct(pair_fields(name, first))
}

fn pair_fields(name: &str, first: DataType) -> Fields {
    Fields::from(vec![Field::new(name, first, true), Field::new("count", DataType::UInt64, true)])
}

/// Pairs of a first member and a count.
pub(crate) fn pairs(name: &str, first: ArrayRef, counts: ArrayRef) -> Result<ArrayRef> {
    let fields = pair_fields(name, first.data_type().clone());
    Ok(Arc::new(StructArray::try_new(fields, vec![first, counts], None)?))
}

/// Lists of the given lengths over one array of items.
///
/// # Errors
/// When all items together are more than a list's 32-bit offsets can say.
pub(crate) fn lists(lengths: impl IntoIterator<Item = usize>, items: ArrayRef) -> Result<ArrayRef> {
    let mut offsets = vec![0i32];
    let mut end = 0usize;
    for length in lengths {
        end += length;
        offsets.push(i32::try_from(end).map_err(|_| too_many())?);
    }
    let field = item_field(items.data_type().clone());
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::new(offsets.into()), items, None)?))
}

fn too_many() -> DataFusionError {
    DataFusionError::ResourcesExhausted("the state of one batch of groups holds more than 2^31 values".into())
}

/// Column `index` of a state as lists.
pub(crate) fn as_lists(states: &[ArrayRef], index: usize) -> Result<&ListArray> {
    states.get(index).and_then(|array| array.as_list_opt::<i32>()).ok_or_else(|| wrong(index, "a list"))
}

/// An array as the pairs that `pairs` made: the first members and the counts.
pub(crate) fn as_pairs(items: &ArrayRef) -> Result<(&ArrayRef, &ArrayRef)> {
    match items.as_struct_opt().map(StructArray::columns) {
        Some([first, counts]) => Ok((first, counts)),
        _ => Err(wrong(0, "pairs")),
    }
}

/// Column `index` as numbers of a type.
pub(crate) fn as_numbers<T: ArrowPrimitiveType>(columns: &[ArrayRef], index: usize) -> Result<&PrimitiveArray<T>> {
    columns.get(index).and_then(|array| array.as_primitive_opt()).ok_or_else(|| wrong(index, "a number"))
}

/// Where the items of a list stand.
pub(crate) fn span(lists: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = lists.value_offsets();
    let at = |index: usize| offsets.get(index).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or_default();
    at(row)..at(row + 1)
}

fn wrong(index: usize, expected: &str) -> DataFusionError {
    defect(format!("column {index} of an aggregate's input or state is not {expected}"))
}
