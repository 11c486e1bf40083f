//! Bounded blocks of whole lines from a stream of bytes. No line is looked at but the one at a block's end.

use std::sync::Arc;

use fyke_types::{DeadLetter, Error, Result, is_directive};
use memchr::{memchr, memrchr};

use super::origin::Origin;
use super::source_bytes::{ByteSource, Got};

/// The first block is small, to learn early where an input starts.
pub(crate) const FIRST_BLOCK_BYTES: usize = 64 * 1024;
/// So much of a line that is too long is kept.
const RAW_BYTES: usize = 64 * 1024;

/// Sizes of blocks and lines, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    block: usize,
    line: usize,
}

impl Limits {
    /// Blocks of about `block` bytes; a line may have `line` bytes. A block is never larger than a line may be, so that
    /// whether a line is too long does not depend on the block that it falls into.
    pub(crate) fn new(block: usize, line: usize) -> Self {
        let line = line.max(1);
        Self { block: block.clamp(1, line), line }
    }
}

/// What the next call gave.
#[derive(Debug)]
pub(crate) enum Fill {
    /// Whole lines in the first `bytes` of the buffer; the last may lack its newline.
    Lines(Lines),
    /// A line longer than is allowed; `line` is 0, since only its block is known.
    TooLong { letter: DeadLetter, fresh: bool, end: u64 },
    /// Nothing whole now; more may come.
    Dry,
    /// The end.
    End,
}

/// A block's place.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    pub(crate) bytes: usize,
    /// Where the block starts in its input.
    pub(crate) offset: u64,
    /// Whether the input starts over with this block (a rotated file).
    pub(crate) fresh: bool,
    /// The line that names the columns (the input's first, or the last directive before the block), and whether this
    /// block begins with it.
    pub(crate) header: Option<Header>,
}

/// Which lines of an input name the columns of those behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heading {
    None,
    FirstLine,
    /// Lines that begin so, wherever they stand.
    Directive(&'static [u8]),
}

/// A line that names the columns.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) line: Arc<[u8]>,
    pub(crate) included: bool,
}

/// Cuts a stream of bytes into blocks of whole lines.
pub(crate) struct Blocks {
    name: String,
    from: Box<dyn ByteSource>,
    limits: Limits,
    /// Gives what there is when the source is dry, rather than waiting for a whole block.
    eager: bool,
    /// Read but not yet given: what follows the last newline.
    carry: Vec<u8>,
    /// Where `carry` starts in the input.
    offset: u64,
    first: bool,
    fresh: bool,
    too_long: Option<TooLong>,
    /// What ended the reading of bytes that still lie in `carry`.
    stopped: Option<Stop>,
    failed: Option<Error>,
    ended: bool,
    heading: Heading,
    header: Option<Arc<[u8]>>,
    /// The file that the bytes at hand came from.
    origin: Option<Arc<Origin>>,
}

/// A line that is being skipped.
#[derive(Default)]
struct TooLong {
    raw: Vec<u8>,
    bytes: u64,
}

impl TooLong {
    fn add(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(front(bytes, RAW_BYTES.saturating_sub(self.raw.len())));
        self.bytes += bytes.len() as u64;
    }
}

impl Blocks {
    /// Blocks of `from`; `name` is for messages.
    pub(crate) fn new(name: String, from: Box<dyn ByteSource>, limits: Limits, eager: bool) -> Self {
        Self {
            name,
            from,
            limits,
            eager,
            carry: Vec::new(),
            offset: 0,
            first: true,
            fresh: false,
            too_long: None,
            stopped: None,
            failed: None,
            ended: false,
            heading: Heading::None,
            header: None,
            origin: None,
        }
    }

    /// The same where `from` begins at byte `offset`; `header` is the line that names the columns there, if any does.
    pub(crate) fn resumed(self, offset: u64, header: Option<Arc<[u8]>>) -> Self {
        Self { offset, first: offset == 0, header, ..self }
    }

    /// The file that the last block came from.
    pub(crate) fn origin(&self) -> Option<Arc<Origin>> {
        self.origin.clone()
    }

    /// The same, whose blocks come with the line that names their columns.
    pub(crate) fn with_heading(self, heading: Heading) -> Self {
        Self { heading, ..self }
    }

