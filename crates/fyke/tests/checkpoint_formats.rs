//! Checkpoints of every version of the format are resumed: a fixture of each lies under `tests/checkpoints`.
//! A new version needs a new fixture: `FYKE_UPDATE=1 cargo test -p fyke --test checkpoint_formats`.
#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use fyke::checkpoint::{Every, VERSION};
use fyke::types::Sink;
use fyke::{CheckpointSettings, RunSettings, Script, SinkMode};

/// Stands in the fixtures for the folder that they lie in.
const HERE: &str = "@FOLDER@";

/// Every operator that remembers something: windows, panes, sessions, rows that wait for a join.
const QUERIES: &str = "
CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, client VARCHAR, n BIGINT)
  STORED AS JSON LOCATION '${FOLDER}/log.json' OPTIONS ('event_time' 'time', 'lateness' '5 seconds', 'customer' 'host');
COPY (SELECT tumble(time, INTERVAL '1 minute') AS w, host, count(DISTINCT client) AS clients, avg(n) AS mean FROM requests
  GROUP BY w, host) TO '${FOLDER}/tumble' STORED AS JSON;
COPY (SELECT hop(time, INTERVAL '1 minute', INTERVAL '20 seconds') AS w, max(n) AS most, stddev(n) AS sd FROM requests GROUP BY w)
  TO '${FOLDER}/hop' STORED AS JSON;
COPY (SELECT session(time, INTERVAL '15 seconds') AS w, host, client, sum(n) AS n FROM requests GROUP BY w, host, client)
  TO '${FOLDER}/session' STORED AS JSON;
COPY (SELECT a.w, a.host, a.n, b.clients FROM
  (SELECT tumble(time, INTERVAL '1 minute') AS w, host, sum(n) AS n FROM requests GROUP BY w, host) a JOIN
  (SELECT w, count(*) AS clients FROM (SELECT DISTINCT tumble(time, INTERVAL '1 minute') AS w, client FROM requests) GROUP BY w) b
  ON a.w = b.w) TO '${FOLDER}/join' STORED AS JSON;";
const OUTPUTS: [&str; 4] = ["tumble", "hop", "session", "join"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/checkpoints")
}

fn script(folder: &Path) -> Script {
    let values = BTreeMap::from([("FOLDER".to_owned(), folder.display().to_string())]);
    Script::parse(QUERIES, "queries.sql", &values).unwrap()
}

fn no_select(_: &fyke::arrow::datatypes::SchemaRef) -> fyke::Result<Box<dyn Sink>> {
    Err(fyke::Error::internal("there is no SELECT"))
}

/// Runs on with checkpoints; to the end, or until it crashes after so many epochs.
async fn run(folder: &Path, crash: Option<u64>) -> Option<fyke::Progress> {
    let checkpoint =
        CheckpointSettings { every: Every::Epochs(2), ..CheckpointSettings::new(folder.join("checkpoint")) };
    let settings = RunSettings { checkpoint: Some(checkpoint), ..RunSettings::default() };
    let context = fyke::context_with(|builder| builder.block_bytes(400).short_epochs(true));
    let driver = context.stream_script(&script(folder), &settings, &no_select, &mut |_| {}).await.unwrap();
    let run = tokio::task::spawn_blocking(move || match crash {
        Some(epochs) => driver.run_until_crash(epochs),
        None => driver.run().map(Some),
    });
    run.await.unwrap().unwrap()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.path().is_dir() {
            true => files(&entry.path(), found),
            false => found.push(entry.path()),
        }
    }
}

/// Copies a folder; manifests have another folder's name in them.
fn copy(from: &Path, to: &Path, name: &str, other: &str) {
    let mut found = Vec::new();
    files(from, &mut found);
    for file in found {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        if file.parent().is_some_and(|parent| parent.ends_with("manifests")) {
            std::fs::write(target, std::fs::read_to_string(file).unwrap().replace(name, other)).unwrap();
        } else if !file.file_name().unwrap().to_string_lossy().starts_with('.') {
            std::fs::copy(file, target).unwrap();
        }
    }
}

fn log() -> String {
    let mut text = String::new();
    for at in 0..120 {
        let (host, client, second) = (["a", "b"][at % 2], at * 7 % 5, at * 2 + at % 3);
        let time = format!("2026-03-02T08:{:02}:{:02}Z", second / 60, second % 60);
        writeln!(text, r#"{{"time":"{time}","host":"{host}","client":"{client}","n":{}}}"#, at % 11).unwrap();
    }
    text
}

fn sorted(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_is_resumed() {
    let newest = fixtures().join(format!("v{VERSION}"));
    if std::env::var_os("FYKE_UPDATE").is_some() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("log.json"), log()).unwrap();
        assert!(run(place.path(), Some(9)).await.is_none(), "it crashes in the middle");
        copy(place.path(), &newest, &place.path().display().to_string(), HERE);
    }
    assert!(newest.exists(), "version {VERSION} has a fixture");
    for entry in std::fs::read_dir(fixtures()).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        let place = tempfile::tempdir().unwrap();
        copy(&entry.path(), place.path(), HERE, &place.path().display().to_string());
        let progress = run(place.path(), None).await.expect("it comes to its end");
        assert!(progress.resumed.is_some());
        assert_eq!(progress.totals(), (120, 120, 0, 0), "{}", entry.path().display());
        let batch = tempfile::tempdir().unwrap();
        std::fs::copy(place.path().join("log.json"), batch.path().join("log.json")).unwrap();
        let context = fyke::context();
        context.batch_script(&script(batch.path()), SinkMode::Append, &no_select, &mut |_| {}).await.unwrap();
        for output in OUTPUTS {
            let mut parts = Vec::new();
            files(&place.path().join(output), &mut parts);
            let found = sorted(parts.iter().map(|part| std::fs::read_to_string(part).unwrap()));
            let expected = sorted([std::fs::read_to_string(batch.path().join(output)).unwrap()].into_iter());
            assert_eq!(rounded(&found), rounded(&expected), "{output} of {}", entry.path().display());
        }
    }
}

/// Doubles may differ in their last digits: their sums depend on the order.
fn rounded(lines: &[String]) -> Vec<String> {
    let round = |(key, value): (String, serde_json::Value)| match value.as_f64().filter(|_| value.is_f64()) {
        Some(number) => format!("{key}={number:.9}"),
        None => format!("{key}={value}"),
    };
    let row = |line: &String| {
        let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        row.into_iter().map(round).collect::<Vec<_>>().join(" ")
    };
    let mut rows: Vec<String> = lines.iter().map(row).collect();
    rows.sort();
    rows
}
