//! What an operator remembers, taken out: pieces of rows that never change, and a few numbers.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::buffer::BooleanBuffer;
use fyke_types::{Error, Micros, Result};
use serde::{Deserialize, Serialize};

use crate::Customer;

/// Where a piece belongs inside its operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Whose rows.
    pub customer: Customer,
    /// The input port, where rows wait.
    pub port: u32,
    /// Start of the window or pane.
    pub start: Micros,
    /// End of the window.
    pub end: Micros,
}

/// Rows of state that do not change any more.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Unique within the operator, for ever.
    pub number: u64,
    /// Where it belongs.
    pub place: Place,
    /// The rows; none where an earlier snapshot gave them under this number.
    pub rows: Option<RecordBatch>,
    /// Which rows are still of use; none: all.
    pub alive: Option<BooleanBuffer>,
    /// On the way back: the checkpoints still hold its rows under this number, so that they need not be given again.
    pub kept: bool,
}

impl Piece {
    /// The rows of a piece that is restored.
    ///
    /// # Errors
    /// When it has none.
    pub fn content(&self) -> Result<&RecordBatch> {
        self.rows.as_ref().ok_or_else(|| Error::internal(format!("piece {} came without its rows", self.number)))
    }

    /// Whether a row is still of use.
    pub fn is_alive(&self, row: usize) -> bool {
        self.alive.as_ref().is_none_or(|alive| alive.value(row))
    }
}

/// The few things that are no rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memo {
    /// The number that the next piece gets.
    pub next_piece: u64,
    /// Customers that fell silent: their windows up to here are closed, whatever the watermark.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<(Customer, Micros)>,
    /// The one row of an aggregate over everything has left.
    #[serde(default)]
    pub emitted: bool,
}

/// All that an operator remembers.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Rows.
    pub pieces: Vec<Piece>,
    /// The rest.
    pub memo: Memo,
}
