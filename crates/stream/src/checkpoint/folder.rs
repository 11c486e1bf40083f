//! A folder as a store. Files are durable when a call returns, and appear whole or not at all.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use fyke_types::{Error, Result, Store, StoreWriter};

/// Flat names inside a folder; a name may have one folder before it.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`, made when it is first written to.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// A file that gets its name when it is whole.
    fn pending(&self, name: &str) -> Result<Pending> {
        let wanted = self.path.join(name);
        let folder = wanted.parent().unwrap_or(&self.path);
        let hidden = folder.join(format!(".{}.{}", std::process::id(), name.replace('/', "-")));
        let file = std::fs::create_dir_all(folder).and_then(|()| File::create(&hidden));
        let file = file.map_err(|error| unwritable(&wanted, &error))?;
        Ok(Pending { file, hidden, wanted })
    }
}

impl Store for Folder {
    fn place(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    fn folder(&self) -> Option<PathBuf> {
        Some(self.path.clone())
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let mut pending = self.pending(name)?;
        pending.write_all(bytes).map_err(|error| unwritable(&pending.wanted, &error))?;
        Box::new(pending).publish()
    }

    fn writer(&self, name: &str) -> Result<Box<dyn StoreWriter>> {
        Ok(Box::new(self.pending(name)?))
    }

    fn read(&self, name: &str, range: Option<Range<u64>>) -> Result<Option<Vec<u8>>> {
        let path = self.path.join(name);
        let bytes = match range {
            None => std::fs::read(&path),
            Some(range) => read_range(&path, &range),
        };
        match bytes {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(&path, &error)),
        }
    }

    fn names(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.path.join(folder);
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(&path, &error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&path, &error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::unavailable(format!("{} can't be removed", path.display())).detail(error))
            }
            _ => Ok(()),
        }
    }
}

fn read_range(path: &Path, range: &Range<u64>) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let mut bytes = Vec::new();
    file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file under a name that nobody reads. Dropped, it leaves nothing behind.
#[derive(Debug)]
struct Pending {
    file: File,
    hidden: PathBuf,
    wanted: PathBuf,
}

impl StoreWriter for Pending {
    fn publish(self: Box<Self>) -> Result<bool> {
        let failed = |error: std::io::Error| unwritable(&self.wanted, &error);
        self.file.sync_all().map_err(failed)?;
        // a link, unlike a rename, fails where the name is taken
        match std::fs::hard_link(&self.hidden, &self.wanted) {
            Ok(()) => {
                sync_folder(self.wanted.parent().unwrap_or(Path::new("."))).map_err(failed)?;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // nobody is left to be told
        _ = std::fs::remove_file(&self.hidden);
    }
}

/// A name is durable when its folder is.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(format!("{} can't be written", path.display())).detail(error)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(format!("{} can't be read", path.display())).detail(error)
}
