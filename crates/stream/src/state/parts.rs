//! The groups of one window or pane: an open store that takes rows, and sealed parts that never change.
//!
//! Sealing costs what has changed since the last seal, and a sealed part needs to be written to a checkpoint once.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use fyke_types::Result;

use super::{Aggregate, Pass, RowSet, Sealed, Spill, Spilled, Store};
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

/// A sealed store, wherever there was room for it.
enum Held {
    Memory(Sealed),
    Disk(Spilled),
}

impl Held {
    fn rows(&self) -> usize {
        match self {
            Self::Memory(sealed) => sealed.rows,
            Self::Disk(spilled) => spilled.rows(),
        }
    }

    fn of_pass(&self, pass: Pass) -> Result<Sealed> {
        match self {
            Self::Memory(sealed) => sealed.of_pass(pass),
            Self::Disk(spilled) => Sealed::from_batch(&spilled.read()?)?.of_pass(pass),
        }
    }

    fn to_batch(&self) -> Result<RecordBatch> {
        match self {
            Self::Memory(sealed) => sealed.to_batch(),
            Self::Disk(spilled) => spilled.read(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Memory(sealed) => sealed.bytes(),
            Self::Disk(_) => 0,
        }
    }
}

struct Part {
    number: u64,
    held: Held,
    /// Whether a snapshot has given it already.
    given: bool,
}

impl Part {
    fn new(number: u64, sealed: Sealed) -> Self {
        Self { number, held: Held::Memory(sealed), given: false }
    }
}

/// Takes the groups of a window: how many, their keys, their results.
pub type TakeGroups<'a> = &'a mut dyn FnMut(usize, Vec<ArrayRef>, Vec<ArrayRef>) -> Result<()>;

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

    /// Adds groups that were gathered elsewhere. `scratch` is reused between calls.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn merge(&mut self, shape: Shape<'_>, groups: &Sealed, scratch: &mut Vec<usize>) -> Result<()> {
        let store = match &mut self.open {
            Some(store) => store,
            none => none.insert(shape.store()?),
        };
        store.merge(groups, scratch)
    }

    /// Seals what has come since the last call. Parts that are not much larger than the ones behind them are merged, so
    /// that their number stays logarithmic in the number of seals.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn seal(&mut self, shape: Shape<'_>, numbers: &mut PieceNumbers, scratch: &mut Vec<usize>) -> Result<()> {
        let Some(store) = self.open.take() else { return Ok(()) };
        self.sealed.push(Part::new(numbers.take(), store.seal()?));
        while let [.., before, last] = self.sealed.as_slice()
            && let (Held::Memory(before), Held::Memory(last)) = (&before.held, &last.held)
            && before.rows <= 2 * last.rows
        {
            let mut whole = shape.store()?;
            whole.merge(before, scratch)?;
            whole.merge(last, scratch)?;
            self.sealed.truncate(self.sealed.len() - 2);
            self.sealed.push(Part::new(numbers.take(), whole.seal()?));
        }
        Ok(())
    }

    /// Moves what it can to disk: groups that wait for their window to close. What is open is sealed before. Returns the
    /// bytes of memory that are free now.
    ///
    /// # Errors
    /// The accumulators', and `Unavailable` where the disk fails.
    pub fn spill(
        &mut self,
        shape: Shape<'_>,
        numbers: &mut PieceNumbers,
        scratch: &mut Vec<usize>,
        to: &Arc<Spill>,
    ) -> Result<usize> {
        let open = self.open.as_ref().map_or(0, Store::bytes);
        let before = self.bytes();
        if open >= to.smallest() {
            self.seal(shape, numbers, scratch)?;
        }
        for part in &mut self.sealed {
            if let Held::Memory(sealed) = &part.held
                && sealed.bytes() >= to.smallest()
            {
                part.held = Held::Disk(to.write(&sealed.to_batch()?)?);
            }
        }
        Ok(before.saturating_sub(self.bytes()))
    }

    /// In how many passes the groups of these windows or panes are put together, so that memory has room for each.
    pub fn passes<'a>(of: impl Iterator<Item = &'a Self>) -> usize {
        let (mut disk, mut memory) = (Vec::new(), 0);
        for parts in of {
            memory += parts.bytes();
            disk.extend(parts.sealed.iter().filter_map(|part| match &part.held {
                Held::Disk(spilled) => Some(spilled),
                Held::Memory(_) => None,
            }));
        }
        Spilled::passes(&disk, memory)
    }

    /// Adds the groups of a pass to `whole`; what is open is sealed first, since accumulators give their state only once.
    ///
    /// # Errors
    /// The accumulators', and `Unavailable` where the disk fails.
    pub fn merge_into(
        &mut self,
        whole: &mut Store,
        pass: Pass,
        numbers: &mut PieceNumbers,
        scratch: &mut Vec<usize>,
    ) -> Result<()> {
        if let Some(store) = self.open.take() {
            self.sealed.push(Part::new(numbers.take(), store.seal()?));
        }
        self.sealed.iter().try_for_each(|part| match &part.held {
            Held::Memory(sealed) if pass == Pass::ALL => whole.merge(sealed, scratch),
            held => whole.merge(&held.of_pass(pass)?, scratch),
        })
    }

    /// Keys and results of all groups, a row each, to `take`: at once, unless some of them are on disk.
    ///
    /// # Errors
    /// The accumulators', `Unavailable` where the disk fails, and what `take` fails with.
    pub fn emit(mut self, shape: Shape<'_>, scratch: &mut Vec<usize>, take: TakeGroups<'_>) -> Result<()> {
        if self.sealed.is_empty()
            && let Some(store) = self.open.take()
        {
            let (rows, keys, results) = store.emit()?;
            return take(rows, keys, results);
        }
        // without keys there is one group
        let of = if shape.keys.fields().is_empty() { 1 } else { Self::passes(std::iter::once(&self)) };
        for number in 0..of {
            let mut whole = shape.store()?;
            self.merge_into(&mut whole, Pass { number, of }, &mut PieceNumbers::default(), scratch)?;
            let (rows, keys, results) = whole.emit()?;
            take(rows, keys, results)?;
        }
        Ok(())
    }

    /// The sealed parts as pieces of a snapshot; rows only of those that were not given before.
    ///
    /// # Errors
    /// Arrow's.
    pub fn give(&mut self, place: Place, give: Give<'_>) -> Result<()> {
        for part in &mut self.sealed {
            let rows = if part.given { None } else { Some(part.held.to_batch()?) };
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
        self.sealed.push(Part { number: piece.number, held: Held::Memory(sealed), given: piece.kept });
        Ok(())
    }

    /// Groups, counted once for each part that has them.
    pub fn rows(&self) -> usize {
        self.open.as_ref().map_or(0, Store::len) + self.sealed.iter().map(|part| part.held.rows()).sum::<usize>()
    }

    /// Bytes of memory, as the parts report them.
    pub fn bytes(&self) -> usize {
        self.open.as_ref().map_or(0, Store::bytes) + self.sealed.iter().map(|part| part.held.bytes()).sum::<usize>()
    }
}
