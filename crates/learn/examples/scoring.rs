//! How long does a verdict take? Trees of depth 6 over 64 features, one thread:
//! `cargo run --release -p fyke-learn --example scoring`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch};
use fyke_learn::{FeatureTable, GradientBoosting, Learner, Params, TableColumns};
use fyke_types::{Random, SeededRandom};

const FEATURES: usize = 64;
const ROWS: usize = 20_000;

fn table() -> fyke_types::Result<(RecordBatch, FeatureTable)> {
    let mut random = SeededRandom::new(1);
    let data: Vec<Vec<f64>> = (0..FEATURES).map(|_| (0..ROWS).map(|_| random.next_f64()).collect()).collect();
    let label = |row: usize| {
        let signal: f64 = data.iter().enumerate().map(|(place, column)| column[row] * (place % 7) as f64).sum();
        signal + 40.0 * random.next_f64() > 120.0
    };
    let label: ArrayRef = Arc::new(BooleanArray::from((0..ROWS).map(label).collect::<Vec<_>>()));
    let columns = data
        .iter()
        .enumerate()
        .map(|(place, column)| (format!("f{place}"), Arc::new(Float64Array::from(column.clone())) as ArrayRef));
    let batch = RecordBatch::try_from_iter(columns.chain([("label".to_owned(), label)]))?;
    let table = FeatureTable::from_batches(std::slice::from_ref(&batch), &TableColumns::new("label"))?;
    Ok((batch, table))
}

/// Pieces of a millisecond or two, so that on a busy machine the best of them was not interrupted.
const PIECE: usize = 1_000;

#[expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]
fn measure(what: &str, work: impl Fn()) {
    let mut times: Vec<f64> = (0..100)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e6 / PIECE as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{what:<28} best {:>6.2}, median {:>6.2} µs a row", times[0], times[50]);
}

fn main() -> fyke_types::Result<()> {
    let (batch, table) = table()?;
    let model = GradientBoosting.fit(&table, &Params::default())?;
    let (piece, baselines) = (batch.slice(0, PIECE), table.averages());
    let rows = model.encode_batch(&piece)?;
    measure("margins of a batch", || drop(black_box(model.margins(&rows))));
    measure("encode and score a batch", || drop(black_box(model.score_batch(&piece))));
    measure("one row at a time", || {
        rows.iter().for_each(|row| {
            black_box(model.score_row(row));
        });
    });
    measure("contributions", || rows.iter().for_each(|row| drop(black_box(model.contributions(row)))));
    measure("all counterfactual drops", || {
        rows.iter().for_each(|row| drop(black_box(model.counterfactual_drops(row, &baselines))));
    });
    measure("three reasons", || rows.iter().for_each(|row| drop(black_box(model.reasons(row, &baselines, 3)))));
    Ok(())
}
