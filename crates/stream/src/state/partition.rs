//! Rows of a batch by the window or pane they belong to.

use std::collections::BTreeMap;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, UInt32Array};
use datafusion::arrow::compute::take;
use fyke_types::Result;

/// Some rows of a batch, in their order.
#[derive(Debug, Clone)]
pub enum RowSet {
    /// All of them.
    All(usize),
    /// A run of them.
    Run {
        /// The first.
        start: usize,
        /// How many.
        rows: usize,
    },
    /// These.
    Some(UInt32Array),
}

impl RowSet {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::All(rows) | Self::Run { rows, .. } => *rows,
            Self::Some(rows) => rows.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These rows of a column.
    ///
    /// # Errors
    /// Arrow's.
    pub fn of(&self, column: &ArrayRef) -> Result<ArrayRef> {
        Ok(match self {
            Self::All(_) => ArrayRef::clone(column),
            Self::Run { start, rows } => column.slice(*start, *rows),
            Self::Some(rows) => take(column, rows, None)?,
        })
    }

    /// These rows of a filter.
    ///
    /// # Errors
    /// Arrow's.
    pub fn of_filter(&self, filter: &BooleanArray) -> Result<BooleanArray> {
        Ok(match self {
            Self::All(_) => filter.clone(),
            Self::Run { start, rows } => filter.slice(*start, *rows),
            Self::Some(rows) => take(filter, rows, None)?.as_boolean().clone(),
        })
    }
}

/// Rows by key, smallest key first; rows whose key is `None` belong nowhere.
pub fn partition_rows<K: Ord + Copy>(rows: usize, key: impl Fn(usize) -> Option<K>) -> Vec<(K, RowSet)> {
    let mut sets: BTreeMap<K, Vec<u32>> = BTreeMap::new();
    let mut run_start = 0;
    while run_start < rows {
        let this = key(run_start);
        let mut run_end = run_start + 1;
        while run_end < rows && key(run_end) == this {
            run_end += 1;
        }
        if let Some(this) = this {
            if run_start == 0 && run_end == rows {
                return vec![(this, RowSet::All(rows))];
            }
            // batches hold far fewer than 2^32 rows
            sets.entry(this).or_default().extend(run_start as u32..run_end as u32);
        }
        run_start = run_end;
    }
    sets.into_iter()
        .map(|(key, members)| {
            let (start, rows) = (members[0] as usize, members.len());
            let is_run = members[rows - 1] as usize - start + 1 == rows;
            (key, if is_run { RowSet::Run { start, rows } } else { RowSet::Some(UInt32Array::from(members)) })
        })
        .collect()
}
