//! `session(t, gap)`: windows that grow with their key's events, whatever the order of arrival.
//!
//! Rows of one key within a pane no wider than the gap share a session, so each pane is aggregated like a tumbling
//! window and sealed to partial states once the watermark has reached its end; nothing in it can close earlier. A
//! session is a run of such parts; when the watermark has *passed* its end, their states are merged.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use fyke_types::{Error, Micros, Result, WATERMARK_START};

use super::Grouping;
use super::grouping::Evaluated;
use crate::operator::combined;
use crate::state::{PieceNumbers, RowSet, Spill, evaluate_time, partition_rows};
use crate::{
    Customer, EarlyOperator, Give, Marks, Memo, Operator, Output, Route, Snapshot, StateSize, Tagged, engine_error,
};

mod cold;
mod early;
mod keys;
mod saved;
mod spilling;

use cold::Cold;
use early::Dirty;
use keys::{KeyId, Keys};
use saved::SavedBatch;
use spilling::{Shape, Share};

/// A pane that still takes rows.
struct OpenPane {
    /// The group of a key.
    groups: hashbrown::HashMap<KeyId, usize, foldhash::fast::FixedState>,
    /// By group.
    keys: Vec<KeyId>,
    first: Vec<Micros>,
    last: Vec<Micros>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
}

/// A sealed part of a session: where its events lie, and which row of which sealed batch holds its states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    first: Micros,
    last: Micros,
    batch: u64,
    row: usize,
}

/// Rows of a sealed batch that stand in a piece of a snapshot.
enum Given {
    /// None yet.
    Nothing,
    /// All of them.
    All(usize),
    /// Those that were open then.
    Some(Vec<usize>),
}

/// States by aggregate, by state column; forgotten when none of its parts is open.
struct SealedBatch {
    states: Vec<Vec<ArrayRef>>,
    open_parts: usize,
    /// Which of its rows a snapshot has given, in that order.
    given: Given,
    /// It was on disk, and closes soon.
    came_back: bool,
}

impl SealedBatch {
    fn bytes(&self) -> usize {
        self.states.iter().flatten().map(|column| column.get_array_memory_size()).sum()
    }
}

struct Sessions {
    panes: BTreeMap<Micros, OpenPane>,
    sealed: BTreeMap<u64, SealedBatch>,
    /// When a key's session may close: (its end so far, key). Checked again when due.
    timers: BinaryHeap<Reverse<(Micros, KeyId)>>,
    keys: Keys,
    /// In memory.
    parts: usize,
    /// On disk.
    cold: Cold,
    closed_to: Micros,
    dirty: Dirty,
}

impl Default for Sessions {
    fn default() -> Self {
        let (panes, sealed, timers, keys, cold, dirty) = Default::default();
        // not zero: sessions before 1970 are open too
        Self { panes, sealed, timers, keys, parts: 0, cold, closed_to: WATERMARK_START, dirty }
    }
}

/// A finished session: its key, bounds and parts.
struct Closed {
    key: KeyId,
    start: Micros,
    end: Micros,
    parts: Vec<Part>,
}

/// See the module. State: one part per session and pane; parts are merged when they outnumber the keys by far.
pub struct SessionAggregate {
    grouping: Grouping,
    time: Arc<dyn PhysicalExpr>,
    gap: Micros,
    converter: RowConverter,
    customers: BTreeMap<Customer, Sessions>,
    marks: Marks,
    numbers: PieceNumbers,
    /// Update mode: whether all sessions of a customer are asked for, or those of changed keys.
    early_whole: Option<bool>,
    changed: BTreeSet<Customer>,
}

impl SessionAggregate {
    /// An operator without rows.
    ///
    /// # Errors
    /// When a key type cannot be compared.
    pub fn new(grouping: Grouping, time: Arc<dyn PhysicalExpr>, gap: Micros) -> Result<Self> {
        let fields = grouping.key_schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        let (customers, marks, numbers) = (BTreeMap::new(), Marks::start(), PieceNumbers::default());
        let (early_whole, changed) = (None, BTreeSet::new());
        Ok(Self { grouping, time, gap, converter, customers, marks, numbers, early_whole, changed })
    }

