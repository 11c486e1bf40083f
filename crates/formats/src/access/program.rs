//! A line format, compiled: literals and fields in turn. Each line is read by running it.

use std::borrow::Cow;

use crate::requests::client::parse_address;
use crate::requests::rows::{Extra, Request, host_of};
use crate::text::time::{self, DayCache, Epoch, Instant};

use super::escape::unescape;
use super::strftime::{Piece, TimeParts};

/// What a field means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    /// The client as the server sees it.
    Address,
    /// Who opened the connection.
    Peer,
    User,
    /// `17/May/2015:10:05:03 +0000`.
    CommonTime,
    /// `2015-05-17T10:05:03+00:00`.
    IsoTime,
    /// Seconds since 1970, with a fraction.
    EpochTime,
    /// A part of the time, or all of it.
    TimePieces(Vec<Piece>),
    RequestLine,
    Method,
    Path,
    /// Path and query.
    Target,
    /// The query, with or without its question mark.
    Query,
    Protocol,
    Status,
    Bytes,
    Referrer,
    Agent,
    Duration(DurationUnit),
    Host,
    /// Anything else, kept under this name.
    Extra(String),
}

/// What a duration counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum DurationUnit {
    /// Seconds if it has a decimal point, else microseconds: nginx and Apache write so.
    #[default]
    Guess,
    Seconds,
    Millis,
    Micros,
    Nanos,
}

/// One step of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Literal(String),
    Field(Field),
}

/// A compiled line format.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    steps: Vec<Step>,
    /// A value that a space ends holds no space.
    pub strict: bool,
    /// No line that fits it fits another program that it stands beside.
    pub exclusive: bool,
    /// A host must not look like an address: it stands where another format has the client.
    pub named_host: bool,
}

/// Where a line leaves its format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub at: usize,
    pub expected: String,
}

impl Broken {
    fn new(at: usize, expected: impl Into<String>) -> Self {
        Self { at, expected: expected.into() }
    }

    pub fn reason(&self) -> String {
        format!("expected {} at byte {}", self.expected, self.at)
    }
}

