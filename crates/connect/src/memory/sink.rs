//! Rows kept where a test can look at them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use fyke_types::{Error, LastByKey, Result, Sink};

/// What was written, in update mode among it what was taken back.
#[derive(Debug, Clone)]
pub enum Written {
    /// Rows.
    Rows(RecordBatch),
    /// Keys whose rows were deleted.
    Deletes(RecordBatch),
}

/// Keeps all batches; clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemorySink(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    /// What can be seen, by part; without checkpoints all of it is part 0.
    seen: BTreeMap<u64, Vec<Written>>,
    prepared: BTreeMap<u64, Vec<Written>>,
    pending: Vec<Written>,
    exactly_once: bool,
    finished: bool,
}

impl MemorySink {
    /// An empty one, whose rows are seen at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one for runs with checkpoints: rows are seen once a checkpoint holds them, and each once.
    pub fn exactly_once() -> Self {
        let sink = Self::default();
        sink.kept().exactly_once = true;
        sink
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The batches so far, in the order of writing.
    pub fn batches(&self) -> Vec<RecordBatch> {
        let rows = |written: &Written| match written {
            Written::Rows(rows) => Some(rows.clone()),
            Written::Deletes(_) => None,
        };
        self.kept().seen.values().flatten().filter_map(rows).collect()
    }

    /// All that was written so far, in its order.
    pub fn written(&self) -> Vec<Written> {
        self.kept().seen.values().flatten().cloned().collect()
    }

    /// The last row of each key: what a consumer of update mode holds.
    ///
    /// # Errors
    /// `Usage` for a key that is no column.
    pub fn last_by_key(&self, schema: &SchemaRef, key: &[String]) -> Result<RecordBatch> {
        let mut last = LastByKey::new(schema, key)?;
        for written in self.written() {
            match written {
                Written::Rows(rows) => last.write(&rows)?,
                Written::Deletes(keys) => last.delete(&keys)?,
            }
        }
        last.rows()
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.batches().iter().map(RecordBatch::num_rows).sum()
    }

    /// Whether the writer has finished.
    pub fn is_finished(&self) -> bool {
        self.kept().finished
    }
}

impl Kept {
    fn take(&mut self, written: Written) {
        match self.exactly_once {
            true => self.pending.push(written),
            false => self.seen.entry(0).or_default().push(written),
        }
    }
}

impl Sink for MemorySink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.kept().take(Written::Rows(batch.clone()));
        Ok(())
    }

    fn delete(&mut self, keys: &RecordBatch) -> Result<()> {
        self.kept().take(Written::Deletes(keys.clone()));
        Ok(())
    }

    fn shows_at_once(&self) -> bool {
        !self.kept().exactly_once
    }

    fn prepare(&mut self, part: u64, _: bool) -> Result<Option<String>> {
        let mut kept = self.kept();
        let rows = std::mem::take(&mut kept.pending);
        if rows.is_empty() {
            return Ok(None);
        }
        kept.prepared.insert(part, rows);
        Ok(Some(part.to_string()))
    }

    fn commit(&mut self, prepared: &str) -> Result<()> {
        let mut kept = self.kept();
        let part = prepared.parse().map_err(|error| Error::data(format!("'{prepared}' is no part")).detail(error))?;
        match kept.prepared.remove(&part) {
            Some(rows) => _ = kept.seen.insert(part, rows),
            None if kept.seen.contains_key(&part) => {}
            None => return Err(Error::data(format!("part {part} was prepared but is gone"))),
        }
        Ok(())
    }

    fn recover(&mut self, part: u64) -> Result<()> {
        let mut kept = self.kept();
        kept.pending.clear();
        kept.prepared.clear();
        kept.seen.retain(|own, _| *own <= part);
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.kept().finished = true;
        Ok(())
    }
}
