//! A stream joined with a static table: enrichment. The table may be reloaded when it changes.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType, UInt64Type};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use fyke_types::{Error, Result, WATERMARK_END, WATERMARK_START, window};

use super::{Slot, plan};
use crate::operator::combined;
use crate::reloaded::{ReloadedTable, Version};
use crate::{Customer, Give, Marks, Memo, Operator, Output, Piece, Place, Route, Snapshot, Tagged, engine_error};

/// Ports of the pieces of a version: its rows, and what is known of it.
const ROWS: u32 = 0;
const ABOUT: u32 = 1;

/// A table that may change, and the version of it that the plan reads.
struct InForce {
    table: Arc<ReloadedTable>,
    /// Where the plan reads the table.
    slot: Slot,
    schema: SchemaRef,
    version: Option<Arc<Version>>,
    epoch: u64,
    /// The last version that a snapshot has given.
    given: Option<u64>,
    /// Whether this worker gives the version for all.
    gives: bool,
}

/// The plan joins the static table (its build side, which DataFusion loads once and keeps) with the slot.
pub struct StaticJoin {
    name: String,
    slot: Slot,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    in_force: Option<InForce>,
}

impl StaticJoin {
    /// `plan` must keep its build side between executions, and emit nothing for build rows without a match.
    pub fn new(name: impl Into<String>, slot: Slot, plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Self {
        Self { name: name.into(), slot, plan, context, in_force: None }
    }

    /// The same with a table that is reloaded: the plan reads it from `fixed`, which keeps its rows.
    #[must_use]
    pub fn reloading(self, table: Arc<ReloadedTable>, fixed: Slot, schema: SchemaRef) -> Self {
        let in_force =
            InForce { version: table.in_epoch(0), table, slot: fixed, schema, epoch: 0, given: None, gives: true };
        if let Some(version) = &in_force.version {
            in_force.slot.fill(version.rows.clone());
        }
        Self { in_force: Some(in_force), ..self }
    }
}

impl InForce {
    /// Takes the version of the next epoch; true if it is another one.
    fn next_epoch(&mut self) -> bool {
        self.epoch += 1;
        let version = self.table.in_epoch(self.epoch);
        let same = match (&self.version, &version) {
            (Some(own), Some(next)) => Arc::ptr_eq(own, next),
            (own, next) => own.is_none() == next.is_none(),
        };
        if !same {
            self.slot.fill(version.as_ref().map(|version| version.rows.clone()).unwrap_or_default());
            self.version = version;
        }
        !same
    }

    fn give(&mut self, give: Give<'_>) -> Result<()> {
        let Some(version) = self.version.as_ref().filter(|_| self.gives) else { return Ok(()) };
        let fresh = self.given != Some(version.number);
        self.given = Some(version.number);
        let place = |port| Place { customer: Customer::ALL, port, start: WATERMARK_START, end: WATERMARK_END };
        let rows = if fresh { Some(concat_batches(&self.schema, &version.rows)?) } else { None };
        let about = if fresh { Some(about(version)?) } else { None };
        // a version's pieces never change
        let number = 2 * version.number;
        give(Piece { number, place: place(ROWS), rows, alive: None, kept: false })?;
        give(Piece { number: number + 1, place: place(ABOUT), rows: about, alive: None, kept: false })
    }
}

fn about(version: &Version) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from(vec![version.number])),
        Arc::new(TimestampMicrosecondArray::from(vec![version.loaded_at])),
        Arc::new(StringArray::from(vec![version.fingerprint.as_str()])),
    ];
    let schema = Schema::new(vec![
        Field::new("version", DataType::UInt64, false),
        Field::new("loaded_at", window::TIME, false),
        Field::new("fingerprint", DataType::Utf8, false),
    ]);
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

fn version_of(about: &RecordBatch, rows: Vec<RecordBatch>) -> Result<Version> {
    let wrong = || Error::data("the version of a static table in the checkpoint can't be read");
    let column = |name: &str| about.column_by_name(name).filter(|column| !column.is_empty()).ok_or_else(wrong);
    Ok(Version {
        number: column("version")?.as_primitive_opt::<UInt64Type>().ok_or_else(wrong)?.value(0),
        loaded_at: column("loaded_at")?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)?.value(0),
        fingerprint: column("fingerprint")?.as_string_opt::<i32>().ok_or_else(wrong)?.value(0).to_owned(),
        rows,
    })
}

impl Operator for StaticJoin {
    fn on_batch(&mut self, _: usize, rows: Tagged, out: &mut Output) -> Result<()> {
        self.slot.fill(vec![rows.batch]);
        // not reset: the build side's hash table serves every batch
        let batches = plan::run(&self.plan, &self.context)?;
        batches.into_iter().for_each(|batch| out.give(rows.customer, batch));
        Ok(())
    }

    fn route(&self, _: usize) -> Route {
        Route::Here
    }

    fn saved_keys(&self, _: usize, _: &RecordBatch) -> Result<Vec<ArrayRef>> {
        // one worker restores a version for all
        Ok(Vec::new())
    }

    fn assigned(&mut self, holds_keyless: bool) {
        if let Some(in_force) = &mut self.in_force {
            in_force.gives = holds_keyless;
        }
    }

    fn on_epoch_close(&mut self, inputs: &[Marks], _: &mut Output) -> Result<Marks> {
        if self.in_force.as_mut().is_some_and(InForce::next_epoch) {
            self.plan = reset_plan_states(Arc::clone(&self.plan)).map_err(engine_error)?;
        }
        Ok(combined(inputs))
    }

    fn describe(&self) -> String {
        match &self.in_force {
            Some(InForce { table, .. }) => {
                format!("StaticJoin {}, {} looked at every {} µs", self.name, table.name(), table.every())
            }
            None => format!("StaticJoin {}", self.name),
        }
    }

    fn remembers(&self) -> Option<&'static str> {
        self.in_force.as_ref().map(|_| "the version of the static table that is in force")
    }

    fn snapshot(&mut self, give: Give<'_>) -> Result<Option<Memo>> {
        match &mut self.in_force {
            Some(in_force) => in_force.give(give).map(|()| Some(Memo::default())),
            None => Ok(None),
        }
    }

    fn restore(&mut self, snapshot: Snapshot) -> Result<()> {
        let of = |port| snapshot.pieces.iter().find(move |piece| piece.place.port == port);
        // another worker's: it restores for all
        let (Some(in_force), Some(piece)) = (&mut self.in_force, of(ABOUT)) else { return Ok(()) };
        let rows = of(ROWS).map(Piece::content).transpose()?.cloned().into_iter().collect();
        let version = version_of(piece.content()?, rows)?;
        in_force.given = (piece.kept && of(ROWS).is_none_or(|rows| rows.kept)).then_some(version.number);
        in_force.table.restore(version);
        Ok(())
    }
}
