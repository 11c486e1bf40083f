//! Customers as small numbers.

use std::sync::Arc;

use hashbrown::HashMap;

/// A customer of this run, or [`Customer::ALL`] where rows of several stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Customer(pub u32);

impl Customer {
    /// Rows of any customer: their operator follows the watermark over all.
    pub const ALL: Self = Self(u32::MAX);
}

/// The names behind the numbers, shared by all sources of a run.
#[derive(Debug, Default)]
pub struct Customers {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, Customer, foldhash::fast::FixedState>,
}

impl Customers {
    /// The number of a name; a new name gets the next one.
    pub fn number(&mut self, name: &str) -> Customer {
        if let Some(customer) = self.numbers.get(name) {
            return *customer;
        }
        let name: Arc<str> = name.into();
        // u32::MAX customers would not fit into memory anyway
        let customer = Customer(u32::try_from(self.names.len()).unwrap_or(u32::MAX - 1));
        self.names.push(Arc::clone(&name));
        self.numbers.insert(name, customer);
        customer
    }

    /// All names, in the order of their numbers.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The name of a number.
    pub fn name(&self, customer: Customer) -> Option<&Arc<str>> {
        self.names.get(customer.0 as usize)
    }
}
