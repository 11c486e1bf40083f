//! The log of live epochs beside the last checkpoint: what they consisted of, for outputs that can't take rows back.

use fyke_types::{Error, Result};

use super::Keeper;
use super::keeper::deposed;

const EPOCHS: &str = "epochs";

impl Keeper {
    /// Makes what epochs consisted of durable.
    ///
    /// # Errors
    /// `Unavailable` when it can't be written, or another process has taken over.
    pub fn log_epochs(&mut self, text: &str) -> Result<()> {
        let number = self.next_note();
        let name = format!("{EPOCHS}/{:012}-{number:012}.json", self.manifest().generation);
        match self.store().create(&name, text.as_bytes())? {
            true => Ok(()),
            false => Err(deposed(self.store())),
        }
    }

    /// The names of what was logged, the oldest first.
    ///
    /// # Errors
    /// `Unavailable` when they can't be listed.
    pub fn logged_epochs(&self) -> Result<Vec<String>> {
        self.store().names(EPOCHS)
    }

    /// What was logged under a name.
    ///
    /// # Errors
    /// `Data` where it is gone or no text.
    pub fn read_epochs(&self, name: &str) -> Result<String> {
        let bytes = self.store().read(&format!("{EPOCHS}/{name}"), None)?;
        let bytes = bytes.ok_or_else(|| Error::data(format!("the checkpoint's log of epochs {name} is gone")))?;
        String::from_utf8(bytes)
            .map_err(|error| Error::data(format!("the checkpoint's log of epochs {name} is corrupt")).detail(error))
    }

    /// Removes what a checkpoint has made needless.
    ///
    /// # Errors
    /// `Unavailable` when it can't be removed.
    pub fn forget_epochs(&self, name: &str) -> Result<()> {
        self.store().remove(&format!("{EPOCHS}/{name}"))
    }
}
