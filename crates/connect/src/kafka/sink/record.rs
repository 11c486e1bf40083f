//! A record on its way: rows become records, records become bytes of a spool, and back.

use arrow::array::{Array, RecordBatch};
use fyke_types::{Error, Result, key_columns};
use rdkafka::message::{Header, OwnedHeaders};

use super::columns::{Template, Text, Values};
use super::settings::{Format, Key, SinkSettings};
use crate::json::{Column, batch_to_json_lines};

/// Stands for a length where there is no value.
const NONE: u32 = u32::MAX;

/// What goes to Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) topic: &'a str,
    pub(super) key: Option<&'a [u8]>,
    /// Milliseconds since 1970; none: when it is sent.
    pub(super) timestamp: Option<i64>,
    /// As in a spool: see [`push_header`].
    pub(super) headers: &'a [u8],
    /// None: a tombstone.
    pub(super) value: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    /// Its headers for the client; none where there are none.
    pub(super) fn headers(&self) -> Option<OwnedHeaders> {
        if self.headers.is_empty() {
            return None;
        }
        let mut headers = OwnedHeaders::new();
        let mut bytes = Bytes(self.headers);
        while let Some((name, value)) = bytes.header() {
            headers = headers.insert(Header { key: name, value });
        }
        Some(headers)
    }

    /// Appends the record as a spool holds it.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        push(Some(self.topic.as_bytes()), out);
        out.extend_from_slice(&self.timestamp.unwrap_or(i64::MIN).to_le_bytes());
        push(self.key, out);
        push(Some(self.headers), out);
        push(self.value, out);
    }

    /// Takes a record off the front; none where the bytes are no record.
    pub(super) fn decode(from: &mut &'a [u8]) -> Option<Self> {
        let mut bytes = Bytes(from);
        let topic = std::str::from_utf8(bytes.optional()??).ok()?;
        let timestamp = i64::from_le_bytes(bytes.take(8)?.try_into().ok()?);
        let key = bytes.optional()?;
        let headers = bytes.optional()??;
        let value = bytes.optional()?;
        *from = bytes.0;
        Some(Self { topic, key, timestamp: (timestamp != i64::MIN).then_some(timestamp), headers, value })
    }
}

fn push(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    // Kafka's own limit is 2 GiB
    let length = bytes.map_or(NONE, |bytes| u32::try_from(bytes.len()).unwrap_or(NONE - 1));
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes.unwrap_or_default());
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn optional(&mut self) -> Option<Option<&'a [u8]>> {
        let length = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        if length == NONE {
            return Some(None);
        }
        self.take(length as usize).map(Some)
    }

    fn header(&mut self) -> Option<(&'a str, Option<&'a [u8]>)> {
        let name = std::str::from_utf8(self.optional()??).ok()?;
        Some((name, self.optional()?))
    }
}

