//! Leaves that stand for an operator's rows: shared bodies while pruning, slots while planning a step.

use std::any::Any;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{DFSchemaRef, Result, TableReference};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{LogicalPlan, TableScan, TableSource};
use fyke_stream::operators::Slot;

/// Rows of the shared body with this number.
#[derive(Debug)]
pub struct SharedLeaf {
    /// Its number.
    pub body: usize,
    schema: SchemaRef,
}

impl TableSource for SharedLeaf {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// A scan with exactly the columns and qualifiers of `schema`.
fn scan(name: String, source: Arc<dyn TableSource>, schema: DFSchemaRef) -> LogicalPlan {
    LogicalPlan::TableScan(TableScan {
        table_name: TableReference::bare(name),
        source,
        projection: None,
        projected_schema: schema,
        filters: Vec::new(),
        fetch: None,
        statistics_requests: Default::default(),
    })
}

/// A scan of a shared body; its columns are qualified by the leaf's name so that pruning can follow them.
pub fn shared(body: usize, schema: &SchemaRef) -> Result<LogicalPlan> {
    let source = Arc::new(SharedLeaf { body, schema: Arc::clone(schema) });
    datafusion::logical_expr::LogicalPlanBuilder::scan(format!("__shared_{body}"), source, None)?.build()
}

/// The shared body that a plan reads, and which of its columns.
pub fn as_shared(plan: &LogicalPlan) -> Option<(usize, Option<Vec<usize>>)> {
    let LogicalPlan::TableScan(scan) = plan else { return None };
    let source: &dyn Any = scan.source.as_ref();
    source.downcast_ref::<SharedLeaf>().map(|leaf| (leaf.body, scan.projection.clone()))
}

/// A leaf that reads `slot` and looks like `schema`.
pub fn slot(number: usize, slot: &Slot, schema: &DFSchemaRef) -> Result<LogicalPlan> {
    let arrow: SchemaRef = Arc::new(schema.as_arrow().clone());
    let table = StreamingTable::try_new(arrow, vec![Arc::new(slot.clone())])?;
    Ok(scan(format!("__port_{number}"), provider_as_source(Arc::new(table)), Arc::clone(schema)))
}

/// A leaf over rows in memory that looks like `schema`.
pub fn rows(batches: Vec<RecordBatch>, schema: &DFSchemaRef) -> Result<LogicalPlan> {
    let arrow: SchemaRef = Arc::new(schema.as_arrow().clone());
    let batches = batches
        .into_iter()
        .map(|batch| Ok(RecordBatch::try_new(Arc::clone(&arrow), batch.columns().to_vec())?))
        .collect::<Result<Vec<_>>>()?;
    let table = MemTable::try_new(arrow, vec![batches])?;
    Ok(scan("__static".to_owned(), provider_as_source(Arc::new(table)), Arc::clone(schema)))
}
