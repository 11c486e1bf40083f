//! Where do batches come from, and go?
//!
//! Files, folders, globs and standard input in; Parquet, JSON lines and CSV out; tables in memory for tests. Each way
//! is a folder of its own and one line in [`connectors`]. No plan, no window, no watermark: a reader says which rows
//! an input gave, in event-time order, and a sink takes rows.

mod event_time;
pub mod files;
mod json;
pub mod kafka;
pub mod memory;
mod null;
mod order;
mod rfc3339;
mod stdio;

use std::sync::Arc;

use fyke_types::Connector;

pub use files::{FileConnector, FileSource, sample};
pub use json::batch_to_json_lines;
pub use kafka::KafkaConnector;
pub use memory::{MemoryInput, MemorySink, MemorySource};
pub use null::{NullConnector, NullSink};
pub use rfc3339::time_to_text;

/// All connectors. A new one is its own folder and one line here.
pub fn connectors() -> Vec<Arc<dyn Connector>> {
    vec![Arc::new(FileConnector), Arc::new(KafkaConnector), Arc::new(NullConnector)]
}
