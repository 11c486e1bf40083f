//! Tables in memory: for tests, and for a user's test kit. Not reachable from SQL.

mod sink;
mod source;

pub use sink::{MemorySink, Written};
pub use source::{MemoryInput, MemorySource};
