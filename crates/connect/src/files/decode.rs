//! A block becomes rows and dead letters: the format's decoder, then the rule of event times. Runs in any thread.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use fyke_types::{DeadLetter, Decoded, Decoder, Micros, Result, is_directive};
use memchr::memchr_iter;

use super::blocks::{Blocks, Fill, Header, Lines};
use super::origin::Origin;
use super::parquet::ParquetRows;
use super::partition::Assembly;
use super::pool::Work;
use crate::event_time::EventTime;
use crate::json::batch_to_json_lines;

/// A buffer that a long line has made larger than this is given back.
const KEPT_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// What an input gives next, in the order of its blocks.
#[derive(Debug)]
pub(crate) enum Item {
    Piece(Box<Piece>),
    Dry,
    End,
    Failed(fyke_types::Error),
}

/// A decoded block. Lines of dead letters count from the block's start, offsets from the input's.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) batch: RecordBatch,
    pub(crate) dead: Vec<DeadLetter>,
    pub(crate) lines: u64,
    pub(crate) read: u64,
    /// The byte behind the block.
    pub(crate) end: u64,
    pub(crate) fresh: bool,
    pub(crate) latest: Option<Micros>,
    /// The file that it came from.
    pub(crate) origin: Option<Arc<Origin>>,
    /// The directive that holds behind the block, where the format has any.
    pub(crate) directive: Option<Arc<[u8]>>,
}

/// One input: blocks of lines to decode, or rows that need no decoder.
pub(crate) enum Content {
    Lines(Blocks),
    Rows(ParquetRows),
}

/// An input whose blocks are numbered as they are cut, so that several threads may decode it.
pub(crate) struct Stream {
    content: Content,
    next: u64,
    /// What stands in the names of its folders.
    assembly: Option<Result<Arc<Assembly>>>,
}

impl Stream {
    /// An input from its start.
    pub(crate) fn new(content: Content) -> Self {
        Self { content, next: 0, assembly: None }
    }

    /// The same, whose rows get what stands in the names of its folders; a name that is no value fails it.
    pub(crate) fn assembled(self, assembly: Option<Result<Assembly>>) -> Self {
        Self { assembly: assembly.map(|assembly| assembly.map(Arc::new)), ..self }
    }

    /// Gives back the file handle.
    pub(crate) fn close(&mut self) {
        match &mut self.content {
            Content::Lines(blocks) => blocks.close(),
            Content::Rows(rows) => rows.close(),
        }
    }

    /// Whether there is more after it was dry.
    pub(crate) fn has_more(&mut self) -> bool {
        match &mut self.content {
            Content::Lines(blocks) => blocks.has_more(),
            Content::Rows(_) => false,
        }
    }
}

/// Decodes blocks of any input of one source; keeps its buffer and the decoder's memory of shapes.
pub(crate) struct Worker {
    decoder: Option<Box<dyn Decoder>>,
    /// For lines that must be found again: its memory stays apart.
    finder: Option<Box<dyn Decoder>>,
    /// See `Format::directive`.
    directive: Option<&'static [u8]>,
    /// Of the input at hand.
    assembly: Option<Arc<Assembly>>,
    event_time: EventTime,
    buffer: Vec<u8>,
}

impl Work for Worker {
    type Stream = Stream;

    fn next(&mut self, stream: &Mutex<Stream>, customer: &str) -> (u64, Item) {
        self.next_of(stream, customer)
    }
}

impl Worker {
    /// A worker with `decoders` of its own; none where inputs give rows.
    pub(crate) fn new(decoders: Option<(Box<dyn Decoder>, Box<dyn Decoder>)>, event_time: EventTime) -> Self {
        let (decoder, finder) = decoders.unzip();
        Self { decoder, finder, directive: None, assembly: None, event_time, buffer: Vec::new() }
    }

    /// The same for a format with directives.
    pub(crate) fn with_directive(self, directive: Option<&'static [u8]>) -> Self {
        Self { directive, ..self }
    }

