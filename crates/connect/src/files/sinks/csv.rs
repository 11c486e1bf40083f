//! CSV with a header to a file or to standard output (RFC 4180, lines end in `\n`). Structs are flattened: `w.start`.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, SchemaRef};
use fyke_types::{Error, Result, Sink};

use super::finished;
use super::output::Output;
use crate::json::Column;

/// Values as in JSON, but text without quotes where none are needed; null is empty, an empty text is `""`.
pub(super) struct CsvSink {
    output: Option<Output>,
    header: Option<Vec<u8>>,
    buffer: Vec<u8>,
}

impl CsvSink {
    /// A sink that writes rows of `schema` to `output`.
    pub(super) fn new(output: Output, schema: &SchemaRef) -> Self {
        let mut names = Vec::new();
        schema.fields().iter().for_each(|field| flat_names(field, field.name().clone(), &mut names));
        let mut header = Vec::new();
        for (index, name) in names.iter().enumerate() {
            separate(index, &mut header);
            write_text(name, &mut header);
        }
        header.push(b'\n');
        Self { output: Some(output), header: Some(header), buffer: Vec::new() }
    }

    fn write_header(&mut self) -> Result<()> {
        match (self.header.take(), &mut self.output) {
            (Some(header), Some(output)) => output.write(&header),
            _ => Ok(()),
        }
    }
}

impl Sink for CsvSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.write_header()?;
        self.buffer.clear();
        write_rows(batch, &mut self.buffer)?;
        self.output.as_mut().ok_or_else(finished)?.write(&self.buffer)
    }

    fn flush(&mut self) -> Result<()> {
        self.output.as_mut().map_or(Ok(()), Output::flush)
    }

    fn finish(&mut self) -> Result<()> {
        // without rows there are still columns
        self.write_header()?;
        self.output.take().map_or(Ok(()), |mut output| output.publish())
    }
}

fn write_rows(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
    let mut flat = Vec::new();
    batch.columns().iter().for_each(|column| flat_columns(column, &mut flat));
    let columns = flat.iter().map(Column::new).collect::<Result<Vec<_>>>()?;
    let mut value = Vec::new();
    for row in 0..batch.num_rows() {
        for (index, column) in columns.iter().enumerate() {
            separate(index, out);
            if column.is_null(row) {
                continue;
            }
            value.clear();
            column.write(row, &mut value)?;
            write_value(&value, out)?;
        }
        out.push(b'\n');
    }
    Ok(())
}

fn write_value(json: &[u8], out: &mut Vec<u8>) -> Result<()> {
    match json.first() {
        // NaN and infinities
        Some(b'n') => {}
        Some(b'"') => {
            let text: String =
                serde_json::from_slice(json).map_err(|e| Error::internal("a text can't be read back").detail(e))?;
            write_text(&text, out);
        }
        Some(b'[' | b'{') => write_text(&String::from_utf8_lossy(json), out),
        _ => out.extend_from_slice(json),
    }
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() && !text.contains(['"', ',', '\n', '\r']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

fn flat_names(field: &Field, name: String, names: &mut Vec<String>) {
    match field.data_type() {
        DataType::Struct(members) => {
            members.iter().for_each(|member| flat_names(member, format!("{name}.{}", member.name()), names));
        }
        _ => names.push(name),
    }
}

fn flat_columns(column: &ArrayRef, flat: &mut Vec<ArrayRef>) {
    match column.data_type() {
        DataType::Struct(_) => {
            let members = column.as_struct();
            for member in members.columns() {
                flat_columns(&under_nulls(members.nulls(), member), flat);
            }
        }
        _ => flat.push(column.clone()),
    }
}

/// A member of a null struct is null, whatever lies there.
fn under_nulls(nulls: Option<&arrow::buffer::NullBuffer>, member: &ArrayRef) -> ArrayRef {
    let Some(nulls) = nulls else { return member.clone() };
    let both = arrow::buffer::NullBuffer::union(Some(nulls), member.nulls());
    let masked = member.to_data().into_builder().nulls(both).build();
    // a type that has no nulls of its own stays as it is
    masked.map_or_else(|_| member.clone(), arrow::array::make_array)
}
