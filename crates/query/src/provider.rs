//! A table as DataFusion sees it: batch reads it to its end through the same reader as the stream.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as DataFusionResult;
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use fyke_types::{Clock, DeadLetter, Error, Event, Input, ReadOptions, Result};

use crate::context::Context;
use crate::errors::carried;
use crate::table::FykeTable;

/// Where a batch run's dead letters go: `(input, letters)`.
pub type DeadOut = Arc<dyn Fn(&Input, &[DeadLetter]) -> Result<()> + Send + Sync>;

/// Counters of the first reading of a table in a batch run; a plan may read it several times.
#[derive(Default)]
pub struct ReadCounters {
    taken: AtomicBool,
    /// Records read.
    pub read: AtomicU64,
    /// Records that made no row.
    pub dead: AtomicU64,
    /// Where dead letters go.
    pub dead_out: Mutex<Option<DeadOut>>,
}

impl ReadCounters {
    /// Ready for the next run.
    pub fn reset(&self, dead_out: Option<DeadOut>) {
        self.taken.store(false, Ordering::SeqCst);
        self.read.store(0, Ordering::SeqCst);
        self.dead.store(0, Ordering::SeqCst);
        *self.dead_out.lock().unwrap_or_else(PoisonError::into_inner) = dead_out;
    }
}

impl std::fmt::Debug for ReadCounters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReadCounters {{ read: {:?}, dead: {:?} }}", self.read, self.dead)
    }
}

/// A [`FykeTable`] in DataFusion's catalog.
#[derive(Debug)]
pub struct Provider {
    /// The table.
    pub table: Arc<FykeTable>,
    /// Of the batch run at hand.
    pub counters: Arc<ReadCounters>,
    schema: SchemaRef,
    reading: Reading,
}

/// How this context reads, whatever the table.
#[derive(Debug, Clone)]
pub struct Reading {
    clock: Arc<dyn Clock>,
    threads: usize,
    block_bytes: usize,
}

impl Reading {
    /// As the context's settings say.
    pub fn of(context: &Context) -> Self {
        Self { clock: context.clock(), threads: context.decode_threads(), block_bytes: context.block_bytes() }
    }
}

impl Provider {
    /// A provider of `table`.
    ///
    /// # Errors
    /// When the table's columns cannot be found out.
    pub fn new(table: Arc<FykeTable>, context: &Context) -> Result<Self> {
        Ok(Self { schema: table.schema()?, table, counters: Arc::default(), reading: Reading::of(context) })
    }
}

#[async_trait]
impl TableProvider for Provider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let part = BatchRead {
            schema: Arc::clone(&schema),
            table: Arc::clone(&self.table),
            counters: Arc::clone(&self.counters),
            options: read_options(&self.table, projection.cloned(), false, &self.reading),
        };
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(part)], None, [], false, limit)?))
    }
}

/// How a table is read, in either execution.
pub fn read_options(table: &FykeTable, projection: Option<Vec<usize>>, follow: bool, reading: &Reading) -> ReadOptions {
    ReadOptions {
        projection,
        event_time: table.event_time_at(),
        max_ahead: table.settings.time.max_ahead,
        follow,
        threads: reading.threads,
        block_bytes: reading.block_bytes,
        clock: Arc::clone(&reading.clock),
        resume: None,
    }
}

#[derive(Debug)]
struct BatchRead {
    schema: SchemaRef,
    table: Arc<FykeTable>,
    counters: Arc<ReadCounters>,
    options: ReadOptions,
}

impl PartitionStream for BatchRead {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), 2);
        let rows = builder.tx();
        let (table, counters, options) = (Arc::clone(&self.table), Arc::clone(&self.counters), self.options.clone());
        let counts = !counters.taken.swap(true, Ordering::SeqCst);
        builder.spawn_blocking(move || {
            let give = |batch| rows.blocking_send(Ok(batch)).is_ok();
            read_all(&table, &counters, &options, counts, give).map_err(carried)
        });
        builder.build()
    }
}

fn read_all(
    table: &FykeTable,
    counters: &ReadCounters,
    options: &ReadOptions,
    counts: bool,
    give: impl Fn(datafusion::arrow::array::RecordBatch) -> bool,
) -> Result<()> {
    let mut reader = table.source()?.open(options)?;
    let dead_out = counters.dead_out.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|_| counts);
    let mut inputs: Vec<Input> = Vec::new();
    loop {
        match reader.next(Duration::from_millis(100))? {
            Event::Opened(input) => inputs.push(input),
            Event::Rows(rows) => {
                if counts {
                    counters.read.fetch_add(rows.read, Ordering::SeqCst);
                    counters.dead.fetch_add(rows.dead.len() as u64, Ordering::SeqCst);
                }
                if let (Some(out), false) = (&dead_out, rows.dead.is_empty()) {
                    let input = inputs.iter().find(|input| input.id == rows.input);
                    out(input.ok_or_else(|| Error::internal("rows of an unknown input"))?, &rows.dead)?;
                }
                if rows.batch.num_rows() > 0 && !give(rows.batch) {
                    return Ok(());
                }
            }
            // rows of a part of the inputs are no answer
            Event::Trouble { error, .. } => return Err(error),
            Event::Ended(_) | Event::Waiting => {}
            Event::End => return Ok(()),
        }
    }
}
