//! Begins checkpoints and says when they are durable, and reads the last one. One is on its way at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fyke_types::{Clock, Error, PartsOf, Result, Store};

use super::Every;
use super::flight::{Flight, Job, Kept, Published, remove_old};
use super::manifest::{Manifest, OperatorState, VERSION};
use super::segments;
use crate::{GiveOf, NodeState, Snapshot};

const MANIFESTS: &str = "manifests";
pub(super) const STATE: &str = "state";
/// Where sinks keep what can't be prepared at its place.
const SPOOL: &str = "spool";
/// A process that finds its claim taken looks again, so often.
const CLAIMS: usize = 5;

/// The checkpoints of one run.
#[derive(Debug)]
pub struct Keeper {
    store: Arc<dyn Store>,
    every: Every,
    clock: Arc<dyn Clock>,
    /// What tells this writer from others.
    process: String,
    /// The last one that is durable.
    manifest: Manifest,
    /// The checkpoint of an earlier process that this one goes on from.
    resumed_from: Option<u64>,
    kept: Kept,
    /// The one on its way.
    flight: Option<Flight>,
    /// Files written beside the checkpoint so far: see `beside.rs`.
    beside: u64,
}

impl Keeper {
    /// The checkpoints in `store`: goes on from the last one, or begins a run. From now on an older process that still
    /// writes there is deposed.
    ///
    /// # Errors
    /// `Data` for a corrupt manifest, `Unavailable` where the store can't be used or others take it all the time.
    pub fn open(store: Arc<dyn Store>, every: Every, clock: Arc<dyn Clock>) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (own, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let process = format!("{own}-{:x}-{count}", clock.now());
        for _ in 0..CLAIMS {
            if let Some(keeper) = Self::claim(&store, every, &clock, &process)? {
                return Ok(keeper);
            }
        }
        Err(deposed(store.as_ref()))
    }

    /// One attempt; none where another process wrote a manifest meanwhile.
    fn claim(store: &Arc<dyn Store>, every: Every, clock: &Arc<dyn Clock>, process: &str) -> Result<Option<Self>> {
        let (mut last, mut kept) = (None, Kept::new());
        let numbers = Self::numbers(store.as_ref())?;
        for number in &numbers {
            // one that is gone by now was removed by a process that still writes
            last = read_manifest(store.as_ref(), *number)?;
            last.iter().for_each(|manifest: &Manifest| _ = kept.insert(*number, files_of(manifest)));
        }
        if last.is_none() && !numbers.is_empty() {
            return Ok(None);
        }
        // a process that failed before its outputs were open has left nothing to go on from
        let resumed_from = last.as_ref().filter(|last| !last.sinks.is_empty()).map(|last| last.number);
        let now = clock.now();
        let manifest = last.unwrap_or_else(|| Manifest { run: format!("{now:x}"), ..Manifest::default() });
        let (store, clock, process) = (Arc::clone(store), Arc::clone(clock), process.to_owned());
        let mut keeper = Self { store, every, clock, process, manifest, resumed_from, kept, flight: None, beside: 0 };
        if keeper.manifest.complete {
            return Ok(Some(keeper));
        }
        let claim = Manifest { generation: keeper.manifest.generation + 1, ..keeper.manifest.clone() };
        let claim = keeper.numbered(claim);
        if !publish(keeper.store.as_ref(), &claim)? {
            return Ok(None);
        }
        keeper.kept.insert(claim.number, files_of(&claim));
        keeper.manifest = claim;
        remove_old(keeper.store.as_ref(), &mut keeper.kept)?;
        keeper.remove_unpublished()?;
        Ok(Some(keeper))
    }

    /// The last checkpoint in a store, if there is any.
    ///
    /// # Errors
    /// As [`Keeper::open`].
    pub fn last(store: &dyn Store) -> Result<Option<Manifest>> {
        Self::numbers(store)?.last().map(|number| Self::load(store, *number)).transpose()
    }

