//! Real logs, and what another parser makes of the same lines. Skipped where the data is not at hand.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "helpers fail the test, and say what they skip")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use fyke_formats::invariants::lines_add_up;
use fyke_formats::{format, guess};
use fyke_types::{Decoded, Settings};

/// A file of the shared data, if it is there.
fn data(path: &str) -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var("FYKE_DATA").unwrap_or_else(|_| default.into());
    let file = PathBuf::from(root).join(path);
    if file.exists() {
        return Some(file);
    }
    println!("skipped: {} is not there (set FYKE_DATA)", file.display());
    None
}

fn read(path: &str) -> Option<Vec<u8>> {
    let file = data(path)?;
    let bytes = std::fs::read(&file).expect("readable");
    let mut out = Vec::new();
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut out).map(|_| out).ok(),
        Some("zip") => {
            let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("an archive");
            archive.by_index(0).expect("a file").read_to_end(&mut out).map(|_| out).ok()
        }
        _ => Some(bytes),
    }
}

fn text(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let column: &ArrayRef = batch.column_by_name(column)?;
    (!column.is_null(row)).then(|| column.as_string::<i32>().value(row).to_owned())
}

fn check_log(path: &str, rows: usize, dead: usize) -> Option<Decoded> {
    let block = read(path)?;
    let sample = &block[..block.len().min(64 << 10)];
    assert_eq!(guess(sample).map(|guess| guess.description).as_deref(), Some("combined"), "{path}");
    let combined = format("COMBINED", None, None, &mut Settings::new("t", BTreeMap::new())).expect("a format");
    let decoded = lines_add_up(combined.as_ref(), &block).expect("holds");
    let reasons: Vec<_> = decoded.dead.iter().take(5).map(|letter| (letter.line, &letter.reason)).collect();
    println!("{path}: {} rows, {} dead: {reasons:?}", decoded.batch.num_rows(), decoded.dead.len());
    assert_eq!((decoded.batch.num_rows(), decoded.dead.len()), (rows, dead), "{path}");
    assert_eq!(decoded.batch.column(0).null_count(), 0);
    assert_eq!(decoded.batch.column(3).null_count(), 0);
    Some(decoded)
}

#[test]
fn real_logs_parse_to_the_last_row() {
    check_log("logs/wordpress-2016.combined.log.zip", 206_860, 0);
    // one line of it is cut off in the middle of its agent
    check_log("logs/blog-2015.combined.log.gz", 9_999, 1);
    check_log("logs/honeypot-2015.combined.log.gz", 3_456, 0);
}

#[test]
fn a_real_json_log_is_recognised_and_agrees_with_another_parser() {
    let Some(block) = read("logs/deflect-1k.json.gz") else { return };
    let guess = guess(&block).expect("recognised");
    println!("{}", guess.description);
    let decoded = lines_add_up(guess.format.as_ref(), &block).expect("holds");
    assert_eq!((decoded.batch.num_rows(), decoded.dead.len()), (1_000, 0));
    for (row, line) in block.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        let other: serde_json::Value = serde_json::from_slice(line).expect("JSON");
        let expected = |key: &str| other[key].as_str().filter(|text| !matches!(*text, "" | "-")).map(str::to_owned);
        let batch = &decoded.batch;
        assert_eq!(text(batch, "host", row), expected("client_request_host"));
        assert_eq!(text(batch, "agent", row), expected("client_ua"));
        assert_eq!(text(batch, "method", row), expected("client_request_method"));
        assert_eq!(text(batch, "client_ip", row), expected("client_ip"));
        assert_eq!(
            Some(i64::from(batch.column(9).as_primitive::<Int32Type>().value(row))),
            other["http_response_code"].as_i64()
        );
        assert_eq!(Some(batch.column(10).as_primitive::<Int64Type>().value(row)), other["reply_length_bytes"].as_i64());
        assert!(batch.column(0).is_valid(row));
    }
}

/// What the other parser got from each line: `[line number from 0][field] = value`.
fn facts(asserts: &str) -> BTreeMap<usize, BTreeMap<String, String>> {
    let mut facts: BTreeMap<usize, BTreeMap<String, String>> = BTreeMap::new();
    for line in asserts.lines().filter(|line| line.starts_with("results[\"s01-parse\"]")) {
        let Some((left, value)) = line.split_once(" == ") else { continue };
        let Some((number, field)) = left.split_once(".Evt.Parsed[\"") else { continue };
        let number = number.trim_end_matches(']').rsplit('[').next().and_then(|number| number.parse().ok());
        let value = serde_json::from_str::<String>(value).ok();
        if let (Some(number), Some(value)) = (number, value) {
            facts.entry(number).or_default().insert(field.trim_end_matches("\"]").to_owned(), value);
        }
    }
    facts
}

