//! Standard input, read in a thread of its own so that nobody else ever waits for it.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::files::compression;
use crate::files::source_bytes::{ByteSource, Got, read_some};

const CHUNK_BYTES: usize = 256 * 1024;
/// The thread stops reading while so many chunks wait.
const CHUNKS: usize = 8;

/// What a thread reads from a stream that can't be read twice. Compressed streams are recognised and decompressed.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that were taken already.
    taken: usize,
    ended: bool,
    failed: Option<io::Error>,
    opened: bool,
    abandoned: bool,
}

impl Feed {
    /// Starts to read `from`.
    pub(crate) fn start(from: impl Read + Send + 'static) -> Arc<Self> {
        let feed = Arc::new(Self::default());
        let reading = Arc::clone(&feed);
        let spawned = std::thread::Builder::new().name("fyke-stdin".into()).spawn(move || {
            let outcome = reading.read_all(from);
            reading.end(outcome.err());
        });
        if let Err(error) = spawned {
            feed.end(Some(error));
        }
        feed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_all(&self, from: impl Read + Send + 'static) -> io::Result<()> {
        let mut from = BufReader::with_capacity(CHUNK_BYTES, from);
        let codec = compression::by_magic(from.fill_buf()?);
        let mut from: Box<dyn Read> = match codec {
            Some(codec) => compression::decoder_of(codec, from)?,
            None => Box::new(from),
        };
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = read_some(from.as_mut(), &mut chunk)?;
            chunk.truncate(read);
            if read == 0 || !self.put(chunk) {
                return Ok(());
            }
        }
    }

    /// Whether anybody still wants more.
    fn put(&self, chunk: Vec<u8>) -> bool {
        let full = |state: &mut State| state.chunks.len() >= CHUNKS && !state.abandoned;
        let mut state = self.changed.wait_while(self.state(), full).unwrap_or_else(PoisonError::into_inner);
        state.chunks.push_back(chunk);
        self.changed.notify_all();
        !state.abandoned
    }

    fn end(&self, failed: Option<io::Error>) {
        let mut state = self.state();
        (state.ended, state.failed) = (true, failed);
        self.changed.notify_all();
    }

    /// Waits until there is something, or the end, or `wait` is over.
    pub(crate) fn wait(&self, wait: Duration) {
        let idle = |state: &mut State| state.chunks.is_empty() && !state.ended;
        drop(self.changed.wait_timeout_while(self.state(), wait, idle));
    }

    /// The first whole lines, without taking them: what a schema is inferred from.
    pub(crate) fn sample(&self, bytes: usize) -> Vec<u8> {
        let poor = |state: &mut State| {
            !state.ended && state.chunks.len() < CHUNKS && !state.chunks.iter().any(|chunk| chunk.contains(&b'\n'))
        };
        let state = self.changed.wait_while(self.state(), poor).unwrap_or_else(PoisonError::into_inner);
        state.chunks.iter().flatten().copied().take(bytes).collect()
    }

    /// Takes the one right to read; false if somebody has it.
    pub(crate) fn claim(&self) -> bool {
        !std::mem::replace(&mut self.state().opened, true)
    }
}

/// The one reading of a [`Feed`].
pub(crate) struct FeedBytes(Arc<Feed>);

impl FeedBytes {
    /// Reads `feed`, which was claimed.
    pub(crate) fn new(feed: Arc<Feed>) -> Self {
        Self(feed)
    }
}

impl ByteSource for FeedBytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<Got> {
        let mut guard = self.0.state();
        let state = &mut *guard;
        let Some(chunk) = state.chunks.front() else {
            if let Some(error) = state.failed.take() {
                return Err(error);
            }
            return Ok(if state.ended { Got::End } else { Got::Dry });
        };
        let rest = chunk.get(state.taken..).unwrap_or_default();
        let count = rest.len().min(into.len());
        if let (Some(into), Some(rest)) = (into.get_mut(..count), rest.get(..count)) {
            into.copy_from_slice(rest);
        }
        state.taken += count;
        if state.taken >= chunk.len() {
            state.chunks.pop_front();
            state.taken = 0;
            self.0.changed.notify_all();
        }
        Ok(Got::Bytes(count))
    }

    fn has_more(&mut self) -> bool {
        let state = self.0.state();
        !state.chunks.is_empty() || state.ended
    }
}

impl Drop for FeedBytes {
    fn drop(&mut self) {
        self.0.state().abandoned = true;
        self.0.changed.notify_all();
    }
}

/// How long a wait may last until `deadline`, at most `most`.
pub(crate) fn until(deadline: Instant, most: Duration) -> Duration {
    deadline.saturating_duration_since(Instant::now()).min(most)
}
