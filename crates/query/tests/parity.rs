//! Invariant 1: batch and stream give equal multisets of rows, whatever the order of arrival inside the lateness, the
//! size of batches, the split into inputs, and across kills.

#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

mod support;

use std::collections::BTreeMap;

use fyke_connect::MemorySink;
use fyke_query::checkpoint::Every;
use fyke_query::{CheckpointSettings, Context, RunSettings, Script};
use proptest::prelude::*;
use support::{Rehearsed, Row, SECOND, arrange, context, context_with, rows, run_to_end};

/// Pipelines over `requests(time, host, addr, n, x)`; `{a}`, `{b}`: seconds with a ≤ b, b a multiple of a.
const PIPELINES: &[(&str, &str)] = &[
    (
        "tumble",
        "SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, count(*) AS c, sum(n) AS s, avg(x) AS m, max(x) AS hi FROM requests GROUP BY w, host",
    ),
    (
        "tumble without keys",
        "SELECT tumble(time, INTERVAL '{b} seconds', INTERVAL '1 second') AS w, count(n) AS c, stddev(x) AS d FROM requests GROUP BY w",
    ),
    (
        "hop",
        "SELECT hop(time, INTERVAL '{b} seconds', INTERVAL '{a} seconds') AS w, addr, count(*) AS c, avg(x) AS m FROM requests GROUP BY w, addr",
    ),
    (
        "hop by an odd slide",
        "SELECT hop(time, INTERVAL '7 seconds', INTERVAL '3 seconds') AS w, count(*) AS c FROM requests GROUP BY w",
    ),
    (
        "cumulate",
        "SELECT cumulate(time, INTERVAL '{b} seconds', INTERVAL '{a} seconds') AS w, host, count(*) AS c, count(DISTINCT addr) AS u FROM requests GROUP BY w, host",
    ),
    (
        "session",
        "SELECT session(time, INTERVAL '{a} seconds') AS w, host, addr, count(*) AS c, sum(n) AS s, avg(x) AS m, count(DISTINCT n) AS u FROM requests GROUP BY w, host, addr",
    ),
    (
        "session without keys",
        "SELECT session(time, INTERVAL '{a} seconds') AS w, count(*) AS c FROM requests GROUP BY w",
    ),
    (
        "aggregation of an aggregation",
        "SELECT w, host, avg(c) AS mean, count(*) AS clients FROM (SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, addr, count(*) AS c FROM requests GROUP BY w, host, addr) GROUP BY w, host",
    ),
    (
        "coarser window of a window",
        "SELECT tumble(w, INTERVAL '{b} seconds') AS v, host, sum(c) AS c, max(c) AS peak FROM (SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, addr, count(*) AS c FROM requests GROUP BY w, host, addr) GROUP BY v, host",
    ),
    (
        "sessions of windows",
        "SELECT session(w, INTERVAL '{b} seconds') AS v, host, addr, sum(c) AS c, count(*) AS k FROM (SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, addr, count(*) AS c FROM requests GROUP BY w, host, addr) GROUP BY v, host, addr",
    ),
    (
        "windows of sessions",
        "SELECT tumble(s, INTERVAL '{b} seconds') AS v, avg(c) AS m, count(*) AS k FROM (SELECT session(time, INTERVAL '{a} seconds') AS s, addr, count(*) AS c FROM requests GROUP BY s, addr) GROUP BY v",
    ),
    (
        "aggregation by a session from below",
        "SELECT s, count(*) AS k, sum(c) AS c FROM (SELECT session(time, INTERVAL '{a} seconds') AS s, addr, count(*) AS c FROM requests GROUP BY s, addr) GROUP BY s",
    ),
    (
        "each against the average",
        "WITH c AS (SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, addr, count(*) AS c, avg(x) AS m FROM requests GROUP BY w, host, addr), g AS (SELECT w, host, avg(c) AS mean, stddev(c) AS sd, count(*) AS k FROM c GROUP BY w, host) SELECT c.w, c.host, c.addr, c.c / g.mean AS ratio, g.sd, g.k FROM c JOIN g ON c.w = g.w AND c.host = g.host",
    ),
    (
        "left join on start",
        "WITH a AS (SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, count(*) AS c FROM requests GROUP BY w, host), b AS (SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, sum(n) AS s FROM requests WHERE n > 5 GROUP BY w, host) SELECT a.w, a.host, a.c, b.s FROM a LEFT JOIN b ON a.w['start'] = b.w['start'] AND a.host = b.host",
    ),
    (
        "full join",
        "WITH a AS (SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, count(*) AS c FROM requests WHERE n > 3 GROUP BY w, host), b AS (SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, sum(n) AS s FROM requests WHERE n < 6 GROUP BY w, host) SELECT a.w AS aw, b.w AS bw, a.host AS ah, b.host AS bh, a.c, b.s FROM a FULL JOIN b ON a.w = b.w AND a.host = b.host",
    ),
    (
        "filter on a window's member",
        "SELECT * FROM (SELECT session(time, INTERVAL '{a} seconds') AS w, host, count(*) AS c FROM requests GROUP BY w, host) WHERE w['end'] > TIMESTAMP '1970-01-01T00:00:40' AND host = 'a' AND c > 1",
    ),
    (
        "top of a window",
        "SELECT * FROM (SELECT w, host, addr, c, row_number() OVER (PARTITION BY w, host ORDER BY c DESC, addr) AS r FROM (SELECT tumble(time, INTERVAL '{b} seconds') AS w, host, addr, count(*) AS c FROM requests GROUP BY w, host, addr)) WHERE r <= 2",
    ),
    (
        "union",
        "SELECT w, host, sum(c) AS c FROM (SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, count(*) AS c FROM requests WHERE n > 5 GROUP BY w, host UNION ALL SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, count(*) AS c FROM requests WHERE n <= 5 GROUP BY w, host) GROUP BY w, host",
    ),
    ("distinct in a window", "SELECT DISTINCT tumble(time, INTERVAL '{b} seconds') AS w, host, addr FROM requests"),
    (
        "hop in a select list",
        "SELECT hop(time, INTERVAL '{b} seconds', INTERVAL '{a} seconds') AS w, host, n FROM requests WHERE n > 7",
    ),
    (
        "sketches",
        "SELECT tumble(time, INTERVAL '{b} seconds') AS w, host, approx_percentile(x, 0.9) AS p, approx_unique(addr) AS u, gap_cv(time) AS g, entropy_of(addr) AS e FROM requests GROUP BY w, host",
    ),
    (
        "sketches in sessions",
        "SELECT session(time, INTERVAL '{a} seconds') AS w, host, approx_percentile(x, 0.5) AS p, unique(addr) AS u, gap_mean(time) AS g, coefficient_of_variation(x) AS cv FROM requests GROUP BY w, host",
    ),
    (
        "filtered aggregates",
        "SELECT tumble(time, INTERVAL '{b} seconds') AS w, count(*) FILTER (WHERE n > 5) AS c, sum(x) FILTER (WHERE host = 'a') AS s FROM requests GROUP BY w",
    ),
    ("stateless", "SELECT time, upper(host) AS h, n * 2 AS d FROM requests WHERE x < 0.5"),
    ("no window at all", "SELECT host, count(*) AS c, sum(x) AS s FROM requests GROUP BY host"),
    ("no key at all", "SELECT count(*) AS c, max(x) AS m FROM requests WHERE n > 100"),
    (
        "join without window",
        "SELECT a.addr, a.n, b.x FROM requests a JOIN requests b ON a.addr = b.addr AND a.n = b.n WHERE a.n > 7",
    ),
    (
        "static table",
        "SELECT tumble(time, INTERVAL '{a} seconds') AS w, t.name, count(*) AS c FROM requests LEFT JOIN (VALUES ('a', 'alpha'), ('b', 'beta')) AS t(host, name) ON requests.host = t.host GROUP BY w, t.name",
    ),
    (
        "in a static list",
        "SELECT tumble(time, INTERVAL '{a} seconds') AS w, count(*) AS c FROM requests WHERE addr IN (SELECT a FROM (VALUES ('1'), ('3')) AS t(a)) GROUP BY w",
    ),
    (
        "by the finer of two windows",
        "SELECT w, count(*) AS k, sum(c) AS c FROM (SELECT tumble(w, INTERVAL '{b} seconds') AS v, w, host, sum(c) AS c FROM (SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, addr, count(*) AS c FROM requests GROUP BY w, host, addr) GROUP BY v, w, host) GROUP BY w",
    ),
    (
        "interval join",
        "SELECT a.time AS at, b.time AS bt, a.host, a.addr, a.x AS ax, b.x AS bx FROM requests a JOIN requests b ON a.host = b.host AND a.addr = b.addr AND b.time BETWEEN a.time - INTERVAL '{a} seconds' AND a.time + INTERVAL '{b} seconds' WHERE a.n < 5 AND b.n >= 3",
    ),
    (
        "left interval join with open bounds and a residual condition",
        "SELECT a.time AS at, b.time AS bt, a.host AS ah, b.host AS bh, a.x AS ax, b.x AS bx FROM requests a LEFT JOIN requests b ON a.addr = b.addr AND b.time > a.time AND b.time < a.time + INTERVAL '{b} seconds' AND (a.x < b.x OR a.n = 1)",
    ),
    (
        "right interval join on keys that may be null",
        "SELECT a.time AS at, b.time AS bt, a.n AS an, b.n AS bn, a.x AS ax, b.x AS bx FROM (SELECT * FROM requests WHERE host <> 'c') a RIGHT JOIN requests b ON a.n = b.n AND a.time <= b.time AND a.time >= b.time - INTERVAL '{a} seconds'",
    ),
    (
        "full interval join",
        "SELECT a.time AS at, b.time AS bt, a.host AS ah, b.host AS bh, a.x AS ax, b.x AS bx FROM (SELECT * FROM requests WHERE x < 0.6) a FULL JOIN (SELECT * FROM requests WHERE x > 0.4) b ON a.host = b.host AND a.addr = b.addr AND b.time BETWEEN a.time - INTERVAL '{b} seconds' AND a.time - INTERVAL '{a} seconds' AND b.n <> a.n",
    ),
    (
        "interval join without other keys",
        "SELECT a.x AS ax, b.x AS bx FROM requests a JOIN requests b ON a.time = b.time WHERE a.x < b.x",
    ),
    (
        "semi join of intervals",
        "SELECT time, host, x FROM requests a WHERE EXISTS (SELECT 1 FROM requests b WHERE a.addr = b.addr AND b.n > 6 AND b.time >= a.time AND b.time <= a.time + INTERVAL '{a} seconds')",
    ),
    (
        "anti join of intervals",
        "SELECT time, host, x FROM requests a WHERE NOT EXISTS (SELECT 1 FROM requests b WHERE a.host = b.host AND a.addr = b.addr AND b.n > 6 AND b.time >= a.time - INTERVAL '{b} seconds' AND b.time < a.time)",
    ),
    (
        "windows of an interval join",
        "SELECT tumble(at, INTERVAL '{b} seconds') AS w, host, count(*) AS c, count(bt) AS m, max(bt) AS last FROM (SELECT a.time AS at, b.time AS bt, a.host AS host FROM requests a LEFT JOIN requests b ON a.host = b.host AND b.addr = a.addr AND b.time BETWEEN a.time + INTERVAL '1 second' AND a.time + INTERVAL '{a} seconds') GROUP BY w, host",
    ),
    (
        "windows of an interval join by the other time",
        "SELECT session(bt, INTERVAL '{a} seconds') AS w, addr, count(*) AS c, sum(bx) AS s FROM (SELECT a.time AS at, b.time AS bt, a.addr AS addr, b.x AS bx FROM requests a JOIN requests b ON a.host = b.host AND b.time BETWEEN a.time - INTERVAL '{a} seconds' AND a.time WHERE a.n > 4) GROUP BY w, addr",
    ),
    (
        "interval join of sessions with windows",
        "WITH s AS (SELECT session(time, INTERVAL '{a} seconds') AS w, host, addr, count(*) AS c, max(time) AS last FROM requests GROUP BY w, host, addr), b AS (SELECT tumble(time, INTERVAL '{b} seconds') AS w, host, avg(x) AS m FROM requests GROUP BY w, host) SELECT s.w AS sw, b.w AS bw, s.host, s.addr, s.c, b.m FROM s LEFT JOIN b ON s.host = b.host AND b.w['end'] <= s.last AND b.w['start'] >= s.last - INTERVAL '10 seconds'",
    ),
    (
        "three streams within an interval",
        "SELECT tumble(ct, INTERVAL '{b} seconds') AS w, host, count(*) AS k FROM (SELECT a.host, c.time AS ct FROM requests a JOIN requests b ON a.host = b.host AND b.time BETWEEN a.time AND a.time + INTERVAL '2 seconds' JOIN requests c ON c.addr = b.addr AND c.time BETWEEN b.time AND b.time + INTERVAL '{a} seconds' WHERE a.n = 1 AND b.n > 5 AND c.n < 5) GROUP BY w, host",
    ),
    (
        "as-of join with the latest closed baseline",
        "WITH s AS (SELECT session(time, INTERVAL '{a} seconds') AS w, host, addr, count(*) AS c, max(time) AS last FROM requests GROUP BY w, host, addr), b AS (SELECT tumble(time, INTERVAL '{b} seconds') AS w, host, avg(x) AS m, count(*) AS k FROM requests GROUP BY w, host) SELECT s.w, s.host, s.addr, s.c, b.w AS bw, b.m, b.k FROM s ASOF JOIN b MATCH_CONDITION (s.last >= b.w['end']) ON s.host = b.host",
    ),
    (
        "left as-of join before a row",
        "SELECT a.time, a.host, a.addr, a.x, b.time AS bt, b.x AS bx FROM requests a ASOF LEFT JOIN (SELECT * FROM requests WHERE n > 4) b MATCH_CONDITION (a.time > b.time) ON a.host = b.host AND a.addr = b.addr",
    ),
    (
        "as-of join on keys that may be null, at least some time before",
        "SELECT a.time, a.n, a.x, b.time AS bt, b.x AS bx FROM requests a ASOF LEFT JOIN requests b MATCH_CONDITION (a.time - INTERVAL '{a} seconds' >= b.time) ON a.n = b.n",
    ),
    (
        "windows of an as-of join without keys",
        "SELECT tumble(time, INTERVAL '{b} seconds') AS w, host, count(*) AS c, count(bx) AS m, sum(bx) AS s FROM (SELECT a.time, a.host, b.x AS bx FROM requests a ASOF LEFT JOIN (SELECT * FROM requests WHERE n = 3) b MATCH_CONDITION (a.time >= b.time)) GROUP BY w, host",
    ),
    ("sorted at the end", "SELECT host, addr, n FROM requests ORDER BY n DESC, addr, host, x LIMIT 7"),
];

