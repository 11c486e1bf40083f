//! Kafka topics as tables, and as outputs.
//!
//! `STORED AS KAFKA LOCATION 'broker1:9092,broker2:9092'`: each partition is an input of its own. librdkafka talks to the
//! brokers; `kafka.*` settings go to it as they are. How a record's value looks is the business of `fyke-formats`.
//!
//! Topics are found (`cluster`, `discover`); each partition's queue (`native`) is emptied into blocks (`lane`, `records`)
//! that threads decode (`decode`); the reader gives them in event-time order.

mod client;
mod cluster;
mod decode;
mod discover;
mod lane;
mod layout;
mod native;
mod oauth;
mod options;
mod partition;
mod position;
mod reader;
mod records;
mod sink;
mod source;
mod trouble;

use std::sync::Arc;

use fyke_types::{Connector, Result, Sink, SinkSpec, Source, TableSpec};

pub use options::KAFKA_SETTINGS;
pub use sink::KAFKA_SINK_SETTINGS;

/// Answers to `KAFKA`.
#[derive(Debug, Clone, Copy, Default)]
pub struct KafkaConnector;

impl Connector for KafkaConnector {
    fn formats(&self) -> &'static [&'static str] {
        &["KAFKA"]
    }

    fn source(&self, spec: &TableSpec) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(source::KafkaSource::new(spec)?))
    }

    fn sink(&self, spec: &SinkSpec) -> Result<Box<dyn Sink>> {
        sink::open(spec)
    }

    fn takes_upserts(&self, _: &str) -> bool {
        true
    }
}
