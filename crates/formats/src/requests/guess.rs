//! What is this log? By trying, on a sample of its lines.

use std::sync::Arc;

use fyke_types::Format;

use crate::access::{AccessFormat, RequestSettings, Variant};
use crate::json::value::{Object, Value, parse};
use crate::text::lines::{Content, Utf8Block};

use super::json::{Mapping, RequestsJson};

/// Lines that are tried at most.
const LINES_MAX: usize = 500;

/// What a log seems to be.
#[derive(Debug, Clone)]
pub struct Guess {
    /// Reads it into `fyke_types::request::request_schema`.
    pub format: Arc<dyn Format>,
    /// What was recognised, for people: "combined", "JSON: time from '@timestamp', …".
    pub description: String,
}

/// Which log of requests `sample` comes from: JSON with usual keys, or an access log in one of the standard formats
/// (common or combined, with or without virtual host and response time). `None` if fewer than half of its lines are
/// recognised. The last line may be cut off.
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
    guess_json(&lines, settings).or_else(|| guess_access(&lines, settings))
}

fn guess_json(lines: &[&str], settings: &RequestSettings) -> Option<Guess> {
    let objects: Vec<Object<'_>> = lines.iter().copied().filter_map(object).collect();
    if objects.len() * 2 < lines.len() {
        return None;
    }
    let mapping = Mapping::of(&objects);
    if !mapping.is_request() {
        return None;
    }
    let description = format!("JSON: {}", mapping.description());
    Some(Guess { format: Arc::new(RequestsJson::new(mapping, settings.clone())), description })
}

fn object(line: &str) -> Option<Object<'_>> {
    match parse(line) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
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
