//! Interval and as-of joins against pairs found by brute force, to the microsecond, in both executions; and what a live
//! run does with them.

#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

mod support;

use std::collections::BTreeMap;

use fyke_query::{Context, RunSettings, Script};
use proptest::prelude::*;
use support::{Rehearsed, Row, batch, context, context_of};

/// How one time may lie to another, µs, and whether each bound is open.
#[derive(Debug, Clone, Copy)]
struct Interval {
    from: i64,
    to: i64,
    open: (bool, bool),
}

impl Interval {
    fn holds(self, distance: i64) -> bool {
        let lower = if self.open.0 { distance > self.from } else { distance >= self.from };
        let upper = if self.open.1 { distance < self.to } else { distance <= self.to };
        lower && upper
    }

    /// The condition on b's time by a's, each bound written in one of three ways.
    fn text(self, way: usize) -> String {
        let (lower, upper) = (if self.open.0 { ">" } else { ">=" }, if self.open.1 { "<" } else { "<=" });
        let micros = |n: i64| format!("INTERVAL '{n} microseconds'");
        let (from, to) = (micros(self.from), micros(self.to));
        match (way, self.open) {
            (0, (false, false)) => format!("b.time BETWEEN a.time + {from} AND a.time + {to}"),
            (1, _) => format!(
                "b.time - {from} {lower} a.time AND NOT (b.time - a.time > INTERVAL '9 days') AND b.time {upper} a.time + {to}"
            ),
            _ => format!("a.time + {from} {} b.time AND a.time {} b.time - {to}", flipped(lower), flipped(upper)),
        }
    }
}

fn flipped(sign: &str) -> &'static str {
    match sign {
        ">" => "<",
        ">=" => "<=",
        "<" => ">",
        _ => ">=",
    }
}

type Found = Vec<(Option<usize>, Option<usize>)>;

/// Pairs of a (rows whose x is small) and b (all others) by brute force.
fn by_force(rows: &[Row], kind: &str, interval: Interval) -> Found {
    let (left, right): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|at| rows[*at].x < 0.5);
    let mut found: Found = Vec::new();
    let matches = |a: usize, b: usize| {
        let (a, b) = (&rows[a], &rows[b]);
        a.addr == b.addr && a.n.is_some() && a.n == b.n && interval.holds(b.time - a.time) && a.host <= b.host
    };
    for a in &left {
        let partners: Vec<usize> = right.iter().copied().filter(|b| matches(*a, *b)).collect();
        match kind {
            "LEFT SEMI" => found.extend((!partners.is_empty()).then_some((Some(*a), None))),
            "LEFT ANTI" => found.extend(partners.is_empty().then_some((Some(*a), None))),
            _ => found.extend(partners.iter().map(|b| (Some(*a), Some(*b)))),
        }
        if matches!(kind, "LEFT" | "FULL") && partners.is_empty() {
            found.push((Some(*a), None));
        }
    }
    if matches!(kind, "RIGHT" | "FULL") {
        let alone = right.iter().filter(|b| !left.iter().any(|a| matches(*a, **b)));
        found.extend(alone.map(|b| (None, Some(*b))));
    }
    found
}

/// The latest of b for each of a: at or before its time, less so much.
fn as_of_by_force(rows: &[Row], outer: bool, strict: bool, less: i64) -> Found {
    let (left, right): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|at| rows[*at].x < 0.5);
    let mut found: Found = Vec::new();
    for a in left {
        let limit = rows[a].time - less - i64::from(strict);
        let same = |b: &usize| rows[a].n.is_some() && rows[a].n == rows[*b].n && rows[*b].time <= limit;
        // of equal times the greatest row, column by column
        let order = |b: &usize| {
            let Row { time, host, addr, n, x } = &rows[*b];
            (*time, host.clone(), addr.clone(), *n, x.to_bits())
        };
        match right.iter().copied().filter(same).max_by_key(order) {
            Some(b) => found.push((Some(a), Some(b))),
            None if outer => found.push((Some(a), None)),
            None => {}
        }
    }
    found
}

/// Rows as text, told apart by x.
fn named(rows: &[Row], found: &Found) -> Vec<String> {
    let name = |at: &Option<usize>| at.map_or("-".to_owned(), |at| format!("{:?}", rows[at].x));
    let mut names: Vec<String> = found.iter().map(|(a, b)| format!("{} {}", name(a), name(b))).collect();
    names.sort();
    names
}

