//! Running scripts: live, once, batch, and both for comparison.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::execute_stream;
use datafusion::sql::parser::Statement as SqlStatement;
use futures::StreamExt;
use fyke_stream::checkpoint::Keeper;
use fyke_stream::cluster::Team;
use fyke_stream::operators::UpsertsOf;
use fyke_stream::{Alone, CustomerBy, Driver, Execution, Outlet, Progress, ReloadedTable, SourceRun, TimeSettings};
use fyke_types::{
    Changelog, Error, Input, LastByKey, ReadOptions, Result, Sink, SinkMode, dead_letters_to_batch, dead_schema,
};
use serde::Serialize;

use crate::compare::{Comparison, compare_rows};
use crate::context::{Context, SinkHow};
use crate::emit::Emit;
use crate::errors::running_error;
use crate::provider::{DeadOut, Provider, Reading, read_options};
use crate::reloads::Reloads;
use crate::run_settings::{RunSettings, SinkHows, positions};
use crate::script::{Script, Statement, StatementKind};
use crate::static_rows::{STATIC_ROWS, StaticReader};
use crate::stream_plan::{PlanTo, SourceFrom, StreamJob, StreamSource, plan_stream};
use crate::unique::RowsOf;

/// Makes the sink of a bare SELECT.
pub type SelectSink<'a> = &'a (dyn Fn(&SchemaRef) -> Result<Box<dyn Sink>> + Sync);

/// A sink that several readings write to.
type SharedSink = Arc<Mutex<Box<dyn Sink>>>;

/// What a batch run did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BatchReport {
    /// By stream table: name, records read, dead letters.
    pub sources: Vec<(String, u64, u64)>,
    /// By sink: name, rows.
    pub sinks: Vec<(String, u64)>,
    /// By sink that refused rows: name, how many, and why the last one.
    pub refused: Vec<(String, u64, String)>,
}

/// The rows that a sink's server refused.
fn refusals(name: &str, sink: &dyn Sink) -> Option<(String, u64, String)> {
    let health = sink.health().filter(|health| health.refused > 0)?;
    Some((name.to_owned(), health.refused, health.last_refusal.unwrap_or_default()))
}

/// What a run over bounded input did.
pub type BoundedReport = Progress;

/// What a comparison of both executions found.
#[derive(Debug, Clone, Serialize)]
pub struct ParityReport {
    /// By sink.
    pub sinks: Vec<(String, Comparison)>,
    /// The streaming run.
    pub stream: Progress,
    /// The batch run.
    pub batch: BatchReport,
}

impl ParityReport {
    /// Whether both gave the same rows, and no row was late.
    pub fn is_equal(&self) -> bool {
        self.late() == 0 && self.sinks.iter().all(|(_, found)| found.is_equal())
    }

    /// Late rows of the streaming run.
    pub fn late(&self) -> u64 {
        self.stream.totals().2
    }
}

/// A job and who carries it out.
pub(crate) struct Planned {
    pub(crate) execution: Box<dyn Execution>,
    pub(crate) sources: Vec<StreamSource>,
    pub(crate) upserts: Vec<Option<UpsertsOf>>,
    pub(crate) per_customer: bool,
    pub(crate) static_tables: Vec<Arc<ReloadedTable>>,
}

/// A query of a script and where its rows go.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) plan: LogicalPlan,
    to: To,
    /// Early results, in a stream.
    pub(crate) emit: Option<Emit>,
}

impl Target {
    pub(crate) fn planned(&self) -> PlanTo {
        PlanTo { name: self.name.clone(), plan: self.plan.clone(), emit: self.emit.clone() }
    }

