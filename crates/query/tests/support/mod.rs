//! A source over rows in memory that hands them out in a prescribed way: for tests of the engine alone.

#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datafusion::arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use fyke_connect::MemorySink;
use fyke_query::{Context, ContextBuilder, Progress, RunSettings, Script, TableSettings};
use fyke_stream::{CustomerBy, TimeSettings};
use fyke_types::{Error, Event, Input, InputId, ReadOptions, Reader, Result, Rows, Sink, Source, window};
use proptest::prelude::*;

/// One request of the generated log.
#[derive(Debug, Clone)]
pub struct Row {
    pub time: i64,
    pub host: String,
    pub addr: String,
    pub n: Option<i64>,
    pub x: f64,
}

#[allow(dead_code, reason = "not every test counts in seconds")]
pub const SECOND: i64 = 1_000_000;

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("time", window::TIME, true),
        Field::new("host", DataType::Utf8, true),
        Field::new("addr", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
    ]))
}

pub fn batch(rows: &[Row]) -> RecordBatch {
    RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.time))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &r.host))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|r| &r.addr))),
            Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.n))),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.x))),
        ],
    )
    .expect("rows fit the schema")
}

/// Inputs, each a list of batches.
#[derive(Debug, Clone)]
pub struct Rehearsed {
    pub inputs: Vec<Vec<RecordBatch>>,
    /// Never ends: says that it waits.
    pub endless: bool,
}

impl Source for Rehearsed {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn open(&self, options: &ReadOptions) -> Result<Box<dyn Reader>> {
        let mut events = VecDeque::new();
        for id in 0..self.inputs.len() {
            let name: Arc<str> = format!("input-{id}").into();
            events.push_back(Event::Opened(Input { id: InputId(id as u32), name: Arc::clone(&name), customer: name }));
        }
        let mut left: Vec<VecDeque<RecordBatch>> = self.inputs.iter().map(|i| i.iter().cloned().collect()).collect();
        let mut reached = vec![i64::MIN; left.len()];
        // furthest behind next, as every reader promises
        while let Some(at) = (0..left.len()).filter(|at| !left[*at].is_empty()).min_by_key(|at| reached[*at]) {
            let Some(batch) = left[at].pop_front() else { break };
            let times = batch.column(0).as_any().downcast_ref::<TimestampMicrosecondArray>().expect("times");
            reached[at] = times.values().iter().copied().fold(reached[at], i64::max);
            let read = batch.num_rows() as u64;
            let batch = match &options.projection {
                Some(columns) => batch.project(columns)?,
                None => batch,
            };
            let input = InputId(at as u32);
            events.push_back(Event::Rows(Rows { input, batch, dead: Vec::new(), read, position: 0 }));
            if left[at].is_empty() {
                events.push_back(Event::Ended(input));
            }
        }
        if self.endless {
            events.retain(|event| !matches!(event, Event::Ended(_)));
        }
        let given = options.resume.as_ref().map_or(0, |given| given.parse().expect("a number"));
        // inputs are announced again, and what was given stays away
        let events: VecDeque<Event> = events
            .into_iter()
            .scan(0, |at, event| {
                let opened = matches!(event, Event::Opened(_));
                *at += usize::from(!opened);
                Some((opened || *at > given).then_some(event))
            })
            .flatten()
            .collect();
        Ok(Box::new(Rehearsal { events, given, endless: self.endless }))
    }
}

struct Rehearsal {
    events: VecDeque<Event>,
    given: usize,
    endless: bool,
}

impl Reader for Rehearsal {
    fn position(&self) -> Result<Option<String>> {
        Ok(Some(self.given.to_string()))
    }

    fn next(&mut self, wait: Duration) -> Result<Event> {
        match self.events.pop_front() {
            Some(event) => {
                self.given += usize::from(!matches!(event, Event::Opened(_)));
                Ok(event)
            }
            None if self.endless => {
                std::thread::sleep(wait);
                Ok(Event::Waiting)
            }
            None => Ok(Event::End),
        }
    }
}

/// A context with a stream table `requests` over these inputs.
#[allow(dead_code, reason = "each test file uses a part of this module")]
pub fn context(inputs: Vec<Vec<RecordBatch>>, lateness: i64, customer: Option<&str>) -> Context {
    context_of(Rehearsed { inputs, endless: false }, lateness, customer)
}

