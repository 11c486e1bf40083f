//! The groups of one window or pane: an open store that takes rows, and sealed parts that never change.
//!
//! Sealing costs what has changed since the last seal, and a sealed part needs to be written to a checkpoint once.

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::SchemaRef;
use fyke_types::Result;

use super::{Aggregate, RowSet, Sealed, Store};
use crate::{Give, Piece, Place};

/// Gives each piece of an operator's state a number of its own.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct PieceNumbers(u64);

impl PieceNumbers {
    /// Numbers from `next` on.
    pub fn from(next: u64) -> Self {
        Self(next)
    }

    /// The next number.
    pub fn take(&mut self) -> u64 {
        self.0 += 1;
        self.0 - 1
    }

    /// The number that would be next.
    pub fn next(&self) -> u64 {
        self.0
    }
}

struct Part {
    number: u64,
    sealed: Sealed,
    /// Whether a snapshot has given it already.
    given: bool,
}

/// See the module.
#[derive(Default)]
pub struct Parts {
    open: Option<Store>,
    sealed: Vec<Part>,
}

/// What a store is made of.
#[derive(Clone, Copy)]
pub struct Shape<'a> {
    /// Types of the keys.
    pub keys: &'a SchemaRef,
    /// The aggregates.
    pub aggregates: &'a [Aggregate],
}

impl Shape<'_> {
    fn store(&self) -> Result<Store> {
        Store::new(self.keys, self.aggregates)
    }
}

impl Parts {
    /// Adds rows. `scratch` is reused between calls.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn update(
        &mut self,
        shape: Shape<'_>,
        rows: &RowSet,
        keys: &[ArrayRef],
        arguments: &[Vec<ArrayRef>],
        filters: &[Option<BooleanArray>],
        scratch: &mut Vec<usize>,
    ) -> Result<()> {
        let store = match &mut self.open {
            Some(store) => store,
            none => none.insert(shape.store()?),
        };
        store.update(rows, keys, arguments, filters, scratch)
    }

    /// Seals what has come since the last call. Parts that are not much larger than the ones behind them are merged, so
    /// that their number stays logarithmic in the number of seals.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn seal(&mut self, shape: Shape<'_>, numbers: &mut PieceNumbers, scratch: &mut Vec<usize>) -> Result<()> {
        let Some(store) = self.open.take() else { return Ok(()) };
        self.sealed.push(Part { number: numbers.take(), sealed: store.seal()?, given: false });
        while let [.., before, last] = self.sealed.as_slice()
            && before.sealed.rows <= 2 * last.sealed.rows
        {
            let mut whole = shape.store()?;
            whole.merge(&before.sealed, scratch)?;
            whole.merge(&last.sealed, scratch)?;
            self.sealed.truncate(self.sealed.len() - 2);
            self.sealed.push(Part { number: numbers.take(), sealed: whole.seal()?, given: false });
        }
        Ok(())
    }

    /// Adds all groups to `whole`; what is open is sealed first, since accumulators give their state only once.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn merge_into(
        &mut self,
        whole: &mut Store,
        numbers: &mut PieceNumbers,
        scratch: &mut Vec<usize>,
    ) -> Result<()> {
        if let Some(store) = self.open.take() {
            self.sealed.push(Part { number: numbers.take(), sealed: store.seal()?, given: false });
        }
        self.sealed.iter().try_for_each(|part| whole.merge(&part.sealed, scratch))
    }

    /// Keys and results of all groups, a row each.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn emit(mut self, shape: Shape<'_>, scratch: &mut Vec<usize>) -> Result<(usize, Vec<ArrayRef>, Vec<ArrayRef>)> {
        if self.sealed.is_empty()
            && let Some(store) = self.open.take()
        {
            return store.emit();
        }
        let mut whole = shape.store()?;
        self.merge_into(&mut whole, &mut PieceNumbers::default(), scratch)?;
        whole.emit()
    }

    /// The sealed parts as pieces of a snapshot; rows only of those that were not given before.
    ///
    /// # Errors
    /// Arrow's.
    pub fn give(&mut self, place: Place, give: Give<'_>) -> Result<()> {
        for part in &mut self.sealed {
            let rows = if part.given { None } else { Some(part.sealed.to_batch()?) };
            part.given = true;
            give(Piece { number: part.number, place, rows, alive: None, kept: false })?;
        }
        Ok(())
    }

    /// Takes back a piece that a snapshot gave.
    ///
    /// # Errors
    /// `Data` where its columns are not those of such a part.
    pub fn take_back(&mut self, piece: &Piece) -> Result<()> {
        let sealed = Sealed::from_batch(piece.content()?)?;
        self.sealed.push(Part { number: piece.number, sealed, given: piece.kept });
        Ok(())
    }

    /// Groups, counted once for each part that has them.
    pub fn rows(&self) -> usize {
        self.open.as_ref().map_or(0, Store::len) + self.sealed.iter().map(|part| part.sealed.rows).sum::<usize>()
    }

    /// Bytes, as the parts report them.
    pub fn bytes(&self) -> usize {
        self.open.as_ref().map_or(0, Store::bytes) + self.sealed.iter().map(|part| part.sealed.bytes()).sum::<usize>()
    }
}
