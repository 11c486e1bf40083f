//! Guessing, and reading by the guess, accounts for every line.
#![no_main]

use fyke_formats::guess;
use fyke_formats::invariants::lines_add_up;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|block: &[u8]| {
    if let Some(guess) = guess(block) {
        lines_add_up(guess.format.as_ref(), block).expect("lines add up");
    }
});
