//! DDSketch: quantiles with a bounded relative error, in buckets whose width grows with the value
//! (C. Masson, J. E. Rim, H. K. Lee: "DDSketch: a fast and fully-mergeable quantile sketch", VLDB 2019).
//! Buckets are never collapsed, so a sketch depends only on the multiset of its values.

/// The keys of buckets for one relative accuracy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    ln_gamma: f64,
    /// Logarithm of what a bucket's upper bound is multiplied with to be at most `accuracy` off either end.
    ln_middle: f64,
}

/// Keys of positive values are above it, of negative ones below its negative: keys sort as values do.
const MIDDLE: i32 = 1 << 30;
const INFINITE: i32 = i32::MAX;

impl Scale {
    /// For a relative accuracy between 0 and 1.
    pub(crate) fn new(accuracy: f64) -> Self {
        let gamma = (1.0 + accuracy) / (1.0 - accuracy);
        Self { ln_gamma: gamma.ln(), ln_middle: (2.0 / (1.0 + gamma)).ln() }
    }

    fn key(self, value: f64) -> i32 {
        if value == 0.0 {
            return 0;
        }
        if value.is_infinite() {
            return if value > 0.0 { INFINITE } else { -INFINITE };
        }
        // within a million for any double and the finest accuracy allowed, so the sum fits
        let bucket = (value.abs().ln() / self.ln_gamma).ceil() as i32;
        if value > 0.0 { MIDDLE + bucket } else { -(MIDDLE + bucket) }
    }

    fn value(self, key: i32) -> f64 {
        if key == 0 {
            return 0.0;
        }
        if key.abs() == INFINITE {
            return if key > 0 { f64::INFINITY } else { f64::NEG_INFINITY };
        }
        let bucket = f64::from(key.abs() - MIDDLE);
        let size = (bucket * self.ln_gamma + self.ln_middle).exp();
        if key > 0 { size } else { -size }
    }
}

/// Counts by bucket, sorted by key, which is by value: 16 bytes a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sketch {
    buckets: Vec<(i32, u64)>,
}

impl Sketch {
    /// Adds a value; NaN is ignored.
    pub(crate) fn add(&mut self, scale: Scale, value: f64) {
        if !value.is_nan() {
            self.add_bucket(scale.key(value), 1);
        }
    }

    /// Adds what another sketch counted under a key.
    pub(crate) fn add_bucket(&mut self, key: i32, count: u64) {
        match self.buckets.binary_search_by_key(&key, |bucket| bucket.0) {
            Ok(at) => {
                if let Some(bucket) = self.buckets.get_mut(at) {
                    bucket.1 += count;
                }
            }
            Err(at) => self.buckets.insert(at, (key, count)),
        }
    }

    /// The value at rank q * (n - 1), within the relative accuracy; none for no values.
    pub(crate) fn quantile(&self, scale: Scale, q: f64) -> Option<f64> {
        let total: u64 = self.buckets.iter().map(|bucket| bucket.1).sum();
        let rank = (q * total.checked_sub(1)? as f64).floor() as u64;
        let mut below = 0;
        for (key, count) in &self.buckets {
            below += count;
            if below > rank {
                return Some(scale.value(*key));
            }
        }
        self.buckets.last().map(|bucket| scale.value(bucket.0))
    }

    pub(crate) fn buckets(&self) -> &[(i32, u64)] {
        &self.buckets
    }

    pub(crate) fn heap(&self) -> usize {
        self.buckets.capacity() * size_of::<(i32, u64)>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch(scale: Scale, values: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.add(scale, *value));
        sketch
    }

    #[test]
    fn signs_zero_and_infinities_keep_their_order() {
        let scale = Scale::new(0.01);
        let sketch = sketch(scale, &[f64::INFINITY, 5.0, 0.0, -0.0, -7.0, f64::NEG_INFINITY, f64::NAN]);
        assert_eq!(sketch.quantile(scale, 0.0), Some(f64::NEG_INFINITY));
        assert!((sketch.quantile(scale, 0.2).unwrap() + 7.0).abs() <= 0.07);
        assert_eq!(sketch.quantile(scale, 0.5), Some(0.0));
        assert_eq!(sketch.quantile(scale, 1.0), Some(f64::INFINITY));
        assert_eq!(Sketch::default().quantile(scale, 0.5), None);
    }

    #[test]
    fn five_values_cost_less_than_200_bytes() {
        let sketch = sketch(Scale::new(0.01), &[1.0, 20.0, 300.0, 4e3, 5e4]);
        assert!(size_of::<Sketch>() + sketch.heap() < 200);
    }

    proptest! {
        #[test]
        fn quantiles_are_within_the_relative_accuracy(
            mut values in proptest::collection::vec(prop_oneof![-1e9..1e9f64, -1.0..1.0f64, 1e-9..1e-3f64], 1..300),
            q in 0.0..=1.0f64,
            accuracy in prop_oneof![Just(0.01), Just(0.001), Just(0.05)],
        ) {
            let scale = Scale::new(accuracy);
            let estimate = sketch(scale, &values).quantile(scale, q).unwrap();
            values.sort_by(f64::total_cmp);
            let exact = values[(q * (values.len() - 1) as f64).floor() as usize];
            prop_assert!((estimate - exact).abs() <= exact.abs() * accuracy * 1.000_001, "{estimate} for {exact}");
        }
    }
}
