//! Each left row with the latest right row of its key at or before its match time.
//!
//! A left row waits until the right input's watermark shows that every right row up to its match time is there; so the
//! answer does not depend on the order of arrival. Of right rows with the same match time the greatest is taken, column by
//! column. The right rows that a coming left row may still match are kept: of those the left input's watermark has
//! passed, the latest of each key.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, new_null_array};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::row::{RowConverter, SortField};
use fyke_types::{Error, Micros, Result, WATERMARK_END, WATERMARK_START};

use super::JoinPort;
use super::join_port::{JoinKeys, Known, pick_rows};
use crate::operator::combined;
use crate::state::{Entry, KeyId, PieceNumbers, RowAt, Spill, Waiting, evaluate};
use crate::{Customer, Give, Marks, Memo, Operator, Output, Route, Snapshot, StateSize, Tagged};

const LEFT: usize = 0;
const RIGHT: usize = 1;

/// So many rows are given together.
const AT_ONCE: usize = 8_192;

/// What an as-of join is made of.
pub struct AsOfShape {
    /// Its `until` is the match time plus `reach`: the last mark of the right input at which a match may still come.
    pub left: JoinPort,
    /// Its `until` is the match time.
    pub right: JoinPort,
    /// How far the right match time may lie behind the mark of its input, µs.
    pub reach: Micros,
    /// How far the left match time may lie behind the mark of its input, µs; none: any far, so nothing is forgotten.
    pub left_behind: Option<Micros>,
    /// Types of the keys.
    pub key_types: Vec<DataType>,
    /// Whether left rows without a match are given, with nulls.
    pub outer: bool,
    /// Columns of the right input.
    pub right_schema: SchemaRef,
    /// Columns that come out: left, then right.
    pub schema: SchemaRef,
    /// Whether the keys hold the customer, so that its own watermark applies.
    pub by_customer: bool,
}

/// What waits for one customer, or for all.
struct Open {
    waiting: Waiting,
    /// By input: the mark in force.
    closed: [Micros; 2],
    /// Up to where right rows are late since their customer fell silent.
    closed_to: Micros,
}

impl Default for Open {
    fn default() -> Self {
        Self { waiting: Waiting::default(), closed: [WATERMARK_START; 2], closed_to: WATERMARK_START }
    }
}

/// See the module. State: left rows that wait, and right rows that may be matched.
pub struct AsOfJoin {
    shape: AsOfShape,
    keys: JoinKeys,
    /// Decides between right rows of the same match time.
    order: RowConverter,
    open: BTreeMap<Customer, Open>,
    marks: [Marks; 2],
    numbers: PieceNumbers,
}

impl AsOfJoin {
    /// An operator without rows.
    ///
    /// # Errors
    /// When a key or right column has a type that cannot be compared.
    pub fn new(shape: AsOfShape) -> Result<Self> {
        let keys = JoinKeys::new(shape.key_types.clone(), false)?;
        let fields = shape.right_schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        let order = RowConverter::new(fields.collect())?;
        let marks = [Marks::start(), Marks::start()];
        Ok(Self { shape, keys, order, open: BTreeMap::new(), marks, numbers: PieceNumbers::default() })
    }

    fn port(&self, port: usize) -> &JoinPort {
        if port == LEFT { &self.shape.left } else { &self.shape.right }
    }

    /// What is known of rows; right rows wait in the order of their match time, and have no other time that matters.
    fn know(&self, port: usize, batch: &RecordBatch) -> Result<(Known, Vec<Option<Micros>>)> {
        let mut known = self.keys.know(self.port(port), batch)?;
        let times = known.at.clone();
        if port == RIGHT {
            known.at.clone_from(&known.until);
        }
        Ok((known, times))
    }

    fn give(
        &self,
        customer: Customer,
        left: Vec<ArrayRef>,
        right: Option<Vec<ArrayRef>>,
        rows: usize,
        out: &mut Output,
    ) -> Result<()> {
        let nulls = || {
            let fields = self.shape.right_schema.fields().iter();
            fields.map(|field| new_null_array(field.data_type(), rows)).collect()
        };
        let columns = left.into_iter().chain(right.unwrap_or_else(nulls)).collect();
        out.give(customer, RecordBatch::try_new(Arc::clone(&self.shape.schema), columns)?);
        Ok(())
    }

