//! Threads that cut and decode blocks ahead of the caller, or the caller itself where there are none.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use fyke_types::{Error, Result};

use super::decode::Item;

/// Who cuts and decodes blocks of inputs, alone in its thread.
pub(crate) trait Work: Send + 'static {
    /// An input.
    type Stream: Send + 'static;

    /// Cuts the next block of `stream`, alone; decodes it beside others. Gives the block's number too.
    fn next(&mut self, stream: &Mutex<Self::Stream>, customer: &str) -> (u64, Item);
}

/// The next block of an input, to be cut and decoded.
pub(crate) struct Task<W: Work> {
    pub(crate) input: usize,
    pub(crate) stream: Arc<Mutex<W::Stream>>,
    pub(crate) customer: Arc<str>,
}

/// A task's outcome: the input, the block's number, and what it gave.
pub(crate) struct Done {
    pub(crate) input: usize,
    pub(crate) number: u64,
    pub(crate) item: Item,
}

/// Executes tasks. The number of tasks under way is bounded by who gives them.
pub(crate) enum Pool<W: Work> {
    /// In the caller's thread, when the outcome is asked for.
    Inline { worker: Box<W>, tasks: std::collections::VecDeque<Task<W>> },
    /// In threads of its own.
    Threads { tasks: Option<Sender<Task<W>>>, done: Receiver<Done>, threads: Vec<JoinHandle<()>> },
}

impl<W: Work> Pool<W> {
    /// A pool of one thread per worker; the one worker of an `inline` pool works in the caller's thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn new(inline: bool, mut workers: Vec<W>) -> Result<Self> {
        if inline && let Some(worker) = workers.pop() {
            return Ok(Self::Inline { worker: Box::new(worker), tasks: Default::default() });
        }
        let (tasks, to_do) = channel::<Task<W>>();
        let (finished, done) = channel();
        let to_do = Arc::new(Mutex::new(to_do));
        let mut threads = Vec::with_capacity(workers.len());
        for worker in workers {
            let (to_do, finished) = (Arc::clone(&to_do), finished.clone());
            let thread = std::thread::Builder::new().name("fyke-decode".into());
            let spawned = thread.spawn(move || work(worker, &to_do, &finished));
            threads.push(spawned.map_err(|e| Error::unavailable("a thread for decoding can't be started").detail(e))?);
        }
        Ok(Self::Threads { tasks: Some(tasks), done, threads })
    }

    /// Gives a task.
    pub(crate) fn submit(&mut self, task: Task<W>) {
        match self {
            Self::Inline { tasks, .. } => tasks.push_back(task),
            // without a thread that listens, `wait` says so
            Self::Threads { tasks, .. } => _ = tasks.as_ref().map(|tasks| tasks.send(task)),
        }
    }

    /// The next outcome, of any task. There must be one under way.
    pub(crate) fn wait(&mut self) -> Result<Done> {
        let done = match self {
            Self::Inline { worker, tasks } => tasks.pop_front().map(|task| run(worker.as_mut(), &task)),
            Self::Threads { done, .. } => done.recv().ok(),
        };
        done.ok_or_else(|| Error::internal("no thread decodes any more"))
    }

    /// An outcome that is there already.
    pub(crate) fn ready(&mut self) -> Option<Done> {
        match self {
            Self::Inline { .. } => None,
            Self::Threads { done, .. } => done.try_recv().ok(),
        }
    }
}

impl<W: Work> Drop for Pool<W> {
    fn drop(&mut self) {
        if let Self::Threads { tasks, threads, .. } = self {
            // threads end when nobody can give tasks any more
            *tasks = None;
            for thread in threads.drain(..) {
                _ = thread.join();
            }
        }
    }
}

fn work<W: Work>(mut worker: W, tasks: &Mutex<Receiver<Task<W>>>, finished: &Sender<Done>) {
    loop {
        let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = task else { return };
        if finished.send(run(&mut worker, &task)).is_err() {
            return;
        }
    }
}

fn run<W: Work>(worker: &mut W, task: &Task<W>) -> Done {
    // a panic must not leave the caller waiting for ever
    let outcome = catch_unwind(AssertUnwindSafe(|| worker.next(&task.stream, &task.customer)));
    let (number, item) = outcome.unwrap_or_else(|_| {
        let message = format!("decoding an input of {} panicked", task.customer);
        (u64::MAX, Item::Failed(Error::internal(message)))
    });
    Done { input: task.input, number, item }
}
