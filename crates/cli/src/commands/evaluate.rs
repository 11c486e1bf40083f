//! `fyke evaluate`: a saved model on a query's rows.

use std::path::PathBuf;
use std::process::ExitCode;

use fyke::detect::Models;
use fyke::detector::evaluate;

use super::columns::Columns;
use crate::drive::batch_runtime;
use crate::script::ScriptArguments;
use crate::terminal::{Failure, ReportFormat};

/// Judge a saved model on the rows of a query: ROC AUC, PR AUC, precision, recall, F1, and the counts.
///
/// The rows should be ones that the model has not learnt from: of a later time, or of other clients.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Evaluate {
    #[command(flatten)]
    script: ScriptArguments,

    #[command(flatten)]
    columns: Columns,

    /// The model: name@version, name@alias, name@latest, or detector@shipped
    #[arg(long, value_name = "NAME@VERSION")]
    model: String,

    /// The folder of models
    #[arg(long, value_name = "FOLDER", default_value = "models")]
    registry: PathBuf,

    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    format: ReportFormat,
}

const EXAMPLES: &str = "\
Examples:
  fyke evaluate features.sql --set LOGS=newer/ --label bot --time first_time --model detector@latest
  fyke evaluate features.sql --label bot --time first_time --model detector@shipped --format json";

impl Evaluate {
    /// From the rows to the numbers.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        let text = self.script.expanded()?;
        let models = Models::with_registry(&self.registry);
        let context = fyke::context();
        let columns = self.columns.roles();
        let judged = evaluate(&context, &text.content, &models, &self.model, &columns);
        let report = batch_runtime()?.block_on(judged).map_err(|error| text.failure(error))?;
        self.format.print(&report)?;
        Ok(ExitCode::SUCCESS)
    }
}
