//! Batches in memory as a table of one or more inputs, which may grow while it is read.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use fyke_types::{Error, Event, Input, InputId, ReadOptions, Reader, Result, Rows, Source};

use crate::event_time::{Columns, EventTime};
use crate::files::refused_rows;
use crate::order::{Progress, furthest_behind};

/// An input's customer and its rows.
#[derive(Debug, Clone, Default)]
pub struct MemoryInput {
    /// Whose rows they are.
    pub customer: String,
    /// The rows, in order.
    pub batches: Vec<RecordBatch>,
}

/// A table in memory. Clones share it: one side pushes while the other reads. A bounded reading takes what is there
/// when it comes to it; a followed one goes on until [`MemorySource::close`].
#[derive(Debug, Clone)]
pub struct MemorySource {
    schema: SchemaRef,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    table: Mutex<Table>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    inputs: Vec<MemoryInput>,
    closed: bool,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemorySource {
    /// A table of `inputs`, numbered in their order.
    ///
    /// # Errors
    /// `Usage` where a batch has other columns than `schema`.
    pub fn new(schema: SchemaRef, inputs: Vec<MemoryInput>) -> Result<Self> {
        let source = Self { schema, shared: Arc::default() };
        for MemoryInput { customer, batches } in inputs {
            let input = source.add_input(customer);
            for batch in batches {
                source.push(input, batch)?;
            }
        }
        Ok(source)
    }

    /// Adds an empty input.
    pub fn add_input(&self, customer: impl Into<String>) -> InputId {
        let mut table = self.shared.table();
        let id = InputId(u32::try_from(table.inputs.len()).unwrap_or(u32::MAX));
        table.inputs.push(MemoryInput { customer: customer.into(), batches: Vec::new() });
        self.shared.changed.notify_all();
        id
    }

    /// Appends rows to an input.
    ///
    /// # Errors
    /// `Usage` where the columns differ from the table's, or there is no such input.
    pub fn push(&self, input: InputId, batch: RecordBatch) -> Result<()> {
        let (own, given) = (self.schema.fields(), batch.schema_ref().fields());
        let same = |a: &arrow::datatypes::FieldRef, b: &arrow::datatypes::FieldRef| {
            a.name() == b.name() && a.data_type() == b.data_type()
        };
        if own.len() != given.len() || !own.iter().zip(given).all(|(a, b)| same(a, b)) {
            return Err(Error::usage("a batch does not have the columns of its table").detail(format!(
                "the table has {:?}, the batch {:?}",
                self.schema,
                batch.schema_ref()
            )));
        }
        let mut table = self.shared.table();
        let Some(found) = table.inputs.get_mut(input.0 as usize) else {
            return Err(Error::usage(format!("the table has no input {}", input.0)));
        };
        found.batches.push(batch);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Nothing will be pushed any more: a followed reading ends when it has read all.
    pub fn close(&self) {
        self.shared.table().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Source for MemorySource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn open(&self, options: &ReadOptions) -> Result<Box<dyn Reader>> {
        let columns = Columns::new(&self.schema, options)?;
        Ok(Box::new(MemoryReader {
            shared: Arc::clone(&self.shared),
            built: columns.built.clone(),
            event_time: EventTime::new(columns, options),
            follow: options.follow,
            inputs: options.resume.as_deref().map(restored).transpose()?.unwrap_or_default(),
        }))
    }
}

struct MemoryReader {
    shared: Arc<Shared>,
    built: Option<Vec<usize>>,
    event_time: EventTime,
    follow: bool,
    inputs: Vec<Place>,
}

/// How far an input was read.
struct Place {
    batches: usize,
    rows: u64,
    progress: Progress,
    ended: bool,
    opened: bool,
}

/// A [`Place`] for another reading: batches, rows, latest event time, ended.
type SavedPlace = (usize, u64, fyke_types::Micros, bool);

fn restored(position: &str) -> Result<Vec<Place>> {
    let places: Vec<SavedPlace> = serde_json::from_str(position)
        .map_err(|error| Error::data("the position of a table in memory can't be read").detail(error))?;
    let place = |(batches, rows, latest, ended)| {
        let mut progress = Progress::none();
        progress.gave(Some(latest));
        Place { batches, rows, progress, ended, opened: false }
    };
    Ok(places.into_iter().map(place).collect())
}

impl MemoryReader {
    fn build(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        Ok(match &self.built {
            Some(built) => batch.project(built)?,
            None => batch.clone(),
        })
    }

    /// An input that was not announced yet.
    fn open_next(&mut self) -> Option<Event> {
        let waiting = self.inputs.iter().position(|place| !place.opened && !place.ended);
        let index = waiting.unwrap_or(self.inputs.len());
        let found = self.shared.table().inputs.get(index).map(|input| input.customer.clone());
        let customer = found?;
        match self.inputs.get_mut(index) {
            Some(place) => place.opened = true,
            None => {
                let progress = Progress::none();
                self.inputs.push(Place { batches: 0, rows: 0, progress, ended: false, opened: true });
            }
        }
        let (id, name) = (InputId(u32::try_from(index).unwrap_or(u32::MAX)), format!("memory/{index}").into());
        Some(Event::Opened(Input { id, name, customer: customer.into() }))
    }

    /// The input to read next, with its next batch; none at its end.
    fn behind(&self) -> Option<(usize, Option<RecordBatch>)> {
        let table = self.shared.table();
        let may_end = !self.follow || table.closed;
        let has_more = |index: usize, place: &Place| {
            may_end || table.inputs.get(index).is_some_and(|input| input.batches.len() > place.batches)
        };
        let able = self.inputs.iter().enumerate().filter(|(i, place)| !place.ended && has_more(*i, place));
        let index = furthest_behind(able.map(|(i, place)| (i, place.progress.at())))?;
        let batches = self.inputs.get(index)?.batches;
        Some((index, table.inputs.get(index)?.batches.get(batches).cloned()))
    }

    fn give(&mut self, index: usize, batch: Option<RecordBatch>) -> Result<Option<Event>> {
        let input = InputId(u32::try_from(index).unwrap_or(u32::MAX));
        let Some(batch) = batch else {
            self.inputs.get_mut(index).into_iter().for_each(|place| place.ended = true);
            return Ok(Some(Event::Ended(input)));
        };
        let (checked, read) = (self.event_time.check(self.build(&batch)?)?, batch.num_rows() as u64);
        let mut dead = refused_rows(&batch, checked.refused)?;
        let Some(place) = self.inputs.get_mut(index) else { return Ok(None) };
        dead.iter_mut().for_each(|letter| letter.line += place.rows);
        place.batches += 1;
        place.rows += read;
        place.progress.gave(checked.latest);
        let position = place.rows;
        Ok((read > 0).then_some(Event::Rows(Rows { input, batch: checked.batch, dead, read, position })))
    }
}

impl Reader for MemoryReader {
    fn position(&self) -> Result<Option<String>> {
        let place = |place: &Place| (place.batches, place.rows, place.progress.at(), place.ended);
        let places: Vec<SavedPlace> = self.inputs.iter().map(place).collect();
        let text = serde_json::to_string(&places);
        text.map(Some).map_err(|error| Error::internal("a position can't be written").detail(error))
    }

    fn next(&mut self, wait: Duration) -> Result<Event> {
        let now = Instant::now();
        let deadline = now.checked_add(wait).unwrap_or(now);
        loop {
            if let Some(opened) = self.open_next() {
                return Ok(opened);
            }
            if let Some((index, batch)) = self.behind() {
                match self.give(index, batch)? {
                    Some(event) => return Ok(event),
                    None => continue,
                }
            }
            let shared = Arc::clone(&self.shared);
            let table = shared.table();
            if !self.follow || table.closed {
                return Ok(Event::End);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Event::Waiting);
            }
            let idle = |table: &mut Table| !table.closed && !self.has_news(table);
            drop(shared.changed.wait_timeout_while(table, left, idle));
        }
    }
}

impl MemoryReader {
    fn has_news(&self, table: &Table) -> bool {
        let grown = |(place, input): (&Place, &MemoryInput)| input.batches.len() > place.batches;
        table.inputs.len() > self.inputs.len() || self.inputs.iter().zip(&table.inputs).any(grown)
    }
}
