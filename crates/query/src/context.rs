//! The entry point: tables, views, functions, and how text becomes plans.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{AggregateUDF, DdlStatement, LogicalPlan, ScalarUDF};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as SqlStatement;
use fyke_functions::windows::window_functions;
use fyke_stream::cluster::SLOTS;
use fyke_stream::state::Spill;
use fyke_types::{Clock, Connector, Error, Place, Result, Sink, SinkSpec, Source, SystemClock, TableSpec, dead_schema};

use crate::as_of::{as_plain_joins, from_markers, marker, rewrite_as_of};
use crate::batch::{rewrite_group_by, rewrite_select_lists};
use crate::check::check_windows;
use crate::emit::Emit;
use crate::errors::{planning_error, running_error};
use crate::frame::DataFrame;
use crate::provider::Provider;
use crate::reader::ReadBuilder;
use crate::script::{Script, StatementKind, put_once};
pub(crate) use crate::sink_how::SinkHow;
use crate::sink_how::open_sink;
use crate::state_table::StateFunction;
use crate::table::{FykeTable, TableSettings};
use crate::unique::RowsOf;

/// Settings of a context.
#[derive(Debug)]
pub struct ContextBuilder {
    connectors: Vec<Arc<dyn Connector>>,
    clock: Arc<dyn Clock>,
    decode_threads: usize,
    block_bytes: usize,
    short_epochs: bool,
    workers: usize,
    memory: Option<(usize, Option<PathBuf>)>,
    partitions: usize,
}

impl ContextBuilder {
    /// The ways in and out that tables may name.
    #[must_use]
    pub fn connectors(mut self, connectors: Vec<Arc<dyn Connector>>) -> Self {
        self.connectors = connectors;
        self
    }

    /// The wall clock (default: the machine's).
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Threads that decode beside the driver's (default 1).
    #[must_use]
    pub fn decode_threads(mut self, threads: usize) -> Self {
        self.decode_threads = threads;
        self
    }

    /// About so many bytes of an input are decoded at once (default 1 MiB). Less costs speed; no row depends on it.
    #[must_use]
    pub fn block_bytes(mut self, bytes: usize) -> Self {
        self.block_bytes = bytes.max(1);
        self
    }

    /// Threads that carry out a stream's operators, each for its share of the keys, at most 128 (default 1: the driver's
    /// own).
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.clamp(1, SLOTS);
        self
    }

    /// A stream's state may take so many bytes of memory; what is beyond goes to files in a new folder under `place`, or
    /// where the machine keeps such files (default: no limit).
    #[must_use]
    pub fn memory_budget(mut self, bytes: usize, place: Option<PathBuf>) -> Self {
        self.memory = Some((bytes, place));
        self
    }

    /// Live streams too close an epoch after each block of rows, whatever that costs (default: epochs of 5 to 500 ms, as
    /// short as the run keeps up with). For tests: no row depends on it.
    #[must_use]
    pub fn short_epochs(mut self, short: bool) -> Self {
        self.short_epochs = short;
        self
    }

    /// Partitions of a batch plan (default 2).
    #[must_use]
    pub fn partitions(mut self, partitions: usize) -> Self {
        self.partitions = partitions.max(1);
        self
    }

    /// The context.
    pub fn build(self) -> Context {
        let mut config = SessionConfig::new().with_target_partitions(self.partitions).with_information_schema(true);
        let sql = &mut config.options_mut().sql_parser;
        sql.collect_spans = true;
        // plain Utf8 is as fast and retains no input blocks
        sql.map_string_types_to_utf8view = false;
        let state = SessionStateBuilder::new().with_config(config).with_default_features().build();
        let session = SessionContext::new_with_state(state);
        let context = Context {
            inner: Arc::new(Inner {
                session,
                connectors: self.connectors,
                clock: self.clock,
                decode_threads: self.decode_threads,
                block_bytes: self.block_bytes,
                short_epochs: self.short_epochs,
                workers: self.workers,
                memory: self.memory,
                tables: Mutex::default(),
                outputs: Mutex::default(),
            }),
        };
        for function in window_functions().into_iter().chain(fyke_functions::scalar_functions()) {
            context.register_function(function);
        }
        context.register_function(marker());
        context.inner.session.register_udtf("state", Arc::new(StateFunction));
        for function in fyke_functions::aggregate_functions() {
            context.register_aggregate(function);
        }
        context
    }
}

