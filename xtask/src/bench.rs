//! Benches. Raw results go to `benches/results/`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use fyke_simulate::{ChainSettings, write_chain_with};

use crate::process::{fyke, output, python, root, target, timed};

/// The median of times.
fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn run_fyke(binary: &Path, logs: &str, out: &Path) -> Command {
    let mut command = Command::new(binary);
    command.current_dir(root()).args(["run", "--once", "--overwrite", "benches/chain/chain.sql"]);
    command.arg("--set").arg(format!("LOGS={logs}")).arg("--set").arg(format!("OUT={}", out.display()));
    command
}

/// Fyke's whole process against DuckDB's query alone.
pub fn chain(lines: u64, runs: usize) -> Result<()> {
    let (binary, python) = (fyke()?, python()?);
    let folder = target().join("bench-chain");
    std::fs::create_dir_all(&folder)?;
    let logs_folder = folder.join(format!("logs-{lines}"));
    if !logs_folder.exists() {
        let settings = ChainSettings { seed: 1, lines, ..ChainSettings::default() };
        write_chain_with(&logs_folder, &settings)?;
    }
    let logs = format!("{}/*.json", logs_folder.display());
    let (ours, theirs) = (folder.join("fyke.parquet"), folder.join("duckdb.parquet"));
    let script = root().join("benches/chain/duckdb_chain.py");
    let mut text = format!("# cargo xtask bench chain --lines {lines} --runs {runs}\nrun\tfyke_s\tduckdb_s\n");
    let (mut fyke_times, mut duck_times) = (Vec::new(), Vec::new());
    for run in 0..=runs {
        let fyke_s = timed(&mut run_fyke(&binary, &logs, &ours))?;
        let duckdb = output(Command::new(&python).arg(&script).arg("run").arg(&logs).arg(&theirs))?;
        let duckdb_s: f64 = duckdb.trim().parse()?;
        if run == 0 {
            // the first of each warms the page cache, and its rows are compared
            let found = output(Command::new(&python).arg(&script).arg("check").arg(&ours).arg(&theirs))?;
            let Some((rows, differing)) = found.trim().split_once(' ') else { bail!("unreadable check: {found}") };
            writeln!(text, "# {rows} rows, {differing} differing")?;
            if differing != "0" {
                bail!("{differing} of {rows} rows differ from DuckDB's");
            }
            continue;
        }
        writeln!(text, "{run}\t{fyke_s:.4}\t{duckdb_s:.4}")?;
        fyke_times.push(fyke_s);
        duck_times.push(duckdb_s);
    }
    let (ours, theirs) = (median(&fyke_times), median(&duck_times));
    writeln!(text, "# median: fyke {ours:.3} s, DuckDB {theirs:.3} s, ratio {:.2}", ours / theirs)?;
    println!("{text}");
    std::fs::write(root().join("benches/results/chain.tsv"), text)?;
    Ok(())
}

/// Peak memory of the chained job over an input and one ten times longer.
pub fn memory(lines: u64) -> Result<()> {
    let binary = fyke()?;
    let folder = target().join("bench-memory");
    let mut text = format!("# cargo xtask bench memory --lines {lines}\nlines\tpeak_kb\n");
    for factor in [1, 10] {
        let logs = folder.join(format!("logs-{}", lines * factor));
        if !logs.exists() {
            let settings = ChainSettings { seed: 1, lines, duration: factor, ..ChainSettings::default() };
            write_chain_with(&logs, &settings)?;
        }
        let out = folder.join("out.parquet");
        let mut command = Command::new("/usr/bin/env");
        let run = run_fyke(&binary, &format!("{}/*.json", logs.display()), &out);
        command.current_dir(root()).args(["python3", "-c", PEAK]).arg(&binary).args(run.get_args());
        let peak = output(&mut command)?;
        writeln!(text, "{}\t{}", lines * factor, peak.trim())?;
    }
    println!("{text}");
    std::fs::write(root().join("benches/results/memory.tsv"), text)?;
    Ok(())
}

/// Prints the peak resident size of a child in kB.
const PEAK: &str = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); \
                    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
