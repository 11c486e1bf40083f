//! Open sessions in update mode. What costs is what changed: the parts of a changed key's sessions become one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::logical_expr::EmitTo;
use fyke_types::{Micros, Result};

use super::spilling::Shape;
use super::{Closed, Given, Grouping, KeyId, Part, SealedBatch, SessionAggregate, Sessions};
use crate::state::{PieceNumbers, evaluate_time};
use crate::{Ask, Customer, Early, EarlyOperator, Scope, Tagged, Touched, engine_error};

/// What happened since early rows were asked for last.
#[derive(Default)]
pub(super) struct Dirty {
    /// Keys with new rows.
    pub(super) keys: BTreeSet<KeyId>,
    /// Key columns of sessions that closed.
    closed: Vec<(usize, Vec<ArrayRef>)>,
}

impl Sessions {
    /// Remembers the keys of closed sessions, whose rows are in `batch`: what was said of such a key early may be no
    /// longer true.
    pub(super) fn note_closed(&mut self, grouping: &Grouping, closed: &[Closed], batch: &RecordBatch) {
        let groups = grouping.keys.len() + usize::from(grouping.window_at.is_some());
        let keys = (0..groups).filter(|at| Some(*at) != grouping.window_at);
        self.dirty.closed.push((closed.len(), keys.map(|at| ArrayRef::clone(batch.column(at))).collect()));
    }

    /// The open sessions of `keys`; each is one part afterwards. The panes were sealed before.
    fn merged(
        &mut self,
        grouping: &Grouping,
        keys: &[KeyId],
        gap: Micros,
        numbers: &mut PieceNumbers,
    ) -> Result<(Vec<Closed>, Vec<ArrayRef>)> {
        let mut runs = Vec::new();
        for key in keys {
            for parts in self.keys.take_runs(*key, gap, |_, _| true) {
                let start = parts.iter().map(|part| part.first).min().unwrap_or_default();
                let end = parts.iter().map(|part| part.last).max().unwrap_or_default().saturating_add(gap);
                runs.push(Closed { key: *key, start, end, parts });
            }
        }
        if runs.is_empty() {
            return Ok((runs, Vec::new()));
        }
        let mut merged = self.merge_parts(grouping, &runs)?;
        let states = merged
            .iter_mut()
            .map(|accumulator| accumulator.state(EmitTo::All).map_err(engine_error))
            .collect::<Result<Vec<_>>>()?;
        let results = evaluate(grouping, &states, runs.len())?;
        let number = numbers.take();
        for (row, run) in runs.iter().enumerate() {
            let [only] = run.parts.as_slice() else {
                run.parts.iter().for_each(|part| self.leave(part));
                let (first, last) = (run.start, run.end.saturating_sub(gap));
                self.keys.add_part(run.key, Part { first, last, batch: number, row });
                self.parts += 1;
                continue;
            };
            // nothing to merge: it stays where it is
            self.keys.add_part(run.key, *only);
        }
        let open_parts = runs.iter().filter(|run| run.parts.len() > 1).count();
        if open_parts > 0 {
            self.sealed.insert(number, SealedBatch { states, open_parts, given: Given::Nothing, came_back: false });
        }
        Ok((runs, results))
    }

    pub(super) fn leave(&mut self, part: &Part) {
        self.parts -= 1;
        if let Some(batch) = self.sealed.get_mut(&part.batch) {
            batch.open_parts -= 1;
            if batch.open_parts == 0 {
                self.sealed.remove(&part.batch);
            }
        }
    }

    /// Keeps what being asked often leaves behind within bounds: dead rows, and timers of parts that are merged.
    fn tidy(&mut self, grouping: &Grouping, gap: Micros, numbers: &mut PieceNumbers) -> Result<()> {
        let rows_of = |batch: &SealedBatch| batch.states.iter().flatten().next().map_or(0, |column| column.len());
        if self.sealed.values().map(rows_of).sum::<usize>() > 3 * self.parts + 4_096 {
            self.compact(grouping, gap, numbers)?;
        }
        if self.timers.len() > 4 * self.parts + 4_096 {
            let mut timers = BinaryHeap::with_capacity(self.parts);
            for key in self.keys.ids() {
                timers.extend(self.keys.parts(key).iter().map(|part| Reverse((part.last.saturating_add(gap), key))));
            }
            self.timers = timers;
        }
        Ok(())
    }
}

