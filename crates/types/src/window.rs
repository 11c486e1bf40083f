//! A window is a half-open interval of event time, held as a struct of `start` and `end` (microseconds, UTC).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, TimestampMicrosecondArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType};

use crate::{Error, Micros, Result};

/// Type of `start` and `end`, and of all event times inside Fyke: microseconds without zone, UTC.
pub const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// The two members of a window.
pub fn window_fields() -> Fields {
    Fields::from(vec![Field::new("start", TIME, true), Field::new("end", TIME, true)])
}

/// The type of a window column.
pub fn window_type() -> DataType {
    DataType::Struct(window_fields())
}

/// Whether a column of this type is a window.
pub fn is_window(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => {
            fields.len() == 2
                && fields[0].name() == "start"
                && fields[1].name() == "end"
                && fields.iter().all(|f| matches!(f.data_type(), DataType::Timestamp(_, _)))
        }
        _ => false,
    }
}

/// A column of windows; where `nulls` says null, the values under it are meaningless.
pub fn windows(start: Vec<Micros>, end: Vec<Micros>, nulls: Option<NullBuffer>) -> StructArray {
    let column = |values: Vec<Micros>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::new(ScalarBuffer::from(values), nulls.clone()))
    };
    StructArray::new(window_fields(), vec![column(start), column(end)], nulls.clone())
}

/// The row times of a column in microseconds: of a timestamp itself, of a window its end − 1, so that windows feed
/// windows.
///
/// # Errors
/// When the column is neither.
pub fn row_times(column: &ArrayRef) -> Result<(Vec<Micros>, Option<NullBuffer>)> {
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let times = column.as_primitive::<TimestampMicrosecondType>();
            Ok((times.values().to_vec(), times.nulls().cloned()))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            // rounds down also before 1970, where a cast would round towards zero
            let times = column.as_primitive::<TimestampNanosecondType>();
            Ok((times.values().iter().map(|t| t.div_euclid(1_000)).collect(), times.nulls().cloned()))
        }
        DataType::Timestamp(_, _) => row_times(&cast(column, &TIME)?),
        other if is_window(other) => {
            let windows = column.as_struct();
            let (mut ends, nulls) = row_times(windows.column(1))?;
            ends.iter_mut().for_each(|end| *end = end.saturating_sub(1));
            Ok((ends, NullBuffer::union(nulls.as_ref(), windows.nulls())))
        }
        other => Err(Error::internal(format!("a window function takes a timestamp or a window, not {other}"))),
    }
}