fn names_of(batches: &[datafusion::arrow::array::RecordBatch]) -> Vec<String> {
    use datafusion::arrow::array::{Array, AsArray};
    use datafusion::arrow::datatypes::Float64Type;
    let mut names = Vec::new();
    for batch in batches {
        let name = |column: usize, row: usize| match batch.columns().get(column) {
            Some(values) if values.is_valid(row) => format!("{:?}", values.as_primitive::<Float64Type>().value(row)),
            _ => "-".to_owned(),
        };
        names.extend((0..batch.num_rows()).map(|row| format!("{} {}", name(0, row), name(1, row))));
    }
    names.sort();
    names
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    // few times, so that bounds are often hit exactly
    let row = (0i64..40, 0usize..3, 0usize..2, prop::option::weighted(0.9, 0i64..2));
    prop::collection::vec(row, 0..70).prop_map(|rows| {
        let mut rows: Vec<Row> = rows
            .into_iter()
            .enumerate()
            .map(|(number, (time, host, addr, n))| Row {
                time: time - 10,
                host: ["a", "b", "c"][host].to_owned(),
                addr: addr.to_string(),
                n,
                // both sides, and no two rows alike
                x: number as f64 / 1_000.0 + if number % 2 == 0 { 0.0 } else { 0.5 },
            })
            .collect();
        rows.sort_by_key(|row| row.time);
        rows
    })
}

/// Each row may come behind rows that are up to `lateness` later; batches of `size`.
fn inputs(rows: &[Row], lateness: i64, size: usize, salt: u64) -> Vec<Vec<datafusion::arrow::array::RecordBatch>> {
    let mut arrivals: Vec<(i64, &Row)> = rows
        .iter()
        .enumerate()
        .map(|(number, row)| {
            let mixed = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ salt);
            (row.time + (mixed >> 17) as i64 % lateness.max(1), row)
        })
        .collect();
    arrivals.sort_by_key(|(arrival, _)| *arrival);
    let rows: Vec<Row> = arrivals.into_iter().map(|(_, row)| row.clone()).collect();
    vec![rows.chunks(size).map(batch).collect()]
}

fn check(context: &Context, text: &str, expected: &[String]) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    runtime.block_on(async {
        let frame = context.sql(text).await.map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        let batch = frame.collect().await.map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(names_of(&batch), expected, "batch: {}", text);
        let streamed = frame.collect_stream().await.map_err(|error| TestCaseError::fail(format!("{text}: {error}")));
        let (progress, stream) = streamed?;
        prop_assert_eq!(names_of(&stream), expected, "stream: {}", text);
        let (read, used, late, dead) = progress.totals();
        prop_assert_eq!((late, dead, progress.late_inside, read), (0, 0, 0, used), "{}", text);
        Ok(())
    })
}

const SIDES: &str = "(SELECT * FROM requests WHERE x < 0.5) a";
const OTHERS: &str = "(SELECT * FROM requests WHERE x >= 0.5) b";

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn interval_joins_give_the_pairs_of_brute_force(
        rows in rows(),
        kind in 0usize..6,
        from in -6i64..4,
        width in 0i64..8,
        open in (any::<bool>(), any::<bool>()),
        way in 0usize..3,
        lateness in 0i64..5,
        size in 1usize..20,
        salt in any::<u64>(),
        by_host in any::<bool>(),
    ) {
        let interval = Interval { from, to: from + width, open };
        let kind = ["INNER", "LEFT", "RIGHT", "FULL", "LEFT SEMI", "LEFT ANTI"][kind];
        let on = format!("a.addr = b.addr AND a.n = b.n AND a.host <= b.host AND {}", interval.text(way));
        let text = match kind {
            "LEFT SEMI" => format!("SELECT a.x FROM {SIDES} WHERE EXISTS (SELECT 1 FROM {OTHERS} WHERE {on})"),
            "LEFT ANTI" => format!("SELECT a.x FROM {SIDES} WHERE NOT EXISTS (SELECT 1 FROM {OTHERS} WHERE {on})"),
            // bounds in WHERE
            "INNER" => format!("SELECT a.x, b.x AS other FROM {SIDES}, {OTHERS} WHERE {on}"),
            _ => format!("SELECT a.x, b.x AS other FROM {SIDES} {kind} JOIN {OTHERS} ON {on}"),
        };
        let expected = named(&rows, &by_force(&rows, kind, interval));
        check(&context(inputs(&rows, lateness, size, salt), lateness, by_host.then_some("host")), &text, &expected)?;
    }

    #[test]
    fn as_of_joins_give_the_latest_row_of_brute_force(
        rows in rows(),
        outer in any::<bool>(),
        strict in any::<bool>(),
        less in -3i64..4,
        lateness in 0i64..5,
        size in 1usize..20,
        salt in any::<u64>(),
    ) {
        let (kind, sign) = (if outer { "LEFT" } else { "" }, if strict { ">" } else { ">=" });
        let text = format!(
            "SELECT a.x, b.x AS other FROM {SIDES} ASOF {kind} JOIN {OTHERS} MATCH_CONDITION \
             (a.time - INTERVAL '{less} microseconds' {sign} b.time) ON a.n = b.n"
        );
        let expected = named(&rows, &as_of_by_force(&rows, outer, strict, less));
        check(&context(inputs(&rows, lateness, size, salt), lateness, None), &text, &expected)?;
    }
}

