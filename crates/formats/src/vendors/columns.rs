//! Logs whose lines are columns in a known order, by a space or a tab: what each column means, and how it is read.

use std::borrow::Cow;

use crate::access::escape::unescape;
use crate::access::{DurationUnit, duration};
use crate::json::value::clipped;
use crate::requests::client::parse_address;
use crate::requests::rows::{Extra, Request, host_of};
use crate::text::percent::{percent_decoded, percent_decoded_agent, plus_decoded};
use crate::text::time::{DayCache, Epoch, Instant, date_and_clock, epoch, rfc3339};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// RFC 3339, or seconds (milliseconds, …) since 1970.
    Time,
    Date,
    Clock,
    Host,
    Address,
    /// An address, a colon and a port.
    AddressPort,
    User,
    Method,
    /// A path, perhaps with a query.
    Path,
    Query,
    Protocol,
    Status,
    Bytes,
    Referrer,
    Agent,
    Duration(DurationUnit),
    /// One of several spans in seconds that make up the duration; a negative one means that there is none.
    DurationPart,
    /// Method, whole URL, protocol.
    RequestLine,
    Extra,
}

/// What stands between columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    Tab,
    /// A value may stand in quotes.
    Space,
}

/// How a text column that may hold spaces is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// Quotes, and `\"` or `\xHH` inside.
    Backslash,
    /// `%20` for a space.
    Percent,
    /// `+` for a space; or quotes, and `""` inside.
    Plus,
}

/// A column: its name, for messages and where it has no column of its own, and its meaning.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub name: Cow<'static, str>,
    pub meaning: Meaning,
}

/// The columns of a log.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    pub columns: Vec<Column>,
    /// Lines have at least so many; vendors append columns over time.
    pub required: usize,
    pub separator: Separator,
    pub escape: Escape,
    /// Of durations whose log does not say their unit; unknown still: seconds with a fraction, milliseconds without.
    pub guessed: DurationUnit,
}

impl Columns {
    /// Reads a line; `with_extra` says whether columns without a meaning are kept.
    ///
    /// # Errors
    /// The column, what was expected of it, and what was found.
    pub fn read<'a>(&self, line: &'a str, with_extra: bool) -> Result<Request<'a>, String> {
        let mut reading = Reading::default();
        let mut values = Values { rest: Some(line), separator: self.separator };
        let mut count = 0;
        for column in &self.columns {
            let Some(value) = values.next() else { break };
            let value = value.map_err(|what| format!("column '{}': expected {what}", column.name))?;
            count += 1;
            if !matches!(value.raw, "-" | "") && (with_extra || column.meaning != Meaning::Extra) {
                self.set(&mut reading, column, value)?;
            }
        }
        if count < self.required {
            let missing = self.columns.get(count).map(|column| column.name.as_ref()).unwrap_or_default();
            return Err(format!("expected column '{missing}', found the end of the line behind {count} columns"));
        }
        for (value, number) in values.zip(count + 1..) {
            let value = value.map_err(|what| format!("column {number}: expected {what}"))?;
            if with_extra && !matches!(value.raw, "-" | "") {
                let name = Cow::Owned(format!("column_{number}"));
                reading.request.extra.push(Extra { name, value: self.text(value), json: false });
            }
        }
        reading.finish()
    }

    fn set<'a>(&self, reading: &mut Reading<'a>, column: &Column, value: Value<'a>) -> Result<(), String> {
        let raw = value.raw;
        let bad = |expected: &str| format!("column '{}': expected {expected}, found '{}'", column.name, clipped(raw));
        let request = &mut reading.request;
        let text = || Some(self.text(value));
        match column.meaning {
            Meaning::Time => {
                let instant = rfc3339(raw.as_bytes(), &mut DayCache::default()).or_else(|| epoch(raw, Epoch::BySize));
                let micros = instant.and_then(Instant::micros);
                request.time = Some(micros.ok_or_else(|| bad("a time such as 2026-03-02T08:00:00.385Z"))?);
            }
            Meaning::Date => reading.date = Some(raw),
            Meaning::Clock => reading.clock = Some(raw),
            Meaning::Host => request.host = Some(host_of(self.text(value))),
            Meaning::Address => request.address = text(),
            Meaning::AddressPort => request.address = Some(Cow::Borrowed(without_port(raw))),
            Meaning::User => request.user = text(),
            Meaning::Method => request.method = text(),
            Meaning::Path => {
                let query = request.query.take();
                request.set_url(Cow::Borrowed(raw));
                request.query = query.or(request.query.take());
            }
            Meaning::Query => request.query = Some(Cow::Borrowed(raw.strip_prefix('?').unwrap_or(raw))),
            Meaning::Protocol => request.protocol = text(),
            Meaning::Referrer => request.referrer = text(),
            Meaning::Agent if self.escape == Escape::Percent => request.agent = Some(percent_decoded_agent(raw)),
            Meaning::Agent => request.agent = text(),
            Meaning::Status => {
                let status = raw.parse().ok().filter(|status| (0..=999).contains(status));
                request.status = Some(status.ok_or_else(|| bad("a status such as 200"))?);
            }
            Meaning::Bytes => {
                let bytes = raw.parse().ok().filter(|bytes| *bytes >= 0);
                request.bytes = Some(bytes.ok_or_else(|| bad("a number of bytes"))?);
            }
            Meaning::Duration(unit) => {
                let unit = if unit == DurationUnit::Guess { self.guessed } else { unit };
                let unit = match unit {
                    DurationUnit::Guess if raw.contains('.') => DurationUnit::Seconds,
                    DurationUnit::Guess => DurationUnit::Millis,
                    unit => unit,
                };
                request.duration = Some(duration(raw, unit).ok_or_else(|| bad("a duration"))?);
            }
            Meaning::DurationPart => {
                let part: f64 = raw.parse().ok().filter(|part: &f64| part.is_finite()).ok_or_else(|| bad("seconds"))?;
                reading.parts = Some(reading.parts.unwrap_or(0.0) + if part < 0.0 { f64::NAN } else { part });
            }
            Meaning::RequestLine => request_line(request, self.text(value)),
            Meaning::Extra => {
                let name = Cow::Owned(column.name.clone().into_owned());
                request.extra.push(Extra { name, value: self.text(value), json: false });
            }
        }
        Ok(())
    }

    fn text<'a>(&self, value: Value<'a>) -> Cow<'a, str> {
        match (self.escape, value.quoted) {
            (Escape::Percent, _) => percent_decoded(value.raw),
            (Escape::Plus, false) => plus_decoded(value.raw),
            (Escape::Plus, true) if value.raw.contains("\"\"") => Cow::Owned(value.raw.replace("\"\"", "\"")),
            (Escape::Plus, true) => Cow::Borrowed(value.raw),
            (Escape::Backslash, _) => unescape(value.raw),
        }
    }
}

