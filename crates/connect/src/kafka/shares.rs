//! Fair shares between customers of a live reading: who floods, or has a long backlog, takes no other's turn.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng 1996): a customer's next block starts where its last one ended in virtual
//! time, or now if it was silent; the earliest start goes next. A block costs its records.

/// Whose share is counted, numbered from 0.
pub(super) type Whose = usize;

/// What each customer was given.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Where the last block of each ended in virtual time.
    ends: Vec<u64>,
    now: u64,
}

impl Shares {
    /// When the customer's next block would start.
    pub(super) fn start(&self, whose: Whose) -> u64 {
        self.ends.get(whose).copied().unwrap_or(0).max(self.now)
    }

    /// A block of so many records was given.
    pub(super) fn gave(&mut self, whose: Whose, records: u64) {
        let start = self.start(whose);
        if self.ends.len() <= whose {
            self.ends.resize(whose + 1, 0);
        }
        self.now = start;
        self.ends.iter_mut().skip(whose).take(1).for_each(|end| *end = start + records.max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(shares: &Shares, able: &[Whose]) -> Whose {
        able.iter().copied().min_by_key(|whose| shares.start(*whose)).expect("somebody")
    }

    #[test]
    fn a_flood_takes_no_more_than_its_share() {
        let mut shares = Shares::default();
        let mut given = [0; 3];
        for _ in 0..300 {
            let whose = next(&shares, &[0, 1, 2]);
            // the first one's blocks are ten times as large
            let records = if whose == 0 { 1_000 } else { 100 };
            given[whose] += records;
            shares.gave(whose, records);
        }
        let mean = given.iter().sum::<u64>() / 3;
        assert!(given.iter().all(|given| given.abs_diff(mean) <= 1_000), "{given:?}");
    }

    #[test]
    fn who_was_silent_goes_next_but_saves_nothing_up() {
        let mut shares = Shares::default();
        (0..100).for_each(|_| shares.gave(0, 10));
        assert_eq!(next(&shares, &[0, 1]), 1);
        shares.gave(1, 10);
        let turns: Vec<Whose> = (0..6)
            .map(|_| {
                let whose = next(&shares, &[0, 1]);
                shares.gave(whose, 10);
                whose
            })
            .collect();
        assert_eq!(turns.iter().filter(|whose| **whose == 0).count(), 3, "{turns:?}");
    }
}
