//! A run without memory to speak of decides as one that has enough: which rows are late, and what closes for customers
//! that fell silent. [`parity`] has no late rows; here there are many.

mod support;

use fyke_query::{Context, compare_rows};
use proptest::prelude::*;
use support::{Rehearsed, SECOND, arrange, rows, run_to_end};

const PIPELINES: [&str; 6] = [
    "SELECT session(time, INTERVAL '{a} seconds') AS w, host, addr, count(*) AS c, sum(n) AS s, min(time) AS f, count(DISTINCT n) AS u FROM requests GROUP BY w, host, addr",
    "SELECT session(time, INTERVAL '{a} seconds') AS w, addr, count(*) AS c FROM requests GROUP BY w, addr",
    "SELECT session(time, INTERVAL '{a} seconds') AS w, count(*) AS c FROM requests GROUP BY w",
    "SELECT tumble(s, INTERVAL '7 seconds') AS v, host, avg(c) AS m, count(*) AS k FROM (SELECT session(time, INTERVAL '{a} seconds') AS s, host, addr, count(*) AS c FROM requests GROUP BY s, host, addr) GROUP BY v, host",
    "SELECT w, host, addr, c FROM (SELECT w, host, addr, c, row_number() OVER (PARTITION BY w, host ORDER BY c DESC, addr) AS r FROM (SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, addr, count(*) AS c FROM requests GROUP BY w, host, addr)) WHERE r <= 2",
    "WITH m AS (SELECT tumble(time, INTERVAL '{a} seconds') AS w, host, addr, count(*) AS c FROM requests GROUP BY w, host, addr), g AS (SELECT w, host, avg(c) AS mean FROM m GROUP BY w, host) SELECT m.w, m.host, m.addr, m.c / g.mean AS r FROM m JOIN g ON m.w = g.w AND m.host = g.host",
];

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
        let of = |builder| {
            let source = Rehearsed { inputs: inputs.clone(), endless: false };
            run_to_end(builder, &text, source, lateness * SECOND, by_host.then_some("host")).map_err(TestCaseError::fail)
        };
        let (schema, expected, rich) = of(Context::builder().short_epochs(true))?;
        let (_, found, poor) = of(Context::builder().short_epochs(true).memory_budget(budget, None))?;
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
