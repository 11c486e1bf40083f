//! What a run has done so far, as a struct and as JSON.

use serde::{Deserialize, Serialize};

use fyke_types::{Error, Micros, SinkHealth};

/// Counters of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Epochs closed.
    pub epochs: u64,
    /// By source.
    pub sources: Vec<SourceProgress>,
    /// By sink.
    pub sinks: Vec<SinkProgress>,
    /// By operator, in the order of EXPLAIN; taken now and then, and at the end.
    pub operators: Vec<OperatorProgress>,
    /// How long the last epoch took from its first row to its results, µs.
    pub epoch_us: u64,
    /// Open groups, sessions and waiting rows.
    pub state_rows: usize,
    /// Their bytes, as the parts report them.
    pub state_bytes: usize,
    /// The checkpoint that this process went on from, and how long it took to read it, µs.
    pub resumed: Option<(u64, u64)>,
    /// Epochs that were carried out again after a crash, since their rows may have left before it.
    pub replayed: u64,
    /// Bytes of state on disk, since memory has no room for them.
    pub spilled_bytes: u64,
    /// The most that there were.
    pub spilled_bytes_max: u64,
    /// With a budget: the most bytes of memory that the state of one worker took when it was weighed, before what was too
    /// much went to disk.
    pub weighed_bytes_max: u64,
    /// How often the run went on from its last checkpoint without a new process, since one of a cluster was lost or had
    /// come.
    pub generations: u64,
    /// Why, the last time that one was lost.
    pub last_loss: Option<String>,
    /// Rows that an operator in the middle found late: zero unless rows came later than the lateness.
    pub late_inside: u64,
    /// Static tables that are looked at again: which version is in force.
    pub static_tables: Vec<crate::StaticTableProgress>,
}

/// Counters of a source: `read = used + late + dead`, always; with checkpoints over all processes of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceProgress {
    /// The table.
    pub name: String,
    /// Records read.
    pub read: u64,
    /// Rows that went into the plan.
    pub used: u64,
    /// Rows whose windows were all closed.
    pub late: u64,
    /// How far behind the watermark the latest of them was, µs: raise the lateness by it.
    pub late_by_us: Micros,
    /// Records that made no row.
    pub dead: u64,
    /// The watermark over all, µs since 1970; none before the first row and after the end.
    pub watermark: Option<Micros>,
    /// Inputs known.
    pub inputs: u64,
    /// Inputs that hold nobody back, since they were silent for `idle_after`.
    pub idle_inputs: usize,
    /// Customers whose windows were closed, since they were silent for `close_after`.
    pub silent_customers: usize,
    /// Bytes read (compressed), where the source counts them.
    pub bytes: u64,
    /// Bytes that there were to read at the start, where that is known.
    pub bytes_total: Option<u64>,
    /// Nothing left to read for now.
    pub caught_up: bool,
    /// How often something went wrong that did not stop the run: a broker away, a topic deleted.
    pub troubles: u64,
    /// What it was the last time, with the remedy.
    pub trouble: Option<String>,
}

impl SourceProgress {
    /// Notes what went wrong.
    pub fn troubled(&mut self, error: &Error) {
        self.troubles += 1;
        self.trouble = Some(error.to_string());
    }
}

/// What an operator of this process has done, and what it remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorProgress {
    /// As EXPLAIN numbers it.
    pub number: usize,
    /// As EXPLAIN says it.
    pub name: String,
    /// Rows taken.
    pub rows_in: u64,
    /// Rows given.
    pub rows_out: u64,
    /// Rows whose windows were all closed.
    pub late: u64,
    /// Time spent in it, µs.
    pub busy_us: u64,
    /// The watermark over all that it promises, µs since 1970.
    pub watermark: Option<Micros>,
    /// Open groups, sessions and waiting rows.
    pub state_rows: usize,
    /// Their bytes, as the parts report them.
    pub state_bytes: usize,
}

/// Counters of a sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SinkProgress {
    /// Where rows go.
    pub name: String,
    /// Rows given.
    pub rows: u64,
    /// How a server behind it takes them; none where there is no server.
    pub health: Option<SinkHealth>,
}

impl OperatorProgress {
    /// Adds what the same operator of another worker has done.
    pub(crate) fn add(&mut self, other: &Self) {
        self.rows_in += other.rows_in;
        self.rows_out += other.rows_out;
        self.late += other.late;
        self.busy_us += other.busy_us;
        self.state_rows += other.state_rows;
        self.state_bytes += other.state_bytes;
        // the one that has promised least
        self.watermark = match (self.watermark, other.watermark) {
            (Some(own), Some(other)) => Some(own.min(other)),
            (own, other) => own.or(other),
        };
    }
}

impl Progress {
    /// Bytes to read over all sources; none if some source does not know.
    pub fn bytes_total(&self) -> Option<u64> {
        self.sources.iter().map(|source| source.bytes_total).sum()
    }

    /// Sums over all sources: (read, used, late, dead).
    pub fn totals(&self) -> (u64, u64, u64, u64) {
        self.sources
            .iter()
            .fold((0, 0, 0, 0), |sum, s| (sum.0 + s.read, sum.1 + s.used, sum.2 + s.late, sum.3 + s.dead))
    }
}
