//! Traefik's access log, after "Logs and access logs" (Traefik documentation): JSON lines, or its extended common log:
//! combined, then the number of requests so far, router, service and the duration in milliseconds.
//!
//! `time` is when the request began in JSON (`StartUTC`), and what its clock says in the other.

use fyke_types::{Result, Settings};

use crate::access::program::{Field, Program, Step};
use crate::access::{AccessFormat, AccessReader, DurationUnit, RequestSettings};
use crate::requests::json::JsonReader;
use crate::requests::keys::Keys;
use crate::requests::reader::{Line, LineReader, LinesFormat, Rows};

/// The keys of its JSON.
pub(super) static KEYS: Keys = Keys {
    time: &["StartUTC", "StartLocal", "time"],
    host: &["RequestHost", "RequestAddr"],
    address: &["ClientHost", "ClientAddr"],
    peer: &["ClientAddr"],
    user: &["ClientUsername"],
    method: &["RequestMethod"],
    target: &["RequestPath"],
    protocol: &["RequestProtocol"],
    status: &["DownstreamStatus"],
    bytes: &["DownstreamContentSize"],
    referrer: &["request_Referer"],
    agent: &["request_User-Agent"],
    duration: &[("Duration", DurationUnit::Nanos)],
    ..Keys::NONE
};

/// The format. No settings of its own.
///
/// # Errors
/// Never.
pub(super) fn format(_: &mut Settings, shared: &RequestSettings) -> Result<LinesFormat> {
    let text = AccessFormat::custom(program(), shared.clone());
    let make = move || -> Box<dyn LineReader> {
        Box::new(TraefikReader { json: JsonReader::new(&KEYS), text: text.reader() })
    };
    Ok(LinesFormat::new("TRAEFIK", shared, make))
}

/// Whether a sample looks like it.
pub(super) fn likely(lines: &[&str]) -> bool {
    lines.iter().any(|line| line.ends_with("ms"))
}

fn program() -> Program {
    let extra = |name: &str| Field::Extra(name.to_owned());
    let fields = [
        ("", Field::Address),
        (" ", extra("ident")),
        (" ", Field::User),
        (" [", Field::CommonTime),
        ("] \"", Field::RequestLine),
        ("\" ", Field::Status),
        (" ", Field::Bytes),
        (" \"", Field::Referrer),
        ("\" \"", Field::Agent),
        ("\" ", extra("RequestCount")),
        (" \"", extra("RouterName")),
        ("\" \"", extra("ServiceURL")),
        ("\" ", Field::Duration(DurationUnit::Millis)),
    ];
    let steps = fields.into_iter().flat_map(|(before, field)| [Step::Literal(before.to_owned()), Step::Field(field)]);
    Program::new(steps.chain([Step::Literal("ms".to_owned())]))
}

struct TraefikReader {
    json: JsonReader,
    text: AccessReader,
}

impl LineReader for TraefikReader {
    fn read(&mut self, line: &str, rows: &mut Rows<'_>) -> Result<Line, String> {
        if line.starts_with('{') { self.json.read(line, rows) } else { self.text.read(line, rows) }
    }
}
