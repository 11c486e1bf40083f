//! Gives what an inbox accepted as rows: an input for each customer, in the order of arrival.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fyke_types::{DeadLetter, Error, Event, Input, InputId, ReadOptions, Reader, Result, Rows};
use serde::{Deserialize, Serialize};

use super::inbox::Inbox;
use super::record::Record;
use super::settings::PushSettings;
use super::spool::{Records, Spool};
use crate::event_time::{Columns, EventTime};
use crate::files::{Piece, Worker};

/// Positions that may be said before the first of them is in a checkpoint: those are written beside the run.
const POSITIONS_UNDER_WAY: usize = 3;

/// Says whose a record is, and where its lines are. Pure.
pub(crate) trait Sorter: Send + Sync + std::fmt::Debug {
    /// Puts what a record holds where it belongs.
    fn sort(&self, record: &Record, into: &mut Sorted);
}

/// Lines and dead letters by customer, in the order of their first record.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    sheaves: Vec<Sheaf>,
    by_name: BTreeMap<String, usize>,
}

#[derive(Debug, Default)]
struct Sheaf {
    customer: String,
    lines: Vec<u8>,
    dead: Vec<(String, Vec<u8>)>,
}

impl Sorted {
    fn of(&mut self, customer: &str) -> &mut Sheaf {
        let index = self.by_name.get(customer).copied().unwrap_or(self.sheaves.len());
        if index == self.sheaves.len() {
            self.by_name.insert(customer.to_owned(), index);
            self.sheaves.push(Sheaf { customer: customer.to_owned(), ..Sheaf::default() });
        }
        // the index was found or just made
        &mut self.sheaves[index]
    }

    fn add(&mut self, sheaf: Sheaf) {
        let into = self.of(&sheaf.customer);
        into.lines.extend(sheaf.lines);
        into.dead.extend(sheaf.dead);
    }

    /// Whole lines; the last may lack its newline.
    pub(crate) fn lines(&mut self, customer: &str, lines: &[u8]) {
        let sheaf = self.of(customer);
        sheaf.lines.extend_from_slice(lines);
        if sheaf.lines.last().is_some_and(|last| *last != b'\n') {
            sheaf.lines.push(b'\n');
        }
    }

    /// Customer, lines and reasons of each sheaf.
    #[cfg(test)]
    pub(crate) fn shown(&self) -> Vec<(String, String, Vec<String>)> {
        let shown = |sheaf: &Sheaf| {
            let lines = String::from_utf8_lossy(&sheaf.lines).into_owned();
            (sheaf.customer.clone(), lines, sheaf.dead.iter().map(|(reason, _)| reason.clone()).collect())
        };
        self.sheaves.iter().map(shown).collect()
    }

    /// What makes no line.
    pub(crate) fn dead(&mut self, customer: &str, reason: String, raw: &[u8]) {
        self.of(customer).dead.push((reason, raw.to_vec()));
    }
}

/// One reading of a source that is sent to.
pub(super) struct PushReader {
    inbox: Arc<Inbox>,
    /// What was accepted before this reading began.
    backlog: Option<Records>,
    spool: Option<Arc<Mutex<Spool>>>,
    /// Bytes in the spool, and how many may be.
    spool_bytes: Option<Arc<AtomicU64>>,
    spool_bytes_max: u64,
    sorter: Arc<dyn Sorter>,
    worker: Worker,
    /// Bodies may carry directives, which must not hold for those of others.
    one_by_one: bool,
    block_bytes: usize,
    place: Saved,
    /// What came of the records at hand and was not given yet.
    ready: VecDeque<Ready>,
    /// The record behind those at hand.
    end: u64,
    /// The first records not given, at the last positions that were said.
    said: Mutex<VecDeque<u64>>,
    /// Ends the listening when the reading does.
    _guard: Option<Box<dyn Send>>,
}

/// An event, and where its input stands behind it.
struct Ready {
    event: Event,
    after: Option<(usize, SavedInput)>,
}

