//! `GROUP BY` with a window that does not overlap others: `tumble`, a window from below, or none at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use fyke_types::{Micros, Result, WATERMARK_END, WATERMARK_START};

use super::grouping::Evaluated;
use super::{Assign, Grouping};
use crate::operator::combined;
use crate::state::{Gathering, Parts, PieceNumbers, Sealed, Spill, partition_rows};
use crate::{Customer, Gatherer, Give, Marks, Memo, Operator, Output, Place, Route, Snapshot, StateSize, Tagged};

/// Open windows by `(end, start)`.
struct Open {
    stores: BTreeMap<(Micros, Micros), Parts>,
    /// Windows up to this end have been closed because their customer fell silent.
    closed_to: Micros,
}

impl Default for Open {
    fn default() -> Self {
        // not zero: windows before 1970 are open too
        Self { stores: BTreeMap::new(), closed_to: WATERMARK_START }
    }
}

/// One store per open window; a window closes when the watermark has reached its end.
///
/// A row is late if its window is closed. State: one row per open group.
pub struct WindowAggregate {
    grouping: Grouping,
    assign: Assign,
    open: BTreeMap<Customer, Open>,
    marks: Marks,
    scratch: Vec<usize>,
    numbers: PieceNumbers,
    /// Groups of any worker's keys, until the epoch closes.
    gathering: Gathering,
    /// Without keys and window there is one row at the end, even of nothing.
    emitted: bool,
    /// Whether that row is this worker's.
    holds_keyless: bool,
}

impl WindowAggregate {
    /// An operator without rows.
    pub fn new(grouping: Grouping, assign: Assign) -> Self {
        Self {
            grouping,
            assign,
            open: BTreeMap::new(),
            marks: Marks::start(),
            scratch: Vec::new(),
            numbers: PieceNumbers::default(),
            gathering: Gathering::default(),
            emitted: false,
            holds_keyless: true,
        }
    }

    /// Adds rows to their windows, or to what is gathered for them.
    fn take(&mut self, rows: &Tagged, out: &mut Output, gathered: bool) -> Result<()> {
        let customer = self.grouping.owner(rows);
        let windows = self.assign.windows(&rows.batch)?;
        let evaluated = self.grouping.evaluate(&rows.batch)?;
        let open = self.open.entry(customer).or_default();
        let closed = self.marks.of(customer).max(open.closed_to);
        let shape = self.grouping.shape();
        for (window, set) in partition_rows(windows.len(), |row| windows[row]) {
            if window.0 <= closed && !matches!(self.assign, Assign::Whole) {
                out.late += set.len() as u64;
                continue;
            }
            let (end, start) = window;
            if gathered {
                let place = Place { customer, port: 0, start, end };
                self.gathering.update(shape, place, &set, &evaluated, &mut self.scratch)?;
                continue;
            }
            let parts = open.stores.entry(window).or_default();
            let Evaluated { keys, arguments, filters } = &evaluated;
            parts.update(shape, &set, keys, arguments, filters, &mut self.scratch)?;
        }
        Ok(())
    }

    fn close(&mut self, customer: Customer, up_to: Micros, out: &mut Output) -> Result<()> {
        let Some(open) = self.open.get_mut(&customer) else { return Ok(()) };
        let ripe = match up_to {
            WATERMARK_END => std::mem::take(&mut open.stores),
            _ => {
                let later = open.stores.split_off(&(up_to.saturating_add(1), Micros::MIN));
                std::mem::replace(&mut open.stores, later)
            }
        };
        for ((end, start), parts) in ripe {
            parts.emit(self.grouping.shape(), &mut self.scratch, &mut |rows, keys, results| {
                out.give(customer, self.grouping.batch_of_window((start, end), rows, keys, results)?);
                Ok(())
            })?;
            self.emitted = true;
        }
        Ok(())
    }
}

