//! Two streams joined where their times lie near each other.
//!
//! A row waits until the other input's watermark shows that no partner can come any more; what found none is then given
//! by an outer join. Which pairs match is decided by the condition itself, so that bounds are exact; the bounds only
//! say how long a row waits. A row is late if its input's watermark has passed its time. The mark behind is held by the
//! rows that wait, so both times of a pair are in time for whatever stands behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, new_null_array};
use datafusion::arrow::compute::{filter, take};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::JoinType;
use datafusion::physical_expr::PhysicalExpr;
use fyke_types::{Error, Micros, Result, WATERMARK_END, WATERMARK_START};

use super::JoinPort;
use super::join_port::{JoinKeys, Known, pick_rows};
use crate::operator::combined;
use crate::state::{KeyId, PieceNumbers, RowAt, Spill, Waiting, evaluate, evaluate_filter};
use crate::{Customer, Give, Marks, Memo, Operator, Output, Route, Snapshot, StateSize, Tagged};

/// So many pairs, or rows without partner, are looked at together.
const AT_ONCE: usize = 8_192;

/// What a join is made of.
pub struct JoinShape {
    /// Inner, outer, semi or anti, of either side.
    pub join_type: JoinType,
    /// Left and right.
    pub ports: [JoinPort; 2],
    /// Types of the keys.
    pub key_types: Vec<DataType>,
    /// Whether keys that are null are equal.
    pub nulls_match: bool,
    /// Over columns of a pair: which pairs match, beside their keys.
    pub condition: Option<Arc<dyn PhysicalExpr>>,
    /// Columns of a pair: left, then right.
    pub pair: SchemaRef,
    /// Columns that come out.
    pub schema: SchemaRef,
    /// Whether the keys hold the customer, so that its own watermark applies.
    pub by_customer: bool,
}

/// Which side's rows leave with their first partner: of a semi join they are given then, of an anti join never.
fn first_match(join_type: JoinType) -> Option<(usize, bool)> {
    match join_type {
        JoinType::LeftSemi => Some((0, true)),
        JoinType::RightSemi => Some((1, true)),
        JoinType::LeftAnti => Some((0, false)),
        JoinType::RightAnti => Some((1, false)),
        _ => None,
    }
}

impl JoinShape {
    /// Whether rows of a side are given that found no partner.
    fn gives_unmatched(&self, port: usize) -> bool {
        match self.join_type {
            JoinType::Full => true,
            JoinType::Left | JoinType::LeftAnti => port == 0,
            JoinType::Right | JoinType::RightAnti => port == 1,
            _ => false,
        }
    }

    /// Whether it must be known of a side's waiting rows if they found a partner.
    fn counts_matches(&self, port: usize) -> bool {
        first_match(self.join_type).is_none() && self.gives_unmatched(port)
    }

    /// Output rows of one side's columns alone.
    fn alone(&self, port: usize, own: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        if first_match(self.join_type).is_some() {
            return Ok(RecordBatch::try_new(Arc::clone(&self.schema), own)?);
        }
        let others =
            if port == 0 { own.len()..self.pair.fields().len() } else { 0..self.pair.fields().len() - own.len() };
        let nulls = others.map(|at| new_null_array(self.pair.field(at).data_type(), rows));
        let columns: Vec<ArrayRef> = match port {
            0 => own.into_iter().chain(nulls).collect(),
            _ => nulls.chain(own).collect(),
        };
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// What waits for one customer, or for all.
struct Open {
    waiting: Waiting,
    /// By input: the mark behind which partners may be gone already.
    closed: [Micros; 2],
    /// Up to where partners were forgotten since their customer fell silent.
    closed_to: Micros,
}

impl Default for Open {
    fn default() -> Self {
        Self { waiting: Waiting::default(), closed: [WATERMARK_START; 2], closed_to: WATERMARK_START }
    }
}

/// See the module. State: the rows that wait, each once.
pub struct IntervalJoin {
    shape: JoinShape,
    keys: JoinKeys,
    open: BTreeMap<Customer, Open>,
    marks: [Marks; 2],
    numbers: PieceNumbers,
}

/// Pairs that may match: rows that have come, and rows that have waited.
#[derive(Default)]
struct Pairs {
    come: Vec<u32>,
    waited: Vec<(KeyId, RowAt)>,
}

/// A batch that has come, and what is found out about it.
struct Arrived<'a> {
    port: usize,
    customer: Customer,
    batch: &'a RecordBatch,
    known: &'a Known,
    matched: Vec<bool>,
    /// Rows of the other side that leave with this, their first, partner.
    leaving: Vec<(KeyId, RowAt)>,
}

impl IntervalJoin {
    /// An operator without rows.
    ///
    /// # Errors
    /// When a key type cannot be compared.
    pub fn new(shape: JoinShape) -> Result<Self> {
        let keys = JoinKeys::new(shape.key_types.clone(), shape.nulls_match)?;
        let marks = [Marks::start(), Marks::start()];
        Ok(Self { shape, keys, open: BTreeMap::new(), marks, numbers: PieceNumbers::default() })
    }

