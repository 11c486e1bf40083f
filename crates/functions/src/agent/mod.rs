//! What a user agent says of itself. It is a claim: nothing here tells whether the claim is true.

mod class;
mod classify;
mod crawler;
mod family;
pub(crate) mod functions;
mod memo;
mod names;
mod system;

pub use class::AgentClass;
pub use classify::classify;