    /// The keys of so many rows, numbered.
    fn number_keys(&mut self, customer: Customer, keys: &[ArrayRef], rows: usize) -> Result<Vec<KeyId>> {
        let sessions = self.customers.entry(customer).or_default();
        if keys.is_empty() {
            let all = sessions.keys.number(&[]);
            return Ok(vec![all; rows]);
        }
        let rows = self.converter.convert_columns(keys)?;
        Ok(rows.iter().map(|row| sessions.keys.number(row.as_ref())).collect())
    }

    fn close(&mut self, customer: Customer, up_to: Micros, everything: bool, out: &mut Output) -> Result<()> {
        let shape = Shape { grouping: &self.grouping, converter: &self.converter, gap: self.gap };
        let Some(sessions) = self.customers.get_mut(&customer) else { return Ok(()) };
        let limit = if everything { Micros::MAX } else { up_to };
        sessions.seal(limit, self.gap, &mut self.numbers)?;
        let mut last_end = WATERMARK_START;
        let of = sessions.passes(limit, self.gap);
        for number in 0..of {
            let here_to = sessions.bring_due(shape, &mut self.numbers, limit, Share { number, of })?;
            let closed = sessions.take_ripe(shape, &mut self.numbers, limit, here_to)?;
            if closed.is_empty() {
                continue;
            }
            let batch = Self::emit(&self.grouping, &self.converter, sessions, &closed)?;
            if self.early_whole.is_some() {
                sessions.note_closed(&self.grouping, &closed, &batch);
                self.changed.insert(customer);
            }
            out.give(customer, batch);
            last_end = closed.iter().map(|session| session.end).fold(last_end, Micros::max);
            sessions.forget(&closed);
        }
        if sessions.parts > 4 * sessions.keys.len() + 4_096 {
            sessions.compact(&self.grouping, self.gap, &mut self.numbers)?;
        }
        if everything {
            sessions.closed_to = sessions.closed_to.max(last_end);
        }
        Ok(())
    }

    fn emit(
        grouping: &Grouping,
        converter: &RowConverter,
        sessions: &Sessions,
        closed: &[Closed],
    ) -> Result<datafusion::arrow::array::RecordBatch> {
        let results = sessions
            .merge_parts(grouping, closed)?
            .iter_mut()
            .map(|accumulator| accumulator.evaluate(EmitTo::All).map_err(engine_error))
            .collect::<Result<Vec<_>>>()?;
        let keys = sessions.key_columns(converter, closed.iter().map(|session| session.key))?;
        let windows = (closed.iter().map(|c| c.start).collect(), closed.iter().map(|c| c.end).collect());
        grouping.batch(Some(windows), keys, results)
    }
}

impl Sessions {
    /// The key columns of these keys, a row each.
    fn key_columns(&self, converter: &RowConverter, keys: impl Iterator<Item = KeyId>) -> Result<Vec<ArrayRef>> {
        let parser = converter.parser();
        let mut rows = keys.map(|key| parser.parse(self.keys.bytes(key))).peekable();
        if rows.peek().is_some_and(|row| row.as_ref().is_empty()) {
            // no key columns: nothing to convert
            return Ok(Vec::new());
        }
        Ok(converter.convert_rows(rows)?)
    }

