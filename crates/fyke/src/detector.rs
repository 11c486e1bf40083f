//! The reference detector put to work: a script over a log, training on a query, evaluation of a model.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use fyke_detect::{FEATURES, TYPICAL, VERDICTS, fill};
use fyke_learn::{Evaluation, FeatureTable, Model, Params, Registry, TableColumns, learner, time_split};
use fyke_query::Context;
use fyke_types::{Error, Result};
use serde::Serialize;

/// The detector as one SQL text over a log: the table `requests`, the views of features and verdicts.
///
/// `options` go to the table, but for those named as a setting of the detector ([`fyke_detect::SETTINGS`]). Event time
/// and customer are the canonical columns unless `options` says otherwise. End it with a query, such as
/// `SELECT * FROM minute_verdicts`.
///
/// # Errors
/// `Usage` for a detector's setting that does not fit.
pub fn detector_script(location: &str, format: &str, options: &BTreeMap<String, String>) -> Result<String> {
    let names: BTreeSet<&str> = fyke_detect::SETTINGS.iter().map(|setting| setting.name).collect();
    let (settings, mut table): (BTreeMap<String, String>, BTreeMap<String, String>) =
        options.clone().into_iter().partition(|(name, _)| names.contains(name.as_str()));
    for column in ["event_time", "customer"] {
        let canonical = if column == "event_time" { "time" } else { column };
        table.entry(column.to_owned()).or_insert_with(|| canonical.to_owned());
    }
    let pairs: Vec<String> = table.iter().map(|(name, value)| format!("{} {}", quoted(name), quoted(value))).collect();
    if format.is_empty() || !format.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(Error::usage(format!("'{format}' is no format")).hint("such as combined, nginx or requests"));
    }
    let create = format!(
        "CREATE UNBOUNDED EXTERNAL TABLE requests STORED AS {} LOCATION {}\n  OPTIONS ({});\n\n",
        format.to_uppercase(),
        quoted(location),
        pairs.join(", ")
    );
    Ok(create + &fill(FEATURES, &settings)? + "\n" + &fill(VERDICTS, &settings)?)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// How a model is trained.
#[derive(Debug, Clone)]
pub struct TrainSettings {
    /// The name that the model is saved under.
    pub name: String,
    /// What each column of the query is: label, time, groups, features.
    pub columns: TableColumns,
    /// The share of rows, the earliest, that are learnt from; the later ones judge. Default 0.7.
    pub train_share: f64,
    /// `gradient_boosting` is the first learner, and the default.
    pub learner: String,
    /// How it learns.
    pub params: Params,
    /// The score from which a row is called positive (default 50).
    pub threshold: f64,
}

impl TrainSettings {
    /// Defaults for a model of this name and a label of this column.
    pub fn new(name: impl Into<String>, label: impl Into<String>) -> Self {
        let columns = TableColumns { time: Some("time".to_owned()), ..TableColumns::new(label) };
        let learner = fyke_learn::LEARNERS.first().map_or("", |learner| learner.name()).to_owned();
        Self { name: name.into(), columns, train_share: 0.7, learner, params: Params::default(), threshold: 50.0 }
    }
}

/// What a training gave.
#[derive(Debug, Clone, Serialize)]
pub struct TrainReport {
    /// Such as `detector@3`.
    pub version: String,
    /// Rows that were learnt from.
    pub train_rows: usize,
    /// Rows that judged: all later than those.
    pub test_rows: usize,
    /// Rows left out, so that no group stands on both sides.
    pub dropped: usize,
    /// What the later rows say.
    pub evaluation: Evaluation,
    /// The features by their share of the trees' gain.
    pub importances: Vec<(String, f64)>,
}

/// What an evaluation gave.
#[derive(Debug, Clone, Serialize)]
pub struct EvaluateReport {
    /// The model, such as `detector@3`.
    pub version: String,
    /// What the rows say.
    pub evaluation: Evaluation,
}

