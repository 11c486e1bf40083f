//! How long an epoch is. Live: short while the run keeps up, so that rows wait for nothing; longer while it catches up,
//! so that closing epochs costs little beside the work itself. In a bounded run: so many blocks of rows.

use std::time::{Duration, Instant};

/// The shortest that is aimed at while there is more to read.
const LEAST: Duration = Duration::from_millis(5);
/// The longest.
const MOST: Duration = Duration::from_millis(500);
/// Closing may take this share of an epoch, as 1 to so many.
const CLOSING_SHARE: u32 = 10;

/// Blocks of a bounded run's epoch: enough for several workers to have something to do between two closings.
const BLOCKS: usize = 16;

/// How long to gather rows before an epoch closes.
#[derive(Debug)]
pub(super) struct EpochLength {
    aim: Duration,
    began: Option<Instant>,
    /// Where no clock decides: how many blocks, of which so many have come.
    blocks: Option<usize>,
    come: usize,
    /// It closes before anything else is read.
    due: bool,
}

impl EpochLength {
    pub(super) fn new() -> Self {
        Self { aim: LEAST, began: None, blocks: None, come: 0, due: false }
    }

    /// A bounded run's: no clock decides.
    pub(super) fn of_blocks() -> Self {
        Self { blocks: Some(BLOCKS), ..Self::new() }
    }

    /// Each reading is an epoch of its own.
    pub(super) fn short() -> Self {
        Self { blocks: Some(0), ..Self::new() }
    }

    /// Whether a clock decides.
    pub(super) fn is_timed(&self) -> bool {
        self.blocks.is_none()
    }

    /// A block of rows has come.
    pub(super) fn begin(&mut self) {
        self.began.get_or_insert_with(Instant::now);
        self.come += 1;
    }

    /// Nothing more is to be read before marks are in force anew.
    pub(super) fn close_soon(&mut self) {
        self.due = true;
    }

    /// Whether enough was gathered.
    pub(super) fn is_over(&self) -> bool {
        match self.blocks {
            _ if self.due => true,
            Some(blocks) => self.come >= blocks,
            None => self.began.is_some_and(|began| began.elapsed() >= self.aim),
        }
    }

    /// The epoch has closed, which took `closing` of it. Gives its length from its first rows, if it had any.
    pub(super) fn end(&mut self, closing: Duration) -> Option<Duration> {
        (self.come, self.due) = (0, false);
        let length = self.began.take()?.elapsed();
        self.aim = next(self.aim, closing);
        Some(length)
    }
}

fn next(aim: Duration, closing: Duration) -> Duration {
    if closing * CLOSING_SHARE > aim {
        (aim * 2).min(MOST)
    } else if closing * CLOSING_SHARE * 4 < aim {
        (aim / 2).max(LEAST)
    } else {
        aim
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn dear_closings_make_epochs_longer_up_to_half_a_second_and_cheap_ones_short_again() {
        let mut aim = LEAST;
        for _ in 0..20 {
            aim = next(aim, 200 * MS);
        }
        assert_eq!(aim, MOST);
        for _ in 0..20 {
            aim = next(aim, MS / 100);
        }
        assert_eq!(aim, LEAST);
    }

    #[test]
    fn a_closing_of_a_tenth_of_an_epoch_leaves_it_as_it_is() {
        assert_eq!(next(100 * MS, 10 * MS), 100 * MS);
        assert_eq!(next(100 * MS, 5 * MS), 100 * MS);
    }
}
