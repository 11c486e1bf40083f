//! Many records of one partition, gathered for one decoder: their values as lines of one block, everything else beside.
//!
//! Each record is exactly one line, whatever its value holds: a value that can't stand in a line by itself leaves an
//! empty one, and is kept apart with the reason.

use memchr::memchr;

use super::native::Record;

/// What is asked of records.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    /// Values go as they are; a tombstone is a value too.
    pub(super) raw: bool,
    /// A raw value must be UTF-8.
    pub(super) text_value: bool,
    /// Values are JSON, where a newline is white space.
    pub(super) json: bool,
    /// Keys are kept.
    pub(super) keys: bool,
    /// A key must be UTF-8.
    pub(super) text_key: bool,
    /// Headers are kept.
    pub(super) headers: bool,
}

/// Bytes that may be missing, one after the other.
#[derive(Debug, Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    missing: Vec<bool>,
}

impl Texts {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.missing.clear();
    }

    fn push(&mut self, text: Option<&[u8]>) {
        self.bytes.extend_from_slice(text.unwrap_or_default());
        self.ends.push(self.bytes.len());
        self.missing.push(text.is_none());
    }

    /// The text of a record.
    pub(super) fn get(&self, record: usize) -> Option<&[u8]> {
        if *self.missing.get(record)? {
            return None;
        }
        let start = record.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.bytes.get(start..*self.ends.get(record)?)
    }
}

/// A record that makes no row, whatever the decoder would say.
#[derive(Debug)]
pub(super) struct Refused {
    /// Which, from 0.
    pub(super) record: usize,
    pub(super) reason: String,
    pub(super) value: Vec<u8>,
}

/// Gathered records; kept and cleared from block to block.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// A line a record.
    pub(super) lines: Vec<u8>,
    /// Where each line ends, behind its newline.
    ends: Vec<usize>,
    pub(super) offsets: Vec<i64>,
    /// Microseconds; `i64::MIN` where there is none.
    pub(super) times: Vec<i64>,
    pub(super) keys: Texts,
    pub(super) headers: Texts,
    /// Raw values.
    pub(super) values: Texts,
    pub(super) refused: Vec<Refused>,
    /// Values whose newlines had to be replaced, as they were.
    mended: Vec<(usize, Vec<u8>)>,
    /// Of all values.
    pub(super) bytes: usize,
}

impl Records {
    /// Forgets all records.
    pub(super) fn clear(&mut self) {
        self.lines.clear();
        self.ends.clear();
        self.offsets.clear();
        self.times.clear();
        self.keys.clear();
        self.headers.clear();
        self.values.clear();
        self.refused.clear();
        self.mended.clear();
        self.bytes = 0;
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Adds a record.
    pub(super) fn push(&mut self, record: &Record<'_>, wanted: &Wanted) {
        let (value, key) = (record.value(), record.key());
        self.offsets.push(record.offset());
        self.times.push(record.timestamp_ms().map_or(i64::MIN, |ms| ms.saturating_mul(1_000)));
        self.bytes += value.map_or(0, <[u8]>::len);
        let bad_key = wanted.text_key && key.is_some_and(|key| simdutf8::basic::from_utf8(key).is_err());
        if wanted.keys {
            self.keys.push(key.filter(|_| !bad_key));
        }
        if wanted.headers {
            self.headers.push(Some(&headers_of(record)));
        }
        match bad_key {
            true => self.refuse(value, "the key is not UTF-8: declare it as BYTEA to keep it as it is", wanted.raw),
            false if wanted.raw => self.push_raw(value, wanted),
            false => self.push_line(value, wanted),
        }
    }

    fn push_raw(&mut self, value: Option<&[u8]>, wanted: &Wanted) {
        let is_bad = wanted.text_value && value.is_some_and(|value| simdutf8::basic::from_utf8(value).is_err());
        match is_bad {
            true => self.refuse(value, "the value is not UTF-8: declare it as BYTEA to keep it as it is", true),
            false => self.values.push(value),
        }
    }

    fn push_line(&mut self, value: Option<&[u8]>, wanted: &Wanted) {
        let Some(value) = value else {
            return self.refuse(None, "the record has no value (a tombstone)", false);
        };
        let line = value.strip_suffix(b"\n").unwrap_or(value);
        if is_blank(line) {
            return self.refuse(Some(value), "the record is empty", false);
        }
        let start = self.lines.len();
        self.lines.extend_from_slice(line);
        if memchr(b'\n', line).is_some() {
            if !wanted.json {
                self.lines.truncate(start);
                return self.refuse(Some(value), "the record holds more than one line", false);
            }
            // white space between JSON's tokens, refused inside its texts: the same as a newline, but no end of a line
            let added = self.lines.get_mut(start..).unwrap_or_default();
            added.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b'\r');
            self.mended.push((self.ends.len(), value.to_vec()));
        }
        self.lines.push(b'\n');
        self.ends.push(self.lines.len());
    }

