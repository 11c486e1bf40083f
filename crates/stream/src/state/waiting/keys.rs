//! The keys of waiting rows: numbered, each with its rows of both inputs, forgotten when none is left.

use fyke_types::Micros;
use hashbrown::HashTable;

/// A key's number, reused after the key is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u32);

/// Where a row lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowAt {
    /// The number of its batch.
    pub batch: u64,
    /// The row in it.
    pub row: u32,
}

impl RowAt {
    /// A row of a batch; batches hold far fewer than 2^32 rows.
    pub fn new(batch: u64, row: usize) -> Self {
        Self { batch, row: row as u32 }
    }
}

/// A row that waits.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its place in the order of its key's rows.
    pub at: Micros,
    /// The last mark at which it still waits.
    pub until: Micros,
    /// Its content.
    pub row: RowAt,
}

impl Entry {
    /// An entry of a row.
    pub fn new(at: Micros, until: Micros, batch: u64, row: usize) -> Self {
        Self { at, until, row: RowAt::new(batch, row) }
    }
}

#[derive(Default)]
struct Slot {
    bytes: Box<[u8]>,
    /// By input, earliest first.
    rows: [Vec<Entry>; 2],
    used: bool,
}

/// See the module.
#[derive(Default)]
pub struct Keys {
    slots: Vec<Slot>,
    free: Vec<u32>,
    table: HashTable<u32>,
    key_bytes: usize,
}

fn hash(bytes: &[u8]) -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::FixedState::default().hash_one(bytes)
}

impl Keys {
    /// The number of a key that has rows.
    pub fn find(&self, bytes: &[u8]) -> Option<KeyId> {
        self.table.find(hash(bytes), |id| *self.slots[*id as usize].bytes == *bytes).map(|id| KeyId(*id))
    }

    /// The number of a key, given or new.
    pub(super) fn number(&mut self, bytes: &[u8]) -> KeyId {
        if let Some(known) = self.find(bytes) {
            return known;
        }
        let slot = Slot { bytes: bytes.into(), used: true, ..Slot::default() };
        self.key_bytes += bytes.len();
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = slot;
                id
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.table.insert_unique(hash(bytes), id, |id| hash(&self.slots[*id as usize].bytes));
        KeyId(id)
    }

    /// The rows of a key on an input, earliest first.
    pub fn rows(&self, port: usize, id: KeyId) -> &[Entry] {
        &self.slots[id.0 as usize].rows[port]
    }

    pub(super) fn rows_mut(&mut self, port: usize, id: KeyId) -> &mut [Entry] {
        &mut self.slots[id.0 as usize].rows[port]
    }

    pub(super) fn insert(&mut self, port: usize, id: KeyId, entry: Entry) {
        let rows = &mut self.slots[id.0 as usize].rows[port];
        // mostly the last one
        let place = rows.partition_point(|other| other.at <= entry.at);
        rows.insert(place, entry);
    }

    pub(super) fn take(&mut self, port: usize, id: KeyId, which: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let rows = &mut self.slots[id.0 as usize].rows[port];
        rows.extract_if(.., |entry| which(entry)).collect()
    }

    /// Forgets a key that has no rows.
    pub(super) fn release(&mut self, id: KeyId) {
        let slot = &mut self.slots[id.0 as usize];
        if !slot.used || slot.rows.iter().any(|rows| !rows.is_empty()) {
            return;
        }
        let bytes = std::mem::take(slot).bytes;
        self.key_bytes -= bytes.len();
        if let Ok(entry) = self.table.find_entry(hash(&bytes), |other| *other == id.0) {
            entry.remove();
        }
        self.free.push(id.0);
    }

    pub(super) fn bytes(&self) -> usize {
        self.key_bytes + self.slots.len() * (size_of::<Slot>() + size_of::<u32>())
    }
}
