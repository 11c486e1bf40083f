//! Pieces of state as bytes, and back: one Arrow IPC stream for pieces of one shape.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::io::{BufWriter, Write};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use fyke_types::{Error, Result, Store, StoreWriter};
use twox_hash::XxHash64;

use super::manifest::{PieceState, Segment};
use crate::Piece;

/// What a checkpoint has of one operator.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Where its new pieces lie.
    pub(super) segments: Vec<Segment>,
    /// Its pieces, new and old.
    pub(super) pieces: Vec<PieceState>,
}

/// Writes the new pieces of a checkpoint as they come, so that they need not be held together.
pub(super) struct StateWriter<'a> {
    store: &'a dyn Store,
    name: String,
    /// None before the first piece that carries rows: a checkpoint without any has no file.
    open: Option<OpenSegment>,
    written: BTreeMap<String, Written>,
}

/// A segment being written.
struct OpenSegment {
    key: String,
    port: u32,
    numbers: Vec<u64>,
    writer: StreamWriter<Counted>,
}

/// A file that knows what was written to it since the segment began.
struct Counted {
    to: BufWriter<Box<dyn StoreWriter>>,
    offset: u64,
    bytes: u64,
    hash: XxHash64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.bytes += written as u64;
        self.hash.write(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

impl<'a> StateWriter<'a> {
    /// A writer into the file `name`.
    pub(super) fn new(store: &'a dyn Store, name: String) -> Self {
        Self { store, name, open: None, written: BTreeMap::new() }
    }

    /// Lists a piece of the operator `key`, and writes its rows if it carries them.
    ///
    /// # Errors
    /// `Unavailable` when the file can't be written.
    pub(super) fn piece(&mut self, key: &str, piece: Piece) -> Result<()> {
        self.written.entry(key.to_owned()).or_default().pieces.push(listed(&piece));
        let Some(rows) = &piece.rows else { return Ok(()) };
        let port = piece.place.port;
        // ports of a join differ in their columns
        let fits = |open: &OpenSegment| open.key == key && open.port == port;
        let mut open = match self.open.take() {
            Some(open) if fits(&open) => open,
            other => {
                let to = match other {
                    Some(open) => self.close(open)?,
                    None => {
                        let to = BufWriter::with_capacity(1 << 20, self.store.writer(&self.name)?);
                        Counted { to, offset: 0, bytes: 0, hash: XxHash64::with_seed(0) }
                    }
                };
                let writer = StreamWriter::try_new(to, rows.schema_ref()).map_err(|e| self.failed(&e))?;
                OpenSegment { key: key.to_owned(), port, numbers: Vec::new(), writer }
            }
        };
        open.writer.write(rows).map_err(|e| self.failed(&e))?;
        open.numbers.push(piece.number);
        self.open = Some(open);
        Ok(())
    }

    /// Ends a segment; the file is ready for the next one.
    fn close(&mut self, open: OpenSegment) -> Result<Counted> {
        let OpenSegment { key, numbers, writer, .. } = open;
        let Counted { to, offset, bytes, hash } = writer.into_inner().map_err(|e| self.failed(&e))?;
        let hash = format!("{:016x}", hash.finish());
        let segment = Segment { file: self.name.clone(), offset, bytes, hash, pieces: numbers };
        self.written.entry(key).or_default().segments.push(segment);
        Ok(Counted { to, offset: offset + bytes, bytes: 0, hash: XxHash64::with_seed(0) })
    }

    /// Makes the file durable. By operator what it holds; none if there is a file of its name already.
    ///
    /// # Errors
    /// `Unavailable` when it can't be written.
    pub(super) fn finish(mut self) -> Result<Option<BTreeMap<String, Written>>> {
        let Some(open) = self.open.take() else { return Ok(Some(self.written)) };
        let Counted { to, .. } = self.close(open)?;
        let pending = to.into_inner().map_err(|e| self.failed(&e))?;
        Ok(pending.publish()?.then_some(self.written))
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> Error {
        Error::unavailable(format!("the checkpoint's file {} can't be written", self.name)).detail(error)
    }
}

/// The rows of a segment's pieces, by number. `bytes` is what its file has where it lies.
pub(super) fn read(segment: &Segment, bytes: &[u8]) -> Result<Vec<(u64, RecordBatch)>> {
    let corrupt = |detail: String| {
        Error::data(format!("the checkpoint's file {} is corrupt from byte {}", segment.file, segment.offset))
            .detail(detail)
            .hint("remove the newest manifest to go back to the checkpoint before it, or start over in another folder")
    };
    if bytes.len() as u64 != segment.bytes {
        return Err(corrupt(format!("it has {} bytes from there, {} are needed", bytes.len(), segment.bytes)));
    }
    if hash(bytes) != segment.hash {
        return Err(corrupt("its checksum differs".to_owned()));
    }
    let reader = StreamReader::try_new(bytes, None).map_err(|error| corrupt(error.to_string()))?;
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|error| corrupt(error.to_string()))?;
    if batches.len() != segment.pieces.len() {
        return Err(corrupt(format!("it has {} batches, {} are needed", batches.len(), segment.pieces.len())));
    }
    Ok(segment.pieces.iter().copied().zip(batches).collect())
}

fn hash(bytes: &[u8]) -> String {
    let mut hash = XxHash64::with_seed(0);
    hash.write(bytes);
    format!("{:016x}", hash.finish())
}

/// A piece as the manifest lists it.
fn listed(piece: &Piece) -> PieceState {
    let alive = piece.alive.as_ref().filter(|alive| alive.count_set_bits() < alive.len()).map(to_hexadecimal);
    PieceState { number: piece.number, place: piece.place, alive }
}

/// The piece that the manifest lists, with its rows.
pub(super) fn restored(state: &PieceState, rows: RecordBatch) -> Result<Piece> {
    let alive = match &state.alive {
        Some(text) => Some(from_hexadecimal(text, rows.num_rows()).ok_or_else(|| {
            Error::data(format!("the checkpoint's manifest is corrupt: which rows of piece {} are alive", state.number))
        })?),
        None => None,
    };
    Ok(Piece { number: state.number, place: state.place, rows: Some(rows), alive, kept: true })
}

fn to_hexadecimal(bits: &BooleanBuffer) -> String {
    let byte =
        |at: usize| (0..8).filter(|bit| at + bit < bits.len() && bits.value(at + bit)).fold(0u8, |b, i| b | 1 << i);
    (0..bits.len()).step_by(8).map(|at| format!("{:02x}", byte(at))).collect()
}

fn from_hexadecimal(text: &str, len: usize) -> Option<BooleanBuffer> {
    let bytes: Vec<u8> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect::<Option<_>>()?;
    (bytes.len() == len.div_ceil(8)).then(|| BooleanBuffer::collect_bool(len, |at| bytes[at / 8] >> (at % 8) & 1 == 1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array};
    use proptest::prelude::*;

    use super::super::Folder;
    use super::*;
    use crate::{Customer, Place};

    fn piece(number: u64, port: u32, values: Vec<i64>) -> Piece {
        let column: ArrayRef = Arc::new(Int64Array::from(values));
        let rows = RecordBatch::try_from_iter([(format!("of port {port}"), column)]).expect("a batch");
        Piece {
            number,
            place: Place { customer: Customer::ALL, port, start: 0, end: 1 },
            rows: Some(rows),
            alive: None,
            kept: true,
        }
    }

    /// Writes pieces into a file of a folder of its own.
    fn write(pieces: &[Piece]) -> (Vec<Segment>, Vec<u8>) {
        let place = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(place.path());
        let mut writer = StateWriter::new(&folder, "state/1".to_owned());
        pieces.iter().try_for_each(|piece| writer.piece("a", piece.clone())).expect("written");
        let mut written = writer.finish().expect("written").expect("a new file");
        let bytes = folder.read("state/1", None).expect("read").expect("there");
        (written.remove("a").expect("an operator").segments, bytes)
    }

    #[test]
    fn pieces_of_several_shapes_come_back_by_number() {
        let pieces = [piece(4, 0, vec![1, 2]), piece(7, 1, vec![]), piece(9, 0, vec![3])];
        let (segments, bytes) = write(&pieces);
        let of = |s: &Segment| bytes[s.offset as usize..(s.offset + s.bytes) as usize].to_vec();
        let found: Vec<_> = segments.iter().flat_map(|s| read(s, &of(s)).expect("read")).collect();
        let expected: Vec<_> = pieces.into_iter().map(|p| (p.number, p.rows.expect("rows"))).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_found() {
        let (segments, mut bytes) = write(&[piece(1, 0, vec![1, 2, 3])]);
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let error = read(&segments[0], &bytes).expect_err("corrupt").to_string();
            assert!(error.contains("state/1") && error.contains("checksum") && error.contains("hint:"), "{error}");
            bytes[at] ^= 1;
            assert!(read(&segments[0], &bytes[..at]).is_err());
        }
        assert!(read(&segments[0], &bytes).is_ok());
    }

    proptest! {
        #[test]
        fn bits_are_read_back(bits in prop::collection::vec(any::<bool>(), 0..40)) {
            let buffer = BooleanBuffer::from(bits);
            let text = to_hexadecimal(&buffer);
            prop_assert_eq!(from_hexadecimal(&text, buffer.len()), Some(buffer.clone()));
            prop_assert!(from_hexadecimal(&text, buffer.len() + 8).is_none());
        }
    }
}
