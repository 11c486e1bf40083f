//! CSV whose first line names the columns. The reader puts that line before every block, so a decoder always begins
//! with it. A record is a line: quoted newlines are not supported, and their halves become dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, StringBuilder};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use fyke_types::window::TIME;
use fyke_types::{DeadLetter, Decoded, Decoder, Error, Format, Result, Settings};
use memchr::memchr_iter;

/// Lines that the schema is inferred from.
const SAMPLE_LINES: usize = 1000;

/// CSV with a header, of declared or inferred columns. An empty field is null.
#[derive(Debug)]
pub(crate) struct CsvFormat {
    schema: SchemaRef,
    delimiter: u8,
}

impl CsvFormat {
    /// Setting: `delimiter` (one character, `,`). Without a `schema` the sample's columns are integers, doubles,
    /// booleans, times or text, whichever fits all of its lines first.
    ///
    /// # Errors
    /// `Usage` for a delimiter of more than one byte; `Data` where the columns' names can't be read.
    pub(crate) fn new(schema: Option<SchemaRef>, sample: &[u8], settings: &mut Settings) -> Result<Self> {
        let delimiter = match settings.text("delimiter").as_deref() {
            None => b',',
            Some("\\t") => b'\t',
            Some(text) => match text.as_bytes() {
                [byte] => *byte,
                _ => return Err(Error::usage(format!("the delimiter '{text}' is not one character"))),
            },
        };
        let schema = match schema {
            Some(schema) => schema,
            None => infer(sample, delimiter)?,
        };
        Ok(Self { schema, delimiter })
    }
}

impl Format for CsvFormat {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn decoder(&self, projection: Option<&[usize]>) -> Result<Box<dyn Decoder>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all).to_vec();
        // an index out of range shows here, not with the first block
        self.schema.project(&projection)?;
        Ok(Box::new(CsvDecoder { schema: Arc::clone(&self.schema), projection, delimiter: self.delimiter }))
    }
}

struct CsvDecoder {
    schema: SchemaRef,
    projection: Vec<usize>,
    delimiter: u8,
}

impl Decoder for CsvDecoder {
    fn decode(&mut self, block: &[u8], _customer: &str) -> Result<Decoded> {
        let mut lines = lines_of(block);
        let header = lines.next().map(|(_, _, text)| text).unwrap_or_default();
        let places = Places::new(header, &self.schema, self.delimiter);
        let mut columns: Vec<StringBuilder> = self.schema.fields().iter().map(|_| StringBuilder::new()).collect();
        let (mut dead, mut rows, mut count, mut skipped) = (Vec::new(), Vec::new(), u64::from(!block.is_empty()), 1);
        for (line, offset, text) in lines {
            count += 1;
            if text.trim_ascii().is_empty() {
                skipped += 1;
                continue;
            }
            match fields(text, self.delimiter).and_then(|fields| places.pick(fields)) {
                Ok(values) => {
                    columns.iter_mut().zip(&values).for_each(|(column, value)| column.append_option(value.as_deref()));
                    rows.push((line, offset, text));
                }
                Err(reason) => dead.push(DeadLetter { line, offset, reason, raw: text.to_vec() }),
            }
        }
        let texts: Vec<StringArray> = columns.iter_mut().map(StringBuilder::finish).collect();
        let batch = self.typed(&texts, &rows, &mut dead)?.project(&self.projection)?;
        dead.sort_by_key(|letter| letter.line);
        Ok(Decoded { batch, dead, lines: count, skipped: skipped.min(count) })
    }
}

impl CsvDecoder {
    fn typed(
        &self,
        texts: &[StringArray],
        rows: &[(u64, u64, &[u8])],
        dead: &mut Vec<DeadLetter>,
    ) -> Result<RecordBatch> {
        let mut bad: BTreeMap<usize, String> = BTreeMap::new();
        let mut typed = Vec::with_capacity(texts.len());
        for (field, texts) in self.schema.fields().iter().zip(texts) {
            let values = convert(texts, field.data_type())?;
            for row in (0..rows.len()).filter(|row| values.is_null(*row) && !texts.is_null(*row)) {
                bad.entry(row).or_insert_with(|| {
                    format!("column '{}' is '{}', expected {}", field.name(), texts.value(row), field.data_type())
                });
            }
            typed.push(values);
        }
        let nullable = self.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
        let count = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(schema, typed, &count)?;
        let keep: BooleanArray = (0..rows.len()).map(|row| Some(!bad.contains_key(&row))).collect();
        for (row, reason) in bad {
            if let Some((line, offset, text)) = rows.get(row) {
                dead.push(DeadLetter { line: *line, offset: *offset, reason, raw: text.to_vec() });
            }
        }
        Ok(filter_record_batch(&batch, &keep)?)
    }
}

