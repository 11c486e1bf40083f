//! One generation of a cluster after the other: what ends one, and how the next begins.

use fyke_types::{Error, Result};

use super::Driver;
use crate::Progress;

impl Driver {
    /// Notes why a generation has ended.
    ///
    /// # Errors
    /// This error, where no process was lost, or nobody can begin anew.
    pub(super) fn note_loss(&mut self, error: Error) -> Result<()> {
        if !self.execution.has_lost_a_process() || self.again.is_none() {
            return Err(error);
        }
        self.progress.last_loss = Some(error.to_string());
        Ok(())
    }

    /// Whether processes wait to take part, and the next driver is to go on with them from a checkpoint that this one has
    /// written now.
    pub(super) fn lets_newcomers_in(&mut self) -> Result<bool> {
        if self.again.is_none() || !self.execution.has_newcomers() {
            return Ok(false);
        }
        self.checkpoint(false)?;
        Ok(true)
    }

    /// The driver that goes on from the last checkpoint. Everything of this one but its outlets is gone before.
    pub(super) fn next_generation(self) -> Result<Self> {
        let Self { execution, sources, outlets, stop, published, again, keeper, progress, .. } = self;
        let Some(mut again) = again else { return Err(Error::internal("a run that can't begin anew")) };
        drop((execution, sources, keeper));
        let next = again(outlets)?;
        let generations = progress.generations + 1;
        let progress = Progress { generations, last_loss: progress.last_loss, ..next.progress.clone() };
        Ok(Self { stop, published, again: Some(again), progress, ..next })
    }

    /// What [`Driver::run`] does after a step or its failure: where a process was lost or has come, the driver of the
    /// next generation, else this one.
    ///
    /// # Errors
    /// The failure, where another generation is no remedy, and what the next one fails with.
    pub fn go_on(mut self, mut failure: Option<Error>) -> Result<Self> {
        loop {
            let anew = match failure.take() {
                Some(error) => self.note_loss(error).map(|()| true),
                None => self.lets_newcomers_in(),
            };
            match anew {
                Ok(true) => {}
                Ok(false) => return Ok(self),
                // a checkpoint for those who have come may fail as any other
                Err(error) => {
                    self.note_loss(error)?;
                }
            }
            self = self.next_generation()?;
            match self.resume() {
                Ok(_) => return Ok(self),
                Err(error) => failure = Some(error),
            }
        }
    }
}
