//! The kit for tests of streaming queries, and what it is for: marks, late rows, silence, crashes.
#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

use std::time::Duration;

use fyke::testing::StreamTest;

const TABLE: &str = "CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, host VARCHAR, n BIGINT) STORED AS JSON \
     LOCATION '/nowhere' OPTIONS ('event_time' 'time', 'lateness' '10 seconds', 'customer' 'host');";

fn row(time: &str, host: &str, n: i64) -> String {
    format!(r#"{{"time": "2026-01-01T00:{time}Z", "host": "{host}", "n": {n}}}"#)
}

fn minute(start: &str, end: &str, rest: &str) -> String {
    format!(r#"{{"w": {{"start": "2026-01-01T00:{start}Z", "end": "2026-01-01T00:{end}Z"}}, {rest}}}"#)
}

async fn minutes(query: &str) -> StreamTest {
    StreamTest::start(&format!("{TABLE} {query}"), &["requests"]).await.unwrap()
}

const PER_HOST: &str =
    "SELECT tumble(time, INTERVAL '1 minute') AS w, host, sum(n) AS n FROM requests GROUP BY w, host";

#[tokio::test]
async fn rows_come_when_the_watermark_has_reached_the_end_and_late_ones_are_counted() {
    let mut test = minutes(PER_HOST).await;
    test.add("requests", &row("00:10", "a", 1)).unwrap();
    test.add("requests", &row("01:09", "a", 2)).unwrap();
    test.expect("select 1", "").unwrap();
    // the mark is the greatest time less the lateness: now it stands at 1:00
    test.add("requests", &row("01:10", "a", 4)).unwrap();
    test.expect("select 1", &minute("00:00", "01:00", r#""host": "a", "n": 1"#)).unwrap();
    test.add("requests", &row("00:59", "a", 8)).unwrap();
    assert_eq!(test.progress().unwrap().totals(), (4, 3, 1, 0));
    let ended = test.end(&[("select 1", &minute("01:00", "02:00", r#""host": "a", "n": 6"#))]).unwrap();
    assert_eq!(ended.totals(), (4, 3, 1, 0));
}

#[tokio::test]
async fn wrong_expectation_shows_the_rows_that_differ() {
    let mut test = minutes(PER_HOST).await;
    test.add("requests", &row("00:10", "a", 1)).unwrap();
    test.advance_watermark("requests", "2026-01-01T00:01:00Z").unwrap();
    let error = test.expect("select 1", &minute("00:00", "01:00", r#""host": "a", "n": 2"#)).unwrap_err().to_string();
    assert!(error.contains("< ") && error.contains("> "), "{error}");
    let mistakes = [
        test.add("nothing", &row("00:10", "a", 1)).unwrap_err().to_string(),
        test.add("requests", r#"{"tiem": 1}"#).unwrap_err().to_string(),
        test.expect("out", "").unwrap_err().to_string(),
        test.advance_watermark("requests", "noon").unwrap_err().to_string(),
    ];
    for (mistake, words) in mistakes.iter().zip(["requests", "tiem", "select 1", "no time"]) {
        assert!(mistake.contains(words), "{mistake}");
    }
}

#[tokio::test]
async fn killed_between_any_two_steps_the_same_rows_come() {
    const CHAIN: &str = "WITH c AS (SELECT tumble(time, INTERVAL '1 minute') AS w, host, n, count(*) AS k FROM requests \
         GROUP BY w, host, n), g AS (SELECT w, host, avg(k) AS mean FROM c GROUP BY w, host) \
         SELECT c.w, c.host, c.n, c.k / g.mean AS ratio FROM c JOIN g ON c.w = g.w AND c.host = g.host; \
         SELECT session(time, INTERVAL '20 seconds') AS w, host, count(*) AS k FROM requests GROUP BY w, host; \
         SELECT hop(time, INTERVAL '2 minutes', INTERVAL '1 minute') AS w, host, max(n) AS m FROM requests GROUP BY w, host";
    let rows: Vec<String> = (0..30)
        .map(|at| row(&format!("{:02}:{:02}", at * 7 / 60, at * 7 % 60), ["a", "b"][at % 2], at as i64 % 3))
        .collect();
    let mut outcomes = Vec::new();
    for kill_at in [usize::MAX, 1, 2, 3, 5, 7] {
        let mut test = minutes(CHAIN).await;
        for (at, row) in rows.iter().enumerate() {
            test.add("requests", row).unwrap();
            if at % kill_at == kill_at - 1 {
                test.kill_and_resume().await.unwrap();
            }
            if at % 4 == 3 {
                test.checkpoint().unwrap();
            }
        }
        let error = |output: &str, test: &mut StreamTest| test.expect(output, "{}").unwrap_err().to_string();
        let closed: Vec<String> = (1..4).map(|n| error(&format!("select {n}"), &mut test)).collect();
        let progress = test.end(&[]).unwrap();
        outcomes.push((closed, progress.totals(), progress.sinks));
    }
    assert_eq!(outcomes[0].1, (30, 30, 0, 0));
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:#?}");
}

#[tokio::test]
async fn silence_closes_windows_and_a_row_of_them_is_late_also_after_a_crash() {
    for crash in [false, true] {
        let mut test = minutes(PER_HOST).await;
        test.add("requests", &row("00:10", "a", 1)).unwrap();
        test.advance_clock(Duration::from_secs(599)).unwrap();
        test.expect("select 1", "").unwrap();
        test.advance_clock(Duration::from_secs(1)).unwrap();
        test.expect("select 1", &minute("00:00", "01:00", r#""host": "a", "n": 1"#)).unwrap();
        if crash {
            test.kill_and_resume().await.unwrap();
        }
        // ahead of the watermark, and yet of a window that is closed
        test.add("requests", &row("00:40", "a", 2)).unwrap();
        test.add("requests", &row("01:05", "a", 4)).unwrap();
        assert_eq!(test.progress().unwrap().totals(), (3, 2, 1, 0), "crash: {crash}");
        test.end(&[("select 1", &minute("01:00", "02:00", r#""host": "a", "n": 4"#))]).unwrap();
    }
}

#[tokio::test]
async fn time_spent_stopped_is_no_silence() {
    let mut test = minutes(PER_HOST).await;
    test.add("requests", &row("00:10", "a", 1)).unwrap();
    test.checkpoint().unwrap();
    // the process is gone for an hour
    test.advance_clock(Duration::from_secs(1)).unwrap();
    test.kill_and_resume().await.unwrap();
    test.advance_clock(Duration::from_secs(599)).unwrap();
    test.expect("select 1", "").unwrap();
}

#[tokio::test]
async fn checkpoint_of_another_query_is_refused_by_the_names_of_its_operators() {
    use fyke::{CheckpointSettings, RunSettings, Script};
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.json");
    std::fs::write(&log, format!("{}\n", row("00:10", "a", 1))).unwrap();
    let run = |query: &'static str, may_change: bool| {
        let text = format!("{} {query}", TABLE.replace("/nowhere", &log.display().to_string()));
        let checkpoint = CheckpointSettings { may_change, ..CheckpointSettings::new(folder.path().join("checkpoint")) };
        let settings = RunSettings { follow: true, checkpoint: Some(checkpoint), ..RunSettings::default() };
        async move {
            let script = Script::parse(&text, "q.sql", &Default::default()).unwrap();
            let sink = |_: &_| -> fyke::Result<Box<dyn fyke::types::Sink>> {
                Ok(Box::new(fyke::connect::MemorySink::exactly_once()))
            };
            let mut driver = fyke::context().stream_script(&script, &settings, &sink, &mut |_| {}).await.unwrap();
            driver.begin()?;
            driver.settle()?;
            driver.write_checkpoint()?;
            Ok::<_, fyke::Error>(driver.progress_handle().lock().unwrap().totals())
        }
    };
    assert_eq!(run(PER_HOST, false).await.unwrap().0, 1);
    assert_eq!(run(PER_HOST, false).await.unwrap().0, 1, "the same text goes on");
    const OTHER: &str =
        "SELECT tumble(time, INTERVAL '1 minute') AS w, host, max(n) AS n FROM requests GROUP BY w, host";
    let error = run(OTHER, false).await.unwrap_err().to_string();
    assert!(error.contains("sum") && error.contains("max") && error.contains("--changed-query"), "{error}");
    assert_eq!(run(OTHER, true).await.unwrap().0, 1, "told to, it goes on with what fits");
}

#[tokio::test]
async fn state_of_a_checkpoint_is_a_table() {
    use fyke::{CheckpointSettings, RunSettings, Script};
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.json");
    std::fs::write(&log, format!("{}\n{}\n", row("00:10", "a", 1), row("00:20", "b", 2))).unwrap();
    let checkpoint = folder.path().join("checkpoint");
    let text = format!("{} {PER_HOST}", TABLE.replace("/nowhere", &log.display().to_string()));
    let script = Script::parse(&text, "q.sql", &Default::default()).unwrap();
    let settings =
        RunSettings { follow: true, checkpoint: Some(CheckpointSettings::new(&checkpoint)), ..RunSettings::default() };
    let sink = |_: &_| -> fyke::Result<Box<dyn fyke::types::Sink>> { Ok(Box::new(fyke::connect::MemorySink::new())) };
    let mut driver = fyke::context().stream_script(&script, &settings, &sink, &mut |_| {}).await.unwrap();
    driver.begin().unwrap();
    driver.settle().unwrap();
    driver.write_checkpoint().unwrap();
    let query = format!("SELECT customer, start, state FROM state('{}') ORDER BY customer", checkpoint.display());
    let text = fyke::context().sql(&query).await.unwrap().show(10).await.unwrap();
    assert!(text.contains("2026-01-01T00:00:00"), "{text}");
    assert!(text.contains(r#"{"k":"a","s0":1}"#) && text.contains(r#"{"k":"b","s0":2}"#), "{text}");
    let error = fyke::context().sql("SELECT * FROM state('/nowhere')").await.err().map(|e| e.to_string());
    assert!(error.is_some_and(|error| error.contains("no checkpoint")));
}
