//! The log of live epochs. Which rows are late, and which windows close, follows from how rows were cut into epochs and
//! from the wall clock, which says who is idle. Where rows leave before a checkpoint holds them, both are written down
//! first: a run that dies carries out the same epochs again and gives the same rows.

use std::collections::BTreeMap;

use fyke_types::{Clock, Error, Event, Micros, Result};
use serde::{Deserialize, Serialize};

use super::Driver;
use crate::checkpoint::Beside;

/// An epoch: what it read, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) epoch: u64,
    /// The wall clock of its rows; none where it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) read_at: Option<Micros>,
    /// The wall clock by which it was seen who is idle.
    pub(super) closed_at: Micros,
    /// By source; those that gave nothing may be left out at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) sources: Vec<Read>,
}

/// What a source gave in an epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Read {
    /// Inputs that were new: number and name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) opened: Vec<(u32, String)>,
    /// How many rows, by input.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) rows: BTreeMap<u32, u64>,
    /// Inputs that came to their end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ended: Vec<u32>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct EpochLog {
    /// Whether there is any use for it.
    pub(super) is_kept: bool,
    /// The wall clock of this epoch's rows.
    pub(super) read_at: Option<Micros>,
    /// Of an epoch that is carried out again: when it closed.
    pub(super) closes_at: Option<Micros>,
    sources: Vec<Read>,
    /// Epochs that are not written down yet: nothing has left.
    pending: Vec<Record>,
    /// What the checkpoint on its way makes needless.
    pub(super) written: Vec<String>,
    /// The last epoch that it holds.
    pub(super) covered: u64,
}

impl EpochLog {
    /// An event of the epoch that is open.
    pub(super) fn note(&mut self, at: usize, event: &Event) {
        if !self.is_kept || self.closes_at.is_some() {
            return;
        }
        let length = self.sources.len().max(at + 1);
        match event {
            Event::Opened(input) => {
                self.sources.resize_with(length, Read::default);
                self.sources[at].opened.push((input.id.0, input.name.to_string()));
            }
            Event::Rows(rows) if rows.batch.num_rows() > 0 => {
                self.sources.resize_with(length, Read::default);
                *self.sources[at].rows.entry(rows.input.0).or_default() += rows.batch.num_rows() as u64;
            }
            Event::Ended(input) => {
                self.sources.resize_with(length, Read::default);
                self.sources[at].ended.push(input.0);
            }
            Event::Rows(_) | Event::Trouble { .. } | Event::Waiting | Event::End => {}
        }
    }

    /// The epoch closes; the wall clock for it.
    pub(super) fn close(&mut self, epoch: u64, clock: &dyn Clock) -> Micros {
        let read_at = self.read_at.take();
        if let Some(closed_at) = self.closes_at.take() {
            return closed_at;
        }
        let closed_at = clock.now();
        if self.is_kept {
            let sources = std::mem::take(&mut self.sources);
            self.pending.push(Record { epoch, read_at, closed_at, sources });
        }
        closed_at
    }
}

impl Driver {
    /// Writes down the epochs so far: rows are about to leave.
    pub(super) fn write_log(&mut self) -> Result<()> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        if self.log.pending.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for record in self.log.pending.drain(..) {
            let line = serde_json::to_string(&record);
            text.push_str(&line.map_err(|error| Error::internal("an epoch can't be written down").detail(error))?);
            text.push('\n');
        }
        keeper.put_beside(Beside::Epochs, ".json", text.as_bytes())
    }

    /// What the next checkpoint makes needless.
    pub(super) fn logged_epochs(&self) -> Result<Vec<String>> {
        match &self.keeper {
            Some(keeper) if self.log.is_kept => keeper.names_beside(Beside::Epochs),
            _ => Ok(Vec::new()),
        }
    }

    /// The checkpoint that was on its way is durable.
    pub(super) fn forget_logged_epochs(&mut self) -> Result<()> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        self.log.pending.retain(|record| record.epoch > self.log.covered);
        std::mem::take(&mut self.log.written).iter().try_for_each(|name| keeper.remove_beside(Beside::Epochs, name))
    }

    /// The epochs after `epoch` that were written down, in their order. Where two processes wrote the same ones, those of
    /// the one that took over are true.
    pub(super) fn epochs_after(&self, epoch: u64) -> Result<Vec<Record>> {
        let Some(keeper) = &self.keeper else { return Ok(Vec::new()) };
        let mut records: BTreeMap<u64, Record> = BTreeMap::new();
        let mut generation = String::new();
        for name in keeper.names_beside(Beside::Epochs)? {
            let bytes = keeper.read_beside(Beside::Epochs, &name)?;
            let found = serde_json::Deserializer::from_slice(&bytes).into_iter().collect::<std::result::Result<_, _>>();
            let found: Vec<Record> = found.map_err(|error| {
                let place = keeper.place_beside(Beside::Epochs, &name);
                Error::data(format!("{place}, the checkpoint's log of epochs, is corrupt"))
                    .detail(error)
                    .hint("remove it to go on without: rows that left after the checkpoint may then come out otherwise")
            })?;
            let of = name.split('-').next().unwrap_or_default();
            if of != generation {
                generation = of.to_owned();
                if let Some(first) = found.first() {
                    records.split_off(&first.epoch);
                }
            }
            records.extend(found.into_iter().map(|record| (record.epoch, record)));
        }
        let after = records.split_off(&(epoch + 1));
        Ok(after
            .into_values()
            .zip(epoch + 1..)
            .take_while(|(record, next)| record.epoch == *next)
            .map(|(r, _)| r)
            .collect())
    }
}
