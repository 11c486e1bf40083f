//! Documents between the thread that makes them and the lanes that carry them: bounded in bytes, whoever is slower.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fyke_types::{Error, Result, SinkHealth};
use tokio::sync::Notify;

use super::load::{Draft, Load};
use super::refused::Refused;

/// Sizes and times of a delivery.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// A load is sent when it holds so many bytes,
    pub(crate) load_bytes: u64,
    /// or so many documents,
    pub(crate) load_documents: usize,
    /// or when its first document is this old.
    pub(crate) wait: Duration,
    /// Bytes of documents that wait or are under way; beyond, the maker waits.
    pub(crate) queue_bytes: u64,
    /// Requests under way at once.
    pub(crate) lanes: usize,
    /// The wait before the second attempt, doubled with each that follows.
    pub(crate) retry_first: Duration,
    /// The longest wait.
    pub(crate) retry_most: Duration,
    /// How long a load is tried before the run fails; none: for ever.
    pub(crate) give_up_after: Option<Duration>,
    /// Documents with the same head are states of one document.
    pub(crate) heads_identify: bool,
}

/// What both sides share.
pub(super) struct Queue {
    pub(super) limits: Limits,
    state: Mutex<State>,
    /// For the maker: room, refused documents, failure.
    changed: Condvar,
    /// For each lane: documents came.
    lanes: Vec<Notify>,
    /// For the thread: nobody wants what is left.
    pub(super) stop: Notify,
}

#[derive(Default)]
struct State {
    lanes: Vec<Lane>,
    /// Bytes of all documents that were taken in and neither delivered nor handed on as dead letters.
    held: u64,
    refused: Vec<Refused>,
    failed: Option<Error>,
    draining: bool,
    health: SinkHealth,
}

#[derive(Default)]
struct Lane {
    open: Draft,
    since: Option<Instant>,
    full: VecDeque<Load>,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        let lanes = || 0..limits.lanes;
        Self {
            state: Mutex::new(State { lanes: lanes().map(|_| Lane::default()).collect(), ..State::default() }),
            changed: Condvar::new(),
            lanes: lanes().map(|_| Notify::new()).collect(),
            stop: Notify::new(),
            limits,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a document in, if there is room: else gives false.
    ///
    /// # Errors
    /// What the delivery failed with.
    pub(super) fn try_push(&self, lane: u64, head: &[u8], document: &[u8]) -> Result<bool> {
        let number = (lane % self.limits.lanes.max(1) as u64) as usize;
        let mut state = self.state();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        if state.held >= self.limits.queue_bytes {
            return Ok(false);
        }
        state.held += (head.len() + document.len()) as u64;
        let Some(lane) = state.lanes.get_mut(number) else { return Err(Error::internal("a lane is missing")) };
        let first = lane.open.is_empty();
        if first {
            lane.since = Some(Instant::now());
        }
        lane.open.push(head, document);
        let is_full = lane.open.bytes() >= self.limits.load_bytes || lane.open.len() >= self.limits.load_documents;
        if is_full {
            let load = lane.open.take();
            lane.full.push_back(load);
        }
        drop(state);
        if first || is_full {
            self.lanes.get(number).into_iter().for_each(Notify::notify_one);
        }
        Ok(true)
    }

    /// From now on (until told otherwise) loads leave at once, however small.
    pub(super) fn drain(&self, draining: bool) {
        self.state().draining = draining;
        if draining {
            self.lanes.iter().for_each(Notify::notify_one);
        }
    }

    /// Waits until there is room, something was refused, or the delivery failed.
    pub(super) fn wait_for_room(&self) {
        let state = self.state();
        if state.held >= self.limits.queue_bytes && state.refused.is_empty() && state.failed.is_none() {
            drop(self.changed.wait(state).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Waits until nothing is held, something was refused, or the delivery failed. Gives whether nothing is held.
    ///
    /// # Errors
    /// What the delivery failed with.
    pub(super) fn wait_for_none(&self) -> Result<bool> {
        let mut state = self.state();
        if state.held > 0 && state.refused.is_empty() && state.failed.is_none() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match &state.failed {
            Some(error) => Err(error.clone()),
            None => Ok(state.held == 0),
        }
    }

    /// The documents that were refused since the last call: the caller hands them on. Their room is free from now on.
    ///
    /// # Errors
    /// What the delivery failed with, once all that was refused before has been taken.
    pub(super) fn take_refused(&self) -> Result<Vec<Refused>> {
        let mut state = self.state();
        let refused = std::mem::take(&mut state.refused);
        if let (true, Some(error)) = (refused.is_empty(), &state.failed) {
            return Err(error.clone());
        }
        let bytes: u64 = refused.iter().map(|document| document.held).sum();
        state.held = state.held.saturating_sub(bytes);
        Ok(refused)
    }

    /// How the delivery gets on.
    pub(super) fn health(&self) -> SinkHealth {
        let state = self.state();
        SinkHealth { waiting_bytes: state.held, ..state.health.clone() }
    }

    /// The next load of a lane, as soon as it is due.
    pub(super) async fn next(&self, number: usize) -> Load {
        loop {
            let wait = match self.due(number) {
                Ok(load) => return load,
                Err(wait) => wait,
            };
            let Some(came) = self.lanes.get(number) else { return std::future::pending().await };
            match wait {
                None => came.notified().await,
                Some(wait) => {
                    tokio::select! {
                        () = came.notified() => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// A load that is due, or how long until there is one; none: not before more comes.
    fn due(&self, number: usize) -> Result<Load, Option<Duration>> {
        let mut state = self.state();
        let draining = state.draining;
        let Some(lane) = state.lanes.get_mut(number) else { return Err(None) };
        let load = match lane.full.pop_front() {
            Some(load) => load,
            None if lane.open.is_empty() => return Err(None),
            None => {
                let age = lane.since.map_or(self.limits.wait, |since| since.elapsed());
                if !draining && age < self.limits.wait {
                    return Err(Some(self.limits.wait - age));
                }
                lane.open.take()
            }
        };
        if !self.limits.heads_identify {
            return Ok(load);
        }
        let before = load.bytes();
        let load = load.latest();
        state.held = state.held.saturating_sub(before - load.bytes());
        Ok(load)
    }

    /// Documents of so many bytes have arrived.
    pub(super) fn delivered(&self, documents: usize, bytes: u64) {
        let mut state = self.state();
        state.held = state.held.saturating_sub(bytes);
        state.health.taken += documents as u64;
        state.health.trouble = None;
        drop(state);
        self.changed.notify_all();
    }

    /// Documents that the server will never take; the maker hands them on.
    pub(super) fn refuse(&self, refused: Vec<Refused>) {
        let mut state = self.state();
        state.health.refused += refused.len() as u64;
        if let Some(last) = refused.last() {
            state.health.last_refusal = Some(format!("{}: {}", last.place, last.reason));
        }
        state.refused.extend(refused);
        drop(state);
        self.changed.notify_all();
    }

    /// An attempt failed, and will be made again.
    pub(super) fn troubled(&self, why: &str) {
        let mut state = self.state();
        state.health.retries += 1;
        state.health.trouble = Some(why.to_owned());
    }

    /// Nothing more can be delivered.
    pub(super) fn fail(&self, error: Error) {
        self.state().failed.get_or_insert(error);
        self.changed.notify_all();
    }
}
