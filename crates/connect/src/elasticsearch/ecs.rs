//! How our columns are called in the Elastic Common Schema, so that dashboards of others fit. A column that is not in
//! this table, or has another type there, keeps its name.

use arrow::datatypes::DataType;
use fyke_types::window;

use super::layout::Kind;

/// What becomes of a value on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    Same,
    /// Only what is an address: the group of an IPv6 client (`2001:db8::/64`) is none.
    Address,
    /// `HTTP/1.1` becomes `1.1`.
    HttpVersion,
    /// Seconds become nanoseconds.
    Nanoseconds,
    /// The start of a window.
    Start,
    /// The end of a window.
    End,
}

/// A type that a known column may have.
#[derive(Debug, Clone, Copy)]
enum Of {
    Text,
    Texts,
    Integer,
    Number,
    Time,
}

/// Column, its type, and its fields.
type Known = (&'static str, Of, &'static [(&'static str, Change, Kind)]);

const KNOWN: &[Known] = &[
    ("time", Of::Time, &[("@timestamp", Change::Same, Kind::Date)]),
    ("customer", Of::Text, &[("organization.name", Change::Same, Kind::Keyword)]),
    ("host", Of::Text, &[("url.domain", Change::Same, Kind::Keyword)]),
    (
        "client_ip",
        Of::Text,
        &[("source.address", Change::Same, Kind::Keyword), ("source.ip", Change::Address, Kind::Ip)],
    ),
    ("user", Of::Text, &[("user.name", Change::Same, Kind::Keyword)]),
    ("method", Of::Text, &[("http.request.method", Change::Same, Kind::Keyword)]),
    ("path", Of::Text, &[("url.path", Change::Same, Kind::Keyword)]),
    ("query", Of::Text, &[("url.query", Change::Same, Kind::Keyword)]),
    ("protocol", Of::Text, &[("http.version", Change::HttpVersion, Kind::Keyword)]),
    ("status", Of::Integer, &[("http.response.status_code", Change::Same, Kind::Long)]),
    ("bytes", Of::Integer, &[("http.response.body.bytes", Change::Same, Kind::Long)]),
    ("referrer", Of::Text, &[("http.request.referrer", Change::Same, Kind::Keyword)]),
    ("agent", Of::Text, &[("user_agent.original", Change::Same, Kind::Keyword)]),
    ("duration", Of::Number, &[("event.duration", Change::Nanoseconds, Kind::Long)]),
    ("extra", Of::Text, &[("fyke.extra", Change::Same, Kind::Keyword)]),
    // verdicts
    ("class", Of::Text, &[("fyke.class", Change::Same, Kind::Keyword)]),
    ("score", Of::Number, &[("event.risk_score", Change::Same, Kind::Double)]),
    ("label", Of::Text, &[("fyke.label", Change::Same, Kind::Keyword)]),
    ("version", Of::Text, &[("fyke.version", Change::Same, Kind::Keyword)]),
    ("reasons", Of::Texts, &[("event.reason", Change::Same, Kind::Keyword)]),
    ("agent_class", Of::Text, &[("fyke.agent_class", Change::Same, Kind::Keyword)]),
    ("claim", Of::Text, &[("fyke.claim", Change::Same, Kind::Keyword)]),
    ("first_time", Of::Time, &[("fyke.first_time", Change::Same, Kind::Date)]),
    ("last_time", Of::Time, &[("fyke.last_time", Change::Same, Kind::Date)]),
    ("requests", Of::Integer, &[("fyke.requests", Change::Same, Kind::Long)]),
    ("minutes", Of::Integer, &[("fyke.minutes", Change::Same, Kind::Long)]),
    ("attacks", Of::Integer, &[("fyke.attacks", Change::Same, Kind::Long)]),
    ("rate", Of::Number, &[("fyke.rate", Change::Same, Kind::Double)]),
    ("client_errors", Of::Number, &[("fyke.client_errors", Change::Same, Kind::Double)]),
];

/// The fields of the first window of a row.
pub(super) const WINDOW: &[(&str, Change, Kind)] =
    &[("event.start", Change::Start, Kind::Date), ("event.end", Change::End, Kind::Date)];

/// What every document says of itself.
pub(super) const CONSTANTS: &[(&str, &str)] =
    &[("ecs.version", "8.17.0"), ("event.kind", "event"), ("event.module", "fyke")];

/// The fields of a column, if it is known.
pub(super) fn fields_of(column: &str, data_type: &DataType) -> Option<&'static [(&'static str, Change, Kind)]> {
    let (_, of, fields) = KNOWN.iter().find(|(name, _, _)| *name == column)?;
    of.fits(data_type).then_some(*fields)
}

impl Of {
    fn fits(self, data_type: &DataType) -> bool {
        let is_text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        match self {
            Self::Text => match data_type {
                DataType::Dictionary(_, value) => is_text(value),
                other => is_text(other),
            },
            Self::Texts => matches!(data_type, DataType::List(item) if is_text(item.data_type())),
            Self::Integer => data_type.is_integer(),
            Self::Number => data_type.is_floating() || data_type.is_integer(),
            Self::Time => matches!(data_type, DataType::Timestamp(_, _)) && !window::is_window(data_type),
        }
    }
}
