//! Every case under `tests/cases` against its one expected file, in every mode.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that can not go on has failed")]

mod processes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fyke::arrow::array::RecordBatch;
use fyke::connect::MemorySink;
use fyke::types::Sink;
use fyke::{CheckpointSettings, Context, RunSettings, Script, SinkMode, checkpoint};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Sink for Kept {
    fn write(&mut self, batch: &RecordBatch) -> fyke::Result<()> {
        fyke::connect::batch_to_json_lines(batch, &mut self.0.lock().expect("lock"))
    }

    fn finish(&mut self) -> fyke::Result<()> {
        Ok(())
    }
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases");
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("tests/cases").flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
    cases.sort();
    assert!(cases.len() > 20, "the cases were found");
    cases
}

fn text(case: &Path) -> String {
    std::fs::read_to_string(case.join("case.sql")).expect("case.sql")
}

fn parse(text: &str, case: &Path) -> fyke::Result<Script> {
    Script::parse(text, "case.sql", &BTreeMap::from([("CASE".to_owned(), case.display().to_string())]))
}

fn script(case: &Path) -> fyke::Result<Script> {
    parse(&text(case), case)
}

/// Rows as JSON lines, with the counters (read, used, late, dead).
async fn stream(case: &Path, context: Context) -> fyke::Result<(String, (u64, u64, u64, u64))> {
    let kept = Kept::default();
    let select = |_: &_| -> fyke::Result<Box<dyn Sink>> { Ok(Box::new(kept.clone())) };
    let driver = context.stream_script(&script(case)?, &RunSettings::default(), &select, &mut |_| {}).await?;
    let progress = tokio::task::spawn_blocking(move || driver.run()).await.expect("runs")?;
    let rows = String::from_utf8(kept.0.lock().expect("lock").clone()).expect("UTF-8");
    Ok((rows, progress.totals()))
}

/// The same with a crash after every few epochs and a checkpoint every few others, until it comes to its end. Blocks are
/// so small that a case has many epochs; each process is a context of its own, with the next number of workers.
async fn killed_and_resumed(
    case: &Path,
    (crash, every): (u64, u64),
    workers: &[usize],
) -> fyke::Result<(String, (u64, u64, u64, u64), u32)> {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = MemorySink::exactly_once();
    let checkpoint = CheckpointSettings {
        every: checkpoint::Every::Epochs(every),
        ..CheckpointSettings::new(folder.path().join("checkpoint"))
    };
    let settings = RunSettings { checkpoint: Some(checkpoint), ..RunSettings::default() };
    for crashes in 0..10_000 {
        let context = fyke::context_with(|builder| {
            let workers = workers[crashes as usize % workers.len()];
            builder.decode_threads(crashes as usize % 3).block_bytes(40).workers(workers)
        });
        let select = |_: &_| -> fyke::Result<Box<dyn Sink>> { Ok(Box::new(sink.clone())) };
        let driver = context.stream_script(&script(case)?, &settings, &select, &mut |_| {}).await?;
        let run = tokio::task::spawn_blocking(move || driver.run_until_crash(crash));
        if let Some(progress) = run.await.expect("runs")? {
            let mut rows = Vec::new();
            sink.batches().iter().try_for_each(|batch| fyke::connect::batch_to_json_lines(batch, &mut rows))?;
            return Ok((String::from_utf8(rows).expect("UTF-8"), progress.totals(), crashes));
        }
    }
    panic!("{} does not get on", case.display());
}

async fn batch(case: &Path) -> fyke::Result<String> {
    let kept = Kept::default();
    let select = |_: &_| -> fyke::Result<Box<dyn Sink>> { Ok(Box::new(kept.clone())) };
    fyke::context().batch_script(&script(case)?, SinkMode::Append, &select, &mut |_| {}).await?;
    Ok(String::from_utf8(kept.0.lock().expect("lock").clone()).expect("UTF-8"))
}

/// Rows in a canonical order; floats compare with tolerance.
fn rows(text: &str) -> Vec<serde_json::Value> {
    let mut rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    rows.sort_by_key(|row| rounded(row).to_string());
    rows
}

fn rounded(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Number(number) if number.is_f64() => {
            serde_json::json!(format!("{:.6}", number.as_f64().unwrap_or_default()))
        }
        serde_json::Value::Object(members) => members.iter().map(|(k, v)| (k.clone(), rounded(v))).collect(),
        other => other.clone(),
    }
}

