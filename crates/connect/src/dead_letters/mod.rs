//! Dead letters read again: `STORED AS DEAD_LETTERS` takes what a `dead_to` output holds, wherever that lies, and decodes
//! the raw lines by a format, once the format's settings (or the format) are right.

mod replay;

use std::sync::Arc;

use fyke_types::{Connector, Error, Result, Sink, SinkSpec, Source, TableSpec};

/// Answers to `DEAD_LETTERS`; only a way in.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeadLetterConnector;

impl Connector for DeadLetterConnector {
    fn formats(&self) -> &'static [&'static str] {
        &["DEAD_LETTERS"]
    }

    fn source(&self, spec: &TableSpec) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(replay::Replay::new(spec)?))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Err(Error::unsupported(format!("dead letters can't be written to {} as DEAD_LETTERS", spec.location))
            .hint("write them as any output: 'dead_to' 'dead.parquet', or a table"))
    }
}
