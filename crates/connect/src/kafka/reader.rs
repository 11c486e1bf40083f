//! Reads partitions in event-time order: of all that have something to give, the one furthest behind gives next, and one
//! that is known to have more is waited for. Threads take and decode ahead; they never decide what is given.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fyke_types::{Error, Event, Input, InputId, Micros, Reader, Result, Rows};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::client::Watch;
use super::cluster::{Cluster, Place};
use super::decode::Worker;
use super::discover::{Discovery, News};
use super::lane::Lane;
use super::native::{Queue, Signal, Wake};
use super::options::{At, Options};
use super::partition::{Begin, Partition};
use super::position::{Saved, SavedPartition};
use super::trouble;
use crate::files::decode::{Item, Piece};
use crate::files::pool::{Done, Pool};
use crate::order::furthest_behind;
use crate::shares::{Shares, Whose};

/// So long a partition that is known to have more is waited for; then the others go on, and it holds the watermark.
const PATIENCE: Duration = Duration::from_secs(2);
/// The client's events are served so often.
const SERVE: Duration = Duration::from_millis(20);
/// Offsets are committed so often.
const COMMIT: Duration = Duration::from_secs(5);
/// The same trouble is told again after so long.
const TELL_AGAIN: Duration = Duration::from_secs(30);
/// A question to the cluster in the middle of a run.
const QUESTION: Duration = Duration::from_secs(5);

/// What a reading starts with.
pub(super) struct Start {
    pub(super) consumer: Arc<BaseConsumer<Watch>>,
    pub(super) options: Options,
    pub(super) pool: Pool<Worker>,
    pub(super) threads: usize,
    /// The run ends where the partitions do.
    pub(super) bounded: bool,
    pub(super) commits: bool,
    /// Counts what is read.
    pub(super) bytes: Arc<AtomicU64>,
}

/// One reading of topics.
pub(super) struct KafkaReader {
    partitions: Vec<Partition>,
    /// To be said first.
    events: VecDeque<Event>,
    pool: Pool<Worker>,
    /// Blocks that may be decoded or under way at once.
    budget: usize,
    consumer: Arc<BaseConsumer<Watch>>,
    options: Options,
    signal: Arc<Signal>,
    discovery: Option<Discovery>,
    bounded: bool,
    commits: bool,
    served: Option<Instant>,
    committed: Instant,
    /// When something came last.
    came: Instant,
    told: BTreeMap<String, Instant>,
    /// Customers in the order of their discovery.
    customers: BTreeMap<String, Whose>,
    shares: Shares,
    /// Of values, read ahead too.
    bytes: Arc<AtomicU64>,
}

/// Whose turn it is.
enum Turn {
    Give(usize),
    Wait(Instant),
    Nothing,
}

impl KafkaReader {
    /// A reader of no partitions yet.
    pub(super) fn new(start: Start) -> Self {
        let Start { consumer, options, pool, threads, bounded, commits, bytes } = start;
        Self {
            partitions: Vec::new(),
            events: VecDeque::new(),
            pool,
            // the caller's own thread needs nothing ahead of it
            budget: if threads == 0 { 0 } else { 2 * threads + 2 },
            consumer,
            options,
            signal: Arc::default(),
            discovery: None,
            bounded,
            commits,
            served: None,
            committed: Instant::now(),
            came: Instant::now(),
            told: BTreeMap::new(),
            customers: BTreeMap::new(),
            shares: Shares::default(),
            bytes,
        }
    }

    /// Adds partitions as they were given before, or as they begin; announces them.
    ///
    /// # Errors
    /// When the client refuses them.
    pub(super) fn add(&mut self, all: Vec<SavedPartition>) -> Result<()> {
        let mut assigned = TopicPartitionList::new();
        for mut given in all {
            let index = self.partitions.len();
            let id = InputId(u32::try_from(index).unwrap_or(u32::MAX));
            let name = format!("{}-{}", given.topic, given.partition).into();
            let input = Input { id, name, customer: given.customer.as_str().into() };
            let was_ended = given.ended;
            given.ended |= given.end.is_some_and(|end| given.next >= end);
            if !was_ended {
                self.events.push_back(Event::Opened(input.clone()));
            }
            if given.ended {
                if !was_ended {
                    self.events.push_back(Event::Ended(id));
                }
            } else {
                assigned
                    .add_partition_offset(&given.topic, given.partition, Offset::Offset(given.next))
                    .map_err(|error| Error::internal("an offset can't be assigned").detail(error))?;
            }
            let count = self.customers.len();
            let whose = *self.customers.entry(given.customer.clone()).or_insert(count);
            let begin = self.begin(input, given, whose)?;
            self.partitions.push(Partition::new(begin));
        }
        // what is opened must all be said before what has ended, and before any rows
        let (opened, others) = self.events.drain(..).partition(|event| matches!(event, Event::Opened(_)));
        self.events = opened;
        let others: VecDeque<Event> = others;
        self.events.extend(others);
        self.assign(&assigned)
    }

