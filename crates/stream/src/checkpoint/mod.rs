//! Everything a run must remember to go on after a crash, kept in a store: `docs/checkpoints.md` describes the format.
//!
//! A checkpoint is a manifest: where each source stands, the watermarks, which pieces of state are alive and in which
//! files they lie, and what the sinks have prepared. A piece is written once; later manifests refer to it. Manifests are
//! numbered and created only where there is none of that number, so that of two processes one is told that it is deposed.

mod beside;
mod flight;
mod folder;
mod keeper;
mod manifest;
mod notes;
mod objects;
mod segments;

use std::sync::Arc;

pub use beside::Beside;
pub use folder::Folder;
pub use keeper::{Keeper, snapshot_of};
pub use manifest::{Manifest, OperatorState, SinkState, SourceState, VERSION};
pub use objects::Objects;

use fyke_types::{Error, Micros, Result, Store};

/// The store at a location: a folder, or `s3://bucket/prefix`.
///
/// # Errors
/// `Usage` for another kind of URL, or one that names no bucket.
pub fn store_at(location: &str) -> Result<Arc<dyn Store>> {
    let folder = location.strip_prefix("file://").unwrap_or(location);
    if location.starts_with("s3://") {
        return Ok(Arc::new(Objects::s3(location)?));
    }
    if folder.contains("://") {
        return Err(Error::usage(format!("checkpoints can't be kept in {location}"))
            .hint("give a folder, or s3://bucket/prefix"));
    }
    Ok(Arc::new(Folder::new(folder)))
}

/// When a checkpoint is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// So much wall time after the last one, µs. It is written by a thread of its own.
    Time(Micros),
    /// After so many epochs, written while the next one runs, in the caller's thread: for tests.
    Epochs(u64),
}

impl Default for Every {
    fn default() -> Self {
        Self::Time(10_000_000)
    }
}
