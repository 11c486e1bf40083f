//! A checkpoint on its way: what the driver has gathered, to be made durable while the next epochs run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::JoinHandle;

use fyke_types::{Error, Result, Store};

use super::keeper::{STATE, deposed, files_of, publish};
use super::manifest::{Manifest, OperatorState, Segment};
use super::segments::{StateWriter, Written};
use crate::{NodeState, Piece};

/// Of so many manifests the state is kept: the newest, and one to go back to.
const KEPT: usize = 2;

/// Files that manifests need, by their numbers.
pub(super) type Kept = BTreeMap<u64, BTreeSet<String>>;

/// All that a checkpoint consists of. Its pieces share their rows with the operators.
pub(super) struct Job {
    pub(super) store: Arc<dyn Store>,
    /// All of the manifest but the operators.
    pub(super) manifest: Manifest,
    pub(super) nodes: Vec<NodeState>,
    /// By operator, in the order in which they came.
    pub(super) pieces: Vec<(String, Piece)>,
    /// What the operators had in the checkpoint before.
    pub(super) before: Vec<OperatorState>,
    pub(super) kept: Kept,
}

/// A checkpoint that is durable.
pub(super) struct Published {
    pub(super) manifest: Manifest,
    pub(super) kept: Kept,
}

impl Job {
    /// Writes the new pieces, then the manifest, then removes what no manifest needs any more.
    pub(super) fn run(mut self) -> Result<Published> {
        let mut written = self.write_pieces()?;
        let mut before: BTreeMap<String, Vec<Segment>> =
            self.before.into_iter().map(|operator| (operator.key, operator.segments)).collect();
        for NodeState { key, describe, memo } in self.nodes {
            let Written { segments: new, pieces } = written.remove(&key).unwrap_or_default();
            let alive: BTreeSet<u64> = pieces.iter().map(|piece| piece.number).collect();
            let mut segments = before.remove(&key).unwrap_or_default();
            segments.retain(|segment| segment.pieces.iter().any(|piece| alive.contains(piece)));
            segments.extend(new);
            self.manifest.operators.push(OperatorState { key, describe, memo, segments, pieces });
        }
        if !publish(self.store.as_ref(), &self.manifest)? {
            return Err(deposed(self.store.as_ref()));
        }
        self.kept.insert(self.manifest.number, files_of(&self.manifest));
        remove_old(self.store.as_ref(), &mut self.kept)?;
        Ok(Published { manifest: self.manifest, kept: self.kept })
    }

    fn write_pieces(&mut self) -> Result<BTreeMap<String, Written>> {
        let Manifest { number, generation, .. } = &self.manifest;
        let mut writer = StateWriter::new(self.store.as_ref(), format!("{STATE}/{number:012}-{generation}.arrow"));
        for (key, piece) in std::mem::take(&mut self.pieces) {
            writer.piece(&key, piece)?;
        }
        writer.finish()?.ok_or_else(|| deposed(self.store.as_ref()))
    }
}

/// Removes old manifests, then the files that none of the others needs.
pub(super) fn remove_old(store: &dyn Store, kept: &mut Kept) -> Result<()> {
    while kept.len() > KEPT
        && let Some((number, files)) = kept.pop_first()
    {
        store.remove(&super::keeper::file_of(number))?;
        for file in files.iter().filter(|file| !kept.values().any(|kept| kept.contains(*file))) {
            store.remove(file)?;
        }
    }
    Ok(())
}

/// Who carries a job out.
pub(super) enum Flight {
    /// A thread of its own.
    Thread(JoinHandle<Result<Published>>),
    /// Whoever asks for it.
    Deferred(Box<Job>),
}

impl std::fmt::Debug for Flight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Thread(_) => "Thread",
            Self::Deferred(_) => "Deferred",
        })
    }
}

impl Flight {
    /// Begins a job in a thread of its own.
    pub(super) fn in_thread(job: Job) -> Result<Self> {
        let thread = std::thread::Builder::new().name("fyke-checkpoint".into()).spawn(move || job.run());
        let thread = thread.map_err(|e| Error::unavailable("a thread for checkpoints can't be started").detail(e))?;
        Ok(Self::Thread(thread))
    }

    /// Whether [`Flight::end`] would not wait for another thread.
    pub(super) fn has_landed(&self) -> bool {
        match self {
            Self::Thread(thread) => thread.is_finished(),
            Self::Deferred(_) => true,
        }
    }

    /// The outcome.
    pub(super) fn end(self) -> Result<Published> {
        match self {
            Self::Thread(thread) => {
                thread.join().unwrap_or_else(|_| Err(Error::internal("the thread that writes checkpoints panicked")))
            }
            Self::Deferred(job) => job.run(),
        }
    }
}