struct Inner {
    session: SessionContext,
    connectors: Vec<Arc<dyn Connector>>,
    clock: Arc<dyn Clock>,
    decode_threads: usize,
    block_bytes: usize,
    short_epochs: bool,
    workers: usize,
    memory: Option<(usize, Option<PathBuf>)>,
    tables: Mutex<BTreeMap<String, Arc<Provider>>>,
    outputs: Mutex<BTreeMap<String, Output>>,
}

/// A table without declared columns that can't be read (yet): only a way out, and why.
#[derive(Clone)]
struct Output {
    table: Arc<FykeTable>,
    why: Error,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context")
    }
}

/// Tables, views and functions under their names. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

impl Context {
    /// A context's settings with their defaults.
    pub fn builder() -> ContextBuilder {
        ContextBuilder {
            connectors: Vec::new(),
            clock: Arc::new(SystemClock),
            decode_threads: 1,
            block_bytes: 1 << 20,
            short_epochs: false,
            workers: 1,
            memory: None,
            partitions: 2,
        }
    }

    /// Reads a table as batch.
    pub fn read(&self) -> ReadBuilder {
        ReadBuilder::new(self.clone(), false)
    }

    /// Reads a table as a stream: the same methods, live.
    pub fn read_stream(&self) -> ReadBuilder {
        ReadBuilder::new(self.clone(), true)
    }

    /// A query over the tables and views of this context. DDL is carried out and gives no rows.
    ///
    /// # Errors
    /// `Usage` with the place of the mistake.
    pub async fn sql(&self, text: &str) -> Result<DataFrame> {
        let script = Script::parse(text, "<sql>", &BTreeMap::new())?;
        let mut frame = None;
        for statement in &script.statements {
            match &statement.kind {
                StatementKind::Define(define) => self.define(define.clone(), &script.file, &statement.place).await?,
                StatementKind::Select(query) => {
                    let plan = self.plan(query.clone(), &script.file, Some(&statement.place)).await?;
                    frame = Some(DataFrame::new(self.clone(), plan));
                }
                _ => {
                    return Err(Error::usage("sql() takes DDL and one query")
                        .hint("run COPY and INSERT as a script")
                        .at(statement.place.clone()));
                }
            }
        }
        match frame {
            Some(frame) => Ok(frame),
            None => Ok(DataFrame::empty(self.clone())),
        }
    }

