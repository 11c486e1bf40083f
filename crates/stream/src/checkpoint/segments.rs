//! Pieces of state as bytes, and back: one Arrow IPC stream for pieces of one shape.

use std::collections::BTreeMap;
use std::hash::Hasher;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use fyke_types::{Error, Result};
use twox_hash::XxHash64;

use super::manifest::{PieceState, Segment};
use crate::Piece;

/// Appends the pieces that carry rows to `bytes`, and says where they lie.
pub(super) fn write(pieces: &[Piece], file: &str, bytes: &mut Vec<u8>) -> Result<Vec<Segment>> {
    // ports of a join differ in their columns
    let mut of_port: BTreeMap<u32, Vec<(u64, &RecordBatch)>> = BTreeMap::new();
    for piece in pieces {
        if let Some(rows) = &piece.rows {
            of_port.entry(piece.place.port).or_default().push((piece.number, rows));
        }
    }
    let mut segments = Vec::with_capacity(of_port.len());
    for pieces in of_port.values() {
        let Some((_, first)) = pieces.first() else { continue };
        let offset = bytes.len();
        let mut writer = StreamWriter::try_new(&mut *bytes, first.schema_ref())?;
        pieces.iter().try_for_each(|(_, rows)| writer.write(rows))?;
        writer.finish()?;
        drop(writer);
        let written = bytes.get(offset..).unwrap_or_default();
        segments.push(Segment {
            file: file.to_owned(),
            offset: offset as u64,
            bytes: written.len() as u64,
            hash: hash(written),
            pieces: pieces.iter().map(|(number, _)| *number).collect(),
        });
    }
    Ok(segments)
}

/// The rows of a segment's pieces, by number. `file` is all of the segment's file.
pub(super) fn read(segment: &Segment, file: &[u8]) -> Result<Vec<(u64, RecordBatch)>> {
    let corrupt = |detail: String| {
        Error::data(format!("the checkpoint's file {} is corrupt from byte {}", segment.file, segment.offset))
            .detail(detail)
            .hint("remove the newest manifest to go back to the checkpoint before it, or start over in another folder")
    };
    let (start, end) = (segment.offset as usize, segment.offset.saturating_add(segment.bytes) as usize);
    let Some(bytes) = file.get(start..end) else {
        return Err(corrupt(format!("it has {} bytes, {end} are needed", file.len())));
    };
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
pub(super) fn listed(piece: &Piece) -> PieceState {
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
    Ok(Piece { number: state.number, place: state.place, rows: Some(rows), alive })
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
        }
    }

    #[test]
    fn pieces_of_several_shapes_come_back_by_number() {
        let pieces = [piece(4, 0, vec![1, 2]), piece(7, 1, vec![]), piece(9, 0, vec![3])];
        let mut bytes = b"before".to_vec();
        let segments = write(&pieces, "f", &mut bytes).expect("written");
        let mut found: Vec<_> = segments.iter().flat_map(|s| read(s, &bytes).expect("read")).collect();
        found.sort_by_key(|(number, _)| *number);
        let expected: Vec<_> = pieces.into_iter().map(|p| (p.number, p.rows.expect("rows"))).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_found() {
        let mut bytes = Vec::new();
        let segments = write(&[piece(1, 0, vec![1, 2, 3])], "state/1", &mut bytes).expect("written");
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
