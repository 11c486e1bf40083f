//! Scripts into real search servers: as in production, with crashes in between. `FYKE_SEARCH_ALL=1` takes the older
//! servers too.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that can not go on has failed")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fyke::arrow::array::RecordBatch;
use fyke::checkpoint::Every;
use fyke::types::Sink;
use fyke::{CheckpointSettings, Progress, RunSettings, Script, SinkMode};
use fyke_testbed::search::{Product, Search};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<RecordBatch>>>);

impl Sink for Kept {
    fn write(&mut self, batch: &RecordBatch) -> fyke::Result<()> {
        self.0.lock().expect("no panic").push(batch.clone());
        Ok(())
    }

    fn finish(&mut self) -> fyke::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn lines(&self) -> Vec<String> {
        let mut text = Vec::new();
        for batch in self.0.lock().expect("no panic").iter() {
            fyke::connect::batch_to_json_lines(batch, &mut text).expect("JSON");
        }
        let mut lines: Vec<String> = String::from_utf8(text).expect("UTF-8").lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

const CUSTOMERS: [&str; 5] = ["shop", "Shop", "news", "bank/eu", "forum"];

/// A log for each customer, with a line in fifty that is none.
fn write_logs(folder: &Path) -> u64 {
    let mut dead = 0;
    for (number, customer) in CUSTOMERS.iter().enumerate() {
        let mut log = String::new();
        for line in 0..400 {
            if line % 50 == 49 {
                log.push_str("{\"time\": \"yesterday\"}\n");
                dead += 1;
                continue;
            }
            let (minute, second, client) = (line / 60, line % 60, (line * 7 + number) % 13);
            let _ = writeln!(
                log,
                "{{\"time\":\"2026-03-02T08:{minute:02}:{second:02}Z\",\"customer\":\"{customer}\",\
                 \"client_ip\":\"192.0.2.{client}\",\"bytes\":{}}}",
                line * 31 % 977
            );
        }
        std::fs::write(folder.join(format!("{number}.json")), log).expect("written");
    }
    dead
}

fn tables(folder: &Path, dead_to: &str) -> String {
    format!(
        "CREATE UNBOUNDED EXTERNAL TABLE requests (time TIMESTAMP, customer VARCHAR, client_ip VARCHAR, bytes BIGINT) \
           STORED AS JSON LOCATION '{}/*.json' OPTIONS ('event_time' 'time', 'customer' 'customer'{dead_to});
         CREATE VIEW minutes AS SELECT tumble(time, INTERVAL '1 minute') AS w, customer, client_ip, count(*) AS n, \
           avg(bytes) AS mean FROM requests GROUP BY w, customer, client_ip;",
        folder.display()
    )
}

fn parse(text: &str) -> Script {
    Script::parse(text, "test.sql", &BTreeMap::new()).expect("parses")
}

async fn batch(text: &str) -> Vec<String> {
    let kept = Kept::default();
    let select = |_: &_| -> fyke::Result<Box<dyn Sink>> { Ok(Box::new(kept.clone())) };
    fyke::context().batch_script(&parse(text), SinkMode::Append, &select, &mut |_| {}).await.expect("runs");
    kept.lines()
}

/// Runs with checkpoints, crashing after every few epochs until it comes to its end; gives how often it crashed.
async fn with_crashes(text: &str, folder: &Path) -> (Progress, u64) {
    let checkpoint =
        CheckpointSettings { every: Every::Epochs(3), ..CheckpointSettings::new(folder.join("checkpoint")) };
    let settings = RunSettings { checkpoint: Some(checkpoint), ..RunSettings::default() };
    let no_select = |_: &_| -> fyke::Result<Box<dyn Sink>> { Err(fyke::Error::internal("there is no SELECT")) };
    for crashes in 0..500 {
        let context = fyke::context_with(|builder| builder.block_bytes(1500).short_epochs(true));
        let driver = context.stream_script(&parse(text), &settings, &no_select, &mut |_| {}).await.expect("plans");
        let epochs = 4 + crashes % 5;
        let run = tokio::task::spawn_blocking(move || driver.run_until_crash(epochs));
        if let Some(progress) = run.await.expect("runs").expect("runs") {
            return (progress, crashes);
        }
    }
    panic!("it never came to its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verdicts_of_a_run_that_crashes_are_there_once_and_equal_batch() {
    let products = if std::env::var_os("FYKE_SEARCH_ALL").is_some() { &Product::ALL[..] } else { &Product::ALL[..2] };
    for product in products {
        let server = Search::start(*product).expect("a server");
        let folder = tempfile::tempdir().expect("a folder");
        let dead = write_logs(folder.path());
        let (url, name) = (server.url(), product.name());
        let stored = if name.starts_with("open") { "OPENSEARCH" } else { "ELASTICSEARCH" };
        let text = format!(
            "CREATE EXTERNAL TABLE dead STORED AS {stored} LOCATION '{url}' OPTIONS ('index' 'fyke-dead');
             {} COPY (SELECT * FROM minutes) TO '{url}' STORED AS {stored} \
               OPTIONS ('index' 'fyke-minutes-{{customer}}-{{w.start|%Y.%m.%d}}')",
            tables(folder.path(), ", 'dead_to' 'dead'")
        );
        let (progress, crashes) = with_crashes(&text, folder.path()).await;
        assert!(crashes >= 5, "it crashed {crashes} times");
        let expected = batch(&format!("{} SELECT * FROM minutes", tables(folder.path(), ""))).await;
        assert_eq!(progress.sinks[0].rows, expected.len() as u64, "{name}");
        // searches see what was written before a refresh, of which there is one a second
        tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
        let back = format!(
            "CREATE EXTERNAL TABLE back (\"event.start\" TIMESTAMP, \"event.end\" TIMESTAMP, \"organization.name\" VARCHAR, \
               \"source.ip\" VARCHAR, n BIGINT, mean DOUBLE) STORED AS {stored} LOCATION '{url}' \
               OPTIONS ('index' 'fyke-minutes-*', 'page_rows' '100');
             SELECT named_struct('start', \"event.start\", 'end', \"event.end\") AS w, \"organization.name\" AS customer, \
               \"source.ip\" AS client_ip, n, mean FROM back"
        );
        assert_eq!(batch(&back).await, expected, "{name}");

        // dead letters: each once, though they were written again after each crash; replayed from the index
        let replay = format!(
            "CREATE EXTERNAL TABLE again (time VARCHAR) STORED AS DEAD_LETTERS LOCATION '{url}' \
               OPTIONS ('stored_as' '{stored}', 'from.index' 'fyke-dead', 'format' 'JSON');
             SELECT time, count(*) AS n FROM again GROUP BY time"
        );
        assert_eq!(batch(&replay).await, [format!("{{\"time\":\"yesterday\",\"n\":{dead}}}")], "{name}");
        eprintln!("{name}: {} rows, {dead} dead letters, {crashes} crashes", expected.len());
    }
}
