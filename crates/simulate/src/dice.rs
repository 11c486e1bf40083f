//! Draws from the distributions that traffic needs.
//!
//! Only additions, multiplications, divisions and square roots of doubles are used, which IEEE 754 fixes to the last
//! bit: the machine's own `ln` and `exp` differ between platforms, and with them a whole world would.

use fyke_types::{Micros, Random, SeededRandom};

/// A seeded stream of draws.
#[derive(Debug, Clone)]
pub(crate) struct Dice(SeededRandom);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }

    /// A stream of its own for the `parts` of a name, so that adding an actor changes no other's draws.
    pub(crate) fn for_name(seed: u64, parts: &[u64]) -> Self {
        Self::new(parts.iter().fold(seed, |state, part| mix(state ^ mix(*part))))
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        self.0.next_f64()
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound`; 0 for an empty range. The bias of multiply-and-shift is below 2⁻³² here.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.0.next_u64()) * bound as u128) >> 64) as usize
    }

    /// Uniform in `low..=high`.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of `items`, or `fallback` of none.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T], fallback: &'a T) -> &'a T {
        items.get(self.below(items.len())).copied().unwrap_or(fallback)
    }

    /// An index by weight; 0 where all weights are 0.
    pub(crate) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut rest = self.unit() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            rest -= weight;
            if rest < 0.0 {
                return index;
            }
        }
        0
    }

    /// Standard normal as a sum of twelve uniforms (Irwin-Hall): exact arithmetic, tails cut at ±6.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..6).fold(-6.0, |sum, _| {
            let bits = self.0.next_u64();
            // each draw of 64 bits gives two uniforms of 32
            sum + ((bits >> 32) + (bits & 0xffff_ffff)) as f64 / 4_294_967_296.0
        })
    }

    pub(crate) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * exp(sigma * self.normal())
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * ln(1.0 - self.unit())
    }

    /// A log-normal span of time in whole milliseconds, at least one.
    pub(crate) fn span(&mut self, median_s: f64, sigma: f64) -> Micros {
        millis(self.log_normal(median_s, sigma))
    }

    /// An exponential span of time in whole milliseconds, at least one.
    pub(crate) fn wait(&mut self, mean_s: f64) -> Micros {
        millis(self.exponential(mean_s))
    }

    /// Uniform between two spans (ms), in microseconds.
    pub(crate) fn millis_between(&mut self, low: usize, high: usize) -> Micros {
        self.between(low, high) as Micros * 1_000
    }
}

/// Seconds to microseconds, rounded down to whole milliseconds (the resolution of the lines), at least one.
pub(crate) fn millis(seconds: f64) -> Micros {
    ((seconds * 1e3) as Micros).max(1) * 1_000
}

/// SplitMix64's finaliser: a bijection of 64 bits.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// e^x by x = k·ln 2 + r and a Taylor series of r, |r| ≤ 0.35.
fn exp(x: f64) -> f64 {
    let x = x.clamp(-60.0, 60.0);
    let k = (x / std::f64::consts::LN_2 + 0.5).floor();
    let r = x - k * std::f64::consts::LN_2;
    let series = (1..=14).rev().fold(1.0, |sum, n| 1.0 + sum * r / f64::from(n));
    let power = f64::from_bits(((k as i64 + 1023) as u64) << 52);
    series * power
}

/// ln x for normal x > 0 by x = 2^k·m and ln m = 2·artanh((m − 1) / (m + 1)).
fn ln(x: f64) -> f64 {
    let bits = x.max(f64::MIN_POSITIVE).to_bits();
    let k = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023u64 << 52));
    let z = (m - 1.0) / (m + 1.0);
    let series = (0..16).rev().fold(0.0, |sum, n| sum * z * z + 1.0 / f64::from(2 * n + 1));
    k as f64 * std::f64::consts::LN_2 + 2.0 * z * series
}

/// Cumulated Zipf weights (rank + `flat`)⁻¹ of `count` items, for [`Zipf::draw`].
#[derive(Debug, Clone)]
pub(crate) struct Zipf(Vec<f64>);

impl Zipf {
    pub(crate) fn new(count: usize, flat: f64) -> Self {
        let mut sum = 0.0;
        Self(
            (0..count)
                .map(|rank| {
                    sum += 1.0 / (rank as f64 + flat);
                    sum
                })
                .collect(),
        )
    }

    /// A rank from 0; 0 for no items.
    pub(crate) fn draw(&self, dice: &mut Dice) -> usize {
        let at = dice.unit() * self.0.last().copied().unwrap_or(0.0);
        self.0.partition_point(|sum| *sum <= at).min(self.0.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_exp_and_ln_agree_with_the_machine() {
        for step in -400..400 {
            let x = f64::from(step) / 20.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-12, "exp {x}");
            assert!((ln(exp(x)) - x).abs() < 1e-9, "ln of exp {x}");
        }
    }

    #[test]
    fn normal_has_mean_0_and_variance_1() {
        let mut dice = Dice::new(1);
        let draws: Vec<f64> = (0..50_000).map(|_| dice.normal()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn zipf_prefers_low_ranks_and_stays_in_range() {
        let (zipf, mut dice) = (Zipf::new(50, 1.0), Dice::new(2));
        let mut seen = [0; 50];
        (0..20_000).for_each(|_| seen[zipf.draw(&mut dice)] += 1);
        assert!(seen[0] > 2 * seen[2] && seen[49] > 0);
    }
}
