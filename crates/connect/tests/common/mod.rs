//! A format of one's own, and a reading that is collected: what the tests of this crate share.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch, StringBuilder, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use fyke_connect::FileSource;
use fyke_types::window::TIME;
use fyke_types::{
    DeadLetter, Decoded, Decoder, Event, Format, InputId, ManualClock, ReadOptions, Reader, Result, Source, TableSpec,
};

/// The clock of all readings: 1000 seconds after 1970.
pub const NOW: i64 = 1_000_000_000;

/// Lines `TIME|word`: no time makes a null, a bad one a dead letter; blank lines and `#` comments are skipped.
#[derive(Debug)]
pub struct Piped;

impl Piped {
    fn columns() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("time", TIME, true),
            Field::new("word", DataType::Utf8, true),
            Field::new("customer", DataType::Utf8, true),
        ]))
    }
}

impl Format for Piped {
    fn schema(&self) -> SchemaRef {
        Self::columns()
    }

    fn decoder(&self, projection: Option<&[usize]>) -> Result<Box<dyn Decoder>> {
        Ok(Box::new(PipedDecoder(projection.unwrap_or(&[0, 1, 2]).to_vec())))
    }
}

struct PipedDecoder(Vec<usize>);

impl Decoder for PipedDecoder {
    fn decode(&mut self, block: &[u8], customer: &str) -> Result<Decoded> {
        let (mut times, mut words, mut customers) = (Vec::new(), StringBuilder::new(), StringBuilder::new());
        let (mut dead, mut lines, mut skipped, mut offset) = (Vec::new(), 0, 0, 0);
        for line in block.split_inclusive(|b| *b == b'\n') {
            lines += 1;
            let start = offset;
            offset += line.len() as u64;
            let raw = line.strip_suffix(b"\n").unwrap_or(line);
            let text = String::from_utf8_lossy(raw);
            if text.trim().is_empty() || text.starts_with('#') {
                skipped += 1;
                continue;
            }
            let parsed = text.split_once('|').and_then(|(time, word)| match time {
                "" => Some((None, word)),
                time => time.parse().ok().map(|time: i64| (Some(time), word)),
            });
            match parsed {
                Some((time, word)) => {
                    times.push(time);
                    words.append_value(word);
                    customers.append_value(customer);
                }
                None => {
                    let reason = "bad".to_owned();
                    dead.push(DeadLetter { line: lines, offset: start, reason, raw: raw.to_vec() });
                }
            }
        }
        let batch = RecordBatch::try_new(
            Piped::columns(),
            vec![
                Arc::new(TimestampMicrosecondArray::from(times)),
                Arc::new(words.finish()),
                Arc::new(customers.finish()),
            ],
        )?;
        Ok(Decoded { batch: batch.project(&self.0)?, dead, lines, skipped })
    }
}

/// A table at `location` with `settings`.
pub fn spec(format: &str, location: impl AsRef<Path>, settings: &[(&str, &str)]) -> TableSpec {
    TableSpec {
        name: "t".into(),
        format: format.into(),
        location: location.as_ref().display().to_string(),
        schema: None,
        options: settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<BTreeMap<_, _>>(),
    }
}

/// A table of [`Piped`] lines.
pub fn piped(location: impl AsRef<Path>, settings: &[(&str, &str)]) -> FileSource {
    FileSource::with_format(&spec("PIPED", location, settings), Arc::new(Piped)).unwrap()
}

/// Blocks of `block` bytes, event time in the first column.
pub fn options(threads: usize, block: usize) -> ReadOptions {
    ReadOptions {
        projection: None,
        event_time: Some(0),
        max_ahead: 86_400_000_000,
        follow: false,
        threads,
        block_bytes: block,
        clock: Arc::new(ManualClock::new(NOW)),
        resume: None,
    }
}

/// The same, following.
pub fn following(threads: usize) -> ReadOptions {
    ReadOptions { follow: true, ..options(threads, 1 << 20) }
}

/// What a reading gave, in a form that can be compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// `open NAME CUSTOMER`, `rows ID first..last (n)`, `end ID`, in order.
    pub events: Vec<String>,
    /// Input, time, word of each row.
    pub rows: Vec<(u32, i64, String)>,
    /// Input and dead letter.
    pub dead: Vec<(u32, DeadLetter)>,
    pub read: u64,
    pub names: Vec<String>,
}

impl Seen {
    /// The words of all rows.
    pub fn words(&self) -> Vec<&str> {
        self.rows.iter().map(|(_, _, word)| word.as_str()).collect()
    }

    /// Takes an event; false when it is the end or a wait.
    pub fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Opened(input) => {
                self.events.push(format!("open {} {}", input.name, input.customer));
                self.names.push(input.name.to_string());
            }
            Event::Rows(rows) => {
                let InputId(id) = rows.input;
                assert_eq!(rows.read, rows.batch.num_rows() as u64 + rows.dead.len() as u64);
                self.read += rows.read;
                self.events.push(format!("rows {id} {} {} {}", rows.batch.num_rows(), rows.dead.len(), rows.position));
                if rows.batch.num_columns() >= 2 && rows.batch.schema_ref().field(0).name() == "time" {
                    let times = rows.batch.column(0).as_primitive::<TimestampMicrosecondType>();
                    let words = rows.batch.column(1).as_string::<i32>();
                    assert_eq!(times.null_count(), 0);
                    for row in 0..times.len() {
                        self.rows.push((id, times.value(row), words.value(row).to_owned()));
                    }
                }
                self.dead.extend(rows.dead.into_iter().map(|letter| (id, letter)));
            }
            Event::Ended(InputId(id)) => self.events.push(format!("end {id}")),
            Event::Trouble { error, .. } => self.events.push(format!("trouble {error}")),
            Event::Waiting | Event::End => return false,
        }
        true
    }
}

/// All events until the end (or a wait).
pub fn read_all(source: &dyn Source, options: &ReadOptions) -> Seen {
    let mut reader = source.open(options).unwrap();
    let mut seen = Seen::default();
    while seen.take(reader.next(Duration::from_millis(50)).unwrap()) {}
    seen
}

/// Reads on until `done` or 10 seconds have passed.
pub fn read_until(reader: &mut dyn Reader, seen: &mut Seen, done: impl Fn(&Seen) -> bool) {
    let started = std::time::Instant::now();
    while !done(seen) {
        assert!(started.elapsed() < Duration::from_secs(10), "not within 10 s: {:?}", seen.events);
        seen.take(reader.next(Duration::from_millis(20)).unwrap());
    }
}
