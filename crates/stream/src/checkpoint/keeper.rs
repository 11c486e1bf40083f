//! Writes checkpoints, reads the last one, and removes what none needs any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fyke_types::{Clock, Error, PartsOf, Result};

use super::manifest::{Manifest, OperatorState, Segment, VERSION};
use super::segments::{self, StateWriter, Written};
use super::{Every, Folder};
use crate::{GiveOf, NodeState, Snapshot};

const MANIFESTS: &str = "manifests";
const STATE: &str = "state";
/// Of so many manifests the state is kept: the newest, and one to go back to.
const KEPT: usize = 2;

/// The checkpoints of one run.
#[derive(Debug)]
pub struct Keeper {
    folder: Folder,
    every: Every,
    clock: Arc<dyn Clock>,
    /// The last one.
    manifest: Manifest,
    /// The checkpoint of an earlier process that this one goes on from.
    resumed_from: Option<u64>,
    /// Files of older manifests, by number.
    kept: BTreeMap<u64, BTreeSet<String>>,
}

impl Keeper {
    /// The checkpoints in `folder`: goes on from the last one, or begins a run. From now on an older process that still
    /// writes there is deposed.
    ///
    /// # Errors
    /// `Data` for a corrupt manifest, `Unavailable` where the folder can't be used or another process takes it now.
    pub fn open(folder: Folder, every: Every, clock: Arc<dyn Clock>) -> Result<Self> {
        let last = Self::last(&folder)?;
        // a process that failed before its outputs were open has left nothing to go on from
        let resumed_from = last.as_ref().filter(|last| !last.sinks.is_empty()).map(|last| last.number);
        let now = clock.now();
        let manifest = last.unwrap_or_else(|| Manifest { run: format!("{now:x}"), ..Manifest::default() });
        let mut keeper = Self { folder, every, clock, manifest, resumed_from, kept: BTreeMap::new() };
        for number in Self::numbers(&keeper.folder)? {
            let manifest = Self::load(&keeper.folder, number)?;
            keeper.kept.insert(number, files_of(&manifest));
        }
        if !keeper.manifest.complete {
            let claim = Manifest { generation: keeper.manifest.generation + 1, ..keeper.manifest.clone() };
            keeper.publish(claim)?;
            keeper.remove_unpublished()?;
        }
        Ok(keeper)
    }

    /// The last checkpoint in `folder`, if there is any.
    ///
    /// # Errors
    /// As [`Keeper::open`].
    pub fn last(folder: &Folder) -> Result<Option<Manifest>> {
        Self::numbers(folder)?.last().map(|number| Self::load(folder, *number)).transpose()
    }

