//! Batches as JSON lines, by the rules of "Out": explicit nulls, times in UTC with a `Z`, NaN and infinities as null.
//! Columns are resolved to their types once a batch; rows are then written without any look-up.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch, StructArray, downcast_dictionary_array,
    downcast_integer_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use fyke_types::{Error, Micros, Result};

use crate::rfc3339;

/// Appends each row of `batch` to `out` as one JSON object and a newline.
///
/// Nulls are explicit; timestamps are RFC 3339 in UTC with a `Z`, with six digits of fraction where there is one; NaN
/// and infinities are null; structs are objects, so a window is `{"start":…,"end":…}`; binary values are text where
/// they are UTF-8, else hexadecimal; types without a JSON form are Arrow's text for them.
///
/// # Errors
/// When Arrow can't show a value of such a type.
pub fn batch_to_json_lines(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    let schema = batch.schema();
    let members = members(schema.fields().iter().map(|f| f.name().as_str()), batch.columns())?;
    for row in 0..batch.num_rows() {
        write_object(&members, row, out)?;
        out.push(b'\n');
    }
    Ok(())
}

/// A column, ready to write any of its rows.
pub(crate) struct Column<'a> {
    nulls: Option<NullBuffer>,
    write: Writer<'a>,
}

impl<'a> Column<'a> {
    /// Resolves the type of `array`.
    pub(crate) fn new(array: &'a ArrayRef) -> Result<Self> {
        Ok(Self { nulls: array.logical_nulls(), write: writer(array)? })
    }

    /// Whether the value of `row` is null.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the value of `row` as JSON.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        (self.write)(row, out)
    }
}

/// A member of an object: `"name":` with the comma that precedes it, and its values.
struct Member<'a> {
    key: Vec<u8>,
    column: Column<'a>,
}

fn members<'a, 'n>(names: impl Iterator<Item = &'n str>, columns: &'a [ArrayRef]) -> Result<Vec<Member<'a>>> {
    let mut members = Vec::with_capacity(columns.len());
    for (name, column) in names.zip(columns) {
        let mut key = if members.is_empty() { Vec::new() } else { vec![b','] };
        write_text(name, &mut key)?;
        key.push(b':');
        members.push(Member { key, column: Column::new(column)? });
    }
    Ok(members)
}

fn write_object(members: &[Member<'_>], row: usize, out: &mut Vec<u8>) -> Result<()> {
    out.push(b'{');
    for member in members {
        out.extend_from_slice(&member.key);
        member.column.write(row, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// Appends the value of a row that is not null.
type Writer<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<()> + 'a>;

fn writer(array: &ArrayRef) -> Result<Writer<'_>> {
    if array.data_type().is_integer() {
        return Ok(integers(array));
    }
    Ok(match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(move |row, out| {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" });
                Ok(())
            })
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            // serde_json writes NaN and infinities as null
            Box::new(move |row, out| write_serde(&values.value(row), out))
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            Box::new(move |row, out| write_serde(&values.value(row), out))
        }
        DataType::Utf8 => texts(array.as_string::<i32>()),
        DataType::LargeUtf8 => texts(array.as_string::<i64>()),
        DataType::Utf8View => {
            let values = array.as_string_view();
            Box::new(move |row, out| write_text(values.value(row), out))
        }
        DataType::Timestamp(unit, _) => times(array, *unit),
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>();
            Box::new(move |row, out| quoted(out, |out| rfc3339::write_date(i64::from(values.value(row)), out)))
        }
        DataType::Date64 => {
            let values = array.as_primitive::<Date64Type>();
            Box::new(move |row, out| {
                quoted(out, |out| rfc3339::write_date(values.value(row).div_euclid(86_400_000), out))
            })
        }
        _ => return nested_or_other(array),
    })
}

