//! Many workers, in this process and in others.
//!
//! The coordinator reads the sources, keeps watermarks, sinks and checkpoints (all that is the [`crate::Driver`]'s), and
//! hands rows and epochs to workers. Each worker has a copy of the graph; before an operator that brings rows of one key
//! together, rows go to the worker that holds the key's slot. Why not a dataflow library: `docs/decisions/0009`.

mod handshake;
mod link;
mod listener;
mod member;
mod message;
mod room;
mod seats;
mod settings;
mod shares;
mod slots;
mod stepped;
mod team;
mod wire;
mod worker;

pub use member::{Replan, serve};
pub use room::Room;
pub use settings::ClusterSettings;
pub use slots::SLOTS;
pub use stepped::{Fate, Turn};
pub use team::Team;

pub(crate) use shares::{operator_of, restored_for};
pub(crate) use slots::{Parcel, Router};
