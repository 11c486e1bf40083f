//! The four counts at a threshold, and the shares made of them.

use serde::{Deserialize, Serialize};

/// Rows by what they are and what they are called. Positive is called what scores at the threshold or above.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Positives called positive.
    pub true_positives: u64,
    /// Negatives called positive.
    pub false_positives: u64,
    /// Negatives called negative.
    pub true_negatives: u64,
    /// Positives called negative.
    pub false_negatives: u64,
}

impl Confusion {
    /// Counts at a threshold.
    pub fn at(scores: &[f64], labels: &[bool], threshold: f64) -> Self {
        let mut counts = Self::default();
        for (score, label) in scores.iter().zip(labels) {
            let count = match (*score >= threshold, label) {
                (true, true) => &mut counts.true_positives,
                (true, false) => &mut counts.false_positives,
                (false, false) => &mut counts.true_negatives,
                (false, true) => &mut counts.false_negatives,
            };
            *count += 1;
        }
        counts
    }

    /// Share of those called positive that are: TP / (TP + FP).
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Share of the positives that are called so: TP / (TP + FN).
    pub fn recall(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// Share of the negatives that are called so: TN / (TN + FP).
    pub fn specificity(&self) -> Option<f64> {
        ratio(self.true_negatives, self.true_negatives + self.false_positives)
    }

    /// Share of the negatives that are called positive: FP / (TN + FP).
    pub fn false_positive_rate(&self) -> Option<f64> {
        ratio(self.false_positives, self.true_negatives + self.false_positives)
    }

    /// Harmonic mean of precision and recall: 2·TP / (2·TP + FP + FN).
    pub fn f1(&self) -> Option<f64> {
        ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)
    }

    /// Share of all rows that are called right.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.true_positives + self.true_negatives, self.rows())
    }

    /// All rows.
    pub fn rows(&self) -> u64 {
        self.true_positives + self.false_positives + self.true_negatives + self.false_negatives
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_shares_are_those_counted_by_hand() {
        let scores = [0.9, 0.8, 0.7, 0.5, 0.4, 0.3, 0.2];
        let labels = [true, false, true, true, false, true, false];
        let counts = Confusion::at(&scores, &labels, 0.5);
        let expected = Confusion { true_positives: 3, false_positives: 1, true_negatives: 2, false_negatives: 1 };
        assert_eq!(counts, expected);
        assert_eq!((counts.precision(), counts.recall(), counts.f1()), (Some(0.75), Some(0.75), Some(0.75)));
        assert_eq!((counts.specificity(), counts.false_positive_rate()), (Some(2.0 / 3.0), Some(1.0 / 3.0)));
        assert_eq!(counts.accuracy(), Some(5.0 / 7.0));
    }

    #[test]
    fn undefined_shares_are_none() {
        let nothing = Confusion::at(&[], &[], 0.5);
        assert_eq!((nothing.precision(), nothing.recall(), nothing.f1(), nothing.accuracy()), (None, None, None, None));
        assert_eq!(Confusion::at(&[0.1], &[true], 0.5).precision(), None);
    }
}
