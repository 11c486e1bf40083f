//! Columns while they grow. A row that fails half-way is cut off again, in nested columns too.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, ListArray, NullBufferBuilder, PrimitiveArray,
    StringArray, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt64Array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, Int8Type, Int16Type, Int32Type, TimeUnit, UInt8Type, UInt16Type,
    UInt32Type,
};
use fyke_types::{Error, Result};

use super::column::{Column, Kind};

/// The values of one column so far.
#[derive(Debug)]
pub(super) struct Store {
    nulls: NullBufferBuilder,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Bool(Vec<bool>),
    /// Signed integers, times and dates.
    Int(Vec<i64>),
    UInt(Vec<u64>),
    Double(Vec<f64>),
    Single(Vec<f32>),
    Text(TextData),
    Struct(Vec<Store>),
    List {
        ends: Vec<i32>,
        items: Box<Store>,
    },
}

/// Strings end to end; `ends` begins with the 0 before the first.
#[derive(Debug)]
struct TextData {
    ends: Vec<i32>,
    bytes: Vec<u8>,
}

/// What does not match between a column's kind and its store: a defect, which no input can cause.
const MISMATCH: &str = "a JSON column and its store differ in type";

impl Store {
    /// An empty store for `rows` rows of `column`, which takes a share of `bytes` if it holds strings.
    pub fn new(column: &Column, rows: usize, bytes: usize) -> Self {
        let offsets = || {
            let mut ends = Vec::with_capacity(rows + 1);
            ends.push(0);
            ends
        };
        let data = match &column.kind {
            Kind::Bool => Data::Bool(Vec::with_capacity(rows)),
            Kind::Int { .. } | Kind::Time(..) | Kind::Date => Data::Int(Vec::with_capacity(rows)),
            Kind::UInt { .. } => Data::UInt(Vec::with_capacity(rows)),
            Kind::Double => Data::Double(Vec::with_capacity(rows)),
            Kind::Single => Data::Single(Vec::with_capacity(rows)),
            Kind::Text => Data::Text(TextData { ends: offsets(), bytes: Vec::with_capacity(bytes) }),
            Kind::Struct(fields) => Data::Struct(fields.iter().map(|field| Self::new(field, rows, 0)).collect()),
            Kind::List(item) => Data::List { ends: offsets(), items: Box::new(Self::new(item, 0, 0)) },
        };
        Self { nulls: NullBufferBuilder::new(rows), data }
    }

    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Bytes of the strings so far.
    pub fn text_len(&self) -> usize {
        if let Data::Text(text) = &self.data { text.bytes.len() } else { 0 }
    }

    #[inline]
    pub fn push_int(&mut self, value: i64) {
        if let Data::Int(values) = &mut self.data {
            values.push(value);
            self.nulls.append_non_null();
        }
    }

    #[inline]
    pub fn push_uint(&mut self, value: u64) {
        if let Data::UInt(values) = &mut self.data {
            values.push(value);
            self.nulls.append_non_null();
        }
    }

    #[inline]
    pub fn push_double(&mut self, value: f64) {
        if let Data::Double(values) = &mut self.data {
            values.push(value);
            self.nulls.append_non_null();
        }
    }

    pub fn push_single(&mut self, value: f32) {
        if let Data::Single(values) = &mut self.data {
            values.push(value);
            self.nulls.append_non_null();
        }
    }

    pub fn push_bool(&mut self, value: bool) {
        if let Data::Bool(values) = &mut self.data {
            values.push(value);
            self.nulls.append_non_null();
        }
    }

