//! Groups and accumulators of one open window or pane.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use fyke_types::{Error, Result};

use super::{Aggregate, RowSet};
use crate::engine_error;

/// One store: its window is not among its keys. Emitting consumes it, since DataFusion's group values are not usable
/// after `emit(All)`.
pub struct Store {
    /// None where there are no keys: one group.
    groups: Option<Box<dyn GroupValues>>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
}

/// A store that takes no more rows: keys and partial states, a row a group.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// By key column.
    pub keys: Vec<ArrayRef>,
    /// By aggregate, by state column.
    pub states: Vec<Vec<ArrayRef>>,
    /// How many groups.
    pub rows: usize,
}

impl Store {
    /// An empty store.
    ///
    /// # Errors
    /// When a key type cannot be grouped.
    pub fn new(keys: &SchemaRef, aggregates: &[Aggregate]) -> Result<Self> {
        let groups = if keys.fields().is_empty() {
            None
        } else {
            Some(new_group_values(SchemaRef::clone(keys), &GroupOrdering::None).map_err(engine_error)?)
        };
        let accumulators = aggregates.iter().map(|a| (a.accumulator)().map_err(engine_error)).collect::<Result<_>>()?;
        Ok(Self { groups, accumulators })
    }

    /// How many groups.
    pub fn len(&self) -> usize {
        self.groups.as_ref().map_or(1, |groups| groups.len())
    }

    /// Whether it holds no group; without keys there is always one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes, as its parts report them.
    pub fn bytes(&self) -> usize {
        self.groups.as_ref().map_or(0, |groups| groups.size())
            + self.accumulators.iter().map(|accumulator| accumulator.size()).sum::<usize>()
    }

    /// Adds rows. `scratch` is reused between calls.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn update(
        &mut self,
        rows: &RowSet,
        keys: &[ArrayRef],
        arguments: &[Vec<ArrayRef>],
        filters: &[Option<BooleanArray>],
        scratch: &mut Vec<usize>,
    ) -> Result<()> {
        let keys = keys.iter().map(|key| rows.of(key)).collect::<Result<Vec<_>>>()?;
        let groups = self.intern(&keys, rows.len(), scratch)?;
        for ((accumulator, arguments), filter) in self.accumulators.iter_mut().zip(arguments).zip(filters) {
            let arguments = arguments.iter().map(|argument| rows.of(argument)).collect::<Result<Vec<_>>>()?;
            let filter = filter.as_ref().map(|filter| rows.of_filter(filter)).transpose()?;
            accumulator.update_batch(&arguments, scratch, filter.as_ref(), groups).map_err(engine_error)?;
        }
        Ok(())
    }

    /// Adds partial states of another store.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn merge(&mut self, sealed: &Sealed, scratch: &mut Vec<usize>) -> Result<()> {
        let groups = self.intern(&sealed.keys, sealed.rows, scratch)?;
        for (accumulator, states) in self.accumulators.iter_mut().zip(&sealed.states) {
            accumulator.merge_batch(states, scratch, groups).map_err(engine_error)?;
        }
        Ok(())
    }

    fn intern(&mut self, keys: &[ArrayRef], rows: usize, scratch: &mut Vec<usize>) -> Result<usize> {
        let Some(groups) = &mut self.groups else {
            scratch.clear();
            scratch.resize(rows, 0);
            return Ok(1);
        };
        groups.intern(keys, scratch).map_err(engine_error)?;
        Ok(groups.len())
    }

    /// Keys and results of all groups, a row each.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn emit(mut self) -> Result<(usize, Vec<ArrayRef>, Vec<ArrayRef>)> {
        let rows = self.len();
        let keys = self.emit_keys()?;
        let results = self
            .accumulators
            .iter_mut()
            .map(|accumulator| accumulator.evaluate(EmitTo::All).map_err(engine_error))
            .collect::<Result<_>>()?;
        Ok((rows, keys, results))
    }

    /// Keys and partial states of all groups.
    ///
    /// # Errors
    /// The accumulators'.
    pub fn seal(mut self) -> Result<Sealed> {
        let rows = self.len();
        let keys = self.emit_keys()?;
        let states = self
            .accumulators
            .iter_mut()
            .map(|accumulator| accumulator.state(EmitTo::All).map_err(engine_error))
            .collect::<Result<_>>()?;
        Ok(Sealed { keys, states, rows })
    }

    fn emit_keys(&mut self) -> Result<Vec<ArrayRef>> {
        match &mut self.groups {
            Some(groups) => groups.emit(EmitTo::All).map_err(engine_error),
            None => Ok(Vec::new()),
        }
    }
}

