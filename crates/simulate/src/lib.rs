//! What if everything fails at once? Seeded, labelled web traffic, and seeded faults.
//!
//! A [`World`] is several customers' sites with people, crawlers, scrapers and attackers; its requests come as an
//! iterator, in the order in which a collector would receive them, with the truth beside each. [`write_chain`] makes
//! the input of the benchmark. The same seed and settings give the same bytes on any machine and any number of
//! threads: nothing here reads a clock, another source of randomness, or the platform's mathematics.
//! A [`FaultyWorld`] is a store, sinks, readers and a clock for processes that die at any moment.
//! Nothing here detects anything.

mod actors;
mod addresses;
mod agents;
mod browser;
mod chain;
mod client;
mod dice;
mod export;
mod faults;
mod labels;
mod mix;
mod request;
mod site;
mod spawn;
mod stream;
mod words;
mod world;
mod write;

pub use chain::{ChainSettings, ChainStats, CustomerStats, write_chain, write_chain_with};
pub use export::{Exported, LogFormat, export};
pub use faults::{Faults, FaultyWorld, Process, Visitor};
pub use labels::{ClientLabel, LabelTable};
pub use mix::Mix;
pub use request::{ActorId, Kind, Label, Request};
pub use site::SiteKind;
pub use stream::Requests;
pub use world::{Customer, World, WorldSettings};
pub use write::{write_combined, write_json};
