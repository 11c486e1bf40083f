//! A model judged on a table that it has not learnt from.

use std::collections::BTreeMap;

use fyke_types::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::features::FeatureTable;
use crate::metrics::{
    CalibrationBin, Confusion, OperatingPoint, average_precision, best_f1, brier_score, calibration_bins, log_loss,
    roc_auc,
};
use crate::model::Model;

/// Bins of the reliability curve.
const BINS: usize = 10;

/// What was measured. Thresholds are scores (0 to 100); what the table does not define is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Rows judged.
    pub rows: u64,
    /// Positives among them.
    pub positives: u64,
    /// Area under the ROC curve.
    pub roc_auc: Option<f64>,
    /// Average precision.
    pub pr_auc: Option<f64>,
    /// Mean logarithmic loss of the calibrated probability.
    pub log_loss: Option<f64>,
    /// Mean squared error of the calibrated probability.
    pub brier: Option<f64>,
    /// The model's threshold.
    pub threshold: f64,
    /// The counts there.
    pub confusion: Confusion,
    /// Share of those called positive that are.
    pub precision: Option<f64>,
    /// Share of the positives that are called so.
    pub recall: Option<f64>,
    /// Harmonic mean of the two.
    pub f1: Option<f64>,
    /// Share of the negatives that are called so.
    pub specificity: Option<f64>,
    /// The threshold of the highest F1 on this very table: an optimistic one.
    pub best_f1: Option<OperatingPoint>,
    /// The reliability curve.
    pub calibration: Vec<CalibrationBin>,
}

impl Evaluation {
    /// The numbers by name, as a model keeps them.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let named = [
            ("rows", Some(self.rows as f64)),
            ("positives", Some(self.positives as f64)),
            ("roc_auc", self.roc_auc),
            ("pr_auc", self.pr_auc),
            ("log_loss", self.log_loss),
            ("brier", self.brier),
            ("threshold", Some(self.threshold)),
            ("precision", self.precision),
            ("recall", self.recall),
            ("f1", self.f1),
            ("specificity", self.specificity),
        ];
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// Judges `model` at its threshold on `table`, which must be encoded as the model's training was.
///
/// # Errors
/// `Data` for a table of other features, or without rows.
pub fn evaluate(model: &Model, table: &FeatureTable) -> Result<Evaluation> {
    if table.encoder() != model.encoder() {
        return Err(Error::data("the table is encoded otherwise than the model")
            .hint("make it with FeatureTable::with_encoder and the model's encoder"));
    }
    if table.is_empty() {
        return Err(Error::data("there is no row to judge the model on"));
    }
    let (probabilities, labels) = (model.probabilities(table.rows()), table.labels());
    let scores: Vec<f64> = probabilities.iter().map(|probability| 100.0 * probability).collect();
    let confusion = Confusion::at(&scores, labels, model.threshold());
    Ok(Evaluation {
        rows: table.len() as u64,
        positives: table.positives() as u64,
        roc_auc: roc_auc(&scores, labels),
        pr_auc: average_precision(&scores, labels),
        log_loss: log_loss(&probabilities, labels),
        brier: brier_score(&probabilities, labels),
        threshold: model.threshold(),
        confusion,
        precision: confusion.precision(),
        recall: confusion.recall(),
        f1: confusion.f1(),
        specificity: confusion.specificity(),
        best_f1: best_f1(&scores, labels),
        calibration: calibration_bins(&probabilities, labels, BINS),
    })
}
