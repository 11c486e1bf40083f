//! The keys of open sessions: numbered, with their sealed parts, forgotten when nothing holds them.

use hashbrown::HashTable;

use fyke_types::Micros;

use super::Part;

/// A key's number, reused after the key is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u32);

#[derive(Default)]
struct Key {
    bytes: Box<[u8]>,
    parts: Vec<Part>,
    /// Open panes with rows of this key.
    panes: u32,
    used: bool,
    /// Whether nothing of it is on disk for sure.
    whole: bool,
}

/// The numbers that keys have after [`Keys::shrink`]; none: the same.
pub struct Moved(Option<Vec<Option<KeyId>>>);

impl Moved {
    /// The number of a key that had this one.
    pub fn of(&self, key: KeyId) -> Option<KeyId> {
        match &self.0 {
            Some(moved) => moved.get(key.0 as usize).copied().flatten(),
            None => Some(key),
        }
    }
}

/// All keys of a customer's open sessions.
#[derive(Default)]
pub struct Keys {
    slots: Vec<Key>,
    free: Vec<u32>,
    table: HashTable<u32>,
    key_bytes: usize,
}

/// Of a key, as long as the process lives.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::FixedState::default().hash_one(bytes)
}

impl Keys {
    /// How many keys are held.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// The number of a key, given or new.
    pub fn number(&mut self, bytes: &[u8]) -> KeyId {
        let hashed = hash(bytes);
        if let Some(id) = self.table.find(hashed, |id| *self.slots[*id as usize].bytes == *bytes) {
            return KeyId(*id);
        }
        let key = Key { bytes: bytes.into(), used: true, ..Key::default() };
        self.key_bytes += bytes.len();
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = key;
                id
            }
            None => {
                if self.slots.len() == self.slots.capacity() {
                    // not twice as many: a budget for memory is to be met
                    self.slots.reserve_exact(self.slots.len() / 4 + 16);
                }
                self.slots.push(key);
                (self.slots.len() - 1) as u32
            }
        };
        self.table.insert_unique(hashed, id, |id| hash(&self.slots[*id as usize].bytes));
        KeyId(id)
    }

    /// The key itself.
    pub fn bytes(&self, id: KeyId) -> &[u8] {
        &self.slots[id.0 as usize].bytes
    }

    /// Its sealed parts, earliest first.
    pub fn parts(&self, id: KeyId) -> &[Part] {
        &self.slots[id.0 as usize].parts
    }

    /// All keys at hand.
    pub fn ids(&self) -> Vec<KeyId> {
        let used = self.slots.iter().enumerate().filter(|(_, key)| key.used);
        used.map(|(id, _)| KeyId(id as u32)).collect()
    }

    /// Whether anything holds the key.
    pub fn is_held(&self, id: KeyId) -> bool {
        let slot = &self.slots[id.0 as usize];
        slot.used && (slot.panes > 0 || !slot.parts.is_empty())
    }

    /// A pane has rows of this key now.
    pub fn enter_pane(&mut self, id: KeyId) {
        self.slots[id.0 as usize].panes += 1;
    }

    /// A pane with rows of this key was sealed.
    pub fn leave_pane(&mut self, id: KeyId) {
        self.slots[id.0 as usize].panes -= 1;
    }

    /// Adds a sealed part.
    pub fn add_part(&mut self, id: KeyId, part: Part) {
        let parts = &mut self.slots[id.0 as usize].parts;
        let at = parts.partition_point(|other| *other < part);
        if parts.is_empty() {
            // most sessions have one part, and a vector's first growth is for four
            parts.reserve_exact(1);
        }
        parts.insert(at, part);
    }

    /// Takes away a part that lies elsewhere now.
    pub fn lose_part(&mut self, id: KeyId, part: &Part) {
        let slot = &mut self.slots[id.0 as usize];
        slot.parts.retain(|own| own != part);
        slot.whole = false;
    }

    /// Whether nothing of a key is on disk for sure.
    pub fn is_whole(&self, id: KeyId) -> bool {
        self.slots[id.0 as usize].whole
    }

    /// All of a key is here.
    pub fn note_whole(&mut self, id: KeyId) {
        self.slots[id.0 as usize].whole = true;
    }

    /// Gives the room of forgotten keys back, where it is more than half: keys have other numbers then. No pane is open.
    pub fn shrink(&mut self) -> Moved {
        if 2 * self.len() >= self.slots.len() {
            return Moved(None);
        }
        let mut moved = vec![None; self.slots.len()];
        let mut kept = Self::default();
        kept.slots.reserve_exact(self.len());
        for (old, key) in std::mem::take(self).slots.into_iter().enumerate().filter(|(_, key)| key.used) {
            let id = kept.slots.len() as u32;
            let hashed = hash(&key.bytes);
            kept.key_bytes += key.bytes.len();
            kept.slots.push(key);
            kept.table.insert_unique(hashed, id, |id| hash(&kept.slots[*id as usize].bytes));
            moved[old] = Some(KeyId(id));
        }
        *self = kept;
        Moved(Some(moved))
    }

    /// Takes away the runs of touching parts for which `ripe(first, last)` holds.
    pub fn take_runs(&mut self, id: KeyId, gap: Micros, ripe: impl Fn(Micros, Micros) -> bool) -> Vec<Vec<Part>> {
        let slot = &mut self.slots[id.0 as usize];
        let mut runs: Vec<Vec<Part>> = Vec::new();
        let mut last = Micros::MIN;
        for part in std::mem::take(&mut slot.parts) {
            match runs.last_mut() {
                Some(run) if part.first.saturating_sub(last) <= gap => run.push(part),
                _ => {
                    runs.push(vec![part]);
                    last = part.last;
                }
            }
            last = last.max(part.last);
        }
        let bounds = |run: &[Part]| {
            let first = run.iter().map(|part| part.first).min().unwrap_or_default();
            (first, run.iter().map(|part| part.last).max().unwrap_or_default())
        };
        let (taken, kept): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| {
            let (first, last) = bounds(run);
            ripe(first, last)
        });
        slot.parts = kept.into_iter().flatten().collect();
        taken
    }

    /// Forgets the key if nothing holds it.
    pub fn release(&mut self, id: KeyId) {
        let slot = &mut self.slots[id.0 as usize];
        if !slot.used || slot.panes > 0 || !slot.parts.is_empty() {
            return;
        }
        let hashed = hash(&slot.bytes);
        self.key_bytes -= slot.bytes.len();
        *slot = Key::default();
        if let Ok(entry) = self.table.find_entry(hashed, |other| *other == id.0) {
            entry.remove();
        }
        self.free.push(id.0);
    }

    /// Bytes of keys and slots.
    pub fn bytes_held(&self) -> usize {
        let free = self.free.capacity() * size_of::<u32>();
        self.key_bytes + free + self.slots.capacity() * size_of::<Key>() + self.table.capacity() * size_of::<u32>()
    }
}
