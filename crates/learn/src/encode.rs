//! Arrow columns in, rows of 32-bit floats out: the one form that trainers and trees read.
//!
//! NaN is the one missing value: null, NaN, ±infinity (counted) and text outside the dictionary become it.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type};
use fyke_types::{Error, Result};

use crate::signature::{Feature, FeatureKind, Signature};

/// Encoded rows: row-major 32-bit floats, NaN = missing, never infinite.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    values: Vec<f32>,
    width: usize,
    infinities: u64,
}

impl Rows {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Values a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One row, if there are so many.
    pub fn row(&self, index: usize) -> Option<&[f32]> {
        let start = index.checked_mul(self.width)?;
        self.values.get(start..start.checked_add(self.width)?)
    }

    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.width.max(1))
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// How many values were infinite (or beyond a 32-bit float) and became missing.
    pub fn infinities(&self) -> u64 {
        self.infinities
    }

    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        let mut values = Vec::with_capacity(rows.len() * self.width);
        for row in rows.iter().filter_map(|&index| self.row(index)) {
            values.extend_from_slice(row);
        }
        Self { values, width: self.width, infinities: 0 }
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.width = other.width;
        self.infinities += other.infinities;
        if self.values.is_empty() {
            self.values = other.values;
        } else {
            self.values.extend_from_slice(&other.values);
        }
    }
}

/// Turns columns into rows as a model's training did: signature and dictionaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoder {
    signature: Signature,
    /// For each feature its sorted texts (a text's code is its place); empty for numbers.
    texts: Vec<Vec<String>>,
}

impl Encoder {
    /// An encoder for `signature`; `dictionaries` holds the known texts of each category feature by its name.
    ///
    /// # Errors
    /// `Data` where a dictionary belongs to no category feature.
    pub fn new(signature: Signature, mut dictionaries: BTreeMap<String, Vec<String>>) -> Result<Self> {
        let mut texts = Vec::with_capacity(signature.width());
        for feature in signature.features() {
            let mut known = match feature.kind {
                FeatureKind::Number => Vec::new(),
                FeatureKind::Category => dictionaries.remove(&feature.name).unwrap_or_default(),
            };
            known.sort_unstable();
            known.dedup();
            texts.push(known);
        }
        match dictionaries.keys().next() {
            Some(name) => Err(Error::data(format!("dictionary '{name}' belongs to no category feature"))),
            None => Ok(Self { signature, texts }),
        }
    }

    /// Learns the dictionaries of `signature`'s category features from batches that have its columns. Of a feature
    /// with more than `categories_max` texts the most frequent are kept (ties: the first in order of text).
    ///
    /// # Errors
    /// `Data` where a column is missing or mistyped.
    pub fn learn(signature: Signature, batches: &[RecordBatch], categories_max: usize) -> Result<Self> {
        let mut dictionaries = BTreeMap::new();
        for feature in signature.features().iter().filter(|feature| feature.kind == FeatureKind::Category) {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for batch in batches {
                let column = checked_column(feature, named_column(batch, &feature.name)?)?;
                count_texts(&column, &mut counts);
            }
            dictionaries.insert(feature.name.clone(), most_frequent(counts, categories_max));
        }
        Self::new(signature, dictionaries)
    }

    /// The columns it takes.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The known texts of each category feature, by its name.
    pub fn dictionaries(&self) -> BTreeMap<String, Vec<String>> {
        let with_texts = self.signature.features().iter().zip(&self.texts);
        let categories = with_texts.filter(|(feature, _)| feature.kind == FeatureKind::Category);
        categories.map(|(feature, texts)| (feature.name.clone(), texts.clone())).collect()
    }

    /// Rows of a batch; columns are found by name, others are ignored.
    ///
    /// # Errors
    /// `Data` naming the column that is missing or mistyped.
    pub fn encode_batch(&self, batch: &RecordBatch) -> Result<Rows> {
        let named = self.signature.features().iter().map(|feature| named_column(batch, &feature.name).cloned());
        self.encode_columns(&named.collect::<Result<Vec<_>>>()?)
    }

