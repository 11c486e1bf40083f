//! Rows of two inputs that wait for each other: kept in batches, found by key, forgotten when their time is over.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use fyke_types::{Micros, Result, WATERMARK_END};

mod keys;
mod rows;

pub use keys::{Entry, KeyId, Keys, RowAt};
pub use rows::KeptRows;

use super::{PieceNumbers, Spill};
use crate::{Customer, Give, Piece};
use rows::Moved;

/// Rows of one input.
#[derive(Default)]
struct Port {
    rows: KeptRows,
    /// When rows of a key are due; entries of rows that are gone do no harm.
    due: BinaryHeap<Reverse<(Micros, KeyId)>>,
    /// How many rows wait at each row time.
    times: BTreeMap<Micros, u32>,
}

/// New rows of one input, each with its key, its place in the order of the key, and the mark after which it is due.
pub struct Arrivals<'a> {
    /// The rows, all of which wait.
    pub rows: RecordBatch,
    /// By row.
    pub keys: Vec<&'a [u8]>,
    /// By row.
    pub at: Vec<Micros>,
    /// By row.
    pub until: Vec<Micros>,
    /// By row, where it matters: whether it has found a partner.
    pub matched: Option<Vec<bool>>,
}

/// What waits on both inputs, for one customer or for all.
#[derive(Default)]
pub struct Waiting {
    /// The keys of all rows.
    pub keys: Keys,
    ports: [Port; 2],
}

impl Waiting {
    /// Keeps rows.
    pub fn insert(&mut self, port: usize, number: u64, arrivals: Arrivals<'_>) {
        let Arrivals { rows, keys, at, until, matched } = arrivals;
        let ids: Vec<KeyId> = keys.into_iter().map(|key| self.keys.number(key)).collect();
        for (row, id) in ids.iter().enumerate() {
            self.enter(port, *id, Entry::new(at[row], until[row], number, row));
        }
        let span = (at.iter().copied().min().unwrap_or_default(), until.iter().copied().max().unwrap_or_default());
        self.ports[port].rows.add(number, rows, ids, span, matched);
    }

    fn enter(&mut self, port: usize, key: KeyId, entry: Entry) {
        self.keys.insert(port, key, entry);
        let side = &mut self.ports[port];
        side.due.push(Reverse((entry.until, key)));
        *side.times.entry(entry.at).or_default() += 1;
    }

    /// Takes back a piece of a snapshot, whose rows are `arrivals`.
    pub fn take_back(&mut self, piece: &Piece, arrivals: Arrivals<'_>) {
        let port = piece.place.port as usize % 2;
        let Arrivals { rows, keys, at, until, .. } = arrivals;
        let count = rows.num_rows();
        let ids: Vec<KeyId> = keys.into_iter().map(|key| self.keys.number(key)).collect();
        let dead: Vec<usize> = (0..count).filter(|row| !piece.is_alive(*row)).collect();
        for row in (0..count).filter(|row| piece.is_alive(*row)) {
            self.enter(port, ids[row], Entry::new(at[row], until[row], piece.number, row));
        }
        // keys of dead rows were numbered with the others
        dead.iter().for_each(|row| self.keys.release(ids[*row]));
        let matched = (piece.place.port >= 2).then(|| vec![true; count]);
        let side = &mut self.ports[port].rows;
        side.add(piece.number, rows, ids, (piece.place.start, piece.place.end), matched);
        if piece.kept {
            side.note_given(piece.number);
        }
        dead.into_iter().for_each(|row| side.remove(RowAt::new(piece.number, row)));
    }

    /// The rows of an input.
    pub fn rows(&self, port: usize) -> &KeptRows {
        &self.ports[port].rows
    }

    /// The rows of an input, to mark what has found a partner.
    pub fn rows_mut(&mut self, port: usize) -> &mut KeptRows {
        &mut self.ports[port].rows
    }

    /// The least row time that waits on an input.
    pub fn least(&self, port: usize) -> Option<Micros> {
        self.ports[port].times.keys().next().copied()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.ports.iter().all(|port| port.times.is_empty())
    }