    fn begin(&self, input: Input, given: SavedPartition, whose: Whose) -> Result<Begin> {
        let (wake, caught_up) = (Arc::new(Wake::new(Arc::clone(&self.signal))), Arc::new(AtomicBool::new(false)));
        let queue = match given.ended {
            true => None,
            false => Some(Queue::of(&self.consumer, &given.topic, given.partition, &wake)?),
        };
        let topic = given.topic.as_str().into();
        let lane = Lane::new(topic, given.partition, queue, given.next, given.end, Arc::clone(&caught_up));
        Ok(Begin { input, given, whose, lane, wake, caught_up })
    }

    fn assign(&self, list: &TopicPartitionList) -> Result<()> {
        if list.count() == 0 {
            return Ok(());
        }
        let assigned = self.consumer.incremental_assign(list);
        assigned.map_err(|error| self.options.connection.refused(&error, self.consumer.client().context()))
    }

    fn unassign(&self, places: impl Iterator<Item = Place>) {
        let mut list = TopicPartitionList::new();
        places.for_each(|(topic, partition)| _ = list.add_partition(&topic, partition));
        // one that is not assigned any more needs nothing
        _ = self.consumer.incremental_unassign(&list);
    }

    /// Looks for new topics and partitions from now on.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn discover(&mut self, every: Duration) -> Result<()> {
        let known: BTreeSet<Place> = self.partitions.iter().map(place_of).collect();
        let (consumer, options) = (Arc::clone(&self.consumer), self.options.clone());
        self.discovery = Some(Discovery::start(consumer, options, every, known, Arc::clone(&self.signal))?);
        Ok(())
    }

    /// Something that stops no other input.
    pub(super) fn tell(&mut self, input: Option<InputId>, error: Error) {
        let (now, text) = (Instant::now(), format!("{input:?} {}", error.message()));
        if self.told.get(&text).is_some_and(|told| now.duration_since(*told) < TELL_AGAIN) {
            return;
        }
        self.told.insert(text, now);
        self.events.push_back(Event::Trouble { input, error });
    }

    fn cluster(&self) -> Cluster<'_> {
        Cluster { consumer: &self.consumer, connection: &self.options.connection, most: QUESTION }
    }

    /// The client's events, what was discovered, and offsets to commit.
    fn serve(&mut self) -> Result<()> {
        let now = Instant::now();
        if self.served.is_some_and(|served| now.duration_since(served) < SERVE) {
            return Ok(());
        }
        self.served = Some(now);
        loop {
            match self.consumer.poll(Duration::ZERO) {
                None => break,
                Some(Ok(_)) => return Err(Error::internal("a record came beside its partition's queue")),
                Some(Err(_)) => {}
            }
        }
        if let Some((code, reason)) = self.consumer.client().context().take() {
            self.tell(None, self.options.connection.failure(code, &reason));
        }
        while let Some(news) = self.discovery.as_ref().and_then(Discovery::next) {
            match news {
                News::New(starts) => self.found(starts)?,
                News::Gone(topic) => self.gone(&topic)?,
            }
        }
        if self.commits && now.duration_since(self.committed) >= COMMIT {
            self.commit();
        }
        Ok(())
    }

    fn found(&mut self, starts: BTreeMap<Place, i64>) -> Result<()> {
        let mut new = Vec::new();
        for ((topic, partition), next) in starts {
            // a topic that was deleted and made again has other records under the same numbers
            let same = self.partitions.iter().any(|p| !p.failed && place_of(p) == (topic.clone(), partition));
            let customer = self.options.topics.customer(&topic);
            if let Some(customer) = customer.filter(|_| !same) {
                let (end, latest, ended) = (None, Micros::MIN, false);
                new.push(SavedPartition { topic, partition, customer, next, end, latest, ended });
            }
        }
        self.add(new)
    }

    fn gone(&mut self, topic: &str) -> Result<()> {
        let of_topic: Vec<usize> = (0..self.partitions.len())
            .filter(|index| self.partitions.get(*index).is_some_and(|p| p.given.topic == topic && !p.is_done()))
            .collect();
        for index in of_topic {
            self.fail(index, Code::UnknownTopicOrPartition, "")?;
        }
        Ok(())
    }

    /// A partition that can't be read on: the others do.
    fn fail(&mut self, index: usize, code: Code, reason: &str) -> Result<()> {
        let Some(partition) = self.partitions.get(index) else { return Ok(()) };
        if partition.is_done() {
            return Ok(());
        }
        let (id, given) = (partition.input.id, partition.given.clone());
        let error = match code {
            Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::NoOffset | Code::LogTruncation => {
                let (from, to) = self.range(&given);
                if self.options.skips_truncated && from > given.next {
                    return self.skip_to(index, from);
                }
                trouble::truncated(&given, from, to)
            }
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicId => {
                trouble::deleted(&given)
            }
            code => {
                let error = self.options.connection.failure(code, reason);
                if !trouble::ends_reading(code) {
                    self.partitions.get_mut(index).into_iter().for_each(Partition::retry);
                    self.tell(Some(id), error);
                    return Ok(());
                }
                error
            }
        };
        if let Some(partition) = self.partitions.get_mut(index) {
            partition.failed = true;
            partition.close();
        }
        self.unassign([(given.topic, given.partition)].into_iter());
        if self.discovery.is_none() && self.partitions.iter().all(|p| p.failed) {
            // nothing is left to go on with
            return Err(error);
        }
        self.tell(Some(id), error);
        self.events.push_back(Event::Ended(id));
        Ok(())
    }

    fn range(&self, given: &SavedPartition) -> (i64, i64) {
        let place = [(given.topic.clone(), given.partition)];
        let at = |at| {
            let found = self.cluster().offsets(&place, &at, &At::Earliest);
            found.ok().and_then(|found| found.into_values().next()).unwrap_or(-1)
        };
        (at(At::Earliest), at(At::Latest))
    }

    /// Goes on with what retention left.
    fn skip_to(&mut self, index: usize, from: i64) -> Result<()> {
        let Some(partition) = self.partitions.get(index) else { return Ok(()) };
        let (id, given) = (partition.input.id, partition.given.clone());
        let error = trouble::skipped(&given, from);
        self.unassign([(given.topic.clone(), given.partition)].into_iter());
        // one queue at a time: this one's end would take the other's callback away
        partition.close();
        partition.reopen(Queue::of(&self.consumer, &given.topic, given.partition, partition.wake())?, from);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&given.topic, given.partition, Offset::Offset(from))
            .map_err(|error| Error::internal("an offset can't be assigned").detail(error))?;
        if let Some(partition) = self.partitions.get_mut(index) {
            partition.given.next = from;
            partition.retry();
        }
        self.tell(Some(id), error);
        self.assign(&list)
    }

    fn commit(&mut self) {
        self.committed = Instant::now();
        let mut list = TopicPartitionList::new();
        for partition in self.partitions.iter().filter(|partition| !partition.failed) {
            let given = &partition.given;
            _ = list.add_partition_offset(&given.topic, given.partition, Offset::Offset(given.next));
        }
        if list.count() > 0 {
            // for monitors alone: what can't be committed now is committed the next time
            _ = self.consumer.commit(&list, CommitMode::Async);
        }
    }

    fn submit(&mut self, index: usize) {
        if let Some(partition) = self.partitions.get_mut(index) {
            self.pool.submit(partition.task(index));
        }
    }

    fn collect(&mut self, done: Done) -> Result<()> {
        if let (u64::MAX, Item::Failed(error)) = (done.number, &done.item) {
            return Err(error.clone());
        }
        if let Some(partition) = self.partitions.get_mut(done.input) {
            partition.done(done.number, done.item);
        }
        Ok(())
    }

    /// Lets threads work on what will be needed soonest.
    fn run_ahead(&mut self) -> Result<()> {
        while let Some(done) = self.pool.ready() {
            self.collect(done)?;
        }
        let mut held: usize = self.partitions.iter().map(Partition::held).sum();
        while held < self.budget {
            let candidates = self.partitions.iter().enumerate().filter(|(_, p)| p.may_run_ahead());
            let Some(index) = furthest_behind(candidates.map(|(i, p)| (i, p.needed_at()))) else { break };
            self.submit(index);
            held += 1;
        }
        Ok(())
    }

    /// Of each customer the partition furthest behind; of the customers the one that had the least. A bounded reading
    /// knows one customer: its order follows the data alone, and it has nobody to delay.
    fn turn(&self) -> Turn {
        let mut of_customer: BTreeMap<Whose, (Micros, Turn)> = BTreeMap::new();
        for (index, partition) in self.partitions.iter().enumerate() {
            let turn = match (partition.is_able(), partition.expected_until(PATIENCE)) {
                (true, _) => Turn::Give(index),
                (false, Some(until)) => Turn::Wait(until),
                (false, None) => continue,
            };
            let (at, whose) = (partition.progress.at(), self.whose(partition));
            if of_customer.get(&whose).is_none_or(|(best, _)| at < *best) {
                of_customer.insert(whose, (at, turn));
            }
        }
        let (mut next, mut wait): (Option<(u64, Micros, usize)>, Option<Instant>) = (None, None);
        for (whose, (at, turn)) in of_customer {
            match turn {
                Turn::Give(index) => {
                    let candidate = (self.shares.start(whose), at, index);
                    next = Some(next.map_or(candidate, |next| next.min(candidate)));
                }
                Turn::Wait(until) => wait = Some(wait.map_or(until, |wait| wait.min(until))),
                Turn::Nothing => {}
            }
        }
        match (next, wait) {
            (Some((_, _, index)), _) => Turn::Give(index),
            (None, Some(until)) => Turn::Wait(until),
            (None, None) => Turn::Nothing,
        }
    }

    fn whose(&self, partition: &Partition) -> Whose {
        if self.bounded { 0 } else { partition.whose }
    }

    /// The next item of a partition, decoded now if it was not before.
    fn next_of(&mut self, index: usize) -> Result<Option<Item>> {
        loop {
            let Some(partition) = self.partitions.get_mut(index) else { return Ok(None) };
            if let Some(item) = partition.take() {
                return Ok(Some(item));
            }
            if !partition.is_under_way() {
                self.submit(index);
            }
            let done = self.pool.wait()?;
            self.collect(done)?;
        }
    }

    fn give(&mut self, index: usize) -> Result<Option<Event>> {
        let item = self.next_of(index)?;
        let Some(partition) = self.partitions.get_mut(index) else { return Ok(None) };
        match item {
            Some(Item::Piece(piece)) => Ok(self.give_rows(index, *piece)),
            Some(Item::Dry) => {
                partition.found_dry();
                Ok(None)
            }
            Some(Item::End) => {
                partition.given.ended = true;
                partition.close();
                let (id, place) = (partition.input.id, place_of(partition));
                self.unassign([place].into_iter());
                Ok(Some(Event::Ended(id)))
            }
            Some(Item::Failed(error)) => match partition.failure() {
                Some((code, reason)) => self.fail(index, code, &reason).map(|()| None),
                None => Err(error),
            },
            None => Ok(None),
        }
    }

    fn give_rows(&mut self, index: usize, piece: Piece) -> Option<Event> {
        let partition = self.partitions.get_mut(index)?;
        partition.progress.gave(piece.latest);
        partition.given.next = i64::try_from(piece.end).unwrap_or(i64::MAX);
        self.came = Instant::now();
        let (whose, id) = (if self.bounded { 0 } else { partition.whose }, partition.input.id);
        let Piece { batch, dead, read, end, lines, .. } = piece;
        self.shares.gave(whose, lines);
        (read > 0).then(|| Event::Rows(Rows { input: id, batch, dead, read, position: end }))
    }

    /// A bounded run must not wait for ever.
    fn give_up(&self) -> Result<()> {
        if !self.bounded || self.came.elapsed() < self.options.give_up_after {
            return Ok(());
        }
        let waiting = self.partitions.iter().filter(|p| !p.is_done()).map(|p| p.input.name.to_string());
        let waiting: Vec<String> = waiting.take(5).collect();
        let (code, reason) =
            self.consumer.client().context().last().unwrap_or((Code::OperationTimedOut, String::new()));
        let error = self.options.connection.failure(code, &reason);
        let (after, waiting) = (self.options.give_up_after, waiting.join(", "));
        Err(error.detail(format!("nothing came for {after:?} of {waiting}; {reason}")))
    }
}

