//! What CDNs and IIS write in place of spaces and other special characters.

use std::borrow::Cow;

/// The text that `raw` stands for, where `%20` is a space. What would not be UTF-8 stays as it was written.
pub(crate) fn percent_decoded(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'%', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let escaped = match (byte, behind) {
            (b'%', [high, low, ..]) => hex_pair(*high, *low),
            _ => None,
        };
        out.push(escaped.unwrap_or(*byte));
        rest = rest.get(if escaped.is_some() { 3 } else { 1 }..).unwrap_or_default();
    }
    String::from_utf8(out).map_or(Cow::Borrowed(raw), Cow::Owned)
}

/// A user agent that is percent-encoded. CloudFront once encoded twice: what still has no space but `%20` is decoded
/// again. Akamai may write a `+` for a space, and then no `%20`.
pub(crate) fn percent_decoded_agent(raw: &str) -> Cow<'_, str> {
    if !raw.contains('%') {
        return Cow::Borrowed(raw);
    }
    if !raw.contains("%20") && !raw.contains("%2520") {
        return Cow::Owned(percent_decoded(&raw.replace('+', " ")).into_owned());
    }
    let once = percent_decoded(raw);
    if once.contains("%20") && !once.contains(' ') { Cow::Owned(percent_decoded(&once).into_owned()) } else { once }
}

/// The byte that two hexadecimal digits stand for.
pub(crate) fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

/// The text that IIS wrote with `+` for each space. A `+` of the text itself is not told apart by it; but those that
/// clients write stand behind a space (`; +http://…`), so of several in a row the first is the space.
pub(crate) fn plus_decoded(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'+', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut before = ' ';
    for character in raw.chars() {
        out.push(if character == '+' && before != '+' { ' ' } else { character });
        before = character;
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_escapes_are_read_where_they_are_some() {
        for (raw, expected) in [
            ("plain", "plain"),
            ("Mozilla/5.0%20(X11)", "Mozilla/5.0 (X11)"),
            ("caf%C3%A9%2F100%", "café/100%"),
            ("%zz%2", "%zz%2"),
            ("%ff", "%ff"),
        ] {
            assert_eq!(percent_decoded(raw), expected, "{raw}");
        }
    }

    #[test]
    fn agents_are_decoded_as_often_as_they_were_encoded() {
        for raw in ["Mozilla/5.0%20(X11;%20a+b)", "Mozilla/5.0%2520(X11;%2520a+b)", "Mozilla%2F5.0+%28X11%3B+a%2Bb%29"]
        {
            assert_eq!(percent_decoded_agent(raw), "Mozilla/5.0 (X11; a+b)", "{raw}");
        }
        assert_eq!(percent_decoded_agent("a+b"), "a+b");
    }

    #[test]
    fn a_plus_is_a_space_and_the_one_behind_it_itself() {
        assert_eq!(
            plus_decoded("Mozilla/5.0+(compatible;+Bot/2.1;++http://b.example/)"),
            "Mozilla/5.0 (compatible; Bot/2.1; +http://b.example/)"
        );
        assert_eq!(plus_decoded("curl"), "curl");
    }
}