/// The same over any rehearsed source.
#[allow(dead_code, reason = "each test file uses a part of this module")]
pub fn context_of(source: Rehearsed, lateness: i64, customer: Option<&str>) -> Context {
    context_with(source, lateness, customer, 1)
}

/// The same with so many workers.
#[allow(dead_code, reason = "each test file uses a part of this module")]
pub fn context_with(source: Rehearsed, lateness: i64, customer: Option<&str>, workers: usize) -> Context {
    // three have epochs of several blocks
    let builder = Context::builder().short_epochs(workers != 3).workers(workers);
    // two workers have no memory to speak of: what can go to disk does so after each epoch
    let builder = if workers == 2 { builder.memory_budget(1, None) } else { builder };
    context_from(builder, source, lateness, customer)
}

/// The same with settings of the context.
#[allow(dead_code, reason = "each test file uses a part of this module")]
pub fn context_from(builder: ContextBuilder, source: Rehearsed, lateness: i64, customer: Option<&str>) -> Context {
    let context = builder.build();
    let time = TimeSettings {
        event_time: Some("time".to_owned()),
        lateness,
        customer: customer.map_or(CustomerBy::Input, |name| CustomerBy::Column(name.to_owned())),
        ..TimeSettings::default()
    };
    let settings = TableSettings { time, ..TableSettings::default() };
    context.register_source("requests", Arc::new(source), settings, true).expect("registers");
    context
}

/// Schema, rows and counters of a run to the end.
#[allow(dead_code, reason = "each test file uses a part of this module")]
pub fn run_to_end(
    builder: ContextBuilder,
    text: &str,
    source: Rehearsed,
    lateness: i64,
    customer: Option<&str>,
) -> std::result::Result<(SchemaRef, Vec<RecordBatch>, Progress), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let context = context_from(builder, source, lateness, customer);
        let script = Script::parse(text, "<test>", &BTreeMap::new()).expect("parses");
        let (sink, schema) = (MemorySink::exactly_once(), Mutex::new(None));
        let select = |of: &SchemaRef| -> Result<Box<dyn Sink>> {
            *schema.lock().expect("lock") = Some(Arc::clone(of));
            Ok(Box::new(sink.clone()))
        };
        let failed = |error: Error| format!("{error}\n{text}");
        let settings = RunSettings::default();
        let driver = context.stream_script(&script, &settings, &select, &mut |_| {}).await.map_err(failed)?;
        let progress = driver.run().map_err(failed)?;
        let schema = schema.lock().expect("lock").clone().expect("a schema");
        Ok((schema, sink.batches(), progress))
    })
}

/// Rows with bursts and gaps.
#[allow(dead_code, reason = "each test binary uses another part of it")]
pub fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (0i64..90, 0usize..3, 0usize..5, prop::option::weighted(0.9, 0i64..10), 0.0f64..1.0, 0i64..1_000_000);
    prop::collection::vec(row, 0..150).prop_map(|rows| {
        rows.into_iter()
            .map(|(second, host, addr, n, x, micros)| Row {
                // bursts: neighbours fall into few seconds, with gaps between
                time: (second / 7 * 11 + second % 3) * SECOND + micros % 3 * 500_000,
                host: ["a", "b", "c"][host].to_owned(),
                addr: addr.to_string(),
                n,
                x,
            })
            .collect()
    })
}

/// Spreads rows over inputs, each in time order but for a disorder below the lateness, and cuts them into batches.
#[allow(dead_code, reason = "each test binary uses another part of it")]
pub fn arrange(rows: &[Row], inputs: usize, size: usize, lateness: i64, salt: u64) -> Vec<Vec<RecordBatch>> {
    let mut of_input: Vec<Vec<(i64, Row)>> = vec![Vec::new(); inputs];
    for (number, row) in rows.iter().enumerate() {
        let mixed = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ salt);
        let arrival = row.time + (mixed >> 17) as i64 % lateness.max(1);
        of_input[(mixed >> 40) as usize % inputs].push((arrival, row.clone()));
    }
    of_input
        .into_iter()
        .map(|mut rows| {
            rows.sort_by_key(|(arrival, _)| *arrival);
            let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
            rows.chunks(size).map(batch).collect()
        })
        .collect()
}
