//! Parquet files as inputs: batches of rows that need no decoder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use fyke_types::window::TIME;
use fyke_types::{Error, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::Length;

use super::handle::Handle;

const BATCH_ROWS: usize = 8192;

/// The rows of one Parquet file, as the table's columns.
pub(crate) struct ParquetRows {
    path: PathBuf,
    /// The columns to give, by name.
    wanted: SchemaRef,
    reader: Option<ParquetRecordBatchReader>,
    /// Rows given so far, and all of the file.
    given: u64,
    total: u64,
    bytes: u64,
    failed: bool,
    read: Arc<AtomicU64>,
}

impl ParquetRows {
    /// The file at `path`; `wanted` are the columns to give. `read` shows the part of its bytes that was read.
    pub(crate) fn new(path: PathBuf, wanted: SchemaRef, read: Arc<AtomicU64>) -> Self {
        Self { path, wanted, reader: None, given: 0, total: 0, bytes: 0, failed: false, read }
    }

    /// The same behind the first `given` rows.
    pub(crate) fn resumed(self, given: u64) -> Self {
        Self { given, ..self }
    }

    /// Gives back the file handle.
    pub(crate) fn close(&mut self) {
        self.reader = None;
    }

    /// The next rows and how many were given with them, or none at the end.
    ///
    /// # Errors
    /// `Data` where the file is no Parquet or its columns do not fit, naming it.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, RecordBatch)>> {
        if self.failed {
            return Ok(None);
        }
        let next = self.read_batch();
        self.failed = next.is_err();
        next
    }

    fn read_batch(&mut self) -> Result<Option<(u64, RecordBatch)>> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.open()?,
        };
        let Some(batch) = reader.next() else {
            self.read.store(self.bytes, Ordering::Relaxed);
            return Ok(None);
        };
        self.reader = Some(reader);
        let batch = batch.map_err(|e| self.unreadable(&e).hint(format!("{} rows before it were read", self.given)))?;
        let batch = fit(&batch, &self.wanted, &self.path)?;
        self.given += batch.num_rows() as u64;
        let share = self.given as f64 / self.total.max(1) as f64;
        self.read.store((self.bytes as f64 * share) as u64, Ordering::Relaxed);
        Ok(Some((self.given, batch)))
    }

    fn open(&mut self) -> Result<ParquetRecordBatchReader> {
        let file = Handle::open(&self.path).map_err(|e| super::unreadable(&self.path, &e))?;
        self.bytes = Length::len(&file);
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| self.unreadable(&e))?;
        self.total = builder.metadata().file_metadata().num_rows().max(0) as u64;
        let names: Vec<&String> = builder.schema().fields().iter().map(|field| field.name()).collect();
        let roots = self.wanted.fields().iter().filter_map(|f| names.iter().position(|name| *name == f.name()));
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots.collect::<Vec<_>>());
        let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS).with_offset(self.given as usize);
        builder.build().map_err(|e| self.unreadable(&e))
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) -> Error {
        Error::data(format!("{} can't be read as Parquet", self.path.display())).detail(error)
    }
}

/// The columns of a Parquet file, as Fyke has them: times in microseconds without zone, plain strings.
///
/// # Errors
/// `Data` where the file is no Parquet.
pub(crate) fn schema_of(path: &Path) -> Result<SchemaRef> {
    let file = Handle::open(path).map_err(|e| super::unreadable(path, &e))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(|e| Error::data(format!("{} can't be read as Parquet", path.display())).detail(e))?;
    let fields = builder.schema().fields().iter().map(|f| Field::new(f.name(), plain(f.data_type()), true));
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(_, _) => TIME,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain(values),
        DataType::Struct(fields) => DataType::Struct(
            fields.iter().map(|f| Field::new(f.name(), plain(f.data_type()), f.is_nullable())).collect(),
        ),
        other => other.clone(),
    }
}

fn fit(batch: &RecordBatch, wanted: &SchemaRef, path: &Path) -> Result<RecordBatch> {
    let columns = wanted.fields().iter().map(|field| column(batch, field, path)).collect::<Result<Vec<_>>>()?;
    // without columns the number of rows must be said
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(wanted), columns, &rows)
        .map_err(|e| Error::data(format!("the columns of {} do not fit the table", path.display())).detail(e))
}

fn column(batch: &RecordBatch, field: &Field, path: &Path) -> Result<ArrayRef> {
    let Some(column) = batch.column_by_name(field.name()) else {
        return Err(Error::data(format!("{} has no column '{}'", path.display(), field.name())));
    };
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    let strict = CastOptions { safe: false, ..Default::default() };
    cast_with_options(column, field.data_type(), &strict).map_err(|e| {
        let (name, is, declared) = (field.name(), column.data_type(), field.data_type());
        Error::data(format!("column '{name}' of {} is {is}, declared {declared}", path.display())).detail(e)
    })
}
