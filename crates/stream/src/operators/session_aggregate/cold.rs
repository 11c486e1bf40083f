//! Parts of sessions on disk, where memory has no room for them.
//!
//! Memory keeps nothing for each of them: blocks of rows lie in the order in which the parts end, and come back when the
//! first of their sessions may close. A key of which something is in memory may have more parts on disk; an index of
//! hashes finds them when its session is about to close, or when it must be known whether it is open.

use std::sync::Arc;

use datafusion::arrow::array::BooleanBufferBuilder;
use fyke_types::{Micros, Result};

use crate::state::{RowIndex, Spill, Spilled};
use crate::{Customer, Give, Piece, Place};

/// More indexes than this are merged, the small ones first.
const RUNS: usize = 32;

/// Rows that were written together, a part each, in the order of their last events.
pub(super) struct Block {
    pub(super) number: u64,
    pub(super) rows: Spilled,
    /// Of the first events.
    pub(super) first: Micros,
    /// The least and the greatest of the last events.
    pub(super) last: (Micros, Micros),
    /// None: all of them.
    alive: Option<BooleanBufferBuilder>,
    alive_count: usize,
    /// Whether a snapshot has given it already.
    given: bool,
}

impl Block {
    pub(super) fn new(number: u64, rows: Spilled, first: Micros, last: (Micros, Micros)) -> Self {
        let alive_count = rows.rows();
        Self { number, rows, first, last, alive: None, alive_count, given: false }
    }

    pub(super) fn is_alive(&self, row: usize) -> bool {
        self.alive.as_ref().is_none_or(|alive| alive.get_bit(row))
    }

    fn forget(&mut self, rows: &[u32]) {
        let count = self.rows.rows();
        let alive = self.alive.get_or_insert_with(|| {
            let mut all = BooleanBufferBuilder::new(count);
            all.append_n(count, true);
            all
        });
        for row in rows.iter().filter(|row| (**row as usize) < count) {
            self.alive_count -= usize::from(alive.get_bit(*row as usize));
            alive.set_bit(*row as usize, false);
        }
    }

    fn give(&mut self, customer: Customer, gap: Micros, give: Give<'_>) -> Result<()> {
        let place = Place { customer, port: 0, start: self.first, end: self.last.1.saturating_add(gap) };
        let rows = if self.given { None } else { Some(self.rows.read()?) };
        self.given = true;
        let alive = self.alive.as_ref().map(BooleanBufferBuilder::finish_cloned);
        give(Piece { number: self.number, place, rows, alive, kept: false })
    }
}

/// Blocks that share an index.
pub(super) struct Run {
    /// With the number that the index gives to their first row; none: nothing of it is alive.
    blocks: Vec<(u32, Option<Block>)>,
    index: RowIndex,
}

/// Where a block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockAt {
    run: usize,
    block: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct Cold {
    runs: Vec<Run>,
    /// Where it lies.
    spill: Option<Arc<Spill>>,
}

