//! A DataFusion plan over the rows that close together: joins of windowed results, top-N per window, and, at the end
//! of bounded input, whatever has no window.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, concat_batches, take_record_batch};
use datafusion::arrow::datatypes::TimestampMicrosecondType;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use fyke_types::{Error, Micros, Result, WATERMARK_END, window};

use super::{Slot, plan};
use crate::operator::combined;
use crate::state::{HeldRows, PieceNumbers, RowSet, Spill, evaluate, partition_rows};
use crate::{
    Ask, Customer, Early, EarlyOperator, Give, Marks, Memo, Operator, Output, Piece, Place, Route, Scope, Snapshot,
    StateSize, Tagged,
};

/// An input of a [`Step`].
pub struct StepPort {
    /// Where the plan reads this input.
    pub slot: Slot,
    /// The window column that says when a row's step closes; none: at the end of input.
    pub window: Option<Arc<dyn PhysicalExpr>>,
}

/// Rows wait by the end of their window; when the watermarks of all inputs have reached it, the plan runs over them.
pub struct Step {
    name: String,
    ports: Vec<StepPort>,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    by_customer: bool,
    /// By customer, by end, by port.
    waiting: BTreeMap<Customer, BTreeMap<Micros, Vec<Vec<Waiting>>>>,
    marks: Marks,
    numbers: PieceNumbers,
    /// Update mode: customers of whom rows came or went.
    changed: Option<BTreeSet<Customer>>,
}

/// Rows that wait, as a piece of the state.
struct Waiting {
    number: u64,
    rows: HeldRows,
    /// Whether a snapshot has given them already.
    given: bool,
}

/// Writes the rows of a window that are in memory away, as one. Returns the bytes of memory that are free now.
fn spill_rows(waiting: &mut Vec<Waiting>, numbers: &mut PieceNumbers, to: &Arc<Spill>) -> Result<usize> {
    let before: usize = waiting.iter().map(|waiting| waiting.rows.bytes()).sum();
    if before < to.smallest() {
        return Ok(0);
    }
    let (mut disk, memory): (Vec<_>, Vec<_>) =
        std::mem::take(waiting).into_iter().partition(|waiting| waiting.rows.is_on_disk());
    let rows = memory.iter().map(|waiting| waiting.rows.read()).collect::<Result<Vec<_>>>()?;
    if let (Some(first), Some(schema)) = (memory.first(), rows.first().map(RecordBatch::schema)) {
        // one that a snapshot has given keeps its number
        let (number, given) = if memory.len() == 1 { (first.number, first.given) } else { (numbers.take(), false) };
        let rows = HeldRows::Disk(to.write(&concat_batches(&schema, &rows)?)?);
        disk.push(Waiting { number, rows, given });
    }
    *waiting = disk;
    Ok(before)
}

impl Step {
    /// `plan` reads the slots of `ports` and gives the operator's rows.
    pub fn new(
        name: impl Into<String>,
        ports: Vec<StepPort>,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        by_customer: bool,
    ) -> Self {
        let (waiting, marks, numbers) = (BTreeMap::new(), Marks::start(), PieceNumbers::default());
        Self { name: name.into(), ports, plan, context, by_customer, waiting, marks, numbers, changed: None }
    }

    fn has_window(&self) -> bool {
        self.ports.iter().all(|port| port.window.is_some())
    }

    /// When each row's step closes; rows without window, as outer joins make, at the end.
    fn ends(&self, port: usize, batch: &RecordBatch) -> Result<Vec<Micros>> {
        let window = self.ports.get(port).and_then(|port| port.window.as_ref());
        let Some(window) = window.filter(|_| self.has_window()) else {
            return Ok(vec![WATERMARK_END; batch.num_rows()]);
        };
        let column = evaluate(window, batch)?;
        let ends = cast(column.as_struct().column(1), &window::TIME)?;
        let ends = ends.as_primitive::<TimestampMicrosecondType>();
        Ok((0..batch.num_rows())
            .map(|row| if column.is_valid(row) && ends.is_valid(row) { ends.value(row) } else { WATERMARK_END })
            .collect())
    }

