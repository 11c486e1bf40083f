//! Training and test parts: by time, by group, or by chance. Never by the order of rows.

use std::collections::BTreeMap;

use fyke_types::{Error, Random, Result, SeededRandom};

use crate::features::FeatureTable;

/// A table in two parts.
#[derive(Debug, Clone)]
pub struct Split {
    /// To learn from.
    pub train: FeatureTable,
    /// To be judged on.
    pub test: FeatureTable,
    /// Rows left out, so that no group stands in both parts.
    pub dropped: usize,
}

/// The earlier rows to learn from, the later ones to be judged on: about `train_share` (between 0 and 1, both
/// excluded) of the rows are in the first part; rows of the same time stay together. Where the table has groups, later
/// rows of a group that is in the first part are dropped.
///
/// # Errors
/// `Usage` without a time column, for a share outside (0, 1), or when a part would be empty.
pub fn time_split(table: &FeatureTable, train_share: f64) -> Result<Split> {
    let Some(times) = table.times() else {
        return Err(Error::usage("a split by time needs a time column").hint("name one, or split by group"));
    };
    let wanted = train_rows(table, train_share)?;
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    // the part ends between two different times: the cut is the first time of the second part
    let cut = sorted.get(wanted).copied().filter(|cut| sorted.first() < Some(cut));
    let cut = cut.or_else(|| sorted.iter().copied().find(|time| Some(time) > sorted.first()));
    let Some(cut) = cut else {
        return Err(Error::usage("all rows have the same time: a split by time leaves nothing to be judged on"));
    };
    let (train, later): (Vec<usize>, Vec<usize>) = (0..table.len()).partition(|&row| times.get(row) < Some(&cut));
    let test = match table.groups() {
        None => later.clone(),
        Some(groups) => later_groups(groups, &train, &later),
    };
    parts(table, &train, &test)
}

/// Whole groups at random: about `train_share` of the rows are in the first part.
///
/// # Errors
/// `Usage` without group columns, for a share outside (0, 1), or when a part would be empty.
pub fn group_split(table: &FeatureTable, train_share: f64, seed: u64) -> Result<Split> {
    let Some(groups) = table.groups() else {
        return Err(Error::usage("a split by group needs group columns").hint("name them, or split by time"));
    };
    let wanted = train_rows(table, train_share)?;
    let mut members: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (row, group) in groups.iter().enumerate() {
        members.entry(*group).or_default().push(row);
    }
    let mut order: Vec<Vec<usize>> = members.into_values().collect();
    shuffle(&mut order, seed);
    let mut train = Vec::with_capacity(wanted);
    let mut test = Vec::new();
    for group in order {
        // a group goes where it brings the share nearer
        let part = if train.len() + group.len() / 2 < wanted { &mut train } else { &mut test };
        part.extend(group);
    }
    train.sort_unstable();
    test.sort_unstable();
    parts(table, &train, &test)
}

/// Rows at random, each for itself: for data without time and groups.
///
/// # Errors
/// `Usage` for a share outside (0, 1), or when a part would be empty.
pub fn random_split(table: &FeatureTable, train_share: f64, seed: u64) -> Result<Split> {
    let wanted = train_rows(table, train_share)?;
    let mut order: Vec<usize> = (0..table.len()).collect();
    shuffle(&mut order, seed);
    let mut test = order.split_off(wanted);
    order.sort_unstable();
    test.sort_unstable();
    parts(table, &order, &test)
}

/// The strictest split that the table's columns allow: by time, else by group, else by chance.
///
/// # Errors
/// As the split that is taken.
pub fn best_split(table: &FeatureTable, train_share: f64, seed: u64) -> Result<Split> {
    if table.times().is_some() {
        time_split(table, train_share)
    } else if table.groups().is_some() {
        group_split(table, train_share, seed)
    } else {
        random_split(table, train_share, seed)
    }
}

fn train_rows(table: &FeatureTable, train_share: f64) -> Result<usize> {
    if !(train_share > 0.0 && train_share < 1.0) {
        return Err(Error::usage(format!("the training share {train_share} is not between 0 and 1")));
    }
    if table.len() < 2 {
        return Err(Error::usage(format!("{} rows can't be split", table.len())));
    }
    let wanted = (table.len() as f64 * train_share).round() as usize;
    Ok(wanted.clamp(1, table.len() - 1))
}

fn later_groups(groups: &[u64], train: &[usize], later: &[usize]) -> Vec<usize> {
    let mut known: Vec<u64> = train.iter().filter_map(|&row| groups.get(row).copied()).collect();
    known.sort_unstable();
    known.dedup();
    let unknown = |row: &usize| groups.get(*row).is_some_and(|group| known.binary_search(group).is_err());
    later.iter().copied().filter(unknown).collect()
}

