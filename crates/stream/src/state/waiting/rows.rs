//! The content of waiting rows: batches that never change, of which ever fewer rows are alive.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanBufferBuilder, RecordBatch, RecordBatchOptions, UInt32Array};
use datafusion::arrow::compute::{interleave, take_record_batch};
use fyke_types::{Error, Micros, Result};

use super::{KeyId, RowAt};
use crate::state::{HeldRows, PieceNumbers, Spill};
use crate::{Customer, Give, Piece, Place};

/// So many batches may be small or mostly dead before they are merged.
const POOR_BATCHES: usize = 32;

/// A batch with fewer rows alive is small.
const SMALL: usize = 1_024;

struct Batch {
    rows: HeldRows,
    keys: Vec<KeyId>,
    alive: BooleanBufferBuilder,
    alive_count: usize,
    /// The least time and the last mark of its rows, for a person.
    span: (Micros, Micros),
    /// Whether a snapshot has given it already.
    given: bool,
    /// Which rows have found a partner, where that matters.
    matched: Matched,
}

/// Which rows of a batch have found a partner.
enum Matched {
    Nobody,
    Some(BooleanBufferBuilder),
    All,
}

impl Matched {
    fn has(&self, row: usize) -> bool {
        match self {
            Self::Nobody => false,
            Self::Some(rows) => rows.get_bit(row),
            Self::All => true,
        }
    }
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
    /// By old batch: the new row of each row that has moved.
    places: BTreeMap<u64, Vec<Option<u32>>>,
    batch: u64,
}

