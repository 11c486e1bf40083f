//! A file that grows: what is appended to it, and what happens when it is rotated.
//!
//! A rename with a new file in its place ends the old file first; a truncation starts over. A file that was read under
//! another name before (by its inode, or by its first bytes where a rotation copied or compressed it) is not read again.

use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::origin::{HEAD_BYTES, Identity, Origin, bytes_of, hexadecimal, identity, is_rotation_of, read_head};
use super::source_bytes::{ByteSource, Got, read_some};

/// A rotation keeps fewer copies than this within reach of one poll.
const HEADS_KEPT: usize = 64;

/// Writers may need so long until they let go of a file that was renamed.
const LET_GO: Duration = Duration::from_millis(200);

/// What happened to growing files: counts since the source was made.
#[derive(Debug, Default)]
pub struct FollowCounters {
    rotated: AtomicU64,
    truncated: AtomicU64,
}

impl FollowCounters {
    /// Files that were replaced by a new one.
    pub fn rotated(&self) -> u64 {
        self.rotated.load(Ordering::Relaxed)
    }

    /// Files that became shorter, and so were read from their start again.
    pub fn truncated(&self) -> u64 {
        self.truncated.load(Ordering::Relaxed)
    }
}

/// Files that were read, by identity and first bytes: shared by all inputs of one reading.
#[derive(Debug, Default)]
pub(crate) struct Known {
    files: Mutex<Files>,
}

/// What is known of files, as text.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct SavedKnown {
    identities: Vec<Identity>,
    heads: Vec<(PathBuf, String)>,
}

#[derive(Debug, Default)]
struct Files {
    identities: std::collections::BTreeSet<Identity>,
    heads: Vec<(PathBuf, Vec<u8>)>,
}

impl Known {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file that is read, or was.
    pub(crate) fn add(&self, identity: Identity) {
        self.files().identities.insert(identity);
    }

    fn add_head(&self, path: &Path, head: Vec<u8>) {
        let mut files = self.files();
        let of_path = files.heads.iter().filter(|(known, _)| known == path).count();
        if of_path >= HEADS_KEPT
            && let Some(oldest) = files.heads.iter().position(|(known, _)| known == path)
        {
            files.heads.remove(oldest);
        }
        files.heads.push((path.to_path_buf(), head));
    }

    /// What is known, to be kept.
    pub(crate) fn save(&self) -> SavedKnown {
        let files = self.files();
        let heads = files.heads.iter().map(|(path, head)| (path.clone(), hexadecimal(head))).collect();
        SavedKnown { identities: files.identities.iter().copied().collect(), heads }
    }

    /// Adds what another reading knew.
    pub(crate) fn restore(&self, saved: SavedKnown) {
        let mut files = self.files();
        files.identities.extend(saved.identities);
        files.heads.extend(saved.heads.into_iter().filter_map(|(path, head)| Some((path, bytes_of(&head)?))));
    }

    /// Whether the file now at `path` was read under another name: renamed, copied or compressed by a rotation.
    pub(crate) fn was_read(&self, path: &Path, metadata: &Metadata) -> bool {
        if cfg!(unix) && self.files().identities.contains(&identity(metadata)) {
            return true;
        }
        let heads: Vec<Vec<u8>> = {
            let files = self.files();
            let family = files.heads.iter().filter(|(known, _)| is_rotation_of(path, known));
            family.map(|(_, head)| head.clone()).collect()
        };
        if heads.is_empty() {
            return false;
        }
        let Ok(head) = read_head(path) else { return false };
        heads.iter().any(|known| !known.is_empty() && head.starts_with(known))
    }
}

enum Opened {
    Same,
    Other,
    Nothing,
}

/// A growing file.
pub(crate) struct Tail {
    path: PathBuf,
    file: Option<File>,
    identity: Option<Identity>,
    at: u64,
    head: Vec<u8>,
    origin: Option<Arc<Origin>>,
    /// When it was seen that another file took the place.
    replaced: Option<Instant>,
    known: Arc<Known>,
    counters: Arc<FollowCounters>,
    read: Arc<AtomicU64>,
}

impl Tail {
    /// The file at `path`, which need not exist yet.
    pub(crate) fn new(path: PathBuf, known: Arc<Known>, counters: Arc<FollowCounters>, read: Arc<AtomicU64>) -> Self {
        // what the path names now is the input, even if it is renamed before its first byte is read
        let identity = std::fs::metadata(&path).ok().map(|metadata| identity(&metadata));
        identity.into_iter().for_each(|identity| known.add(identity));
        Self {
            path,
            file: None,
            identity,
            at: 0,
            head: Vec::new(),
            origin: None,
            replaced: None,
            known,
            counters,
            read,
        }
    }

