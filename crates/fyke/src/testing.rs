//! A kit for tests of one's own streaming queries: rows in, watermarks on, rows out, a crash in between. Deterministic:
//! nothing happens but in the calls below, and the wall clock stands until it is moved.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let sql = "
//!     CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR) STORED AS JSON LOCATION '/var/log/app'
//!       OPTIONS ('event_time' 'time', 'lateness' '10 seconds');
//!     SELECT tumble(time, INTERVAL '1 minute') AS w, host, count(*) AS n FROM requests GROUP BY w, host";
//! let mut test = fyke::testing::StreamTest::start(sql, &["requests"]).await?;
//! test.add("requests", r#"{"time": "2026-03-02T08:00:05Z", "host": "a"}"#)?;
//! test.kill_and_resume().await?;
//! test.add("requests", r#"{"time": "2026-03-02T08:00:40Z", "host": "a"}"#)?;
//! test.expect("select 1", "")?;
//! test.advance_watermark("requests", "2026-03-02T08:01:00Z")?;
//! test.expect(
//!     "select 1",
//!     r#"{"w": {"start": "2026-03-02T08:00:00Z", "end": "2026-03-02T08:01:00Z"}, "host": "a", "n": 2}"#,
//! )?;
//! # Ok::<(), fyke::Error>(())
//! # }).unwrap();
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::json::ReaderBuilder;
use fyke_connect::{MemorySink, MemorySource};
use fyke_query::checkpoint::Every;
use fyke_query::{CheckpointSettings, Context, Driver, Progress, RunSettings, Script, compare_rows};
use fyke_types::{
    Clock, Connector, Error, InputId, ManualClock, Micros, Result, Sink, SinkSpec, Source, TableSpec,
    request::request_schema,
};

/// 2100-01-01: where the wall clock stands at the start, so that no event time of a test is too far ahead of it.
const START: Micros = 4_102_444_800_000_000;

/// What the test puts in and takes out, whatever becomes of the run.
#[derive(Debug, Default)]
struct Ends {
    /// Tables that the test fills.
    replaced: Vec<String>,
    tables: BTreeMap<String, Table>,
    sinks: BTreeMap<String, Out>,
}

#[derive(Debug)]
struct Table {
    source: MemorySource,
    /// By customer.
    inputs: BTreeMap<String, InputId>,
}

#[derive(Debug)]
struct Out {
    schema: SchemaRef,
    sink: MemorySink,
    /// Batches that were expected already.
    taken: usize,
    /// Update mode: what its rows replace each other by.
    key: Option<Vec<String>>,
}

type Shared = Arc<Mutex<Ends>>;

fn locked(ends: &Shared) -> MutexGuard<'_, Ends> {
    ends.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A streaming query under test.
#[derive(Debug)]
pub struct StreamTest {
    script: Script,
    ends: Shared,
    clock: Arc<ManualClock>,
    checkpoints: tempfile::TempDir,
    driver: Option<Driver>,
}

impl StreamTest {
    /// Starts the queries of a script, which is live. The tables named in `filled` are filled by the test, whatever
    /// their location; all outputs are kept in memory, by their location, a bare SELECT's as `select 1` and so on.
    ///
    /// # Errors
    /// Planning errors; `Usage` for a filled table of a format without columns of its own that declares none.
    pub async fn start(script: &str, filled: &[&str]) -> Result<Self> {
        Self::start_with(script, filled, &BTreeMap::new()).await
    }

    /// The same with values for the script's `${NAME}`.
    ///
    /// # Errors
    /// As [`StreamTest::start`].
    pub async fn start_with(script: &str, filled: &[&str], parameters: &BTreeMap<String, String>) -> Result<Self> {
        let replaced = filled.iter().map(|name| (*name).to_owned()).collect();
        let checkpoints = tempfile::tempdir().map_err(|e| Error::unavailable("no temporary folder").detail(e))?;
        let mut test = Self {
            script: Script::parse(script, "<test>", parameters)?,
            ends: Arc::new(Mutex::new(Ends { replaced, ..Ends::default() })),
            clock: Arc::new(ManualClock::new(START)),
            checkpoints,
            driver: None,
        };
        test.resume().await?;
        Ok(test)
    }

    /// Adds rows to a table: JSON objects, one a line. They are read at once, as one epoch.
    ///
    /// # Errors
    /// `Usage` for a table that is not filled by the test, or lines that do not fit its columns; the run's own errors.
    pub fn add(&mut self, table: &str, rows: &str) -> Result<()> {
        self.add_of(table, "test", rows)
    }

