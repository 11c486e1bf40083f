//! How does an endless plan run?
//!
//! Operators over DataFusion's expressions and accumulators, their state, event-time watermarks, and the
//! single-threaded driver. No SQL, no connector, no model: planning hands in finished operators.

pub mod checkpoint;
pub mod cluster;
mod customers;
mod driver;
mod early;
mod execution;
mod graph;
mod marks;
mod operator;
pub mod operators;
mod progress;
mod reloaded;
mod snapshot;
pub mod state;
mod tracker;

pub use customers::{Customer, Customers};
pub use driver::{Again, Driver, Outlet, SourceRun, StopSignal};
pub use early::{Ask, Early, EarlyOperator, EarlyRows, Scope, Touched};
pub use execution::{Alone, Closing, Execution, Saved};
pub use graph::{GiveOf, Graph, NodeId, NodeState};
pub use marks::Marks;
pub use operator::{Gatherer, Give, Operator, Output, Route, StateSize, Tagged};
pub use progress::{OperatorProgress, Progress, SinkProgress, SourceProgress};
pub use reloaded::{LoadTable, ReloadedTable, StaticTableProgress, Version};
pub use snapshot::{Memo, Piece, Place, Snapshot};
pub use tracker::{CustomerBy, SavedTracker, TimeSettings, Tracker};

use fyke_types::Error;

/// A failure inside DataFusion as ours.
pub fn engine_error(error: datafusion::error::DataFusionError) -> Error {
    match error {
        datafusion::error::DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => Error::internal("a computation failed").detail(other),
        },
        other => Error::data("a computation failed").detail(other.strip_backtrace()),
    }
}