    fn update(
        &mut self,
        start: Micros,
        set: &RowSet,
        ids: &[KeyId],
        times: &[Option<Micros>],
        rows: &Evaluated,
        grouping: &Grouping,
    ) -> Result<()> {
        let pane = match self.panes.entry(start) {
            std::collections::btree_map::Entry::Occupied(pane) => pane.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => place.insert(OpenPane::new(grouping)?),
        };
        let mut groups = Vec::with_capacity(set.len());
        let mut add = |row: usize| {
            if let Some(time) = times[row] {
                groups.push(pane.group(ids[row], time, &mut self.keys));
            }
        };
        match set {
            RowSet::All(rows) => (0..*rows).for_each(&mut add),
            RowSet::Run { start, rows } => (*start..start + rows).for_each(&mut add),
            RowSet::Some(rows) => rows.values().iter().for_each(|row| add(*row as usize)),
        }
        let total = pane.keys.len();
        for ((accumulator, arguments), filter) in pane.accumulators.iter_mut().zip(&rows.arguments).zip(&rows.filters) {
            let arguments = arguments.iter().map(|argument| set.of(argument)).collect::<Result<Vec<_>>>()?;
            let filter = filter.as_ref().map(|filter| set.of_filter(filter)).transpose()?;
            accumulator.update_batch(&arguments, &groups, filter.as_ref(), total).map_err(engine_error)?;
        }
        Ok(())
    }

    /// Whether an event of `key` at `time` would join a session that is still open.
    fn joins_open(&self, key: KeyId, time: Micros, gap: Micros) -> bool {
        let near = |first: Micros, last: Micros| first.saturating_sub(time) <= gap && time.saturating_sub(last) <= gap;
        self.keys.parts(key).iter().any(|part| near(part.first, part.last))
            || self
                .panes
                .values()
                .any(|pane| pane.groups.get(&key).is_some_and(|group| near(pane.first[*group], pane.last[*group])))
    }

    /// Seals the panes that end at or before `up_to`.
    fn seal(&mut self, up_to: Micros, gap: Micros, numbers: &mut PieceNumbers) -> Result<()> {
        while let Some(entry) = self.panes.first_entry() {
            if up_to != Micros::MAX && entry.key().saturating_add(gap) > up_to {
                return Ok(());
            }
            let mut pane = entry.remove();
            let states = pane
                .accumulators
                .iter_mut()
                .map(|accumulator| accumulator.state(EmitTo::All).map_err(engine_error))
                .collect::<Result<Vec<_>>>()?;
            let batch = numbers.take();
            self.parts += pane.keys.len();
            let (open_parts, given) = (pane.keys.len(), Given::Nothing);
            self.sealed.insert(batch, SealedBatch { states, open_parts, given, came_back: false });
            for (row, key) in pane.keys.iter().enumerate() {
                let part = Part { first: pane.first[row], last: pane.last[row], batch, row };
                self.keys.add_part(*key, part);
                self.keys.leave_pane(*key);
                self.timers.push(Reverse((part.last.saturating_add(gap), *key)));
            }
        }
        Ok(())
    }

    /// Keys whose session may end before `limit`.
    fn take_timers(&mut self, limit: Micros, due: &mut Vec<KeyId>) {
        while let Some(Reverse((end, key))) = self.timers.peek().copied() {
            if end >= limit && limit != Micros::MAX {
                break;
            }
            self.timers.pop();
            due.push(key);
        }
    }

    /// Takes the sessions that end before `limit`. What is on disk of keys that end before `here_to` is looked for at
    /// once, if it must be for one of them.
    fn take_ripe(
        &mut self,
        shape: Shape<'_>,
        numbers: &mut PieceNumbers,
        limit: Micros,
        here_to: Micros,
    ) -> Result<Vec<Closed>> {
        let gap = shape.gap;
        let (mut due, mut closed) = (Vec::new(), Vec::new());
        self.take_timers(limit, &mut due);
        if !self.cold.is_empty() && due.iter().any(|key| !self.keys.is_whole(*key)) {
            self.complete(shape, numbers, here_to, &[])?;
            self.take_timers(limit, &mut due);
        }
        for key in due {
            // sessions go on in panes that are not sealed yet, those up to the watermark among them
            let coming: Vec<(Micros, Micros)> = self
                .panes
                .values()
                .filter_map(|pane| pane.groups.get(&key).map(|group| (pane.first[*group], pane.last[*group])))
                .collect();
            for parts in self.keys.take_runs(key, gap, |first, last| {
                let end = last.saturating_add(gap);
                let goes_on =
                    coming.iter().any(|(f, l)| f.saturating_sub(last) <= gap && first.saturating_sub(*l) <= gap);
                (limit == Micros::MAX || end < limit) && !goes_on
            }) {
                let start = parts.iter().map(|part| part.first).min().unwrap_or_default();
                let end = parts.iter().map(|part| part.last).max().unwrap_or_default().saturating_add(gap);
                closed.push(Closed { key, start, end, parts });
            }
        }
        Ok(closed)
    }