    /// The same as rows of a customer's own input, whose watermark is its own.
    ///
    /// # Errors
    /// As [`StreamTest::add`].
    pub fn add_of(&mut self, table: &str, customer: &str, rows: &str) -> Result<()> {
        let mut ends = locked(&self.ends);
        let known = ends.replaced.join(", ");
        let Some(Table { source, inputs }) = ends.tables.get_mut(table) else {
            return Err(Error::usage(format!("'{table}' is not filled by this test"))
                .hint(format!("filled are {known}; name it in start()")));
        };
        let batches = rows_of(&source.schema(), rows)?;
        let input = *inputs.entry(customer.to_owned()).or_insert_with(|| source.add_input(customer));
        batches.into_iter().try_for_each(|batch| source.push(input, batch))?;
        drop(ends);
        self.driver()?.settle()
    }

    /// Moves a table's watermarks to a time (RFC 3339), where they are behind it.
    ///
    /// # Errors
    /// `Usage` for a table that the run does not read or a text that is no time; the run's own errors.
    pub fn advance_watermark(&mut self, table: &str, to: &str) -> Result<()> {
        let to = datafusion::arrow::compute::kernels::cast_utils::string_to_timestamp_nanos(to)
            .map_err(|error| Error::usage(format!("'{to}' is no time")).detail(error))?;
        self.driver()?.advance_watermark(table, to.div_euclid(1_000))
    }

    /// Moves the wall clock, which `idle_after`, `close_after` and `max_ahead` look at, and closes an epoch.
    ///
    /// # Errors
    /// The run's own.
    pub fn advance_clock(&mut self, by: Duration) -> Result<()> {
        self.clock.set(self.clock.now().saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)));
        self.driver()?.settle()
    }

    /// Exactly these rows (JSON objects, one a line, in any order) came to an output since the last call; of an output
    /// in update mode: exactly these are the last rows by key. Writes a checkpoint, since rows leave with one.
    ///
    /// # Errors
    /// `Data` that shows rows which differ; the run's own errors.
    pub fn expect(&mut self, output: &str, rows: &str) -> Result<()> {
        self.driver()?.write_checkpoint()?;
        let (schema, found) = self.taken(output)?;
        let expected = rows_of(&schema, rows)?;
        let compared = compare_rows(&schema, &expected, &found)?;
        if compared.is_equal() {
            return Ok(());
        }
        Err(Error::data(format!("{output} gave {} rows, {} were expected", compared.right, compared.left))
            .detail(format!("expected (<) and found (>):\n{}", compared.examples.join("\n"))))
    }

    /// The rows of an output since the last call, or, in update mode, the last rows by key as they stand now. Writes a
    /// checkpoint, since rows leave with one.
    ///
    /// # Errors
    /// `Usage` for an output that there is not; the run's own errors.
    pub fn rows(&mut self, output: &str) -> Result<Vec<RecordBatch>> {
        self.driver()?.write_checkpoint()?;
        Ok(self.taken(output)?.1)
    }

    fn taken(&self, output: &str) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        let mut ends = locked(&self.ends);
        let known: Vec<String> = ends.sinks.keys().cloned().collect();
        let Some(out) = ends.sinks.get_mut(output) else {
            return Err(
                Error::usage(format!("there is no output '{output}'")).hint(format!("there are {}", known.join(", ")))
            );
        };
        if let Some(key) = &out.key {
            let rows = out.sink.last_by_key(&out.schema, key)?;
            return Ok((Arc::clone(&out.schema), vec![rows]));
        }
        let batches = out.sink.batches().split_off(out.taken);
        out.taken += batches.len();
        Ok((Arc::clone(&out.schema), batches))
    }

    /// The run dies, and another process goes on from its last checkpoint.
    ///
    /// # Errors
    /// As [`StreamTest::start`], and `Data` where the checkpoint can't be resumed.
    pub async fn kill_and_resume(&mut self) -> Result<()> {
        self.driver = None;
        self.resume().await
    }

    /// Writes a checkpoint now.
    ///
    /// # Errors
    /// The run's own.
    pub fn checkpoint(&mut self) -> Result<()> {
        self.driver()?.write_checkpoint()
    }

    /// The counters so far.
    ///
    /// # Errors
    /// `Usage` after the end.
    pub fn progress(&mut self) -> Result<Progress> {
        let progress = self.driver()?.progress_handle();
        let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(progress.clone())
    }

    /// The input ends: every window closes, and these rows (by output) come.
    ///
    /// # Errors
    /// As [`StreamTest::expect`].
    pub fn end(&mut self, expected: &[(&str, &str)]) -> Result<Progress> {
        let progress = self.driver.take().ok_or_else(ended)?.finish()?;
        for (output, rows) in expected {
            let (schema, found) = self.taken(output)?;
            let compared = compare_rows(&schema, &rows_of(&schema, rows)?, &found)?;
            if !compared.is_equal() {
                return Err(Error::data(format!("{output} gave other rows at the end"))
                    .detail(format!("expected (<) and found (>):\n{}", compared.examples.join("\n"))));
            }
        }
        Ok(progress)
    }

    fn driver(&mut self) -> Result<&mut Driver> {
        self.driver.as_mut().ok_or_else(ended)
    }

    async fn resume(&mut self) -> Result<()> {
        let connectors = fyke_connect::connectors()
            .into_iter()
            .map(|of| -> Arc<dyn Connector> { Arc::new(TestConnector { of, ends: Arc::clone(&self.ends) }) });
        let builder = Context::builder().connectors(connectors.collect()).decode_threads(0);
        let context = builder.clock(Arc::clone(&self.clock) as _).build();
        fyke_detect::register(&context, &fyke_detect::Models::new());
        let selects = Mutex::new(0);
        let select = |schema: &SchemaRef| -> Result<Box<dyn Sink>> {
            let mut count = selects.lock().unwrap_or_else(PoisonError::into_inner);
            *count += 1;
            Ok(sink_of(&self.ends, format!("select {count}"), schema, None))
        };
        let checkpoint = CheckpointSettings {
            every: Every::Epochs(u64::MAX / 2),
            ..CheckpointSettings::new(self.checkpoints.path())
        };
        let settings = RunSettings { follow: true, checkpoint: Some(checkpoint), ..RunSettings::default() };
        let mut driver = context.stream_script(&self.script, &settings, &select, &mut |_| {}).await?;
        driver.begin()?;
        driver.settle()?;
        self.driver = Some(driver);
        Ok(())
    }
}

