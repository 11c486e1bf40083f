//! The operator promise: runtime-neutral, synchronous, driven by whoever holds it.

use datafusion::arrow::array::RecordBatch;
use fyke_types::{Error, Micros, Result};

use crate::{Customer, Marks, Memo, Piece, Snapshot};

/// Rows of one customer, or of all.
#[derive(Debug, Clone)]
pub struct Tagged {
    /// Whose rows.
    pub customer: Customer,
    /// The rows.
    pub batch: RecordBatch,
}

/// What an operator gives back.
#[derive(Debug, Default)]
pub struct Output {
    /// Rows for the operators behind it.
    pub rows: Vec<Tagged>,
    /// Rows of this call whose windows were all closed.
    pub late: u64,
}

impl Output {
    /// Gives rows on; empty batches stay here.
    pub fn give(&mut self, customer: Customer, batch: RecordBatch) {
        if batch.num_rows() > 0 {
            self.rows.push(Tagged { customer, batch });
        }
    }
}

/// How much an operator remembers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct StateSize {
    /// Open groups, sessions, or waiting rows.
    pub rows: usize,
    /// Bytes, as far as the parts report them.
    pub bytes: usize,
}

/// Takes the pieces of a snapshot one by one, so that they need not be held together.
pub type Give<'a> = &'a mut dyn FnMut(Piece) -> Result<()>;

/// The life of an operator: rows come, an epoch closes with the marks in force, rows and a mark go on.
pub trait Operator: Send {
    /// Takes rows on an input port.
    ///
    /// # Errors
    /// When an expression fails on the data.
    fn on_batch(&mut self, port: usize, rows: Tagged, out: &mut Output) -> Result<()>;

    /// Ends an epoch: `inputs` has the marks of each port. Gives what closes, and returns the mark for those behind.
    ///
    /// # Errors
    /// When an expression fails on the data.
    fn on_epoch_close(&mut self, inputs: &[Marks], out: &mut Output) -> Result<Marks> {
        let _ = out;
        Ok(combined(inputs))
    }

    /// Up to where windows were closed ahead of the watermark, since their customer fell silent: rows before it may be
    /// late although the watermark has not passed them.
    fn closed_ahead(&self) -> Vec<(Customer, Micros)> {
        Vec::new()
    }

    /// One line for EXPLAIN.
    fn describe(&self) -> String;

    /// What it remembers, in words for EXPLAIN; none where it remembers nothing.
    fn remembers(&self) -> Option<&'static str> {
        None
    }

    /// Gives everything that it remembers, in pieces that never change, and returns the rest. Stateless operators have
    /// nothing to say.
    ///
    /// Called between epochs. A piece carries its rows the first time it is given; as long as it is listed again under
    /// its number, nothing of it has changed but which of its rows are alive.
    ///
    /// # Errors
    /// When a state can't be read, and what `give` fails with.
    fn snapshot(&mut self, give: Give<'_>) -> Result<Option<Memo>> {
        let _ = give;
        Ok(None)
    }

    /// Takes back what [`Operator::snapshot`] gave, all pieces with their rows, before the first batch.
    ///
    /// # Errors
    /// `Data` where the pieces are not of this operator's shape.
    fn restore(&mut self, snapshot: Snapshot) -> Result<()> {
        let _ = snapshot;
        Err(Error::internal(format!("{} has no state to restore", self.describe())))
    }

    /// What it remembers now.
    fn state_size(&self) -> StateSize {
        StateSize::default()
    }
}

/// The mark that holds for all inputs together.
pub fn combined(inputs: &[Marks]) -> Marks {
    match inputs {
        [] => Marks::end(),
        [one] => one.clone(),
        [first, rest @ ..] => rest.iter().fold(first.clone(), |marks, next| marks.min(next)),
    }
}
