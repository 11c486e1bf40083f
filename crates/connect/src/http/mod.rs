//! Lines that others send by HTTP: `POST` of any line format, plain, gzip or zstd, answered when they are accepted.

mod body;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;

use fyke_types::{Connector, Error, ReadOptions, Reader, Result, Settings, Sink, SinkSpec, Source, TableSpec};

use crate::push::{PushSettings, PushSource, Record, Sorted, Sorter};

use server::HttpListener;

/// A table that others send lines to by HTTP. `docs/sources.md` says what the answers mean.
///
/// Location: `http://ADDRESS:PORT/PATH`. Settings: `format`, `inbox_bytes`, `spool`, `spool_bytes`, `token`,
/// `body_bytes`, and the format's own.
#[derive(Debug)]
pub struct HttpSource(PushSource);

impl HttpSource {
    /// A table as `spec` says it. Nothing listens before it is opened.
    ///
    /// # Errors
    /// `Usage` for wrong or unknown settings, or a location that is none.
    pub fn new(spec: &TableSpec) -> Result<Self> {
        let mut settings = Settings::new(format!("table {}", spec.name), spec.options.clone());
        let listener = HttpListener::new(&spec.location, &mut settings)?;
        let push = PushSettings::take(spec, &mut settings)?;
        settings.finish()?;
        Ok(Self(PushSource::new(spec, push, Box::new(listener))))
    }

    /// Where the last reading listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.addresses()
    }
}

impl Source for HttpSource {
    fn schema(&self) -> arrow::datatypes::SchemaRef {
        self.0.schema()
    }

    fn open(&self, options: &ReadOptions) -> Result<Box<dyn Reader>> {
        self.0.open(options)
    }
}

/// Answers to `HTTP`.
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpConnector;

impl Connector for HttpConnector {
    fn formats(&self) -> &'static [&'static str] {
        &["HTTP"]
    }

    fn source(&self, spec: &TableSpec) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(HttpSource::new(spec)?))
    }

    fn sink(&self, _: &SinkSpec) -> Result<Box<dyn Sink>> {
        Err(Error::unsupported("HTTP is a way in: others send their lines to it"))
    }
}

/// A body belongs to the customer that its sender named.
#[derive(Debug)]
struct Bodies;

impl Sorter for Bodies {
    fn sort(&self, record: &Record, into: &mut Sorted) {
        into.lines(&record.who, &record.bytes);
    }
}
