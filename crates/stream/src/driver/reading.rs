//! From what readers say to rows that are fed: whose they are, and which are behind the mark.

use std::ops::Range;
use std::time::Duration;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use fyke_types::{Error, Event, Input, InputId, Micros, Result, Rows, WATERMARK_START, dead_letters_to_batch, window};

use super::Driver;
use super::after::{Doubtful, ticket};
use crate::state::partition_rows;
use crate::{Customer, CustomerBy, Tagged, TimeSettings};

impl Driver {
    /// Takes one event with content from a source; false if it has nothing now.
    pub(super) fn read(&mut self, at: usize, wait: Duration) -> Result<bool> {
        let found = self.read_event(at, wait)?;
        if found && !self.follow {
            // which rows of bounded input are late must follow from the input alone, not from how it was cut into
            // epochs: the marks move with each block, as if every one were an epoch
            let source = &mut self.sources[at];
            source.marks = source.tracker.marks(None);
            self.is_behind = true;
        }
        Ok(found)
    }

    fn read_event(&mut self, at: usize, wait: Duration) -> Result<bool> {
        loop {
            let event = self.sources[at].run.reader.next(wait)?;
            let now = self.now();
            self.log.note(at, &event);
            let source = &mut self.sources[at];
            match event {
                Event::Opened(input) => {
                    if self.opened(at, input, now) {
                        self.epoch.close_soon();
                        return Ok(true);
                    }
                }
                Event::Rows(rows) => {
                    source.progress.caught_up = false;
                    self.epoch.take(bytes_of(&rows.batch));
                    self.take(at, rows, now)?;
                    return Ok(true);
                }
                Event::Ended(input) => {
                    source.tracker.ended(input);
                    return Ok(true);
                }
                Event::Trouble { error, .. } => source.progress.troubled(&error),
                Event::Waiting => {
                    source.progress.caught_up = true;
                    return Ok(false);
                }
                Event::End => {
                    source.progress.caught_up = true;
                    source.ended = true;
                    source.tracker.end();
                    return Ok(true);
                }
            }
        }
    }

    /// The wall clock of the epoch's rows: one reading for all of them, so that it can be had again.
    pub(super) fn now(&mut self) -> Micros {
        match self.follow {
            true => *self.log.read_at.get_or_insert_with(|| self.clock.now()),
            false => 0,
        }
    }

    /// True: marks must be in force once more before its rows come.
    pub(super) fn opened(&mut self, at: usize, input: Input, now: Micros) -> bool {
        let customer = self.customers.number(&input.customer);
        let source = &mut self.sources[at];
        // a resumed reader says again which inputs it goes on with
        source.progress.inputs += u64::from(!source.tracker.knows(input.id));
        let joins = source.tracker.opened(&input, customer, now);
        source.inputs.insert(input.id, (input.name, input.customer, customer));
        joins
    }

    /// Feeds rows of an input, and passes on its dead letters.
    pub(super) fn take(&mut self, at: usize, rows: Rows, now: Micros) -> Result<()> {
        let source = &mut self.sources[at];
        let Some((name, customer_name, customer)) = source.inputs.get(&rows.input).cloned() else {
            return Err(Error::internal(format!("rows of input {} before it was opened", rows.input.0)));
        };
        source.progress.read += rows.read;
        source.progress.dead += rows.dead.len() as u64;
        if let (Some(sink), false) = (&mut source.run.dead_to, rows.dead.is_empty()) {
            sink.write(&dead_letters_to_batch(&name, &customer_name, &rows.dead)?)?;
        }
        if rows.batch.num_rows() == 0 {
            return Ok(());
        }
        for part in self.by_customer(at, customer, rows.batch)? {
            self.feed(at, rows.input, part, now)?;
        }
        Ok(())
    }

