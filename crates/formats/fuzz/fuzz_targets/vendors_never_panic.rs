//! Every format accounts for any bytes, and each of its lines becomes the same alone as among others; so do syslog
//! messages.
#![no_main]

use std::collections::BTreeMap;

use fyke_formats::invariants::{lines_add_up, lines_stand_alone};
use fyke_formats::{format, format_names, parse_syslog};
use fyke_types::Settings;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|block: &[u8]| {
    for name in format_names() {
        let fields = "date time c-ip cs-method cs-uri-stem cs(User-Agent) sc-status time-taken".to_owned();
        let settings = BTreeMap::from([("fields".to_owned(), fields)]);
        if let Ok(format) = format(name, None, Some(block), &mut Settings::new("fuzz", settings)) {
            lines_add_up(format.as_ref(), block).expect("lines add up");
            lines_stand_alone(format.as_ref(), block).expect("lines stand alone");
        }
    }
    if let Ok(message) = parse_syslog(block) {
        assert!(block.ends_with(message.payload));
    }
});