fn nested_or_other(array: &ArrayRef) -> Result<Writer<'_>> {
    Ok(match array.data_type() {
        DataType::Struct(_) => return objects(array.as_struct()),
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let (offsets, values) = (lists.value_offsets(), Column::new(lists.values())?);
            Box::new(move |row, out| write_list(&values, offsets[row] as usize..offsets[row + 1] as usize, out))
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            let (offsets, values) = (lists.value_offsets(), Column::new(lists.values())?);
            Box::new(move |row, out| write_list(&values, offsets[row] as usize..offsets[row + 1] as usize, out))
        }
        DataType::FixedSizeList(_, length) => {
            let (length, values) = (*length as usize, Column::new(array.as_fixed_size_list().values())?);
            Box::new(move |row, out| write_list(&values, row * length..(row + 1) * length, out))
        }
        DataType::Map(_, _) => return maps(array),
        DataType::Dictionary(_, _) => return dictionary(array),
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            Box::new(move |row, out| write_bytes(values.value(row), out))
        }
        DataType::LargeBinary => {
            let values = array.as_binary::<i64>();
            Box::new(move |row, out| write_bytes(values.value(row), out))
        }
        DataType::BinaryView => {
            let values = array.as_binary_view();
            Box::new(move |row, out| write_bytes(values.value(row), out))
        }
        DataType::FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            Box::new(move |row, out| write_bytes(values.value(row), out))
        }
        other => {
            let bare = other.is_decimal();
            let formatter = ArrayFormatter::try_new(array.as_ref(), &FormatOptions::default())?;
            Box::new(move |row, out| {
                let text = formatter.value(row).try_to_string()?;
                if bare {
                    out.extend_from_slice(text.as_bytes());
                    return Ok(());
                }
                write_text(&text, out)
            })
        }
    })
}

fn integers(array: &ArrayRef) -> Writer<'_> {
    downcast_integer_array! {
        array => integer_values(array),
        // only integers come here
        _ => Box::new(|_, out| { out.extend_from_slice(b"null"); Ok(()) })
    }
}

fn integer_values<T>(values: &PrimitiveArray<T>) -> Writer<'_>
where
    T: ArrowPrimitiveType,
    T::Native: serde::Serialize,
{
    Box::new(move |row, out| write_serde(&values.value(row), out))
}

fn texts<O: arrow::array::OffsetSizeTrait>(values: &arrow::array::GenericStringArray<O>) -> Writer<'_> {
    Box::new(move |row, out| write_text(values.value(row), out))
}

fn times(array: &ArrayRef, unit: TimeUnit) -> Writer<'_> {
    match unit {
        TimeUnit::Second => time_values(array.as_primitive::<TimestampSecondType>(), |t| t.saturating_mul(1_000_000)),
        TimeUnit::Millisecond => {
            time_values(array.as_primitive::<TimestampMillisecondType>(), |t| t.saturating_mul(1_000))
        }
        TimeUnit::Microsecond => time_values(array.as_primitive::<TimestampMicrosecondType>(), |t| t),
        TimeUnit::Nanosecond => time_values(array.as_primitive::<TimestampNanosecondType>(), |t| t.div_euclid(1_000)),
    }
}

fn time_values<T: ArrowPrimitiveType<Native = i64>>(
    values: &PrimitiveArray<T>,
    to_micros: impl Fn(i64) -> Micros + 'static,
) -> Writer<'_> {
    Box::new(move |row, out| quoted(out, |out| rfc3339::write_time(to_micros(values.value(row)), out)))
}

fn objects(array: &StructArray) -> Result<Writer<'_>> {
    let members = members(array.fields().iter().map(|f| f.name().as_str()), array.columns())?;
    Ok(Box::new(move |row, out| write_object(&members, row, out)))
}

fn maps(array: &ArrayRef) -> Result<Writer<'_>> {
    let map = array.as_map();
    let offsets = map.value_offsets();
    let (keys, values) = (Column::new(map.keys())?, Column::new(map.values())?);
    Ok(Box::new(move |row, out| {
        out.push(b'{');
        for entry in offsets[row] as usize..offsets[row + 1] as usize {
            if entry > offsets[row] as usize {
                out.push(b',');
            }
            write_key(&keys, entry, out)?;
            out.push(b':');
            values.write(entry, out)?;
        }
        out.push(b'}');
        Ok(())
    }))
}

/// A map's key must be a string in JSON, whatever its type.
fn write_key(keys: &Column<'_>, entry: usize, out: &mut Vec<u8>) -> Result<()> {
    let mut key = Vec::new();
    keys.write(entry, &mut key)?;
    if key.first() == Some(&b'"') {
        out.extend_from_slice(&key);
        return Ok(());
    }
    write_text(&String::from_utf8_lossy(&key), out)
}

fn dictionary(array: &ArrayRef) -> Result<Writer<'_>> {
    downcast_dictionary_array! {
        array => {
            let values = Column::new(array.values())?;
            Ok(Box::new(move |row, out: &mut Vec<u8>| match array.key(row) {
                Some(key) => values.write(key, out),
                None => { out.extend_from_slice(b"null"); Ok(()) }
            }))
        }
        other => Err(Error::internal(format!("{other} is no dictionary")))
    }
}

