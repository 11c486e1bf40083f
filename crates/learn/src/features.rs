//! A table to learn from or to be judged on: encoded features, labels, and what splits need.

use std::sync::Arc;

use arrow::array::RecordBatch;
use fyke_types::{Error, Micros, Result};

use crate::columns::Part;
use crate::encode::{Encoder, Rows};
use crate::hash::StableHash;
use crate::signature::{Feature, FeatureKind, Signature};

/// More texts than this are no categories, and every code must be a whole 32-bit float.
const CATEGORIES_MAX: usize = 65_536;

/// What each column of a training table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumns {
    /// The features in order. Empty: every number column that has no other role here; texts must be named, since
    /// an address or an id among them would be learnt by heart.
    pub features: Vec<String>,
    /// The label: 0, 1, boolean, or text together with `positive`.
    pub label: String,
    /// The label's texts that mean "positive". Empty for number and boolean labels.
    pub positive: Vec<String>,
    /// How much each row counts in training: finite, not negative. Metrics do not use it.
    pub weight: Option<String>,
    /// A timestamp, or a window (its end counts), for splits by time.
    pub time: Option<String>,
    /// Columns that together name whose row it is: no group stands on both sides of a split. Empty: no groups.
    pub group: Vec<String>,
    /// How many texts of a category feature are told apart; the rarer ones read as missing. Up to 65,536; default 256.
    pub categories_max: usize,
}

impl TableColumns {
    /// `label` alone: the features are all number columns.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            features: Vec::new(),
            label: label.into(),
            positive: Vec::new(),
            weight: None,
            time: None,
            group: Vec::new(),
            categories_max: 256,
        }
    }

    fn has_role(&self, name: &str) -> bool {
        let single = [Some(&self.label), self.weight.as_ref(), self.time.as_ref()];
        single.into_iter().flatten().chain(&self.group).any(|column| column == name)
    }

    fn signature(&self, batch: &RecordBatch) -> Result<Signature> {
        let schema = batch.schema();
        if self.features.is_empty() {
            let numbers = schema.fields().iter().filter(|field| {
                !self.has_role(field.name()) && FeatureKind::of(field.data_type()) == Some(FeatureKind::Number)
            });
            return Signature::new(
                numbers.map(|field| Feature { name: field.name().clone(), kind: FeatureKind::Number }).collect(),
            );
        }
        self.features
            .iter()
            .map(|name| self.feature(name, &schema))
            .collect::<Result<Vec<_>>>()
            .and_then(Signature::new)
    }

    fn feature(&self, name: &str, schema: &arrow::datatypes::Schema) -> Result<Feature> {
        let Ok(field) = schema.field_with_name(name) else {
            return Err(Error::usage(format!("there is no column '{name}' to be a feature")));
        };
        if self.label == name {
            return Err(Error::usage(format!("the label '{name}' can't be a feature too")));
        }
        match FeatureKind::of(field.data_type()) {
            Some(kind) => Ok(Feature { name: name.to_owned(), kind }),
            None => Err(Error::usage(format!("column '{name}' is {} and can't be a feature", field.data_type()))
                .hint("features are numbers, booleans and texts")),
        }
    }
}

/// Encoded features with labels.
#[derive(Debug, Clone)]
pub struct FeatureTable {
    encoder: Arc<Encoder>,
    rows: Rows,
    labels: Vec<bool>,
    weights: Option<Vec<f32>>,
    times: Option<Vec<Micros>>,
    groups: Option<Vec<u64>>,
}

impl FeatureTable {
    /// A table to learn from: features and dictionaries are taken from these batches.
    ///
    /// # Errors
    /// `Usage` for columns that can't be features, `Data` for a missing column, or a label, weight or time that is
    /// null or no such value: the message names the row.
    pub fn from_batches(batches: &[RecordBatch], columns: &TableColumns) -> Result<Self> {
        let Some(first) = batches.first() else {
            return Err(Error::data("there is no row to learn from"));
        };
        if columns.categories_max > CATEGORIES_MAX {
            return Err(Error::usage(format!("categories_max is {}", columns.categories_max))
                .hint(format!("it takes up to {CATEGORIES_MAX}")));
        }
        let encoder = Encoder::learn(columns.signature(first)?, batches, columns.categories_max)?;
        Self::with_encoder(Arc::new(encoder), batches, columns)
    }

    /// A table for an existing model, encoded as that was (`columns.features` and `categories_max` are not used).
    ///
    /// # Errors
    /// As [`FeatureTable::from_batches`].
    pub fn with_encoder(encoder: Arc<Encoder>, batches: &[RecordBatch], columns: &TableColumns) -> Result<Self> {
        let mut table = Self {
            encoder,
            rows: Rows::default(),
            labels: Vec::new(),
            weights: columns.weight.as_ref().map(|_| Vec::new()),
            times: columns.time.as_ref().map(|_| Vec::new()),
            groups: (!columns.group.is_empty()).then(Vec::new),
        };
        for batch in batches {
            table.push(batch, columns)?;
        }
        Ok(table)
    }

