//! `frame.write()` and `frame.write_stream()`, which mirror each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;
use fyke_stream::{Progress, StopSignal};
use fyke_types::{Changelog, Error, LastByKey, Result, Sink, SinkMode};

use crate::context::{Context, SinkHow};
use crate::emit::Emit;
use crate::job::Keep;
use crate::run_settings::{CheckpointSettings, RunSettings};
use crate::script::put_once;
use crate::unique::RowsOf;

/// Which rows a stream writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputMode {
    /// Each row once, when its windows close.
    #[default]
    Append,
    /// Early results: changed groups again and again, each row replacing the one of its key, into a sink that can
    /// replace rows.
    Update {
        /// A changed group is given at most this often, in wall time.
        every: Duration,
    },
    /// The same as rows with a column `op` (`upsert`, `delete`), into any sink.
    Changelog {
        /// A changed group is given at most this often, in wall time.
        every: Duration,
    },
}

impl OutputMode {
    fn emit(self) -> Option<Emit> {
        let micros = |every: Duration| i64::try_from(every.as_micros()).unwrap_or(i64::MAX).max(1);
        match self {
            Self::Append => None,
            Self::Update { every } => Some(Emit::update(micros(every))),
            Self::Changelog { every } => Some(Emit { changelog: true, ..Emit::update(micros(every)) }),
        }
    }
}

/// How long a stream runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trigger {
    /// Until it is told to stop.
    #[default]
    Live,
    /// Over what exists now; at the end every window closes.
    Once,
}

/// What both writers are told.
#[derive(Debug, Clone, Default)]
struct Target {
    format: Option<String>,
    mode: SinkMode,
    options: Vec<(String, String)>,
}

impl Target {
    fn sink(&self, context: &Context, location: &str, rows: RowsOf, how: &SinkHow) -> Result<Box<dyn Sink>> {
        let mut options = BTreeMap::new();
        for (key, value) in &self.options {
            put_once(&mut options, key, value.clone())?;
        }
        context.sink(self.format.as_deref(), location, rows, options, how)
    }
}

/// Writes rows, executed as batch.
#[derive(Debug, Clone)]
pub struct Writer {
    context: Context,
    plan: LogicalPlan,
    target: Target,
}

impl Writer {
    pub(crate) fn new(context: Context, plan: LogicalPlan) -> Self {
        Self { context, plan, target: Target::default() }
    }

    /// `parquet`, `json`, …; without it the location's extension says.
    #[must_use]
    pub fn format(mut self, format: &str) -> Self {
        self.target.format = Some(format.to_owned());
        self
    }

    /// Whether rows of another run may be replaced.
    #[must_use]
    pub fn mode(mut self, mode: SinkMode) -> Self {
        self.target.mode = mode;
        self
    }

    /// A setting of the connector.
    #[must_use]
    pub fn option(mut self, key: &str, value: &str) -> Self {
        self.target.options.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Writes; returns how many rows.
    ///
    /// # Errors
    /// Planning errors, and what source and sink say.
    pub async fn save(self, location: &str) -> Result<u64> {
        let rows = RowsOf::plan(&self.plan);
        let mut sink = self.target.sink(&self.context, location, rows, &self.target.mode.into())?;
        let rows = self.context.batch_into(self.plan, sink.as_mut()).await?;
        sink.finish()?;
        Ok(rows)
    }
}

/// Writes rows as they come.
#[derive(Debug, Clone)]
pub struct StreamWriter {
    context: Context,
    plan: LogicalPlan,
    target: Target,
    trigger: Trigger,
    name: String,
    checkpoint: Option<CheckpointSettings>,
    output_mode: OutputMode,
}

impl StreamWriter {
    pub(crate) fn new(context: Context, plan: LogicalPlan) -> Self {
        Self {
            context,
            plan,
            target: Target::default(),
            trigger: Trigger::Live,
            name: "query".to_owned(),
            checkpoint: None,
            output_mode: OutputMode::Append,
        }
    }

    /// `parquet`, `json`, …; without it the location's extension says.
    #[must_use]
    pub fn format(mut self, format: &str) -> Self {
        self.target.format = Some(format.to_owned());
        self
    }

    /// Which rows are written.
    #[must_use]
    pub fn output_mode(mut self, mode: OutputMode) -> Self {
        self.output_mode = mode;
        self
    }

    /// Whether rows of another run may be replaced.
    #[must_use]
    pub fn mode(mut self, mode: SinkMode) -> Self {
        self.target.mode = mode;
        self
    }

    /// A setting of the connector.
    #[must_use]
    pub fn option(mut self, key: &str, value: &str) -> Self {
        self.target.options.push((key.to_owned(), value.to_owned()));
        self
    }

    /// How long it runs.
    #[must_use]
    pub fn trigger(mut self, trigger: Trigger) -> Self {
        self.trigger = trigger;
        self
    }

