//! Whether two results hold the same rows, in whatever order: exact, but for floating point.

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Float64Type, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use fyke_types::Result;
use serde::Serialize;

/// Doubles may differ by this much relatively …
const RELATIVE: f64 = 1e-9;
/// … or by this much absolutely, since sums of doubles depend on their order.
const ABSOLUTE: f64 = 1e-12;
/// How many differing rows are shown.
const SHOWN: usize = 5;

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Rows of the first result.
    pub left: usize,
    /// Rows of the second.
    pub right: usize,
    /// Rows that only the first has.
    pub only_left: usize,
    /// Rows that only the second has.
    pub only_right: usize,
    /// Some of them: `< row` of the first, `> row` of the second.
    pub examples: Vec<String>,
}

impl Comparison {
    /// Whether both hold the same rows.
    pub fn is_equal(&self) -> bool {
        self.only_left == 0 && self.only_right == 0
    }
}

/// The floats of a row, by column.
type Floats = Vec<Option<f64>>;

/// Compares two results as multisets of rows.
///
/// # Errors
/// When the batches do not fit `schema`.
pub fn compare_rows(schema: &SchemaRef, left: &[RecordBatch], right: &[RecordBatch]) -> Result<Comparison> {
    let (left, right) = (concat_batches(schema, left)?, concat_batches(schema, right)?);
    let mut found = Comparison { left: left.num_rows(), right: right.num_rows(), ..Comparison::default() };
    let (mut ours, mut theirs) = (by_key(&left)?, by_key(&right)?);
    for (key, rows) in &mut ours {
        let others = theirs.get_mut(key);
        let (missing, extra) = match others {
            Some(others) => match_floats(rows, others),
            None => (rows.clone(), Vec::new()),
        };
        found.note('<', key, &missing);
        found.note('>', key, &extra);
        found.only_left += missing.len();
        found.only_right += extra.len();
    }
    for (key, rows) in &theirs {
        if !ours.contains_key(key) {
            found.note('>', key, rows);
            found.only_right += rows.len();
        }
    }
    Ok(found)
}

impl Comparison {
    fn note(&mut self, side: char, key: &str, rows: &[Floats]) {
        for row in rows.iter().take(SHOWN.saturating_sub(self.examples.len())) {
            self.examples.push(format!("{side} {} {row:?}", key.replace('\u{1f}', " | ")));
        }
    }
}

/// Rows by everything but their floats.
fn by_key(batch: &RecordBatch) -> Result<BTreeMap<String, Vec<Floats>>> {
    let (mut exact, mut floats) = (Vec::new(), Vec::new());
    for column in batch.columns() {
        flatten(column, &mut exact, &mut floats)?;
    }
    let options = FormatOptions::new().with_null("␀");
    let exact = exact.iter().map(|c| ArrayFormatter::try_new(c, &options)).collect::<Result<Vec<_>, _>>()?;
    let mut rows: BTreeMap<String, Vec<Floats>> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let mut key = String::new();
        for column in &exact {
            key.push_str(&column.value(row).to_string());
            key.push('\u{1f}');
        }
        let values = floats.iter().map(|column| {
            let column = column.as_primitive::<Float64Type>();
            column.is_valid(row).then(|| column.value(row))
        });
        rows.entry(key).or_default().push(values.collect());
    }
    Ok(rows)
}

fn flatten(column: &ArrayRef, exact: &mut Vec<ArrayRef>, floats: &mut Vec<ArrayRef>) -> Result<()> {
    match column.data_type() {
        DataType::Float64 | DataType::Float32 | DataType::Float16 => floats.push(cast(column, &DataType::Float64)?),
        DataType::Struct(_) => {
            for member in column.as_struct().columns() {
                flatten(member, exact, floats)?;
            }
        }
        _ => exact.push(ArrayRef::clone(column)),
    }
    Ok(())
}

/// Pairs rows whose floats are equal within tolerance; what is left over on each side.
fn match_floats(left: &mut [Floats], right: &mut [Floats]) -> (Vec<Floats>, Vec<Floats>) {
    let order = |a: &Floats, b: &Floats| {
        let pairs = a.iter().zip(b).map(|(a, b)| match (a, b) {
            (Some(a), Some(b)) => a.total_cmp(b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
        pairs.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    };
    left.sort_by(order);
    right.sort_by(order);
    if left.len() == right.len() && left.iter().zip(right.iter()).all(|(a, b)| near_rows(a, b)) {
        return (Vec::new(), Vec::new());
    }
    // neighbours in sorted order may be swapped by the tolerance: pair each with the first that fits
    let mut rest: Vec<Floats> = right.to_vec();
    let mut missing = Vec::new();
    for row in left.iter() {
        match rest.iter().position(|other| near_rows(row, other)) {
            Some(at) => drop(rest.swap_remove(at)),
            None => missing.push(row.clone()),
        }
    }
    (missing, rest)
}

fn near_rows(a: &Floats, b: &Floats) -> bool {
    a.iter().zip(b).all(|(a, b)| match (a, b) {
        (Some(a), Some(b)) => near(*a, *b),
        (None, None) => true,
        _ => false,
    })
}

fn near(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= ABSOLUTE.max(RELATIVE * a.abs().max(b.abs()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Float64Array, Int64Array};
    use datafusion::arrow::datatypes::{Field, Schema};

    use super::*;

    fn rows(values: &[(i64, f64)]) -> RecordBatch {
        let schema =
            Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("x", DataType::Float64, true)]);
        let k = Int64Array::from_iter_values(values.iter().map(|v| v.0));
        let x = Float64Array::from_iter_values(values.iter().map(|v| v.1));
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(k), Arc::new(x)]).expect("batch")
    }

    #[test]
    fn order_and_last_digits_do_not_matter_but_counts_do() {
        let a = rows(&[(1, 0.1 + 0.2), (2, 5.0), (1, 7.0)]);
        let b = rows(&[(1, 7.0), (1, 0.3), (2, 5.0)]);
        let schema = a.schema();
        assert!(compare_rows(&schema, std::slice::from_ref(&a), &[b]).expect("compared").is_equal());
        let c = rows(&[(1, 0.3), (2, 5.0), (1, 7.0), (1, 7.0)]);
        let found = compare_rows(&schema, std::slice::from_ref(&a), &[c]).expect("compared");
        assert_eq!((found.only_left, found.only_right), (0, 1));
        let d = rows(&[(1, 0.300_001), (2, 5.0), (1, 7.0)]);
        let found = compare_rows(&schema, &[a], &[d]).expect("compared");
        assert_eq!((found.only_left, found.only_right), (1, 1), "{found:?}");
    }
}
