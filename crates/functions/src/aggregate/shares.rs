//! `entropy_of` and `mode_share`: how evenly the values of a group are spread. Both keep each distinct value's count.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::function::AccumulatorArgs;

use super::function::{AggregateFunction, Keeping};
use super::values::{Summary, Tallies};
use crate::doc::FunctionDoc;
use crate::entropy::entropy_bits;
use crate::parameter::Parameter;

pub(crate) static ENTROPY_OF: AggregateFunction = of_counts(
    FunctionDoc {
        name: "entropy_of",
        signature: "entropy_of(x) -> double",
        summary: "Shannon entropy of the values' distribution in the group, in bits: 0 where all are equal, log2(n) \
                  where n are equally frequent. Nulls are ignored; null for no values.",
    },
    |args| tallies(args, |counts| entropy_bits(counts)),
);

pub(crate) static MODE_SHARE: AggregateFunction = of_counts(
    FunctionDoc {
        name: "mode_share",
        signature: "mode_share(x) -> double",
        summary: "Share of the most frequent value (0 to 1). Nulls are ignored; null for no values.",
    },
    |args| tallies(args, |counts| share_of_greatest(counts)),
);

type Create = fn(&AccumulatorArgs) -> Result<Box<dyn Keeping>>;

const fn of_counts(doc: FunctionDoc, create: Create) -> AggregateFunction {
    AggregateFunction {
        doc,
        parameters: &[Parameter::Any],
        required: 1,
        returns: DataType::Float64,
        counts: false,
        state: |value_type| vec![("counts", Tallies::<u64>::state_type(value_type))],
        create,
    }
}

fn tallies(args: &AccumulatorArgs, of_counts: fn(&mut Vec<u64>) -> f64) -> Result<Box<dyn Keeping>> {
    let value_type = args.expr_fields.first().map_or(DataType::Null, |field| field.data_type().clone());
    Ok(Box::new(Tallies::<u64>::new(&value_type, Summary::OfCounts(of_counts))?))
}

fn share_of_greatest(counts: &[u64]) -> f64 {
    let greatest = counts.iter().max().copied().unwrap_or_default();
    greatest as f64 / counts.iter().sum::<u64>() as f64
}
