//! How sure one can be of a share that was counted.

use serde::{Deserialize, Serialize};

/// The normal quantile that holds 95 % between itself and its negative.
pub const Z_95: f64 = 1.959_963_984_540_054;

/// Between which shares the truth probably lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// 0 to `high`.
    pub low: f64,
    /// `low` to 1.
    pub high: f64,
}

/// Score interval for `part` of `whole` (Wilson 1927, "Probable inference, the law of succession, and statistical
/// inference"): (p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n). Sound for small counts and shares near 0 and 1.
/// None where nothing was counted, or `part` exceeds `whole`.
pub fn wilson_interval(part: u64, whole: u64, z: f64) -> Option<Interval> {
    if whole == 0 || part > whole {
        return None;
    }
    let n = whole as f64;
    let (p, z2) = (part as f64 / n, z * z);
    let centre = p + z2 / (2.0 * n);
    let reach = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    // rounding must not leave the ends of certain counts
    let low = if part == 0 { 0.0 } else { (centre - reach) / scale };
    let high = if part == whole { 1.0 } else { (centre + reach) / scale };
    Some(Interval { low: low.max(0.0), high: high.min(1.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_is_that_of_a_published_example() {
        // Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3:
        // 81/263: 0.2553–0.3662; 15/148: 0.0624–0.1605; 0/20: 0–0.1611; 1/29: 0.0061–0.1718
        for (part, whole, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let interval = wilson_interval(part, whole, Z_95).unwrap();
            assert!(
                (interval.low - low).abs() < 5e-5 && (interval.high - high).abs() < 5e-5,
                "{part}/{whole} {interval:?}"
            );
        }
    }

    #[test]
    fn nothing_counted_has_no_interval() {
        assert_eq!((wilson_interval(0, 0, Z_95), wilson_interval(2, 1, Z_95)), (None, None));
        assert_eq!(wilson_interval(5, 5, Z_95).unwrap().high, 1.0);
    }
}