fn near(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value::{Number, Object};
    match (a, b) {
        (Number(a), Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            (a - b).abs() <= 1e-12f64.max(1e-9 * a.abs().max(b.abs()))
        }
        (Object(a), Object(b)) => a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| near(a, b))),
        _ => a == b,
    }
}

fn compare(case: &Path, mode: &str, text: &str) -> Result<(), String> {
    let expected = std::fs::read_to_string(case.join("expected.jsonl")).expect("expected.jsonl");
    let (ours, expected) = (rows(text), rows(&expected));
    let equal = ours.len() == expected.len() && ours.iter().zip(&expected).all(|(a, b)| near(a, b));
    if equal {
        return Ok(());
    }
    let missing: Vec<_> = expected.iter().filter(|e| !ours.iter().any(|o| near(o, e))).take(3).collect();
    let extra: Vec<_> = ours.iter().filter(|o| !expected.iter().any(|e| near(o, e))).take(3).collect();
    let name = case.file_name().unwrap_or_default().display();
    Err(format!(
        "{name} [{mode}]: {} rows, expected {}; missing {missing:?}, extra {extra:?}",
        ours.len(),
        expected.len()
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_gives_its_expected_rows_in_every_mode() {
    let mut failures = Vec::new();
    for case in cases().iter().filter(|case| case.join("expected.jsonl").exists()) {
        let name = case.file_name().unwrap_or_default().display().to_string();
        match batch(case).await {
            Ok(text) => failures.extend(compare(case, "batch", &text).err()),
            Err(error) => failures.push(format!("{name} [batch]: {error}")),
        }
        for (threads, workers, short) in
            [(0, 1, true), (1, 1, false), (2, 1, true), (1, 2, true), (0, 3, true), (1, 3, false)]
        {
            let context = fyke::context_with(|builder| {
                builder.decode_threads(threads).workers(workers).short_epochs(short).block_bytes(if short {
                    60
                } else {
                    1 << 20
                })
            });
            match stream(case, context).await {
                Ok((text, (read, used, late, dead))) => {
                    let mode = format!("stream, {threads} threads, {workers} workers, short epochs: {short}");
                    failures.extend(compare(case, &mode, &text).err());
                    if read != used + late + dead || late > 0 {
                        failures.push(format!("{name}: read {read}, used {used}, late {late}, dead {dead}"));
                    }
                }
                Err(error) => failures.push(format!("{name} [stream]: {error}")),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_killed_and_resumed_gives_its_expected_rows_once() {
    let (mut failures, mut all_crashes) = (Vec::new(), 0);
    for case in cases().iter().filter(|case| case.join("expected.jsonl").exists()) {
        // a checkpoint after each epoch, and one after the third of which a crash comes before the fourth
        let alone = [(1, 1), (2, 1), (4, 3)].map(|times| (times, &[1_usize][..]));
        // checkpoints of two workers resumed by three, and so on
        let many = [((1, 1), &[2, 3][..]), ((4, 3), &[2, 3, 1][..]), ((2, 2), &[2][..])];
        for ((crash, every), workers) in alone.into_iter().chain(many) {
            let mode = format!("killed after {crash} epochs, checkpoint every {every}, workers {workers:?}");
            match killed_and_resumed(case, (crash, every), workers).await {
                Ok((text, (read, used, late, dead), crashes)) => {
                    all_crashes += crashes;
                    failures.extend(compare(case, &mode, &text).err());
                    if read != used + late + dead || late > 0 {
                        failures.push(format!("{mode}: read {read}, used {used}, late {late}, dead {dead}"));
                    }
                }
                Err(error) => failures.push(format!("{} [{mode}]: {error}", case.display())),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(all_crashes > 200, "there were {all_crashes} crashes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_be_refused_is_refused_with_the_remedy_in_both_executions() {
    let mut failures = Vec::new();
    for case in cases().iter().filter(|case| case.join("refused.txt").exists()) {
        let words = std::fs::read_to_string(case.join("refused.txt")).expect("refused.txt");
        let both = [stream(case, fyke::context()).await.map(|(rows, _)| rows), batch(case).await];
        for outcome in both {
            match outcome {
                Ok(rows) => failures.push(format!("{}: accepted, gave {rows}", case.display())),
                Err(error) if error.to_string().contains(words.trim()) && error.place().is_some() => {}
                Err(error) => failures.push(format!("{}: {error}\n   place {:?}", case.display(), error.place())),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_carry_place_reason_and_bytes() {
    let case = cases().into_iter().find(|case| case.ends_with("a_wrong_type_in_any_declared_column_is_a_dead_letter"));
    let (_, (read, used, late, dead)) = stream(&case.expect("the case"), fyke::context()).await.expect("runs");
    assert_eq!((read, used, late, dead), (8, 2, 0, 6));
}

/// What a live stream refuses that bounded input allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_stream_refuses_what_would_never_close() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("a.json");
    std::fs::write(&log, "{\"time\":\"2026-01-01T00:00:00Z\",\"host\":\"a\"}\n").expect("written");
    for (query, words) in [
        ("SELECT host, count(*) FROM requests GROUP BY host", "never close"),
        ("SELECT * FROM requests ORDER BY time", "never comes to an end"),
        ("SELECT a.host FROM requests a JOIN requests b ON a.host = b.host", "without a common window"),
        ("SELECT time > now() FROM requests", "now()"),
        ("SELECT tumble(other, INTERVAL '1 minute') AS w, count(*) FROM requests GROUP BY w", "event time"),
    ] {
        let text = format!(
            "CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, other TIMESTAMP) STORED AS JSON \
             LOCATION '{}' OPTIONS ('event_time' 'time'); {query}",
            log.display()
        );
        let script = Script::parse(&text, "live.sql", &BTreeMap::new()).expect("parses");
        let select = |_: &_| -> fyke::Result<Box<dyn Sink>> { Ok(Box::new(Kept::default())) };
        let context = fyke::context();
        let live = RunSettings { follow: true, ..RunSettings::default() };
        let error = match context.stream_script(&script, &live, &select, &mut |_| {}).await {
            Ok(_) => panic!("accepted: {query}"),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(words) && error.contains("hint:"), "{query}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_rows_and_dead_letters_are_written_where_the_table_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    // row 5 comes 90 s behind row 4, which is more than the lateness; line 3 has no time. Blocks end at a megabyte, so
    // the padding puts the late row behind a mark that has moved.
    let line = |second: u32, pad: usize| {
        format!(
            "{{\"time\":\"2026-01-01T00:0{}:{:02}Z\",\"host\":\"{}\"}}\n",
            second / 60,
            second % 60,
            "x".repeat(pad)
        )
    };
    let log = format!(
        "{}{}{{\"host\":\"a\"}}\n{}{}{}",
        line(1, 1),
        line(2, 1),
        line(150, 70_000),
        line(60, 1_100_000),
        line(61, 1)
    );
    std::fs::write(path("log.json"), log).expect("written");
    let text = format!(
        "CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR) STORED AS JSON LOCATION '{}' OPTIONS \
         ('event_time' 'time', 'lateness' '10 seconds', 'late_to' '{}', 'dead_to' '{}'); \
         SELECT tumble(time, INTERVAL '10 seconds') AS w, count(*) AS n FROM requests GROUP BY w",
        path("log.json"),
        path("late.json"),
        path("dead.json"),
    );
    let script = Script::parse(&text, "late.sql", &BTreeMap::new()).expect("parses");
    let kept = Kept::default();
    let select = |_: &_| -> fyke::Result<Box<dyn Sink>> { Ok(Box::new(kept.clone())) };
    let context = fyke::context_with(|builder| builder.short_epochs(true));
    let driver = context.stream_script(&script, &RunSettings::default(), &select, &mut |_| {}).await.expect("plans");
    let progress = tokio::task::spawn_blocking(move || driver.run()).await.expect("runs").expect("runs");
    let (read, used, late, dead) = progress.totals();
    assert_eq!((read, dead, used + late), (6, 1, 5));
    let rows = |name: &str| std::fs::read_to_string(path(name)).unwrap_or_default().lines().count() as u64;
    assert!(late >= 1, "{progress:?}");
    assert_eq!((rows("late.json"), rows("dead.json")), (late, dead));
    let letter: serde_json::Value =
        serde_json::from_str(std::fs::read_to_string(path("dead.json")).expect("dead.json").trim()).expect("JSON");
    assert_eq!((letter["line"].as_u64(), letter["raw"].as_str()), (Some(3), Some("{\"host\":\"a\"}")));
}