    fn push(&mut self, batch: &RecordBatch, columns: &TableColumns) -> Result<()> {
        let part = Part { batch, rows_before: self.labels.len() };
        self.rows.append(self.encoder.encode_batch(batch)?);
        self.labels.extend(part.labels(&columns.label, &columns.positive)?);
        if let (Some(weights), Some(name)) = (&mut self.weights, &columns.weight) {
            weights.extend(part.weights(name)?);
        }
        if let (Some(times), Some(name)) = (&mut self.times, &columns.time) {
            times.extend(part.times(name)?);
        }
        if let Some(groups) = &mut self.groups {
            groups.extend(part.groups(&columns.group)?);
        }
        Ok(())
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The columns that are features.
    pub fn signature(&self) -> &Signature {
        self.encoder.signature()
    }

    /// How columns became rows.
    pub fn encoder(&self) -> &Arc<Encoder> {
        &self.encoder
    }

    /// The encoded features.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Whether each row is a positive.
    pub fn labels(&self) -> &[bool] {
        &self.labels
    }

    /// How many positives.
    pub fn positives(&self) -> usize {
        self.labels.iter().filter(|&&label| label).count()
    }

    /// How much each row counts in training.
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// Event times.
    pub fn times(&self) -> Option<&[Micros]> {
        self.times.as_deref()
    }

    /// Whose row it is: equal numbers, equal groups.
    pub fn groups(&self) -> Option<&[u64]> {
        self.groups.as_deref()
    }

    /// First and last event time.
    pub fn time_range(&self) -> Option<(Micros, Micros)> {
        let times = self.times.as_ref()?;
        Some((*times.iter().min()?, *times.iter().max()?))
    }

    /// The rows at these places, in this order.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            encoder: Arc::clone(&self.encoder),
            rows: self.rows.select(rows),
            labels: pick(&self.labels, rows),
            weights: self.weights.as_ref().map(|weights| pick(weights, rows)),
            times: self.times.as_ref().map(|times| pick(times, rows)),
            groups: self.groups.as_ref().map(|groups| pick(groups, rows)),
        }
    }

    /// The rows in an order of their own (time, group, label, weight, features), so that what is learnt does not depend
    /// on the order in which a query gave them: equal multisets of rows give equal tables.
    #[must_use]
    pub fn ordered(&self) -> Self {
        let bits = |value: f32| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() };
        let key = |row: usize| {
            let of = |columns: &Option<Vec<i64>>| columns.as_ref().and_then(|values| values.get(row).copied());
            let group = self.groups.as_ref().and_then(|groups| groups.get(row).copied());
            let weight = self.weights.as_ref().and_then(|weights| weights.get(row).copied()).map(bits);
            (of(&self.times), group, self.labels.get(row).copied(), weight)
        };
        let features = |row: usize| self.rows.row(row).unwrap_or_default().iter().copied().map(bits);
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by(|a, b| key(*a).cmp(&key(*b)).then_with(|| features(*a).cmp(features(*b))));
        self.select(&order)
    }

    /// Each feature's average over the rows that have it; NaN where none has, and for categories.
    pub fn averages(&self) -> Vec<f64> {
        let average = |(place, feature): (usize, &Feature)| {
            let present =
                self.rows.values().iter().skip(place).step_by(self.rows.width()).filter(|value| !value.is_nan());
            let (sum, count) = present.fold((0.0, 0.0), |(sum, count), value| (sum + f64::from(*value), count + 1.0));
            if feature.kind == FeatureKind::Number && count > 0.0 { sum / count } else { f64::NAN }
        };
        self.signature().features().iter().enumerate().map(average).collect()
    }

    /// 16 hexadecimal digits over signature, dictionaries, rows in their order, labels and weights.
    pub fn data_hash(&self) -> String {
        let mut hash = StableHash::new();
        hash.text(&self.signature().hash());
        for (name, texts) in self.encoder.dictionaries() {
            hash.text(&name);
            texts.iter().for_each(|text| hash.text(text));
        }
        hash.number(self.len() as u64);
        for value in self.rows.values() {
            // every NaN is the same missing value
            let bits = if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() };
            hash.bytes(&bits.to_le_bytes());
        }
        self.labels.iter().for_each(|&label| hash.bytes(&[u8::from(label)]));
        self.weights.iter().flatten().for_each(|weight| hash.bytes(&weight.to_bits().to_le_bytes()));
        hash.hex()
    }
}

