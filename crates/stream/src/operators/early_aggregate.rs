//! `GROUP BY` with a fixed window, or none, in update mode: its groups can be asked for before their window closes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, TimestampMicrosecondArray};
use fyke_types::{Micros, Result, WATERMARK_END, WATERMARK_START};

use super::assign::EndStart;
use super::grouping::Evaluated;
use super::{AssignAll, Grouping};
use crate::operator::combined;
use crate::state::{Keyed, PieceNumbers, RowSet, Store};
use crate::{
    Ask, Customer, Early, EarlyOperator, Give, Marks, Memo, Operator, Output, Place, Route, Scope, Snapshot, StateSize,
    Tagged, Touched,
};

/// A customer's open windows.
struct Open {
    windows: BTreeMap<EndStart, Keyed>,
    /// Windows up to this end have been closed because their customer fell silent.
    closed_to: Micros,
}

impl Default for Open {
    fn default() -> Self {
        // not zero: windows before 1970 are open too
        Self { windows: BTreeMap::new(), closed_to: WATERMARK_START }
    }
}

/// As [`super::WindowAggregate`] and [`super::PaneAggregate`], with a state for each group of each open window: a row
/// of overlapping windows is aggregated once for each of them, since each of them changes by it.
pub struct EarlyAggregate {
    grouping: Grouping,
    assign: AssignAll,
    open: BTreeMap<Customer, Open>,
    marks: Marks,
    scratch: Vec<usize>,
    numbers: PieceNumbers,
    /// Without keys and window there is one row at the end, even of nothing.
    emitted: bool,
    changed: BTreeSet<Customer>,
    /// Whether all groups are asked for, or those that changed; none: nobody asks.
    whole: Option<bool>,
    /// Groups whose windows closed since early rows were asked for last.
    closed: Vec<Touched>,
}

impl EarlyAggregate {
    /// An operator without rows.
    pub fn new(grouping: Grouping, assign: AssignAll) -> Self {
        Self {
            grouping,
            assign,
            open: BTreeMap::new(),
            marks: Marks::start(),
            scratch: Vec::new(),
            numbers: PieceNumbers::default(),
            emitted: false,
            changed: BTreeSet::new(),
            whole: None,
            closed: Vec::new(),
        }
    }

    fn close(&mut self, customer: Customer, up_to: Micros, out: &mut Output) -> Result<()> {
        let Some(open) = self.open.get_mut(&customer) else { return Ok(()) };
        let ripe = match up_to {
            WATERMARK_END => std::mem::take(&mut open.windows),
            _ => {
                let later = open.windows.split_off(&(up_to.saturating_add(1), Micros::MIN));
                std::mem::replace(&mut open.windows, later)
            }
        };
        for ((end, start), groups) in ripe {
            let (rows, (keys, results)) = groups.emit(self.grouping.shape(), &mut self.numbers)?;
            if self.whole == Some(false) {
                // what was said of them early may be no longer true
                self.closed.push(touched(&self.grouping, customer, (start, end), rows, &keys));
            }
            out.give(customer, self.grouping.batch_of_window((start, end), rows, keys, results)?);
            self.emitted = true;
            self.changed.insert(customer);
        }
        Ok(())
    }

    /// Rows of the groups that changed.
    fn changed_groups(&mut self) -> Result<Early> {
        let (mut rows, mut all) = (Vec::new(), std::mem::take(&mut self.closed));
        for (customer, open) in &mut self.open {
            for ((end, start), groups) in &mut open.windows {
                let Some((count, (keys, results))) = groups.take_changed(self.grouping.shape(), &mut self.numbers)?
                else {
                    continue;
                };
                let window = (*start, *end);
                all.push(touched(&self.grouping, *customer, window, count, &keys));
                let batch = self.grouping.batch_of_window(window, count, keys, results)?;
                rows.push(Tagged { customer: *customer, batch });
            }
        }
        Ok(Early { rows, scope: Scope::Groups(all) })
    }

