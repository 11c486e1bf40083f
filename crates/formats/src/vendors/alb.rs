//! AWS Application Load Balancer, after "Access logs for your Application Load Balancer" (Elastic Load Balancing user
//! guide): columns by spaces, some in quotes. New columns are appended over time; the first 17 were always there.
//!
//! `time` is when the response was sent; `duration` the sum of the three processing times, none if one is -1. The
//! request's URL gives host and path. `client:port` is who connected.

use std::borrow::Cow;

use fyke_types::{Result, Settings};

use crate::access::{DurationUnit, RequestSettings};
use crate::requests::reader::{Line, LineReader, LinesFormat, Rows};

use super::columns::{Column, Columns, Escape, Meaning, Separator};

const COLUMNS: &[(&str, Meaning)] = &[
    ("type", Meaning::Extra),
    ("time", Meaning::Time),
    ("elb", Meaning::Extra),
    ("client:port", Meaning::AddressPort),
    ("target:port", Meaning::Extra),
    ("request_processing_time", Meaning::DurationPart),
    ("target_processing_time", Meaning::DurationPart),
    ("response_processing_time", Meaning::DurationPart),
    ("elb_status_code", Meaning::Status),
    ("target_status_code", Meaning::Extra),
    ("received_bytes", Meaning::Extra),
    ("sent_bytes", Meaning::Bytes),
    ("request", Meaning::RequestLine),
    ("user_agent", Meaning::Agent),
    ("ssl_cipher", Meaning::Extra),
    ("ssl_protocol", Meaning::Extra),
    ("target_group_arn", Meaning::Extra),
    ("trace_id", Meaning::Extra),
    ("domain_name", Meaning::Extra),
    ("chosen_cert_arn", Meaning::Extra),
    ("matched_rule_priority", Meaning::Extra),
    ("request_creation_time", Meaning::Extra),
    ("actions_executed", Meaning::Extra),
    ("redirect_url", Meaning::Extra),
    ("error_reason", Meaning::Extra),
    ("target:port_list", Meaning::Extra),
    ("target_status_code_list", Meaning::Extra),
    ("classification", Meaning::Extra),
    ("classification_reason", Meaning::Extra),
    ("conn_trace_id", Meaning::Extra),
];

/// The format. No settings of its own.
///
/// # Errors
/// Never.
pub(super) fn format(_: &mut Settings, shared: &RequestSettings) -> Result<LinesFormat> {
    Ok(LinesFormat::new("ALB", shared, || Box::new(AlbReader(columns()))))
}

/// Whether a sample looks like it.
pub(super) fn likely(lines: &[&str]) -> bool {
    let kind = |line: &&str| line.split(' ').next().is_some_and(|kind| KINDS.contains(&kind));
    lines.iter().any(kind)
}

const KINDS: [&str; 6] = ["http", "https", "h2", "grpcs", "ws", "wss"];

fn columns() -> Columns {
    let column = |(name, meaning): &(&'static str, Meaning)| Column { name: Cow::Borrowed(*name), meaning: *meaning };
    Columns {
        columns: COLUMNS.iter().map(column).collect(),
        required: 17,
        separator: Separator::Space,
        escape: Escape::Backslash,
        guessed: DurationUnit::Seconds,
    }
}

struct AlbReader(Columns);

impl LineReader for AlbReader {
    fn read(&mut self, line: &str, rows: &mut Rows<'_>) -> Result<Line, String> {
        rows.push(&self.0.read(line, rows.want_extra())?);
        Ok(Line::Row)
    }
}
