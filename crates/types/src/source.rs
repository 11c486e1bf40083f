//! The promises of sources, sinks and connectors. The engine sees these alone and names no connector.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::{Clock, DeadLetter, Error, Micros, Result};

/// A file, partition or connection of a source, numbered from 0 in the order of its discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct InputId(pub u32);

/// An input as it was found.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its number.
    pub id: InputId,
    /// Its path, topic and partition, or "stdin".
    pub name: Arc<str>,
    /// Its customer, unless a column of the row says it.
    pub customer: Arc<str>,
}

/// Rows of one input, in the input's order.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Whence.
    pub input: InputId,
    /// The projected columns of valid rows. Event times are present and not too far ahead.
    pub batch: RecordBatch,
    /// What made no row, with `line` and `offset` counted from the input's start.
    pub dead: Vec<DeadLetter>,
    /// Records read: rows + dead letters (blank lines do not count).
    pub read: u64,
    /// The byte (or record) behind the last one of this block.
    pub position: u64,
}

/// What a reader says next.
#[derive(Debug)]
pub enum Event {
    /// A new input: until its rows or its end come, it holds its customer's watermark back.
    /// All inputs that exist at the start are said before the first rows.
    Opened(Input),
    /// Rows.
    Rows(Rows),
    /// The input is read to its end and will not grow: its watermark is the end of time.
    Ended(InputId),
    /// Something went wrong that does not stop the others: told, counted, and the reading goes on. An input that gives
    /// nothing more after it ends too.
    Trouble {
        /// Whose it is, if it is one input's.
        input: Option<InputId>,
        /// What, and the remedy.
        error: Error,
    },
    /// Nothing new within the wait; everything that exists has been read.
    Waiting,
    /// All inputs ended and none can come.
    End,
}

/// How a source shall be read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Indices into the source's schema, or all.
    pub projection: Option<Vec<usize>>,
    /// Index of the event time in the source's schema. Rows without it, or further ahead of the clock than
    /// `max_ahead`, become dead letters, projected or not.
    pub event_time: Option<usize>,
    /// Microseconds.
    pub max_ahead: Micros,
    /// Goes on when all is read (a growing file, new files), instead of ending.
    pub follow: bool,
    /// Threads that may decode beside the caller; 0 decodes in the caller's.
    pub threads: usize,
    /// Bytes of one block; the reader holds a bounded number of them.
    pub block_bytes: usize,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Where an earlier reading of this source stood, as its [`Reader::position`] said it: this one goes on from there,
    /// and gives the inputs that it knows their former numbers.
    pub resume: Option<String>,
}

/// A table whose rows can be read, as often as wanted.
pub trait Source: Send + Sync + std::fmt::Debug {
    /// All columns, declared or inferred.
    fn schema(&self) -> SchemaRef;

    /// Begins to read. The reader gives inputs in event-time order: the one furthest behind is read next, whatever the
    /// number of threads, so the sequence of events depends on the data alone.
    ///
    /// # Errors
    /// When nothing matches the location, or it can't be read.
    fn open(&self, options: &ReadOptions) -> Result<Box<dyn Reader>>;

    /// A text that differs when the content does, found out without reading it; none where that can't be known.
    ///
    /// # Errors
    /// When nothing matches the location, or it can't be looked at.
    fn fingerprint(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// Whether the value of `column` is in each row what [`Input::customer`] is of its input: then it is known which
    /// inputs may hold rows of a customer.
    fn is_customer_of_input(&self, column: &str) -> bool {
        let _ = column;
        false
    }

    /// Bytes to read if it is known before (compressed size counts): for progress bars.
    fn bytes_total(&self) -> Option<u64> {
        None
    }
}

/// One reading of a source.
pub trait Reader: Send {
    /// The next event; waits at most `wait`.
    ///
    /// # Errors
    /// When an input fails as a whole (unreadable, corrupt compression).
    fn next(&mut self, wait: Duration) -> Result<Event>;

    /// Where this reading stands: all that was given so far, nothing that was only read ahead. In words of the reader's
    /// own, for [`ReadOptions::resume`]; none where a reading can't be resumed.
    ///
    /// # Errors
    /// When it can't be said.
    fn position(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// Bytes read so far of those in [`Source::bytes_total`].
    fn bytes_read(&self) -> u64 {
        0
    }
}

/// What rows mean to a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SinkMode {
    /// Each row is new.
    #[default]
    Append,
    /// The output may hold rows of another run: they are replaced.
    Overwrite,
}

/// Rows go here.
pub trait Sink: Send {
    /// Takes rows; may keep them until [`Sink::finish`].
    ///
    /// # Errors
    /// When they can't be written.
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;

    /// In update mode (see [`SinkSpec::key`]): the rows of these keys, written before, are no longer true. `keys` has
    /// the columns that [`crate::key_columns`] gives for rows, by the same names and in the same order. A key that was
    /// never written is no error: after a crash some are named to be sure. A key may be written again after it was
    /// deleted, so calls must take effect in their order.
    ///
    /// # Errors
    /// When they can't be deleted; `Internal` for a sink that only appends.
    fn delete(&mut self, keys: &RecordBatch) -> Result<()> {
        let _ = keys;
        Err(Error::internal("rows were taken back from a sink that only appends"))
    }

    /// Makes visible what was written so far, where that is possible at no loss (a terminal, JSON lines).
    ///
    /// # Errors
    /// When it can't be written.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// With checkpoints: makes what was written since the last call durable, but not yet visible, as part `part`; `last`
    /// says that nothing will follow. Returns in the sink's own words what [`Sink::commit`] needs; none where there is
    /// nothing to commit, or where rows can't be taken back once they are written (a terminal).
    ///
    /// # Errors
    /// When it can't be written.
    fn prepare(&mut self, part: u64, last: bool) -> Result<Option<String>> {
        let _ = (part, last);
        self.flush()?;
        Ok(None)
    }

