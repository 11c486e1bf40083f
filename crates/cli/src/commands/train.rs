//! `fyke train`: a model from a query's rows.

use std::path::PathBuf;
use std::process::ExitCode;

use fyke::Result;
use fyke::detector::{TrainSettings, train};
use fyke::learn::{Params, Registry};
use fyke::types::Settings;

use super::columns::Columns;
use crate::drive::batch_runtime;
use crate::script::{ScriptArguments, name_and_value};
use crate::terminal::{Failure, ReportFormat};

/// Train a model on the rows of a query, judge it on the later part of them, and save it.
///
/// The script defines tables and views and ends with one SELECT: its columns are the features, the label, and what the
/// options name.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Train {
    #[command(flatten)]
    script: ScriptArguments,

    #[command(flatten)]
    columns: Columns,

    /// The name that it is saved under, as the next version
    #[arg(long, value_name = "NAME")]
    name: String,

    /// The folder of models
    #[arg(long, value_name = "FOLDER", default_value = "models")]
    registry: PathBuf,

    /// The share of rows, the earliest, that are learnt from; the later ones judge
    #[arg(long, value_name = "SHARE", default_value_t = 0.7)]
    train_share: f64,

    /// The score (0 to 100) from which a row is called positive
    #[arg(long, value_name = "SCORE", default_value_t = 50.0)]
    threshold: f64,

    /// Which learner [default: the first one, gradient boosting]
    #[arg(long, value_name = "LEARNER")]
    learner: Option<String>,

    /// How it learns: rounds, depth, learning_rate, subsample, balanced, seed, … May be given several times
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = name_and_value)]
    params: Vec<(String, String)>,

    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    format: ReportFormat,
}

const EXAMPLES: &str = "\
Examples:
  fyke train features.sql --set LOGS=logs/ --label bot --time first_time --group client_ip --name detector
  fyke train features.sql --label class --positive scraper --positive scanner --time w --name detector --param depth=4

It is then applied by predict('detector@1', feature, …) or predict('detector@latest', …), with the same --registry.";

impl Train {
    /// From the rows to the version.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        let text = self.script.expanded()?;
        let settings = self.settings()?;
        let registry = Registry::open(&self.registry)?;
        let context = fyke::context();
        let trained = batch_runtime()?.block_on(train(&context, &text.content, &settings, &registry));
        let report = trained.map_err(|error| text.failure(error))?;
        self.format.print(&report)?;
        Ok(ExitCode::SUCCESS)
    }

    fn settings(&self) -> Result<TrainSettings> {
        let mut settings = TrainSettings::new(&self.name, self.columns.label());
        settings.columns = self.columns.roles();
        settings.train_share = self.train_share;
        settings.threshold = self.threshold;
        settings.learner = self.learner.clone().unwrap_or(settings.learner);
        let mut params = Settings::new("--param", self.params.iter().cloned().collect());
        settings.params = Params::from_settings(&mut params)?;
        params.finish()?;
        Ok(settings)
    }
}
