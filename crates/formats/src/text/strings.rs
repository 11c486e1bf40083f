//! JSON strings: checked, unescaped and written.

use super::scan::plain_end;

/// A string's extent, seen from the byte behind its opening quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// The index of its closing quote.
    pub close: usize,
    /// It holds escapes.
    pub escaped: bool,
}

/// Why a string is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bad {
    /// The byte.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
}

/// The string whose first character is at `from`, with its escapes checked.
#[inline]
pub(crate) fn token(bytes: &[u8], from: usize) -> Result<Token, Bad> {
    let end = plain_end(bytes, from);
    if bytes.get(end) == Some(&b'"') {
        return Ok(Token { close: end, escaped: false });
    }
    escaped_token(bytes, end)
}

fn escaped_token(bytes: &[u8], from: usize) -> Result<Token, Bad> {
    let mut at = from;
    let mut escaped = false;
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(Token { close: at, escaped }),
            Some(b'\\') => {
                at = escape(bytes, at)?.1;
                escaped = true;
            }
            Some(_) => return Err(Bad { at, expected: "no bare control character in a string" }),
            None => return Err(Bad { at: bytes.len(), expected: "'\"' at the end of a string" }),
        }
        at = plain_end(bytes, at);
    }
}

/// The character that the escape at `at` (its backslash) stands for, and the byte behind it.
fn escape(bytes: &[u8], at: usize) -> Result<(char, usize), Bad> {
    let character = match bytes.get(at + 1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(bytes, at),
        _ => return Err(Bad { at, expected: "one of JSON's escapes" }),
    };
    Ok((character, at + 2))
}

fn unicode(bytes: &[u8], at: usize) -> Result<(char, usize), Bad> {
    let bad = Bad { at, expected: "four hexadecimal digits, and no half of a surrogate pair," };
    let first = hex4(bytes, at + 2).ok_or(bad)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, at + 6));
    }
    let second = match bytes.get(at + 6..at + 8) {
        Some(br"\u") => hex4(bytes, at + 8).ok_or(bad)?,
        _ => return Err(bad),
    };
    if !(0xd800..0xdc00).contains(&first) || !(0xdc00..0xe000).contains(&second) {
        return Err(bad);
    }
    let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    Ok((char::from_u32(code).ok_or(bad)?, at + 12))
}

fn hex4(bytes: &[u8], from: usize) -> Option<u32> {
    let mut value = 0;
    for byte in bytes.get(from..from + 4)? {
        value = value * 16 + char::from(*byte).to_digit(16)?;
    }
    Some(value)
}

/// Appends the text of a string that [`token`] has checked. `inner` is what stands between its quotes.
pub(crate) fn unescape_into(inner: &str, out: &mut Vec<u8>) {
    let bytes = inner.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let end = memchr::memchr(b'\\', bytes.get(at..).unwrap_or_default()).map_or(bytes.len(), |found| at + found);
        out.extend_from_slice(bytes.get(at..end).unwrap_or_default());
        at = match escape(bytes, end) {
            Ok((character, next)) => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                next
            }
            // only at the end of the text: `token` has refused bad escapes
            Err(_) => bytes.len(),
        };
    }
}

/// The text of a checked string.
pub(crate) fn unescaped(inner: &str) -> String {
    let mut out = Vec::with_capacity(inner.len());
    unescape_into(inner, &mut out);
    // pieces of UTF-8 cut at ASCII and whole characters are UTF-8
    String::from_utf8(out).unwrap_or_default()
}

/// Appends `text` as a JSON string with its quotes.
pub(crate) fn write_json(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bad_strings_say_where_and_what() {
        let check = |text: &str| token(text.as_bytes(), 0).map_err(|bad| bad.at);
        assert_eq!(check("abc"), Err(3));
        assert_eq!(check("a\nb\""), Err(1));
        assert_eq!(check(r#"a\x22""#), Err(1));
        assert_eq!(check(r#"\ud800""#), Err(0));
        assert_eq!(check(r#"\udc00\ud800""#), Err(0));
        assert_eq!(check(r#"\u12g4""#), Err(0));
        assert_eq!(check(r#"\ud83d\ude00""#), Ok(Token { close: 12, escaped: true }));
    }

    proptest! {
        #[test]
        fn written_strings_read_back(text in any::<String>()) {
            let mut json = String::new();
            write_json(&text, &mut json);
            let found = token(json.as_bytes(), 1).expect("own strings are valid");
            prop_assert_eq!(found.close, json.len() - 1);
            prop_assert_eq!(unescaped(&json[1..found.close]), text);
        }

        #[test]
        fn strings_read_as_another_parser_reads_them(inner in "([a-z]|\\\\[\"\\\\/bfnrtx]|\\\\u[0-9a-f]{4}|\\\\u[dD][89abAB][0-9]{2}\\\\u[dD][c-fC-F][0-9]{2}|é){0,12}") {
            let json = format!("\"{inner}\"");
            let other = serde_json::from_str::<String>(&json).ok();
            let ours = token(json.as_bytes(), 1).ok().filter(|t| t.close == json.len() - 1).map(|t| unescaped(&json[1..t.close]));
            prop_assert_eq!(ours, other);
        }
    }
}
