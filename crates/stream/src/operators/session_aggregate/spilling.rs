//! Sessions that go to disk and come back: see [`super::cold`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::row::RowConverter;
use fyke_types::{Micros, Result};

use super::cold::{Block, BlockAt};
use super::keys::hash;
use super::saved::SavedBatch;
use super::{Given, Grouping, KeyId, Part, SealedBatch, Sessions};
use crate::state::{PieceNumbers, Spill, Spilled};

/// A block has so many rows at least, if there are.
const LEAST_ROWS: usize = 256;

/// A part takes so many times the memory of its row on disk, with its key, its place and its timer.
const IN_MEMORY: usize = 3;

/// What sessions are made of.
#[derive(Clone, Copy)]
pub(super) struct Shape<'a> {
    pub(super) grouping: &'a Grouping,
    pub(super) converter: &'a RowConverter,
    pub(super) gap: Micros,
}

/// Some of all keys, by their hash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) number: usize,
    pub(super) of: usize,
}

impl Share {
    fn has(self, key: &[u8]) -> bool {
        self.of == 1 || hash(key) % self.of as u64 == self.number as u64
    }
}

impl Sessions {
    /// Moves about so many bytes to disk: what was sealed first, since its keys have been silent for longest. Returns the
    /// bytes of memory that are free now.
    pub(super) fn spill(
        &mut self,
        shape: Shape<'_>,
        numbers: &mut PieceNumbers,
        to: &Arc<Spill>,
        bytes: usize,
    ) -> Result<usize> {
        let before = self.bytes();
        if before < to.smallest() {
            return Ok(0);
        }
        self.seal(Micros::MAX, shape.gap, numbers)?;
        let of_a_part = (before / self.parts.max(1)).max(1);
        let mut chosen = self.coldest(bytes.div_ceil(of_a_part));
        if chosen.is_empty() {
            self.shrink(shape.gap);
            return Ok(before.saturating_sub(self.bytes()));
        }
        if chosen.len() * of_a_part < to.smallest() {
            return Ok(0);
        }
        chosen.sort_unstable_by_key(|(part, _)| part.last);
        let rows = (to.budget() / 64 / of_a_part).max(LEAST_ROWS);
        let (mut blocks, mut hashes) = (Vec::new(), Vec::with_capacity(chosen.len()));
        for parts in chosen.chunks(rows) {
            let number = numbers.take();
            let content = to.write(&self.rows_of(shape.grouping, parts, shape.converter)?)?;
            let first = parts.iter().map(|(part, _)| part.first).min().unwrap_or_default();
            let last = |part: Option<&(Part, KeyId)>| part.map_or(0, |(part, _)| part.last);
            blocks.push(Block::new(number, content, first, (last(parts.first()), last(parts.last()))));
            hashes.extend(parts.iter().map(|(_, key)| hash(self.keys.bytes(*key))));
        }
        self.cold.add(to, blocks, hashes)?;
        for (part, key) in &chosen {
            self.keys.lose_part(*key, part);
            self.leave(part);
            self.keys.release(*key);
        }
        self.shrink(shape.gap);
        Ok(before.saturating_sub(self.bytes()))
    }

    /// So many parts at least, if there are: whole sealed batches, the oldest first, and those that have come back from
    /// disk, since they close soon, last. Keys that are asked for early stay.
    fn coldest(&self, parts: usize) -> Vec<(Part, KeyId)> {
        let mut by_batch: BTreeMap<(bool, u64), Vec<(Part, KeyId)>> = BTreeMap::new();
        for key in self.keys.ids().into_iter().filter(|key| !self.dirty.keys.contains(key)) {
            for part in self.keys.parts(key) {
                let came_back = self.sealed.get(&part.batch).is_some_and(|batch| batch.came_back);
                by_batch.entry((came_back, part.batch)).or_default().push((*part, key));
            }
        }
        let mut chosen = Vec::new();
        for of_batch in by_batch.into_values() {
            if chosen.len() >= parts {
                break;
            }
            chosen.extend(of_batch);
        }
        chosen
    }

    /// Gives the memory of keys and timers back that no part needs any more. The panes were sealed before.
    fn shrink(&mut self, gap: Micros) {
        let moved = self.keys.shrink();
        self.dirty.keys = std::mem::take(&mut self.dirty.keys).into_iter().filter_map(|key| moved.of(key)).collect();
        let mut timers = BinaryHeap::with_capacity(self.parts);
        for key in self.keys.ids() {
            timers.extend(self.keys.parts(key).iter().map(|part| Reverse((part.last.saturating_add(gap), key))));
        }
        self.timers = timers;
    }

    /// In how many shares of the keys sessions on disk are closed that end before `limit`.
    pub(super) fn passes(&self, limit: Micros, gap: Micros) -> usize {
        let due: Vec<&Spilled> = self.due_blocks(limit, gap).map(|(_, block)| &block.rows).collect();
        let more = due.iter().map(|rows| rows.memory()).sum::<usize>() * (IN_MEMORY - 1) / 2;
        Spilled::passes(&due, more)
    }

    fn due_blocks(&self, limit: Micros, gap: Micros) -> impl Iterator<Item = (BlockAt, &Block)> {
        let is_due = move |block: &Block| limit == Micros::MAX || block.last.0.saturating_add(gap) < limit;
        self.cold.blocks().filter(move |(_, block)| is_due(block))
    }

