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
        let wanted = self.path.join(name);
        let failed = |error: std::io::Error| unwritable(&wanted, &error);
        let folder = wanted.parent().unwrap_or(&self.path);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let hidden = folder.join(format!(".{}.{}", std::process::id(), name.replace('/', "-")));
        let mut file = File::create(&hidden).map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        // a link, unlike a rename, fails where the name is taken
        let linked = std::fs::hard_link(&hidden, &wanted);
        std::fs::remove_file(&hidden).map_err(failed)?;
        match linked {
            Ok(()) => {
                sync_folder(folder).map_err(failed)?;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed(error)),
        }
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

/// A name is durable when its folder is.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(format!("{} can't be written", path.display())).detail(error)
}
