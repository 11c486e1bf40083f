//! What all aggregating operators share: keys, aggregates, and how output rows are put together.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;
use fyke_types::{Micros, Result, window};

use crate::state::{Aggregate, RowSet, Shape, Store, evaluate, evaluate_filter};
use crate::{Customer, Tagged};

/// Keys and aggregates of a `GROUP BY`, its window apart.
#[derive(Clone)]
pub struct Grouping {
    /// Without the window.
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Types of the keys.
    pub key_schema: SchemaRef,
    /// The aggregates.
    pub aggregates: Vec<Aggregate>,
    /// Which output column is the window; none where there is none.
    pub window_at: Option<usize>,
    /// Output columns: group expressions in their order, then aggregates.
    pub schema: SchemaRef,
    /// Columns of the rows that come in.
    pub input: SchemaRef,
    /// Whether the keys hold the customer, so that its own watermark applies.
    pub by_customer: bool,
}

/// The evaluated expressions of a batch.
pub struct Evaluated {
    /// By key.
    pub keys: Vec<ArrayRef>,
    /// By aggregate, by argument.
    pub arguments: Vec<Vec<ArrayRef>>,
    /// By aggregate.
    pub filters: Vec<Option<BooleanArray>>,
}

impl Grouping {
    /// What its stores are made of.
    pub fn shape(&self) -> Shape<'_> {
        Shape { keys: &self.key_schema, aggregates: &self.aggregates }
    }

    /// Whose watermark governs these rows.
    pub fn owner(&self, rows: &Tagged) -> Customer {
        if self.by_customer { rows.customer } else { Customer::ALL }
    }

    /// Evaluates keys, arguments and filters once.
    ///
    /// # Errors
    /// When one fails on the data.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<Evaluated> {
        let all = |expressions: &[Arc<dyn PhysicalExpr>]| -> Result<Vec<ArrayRef>> {
            expressions.iter().map(|expression| evaluate(expression, batch)).collect()
        };
        Ok(Evaluated {
            keys: all(&self.keys)?,
            arguments: self.aggregates.iter().map(|a| all(&a.arguments)).collect::<Result<_>>()?,
            filters: self
                .aggregates
                .iter()
                .map(|a| a.filter.as_ref().map(|filter| evaluate_filter(filter, batch)).transpose())
                .collect::<Result<_>>()?,
        })
    }

    /// Output rows of one window.
    ///
    /// # Errors
    /// Arrow's.
    pub fn batch_of_window(
        &self,
        (start, end): (Micros, Micros),
        rows: usize,
        keys: Vec<ArrayRef>,
        results: Vec<ArrayRef>,
    ) -> Result<RecordBatch> {
        let windows = self.window_at.map(|_| (vec![start; rows], vec![end; rows]));
        self.batch(windows, keys, results)
    }

    /// Output rows, each with its window.
    ///
    /// # Errors
    /// Arrow's.
    pub fn batch(
        &self,
        windows: Option<(Vec<Micros>, Vec<Micros>)>,
        keys: Vec<ArrayRef>,
        results: Vec<ArrayRef>,
    ) -> Result<RecordBatch> {
        let mut columns = keys;
        if let (Some(at), Some((starts, ends))) = (self.window_at, windows) {
            columns.insert(at, Arc::new(window::windows(starts, ends, None)));
        }
        columns.extend(results);
        let columns = columns
            .into_iter()
            .zip(self.schema.fields())
            .map(|(column, field)| {
                Ok(if column.data_type() == field.data_type() { column } else { cast(&column, field.data_type())? })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// The one row of an aggregate over nothing, without keys and window.
    ///
    /// # Errors
    /// When an accumulator fails.
    pub fn of_nothing(&self, scratch: &mut Vec<usize>) -> Result<RecordBatch> {
        let mut store = Store::new(&self.key_schema, &self.aggregates)?;
        let nothing = self.evaluate(&RecordBatch::new_empty(Arc::clone(&self.input)))?;
        // without a filter DataFusion's accumulators take every group for seen
        let filters = vec![Some(BooleanArray::from(Vec::<bool>::new())); nothing.arguments.len()];
        store.update(&RowSet::All(0), &[], &nothing.arguments, &filters, scratch)?;
        let (_, keys, results) = store.emit()?;
        self.batch(None, keys, results)
    }

    /// For EXPLAIN.
    pub fn describe(&self) -> String {
        let keys: Vec<_> = self.keys.iter().map(ToString::to_string).collect();
        let aggregates: Vec<_> = self.aggregates.iter().map(|a| a.name.as_str()).collect();
        let mark = if self.by_customer { "each customer's watermark" } else { "the watermark over all customers" };
        format!("keys [{}] aggregates [{}] closing by {mark}", keys.join(", "), aggregates.join(", "))
    }
}
