//! Values of any type as bits or bytes: hashing, numbering each distinct one once, and counting them by group.

mod encode;
mod interner;
mod tally;

pub(crate) use encode::Encoder;
#[cfg(test)]
pub(crate) use encode::mix;
pub(crate) use tally::{Summary, Tallies};
