//! Gathered records become rows and dead letters: one of either for each record. Runs in any thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use fyke_types::{DeadLetter, Decoded, Decoder, Error, Result};

use super::lane::Lane;
use super::layout::{From, Own};
use super::records::{Records, Wanted};
use crate::event_time::EventTime;
use crate::files::decode::{Item, Piece};
use crate::files::pool::Work;

/// A buffer that grew larger than this is given back.
const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// How the columns that are built come about.
pub(super) struct Build {
    /// Of the built columns.
    pub(super) schema: SchemaRef,
    pub(super) from: Vec<From>,
    pub(super) wanted: Wanted,
    pub(super) block_bytes: usize,
    /// Counts the bytes of values.
    pub(super) bytes: Arc<AtomicU64>,
}

/// Gathers and decodes blocks of any partition of one source.
pub(super) struct Worker {
    build: Arc<Build>,
    /// Gives the built columns of values, in the order of `build.from`; none where values stay as they are.
    decoder: Option<Box<dyn Decoder>>,
    /// For lines that must be looked at alone.
    finder: Option<Box<dyn Decoder>>,
    event_time: EventTime,
    records: Records,
}

/// Which records made rows, in order; all of them where there is no list.
type RowsOf = Option<Vec<usize>>;

impl Work for Worker {
    type Stream = Lane;

    fn next(&mut self, stream: &Mutex<Lane>, customer: &str) -> (u64, Item) {
        let mut records = std::mem::take(&mut self.records);
        records.clear();
        let mut lane = stream.lock().unwrap_or_else(PoisonError::into_inner);
        let number = lane.next_number();
        let outcome = lane.fill(&mut records, &self.build.wanted, self.build.block_bytes);
        let (topic, partition) = (Arc::clone(&lane.topic), lane.partition);
        drop(lane);
        let item = match outcome {
            Some(item) => item,
            None => self
                .piece(&records, &topic, partition, customer)
                .map_or_else(Item::Failed, |piece| Item::Piece(Box::new(piece))),
        };
        self.build.bytes.fetch_add(records.bytes as u64, Ordering::Relaxed);
        if records.bytes < KEPT_BYTES {
            self.records = records;
        }
        (number, item)
    }
}

impl Worker {
    /// A worker with `decoders` of its own.
    pub(super) fn new(
        build: Arc<Build>,
        decoders: Option<(Box<dyn Decoder>, Box<dyn Decoder>)>,
        event_time: EventTime,
    ) -> Self {
        let (decoder, finder) = decoders.unzip();
        Self { build, decoder, finder, event_time, records: Records::default() }
    }

