//! What every learner promises, and what is the same for all: held-back rows, calibration, lineage.
//!
//! A new learner is its own file and one line in [`LEARNERS`].

use std::sync::Arc;

use fyke_types::{Error, Result};

use crate::boost::GradientBoosting;
use crate::calibrate::Calibration;
use crate::card::Lineage;
use crate::features::FeatureTable;
use crate::model::Model;
use crate::params::{CheckedParams, Params};
use crate::split::best_split;
use crate::trees::Forest;

/// All learners by name.
pub const LEARNERS: &[&dyn Learner] = &[&GradientBoosting];

/// The learner of this name.
///
/// # Errors
/// `Usage` naming the known ones.
pub fn learner(name: &str) -> Result<&'static dyn Learner> {
    let known = || LEARNERS.iter().map(|learner| learner.name()).collect::<Vec<_>>().join(", ");
    let found = LEARNERS.iter().copied().find(|learner| learner.name() == name);
    found.ok_or_else(|| Error::usage(format!("there is no learner '{name}'")).hint(format!("known are {}", known())))
}

/// Makes a model of a table. Deterministic: the same table and parameters give the same bytes.
pub trait Learner: std::fmt::Debug + Send + Sync {
    /// The name that users write and that models carry.
    fn name(&self) -> &'static str;

    /// Grows trees on `train`; `validation` is there if parameters ask for early stopping.
    ///
    /// # Errors
    /// `Data` where the table can't be learnt from.
    fn grow(&self, train: &FeatureTable, validation: Option<&FeatureTable>, params: &CheckedParams) -> Result<Forest>;

    /// Fits on a table, a share of which is held back if `params.validation_share` says so: the latest rows where there
    /// are times, else whole groups, else rows at random.
    ///
    /// # Errors
    /// `Usage` for parameters out of range, `Data` for a table with one class alone.
    fn fit(&self, table: &FeatureTable, params: &Params) -> Result<Model> {
        params.check()?;
        check_classes(table, "the table")?;
        if params.validation_share == 0.0 {
            return self.fit_with(table, None, params);
        }
        let split = best_split(table, 1.0 - params.validation_share, params.seed)?;
        let mut model = self.fit_with(&split.train, Some(&split.test), params)?;
        model.set_lineage(Lineage::of(table));
        Ok(model)
    }

    /// Fits on `train`, with a validation part that the caller chose.
    ///
    /// # Errors
    /// As [`Learner::fit`]; `Usage` where the parameters need a validation part and there is none.
    fn fit_with(&self, train: &FeatureTable, validation: Option<&FeatureTable>, params: &Params) -> Result<Model> {
        let checked = params.check()?;
        check_classes(train, "the part to learn from")?;
        check_validation(train, validation, &checked)?;
        let forest = self.grow(train, validation.filter(|_| checked.early_stopping().is_some()), &checked)?;
        let calibration = match validation {
            Some(part) => Calibration::fit(params.calibration, &forest.margins(part.rows()), part.labels())?,
            None => Calibration::None,
        };
        let mut model = Model::new(self.name(), Arc::clone(train.encoder()), forest, calibration, params.clone())?;
        model.set_lineage(Lineage::of(train));
        Ok(model)
    }
}

fn check_validation(train: &FeatureTable, validation: Option<&FeatureTable>, params: &CheckedParams) -> Result<()> {
    match validation {
        _ if !params.needs_validation() => Ok(()),
        None => Err(Error::usage("early stopping and calibration need held-back rows").hint("set validation_share")),
        Some(part) if part.encoder() != train.encoder() => {
            Err(Error::usage("the validation part is encoded otherwise than the part to learn from")
                .hint("split one table, or make the second with the first one's encoder"))
        }
        Some(part) => check_classes(part, "the validation part"),
    }
}

fn check_classes(table: &FeatureTable, what: &str) -> Result<()> {
    let (rows, positives) = (table.len(), table.positives());
    if rows == 0 {
        return Err(Error::data(format!("{what} has no rows")));
    }
    if positives == 0 || positives == rows {
        let class = if positives == 0 { "negative" } else { "positive" };
        return Err(Error::data(format!("all {rows} rows of {what} are {class}: there is nothing to tell apart"))
            .hint("check the label column, its positive texts, and the split"));
    }
    Ok(())
}