fn evaluate(grouping: &Grouping, states: &[Vec<ArrayRef>], sessions: usize) -> Result<Vec<ArrayRef>> {
    let groups: Vec<usize> = (0..sessions).collect();
    grouping
        .aggregates
        .iter()
        .zip(states)
        .map(|(aggregate, states)| {
            let mut accumulator = (aggregate.accumulator)().map_err(engine_error)?;
            accumulator.merge_batch(states, &groups, sessions).map_err(engine_error)?;
            accumulator.evaluate(EmitTo::All).map_err(engine_error)
        })
        .collect()
}

impl SessionAggregate {
    /// The open sessions of the changed keys, or of all.
    fn open_sessions(&mut self, customer: Customer, all: bool, early: &mut Early) -> Result<()> {
        let Some(sessions) = self.customers.get_mut(&customer) else { return Ok(()) };
        let (grouping, gap, numbers) = (&self.grouping, self.gap, &mut self.numbers);
        sessions.seal(Micros::MAX, gap, numbers)?;
        let dirty = std::mem::take(&mut sessions.dirty);
        let keys: Vec<KeyId> = match all {
            true => sessions.keys.ids(),
            false => dirty.keys.into_iter().filter(|key| sessions.keys.is_held(*key)).collect(),
        };
        let shape = Shape { grouping, converter: &self.converter, gap };
        sessions.complete(shape, numbers, Micros::MIN, &keys)?;
        let (runs, results) = sessions.merged(grouping, &keys, gap, numbers)?;
        if !runs.is_empty() {
            let columns = sessions.key_columns(&self.converter, runs.iter().map(|run| run.key))?;
            let windows = (runs.iter().map(|run| run.start).collect(), runs.iter().map(|run| run.end).collect());
            let batch = grouping.batch(Some(windows), columns, results)?;
            early.rows.push(Tagged { customer, batch });
        }
        if let Scope::Groups(touched) = &mut early.scope {
            if !keys.is_empty() {
                let columns = sessions.key_columns(&self.converter, keys.iter().copied())?;
                touched.push(Touched { customer, rows: keys.len(), keys: columns });
            }
            touched.extend(dirty.closed.into_iter().map(|(rows, keys)| Touched { customer, rows, keys }));
        }
        sessions.tidy(grouping, gap, numbers)
    }
}

impl SessionAggregate {
    /// All open sessions of a customer, with rows that are early themselves on top: each is a part for the time being.
    fn with_below(&mut self, customer: Customer, below: &[Tagged], early: &mut Early) -> Result<()> {
        let mut ids = Vec::new();
        let mut lent = BTreeSet::new();
        for rows in below {
            let lender = self.numbers.take();
            lent.insert(lender);
            ids.extend(self.lend(customer, rows, lender)?);
        }
        let Some(sessions) = self.customers.get_mut(&customer) else { return Ok(()) };
        let (grouping, gap, numbers) = (&self.grouping, self.gap, &mut self.numbers);
        sessions.dirty = Dirty::default();
        sessions.seal(Micros::MAX, gap, numbers)?;
        let mut runs = Vec::new();
        for key in sessions.keys.ids() {
            for parts in sessions.keys.take_runs(key, gap, |_, _| true) {
                let start = parts.iter().map(|part| part.first).min().unwrap_or_default();
                let end = parts.iter().map(|part| part.last).max().unwrap_or_default().saturating_add(gap);
                runs.push(Closed { key, start, end, parts });
            }
        }
        if !runs.is_empty() {
            let results = sessions
                .merge_parts(grouping, &runs)?
                .iter_mut()
                .map(|accumulator| accumulator.evaluate(EmitTo::All).map_err(engine_error))
                .collect::<Result<Vec<_>>>()?;
            let keys = sessions.key_columns(&self.converter, runs.iter().map(|run| run.key))?;
            let windows = (runs.iter().map(|run| run.start).collect(), runs.iter().map(|run| run.end).collect());
            early.rows.push(Tagged { customer, batch: grouping.batch(Some(windows), keys, results)? });
        }
        for run in runs {
            let own = run.parts.into_iter().filter(|part| !lent.contains(&part.batch));
            own.for_each(|part| sessions.keys.add_part(run.key, part));
        }
        lent.iter().for_each(|lender| _ = sessions.sealed.remove(lender));
        ids.into_iter().for_each(|id| sessions.keys.release(id));
        sessions.tidy(grouping, gap, numbers)
    }

