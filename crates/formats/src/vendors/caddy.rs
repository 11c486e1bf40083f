//! Caddy's access log, JSON lines, after "log" (Caddy documentation, Caddyfile directives) and "How logging works".
//!
//! `client_ip` is what Caddy took for the client (`request.client_ip`, since 2.7), else who connected; with
//! `trusted_proxies` here, the one who connected and the request's headers decide. `duration` is seconds.

use fyke_types::{Result, Settings};

use crate::access::{DurationUnit, RequestSettings};
use crate::requests::json::JsonReader;
use crate::requests::keys::Keys;
use crate::requests::reader::LinesFormat;

/// Its keys.
pub(super) static KEYS: Keys = Keys {
    time: &["ts", "time"],
    host: &["request.host"],
    address: &["request.client_ip", "request.remote_ip", "request.remote_addr"],
    peer: &["request.remote_ip", "request.remote_addr"],
    user: &["user_id"],
    method: &["request.method"],
    target: &["request.uri"],
    protocol: &["request.proto"],
    status: &["status"],
    bytes: &["size"],
    referrer: &["request.headers.Referer"],
    agent: &["request.headers.User-Agent"],
    duration: &[("duration", DurationUnit::Seconds)],
    headers: Some("request.headers"),
    ..Keys::NONE
};

/// The format. No settings of its own.
///
/// # Errors
/// Never.
pub(super) fn format(_: &mut Settings, shared: &RequestSettings) -> Result<LinesFormat> {
    Ok(LinesFormat::new("CADDY", shared, || Box::new(JsonReader::new(&KEYS))))
}