    /// Whether rows may come only once what was prepared is committed (one transaction at a time). Else rows of the
    /// next part are written while the checkpoint of the last one is on its way.
    fn waits_for_commit(&self) -> bool {
        false
    }

    /// Whether rows leave before a checkpoint holds them, so that they can't be taken back by a crash. The run then keeps
    /// a log of its epochs, so that they give the same rows when they are carried out again.
    fn shows_at_once(&self) -> bool {
        false
    }

    /// Makes visible what was prepared, now that a checkpoint says so. May be asked again for the same part after a
    /// crash, by this sink or by one that was opened anew.
    ///
    /// # Errors
    /// When it can't be published.
    fn commit(&mut self, prepared: &str) -> Result<()> {
        let _ = prepared;
        Ok(())
    }

    /// Before the first row of a resumed run, whose last checkpoint was `part`: forgets rows that were written since, what
    /// was prepared for it by a process that did not live to commit it, and parts after it.
    ///
    /// # Errors
    /// When it can't be removed.
    fn recover(&mut self, part: u64) -> Result<()> {
        let _ = part;
        Ok(())
    }

    /// Publishes all rows. Without it nothing half-written may look like a result.
    ///
    /// # Errors
    /// When it can't be written.
    fn finish(&mut self) -> Result<()>;

    /// Rows that this output will never take (a server refuses them one by one) go to `sink` as dead letters, which this
    /// one prepares, commits and finishes along with its own rows. To be called before the first row.
    ///
    /// # Errors
    /// `Usage` where an output takes all rows or none.
    fn dead_letters_to(&mut self, sink: Box<dyn Sink>) -> Result<()> {
        drop(sink);
        Err(Error::usage("this output refuses no single rows").hint("leave out its 'dead_to'"))
    }

    /// How a server behind this output takes its rows; none where there is no server.
    fn health(&self) -> Option<SinkHealth> {
        None
    }
}

/// How rows get on that are on their way to a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct SinkHealth {
    /// Rows that the server took; of several states of one row that wait together only the last is sent.
    pub taken: u64,
    /// Rows that it will never take.
    pub refused: u64,
    /// Where the last of those was to go, and why not.
    pub last_refusal: Option<String>,
    /// Attempts that failed and were made again.
    pub retries: u64,
    /// Why the last attempt failed, until one succeeds.
    pub trouble: Option<String>,
    /// Bytes of rows that wait.
    pub waiting_bytes: u64,
}

/// A table as its DDL (or a reader's builder) says it. Settings that belong to the engine are taken out before.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// For messages.
    pub name: String,
    /// `JSON`, `COMBINED`, …: upper case.
    pub format: String,
    /// A path, glob, folder, `-` for standard input, or what the connector defines.
    pub location: String,
    /// Declared columns; none: the format's own or inferred.
    pub schema: Option<SchemaRef>,
    /// The connector's settings, lower-case keys. Unknown ones are refused by name.
    pub options: BTreeMap<String, String>,
}

/// Where rows shall go.
#[derive(Debug, Clone)]
pub struct SinkSpec {
    /// `PARQUET`, `JSON`, …: upper case.
    pub format: String,
    /// A path or what the connector defines.
    pub location: String,
    /// The rows' columns.
    pub schema: SchemaRef,
    /// Indices of columns that tell rows apart, where the query says so: no two rows of it hold the same values there.
    pub unique: Option<Vec<usize>>,
    /// Whether rows of another run may be replaced.
    pub mode: SinkMode,
    /// The connector's settings, lower-case keys. Unknown ones are refused by name.
    pub options: BTreeMap<String, String>,
    /// A run with checkpoints: rows become visible with each of them, in parts.
    pub parts: Option<PartsOf>,
    /// Update mode: each row replaces the one of the same key (an upsert), and [`Sink::delete`] may take one back. The
    /// columns of the key by name, members of a struct behind a dot (`w.start`); rows' values come from
    /// [`crate::key_columns`]. Never empty but for the one row of an aggregate over everything. None: each row is new.
    pub key: Option<Vec<String>>,
}

/// Whose parts an output gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartsOf {
    /// The run, unique among all runs.
    pub run: String,
    /// The process that writes, counted within the run: what an earlier one prepared has another name.
    pub generation: u64,
    /// The output holds parts of this very run already.
    pub resumed: bool,
    /// The output's name, unique within the run, and the same when the run is resumed.
    pub output: String,
    /// A folder beside the checkpoints where a sink may keep what it has prepared: durable as they are. None where there
    /// is no such folder.
    pub spool: Option<PathBuf>,
    /// How often parts are prepared, µs, where that goes by the clock.
    pub every: Option<Micros>,
}

/// A way in, a way out, or both. A new one costs its own file and one line in a table.
pub trait Connector: Send + Sync + std::fmt::Debug {
    /// The names after `STORED AS` that it answers to, upper case.
    fn formats(&self) -> &'static [&'static str];

    /// A source.
    ///
    /// # Errors
    /// `Usage` for wrong settings, `Unsupported` where there is no way in.
    fn source(&self, spec: &TableSpec) -> Result<Arc<dyn Source>>;

    /// A sink.
    ///
    /// # Errors
    /// `Usage` for wrong settings or an output that holds rows of another run, `Unsupported` where there is no way out.
    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>>;

    /// Whether its sinks of that format (upper case) follow [`SinkSpec::key`]; it is asked before [`Connector::sink`],
    /// and an update stream into one that does not is refused with the remedy.
    fn takes_upserts(&self, format: &str) -> bool {
        let _ = format;
        false
    }
}
