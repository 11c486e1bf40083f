//! `examples/early_verdicts.sql`: a verdict while the visit goes on, and the same one refined at its end.

#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

use std::collections::BTreeMap;
use std::time::Duration;

use fyke::arrow::array::{AsArray, RecordBatch};
use fyke::arrow::datatypes::Int64Type;
use fyke::testing::StreamTest;

const REQUESTS: &str = "requests";

fn example() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/early_verdicts.sql");
    std::fs::read_to_string(file).expect("the example")
}

/// A scanner's requests for what only attackers ask for, one each ten seconds.
fn attack(from: i64, count: i64) -> String {
    let line = |second: i64| {
        let (minute, second) = (second / 60, second % 60);
        format!(
            r#"{{"time": "2026-03-02T08:{minute:02}:{second:02}Z", "customer": "shop", "client_ip": "192.0.2.7", "method": "GET", "path": "/.env", "status": 404, "bytes": 10, "agent": "Mozilla/5.0"}}"#
        )
    };
    (0..count).map(|at| line(from + at * 10)).collect::<Vec<_>>().join("\n")
}

/// Class and number of requests of each verdict.
fn verdicts(batches: &[RecordBatch]) -> Vec<(String, i64)> {
    let of = |batch: &RecordBatch| {
        let class = batch.column_by_name("class").expect("class").as_string::<i32>().clone();
        let requests = batch.column_by_name("requests").expect("requests").as_primitive::<Int64Type>().clone();
        (0..batch.num_rows()).map(|row| (class.value(row).to_owned(), requests.value(row))).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of).collect()
}

fn is_final(batches: &[RecordBatch]) -> Vec<bool> {
    let flags = batches.iter().map(|batch| batch.column_by_name("is_final").expect("a flag").as_boolean().clone());
    flags.flat_map(|flags| (0..flags.len()).map(|row| flags.value(row)).collect::<Vec<_>>()).collect()
}

#[tokio::test]
async fn verdict_comes_while_the_visit_goes_on_and_is_refined() {
    let parameters = BTreeMap::from([("LOGS", "access.log"), ("OUT", "verdicts.json")]);
    let parameters = parameters.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut test = StreamTest::start_with(&example(), &[REQUESTS], &parameters).await.expect("starts");
    test.add_of(REQUESTS, "shop", &attack(0, 2)).expect("added");
    test.advance_clock(Duration::from_secs(1)).expect("a second on");
    let early = test.rows("verdicts.json").expect("rows");
    assert_eq!(verdicts(&early).len(), 1, "a verdict before the first minute is over");
    assert_ne!(verdicts(&early)[0].0, "bot", "two such requests are not enough");

    test.add_of(REQUESTS, "shop", &attack(20, 5)).expect("added");
    test.kill_and_resume().await.expect("goes on");
    test.advance_clock(Duration::from_secs(1)).expect("a second on");
    let refined = test.rows("verdicts.json").expect("rows");
    assert_eq!(verdicts(&refined), [("bot".to_owned(), 7)]);
    assert_eq!(is_final(&refined), [false]);

    test.advance_watermark(REQUESTS, "2026-03-02T10:00:00Z").expect("an hour on");
    let last = test.rows("verdicts.json").expect("rows");
    assert_eq!(verdicts(&last), [("bot".to_owned(), 7)], "the visit is over");
    assert_eq!(is_final(&last), [true]);
}