    /// Brings back the keys of a share whose sessions may end before `limit`, and some more for later: so blocks are
    /// looked for seldom. Returns up to which end all of the share is here.
    pub(super) fn bring_due(
        &mut self,
        shape: Shape<'_>,
        numbers: &mut PieceNumbers,
        limit: Micros,
        share: Share,
    ) -> Result<Micros> {
        let mut due: Vec<(BlockAt, Micros)> =
            self.due_blocks(limit, shape.gap).map(|(at, block)| (at, block.last.1)).collect();
        if due.is_empty() {
            return Ok(limit);
        }
        let mut horizon = limit;
        if share.of == 1 && limit != Micros::MAX {
            let mut next: Vec<(Micros, usize, usize, BlockAt)> = self
                .cold
                .blocks()
                .filter(|(at, _)| !due.iter().any(|(other, _)| other == at))
                .map(|(at, block)| (block.last.0, block.rows.memory(), block.rows.budget() / 8, at))
                .collect();
            next.sort_unstable_by_key(|(least, ..)| *least);
            // what came for later before is on its way still
            let mut taken = IN_MEMORY * self.bytes_back();
            for (least, memory, room, at) in next {
                taken += IN_MEMORY * memory;
                if taken > room {
                    break;
                }
                horizon = horizon.max(least.saturating_add(shape.gap));
                due.push((at, least));
            }
        }
        for (at, _) in due {
            self.bring(shape, numbers, at, None, share)?;
        }
        self.cold.tidy();
        self.cold.note_weighed(self.bytes());
        Ok(horizon)
    }

    /// Bytes of what came back from disk, and is open.
    fn bytes_back(&self) -> usize {
        self.sealed.values().filter(|batch| batch.came_back).map(SealedBatch::bytes).sum()
    }

    /// Makes sure that of the keys whose sessions may end before `limit`, or which are `asked` for, nothing is on disk.
    pub(super) fn complete(
        &mut self,
        shape: Shape<'_>,
        numbers: &mut PieceNumbers,
        limit: Micros,
        asked: &[KeyId],
    ) -> Result<()> {
        if self.cold.is_empty() {
            return Ok(());
        }
        let ends = |part: &Part| limit == Micros::MAX || part.last.saturating_add(shape.gap) < limit;
        let ids = if limit == Micros::MIN { Vec::new() } else { self.keys.ids() };
        let of_limit = ids.into_iter().filter(|key| self.keys.parts(*key).iter().any(ends));
        let wanted: BTreeSet<KeyId> =
            of_limit.chain(asked.iter().copied()).filter(|key| !self.keys.is_whole(*key)).collect();
        let mut hashes: Vec<u64> = wanted.iter().map(|key| hash(self.keys.bytes(*key))).collect();
        hashes.sort_unstable();
        hashes.dedup();
        if hashes.is_empty() {
            return Ok(());
        }
        for run in 0..self.cold.runs() {
            for (at, rows) in self.cold.find(run, &hashes)? {
                self.bring(shape, numbers, at, Some(rows), Share { number: 0, of: 1 })?;
            }
            if self.parts > 4 * self.keys.len() + 4_096 {
                self.compact(shape.grouping, shape.gap, numbers)?;
            }
        }
        self.cold.tidy();
        wanted.into_iter().for_each(|key| self.keys.note_whole(key));
        Ok(())
    }

    /// Brings rows of a block back, or all of them, as far as their keys are in the share.
    fn bring(
        &mut self,
        shape: Shape<'_>,
        numbers: &mut PieceNumbers,
        at: BlockAt,
        rows: Option<Vec<u32>>,
        share: Share,
    ) -> Result<()> {
        let Some(block) = self.cold.block(at) else { return Ok(()) };
        let content = SavedBatch::read(&block.rows.read()?, shape.grouping.keys.len())?;
        let rows = rows.unwrap_or_else(|| (0..content.first.len() as u32).collect());
        let rows: Vec<u32> = rows.into_iter().filter(|row| block.is_alive(*row as usize)).collect();
        let converted = match content.keys.as_slice() {
            [] => None,
            keys => Some(shape.converter.convert_columns(keys)?),
        };
        let key_of = |row: u32| converted.as_ref().map_or(&[][..], |keys| keys.row(row as usize).data());
        let rows: Vec<u32> = rows.into_iter().filter(|row| share.has(key_of(*row))).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let batch = numbers.take();
        for (place, row) in rows.iter().enumerate() {
            let (first, last) = content.times(*row as usize);
            let key = self.keys.number(key_of(*row));
            self.keys.add_part(key, Part { first, last, batch, row: place });
            self.timers.push(Reverse((last.saturating_add(shape.gap), key)));
        }
        let picked = UInt32Array::from(rows.clone());
        let states = content.states.iter().map(|columns| {
            columns.iter().map(|column| Ok(take(column, &picked, None)?)).collect::<Result<Vec<ArrayRef>>>()
        });
        let states = states.collect::<Result<Vec<_>>>()?;
        self.parts += rows.len();
        let (open_parts, given) = (rows.len(), Given::Nothing);
        self.sealed.insert(batch, SealedBatch { states, open_parts, given, came_back: true });
        self.cold.forget(at, &rows);
        Ok(())
    }
}
