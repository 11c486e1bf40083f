//! The operator promise: runtime-neutral, synchronous, driven by whoever holds it.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::physical_expr::PhysicalExpr;
use fyke_types::{Error, Micros, Result};

use crate::state::{Sealed, Spill};
use crate::{Customer, EarlyOperator, Marks, Memo, Piece, Place, Snapshot};

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

/// Which worker an operator's rows must come to, where there are many.
#[derive(Debug, Clone)]
pub enum Route {
    /// Whichever has them: the operator looks at each row alone.
    Here,
    /// The one that holds the slot of these values; without any, one worker gets all rows.
    By(Vec<Arc<dyn PhysicalExpr>>),
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

    /// Where the rows of an input port must come together. All in one place is always right.
    fn route(&self, port: usize) -> Route {
        let _ = port;
        Route::By(Vec::new())
    }

    /// The values by which rows of a snapshot's piece were routed: of the same number and types as [`Operator::route`]
    /// gives. The key columns `k` of grouped state, unless the operator says otherwise.
    ///
    /// # Errors
    /// When they can't be computed.
    fn saved_keys(&self, port: usize, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let _ = port;
        let schema = rows.schema();
        let keys = schema.fields().iter().zip(rows.columns()).filter(|(field, _)| field.name() == "k");
        Ok(keys.map(|(_, column)| ArrayRef::clone(column)).collect())
    }

    /// Said once, before the first rows, where there are many workers: whether rows without keys come to this one.
    fn assigned(&mut self, holds_keyless: bool) {
        let _ = holds_keyless;
    }

    /// Up to where windows were closed ahead of the watermark, since their customer fell silent: rows before it may be
    /// late although the watermark has not passed them.
    fn closed_ahead(&self) -> Vec<(Customer, Micros)> {
        Vec::new()
    }

    /// Windows of a customer are closed up to `to`, as [`Operator::closed_ahead`] of another worker has it: that they are
    /// does not depend on which worker has a key.
    fn close_ahead(&mut self, customer: Customer, to: Micros) {
        let _ = (customer, to);
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

    /// Its other face in update mode, if it remembers rows and can say what they would give now.
    fn as_early(&mut self) -> Option<&mut dyn EarlyOperator> {
        None
    }

    /// Its other face where there are many workers, if it can aggregate rows where they are and send states instead.
    fn as_gatherer(&mut self) -> Option<&mut dyn Gatherer> {
        None
    }

    /// Moves about so many bytes of what it remembers to disk, if it can; returns the bytes of memory that are free now.
    /// No row that it gives depends on it.
    ///
    /// # Errors
    /// `Unavailable` where the disk fails.
    fn spill(&mut self, to: &Arc<Spill>, bytes: usize) -> Result<usize> {
        let _ = (to, bytes);
        Ok(0)
    }

    /// What it remembers in memory now.
    fn state_size(&self) -> StateSize {
        StateSize::default()
    }
}

/// An operator that several workers carry out, each for some keys: what it does with rows of others' keys.
pub trait Gatherer {
    /// Aggregates rows, whoever holds their keys, until the epoch closes. False: it is not worth it, rows are to travel.
    /// Late rows are found here as their worker would find them.
    ///
    /// # Errors
    /// When an expression fails on the data.
    fn gather(&mut self, rows: &Tagged, out: &mut Output) -> Result<bool>;

    /// What was gathered in this epoch; [`Sealed::keys`] are the values of [`Operator::route`].
    ///
    /// # Errors
    /// The accumulators'.
    fn leave(&mut self) -> Result<Vec<(Place, Sealed)>>;

    /// Takes groups of its own keys that some worker has gathered.
    ///
    /// # Errors
    /// The accumulators'.
    fn arrive(&mut self, place: Place, groups: &Sealed) -> Result<()>;
}

/// The mark that holds for all inputs together.
pub fn combined(inputs: &[Marks]) -> Marks {
    match inputs {
        [] => Marks::end(),
        [one] => one.clone(),
        [first, rest @ ..] => rest.iter().fold(first.clone(), |marks, next| marks.min(next)),
    }
}
