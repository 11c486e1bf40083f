//! HAProxy's HTTP log (`option httplog`, `option httpslog`), after "HTTP log format", "Non-printable characters" and
//! "Capturing HTTP headers" (HAProxy configuration manual, chapter 8), with or without a syslog header before it.
//!
//! Its clock has no zone: `utc_offset` (such as `+02:00`; default UTC) says which. The captured headers between braces
//! have no names: `captured_request_headers` and `captured_response_headers` name them in the order of the
//! configuration (`host, user-agent`), and so tell host, agent and referrer. `duration` is the whole time (`Ta`, `Tt`).
//! Lines that tell of connections rather than requests are dead letters.

use std::borrow::Cow;
use std::sync::Arc;

use fyke_types::{Error, Result, Settings};

use crate::access::RequestSettings;
use crate::requests::reader::{Line, LineReader, LinesFormat, Rows};
use crate::requests::rows::{Extra, Request, host_of};
use crate::text::percent::hex_pair;
use crate::text::time::{Instant, local_log, offset};

use super::columns::without_port;

#[derive(Debug, Default)]
struct Rules {
    /// Seconds east of Greenwich.
    east: i64,
    request_headers: Vec<String>,
    response_headers: Vec<String>,
}

/// The format. Settings: `utc_offset`, `captured_request_headers`, `captured_response_headers`.
///
/// # Errors
/// `Usage` for what is no offset.
pub(super) fn format(settings: &mut Settings, shared: &RequestSettings) -> Result<LinesFormat> {
    let names = |text: Option<String>| -> Vec<String> {
        let text = text.unwrap_or_default();
        text.split([',', '|']).map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect()
    };
    let rules = Arc::new(Rules {
        east: utc_offset(settings)?,
        request_headers: names(settings.text("captured_request_headers")),
        response_headers: names(settings.text("captured_response_headers")),
    });
    Ok(LinesFormat::new("HAPROXY", shared, move || Box::new(HaproxyReader(Arc::clone(&rules)))))
}

fn utc_offset(settings: &mut Settings) -> Result<i64> {
    let Some(text) = settings.text("utc_offset") else { return Ok(0) };
    offset(text.trim().as_bytes()).ok_or_else(|| {
        Error::usage(format!("setting 'utc_offset' is '{text}'")).hint("it takes an offset such as '+02:00', or 'Z'")
    })
}

/// Whether a sample looks like it.
pub(super) fn likely(lines: &[&str]) -> bool {
    lines.iter().any(|line| accept_date(line).is_some())
}

struct HaproxyReader(Arc<Rules>);

impl LineReader for HaproxyReader {
    fn read(&mut self, line: &str, rows: &mut Rows<'_>) -> Result<Line, String> {
        rows.push(&self.0.request(line, rows.want_extra())?);
        Ok(Line::Row)
    }
}

/// The place of the bracket before `14/Jan/2015:12:48:57.127]`.
fn accept_date(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    memchr::memchr_iter(b'[', bytes).find(|at| {
        let date = bytes.get(at + 1..at + 22);
        date.is_some_and(|date| {
            [(2, b'/'), (6, b'/'), (11, b':'), (14, b':'), (17, b':'), (20, b'.')]
                .iter()
                .all(|(at, byte)| date.get(*at) == Some(byte))
        })
    })
}

/// A line behind its date, read from left to right.
struct Rest<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    fn expected<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("expected {what} at byte {}", self.at))
    }

    fn text(&self) -> &'a str {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, literal: &str) -> bool {
        let there = self.text().starts_with(literal);
        self.at += if there { literal.len() } else { 0 };
        there
    }

    /// What stands before the next space, which is taken too.
    fn token(&mut self, what: &str) -> Result<&'a str, String> {
        match memchr::memchr(b' ', self.text().as_bytes()) {
            Some(end) if end > 0 => {
                let token = self.text().get(..end).unwrap_or_default();
                self.at += end + 1;
                Ok(token)
            }
            _ => self.expected(what),
        }
    }

    /// What stands between braces: neither brace nor bar can stand inside unescaped.
    fn braces(&mut self) -> Result<Option<&'a str>, String> {
        if !self.skip("{") {
            return Ok(None);
        }
        let Some(end) = memchr::memchr(b'}', self.text().as_bytes()) else { return self.expected("'}'") };
        let inside = self.text().get(..end);
        self.at += end + 1;
        if !self.skip(" ") {
            return self.expected("a space behind '}'");
        }
        Ok(inside)
    }
}

