//! The maker's side: documents in, and a promise that each was taken or became a dead letter.

use std::sync::Arc;
use std::thread::JoinHandle;

use futures::future::join_all;
use fyke_types::{Clock, Error, Result, Sink, SinkHealth, SystemClock};

use super::lane::{self, Carrier};
use super::queue::{Limits, Queue};
use super::refused::DeadLetters;
use super::runtime;

/// Documents on their way. Dropped, it forgets what has not arrived.
pub(crate) struct Delivery {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    dead: DeadLetters,
}

impl Delivery {
    /// Starts the thread whose lanes carry documents. `connect` makes the carrier inside that thread's runtime.
    ///
    /// # Errors
    /// `Unavailable` when the machine gives no thread.
    pub(crate) fn start(
        limits: Limits,
        connect: impl FnOnce() -> Result<Arc<dyn Carrier>> + Send + 'static,
    ) -> Result<Self> {
        let queue = Arc::new(Queue::new(limits));
        let shared = Arc::clone(&queue);
        let seed = SystemClock.now().unsigned_abs();
        let work = move || {
            let _ended = Ended(&shared);
            match runtime().and_then(|runtime| Ok((runtime, connect()?))) {
                Ok((runtime, carrier)) => {
                    runtime.block_on(async {
                        let lanes = (0..shared.limits.lanes)
                            .map(|number| lane::run(&shared, number, Arc::clone(&carrier), seed));
                        tokio::select! {
                            _ = join_all(lanes) => {}
                            () = shared.stop.notified() => {}
                        }
                    });
                    // a name look-up that hangs must not hold anybody
                    runtime.shutdown_background();
                }
                Err(error) => shared.fail(error),
            }
        };
        let thread = std::thread::Builder::new()
            .name("fyke-delivery".into())
            .spawn(work)
            .map_err(|error| Error::unavailable("no thread for an output").detail(error))?;
        Ok(Self { queue, thread: Some(thread), dead: DeadLetters::default() })
    }

    /// Refused documents go there from now on.
    pub(crate) fn dead_letters_to(&mut self, sink: Box<dyn Sink>) {
        self.dead.to(sink);
    }

    /// Takes a document in; waits while the queue is full. Documents of the same `lane` arrive in their order.
    ///
    /// # Errors
    /// What the delivery failed with, or the place of dead letters.
    pub(crate) fn push(&mut self, lane: u64, head: &[u8], document: &[u8]) -> Result<()> {
        while !self.queue.try_push(lane, head, document)? {
            self.queue.wait_for_room();
            self.bury()?;
        }
        Ok(())
    }

    fn bury(&mut self) -> Result<()> {
        let refused = self.queue.take_refused()?;
        self.dead.write(&refused)
    }

    /// Hands on what was refused so far; waits for nothing.
    ///
    /// # Errors
    /// What the delivery failed with, or the place of dead letters.
    pub(crate) fn look(&mut self) -> Result<()> {
        self.bury()?;
        self.dead.flush()
    }

    /// Waits until each document was taken or became a dead letter.
    ///
    /// # Errors
    /// As [`Delivery::push`].
    pub(crate) fn drain(&mut self) -> Result<()> {
        self.queue.drain(true);
        let drained = loop {
            match self.queue.wait_for_none().and_then(|none| self.bury().map(|()| none)) {
                Ok(false) => {}
                done => break done.map(|_| ()),
            }
        };
        self.queue.drain(false);
        drained
    }

    /// Drains, and prepares the dead letters.
    ///
    /// # Errors
    /// As [`Delivery::push`].
    pub(crate) fn prepare(&mut self, part: u64, last: bool) -> Result<Option<String>> {
        self.drain()?;
        self.dead.prepare(part, last)
    }

    /// Publishes dead letters that were prepared.
    ///
    /// # Errors
    /// What their place says.
    pub(crate) fn commit(&mut self, prepared: &str) -> Result<()> {
        self.dead.commit(prepared)
    }

    /// Forgets dead letters of a process that did not live to commit them.
    ///
    /// # Errors
    /// What their place says.
    pub(crate) fn recover(&mut self, part: u64) -> Result<()> {
        self.dead.recover(part)
    }

    /// Drains, and publishes the dead letters.
    ///
    /// # Errors
    /// As [`Delivery::push`].
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.drain()?;
        self.dead.finish()
    }

    /// How it gets on.
    pub(crate) fn health(&self) -> SinkHealth {
        self.queue.health()
    }
}

/// A maker must never wait for a thread that is gone, whatever ended it.
struct Ended<'a>(&'a Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.fail(Error::internal("the thread of an output has ended"));
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.queue.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // a panic there was said as an error already, or nobody is left to be told
            _ = thread.join();
        }
    }
}
