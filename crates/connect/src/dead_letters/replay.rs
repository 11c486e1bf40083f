//! A source over another source: its rows are dead letters, whose raw lines are decoded here.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use fyke_formats::format;
use fyke_types::{
    DeadLetter, Decoded, Decoder, Error, Event, Format, ReadOptions, Reader, Result, Rows, Settings, Source, TableSpec,
};

use crate::event_time::{Columns, EventTime};

/// A table of replayed dead letters.
///
/// Settings: `stored_as` (where the letters lie: `PARQUET`, `JSON`, `ELASTICSEARCH`, …; by default the location's
/// extension says), `format` (of the raw lines: `JSON`, `COMBINED`, …) with the format's own settings, and `from.KEY`
/// for a setting `KEY` of the connector that reads the letters.
#[derive(Debug)]
pub(super) struct Replay {
    letters: Arc<dyn Source>,
    format: Arc<dyn Format>,
    schema: SchemaRef,
}

/// The columns of a dead letter that a replay needs, by name: not every output keeps their order, and none keeps bytes
/// but Parquet.
fn letter_schema(binary: bool) -> SchemaRef {
    let raw = if binary { DataType::Binary } else { DataType::Utf8 };
    Arc::new(Schema::new(vec![
        Field::new("customer", DataType::Utf8, true),
        Field::new("line", DataType::UInt64, true),
        Field::new("offset", DataType::UInt64, true),
        Field::new("raw", raw, true),
    ]))
}

impl Replay {
    /// A table as `spec` says it.
    ///
    /// # Errors
    /// `Usage` for wrong settings, and what connector and format say.
    pub(super) fn new(spec: &TableSpec) -> Result<Self> {
        let mut options = spec.options.clone();
        let mut from = std::collections::BTreeMap::new();
        options.retain(|key, value| match key.strip_prefix("from.") {
            Some(key) => {
                from.insert(key.to_owned(), value.clone());
                false
            }
            None => true,
        });
        let mut settings = Settings::new(format!("table {}", spec.name), options);
        let stored_as = match settings.text("stored_as") {
            Some(name) => name.to_uppercase(),
            None => by_extension(&spec.location)?,
        };
        let Some(name) = settings.text("format") else {
            return Err(Error::usage(format!("table {} needs the format of its raw lines", spec.name))
                .hint("OPTIONS ('format' 'COMBINED'), or JSON, or what the table was that they come from"));
        };
        let format = format(&name, spec.schema.clone(), None, &mut settings)?;
        settings.finish()?;
        let connectors = crate::connectors();
        let known = || connectors.iter().flat_map(|c| c.formats()).copied().collect::<Vec<_>>().join(", ");
        let connector = connectors.iter().find(|c| c.formats().contains(&stored_as.as_str())).ok_or_else(|| {
            Error::usage(format!("no connector answers to 'stored_as' '{stored_as}'"))
                .hint(format!("known: {}", known()))
        })?;
        let letters = connector.source(&TableSpec {
            name: spec.name.clone(),
            schema: Some(letter_schema(stored_as == "PARQUET")),
            format: stored_as,
            location: spec.location.clone(),
            options: from,
        })?;
        let schema = format.schema();
        Ok(Self { letters, format, schema })
    }
}

fn by_extension(location: &str) -> Result<String> {
    let extension = location.rsplit_once('.').map(|(_, extension)| extension.to_lowercase());
    match extension.as_deref() {
        Some("parquet") => Ok("PARQUET".into()),
        Some("json" | "jsonl" | "ndjson") => Ok("JSON".into()),
        Some("csv") => Ok("CSV".into()),
        _ => Err(Error::usage(format!("how dead letters lie in '{location}' is unknown"))
            .hint("OPTIONS ('stored_as' 'PARQUET')")),
    }
}

impl Source for Replay {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn open(&self, options: &ReadOptions) -> Result<Box<dyn Reader>> {
        let columns = Columns::new(&self.schema, options)?;
        let decoder = self.format.decoder(columns.built.as_deref())?;
        let event_time = EventTime::new(columns, options);
        // what is in the letters counts, not the letters' own columns
        let projection = ["customer", "line", "offset", "raw"].iter().map(|name| self.letters.schema().index_of(name));
        let projection = projection.collect::<std::result::Result<Vec<_>, _>>().map_err(|error| {
            Error::data("these are no dead letters")
                .detail(error)
                .hint("they have the columns customer, line, offset, raw")
        })?;
        let options = ReadOptions { projection: Some(projection), event_time: None, ..options.clone() };
        Ok(Box::new(ReplayReader { letters: self.letters.open(&options)?, decoder, event_time }))
    }

