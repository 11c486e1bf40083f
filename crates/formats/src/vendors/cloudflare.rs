//! Cloudflare Logpush, JSON lines of the data set `http_requests`, after "HTTP requests" (Cloudflare Logs: log fields).
//!
//! Times as RFC 3339, or seconds or nanoseconds since 1970, as the job is set. `time` is when the request began.

use fyke_types::{Result, Settings};

use crate::access::RequestSettings;
use crate::requests::json::JsonReader;
use crate::requests::keys::Keys;
use crate::requests::reader::LinesFormat;

/// Its keys.
pub(super) static KEYS: Keys = Keys {
    time: &["EdgeStartTimestamp", "EdgeEndTimestamp"],
    host: &["ClientRequestHost"],
    address: &["ClientIP"],
    method: &["ClientRequestMethod"],
    target: &["ClientRequestURI", "ClientRequestPath"],
    protocol: &["ClientRequestProtocol"],
    status: &["EdgeResponseStatus"],
    bytes: &["EdgeResponseBytes", "EdgeResponseBodyBytes"],
    referrer: &["ClientRequestReferer"],
    agent: &["ClientRequestUserAgent"],
    ..Keys::NONE
};

/// The format. No settings of its own.
///
/// # Errors
/// Never.
pub(super) fn format(_: &mut Settings, shared: &RequestSettings) -> Result<LinesFormat> {
    Ok(LinesFormat::new("CLOUDFLARE", shared, || Box::new(JsonReader::new(&KEYS))))
}
