//! How a learner shall learn: settings as data, parsed once into checked values.

use std::num::NonZeroUsize;

use fyke_types::{Error, Result, Settings};
use serde::{Deserialize, Serialize};

use crate::calibrate::CalibrationKind;

/// No more threads than this are ever used: a training must not starve a live stream on the same machine.
pub const THREADS_MAX: usize = 2;

/// How to learn. Each field's text is its reference; unknown names are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// Boosting rounds, one tree each: 1 to 10,000. Default 300.
    pub rounds: usize,
    /// Greatest depth of a tree: 1 to 16. Default 6.
    pub depth: usize,
    /// Share of each tree's correction that is taken: above 0, up to 1. Default 0.1.
    pub learning_rate: f64,
    /// Least sum of hessians (p·(1−p)·weight) in a leaf. Default 1.
    pub min_child_weight: f64,
    /// L2 penalty on leaf values. Default 1.
    pub l2: f64,
    /// Share of the rows that each tree sees: above 0, up to 1. Default 1.
    pub subsample: f64,
    /// Share of the features that each tree sees: above 0, up to 1. Default 1.
    pub column_sample: f64,
    /// Bins that a feature's values are sorted into: 2 to 65,536. Default 256.
    pub bins: usize,
    /// How much more a positive row counts than a negative one. Default 1.
    pub scale_pos_weight: f64,
    /// Let both classes count the same in total (in place of `scale_pos_weight`). Default false.
    pub balanced: bool,
    /// The seed of all chance. Default 0.
    pub seed: u64,
    /// Share of the rows held back for early stopping and calibration (the latest; else whole groups, else at random):
    /// 0 to 0.9. Default 0: none.
    pub validation_share: f64,
    /// Stop after so many rounds without a better log loss on the validation part, and keep the best. Default 0: off.
    pub early_stopping_rounds: usize,
    /// How margins become probabilities: `none` (the logistic function), `platt`, `isotonic`; the latter two are fitted
    /// on the validation part. Default none.
    pub calibration: CalibrationKind,
    /// Training threads, never more than 2. The model does not depend on it. Default 2.
    pub threads: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            rounds: 300,
            depth: 6,
            learning_rate: 0.1,
            min_child_weight: 1.0,
            l2: 1.0,
            subsample: 1.0,
            column_sample: 1.0,
            bins: 256,
            scale_pos_weight: 1.0,
            balanced: false,
            seed: 0,
            validation_share: 0.0,
            early_stopping_rounds: 0,
            calibration: CalibrationKind::None,
            threads: THREADS_MAX,
        }
    }
}

impl Params {
    /// Takes the settings that have a parameter's name; others stay in `settings` for its next reader.
    ///
    /// # Errors
    /// `Usage` where a value can't be read.
    pub fn from_settings(settings: &mut Settings) -> Result<Self> {
        let mut params = Self::default();
        set(&mut params.rounds, settings.number("rounds")?);
        set(&mut params.depth, settings.number("depth")?);
        set(&mut params.learning_rate, settings.number("learning_rate")?);
        set(&mut params.min_child_weight, settings.number("min_child_weight")?);
        set(&mut params.l2, settings.number("l2")?);
        set(&mut params.subsample, settings.number("subsample")?);
        set(&mut params.column_sample, settings.number("column_sample")?);
        set(&mut params.bins, settings.number("bins")?);
        set(&mut params.scale_pos_weight, settings.number("scale_pos_weight")?);
        set(&mut params.balanced, settings.flag("balanced")?);
        set(&mut params.seed, settings.number("seed")?);
        set(&mut params.validation_share, settings.number("validation_share")?);
        set(&mut params.early_stopping_rounds, settings.number("early_stopping_rounds")?);
        set(&mut params.calibration, settings.number("calibration")?);
        set(&mut params.threads, settings.number("threads")?);
        Ok(params)
    }

