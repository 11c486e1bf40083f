//! `fyke checkpoints`: what a run has kept.

use std::process::ExitCode;

use fyke::checkpoint::{Keeper, Manifest, store_at};
use fyke::connect::time_to_text;
use fyke::{Error, Result, SinkMode};

use crate::drive::batch_runtime;
use crate::terminal::{Failure, ReportFormat, Table, count, out, plural, say};

/// List the checkpoints of a run, look into one, or export its state.
///
/// The state itself is a table: SELECT * FROM state('PLACE').
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Checkpoints {
    /// The folder or s3://bucket/prefix that was given as --checkpoint
    #[arg(value_name = "PLACE")]
    place: String,

    /// Look into this one: sources, operators, sinks
    #[arg(long, value_name = "NUMBER")]
    show: Option<u64>,

    /// Look into the newest one
    #[arg(long, conflicts_with = "show")]
    last: bool,

    /// Write the state of the newest one (or of --show) as a table: to a .parquet, .json or .csv
    #[arg(long, value_name = "FILE")]
    export: Option<String>,

    /// Export only operators whose description holds this text
    #[arg(long, value_name = "TEXT", requires = "export")]
    operator: Option<String>,

    /// Replace an export that is there already
    #[arg(long, requires = "export")]
    overwrite: bool,

    /// How it is printed; json is the manifest itself
    #[arg(long, value_enum, default_value_t)]
    format: ReportFormat,
}

const EXAMPLES: &str = "\
Examples:
  fyke checkpoints state/
  fyke checkpoints state/ --last
  fyke checkpoints s3://bucket/run --export state.parquet --operator SessionAggregate
  fyke batch -e \"SELECT operator, customer, count(*) FROM state('state/') GROUP BY operator, customer\"";

impl Checkpoints {
    /// Prints what is there.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        let store = store_at(&self.place)?;
        let numbers = Keeper::numbers(store.as_ref())?;
        let Some(newest) = numbers.last() else {
            return Err(Error::usage(format!("{} holds no checkpoint", self.place))
                .hint("give what fyke run was given as --checkpoint")
                .into());
        };
        if let Some(file) = &self.export {
            let rows = self.export(self.show.unwrap_or(*newest), file)?;
            say(format!("{file}: {}", plural(rows, "row")));
            return Ok(ExitCode::SUCCESS);
        }
        match self.show.or(self.last.then_some(*newest)) {
            Some(number) => {
                let manifest = Keeper::load(store.as_ref(), number)?;
                match self.format {
                    ReportFormat::Json => out(String::from_utf8_lossy(&manifest.to_bytes()?))?,
                    ReportFormat::Text => show(&manifest).into_iter().try_for_each(out)?,
                }
            }
            None => {
                let manifests =
                    numbers.iter().map(|number| Keeper::load(store.as_ref(), *number)).collect::<Result<Vec<_>>>()?;
                match self.format {
                    ReportFormat::Json => {
                        for manifest in &manifests {
                            out(String::from_utf8_lossy(&manifest.to_bytes()?))?;
                        }
                    }
                    ReportFormat::Text => out(list(&manifests))?,
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Writes the state of checkpoint `number` to a file; how many rows it has.
    fn export(&self, number: u64, file: &str) -> Result<u64> {
        let quoted = |text: &str| text.replace('\'', "''");
        let operator = self.operator.as_deref().map(quoted).unwrap_or_default();
        let query = format!(
            "SELECT * FROM state('{}', {number}) WHERE strpos(operator, '{operator}') > 0",
            quoted(&self.place)
        );
        let mode = if self.overwrite { SinkMode::Overwrite } else { SinkMode::Append };
        batch_runtime()?.block_on(async {
            let rows = fyke::context().sql(&query).await?;
            rows.write().mode(mode).save(file).await
        })
    }
}

fn list(manifests: &[Manifest]) -> String {
    let columns = [
        ("checkpoint", true),
        ("process", true),
        ("written at", false),
        ("epochs", true),
        ("read", true),
        ("pieces", true),
        ("bytes", true),
        ("", false),
    ];
    let row = |manifest: &Manifest| {
        let read: u64 = manifest.sources.iter().map(|source| source.progress.read).sum();
        let pieces: usize = manifest.operators.iter().map(|operator| operator.pieces.len()).sum();
        let segments = manifest.operators.iter().flat_map(|operator| &operator.segments);
        vec![
            manifest.number.to_string(),
            manifest.generation.to_string(),
            time_to_text(manifest.written_at),
            count(manifest.epochs),
            count(read),
            count(pieces as u64),
            count(segments.map(|segment| segment.bytes).sum()),
            if manifest.complete { "complete" } else { "" }.to_owned(),
        ]
    };
    Table::new(columns).rows(&manifests.iter().map(row).collect::<Vec<_>>())
}

fn show(manifest: &Manifest) -> Vec<String> {
    let Manifest { number, run, generation, written_by, .. } = manifest;
    let mut lines = vec![format!(
        "checkpoint {number} of run {run}, written by its process {generation} ({written_by}) at {}",
        time_to_text(manifest.written_at)
    )];
    if manifest.complete {
        lines.push("the run is complete: every window has closed".to_owned());
    }
    for source in &manifest.sources {
        let progress = &source.progress;
        let mark = progress.watermark.map_or("none".to_owned(), time_to_text);
        lines.push(format!(
            "source {}: read {} = used {} + late {} + dead {}, watermark {mark}",
            source.name, progress.read, progress.used, progress.late, progress.dead
        ));
    }
    for operator in &manifest.operators {
        let bytes: u64 = operator.segments.iter().map(|segment| segment.bytes).sum();
        let pieces = count(operator.pieces.len() as u64);
        lines.push(format!("operator {}: {pieces} pieces, {} bytes", operator.describe, count(bytes)));
    }
    let sinks = manifest.sinks.iter();
    lines.extend(sinks.map(|sink| format!("sink {}: {} rows", sink.name, count(sink.rows))));
    lines
}
