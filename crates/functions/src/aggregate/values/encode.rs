//! A column's values as bits (fixed width up to 64) or bytes. Floats compare by their bits, as DataFusion's
//! `COUNT(DISTINCT …)` does.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayData, ArrayRef, AsArray, LargeBinaryArray, make_array};
use datafusion::arrow::buffer::{Buffer, OffsetBuffer};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;
use twox_hash::XxHash64;

use crate::parameter::defect;

/// How values of one type are encoded.
#[derive(Clone)]
pub(crate) struct Encoder {
    data_type: DataType,
    layout: Layout,
}

#[derive(Clone)]
enum Layout {
    /// Fixed width in bytes, 1 to 8.
    Bits(usize),
    /// Text and bytes as they are.
    Bytes,
    /// Everything else in Arrow's row format.
    Rows(Arc<RowConverter>),
}

/// The bytes of a row.
type ByteGetter<'a> = Box<dyn Fn(usize) -> &'a [u8] + 'a>;

/// A column, encoded. Values under nulls mean nothing.
pub(crate) enum Encoded<'a> {
    Bits(Vec<u64>),
    Bytes(ByteGetter<'a>),
    Rows(Rows),
}

/// A value, encoded.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Bits(u64),
    Bytes(&'a [u8]),
}

impl Encoder {
    /// # Errors
    /// When Arrow's row format does not know the type.
    pub(crate) fn new(data_type: &DataType) -> Result<Self> {
        let layout = match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Layout::Bytes,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Layout::Bytes,
            other => match other.primitive_width() {
                Some(width) if width <= 8 => Layout::Bits(width),
                _ => Layout::Rows(Arc::new(RowConverter::new(vec![SortField::new(other.clone())])?)),
            },
        };
        Ok(Self { data_type: data_type.clone(), layout })
    }

    pub(crate) fn holds_bits(&self) -> bool {
        matches!(self.layout, Layout::Bits(_))
    }

    /// # Errors
    /// When the column is of another type.
    pub(crate) fn encode<'a>(&self, column: &'a ArrayRef) -> Result<Encoded<'a>> {
        match &self.layout {
            Layout::Bits(width) => Ok(Encoded::Bits(bits(column, *width)?)),
            Layout::Bytes => Ok(Encoded::Bytes(bytes(column)?)),
            Layout::Rows(_) => {
                // a converter's own state serves dictionaries alone; its conversion wants it mutable or fresh
                let converter = RowConverter::new(vec![SortField::new(self.data_type.clone())])?;
                Ok(Encoded::Rows(converter.convert_columns(std::slice::from_ref(column))?))
            }
        }
    }

    /// Values back from bits.
    pub(crate) fn array_of_bits(&self, values: &[u64]) -> Result<ArrayRef> {
        let Layout::Bits(width) = self.layout else { return Err(defect("the values are no bits")) };
        let mut out = Vec::with_capacity(values.len() * width);
        for value in values {
            out.extend(value.to_le_bytes().into_iter().take(width));
        }
        let data = ArrayData::builder(self.data_type.clone()).len(values.len()).add_buffer(Buffer::from_vec(out));
        Ok(make_array(data.align_buffers(true).build()?))
    }

    /// Values back from bytes.
    pub(crate) fn array_of_bytes(&self, values: &[&[u8]]) -> Result<ArrayRef> {
        let array: ArrayRef = match &self.layout {
            Layout::Rows(converter) => {
                let parser = converter.parser();
                let mut columns = converter.convert_rows(values.iter().map(|value| parser.parse(value)))?;
                columns.pop().ok_or_else(|| defect("rows gave no column"))?
            }
            _ => {
                let offsets = OffsetBuffer::<i64>::from_lengths(values.iter().map(|value| value.len()));
                Arc::new(LargeBinaryArray::try_new(offsets, Buffer::from_vec(values.concat()), None)?)
            }
        };
        if *array.data_type() == self.data_type {
            return Ok(array);
        }
        Ok(cast_with_options(&array, &self.data_type, &CastOptions { safe: false, ..Default::default() })?)
    }
}

impl Encoded<'_> {
    /// The value of a row that is not null.
    pub(crate) fn value(&self, row: usize) -> Value<'_> {
        match self {
            Self::Bits(values) => Value::Bits(values.get(row).copied().unwrap_or_default()),
            Self::Bytes(value) => Value::Bytes(value(row)),
            Self::Rows(rows) => Value::Bytes(rows.row(row).data()),
        }
    }

    /// A hash that is the same in every process and version, since states are stored: XXH64, or MurmurHash3's
    /// finaliser for bits. Text hashes alike in all its layouts.
    pub(crate) fn stable_hash(&self, row: usize) -> u64 {
        match self.value(row) {
            Value::Bits(bits) => mix(bits),
            Value::Bytes(bytes) => XxHash64::oneshot(0, bytes),
        }
    }
}

/// MurmurHash3's 64-bit finaliser over the golden ratio's multiples, since it maps 0 to 0.
pub(crate) fn mix(value: u64) -> u64 {
    let mut hash = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

fn bits(column: &ArrayRef, width: usize) -> Result<Vec<u64>> {
    let data = column.to_data();
    let range = data.offset() * width..(data.offset() + data.len()) * width;
    let bytes = data.buffers().first().and_then(|buffer| buffer.as_slice().get(range));
    let bytes = bytes.ok_or_else(|| defect("a column has fewer bytes than rows"))?;
    Ok(match width {
        1 => bytes.iter().map(|byte| u64::from(*byte)).collect(),
        2 => bytes.as_chunks().0.iter().map(|chunk| u64::from(u16::from_le_bytes(*chunk))).collect(),
        4 => bytes.as_chunks().0.iter().map(|chunk| u64::from(u32::from_le_bytes(*chunk))).collect(),
        _ => bytes.as_chunks().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect(),
    })
}

fn bytes<'a>(column: &'a ArrayRef) -> Result<ByteGetter<'a>> {
    Ok(match column.data_type() {
        DataType::Utf8 => {
            let array = column.as_string::<i32>();
            Box::new(|row| array.value(row).as_bytes())
        }
        DataType::LargeUtf8 => {
            let array = column.as_string::<i64>();
            Box::new(|row| array.value(row).as_bytes())
        }
        DataType::Utf8View => {
            let array = column.as_string_view();
            Box::new(|row| array.value(row).as_bytes())
        }
        DataType::Binary => {
            let array = column.as_binary::<i32>();
            Box::new(|row| array.value(row))
        }
        DataType::LargeBinary => {
            let array = column.as_binary::<i64>();
            Box::new(|row| array.value(row))
        }
        DataType::BinaryView => {
            let array = column.as_binary_view();
            Box::new(|row| array.value(row))
        }
        other => return Err(defect(format!("{other} is neither text nor bytes"))),
    })
}