    /// The numbers of the checkpoints in a store, the oldest first.
    ///
    /// # Errors
    /// `Unavailable` when they can't be listed.
    pub fn numbers(store: &dyn Store) -> Result<Vec<u64>> {
        let names = store.names(MANIFESTS)?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect())
    }

    /// One checkpoint.
    ///
    /// # Errors
    /// `Data` where it is missing or corrupt.
    pub fn load(store: &dyn Store, number: u64) -> Result<Manifest> {
        read_manifest(store, number)?.ok_or_else(|| missing(store, &file_of(number)))
    }

    /// The last checkpoint that is durable. While one is on its way it says nothing of the operators.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The number of the checkpoint to go on from, if there is one.
    pub fn resumed_from(&self) -> Option<u64> {
        self.resumed_from
    }

    /// What sinks name their parts after; each output's name is to be put in.
    pub fn parts(&self) -> PartsOf {
        let Manifest { run, generation, .. } = &self.manifest;
        PartsOf {
            run: run.clone(),
            generation: *generation,
            resumed: self.resumed_from.is_some(),
            output: String::new(),
            spool: self.store.folder().map(|folder| folder.join(SPOOL)),
            every: match self.every {
                Every::Time(every) => Some(every),
                Every::Epochs(_) => None,
            },
        }
    }

    /// The number that the next checkpoint gets.
    pub fn next_number(&self) -> u64 {
        self.manifest.number + 1
    }

    /// Whether a checkpoint is on its way.
    pub fn is_busy(&self) -> bool {
        self.flight.is_some()
    }

    /// Whether it is time, and none is on its way.
    pub fn is_due(&self, epochs: u64) -> bool {
        !self.is_busy()
            && match self.every {
                Every::Time(every) => self.clock.now().saturating_sub(self.manifest.written_at) >= every,
                Every::Epochs(every) => epochs >= self.manifest.epochs + every,
            }
    }

    /// What an operator of the last checkpoint remembers, all pieces with their rows.
    ///
    /// # Errors
    /// `Data` for files that are missing or corrupt.
    pub fn state(&self, operator: &OperatorState) -> Result<Snapshot> {
        snapshot_of(self.store.as_ref(), operator)
    }

    /// Begins a checkpoint: `draft` says all but what the operators remember, which `snapshot` gives. It is durable once
    /// [`Keeper::settle`] says so; none may be on its way.
    ///
    /// # Errors
    /// What `snapshot` fails with.
    pub fn begin(
        &mut self,
        draft: Manifest,
        snapshot: impl FnOnce(GiveOf<'_>) -> Result<Vec<NodeState>>,
    ) -> Result<()> {
        let mut pieces = Vec::new();
        let nodes = snapshot(&mut |key, piece| {
            pieces.push((key.to_owned(), piece));
            Ok(())
        })?;
        let Manifest { run, generation, .. } = &self.manifest;
        let manifest =
            self.numbered(Manifest { run: run.clone(), generation: *generation, operators: Vec::new(), ..draft });
        let before = std::mem::take(&mut self.manifest.operators);
        let job = Job { store: Arc::clone(&self.store), manifest, nodes, pieces, before, kept: self.kept.clone() };
        self.flight = Some(match self.every {
            Every::Time(_) => Flight::in_thread(job)?,
            Every::Epochs(_) => Flight::Deferred(Box::new(job)),
        });
        Ok(())
    }

    /// Whether the checkpoint on its way is durable by now: true once for each. `wait`: until it is.
    ///
    /// # Errors
    /// `Unavailable` when it can't be written, or when another process has taken over.
    pub fn settle(&mut self, wait: bool) -> Result<bool> {
        let Some(flight) = self.flight.take_if(|flight| wait || flight.has_landed()) else { return Ok(false) };
        let Published { manifest, kept } = flight.end()?;
        (self.manifest, self.kept) = (manifest, kept);
        Ok(true)
    }

    /// Writes a checkpoint and waits for it.
    ///
    /// # Errors
    /// As [`Keeper::begin`] and [`Keeper::settle`].
    pub fn write(
        &mut self,
        draft: Manifest,
        snapshot: impl FnOnce(GiveOf<'_>) -> Result<Vec<NodeState>>,
    ) -> Result<()> {
        self.begin(draft, snapshot)?;
        self.settle(true).map(|_| ())
    }

    pub(super) fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    pub(super) fn next_beside(&mut self) -> u64 {
        self.beside += 1;
        self.beside
    }

    /// The next manifest.
    fn numbered(&self, manifest: Manifest) -> Manifest {
        Manifest {
            version: VERSION,
            written_by: format!("fyke {}", env!("CARGO_PKG_VERSION")),
            process: self.process.clone(),
            number: self.next_number(),
            written_at: self.clock.now(),
            ..manifest
        }
    }

    /// Removes what a process wrote that did not live to publish it; it can't do so any more.
    fn remove_unpublished(&self) -> Result<()> {
        for name in self.store.names(STATE)? {
            let file = format!("{STATE}/{name}");
            if !self.kept.values().any(|kept| kept.contains(&file)) {
                self.store.remove(&file)?;
            }
        }
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // whoever opens the store next in this process must not meet this one there
        self.flight.take().into_iter().for_each(|flight| _ = flight.end());
    }
}

/// Publishes a manifest; false where this process is deposed.
pub(super) fn publish(store: &dyn Store, manifest: &Manifest) -> Result<bool> {
    let file = file_of(manifest.number);
    if !store.create(&file, &manifest.to_bytes()?)? {
        return Ok(false);
    }
    // one that slept while another wrote several finds its number free again: those before it have been removed
    let newest = Keeper::numbers(store)?.pop();
    if newest.is_some_and(|newest| newest > manifest.number) {
        store.remove(&file)?;
        return Ok(false);
    }
    Ok(true)
}

pub(super) fn deposed(store: &dyn Store) -> Error {
    Error::unavailable(format!("another process has taken over the checkpoint {}", store.place("")))
        .hint("one run has one process that writes its checkpoints: stop the other one, or give another --checkpoint")
}

fn missing(store: &dyn Store, file: &str) -> Error {
    Error::data(format!("{} is missing", store.place(file)))
        .hint("was it removed by hand? Start over with another --checkpoint and output")
}

fn read_manifest(store: &dyn Store, number: u64) -> Result<Option<Manifest>> {
    let file = file_of(number);
    store.read(&file, None)?.map(|bytes| Manifest::from_bytes(&bytes, &store.place(&file))).transpose()
}

/// What an operator of a checkpoint remembers, all pieces with their rows.
///
/// # Errors
/// `Data` for files that are missing or corrupt.
pub fn snapshot_of(store: &dyn Store, operator: &OperatorState) -> Result<Snapshot> {
    let mut rows = BTreeMap::new();
    for segment in &operator.segments {
        let range = segment.offset..segment.offset.saturating_add(segment.bytes);
        let Some(bytes) = store.read(&segment.file, Some(range))? else { return Err(missing(store, &segment.file)) };
        rows.extend(segments::read(segment, &bytes)?);
    }
    let mut snapshot = Snapshot { memo: operator.memo.clone(), ..Snapshot::default() };
    for piece in &operator.pieces {
        let Some(rows) = rows.remove(&piece.number) else {
            return Err(Error::data(format!("the checkpoint has no rows of piece {}", piece.number))
                .detail(operator.describe.clone()));
        };
        snapshot.pieces.push(segments::restored(piece, rows)?);
    }
    Ok(snapshot)
}

pub(super) fn files_of(manifest: &Manifest) -> BTreeSet<String> {
    manifest.operators.iter().flat_map(|o| &o.segments).map(|segment| segment.file.clone()).collect()
}

pub(super) fn file_of(number: u64) -> String {
    format!("{MANIFESTS}/{number:012}.json")
}