impl Cold {
    /// Sessions take so many bytes of memory when some of them have come back.
    pub(super) fn note_weighed(&self, bytes: usize) {
        if let Some(spill) = &self.spill {
            spill.note_weighed(bytes);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many parts.
    pub(super) fn parts(&self) -> usize {
        self.blocks().map(|(_, block)| block.alive_count).sum()
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        let of_block =
            |block: &Block| size_of::<Block>() + block.alive.as_ref().map_or(0, |alive| alive.len().div_ceil(8));
        self.runs.iter().map(|run| run.index.bytes()).sum::<usize>()
            + self.blocks().map(|(_, block)| of_block(block)).sum::<usize>()
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = (BlockAt, &Block)> {
        self.runs.iter().enumerate().flat_map(|(run, Run { blocks, .. })| {
            let alive = blocks.iter().enumerate().filter_map(|(at, (_, block))| Some((at, block.as_ref()?)));
            alive.map(move |(block, content)| (BlockAt { run, block }, content))
        })
    }

    pub(super) fn block(&self, at: BlockAt) -> Option<&Block> {
        self.runs.get(at.run)?.blocks.get(at.block)?.1.as_ref()
    }

    /// Adds blocks, and the hash of the key of each of their rows.
    pub(super) fn add(&mut self, spill: &Arc<Spill>, blocks: Vec<Block>, hashes: Vec<u64>) -> Result<()> {
        let index = RowIndex::write(spill, hashes.into_iter().zip(0..).collect())?;
        let mut next = 0;
        let numbered = blocks.into_iter().map(|block| {
            let first = next;
            // a run has far fewer than 2^32 rows
            next += block.rows.rows() as u32;
            (first, Some(block))
        });
        self.runs.push(Run { blocks: numbered.collect(), index });
        self.spill = Some(Arc::clone(spill));
        if self.runs.len() > RUNS { self.merge_small(spill) } else { Ok(()) }
    }

    /// Merges the smaller half of the indexes; their blocks stay as they are.
    fn merge_small(&mut self, spill: &Arc<Spill>) -> Result<()> {
        self.runs.sort_by_key(|run| std::cmp::Reverse(run.index.len()));
        let (mut blocks, mut entries, mut begin) = (Vec::new(), Vec::new(), 0u32);
        for run in self.runs.split_off(RUNS / 2) {
            let alive = |row: u32| {
                let at = run.blocks.partition_point(|(first, _)| *first <= row).saturating_sub(1);
                let block = run.blocks.get(at);
                block.is_some_and(|(first, block)| block.as_ref().is_some_and(|b| b.is_alive((row - first) as usize)))
            };
            let own = run.index.all()?.into_iter().filter(|(_, row)| alive(*row));
            // blocks of which nothing is alive keep their room until the end, so that rows keep their distance
            entries.extend(own.map(|(hash, row)| (hash, begin + row)));
            let rows = run.index_end();
            blocks.extend(run.blocks.into_iter().map(|(first, block)| (begin + first, block)));
            begin += rows;
        }
        blocks.retain(|(_, block)| block.is_some());
        self.runs.push(Run { blocks, index: RowIndex::write(spill, entries)? });
        Ok(())
    }

    /// The alive rows of keys with these hashes, which are sorted, by block; more than those of the keys alone, maybe.
    pub(super) fn find(&self, run: usize, hashes: &[u64]) -> Result<Vec<(BlockAt, Vec<u32>)>> {
        let Some(Run { blocks, index }) = self.runs.get(run) else { return Ok(Vec::new()) };
        let mut rows = index.find(hashes)?;
        rows.sort_unstable();
        let mut found: Vec<(BlockAt, Vec<u32>)> = Vec::new();
        for row in rows {
            let block = blocks.partition_point(|(first, _)| *first <= row).saturating_sub(1);
            let Some((first, Some(content))) = blocks.get(block) else { continue };
            let row = row - first;
            if row as usize >= content.rows.rows() || !content.is_alive(row as usize) {
                continue;
            }
            match found.last_mut() {
                Some((at, rows)) if at.block == block => rows.push(row),
                _ => found.push((BlockAt { run, block }, vec![row])),
            }
        }
        Ok(found)
    }

    /// How many indexes there are.
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Rows of a block are in memory again.
    pub(super) fn forget(&mut self, at: BlockAt, rows: &[u32]) {
        let Some((_, place)) = self.runs.get_mut(at.run).and_then(|run| run.blocks.get_mut(at.block)) else { return };
        if let Some(block) = place {
            block.forget(rows);
            if block.alive_count == 0 {
                *place = None;
            }
        }
    }

    /// Forgets indexes of which nothing is alive: blocks stand elsewhere afterwards.
    pub(super) fn tidy(&mut self) {
        self.runs.retain(|run| run.blocks.iter().any(|(_, block)| block.is_some()));
    }

    pub(super) fn give(&mut self, customer: Customer, gap: Micros, give: Give<'_>) -> Result<()> {
        let blocks = self.runs.iter_mut().flat_map(|run| &mut run.blocks);
        blocks.filter_map(|(_, block)| block.as_mut()).try_for_each(|block| block.give(customer, gap, give))
    }
}

impl Run {
    /// The number behind that of its last row.
    fn index_end(&self) -> u32 {
        let end = |(first, block): &(u32, Option<Block>)| first + block.as_ref().map_or(0, |b| b.rows.rows() as u32);
        self.blocks.iter().map(end).max().unwrap_or(0)
    }
}
