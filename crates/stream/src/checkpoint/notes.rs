//! Notes beside the last checkpoint: what left for a sink after it and has to be known if the process dies.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use fyke_types::{Error, Result};

use super::Keeper;
use super::keeper::deposed;

const NOTES: &str = "notes";

impl Keeper {
    /// Makes rows durable under the name of an operator.
    ///
    /// # Errors
    /// `Unavailable` when they can't be written, or another process has taken over.
    pub fn note(&mut self, operator: &str, rows: &RecordBatch) -> Result<()> {
        let mut writer = StreamWriter::try_new(Vec::new(), rows.schema_ref())?;
        writer.write(rows)?;
        let bytes = writer.into_inner()?;
        let number = self.next_note();
        let name = format!("{NOTES}/{:012}-{number:012}-{operator}.arrow", self.manifest().generation);
        match self.store().create(&name, &bytes)? {
            true => Ok(()),
            false => Err(deposed(self.store())),
        }
    }

    /// The notes that are there, the oldest first.
    ///
    /// # Errors
    /// `Unavailable` when they can't be listed.
    pub fn notes(&self) -> Result<Vec<String>> {
        self.store().names(NOTES)
    }

    /// The operator and the rows of a note.
    ///
    /// # Errors
    /// `Data` for one that is corrupt.
    pub fn read_note(&self, name: &str) -> Result<(String, Vec<RecordBatch>)> {
        let bytes = self.store().read(&format!("{NOTES}/{name}"), None)?;
        let bytes = bytes.ok_or_else(|| Error::data(format!("the checkpoint's note {name} is gone")))?;
        let corrupt = |error| Error::data(format!("the checkpoint's note {name} is corrupt")).detail(error);
        let reader = StreamReader::try_new(std::io::Cursor::new(bytes), None).map_err(corrupt)?;
        let rows = reader.collect::<std::result::Result<Vec<_>, _>>().map_err(corrupt)?;
        let operator = name.splitn(3, '-').nth(2).unwrap_or_default();
        Ok((operator.trim_end_matches(".arrow").to_owned(), rows))
    }

    /// Removes a note that a checkpoint has made needless.
    ///
    /// # Errors
    /// `Unavailable` when it can't be removed.
    pub fn remove_note(&self, name: &str) -> Result<()> {
        self.store().remove(&format!("{NOTES}/{name}"))
    }
}
