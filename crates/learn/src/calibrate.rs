//! From a margin (log odds as the trees see them) to a probability that can be believed.
//!
//! Every map here is strictly increasing: it changes no ranking, and a lower margin always gives a lower score, so
//! that reasons stay visible at both ends.

use std::str::FromStr;

use fyke_types::{Error, Result};
use serde::{Deserialize, Serialize};

/// Which map is fitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationKind {
    /// The logistic function: right where the trees' own loss was fitted without weights.
    #[default]
    None,
    /// A logistic function with fitted slope and offset: for few rows.
    Platt,
    /// A fitted increasing line: for a thousand rows and more.
    Isotonic,
}

impl FromStr for CalibrationKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "none" => Ok(Self::None),
            "platt" => Ok(Self::Platt),
            "isotonic" => Ok(Self::Isotonic),
            _ => Err(Error::usage(format!("calibration '{text}' is unknown")).hint("it is none, platt or isotonic")),
        }
    }
}

/// A fitted map.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibration {
    /// 1 / (1 + exp(−margin)).
    #[default]
    None,
    /// 1 / (1 + exp(−(slope · margin + offset))), slope above 0.
    Platt {
        /// How fast the odds rise with the margin.
        slope: f64,
        /// Log odds at margin 0.
        offset: f64,
    },
    /// Straight lines between knots, both coordinates rising; beyond the ends it nears 0 and 1 exponentially.
    Isotonic {
        /// (margin, probability).
        knots: Vec<(f64, f64)>,
    },
}

impl Calibration {
    /// Fits a map on rows that the trees have not learnt from.
    ///
    /// # Errors
    /// `Usage` where only one class is present; `Data` where positives do not have the higher margins.
    pub fn fit(kind: CalibrationKind, margins: &[f32], labels: &[bool]) -> Result<Self> {
        let positives = labels.iter().filter(|&&label| label).count();
        if kind != CalibrationKind::None && (positives == 0 || positives == labels.len()) {
            return Err(Error::usage("calibration needs rows of both classes")
                .detail(format!("{positives} of {} rows are positives", labels.len()))
                .hint("hold back more rows, or set calibration to none"));
        }
        let mut points: Vec<(f64, bool)> =
            margins.iter().map(|&margin| f64::from(margin)).zip(labels.iter().copied()).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        match kind {
            CalibrationKind::None => Ok(Self::None),
            CalibrationKind::Platt => fit_platt(&points),
            CalibrationKind::Isotonic => Ok(fit_isotonic(&points)),
        }
    }

    /// The probability of being positive, 0 to 1.
    pub fn probability(&self, margin: f32) -> f64 {
        let margin = f64::from(margin);
        match self {
            Self::None => logistic(margin),
            Self::Platt { slope, offset } => logistic(slope * margin + offset),
            Self::Isotonic { knots } => interpolate(knots, margin),
        }
    }

    /// Whether a stored map is one that `fit` could have made.
    pub(crate) fn check(&self) -> Result<()> {
        let sound = match self {
            Self::None => true,
            Self::Platt { slope, offset } => slope.is_finite() && *slope > 0.0 && offset.is_finite(),
            Self::Isotonic { knots } => {
                let inside = knots.iter().all(|(x, y)| x.is_finite() && *y > 0.0 && *y < 1.0);
                !knots.is_empty() && inside && knots.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1)
            }
        };
        if sound { Ok(()) } else { Err(Error::data("the model's calibration is not strictly increasing")) }
    }
}