impl Operator for WindowAggregate {
    fn on_batch(&mut self, _: usize, rows: Tagged, out: &mut Output) -> Result<()> {
        self.take(&rows, out, false)
    }

    fn route(&self, _: usize) -> Route {
        Route::By(self.grouping.keys.clone())
    }

    fn assigned(&mut self, holds_keyless: bool) {
        self.holds_keyless = holds_keyless;
    }

    fn on_epoch_close(&mut self, inputs: &[Marks], out: &mut Output) -> Result<Marks> {
        let marks = combined(inputs);
        let customers: Vec<Customer> = self.open.keys().copied().collect();
        let whole = matches!(self.assign, Assign::Whole);
        for customer in customers {
            let mark = marks.of(customer);
            self.close(customer, mark, out)?;
            if marks.silent.contains(&customer) && !whole {
                let last = self.open.get(&customer).and_then(|open| open.stores.keys().next_back().copied());
                if let Some((end, _)) = last {
                    self.close(customer, end, out)?;
                    if let Some(open) = self.open.get_mut(&customer) {
                        open.closed_to = end;
                    }
                }
            }
        }
        if whole && marks.all == WATERMARK_END && !self.emitted && self.grouping.keys.is_empty() && self.holds_keyless {
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
        let holders = self.open.iter().filter(|(_, open)| !open.stores.is_empty()).map(|(customer, _)| *customer);
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

    fn as_gatherer(&mut self) -> Option<&mut dyn Gatherer> {
        Some(self)
    }

    fn describe(&self) -> String {
        let window = self.assign.describe();
        format!("WindowAggregate {window} {}", self.grouping.describe())
    }

    fn remembers(&self) -> Option<&'static str> {
        Some("a row for each open group")
    }

    fn snapshot(&mut self, give: Give<'_>) -> Result<Option<Memo>> {
        for (customer, open) in &mut self.open {
            for ((end, start), parts) in &mut open.stores {
                parts.seal(self.grouping.shape(), &mut self.numbers, &mut self.scratch)?;
                parts.give(Place { customer: *customer, port: 0, start: *start, end: *end }, give)?;
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
            self.open.entry(customer).or_default().stores.entry((end, start)).or_default().take_back(piece)?;
        }
        for (customer, closed_to) in closed {
            self.open.entry(customer).or_default().closed_to = closed_to;
        }
        Ok(())
    }

    fn spill(&mut self, to: &Arc<Spill>, bytes: usize) -> Result<usize> {
        // what closes last goes first
        let mut open: Vec<(&(Micros, Micros), &mut Parts)> =
            self.open.values_mut().flat_map(|open| &mut open.stores).collect();
        open.sort_by_key(|(window, _)| std::cmp::Reverse(**window));
        let mut free = 0;
        for (_, parts) in open {
            if free >= bytes {
                break;
            }
            free += parts.spill(self.grouping.shape(), &mut self.numbers, &mut self.scratch, to)?;
        }
        Ok(free)
    }

    fn state_size(&self) -> StateSize {
        let stores = self.open.values().flat_map(|open| open.stores.values());
        stores.fold(StateSize::default(), |sum, parts| StateSize {
            rows: sum.rows + parts.rows(),
            bytes: sum.bytes + parts.bytes(),
        })
    }
}

impl Gatherer for WindowAggregate {
    fn gather(&mut self, rows: &Tagged, out: &mut Output) -> Result<bool> {
        if !self.gathering.is_worth_it(self.grouping.shape())? {
            return Ok(false);
        }
        self.take(rows, out, true).map(|()| true)
    }

    fn leave(&mut self) -> Result<Vec<(Place, Sealed)>> {
        self.gathering.take()
    }

    fn arrive(&mut self, Place { customer, start, end, .. }: Place, groups: &Sealed) -> Result<()> {
        let parts = self.open.entry(customer).or_default().stores.entry((end, start)).or_default();
        parts.merge(self.grouping.shape(), groups, &mut self.scratch)
    }
}
