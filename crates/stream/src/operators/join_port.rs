//! What a join reads of the rows of an input: their keys, their time, and how long they may find a partner.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{cast, take_record_batch};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::physical_expr::PhysicalExpr;
use fyke_types::{Micros, Result};

use crate::state::{Arrivals, evaluate, evaluate_time};

/// A time (a timestamp, or a window, of which it is the end − 1), and what is added to it.
#[derive(Clone)]
pub struct Shifted {
    /// A timestamp or a window.
    pub time: Arc<dyn PhysicalExpr>,
    /// µs.
    pub by: Micros,
}

impl Shifted {
    fn evaluate(&self, batch: &RecordBatch) -> Result<Vec<Option<Micros>>> {
        let (times, nulls) = evaluate_time(&self.time, batch)?;
        let valid = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        Ok(times.into_iter().enumerate().map(|(row, t)| valid(row).then_some(t.saturating_add(self.by))).collect())
    }
}

impl std::fmt::Display for Shifted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.by {
            0 => write!(f, "{}", self.time),
            by => write!(f, "{} {} {} µs", self.time, if by < 0 { '-' } else { '+' }, by.unsigned_abs()),
        }
    }
}

/// An input of a join.
#[derive(Clone)]
pub struct JoinPort {
    /// Equal on both sides of a pair, in the order of the other input's.
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    /// The row time, which the input's watermark bounds from below: the least of these.
    pub times: Vec<Shifted>,
    /// The last mark of the other input at which a row may find a partner: the least of these.
    pub until: Vec<Shifted>,
}

/// What [`JoinPort`] says of a batch.
pub(super) struct Known {
    /// Row times.
    pub(super) at: Vec<Option<Micros>>,
    /// None: it can have no partner.
    pub(super) until: Vec<Option<Micros>>,
    keys: Option<Rows>,
    has_key: Vec<bool>,
}

/// Compares keys of both inputs.
pub(super) struct JoinKeys {
    converter: RowConverter,
    types: Vec<DataType>,
    /// Whether nulls are equal to each other.
    nulls_match: bool,
}

impl JoinKeys {
    pub(super) fn new(types: Vec<DataType>, nulls_match: bool) -> Result<Self> {
        let fields = types.iter().map(|of| SortField::new(of.clone())).collect();
        Ok(Self { converter: RowConverter::new(fields)?, types, nulls_match })
    }

    /// Evaluates all that a join asks of a batch.
    pub(super) fn know(&self, port: &JoinPort, batch: &RecordBatch) -> Result<Known> {
        let rows = batch.num_rows();
        let keys = port
            .keys
            .iter()
            .zip(&self.types)
            .map(|(key, of)| {
                let values = evaluate(key, batch)?;
                Ok(if values.data_type() == of { values } else { cast(&values, of)? })
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        let has_key = |row: usize| self.nulls_match || keys.iter().all(|key| key.is_valid(row));
        let has_key = (0..rows).map(has_key).collect();
        let keys = if keys.is_empty() { None } else { Some(self.converter.convert_columns(&keys)?) };
        Ok(Known { at: least(&port.times, batch, false)?, until: least(&port.until, batch, true)?, keys, has_key })
    }
}

/// The least of several times, by row. `strict`: one that is null makes it null, else only all of them do.
fn least(times: &[Shifted], batch: &RecordBatch, strict: bool) -> Result<Vec<Option<Micros>>> {
    let mut least: Option<Vec<Option<Micros>>> = None;
    for time in times {
        let next = time.evaluate(batch)?;
        let both = |(a, b): (Option<Micros>, Option<Micros>)| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => {
                if strict {
                    None
                } else {
                    one.or(other)
                }
            }
        };
        least = Some(match least {
            Some(before) => before.into_iter().zip(next).map(both).collect(),
            None => next,
        });
    }
    Ok(least.unwrap_or_else(|| vec![None; batch.num_rows()]))
}

impl Known {
    /// Whether a row may have a partner at all.
    pub(super) fn has_hope(&self, row: usize) -> bool {
        self.has_key[row] && self.at[row].is_some() && self.until[row].is_some()
    }

    /// Whether none of its keys is null, or that does not matter.
    pub(super) fn has_key(&self, row: usize) -> bool {
        self.has_key[row]
    }

    /// The keys of a row as bytes.
    pub(super) fn key(&self, row: usize) -> &[u8] {
        self.keys.as_ref().map_or(&[], |keys| keys.row(row).data())
    }

    /// These rows as arrivals, all of which have hope.
    pub(super) fn arrivals(&self, batch: &RecordBatch, rows: &[u32]) -> Result<Arrivals<'_>> {
        let of = |times: &[Option<Micros>]| rows.iter().map(|row| times[*row as usize].unwrap_or_default()).collect();
        Ok(Arrivals {
            keys: rows.iter().map(|row| self.key(*row as usize)).collect(),
            at: of(&self.at),
            until: of(&self.until),
            rows: pick_rows(batch, rows)?,
            matched: None,
        })
    }
}

/// These rows of a batch, which itself is given where it is all of them.
pub(super) fn pick_rows(batch: &RecordBatch, rows: &[u32]) -> Result<RecordBatch> {
    if rows.len() == batch.num_rows() {
        return Ok(batch.clone());
    }
    Ok(take_record_batch(batch, &UInt32Array::from(rows.to_vec()))?)
}
