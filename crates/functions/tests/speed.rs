//! How long the columns of a million rows take. Ignored by default, since times are of a machine:
//! `cargo test --release -p fyke-functions --test speed -- --ignored --nocapture`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do, and what they measure is printed"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{ColumnarValue, EmitTo, GroupsAccumulator, ScalarFunctionArgs};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

const ROWS: usize = 1_000_000;
const BATCH: usize = 8_192;

/// Time on the processor of this thread where the system tells it: a busy machine does not count. Else wall time.
struct Stopwatch(Instant, Option<u64>);

impl Stopwatch {
    fn start() -> Self {
        Self(Instant::now(), Self::on_processor())
    }

    fn on_processor() -> Option<u64> {
        std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
    }

    fn elapsed(&self) -> Duration {
        match (self.1, Self::on_processor()) {
            (Some(before), Some(now)) => Duration::from_nanos(now - before),
            _ => self.0.elapsed(),
        }
    }
}

/// A number that looks random: the row, mixed.
fn scatter(row: usize) -> u64 {
    (row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 8
}

/// The least of several runs, which the machine disturbed least.
fn distinct(name: &str, create: &dyn Fn() -> Box<dyn GroupsAccumulator>, column: impl Fn(usize) -> ArrayRef) {
    let batches: Vec<(ArrayRef, Vec<usize>)> = (0..ROWS)
        .step_by(BATCH)
        .map(|from| {
            (column(from), (from..(from + BATCH).min(ROWS)).map(|row| (scatter(row) % 10_000) as usize).collect())
        })
        .collect();
    let run = || {
        let start = Stopwatch::start();
        let mut accumulator = create();
        for (column, groups) in &batches {
            accumulator.update_batch(std::slice::from_ref(column), groups, None, 10_000).unwrap();
        }
        let size = accumulator.size();
        accumulator.evaluate(EmitTo::All).unwrap();
        (start.elapsed(), size / 1_000_000)
    };
    let (least, megabytes) = (0..7).map(|_| run()).min().unwrap();
    println!("distinct {name}, 1 M rows, 10,000 groups: {least:?}, {megabytes} MB");
}

fn ours(data_type: &DataType) -> Box<dyn GroupsAccumulator> {
    fyke_functions::distinct_count_accumulator(data_type).unwrap()
}

/// DataFusion's own for whole numbers, to compare with on the same machine.
fn theirs() -> Box<dyn GroupsAccumulator> {
    let field: FieldRef = Arc::new(Field::new("x", DataType::Int64, true));
    let schema = Schema::new(vec![field.as_ref().clone()]);
    let expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new("x", 0));
    let args = AccumulatorArgs {
        return_field: Arc::clone(&field),
        schema: &schema,
        ignore_nulls: false,
        order_bys: &[],
        is_reversed: false,
        name: "count",
        is_distinct: true,
        exprs: &[expr],
        expr_fields: &[field],
    };
    datafusion::functions_aggregate::count::count_udaf().create_groups_accumulator(args).unwrap()
}

#[test]
#[ignore = "measures time"]
fn distinct_counts() {
    for values in [1_000, 100_000, 10_000_000] {
        let text = |row: usize| Some(format!("/shop/item/{}", scatter(row * 7) % values));
        let end = |from: usize| (from + BATCH).min(ROWS);
        distinct(&format!("of {values} texts"), &|| ours(&DataType::Utf8), |from| {
            Arc::new((from..end(from)).map(text).collect::<StringArray>())
        });
        let number = |row: usize| Some((scatter(row * 7) % values) as i64);
        let numbers = |from: usize| -> ArrayRef { Arc::new((from..end(from)).map(number).collect::<Int64Array>()) };
        distinct(&format!("of {values} numbers"), &|| ours(&DataType::Int64), numbers);
        distinct(&format!("of {values} numbers (DataFusion's)"), &theirs, numbers);
    }
}

#[test]
#[ignore = "measures time"]
fn agents() {
    let functions = fyke_functions::scalar_functions();
    let class = functions.iter().find(|function| function.name() == "agent_class").unwrap();
    for distinct in [1, 300, 8_192] {
        let agent = |row: usize| {
            let version = scatter(row) % distinct;
            format!(
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0 Safari/537.36"
            )
        };
        let column: ArrayRef = Arc::new((0..BATCH).map(|row| Some(agent(row))).collect::<StringArray>());
        let invoke = || {
            let field = Arc::new(Field::new("agent", DataType::Utf8, true));
            class.invoke_with_args(ScalarFunctionArgs {
                args: vec![ColumnarValue::Array(Arc::clone(&column))],
                arg_fields: vec![Arc::clone(&field)],
                number_rows: BATCH,
                return_field: field,
                config_options: Arc::new(ConfigOptions::default()),
            })
        };
        invoke().unwrap();
        let start = Stopwatch::start();
        (0..20).for_each(|_| drop(invoke().unwrap()));
        println!("agent_class, batch of {BATCH} with {distinct} distinct: {:?}", start.elapsed() / 20);
    }
}
