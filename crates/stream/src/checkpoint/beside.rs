//! What lies beside the last checkpoint, since it left after it and has to be known if the process dies: small files that
//! a later checkpoint makes needless.

use fyke_types::{Error, Result};

use super::Keeper;
use super::keeper::deposed;

/// A kind of such files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Keys of early rows.
    Notes,
    /// What live epochs consisted of.
    Epochs,
}

impl Beside {
    fn folder(self) -> &'static str {
        match self {
            Self::Notes => "notes",
            Self::Epochs => "epochs",
        }
    }
}

impl Keeper {
    /// Makes bytes durable under a name that begins with this process's generation and a running number.
    ///
    /// # Errors
    /// `Unavailable` when they can't be written, or another process has taken over.
    pub fn put_beside(&mut self, kind: Beside, suffix: &str, bytes: &[u8]) -> Result<()> {
        let number = self.next_beside();
        let name = format!("{}/{:012}-{number:012}{suffix}", kind.folder(), self.manifest().generation);
        match self.store().create(&name, bytes)? {
            true => Ok(()),
            false => Err(deposed(self.store())),
        }
    }

    /// The names that are there, the oldest first.
    ///
    /// # Errors
    /// `Unavailable` when they can't be listed.
    pub fn names_beside(&self, kind: Beside) -> Result<Vec<String>> {
        self.store().names(kind.folder())
    }

    /// The bytes under a name.
    ///
    /// # Errors
    /// `Data` where it is gone.
    pub fn read_beside(&self, kind: Beside, name: &str) -> Result<Vec<u8>> {
        let bytes = self.store().read(&format!("{}/{name}", kind.folder()), None)?;
        bytes.ok_or_else(|| Error::data(format!("{} of the checkpoint is gone", self.place_beside(kind, name))))
    }

    /// Removes what a checkpoint has made needless.
    ///
    /// # Errors
    /// `Unavailable` when it can't be removed.
    pub fn remove_beside(&self, kind: Beside, name: &str) -> Result<()> {
        self.store().remove(&format!("{}/{name}", kind.folder()))
    }

    /// Where a name lies, for messages.
    pub fn place_beside(&self, kind: Beside, name: &str) -> String {
        self.store().place(&format!("{}/{name}", kind.folder()))
    }
}