fn check(
    name: &str,
    text: &str,
    inputs: Vec<Vec<datafusion::arrow::array::RecordBatch>>,
    lateness: i64,
    customer: Option<&str>,
    workers: usize,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(async {
        let context = context_with(Rehearsed { inputs, endless: false }, lateness, customer, workers);
        let script = Script::parse(text, name, &BTreeMap::new()).expect("parses");
        let report = context.parity_script(&script).await.map_err(|e| format!("{name}: {e}\n{text}"))?;
        let (read, used, late, dead) = report.stream.totals();
        let sound = report.is_equal() && read == used + late + dead && report.stream.late_inside == 0;
        if sound { Ok(()) } else { Err(format!("{name}, {workers} workers: {report:#?}\n{text}")) }
    })
}

/// The same with a crash after every few epochs, and a checkpoint after every few others. Each process has one worker
/// more than the one before it, up to three.
fn check_killed(
    name: &str,
    text: &str,
    inputs: Vec<Vec<datafusion::arrow::array::RecordBatch>>,
    lateness: i64,
    customer: Option<&str>,
    (crash, every): (u64, u64),
    workers: usize,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let sink = MemorySink::exactly_once();
        let checkpoint = CheckpointSettings { every: Every::Epochs(every), ..CheckpointSettings::new(folder.path()) };
        let settings = RunSettings { checkpoint: Some(checkpoint), ..RunSettings::default() };
        let script = Script::parse(text, name, &BTreeMap::new()).expect("parses");
        let schema = std::sync::Mutex::new(None);
        let failed = |error: fyke_types::Error| format!("{name}: {error}\n{text}");
        let mut processes = 0;
        let progress = loop {
            let source = Rehearsed { inputs: inputs.clone(), endless: false };
            let context = context_with(source, lateness, customer, (workers + processes - 1) % 3 + 1);
            processes += 1;
            let select = |of: &_| -> fyke_types::Result<Box<dyn fyke_types::Sink>> {
                *schema.lock().expect("lock") = Some(std::sync::Arc::clone(of));
                Ok(Box::new(sink.clone()))
            };
            let driver = context.stream_script(&script, &settings, &select, &mut |_| {}).await.map_err(failed)?;
            let run = tokio::task::spawn_blocking(move || driver.run_until_crash(crash));
            if let Some(progress) = run.await.expect("runs").map_err(failed)? {
                break progress;
            }
        };
        let batch =
            context(inputs, lateness, customer).sql(text).await.map_err(failed)?.collect().await.map_err(failed)?;
        let schema = schema.into_inner().expect("lock").expect("a schema");
        let compared = fyke_query::compare_rows(&schema, &batch, &sink.batches()).map_err(failed)?;
        let (read, used, late, dead) = progress.totals();
        let sound = compared.is_equal() && read == used + late + dead && late == 0 && progress.late_inside == 0;
        if sound { Ok(()) } else { Err(format!("{name}: {compared:#?}\n{progress:?}\n{text}")) }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn parity_holds_for_any_order_split_and_batch_size(
        rows in rows(),
        pipeline in 0..PIPELINES.len(),
        inputs in 1usize..4,
        size in 1usize..60,
        a in 1i64..6,
        times in 1i64..5,
        lateness in 0i64..6,
        salt in any::<u64>(),
        by_host in any::<bool>(),
        workers in 1usize..4,
    ) {
        let (name, text) = PIPELINES[pipeline];
        let text = text.replace("{a}", &a.to_string()).replace("{b}", &(a * times).to_string());
        let lateness = lateness * SECOND;
        check(name, &text, arrange(&rows, inputs, size, lateness, salt), lateness, by_host.then_some("host"), workers)
            .map_err(TestCaseError::fail)?;
    }

    #[test]
    fn parity_holds_across_kills(
        rows in rows(),
        pipeline in 0..PIPELINES.len(),
        inputs in 1usize..4,
        size in 1usize..30,
        a in 1i64..6,
        times in 1i64..5,
        lateness in 0i64..6,
        salt in any::<u64>(),
        by_host in any::<bool>(),
        every in 1u64..6,
        more in 0u64..6,
        workers in 1usize..4,
    ) {
        let (name, text) = PIPELINES[pipeline];
        let text = text.replace("{a}", &a.to_string()).replace("{b}", &(a * times).to_string());
        let (inputs, lateness) = (arrange(&rows, inputs, size, lateness * SECOND, salt), lateness * SECOND);
        // a crash never comes before a checkpoint, else nothing would ever get on
        check_killed(name, &text, inputs, lateness, by_host.then_some("host"), (every + more, every), workers)
            .map_err(TestCaseError::fail)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Rows come further out of order than was promised: which of them are late follows from the blocks alone.
    #[test]
    fn which_rows_are_late_does_not_depend_on_epochs_or_workers(
        rows in rows(),
        pipeline in 0..PIPELINES.len(),
        inputs in 1usize..4,
        size in 1usize..30,
        a in 1i64..6,
        times in 1i64..5,
        lateness in 0i64..3,
        disorder in 0i64..30,
        salt in any::<u64>(),
        by_host in any::<bool>(),
        workers in 1usize..4,
    ) {
        let text = PIPELINES[pipeline].1.replace("{a}", &a.to_string()).replace("{b}", &(a * times).to_string());
        let customer = by_host.then_some("host");
        let inputs = arrange(&rows, inputs, size, disorder * SECOND, salt);
        let run = |builder| {
            let source = Rehearsed { inputs: inputs.clone(), endless: false };
            run_to_end(builder, &text, source, lateness * SECOND, customer).map_err(TestCaseError::fail)
        };
        let (schema, one, expected) = run(Context::builder().short_epochs(true))?;
        let (_, other, got) = run(Context::builder().workers(workers))?;
        let compared = fyke_query::compare_rows(&schema, &one, &other);
        let compared = compared.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert!(compared.is_equal(), "{workers} workers: {compared:#?}\n{text}");
        prop_assert_eq!(got.totals(), expected.totals(), "{}", text);
        prop_assert_eq!(got.late_inside, expected.late_inside, "{}", text);
    }
}

/// More with `PROPTEST_CASES`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(150)
}

#[test]
fn every_pipeline_is_accepted_once() {
    let row = |time: i64, host: &str, addr: &str, n: i64| Row {
        time: time * SECOND,
        host: host.into(),
        addr: addr.into(),
        n: Some(n),
        x: n as f64 / 10.0,
    };
    let rows: Vec<Row> =
        (0..60).map(|i| row(i * 7 % 50, ["a", "b"][i as usize % 2], &(i % 4).to_string(), i % 10)).collect();
    let mut failures = Vec::new();
    for (name, text) in PIPELINES {
        let text = text.replace("{a}", "2").replace("{b}", "6");
        for (customer, workers) in [(None, 1), (None, 2), (Some("host"), 1), (Some("host"), 3)] {
            failures
                .extend(check(name, &text, arrange(&rows, 2, 9, 3 * SECOND, 7), 3 * SECOND, customer, workers).err());
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
