//! W3C extended logs as IIS writes them, after "W3C Extended Log File Format" (W3C working draft WD-logfile) and "W3C
//! Logging" (IIS documentation): a `#Fields:` line says which columns follow, and may come again in a file with others.
//!
//! Times are UTC. IIS writes `+` for a space; quotes with `""` inside are read too. `time-taken` is milliseconds if it
//! has no fraction (IIS), else seconds (the standard); `duration_unit` decides otherwise. The setting `fields` says the
//! columns of lines before which no `#Fields:` stands.

use std::borrow::Cow;
use std::sync::Arc;

use fyke_types::{Error, Result, Settings};

use crate::access::{DurationUnit, RequestSettings};
use crate::requests::reader::{Line, LineReader, LinesFormat, Rows};

use super::columns::{Column, Columns, Escape, Meaning, Separator};

/// What a line begins with that names the columns of those behind it.
pub(super) const DIRECTIVE: &[u8] = b"#Fields:";

/// How a family of such logs differs from others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub separator: Separator,
    pub escape: Escape,
    pub guessed: DurationUnit,
    /// What a column means, if not what the standard says.
    pub meaning: fn(&str) -> Option<Meaning>,
    /// Columns that lines must have; 0: all.
    pub required: usize,
}

const IIS: Dialect = Dialect {
    separator: Separator::Space,
    escape: Escape::Plus,
    guessed: DurationUnit::Guess,
    meaning: |_| None,
    required: 0,
};

/// The format. Setting: `fields`.
///
/// # Errors
/// `Usage` for `fields` without a name.
pub(super) fn format(settings: &mut Settings, shared: &RequestSettings) -> Result<LinesFormat> {
    let dialect = Dialect { guessed: shared.duration, ..IIS };
    let default = declared(settings, dialect)?;
    let make = move || -> Box<dyn LineReader> { Box::new(W3cReader::new(dialect, default.clone())) };
    Ok(LinesFormat::new("W3C", shared, make).with_directive(DIRECTIVE))
}

/// Whether a sample looks like it.
pub(super) fn likely(lines: &[&str]) -> bool {
    lines.iter().any(|line| line.starts_with("#Fields:"))
}

/// The columns that the setting `fields` names.
///
/// # Errors
/// `Usage` where it names none.
pub(super) fn declared(settings: &mut Settings, dialect: Dialect) -> Result<Option<Arc<Columns>>> {
    let Some(fields) = settings.text("fields") else { return Ok(None) };
    let columns = columns_of(fields.strip_prefix("#Fields:").unwrap_or(&fields), dialect);
    if columns.columns.is_empty() {
        return Err(Error::usage("the setting 'fields' names no column")
            .hint("give the names in the order of the log's columns, such as 'date time c-ip cs-method cs-uri-stem'"));
    }
    Ok(Some(Arc::new(columns)))
}

/// The columns of a list of names.
pub(super) fn columns_of(names: &str, dialect: Dialect) -> Columns {
    let names = names.split([' ', '\t', ',']).filter(|name| !name.is_empty());
    let columns: Vec<Column> = names
        .map(|name| {
            let meaning = (dialect.meaning)(name).unwrap_or_else(|| meaning(name));
            Column { name: Cow::Owned(if meaning == Meaning::Extra { shown(name) } else { name.to_owned() }), meaning }
        })
        .collect();
    let required = if dialect.required == 0 { columns.len() } else { dialect.required.min(columns.len()) };
    let Dialect { separator, escape, guessed, .. } = dialect;
    Columns { columns, required, separator, escape, guessed }
}

/// `cs(X-Forwarded-For)` is a header, and called so; `sc(…)` one of the response.
fn shown(name: &str) -> String {
    let inner = |prefix: &str| name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(')'));
    match (inner("cs("), inner("sc(")) {
        (Some(header), _) => header.to_ascii_lowercase(),
        (_, Some(header)) => format!("sent_{}", header.to_ascii_lowercase()),
        _ => name.to_owned(),
    }
}

fn meaning(name: &str) -> Meaning {
    match name.to_ascii_lowercase().as_str() {
        "date" => Meaning::Date,
        "time" => Meaning::Clock,
        "c-ip" => Meaning::Address,
        "cs-username" => Meaning::User,
        "cs-method" => Meaning::Method,
        "cs-uri-stem" | "cs-uri" => Meaning::Path,
        "cs-uri-query" => Meaning::Query,
        "cs-version" => Meaning::Protocol,
        "cs-host" | "cs(host)" => Meaning::Host,
        "sc-status" => Meaning::Status,
        "sc-bytes" => Meaning::Bytes,
        "cs(referer)" => Meaning::Referrer,
        "cs(user-agent)" => Meaning::Agent,
        "time-taken" => Meaning::Duration(DurationUnit::Guess),
        _ => Meaning::Extra,
    }
}

/// Reads lines by the last `#Fields:` before them.
pub(super) struct W3cReader {
    dialect: Dialect,
    default: Option<Arc<Columns>>,
    current: Option<Arc<Columns>>,
    /// The last directive and what it says: each block begins with one, nearly always the same.
    last: Option<(String, Arc<Columns>)>,
}

impl W3cReader {
    /// A reader; `default` are the columns of lines before any directive.
    pub fn new(dialect: Dialect, default: Option<Arc<Columns>>) -> Self {
        Self { dialect, default, current: None, last: None }
    }

    fn directive(&mut self, line: &str) {
        let Some(names) = line.strip_prefix("#Fields:") else { return };
        if let Some((text, columns)) = &self.last
            && text == line
        {
            self.current = Some(Arc::clone(columns));
            return;
        }
        let columns = Arc::new(columns_of(names, self.dialect));
        self.current = Some(Arc::clone(&columns));
        self.last = Some((line.to_owned(), columns));
    }
}

impl LineReader for W3cReader {
    fn begin(&mut self) {
        self.current = self.default.clone();
    }

    fn read(&mut self, line: &str, rows: &mut Rows<'_>) -> Result<Line, String> {
        if line.starts_with('#') {
            self.directive(line);
            return Ok(Line::Skipped);
        }
        let Some(columns) = &self.current else {
            return Err("no '#Fields:' line before it says what its columns are; the setting 'fields' can".to_owned());
        };
        let request = columns.read(line, rows.want_extra())?;
        if request.time.is_none() {
            return Err("columns 'date' and 'time': expected both".to_owned());
        }
        rows.push(&request);
        Ok(Line::Row)
    }
}