    /// The states of these parts, by aggregate, by state column.
    fn states_of(&self, grouping: &Grouping, parts: impl Iterator<Item = Part>) -> Result<Vec<Vec<ArrayRef>>> {
        let batches: Vec<(&u64, &SealedBatch)> = self.sealed.iter().collect();
        let picks = parts.map(|part| {
            let at = batches.binary_search_by_key(&part.batch, |(number, _)| **number);
            Ok((at.map_err(|_| Error::internal("a session's part has lost its states"))?, part.row))
        });
        let picks = picks.collect::<Result<Vec<_>>>()?;
        let of = |at: usize| {
            let width = batches.first().map_or(0, |(_, batch)| batch.states[at].len());
            let column = |column: usize| {
                let columns: Vec<_> = batches.iter().map(|(_, b)| b.states[at][column].as_ref()).collect();
                Ok(interleave(&columns, &picks)?)
            };
            (0..width).map(column).collect::<Result<Vec<_>>>()
        };
        (0..grouping.aggregates.len()).map(of).collect()
    }

    /// Accumulators with a group per session, into which all its parts are merged.
    fn merge_parts(&self, grouping: &Grouping, sessions: &[Closed]) -> Result<Vec<Box<dyn GroupsAccumulator>>> {
        let of = |(group, session): (usize, &Closed)| vec![group; session.parts.len()];
        let groups: Vec<usize> = sessions.iter().enumerate().flat_map(of).collect();
        let states = self.states_of(grouping, sessions.iter().flat_map(|session| session.parts.iter().copied()))?;
        let merged = grouping.aggregates.iter().zip(states).map(|(aggregate, states)| {
            let mut accumulator = (aggregate.accumulator)().map_err(engine_error)?;
            accumulator.merge_batch(&states, &groups, sessions.len()).map_err(engine_error)?;
            Ok(accumulator)
        });
        merged.collect()
    }

    /// Drops sealed batches of which nothing is open, and keys that nothing holds.
    fn forget(&mut self, closed: &[Closed]) {
        for session in closed {
            for part in &session.parts {
                self.parts -= 1;
                if let Some(batch) = self.sealed.get_mut(&part.batch) {
                    batch.open_parts -= 1;
                    if batch.open_parts == 0 {
                        self.sealed.remove(&part.batch);
                    }
                }
            }
            self.keys.release(session.key);
            if !self.keys.is_held(session.key) {
                self.dirty.keys.remove(&session.key);
            }
        }
    }

    /// Merges the parts of each session into one, so that long sessions do not pile up parts and half-dead batches.
    fn compact(&mut self, grouping: &Grouping, gap: Micros, numbers: &mut PieceNumbers) -> Result<()> {
        let mut runs = Vec::new();
        for key in self.keys.ids() {
            for parts in self.keys.take_runs(key, gap, |_, _| true) {
                let start = parts.iter().map(|part| part.first).min().unwrap_or_default();
                let end = parts.iter().map(|part| part.last).max().unwrap_or_default();
                runs.push(Closed { key, start, end, parts });
            }
        }
        let mut merged = self.merge_parts(grouping, &runs)?;
        let states = merged
            .iter_mut()
            .map(|accumulator| accumulator.state(EmitTo::All).map_err(engine_error))
            .collect::<Result<Vec<_>>>()?;
        let batch = numbers.take();
        for (row, run) in runs.iter().enumerate() {
            self.keys.add_part(run.key, Part { first: run.start, last: run.end, batch, row });
        }
        self.parts = runs.len();
        let (open_parts, given) = (runs.len(), Given::Nothing);
        self.sealed = BTreeMap::from([(batch, SealedBatch { states, open_parts, given, came_back: false })]);
        Ok(())
    }

