//! Tables with a planted rule for the tests inside this crate.

#[path = "../tests/common/planted.rs"]
mod generated;

pub(crate) use generated::{Planted, planted_batch, planted_features};

use crate::features::{FeatureTable, TableColumns};

/// A planted batch as a table to learn from.
pub(crate) fn planted(planted: &Planted) -> FeatureTable {
    let columns =
        TableColumns { features: planted_features(planted), time: Some("time".into()), ..TableColumns::new("bot") };
    FeatureTable::from_batches(&[planted_batch(planted)], &columns).unwrap()
}
