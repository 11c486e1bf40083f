//! JSON logs of requests, whatever they call their keys, into the canonical schema.

use std::borrow::Cow;

use fyke_types::Micros;

use crate::access::{DurationUnit, duration};
use crate::json::value::{Object, Value, clipped, parse};
use crate::text::percent::{percent_decoded, percent_decoded_agent};
use crate::text::time::{DayCache, Epoch, Instant, common_log, date_and_clock, epoch, rfc3339};

use super::keys::Keys;
use super::plan::{Place, Plan};
use super::reader::{Line, LineReader, Rows};
use super::rows::{Extra, Request, Text, host_of, is_method};

/// Reads lines of JSON objects by their keys.
#[derive(Debug)]
pub(crate) struct JsonReader {
    keys: &'static Keys,
    /// Where the parts stood in the line before: most lines have its shape. It changes no result.
    plan: Plan,
}

impl JsonReader {
    /// A reader of objects with `keys`.
    pub fn new(keys: &'static Keys) -> Self {
        Self { keys, plan: Plan::default() }
    }
}

impl LineReader for JsonReader {
    fn read(&mut self, line: &str, rows: &mut Rows<'_>) -> Result<Line, String> {
        let value = parse(line).map_err(|bad| format!("not JSON: expected {} at byte {}", bad.expected, bad.at))?;
        let Value::Object(object) = value else { return Err(format!("expected an object, found {}", value.found())) };
        if !self.plan.fits(&object) {
            self.plan = Plan::new(self.keys, &object);
        }
        let request = request_of(&self.plan, self.keys, &object, rows.want_extra())?;
        if request.time.is_none() && request.path.is_none() && request.address.is_none() {
            return Err(format!("expected a request, found '{}'", clipped(line)));
        }
        rows.push(&request);
        Ok(Line::Row)
    }
}

/// What a sample of lines tells of its keys.
#[derive(Debug)]
pub(super) struct Recognised {
    plans: Vec<Plan>,
}

impl Recognised {
    /// What `keys` find in `sample`, objects of which each has its own keys.
    pub fn new(keys: &Keys, sample: &[Object<'_>]) -> Self {
        // a place without a value tells nothing
        let plans = sample.iter().map(|object| {
            let mut plan = Plan::new(keys, object);
            for places in plan.main_mut() {
                places.retain(|place| place.scalar(object).is_some());
            }
            plan
        });
        Self { plans: plans.collect() }
    }

    /// Enough is known to tell who asked for what, and when.
    pub fn is_request(&self) -> bool {
        let any = |has: fn(&Plan) -> bool| self.plans.iter().any(has);
        any(|plan| !plan.target.is_empty() || !plan.request.is_empty())
            && any(|plan| !plan.time.is_empty() || plan.date_and_clock.is_some())
            && any(|plan| !plan.address.is_empty())
    }

    /// What was recognised, for people: of each part the surest key.
    pub fn description(&self, keys: &Keys) -> String {
        let first = |names: &'static [&'static str], places: fn(&Plan) -> &[Place]| {
            let found = |name: &str| self.plans.iter().any(|plan| places(plan).iter().any(|place| place.name == name));
            names.iter().copied().find(|name| found(name))
        };
        let path = first(keys.target, |plan| &plan.target).or_else(|| first(keys.request, |plan| &plan.request));
        let parts = [
            ("time", first(keys.time, |plan| &plan.time)),
            ("client_ip", first(keys.address, |plan| &plan.address)),
            ("host", first(keys.host, |plan| &plan.host)),
            ("method", first(keys.method, |plan| &plan.method)),
            ("path", path),
            ("status", first(keys.status, |plan| &plan.status)),
            ("agent", first(keys.agent, |plan| &plan.agent)),
        ];
        let found = parts.into_iter().filter_map(|(part, key)| Some(format!("{part} from '{}'", key?)));
        found.collect::<Vec<_>>().join(", ")
    }
}

impl Plan {
    fn main_mut(&mut self) -> [&mut Vec<Place>; 8] {
        let Self { time, address, host, method, target, request, status, agent, .. } = self;
        [time, address, host, method, target, request, status, agent]
    }
}

/// The first of `places` that says something.
fn first<'v, 'a>(places: &[Place], object: &'v Object<'a>) -> Option<(&'static str, &'v Value<'a>)> {
    places.iter().find_map(|place| Some((place.name, place.scalar(object)?)))
}

fn text<'a>(places: &[Place], object: &'a Object<'a>) -> Text<'a> {
    first(places, object).and_then(|(_, value)| as_text(value))
}