/// More with `PROPTEST_CASES`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(150)
}

async fn planned(query: &str, live: bool) -> fyke_query::Driver {
    try_planned(query, live).await.unwrap_or_else(|error| unreachable!("{query}: {error}"))
}

async fn try_planned(query: &str, live: bool) -> fyke_types::Result<fyke_query::Driver> {
    let context = context_of(Rehearsed { inputs: Vec::new(), endless: true }, 0, Some("host"));
    let script = Script::parse(query, "joins.sql", &BTreeMap::new())?;
    let select =
        |_: &_| -> fyke_types::Result<Box<dyn fyke_types::Sink>> { Ok(Box::new(fyke_connect::MemorySink::new())) };
    let settings = RunSettings { follow: live, ..RunSettings::default() };
    context.stream_script(&script, &settings, &select, &mut |_| {}).await
}

#[tokio::test]
async fn live_runs_take_every_form_of_a_finite_interval() {
    for bounds in [
        "b.time BETWEEN a.time AND a.time + INTERVAL '1 minute'",
        "b.time >= a.time - INTERVAL '1 month' AND a.time > b.time - INTERVAL '1 year 2 months'",
        "a.time = b.time",
        "NOT (b.time < a.time) AND NOT (b.time > INTERVAL '1 minute' + a.time)",
        // the bound may be any column of the other side
        "b.time >= a.time AND b.time <= greatest(a.time, a.time + INTERVAL '1 hour')",
    ] {
        for query in [
            format!("SELECT a.x, b.x AS bx FROM requests a JOIN requests b ON a.addr = b.addr AND {bounds}"),
            format!("SELECT a.x, b.x AS bx FROM requests a, requests b WHERE a.host = b.host AND a.n > 2 AND {bounds}"),
            format!("SELECT a.x, b.x AS bx FROM requests a LEFT JOIN requests b ON true WHERE {bounds}"),
        ] {
            let plan = planned(&query, true).await.describe();
            assert!(plan.contains("IntervalJoin"), "{query}\n{plan}");
            let by = if query.contains("a.host = b.host") { "each customer's watermark" } else { "over all customers" };
            assert!(plan.contains(by), "{query}\n{plan}");
        }
    }
}

#[tokio::test]
async fn live_runs_refuse_what_would_wait_for_ever_and_name_the_side() {
    for (query, words) in [
        (
            "SELECT a.x FROM requests a JOIN requests b ON a.addr = b.addr AND b.time >= a.time",
            "right side's event time has no upper bound",
        ),
        (
            "SELECT a.x FROM requests a JOIN requests b ON a.addr = b.addr AND b.time <= a.time",
            "left side's event time has no upper bound",
        ),
        (
            "SELECT a.x FROM requests a JOIN (SELECT session(time, INTERVAL '1 second') AS w, host FROM requests GROUP BY w, host) b ON a.host = b.host AND a.time BETWEEN b.w['start'] AND b.w['end']",
            "left rows would be kept for ever",
        ),
        (
            "SELECT a.x FROM requests a ASOF JOIN (SELECT max(time) AS last, host, tumble(time, INTERVAL '1 second') AS w FROM requests WHERE n > 2 GROUP BY w, host) b MATCH_CONDITION (greatest(a.time, a.time) >= b.last) ON a.host = b.host",
            "kept for ever",
        ),
        (
            "SELECT a.x FROM requests a ASOF JOIN requests b MATCH_CONDITION (a.time >= greatest(b.time, b.time)) ON a.host = b.host",
            "no watermark says",
        ),
    ] {
        let error = match try_planned(query, true).await {
            Ok(mut driver) => unreachable!("accepted: {query}\n{}", driver.describe()),
            Err(error) => error.to_string(),
        };
        assert!(error.contains(words) && error.contains("hint:"), "{query}\n{error}");
    }
}