    /// The directive that holds behind the last block.
    pub(crate) fn directive(&self) -> Option<Arc<[u8]>> {
        self.header.clone().filter(|_| matches!(self.heading, Heading::Directive(_)))
    }

    /// Gives back the file handle.
    pub(crate) fn close(&mut self) {
        self.from.close();
    }

    /// Whether there is more after it was dry.
    pub(crate) fn has_more(&mut self) -> bool {
        self.from.has_more()
    }

    /// The next block, into `buffer`.
    ///
    /// # Errors
    /// When the source fails; whole lines before the failure were given before.
    pub(crate) fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<Fill> {
        if self.stopped.is_none()
            && let Some(error) = self.failed.take()
        {
            self.ended = true;
            return Err(error);
        }
        if self.too_long.is_some() {
            return self.skip_line(buffer);
        }
        if self.ended && self.carry.is_empty() {
            return Ok(Fill::End);
        }
        let mut filled = self.carry.len();
        let mut target = self.limits.block.min(if self.first { FIRST_BLOCK_BYTES } else { usize::MAX }).max(filled);
        reserve(buffer, target);
        copy_front(buffer, &self.carry);
        self.carry.clear();
        loop {
            let stop = self.stopped.take().or_else(|| self.read_to(buffer, &mut filled, target));
            let whole = memrchr(b'\n', front(buffer, filled)).map_or(0, |last| last + 1);
            match stop {
                Some(Stop::End | Stop::Fresh) => {
                    return Ok(self.rest(buffer, filled, matches!(stop, Some(Stop::Fresh))));
                }
                Some(Stop::Failed) => return self.until_failure(buffer, whole),
                Some(Stop::Dry) if whole == 0 || !self.eager => {
                    self.carry.extend_from_slice(front(buffer, filled));
                    return Ok(Fill::Dry);
                }
                _ if whole > 0 => return Ok(self.lines(buffer, filled, whole)),
                _ if filled > self.limits.line => {
                    self.too_long.insert(TooLong::default()).add(front(buffer, filled));
                    return self.skip_line(buffer);
                }
                _ => {
                    target = target.saturating_mul(2).min(self.limits.line + 1);
                    reserve(buffer, target);
                }
            }
        }
    }

    fn read_to(&mut self, buffer: &mut [u8], filled: &mut usize, target: usize) -> Option<Stop> {
        while let Some(into) = buffer.get_mut(*filled..target).filter(|into| !into.is_empty()) {
            match self.from.read(into) {
                Ok(Got::Bytes(read)) => {
                    *filled += read;
                    self.origin = self.from.origin();
                }
                Ok(Got::Dry) => return Some(Stop::Dry),
                Ok(Got::End) => {
                    self.ended = true;
                    return Some(Stop::End);
                }
                Ok(Got::Fresh) => return Some(Stop::Fresh),
                Err(error) => {
                    self.failed = Some(self.failure(&error, self.offset + *filled as u64));
                    return Some(Stop::Failed);
                }
            }
        }
        None
    }

    fn lines(&mut self, buffer: &[u8], filled: usize, whole: usize) -> Fill {
        self.carry.extend_from_slice(buffer.get(whole..filled).unwrap_or_default());
        self.given(buffer, whole)
    }

    fn given(&mut self, buffer: &[u8], bytes: usize) -> Fill {
        let header = match self.heading {
            Heading::None => None,
            Heading::FirstLine => self.header_for(front(buffer, bytes)),
            Heading::Directive(start) => self.directive_for(start, front(buffer, bytes)),
        };
        let lines = Lines { bytes, offset: self.offset, fresh: self.fresh, header };
        self.offset += bytes as u64;
        (self.first, self.fresh) = (false, false);
        Fill::Lines(lines)
    }

    fn header_for(&mut self, block: &[u8]) -> Option<Header> {
        let included = self.offset == 0;
        if included {
            let end = memchr(b'\n', block).unwrap_or(block.len());
            self.header = Some(block.get(..end)?.into());
        }
        self.header.clone().map(|line| Header { line, included })
    }

