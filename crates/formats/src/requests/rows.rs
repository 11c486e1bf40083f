//! Requests, parsed but loose, into rows of the canonical schema.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Builder, Int32Builder, Int64Builder, RecordBatch, RecordBatchOptions, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, SchemaRef};
use fyke_types::request::request_schema;
use fyke_types::{Error, Micros, Result};

use crate::json::value::{Object, Value};
use crate::text::strings::write_json;

use super::client::{ClientRule, header_name};

/// A text of the line, or one made from it.
pub(crate) type Text<'a> = Option<Cow<'a, str>>;

/// What a line says of a request. Absent values are `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Request<'a> {
    pub time: Option<Micros>,
    pub host: Text<'a>,
    /// Who the log says the client is.
    pub address: Text<'a>,
    /// Who opened the connection, where the log tells both.
    pub peer: Text<'a>,
    pub user: Text<'a>,
    pub method: Text<'a>,
    pub path: Text<'a>,
    pub query: Text<'a>,
    pub protocol: Text<'a>,
    pub status: Option<i32>,
    pub bytes: Option<i64>,
    pub referrer: Text<'a>,
    pub agent: Text<'a>,
    pub duration: Option<f64>,
    /// Everything else.
    pub extra: Vec<Extra<'a>>,
    /// The request's headers, where the log holds them as an object.
    pub headers: Option<&'a Object<'a>>,
}

/// A part of the line that has no column of its own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Extra<'a> {
    pub name: Cow<'a, str>,
    pub value: Cow<'a, str>,
    /// The value is JSON already.
    pub json: bool,
}

impl<'a> Request<'a> {
    /// Sets method, path, query and protocol from a request line. A broken one keeps what is there: without a method
    /// the whole text is the path.
    pub fn set_request_line(&mut self, line: Cow<'a, str>) {
        let (method, rest) = match line.split_once(' ') {
            Some((method, rest)) if is_method(method) => (Some(method), rest),
            _ => (None, &*line),
        };
        if method.is_none() {
            self.set_target(line);
            return;
        }
        let (target, protocol) = match rest.rsplit_once(' ') {
            Some((target, protocol)) if is_protocol(protocol) => (target, Some(protocol)),
            _ => (rest, None),
        };
        let method_end = method.map_or(0, str::len);
        let target_end = method_end + 1 + target.len();
        self.method = cut(&line, 0, method_end);
        self.protocol = protocol.and_then(|_| cut(&line, target_end + 1, line.len()));
        if let Some(target) = cut(&line, method_end + 1, target_end) {
            self.set_target(target);
        }
    }

    /// Sets path and query from a target that may be a whole URL, whose host is taken where none is known yet.
    pub fn set_url(&mut self, target: Cow<'a, str>) {
        let behind = target.find("://").filter(|at| is_scheme(target.get(..*at).unwrap_or_default()));
        let Some(behind) = behind.and_then(|at| target.get(at + 3..)) else {
            self.set_target(target);
            return;
        };
        let end = behind.find(['/', '?']).unwrap_or(behind.len());
        let (host, rest) = (behind.get(..end).unwrap_or_default().to_owned(), behind.get(end..).unwrap_or_default());
        let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
        self.host = self.host.take().or((!host.is_empty()).then(|| host_of(Cow::Owned(host))));
        self.set_target(Cow::Owned(rest));
    }

    /// Sets path and query from a request's target.
    pub fn set_target(&mut self, target: Cow<'a, str>) {
        match memchr::memchr(b'?', target.as_bytes()) {
            Some(mark) => {
                self.path = cut(&target, 0, mark);
                self.query = cut(&target, mark + 1, target.len());
            }
            None => self.path = (!target.is_empty()).then_some(target),
        }
    }
}

/// Schemes under which requests are logged.
fn is_scheme(text: &str) -> bool {
    matches!(text, "http" | "https" | "ws" | "wss" | "h2" | "grpcs")
}

/// A host without its port.
pub(crate) fn host_of(text: Cow<'_, str>) -> Cow<'_, str> {
    let end = match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !bare_ipv6(host) => host.len(),
        _ => return text,
    };
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or(text)),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

/// What is left of an IPv6 address whose last group was taken for a port.
fn bare_ipv6(host: &str) -> bool {
    host.contains(':') && !host.ends_with(']')
}