    /// The query's name in its progress.
    #[must_use]
    pub fn query_name(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// Keeps checkpoints in a folder of the query's own: started again with the same folder it goes on where it stood,
    /// and its output becomes a folder of parts, in which each row appears once.
    #[must_use]
    pub fn checkpoint(mut self, settings: CheckpointSettings) -> Self {
        self.checkpoint = Some(settings);
        self
    }

    /// Starts to write to a location.
    ///
    /// # Errors
    /// Planning errors, what source and sink say when they are opened, and `Data` for a corrupt checkpoint.
    pub async fn start(self, location: &str) -> Result<StreamingQuery> {
        let rows = RowsOf::plan(&self.plan);
        let (context, target) = (self.context.clone(), self.target.clone());
        self.start_with(|schema, how| {
            target.sink(&context, location, RowsOf { schema: Arc::clone(schema), ..rows }, how)
        })
        .await
    }

    /// Starts to write into a sink of the caller's; in update mode it gets [`Sink::delete`] calls as well.
    ///
    /// # Errors
    /// As [`StreamWriter::start`].
    pub async fn start_into(self, sink: Box<dyn Sink>) -> Result<StreamingQuery> {
        self.start_with(|schema, how| match &how.upserts {
            Some(upserts) if upserts.changelog => Ok(Box::new(Changelog::new(sink, schema)?)),
            _ => Ok(sink),
        })
        .await
    }

    async fn start_with(
        self,
        sink: impl FnOnce(&SchemaRef, &SinkHow) -> Result<Box<dyn Sink>>,
    ) -> Result<StreamingQuery> {
        let follow = self.trigger == Trigger::Live;
        let (mode, checkpoint) = (self.target.mode, self.checkpoint);
        let settings = RunSettings { follow, mode, checkpoint, cluster: None, select_emit: None };
        let emit = self.output_mode.emit();
        let driver = self.context.stream_plan(self.plan, &self.name, &settings, emit, sink).await?;
        let (stop, progress) = (driver.stop_signal(), driver.progress_handle());
        let thread = std::thread::Builder::new()
            .name(format!("fyke-{}", self.name))
            .spawn(move || driver.run())
            .map_err(|error| Error::unavailable("no thread for the query").detail(error))?;
        Ok(StreamingQuery { name: self.name, stop, progress, thread: Some(thread) })
    }

    /// Starts to keep rows in memory; [`MemoryQuery::rows`] gives what has come so far, in update mode the last row of
    /// each key.
    ///
    /// # Errors
    /// As [`StreamWriter::start`].
    pub async fn start_in_memory(self) -> Result<MemoryQuery> {
        let rows = Keep::default();
        let keep = rows.clone();
        let query = self
            .start_with(move |schema, how| match &how.upserts {
                Some(upserts) if upserts.changelog => Ok(Box::new(Changelog::new(Box::new(keep), schema)?)),
                Some(upserts) => {
                    keep.by_key(LastByKey::new(schema, &upserts.key)?);
                    Ok(Box::new(keep))
                }
                None => Ok(Box::new(keep)),
            })
            .await?;
        Ok(MemoryQuery { rows, query })
    }
}

/// A running query.
#[derive(Debug)]
pub struct StreamingQuery {
    name: String,
    stop: StopSignal,
    progress: Arc<Mutex<Progress>>,
    thread: Option<std::thread::JoinHandle<Result<Progress>>>,
}

impl StreamingQuery {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it still runs.
    pub fn is_active(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Its counters now.
    pub fn last_progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What the run failed with.
    pub fn await_termination(mut self) -> Result<Progress> {
        let Some(thread) = self.thread.take() else { return Ok(self.last_progress()) };
        thread.join().unwrap_or_else(|_| Err(Error::internal("the query's thread panicked")))
    }

    /// Tells it to stop, and waits until it has drained.
    ///
    /// # Errors
    /// What the run failed with.
    pub fn stop(self) -> Result<Progress> {
        self.stop.stop();
        self.await_termination()
    }
}

/// A running query whose rows are kept in memory.
#[derive(Debug)]
pub struct MemoryQuery {
    rows: Keep,
    query: StreamingQuery,
}

impl MemoryQuery {
    /// The rows so far.
    pub fn rows(&self) -> Vec<RecordBatch> {
        self.rows.rows()
    }

    /// The query.
    pub fn query(&self) -> &StreamingQuery {
        &self.query
    }

    /// Waits for its end and gives all rows.
    ///
    /// # Errors
    /// What the run failed with.
    pub fn finish(self) -> Result<(Progress, Vec<RecordBatch>)> {
        let progress = self.query.await_termination()?;
        Ok((progress, self.rows.take()))
    }

    /// Tells it to stop, and gives all rows.
    ///
    /// # Errors
    /// What the run failed with.
    pub fn stop(self) -> Result<(Progress, Vec<RecordBatch>)> {
        let progress = self.query.stop()?;
        Ok((progress, self.rows.take()))
    }
}