    /// A table or view by name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn table(&self, name: &str) -> Result<DataFrame> {
        let frame = self.inner.session.table(name).await.map_err(|error| planning_error(error, "<table>", None))?;
        Ok(DataFrame::new(self.clone(), frame.logical_plan().clone()))
    }

    /// Makes rows of `source` a table.
    ///
    /// # Errors
    /// For settings that name no column.
    pub fn register_source(
        &self,
        name: &str,
        source: Arc<dyn Source>,
        settings: TableSettings,
        unbounded: bool,
    ) -> Result<()> {
        let table = FykeTable::over(name, source, settings, unbounded, Arc::new(NoConnector))?;
        self.register_table(name, table)
    }

    /// Makes a function known to SQL.
    pub fn register_function(&self, function: ScalarUDF) {
        self.inner.session.register_udf(function);
    }

    /// Makes an aggregate known to SQL.
    pub fn register_aggregate(&self, function: AggregateUDF) {
        self.inner.session.register_udaf(function);
    }

    /// The wall clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.clock)
    }

    pub(crate) fn decode_threads(&self) -> usize {
        self.inner.decode_threads
    }

    /// A place for state that memory has no room for, where it has a limit.
    pub(crate) fn spill(&self) -> Result<Option<Arc<Spill>>> {
        let Some((bytes, place)) = &self.inner.memory else { return Ok(None) };
        Spill::open(place.as_deref(), *bytes).map(Some)
    }

    pub(crate) fn workers(&self) -> usize {
        self.inner.workers
    }

    pub(crate) fn short_epochs(&self) -> bool {
        self.inner.short_epochs
    }

    pub(crate) fn block_bytes(&self) -> usize {
        self.inner.block_bytes
    }

    pub(crate) fn state(&self) -> SessionState {
        self.inner.session.state()
    }

    pub(crate) fn session(&self) -> &SessionContext {
        &self.inner.session
    }

    /// The table of that name, if it is ours.
    pub(crate) fn provider(&self, name: &str) -> Option<Arc<Provider>> {
        self.inner.tables.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn providers(&self) -> Vec<Arc<Provider>> {
        self.inner.tables.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn register_table(&self, name: &str, table: FykeTable) -> Result<()> {
        let provider = Arc::new(Provider::new(Arc::new(table), self)?);
        self.inner.session.deregister_table(name).map_err(running_error)?;
        self.inner.session.register_table(name, Arc::clone(&provider) as _).map_err(running_error)?;
        self.inner.tables.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), provider);
        Ok(())
    }

    pub(crate) fn connector(&self, format: &str) -> Result<Arc<dyn Connector>> {
        let known = || -> Vec<&str> { self.inner.connectors.iter().flat_map(|c| c.formats()).copied().collect() };
        self.inner.connectors.iter().find(|c| c.formats().contains(&format)).cloned().ok_or_else(|| {
            Error::usage(format!("no connector answers to format '{format}'"))
                .hint(format!("known: {}", known().join(", ")))
        })
    }

    /// A table from its declaration.
    pub(crate) fn declare(&self, mut spec: TableSpec, unbounded: bool) -> Result<FykeTable> {
        let settings = TableSettings::take(&spec.name, &mut spec.options)?;
        let connector = self.connector(&spec.format)?;
        FykeTable::new(spec, settings, unbounded, connector)
    }

    /// A sink; the format may follow from the location's extension.
    pub(crate) fn sink(
        &self,
        format: Option<&str>,
        location: &str,
        rows: RowsOf,
        mut options: BTreeMap<String, String>,
        how: &SinkHow,
    ) -> Result<Box<dyn Sink>> {
        let dead_to = options.remove("dead_to");
        let sink = self.plain_sink(format, location, rows, options, how)?;
        if sink.health().is_none() && dead_to.is_some() {
            return Err(Error::usage(format!("{location} refuses no single rows")).hint(
                "leave out its 'dead_to': rows that can't be read are dead letters of the table they come from",
            ));
        }
        self.with_dead_letters(sink, dead_to.as_deref(), how)
    }

    fn plain_sink(
        &self,
        format: Option<&str>,
        location: &str,
        rows: RowsOf,
        options: BTreeMap<String, String>,
        how: &SinkHow,
    ) -> Result<Box<dyn Sink>> {
        let format = match format {
            Some(format) => format.to_uppercase(),
            None => format_of(location)?,
        };
        let RowsOf { schema, unique } = rows;
        let connector = self.connector(&format)?;
        let (location, mode, parts) = (location.to_owned(), how.mode, how.parts.clone());
        let spec = SinkSpec { format, location, schema, unique, mode, options, parts, key: None };
        open_sink(connector.as_ref(), spec, how)
    }

    /// A sink into a declared table, or into a file whose extension says its format.
    pub(crate) fn table_sink(&self, name: &str, rows: &RowsOf, how: &SinkHow) -> Result<Box<dyn Sink>> {
        let (sink, dead_to) = self.named_sink(name, rows, how)?;
        self.with_dead_letters(sink, dead_to.as_deref(), how)
    }

    /// The same, and where the table's rows go that it refuses.
    fn named_sink(&self, name: &str, rows: &RowsOf, how: &SinkHow) -> Result<(Box<dyn Sink>, Option<String>)> {
        let Some(table) = self.provider(name).map(|p| Arc::clone(&p.table)).or_else(|| self.output(name)) else {
            if format_of(name).is_ok() {
                return Ok((self.plain_sink(None, name, rows.clone(), BTreeMap::new(), how)?, None));
            }
            return Err(Error::usage(format!("'{name}' is no table that can be written to"))
                .hint(format!("CREATE EXTERNAL TABLE {name} STORED AS PARQUET LOCATION '…'")));
        };
        if let Some(declared) = &table.spec.schema {
            same_columns(name, declared, &rows.schema)?;
        }
        let spec = SinkSpec {
            format: table.spec.format.clone(),
            location: table.spec.location.clone(),
            schema: Arc::clone(&rows.schema),
            unique: rows.unique.clone(),
            mode: how.mode,
            options: table.spec.options.clone(),
            parts: how.parts.clone(),
            key: None,
        };
        Ok((open_sink(table.connector().as_ref(), spec, how)?, table.settings.dead_to.clone()))
    }

    /// Rows that `sink` refuses go to `dead_to`, whose own refusals are only counted.
    fn with_dead_letters(
        &self,
        mut sink: Box<dyn Sink>,
        dead_to: Option<&str>,
        how: &SinkHow,
    ) -> Result<Box<dyn Sink>> {
        // for other outputs the setting is about reading the table
        if let Some(name) = dead_to.filter(|_| sink.health().is_some()) {
            let (dead, _) =
                self.named_sink(name, &RowsOf::from(&dead_schema()), &SinkHow { upserts: None, ..how.clone() })?;
            sink.dead_letters_to(dead)?;
        }
        Ok(sink)
    }

    fn output(&self, name: &str) -> Option<Arc<FykeTable>> {
        let outputs = self.inner.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        outputs.get(name).map(|output| Arc::clone(&output.table))
    }

    /// When rows written to a declared table leave.
    pub(crate) fn table_emit(&self, name: &str) -> Option<Emit> {
        let table = self.provider(name).map(|provider| Arc::clone(&provider.table)).or_else(|| self.output(name))?;
        table.settings.emit.clone()
    }

    /// Carries out DDL and SET.
    pub(crate) async fn define(&self, mut statement: SqlStatement, file: &str, place: &Place) -> Result<()> {
        as_plain_joins(&mut statement).map_err(|error| error.at(place.clone()))?;
        let plan = match self.state().statement_to_plan(statement).await {
            Ok(plan) => plan,
            Err(error) => return Err(planning_error(error, file, Some(place))),
        };
        if let LogicalPlan::Ddl(DdlStatement::CreateExternalTable(command)) = &plan {
            let name = command.name.table().to_owned();
            if !command.or_replace && (self.provider(&name).is_some() || self.output(&name).is_some()) {
                if command.if_not_exists {
                    return Ok(());
                }
                return Err(Error::usage(format!("table '{name}' exists already")).at(place.clone()));
            }
            let defined = external_table(command).and_then(|spec| self.create(spec, command.unbounded));
            return defined.map_err(|error| error.at(place.clone()));
        }
        if let LogicalPlan::Dml(_) | LogicalPlan::Copy(_) = &plan {
            return Err(Error::unsupported(plan.display().to_string()).at(place.clone()));
        }
        self.inner
            .session
            .execute_logical_plan(plan)
            .await
            .map_err(|error| planning_error(error, file, Some(place)))?;
        Ok(())
    }

    /// Makes a table of a declaration. Where there are no columns and nothing can be read (yet), it is a way out.
    fn create(&self, mut spec: TableSpec, unbounded: bool) -> Result<()> {
        let name = spec.name.clone();
        let settings = TableSettings::take(&name, &mut spec.options)?;
        let connector = self.connector(&spec.format)?;
        let may_be_output = !unbounded && spec.schema.is_none();
        self.inner.outputs.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        let table = FykeTable::new(spec.clone(), settings.clone(), unbounded, Arc::clone(&connector));
        match table.and_then(|table| self.register_table(&name, table)) {
            Err(why) if may_be_output => {
                let table = Arc::new(FykeTable::for_output(spec, settings, connector));
                let mut outputs = self.inner.outputs.lock().unwrap_or_else(PoisonError::into_inner);
                outputs.insert(name, Output { table, why });
                Ok(())
            }
            done => done,
        }
    }

    /// The plan of a query.
    pub(crate) async fn plan(&self, mut query: SqlStatement, file: &str, place: Option<&Place>) -> Result<LogicalPlan> {
        as_plain_joins(&mut query).map_err(|error| match place {
            Some(place) => error.at(place.clone()),
            None => error,
        })?;
        let plan = self.state().statement_to_plan(query).await;
        plan.map_err(|error| {
            let error = planning_error(error, file, place);
            // a table that can't be read is not known to the planner: what it lacks is the answer
            let outputs = self.inner.outputs.lock().unwrap_or_else(PoisonError::into_inner);
            let named = outputs.iter().find(|(name, _)| error.message().contains(&format!(".{name}' not found")));
            match (named, error.place()) {
                (Some((_, output)), Some(place)) => output.why.clone().at(place.clone()),
                (Some((_, output)), None) => output.why.clone(),
                (None, _) => error,
            }
        })
    }

    /// A plan with types settled and windows checked: where both executions begin.
    pub(crate) fn analyse(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let state = self.state();
        let options = state.config_options();
        let plan = state
            .analyzer()
            .execute_and_check(plan, options, |_, _| {})
            .map_err(|error| planning_error(error, "<sql>", None))?;
        let plan = from_markers(plan).map_err(|error| planning_error(error, "<sql>", None))?;
        check_windows(&plan)?;
        Ok(plan)
    }

    /// A plan that DataFusion runs as batch.
    pub(crate) fn batch_plan(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan = self.analyse(plan)?;
        let plan = rewrite_select_lists(plan).map_err(running_error)?;
        let plan = rewrite_group_by(plan).map_err(running_error)?;
        rewrite_as_of(plan).map_err(running_error)
    }

    /// Forgets a table or view.
    ///
    /// # Errors
    /// When the catalog refuses.
    pub fn drop_table(&self, name: &str) -> Result<()> {
        self.inner.session.deregister_table(TableReference::bare(name)).map_err(running_error)?;
        self.inner.tables.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.inner.outputs.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }
}

