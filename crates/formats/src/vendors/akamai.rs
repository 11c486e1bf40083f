//! Akamai DataStream 2, after "Log format" and "Data set parameters" (Akamai TechDocs, DataStream 2): JSON lines, or
//! structured lines by spaces or tabs, whose columns are the stream's data set fields in its order.
//!
//! The setting `fields` names the columns of structured lines by the fields' JSON keys, in the stream's order. Values
//! are percent-encoded; a dash is nothing. `duration` is the turn-around and the transfer time together.

use std::sync::Arc;

use fyke_types::{Result, Settings};

use crate::access::{DurationUnit, RequestSettings};
use crate::requests::json::JsonReader;
use crate::requests::keys::Keys;
use crate::requests::reader::{Line, LineReader, LinesFormat, Rows};

use super::columns::{Columns, Escape, Meaning, Separator};
use super::w3c::{Dialect, declared};

/// The keys of its JSON.
pub(super) static KEYS: Keys = Keys {
    time: &["reqTimeSec"],
    host: &["reqHost"],
    address: &["cliIP"],
    method: &["reqMethod"],
    target: &["reqPath"],
    query: &["queryStr"],
    status: &["statusCode"],
    bytes: &["bytes", "totalBytes"],
    referrer: &["referer"],
    agent: &["UA"],
    duration_parts: &[("turnAroundTimeMSec", DurationUnit::Millis), ("transferTimeMSec", DurationUnit::Millis)],
    encoded: true,
    ..Keys::NONE
};

const DIALECT: Dialect = Dialect {
    separator: Separator::Space,
    escape: Escape::Percent,
    guessed: DurationUnit::Millis,
    meaning: |name| Some(meaning(name)),
    required: 0,
};

fn meaning(name: &str) -> Meaning {
    match name {
        "reqTimeSec" => Meaning::Time,
        "reqHost" => Meaning::Host,
        "cliIP" => Meaning::Address,
        "reqMethod" => Meaning::Method,
        "reqPath" => Meaning::Path,
        "queryStr" => Meaning::Query,
        "statusCode" => Meaning::Status,
        "bytes" => Meaning::Bytes,
        "referer" => Meaning::Referrer,
        "UA" => Meaning::Agent,
        "turnAroundTimeMSec" | "transferTimeMSec" => Meaning::DurationPart,
        _ => Meaning::Extra,
    }
}

/// The format. Setting: `fields`.
///
/// # Errors
/// `Usage` for `fields` without a name.
pub(super) fn format(settings: &mut Settings, shared: &RequestSettings) -> Result<LinesFormat> {
    let spaced = declared(settings, DIALECT)?;
    let make = move || -> Box<dyn LineReader> {
        let tabbed = spaced.as_ref().map(|spaced| Columns { separator: Separator::Tab, ..(**spaced).clone() });
        Box::new(AkamaiReader { json: JsonReader::new(&KEYS), spaced: spaced.clone(), tabbed })
    };
    Ok(LinesFormat::new("AKAMAI", shared, make))
}

struct AkamaiReader {
    json: JsonReader,
    spaced: Option<Arc<Columns>>,
    tabbed: Option<Columns>,
}

impl LineReader for AkamaiReader {
    fn read(&mut self, line: &str, rows: &mut Rows<'_>) -> Result<Line, String> {
        if line.starts_with('{') {
            return self.json.read(line, rows);
        }
        let columns = if line.contains('\t') { self.tabbed.as_ref() } else { self.spaced.as_deref() };
        let Some(columns) = columns else {
            return Err("expected JSON: the columns of a structured line are told by the setting 'fields'".to_owned());
        };
        let mut request = columns.read(line, rows.want_extra())?;
        // the parts count milliseconds
        request.duration = request.duration.map(|sum| sum / 1e3);
        rows.push(&request);
        Ok(Line::Row)
    }
}