    /// All rows of a customer's open windows, with what comes from below on top.
    fn whole_customer(&mut self, customer: Customer, below: &[&Tagged], out: &mut Vec<Tagged>) -> Result<()> {
        let closed_to = self.open.get(&customer).map_or(WATERMARK_START, |open| open.closed_to);
        let closed = self.marks.of(customer).max(closed_to);
        let mut stores: BTreeMap<EndStart, Store> = BTreeMap::new();
        if let Some(open) = self.open.get_mut(&customer) {
            for (window, groups) in &mut open.windows {
                let mut store = Store::new(&self.grouping.key_schema, &self.grouping.aggregates)?;
                store.merge(&groups.all(self.grouping.shape(), &mut self.numbers)?, &mut self.scratch)?;
                stores.insert(*window, store);
            }
        }
        for rows in below {
            let Evaluated { keys, arguments, filters } = self.grouping.evaluate(&rows.batch)?;
            for (window, set) in self.assign.open(&rows.batch, closed)?.0 {
                let store = match stores.entry(window) {
                    std::collections::btree_map::Entry::Occupied(store) => store.into_mut(),
                    std::collections::btree_map::Entry::Vacant(place) => {
                        place.insert(Store::new(&self.grouping.key_schema, &self.grouping.aggregates)?)
                    }
                };
                store.update(&set, &keys, &arguments, &filters, &mut self.scratch)?;
            }
        }
        for ((end, start), store) in stores {
            let (rows, keys, results) = store.emit()?;
            let batch = self.grouping.batch_of_window((start, end), rows, keys, results)?;
            out.push(Tagged { customer, batch });
        }
        Ok(())
    }
}

fn touched(
    grouping: &Grouping,
    customer: Customer,
    (start, end): (Micros, Micros),
    rows: usize,
    keys: &[ArrayRef],
) -> Touched {
    let mut keys = keys.to_vec();
    if let Some(at) = grouping.window_at {
        let bound = |bound: Micros| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from_value(bound, rows)) };
        keys.splice(at..at, [bound(start), bound(end)]);
    }
    Touched { customer, rows, keys }
}

impl EarlyOperator for EarlyAggregate {
    fn begin_early(&mut self, whole: bool) {
        self.whole = Some(whole);
    }

    fn take_changed(&mut self) -> BTreeSet<Customer> {
        std::mem::take(&mut self.changed)
    }

    fn spans_customers(&self) -> bool {
        !self.grouping.by_customer
    }

    fn early(&mut self, inputs: Vec<Early>, ask: &Ask) -> Result<Early> {
        let below: Vec<Tagged> = inputs.into_iter().flat_map(|input| input.rows).collect();
        if self.whole == Some(false) {
            return self.changed_groups();
        }
        let mut of: BTreeMap<Customer, Vec<&Tagged>> =
            self.open.keys().map(|customer| (*customer, Vec::new())).collect();
        for rows in &below {
            of.entry(self.grouping.owner(rows)).or_default().push(rows);
        }
        let mut rows = Vec::new();
        for (customer, below) in of.iter().filter(|(customer, _)| ask.is_for(**customer)) {
            self.whole_customer(*customer, below, &mut rows)?;
        }
        Ok(Early { rows, scope: Scope::Customers })
    }
}

impl Operator for EarlyAggregate {
    fn on_batch(&mut self, _: usize, rows: Tagged, out: &mut Output) -> Result<()> {
        let customer = self.grouping.owner(&rows);
        let Evaluated { keys, arguments, filters } = self.grouping.evaluate(&rows.batch)?;
        let open = self.open.entry(customer).or_default();
        let closed = self.marks.of(customer).max(open.closed_to);
        let (sets, late): (Vec<(EndStart, RowSet)>, u64) = self.assign.open(&rows.batch, closed)?;
        out.late += late;
        for (window, set) in sets {
            let shape = self.grouping.shape();
            let groups = match open.windows.entry(window) {
                std::collections::btree_map::Entry::Occupied(groups) => groups.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => place.insert(Keyed::new(shape)?),
            };
            groups.update(shape, &set, &keys, &arguments, &filters, &mut self.scratch)?;
            self.changed.insert(customer);
        }
        Ok(())
    }