    fn bytes_total(&self) -> Option<u64> {
        self.letters.bytes_total()
    }
}

struct ReplayReader {
    letters: Box<dyn Reader>,
    decoder: Box<dyn Decoder>,
    event_time: EventTime,
}

/// The letters of a batch.
struct Letters {
    customer: ArrayRef,
    line: ArrayRef,
    offset: ArrayRef,
    raw: ArrayRef,
}

impl Letters {
    fn of(batch: &RecordBatch) -> Result<Self> {
        let column = |name: &str, data_type: &DataType| -> Result<ArrayRef> {
            let column =
                batch.column_by_name(name).ok_or_else(|| Error::internal("a column of a letter is missing"))?;
            Ok(cast(column, data_type)?)
        };
        Ok(Self {
            customer: column("customer", &DataType::Utf8)?,
            line: column("line", &DataType::UInt64)?,
            offset: column("offset", &DataType::UInt64)?,
            raw: column("raw", &DataType::Binary)?,
        })
    }

    fn customer(&self, row: usize) -> &str {
        let names = self.customer.as_string::<i32>();
        if names.is_null(row) { "" } else { names.value(row) }
    }

    fn number(column: &ArrayRef, row: usize) -> u64 {
        let numbers = column.as_primitive::<UInt64Type>();
        if numbers.is_null(row) { 0 } else { numbers.value(row) }
    }

    /// A letter that is dead again, with its first place.
    fn again(&self, row: usize, reason: String) -> DeadLetter {
        let (line, offset) = (Self::number(&self.line, row), Self::number(&self.offset, row));
        DeadLetter { line, offset, reason, raw: self.raw(row).to_vec() }
    }

    fn raw(&self, row: usize) -> &[u8] {
        let raw = self.raw.as_binary::<i32>();
        if raw.is_null(row) { &[] } else { raw.value(row) }
    }
}

impl ReplayReader {
    fn replay(&mut self, rows: Rows) -> Result<Rows> {
        let letters = Letters::of(&rows.batch)?;
        let (mut batches, mut dead) = (Vec::new(), rows.dead);
        let mut start = 0;
        while start < rows.batch.num_rows() {
            let customer = letters.customer(start);
            let mut end = start + 1;
            while end < rows.batch.num_rows() && letters.customer(end) == customer {
                end += 1;
            }
            self.replay_customer(&letters, start..end, &mut batches, &mut dead)?;
            start = end;
        }
        let batch = match batches.first() {
            Some(first) => concat_batches(&first.schema(), &batches)?,
            None => self.event_time.check(self.decoder.decode(&[], "")?.batch)?.batch,
        };
        Ok(Rows { batch, dead, ..rows })
    }

    /// Letters of one customer, one line each; a letter without a line stays what it is.
    fn replay_customer(
        &mut self,
        letters: &Letters,
        range: std::ops::Range<usize>,
        batches: &mut Vec<RecordBatch>,
        dead: &mut Vec<DeadLetter>,
    ) -> Result<()> {
        let is_line = |row: usize| {
            let raw = letters.raw(row);
            !raw.trim_ascii().is_empty() && !raw.contains(&b'\n')
        };
        let mut lines = Vec::new();
        for row in range.clone() {
            if is_line(row) {
                lines.push(row);
            } else {
                dead.push(letters.again(row, "its raw text is not one line".into()));
            }
        }
        // line by line: which of them a format skips (comments, headers) must not shift the others
        for row in lines {
            let Decoded { batch, dead: refused, .. } =
                self.decoder.decode(letters.raw(row), letters.customer(range.start))?;
            if let Some(letter) = refused.into_iter().next() {
                dead.push(letters.again(row, letter.reason));
            } else if batch.num_rows() == 0 {
                dead.push(letters.again(row, "the format skips this line".into()));
            }
            let checked = self.event_time.check(batch)?;
            for (_, reason) in checked.refused {
                dead.push(letters.again(row, reason));
            }
            if checked.batch.num_rows() > 0 {
                batches.push(checked.batch);
            }
        }
        Ok(())
    }
}

impl Reader for ReplayReader {
    fn next(&mut self, wait: Duration) -> Result<Event> {
        match self.letters.next(wait)? {
            Event::Rows(rows) => self.replay(rows).map(Event::Rows),
            other => Ok(other),
        }
    }

    fn position(&self) -> Result<Option<String>> {
        self.letters.position()
    }

    fn bytes_read(&self) -> u64 {
        self.letters.bytes_read()
    }
}
