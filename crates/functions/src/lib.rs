//! Which numbers describe a client? SQL functions used by both executions.
//!
//! Functions of a row (URL, path, agent, address, time) and of a group (sketches, distinct counts, gaps, entropy).
//! No plan, no I/O, no clock: the same arguments give the same bits, whatever the batch or the order of rows.

mod address;
mod agent;
mod aggregate;
mod doc;
mod entropy;
mod parameter;
mod scalar;
pub mod windows;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

pub use address::{AddressRange, AddressSet};
pub use agent::{AgentClass, classify};
pub use aggregate::distinct_count_accumulator;
pub use doc::FunctionDoc;

/// All functions of a row.
pub fn scalar_functions() -> Vec<ScalarUDF> {
    scalar::SCALARS.iter().map(|function| function.udf()).collect()
}

/// All functions of a group.
pub fn aggregate_functions() -> Vec<AggregateUDF> {
    aggregate::AGGREGATES.iter().map(|function| function.udaf()).collect()
}

/// What all of them are called, take and give, in the order of the tables.
pub fn reference() -> Vec<FunctionDoc> {
    let scalars = scalar::SCALARS.iter().map(|function| function.doc);
    scalars.chain(aggregate::AGGREGATES.iter().map(|function| function.doc)).collect()
}
