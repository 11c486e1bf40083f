//! What servers write in place of quotes, backslashes and control characters.

use std::borrow::Cow;

use crate::text::percent::hex_pair;

/// The text that `raw` stands for: `\"`, `\\`, `\n` and their like, and `\xHH` (nginx writes only these). What would
/// not be UTF-8 stays as it was written.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let (value, used) = match (byte, behind) {
            (b'\\', [b'x' | b'X', high, low, ..]) => hex_pair(*high, *low).map_or((b'\\', 1), |byte| (byte, 4)),
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'b', ..]) => (8, 2),
            (b'\\', [b'v', ..]) => (11, 2),
            (b'\\', [same @ (b'"' | b'\\' | b'/'), ..]) => (*same, 2),
            (byte, _) => (*byte, 1),
        };
        out.push(value);
        rest = rest.get(used..).unwrap_or_default();
    }
    String::from_utf8(out).map_or(Cow::Borrowed(raw), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_both_servers_are_read() {
        for (raw, expected) in [
            ("plain", "plain"),
            (r#"a \"b\" \\c"#, r#"a "b" \c"#),
            (r"\x22q\x22 \x5C", r#""q" \"#),
            (r"caf\xC3\xA9", "café"),
            (r"\x16\x03\x01", "\u{16}\u{3}\u{1}"),
            (r"\xff\xfe", r"\xff\xfe"),
            (r"\xZZ \q \", r"\xZZ \q \"),
        ] {
            assert_eq!(unescape(raw), expected, "{raw}");
        }
    }
}
