//! A model on one screen.

use std::fmt;

use serde::Serialize;

use crate::calibrate::Calibration;
use crate::card::Lineage;
use crate::model::Model;

/// Features named in the summary.
const TOP: usize = 10;

/// What is worth knowing of a model, as text or as data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description {
    /// Who made it.
    pub learner: String,
    /// How many features it takes.
    pub features: usize,
    /// Their hash.
    pub signature_hash: String,
    /// How many trees.
    pub trees: usize,
    /// How many nodes, leaves included.
    pub nodes: usize,
    /// The greatest depth.
    pub depth: usize,
    /// `none`, `platt` or `isotonic`.
    pub calibration: &'static str,
    /// The score from which a row is called positive.
    pub threshold: f64,
    /// The features with the largest shares of the gain.
    pub importances: Vec<(String, f64)>,
    /// What it was judged with.
    pub metrics: Vec<(String, f64)>,
    /// Where it comes from.
    pub lineage: Lineage,
}

impl Model {
    /// The model on one screen.
    pub fn describe(&self) -> Description {
        let importances = self.importances().into_iter().take(TOP);
        Description {
            learner: self.learner().to_owned(),
            features: self.signature().width(),
            signature_hash: self.signature().hash(),
            trees: self.forest().trees(),
            nodes: self.forest().nodes(),
            depth: self.forest().depth(),
            calibration: match self.calibration() {
                Calibration::None => "none",
                Calibration::Platt { .. } => "platt",
                Calibration::Isotonic { .. } => "isotonic",
            },
            threshold: self.threshold(),
            importances: importances.map(|(name, share)| (name.to_owned(), share)).collect(),
            metrics: self.metrics().iter().map(|(name, value)| (name.clone(), *value)).collect(),
            lineage: self.lineage().clone(),
        }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} trees, {} nodes, depth {}", self.learner, self.trees, self.nodes, self.depth)?;
        writeln!(f, "features     {} (signature {})", self.features, self.signature_hash)?;
        writeln!(f, "calibration  {}, threshold {}", self.calibration, self.threshold)?;
        let lineage = &self.lineage;
        writeln!(
            f,
            "learnt from  {} rows, {} positives (data {})",
            lineage.rows, lineage.positives, lineage.data_hash
        )?;
        for (name, value) in &self.metrics {
            writeln!(f, "  {name:<12} {value:.4}")?;
        }
        for (name, share) in &self.importances {
            writeln!(f, "  {:>5.1} %  {name}", 100.0 * share)?;
        }
        Ok(())
    }
}