    /// Rows of columns that stand in the signature's order.
    ///
    /// # Errors
    /// `Data` for another number of columns, unequal lengths, or a mistyped column.
    pub fn encode_columns(&self, columns: &[ArrayRef]) -> Result<Rows> {
        let width = self.signature.width();
        if columns.len() != width {
            let names: Vec<&str> = self.signature.features().iter().map(|feature| feature.name.as_str()).collect();
            return Err(Error::data(format!("the model takes {width} features, got {}", columns.len()))
                .hint(format!("in this order: {}", names.join(", "))));
        }
        let len = columns.first().map_or(0, |column| column.len());
        let mut rows = Rows { values: vec![f32::NAN; len * width], width, infinities: 0 };
        for (place, feature) in self.signature.features().iter().enumerate() {
            let (Some(column), Some(texts)) = (columns.get(place), self.texts.get(place)) else { continue };
            if column.len() != len {
                return Err(Error::data(format!(
                    "feature '{}' has {} rows, the first {len}",
                    feature.name,
                    column.len()
                )));
            }
            let column = checked_column(feature, column)?;
            match feature.kind {
                FeatureKind::Number => fill_numbers(&column, place, &mut rows),
                FeatureKind::Category => fill_codes(&column, texts, place, &mut rows),
            }
        }
        Ok(rows)
    }

    /// The text of a category feature's code, for reasons in words.
    pub fn text_of(&self, feature: usize, code: f32) -> Option<&str> {
        let texts = self.texts.get(feature)?;
        (code >= 0.0).then(|| texts.get(code as usize).map(String::as_str)).flatten()
    }
}

/// A finite 32-bit float or missing, and whether an infinity was cleaned away.
fn cleaned(value: f32) -> (f32, bool) {
    if value.is_infinite() { (f32::NAN, true) } else { (value, false) }
}

/// A 64-bit value as the trees would see it: missing where it is infinite or too large.
pub(crate) fn narrowed(value: f64) -> f32 {
    cleaned(value as f32).0
}

fn named_column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| {
        let schema = batch.schema();
        let present: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        Error::data(format!("the model's feature '{name}' is missing"))
            .hint(format!("columns are {}", present.join(", ")))
    })
}

/// The column as 32-bit floats or texts.
fn checked_column(feature: &Feature, column: &ArrayRef) -> Result<ArrayRef> {
    let given = column.data_type();
    if !given.is_null() && FeatureKind::of(given) != Some(feature.kind) {
        let message =
            format!("the model's feature '{}' is {}, the column is {given}", feature.name, feature.kind.noun());
        return Err(Error::data(message).hint("cast the column, or train again with it"));
    }
    let target = match feature.kind {
        FeatureKind::Number => DataType::Float32,
        FeatureKind::Category => DataType::Utf8,
    };
    Ok(cast(column, &target)?)
}

fn fill_numbers(column: &ArrayRef, place: usize, rows: &mut Rows) {
    let column = column.as_primitive::<Float32Type>();
    for (index, slot) in rows.values.iter_mut().skip(place).step_by(rows.width).enumerate() {
        if column.is_valid(index) {
            let (value, infinite) = cleaned(column.value(index));
            *slot = value;
            rows.infinities += u64::from(infinite);
        }
    }
}

fn fill_codes(column: &ArrayRef, texts: &[String], place: usize, rows: &mut Rows) {
    let column = column.as_string::<i32>();
    for (slot, text) in rows.values.iter_mut().skip(place).step_by(rows.width).zip(column.iter()) {
        let code = text.and_then(|text| texts.binary_search_by(|known| known.as_str().cmp(text)).ok());
        *slot = code.map_or(f32::NAN, |code| code as f32);
    }
}

fn count_texts(column: &ArrayRef, counts: &mut BTreeMap<String, u64>) {
    for text in column.as_string::<i32>().iter().flatten() {
        match counts.get_mut(text) {
            Some(count) => *count += 1,
            None => {
                counts.insert(text.to_owned(), 1);
            }
        }
    }
}

