//! Invariants 2, 3 and 4: late rows are counted once, chains close together, customers are independent.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use fyke_query::{Context, TableSettings};
use fyke_stream::{CustomerBy, TimeSettings};
use fyke_types::{ReadOptions, Reader, Result, Source};
use support::{Rehearsed, Row, SECOND, batch, context, context_of};

fn row(second: i64, host: &str) -> Row {
    Row { time: second * SECOND, host: host.to_owned(), addr: "1".to_owned(), n: Some(1), x: 0.5 }
}

fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Two aggregates of different widths read the table: a row may be late for one and in time for the other.
const TWO_WIDTHS: &str = "SELECT count(*) AS c FROM requests GROUP BY tumble(time, INTERVAL '10 seconds') \
     UNION ALL SELECT count(*) AS c FROM requests GROUP BY tumble(time, INTERVAL '1 hour')";

#[tokio::test(flavor = "multi_thread")]
async fn late_row_is_counted_once_however_many_windows_it_misses() {
    let first: Vec<Row> = (0..100).map(|s| row(s, "a")).collect();
    let second = [row(5, "a"), row(99, "a"), row(7, "a"), row(101, "a")];
    for (text, late) in
        [(TWO_WIDTHS, 2), ("SELECT count(*) AS c FROM requests GROUP BY tumble(time, INTERVAL '1 hour')", 0)]
    {
        let context = context(vec![vec![batch(&first), batch(&second)]], 0, None);
        let (progress, _) = context.sql(text).await.expect("plans").collect_stream().await.expect("runs");
        let source = &progress.sources[0];
        assert_eq!((source.read, source.used, source.late, source.dead), (104, 104 - late, late, 0), "{text}");
        if late > 0 {
            assert_eq!(source.late_by_us, 94 * SECOND, "by how much the lateness should be raised");
        }
    }
}

