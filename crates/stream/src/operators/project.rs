//! Projection and filter: stateless, row by row.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{cast, filter_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;
use fyke_types::Result;

use crate::state::{evaluate, evaluate_filter};
use crate::{Operator, Output, Route, Tagged};

/// New columns from old ones. Renaming is a projection too.
pub struct Project {
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
}

impl Project {
    /// `schema` names the values of `expressions`.
    pub fn new(expressions: Vec<Arc<dyn PhysicalExpr>>, schema: SchemaRef) -> Self {
        Self { expressions, schema }
    }
}

impl Operator for Project {
    fn on_batch(&mut self, _: usize, rows: Tagged, out: &mut Output) -> Result<()> {
        let columns = self
            .expressions
            .iter()
            .zip(self.schema.fields())
            .map(|(expression, field)| {
                let column = evaluate(expression, &rows.batch)?;
                // literals of a wider type than the plan's field occur after simplification
                Ok(if column.data_type() == field.data_type() { column } else { cast(&column, field.data_type())? })
            })
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        out.give(rows.customer, batch);
        Ok(())
    }

    fn route(&self, _: usize) -> Route {
        Route::Here
    }

    fn describe(&self) -> String {
        let names: Vec<_> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        format!("Project [{}]", names.join(", "))
    }
}

/// Keeps the rows for which a predicate is true.
pub struct Filter {
    predicate: Arc<dyn PhysicalExpr>,
}

impl Filter {
    /// `predicate` is a boolean expression.
    pub fn new(predicate: Arc<dyn PhysicalExpr>) -> Self {
        Self { predicate }
    }
}

impl Operator for Filter {
    fn on_batch(&mut self, _: usize, rows: Tagged, out: &mut Output) -> Result<()> {
        let keep = evaluate_filter(&self.predicate, &rows.batch)?;
        out.give(rows.customer, filter_record_batch(&rows.batch, &keep)?);
        Ok(())
    }

    fn route(&self, _: usize) -> Route {
        Route::Here
    }

    fn describe(&self) -> String {
        format!("Filter {}", self.predicate)
    }
}
