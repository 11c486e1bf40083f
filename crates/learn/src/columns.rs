//! The columns of a training table that are no features: label, weight, time, group.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use fyke_types::window::{TIME, is_window};
use fyke_types::{Error, Micros, Result};

use crate::hash::StableHash;

/// A column of one batch, and the number of rows in the batches before it (for messages).
pub(crate) struct Part<'a> {
    pub batch: &'a RecordBatch,
    pub rows_before: usize,
}

impl Part<'_> {
    fn column(&self, role: &str, name: &str) -> Result<&ArrayRef> {
        self.batch.column_by_name(name).ok_or_else(|| {
            let schema = self.batch.schema();
            let present: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::data(format!("the {role} column '{name}' is missing"))
                .hint(format!("columns are {}", present.join(", ")))
        })
    }

    fn wrong_value(&self, role: &str, name: &str, row: usize, value: impl std::fmt::Display) -> Error {
        Error::data(format!("row {} has {value} as {role} in '{name}' (the first row is 0)", self.rows_before + row))
    }

    /// Labels: true for a positive. `positive` names the texts that are; without it: booleans, 0 and 1.
    pub fn labels(&self, name: &str, positive: &[String]) -> Result<Vec<bool>> {
        let column = self.column("label", name)?;
        if positive.is_empty() { self.numeric_labels(name, column) } else { self.text_labels(name, column, positive) }
    }

    fn numeric_labels(&self, name: &str, column: &ArrayRef) -> Result<Vec<bool>> {
        let hint = "a label is 0, 1, true or false; for texts name the positive ones";
        let given = column.data_type();
        if !(given.is_numeric() || matches!(given, DataType::Boolean)) {
            return Err(Error::data(format!("the label column '{name}' is {given}")).hint(hint));
        }
        let numbers = cast(column, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>().iter().enumerate();
        let label = |(row, number): (usize, Option<f64>)| match number {
            Some(0.0) => Ok(false),
            Some(1.0) => Ok(true),
            Some(other) => Err(self.wrong_value("label", name, row, other).hint(hint)),
            None => Err(self.wrong_value("label", name, row, "null").hint("leave unlabelled rows out")),
        };
        numbers.map(label).collect()
    }

    fn text_labels(&self, name: &str, column: &ArrayRef, positive: &[String]) -> Result<Vec<bool>> {
        let texts = cast(column, &DataType::Utf8)?;
        let label = |(row, text): (usize, Option<&str>)| match text {
            Some(text) => Ok(positive.iter().any(|positive| positive == text)),
            None => Err(self.wrong_value("label", name, row, "null").hint("leave unlabelled rows out")),
        };
        texts.as_string::<i32>().iter().enumerate().map(label).collect()
    }

    /// Weights: finite, not negative.
    pub fn weights(&self, name: &str) -> Result<Vec<f32>> {
        let column = self.column("weight", name)?;
        if !column.data_type().is_numeric() {
            return Err(Error::data(format!("the weight column '{name}' is {}", column.data_type())));
        }
        let numbers = cast(column, &DataType::Float32)?;
        let weight = |(row, number): (usize, Option<f32>)| match number {
            Some(weight) if weight.is_finite() && weight >= 0.0 => Ok(weight),
            Some(weight) => {
                Err(self.wrong_value("weight", name, row, weight).hint("a weight is finite and not negative"))
            }
            None => Err(self.wrong_value("weight", name, row, "null")),
        };
        numbers.as_primitive::<arrow::datatypes::Float32Type>().iter().enumerate().map(weight).collect()
    }

    /// Event times; of a window its end.
    pub fn times(&self, name: &str) -> Result<Vec<Micros>> {
        let mut column = self.column("time", name)?.clone();
        if is_window(column.data_type()) {
            // a null window hides its members, whatever they hold
            let (windows, ends) = (column.as_struct().nulls(), column.as_struct().column(1));
            let nulls = arrow::buffer::NullBuffer::union(windows, ends.nulls());
            column = arrow::array::make_array(ends.to_data().into_builder().nulls(nulls).build()?);
        }
        if !matches!(column.data_type(), DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64) {
            return Err(Error::data(format!("the time column '{name}' is {}", column.data_type()))
                .hint("it takes a timestamp or a window"));
        }
        let times = cast(&column, &TIME)?;
        let time =
            |(row, time): (usize, Option<Micros>)| time.ok_or_else(|| self.wrong_value("time", name, row, "null"));
        times.as_primitive::<TimestampMicrosecondType>().iter().enumerate().map(time).collect()
    }

    /// One number for each row that is equal where all of `names` are equal; null is a value of its own.
    pub fn groups(&self, names: &[String]) -> Result<Vec<u64>> {
        let mut hashes = vec![StableHash::new(); self.batch.num_rows()];
        for name in names {
            let texts = cast(self.column("group", name)?, &DataType::Utf8)?;
            for (hash, text) in hashes.iter_mut().zip(texts.as_string::<i32>()) {
                match text {
                    Some(text) => hash.text(text),
                    None => hash.number(u64::MAX),
                }
            }
        }
        Ok(hashes.iter().map(StableHash::finish).collect())
    }
}