/// What a sink is given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change<'a> {
    /// Rows.
    Written(&'a RecordBatch),
    /// Update mode: the keys of rows that are no longer true, with the columns that [`key_columns`] gives.
    Deleted(&'a RecordBatch),
}

/// Takes a record and the topic that its row asks for; none where a column that the topic needs is null or no text.
pub(super) type Give<'a> = &'a mut dyn FnMut(Option<&str>, Record<'_>) -> Result<()>;

/// Buffers that rows share.
#[derive(Debug, Default)]
struct Scratch {
    topic: Vec<u8>,
    key: Vec<u8>,
    headers: Vec<u8>,
    value: Vec<u8>,
    lines: Vec<u8>,
}

/// Makes records of rows.
#[derive(Debug)]
pub(super) struct Encoder {
    topic: Template,
    settings: SinkSettings,
    scratch: Scratch,
}

impl Encoder {
    /// By these settings.
    pub(super) fn new(settings: &SinkSettings) -> Self {
        Self { topic: settings.topic.clone(), settings: settings.clone(), scratch: Scratch::default() }
    }

    /// Gives the record of each row, or of each key that is deleted.
    ///
    /// # Errors
    /// Where a value can't be written, and what `give` fails with.
    pub(super) fn encode(&mut self, change: Change<'_>, give: Give<'_>) -> Result<()> {
        match change {
            Change::Written(batch) => self.rows(batch, give),
            Change::Deleted(keys) => self.tombstones(keys, give),
        }
    }

    fn rows(&mut self, batch: &RecordBatch, give: Give<'_>) -> Result<()> {
        let settings = &self.settings;
        let of_key = match &settings.key {
            Key::Upserts(names) => Some(key_columns(batch, names)?),
            Key::Columns(_) => None,
        };
        let topics = self.topic.values(of_key.as_ref().unwrap_or(batch))?;
        let topics = topics.iter().map(Values::writer).collect::<Result<Vec<_>>>()?;
        let values_of = |places: &[super::columns::Place]| {
            places.iter().map(|place| place.values(batch)).collect::<Result<Vec<_>>>()
        };
        let (keys, headers) = match &settings.key {
            Key::Columns(places) => (values_of(places)?, values_of(&settings.headers)?),
            Key::Upserts(_) => (Vec::new(), values_of(&settings.headers)?),
        };
        let keys = match &of_key {
            Some(of_key) => Keys::List(of_key.columns().iter().map(Column::new).collect::<Result<_>>()?),
            None => Keys::Texts(keys.iter().map(Values::writer).collect::<Result<_>>()?),
        };
        let headers = headers.iter().map(Values::writer).collect::<Result<Vec<_>>>()?;
        let times = settings.timestamp.as_ref().map(|place| place.millis(batch)).transpose()?;
        let raw = match &settings.format {
            Format::Raw(place) => Some(place.values(batch)?),
            Format::Json => None,
        };
        let raw = raw.as_ref().map(Values::writer).transpose()?;
        let scratch = &mut self.scratch;
        scratch.lines.clear();
        if raw.is_none() {
            batch_to_json_lines(batch, &mut scratch.lines)?;
        }
        let mut lines = scratch.lines.as_slice();
        for row in 0..batch.num_rows() {
            scratch.topic.clear();
            let has_topic = self.topic.write(&topics, row, &mut scratch.topic)?;
            let topic = has_topic.then(|| std::str::from_utf8(&scratch.topic).ok()).flatten();
            let key = keys.write(row, &mut scratch.key)?;
            scratch.headers.clear();
            for (place, text) in settings.headers.iter().zip(&headers) {
                push_header(&place.name, Some(text), row, &mut scratch.headers)?;
            }
            let value = match &raw {
                Some(text) => {
                    scratch.value.clear();
                    text.write(row, &mut scratch.value)?.then_some(scratch.value.as_slice())
                }
                None => Some(line(&mut lines)?),
            };
            let record = Record {
                topic: topic.unwrap_or_default(),
                key: key.then_some(scratch.key.as_slice()),
                timestamp: times.as_ref().filter(|times| times.is_valid(row)).map(|times| times.value(row)),
                headers: &scratch.headers,
                value,
            };
            give(topic, record)?;
        }
        Ok(())
    }

    /// Records without a value, which delete their key from a compacted topic. Headers that are columns of the key stay.
    fn tombstones(&mut self, keys: &RecordBatch, give: Give<'_>) -> Result<()> {
        let settings = &self.settings;
        let Key::Upserts(names) = &settings.key else {
            return Err(Error::internal("rows were taken back from a topic that is only appended to"));
        };
        let topics = self.topic.values(keys)?;
        let topics = topics.iter().map(Values::writer).collect::<Result<Vec<_>>>()?;
        let missing = || Error::internal("a deleted key lacks a column");
        let column = |name: &String| Column::new(keys.column_by_name(name).ok_or_else(missing)?);
        let list = Keys::List(names.iter().map(column).collect::<Result<_>>()?);
        let header = |place: &super::columns::Place| keys.column_by_name(&place.name).cloned().map(Values::new);
        let headers: Vec<Option<Values>> = settings.headers.iter().map(header).collect();
        let headers = headers.iter().map(|values| values.as_ref().map(Values::writer).transpose());
        let headers = headers.collect::<Result<Vec<_>>>()?;
        let scratch = &mut self.scratch;
        for row in 0..keys.num_rows() {
            scratch.topic.clear();
            let has_topic = self.topic.write(&topics, row, &mut scratch.topic)?;
            let topic = has_topic.then(|| std::str::from_utf8(&scratch.topic).ok()).flatten();
            list.write(row, &mut scratch.key)?;
            scratch.headers.clear();
            for (place, text) in settings.headers.iter().zip(&headers) {
                push_header(&place.name, text.as_ref(), row, &mut scratch.headers)?;
            }
            let (key, topic_name) = (Some(scratch.key.as_slice()), topic.unwrap_or_default());
            let record = Record { topic: topic_name, key, timestamp: None, headers: &scratch.headers, value: None };
            give(topic, record)?;
        }
        Ok(())
    }
}

/// The keys of a batch.
enum Keys<'a> {
    /// One column is its text, several a JSON array of texts.
    Texts(Vec<Text<'a>>),
    /// A JSON array of the values, always: a null, and a text that looks like another key, are keys of their own.
    List(Vec<Column<'a>>),
}

impl Keys<'_> {
    /// False: there is no key.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<bool> {
        out.clear();
        let columns = match self {
            Self::Texts(texts) => return write_texts(texts, row, out),
            Self::List(columns) => columns,
        };
        out.push(b'[');
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            column.write(row, out)?;
        }
        out.push(b']');
        Ok(true)
    }
}

