//! The canonical request: what every log format is read into.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::window::TIME;

/// Columns of a request, in order: `time`, `customer`, `host`, `client_ip`, `user`, `method`, `path`, `query`,
/// `protocol`, `status`, `bytes`, `referrer`, `agent`, `duration` (seconds), `extra` (a JSON object of everything
/// else the line held, or null). Absent values (a log's `-`) are null.
///
/// `client_ip` is the client's address in its shortest text form, behind trusted proxies the forwarded one; IPv6
/// clients are grouped by the configured prefix (`2001:db8:1:2::/64`).
pub fn request_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        Field::new("time", TIME, true),
        text("customer"),
        text("host"),
        text("client_ip"),
        text("user"),
        text("method"),
        text("path"),
        text("query"),
        text("protocol"),
        Field::new("status", DataType::Int32, true),
        Field::new("bytes", DataType::Int64, true),
        text("referrer"),
        text("agent"),
        Field::new("duration", DataType::Float64, true),
        text("extra"),
    ]))
}