    /// The numbers of the checkpoints in `folder`, the oldest first.
    ///
    /// # Errors
    /// `Unavailable` when the folder can't be read.
    pub fn numbers(folder: &Folder) -> Result<Vec<u64>> {
        let names = folder.names(MANIFESTS)?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect())
    }

    /// One checkpoint.
    ///
    /// # Errors
    /// `Data` where it is missing or corrupt.
    pub fn load(folder: &Folder, number: u64) -> Result<Manifest> {
        let file = file_of(number);
        Manifest::from_bytes(&folder.read(&file)?, &folder.path().join(&file).display().to_string())
    }

    /// The last checkpoint.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The number of the checkpoint to go on from, if there is one.
    pub fn resumed_from(&self) -> Option<u64> {
        self.resumed_from
    }

    /// What sinks name their parts after.
    pub fn parts(&self) -> PartsOf {
        let Manifest { run, generation, .. } = &self.manifest;
        PartsOf { run: run.clone(), generation: *generation, resumed: self.resumed_from.is_some() }
    }

    /// The number that the next checkpoint gets.
    pub fn next_number(&self) -> u64 {
        self.manifest.number + 1
    }

    /// Whether it is time.
    pub fn is_due(&self, epochs: u64) -> bool {
        match self.every {
            Every::Time(every) => self.clock.now().saturating_sub(self.manifest.written_at) >= every,
            Every::Epochs(every) => epochs >= self.manifest.epochs + every,
        }
    }

    /// What an operator of the last checkpoint remembers, all pieces with their rows.
    ///
    /// # Errors
    /// `Data` for files that are missing or corrupt.
    pub fn state(&self, operator: &OperatorState) -> Result<Snapshot> {
        snapshot_of(&self.folder, operator)
    }

    /// Writes a checkpoint: `draft` says all but what the operators remember, which `snapshot` gives.
    ///
    /// # Errors
    /// `Unavailable` when it can't be written, or when another process has taken over; what `snapshot` fails with.
    pub fn write(
        &mut self,
        draft: Manifest,
        snapshot: impl FnOnce(GiveOf<'_>) -> Result<Vec<NodeState>>,
    ) -> Result<()> {
        let file = format!("{STATE}/{:012}-{}.arrow", self.next_number(), self.manifest.generation);
        let mut writer = StateWriter::new(&self.folder, file);
        let nodes = snapshot(&mut |key, piece| writer.piece(key, piece))?;
        let Some(mut written) = writer.finish()? else { return Err(self.deposed()) };
        let mut before: BTreeMap<String, Vec<Segment>> = std::mem::take(&mut self.manifest.operators)
            .into_iter()
            .map(|operator| (operator.key, operator.segments))
            .collect();
        let mut operators = Vec::with_capacity(nodes.len());
        for NodeState { key, describe, memo } in nodes {
            let Written { segments: new, pieces } = written.remove(&key).unwrap_or_default();
            let alive: BTreeSet<u64> = pieces.iter().map(|piece| piece.number).collect();
            let mut segments = before.remove(&key).unwrap_or_default();
            segments.retain(|segment| segment.pieces.iter().any(|piece| alive.contains(piece)));
            segments.extend(new);
            operators.push(OperatorState { key, describe, memo, segments, pieces });
        }
        let Manifest { run, generation, .. } = &self.manifest;
        self.publish(Manifest { run: run.clone(), generation: *generation, operators, ..draft })
    }

    fn publish(&mut self, manifest: Manifest) -> Result<()> {
        let manifest = Manifest {
            version: VERSION,
            written_by: format!("fyke {}", env!("CARGO_PKG_VERSION")),
            number: self.next_number(),
            written_at: self.clock.now(),
            ..manifest
        };
        if !self.folder.create(&file_of(manifest.number), &manifest.to_bytes()?)? {
            return Err(self.deposed());
        }
        self.kept.insert(manifest.number, files_of(&manifest));
        self.manifest = manifest;
        self.remove_old()
    }

    /// Removes what a process wrote that did not live to publish it; it can't do so any more.
    fn remove_unpublished(&self) -> Result<()> {
        for name in self.folder.names(STATE)? {
            let file = format!("{STATE}/{name}");
            if !self.kept.values().any(|kept| kept.contains(&file)) {
                self.folder.remove(&file)?;
            }
        }
        Ok(())
    }

    fn deposed(&self) -> Error {
        Error::unavailable(format!("another process has taken over the checkpoint {}", self.folder.path().display()))
            .hint("one run has one process that writes its checkpoints: stop the other one, or give another folder")
    }

    /// Removes old manifests, then the files that none of the others needs.
    fn remove_old(&mut self) -> Result<()> {
        while self.kept.len() > KEPT
            && let Some((number, files)) = self.kept.pop_first()
        {
            self.folder.remove(&file_of(number))?;
            for file in files.iter().filter(|file| !self.kept.values().any(|kept| kept.contains(*file))) {
                self.folder.remove(file)?;
            }
        }
        Ok(())
    }
}

/// What an operator of a checkpoint remembers, all pieces with their rows.
///
/// # Errors
/// `Data` for files that are missing or corrupt.
pub fn snapshot_of(folder: &Folder, operator: &OperatorState) -> Result<Snapshot> {
    let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let mut rows = BTreeMap::new();
    for segment in &operator.segments {
        if !files.contains_key(segment.file.as_str()) {
            files.insert(&segment.file, folder.read(&segment.file)?);
        }
        let bytes = files.get(segment.file.as_str()).map(Vec::as_slice).unwrap_or_default();
        rows.extend(segments::read(segment, bytes)?);
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

fn files_of(manifest: &Manifest) -> BTreeSet<String> {
    manifest.operators.iter().flat_map(|o| &o.segments).map(|segment| segment.file.clone()).collect()
}

fn file_of(number: u64) -> String {
    format!("{MANIFESTS}/{number:012}.json")
}
