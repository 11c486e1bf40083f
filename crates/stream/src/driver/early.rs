//! Update mode in the driver: when early rows are due, and what must be known of them after a crash.
//!
//! Early rows leave at once, whatever the checkpoints. Their keys are noted beside the last checkpoint before they
//! leave: if this process dies, the next one knows which rows may be out there and deletes those that turn out not to
//! be true. A note is needed until a checkpoint holds its keys.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use fyke_types::{Error, Result, WATERMARK_END};

use super::Driver;
use crate::checkpoint::Beside;
use crate::{Customer, EarlyRows, Marks, NodeId};

/// A note's last column: whose keys; null: anybody's.
const CUSTOMER: &str = "__customer";

impl Driver {
    /// Asks for early rows when it is time, and at the end once more for what was taken back.
    pub(super) fn early_if_due(&mut self, marks: &[Marks]) -> Result<()> {
        let Some(every) = self.execution.pattern().early_every() else { return Ok(()) };
        let now = self.clock.now();
        if now < self.early_due && !marks.iter().all(|marks| marks.all == WATERMARK_END) {
            return Ok(());
        }
        self.early_due = now.saturating_add(every);
        let early = self.execution.early()?;
        self.note_early(&early)?;
        if early.iter().any(|early| !early.deletes.is_empty() || !early.upserts.is_empty()) {
            self.write_log()?;
        }
        for ((outlet, progress), early) in self.outlets.iter_mut().zip(&mut self.progress.sinks).zip(early) {
            early.deletes.iter().try_for_each(|keys| outlet.sink.delete(keys))?;
            for rows in &early.upserts {
                outlet.sink.write(rows)?;
                progress.rows += rows.num_rows() as u64;
            }
            if !early.deletes.is_empty() || !early.upserts.is_empty() {
                outlet.sink.flush()?;
            }
        }
        Ok(())
    }

    fn note_early(&mut self, early: &[EarlyRows]) -> Result<()> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        let graph = self.execution.pattern();
        for (early, end) in early.iter().zip(graph.early_ends().to_vec()) {
            let name = |customer: Customer| self.customers.name(customer).map(AsRef::as_ref);
            let new = early.new_keys.iter().map(|(customer, keys)| with_customer(keys, name(*customer)));
            let new: Vec<RecordBatch> = new.collect::<Result<_>>()?;
            if let (Some(first), Some(end)) = (new.first(), end) {
                keeper.note(&graph.key(end), &concat_batches(&first.schema(), &new)?)?;
            }
        }
        Ok(())
    }

    /// What earlier processes noted after the checkpoint that this one goes on from.
    pub(super) fn recall_early(&mut self) -> Result<()> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        // a process may have died before it removed those that the checkpoint made needless
        let known = &keeper.manifest().notes_to;
        let notes = keeper.names_beside(Beside::Notes)?.into_iter().filter(|name| name > known);
        let notes = notes.map(|name| keeper.read_note(&name)).collect::<Result<Vec<_>>>()?;
        for (key, batches) in notes {
            // of a changed query, whose outputs start over
            let Some(end) = self.execution.pattern().find(&key) else { continue };
            batches.iter().try_for_each(|batch| self.recall_note(end, batch))?;
        }
        Ok(())
    }

    fn recall_note(&mut self, end: NodeId, batch: &RecordBatch) -> Result<()> {
        let last = batch.num_columns().saturating_sub(1);
        let keys = batch.project(&(0..last).collect::<Vec<_>>())?;
        let names = batch.columns().last().and_then(|column| column.as_string_opt::<i32>().cloned());
        let names = names.ok_or_else(|| Error::data("a note of early rows has no customers"))?;
        for row in 0..batch.num_rows() {
            let customer = match names.is_null(row) {
                true => Customer::ALL,
                false => self.customers.number(names.value(row)),
            };
            self.execution.pattern().recall(end, customer, &keys.slice(row, 1))?;
        }
        Ok(())
    }

    /// The notes that the next checkpoint makes needless.
    pub(super) fn early_notes(&mut self) -> Result<Vec<String>> {
        match &self.keeper {
            Some(keeper) if self.execution.pattern().early_every().is_some() => keeper.names_beside(Beside::Notes),
            _ => Ok(Vec::new()),
        }
    }

    /// The checkpoint that was on its way is durable.
    pub(super) fn forget_early_notes(&mut self) -> Result<()> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        std::mem::take(&mut self.noted).iter().try_for_each(|name| keeper.remove_beside(Beside::Notes, name))
    }
}

fn with_customer(keys: &RecordBatch, customer: Option<&str>) -> Result<RecordBatch> {
    let mut fields = keys.schema().fields().to_vec();
    fields.push(Arc::new(Field::new(CUSTOMER, DataType::Utf8, true)));
    let names: ArrayRef = Arc::new(StringArray::from(vec![customer; keys.num_rows()]));
    let columns = keys.columns().iter().cloned().chain([names]).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
