//! A run without memory to speak of decides as one that has enough: which rows are late, and what closes for customers
//! that fell silent. [`parity`] has no late rows; here there are many.

#![expect(clippy::expect_used, reason = "a test that can not go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use fyke_connect::MemorySink;
use fyke_query::{Context, RunSettings, Script, compare_rows};
use fyke_stream::Progress;
use fyke_types::Sink;
use proptest::prelude::*;
use support::{Rehearsed, SECOND, arrange, context_from, rows};

const PIPELINES: [&str; 6] = [
    "SELECT session(time, INTERVAL '{a} seconds') AS w, host, addr, count(*) AS c, sum(n) AS s, min(time) AS f, count(DISTINCT n) AS u FROM requests GROUP BY w, host, addr",
    "SELECT session(time, INTERVAL '{a} seconds') AS w, addr, count(*) AS c FROM requests GROUP BY w, addr",
    "SELECT session(time, INTERVAL '{a} seconds') AS w, count(*) AS c FROM requests GROUP BY w",
    "SELECT tumble(s, INTERVAL '7 seconds') AS v, host, avg(c) AS m, count(*) AS k FROM (SELECT session(time, INTERVAL '{a} seconds') AS s, host, addr, count(*) AS c FROM requests GROUP BY s, host, addr) GROUP BY v, host",
    "SELECT w, host, addr, c FROM (SELECT w, host, addr, c, row_number() OVER (PARTITION BY w, host ORDER BY c DESC, addr) AS r FROM (SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, addr, count(*) AS c FROM requests GROUP BY w, host, addr)) WHERE r <= 2",
    "WITH m AS (SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, addr, count(*) AS c FROM requests GROUP BY w, host, addr), g AS (SELECT w, host, avg(c) AS mean FROM m GROUP BY w, host) SELECT m.w, m.host, m.addr, m.c / g.mean AS r FROM m JOIN g ON m.w = g.w AND m.host = g.host",
];

/// A run's rows and counters.
fn run(
    text: &str,
    inputs: Vec<Vec<RecordBatch>>,
    lateness: i64,
    customer: Option<&str>,
    budget: Option<usize>,
) -> (SchemaRef, Vec<RecordBatch>, Progress) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let builder = Context::builder().short_epochs(true);
        let builder = budget.into_iter().fold(builder, |builder, bytes| builder.memory_budget(bytes, None));
        let context = context_from(builder, Rehearsed { inputs, endless: false }, lateness, customer);
        let script = Script::parse(text, "budget", &BTreeMap::new()).expect("parses");
        let (sink, schema) = (MemorySink::new(), std::sync::Mutex::new(None));
        let select = |of: &SchemaRef| -> fyke_types::Result<Box<dyn Sink>> {
            *schema.lock().expect("lock") = Some(Arc::clone(of));
            Ok(Box::new(sink.clone()))
        };
        let settings = RunSettings::default();
        let driver = context.stream_script(&script, &settings, &select, &mut |_| {}).await.expect("plans");
        let progress = driver.run().expect("runs");
        let schema = schema.lock().expect("lock").clone().expect("a schema");
        (schema, sink.batches(), progress)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn late_rows_are_the_same_ones_without_memory(
        rows in rows(),
        pipeline in 0..PIPELINES.len(),
        inputs in 1usize..4,
        size in 1usize..20,
        a in 1i64..9,
        disorder in 0i64..40,
        lateness in 0i64..6,
        salt in any::<u64>(),
        by_host in any::<bool>(),
        budget in prop::sample::select(vec![1, 4_000, 20_000]),
    ) {
        let text = PIPELINES[pipeline].replace("{a}", &a.to_string());
        let inputs = arrange(&rows, inputs, size, disorder * SECOND, salt);
        let of = |budget| run(&text, inputs.clone(), lateness * SECOND, by_host.then_some("host"), budget);
        let ((schema, expected, rich), (_, found, poor)) = (of(None), of(Some(budget)));
        let compared = compare_rows(&schema, &expected, &found).expect("compared");
        prop_assert!(compared.is_equal(), "{compared:#?}\n{text}");
        prop_assert_eq!(rich.totals(), poor.totals());
        prop_assert!(budget > 1 || rows.is_empty() || poor.spilled_bytes_max > 0);
    }
}

/// More with `PROPTEST_CASES`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(150)
}
