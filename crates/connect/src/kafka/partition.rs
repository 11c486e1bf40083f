//! One partition as the reader sees it: what was decoded ahead of it, how far it was given, and whether more is there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fyke_types::{Input, Micros};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::decode::Worker;
use super::lane::Lane;
use super::native::{Queue, Wake};
use super::position::SavedPartition;
use crate::files::decode::Item;
use crate::files::pool::Task;
use crate::order::Progress;
use crate::shares::Whose;

/// What is known of a partition to begin with.
pub(super) struct Begin {
    pub(super) input: Input,
    pub(super) given: SavedPartition,
    pub(super) whose: Whose,
    pub(super) lane: Lane,
    pub(super) wake: Arc<Wake>,
    pub(super) caught_up: Arc<AtomicBool>,
}

/// A partition, its blocks under way and its progress.
pub(super) struct Partition {
    pub(super) input: Input,
    /// How far it was given.
    pub(super) given: SavedPartition,
    pub(super) progress: Progress,
    /// Whose share its blocks are.
    pub(super) whose: Whose,
    /// It gives nothing any more, for a reason that was told.
    pub(super) failed: bool,
    lane: Arc<Mutex<Lane>>,
    wake: Arc<Wake>,
    caught_up: Arc<AtomicBool>,
    /// Blocks decoded but not given, by number.
    ready: BTreeMap<u64, Item>,
    next: u64,
    under_way: usize,
    /// Since when its queue is empty.
    dry: Option<Instant>,
    /// A block under way may be the last for now.
    exhausted: bool,
    /// The greatest event time decoded so far, and by how much the last block moved it.
    frontier: Micros,
    stride: Micros,
}

impl Partition {
    /// A partition of which `given` was given before.
    pub(super) fn new(begin: Begin) -> Self {
        let Begin { input, given, whose, lane, wake, caught_up } = begin;
        let mut progress = Progress::none();
        progress.gave(Some(given.latest));
        Self {
            input,
            progress,
            whose,
            failed: false,
            lane: Arc::new(Mutex::new(lane)),
            wake,
            caught_up,
            ready: BTreeMap::new(),
            next: 0,
            under_way: 0,
            dry: None,
            exhausted: given.ended,
            frontier: given.latest,
            stride: 0,
            given,
        }
    }

    /// How far it was given, for another reading.
    pub(super) fn saved(&self) -> SavedPartition {
        SavedPartition { latest: self.progress.at(), ..self.given.clone() }
    }

    /// Nothing more is to be asked of it.
    pub(super) fn is_done(&self) -> bool {
        self.given.ended || self.failed
    }

    /// A task for its next block; `index` is its place among the reader's partitions.
    pub(super) fn task(&mut self, index: usize) -> Task<Worker> {
        self.under_way += 1;
        Task { input: index, stream: Arc::clone(&self.lane), customer: Arc::clone(&self.input.customer) }
    }

    /// Takes a block that was decoded.
    pub(super) fn done(&mut self, number: u64, item: Item) {
        self.under_way = self.under_way.saturating_sub(1);
        match &item {
            Item::Piece(piece) => {
                let latest = piece.latest.unwrap_or(self.frontier).max(self.frontier);
                self.stride =
                    if self.frontier == Micros::MIN { 1 } else { latest.saturating_sub(self.frontier).max(1) };
                self.frontier = latest;
            }
            Item::Dry | Item::End | Item::Failed(_) => self.exhausted = true,
        }
        self.ready.insert(number, item);
    }

    /// The next block, if it is decoded.
    pub(super) fn take(&mut self) -> Option<Item> {
        let item = self.ready.remove(&self.next)?;
        self.next += 1;
        Some(item)
    }

    /// What the client said when it failed.
    pub(super) fn failure(&self) -> Option<(Code, String)> {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner).failure.take()
    }

    /// Gives its queue back.
    pub(super) fn close(&self) {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner).close();
    }

    /// Goes on at `next`, out of another queue.
    pub(super) fn reopen(&self, queue: Queue, next: i64) {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner).reopen(queue, next);
    }

    /// What its queue wakes.
    pub(super) fn wake(&self) -> &Arc<Wake> {
        &self.wake
    }

    /// It is looked at again, whatever came.
    pub(super) fn retry(&mut self) {
        (self.dry, self.exhausted) = (None, false);
    }

    /// Its queue was found empty: everything before this was given.
    pub(super) fn found_dry(&mut self) {
        if self.under_way > 0 || !self.ready.is_empty() {
            return;
        }
        // marks of transactions behind the last record are passed too, or monitors would see a lag
        let next = self.lane.lock().unwrap_or_else(PoisonError::into_inner).next();
        self.given.next = self.given.next.max(next);
        self.dry.get_or_insert_with(Instant::now);
    }

    /// Looks whether something came since its queue was empty.
    pub(super) fn look(&mut self) {
        // a block that says that there is nothing may be given after something came
        if (self.exhausted || self.dry.is_some()) && !self.is_done() && self.wake.is_awake() {
            self.retry();
        }
    }

    /// Blocks decoded or under way.
    pub(super) fn held(&self) -> usize {
        self.under_way + self.ready.len()
    }

    /// Whether its next block can be had by waiting for it.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way > 0
    }

    /// Whether blocks may be decoded ahead: more is likely to be there.
    pub(super) fn may_run_ahead(&self) -> bool {
        self.dry.is_none() && !self.is_done() && !self.exhausted
    }

    /// Whether it has something to give, or may have.
    pub(super) fn is_able(&self) -> bool {
        self.dry.is_none() && !self.is_done()
    }

    /// Until when to wait for more of it before others, which are ahead of it: it is known to have more.
    pub(super) fn expected_until(&self, patience: Duration) -> Option<Instant> {
        if self.is_done() || self.caught_up.load(Ordering::SeqCst) {
            return None;
        }
        let until = self.dry?.checked_add(patience)?;
        (Instant::now() < until).then_some(until)
    }

    /// About the event time at which the block after those under way will be needed: a guess that decides what is
    /// decoded first, never what is given.
    pub(super) fn needed_at(&self) -> Micros {
        let ahead = self.stride.saturating_mul(self.under_way as i64);
        self.frontier.max(self.progress.at()).saturating_add(ahead)
    }
}