    /// All rows of a batch are final: the column that says so, where it is wanted.
    fn finalise(&mut self) -> Result<()> {
        let Some(name) = self.emit.as_ref().and_then(|emit| emit.final_column.clone()) else { return Ok(()) };
        let columns = self.plan.schema().columns().into_iter().map(Expr::Column);
        let all = columns.chain([datafusion::prelude::lit(true).alias(name)]).collect::<Vec<_>>();
        let plan = LogicalPlanBuilder::from(self.plan.clone()).project(all).and_then(LogicalPlanBuilder::build);
        self.plan = plan.map_err(running_error)?;
        Ok(())
    }
}

impl Target {
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::new(self.plan.schema().as_arrow().clone())
    }

    pub(crate) fn is_printed(&self) -> bool {
        matches!(self.to, To::Print)
    }
}

enum To {
    Location { location: String, format: Option<String>, options: BTreeMap<String, String> },
    Table(String),
    Print,
}

impl Context {
    /// Carries out a script's DDL and EXPLAINs, and gives its queries. `explain` prints.
    pub(crate) async fn prepare(
        &self,
        script: &Script,
        stream: bool,
        bounded: bool,
        explain: &mut dyn FnMut(String),
    ) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        for statement in &script.statements {
            let file = &script.file;
            match &statement.kind {
                StatementKind::Define(define) => self.define(define.clone(), file, &statement.place).await?,
                StatementKind::Explain { query, options } => {
                    let plan = self.plan(query.clone(), file, Some(&statement.place)).await?;
                    let emit = Emit::take("the output", &mut options.clone())
                        .map_err(|error| error.at(statement.place.clone()))?;
                    let text = match stream {
                        true => self.explain_stream(plan, emit, bounded).await,
                        false => self.explain_batch(plan).await,
                    };
                    explain(text.map_err(|error| error.at(statement.place.clone()))?);
                }
                _ => targets.extend(self.target(statement, file, targets.len()).await?),
            }
        }
        if targets.is_empty() && !script.statements.iter().any(|s| matches!(s.kind, StatementKind::Explain { .. })) {
            return Err(Error::usage(format!("{} asks for no rows", script.file))
                .hint("end it with COPY (SELECT …) TO '…', INSERT INTO …, or a bare SELECT"));
        }
        Ok(targets)
    }

    async fn target(&self, statement: &Statement, file: &str, number: usize) -> Result<Option<Target>> {
        let place = &statement.place;
        let of = |query: &SqlStatement| query.clone();
        let (query, name, to, emit) = match &statement.kind {
            StatementKind::Copy { query, location, format, options } => {
                let mut options = options.clone();
                let emit = Emit::take(&format!("the output {location}"), &mut options)
                    .map_err(|error| error.at(place.clone()))?;
                let to = To::Location { location: location.clone(), format: format.clone(), options };
                (of(query), location.clone(), to, emit)
            }
            StatementKind::Insert { table, query } => {
                (of(query), table.clone(), To::Table(table.clone()), self.table_emit(table))
            }
            StatementKind::Select(query) => (of(query), format!("select {}", number + 1), To::Print, None),
            _ => return Ok(None),
        };
        let plan = self.plan(query, file, Some(place)).await?;
        let plan = self.analyse(plan).map_err(|error| error.at(place.clone()))?;
        Ok(Some(Target { name, plan, to, emit }))
    }

    pub(crate) fn target_sink(
        &self,
        target: &Target,
        upserts: Option<&UpsertsOf>,
        how: &SinkHow,
        select: SelectSink<'_>,
    ) -> Result<Box<dyn Sink>> {
        let rows = RowsOf::plan(&target.plan);
        let (rows, how) = match upserts {
            Some(of) => (RowsOf { schema: of.sink_schema(), ..rows }, how.with_upserts(of, target.emit.as_ref())),
            None => (rows, how.clone()),
        };
        match &target.to {
            To::Location { location, format, options } => {
                self.sink(format.as_deref(), location, rows, options.clone(), &how)
            }
            To::Table(table) => self.table_sink(table, &rows, &how),
            To::Print if how.upserts.is_some() => {
                Ok(Box::new(Changelog::new(select(&Changelog::schema(&rows.schema)?)?, &rows.schema)?))
            }
            To::Print => select(&rows.schema),
        }
    }

    /// A driver for a script.
    ///
    /// # Errors
    /// Planning errors with their place, what sources and sinks say when they are opened, and `Data` for a corrupt
    /// checkpoint.
    pub async fn stream_script(
        &self,
        script: &Script,
        settings: &RunSettings,
        select: SelectSink<'_>,
        explain: &mut dyn FnMut(String),
    ) -> Result<Driver> {
        let mut targets = self.prepare(script, true, !settings.follow, explain).await?;
        for target in targets.iter_mut().filter(|target| matches!(target.to, To::Print)) {
            target.emit.clone_from(&settings.select_emit);
        }
        if let Some(cluster) = &settings.cluster {
            return self.coordinate(targets, settings, cluster, select).await;
        }
        let plans = targets.iter().map(Target::planned).collect();
        let job = self.plan_job(plans, !settings.follow).await?;
        let keeper = self.keeper(settings)?;
        let mut hows = SinkHows::new(settings, keeper.as_ref());
        let mut sinks = Vec::with_capacity(targets.len());
        for (target, upserts) in targets.iter().zip(&job.upserts) {
            let how = hows.of(&target.name);
            sinks.push((target.name.clone(), self.target_sink(target, upserts.as_ref(), &how, select)?));
        }
        self.driver(job, sinks, settings, keeper, true)
    }

    /// A driver of one plan into one sink.
    pub(crate) async fn stream_plan(
        &self,
        plan: LogicalPlan,
        name: &str,
        settings: &RunSettings,
        emit: Option<Emit>,
        sink: impl FnOnce(&SchemaRef, &SinkHow) -> Result<Box<dyn Sink>>,
    ) -> Result<Driver> {
        let to = PlanTo { name: name.to_owned(), plan: self.analyse(plan)?, emit: emit.clone() };
        let schema: SchemaRef = Arc::new(to.plan.schema().as_arrow().clone());
        let job = self.plan_job(vec![to], !settings.follow).await?;
        let keeper = self.keeper(settings)?;
        let how = SinkHows::new(settings, keeper.as_ref()).of(name);
        let sink = match job.upserts.first() {
            Some(Some(of)) => sink(&of.sink_schema(), &how.with_upserts(of, emit.as_ref()))?,
            _ => sink(&schema, &how)?,
        };
        self.driver(job, vec![(name.to_owned(), sink)], settings, keeper, true)
    }

    /// Plans a job once for each worker, and once more where there are several: a plan holds state of its own.
    async fn plan_job(&self, plans: Vec<PlanTo>, bounded: bool) -> Result<Planned> {
        // early rows are asked of one graph
        let workers = if plans.iter().any(|to| to.emit.is_some()) { 1 } else { self.workers() };
        let reloads = Reloads::new(self, !bounded);
        let first = plan_stream(plans.clone(), &self.state(), bounded, &reloads).await?;
        let mut others = Vec::new();
        for _ in 0..if workers > 1 { workers } else { 0 } {
            let job = plan_stream(plans.clone(), &self.state(), bounded, &reloads).await?;
            others.push((job.graph, job.outputs));
        }
        let StreamJob { graph, sources, outputs, upserts, per_customer } = first;
        let execution: Box<dyn Execution> = if others.is_empty() {
            Box::new(Alone::new(graph, outputs))
        } else {
            Box::new(Team::of_threads(graph, others)?)
        };
        Ok(Planned { execution, sources, upserts, per_customer, static_tables: reloads.tables() })
    }

    pub(crate) fn keeper(&self, settings: &RunSettings) -> Result<Option<Keeper>> {
        let Some(checkpoint) = &settings.checkpoint else { return Ok(None) };
        Keeper::open(Arc::clone(&checkpoint.store), checkpoint.every, self.clock()).map(Some)
    }

    pub(crate) fn driver(
        &self,
        job: Planned,
        sinks: Vec<(String, Box<dyn Sink>)>,
        settings: &RunSettings,
        keeper: Option<Keeper>,
        side_outputs: bool,
    ) -> Result<Driver> {
        let follow = settings.follow;
        let mut hows = SinkHows::new(settings, keeper.as_ref());
        let mut positions = keeper.as_ref().map(positions).unwrap_or_default();
        let mut position = |name: &str| positions.get_mut(name).and_then(VecDeque::pop_front);
        let mut sources = Vec::with_capacity(job.sources.len());
        for source in job.sources {
            sources.push(match source.from {
                SourceFrom::Rows(rows) => SourceRun {
                    name: STATIC_ROWS.to_owned(),
                    reader: Box::new(StaticReader::new(rows, position(STATIC_ROWS).as_deref())?),
                    settings: TimeSettings::default(),
                    bytes_total: Some(0),
                    per_customer: false,
                    dead_to: None,
                    late_to: None,
                },
                SourceFrom::Table(table, columns) => {
                    let all = columns.len() == table.schema()?.fields().len();
                    let projection = (!all).then_some(columns);
                    let options = read_options(&table, projection, follow, &Reading::of(self));
                    let options = ReadOptions { resume: position(&table.spec.name), ..options };
                    let mut to = |what: &str, table_name: &Option<String>, schema: &SchemaRef| {
                        let name = format!("{what} of {}", table.spec.name);
                        let to = table_name.as_ref().filter(|_| side_outputs);
                        to.map(|to| self.table_sink(to, &schema.into(), &hows.of(&name))).transpose()
                    };
                    SourceRun {
                        name: table.spec.name.clone(),
                        bytes_total: if follow { None } else { table.source()?.bytes_total() },
                        dead_to: to("dead letters", &table.settings.dead_to, &dead_schema())?,
                        late_to: to("late rows", &table.settings.late_to, &table.schema()?)?,
                        reader: table.source()?.open(&options)?,
                        settings: table.time_settings()?,
                        per_customer: job.per_customer,
                    }
                }
            });
        }
        let outlets = sinks.into_iter().map(|(name, sink)| Outlet { name, sink }).collect();
        let driver = Driver::new(job.execution, sources, outlets, self.clock(), follow);
        let driver = match self.spill()? {
            Some(spill) => driver.with_spill(spill),
            None => driver,
        };
        let driver = driver.with_static_tables(job.static_tables);
        let driver = if self.short_epochs() { driver.with_short_epochs() } else { driver };
        let may_change = settings.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.may_change);
        Ok(match keeper {
            Some(keeper) => driver.with_checkpoints(keeper, may_change),
            None => driver,
        })
    }

    /// Runs a script as batch.
    ///
    /// # Errors
    /// Planning errors with their place, and what sources and sinks say.
    pub async fn batch_script(
        &self,
        script: &Script,
        mode: SinkMode,
        select: SelectSink<'_>,
        explain: &mut dyn FnMut(String),
    ) -> Result<BatchReport> {
        let mut targets = self.prepare(script, false, true, explain).await?;
        targets.iter_mut().try_for_each(Target::finalise)?;
        let dead = self.reset_counters(mode, true)?;
        let mut report = BatchReport::default();
        for target in &targets {
            let mut sink = self.target_sink(target, None, &mode.into(), select)?;
            let rows = self.batch_into(target.plan.clone(), sink.as_mut()).await?;
            sink.finish()?;
            report.sinks.push((target.name.clone(), rows));
            report.refused.extend(refusals(&target.name, sink.as_ref()));
        }
        for sink in dead {
            sink.lock().unwrap_or_else(PoisonError::into_inner).finish()?;
        }
        report.sources = self.counters();
        Ok(report)
    }

    /// Runs a plan as batch into a sink; returns the number of rows.
    pub(crate) async fn batch_into(&self, plan: LogicalPlan, sink: &mut dyn Sink) -> Result<u64> {
        let plan = self.batch_plan(plan)?;
        let state = self.state();
        let plan = state.create_physical_plan(&plan).await.map_err(running_error)?;
        let mut stream = execute_stream(plan, self.session().task_ctx()).map_err(running_error)?;
        let mut rows = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(running_error)?;
            rows += batch.num_rows() as u64;
            sink.write(&batch)?;
        }
        Ok(rows)
    }

    fn counters(&self) -> Vec<(String, u64, u64)> {
        let of = |provider: &Arc<Provider>| {
            let counters = &provider.counters;
            (
                provider.table.spec.name.clone(),
                counters.read.load(Ordering::SeqCst),
                counters.dead.load(Ordering::SeqCst),
            )
        };
        self.providers().iter().map(of).filter(|(_, read, _)| *read > 0).collect()
    }

    /// Fresh counters for a batch run; gives the sinks of dead letters.
    fn reset_counters(&self, mode: SinkMode, side_outputs: bool) -> Result<Vec<SharedSink>> {
        let mut sinks = Vec::new();
        for provider in self.providers() {
            let to = provider.table.settings.dead_to.as_ref().filter(|_| side_outputs && provider.table.unbounded);
            let Some(to) = to else {
                provider.counters.reset(None);
                continue;
            };
            let sink = Arc::new(Mutex::new(self.table_sink(to, &(&dead_schema()).into(), &mode.into())?));
            sinks.push(Arc::clone(&sink));
            let out: DeadOut = Arc::new(move |input: &Input, letters| {
                let batch = dead_letters_to_batch(&input.name, &input.customer, letters)?;
                sink.lock().unwrap_or_else(PoisonError::into_inner).write(&batch)
            });
            provider.counters.reset(Some(out));
        }
        Ok(sinks)
    }

    /// Runs a script in both executions, writes to no sink, and compares.
    ///
    /// # Errors
    /// As the two runs.
    pub async fn parity_script(&self, script: &Script) -> Result<ParityReport> {
        let targets = self.prepare(script, true, true, &mut |_| {}).await?;
        self.reset_counters(SinkMode::Append, false)?;
        let mut batch = Vec::with_capacity(targets.len());
        let mut report = BatchReport::default();
        for target in &targets {
            let rows = Keep::default();
            let count = self.batch_into(target.plan.clone(), &mut rows.clone()).await?;
            report.sinks.push((target.name.clone(), count));
            batch.push(rows.take());
        }
        report.sources = self.counters();
        let (progress, stream) = self.stream_targets(&targets).await?;
        let mut sinks = Vec::with_capacity(targets.len());
        for ((target, batch), stream) in targets.iter().zip(batch).zip(stream) {
            let schema: SchemaRef = Arc::new(target.plan.schema().as_arrow().clone());
            sinks.push((target.name.clone(), compare_rows(&schema, &batch, &stream)?));
        }
        Ok(ParityReport { sinks, stream: progress, batch: report })
    }

    async fn stream_targets(&self, targets: &[Target]) -> Result<(Progress, Vec<Vec<RecordBatch>>)> {
        let plans = targets.iter().map(|target| PlanTo { emit: None, ..target.planned() }).collect();
        let job = self.plan_job(plans, true).await?;
        let kept: Vec<Keep> = targets.iter().map(|_| Keep::default()).collect();
        let sinks = targets.iter().zip(&kept).map(|(target, keep)| (target.name.clone(), Box::new(keep.clone()) as _));
        let driver = self.driver(job, sinks.collect(), &RunSettings::default(), None, false)?;
        let progress = tokio::task::spawn_blocking(move || driver.run())
            .await
            .map_err(|error| Error::internal("the run was cut short").detail(error))??;
        Ok((progress, kept.iter().map(Keep::take).collect()))
    }

    /// Rows of a plan, executed as batch.
    pub(crate) async fn collect_batch(&self, plan: LogicalPlan) -> Result<Vec<RecordBatch>> {
        let rows = Keep::default();
        self.batch_into(plan, &mut rows.clone()).await?;
        Ok(rows.take())
    }

    /// Rows of a plan, executed as a stream over bounded input.
    pub(crate) async fn collect_stream(&self, plan: LogicalPlan) -> Result<(Progress, Vec<RecordBatch>)> {
        let rows = Keep::default();
        let sink = |_: &SchemaRef, _: &SinkHow| -> Result<Box<dyn Sink>> { Ok(Box::new(rows.clone())) };
        let driver = self.stream_plan(plan, "collect", &RunSettings::default(), None, sink).await?;
        let progress = tokio::task::spawn_blocking(move || driver.run())
            .await
            .map_err(|error| Error::internal("the run was cut short").detail(error))??;
        Ok((progress, rows.take()))
    }

    /// The streaming plan in words.
    pub(crate) async fn explain_stream(&self, plan: LogicalPlan, emit: Option<Emit>, bounded: bool) -> Result<String> {
        let plan = self.analyse(plan)?;
        let reloads = Reloads::new(self, !bounded);
        let to = PlanTo { name: "rows".to_owned(), plan, emit };
        let job = plan_stream(vec![to], &self.state(), bounded, &reloads).await?;
        let names: Vec<String> = job
            .sources
            .iter()
            .enumerate()
            .map(|(number, source)| match &source.from {
                SourceFrom::Table(table, columns) => {
                    let time = &table.settings.time;
                    let event_time = time.event_time.as_deref().unwrap_or("none");
                    let name = &table.spec.name;
                    let lateness = time.lateness;
                    let columns = columns.len();
                    let follows = match &time.customer {
                        CustomerBy::Input => "the input that is furthest behind".to_owned(),
                        // a customer that is never seen again would hold them for ever: see decision 6
                        CustomerBy::Column(column) => format!("the input that is furthest behind, whatever its {column}"),
                    };
                    format!(
                        "source {number}: table {name}, {columns} columns, event time {event_time}, lateness {lateness} µs; \
                         the watermark over all customers follows {follows}"
                    )
                }
                SourceFrom::Rows(_) => format!("source {number}: {STATIC_ROWS}"),
            })
            .collect();
        Ok(format!("{}\n{}", names.join("\n"), job.graph.describe()))
    }

    /// The batch plan in words.
    pub(crate) async fn explain_batch(&self, plan: LogicalPlan) -> Result<String> {
        let plan = self.batch_plan(plan)?;
        let plan = self.state().optimize(&plan).map_err(running_error)?;
        Ok(plan.display_indent().to_string())
    }
}

/// A sink that keeps its rows in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keep(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    rows: Vec<RecordBatch>,
    /// In update mode.
    last: Option<LastByKey>,
}

impl Kept {
    /// What there is: all rows, or the last of each key.
    fn all(&self) -> Vec<RecordBatch> {
        match &self.last {
            Some(last) => last.rows().into_iter().collect(),
            None => self.rows.clone(),
        }
    }
}

impl Keep {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn by_key(&self, last: LastByKey) {
        self.kept().last = Some(last);
    }

    pub(crate) fn take(&self) -> Vec<RecordBatch> {
        let mut kept = self.kept();
        let all = kept.all();
        *kept = Kept::default();
        all
    }

    pub(crate) fn rows(&self) -> Vec<RecordBatch> {
        self.kept().all()
    }
}

impl Sink for Keep {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut kept = self.kept();
        match &mut kept.last {
            Some(last) => last.write(batch),
            None => {
                kept.rows.push(batch.clone());
                Ok(())
            }
        }
    }

    fn delete(&mut self, keys: &RecordBatch) -> Result<()> {
        match &mut self.kept().last {
            Some(last) => last.delete(keys),
            None => Err(Error::internal("rows were taken back from a sink that only appends")),
        }
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