/// Compares every access-log line with the other parser's fields; the rest must be dead letters.
fn check_golden(folder: &str, lines_expected: usize) {
    let (Some(log), Some(asserts)) =
        (read(&format!("formats/{folder}/{folder}.log")), read(&format!("formats/{folder}/parser.assert")))
    else {
        return;
    };
    let facts = facts(&String::from_utf8(asserts).expect("text"));
    let guess = guess(&log).expect("recognised");
    let mut compared = 0;
    for (number, line) in log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        let fact = facts.get(&number).expect("the other parser knows the line");
        let fact = |names: &[&str]| names.iter().find_map(|name| fact.get(*name)).cloned();
        let decoded = lines_add_up(guess.format.as_ref(), line).expect("holds");
        let Some(status) = fact(&["status", "response"]) else {
            assert_eq!(decoded.dead.len(), 1, "an error log's line is no request");
            continue;
        };
        let batch = &decoded.batch;
        assert_eq!(batch.num_rows(), 1, "{}: {:?}", String::from_utf8_lossy(line), decoded.dead);
        let present = |value: Option<String>| value.filter(|value| !matches!(value.as_str(), "" | "-"));
        let target = match (text(batch, "path", 0), text(batch, "query", 0)) {
            (Some(path), Some(query)) => Some(format!("{path}?{query}")),
            (path, _) => path,
        };
        assert_eq!(target, fact(&["request"]));
        assert_eq!(text(batch, "method", 0), fact(&["verb"]));
        assert_eq!(text(batch, "client_ip", 0), fact(&["remote_addr", "clientip"]));
        assert_eq!(text(batch, "host", 0), fact(&["target_fqdn"]));
        assert_eq!(text(batch, "user", 0), present(fact(&["remote_user", "auth"])));
        assert_eq!(text(batch, "referrer", 0), present(fact(&["http_referer", "referrer"])));
        assert_eq!(text(batch, "agent", 0), present(fact(&["http_user_agent"])));
        assert_eq!(
            text(batch, "protocol", 0),
            fact(&["http_version", "httpversion"]).map(|version| format!("HTTP/{version}"))
        );
        assert_eq!(batch.column(9).as_primitive::<Int32Type>().value(0).to_string(), status);
        assert_eq!(
            Some(batch.column(10).as_primitive::<Int64Type>().value(0).to_string()),
            fact(&["body_bytes_sent", "bytes"])
        );
        let time = batch.column(0).as_primitive::<TimestampMicrosecondType>().value(0);
        let shown = arrow::temporal_conversions::timestamp_us_to_datetime(time).expect("a date");
        let theirs = fact(&["time_local", "timestamp"]).expect("a time");
        let zone: i64 = theirs[21..24].parse().expect("an offset in hours");
        let local = shown + chrono_hours(zone);
        assert_eq!(local.format("%d/%b/%Y:%H:%M:%S").to_string(), theirs[..20]);
        compared += 1;
    }
    println!("{folder}: {compared} lines equal the other parser's");
    assert_eq!(compared, lines_expected);
}

fn chrono_hours(hours: i64) -> std::time::Duration {
    assert!(hours >= 0, "the goldens have no zone west of Greenwich");
    std::time::Duration::from_secs(hours.unsigned_abs() * 3_600)
}

#[test]
fn goldens_of_another_parser_agree_for_nginx() {
    check_golden("nginx_http-logs", 8);
}

#[test]
fn goldens_of_another_parser_agree_for_apache() {
    check_golden("apache2-logs", 7);
}

/// The vendor's log `folder` by its guess, and what the other parser got from each line.
fn vendor_golden(folder: &str, description: &str) -> Option<Vec<(Decoded, BTreeMap<String, String>)>> {
    let log = read(&format!("formats/{folder}/{folder}.log"))?;
    let facts = facts(&String::from_utf8(read(&format!("formats/{folder}/parser.assert"))?).expect("text"));
    let guess = guess(&log).expect("recognised");
    assert_eq!(guess.description, description);
    let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate();
    Some(
        lines
            .map(|(number, line)| {
                let decoded = lines_add_up(guess.format.as_ref(), line).expect("holds");
                (decoded, facts.get(&number).cloned().unwrap_or_default())
            })
            .collect(),
    )
}

/// Milliseconds since 1970 of a row, as the other library shows them.
fn shown_time(batch: &RecordBatch, format: &str) -> String {
    let time = batch.column(0).as_primitive::<TimestampMicrosecondType>().value(0);
    arrow::temporal_conversions::timestamp_us_to_datetime(time).expect("a date").format(format).to_string()
}

fn number(batch: &RecordBatch, column: usize) -> Option<String> {
    let column = batch.column(column);
    (!column.is_null(0)).then(|| arrow::util::display::array_value_to_string(column, 0).expect("shown"))
}