    fn refuse(&mut self, value: Option<&[u8]>, reason: &str, raw: bool) {
        let (value, reason) = (value.unwrap_or_default().to_vec(), reason.to_owned());
        self.refused.push(Refused { record: self.offsets.len() - 1, reason, value });
        if raw {
            self.values.push(None);
        } else {
            self.lines.push(b'\n');
            self.ends.push(self.lines.len());
        }
    }

    /// The line of a record, without its newline.
    pub(super) fn line(&self, record: usize) -> &[u8] {
        let start = record.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(record).map_or(start, |end| end.saturating_sub(1));
        self.lines.get(start..end).unwrap_or_default()
    }

    /// The value of a record that was not refused here.
    pub(super) fn value(&self, record: usize, raw: bool) -> &[u8] {
        if raw {
            return self.values.get(record).unwrap_or_default();
        }
        match self.mended.binary_search_by_key(&record, |(record, _)| *record) {
            Ok(at) => self.mended.get(at).map_or(&[], |(_, value)| value),
            Err(_) => self.line(record),
        }
    }
}

/// What a decoder of lines would skip: nothing but white space, perhaps behind a byte-order mark.
fn is_blank(line: &[u8]) -> bool {
    match line.first() {
        Some(first) if *first > b' ' && *first < 0x80 => false,
        _ => line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line).trim_ascii().is_empty(),
    }
}

/// `{"name":"value"}`; of a name that stands several times, a list.
fn headers_of(record: &Record<'_>) -> Vec<u8> {
    use serde_json::{Map, Value};
    let mut all = Map::new();
    record.headers(|name, value| {
        let value = value.map_or(Value::Null, |value| String::from_utf8_lossy(value).into_owned().into());
        match all.get_mut(name) {
            None => _ = all.insert(name.to_owned(), value),
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    });
    serde_json::to_vec(&Value::Object(all)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Records {
        /// Adds a value as if a record had brought it.
        pub(in crate::kafka) fn push_value(&mut self, value: Option<&[u8]>, wanted: &Wanted) {
            self.offsets.push(100 + self.offsets.len() as i64);
            self.times.push(i64::MIN);
            match wanted.raw {
                true => self.push_raw(value, wanted),
                false => self.push_line(value, wanted),
            }
        }
    }

    fn gathered(values: &[Option<&[u8]>], wanted: Wanted) -> Records {
        let mut records = Records::default();
        values.iter().for_each(|value| records.push_value(*value, &wanted));
        records
    }

    #[test]
    fn each_record_is_one_line_whatever_it_holds() {
        let values: [Option<&[u8]>; 7] =
            [Some(b"a"), None, Some(b"b\nc"), Some(b" \n"), Some(b"d\r\n"), Some("\u{feff}".as_bytes()), Some(b"e\n")];
        let records = gathered(&values, Wanted::default());
        assert_eq!(records.lines, b"a\n\n\n\nd\r\n\ne\n");
        let refused: Vec<usize> = records.refused.iter().map(|refused| refused.record).collect();
        assert_eq!(refused, [1, 2, 3, 5]);
        assert_eq!(records.refused[1].value, b"b\nc");
        assert_eq!((records.line(4), records.line(6)), (&b"d\r"[..], &b"e"[..]));
    }

    #[test]
    fn json_over_several_lines_is_one_record_and_keeps_its_bytes() {
        let values: [Option<&[u8]>; 2] = [Some(b"{\n\"a\": 1\n}\n"), Some(b"{\"a\":2}")];
        let records = gathered(&values, Wanted { json: true, ..Wanted::default() });
        assert_eq!(records.lines, b"{\r\"a\": 1\r}\n{\"a\":2}\n");
        assert!(records.refused.is_empty());
        assert_eq!(records.value(0, false), b"{\n\"a\": 1\n}\n");
    }

    #[test]
    fn raw_values_stay_as_they_are() {
        let values: [Option<&[u8]>; 3] = [Some(b"a\nb"), None, Some(b"\xff")];
        let records = gathered(&values, Wanted { raw: true, text_value: true, ..Wanted::default() });
        assert_eq!(records.values.get(0), Some(&b"a\nb"[..]));
        assert_eq!(records.values.get(1), None);
        assert_eq!(records.refused.len(), 1, "the last one is not UTF-8");
    }
}
