//! A connection between two processes of a generation: letters both ways, and a sign of life at least every heartbeat.
//! A link from which nothing comes for too long is lost, whatever TCP says.

use std::io::{BufReader, BufWriter, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

use fyke_types::{Error, Result};

use super::message::{Answer, Order, Post, Reply};
use super::wire::{Letter, read_letter, write_letter};

/// How long a link that is dropped has to send what is left.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often and how long; see [`super::ClusterSettings`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Pulse {
    pub(super) heartbeat: Duration,
    pub(super) timeout: Duration,
}

/// What comes of a link.
pub(super) enum Heard {
    Letter(Letter),
    /// Nothing will come any more, for this reason.
    Lost(Error),
}

/// See the module. Dropping it closes the connection, after what was sent.
pub(super) struct Link {
    letters: Sender<Letter>,
    stream: TcpStream,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Link {
    /// Takes over a connection to `name`; what comes goes to `hear`, in its order.
    pub(super) fn open(
        stream: TcpStream,
        name: String,
        pulse: Pulse,
        mut hear: impl FnMut(Heard) + Send + 'static,
    ) -> Result<Self> {
        let broken = |error: std::io::Error| Error::unavailable("a connection of the cluster is broken").detail(error);
        stream.set_read_timeout(Some(pulse.timeout)).map_err(broken)?;
        stream.set_write_timeout(Some(pulse.timeout)).map_err(broken)?;
        let (reads, writes) = (stream.try_clone().map_err(broken)?, stream.try_clone().map_err(broken)?);
        let (letters, queue) = mpsc::channel();
        let writer = thread(format!("to {name}"), move || write_all(&writes, &queue, pulse.heartbeat))?;
        let reader = thread(format!("from {name}"), move || {
            let mut from = BufReader::with_capacity(1 << 16, &reads);
            loop {
                match read_letter(&mut from) {
                    Ok(Letter::Beat) => {}
                    Ok(letter) => hear(Heard::Letter(letter)),
                    Err(error) => {
                        let _ = reads.shutdown(Shutdown::Both);
                        return hear(Heard::Lost(lost(&name, &error, pulse)));
                    }
                }
            }
        })?;
        Ok(Self { letters, stream, threads: vec![writer, reader] })
    }

    /// Whoever sends over this link.
    pub(super) fn sender(&self) -> LinkSender {
        LinkSender(self.letters.clone())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let (nothing, _) = mpsc::channel();
        drop(std::mem::replace(&mut self.letters, nothing));
        // the writer ends when all is sent, unless somebody still holds a sender
        let patience = std::time::Instant::now();
        while self.threads.first().is_some_and(|writer| !writer.is_finished()) && patience.elapsed() < LAST_WORDS {
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = self.stream.shutdown(Shutdown::Both);
        // the threads end by themselves: one of them may be the one that drops this link
        self.threads.clear();
    }
}

/// Sends letters over a link.
#[derive(Clone)]
pub(super) struct LinkSender(Sender<Letter>);

impl LinkSender {
    pub(super) fn send(&self, letter: Letter) -> Result<()> {
        self.0.send(letter).map_err(|_| Error::unavailable("another process of the cluster is gone"))
    }

    /// Posts to a worker at the other end.
    pub(super) fn to_worker(&self, worker: usize) -> RemoteWorker {
        RemoteWorker { link: self.clone(), worker }
    }
}

/// A worker of another process.
pub(super) struct RemoteWorker {
    link: LinkSender,
    worker: usize,
}

impl Post for RemoteWorker {
    fn post(&self, order: Order) -> Result<()> {
        self.link.send(Letter::Order(self.worker, order))
    }
}

impl Reply for LinkSender {
    fn reply(&self, worker: usize, answer: Answer) -> Result<()> {
        self.send(Letter::Answer(worker, answer))
    }
}

fn write_all(stream: &TcpStream, queue: &Receiver<Letter>, heartbeat: Duration) {
    let mut to = BufWriter::with_capacity(1 << 16, stream);
    loop {
        let letter = match queue.try_recv() {
            Ok(letter) => letter,
            Err(TryRecvError::Disconnected) => break,
            // what is buffered leaves before anything is waited for
            Err(TryRecvError::Empty) if to.flush().is_err() => break,
            Err(TryRecvError::Empty) => match queue.recv_timeout(heartbeat) {
                Ok(letter) => letter,
                Err(RecvTimeoutError::Timeout) => Letter::Beat,
                Err(RecvTimeoutError::Disconnected) => break,
            },
        };
        if write_letter(&mut to, letter).is_err() {
            break;
        }
    }
    let _ = to.flush();
    // the reader says it, here and there
    let _ = stream.shutdown(Shutdown::Both);
}

fn lost(name: &str, error: &Error, pulse: Pulse) -> Error {
    Error::unavailable(format!("{name} of the cluster is lost"))
        .detail(error.detail_text().unwrap_or(error.message()))
        .hint(format!("a process that says nothing for {} ms is lost", pulse.timeout.as_millis()))
}

fn thread(name: String, work: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name)
        .spawn(work)
        .map_err(|error| Error::unavailable("a connection of the cluster has no thread").detail(error))
}
