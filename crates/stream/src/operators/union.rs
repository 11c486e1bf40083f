//! Rows of several inputs as one stream.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::SchemaRef;
use fyke_types::Result;

use crate::{Operator, Output, Route, Tagged};

/// `UNION ALL`: the columns take their names from `schema`.
pub struct Union {
    schema: SchemaRef,
}

impl Union {
    /// Inputs have the same number of columns as `schema`.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }
}

impl Operator for Union {
    fn on_batch(&mut self, _: usize, rows: Tagged, out: &mut Output) -> Result<()> {
        let columns = rows
            .batch
            .columns()
            .iter()
            .zip(self.schema.fields())
            .map(|(column, field)| Ok(cast(column, field.data_type())?))
            .collect::<Result<Vec<_>>>()?;
        out.give(rows.customer, RecordBatch::try_new(Arc::clone(&self.schema), columns)?);
        Ok(())
    }

    fn route(&self, _: usize) -> Route {
        Route::Here
    }

    fn describe(&self) -> String {
        "Union".to_owned()
    }
}
