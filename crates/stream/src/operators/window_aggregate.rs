//! `GROUP BY` with a window that does not overlap others: `tumble`, a window from below, or none at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::TimestampMicrosecondType;
use datafusion::physical_expr::PhysicalExpr;
use fyke_types::{Micros, Result, Span, WATERMARK_END, WATERMARK_START, tumble, window};

use super::Grouping;
use super::grouping::Evaluated;
use crate::operator::combined;
use crate::state::{Parts, PieceNumbers, RowSet, Spill, Store, evaluate, evaluate_time, partition_rows};
use crate::{Customer, Give, Marks, Memo, Operator, Output, Place, Route, Snapshot, StateSize, Tagged};

/// How a row finds its window.
#[derive(Debug, Clone)]
pub enum Assign {
    /// `tumble(time, width, offset)`.
    Tumble {
        /// A timestamp or a window.
        time: Arc<dyn PhysicalExpr>,
        /// The width.
        width: Span,
        /// Shifts the alignment.
        offset: Micros,
    },
    /// A column that holds a window from below.
    Given(Arc<dyn PhysicalExpr>),
    /// No window: one store, closed by the end of input alone.
    Whole,
}

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
            emitted: false,
            holds_keyless: true,
        }
    }

    /// `(end, start)` of each row's window; none for a row without time.
    fn windows(&self, batch: &RecordBatch) -> Result<Vec<Option<(Micros, Micros)>>> {
        match &self.assign {
            Assign::Whole => Ok(vec![Some((WATERMARK_END, WATERMARK_END)); batch.num_rows()]),
            Assign::Tumble { time, width, offset } => {
                let (times, nulls) = evaluate_time(time, batch)?;
                let mut last = (Micros::MAX, Micros::MIN);
                Ok(times
                    .into_iter()
                    .enumerate()
                    .map(|(row, t)| {
                        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                            return None;
                        }
                        // neighbours mostly share their window
                        if t < last.0 || t >= last.1 {
                            last = tumble(t, *width, *offset);
                        }
                        Some((last.1, last.0))
                    })
                    .collect())
            }
            Assign::Given(column) => {
                let column = evaluate(column, batch)?;
                let windows = column.as_struct();
                let member = |at: usize| -> Result<_> {
                    Ok(cast(windows.column(at), &window::TIME)?.as_primitive::<TimestampMicrosecondType>().clone())
                };
                let (starts, ends) = (member(0)?, member(1)?);
                Ok((0..batch.num_rows())
                    .map(|row| {
                        (windows.is_valid(row) && ends.is_valid(row)).then(|| (ends.value(row), starts.value(row)))
                    })
                    .collect())
            }
        }
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

    /// The one row of an aggregate over nothing.
    fn emit_of_nothing(&mut self, out: &mut Output) -> Result<()> {
        let mut store = Store::new(&self.grouping.key_schema, &self.grouping.aggregates)?;
        let nothing = self.grouping.evaluate(&RecordBatch::new_empty(Arc::clone(&self.grouping.input)))?;
        // without a filter DataFusion's accumulators take every group for seen
        let filters = vec![Some(BooleanArray::from(Vec::<bool>::new())); nothing.arguments.len()];
        store.update(&RowSet::All(0), &[], &nothing.arguments, &filters, &mut self.scratch)?;
        let (_, keys, results) = store.emit()?;
        out.give(Customer::ALL, self.grouping.batch(None, keys, results)?);
        Ok(())
    }
}

impl Operator for WindowAggregate {
    fn on_batch(&mut self, _: usize, rows: Tagged, out: &mut Output) -> Result<()> {
        let customer = self.grouping.owner(&rows);
        let windows = self.windows(&rows.batch)?;
        let evaluated = self.grouping.evaluate(&rows.batch)?;
        let open = self.open.entry(customer).or_default();
        let closed = self.marks.of(customer).max(open.closed_to);
        for (window, set) in partition_rows(windows.len(), |row| windows[row]) {
            if window.0 <= closed && !matches!(self.assign, Assign::Whole) {
                out.late += set.len() as u64;
                continue;
            }
            let parts = open.stores.entry(window).or_default();
            let Evaluated { keys, arguments, filters } = &evaluated;
            parts.update(self.grouping.shape(), &set, keys, arguments, filters, &mut self.scratch)?;
        }
        Ok(())
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
            self.emit_of_nothing(out)?;
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

    fn describe(&self) -> String {
        let window = match &self.assign {
            Assign::Tumble { time, width, offset } => format!("tumble({time}, {width:?}, offset {offset} µs)"),
            Assign::Given(column) => format!("window {column} from below"),
            Assign::Whole => "no window, at the end of input".to_owned(),
        };
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