fn request_of<'a>(plan: &Plan, keys: &Keys, object: &'a Object<'a>, with_extra: bool) -> Result<Request<'a>, String> {
    let mut request = Request { host: text(&plan.host, object).map(host_of), ..Request::default() };
    if let Some(line) = text(&plan.request, object).filter(|line| request_line(line)) {
        request.set_request_line(line);
    }
    if let Some(target) = text(&plan.target, object) {
        request.set_url(target);
    }
    request.method = text(&plan.method, object).or(request.method);
    request.query = text(&plan.query, object)
        .map(|query| match query.strip_prefix('?') {
            Some(plain) => Cow::Owned(plain.to_owned()),
            None => query,
        })
        .filter(|query| !query.is_empty())
        .or(request.query);
    request.protocol = text(&plan.protocol, object).or(request.protocol);
    request.address = text(&plan.address, object).map(last_address);
    request.peer = text(&plan.peer, object);
    request.user = text(&plan.user, object);
    request.referrer = text(&plan.referrer, object);
    request.agent = text(&plan.agent, object);
    if keys.encoded {
        request.referrer = request.referrer.map(|text| decoded(text, percent_decoded));
        request.agent = request.agent.map(|text| decoded(text, percent_decoded_agent));
    }
    request.time = time_of(plan, object)?;
    if let Some((key, value)) = first(&plan.status, object) {
        let status = number(value).and_then(|text| text.parse().ok()).filter(|status| (0..=999).contains(status));
        request.status = Some(status.ok_or_else(|| wrong(key, "a status such as 200", value))?);
    }
    if let Some((key, value)) = first(&plan.bytes, object) {
        let bytes = number(value).and_then(|text| text.parse().ok()).filter(|bytes| *bytes >= 0);
        request.bytes = Some(bytes.ok_or_else(|| wrong(key, "a number of bytes", value))?);
    }
    request.duration = duration_of(plan, object)?;
    if let Some(Value::Object(headers)) = plan.headers.as_ref().and_then(|place| place.any(object)) {
        request.headers = Some(headers);
    }
    if with_extra {
        extra(plan, object, &mut request);
    }
    Ok(request)
}

/// Of a list of addresses the last: the one that the nearest proxy saw itself. What came before it is hearsay.
fn last_address(text: Cow<'_, str>) -> Cow<'_, str> {
    let Some((_, last)) = text.rsplit_once(',') else { return text };
    Cow::Owned(last.trim().to_owned())
}

fn time_of(plan: &Plan, object: &Object<'_>) -> Result<Option<Micros>, String> {
    if let Some((key, value)) = first(&plan.time, object) {
        return time(value).map(Some).ok_or_else(|| wrong(key, "a time", value));
    }
    let Some((date_place, clock_place)) = &plan.date_and_clock else { return Ok(None) };
    match (date_place.scalar(object), clock_place.scalar(object)) {
        (Some(Value::Text(date)), Some(Value::Text(clock))) => {
            let instant = date_and_clock(date, clock).and_then(Instant::micros);
            instant.map(Some).ok_or_else(|| {
                format!("keys '{}' and '{}': expected a date and a time", date_place.name, clock_place.name)
            })
        }
        _ => Ok(None),
    }
}

fn duration_of(plan: &Plan, object: &Object<'_>) -> Result<Option<f64>, String> {
    let read = |place: &Place, unit: DurationUnit, value: &Value<'_>| {
        let seconds = number(value).and_then(|text| seconds(text, unit));
        seconds.ok_or_else(|| wrong(place.name, "a duration", value))
    };
    for (place, unit) in &plan.duration {
        if let Some(value) = place.scalar(object) {
            return read(place, *unit, value).map(Some);
        }
    }
    let mut sum = None;
    for (place, unit) in &plan.duration_parts {
        let Some(value) = place.scalar(object) else { return Ok(None) };
        sum = Some(sum.unwrap_or(0.0) + read(place, *unit, value)?);
    }
    Ok(sum)
}

/// Keeps what was not read as a part. Only the key that was read is left out: a second time or host is kept.
fn extra<'a>(plan: &Plan, object: &'a Object<'a>, request: &mut Request<'a>) {
    let parts = [
        &plan.time,
        &plan.host,
        &plan.address,
        &plan.user,
        &plan.method,
        &plan.target,
        &plan.query,
        &plan.protocol,
        &plan.status,
        &plan.bytes,
        &plan.referrer,
        &plan.agent,
    ];
    let read: Vec<&'static str> = parts
        .iter()
        .filter_map(|places| places.iter().find(|place| place.scalar(object).is_some()))
        .filter(|place| place.is_top())
        .map(|place| place.name)
        .chain(plan.duration.iter().map(|(place, _)| place.name))
        .collect();
    for (key, value) in object {
        let nothing =
            matches!(value, Value::Null) || matches!(value, Value::Text(text) if matches!(text.as_ref(), "" | "-"));
        if nothing || read.iter().any(|name| name == key) {
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

fn wrong(key: &str, expected: &str, value: &Value<'_>) -> String {
    format!("key '{key}': expected {expected}, found {}", value.found())
}

fn request_line(line: &str) -> bool {
    line.split_once(' ').is_some_and(|(method, _)| is_method(method))
}

/// A text read otherwise, copied only where that changes it.
fn decoded<'a>(text: Cow<'a, str>, decode: fn(&str) -> Cow<'_, str>) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => decode(text),
        Cow::Owned(text) => Cow::Owned(decode(&text).into_owned()),
    }
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
                .or_else(|| slashed(text))
        }
        _ => None,
    };
    instant.and_then(Instant::micros)
}

/// `2026/03/02 08:00:00.385`, as Go's loggers write.
fn slashed(text: &str) -> Option<Instant> {
    (text.as_bytes().get(4) == Some(&b'/'))
        .then(|| rfc3339(text.replace('/', "-").as_bytes(), &mut DayCache::default()))?
}
