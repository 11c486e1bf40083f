//! Settings from text: parsed once into checked values; unknown keys are refused.

use std::collections::BTreeMap;

use crate::{Error, Micros, Result};

/// Settings as they were written; each is taken once, and [`Settings::finish`] refuses what nobody took.
#[derive(Debug, Clone)]
pub struct Settings {
    of: String,
    left: BTreeMap<String, String>,
    known: Vec<&'static str>,
}

impl Settings {
    /// Settings of `of` (a table's or sink's name, for messages), lower-case keys.
    pub fn new(of: impl Into<String>, settings: BTreeMap<String, String>) -> Self {
        Self { of: of.into(), left: settings, known: Vec::new() }
    }

    /// The text of `key`, if it was set.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        self.known.push(key);
        self.left.remove(key)
    }

    /// A duration in microseconds.
    ///
    /// # Errors
    /// When the text is no duration.
    pub fn duration(&mut self, key: &'static str) -> Result<Option<Micros>> {
        self.parsed(key, "a duration such as '10 seconds' or '500ms'", parse_duration_us)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn flag(&mut self, key: &'static str) -> Result<Option<bool>> {
        self.parsed(key, "true or false", |text| match text.to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Some(true),
            "false" | "off" | "no" | "0" => Some(false),
            _ => None,
        })
    }

    /// A number.
    ///
    /// # Errors
    /// When the text is no such number.
    pub fn number<T: std::str::FromStr>(&mut self, key: &'static str) -> Result<Option<T>> {
        self.parsed(key, "a number", |text| text.trim().parse().ok())
    }

    fn parsed<T>(&mut self, key: &'static str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
        let Some(text) = self.text(key) else { return Ok(None) };
        match parse(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::usage(format!("setting '{key}' of {} is '{text}'", self.of))
                .hint(format!("it takes {expected}"))),
        }
    }

    /// Hands on what nobody took, for the next reader of settings.
    pub fn rest(self) -> BTreeMap<String, String> {
        self.left
    }

    /// Refuses what nobody took.
    ///
    /// # Errors
    /// Names the first unknown key and the known ones.
    pub fn finish(self) -> Result<()> {
        let Some(key) = self.left.keys().next() else { return Ok(()) };
        let mut known = self.known;
        known.sort_unstable();
        known.dedup();
        Err(Error::usage(format!("unknown setting '{key}' of {}", self.of))
            .hint(format!("known settings: {}", known.join(", "))))
    }
}

/// `500ms`, `10 seconds`, `1.5h`, `2 days`, `off` (none: `None` is only for what can't be read) in microseconds.
pub fn parse_duration_us(text: &str) -> Option<Micros> {
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "us" | "µs" | "microsecond" | "microseconds" => 1.0,
        "ms" | "millisecond" | "milliseconds" => 1e3,
        "s" | "sec" | "second" | "seconds" => 1e6,
        "m" | "min" | "minute" | "minutes" => 60e6,
        "h" | "hour" | "hours" => 3_600e6,
        "d" | "day" | "days" => 86_400e6,
        _ => return None,
    };
    let micros = number * unit;
    // beyond this a double no longer counts microseconds exactly
    (micros.is_finite() && micros < 9e15).then_some(micros as Micros)
}

/// `64MB`, `1 GiB`, `4096`: bytes.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "kib" => 1024.0,
        "m" | "mb" => 1e6,
        "mib" => 1_048_576.0,
        "g" | "gb" => 1e9,
        "gib" => 1_073_741_824.0,
        _ => return None,
    };
    let bytes = number * unit;
    (bytes.is_finite() && bytes < 9e15).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_and_without_space() {
        for (text, us) in
            [("10 seconds", 10_000_000), ("500ms", 500_000), ("1.5h", 5_400_000_000), ("2 days", 172_800_000_000)]
        {
            assert_eq!(parse_duration_us(text), Some(us), "{text}");
        }
        for text in ["", "10", "ten seconds", "-5s", "5 parsecs"] {
            assert_eq!(parse_duration_us(text), None, "{text}");
        }
    }

    #[test]
    fn unknown_setting_is_refused_by_name() {
        let mut settings = Settings::new("table t", BTreeMap::from([("latenes".into(), "1s".into())]));
        assert_eq!(settings.duration("lateness").ok().flatten(), None);
        let error = settings.finish().err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("'latenes'") && error.contains("lateness"), "{error}");
    }
}