fn ended() -> Error {
    Error::usage("the run has ended")
}

fn rows_of(schema: &SchemaRef, text: &str) -> Result<Vec<RecordBatch>> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Error::usage("rows of a test can't be read").detail(error).hint("write JSON objects with the table's columns")
    };
    let reader = ReaderBuilder::new(Arc::clone(schema)).with_strict_mode(true).build(std::io::Cursor::new(text));
    let reader = reader.map_err(|error| unreadable(&error))?;
    reader.map(|batch| batch.map_err(|error| unreadable(&error))).collect()
}

fn sink_of(ends: &Shared, name: String, schema: &SchemaRef, key: Option<Vec<String>>) -> Box<dyn Sink> {
    let mut ends = locked(ends);
    let new = || Out { schema: Arc::clone(schema), sink: MemorySink::exactly_once(), taken: 0, key };
    Box::new(ends.sinks.entry(name).or_insert_with(new).sink.clone())
}

/// A connector whose named tables are filled by the test, and whose outputs are kept.
#[derive(Debug)]
struct TestConnector {
    of: Arc<dyn Connector>,
    ends: Shared,
}

impl Connector for TestConnector {
    fn formats(&self) -> &'static [&'static str] {
        self.of.formats()
    }

    fn source(&self, spec: &TableSpec) -> Result<Arc<dyn Source>> {
        let mut ends = locked(&self.ends);
        if !ends.replaced.contains(&spec.name) {
            return self.of.source(spec);
        }
        let schema = match (&spec.schema, spec.format.as_str()) {
            (Some(schema), _) => Arc::clone(schema),
            (None, "JSON" | "CSV" | "PARQUET") => {
                return Err(Error::usage(format!("table {} has no columns yet", spec.name))
                    .hint("declare them: in a test there is nothing that they could be found out from"));
            }
            (None, _) => request_schema(),
        };
        let table = match ends.tables.get(&spec.name) {
            Some(table) => table.source.clone(),
            None => {
                let source = MemorySource::new(schema, Vec::new())?;
                let table = Table { source: source.clone(), inputs: BTreeMap::new() };
                ends.tables.insert(spec.name.clone(), table);
                source
            }
        };
        Ok(Arc::new(table))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Ok(sink_of(&self.ends, spec.location.clone(), &spec.schema, spec.key.clone()))
    }

    fn takes_upserts(&self, _: &str) -> bool {
        true
    }
}
