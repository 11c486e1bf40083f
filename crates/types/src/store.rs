//! The promise of a store of named bytes: a folder, a bucket. What a run must remember is kept in one.

use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;

use crate::Result;

/// Bytes under names such as `state/7.arrow`. What a call has written is durable when it returns, appears whole or not
/// at all, and never changes. Names have at most one folder before them.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Where a name lies, for messages; the empty name is the store itself.
    fn place(&self, name: &str) -> String;

    /// The folder that it is, where it is one of this machine.
    fn folder(&self) -> Option<PathBuf> {
        None
    }

    /// Writes `bytes` under a name that is free; false where it is taken.
    ///
    /// # Errors
    /// `Unavailable` when it can't be written; it may then be there all the same.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool>;

    /// The same for bytes that come one after the other.
    ///
    /// # Errors
    /// `Unavailable` when it can't be written.
    fn writer(&self, name: &str) -> Result<Box<dyn StoreWriter>>;

    /// The bytes under a name, or those of `range` that are there; none where there is no such name.
    ///
    /// # Errors
    /// `Unavailable` when they can't be read.
    fn read(&self, name: &str, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>>;

    /// The names inside a folder, without it, sorted; none where there is no such folder.
    ///
    /// # Errors
    /// `Unavailable` when they can't be listed.
    fn names(&self, folder: &str) -> Result<Vec<String>>;

    /// Removes a name; one that is gone already is no error.
    ///
    /// # Errors
    /// `Unavailable` when it can't be removed.
    fn remove(&self, name: &str) -> Result<()>;
}

/// Bytes that get their name when they are whole. Dropped before, they leave nothing behind.
pub trait StoreWriter: Write + Send {
    /// Makes them durable under their name; false where it is taken.
    ///
    /// # Errors
    /// `Unavailable` when they can't be written.
    fn publish(self: Box<Self>) -> Result<bool>;
}