impl Moved {
    /// Corrects the place of a row, if it has moved.
    pub(super) fn follow(&self, row: &mut RowAt) {
        let moved = self.places.get(&row.batch).and_then(|places| places[row.row as usize]);
        if let Some(moved) = moved {
            *row = RowAt { batch: self.batch, row: moved };
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
        let matched = match matched {
            Some(matched) if matched.iter().all(|matched| *matched) => Matched::All,
            Some(matched) if matched.contains(&true) => {
                let mut bits = BooleanBufferBuilder::new(count);
                bits.append_slice(&matched);
                Matched::Some(bits)
            }
            _ => Matched::Nobody,
        };
        self.alive += count;
        let rows = HeldRows::Memory(rows);
        self.batches.insert(number, Batch { rows, keys, alive, alive_count: count, span, given: false, matched });
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
        self.batches.get(&at.batch).is_some_and(|batch| batch.matched.has(at.row as usize))
    }

    /// Notes that a row has found a partner; true the first time.
    pub fn set_matched(&mut self, at: RowAt) -> bool {
        let Some(batch) = self.batches.get_mut(&at.batch) else { return false };
        if batch.matched.has(at.row as usize) {
            return false;
        }
        if let Matched::Nobody = batch.matched {
            let mut bits = BooleanBufferBuilder::new(batch.keys.len());
            bits.append_n(batch.keys.len(), false);
            batch.matched = Matched::Some(bits);
        }
        if let Matched::Some(bits) = &mut batch.matched {
            bits.set_bit(at.row as usize, true);
        }
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
        let at = |row: &RowAt| numbers.binary_search(&row.batch).map_err(|_| Error::internal("no batch"));
        let mut places = rows.iter().map(|row| Ok((at(row)?, row.row as usize))).collect::<Result<Vec<_>>>()?;
        let mut batches = Vec::with_capacity(numbers.len());
        for (at, number) in numbers.iter().enumerate() {
            let batch = self.batches.get(number);
            let batch = batch.ok_or_else(|| Error::internal("a waiting row has lost its content"))?;
            batches.push(match &batch.rows {
                HeldRows::Memory(rows) => rows.clone(),
                // one after the other: memory may have no room for all of them
                HeldRows::Disk(spilled) => {
                    let mut own: Vec<&mut usize> =
                        places.iter_mut().filter(|(of, _)| *of == at).map(|(_, row)| row).collect();
                    let wanted = UInt32Array::from_iter_values(own.iter().map(|row| **row as u32));
                    own.iter_mut().enumerate().for_each(|(place, row)| **row = place);
                    take_record_batch(&spilled.read()?, &wanted)?
                }
            });
        }
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
        let poor = self.batches.iter().filter(|(_, batch)| batch.is_poor()).map(|(number, _)| *number);
        let poor: Vec<u64> = poor.collect();
        if poor.len() <= POOR_BATCHES {
            return Ok(None);
        }
        self.gather(&poor, numbers, |_, _| true)
    }

    /// Puts rows that have found a partner into a batch of their own: a batch that was given must not change.
    pub(super) fn separate_matched(&mut self, numbers: &mut PieceNumbers) -> Result<Option<Moved>> {
        let mixed = self.batches.iter().filter(|(_, batch)| matches!(batch.matched, Matched::Some(_)));
        let mixed: Vec<u64> = mixed.map(|(number, _)| *number).collect();
        let moved = self.gather(&mixed, numbers, |batch, row| batch.matched.has(row))?;
        for number in mixed {
            if let Some(batch) = self.batches.get_mut(&number) {
                batch.matched = Matched::Nobody;
            }
        }
        Ok(moved)
    }

    /// Moves the rows of these batches that are alive and wanted into a new one.
    fn gather(
        &mut self,
        from: &[u64],
        numbers: &mut PieceNumbers,
        wanted: impl Fn(&Batch, usize) -> bool,
    ) -> Result<Option<Moved>> {
        let (mut rows, mut matched) = (Vec::new(), Vec::new());
        let mut moved = Moved { keys: Vec::new(), places: BTreeMap::new(), batch: numbers.next() };
        let mut span = (Micros::MAX, Micros::MIN);
        let mut schema = None;
        for number in from {
            let Some(batch) = self.batches.get(number) else { continue };
            span = (span.0.min(batch.span.0), span.1.max(batch.span.1));
            let mut places = vec![None; batch.keys.len()];
            for row in (0..batch.keys.len()).filter(|row| batch.alive.get_bit(*row) && wanted(batch, *row)) {
                places[row] = Some(rows.len() as u32);
                rows.push(RowAt::new(*number, row));
                moved.keys.push(batch.keys[row]);
                matched.push(batch.matched.has(row));
            }
            moved.places.insert(*number, places);
            schema = schema.or(Some(batch.rows.read()?.schema()));
        }
        let Some(schema) = schema.filter(|_| !rows.is_empty()) else { return Ok(None) };
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let together = RecordBatch::try_new_with_options(schema, self.pick(&rows)?, &options)?;
        rows.into_iter().for_each(|row| self.remove(row));
        self.add(numbers.take(), together, moved.keys.clone(), span, Some(matched));
        Ok(Some(moved))
    }

    /// Gives the batches as pieces; those of rows that have found a partner on a port behind those of the inputs.
    pub(super) fn give(&mut self, customer: Customer, port: usize, give: Give<'_>) -> Result<()> {
        for (number, batch) in &mut self.batches {
            let port = if matches!(batch.matched, Matched::All) { port + 2 } else { port };
            let (start, end) = batch.span;
            let place = Place { customer, port: port as u32, start, end };
            let rows = if batch.given { None } else { Some(batch.rows.read()?) };
            batch.given = true;
            let all = batch.alive_count == batch.keys.len();
            let alive = (!all).then(|| batch.alive.finish_cloned());
            give(Piece { number: *number, place, rows, alive, kept: false })?;
        }
        Ok(())
    }

    /// Moves about so many bytes to disk, what came first before the others. Returns the bytes of memory that are free
    /// now.
    pub(super) fn spill(&mut self, to: &Arc<Spill>, bytes: usize) -> Result<usize> {
        let mut free = 0;
        for batch in self.batches.values_mut() {
            if free >= bytes {
                break;
            }
            free += batch.rows.spill(to)?;
        }
        Ok(free)
    }

    pub(super) fn bytes(&self) -> usize {
        let of = |batch: &Batch| batch.rows.bytes() + batch.keys.len() * size_of::<KeyId>();
        self.batches.values().map(of).sum()
    }
}
