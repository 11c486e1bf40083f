//! Aggregates that keep one value of a plain type for each group: the loop, the memory count and the emission that
//! they share.

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::function::Keeping;

/// What one group keeps.
pub(crate) trait GroupState: Default + Send + Sync + 'static {
    /// Bytes held outside of the value itself.
    fn heap(&self) -> usize {
        0
    }
}

/// An aggregate over such states.
pub(crate) trait Aggregation: Clone + Send + Sync + 'static {
    type Group: GroupState;

    fn update(&self, values: &[ArrayRef], rows: &Rows<'_>, groups: &mut Groups<Self::Group>) -> Result<()>;

    fn merge(&self, states: &[ArrayRef], rows: &Rows<'_>, groups: &mut Groups<Self::Group>) -> Result<()>;

    /// The value of each group. May reorder what a group holds, not change it.
    fn values(&self, groups: &mut [Self::Group]) -> Result<ArrayRef>;

    /// The state of each group, for `merge`.
    fn states(&self, groups: &mut [Self::Group]) -> Result<Vec<ArrayRef>>;
}

/// Which rows of a batch count, and for which group.
pub(crate) struct Rows<'a> {
    pub groups: &'a [usize],
    pub filter: Option<&'a BooleanArray>,
}

impl<'a> Rows<'a> {
    /// (row, group) of the rows that are not null and pass the filter.
    pub(crate) fn iter(&self, nulls: Option<&'a NullBuffer>) -> impl Iterator<Item = (usize, usize)> + 'a {
        let filter = self.filter;
        self.groups.iter().copied().enumerate().filter(move |&(row, _)| {
            nulls.is_none_or(|nulls| nulls.is_valid(row))
                && filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
        })
    }
}

/// The states of all groups, and the bytes that they hold.
pub(crate) struct Groups<S> {
    states: Vec<S>,
    heap: usize,
}

impl<S: GroupState> Groups<S> {
    /// Changes the state of a group; a group beyond the announced number is a defect of the caller and ignored.
    pub(crate) fn change<R>(&mut self, group: usize, change: impl FnOnce(&mut S) -> R) -> Option<R> {
        let state = self.states.get_mut(group)?;
        let before = state.heap();
        let result = change(state);
        self.heap = self.heap + state.heap() - before;
        Some(result)
    }

    fn ensure(&mut self, groups: usize) {
        if groups > self.states.len() {
            self.states.resize_with(groups, S::default);
        }
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<S> {
        if let EmitTo::First(count) = emit_to {
            self.ensure(count);
        }
        let taken = emit_to.take_needed(&mut self.states);
        self.heap -= taken.iter().map(S::heap).sum::<usize>();
        taken
    }
}

/// An [`Aggregation`] as DataFusion's groups accumulator.
pub(crate) struct Grouped<A: Aggregation> {
    aggregation: A,
    groups: Groups<A::Group>,
}

impl<A: Aggregation> Grouped<A> {
    pub(crate) fn new(aggregation: A) -> Self {
        Self { aggregation, groups: Groups { states: Vec::new(), heap: 0 } }
    }

    pub(crate) fn boxed(aggregation: A) -> Result<Box<dyn Keeping>> {
        Ok(Box::new(Self::new(aggregation)))
    }
}

impl<A: Aggregation> Keeping for Grouped<A> {
    fn ensure(&mut self, groups: usize) {
        self.groups.ensure(groups);
    }

    fn values(&mut self) -> Result<ArrayRef> {
        self.aggregation.values(&mut self.groups.states)
    }
}

impl<A: Aggregation> GroupsAccumulator for Grouped<A> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.ensure(total_num_groups);
        self.aggregation.update(values, &Rows { groups: group_indices, filter: opt_filter }, &mut self.groups)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.ensure(total_num_groups);
        self.aggregation.merge(values, &Rows { groups: group_indices, filter: None }, &mut self.groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.aggregation.values(&mut self.groups.take(emit_to))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.aggregation.states(&mut self.groups.take(emit_to))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |array| array.len());
        let each: Vec<usize> = (0..rows).collect();
        let mut fresh = Self::new(self.aggregation.clone());
        fresh.update_batch(values, &each, opt_filter, rows)?;
        fresh.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.groups.states.capacity() * size_of::<A::Group>() + self.groups.heap
    }
}
