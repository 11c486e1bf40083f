//! Carries out once more the epochs whose rows may have left before the process died.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use fyke_types::{Error, Event, Input, InputId, Result, Rows};

use super::log::{Read, Record};
use super::{Driver, EPOCH};
use crate::checkpoint::Manifest;

/// So long a source may give nothing of what it gave before.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a source has given ahead of the epoch that needs it.
#[derive(Default)]
struct Ahead {
    opened: Vec<Input>,
    rows: BTreeMap<InputId, VecDeque<Rows>>,
    ended: BTreeSet<InputId>,
    is_over: bool,
    /// Numbers of new inputs, as the log has them, that are others now.
    numbers: BTreeMap<u32, InputId>,
}

impl Ahead {
    fn number(&self, logged: u32) -> InputId {
        self.numbers.get(&logged).copied().unwrap_or(InputId(logged))
    }

    /// At most so many rows of an input.
    fn take(&mut self, input: InputId, most: u64) -> Option<Rows> {
        let queue = self.rows.get_mut(&input)?;
        let mut rows = queue.pop_front()?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if rows.batch.num_rows() > most {
            let rest = rows.batch.slice(most, rows.batch.num_rows() - most);
            // dead letters leave with the first part
            let read = rest.num_rows() as u64;
            queue.push_front(Rows { batch: rest, dead: Vec::new(), read, ..rows.clone() });
            rows.batch = rows.batch.slice(0, most);
            rows.read -= read;
        }
        Some(rows)
    }
}

impl Driver {
    /// Carries out the epochs after the last checkpoint that were written down; what their sources can't give any more is told as
    /// their trouble, and the run goes on from there.
    pub(super) fn replay(&mut self, last: &Manifest) -> Result<()> {
        if !self.follow {
            return Ok(());
        }
        // another text may read other tables: its rows are others anyway
        let same_tables = last.sources.iter().map(|s| &s.name).eq(self.sources.iter().map(|s| &s.run.name));
        let records = if same_tables { self.epochs_after(last.epochs)? } else { Vec::new() };
        let mut ahead: Vec<Ahead> = self.sources.iter().map(|_| Ahead::default()).collect();
        for record in &records {
            if !self.replay_epoch(record, &mut ahead)? {
                break;
            }
            self.progress.replayed += 1;
        }
        let now = self.clock.now();
        self.sources.iter_mut().for_each(|source| source.tracker.woke(now));
        if records.is_empty() {
            return Ok(());
        }
        // what was read beyond them is an epoch of its own, so that a checkpoint finds nothing in between
        for (at, ahead) in ahead.into_iter().enumerate() {
            self.take_rest(at, ahead)?;
        }
        self.close_epoch()
    }

    /// False: a source has not given what it gave before.
    fn replay_epoch(&mut self, record: &Record, ahead: &mut [Ahead]) -> Result<bool> {
        self.log.read_at = record.read_at;
        self.log.closes_at = Some(record.closed_at);
        for (at, (read, ahead)) in record.sources.iter().zip(ahead).enumerate() {
            let missing = self.replay_source(at, read, ahead)?;
            if self.stop.is_set() && missing.is_some() {
                (self.log.read_at, self.log.closes_at) = (None, None);
                return Ok(false);
            }
            if let Some(missing) = missing {
                let name = &self.sources[at].run.name;
                let error = Error::data(format!("table '{name}' does not give again what it gave before the crash"))
                    .detail(format!("epoch {}: {missing}", record.epoch))
                    .hint("results that left after the last checkpoint may differ from those of this run");
                self.sources[at].progress.troubled(&error);
                (self.log.read_at, self.log.closes_at) = (None, None);
                return Ok(false);
            }
        }
        self.close_epoch()?;
        Ok(true)
    }

    /// What is missing of it, if something is.
    fn replay_source(&mut self, at: usize, read: &Read, ahead: &mut Ahead) -> Result<Option<String>> {
        let now = self.now();
        for (number, name) in &read.opened {
            loop {
                if self.sources[at].inputs.values().any(|(known, ..)| known.as_ref() == name) {
                    break;
                }
                if let Some(found) = ahead.opened.iter().position(|input| input.name.as_ref() == name) {
                    let input = ahead.opened.remove(found);
                    ahead.numbers.insert(*number, input.id);
                    // the epoch that was written down ends before its rows where it must
                    let _ = self.opened(at, input, now);
                    break;
                }
                if !self.read_ahead(at, ahead)? {
                    return Ok(Some(format!("input {name} is gone")));
                }
            }
        }
        for (number, rows) in &read.rows {
            let (input, mut missing) = (ahead.number(*number), *rows);
            while missing > 0 {
                match ahead.take(input, missing) {
                    Some(rows) => {
                        missing -= rows.batch.num_rows() as u64;
                        self.take(at, rows, now)?;
                    }
                    None if self.read_ahead(at, ahead)? => {}
                    None => return Ok(Some(format!("{missing} of {rows} rows of input {number}"))),
                }
            }
        }
        for number in &read.ended {
            let input = ahead.number(*number);
            self.sources[at].tracker.ended(input);
            ahead.ended.remove(&input);
        }
        Ok(None)
    }

    /// Reads on; false where nothing comes any more.
    fn read_ahead(&mut self, at: usize, ahead: &mut Ahead) -> Result<bool> {
        let began = Instant::now();
        while !ahead.is_over && began.elapsed() < PATIENCE && !self.stop.is_set() {
            let source = &mut self.sources[at];
            match source.run.reader.next(EPOCH)? {
                Event::Opened(input) if source.tracker.knows(input.id) => {
                    let customer = self.customers.number(&input.customer);
                    source.inputs.insert(input.id, (input.name, input.customer, customer));
                }
                Event::Opened(input) => {
                    ahead.opened.push(input);
                    return Ok(true);
                }
                Event::Rows(rows) => {
                    ahead.rows.entry(rows.input).or_default().push_back(rows);
                    return Ok(true);
                }
                Event::Ended(input) => _ = ahead.ended.insert(input),
                Event::Trouble { error, .. } => source.progress.troubled(&error),
                Event::Waiting => {}
                Event::End => ahead.is_over = true,
            }
        }
        Ok(false)
    }

    fn take_rest(&mut self, at: usize, ahead: Ahead) -> Result<()> {
        let mut joins = false;
        for input in ahead.opened {
            let (event, now) = (Event::Opened(input.clone()), self.now());
            self.log.note(at, &event);
            joins |= self.opened(at, input, now);
        }
        if joins {
            self.close_epoch()?;
        }
        let rows = ahead.rows.into_values().flatten().map(Event::Rows);
        let ended = ahead.ended.into_iter().map(Event::Ended);
        for event in rows.chain(ended) {
            let now = self.now();
            self.log.note(at, &event);
            match event {
                Event::Rows(rows) => self.take(at, rows, now)?,
                Event::Ended(input) => self.sources[at].tracker.ended(input),
                Event::Opened(_) | Event::Trouble { .. } | Event::Waiting | Event::End => {}
            }
        }
        if ahead.is_over {
            let source = &mut self.sources[at];
            source.ended = true;
            source.tracker.end();
        }
        Ok(())
    }
}
