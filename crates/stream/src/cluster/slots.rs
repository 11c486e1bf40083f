//! Slots: a fixed number of shares of all keys, so that state can move between any numbers of workers.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::physical_expr::PhysicalExpr;
use fyke_types::{Error, Result};

use crate::state::{Sealed, evaluate};
use crate::{Tagged, engine_error};

/// Shares of the keys. More workers than this are of no use.
pub const SLOTS: usize = 128;

/// Fixed for ever: two processes of one run must agree.
const SEED: u64 = 0x6679_6b65;

/// Which worker has a slot: contiguous ranges of equal size, give or take one.
pub fn worker_of(slot: usize, workers: usize) -> usize {
    slot * workers.clamp(1, SLOTS) / SLOTS
}

/// The slot of each row; rows without keys are in slot 0.
///
/// # Errors
/// For a type that can't be hashed.
pub fn slots_of(keys: &[ArrayRef], rows: usize) -> Result<Vec<u8>> {
    if keys.is_empty() {
        return Ok(vec![0; rows]);
    }
    let mut hashes = vec![0; rows];
    create_hashes(keys, &RandomState::with_seed(SEED), &mut hashes).map_err(engine_error)?;
    // the high bits: hash tables behind take the low ones
    Ok(hashes.into_iter().map(|hash| (hash >> 57) as u8).collect())
}

/// Rows on their way to an operator of another worker.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) to: usize,
    pub(crate) node: usize,
    pub(crate) port: usize,
    pub(crate) rows: Tagged,
}

/// Cuts rows by the worker that holds their keys.
#[derive(Debug)]
pub(crate) struct Router {
    me: usize,
    workers: usize,
    parcels: Vec<Parcel>,
}

impl Router {
    pub(crate) fn new(me: usize, workers: usize) -> Self {
        Self { me, workers, parcels: Vec::new() }
    }

    pub(crate) fn holds_keyless(&self) -> bool {
        worker_of(0, self.workers) == self.me
    }

    pub(crate) fn is_me(&self, worker: usize) -> bool {
        worker == self.me
    }

    /// Groups by the worker that holds their keys, as rows.
    pub(crate) fn split_groups(&self, groups: &Sealed) -> Result<Vec<(usize, RecordBatch)>> {
        by_worker(&groups.to_batch()?, &slots_of(&groups.keys, groups.rows)?, self.workers)
    }

    pub(crate) fn take(&mut self) -> Vec<Parcel> {
        std::mem::take(&mut self.parcels)
    }

    /// Gives the rows that stay here; the others leave as parcels.
    pub(crate) fn split(
        &mut self,
        node: usize,
        port: usize,
        keys: &[Arc<dyn PhysicalExpr>],
        rows: Tagged,
    ) -> Result<Option<Tagged>> {
        let keys = keys.iter().map(|key| evaluate(key, &rows.batch)).collect::<Result<Vec<_>>>()?;
        let slots = slots_of(&keys, rows.batch.num_rows())?;
        let mut own = None;
        for (to, batch) in by_worker(&rows.batch, &slots, self.workers)? {
            let rows = Tagged { customer: rows.customer, batch };
            if to == self.me {
                own = Some(rows);
            } else {
                self.parcels.push(Parcel { to, node, port, rows });
            }
        }
        Ok(own)
    }
}

/// The rows of each worker that has any.
pub(crate) fn by_worker(batch: &RecordBatch, slots: &[u8], workers: usize) -> Result<Vec<(usize, RecordBatch)>> {
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); workers];
    for (row, slot) in slots.iter().enumerate() {
        let Some(rows) = rows.get_mut(worker_of(usize::from(*slot), workers)) else {
            return Err(Error::internal(format!("slot {slot} has no worker")));
        };
        // batches hold far fewer than 2^32 rows
        rows.push(row as u32);
    }
    let some = rows.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
    some.map(|(worker, rows)| {
        let all = rows.len() == batch.num_rows();
        Ok((worker, if all { batch.clone() } else { take_record_batch(batch, &UInt32Array::from(rows))? }))
    })
    .collect()
}
