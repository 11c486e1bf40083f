//! Processes that are killed with SIGKILL at random moments, over a chained job that writes files: each row comes once.

#![allow(clippy::expect_used, reason = "a test that can not go on has failed")]

mod support;

use std::process::Child;
use std::time::{Duration, Instant};

use fyke::types::{Random, SeededRandom};
use fyke_simulate::{ChainSettings, write_chain_with};
use support::{Fyke, ended};

/// The chained job: each client's minute against its customer's average in the same minute.
const CHAIN: &str = "
CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, remote_addr VARCHAR, bytes BIGINT)
  STORED AS JSON LOCATION 'logs/*.json' OPTIONS ('event_time' 'time', 'lateness' '10 seconds', 'dead_to' '${OUT}-dead.json');
CREATE VIEW clients AS
  SELECT tumble(time, INTERVAL '1 minute') AS w, host, remote_addr, count(*) AS n, sum(bytes) AS bytes
  FROM requests GROUP BY w, host, remote_addr;
CREATE VIEW customers AS SELECT w, host, avg(n) AS mean, sum(bytes) AS bytes FROM clients GROUP BY w, host;
COPY (
  SELECT c.w, c.host, c.remote_addr, c.n, c.n / m.mean AS ratio, m.bytes
  FROM clients c JOIN customers m ON c.w = m.w AND c.host = m.host
) TO '${OUT}' STORED AS JSON;
COPY (
  SELECT session(time, INTERVAL '20 seconds') AS w, host, remote_addr, count(*) AS n FROM requests GROUP BY w, host, remote_addr
) TO '${OUT}-sessions' STORED AS JSON;
";

/// Lives for so long, or ends by itself. True: it was killed.
fn live(mut child: Child, life: Duration) -> bool {
    let started = Instant::now();
    while started.elapsed() < life {
        if child.try_wait().expect("asked").is_some() {
            ended(child).succeeds();
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("killed");
    child.wait().expect("dead");
    true
}

/// Puts a broken line behind every so many lines of each log.
fn break_lines(folder: &std::path::Path, every: usize) {
    for entry in std::fs::read_dir(folder).expect("logs").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("a log");
        let mut broken = String::with_capacity(text.len() + text.len() / 100);
        for (at, line) in text.lines().enumerate() {
            broken.push_str(line);
            broken.push('\n');
            if at % every == every - 1 {
                broken.push_str("{\"time\": broken\n");
            }
        }
        std::fs::write(entry.path(), broken).expect("written");
    }
}

/// All lines of the parts in a folder, sorted.
fn parts(fyke: &Fyke, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(fyke.path(name)).expect("a folder of parts").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(name.starts_with("part-"), "{name} was left behind");
        let text = std::fs::read_to_string(entry.path()).expect("a part");
        lines.extend(text.lines().map(str::to_owned));
    }
    lines.sort();
    lines
}

/// More with `FYKE_KILLS`: 200 take some minutes.
fn kills() -> u32 {
    std::env::var("FYKE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

#[test]
fn killed_at_random_moments_no_row_is_lost_or_comes_twice() {
    let fyke = Fyke::new();
    write_chain_with(&fyke.path("logs"), &ChainSettings { seed: 3, lines: 150_000, ..ChainSettings::default() })
        .expect("logs");
    break_lines(&fyke.path("logs"), 997);
    fyke.write("chain.sql", CHAIN);
    fyke.run(&["run", "chain.sql", "--once", "--set", "OUT=whole"]).succeeds();
    let outputs = ["", "-sessions", "-dead.json"];
    let expected = outputs.map(|name| fyke.sorted_lines(&format!("whole{name}")));
    assert!(expected.iter().all(|rows| rows.len() > 100), "each output has rows");
    let run = |round: u32| {
        let (checkpoint, out) = (format!("checkpoint-{round}"), format!("OUT=out-{round}"));
        let every = ["--checkpoint", &checkpoint, "--checkpoint-every", "5ms"];
        let arguments = [&["run", "chain.sql", "--once", "--set", &out], &every[..]].concat();
        fyke.command(&arguments).spawn().expect("started")
    };
    let started = Instant::now();
    ended(run(0)).succeeds();
    let whole = started.elapsed();
    let mut random = SeededRandom::new(1);
    let (mut killed, mut round) = (0, 0);
    while killed < kills() {
        round += 1;
        // any moment of a run, its start and its end included
        while live(run(round), whole.mul_f64(random.next_f64())) {
            killed += 1;
        }
        // a dead letter's line and offset count from its file's start, whatever process read it
        for (name, expected) in outputs.iter().zip(&expected) {
            let found = parts(&fyke, &format!("out-{round}{name}"));
            assert_eq!(found.len(), expected.len(), "out{name} of run {round}");
            assert!(found == *expected, "out{name} of run {round}: rows differ");
        }
    }
    let rows = expected.map(|rows| rows.len());
    println!("{killed} kills in {round} runs of {whole:?}: {rows:?} rows, none lost, none twice");
}
