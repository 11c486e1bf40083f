//! How well scores put positives above negatives, and where to draw the line.

use serde::{Deserialize, Serialize};

use super::Confusion;

/// Rows of one score, counted; scores falling.
struct Step {
    score: f64,
    positives: u64,
    negatives: u64,
}

fn steps(scores: &[f64], labels: &[bool]) -> Vec<Step> {
    let mut rows: Vec<(f64, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let step = |run: &[(f64, bool)]| {
        let positives = run.iter().filter(|row| row.1).count() as u64;
        Step { score: run.first().map_or(f64::NAN, |row| row.0), positives, negatives: run.len() as u64 - positives }
    };
    rows.chunk_by(|a, b| a.0 == b.0).map(step).collect()
}

/// Area under the ROC curve: the chance that a positive scores above a negative, ties count half (Mann and Whitney's U
/// by mid-ranks; Hanley and McNeil 1982). None without both classes.
pub fn roc_auc(scores: &[f64], labels: &[bool]) -> Option<f64> {
    // twice the pairs won, so that halves stay whole; 128 bits hold 2^64 rows
    let (mut doubled, mut positives_above, mut negatives) = (0u128, 0u128, 0u128);
    for step in steps(scores, labels) {
        let (here, below) = (u128::from(step.positives), u128::from(step.negatives));
        doubled += (2 * positives_above + here) * below;
        positives_above += here;
        negatives += below;
    }
    let pairs = positives_above * negatives;
    (pairs > 0).then(|| doubled as f64 / 2.0 / pairs as f64)
}

/// Area under the precision-recall curve as average precision: Σ (Rₙ − Rₙ₋₁) · Pₙ over falling thresholds, no
/// interpolation (as scikit-learn's `average_precision_score`). None without positives.
pub fn average_precision(scores: &[f64], labels: &[bool]) -> Option<f64> {
    let positives = labels.iter().zip(scores).filter(|(label, _)| **label).count() as f64;
    let (mut sum, mut found, mut called) = (0.0, 0.0, 0.0);
    for step in steps(scores, labels) {
        found += step.positives as f64;
        called += (step.positives + step.negatives) as f64;
        sum += step.positives as f64 * (found / called);
    }
    (positives > 0.0).then(|| sum / positives)
}

/// A threshold and what it gives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// Scores at or above are called positive.
    pub threshold: f64,
    /// The counts there.
    pub confusion: Confusion,
}

fn points(scores: &[f64], labels: &[bool]) -> Vec<OperatingPoint> {
    let steps = steps(scores, labels);
    let positives: u64 = steps.iter().map(|step| step.positives).sum();
    let negatives: u64 = steps.iter().map(|step| step.negatives).sum();
    let mut counts = Confusion { true_negatives: negatives, false_negatives: positives, ..Confusion::default() };
    let point = |step: &Step| {
        counts.true_positives += step.positives;
        counts.false_negatives -= step.positives;
        counts.false_positives += step.negatives;
        counts.true_negatives -= step.negatives;
        OperatingPoint { threshold: step.score, confusion: counts }
    };
    steps.iter().map(point).collect()
}

/// The threshold of the highest F1; of equal ones the highest. None without positives.
pub fn best_f1(scores: &[f64], labels: &[bool]) -> Option<OperatingPoint> {
    let mut best: Option<OperatingPoint> = None;
    for point in points(scores, labels) {
        if point.confusion.f1() > best.and_then(|best| best.confusion.f1()) {
            best = Some(point);
        }
    }
    best.filter(|best| best.confusion.true_positives > 0)
}

/// The lowest threshold that calls at most this share of the negatives positive. Where the very first score calls too
/// many, the next number above it: nothing is called. None without rows of both classes.
pub fn threshold_at_false_positive_rate(scores: &[f64], labels: &[bool], rate: f64) -> Option<OperatingPoint> {
    let points = points(scores, labels);
    let (first, last) = (points.first()?, points.last()?.confusion);
    if last.false_positives == 0 || last.true_positives == 0 {
        return None;
    }
    let allowed = points.iter().rev().find(|point| point.confusion.false_positive_rate() <= Some(rate));
    let nothing = || OperatingPoint {
        threshold: first.threshold.next_up(),
        confusion: Confusion {
            true_negatives: last.false_positives,
            false_negatives: last.true_positives,
            ..Confusion::default()
        },
    };
    Some(allowed.copied().unwrap_or_else(nothing))
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: bool = true;
    const F: bool = false;

    #[test]
    fn auc_is_that_of_scikit_learn() {
        // the example of roc_auc_score's and average_precision_score's documentation: 0.75 and 0.8333…
        let (scores, labels) = ([0.1, 0.4, 0.35, 0.8], [F, F, T, T]);
        assert_eq!(roc_auc(&scores, &labels), Some(0.75));
        // (1/2)·1 + (1/2)·(2/3)
        assert!((average_precision(&scores, &labels).unwrap() - 5.0 / 6.0).abs() < 1e-15);
    }

    #[test]
    fn ties_count_half() {
        assert_eq!(roc_auc(&[0.5, 0.5, 0.5], &[T, F, F]), Some(0.5));
        // pairs: (0.9, 0.5) won, (0.9, 0.1) won, (0.5, 0.5) half, (0.5, 0.1) won: 3.5 / 4
        assert_eq!(roc_auc(&[0.9, 0.5, 0.5, 0.1], &[T, T, F, F]), Some(0.875));
        // one step over all: precision 2/4 at recall 1
        assert_eq!(average_precision(&[1.0; 4], &[T, F, T, F]), Some(0.5));
        // steps 0.9 (P 1, R 1/2) and 0.5 (P 2/3, R 1): 1/2 + 1/3
        assert!((average_precision(&[0.9, 0.5, 0.5, 0.1], &[T, T, F, F]).unwrap() - 5.0 / 6.0).abs() < 1e-15);
    }

    #[test]
    fn one_class_has_no_auc() {
        assert_eq!((roc_auc(&[0.1, 0.2], &[T, T]), roc_auc(&[], &[])), (None, None));
        assert_eq!((average_precision(&[0.1], &[F]), best_f1(&[0.1], &[F])), (None, None));
    }

    #[test]
    fn best_f1_is_found_by_hand() {
        // F1 from above: 2/4, 2/5, 4/6, 6/7, 6/8
        let best = best_f1(&[0.9, 0.8, 0.7, 0.6, 0.5], &[T, F, T, T, F]).unwrap();
        assert_eq!((best.threshold, best.confusion.f1()), (0.6, Some(6.0 / 7.0)));
    }

    #[test]
    fn threshold_keeps_the_false_positive_rate() {
        let (scores, labels) = ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [T, F, T, F, F, F]);
        let at = |rate| threshold_at_false_positive_rate(&scores, &labels, rate).unwrap();
        assert_eq!((at(0.25).threshold, at(0.25).confusion.recall()), (0.7, Some(1.0)));
        assert_eq!((at(0.0).threshold, at(0.0).confusion.recall()), (0.9, Some(0.5)));
        let none = threshold_at_false_positive_rate(&[0.9, 0.5], &[F, T], 0.1).unwrap();
        assert!(none.threshold > 0.9 && none.confusion.recall() == Some(0.0));
        assert_eq!(none.confusion, Confusion::at(&[0.9, 0.5], &[F, T], none.threshold));
        assert_eq!(threshold_at_false_positive_rate(&[0.9], &[T], 0.1), None);
    }
}
