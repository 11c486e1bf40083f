//! State that memory has no room for: a client that invents a new address with every request.

#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

use std::collections::BTreeMap;
use std::fmt::Write;

use fyke::connect::MemorySink;
use fyke::types::Sink;
use fyke::{RunSettings, Script, SinkMode};

/// One customer with three clients, and one whose every request has another address.
fn logs(folder: &std::path::Path, requests: u32) {
    let line = |at: u32, address: String| {
        let (minute, second) = (at * 600 / requests / 60, at * 600 / requests % 60);
        format!("{{\"time\":\"2026-03-02T08:{minute:02}:{second:02}Z\",\"address\":\"{address}\",\"bytes\":{at}}}\n")
    };
    let (mut calm, mut attacked) = (String::new(), String::new());
    for at in 0..requests {
        let _ = write!(attacked, "{}", line(at, format!("2001:db8::{at:x}:{:x}", at.wrapping_mul(2_654_435_761))));
        if at.is_multiple_of(10) {
            let _ = write!(calm, "{}", line(at, format!("10.0.0.{}", at / 10 % 3)));
        }
    }
    std::fs::write(folder.join("calm.json"), calm).expect("a log");
    std::fs::write(folder.join("attacked.json"), attacked).expect("a log");
}

const PIPELINES: [&str; 3] = [
    "SELECT tumble(time, INTERVAL '2 minutes') AS w, customer, address, count(*) AS n, sum(bytes) AS b, avg(bytes) AS m
     FROM requests GROUP BY w, customer, address",
    "SELECT hop(time, INTERVAL '4 minutes', INTERVAL '2 minutes') AS w, customer, address, count(*) AS n, max(bytes) AS b
     FROM requests GROUP BY w, customer, address",
    "SELECT customer, address, count(*) AS n FROM requests GROUP BY customer, address",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invented_addresses_go_to_disk_and_every_row_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    logs(folder.path(), 40_000);
    for (number, query) in PIPELINES.into_iter().enumerate() {
        let text = format!(
            "CREATE UNBOUNDED EXTERNAL TABLE log (time TIMESTAMP, address VARCHAR, bytes BIGINT, customer VARCHAR) STORED AS
               JSON LOCATION '{}/*.json' OPTIONS ('event_time' 'time', 'lateness' '1 second');
             CREATE VIEW requests AS SELECT time, address, bytes, CASE WHEN address LIKE '10.%' THEN 'calm' ELSE 'attacked'
               END AS customer FROM log; {query}",
            folder.path().display()
        );
        let script = Script::parse(&text, "budget.sql", &BTreeMap::new()).expect("parses");
        let expected = MemorySink::new();
        let select = |_: &_| -> fyke::Result<Box<dyn Sink>> { Ok(Box::new(expected.clone())) };
        fyke::context().batch_script(&script, SinkMode::Append, &select, &mut |_| {}).await.expect("batch");
        for workers in [1, 3] {
            let spills = tempfile::tempdir().expect("a folder");
            let context = fyke::context_with(|builder| {
                builder
                    .short_epochs(true)
                    .workers(workers)
                    .block_bytes(200_000)
                    .memory_budget(400_000, Some(spills.path().to_owned()))
            });
            let given = MemorySink::new();
            let schema = std::sync::Mutex::new(None);
            let select = |of: &_| -> fyke::Result<Box<dyn Sink>> {
                *schema.lock().expect("lock") = Some(std::sync::Arc::clone(of));
                Ok(Box::new(given.clone()))
            };
            let settings = RunSettings::default();
            let driver = context.stream_script(&script, &settings, &select, &mut |_| {}).await.expect("plans");
            let progress = tokio::task::spawn_blocking(move || driver.run()).await.expect("runs").expect("runs");
            let schema = schema.lock().expect("lock").clone().expect("a schema");
            let compared = fyke::compare_rows(&schema, &expected.batches(), &given.batches()).expect("compared");
            assert!(compared.is_equal(), "pipeline {number}, {workers} workers: {compared:#?}");
            assert!(progress.spilled_bytes_max > 500_000, "pipeline {number}, {workers} workers: {progress:?}");
            drop(context);
            assert_eq!(std::fs::read_dir(spills.path()).expect("there").count(), 0, "nothing stays behind");
        }
    }
}