impl Rules {
    fn request<'a>(&self, line: &'a str, with_extra: bool) -> Result<Request<'a>, String> {
        let Some(bracket) = accept_date(line) else {
            return Err("expected '[' and a time such as 14/Jan/2015:12:48:57.127 behind the client".to_owned());
        };
        let client = line.get(..bracket).unwrap_or_default().trim_end().rsplit(' ').next().unwrap_or_default();
        let mut rest = Rest { line, at: bracket + 1 };
        let Some(end) = memchr::memchr(b']', rest.text().as_bytes()) else { return rest.expected("']'") };
        let date = rest.text().get(..end).unwrap_or_default();
        let time = local_log(date.as_bytes(), self.east).and_then(Instant::micros);
        let Some(time) = time else { return rest.expected("a time such as 14/Jan/2015:12:48:57.127") };
        rest.at += end;
        if !rest.skip("] ") {
            return rest.expected("'] ' behind the time");
        }
        let mut request = Request { time: Some(time), ..Request::default() };
        request.address = (!matches!(client, "" | "-")).then(|| Cow::Borrowed(without_port(client)));
        let mut extra = Extras(with_extra.then_some(&mut request.extra));
        extra.add("frontend", rest.token("the frontend")?);
        let (at, backend) = (rest.at, rest.token("the backend and server")?);
        match backend.split_once('/') {
            Some((backend, server)) => {
                extra.add("backend", backend);
                extra.add("server", server);
            }
            None => return Err(format!("expected the backend and server at byte {at}")),
        }
        let (at, timers) = (rest.at, rest.token("the timers")?);
        request.duration = whole_time(timers).map_err(|()| format!("expected five timers at byte {at}"))?;
        extra.add("timers", timers);
        let (at, status) = (rest.at, rest.token("the status")?);
        request.status = number(status).map_err(|()| format!("expected a status such as 200 at byte {at}"))?;
        let (at, bytes) = (rest.at, rest.token("the bytes")?);
        request.bytes = number(bytes).map_err(|()| format!("expected a number of bytes at byte {at}"))?;
        for name in ["request_cookie", "response_cookie", "termination_state", "connections", "queues"] {
            extra.add(name, rest.token(&format!("the {}", name.replace('_', " ")))?);
        }
        let captured = (rest.braces()?, rest.braces()?);
        self.request_line(&mut rest, &mut request, with_extra)?;
        self.captured(captured, &mut request, with_extra);
        Ok(request)
    }

    /// The request in quotes, which may be cut off, and what `option httpslog` puts behind it.
    fn request_line<'a>(&self, rest: &mut Rest<'a>, request: &mut Request<'a>, with_extra: bool) -> Result<(), String> {
        if !rest.skip("\"") {
            return rest.expected("'\"' before the request");
        }
        let end = memchr::memchr(b'"', rest.text().as_bytes()).unwrap_or(rest.text().len());
        let line = rest.text().get(..end).unwrap_or_default();
        rest.at += end;
        // some syslog daemons put a backslash before a quote
        let line = line.strip_suffix('\\').unwrap_or(line);
        if !matches!(line, "<BADREQ>" | "") {
            request.set_request_line(unescaped(line));
            if let Some(path) = request.path.take_if(|path| path.contains("://")) {
                let query = request.query.take();
                request.set_url(path);
                request.query = query.or(request.query.take());
            }
        }
        let behind = rest.text().trim_start_matches('"').trim();
        if with_extra && !behind.is_empty() {
            let (name, value) = (Cow::Borrowed("tls"), Cow::Borrowed(behind));
            request.extra.push(Extra { name, value, json: false });
        }
        Ok(())
    }

    fn captured<'a>(
        &self,
        (first, second): (Option<&'a str>, Option<&'a str>),
        request: &mut Request<'a>,
        with_extra: bool,
    ) {
        // of one group alone only the names can tell whose it is
        let (of_request, of_response) = match (first, second) {
            (Some(first), None) if self.request_headers.is_empty() && !self.response_headers.is_empty() => {
                (None, Some(first))
            }
            both => both,
        };
        let groups = [
            (of_request, &self.request_headers, "captured_request_headers", true),
            (of_response, &self.response_headers, "captured_response_headers", false),
        ];
        for (group, names, whole, is_request) in groups {
            let Some(group) = group else { continue };
            if names.is_empty() {
                Extras(with_extra.then_some(&mut request.extra)).add(whole, group);
                continue;
            }
            for (value, name) in group.split('|').zip(names) {
                let text = unescaped(value);
                match name.as_str() {
                    _ if matches!(value, "" | "-") => {}
                    "host" if is_request => request.host = Some(host_of(text)),
                    "user-agent" if is_request => request.agent = Some(text),
                    "referer" | "referrer" if is_request => request.referrer = Some(text),
                    _ if !with_extra => {}
                    name => {
                        let name = if is_request { name.to_owned() } else { format!("sent_{name}") };
                        request.extra.push(Extra { name: Cow::Owned(name), value: text, json: false });
                    }
                }
            }
        }
    }
}

/// Where what has no column of its own goes, if anybody wants it.
struct Extras<'e, 'a>(Option<&'e mut Vec<Extra<'a>>>);

impl<'a> Extras<'_, 'a> {
    fn add(&mut self, name: &'static str, value: &'a str) {
        if let Some(extra) = &mut self.0
            && !matches!(value, "" | "-")
        {
            extra.push(Extra { name: Cow::Borrowed(name), value: Cow::Borrowed(value), json: false });
        }
    }
}

/// The last of `TR/Tw/Tc/Tr/Ta`, in seconds; none where it is -1. A `+` says that the log was written before the end.
fn whole_time(timers: &str) -> Result<Option<f64>, ()> {
    let mut parts = timers.split('/');
    let last = parts.next_back().ok_or(())?;
    if parts.count() != 4 {
        return Err(());
    }
    let millis: i64 = last.strip_prefix('+').unwrap_or(last).parse().map_err(|_| ())?;
    Ok((millis >= 0).then_some(millis as f64 / 1e3))
}

/// A number; none where it is -1.
fn number<T: std::str::FromStr + PartialOrd + From<u8>>(text: &str) -> Result<Option<T>, ()> {
    if matches!(text, "-1" | "-") {
        return Ok(None);
    }
    let digits = text.strip_prefix('+').unwrap_or(text);
    digits.parse().ok().filter(|value| *value >= T::from(0)).map(Some).ok_or(())
}

/// The text that `raw` stands for: `#XX` is a character that can't be printed, or that is special in the log.
fn unescaped(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'#', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let escaped = match (byte, behind) {
            (b'#', [high, low, ..]) => hex_pair(*high, *low),
            _ => None,
        };
        out.push(escaped.unwrap_or(*byte));
        rest = rest.get(if escaped.is_some() { 3 } else { 1 }..).unwrap_or_default();
    }
    String::from_utf8(out).map_or(Cow::Borrowed(raw), Cow::Owned)
}
