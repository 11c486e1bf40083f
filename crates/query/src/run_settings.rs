//! How a script or query runs as a stream, and what follows from that for its sources and sinks.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use fyke_stream::checkpoint::{Every, Folder, Keeper, store_at};
use fyke_stream::cluster::ClusterSettings;
use fyke_types::{Result, SinkMode, Store};

use crate::context::SinkHow;
use crate::emit::Emit;

/// How a script or query runs as a stream. The default: once, over what exists now, without checkpoints.
#[derive(Debug, Clone, Default)]
pub struct RunSettings {
    /// Goes on until it is told to stop, else it runs over what exists now.
    pub follow: bool,
    /// Whether outputs that hold rows of another run may be replaced.
    pub mode: SinkMode,
    /// Checkpoints, if it shall write some.
    pub checkpoint: Option<CheckpointSettings>,
    /// Other processes that take part.
    pub cluster: Option<ClusterSettings>,
    /// Early results of bare SELECTs: changes as rows with a column `op`.
    pub select_emit: Option<Emit>,
}

/// Where a run keeps what it needs to go on after its end, whatever that was.
#[derive(Debug, Clone)]
pub struct CheckpointSettings {
    /// A store of the run's own.
    pub store: Arc<dyn Store>,
    /// When one is due (default: every 10 seconds).
    pub every: Every,
    /// A query that is not the checkpoint's uses what fits of it; the rest starts empty.
    pub may_change: bool,
}

impl CheckpointSettings {
    /// Checkpoints in `folder`, every 10 seconds.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self::in_store(Arc::new(Folder::new(folder)))
    }

    /// Checkpoints at a location, a folder or `s3://bucket/prefix`, every 10 seconds.
    ///
    /// # Errors
    /// `Usage` for another kind of URL, or one that names no bucket.
    pub fn at(location: &str) -> Result<Self> {
        store_at(location).map(Self::in_store)
    }

    /// Checkpoints in a store, every 10 seconds.
    pub fn in_store(store: Arc<dyn Store>) -> Self {
        Self { store, every: Every::default(), may_change: false }
    }
}

/// How a run's outputs are opened, one after the other.
pub(crate) struct SinkHows {
    all: SinkHow,
    /// How many of a name there were.
    named: BTreeMap<String, u64>,
}

impl SinkHows {
    /// For a run by `settings`.
    pub(crate) fn new(settings: &RunSettings, keeper: Option<&Keeper>) -> Self {
        let all = SinkHow { mode: settings.mode, parts: keeper.map(Keeper::parts), upserts: None };
        Self { all, named: BTreeMap::new() }
    }

    /// For the next output of that name. A resumed run finds it again by its name and, among outputs of one name, by
    /// its turn.
    pub(crate) fn of(&mut self, name: &str) -> SinkHow {
        let turn = self.named.entry(name.to_owned()).or_default();
        *turn += 1;
        let output = if *turn == 1 { name.to_owned() } else { format!("{name} {turn}") };
        let mut how = self.all.clone();
        how.parts.iter_mut().for_each(|parts| parts.output.clone_from(&output));
        how
    }
}

/// Where the sources stood, by name; of several of one name the first comes first.
pub(crate) fn positions(keeper: &Keeper) -> BTreeMap<String, VecDeque<String>> {
    let mut positions: BTreeMap<String, VecDeque<String>> = BTreeMap::new();
    for source in &keeper.manifest().sources {
        if let Some(position) = &source.position {
            positions.entry(source.name.clone()).or_default().push_back(position.clone());
        }
    }
    positions
}
