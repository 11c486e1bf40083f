//! One customer's flood does not delay the others by more than their share, from the files to the rows that come out, by
//! one worker or several.

#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fyke::arrow::array::RecordBatch;
use fyke::types::Sink;
use fyke::{RunSettings, Script};

/// Requests of the customer who is far ahead in event time, and of the one who floods.
const CALM: u64 = 2_000;
const FLOOD: u64 = 40_000;

/// One a second.
fn log(from: u64, lines: u64) -> String {
    let line = |at: u64| {
        let (day, hour, minute, second) = (1 + at / 86_400, at / 3_600 % 24, at / 60 % 60, at % 60);
        format!("{{\"time\":\"2026-03-{day:02}T{hour:02}:{minute:02}:{second:02}Z\"}}\n")
    };
    (from..from + lines).map(line).collect()
}

#[derive(Clone, Default)]
struct Counted(Arc<Mutex<BTreeMap<String, u64>>>);

impl Sink for Counted {
    fn write(&mut self, batch: &RecordBatch) -> fyke::Result<()> {
        let mut lines = Vec::new();
        fyke::connect::batch_to_json_lines(batch, &mut lines)?;
        for line in String::from_utf8(lines).expect("UTF-8").lines() {
            let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let customer = row["customer"].as_str().expect("a customer").to_owned();
            *self.0.lock().expect("lock").entry(customer).or_default() += row["n"].as_u64().expect("a count");
        }
        Ok(())
    }

    fn finish(&mut self) -> fyke::Result<()> {
        Ok(())
    }
}

async fn is_fair_with(workers: usize, folder: &Path) {
    let text = format!(
        "CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, customer VARCHAR) STORED AS JSON LOCATION '{}' \
         OPTIONS ('event_time' 'time', 'lateness' '0 seconds'); \
         SELECT tumble(time, INTERVAL '10 seconds') AS w, customer, count(*) AS n FROM requests GROUP BY w, customer",
        folder.display()
    );
    let script = Script::parse(&text, "fair.sql", &BTreeMap::new()).expect("parses");
    let counted = Counted::default();
    let select = |_: &_| -> fyke::Result<Box<dyn Sink>> { Ok(Box::new(counted.clone())) };
    let live = RunSettings { follow: true, ..RunSettings::default() };
    let context =
        fyke::context_with(|builder| builder.workers(workers).block_bytes(2_000).decode_threads(1).short_epochs(true));
    let mut driver = context.stream_script(&script, &live, &select, &mut |_| {}).await.expect("plans");
    let fair = move || {
        driver.begin().expect("begins");
        // the last window stays open
        while counted.0.lock().expect("lock").get("calm").copied().unwrap_or_default() < CALM - 10 {
            assert!(driver.step_once().expect("steps"), "a live run has more");
            let used = driver.progress_handle().lock().expect("lock").totals().1;
            assert!(used < 3 * CALM, "{workers} workers: {used} rows were used, {:?}", counted.0.lock().expect("lock"));
        }
    };
    tokio::task::spawn_blocking(fair).await.expect("fair");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_does_not_delay_others_by_more_than_their_share() {
    let folder = tempfile::tempdir().expect("a folder");
    for (customer, log) in [("flood", log(0, FLOOD)), ("calm", log(900_000, CALM))] {
        let own = folder.path().join(format!("customer={customer}"));
        std::fs::create_dir(&own).expect("a folder of its own");
        std::fs::write(own.join("log.json"), log).expect("written");
    }
    for workers in [1, 3] {
        is_fair_with(workers, folder.path()).await;
    }
}
