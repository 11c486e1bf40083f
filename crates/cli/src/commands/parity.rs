//! `fyke parity`: both executions of a script, compared.

use std::path::PathBuf;
use std::process::ExitCode;

use fyke::detect::{Models, register};
use fyke::{Comparison, ParityReport, Result};

use crate::drive::{batch_runtime, check, cores, late_advice};
use crate::script::ScriptArguments;
use crate::terminal::{Failure, count, exit, out, plural};

/// Run a script both as stream and as batch, write to no output, and compare the rows.
///
/// Exit codes: 0 equal; 1 rows differ; 2 rows were late, so that the two can't be compared (it says which lateness
/// would do).
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Parity {
    #[command(flatten)]
    script: ScriptArguments,

    /// The folder of models that predict() finds beside the shipped one
    #[arg(long, value_name = "FOLDER", default_value = "models")]
    registry: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  fyke parity sessions.sql --set LOGS='logs/*.json' --set OUT=unused.parquet";

impl Parity {
    /// From the script to the verdict on itself.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        let (script, text) = self.script.load()?;
        let context = fyke::context_with(|builder| builder.partitions(cores()));
        register(&context, &Models::with_registry(&self.registry));
        let report = batch_runtime()?.block_on(context.parity_script(&script));
        let report = report.map_err(|error| text.failure(error))?;
        for line in lines(&report) {
            out(line)?;
        }
        check(&report.stream)?;
        Ok(ExitCode::from(code(&report)))
    }
}

fn code(report: &ParityReport) -> u8 {
    match (report.late(), report.is_equal()) {
        (0, true) => 0,
        (0, false) => exit::DIFFERENT,
        _ => exit::LATE,
    }
}

fn lines(report: &ParityReport) -> Vec<String> {
    let mut lines: Vec<String> = report.sinks.iter().flat_map(|(name, found)| of_sink(name, found)).collect();
    for source in report.stream.sources.iter().filter(|source| source.late > 0) {
        let rows = plural(source.late, "row");
        let advice = late_advice(source.late_by_us);
        lines.push(format!("{}: {rows} of {} late: {advice}", source.name, count(source.read)));
    }
    lines
}

fn of_sink(name: &str, found: &Comparison) -> Vec<String> {
    if found.is_equal() {
        return vec![format!("{name}: equal: {}", plural(found.left as u64, "row"))];
    }
    let mut lines = vec![format!(
        "{name}: different: {} of batch's {} and {} of stream's {} have no counterpart, for example",
        count(found.only_left as u64),
        plural(found.left as u64, "row"),
        count(found.only_right as u64),
        plural(found.right as u64, "row"),
    )];
    lines.extend(found.examples.iter().map(|example| {
        let side = if example.starts_with('<') { "batch " } else { "stream" };
        format!("  {side} {}", crate::terminal::printable(example.get(2..).unwrap_or(example)))
    }));
    lines
}

#[cfg(test)]
mod tests {
    use fyke::{Progress, SourceProgress};

    use super::*;

    fn report(late: u64, only_left: usize) -> ParityReport {
        let found =
            Comparison { left: 3, right: 2, only_left, examples: vec!["< a | b []".into()], ..Default::default() };
        let source = SourceProgress { name: "log".into(), read: 9, late, late_by_us: 5_000_000, ..Default::default() };
        let stream = Progress { sources: vec![source], ..Progress::default() };
        ParityReport { sinks: vec![("out".into(), found)], stream, batch: Default::default() }
    }

    #[test]
    fn late_rows_and_differences_have_codes_of_their_own() {
        assert_eq!([code(&report(0, 0)), code(&report(0, 1)), code(&report(1, 1))], [0, 1, 2]);
    }

    #[test]
    fn differences_come_with_examples_and_lateness_with_a_remedy() {
        assert_eq!(lines(&report(0, 0)), ["out: equal: 3 rows"]);
        let lines = lines(&report(1, 1));
        assert!(lines[0].contains("1 of batch's 3 rows") && lines[1].ends_with("a | b []"), "{lines:?}");
        assert!(lines[2].contains("1 row of 9 late") && lines[2].contains("5 seconds"), "{lines:?}");
    }
}
