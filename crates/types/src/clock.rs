//! Wall clock and randomness enter through here alone, so that the same seed and input give the same bytes.

use std::sync::atomic::{AtomicI64, Ordering};

use rand::{RngExt, SeedableRng};

use crate::Micros;

/// The wall clock.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Microseconds since 1970-01-01 UTC.
    fn now(&self) -> Micros;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Micros {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
    }
}

/// A clock that moves when it is told to: tests and simulation.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: Micros) -> Self {
        Self(AtomicI64::new(now))
    }

    /// Moves the clock to `now`.
    pub fn set(&self, now: Micros) {
        self.0.store(now, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Micros {
        self.0.load(Ordering::SeqCst)
    }
}

/// A stream of random numbers.
pub trait Random: Send {
    /// The next 64 random bits.
    fn next_u64(&mut self) -> u64;

    /// Uniform in [0, 1).
    fn next_f64(&mut self) -> f64 {
        // 53 bits are what a double's mantissa holds
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// ChaCha8 from a seed: the same on every machine and in every version.
#[derive(Debug, Clone)]
pub struct SeededRandom(rand_chacha::ChaCha8Rng);

impl SeededRandom {
    /// The stream that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(rand_chacha::ChaCha8Rng::seed_from_u64(seed))
    }
}

impl Random for SeededRandom {
    fn next_u64(&mut self) -> u64 {
        self.0.random()
    }
}
