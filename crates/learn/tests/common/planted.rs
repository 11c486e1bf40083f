//! Generated data with a planted rule, for tests. Not part of the library.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use fyke_types::{Random, SeededRandom};

/// What is generated.
#[derive(Debug, Clone)]
pub struct Planted {
    /// Rows, one a second.
    pub rows: usize,
    /// The seed of all chance.
    pub seed: u64,
    /// Share of labels that are turned round.
    pub noise: f64,
    /// Share of `rate` that is missing.
    pub missing: f64,
    /// Columns of pure noise.
    pub useless: usize,
}

impl Default for Planted {
    fn default() -> Self {
        Self { rows: 4_000, seed: 1, noise: 0.02, missing: 0.1, useless: 2 }
    }
}

/// Columns `rate`, `errors`, `agent`, `constant`, `noise0`, …, `time`, `client`, `bot`. A row is a bot's where
/// `2·rate + 3·(agent is curl or bot) − errors > 1.5`; where `rate` is missing, where `errors < 0.2`.
#[allow(
    clippy::expect_used,
    reason = "only tests include this file; in unit tests the lint is off, so expect would fail"
)]
pub fn planted_batch(planted: &Planted) -> RecordBatch {
    let mut random = SeededRandom::new(planted.seed);
    let mut chance = || random.next_f64();
    let agents = ["bot", "curl", "firefox", "safari", "chrome", "edge"];
    let (mut rate, mut errors, mut agent, mut bot) = (vec![], vec![], vec![], vec![]);
    for _ in 0..planted.rows {
        let (r, e, a) = (chance(), chance(), (chance() * 6.0) as usize);
        let known = chance() >= planted.missing;
        let rule = if known { 2.0 * r + if a < 2 { 3.0 } else { 0.0 } - e > 1.5 } else { e < 0.2 };
        rate.push(known.then_some(r));
        errors.push(e);
        agent.push(agents[a.min(5)]);
        bot.push(rule != (chance() < planted.noise));
    }
    let n = planted.rows as i64;
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("rate".into(), Arc::new(Float64Array::from(rate))),
        ("errors".into(), Arc::new(Float64Array::from(errors))),
        ("agent".into(), Arc::new(StringArray::from(agent))),
        ("constant".into(), Arc::new(Int64Array::from(vec![7; planted.rows]))),
    ];
    for useless in 0..planted.useless {
        let values = Float64Array::from_iter_values((0..planted.rows).map(|_| chance()));
        columns.push((format!("noise{useless}"), Arc::new(values)));
    }
    columns.push(("time".into(), Arc::new(TimestampMicrosecondArray::from_iter_values((0..n).map(|i| i * 1_000_000)))));
    columns.push(("client".into(), Arc::new(Int64Array::from_iter_values(0..n))));
    columns.push(("bot".into(), Arc::new(BooleanArray::from(bot))));
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of equal lengths")
}

/// The features of [`planted_batch`] in order.
pub fn planted_features(planted: &Planted) -> Vec<String> {
    let named = ["rate", "errors", "agent", "constant"].map(str::to_owned);
    named.into_iter().chain((0..planted.useless).map(|useless| format!("noise{useless}"))).collect()
}