    fn close(&mut self, customer: Customer, up_to: Micros, out: &mut Output) -> Result<()> {
        let Some(waiting) = self.waiting.get_mut(&customer) else { return Ok(()) };
        let ripe = match up_to {
            WATERMARK_END => std::mem::take(waiting),
            _ => {
                let later = waiting.split_off(&up_to.saturating_add(1));
                std::mem::replace(waiting, later)
            }
        };
        if ripe.is_empty() {
            return Ok(());
        }
        self.changed.as_mut().map(|changed| changed.insert(customer));
        let is_on_disk = |ports: &Vec<Vec<Waiting>>| ports.iter().flatten().any(|waiting| waiting.rows.is_on_disk());
        let windows: Vec<Vec<Vec<Waiting>>> = ripe.into_values().collect();
        // memory may have no room for several windows at once
        let together = if windows.iter().any(is_on_disk) { 1 } else { windows.len() };
        let mut windows = windows.into_iter().peekable();
        while windows.peek().is_some() {
            let mut inputs: Vec<Vec<RecordBatch>> = vec![Vec::new(); self.ports.len()];
            for ports in windows.by_ref().take(together) {
                for (input, batches) in inputs.iter_mut().zip(ports) {
                    for waiting in batches {
                        input.push(waiting.rows.read()?);
                    }
                }
            }
            self.run(inputs)?.into_iter().for_each(|batch| out.give(customer, batch));
        }
        Ok(())
    }

    fn run(&self, inputs: Vec<Vec<RecordBatch>>) -> Result<Vec<RecordBatch>> {
        for (port, rows) in self.ports.iter().zip(inputs) {
            port.slot.fill(rows);
        }
        plan::run_anew(&self.plan, &self.context)
    }

    fn owner(&self, customer: Customer) -> Customer {
        if self.by_customer { customer } else { Customer::ALL }
    }
}

impl EarlyOperator for Step {
    fn begin_early(&mut self, _: bool) {
        self.changed = Some(BTreeSet::new());
    }

    fn take_changed(&mut self) -> BTreeSet<Customer> {
        self.changed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn spans_customers(&self) -> bool {
        !self.by_customer
    }

    /// The plan over the rows that wait, and the early rows from before on top.
    fn early(&mut self, inputs: Vec<Early>, ask: &Ask) -> Result<Early> {
        let ports = self.ports.len();
        let none = || -> Vec<Vec<RecordBatch>> { (0..ports).map(|_| Vec::new()).collect() };
        let mut of: BTreeMap<Customer, Vec<Vec<RecordBatch>>> = BTreeMap::new();
        for (customer, by_end) in self.waiting.iter().filter(|(customer, _)| ask.is_for(**customer)) {
            let all = of.entry(*customer).or_insert_with(none);
            for waiting in by_end.values() {
                for (input, batches) in all.iter_mut().zip(waiting) {
                    for waiting in batches {
                        input.push(waiting.rows.read()?);
                    }
                }
            }
        }
        for (port, input) in inputs.into_iter().enumerate() {
            for rows in input.rows {
                let all = of.entry(self.owner(rows.customer)).or_insert_with(none);
                if let Some(input) = all.get_mut(port) {
                    input.push(rows.batch);
                }
            }
        }
        let mut early = Early { rows: Vec::new(), scope: Scope::Customers };
        for (customer, inputs) in of.into_iter().filter(|(customer, _)| ask.is_for(*customer)) {
            if inputs.iter().any(|input| !input.is_empty()) {
                let rows = self.run(inputs)?;
                early.rows.extend(rows.into_iter().map(|batch| Tagged { customer, batch }));
            }
        }
        early.rows.retain(|rows| rows.batch.num_rows() > 0);
        Ok(early)
    }
}

impl Operator for Step {
    fn on_batch(&mut self, port: usize, rows: Tagged, out: &mut Output) -> Result<()> {
        let customer = self.owner(rows.customer);
        self.changed.as_mut().map(|changed| changed.insert(customer));
        let ends = self.ends(port, &rows.batch)?;
        let closed = self.marks.of(customer);
        let ports = self.ports.len();
        let waiting = self.waiting.entry(customer).or_default();
        for (end, set) in partition_rows(ends.len(), |row| Some(ends[row])) {
            if end <= closed && end != WATERMARK_END {
                out.late += set.len() as u64;
                continue;
            }
            let part = match &set {
                RowSet::All(_) => rows.batch.clone(),
                RowSet::Run { start, rows: count } => rows.batch.slice(*start, *count),
                RowSet::Some(indices) => take_record_batch(&rows.batch, indices)?,
            };
            let by_port = waiting.entry(end).or_insert_with(|| (0..ports).map(|_| Vec::new()).collect());
            if let Some(batches) = by_port.get_mut(port) {
                batches.push(Waiting { number: self.numbers.take(), rows: HeldRows::Memory(part), given: false });
            }
        }
        Ok(())
    }