fn place_of(partition: &Partition) -> Place {
    (partition.given.topic.clone(), partition.given.partition)
}

impl Reader for KafkaReader {
    fn next(&mut self, wait: Duration) -> Result<Event> {
        let now = Instant::now();
        let deadline = now.checked_add(wait).unwrap_or(now);
        loop {
            self.serve()?;
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            self.partitions.iter_mut().for_each(Partition::look);
            self.run_ahead()?;
            let until = match self.turn() {
                Turn::Give(index) => {
                    if let Some(event) = self.give(index)? {
                        return Ok(event);
                    }
                    continue;
                }
                Turn::Nothing if self.bounded && self.partitions.iter().all(Partition::is_done) => {
                    return Ok(Event::End);
                }
                Turn::Wait(until) => until.min(deadline),
                Turn::Nothing => deadline,
            };
            if Instant::now() >= deadline {
                self.give_up()?;
                return Ok(Event::Waiting);
            }
            // the client's events don't wake
            let serve = Instant::now().checked_add(SERVE).unwrap_or(until);
            self.signal.wait(until.min(serve));
        }
    }

    fn position(&self) -> Result<Option<String>> {
        Saved { partitions: self.partitions.iter().map(Partition::saved).collect() }.text().map(Some)
    }

    fn bytes_read(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        if self.commits {
            self.commit();
        }
    }
}
