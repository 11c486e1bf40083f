//! Both ways through JSON give the same rows and dead letters for any bytes.
#![no_main]

use fyke_formats::invariants::{json_of_every_kind, json_ways_agree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|block: &[u8]| {
    let format = json_of_every_kind().expect("the schema is readable");
    assert_eq!(json_ways_agree(&format, block), Ok(()));
});
