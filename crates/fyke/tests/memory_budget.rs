//! State that memory has no room for: a client that invents a new address with every request.

#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

use std::collections::BTreeMap;
use std::fmt::Write;

use fyke::connect::MemorySink;
use fyke::types::Sink;
use fyke::{Progress, RunSettings, Script, SinkMode};

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

/// Windows and panes of the flood, and sessions of it: of addresses that never come again, and of those that come again each
/// 61 seconds, when their session lies on disk.
const PIPELINES: [&str; 6] = [
    "SELECT tumble(time, INTERVAL '2 minutes') AS w, customer, address, count(*) AS n, sum(bytes) AS b, avg(bytes) AS m
     FROM requests GROUP BY w, customer, address",
    "SELECT hop(time, INTERVAL '4 minutes', INTERVAL '2 minutes') AS w, customer, address, count(*) AS n, max(bytes) AS b
     FROM requests GROUP BY w, customer, address",
    "SELECT customer, address, count(*) AS n FROM requests GROUP BY customer, address",
    "SELECT session(time, INTERVAL '90 seconds') AS w, customer, address, count(*) AS n, sum(bytes) AS b, avg(bytes) AS m
     FROM requests GROUP BY w, customer, address",
    "SELECT session(time, INTERVAL '62 seconds') AS w, customer, right(address, 3) AS tail, count(*) AS n, max(bytes) AS b
     FROM requests GROUP BY w, customer, tail",
    "SELECT w, customer, address, n, b FROM (SELECT w, customer, address, n, b, row_number() OVER (PARTITION BY w, customer
       ORDER BY n DESC, b) AS r FROM (SELECT tumble(time, INTERVAL '2 minutes') AS w, customer, address, count(*) AS n,
         sum(bytes) AS b FROM requests GROUP BY w, customer, address)) WHERE r <= 3",
];

/// How much memory, how much is read at once, by how many workers.
#[derive(Clone, Copy)]
struct Room {
    budget: usize,
    block_bytes: usize,
    workers: usize,
}

/// A stream with a budget gives the rows of a batch, and leaves nothing behind.
async fn check(text: &str, room: Room) -> Progress {
    let Room { budget, block_bytes, workers } = room;
    let script = Script::parse(text, "budget.sql", &BTreeMap::new()).expect("parses");
    let expected = MemorySink::new();
    let select = |_: &_| -> fyke::Result<Box<dyn Sink>> { Ok(Box::new(expected.clone())) };
    fyke::context().batch_script(&script, SinkMode::Append, &select, &mut |_| {}).await.expect("batch");
    let spills = tempfile::tempdir().expect("a folder");
    let place = Some(spills.path().to_owned());
    let context = fyke::context_with(|builder| {
        builder.short_epochs(true).workers(workers).block_bytes(block_bytes).memory_budget(budget, place)
    });
    let given = MemorySink::new();
    let schema = std::sync::Mutex::new(None);
    let select = |of: &_| -> fyke::Result<Box<dyn Sink>> {
        *schema.lock().expect("lock") = Some(std::sync::Arc::clone(of));
        Ok(Box::new(given.clone()))
    };
    let driver = context.stream_script(&script, &RunSettings::default(), &select, &mut |_| {}).await.expect("plans");
    let progress = tokio::task::spawn_blocking(move || driver.run()).await.expect("runs").expect("runs");
    let schema = schema.lock().expect("lock").clone().expect("a schema");
    let compared = fyke::compare_rows(&schema, &expected.batches(), &given.batches()).expect("compared");
    assert!(compared.is_equal(), "{workers} workers: {compared:#?}\n{text}");
    let (read, used, late, dead) = progress.totals();
    assert_eq!((used, late, dead), (read, 0, 0), "{text}");
    drop(context);
    assert_eq!(std::fs::read_dir(spills.path()).expect("there").count(), 0, "nothing stays behind");
    progress
}

