//! How long an epoch is. Live: short while the run keeps up, so that rows wait for nothing; longer while it catches up,
//! so that closing epochs costs little beside the work itself. In a bounded run: so many blocks of rows. Never more
//! bytes of rows than memory has room for.

use std::time::{Duration, Instant};

/// The shortest that is aimed at while there is more to read.
const LEAST: Duration = Duration::from_millis(5);
/// The longest.
const MOST: Duration = Duration::from_millis(500);
/// So many bytes of rows make an epoch, however fast they were read: they are on their way in memory.
const MOST_BYTES: usize = 32 << 20;
/// Closing may take this share of an epoch, as 1 to so many.
const CLOSING_SHARE: u32 = 10;

/// How long to gather rows before an epoch closes.
#[derive(Debug)]
pub(super) struct EpochLength {
    aim: Duration,
    began: Option<Instant>,
    /// Of the epoch that ends: when it began.
    ending: Option<Instant>,
    /// Where no clock decides: how many blocks, of which so many have come.
    blocks: Option<usize>,
    come: usize,
    /// It closes before anything else is read.
    due: bool,
    /// Bytes of its rows.
    bytes: usize,
    /// How many of them are enough.
    most_bytes: usize,
    /// Bytes of rows since state was weighed last.
    unweighed: usize,
}

impl EpochLength {
    pub(super) fn new() -> Self {
        let (bytes, unweighed, most_bytes) = (0, 0, MOST_BYTES);
        Self { aim: LEAST, began: None, ending: None, blocks: None, come: 0, due: false, bytes, most_bytes, unweighed }
    }

    /// A bounded run's, of so many blocks: no clock decides.
    pub(super) fn of_blocks(blocks: usize) -> Self {
        Self { blocks: Some(blocks), most_bytes: usize::MAX, ..Self::new() }
    }

    /// Each reading is an epoch of its own.
    pub(super) fn short() -> Self {
        Self { blocks: Some(0), ..Self::new() }
    }

    /// Whether a clock decides.
    pub(super) fn is_timed(&self) -> bool {
        self.blocks.is_none()
    }

    /// With a budget for state, of which rows that were not weighed yet are to take a small part.
    pub(super) fn keep_to(&mut self, budget: usize) {
        self.most_bytes = self.most_bytes.min(budget / 8);
    }

    /// A block of rows of so many bytes has come: the first one begins the epoch.
    pub(super) fn take(&mut self, bytes: usize) {
        self.began.get_or_insert_with(Instant::now);
        self.come += 1;
        self.bytes += bytes;
        self.unweighed += bytes;
    }

    /// Bytes of rows since [`EpochLength::note_weighed`].
    pub(super) fn bytes_since_weighed(&self) -> usize {
        self.unweighed
    }

    /// State was weighed.
    pub(super) fn note_weighed(&mut self) {
        self.unweighed = 0;
    }

    /// Nothing more is to be read before marks are in force anew.
    pub(super) fn close_soon(&mut self) {
        self.due = true;
    }

    /// Whether enough was gathered.
    pub(super) fn is_over(&self) -> bool {
        let is_long = match self.blocks {
            _ if self.due => true,
            Some(blocks) => self.come >= blocks,
            None => self.began.is_some_and(|began| began.elapsed() >= self.aim),
        };
        is_long || self.bytes >= self.most_bytes
    }

    /// What comes now is the next epoch's.
    pub(super) fn is_ending(&mut self) {
        (self.come, self.bytes, self.due) = (0, 0, false);
        self.ending = self.began.take();
    }

    /// The epoch has closed, which took `closing` of it. Gives its length from its first rows, if it had any.
    pub(super) fn has_ended(&mut self, closing: Duration) -> Option<Duration> {
        let length = self.ending.take()?.elapsed();
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
    fn many_bytes_end_an_epoch_however_fast_they_came() {
        let mut epoch = EpochLength { aim: 3600 * 1000 * MS, ..EpochLength::new() };
        epoch.take(MOST_BYTES - 1);
        assert!(!epoch.is_over());
        epoch.take(1);
        assert!(epoch.is_over());
        epoch.is_ending();
        assert!(!epoch.is_over());
        epoch.keep_to(800);
        epoch.take(99);
        assert!(!epoch.is_over());
        epoch.take(1);
        assert!(epoch.is_over());
    }

    #[test]
    fn a_closing_of_a_tenth_of_an_epoch_leaves_it_as_it_is() {
        assert_eq!(next(100 * MS, 10 * MS), 100 * MS);
        assert_eq!(next(100 * MS, 5 * MS), 100 * MS);
    }
}
