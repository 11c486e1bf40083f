//! Numbers each distinct value once, from 0: a value that many groups share is stored once.

use std::hash::BuildHasher;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{DataFusionError, Result};
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::encode::{Encoded, Encoder, Value, mix};

/// Seed of the tables; its value does not show in any result.
const SEED: u64 = 0x66_79_6b_65;

/// The distinct values of one column type.
pub(super) struct Interner {
    encoder: Encoder,
    hasher: FixedState,
    table: HashTable<Slot>,
    store: Store,
}

/// Where a value stands in the table: a part of its hash, so that few values are compared, and its number.
#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    id: u32,
}

enum Store {
    Bits(Vec<u64>),
    Bytes { data: Vec<u8>, ends: Vec<usize> },
}

impl Store {
    fn new(encoder: &Encoder) -> Self {
        if encoder.holds_bits() { Self::Bits(Vec::new()) } else { Self::Bytes { data: Vec::new(), ends: Vec::new() } }
    }

    fn len(&self) -> usize {
        match self {
            Self::Bits(values) => values.len(),
            Self::Bytes { ends, .. } => ends.len(),
        }
    }

    fn bits(&self, id: u32) -> Option<u64> {
        match self {
            Self::Bits(values) => values.get(id as usize).copied(),
            Self::Bytes { .. } => None,
        }
    }

    fn bytes(&self, id: u32) -> Option<&[u8]> {
        match self {
            Self::Bits(_) => None,
            Self::Bytes { data, ends } => {
                let at = id as usize;
                let start = at.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or_default();
                data.get(start..*ends.get(at)?)
            }
        }
    }

    fn holds(&self, id: u32, value: Value<'_>) -> bool {
        match value {
            Value::Bits(bits) => self.bits(id) == Some(bits),
            Value::Bytes(bytes) => self.bytes(id) == Some(bytes),
        }
    }

    fn push(&mut self, value: Value<'_>) {
        match (self, value) {
            (Self::Bits(values), Value::Bits(bits)) => values.push(bits),
            (Self::Bytes { data, ends }, Value::Bytes(bytes)) => {
                data.extend_from_slice(bytes);
                ends.push(data.len());
            }
            // an encoder makes one kind of value, and chose the store
            _ => {}
        }
    }

    fn heap(&self) -> usize {
        match self {
            Self::Bits(values) => values.capacity() * size_of::<u64>(),
            Self::Bytes { data, ends } => data.capacity() + ends.capacity() * size_of::<usize>(),
        }
    }
}

/// The table wants its 64 bits spread; the slot keeps 32.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Interner {
    pub(super) fn new(encoder: Encoder) -> Self {
        let store = Store::new(&encoder);
        Self { encoder, hasher: FixedState::with_seed(SEED), table: HashTable::new(), store }
    }

    pub(super) fn empty(&self) -> Self {
        Self::new(self.encoder.clone())
    }

    /// Calls `use_id` with the tag and the value's number, for each (row, tag); the rows are not null.
    ///
    /// # Errors
    /// When the column has another type, or there are more than 2^32 distinct values.
    pub(super) fn intern<T>(
        &mut self,
        column: &ArrayRef,
        rows: impl Iterator<Item = (usize, T)>,
        mut use_id: impl FnMut(T, u32),
    ) -> Result<()> {
        let encoded: Encoded<'_> = self.encoder.encode(column)?;
        for (row, tag) in rows {
            use_id(tag, self.id(encoded.value(row))?);
        }
        Ok(())
    }

    fn id(&mut self, value: Value<'_>) -> Result<u32> {
        let hash = match value {
            Value::Bits(bits) => mix(bits) as u32,
            Value::Bytes(bytes) => self.hasher.hash_one(bytes) as u32,
        };
        let Self { table, store, .. } = self;
        let same = |slot: &Slot| slot.hash == hash && store.holds(slot.id, value);
        if let Some(slot) = table.find(spread(hash), same) {
            return Ok(slot.id);
        }
        let id = u32::try_from(store.len()).map_err(|_| too_many())?;
        table.insert_unique(spread(hash), Slot { hash, id }, |slot| spread(slot.hash));
        store.push(value);
        Ok(id)
    }

    /// The values of these numbers.
    pub(super) fn take(&self, ids: &[u32]) -> Result<ArrayRef> {
        match &self.store {
            Store::Bits(_) => {
                self.encoder.array_of_bits(&ids.iter().filter_map(|id| self.store.bits(*id)).collect::<Vec<_>>())
            }
            Store::Bytes { .. } => {
                self.encoder.array_of_bytes(&ids.iter().filter_map(|id| self.store.bytes(*id)).collect::<Vec<_>>())
            }
        }
    }

    /// Keeps the values whose place in `live` is true, and tells their new numbers (by the old; 0 for the dropped).
    pub(super) fn retain(&mut self, live: &[bool]) -> Vec<u32> {
        let is_live = |id: usize| live.get(id).copied().unwrap_or_default();
        let mut renumbered = Vec::with_capacity(self.store.len());
        let mut store = Store::new(&self.encoder);
        for id in 0..self.store.len() {
            renumbered.push(store.len() as u32);
            let old = id as u32;
            let value = self.store.bits(old).map(Value::Bits).or_else(|| self.store.bytes(old).map(Value::Bytes));
            if let (true, Some(value)) = (is_live(id), value) {
                store.push(value);
            }
        }
        let mut table = HashTable::with_capacity(store.len());
        for slot in &self.table {
            if let (true, Some(id)) = (is_live(slot.id as usize), renumbered.get(slot.id as usize)) {
                table.insert_unique(spread(slot.hash), Slot { id: *id, ..*slot }, |slot| spread(slot.hash));
            }
        }
        (self.table, self.store) = (table, store);
        renumbered
    }

    pub(super) fn len(&self) -> usize {
        self.store.len()
    }

    pub(super) fn heap(&self) -> usize {
        self.table.capacity() * (size_of::<Slot>() + 1) + self.store.heap()
    }
}

pub(super) fn too_many() -> DataFusionError {
    DataFusionError::ResourcesExhausted("an aggregate holds more than 2^32 distinct values or groups".into())
}
