//! What is this log? By trying, on a sample of its lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use fyke_types::{Format, Settings};

use crate::access::{AccessFormat, RequestSettings, Variant};
use crate::json::value::{Object, Value, get, parse};
use crate::text::lines::{Content, Utf8Block};
use crate::vendors::VENDORS;

use super::json::{JsonReader, Recognised};
use super::keys::USUAL;
use super::reader::LinesFormat;

/// Lines that are tried at most.
const LINES_MAX: usize = 500;

/// What a log seems to be.
#[derive(Debug, Clone)]
pub struct Guess {
    /// Reads it into `fyke_types::request::request_schema`.
    pub format: Arc<dyn Format>,
    /// What was recognised, for people: "combined", "JSON: time from '@timestamp', …", "HAPROXY".
    pub description: String,
}

/// Which log of requests `sample` comes from: a vendor's (see [`crate::format()`]), JSON with usual keys, or an access log
/// in one of the standard formats (common or combined, with or without virtual host and response time). `None` if fewer
/// than half of its lines are recognised. The last line may be cut off.
pub fn guess(sample: &[u8]) -> Option<Guess> {
    guess_with(sample, &RequestSettings::default())
}

/// The same, with settings for the format.
pub(crate) fn guess_with(sample: &[u8], settings: &RequestSettings) -> Option<Guess> {
    let utf8 = Utf8Block::new(sample);
    let lines: Vec<&str> = (utf8.lines())
        .filter_map(|line| match utf8.content(&line) {
            Content::Text(text) => Some(text),
            _ => None,
        })
        .take(LINES_MAX)
        .collect();
    if lines.is_empty() {
        return None;
    }
    // a vendor's lines have a mark of their own, while the standard formats read nearly anything as a user with spaces
    guess_json(&lines, settings).or_else(|| guess_vendor(&lines, settings)).or_else(|| guess_access(&lines, settings))
}

fn guess_json(lines: &[&str], settings: &RequestSettings) -> Option<Guess> {
    let objects: Vec<Object<'_>> = lines.iter().copied().filter_map(object).collect();
    if objects.len() * 2 < lines.len() {
        return None;
    }
    for vendor in VENDORS {
        let Some(keys) = vendor.json_keys() else { continue };
        let own = objects.iter().filter(|object| keys.iter().all(|key| holds(object, key))).count();
        if own * 2 >= objects.len() && own > 0 {
            let format = vendor.format(&mut Settings::new("a guess", BTreeMap::new()), settings).ok()?;
            return Some(Guess { format: Arc::new(format), description: format!("{} (JSON)", vendor.name) });
        }
    }
    let recognised = Recognised::new(&USUAL, &objects);
    if !recognised.is_request() {
        return None;
    }
    let description = format!("JSON: {}", recognised.description(&USUAL));
    let format = LinesFormat::new("JSON", settings, || Box::new(JsonReader::new(&USUAL)));
    Some(Guess { format: Arc::new(format), description })
}

fn object(line: &str) -> Option<Object<'_>> {
    match parse(line) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// Whether there is something under a key, or at the path that its dots spell.
fn holds(object: &Object<'_>, key: &str) -> bool {
    match (get(object, key), key.split_once('.')) {
        (Some(_), _) => true,
        (None, Some((parent, rest))) => {
            matches!(get(object, parent), Some(Value::Object(inside)) if holds(inside, rest))
        }
        (None, None) => false,
    }
}

fn guess_access(lines: &[&str], settings: &RequestSettings) -> Option<Guess> {
    let variants = Variant::all();
    let mut counts: Vec<(usize, Variant)> = variants.iter().map(|variant| (0, *variant)).collect();
    for line in lines {
        // at most one of them fits a line, or the last resort does
        if let Some((count, _)) = counts.iter_mut().find(|(_, variant)| variant.fits(line)) {
            *count += 1;
        }
    }
    let fitting: usize = counts.iter().map(|(count, _)| count).sum();
    if fitting == 0 || fitting * 2 < lines.len() {
        return None;
    }
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let (_, most) = counts.first()?;
    let format = AccessFormat::standard(&variants, settings.clone());
    Some(Guess { format: Arc::new(format), description: most.name() })
}

fn guess_vendor(lines: &[&str], settings: &RequestSettings) -> Option<Guess> {
    VENDORS.iter().find_map(|vendor| {
        let format = vendor.reads(lines, settings)?;
        Some(Guess { format, description: vendor.name.to_owned() })
    })
}
