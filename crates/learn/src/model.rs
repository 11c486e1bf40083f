//! A fitted model: columns in, scores and reasons out. Immutable but for its threshold, metrics and lineage.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use fyke_types::{Clock, Error, Result};

use crate::calibrate::Calibration;
use crate::card::Lineage;
use crate::encode::{Encoder, Rows, narrowed};
use crate::explain::{Contributions, Replacement};
use crate::params::Params;
use crate::signature::Signature;
use crate::trees::Forest;

/// For each wanted reason so many candidates are tried, strongest contribution first: contributions only guess which
/// replacement lowers the score most.
const CANDIDATES_PER_REASON: usize = 3;

/// A feature that raised a row's score: with the baseline in its place the score falls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reason {
    /// The feature's place in the signature.
    pub feature: usize,
    /// The row's value; NaN where it is missing.
    pub value: f64,
    /// What it was replaced by.
    pub baseline: f64,
    /// How far the score falls, in points of 100; above 0.
    pub drop: f64,
    /// What it contributed to the margin on the row's path, in log odds.
    pub contribution: f64,
}

/// Trees with all that is needed to apply them.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    learner: String,
    encoder: Arc<Encoder>,
    forest: Forest,
    calibration: Calibration,
    threshold: f64,
    params: Params,
    metrics: BTreeMap<String, f64>,
    lineage: Lineage,
}

impl Model {
    pub(crate) fn new(
        learner: &str,
        encoder: Arc<Encoder>,
        forest: Forest,
        calibration: Calibration,
        params: Params,
    ) -> Result<Self> {
        if forest.width() != encoder.signature().width() {
            let (trees, features) = (forest.width(), encoder.signature().width());
            return Err(Error::data(format!("the trees take {trees} features, the signature has {features}")));
        }
        Ok(Self {
            learner: learner.to_owned(),
            encoder,
            forest,
            calibration,
            threshold: 50.0,
            params,
            metrics: BTreeMap::new(),
            lineage: Lineage::default(),
        })
    }

    /// The columns it takes.
    pub fn signature(&self) -> &Signature {
        self.encoder.signature()
    }

    /// How columns become rows.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    /// Its trees.
    pub fn forest(&self) -> &Forest {
        &self.forest
    }

    /// The name of the learner that made it.
    pub fn learner(&self) -> &str {
        &self.learner
    }

    /// What it was fitted with.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// How margins become probabilities.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// The score from which a row is called positive, 0 to 100. 50 where nobody set it.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// What it was judged with, by name.
    pub fn metrics(&self) -> &BTreeMap<String, f64> {
        &self.metrics
    }

    /// Where it comes from.
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// Sets the score from which a row is called positive.
    ///
    /// # Errors
    /// `Usage` outside 0 to 100.
    pub fn set_threshold(&mut self, score: f64) -> Result<()> {
        if !(0.0..=100.0).contains(&score) {
            return Err(Error::usage(format!("the threshold {score} is no score")).hint("it takes 0 to 100"));
        }
        self.threshold = score;
        Ok(())
    }

    /// Keeps metrics with the model; those that are not finite are left out.
    pub fn set_metrics(&mut self, metrics: BTreeMap<String, f64>) {
        self.metrics = metrics.into_iter().filter(|(_, value)| value.is_finite()).collect();
    }

    /// Replaces the lineage.
    pub fn set_lineage(&mut self, lineage: Lineage) {
        self.lineage = lineage;
    }

    /// Notes when the model was made, and the query that made its table.
    pub fn stamp(&mut self, clock: &dyn Clock, sql: Option<&str>) {
        self.lineage.created_at = Some(clock.now());
        self.lineage.sql_hash = sql.map(Lineage::hash_of_sql);
    }

    /// Rows of a batch, whose columns are found by name.
    ///
    /// # Errors
    /// `Data` naming the column that is missing or mistyped.
    pub fn encode_batch(&self, batch: &RecordBatch) -> Result<Rows> {
        self.encoder.encode_batch(batch)
    }

    /// Rows of columns in the signature's order.
    ///
    /// # Errors
    /// `Data` for another number of columns or a mistyped one.
    pub fn encode_columns(&self, columns: &[ArrayRef]) -> Result<Rows> {
        self.encoder.encode_columns(columns)
    }

    /// Each row's margin, as the trees see it (log odds, not calibrated). Rows of another width get NaN.
    pub fn margins(&self, rows: &Rows) -> Vec<f32> {
        self.forest.margins(rows)
    }

    /// Each row's calibrated probability of being positive, 0 to 1.
    pub fn probabilities(&self, rows: &Rows) -> Vec<f64> {
        self.margins(rows).into_iter().map(|margin| self.calibration.probability(margin)).collect()
    }

