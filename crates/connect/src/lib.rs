//! Where do batches come from, and go?
//!
//! Files, folders, globs, standard input, Kafka, HTTP and syslog in; Parquet, JSON lines, CSV, Kafka and webhooks out;
//! Elasticsearch and OpenSearch both ways; dead letters in again; tables in memory for tests. Each way is a folder of its
//! own and one line in [`connectors`]. No plan, no window, no watermark: a reader says which rows an input gave, in
//! event-time order, and a sink takes rows.

mod dead_letters;
mod elasticsearch;
mod event_time;
pub mod files;
pub mod http;
mod json;
pub mod kafka;
pub mod memory;
mod null;
mod order;
mod outbound;
mod push;
mod rfc3339;
mod shares;
mod stdio;
pub mod syslog;
mod webhook;

use std::sync::Arc;

use fyke_types::Connector;

pub use dead_letters::DeadLetterConnector;
pub use elasticsearch::{SearchConnector, search_template};
pub use files::{FileConnector, FileSource, sample};
pub use http::{HttpConnector, HttpSource};
pub use json::batch_to_json_lines;
pub use kafka::KafkaConnector;
pub use memory::{MemoryInput, MemorySink, MemorySource, Written};
pub use null::{NullConnector, NullSink};
pub use rfc3339::time_to_text;
pub use syslog::{SyslogConnector, SyslogSource};
pub use webhook::WebhookConnector;

/// All connectors. A new one is its own folder and one line here.
pub fn connectors() -> Vec<Arc<dyn Connector>> {
    vec![
        Arc::new(DeadLetterConnector),
        Arc::new(FileConnector),
        Arc::new(HttpConnector),
        Arc::new(KafkaConnector),
        Arc::new(NullConnector),
        Arc::new(SearchConnector),
        Arc::new(SyslogConnector),
        Arc::new(WebhookConnector),
    ]
}
