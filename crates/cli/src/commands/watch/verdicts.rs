//! Verdicts as they come out of the detector's views, as plain values.

use std::sync::{Arc, Mutex, PoisonError};

use fyke::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use fyke::arrow::compute::cast;
use fyke::arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use fyke::types::{Micros, Sink, window};
use fyke::{Error, Result};

/// The columns that [`VerdictRow::from_batch`] reads.
pub const COLUMNS: &str =
    "customer, client_ip, agent, class, score, reasons, requests, w['start'] AS visit, first_time, last_time";

/// What the detector says of a client's visit, or of its part so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VerdictRow {
    /// Whose site.
    pub customer: String,
    /// The client's address.
    pub client_ip: String,
    /// Its agent; empty where none was sent.
    pub agent: String,
    /// `bot`, `human`, …
    pub class: String,
    /// 0 to 100.
    pub score: f64,
    /// In words.
    pub reasons: Vec<String>,
    /// In this visit, so far.
    pub requests: u64,
    /// When the visit began: tells visits apart.
    pub visit: Micros,
    /// Its first request.
    pub first_time: Micros,
    /// Its last request, so far.
    pub last_time: Micros,
}

impl VerdictRow {
    /// The rows of a batch with [`COLUMNS`].
    ///
    /// # Errors
    /// When a column is missing or of another type, which would be a defect.
    pub fn from_batch(batch: &RecordBatch) -> Result<Vec<Self>> {
        let text = |name: &str| column(batch, name, &DataType::Utf8);
        let time = |name: &str| column(batch, name, &window::TIME);
        let (customer, client_ip, agent) = (text("customer")?, text("client_ip")?, text("agent")?);
        let (class, score) = (text("class")?, column(batch, "score", &DataType::Float64)?);
        let requests = column(batch, "requests", &DataType::Int64)?;
        let (visit, first, last) = (time("visit")?, time("first_time")?, time("last_time")?);
        let reasons = named(batch, "reasons")?;
        let value = |column: &ArrayRef, row| text_at(column.as_string::<i32>(), row);
        let moment = |column: &ArrayRef, row| column.as_primitive::<TimestampMicrosecondType>().value(row);
        (0..batch.num_rows())
            .map(|row| {
                Ok(Self {
                    customer: value(&customer, row),
                    client_ip: value(&client_ip, row),
                    agent: value(&agent, row),
                    class: value(&class, row),
                    score: score.as_primitive::<Float64Type>().value(row),
                    reasons: texts_at(reasons, row)?,
                    requests: requests.as_primitive::<Int64Type>().value(row).unsigned_abs(),
                    visit: moment(&visit, row),
                    first_time: moment(&first, row),
                    last_time: moment(&last, row),
                })
            })
            .collect()
    }

    /// How grave the verdict is: the class first, then the score.
    pub fn gravity(&self) -> (u8, f64) {
        (gravity_of(&self.class), self.score)
    }
}

/// Verdicts on their way from the run to the screen.
#[derive(Debug, Clone, Default)]
pub struct Collected(Arc<Mutex<Vec<VerdictRow>>>);

impl Collected {
    /// What came since the last time.
    pub fn drain(&self) -> Vec<VerdictRow> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Collected {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = VerdictRow::from_batch(batch)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(rows);
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Classes from harmless to grave.
fn gravity_of(class: &str) -> u8 {
    match class {
        "bot" => 5,
        "suspect" => 4,
        "declared_bot" => 3,
        "verified_bot" => 2,
        "human" => 1,
        _ => 0,
    }
}

fn named<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::internal(format!("verdicts have no column '{name}'")))
}

fn column(batch: &RecordBatch, name: &str, data_type: &DataType) -> Result<ArrayRef> {
    Ok(cast(named(batch, name)?, data_type)?)
}

fn text_at(column: &StringArray, row: usize) -> String {
    if column.is_null(row) { String::new() } else { column.value(row).to_owned() }
}

fn texts_at(column: &ArrayRef, row: usize) -> Result<Vec<String>> {
    let Some(lists) = column.as_list_opt::<i32>() else { return Err(Error::internal("reasons are no list")) };
    if lists.is_null(row) {
        return Ok(Vec::new());
    }
    let texts = cast(&lists.value(row), &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    Ok((0..texts.len()).map(|at| text_at(texts, at)).filter(|text| !text.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use fyke::arrow::array::{Float64Array, Int64Array, ListBuilder, StringBuilder, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn rows_are_read_by_name_and_nulls_are_empty() {
        let mut reasons = ListBuilder::new(StringBuilder::new());
        reasons.append_value([Some("asks for one path"), None]);
        reasons.append_null();
        let text = |a, b| -> ArrayRef { Arc::new(StringArray::from(vec![a, b])) };
        let time = || -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![5, 6])) };
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("reasons", Arc::new(reasons.finish()) as ArrayRef, true),
            ("class", text(Some("bot"), Some("human")), true),
            ("customer", text(Some("a"), None), true),
            ("client_ip", text(Some("10.0.0.1"), None), true),
            ("agent", text(None, Some("x")), true),
            ("score", Arc::new(Float64Array::from(vec![91.0, 3.0])) as ArrayRef, true),
            ("requests", Arc::new(Int64Array::from(vec![7, 1])) as ArrayRef, true),
            ("visit", time(), true),
            ("first_time", time(), true),
            ("last_time", time(), true),
        ]);
        let rows = VerdictRow::from_batch(&batch.expect("batch")).expect("rows");
        assert_eq!(rows[0].reasons, ["asks for one path"]);
        assert_eq!((rows[0].score, rows[0].requests, rows[0].visit), (91.0, 7, 5));
        assert_eq!((rows[1].customer.as_str(), rows[1].agent.as_str()), ("", "x"));
        assert!(rows[0].gravity() > rows[1].gravity());
    }

    #[test]
    fn missing_column_is_named() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("n", column)]).expect("batch");
        assert!(VerdictRow::from_batch(&batch).expect_err("no verdict").message().contains("customer"));
    }
}
