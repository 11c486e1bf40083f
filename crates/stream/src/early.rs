//! Update mode: what open windows would give if they closed now.
//!
//! Every so often the graph is walked once more, in its order. Operators that remember rows say what would come of
//! them; those without memory treat these rows as any others; at the end [`crate::operators::Upserts`] compares them
//! with what it gave before. Nothing that an operator remembers changes by being asked, so final rows stay what they
//! are without update mode.

use std::collections::BTreeSet;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use fyke_types::Result;

use crate::{Customer, Tagged};

/// Whose rows are wanted.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Customers of whom something changed since the last time; none: all.
    pub customers: Option<BTreeSet<Customer>>,
}

impl Ask {
    /// Whether rows of this customer are wanted; [`Customer::ALL`] is where anybody's are.
    pub fn is_for(&self, customer: Customer) -> bool {
        match &self.customers {
            None => true,
            Some(some) if customer == Customer::ALL => !some.is_empty(),
            Some(some) => some.contains(&customer),
        }
    }
}

/// Groups that changed.
#[derive(Debug, Clone)]
pub struct Touched {
    /// Whose.
    pub customer: Customer,
    /// How many.
    pub rows: usize,
    /// The group's keys in the order of `GROUP BY`; a window as its start and end, a session not at all, since a
    /// session's bounds move: all open sessions of such a key are at hand.
    pub keys: Vec<ArrayRef>,
}

/// For what rows are complete: whatever was said of it before and is not among them is no longer true.
#[derive(Debug, Clone)]
pub enum Scope {
    /// All open windows of the customers that were asked for.
    Customers,
    /// These groups.
    Groups(Vec<Touched>),
}

/// Early rows.
#[derive(Debug, Clone)]
pub struct Early {
    /// As they would come if all open windows closed now.
    pub rows: Vec<Tagged>,
    /// What they are complete for.
    pub scope: Scope,
}

impl Early {
    /// No rows of nobody.
    pub fn nothing() -> Self {
        Self { rows: Vec::new(), scope: Scope::Groups(Vec::new()) }
    }
}

/// What update mode gives an output before windows close.
#[derive(Debug, Default)]
pub struct EarlyRows {
    /// Keys whose rows are no longer true: to be deleted first.
    pub deletes: Vec<RecordBatch>,
    /// Rows, each in the place of the one of the same key.
    pub upserts: Vec<RecordBatch>,
    /// Keys of `upserts` that were not given before, by customer.
    pub new_keys: Vec<(Customer, RecordBatch)>,
}

/// An operator that remembers rows, in update mode.
pub trait EarlyOperator {
    /// Said once, before the first row. `whole`: operators behind need all rows of a customer's open windows, not only
    /// those of changed groups.
    fn begin_early(&mut self, whole: bool);

    /// Customers of whom something changed since the last call.
    fn take_changed(&mut self) -> BTreeSet<Customer>;

    /// Whether rows of several customers meet here, so that a change of one may change what all give.
    fn spans_customers(&self) -> bool;

    /// What would come. `inputs` has the early rows of each port, on top of what this operator remembers.
    ///
    /// # Errors
    /// When an expression fails on the data.
    fn early(&mut self, inputs: Vec<Early>, ask: &Ask) -> Result<Early>;

    /// An end of the graph alone: an earlier process may have given these keys early after its last checkpoint.
    ///
    /// # Errors
    /// When they are not of its columns.
    fn recall(&mut self, customer: Customer, keys: &RecordBatch) -> Result<()> {
        let _ = (customer, keys);
        Ok(())
    }
}
