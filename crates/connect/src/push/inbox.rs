//! What was accepted and not yet read: bounded, and durable where there is a spool.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fyke_types::{Error, Result};
use tokio::sync::{Notify, oneshot};

use super::record::Record;
use super::spool::Spool;

/// Why something was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The reader does not keep up, or no checkpoint has freed the spool: try again later.
    Full,
    /// It could not be made durable.
    Failed(String),
}

/// A bounded queue between tasks that listen and the thread that reads.
#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
    left: Notify,
    bytes_max: usize,
    writer: Option<Sender<Job>>,
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<(u64, Record)>,
    bytes: usize,
    /// The number of the next record.
    next: u64,
    /// The spool has no room.
    spool_full: bool,
    /// Why the spool could not be written: untold, and whether it was told since it last could.
    trouble: Option<String>,
    told: bool,
}

/// Records to make durable, and whom to tell.
struct Job {
    records: Vec<Record>,
    done: oneshot::Sender<std::result::Result<(), Refused>>,
}

impl Inbox {
    /// An inbox of about `bytes_max`, whose next record is number `next`. What it accepts goes to `spool` first, if there
    /// is one.
    ///
    /// # Errors
    /// `Unavailable` where no thread can be started.
    pub(crate) fn new(bytes_max: usize, next: u64, spool: Option<Arc<Mutex<Spool>>>) -> Result<Arc<Self>> {
        let state = Mutex::new(State { next, ..State::default() });
        let (writer, jobs) = channel();
        let writer = spool.is_some().then_some(writer);
        let inbox = Arc::new(Self { state, arrived: Condvar::new(), left: Notify::new(), bytes_max, writer });
        if let Some(spool) = spool {
            let weak = Arc::downgrade(&inbox);
            let write = move || {
                write_jobs(&jobs, &spool, |written| {
                    let Some(inbox) = weak.upgrade() else { return };
                    match written {
                        Ok(records) => inbox.push(records),
                        Err(why) => inbox.failed(why),
                    }
                });
            };
            let spawned = std::thread::Builder::new().name("fyke-spool".into()).spawn(write);
            spawned.map_err(|error| Error::unavailable("no thread can be started for the spool").detail(error))?;
        }
        Ok(inbox)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything is accepted now.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.state();
        state.bytes < self.bytes_max && !state.spool_full
    }

    /// Says whether the spool has no room.
    pub(crate) fn spool_is_full(&self, full: bool) {
        self.state().spool_full = full;
        if !full {
            self.left.notify_waiters();
        }
    }

    /// Waits until something is accepted.
    pub(crate) async fn room(&self) {
        loop {
            let left = self.left.notified();
            if self.has_room() {
                return;
            }
            // a wake-up between the look and the wait must not be missed for long
            drop(tokio::time::timeout(Duration::from_millis(100), left).await);
        }
    }

    /// Accepts records, all or none. They are durable then, where there is a spool.
    pub(crate) async fn put(&self, records: Vec<Record>) -> std::result::Result<(), Refused> {
        if !self.has_room() {
            return Err(Refused::Full);
        }
        let Some(writer) = &self.writer else {
            self.push(records);
            return Ok(());
        };
        let (done, told) = oneshot::channel();
        let gone = || Refused::Failed("the spool's thread has ended".to_owned());
        writer.send(Job { records, done }).map_err(|_| gone())?;
        told.await.unwrap_or_else(|_| Err(gone()))
    }

    fn failed(&self, why: String) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.told, true) {
            state.trouble = Some(why);
            self.arrived.notify_all();
        }
    }

    /// Why the spool could not be written, once for each time that it begins to fail.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.state().trouble.take()
    }

    fn push(&self, records: Vec<Record>) {
        let mut state = self.state();
        state.told = false;
        for record in records {
            state.bytes += record.size();
            let number = state.next;
            state.next += 1;
            state.records.push_back((number, record));
        }
        self.arrived.notify_all();
    }

    /// Takes records of about `bytes`, at least one if there is any; waits for it at most `wait`.
    pub(crate) fn take(&self, bytes: usize, wait: Duration) -> Vec<(u64, Record)> {
        let nothing = |state: &mut State| state.records.is_empty() && state.trouble.is_none();
        let waited = self.arrived.wait_timeout_while(self.state(), wait, nothing);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let (mut taken, mut size) = (Vec::new(), 0);
        while size < bytes
            && let Some((number, record)) = state.records.pop_front()
        {
            size += record.size();
            taken.push((number, record));
        }
        state.bytes = state.bytes.saturating_sub(size);
        drop(state);
        if !taken.is_empty() {
            self.left.notify_waiters();
        }
        taken
    }
}

/// Writes what is asked for; what waits together is made durable together.
fn write_jobs(jobs: &Receiver<Job>, spool: &Mutex<Spool>, tell: impl Fn(std::result::Result<Vec<Record>, String>)) {
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first];
        batch.extend(jobs.try_iter().take(256));
        let records: Vec<&Record> = batch.iter().flat_map(|job| &job.records).collect();
        let written = spool.lock().unwrap_or_else(PoisonError::into_inner).append(&records);
        for job in batch {
            let outcome = match &written {
                Ok(()) => {
                    tell(Ok(job.records));
                    Ok(())
                }
                Err(error) => {
                    tell(Err(error.to_string()));
                    Err(Refused::Failed(error.to_string()))
                }
            };
            // whoever has hung up will send it again
            drop(job.done.send(outcome));
        }
    }
}
