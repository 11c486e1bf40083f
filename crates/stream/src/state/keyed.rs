//! The groups of one open window where changed groups are asked for now and then: each group's state lies in one row
//! of some sealed batch, so that what it costs to ask follows the number of groups that changed.

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::{concat, filter, interleave, take};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use fyke_types::{Error, Result};

use super::{PieceNumbers, RowSet, Sealed, Shape};
use crate::{Give, Piece, Place, engine_error};

/// No row, no place.
const NONE: u32 = u32::MAX;
/// So many dead rows are not worth being moved for.
const DEAD_ROWS: usize = 4_096;

/// Where a group's state lies.
#[derive(Debug, Clone, Copy)]
struct Row {
    batch: u64,
    row: u32,
}

/// Sealed states.
struct Batch {
    content: Sealed,
    /// Rows that are a group's state now.
    alive: usize,
    /// Whether a snapshot has given it already.
    given: bool,
}

/// What came since states were sealed last.
struct Fresh {
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    /// The groups, in the order of the accumulators.
    groups: Vec<u32>,
    /// Their keys, in pieces.
    keys: Vec<Vec<ArrayRef>>,
}

/// See the module.
pub struct Keyed {
    /// Numbers the groups; none where there are no keys: one group.
    numbers: Option<Box<dyn GroupValues>>,
    /// By group: where in `fresh`, where in `batches`, and whether it changed since it was last asked for.
    fresh_at: Vec<u32>,
    sealed_at: Vec<Option<Row>>,
    is_changed: Vec<bool>,
    changed: Vec<u32>,
    fresh: Option<Fresh>,
    batches: BTreeMap<u64, Batch>,
    rows: usize,
}

/// Key columns, then results by aggregate, a row a group.
pub type KeysAndResults = (Vec<ArrayRef>, Vec<ArrayRef>);

impl Keyed {
    /// No groups.
    ///
    /// # Errors
    /// When a key type cannot be grouped.
    pub fn new(shape: Shape<'_>) -> Result<Self> {
        let numbers = match shape.keys.fields().is_empty() {
            true => None,
            false => Some(new_group_values(shape.keys.clone(), &GroupOrdering::None).map_err(engine_error)?),
        };
        let (fresh_at, sealed_at, is_changed, changed) = Default::default();
        Ok(Self { numbers, fresh_at, sealed_at, is_changed, changed, fresh: None, batches: BTreeMap::new(), rows: 0 })
    }

    /// How many groups.
    pub fn len(&self) -> usize {
        self.fresh_at.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fresh_at.is_empty()
    }

