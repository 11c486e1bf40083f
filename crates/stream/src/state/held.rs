//! Rows that do not change, wherever there was room for them.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use fyke_types::Result;

use super::{Spill, Spilled};

/// See the module.
#[derive(Debug)]
pub enum HeldRows {
    /// In memory.
    Memory(RecordBatch),
    /// On disk.
    Disk(Spilled),
}

impl HeldRows {
    /// The rows themselves.
    ///
    /// # Errors
    /// `Unavailable` where they can't be read back.
    pub fn read(&self) -> Result<RecordBatch> {
        match self {
            Self::Memory(rows) => Ok(rows.clone()),
            Self::Disk(spilled) => spilled.read(),
        }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(rows) => rows.num_rows(),
            Self::Disk(spilled) => spilled.rows(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Memory(rows) => rows.get_array_memory_size(),
            Self::Disk(_) => 0,
        }
    }

    /// Whether they are on disk.
    pub fn is_on_disk(&self) -> bool {
        matches!(self, Self::Disk(_))
    }

    /// Writes them away, if that is worth a file. Returns the bytes of memory that are free now.
    ///
    /// # Errors
    /// `Unavailable` where the disk fails.
    pub fn spill(&mut self, to: &Arc<Spill>) -> Result<usize> {
        let bytes = self.bytes();
        if let Self::Memory(rows) = self
            && bytes >= to.smallest()
        {
            *self = Self::Disk(to.write(rows)?);
            return Ok(bytes);
        }
        Ok(0)
    }
}