fn write_list(values: &Column<'_>, range: std::ops::Range<usize>, out: &mut Vec<u8>) -> Result<()> {
    out.push(b'[');
    for index in range.clone() {
        if index > range.start {
            out.push(b',');
        }
        values.write(index, out)?;
    }
    out.push(b']');
    Ok(())
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    out.push(b'"');
    write(out);
    out.push(b'"');
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) -> Result<()> {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        return quoted(out, |out| out.extend_from_slice(text.as_bytes()));
    }
    write_serde(text, out)
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    match std::str::from_utf8(bytes) {
        Ok(text) => write_text(text, out),
        Err(_) => quoted(out, |out| {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            for byte in bytes {
                out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
        }),
    }
}

fn write_serde<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, value).map_err(|e| Error::internal("a value can't be written as JSON").detail(e))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Float64Array, Int64Array, ListArray, StringArray,
        TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array,
    };
    use arrow::datatypes::Int32Type;
    use fyke_types::window::windows;

    use super::*;

    fn lines(columns: Vec<(&str, ArrayRef)>) -> String {
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        let mut out = Vec::new();
        batch_to_json_lines(&batch, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nulls_are_explicit_and_numbers_exact() {
        let text = lines(vec![
            ("i", Arc::new(Int64Array::from(vec![Some(i64::MIN), None]))),
            ("u", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
            ("f", Arc::new(Float64Array::from(vec![Some(0.1), None]))),
            ("b", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ]);
        assert_eq!(
            text,
            "{\"i\":-9223372036854775808,\"u\":18446744073709551615,\"f\":0.1,\"b\":true}\n\
             {\"i\":null,\"u\":null,\"f\":null,\"b\":null}\n"
        );
    }

    #[test]
    fn nan_and_infinities_are_null() {
        let values = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0];
        let text = lines(vec![("f", Arc::new(Float64Array::from(values)))]);
        assert_eq!(text, "{\"f\":null}\n{\"f\":null}\n{\"f\":null}\n{\"f\":-0.0}\n");
    }

    #[test]
    fn times_have_a_z_and_windows_are_objects() {
        let text = lines(vec![
            ("t", Arc::new(TimestampNanosecondArray::from(vec![1_999]))),
            ("z", Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC"))),
            ("d", Arc::new(Date32Array::from(vec![19_000]))),
            ("w", Arc::new(windows(vec![0], vec![60_000_000], None))),
        ]);
        assert_eq!(
            text,
            "{\"t\":\"1970-01-01T00:00:00.000001Z\",\"z\":\"1970-01-01T00:00:00Z\",\"d\":\"2022-01-08\",\
             \"w\":{\"start\":\"1970-01-01T00:00:00Z\",\"end\":\"1970-01-01T00:01:00Z\"}}\n"
        );
    }

    #[test]
    fn text_is_escaped_and_read_back_equal() {
        let values = vec!["plain", "quote\" back\\ tab\t nul\u{0}", "Grüße 🐟", ""];
        let text = lines(vec![("a \"key\"", Arc::new(StringArray::from(values.clone())))]);
        let back: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(back.iter().map(|v| v["a \"key\""].as_str().unwrap()).collect::<Vec<_>>(), values);
    }

    #[test]
    fn binary_is_text_where_it_is_utf8_else_hexadecimal() {
        let text = lines(vec![("b", Arc::new(BinaryArray::from_vec(vec![b"GET /", &[0xff, 0x00]])))]);
        assert_eq!(text, "{\"b\":\"GET /\"}\n{\"b\":\"ff00\"}\n");
    }

    #[test]
    fn lists_and_dictionaries_show_their_values() {
        let list =
            ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None, Some(vec![])]);
        let dictionary: arrow::array::DictionaryArray<Int32Type> =
            vec![Some("a"), None, Some("a")].into_iter().collect();
        let text = lines(vec![("l", Arc::new(list)), ("d", Arc::new(dictionary))]);
        assert_eq!(text, "{\"l\":[1,null],\"d\":\"a\"}\n{\"l\":null,\"d\":null}\n{\"l\":[],\"d\":\"a\"}\n");
    }

    #[test]
    fn sliced_batch_shows_its_own_rows() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter(vec![("n", column)]).unwrap().slice(1, 1);
        let mut out = Vec::new();
        batch_to_json_lines(&batch, &mut out).unwrap();
        assert_eq!(out, b"{\"n\":2}\n");
    }
}
