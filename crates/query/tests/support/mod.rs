//! A source over rows in memory that hands them out in a prescribed way: for tests of the engine alone.

#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use fyke_query::{Context, TableSettings};
use fyke_stream::{CustomerBy, TimeSettings};
use fyke_types::{Event, Input, InputId, ReadOptions, Reader, Result, Rows, Source, window};

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
pub fn context(inputs: Vec<Vec<RecordBatch>>, lateness: i64, customer: Option<&str>) -> Context {
    context_of(Rehearsed { inputs, endless: false }, lateness, customer)
}

/// The same over any rehearsed source.
pub fn context_of(source: Rehearsed, lateness: i64, customer: Option<&str>) -> Context {
    context_with(source, lateness, customer, 1)
}

/// The same with so many workers.
pub fn context_with(source: Rehearsed, lateness: i64, customer: Option<&str>, workers: usize) -> Context {
    let context = Context::builder().short_epochs(true).workers(workers).build();
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
