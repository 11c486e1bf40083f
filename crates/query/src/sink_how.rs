//! How outputs are opened.

use fyke_stream::operators::UpsertsOf;
use fyke_types::{Changelog, Connector, Error, PartsOf, Result, Sink, SinkMode, SinkSpec};

use crate::emit::Emit;

/// How an output is opened.
#[derive(Debug, Clone, Default)]
pub(crate) struct SinkHow {
    /// Whether rows of another run may be replaced.
    pub(crate) mode: SinkMode,
    /// With checkpoints: whose parts it gets.
    pub(crate) parts: Option<PartsOf>,
    /// Update mode.
    pub(crate) upserts: Option<UpsertHow>,
}

impl SinkHow {
    /// The same for upserts.
    pub(crate) fn with_upserts(&self, of: &UpsertsOf, emit: Option<&Emit>) -> Self {
        let changelog = emit.is_some_and(|emit| emit.changelog);
        Self { upserts: Some(UpsertHow { key: of.key.clone(), changelog }), ..self.clone() }
    }
}

/// How upserts are written.
#[derive(Debug, Clone)]
pub(crate) struct UpsertHow {
    /// See [`SinkSpec::key`].
    pub(crate) key: Vec<String>,
    /// As rows with a column `op`.
    pub(crate) changelog: bool,
}

impl From<SinkMode> for SinkHow {
    fn from(mode: SinkMode) -> Self {
        Self { mode, parts: None, upserts: None }
    }
}

/// A sink, for upserts where they are wanted.
pub(crate) fn open_sink(connector: &dyn Connector, spec: SinkSpec, how: &SinkHow) -> Result<Box<dyn Sink>> {
    let Some(UpsertHow { key, changelog }) = &how.upserts else { return connector.sink(&spec) };
    if *changelog {
        let schema = spec.schema.clone();
        // a row may come again and again
        let spec = SinkSpec { schema: Changelog::schema(&schema)?, unique: None, ..spec };
        return Ok(Box::new(Changelog::new(connector.sink(&spec)?, &schema)?));
    }
    if !connector.takes_upserts(&spec.format) {
        return Err(Error::unsupported(format!("'emit' 'update' into {} ({})", spec.location, spec.format))
            .detail("rows that were written there can't be replaced")
            .hint("'emit' 'changelog' writes each change as a row with a column 'op'; or leave 'emit' out, so that each row is written once, when its window closes"));
    }
    connector.sink(&SinkSpec { key: Some(key.clone()), ..spec })
}
