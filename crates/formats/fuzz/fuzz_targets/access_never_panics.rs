//! The first line is a format string, the rest a log in it; the standard formats read the log too.
#![no_main]

use std::collections::BTreeMap;

use fyke_formats::invariants::lines_add_up;
use fyke_formats::{format, format_names};
use fyke_types::Settings;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (log_format, block) = bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1));
    let log_format = String::from_utf8_lossy(log_format).trim_end().to_owned();
    for name in format_names() {
        let settings = BTreeMap::from([("log_format".to_owned(), log_format.clone())]);
        if let Ok(format) = format(name, None, Some(block), &mut Settings::new("fuzz", settings)) {
            lines_add_up(format.as_ref(), block).expect("lines add up");
        }
    }
});