/// How far it was given. Records are counted from the first that was ever accepted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Saved {
    /// All records before this one were given.
    next: u64,
    inputs: Vec<SavedInput>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct SavedInput {
    customer: String,
    /// What records before this one hold for this customer was given.
    next: u64,
    lines: u64,
    bytes: u64,
}

impl PushReader {
    /// A reading, and the inbox that it takes from.
    ///
    /// # Errors
    /// `Data` where the position can't be read, and the spool's own.
    pub(super) fn open(
        settings: &PushSettings,
        columns: Columns,
        options: &ReadOptions,
        sorter: Arc<dyn Sorter>,
    ) -> Result<(Self, Arc<Inbox>)> {
        let place: Saved = match &options.resume {
            Some(position) => serde_json::from_str(position)
                .map_err(|error| Error::data("the position of a table that is sent to can't be read").detail(error))?,
            None => Saved::default(),
        };
        let spool = settings
            .spool
            .as_deref()
            .map(|folder| Spool::open(folder, place.next, settings.spool_bytes))
            .transpose()?;
        let backlog = spool.as_ref().map(|spool| spool.records(place.next)).transpose()?;
        let next = spool.as_ref().map_or(place.next, Spool::next);
        let spool_bytes = spool.as_ref().map(Spool::bytes);
        let spool = spool.map(|spool| Arc::new(Mutex::new(spool)));
        let inbox = Inbox::new(settings.inbox_bytes, next, spool.clone())?;
        let format = &settings.format;
        let decoders = (format.decoder(columns.built.as_deref())?, format.decoder(Some(&[]))?);
        let worker = Worker::new(Some(decoders), EventTime::new(columns, options)).with_directive(format.directive());
        let mut reader = Self {
            inbox: Arc::clone(&inbox),
            backlog,
            spool,
            spool_bytes,
            spool_bytes_max: settings.spool_bytes,
            sorter,
            worker,
            one_by_one: format.directive().is_some(),
            block_bytes: options.block_bytes.max(1),
            end: place.next,
            place,
            ready: VecDeque::new(),
            said: Mutex::default(),
            _guard: None,
        };
        reader.ready = (0..reader.place.inputs.len()).filter_map(|index| reader.opened(index)).collect();
        reader.watch_spool();
        Ok((reader, inbox))
    }

    /// The same, with what ends the listening.
    pub(super) fn guarded_by(self, guard: Box<dyn Send>) -> Self {
        Self { _guard: Some(guard), ..self }
    }

    fn opened(&self, index: usize) -> Option<Ready> {
        let customer: Arc<str> = self.place.inputs.get(index)?.customer.as_str().into();
        let id = InputId(u32::try_from(index).unwrap_or(u32::MAX));
        Some(Ready { event: Event::Opened(Input { id, name: Arc::clone(&customer), customer }), after: None })
    }

    /// The next records: those of the spool first, then what is sent.
    fn records(&mut self, wait: Duration) -> Result<Vec<(u64, Record)>> {
        let bytes = if self.one_by_one { 1 } else { self.block_bytes };
        if let Some(backlog) = &mut self.backlog {
            let (mut records, mut size) = (Vec::new(), 0);
            while size < bytes
                && let Some((number, record)) = backlog.next()?
            {
                size += record.size();
                records.push((number, record));
            }
            if !records.is_empty() {
                return Ok(records);
            }
            self.backlog = None;
        }
        Ok(self.inbox.take(bytes, wait))
    }

    /// Decodes records, which are at hand from now on.
    fn sort(&mut self, records: &[(u64, Record)]) -> Result<()> {
        let mut sorted = Sorted::default();
        for (number, record) in records {
            let mut own = Sorted::default();
            self.sorter.sort(record, &mut own);
            for sheaf in own.sheaves {
                // the reading that this one resumes may have given it to some of its customers
                let input = self.place.inputs.iter().find(|input| input.customer == sheaf.customer);
                if input.is_none_or(|input| *number >= input.next) {
                    sorted.add(sheaf);
                }
            }
            self.end = self.end.max(number + 1);
        }
        for sheaf in sorted.sheaves {
            self.decode(sheaf)?;
        }
        self.all_given_if_empty();
        Ok(())
    }

