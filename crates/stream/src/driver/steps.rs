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
        self.close_epoch()
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
            found = true;
        }
        if !found {
            return Err(Error::usage(format!("the query reads no table '{table}'"))
                .hint(format!("it reads {}", names.join(", "))));
        }
        self.close_epoch()
    }

    /// Writes a checkpoint now, if this run has any.
    ///
    /// # Errors
    /// As [`Driver::run`].
    pub fn write_checkpoint(&mut self) -> Result<()> {
        self.checkpoint(false)
    }

    /// The input has come to its end: every window closes, outputs are published.
    ///
    /// # Errors
    /// As [`Driver::run`].
    pub fn finish(mut self) -> Result<Progress> {
        self.sources.iter_mut().for_each(|source| source.ended = true);
        self.close()
    }
}