    /// Rows as parts of a sealed batch, a part each; the keys that were numbered for them.
    fn lend(&mut self, customer: Customer, rows: &Tagged, lender: u64) -> Result<Vec<KeyId>> {
        let (times, nulls) = evaluate_time(&self.time, &rows.batch)?;
        let evaluated = self.grouping.evaluate(&rows.batch)?;
        let ids = self.number_keys(customer, &evaluated.keys, times.len())?;
        let groups: Vec<usize> = (0..times.len()).collect();
        let states = self.grouping.aggregates.iter().zip(&evaluated.arguments).zip(&evaluated.filters);
        let states = states.map(|((aggregate, arguments), filter)| {
            let mut accumulator = (aggregate.accumulator)().map_err(engine_error)?;
            accumulator.update_batch(arguments, &groups, filter.as_ref(), groups.len()).map_err(engine_error)?;
            accumulator.state(EmitTo::All).map_err(engine_error)
        });
        let states = states.collect::<Result<Vec<_>>>()?;
        let gap = self.gap;
        let Some(sessions) = self.customers.get_mut(&customer) else { return Ok(Vec::new()) };
        let closed = self.marks.of(customer).max(sessions.closed_to);
        for (row, (time, key)) in times.into_iter().zip(&ids).enumerate() {
            let has_time = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            let is_late = time.saturating_add(gap) < closed && !sessions.joins_open(*key, time, gap);
            if has_time && !is_late {
                sessions.keys.add_part(*key, Part { first: time, last: time, batch: lender, row });
            }
        }
        sessions.sealed.insert(lender, SealedBatch { states, open_parts: 0, given: Given::Nothing, came_back: false });
        Ok(ids)
    }
}

impl EarlyOperator for SessionAggregate {
    fn begin_early(&mut self, whole: bool) {
        self.early_whole = Some(whole);
    }

    fn take_changed(&mut self) -> BTreeSet<Customer> {
        std::mem::take(&mut self.changed)
    }

    fn spans_customers(&self) -> bool {
        !self.grouping.by_customer
    }

    fn early(&mut self, inputs: Vec<Early>, ask: &Ask) -> Result<Early> {
        let mut below: BTreeMap<Customer, Vec<Tagged>> = BTreeMap::new();
        for rows in inputs.into_iter().flat_map(|input| input.rows) {
            below.entry(self.grouping.owner(&rows)).or_default().push(rows);
        }
        let whole = self.early_whole.unwrap_or(false);
        let scope = if whole { Scope::Customers } else { Scope::Groups(Vec::new()) };
        let mut early = Early { rows: Vec::new(), scope };
        let customers: Vec<Customer> = match whole {
            true => {
                let known: BTreeSet<Customer> = self.customers.keys().chain(below.keys()).copied().collect();
                known.into_iter().filter(|customer| ask.is_for(*customer)).collect()
            }
            false => self.customers.keys().copied().filter(|customer| self.changed.contains(customer)).collect(),
        };
        if !whole {
            self.changed.clear();
        }
        for customer in customers {
            match below.get(&customer) {
                Some(below) => self.with_below(customer, below, &mut early)?,
                None => self.open_sessions(customer, whole, &mut early)?,
            }
        }
        Ok(early)
    }
}