    /// The checked values.
    ///
    /// # Errors
    /// `Usage` naming the parameter that is out of its range.
    pub fn check(&self) -> Result<CheckedParams> {
        within("rounds", self.rounds as f64, 1.0, 10_000.0)?;
        within("depth", self.depth as f64, 1.0, 16.0)?;
        within("bins", self.bins as f64, 2.0, 65_536.0)?;
        share("learning_rate", self.learning_rate)?;
        share("subsample", self.subsample)?;
        share("column_sample", self.column_sample)?;
        within("min_child_weight", self.min_child_weight, 0.0, 1e30)?;
        within("l2", self.l2, 0.0, 1e30)?;
        within("scale_pos_weight", self.scale_pos_weight, 1e-6, 1e6)?;
        within("validation_share", self.validation_share, 0.0, 0.9)?;
        if self.balanced && self.scale_pos_weight != 1.0 {
            return Err(Error::usage("'balanced' and 'scale_pos_weight' are both set").hint("set one of them"));
        }
        let threads = NonZeroUsize::new(self.threads.min(THREADS_MAX));
        let threads = threads.ok_or_else(|| Error::usage("'threads' is 0").hint("it takes 1 or 2"))?;
        Ok(CheckedParams {
            params: self.clone(),
            threads,
            early_stopping: NonZeroUsize::new(self.early_stopping_rounds),
        })
    }
}

/// Parameters inside their ranges: what a learner gets.
#[derive(Debug, Clone)]
pub struct CheckedParams {
    params: Params,
    threads: NonZeroUsize,
    early_stopping: Option<NonZeroUsize>,
}

impl CheckedParams {
    /// The values.
    pub fn values(&self) -> &Params {
        &self.params
    }

    /// 1 to [`THREADS_MAX`].
    pub fn threads(&self) -> NonZeroUsize {
        self.threads
    }

    /// Rounds of patience, if it is on.
    pub fn early_stopping(&self) -> Option<NonZeroUsize> {
        self.early_stopping
    }

    /// Whether a validation part is needed.
    pub fn needs_validation(&self) -> bool {
        self.early_stopping.is_some() || self.params.calibration != CalibrationKind::None
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn within(name: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(Error::usage(format!("'{name}' is {value}")).hint(format!("it takes {low} to {high}")))
}

fn share(name: &str, value: f64) -> Result<()> {
    if value > 0.0 && value <= 1.0 {
        return Ok(());
    }
    Err(Error::usage(format!("'{name}' is {value}")).hint("it takes a number above 0, up to 1"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn settings_are_taken_and_the_rest_is_left() {
        let texts = [("rounds", "50"), ("balanced", "yes"), ("calibration", "isotonic"), ("label", "bot")];
        let texts: BTreeMap<String, String> = texts.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let mut settings = Settings::new("the training", texts);
        let params = Params::from_settings(&mut settings).unwrap();
        assert_eq!((params.rounds, params.balanced, params.calibration), (50, true, CalibrationKind::Isotonic));
        assert_eq!(settings.text("label").as_deref(), Some("bot"));
        settings.finish().unwrap();
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let base = Params::default;
        for (name, params) in [
            ("rounds", Params { rounds: 0, ..base() }),
            ("depth", Params { depth: 17, ..base() }),
            ("learning_rate", Params { learning_rate: f64::NAN, ..base() }),
            ("subsample", Params { subsample: 0.0, ..base() }),
            ("l2", Params { l2: -1.0, ..base() }),
            ("threads", Params { threads: 0, ..base() }),
            ("balanced", Params { balanced: true, scale_pos_weight: 2.0, ..base() }),
        ] {
            let error = params.check().unwrap_err();
            assert!(error.message().contains(&format!("'{name}'")), "{error}");
        }
        assert_eq!(Params { threads: 64, ..base() }.check().unwrap().threads().get(), THREADS_MAX);
    }

    #[test]
    fn unknown_parameters_are_refused() {
        assert!(serde_json::from_str::<Params>(r#"{"round": 3}"#).is_err());
        assert_eq!(serde_json::from_str::<Params>("{}").unwrap(), Params::default());
    }
}