fn parts(table: &FeatureTable, train: &[usize], test: &[usize]) -> Result<Split> {
    if train.is_empty() || test.is_empty() {
        let message = format!("the split leaves {} rows to learn from and {} to be judged on", train.len(), test.len());
        return Err(Error::usage(message).hint("choose another share, or other groups"));
    }
    let dropped = table.len() - train.len() - test.len();
    Ok(Split { train: table.select(train), test: table.select(test), dropped })
}

/// Fisher and Yates' shuffle (Knuth's Algorithm P).
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut random = SeededRandom::new(seed);
    for last in (1..items.len()).rev() {
        let other = (random.next_f64() * (last + 1) as f64) as usize;
        items.swap(last, other.min(last));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
    use proptest::prelude::*;

    use super::*;
    use crate::features::TableColumns;

    fn table(times: Vec<i64>, groups: Vec<i64>) -> FeatureTable {
        let n = times.len();
        let batch = RecordBatch::try_from_iter([
            ("x", Arc::new(Int64Array::from_iter_values(0..n as i64)) as _),
            ("time", Arc::new(TimestampMicrosecondArray::from(times)) as _),
            ("group", Arc::new(Int64Array::from(groups)) as _),
            ("label", Arc::new(Int64Array::from_iter_values((0..n).map(|i| i as i64 % 2))) as _),
        ])
        .unwrap();
        let columns =
            TableColumns { time: Some("time".into()), group: vec!["group".into()], ..TableColumns::new("label") };
        FeatureTable::from_batches(&[batch], &columns).unwrap()
    }

    fn is_before(earlier: &FeatureTable, later: &FeatureTable) -> bool {
        matches!((earlier.time_range(), later.time_range()), (Some((_, last)), Some((first, _))) if last < first)
    }

    fn groups(table: &FeatureTable) -> BTreeSet<u64> {
        table.groups().unwrap().iter().copied().collect()
    }

    #[test]
    fn time_split_goes_by_time_not_by_row_order() {
        let split = time_split(&table(vec![9, 1, 8, 2, 7, 3], vec![0, 1, 2, 3, 4, 5]), 0.5).unwrap();
        assert_eq!(split.train.times(), Some(&[1, 2, 3][..]));
        assert_eq!(split.test.times(), Some(&[9, 8, 7][..]));
    }

    #[test]
    fn rows_of_one_time_stay_together() {
        let split = time_split(&table(vec![5, 5, 5, 5, 6], vec![0, 1, 2, 3, 4]), 0.5).unwrap();
        assert_eq!((split.train.len(), split.test.len()), (4, 1));
        assert!(time_split(&table(vec![5, 5, 5], vec![0, 1, 2]), 0.5).is_err());
    }

    #[test]
    fn later_rows_of_a_known_group_are_dropped() {
        let split = time_split(&table(vec![1, 2, 3, 4], vec![7, 8, 7, 9]), 0.5).unwrap();
        assert_eq!((split.train.len(), split.test.times(), split.dropped), (2, Some(&[4][..]), 1));
    }

    #[test]
    fn wrong_shares_and_missing_columns_are_refused() {
        let table = table(vec![1, 2], vec![1, 2]);
        for share in [0.0, 1.0, -1.0, f64::NAN] {
            assert!(time_split(&table, share).is_err() && group_split(&table, share, 1).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_group_and_no_time_stands_on_both_sides(
            rows in prop::collection::vec((0i64..50, 0i64..20), 2..200), share in 0.1..0.9f64, seed: u64,
        ) {
            let (times, ids) = rows.into_iter().unzip();
            let table = table(times, ids);
            if let Ok(split) = time_split(&table, share) {
                prop_assert!(is_before(&split.train, &split.test));
                prop_assert!(groups(&split.train).is_disjoint(&groups(&split.test)));
                prop_assert_eq!(split.train.len() + split.test.len() + split.dropped, table.len());
            }
            if let Ok(split) = group_split(&table, share, seed) {
                prop_assert!(groups(&split.train).is_disjoint(&groups(&split.test)));
                prop_assert_eq!(split.train.len() + split.test.len(), table.len());
                let again = group_split(&table, share, seed).unwrap();
                prop_assert_eq!(again.train.data_hash(), split.train.data_hash());
            }
            let split = random_split(&table, share, seed).unwrap();
            prop_assert_eq!(split.train.len() + split.test.len(), table.len());
        }
    }
}