/// `GET https://a.example:443/p?q HTTP/1.1`, where what the client did not say is a dash.
fn request_line<'a>(request: &mut Request<'a>, line: Cow<'a, str>) {
    if let Some(rest) = line.strip_prefix("- ") {
        let target = rest.trim_end_matches(['-', ' ']);
        if !target.is_empty() {
            request.set_url(Cow::Owned(target.to_owned()));
        }
        return;
    }
    let Some((method, rest)) = line.split_once(' ') else {
        request.set_request_line(line);
        return;
    };
    match rest.rsplit_once(' ') {
        Some((target, protocol)) if target.contains("://") => {
            request.method = Some(Cow::Owned(method.to_owned()));
            request.protocol = (protocol != "-").then(|| Cow::Owned(protocol.to_owned()));
            request.set_url(Cow::Owned(target.to_owned()));
        }
        _ => request.set_request_line(line),
    }
}

/// The address of `203.0.113.9:4711`, `[2001:db8::1]:443` or `2001:db8::1:443`, whose last part is always a port.
pub(super) fn without_port(raw: &str) -> &str {
    match raw.rsplit_once(':') {
        Some((address, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && parse_address(address).is_some() => {
            address
        }
        _ => raw,
    }
}

/// A line while it is read.
#[derive(Default)]
struct Reading<'a> {
    request: Request<'a>,
    date: Option<&'a str>,
    clock: Option<&'a str>,
    parts: Option<f64>,
}

impl<'a> Reading<'a> {
    fn finish(mut self) -> Result<Request<'a>, String> {
        if let (Some(date), Some(clock)) = (self.date, self.clock) {
            let instant = date_and_clock(date, clock).and_then(Instant::micros);
            let found =
                || format!("columns 'date' and 'time': expected a date and a time of day, found '{date} {clock}'");
            self.request.time = Some(instant.ok_or_else(found)?);
        }
        if let Some(sum) = self.parts.filter(|sum| !sum.is_nan()) {
            // the log rounds to milliseconds; the sum of what it wrote is no finer
            self.request.duration = Some((sum * 1e6).round() / 1e6);
        }
        Ok(self.request)
    }
}

/// A column's text as it stands, without its quotes.
#[derive(Debug, Clone, Copy)]
struct Value<'a> {
    raw: &'a str,
    quoted: bool,
}

/// The columns of a line.
struct Values<'a> {
    rest: Option<&'a str>,
    separator: Separator,
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<Value<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        let separator = match self.separator {
            Separator::Tab => b'\t',
            Separator::Space => b' ',
        };
        if let Some(inside) = rest.strip_prefix('"').filter(|_| self.separator == Separator::Space) {
            let end = match closing_quote(inside.as_bytes()) {
                Ok(end) => end,
                Err(expected) => {
                    self.rest = None;
                    return Some(Err(expected));
                }
            };
            self.rest = inside.get(end + 2..);
            return Some(Ok(Value { raw: inside.get(..end).unwrap_or_default(), quoted: true }));
        }
        let end = memchr::memchr(separator, rest.as_bytes());
        self.rest = end.and_then(|end| rest.get(end + 1..));
        Some(Ok(Value { raw: rest.get(..end.unwrap_or(rest.len())).unwrap_or_default(), quoted: false }))
    }
}

/// The quote that is neither escaped nor doubled; it ends the column, so a separator or the end must follow.
fn closing_quote(bytes: &[u8]) -> Result<usize, &'static str> {
    let mut at = 0;
    loop {
        let found = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest));
        at += found.ok_or("a closing quote")?;
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(b'"'), None | Some(b' ')) => return Ok(at),
            (Some(b'\\'), _) | (_, Some(b'"')) => at += 2,
            _ => return Err("a space behind the closing quote"),
        }
    }
}
