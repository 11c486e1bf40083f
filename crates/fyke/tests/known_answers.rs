//! Known answers: data and expected rows that other engines publish in their own tests, step by step.
//!
//! From Apache Spark: MultiStatefulOperatorsSuite and StreamingSessionWindowSuite; from Apache Flink: the programs of
//! WindowAggregate and WindowJoin. What differs by design is said where it stands.
#![expect(clippy::unwrap_used, reason = "helpers fail as their tests do")]

use fyke::testing::StreamTest;

fn at(second: u32) -> String {
    format!("1970-01-01T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

/// The same second on the day of Flink's programs.
fn on_the_day(second: i32) -> String {
    match second {
        0.. => format!("2020-10-10T00:00:{second:02}Z"),
        _ => format!("2020-10-09T23:59:{:02}Z", 60 + second),
    }
}

fn table(name: &str, columns: &str, lateness: u32) -> String {
    format!(
        "CREATE UNBOUNDED EXTERNAL TABLE {name} (time TIMESTAMP, {columns}) STORED AS JSON LOCATION '/{name}' \
         OPTIONS ('event_time' 'time', 'lateness' '{lateness} seconds');"
    )
}

async fn test(tables: &str, query: &str, filled: &[&str]) -> StreamTest {
    StreamTest::start(&format!("{tables} {query}"), filled).await.unwrap()
}

fn values(range: impl Iterator<Item = u32>) -> String {
    range.map(|n| format!(r#"{{"time": "{}", "value": {n}}}"#, at(n))).collect::<Vec<_>>().join("\n")
}

/// Rows of `w`, then whatever is named.
fn windows(rows: &[(u32, u32, String)]) -> String {
    let row = |(start, end, rest): &(u32, u32, String)| {
        format!(r#"{{"w": {{"start": "{}", "end": "{}"}}, {rest}}}"#, at(*start), at(*end))
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

fn counted(rows: &[(u32, u32, u32, u32)]) -> String {
    let row = |(start, end, count, sum): &(u32, u32, u32, u32)| (*start, *end, format!(r#""c": {count}, "s": {sum}"#));
    windows(&rows.iter().map(row).collect::<Vec<_>>())
}

#[tokio::test]
async fn spark_window_aggregate_of_a_window_aggregate() {
    let query = "WITH five AS (SELECT tumble(time, INTERVAL '5 seconds') AS w, count(*) AS n FROM input GROUP BY w) \
         SELECT tumble(five.w, INTERVAL '10 seconds') AS w, count(*) AS c, sum(n) AS s FROM five GROUP BY tumble(five.w, INTERVAL '10 seconds')";
    let mut test = test(&table("input", "value INT", 0), query, &["input"]).await;
    test.add("input", &values(10..=21)).unwrap();
    test.expect("select 1", &counted(&[(10, 20, 2, 10)])).unwrap();
    test.add("input", &values(10..=29)).unwrap();
    test.expect("select 1", "").unwrap();
    // Spark counts the two late groups of its partial aggregate; here the ten rows are counted
    assert_eq!(test.progress().unwrap().totals(), (32, 22, 10, 0));
    test.add("input", &values(30..=31)).unwrap();
    test.expect("select 1", &counted(&[(20, 30, 2, 12)])).unwrap();
    // Spark would lose the last window
    test.end(&[("select 1", &counted(&[(30, 40, 1, 2)]))]).unwrap();
}

#[tokio::test]
async fn spark_three_aggregates_close_in_one_step() {
    let query = "WITH five AS (SELECT tumble(time, INTERVAL '5 seconds') AS w, count(*) AS n FROM input GROUP BY w), \
         ten AS (SELECT tumble(five.w, INTERVAL '10 seconds') AS v, count(*) AS c, sum(n) AS s FROM five GROUP BY v) \
         SELECT tumble(v, INTERVAL '20 seconds') AS w, count(*) AS c, sum(s) AS s FROM ten GROUP BY w";
    let mut test = test(&table("input", "value INT", 0), query, &["input"]).await;
    test.add("input", &values(0..=37)).unwrap();
    test.expect("select 1", &counted(&[(0, 20, 2, 20)])).unwrap();
    test.add("input", &values(30..=60)).unwrap();
    test.expect("select 1", &counted(&[(20, 40, 2, 23), (40, 60, 2, 20)])).unwrap();
    assert_eq!(test.progress().unwrap().totals(), (69, 64, 5, 0), "30 to 34 are late, 35 to 37 are not");
}

#[tokio::test]
async fn spark_duplicates_before_an_aggregate() {
    // Spark's dropDuplicates on the event time; here duplicates go within a window
    let query = "WITH once AS (SELECT DISTINCT tumble(time, INTERVAL '5 seconds') AS w, time, value FROM input) \
         SELECT w, count(*) AS c, sum(value) AS s FROM once GROUP BY w";
    let mut test = test(&table("input", "value INT", 10), query, &["input"]).await;
    test.add("input", &format!("{}\n{}", values(1..=15), values(2..=3))).unwrap();
    test.expect("select 1", &counted(&[(0, 5, 4, 10)])).unwrap();
}

#[tokio::test]
async fn spark_duplicates_behind_an_aggregate() {
    let query = "SELECT DISTINCT w, c FROM (SELECT tumble(time, INTERVAL '5 seconds') AS w, count(*) AS c FROM input GROUP BY w)";
    let mut test = test(&table("input", "value INT", 0), query, &["input"]).await;
    test.add("input", &values([1, 5, 10, 15].into_iter())).unwrap();
    let one = |start, end| (start, end, r#""c": 1"#.to_owned());
    test.expect("select 1", &windows(&[one(0, 5), one(5, 10), one(10, 15)])).unwrap();
}

#[tokio::test]
async fn spark_sessions_in_append_mode() {
    let query = "SELECT session(time, INTERVAL '10 seconds') AS w, word, count(*) AS n FROM input GROUP BY w, word";
    let mut test = test(&table("input", "word VARCHAR", 30), query, &["input"]).await;
    let say = |text: &str, second| {
        let word = |word| format!(r#"{{"time": "{}", "word": "{word}"}}"#, at(second));
        text.split(' ').map(word).collect::<Vec<_>>().join("\n")
    };
    let both = [say("hello world spark streaming", 40), say("world hello structured streaming", 41)].join("\n");
    test.add("input", &both).unwrap();
    for (text, second) in
        [("spark streaming", 25), ("spark streaming", 0), ("spark streaming", 30), ("hello apache spark", 60)]
    {
        test.expect("select 1", "").unwrap();
        test.add("input", &say(text, second)).unwrap();
    }
    assert_eq!(test.progress().unwrap().totals().2, 2, "the two of second 0");
    test.add("input", &say("structured streaming", 90)).unwrap();
    let session = |word: &str, start, end, n| (start, end, format!(r#""word": "{word}", "n": {n}"#));
    let closed = [
        session("spark", 25, 50, 3),
        session("streaming", 25, 51, 4),
        session("hello", 40, 51, 2),
        session("world", 40, 51, 2),
        session("structured", 41, 51, 1),
    ];
    test.expect("select 1", &windows(&closed)).unwrap();
}

#[tokio::test]
async fn spark_sessions_with_more_aggregates() {
    let query = "SELECT session(time, INTERVAL '10 seconds') AS w, word, min(value) AS lo, max(value) AS hi, avg(value) AS mean, \
         median(value) AS mid, stddev(value) AS sd, var_samp(value) AS v, sum(value) AS s FROM input GROUP BY w, word";
    let mut test = test(&table("input", "word VARCHAR, value DOUBLE", 30), query, &["input"]).await;
    let row = |word: &str, n| format!(r#"{{"time": "{}", "word": "{word}", "value": {n}}}"#, at(n));
    for n in [41, 42, 40] {
        test.add("input", &row("a", n)).unwrap();
    }
    test.expect("select 1", "").unwrap();
    test.add("input", &row("b", 100)).unwrap();
    let rest = r#""word": "a", "lo": 40.0, "hi": 42.0, "mean": 41.0, "mid": 41.0, "sd": 1.0, "v": 1.0, "s": 123.0"#;
    test.expect("select 1", &windows(&[(40, 52, rest.to_owned())])).unwrap();
}

/// Flink's source of window aggregates: second, a_int, comment, name.
type Event = (i32, i32, Option<&'static str>, Option<&'static str>);
const BEFORE: [Event; 11] = [
    (1, 1, Some("Hi"), Some("a")),
    (2, 2, Some("Comment#1"), Some("a")),
    (3, 2, Some("Comment#1"), Some("a")),
    (4, 5, None, Some("a")),
    (7, 3, Some("Hello"), Some("b")),
    (6, 6, Some("Hi"), Some("b")),
    (8, 3, Some("Comment#2"), Some("a")),
    (4, 5, Some("Hi"), Some("a")),
    (16, 4, Some("Hi"), Some("b")),
    (32, 7, None, None),
    (34, 1, Some("Comment#3"), Some("b")),
];
const AFTER: [Event; 4] = [
    (40, 10, Some("Comment#4"), Some("a")),
    (42, 11, Some("Comment#5"), Some("d")),
    (43, 12, Some("Comment#6"), Some("c")),
    (44, 13, Some("Comment#7"), Some("d")),
];

fn text(value: Option<&str>) -> String {
    value.map_or("null".to_owned(), |value| format!("\"{value}\""))
}

/// Feeds rows one by one, as Flink does, which moves the watermark with each; kills the run where Flink restores it.
async fn flink(window: &str) -> StreamTest {
    let query = format!(
        "SELECT {window} AS w, name, count(*) AS n, sum(a_int) AS s, count(DISTINCT comment) AS d FROM input GROUP BY w, name"
    );
    let mut test = test(&table("input", "a_int INT, comment VARCHAR, name VARCHAR", 1), &query, &["input"]).await;
    let row = |(second, a, comment, name): &Event| {
        let (time, comment, name) = (on_the_day(*second), text(*comment), text(*name));
        format!(r#"{{"time": "{time}", "a_int": {a}, "comment": {comment}, "name": {name}}}"#)
    };
    for event in &BEFORE {
        test.add("input", &row(event)).unwrap();
    }
    test.checkpoint().unwrap();
    test.kill_and_resume().await.unwrap();
    for event in &AFTER {
        test.add("input", &row(event)).unwrap();
    }
    test
}

/// name, start, end, count, sum, distinct comments
type Expected = (Option<&'static str>, i32, i32, i32, i32, i32);

fn expected(rows: &[Expected]) -> String {
    let row = |(name, start, end, n, s, d): &Expected| {
        let (start, end, name) = (on_the_day(*start), on_the_day(*end), text(*name));
        format!(r#"{{"w": {{"start": "{start}", "end": "{end}"}}, "name": {name}, "n": {n}, "s": {s}, "d": {d}}}"#)
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

const A: Option<&str> = Some("a");
const B: Option<&str> = Some("b");
const C: Option<&str> = Some("c");
const D: Option<&str> = Some("d");

#[tokio::test]
async fn flink_window_aggregates() {
    let cases: [(&str, u64, &[Expected]); 6] = [
        (
            "tumble(time, INTERVAL '5 seconds')",
            1,
            &[
                (A, 0, 5, 4, 10, 2),
                (A, 5, 10, 1, 3, 1),
                (B, 5, 10, 2, 9, 2),
                (B, 15, 20, 1, 4, 1),
                (B, 30, 35, 1, 1, 1),
                (None, 30, 35, 1, 7, 0),
                (A, 40, 45, 1, 10, 1),
                (C, 40, 45, 1, 12, 1),
                (D, 40, 45, 2, 24, 2),
            ],
        ),
        (
            "tumble(time, INTERVAL '5 seconds', INTERVAL '1 second')",
            1,
            &[
                (A, 1, 6, 4, 10, 2),
                (B, 6, 11, 2, 9, 2),
                (A, 6, 11, 1, 3, 1),
                (B, 16, 21, 1, 4, 1),
                (B, 31, 36, 1, 1, 1),
                (None, 31, 36, 1, 7, 0),
                (A, 36, 41, 1, 10, 1),
                (C, 41, 46, 1, 12, 1),
                (D, 41, 46, 2, 24, 2),
            ],
        ),
        (
            "hop(time, INTERVAL '10 seconds', INTERVAL '5 seconds')",
            0,
            &[
                (A, -5, 5, 4, 10, 2),
                (B, 0, 10, 2, 9, 2),
                (A, 0, 10, 6, 18, 3),
                (B, 5, 15, 2, 9, 2),
                (A, 5, 15, 1, 3, 1),
                (B, 10, 20, 1, 4, 1),
                (B, 15, 25, 1, 4, 1),
                (B, 25, 35, 1, 1, 1),
                (None, 25, 35, 1, 7, 0),
                (B, 30, 40, 1, 1, 1),
                (None, 30, 40, 1, 7, 0),
                (C, 35, 45, 1, 12, 1),
                (D, 35, 45, 2, 24, 2),
                (A, 35, 45, 1, 10, 1),
                (D, 40, 50, 2, 24, 2),
                (A, 40, 50, 1, 10, 1),
                (C, 40, 50, 1, 12, 1),
            ],
        ),
        (
            "hop(time, INTERVAL '10 seconds', INTERVAL '5 seconds', INTERVAL '1 second')",
            0,
            &[
                (A, -4, 6, 4, 10, 2),
                (B, 1, 11, 2, 9, 2),
                (A, 1, 11, 6, 18, 3),
                (B, 6, 16, 2, 9, 2),
                (A, 6, 16, 1, 3, 1),
                (B, 11, 21, 1, 4, 1),
                (B, 16, 26, 1, 4, 1),
                (B, 26, 36, 1, 1, 1),
                (None, 26, 36, 1, 7, 0),
                (A, 31, 41, 1, 10, 1),
                (B, 31, 41, 1, 1, 1),
                (None, 31, 41, 1, 7, 0),
                (C, 36, 46, 1, 12, 1),
                (D, 36, 46, 2, 24, 2),
                (A, 36, 46, 1, 10, 1),
                (D, 41, 51, 2, 24, 2),
                (C, 41, 51, 1, 12, 1),
            ],
        ),
        (
            "cumulate(time, INTERVAL '15 seconds', INTERVAL '5 seconds')",
            0,
            &[
                (A, 0, 5, 4, 10, 2),
                (B, 0, 10, 2, 9, 2),
                (A, 0, 10, 6, 18, 3),
                (B, 0, 15, 2, 9, 2),
                (A, 0, 15, 6, 18, 3),
                (B, 15, 20, 1, 4, 1),
                (B, 15, 25, 1, 4, 1),
                (B, 15, 30, 1, 4, 1),
                (B, 30, 35, 1, 1, 1),
                (None, 30, 35, 1, 7, 0),
                (B, 30, 40, 1, 1, 1),
                (None, 30, 40, 1, 7, 0),
                (B, 30, 45, 1, 1, 1),
                (C, 30, 45, 1, 12, 1),
                (D, 30, 45, 2, 24, 2),
                (A, 30, 45, 1, 10, 1),
                (None, 30, 45, 1, 7, 0),
            ],
        ),
        (
            "cumulate(time, INTERVAL '15 seconds', INTERVAL '5 seconds', INTERVAL '1 second')",
            0,
            &[
                (A, 1, 6, 4, 10, 2),
                (B, 1, 11, 2, 9, 2),
                (A, 1, 11, 6, 18, 3),
                (B, 1, 16, 2, 9, 2),
                (A, 1, 16, 6, 18, 3),
                (B, 16, 21, 1, 4, 1),
                (B, 16, 26, 1, 4, 1),
                (B, 16, 31, 1, 4, 1),
                (B, 31, 36, 1, 1, 1),
                (None, 31, 36, 1, 7, 0),
                (A, 31, 41, 1, 10, 1),
                (B, 31, 41, 1, 1, 1),
                (None, 31, 41, 1, 7, 0),
                (B, 31, 46, 1, 1, 1),
                (C, 31, 46, 1, 12, 1),
                (D, 31, 46, 2, 24, 2),
                (A, 31, 46, 1, 10, 1),
                (None, 31, 46, 1, 7, 0),
            ],
        ),
    ];
    for (window, late, rows) in cases {
        let mut test = flink(window).await;
        let progress = test.end(&[("select 1", &expected(rows))]).unwrap_or_else(|error| panic!("{window}: {error}"));
        // the second event of 00:04 is late only where all its windows are closed
        assert_eq!(progress.totals(), (15, 15 - late, late, 0), "{window}");
    }
}

/// Second, id, number, name.
type Side = (i32, &'static str, i32, Option<&'static str>);
const LEFT: [Side; 15] = [
    (1, "L1", 1, A),
    (2, "L2", 2, C),
    (3, "L3", 2, Some("x")),
    (4, "L7", 5, A),
    (7, "L8", 3, B),
    (6, "L6", 6, B),
    (8, "L9", 3, A),
    (4, "L4", 5, A),
    (16, "L10", 4, B),
    (32, "L11", 7, None),
    (34, "L12", 1, B),
    (41, "L41", 10, A),
    (42, "L42", 11, D),
    (43, "L43", 12, C),
    (44, "L44", 13, D),
];
const RIGHT: [Side; 15] = [
    (1, "R1", 5, A),
    (2, "R2", 7, B),
    (3, "R3", 7, Some("f")),
    (4, "R7", 3, Some("g")),
    (7, "R8", 8, B),
    (6, "R6", 6, B),
    (8, "R9", 3, A),
    (4, "R4", 5, A),
    (17, "R17", 4, Some("k")),
    (31, "R31", 7, None),
    (33, "R33", 1, B),
    (41, "R41", 10, Some("y")),
    (42, "R42", 11, C),
    (43, "R43", 12, Some("x")),
    (44, "R44", 13, Some("z")),
];

#[tokio::test]
async fn flink_window_joins() {
    // of the left window's start, the name, and both ids: what Flink's sinks get
    const BOTH: [(i32, &str, &str, &str); 9] = [
        (0, "a", "L1", "R1"),
        (0, "a", "L7", "R1"),
        (5, "b", "L8", "R8"),
        (5, "b", "L8", "R6"),
        (5, "b", "L6", "R8"),
        (5, "b", "L6", "R6"),
        (5, "a", "L9", "R9"),
        (30, "b", "L12", "R33"),
        (40, "c", "L43", "R42"),
    ];
    const ONLY_LEFT: [(i32, Option<&str>, &str); 7] = [
        (0, Some("x"), "L3"),
        (0, Some("c"), "L2"),
        (15, Some("b"), "L10"),
        (30, None, "L11"),
        (40, Some("a"), "L41"),
        (40, Some("d"), "L42"),
        (40, Some("d"), "L44"),
    ];
    const ONLY_RIGHT: [&str; 8] = ["R7", "R2", "R3", "R17", "R31", "R43", "R44", "R41"];
    let window = |start: i32| format!(r#"{{"start": "{}", "end": "{}"}}"#, on_the_day(start), on_the_day(start + 5));
    let both = BOTH
        .map(|(start, name, l, r)| format!(r#"{{"w": {}, "name": "{name}", "l": "{l}", "r": "{r}"}}"#, window(start)));
    let left = ONLY_LEFT.map(|(start, name, l)| {
        format!(r#"{{"w": {}, "name": {}, "l": "{l}", "r": null}}"#, window(start), text(name))
    });
    let right = ONLY_RIGHT.map(|r| format!(r#"{{"w": null, "name": null, "l": null, "r": "{r}"}}"#));
    let tables = format!(
        "{} {}",
        table("one", "id VARCHAR, num INT, name VARCHAR", 1),
        table("two", "id VARCHAR, num INT, name VARCHAR", 1)
    );
    let row = |(second, id, num, name): &Side| {
        format!(r#"{{"time": "{}", "id": "{id}", "num": {num}, "name": {}}}"#, on_the_day(*second), text(*name))
    };
    for (join, rows) in [
        ("JOIN", vec![&both[..]]),
        ("LEFT JOIN", vec![&both[..], &left[..]]),
        ("RIGHT JOIN", vec![&both[..], &right[..]]),
        ("FULL JOIN", vec![&both[..], &left[..], &right[..]]),
    ] {
        let query = format!(
            "SELECT l.w, l.name, l.id AS l, r.id AS r \
             FROM (SELECT tumble(time, INTERVAL '5 seconds') AS w, id, num, name FROM one) l \
             {join} (SELECT tumble(time, INTERVAL '5 seconds') AS w, id, num, name FROM two) r ON l.name = r.name AND l.w = r.w"
        );
        let mut test = test(&tables, &query, &["one", "two"]).await;
        for (number, (l, r)) in LEFT.iter().zip(&RIGHT).enumerate() {
            test.add("one", &row(l)).unwrap();
            test.add("two", &row(r)).unwrap();
            if number == 10 {
                test.checkpoint().unwrap();
                test.kill_and_resume().await.unwrap();
            }
        }
        let progress =
            test.end(&[("select 1", &rows.concat().join("\n"))]).unwrap_or_else(|error| panic!("{join}: {error}"));
        assert_eq!(progress.totals(), (30, 28, 2, 0), "{join}: L4 and R4 are late");
    }
}

/// What these engines accept live and Fyke refuses, with the reason and the remedy.
#[tokio::test]
async fn joins_without_a_common_window_are_refused() {
    let tables = format!("{} {}", table("one", "value INT", 0), table("two", "value INT", 0));
    for query in [
        "SELECT l.value FROM one l JOIN two r ON l.value = r.value",
        "SELECT l.value FROM one l JOIN two r ON l.value = r.value AND l.time >= r.time",
    ] {
        let error = StreamTest::start(&format!("{tables} {query}"), &["one", "two"]).await.err().unwrap().to_string();
        assert!(error.contains("common window") && error.contains("hint:"), "{error}");
    }
}
