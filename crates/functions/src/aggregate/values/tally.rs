//! Distinct values by group, with or without how often each came: one table of (group, value's number).

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, UInt64Array};
use datafusion::arrow::datatypes::{DataType, UInt64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::encode::{Encoder, mix};
use super::interner::{Interner, too_many};
use crate::aggregate::function::Keeping;
use crate::aggregate::grouped::Rows;
use crate::aggregate::lists::{as_lists, as_numbers, as_pairs, list_of, lists, pair_type, pairs, span};

/// How much is known of each value of a group: that it came (`()`), or how often (`u64`).
pub(crate) trait Weight: Copy + Send + Sync + 'static {
    /// Whether the state holds counts.
    const COUNTED: bool;
    fn new(count: u64) -> Self;
    fn add(&mut self, count: u64);
    fn count(self) -> u64;
}

impl Weight for () {
    const COUNTED: bool = false;
    fn new(_: u64) -> Self {}
    fn add(&mut self, _: u64) {}
    fn count(self) -> u64 {
        1
    }
}

impl Weight for u64 {
    const COUNTED: bool = true;
    fn new(count: u64) -> Self {
        count
    }
    fn add(&mut self, count: u64) {
        *self += count;
    }
    fn count(self) -> u64 {
        self
    }
}

/// What is made of a group's values in the end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Summary {
    /// How many there are.
    Distinct,
    /// A number of their counts, which come in no order; it is not asked for a group without values.
    OfCounts(fn(&mut Vec<u64>) -> f64),
}

const VALUE: &str = "value";

/// Values by group.
pub(crate) struct Tallies<W> {
    summary: Summary,
    interner: Interner,
    /// Groups that were emitted stay in the table until they are its greater part: the number of the first live one.
    base: u32,
    table: HashTable<Pair<W>>,
    /// Distinct values of each live group.
    distinct: Vec<i64>,
    /// Pairs of groups that were emitted.
    dead: usize,
}

/// A group (upper half of the key), a value's number (lower half), and what is known of both together.
#[derive(Clone, Copy)]
struct Pair<W> {
    key: u64,
    weight: W,
}

impl<W> Pair<W> {
    fn group(&self) -> u32 {
        (self.key >> 32) as u32
    }

    fn id(&self) -> u32 {
        self.key as u32
    }
}

impl<W: Weight> Tallies<W> {
    /// # Errors
    /// When values of this type can't be compared.
    pub(crate) fn new(value_type: &DataType, summary: Summary) -> Result<Self> {
        Ok(Self::with(Interner::new(Encoder::new(value_type)?), summary))
    }

    fn with(interner: Interner, summary: Summary) -> Self {
        Self { summary, interner, base: 0, table: HashTable::new(), distinct: Vec::new(), dead: 0 }
    }

    /// The column of its state.
    pub(crate) fn state_type(value_type: &DataType) -> DataType {
        if W::COUNTED { list_of(pair_type(VALUE, value_type.clone())) } else { list_of(value_type.clone()) }
    }

    /// Adds values: (row, (group, count)) for each, the rows not null.
    fn add(&mut self, column: &ArrayRef, rows: impl Iterator<Item = (usize, (usize, u64))>) -> Result<()> {
        // keys hold 32 bits of group
        u32::try_from(self.distinct.len()).ok().and_then(|live| live.checked_add(self.base)).ok_or_else(too_many)?;
        let Self { interner, table, distinct, base, .. } = self;
        interner.intern(column, rows, |(group, count), id| {
            let key = ((group as u64 + u64::from(*base)) << 32) | u64::from(id);
            match table.entry(mix(key), |pair| pair.key == key, |pair| mix(pair.key)) {
                Entry::Occupied(mut pair) => pair.get_mut().weight.add(count),
                Entry::Vacant(place) => {
                    place.insert(Pair { key, weight: W::new(count) });
                    if let Some(distinct) = distinct.get_mut(group) {
                        *distinct += 1;
                    }
                }
            }
        })
    }

    /// Pairs of the first `groups` live groups, by group and then by the value's first appearance.
    fn pairs_of(&self, groups: usize) -> Vec<Pair<W>> {
        let live = |pair: &&Pair<W>| pair.group().checked_sub(self.base).is_some_and(|group| (group as usize) < groups);
        let mut out: Vec<Pair<W>> = self.table.iter().filter(live).copied().collect();
        out.sort_unstable_by_key(|pair| pair.key);
        out
    }