    fn route(&self, port: usize) -> Route {
        // rows of one window meet, on any worker
        let window = self.ports.get(port).and_then(|port| port.window.clone());
        Route::By(window.filter(|_| self.has_window()).into_iter().collect())
    }

    fn saved_keys(&self, port: usize, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        match self.route(port) {
            Route::By(keys) => keys.iter().map(|key| evaluate(key, rows)).collect(),
            Route::Here => Ok(Vec::new()),
        }
    }

    fn on_epoch_close(&mut self, inputs: &[Marks], out: &mut Output) -> Result<Marks> {
        let marks = combined(inputs);
        let customers: Vec<Customer> = self.waiting.keys().copied().collect();
        for customer in customers {
            let mut up_to = marks.of(customer);
            if marks.silent.contains(&customer) && self.has_window() {
                let last =
                    self.waiting.get(&customer).and_then(|w| w.keys().rfind(|end| **end != WATERMARK_END).copied());
                up_to = up_to.max(last.unwrap_or(up_to));
            }
            self.close(customer, up_to, out)?;
        }
        self.marks = marks.clone();
        if !self.has_window() && marks.all != WATERMARK_END {
            return Ok(Marks::start());
        }
        if !self.by_customer {
            return Ok(Marks { by: Arc::default(), ..marks });
        }
        let holders = self.waiting.iter().filter(|(_, waiting)| !waiting.is_empty()).map(|(customer, _)| *customer);
        Ok(marks.held_by(holders))
    }

    fn describe(&self) -> String {
        let when = if self.has_window() { "as windows close" } else { "at the end of input" };
        format!("Step {} {when}", self.name)
    }

    fn remembers(&self) -> Option<&'static str> {
        Some("the rows that wait for their window to close")
    }

    fn snapshot(&mut self, give: Give<'_>) -> Result<Option<Memo>> {
        for (customer, by_end) in &mut self.waiting {
            for (end, ports) in by_end {
                for (port, batches) in ports.iter_mut().enumerate() {
                    let place = Place { customer: *customer, port: port as u32, start: *end, end: *end };
                    for waiting in batches {
                        let rows = if waiting.given { None } else { Some(waiting.rows.read()?) };
                        waiting.given = true;
                        give(Piece { number: waiting.number, place, rows, alive: None, kept: false })?;
                    }
                }
            }
        }
        Ok(Some(Memo { next_piece: self.numbers.next(), ..Memo::default() }))
    }

    fn restore(&mut self, snapshot: Snapshot) -> Result<()> {
        self.numbers = PieceNumbers::from(snapshot.memo.next_piece);
        for piece in snapshot.pieces {
            let Place { customer, port, end, .. } = piece.place;
            let ports = self.ports.len();
            let by_end = self.waiting.entry(customer).or_default();
            let by_port = by_end.entry(end).or_insert_with(|| (0..ports).map(|_| Vec::new()).collect());
            let Some(batches) = by_port.get_mut(port as usize) else {
                return Err(Error::data(format!("{} has no input {port}", self.describe())));
            };
            let rows = HeldRows::Memory(piece.content()?.clone());
            batches.push(Waiting { number: piece.number, rows, given: piece.kept });
            self.changed.as_mut().map(|changed| changed.insert(customer));
        }
        Ok(())
    }

    fn as_early(&mut self) -> Option<&mut dyn EarlyOperator> {
        Some(self)
    }

    fn spill(&mut self, to: &Arc<Spill>, bytes: usize) -> Result<usize> {
        // what closes last goes first
        let mut open: Vec<(Micros, &mut Vec<Waiting>)> = self
            .waiting
            .values_mut()
            .flatten()
            .flat_map(|(end, ports)| ports.iter_mut().map(move |waiting| (*end, waiting)))
            .collect();
        open.sort_by_key(|(end, _)| std::cmp::Reverse(*end));
        let mut free = 0;
        for (_, waiting) in open {
            if free >= bytes {
                break;
            }
            free += spill_rows(waiting, &mut self.numbers, to)?;
        }
        Ok(free)
    }

    fn state_size(&self) -> StateSize {
        let batches = self.waiting.values().flat_map(|by_end| by_end.values().flatten().flatten());
        batches.fold(StateSize::default(), |sum, waiting| StateSize {
            rows: sum.rows + waiting.rows.len(),
            bytes: sum.bytes + waiting.rows.bytes(),
        })
    }
}
