//! The chained job through a real Kafka: how fast a backlog is read, and how soon a result follows the record that
//! completes its window. `benches/chain` has the query; peers' figures are measured in the same way.

mod early;
mod latency;
mod topics;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use fyke_simulate::{ChainSettings, ChainStats, write_chain_with};
use fyke_testbed::Kafka;

use crate::process::{fyke, output, python, root, target, timed};
use topics::{Drained, TOPICS, drain, produce, save};

/// What is measured, and how often.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Records of the backlog.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Runs of each, in turn; one more warms up and is checked.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds of each run at 5,000 records a second; 0: none.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Factors on the number of clients.
    #[arg(long, value_delimiter = ',', default_values_t = [1.0, 4.0])]
    clients: Vec<f64>,
}

/// Everything, against one broker that is started for it.
pub fn run(settings: &Settings) -> Result<()> {
    let kafka = Kafka::start()?;
    if settings.runs > 0 {
        throughput(&kafka, settings)?;
    }
    if settings.seconds > 0 {
        latency::measure(&kafka, settings)?;
    }
    Ok(())
}

/// The logs of a chain, made once.
fn logs(records: u64, clients: f64) -> Result<(PathBuf, ChainStats)> {
    let folder = target().join(format!("bench-kafka/logs-{records}-{clients}"));
    let settings = ChainSettings { seed: 1, lines: records, clients, ..ChainSettings::default() };
    let stats = write_chain_with(&folder, &settings)?;
    Ok((folder, stats))
}

/// `fyke run` with a script of `benches/kafka`.
fn fyke_run(binary: &Path, kafka: &Kafka, script: &str, out: &str) -> Command {
    let mut command = Command::new(binary);
    command.current_dir(root()).args(["run", "--overwrite"]).arg(format!("benches/kafka/{script}"));
    command.arg("--set").arg(format!("BROKERS={}", kafka.bootstrap())).arg("--set").arg(format!("OUT={out}"));
    command
}

/// Drains the topics in a process of its own, as the peer does.
pub fn drain_command(brokers: &str) -> Result<()> {
    let Drained { records, bytes } = drain(brokers)?;
    println!("{records} {bytes}");
    Ok(())
}

fn throughput(kafka: &Kafka, settings: &Settings) -> Result<()> {
    let (binary, python, records) = (fyke()?, python()?, settings.records);
    let folder = target().join("bench-kafka");
    let (logs, stats) = logs(records, 1.0)?;
    for topic in TOPICS {
        kafka.create_topic(topic, 2, &[])?;
    }
    let began = Instant::now();
    produce(kafka, &logs)?;
    println!("{records} records ({} MB) produced in {:.1} s", stats.bytes / 1_000_000, began.elapsed().as_secs_f64());
    let duckdb = folder.join("duckdb.parquet");
    let script = root().join("benches/chain/duckdb_chain.py");
    let pattern = format!("{}/*.json", logs.display());
    output(Command::new(&python).arg(&script).arg("run").arg(&pattern).arg(&duckdb))?;
    let check = |ours: &Path| -> Result<String> {
        let found = output(Command::new(&python).arg(&script).arg("check").arg(ours).arg(&duckdb))?;
        let (rows, differing) = found.trim().split_once(' ').context("an unreadable check")?;
        if differing != "0" || rows.parse::<u64>()? != stats.groups {
            bail!("{differing} of {rows} rows of {} differ from DuckDB's", ours.display());
        }
        Ok(rows.to_owned())
    };
    let myself = std::env::current_exe()?;
    let mut text = format!(
        "# cargo xtask bench kafka --records {records} --runs {}\n\
         # whole processes, in turn; drain: the floor, the same consumer that only counts\n\
         run\tdrain_s\tto_parquet_s\tto_kafka_s\n",
        settings.runs
    );
    let mut times: [Vec<f64>; 3] = Default::default();
    for run in 0..=settings.runs {
        let drain_s = {
            let mut command = Command::new(&myself);
            let began = Instant::now();
            let counted = output(command.args(["bench", "kafka-drain", &kafka.bootstrap()]))?;
            if counted.split(' ').next() != Some(records.to_string().as_str()) {
                bail!("the floor read {counted}");
            }
            began.elapsed().as_secs_f64()
        };
        let (parquet, topic) = (folder.join("out.parquet"), format!("out-{run}"));
        let to_parquet_s = timed(
            fyke_run(&binary, kafka, "to_parquet.sql", &parquet.display().to_string()).args(["--once", "--quiet"]),
        )?;
        kafka.create_topic(&topic, 2, &[])?;
        let to_kafka_s = timed(fyke_run(&binary, kafka, "to_kafka.sql", &topic).args(["--once", "--quiet"]))?;
        if run == 0 {
            // the first of each warms the page cache, and its rows are compared
            let json = folder.join("out.json");
            save(&kafka.bootstrap(), &topic, &json)?;
            writeln!(text, "# {} rows to Parquet and {} to Kafka, 0 differing", check(&parquet)?, check(&json)?)?;
            continue;
        }
        writeln!(text, "{run}\t{drain_s:.3}\t{to_parquet_s:.3}\t{to_kafka_s:.3}")?;
        for (times, time) in times.iter_mut().zip([drain_s, to_parquet_s, to_kafka_s]) {
            times.push(time);
        }
    }
    let [drain_s, parquet_s, kafka_s] = times.map(|times| median(&times));
    writeln!(
        text,
        "# median: drain {drain_s:.3} s, to Parquet {parquet_s:.3} s ({:.2} of the floor's rate), to Kafka {kafka_s:.3} s ({:.2})",
        drain_s / parquet_s,
        drain_s / kafka_s
    )?;
    println!("{text}");
    std::fs::write(root().join("benches/results/kafka.tsv"), text)?;
    Ok(())
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
