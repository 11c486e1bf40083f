//! Fair shares between customers of a live reading: who floods, or has a long backlog, takes no other's turn.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng 1996): a customer's next block starts where its last one ended in virtual
//! time, or now if it was silent; the earliest start goes next. A block costs its records.

use std::collections::BTreeMap;

use fyke_types::Micros;

/// Whose share is counted, numbered from 0.
pub(crate) type Whose = usize;

/// What each customer was given.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    /// Where the last block of each ended in virtual time.
    ends: Vec<u64>,
    now: u64,
}

impl Shares {
    /// When the customer's next block would start.
    pub(crate) fn start(&self, whose: Whose) -> u64 {
        self.ends.get(whose).copied().unwrap_or(0).max(self.now)
    }

    /// Who goes next of inputs that are able to, each with its customer and its event time: of each customer the one
    /// furthest behind; of the customers the one that had the least.
    pub(crate) fn next(&self, able: impl Iterator<Item = (usize, Whose, Micros)>) -> Option<usize> {
        let mut of_customer: BTreeMap<Whose, (Micros, usize)> = BTreeMap::new();
        for (index, whose, at) in able {
            let best = of_customer.entry(whose).or_insert((at, index));
            if at < best.0 {
                *best = (at, index);
            }
        }
        of_customer
            .into_iter()
            .map(|(whose, (at, index))| (self.start(whose), at, index))
            .min()
            .map(|(_, _, index)| index)
    }

    /// A block of so many records was given.
    pub(crate) fn gave(&mut self, whose: Whose, records: u64) {
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
    fn of_a_customers_inputs_the_one_furthest_behind_goes_next() {
        let mut shares = Shares::default();
        let able = [(0, 0, 30), (1, 0, 10), (2, 1, 70), (3, 1, 50), (4, 0, 10)];
        assert_eq!(shares.next(able.into_iter()), Some(1));
        shares.gave(0, 5);
        assert_eq!(shares.next(able.into_iter()), Some(3), "the other customer's turn, whatever its event time");
        assert_eq!(shares.next(std::iter::empty()), None);
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
