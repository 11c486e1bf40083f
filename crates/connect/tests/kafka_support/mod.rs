//! Topics to read, and a reading that is collected.
#![allow(dead_code, reason = "each test file uses its part")]
#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use fyke_connect::KafkaConnector;
use fyke_testbed::Kafka;
use fyke_types::window::TIME;
use fyke_types::{
    Connector, DeadLetter, Error, Event, Input, ManualClock, Micros, ReadOptions, Reader, Result, Source, TableSpec,
};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// What no step of a test takes.
pub const LONG: Duration = Duration::from_secs(30);

/// The one broker of this test binary.
pub fn broker() -> &'static Kafka {
    Kafka::shared().expect("a broker")
}

/// A topic of this name, empty.
pub fn topic(name: &str, partitions: i32) {
    broker().create_topic(name, partitions, &[]).expect("a topic");
}

pub struct Writer(pub BaseProducer);

impl Writer {
    pub fn new() -> Self {
        Self::with(&broker().client())
    }

    pub fn with(config: &ClientConfig) -> Self {
        Self(config.create().expect("a producer"))
    }

    /// Sends a value with its record's time in ms.
    pub fn send(&self, topic: &str, partition: i32, time_ms: i64, value: &str) {
        // 0 would mean: now
        let time_ms = time_ms.max(1);
        let record = BaseRecord::<(), str>::to(topic).partition(partition).timestamp(time_ms).payload(value);
        self.0.send(record).map_err(|(error, _)| error).expect("sent");
    }

    pub fn flush(&self) {
        self.0.flush(LONG).expect("flushed");
    }
}

/// Sends `values` to partition 0, at a second's distance.
pub fn send_all(topic: &str, values: &[&str]) {
    let writer = Writer::new();
    values.iter().enumerate().for_each(|(at, value)| writer.send(topic, 0, at as i64 * 1_000, value));
    writer.flush();
}

/// `{"time":"1970-01-01T00:00:SSZ","n":N}`.
pub fn line(second: i64, n: i64) -> String {
    let (minute, second) = (second / 60, second % 60);
    format!("{{\"time\":\"1970-01-01T{:02}:{:02}:{second:02}Z\",\"n\":{n}}}", minute / 60, minute % 60)
}

pub fn columns(columns: &[(&str, DataType)]) -> SchemaRef {
    let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// `time`, `n`, and the record's `topic` and `offset`.
pub fn numbers() -> SchemaRef {
    columns(&[("time", TIME), ("n", DataType::Int64), ("topic", DataType::Utf8), ("offset", DataType::Int64)])
}

pub fn spec(location: &str, schema: Option<SchemaRef>, settings: &[(&str, &str)]) -> TableSpec {
    TableSpec {
        name: "t".into(),
        format: "KAFKA".into(),
        location: location.into(),
        schema,
        options: settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect::<BTreeMap<_, _>>(),
    }
}

/// A table over the shared broker.
pub fn table(schema: Option<SchemaRef>, settings: &[(&str, &str)]) -> Arc<dyn Source> {
    KafkaConnector.source(&spec(&broker().bootstrap(), schema, settings)).expect("a table")
}

/// Event time in the first column; the clock stands at the end of 1970.
pub fn options(threads: usize) -> ReadOptions {
    ReadOptions {
        projection: None,
        event_time: Some(0),
        max_ahead: 86_400_000_000,
        follow: false,
        threads,
        block_bytes: 1 << 20,
        clock: Arc::new(ManualClock::new(365 * 86_400_000_000)),
        resume: None,
    }
}

pub fn following(threads: usize) -> ReadOptions {
    ReadOptions { follow: true, ..options(threads) }
}

/// What a reading gave.
#[derive(Default)]
pub struct Given {
    pub inputs: Vec<Input>,
    /// Input, greatest event time and number of rows of each block.
    pub blocks: Vec<(u32, Micros, usize)>,
    pub batches: Vec<RecordBatch>,
    pub dead: Vec<(String, DeadLetter)>,
    pub troubles: Vec<Error>,
    pub ended: Vec<u32>,
    pub end: bool,
    pub read: u64,
}

impl Given {
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The values of a column of numbers, in the order they came.
    pub fn numbers(&self, column: &str) -> Vec<i64> {
        let of = |batch: &RecordBatch| {
            let array = Arc::clone(batch.column_by_name(column).expect("a column"));
            array.as_primitive::<Int64Type>().values().to_vec()
        };
        self.batches.iter().flat_map(of).collect()
    }

    pub fn sorted(&self, column: &str) -> Vec<i64> {
        let mut numbers = self.numbers(column);
        numbers.sort_unstable();
        numbers
    }

    pub fn texts(&self, column: &str) -> Vec<Option<String>> {
        let of = |batch: &RecordBatch| {
            let array = Arc::clone(batch.column_by_name(column).expect("a column"));
            array.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
        };
        self.batches.iter().flat_map(of).collect()
    }

    pub fn names(&self) -> Vec<String> {
        self.inputs.iter().map(|input| input.name.to_string()).collect()
    }

    /// Takes one event; false where there is nothing more.
    pub fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Opened(input) => self.inputs.push(input),
            Event::Rows(rows) => {
                let input = self.inputs.iter().find(|input| input.id == rows.input).expect("an opened input");
                self.dead.extend(rows.dead.into_iter().map(|letter| (input.name.to_string(), letter)));
                let times = rows.batch.column_by_name("time").map(|times| latest(times.as_ref()));
                self.blocks.push((rows.input.0, times.unwrap_or(Micros::MIN), rows.batch.num_rows()));
                self.read += rows.read;
                self.batches.push(rows.batch);
            }
            Event::Ended(input) => self.ended.push(input.0),
            Event::Trouble { error, .. } => self.troubles.push(error),
            Event::Waiting => {}
            Event::End => self.end = true,
        }
        !self.end
    }
}

fn latest(times: &dyn Array) -> Micros {
    let times = times.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    times.values().iter().copied().max().unwrap_or(Micros::MIN)
}

/// Reads to the end.
pub fn read(source: &dyn Source, options: &ReadOptions) -> Result<Given> {
    let mut reader = source.open(options)?;
    let (mut given, started) = (Given::default(), Instant::now());
    while given.take(reader.next(Duration::from_millis(100))?) {
        assert!(started.elapsed() < LONG, "it does not end: {} rows, {:?}", given.rows(), given.troubles);
    }
    Ok(given)
}

/// Reads on until `enough`.
pub fn until(reader: &mut dyn Reader, given: &mut Given, enough: impl Fn(&Given) -> bool) {
    let started = Instant::now();
    while !enough(given) {
        let event = reader.next(Duration::from_millis(50)).expect("an event");
        given.take(event);
        let (rows, troubles) = (given.rows(), &given.troubles);
        assert!(started.elapsed() < LONG, "not enough: {rows} rows of {:?}, {troubles:?}", given.names());
    }
}
