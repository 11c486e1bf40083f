//! Floats as whole numbers of the same order, so that a split which knows missing values is one comparison.
//!
//! Only for forests without categories; the answers are those of the floats' own comparison.

/// A missing value: above every number.
const MISSING: u32 = u32::MAX;

/// A number that is ordered as the float is; −0 and 0 are one, NaN is above all. Never 0.
#[inline]
pub(crate) fn key(value: f32) -> u32 {
    if value.is_nan() {
        return MISSING;
    }
    // −0 + 0 is 0
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 0x8000_0000 }
}

/// A node for keys: 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    /// Shifted keys from here on go right.
    limit: u32,
    /// Whose key it asks for.
    pub feature: u32,
    /// The left child; the right one is next to it.
    child: u32,
    /// 1 where missing goes left: added to a key it wraps the missing one round to 0, below every limit.
    shift: u32,
}

impl Step {
    pub fn leaf(own: u32) -> Self {
        // all go left, which is where they are: the missing one by wrapping, the others since no number's key is so high
        Self { limit: u32::MAX, feature: 0, child: own, shift: 1 }
    }

    pub fn split(threshold: f32, feature: u32, child: u32, missing_left: bool) -> Self {
        let shift = u32::from(missing_left);
        Self { limit: key(threshold).saturating_add(shift), feature, child, shift }
    }

    /// The child that a key leads to.
    #[inline(always)]
    pub fn next(&self, key: u32) -> u32 {
        self.child + u32::from(key.wrapping_add(self.shift) >= self.limit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_decide_as_floats_do(value: f32, threshold: f32, near: bool, missing_left: bool) {
            // any float, and often the threshold itself or a neighbour
            let value = if near { threshold.next_up() } else { value };
            for value in [value, threshold, threshold.next_down(), -threshold, 0.0, -0.0, f32::NAN] {
                if !threshold.is_finite() || value.is_infinite() {
                    continue;
                }
                let right = if value.is_nan() { !missing_left } else { value >= threshold };
                let step = Step::split(threshold, 0, 10, missing_left);
                prop_assert_eq!(step.next(key(value)), 10 + u32::from(right));
                prop_assert_eq!(Step::leaf(7).next(key(value)), 7);
            }
        }
    }
}
