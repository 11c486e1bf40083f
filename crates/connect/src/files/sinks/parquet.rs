//! Parquet to a file.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use fyke_types::{Error, Result, Settings, Sink, SinkSpec};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::finished;
use super::output::Output;

/// Rows of a row group unless set: what the format's own writers take.
const ROW_GROUP_ROWS: usize = 1024 * 1024;

/// Settings: `compression` (`snappy`, the default, `zstd` or `none`), `row_group_rows` (1,048,576).
pub(super) struct ParquetSink {
    writer: Option<ArrowWriter<Output>>,
    schema: SchemaRef,
    location: String,
}

impl ParquetSink {
    /// A sink as `spec` says it.
    pub(super) fn new(spec: &SinkSpec, mut settings: Settings) -> Result<Self> {
        if spec.location == "-" {
            return Err(Error::usage("Parquet can't be written to standard output")
                .hint("name a file or folder, or write JSON or CSV"));
        }
        let properties = properties(&mut settings)?;
        settings.finish()?;
        let (location, schema) = (spec.location.clone(), Arc::clone(&spec.schema));
        let output = Output::open(spec, "parquet")?;
        let writer = ArrowWriter::try_new(output, Arc::clone(&schema), Some(properties))
            .map_err(|e| Error::usage(format!("the columns of {location} can't be written as Parquet")).detail(e))?;
        Ok(Self { writer: Some(writer), schema, location })
    }

    fn failed(&self, error: &ParquetError) -> Error {
        Error::unavailable(format!("{} can't be written", self.location)).detail(error)
    }
}

fn properties(settings: &mut Settings) -> Result<WriterProperties> {
    let compression = match settings.text("compression").map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("snappy") => Compression::SNAPPY,
        Some("zstd") => Compression::ZSTD(ZstdLevel::default()),
        Some("none" | "uncompressed") => Compression::UNCOMPRESSED,
        Some(other) => {
            return Err(Error::usage(format!("setting 'compression' of the PARQUET sink is '{other}'"))
                .hint("it takes snappy, zstd or none"));
        }
    };
    let rows = settings.number("row_group_rows")?.unwrap_or(ROW_GROUP_ROWS);
    if rows == 0 {
        return Err(Error::usage("setting 'row_group_rows' of the PARQUET sink is 0").hint("it takes at least 1"));
    }
    Ok(WriterProperties::builder().set_compression(compression).set_max_row_group_row_count(Some(rows)).build())
}

impl Sink for ParquetSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        // names and types must agree; metadata may differ
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), batch.columns().to_vec(), &rows)
            .map_err(|e| Error::internal(format!("rows do not fit the columns of {}", self.location)).detail(e))?;
        let written = self.writer.as_mut().ok_or_else(finished)?.write(&batch);
        written.map_err(|e| self.failed(&e))
    }

    fn finish(&mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let mut output = writer.into_inner().map_err(|e| self.failed(&e))?;
        output.publish()
    }
}