    /// Each row's score: 100 times the calibrated probability.
    pub fn scores(&self, rows: &Rows) -> Vec<f64> {
        self.margins(rows).into_iter().map(|margin| self.score_of(margin)).collect()
    }

    /// The score of a margin.
    pub fn score_of(&self, margin: f32) -> f64 {
        100.0 * self.calibration.probability(margin)
    }

    /// The score of one encoded row: the same bits as in a batch.
    pub fn score_row(&self, row: &[f32]) -> f64 {
        self.score_of(self.forest.margin(row))
    }

    /// Scores of a batch, whose columns are found by name.
    ///
    /// # Errors
    /// As [`Model::encode_batch`].
    pub fn score_batch(&self, batch: &RecordBatch) -> Result<Float64Array> {
        Ok(self.scores(&self.encode_batch(batch)?).into())
    }

    /// Scores of columns in the signature's order.
    ///
    /// # Errors
    /// As [`Model::encode_columns`].
    pub fn score_columns(&self, columns: &[ArrayRef]) -> Result<Float64Array> {
        Ok(self.scores(&self.encode_columns(columns)?).into())
    }

    /// What each feature contributed to an encoded row's margin; bias and contributions add up to it.
    pub fn contributions(&self, row: &[f32]) -> Contributions {
        self.forest.contributions(row)
    }

    /// How the score of an encoded row changes when `feature` gets the value `baseline` (NaN: missing); above 0 where it
    /// rises. 0 for a feature that is not there.
    pub fn delta_if(&self, row: &[f32], feature: usize, baseline: f64) -> f64 {
        let replacement = Replacement { feature, value: narrowed(baseline) };
        self.score_of(self.forest.margin_with(row, replacement)) - self.score_row(row)
    }

    /// For each feature how far the score of an encoded row falls with the baseline in its place: above 0 where it
    /// falls, 0 where there is no baseline (NaN). Exact, one pass over the trees.
    pub fn counterfactual_drops(&self, row: &[f32], baselines: &[f64]) -> Vec<f64> {
        let all: Vec<usize> = (0..self.signature().width()).collect();
        let mut drops = vec![0.0; all.len()];
        for (feature, drop) in self.drops_of(row, baselines, &all, self.score_row(row)) {
            if let Some(place) = drops.get_mut(feature) {
                *place = drop;
            }
        }
        drops
    }

    /// At most `limit` features whose replacement by their baseline lowers the score, the farthest fall first. Tried
    /// are the features that contributed most, three for each wanted reason; those without a baseline (NaN) are not.
    pub fn reasons(&self, row: &[f32], baselines: &[f64], limit: usize) -> Vec<Reason> {
        let contributions = self.contributions(row);
        let candidates = contributions.strongest(limit.saturating_mul(CANDIDATES_PER_REASON));
        let drops = self.drops_of(row, baselines, &candidates, self.score_row(row));
        let mut reasons: Vec<Reason> = drops
            .into_iter()
            .filter(|(_, drop)| *drop > 0.0)
            .map(|(feature, drop)| Reason {
                feature,
                value: row.get(feature).copied().map_or(f64::NAN, f64::from),
                baseline: baselines.get(feature).copied().unwrap_or(f64::NAN),
                drop,
                contribution: contributions.features.get(feature).copied().unwrap_or(0.0),
            })
            .collect();
        reasons.sort_by(|a, b| b.drop.total_cmp(&a.drop).then(a.feature.cmp(&b.feature)));
        reasons.truncate(limit);
        reasons
    }

    fn drops_of(&self, row: &[f32], baselines: &[f64], candidates: &[usize], score: f64) -> Vec<(usize, f64)> {
        let with_baseline = |&feature: &usize| {
            let value = narrowed(*baselines.get(feature)?);
            (!value.is_nan()).then_some(Replacement { feature, value })
        };
        let replacements: Vec<Replacement> = candidates.iter().filter_map(with_baseline).collect();
        let margins = self.forest.margins_with(row, &replacements);
        let drops = replacements.iter().zip(margins);
        drops.map(|(replacement, margin)| (replacement.feature, score - self.score_of(margin))).collect()
    }

    /// Each feature's share of the trees' gain, the largest first; features that no tree asks are left out.
    pub fn importances(&self) -> Vec<(&str, f64)> {
        let names = self.signature().features().iter().map(|feature| feature.name.as_str());
        let mut shares: Vec<(&str, f64)> =
            names.zip(self.forest.importances()).filter(|(_, share)| *share > 0.0).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        shares
    }
}