fn most_frequent(counts: BTreeMap<String, u64>, categories_max: usize) -> Vec<String> {
    let mut counted: Vec<(String, u64)> = counts.into_iter().collect();
    // stable: equal counts keep the order of text
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counted.truncate(categories_max);
    counted.into_iter().map(|(text, _)| text).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    fn encoder() -> Encoder {
        let features = [("n", FeatureKind::Number), ("c", FeatureKind::Category)];
        let features = features.map(|(name, kind)| Feature { name: name.into(), kind }).to_vec();
        let dictionaries = BTreeMap::from([("c".into(), vec!["get".into(), "post".into()])]);
        Encoder::new(Signature::new(features).unwrap(), dictionaries).unwrap()
    }

    fn batch(n: ArrayRef, c: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable([("c", c, true), ("x", n.clone(), true), ("n", n, true)]).unwrap()
    }

    #[test]
    fn missing_infinite_and_unseen_values_become_nan() {
        let n = Float64Array::from(vec![Some(1.5), None, Some(f64::NEG_INFINITY), Some(1e300), Some(f64::NAN)]);
        let c = StringArray::from(vec![Some("post"), Some("get"), Some("brew"), None, Some("post")]);
        let rows = encoder().encode_batch(&batch(Arc::new(n), Arc::new(c))).unwrap();
        assert_eq!(rows.row(0).unwrap(), [1.5, 1.0]);
        assert!(rows.row(1).unwrap()[0].is_nan() && rows.row(1).unwrap()[1] == 0.0);
        assert!(rows.row(2).unwrap().iter().all(|v| v.is_nan()));
        assert!(rows.row(3).unwrap().iter().all(|v| v.is_nan()));
        assert_eq!((rows.infinities(), rows.len()), (2, 5));
        assert!(rows.row(5).is_none());
    }

    #[test]
    fn integers_booleans_and_untyped_nulls_are_numbers() {
        let c: ArrayRef = Arc::new(StringArray::from(vec!["get", "get"]));
        for (column, expected) in [
            (Arc::new(Int64Array::from(vec![3, -4])) as ArrayRef, Some([3.0, -4.0])),
            (Arc::new(BooleanArray::from(vec![true, false])), Some([1.0, 0.0])),
            (Arc::new(arrow::array::NullArray::new(2)), None),
        ] {
            let rows = encoder().encode_columns(&[column, c.clone()]).unwrap();
            for (index, row) in rows.iter().enumerate() {
                assert!(expected.map_or(row[0].is_nan(), |values| values[index] == row[0]));
            }
        }
    }

    #[test]
    fn misfitting_columns_are_refused_by_name() {
        let n: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
        let c: ArrayRef = Arc::new(StringArray::from(vec!["get"]));
        let time: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1]));
        let encoder = encoder();
        let without = RecordBatch::try_from_iter([("n", n.clone())]).unwrap();
        assert!(encoder.encode_batch(&without).unwrap_err().message().contains("'c' is missing"));
        for columns in [[c.clone(), c.clone()], [time, c.clone()]] {
            assert!(encoder.encode_columns(&columns).unwrap_err().message().contains("'n'"));
        }
        assert!(encoder.encode_columns(&[n.clone(), n.clone()]).unwrap_err().message().contains("'c'"));
        assert!(encoder.encode_columns(&[n]).unwrap_err().to_string().contains("n, c"));
    }

    #[test]
    fn dictionary_keeps_the_most_frequent_texts() {
        let c: ArrayRef = Arc::new(StringArray::from(vec!["b", "a", "c", "c", "d"]));
        let n: ArrayRef = Arc::new(Float64Array::from(vec![0.0; 5]));
        let learnt = Encoder::learn(encoder().signature().clone(), &[batch(n, c)], 2).unwrap();
        assert_eq!(learnt.dictionaries()["c"], ["a", "c"]);
        assert_eq!(learnt.text_of(1, 1.0), Some("c"));
        assert_eq!(learnt.text_of(1, f32::NAN), None);
    }
}
