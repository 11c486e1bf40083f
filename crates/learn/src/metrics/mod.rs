//! How good is a classifier? Counts, rankings, probabilities, and how sure one can be of a share.
//!
//! Pure functions over scores and labels of equal length (the shorter one counts). A metric that the data does not
//! define (no positives, nothing predicted) is `None`, never a made-up 0.

mod confusion;
mod probability;
mod ranking;
mod share;

pub use confusion::Confusion;
pub use probability::{CalibrationBin, brier_score, calibration_bins, log_loss};
pub use ranking::{OperatingPoint, average_precision, best_f1, roc_auc, threshold_at_false_positive_rate};
pub use share::{Interval, Z_95, wilson_interval};

#[cfg(test)]
mod tests {
    use super::*;

    /// 200 rows with 26 different scores, the same integers in Python and here.
    fn sample() -> (Vec<f64>, Vec<bool>) {
        let step = |i: u32| (i * 37) % 101;
        let scores = (0..200).map(|i| f64::from(step(i) / 4) / 26.0).collect();
        (scores, (0..200).map(|i| (i * i * 7 + i * 3) % 11 + step(i) / 20 >= 7).collect())
    }

    #[test]
    fn numbers_are_those_of_scikit_learn() {
        // scikit-learn 1.9.1: i = arange(200); s = ((i*37)%101)//4/26; y = (i*i*7+i*3)%11 + ((i*37)%101)//20 >= 7
        let (scores, labels) = sample();
        let near =
            |ours: Option<f64>, theirs: f64| assert!((ours.unwrap() - theirs).abs() < 1e-13, "{ours:?} {theirs}");
        near(roc_auc(&scores, &labels), 0.6430650341228423);
        near(average_precision(&scores, &labels), 0.5931280902044175);
        let probabilities: Vec<f64> = scores.iter().map(|score| 0.02 + 0.96 * score).collect();
        near(log_loss(&probabilities, &labels), 0.7184801514014094);
        near(brier_score(&probabilities, &labels), 0.25514650887573964);
        let best = best_f1(&scores, &labels).unwrap();
        assert_eq!(best.threshold, 0.19230769230769232);
        near(best.confusion.f1(), 0.6929133858267716);
        let half = Confusion { true_negatives: 62, false_positives: 44, false_negatives: 41, true_positives: 53 };
        assert_eq!(Confusion::at(&scores, &labels, 0.5), half);
        let point = threshold_at_false_positive_rate(&scores, &labels, 0.1).unwrap();
        assert_eq!(point.threshold, 0.8461538461538461);
        near(point.confusion.false_positive_rate(), 0.07547169811320754);
        near(point.confusion.recall(), 0.19148936170212766);
    }
}
