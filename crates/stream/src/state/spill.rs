//! State on disk, where memory has a budget: rows that do not change until their window closes.
//!
//! Files lie in a folder that goes with the run; they are no part of a checkpoint.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use fyke_types::{Error, Result};

/// How often it is looked whether state has grown beyond its budget.
pub const WEIGH: Duration = Duration::from_millis(50);

const ROOM: &str =
    "make room there, name another folder (--spill-folder), or give the run more memory (--memory-budget)";

/// Where state goes that memory has no room for, and how much room there is.
#[derive(Debug)]
pub struct Spill {
    folder: tempfile::TempDir,
    /// Bytes of state that may stay in memory.
    budget: usize,
    next: AtomicU64,
    on_disk: AtomicU64,
    /// The most that `on_disk` was.
    on_disk_max: AtomicU64,
    /// The most bytes of memory that state took when it was weighed, in one thread.
    weighed_max: AtomicU64,
}

/// A file that goes with its owner.
#[derive(Debug)]
pub(super) struct SpillFile {
    pub(super) spill: Arc<Spill>,
    path: PathBuf,
    bytes: u64,
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
        let zero = || AtomicU64::new(0);
        Ok(Arc::new(Self { folder, budget, next: zero(), on_disk: zero(), on_disk_max: zero(), weighed_max: zero() }))
    }

    /// Bytes of state that may stay in memory.
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// Less than so many bytes are not worth a file.
    pub(crate) fn smallest(&self) -> usize {
        (self.budget / 64).clamp(1, 64 * 1024)
    }

    /// Bytes of the files.
    pub fn on_disk(&self) -> u64 {
        self.on_disk.load(Ordering::Relaxed)
    }

    /// The most bytes that the files had.
    pub fn on_disk_max(&self) -> u64 {
        self.on_disk_max.load(Ordering::Relaxed)
    }

    /// The most bytes of memory that state took when it was weighed, in one thread.
    pub fn weighed_max(&self) -> u64 {
        self.weighed_max.load(Ordering::Relaxed)
    }

    /// State takes so much memory, before it is moved to disk.
    pub(crate) fn note_weighed(&self, bytes: usize) {
        self.weighed_max.fetch_max(bytes as u64, Ordering::Relaxed);
    }

    /// A new file with what `write` puts into it.
    pub(super) fn file(
        self: &Arc<Self>,
        write: impl FnOnce(BufWriter<File>) -> std::result::Result<BufWriter<File>, ArrowError>,
    ) -> Result<SpillFile> {
        let path = self.folder.path().join(format!("{}.spill", self.next.fetch_add(1, Ordering::Relaxed)));
        let failed = |error: &dyn std::fmt::Display| {
            Error::unavailable(format!("state can't be written to {}", path.display())).detail(error).hint(ROOM)
        };
        let file = File::create(&path).map_err(|error| failed(&error))?;
        let file = write(BufWriter::new(file)).map_err(|error| failed(&error))?;
        let file = file.into_inner().map_err(|error| failed(&error))?;
        let bytes = file.metadata().map_err(|error| failed(&error))?.len();
        let all = self.on_disk.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.on_disk_max.fetch_max(all, Ordering::Relaxed);
        Ok(SpillFile { spill: Arc::clone(self), path, bytes })
    }

    /// Writes rows away.
    ///
    /// # Errors
    /// `Unavailable` where the disk fails.
    pub fn write(self: &Arc<Self>, rows: &RecordBatch) -> Result<Spilled> {
        let file = self.file(|file| {
            let mut writer = StreamWriter::try_new(file, rows.schema_ref())?;
            writer.write(rows)?;
            writer.finish()?;
            writer.into_inner()
        })?;
        Ok(Spilled { file, memory: rows.get_array_memory_size(), rows: rows.num_rows() })
    }
}

impl SpillFile {
    /// For reading.
    pub(super) fn open(&self) -> Result<File> {
        File::open(&self.path).map_err(|error| self.unreadable(&error))
    }

    pub(super) fn unreadable(&self, error: &dyn std::fmt::Display) -> Error {
        Error::unavailable(format!("state can't be read back from {}", self.path.display()))
            .detail(error)
            .hint("let the folder alone while the run goes on (--spill-folder names another one); a run with checkpoints goes on from the last one")
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        // one that stays behind goes with the folder
        let _ = std::fs::remove_file(&self.path);
        self.spill.on_disk.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Rows that were written away; the file goes with it.
#[derive(Debug)]
pub struct Spilled {
    file: SpillFile,
    memory: usize,
    rows: usize,
}

impl Spilled {
    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that they take in memory.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Bytes of state that may stay in memory.
    pub fn budget(&self) -> usize {
        self.file.spill.budget
    }

    /// Reads them back.
    ///
    /// # Errors
    /// `Unavailable` where the file can't be read.
    pub fn read(&self) -> Result<RecordBatch> {
        let file = self.file.open()?;
        let mut reader =
            StreamReader::try_new(BufReader::new(file), None).map_err(|error| self.file.unreadable(&error))?;
        match reader.next() {
            Some(rows) => rows.map_err(|error| self.file.unreadable(&error)),
            None => Err(self.file.unreadable(&"it is empty")),
        }
    }

    /// In how many passes state of which this is a part, `memory` bytes of it elsewhere, is put together, so that a pass
    /// stays well within the budget.
    pub fn passes(parts: &[&Self], memory: usize) -> usize {
        let Some(first) = parts.first() else { return 1 };
        let all: usize = memory + parts.iter().map(|part| part.memory).sum::<usize>();
        // a hash table and accumulators take about twice what their rows take
        (2 * all).div_ceil((first.budget() / 4).max(4 * 1024)).max(1)
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

    #[test]
    fn a_disk_that_fails_is_named_with_the_remedy() {
        let place = tempfile::tempdir().expect("a folder");
        let spill = Spill::open(Some(place.path()), 1 << 20).expect("opens");
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let rows = RecordBatch::try_from_iter([("n", column)]).expect("rows");
        let spilled = spill.write(&rows).expect("written");
        std::fs::remove_dir_all(spill.folder.path()).expect("removed");
        let error = spill.write(&rows).expect_err("no folder").to_string();
        assert!(error.contains("can't be written") && error.contains("--spill-folder"), "{error}");
        let error = spilled.read().expect_err("no file").to_string();
        assert!(error.contains("can't be read back") && error.contains("--spill-folder"), "{error}");
    }
}
