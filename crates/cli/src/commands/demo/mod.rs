//! `fyke demo`: the whole job on made-up traffic, from logs to verdicts and how good they are.

mod quality;
mod rate_limit;
mod verdicts;
mod worlds;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use fyke::detect::{Models, register};
use fyke::{Error, Result, SinkMode};

use self::quality::Quality;
use self::worlds::Demo;
use crate::drive::{batch_runtime, check, cores, source_lines};
use crate::terminal::{Failure, duration, out, say};

/// See it work: makes labelled traffic of several customers, trains on it, streams traffic of another seed through the
/// detector, and says how good the verdicts are.
///
/// The traffic has people, offices behind one address, declared crawlers, impostors, scrapers, credential stuffers,
/// scanners, monitors and feed readers. The judged part also has a kind of bot that training never saw. Nothing is read
/// but what it made itself, and it ends by itself.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoCommand {
    /// Of all traffic: the same seed gives the same verdicts
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// A folder for verdicts.parquet; it may not hold one of another run [default: fyke-demo, which is replaced]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// Minutes of traffic, to learn from and to judge
    #[arg(long, value_name = "N", default_value_t = 60)]
    minutes: u32,

    /// Requests a minute, over all customers
    #[arg(long, value_name = "N", default_value_t = 2_500.0)]
    rate: f64,
}

const EXAMPLES: &str = "\
Examples:
  fyke demo
  fyke demo --seed 7 --out /tmp/demo
  fyke batch -e \"CREATE EXTERNAL TABLE v STORED AS PARQUET LOCATION 'fyke-demo/verdicts.parquet';
     SELECT class, count(*) AS visits, avg(score) AS score FROM v GROUP BY class\"";

impl DemoCommand {
    /// Makes, trains, streams, judges.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        let started = Instant::now();
        let folder = tempfile::tempdir().map_err(|error| Error::unavailable("no temporary folder").detail(error))?;
        let out_folder = self.out.clone().unwrap_or_else(|| PathBuf::from("fyke-demo"));
        let mode = if self.out.is_some() { SinkMode::Append } else { SinkMode::Overwrite };
        let demo = Demo::make(folder.path(), self.seed, self.minutes, self.rate)?;
        say(format!("made {} to learn from, and {} to judge", demo.known.describe(), demo.judged.describe()));

        let runtime = batch_runtime()?;
        let registry = folder.path().join("models");
        let trained = runtime.block_on(verdicts::train(&demo, &registry))?;
        say(format!("trained {} on {} rows in {}", trained.version, trained.train_rows, since(started)));

        let context = fyke::context_with(|builder| builder.decode_threads(cores().saturating_sub(1).max(1)));
        register(&context, &Models::with_registry(&registry));
        let streaming = Instant::now();
        let (progress, board) = runtime.block_on(verdicts::stream(&context, &demo, &out_folder, mode))?;
        source_lines(&progress).into_iter().for_each(say);
        say(format!("streamed and judged in {}", since(streaming)));
        check(&progress)?;

        let limit = runtime.block_on(rate_limit::learn(&demo))?;
        verdicts::table(&board)?;
        out(Quality::of(&board, &demo.judged.exported.labels, &limit).to_string().trim_end())?;
        out(format!("verdicts: {}", file_in(&out_folder).display()))?;
        say(format!("the whole demo took {}", since(started)));
        Ok(ExitCode::SUCCESS)
    }
}

fn since(started: Instant) -> String {
    duration(started.elapsed())
}

/// The Parquet file.
fn file_in(folder: &Path) -> PathBuf {
    folder.join("verdicts.parquet")
}
