//! `fyke batch`: the same script over stored logs, executed as batch.

use std::process::ExitCode;
use std::time::Instant;

use fyke::arrow::datatypes::SchemaRef;
use fyke::{BatchReport, Error, Result};

use super::run::Output;
use crate::drive::{batch_runtime, refusals};
use crate::script::ScriptArguments;
use crate::terminal::{Failure, duration, out, plural, say};

/// Run a script as batch: the same rows as `run --once`, by another execution.
///
/// At the end it says for each source: read = used + dead (nothing is late in batch).
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Batch {
    #[command(flatten)]
    script: ScriptArguments,

    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  fyke batch sessions.sql --set LOGS='logs/*.json' --set OUT=sessions.parquet
  fyke batch job.sql --set LOGS=logs/ --format csv > rows.csv";

impl Batch {
    /// From the script to the counters.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        let started = Instant::now();
        let (script, text) = self.script.load()?;
        let context = self.output.context();
        let select = |schema: &SchemaRef| self.output.printer(schema);
        let mut plans = Vec::new();
        let mut explain = |plan: String| plans.push(plan);
        let run = context.batch_script(&script, self.output.mode(), &select, &mut explain);
        let report = batch_runtime()?.block_on(run).map_err(|error| text.failure(error))?;
        plans.iter().try_for_each(out)?;
        if !self.output.quiet() {
            for line in lines(&report)? {
                say(line);
            }
            say(format!("done in {}", duration(started.elapsed())));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn lines(report: &BatchReport) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (name, read, dead) in &report.sources {
        let Some(used) = read.checked_sub(*dead) else {
            return Err(Error::internal(format!("'{name}' has more dead letters than records")));
        };
        lines.push(format!("{name}: read {read} = used {used} + late 0 + dead {dead}"));
    }
    lines.extend(report.sinks.iter().map(|(name, rows)| format!("{name}: {}", plural(*rows, "row"))));
    lines.extend(report.refused.iter().map(|(name, rows, last)| refusals(name, *rows, last)));
    Ok(lines)
}
