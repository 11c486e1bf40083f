//! Documents that a server will never take: dead letters where the output names a place for them, else counted.

use fyke_types::{DeadLetter, Result, Sink, dead_letters_to_batch};
use serde::{Deserialize, Serialize};

/// A document and why it was refused.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    /// Where it was to go: an index and its id, or a URL.
    pub(super) place: String,
    /// The server's words.
    pub(super) reason: String,
    /// The document.
    pub(super) raw: Vec<u8>,
    /// Bytes that it holds of the queue.
    pub(super) held: u64,
}

/// Where refused documents go.
#[derive(Default)]
pub(super) struct DeadLetters {
    sink: Option<Box<dyn Sink>>,
}

/// What a checkpoint must know of the dead letters.
#[derive(Debug, Serialize, Deserialize)]
struct Prepared {
    dead: String,
}

impl DeadLetters {
    /// Dead letters go to `sink` from now on.
    pub(super) fn to(&mut self, sink: Box<dyn Sink>) {
        self.sink = Some(sink);
    }

    /// Hands documents on.
    pub(super) fn write(&mut self, refused: &[Refused]) -> Result<()> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        for document in refused {
            let letter = DeadLetter { line: 0, offset: 0, reason: document.reason.clone(), raw: document.raw.clone() };
            sink.write(&dead_letters_to_batch(&document.place, "", &[letter])?)?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.sink.as_mut().map_or(Ok(()), |sink| sink.flush())
    }

    pub(super) fn prepare(&mut self, part: u64, last: bool) -> Result<Option<String>> {
        let Some(sink) = &mut self.sink else { return Ok(None) };
        let Some(dead) = sink.prepare(part, last)? else { return Ok(None) };
        let text = serde_json::to_string(&Prepared { dead });
        text.map(Some).map_err(|error| fyke_types::Error::internal("a checkpoint's words").detail(error))
    }

    pub(super) fn commit(&mut self, prepared: &str) -> Result<()> {
        let read: serde_json::Result<Prepared> = serde_json::from_str(prepared);
        let prepared = read.map_err(|error| {
            fyke_types::Error::data("the checkpoint's words about an output can't be read").detail(error)
        })?;
        self.sink.as_mut().map_or(Ok(()), |sink| sink.commit(&prepared.dead))
    }

    pub(super) fn recover(&mut self, part: u64) -> Result<()> {
        self.sink.as_mut().map_or(Ok(()), |sink| sink.recover(part))
    }

    pub(super) fn finish(&mut self) -> Result<()> {
        self.sink.as_mut().map_or(Ok(()), |sink| sink.finish())
    }
}