fn convert(texts: &StringArray, wanted: &DataType) -> Result<ArrayRef> {
    let lenient = CastOptions { safe: true, ..Default::default() };
    Ok(cast_with_options(texts, wanted, &lenient)?)
}

/// Where the columns stand in a line, by the header's names.
struct Places {
    of: Vec<Option<usize>>,
    width: usize,
}

impl Places {
    fn new(header: &[u8], schema: &Schema, delimiter: u8) -> Self {
        let names = names(header, delimiter);
        let of = schema.fields().iter().map(|f| names.iter().position(|name| name == f.name())).collect();
        Self { of, width: names.len() }
    }

    fn pick(&self, mut fields: Vec<Option<String>>) -> Result<Vec<Option<String>>, String> {
        if fields.len() != self.width {
            return Err(format!("the line has {} fields, the header {}", fields.len(), self.width));
        }
        // a column that the header lacks is null
        Ok(self.of.iter().map(|place| place.and_then(|place| fields.get_mut(place)?.take())).collect())
    }
}

fn names(header: &[u8], delimiter: u8) -> Vec<String> {
    let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header);
    let names = fields(header, delimiter).unwrap_or_default();
    names.into_iter().map(|name| name.unwrap_or_default().trim().to_owned()).collect()
}

/// The fields of a line; RFC 4180, one line a record.
fn fields(line: &[u8], delimiter: u8) -> Result<Vec<Option<String>>, String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| "the line is not UTF-8".to_owned());
    let (mut fields, mut field, mut quoted, mut was_quoted) = (Vec::new(), Vec::new(), false, false);
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if quoted && bytes.peek() == Some(&b'"') => {
                field.push(b'"');
                bytes.next();
            }
            b'"' if quoted => quoted = false,
            b'"' if field.is_empty() && !was_quoted => (quoted, was_quoted) = (true, true),
            byte if byte == delimiter && !quoted => {
                let value = text(std::mem::take(&mut field))?;
                fields.push((was_quoted || !value.is_empty()).then_some(value));
                was_quoted = false;
            }
            byte => field.push(byte),
        }
    }
    if quoted {
        return Err("a quoted field does not end in its line".to_owned());
    }
    let value = text(field)?;
    fields.push((was_quoted || !value.is_empty()).then_some(value));
    Ok(fields)
}

fn lines_of(block: &[u8]) -> impl Iterator<Item = (u64, u64, &[u8])> {
    let unfinished = (!block.is_empty() && block.last() != Some(&b'\n')).then_some(block.len());
    let mut start = 0;
    memchr_iter(b'\n', block).chain(unfinished).zip(1..).map(move |(end, line)| {
        let (text, offset) = (block.get(start..end).unwrap_or_default(), start as u64);
        start = end + 1;
        (line, offset, text)
    })
}

fn infer(sample: &[u8], delimiter: u8) -> Result<SchemaRef> {
    // the sample may end inside a line
    let whole = memchr::memrchr(b'\n', sample).map_or(sample, |last| sample.get(..last).unwrap_or(sample));
    let mut lines = lines_of(whole);
    let names = names(lines.next().map(|(_, _, text)| text).unwrap_or_default(), delimiter);
    if names.iter().any(String::is_empty) {
        return Err(Error::data("the first line of the CSV file does not name its columns")
            .hint("declare the columns, or give the file a header"));
    }
    let rows = lines.take(SAMPLE_LINES).filter_map(|(_, _, text)| fields(text, delimiter).ok());
    let rows: Vec<Vec<Option<String>>> = rows.filter(|row| row.len() == names.len()).collect();
    let mut inferred = Vec::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        let texts: StringArray = rows.iter().map(|row| row.get(place).cloned().flatten()).collect();
        inferred.push(Field::new(name, fitting(&texts)?, true));
    }
    Ok(Arc::new(Schema::new(inferred)))
}

fn fitting(texts: &StringArray) -> Result<DataType> {
    if texts.null_count() == texts.len() {
        return Ok(DataType::Utf8);
    }
    for candidate in [DataType::Int64, DataType::Float64, DataType::Boolean, TIME] {
        if convert(texts, &candidate)?.null_count() == texts.null_count() {
            return Ok(candidate);
        }
    }
    Ok(DataType::Utf8)
}