/// A piece of a text without copying where possible; empty is absent.
fn cut<'a>(text: &Cow<'a, str>, from: usize, to: usize) -> Text<'a> {
    let piece = match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(from..to)?),
        Cow::Owned(text) => Cow::Owned(text.get(from..to)?.to_owned()),
    };
    (!piece.is_empty()).then_some(piece)
}

/// An HTTP method as clients write it: upper case, digits, `-` and `_` (RFC 9110 allows more, nobody uses it).
pub(crate) fn is_method(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    text.len() <= 32 && text.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase()) && text.bytes().all(inner)
}

/// `HTTP/1.1`, `RTSP/1.0`, …
fn is_protocol(text: &str) -> bool {
    match text.split_once('/') {
        Some((name, version)) => {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphabetic())
                && !version.is_empty()
                && version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        }
        None => false,
    }
}

/// Where the `customer` column comes from: setting `customer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CustomerFrom {
    /// What the input is called. The default.
    #[default]
    Input,
    /// The host, where the line has one.
    Host,
}

/// One column while it grows.
#[derive(Debug)]
enum Out {
    Time(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Double(Float64Builder),
}

/// Builds batches of some of the canonical columns.
#[derive(Debug)]
pub(crate) struct RequestRows {
    schema: SchemaRef,
    columns: Vec<(&'static str, Out)>,
    rule: ClientRule,
    customer: CustomerFrom,
    rows: usize,
}

/// The canonical columns' names, as `request_schema` orders them.
const NAMES: [&str; 15] = [
    "time",
    "customer",
    "host",
    "client_ip",
    "user",
    "method",
    "path",
    "query",
    "protocol",
    "status",
    "bytes",
    "referrer",
    "agent",
    "duration",
    "extra",
];

impl RequestRows {
    /// Rows of the canonical columns `given` (all without), in that order.
    pub fn new(given: Option<&[usize]>, rule: ClientRule, customer: CustomerFrom) -> Result<Self> {
        let all: Vec<usize> = (0..NAMES.len()).collect();
        let given = given.unwrap_or(&all);
        let schema = crate::project(&request_schema(), given)?;
        let column = |(index, field): (&usize, &Arc<arrow::datatypes::Field>)| {
            let name = NAMES.get(*index).copied().unwrap_or("extra");
            let out = match field.data_type() {
                DataType::Timestamp(..) => Out::Time(TimestampMicrosecondBuilder::new()),
                DataType::Int32 => Out::Int(Int32Builder::new()),
                DataType::Int64 => Out::Long(Int64Builder::new()),
                DataType::Float64 => Out::Double(Float64Builder::new()),
                _ => Out::Text(StringBuilder::new()),
            };
            (name, out)
        };
        let columns = given.iter().zip(schema.fields()).map(column).collect();
        Ok(Self { schema, columns, rule, customer, rows: 0 })
    }

    /// Whether anybody looks at what has no column of its own: as a column, or for the client's address.
    pub fn want_extra(&self) -> bool {
        self.rule.wants_any() || self.columns.iter().any(|(name, _)| *name == "extra")
    }

    /// Appends a request of the input `customer`.
    pub fn push(&mut self, request: &Request<'_>, customer: &str) {
        let Self { columns, rule, .. } = self;
        for (name, out) in columns {
            match out {
                Out::Time(builder) => builder.append_option(request.time),
                Out::Int(builder) => builder.append_option(request.status),
                Out::Long(builder) => builder.append_option(request.bytes),
                Out::Double(builder) => builder.append_option(request.duration),
                Out::Text(builder) => match *name {
                    "customer" => {
                        let host = request.host.as_deref().filter(|_| self.customer == CustomerFrom::Host);
                        builder.append_value(host.unwrap_or(customer));
                    }
                    "client_ip" => builder.append_option(client(rule, request)),
                    "extra" => builder.append_option(extra_json(&request.extra)),
                    other => builder.append_option(request.text(other)),
                },
            }
        }
        self.rows += 1;
    }