    fn route(&self, _: usize) -> Route {
        Route::By(self.grouping.keys.clone())
    }

    fn on_epoch_close(&mut self, inputs: &[Marks], out: &mut Output) -> Result<Marks> {
        let marks = combined(inputs);
        let customers: Vec<Customer> = self.open.keys().copied().collect();
        let whole = self.assign.is_whole();
        for customer in customers {
            self.close(customer, marks.of(customer), out)?;
            if marks.silent.contains(&customer) && !whole {
                let last = self.open.get(&customer).and_then(|open| open.windows.keys().next_back().copied());
                if let Some((end, _)) = last {
                    self.close(customer, end, out)?;
                    if let Some(open) = self.open.get_mut(&customer) {
                        open.closed_to = end;
                    }
                }
            }
        }
        if whole && marks.all == WATERMARK_END && !self.emitted && self.grouping.keys.is_empty() {
            out.give(Customer::ALL, self.grouping.of_nothing(&mut self.scratch)?);
            self.emitted = true;
        }
        self.marks = marks;
        let marks = self.marks.clone();
        if whole && marks.all != WATERMARK_END {
            return Ok(Marks::start());
        }
        if !self.grouping.by_customer {
            return Ok(Marks { by: Arc::default(), ..marks });
        }
        let holders = self.open.iter().filter(|(_, open)| !open.windows.is_empty()).map(|(customer, _)| *customer);
        Ok(marks.held_by(holders))
    }

    fn closed_ahead(&self) -> Vec<(Customer, Micros)> {
        let ahead = self.open.iter().filter(|(_, open)| open.closed_to != WATERMARK_START);
        ahead.map(|(customer, open)| (*customer, open.closed_to)).collect()
    }

    fn close_ahead(&mut self, customer: Customer, to: Micros) {
        let open = self.open.entry(customer).or_default();
        open.closed_to = open.closed_to.max(to);
    }

    fn describe(&self) -> String {
        format!("EarlyAggregate {} {}", self.assign.describe(), self.grouping.describe())
    }

    fn remembers(&self) -> Option<&'static str> {
        Some(match self.assign.is_whole() {
            true => "a row for each group, for ever: there is no window that would close it",
            false => "a row for each group of each open window",
        })
    }

    fn snapshot(&mut self, give: Give<'_>) -> Result<Option<Memo>> {
        for (customer, open) in &mut self.open {
            for ((end, start), groups) in &mut open.windows {
                let place = Place { customer: *customer, port: 0, start: *start, end: *end };
                groups.give(self.grouping.shape(), place, &mut self.numbers, give)?;
            }
        }
        let closed = self.closed_ahead();
        Ok(Some(Memo { next_piece: self.numbers.next(), closed, emitted: self.emitted }))
    }

    fn restore(&mut self, snapshot: Snapshot) -> Result<()> {
        let Memo { next_piece, closed, emitted } = snapshot.memo;
        (self.numbers, self.emitted) = (PieceNumbers::from(next_piece), emitted);
        for piece in &snapshot.pieces {
            let Place { customer, start, end, .. } = piece.place;
            let windows = &mut self.open.entry(customer).or_default().windows;
            let groups = match windows.entry((end, start)) {
                std::collections::btree_map::Entry::Occupied(groups) => groups.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => place.insert(Keyed::new(self.grouping.shape())?),
            };
            groups.take_back(piece, &mut self.scratch)?;
            self.changed.insert(customer);
        }
        for (customer, closed_to) in closed {
            self.open.entry(customer).or_default().closed_to = closed_to;
        }
        Ok(())
    }

    fn as_early(&mut self) -> Option<&mut dyn EarlyOperator> {
        Some(self)
    }

    fn state_size(&self) -> StateSize {
        let groups = self.open.values().flat_map(|open| open.windows.values());
        groups.fold(StateSize::default(), |sum, groups| StateSize {
            rows: sum.rows + groups.len(),
            bytes: sum.bytes + groups.bytes(),
        })
    }
}
