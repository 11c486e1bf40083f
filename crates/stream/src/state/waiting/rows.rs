//! The content of waiting rows: batches that never change, of which ever fewer rows are alive.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, UInt64Array};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use fyke_types::{Error, Micros, Result};

use super::{KeyId, RowAt};
use crate::state::PieceNumbers;
use crate::{Customer, Give, Piece, Place};

/// So many batches may be small or mostly dead before they are merged.
const POOR_BATCHES: usize = 32;

/// A batch with fewer rows alive is small.
const SMALL: usize = 1_024;

/// Columns of the piece that says which rows of a batch have found a partner.
const OF_BATCH: &str = "batch";
const MATCHED: &str = "matched";

struct Batch {
    rows: RecordBatch,
    keys: Vec<KeyId>,
    alive: BooleanBufferBuilder,
    alive_count: usize,
    /// The least time and the last mark of its rows, for a person.
    span: (Micros, Micros),
    /// Whether a snapshot has given it already.
    given: bool,
    /// Which rows have found a partner, where that matters.
    matched: Option<BooleanBufferBuilder>,
    /// The piece that says so, if nothing has changed since.
    matched_given: Option<u64>,
}

impl Batch {
    fn is_poor(&self) -> bool {
        self.alive_count < SMALL || 2 * self.alive_count < self.keys.len()
    }
}

/// See the module.
#[derive(Default)]
pub struct KeptRows {
    batches: BTreeMap<u64, Batch>,
    alive: usize,
}

/// Rows that lie elsewhere now.
pub struct Moved {
    /// Their keys.
    pub(super) keys: Vec<KeyId>,
    /// By old batch: the new row of each row.
    places: BTreeMap<u64, Vec<u32>>,
    batch: u64,
}

impl Moved {
    /// Corrects the place of a row, if it has moved.
    pub(super) fn follow(&self, row: &mut RowAt) {
        if let Some(places) = self.places.get(&row.batch) {
            *row = RowAt { batch: self.batch, row: places[row.row as usize] };
        }
    }
}

impl KeptRows {
    /// How many rows are alive.
    pub fn len(&self) -> usize {
        self.alive
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.alive == 0
    }

    pub(super) fn add(
        &mut self,
        number: u64,
        rows: RecordBatch,
        keys: Vec<KeyId>,
        span: (Micros, Micros),
        matched: Option<Vec<bool>>,
    ) {
        let count = rows.num_rows();
        let mut alive = BooleanBufferBuilder::new(count);
        alive.append_n(count, true);
        let matched = matched.map(|matched| {
            let mut bits = BooleanBufferBuilder::new(count);
            bits.append_slice(&matched);
            bits
        });
        self.alive += count;
        let batch =
            Batch { rows, keys, alive, alive_count: count, span, given: false, matched, matched_given: None };
        self.batches.insert(number, batch);
    }

    pub(super) fn note_given(&mut self, number: u64) {
        if let Some(batch) = self.batches.get_mut(&number) {
            batch.given = true;
        }
    }

    pub(super) fn remove(&mut self, at: RowAt) {
        let Some(batch) = self.batches.get_mut(&at.batch) else { return };
        if !batch.alive.get_bit(at.row as usize) {
            return;
        }
        batch.alive.set_bit(at.row as usize, false);
        batch.alive_count -= 1;
        self.alive -= 1;
        if batch.alive_count == 0 {
            self.batches.remove(&at.batch);
        }
    }

    /// Whether a row has found a partner.
    pub fn is_matched(&self, at: RowAt) -> bool {
        let matched = self.batches.get(&at.batch).and_then(|batch| batch.matched.as_ref());
        matched.is_some_and(|matched| matched.get_bit(at.row as usize))
    }