    /// The same from byte `at` on, of the file that `origin` describes, whatever its name is now. What the path names
    /// now may be the file that took its place.
    pub(crate) fn resumed(
        path: PathBuf,
        known: Arc<Known>,
        counters: Arc<FollowCounters>,
        read: Arc<AtomicU64>,
        (at, origin): (u64, Arc<Origin>),
    ) -> Self {
        known.add(origin.identity);
        let (identity, head) = (Some(origin.identity), origin.head.clone());
        Self { path, file: None, identity, at, head, origin: Some(origin), replaced: None, known, counters, read }
    }

    /// Opens the file where it was left, under whatever name it has now; if it is gone, the one in its place.
    fn open(&mut self) -> io::Result<Opened> {
        let Some(mut file) = self.find()? else { return Ok(Opened::Nothing) };
        let found = identity(&file.metadata()?);
        let replaced = self.identity.is_some_and(|own| own != found) && self.at > 0;
        if replaced {
            self.start_over();
            self.counters.rotated.fetch_add(1, Ordering::Relaxed);
        }
        self.known.add(found);
        self.identity = Some(found);
        file.seek(SeekFrom::Start(self.at))?;
        self.file = Some(file);
        Ok(if replaced { Opened::Other } else { Opened::Same })
    }

    fn find(&self) -> io::Result<Option<File>> {
        let at_path = match File::open(&self.path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let Some(wanted) = self.identity else { return Ok(at_path) };
        if let Some(file) = &at_path
            && identity(&file.metadata()?) == wanted
        {
            return Ok(at_path);
        }
        // its handle was given back, and a rotation has renamed it since
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        for sibling in std::fs::read_dir(folder)? {
            let sibling = sibling?;
            if sibling.metadata().is_ok_and(|metadata| identity(&metadata) == wanted) {
                return File::open(sibling.path()).map(Some);
            }
        }
        Ok(at_path)
    }

    fn start_over(&mut self) {
        self.at = 0;
        self.head.clear();
        self.origin = None;
        self.replaced = None;
    }

    /// The file gave nothing more: is it the end for now, or was it truncated or replaced?
    fn at_end(&mut self) -> io::Result<Got> {
        let Some(file) = &mut self.file else { return Ok(Got::Dry) };
        if file.metadata()?.len() < self.at {
            file.seek(SeekFrom::Start(0))?;
            self.start_over();
            self.counters.truncated.fetch_add(1, Ordering::Relaxed);
            return Ok(Got::Fresh);
        }
        if !self.is_replaced() {
            self.replaced = None;
            return Ok(Got::Dry);
        }
        if self.replaced.get_or_insert_with(Instant::now).elapsed() < LET_GO {
            return Ok(Got::Dry);
        }
        (self.file, self.identity) = (None, None);
        self.start_over();
        self.counters.rotated.fetch_add(1, Ordering::Relaxed);
        Ok(Got::Fresh)
    }

    fn is_replaced(&self) -> bool {
        let Ok(metadata) = std::fs::metadata(&self.path) else { return false };
        let same = self.identity.is_none_or(|own| own == identity(&metadata));
        !same && !self.known.was_read(&self.path, &metadata)
    }

    fn keep_head(&mut self, bytes: &[u8]) {
        if self.head.is_empty() {
            self.head.extend_from_slice(bytes.get(..HEAD_BYTES).unwrap_or(bytes));
            self.known.add_head(&self.path, self.head.clone());
            let (identity, head) = (self.identity.unwrap_or_default(), self.head.clone());
            self.origin = Some(Arc::new(Origin { identity, head }));
        }
    }
}

impl ByteSource for Tail {
    fn read(&mut self, into: &mut [u8]) -> io::Result<Got> {
        if self.file.is_none() {
            match self.open()? {
                Opened::Same => {}
                Opened::Other => return Ok(Got::Fresh),
                Opened::Nothing => return Ok(Got::Dry),
            }
        }
        let Some(file) = &mut self.file else { return Ok(Got::Dry) };
        let read = read_some(file, into)?;
        if read == 0 {
            return self.at_end();
        }
        self.keep_head(into.get(..read).unwrap_or_default());
        self.at += read as u64;
        self.read.fetch_max(self.at, Ordering::Relaxed);
        Ok(Got::Bytes(read))
    }

    fn close(&mut self) {
        self.file = None;
    }

    fn origin(&self) -> Option<Arc<Origin>> {
        self.origin.clone()
    }

    fn has_more(&mut self) -> bool {
        if self.replaced.is_some() {
            return true;
        }
        let own = self.file.as_ref().and_then(|file| file.metadata().ok());
        let Ok(at_path) = std::fs::metadata(&self.path) else {
            return own.is_some_and(|own| own.len() != self.at);
        };
        own.unwrap_or_else(|| at_path.clone()).len() != self.at
            || self.identity.is_some_and(|own| own != identity(&at_path))
    }
}
