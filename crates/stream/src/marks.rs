//! Watermarks as operators see them: one over all, one per customer.

use std::collections::BTreeMap;
use std::sync::Arc;

use fyke_types::{Micros, WATERMARK_END, WATERMARK_START};

use crate::Customer;

/// No row with an event time below the mark is expected any more.
#[derive(Debug, Clone)]
pub struct Marks {
    /// For groups that span customers.
    pub all: Micros,
    /// For groups that hold the customer; one that is missing has the mark over all.
    pub by: Arc<BTreeMap<Customer, Micros>>,
    /// Customers that have been silent for so long that their open windows close now, whatever the mark.
    pub silent: Arc<Vec<Customer>>,
}

impl Marks {
    /// The same mark for everybody.
    pub fn same(all: Micros) -> Self {
        Self { all, by: Arc::default(), silent: Arc::default() }
    }

    /// Nothing is closed.
    pub fn start() -> Self {
        Self::same(WATERMARK_START)
    }

    /// Everything is closed.
    pub fn end() -> Self {
        Self::same(WATERMARK_END)
    }

    /// The mark of a customer.
    pub fn of(&self, customer: Customer) -> Micros {
        self.by.get(&customer).copied().unwrap_or(self.all)
    }

    /// What holds for two inputs together.
    #[must_use]
    pub fn min(&self, other: &Self) -> Self {
        if self.by.is_empty() && other.by.is_empty() && self.silent.is_empty() && other.silent.is_empty() {
            return Self::same(self.all.min(other.all));
        }
        let customers = self.by.keys().chain(other.by.keys());
        let by = customers.map(|c| (*c, self.of(*c).min(other.of(*c)))).collect();
        // silent only if silent on both sides
        let silent = self.silent.iter().filter(|c| other.silent.contains(c)).copied().collect();
        Self { all: self.all.min(other.all), by: Arc::new(by), silent: Arc::new(silent) }
    }

    /// One unit lower: what a session operator promises, so that a chain never calls a session late that closed
    /// when the mark *passed* its end.
    #[must_use]
    pub fn one_lower(&self) -> Self {
        let lower = |mark: Micros| if mark == WATERMARK_END { mark } else { mark.saturating_sub(1) };
        Self {
            all: lower(self.all),
            by: Arc::new(self.by.iter().map(|(customer, mark)| (*customer, lower(*mark))).collect()),
            silent: Arc::clone(&self.silent),
        }
    }

    /// The mark over all, held down to what `holders` (customers with open state) have reached.
    #[must_use]
    pub fn held_by(mut self, holders: impl Iterator<Item = Customer>) -> Self {
        self.all = holders.map(|customer| self.of(customer)).fold(self.all, Micros::min);
        self
    }

    /// The marks held down to the least time of the rows that wait, by customer. Not `by_customer`: all rows follow the
    /// mark over all.
    #[must_use]
    pub fn held_at(self, waiting: impl Iterator<Item = (Customer, Micros)>, by_customer: bool) -> Self {
        let Self { mut all, by, silent } = self;
        if !by_customer {
            all = waiting.map(|(_, least)| least).fold(all, Micros::min);
            return Self { all, by: Arc::default(), silent };
        }
        let mut held = by.as_ref().clone();
        for (customer, least) in waiting {
            let mark = by.get(&customer).copied().unwrap_or(self.all).min(least);
            held.insert(customer, mark);
            all = all.min(mark);
        }
        Self { all, by: Arc::new(held), silent }
    }
}
