//! How long to wait before the next attempt: twice as long each time, with jitter, so that many clients of a server that
//! comes back don't all ask at once.

use std::time::Duration;

use fyke_types::{Random, SeededRandom};

/// Waits that grow.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
    random: SeededRandom,
}

impl Backoff {
    /// Waits from about `first` to at most `most`.
    pub(super) fn new(first: Duration, most: Duration, seed: u64) -> Self {
        Self { first, most: most.max(first), tries: 0, random: SeededRandom::new(seed) }
    }

    /// The next wait: between half and all of the doubled one. `asked` (a server's `Retry-After`) is waited at least.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(self.tries)).min(self.most);
        self.tries = self.tries.saturating_add(1);
        let wait = doubled.mul_f64(0.5 + self.random.next_f64() / 2.0);
        asked.map_or(wait, |asked| wait.max(asked))
    }

    /// After a success.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most_with_jitter() {
        let (first, most) = (Duration::from_millis(100), Duration::from_secs(3));
        let mut backoff = Backoff::new(first, most, 7);
        let waits: Vec<Duration> = (0..200).map(|_| backoff.next(None)).collect();
        for (wait, full) in waits.iter().zip([100, 200, 400, 800, 1600, 3000, 3000]) {
            let full = Duration::from_millis(full);
            assert!(*wait >= full / 2 && *wait <= full, "{wait:?} of {full:?}");
        }
        assert!(waits.iter().all(|wait| *wait <= most));
        assert_ne!(waits[10], waits[11], "two waits of the most differ by jitter");
        backoff.reset();
        assert!(backoff.next(None) <= first);
        assert_eq!(backoff.next(Some(Duration::from_secs(60))), Duration::from_secs(60));
    }
}
