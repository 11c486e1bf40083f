//! The `MLmodel` file that lets MLflow load, upload and serve a model folder: YAML with an XGBoost flavour and ours.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::util::display::array_value_to_string;
use fyke_types::{Micros, Result};
use serde_json::json;

use crate::hash::hash_bytes;
use crate::model::Model;
use crate::signature::FeatureKind;

/// What Python needs to load the folder.
pub(crate) const REQUIREMENTS: &str = "mlflow\nxgboost>=3\n";

/// The file's text. `card` is the model's card, of which the identifier is made.
pub(crate) fn mlmodel(name: &str, version: u64, model: &Model, card: &[u8]) -> Result<String> {
    let uuid = hash_bytes(card).hex() + &hash_bytes(name.as_bytes()).hex();
    let inputs: Vec<_> =
        model.signature().features().iter().map(|feature| input(&feature.name, feature.kind)).collect();
    let outputs = json!([{ "type": "double", "name": "probability", "required": true }]);
    let mut text = String::new();
    // writing to a string does not fail
    let _ = write!(
        text,
        "artifact_path: model
flavors:
  fyke:
    card: fyke.json
    data: model.ubj
    fyke_version: {tool}
    name: {name}
    version: '{version}'
  python_function:
    data: model.ubj
    loader_module: mlflow.xgboost
  xgboost:
    code: null
    data: model.ubj
    model_class: xgboost.core.Booster
    model_format: ubj
    xgb_version: 3.0.0
mlflow_version: 3.17.0
model_uuid: {uuid}
signature:
  inputs: {inputs}
  outputs: {outputs}
  params: null
",
        tool = env!("CARGO_PKG_VERSION"),
        inputs = quoted(&json!(inputs).to_string()),
        outputs = quoted(&outputs.to_string()),
    );
    if let Some(created) = model.lineage().created_at {
        let _ = writeln!(text, "utc_time_created: '{}'", utc(created)?);
    }
    Ok(text)
}

/// A column as MLflow names it; categories are given as their codes, since XGBoost keeps no dictionary.
fn input(name: &str, kind: FeatureKind) -> serde_json::Value {
    let data_type = match kind {
        FeatureKind::Number => "double",
        FeatureKind::Category => "long",
    };
    json!({ "type": data_type, "name": name, "required": false })
}

/// A YAML scalar in single quotes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `2026-01-02 03:04:05.000006`.
fn utc(time: Micros) -> Result<String> {
    let time: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![time]));
    Ok(array_value_to_string(&time, 0)?.replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_texts_are_quoted() {
        assert_eq!(utc(1_767_323_045_000_006).unwrap(), "2026-01-02 03:04:05.000006");
        assert_eq!(quoted("it's"), "'it''s'");
    }
}