    fn has_open(&self) -> bool {
        !self.panes.is_empty() || self.parts > 0 || !self.cold.is_empty()
    }

    fn bytes(&self) -> usize {
        let sealed: usize = self.sealed.values().map(SealedBatch::bytes).sum();
        let open = self.panes.values().map(OpenPane::bytes);
        let timers = self.timers.capacity() * size_of::<Reverse<(Micros, KeyId)>>();
        let parts = self.parts * size_of::<Part>() + timers;
        sealed + open.sum::<usize>() + self.keys.bytes_held() + parts + self.cold.bytes()
    }
}

impl OpenPane {
    fn bytes(&self) -> usize {
        // a group's number by its key, its key, and two times
        const OF_A_GROUP: usize = 2 * size_of::<(KeyId, usize)>() + size_of::<KeyId>() + 2 * size_of::<Micros>();
        let accumulators = self.accumulators.iter().map(|accumulator| accumulator.size());
        accumulators.sum::<usize>() + self.keys.capacity() * OF_A_GROUP
    }

    fn new(grouping: &Grouping) -> Result<Self> {
        let accumulators =
            grouping.aggregates.iter().map(|a| (a.accumulator)().map_err(engine_error)).collect::<Result<_>>()?;
        Ok(Self { groups: Default::default(), keys: Vec::new(), first: Vec::new(), last: Vec::new(), accumulators })
    }

    fn group(&mut self, key: KeyId, time: Micros, keys: &mut Keys) -> usize {
        let group = *self.groups.entry(key).or_insert_with(|| {
            keys.enter_pane(key);
            self.keys.push(key);
            self.first.push(time);
            self.last.push(time);
            self.keys.len() - 1
        });
        self.first[group] = self.first[group].min(time);
        self.last[group] = self.last[group].max(time);
        group
    }
}