impl Program {
    /// A program of steps; neighbouring literals become one.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let mut merged: Vec<Step> = Vec::new();
        for step in steps {
            match (merged.last_mut(), step) {
                (Some(Step::Literal(before)), Step::Literal(text)) => before.push_str(&text),
                (_, Step::Literal(text)) if text.is_empty() => {}
                // `%U%q` and `$uri$is_args$args`: only together do they have a border
                (Some(Step::Field(before @ Field::Path)), Step::Field(Field::Query)) => *before = Field::Target,
                (Some(Step::Field(Field::Path)), Step::Field(Field::Extra(name))) if name == "is_args" => {}
                (_, step) => merged.push(step),
            }
        }
        Self { steps: merged, strict: true, exclusive: true, named_host: false }
    }

    /// The same format for lines that it does not fit: with spaces inside values. They could be taken for others.
    pub fn lenient(mut self) -> Self {
        (self.strict, self.exclusive) = (false, false);
        self
    }

    /// It reads anything at all.
    pub fn has_fields(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Field(_)))
    }

    /// Two fields side by side, of which the first does not end by itself: their border is unknowable.
    pub fn first_border_lacking(&self) -> Option<String> {
        self.steps.windows(2).find_map(|pair| match pair {
            [Step::Field(field), Step::Field(_)] if !field.ends_itself() => Some(field.name()),
            _ => None,
        })
    }

    /// Reads a line.
    pub fn read<'a>(&self, line: &'a str, guessed: DurationUnit) -> Result<Request<'a>, Broken> {
        let mut reading =
            Reading { line, request: Request::default(), parts: TimeParts::default(), parted: None, guessed };
        let mut at = 0;
        let mut before = "";
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                Step::Literal(text) => {
                    let rest = line.get(at..).unwrap_or_default();
                    if !rest.starts_with(text.as_str()) {
                        // point at the byte that differs
                        let same = rest.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
                        let expected = format!("'{}'{}", text.get(same..).unwrap_or(text), self.before_what(index));
                        return Err(Broken::new(at + same, expected));
                    }
                    at += text.len();
                    before = text;
                }
                Step::Field(Field::TimePieces(pieces)) => {
                    let text = line.get(at..).unwrap_or_default();
                    reading.parted.get_or_insert(at);
                    let used = reading.parts.read(pieces, text);
                    at += used.map_err(|(behind, expected)| Broken::new(at + behind, expected))?;
                    before = "";
                }
                Step::Field(field) => {
                    let end = self.end(line, at, before, index)?;
                    let raw = line.get(at..end).unwrap_or_default();
                    if self.named_host && *field == Field::Host && parse_address(raw).is_some() {
                        return Err(Broken::new(at, "a host name"));
                    }
                    reading.set(field, raw, at)?;
                    at = end;
                    before = "";
                }
            }
        }
        if at < line.len() {
            return Err(Broken::new(at, "the end of the line"));
        }
        reading.finish()
    }

    /// Where the field that step `index` reads from `at` ends.
    fn end(&self, line: &str, at: usize, before: &str, index: usize) -> Result<usize, Broken> {
        let next = match self.steps.get(index + 1) {
            Some(Step::Literal(next)) => next.as_str(),
            _ => return Ok(line.len()),
        };
        let last = index + 2 == self.steps.len();
        let rest = line.get(at..).unwrap_or_default();
        let found = if before.ends_with('"') && next.starts_with('"') {
            quote(rest, next, last)
        } else if self.strict && next.starts_with(' ') {
            memchr::memchr(b' ', rest.as_bytes())
        } else {
            memchr::memmem::find(rest.as_bytes(), next.as_bytes())
        };
        found.map(|found| at + found).ok_or_else(|| {
            let name = self.steps.get(index).map(Step::name).unwrap_or_default();
            Broken::new(line.len(), format!("'{next}' behind {name}"))
        })
    }

    fn before_what(&self, index: usize) -> String {
        match self.steps.get(index + 1) {
            Some(step) => format!(" before {}", step.name()),
            None => " at the end of the line".into(),
        }
    }
}

/// The closing quote of a quoted field: the first that is not escaped and that what comes next follows. Some servers
/// leave quotes inside unescaped.
fn quote(rest: &str, next: &str, last: bool) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'\\') {
            at += 2;
            continue;
        }
        let behind = rest.get(at..)?;
        if if last { behind == next } else { behind.starts_with(next) } {
            return Some(at);
        }
        at += 1;
    }
}

impl Step {
    fn name(&self) -> String {
        match self {
            Self::Literal(text) => format!("'{text}'"),
            Self::Field(field) => field.name(),
        }
    }
}

impl Field {
    fn ends_itself(&self) -> bool {
        matches!(self, Self::TimePieces(_))
    }

    /// What it is called in messages.
    fn name(&self) -> String {
        let name = match self {
            Self::Address => "the client's address",
            Self::Peer => "the peer's address",
            Self::User => "the user",
            Self::CommonTime | Self::IsoTime | Self::EpochTime | Self::TimePieces(_) => "the time",
            Self::RequestLine => "the request",
            Self::Method => "the method",
            Self::Path | Self::Target => "the path",
            Self::Query => "the query",
            Self::Protocol => "the protocol",
            Self::Status => "the status",
            Self::Bytes => "the bytes",
            Self::Referrer => "the referrer",
            Self::Agent => "the user agent",
            Self::Duration(_) => "the duration",
            Self::Host => "the host",
            Self::Extra(name) => return format!("'{name}'"),
        };
        name.to_owned()
    }
}

/// A line while it is read.
struct Reading<'a> {
    line: &'a str,
    request: Request<'a>,
    parts: TimeParts,
    /// Where the first part of the time stood.
    parted: Option<usize>,
    guessed: DurationUnit,
}

