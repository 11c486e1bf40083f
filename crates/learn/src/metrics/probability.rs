//! Whether a probability can be believed.

use serde::{Deserialize, Serialize};

/// Mean of −ln(probability of what happened), natural logarithm; probabilities are kept away from 0 and 1 by a double's
/// epsilon, as in scikit-learn's `log_loss`. None without rows.
pub fn log_loss(probabilities: &[f64], labels: &[bool]) -> Option<f64> {
    mean(probabilities, labels, |probability, label| {
        let kept = probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        if label { -kept.ln() } else { -(-kept).ln_1p() }
    })
}

/// Mean squared distance of probability and truth (Brier 1950, in the form for two classes). None without rows.
pub fn brier_score(probabilities: &[f64], labels: &[bool]) -> Option<f64> {
    mean(probabilities, labels, |probability, label| (probability - f64::from(u8::from(label))).powi(2))
}

fn mean(probabilities: &[f64], labels: &[bool], loss: impl Fn(f64, bool) -> f64) -> Option<f64> {
    let rows = probabilities.len().min(labels.len());
    let sum: f64 = probabilities.iter().zip(labels).map(|(probability, label)| loss(*probability, *label)).sum();
    (rows > 0).then(|| sum / rows as f64)
}

/// Rows of about the same probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Least probability of the bin.
    pub low: f64,
    /// Probabilities below this; the last bin holds 1 too.
    pub high: f64,
    /// How many rows.
    pub rows: u64,
    /// Their mean probability.
    pub probability: f64,
    /// Their share of positives: near the probability where the model can be believed.
    pub positives: f64,
}

/// The reliability curve: equally wide bins over 0 to 1, empty ones left out (as scikit-learn's `calibration_curve`).
pub fn calibration_bins(probabilities: &[f64], labels: &[bool], bins: usize) -> Vec<CalibrationBin> {
    let mut sums = vec![(0u64, 0.0f64, 0u64); bins];
    for (probability, label) in probabilities.iter().zip(labels) {
        let place = ((probability * bins as f64) as usize).min(bins.saturating_sub(1));
        if let Some((rows, sum, positives)) = sums.get_mut(place) {
            *rows += 1;
            *sum += probability;
            *positives += u64::from(*label);
        }
    }
    let bin = |(place, (rows, sum, positives)): (usize, (u64, f64, u64))| CalibrationBin {
        low: place as f64 / bins as f64,
        high: (place + 1) as f64 / bins as f64,
        rows,
        probability: sum / rows as f64,
        positives: positives as f64 / rows as f64,
    };
    sums.into_iter().enumerate().filter(|(_, (rows, _, _))| *rows > 0).map(bin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_loss_is_that_of_scikit_learn() {
        // the example of log_loss' documentation, 0.21616…: −(2·ln 0.9 + ln 0.8 + ln 0.65) / 4
        let loss = log_loss(&[0.9, 0.1, 0.2, 0.65], &[true, false, false, true]).unwrap();
        assert!((loss - 0.216_161_874_7).abs() < 1e-9, "{loss}");
        // certain and wrong: −ln(2^−52)
        assert!((log_loss(&[0.0], &[true]).unwrap() - 36.043_653_389_117_15).abs() < 1e-12);
        assert!((log_loss(&[1.0], &[false]).unwrap() - 36.043_653_389_117_15).abs() < 1e-12);
        assert_eq!(log_loss(&[], &[]), None);
    }

    #[test]
    fn brier_score_is_that_of_scikit_learn() {
        // the example of brier_score_loss' documentation: 0.0375
        let score = brier_score(&[0.1, 0.9, 0.8, 0.3], &[false, true, true, false]).unwrap();
        assert!((score - 0.0375).abs() < 1e-15);
    }

    #[test]
    fn bins_are_those_counted_by_hand() {
        let bins = calibration_bins(&[0.0, 0.125, 0.25, 1.0], &[false, true, false, true], 4);
        let counted: Vec<_> =
            bins.iter().map(|bin| (bin.low, bin.high, bin.rows, bin.probability, bin.positives)).collect();
        assert_eq!(counted, [(0.0, 0.25, 2, 0.0625, 0.5), (0.25, 0.5, 1, 0.25, 0.0), (0.75, 1.0, 1, 1.0, 1.0)]);
        assert!(calibration_bins(&[0.5], &[true], 0).is_empty());
    }
}
