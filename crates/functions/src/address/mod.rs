//! Network addresses: their text, sets of ranges, and the functions over them. Knows no list of its own but RFC ranges.

pub(crate) mod functions;
mod range;
mod set;

pub use range::AddressRange;
pub use set::AddressSet;