/// Some of all groups, by the hash of their keys: what is larger than memory is put together in several passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// Which one, from 0.
    pub number: usize,
    /// Of so many.
    pub of: usize,
}

impl Pass {
    /// The only one.
    pub const ALL: Self = Self { number: 0, of: 1 };
}

impl Sealed {
    /// The groups that a pass takes.
    ///
    /// # Errors
    /// Arrow's.
    pub fn of_pass(&self, pass: Pass) -> Result<Self> {
        if pass.of == 1 || self.keys.is_empty() {
            return Ok(self.clone());
        }
        let mut hashes = vec![0; self.rows];
        // another seed than that of slots: a worker's groups are to be spread over all passes
        create_hashes(&self.keys, &RandomState::with_seed(1), &mut hashes).map_err(engine_error)?;
        let of = pass.of as u64;
        let rows = hashes.iter().enumerate().filter(|(_, hash)| **hash % of == pass.number as u64);
        let rows = UInt32Array::from_iter_values(rows.map(|(row, _)| row as u32));
        let some = |columns: &[ArrayRef]| -> Result<Vec<ArrayRef>> {
            columns.iter().map(|column| Ok(take(column, &rows, None)?)).collect()
        };
        let states = self.states.iter().map(|columns| some(columns)).collect::<Result<_>>()?;
        Ok(Self { keys: some(&self.keys)?, states, rows: rows.len() })
    }

    /// Bytes of its arrays.
    pub fn bytes(&self) -> usize {
        let arrays = self.keys.iter().chain(self.states.iter().flatten());
        arrays.map(|array| array.get_array_memory_size()).sum()
    }

    /// As rows: the key columns `k`, then the state columns of each aggregate `s0`, `s1`, ….
    ///
    /// # Errors
    /// Arrow's.
    pub fn to_batch(&self) -> Result<RecordBatch> {
        let keys = self.keys.iter().map(|key| ("k".to_owned(), key));
        let states = self.states.iter().enumerate();
        let states = states.flat_map(|(at, columns)| columns.iter().map(move |column| (format!("s{at}"), column)));
        let (names, columns): (Vec<String>, Vec<ArrayRef>) =
            keys.chain(states).map(|(name, column)| (name, ArrayRef::clone(column))).unzip();
        let fields = names.into_iter().zip(&columns).map(|(name, c)| Field::new(name, c.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let rows = RecordBatchOptions::new().with_row_count(Some(self.rows));
        Ok(RecordBatch::try_new_with_options(schema, columns, &rows)?)
    }

    /// What [`Sealed::to_batch`] gave.
    ///
    /// # Errors
    /// `Data` for columns of other names.
    pub fn from_batch(batch: &RecordBatch) -> Result<Self> {
        let mut sealed = Self { keys: Vec::new(), states: Vec::new(), rows: batch.num_rows() };
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            match field.name().strip_prefix('s').map(str::parse::<usize>) {
                Some(Ok(aggregate)) => {
                    if sealed.states.len() <= aggregate {
                        sealed.states.resize(aggregate + 1, Vec::new());
                    }
                    sealed.states[aggregate].push(ArrayRef::clone(column));
                }
                _ if field.name() == "k" => sealed.keys.push(ArrayRef::clone(column)),
                _ => return Err(Error::data(format!("a group's state has no column '{}'", field.name()))),
            }
        }
        Ok(sealed)
    }
}