    /// Answers the left rows that the right input's mark has passed.
    fn answer(&mut self, customer: Customer, mark: Micros, out: &mut Output) -> Result<Option<Micros>> {
        let Some(mut open) = self.open.remove(&customer) else { return Ok(None) };
        let due = open.waiting.take_due(LEFT, mark);
        let (mut pairs, mut alone) = ((Vec::new(), Vec::new()), Vec::new());
        for (key, entry) in &due {
            let match_time = entry.until.saturating_sub(self.shape.reach);
            match self.latest(&open.waiting, *key, match_time)? {
                Some(right) => {
                    pairs.0.push(entry.row);
                    pairs.1.push(right);
                }
                None => alone.push(entry.row),
            }
        }
        for (left, right) in pairs.0.chunks(AT_ONCE).zip(pairs.1.chunks(AT_ONCE)) {
            let (columns, right) = (open.waiting.pick(LEFT, left)?, open.waiting.pick(RIGHT, right)?);
            self.give(customer, columns, Some(right), left.len(), out)?;
        }
        for left in alone.chunks(AT_ONCE).filter(|_| self.shape.outer) {
            self.give(customer, open.waiting.pick(LEFT, left)?, None, left.len(), out)?;
        }
        let mut keys: Vec<KeyId> = due.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        self.prune(&mut open, keys);
        open.waiting.forget(LEFT, &due);
        open.waiting.compact(LEFT, &mut self.numbers)?;
        self.open.insert(customer, open);
        Ok(due.iter().map(|(_, entry)| entry.until).max())
    }

    /// The latest right row at or before a time.
    fn latest(&self, waiting: &Waiting, key: KeyId, at: Micros) -> Result<Option<RowAt>> {
        let rows = waiting.keys.rows(RIGHT, key);
        let rows = &rows[..rows.partition_point(|entry| entry.at <= at)];
        let Some(last) = rows.last() else { return Ok(None) };
        let same: Vec<RowAt> =
            rows.iter().rev().take_while(|entry| entry.at == last.at).map(|entry| entry.row).collect();
        if same.len() == 1 {
            return Ok(Some(last.row));
        }
        let columns = waiting.pick(RIGHT, &same)?;
        let order = self.order.convert_columns(&columns)?;
        Ok((0..same.len()).max_by(|a, b| order.row(*a).cmp(&order.row(*b))).map(|at| same[at]))
    }

    /// Forgets right rows of these keys that no left row can match any more, since a later one will do.
    fn prune(&self, open: &mut Open, keys: Vec<KeyId>) {
        let Some(behind) = self.shape.left_behind else { return };
        let Open { waiting, closed, .. } = open;
        let coming = if closed[LEFT] == WATERMARK_END { WATERMARK_END } else { closed[LEFT].saturating_sub(behind) };
        let mut taken = Vec::new();
        for key in keys {
            let left = waiting.keys.rows(LEFT, key).iter().map(|entry| entry.until.saturating_sub(self.shape.reach));
            let least = left.fold(coming, Micros::min);
            let rows = waiting.keys.rows(RIGHT, key);
            let Some(last) = rows[..rows.partition_point(|entry| entry.at <= least)].last().copied() else { continue };
            waiting.take(RIGHT, key, |entry: &Entry| entry.at < last.at, &mut taken);
        }
        waiting.forget(RIGHT, &taken);
    }

    /// Right rows that the left input's mark has passed: only the latest of each key is still of use.
    fn prune_passed(&mut self, customer: Customer, mark: Micros) -> Result<()> {
        let Some(behind) = self.shape.left_behind else { return Ok(()) };
        let Some(mut open) = self.open.remove(&customer) else { return Ok(()) };
        let passed = if mark == WATERMARK_END { mark } else { mark.saturating_sub(behind).saturating_add(1) };
        let keys = open.waiting.due_keys(RIGHT, passed);
        self.prune(&mut open, keys);
        open.waiting.compact(RIGHT, &mut self.numbers)?;
        self.open.insert(customer, open);
        Ok(())
    }
}

impl Operator for AsOfJoin {
    fn on_batch(&mut self, port: usize, rows: Tagged, out: &mut Output) -> Result<()> {
        let customer = if self.shape.by_customer { rows.customer } else { Customer::ALL };
        let (known, times) = self.know(port, &rows.batch)?;
        let open = self.open.entry(customer).or_default();
        let mut closed = self.marks[port].of(customer).max(open.closed[port]);
        if port == RIGHT {
            closed = closed.max(open.closed_to);
        }
        let (mut hopeful, mut hopeless) = (Vec::new(), Vec::new());
        for (row, time) in times.into_iter().enumerate() {
            if time.is_some_and(|time| time < closed) {
                out.late += 1;
            } else if known.has_key(row) && known.until[row].is_some() && known.at[row].is_some() {
                hopeful.push(row as u32);
            } else {
                hopeless.push(row as u32);
            }
        }
        if !hopeful.is_empty() {
            open.waiting.insert(port, self.numbers.take(), known.arrivals(&rows.batch, &hopeful)?);
        }
        if port == LEFT && self.shape.outer && !hopeless.is_empty() {
            let left = pick_rows(&rows.batch, &hopeless)?;
            self.give(customer, left.columns().to_vec(), None, left.num_rows(), out)?;
        }
        Ok(())
    }

