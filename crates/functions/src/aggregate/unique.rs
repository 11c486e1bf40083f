//! `unique`: exact number of distinct values, with each value stored once for all groups.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::GroupsAccumulator;

use super::function::AggregateFunction;
use super::values::{Summary, Tallies};
use crate::doc::FunctionDoc;
use crate::parameter::Parameter;

pub(crate) static UNIQUE: AggregateFunction = AggregateFunction {
    doc: FunctionDoc {
        name: "unique",
        signature: "unique(x) -> bigint",
        summary: "Exact number of distinct values of any type, as COUNT(DISTINCT x). Nulls are not counted; 0 for no \
                  values.",
    },
    parameters: &[Parameter::Any],
    required: 1,
    returns: DataType::Int64,
    counts: true,
    state: |value_type| vec![("values", Tallies::<()>::state_type(value_type))],
    create: |args| {
        let value_type = args.expr_fields.first().map_or(DataType::Null, |field| field.data_type().clone());
        Ok(Box::new(Tallies::<()>::new(&value_type, Summary::Distinct)?))
    },
};

/// A groups accumulator for `COUNT(DISTINCT x)` of any type: `Int64`, 0 for no values, nulls not counted. Its state
/// is one column, `List<value_type>`; dictionaries must be cast to their values before.
///
/// # Errors
/// When values of this type can't be compared.
pub fn distinct_count_accumulator(value_type: &DataType) -> Result<Box<dyn GroupsAccumulator>> {
    Ok(Box::new(Tallies::<()>::new(value_type, Summary::Distinct)?))
}
