//! A window is a half-open interval of event time, held as a struct of `start` and `end` (microseconds, UTC).

use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray, TimestampMicrosecondArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use crate::Micros;

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
