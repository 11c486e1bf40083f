//! Known answers of joins of two streams: data and expected rows of Apache Spark's StreamingJoinSuite and
//! MultiStatefulOperatorsSuite, step by step, each run killed and resumed between steps.
//!
//! Spark holds both sides to the lesser of their watermarks; here each side has its own, so that what waits for the
//! other side alone may come a step earlier, and a row behind its own side's mark is late. It is said where that shows.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers fail as their tests do")]

use fyke::testing::StreamTest;

fn at(second: i64) -> String {
    format!("1970-01-01T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

/// Tables l and r: a key and a time.
fn tables(lateness: (&str, &str)) -> String {
    let table = |name: &str, lateness: &str| {
        format!(
            "CREATE UNBOUNDED EXTERNAL TABLE {name} (id INT, time TIMESTAMP) STORED AS JSON LOCATION '/{name}' \
             OPTIONS ('event_time' 'time', 'lateness' '{lateness}');"
        )
    };
    format!("{} {}", table("l", lateness.0), table("r", lateness.1))
}

fn keyed(rows: &[(i64, i64)]) -> String {
    let row = |(key, second): &(i64, i64)| format!(r#"{{"id": {key}, "time": "{}"}}"#, at(*second));
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

/// Keys and times of both sides; what is missing is null.
type Pair = (Option<(i64, i64)>, Option<(i64, i64)>);

fn pair(left: (i64, i64), right: (i64, i64)) -> Pair {
    (Some(left), Some(right))
}

fn pairs(rows: &[Pair]) -> String {
    let side = |key: &str, time: &str, of: &Option<(i64, i64)>| match of {
        Some((k, t)) => format!(r#""{key}": {k}, "{time}": "{}""#, at(*t)),
        None => format!(r#""{key}": null, "{time}": null"#),
    };
    let row = |(left, right): &Pair| format!("{{{}, {}}}", side("lk", "lt", left), side("rk", "rt", right));
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

const PAIRS: &str = "SELECT l.id AS lk, l.time AS lt, r.id AS rk, r.time AS rt FROM l";

/// What a step adds, and the rows that come with it.
type Step<'a> = (&'a str, &'a [(i64, i64)], &'a [Pair]);

async fn steps(tables: &str, query: &str, steps: &[Step<'_>]) -> StreamTest {
    let mut test = StreamTest::start(&format!("{tables} {query}"), &["l", "r"]).await.unwrap();
    for (number, (table, rows, expected)) in steps.iter().enumerate() {
        test.add(table, &keyed(rows)).unwrap();
        test.expect("select 1", &pairs(expected)).unwrap_or_else(|error| panic!("{query}: step {number}: {error}"));
        test.kill_and_resume().await.unwrap();
    }
    test
}

#[tokio::test]
async fn spark_inner_join_with_two_side_conditions() {
    let query = format!(
        "{PAIRS} JOIN r ON l.id = r.id AND l.time BETWEEN r.time - INTERVAL '10 seconds' AND r.time + INTERVAL '5 seconds'"
    );
    let of = |left: i64, right: i64| pair((1, left), (1, right));
    let mut test = steps(
        &tables(("20 seconds", "30 seconds")),
        &query,
        &[
            ("l", &[(1, 20)], &[]),
            (
                "r",
                &[(1, 14), (1, 15), (1, 25), (1, 26), (1, 30), (1, 31)],
                &[of(20, 15), of(20, 25), of(20, 26), of(20, 30)],
            ),
            ("r", &[(1, 60)], &[]),
            ("l", &[(1, 49), (1, 50), (1, 65), (1, 66)], &[of(50, 60), of(65, 60)]),
            // the left mark stands at 46. Spark's for both sides at 30, so that it takes 31 and joins it with 26, 30, 31
            ("l", &[(1, 30), (1, 31)], &[]),
            ("r", &[(1, 80)], &[]),
            // the right mark stands at 50
            ("r", &[(1, 46), (1, 50)], &[of(49, 50), of(50, 50)]),
        ],
    )
    .await;
    assert_eq!(test.progress().unwrap().totals(), (17, 14, 3, 0));
    test.end(&[("select 1", "")]).unwrap();
}

#[tokio::test]
async fn spark_outer_joins_with_a_range_condition() {
    for (bound, lateness, scale) in [("5 seconds", "10 seconds", 1), ("3 minutes 30 seconds", "10 minutes", 60)] {
        // the second time Spark's own numbers for minutes
        let second = |n: i64| match (scale, n) {
            (1, n) => n,
            (_, 5) => 5,
            (_, 10) => 300,
            (_, 11) => 450,
            (_, 7) => 260,
            _ => 1_800,
        };
        let first = if scale == 1 { 5 } else { 210 };
        for join in ["LEFT", "RIGHT", "FULL"] {
            let query = format!(
                "{PAIRS} {join} JOIN r ON l.id = r.id AND l.time BETWEEN r.time - INTERVAL '{bound}' AND r.time + INTERVAL '{bound}'"
            );
            let lone_left: &[Pair] = if join == "RIGHT" { &[] } else { &[(Some((3, 5)), None)] };
            let lone_right: &[Pair] = if join == "LEFT" { &[] } else { &[(None, Some((2, 5)))] };
            let matched = [pair((1, second(7)), (1, second(10))), pair((1, second(7)), (1, second(11)))];
            // the left mark alone shows that the right row has no partner: Spark gives it a step later
            let with_left: Vec<Pair> = matched[..].iter().chain(lone_right).copied().collect();
            let mut test = steps(
                &tables((lateness, lateness)),
                &query,
                &[
                    ("l", &[(1, first), (3, 5)], &[]),
                    ("r", &[(1, second(10)), (2, 5)], &[pair((1, first), (1, second(10)))]),
                    ("r", &[(1, second(11))], &[]),
                    ("l", &[(1, second(7)), (1, second(30))], &with_left),
                    ("r", &[(0, second(30))], lone_left),
                ],
            )
            .await;
            // the last rows of both sides, which Spark would keep to itself
            let last = second(30);
            let mut rest: Vec<Pair> = Vec::new();
            if join != "RIGHT" {
                rest.push((Some((1, last)), None));
            }
            if join != "LEFT" {
                rest.push((None, Some((0, last))));
            }
            test.end(&[("select 1", &pairs(&rest))]).unwrap();
        }
    }
}

#[tokio::test]
async fn spark_left_semi_join_with_a_range_condition() {
    let query = "SELECT id, time FROM l WHERE EXISTS (SELECT 1 FROM r WHERE l.id = r.id AND l.time BETWEEN \
         r.time - INTERVAL '5 seconds' AND r.time + INTERVAL '5 seconds')";
    let text = format!("{} {query}", tables(("10 seconds", "10 seconds")));
    let mut test = StreamTest::start(&text, &["l", "r"]).await.unwrap();
    for (table, rows, expected) in [
        ("l", &[(1, 5), (3, 5)][..], &[][..]),
        ("r", &[(1, 10), (2, 5)], &[(1, 5)]),
        ("r", &[(1, 9)], &[]),
        ("l", &[(1, 7), (1, 30)], &[(1, 7)]),
        ("r", &[(0, 30)], &[]),
    ] {
        test.add(table, &keyed(rows)).unwrap();
        test.expect("select 1", &keyed(expected)).unwrap();
        test.kill_and_resume().await.unwrap();
    }
    test.end(&[("select 1", "")]).unwrap();
}

#[tokio::test]
async fn spark_self_joins() {
    const EVEN: &str = "(SELECT * FROM l WHERE id % 2 = 0) r ON l.id = r.id AND r.time >= l.time AND \
         r.time <= l.time + INTERVAL '5 seconds'";
    let same = |keys: &[i64]| keys.iter().map(|key| pair((*key, *key), (*key, *key))).collect::<Vec<_>>();
    let lone = |keys: &[i64]| keys.iter().map(|key| (Some((*key, *key)), None)).collect::<Vec<Pair>>();
    let numbers = |from: i64| (from..from + 5).map(|n| (n, n)).collect::<Vec<_>>();
    for join in ["LEFT", "FULL"] {
        let query = format!("{PAIRS} {join} JOIN {EVEN}");
        let mut test =
            StreamTest::start(&format!("{} {query}", tables(("5 seconds", "5 seconds"))), &["l"]).await.unwrap();
        // 15 − 5 = 10 stands behind 1 + 5 and 3 + 5, and 4 has found itself. Spark, whose watermark comes a batch later
        // where there is data, gives the same
        for (from, rows) in
            [(1, same(&[2, 4])), (6, same(&[6, 8, 10])), (11, [same(&[12, 14]), lone(&[1, 3])].concat())]
        {
            test.add("l", &keyed(&numbers(from))).unwrap();
            test.expect("select 1", &pairs(&rows)).unwrap_or_else(|error| panic!("{join} {from}: {error}"));
            test.kill_and_resume().await.unwrap();
        }
        test.end(&[("select 1", &pairs(&lone(&[5, 7, 9, 11, 13, 15])))]).unwrap();
    }
}

#[tokio::test]
async fn spark_join_on_equal_times_then_a_window_aggregate() {
    let query =
        "SELECT tumble(l.time, INTERVAL '5 seconds') AS w, count(*) AS n FROM l JOIN r ON l.time = r.time GROUP BY w";
    let text = format!("{} {query}", tables(("0 seconds", "0 seconds")));
    let mut test = StreamTest::start(&text, &["l", "r"]).await.unwrap();
    let window =
        |start: i64, n: u32| format!(r#"{{"w": {{"start": "{}", "end": "{}"}}, "n": {n}}}"#, at(start), at(start + 5));
    for table in ["l", "r"] {
        test.add(table, &keyed(&[(0, 1), (0, 2), (0, 3), (0, 4)])).unwrap();
        test.expect("select 1", "").unwrap();
    }
    test.add("l", &keyed(&[(0, 5)])).unwrap();
    test.expect("select 1", "").unwrap();
    test.add("r", &keyed(&[(0, 5)])).unwrap();
    test.expect("select 1", &window(0, 4)).unwrap();
    test.end(&[("select 1", &window(5, 1))]).unwrap();
}

/// The day, hour, minute and second of January.
fn on(day: u32, time: &str) -> String {
    format!("2020-01-{day:02}T{time}Z")
}

#[tokio::test]
async fn spark_interval_left_join_then_a_window_aggregate_in_one_step() {
    let table = |name: &str, lateness: &str| {
        format!(
            "CREATE UNBOUNDED EXTERNAL TABLE {name} (time TIMESTAMP, id VARCHAR) STORED AS JSON LOCATION '/{name}' \
             OPTIONS ('event_time' 'time', 'lateness' '{lateness}');"
        )
    };
    let text = format!(
        "{} {} SELECT tumble(l.time, INTERVAL '30 seconds') AS w, count(*) AS n FROM l LEFT JOIN r ON l.id = r.id AND \
         l.time BETWEEN r.time - INTERVAL '40 seconds' AND r.time + INTERVAL '30 seconds' GROUP BY w",
        table("l", "2 minutes"),
        table("r", "4 minutes")
    );
    let mut test = StreamTest::start(&text, &["l", "r"]).await.unwrap();
    let rows = |times: &[(u32, &str)]| {
        let row = |(day, time): &(u32, &str)| format!(r#"{{"time": "{}", "id": "abc"}}"#, on(*day, time));
        times.iter().map(row).collect::<Vec<_>>().join("\n")
    };
    let windows = |starts: &[(u32, &str, &str)]| {
        let window = |(day, start, end): &(u32, &str, &str)| {
            format!(r#"{{"w": {{"start": "{}", "end": "{}"}}, "n": 1}}"#, on(*day, start), on(*day, end))
        };
        starts.iter().map(window).collect::<Vec<_>>().join("\n")
    };
    test.add("l", &rows(&[(1, "00:00:00"), (2, "00:00:00"), (2, "01:00:00")])).unwrap();
    test.add("r", &rows(&[(2, "00:00:10"), (2, "00:59:59"), (2, "02:00:00")])).unwrap();
    test.expect("select 1", &windows(&[(1, "00:00:00", "00:00:30"), (2, "00:00:00", "00:00:30")])).unwrap();
    test.kill_and_resume().await.unwrap();
    test.add("l", &rows(&[(5, "00:00:00")])).unwrap();
    test.add("r", &rows(&[(5, "00:00:10")])).unwrap();
    test.expect("select 1", &windows(&[(2, "01:00:00", "01:00:30")])).unwrap();
    let ended = test.end(&[("select 1", &windows(&[(5, "00:00:00", "00:00:30")]))]).unwrap();
    assert_eq!((ended.totals(), ended.late_inside), ((8, 8, 0, 0), 0));
}

#[tokio::test]
async fn what_spark_keeps_for_ever_is_refused() {
    for query in [
        // stream stream inner join with time range, one side condition
        "l JOIN r ON l.id = r.id AND l.time < r.time - INTERVAL '5 seconds'",
        // time interval left outer join, left side condition
        "l LEFT JOIN r ON l.id = r.id AND l.time + INTERVAL '5 minutes' > r.time",
        // stream stream inner join on a non-time column
        "l JOIN r ON l.id = r.id",
    ] {
        let text = format!("{} SELECT l.id, l.time, r.time AS rt FROM {query}", tables(("10 seconds", "10 seconds")));
        let error = StreamTest::start(&text, &["l", "r"]).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("kept for ever") && error.contains("hint:"), "{query}: {error}");
    }
}