fn requests(folder: &std::path::Path, query: &str) -> String {
    format!(
        "CREATE UNBOUNDED EXTERNAL TABLE log (time TIMESTAMP, address VARCHAR, bytes BIGINT, customer VARCHAR) STORED AS
           JSON LOCATION '{}/*.json' OPTIONS ('event_time' 'time', 'lateness' '1 second');
         CREATE VIEW requests AS SELECT time, address, bytes, CASE WHEN address LIKE '10.%' THEN 'calm' ELSE 'attacked'
           END AS customer FROM log; {query}",
        folder.display()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invented_addresses_go_to_disk_and_every_row_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    logs(folder.path(), 40_000);
    for query in PIPELINES {
        for workers in [1, 3] {
            let room = Room { budget: 400_000, block_bytes: 200_000, workers };
            let progress = check(&requests(folder.path(), query), room).await;
            assert!(progress.spilled_bytes_max > 100_000, "{workers} workers: {query} {progress:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_of_invented_addresses_keeps_sessions_within_the_budget() {
    let folder = tempfile::tempdir().expect("a folder");
    logs(folder.path(), 150_000);
    let text = requests(folder.path(), PIPELINES[3]);
    // all of it in memory: what is open at a time
    let whole = check(&text, Room { budget: 1 << 30, block_bytes: 50_000, workers: 1 }).await;
    assert_eq!(whole.spilled_bytes_max, 0);
    let room = Room { budget: 2_000_000, block_bytes: 50_000, workers: 1 };
    let progress = check(&text, room).await;
    let (most, disk) = (progress.weighed_bytes_max, progress.spilled_bytes_max);
    println!("in memory {most} of {} bytes, on disk {disk}", whole.weighed_bytes_max);
    assert!(whole.weighed_bytes_max > 4 * room.budget as u64, "{}", whole.weighed_bytes_max);
    // weighed before it is spilled: with the rows of an epoch on top
    assert!(most < 3 * room.budget as u64 / 2, "{most}");
    assert!(disk > 1_000_000, "{disk}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_wait_for_the_other_side_of_a_join_go_to_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    logs(folder.path(), 40_000);
    let table = |name: &str| {
        format!(
            "CREATE UNBOUNDED EXTERNAL TABLE {name} (time TIMESTAMP, address VARCHAR, bytes BIGINT) STORED AS JSON
               LOCATION '{}/{name}.json' OPTIONS ('event_time' 'time', 'lateness' '1 second');",
            folder.path().display()
        )
    };
    // rows of the interval join, and so what stands behind it, come five minutes later than those of the other side
    let text = format!(
        "{} {} WITH a AS (SELECT tumble(time, INTERVAL '30 seconds') AS w, address, sum(bytes) AS b FROM attacked
                          GROUP BY w, address),
                    p AS (SELECT x.time AS time, y.bytes AS bytes FROM calm x LEFT JOIN calm y ON x.bytes = y.bytes
                            AND y.time BETWEEN x.time AND x.time + INTERVAL '5 minutes'),
                    c AS (SELECT tumble(time, INTERVAL '30 seconds') AS w, count(*) AS n, sum(bytes) AS s FROM p GROUP BY w)
               SELECT a.w, a.address, a.b, c.n, c.s FROM a JOIN c ON a.w = c.w",
        table("attacked"),
        table("calm"),
    );
    for workers in [1, 3] {
        let whole = check(&text, Room { budget: 1 << 30, block_bytes: 50_000, workers }).await;
        let room = Room { budget: 600_000, block_bytes: 50_000, workers };
        let progress = check(&text, room).await;
        let (most, disk) = (progress.weighed_bytes_max, progress.spilled_bytes_max);
        println!("in memory {most} of {} bytes, on disk {disk}", whole.weighed_bytes_max);
        assert!(disk > 500_000 && most < whole.weighed_bytes_max / 2, "{most} {disk}");
    }
}
