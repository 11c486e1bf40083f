//! Where do batches come from, and go?
//!
//! Files, folders, globs, standard input, HTTP and syslog in; Parquet, JSON lines and CSV out; tables in memory for
//! tests. Each way is a folder of its own and one line in [`connectors`]. No plan, no window, no watermark: a reader
//! says which rows an input gave, in event-time order, and a sink takes rows.

mod event_time;
pub mod files;
pub mod http;
mod json;
pub mod memory;
mod null;
mod order;
mod push;
mod rfc3339;
mod stdio;
pub mod syslog;

use std::sync::Arc;

use fyke_types::Connector;

pub use files::{FileConnector, FileSource, sample};
pub use http::{HttpConnector, HttpSource};
pub use json::batch_to_json_lines;
pub use memory::{MemoryInput, MemorySink, MemorySource};
pub use null::{NullConnector, NullSink};
pub use rfc3339::time_to_text;
pub use syslog::{SyslogConnector, SyslogSource};

/// All connectors. A new one is its own folder and one line here.
pub fn connectors() -> Vec<Arc<dyn Connector>> {
    vec![Arc::new(FileConnector), Arc::new(NullConnector), Arc::new(HttpConnector), Arc::new(SyslogConnector)]
}