    /// The directive that holds where `block` begins; the last one in it is kept for the next.
    fn directive_for(&mut self, start: &'static [u8], block: &[u8]) -> Option<Header> {
        if self.offset == 0 {
            self.header = None;
        }
        let holding = self.header.clone().map(|line| Header { line, included: false });
        let mut searched = block;
        while let Some(at) = memchr::memmem::rfind(searched, start) {
            searched = front(block, at);
            let from = memrchr(b'\n', searched).map_or(0, |newline| newline + 1);
            let line = block.get(from..).unwrap_or_default();
            let line = front(line, memchr(b'\n', line).unwrap_or(line.len()));
            if is_directive(Some(start), line) {
                self.header = Some(line.into());
                break;
            }
        }
        holding
    }

    /// All that is left of an input or of a rotated file; its last line may lack the newline.
    fn rest(&mut self, buffer: &[u8], filled: usize, fresh: bool) -> Fill {
        let fill = match (filled, fresh) {
            (0, true) => Fill::Dry,
            (0, false) => Fill::End,
            (filled, _) => self.given(buffer, filled),
        };
        if fresh {
            (self.offset, self.fresh) = (0, true);
        }
        fill
    }

    /// What was readable before the failure; half a line is not.
    fn until_failure(&mut self, buffer: &[u8], whole: usize) -> Result<Fill> {
        if whole > 0 {
            return Ok(self.given(buffer, whole));
        }
        self.ended = true;
        self.failed.take().map_or(Ok(Fill::End), Err)
    }

    fn failure(&self, error: &std::io::Error, offset: u64) -> Error {
        use std::io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
        let message = format!("{} can't be read beyond byte {offset} (decompressed)", self.name);
        match error.kind() {
            InvalidData | InvalidInput | UnexpectedEof | Other => Error::data(message).detail(error),
            _ => Error::unavailable(message).detail(error),
        }
    }

    fn skip_line(&mut self, buffer: &mut Vec<u8>) -> Result<Fill> {
        // what is read behind the line is carried, and must hold no line that is too long itself
        let chunk = self.limits.block.min(FIRST_BLOCK_BYTES);
        reserve(buffer, chunk);
        loop {
            let mut filled = 0;
            let stop = self.read_to(buffer, &mut filled, chunk);
            let Some(skipped) = &mut self.too_long else { return Ok(Fill::Dry) };
            let read = front(buffer, filled);
            let newline = memchr(b'\n', read);
            skipped.add(front(read, newline.unwrap_or(filled)));
            if let Some(newline) = newline {
                self.carry.extend_from_slice(read.get(newline + 1..).unwrap_or_default());
                // what was read behind the line must be given before the next file's bytes, or the failure
                self.stopped = stop.filter(|stop| !matches!(stop, Stop::Dry));
                return Ok(self.too_long_line(true));
            }
            match stop {
                Some(Stop::Dry) => return Ok(Fill::Dry),
                Some(Stop::End) | Some(Stop::Failed) => return Ok(self.too_long_line(false)),
                Some(Stop::Fresh) => {
                    let fill = self.too_long_line(false);
                    (self.offset, self.fresh) = (0, true);
                    return Ok(fill);
                }
                None => {}
            }
        }
    }

    fn too_long_line(&mut self, newline: bool) -> Fill {
        let skipped = self.too_long.take().unwrap_or_default();
        let (fresh, offset) = (self.fresh, self.offset);
        self.offset += skipped.bytes + u64::from(newline);
        (self.first, self.fresh) = (false, false);
        let reason = format!("the line has {} bytes, more than max_line_bytes {}", skipped.bytes, self.limits.line);
        let letter = DeadLetter { line: 0, offset, reason, raw: skipped.raw };
        Fill::TooLong { letter, fresh, end: self.offset }
    }
}

enum Stop {
    Dry,
    End,
    Fresh,
    Failed,
}

fn front(buffer: &[u8], bytes: usize) -> &[u8] {
    buffer.get(..bytes).unwrap_or(buffer)
}

fn reserve(buffer: &mut Vec<u8>, bytes: usize) {
    if buffer.len() < bytes {
        buffer.resize(bytes, 0);
    }
}

fn copy_front(buffer: &mut [u8], bytes: &[u8]) {
    if let Some(into) = buffer.get_mut(..bytes.len()) {
        into.copy_from_slice(bytes);
    }
}