    fn give_rows(
        &self,
        port: usize,
        customer: Customer,
        batch: &RecordBatch,
        rows: &[u32],
        out: &mut Output,
    ) -> Result<()> {
        if !rows.is_empty() {
            let batch = pick_rows(batch, rows)?;
            out.give(customer, self.shape.alone(port, batch.columns().to_vec(), batch.num_rows())?);
        }
        Ok(())
    }

    /// Finds the partners of rows that have come; `hopeful` are the rows that may have any.
    fn probe(&mut self, arrived: &mut Arrived<'_>, hopeful: &[u32], out: &mut Output) -> Result<()> {
        let Some(open) = self.open.get_mut(&arrived.customer) else { return Ok(()) };
        let known = arrived.known;
        let mut pairs = Pairs::default();
        for row in hopeful {
            let Some(key) = open.waiting.keys.find(known.key(*row as usize)) else { continue };
            let (Some(at), Some(until)) = (known.at[*row as usize], known.until[*row as usize]) else { continue };
            let mut from = 0;
            loop {
                let others = open.waiting.keys.rows(1 - arrived.port, key);
                let end = others.partition_point(|entry| entry.at <= until);
                let Some(next) = others.get(from..end).filter(|next| !next.is_empty()) else { break };
                let room = AT_ONCE - pairs.come.len();
                let take = next.len().min(room);
                for entry in next[..take].iter().filter(|entry| entry.until >= at) {
                    pairs.come.push(*row);
                    pairs.waited.push((key, entry.row));
                }
                from += take;
                if pairs.come.len() >= AT_ONCE {
                    match_pairs(&self.shape, open, arrived, &mut pairs, out)?;
                }
            }
        }
        match_pairs(&self.shape, open, arrived, &mut pairs, out)
    }

    /// Rows that are given or dropped with their first partner.
    fn leave(&mut self, arrived: &mut Arrived<'_>, out: &mut Output) -> Result<()> {
        let Some((side, is_given)) = first_match(self.shape.join_type) else { return Ok(()) };
        let Some(open) = self.open.get_mut(&arrived.customer) else { return Ok(()) };
        if arrived.port != side {
            let rows: Vec<RowAt> = arrived.leaving.iter().map(|(_, row)| *row).collect();
            for rows in rows.chunks(AT_ONCE).filter(|_| is_given) {
                let columns = open.waiting.pick(side, rows)?;
                out.give(arrived.customer, self.shape.alone(side, columns, rows.len())?);
            }
            let gone: hashbrown::HashSet<RowAt, foldhash::fast::FixedState> = rows.into_iter().collect();
            let mut keys: Vec<KeyId> = arrived.leaving.iter().map(|(key, _)| *key).collect();
            keys.sort_unstable();
            keys.dedup();
            let mut taken = Vec::new();
            keys.into_iter()
                .for_each(|key| open.waiting.take(side, key, |entry| gone.contains(&entry.row), &mut taken));
            open.waiting.forget(side, &taken);
            return Ok(());
        }
        if is_given {
            let rows: Vec<u32> =
                (0..arrived.matched.len()).filter(|row| arrived.matched[*row]).map(|row| row as u32).collect();
            self.give_rows(side, arrived.customer, arrived.batch, &rows, out)?;
        }
        Ok(())
    }

