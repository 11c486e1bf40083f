//! Many workers, in this process and in others.
//!
//! The coordinator reads the sources, keeps watermarks, sinks and checkpoints (all that is the [`crate::Driver`]'s), and
//! hands rows and epochs to workers. Each worker has a copy of the graph; before an operator that brings rows of one key
//! together, rows go to the worker that holds the key's slot. Why not a dataflow library: `docs/decisions/0009`.

mod message;
mod shares;
mod slots;
mod team;
mod worker;

pub use slots::SLOTS;
pub use team::Team;

pub(crate) use shares::{operator_of, restored_for};
pub(crate) use slots::{Parcel, Router};
