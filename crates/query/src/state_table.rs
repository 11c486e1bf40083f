//! `SELECT * FROM state('folder or s3://bucket/prefix' [, number])`: what the operators of a checkpoint remember, as a table.

use std::sync::Arc;

use datafusion::arrow::array::{Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result as DataFusionResult, ScalarValue, plan_err};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::Expr;
use fyke_stream::Piece;
use fyke_stream::checkpoint::{Keeper, Manifest, OperatorState, snapshot_of, store_at};
use fyke_types::{Error, Result, Store, WATERMARK_END, WATERMARK_START, window};

use crate::errors::carried;

/// Columns: `operator` (as EXPLAIN says it), `customer`, `start` and `end` (the window, pane or session), `state`: keys
/// (`k`) and the states of the aggregates (`s0`, `s1`, …), or the columns of a waiting row, as JSON.
#[derive(Debug)]
pub(crate) struct StateFunction;

impl TableFunctionImpl for StateFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> DataFusionResult<Arc<dyn TableProvider>> {
        let (folder, number) = match args.exprs() {
            [Expr::Literal(folder, _)] => (folder, None),
            [Expr::Literal(folder, _), Expr::Literal(ScalarValue::Int64(Some(number)), _)] => (folder, Some(*number)),
            _ => return plan_err!("state() takes a checkpoint's folder and, if it is not the newest, its number"),
        };
        let (ScalarValue::Utf8(Some(folder)) | ScalarValue::Utf8View(Some(folder))) = folder else {
            return plan_err!("state() takes the folder of a checkpoint as text");
        };
        let batches = store_at(folder).and_then(|store| rows(store.as_ref(), number)).map_err(carried)?;
        Ok(Arc::new(MemTable::try_new(schema(), vec![batches])?))
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("operator", DataType::Utf8, false),
        Field::new("customer", DataType::Utf8, true),
        Field::new("start", window::TIME, true),
        Field::new("end", window::TIME, true),
        Field::new("state", DataType::Utf8, false),
    ]))
}

fn rows(store: &dyn Store, number: Option<i64>) -> Result<Vec<RecordBatch>> {
    let manifest = match number {
        Some(number) => Some(Keeper::load(store, u64::try_from(number).unwrap_or_default())?),
        None => Keeper::last(store)?,
    };
    let Some(manifest) = manifest else {
        return Err(Error::usage(format!("{} holds no checkpoint", store.place(""))));
    };
    let mut batches = Vec::new();
    for operator in &manifest.operators {
        for piece in &snapshot_of(store, operator)?.pieces {
            batches.push(rows_of(&manifest, operator, piece)?);
        }
    }
    Ok(batches)
}

fn rows_of(manifest: &Manifest, operator: &OperatorState, piece: &Piece) -> Result<RecordBatch> {
    let mut text = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut text);
    writer.write(piece.content()?)?;
    writer.finish()?;
    let text = String::from_utf8_lossy(&text);
    let states: Vec<&str> =
        text.lines().enumerate().filter(|(row, _)| piece.is_alive(*row)).map(|(_, state)| state).collect();
    let known = |time| (time != WATERMARK_START && time != WATERMARK_END).then_some(time);
    let customer = manifest.customers.get(piece.place.customer.0 as usize).map(String::as_str);
    let times = |time| TimestampMicrosecondArray::from(vec![known(time); states.len()]);
    let columns: Vec<Arc<dyn Array>> = vec![
        Arc::new(StringArray::from(vec![operator.describe.as_str(); states.len()])),
        Arc::new(StringArray::from(vec![customer; states.len()])),
        Arc::new(times(piece.place.start)),
        Arc::new(times(piece.place.end)),
        Arc::new(StringArray::from(states)),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}
