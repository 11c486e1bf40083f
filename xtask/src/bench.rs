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

/// The chained job with one worker on one core, and with two workers on two cores: decoding has threads of its own, so
/// only the number of cores says what a worker more is worth.
pub fn workers(lines: u64, runs: usize) -> Result<()> {
    let binary = fyke()?;
    let folder = target().join("bench-chain");
    let logs_folder = folder.join(format!("logs-{lines}"));
    if !logs_folder.exists() {
        write_chain_with(&logs_folder, &ChainSettings { seed: 1, lines, ..ChainSettings::default() })?;
    }
    let logs = format!("{}/*.json", logs_folder.display());
    let out = folder.join("fyke.parquet");
    let mut text = format!("# cargo xtask bench workers --lines {lines} --runs {runs}\nrun\tone_s\ttwo_s\n");
    let (mut one, mut two) = (Vec::new(), Vec::new());
    let on = |cores: &str, workers: &str| {
        let run = run_fyke(&binary, &logs, &out);
        let mut command = Command::new("taskset");
        command.current_dir(root()).args(["-c", cores]).arg(&binary).args(run.get_args()).args(["--workers", workers]);
        timed(&mut command)
    };
    for run in 0..=runs {
        let (one_s, two_s) = (on("0", "1")?, on("0,1", "2")?);
        if run > 0 {
            writeln!(text, "{run}\t{one_s:.4}\t{two_s:.4}")?;
            one.push(one_s);
            two.push(two_s);
        }
    }
    let (one, two) = (median(&one), median(&two));
    let rate = |seconds: f64| lines as f64 / seconds / 1e6;
    writeln!(
        text,
        "# median: {one:.3} s ({:.2} M lines/s) and {two:.3} s ({:.2} M lines/s): {:.2} times as fast",
        rate(one),
        rate(two),
        one / two
    )?;
    println!("{text}");
    std::fs::write(root().join("benches/results/workers.tsv"), text)?;
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

/// What checkpoints cost: the chained job with one after every 20 ms, against the same without.
pub fn checkpoint(lines: u64, runs: usize) -> Result<()> {
    let binary = fyke()?;
    let folder = target().join("bench-chain");
    let logs_folder = folder.join(format!("logs-{lines}"));
    if !logs_folder.exists() {
        write_chain_with(&logs_folder, &ChainSettings { seed: 1, lines, ..ChainSettings::default() })?;
    }
    let logs = format!("{}/*.json", logs_folder.display());
    let (out, state) = (folder.join("parts"), folder.join("checkpoint"));
    let mut text =
        format!("# cargo xtask bench checkpoint --lines {lines} --runs {runs}\nrun\tplain_s\twith_s\tcheckpoints\n");
    let (mut plain, mut with, mut each) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..=runs {
        for old in [&out, &state] {
            remove(old)?;
        }
        let plain_s = timed(&mut run_fyke(&binary, &logs, &folder.join("fyke.parquet")))?;
        let mut command = run_fyke(&binary, &logs, &out);
        let with_s = timed(command.arg("--checkpoint").arg(&state).args(["--checkpoint-every", "20ms"]))?;
        let listed = output(Command::new(&binary).args(["checkpoints", "--last", "--format", "json"]).arg(&state))?;
        let Some(number) = listed.split("\"number\":").nth(1).and_then(|rest| rest.split(',').next()) else {
            bail!("unreadable manifest: {listed}")
        };
        let number: f64 = number.parse()?;
        if run > 0 {
            writeln!(text, "{run}\t{plain_s:.4}\t{with_s:.4}\t{number}")?;
            plain.push(plain_s);
            with.push(with_s);
            each.push((with_s - plain_s) / number);
        }
    }
    let (plain, with, each) = (median(&plain), median(&with), median(&each));
    writeln!(
        text,
        "# median: {plain:.3} s without, {with:.3} s with; {:.1} ms a checkpoint, which is {:.2} % at one in 10 s",
        1e3 * each,
        10.0 * each
    )?;
    println!("{text}");
    std::fs::write(root().join("benches/results/checkpoint.tsv"), text)?;
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(())
}

/// A session with count, two sums, a maximum and a mean for each client: nothing closes while the run is live.
const SESSIONS: &str = "CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, client VARCHAR, bytes BIGINT, took DOUBLE)
  STORED AS JSON LOCATION '${LOGS}' OPTIONS ('event_time' 'time', 'lateness' '1 hour', 'idle_after' 'off', 'close_after' 'off');
COPY (SELECT session(time, INTERVAL '30 minutes') AS w, client, count(*) AS n, sum(bytes) AS bytes, sum(took) AS took,
  max(took) AS slowest, avg(bytes) AS mean FROM requests GROUP BY w, client) TO '${OUT}' STORED AS PARQUET;";

/// Memory and checkpoint of open sessions, and how long it takes to go on from it after a kill.
pub fn state(sessions: u64) -> Result<()> {
    let binary = fyke()?;
    let folder = target().join("bench-state");
    std::fs::create_dir_all(&folder)?;
    let (log, script) = (folder.join(format!("log-{sessions}.json")), folder.join("sessions.sql"));
    std::fs::write(&script, SESSIONS)?;
    if !log.exists() {
        write_sessions(&log, sessions)?;
    }
    let (empty, state) = (folder.join("empty.json"), folder.join("checkpoint"));
    write_sessions(&empty, 1)?;
    remove(&state)?;
    let start = |log: &Path, state: &Path| -> Result<std::process::Child> {
        let mut command = Command::new(&binary);
        command.args(["run", "--overwrite", "--checkpoint-every", "2s"]).arg(&script);
        command.arg("--checkpoint").arg(state).arg("--set").arg(format!("LOGS={}", log.display()));
        command.arg("--set").arg(format!("OUT={}", folder.join("out").display()));
        Ok(command.stderr(std::process::Stdio::piped()).spawn()?)
    };
    let idle = folder.join("idle");
    remove(&idle)?;
    let mut small = start(&empty, &idle)?;
    until_read(&binary, &idle, 1)?;
    let base = resident_kb(small.id())?;
    small.kill()?;
    small.wait()?;
    let mut first = start(&log, &state)?;
    until_read(&binary, &state, sessions)?;
    let resident = resident_kb(first.id())?;
    first.kill()?;
    first.wait()?;
    let bytes = folder_bytes(&state.join("state"))?;
    let second = start(&log, &state)?;
    std::thread::sleep(std::time::Duration::from_secs(10 + sessions / 500_000));
    output(Command::new("kill").args(["-INT", &second.id().to_string()]))?;
    let said = String::from_utf8(second.wait_with_output()?.stderr)?;
    let resumed = said.lines().find(|line| line.starts_with("went on from")).unwrap_or("did not resume");
    let each = 1024.0 * (resident as f64 - base as f64) / sessions as f64;
    let text = format!(
        "# cargo xtask bench state --sessions {sessions}\nsessions\tresident_bytes_a_session\tcheckpoint_bytes\n\
         {sessions}\t{each:.0}\t{bytes}\n# {resumed}; keys of 12 to 15 bytes\n"
    );
    println!("{text}");
    std::fs::write(root().join(format!("benches/results/state-{sessions}.tsv")), text)?;
    Ok(())
}

fn write_sessions(log: &Path, sessions: u64) -> Result<()> {
    use std::io::Write as _;
    let mut to = std::io::BufWriter::new(std::fs::File::create(log)?);
    for at in 0..sessions {
        let (minute, second) = (at * 1_200 / sessions / 60, at * 1_200 / sessions % 60);
        writeln!(
            to,
            "{{\"time\":\"2026-03-02T08:{minute:02}:{second:02}Z\",\"client\":\"10.{}.{}.{}\",\"bytes\":{},\"took\":{}.5}}",
            at >> 16 & 255,
            at >> 8 & 255,
            at & 255,
            at % 5_000,
            at % 7
        )?;
    }
    Ok(to.flush()?)
}

fn until_read(binary: &Path, state: &Path, rows: u64) -> Result<()> {
    let wanted = format!("\"read\":{rows},");
    for _ in 0..600 {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let listed = Command::new(binary).args(["checkpoints", "--last", "--format", "json"]).arg(state).output()?;
        if String::from_utf8_lossy(&listed.stdout).contains(&wanted) {
            return Ok(());
        }
    }
    bail!("{rows} rows were not read within two minutes")
}

fn resident_kb(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
