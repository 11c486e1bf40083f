//! Rows by POST to somebody's URL: decisions for a firewall, a ticket system, a chat. Signed by the rules of Standard
//! Webhooks where a secret is given.

mod carrier;
mod sink;

use std::sync::Arc;

use fyke_types::{Connector, Error, Result, Sink, SinkSpec, Source, TableSpec};

/// Answers to `WEBHOOK`; only a way out.
#[derive(Debug, Clone, Copy, Default)]
pub struct WebhookConnector;

impl Connector for WebhookConnector {
    fn formats(&self) -> &'static [&'static str] {
        &["WEBHOOK"]
    }

    fn source(&self, spec: &TableSpec) -> Result<Arc<dyn Source>> {
        Err(Error::unsupported(format!("table {} can't be read: a WEBHOOK only takes rows", spec.name)))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        Ok(Box::new(sink::WebhookSink::new(spec)?))
    }
}