    fn piece(&mut self, records: &Records, topic: &str, partition: i32, customer: &str) -> Result<Piece> {
        let (values, mut dead, rows) = self.values(records, customer)?;
        let count = rows.as_ref().map_or(records.len(), Vec::len);
        let mut columns = Vec::with_capacity(self.build.from.len());
        let mut of_values = values.into_iter();
        for (from, field) in self.build.from.iter().zip(self.build.schema.fields()) {
            columns.push(match from {
                From::Value(_) => {
                    of_values.next().ok_or_else(|| Error::internal("a decoder gave fewer columns than were asked"))?
                }
                From::Record(own) => own_column(*own, field.data_type(), records, &rows, count, topic, partition)?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.build.schema), columns, &options)?;
        let read = batch.num_rows() as u64 + dead.len() as u64;
        let checked = self.event_time.check(batch)?;
        for (row, reason) in checked.refused {
            let record = rows.as_ref().map_or(Some(row), |rows| rows.get(row).copied());
            let record = record.ok_or_else(|| Error::internal("a refused row has no record"))?;
            dead.push((record, reason, records.value(record, self.build.wanted.raw).to_vec()));
        }
        dead.sort_by_key(|(record, _, _)| *record);
        let place = |record: usize| records.offsets.get(record).copied().unwrap_or_default().unsigned_abs();
        let letter = |(record, reason, raw)| {
            let offset = place(record);
            DeadLetter { line: offset + 1, offset, reason, raw }
        };
        Ok(Piece {
            batch: checked.batch,
            dead: dead.into_iter().map(letter).collect(),
            lines: records.len() as u64,
            read,
            end: records.offsets.last().map_or(0, |last| last.unsigned_abs() + 1),
            fresh: false,
            latest: checked.latest,
            origin: None,
            directive: None,
        })
    }

    /// The decoded columns, what makes no row, and which records the rows come from.
    #[expect(clippy::type_complexity, reason = "three answers of one step, used once")]
    fn values(
        &mut self,
        records: &Records,
        customer: &str,
    ) -> Result<(Vec<ArrayRef>, Vec<(usize, String, Vec<u8>)>, RowsOf)> {
        let refused = records.refused.iter().map(|r| (r.record, r.reason.clone(), r.value.clone()));
        let mut dead: Vec<(usize, String, Vec<u8>)> = refused.collect();
        let Some(decoder) = &mut self.decoder else {
            let rows = (!dead.is_empty()).then(|| except(records.len(), &dead));
            return Ok((self.raw_columns(records, &rows)?, dead, rows));
        };
        let Decoded { batch, dead: letters, lines, skipped } = decoder.decode(&records.lines, customer)?;
        if lines != records.len() as u64 {
            return Err(Error::internal(format!("{lines} lines of {} records", records.len())));
        }
        if letters.is_empty() && skipped == 0 && batch.num_rows() == records.len() {
            return Ok((batch.columns().to_vec(), dead, None));
        }
        let blank = dead.len() as u64;
        for letter in letters {
            let record = usize::try_from(letter.line.saturating_sub(1)).unwrap_or(usize::MAX);
            dead.push((record, letter.reason, records.value(record, false).to_vec()));
        }
        dead.sort_by_key(|(record, _, _)| *record);
        let mut rows = except(records.len(), &dead);
        if skipped != blank {
            // comments of the format: which lines they are is its secret
            let mut kept = Vec::with_capacity(rows.len());
            for record in rows {
                if self.is_row(records.line(record), customer)? {
                    kept.push(record);
                }
            }
            rows = kept;
        }
        if rows.len() != batch.num_rows() {
            return Err(Error::internal("a decoder's rows do not follow its lines"));
        }
        Ok((batch.columns().to_vec(), dead, Some(rows)))
    }

    fn is_row(&mut self, line: &[u8], customer: &str) -> Result<bool> {
        match &mut self.finder {
            Some(finder) => Ok(finder.decode(line, customer)?.batch.num_rows() > 0),
            None => Ok(false),
        }
    }

    /// The one column of raw values, where it is built.
    fn raw_columns(&self, records: &Records, rows: &RowsOf) -> Result<Vec<ArrayRef>> {
        let mut columns = Vec::new();
        for (from, field) in self.build.from.iter().zip(self.build.schema.fields()) {
            if matches!(from, From::Value(_)) {
                let value = |record| records.values.get(record);
                columns.push(texts(field.data_type(), records.len(), rows, records.bytes, value)?);
            }
        }
        Ok(columns)
    }
}

/// All records but those that are dead, which are in order.
fn except(count: usize, dead: &[(usize, String, Vec<u8>)]) -> Vec<usize> {
    let mut dead = dead.iter().map(|(record, _, _)| *record).peekable();
    (0..count).filter(|record| dead.next_if_eq(record).is_none()).collect()
}

fn own_column(
    own: Own,
    data_type: &DataType,
    records: &Records,
    rows: &RowsOf,
    count: usize,
    topic: &str,
    partition: i32,
) -> Result<ArrayRef> {
    let numbers = |of: &[i64]| match rows {
        None => of.to_vec(),
        Some(rows) => rows.iter().filter_map(|record| of.get(*record).copied()).collect(),
    };
    Ok(match own {
        Own::Topic => {
            let mut topics = StringBuilder::with_capacity(count, count * topic.len());
            (0..count).for_each(|_| topics.append_value(topic));
            Arc::new(topics.finish())
        }
        Own::Partition => cast(&Int32Array::from_value(partition, count), data_type)?,
        Own::Offset => Arc::new(Int64Array::from(numbers(&records.offsets))),
        Own::Timestamp => {
            let times = numbers(&records.times);
            let known = times.iter().map(|time| (*time != i64::MIN).then_some(*time));
            Arc::new(TimestampMicrosecondArray::from_iter(known))
        }
        Own::Key => texts(data_type, records.len(), rows, 0, |record| records.keys.get(record))?,
        Own::Headers => texts(data_type, records.len(), rows, 0, |record| records.headers.get(record))?,
    })
}

fn texts<'a>(
    data_type: &DataType,
    count: usize,
    rows: &RowsOf,
    bytes: usize,
    text: impl Fn(usize) -> Option<&'a [u8]>,
) -> Result<ArrayRef> {
    let all = (0..count).filter(|_| rows.is_none()).chain(rows.iter().flatten().copied());
    if *data_type == DataType::Binary {
        let mut column = BinaryBuilder::with_capacity(count, bytes);
        all.for_each(|record| column.append_option(text(record)));
        return Ok(Arc::new(column.finish()));
    }
    let mut column = StringBuilder::with_capacity(count, bytes);
    for record in all {
        match text(record).map(simdutf8::basic::from_utf8).transpose() {
            Ok(text) => column.append_option(text),
            Err(_) => return Err(Error::internal("text that is not UTF-8 came behind its check")),
        }
    }
    Ok(Arc::new(column.finish()))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{Field, Int64Type, Schema};
    use fyke_types::{ManualClock, ReadOptions, Settings};

    use super::*;
    use crate::event_time::Columns;

    fn worker(from: &[(&str, DataType, From)], wanted: Wanted) -> Worker {
        let field = |(name, data_type, _): &(&str, DataType, From)| Field::new(*name, data_type.clone(), true);
        let schema: SchemaRef = Arc::new(Schema::new(from.iter().map(field).collect::<Vec<_>>()));
        let of_value = from.iter().filter(|(_, _, from)| matches!(from, From::Value(_)));
        let value: SchemaRef = Arc::new(Schema::new(of_value.map(field).collect::<Vec<_>>()));
        let from = from.iter().map(|(_, _, from)| *from).collect();
        let options = ReadOptions {
            projection: None,
            event_time: None,
            max_ahead: 0,
            follow: false,
            threads: 0,
            block_bytes: 1 << 20,
            clock: Arc::new(ManualClock::new(0)),
            resume: None,
        };
        let event_time = EventTime::new(Columns::new(&schema, &options).expect("columns"), &options);
        let decoders = (!wanted.raw).then(|| {
            let mut settings = Settings::new("t", Default::default());
            let format = fyke_formats::format("JSON", Some(value), None, &mut settings).expect("a format");
            (format.decoder(None).expect("a decoder"), format.decoder(Some(&[])).expect("a decoder"))
        });
        let build = Build { schema, from, wanted, block_bytes: 1 << 20, bytes: Arc::default() };
        Worker::new(Arc::new(build), decoders, event_time)
    }

    #[test]
    fn one_record_is_one_row_or_one_dead_letter_at_its_place() {
        let wanted = Wanted { json: true, ..Wanted::default() };
        let columns = [("n", DataType::Int64, From::Value(0)), ("offset", DataType::Int64, From::Record(Own::Offset))];
        let mut worker = worker(&columns, wanted);
        let mut records = Records::default();
        let values: [Option<&[u8]>; 7] = [
            Some(b"{\"n\":1}"),
            Some(b"{\"n\":2}\n{\"n\":3}"),
            None,
            Some(b"{\n\"n\": 4\n}\n"),
            Some(b"nonsense"),
            Some(b""),
            Some(b"{\"n\":5}"),
        ];
        values.iter().for_each(|value| records.push_value(*value, &wanted));
        let piece = worker.piece(&records, "logs", 0, "c").expect("a piece");
        let numbers = |column: usize| piece.batch.column(column).as_primitive::<Int64Type>().values().to_vec();
        assert_eq!((numbers(0), numbers(1)), (vec![1, 4, 5], vec![100, 103, 106]));
        let dead: Vec<u64> = piece.dead.iter().map(|letter| letter.offset).collect();
        assert_eq!(dead, [101, 102, 104, 105]);
        assert_eq!(piece.dead[0].raw, b"{\"n\":2}\n{\"n\":3}", "its bytes are as they came");
        assert_eq!((piece.read, piece.end), (7, 107));
    }

    #[test]
    fn raw_values_are_rows_and_tombstones_too() {
        let wanted = Wanted { raw: true, text_value: true, ..Wanted::default() };
        let columns = [("value", DataType::Utf8, From::Value(0)), ("topic", DataType::Utf8, From::Record(Own::Topic))];
        let mut worker = worker(&columns, wanted);
        let mut records = Records::default();
        let values: [Option<&[u8]>; 3] = [Some(b"a\nb"), Some(b"\xff"), None];
        values.iter().for_each(|value| records.push_value(*value, &wanted));
        let piece = worker.piece(&records, "logs", 0, "c").expect("a piece");
        let texts: Vec<Option<&str>> = piece.batch.column(0).as_string::<i32>().iter().collect();
        assert_eq!(texts, [Some("a\nb"), None]);
        assert_eq!(piece.dead.len(), 1);
        assert_eq!((piece.dead[0].offset, piece.dead[0].raw.as_slice()), (101, &b"\xff"[..]));
    }
}
