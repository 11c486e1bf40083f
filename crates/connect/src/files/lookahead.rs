//! One input as the reader sees it: what was decoded ahead of it, and when its next block will be needed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fyke_types::{Input, Micros};

use super::decode::{Item, Stream, Worker};
use super::pool::Task;
use super::position::SavedInput;
use crate::order::Progress;
use crate::shares::Whose;

/// An input, its blocks under way and its progress.
pub(super) struct Tracked {
    pub(super) input: Input,
    /// Whose share its blocks are of.
    pub(super) whose: Whose,
    pub(super) stream: Arc<Mutex<Stream>>,
    read: Arc<AtomicU64>,
    /// Blocks decoded but not given, by number.
    ready: BTreeMap<u64, Item>,
    /// The number of the block that is given next.
    next: u64,
    under_way: usize,
    pub(super) progress: Progress,
    pub(super) dry: bool,
    pub(super) ended: bool,
    /// A decoded block was the last, or the last for now.
    exhausted: bool,
    /// How far it was given, lines included.
    pub(super) given: SavedInput,
    /// The greatest event time decoded so far, and by how much the last block moved it.
    frontier: Micros,
    stride: Micros,
}

impl Tracked {
    /// An input of which `given` was given before.
    pub(super) fn new(
        input: Input,
        whose: Whose,
        stream: Arc<Mutex<Stream>>,
        read: Arc<AtomicU64>,
        given: SavedInput,
    ) -> Self {
        let mut progress = Progress::none();
        progress.gave(Some(given.latest));
        Self {
            input,
            whose,
            stream,
            read,
            ready: BTreeMap::new(),
            next: 0,
            under_way: 0,
            progress,
            dry: false,
            ended: given.ended,
            exhausted: given.ended,
            frontier: given.latest,
            stride: 0,
            given,
        }
    }

    /// How far it was given, for another reading.
    pub(super) fn saved(&self) -> SavedInput {
        let saved = SavedInput { latest: self.progress.at(), ended: self.ended, ..self.given.clone() };
        // of what will not be read again nobody needs to know the first bytes
        if self.ended { SavedInput { origin: None, ..saved } } else { saved }
    }

    /// Its content, when nobody else cuts a block of it.
    pub(super) fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of the file read so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// A task for its next block; `index` is its place among the reader's inputs.
    pub(super) fn task(&mut self, index: usize) -> Task<Worker> {
        self.under_way += 1;
        Task { input: index, stream: Arc::clone(&self.stream), customer: Arc::clone(&self.input.customer) }
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

    /// It was dry and has more now.
    pub(super) fn wake(&mut self) {
        (self.dry, self.exhausted) = (false, false);
    }

    /// Nothing is decoded, and nothing under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way == 0 && self.ready.is_empty()
    }

    /// Blocks decoded or under way.
    pub(super) fn held(&self) -> usize {
        self.under_way + self.ready.len()
    }

    /// Whether its next block can be decided by waiting.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way > 0
    }

    /// Whether blocks may be decoded ahead: more is likely to be there.
    pub(super) fn may_run_ahead(&self) -> bool {
        !self.dry && !self.ended && !self.exhausted
    }

    /// About the event time at which the block after those under way will be needed: a guess that decides what is
    /// decoded first, never what is given.
    pub(super) fn needed_at(&self) -> Micros {
        let ahead = self.stride.saturating_mul(self.under_way as i64);
        self.frontier.max(self.progress.at()).saturating_add(ahead)
    }
}