impl Operator for SessionAggregate {
    fn on_batch(&mut self, _: usize, rows: Tagged, out: &mut Output) -> Result<()> {
        let customer = self.grouping.owner(&rows);
        let (times, nulls) = evaluate_time(&self.time, &rows.batch)?;
        let mut times: Vec<Option<Micros>> = times
            .into_iter()
            .enumerate()
            .map(|(row, time)| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)).then_some(time))
            .collect();
        let evaluated = self.grouping.evaluate(&rows.batch)?;
        let ids = self.number_keys(customer, &evaluated.keys, times.len())?;
        let gap = self.gap;
        let shape = Shape { grouping: &self.grouping, converter: &self.converter, gap };
        let Some(sessions) = self.customers.get_mut(&customer) else { return Ok(()) };
        let closed = self.marks.of(customer).max(sessions.closed_to);
        for (time, key) in times.iter_mut().zip(&ids) {
            let Some(at) = time.filter(|at| at.saturating_add(gap) < closed) else { continue };
            if sessions.joins_open(*key, at, gap) {
                continue;
            }
            // its session may be open on disk
            sessions.complete(shape, &mut self.numbers, Micros::MIN, &[*key])?;
            if !sessions.joins_open(*key, at, gap) {
                out.late += 1;
                *time = None;
            }
        }
        let pane_of = |row: usize| times[row].map(|time| time - time.rem_euclid(gap));
        if self.early_whole.is_some() {
            sessions.dirty.keys.extend(ids.iter().zip(&times).filter(|(_, time)| time.is_some()).map(|(key, _)| *key));
            self.changed.insert(customer);
        }
        for (start, set) in partition_rows(times.len(), pane_of) {
            sessions.update(start, &set, &ids, &times, &evaluated, &self.grouping)?;
        }
        for key in ids {
            sessions.keys.release(key);
        }
        Ok(())
    }

    fn route(&self, _: usize) -> Route {
        Route::By(self.grouping.keys.clone())
    }

    fn on_epoch_close(&mut self, inputs: &[Marks], out: &mut Output) -> Result<Marks> {
        let marks = combined(inputs);
        let customers: Vec<Customer> = self.customers.keys().copied().collect();
        for customer in customers {
            let silent = marks.silent.contains(&customer);
            self.close(customer, marks.of(customer), silent, out)?;
        }
        self.marks = marks.clone();
        if !self.grouping.by_customer {
            return Ok(Marks { by: Arc::default(), ..marks }.one_lower());
        }
        let holders = self.customers.iter().filter(|(_, sessions)| sessions.has_open()).map(|(c, _)| *c);
        Ok(marks.held_by(holders).one_lower())
    }

    fn closed_ahead(&self) -> Vec<(Customer, Micros)> {
        let ahead = self.customers.iter().filter(|(_, open)| open.closed_to != WATERMARK_START);
        ahead.map(|(customer, open)| (*customer, open.closed_to)).collect()
    }

    fn close_ahead(&mut self, customer: Customer, to: Micros) {
        let open = self.customers.entry(customer).or_default();
        open.closed_to = open.closed_to.max(to);
    }

    fn describe(&self) -> String {
        format!("SessionAggregate gap {} µs of {} {}", self.gap, self.time, self.grouping.describe())
    }

    fn remembers(&self) -> Option<&'static str> {
        Some("a row for each open session and pane of a gap's width")
    }

    fn snapshot(&mut self, give: Give<'_>) -> Result<Option<Memo>> {
        for (customer, sessions) in &mut self.customers {
            sessions.seal(Micros::MAX, self.gap, &mut self.numbers)?;
            let shape = Shape { grouping: &self.grouping, converter: &self.converter, gap: self.gap };
            sessions.give(*customer, shape, give)?;
        }
        Ok(Some(Memo { next_piece: self.numbers.next(), closed: self.closed_ahead(), emitted: false }))
    }

    fn restore(&mut self, snapshot: Snapshot) -> Result<()> {
        self.numbers = PieceNumbers::from(snapshot.memo.next_piece);
        for piece in &snapshot.pieces {
            let content = SavedBatch::read(piece.content()?, self.grouping.keys.len())?;
            let customer = piece.place.customer;
            let keys = self.number_keys(customer, &content.keys, content.first.len())?;
            let sessions = self.customers.entry(customer).or_default();
            sessions.take_back(piece, content, &keys, self.gap);
            if self.early_whole.is_some() {
                sessions.dirty.keys.extend(sessions.keys.ids());
                self.changed.insert(customer);
            }
        }
        for (customer, closed_to) in snapshot.memo.closed {
            self.customers.entry(customer).or_default().closed_to = closed_to;
        }
        Ok(())
    }

    fn as_early(&mut self) -> Option<&mut dyn EarlyOperator> {
        Some(self)
    }

    fn spill(&mut self, to: &Arc<Spill>, bytes: usize) -> Result<usize> {
        if self.early_whole == Some(true) {
            // all of them are asked for again and again
            return Ok(0);
        }
        let shape = Shape { grouping: &self.grouping, converter: &self.converter, gap: self.gap };
        let mut largest: Vec<&mut Sessions> = self.customers.values_mut().collect();
        largest.sort_by_cached_key(|sessions| Reverse(sessions.bytes()));
        let mut free = 0;
        for sessions in largest {
            if free >= bytes {
                break;
            }
            free += sessions.spill(shape, &mut self.numbers, to, bytes - free)?;
        }
        Ok(free)
    }

    fn state_size(&self) -> StateSize {
        self.customers.values().fold(StateSize::default(), |sum, sessions| StateSize {
            rows: sum.rows + sessions.keys.len() + sessions.cold.parts(),
            bytes: sum.bytes + sessions.bytes(),
        })
    }
}