#[test]
fn goldens_of_another_parser_agree_for_cloudfront() {
    let Some(lines) = vendor_golden("aws-cloudfront-logs", "CLOUDFRONT") else { return };
    assert_eq!(lines.len(), 2);
    for (decoded, fact) in &lines {
        let (batch, fact) = (&decoded.batch, |name: &str| fact.get(name).cloned().filter(|value| value != "-"));
        assert_eq!(batch.num_rows(), 1, "{:?}", decoded.dead);
        assert_eq!(text(batch, "client_ip", 0), fact("c_ip"));
        assert_eq!(text(batch, "host", 0), fact("x_host_header"));
        assert_eq!(text(batch, "method", 0), fact("cs_method"));
        assert_eq!(text(batch, "path", 0), fact("cs_uri_stem"));
        assert_eq!(text(batch, "query", 0), fact("cs_uri_query"));
        assert_eq!(text(batch, "protocol", 0), fact("cs_protocol_version"));
        assert_eq!(text(batch, "agent", 0), fact("cs_user_agent"));
        assert_eq!(text(batch, "referrer", 0), fact("cs_referer"));
        assert_eq!(number(batch, 9), fact("sc_status"));
        assert_eq!(number(batch, 10), fact("sc_bytes"));
        assert_eq!(number(batch, 13), fact("time_taken"));
        let theirs = ["year", "month", "day", "time"].map(|part| fact(part).expect("a part of the time"));
        assert_eq!(shown_time(batch, "%Y %m %d %H:%M:%S"), theirs.join(" "));
    }
}

#[test]
fn goldens_of_another_parser_agree_for_haproxy() {
    let log = read("formats/haproxy-logs/haproxy-logs.log");
    let asserts = read("formats/haproxy-logs/parser.assert");
    let (Some(log), Some(asserts)) = (log, asserts) else { return };
    let facts = facts(&String::from_utf8(asserts).expect("text"));
    let haproxy = format("HAPROXY", None, None, &mut Settings::new("t", BTreeMap::new())).expect("a format");
    let mut compared = 0;
    for (number_of, line) in log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        let decoded = lines_add_up(haproxy.as_ref(), line).expect("holds");
        let fact = |name: &str| facts.get(&number_of).and_then(|facts| facts.get(name)).cloned();
        let Some(status) = fact("http_status_code") else {
            assert_eq!(decoded.dead.len(), 1, "a failed handshake is no request");
            continue;
        };
        let batch = &decoded.batch;
        assert_eq!(batch.num_rows(), 1, "{:?}", decoded.dead);
        assert_eq!(text(batch, "client_ip", 0), fact("client_ip"));
        assert_eq!(text(batch, "method", 0), fact("http_verb"));
        assert_eq!(text(batch, "path", 0), fact("http_request"));
        assert_eq!(text(batch, "protocol", 0), fact("http_version").map(|version| format!("HTTP/{version}")));
        assert_eq!(number(batch, 9), Some(status));
        assert_eq!(number(batch, 10), fact("bytes_read"));
        let millis: f64 = fact("time_duration").expect("a time").parse().expect("a number");
        assert_eq!(number(batch, 13), Some((millis / 1e3).to_string()));
        assert_eq!(shown_time(batch, "%d/%b/%Y:%H:%M:%S%.3f"), fact("accept_date").expect("a date"));
        compared += 1;
    }
    assert_eq!(compared, 2);
}

#[test]
fn goldens_of_another_parser_agree_for_traefik() {
    let Some(lines) = vendor_golden("traefik_json", "TRAEFIK (JSON)") else { return };
    let mut compared = 0;
    for (decoded, fact) in &lines {
        let fact = |name: &str| fact.get(name).cloned();
        let Some(status) = fact("status") else {
            assert_eq!(decoded.dead.len(), 1, "a plugin's message is no request");
            continue;
        };
        let batch = &decoded.batch;
        assert_eq!(text(batch, "client_ip", 0), fact("remote_addr"));
        assert_eq!(text(batch, "host", 0), fact("request_addr"));
        assert_eq!(text(batch, "method", 0), fact("verb"));
        assert_eq!(text(batch, "path", 0), fact("request"));
        assert_eq!(text(batch, "protocol", 0), fact("http_version").map(|version| format!("HTTP/{version}")));
        assert_eq!(text(batch, "agent", 0), fact("http_user_agent"));
        assert_eq!(number(batch, 9), Some(status));
        assert_eq!(number(batch, 10), fact("body_bytes_sent"));
        // what they call milliseconds are the log's nanoseconds
        let nanos: f64 = fact("request_duration_in_ms").expect("a time").parse().expect("a number");
        let seconds: Option<f64> = number(batch, 13).and_then(|text| text.parse().ok());
        assert_eq!(seconds, Some(nanos / 1e9));
        compared += 1;
    }
    assert_eq!((lines.len(), compared), (7, 6));
}
