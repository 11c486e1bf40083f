//! What operators remember: one store per open window or pane.

mod aggregate;
mod gathering;
mod held;
mod keyed;
mod partition;
mod parts;
mod row_index;
mod spill;
mod store;
mod waiting;

pub use aggregate::{AccumulatorFactory, Aggregate, evaluate, evaluate_filter, evaluate_time};
pub use gathering::Gathering;
pub use held::HeldRows;
pub use keyed::{Keyed, KeysAndResults};
pub use partition::{RowSet, partition_rows};
pub use parts::{Parts, PieceNumbers, Shape};
pub use row_index::RowIndex;
pub use spill::{Spill, Spilled, WEIGH};
pub use store::{Pass, Sealed, Store};
pub use waiting::{Arrivals, Entry, KeptRows, KeyId, Keys, RowAt, Waiting};
