//! State on disk, where memory has a budget: rows that do not change until their window closes.
//!
//! Files lie in a folder that goes with the run; they are no part of a checkpoint.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use fyke_types::{Error, Result};

/// Where state goes that memory has no room for, and how much room there is.
#[derive(Debug)]
pub struct Spill {
    folder: tempfile::TempDir,
    /// Bytes of state that may stay in memory.
    budget: usize,
    next: AtomicU64,
    on_disk: AtomicU64,
}

impl Spill {
    /// State may take `budget` bytes of memory; the rest goes into a new folder under `place`, or where the machine keeps
    /// such files.
    ///
    /// # Errors
    /// `Unavailable` where the folder can't be made.
    pub fn open(place: Option<&Path>, budget: usize) -> Result<Arc<Self>> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("fyke-spill-");
        let folder = match place {
            Some(place) => builder.tempdir_in(place),
            None => builder.tempdir(),
        };
        let folder = folder.map_err(|error| {
            Error::unavailable("the folder for state that memory has no room for can't be made").detail(error)
        })?;
        Ok(Arc::new(Self { folder, budget, next: AtomicU64::new(0), on_disk: AtomicU64::new(0) }))
    }

    /// Bytes of state that may stay in memory.
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// Less than so many bytes are not worth a file.
    pub(super) fn smallest(&self) -> usize {
        (self.budget / 64).clamp(1, 64 * 1024)
    }

    /// Bytes of the files.
    pub fn on_disk(&self) -> u64 {
        self.on_disk.load(Ordering::Relaxed)
    }

    /// Writes rows away.
    ///
    /// # Errors
    /// `Unavailable` where the disk fails.
    pub fn write(self: &Arc<Self>, rows: &RecordBatch) -> Result<Spilled> {
        let path = self.folder.path().join(format!("{}.arrow", self.next.fetch_add(1, Ordering::Relaxed)));
        let failed = |error: &dyn std::fmt::Display| {
            Error::unavailable(format!("state can't be written to {}", path.display()))
                .detail(error)
                .hint("make room there, name another folder (--spill-folder), or give the run more memory")
        };
        let file = File::create(&path).map_err(|error| failed(&error))?;
        let mut writer = StreamWriter::try_new(BufWriter::new(file), rows.schema_ref())?;
        writer.write(rows).and_then(|()| writer.finish()).map_err(|error| failed(&error))?;
        let file = writer.into_inner()?.into_inner().map_err(|error| failed(&error))?;
        let bytes = file.metadata().map_err(|error| failed(&error))?.len();
        self.on_disk.fetch_add(bytes, Ordering::Relaxed);
        let memory = rows.get_array_memory_size();
        Ok(Spilled { spill: Arc::clone(self), path, bytes, memory, rows: rows.num_rows() })
    }
}

/// Rows that were written away; the file goes with it.
#[derive(Debug)]
pub struct Spilled {
    spill: Arc<Spill>,
    path: PathBuf,
    bytes: u64,
    memory: usize,
    rows: usize,
}

impl Spilled {
    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Reads them back.
    ///
    /// # Errors
    /// `Unavailable` where the file can't be read.
    pub fn read(&self) -> Result<RecordBatch> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::unavailable(format!("state can't be read back from {}", self.path.display())).detail(error)
        };
        let file = File::open(&self.path).map_err(|error| failed(&error))?;
        let mut reader = StreamReader::try_new(BufReader::new(file), None).map_err(|error| failed(&error))?;
        match reader.next() {
            Some(rows) => rows.map_err(|error| failed(&error)),
            None => Err(failed(&"it is empty")),
        }
    }

    /// In how many passes state of which this is a part, `memory` bytes of it elsewhere, is put together, so that a pass
    /// stays well within the budget.
    pub fn passes(parts: &[&Self], memory: usize) -> usize {
        let Some(first) = parts.first() else { return 1 };
        let all: usize = memory + parts.iter().map(|part| part.memory).sum::<usize>();
        // a hash table and accumulators take about twice what their rows take
        (2 * all).div_ceil((first.spill.budget / 4).max(4 * 1024)).max(1)
    }
}

impl Drop for Spilled {
    fn drop(&mut self) {
        // one that stays behind goes with the folder
        let _ = std::fs::remove_file(&self.path);
        self.spill.on_disk.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn rows_come_back_as_they_were_and_their_file_goes_with_them() {
        let place = tempfile::tempdir().expect("a folder");
        let spill = Spill::open(Some(place.path()), 1 << 20).expect("opens");
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let rows = RecordBatch::try_from_iter([("n", column)]).expect("rows");
        let spilled = spill.write(&rows).expect("written");
        assert_eq!((spilled.read().expect("read"), spilled.rows()), (rows, 3));
        assert!(spill.on_disk() > 0);
        drop(spilled);
        assert_eq!((spill.on_disk(), std::fs::read_dir(spill.folder.path()).expect("there").count()), (0, 0));
        drop(spill);
        assert_eq!(std::fs::read_dir(place.path()).expect("there").count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named_with_the_remedy() {
        let error = Spill::open(Some(Path::new("/no/such/folder")), 1).expect_err("refused").to_string();
        assert!(error.contains("can't be made"), "{error}");
    }
}
