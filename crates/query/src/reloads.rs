//! Static tables that are looked at again while a live run goes on: `'reload' '10 seconds'`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::{MemTable, provider_as_source, source_as_provider};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use datafusion::physical_plan::collect;
use fyke_stream::{LoadTable, ReloadedTable};
use fyke_types::{Clock, Error, Event, Micros, Result};

use crate::batch::rewrite_group_by;
use crate::context::Context;
use crate::errors::running_error;
use crate::provider::{Provider, Reading, read_options};
use crate::table::FykeTable;

/// What kind of run it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// Bounded input is joined with the table as it was at the start.
    Bounded,
    Live,
    /// Live, of several processes, which would not see a change in the same epoch.
    Cluster,
}

/// The static tables of a run, shared by the plans of all its workers.
#[derive(Debug)]
pub(crate) struct Reloads {
    reading: Reading,
    clock: Arc<dyn Clock>,
    run: Run,
    /// In the order in which each plan meets them.
    tables: Mutex<Vec<Arc<ReloadedTable>>>,
}

impl Reloads {
    pub(crate) fn new(context: &Context, live: bool) -> Self {
        Self::of(context, if live { Run::Live } else { Run::Bounded })
    }

    /// Of a run whose processes would have to agree on the version.
    pub(crate) fn in_cluster(context: &Context) -> Self {
        Self::of(context, Run::Cluster)
    }

    fn of(context: &Context, run: Run) -> Self {
        Self { reading: Reading::of(context), clock: context.clock(), run, tables: Mutex::default() }
    }

    /// How the tables have fared: to be asked from elsewhere.
    pub(crate) fn tables(&self) -> Vec<Arc<ReloadedTable>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where a table is no side of a join with a stream, it can't be looked at again.
    pub(crate) fn refuse(&self, plan: &LogicalPlan) -> Result<()> {
        match static_tables(plan)?.values().find(|table| table.settings.reload.is_some()) {
            Some(table) if self.run != Run::Bounded => Err(Error::unsupported(format!("'reload' of table {} here", table.spec.name))
                .detail("a static table that changes serves inner joins with a stream, and outer joins that keep the stream's rows")
                .hint("join it so, or leave the setting out")),
            _ => Ok(()),
        }
    }

    /// The static side of a join as a table that is looked at again, if any table in it asks for that. `number`: how many
    /// such sides the plan at hand has met before.
    pub(crate) fn table(
        &self,
        number: usize,
        plan: &LogicalPlan,
        state: &SessionState,
    ) -> Result<Option<Arc<ReloadedTable>>> {
        let tables = static_tables(plan)?;
        let every = tables.values().filter_map(|table| table.settings.reload).min();
        let Some(every) = every.filter(|_| self.run != Run::Bounded) else { return Ok(None) };
        if self.run == Run::Cluster {
            return Err(Error::unsupported("'reload' of a table in a cluster")
                .detail("its processes would join the same epoch with different versions")
                .hint("leave it out, or run one process with --workers"));
        }
        let mut known = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = known.get(number) {
            return Ok(Some(Arc::clone(table)));
        }
        let reloading = tables.values().filter(|table| table.settings.reload.is_some());
        let name: Vec<&str> = reloading.map(|table| table.spec.name.as_str()).collect();
        let name = name.join(", ");
        let side = StaticSide {
            plan: plan.clone(),
            tables,
            reading: self.reading.clone(),
            state: state.clone(),
            runtime: tokio::runtime::Handle::try_current().ok(),
            still: Mutex::default(),
        };
        // a file that is broken at the start gives the rows that can be read, as one does that is not looked at again
        let first = (side.fingerprint()?, side.rows(false)?);
        let table = Arc::new(ReloadedTable::new(name, Box::new(side), first, every, Arc::clone(&self.clock)));
        known.push(Arc::clone(&table));
        Ok(Some(table))
    }
}