fn pick<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().filter_map(|&row| values.get(row).copied()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, StringArray, TimestampMicrosecondArray};
    use fyke_types::window::windows;

    use super::*;

    fn batch(label: ArrayRef) -> RecordBatch {
        let n = label.len();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("rate", Arc::new(Float64Array::from_iter_values((0..n).map(|i| i as f64)))),
            ("agent", Arc::new(StringArray::from_iter_values((0..n).map(|i| if i % 2 == 0 { "a" } else { "b" })))),
            ("time", Arc::new(TimestampMicrosecondArray::from_iter_values((0..n).map(|i| i as i64 * 10)))),
            ("w", Arc::new(windows(vec![0; n], (0..n).map(|i| i as i64).collect(), None))),
            ("weight", Arc::new(Int32Array::from(vec![2; n]))),
            ("label", label),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn columns() -> TableColumns {
        TableColumns { time: Some("time".into()), weight: Some("weight".into()), ..TableColumns::new("label") }
    }

    #[test]
    fn without_names_the_features_are_the_numbers_without_another_role() {
        let table =
            FeatureTable::from_batches(&[batch(Arc::new(BooleanArray::from(vec![true, false])))], &columns()).unwrap();
        let names: Vec<_> = table.signature().features().iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["rate"]);
        assert_eq!((table.labels(), table.weights()), (&[true, false][..], Some(&[2.0, 2.0][..])));
        assert_eq!((table.time_range(), table.averages()), (Some((0, 10)), vec![0.5]));
    }

    #[test]
    fn named_texts_are_categories_and_windows_give_their_end() {
        let columns = TableColumns {
            features: vec!["agent".into(), "rate".into()],
            time: Some("w".into()),
            group: vec!["agent".into()],
            ..columns()
        };
        let table = FeatureTable::from_batches(&[batch(Arc::new(Int32Array::from(vec![1, 0, 1])))], &columns).unwrap();
        assert_eq!(table.rows().row(1), Some(&[1.0, 1.0][..]));
        assert_eq!(table.times(), Some(&[0, 1, 2][..]));
        let groups = table.groups().unwrap();
        assert!(groups[0] == groups[2] && groups[0] != groups[1]);
        assert!(table.averages()[0].is_nan());
    }

    #[test]
    fn bad_labels_are_refused_by_row_across_batches() {
        let good: ArrayRef = Arc::new(Float64Array::from(vec![0.0, 1.0]));
        for (bad, word) in [(Some(f64::NAN), "NaN"), (None, "null"), (Some(2.0), "2")] {
            let bad: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), bad]));
            let error =
                FeatureTable::from_batches(&[batch(good.clone()), batch(bad)], &columns()).unwrap_err().to_string();
            assert!(error.contains("row 3") && error.contains(word), "{error}");
        }
    }

    #[test]
    fn text_labels_need_their_positive_texts() {
        let label: ArrayRef = Arc::new(StringArray::from(vec!["bot", "human", "scanner"]));
        let error = FeatureTable::from_batches(&[batch(label.clone())], &columns()).unwrap_err();
        assert!(error.hint_text().is_some_and(|hint| hint.contains("positive")));
        let columns = TableColumns { positive: vec!["bot".into(), "scanner".into()], ..columns() };
        let table = FeatureTable::from_batches(&[batch(label)], &columns).unwrap();
        assert_eq!(table.labels(), [true, false, true]);
    }

    #[test]
    fn label_and_times_are_no_features() {
        let label: ArrayRef = Arc::new(Int32Array::from(vec![1, 0]));
        for name in ["label", "time", "w", "nothing"] {
            let columns = TableColumns { features: vec![name.into()], ..columns() };
            let error = FeatureTable::from_batches(&[batch(label.clone())], &columns).unwrap_err();
            assert!(error.message().contains(&format!("'{name}'")), "{error}");
        }
    }

    #[test]
    fn ordered_tables_forget_the_order_of_their_rows() {
        let labels: ArrayRef = Arc::new(Int32Array::from(vec![0, 1, 1, 0, 1]));
        let table = FeatureTable::from_batches(&[batch(labels)], &columns()).unwrap();
        let shuffled = table.select(&[3, 0, 4, 2, 1]);
        assert_ne!(shuffled.data_hash(), table.data_hash());
        assert_eq!(shuffled.ordered().data_hash(), table.ordered().data_hash());
        assert_eq!(shuffled.ordered().times(), Some(&[0, 10, 20, 30, 40][..]));
    }

    #[test]
    fn data_hash_sees_values_labels_and_order() {
        let table = |labels: Vec<i32>| {
            FeatureTable::from_batches(&[batch(Arc::new(Int32Array::from(labels)))], &columns()).unwrap()
        };
        let base = table(vec![0, 1, 1]);
        assert_eq!(base.data_hash(), table(vec![0, 1, 1]).data_hash());
        assert_ne!(base.data_hash(), table(vec![1, 1, 0]).data_hash());
        assert_ne!(base.data_hash(), base.select(&[1, 0, 2]).data_hash());
    }
}
