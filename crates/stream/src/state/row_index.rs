//! Which rows on disk a key may have: hashes with row numbers, sorted, in a file of which memory holds a hash for each
//! few hundred. So a key of which nothing is in memory is found for the price of a read.

use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use fyke_types::Result;

use super::Spill;
use super::spill::SpillFile;

/// So many entries are read at a time.
const BLOCK: usize = 512;
/// Bytes of an entry: hash and row.
const ENTRY: usize = 12;

/// See the module.
#[derive(Debug)]
pub struct RowIndex {
    file: SpillFile,
    /// The first hash of each block.
    fences: Vec<u64>,
    entries: usize,
}

impl RowIndex {
    /// Writes down which row has which hash.
    ///
    /// # Errors
    /// `Unavailable` where the disk fails.
    pub fn write(spill: &Arc<Spill>, mut entries: Vec<(u64, u32)>) -> Result<Self> {
        entries.sort_unstable();
        let fences = entries.iter().step_by(BLOCK).map(|(hash, _)| *hash).collect();
        let file = spill.file(|mut file| {
            for (hash, row) in &entries {
                file.write_all(&hash.to_le_bytes())?;
                file.write_all(&row.to_le_bytes())?;
            }
            Ok(file)
        })?;
        Ok(Self { file, fences, entries: entries.len() })
    }

    /// How many rows it knows of.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether it knows of none.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.fences.len() * size_of::<u64>()
    }

    /// The rows with these hashes, which are sorted; each part of the file is read once at most.
    ///
    /// # Errors
    /// `Unavailable` where the file can't be read.
    pub fn find(&self, hashes: &[u64]) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        let mut file = self.file.open()?;
        let mut at_hand: (usize, Vec<(u64, u32)>) = (usize::MAX, Vec::new());
        for hash in hashes {
            // equal hashes may begin in the block before the first that begins with them
            let mut block = self.fences.partition_point(|fence| fence < hash).saturating_sub(1);
            while self.fences.get(block).is_some_and(|fence| fence <= hash) {
                if at_hand.0 != block {
                    at_hand = (block, self.read(&mut file, block)?);
                }
                let from = at_hand.1.partition_point(|(other, _)| other < hash);
                found.extend(at_hand.1[from..].iter().take_while(|(other, _)| other == hash).map(|(_, row)| *row));
                block += 1;
            }
        }
        Ok(found)
    }

    /// All hashes with their rows.
    ///
    /// # Errors
    /// `Unavailable` where the file can't be read.
    pub fn all(&self) -> Result<Vec<(u64, u32)>> {
        let mut file = self.file.open()?;
        let mut all = Vec::with_capacity(self.entries);
        for block in 0..self.fences.len() {
            all.extend(self.read(&mut file, block)?);
        }
        Ok(all)
    }

    fn read(&self, file: &mut std::fs::File, block: usize) -> Result<Vec<(u64, u32)>> {
        let entries = BLOCK.min(self.entries - block * BLOCK);
        let mut bytes = vec![0; entries * ENTRY];
        file.seek(SeekFrom::Start((block * BLOCK * ENTRY) as u64))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|error| self.file.unreadable(&error))?;
        let entry = |bytes: &[u8]| {
            let (mut hash, mut row) = ([0; 8], [0; 4]);
            hash.copy_from_slice(&bytes[..8]);
            row.copy_from_slice(&bytes[8..]);
            (u64::from_le_bytes(hash), u32::from_le_bytes(row))
        };
        Ok(bytes.chunks_exact(ENTRY).map(entry).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_hash_wherever_they_lie() {
        let spill = Spill::open(None, 1 << 20).expect("opens");
        // a thousand rows of one hash, over several blocks, among others
        let entries: Vec<(u64, u32)> =
            (0..5_000u32).map(|row| (if row % 5 == 0 { 777 } else { u64::from(row) * 3 }, row)).collect();
        let index = RowIndex::write(&spill, entries.clone()).expect("written");
        for wanted in [vec![0], vec![3], vec![777], vec![3, 4, 777, 14_997], vec![9_999_999], vec![]] {
            let mut found = index.find(&wanted).expect("read");
            found.sort_unstable();
            let expected: Vec<u32> =
                entries.iter().filter(|(hash, _)| wanted.contains(hash)).map(|(_, row)| *row).collect();
            assert_eq!(found, expected, "{wanted:?}");
        }
        let mut all = index.all().expect("read");
        all.sort_unstable_by_key(|(_, row)| *row);
        assert_eq!((all, index.len()), (entries, 5_000));
        drop(index);
        assert_eq!(spill.on_disk(), 0);
    }
}
