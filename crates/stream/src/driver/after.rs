//! What follows when an epoch has closed: rows behind the mark are counted, and state is weighed.

use std::time::Instant;

use datafusion::arrow::array::RecordBatch;
use fyke_types::{Micros, Result};

use super::Driver;
use crate::Marks;
use crate::state::WEIGH;

/// A row behind the mark: whether it was late is known when its epoch has closed.
pub(super) struct Doubtful {
    pub(super) row: RecordBatch,
    /// How far behind the mark, µs.
    pub(super) behind: Micros,
}

/// An epoch that ends while the next one's rows may be read already.
pub(super) struct OnItsWay {
    /// By source.
    pub(super) marks: Vec<Marks>,
    pub(super) began: Instant,
    /// By source, its rows behind the mark.
    pub(super) doubtful: Vec<Vec<Doubtful>>,
}

/// Names a row behind the mark within its epoch.
pub(super) fn ticket(source: usize, number: usize) -> u64 {
    ((source as u64) << 48) | number as u64
}

impl Driver {
    /// Counts the epoch's rows behind the mark as late or used; `late` are the tickets of the late ones, ascending.
    pub(super) fn settle_doubtful(&mut self, doubtful: Vec<Vec<Doubtful>>, late: &[u64]) -> Result<()> {
        for (at, (source, doubtful)) in self.sources.iter_mut().zip(doubtful).enumerate() {
            for (number, Doubtful { row, behind }) in doubtful.into_iter().enumerate() {
                if late.binary_search(&ticket(at, number)).is_err() {
                    source.progress.used += 1;
                    continue;
                }
                source.progress.late += 1;
                source.progress.late_by_us = source.progress.late_by_us.max(behind);
                if let Some(sink) = &mut source.run.late_to {
                    sink.write(&row)?;
                }
            }
        }
        Ok(())
    }

    /// Moves state to disk where memory has no room for it.
    pub(super) fn keep_within_budget(&mut self) -> Result<()> {
        let Some(spill) = &self.spill else { return Ok(()) };
        let has_read_much = self.epoch.bytes_since_weighed() >= spill.budget() / 8;
        if !self.epoch.is_timed() || has_read_much || self.weighed_at.is_none_or(|at| at.elapsed() >= WEIGH) {
            self.execution.keep_within(spill)?;
            self.weighed_at = Some(Instant::now());
            self.epoch.note_weighed();
        }
        self.progress.spilled_bytes = spill.on_disk();
        self.progress.spilled_bytes_max = spill.on_disk_max();
        self.progress.weighed_bytes_max = spill.weighed_max();
        Ok(())
    }
}
