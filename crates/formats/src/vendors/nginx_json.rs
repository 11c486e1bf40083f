//! nginx with `log_format … escape=json`: objects whose keys are nginx's own variables, after "ngx_http_log_module" and
//! "Alphabetical index of variables" (nginx documentation), under the names that people give them most.

use fyke_types::{Result, Settings};

use crate::access::{DurationUnit, RequestSettings};
use crate::requests::json::JsonReader;
use crate::requests::keys::Keys;
use crate::requests::reader::LinesFormat;

/// Its keys.
static KEYS: Keys = Keys {
    time: &["msec", "time_iso8601", "time_local", "@timestamp", "timestamp", "time", "ts"],
    host: &["http_host", "host", "server_name", "vhost"],
    address: &["remote_addr", "client_ip", "remote_ip", "clientip", "client"],
    peer: &["realip_remote_addr"],
    user: &["remote_user", "user"],
    method: &["request_method", "method"],
    target: &["request_uri", "uri", "document_uri", "path", "url"],
    query: &["args", "query_string", "query"],
    protocol: &["server_protocol", "protocol"],
    status: &["status", "response_status", "status_code"],
    bytes: &["body_bytes_sent", "bytes_sent", "bytes", "size"],
    referrer: &["http_referer", "http_referrer", "referer", "referrer"],
    agent: &["http_user_agent", "user_agent", "agent"],
    request: &["request"],
    duration: &[
        ("request_time", DurationUnit::Seconds),
        ("duration", DurationUnit::Seconds),
        ("response_time", DurationUnit::Seconds),
    ],
    ..Keys::NONE
};

/// The format. No settings of its own.
///
/// # Errors
/// Never.
pub(super) fn format(_: &mut Settings, shared: &RequestSettings) -> Result<LinesFormat> {
    Ok(LinesFormat::new("NGINX_JSON", shared, || Box::new(JsonReader::new(&KEYS))))
}