    /// The rows of a batch by customer, where an operator follows the customers' own watermarks.
    fn by_customer(&mut self, at: usize, of_input: Customer, batch: RecordBatch) -> Result<Vec<Tagged>> {
        let run = &self.sources[at].run;
        let CustomerBy::Column(column) = &run.settings.customer else {
            return Ok(vec![Tagged { customer: of_input, batch }]);
        };
        if !run.per_customer {
            return Ok(vec![Tagged { customer: Customer::ALL, batch }]);
        }
        let Some(values) = batch.column_by_name(column) else {
            return Err(Error::internal(format!("the customer column '{column}' was not read")));
        };
        let values = cast(values, &DataType::Utf8)?;
        let names = values.as_string::<i32>();
        let mut last: Option<(&str, Customer)> = None;
        let mut numbers = Vec::with_capacity(names.len());
        for row in 0..names.len() {
            // rows without a customer share one of their own
            let name = if names.is_null(row) { "" } else { names.value(row) };
            let number = match last {
                Some((same, number)) if same == name => number,
                _ => self.customers.number(name),
            };
            last = Some((name, number));
            numbers.push(number);
        }
        partition_rows(numbers.len(), |row| Some(numbers[row]))
            .into_iter()
            .map(|(customer, set)| {
                let columns = batch.columns().iter().map(|c| set.of(c)).collect::<Result<Vec<ArrayRef>>>()?;
                Ok(Tagged { customer, batch: RecordBatch::try_new(batch.schema(), columns)? })
            })
            .collect()
    }

    /// Feeds rows. Those behind the watermark go one by one, so that each is counted late or used exactly once.
    fn feed(&mut self, at: usize, input: InputId, part: Tagged, now: Micros) -> Result<()> {
        self.execution.next_block();
        let source = &mut self.sources[at];
        let rows = part.batch.num_rows() as u64;
        let Some(times) = event_times(&source.run.settings, &part.batch)? else {
            source.tracker.observed(input, part.customer, WATERMARK_START, now);
            source.progress.used += rows;
            return self.execution.feed(at, part);
        };
        let times = times.as_primitive::<TimestampMicrosecondType>().values();
        // behind the mark, or behind what was closed ahead of it
        let ahead = [part.customer, Customer::ALL].into_iter().filter_map(|customer| self.closed_ahead.get(&customer));
        let mark = ahead.fold(source.marks.all.max(source.marks.of(part.customer)), |mark, ahead| mark.max(*ahead));
        let (mut least, mut most) = (Micros::MAX, Micros::MIN);
        for time in times.iter() {
            least = least.min(*time);
            most = most.max(*time);
        }
        source.tracker.observed(input, part.customer, most, now);
        if least >= mark {
            source.progress.used += rows;
            return self.execution.feed(at, part);
        }
        if self.is_behind {
            // what these rows are too late for closes first
            self.close_epoch()?;
        }
        // in their order: what passes through to an output must not come there in another one
        let mut run = 0;
        for (row, time) in times.iter().enumerate().filter(|(_, time)| **time < mark) {
            self.feed_run(at, &part, run..row)?;
            run = row + 1;
            let source = &mut self.sources[at];
            let row = part.batch.slice(row, 1);
            let ticket = ticket(at, source.doubtful.len());
            source.doubtful.push(Doubtful { row: row.clone(), behind: mark.saturating_sub(*time) });
            self.execution.feed_doubtful(at, Tagged { customer: part.customer, batch: row }, ticket)?;
        }
        self.feed_run(at, &part, run..times.len())
    }

    /// Feeds neighbours that are in time.
    fn feed_run(&mut self, at: usize, part: &Tagged, rows: Range<usize>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.sources[at].progress.used += rows.len() as u64;
        let batch = part.batch.slice(rows.start, rows.len());
        self.execution.feed(at, Tagged { customer: part.customer, batch })
    }
}

/// The event times of a batch in microseconds, if the source has them.
fn event_times(settings: &TimeSettings, batch: &RecordBatch) -> Result<Option<ArrayRef>> {
    let Some(name) = &settings.event_time else { return Ok(None) };
    let Some(column) = batch.column_by_name(name) else {
        return Err(Error::internal(format!("the event time '{name}' was not read")));
    };
    Ok(Some(match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => ArrayRef::clone(column),
        _ => cast(column, &window::TIME)?,
    }))
}

/// Bytes of these rows, which may be a part of a larger block.
fn bytes_of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum()
}
