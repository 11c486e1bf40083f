//! When the rows of joins come in a live run: to the microsecond, by customer, and across silence and crashes.
#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

use std::time::Duration;

use fyke::testing::StreamTest;

fn table(name: &str) -> String {
    format!(
        "CREATE UNBOUNDED EXTERNAL TABLE {name} (time TIMESTAMP, host VARCHAR, n BIGINT) STORED AS JSON \
         LOCATION '/{name}' OPTIONS ('event_time' 'time', 'lateness' '10 seconds', 'customer' 'host');"
    )
}

async fn test(query: &str) -> StreamTest {
    let text = format!("{} {} {query}", table("l"), table("r"));
    StreamTest::start(&text, &["l", "r"]).await.unwrap()
}

fn time(of: &str) -> String {
    format!("2026-01-01T00:{of}Z")
}

fn row(at: &str, host: &str, n: i64) -> String {
    format!(r#"{{"time": "{}", "host": "{host}", "n": {n}}}"#, time(at))
}

fn pair(host: &str, left: i64, right: Option<i64>) -> String {
    format!(r#"{{"host": "{host}", "n": {left}, "m": {}}}"#, right.map_or("null".to_owned(), |n| n.to_string()))
}

const WITHIN: &str = "SELECT l.host, l.n, r.n AS m FROM l LEFT JOIN r ON l.host = r.host AND \
     r.time >= l.time AND r.time <= l.time + INTERVAL '5 seconds'";

#[tokio::test]
async fn a_lone_row_comes_with_the_first_mark_that_rules_a_partner_out() {
    for (upper, last, first) in [("<=", "01:05", "01:05.000001"), ("<", "01:04.999999", "01:05")] {
        let mut test = test(&WITHIN.replace("<=", upper)).await;
        test.add("l", &row("01:00", "a", 1)).unwrap();
        test.add("r", &row("00:30", "a", 2)).unwrap();
        test.advance_watermark("r", &time(last)).unwrap();
        test.expect("select 1", "").unwrap();
        test.kill_and_resume().await.unwrap();
        test.advance_watermark("r", &time(first)).unwrap();
        test.expect("select 1", &pair("a", 1, None)).unwrap();
        assert_eq!(test.end(&[("select 1", "")]).unwrap().totals(), (2, 2, 0, 0));
    }
}

#[tokio::test]
async fn a_customer_that_lags_holds_up_nobody_else() {
    let mut test = test(WITHIN).await;
    test.add("l", &[row("01:00", "a", 1), row("01:00", "b", 2)].join("\n")).unwrap();
    // a's mark goes on, b's stays behind
    test.add("r", &[row("00:50", "b", 3), row("01:30", "a", 4)].join("\n")).unwrap();
    test.expect("select 1", &pair("a", 1, None)).unwrap();
    test.kill_and_resume().await.unwrap();
    // behind the mark over all customers, and yet in time
    test.add("r", &row("01:03", "b", 5)).unwrap();
    test.expect("select 1", &pair("b", 2, Some(5))).unwrap();
    assert_eq!(test.end(&[("select 1", "")]).unwrap().totals(), (5, 5, 0, 0));
}

#[tokio::test]
async fn silence_gives_lone_rows_and_a_partner_that_comes_after_is_late() {
    for crash in [false, true] {
        let mut test = test(WITHIN).await;
        test.add("l", &row("01:00", "a", 1)).unwrap();
        test.add("r", &row("00:59", "a", 2)).unwrap();
        test.advance_clock(Duration::from_secs(599)).unwrap();
        test.expect("select 1", "").unwrap();
        test.advance_clock(Duration::from_secs(1)).unwrap();
        test.expect("select 1", &pair("a", 1, None)).unwrap();
        if crash {
            test.kill_and_resume().await.unwrap();
        }
        test.add("r", &row("01:04", "a", 3)).unwrap();
        test.add("l", &row("02:00", "a", 4)).unwrap();
        test.add("r", &row("02:01", "a", 5)).unwrap();
        test.expect("select 1", &pair("a", 4, Some(5))).unwrap();
        assert_eq!(test.end(&[("select 1", "")]).unwrap().totals(), (5, 4, 1, 0), "crash: {crash}");
    }
}

#[tokio::test]
async fn a_chain_behind_an_interval_join_closes_in_the_same_step() {
    let query = "WITH p AS (SELECT l.time, l.host, r.n AS m FROM l LEFT JOIN r ON l.host = r.host AND r.time >= l.time AND \
         r.time <= l.time + INTERVAL '5 seconds'), \
         w AS (SELECT tumble(time, INTERVAL '10 seconds') AS w, host, count(*) AS k, count(m) AS c FROM p GROUP BY w, host) \
         SELECT tumble(w, INTERVAL '1 minute') AS v, host, sum(k) AS k, sum(c) AS c FROM w GROUP BY v, host";
    let mut test = test(query).await;
    test.add("l", &[row("00:10", "a", 1), row("00:55", "a", 2), row("01:10", "a", 3)].join("\n")).unwrap();
    test.add("r", &[row("00:12", "a", 4), row("01:08", "a", 5)].join("\n")).unwrap();
    test.expect("select 1", "").unwrap();
    // left rows of the first minute may have partners up to 01:00, and the mark has to pass that
    test.advance_watermark("r", &time("01:00")).unwrap();
    test.expect("select 1", "").unwrap();
    test.advance_watermark("r", &time("01:00.000001")).unwrap();
    let minute = format!(
        r#"{{"v": {{"start": "{}", "end": "{}"}}, "host": "a", "k": 2, "c": 1}}"#,
        time("00:00"),
        time("01:00")
    );
    test.expect("select 1", &minute).unwrap();
    assert_eq!(test.progress().unwrap().late_inside, 0);
}

#[tokio::test]
async fn a_session_waits_for_the_baselines_up_to_its_last_event() {
    let query = "WITH s AS (SELECT session(time, INTERVAL '20 seconds') AS w, max(time) AS last, host, count(*) AS n \
         FROM l GROUP BY w, host), b AS (SELECT tumble(time, INTERVAL '1 minute') AS w, host, sum(n) AS m FROM r GROUP BY w, host) \
         SELECT s.host, s.n, b.m FROM s ASOF LEFT JOIN b MATCH_CONDITION (s.last >= b.w['end']) ON s.host = b.host";
    let mut test = test(query).await;
    test.add("r", &[row("00:10", "a", 1), row("00:40", "a", 2), row("01:10", "a", 4)].join("\n")).unwrap();
    // a session of two that ends at 02:25, one of one that ends at 00:45
    test.add("l", &[row("00:25", "a", 0), row("02:00", "a", 0), row("02:05", "a", 0)].join("\n")).unwrap();
    test.add("l", &row("02:50", "a", 0)).unwrap();
    // the left mark stands at 02:40: both sessions are closed. The right one stands at 01:00, and has reached the match
    // time of the first, which no baseline had closed by
    test.expect("select 1", &pair("a", 1, None)).unwrap();
    test.kill_and_resume().await.unwrap();
    test.advance_watermark("r", &time("02:04.999999")).unwrap();
    test.expect("select 1", "").unwrap();
    // the baseline of the second minute is there, and a window that ends at 02:05 would have closed
    test.advance_watermark("r", &time("02:05")).unwrap();
    test.expect("select 1", &pair("a", 2, Some(4))).unwrap();
    test.kill_and_resume().await.unwrap();
    // the last session, whose latest baseline was closed long ago
    test.add("r", &row("03:30", "a", 8)).unwrap();
    let ended = test.end(&[("select 1", &pair("a", 1, Some(4)))]).unwrap();
    assert_eq!((ended.totals(), ended.late_inside), ((8, 8, 0, 0), 0));
}

#[tokio::test]
async fn an_inner_as_of_join_gives_nothing_where_nothing_came_before() {
    let query = "SELECT l.host, l.n, r.n AS m FROM l ASOF JOIN r MATCH_CONDITION (l.time > r.time) ON l.host = r.host";
    let mut test = test(query).await;
    test.add("r", &[row("01:00", "a", 1), row("01:00", "a", 3), row("01:00", "a", 2)].join("\n")).unwrap();
    test.add("l", &[row("01:00", "a", 10), row("01:00.000001", "a", 11), row("01:01", "b", 12)].join("\n")).unwrap();
    test.expect("select 1", "").unwrap();
    test.kill_and_resume().await.unwrap();
    // of equal times the greatest row
    test.end(&[("select 1", &pair("a", 11, Some(3)))]).unwrap();
}
