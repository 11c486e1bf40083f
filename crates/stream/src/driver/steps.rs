//! A run step by step, in the caller's thread: what a test kit needs to say what happens when.

use std::time::Duration;

use fyke_types::{Error, Micros, Result};

use super::Driver;
use crate::Progress;

impl Driver {
    /// Goes on from the last checkpoint, where there is one: to be called once, before anything else.
    ///
    /// # Errors
    /// As [`Driver::run`].
    pub fn begin(&mut self) -> Result<()> {
        self.resume().map(|_| ())
    }

    /// Reads all that there is now, as one epoch, and closes it.
    ///
    /// # Errors
    /// As [`Driver::run`].
    pub fn settle(&mut self) -> Result<()> {
        for at in 0..self.sources.len() {
            while !self.sources[at].ended && self.read(at, Duration::ZERO)? {}
        }
        self.close_epoch()?;
        self.finish_closing()
    }

    /// Moves a table's watermarks, of all its customers, to `to`, where they are behind it; closes an epoch.
    ///
    /// # Errors
    /// `Usage` for a table that the run does not read.
    pub fn advance_watermark(&mut self, table: &str, to: Micros) -> Result<()> {
        let names: Vec<String> = self.sources.iter().map(|source| source.run.name.clone()).collect();
        let mut found = false;
        for source in self.sources.iter_mut().filter(|source| source.run.name == table) {
            source.tracker.advance(to);
            if !self.follow {
                source.marks = source.tracker.marks(None);
            }
            found = true;
        }
        if !found {
            return Err(Error::usage(format!("the query reads no table '{table}'"))
                .hint(format!("it reads {}", names.join(", "))));
        }
        self.close_epoch()?;
        self.finish_closing()
    }

    /// Writes a checkpoint now, if this run has any.
    ///
    /// # Errors
    /// As [`Driver::run`].
    pub fn write_checkpoint(&mut self) -> Result<()> {
        self.checkpoint(false)
    }

    /// Reads what the source that is furthest behind has next, as one epoch, and closes it; false where all have ended.
    ///
    /// # Errors
    /// As [`Driver::run`].
    pub fn step_once(&mut self) -> Result<bool> {
        if !self.has_more() {
            return Ok(false);
        }
        self.step(Duration::ZERO)?;
        Ok(true)
    }

    /// Begins a checkpoint, unless one is on its way: it becomes durable with [`Driver::settle_checkpoint`].
    ///
    /// # Errors
    /// As [`Driver::run`].
    pub fn start_checkpoint(&mut self) -> Result<()> {
        match &self.keeper {
            Some(keeper) if !keeper.is_busy() => self.begin_checkpoint(false),
            _ => Ok(()),
        }
    }

    /// Waits for the checkpoint on its way, if there is one, and makes visible what it holds.
    ///
    /// # Errors
    /// As [`Driver::run`].
    pub fn settle_checkpoint(&mut self) -> Result<()> {
        self.commit_checkpoint(true).map(|_| ())
    }

    /// The input has come to its end: every window closes, outputs are published.
    ///
    /// # Errors
    /// As [`Driver::run`].
    pub fn finish(&mut self) -> Result<Progress> {
        self.sources.iter_mut().for_each(|source| source.ended = true);
        self.close()
    }
}