    /// The rows since the last call.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let finish = |(_, out): &mut (&'static str, Out)| -> ArrayRef {
            match out {
                Out::Time(builder) => Arc::new(builder.finish()),
                Out::Text(builder) => Arc::new(builder.finish()),
                Out::Int(builder) => Arc::new(builder.finish()),
                Out::Long(builder) => Arc::new(builder.finish()),
                Out::Double(builder) => Arc::new(builder.finish()),
            }
        };
        let arrays = self.columns.iter_mut().map(finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)
    }
}

impl Request<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        match name {
            "host" => self.host.as_deref(),
            "user" => self.user.as_deref(),
            "method" => self.method.as_deref(),
            "path" => self.path.as_deref(),
            "query" => self.query.as_deref(),
            "protocol" => self.protocol.as_deref(),
            "referrer" => self.referrer.as_deref(),
            "agent" => self.agent.as_deref(),
            _ => None,
        }
    }
}

fn client<'r>(rule: &ClientRule, request: &'r Request<'_>) -> Option<Cow<'r, str>> {
    let header = |wanted: &str| {
        let Some(found) = request.extra.iter().find(|extra| header_name(&extra.name) == wanted) else {
            let (_, value) = request.headers?.iter().find(|(name, _)| header_name(name) == wanted)?;
            return header_text(value);
        };
        // a JSON string keeps its quotes in the extras
        Some(if found.json { found.value.trim_matches('"').to_owned() } else { found.value.clone().into_owned() })
    };
    let address = match &request.peer {
        // the log's own idea of the client may come from a header already: the peer decides whether to believe any
        Some(peer) if rule.wants_any() => peer,
        _ => request.address.as_ref().or(request.peer.as_ref())?,
    };
    Some(rule.client(Cow::Borrowed(address), header))
}

/// A header's value; one that came several times is a list.
fn header_text(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone().into_owned()),
        Value::Array(values) => {
            let texts: Vec<String> = values.iter().filter_map(header_text).collect();
            (!texts.is_empty()).then(|| texts.join(", "))
        }
        _ => None,
    }
}

fn extra_json(extra: &[Extra<'_>]) -> Option<String> {
    if extra.is_empty() {
        return None;
    }
    let mut json = String::from("{");
    for (index, entry) in extra.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        write_json(&entry.name, &mut json);
        json.push(':');
        if entry.json {
            json.push_str(&entry.value);
        } else {
            write_json(&entry.value, &mut json);
        }
    }
    json.push('}');
    Some(json)
}

/// Refuses a block whose strings could not be counted in 31 bits.
pub(crate) fn check_size(block: &[u8], customer: &str) -> Result<()> {
    let longest = (block.len() / 2 + 1).saturating_mul(customer.len()).saturating_add(block.len().saturating_mul(4));
    if longest > i32::MAX as usize {
        return Err(Error::internal(format!("a block of {} bytes is too large to decode at once", block.len()))
            .hint("read smaller blocks"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_request_lines_keep_what_is_there() {
        for (line, expected) in [
            ("GET /p?q HTTP/1.1", (Some("GET"), Some("/p"), Some("q"), Some("HTTP/1.1"))),
            ("GET /", (Some("GET"), Some("/"), None, None)),
            ("GET /a b HTTP/1.0", (Some("GET"), Some("/a b"), None, Some("HTTP/1.0"))),
            ("GET /a b", (Some("GET"), Some("/a b"), None, None)),
            ("\u{16}\u{3}\u{1}", (None, Some("\u{16}\u{3}\u{1}"), None, None)),
            ("quit", (None, Some("quit"), None, None)),
            ("get / HTTP/1.1", (None, Some("get / HTTP/1.1"), None, None)),
            ("PRI * HTTP/2.0", (Some("PRI"), Some("*"), None, Some("HTTP/2.0"))),
            ("GET  HTTP/1.1", (Some("GET"), None, None, Some("HTTP/1.1"))),
            ("GET /p? HTTP/1.1", (Some("GET"), Some("/p"), None, Some("HTTP/1.1"))),
        ] {
            for line in [Cow::Borrowed(line), Cow::Owned(line.to_owned())] {
                let mut request = Request::default();
                request.set_request_line(line.clone());
                let found =
                    (request.text("method"), request.text("path"), request.text("query"), request.text("protocol"));
                assert_eq!(found, expected, "{line}");
            }
        }
    }

    #[test]
    fn names_are_those_of_the_canonical_schema() {
        let schema = request_schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, NAMES);
    }
}
