//! JSON logs of requests, whatever they call their keys, into the canonical schema.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use fyke_types::request::request_schema;
use fyke_types::{Decoded, Decoder, Format, Micros, Result};

use crate::access::{DurationUnit, RequestSettings, duration};
use crate::json::value::{Object, Value, clipped, get, parse};
use crate::text::lines::{Content, Utf8Block};
use crate::text::time::{DayCache, Epoch, Instant, common_log, epoch, rfc3339};

use super::keys;
use super::rows::{Extra, Request, RequestRows, Text, check_size, is_method};

/// The keys that hold the parts of a request: per part those that a sample has, surest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Mapping {
    time: Vec<&'static str>,
    host: Vec<&'static str>,
    address: Vec<&'static str>,
    user: Vec<&'static str>,
    method: Vec<&'static str>,
    target: Vec<&'static str>,
    query: Vec<&'static str>,
    protocol: Vec<&'static str>,
    status: Vec<&'static str>,
    bytes: Vec<&'static str>,
    referrer: Vec<&'static str>,
    agent: Vec<&'static str>,
    request: Vec<&'static str>,
    duration: Vec<(&'static str, DurationUnit)>,
}

/// The scalar under a key, or where there is no such key at the path that its dots spell.
fn find<'v, 'a>(object: &'v Object<'a>, key: &str) -> Option<&'v Value<'a>> {
    let value = match get(object, key) {
        Some(value) => value,
        None => {
            let (parents, last) = key.rsplit_once('.')?;
            let mut inside = object;
            for parent in parents.split('.') {
                let Some(Value::Object(next)) = get(inside, parent) else { return None };
                inside = next;
            }
            get(inside, last)?
        }
    };
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        Value::Text(text) if matches!(text.as_ref(), "" | "-") => None,
        scalar => Some(scalar),
    }
}