/// Our tables in a plan without streams.
fn static_tables(plan: &LogicalPlan) -> Result<BTreeMap<String, Arc<FykeTable>>> {
    let mut tables = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        if let Some(table) = table_of(node) {
            tables.insert(table.spec.name.clone(), table);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(running_error)?;
    Ok(tables)
}

fn table_of(node: &LogicalPlan) -> Option<Arc<FykeTable>> {
    let LogicalPlan::TableScan(scan) = node else { return None };
    let provider = source_as_provider(&scan.source).ok()?;
    provider.downcast_ref::<Provider>().map(|provider| Arc::clone(&provider.table))
}

/// A plan over static tables, some of which are read again.
struct StaticSide {
    plan: LogicalPlan,
    tables: BTreeMap<String, Arc<FykeTable>>,
    reading: Reading,
    state: SessionState,
    /// Where a plan may start tasks, whichever thread asks for its rows.
    runtime: Option<tokio::runtime::Handle>,
    /// Rows of tables that are read once.
    still: Mutex<BTreeMap<String, Vec<RecordBatch>>>,
}

impl LoadTable for StaticSide {
    fn fingerprint(&self) -> Result<String> {
        let mut all = String::new();
        for table in self.tables.values().filter(|table| table.settings.reload.is_some()) {
            let Some(own) = table.source()?.fingerprint()? else {
                return Err(Error::unsupported(format!("'reload' of table {}", table.spec.name))
                    .detail("it can't be seen whether it has changed")
                    .hint("put it into a file or folder"));
            };
            all.push_str(&own);
        }
        Ok(all)
    }

    fn load(&self) -> Result<Vec<RecordBatch>> {
        self.rows(true)
    }
}

impl StaticSide {
    /// The rows of the plan. `strict`: a line that can't be read is an error.
    fn rows(&self, strict: bool) -> Result<Vec<RecordBatch>> {
        let schema: SchemaRef = Arc::new(self.plan.schema().as_arrow().clone());
        let mut rows: BTreeMap<String, (SchemaRef, Vec<RecordBatch>)> = BTreeMap::new();
        for (name, table) in &self.tables {
            rows.insert(name.clone(), (table.schema()?, self.rows_of(table, strict)?));
        }
        let plan = self.plan.clone().transform_up_with_subqueries(|node| {
            let Some((schema, rows)) = table_of(&node).and_then(|table| rows.get(&table.spec.name)) else {
                return Ok(Transformed::no(node));
            };
            let LogicalPlan::TableScan(scan) = node else { return Ok(Transformed::no(node)) };
            let table: Arc<dyn TableProvider> = Arc::new(MemTable::try_new(Arc::clone(schema), vec![rows.clone()])?);
            Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source: provider_as_source(table), ..scan })))
        });
        let plan = plan.and_then(|plan| rewrite_group_by(plan.data)).and_then(crate::as_of::rewrite_as_of);
        let plan = plan.map_err(running_error)?;
        let _inside = self.runtime.as_ref().map(tokio::runtime::Handle::enter);
        futures::executor::block_on(tokio::task::coop::unconstrained(async {
            let plan = self.state.create_physical_plan(&plan).await.map_err(running_error)?;
            let rows = collect(plan, self.state.task_ctx()).await.map_err(running_error)?;
            rows.into_iter()
                .map(|rows| Ok(RecordBatch::try_new(Arc::clone(&schema), rows.columns().to_vec())?))
                .collect()
        }))
    }

    fn rows_of(&self, table: &FykeTable, strict: bool) -> Result<Vec<RecordBatch>> {
        let name = &table.spec.name;
        if table.settings.reload.is_some() {
            return read(table, &self.reading, strict);
        }
        let mut still = self.still.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = still.get(name) {
            return Ok(rows.clone());
        }
        let rows = read(table, &self.reading, strict)?;
        still.insert(name.clone(), rows.clone());
        Ok(rows)
    }
}

/// All rows of a table.
fn read(table: &FykeTable, reading: &Reading, strict: bool) -> Result<Vec<RecordBatch>> {
    let mut reader = table.source()?.open(&read_options(table, None, false, reading))?;
    let mut batches = Vec::new();
    loop {
        match reader.next(Duration::from_millis(100))? {
            Event::Rows(rows) => {
                if let Some(letter) = rows.dead.first().filter(|_| strict) {
                    return Err(Error::data(format!("line {} can't be read", letter.line)).detail(&letter.reason));
                }
                if rows.batch.num_rows() > 0 {
                    batches.push(rows.batch);
                }
            }
            // rows of a part of the files are no version
            Event::Trouble { error, .. } => return Err(error),
            Event::End => return Ok(batches),
            Event::Opened(_) | Event::Ended(_) | Event::Waiting => {}
        }
    }
}

/// The setting of a table, read.
pub(crate) fn reload_every(given: Option<Micros>, table: &str) -> Result<Option<Micros>> {
    match given {
        Some(every) if every <= 0 => Err(Error::usage(format!("'reload' of table {table} must be above zero"))
            .hint("leave it out to read the table once, at the start")),
        given => Ok(given),
    }
}
