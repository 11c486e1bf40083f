//! How long an epoch is: short while the run keeps up, so that rows wait for nothing; longer while it catches up, so
//! that closing epochs costs little beside the work itself.

use std::time::{Duration, Instant};

/// The shortest that is aimed at while there is more to read.
const LEAST: Duration = Duration::from_millis(5);
/// The longest.
const MOST: Duration = Duration::from_millis(500);
/// Closing may take this share of an epoch, as 1 to so many.
const CLOSING_SHARE: u32 = 10;

/// How long to gather rows before an epoch closes.
#[derive(Debug)]
pub(super) struct EpochLength {
    aim: Duration,
    began: Option<Instant>,
    /// Each reading is an epoch of its own.
    short: bool,
}

impl EpochLength {
    pub(super) fn new() -> Self {
        Self { aim: LEAST, began: None, short: false }
    }

    /// Each reading is an epoch of its own: no clock decides.
    pub(super) fn short() -> Self {
        Self { short: true, ..Self::new() }
    }

    /// Whether each reading is an epoch of its own.
    pub(super) fn is_short(&self) -> bool {
        self.short
    }

    /// The first rows of an epoch have come.
    pub(super) fn begin(&mut self) {
        self.began.get_or_insert_with(Instant::now);
    }

    /// Whether enough was gathered.
    pub(super) fn is_over(&self) -> bool {
        self.short || self.began.is_some_and(|began| began.elapsed() >= self.aim)
    }

    /// The epoch has closed, which took `closing` of it. Gives its length from its first rows, if it had any.
    pub(super) fn end(&mut self, closing: Duration) -> Option<Duration> {
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
