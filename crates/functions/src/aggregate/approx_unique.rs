//! `approx_unique`: approximate number of distinct values, in at most 4 KB a group.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, Int64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::function::AggregateFunction;
use super::grouped::{Aggregation, GroupState, Grouped, Groups, Rows};
use super::hyperloglog::HashSketch;
use super::values::Encoder;
use crate::doc::FunctionDoc;
use crate::parameter::{Parameter, defect};

pub(crate) static APPROX_UNIQUE: AggregateFunction = AggregateFunction {
    doc: FunctionDoc {
        name: "approx_unique",
        signature: "approx_unique(x) -> bigint",
        summary: "Approximate number of distinct values of any type; exact up to 256, then within a standard error \
                  of 1.6 % in 4 KB a group (HyperLogLog). Nulls are not counted; 0 for no values.",
    },
    parameters: &[Parameter::Any],
    required: 1,
    returns: DataType::Int64,
    counts: true,
    state: |_| vec![("sketch", DataType::Binary)],
    create: |args| {
        let value_type = args.expr_fields.first().map_or(DataType::Null, |field| field.data_type().clone());
        Grouped::boxed(ApproxUnique { encoder: Encoder::new(&value_type)? })
    },
};

#[derive(Clone)]
struct ApproxUnique {
    encoder: Encoder,
}

impl GroupState for HashSketch {
    fn heap(&self) -> usize {
        HashSketch::heap(self)
    }
}

impl Aggregation for ApproxUnique {
    type Group = HashSketch;

    fn update(&self, values: &[ArrayRef], rows: &Rows<'_>, groups: &mut Groups<HashSketch>) -> Result<()> {
        let Some(column) = values.first() else { return Ok(()) };
        let nulls = column.logical_nulls();
        let encoded = self.encoder.encode(column)?;
        for (row, group) in rows.iter(nulls.as_ref()) {
            groups.change(group, |sketch| sketch.add(encoded.stable_hash(row)));
        }
        Ok(())
    }

    fn merge(&self, states: &[ArrayRef], rows: &Rows<'_>, groups: &mut Groups<HashSketch>) -> Result<()> {
        let damaged = || defect("the state of approx_unique is damaged");
        let column = states.first().and_then(|array| array.as_binary_opt::<i32>()).ok_or_else(damaged)?;
        for (row, group) in rows.iter(column.nulls()) {
            if groups.change(group, |sketch| sketch.merge_bytes(column.value(row))) == Some(false) {
                return Err(damaged());
            }
        }
        Ok(())
    }

    fn values(&self, groups: &mut [HashSketch]) -> Result<ArrayRef> {
        Ok(Arc::new(groups.iter().map(|sketch| Some(sketch.count())).collect::<Int64Array>()))
    }

    fn states(&self, groups: &mut [HashSketch]) -> Result<Vec<ArrayRef>> {
        let mut out = BinaryBuilder::with_capacity(groups.len(), 0);
        let (mut bytes, mut total) = (Vec::new(), 0usize);
        for sketch in groups.iter() {
            bytes.clear();
            sketch.to_bytes(&mut bytes);
            total += bytes.len();
            // the builder would panic
            if i32::try_from(total).is_err() {
                return Err(datafusion::common::DataFusionError::ResourcesExhausted(
                    "the state of one batch of groups is above 2 GB".into(),
                ));
            }
            out.append_value(&bytes);
        }
        Ok(vec![Arc::new(out.finish())])
    }
}
