//! Elasticsearch and OpenSearch as a way out (bulk requests, deterministic ids, index templates in the Elastic Common
//! Schema) and in (a point in time, page by page). One folder for both: they differ in a few words.

mod bulk;
mod ecs;
mod layout;
mod mapping;
mod naming;
mod options;
mod pages;
mod raw;
mod server;
mod sink;
mod source;
mod template;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use fyke_types::{Connector, Result, Sink, SinkSpec, Source, TableSpec};

/// Answers to `ELASTICSEARCH` and `OPENSEARCH`: which one it is, the server says.
#[derive(Debug, Clone, Copy, Default)]
pub struct SearchConnector;

impl Connector for SearchConnector {
    fn formats(&self) -> &'static [&'static str] {
        &["ELASTICSEARCH", "OPENSEARCH"]
    }

    fn source(&self, spec: &TableSpec) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(source::SearchSource::new(spec)?))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Ok(Box::new(sink::SearchSink::new(spec)?))
    }

    fn takes_upserts(&self, _: &str) -> bool {
        true
    }
}

/// The index template that an output of rows of `schema` puts for indices of `pattern`.
///
/// # Errors
/// `Usage` where two columns would fill one field.
pub fn search_template(schema: &SchemaRef, pattern: &str) -> Result<serde_json::Value> {
    Ok(template::body(&layout::Layout::new(schema, true, None)?, pattern, false))
}
