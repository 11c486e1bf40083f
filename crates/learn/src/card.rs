//! A model's card: all that is known of it besides its trees. Text that people and other programs can read.

use std::collections::BTreeMap;
use std::sync::Arc;

use fyke_types::{Error, Micros, Result};
use serde::{Deserialize, Serialize};

use crate::calibrate::Calibration;
use crate::encode::Encoder;
use crate::features::FeatureTable;
use crate::hash::hash_bytes;
use crate::model::Model;
use crate::params::Params;
use crate::signature::Signature;
use crate::trees::Forest;

/// The card's form. Raised when an older reader would misread a newer card.
pub(crate) const FORMAT: u32 = 1;

/// Where a model comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lineage {
    /// 16 hexadecimal digits over the table that was learnt from.
    pub data_hash: String,
    /// Its rows.
    pub rows: u64,
    /// Its positives.
    pub positives: u64,
    /// Its first and last event time.
    pub time_range: Option<(Micros, Micros)>,
    /// When it was made, by the caller's clock.
    pub created_at: Option<Micros>,
    /// The version of this library that made it.
    pub tool_version: String,
    /// 16 hexadecimal digits over the text of the query that made the table.
    pub sql_hash: Option<String>,
}

impl Lineage {
    /// What a table tells; time and query are the caller's to add.
    pub fn of(table: &FeatureTable) -> Self {
        Self {
            data_hash: table.data_hash(),
            rows: table.len() as u64,
            positives: table.positives() as u64,
            time_range: table.time_range(),
            created_at: None,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            sql_hash: None,
        }
    }

    /// The hash of a query's text, as lineage keeps it.
    pub fn hash_of_sql(text: &str) -> String {
        hash_bytes(text.as_bytes()).hex()
    }
}

/// The card as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Card {
    format: u32,
    learner: String,
    signature_hash: String,
    features: Signature,
    categories: BTreeMap<String, Vec<String>>,
    base_margin: f32,
    calibration: Calibration,
    threshold: f64,
    params: Params,
    metrics: BTreeMap<String, f64>,
    lineage: Lineage,
    /// The hash of the file that holds the trees, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trees_hash: Option<String>,
}

impl Card {
    pub fn of(model: &Model) -> Self {
        Self {
            format: FORMAT,
            learner: model.learner().to_owned(),
            signature_hash: model.signature().hash(),
            features: model.signature().clone(),
            categories: model.encoder().dictionaries(),
            base_margin: model.forest().base(),
            calibration: model.calibration().clone(),
            threshold: model.threshold(),
            params: model.params().clone(),
            metrics: model.metrics().clone(),
            lineage: model.lineage().clone(),
            trees_hash: None,
        }
    }

    /// Reads a card; the form is looked at first, so that a newer one is named as such.
    pub fn read(text: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let unreadable = |error: serde_json::Error| Error::data("the model's card can't be read").detail(error);
        let form: Form = serde_json::from_slice(text).map_err(unreadable)?;
        if form.format != FORMAT {
            return Err(Error::data(format!("the model's card has form {}, this version reads {FORMAT}", form.format))
                .hint("update, or train again"));
        }
        serde_json::from_slice(text).map_err(unreadable)
    }

    pub fn write(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
            .map_err(|error| Error::internal("the model's card can't be written").detail(error))
    }

    pub fn width(&self) -> usize {
        self.features.width()
    }

    pub fn base_margin(&self) -> f32 {
        self.base_margin
    }

    /// The model of this card and its trees, everything checked.
    pub fn into_model(self, forest: Forest) -> Result<Model> {
        if self.features.hash() != self.signature_hash {
            return Err(Error::data("the model's features do not have the hash that its card names"));
        }
        self.calibration.check()?;
        let encoder = Arc::new(Encoder::new(self.features, self.categories)?);
        let mut model = Model::new(&self.learner, encoder, forest, self.calibration, self.params)?;
        model.set_threshold(self.threshold)?;
        model.set_metrics(self.metrics);
        model.set_lineage(self.lineage);
        Ok(model)
    }
}