    fn next_of(&mut self, stream: &Mutex<Stream>, customer: &str) -> (u64, Item) {
        let mut guard = stream.lock().unwrap_or_else(PoisonError::into_inner);
        let number = guard.next;
        guard.next += 1;
        match guard.assembly.clone().transpose() {
            Ok(assembly) => self.assembly = assembly,
            Err(error) => return (number, Item::Failed(error)),
        }
        let (filled, origin, directive) = match &mut guard.content {
            Content::Lines(blocks) => (blocks.fill(&mut self.buffer), blocks.origin(), blocks.directive()),
            Content::Rows(rows) => {
                let rows = rows.next();
                drop(guard);
                return (number, rows.and_then(|rows| self.rows(rows)).unwrap_or_else(Item::Failed));
            }
        };
        drop(guard);
        let mut item = filled.and_then(|fill| self.lines(fill, customer)).unwrap_or_else(Item::Failed);
        if let Item::Piece(piece) = &mut item {
            (piece.origin, piece.directive) = (origin, directive);
        }
        if self.buffer.len() > KEPT_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        (number, item)
    }

    fn lines(&mut self, fill: Fill, customer: &str) -> Result<Item> {
        match fill {
            Fill::Dry => Ok(Item::Dry),
            Fill::End => Ok(Item::End),
            Fill::Lines(lines) => self.block(lines, customer),
            Fill::TooLong { letter, fresh, end } => {
                let batch = self.decode(&[], customer)?.batch;
                let batch = self.event_time.check(batch)?.batch;
                let letter = DeadLetter { line: 1, ..letter };
                let piece = Piece {
                    batch,
                    dead: vec![letter],
                    lines: 1,
                    read: 1,
                    end,
                    fresh,
                    latest: None,
                    origin: None,
                    directive: None,
                };
                Ok(Item::Piece(Box::new(piece)))
            }
        }
    }

    fn block(&mut self, lines: Lines, customer: &str) -> Result<Item> {
        let buffer = std::mem::take(&mut self.buffer);
        let block = buffer.get(..lines.bytes).unwrap_or(&buffer);
        let piece = match &lines.header {
            Some(Header { line, included: false }) => self
                .piece(&[line.as_ref(), b"\n", block].concat(), &lines, customer)
                .map(|piece| without_header(piece, line)),
            _ => self.piece(block, &lines, customer),
        };
        self.buffer = buffer;
        Ok(Item::Piece(Box::new(piece?)))
    }

    /// Decodes whole lines that came otherwise than from a stream; they start at byte `offset` of their input.
    pub(crate) fn whole_block(&mut self, block: &[u8], offset: u64, customer: &str) -> Result<Piece> {
        self.piece(block, &Lines { bytes: block.len(), offset, fresh: false, header: None }, customer)
    }

    fn piece(&mut self, block: &[u8], lines: &Lines, customer: &str) -> Result<Piece> {
        let Decoded { batch, mut dead, lines: count, skipped } = self.decode(block, customer)?;
        let read = batch.num_rows() as u64 + dead.len() as u64;
        let checked = self.event_time.check(batch)?;
        if !checked.refused.is_empty() {
            let header = lines.header.as_ref().map(|header| header.line.as_ref());
            let found = self.find(block, header, &dead, skipped, checked.refused, customer)?;
            dead.extend(found);
            dead.sort_by_key(|letter| letter.line);
        }
        for letter in &mut dead {
            letter.offset += lines.offset;
        }
        Ok(Piece {
            batch: checked.batch,
            dead,
            lines: count,
            read,
            end: lines.offset + lines.bytes as u64,
            fresh: lines.fresh,
            latest: checked.latest,
            origin: None,
            directive: None,
        })
    }

    fn decode(&mut self, block: &[u8], customer: &str) -> Result<Decoded> {
        let Some(decoder) = &mut self.decoder else {
            return Err(fyke_types::Error::internal("a worker without decoder was given lines"));
        };
        let decoded = decoder.decode(block, customer)?;
        match &self.assembly {
            Some(assembly) => Ok(Decoded { batch: assembly.rows(&decoded.batch)?, ..decoded }),
            None => Ok(decoded),
        }
    }

