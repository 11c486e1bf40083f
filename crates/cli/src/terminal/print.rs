//! Rows of a bare SELECT on standard output, as they come.

use std::collections::BTreeMap;
use std::sync::Arc;

use fyke::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use fyke::arrow::datatypes::SchemaRef;
use fyke::arrow::util::display::{ArrayFormatter, FormatOptions};
use fyke::connect::batch_to_json_lines;
use fyke::types::{Sink, SinkSpec, window};
use fyke::{Error, Result, SinkMode};

use super::{Table, out};

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum PrintFormat {
    /// Columns for people
    #[default]
    Table,
    /// One JSON object a line; windows as {"start":…,"end":…}
    Json,
    /// With a header; a window w as two columns, w.start and w.end
    Csv,
}

/// Prints the rows that it is given.
pub enum Printer {
    /// [`PrintFormat::Table`].
    Table(Table),
    /// [`PrintFormat::Json`].
    Json,
    /// [`PrintFormat::Csv`], as the library writes it.
    Csv(Box<dyn Sink>),
}

impl Printer {
    /// A printer of rows of `schema`.
    ///
    /// # Errors
    /// When the columns have no form in this format.
    pub fn new(format: PrintFormat, schema: &SchemaRef) -> Result<Self> {
        Ok(match format {
            PrintFormat::Table => {
                let columns = schema.fields().iter().map(|f| (f.name().clone(), f.data_type().is_numeric()));
                Self::Table(Table::new(columns))
            }
            PrintFormat::Json => Self::Json,
            PrintFormat::Csv => Self::Csv(csv(schema)?),
        })
    }
}

fn csv(schema: &SchemaRef) -> Result<Box<dyn Sink>> {
    let connectors = fyke::connect::connectors();
    let Some(connector) = connectors.iter().find(|connector| connector.formats().contains(&"CSV")) else {
        return Err(Error::internal("no connector writes CSV"));
    };
    connector.sink(&SinkSpec {
        parts: None,
        unique: None,
        key: None,
        format: "CSV".to_owned(),
        location: "-".to_owned(),
        schema: Arc::clone(schema),
        mode: SinkMode::Append,
        options: BTreeMap::new(),
    })
}

impl Sink for Printer {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Table(table) => out::write(table.rows(&cells(batch)?).as_bytes()),
            Self::Json => {
                let mut bytes = Vec::new();
                batch_to_json_lines(batch, &mut bytes)?;
                out::write(&bytes)
            }
            Self::Csv(_) if out::is_gone() => Ok(()),
            Self::Csv(sink) => out::unless_gone(sink.write(batch)),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Csv(sink) if !out::is_gone() => out::unless_gone(sink.flush()),
            _ => Ok(()),
        }
    }

    fn shows_at_once(&self) -> bool {
        true
    }

    fn finish(&mut self) -> Result<()> {
        match self {
            Self::Table(table) => out::write(table.finish().as_bytes()),
            Self::Csv(sink) if !out::is_gone() => out::unless_gone(sink.finish()),
            _ => Ok(()),
        }
    }
}

/// A batch's rows as text.
///
/// # Errors
/// When Arrow can't show a value.
fn cells(batch: &RecordBatch) -> Result<Vec<Vec<String>>> {
    let options = FormatOptions::new().with_null("null").with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"));
    let columns = batch.columns().iter().map(|column| texts(column, &options)).collect::<Result<Vec<_>>>()?;
    let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
    Ok((0..batch.num_rows()).map(|_| columns.iter_mut().filter_map(Iterator::next).collect()).collect())
}

fn texts(column: &ArrayRef, options: &FormatOptions<'_>) -> Result<Vec<String>> {
    if !window::is_window(column.data_type()) {
        let formatter = ArrayFormatter::try_new(column, options)?;
        return Ok((0..column.len()).map(|row| formatter.value(row).to_string()).collect());
    }
    let ends = column.as_struct().columns().iter().map(|c| texts(c, options)).collect::<Result<Vec<_>>>()?;
    let [starts, ends] = ends.as_slice() else { return Err(Error::internal("a window has a start and an end")) };
    let both = starts.iter().zip(ends).enumerate();
    Ok(both
        .map(|(row, (start, end))| if column.is_null(row) { "null".to_owned() } else { between(start, end) })
        .collect())
}

/// `2026-03-02 08:00:00 – 08:01:00`: the day is said again only if it is another.
fn between(start: &str, end: &str) -> String {
    match (start.split_once(' '), end.split_once(' ')) {
        (Some((day, _)), Some((same, time))) if day == same => format!("{start} – {time}"),
        _ => format!("{start} – {end}"),
    }
}

#[cfg(test)]
mod tests {
    use fyke::arrow::array::{Int64Array, NullArray, StringArray};
    use fyke::arrow::buffer::NullBuffer;

    use super::*;

    fn batch() -> RecordBatch {
        let nulls = NullBuffer::from(vec![true, false]);
        let windows: ArrayRef = Arc::new(window::windows(vec![0, 0], vec![60_000_000, 1], Some(nulls)));
        let n: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
        let path: ArrayRef = Arc::new(StringArray::from(vec!["/a,b", "/"]));
        RecordBatch::try_from_iter([("w", windows), ("n", n), ("path", path)]).expect("batch")
    }

    #[test]
    fn windows_say_the_day_once() {
        let rows = cells(&batch()).expect("cells");
        assert_eq!(rows, [vec!["1970-01-01 00:00:00 – 00:01:00", "7", "/a,b"], vec!["null", "null", "/"]]);
        assert_eq!(between("1970-01-01 23:59:00", "1970-01-02 00:00:00"), "1970-01-01 23:59:00 – 1970-01-02 00:00:00");
    }

    #[test]
    fn rows_without_a_value_are_rows() {
        let nothing: ArrayRef = Arc::new(NullArray::new(2));
        let batch = RecordBatch::try_from_iter_with_nullable([("nothing", nothing, true)]).expect("batch");
        assert_eq!(cells(&batch).expect("cells").len(), 2);
    }
}