    /// Keys with rows whose `until` lies behind `mark`, in that order, each once and no more until it gets new rows.
    pub fn due_keys(&mut self, port: usize, mark: Micros) -> Vec<KeyId> {
        let due = &mut self.ports[port].due;
        let mut keys = Vec::new();
        let mut seen = hashbrown::HashSet::with_hasher(foldhash::fast::FixedState::default());
        while let Some(Reverse((until, key))) = due.peek().copied() {
            if until >= mark && mark != WATERMARK_END {
                break;
            }
            due.pop();
            if seen.insert(key) {
                keys.push(key);
            }
        }
        keys
    }

    /// Takes the rows that are due out of their keys' lists; their content stays until [`Waiting::forget`].
    pub fn take_due(&mut self, port: usize, mark: Micros) -> Vec<(KeyId, Entry)> {
        let mut taken = Vec::new();
        for key in self.due_keys(port, mark) {
            self.take(port, key, |entry| entry.until < mark || mark == WATERMARK_END, &mut taken);
        }
        taken
    }

    /// Takes rows out of a key's list.
    pub fn take(&mut self, port: usize, key: KeyId, which: impl Fn(&Entry) -> bool, taken: &mut Vec<(KeyId, Entry)>) {
        let before = taken.len();
        taken.extend(self.keys.take(port, key, which).into_iter().map(|entry| (key, entry)));
        let times = &mut self.ports[port].times;
        for (_, entry) in &taken[before..] {
            if let Some(count) = times.get_mut(&entry.at) {
                *count -= 1;
                if *count == 0 {
                    times.remove(&entry.at);
                }
            }
        }
    }

    /// Forgets rows that were taken, and keys that have no others.
    pub fn forget(&mut self, port: usize, taken: &[(KeyId, Entry)]) {
        for (key, entry) in taken {
            self.ports[port].rows.remove(entry.row);
            self.keys.release(*key);
        }
    }

    /// Merges what is left of old batches, so that neither their number nor dead rows pile up.
    ///
    /// # Errors
    /// Arrow's.
    pub fn compact(&mut self, port: usize, numbers: &mut PieceNumbers) -> Result<()> {
        let moved = self.ports[port].rows.merge_poor(numbers)?;
        self.follow(port, moved);
        Ok(())
    }

    fn follow(&mut self, port: usize, moved: Option<Moved>) {
        let Some(moved) = moved else { return };
        let mut keys = moved.keys.clone();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            self.keys.rows_mut(port, key).iter_mut().for_each(|entry| moved.follow(&mut entry.row));
        }
    }

    /// Gives the rows as pieces of a snapshot, for [`Waiting::take_back`].
    ///
    /// # Errors
    /// What `give` fails with.
    pub fn give(&mut self, customer: Customer, numbers: &mut PieceNumbers, give: Give<'_>) -> Result<()> {
        for port in 0..self.ports.len() {
            let moved = self.ports[port].rows.separate_matched(numbers)?;
            self.follow(port, moved);
            self.ports[port].rows.give(customer, port, give)?;
        }
        Ok(())
    }

    /// Columns of these rows.
    ///
    /// # Errors
    /// Arrow's.
    pub fn pick(&self, port: usize, rows: &[RowAt]) -> Result<Vec<ArrayRef>> {
        self.ports[port].rows.pick(rows)
    }

    /// Moves the content of about so many bytes of rows to disk; keys and times stay. Returns the bytes of memory that are
    /// free now.
    ///
    /// # Errors
    /// `Unavailable` where the disk fails.
    pub fn spill(&mut self, to: &Arc<Spill>, bytes: usize) -> Result<usize> {
        let mut free = 0;
        for port in &mut self.ports {
            free += port.rows.spill(to, bytes.saturating_sub(free))?;
        }
        Ok(free)
    }

    /// How many rows wait.
    pub fn len(&self) -> usize {
        self.ports.iter().map(|port| port.rows.len()).sum()
    }

    /// Bytes of rows, keys and lists.
    pub fn bytes(&self) -> usize {
        // an entry in its key's list, one in the heap, one among the times
        const OF_A_ROW: usize = size_of::<Entry>() + size_of::<(Micros, KeyId)>() + 2 * size_of::<Micros>();
        self.keys.bytes() + self.len() * OF_A_ROW + self.ports.iter().map(|port| port.rows.bytes()).sum::<usize>()
    }
}
