//! `hop` and `cumulate`: overlapping windows share panes, so that a row is aggregated once, whatever the overlap.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::physical_expr::PhysicalExpr;
use fyke_types::{Micros, Result, WATERMARK_START, WindowSpec, align};

use super::Grouping;
use super::grouping::Evaluated;
use crate::operator::combined;
use crate::state::{Gathering, Parts, Pass, PieceNumbers, Sealed, Spill, Store, evaluate_time, partition_rows};
use crate::{Customer, Gatherer, Give, Marks, Memo, Operator, Output, Place, Route, Snapshot, StateSize, Tagged};

struct Panes {
    /// By the pane's start.
    panes: BTreeMap<Micros, Parts>,
    /// Windows up to this end are closed.
    closed_to: Option<Micros>,
}

/// A pane is sealed to partial states when the first window that ends behind it closes; a closing window merges the
/// states of its panes. A row is late only if all its windows are closed.
pub struct PaneAggregate {
    grouping: Grouping,
    time: Arc<dyn PhysicalExpr>,
    spec: WindowSpec,
    pane: Micros,
    customers: BTreeMap<Customer, Panes>,
    marks: Marks,
    scratch: Vec<usize>,
    numbers: PieceNumbers,
    /// Groups of any worker's keys, until the epoch closes.
    gathering: Gathering,
}

impl PaneAggregate {
    /// `spec` is a checked hop or cumulate.
    pub fn new(grouping: Grouping, time: Arc<dyn PhysicalExpr>, spec: WindowSpec) -> Self {
        let pane = spec.pane().unwrap_or(1);
        Self {
            grouping,
            time,
            spec,
            pane,
            customers: BTreeMap::new(),
            marks: Marks::start(),
            scratch: Vec::new(),
            numbers: PieceNumbers::default(),
            gathering: Gathering::default(),
        }
    }

    /// Windows of the panes at hand that end in `(after, up_to]`, by `(end, start)`.
    fn ripe(&self, panes: &Panes, up_to: Micros) -> BTreeSet<(Micros, Micros)> {
        let after = panes.closed_to.unwrap_or(WATERMARK_START);
        let mut windows = BTreeSet::new();
        for start in panes.panes.keys() {
            self.spec.each_window(*start, |start, end| {
                if end > after && end <= up_to {
                    windows.insert((end, start));
                }
            });
        }
        windows
    }

    /// Adds rows to their panes, or to what is gathered for them.
    fn take(&mut self, rows: &Tagged, out: &mut Output, gathered: bool) -> Result<()> {
        let customer = self.grouping.owner(rows);
        let (times, nulls) = evaluate_time(&self.time, &rows.batch)?;
        let evaluated = self.grouping.evaluate(&rows.batch)?;
        let closed_to = Some(self.marks.of(customer));
        let panes = self.customers.entry(customer).or_insert_with(|| Panes { panes: BTreeMap::new(), closed_to });
        let (width, offset) = (self.pane, self.spec.offset());
        let pane_of = |row: usize| {
            nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)).then(|| align(times[row], width, offset))
        };
        let shape = self.grouping.shape();
        for (start, set) in partition_rows(times.len(), pane_of) {
            let end = self.spec.last_end(start);
            if panes.closed_to.is_some_and(|closed| end <= closed) {
                out.late += set.len() as u64;
                continue;
            }
            if gathered {
                let place = Place { customer, port: 0, start, end };
                self.gathering.update(shape, place, &set, &evaluated, &mut self.scratch)?;
                continue;
            }
            let Evaluated { keys, arguments, filters } = &evaluated;
            let parts = panes.panes.entry(start).or_default();
            parts.update(shape, &set, keys, arguments, filters, &mut self.scratch)?;
        }
        Ok(())
    }

    fn close(&mut self, customer: Customer, up_to: Micros, out: &mut Output) -> Result<()> {
        let Some(mut panes) = self.customers.remove(&customer) else { return Ok(()) };
        for (end, start) in self.ripe(&panes, up_to) {
            // without keys there is one group
            let of = match self.grouping.keys.as_slice() {
                [] => 1,
                _ => Parts::passes(panes.panes.range(start..end).map(|(_, parts)| parts)),
            };
            for number in 0..of {
                let mut whole = Store::new(&self.grouping.key_schema, &self.grouping.aggregates)?;
                for (_, parts) in panes.panes.range_mut(start..end) {
                    parts.merge_into(&mut whole, Pass { number, of }, &mut self.numbers, &mut self.scratch)?;
                }
                let (rows, keys, results) = whole.emit()?;
                out.give(customer, self.grouping.batch_of_window((start, end), rows, keys, results)?);
            }
        }
        panes.panes.retain(|start, _| self.spec.last_end(*start) > up_to);
        panes.closed_to = panes.closed_to.max(Some(up_to));
        self.customers.insert(customer, panes);
        Ok(())
    }
}

