//! Everything a run must remember to go on after a crash, kept in a folder: `docs/checkpoints.md` describes the format.
//!
//! A checkpoint is a manifest: where each source stands, the watermarks, which pieces of state are alive and in which
//! files they lie, and what the sinks have prepared. A piece is written once; later manifests refer to it. Manifests are
//! numbered and created only where there is none of that number, so that of two processes one is told that it is deposed.

mod folder;
mod keeper;
mod manifest;
mod segments;

pub use folder::Folder;
pub use keeper::{Keeper, snapshot_of};
pub use manifest::{Manifest, OperatorState, SinkState, SourceState, VERSION};

use fyke_types::Micros;

/// When a checkpoint is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// So much wall time after the last one, µs.
    Time(Micros),
    /// After so many epochs: for tests.
    Epochs(u64),
}

impl Default for Every {
    fn default() -> Self {
        Self::Time(10_000_000)
    }
}
