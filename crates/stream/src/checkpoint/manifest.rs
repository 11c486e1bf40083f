//! What stands in a manifest. The format is versioned; a fixture of each version is kept under `tests/checkpoints`.

use fyke_types::{Error, Micros, Result};
use serde::{Deserialize, Serialize};

use crate::tracker::SavedTracker;
use crate::{Memo, Place, SourceProgress};

/// The version that this code writes, and the only one so far.
pub const VERSION: u32 = 1;

/// One checkpoint.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this format.
    pub version: u32,
    /// Of Fyke, for the person who reads it.
    pub written_by: String,
    /// The writer's own mark: no two processes write the same bytes.
    #[serde(default)]
    pub process: String,
    /// Counted from 1.
    pub number: u64,
    /// The process that wrote it, counted within the run from 1.
    pub generation: u64,
    /// The run's name: unique, and part of the names of its outputs.
    pub run: String,
    /// Wall time, µs since 1970.
    pub written_at: Micros,
    /// Epochs closed.
    pub epochs: u64,
    /// Bounded input was read to its end and every window has closed: there is nothing to resume.
    pub complete: bool,
    /// Update mode: the notes up to this name are of keys that this checkpoint knows.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes_to: String,
    /// Rows that an operator in the middle found late.
    pub late_inside: u64,
    /// Names of customers, in the order of their numbers.
    pub customers: Vec<String>,
    /// Where each source stands.
    pub sources: Vec<SourceState>,
    /// What the operators remember.
    pub operators: Vec<OperatorState>,
    /// What the sinks have prepared with it.
    pub sinks: Vec<SinkState>,
}

/// A source.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SourceState {
    /// The table.
    pub name: String,
    /// In the words of its reader; none before anything was read.
    pub position: Option<String>,
    /// Its watermarks.
    pub tracker: Option<SavedTracker>,
    /// Its counters.
    pub progress: SourceProgress,
    /// All of it was read and none can come.
    pub ended: bool,
}

/// A stateful operator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OperatorState {
    /// Made from what it does and what is before it: the same text in a changed query finds its state again.
    pub key: String,
    /// The same for a person.
    pub describe: String,
    /// Whatever is no rows.
    pub memo: Memo,
    /// Where pieces lie.
    pub segments: Vec<Segment>,
    /// The pieces that are alive.
    pub pieces: Vec<PieceState>,
}

/// Pieces that were written together: an Arrow IPC stream with a batch for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// How long.
    pub bytes: u64,
    /// XXH64 of these bytes, hexadecimal.
    pub hash: String,
    /// The pieces' numbers, in the order of the batches.
    pub pieces: Vec<u64>,
}

/// A piece that is alive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PieceState {
    /// Its number.
    pub number: u64,
    /// Where it belongs.
    pub place: Place,
    /// Which of its rows are of use: a bit each, hexadecimal, the lowest bit first; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alive: Option<String>,
}

/// A sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkState {
    /// Where rows go.
    pub name: String,
    /// Rows given so far.
    pub rows: u64,
    /// In the words of the sink: what this checkpoint makes visible.
    pub prepared: Option<String>,
}

impl Manifest {
    /// The manifest as text.
    ///
    /// # Errors
    /// None that is known of.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::internal("a manifest can't be written").detail(error))
    }

    /// Reads a manifest; `file` is for messages.
    ///
    /// # Errors
    /// `Data` for a text that is no manifest, `Unsupported` for one of another version.
    pub fn from_bytes(bytes: &[u8], file: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let corrupt = |error: serde_json::Error| {
            Error::data(format!("the checkpoint's manifest {file} is corrupt"))
                .detail(error)
                .hint("remove the file to go back to the checkpoint before it")
        };
        let head: Head = serde_json::from_slice(bytes).map_err(corrupt)?;
        if head.version != VERSION {
            return Err(Error::unsupported(format!("the checkpoint {file} has the format {}", head.version))
                .hint(format!("this version of fyke reads format {VERSION}")));
        }
        serde_json::from_slice(bytes).map_err(corrupt)
    }
}
