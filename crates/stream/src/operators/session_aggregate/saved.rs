//! Open sessions as pieces of a snapshot: a piece for each sealed batch, a row for each part.

use std::cmp::Reverse;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::{Field, Int64Type, Schema};
use datafusion::arrow::row::RowConverter;
use fyke_types::{Error, Micros, Result};

use super::spilling::Shape;
use super::{Given, Grouping, KeyId, Part, SealedBatch, Sessions};
use crate::state::Sealed;
use crate::{Customer, Give, Piece, Place};

const FIRST: &str = "first";
const LAST: &str = "last";

/// The content of a piece.
pub(super) struct SavedBatch {
    pub(super) keys: Vec<ArrayRef>,
    pub(super) first: Int64Array,
    last: Int64Array,
    pub(super) states: Vec<Vec<ArrayRef>>,
}

impl SavedBatch {
    /// Reads a piece whose keys are so many columns.
    pub(super) fn read(batch: &RecordBatch, keys: usize) -> Result<Self> {
        let times = |name: &str| -> Result<Int64Array> {
            let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
            column.cloned().ok_or_else(|| Error::data(format!("the state of sessions has no column '{name}'")))
        };
        let (first, last) = (times(FIRST)?, times(LAST)?);
        let rest: Vec<usize> = (2..batch.num_columns()).collect();
        let Sealed { keys: found, states, .. } = Sealed::from_batch(&batch.project(&rest)?)?;
        if found.len() != keys {
            return Err(Error::data(format!("the state of sessions has {} keys, the query {keys}", found.len())));
        }
        Ok(Self { keys: found, first, last, states })
    }

    /// The first and the last event of a part.
    pub(super) fn times(&self, row: usize) -> (Micros, Micros) {
        (self.first.value(row), self.last.value(row))
    }
}

impl Given {
    /// Which of the given rows are among `open`, which come in their order; none where nothing was given.
    fn alive(&self, open: impl Iterator<Item = usize>) -> Option<BooleanBuffer> {
        let mut open = open.peekable();
        match self {
            Self::Nothing => None,
            Self::All(rows) => Some(BooleanBuffer::collect_bool(*rows, |row| open.next_if_eq(&row).is_some())),
            Self::Some(rows) => {
                Some(BooleanBuffer::collect_bool(rows.len(), |at| open.next_if_eq(&rows[at]).is_some()))
            }
        }
    }
}

impl Sessions {
    /// Gives all sealed batches of which something is open, and what is on disk.
    pub(super) fn give(&mut self, customer: Customer, shape: Shape<'_>, give: Give<'_>) -> Result<()> {
        let Shape { grouping, converter, gap } = shape;
        self.cold.give(customer, gap, give)?;
        let mut open: Vec<(Part, KeyId)> = Vec::with_capacity(self.parts);
        for key in self.keys.ids() {
            open.extend(self.keys.parts(key).iter().map(|part| (*part, key)));
        }
        open.sort_unstable_by_key(|(part, _)| (part.batch, part.row));
        for parts in open.chunk_by(|(a, _), (b, _)| a.batch == b.batch) {
            let Some((Part { batch: number, .. }, _)) = parts.first().copied() else { continue };
            let place = place_of(customer, parts, gap);
            let Some(batch) = self.sealed.get(&number) else { continue };
            if let Some(alive) = batch.given.alive(parts.iter().map(|(part, _)| part.row)) {
                give(Piece { number, place, rows: None, alive: Some(alive), kept: false })?;
                continue;
            }
            give(Piece {
                number,
                place,
                rows: Some(self.rows_of(grouping, parts, converter)?),
                alive: None,
                kept: false,
            })?;
            if let Some(batch) = self.sealed.get_mut(&number) {
                // rows come in their order: if the last one is in its place, all are there
                let all = parts.last().is_some_and(|(part, _)| part.row + 1 == parts.len());
                batch.given = match all {
                    true => Given::All(parts.len()),
                    false => Given::Some(parts.iter().map(|(part, _)| part.row).collect()),
                };
            }
        }
        Ok(())
    }

    /// Parts as rows of a piece.
    pub(super) fn rows_of(
        &self,
        grouping: &Grouping,
        parts: &[(Part, KeyId)],
        converter: &RowConverter,
    ) -> Result<RecordBatch> {
        let states = self.states_of(grouping, parts.iter().map(|(part, _)| *part))?;
        let keys = self.key_columns(converter, parts.iter().map(|(_, key)| *key))?;
        let content = Sealed { keys, states, rows: parts.len() }.to_batch()?;
        let times = |of: fn(&Part) -> Micros| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(parts.iter().map(|(part, _)| of(part))))
        };
        let (first, last) = (times(|part| part.first), times(|part| part.last));
        let mut fields =
            [FIRST, LAST].map(|name| Arc::new(Field::new(name, first.data_type().clone(), false))).to_vec();
        fields.extend(content.schema().fields().iter().cloned());
        let columns = [first, last].into_iter().chain(content.columns().iter().cloned()).collect();
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }

    /// Takes back a piece; `keys` are the numbers of its rows' keys.
    pub(super) fn take_back(&mut self, piece: &Piece, content: SavedBatch, keys: &[KeyId], gap: Micros) {
        let SavedBatch { first, last, states, .. } = content;
        let mut open_parts = 0;
        for (row, key) in keys.iter().enumerate().filter(|(row, _)| piece.is_alive(*row)) {
            let part = Part { first: first.value(row), last: last.value(row), batch: piece.number, row };
            self.keys.add_part(*key, part);
            self.timers.push(Reverse((part.last.saturating_add(gap), *key)));
            open_parts += 1;
        }
        // keys of closed rows were numbered with the others
        keys.iter().for_each(|key| self.keys.release(*key));
        self.parts += open_parts;
        if open_parts > 0 {
            let given = if piece.kept { Given::All(first.len()) } else { Given::Nothing };
            self.sealed.insert(piece.number, SealedBatch { states, open_parts, given, came_back: false });
        }
    }
}

fn place_of(customer: Customer, parts: &[(Part, KeyId)], gap: Micros) -> Place {
    let start = parts.iter().map(|(part, _)| part.first).min().unwrap_or_default();
    let end = parts.iter().map(|(part, _)| part.last).max().unwrap_or_default().saturating_add(gap);
    Place { customer, port: 0, start, end }
}