    /// The lines of refused rows. A row's line is the block's next line that is neither dead nor skipped; which lines
    /// are skipped is the format's secret unless all of them are blank, so then each line is decoded alone.
    fn find(
        &mut self,
        block: &[u8],
        header: Option<&[u8]>,
        dead: &[DeadLetter],
        skipped: u64,
        refused: Vec<(usize, String)>,
        customer: &str,
    ) -> Result<Vec<DeadLetter>> {
        let is_dead = |line: u64| dead.binary_search_by_key(&line, |letter| letter.line).is_ok();
        let is_blank = |text: &[u8]| text.trim_ascii().is_empty();
        let blank = each_line(block).filter(|(line, _, text)| is_blank(text) && !is_dead(*line)).count() as u64;
        let mut refused = refused.into_iter().peekable();
        let (mut found, mut row) = (Vec::new(), 0);
        let mut holding: &[u8] = b"";
        for (line, offset, text) in each_line(block) {
            let Some((wanted, _)) = refused.peek() else { break };
            if is_directive(self.directive, text) {
                holding = text;
                continue;
            }
            let is_row = match header {
                _ if is_dead(line) => false,
                _ if self.directive.is_some() => self.is_row(&[holding, b"\n", text].concat(), customer)?,
                Some(_) if line == 1 => false,
                Some(header) => self.is_row(&[header, b"\n", text].concat(), customer)?,
                None if blank == skipped => !is_blank(text),
                None => self.is_row(text, customer)?,
            };
            if !is_row {
                continue;
            }
            if row == *wanted
                && let Some((_, reason)) = refused.next()
            {
                found.push(DeadLetter { line, offset, reason, raw: text.to_vec() });
            }
            row += 1;
        }
        if refused.peek().is_some() {
            return Err(fyke_types::Error::internal("a decoder's rows do not follow its lines"));
        }
        Ok(found)
    }

    fn is_row(&mut self, line: &[u8], customer: &str) -> Result<bool> {
        match &mut self.finder {
            Some(finder) => Ok(finder.decode(line, customer)?.batch.num_rows() > 0),
            None => Ok(false),
        }
    }

    /// Rows that came as such: a refused row is kept as JSON, its "line" is its number in the file.
    fn rows(&self, rows: Option<(u64, RecordBatch)>) -> Result<Item> {
        let Some((end, batch)) = rows else { return Ok(Item::End) };
        let batch = match &self.assembly {
            Some(assembly) => assembly.rows(&batch)?,
            None => batch,
        };
        let (read, lines) = (batch.num_rows() as u64, batch.num_rows() as u64);
        let checked = self.event_time.check(batch.clone())?;
        let dead = refused_rows(&batch, checked.refused)?;
        let latest = checked.latest;
        let piece =
            Piece { batch: checked.batch, dead, lines, read, end, fresh: false, latest, origin: None, directive: None };
        Ok(Item::Piece(Box::new(piece)))
    }
}

/// The piece of a block that was decoded behind a header which is not part of it.
fn without_header(mut piece: Piece, header: &[u8]) -> Piece {
    piece.lines = piece.lines.saturating_sub(1);
    for letter in &mut piece.dead {
        letter.line = letter.line.saturating_sub(1);
        letter.offset = letter.offset.saturating_sub(header.len() as u64 + 1);
    }
    piece
}

/// Dead letters of rows that have no line: their JSON, numbered from 1 within `batch`.
pub(crate) fn refused_rows(batch: &RecordBatch, refused: Vec<(usize, String)>) -> Result<Vec<DeadLetter>> {
    let mut letters = Vec::with_capacity(refused.len());
    for (row, reason) in refused {
        let mut raw = Vec::new();
        batch_to_json_lines(&batch.slice(row, 1), &mut raw)?;
        raw.pop();
        letters.push(DeadLetter { line: row as u64 + 1, offset: 0, reason, raw });
    }
    Ok(letters)
}

/// Number (from 1), offset and text of each line.
fn each_line(block: &[u8]) -> impl Iterator<Item = (u64, u64, &[u8])> {
    let unfinished = (!block.is_empty() && block.last() != Some(&b'\n')).then_some(block.len());
    let mut start = 0;
    memchr_iter(b'\n', block).chain(unfinished).zip(1..).map(move |(end, line)| {
        let text = block.get(start..end).unwrap_or_default();
        let offset = start as u64;
        start = end + 1;
        (line, offset, text)
    })
}
