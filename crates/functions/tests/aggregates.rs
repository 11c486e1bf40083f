//! Every aggregate function through SQL, in two phases over two partitions: values by hand, and equal to what
//! DataFusion's own exact functions give.

mod common;

use std::sync::Arc;

use common::{ask, context};
use datafusion::arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;

/// `events(k text, v text, x double, n bigint, t timestamp)`: `rows` rows in two partitions of several batches each,
/// keys k0 to k4, every seventh value null.
fn with_events(context: &SessionContext, rows: i64) -> Result<()> {
    let batch = |of: &dyn Fn(i64) -> bool| -> Result<Vec<RecordBatch>> {
        let ids: Vec<i64> = (0..rows).filter(|row| of(*row)).collect();
        ids.chunks(50).map(events).collect()
    };
    let (even, odd) = (batch(&|row| row % 2 == 0)?, batch(&|row| row % 2 == 1)?);
    let schema = even[0].schema();
    context.register_table("events", Arc::new(MemTable::try_new(schema, vec![even, odd])?))?;
    Ok(())
}

fn events(ids: &[i64]) -> Result<RecordBatch> {
    let present = |id: i64| id % 7 != 0;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(ids.iter().map(|id| Some(format!("k{}", id % 5))).collect::<StringArray>())),
        ("v", Arc::new(ids.iter().map(|id| present(*id).then(|| format!("v{}", id % 13))).collect::<StringArray>())),
        ("x", Arc::new(ids.iter().map(|id| present(*id).then_some(*id as f64)).collect::<Float64Array>())),
        ("n", Arc::new(ids.iter().map(|id| present(*id).then_some(id % 11)).collect::<Int64Array>())),
        ("t", Arc::new(ids.iter().map(|id| Some(id * id * 1_000)).collect::<TimestampMicrosecondArray>())),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}

#[tokio::test]
async fn values_by_hand() {
    let context = context(2);
    for (call, values, expected) in [
        ("unique(column1)", "('a'), ('b'), ('a'), (NULL)", "2"),
        ("unique(column1)", "(1.5), (1.5), (NULL), (2)", "2"),
        ("unique(column1)", "(true), (false), (true)", "2"),
        ("approx_unique(column1)", "('a'), ('b'), ('a'), (NULL)", "2"),
        ("approx_percentile(column1, 0)", "(0), (0), (0)", "0.0"),
        ("coefficient_of_variation(column1)", "(2), (4), (4), (4), (5), (5), (7), (9), (NULL)", "0.427617987059879"),
        ("coefficient_of_variation(column1)", "(2)", ""),
        ("entropy_of(column1)", "('a'), ('b'), ('c'), ('d'), (NULL)", "2.0"),
        ("entropy_of(column1)", "('a'), ('a')", "0.0"),
        ("entropy_of(column1)", "('a'), ('a'), ('a'), ('b')", "0.8112781244591328"),
        ("mode_share(column1)", "('a'), ('a'), ('a'), ('b'), (NULL)", "0.75"),
    ] {
        let sql = format!("SELECT {call} AS out FROM (VALUES {values})");
        let rows = ask(&context, &sql).await.unwrap();
        assert!(rows == [expected] || close(&rows[0], expected), "{call} of {values}: {rows:?}");
    }
}

fn close(got: &str, expected: &str) -> bool {
    matches!((got.parse::<f64>(), expected.parse::<f64>()), (Ok(got), Ok(expected)) if (got - expected).abs() < 1e-12)
}