    fn route(&self, port: usize) -> Route {
        Route::By(self.port(port).keys.clone())
    }

    fn saved_keys(&self, port: usize, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        self.port(port).keys.iter().map(|key| evaluate(key, rows)).collect()
    }

    fn on_epoch_close(&mut self, inputs: &[Marks], out: &mut Output) -> Result<Marks> {
        let [left, right] = inputs else { return Err(Error::internal("a join has two inputs")) };
        self.marks = [left.clone(), right.clone()];
        let silent = combined(inputs).silent;
        let customers: Vec<Customer> = self.open.keys().copied().collect();
        for customer in customers {
            if let Some(open) = self.open.get_mut(&customer) {
                open.closed[LEFT] = open.closed[LEFT].max(left.of(customer));
            }
            self.prune_passed(customer, left.of(customer))?;
            self.answer(customer, right.of(customer), out)?;
            let last = if silent.contains(&customer) { self.answer(customer, WATERMARK_END, out)? } else { None };
            if let Some(open) = self.open.get_mut(&customer) {
                open.closed[RIGHT] = open.closed[RIGHT].max(right.of(customer));
                open.closed_to = open.closed_to.max(last.map_or(WATERMARK_START, |last| last.saturating_add(1)));
            }
        }
        let waiting = self.open.iter().filter_map(|(customer, open)| Some((*customer, open.waiting.least(LEFT)?)));
        // what comes out has the left row's times
        Ok(Marks { silent, ..left.clone() }.held_at(waiting, self.shape.by_customer))
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
        let keys = self.shape.left.keys.iter().zip(&self.shape.right.keys);
        let keys: Vec<String> = keys.map(|(left, right)| format!("{left} = {right}")).collect();
        let until = |port: &JoinPort| port.until.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let kind = if self.shape.outer { "left" } else { "inner" };
        let mark =
            if self.shape.by_customer { "each customer's watermark" } else { "the watermark over all customers" };
        format!(
            "AsOfJoin {kind} on [{}]: the latest right row by {}; left rows wait until the right side's mark has passed {}, by {mark}",
            keys.join(", "),
            until(&self.shape.right),
            until(&self.shape.left),
        )
    }

    fn remembers(&self) -> Option<&'static str> {
        Some("left rows that wait, and the right rows that may be matched: the latest of each key for ever")
    }

    fn snapshot(&mut self, give: Give<'_>) -> Result<Option<Memo>> {
        for (customer, open) in &mut self.open {
            open.waiting.give(*customer, &mut self.numbers, give)?;
        }
        Ok(Some(Memo { next_piece: self.numbers.next(), closed: self.closed_ahead(), emitted: false }))
    }

    fn restore(&mut self, snapshot: Snapshot) -> Result<()> {
        self.numbers = PieceNumbers::from(snapshot.memo.next_piece);
        for piece in &snapshot.pieces {
            let (port, rows) = (piece.place.port as usize, piece.content()?);
            if port > RIGHT {
                return Err(Error::data(format!("{} has no input {port}", self.describe())));
            }
            let (known, _) = self.know(port, rows)?;
            let all: Vec<u32> = (0..rows.num_rows() as u32).collect();
            let open = self.open.entry(piece.place.customer).or_default();
            open.waiting.take_back(piece, known.arrivals(rows, &all)?);
        }
        for (customer, closed_to) in snapshot.memo.closed {
            self.open.entry(customer).or_default().closed_to = closed_to;
        }
        Ok(())
    }

    fn spill(&mut self, to: &Arc<Spill>, bytes: usize) -> Result<usize> {
        let mut free = 0;
        for open in self.open.values_mut() {
            free += open.waiting.spill(to, bytes.saturating_sub(free))?;
        }
        Ok(free)
    }

    fn state_size(&self) -> StateSize {
        self.open.values().fold(StateSize::default(), |sum, open| StateSize {
            rows: sum.rows + open.waiting.len(),
            bytes: sum.bytes + open.waiting.bytes(),
        })
    }
}
