//! `predict('name@version', f1, …, fn)` and `predict_against('name@version', f1, …, fn, b1, …, bn)`: a model's verdict
//! as a struct of `score` (0 to 100), `label` ('bot' or 'human' by the model's threshold), `version` and `reasons`.
//!
//! The model is found while the query is planned, and stays the same while it runs; features are checked by number and
//! type against its signature. The b are the customer's averages that reasons compare with; without them people's
//! averages serve.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, ListBuilder, StringArray, StringBuilder, StructArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use fyke_learn::FeatureKind;
use fyke_types::Error;

use crate::models::{Detector, Models};
use crate::reasons::REASONS_FROM_SCORE;

/// Both functions over these models.
pub(crate) fn functions(models: &Models) -> [ScalarUDF; 2] {
    [false, true].map(|against| {
        ScalarUDF::new_from_impl(Predict {
            models: models.clone(),
            against,
            pinned: None,
            signature: Signature::user_defined(Volatility::Immutable),
        })
    })
}

struct Predict {
    models: Models,
    against: bool,
    /// The model, once the query is planned.
    pinned: Option<Arc<Detector>>,
    signature: Signature,
}

impl fmt::Debug for Predict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Predict {
    fn eq(&self, other: &Self) -> bool {
        self.against == other.against && self.pinned.as_ref().map(Arc::as_ptr) == other.pinned.as_ref().map(Arc::as_ptr)
    }
}

impl Eq for Predict {}

impl Hash for Predict {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The model's name.
fn constant(name: &ColumnarValue) -> Result<String> {
    match name {
        ColumnarValue::Scalar(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name))) => Ok(name.clone()),
        _ => Err(external(Error::usage("the model's name is no constant text"))),
    }
}

fn result_fields() -> Fields {
    let reason = Field::new_list_field(DataType::Utf8, true);
    Fields::from(vec![
        Field::new("score", DataType::Float64, true),
        Field::new("label", DataType::Utf8, true),
        Field::new("version", DataType::Utf8, true),
        Field::new("reasons", DataType::List(Arc::new(reason)), true),
    ])
}

impl ScalarUDFImpl for Predict {
    fn name(&self) -> &str {
        if self.against { "predict_against" } else { "predict" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        if given.is_empty() {
            return Err(external(self.usage("no model is named".to_owned())));
        }
        let plain = |given: &DataType| match given {
            DataType::Null => DataType::Float64,
            DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
            other => other.clone(),
        };
        Ok(given.iter().map(plain).collect())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(result_fields()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let name = match args.scalar_arguments.first() {
            Some(Some(ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)))) => name,
            _ => return Err(external(self.usage("the model's name is no constant text".to_owned()))),
        };
        let detector = self.models.resolve(name).map_err(external)?;
        let types: Vec<&DataType> = args.arg_fields.iter().skip(1).map(|field| field.data_type()).collect();
        self.check(name, &detector, &types).map_err(external)?;
        Ok(Arc::new(Field::new(self.name(), DataType::Struct(result_fields()), true)))
    }

    /// Puts the model that the name means now into the plan.
    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let name = match (&self.pinned, args.first()) {
            (None, Some(Expr::Literal(name, _))) => constant(&ColumnarValue::Scalar(name.clone()))?,
            _ => return Ok(ExprSimplifyResult::Original(args)),
        };
        let pinned = Self {
            models: self.models.clone(),
            against: self.against,
            pinned: Some(self.models.resolve(&name).map_err(external)?),
            signature: self.signature.clone(),
        };
        Ok(ExprSimplifyResult::Simplified(ScalarUDF::new_from_impl(pinned).call(args)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let Some((name, features)) = args.args.split_first() else {
            return Err(external(self.usage("no model is named".to_owned())));
        };
        let detector = match &self.pinned {
            Some(detector) => Arc::clone(detector),
            None => self.models.resolve(&constant(name)?).map_err(external)?,
        };
        let columns: Vec<ArrayRef> = features.iter().map(|column| column.to_array(rows)).collect::<Result<_>>()?;
        let width = detector.model.signature().width();
        let (features, baselines) = columns.split_at(width.min(columns.len()));
        Ok(ColumnarValue::Array(Arc::new(verdicts(&detector, features, baselines)?)))
    }
}

impl Predict {
    fn usage(&self, what: String) -> Error {
        let averages = if self.against { ", averages…" } else { "" };
        Error::usage(format!("{}: {what}", self.name()))
            .hint(format!("{}('name@version', features…{averages})", self.name()))
    }

    /// Whether number and types fit the model's signature.
    fn check(&self, name: &str, detector: &Detector, types: &[&DataType]) -> Result<(), Error> {
        let features = detector.model.signature().features();
        let names = || features.iter().map(|feature| feature.name.as_str()).collect::<Vec<_>>().join(", ");
        let wanted = if self.against { 2 * features.len() } else { features.len() };
        if types.len() != wanted {
            let missing = features.get(types.len()).map(|feature| format!(": '{}' is missing", feature.name));
            let averages = if self.against { " and as many averages" } else { "" };
            return Err(Error::usage(format!(
                "model '{name}' takes {} features{averages}, {} got {} arguments{}",
                features.len(),
                self.name(),
                types.len(),
                missing.unwrap_or_default()
            ))
            .hint(format!("in this order: {}", names())));
        }
        for (feature, given) in features.iter().zip(types) {
            if FeatureKind::of(given) != Some(feature.kind) {
                let expected = match feature.kind {
                    FeatureKind::Number => "a number",
                    FeatureKind::Category => "a text",
                };
                return Err(Error::usage(format!(
                    "feature '{}' of model '{name}' is {expected}, got {given}",
                    feature.name
                ))
                .hint(format!("in this order: {}", names())));
            }
        }
        Ok(())
    }
}

fn verdicts(detector: &Detector, features: &[ArrayRef], baselines: &[ArrayRef]) -> Result<StructArray> {
    let rows = detector.model.encode_columns(features).map_err(external)?;
    let scores = detector.model.scores(&rows);
    let averages = numbers(baselines)?;
    let mut reasons = ListBuilder::new(StringBuilder::new());
    for (place, (row, score)) in rows.iter().zip(&scores).enumerate() {
        if *score >= REASONS_FROM_SCORE {
            let customer: Vec<f64> = averages.iter().map(|column| value(column.as_ref(), place)).collect();
            for cited in detector.cite(row, &customer) {
                reasons.values().append_value(cited.text);
            }
        }
        reasons.append(true);
    }
    let threshold = detector.model.threshold();
    let labels = scores.iter().map(|score| Some(if *score >= threshold { "bot" } else { "human" }));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from_iter_values(scores.iter().copied())),
        Arc::new(labels.collect::<StringArray>()),
        Arc::new(StringArray::from_iter_values(scores.iter().map(|_| detector.version.as_str()))),
        Arc::new(reasons.finish()),
    ];
    Ok(StructArray::try_new(result_fields(), columns, None)?)
}

/// Averages as doubles; none for a category, which has no average.
fn numbers(columns: &[ArrayRef]) -> Result<Vec<Option<Float64Array>>> {
    let number = |column: &ArrayRef| match FeatureKind::of(column.data_type()) {
        Some(FeatureKind::Number) => Ok(Some(cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().clone())),
        _ => Ok(None),
    };
    columns.iter().map(number).collect()
}

fn value(column: Option<&Float64Array>, row: usize) -> f64 {
    column.filter(|column| column.is_valid(row)).map_or(f64::NAN, |column| column.value(row))
}