    fn summaries(&self, groups: usize) -> ArrayRef {
        let of_counts = match self.summary {
            Summary::Distinct => {
                return Arc::new(Int64Array::from(self.distinct.get(..groups).unwrap_or_default().to_vec()));
            }
            Summary::OfCounts(of_counts) => of_counts,
        };
        let pairs = self.pairs_of(groups);
        let mut left = pairs.as_slice();
        let mut numbers = Vec::with_capacity(groups);
        for distinct in self.distinct.iter().take(groups) {
            let (of_group, rest) = left.split_at(usize::try_from(*distinct).unwrap_or_default().min(left.len()));
            let mut counts: Vec<u64> = of_group.iter().map(|pair| pair.weight.count()).collect();
            numbers.push((!counts.is_empty()).then(|| of_counts(&mut counts)));
            left = rest;
        }
        Arc::new(Float64Array::from(numbers))
    }

    fn states(&self, groups: usize) -> Result<ArrayRef> {
        let pairs_of = self.pairs_of(groups);
        let ids: Vec<u32> = pairs_of.iter().map(Pair::id).collect();
        let mut items = self.interner.take(&ids)?;
        if W::COUNTED {
            let counts = pairs_of.iter().map(|pair| pair.weight.count()).collect::<Vec<_>>();
            items = pairs(VALUE, items, Arc::new(UInt64Array::from(counts)))?;
        }
        lists(self.distinct.iter().take(groups).map(|distinct| usize::try_from(*distinct).unwrap_or_default()), items)
    }

    fn emitted(&mut self, emit_to: EmitTo) -> usize {
        match emit_to {
            EmitTo::All => self.distinct.len(),
            EmitTo::First(groups) => {
                self.ensure(groups);
                groups
            }
        }
    }

    /// Forgets the first `groups` live groups.
    fn forget(&mut self, groups: usize) {
        if groups == self.distinct.len() {
            *self = Self::with(self.interner.empty(), self.summary);
            return;
        }
        let gone: i64 = self.distinct.drain(..groups).sum();
        self.dead += usize::try_from(gone).unwrap_or_default();
        self.base += groups as u32;
        if self.dead * 2 > self.table.len() {
            self.compact();
        }
    }

    /// Drops what belongs to emitted groups alone. Happens once for as many pairs as it looks at.
    fn compact(&mut self) {
        let mut live = vec![false; self.interner.len()];
        let base = self.base;
        let kept: Vec<Pair<W>> = self.table.iter().filter(|pair| pair.group() >= base).copied().collect();
        for pair in &kept {
            if let Some(live) = live.get_mut(pair.id() as usize) {
                *live = true;
            }
        }
        let renumbered = self.interner.retain(&live);
        let mut table = HashTable::with_capacity(kept.len());
        for pair in kept {
            let id = renumbered.get(pair.id() as usize).copied().unwrap_or_default();
            let key = (u64::from(pair.group() - base) << 32) | u64::from(id);
            table.insert_unique(mix(key), Pair { key, ..pair }, |pair| mix(pair.key));
        }
        (self.table, self.base, self.dead) = (table, 0, 0);
    }
}

impl<W: Weight> Keeping for Tallies<W> {
    fn ensure(&mut self, groups: usize) {
        if groups > self.distinct.len() {
            self.distinct.resize(groups, 0);
        }
    }

    fn values(&mut self) -> Result<ArrayRef> {
        Ok(self.summaries(self.distinct.len()))
    }
}

impl<W: Weight> GroupsAccumulator for Tallies<W> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.ensure(total_num_groups);
        let Some(column) = values.first() else { return Ok(()) };
        let nulls = column.logical_nulls();
        let rows = Rows { groups: group_indices, filter: opt_filter };
        self.add(column, rows.iter(nulls.as_ref()).map(|(row, group)| (row, (group, 1))))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.ensure(total_num_groups);
        let states = as_lists(values, 0)?;
        let rows = Rows { groups: group_indices, filter: None };
        let items = rows.iter(states.nulls()).flat_map(|(row, group)| span(states, row).map(move |item| (item, group)));
        if !W::COUNTED {
            return self.add(states.values(), items.map(|(item, group)| (item, (group, 1))));
        }
        let (column, counts) = as_pairs(states.values())?;
        let counts = as_numbers::<UInt64Type>(std::slice::from_ref(counts), 0)?;
        self.add(column, items.map(|(item, group)| (item, (group, counts.value(item)))))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.emitted(emit_to);
        let values = self.summaries(groups);
        self.forget(groups);
        Ok(values)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.emitted(emit_to);
        let states = self.states(groups)?;
        self.forget(groups);
        Ok(vec![states])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let each: Vec<usize> = (0..rows).collect();
        let mut fresh = Self::with(self.interner.empty(), self.summary);
        fresh.update_batch(values, &each, opt_filter, rows)?;
        fresh.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.interner.heap()
            + self.table.capacity() * (size_of::<Pair<W>>() + 1)
            + self.distinct.capacity() * size_of::<i64>()
    }
}
