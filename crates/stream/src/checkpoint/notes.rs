//! Notes: rows under the name of an operator, beside the last checkpoint.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use fyke_types::{Error, Result};

use super::{Beside, Keeper};

impl Keeper {
    /// Makes rows durable under the name of an operator.
    ///
    /// # Errors
    /// `Unavailable` when they can't be written, or another process has taken over.
    pub fn note(&mut self, operator: &str, rows: &RecordBatch) -> Result<()> {
        let mut writer = StreamWriter::try_new(Vec::new(), rows.schema_ref())?;
        writer.write(rows)?;
        self.put_beside(Beside::Notes, &format!("-{operator}.arrow"), &writer.into_inner()?)
    }

    /// The operator and the rows of a note.
    ///
    /// # Errors
    /// `Data` for one that is corrupt.
    pub fn read_note(&self, name: &str) -> Result<(String, Vec<RecordBatch>)> {
        let bytes = self.read_beside(Beside::Notes, name)?;
        let place = || self.place_beside(Beside::Notes, name);
        let corrupt = |error| Error::data(format!("{} of the checkpoint is corrupt", place())).detail(error);
        let reader = StreamReader::try_new(std::io::Cursor::new(bytes), None).map_err(corrupt)?;
        let rows = reader.collect::<std::result::Result<Vec<_>, _>>().map_err(corrupt)?;
        let operator = name.splitn(3, '-').nth(2).unwrap_or_default();
        Ok((operator.trim_end_matches(".arrow").to_owned(), rows))
    }
}
