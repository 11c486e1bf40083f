//! A partition as its decoder sees it: what to take out of its queue, and where it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fyke_types::Error;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::native::{Queue, Taken};
use super::records::{Records, Wanted};
use crate::files::decode::Item;

/// The first block is small, to learn early where a partition starts.
const FIRST_BLOCK_BYTES: usize = 64 * 1024;
/// Records taken at once.
const TAKEN_MAX: usize = 1024;
/// Records of one block: their offsets and times need memory too.
const RECORDS_MAX: usize = 64 * 1024;

/// One partition.
pub(super) struct Lane {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    /// None where nothing is to be read.
    queue: Option<Queue>,
    number: u64,
    /// The offset behind what was taken.
    next: i64,
    /// Nothing is read from here on.
    end: Option<i64>,
    /// Bytes of a record, about.
    average: usize,
    first: bool,
    /// Came behind records that were given first.
    pending: Option<Item>,
    /// What the client said, where an item says that it failed.
    pub(super) failure: Option<(Code, String)>,
    /// Everything that the broker had was taken.
    caught_up: Arc<AtomicBool>,
}

impl Lane {
    /// A partition from offset `next` to `end`.
    pub(super) fn new(
        topic: Arc<str>,
        partition: i32,
        queue: Option<Queue>,
        next: i64,
        end: Option<i64>,
        caught_up: Arc<AtomicBool>,
    ) -> Self {
        let (number, average, first, pending) = (0, 1_024, true, None);
        Self { topic, partition, queue, number, next, end, average, first, pending, failure: None, caught_up }
    }

    /// The number of the next block.
    pub(super) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number - 1
    }

    /// The offset behind what was taken.
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    /// Gives the queue back: nothing more is read.
    pub(super) fn close(&mut self) {
        self.queue = None;
    }

    /// Goes on at `next`, out of another queue. Blocks are numbered on: some of before may still be under way.
    pub(super) fn reopen(&mut self, queue: Queue, next: i64) {
        (self.queue, self.next) = (Some(queue), next);
        (self.pending, self.failure) = (None, None);
        self.caught_up.store(false, Ordering::SeqCst);
    }

    /// Gathers records; gives what to say in place of a block where there are none.
    pub(super) fn fill(&mut self, records: &mut Records, wanted: &Wanted, block_bytes: usize) -> Option<Item> {
        if self.pending.is_some() {
            return self.pending.take();
        }
        let limit = if self.first { block_bytes.min(FIRST_BLOCK_BYTES) } else { block_bytes };
        loop {
            let left = limit.saturating_sub(records.bytes);
            if left == 0 || records.len() >= RECORDS_MAX || self.is_at_end() || self.pending.is_some() {
                break;
            }
            let most = (left / self.average.max(1)).clamp(1, TAKEN_MAX);
            if self.take(most, records, wanted) == 0 {
                break;
            }
        }
        if records.len() > 0 {
            self.first = false;
            self.average = (records.bytes / records.len()).max(16);
            return None;
        }
        match self.pending.take() {
            Some(item) => Some(item),
            None if self.is_at_end() => Some(Item::End),
            None => Some(Item::Dry),
        }
    }

    fn is_at_end(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }

    fn take(&mut self, most: usize, records: &mut Records, wanted: &Wanted) -> usize {
        let Some(queue) = &mut self.queue else { return 0 };
        queue.sleep();
        let (end, mut next, mut at_end) = (self.end, self.next, false);
        let mut pending: Option<(Code, String)> = None;
        let taken = queue.take(most, |taken| match taken {
            // a new start may find what was fetched for the one before
            Taken::Record(record) if record.offset() < next || pending.is_some() => {}
            Taken::Record(record) => {
                if end.is_none_or(|end| record.offset() < end) {
                    records.push(&record, wanted);
                }
                next = record.offset() + 1;
                at_end = false;
            }
            // behind the last record there may be marks of transactions, which make none
            Taken::End(offset) => {
                next = next.max(offset);
                at_end = true;
            }
            Taken::Failed(code, text) => pending = Some((code, text)),
        });
        self.next = next;
        if let Some((code, text)) = pending {
            let error = Error::internal(format!("{}-{} failed", self.topic, self.partition)).detail(&text);
            (self.failure, self.pending) = (Some((code, text)), Some(Item::Failed(error)));
        }
        if taken > 0 || !self.caught_up.load(Ordering::SeqCst) {
            let known = queue.known_end().is_some_and(|known| next >= known);
            self.caught_up.store(at_end || known, Ordering::SeqCst);
        }
        taken
    }
}