/// Trains a model on a query's rows (executed as batch), judges it on the later part, and saves it with its lineage.
///
/// # Errors
/// Planning errors of the query, `Data` for labels or features that can't be learnt from, and the registry's.
pub async fn train(context: &Context, sql: &str, settings: &TrainSettings, registry: &Registry) -> Result<TrainReport> {
    let batches = context.sql(sql).await?.collect().await?;
    // a query's rows come in any order, but the same rows shall give the same model
    let table = FeatureTable::from_batches(&batches, &settings.columns)?.ordered();
    let split = time_split(&table, settings.train_share)?;
    let mut model = fit(&split.train, settings)?;
    let evaluation = fyke_learn::evaluate(&model, &split.test)?;
    let mut metrics = model.metrics().clone();
    metrics.extend(evaluation.metrics());
    model.set_metrics(metrics);
    model.stamp(context.clock().as_ref(), Some(sql));
    let version = registry.save(&settings.name, &model)?;
    Ok(TrainReport {
        version: format!("{}@{version}", settings.name),
        train_rows: split.train.len(),
        test_rows: split.test.len(),
        dropped: split.dropped,
        evaluation,
        importances: model.importances().into_iter().map(|(name, share)| (name.to_owned(), share)).collect(),
    })
}

/// A model fitted on all of a table, with its threshold, and with what is typical for the negatives among its metrics.
///
/// # Errors
/// `Usage` for settings out of range, `Data` for a table with one class alone.
pub fn fit(table: &FeatureTable, settings: &TrainSettings) -> Result<Model> {
    let mut model = learner(&settings.learner)?.fit(table, &settings.params)?;
    model.set_threshold(settings.threshold)?;
    let negatives: Vec<usize> = (0..table.len()).filter(|row| table.labels().get(*row) == Some(&false)).collect();
    let averages = table.select(&negatives).averages();
    let names = table.signature().features().iter().map(|feature| format!("{TYPICAL}{}", feature.name));
    model.set_metrics(names.zip(averages).collect());
    Ok(model)
}

/// Judges a model on a query's rows, executed as batch.
///
/// # Errors
/// Planning errors of the query, and `Data` for rows that do not fit the model.
pub async fn evaluate(
    context: &Context,
    sql: &str,
    models: &fyke_detect::Models,
    reference: &str,
    columns: &TableColumns,
) -> Result<EvaluateReport> {
    let detector = models.resolve(reference)?;
    let batches = context.sql(sql).await?.collect().await?;
    let table = FeatureTable::with_encoder(detector.model.encoder().clone(), &batches, columns)?;
    let evaluation = fyke_learn::evaluate(&detector.model, &table)?;
    Ok(EvaluateReport { version: detector.version.clone(), evaluation })
}

impl fmt::Display for TrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: learnt from {} rows, judged on {} later ones", self.version, self.train_rows, self.test_rows)?;
        if self.dropped > 0 {
            writeln!(f, "{} rows were left out: their group stands in the earlier part", self.dropped)?;
        }
        write_evaluation(f, &self.evaluation)?;
        for (name, share) in self.importances.iter().take(10) {
            writeln!(f, "  {:>5.1} %  {name}", 100.0 * share)?;
        }
        Ok(())
    }
}

impl fmt::Display for EvaluateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} judged on {} rows", self.version, self.evaluation.rows)?;
        write_evaluation(f, &self.evaluation)
    }
}

fn write_evaluation(f: &mut fmt::Formatter<'_>, evaluation: &Evaluation) -> fmt::Result {
    let named = [
        ("ROC AUC", evaluation.roc_auc),
        ("PR AUC", evaluation.pr_auc),
        ("precision", evaluation.precision),
        ("recall", evaluation.recall),
        ("F1", evaluation.f1),
    ];
    for (name, value) in named {
        match value {
            Some(value) => writeln!(f, "  {name:<10} {value:.4}")?,
            None => writeln!(f, "  {name:<10} not defined: one class alone")?,
        }
    }
    let counts = &evaluation.confusion;
    writeln!(f, "  at score {:.0}:  called bot  called human", evaluation.threshold)?;
    writeln!(f, "    bots        {:>10}  {:>12}", counts.true_positives, counts.false_negatives)?;
    writeln!(f, "    others      {:>10}  {:>12}", counts.false_positives, counts.true_negatives)
}