    /// Keeps rows for partners that may come.
    fn keep(&mut self, arrived: &Arrived<'_>, hopeful: Vec<u32>) -> Result<()> {
        let Arrived { port, customer, batch, known, matched, .. } = arrived;
        let leaves = first_match(self.shape.join_type).is_some_and(|(side, _)| side == *port);
        let is_over = |open: &Open, row: u32| {
            !self.shape.gives_unmatched(*port)
                && known.until[row as usize].is_none_or(|until| until < open.closed[1 - port])
        };
        let open = self.open.entry(*customer).or_default();
        let has_left = |row: u32| leaves && matched[row as usize];
        let rows: Vec<u32> = hopeful.into_iter().filter(|row| !(has_left(*row) || is_over(open, *row))).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let mut arrivals = known.arrivals(batch, &rows)?;
        if self.shape.counts_matches(*port) {
            arrivals.matched = Some(rows.iter().map(|row| matched[*row as usize]).collect());
        }
        open.waiting.insert(*port, self.numbers.take(), arrivals);
        Ok(())
    }

    /// Forgets the rows of an input that can find no partner any more, and gives those that an outer join gives.
    /// Returns the greatest time that a partner could have had.
    fn close(&mut self, customer: Customer, port: usize, mark: Micros, out: &mut Output) -> Result<Option<Micros>> {
        let Some(open) = self.open.get_mut(&customer) else { return Ok(None) };
        let due = open.waiting.take_due(port, mark);
        if self.shape.gives_unmatched(port) {
            let rows = open.waiting.rows(port);
            let alone: Vec<RowAt> =
                due.iter().map(|(_, entry)| entry.row).filter(|row| !rows.is_matched(*row)).collect();
            for rows in alone.chunks(AT_ONCE) {
                let columns = open.waiting.pick(port, rows)?;
                out.give(customer, self.shape.alone(port, columns, rows.len())?);
            }
        }
        open.waiting.forget(port, &due);
        open.waiting.compact(port, &mut self.numbers)?;
        Ok(due.iter().map(|(_, entry)| entry.until).max())
    }
}

/// Gives the pairs that match, and notes who has found a partner.
fn match_pairs(
    shape: &JoinShape,
    open: &mut Open,
    arrived: &mut Arrived<'_>,
    pairs: &mut Pairs,
    out: &mut Output,
) -> Result<()> {
    let Pairs { come, waited } = std::mem::take(pairs);
    if come.is_empty() {
        return Ok(());
    }
    let other = 1 - arrived.port;
    let places: Vec<RowAt> = waited.iter().map(|(_, row)| *row).collect();
    let waited_columns = open.waiting.pick(other, &places)?;
    let indices = UInt32Array::from(come);
    let own = arrived.batch.columns().iter().map(|column| Ok(take(column, &indices, None)?));
    let own = own.collect::<Result<Vec<ArrayRef>>>()?;
    let columns: Vec<ArrayRef> = match arrived.port {
        0 => own.into_iter().chain(waited_columns).collect(),
        _ => waited_columns.into_iter().chain(own).collect(),
    };
    let all = RecordBatch::try_new(Arc::clone(&shape.pair), columns)?;
    let matches = match &shape.condition {
        Some(condition) => evaluate_filter(condition, &all)?,
        None => BooleanArray::from(vec![true; all.num_rows()]),
    };
    for (pair, row) in indices.values().iter().enumerate() {
        if !(matches.is_valid(pair) && matches.value(pair)) {
            continue;
        }
        arrived.matched[*row as usize] = true;
        if let Some((side, _)) = first_match(shape.join_type) {
            if side == other && open.waiting.rows_mut(other).set_matched(places[pair]) {
                arrived.leaving.push(waited[pair]);
            }
        } else if shape.counts_matches(other) {
            open.waiting.rows_mut(other).set_matched(places[pair]);
        }
    }
    if first_match(shape.join_type).is_none() {
        let columns = all.columns().iter().map(|column| Ok(filter(column, &matches)?)).collect::<Result<Vec<_>>>()?;
        out.give(arrived.customer, RecordBatch::try_new(Arc::clone(&shape.schema), columns)?);
    }
    Ok(())
}

impl Operator for IntervalJoin {
    fn on_batch(&mut self, port: usize, rows: Tagged, out: &mut Output) -> Result<()> {
        let Some(ours) = self.shape.ports.get(port) else {
            return Err(Error::internal(format!("a join has no input {port}")));
        };
        let customer = if self.shape.by_customer { rows.customer } else { Customer::ALL };
        let known = self.keys.know(ours, &rows.batch)?;
        let open = self.open.entry(customer).or_default();
        let closed = self.marks[port].of(customer).max(open.closed[port]).max(open.closed_to);
        let (mut hopeful, mut hopeless) = (Vec::new(), Vec::new());
        for row in 0..rows.batch.num_rows() {
            if known.at[row].is_some_and(|at| at < closed) {
                out.late += 1;
            } else if known.has_hope(row) {
                hopeful.push(row as u32);
            } else {
                hopeless.push(row as u32);
            }
        }
        if self.shape.gives_unmatched(port) {
            self.give_rows(port, customer, &rows.batch, &hopeless, out)?;
        }
        let matched = vec![false; rows.batch.num_rows()];
        let mut arrived = Arrived { port, customer, batch: &rows.batch, known: &known, matched, leaving: Vec::new() };
        self.probe(&mut arrived, &hopeful, out)?;
        self.leave(&mut arrived, out)?;
        self.keep(&arrived, hopeful)
    }

