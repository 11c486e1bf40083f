//! A way out that counts rows and drops them: `STORED AS NULL` or `DISCARD`, for benches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use fyke_types::{Connector, Error, Result, Settings, Sink, SinkSpec, Source, TableSpec};

/// Answers to `NULL` and `DISCARD`; only a way out.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullConnector;

impl Connector for NullConnector {
    fn formats(&self) -> &'static [&'static str] {
        &["NULL", "DISCARD"]
    }

    fn source(&self, spec: &TableSpec) -> Result<Arc<dyn Source>> {
        Err(Error::unsupported(format!("table {} can't be read: {} only drops rows", spec.name, spec.format)))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Settings::new(format!("the {} sink", spec.format), spec.options.clone()).finish()?;
        Ok(Box::new(NullSink::default()))
    }

    fn takes_upserts(&self, _: &str) -> bool {
        true
    }
}

/// Counts rows and drops them; clones share the count.
#[derive(Debug, Clone, Default)]
pub struct NullSink(Arc<AtomicU64>);

impl NullSink {
    /// Rows taken so far.
    pub fn rows(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Sink for NullSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.0.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn delete(&mut self, _: &RecordBatch) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}
