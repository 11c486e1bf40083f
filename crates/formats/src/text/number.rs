//! JSON numbers: where they end, and their exact values.

/// A number's text as JSON's grammar has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// The byte behind it.
    pub end: usize,
    /// Without fraction and exponent.
    pub integral: bool,
}

/// The end of the run of digits that starts at `from`.
#[inline]
fn digits_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

/// The number that starts at `from`: `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`.
pub(crate) fn token(bytes: &[u8], from: usize) -> Option<Token> {
    let start = if bytes.get(from) == Some(&b'-') { from + 1 } else { from };
    let mut end = digits_end(bytes, start);
    if end == start || (bytes.get(start) == Some(&b'0') && end - start > 1) {
        return None;
    }
    let mut integral = true;
    if bytes.get(end) == Some(&b'.') {
        integral = false;
        let fraction = end + 1;
        end = digits_end(bytes, fraction);
        if end == fraction {
            return None;
        }
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        integral = false;
        let exponent = if matches!(bytes.get(end + 1), Some(b'+' | b'-')) { end + 2 } else { end + 1 };
        end = digits_end(bytes, exponent);
        if end == exponent {
            return None;
        }
    }
    Some(Token { end, integral })
}

/// A short plain integer at `from` with the byte behind it; `None` for what needs [`token`] and a full parse.
#[inline]
pub(crate) fn short_integer(bytes: &[u8], from: usize) -> Option<(i64, usize)> {
    let negative = bytes.get(from) == Some(&b'-');
    let start = from + usize::from(negative);
    let mut at = start;
    let mut value = 0i64;
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        at += 1;
    }
    let length = at - start;
    // 18 digits always fit; a leading zero is no JSON
    if length == 0 || length > 18 || (length > 1 && bytes.get(start) == Some(&b'0')) {
        return None;
    }
    if matches!(bytes.get(at), Some(b'.' | b'e' | b'E')) {
        return None;
    }
    Some((if negative { -value } else { value }, at))
}

const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// A short plain decimal at `from` with the byte behind it, correctly rounded: mantissa and power of ten are both exact
/// doubles, so their quotient is rounded once (Clinger 1990). `None` for what needs a full parse.
#[inline]
pub(crate) fn short_decimal(bytes: &[u8], from: usize) -> Option<(f64, usize)> {
    let negative = bytes.get(from) == Some(&b'-');
    let start = from + usize::from(negative);
    let mut at = start;
    let mut mantissa = 0u64;
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    let whole = at - start;
    if whole == 0 || (whole > 1 && bytes.get(start) == Some(&b'0')) {
        return None;
    }
    let mut fraction = 0;
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        let first = at;
        while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        }
        fraction = at - first;
        if fraction == 0 {
            return None;
        }
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) || whole + fraction > 19 || mantissa > 1 << 53 {
        return None;
    }
    let value = mantissa as f64 / POWERS.get(fraction)?;
    Some((if negative { -value } else { value }, at))
}

/// The value of an integral token within `min..=max`.
pub(crate) fn signed(token: &str, min: i64, max: i64) -> Option<i64> {
    token.parse::<i64>().ok().filter(|value| (min..=max).contains(value))
}

/// The value of an integral token up to `max`.
pub(crate) fn unsigned(token: &str, max: u64) -> Option<u64> {
    // Rust refuses "-0" for unsigned numbers, JSON knows it
    let token = if token == "-0" { "0" } else { token };
    token.parse::<u64>().ok().filter(|value| *value <= max)
}

/// The finite double nearest to a token.
pub(crate) fn double(token: &str) -> Option<f64> {
    token.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// The finite single nearest to a token (not by way of a double, which would round twice).
pub(crate) fn single(token: &str) -> Option<f32> {
    token.parse::<f32>().ok().filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn grammar_is_jsons() {
        for (text, end) in [("0", 1), ("-0", 2), ("12,", 2), ("1.5}", 3), ("1e5", 3), ("1.0E-7 ", 6)] {
            assert_eq!(token(text.as_bytes(), 0).map(|token| token.end), Some(end), "{text}");
        }
        for text in ["", "-", "01", ".5", "1.", "1e", "1e+", "+1", "x"] {
            assert_eq!(token(text.as_bytes(), 0), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn short_ways_equal_the_long_ones(text in "-?[0-9]{1,20}(\\.[0-9]{1,12})?(e[0-9]{1,2})?") {
            let bytes = text.as_bytes();
            let long = token(bytes, 0).filter(|token| token.end == bytes.len());
            if let Some((value, end)) = short_integer(bytes, 0) {
                prop_assert_eq!(long, Some(Token { end, integral: true }));
                prop_assert_eq!(signed(&text, i64::MIN, i64::MAX), Some(value));
            }
            if let Some((value, end)) = short_decimal(bytes, 0) {
                prop_assert_eq!(long.map(|token| token.end), Some(end));
                prop_assert_eq!(double(&text).map(f64::to_bits), Some(value.to_bits()));
            }
        }
    }
}