    fn route(&self, port: usize) -> Route {
        Route::By(self.shape.ports.get(port).map(|port| port.keys.clone()).unwrap_or_default())
    }

    fn saved_keys(&self, port: usize, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        self.shape.ports[port % 2].keys.iter().map(|key| evaluate(key, rows)).collect()
    }

    fn on_epoch_close(&mut self, inputs: &[Marks], out: &mut Output) -> Result<Marks> {
        let [left, right] = inputs else { return Err(Error::internal("a join has two inputs")) };
        self.marks = [left.clone(), right.clone()];
        let marks = combined(inputs);
        let customers: Vec<Customer> = self.open.keys().copied().collect();
        for customer in customers {
            for (port, mark) in [right.of(customer), left.of(customer)].into_iter().enumerate() {
                self.close(customer, port, mark, out)?;
                if let Some(open) = self.open.get_mut(&customer) {
                    open.closed[1 - port] = open.closed[1 - port].max(mark);
                }
            }
            if marks.silent.contains(&customer) {
                for port in 0..2 {
                    let last = self.close(customer, port, WATERMARK_END, out)?;
                    if let (Some(last), Some(open)) = (last, self.open.get_mut(&customer)) {
                        open.closed_to = open.closed_to.max(last.saturating_add(1));
                    }
                }
            }
        }
        let waiting = self.open.iter().filter_map(|(customer, open)| {
            let least = [open.waiting.least(0), open.waiting.least(1)].into_iter().flatten().min()?;
            Some((*customer, least))
        });
        Ok(marks.held_at(waiting, self.shape.by_customer))
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
        let list = |all: Vec<String>| all.join(", ");
        let keys = self.shape.ports[0].keys.iter().zip(&self.shape.ports[1].keys);
        let keys = list(keys.map(|(left, right)| format!("{left} = {right}")).collect());
        let until = |port: &JoinPort| list(port.until.iter().map(ToString::to_string).collect());
        let [left, right] = &self.shape.ports;
        let condition = self.shape.condition.as_ref().map_or(String::new(), |condition| format!(" where {condition}"));
        let mark =
            if self.shape.by_customer { "each customer's watermark" } else { "the watermark over all customers" };
        format!(
            "IntervalJoin {} on [{keys}]{condition}; left rows wait until the right side's mark has passed [{}], right rows \
             until the left side's has passed [{}], by {mark}",
            self.shape.join_type,
            until(left),
            until(right)
        )
    }

    fn remembers(&self) -> Option<&'static str> {
        Some("the rows of both sides that may still find a partner")
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
            let rows = piece.content()?;
            let known = self.keys.know(&self.shape.ports[piece.place.port as usize % 2], rows)?;
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

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, TimestampMicrosecondArray};
    use datafusion::arrow::datatypes::{Field, Schema};
    use datafusion::physical_expr::expressions::Column;
    use fyke_types::window;

    use super::*;
    use crate::Piece;
    use crate::operators::Shifted;

    fn schema(sides: usize) -> SchemaRef {
        let side = [Field::new("time", window::TIME, true), Field::new("key", DataType::Int64, true)];
        Arc::new(Schema::new(side.iter().cycle().take(2 * sides).cloned().collect::<Vec<_>>()))
    }

    /// Equal keys, and at most `reach` between the times.
    fn join(join_type: JoinType, reach: Micros) -> IntervalJoin {
        let column = |name: &str, at: usize| -> Arc<dyn PhysicalExpr> { Arc::new(Column::new(name, at)) };
        let port = || JoinPort {
            keys: vec![column("key", 1)],
            times: vec![Shifted { time: column("time", 0), by: 0 }],
            until: vec![Shifted { time: column("time", 0), by: reach }],
        };
        let shape = JoinShape {
            join_type,
            ports: [port(), port()],
            key_types: vec![DataType::Int64],
            nulls_match: false,
            // the bounds are closed: they say who matches
            condition: None,
            pair: schema(2),
            schema: schema(2),
            by_customer: false,
        };
        IntervalJoin::new(shape).expect("integers compare")
    }