/// 1 / (1 + exp(−x)), without overflow.
pub(crate) fn logistic(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// Platt's targets (Platt 1999, "Probabilistic outputs for support vector machines", section 2.2): a positive counts as
/// (N⁺+1)/(N⁺+2), a negative as 1/(N⁻+2), so that no finite sample claims certainty.
fn targets(points: &[(f64, bool)]) -> (f64, f64) {
    let positives = points.iter().filter(|point| point.1).count() as f64;
    let negatives = points.len() as f64 - positives;
    (1.0 / (negatives + 2.0), (positives + 1.0) / (positives + 2.0))
}

/// Cross entropy of Platt's targets for a slope and an offset, written so that it cannot overflow (Lin, Lin, Weng 2007,
/// "A note on Platt's probabilistic outputs", section 3).
fn platt_loss(points: &[(f64, bool)], (low, high): (f64, f64), slope: f64, offset: f64) -> f64 {
    let loss = |&(x, label): &(f64, bool)| {
        let (z, target) = (slope * x + offset, if label { high } else { low });
        // ln(1 + e^z) − t·z
        z.max(0.0) + (-z.abs()).exp().ln_1p() - target * z
    };
    points.iter().map(loss).sum()
}

/// Newton's method with halved steps (Lin, Lin, Weng 2007): the loss is convex in slope and offset.
fn fit_platt(points: &[(f64, bool)]) -> Result<Calibration> {
    let targets = targets(points);
    let (mut slope, mut offset) = (1.0, 0.0);
    let mut loss = platt_loss(points, targets, slope, offset);
    for _ in 0..100 {
        let (step_slope, step_offset, decrease) = newton_step(points, targets, slope, offset);
        if decrease < 1e-12 * (1.0 + loss.abs()) {
            break;
        }
        let mut share = 1.0;
        while share > 1e-10 {
            let next = (slope - share * step_slope, offset - share * step_offset);
            let next_loss = platt_loss(points, targets, next.0, next.1);
            if next_loss <= loss - 1e-4 * share * decrease {
                (slope, offset, loss) = (next.0, next.1, next_loss);
                break;
            }
            share /= 2.0;
        }
        if share <= 1e-10 {
            break;
        }
    }
    let fitted = Calibration::Platt { slope, offset };
    fitted.check().map_err(|_| {
        Error::data("positives do not have higher margins than negatives on the validation part")
            .hint("the model has learnt nothing that holds there: check labels and split")
    })?;
    Ok(fitted)
}

/// The Newton step, and how much the loss falls along it to first order.
fn newton_step(points: &[(f64, bool)], (low, high): (f64, f64), slope: f64, offset: f64) -> (f64, f64, f64) {
    // the ridge keeps the matrix invertible where all margins are equal
    let (mut aa, mut ab, mut bb) = (1e-12, 0.0, 1e-12);
    let (mut ga, mut gb) = (0.0, 0.0);
    for &(x, label) in points {
        let p = logistic(slope * x + offset);
        let error = p - if label { high } else { low };
        let curve = p * (1.0 - p);
        ga += error * x;
        gb += error;
        aa += curve * x * x;
        ab += curve * x;
        bb += curve;
    }
    let determinant = aa * bb - ab * ab;
    let (da, db) = ((bb * ga - ab * gb) / determinant, (aa * gb - ab * ga) / determinant);
    if da.is_finite() && db.is_finite() { (da, db, ga * da + gb * db) } else { (0.0, 0.0, 0.0) }
}

/// A run of rows that share one probability.
#[derive(Debug, Clone, Copy)]
struct Block {
    rows: f64,
    positives: f64,
    margins: f64,
}

impl Block {
    fn share(&self) -> f64 {
        self.positives / self.rows
    }

    fn join(&mut self, other: Self) {
        self.rows += other.rows;
        self.positives += other.positives;
        self.margins += other.margins;
    }
}

/// Pool adjacent violators (Ayer, Brunk, Ewing, Reid, Silverman 1955), with a knot at each pool's mean margin and its
/// share of positives, the latter bounded by Platt's targets.
fn fit_isotonic(points: &[(f64, bool)]) -> Calibration {
    let mut blocks: Vec<Block> = Vec::new();
    for run in points.chunk_by(|a, b| a.0 == b.0) {
        let positives = run.iter().filter(|point| point.1).count() as f64;
        let mut block = Block { rows: run.len() as f64, positives, margins: run.iter().map(|point| point.0).sum() };
        while let Some(before) = blocks.pop_if(|before| before.share() >= block.share()) {
            block.join(before);
        }
        blocks.push(block);
    }
    let (low, high) = targets(points);
    let mut knots: Vec<(f64, f64)> = Vec::with_capacity(blocks.len());
    for block in blocks {
        let knot = (block.margins / block.rows, block.share().clamp(low, high));
        // bounded shares can be equal: below keep the last of them, above the first, so that the line rises throughout
        match knots.last_mut() {
            Some(last) if knot.1 <= last.1 && knot.1 <= low => *last = knot,
            Some(last) if knot.1 <= last.1 || knot.0 <= last.0 => {}
            _ => knots.push(knot),
        }
    }
    Calibration::Isotonic { knots }
}

fn interpolate(knots: &[(f64, f64)], margin: f64) -> f64 {
    let above = knots.partition_point(|knot| knot.0 <= margin);
    let (before, after) = (above.checked_sub(1).and_then(|below| knots.get(below)), knots.get(above));
    match (before, after) {
        (Some(a), Some(b)) => a.1 + (b.1 - a.1) * ((margin - a.0) / (b.0 - a.0)),
        (Some(last), None) => 1.0 - (1.0 - last.1) * (last.0 - margin).exp(),
        (None, Some(first)) => first.1 * (margin - first.0).exp(),
        (None, None) => logistic(margin),
    }
}

#[cfg(test)]
mod tests {
    use fyke_types::{Random, SeededRandom};
    use proptest::prelude::*;

    use super::*;

    fn sample(rows: usize, slope: f64, offset: f64) -> (Vec<f32>, Vec<bool>) {
        let mut random = SeededRandom::new(7);
        let margins: Vec<f32> = (0..rows).map(|_| (random.next_f64() * 8.0 - 4.0) as f32).collect();
        let labels = margins.iter().map(|&m| random.next_f64() < logistic(slope * f64::from(m) + offset)).collect();
        (margins, labels)
    }

    #[test]
    fn pools_are_those_of_a_worked_example() {
        // margins 1 to 5, labels 0 1 0 1 1: pools {1}, {2, 3}, {4, 5} with shares 0, 1/2, 1; bounds 1/4 and 4/5
        let labels = [false, true, false, true, true];
        let fitted = Calibration::fit(CalibrationKind::Isotonic, &[1.0, 2.0, 3.0, 4.0, 5.0], &labels).unwrap();
        assert_eq!(fitted, Calibration::Isotonic { knots: vec![(1.0, 0.25), (2.5, 0.5), (4.5, 0.8)] });
        assert_eq!(fitted.probability(3.5), 0.65);
        assert!((fitted.probability(0.0) - 0.25 * (-1.0f64).exp()).abs() < 1e-15);
        assert!((fitted.probability(5.5) - (1.0 - 0.2 * (-1.0f64).exp())).abs() < 1e-15);
    }

    #[test]
    fn platt_finds_slope_and_offset_again() {
        let (margins, labels) = sample(20_000, 0.5, -1.0);
        let Calibration::Platt { slope, offset } = Calibration::fit(CalibrationKind::Platt, &margins, &labels).unwrap()
        else {
            panic!("another kind");
        };
        assert!((slope - 0.5).abs() < 0.03 && (offset + 1.0).abs() < 0.05, "{slope} {offset}");
    }

    #[test]
    fn isotonic_is_near_the_true_probability() {
        let (margins, labels) = sample(20_000, 2.0, 1.0);
        let fitted = Calibration::fit(CalibrationKind::Isotonic, &margins, &labels).unwrap();
        for margin in [-2.0f32, -0.5, 0.0, 1.0] {
            let truth = logistic(2.0 * f64::from(margin) + 1.0);
            assert!((fitted.probability(margin) - truth).abs() < 0.04, "{margin}");
        }
    }

    #[test]
    fn one_class_and_reversed_margins_are_refused() {
        for kind in [CalibrationKind::Platt, CalibrationKind::Isotonic] {
            assert!(Calibration::fit(kind, &[1.0, 2.0], &[true, true]).is_err());
        }
        let (margins, mut labels) = sample(1000, 3.0, 0.0);
        labels.iter_mut().for_each(|label| *label = !*label);
        assert!(Calibration::fit(CalibrationKind::Platt, &margins, &labels).is_err());
        // the increasing line that fits best is then flat in the middle: one knot
        let flat = Calibration::fit(CalibrationKind::Isotonic, &margins, &labels).unwrap();
        assert!(flat.check().is_ok());
    }

    proptest! {
        #[test]
        fn every_map_rises_strictly_and_survives_its_text(
            rows in prop::collection::vec((-5i32..5, any::<bool>()), 2..60), isotonic: bool,
        ) {
            let (margins, labels): (Vec<f32>, Vec<bool>) = rows.into_iter().map(|(m, l)| (m as f32 / 2.0, l)).unzip();
            let kind = if isotonic { CalibrationKind::Isotonic } else { CalibrationKind::Platt };
            if let Ok(fitted) = Calibration::fit(kind, &margins, &labels) {
                prop_assert!(fitted.check().is_ok(), "{:?}", fitted);
                let curve: Vec<f64> = (-40..40).map(|m| fitted.probability(m as f32 / 8.0)).collect();
                prop_assert!(curve.is_sorted_by(|a, b| a < b || (*b > 1.0 - 1e-12 && a <= b) || (*a < 1e-300 && a <= b)));
                let text = serde_json::to_string(&fitted).unwrap();
                prop_assert_eq!(serde_json::from_str::<Calibration>(&text).unwrap(), fitted);
            }
        }
    }
}