    fn decode(&mut self, sheaf: Sheaf) -> Result<()> {
        let known = self.place.inputs.iter().position(|input| input.customer == sheaf.customer);
        let index = known.unwrap_or(self.place.inputs.len());
        if known.is_none() {
            self.place.inputs.push(SavedInput { customer: sheaf.customer.clone(), ..SavedInput::default() });
            self.ready.extend(self.opened(index));
        }
        let mut input = self.place.inputs.get(index).cloned().unwrap_or_default();
        input.next = self.end;
        let mut dead = Vec::new();
        for (reason, raw) in sheaf.dead {
            let (line, offset) = (input.lines + 1, input.bytes);
            input.lines = line;
            input.bytes += raw.len() as u64 + 1;
            dead.push(DeadLetter { line, offset, reason, raw });
        }
        let refused = dead.len() as u64;
        let piece = self.worker.whole_block(&sheaf.lines, input.bytes, &sheaf.customer)?;
        let Piece { batch, dead: of_lines, lines, read, .. } = piece;
        dead.extend(of_lines.into_iter().map(|letter| DeadLetter { line: letter.line + input.lines, ..letter }));
        input.lines += lines;
        input.bytes += sheaf.lines.len() as u64;
        let id = InputId(u32::try_from(index).unwrap_or(u32::MAX));
        let rows = Rows { input: id, batch, dead, read: read + refused, position: input.bytes };
        self.ready.push_back(Ready { event: Event::Rows(rows), after: Some((index, input)) });
        Ok(())
    }

    fn next_ready(&mut self) -> Option<Event> {
        let Ready { event, after } = self.ready.pop_front()?;
        if let Some((index, after)) = after
            && let Some(input) = self.place.inputs.get_mut(index)
        {
            *input = after;
        }
        self.all_given_if_empty();
        Some(event)
    }

    fn all_given_if_empty(&mut self) {
        if self.ready.is_empty() {
            self.place.next = self.end;
        }
    }

    /// Lets the listeners know whether the spool has room.
    fn watch_spool(&self) {
        if let Some(bytes) = &self.spool_bytes {
            self.inbox.spool_is_full(bytes.load(Ordering::Relaxed) >= self.spool_bytes_max);
        }
    }
}

impl Reader for PushReader {
    fn next(&mut self, wait: Duration) -> Result<Event> {
        let now = Instant::now();
        let deadline = now.checked_add(wait).unwrap_or(now);
        loop {
            match self.next_ready() {
                // a body of blank lines is read, but gives nothing
                Some(Event::Rows(rows)) if rows.read == 0 => continue,
                Some(event) => return Ok(event),
                None => {}
            }
            if let Some(why) = self.inbox.trouble() {
                let error = Error::unavailable("the spool can't be written, so that nothing is accepted").detail(why);
                let error = error.hint("senders are told to wait; is its disk full?");
                return Ok(Event::Trouble { input: None, error });
            }
            self.watch_spool();
            let left = deadline.saturating_duration_since(Instant::now());
            let records = self.records(left)?;
            if records.is_empty() && Instant::now() >= deadline {
                return Ok(Event::Waiting);
            }
            self.sort(&records)?;
        }
    }

    fn position(&self) -> Result<Option<String>> {
        if let Some(spool) = &self.spool {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_back(self.place.next);
            if said.len() > POSITIONS_UNDER_WAY
                && let Some(durable) = said.pop_front()
            {
                spool.lock().unwrap_or_else(PoisonError::into_inner).forget_before(durable)?;
            }
        }
        let text = serde_json::to_string(&self.place);
        text.map(Some).map_err(|error| Error::internal("a position can't be written").detail(error))
    }
}
