//! A folder as a store of checkpoints. Files are durable when a call returns, and appear whole or not at all.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use fyke_types::{Error, Result};

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

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a file; false if there is one of this name already.
    ///
    /// # Errors
    /// `Unavailable` when it can't be written.
    pub fn create(&self, name: &str, bytes: &[u8]) -> Result<bool> {
        let mut pending = self.pending(name)?;
        pending.write_all(bytes).map_err(|error| unwritable(&pending.wanted, &error))?;
        pending.publish()
    }

    /// A file that gets its name when it is whole.
    ///
    /// # Errors
    /// `Unavailable` when it can't be written.
    pub fn pending(&self, name: &str) -> Result<Pending> {
        let wanted = self.path.join(name);
        let folder = wanted.parent().unwrap_or(&self.path);
        let hidden = folder.join(format!(".{}.{}", std::process::id(), name.replace('/', "-")));
        let file = std::fs::create_dir_all(folder).and_then(|()| File::create(&hidden));
        let file = file.map_err(|error| unwritable(&wanted, &error))?;
        Ok(Pending { file, hidden, wanted })
    }

    /// A file's bytes.
    ///
    /// # Errors
    /// `Data` when it is missing, `Unavailable` when it can't be read.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        std::fs::read(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::data(format!("{} is missing", path.display())),
            _ => Error::unavailable(format!("{} can't be read", path.display())).detail(error),
        })
    }

    /// The names inside a folder of it, sorted; none where there is no such folder.
    ///
    /// # Errors
    /// `Unavailable` when it can't be read.
    pub fn names(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.path.join(folder);
        let failed = |error| Error::unavailable(format!("{} can't be read", path.display())).detail(error);
        let entries = match std::fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes a file; one that is gone already is no error.
    ///
    /// # Errors
    /// `Unavailable` when it can't be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::unavailable(format!("{} can't be removed", path.display())).detail(error))
            }
            _ => Ok(()),
        }
    }
}

/// A file under a name that nobody reads. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Pending {
    file: File,
    hidden: PathBuf,
    wanted: PathBuf,
}

impl Pending {
    /// Makes the file durable under its name; false if there is one of this name already.
    ///
    /// # Errors
    /// `Unavailable` when it can't be written.
    pub fn publish(self) -> Result<bool> {
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