    fn number(&mut self, keys: &[ArrayRef], rows: usize, scratch: &mut Vec<usize>) -> Result<()> {
        match &mut self.numbers {
            Some(numbers) => numbers.intern(keys, scratch).map_err(engine_error)?,
            None => {
                scratch.clear();
                scratch.resize(rows, 0);
            }
        }
        let groups = match &self.numbers {
            Some(numbers) => numbers.len(),
            None => usize::from(rows > 0).max(self.fresh_at.len()),
        };
        self.fresh_at.resize(groups, NONE);
        self.sealed_at.resize(groups, None);
        self.is_changed.resize(groups, false);
        Ok(())
    }

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
        let keys = keys.iter().map(|key| rows.of(key)).collect::<Result<Vec<_>>>()?;
        self.number(&keys, rows.len(), scratch)?;
        let fresh = match &mut self.fresh {
            Some(fresh) => fresh,
            none => none.insert(Fresh { accumulators: accumulators(shape)?, groups: Vec::new(), keys: Vec::new() }),
        };
        let mut first_rows = Vec::new();
        for (row, group) in scratch.iter_mut().enumerate() {
            let at = &mut self.fresh_at[*group];
            if *at == NONE {
                *at = fresh.groups.len() as u32;
                fresh.groups.push(*group as u32);
                first_rows.push(row as u32);
                if !self.is_changed[*group] {
                    self.is_changed[*group] = true;
                    self.changed.push(*group as u32);
                }
            }
            *group = *at as usize;
        }
        if !first_rows.is_empty() && !keys.is_empty() {
            let first_rows = UInt32Array::from(first_rows);
            fresh.keys.push(keys.iter().map(|key| Ok(take(key, &first_rows, None)?)).collect::<Result<_>>()?);
        }
        let total = fresh.groups.len();
        for ((accumulator, arguments), filter) in fresh.accumulators.iter_mut().zip(arguments).zip(filters) {
            let arguments = arguments.iter().map(|argument| rows.of(argument)).collect::<Result<Vec<_>>>()?;
            let filter = filter.as_ref().map(|filter| rows.of_filter(filter)).transpose()?;
            accumulator.update_batch(&arguments, scratch, filter.as_ref(), total).map_err(engine_error)?;
        }
        Ok(())
    }

    /// Seals what came since the last call: with what was sealed of these groups before, in one new batch.
    fn seal(&mut self, shape: Shape<'_>, numbers: &mut PieceNumbers) -> Result<()> {
        let Some(mut fresh) = self.fresh.take() else { return Ok(()) };
        let rows = fresh.groups.len();
        let mut states = states_of(&mut fresh.accumulators)?;
        let before: Vec<(usize, Row)> = fresh
            .groups
            .iter()
            .enumerate()
            .filter_map(|(at, group)| Some((at, self.sealed_at[*group as usize]?)))
            .collect();
        if !before.is_empty() {
            let (mut groups, picked): (Vec<usize>, Vec<Row>) = before.into_iter().unzip();
            groups.extend(0..rows);
            let picked = self.pick(&picked)?;
            let both = picked.states.iter().zip(&states).map(|(old, new)| {
                old.iter().zip(new).map(|(old, new)| Ok(concat(&[old.as_ref(), new.as_ref()])?)).collect()
            });
            let both = both.collect::<Result<Vec<Vec<ArrayRef>>>>()?;
            // at once: accumulators take all groups of a call for seen, so that each must be among its rows
            let mut whole = accumulators(shape)?;
            merge(&mut whole, &both, &groups, rows)?;
            states = states_of(&mut whole)?;
        }
        let keys = (0..shape.keys.fields().len())
            .map(|column| {
                let pieces: Vec<&dyn Array> = fresh.keys.iter().map(|keys| keys[column].as_ref()).collect();
                Ok(concat(&pieces)?)
            })
            .collect::<Result<Vec<_>>>()?;
        let number = numbers.take();
        for (row, group) in fresh.groups.iter().enumerate() {
            self.fresh_at[*group as usize] = NONE;
            let place = Row { batch: number, row: row as u32 };
            if let Some(old) = self.sealed_at[*group as usize].replace(place) {
                self.leave(old);
            }
        }
        let content = Sealed { keys, states, rows };
        self.batches.insert(number, Batch { content, alive: rows, given: false });
        self.rows += rows;
        if self.rows > 2 * self.len() + DEAD_ROWS {
            self.compact(numbers)?;
        }
        Ok(())
    }

    /// A row is no group's state any more.
    fn leave(&mut self, old: Row) {
        let Some(batch) = self.batches.get_mut(&old.batch) else { return };
        batch.alive -= 1;
        if batch.alive == 0 {
            self.rows -= batch.content.rows;
            self.batches.remove(&old.batch);
        }
    }

    /// Moves all states into one batch.
    fn compact(&mut self, numbers: &mut PieceNumbers) -> Result<()> {
        let groups: Vec<usize> = (0..self.len()).filter(|group| self.sealed_at[*group].is_some()).collect();
        let rows: Vec<Row> = groups.iter().filter_map(|group| self.sealed_at[*group]).collect();
        let content = self.pick(&rows)?;
        let number = numbers.take();
        for (row, group) in groups.iter().enumerate() {
            self.sealed_at[*group] = Some(Row { batch: number, row: row as u32 });
        }
        self.rows = content.rows;
        let alive = content.rows;
        self.batches = BTreeMap::from([(number, Batch { content, alive, given: false })]);
        Ok(())
    }

    /// Keys and states of these rows, in their order.
    fn pick(&self, rows: &[Row]) -> Result<Sealed> {
        let mut wanted: Vec<u64> = rows.iter().map(|row| row.batch).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let gone = || Error::internal("a group has lost its state");
        let batches =
            wanted.iter().map(|number| self.batches.get(number).ok_or_else(gone)).collect::<Result<Vec<_>>>()?;
        let picks = rows
            .iter()
            .map(|row| Ok((wanted.binary_search(&row.batch).map_err(|_| gone())?, row.row as usize)))
            .collect::<Result<Vec<_>>>()?;
        let Some(first) = batches.first().map(|batch| &batch.content) else {
            return Ok(Sealed { keys: Vec::new(), states: Vec::new(), rows: 0 });
        };
        let column = |of: &dyn Fn(&Sealed) -> ArrayRef| -> Result<ArrayRef> {
            let columns: Vec<ArrayRef> = batches.iter().map(|batch| of(&batch.content)).collect();
            let columns: Vec<&dyn Array> = columns.iter().map(|column| column.as_ref()).collect();
            Ok(interleave(&columns, &picks)?)
        };
        let keys = (0..first.keys.len()).map(|at| column(&|sealed| ArrayRef::clone(&sealed.keys[at])));
        let states = first.states.iter().enumerate().map(|(aggregate, columns)| {
            let of = |at: usize| column(&move |sealed: &Sealed| ArrayRef::clone(&sealed.states[aggregate][at]));
            (0..columns.len()).map(of).collect::<Result<Vec<_>>>()
        });
        Ok(Sealed { keys: keys.collect::<Result<_>>()?, states: states.collect::<Result<_>>()?, rows: rows.len() })
    }

    fn evaluate(&self, shape: Shape<'_>, rows: &[Row]) -> Result<KeysAndResults> {
        let Sealed { keys, states, rows } = self.pick(rows)?;
        let mut whole = accumulators(shape)?;
        merge(&mut whole, &states, &(0..rows).collect::<Vec<_>>(), rows)?;
        let results = whole
            .iter_mut()
            .map(|accumulator| accumulator.evaluate(EmitTo::All).map_err(engine_error))
            .collect::<Result<_>>()?;
        Ok((keys, results))
    }

    /// The groups that changed since the last call, and how many they are.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn take_changed(
        &mut self,
        shape: Shape<'_>,
        numbers: &mut PieceNumbers,
    ) -> Result<Option<(usize, KeysAndResults)>> {
        self.seal(shape, numbers)?;
        let changed = std::mem::take(&mut self.changed);
        changed.iter().for_each(|group| self.is_changed[*group as usize] = false);
        if changed.is_empty() {
            return Ok(None);
        }
        let rows: Vec<Row> = changed.iter().filter_map(|group| self.sealed_at[*group as usize]).collect();
        Ok(Some((rows.len(), self.evaluate(shape, &rows)?)))
    }

    /// All groups: keys and states.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn all(&mut self, shape: Shape<'_>, numbers: &mut PieceNumbers) -> Result<Sealed> {
        self.seal(shape, numbers)?;
        let rows: Vec<Row> = self.sealed_at.iter().copied().flatten().collect();
        self.pick(&rows)
    }

    /// All groups at the end, a row each.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn emit(mut self, shape: Shape<'_>, numbers: &mut PieceNumbers) -> Result<(usize, KeysAndResults)> {
        self.seal(shape, numbers)?;
        let rows: Vec<Row> = self.sealed_at.iter().copied().flatten().collect();
        Ok((rows.len(), self.evaluate(shape, &rows)?))
    }

    /// The states as pieces of a snapshot; rows only of those that were not given before.
    ///
    /// # Errors
    /// The accumulators' and Arrow's.
    pub fn give(&mut self, shape: Shape<'_>, place: Place, numbers: &mut PieceNumbers, give: Give<'_>) -> Result<()> {
        self.seal(shape, numbers)?;
        let mut alive: BTreeMap<u64, Vec<bool>> = BTreeMap::new();
        for Row { batch, row } in self.sealed_at.iter().copied().flatten() {
            let Some(rows) = self.batches.get(&batch).map(|batch| batch.content.rows) else { continue };
            alive.entry(batch).or_insert_with(|| vec![false; rows])[row as usize] = true;
        }
        for (number, batch) in &mut self.batches {
            let rows = if batch.given { None } else { Some(batch.content.to_batch()?) };
            batch.given = true;
            let dead = batch.alive < batch.content.rows;
            let alive = alive.get(number).filter(|_| dead).map(|alive| BooleanBuffer::from(alive.as_slice()));
            give(Piece { number: *number, place, rows, alive, kept: false })?;
        }
        Ok(())
    }

    /// Takes back a piece that a snapshot gave. Its groups count as changed.
    ///
    /// # Errors
    /// `Data` where its columns are not those of such states.
    pub fn take_back(&mut self, piece: &Piece, scratch: &mut Vec<usize>) -> Result<()> {
        let content = Sealed::from_batch(piece.content()?)?;
        let rows: Vec<u32> = (0..content.rows as u32).filter(|row| piece.is_alive(*row as usize)).collect();
        let alive = BooleanArray::from_iter((0..content.rows).map(|row| Some(piece.is_alive(row))));
        let keys = content.keys.iter().map(|key| Ok(filter(key, &alive)?)).collect::<Result<Vec<_>>>()?;
        self.number(&keys, rows.len(), scratch)?;
        for (row, group) in rows.iter().zip(scratch.iter()) {
            self.sealed_at[*group] = Some(Row { batch: piece.number, row: *row });
            if !self.is_changed[*group] {
                self.is_changed[*group] = true;
                self.changed.push(*group as u32);
            }
        }
        self.rows += content.rows;
        self.batches.insert(piece.number, Batch { content, alive: rows.len(), given: piece.kept });
        Ok(())
    }

    /// Bytes, as the parts report them.
    pub fn bytes(&self) -> usize {
        let fresh = self.fresh.iter().flat_map(|fresh| &fresh.accumulators).map(|accumulator| accumulator.size());
        self.numbers.as_ref().map_or(0, |numbers| numbers.size())
            + self.batches.values().map(|batch| batch.content.bytes()).sum::<usize>()
            + fresh.sum::<usize>()
            + self.len() * (size_of::<u32>() + size_of::<Option<Row>>() + size_of::<bool>())
    }
}

fn accumulators(shape: Shape<'_>) -> Result<Vec<Box<dyn GroupsAccumulator>>> {
    shape.aggregates.iter().map(|aggregate| (aggregate.accumulator)().map_err(engine_error)).collect()
}

fn states_of(accumulators: &mut [Box<dyn GroupsAccumulator>]) -> Result<Vec<Vec<ArrayRef>>> {
    accumulators.iter_mut().map(|accumulator| accumulator.state(EmitTo::All).map_err(engine_error)).collect()
}

fn merge(
    into: &mut [Box<dyn GroupsAccumulator>],
    states: &[Vec<ArrayRef>],
    groups: &[usize],
    total: usize,
) -> Result<()> {
    let mut pairs = into.iter_mut().zip(states);
    pairs.try_for_each(|(accumulator, states)| accumulator.merge_batch(states, groups, total).map_err(engine_error))
}
