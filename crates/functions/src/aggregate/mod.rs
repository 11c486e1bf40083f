//! Functions of a group, and the one table of them. All are independent of the order of rows and merge exactly
//! (`coefficient_of_variation` up to rounding), so that batch and stream agree however the rows are split.

mod approx_unique;
mod arguments;
mod function;
mod gaps;
mod grouped;
mod hyperloglog;
mod lists;
mod percentile;
mod shares;
mod single;
mod sketch;
mod unique;
mod values;
mod variation;

pub use unique::distinct_count_accumulator;

use function::AggregateFunction;

/// All aggregate functions: a new one is its own file and one line here.
pub(crate) static AGGREGATES: &[&AggregateFunction] = &[
    &unique::UNIQUE,
    &approx_unique::APPROX_UNIQUE,
    &percentile::APPROX_PERCENTILE,
    &variation::COEFFICIENT_OF_VARIATION,
    &gaps::GAP_MEAN,
    &gaps::GAP_VAR,
    &gaps::GAP_CV,
    &gaps::GAP_MIN,
    &gaps::GAP_MAX,
    &shares::ENTROPY_OF,
    &shares::MODE_SHARE,
];