impl<'a> Reading<'a> {
    fn set(&mut self, field: &Field, raw: &'a str, at: usize) -> Result<(), Broken> {
        if matches!(raw, "-" | "") {
            return Ok(());
        }
        let text = || Some(unescape(raw));
        let bad = |expected: &str| Broken::new(at, expected);
        let request = &mut self.request;
        match field {
            Field::Address => request.address = request.address.take().or_else(text),
            Field::Peer => request.peer = text(),
            Field::User => request.user = text().filter(|user| user != "\"\""),
            Field::Host => request.host = request.host.take().or_else(|| Some(host_of(unescape(raw)))),
            Field::Method => request.method = text(),
            Field::Path => request.path = text(),
            Field::Target => request.set_target(unescape(raw)),
            Field::Query => request.query = text().map(without_mark).filter(|query| !query.is_empty()),
            Field::Protocol => request.protocol = text(),
            Field::Referrer => request.referrer = text(),
            Field::Agent => request.agent = text(),
            Field::RequestLine => request.set_request_line(unescape(raw)),
            Field::Extra(name) => {
                let name = Cow::Owned(name.clone());
                request.extra.push(Extra { name, value: unescape(raw), json: false });
            }
            Field::Status => {
                let status = raw.parse().ok().filter(|status| (0..=999).contains(status));
                request.status = Some(status.ok_or_else(|| bad("a status such as 200"))?);
            }
            Field::Bytes => {
                let bytes = raw.parse().ok().filter(|bytes| *bytes >= 0);
                request.bytes = Some(bytes.ok_or_else(|| bad("a number of bytes"))?);
            }
            Field::Duration(unit) => {
                let unit = if *unit == DurationUnit::Guess { self.guessed } else { *unit };
                request.duration = Some(duration(raw, unit).ok_or_else(|| bad("a duration"))?);
            }
            Field::CommonTime => {
                let instant = time::common_log(raw.as_bytes());
                request.time = Some(micros(instant).ok_or_else(|| bad("a time such as 17/May/2015:10:05:03 +0000"))?);
            }
            Field::IsoTime => {
                let instant = time::rfc3339(raw.as_bytes(), &mut DayCache::default());
                request.time = Some(micros(instant).ok_or_else(|| bad("a time such as 2015-05-17T10:05:03+00:00"))?);
            }
            Field::EpochTime => {
                let instant = time::epoch(raw, Epoch::Seconds);
                request.time = Some(micros(instant).ok_or_else(|| bad("seconds since 1970"))?);
            }
            Field::TimePieces(_) => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Request<'a>, Broken> {
        if let Some(at) = self.parted {
            let instant = self.parts.instant();
            self.request.time =
                Some(instant.ok_or_else(|| Broken::new(at.min(self.line.len()), "a date that exists"))?);
        }
        Ok(self.request)
    }
}

fn micros(instant: Option<Instant>) -> Option<i64> {
    instant.and_then(Instant::micros)
}

fn without_mark(query: Cow<'_, str>) -> Cow<'_, str> {
    match query {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix('?').unwrap_or(text)),
        Cow::Owned(text) => Cow::Owned(text.strip_prefix('?').map(str::to_owned).unwrap_or(text)),
    }
}

/// Seconds of a duration. Of several (`0.1, 0.2 : 0.3`: nginx's tries of its upstreams) their sum.
pub(crate) fn duration(raw: &str, unit: DurationUnit) -> Option<f64> {
    let mut sum = 0.0;
    for part in raw.split([',', ':']) {
        let part = part.trim();
        if part == "-" {
            continue;
        }
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return None;
        }
        let value: f64 = part.parse().ok()?;
        sum += match unit {
            DurationUnit::Seconds => value,
            DurationUnit::Millis => value / 1e3,
            DurationUnit::Micros => value / 1e6,
            DurationUnit::Nanos => value / 1e9,
            DurationUnit::Guess if part.contains('.') => value,
            DurationUnit::Guess => value / 1e6,
        };
    }
    Some(sum).filter(|sum: &f64| sum.is_finite())
}
