//! Kafka topics as tables, and as outputs.
//!
//! `STORED AS KAFKA LOCATION 'broker1:9092,broker2:9092'`: each partition is an input of its own. librdkafka talks to the
//! brokers; `kafka.*` settings go to it as they are. How a record's value looks is the business of `fyke-formats`.

mod client;
mod oauth;
mod sink;

use std::sync::Arc;

use fyke_types::{Connector, Error, Result, Sink, SinkSpec, Source, TableSpec};

/// Answers to `KAFKA`.
#[derive(Debug, Clone, Copy, Default)]
pub struct KafkaConnector;

impl Connector for KafkaConnector {
    fn formats(&self) -> &'static [&'static str] {
        &["KAFKA"]
    }

    fn source(&self, spec: &TableSpec) -> Result<Arc<dyn Source>> {
        Err(Error::unsupported(format!("table {} can't be read from Kafka", spec.name)))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        sink::open(spec)
    }
}