    fn rows(rows: &[(Micros, i64)]) -> Tagged {
        let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.0));
        let keys = Int64Array::from_iter_values(rows.iter().map(|row| row.1));
        let batch = RecordBatch::try_new(schema(1), vec![Arc::new(times), Arc::new(keys)]).expect("fits");
        Tagged { customer: Customer::ALL, batch }
    }

    fn count(out: &Output) -> usize {
        out.rows.iter().map(|rows| rows.batch.num_rows()).sum()
    }

    #[test]
    fn state_holds_the_reach_alone_however_small_the_batches_are() {
        let mut join = join(JoinType::Full, 100);
        let mut out = Output::default();
        for time in 0..20_000 {
            // every third left row and every fifth right row has no partner
            join.on_batch(0, rows(&[(time, if time % 3 == 0 { -1 } else { time % 7 })]), &mut out).expect("takes");
            join.on_batch(1, rows(&[(time, if time % 5 == 0 { -2 } else { time % 7 })]), &mut out).expect("takes");
            let marks = Marks::same(time);
            let after = join.on_epoch_close(&[marks.clone(), marks], &mut out).expect("closes");
            assert!(after.all >= time - 101, "held by what waits: {} at {time}", after.all);
            let size = join.state_size();
            assert!(size.rows <= 204, "{} rows at {time}", size.rows);
            // dead rows and small batches do not pile up
            assert!(size.bytes < 200_000, "{} bytes at {time}", size.bytes);
        }
        let alone = 20_000_i64.div_euclid(3) + 1 + 20_000_i64.div_euclid(5);
        join.on_epoch_close(&[Marks::end(), Marks::end()], &mut out).expect("closes");
        assert_eq!(join.state_size().rows, 0);
        let nulls = out.rows.iter().map(|rows| rows.batch.column(0).null_count() + rows.batch.column(2).null_count());
        assert_eq!(nulls.sum::<usize>() as i64, alone);
        assert_eq!(out.late, 0);
    }

    #[test]
    fn snapshots_give_each_row_once_more_when_it_has_found_a_partner() {
        let mut first = join(JoinType::Left, 10);
        let mut out = Output::default();
        let mut kept: BTreeMap<u64, Piece> = BTreeMap::new();
        let mut written = 0;
        let mut snapshot = |join: &mut IntervalJoin| {
            let mut now = BTreeMap::new();
            let memo = join.snapshot(&mut |piece| {
                let rows = piece.rows.clone().or_else(|| kept.get(&piece.number).and_then(|known| known.rows.clone()));
                written += piece.rows.as_ref().map_or(0, RecordBatch::num_rows);
                now.insert(piece.number, Piece { rows, kept: true, ..piece });
                Ok(())
            });
            kept = now;
            (memo.expect("reads").expect("state"), kept.values().cloned().collect::<Vec<_>>(), written)
        };
        first.on_batch(0, rows(&[(1, 1), (2, 2), (3, 3)]), &mut out).expect("takes");
        assert_eq!(snapshot(&mut first).2, 3);
        assert_eq!(snapshot(&mut first).2, 3, "nothing has changed");
        first.on_batch(1, rows(&[(4, 2)]), &mut out).expect("takes");
        let (memo, pieces, written) = snapshot(&mut first);
        assert_eq!((count(&out), written), (1, 5), "the row that has matched, and its partner");
        let mut second = join(JoinType::Left, 10);
        second.restore(Snapshot { pieces, memo }).expect("restores");
        assert_eq!(second.state_size().rows, 4);
        for join in [&mut first, &mut second] {
            let mut out = Output::default();
            join.on_epoch_close(&[Marks::same(3), Marks::same(12)], &mut out).expect("closes");
            assert_eq!(count(&out), 1, "row 1 alone: row 2 has found a partner, row 3 may find one");
            join.on_batch(1, rows(&[(13, 3), (13, 1)]), &mut out).expect("takes");
            join.on_epoch_close(&[Marks::end(), Marks::end()], &mut out).expect("closes");
            assert_eq!(count(&out), 2);
        }
    }
}