fn external_table(command: &datafusion::logical_expr::CreateExternalTable) -> Result<TableSpec> {
    let [location] = command.locations.as_slice() else {
        return Err(Error::usage("a table has one LOCATION").hint("use a glob or a folder for several files"));
    };
    let mut options = BTreeMap::new();
    if !command.table_partition_cols.is_empty() {
        put_once(&mut options, "partition_by", command.table_partition_cols.join(", "))?;
    }
    for (key, value) in &command.options {
        put_once(&mut options, key, value.clone())?;
    }
    let declared = !command.schema.fields().is_empty();
    Ok(TableSpec {
        name: command.name.table().to_owned(),
        format: command.file_type.to_uppercase(),
        location: location.clone(),
        schema: declared.then(|| Arc::new(command.schema.as_arrow().clone())),
        options,
    })
}

fn format_of(location: &str) -> Result<String> {
    match location.rsplit_once('.').map(|(_, extension)| extension.to_lowercase()).as_deref() {
        Some("parquet") => Ok("PARQUET".to_owned()),
        Some("json" | "jsonl" | "ndjson") => Ok("JSON".to_owned()),
        Some("csv") => Ok("CSV".to_owned()),
        _ => Err(Error::usage(format!("the format of '{location}' is unknown")).hint("name it: STORED AS PARQUET")),
    }
}

fn same_columns(table: &str, declared: &SchemaRef, given: &SchemaRef) -> Result<()> {
    let describe = |schema: &SchemaRef| {
        let columns: Vec<_> = schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
        columns.join(", ")
    };
    let same = declared.fields().len() == given.fields().len()
        && declared.fields().iter().zip(given.fields()).all(|(d, g)| d.data_type() == g.data_type());
    if same {
        return Ok(());
    }
    Err(Error::usage(format!("the query's columns do not fit table '{table}'"))
        .detail(format!("the table has ({}), the query gives ({})", describe(declared), describe(given)))
        .hint("cast and order the columns as the table declares them"))
}

/// For tables that have no way in or out but their own source.
#[derive(Debug)]
struct NoConnector;

impl Connector for NoConnector {
    fn formats(&self) -> &'static [&'static str] {
        &[]
    }

    fn source(&self, spec: &TableSpec) -> Result<Arc<dyn Source>> {
        Err(Error::internal(format!("table {} has no connector", spec.name)))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Err(Error::unsupported(format!("writing to '{}'", spec.location)))
    }
}
