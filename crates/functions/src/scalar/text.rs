//! Numbers of a text's characters: how random it looks.

use datafusion::arrow::datatypes::{DataType, Float64Type};

use super::arrays::text_to_number;
use super::function::{ScalarFunction, unchecked};
use crate::doc::FunctionDoc;
use crate::entropy::entropy_bits;
use crate::parameter::Parameter;

pub(crate) static ENTROPY: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "entropy",
        signature: "entropy(text) -> double",
        summary: "Shannon entropy of a text's bytes, in bits per byte (0 to 8); 0 for ''.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Float64,
    run: |args| text_to_number::<Float64Type>(args, |text| Some(entropy_of_bytes(text))),
    check: unchecked,
};

pub(crate) static DIGIT_RATIO: ScalarFunction = ScalarFunction {
    doc: FunctionDoc {
        name: "digit_ratio",
        signature: "digit_ratio(text) -> double",
        summary: "Share of a text's bytes that are digits 0-9 (0 to 1); 0 for ''.",
    },
    parameters: &[Parameter::Text],
    required: 1,
    returns: DataType::Float64,
    run: |args| text_to_number::<Float64Type>(args, |text| Some(digit_share(text))),
    check: unchecked,
};

fn entropy_of_bytes(text: &str) -> f64 {
    let mut counts = [0u64; 256];
    for byte in text.bytes() {
        // a byte is always below 256
        counts[usize::from(byte)] += 1;
    }
    let mut present: Vec<u64> = counts.into_iter().filter(|&count| count > 0).collect();
    entropy_bits(&mut present)
}

fn digit_share(text: &str) -> f64 {
    if text.is_empty() {
        return 0.0;
    }
    text.bytes().filter(u8::is_ascii_digit).count() as f64 / text.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_of_known_texts() {
        assert_eq!(entropy_of_bytes(""), 0.0);
        assert_eq!(entropy_of_bytes("aaaa"), 0.0);
        assert_eq!(entropy_of_bytes("ab"), 1.0);
        assert_eq!(entropy_of_bytes("abcdabcd"), 2.0);
        // 3/4 and 1/4: 0.75 * log2(4/3) + 0.25 * 2
        assert!((entropy_of_bytes("aaab") - 0.811_278_124_459_132_8).abs() < 1e-15);
    }

    #[test]
    fn digits_are_counted_by_byte() {
        assert_eq!(digit_share("a1b2"), 0.5);
        assert_eq!(digit_share(""), 0.0);
        assert_eq!(digit_share("007"), 1.0);
    }
}