/// What is written to a topic so is read again as a source there, whose rows must not have become late on the way.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_pass_through_keep_their_inputs_order_though_some_are_behind_the_mark() {
    let rows = |seconds: &[i64]| batch(&seconds.iter().map(|s| row(*s, "a")).collect::<Vec<_>>());
    let context = context(vec![vec![rows(&[10, 20, 30]), rows(&[25, 40, 15, 50])]], 0, None);
    let (progress, batches) =
        context.sql("SELECT time FROM requests").await.expect("plans").collect_stream().await.expect("runs");
    let times = batches.iter().flat_map(|batch| {
        let times = batch.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec();
        times.into_iter().map(|time| time / SECOND)
    });
    assert_eq!(times.collect::<Vec<_>>(), [10, 20, 30, 25, 40, 15, 50]);
    assert_eq!(progress.totals(), (7, 7, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn row_within_the_lateness_is_never_late() {
    let first: Vec<Row> = (0..100).map(|s| row(s, "a")).collect();
    let context = context(vec![vec![batch(&first), batch(&[row(5, "a")])]], 94 * SECOND, None);
    let (progress, _) = context.sql(TWO_WIDTHS).await.expect("plans").collect_stream().await.expect("runs");
    assert_eq!(progress.totals(), (101, 101, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn session_takes_a_row_behind_the_mark_only_while_it_is_open() {
    let rows = |seconds: &[i64]| batch(&seconds.iter().map(|s| row(*s, "a")).collect::<Vec<_>>());
    // at mark 100 the session of 50..=95 is open (it ends at 105); the one of 0 is closed
    let input = vec![rows(&[0, 50, 60, 70, 80, 90, 95, 100]), rows(&[85]), rows(&[1]), rows(&[40])];
    let context = context(vec![input], 0, None);
    let text = "SELECT session(time, INTERVAL '10 seconds') AS w, count(*) AS c FROM requests GROUP BY w";
    let (progress, batches) = context.sql(text).await.expect("plans").collect_stream().await.expect("runs");
    // 85 and 40 touch what is open; 1 belongs to a session that is closed
    assert_eq!(progress.totals(), (11, 10, 1, 0));
    assert_eq!(count(&batches), 2, "{batches:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn customer_ahead_of_the_others_makes_no_row_of_theirs_late() {
    let mut rows: Vec<Row> = vec![row(86_000, "ahead")];
    rows.extend((0..200).map(|s| row(s, "steady")));
    let batches: Vec<RecordBatch> = rows.chunks(10).map(batch).collect();
    let text = "SELECT tumble(time, INTERVAL '10 seconds') AS w, host, count(*) AS c FROM requests GROUP BY w, host";
    let (progress, _) = context(vec![batches.clone()], 0, Some("host"))
        .sql(text)
        .await
        .expect("plans")
        .collect_stream()
        .await
        .expect("runs");
    assert_eq!(progress.totals(), (201, 201, 0, 0), "each customer follows its own watermark");
    let (progress, _) =
        context(vec![batches], 0, None).sql(text).await.expect("plans").collect_stream().await.expect("runs");
    assert!(progress.totals().2 > 0, "without customers the input has one watermark");
}

#[tokio::test(flavor = "multi_thread")]
async fn chain_of_any_depth_closes_in_the_same_step_as_its_first_window() {
    // the mark stands at 125 s: two minutes are closed, and no row comes any more
    let rows: Vec<Row> = (0..=125).map(|s| row(s, ["a", "b"][s as usize % 2])).collect();
    let source = Rehearsed { inputs: vec![rows.chunks(7).map(batch).collect()], endless: true };
    let context = context_of(source, 0, None);
    let text = "WITH c AS (SELECT tumble(time, INTERVAL '1 minute') AS w, host, addr, count(*) AS n FROM requests GROUP BY w, host, addr), \
         g AS (SELECT w, host, avg(n) AS mean FROM c GROUP BY w, host), \
         h AS (SELECT w, avg(mean) AS mean FROM g GROUP BY w) \
         SELECT c.w, c.host, c.n / g.mean / h.mean AS r FROM c JOIN g ON c.w = g.w AND c.host = g.host JOIN h ON c.w = h.w";
    let frame = context.sql(text).await.expect("plans");
    let query = frame.write_stream().start_in_memory().await.expect("starts");
    let started = Instant::now();
    while count(&query.rows()) < 4 && started.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(count(&query.rows()), 4, "two closed minutes of two hosts, while the third is open");
    let (progress, rows) = query.stop().expect("stops");
    assert_eq!(count(&rows), 6, "stopping drains: the open minute closes");
    assert_eq!(progress.totals(), (126, 126, 0, 0));
}

/// Inputs that are called as the hosts of their rows.
#[derive(Debug)]
struct OwnInputs(Rehearsed);

impl Source for OwnInputs {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn open(&self, options: &ReadOptions) -> Result<Box<dyn Reader>> {
        self.0.open(options)
    }

    fn is_customer_of_input(&self, column: &str) -> bool {
        column == "host"
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_input_of_one_customer_holds_no_other_where_inputs_are_customers() {
    let fast: Vec<Row> = (0..=100).map(|s| row(s, "input-0")).collect();
    let slow: Vec<Row> = (0..=5).map(|s| row(s, "input-1")).collect();
    let source = || Rehearsed { inputs: vec![vec![batch(&fast)], vec![batch(&slow)]], endless: true };
    let (any, own): (Arc<dyn Source>, Arc<dyn Source>) = (Arc::new(source()), Arc::new(OwnInputs(source())));
    // where any input may hold any customer, all wait for the slowest
    for (source, closed) in [(own, 10), (any, 0)] {
        let time = TimeSettings {
            event_time: Some("time".to_owned()),
            customer: CustomerBy::Column("host".to_owned()),
            ..TimeSettings::default()
        };
        let context = Context::builder().build();
        let settings = TableSettings { time, ..TableSettings::default() };
        context.register_source("requests", source, settings, true).expect("registers");
        let text =
            "SELECT tumble(time, INTERVAL '10 seconds') AS w, host, count(*) AS n FROM requests GROUP BY w, host";
        let query = context.sql(text).await.expect("plans").write_stream().start_in_memory().await.expect("starts");
        let started = Instant::now();
        let enough = || count(&query.rows()) >= closed.max(1) || started.elapsed() > Duration::from_secs(10);
        while !enough() && (closed > 0 || started.elapsed() < Duration::from_secs(1)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(count(&query.rows()), closed);
        let (progress, rows) = query.stop().expect("stops");
        assert_eq!((count(&rows), progress.totals()), (12, (107, 107, 0, 0)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_shows_windows_keys_state_and_whose_watermark_closes_them() {
    let context = context(vec![vec![]], 0, Some("host"));
    let text = "SELECT tumble(time, INTERVAL '1 minute') AS w, host, count(*) AS c FROM requests GROUP BY w, host";
    let plan = context.sql(text).await.expect("plans").explain().await.expect("explains");
    assert!(plan.contains("tumble") && plan.contains("each customer's watermark"), "{plan}");
    assert!(plan.contains("state: a row for each open group"), "{plan}");
}
