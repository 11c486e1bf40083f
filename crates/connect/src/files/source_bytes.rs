//! Where an input's bytes come from: one trait for bounded files, growing files and standard input.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compression::{self, Entry};
use super::handle::Handle;
use super::origin::Origin;

/// What reading gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing now; more may come.
    Dry,
    /// The end of what can ever come.
    End,
    /// A new file took the place of the old one, which was read to its end: what follows counts from 0.
    Fresh,
}

/// A stream of (decompressed) bytes.
pub(crate) trait ByteSource: Send {
    /// Reads into `into`, which is not empty.
    fn read(&mut self, into: &mut [u8]) -> io::Result<Got>;

    /// Gives back the file handle; the next read opens it again where it was.
    fn close(&mut self) {}

    /// Whether a source that was dry has more now.
    fn has_more(&mut self) -> bool {
        true
    }

    /// Which file the last bytes came from; none where that can't be said.
    fn origin(&self) -> Option<Arc<Origin>> {
        None
    }
}

/// A bounded file, decompressed if need be.
pub(crate) struct FileBytes {
    path: PathBuf,
    entry: Option<Entry>,
    handle: Option<Box<dyn Read + Send>>,
    /// Decompressed bytes given so far.
    at: u64,
    read: Arc<AtomicU64>,
    origin: Option<Arc<Origin>>,
}

impl FileBytes {
    /// The file at `path`, or its zip entry; `read` shows how far the (compressed) file was read.
    pub(crate) fn new(path: PathBuf, entry: Option<Entry>, read: Arc<AtomicU64>) -> Self {
        Self { path, entry, handle: None, at: 0, read, origin: None }
    }

    /// The same from byte `at` (decompressed) on, of which `origin` says what the file was like.
    pub(crate) fn resumed(self, at: u64, origin: Option<Arc<Origin>>) -> Self {
        Self { at, origin, ..self }
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let file = Handle::open(&self.path)?;
        if let Some(entry) = &self.entry {
            let mut entry = compression::open_entry(file, entry, Arc::clone(&self.read))?;
            skip(entry.as_mut(), self.at)?;
            return Ok(entry);
        }
        let Some(codec) = compression::detect(&self.path)? else {
            let mut file = Counted::new(file, Arc::clone(&self.read));
            file.seek(self.at)?;
            return Ok(Box::new(file));
        };
        let mut stream = compression::decoder(codec, Counted::new(file, Arc::clone(&self.read)))?;
        skip(stream.as_mut(), self.at)?;
        Ok(stream)
    }
}

/// A compressed stream has no way to a place but through everything before it.
fn skip(stream: &mut dyn Read, bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut stream.take(bytes), &mut io::sink())?;
    if skipped < bytes {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read"));
    }
    Ok(())
}

impl ByteSource for FileBytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<Got> {
        let handle = match &mut self.handle {
            Some(handle) => handle,
            None => {
                let opened = self.open()?;
                self.handle.insert(opened)
            }
        };
        let read = read_some(handle.as_mut(), into)?;
        if self.origin.is_none() {
            self.origin = Origin::of(&self.path, into.get(..read).unwrap_or_default());
        }
        self.at += read as u64;
        if read == 0 {
            self.handle = None;
            return Ok(Got::End);
        }
        Ok(Got::Bytes(read))
    }

    fn close(&mut self) {
        self.handle = None;
    }

    fn origin(&self) -> Option<Arc<Origin>> {
        self.origin.clone()
    }
}

/// One `read` that is not disturbed by signals.
pub(crate) fn read_some(from: &mut dyn Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A file that says how far it was read.
pub(crate) struct Counted {
    file: Handle,
    at: u64,
    read: Arc<AtomicU64>,
}

impl Counted {
    /// `file` from its start.
    pub(crate) fn new(file: Handle, read: Arc<AtomicU64>) -> Self {
        Self { file, at: 0, read }
    }

    /// Moves to `at`.
    pub(crate) fn seek(&mut self, at: u64) -> io::Result<()> {
        self.at = self.file.seek(SeekFrom::Start(at))?;
        Ok(())
    }
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.at += read as u64;
        // what is read again after a reopening counts once
        self.read.fetch_max(self.at, Ordering::Relaxed);
        Ok(read)
    }
}
