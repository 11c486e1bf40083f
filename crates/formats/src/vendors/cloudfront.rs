//! Amazon CloudFront, after "Standard logging reference" and "Use real-time access logs" (CloudFront developer guide):
//! tab-separated with a `#Fields:` line, or JSON (standard logging v2); real-time logs are tab-separated without one.
//!
//! Without `#Fields:` the columns are those of the standard log, or those that the setting `fields` names (real-time
//! logs choose theirs). `host` is the viewer's `x-host-header`, times are UTC, `time-taken` is seconds.

use std::sync::Arc;

use fyke_types::{Result, Settings};

use crate::access::{DurationUnit, RequestSettings};
use crate::requests::json::JsonReader;
use crate::requests::keys::Keys;
use crate::requests::reader::{Line, LineReader, LinesFormat, Rows};

use super::columns::{Escape, Meaning, Separator};
use super::w3c::{DIRECTIVE, Dialect, W3cReader, columns_of, declared};

/// The columns of a standard log, in order.
const STANDARD: &str = "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) \
    cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes \
    time-taken x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status \
    fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len \
    sc-range-start sc-range-end";

const DIALECT: Dialect = Dialect {
    separator: Separator::Tab,
    escape: Escape::Percent,
    guessed: DurationUnit::Seconds,
    meaning,
    required: 0,
};

/// The keys of its JSON.
pub(super) static KEYS: Keys = Keys {
    time: &["timestamp(ms)", "timestamp"],
    date_and_clock: Some(("date", "time")),
    host: &["x-host-header", "cs-host", "cs(Host)"],
    address: &["c-ip"],
    method: &["cs-method"],
    target: &["cs-uri-stem"],
    query: &["cs-uri-query"],
    protocol: &["cs-protocol-version"],
    status: &["sc-status"],
    bytes: &["sc-bytes"],
    referrer: &["cs(Referer)", "cs-referer"],
    agent: &["cs(User-Agent)", "cs-user-agent"],
    duration: &[("time-taken", DurationUnit::Seconds)],
    encoded: true,
    ..Keys::NONE
};

fn meaning(name: &str) -> Option<Meaning> {
    Some(match name.to_ascii_lowercase().as_str() {
        "timestamp" | "timestamp(ms)" => Meaning::Time,
        "x-host-header" => Meaning::Host,
        // the distribution's own name
        "cs(host)" | "cs-host" => Meaning::Extra,
        "cs-protocol-version" => Meaning::Protocol,
        "cs-user-agent" => Meaning::Agent,
        "cs-referer" => Meaning::Referrer,
        _ => return None,
    })
}

/// The format. Setting: `fields`.
///
/// # Errors
/// `Usage` for `fields` without a name.
pub(super) fn format(settings: &mut Settings, shared: &RequestSettings) -> Result<LinesFormat> {
    let default = declared(settings, DIALECT)?.unwrap_or_else(|| {
        // logs of 2018 and before had 24 columns, and all that came later was appended
        Arc::new(columns_of(STANDARD, Dialect { required: 24, ..DIALECT }))
    });
    let make = move || -> Box<dyn LineReader> {
        let text = W3cReader::new(DIALECT, Some(Arc::clone(&default)));
        Box::new(CloudFrontReader { text, json: JsonReader::new(&KEYS) })
    };
    Ok(LinesFormat::new("CLOUDFRONT", shared, make).with_directive(DIRECTIVE))
}

/// Whether a sample looks like it.
pub(super) fn likely(lines: &[&str]) -> bool {
    lines.iter().any(|line| line.contains("x-edge-") || line.split('\t').count() >= 24)
}

struct CloudFrontReader {
    text: W3cReader,
    json: JsonReader,
}

impl LineReader for CloudFrontReader {
    fn begin(&mut self) {
        self.text.begin();
    }

    fn read(&mut self, line: &str, rows: &mut Rows<'_>) -> Result<Line, String> {
        if line.starts_with('{') { self.json.read(line, rows) } else { self.text.read(line, rows) }
    }
}