    /// Notes that a row has found a partner; true the first time.
    pub fn set_matched(&mut self, at: RowAt) -> bool {
        let Some(batch) = self.batches.get_mut(&at.batch) else { return false };
        let matched = batch.matched.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(batch.keys.len());
            bits.append_n(batch.keys.len(), false);
            bits
        });
        if matched.get_bit(at.row as usize) {
            return false;
        }
        matched.set_bit(at.row as usize, true);
        batch.matched_given = None;
        true
    }

    /// Columns of these rows, in this order.
    ///
    /// # Errors
    /// Arrow's.
    pub fn pick(&self, rows: &[RowAt]) -> Result<Vec<ArrayRef>> {
        let mut numbers: Vec<u64> = rows.iter().map(|row| row.batch).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let batches = numbers
            .iter()
            .map(|number| {
                let batch = self.batches.get(number);
                batch.map(|batch| &batch.rows).ok_or_else(|| Error::internal("a waiting row has lost its content"))
            })
            .collect::<Result<Vec<_>>>()?;
        let places = rows
            .iter()
            .map(|row| Ok((numbers.binary_search(&row.batch).map_err(|_| Error::internal("no batch"))?, row.row as usize)))
            .collect::<Result<Vec<_>>>()?;
        let columns = batches.first().map_or(0, |batch| batch.num_columns());
        (0..columns)
            .map(|column| {
                let of: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(column).as_ref()).collect();
                Ok(interleave(&of, &places)?)
            })
            .collect()
    }

    /// Puts small and mostly dead batches into one, if there are many.
    pub(super) fn merge_poor(&mut self, numbers: &mut PieceNumbers) -> Result<Option<Moved>> {
        let poor: Vec<u64> = self.batches.iter().filter(|(_, batch)| batch.is_poor()).map(|(number, _)| *number).collect();
        if poor.len() <= POOR_BATCHES {
            return Ok(None);
        }
        let (mut rows, mut keys, mut matched) = (Vec::new(), Vec::new(), Vec::new());
        let mut moved = Moved { keys: Vec::new(), places: BTreeMap::new(), batch: numbers.take() };
        let mut span = (Micros::MAX, Micros::MIN);
        let mut counts_matches = false;
        for number in &poor {
            let Some(batch) = self.batches.get(number) else { continue };
            span = (span.0.min(batch.span.0), span.1.max(batch.span.1));
            counts_matches |= batch.matched.is_some();
            let mut places = vec![0; batch.keys.len()];
            for row in (0..batch.keys.len()).filter(|row| batch.alive.get_bit(*row)) {
                places[row] = rows.len() as u32;
                rows.push(RowAt::new(*number, row));
                keys.push(batch.keys[row]);
                matched.push(batch.matched.as_ref().is_some_and(|matched| matched.get_bit(row)));
            }
            moved.places.insert(*number, places);
        }
        let columns = self.pick(&rows)?;
        let Some(schema) = poor.first().and_then(|number| self.batches.get(number)).map(|batch| batch.rows.schema()) else {
            return Ok(None);
        };
        let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let merged = RecordBatch::try_new_with_options(schema, columns, &options)?;
        for number in &poor {
            if let Some(batch) = self.batches.remove(number) {
                self.alive -= batch.alive_count;
            }
        }
        self.add(moved.batch, merged, keys.clone(), span, counts_matches.then_some(matched));
        moved.keys = keys;
        Ok(Some(moved))
    }

    pub(super) fn give(
        &mut self,
        customer: Customer,
        port: usize,
        numbers: &mut PieceNumbers,
        give: Give<'_>,
    ) -> Result<()> {
        for (number, batch) in &mut self.batches {
            let (start, end) = batch.span;
            let place = Place { customer, port: port as u32, start, end };
            let rows = (!batch.given).then(|| batch.rows.clone());
            batch.given = true;
            let all = batch.alive_count == batch.keys.len();
            let alive = (!all).then(|| batch.alive.finish_cloned());
            give(Piece { number: *number, place, rows, alive })?;
            let Some(matched) = &batch.matched else { continue };
            let rows = match batch.matched_given {
                Some(_) => None,
                None => Some(matches(*number, matched)?),
            };
            let piece = *batch.matched_given.get_or_insert_with(|| numbers.take());
            // the ports behind those of the inputs
            let place = Place { port: port as u32 + 2, ..place };
            give(Piece { number: piece, place, rows, alive: None })?;
        }
        Ok(())
    }

    /// Takes back which rows of a batch have found a partner.
    pub fn take_back_matches(&mut self, piece: u64, of_batch: u64, matched: &BooleanArray) {
        // the batch may be gone: its rows were all dead
        let Some(batch) = self.batches.get_mut(&of_batch) else { return };
        let mut bits = BooleanBufferBuilder::new(matched.len());
        bits.append_buffer(matched.values());
        batch.matched = Some(bits);
        batch.matched_given = Some(piece);
    }

    pub(super) fn bytes(&self) -> usize {
        let of = |batch: &Batch| batch.rows.get_array_memory_size() + batch.keys.len() * size_of::<KeyId>();
        self.batches.values().map(of).sum()
    }
}

fn matches(batch: u64, matched: &BooleanBufferBuilder) -> Result<RecordBatch> {
    let schema = Schema::new(vec![
        Field::new(OF_BATCH, DataType::UInt64, false),
        Field::new(MATCHED, DataType::Boolean, false),
    ]);
    let of: ArrayRef = Arc::new(UInt64Array::from(vec![batch; matched.len()]));
    let matched: ArrayRef = Arc::new(BooleanArray::new(matched.finish_cloned(), None));
    Ok(RecordBatch::try_new(Arc::new(schema), vec![of, matched])?)
}

/// What a piece says of the rows of a batch: its number, and which have found a partner.
///
/// # Errors
/// `Data` where it is no such piece.
pub fn restored_matches(rows: &RecordBatch) -> Result<(u64, BooleanArray)> {
    let wrong = || Error::data("a piece of a join's state has other columns than it should");
    let of = rows.column_by_name(OF_BATCH).and_then(|of| of.as_primitive_opt::<UInt64Type>()).ok_or_else(wrong)?;
    let matched = rows.column_by_name(MATCHED).and_then(|matched| matched.as_boolean_opt()).ok_or_else(wrong)?;
    Ok((of.values().first().copied().ok_or_else(wrong)?, matched.clone()))
}
