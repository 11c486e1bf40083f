//! Decoding a text and showing its rows: what the tests of formats share.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use fyke_formats::format;
use fyke_types::{Decoded, Format, Settings};

/// Settings from pairs.
pub fn settings(pairs: &[(&str, &str)]) -> Settings {
    Settings::new(
        "table t",
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect::<BTreeMap<_, _>>(),
    )
}

/// What a block becomes; its lines add up.
pub fn decoded(format: &dyn Format, block: &str) -> Decoded {
    let decoded =
        format.decoder(None).and_then(|mut decoder| decoder.decode(block.as_bytes(), "alpha")).expect("decodes");
    assert_eq!(decoded.lines, decoded.batch.num_rows() as u64 + decoded.dead.len() as u64 + decoded.skipped);
    decoded
}

/// The values that are not null, row by row, as `name=value`; then dead letters.
pub fn shown(format: &dyn Format, block: &str) -> String {
    let decoded = decoded(format, block);
    let options = FormatOptions::default();
    let mut out = Vec::new();
    for row in 0..decoded.batch.num_rows() {
        let mut parts = Vec::new();
        for (field, column) in decoded.batch.schema().fields().iter().zip(decoded.batch.columns()) {
            if !column.is_null(row) && field.name() != "customer" {
                let value = ArrayFormatter::try_new(column, &options).expect("a formatter").value(row).to_string();
                parts.push(format!("{}={value}", field.name()));
            }
        }
        out.push(parts.join(" | "));
    }
    out.extend(decoded.dead.iter().map(|letter| format!("DEAD {}@{}: {}", letter.line, letter.offset, letter.reason)));
    out.join("\n")
}

/// Rows and dead letters of a block in the format `name`.
pub fn check(name: &str, pairs: &[(&str, &str)], block: &str) -> String {
    let mut settings = settings(pairs);
    let format = format(name, None, None, &mut settings).expect("a format");
    settings.finish().expect("all settings are known");
    shown(format.as_ref(), block)
}
