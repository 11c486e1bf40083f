//! Fastly, after "Custom log formats", "Useful conditions in logging" and "Log streaming: Syslog" (Fastly
//! documentation): the JSON of its examples, or the common and combined lines of its default formats; either may stand
//! behind the syslog header that its log streams put before them.

use fyke_types::{Result, Settings};

use crate::access::{AccessFormat, AccessReader, DurationUnit, RequestSettings, Variant};
use crate::requests::json::JsonReader;
use crate::requests::keys::Keys;
use crate::requests::reader::{Line, LineReader, LinesFormat, Rows};
use crate::text::syslog::without_header;

/// The keys of its JSON.
pub(super) static KEYS: Keys = Keys {
    time: &["timestamp", "time_start", "start_time", "time", "request_time"],
    host: &["host", "request_host", "req_host"],
    address: &["client_ip", "fastly_client_ip", "client", "remote_addr"],
    user: &["user", "remote_user"],
    method: &["request_method", "method", "request"],
    target: &["url", "request_url", "request_uri", "uri", "path"],
    query: &["query", "query_string"],
    protocol: &["request_protocol", "protocol", "proto"],
    status: &["response_status", "status", "resp_status", "status_code"],
    bytes: &["response_body_size", "resp_body_size", "response_body_bytes", "body_bytes_written", "bytes"],
    referrer: &["request_referer", "referer", "request_referrer", "referrer", "req_header_referer"],
    agent: &["request_user_agent", "user_agent", "req_header_user_agent", "agent"],
    duration: &[
        ("time_elapsed_usec", DurationUnit::Micros),
        ("elapsed_usec", DurationUnit::Micros),
        ("time_elapsed", DurationUnit::Micros),
        ("time_elapsed_msec", DurationUnit::Millis),
        ("duration", DurationUnit::Seconds),
    ],
    ..Keys::NONE
};

/// The format. No settings of its own.
///
/// # Errors
/// Never.
pub(super) fn format(_: &mut Settings, shared: &RequestSettings) -> Result<LinesFormat> {
    let text = AccessFormat::standard(&Variant::all(), shared.clone());
    let make =
        move || -> Box<dyn LineReader> { Box::new(FastlyReader { json: JsonReader::new(&KEYS), text: text.reader() }) };
    Ok(LinesFormat::new("FASTLY", shared, make))
}

/// Whether a sample looks like it: a header before what else would be read as another format.
pub(super) fn likely(lines: &[&str]) -> bool {
    lines.iter().filter(|line| without_header(line).len() < line.len()).count() * 2 >= lines.len()
}

struct FastlyReader {
    json: JsonReader,
    text: AccessReader,
}

impl LineReader for FastlyReader {
    fn read(&mut self, line: &str, rows: &mut Rows<'_>) -> Result<Line, String> {
        let payload = without_header(line);
        if payload.starts_with('{') { self.json.read(payload, rows) } else { self.text.read(payload, rows) }
    }
}