impl Operator for PaneAggregate {
    fn on_batch(&mut self, _: usize, rows: Tagged, out: &mut Output) -> Result<()> {
        self.take(&rows, out, false)
    }

    fn route(&self, _: usize) -> Route {
        Route::By(self.grouping.keys.clone())
    }

    fn on_epoch_close(&mut self, inputs: &[Marks], out: &mut Output) -> Result<Marks> {
        let marks = combined(inputs);
        let customers: Vec<Customer> = self.customers.keys().copied().collect();
        for customer in customers {
            let mut up_to = marks.of(customer);
            if marks.silent.contains(&customer) {
                let last = self.customers.get(&customer).and_then(|panes| panes.panes.keys().next_back().copied());
                up_to = up_to.max(last.map_or(up_to, |start| self.spec.last_end(start)));
            }
            self.close(customer, up_to, out)?;
        }
        self.marks = marks.clone();
        if !self.grouping.by_customer {
            return Ok(Marks { by: Arc::default(), ..marks });
        }
        let holders = self.customers.iter().filter(|(_, panes)| !panes.panes.is_empty()).map(|(customer, _)| *customer);
        Ok(marks.held_by(holders))
    }

    fn closed_ahead(&self) -> Vec<(Customer, Micros)> {
        let closed = |(customer, panes): (&Customer, &Panes)| Some((*customer, panes.closed_to?));
        self.customers.iter().filter_map(closed).filter(|(customer, to)| *to > self.marks.of(*customer)).collect()
    }

    fn close_ahead(&mut self, customer: Customer, to: Micros) {
        let nothing = || Panes { panes: BTreeMap::new(), closed_to: None };
        let panes = self.customers.entry(customer).or_insert_with(nothing);
        panes.closed_to = panes.closed_to.max(Some(to));
    }

    fn as_gatherer(&mut self) -> Option<&mut dyn Gatherer> {
        Some(self)
    }

    fn describe(&self) -> String {
        format!("PaneAggregate {:?} of {} {}", self.spec, self.time, self.grouping.describe())
    }

    fn remembers(&self) -> Option<&'static str> {
        Some("a row for each group of an open pane")
    }

    fn snapshot(&mut self, give: Give<'_>) -> Result<Option<Memo>> {
        let mut closed = Vec::new();
        for (customer, panes) in &mut self.customers {
            for (start, parts) in &mut panes.panes {
                parts.seal(self.grouping.shape(), &mut self.numbers, &mut self.scratch)?;
                let end = self.spec.last_end(*start);
                parts.give(Place { customer: *customer, port: 0, start: *start, end }, give)?;
            }
            closed.extend(panes.closed_to.map(|closed_to| (*customer, closed_to)));
        }
        Ok(Some(Memo { next_piece: self.numbers.next(), closed, emitted: false }))
    }

    fn restore(&mut self, snapshot: Snapshot) -> Result<()> {
        self.numbers = PieceNumbers::from(snapshot.memo.next_piece);
        for (customer, closed_to) in snapshot.memo.closed {
            self.customers.insert(customer, Panes { panes: BTreeMap::new(), closed_to: Some(closed_to) });
        }
        for piece in &snapshot.pieces {
            let nothing = || Panes { panes: BTreeMap::new(), closed_to: None };
            let panes = self.customers.entry(piece.place.customer).or_insert_with(nothing);
            panes.panes.entry(piece.place.start).or_default().take_back(piece)?;
        }
        Ok(())
    }

    fn spill(&mut self, to: &Arc<Spill>, bytes: usize) -> Result<usize> {
        // what is needed last goes first
        let mut open: Vec<(&Micros, &mut Parts)> =
            self.customers.values_mut().flat_map(|panes| &mut panes.panes).collect();
        open.sort_by_key(|(start, _)| std::cmp::Reverse(**start));
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
        let panes = self.customers.values().flat_map(|panes| panes.panes.values());
        panes.fold(StateSize::default(), |sum, parts| StateSize {
            rows: sum.rows + parts.rows(),
            bytes: sum.bytes + parts.bytes(),
        })
    }
}

impl Gatherer for PaneAggregate {
    fn gather(&mut self, rows: &Tagged, out: &mut Output) -> Result<bool> {
        if !self.gathering.is_worth_it(self.grouping.shape())? {
            return Ok(false);
        }
        self.take(rows, out, true).map(|()| true)
    }

    fn leave(&mut self) -> Result<Vec<(Place, Sealed)>> {
        self.gathering.take()
    }

    fn arrive(&mut self, Place { customer, start, .. }: Place, groups: &Sealed) -> Result<()> {
        let closed_to = Some(self.marks.of(customer));
        let panes = self.customers.entry(customer).or_insert_with(|| Panes { panes: BTreeMap::new(), closed_to });
        let parts = panes.panes.entry(start).or_default();
        parts.merge(self.grouping.shape(), groups, &mut self.scratch)
    }
}