    /// Appends a string, which `write` adds to the bytes.
    #[inline]
    pub fn push_text_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if let Data::Text(text) = &mut self.data {
            write(&mut text.bytes);
            // the decoder keeps all strings of a block below i32::MAX
            text.ends.push(text.bytes.len() as i32);
            self.nulls.append_non_null();
        }
    }

    #[inline]
    pub fn push_text(&mut self, value: &str) {
        self.push_text_with(|bytes| bytes.extend_from_slice(value.as_bytes()));
    }

    /// The stores of an object's fields; [`Store::close`] ends the row.
    pub fn fields(&mut self) -> &mut [Store] {
        if let Data::Struct(fields) = &mut self.data { fields } else { &mut [] }
    }

    /// The store of an array's items; [`Store::close`] ends the row.
    pub fn items(&mut self) -> Option<&mut Store> {
        if let Data::List { items, .. } = &mut self.data { Some(items) } else { None }
    }

    /// Ends a row whose fields or items were appended.
    pub fn close(&mut self) {
        if let Data::List { ends, items } = &mut self.data {
            ends.push(items.len() as i32);
        }
        self.nulls.append_non_null();
    }

    pub fn push_null(&mut self) {
        match &mut self.data {
            Data::Bool(values) => values.push(false),
            Data::Int(values) => values.push(0),
            Data::UInt(values) => values.push(0),
            Data::Double(values) => values.push(0.0),
            Data::Single(values) => values.push(0.0),
            Data::Text(text) => text.ends.push(text.bytes.len() as i32),
            Data::Struct(fields) => fields.iter_mut().for_each(Self::push_null),
            Data::List { ends, items } => ends.push(items.len() as i32),
        }
        self.nulls.append_null();
    }

    /// Forgets all rows behind the first `rows`, half-written ones included.
    pub fn truncate(&mut self, rows: usize) {
        match &mut self.data {
            Data::Bool(values) => values.truncate(rows),
            Data::Int(values) => values.truncate(rows),
            Data::UInt(values) => values.truncate(rows),
            Data::Double(values) => values.truncate(rows),
            Data::Single(values) => values.truncate(rows),
            Data::Text(text) => {
                text.ends.truncate(rows + 1);
                text.bytes.truncate(last_end(&text.ends));
            }
            Data::Struct(fields) => fields.iter_mut().for_each(|field| field.truncate(rows)),
            Data::List { ends, items } => {
                ends.truncate(rows + 1);
                items.truncate(last_end(ends));
            }
        }
        self.nulls.truncate(rows);
    }

    /// The column as an array.
    pub fn finish(mut self, column: &Column) -> Result<ArrayRef> {
        let rows = self.nulls.len();
        let nulls = self.nulls.finish();
        match self.data {
            Data::Bool(values) => Ok(Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls))),
            Data::Double(values) => Ok(Arc::new(Float64Array::try_new(values.into(), nulls)?)),
            Data::Single(values) => Ok(Arc::new(Float32Array::try_new(values.into(), nulls)?)),
            Data::Int(values) => signed(values, nulls, &column.field),
            Data::UInt(values) => unsigned(values, nulls, &column.field),
            Data::Text(text) => {
                let offsets = OffsetBuffer::new(text.ends.into());
                Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(text.bytes), nulls)?))
            }
            Data::Struct(stores) => structs(stores, nulls, rows, column),
            Data::List { ends, items } => {
                let (Kind::List(item), DataType::List(field)) = (&column.kind, column.field.data_type()) else {
                    return Err(Error::internal(MISMATCH));
                };
                let values = items.finish(item)?;
                Ok(Arc::new(ListArray::try_new(Arc::clone(field), OffsetBuffer::new(ends.into()), values, nulls)?))
            }
        }
    }
}

fn last_end(ends: &[i32]) -> usize {
    ends.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0)
}

/// `rows` is said, since an object without fields has no column that would tell.
fn structs(stores: Vec<Store>, nulls: Option<NullBuffer>, rows: usize, column: &Column) -> Result<ArrayRef> {
    let (Kind::Struct(columns), DataType::Struct(fields)) = (&column.kind, column.field.data_type()) else {
        return Err(Error::internal(MISMATCH));
    };
    let arrays =
        stores.into_iter().zip(columns).map(|(store, column)| store.finish(column)).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), arrays, nulls, rows)?))
}

/// Narrows values that were checked against the type's range when they were read.
fn primitive<T: ArrowPrimitiveType, V: Copy>(
    values: &[V],
    nulls: Option<NullBuffer>,
    narrow: impl Fn(V) -> T::Native,
) -> Result<PrimitiveArray<T>> {
    Ok(PrimitiveArray::try_new(values.iter().map(|value| narrow(*value)).collect::<Vec<_>>().into(), nulls)?)
}

fn signed(values: Vec<i64>, nulls: Option<NullBuffer>, field: &Field) -> Result<ArrayRef> {
    Ok(match field.data_type() {
        DataType::Int8 => Arc::new(primitive::<Int8Type, _>(&values, nulls, |v| v as i8)?),
        DataType::Int16 => Arc::new(primitive::<Int16Type, _>(&values, nulls, |v| v as i16)?),
        DataType::Int32 => Arc::new(primitive::<Int32Type, _>(&values, nulls, |v| v as i32)?),
        DataType::Date32 => Arc::new(primitive::<Date32Type, _>(&values, nulls, |v| v as i32)?),
        DataType::Int64 => Arc::new(Int64Array::try_new(values.into(), nulls)?),
        DataType::Timestamp(unit, zone) => {
            let (values, zone) = (values.into(), zone.clone());
            match unit {
                TimeUnit::Second => Arc::new(TimestampSecondArray::try_new(values, nulls)?.with_timezone_opt(zone)),
                TimeUnit::Millisecond => {
                    Arc::new(TimestampMillisecondArray::try_new(values, nulls)?.with_timezone_opt(zone))
                }
                TimeUnit::Microsecond => {
                    Arc::new(TimestampMicrosecondArray::try_new(values, nulls)?.with_timezone_opt(zone))
                }
                TimeUnit::Nanosecond => {
                    Arc::new(TimestampNanosecondArray::try_new(values, nulls)?.with_timezone_opt(zone))
                }
            }
        }
        _ => return Err(Error::internal(MISMATCH)),
    })
}

fn unsigned(values: Vec<u64>, nulls: Option<NullBuffer>, field: &Field) -> Result<ArrayRef> {
    Ok(match field.data_type() {
        DataType::UInt8 => Arc::new(primitive::<UInt8Type, _>(&values, nulls, |v| v as u8)?),
        DataType::UInt16 => Arc::new(primitive::<UInt16Type, _>(&values, nulls, |v| v as u16)?),
        DataType::UInt32 => Arc::new(primitive::<UInt32Type, _>(&values, nulls, |v| v as u32)?),
        DataType::UInt64 => Arc::new(UInt64Array::try_new(values.into(), nulls)?),
        _ => return Err(Error::internal(MISMATCH)),
    })
}