impl Mapping {
    /// The mapping for lines like `sample`, objects of which each has its own keys.
    pub fn of(sample: &[Object<'_>]) -> Self {
        let held = |key: &str| sample.iter().any(|object| find(object, key).is_some());
        let known = |keys: &[&'static str]| keys.iter().copied().filter(|key| held(key)).collect();
        Self {
            time: known(keys::TIME),
            host: known(keys::HOST),
            address: known(keys::ADDRESS),
            user: known(keys::USER),
            method: known(keys::METHOD),
            target: known(keys::TARGET),
            query: known(keys::QUERY),
            protocol: known(keys::PROTOCOL),
            status: known(keys::STATUS),
            bytes: known(keys::BYTES),
            referrer: known(keys::REFERRER),
            agent: known(keys::AGENT),
            request: known(keys::REQUEST),
            duration: keys::DURATION.iter().copied().filter(|(key, _)| held(key)).collect(),
        }
    }

    /// Enough is known to tell who asked for what, and when.
    pub fn is_request(&self) -> bool {
        let asked = !self.target.is_empty() || !self.request.is_empty();
        asked && !self.time.is_empty() && !self.address.is_empty()
    }

    /// What was recognised, for people.
    pub fn description(&self) -> String {
        let part = |name: &str, keys: &[&'static str]| keys.first().map(|key| format!("{name} from '{key}'"));
        let parts = [
            part("time", &self.time),
            part("client_ip", &self.address),
            part("host", &self.host),
            part("method", &self.method),
            part("path", if self.target.is_empty() { &self.request } else { &self.target }),
            part("status", &self.status),
            part("agent", &self.agent),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn read<'a>(&self, object: &'a Object<'a>) -> std::result::Result<Request<'a>, String> {
        let mut request = Request::default();
        let first = |keys: &[&'static str]| keys.iter().find_map(|key| Some((*key, find(object, key)?)));
        let text = |keys: &[&'static str]| -> Text<'a> { keys.iter().find_map(|key| as_text(find(object, key)?)) };
        request.host = text(&self.host);
        if let Some(line) = text(&self.request).filter(|line| request_line(line)) {
            request.set_request_line(line);
        }
        if let Some(target) = text(&self.target) {
            set_target(&mut request, target);
        }
        request.method = text(&self.method).or(request.method);
        request.query = text(&self.query)
            .map(|query| match query.strip_prefix('?') {
                Some(plain) => Cow::Owned(plain.to_owned()),
                None => query,
            })
            .filter(|query| !query.is_empty())
            .or(request.query);
        request.protocol = text(&self.protocol).or(request.protocol);
        request.address = text(&self.address);
        request.user = text(&self.user);
        request.referrer = text(&self.referrer);
        request.agent = text(&self.agent);
        if let Some((key, value)) = first(&self.time) {
            request.time = Some(time(value).ok_or_else(|| wrong(key, "a time", value))?);
        }
        if let Some((key, value)) = first(&self.status) {
            let status = number(value).and_then(|text| text.parse().ok()).filter(|status| (0..=999).contains(status));
            request.status = Some(status.ok_or_else(|| wrong(key, "a status such as 200", value))?);
        }
        if let Some((key, value)) = first(&self.bytes) {
            let bytes = number(value).and_then(|text| text.parse().ok()).filter(|bytes| *bytes >= 0);
            request.bytes = Some(bytes.ok_or_else(|| wrong(key, "a number of bytes", value))?);
        }
        if let Some((key, unit)) = self.duration.iter().find(|(key, _)| find(object, key).is_some())
            && let Some(value) = find(object, key)
        {
            let seconds = number(value).and_then(|text| seconds(text, *unit));
            request.duration = Some(seconds.ok_or_else(|| wrong(key, "a duration", value))?);
        }
        self.extra(object, &mut request);
        Ok(request)
    }

    fn extra<'a>(&self, object: &'a Object<'a>, request: &mut Request<'a>) {
        let used = [
            &self.time,
            &self.host,
            &self.address,
            &self.user,
            &self.method,
            &self.target,
            &self.query,
            &self.protocol,
            &self.status,
            &self.bytes,
            &self.referrer,
            &self.agent,
        ];
        for (key, value) in object {
            // only the key that was read: a second time or host is kept
            let read =
                used.iter().any(|keys| keys.iter().find(|name| find(object, name).is_some()) == Some(&key.as_ref()));
            let nothing =
                matches!(value, Value::Null) || matches!(value, Value::Text(text) if matches!(text.as_ref(), "" | "-"));
            if read || nothing || self.duration.iter().any(|(name, _)| name == key) {
                continue;
            }
            let extra = match value {
                Value::Text(text) => Extra { name: Cow::Borrowed(key), value: Cow::Borrowed(text), json: false },
                other => {
                    let mut json = String::new();
                    other.write_json(&mut json);
                    Extra { name: Cow::Borrowed(key), value: Cow::Owned(json), json: true }
                }
            };
            request.extra.push(extra);
        }
    }
}

fn wrong(key: &str, expected: &str, value: &Value<'_>) -> String {
    format!("key '{key}': expected {expected}, found {}", value.found())
}

fn request_line(line: &str) -> bool {
    line.split_once(' ').is_some_and(|(method, _)| is_method(method))
}

/// A path with its query, or a whole URL.
fn set_target<'a>(request: &mut Request<'a>, target: Cow<'a, str>) {
    let behind = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    let Some(behind) = behind else {
        request.set_target(target);
        return;
    };
    let end = behind.find(['/', '?']).unwrap_or(behind.len());
    let (host, rest) = (behind.get(..end).unwrap_or_default().to_owned(), behind.get(end..).unwrap_or_default());
    let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    request.host = request.host.take().or((!host.is_empty()).then_some(Cow::Owned(host)));
    request.set_target(Cow::Owned(rest));
}

fn as_text<'a>(value: &'a Value<'a>) -> Text<'a> {
    match value {
        Value::Text(text) => Some(Cow::Borrowed(text)),
        Value::Number { text, .. } => Some(Cow::Borrowed(text)),
        Value::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
        _ => None,
    }
}

/// The text of a number, which may stand in quotes. A fraction of zeros is no fraction: some loggers know only doubles.
fn number<'a>(value: &'a Value<'_>) -> Option<&'a str> {
    let text = match value {
        Value::Number { text, .. } => text,
        Value::Text(text) => text.trim(),
        _ => return None,
    };
    match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => Some(whole),
        _ => Some(text),
    }
}

fn seconds(text: &str, unit: DurationUnit) -> Option<f64> {
    // JSON writes small numbers with exponents
    match text.parse::<f64>() {
        Ok(value) if text.contains(['e', 'E']) && value.is_finite() && value >= 0.0 => {
            duration(&format!("{value:.9}"), unit)
        }
        _ => duration(text, unit),
    }
}

fn time(value: &Value<'_>) -> Option<Micros> {
    let instant: Option<Instant> = match value {
        Value::Number { text, .. } => epoch(text, Epoch::BySize),
        Value::Text(text) => {
            let text = text.trim();
            let bytes = text.as_bytes();
            rfc3339(bytes, &mut DayCache::default())
                .or_else(|| common_log(bytes))
                .or_else(|| epoch(text, Epoch::BySize))
        }
        _ => None,
    };
    instant.and_then(Instant::micros)
}

/// JSON lines, each of them a request.
#[derive(Debug)]
pub(crate) struct RequestsJson {
    mapping: Arc<Mapping>,
    settings: RequestSettings,
}

impl RequestsJson {
    pub(super) fn new(mapping: Mapping, settings: RequestSettings) -> Self {
        Self { mapping: Arc::new(mapping), settings }
    }
}

impl Format for RequestsJson {
    fn schema(&self) -> SchemaRef {
        request_schema()
    }

    fn decoder(&self, projection: Option<&[usize]>) -> Result<Box<dyn Decoder>> {
        let rows = RequestRows::new(projection, self.settings.rule.clone(), self.settings.customer)?;
        Ok(Box::new(RequestsJsonDecoder { mapping: Arc::clone(&self.mapping), rows }))
    }
}

#[derive(Debug)]
struct RequestsJsonDecoder {
    mapping: Arc<Mapping>,
    rows: RequestRows,
}

impl RequestsJsonDecoder {
    fn line(&mut self, text: &str, customer: &str) -> std::result::Result<(), String> {
        let value = parse(text).map_err(|bad| format!("not JSON: expected {} at byte {}", bad.expected, bad.at))?;
        let Value::Object(object) = value else { return Err(format!("expected an object, found {}", value.found())) };
        let request = self.mapping.read(&object)?;
        if request.time.is_none() && request.path.is_none() && request.address.is_none() {
            return Err(format!("expected a request, found '{}'", clipped(text)));
        }
        self.rows.push(&request, customer);
        Ok(())
    }
}

impl Decoder for RequestsJsonDecoder {
    fn decode(&mut self, block: &[u8], customer: &str) -> Result<Decoded> {
        check_size(block, customer)?;
        let utf8 = Utf8Block::new(block);
        let (mut lines, mut skipped, mut dead) = (0, 0, Vec::new());
        for line in utf8.lines() {
            lines += 1;
            match utf8.content(&line) {
                Content::Blank => skipped += 1,
                Content::NotUtf8(at) => dead.push(line.dead(format!("not UTF-8 at byte {at}"))),
                Content::Text(text) => {
                    if let Err(reason) = self.line(text, customer) {
                        dead.push(line.dead(reason));
                    }
                }
            }
        }
        Ok(Decoded { batch: self.rows.finish()?, dead, lines, skipped })
    }
}