#[tokio::test]
async fn gaps_by_hand() {
    let context = context(2);
    // events at 0, 1, 3 and 7 s: gaps 1, 2, 4; mean 7/3, sample variance 7/3
    let times = "(TIMESTAMP '1970-01-01T00:00:07'), (TIMESTAMP '1970-01-01T00:00:00'), (NULL), \
                 (TIMESTAMP '1970-01-01T00:00:03'), (TIMESTAMP '1970-01-01T00:00:01')";
    for (call, expected) in [
        ("gap_mean", 7.0 / 3.0),
        ("gap_var", 7.0 / 3.0),
        ("gap_cv", (7.0f64 / 3.0).sqrt() / (7.0 / 3.0)),
        ("gap_min", 1.0),
        ("gap_max", 4.0),
    ] {
        let rows = ask(&context, &format!("SELECT {call}(column1) AS out FROM (VALUES {times})")).await.unwrap();
        assert!(close(&rows[0], &expected.to_string()), "{call}: {rows:?}");
    }
    for (call, values, expected) in [
        ("gap_mean", "(TIMESTAMP '1970-01-01')", ""),
        ("gap_min", "(TIMESTAMP '1970-01-01')", ""),
        ("gap_mean", "(TIMESTAMP '1970-01-01'), (TIMESTAMP '1970-01-01')", "0.0"),
        ("gap_cv", "(TIMESTAMP '1970-01-01'), (TIMESTAMP '1970-01-02')", ""),
        ("gap_cv", "(TIMESTAMP '1970-01-01'), (TIMESTAMP '1970-01-02'), (TIMESTAMP '1970-01-03')", "0.0"),
    ] {
        let rows = ask(&context, &format!("SELECT {call}(column1) AS out FROM (VALUES {values})")).await.unwrap();
        assert_eq!(rows, [expected], "{call} of {values}");
    }
}

#[tokio::test]
async fn no_values_count_as_zero_or_null() {
    let context = context(2);
    with_events(&context, 100).unwrap();
    for grouping in ["", " GROUP BY k LIMIT 1"] {
        for (call, expected) in [
            ("unique(v)", "0"),
            ("approx_unique(v)", "0"),
            ("approx_percentile(x, 0.5)", ""),
            ("coefficient_of_variation(x)", ""),
            ("entropy_of(v)", ""),
            ("mode_share(v)", ""),
            ("gap_mean(t)", ""),
            ("gap_cv(t)", ""),
        ] {
            let sql = format!("SELECT {call} FILTER (WHERE false) AS out FROM events{grouping}");
            assert_eq!(ask(&context, &sql).await.unwrap(), [expected], "{sql}");
        }
        if grouping.is_empty() {
            let sql = "SELECT unique(v) AS out FROM events WHERE x < -1";
            assert_eq!(ask(&context, sql).await.unwrap(), ["0"]);
        }
    }
}

#[tokio::test]
async fn exact_functions_equal_datafusions_own() {
    for partitions in [1, 2] {
        let context = context(partitions);
        with_events(&context, 1_000).unwrap();
        for (ours, theirs) in [
            ("unique(v)", "count(DISTINCT v)"),
            ("unique(n)", "count(DISTINCT n)"),
            ("unique(x)", "count(DISTINCT x)"),
            ("unique(t)", "count(DISTINCT t)"),
            ("approx_unique(v)", "count(DISTINCT v)"),
            ("approx_unique(n)", "count(DISTINCT n)"),
            ("unique(v) FILTER (WHERE n > 3)", "count(DISTINCT v) FILTER (WHERE n > 3)"),
            ("round(coefficient_of_variation(x), 9)", "round(stddev(x) / avg(x), 9)"),
        ] {
            for grouping in [("1", ""), ("k", " GROUP BY k ORDER BY k"), ("n", " GROUP BY n ORDER BY n")] {
                let sql = |call: &str| format!("SELECT {} AS g, {call} AS out FROM events{}", grouping.0, grouping.1);
                let (ours, theirs) = (ask(&context, &sql(ours)).await, ask(&context, &sql(theirs)).await);
                assert_eq!(ours.unwrap(), theirs.unwrap(), "{}", sql("…"));
            }
        }
    }
}

#[tokio::test]
async fn any_number_of_partitions_gives_the_same_bits() {
    let calls = "unique(v), approx_unique(t), approx_percentile(x, 0.95), approx_percentile(x, 0.5, 0.001), gap_mean(t), \
                 gap_var(t), gap_cv(t), gap_min(t), gap_max(t), entropy_of(v), mode_share(v), entropy_of(n), unique([n])";
    for sql in [
        format!("SELECT {calls} FROM events"),
        format!("SELECT k, {calls} FROM events GROUP BY k ORDER BY k"),
        format!("SELECT k, n, v, {calls} FROM events GROUP BY k, n, v ORDER BY k, n, v"),
        format!("SELECT t, {calls} FROM events GROUP BY t ORDER BY t"),
    ] {
        let mut answers = Vec::new();
        for partitions in [1, 2, 5] {
            let context = context(partitions);
            with_events(&context, 2_000).unwrap();
            answers.push(ask(&context, &sql).await.unwrap());
        }
        assert_eq!(answers[0], answers[1], "{sql}");
        assert_eq!(answers[0], answers[2], "{sql}");
    }
}