/// The next line, without its end: JSON has no bare newlines.
fn line<'a>(lines: &mut &'a [u8]) -> Result<&'a [u8]> {
    let end = memchr::memchr(b'\n', lines).ok_or_else(|| Error::internal("fewer lines than rows"))?;
    let (line, rest) = lines.split_at(end);
    *lines = rest.get(1..).unwrap_or_default();
    Ok(line)
}

fn write_texts(keys: &[Text<'_>], row: usize, out: &mut Vec<u8>) -> Result<bool> {
    match keys {
        [] => Ok(false),
        [one] => one.write(row, out),
        several => {
            let mut texts = Vec::with_capacity(several.len());
            for text in several {
                let mut bytes = Vec::new();
                let present = text.write(row, &mut bytes)?;
                texts.push(present.then(|| String::from_utf8_lossy(&bytes).into_owned()));
            }
            serde_json::to_writer(&mut *out, &texts)
                .map_err(|error| Error::internal("a key can't be written").detail(error))?;
            Ok(true)
        }
    }
}

fn push_header(name: &str, text: Option<&Text<'_>>, row: usize, out: &mut Vec<u8>) -> Result<()> {
    push(Some(name.as_bytes()), out);
    let at = out.len();
    out.extend_from_slice(&NONE.to_le_bytes());
    if let Some(text) = text
        && text.write(row, out)?
    {
        let length = u32::try_from(out.len() - at - 4).unwrap_or(NONE - 1);
        if let Some(place) = out.get_mut(at..at + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
    use fyke_types::window::windows;
    use fyke_types::{SinkMode, SinkSpec};
    use rdkafka::message::Headers;

    use super::*;

    fn batch() -> RecordBatch {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("customer", Arc::new(StringArray::from(vec![Some("a"), None]))),
            ("n", Arc::new(Int64Array::from(vec![Some(7), None]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_500_000, 2_000_000]))),
            ("w", Arc::new(windows(vec![0, 60_000_000], vec![60_000_000, 120_000_000], None))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
            .expect("a batch")
    }

    fn records(options: &[(&str, &str)]) -> Vec<String> {
        records_of(None, options, false)
    }

    /// Topic, key, headers, timestamp and value of each row (or of its deletion), and each survives a spool.
    fn records_of(key: Option<&[&str]>, options: &[(&str, &str)], deleted: bool) -> Vec<String> {
        let batch = batch();
        let key: Option<Vec<String>> = key.map(|key| key.iter().map(|name| (*name).to_owned()).collect());
        let keys = key_columns(&batch, key.as_deref().unwrap_or_default()).expect("keys");
        let change = if deleted { Change::Deleted(&keys) } else { Change::Written(&batch) };
        let spec = SinkSpec {
            format: "KAFKA".into(),
            location: "b:1".into(),
            schema: batch.schema(),
            unique: None,
            key: key.clone(),
            mode: SinkMode::Append,
            options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            parts: None,
        };
        let settings = SinkSettings::parse(&spec).expect("settings");
        let mut found = Vec::new();
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        Encoder::new(&settings)
            .encode(change, &mut |topic, record| {
                let mut bytes = Vec::new();
                record.encode(&mut bytes);
                let mut rest = bytes.as_slice();
                assert_eq!(Record::decode(&mut rest), Some(record));
                assert!(rest.is_empty());
                let headers = record.headers();
                let headers: Vec<_> = headers.iter().flat_map(|h| h.iter()).map(|h| (h.key, text(h.value))).collect();
                let (key, value) = (text(record.key), text(record.value));
                found.push(format!("{topic:?} {key:?} {headers:?} {:?} {value:?}", record.timestamp));
                Ok(())
            })
            .expect("encoded");
        found
    }

    #[test]
    fn topic_key_headers_and_time_come_from_columns() {
        let options = [("topic", "v.{customer}"), ("key", "n"), ("headers", "customer, w.end"), ("timestamp", "at")];
        let found = records(&options);
        assert!(
            found[0].starts_with(
                r#"Some("v.a") Some("7") [("customer", Some("a")), ("w.end", Some("1970-01-01T00:01:00Z"))] Some(1500) Some("{\"customer\":\"a\",\"n\":7,"#
            ),
            "{}",
            found[0]
        );
        assert!(found[1].starts_with(r#"None None [("customer", None), "#), "{}", found[1]);
    }

    #[test]
    fn key_of_several_columns_is_a_list() {
        let found = records(&[("topic", "t"), ("key", "customer, n")]);
        assert!(found[0].contains(r#"Some("[\"a\",\"7\"]")"#), "{}", found[0]);
        assert!(found[1].contains(r#"Some("[null,null]")"#), "{}", found[1]);
    }

    #[test]
    fn upserts_and_their_tombstones_have_the_same_key_and_topic() {
        let key: &[&str] = &["w.start", "customer", "n"];
        let options = [("topic", "v.{customer}"), ("headers", "customer, w.end"), ("timestamp", "at")];
        let rows = records_of(Some(key), &options, false);
        assert!(
            rows[0].starts_with(
                r#"Some("v.a") Some("[\"1970-01-01T00:00:00Z\",\"a\",7]") [("customer", Some("a")), ("w.end", Some("1970-01-01T00:01:00Z"))] Some(1500) Some("{"#
            ),
            "{}",
            rows[0]
        );
        // a null of a key is a key
        assert!(rows[1].starts_with(r#"None Some("[\"1970-01-01T00:01:00Z\",null,null]") "#), "{}", rows[1]);
        assert_eq!(
            records_of(Some(key), &options, true),
            [
                r#"Some("v.a") Some("[\"1970-01-01T00:00:00Z\",\"a\",7]") [("customer", Some("a")), ("w.end", None)] None None"#,
                r#"None Some("[\"1970-01-01T00:01:00Z\",null,null]") [("customer", None), ("w.end", None)] None None"#
            ]
        );
        let of_one = records_of(Some(&["customer"]), &[("topic", "t")], true);
        assert_eq!(of_one, [r#"Some("t") Some("[\"a\"]") [] None None"#, r#"Some("t") Some("[null]") [] None None"#]);
        let turned = records_of(Some(&["customer", "n"]), &[("topic", "t"), ("key", "n, customer")], true);
        assert!(turned[0].contains(r#"Some("[7,\"a\"]")"#), "{}", turned[0]);
    }

    #[test]
    fn one_row_of_an_aggregate_over_everything_has_an_empty_list_as_its_key() {
        let rows = records_of(Some(&[]), &[("topic", "t")], false);
        assert!(rows[0].starts_with(r#"Some("t") Some("[]") "#), "{}", rows[0]);
    }

    #[test]
    fn raw_value_is_one_column_and_null_a_tombstone() {
        let found = records(&[("topic", "t"), ("format", "raw"), ("value", "customer")]);
        assert_eq!(found, [r#"Some("t") None [] None Some("a")"#, r#"Some("t") None [] None None"#]);
    }
}