#[tokio::test]
async fn percentiles_are_within_the_accuracy_of_exact_ones() {
    let context = context(2);
    with_events(&context, 3_000).unwrap();
    for q in ["0.1", "0.5", "0.9", "0.99"] {
        let sql = format!(
            "SELECT abs(approx_percentile(x, {q}) - percentile_cont(x, {q})) <= 0.0101 * percentile_cont(x, {q}) + 5 AS out FROM events GROUP BY k"
        );
        assert_eq!(ask(&context, &sql).await.unwrap(), ["true"; 5], "{q}");
    }
}

#[tokio::test]
async fn a_growing_window_sees_what_came_before() {
    let context = context(2);
    let sql = "SELECT unique(column1) OVER (ORDER BY column2) AS out, entropy_of(column1) OVER (ORDER BY column2) AS e \
               FROM (VALUES ('a', 1), ('a', 2), ('b', 3), ('b', 4)) ORDER BY column2";
    assert_eq!(ask(&context, sql).await.unwrap()[3], "2 1.0");
    assert_eq!(ask(&context, sql).await.unwrap()[1], "1 0.0");
}

#[tokio::test]
async fn every_type_can_be_counted() {
    let context = context(2);
    for value in [
        "CAST(n AS TINYINT)",
        "CAST(n AS SMALLINT)",
        "CAST(n AS REAL)",
        "CAST(n AS DECIMAL(30, 4))",
        "CAST(t AS DATE)",
        "n > 5",
        "arrow_cast(v, 'Utf8View')",
        "arrow_cast(v, 'LargeUtf8')",
        "arrow_cast(v, 'Binary')",
        "arrow_cast(v, 'Dictionary(Int32, Utf8)')",
        "named_struct('a', n, 'b', v)",
    ] {
        with_events(&context, 500).unwrap();
        let sql = |call: &str| format!("SELECT k, {call} AS out FROM events WHERE n IS NOT NULL GROUP BY k ORDER BY k");
        let ours = ask(&context, &sql(&format!("unique({value})"))).await.unwrap();
        let sketch = ask(&context, &sql(&format!("approx_unique({value})"))).await.unwrap();
        let exact = ask(
            &context,
            &sql(&format!("cardinality(array_distinct(array_agg({value}) FILTER (WHERE {value} IS NOT NULL)))")),
        )
        .await;
        assert_eq!(ours, sketch, "{value}");
        if let Ok(exact) = exact {
            let zero = |row: &String| if row.contains(' ') { row.clone() } else { format!("{row} 0") };
            assert_eq!(ours, exact.iter().map(zero).collect::<Vec<_>>(), "{value}");
        }
        let shares =
            ask(&context, &sql(&format!("mode_share({value}) <= 1 AND entropy_of({value}) >= 0"))).await.unwrap();
        assert_eq!(shares.len(), 5, "{value}");
        context.deregister_table("events").unwrap();
    }
}

#[tokio::test]
async fn mistakes_are_refused_with_the_remedy() {
    let context = context(2);
    with_events(&context, 100).unwrap();
    for (call, words) in [
        ("gap_mean(DISTINCT t)", "leave DISTINCT out"),
        ("entropy_of(DISTINCT v)", "leave DISTINCT out"),
        ("unique(DISTINCT v)", "leave DISTINCT out"),
        ("approx_percentile(x, 95)", "it goes from 0 to 1"),
        ("approx_percentile(x, n)", "no constant number"),
        ("approx_percentile(x, 0.5, 0.9)", "from 0.0001 to 0.5"),
        ("approx_percentile(x)", "it takes 2 to 3"),
        ("gap_mean(v)", "it takes a timestamp"),
        ("coefficient_of_variation(v)", "it takes a number"),
    ] {
        for grouping in ["", " GROUP BY k"] {
            let error = ask(&context, &format!("SELECT {call} AS out FROM events{grouping}")).await.unwrap_err();
            assert!(error.to_string().contains(words), "{call}: {error}");
        }
    }
}
